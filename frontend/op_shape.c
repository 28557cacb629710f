/* op_shape.c: operators that say the same elements in another shape, and those about shapes. */
#include "frontend/import.h"

#include <string.h>

static void reshape_to(OnnxNode *n, const Shape *s) {
    onnx_set_output(n, 0, onnx_reshape(n, NULL, onnx_input(n, 0), s));
}

Shape onnx_flat(const Shape *s, int axis) {
    int64_t size[2] = {1, 1};
    for (int i = 0; i < s->rank; i++)
        size[i >= axis] *= s->dim[i];
    return SHAPE(size[0], size[1]);
}

/* Flatten-1 to -13. */
void import_flatten(OnnxNode *n) {
    const Shape *s = onnx_shape(n, 0);
    int64_t axis = attr_int(n, "axis", 1);
    int at = axis == s->rank ? s->rank : onnx_axis(n, axis, s->rank);
    if (n->failed)
        return;
    Shape flat = onnx_flat(s, at);
    reshape_to(n, &flat);
}

/* ---- Reshape --------------------------------------------------------------------------------- */

/* Copies the list into *to, a 0 as the dimension of x where allowzero is not set. Returns where the
 * -1 is, or -1. */
static int read_target(OnnxNode *n, const Ints *list, bool allowzero, Shape *to) {
    const Shape *x = onnx_shape(n, 0);
    int open = -1;
    to->rank = list->n;
    for (int i = 0; i < list->n && !n->failed; i++) {
        int64_t d = list->v[i];
        if (d == 0 && !allowzero && i >= x->rank)
            onnx_bad(n, "dimension %d of the shape is 0, and the input has %d", i, x->rank);
        else if (d < -1 || (d == -1 && open >= 0))
            onnx_bad(n, "the shape has %s", d < -1 ? "a negative dimension" : "more than one -1");
        else if (d == -1)
            open = i;
        else
            to->dim[i] = d == 0 && !allowzero ? x->dim[i] : d;
    }
    return open;
}

/* Sets to->dim[open] so that the number of elements fits. */
static void fill_open_dim(OnnxNode *n, int open, Shape *to) {
    int64_t known = 1, elems = shape_elems(onnx_shape(n, 0));
    for (int i = 0; i < to->rank; i++)
        if (i != open && !checked_mul(known, to->dim[i], &known))
            known = INT64_MAX;
    if (known == 0 || elems % known != 0)
        onnx_bad(n, "%lld elements do not fit the shape with its -1", (long long)elems);
    else
        to->dim[open] = elems / known;
}

/* A size that depends on data is the input's, and stays what it is. */
static void check_counts(OnnxNode *n, const Value *y, const OnnxSize *size, int count) {
    for (int i = 0; y && i < count; i++)
        if (size[i].count &&
            (onnx_count_of(n, y) != size[i].count || onnx_axis_of_count(n, y) != i))
            onnx_unsupported(
                n, "dimension %d of the shape depends on data otherwise than its input", i);
}

/* Reshape-5, and with allowzero -14. */
void import_reshape(OnnxNode *n) {
    OnnxSize size[2 * MAX_RANK];
    int64_t most[2 * MAX_RANK];
    Ints list = {most, 0};
    Shape to = {0};
    bool allowzero = attr_bool(n, "allowzero", false);
    if (n->failed || !onnx_sizes_input(n, 1, "shape", 2 * MAX_RANK, size, &list.n))
        return;
    for (int i = 0; i < list.n; i++)
        most[i] = size[i].most;
    if (list.n > MAX_RANK) {
        onnx_unsupported(n, "more than %d dimensions are not supported", MAX_RANK);
        return;
    }
    int open = read_target(n, &list, allowzero, &to);
    if (!n->failed && open >= 0)
        fill_open_dim(n, open, &to);
    if (!n->failed && !shape_valid(&to, onnx_input(n, 0)->type.dtype))
        onnx_bad(n, "the shape is too large");
    if (n->failed)
        return;
    Value *y = onnx_reshape(n, NULL, onnx_input(n, 0), &to);
    onnx_set_output(n, 0, y);
    check_counts(n, y, size, list.n);
}

/* ---- Squeeze, Unsqueeze: axes are an attribute before opset 13 and an input since ------------ */

void import_squeeze(OnnxNode *n) {
    const Shape *s = onnx_shape(n, 0);
    bool drop[MAX_RANK] = {false};
    Ints axes;
    bool given = onnx_ints_arg(n, "axes", 1, &axes);
    onnx_axes(n, &axes, s->rank, drop);
    Shape to = {0};
    for (int i = 0; i < s->rank && !n->failed; i++) {
        if (given && drop[i] && s->dim[i] != 1)
            onnx_bad(n, "axis %d can't be dropped: its size is %lld", i, (long long)s->dim[i]);
        if (given ? !drop[i] : s->dim[i] != 1)
            to.dim[to.rank++] = s->dim[i];
    }
    if (!n->failed)
        reshape_to(n, &to);
}

void import_unsqueeze(OnnxNode *n) {
    const Shape *s = onnx_shape(n, 0);
    bool added[MAX_RANK] = {false};
    Ints axes;
    if (!onnx_ints_arg(n, "axes", 1, &axes) && !n->failed)
        onnx_bad(n, "attribute \"axes\" is missing");
    if (axes.n > MAX_RANK - s->rank)
        onnx_unsupported(n, "more than %d dimensions are not supported", MAX_RANK);
    if (n->failed)
        return;
    Shape to = {.rank = s->rank + axes.n};
    onnx_axes(n, &axes, to.rank, added);
    for (int i = 0, from = 0; i < to.rank && !n->failed; i++)
        to.dim[i] = added[i] ? 1 : s->dim[from++];
    if (!n->failed)
        reshape_to(n, &to);
}

/* ---- Transpose, Expand ----------------------------------------------------------------------- */

/* Transpose-1; without perm the dimensions are reversed. */
void import_transpose(OnnxNode *n) {
    int rank = onnx_shape(n, 0)->rank;
    int64_t order[MAX_RANK];
    bool seen[MAX_RANK] = {false};
    Ints perm;
    bool given = attr_ints(n, "perm", &perm);
    if (given && perm.n != rank)
        onnx_bad(n, "perm has %d numbers, and the input %d dimensions", perm.n, rank);
    if (given && !n->failed)
        onnx_axes(n, &perm, rank, seen);
    if (n->failed)
        return;
    for (int i = 0; i < rank; i++)
        order[i] = given ? onnx_axis(n, perm.v[i], rank) : rank - 1 - i;
    onnx_set_output(n, 0, onnx_transpose(n, NULL, onnx_input(n, 0), order));
}

/* A shape that is an input: as large as it can get, and the axis of a size that depends on data. */
typedef struct Wanted {
    Shape shape;
    int axis; /* -1: none */
    Value *count;
} Wanted;

/* Reads the list at input i as a shape. */
static bool shape_input(OnnxNode *n, int i, DType dt, Wanted *out) {
    OnnxSize list[2 * MAX_RANK];
    int count;
    *out = (Wanted){.axis = -1};
    if (!onnx_sizes_input(n, i, "shape", 2 * MAX_RANK, list, &count))
        return false;
    if (count > MAX_RANK) {
        onnx_unsupported(n, "more than %d dimensions are not supported", MAX_RANK);
        return false;
    }
    out->shape.rank = count;
    for (int k = 0; k < count; k++) {
        out->shape.dim[k] = list[k].most;
        if (list[k].count && out->count)
            onnx_unsupported(n, "two sizes of its result depend on data");
        else if (list[k].count)
            *out = (Wanted){out->shape, k, list[k].count};
    }
    if (!shape_valid(&out->shape, dt))
        onnx_bad(n, "the shape is negative or too large");
    return !n->failed;
}

/* The result's size is the one that was asked for. One that has a count, from x, must have that. */
static void set_wanted_count(OnnxNode *n, Value *y, const Wanted *w) {
    if (!w->count)
        return;
    int axis = w->axis + y->type.shape.rank - w->shape.rank;
    const Value *count = onnx_count_of(n, y);
    n->knows_counts = true;
    if (!count)
        onnx_set_count(n, y, axis, w->count);
    else if (count != w->count || onnx_axis_of_count(n, y) != axis)
        onnx_unsupported(n, "two sizes of its result depend on data");
}

/* Expand-8: both shapes are broadcast, so that a 1 of the new one keeps what the input has. */
void import_expand(OnnxNode *n) {
    Value *x = onnx_input(n, 0);
    Shape to = x->type.shape;
    Wanted wanted;
    if (!shape_input(n, 1, x->type.dtype, &wanted))
        return;
    Shape want = wanted.shape;
    if (want.rank > to.rank) {
        memmove(to.dim + (want.rank - to.rank), to.dim, (size_t)to.rank * sizeof *to.dim);
        for (int i = 0; i < want.rank - to.rank; i++)
            to.dim[i] = 1;
        to.rank = want.rank;
    }
    for (int i = 0, at = to.rank - want.rank; i < want.rank; i++, at++)
        if (to.dim[at] == 1)
            to.dim[at] = want.dim[i];
        else if (want.dim[i] != 1 && want.dim[i] != to.dim[at])
            onnx_bad(n, "dimension %d does not broadcast: %lld against %lld", at,
                     (long long)to.dim[at], (long long)want.dim[i]);
    int at = wanted.axis + to.rank - want.rank, own = at - (to.rank - x->type.shape.rank);
    if (wanted.count && own >= 0 && x->type.shape.dim[own] != 1 && !onnx_count_of(n, x))
        onnx_unsupported(n, "dimension %d broadcasts against a size that depends on data", at);
    if (n->failed)
        return;
    Value *y = onnx_expand(n, NULL, x, &to);
    onnx_set_output(n, 0, y);
    if (y)
        set_wanted_count(n, y, &wanted);
}

/* ---- Shape, ConstantOfShape, Constant -------------------------------------------------------- */

static int64_t clamp(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
}

/* Shape-1, and with start and end -15: a constant, but for a size that depends on data. */
void import_shape(OnnxNode *n) {
    const Shape *s = onnx_shape(n, 0);
    int64_t start = attr_int(n, "start", 0), end = attr_int(n, "end", s->rank);
    start = clamp(start < 0 ? start + s->rank : start, 0, s->rank);
    end = clamp(end < 0 ? end + s->rank : end, start, s->rank);
    if (n->failed)
        return;
    onnx_set_output(n, 0, onnx_shape_list(n, 0, (int)start, (int)end));
}

/* The tensor of an attribute; NULL after a complaint. */
static Tensor *tensor_attr(OnnxNode *n, const char *name) {
    const Onnx__TensorProto *proto = attr_tensor(n, name);
    Problem p;
    Tensor *t = proto ? tensor_import(n->im, proto, &p) : NULL;
    if (proto && !t)
        onnx_problem(n, &p);
    return t;
}

/* ConstantOfShape-9: as an expand of one element, so that a large one costs nothing before it is
 * known to be needed. */
void import_constant_of_shape(OnnxNode *n) {
    const Onnx__TensorProto *proto = attr_tensor(n, "value");
    Tensor *value = tensor_attr(n, "value");
    Wanted to;
    if (n->failed)
        return;
    if (!value)
        value = tensor_new(&n->im->g->arena, DT_f32, (Shape){0});
    if (shape_elems(&value->shape) != 1)
        onnx_bad(n, "its value must be one number");
    if (n->failed || !shape_input(n, 0, value->dtype, &to))
        return;
    value->shape = (Shape){0};
    Value *one = onnx_constant(n, "value", value);
    small_mark(n->im, one, proto ? small_type(proto->data_type) : NULL);
    Value *y = onnx_expand(n, NULL, one, &to.shape);
    onnx_set_output(n, 0, y);
    if (y)
        set_wanted_count(n, y, &to);
}

static Tensor *floats_attr(OnnxNode *n) {
    const float *v;
    int count;
    if (!attr_floats(n, "value_floats", &v, &count))
        return NULL;
    Tensor *t = tensor_new(&n->im->g->arena, DT_f32, SHAPE(count));
    for (int i = 0; i < count; i++)
        tensor_set_f64(t, i, (double)v[i]);
    return t;
}

static Tensor *ints_attr(OnnxNode *n) {
    Ints v;
    if (!attr_ints(n, "value_ints", &v))
        return NULL;
    Tensor *t = tensor_new(&n->im->g->arena, DT_i64, SHAPE(v.n));
    for (int i = 0; i < v.n; i++)
        tensor_set_i64(t, i, v.v[i]);
    return t;
}

static Tensor *float_attr(OnnxNode *n) {
    Tensor *t = tensor_new(&n->im->g->arena, DT_f32, (Shape){0});
    tensor_set_f64(t, 0, attr_float(n, "value_float", 0));
    return t;
}

static Tensor *int_attr(OnnxNode *n) {
    Tensor *t = tensor_new(&n->im->g->arena, DT_i64, (Shape){0});
    tensor_set_i64(t, 0, attr_int(n, "value_int", 0));
    return t;
}

static Tensor *sparse_value(OnnxNode *n) {
    const Onnx__SparseTensorProto *s = attr_sparse(n, "sparse_value");
    Problem p;
    Tensor *t = s ? sparse_import(n->im, s, &p) : NULL;
    if (s && !t)
        onnx_problem(n, &p);
    return t;
}

/* Constant-1, since -11 sparse ones, and since -12 plain numbers. One attribute holds the value;
 * strings stay unread, and are complained about for that. */
void import_constant(OnnxNode *n) {
    if (n->nattrs != 1) {
        onnx_bad(n, "it has %d attributes, and must have one", n->nattrs);
        return;
    }
    const void *message = n->attrs[0].value;
    Value *known = constant_known(n->im, message);
    if (known) {
        attr_ignore(n, n->attrs[0].name);
        onnx_set_output(n, 0, known);
        return;
    }
    Tensor *t = tensor_attr(n, "value");
    if (!t && attr_present(n, "sparse_value"))
        t = sparse_value(n);
    else if (!t && attr_present(n, "value_float"))
        t = float_attr(n);
    else if (!t && attr_present(n, "value_int"))
        t = int_attr(n);
    else if (!t)
        t = floats_attr(n);
    if (!t)
        t = ints_attr(n);
    if (t && !n->failed) {
        Value *v = onnx_constant(n, NULL, t);
        const Onnx__TensorProto *proto = attr_tensor(n, "value");
        small_mark(n->im, v, proto ? small_type(proto->data_type) : NULL);
        constant_keep(n->im, message, v);
        onnx_set_output(n, 0, v);
    }
}
