/* graph_eval_math.c: evaluators of arithmetic, activations, casts and normalisations.
 *
 * Floats are computed in double precision and rounded once: for +, -, * and / of f32, f16 and bf16
 * that is the correctly rounded result (Figueroa 1995). Integers are computed modulo 2^64. */
#include "ir/graph_internal.h"

#include <math.h>

/* ---- two operands --------------------------------------------------------------------------- */

/* One row of the result, from element y0 on; a and b step by their strides. */
static bool binary_row(const Binary *f, const Tensor *a, int64_t a0, int64_t a_step,
                       const Tensor *b, int64_t b0, int64_t b_step, Tensor *y, int64_t y0,
                       int64_t length) {
    bool is_signed = dtype_is_signed_int(a->dtype);
    if (dtype_is_float(a->dtype)) {
        for (int64_t i = 0; i < length; i++)
            tensor_set_f64(
                y, y0 + i,
                f->on_floats(tensor_f64(a, a0 + i * a_step), tensor_f64(b, b0 + i * b_step)));
        return true;
    }
    for (int64_t i = 0; i < length; i++) {
        uint64_t result;
        if (!f->on_ints(tensor_bits(a, a0 + i * a_step), tensor_bits(b, b0 + i * b_step), is_signed,
                        &result))
            return false;
        tensor_set_bits(y, y0 + i, result);
    }
    return true;
}

bool binary_eval(const Binary *f, const Tensor *const *in, Tensor *y, Buf *why) {
    const Shape *s = &y->shape;
    int64_t a_stride[MAX_RANK], b_stride[MAX_RANK];
    broadcast_strides(&in[0]->shape, s, a_stride);
    broadcast_strides(&in[1]->shape, s, b_stride);
    int64_t length = row_length(s), rows = length > 0 ? row_count(s) : 0;
    for (int64_t r = 0; r < rows; r++) {
        int64_t a0 = row_offset(s, r, a_stride), b0 = row_offset(s, r, b_stride);
        if (!binary_row(f, in[0], a0, last_stride(s, a_stride), in[1], b0, last_stride(s, b_stride),
                        y, r * length, length))
            return refuse(why, "integer division by zero");
    }
    return true;
}

static double add_floats(double a, double b) {
    return a + b;
}

static bool add_ints(uint64_t a, uint64_t b, bool is_signed, uint64_t *y) {
    (void)is_signed;
    *y = a + b;
    return true;
}

static double sub_floats(double a, double b) {
    return a - b;
}

static bool sub_ints(uint64_t a, uint64_t b, bool is_signed, uint64_t *y) {
    (void)is_signed;
    *y = a - b;
    return true;
}

static double mul_floats(double a, double b) {
    return a * b;
}

static bool mul_ints(uint64_t a, uint64_t b, bool is_signed, uint64_t *y) {
    (void)is_signed;
    *y = a * b;
    return true;
}

static double div_floats(double a, double b) {
    return a / b;
}

/* Truncates towards zero; the smallest integer by -1 is itself, as two's complement wraps. */
static bool div_ints(uint64_t a, uint64_t b, bool is_signed, uint64_t *y) {
    if (b == 0)
        return false;
    if (!is_signed)
        *y = a / b;
    else if (b == UINT64_MAX)
        *y = 0 - a;
    else
        *y = (uint64_t)((int64_t)a / (int64_t)b);
    return true;
}

bool bits_less(uint64_t a, uint64_t b, bool is_signed) {
    return is_signed ? (int64_t)a < (int64_t)b : a < b;
}

/* NaN wins, as in numpy. */
static double min_floats(double a, double b) {
    return isnan(a) || a < b ? a : b;
}

static bool min_ints(uint64_t a, uint64_t b, bool is_signed, uint64_t *y) {
    *y = bits_less(b, a, is_signed) ? b : a;
    return true;
}

static double max_floats(double a, double b) {
    return isnan(a) || a > b ? a : b;
}

static bool max_ints(uint64_t a, uint64_t b, bool is_signed, uint64_t *y) {
    *y = bits_less(a, b, is_signed) ? b : a;
    return true;
}

#define BINARY(name)                                                                               \
    bool eval_##name(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,   \
                     Buf *why) {                                                                   \
        static const Binary f = {name##_floats, name##_ints};                                      \
        (void)n, (void)scratch;                                                                    \
        return binary_eval(&f, in, out[0], why);                                                   \
    }
BINARY(add)
BINARY(sub)
BINARY(mul)
BINARY(div)
BINARY(min)
BINARY(max)
#undef BINARY

/* ---- one operand ---------------------------------------------------------------------------- */

bool eval_act(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
              Buf *why) {
    (void)scratch, (void)why;
    Act act = ACT_none;
    ensure(op_is_act(n->op, &act));
    int64_t count = shape_elems(&out[0]->shape);
    for (int64_t i = 0; i < count; i++)
        tensor_set_f64(out[0], i, act_eval(act, tensor_f64(in[0], i)));
    return true;
}

/* min(max(x, lo), hi) in ONNX's order: hi wins where lo > hi. NaN stays. */
static void clip_floats(const Tensor *x, double lo, double hi, Tensor *y) {
    for (int64_t i = 0; i < shape_elems(&y->shape); i++) {
        double v = tensor_f64(x, i);
        v = v < lo ? lo : v;
        tensor_set_f64(y, i, v > hi ? hi : v);
    }
}

static void clip_ints(const Tensor *x, double min, double max, Tensor *y) {
    bool is_signed = dtype_is_signed_int(x->dtype);
    uint64_t lo = dtype_bits(x->dtype, ceil(min)), hi = dtype_bits(x->dtype, floor(max));
    for (int64_t i = 0; i < shape_elems(&y->shape); i++) {
        uint64_t v = tensor_bits(x, i);
        v = bits_less(v, lo, is_signed) ? lo : v;
        tensor_set_bits(y, i, bits_less(hi, v, is_signed) ? hi : v);
    }
}

bool eval_clip(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
               Buf *why) {
    (void)scratch, (void)why;
    const ClipAttrs *a = clip_attrs(n);
    if (dtype_is_float(in[0]->dtype))
        clip_floats(in[0], a->min, a->max, out[0]);
    else
        clip_ints(in[0], a->min, a->max, out[0]);
    return true;
}

/* Between integers the low bits stay (ONNX Cast); to bool everything but 0 is 1; floats to integers
 * truncate and saturate. */
static void cast_element(const Tensor *x, int64_t i, Tensor *y) {
    bool to_int = !dtype_is_float(y->dtype) && y->dtype != DT_bool;
    if (dtype_is_float(x->dtype))
        tensor_set_f64(y, i, tensor_f64(x, i));
    else if (to_int)
        tensor_set_bits(y, i, tensor_bits(x, i));
    else if (x->dtype == DT_u64)
        tensor_set_u64(y, i, tensor_bits(x, i));
    else
        tensor_set_i64(y, i, tensor_i64(x, i));
}

bool eval_cast(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
               Buf *why) {
    (void)n, (void)scratch, (void)why;
    for (int64_t i = 0; i < shape_elems(&out[0]->shape); i++)
        cast_element(in[0], i, out[0]);
    return true;
}

/* ---- normalisation -------------------------------------------------------------------------- */

/* (x - mean) * scale / sqrt(var + epsilon) + b, over axis 1. */
bool eval_batch_norm(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                     Buf *why) {
    (void)scratch, (void)why;
    const Shape *x = &in[0]->shape;
    int64_t channels = x->dim[1], plane = dims_product(x, 2, x->rank);
    for (int64_t p = 0; p < x->dim[0] * channels; p++) {
        int64_t c = p % channels;
        double mean = tensor_f64(in[3], c), b = tensor_f64(in[2], c);
        double factor =
            tensor_f64(in[1], c) / sqrt(tensor_f64(in[4], c) + batch_norm_attrs(n)->epsilon);
        for (int64_t i = p * plane; i < (p + 1) * plane; i++)
            tensor_set_f64(out[0], i, (tensor_f64(in[0], i) - mean) * factor + b);
    }
    return true;
}

/* Elements first, first + step, ... The largest is subtracted: exp can't overflow. */
static void softmax_line(const Tensor *x, int64_t first, int64_t step, int64_t count, Tensor *y) {
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < count; i++)
        max = fmax(max, tensor_f64(x, first + i * step));
    for (int64_t i = 0; i < count; i++)
        sum += exp(tensor_f64(x, first + i * step) - max);
    for (int64_t i = 0; i < count; i++)
        tensor_set_f64(y, first + i * step, exp(tensor_f64(x, first + i * step) - max) / sum);
}

bool eval_softmax(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                  Buf *why) {
    (void)scratch, (void)why;
    const Shape *x = &in[0]->shape;
    int axis = (int)axis_attrs(n)->axis;
    int64_t outer = dims_product(x, 0, axis), inner = dims_product(x, axis + 1, x->rank);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++)
            softmax_line(in[0], o * x->dim[axis] * inner + i, inner, x->dim[axis], out[0]);
    return true;
}
