/* graph_eval_quantize.c: evaluators of quantize, dequantize and their relatives. Each step is
 * rounded to f32, as ONNX defines it: the quotient decides on which side of a tie x is. */
#include "ir/graph_internal.h"

#include <math.h>

/* How many elements follow each other that have the same scale, and how many scales there are. */
typedef struct Groups {
    int64_t inner, count;
} Groups;

static Groups groups_of(const Tensor *x, const Tensor *scale, int64_t axis) {
    if (scale->shape.rank == 0)
        return (Groups){1, 1};
    return (Groups){dims_product(&x->shape, (int)axis + 1, x->shape.rank), scale->shape.dim[0]};
}

static int64_t group(const Groups *g, int64_t i) {
    return i / g->inner % g->count;
}

static float f32_at(const Tensor *t, int64_t i) {
    return (float)tensor_f64(t, i);
}

/* Rounds to nearest, ties to even, and clamps to integers; NaN becomes the smallest, as minps and
 * maxps have it. No zero is negative: integers have none. */
static float round_clamped(float x, float lo, float hi) {
    x = x > lo ? x : lo;
    x = x < hi ? x : hi;
    return nearbyintf(x) + 0.0f;
}

bool eval_quantize(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                   Buf *why) {
    (void)scratch, (void)why;
    const QuantizeAttrs *a = quantize_attrs(n);
    Groups g = groups_of(in[0], in[1], a->axis);
    float lo = (float)dtype_min(a->to), hi = (float)dtype_max(a->to);
    for (int64_t i = 0; i < shape_elems(&out[0]->shape); i++) {
        float zero = in[2] ? f32_at(in[2], group(&g, i)) : 0;
        float q = f32_at(in[0], i) / f32_at(in[1], group(&g, i));
        tensor_set_f64(out[0], i, (double)(round_clamped(q, lo - zero, hi - zero) + zero));
    }
    return true;
}

bool eval_dequantize(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                     Buf *why) {
    (void)scratch, (void)why;
    Groups g = groups_of(in[0], in[1], axis_attrs(n)->axis);
    float *y = tensor_mutable(out[0]);
    for (int64_t i = 0; i < shape_elems(&out[0]->shape); i++) {
        float zero = in[2] ? f32_at(in[2], group(&g, i)) : 0;
        float d = f32_at(in[0], i) - zero;
        y[i] = d * f32_at(in[1], group(&g, i));
    }
    return true;
}

/* As DynamicQuantizeLinear has it: the range holds 0. NaN stays. */
bool eval_dynamic_range(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                        Buf *why) {
    (void)n, (void)scratch, (void)why;
    float lo = 0, hi = 0, most = (float)dtype_max(DT_u8);
    for (int64_t i = 0; i < shape_elems(&in[0]->shape); i++) {
        float x = f32_at(in[0], i);
        lo = isnan(x) || x < lo ? x : lo;
        hi = isnan(x) || x > hi ? x : hi;
    }
    float scale = (hi - lo) / most;
    tensor_set_f64(out[0], 0, (double)scale);
    tensor_set_f64(out[1], 0, (double)round_clamped(-lo / scale, 0, most));
    return true;
}

bool eval_quantize_shifted(const Node *n, const Tensor *const *in, Tensor *const *out,
                           Arena *scratch, Buf *why) {
    (void)scratch, (void)why;
    DType to = shifted_attrs(n)->to;
    float *y = tensor_mutable(out[0]), scale = f32_at(in[1], 0), zero = f32_at(in[2], 0);
    float lo = (float)dtype_min(to) - zero, hi = (float)dtype_max(to) - zero;
    for (int64_t i = 0; i < shape_elems(&out[0]->shape); i++)
        y[i] = round_clamped(f32_at(in[0], i) / scale, lo, hi);
    return true;
}

static float fake_quant(const FakeQuantAttrs *a, float x) {
    float q = round_clamped(x / (float)a->divide, (float)a->min, (float)a->max);
    return q * (float)a->times;
}

static double step(const Tensor *steps, int row, int64_t channel) {
    return tensor_f64(steps, row * steps->shape.dim[1] + channel);
}

float eval_steps(const Tensor *steps, int64_t channel, float x) {
    const FakeQuantAttrs a = {.divide = step(steps, STEP_DIVIDE, channel),
                              .times = step(steps, STEP_TIMES, channel),
                              .min = step(steps, STEP_MIN, channel),
                              .max = step(steps, STEP_MAX, channel)};
    float product = x * (float)step(steps, STEP_BY, channel);
    return fake_quant(&a, product);
}

bool eval_fake_quant(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                     Buf *why) {
    (void)scratch, (void)why;
    float *y = tensor_mutable(out[0]);
    for (int64_t i = 0; i < shape_elems(&out[0]->shape); i++)
        y[i] = fake_quant(fake_quant_attrs(n), f32_at(in[0], i));
    return true;
}

bool eval_requantize(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                     Buf *why) {
    (void)scratch, (void)why;
    const Shape *s = &out[0]->shape;
    int64_t stride[MAX_RANK], length = row_length(s);
    float *y = tensor_mutable(out[0]);
    broadcast_strides(&in[1]->shape, s, stride);
    for (int64_t i = 0; i < shape_elems(s); i++) {
        int64_t by = row_offset(s, i / length, stride) + i % length * last_stride(s, stride);
        float product = f32_at(in[0], i) * f32_at(in[1], by);
        y[i] = fake_quant(fake_quant_attrs(n), product);
    }
    return true;
}

bool eval_requantize_sum(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                         Buf *why) {
    (void)scratch, (void)why;
    const RequantizeSumAttrs *attrs = requantize_sum_attrs(n);
    FakeQuantAttrs steps = requantize_sum_steps(n);
    float *y = tensor_mutable(out[0]);
    for (int64_t i = 0; i < shape_elems(&out[0]->shape); i++) {
        float a = f32_at(in[0], i) * (float)attrs->by_a;
        float b = f32_at(in[1], i) * (float)attrs->by_b;
        float sum = a + b;
        y[i] = fake_quant(&steps, sum);
    }
    return true;
}
