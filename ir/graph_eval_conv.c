/* graph_eval_conv.c: evaluators of the ops with weights. Everything is summed in double precision,
 * and each result is rounded once. Operands become arrays of doubles first. */
#include "ir/graph_internal.h"

static double *as_f64(Arena *a, const Tensor *t) {
    int64_t n = shape_elems(&t->shape);
    double *x = ARENA_ARRAY(a, n + 1, double);
    tensor_read_f64(t, 0, n, x);
    return x;
}

/* ---- convolution ---------------------------------------------------------------------------- */

/* One axis: for each tap, the outputs [lo, hi) whose input is inside, and where that is: at
 * output * stride + shift. Taps in the padding add nothing. */
typedef struct TapRange {
    int64_t lo, hi, shift;
} TapRange;

static TapRange *tap_ranges(Arena *a, const ConvAttrs *c, int axis, int64_t in, int64_t out) {
    int64_t stride = c->stride.v[axis];
    TapRange *taps = ARENA_ARRAY(a, c->kernel.v[axis], TapRange);
    for (int64_t i = 0; i < c->kernel.v[axis]; i++) {
        int64_t shift = i * c->dilation.v[axis] - c->pad.v[axis];
        int64_t inside = in - shift; /* output * stride must be less */
        TapRange r = {.lo = shift < 0 ? ceil_div(-shift, stride) : 0, .shift = shift};
        r.hi = inside > 0 ? ceil_div(inside, stride) : 0;
        r.hi = r.hi < out ? r.hi : out;
        taps[i] = r;
    }
    return taps;
}

typedef struct Conv {
    int64_t images, in_channels, out_channels, group_in, group_out;
    int64_t h, w, out_h, out_w; /* planes */
    int64_t kh, kw, sh, sw;
    const TapRange *rows, *columns;
    const double *x, *weight;
} Conv;

/* acc[i] += w * x[i * step], the loop that takes the time. */
static void add_scaled(double *acc, double w, const double *x, int64_t step, int64_t n) {
    if (step == 1) {
        for (int64_t i = 0; i < n; i++)
            acc[i] += w * x[i];
    } else {
        for (int64_t i = 0; i < n; i++)
            acc[i] += w * x[i * step];
    }
}

/* Adds one tap of one input channel to a plane of sums. */
static void add_tap(const Conv *c, double *acc, const double *x, double w, TapRange r, TapRange s) {
    if (c->sh == 1 && c->sw == 1 && c->out_w == c->w && s.lo == 0 && s.hi == c->w) {
        if (r.hi > r.lo) /* whole rows: they lie behind each other */
            add_scaled(acc + r.lo * c->out_w, w, x + (r.lo + r.shift) * c->w + s.shift, 1,
                       (r.hi - r.lo) * c->w);
        return;
    }
    for (int64_t i = r.lo; i < r.hi; i++)
        if (s.hi > s.lo)
            add_scaled(acc + i * c->out_w + s.lo, w,
                       x + (i * c->sh + r.shift) * c->w + s.lo * c->sw + s.shift, c->sw,
                       s.hi - s.lo);
}

/* Adds all taps of all input channels to the plane of output channel m. */
static void sum_plane(const Conv *c, int64_t image, int64_t m, double *acc) {
    int64_t first = m / c->group_out * c->group_in;
    const double *w = c->weight + m * c->group_in * c->kh * c->kw;
    for (int64_t k = 0; k < c->group_in; k++) {
        const double *x = c->x + (image * c->in_channels + first + k) * c->h * c->w;
        for (int64_t i = 0; i < c->kh; i++)
            for (int64_t j = 0; j < c->kw; j++)
                add_tap(c, acc, x, *w++, c->rows[i], c->columns[j]);
    }
}

static Conv make_conv(const ConvAttrs *at, const Tensor *in, const Tensor *weight, const Shape *out,
                      int64_t groups, Arena *a) {
    const int64_t *x = in->shape.dim, *y = out->dim, *w = weight->shape.dim;
    return (Conv){
        .images = x[0],
        .in_channels = x[1],
        .out_channels = y[1],
        .group_in = w[1],
        .group_out = groups > 0 ? y[1] / groups : 1,
        .h = x[2],
        .w = x[3],
        .out_h = y[2],
        .out_w = y[3],
        .kh = at->kernel.v[0],
        .kw = at->kernel.v[1],
        .sh = at->stride.v[0],
        .sw = at->stride.v[1],
        .rows = tap_ranges(a, at, 0, x[2], y[2]),
        .columns = tap_ranges(a, at, 1, x[3], y[3]),
        .weight = as_f64(a, weight),
    };
}

/* x, each channel of each image times its factor where there is a scale. */
static const double *scaled_input(const Tensor *x, const Tensor *scale, Arena *a) {
    double *v = as_f64(a, x);
    if (!scale)
        return v;
    int64_t planes = shape_elems(&scale->shape), plane = x->shape.dim[2] * x->shape.dim[3];
    for (int64_t p = 0; p < planes; p++)
        for (int64_t i = 0; i < plane; i++)
            v[p * plane + i] *= tensor_f64(scale, p);
    return v;
}

/* What is done to each element of a plane of sums; the tensors may be NULL. */
typedef struct Epilogue {
    const Tensor *bias, *residual;
    Act act;
    const Tensor *steps;
} Epilogue;

/* acc = steps of act(acc) + residual, for a plane of that channel whose elements begin at `first`
 * in the result. */
static void finish_plane(const Epilogue *e, int64_t channel, int64_t first, double *acc,
                         int64_t plane) {
    for (int64_t i = 0; i < plane; i++) {
        acc[i] = act_eval(e->act, acc[i]);
        if (e->residual)
            acc[i] += tensor_f64(e->residual, first + i);
        if (e->steps)
            acc[i] = (double)eval_steps(e->steps, channel, (float)acc[i]);
    }
}

static double mean_of(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

/* Into y or, where that is NULL, the mean of each plane into `mean`. */
static void convolve(const Conv *c, const Epilogue *e, Tensor *y, Tensor *mean, Arena *a) {
    int64_t plane = c->out_h * c->out_w;
    double *acc = ARENA_ARRAY(a, plane, double);
    for (int64_t p = 0; p < c->images * c->out_channels; p++) {
        double start = e->bias ? tensor_f64(e->bias, p % c->out_channels) : 0;
        for (int64_t i = 0; i < plane; i++)
            acc[i] = start;
        sum_plane(c, p / c->out_channels, p % c->out_channels, acc);
        finish_plane(e, p % c->out_channels, p * plane, acc, plane);
        if (y)
            tensor_write_f64(y, p * plane, plane, acc);
        else
            tensor_set_f64(mean, p, mean_of(acc, plane));
    }
}

/* The mean of each plane of y, which was rounded once. */
static void plane_means(const Tensor *y, Tensor *mean, Arena *a) {
    int64_t plane = y->shape.dim[2] * y->shape.dim[3];
    double *pixels = ARENA_ARRAY(a, plane + 1, double);
    for (int64_t p = 0; p < shape_elems(&mean->shape); p++) {
        tensor_read_f64(y, p * plane, plane, pixels);
        tensor_set_f64(mean, p, mean_of(pixels, plane));
    }
}

bool eval_conv2d(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                 Buf *why) {
    (void)why;
    const ConvAttrs *a = conv_attrs(n);
    Conv c = make_conv(a, in[0], in[1], &out[0]->shape, a->group, scratch);
    c.x = scaled_input(in[0], in[node_slot(n, "scale")], scratch);
    Epilogue e = {in[2], in[node_slot(n, "residual")], a->act, in[node_slot(n, "steps")]};
    convolve(&c, &e, out[0], NULL, scratch);
    return true;
}

bool eval_conv2d_mean(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                      Buf *why) {
    const ConvAttrs *a = conv_attrs(n);
    Type y;
    if (!infer_conv2d_planes(n, &y, why))
        return false;
    Conv c = make_conv(a, in[0], in[1], &y.shape, a->group, scratch);
    c.x = as_f64(scratch, in[0]);
    convolve(&c, &(Epilogue){.bias = in[2], .act = a->act}, NULL, out[0], scratch);
    return true;
}

/* The depthwise convolution of x by w, and the mean of each of its planes unless that is NULL. */
static void depthwise(const ConvAttrs *a, const Tensor *x, const Tensor *w, const Epilogue *e,
                      Tensor *y, Tensor *mean, Arena *scratch) {
    Conv c = make_conv(a, x, w, &y->shape, x->shape.dim[1], scratch);
    c.x = as_f64(scratch, x);
    convolve(&c, e, y, NULL, scratch);
    if (mean)
        plane_means(y, mean, scratch);
}

bool eval_dwconv2d(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                   Buf *why) {
    (void)why;
    const ConvAttrs *a = conv_attrs(n);
    Epilogue e = {in[2], NULL, a->act, in[node_slot(n, "steps")]};
    depthwise(a, in[0], in[1], &e, out[0], out[1], scratch);
    return true;
}

bool eval_conv2d_dwconv2d(const Node *n, const Tensor *const *in, Tensor *const *out,
                          Arena *scratch, Buf *why) {
    (void)why;
    ConvAttrs first = conv_dw_first(n), second = conv_dw_second(n);
    Type middle = conv_dw_middle(n);
    int dw = node_slot(n, "dw");
    Tensor *expanded = tensor_new(scratch, middle.dtype, middle.shape);
    Conv c = make_conv(&first, in[0], in[1], &middle.shape, 1, scratch);
    c.x = as_f64(scratch, in[0]);
    convolve(&c, &(Epilogue){.bias = in[2], .act = first.act}, expanded, NULL, scratch);
    depthwise(&second, expanded, in[dw], &(Epilogue){.bias = in[dw + 1], .act = second.act}, out[0],
              out[1], scratch);
    return true;
}

/* ---- matrix times vector -------------------------------------------------------------------- */

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

bool eval_dense(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                Buf *why) {
    (void)why;
    int64_t images = in[0]->shape.dim[0], k = in[1]->shape.dim[1], outputs = in[1]->shape.dim[0];
    const double *x = as_f64(scratch, in[0]);
    double *row = ARENA_ARRAY(scratch, k + 1, double);
    for (int64_t m = 0; m < outputs; m++) {
        tensor_read_f64(in[1], m * k, k, row);
        double bias = in[2] ? tensor_f64(in[2], m) : 0;
        for (int64_t i = 0; i < images; i++)
            tensor_set_f64(out[0], i * outputs + m,
                           act_eval(dense_attrs(n)->act, bias + dot(x + i * k, row, k)));
    }
    return true;
}

/* y[m] = act(bias[m] + sum over k of w[m, k] * x[k]) */
static void layer(const Tensor *w, const Tensor *bias, const double *x, int64_t k, Act act,
                  double *y, Arena *a) {
    const double *weight = as_f64(a, w);
    for (int64_t m = 0; m < w->shape.dim[0]; m++)
        y[m] = act_eval(act, tensor_f64(bias, m) + dot(weight + m * k, x, k));
}

bool eval_se(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch, Buf *why) {
    (void)why;
    const int64_t *x = in[0]->shape.dim;
    int64_t channels = x[1], squeezed = in[1]->shape.dim[0], plane = x[2] * x[3];
    double *pixels = ARENA_ARRAY(scratch, plane + 1, double);
    double *mean = ARENA_ARRAY(scratch, channels + 1, double);
    double *inner = ARENA_ARRAY(scratch, squeezed + 1, double);
    double *gate = ARENA_ARRAY(scratch, channels + 1, double);
    for (int64_t image = 0; image < x[0]; image++) {
        for (int64_t c = 0; c < channels; c++) {
            tensor_read_f64(in[0], (image * channels + c) * plane, plane, pixels);
            mean[c] = mean_of(pixels, plane);
        }
        layer(in[1], in[2], mean, channels, se_attrs(n)->act, inner, scratch);
        layer(in[3], in[4], inner, squeezed, se_attrs(n)->gate, gate, scratch);
        tensor_write_f64(out[0], image * channels, channels, gate);
    }
    return true;
}
