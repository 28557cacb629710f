/* lower_log.c: the natural logarithm of f32: the instructions of an elementwise op.
 *
 * x = 2^e * m, with m between sqrt(1/2) and sqrt(2); with s = (m - 1) / (m + 1) and z = s * s,
 *
 *     log m = 2 s (1 + z/3 + z^2/5 + z^3/7 + z^4/9 + ...)
 *
 * z is less than 0.03: the terms that are left out are less than 1e-8 of the sum. */
#include "passes/lower.h"

#include <math.h>

enum { SQRT_HALF = 0x3f3504f3, MANTISSA = 23 }; /* the bits of sqrt(1/2) */

static const double LN2 = 0.6931471805599453;

static Reg *times(Builder *b, Reg *x, double by) {
    return build_op(b, INST_mul, "t", x, build_const_f(b, "k", x->type, by), NULL);
}

static Reg *plus(Builder *b, Reg *x, double y) {
    return build_op(b, INST_add, "t", x, build_const_f(b, "k", x->type, y), NULL);
}

/* The logarithm of m, near 1. */
static Reg *log_near_one(Builder *b, Reg *m) {
    Reg *f = plus(b, m, -1);
    Reg *s = build_op(b, INST_div, "s", f, plus(b, f, 2), NULL);
    Reg *z = build_op(b, INST_mul, "z", s, s, NULL), *p = build_const_f(b, "p", m->type, 2.0 / 9);
    for (int i = 7; i >= 3; i -= 2)
        p = plus(b, build_op(b, INST_mul, "p", p, z, NULL), 2.0 / i);
    p = plus(b, build_op(b, INST_mul, "p", p, z, NULL), 2);
    return build_op(b, INST_mul, "y", s, p, NULL);
}

/* Of a positive, normal x. */
static Reg *log_normal(Builder *b, Reg *x) {
    LType t = x->type, bits = ltype(DT_i32, t.lanes);
    Reg *u = build_convert(b, INST_bitcast, "u", bits, x);
    Reg *base = build_const_i(b, "base", bits, SQRT_HALF);
    Reg *e = build_shift(b, INST_shr, "e", build_op(b, INST_sub, "e", u, base, NULL), MANTISSA);
    Reg *m = build_op(b, INST_sub, "m", u, build_shift(b, INST_shl, "up", e, MANTISSA), NULL);
    Reg *y = log_near_one(b, build_convert(b, INST_bitcast, "m", t, m));
    return build_op(b, INST_add, "y", times(b, build_convert(b, INST_convert, "e", t, e), LN2), y,
                    NULL);
}

static Reg *choose(Builder *b, InstOp compare, Reg *x, Reg *limit, Reg *then, Reg *otherwise) {
    Reg *c = build_op(b, compare, "c", x, limit, NULL);
    return build_op(b, INST_select, "z", c, then, otherwise);
}

/* Denormal numbers are made normal first. 0 gives -infinity, less than it NaN; infinity and NaN
 * stay. */
Reg *log_result(Builder *b, Reg *x) {
    LType t = x->type;
    Reg *zero = build_const_f(b, "zero", t, 0), *least = build_const_f(b, "least", t, 0x1p-126);
    Reg *infinity = build_const_f(b, "infinity", t, INFINITY);
    Reg *scaled = choose(b, INST_lt, x, least, times(b, x, 0x1p24), x);
    Reg *y = log_normal(b, scaled);
    y = choose(b, INST_lt, x, least, plus(b, y, -24 * LN2), y);
    y = choose(b, INST_lt, x, infinity, y, x);
    y = choose(b, INST_eq, x, zero, build_const_f(b, "pole", t, -INFINITY), y);
    return choose(b, INST_lt, x, zero, build_const_f(b, "nan", t, NAN), y);
}
