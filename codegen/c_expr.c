/* c_expr.c: literals and the templates of instructions and macros. */
#include "codegen/c_printer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- literals -------------------------------------------------------------------------------- */

/* The shortest decimal that reads back as x: the same in every locale-free C implementation. */
static const char *decimal(Arena *a, double x, bool single) {
    char s[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, x);
        double back = single ? (double)strtof(s, NULL) : strtod(s, NULL);
        if (memcmp(&back, &x, sizeof x) == 0)
            break;
    }
    const char *point = strpbrk(s, ".e") ? "" : ".0";
    return arena_printf(a, "%s%s%s", s, point, single ? "f" : "");
}

static const char *from_bits(CPrinter *p, DType dt, DType bits_type, uint64_t bits) {
    LType to = {dt, 1}, from = {bits_type, 1};
    return arena_printf(&p->arena, "%s(0x%llxu)", c_macro(p, INST_bitcast, to, from),
                        (unsigned long long)bits);
}

static const char *literal_f32(CPrinter *p, float x) {
    if (isfinite(x))
        return decimal(&p->arena, (double)x, true);
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return from_bits(p, DT_f32, DT_u32, bits);
}

static const char *literal_f64(CPrinter *p, double x) {
    if (isfinite(x))
        return decimal(&p->arena, x, false);
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return from_bits(p, DT_f64, DT_u64, bits);
}

const char *c_literal_f(CPrinter *p, DType dt, double value) {
    switch (dt) {
    case DT_f32:
        return literal_f32(p, (float)value);
    case DT_f64:
        return literal_f64(p, value);
    case DT_f16:
        return arena_printf(&p->arena, "0x%04x", float_to_half((float)value));
    case DT_bf16:
        return arena_printf(&p->arena, "0x%04x", float_to_bfloat((float)value));
    default:
        die("%s is no float type", dtype_name(dt));
    }
}

const char *c_literal_i(Arena *a, DType dt, int64_t value) {
    if (dt == DT_u32 || dt == DT_u64)
        return arena_printf(a, "%lluu", (unsigned long long)(uint64_t)value);
    if (value == INT64_MIN)
        return "(-9223372036854775807 - 1)";
    if (value == INT32_MIN)
        return "(-2147483647 - 1)";
    return arena_printf(a, "%lld", (long long)value);
}

/* ---- templates ------------------------------------------------------------------------------- */

/* "x, x, x, x": the lanes of a vector literal. */
static const char *repeat(Arena *a, int lanes, const char *x) {
    size_t n = strlen(x);
    char *s = arena_alloc(a, (size_t)lanes * (n + 2) + 1), *to = s;
    for (int i = 0; i < lanes; i++)
        to += sprintf(to, "%s%s", i ? ", " : "", x);
    return s;
}

/* "1.0f, 1.0218972f, ...": 16 of exp2_powers. */
static const char *powers(CPrinter *p, DType t, int first) {
    Buf b = {0};
    for (int j = 0; j < 16; j++)
        buf_printf(&b, "%s%s", j ? ", " : "", c_literal_f(p, t, exp2_powers[first + j]));
    const char *s = arena_strdup(&p->arena, b.data);
    buf_free(&b);
    return s;
}

/* The ends of an integer type. As a vector operand, the greatest unsigned value has all bits
 * set. */
static int64_t least(DType t) {
    return dtype_is_signed_int(t) ? -(INT64_C(1) << (8 * dtype_bytes(t) - 2)) * 2 : 0;
}

static const char *greatest(Arena *a, LType t) {
    bool sign = dtype_is_signed_int(t.dtype);
    if (sign || t.lanes > 1)
        return c_literal_i(a, DT_i64, sign ? -(least(t.dtype) + 1) : -1);
    int bits = 8 * dtype_bytes(t.dtype);
    return arena_printf(a, "%lluu", (unsigned long long)(UINT64_MAX >> (64 - bits)));
}

static const char *float_bound(CPrinter *p, const CBindings *v, bool upper) {
    double end = -(double)least(v->type.dtype);
    if (!dtype_is_signed_int(v->type.dtype))
        end = ldexp(1, 8 * dtype_bytes(v->type.dtype));
    return c_literal_f(p, v->from.dtype, upper ? end : (double)least(v->type.dtype));
}

static const char *variable(CPrinter *p, char c, const CBindings *v) {
    Arena *a = &p->arena;
    switch (c) {
    case 'd':
        return v->dst;
    case '0':
    case '1':
    case '2':
        return v->src[c - '0'];
    case 'i':
        return v->imm;
    case 'a':
        return v->element;
    case 'p':
        return v->pointer;
    case 't':
        return c_reg_type(a, &p->types, v->type, v->wide);
    case 'f':
        return c_type(a, &p->types, v->from);
    case 'u':
        return c_type_wrap(a, &p->types, v->type);
    case 'k':
        return c_type(a, &p->types, ltype_mask(v->type));
    case 'j':
        return c_type(a, &p->types, ltype_mask(v->from));
    case 'l':
        return c_literal_i(a, DT_i64, least(v->type.dtype));
    case 'h':
        return greatest(a, v->type);
    case 'L':
    case 'H':
        return float_bound(p, v, c == 'H');
    case 'w':
        return c_type_unaligned(a, &p->types, v->type);
    case 'm':
        return c_macro(p, v->op, v->type, v->from);
    case 's':
        return c_macro(p, INST_select, v->type, v->type);
    case 'r':
        return repeat(a, v->type.lanes, "(x)");
    case 'e':
    case 'E':
        return powers(p, v->type.dtype, c == 'e' ? 0 : 16);
    default:
        return NULL;
    }
}

void c_expand(CPrinter *p, Buf *b, const char *text, const CBindings *v) {
    for (const char *s = text; *s; s++) {
        if (*s != '$') {
            buf_putc(b, *s);
            continue;
        }
        const char *value = variable(p, *++s, v);
        if (!value)
            die("template \"%s\" uses $%c", text, *s);
        buf_puts(b, value);
    }
}
