/* op_quantize.c: quantised operators.
 *
 * Integers become the numbers that they stand for, floats compute with them, and results become
 * integers again. Products of integers are computed on x - zero_point, exactly (op_integer_sums.c),
 * and are scaled once. Constant weights fold, and a pass joins what follows each other. */
#include "frontend/import.h"

/* ---- parameters ------------------------------------------------------------------------------ */

/* Input i, a scale or a zero point: one number has rank 0, more are a vector. NULL where it is
 * absent, and after a complaint. */
static Value *parameter(OnnxNode *n, int i) {
    Value *v = onnx_input(n, i);
    if (!v || n->failed)
        return NULL;
    if (v->type.shape.rank > 1)
        onnx_bad(n, "input %d has %d dimensions; without block_size it may have one", i,
                 v->type.shape.rank);
    else if (v->type.shape.rank == 1 && v->type.shape.dim[0] == 1)
        return onnx_reshape(n, "scalar", v, &(Shape){0});
    return n->failed ? NULL : v;
}

/* The same of a scale, which must be there, as f32. */
static Value *scale_of(OnnxNode *n, int i) {
    Value *v = parameter(n, i);
    if (!onnx_input(n, i))
        onnx_bad(n, "input %d, a scale, is missing", i);
    if (v && !dtype_is_float(v->type.dtype))
        onnx_bad(n, "input %d is a scale, and is %s", i, dtype_name(v->type.dtype));
    return v && v->type.dtype != DT_f32 ? onnx_cast(n, "scale", v, DT_f32) : v;
}

/* Ones in the shape of a zero point, or a single one. */
static Value *ones(OnnxNode *n, const Value *zero) {
    Value *one = onnx_scalar(n, "one", DT_f32, 1);
    return zero && zero->type.shape.rank ? onnx_expand(n, "ones", one, &zero->type.shape) : one;
}

/* ---- building -------------------------------------------------------------------------------- */

static Value *quantize(OnnxNode *n, const char *part, Value *x, Value *scale, Value *zero, DType to,
                       int axis) {
    if (!x || !scale || n->failed)
        return NULL;
    Node *q = onnx_add(n, OP_quantize, part, (Value *[]){x, scale, zero}, 3);
    quantize_attrs(q)->to = to;
    quantize_attrs(q)->axis = axis;
    return onnx_done(n, q);
}

static Value *dequantize(OnnxNode *n, const char *part, Value *x, Value *scale, Value *zero,
                         int axis) {
    if (!x || !scale || n->failed)
        return NULL;
    Node *d = onnx_add(n, OP_dequantize, part, (Value *[]){x, scale, zero}, 3);
    axis_attrs(d)->axis = axis;
    return onnx_done(n, d);
}

/* x - zero as f32. */
static Value *shifted(OnnxNode *n, const char *part, Value *x, Value *zero, int axis) {
    return n->failed ? NULL : dequantize(n, part, x, ones(n, zero), zero, axis);
}

/* The numbers that input i stands for, whose scale and zero point, of the whole tensor, are the two
 * inputs behind it. */
static Value *real(OnnxNode *n, int i) {
    if (!onnx_input(n, i))
        onnx_bad(n, "input %d is missing", i);
    Value *scale = scale_of(n, i + 1), *zero = parameter(n, i + 2);
    return dequantize(n, "real", onnx_input(n, i), scale, zero, 0);
}

/* Output 0 is y, quantised by inputs i and i + 1 to the type that the operator's data has where
 * there is no zero point. */
static void set_quantized(OnnxNode *n, Value *y, int i, DType dflt) {
    Value *scale = scale_of(n, i), *zero = parameter(n, i + 1);
    onnx_set_output(n, 0, quantize(n, NULL, y, scale, zero, zero ? zero->type.dtype : dflt, 0));
}

/* ---- QuantizeLinear, DequantizeLinear -------------------------------------------------------- */

static Value *as_f32(OnnxNode *n, Value *x) {
    return !x || x->type.dtype == DT_f32 ? x : onnx_cast(n, "wide", x, DT_f32);
}

/* What QuantizeLinear and DequantizeLinear work with: the parameters belong to a dimension, 0 where
 * they are for the whole tensor. Those of blocks are repeated for each element, and x is one row.
 */
typedef struct Linear {
    Value *x, *scale, *zero;
    int axis;
    bool flat;
} Linear;

/* v, with one number for each block of `size` elements along an axis, as one for each element of x,
 * in a row. */
static Value *per_element(OnnxNode *n, const char *part, Value *v, int axis, int64_t size) {
    const Shape *x = onnx_shape(n, 0);
    if (!v)
        return NULL;
    Shape s = v->type.shape, split = s;
    bool fits = s.rank == x->rank && s.rank < MAX_RANK;
    for (int d = 0; d < s.rank && fits; d++)
        fits = s.dim[d] == (d == axis ? ceil_div(x->dim[d], size) : x->dim[d]);
    if (!fits) {
        onnx_bad(n, "its %s must have one number for each block of %lld elements", part,
                 (long long)size);
        return NULL;
    }
    split.rank++;
    for (int d = axis + 1; d < split.rank; d++)
        split.dim[d] = d == axis + 1 ? 1 : s.dim[d - 1];
    v = onnx_reshape(n, part, v, &split);
    split.dim[axis + 1] = size;
    v = onnx_expand(n, part, v, &split);
    s.dim[axis] *= size;
    v = onnx_reshape(n, part, v, &s);
    if (s.dim[axis] != x->dim[axis])
        v = v ? onnx_slice_axis(n, part, v, axis, 0, x->dim[axis], 1) : NULL;
    return onnx_reshape(n, part, v, &(Shape){1, {shape_elems(x)}});
}

/* x and its parameters; those of blocks have input 0's rank. */
static Linear linear_of(OnnxNode *n) {
    const Shape *s = onnx_shape(n, 0);
    int64_t size = attr_int(n, "block_size", 0), axis = attr_int(n, "axis", 1);
    Linear l = {.x = onnx_from_small(n, onnx_input(n, 0))};
    if (!size) {
        l.scale = scale_of(n, 1);
        l.zero = parameter(n, 2);
        if (l.scale && l.scale->type.shape.rank)
            l.axis = onnx_axis(n, axis, s->rank);
        return l;
    }
    int at = onnx_axis(n, axis, s->rank);
    if (!n->failed && (size < 1 || size > s->dim[at]))
        onnx_bad(n, "its block_size is %lld, of %lld elements", (long long)size,
                 (long long)s->dim[at]);
    if (n->failed)
        return l;
    l.flat = true;
    l.x = onnx_reshape(n, "row", l.x, &(Shape){1, {shape_elems(s)}});
    l.scale = per_element(n, "scale", as_f32(n, onnx_input(n, 1)), at, size);
    l.zero = per_element(n, "zero", onnx_input(n, 2), at, size);
    return l;
}

/* y, as a row or as x. */
static void set_linear(OnnxNode *n, const Linear *l, Value *y) {
    onnx_set_output(n, 0, l->flat ? onnx_reshape(n, NULL, y, onnx_shape(n, 0)) : y);
}

/* The type that attribute output_dtype asks for; dflt where it is absent. */
static ElementType output_dtype(OnnxNode *n, ElementType dflt) {
    if (attr_int(n, "output_dtype", 0))
        onnx_element_type(n, "output_dtype", &dflt);
    return dflt;
}

/* The scale as a tensor that broadcasts against x. */
static Value *scale_along(OnnxNode *n, const Linear *l) {
    Value *scale = l->scale;
    if (!scale || l->flat || scale->type.shape.rank == 0)
        return scale;
    Shape s = {.rank = l->x->type.shape.rank};
    for (int i = 0; i < s.rank; i++)
        s.dim[i] = i == l->axis ? scale->type.shape.dim[0] : 1;
    return onnx_reshape(n, "scales", scale, &s);
}

/* x quantised to integers that have the range of those of `bits` bits. */
static Value *quantize_small(OnnxNode *n, const char *part, Value *x, const Linear *l,
                             const SmallType *s) {
    double end = 1 << s->bits, low = s->held == DT_i8 ? -end / 2 : 0;
    Value *y = quantize(n, "wide", x, l->scale, l->zero, s->held, l->axis);
    y = onnx_clip(n, part, y, low, low + end - 1);
    small_mark(n->im, y, s);
    return y;
}

/* QuantizeLinear-10 to -25: saturate(round(x / scale) + zero), and x / scale where that becomes a
 * float of 8 bits or fewer, whose zero is 0. The quotient is rounded as f32, whatever `precision`
 * says. */
void import_quantize_linear(OnnxNode *n) {
    attr_ignore(n, "saturate"); /* of 8-bit floats */
    attr_ignore(n, "precision");
    Linear l = linear_of(n);
    ElementType to = {DT_u8, NULL};
    if (l.zero)
        to = (ElementType){l.zero->type.dtype, small_of(n->im, onnx_input(n, 2))};
    to = output_dtype(n, to);
    Value *x = n->failed ? NULL : as_f32(n, l.x), *y;
    const char *part = l.flat ? "quantized" : NULL;
    if (to.small && to.small->is_float)
        y = onnx_to_small(n, part, onnx_binary(n, OP_div, "quotient", x, scale_along(n, &l)),
                          to.small);
    else if (to.small)
        y = quantize_small(n, part, x, &l, to.small);
    else
        y = quantize(n, part, x, l.scale, l.zero, to.dtype, l.axis);
    set_linear(n, &l, y);
}

/* DequantizeLinear-10 to -25: (x - zero) * scale. */
void import_dequantize_linear(OnnxNode *n) {
    Linear l = linear_of(n);
    ElementType to = output_dtype(n, (ElementType){onnx_input(n, 1)->type.dtype, NULL});
    bool narrow = to.dtype != DT_f32;
    const char *part = narrow || l.flat ? "wide" : NULL;
    if (to.small)
        onnx_bad(n, "its output_dtype is no float that it may have");
    if (n->failed || !l.x)
        return;
    Value *y = l.x->type.dtype == DT_f32 ? onnx_binary(n, OP_mul, part, l.x, scale_along(n, &l))
                                         : dequantize(n, part, l.x, l.scale, l.zero, l.axis);
    set_linear(n, &l, narrow ? onnx_cast(n, l.flat ? "narrow" : NULL, y, to.dtype) : y);
}

/* x as u8, with the scale and the zero point that it takes. */
typedef struct Quantized {
    Value *y, *scale, *zero;
} Quantized;

/* Where all of x is 0, so is the scale. */
static Quantized quantize_dynamically(OnnxNode *n, const char *part, Value *x) {
    Node *r = onnx_add(n, OP_dynamic_range, "range", &x, 1);
    if (!onnx_done(n, r))
        return (Quantized){NULL, NULL, NULL};
    Value *scale = r->results[0], *zero = onnx_cast(n, "zero", r->results[1], DT_u8);
    return (Quantized){quantize(n, part, x, scale, zero, DT_u8, 0), scale, zero};
}

/* DynamicQuantizeLinear-11. */
void import_dynamic_quantize_linear(OnnxNode *n) {
    if (!onnx_needs_float(n, 1))
        return;
    Quantized q = quantize_dynamically(n, NULL, onnx_input(n, 0));
    onnx_set_output(n, 0, q.y);
    onnx_set_output(n, 1, q.scale);
    onnx_set_output(n, 2, q.zero);
}

/* ---- products of integers -------------------------------------------------------------------- */

/* x - zero, the zeros being for dimension `axis`, with its bound. */
static IntegerFactor factor_of(OnnxNode *n, const char *part, Value *x, Value *zero, int axis) {
    Value *v = shifted(n, part, x, zero, axis);
    return v ? onnx_integer_factor(n, x, zero, v) : (IntegerFactor){0};
}

static void set_i32(OnnxNode *n, Value *y) {
    bool done = y && y->type.dtype == DT_i32;
    onnx_set_output(n, 0,
                    done ? onnx_unary(n, OP_identity, NULL, y) : onnx_cast(n, NULL, y, DT_i32));
}

/* ConvInteger-10. */
void import_conv_integer(OnnxNode *n) {
    IntegerFactor x = factor_of(n, "x", onnx_input(n, 0), parameter(n, 2), 0);
    IntegerFactor w = factor_of(n, "w", onnx_input(n, 1), parameter(n, 3), 0);
    if (x.v && w.v)
        set_i32(n, onnx_integer_conv(n, &x, &w, NULL, false));
}

/* Zero points of a matrix on the left are for its rows, of one on the right for its columns. */
static IntegerFactor left_factor(OnnxNode *n, Value *a, Value *zero) {
    int rank = a->type.shape.rank;
    return factor_of(n, "a", a, zero, rank > 1 ? rank - 2 : 0);
}

static IntegerFactor right_factor(OnnxNode *n, Value *b, Value *zero) {
    int rank = b->type.shape.rank;
    return factor_of(n, "b", b, zero, rank > 0 ? rank - 1 : 0);
}

/* MatMulInteger-10. */
void import_matmul_integer(OnnxNode *n) {
    IntegerFactor a = left_factor(n, onnx_input(n, 0), parameter(n, 2));
    IntegerFactor b = right_factor(n, onnx_input(n, 1), parameter(n, 3));
    if (a.v && b.v)
        set_i32(n, onnx_integer_matmul(n, &a, &b, false));
}

/* What a sum of products is multiplied by: the scales of its factors, inputs a and b, and over that
 * of the result, input y where that is there; as a tensor that broadcasts, its numbers along a
 * dimension with `behind` more behind it. */
static Value *factor(OnnxNode *n, int a, int b, int y, int behind) {
    Value *f = onnx_binary(n, OP_mul, "scales", scale_of(n, a), scale_of(n, b));
    if (f && onnx_input(n, y))
        f = onnx_binary(n, OP_div, "factor", f, scale_of(n, y));
    if (!f || f->type.shape.rank == 0)
        return f;
    int before = behind ? 1 : 0; /* images have their rank, as blocks of channels need it */
    Shape s = {.rank = before + 1 + behind};
    for (int i = 0; i < s.rank; i++)
        s.dim[i] = i == before ? f->type.shape.dim[0] : 1;
    return onnx_reshape(n, "factors", f, &s);
}

/* Output 0 is y, whose scale is 1, quantised with the zero point that is input i. */
static void set_integer(OnnxNode *n, Value *y, int i) {
    Value *zero = parameter(n, i);
    DType to = zero ? zero->type.dtype : onnx_input(n, 0)->type.dtype;
    if (y)
        onnx_set_output(n, 0, quantize(n, NULL, y, ones(n, zero), zero, to, 0));
}

static Value *scaled(OnnxNode *n, Value *sum, Value *by) {
    return onnx_binary(n, OP_mul, "scaled", as_f32(n, sum), by);
}

/* Where the channels are last: x with them second, and a result with them last again. */
static Value *planes(OnnxNode *n, Value *x, bool last) {
    return last ? onnx_channels_second(n, "planes", x) : x;
}

static Value *pixels(OnnxNode *n, Value *y, bool last) {
    return last ? onnx_channels_last(n, "pixels", y) : y;
}

static void qlinear_conv(OnnxNode *n, bool last) {
    IntegerFactor x = factor_of(n, "x", onnx_input(n, 0), parameter(n, 2), 0);
    IntegerFactor w = factor_of(n, "w", onnx_input(n, 3), parameter(n, 5), 0);
    x.v = planes(n, x.v, last);
    if (!x.v || !w.v)
        return;
    Value *sum = onnx_integer_conv(n, &x, &w, onnx_input(n, 8), true);
    Value *y = scaled(n, sum, factor(n, 1, 4, 6, onnx_shape(n, 0)->rank - 2));
    set_integer(n, pixels(n, y, last), 7);
}

/* QLinearConv-10: x, w and y each with a scale and a zero point, and a bias of int32. */
void import_qlinear_conv(OnnxNode *n) {
    qlinear_conv(n, false);
}

/* com.microsoft.QLinearConv-1: x and y may have their channels last; w is as ONNX has it. */
void import_qlinear_conv_nhwc(OnnxNode *n) {
    qlinear_conv(n, attr_bool(n, "channels_last", false));
}

/* QLinearMatMul-10, -21. */
void import_qlinear_matmul(OnnxNode *n) {
    IntegerFactor a = left_factor(n, onnx_input(n, 0), parameter(n, 2));
    IntegerFactor b = right_factor(n, onnx_input(n, 3), parameter(n, 5));
    if (onnx_input(n, 1)->type.shape.rank > 0 && shape_elems(onnx_shape(n, 1)) != 1)
        onnx_unsupported(n, "a scale for each row of the first matrix is not supported");
    if (a.v && b.v)
        set_integer(n, scaled(n, onnx_integer_matmul(n, &a, &b, true), factor(n, 1, 4, 6, 0)), 7);
}

/* Output 0 is sum * by as floats, and the bias that is input i, if any. */
static void set_real(OnnxNode *n, Value *sum, Value *by, int i) {
    Value *bias = onnx_input(n, i);
    Value *y = onnx_binary(n, OP_mul, bias ? "product" : NULL, as_f32(n, sum), by);
    onnx_set_output(n, 0, bias ? onnx_binary(n, OP_add, NULL, y, bias) : y);
}

/* com.microsoft.MatMulIntegerToFloat-1: a, b, their scales, their zero points, a bias. */
void import_matmul_integer_to_float(OnnxNode *n) {
    IntegerFactor a = left_factor(n, onnx_input(n, 0), parameter(n, 4));
    IntegerFactor b = right_factor(n, onnx_input(n, 1), parameter(n, 5));
    if (a.v && b.v)
        set_real(n, onnx_integer_matmul(n, &a, &b, true), factor(n, 2, 3, n->ninputs, 0), 6);
}

/* com.microsoft.DynamicQuantizeMatMul-1: a, b with its scale and zero point, a bias. */
void import_dynamic_quantize_matmul(OnnxNode *n) {
    if (!onnx_needs_float(n, 1))
        return;
    Quantized q = quantize_dynamically(n, "quantized", onnx_input(n, 0));
    Value *scale = scale_of(n, 2), *zero = parameter(n, 3);
    if (!q.y || !scale || n->failed)
        return;
    IntegerFactor a = left_factor(n, q.y, q.zero), b = right_factor(n, onnx_input(n, 1), zero);
    if (a.v && b.v)
        set_real(n, onnx_integer_matmul(n, &a, &b, true),
                 onnx_binary(n, OP_mul, "scales", q.scale, scale), 4);
}

/* com.microsoft.QGemm-1: alpha A' B' + C, where ' may transpose; C is of int32, with the scale of
 * the product. The result is a float where it has no scale. */
void import_qgemm(OnnxNode *n) {
    static const int64_t swap[] = {1, 0};
    bool trans_a = attr_bool(n, "transA", false), trans_b = attr_bool(n, "transB", false);
    double alpha = attr_float(n, "alpha", 1);
    if (onnx_shape(n, 0)->rank != 2 || onnx_shape(n, 3)->rank != 2)
        onnx_bad(n, "its factors must be matrices");
    IntegerFactor a = factor_of(n, "a", onnx_input(n, 0), parameter(n, 2), trans_a ? 1 : 0);
    IntegerFactor b = factor_of(n, "b", onnx_input(n, 3), parameter(n, 5), trans_b ? 0 : 1);
    if (!a.v || !b.v)
        return;
    a.v = trans_a ? onnx_transpose(n, "a", a.v, swap) : a.v;
    b.v = trans_b ? onnx_transpose(n, "b", b.v, swap) : b.v;
    Value *sum = a.v && b.v ? onnx_integer_matmul(n, &a, &b, true) : NULL;
    if (sum && onnx_input(n, 6))
        sum = onnx_binary(n, OP_add, "sum", sum,
                          onnx_cast(n, "c", onnx_input(n, 6), sum->type.dtype));
    sum = as_f32(n, sum);
    Value *by = factor(n, 1, 4, 7, 0);
    by = alpha == 1 ? by : onnx_by_scalar(n, OP_mul, "alpha", by, alpha);
    if (onnx_input(n, 7))
        set_integer(n, scaled(n, sum, by), 8);
    else
        set_real(n, sum, by, n->ninputs);
}

/* ---- com.microsoft: other operators on integers ---------------------------------------------- */

static DType data_type(const OnnxNode *n, int i) {
    return onnx_input(n, i)->type.dtype;
}

static void qlinear_binary(OnnxNode *n, Op op) {
    Value *a = real(n, 0), *b = real(n, 3);
    set_quantized(n, onnx_binary(n, op, "result", a, b), 6, data_type(n, 0));
}

/* QLinearAdd-1, QLinearMul-1: a, its scale and zero point, b and its, those of the result. */
void import_qlinear_add(OnnxNode *n) {
    qlinear_binary(n, OP_add);
}

void import_qlinear_mul(OnnxNode *n) {
    qlinear_binary(n, OP_mul);
}

/* QLinearSigmoid-1: x, its scale and zero point, those of the result. */
void import_qlinear_sigmoid(OnnxNode *n) {
    set_quantized(n, onnx_unary(n, OP_act_sigmoid, "result", real(n, 0)), 3, data_type(n, 0));
}

/* QLinearLeakyRelu-1. */
void import_qlinear_leaky_relu(OnnxNode *n) {
    double alpha = attr_float(n, "alpha", 0.01);
    Value *x = real(n, 0);
    if (x)
        set_quantized(n, onnx_leaky_relu(n, x, alpha), 3, data_type(n, 0));
}

/* QLinearSoftmax-1: as Softmax of attribute "opset". */
void import_qlinear_softmax(OnnxNode *n) {
    Value *x = real(n, 0);
    int64_t opset = attr_int(n, "opset", 13);
    int axis = onnx_axis(n, attr_int(n, "axis", -1), onnx_shape(n, 0)->rank);
    if (!x || n->failed)
        return;
    Shape s = x->type.shape, flat = onnx_flat(&s, axis);
    bool over_rest = opset < 13 && axis != s.rank - 1;
    Value *y = over_rest ? onnx_reshape(n, "flat", x, &flat) : x;
    y = onnx_softmax(n, "result", y, over_rest ? 1 : axis);
    set_quantized(n, over_rest ? onnx_reshape(n, "shaped", y, &s) : y, 3, data_type(n, 0));
}

/* QLinearWhere-1: the condition, x and y with their scales and zero points, those of the result. */
void import_qlinear_where(OnnxNode *n) {
    Value *x = real(n, 1), *y = real(n, 4);
    set_quantized(n, onnx_where(n, "result", onnx_input(n, 0), x, y), 7, data_type(n, 1));
}

/* QLinearGlobalAveragePool-1, QLinearAveragePool-1: what `pool` makes of x. */
static void qlinear_pool(OnnxNode *n, Value *(*pool)(OnnxNode *n, const char *part, Value *x)) {
    bool last = attr_bool(n, "channels_last", false);
    Value *y = pool(n, "result", planes(n, real(n, 0), last));
    set_quantized(n, pixels(n, y, last), 3, data_type(n, 0));
}

void import_qlinear_global_average_pool(OnnxNode *n) {
    qlinear_pool(n, onnx_global_average_pool);
}

void import_qlinear_average_pool(OnnxNode *n) {
    qlinear_pool(n, onnx_average_pool);
}

/* QLinearConcat-1: scale and zero point of the result, then each operand with its own. */
void import_qlinear_concat(OnnxNode *n) {
    if (n->ninputs % 3 != 2)
        onnx_bad(n, "it has %d inputs; each operand has three, and the result two", n->ninputs);
    int count = (n->ninputs - 2) / 3;
    Value **operands = ARENA_ARRAY(&n->im->arena, count, Value *);
    for (int i = 0; i < count && !n->failed; i++)
        if (!onnx_input(n, 2 + 3 * i) || !onnx_input(n, 3 + 3 * i))
            onnx_bad(n, "operand %d or its scale is missing", i);
        else
            operands[i] = real(n, 2 + 3 * i);
    int64_t axis = attr_int(n, "axis", 0);
    if (n->failed)
        return;
    int a = onnx_axis(n, axis, operands[0]->type.shape.rank);
    Node *c = onnx_add(n, OP_concat, "result", operands, count);
    axis_attrs(c)->axis = a;
    set_quantized(n, onnx_done(n, c), 0, data_type(n, 2));
}
