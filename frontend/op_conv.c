/* op_conv.c: Conv, and the sliding window that it shares with pooling. */
#include "frontend/import.h"

#include <string.h>

/* Sizes past this are no image; below it, sums of products of two can't overflow. */
#define WINDOW_MAX INT32_MAX

/* A pair of sizes for height and width; dflt where the attribute is absent. */
static Dim2 read_pair(OnnxNode *n, const char *name, Dim2 dflt) {
    Ints v;
    if (!attr_ints(n, name, &v))
        return dflt;
    if (v.n != 2) {
        onnx_bad(n, "attribute \"%s\" must have 2 numbers, and has %d", name, v.n);
        return dflt;
    }
    for (int i = 0; i < 2; i++)
        if (v.v[i] < 1 || v.v[i] > WINDOW_MAX)
            onnx_bad(n, "attribute \"%s\" has %lld", name, (long long)v.v[i]);
    return (Dim2){{v.v[0], v.v[1]}};
}

/* ONNX writes pads as [top, left, bottom, right], as Dim4 does. */
static Dim4 read_pads(OnnxNode *n) {
    Ints v;
    Dim4 pad = {{0}};
    if (!attr_ints(n, "pads", &v))
        return pad;
    if (v.n != 4) {
        onnx_bad(n, "attribute \"pads\" must have 4 numbers, and has %d", v.n);
        return pad;
    }
    for (int i = 0; i < 4; i++) {
        pad.v[i] = v.v[i];
        if (v.v[i] < 0)
            onnx_unsupported(n, "negative pads are not supported for it");
        else if (v.v[i] > WINDOW_MAX)
            onnx_bad(n, "attribute \"pads\" has %lld", (long long)v.v[i]);
    }
    return pad;
}

/* The padding of SAME: as many outputs as ceil(inputs / stride); an odd one goes behind (upper) or
 * in front (lower). */
static Dim4 same_pads(const Window *w, const Shape *x, bool lower) {
    Dim4 pad;
    for (int i = 0; i < 2; i++) {
        int64_t in = x->dim[2 + i], out = ceil_div(in, w->stride.v[i]);
        int64_t reach = (w->kernel.v[i] - 1) * w->dilation.v[i] + 1;
        int64_t total = (out - 1) * w->stride.v[i] + reach - in;
        total = total > 0 ? total : 0;
        pad.v[i] = lower ? total - total / 2 : total / 2;
        pad.v[2 + i] = total - pad.v[i];
    }
    return pad;
}

static bool any_pad(const Dim4 *p) {
    return p->v[0] || p->v[1] || p->v[2] || p->v[3];
}

static void pads_of_mode(OnnxNode *n, const Shape *x, const char *mode, Window *w) {
    bool lower = strcmp(mode, "SAME_LOWER") == 0;
    bool same = lower || strcmp(mode, "SAME_UPPER") == 0;
    if (strcmp(mode, "NOTSET") == 0)
        return;
    if (!same && strcmp(mode, "VALID") != 0)
        onnx_bad(n, "auto_pad is %s", quoted(n->im, mode));
    else if (any_pad(&w->pad))
        onnx_bad(n, "it has both auto_pad and pads");
    else if (same)
        w->pad = same_pads(w, x, lower);
}

bool onnx_window(OnnxNode *n, const Shape *x, Dim2 kernel, Window *w) {
    const Dim2 ones = {{1, 1}};
    w->kernel = read_pair(n, "kernel_shape", kernel);
    w->stride = read_pair(n, "strides", ones);
    w->dilation = read_pair(n, "dilations", ones);
    w->pad = read_pads(n);
    const char *mode = attr_string(n, "auto_pad", "NOTSET");
    if (!n->failed)
        pads_of_mode(n, x, mode, w);
    return !n->failed;
}

bool onnx_needs_2d(OnnxNode *n) {
    int rank = onnx_shape(n, 0)->rank;
    if (rank < 3)
        onnx_bad(n, "its input has %d dimensions, and needs batch, channels and space", rank);
    else if (rank != 4)
        onnx_unsupported(
            n, "only 2-d images are supported, and its input has %d dimensions in space", rank - 2);
    return !n->failed;
}

/* Ranks of x and w. */
static bool check_conv(OnnxNode *n, const Shape *x, const Shape *w) {
    if (!onnx_needs_2d(n))
        return false;
    if (w->rank != x->rank)
        onnx_bad(n, "its weights have %d dimensions, and its input %d", w->rank, x->rank);
    else if (w->dim[2] < 1 || w->dim[3] < 1 || w->dim[2] > WINDOW_MAX || w->dim[3] > WINDOW_MAX)
        onnx_bad(n, "its kernel is %lldx%lld", (long long)w->dim[2], (long long)w->dim[3]);
    return !n->failed;
}

Value *onnx_conv(OnnxNode *n, const char *part, Value *x, Value *w, Value *b) {
    if (n->failed || !check_conv(n, &x->type.shape, &w->type.shape))
        return NULL;
    const Dim2 kernel = {{w->type.shape.dim[2], w->type.shape.dim[3]}};
    Window win;
    int64_t group = attr_int(n, "group", 1);
    if (!onnx_window(n, &x->type.shape, kernel, &win))
        return NULL;
    if (win.kernel.v[0] != kernel.v[0] || win.kernel.v[1] != kernel.v[1])
        onnx_bad(n, "kernel_shape is %lldx%lld, and the weights are %lldx%lld",
                 (long long)win.kernel.v[0], (long long)win.kernel.v[1], (long long)kernel.v[0],
                 (long long)kernel.v[1]);
    if (group < 1)
        onnx_bad(n, "group is %lld", (long long)group);
    if (n->failed)
        return NULL;
    Node *c = onnx_add(n, OP_conv2d, part, (Value *[]){x, w, b}, b ? 3 : 2);
    ConvAttrs *a = conv_attrs(c);
    a->kernel = win.kernel;
    a->stride = win.stride;
    a->dilation = win.dilation;
    a->pad = win.pad;
    a->group = group;
    return onnx_done(n, c);
}

/* Conv-1, -11, -22: Y = X * W + B. W is [M, C/group, kH, kW] as in conv2d. */
void import_conv(OnnxNode *n) {
    if (onnx_needs_float(n, 3))
        onnx_set_output(n, 0,
                        onnx_conv(n, NULL, onnx_input(n, 0), onnx_input(n, 1), onnx_input(n, 2)));
}
