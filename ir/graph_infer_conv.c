/* graph_infer_conv.c: shape rules of the ops with weights. */
#include "ir/graph_internal.h"

#include <inttypes.h>

enum { MAX_STEP = 1 << 24 }; /* of strides, dilations and pads: keeps all sums far from overflow */

bool want_between(const char *what, const int64_t *v, int n, int64_t min, Buf *why) {
    for (int i = 0; i < n; i++)
        if (v[i] < min || v[i] > MAX_STEP)
            return refuse(why, "%s must be from %" PRId64 " to %d, it is %" PRId64, what, min,
                          MAX_STEP, v[i]);
    return true;
}

static bool want_conv_attrs(const ConvAttrs *a, Buf *why) {
    return want_between("kernel", a->kernel.v, 2, 1, why) &&
           want_between("stride", a->stride.v, 2, 1, why) &&
           want_between("dilation", a->dilation.v, 2, 1, why) &&
           want_between("pad", a->pad.v, 4, 0, why) && want_between("group", &a->group, 1, 1, why);
}

int64_t conv_out_size(const ConvAttrs *a, int axis, int64_t in) {
    int64_t padded = in + a->pad.v[axis] + a->pad.v[axis + 2];
    int64_t reach = (a->kernel.v[axis] - 1) * a->dilation.v[axis];
    return (padded - reach - 1) / a->stride.v[axis] + 1;
}

bool conv_size(const ConvAttrs *a, int axis, int64_t in, int64_t *out, Buf *why) {
    int64_t padded = in + a->pad.v[axis] + a->pad.v[axis + 2];
    int64_t reach;
    if (!checked_mul(a->kernel.v[axis] - 1, a->dilation.v[axis], &reach) || reach >= padded)
        return refuse(
            why,
            "the kernel (%" PRId64 " taps, dilation %" PRId64 ") is larger than the padded"
            " input of %" PRId64 " %s",
            a->kernel.v[axis], a->dilation.v[axis], padded, axis == 0 ? "rows" : "columns");
    *out = conv_out_size(a, axis, in);
    return true;
}

/* What a convolution of x, of rank 4, by operand `slot` and the bias behind that gives: w has rank
 * 4, the kernel attribute is w's, and the result has w's output channels. */
static bool conv_result(const Node *n, const ConvAttrs *a, const Shape *x, int slot, Type *result,
                        Buf *why) {
    if (!want_rank(n, slot, 4, why) || !want_conv_attrs(a, why))
        return false;
    const Shape *w = shape_in(n, slot);
    if (w->dim[2] != a->kernel.v[0] || w->dim[3] != a->kernel.v[1])
        return refuse(
            why, "kernel is %" PRId64 "x%" PRId64 ", but the weight is for %" PRId64 "x%" PRId64,
            a->kernel.v[0], a->kernel.v[1], w->dim[2], w->dim[3]);
    int64_t rows = 0, columns = 0;
    if (!conv_size(a, 0, x->dim[2], &rows, why) || !conv_size(a, 1, x->dim[3], &columns, why))
        return false;
    *result = like_x(n, SHAPE(x->dim[0], w->dim[0], rows, columns));
    return want_shape(n, slot + 1, SHAPE(w->dim[0]), why);
}

/* Operand x and the types of all. */
static bool want_planes(const Node *n, Buf *why) {
    return want_float(n, 0, why) && want_same_dtypes(n, why) && want_rank(n, 0, 4, why);
}

static bool want_groups(const Node *n, Buf *why) {
    int64_t group = conv_attrs(n)->group;
    int64_t in = shape_in(n, 0)->dim[1], out = shape_in(n, 1)->dim[0],
            each = shape_in(n, 1)->dim[1];
    if (in % group != 0 || out % group != 0)
        return refuse(why,
                      "%" PRId64 " groups don't divide %" PRId64 " input and %" PRId64
                      " output channels",
                      group, in, out);
    if (each != in / group)
        return refuse(why,
                      "the weight has %" PRId64 " input channels, the input has %" PRId64
                      " in %" PRId64 " group%s",
                      each, in, group, group == 1 ? "" : "s");
    return true;
}

/* [N,C,1,1] for [N,C,H,W] */
static Type mean_type(const Type *y) {
    return type_plain(y->dtype, SHAPE(y->shape.dim[0], y->shape.dim[1], 1, 1));
}

bool infer_conv2d_planes(const Node *n, Type *y, Buf *why) {
    return want_planes(n, why) && conv_result(n, conv_attrs(n), shape_in(n, 0), 1, y, why) &&
           want_groups(n, why);
}

static bool want_steps(const Node *n, const Type *y, Buf *why) {
    return want_shape(n, node_slot(n, "steps"), SHAPE(STEP_COUNT, y->shape.dim[1]), why);
}

bool infer_conv2d(const Node *n, Type *results, Buf *why) {
    if (!infer_conv2d_planes(n, &results[0], why))
        return false;
    const Shape *x = shape_in(n, 0);
    return want_shape(n, node_slot(n, "scale"), SHAPE(x->dim[0], x->dim[1], 1, 1), why) &&
           want_shape(n, node_slot(n, "residual"), results[0].shape, why) &&
           want_steps(n, &results[0], why);
}

bool infer_conv2d_mean(const Node *n, Type *results, Buf *why) {
    Type y;
    if (!infer_conv2d_planes(n, &y, why))
        return false;
    results[0] = mean_type(&y);
    return true;
}

/* The filters of a depthwise convolution of x. */
static bool want_filters(const Node *n, int slot, const Shape *x, Buf *why) {
    const Shape *w = shape_in(n, slot);
    return want_shape(n, slot, SHAPE(x->dim[1], 1, w->dim[2], w->dim[3]), why);
}

bool infer_dwconv2d(const Node *n, Type *results, Buf *why) {
    if (!want_planes(n, why) || !conv_result(n, conv_attrs(n), shape_in(n, 0), 1, &results[0], why))
        return false;
    if (conv_attrs(n)->group != 1)
        return refuse(why, "group is implied, it must stay 1");
    results[1] = mean_type(&results[0]);
    return want_filters(n, 1, shape_in(n, 0), why) && want_steps(n, &results[0], why);
}

ConvAttrs conv_dw_first(const Node *n) {
    const ConvDwAttrs *a = conv_dw_attrs(n);
    return (ConvAttrs){.kernel = a->kernel,
                       .stride = a->stride,
                       .pad = a->pad,
                       .dilation = a->dilation,
                       .group = 1,
                       .act = a->act};
}

ConvAttrs conv_dw_second(const Node *n) {
    const ConvDwAttrs *a = conv_dw_attrs(n);
    return (ConvAttrs){.kernel = a->dw_kernel,
                       .stride = a->dw_stride,
                       .pad = a->dw_pad,
                       .dilation = a->dw_dilation,
                       .group = 1,
                       .act = a->dw_act};
}

static bool conv_dw_types(const Node *n, Type *middle, Type *y, Buf *why) {
    ConvAttrs first = conv_dw_first(n), second = conv_dw_second(n);
    const Shape *x = shape_in(n, 0);
    if (!conv_result(n, &first, x, 1, middle, why) ||
        !want_shape(n, 1,
                    SHAPE(middle->shape.dim[1], x->dim[1], first.kernel.v[0], first.kernel.v[1]),
                    why))
        return false;
    int dw = node_slot(n, "dw");
    return conv_result(n, &second, &middle->shape, dw, y, why) &&
           want_filters(n, dw, &middle->shape, why);
}

Type conv_dw_middle(const Node *n) {
    Type middle, y;
    Buf why = {0};
    ensure(conv_dw_types(n, &middle, &y, &why));
    return middle;
}

bool infer_conv2d_dwconv2d(const Node *n, Type *results, Buf *why) {
    const ConvDwAttrs *a = conv_dw_attrs(n);
    Type middle;
    if (!want_planes(n, why) || !conv_dw_types(n, &middle, &results[0], why) ||
        !want_between("band", &a->band, 1, 1, why) || !want_between("parts", &a->parts, 1, 1, why))
        return false;
    results[1] = mean_type(&results[0]);
    return true;
}

bool infer_dense(const Node *n, Type *results, Buf *why) {
    if (!want_float(n, 0, why) || !want_same_dtypes(n, why) || !want_rank(n, 1, 2, why))
        return false;
    const Shape *x = shape_in(n, 0), *w = shape_in(n, 1);
    bool flat = x->rank == 2 || (x->rank == 4 && x->dim[2] == 1 && x->dim[3] == 1);
    if (!flat) {
        buf_puts(why, "operand x must be [N,K] or [N,K,1,1], it is ");
        shape_print(why, x);
        return false;
    }
    if (x->dim[1] != w->dim[1])
        return refuse(why, "the weight has %" PRId64 " inputs, the input has %" PRId64, w->dim[1],
                      x->dim[1]);
    results[0] = like_x(n, SHAPE(x->dim[0], w->dim[0]));
    return want_shape(n, 2, SHAPE(w->dim[0]), why);
}

bool infer_se(const Node *n, Type *results, Buf *why) {
    if (!want_float(n, 0, why) || !want_same_dtypes(n, why) || !want_rank(n, 0, 4, why) ||
        !want_rank(n, 1, 4, why))
        return false;
    int64_t c = shape_in(n, 0)->dim[1], s = shape_in(n, 1)->dim[0];
    results[0] = like_x(n, SHAPE(shape_in(n, 0)->dim[0], c, 1, 1));
    return want_shape(n, 1, SHAPE(s, c, 1, 1), why) && want_shape(n, 2, SHAPE(s), why) &&
           want_shape(n, 3, SHAPE(c, s, 1, 1), why) && want_shape(n, 4, SHAPE(c), why);
}
