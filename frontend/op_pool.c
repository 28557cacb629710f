/* op_pool.c: pooling, over any number of dimensions in space. Lines are images with a height of 1;
 * of volumes and more, the last two dimensions are pooled as images and then each other one by
 * itself, which gives the same maxima and means. */
#include "frontend/import.h"

#include <string.h>

/* ---- whole planes ---------------------------------------------------------------------------- */

/* Op, which gives [N, C, 1, 1] of [N, C, H, W], of x with any number of dimensions in space. */
static Value *pool_all(OnnxNode *n, Op op, const char *part, Value *x) {
    Shape s = x->type.shape, planes = {.rank = 4, .dim = {s.dim[0], s.dim[1], 1, 1}};
    for (int i = 2; i < s.rank; i++) {
        planes.dim[i + 1 < s.rank ? 2 : 3] *= s.dim[i];
        s.dim[i] = 1;
    }
    if (s.rank != 4)
        x = onnx_reshape(n, "planes", x, &planes);
    if (!x)
        return NULL;
    Node *p = onnx_add(n, op, s.rank == 4 ? part : "pooled", &x, 1);
    if (op == OP_max_pool)
        pool_attrs(p)->kernel = (Dim2){{planes.dim[2], planes.dim[3]}};
    Value *y = onnx_done(n, p);
    return s.rank == 4 || !y ? y : onnx_reshape(n, part, y, &s);
}

Value *onnx_global_average_pool(OnnxNode *n, const char *part, Value *x) {
    return x && onnx_needs_space(n) ? pool_all(n, OP_global_avg_pool, part, x) : NULL;
}

void import_global_average_pool(OnnxNode *n) {
    if (onnx_needs_float(n, 1))
        onnx_set_output(n, 0, onnx_global_average_pool(n, NULL, onnx_input(n, 0)));
}

void import_global_max_pool(OnnxNode *n) {
    if (onnx_needs_float(n, 1) && onnx_needs_space(n))
        onnx_set_output(n, 0, pool_all(n, OP_max_pool, NULL, onnx_input(n, 0)));
}

/* ---- windows --------------------------------------------------------------------------------- */

/* A pooling operator's window, and how much of its padding a mean counts. */
typedef struct Pooling {
    Window w;
    int64_t counted[MAX_RANK][2];
} Pooling;

/* Is the window all there is, so that there is one of it and nothing is padded? */
static bool is_whole(const Window *w, const Shape *x) {
    bool whole = true;
    for (int i = 0; i < w->space; i++) {
        const WindowAxis *a = &w->axis[i];
        whole &= a->kernel == x->dim[2 + i] && a->dilation == 1 && !a->front && !a->back;
    }
    return whole;
}

/* ceil_mode rounds the number of windows up, but none begins behind the input and the padding in
 * front of it: then the padding behind grows until the last window is inside. */
static void grow_padding(WindowAxis *a, int64_t in) {
    int64_t front = in + a->front, all = front + a->back, reach = onnx_window_reach(a);
    if (reach > all)
        return; /* the shape rule refuses it */
    int64_t last = ceil_div(all - reach, a->stride) * a->stride;
    if (last < front && last + reach > all)
        a->back += last + reach - all;
}

/* False after a complaint. */
static bool pooling_of(OnnxNode *n, const Shape *x, bool count_padding, Pooling *p) {
    bool ceil_mode = attr_bool(n, "ceil_mode", false);
    if (!onnx_needs_space(n))
        return false;
    if (!attr_present(n, "kernel_shape"))
        onnx_bad(n, "attribute \"kernel_shape\" is missing");
    if (!onnx_window(n, x, NULL, &p->w))
        return false;
    for (int i = 0; i < p->w.space; i++) {
        WindowAxis *a = &p->w.axis[i];
        p->counted[i][0] = count_padding ? a->front : 0;
        p->counted[i][1] = count_padding ? a->back : 0;
        if (ceil_mode)
            grow_padding(a, x->dim[2 + i]);
    }
    return true;
}

/* Axes i and i + 1 of p, over the last two dimensions of x, which has rank 4. */
static Value *pool_image(OnnxNode *n, Op op, const char *part, Value *x, const Pooling *p, int i) {
    if (!x)
        return NULL;
    ConvAttrs w =
        onnx_window_attrs(&(Window){.space = 2, .axis = {p->w.axis[i], p->w.axis[i + 1]}});
    Node *y = onnx_add(n, op, part, &x, 1);
    *pool_attrs(y) =
        (PoolAttrs){.kernel = w.kernel, .stride = w.stride, .pad = w.pad, .dilation = w.dilation};
    for (int k = 0; k < 2; k++) {
        pool_attrs(y)->counted.v[k] = p->counted[i + k][0];
        pool_attrs(y)->counted.v[2 + k] = p->counted[i + k][1];
    }
    return onnx_done(n, y);
}

/* Only axis i of p, over dimension 2 + i of x: as the rows of planes. */
static Value *pool_dim(OnnxNode *n, Op op, Value *x, const Pooling *p, int i) {
    Pooling one = {.w = {.space = 2, .axis = {p->w.axis[i], {1, 1, 1, 0, 0}}}};
    one.counted[0][0] = p->counted[i][0];
    one.counted[0][1] = p->counted[i][1];
    if (!x)
        return NULL;
    Shape to = x->type.shape, planes = onnx_as_rows(&to, 2 + i);
    Value *y = pool_image(n, op, "pooled", onnx_reshape(n, "planes", x, &planes), &one, 0);
    if (!y)
        return NULL;
    to.dim[2 + i] = y->type.shape.dim[2];
    return onnx_reshape(n, "pooled", y, &to);
}

/* The last two dimensions of x, of more than 4. */
static Value *pool_planes(OnnxNode *n, Op op, Value *x, const Pooling *p) {
    Shape to = x->type.shape,
          planes = SHAPE(to.dim[0], 1, to.dim[to.rank - 2], to.dim[to.rank - 1]);
    for (int d = 1; d < to.rank - 2; d++)
        planes.dim[1] *= to.dim[d];
    x = onnx_reshape(n, "planes", x, &planes);
    Value *y = pool_image(n, op, "pooled", x, p, p->w.space - 2);
    if (!y)
        return NULL;
    to.dim[to.rank - 2] = y->type.shape.dim[2];
    to.dim[to.rank - 1] = y->type.shape.dim[3];
    return onnx_reshape(n, "pooled", y, &to);
}

static Value *pool_line(OnnxNode *n, Op op, const char *part, Value *x, const Pooling *p) {
    Shape image = onnx_with_height(&x->type.shape);
    Pooling flat = {.w = onnx_window_2d(&p->w)};
    memcpy(flat.counted[1], p->counted[0], sizeof flat.counted[1]);
    Value *y = pool_image(n, op, "row", onnx_reshape(n, "image", x, &image), &flat, 0);
    if (!y)
        return NULL;
    const int64_t *d = y->type.shape.dim;
    const Shape line = SHAPE(d[0], d[1], d[3]);
    return onnx_reshape(n, part, y, &line);
}

static Value *pool(OnnxNode *n, Op op, const char *part, Value *x, const Pooling *p) {
    if (!x)
        return NULL;
    if (p->w.space == 1)
        return pool_line(n, op, part, x, p);
    if (p->w.space == 2)
        return pool_image(n, op, part, x, p, 0);
    x = pool_planes(n, op, x, p);
    for (int i = 0; i < p->w.space - 2; i++)
        x = pool_dim(n, op, x, p, i);
    return onnx_unary(n, OP_identity, part, x);
}

/* ---- operators ------------------------------------------------------------------------------- */

/* MaxPool-1 to -22. Integers of 8 bits are floats meanwhile. */
void import_max_pool(OnnxNode *n) {
    Pooling p;
    Value *x = onnx_input(n, 0);
    DType dt = x->type.dtype;
    bool narrow = !dtype_is_float(dt);
    int64_t order = attr_int(n, "storage_order", 0);
    if (narrow && dt != DT_i8 && dt != DT_u8)
        onnx_bad(n, "it is for floating point, int8 and uint8, and its input is %s",
                 dtype_name(dt));
    if (n->failed || !pooling_of(n, &x->type.shape, false, &p))
        return;
    Value *wide = narrow ? onnx_cast(n, "wide", x, DT_f32) : x;
    Value *y = pool(n, OP_max_pool, narrow ? "largest" : NULL, wide, &p);
    onnx_set_output(n, 0, narrow ? onnx_cast(n, NULL, y, dt) : y);
    if (n->noutputs > 1 && n->outputs[1] && !n->failed)
        onnx_set_output(n, 1, onnx_max_pool_indices(n, wide, &p.w, order != 0));
}

/* com.microsoft.NhwcMaxPool-1: of bytes, channels last. */
void import_nhwc_max_pool(OnnxNode *n) {
    Pooling p;
    Value *x = onnx_cast(n, "wide", onnx_input(n, 0), DT_f32);
    x = onnx_channels_second(n, "planes", x);
    if (!x || !pooling_of(n, &x->type.shape, false, &p))
        return;
    Value *y = onnx_channels_last(n, "pixels", pool(n, OP_max_pool, "largest", x, &p));
    onnx_set_output(n, 0, onnx_cast(n, NULL, y, onnx_input(n, 0)->type.dtype));
}

Value *onnx_average_pool(OnnxNode *n, const char *part, Value *x) {
    Pooling p;
    bool include = attr_bool(n, "count_include_pad", false);
    if (!x || !pooling_of(n, &x->type.shape, include, &p))
        return NULL;
    if (is_whole(&p.w, &x->type.shape))
        return pool_all(n, OP_global_avg_pool, part, x);
    return pool(n, OP_avg_pool, part, x, &p);
}

/* AveragePool-1 to -22. */
void import_average_pool(OnnxNode *n) {
    if (onnx_needs_float(n, 1))
        onnx_set_output(n, 0, onnx_average_pool(n, NULL, onnx_input(n, 0)));
}

/* |x|^p and y^(1/p), with p in {1, 2} as themselves. */
static Value *to_power(OnnxNode *n, Value *x, double p) {
    x = p == 2 ? x : onnx_unary(n, OP_abs, "size", x);
    return p == 1   ? x
           : p == 2 ? onnx_binary(n, OP_mul, "square", x, x)
                    : onnx_by_scalar(n, OP_pow, "power", x, p);
}

static Value *from_power(OnnxNode *n, const char *part, Value *y, double p) {
    return p == 1   ? onnx_unary(n, OP_identity, part, y)
           : p == 2 ? onnx_unary(n, OP_sqrt, part, y)
                    : onnx_by_scalar(n, OP_pow, part, y, 1 / p);
}

/* Lp: a float in version 1, an integer from 2 on. */
static double lp_order(OnnxNode *n) {
    double p = n->opset < 2 ? attr_float(n, "p", 2) : (double)attr_int(n, "p", 2);
    if (!n->failed && !(p > 0))
        onnx_bad(n, "its p is %g", p);
    return p;
}

/* LpPool-1 to -22: (the sum of |x|^p)^(1/p), the sum being the mean of all taps, padding included,
 * times their number. */
void import_lp_pool(OnnxNode *n) {
    Pooling p;
    double order = lp_order(n), taps = 1;
    Value *x = onnx_input(n, 0);
    if (n->failed || !onnx_needs_float(n, 1) || !pooling_of(n, &x->type.shape, false, &p))
        return;
    for (int i = 0; i < p.w.space; i++) {
        p.counted[i][0] = p.w.axis[i].front;
        p.counted[i][1] = p.w.axis[i].back;
        taps *= (double)p.w.axis[i].kernel;
    }
    Value *mean = pool(n, OP_avg_pool, "mean", to_power(n, x, order), &p);
    onnx_set_output(n, 0, from_power(n, NULL, onnx_by_scalar(n, OP_mul, "sum", mean, taps), order));
}

/* GlobalLpPool-1 to -22. */
void import_global_lp_pool(OnnxNode *n) {
    double order = lp_order(n);
    int64_t axes[MAX_RANK];
    int rank = onnx_shape(n, 0)->rank;
    if (n->failed || !onnx_needs_float(n, 1) || !onnx_needs_space(n))
        return;
    for (int i = 2; i < rank; i++)
        axes[i - 2] = i;
    Value *sum = onnx_reduce(n, OP_reduce_sum, "sum", to_power(n, onnx_input(n, 0), order),
                             onnx_keep_ints(n, axes, rank - 2));
    onnx_set_output(n, 0, from_power(n, NULL, sum, order));
}
