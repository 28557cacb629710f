/* lower_round.c: round, floor and ceil: the instructions of elementwise ops. */
#include "passes/lower.h"

#include <math.h>

/* What is built up from x. */
typedef struct Rounding {
    Reg *x, *size, *limit; /* size: |x|; from limit on, floats are integers */
    Reg *sign;             /* x's, as bits */
    LType bits;
    Reg *r; /* x rounded to nearest, with its sign */
} Rounding;

/* A result of zero keeps x's sign. */
static Reg *with_sign(Builder *b, const Rounding *g, Reg *r) {
    Reg *u = build_convert(b, INST_bitcast, "u", g->bits, r);
    return build_convert(b, INST_bitcast, "r", r->type,
                         build_op(b, INST_or, "u", u, g->sign, NULL));
}

/* Below the limit, adding it to |x| rounds it as wanted, and subtracting it is exact. */
static Rounding rounding(Builder *b, Reg *x) {
    bool wide = x->type.dtype == DT_f64;
    Rounding g = {.x = x, .bits = ltype(wide ? DT_i64 : DT_i32, x->type.lanes)};
    g.limit = build_const_f(b, "limit", x->type, ldexp(1, wide ? 52 : 23));
    g.size = build_op(b, INST_abs, "size", x, NULL, NULL);
    Reg *minus = build_const_i(b, "minus", g.bits, wide ? INT64_MIN : INT32_MIN);
    g.sign =
        build_op(b, INST_and, "sign", build_convert(b, INST_bitcast, "u", g.bits, x), minus, NULL);
    g.r = build_op(b, INST_add, "r", g.size, g.limit, NULL);
    g.r = with_sign(b, &g, build_op(b, INST_sub, "r", g.r, g.limit, NULL));
    return g;
}

/* r, or x where it is an integer already, infinite, or NaN. */
static Reg *rounded(Builder *b, const Rounding *g, Reg *r) {
    return build_op(b, INST_select, "z", build_op(b, INST_lt, "small", g->size, g->limit, NULL), r,
                    g->x);
}

Reg *round_result(Builder *b, Reg *x) {
    Rounding g = rounding(b, x);
    return rounded(b, &g, g.r);
}

/* The nearest integer, or the one beside it where that is on the wrong side of x. */
static Reg *directed(Builder *b, Reg *x, bool up) {
    Rounding g = rounding(b, x);
    Reg *one = build_const_f(b, "one", x->type, 1);
    Reg *wrong = build_op(b, INST_lt, "wrong", up ? g.r : x, up ? x : g.r, NULL);
    Reg *beside = build_op(b, up ? INST_add : INST_sub, "beside", g.r, one, NULL);
    return rounded(b, &g, with_sign(b, &g, build_op(b, INST_select, "r", wrong, beside, g.r)));
}

Reg *floor_result(Builder *b, Reg *x) {
    return directed(b, x, false);
}

Reg *ceil_result(Builder *b, Reg *x) {
    return directed(b, x, true);
}
