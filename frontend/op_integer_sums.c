/* op_integer_sums.c: sums of products of integers, exactly, by convolutions and matrix products of
 * f32. That holds integers of up to 2^24: where the sums of all channels could be larger, they are
 * made of some channels at a time, and these sums are added as int32. What the weights are decides,
 * where they are known. */
#include "frontend/import.h"

#include <math.h>

static const double EXACT = 0x1p24;
enum { MOST_CHUNKS = 64 };

double onnx_largest_size(OnnxNode *n, const Value *x, Value *zero) {
    DType dt = x->type.dtype;
    double lo = dtype_min(dt), hi = dtype_max(dt), most = 0;
    const Tensor *z = zero ? graph_fold_value(n->im->g, zero, FOLD_LIMIT) : NULL;
    if (zero && !z)
        return hi - lo;
    for (int64_t i = 0; i < (z ? shape_elems(&z->shape) : 1); i++) {
        double at = z ? tensor_f64(z, i) : 0;
        most = fmax(most, fmax(hi - at, at - lo));
    }
    return most;
}

/* Runs of channels, or of rows, whose sums are exact: run i ends before end[i]. */
typedef struct Chunks {
    int count;
    int64_t end[MOST_CHUNKS];
} Chunks;

/* The sizes of sums so far, for each of `sums` results. */
typedef struct Bounds {
    double *size;
    int64_t sums;
} Bounds;

static Bounds new_bounds(OnnxNode *n, int64_t sums) {
    return (Bounds){ARENA_ARRAY(&n->im->arena, sums + 1, double), sums};
}

/* Ends the run before element k, unless all `sizes` fit into the sums; false where there is no
 * room. */
static bool add_to_run(Chunks *c, Bounds *b, const double *sizes, int64_t k) {
    bool fits = true;
    for (int64_t i = 0; i < b->sums; i++)
        fits &= b->size[i] + sizes[i] <= EXACT;
    for (int64_t i = 0; i < b->sums; i++) {
        b->size[i] = fits ? b->size[i] + sizes[i] : sizes[i];
        if (b->size[i] > EXACT)
            return false;
    }
    if (!fits && c->count == MOST_CHUNKS - 1)
        return false;
    if (!fits)
        c->end[c->count++] = k;
    return true;
}

static double largest_of(OnnxNode *n, Value *bias) {
    const Tensor *t = bias ? graph_fold_value(n->im->g, bias, FOLD_LIMIT_WEIGHTS) : NULL;
    double most = bias && !t ? EXACT : 0;
    for (int64_t i = 0; t && i < shape_elems(&t->shape); i++)
        most = fmax(most, fabs(tensor_f64(t, i)));
    return most;
}

/* w as [outer][count][inner] of sums [outer, inner], or as [outer][count] blocks of `inner` terms
 * of sums [outer]: how it lies. */
typedef struct Terms {
    int64_t outer, count, inner;
    bool summed; /* inner elements are terms of one sum */
} Terms;

/* The runs of w's elements along `count`, whose factors have sizes of up to `most` and, where w
 * isn't known, w_most. `start` is the size of what is added besides. */
static bool plan(OnnxNode *n, Value *w, const Terms *t, double most, double w_most, double start,
                 Chunks *c) {
    const Tensor *known = graph_fold_value(n->im->g, w, FOLD_LIMIT_WEIGHTS);
    int64_t sums = !known ? 1 : t->summed ? t->outer : t->outer * t->inner;
    Bounds b = new_bounds(n, sums);
    double *sizes = ARENA_ARRAY(&n->im->arena, sums + 1, double);
    *c = (Chunks){0};
    for (int64_t i = 0; i < sums; i++)
        b.size[i] = start;
    for (int64_t k = 0; k < t->count; k++) {
        for (int64_t i = 0; i < sums; i++)
            sizes[i] = known ? 0 : most * w_most * (double)(t->summed ? t->inner : 1);
        for (int64_t o = 0; known && o < t->outer; o++)
            for (int64_t j = 0; j < t->inner; j++)
                sizes[t->summed ? o : o * t->inner + j] +=
                    most * fabs(tensor_f64(known, (o * t->count + k) * t->inner + j));
        if (!add_to_run(c, &b, sizes, k)) {
            onnx_unsupported(n, "its sums are too large to be exact");
            return false;
        }
    }
    c->end[c->count++] = t->count;
    return true;
}

/* ---- convolutions ---------------------------------------------------------------------------- */

/* Says that the convolution which y comes from must be exact. */
static Value *exactly(Value *y) {
    Node *c = y ? y->def : NULL;
    while (c && c->op != OP_conv2d)
        c = node_in(c, 0)->def;
    if (c)
        conv_attrs(c)->exact = true;
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

/* The sum of what is there so far, which may be NULL, and y, as int32. */
static Value *added(OnnxNode *n, Value *sum, Value *y) {
    y = y && y->type.dtype != DT_i32 ? onnx_cast(n, "part", y, DT_i32) : y;
    return sum ? onnx_binary(n, OP_add, "sum", sum, y) : y;
}

/* A bias [M] as [M, 1, ...], for images of `space` dimensions. */
static Value *bias_of_planes(OnnxNode *n, Value *bias, int space) {
    Shape s = bias->type.shape;
    for (int i = 0; i < space && s.rank < MAX_RANK; i++)
        s.dim[s.rank++] = 1;
    return onnx_reshape(n, "bias", bias, &s);
}

Value *onnx_integer_conv(OnnxNode *n, const IntegerFactor *x, const IntegerFactor *w, Value *bias) {
    const Shape *s = &w->v->type.shape, *in = &x->v->type.shape;
    int64_t groups = attr_int(n, "group", 1), taps = 1;
    Chunks c;
    if (s->rank < 3 || s->rank != in->rank || groups < 1 || groups > in->dim[1] ||
        in->dim[1] != groups * s->dim[1])
        return onnx_conv(n, "sum", x->v, w->v, bias); /* which complains */
    for (int i = 2; i < s->rank; i++)
        taps *= s->dim[i];
    const Terms t = {s->dim[0], s->dim[1], taps, true};
    double start = largest_of(n, bias);
    if (start < EXACT && plan(n, w->v, &t, x->most, w->most, start, &c) && c.count == 1) {
        bias = bias ? onnx_cast(n, "bias", bias, DT_f32) : NULL;
        return exactly(onnx_conv(n, "sum", x->v, w->v, bias));
    }
    if (n->failed || !plan(n, w->v, &t, x->most, w->most, 0, &c))
        return NULL;
    Value *sum = NULL;
    for (int64_t i = 0, first = 0; i < c.count && !n->failed; first = c.end[i++]) {
        Value *part = channels_of(n, x->v, groups, first, c.end[i] - first);
        Value *weights = onnx_slice_axis(n, "weights", w->v, 1, first, c.end[i] - first, 1);
        if (part && weights)
            sum = added(n, sum, exactly(onnx_conv(n, "part", part, weights, NULL)));
    }
    return bias && sum ? added(n, sum, bias_of_planes(n, bias, s->rank - 2)) : sum;
}

/* ---- matrices -------------------------------------------------------------------------------- */

Value *onnx_integer_matmul(OnnxNode *n, const IntegerFactor *a, const IntegerFactor *b) {
    const Shape *x = &a->v->type.shape, *w = &b->v->type.shape;
    int row = w->rank > 1 ? w->rank - 2 : 0;
    Terms t = {1, w->rank ? w->dim[row] : 0, w->rank > 1 ? w->dim[w->rank - 1] : 1, false};
    for (int i = 0; i < row; i++)
        t.outer *= w->dim[i];
    Chunks c;
    if (x->rank < 1 || w->rank < 1 || x->dim[x->rank - 1] != t.count)
        return onnx_matmul(n, "sum", a->v, b->v); /* which complains */
    if (!plan(n, b->v, &t, a->most, b->most, 0, &c))
        return NULL;
    if (c.count == 1)
        return onnx_matmul(n, "sum", a->v, b->v);
    Value *sum = NULL;
    for (int64_t i = 0, first = 0; i < c.count && !n->failed; first = c.end[i++]) {
        int64_t count = c.end[i] - first;
        Value *left = onnx_slice_axis(n, "columns", a->v, x->rank - 1, first, count, 1);
        Value *right = onnx_slice_axis(n, "rows", b->v, row, first, count, 1);
        if (left && right)
            sum = added(n, sum, onnx_matmul(n, "part", left, right));
    }
    return sum;
}
