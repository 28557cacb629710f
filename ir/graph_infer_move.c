/* graph_infer_move.c: shape rules of the ops that move elements. */
#include "ir/graph_internal.h"

#include <inttypes.h>

/* A list of dims as a shape. */
static bool shape_from(Ints v, Shape *s, Buf *why) {
    if (v.n > MAX_RANK)
        return refuse(why, "shape has %d dims, %d are possible", v.n, MAX_RANK);
    *s = shape_of(v.n, v.v);
    if (!shape_valid(s, DT_u8))
        return refuse(why, "shape has a negative dim or is too large");
    return true;
}

bool infer_reshape(const Node *n, Type *results, Buf *why) {
    Shape y;
    if (!shape_from(reshape_attrs(n)->shape, &y, why))
        return false;
    results[0] = like_x(n, y);
    int64_t have = shape_elems(shape_in(n, 0)), want = shape_elems(&y);
    return have == want ||
           refuse(why, "the new shape has %" PRId64 " elements, operand x has %" PRId64, want,
                  have);
}

bool infer_expand(const Node *n, Type *results, Buf *why) {
    Shape y;
    if (!shape_from(reshape_attrs(n)->shape, &y, why))
        return false;
    results[0] = like_x(n, y);
    const Shape *x = shape_in(n, 0);
    bool fits = x->rank <= y.rank;
    for (int i = 0; fits && i < x->rank; i++)
        fits = x->dim[i] == 1 || x->dim[i] == y.dim[i + y.rank - x->rank];
    if (fits)
        return true;
    buf_puts(why, "operand x of shape ");
    shape_print(why, x);
    buf_puts(why, " can't be broadcast to ");
    shape_print(why, &y);
    return false;
}

bool infer_transpose(const Node *n, Type *results, Buf *why) {
    const Shape *x = shape_in(n, 0);
    Ints perm = transpose_attrs(n)->perm;
    if (!want_entries("perm", perm, x->rank, why))
        return false;
    Shape y = {.rank = x->rank};
    bool seen[MAX_RANK] = {false};
    for (int i = 0; i < perm.n; i++) {
        int64_t axis = perm.v[i];
        if (!want_axis(axis, x->rank, why))
            return false;
        if (seen[axis])
            return refuse(why, "axis %" PRId64 " is there twice", axis);
        seen[axis] = true;
        y.dim[i] = x->dim[axis];
    }
    results[0] = like_x(n, y);
    return true;
}

/* Adds x's extent along the axis; all else must be equal. */
static bool join(Shape *y, const Shape *x, int axis) {
    if (x->rank != y->rank)
        return false;
    for (int i = 0; i < y->rank; i++)
        if (i != axis && x->dim[i] != y->dim[i])
            return false;
    return checked_add(y->dim[axis], x->dim[axis], &y->dim[axis]);
}

bool infer_concat(const Node *n, Type *results, Buf *why) {
    int64_t axis = axis_attrs(n)->axis;
    if (!want_same_dtypes(n, why) || !want_axis(axis, shape_in(n, 0)->rank, why))
        return false;
    Shape y = *shape_in(n, 0);
    for (int i = 1; i < n->noperands; i++) {
        if (join(&y, shape_in(n, i), (int)axis))
            continue;
        refuse(why, "operand %d of shape ", i);
        shape_print(why, shape_in(n, i));
        buf_puts(why, " doesn't fit ");
        shape_print(why, shape_in(n, 0));
        return refuse(why, " along axis %" PRId64, axis);
    }
    results[0] = like_x(n, y);
    return true;
}

/* Whether the elements start, start + step, ... are all within `dim`. */
static bool slice_fits(int64_t start, int64_t size, int64_t step, int64_t dim) {
    if (size == 0)
        return true;
    if (start < 0 || start >= dim || size < 0 || size > dim || step == INT64_MIN)
        return false;
    int64_t reach;
    if (!checked_mul(size - 1, step < 0 ? -step : step, &reach))
        return false;
    return step < 0 ? reach <= start : reach <= dim - 1 - start;
}

bool infer_slice(const Node *n, Type *results, Buf *why) {
    const SliceAttrs *a = slice_attrs(n);
    const Shape *x = shape_in(n, 0);
    if (!want_entries("starts", a->starts, x->rank, why) ||
        !want_entries("sizes", a->sizes, x->rank, why) ||
        !want_entries("steps", a->steps, x->rank, why))
        return false;
    for (int i = 0; i < x->rank; i++) {
        if (a->steps.v[i] == 0)
            return refuse(why, "step 0 in dim %d", i);
        if (!slice_fits(a->starts.v[i], a->sizes.v[i], a->steps.v[i], x->dim[i]))
            return refuse(why,
                          "%" PRId64 " elements from %" PRId64 " in steps of %" PRId64
                          " don't fit in dim %d of %" PRId64,
                          a->sizes.v[i], a->starts.v[i], a->steps.v[i], i, x->dim[i]);
    }
    results[0] = like_x(n, shape_of(x->rank, a->sizes.v));
    return true;
}

bool infer_pad(const Node *n, Type *results, Buf *why) {
    const PadAttrs *a = pad_attrs(n);
    Shape y = *shape_in(n, 0);
    if (!want_entries("before", a->before, y.rank, why) ||
        !want_entries("after", a->after, y.rank, why))
        return false;
    for (int i = 0; i < y.rank; i++)
        if (!checked_add(y.dim[i], a->before.v[i], &y.dim[i]) ||
            !checked_add(y.dim[i], a->after.v[i], &y.dim[i]))
            return refuse(why, "the padding of dim %d is negative or too large", i);
    results[0] = like_x(n, y);
    return true;
}
