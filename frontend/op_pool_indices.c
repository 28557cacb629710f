/* op_pool_indices.c: where the largest elements are that MaxPool found, its second output: for each
 * tap of the window one gather of what it sees, then the number of the tap with the largest
 * element, then where that tap is. */
#include "frontend/import.h"

enum { MOST_TAPS = 1 << 10 };

/* The place along one axis that tap k of window `out` sees: one inside, the nearest that the window
 * has, where it is in the padding. -1: the window has none inside. */
static int64_t seen(const WindowAxis *a, int64_t in, int64_t out, int64_t k) {
    int64_t start = out * a->stride - a->front;
    int64_t first = start < 0 ? ceil_div(-start, a->dilation) : 0;
    int64_t last = start >= in ? -1 : (in - 1 - start) / a->dilation;
    last = last < a->kernel ? last : a->kernel - 1;
    k = k < first ? first : k > last ? last : k;
    return first <= last ? start + k * a->dilation : -1;
}

/* The windows of a pooling operator: axis i of them has out[i] places. */
typedef struct Places {
    const Window *w;
    int64_t in[MAX_RANK], out[MAX_RANK], taps;
} Places;

static Places places_of(OnnxNode *n, const Shape *x, const Window *w) {
    Places p = {.w = w, .taps = 1};
    for (int i = 0; i < w->space && !n->failed; i++) {
        const WindowAxis *a = &w->axis[i];
        p.in[i] = x->dim[2 + i];
        p.out[i] = onnx_window_places(a, p.in[i]);
        if (a->kernel > MOST_TAPS || p.taps > MOST_TAPS / a->kernel)
            onnx_unsupported(n,
                             "the indices of windows with more than %d elements are not supported",
                             MOST_TAPS);
        else
            p.taps *= a->kernel;
    }
    return p;
}

/* The digits of a tap's number: its place along each axis. */
static void tap_digits(const Places *p, int64_t tap, int64_t *digits) {
    for (int i = p->w->space - 1; i >= 0; i--) {
        digits[i] = tap % p->w->axis[i].kernel;
        tap /= p->w->axis[i].kernel;
    }
}

/* x along dimension 2 + i as tap k sees it. */
static Value *gather_axis(OnnxNode *n, Value *x, const Places *p, int i, int64_t k) {
    Tensor *t = onnx_new_tensor(n, DT_i64, SHAPE(p->out[i]));
    if (!t || !x)
        return NULL;
    for (int64_t o = 0; o < p->out[i]; o++) {
        int64_t at = seen(&p->w->axis[i], p->in[i], o, k);
        if (at < 0)
            onnx_unsupported(n, "a window in the padding alone has no largest element");
        tensor_set_i64(t, o, at);
    }
    return onnx_gather(n, "seen", x, onnx_constant(n, "at", t), 2 + i);
}

/* [N, C, 1, outputs] of tap `tap`. */
static Value *tap_of(OnnxNode *n, Value *x, const Places *p, int64_t tap) {
    int64_t k[MAX_RANK];
    tap_digits(p, tap, k);
    for (int i = 0; i < p->w->space; i++)
        x = gather_axis(n, x, p, i, k[i]);
    if (!x)
        return NULL;
    const Shape *s = &x->type.shape;
    int64_t outputs = 1;
    for (int i = 2; i < s->rank; i++)
        outputs *= s->dim[i];
    const Shape row = SHAPE(s->dim[0], s->dim[1], 1, outputs);
    return onnx_reshape(n, "tap", x, &row);
}

/* Where tap k of output o is in its channel, counted by rows or, with `by_columns`, along the first
 * dimension in space. */
static int64_t place(const Places *p, const int64_t *k, int64_t o, bool by_columns) {
    int64_t at[MAX_RANK], result = 0;
    for (int i = p->w->space - 1; i >= 0; i--) {
        at[i] = seen(&p->w->axis[i], p->in[i], o % p->out[i], k[i]);
        o /= p->out[i];
    }
    for (int i = 0; i < p->w->space; i++) {
        int axis = by_columns ? p->w->space - 1 - i : i;
        result = result * p->in[axis] + at[axis];
    }
    return result;
}

/* [taps, outputs] */
static Value *place_table(OnnxNode *n, const Places *p, int64_t outputs, bool by_columns) {
    int64_t k[MAX_RANK];
    Tensor *t = onnx_new_tensor(n, DT_i64, SHAPE(p->taps, outputs));
    for (int64_t tap = 0; t && tap < p->taps; tap++) {
        tap_digits(p, tap, k);
        for (int64_t o = 0; o < outputs; o++)
            tensor_set_i64(t, tap * outputs + o, place(p, k, o, by_columns));
    }
    return t ? onnx_constant(n, "places", t) : NULL;
}

/* [N, C, 1]: where each channel begins. */
static Value *channel_table(OnnxNode *n, const Shape *x, int64_t size) {
    Tensor *t = onnx_new_tensor(n, DT_i64, SHAPE(x->dim[0] * x->dim[1], 1));
    for (int64_t c = 0; t && c < x->dim[0] * x->dim[1]; c++)
        tensor_set_i64(t, c, c * size);
    return t ? onnx_constant(n, "channels", t) : NULL;
}

Value *onnx_max_pool_indices(OnnxNode *n, Value *x, const Window *w, bool by_columns) {
    Shape s = x->type.shape, y = s;
    Places p = places_of(n, &s, w);
    Value *taps[MOST_TAPS];
    int64_t size = 1, outputs = 1;
    for (int i = 0; i < w->space; i++) {
        y.dim[2 + i] = p.out[i];
        outputs *= p.out[i];
        size *= s.dim[2 + i];
    }
    for (int64_t k = 0; k < p.taps && !n->failed; k++)
        taps[k] = tap_of(n, x, &p, k);
    if (n->failed)
        return NULL;
    Value *all = onnx_concat(n, "taps", taps, (int)p.taps, 2);
    if (!all)
        return NULL;
    Node *a = onnx_add(n, OP_arg_max, "largest", &all, 1);
    *arg_attrs(a) = (ArgAttrs){.axis = 2, .keepdims = true};
    const Shape rows = SHAPE(s.dim[0] * s.dim[1], outputs);
    Value *tap = onnx_reshape(n, "tap", onnx_done(n, a), &rows);
    Value *places = place_table(n, &p, outputs, by_columns);
    if (!tap || !places)
        return NULL;
    Node *g = onnx_add(n, OP_gather_elements, "place", (Value *[]){places, tap}, 2);
    Value *at = onnx_binary(n, OP_add, "index", onnx_done(n, g), channel_table(n, &s, size));
    return onnx_reshape(n, NULL, at, &y);
}
