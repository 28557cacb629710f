/* graph_infer_index.c: shape rules of the ops that find elements by indices. */
#include "ir/graph_internal.h"

#include <inttypes.h>

static bool want_indices(const Node *n, Buf *why) {
    DType t = dtype_in(n, 1);
    return t == DT_i64 || t == DT_i32 ||
           refuse(why, "operand indices must be i64 or i32, it is %s", dtype_name(t));
}

/* Appends the dims of s from `first` to before `last`. */
static bool add_dims(Shape *y, const Shape *s, int first, int last, Buf *why) {
    if (y->rank + last - first > MAX_RANK)
        return refuse(why, "the result would have more than %d dims", MAX_RANK);
    for (int i = first; i < last; i++)
        y->dim[y->rank++] = s->dim[i];
    return true;
}

/* y's shape is x's with dim `axis` replaced by the indices' shape. */
bool infer_gather(const Node *n, Type *results, Buf *why) {
    int64_t axis = axis_attrs(n)->axis;
    const Shape *x = shape_in(n, 0), *indices = shape_in(n, 1);
    Shape y = {0};
    if (!want_axis(axis, x->rank, why) || !want_indices(n, why) ||
        !add_dims(&y, x, 0, (int)axis, why) || !add_dims(&y, indices, 0, indices->rank, why) ||
        !add_dims(&y, x, (int)axis + 1, x->rank, why))
        return false;
    results[0] = like_x(n, y);
    return true;
}

/* ---- an index for each element --------------------------------------------------------------- */

/* The indices lie within x but for the axis, which they name. */
static bool want_elements(const Node *n, int64_t axis, Buf *why) {
    const Shape *x = shape_in(n, 0), *indices = shape_in(n, 1);
    if (!want_indices(n, why) || !want_rank(n, 1, x->rank, why) || !want_axis(axis, x->rank, why))
        return false;
    for (int i = 0; i < x->rank; i++)
        if (i != axis && indices->dim[i] > x->dim[i])
            return refuse(why, "dim %d of the indices is %" PRId64 ", and that of x %" PRId64, i,
                          indices->dim[i], x->dim[i]);
    return true;
}

bool infer_gather_elements(const Node *n, Type *results, Buf *why) {
    results[0] = like_x(n, *shape_in(n, 1));
    return want_elements(n, axis_attrs(n)->axis, why);
}

/* The updates are of x's type and can be combined with it. */
static bool want_updates(const Node *n, Op combine, Buf *why) {
    DType x = dtype_in(n, 0), updates = dtype_in(n, 2);
    if (x != updates)
        return refuse(why, "operand updates is %s, but x is %s", dtype_name(updates),
                      dtype_name(x));
    if (combine == OP_identity)
        return true;
    if (combine != OP_add && combine != OP_mul && combine != OP_min && combine != OP_max)
        return refuse(why, "elements can be combined by identity, add, mul, min and max alone");
    return want_number(n, 0, why);
}

bool infer_scatter_elements(const Node *n, Type *results, Buf *why) {
    const ScatterAttrs *a = scatter_attrs(n);
    results[0] = like_x(n, *shape_in(n, 0));
    return want_elements(n, a->axis, why) && want_updates(n, a->combine, why) &&
           want_shape(n, 2, *shape_in(n, 1), why);
}

/* ---- a tuple of indices for each slice ------------------------------------------------------- */

/* The shape of what the tuples of indices name: theirs, and the dims of x behind those that they
 * have an index for. */
static bool named_shape(const Node *n, int64_t batch_dims, Shape *y, Buf *why) {
    const Shape *x = shape_in(n, 0), *indices = shape_in(n, 1);
    if (!want_indices(n, why))
        return false;
    if (indices->rank < 1)
        return refuse(why, "operand indices must have rank 1 or more");
    if (batch_dims < 0 || batch_dims >= indices->rank || batch_dims > x->rank)
        return refuse(why, "%" PRId64 " common dims are not possible", batch_dims);
    int64_t tuple = indices->dim[indices->rank - 1];
    if (tuple > x->rank - batch_dims)
        return refuse(why, "a tuple has %" PRId64 " indices, and there are %" PRId64 " dims", tuple,
                      x->rank - batch_dims);
    for (int i = 0; i < batch_dims; i++)
        if (x->dim[i] != indices->dim[i])
            return refuse(why, "dim %d of the indices is %" PRId64 ", and that of x %" PRId64, i,
                          indices->dim[i], x->dim[i]);
    *y = (Shape){0};
    return add_dims(y, indices, 0, indices->rank - 1, why) &&
           add_dims(y, x, (int)(batch_dims + tuple), x->rank, why);
}

bool infer_gather_nd(const Node *n, Type *results, Buf *why) {
    Shape y;
    if (!named_shape(n, gather_nd_attrs(n)->batch_dims, &y, why))
        return false;
    results[0] = like_x(n, y);
    return true;
}

bool infer_scatter_nd(const Node *n, Type *results, Buf *why) {
    Shape named;
    results[0] = like_x(n, *shape_in(n, 0));
    return named_shape(n, 0, &named, why) && want_updates(n, scatter_nd_attrs(n)->combine, why) &&
           want_shape(n, 2, named, why);
}

/* ---- as many as there are -------------------------------------------------------------------- */

static Type count_type(void) {
    return type_plain(DT_i64, (Shape){0});
}

/* Room for all elements. */
bool infer_non_zero(const Node *n, Type *results, Buf *why) {
    (void)why;
    results[0] = type_plain(DT_i64, SHAPE(shape_in(n, 0)->rank, shape_elems(shape_in(n, 0))));
    results[1] = count_type();
    return true;
}

/* Room for as many slices as there are conditions. */
bool infer_compress(const Node *n, Type *results, Buf *why) {
    int64_t axis = axis_attrs(n)->axis;
    Shape y = *shape_in(n, 0);
    if (!want_axis(axis, y.rank, why) || !want_rank(n, 1, 1, why) || !want_bool(n, 1, why))
        return false;
    if (shape_in(n, 1)->dim[0] > y.dim[axis])
        return refuse(why, "there are %" PRId64 " conditions for %" PRId64 " elements",
                      shape_in(n, 1)->dim[0], y.dim[axis]);
    y.dim[axis] = shape_in(n, 1)->dim[0];
    results[0] = like_x(n, y);
    results[1] = count_type();
    return true;
}

/* ---- boxes ----------------------------------------------------------------------------------- */

static bool want_one(const Node *n, int slot, DType dt, Buf *why) {
    const Value *v = node_in(n, slot);
    if (!v || (v->type.dtype == dt && shape_elems(&v->type.shape) == 1))
        return true;
    return refuse(why, "operand %s must be one %s", op_operand(n->op, slot).name, dtype_name(dt));
}

/* Room for `limit` boxes of each class of each image, of which the first `count` are there. */
bool infer_non_max_suppression(const Node *n, Type *results, Buf *why) {
    const Shape *boxes = shape_in(n, 0), *scores = shape_in(n, 1);
    int64_t limit = nms_attrs(n)->limit, rows;
    if (!want_rank(n, 0, 3, why) || !want_rank(n, 1, 3, why))
        return false;
    if (dtype_in(n, 0) != DT_f32 || dtype_in(n, 1) != DT_f32)
        return refuse(why, "boxes and scores must be f32");
    if (!want_shape(n, 0, SHAPE(scores->dim[0], scores->dim[2], 4), why) ||
        !want_one(n, 2, DT_i64, why) || !want_one(n, 3, DT_f32, why) ||
        !want_one(n, 4, DT_f32, why))
        return false;
    if (limit < 0 || limit > boxes->dim[1])
        return refuse(why, "limit is %" PRId64 ", and there are %" PRId64 " boxes", limit,
                      boxes->dim[1]);
    if (!checked_mul(scores->dim[0], scores->dim[1], &rows) || !checked_mul(rows, limit, &rows))
        return refuse(why, "there are too many boxes");
    results[0] = type_plain(DT_i64, SHAPE(rows, 3));
    results[1] = count_type();
    return true;
}
