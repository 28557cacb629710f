/* schedule_book.c: the tiles of problems in a text file. A line of it is a problem, a colon, and a
 * tile; both are words, "name=value" or "name", in the order of the tables below. */
#include "passes/passes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct BookLine {
    const char *key; /* the problem's text */
    TileProblem problem;
    Tile tile;
    const char *comment; /* NULL: none */
} BookLine;

struct ScheduleBook {
    Arena arena;
    const Target *target;
    VEC(BookLine *) lines;
    Map by_key;
};

/* ---- fields ---------------------------------------------------------------------------------- */

typedef enum FieldType { FIELD_INT, FIELD_ACT, FIELD_FLAG } FieldType;

enum { GEMM = 1 << TILE_GEMM, DW = 1 << TILE_DW, WRITTEN = -1 };

typedef struct Field {
    const char *name;
    FieldType type;
    size_t offset; /* an int64_t, an Act or a bool of the struct */
    int kinds;     /* of problems that have it */
    int64_t usual; /* what it is where it isn't written; WRITTEN: it always is */
} Field;

#define PROBLEM(type, name, kinds, usual)                                                          \
    { #name, FIELD_##type, offsetof(TileProblem, name), kinds, usual }
static const Field problem_fields[] = {
    PROBLEM(INT, stride, GEMM | DW, 1),
    PROBLEM(INT, dilation, GEMM | DW, 1),
    PROBLEM(INT, pixels, GEMM | DW, WRITTEN),
    PROBLEM(INT, channels, GEMM, WRITTEN),
    PROBLEM(INT, k, GEMM, WRITTEN),
    PROBLEM(ACT, act, GEMM | DW, ACT_none),
    PROBLEM(FLAG, planar, GEMM, 0),
    PROBLEM(FLAG, residual, GEMM, 0),
    PROBLEM(FLAG, sum, DW, 0),
};

#define TILE(type, name, kinds, usual)                                                             \
    { #name, FIELD_##type, offsetof(Tile, name), kinds, usual }
static const Field tile_fields[] = {
    TILE(INT, mr, GEMM | DW, WRITTEN),
    TILE(INT, nv, GEMM, WRITTEN),
    TILE(FLAG, half, GEMM, 0),
};

enum {
    NPROBLEM_FIELDS = sizeof problem_fields / sizeof *problem_fields,
    NTILE_FIELDS = sizeof tile_fields / sizeof *tile_fields
};

static const char *const kind_names[] = {[TILE_GEMM] = "gemm", [TILE_DW] = "dw"};
enum { NKINDS = sizeof kind_names / sizeof *kind_names };

static int64_t field_get(const Field *f, const void *of) {
    const char *at = (const char *)of + f->offset;
    switch (f->type) {
    case FIELD_INT:
        return *(const int64_t *)(const void *)at;
    case FIELD_ACT:
        return *(const Act *)(const void *)at;
    case FIELD_FLAG:
        return *(const bool *)at;
    }
    die("field type %d", (int)f->type);
}

static void field_set(const Field *f, void *of, int64_t value) {
    char *at = (char *)of + f->offset;
    switch (f->type) {
    case FIELD_INT:
        *(int64_t *)(void *)at = value;
        break;
    case FIELD_ACT:
        *(Act *)(void *)at = (Act)value;
        break;
    case FIELD_FLAG:
        *(bool *)at = value != 0;
        break;
    }
}

/* ---- printing -------------------------------------------------------------------------------- */

static void print_fields(Buf *b, const Field *rows, size_t n, TileKind kind, const void *of) {
    for (size_t i = 0; i < n; i++) {
        const Field *f = &rows[i];
        int64_t value = field_get(f, of);
        if (!(f->kinds & (1 << kind)) || value == f->usual)
            continue;
        buf_printf(b, "%s%s", b->len ? " " : "", f->name);
        if (f->type == FIELD_INT)
            buf_printf(b, "=%" PRId64, value);
        else if (f->type == FIELD_ACT)
            buf_printf(b, "=%s", act_name((Act)value));
    }
}

/* "gemm 1x1 pixels=49 channels=1280 k=320 act=silu" */
static void tile_problem_print(Buf *b, const TileProblem *p) {
    buf_printf(b, "%s %" PRId64 "x%" PRId64, kind_names[p->kind], p->kh, p->kw);
    print_fields(b, problem_fields, NPROBLEM_FIELDS, p->kind, p);
}

void tile_print(Buf *b, const TileProblem *p, const Tile *tile) {
    Buf text = {0};
    print_fields(&text, tile_fields, NTILE_FIELDS, p->kind, tile);
    buf_puts(b, buf_str(&text));
    buf_free(&text);
}

static const char *problem_key(Arena *a, const TileProblem *p) {
    Buf b = {0};
    tile_problem_print(&b, p);
    const char *key = arena_strdup(a, b.data);
    buf_free(&b);
    return key;
}

/* By what is read in a line first: kind, taps, then the fields as numbers. */
static int line_order(const void *a, const void *b) {
    const TileProblem *x = &(*(BookLine *const *)a)->problem,
                      *y = &(*(BookLine *const *)b)->problem;
    const int64_t head[][2] = {{x->kind, y->kind}, {x->kh, y->kh}, {x->kw, y->kw}};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        if (head[i][0] != head[i][1])
            return head[i][0] < head[i][1] ? -1 : 1;
    for (size_t i = 0; i < NPROBLEM_FIELDS; i++) {
        int64_t u = field_get(&problem_fields[i], x), v = field_get(&problem_fields[i], y);
        if (u != v)
            return u < v ? -1 : 1;
    }
    return 0;
}

void schedule_book_print(Buf *b, const ScheduleBook *book) {
    size_t n = book->lines.len;
    Arena a = {0};
    BookLine **lines = ARENA_ARRAY(&a, n + 1, BookLine *);
    for (size_t i = 0; i < n; i++)
        lines[i] = book->lines.data[i];
    qsort(lines, n, sizeof *lines, line_order);
    buf_printf(b, "effnetc-schedules %d target=%s\n", SCHEDULE_BOOK_VERSION, book->target->name);
    for (size_t i = 0; i < n; i++) {
        buf_printf(b, "%s : ", lines[i]->key);
        tile_print(b, &lines[i]->problem, &lines[i]->tile);
        if (lines[i]->comment)
            buf_printf(b, "  # %s", lines[i]->comment);
        buf_putc(b, '\n');
    }
    arena_free(&a);
}

/* ---- parsing --------------------------------------------------------------------------------- */

typedef struct Word {
    const char *text; /* not terminated */
    size_t len;
} Word;

typedef struct BookParser {
    const char *start, *at, *end; /* of the line */
    const char *comment;          /* what stands behind '#'; NULL: nothing */
    int line;
    const char *where;
    Word word; /* the current one; empty at the end of the line */
    ScheduleBook *book;
    Diag *diag;
} BookParser;

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static void next_word(BookParser *p) {
    while (p->at < p->end && is_blank(*p->at))
        p->at++;
    p->word.text = p->at;
    while (p->at < p->end && !is_blank(*p->at))
        p->at++;
    p->word.len = (size_t)(p->at - p->word.text);
}

static bool word_is(const Word *w, const char *s) {
    return strlen(s) == w->len && !memcmp(w->text, s, w->len);
}

/* An error at the current word: always false. */
PRINTF_LIKE(2, 3) static bool fail(BookParser *p, const char *fmt, ...) {
    Arena a = {0};
    va_list ap;
    va_start(ap, fmt);
    const char *where =
        arena_printf(&a, "%s:%d:%d", p->where, p->line, (int)(p->word.text - p->start) + 1);
    diag_error(p->diag, EXIT_BAD_MODEL, where, "%s", arena_vprintf(&a, fmt, ap));
    va_end(ap);
    if (p->word.len)
        diag_note(p->diag, "found", "%s", arena_strndup(&a, p->word.text, p->word.len));
    else
        diag_note(p->diag, "found", "the end of the line");
    arena_free(&a);
    return false;
}

/* All of the n bytes as a number from 1 to INT32_MAX. */
static bool parse_count(const char *s, size_t n, int64_t *out) {
    char text[24];
    if (n == 0 || n >= sizeof text)
        return false;
    memcpy(text, s, n);
    text[n] = 0;
    return parse_i64(text, out) && *out > 0 && *out <= INT32_MAX;
}

/* Splits the lines off the text; a comment is set apart. */
static bool next_line(BookParser *p, const char **text, const char *text_end) {
    if (*text == text_end)
        return false;
    const char *newline = memchr(*text, '\n', (size_t)(text_end - *text));
    const char *end = newline ? newline : text_end;
    const char *hash = memchr(*text, '#', (size_t)(end - *text));
    p->start = p->at = *text;
    p->end = hash ? hash : end;
    p->comment = NULL;
    if (hash) {
        const char *c = hash + 1;
        while (c < end && is_blank(*c))
            c++;
        p->comment = arena_strndup(&p->book->arena, c, (size_t)(end - c));
    }
    p->line++;
    *text = newline ? newline + 1 : text_end;
    next_word(p);
    return true;
}

static const Field *find_field(const Field *rows, size_t n, TileKind kind, const Word *name) {
    for (size_t i = 0; i < n; i++)
        if ((rows[i].kinds & (1 << kind)) && word_is(name, rows[i].name))
            return &rows[i];
    return NULL;
}

/* "name=value" or "name", of field f. */
static bool parse_value(BookParser *p, const Field *f, size_t name_len, void *of) {
    int64_t value = 1;
    Act act;
    const char *text = p->word.text + name_len + 1;
    size_t n = p->word.len > name_len ? p->word.len - name_len - 1 : 0;
    switch (f->type) {
    case FIELD_INT:
        if (!parse_count(text, n, &value))
            return fail(p, "expected %s=N, a whole number from 1 on", f->name);
        break;
    case FIELD_ACT:
        if (!n || !act_parse(text, n, &act))
            return fail(p, "expected %s=NAME, an activation", f->name);
        value = act;
        break;
    case FIELD_FLAG:
        if (p->word.len != name_len)
            return fail(p, "%s has no value", f->name);
        break;
    }
    field_set(f, of, value);
    return true;
}

/* Words up to a colon or the end, each field once; `what` has them. */
static bool parse_fields(BookParser *p, const Field *rows, size_t n, TileKind kind, void *of,
                         const char *what) {
    unsigned seen = 0;
    for (size_t i = 0; i < n; i++)
        if (rows[i].usual != WRITTEN)
            field_set(&rows[i], of, rows[i].usual);
    for (; p->word.len && !word_is(&p->word, ":"); next_word(p)) {
        const char *equals = memchr(p->word.text, '=', p->word.len);
        Word name = {p->word.text, equals ? (size_t)(equals - p->word.text) : p->word.len};
        const Field *f = find_field(rows, n, kind, &name);
        if (!f)
            return fail(p, "%s of a %s kernel has no such word", what, kind_names[kind]);
        if (seen & 1u << (f - rows))
            return fail(p, "%s is there twice", f->name);
        seen |= 1u << (f - rows);
        if (!parse_value(p, f, name.len, of))
            return false;
    }
    for (size_t i = 0; i < n; i++)
        if ((rows[i].kinds & (1 << kind)) && rows[i].usual == WRITTEN && !(seen & 1u << i))
            return fail(p, "expected %s=N", rows[i].name);
    return true;
}

/* "gemm 1x1" */
static bool parse_kind(BookParser *p, TileProblem *out) {
    size_t kind = 0;
    while (kind < NKINDS && !word_is(&p->word, kind_names[kind]))
        kind++;
    if (kind == NKINDS)
        return fail(p, "expected a kind of kernel: gemm or dw");
    out->kind = (TileKind)kind;
    next_word(p);
    const char *x = memchr(p->word.text, 'x', p->word.len);
    if (!x || !parse_count(p->word.text, (size_t)(x - p->word.text), &out->kh) ||
        !parse_count(x + 1, (size_t)(p->word.text + p->word.len - x - 1), &out->kw))
        return fail(p, "expected taps, as 3x3");
    next_word(p);
    return true;
}

static bool parse_line(BookParser *p) {
    TileProblem problem = {0};
    Tile tile = {.nv = 1};
    if (!parse_kind(p, &problem) ||
        !parse_fields(p, problem_fields, NPROBLEM_FIELDS, problem.kind, &problem, "a problem"))
        return false;
    if (!word_is(&p->word, ":"))
        return fail(p, "expected a colon and a tile");
    next_word(p);
    const Word start = p->word;
    if (!parse_fields(p, tile_fields, NTILE_FIELDS, problem.kind, &tile, "the tile"))
        return false;
    if (p->word.len)
        return fail(p, "expected the end of the line");
    const char *fault = tile_fault(&problem, &tile, p->book->target);
    p->word = start;
    if (fault)
        return fail(p, "the kernel can't have this tile: %s", fault);
    if (schedule_book_find(p->book, &problem, &(Tile){0}))
        return fail(p, "there is a line for this problem already");
    schedule_book_set(p->book, &problem, &tile, p->comment);
    return true;
}

/* "effnetc-schedules 1 target=x86-64-v4" */
static bool parse_header(BookParser *p) {
    static const char magic[] = "effnetc-schedules", target[] = "target=";
    int64_t version = 0;
    if (!word_is(&p->word, magic))
        return fail(p, "this is no schedule file: expected %s", magic);
    next_word(p);
    if (!parse_count(p->word.text, p->word.len, &version) || version != SCHEDULE_BOOK_VERSION)
        return fail(p, "expected version %d", SCHEDULE_BOOK_VERSION);
    next_word(p);
    if (p->word.len < sizeof target || memcmp(p->word.text, target, sizeof target - 1) != 0)
        return fail(p, "expected target=NAME");
    const Word name = {p->word.text + sizeof target - 1, p->word.len - sizeof target + 1};
    const char *wanted = p->book->target->name;
    if (!word_is(&name, wanted)) {
        fail(p, "the schedules are for another target than %s", wanted);
        diag_note(p->diag, "help", "keep a file for each target");
        return false;
    }
    next_word(p);
    return !p->word.len || fail(p, "expected the end of the line");
}

/* The next line that says something. */
static bool next_words(BookParser *p, const char **text, const char *end) {
    while (next_line(p, text, end))
        if (p->word.len)
            return true;
    return false;
}

ScheduleBook *schedule_book_parse(const char *text, size_t size, const char *where,
                                  const Target *target, Diag *d) {
    ScheduleBook *book = schedule_book_new(target);
    BookParser p = {.where = where, .book = book, .diag = d, .start = text, .word = {text, 0}};
    const char *end = text + size;
    next_words(&p, &text, end);
    p.line += p.line == 0; /* an empty text has a first line too */
    bool ok = parse_header(&p);
    while (ok && next_words(&p, &text, end))
        ok = parse_line(&p);
    if (ok)
        return book;
    schedule_book_free(book);
    return NULL;
}

/* ---- books ----------------------------------------------------------------------------------- */

ScheduleBook *schedule_book_new(const Target *target) {
    Arena a = {0};
    ScheduleBook *book = ARENA_NEW(&a, ScheduleBook);
    book->arena = a;
    book->target = target;
    return book;
}

void schedule_book_free(ScheduleBook *book) {
    Arena a = book->arena; /* the book lies in it */
    arena_free(&a);
}

static BookLine *find_line(const ScheduleBook *book, const TileProblem *p) {
    Arena a = {0};
    BookLine *line = map_get(&book->by_key, problem_key(&a, p));
    arena_free(&a);
    return line;
}

bool schedule_book_find(const ScheduleBook *book, const TileProblem *p, Tile *tile) {
    const BookLine *line = find_line(book, p);
    if (line)
        *tile = line->tile;
    return line != NULL;
}

void schedule_book_set(ScheduleBook *book, const TileProblem *p, const Tile *tile,
                       const char *comment) {
    Arena *a = &book->arena;
    BookLine *line = find_line(book, p);
    if (!line) {
        line = ARENA_NEW(a, BookLine);
        line->key = problem_key(a, p);
        line->problem = *p;
        vec_push(a, &book->lines, line);
        map_put(a, &book->by_key, line->key, line);
    }
    line->tile = *tile;
    line->comment = comment ? arena_strdup(a, comment) : NULL;
}

size_t schedule_book_unused(const ScheduleBook *book, const TileProblems *problems) {
    size_t n = 0;
    for (size_t i = 0; i < book->lines.len; i++)
        n += !map_get(&problems->known, book->lines.data[i]->key);
    return n;
}

/* ---- problems -------------------------------------------------------------------------------- */

void tile_problems_add(TileProblems *all, const TileProblem *p) {
    Arena *a = &all->arena;
    const char *key = problem_key(a, p);
    TileProblem *known = map_get(&all->known, key);
    if (!known) {
        known = arena_copy(a, p, sizeof *p);
        vec_push(a, &all->items, known);
        map_put(a, &all->known, key, known);
    }
    known->rows = p->rows > known->rows ? p->rows : known->rows;
    known->blocks = p->blocks > known->blocks ? p->blocks : known->blocks;
}

void tile_problems_free(TileProblems *all) {
    arena_free(&all->arena);
    *all = (TileProblems){0};
}
