/* onnx_build.c: graph ops with attributes, and constants, that several importers compose. */
#include "frontend/import.h"

#include <math.h>

Value *onnx_where(OnnxNode *n, const char *part, Value *c, Value *a, Value *b) {
    if (!c || !a || !b)
        return NULL;
    return onnx_done(n, onnx_add(n, OP_where, part, (Value *[]){c, a, b}, 3));
}

Value *onnx_transpose(OnnxNode *n, const char *part, Value *x, const int64_t *perm) {
    if (!x)
        return NULL;
    Node *t = onnx_add(n, OP_transpose, part, &x, 1);
    transpose_attrs(t)->perm = onnx_keep_ints(n, perm, x->type.shape.rank);
    return onnx_done(n, t);
}

/* The permutation that moves dim `from` to `to`, and those between up or down by one. */
static Value *move_dim(OnnxNode *n, const char *part, Value *x, int from, int to) {
    int64_t perm[MAX_RANK];
    int rank = x->type.shape.rank;
    for (int i = 0, k = 0; i < rank; i++) {
        k += k == from;
        perm[i] = i == to ? from : k++;
    }
    return onnx_transpose(n, part, x, perm);
}

Value *onnx_channels_second(OnnxNode *n, const char *part, Value *x) {
    return x && x->type.shape.rank > 1 ? move_dim(n, part, x, x->type.shape.rank - 1, 1) : x;
}

Value *onnx_channels_last(OnnxNode *n, const char *part, Value *x) {
    return x && x->type.shape.rank > 1 ? move_dim(n, part, x, 1, x->type.shape.rank - 1) : x;
}

Value *onnx_concat(OnnxNode *n, const char *part, Value *const *x, int count, int axis) {
    for (int i = 0; i < count; i++)
        if (!x[i])
            return NULL;
    Node *c = onnx_add(n, OP_concat, part, x, count);
    axis_attrs(c)->axis = axis;
    return onnx_done(n, c);
}

Value *onnx_stack(OnnxNode *n, const char *part, Value *const *x, int count, int axis) {
    Value **rows = ARENA_ARRAY(&n->im->arena, count, Value *);
    for (int i = 0; i < count; i++) {
        Shape s = {0};
        for (int k = 0; k < x[i]->type.shape.rank + 1 && k < MAX_RANK; k++)
            s.dim[k] = k < axis   ? x[i]->type.shape.dim[k]
                       : k > axis ? x[i]->type.shape.dim[k - 1]
                                  : 1;
        s.rank = x[i]->type.shape.rank + 1;
        if (s.rank > MAX_RANK)
            onnx_unsupported(n, "its result has more than %d dimensions", MAX_RANK);
        rows[i] = n->failed ? NULL : onnx_reshape(n, "row", x[i], &s);
    }
    return onnx_concat(n, part, rows, count, axis);
}

Value *onnx_without_axis(OnnxNode *n, const char *part, Value *x, int axis) {
    if (!x)
        return NULL;
    Shape s = x->type.shape;
    for (int i = axis; i + 1 < s.rank; i++)
        s.dim[i] = s.dim[i + 1];
    s.rank--;
    return onnx_reshape(n, part, x, &s);
}

Value *onnx_first_largest(OnnxNode *n, const char *part, Value *x, int axis) {
    if (!x)
        return NULL;
    Node *a = onnx_add(n, OP_arg_max, part, &x, 1);
    *arg_attrs(a) = (ArgAttrs){axis, true, false};
    return onnx_done(n, a);
}

Value *onnx_slice_axis(OnnxNode *n, const char *part, Value *x, int axis, int64_t start,
                       int64_t size, int64_t step) {
    int64_t starts[MAX_RANK] = {0}, sizes[MAX_RANK], steps[MAX_RANK];
    if (!x)
        return NULL;
    int rank = x->type.shape.rank;
    for (int i = 0; i < rank; i++) {
        sizes[i] = i == axis ? size : x->type.shape.dim[i];
        steps[i] = i == axis ? step : 1;
    }
    starts[axis] = start;
    Node *s = onnx_add(n, OP_slice, part, &x, 1);
    slice_attrs(s)->starts = onnx_keep_ints(n, starts, rank);
    slice_attrs(s)->sizes = onnx_keep_ints(n, sizes, rank);
    slice_attrs(s)->steps = onnx_keep_ints(n, steps, rank);
    return onnx_done(n, s);
}

Value *onnx_pad_axis(OnnxNode *n, const char *part, Value *x, int axis, int64_t before,
                     int64_t after, double value) {
    int64_t front[MAX_RANK] = {0}, back[MAX_RANK] = {0};
    if (!x)
        return NULL;
    front[axis] = before;
    back[axis] = after;
    Node *p = onnx_add(n, OP_pad, part, &x, 1);
    pad_attrs(p)->before = onnx_keep_ints(n, front, x->type.shape.rank);
    pad_attrs(p)->after = onnx_keep_ints(n, back, x->type.shape.rank);
    pad_attrs(p)->value = value;
    return onnx_done(n, p);
}

/* A file of a few bytes must not ask for much memory: what all nodes of it make may take some bytes
 * for free, and so many times what it has itself. */
enum { FREE_BYTES = 1 << 26, EXPANSION = 8 };

bool onnx_may_make(OnnxNode *n, int64_t bytes) {
    Importer *im = n->im;
    /* less than there is while a made tensor isn't a constant yet */
    int64_t own = im->g->constant_bytes - im->g->folded_bytes - im->made_bytes;
    if (own > im->own_bytes)
        im->own_bytes = own;
    if (im->made_bytes + bytes > FREE_BYTES + EXPANSION * im->own_bytes)
        onnx_unsupported(n, "what it computes with is too large for the size of the model");
    return !n->failed;
}

Tensor *onnx_new_tensor(OnnxNode *n, DType dt, Shape shape) {
    bool fits = shape_valid(&shape, dt);
    int64_t bytes = fits ? shape_elems(&shape) * dtype_bytes(dt) : INT64_MAX / 2;
    if (n->failed || !onnx_may_make(n, bytes))
        return NULL;
    n->im->made_bytes += bytes;
    return tensor_new(&n->im->g->arena, dt, shape);
}

Value *onnx_iota(OnnxNode *n, const char *part, DType dt, int64_t count, int rank, int axis) {
    Shape s = {.rank = rank};
    for (int i = 0; i < rank; i++)
        s.dim[i] = i == axis ? count : 1;
    Tensor *t = onnx_new_tensor(n, dt, s);
    for (int64_t i = 0; t && i < count; i++)
        tensor_set_i64(t, i, i);
    return t ? onnx_constant(n, part, t) : NULL;
}

Value *onnx_scalar_input(OnnxNode *n, int i, const char *what) {
    Value *v = onnx_input(n, i);
    if (shape_elems(&v->type.shape) != 1)
        onnx_bad(n, "its %s must be one number", what);
    if (n->failed || v->type.shape.rank == 0)
        return n->failed ? NULL : v;
    return onnx_reshape(n, what, v, &(Shape){0});
}

Value *onnx_gather(OnnxNode *n, const char *part, Value *x, Value *at, int axis) {
    if (!x || !at)
        return NULL;
    Node *g = onnx_add(n, OP_gather, part, (Value *[]){x, at}, 2);
    axis_attrs(g)->axis = axis;
    return onnx_done(n, g);
}

Value *onnx_gather_axis(OnnxNode *n, const char *part, Value *x, int axis, Tensor *at) {
    return x && at ? onnx_gather(n, part, x, onnx_constant(n, part, at), axis) : NULL;
}

Tensor *onnx_extreme(OnnxNode *n, DType dt, bool highest) {
    Tensor *t = tensor_new(&n->im->g->arena, dt, (Shape){0});
    if (dtype_is_float(dt))
        tensor_set_f64(t, 0, highest ? (double)INFINITY : -(double)INFINITY);
    else if (dt == DT_bool)
        tensor_set_i64(t, 0, highest);
    else if (dtype_bytes(dt) == 8)
        tensor_set_bits(t, 0,
                        dt == DT_u64 ? (highest ? UINT64_MAX : 0)
                                     : (uint64_t)INT64_MAX + (highest ? 0 : 1));
    else
        tensor_set_i64(t, 0, (int64_t)(highest ? dtype_max(dt) : dtype_min(dt)));
    return t;
}

double onnx_number_input(OnnxNode *n, int i, const char *what, double dflt) {
    if (!onnx_input(n, i))
        return dflt;
    const Tensor *t = onnx_const_input(n, i, what, FOLD_LIMIT);
    if (!t)
        return dflt;
    if (shape_elems(&t->shape) == 1)
        return tensor_f64(t, 0);
    onnx_bad(n, "its %s must be one number", what);
    return dflt;
}
