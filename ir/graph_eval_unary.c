/* graph_eval_unary.c: evaluators of functions of one element. Floats are computed in double
 * precision and rounded once. */
#include "ir/graph_internal.h"

#include <math.h>

static void map_floats(double (*f)(double), const Tensor *x, Tensor *y) {
    int64_t count = shape_elems(&y->shape);
    for (int64_t i = 0; i < count; i++)
        tensor_set_f64(y, i, f(tensor_f64(x, i)));
}

/* is_signed: x is sign-extended. */
typedef uint64_t OnInt(uint64_t x, bool is_signed);

static void map_ints(OnInt *f, const Tensor *x, Tensor *y) {
    int64_t count = shape_elems(&y->shape);
    bool is_signed = dtype_is_signed_int(x->dtype);
    for (int64_t i = 0; i < count; i++)
        tensor_set_bits(y, i, f(tensor_bits(x, i), is_signed));
}

/* ---- floats alone --------------------------------------------------------------------------- */

/* To nearest, ties to even: the rounding mode is the default one. */
static double round_even(double x) {
    return nearbyint(x);
}

#define UNARY(name, f)                                                                             \
    bool eval_##name(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,   \
                     Buf *why) {                                                                   \
        (void)n, (void)scratch, (void)why;                                                         \
        map_floats(f, in[0], out[0]);                                                              \
        return true;                                                                               \
    }
UNARY(exp, exp)
UNARY(log, log)
UNARY(sqrt, sqrt)
UNARY(ceil, ceil)
UNARY(floor, floor)
UNARY(round, round_even)
UNARY(sin, sin)
UNARY(cos, cos)
UNARY(tan, tan)
UNARY(asin, asin)
UNARY(acos, acos)
UNARY(atan, atan)
UNARY(sinh, sinh)
UNARY(cosh, cosh)
UNARY(asinh, asinh)
UNARY(acosh, acosh)
UNARY(atanh, atanh)
#undef UNARY

/* ---- floats and integers -------------------------------------------------------------------- */

static double negate(double x) {
    return -x;
}

/* Integers wrap: the smallest is its own negative, and its own absolute value. */
static uint64_t negate_int(uint64_t x, bool is_signed) {
    (void)is_signed;
    return 0 - x;
}

static uint64_t abs_int(uint64_t x, bool is_signed) {
    return is_signed && (int64_t)x < 0 ? 0 - x : x;
}

/* Zeros and NaN stay. */
static double sign(double x) {
    return x > 0 ? 1 : x < 0 ? -1 : x;
}

static uint64_t sign_int(uint64_t x, bool is_signed) {
    return is_signed && (int64_t)x < 0 ? UINT64_MAX : x != 0;
}

#define UNARY(name, on_float, on_int)                                                              \
    bool eval_##name(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,   \
                     Buf *why) {                                                                   \
        (void)n, (void)scratch, (void)why;                                                         \
        if (dtype_is_float(in[0]->dtype))                                                          \
            map_floats(on_float, in[0], out[0]);                                                   \
        else                                                                                       \
            map_ints(on_int, in[0], out[0]);                                                       \
        return true;                                                                               \
    }
UNARY(neg, negate, negate_int)
UNARY(abs, fabs, abs_int)
UNARY(sign, sign, sign_int)
#undef UNARY

static uint64_t not_int(uint64_t x, bool is_signed) {
    (void)is_signed;
    return x == 0;
}

bool eval_not(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
              Buf *why) {
    (void)n, (void)scratch, (void)why;
    map_ints(not_int, in[0], out[0]);
    return true;
}
