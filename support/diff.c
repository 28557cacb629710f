/* diff.c: the lines that two texts don't have in common. Lines that both have just once and in the
 * same order are the frame (Cohen's patience diff); between two of them, equal lines at the start
 * and at the end are common too. */
#include "support/support.h"

#include <string.h>

/* A text of a line: how often both have it, and where b has it last. */
typedef struct Line {
    int b, count_a, count_b;
} Line;

typedef struct Lines {
    const char **text;
    int n;
} Lines;

typedef struct Differ {
    Arena arena;
    Buf *out;
    Lines a, b;
} Differ;

static Lines split(Arena *arena, const char *text) {
    VEC(const char *) v = {0};
    while (*text) {
        size_t n = strcspn(text, "\n");
        vec_push(arena, &v, arena_strndup(arena, text, n));
        text += n + (text[n] == '\n');
    }
    return (Lines){v.data, (int)v.len};
}

static Line *line_of(Differ *d, Map *lines, const char *text) {
    Line *l = map_get(lines, text);
    if (l)
        return l;
    l = ARENA_NEW(&d->arena, Line);
    map_put(&d->arena, lines, text, l);
    return l;
}

/* For each line of a: its place in b where both have it once, else -1. */
static int *unique_pairs(Differ *d) {
    Map lines = {0};
    int *pair = ARENA_ARRAY(&d->arena, d->a.n + 1, int);
    for (int i = 0; i < d->a.n; i++)
        line_of(d, &lines, d->a.text[i])->count_a++;
    for (int i = 0; i < d->b.n; i++) {
        Line *l = line_of(d, &lines, d->b.text[i]);
        l->count_b++;
        l->b = i;
    }
    for (int i = 0; i < d->a.n; i++) {
        const Line *l = map_get(&lines, d->a.text[i]);
        pair[i] = l->count_a == 1 && l->count_b == 1 ? l->b : -1;
    }
    return pair;
}

/* Of the ends of the increasing sequences so far, by length: how many are below `value`. */
static int longest_below(const int *pair, const int *end, int n, int value) {
    int low = 0;
    while (low < n) {
        int middle = low + (n - low) / 2;
        if (pair[end[middle]] < value)
            low = middle + 1;
        else
            n = middle;
    }
    return low;
}

/* Keeps the longest increasing sequence of pairs; the others become -1. */
static void keep_in_order(Differ *d, int *pair) {
    int *end = ARENA_ARRAY(&d->arena, d->a.n + 1, int), n = 0;
    int *before = ARENA_ARRAY(&d->arena, d->a.n + 1, int);
    for (int i = 0; i < d->a.n; i++) {
        if (pair[i] < 0)
            continue;
        int k = longest_below(pair, end, n, pair[i]);
        before[i] = k ? end[k - 1] : -1;
        end[k] = i;
        n += k == n;
    }
    int keep = n ? end[n - 1] : -1;
    for (int i = d->a.n - 1; i >= 0; i--) {
        if (i == keep)
            keep = before[i];
        else
            pair[i] = -1;
    }
}

/* What lies between two lines of the frame. */
static void print_gap(Differ *d, int a, int a_end, int b, int b_end) {
    while (a < a_end && b < b_end && !strcmp(d->a.text[a], d->b.text[b]))
        a++, b++;
    while (a < a_end && b < b_end && !strcmp(d->a.text[a_end - 1], d->b.text[b_end - 1]))
        a_end--, b_end--;
    for (; a < a_end; a++)
        buf_printf(d->out, "-%s\n", d->a.text[a]);
    for (; b < b_end; b++)
        buf_printf(d->out, "+%s\n", d->b.text[b]);
}

void text_diff(Buf *out, const char *a, const char *b) {
    Differ d = {.out = out};
    d.a = split(&d.arena, a);
    d.b = split(&d.arena, b);
    int *pair = unique_pairs(&d), at_a = 0, at_b = 0;
    keep_in_order(&d, pair);
    for (int i = 0; i < d.a.n; i++) {
        if (pair[i] < 0)
            continue;
        print_gap(&d, at_a, i, at_b, pair[i]);
        at_a = i + 1;
        at_b = pair[i] + 1;
    }
    print_gap(&d, at_a, d.a.n, at_b, d.b.n);
    arena_free(&d.arena);
}
