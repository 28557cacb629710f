/* graph_eval_compare.c: evaluators of comparisons, logic, powers and remainders: functions of two
 * elements, and the choice between two. */
#include "ir/graph_internal.h"

#include <math.h>

#define BINARY(name, on_floats, on_ints)                                                           \
    bool eval_##name(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,   \
                     Buf *why) {                                                                   \
        static const Binary f = {on_floats, on_ints};                                              \
        (void)n, (void)scratch;                                                                    \
        return binary_eval(&f, in, out[0], why);                                                   \
    }

/* ---- comparisons: false where one is NaN ----------------------------------------------------- */

static double equal_floats(double a, double b) {
    return a == b;
}

static bool equal_ints(uint64_t a, uint64_t b, bool is_signed, uint64_t *y) {
    (void)is_signed;
    *y = a == b;
    return true;
}

static double less_floats(double a, double b) {
    return a < b;
}

static bool less_ints(uint64_t a, uint64_t b, bool is_signed, uint64_t *y) {
    *y = bits_less(a, b, is_signed);
    return true;
}

static double less_equal_floats(double a, double b) {
    return a <= b;
}

static bool less_equal_ints(uint64_t a, uint64_t b, bool is_signed, uint64_t *y) {
    *y = !bits_less(b, a, is_signed);
    return true;
}

BINARY(equal, equal_floats, equal_ints)
BINARY(less, less_floats, less_ints)
BINARY(less_equal, less_equal_floats, less_equal_ints)

/* ---- logic: of bool, and bit by bit ---------------------------------------------------------- */

static bool and_ints(uint64_t a, uint64_t b, bool is_signed, uint64_t *y) {
    (void)is_signed;
    *y = a & b;
    return true;
}

static bool or_ints(uint64_t a, uint64_t b, bool is_signed, uint64_t *y) {
    (void)is_signed;
    *y = a | b;
    return true;
}

static bool xor_ints(uint64_t a, uint64_t b, bool is_signed, uint64_t *y) {
    (void)is_signed;
    *y = a ^ b;
    return true;
}

BINARY(and, NULL, and_ints)
BINARY(or, NULL, or_ints)
BINARY(xor, NULL, xor_ints)

/* ---- powers and remainders ------------------------------------------------------------------- */

static uint64_t power_of(uint64_t a, uint64_t exponent) {
    uint64_t y = 1;
    for (; exponent; exponent >>= 1) {
        y *= exponent & 1 ? a : 1;
        a *= a;
    }
    return y;
}

/* A negative exponent truncates 1 / a^-b towards zero; 0 has no such power. */
static bool pow_ints(uint64_t a, uint64_t b, bool is_signed, uint64_t *y) {
    if (!is_signed || (int64_t)b >= 0) {
        *y = power_of(a, b);
        return true;
    }
    bool unit = a == 1 || a == UINT64_MAX;
    *y = unit ? power_of(a, b & 1) : 0;
    return a != 0;
}

/* The remainder of the division that truncates: it has the sign of a. */
static bool fmod_ints(uint64_t a, uint64_t b, bool is_signed, uint64_t *y) {
    if (b == 0)
        return false;
    if (!is_signed)
        *y = a % b;
    else
        *y = b == UINT64_MAX ? 0 : (uint64_t)((int64_t)a % (int64_t)b);
    return true;
}

/* The remainder of the division that rounds down: it has the sign of b. */
static bool mod_ints(uint64_t a, uint64_t b, bool is_signed, uint64_t *y) {
    if (!fmod_ints(a, b, is_signed, y))
        return false;
    if (is_signed && *y && ((int64_t)*y < 0) != ((int64_t)b < 0))
        *y += b;
    return true;
}

static double mod_floats(double a, double b) {
    double r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

BINARY(pow, pow, pow_ints)
BINARY(fmod, fmod, fmod_ints)
BINARY(mod, mod_floats, mod_ints)

/* ---- choice ---------------------------------------------------------------------------------- */

/* y = c ? a : b, of any type. */
bool eval_where(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                Buf *why) {
    (void)n, (void)scratch, (void)why;
    const Shape *s = &out[0]->shape;
    int64_t stride[3][MAX_RANK], from[3], length = row_length(s);
    int64_t rows = length > 0 ? row_count(s) : 0;
    for (int k = 0; k < 3; k++)
        broadcast_strides(&in[k]->shape, s, stride[k]);
    for (int64_t r = 0; r < rows; r++) {
        for (int k = 0; k < 3; k++)
            from[k] = row_offset(s, r, stride[k]);
        for (int64_t i = 0; i < length; i++) {
            int k = tensor_bits(in[0], from[0] + i * last_stride(s, stride[0])) ? 1 : 2;
            uint64_t bits = tensor_bits(in[k], from[k] + i * last_stride(s, stride[k]));
            tensor_set_bits(out[0], r * length + i, bits);
        }
    }
    return true;
}
