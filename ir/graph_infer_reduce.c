/* graph_infer_reduce.c: shape rules of reductions, and of what picks elements by size. */
#include "ir/graph_internal.h"

#include <inttypes.h>

/* Marks the axes that are reduced. */
static bool mark_axes(Ints axes, int rank, bool *reduced, Buf *why) {
    for (int i = 0; i < axes.n; i++) {
        int64_t axis = axes.v[i];
        if (!want_axis(axis, rank, why))
            return false;
        if (reduced[axis])
            return refuse(why, "axis %" PRId64 " is there twice", axis);
        reduced[axis] = true;
    }
    return true;
}

/* x's dims without those that are reduced, or with 1 in their place. */
static Shape reduced_shape(const Shape *x, const bool *reduced, bool keepdims) {
    Shape y = {0};
    for (int i = 0; i < x->rank; i++) {
        if (!reduced[i])
            y.dim[y.rank++] = x->dim[i];
        else if (keepdims)
            y.dim[y.rank++] = 1;
    }
    return y;
}

static bool infer_reduce(const Node *n, Type *results, Buf *why) {
    const ReduceAttrs *a = reduce_attrs(n);
    bool reduced[MAX_RANK] = {false};
    if (!mark_axes(a->axes, shape_in(n, 0)->rank, reduced, why))
        return false;
    results[0] = like_x(n, reduced_shape(shape_in(n, 0), reduced, a->keepdims));
    return true;
}

bool infer_reduce_mean(const Node *n, Type *results, Buf *why) {
    return want_float(n, 0, why) && infer_reduce(n, results, why);
}

bool infer_reduce_number(const Node *n, Type *results, Buf *why) {
    return want_number(n, 0, why) && infer_reduce(n, results, why);
}

/* The smallest and the largest of bool are "and" and "or". */
bool infer_reduce_any(const Node *n, Type *results, Buf *why) {
    return infer_reduce(n, results, why);
}

bool infer_arg(const Node *n, Type *results, Buf *why) {
    const ArgAttrs *a = arg_attrs(n);
    const Shape *x = shape_in(n, 0);
    bool reduced[MAX_RANK] = {false};
    if (!want_number(n, 0, why) || !want_axis(a->axis, x->rank, why))
        return false;
    if (x->dim[a->axis] == 0)
        return refuse(why, "axis %" PRId64 " has no elements", a->axis);
    reduced[a->axis] = true;
    results[0] = type_plain(DT_i64, reduced_shape(x, reduced, a->keepdims));
    return true;
}

bool infer_top_k(const Node *n, Type *results, Buf *why) {
    const TopKAttrs *a = top_k_attrs(n);
    Shape y = *shape_in(n, 0);
    if (!want_number(n, 0, why) || !want_axis(a->axis, y.rank, why))
        return false;
    if (a->k < 0 || a->k > y.dim[a->axis])
        return refuse(why, "k is %" PRId64 ", and axis %" PRId64 " has %" PRId64 " elements", a->k,
                      a->axis, y.dim[a->axis]);
    y.dim[a->axis] = a->k;
    results[0] = like_x(n, y);
    results[1] = type_plain(DT_i64, y);
    return true;
}
