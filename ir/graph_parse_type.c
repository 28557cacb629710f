/* graph_parse_type.c: types in texts: f32[1,24,56,56]{nchw16c, halo=1x1x1x1, arena=4096}. */
#include "ir/graph_internal.h"

#include <string.h>

static bool parse_shape(Lexer *l, Shape *s) {
    if (!lex_expect(l, "[", "[ and the dims"))
        return false;
    while (!lex_accept(l, "]")) {
        int64_t d;
        if (s->rank > 0 && !lex_expect(l, ",", "a comma or ] in the shape"))
            return false;
        const char *at = l->p;
        if (!lex_int(l, &d, "a dim"))
            return false;
        if (s->rank == MAX_RANK)
            return lex_error_at(l, at, "a shape of more than %d dims", MAX_RANK);
        s->dim[s->rank++] = d;
    }
    return true;
}

/* nchwNc */
static bool parse_block(Lexer *l, Span w, Layout *layout) {
    static const char prefix[] = "nchw";
    size_t n = sizeof prefix - 1;
    layout->block = 0;
    if (w.n < n + 2 || w.n > n + 3 || memcmp(w.s, prefix, n) != 0 || w.s[w.n - 1] != 'c')
        return lex_error_at(l, w.s, "expected nchwNc, halo=, one_image or arena=");
    for (size_t i = n; i + 1 < w.n; i++) {
        if (w.s[i] < '0' || w.s[i] > '9')
            return lex_error_at(l, w.s, "expected nchwNc, halo=, one_image or arena=");
        layout->block = 10 * layout->block + (w.s[i] - '0');
    }
    if (layout->block < 1 || layout->block > MAX_BLOCK)
        return lex_error_at(l, w.s, "a block has 1 to %d channels", MAX_BLOCK);
    return true;
}

static bool parse_halo(Lexer *l, Layout *layout) {
    for (int i = 0; i < 4; i++) {
        int64_t x;
        if (i > 0 && !lex_expect(l, "x", "a halo like 1x1x1x1"))
            return false;
        const char *at = l->p;
        if (!lex_int(l, &x, "a halo like 1x1x1x1"))
            return false;
        if (x < 0 || x > MAX_HALO)
            return lex_error_at(l, at, "a halo has 0 to %d rows and columns", MAX_HALO);
        layout->halo[i] = (int)x;
    }
    return true;
}

static bool parse_arena(Lexer *l, int64_t *offset) {
    const char *at = l->p;
    if (!lex_int(l, offset, "an offset in bytes"))
        return false;
    return *offset >= 0 || lex_error_at(l, at, "an arena offset is not negative");
}

static bool parse_place(Lexer *l, Type *t, int64_t *offset) {
    Span w;
    if (!lex_word(l, &w, "nchwNc, halo=, one_image or arena="))
        return false;
    if (span_is(w, "one_image")) {
        t->layout.one_image = true;
        return true;
    }
    if (!lex_accept(l, "="))
        return parse_block(l, w, &t->layout);
    if (span_is(w, "halo"))
        return parse_halo(l, &t->layout);
    if (span_is(w, "arena"))
        return parse_arena(l, offset);
    return lex_error_at(l, w.s, "expected nchwNc, halo=, one_image or arena=");
}

/* The braces stand right behind the shape; with a space between they open a graph's body. */
static bool parse_places(Lexer *l, Type *t, int64_t *offset) {
    if (l->p == l->end || *l->p != '{')
        return true;
    l->p++;
    do {
        if (!parse_place(l, t, offset))
            return false;
    } while (lex_accept(l, ","));
    return lex_expect(l, "}", "a comma or } in the layout");
}

bool parse_type(Lexer *l, Type *t, int64_t *arena_offset) {
    *t = (Type){0};
    *arena_offset = -1;
    lex_skip_space(l);
    const char *at = l->p;
    Span w = lex_peek_word(l);
    if (!dtype_parse(w.s, w.n, &t->dtype))
        return lex_expected(l, "a type like f32[1,3,224,224]");
    l->p += w.n;
    if (!parse_shape(l, &t->shape))
        return false;
    if (!parse_places(l, t, arena_offset))
        return false;
    return type_valid(t) || lex_error_at(l, at,
                                         "no such type: a dim is negative, the tensor has more "
                                         "than 2^36 bytes, or the layout doesn't fit the rank");
}
