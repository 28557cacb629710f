/* lower_double.c: arithmetic of f64 that functions of f32 are made of, with relative errors below
 * 1e-11. Rounded once, they are the nearest f32 or, where they are almost between two, one of them.
 * The functions: lower_trig.c, lower_power.c. */
#include "passes/lower_double.h"

#include <math.h>

enum { EXPONENT_BIAS = 1023, MANTISSA = 52 };

static const double LN2 = 0x1.62e42fefa39efp-1;
static const double LN2_HIGH = 0x1.62e42fee00000p-1, LN2_LOW = 0x1.a39ef35793c76p-33;

/* 1.5 * 2^52: floats near it are a distance of 1 apart. */
static const double ROUNDING = 0x1.8p52;

/* ---- building -------------------------------------------------------------------------------- */

Reg *f64_number(Builder *b, const Reg *x, double value) {
    return build_const_f(b, "k", x->type, value);
}

Reg *f64_op(Builder *b, InstOp op, Reg *x, Reg *y) {
    return build_op(b, op, "t", x, y, NULL);
}

Reg *f64_op_number(Builder *b, InstOp op, Reg *x, double y) {
    return f64_op(b, op, x, f64_number(b, x, y));
}

Reg *f64_choose(Builder *b, Reg *mask, Reg *then, Reg *otherwise) {
    return build_op(b, INST_select, "z", mask, then, otherwise);
}

Reg *f64_below(Builder *b, Reg *x, double limit) {
    return f64_op_number(b, INST_lt, x, limit);
}

Reg *f64_widen(Builder *b, Reg *x) {
    return build_convert(b, INST_convert, "wide", ltype(DT_f64, x->type.lanes), x);
}

Reg *f64_narrow(Builder *b, Reg *x) {
    return build_convert(b, INST_convert, "y", ltype(DT_f32, x->type.lanes), x);
}

Reg *f64_polynomial(Builder *b, Reg *x, const double *c, int n) {
    Reg *p = f64_number(b, x, c[n - 1]);
    for (int i = n - 2; i >= 0; i--)
        p = f64_op_number(b, INST_add, f64_op(b, INST_mul, p, x), c[i]);
    return p;
}

Reg *f64_nearest(Builder *b, Reg *x, Reg **bits) {
    Reg *sum = f64_op_number(b, INST_add, x, ROUNDING);
    if (bits)
        *bits = build_convert(b, INST_bitcast, "bits", ltype(DT_i64, x->type.lanes), sum);
    return f64_op_number(b, INST_sub, sum, ROUNDING);
}

static Reg *i64_like(Builder *b, const Reg *x, int64_t value) {
    return build_const_i(b, "k", ltype(DT_i64, x->type.lanes), value);
}

static Reg *as_bits(Builder *b, Reg *x) {
    return build_convert(b, INST_bitcast, "bits", ltype(DT_i64, x->type.lanes), x);
}

static Reg *from_bits(Builder *b, Reg *bits) {
    return build_convert(b, INST_bitcast, "x", ltype(DT_f64, bits->type.lanes), bits);
}

/* ---- root, exponential and logarithm of f64 -------------------------------------------------- */

/* t * 1 / sqrt(t), the reciprocal by Newton's method. Half the exponent is a first value with an
 * error of 3.5 %; each step squares the error, and 1.5 times it. */
Reg *f64_root(Builder *b, Reg *t) {
    Reg *half = build_shift(b, INST_shr, "half", as_bits(b, t), 1);
    Reg *n = from_bits(b, f64_op(b, INST_sub, i64_like(b, t, 0x5fe6eb50c7b537a9), half));
    Reg *minus_half = f64_op_number(b, INST_mul, t, -0.5);
    for (int i = 0; i < 4; i++) {
        Reg *e = f64_op(b, INST_mul, f64_op(b, INST_mul, minus_half, n), n);
        n = f64_op(b, INST_mul, n, f64_op_number(b, INST_add, e, 1.5));
    }
    return f64_choose(b, f64_below(b, t, 0), f64_number(b, t, NAN), f64_op(b, INST_mul, t, n));
}

/* e^x = 2^n * e^r, with n the integer nearest to x / ln(2); ln(2) is the sum of two constants, the
 * first of so few bits that n times it is exact. x is clamped to [-200, 200]: as f32, e^x is 0 or
 * infinite there. */
Reg *f64_exp(Builder *b, Reg *x) {
    static const double taylor[] = {1,          1,           1. / 2,      1. / 6,
                                    1. / 24,    1. / 120,    1. / 720,    1. / 5040,
                                    1. / 40320, 1. / 362880, 1. / 3628800};
    x = f64_choose(b, f64_below(b, x, -200), f64_number(b, x, -200), x);
    x = f64_choose(b, f64_op(b, INST_lt, f64_number(b, x, 200), x), f64_number(b, x, 200), x);
    Reg *bits, *n = f64_nearest(b, f64_op_number(b, INST_mul, x, 1 / LN2), &bits);
    Reg *r = f64_op(b, INST_sub, x, f64_op_number(b, INST_mul, n, LN2_HIGH));
    r = f64_op(b, INST_sub, r, f64_op_number(b, INST_mul, n, LN2_LOW));
    Reg *power = f64_op(b, INST_add, bits, i64_like(b, x, EXPONENT_BIAS));
    power = from_bits(b, build_shift(b, INST_shl, "power", power, MANTISSA));
    return f64_op(b, INST_mul, f64_polynomial(b, r, taylor, sizeof taylor / sizeof *taylor), power);
}

/* Of a positive, normal x = 2^e * m, with m between sqrt(1/2) and sqrt(2); with s = (m - 1) / (m +
 * 1), log m = 2 artanh s. */
static Reg *logarithm_of_normal(Builder *b, Reg *x) {
    static const double artanh[] = {2,       2. / 3,  2. / 5,  2. / 7, 2. / 9,
                                    2. / 11, 2. / 13, 2. / 15, 2. / 17};
    Reg *bits = as_bits(b, x), *base = i64_like(b, x, 0x3fe6a09e667f3bcd); /* sqrt(1/2) */
    Reg *e = build_shift(b, INST_shr, "e", f64_op(b, INST_sub, bits, base), MANTISSA);
    Reg *m = from_bits(b, f64_op(b, INST_sub, bits, build_shift(b, INST_shl, "up", e, MANTISSA)));
    Reg *s =
        f64_op(b, INST_div, f64_op_number(b, INST_sub, m, 1), f64_op_number(b, INST_add, m, 1));
    Reg *p = f64_polynomial(b, f64_op(b, INST_mul, s, s), artanh, sizeof artanh / sizeof *artanh);
    e = build_convert(b, INST_convert, "e", x->type, e);
    return f64_op(b, INST_add, f64_op_number(b, INST_mul, e, LN2), f64_op(b, INST_mul, s, p));
}

/* 0 gives -infinity, less than it NaN; infinity and NaN stay. */
Reg *f64_log(Builder *b, Reg *x) {
    Reg *y = f64_choose(b, f64_below(b, x, INFINITY), logarithm_of_normal(b, x), x);
    y = f64_choose(b, f64_op_number(b, INST_eq, x, 0), f64_number(b, x, -INFINITY), y);
    return f64_choose(b, f64_below(b, x, 0), f64_number(b, x, NAN), y);
}
