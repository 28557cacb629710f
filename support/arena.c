/* arena.c: memory with one lifetime, and the growable arrays that live in it.
 *
 *     chunks -> [header | used .... next | free .... end ]  the newest: allocations come from here
 *               [header | used                           ]  older ones, and blocks that were too
 *               [header | used                           ]  large to share a chunk
 */
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

/* Under AddressSanitizer everything that was not handed out is poisoned, with a gap behind each
 * block, so that an overrun inside the arena is reported like one in malloc's memory. */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
enum { GAP = 16 };
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
enum { GAP = 0 };
#endif

enum {
    ALIGN = 16,
    MIN_CHUNK = 4 << 10,
    MAX_CHUNK = 1 << 20, /* growth ends here */
};

struct ArenaChunk {
    ArenaChunk *next;
    size_t size; /* of the memory behind the header */
};

enum { HEADER = (sizeof(ArenaChunk) + ALIGN - 1) / ALIGN * ALIGN };

static char *chunk_data(ArenaChunk *c) {
    return (char *)c + HEADER;
}

/* calloc, because the system's fresh pages are zero already. */
static ArenaChunk *chunk_new(size_t size) {
    if (size > PTRDIFF_MAX - HEADER)
        die_no_memory(size);
    ArenaChunk *c = calloc(1, HEADER + size);
    if (!c)
        die_no_memory(size);
    c->size = size;
    POISON(chunk_data(c), size);
    return c;
}

/* Chunks double, so that a small arena stays small and a large one has few of them. */
static void open_chunk(Arena *a) {
    size_t size = MIN_CHUNK;
    while (size < MAX_CHUNK && size < a->total)
        size *= 2;
    ArenaChunk *c = chunk_new(size);
    c->next = a->chunks;
    a->chunks = c;
    a->next = chunk_data(c);
    a->end = a->next + size;
}

/* A block with a chunk of its own goes behind the open chunk, whose rest stays in use. */
static char *alloc_alone(Arena *a, size_t need) {
    ArenaChunk *c = chunk_new(need);
    ArenaChunk **link = a->next ? &a->chunks->next : &a->chunks;
    c->next = *link;
    *link = c;
    return chunk_data(c);
}

static char *alloc_shared(Arena *a, size_t need) {
    if ((size_t)(a->end - a->next) < need)
        open_chunk(a);
    char *p = a->next;
    a->next += need;
    return p;
}

void *arena_alloc(Arena *a, size_t size) {
    if (size > PTRDIFF_MAX - ALIGN - GAP)
        die_no_memory(size);
    size_t need = (size + (size == 0) + ALIGN - 1) / ALIGN * ALIGN + GAP;
    size_t chunk = a->next ? a->chunks->size : MIN_CHUNK;
    char *p = need > chunk / 4 ? alloc_alone(a, need) : alloc_shared(a, need);
    UNPOISON(p, size);
    a->total += size;
    return p;
}

void *arena_array(Arena *a, size_t n, size_t size) {
    if (size && n > SIZE_MAX / size)
        die("an array of %zu elements of %zu bytes overflows", n, size);
    return arena_alloc(a, n * size);
}

void *arena_copy(Arena *a, const void *data, size_t size) {
    void *p = arena_alloc(a, size);
    if (size)
        memcpy(p, data, size);
    return p;
}

char *arena_strdup(Arena *a, const char *s) {
    return arena_copy(a, s, strlen(s) + 1);
}

/* Copies at most n bytes of s, which needs no NUL within them. */
char *arena_strndup(Arena *a, const char *s, size_t n) {
    size_t len = 0;
    while (len < n && s[len])
        len++;
    char *p = arena_alloc(a, len + 1);
    if (len)
        memcpy(p, s, len);
    return p;
}

char *arena_vprintf(Arena *a, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    ensure(len >= 0);
    char *p = arena_alloc(a, (size_t)len + 1);
    vsnprintf(p, (size_t)len + 1, fmt, again);
    va_end(again);
    return p;
}

char *arena_printf(Arena *a, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *p = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return p;
}

void arena_free(Arena *a) {
    for (ArenaChunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        UNPOISON(chunk_data(c), c->size);
        free(c);
    }
    *a = (Arena){0};
}

/* The old storage stays behind in the arena: all of it together is as large as the new one. */
void *vec_grow_(Arena *a, void *data, size_t len, size_t *cap, size_t elem_size) {
    if (len < *cap)
        return data;
    size_t wanted = *cap ? *cap * 2 : 8;
    void *grown = arena_array(a, wanted, elem_size);
    if (len)
        memcpy(grown, data, len * elem_size);
    POISON(data, *cap * elem_size);
    *cap = wanted;
    return grown;
}
