/* lower_trig.c: trigonometric functions of f32 and their inverses: the instructions of elementwise
 * ops, in double precision, rounded once.
 *
 * x = (q + r) * pi/2, with q an integer and r in [-1/2, 1/2], for all x: numbers of up to 2^128
 * have 24 bits, and what of 2/pi gives multiples of 4 in the product is left out:
 *
 *     |x| < 2^48          x * 2/pi
 *     |x| < 2^(24j + 48)  x * 2^-24j, an integer, times 2^24j * 2/pi without its bits from 4 on
 *
 * 2/pi is five pieces of 24 bits (the first one of 26): all products are exact, and so are the sums
 * until little is left of them. What is left out is less than 2^-70 of a quarter turn, and no f32
 * is nearer to a multiple of it than 2^-31. */
#include "passes/lower_double.h"

#include <math.h>

static const double HALF_PI = 0x1.921fb54442d18p+0;

/* ---- reduction ------------------------------------------------------------------------------- */

enum { PIECES = 5, RANGES = 5 };

/* 2/pi, 24 bits each. */
static const int64_t two_over_pi[PIECES + RANGES - 1] = {
    0xa2f983, 0x6e4e44, 0x1529fc, 0x2757d1, 0xf534dd, 0xc0db62, 0x95993c, 0x439041, 0xfe5163};

/* Piece p for |x| < 2^(24 range + 48). */
static double piece(int range, int p) {
    int64_t high = p == 0 && range > 0 ? two_over_pi[range - 1] & 3 : 0;
    return ldexp((double)(high << 24 | two_over_pi[range + p]), -24 * (p + 1));
}

/* Where x is among the ranges: masks for all but the first. */
typedef struct Ranges {
    Reg *beyond[RANGES];
} Ranges;

static Reg *in_range(Builder *b, const Ranges *r, const Reg *like, const double *value) {
    Reg *v = f64_number(b, like, value[0]);
    for (int i = 1; i < RANGES; i++)
        v = f64_choose(b, r->beyond[i], f64_number(b, like, value[i]), v);
    return v;
}

/* x in quarter turns: `rest` of one, and behind whole ones whose number has the low bits `bits`. */
typedef struct Turns {
    Reg *rest, *bits;
} Turns;

/* t without its whole quarter turns, which are added to *whole. */
static Reg *without_whole(Builder *b, Reg *t, Reg **whole) {
    Reg *n = f64_nearest(b, t, NULL);
    *whole = *whole ? f64_op(b, INST_add, *whole, n) : n;
    return f64_op(b, INST_sub, t, n);
}

static Turns turns(Builder *b, Reg *x) {
    Ranges r;
    double scale[RANGES], value[RANGES];
    Reg *size = build_op(b, INST_abs, "size", x, NULL, NULL), *t[PIECES], *whole = NULL;
    for (int i = 0; i < RANGES; i++) {
        scale[i] = ldexp(1, -24 * i);
        if (i > 0)
            r.beyond[i] = f64_op(b, INST_le, f64_number(b, x, ldexp(1, 24 * i + 24)), size);
    }
    x = f64_op(b, INST_mul, x, in_range(b, &r, x, scale));
    for (int p = 0; p < PIECES; p++) {
        for (int i = 0; i < RANGES; i++)
            value[i] = piece(i, p);
        t[p] = f64_op(b, INST_mul, x, in_range(b, &r, x, value));
    }
    Reg *first = without_whole(b, t[0], &whole), *second = without_whole(b, t[1], &whole);
    Reg *s = f64_op(b, INST_add, first, second);
    Reg *n = f64_nearest(b, f64_op(b, INST_add, s, t[2]), NULL);
    s = f64_op(b, INST_add, f64_op(b, INST_sub, s, n), t[2]);
    s = f64_op(b, INST_add, f64_op(b, INST_add, s, t[3]), t[4]);
    Turns result = {.rest = s};
    f64_nearest(b, f64_op(b, INST_add, whole, n), &result.bits);
    return result;
}

/* ---- sin, cos, tan --------------------------------------------------------------------------- */

/* Of t's rest: Taylor series, to 1e-14 on [-pi/4, pi/4]. */
static void sine_and_cosine(Builder *b, const Turns *t, Reg **sine, Reg **cosine) {
    static const double sines[] = {1,           -1. / 6,        1. / 120,        -1. / 5040,
                                   1. / 362880, -1. / 39916800, 1. / 6227020800.};
    static const double cosines[] = {
        1,          -1. / 2,       1. / 24,         -1. / 720,
        1. / 40320, -1. / 3628800, 1. / 479001600., -1. / 87178291200.};
    Reg *angle = f64_op_number(b, INST_mul, t->rest, HALF_PI);
    Reg *square = f64_op(b, INST_mul, angle, angle);
    *sine = f64_op(b, INST_mul, angle, f64_polynomial(b, square, sines, 7));
    *cosine = f64_polynomial(b, square, cosines, 8);
}

/* A mask: whether that bit of the number of quarter turns, and so many, is 0. */
static Reg *bit_is_clear(Builder *b, const Turns *t, int64_t more, int64_t bit) {
    LType i64 = t->bits->type;
    Reg *q = build_op(b, INST_add, "q", t->bits, build_const_i(b, "more", i64, more), NULL);
    q = build_op(b, INST_and, "q", q, build_const_i(b, "bit", i64, bit), NULL);
    return build_op(b, INST_eq, "clear", q, build_const_i(b, "none", i64, 0), NULL);
}

static Reg *negated(Builder *b, Reg *x) {
    return build_op(b, INST_neg, "minus", x, NULL, NULL);
}

/* The sine of x and so many quarter turns. */
static Reg *sine_of(Builder *b, Reg *x, int64_t more) {
    Turns t = turns(b, f64_widen(b, x));
    Reg *sine, *cosine;
    sine_and_cosine(b, &t, &sine, &cosine);
    Reg *y = f64_choose(b, bit_is_clear(b, &t, more, 1), sine, cosine);
    return f64_narrow(b, f64_choose(b, bit_is_clear(b, &t, more, 2), y, negated(b, y)));
}

Reg *sin_result(Builder *b, Reg *x) {
    return sine_of(b, x, 0);
}

Reg *cos_result(Builder *b, Reg *x) {
    return sine_of(b, x, 1);
}

Reg *tan_result(Builder *b, Reg *x) {
    Turns t = turns(b, f64_widen(b, x));
    Reg *sine, *cosine, *even = bit_is_clear(b, &t, 0, 1);
    sine_and_cosine(b, &t, &sine, &cosine);
    Reg *above = f64_choose(b, even, sine, cosine);
    Reg *below = f64_choose(b, even, cosine, negated(b, sine));
    return f64_narrow(b, f64_op(b, INST_div, above, below));
}

/* ---- atan, asin, acos ------------------------------------------------------------------------ */

/* Of |x|, infinity too: first 1/x where that is less, then (x - 1) / (x + 1) where x is beyond
 * tan(pi/8); the series has an error of 1e-12 there. */
static Reg *arc_tangent_of_size(Builder *b, Reg *size) {
    enum { TERMS = 14 };
    double series[TERMS];
    for (int i = 0; i < TERMS; i++)
        series[i] = (i % 2 ? -1. : 1.) / (2 * i + 1);
    Reg *one = f64_number(b, size, 1), *large = f64_op(b, INST_lt, one, size);
    Reg *u = f64_choose(b, large, f64_op(b, INST_div, one, size), size);
    Reg *small = f64_below(b, u, 0x1.a827999fcef32p-2);
    Reg *turned = f64_op(b, INST_div, f64_op(b, INST_sub, u, one), f64_op(b, INST_add, u, one));
    Reg *v = f64_choose(b, small, u, turned);
    Reg *p = f64_polynomial(b, f64_op(b, INST_mul, v, v), series, TERMS);
    p = f64_op(b, INST_mul, v, p);
    p = f64_choose(b, small, p, f64_op_number(b, INST_add, p, HALF_PI / 2));
    return f64_choose(b, large, f64_op(b, INST_sub, f64_number(b, p, HALF_PI), p), p);
}

static Reg *arc_tangent(Builder *b, Reg *x) {
    Reg *size = build_op(b, INST_abs, "size", x, NULL, NULL);
    Reg *y = arc_tangent_of_size(b, size);
    return f64_choose(b, f64_below(b, x, 0), negated(b, y),
                      f64_choose(b, f64_op(b, INST_eq, x, f64_number(b, x, 0)), x, y));
}

Reg *atan_result(Builder *b, Reg *x) {
    return f64_narrow(b, arc_tangent(b, f64_widen(b, x)));
}

/* atan(x / sqrt(1 - x^2)) */
static Reg *arc_sine(Builder *b, Reg *x) {
    Reg *one = f64_number(b, x, 1);
    Reg *square = f64_op(b, INST_mul, f64_op(b, INST_sub, one, x), f64_op(b, INST_add, one, x));
    return arc_tangent(b, f64_op(b, INST_div, x, f64_root(b, square)));
}

Reg *asin_result(Builder *b, Reg *x) {
    return f64_narrow(b, arc_sine(b, f64_widen(b, x)));
}

Reg *acos_result(Builder *b, Reg *x) {
    Reg *y = arc_sine(b, f64_widen(b, x));
    return f64_narrow(b, f64_op(b, INST_sub, f64_number(b, y, HALF_PI), y));
}
