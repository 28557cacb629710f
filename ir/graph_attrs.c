/* graph_attrs.c: attribute sets, expanded from attrs.def, and what can be done with each kind. */
#include "ir/graph_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

/* ---- the sets ------------------------------------------------------------------------------- */

/* clang-format off */
#define ATTRS_BEGIN(Name, name)           static const Name##Attrs name##_defaults = {
#define ATTR(Name, field, kind, ...)          .field = __VA_ARGS__,
#define ATTRS_END(Name, name)             };
#include "ir/attrs.def"
#undef ATTRS_BEGIN
#undef ATTR
#undef ATTRS_END

#define ATTRS_BEGIN(Name, name)           static const AttrField name##_fields[] = {
#define ATTR(Name, field, kind, ...)          {#field, ATTR_##kind, offsetof(Name##Attrs, field)},
#define ATTRS_END(Name, name)             };
#include "ir/attrs.def"
#undef ATTRS_BEGIN
#undef ATTR
#undef ATTRS_END
/* clang-format on */

static const AttrSetInfo sets[] = {
    {.name = "none"},
#define ATTRS_BEGIN(Name, name)                                                                    \
    {#name, name##_fields, sizeof name##_fields / sizeof(AttrField), sizeof(Name##Attrs),          \
     &name##_defaults},
#define ATTR(...)
#define ATTRS_END(...)
#include "ir/attrs.def"
#undef ATTRS_BEGIN
#undef ATTR
#undef ATTRS_END
};

const AttrSetInfo *attrset_info(AttrSet s) {
    ensure((unsigned)s < ATTRSET_COUNT);
    return &sets[s];
}

/* ---- the kinds ------------------------------------------------------------------------------ */

static void print_dims(Buf *b, const int64_t *v, int n) {
    for (int i = 0; i < n; i++)
        buf_printf(b, "%s%" PRId64, i > 0 ? "x" : "", v[i]);
}

static bool parse_dims(Lexer *l, int64_t *v, int n, const char *what) {
    for (int i = 0; i < n; i++)
        if ((i > 0 && !lex_expect(l, "x", what)) || !lex_int(l, &v[i], what))
            return false;
    return true;
}

static void print_int(Buf *b, const void *p) {
    buf_printf(b, "%" PRId64, *(const int64_t *)p);
}

static bool parse_int(Lexer *l, void *p) {
    return lex_int(l, p, "an integer");
}

static bool equal_int(const void *a, const void *b) {
    return *(const int64_t *)a == *(const int64_t *)b;
}

static void print_float(Buf *b, const void *p) {
    print_f64(b, *(const double *)p, DT_f64);
}

static bool parse_float(Lexer *l, void *p) {
    return lex_float(l, p, "a number");
}

/* By what is printed: NaN equals NaN, 0 isn't -0. */
static bool equal_float(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (isnan(x) && isnan(y)) || (x == y && signbit(x) == signbit(y));
}

static void print_bool(Buf *b, const void *p) {
    buf_puts(b, *(const bool *)p ? "true" : "false");
}

static bool parse_bool(Lexer *l, void *p) {
    Span w = lex_peek_word(l);
    if (!span_is(w, "true") && !span_is(w, "false"))
        return lex_expected(l, "true or false");
    *(bool *)p = span_is(w, "true");
    return lex_word(l, &w, "true or false");
}

static bool equal_bool(const void *a, const void *b) {
    return *(const bool *)a == *(const bool *)b;
}

static void print_dim2(Buf *b, const void *p) {
    print_dims(b, ((const Dim2 *)p)->v, 2);
}

static bool parse_dim2(Lexer *l, void *p) {
    return parse_dims(l, ((Dim2 *)p)->v, 2, "two integers like 3x3");
}

static bool equal_dim2(const void *a, const void *b) {
    return memcmp(a, b, sizeof(Dim2)) == 0;
}

static void print_dim4(Buf *b, const void *p) {
    print_dims(b, ((const Dim4 *)p)->v, 4);
}

static bool parse_dim4(Lexer *l, void *p) {
    return parse_dims(l, ((Dim4 *)p)->v, 4, "four integers like 1x1x1x1");
}

static bool equal_dim4(const void *a, const void *b) {
    return memcmp(a, b, sizeof(Dim4)) == 0;
}

static void print_ints(Buf *b, const void *p) {
    const Ints *v = p;
    buf_putc(b, '[');
    for (int i = 0; i < v->n; i++)
        buf_printf(b, "%s%" PRId64, i > 0 ? ", " : "", v->v[i]);
    buf_putc(b, ']');
}

static bool parse_ints(Lexer *l, void *p) {
    VEC(int64_t) v = {0};
    if (!lex_expect(l, "[", "a list of integers"))
        return false;
    while (!lex_accept(l, "]")) {
        int64_t x;
        if (v.len > 0 && !lex_expect(l, ",", "a comma or ] in the list"))
            return false;
        if (!lex_int(l, &x, "an integer"))
            return false;
        if (v.len == MAX_RANK)
            return lex_error_at(l, l->p, "a list of more than %d integers", MAX_RANK);
        vec_push(l->arena, &v, x);
    }
    *(Ints *)p = (Ints){v.data, (int)v.len};
    return true;
}

static bool equal_ints(const void *a, const void *b) {
    const Ints *x = a, *y = b;
    return x->n == y->n && (x->n == 0 || memcmp(x->v, y->v, (size_t)x->n * sizeof *x->v) == 0);
}

static void print_act(Buf *b, const void *p) {
    buf_puts(b, act_name(*(const Act *)p));
}

static bool parse_act(Lexer *l, void *p) {
    Span w = lex_peek_word(l);
    return act_parse(w.s, w.n, p) ? lex_word(l, &w, "") : lex_expected(l, "an activation");
}

static bool equal_act(const void *a, const void *b) {
    return *(const Act *)a == *(const Act *)b;
}

static void print_dtype(Buf *b, const void *p) {
    buf_puts(b, dtype_name(*(const DType *)p));
}

static bool parse_dtype(Lexer *l, void *p) {
    Span w = lex_peek_word(l);
    return dtype_parse(w.s, w.n, p) ? lex_word(l, &w, "") : lex_expected(l, "an element type");
}

static bool equal_dtype(const void *a, const void *b) {
    return *(const DType *)a == *(const DType *)b;
}

static void print_op(Buf *b, const void *p) {
    buf_puts(b, op_info(*(const Op *)p)->name);
}

static bool parse_op(Lexer *l, void *p) {
    Span w = lex_peek_word(l);
    return op_parse(w.s, w.n, p) ? lex_word(l, &w, "") : lex_expected(l, "an op");
}

static bool equal_op(const void *a, const void *b) {
    return *(const Op *)a == *(const Op *)b;
}

static const struct {
    void (*print)(Buf *b, const void *p);
    bool (*parse)(Lexer *l, void *p);
    bool (*equal)(const void *a, const void *b);
} kinds[] = {
#define KIND(id) [ATTR_##id] = {print_##id, parse_##id, equal_##id}
    KIND(int),  KIND(float), KIND(bool),  KIND(dim2), KIND(dim4),
    KIND(ints), KIND(act),   KIND(dtype), KIND(op),
#undef KIND
};

/* ---- whole sets ----------------------------------------------------------------------------- */

static const void *field_in(const AttrField *f, const void *attrs) {
    return (const char *)attrs + f->offset;
}

static bool field_equal(const AttrField *f, const void *a, const void *b) {
    return kinds[f->kind].equal(field_in(f, a), field_in(f, b));
}

void attr_print(Buf *b, const AttrField *f, const void *attrs) {
    kinds[f->kind].print(b, field_in(f, attrs));
}

void attrs_print(Buf *b, AttrSet set, const void *attrs) {
    const AttrSetInfo *info = attrset_info(set);
    const char *sep = " {";
    for (int i = 0; i < info->nfields; i++) {
        const AttrField *f = &info->fields[i];
        if (field_equal(f, attrs, info->defaults))
            continue;
        buf_printf(b, "%s%s=", sep, f->name);
        attr_print(b, f, attrs);
        sep = ", ";
    }
    if (sep[0] == ',')
        buf_putc(b, '}');
}

static const AttrField *find_field(const AttrSetInfo *info, Span name) {
    for (int i = 0; i < info->nfields; i++)
        if (span_is(name, info->fields[i].name))
            return &info->fields[i];
    return NULL;
}

static bool parse_field(Lexer *l, const AttrSetInfo *info, void *attrs, uint64_t *seen) {
    lex_skip_space(l);
    const char *at = l->p;
    Span name;
    if (!lex_word(l, &name, "an attribute's name"))
        return false;
    const AttrField *f = find_field(info, name);
    if (!f)
        return lex_error_at(l, at, "no attribute of this op is called %.*s", (int)name.n, name.s);
    uint64_t bit = UINT64_C(1) << (f - info->fields);
    if (*seen & bit)
        return lex_error_at(l, at, "attribute %s is there twice", f->name);
    *seen |= bit;
    return lex_expect(l, "=", "= behind the attribute's name") &&
           kinds[f->kind].parse(l, (char *)attrs + f->offset);
}

bool attrs_parse(Lexer *l, AttrSet set, void *attrs) {
    uint64_t seen = 0;
    for (bool first = true; !lex_accept(l, "}"); first = false) {
        if (!first && !lex_expect(l, ",", "a comma or } behind the attribute"))
            return false;
        if (!parse_field(l, attrset_info(set), attrs, &seen))
            return false;
    }
    return true;
}
