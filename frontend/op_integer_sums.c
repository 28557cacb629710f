/* op_integer_sums.c: sums of products of integers, exactly, by convolutions and matrix products of
 * f32, in the runs that ir/graph_sums.c finds. A caller who wants the result as f32 gets two such
 * sums added as f32, which rounds as the conversion of an int32 would; others are added as int32.
 */
#include "frontend/import.h"

#include <math.h>

IntegerFactor onnx_integer_factor(OnnxNode *n, const Value *x, Value *zero, Value *shifted) {
    DType dt = x->type.dtype;
    double lo = dtype_min(dt), hi = dtype_max(dt);
    const Tensor *z = zero ? graph_fold_value(n->im->g, zero, FOLD_LIMIT) : NULL;
    IntegerFactor f = {.v = shifted};
    if (zero && !z)
        return (IntegerFactor){shifted, lo - hi, hi - lo};
    for (int64_t i = 0; i < (z ? shape_elems(&z->shape) : 1); i++) {
        double at = z ? tensor_f64(z, i) : 0;
        f.lo = fmin(f.lo, lo - at);
        f.hi = fmax(f.hi, hi - at);
    }
    return f;
}

/* The runs of w's elements along `count`. Where it isn't known, the factors tell its bounds. */
static bool plan(OnnxNode *n, const IntegerFactor *x, const IntegerFactor *w, const SumTerms *t,
                 SumRuns *r) {
    const Tensor *known = graph_fold_value(n->im->g, w->v, FOLD_LIMIT_WEIGHTS);
    SumBounds of_x = {x->lo, x->hi}, of_w = {w->lo, w->hi};
    if (sum_runs(&n->im->arena, of_x, known, of_w, t, r))
        return true;
    onnx_unsupported(n, "its sums are too large to be exact");
    return false;
}

/* ---- convolutions ---------------------------------------------------------------------------- */

/* Says that the sums which y is must be exact. */
static Value *exactly(Value *y) {
    Node *c = y ? y->def : NULL;
    while (c && c->op != OP_conv2d && c->op != OP_dense && c->op != OP_matmul)
        c = node_in(c, 0)->def;
    if (c && c->op == OP_conv2d)
        conv_attrs(c)->exact = true;
    else if (c && c->op == OP_dense)
        dense_attrs(c)->exact = true;
    return y;
}

/* Channels first .. first + count of each of `groups` groups of x. */
static Value *channels_of(OnnxNode *n, Value *x, int64_t groups, int64_t first, int64_t count) {
    Shape s = x->type.shape,
          split = {.rank = s.rank + 1, .dim = {s.dim[0], groups, s.dim[1] / groups}};
    if (groups == 1)
        return onnx_slice_axis(n, "channels", x, 1, first, count, 1);
    for (int i = 2; i < s.rank; i++)
        split.dim[i + 1] = s.dim[i];
    s.dim[1] = groups * count;
    x = onnx_reshape(n, "groups", x, &split);
    return onnx_reshape(n, "channels", onnx_slice_axis(n, "channels", x, 2, first, count, 1), &s);
}

/* The sum of what is there so far, which may be NULL, and y: as f32, or as int32. */
static Value *added(OnnxNode *n, Value *sum, Value *y, bool floats) {
    y = y && !floats && y->type.dtype != DT_i32 ? onnx_cast(n, "part", y, DT_i32) : y;
    return sum ? onnx_binary(n, OP_add, "sum", sum, y) : y;
}

/* One number a channel, [M], as [M, 1, ...]: for images of `space` dimensions. */
static Value *by_planes(OnnxNode *n, Value *v, int space) {
    Shape s = v->type.shape;
    for (int i = 0; i < space && s.rank < MAX_RANK; i++)
        s.dim[s.rank++] = 1;
    return onnx_reshape(n, "planes", v, &s);
}

/* A bias as the sum of two f32: `low` starts the sums of the last run, which stay exact, `high` is
 * added to them. Either may be NULL. */
typedef struct Bias {
    Value *low, *high;
} Bias;

/* False where a bias isn't known, or where its sums may be no int32. */
static bool split_bias(OnnxNode *n, Value *bias, const SumRuns *r, Bias *out) {
    *out = (Bias){0};
    if (!bias)
        return true;
    const Tensor *t = graph_fold_value(n->im->g, bias, FOLD_LIMIT_WEIGHTS);
    if (!t)
        return false;
    Tensor *low = onnx_new_tensor(n, DT_f32, t->shape),
           *high = onnx_new_tensor(n, DT_f32, t->shape);
    bool split;
    if (!low || !high || !sum_split_bias(r, t, low, high, &split))
        return false;
    out->low = onnx_constant(n, "bias", low);
    out->high = split ? onnx_constant(n, "high", high) : NULL;
    return true;
}

/* The sum of channels from .. to of each group, and of a bias, which may be NULL. */
static Value *partial_conv(OnnxNode *n, Value *x, Value *w, int64_t groups, int64_t from,
                           int64_t to, Value *bias) {
    bool whole = from == 0 && to == w->type.shape.dim[1];
    x = whole ? x : channels_of(n, x, groups, from, to - from);
    w = whole ? w : onnx_slice_axis(n, "weights", w, 1, from, to - from, 1);
    return x && w ? exactly(onnx_conv(n, whole ? "sum" : "part", x, w, bias)) : NULL;
}

Value *onnx_integer_conv(OnnxNode *n, const IntegerFactor *x, const IntegerFactor *w, Value *bias,
                         bool rounded) {
    const Shape *s = &w->v->type.shape, *in = &x->v->type.shape;
    int64_t groups = attr_int(n, "group", 1), taps = 1;
    SumRuns c;
    Bias b;
    if (s->rank < 3 || s->rank != in->rank || groups < 1 || groups > in->dim[1] ||
        in->dim[1] != groups * s->dim[1])
        return onnx_conv(n, "sum", x->v, w->v, bias); /* which complains */
    for (int i = 2; i < s->rank; i++)
        taps *= s->dim[i];
    if (!plan(n, x, w, &(SumTerms){s->dim[0], s->dim[1], taps, true}, &c))
        return NULL;
    int space = s->rank - 2;
    bool split = split_bias(n, bias, &c, &b);
    int terms = c.count + (b.high != NULL);
    bool floats = split && terms <= (rounded ? 2 : 1);
    Value *sum = NULL;
    for (int64_t i = 0, first = 0; i < c.count && !n->failed; first = c.end[i++]) {
        Value *start = floats && i == c.count - 1 ? b.low : NULL;
        Value *part = partial_conv(n, x->v, w->v, groups, first, c.end[i], start);
        sum = added(n, sum, part, floats);
    }
    if (floats && b.high)
        return added(n, sum, by_planes(n, b.high, space), true);
    return floats || !bias || !sum ? sum : added(n, sum, by_planes(n, bias, space), false);
}

/* ---- matrices -------------------------------------------------------------------------------- */

Value *onnx_integer_matmul(OnnxNode *n, const IntegerFactor *a, const IntegerFactor *b,
                           bool rounded) {
    const Shape *x = &a->v->type.shape, *w = &b->v->type.shape;
    int row = w->rank > 1 ? w->rank - 2 : 0;
    SumTerms t = {1, w->rank ? w->dim[row] : 0, w->rank > 1 ? w->dim[w->rank - 1] : 1, false};
    for (int i = 0; i < row; i++)
        t.outer *= w->dim[i];
    SumRuns c;
    if (x->rank < 1 || w->rank < 1 || x->dim[x->rank - 1] != t.count)
        return onnx_matmul(n, "sum", a->v, b->v); /* which complains */
    if (!plan(n, a, b, &t, &c))
        return NULL;
    if (c.count == 1)
        return exactly(onnx_matmul(n, "sum", a->v, b->v));
    Value *sum = NULL;
    for (int64_t i = 0, first = 0; i < c.count && !n->failed; first = c.end[i++]) {
        int64_t count = c.end[i] - first;
        Value *left = onnx_slice_axis(n, "columns", a->v, x->rank - 1, first, count, 1);
        Value *right = onnx_slice_axis(n, "rows", b->v, row, first, count, 1);
        if (left && right)
            sum = added(n, sum, exactly(onnx_matmul(n, "part", left, right)),
                        rounded && c.count == 2);
    }
    return sum;
}
