/* op_norm.c: normalisations and Softmax. */
#include "frontend/import.h"

/* ---- what several share ---------------------------------------------------------------------- */

/* (x - mean) / sqrt(var + epsilon) over the axes from `first` on, and the parts of it. */
typedef struct Standardised {
    Value *y, *mean, *var, *inverse;
} Standardised;

static Standardised standardise(OnnxNode *n, Value *x, Ints axes, double epsilon) {
    Standardised s = {.mean = onnx_reduce(n, OP_reduce_mean, "mean", x, axes)};
    Value *d = onnx_binary(n, OP_sub, "centred", x, s.mean);
    s.var = onnx_reduce(n, OP_reduce_mean, "var", onnx_binary(n, OP_mul, "square", d, d), axes);
    Value *root =
        onnx_unary(n, OP_sqrt, "deviation", onnx_by_scalar(n, OP_add, "sum", s.var, epsilon));
    if (!root)
        return s;
    s.inverse = onnx_binary(n, OP_div, "inverse", onnx_scalar(n, "one", root->type.dtype, 1), root);
    s.y = onnx_binary(n, OP_mul, "standardised", d, s.inverse);
    return s;
}

static Ints axes_from(OnnxNode *n, int first, int rank) {
    int64_t axes[MAX_RANK];
    for (int i = first; i < rank; i++)
        axes[i - first] = i;
    return onnx_keep_ints(n, axes, rank - first);
}

/* y * scale + b, named as the output; b may be absent. */
static void scale_and_shift(OnnxNode *n, Value *y, Value *scale, Value *b) {
    y = onnx_binary(n, OP_mul, b ? "scaled" : NULL, y, scale);
    onnx_set_output(n, 0, b ? onnx_binary(n, OP_add, NULL, y, b) : y);
}

/* A vector of one number a channel as [C, 1, ...], for x of this rank. */
static Value *per_channel(OnnxNode *n, int i, int rank) {
    Shape s = {.rank = rank - 1};
    for (int k = 0; k < s.rank; k++)
        s.dim[k] = k ? 1 : onnx_shape(n, 0)->dim[1];
    return onnx_reshape(n, "channels", onnx_input(n, i), &s);
}

/* ---- BatchNormalization ---------------------------------------------------------------------- */

/* The type that all inputs fit into: from version 14 on the statistics may have another one than x,
 * from 15 on scale and b too. */
static DType common_float(OnnxNode *n) {
    DType most = onnx_input(n, 0)->type.dtype;
    for (int i = 0; i < 5; i++) {
        DType dt = onnx_input(n, i)->type.dtype;
        if (!dtype_is_float(dt) || (n->opset < (i < 3 ? 15 : 14) && dt != most))
            onnx_bad(n, "input %d is %s, and input 0 is %s", i, dtype_name(dt), dtype_name(most));
    }
    for (int i = 1; i < 5 && !n->failed; i++) {
        DType dt = onnx_input(n, i)->type.dtype;
        if (dt != most)
            most = dt == DT_f64 || most == DT_f64 ? DT_f64 : DT_f32;
    }
    return most;
}

/* The inference form: (x - mean) / sqrt(var + epsilon) * scale + b, per channel. */
static void batch_norm(OnnxNode *n) {
    double epsilon = attr_float(n, "epsilon", (double)1e-5f);
    attr_ignore(n, "momentum");
    if (n->failed || !onnx_needs_float(n, 1))
        return;
    DType own = onnx_input(n, 0)->type.dtype, dt = common_float(n);
    Value *operands[5];
    for (int i = 0; i < 5; i++) {
        Value *x = onnx_input(n, i);
        operands[i] = x->type.dtype == dt ? x : onnx_cast(n, "wide", x, dt);
    }
    if (n->failed)
        return;
    Node *b = onnx_add(n, OP_batch_norm, own == dt ? NULL : "wide", operands, 5);
    batch_norm_attrs(b)->epsilon = epsilon;
    Value *y = onnx_done(n, b);
    onnx_set_output(n, 0, own == dt ? y : onnx_cast(n, NULL, y, own));
}

/* Statistics of a batch are made of the last ones and its own. */
static void set_running(OnnxNode *n, int output, Value *last, Value *own, double momentum) {
    if (output >= n->noutputs || !n->outputs[output] || n->failed)
        return;
    Value *kept = onnx_by_scalar(n, OP_mul, "kept", last, momentum);
    Value *added = onnx_by_scalar(n, OP_mul, "added", own, 1 - momentum);
    onnx_set_output(n, output, onnx_binary(n, OP_add, "running", kept, added));
}

/* The training form: by the statistics of x itself, over all dimensions but the channels. */
static void batch_norm_in_training(OnnxNode *n) {
    double epsilon = attr_float(n, "epsilon", (double)1e-5f);
    double momentum = attr_float(n, "momentum", (double)0.9f);
    const Shape *s = onnx_shape(n, 0);
    int64_t axes[MAX_RANK] = {0};
    if (s->rank < 2)
        onnx_bad(n, "its input must have rank 2 or more, it has rank %d", s->rank);
    for (int i = 2; i < s->rank; i++)
        axes[i - 1] = i;
    for (int i = 1; i < 5 && !n->failed; i++)
        if (onnx_shape(n, i)->rank != 1 || onnx_shape(n, i)->dim[0] != s->dim[1])
            onnx_bad(n, "input %d must be a list of %lld numbers", i, (long long)s->dim[1]);
    if (n->failed || !onnx_needs_float(n, 1))
        return;
    const Shape list = SHAPE(s->dim[1]);
    Value *x = onnx_input(n, 0);
    Standardised y = standardise(n, x, onnx_keep_ints(n, axes, s->rank - 1), epsilon);
    scale_and_shift(n, y.y, per_channel(n, 1, s->rank), per_channel(n, 2, s->rank));
    Value *mean = onnx_reshape(n, "mean", y.mean, &list),
          *var = onnx_reshape(n, "var", y.var, &list);
    set_running(n, 1, onnx_input(n, 3), mean, momentum);
    set_running(n, 2, onnx_input(n, 4), var, momentum);
    onnx_set_output(n, 3, mean);
    onnx_set_output(n, 4, var);
}

/* BatchNormalization-7 (with `spatial`) and -9: more than one output means training. */
void import_batch_norm_7(OnnxNode *n) {
    bool training = false;
    if (attr_int(n, "spatial", 1) != 1)
        onnx_unsupported(n, "statistics for each position (spatial = 0) are not supported");
    for (int i = 1; i < n->noutputs; i++)
        training |= n->outputs[i] != NULL;
    if (training)
        batch_norm_in_training(n);
    else
        batch_norm(n);
}

/* BatchNormalization-14 and -15. */
void import_batch_norm_14(OnnxNode *n) {
    if (attr_bool(n, "training_mode", false))
        batch_norm_in_training(n);
    else
        batch_norm(n);
}

/* ---- Softmax and its relatives --------------------------------------------------------------- */

Value *onnx_softmax(OnnxNode *n, const char *part, Value *x, int axis) {
    if (!x)
        return NULL;
    Node *s = onnx_add(n, OP_softmax, part, &x, 1);
    axis_attrs(s)->axis = axis;
    return onnx_done(n, s);
}

/* x - log(sum(exp(x))) with x shifted by the largest, so that exp can't overflow. */
Value *onnx_log_softmax(OnnxNode *n, const char *part, Value *x, int axis) {
    if (!x)
        return NULL;
    Ints axes = onnx_keep_ints(n, &(int64_t){axis}, 1);
    Value *shifted =
        onnx_binary(n, OP_sub, "shifted", x, onnx_reduce(n, OP_reduce_max, "max", x, axes));
    Value *e = onnx_unary(n, OP_exp, "exp", shifted);
    Value *sum = onnx_reduce(n, OP_reduce_sum, "sum", e, axes);
    return onnx_binary(n, OP_sub, part, shifted, onnx_unary(n, OP_log, "log", sum));
}

/* 1 at the first of the largest elements, else 0. */
static Value *hardmax(OnnxNode *n, const char *part, Value *x, int axis) {
    if (!x)
        return NULL;
    Value *at = onnx_first_largest(n, "largest", x, axis);
    const Shape *s = &x->type.shape;
    Value *index = onnx_iota(n, "index", DT_i64, s->dim[axis], s->rank, axis);
    return onnx_cast(n, part, onnx_binary(n, OP_equal, "is_largest", at, index), x->type.dtype);
}

typedef Value *AlongAxis(OnnxNode *n, const char *part, Value *x, int axis);

/* Over all dimensions from `axis` on, taken as one. */
static void over_rest(OnnxNode *n, AlongAxis *f) {
    const Shape *s = onnx_shape(n, 0);
    int axis = onnx_axis(n, attr_int(n, "axis", 1), s->rank);
    if (n->failed || !onnx_needs_float(n, 1))
        return;
    if (axis == s->rank - 1) {
        onnx_set_output(n, 0, f(n, NULL, onnx_input(n, 0), axis));
        return;
    }
    Shape whole = *s, flat = onnx_flat(s, axis);
    Value *x = onnx_reshape(n, "flat", onnx_input(n, 0), &flat);
    onnx_set_output(n, 0, onnx_reshape(n, NULL, f(n, "softmax", x, 1), &whole));
}

/* Over one dimension. */
static void over_axis(OnnxNode *n, AlongAxis *f) {
    int axis = onnx_axis(n, attr_int(n, "axis", -1), onnx_shape(n, 0)->rank);
    if (!n->failed && onnx_needs_float(n, 1))
        onnx_set_output(n, 0, f(n, NULL, onnx_input(n, 0), axis));
}

/* Softmax-1 and -11, Softmax-13; LogSoftmax as well. */
void import_softmax_1(OnnxNode *n) {
    over_rest(n, onnx_softmax);
}

void import_softmax_13(OnnxNode *n) {
    over_axis(n, onnx_softmax);
}

void import_log_softmax_1(OnnxNode *n) {
    over_rest(n, onnx_log_softmax);
}

void import_log_softmax_13(OnnxNode *n) {
    over_axis(n, onnx_log_softmax);
}

/* Hardmax-1, -11, and -13. */
void import_hardmax_1(OnnxNode *n) {
    over_rest(n, hardmax);
}

void import_hardmax_13(OnnxNode *n) {
    over_axis(n, hardmax);
}

/* ---- by the statistics of x itself ----------------------------------------------------------- */

static void check_stash_type(OnnxNode *n) {
    if (attr_int(n, "stash_type", 1) != 1)
        onnx_unsupported(n, "statistics are computed in float32 alone (stash_type = 1)");
}

static bool is_narrow(DType dt) {
    return dt == DT_f16 || dt == DT_bf16;
}

/* x, as f32 where it has 16-bit floats: their statistics are f32's, as stash_type wants. */
static Value *wide_x(OnnxNode *n) {
    Value *x = onnx_input(n, 0);
    return is_narrow(x->type.dtype) ? onnx_cast(n, "wide", x, DT_f32) : x;
}

/* What was made of wide_x, in the type of x. */
static Value *narrowed(OnnxNode *n, Value *y) {
    DType dt = onnx_input(n, 0)->type.dtype;
    return is_narrow(dt) ? onnx_cast(n, "narrow", y, dt) : y;
}

/* What LayerNormalization and RMSNormalization normalise: x over all axes from `axis` on. */
typedef struct NormOver {
    Value *x;
    Ints axes;
    double epsilon;
} NormOver;

/* False after a complaint; the first `floats` inputs must be of floats. */
static bool norm_over(OnnxNode *n, int floats, NormOver *o) {
    int rank = onnx_shape(n, 0)->rank, axis = onnx_axis(n, attr_int(n, "axis", -1), rank);
    double epsilon = attr_float(n, "epsilon", (double)1e-5f);
    check_stash_type(n);
    if (n->failed || !onnx_needs_float(n, floats))
        return false;
    *o = (NormOver){wide_x(n), axes_from(n, axis, rank), epsilon};
    return !n->failed;
}

/* LayerNormalization-17. */
void import_layer_norm(OnnxNode *n) {
    NormOver o;
    if (!norm_over(n, 3, &o))
        return;
    Standardised s = standardise(n, o.x, o.axes, o.epsilon);
    scale_and_shift(n, narrowed(n, s.y), onnx_input(n, 1), onnx_input(n, 2));
    onnx_set_output(n, 1, s.mean);
    onnx_set_output(n, 2, s.inverse);
}

/* RMSNormalization-23: x / sqrt(mean(x^2) + epsilon) over the axes, times scale. */
void import_rms_norm(OnnxNode *n) {
    NormOver o;
    if (!norm_over(n, 1, &o))
        return;
    Value *square = onnx_binary(n, OP_mul, "square", o.x, o.x);
    Value *mean = onnx_reduce(n, OP_reduce_mean, "mean", square, o.axes);
    Value *root = onnx_unary(n, OP_sqrt, "rms", onnx_by_scalar(n, OP_add, "sum", mean, o.epsilon));
    Value *y = onnx_binary(n, OP_div, "normalised", o.x, root);
    scale_and_shift(n, narrowed(n, y), onnx_input(n, 1), NULL);
}

/* InstanceNormalization-6, -22: over the dimensions behind the channels. */
void import_instance_norm(OnnxNode *n) {
    double epsilon = attr_float(n, "epsilon", (double)1e-5f);
    int rank = onnx_shape(n, 0)->rank;
    if (rank < 3)
        onnx_bad(n, "its input must have rank 3 or more, it has rank %d", rank);
    if (n->failed || !onnx_needs_float(n, 3))
        return;
    Standardised s = standardise(n, onnx_input(n, 0), axes_from(n, 2, rank), epsilon);
    Value *scale = per_channel(n, 1, rank), *b = per_channel(n, 2, rank);
    scale_and_shift(n, s.y, scale, b);
}

/* GroupNormalization-18 has a scale for each group, -21 for each channel. */
static void group_norm(OnnxNode *n, bool by_group) {
    double epsilon = attr_float(n, "epsilon", (double)1e-5f);
    int64_t groups = attr_int(n, "num_groups", 0);
    Shape s = *onnx_shape(n, 0), grouped = {.rank = 3}, vector = {.rank = 1};
    check_stash_type(n);
    if (s.rank < 2)
        onnx_bad(n, "its input must have rank 2 or more, it has rank %d", s.rank);
    else if (groups < 1 || groups > s.dim[1] || s.dim[1] % groups != 0)
        onnx_bad(n, "%lld groups don't divide %lld channels", (long long)groups,
                 (long long)s.dim[1]);
    if (n->failed || !onnx_needs_float(n, 3))
        return;
    vector.dim[0] = by_group ? groups : s.dim[1];
    for (int i = 1; i < 3; i++)
        if (!shape_equal(onnx_shape(n, i), &vector))
            onnx_bad(n, "input %d must be a list of %lld numbers", i, (long long)vector.dim[0]);
    if (n->failed)
        return;
    int64_t channels = s.dim[1] / groups, rest = 1;
    for (int i = 2; i < s.rank; i++)
        rest *= s.dim[i];
    grouped.dim[0] = s.dim[0], grouped.dim[1] = groups, grouped.dim[2] = channels * rest;
    Value *x = onnx_reshape(n, "groups", wide_x(n), &grouped);
    Value *y = narrowed(n, standardise(n, x, axes_from(n, 2, 3), epsilon).y);
    Shape full = by_group ? grouped : s;
    Shape each = {.rank = full.rank - 1};
    for (int i = 0; i < each.rank; i++)
        each.dim[i] = i ? 1 : vector.dim[0];
    if (!by_group)
        y = onnx_reshape(n, "channels", y, &s);
    y = onnx_binary(n, OP_mul, "scaled", y, onnx_reshape(n, "scale", onnx_input(n, 1), &each));
    Value *b = onnx_reshape(n, "bias", onnx_input(n, 2), &each);
    y = onnx_binary(n, OP_add, by_group ? "shifted" : NULL, y, b);
    onnx_set_output(n, 0, by_group ? onnx_reshape(n, NULL, y, &s) : y);
}

void import_group_norm_18(OnnxNode *n) {
    group_norm(n, true);
}

void import_group_norm_21(OnnxNode *n) {
    group_norm(n, false);
}

/* The sum of x over a window of channels: `before` in front of each, itself, `after` behind. */
static Value *channel_sums(OnnxNode *n, Value *x, int64_t before, int64_t after) {
    int64_t channels = x->type.shape.dim[1];
    Value *wide = onnx_pad_axis(n, "padded", x, 1, before, after, 0), *sum = NULL;
    for (int64_t i = 0; i <= before + after; i++) {
        Value *tap = onnx_slice_axis(n, "tap", wide, 1, i, channels, 1);
        sum = i ? onnx_binary(n, OP_add, "sum", sum, tap) : tap;
    }
    return sum;
}

/* LRN-1, -13: x / (bias + alpha / size * the sum of x^2 over `size` channels around)^beta. */
void import_lrn(OnnxNode *n) {
    enum { MOST = 256 };
    double alpha = attr_float(n, "alpha", (double)1e-4f), beta = attr_float(n, "beta", 0.75),
           bias = attr_float(n, "bias", 1);
    int64_t size = attr_int(n, "size", 0);
    const Shape *s = onnx_shape(n, 0);
    if (size < 1 || s->rank < 2)
        onnx_bad(n, "its size is %lld, and its input has %d dimensions", (long long)size, s->rank);
    if (n->failed || !onnx_needs_float(n, 1))
        return;
    int64_t most = s->dim[1] > 0 ? s->dim[1] - 1 : 0, before = (size - 1) / 2, after = size / 2;
    before = before < most ? before : most;
    after = after < most ? after : most;
    if (before + after >= MOST) {
        onnx_unsupported(n, "sums over more than %d channels are not supported", MOST);
        return;
    }
    Value *x = onnx_input(n, 0);
    Value *sum = channel_sums(n, onnx_binary(n, OP_mul, "square", x, x), before, after);
    sum = onnx_by_scalar(n, OP_mul, "scaled", sum, alpha / (double)size);
    sum = onnx_by_scalar(n, OP_add, "biased", sum, bias);
    onnx_set_output(n, 0,
                    onnx_binary(n, OP_div, NULL, x, onnx_by_scalar(n, OP_pow, "power", sum, beta)));
}

/* MeanVarianceNormalization-9, -13: over the given axes, and with 1e-9 added to the deviation. */
void import_mean_variance_norm(OnnxNode *n) {
    int64_t usual[] = {0, 2, 3};
    Ints axes;
    bool set[MAX_RANK];
    if (!attr_ints(n, "axes", &axes))
        axes = (Ints){usual, 3};
    int rank = onnx_shape(n, 0)->rank, count = 0;
    int64_t list[MAX_RANK];
    onnx_axes(n, &axes, rank, set);
    if (n->failed || !onnx_needs_float(n, 1))
        return;
    for (int i = 0; i < rank; i++)
        if (set[i])
            list[count++] = i;
    axes = onnx_keep_ints(n, list, count);
    Value *x = onnx_input(n, 0);
    Value *d =
        onnx_binary(n, OP_sub, "centred", x, onnx_reduce(n, OP_reduce_mean, "mean", x, axes));
    Value *var =
        onnx_reduce(n, OP_reduce_mean, "var", onnx_binary(n, OP_mul, "square", d, d), axes);
    Value *root = onnx_by_scalar(n, OP_add, "sum", onnx_unary(n, OP_sqrt, "deviation", var), 1e-9);
    onnx_set_output(n, 0, onnx_binary(n, OP_div, NULL, d, root));
}

/* LpNormalization-1, -22: x / (sum of |x|^p)^(1/p) along the axis; 0 where that is 0. */
void import_lp_norm(OnnxNode *n) {
    int axis = onnx_axis(n, attr_int(n, "axis", -1), onnx_shape(n, 0)->rank);
    int64_t p = attr_int(n, "p", 2);
    if (p != 1 && p != 2)
        onnx_bad(n, "its p must be 1 or 2, it is %lld", (long long)p);
    if (n->failed || !onnx_needs_float(n, 1))
        return;
    Ints axes = onnx_keep_ints(n, &(int64_t){axis}, 1);
    Value *x = onnx_input(n, 0);
    Value *size = p == 1 ? onnx_unary(n, OP_abs, "abs", x) : onnx_binary(n, OP_mul, "square", x, x);
    Value *norm = onnx_reduce(n, OP_reduce_sum, "sum", size, axes);
    norm = p == 1 ? norm : onnx_unary(n, OP_sqrt, "norm", norm);
    Value *none = onnx_by_scalar(n, OP_equal, "none", norm, 0);
    Value *one = onnx_scalar(n, "one", x->type.dtype, 1);
    norm = onnx_where(n, "divisor", none, one, norm);
    onnx_set_output(n, 0, onnx_binary(n, OP_div, NULL, x, norm));
}
