/* graph_infer.c: what the shape rules of several ops ask for, and the rules of elementwise ops. */
#include "ir/graph_internal.h"

#include <inttypes.h>
#include <math.h>

bool refuse(Buf *why, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(why, fmt, ap);
    va_end(ap);
    return false;
}

/* ---- operands ------------------------------------------------------------------------------- */

bool want_float(const Node *n, int slot, Buf *why) {
    if (dtype_is_float(dtype_in(n, slot)))
        return true;
    return refuse(why, "operand %s must be of a floating-point type, it is %s",
                  op_operand(n->op, slot).name, dtype_name(dtype_in(n, slot)));
}

bool want_number(const Node *n, int slot, Buf *why) {
    if (dtype_in(n, slot) != DT_bool)
        return true;
    return refuse(why, "operand %s must be a number, it is bool", op_operand(n->op, slot).name);
}

bool want_rank(const Node *n, int slot, int rank, Buf *why) {
    if (shape_in(n, slot)->rank == rank)
        return true;
    return refuse(why, "operand %s must have rank %d, it has rank %d", op_operand(n->op, slot).name,
                  rank, shape_in(n, slot)->rank);
}

bool want_same_dtypes(const Node *n, Buf *why) {
    for (int i = 1; i < n->noperands; i++)
        if (node_in(n, i) && dtype_in(n, i) != dtype_in(n, 0))
            return refuse(why, "operand %s is %s, but %s is %s", op_operand(n->op, i).name,
                          dtype_name(dtype_in(n, i)), op_operand(n->op, 0).name,
                          dtype_name(dtype_in(n, 0)));
    return true;
}

bool want_shape(const Node *n, int slot, Shape want, Buf *why) {
    if (!node_in(n, slot) || shape_equal(shape_in(n, slot), &want))
        return true;
    refuse(why, "operand %s must have shape ", op_operand(n->op, slot).name);
    shape_print(why, &want);
    buf_puts(why, ", it has ");
    shape_print(why, shape_in(n, slot));
    return false;
}

bool want_axis(int64_t axis, int rank, Buf *why) {
    if (axis >= 0 && axis < rank)
        return true;
    return refuse(why, "axis %" PRId64 " is out of range for rank %d", axis, rank);
}

bool want_entries(const char *attr, Ints v, int rank, Buf *why) {
    if (v.n == rank)
        return true;
    return refuse(why, "%s must have one entry for each of %d dims, it has %d", attr, rank, v.n);
}

/* ---- elementwise ops ------------------------------------------------------------------------ */

bool infer_same(const Node *n, Type *results, Buf *why) {
    (void)why;
    results[0] = like_x(n, *shape_in(n, 0));
    return true;
}

bool infer_floating(const Node *n, Type *results, Buf *why) {
    return want_float(n, 0, why) && infer_same(n, results, why);
}

bool infer_number(const Node *n, Type *results, Buf *why) {
    return want_number(n, 0, why) && infer_same(n, results, why);
}

bool infer_clip(const Node *n, Type *results, Buf *why) {
    const ClipAttrs *a = clip_attrs(n);
    if (isnan(a->min) || isnan(a->max))
        return refuse(why, "the bounds must be numbers");
    return infer_number(n, results, why);
}

bool infer_cast(const Node *n, Type *results, Buf *why) {
    (void)why;
    results[0] = type_plain(cast_attrs(n)->to, *shape_in(n, 0));
    return true;
}

bool infer_pixels(const Node *n, Type *results, Buf *why) {
    const Shape *x = shape_in(n, 0), *shift = node_in(n, 1) ? shape_in(n, 1) : NULL;
    if ((dtype_in(n, 0) != DT_u8 && dtype_in(n, 0) != DT_f32) || x->rank != 4)
        return refuse(why, "x must be u8[N,H,W,C] or f32[N,H,W,C]");
    Shape channels = SHAPE(x->dim[3]);
    if (shift && (dtype_in(n, 1) != DT_f32 || !shape_equal(shift, &channels)))
        return refuse(why, "shift must be f32 with a number for each of the %lld channels",
                      (long long)x->dim[3]);
    results[0] = type_plain(DT_f32, SHAPE(x->dim[0], x->dim[3], x->dim[1], x->dim[2]));
    return true;
}

/* The common shape by numpy's rule: aligned at the last dim, 1 stretches. */
static bool broadcast(const Shape *a, const Shape *b, Shape *out) {
    const Shape *big = a->rank >= b->rank ? a : b, *small = big == a ? b : a;
    int shift = big->rank - small->rank;
    *out = *big;
    for (int i = 0; i < small->rank; i++) {
        int64_t x = big->dim[i + shift], y = small->dim[i];
        if (x != y && x != 1 && y != 1)
            return false;
        out->dim[i + shift] = x == 1 ? y : x;
    }
    return true;
}

bool want_broadcast(const Shape *a, const Shape *b, Shape *y, Buf *why) {
    if (broadcast(a, b, y))
        return true;
    buf_puts(why, "shapes ");
    shape_print(why, a);
    buf_puts(why, " and ");
    shape_print(why, b);
    return refuse(why, " can't be broadcast to one");
}

static bool broadcast_to(const Node *n, DType dt, Type *y, Buf *why) {
    Shape s;
    if (!want_same_dtypes(n, why) || !want_broadcast(shape_in(n, 0), shape_in(n, 1), &s, why))
        return false;
    *y = type_plain(dt, s);
    return true;
}

bool infer_broadcast(const Node *n, Type *results, Buf *why) {
    return want_number(n, 0, why) && broadcast_to(n, dtype_in(n, 0), results, why);
}

bool infer_compare(const Node *n, Type *results, Buf *why) {
    return broadcast_to(n, DT_bool, results, why);
}

bool want_bool(const Node *n, int slot, Buf *why) {
    if (dtype_in(n, slot) == DT_bool)
        return true;
    return refuse(why, "operand %s must be bool, it is %s", op_operand(n->op, slot).name,
                  dtype_name(dtype_in(n, slot)));
}

/* bool, or integers bit by bit */
bool infer_logic(const Node *n, Type *results, Buf *why) {
    if (dtype_is_float(dtype_in(n, 0)))
        return refuse(why, "operand %s must be bool or an integer, it is %s",
                      op_operand(n->op, 0).name, dtype_name(dtype_in(n, 0)));
    return broadcast_to(n, dtype_in(n, 0), results, why);
}

bool infer_not(const Node *n, Type *results, Buf *why) {
    return want_bool(n, 0, why) && infer_same(n, results, why);
}

bool infer_where(const Node *n, Type *results, Buf *why) {
    Shape ab, y;
    if (!want_bool(n, 0, why))
        return false;
    if (dtype_in(n, 1) != dtype_in(n, 2))
        return refuse(why, "operand b is %s, but a is %s", dtype_name(dtype_in(n, 2)),
                      dtype_name(dtype_in(n, 1)));
    if (!want_broadcast(shape_in(n, 1), shape_in(n, 2), &ab, why) ||
        !want_broadcast(shape_in(n, 0), &ab, &y, why))
        return false;
    results[0] = type_plain(dtype_in(n, 1), y);
    return true;
}

/* ---- normalisation and pooling --------------------------------------------------------------- */

bool infer_batch_norm(const Node *n, Type *results, Buf *why) {
    if (!want_float(n, 0, why) || !want_same_dtypes(n, why))
        return false;
    if (shape_in(n, 0)->rank < 2)
        return refuse(why, "operand x must have rank 2 or more, it has rank %d",
                      shape_in(n, 0)->rank);
    Shape channels = SHAPE(shape_in(n, 0)->dim[1]);
    for (int i = 1; i < n->noperands; i++)
        if (!want_shape(n, i, channels, why))
            return false;
    return infer_same(n, results, why);
}

bool infer_softmax(const Node *n, Type *results, Buf *why) {
    return want_axis(axis_attrs(n)->axis, shape_in(n, 0)->rank, why) &&
           infer_floating(n, results, why);
}

bool infer_global_avg_pool(const Node *n, Type *results, Buf *why) {
    if (!infer_floating(n, results, why))
        return false;
    Shape *y = &results[0].shape;
    if (y->rank < 3)
        return refuse(why, "operand x must have rank 3 or more, it has rank %d", y->rank);
    for (int i = 2; i < y->rank; i++)
        y->dim[i] = 1;
    return true;
}
