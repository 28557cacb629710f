/* support.h: memory, text, diagnostics and files. Depends on nothing else of the project.
 *
 * Two kinds of failure are kept apart everywhere (HACKING.md, "Errors"):
 *   - the user's (a bad file, an unsupported operator): reported to a Diag, never fatal here;
 *   - ours (a broken invariant): die() or ensure(), which say so and end the process with 70.
 */
#ifndef EFFNETC_SUPPORT_H
#define EFFNETC_SUPPORT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define PRINTF_LIKE(fmt, args)
#endif

/* Exit codes of the command, and of the diagnostics that cause them. */
enum {
    EXIT_OK = 0,
    EXIT_USAGE = 1,
    EXIT_BAD_MODEL = 2,
    EXIT_UNSUPPORTED = 3,
    EXIT_BUDGET = 4,
    EXIT_VERIFY = 5,
    EXIT_INTERNAL = 70, /* EX_SOFTWARE */
    EXIT_IO = 74        /* EX_IOERR */
};

/* ---- die.c: broken invariants -------------------------------------------------------------- */

/* Reports an internal error (where it is, how to report it) and ends the process with 70. */
_Noreturn void die_at(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);
#define die(...) die_at(__FILE__, __LINE__, __VA_ARGS__)

/* Ends the process with 74: the system has no `size` bytes left. */
_Noreturn void die_no_memory(size_t size);

/* An invariant that is checked in every build. */
#define ensure(cond) ((cond) ? (void)0 : die("invariant does not hold: %s", #cond))

/* ---- arena.c: memory with one lifetime ------------------------------------------------------ */

typedef struct ArenaChunk ArenaChunk;

/* An arena hands out zeroed memory and frees all of it at once. A zeroed struct is a valid, empty
 * arena. Pointers stay valid until arena_free(). */
typedef struct Arena {
    ArenaChunk *chunks;
    char *next, *end;
    size_t total; /* bytes handed out */
} Arena;

/* Returns `size` zeroed bytes, aligned to 16. Never NULL: the process ends (74) when the system
 * has no memory left. */
void *arena_alloc(Arena *a, size_t size);
/* As arena_alloc for n elements; dies on overflow of n * size. */
void *arena_array(Arena *a, size_t n, size_t size);
void *arena_copy(Arena *a, const void *data, size_t size);
char *arena_strdup(Arena *a, const char *s);
char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_printf(Arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
char *arena_vprintf(Arena *a, const char *fmt, va_list ap);
void arena_free(Arena *a); /* leaves a valid, empty arena */

#define ARENA_NEW(a, T)      ((T *)arena_alloc((a), sizeof(T)))
#define ARENA_ARRAY(a, n, T) ((T *)arena_array((a), (size_t)(n), sizeof(T)))

/* ---- vec: typed growable arrays that live in an arena --------------------------------------- */

#define VEC(T)                                                                                     \
    struct {                                                                                       \
        T *data;                                                                                   \
        size_t len, cap;                                                                           \
    }

/* Returns storage for at least len + 1 elements; part of vec_push, not to be called directly. */
void *vec_grow_(Arena *a, void *data, size_t len, size_t *cap, size_t elem_size);

#define vec_push(a, v, x)                                                                          \
    ((v)->data = vec_grow_((a), (v)->data, (v)->len, &(v)->cap, sizeof *(v)->data),                \
     (v)->data[(v)->len++] = (x))

/* ---- buf.c: text that grows ----------------------------------------------------------------- */

/* A zeroed Buf is valid and empty. `data` is NUL-terminated once anything was written. */
typedef struct Buf {
    char *data;
    size_t len, cap;
} Buf;

void buf_putc(Buf *b, char c);
void buf_puts(Buf *b, const char *s);
void buf_write(Buf *b, const void *data, size_t size);
void *buf_extend(Buf *b, size_t size); /* appends zeros; returns where they start, until the next */
void buf_printf(Buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(Buf *b, const char *fmt, va_list ap);
const char *buf_str(Buf *b);       /* never NULL */
void buf_cut(Buf *b, size_t size); /* to the first `size` bytes; the memory behind them is free */
void buf_free(Buf *b);

/* Writes s with control characters, quotes, backslashes and bytes over 126 escaped (\n, \", \xNN),
 * so that the result is safe inside "..." of an IR text. */
void buf_put_escaped(Buf *b, const char *s);
/* A name of an IR text: the sigil, and behind it the name, in quotes and escaped unless `bare`. */
void buf_put_name(Buf *b, char sigil, const char *name, bool bare);

/* ---- map.c: string -> pointer --------------------------------------------------------------- */

typedef struct MapEntry {
    const char *key;
    void *value;
    uint64_t hash; /* of the key */
} MapEntry;

/* Insertion order is not kept: iterate over a vector of your own. A zeroed Map is valid. Keys are
 * not copied and must outlive the map. */
typedef struct Map {
    MapEntry *slots;
    size_t len, cap;
} Map;

void *map_get(const Map *m, const char *key);                 /* NULL where absent */
bool map_put(Arena *a, Map *m, const char *key, void *value); /* false: replaced an entry */
uint64_t hash_bytes(const void *data, size_t size);           /* XXH3-64 */

/* ---- diag.c: what the user is told ---------------------------------------------------------- */

typedef enum DiagKind { DIAG_ERROR, DIAG_WARNING, DIAG_REMARK } DiagKind;

typedef struct DiagNote {
    const char *label; /* "inputs", "reason", "help", ... */
    const char *text;
} DiagNote;

typedef struct DiagItem {
    DiagKind kind;
    int exit_code;     /* for errors: the exit code that it asks for */
    const char *where; /* file, or file:line:column */
    const char *message;
    VEC(DiagNote) notes;
} DiagItem;

/* Collects diagnostics; nothing is printed before diag_print. Errors past DIAG_MAX are counted
 * but not kept, and so are warnings; remarks are all kept. A zeroed Diag is valid. */
typedef struct Diag {
    Arena arena;
    VEC(DiagItem *) items;
    size_t errors, warnings; /* all of them, kept or not */
    size_t dropped;          /* items not kept */
    DiagItem *newest;        /* what diag_note adds to; NULL where it was not kept */
} Diag;

enum { DIAG_MAX = 100 };

/* Each adds one item; `exit_code` is one of the EXIT_ codes. */
void diag_error(Diag *d, int exit_code, const char *where, const char *fmt, ...) PRINTF_LIKE(4, 5);
void diag_warning(Diag *d, const char *where, const char *fmt, ...) PRINTF_LIKE(3, 4);
void diag_remark(Diag *d, const char *where, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Adds a labelled line to the newest item. */
void diag_note(Diag *d, const char *label, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Adds the errors of another. */
void diag_append(Diag *d, const Diag *from);
/* The code that the process should end with: 0 without errors, else that of the first error. */
int diag_exit_code(const Diag *d);
/* Prints all items in DESIGN's format to f, with ANSI colours if asked for. */
void diag_print(const Diag *d, FILE *f, bool color);
void diag_free(Diag *d);

/* ---- diff.c --------------------------------------------------------------------------------- */

/* Appends the lines of a that b hasn't, with a "-" in front, and those of b that a hasn't, with
 * "+", in order. Nothing where the texts are equal. */
void text_diff(Buf *out, const char *a, const char *b);

/* ---- clock.c -------------------------------------------------------------------------------- */

/* Seconds since some moment; never backwards. */
double clock_seconds(void);

/* ---- random.c ------------------------------------------------------------------------------- */

/* The next 64 random bits of a state, which may start as any number: the same on every machine. */
uint64_t random_next(uint64_t *state);

/* ---- file.c: files in, files out ------------------------------------------------------------ */

/* A file mapped read-only. */
typedef struct MappedFile {
    const uint8_t *data; /* NULL for an empty file */
    size_t size;
} MappedFile;

/* Maps `path`; false with an error (74) in d where it can't be read. */
bool file_map(MappedFile *f, const char *path, Diag *d);
void file_unmap(MappedFile *f);
/* Gives back the memory of a mapped file until it is read again: from the file then. */
void file_release(const MappedFile *f);
/* Gives back the pages that lie whole within `bytes` of memory, whatever it is part of. What was
 * mapped from a file is read from there again when it is needed; else nothing may be read from
 * there any more, only freed. */
void memory_release(const void *memory, size_t bytes);

/* Writes `data` to a file without a name, in TMPDIR, else /var/tmp, and maps that: other processes
 * don't see it, and it is gone with its last mapping. False where the system doesn't give one so
 * large. */
bool file_spill(MappedFile *f, const void *data, size_t size);

/* Files that appear together or not at all: each is written under a temporary name in its folder,
 * and all are renamed when every write has succeeded. Data is not copied: it must live until
 * outputs_commit. */
typedef struct OutputFile {
    const char *path;
    const void *data;
    size_t size;
} OutputFile;

typedef struct Outputs {
    Arena arena;
    VEC(OutputFile) files;
} Outputs;

void outputs_add(Outputs *o, const char *path, const void *data, size_t size);
/* Writes and renames; false with errors (74) in d, and then no file of the set was changed.
 * `path` "-" is standard output. Folders that are missing are made. What interrupts the process
 * waits until it is done. */
bool outputs_commit(Outputs *o, Diag *d);
void outputs_free(Outputs *o);

/* ---- loaded.c: files that the dynamic linker loaded ------------------------------------------ */

/* The path of the file that `within` lies in; NULL where it lies in none. */
const char *loaded_path(const void *within);
/* Gives back the memory of what that file has and nobody writes to: it is read again when it is
 * needed. */
void loaded_release(const void *within);

/* ---- text.c: small text helpers ------------------------------------------------------------- */

/* True and *out set if all of s is one decimal integer in int64_t's range. */
bool parse_i64(const char *s, int64_t *out);
bool parse_f64(const char *s, double *out);
/* The same, with k, M or G behind it for 1000, 1000^2, 1000^3, or Ki, Mi, Gi for powers of 1024. */
bool parse_amount(const char *s, double *out);
/* The known name nearest to `name` by edit distance, or NULL: for "did you mean". */
const char *nearest_name(const char *name, const char *const *known, size_t n);
/* n rounded up to a multiple of m; ceil(n / m). For n >= 0, m > 0. */
static inline int64_t round_up(int64_t n, int64_t m) {
    return (n + m - 1) / m * m;
}
static inline int64_t ceil_div(int64_t n, int64_t m) {
    return (n + m - 1) / m;
}
/* a * b and a + b for non-negative numbers; false on overflow. */
bool checked_mul(int64_t a, int64_t b, int64_t *out);
bool checked_add(int64_t a, int64_t b, int64_t *out);

#endif
