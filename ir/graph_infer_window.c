/* graph_infer_window.c: shape rules of pooling and resizing. */
#include "ir/graph_internal.h"

#include <inttypes.h>

/* The windows of max_pool and avg_pool as those of a convolution. */
static ConvAttrs pool_window(const PoolAttrs *a) {
    return (ConvAttrs){.kernel = a->kernel,
                       .stride = a->stride,
                       .pad = a->pad,
                       .dilation = a->dilation,
                       .group = 1};
}

PoolTaps pool_taps(const PoolAttrs *a, int axis, int64_t out, int64_t lo, int64_t hi) {
    int64_t step = a->dilation.v[axis], kernel = a->kernel.v[axis];
    int64_t start = out * a->stride.v[axis] - a->pad.v[axis];
    int64_t from = start < lo ? ceil_div(lo - start, step) : 0;
    int64_t to = hi > start ? ceil_div(hi - start, step) : 0;
    to = to < kernel ? to : kernel;
    return (PoolTaps){start + from * step, to > from ? to - from : 0};
}

static bool want_pool_attrs(const PoolAttrs *a, Buf *why) {
    return want_between("kernel", a->kernel.v, 2, 1, why) &&
           want_between("stride", a->stride.v, 2, 1, why) &&
           want_between("dilation", a->dilation.v, 2, 1, why) &&
           want_between("pad", a->pad.v, 4, 0, why) &&
           want_between("counted", a->counted.v, 4, 0, why);
}

static bool infer_pool(const Node *n, Type *results, Buf *why) {
    const PoolAttrs *a = pool_attrs(n);
    ConvAttrs window = pool_window(a);
    if (!want_rank(n, 0, 4, why) || !want_pool_attrs(a, why))
        return false;
    Shape y = *shape_in(n, 0);
    for (int i = 0; i < 2; i++)
        if (!conv_size(&window, i, y.dim[2 + i], &y.dim[2 + i], why))
            return false;
    results[0] = like_x(n, y);
    return true;
}

bool infer_max_pool(const Node *n, Type *results, Buf *why) {
    if (!want_number(n, 0, why) || !infer_pool(n, results, why))
        return false;
    for (int i = 0; i < 4; i++)
        if (pool_attrs(n)->counted.v[i])
            return refuse(why, "counted is for means, it must stay 0");
    return true;
}

bool infer_avg_pool(const Node *n, Type *results, Buf *why) {
    if (!want_float(n, 0, why) || !infer_pool(n, results, why))
        return false;
    const PoolAttrs *a = pool_attrs(n);
    for (int i = 0; i < 4; i++)
        if (a->counted.v[i] > a->pad.v[i])
            return refuse(why, "counted is %" PRId64 " on a side with a pad of %" PRId64,
                          a->counted.v[i], a->pad.v[i]);
    return true;
}

/* ---- resize ---------------------------------------------------------------------------------- */

/* The table of an axis is a list of elements for each output, the weights are of the same shape. */
static bool resized_axis(const Node *n, int slot, int64_t *size, Buf *why) {
    const Value *index = node_in(n, slot), *weight = node_in(n, slot + 2);
    if (!index)
        return !weight || refuse(why, "there are weights without elements");
    DType t = index->type.dtype;
    const Shape *s = &index->type.shape;
    if (t != DT_i64 && t != DT_i32)
        return refuse(why, "operand %s must be i64 or i32, it is %s", op_operand(n->op, slot).name,
                      dtype_name(t));
    if (!want_rank(n, slot, 2, why) || !want_shape(n, slot + 2, *s, why))
        return false;
    if (weight && (!want_float(n, slot + 2, why) || !want_float(n, 0, why)))
        return false;
    if (s->dim[1] < 1 || (!weight && s->dim[1] != 1))
        return refuse(why, "an output has %" PRId64 " elements", s->dim[1]);
    *size = s->dim[0];
    return true;
}

bool infer_resize(const Node *n, Type *results, Buf *why) {
    if (!want_rank(n, 0, 4, why))
        return false;
    Shape y = *shape_in(n, 0);
    for (int axis = 0; axis < 2; axis++)
        if (!resized_axis(n, 1 + axis, &y.dim[2 + axis], why))
            return false;
    results[0] = like_x(n, y);
    return true;
}
