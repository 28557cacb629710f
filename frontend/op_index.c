/* op_index.c: operators that find elements by indices: Gather, Scatter, OneHot. */
#include "frontend/import.h"

#include <string.h>

/* Indices that are known must be inside the dimension: then generated code need not check them.
 * Negative ones count from the end, in the graph op too. */
static void check_indices(OnnxNode *n, int64_t dim) {
    const Tensor *t = graph_fold_value(n->im->g, onnx_input(n, 1), FOLD_LIMIT);
    if (!t || !t->data || dtype_is_float(t->dtype))
        return;
    for (int64_t i = 0; i < shape_elems(&t->shape) && !n->failed; i++) {
        int64_t k = tensor_i64(t, i);
        if (k < -dim || k >= dim)
            onnx_bad(n, "index %lld is outside [%lld, %lld)", (long long)k, (long long)-dim,
                     (long long)dim);
    }
}

/* Operators whose graph op has the same operands, the first `count` inputs. NULL after a
 * complaint. */
static Node *add_same(OnnxNode *n, Op op, int count) {
    Value *operands[3] = {NULL};
    for (int i = 0; i < count; i++)
        operands[i] = onnx_input(n, i);
    return n->failed ? NULL : onnx_add(n, op, NULL, operands, count);
}

/* The axis that the indices, input 1, are of. */
static int axis_of(OnnxNode *n) {
    int axis = onnx_axis(n, attr_int(n, "axis", 0), onnx_shape(n, 0)->rank);
    if (!n->failed)
        check_indices(n, onnx_shape(n, 0)->dim[axis]);
    return axis;
}

/* Indices from the end are from the end of what is there. */
static Value *indices_of(OnnxNode *n, Value *at, Value *count) {
    Value *size = onnx_cast(n, "size", count, at->type.dtype);
    Value *is_behind = onnx_by_scalar(n, OP_less, "is_from_end", at, 0);
    return onnx_where(n, "at", is_behind, onnx_binary(n, OP_add, "from_end", at, size), at);
}

/* Gather-1 to -13. */
void import_gather(OnnxNode *n) {
    int axis = axis_of(n);
    Value *x = onnx_input(n, 0), *at = onnx_input(n, 1);
    if (n->failed)
        return;
    if (onnx_counted_axis(n, 0) == axis) {
        at = indices_of(n, at, onnx_count_of(n, x));
        x = onnx_uncounted(n, x);
    }
    onnx_set_output(n, 0, onnx_gather(n, NULL, x, at, axis));
}

/* GatherElements-11, -13. */
void import_gather_elements(OnnxNode *n) {
    int axis = axis_of(n);
    Node *g = add_same(n, OP_gather_elements, 2);
    if (!g)
        return;
    axis_attrs(g)->axis = axis;
    onnx_set_output(n, 0, onnx_done(n, g));
}

/* GatherND-11 to -13; common dimensions from -12 on. */
void import_gather_nd(OnnxNode *n) {
    int64_t batch_dims = attr_int(n, "batch_dims", 0);
    Node *g = add_same(n, OP_gather_nd, 2);
    if (!g)
        return;
    gather_nd_attrs(g)->batch_dims = batch_dims;
    onnx_set_output(n, 0, onnx_done(n, g));
}

/* The op that the attribute `reduction` names; there is none before opset 16. */
static Op combine_op(OnnxNode *n) {
    static const struct {
        const char *name;
        Op op;
    } known[] = {
        {"none", OP_identity}, {"add", OP_add}, {"mul", OP_mul}, {"min", OP_min}, {"max", OP_max}};
    const char *name = attr_string(n, "reduction", "none");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0)
            return known[i].op;
    onnx_bad(n, "reduction %s is not known", quoted(n->im, name));
    return OP_identity;
}

/* Sizes that depend on data: what isn't there goes behind the last element along the axis, where
 * nobody looks. */
static void scatter_counted(OnnxNode *n, Op combine, int axis) {
    Value *x = onnx_input(n, 0), *at = onnx_input(n, 1), *count = onnx_count_of(n, x);
    int64_t dim = x->type.shape.dim[axis];
    int of_indices = onnx_counted_axis(n, 1);
    if (count && onnx_counted_axis(n, 0) != axis)
        onnx_unsupported(n,
                         "it scatters across another axis than the one whose size depends on data");
    if (n->failed)
        return;
    Value *all = onnx_uncounted(n, at);
    all = indices_of(n, all, count ? count : onnx_scalar(n, "size", DT_i64, (double)dim));
    if (of_indices >= 0) {
        Value *mask = onnx_counted_mask(n, "is_there", at, at->type.shape.rank, of_indices);
        all = onnx_where(n, "places", mask, all,
                         onnx_scalar(n, "behind", at->type.dtype, (double)dim));
    }
    Value *longer = onnx_pad_axis(n, "longer", onnx_uncounted(n, x), axis, 0, 1, 0);
    Value *updates = onnx_uncounted(n, onnx_input(n, 2));
    if (n->failed)
        return;
    Node *s = onnx_add(n, OP_scatter_elements, "scattered", (Value *[]){longer, all, updates}, 3);
    *scatter_attrs(s) = (ScatterAttrs){axis, combine};
    Value *y = onnx_slice_axis(n, NULL, onnx_done(n, s), axis, 0, dim, 1);
    onnx_set_output(n, 0, y);
    if (count && y)
        onnx_set_count(n, y, axis, count);
}

static bool is_any_counted(const OnnxNode *n) {
    for (int i = 0; i < n->ninputs; i++)
        if (onnx_counted_axis(n, i) >= 0)
            return true;
    return false;
}

/* Scatter-9, ScatterElements-11 to -18. */
void import_scatter_elements(OnnxNode *n) {
    Op combine = combine_op(n);
    int axis = axis_of(n);
    if (!n->failed && is_any_counted(n)) {
        scatter_counted(n, combine, axis);
        return;
    }
    Node *s = add_same(n, OP_scatter_elements, 3);
    if (!s)
        return;
    *scatter_attrs(s) = (ScatterAttrs){axis, combine};
    onnx_set_output(n, 0, onnx_done(n, s));
}

/* ScatterND-11 to -18. */
void import_scatter_nd(OnnxNode *n) {
    Op combine = combine_op(n);
    Node *s = add_same(n, OP_scatter_nd, 3);
    if (!s)
        return;
    scatter_nd_attrs(s)->combine = combine;
    onnx_set_output(n, 0, onnx_done(n, s));
}

/* ---- OneHot ---------------------------------------------------------------------------------- */

/* How many elements the new dimension has; a constant of any type. */
static int64_t read_depth(OnnxNode *n) {
    const Tensor *t = onnx_const_input(n, 1, "depth", FOLD_LIMIT);
    if (!t)
        return 0;
    int64_t depth = shape_elems(&t->shape) == 1 ? tensor_i64(t, 0) : -1;
    if (depth < 0)
        onnx_bad(n, "its depth must be one number, and not negative");
    else if (depth > FOLD_LIMIT)
        onnx_unsupported(n, "its depth is more than %d", (int)FOLD_LIMIT);
    return depth;
}

/* `first`, first + 1, ... along dim 0 of `rank`. */
static Value *count_from(OnnxNode *n, const char *part, int64_t first, int64_t count, int rank) {
    Shape s = {.rank = rank};
    s.dim[0] = count;
    for (int i = 1; i < rank; i++)
        s.dim[i] = 1;
    Tensor *t = onnx_new_tensor(n, DT_i64, s);
    for (int64_t i = 0; t && i < count; i++)
        tensor_set_i64(t, i, first + i);
    return t ? onnx_constant(n, part, t) : NULL;
}

/* Element i of the two in input 2, as a scalar. */
static Value *value_at(OnnxNode *n, const char *part, int64_t i) {
    Value *x = onnx_input(n, 2), *at = onnx_scalar(n, part, DT_i64, (double)i);
    return onnx_binary(n, OP_gather, part, x, at);
}

static void one_hot(OnnxNode *n, int axis, int64_t depth) {
    Value *x = onnx_input(n, 0);
    Shape s = {.rank = x->type.shape.rank + 1};
    for (int i = 0; i < s.rank; i++)
        s.dim[i] = i == axis ? 1 : x->type.shape.dim[i - (i > axis)];
    if (x->type.dtype != DT_i64)
        x = onnx_cast(n, "indices", x, DT_i64);
    x = onnx_reshape(n, "unsqueezed", x, &s);
    int rank = s.rank - axis;
    Value *front = count_from(n, "front", 0, depth, rank);
    Value *back = count_from(n, "back", -depth, depth, rank);
    Value *hot = onnx_binary(n, OP_or, "hot", onnx_binary(n, OP_equal, "is", x, front),
                             onnx_binary(n, OP_equal, "is_from_end", x, back));
    Value *off = value_at(n, "off", 0), *on = value_at(n, "on", 1);
    onnx_set_output(n, 0, onnx_where(n, NULL, hot, on, off));
}

/* OneHot-9, -11. Indices outside [-depth, depth) give `off` alone. */
void import_one_hot(OnnxNode *n) {
    int rank = onnx_shape(n, 0)->rank + 1;
    const Shape two = SHAPE(2);
    if (rank > MAX_RANK)
        onnx_unsupported(n, "its result has more than %d dimensions", MAX_RANK);
    if (!shape_equal(onnx_shape(n, 2), &two))
        onnx_bad(n, "its values must be two numbers");
    int axis = onnx_axis(n, attr_int(n, "axis", -1), rank);
    int64_t depth = read_depth(n);
    if (!n->failed)
        one_hot(n, axis, depth);
}
