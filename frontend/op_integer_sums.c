/* op_integer_sums.c: sums of products of integers, exactly, by convolutions and matrix products of
 * f32. That holds integers of up to 2^24: where the sums of all channels could be larger, they are
 * made of some channels at a time. A caller who wants the result as f32 gets two such sums added as
 * f32, which rounds as the conversion of an int32 would; others are added as int32. What the
 * weights are decides, where they are known. */
#include "frontend/import.h"

#include <math.h>

static const double EXACT = 0x1p24;
enum { MOST_CHUNKS = 64 };

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

/* Between which numbers a sum stays, whatever the order of its terms. */
typedef struct Span {
    double lo, hi;
} Span;

static Span span_sum(Span a, Span b) {
    return (Span){a.lo + b.lo, a.hi + b.hi};
}

static Span span_product(Span a, Span b) {
    double p = a.lo * b.lo, q = a.lo * b.hi, r = a.hi * b.lo, t = a.hi * b.hi;
    return (Span){fmin(fmin(p, q), fmin(r, t)), fmax(fmax(p, q), fmax(r, t))};
}

static bool is_exact(Span s) {
    return -EXACT <= s.lo && s.hi <= EXACT;
}

/* A number that is added to a sum, or is not there yet. */
static Span span_of(double x) {
    return (Span){fmin(x, 0), fmax(x, 0)};
}

/* Runs of channels, or of rows, whose sums are exact: run i ends before end[i]. The sums of the
 * last one stay within `last`: each, or all where there is one. */
typedef struct Chunks {
    int count;
    int64_t end[MOST_CHUNKS];
    Span *last;
    int64_t sums;
} Chunks;

/* Ends the run before element k, unless all `more` fit into the sums; false where there is no
 * room. */
static bool add_to_run(Chunks *c, Span *sum, const Span *more, int64_t sums, int64_t k) {
    bool fits = true;
    for (int64_t i = 0; i < sums; i++)
        fits &= is_exact(span_sum(sum[i], more[i]));
    for (int64_t i = 0; i < sums; i++) {
        sum[i] = fits ? span_sum(sum[i], more[i]) : more[i];
        if (!is_exact(sum[i]))
            return false;
    }
    if (!fits && c->count == MOST_CHUNKS - 1)
        return false;
    if (!fits)
        c->end[c->count++] = k;
    return true;
}

/* w as [outer][count][inner] of sums [outer, inner], or as [outer][count] blocks of `inner` terms
 * of sums [outer]: how it lies. */
typedef struct Terms {
    int64_t outer, count, inner;
    bool summed; /* inner elements are terms of one sum */
} Terms;

/* The runs of w's elements along `count`. Where it isn't known, the factors tell its span. */
static bool plan(OnnxNode *n, const IntegerFactor *x, const IntegerFactor *w, const Terms *t,
                 Chunks *c) {
    const Tensor *known = graph_fold_value(n->im->g, w->v, FOLD_LIMIT_WEIGHTS);
    int64_t sums = !known ? 1 : t->summed ? t->outer : t->outer * t->inner;
    Span *sum = ARENA_ARRAY(&n->im->arena, sums + 1, Span);
    Span *more = ARENA_ARRAY(&n->im->arena, sums + 1, Span);
    Span of_x = {x->lo, x->hi}, unknown = span_product(of_x, (Span){w->lo, w->hi});
    double terms = (double)(t->summed ? t->inner : 1);
    *c = (Chunks){0};
    for (int64_t k = 0; k < t->count; k++) {
        for (int64_t i = 0; i < sums; i++)
            more[i] = known ? (Span){0} : (Span){unknown.lo * terms, unknown.hi * terms};
        for (int64_t o = 0; known && o < t->outer; o++)
            for (int64_t j = 0; j < t->inner; j++) {
                double by = tensor_f64(known, (o * t->count + k) * t->inner + j);
                Span *s = &more[t->summed ? o : o * t->inner + j];
                *s = span_sum(*s, span_product(of_x, (Span){by, by}));
            }
        if (!add_to_run(c, sum, more, sums, k)) {
            onnx_unsupported(n, "its sums are too large to be exact");
            return false;
        }
    }
    c->end[c->count++] = t->count;
    c->last = sum;
    c->sums = sums;
    return true;
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
static bool split_bias(OnnxNode *n, Value *bias, const Chunks *c, Bias *out) {
    *out = (Bias){0};
    if (!bias)
        return true;
    const Tensor *t = graph_fold_value(n->im->g, bias, FOLD_LIMIT_WEIGHTS);
    int64_t count = t ? shape_elems(&t->shape) : 0;
    if (!t || (c->sums > 1 && c->sums != count))
        return false;
    Tensor *low = onnx_new_tensor(n, DT_f32, t->shape),
           *high = onnx_new_tensor(n, DT_f32, t->shape);
    bool any = false;
    for (int64_t i = 0; i < count; i++) {
        double b = tensor_f64(t, i), rest = b;
        if (fabs(b) > 0x1p30)
            return false;
        if (!is_exact(span_sum(c->last[c->sums > 1 ? i : 0], span_of(b))))
            rest = b - 256 * nearbyint(b / 256);
        if (!is_exact(span_sum(c->last[c->sums > 1 ? i : 0], span_of(rest))))
            return false;
        tensor_set_f64(low, i, rest);
        tensor_set_f64(high, i, b - rest);
        any |= b != rest;
    }
    out->low = onnx_constant(n, "bias", low);
    out->high = any ? onnx_constant(n, "high", high) : NULL;
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
    Chunks c;
    Bias b;
    if (s->rank < 3 || s->rank != in->rank || groups < 1 || groups > in->dim[1] ||
        in->dim[1] != groups * s->dim[1])
        return onnx_conv(n, "sum", x->v, w->v, bias); /* which complains */
    for (int i = 2; i < s->rank; i++)
        taps *= s->dim[i];
    if (!plan(n, x, w, &(Terms){s->dim[0], s->dim[1], taps, true}, &c))
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
    Terms t = {1, w->rank ? w->dim[row] : 0, w->rank > 1 ? w->dim[w->rank - 1] : 1, false};
    for (int i = 0; i < row; i++)
        t.outer *= w->dim[i];
    Chunks c;
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
