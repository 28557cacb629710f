/* lower_power.c: hyperbolic functions and their inverses, powers and remainders: the instructions
 * of elementwise ops. Those of f32 are computed in double precision and rounded once. */
#include "passes/lower_double.h"

#include <math.h>

/* Below it, two terms of a series in x are exact enough. */
static const double TINY = 0x1p-14;

static Reg *size_of(Builder *b, Reg *x) {
    return build_op(b, INST_abs, "size", x, NULL, NULL);
}

/* y, which is not negative, with the sign of x. */
static Reg *signed_as(Builder *b, Reg *x, Reg *y) {
    Reg *minus = build_op(b, INST_neg, "minus", y, NULL, NULL);
    return f64_choose(b, f64_below(b, x, 0), minus, y);
}

/* x + c * x^3 where x is tiny, else y. */
static Reg *or_tiny(Builder *b, Reg *x, double c, Reg *y) {
    Reg *square = f64_op(b, INST_mul, x, x);
    Reg *cube = f64_op_number(b, INST_mul, f64_op(b, INST_mul, square, x), c);
    return f64_choose(b, f64_below(b, size_of(b, x), TINY), f64_op(b, INST_add, x, cube), y);
}

/* ---- hyperbolic functions -------------------------------------------------------------------- */

/* (e^x - e^-x) / 2, by its series between -1 and 1. */
Reg *sinh_result(Builder *b, Reg *x) {
    static const double taylor[] = {1,           1. / 6,        1. / 120,        1. / 5040,
                                    1. / 362880, 1. / 39916800, 1. / 6227020800.};
    x = f64_widen(b, x);
    Reg *e = f64_exp(b, x);
    Reg *y = f64_op(b, INST_sub, e, f64_op(b, INST_div, f64_number(b, x, 1), e));
    y = f64_op_number(b, INST_mul, y, 0.5);
    Reg *near = f64_polynomial(b, f64_op(b, INST_mul, x, x), taylor, 7);
    near = f64_op(b, INST_mul, x, near);
    return f64_narrow(b, f64_choose(b, f64_below(b, size_of(b, x), 1), near, y));
}

Reg *cosh_result(Builder *b, Reg *x) {
    x = f64_widen(b, x);
    Reg *e = f64_exp(b, x);
    Reg *y = f64_op(b, INST_add, e, f64_op(b, INST_div, f64_number(b, x, 1), e));
    return f64_narrow(b, f64_op_number(b, INST_mul, y, 0.5));
}

/* log(x + sqrt(x^2 + c)) for x >= 0; from 2^60 on log(2 x), whose square may be infinite. */
static Reg *area_function(Builder *b, Reg *x, Reg *square) {
    Reg *sum = f64_op(b, INST_add, x, f64_root(b, square));
    Reg *twice = f64_op(b, INST_add, x, x);
    return f64_log(b, f64_choose(b, f64_op(b, INST_lt, f64_number(b, x, 0x1p60), x), twice, sum));
}

Reg *asinh_result(Builder *b, Reg *x) {
    x = f64_widen(b, x);
    Reg *square = f64_op_number(b, INST_add, f64_op(b, INST_mul, x, x), 1);
    Reg *y = signed_as(b, x, area_function(b, size_of(b, x), square));
    return f64_narrow(b, or_tiny(b, x, -1. / 6, y));
}

Reg *acosh_result(Builder *b, Reg *x) {
    x = f64_widen(b, x);
    Reg *square =
        f64_op(b, INST_mul, f64_op_number(b, INST_sub, x, 1), f64_op_number(b, INST_add, x, 1));
    Reg *y = area_function(b, x, square);
    return f64_narrow(b, f64_choose(b, f64_below(b, x, 1), f64_number(b, x, NAN), y));
}

/* log((1 + x) / (1 - x)) / 2 */
Reg *atanh_result(Builder *b, Reg *x) {
    x = f64_widen(b, x);
    Reg *one = f64_number(b, x, 1);
    Reg *y = f64_op(b, INST_div, f64_op(b, INST_add, one, x), f64_op(b, INST_sub, one, x));
    y = f64_op_number(b, INST_mul, f64_log(b, y), 0.5);
    return f64_narrow(b, or_tiny(b, x, 1. / 3, y));
}

/* ---- powers of floats ------------------------------------------------------------------------ */

/* What e is besides a number: masks. e is no more than 2^40 here, where all f32 are even. */
typedef struct Exponent {
    Reg *is_integer, *is_odd;
} Exponent;

static Reg *both(Builder *b, Reg *x, Reg *y) {
    return build_op(b, INST_and, "both", x, y, NULL);
}

static Reg *negation(Builder *b, Reg *mask) {
    return build_op(b, INST_eq, "not", mask, build_const_i(b, "none", mask->type, 0), NULL);
}

static Exponent exponent_of(Builder *b, Reg *e) {
    Reg *size = size_of(b, e);
    size = f64_choose(b, f64_op(b, INST_lt, f64_number(b, e, 0x1p40), size),
                      f64_number(b, e, 0x1p40), size);
    Reg *half = f64_op_number(b, INST_mul, size, 0.5);
    Reg *is_integer = f64_op(b, INST_eq, size, f64_nearest(b, size, NULL));
    Reg *is_even = f64_op(b, INST_eq, half, f64_nearest(b, half, NULL));
    return (Exponent){is_integer, both(b, is_integer, negation(b, is_even))};
}

/* |x|^e, where 1^e and x^0 are 1 whatever e and x are. */
static Reg *power_of_size(Builder *b, Reg *x, Reg *e) {
    Reg *size = size_of(b, x), *zero = f64_number(b, x, 0);
    Reg *p = f64_op(b, INST_mul, e, f64_log(b, size));
    p = f64_choose(b, f64_op(b, INST_eq, e, zero), zero, p);
    p = f64_choose(b, f64_op_number(b, INST_eq, size, 1), zero, p);
    return f64_exp(b, p);
}

/* As C's pow: a negative number has powers by integers alone, negative where they are odd. */
Reg *pow_result(Builder *b, Reg *x, Reg *e) {
    x = f64_widen(b, x);
    e = f64_widen(b, e);
    Exponent kind = exponent_of(b, e);
    Reg *y = power_of_size(b, x, e);
    LType i64 = ltype(DT_i64, x->type.lanes);
    Reg *sign = build_convert(b, INST_bitcast, "sign", i64, x);
    sign = build_op(b, INST_lt, "sign", sign, build_const_i(b, "none", i64, 0), NULL);
    Reg *minus = build_op(b, INST_neg, "minus", y, NULL, NULL);
    y = f64_choose(b, both(b, sign, kind.is_odd), minus, y);
    Reg *none = both(b, f64_below(b, x, 0), negation(b, kind.is_integer));
    none = both(b, none, f64_op(b, INST_lt, f64_number(b, x, -INFINITY), x));
    return f64_narrow(b, f64_choose(b, none, f64_number(b, x, NAN), y));
}

/* ---- powers of integers ---------------------------------------------------------------------- */

/* By squares, modulo 2^bits. A negative exponent gives 0 but for 1 and -1. */
Reg *int_pow_result(Builder *b, Reg *x, Reg *e) {
    LType t = x->type;
    Reg *one = build_const_i(b, "one", t, 1), *zero = build_const_i(b, "zero", t, 0);
    Reg *y = build_op(b, INST_mov, "y", one, NULL, NULL);
    Reg *square = build_op(b, INST_mov, "square", x, NULL, NULL);
    Reg *left = build_op(b, INST_mov, "left", e, NULL, NULL);
    build_for(b, "bit", bound_const(0), bound_const(8 * dtype_bytes(t.dtype)), 1);
    Reg *odd = build_op(b, INST_and, "odd", left, one, NULL);
    Reg *factor = build_op(b, INST_select, "factor", build_op(b, INST_eq, "even", odd, zero, NULL),
                           one, square);
    build_op_to(b, INST_mul, y, y, factor, NULL);
    build_op_to(b, INST_mul, square, square, square, NULL);
    build_shift_to(b, INST_shr, left, left, 1);
    build_close(b);
    if (!dtype_is_signed_int(t.dtype))
        return y;
    Reg *minus = build_const_i(b, "minus", t, -1);
    Reg *unit = build_op(b, INST_or, "unit", build_op(b, INST_eq, "unit", x, one, NULL),
                         build_op(b, INST_eq, "unit", x, minus, NULL), NULL);
    Reg *none = both(b, build_op(b, INST_lt, "none", e, zero, NULL), negation(b, unit));
    return build_op(b, INST_select, "y", none, zero, y);
}

/* ---- remainders of floats -------------------------------------------------------------------- */

/* The integer in front of the point of q, which may be 1 too large: division rounded it. From 2^26
 * on one that is less but has 27 bits in common with it, so that its product with an f32 is exact.
 */
static Reg *whole_quotient(Builder *b, Reg *q) {
    LType i64 = ltype(DT_i64, q->type.lanes);
    Reg *n = f64_nearest(b, q, NULL);
    n = f64_choose(b, f64_op(b, INST_lt, q, n), f64_op_number(b, INST_sub, n, 1), n);
    Reg *large =
        build_convert(b, INST_bitcast, "bits", i64, f64_op_number(b, INST_mul, q, 1 - 0x1p-50));
    large = build_op(b, INST_and, "bits", large, build_const_i(b, "k", i64, -(1LL << 26)), NULL);
    large = build_convert(b, INST_bitcast, "large", q->type, large);
    return f64_choose(b, f64_below(b, q, 0x1p27), n, large);
}

/* As C's fmod, in double precision: exactly, by long division, some 25 bits of the quotient a
 * round. It has up to 2^277. */
static Reg *exact_remainder(Builder *b, Reg *x, Reg *y) {
    enum { ROUNDS = 12 };
    Reg *size = size_of(b, x), *divisor = size_of(b, y);
    Reg *left = build_op(b, INST_mov, "left", size, NULL, NULL);
    build_for(b, "round", bound_const(0), bound_const(ROUNDS), 1);
    Reg *q = whole_quotient(b, f64_op(b, INST_div, left, divisor));
    Reg *r = f64_op(b, INST_sub, left, f64_op(b, INST_mul, q, divisor));
    build_op_to(b, INST_select, left, f64_below(b, r, 0), f64_op(b, INST_add, r, divisor), r);
    build_close(b);
    Reg *is_less = f64_op(b, INST_lt, size, divisor);
    return f64_choose(b, is_less, x, signed_as(b, x, left));
}

Reg *fmod_result(Builder *b, Reg *x, Reg *y) {
    return f64_narrow(b, exact_remainder(b, f64_widen(b, x), f64_widen(b, y)));
}

/* With the sign of y: where that isn't the remainder's, y is added to it. */
Reg *mod_result(Builder *b, Reg *x, Reg *y) {
    y = f64_widen(b, y);
    Reg *r = exact_remainder(b, f64_widen(b, x), y);
    Reg *sum = f64_op(b, INST_add, r, y), *zero = f64_number(b, r, 0);
    Reg *up = both(b, f64_below(b, r, 0), f64_op(b, INST_lt, zero, y));
    Reg *down = both(b, f64_op(b, INST_lt, zero, r), f64_below(b, y, 0));
    return f64_narrow(b, f64_choose(b, up, sum, f64_choose(b, down, sum, r)));
}
