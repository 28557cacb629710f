/* op_window.c: the sliding window over the dimensions in space that convolutions and pooling share,
 * of any number of dimensions. */
#include "frontend/import.h"

#include <string.h>

/* Sizes past this are no image; below it, sums of products of two can't overflow. */
#define WINDOW_MAX INT32_MAX

bool onnx_needs_2d(OnnxNode *n) {
    int rank = onnx_shape(n, 0)->rank;
    if (onnx_needs_space(n) && rank != 4)
        onnx_unsupported(
            n, "only 2-d images are supported, and its input has %d dimensions in space", rank - 2);
    return !n->failed;
}

bool onnx_needs_space(OnnxNode *n) {
    int rank = onnx_shape(n, 0)->rank;
    if (rank < 3)
        onnx_bad(n, "its input has %d dimensions, and needs batch, channels and space", rank);
    return !n->failed;
}

void onnx_window_sizes(OnnxNode *n, const char *name, int count, int64_t least, int64_t dflt,
                       int64_t *out) {
    Ints v;
    bool given = attr_ints(n, name, &v);
    if (given && v.n != count)
        onnx_bad(n, "attribute \"%s\" must have %d numbers, and has %d", name, count, v.n);
    for (int i = 0; i < count; i++) {
        out[i] = given && i < v.n ? v.v[i] : dflt;
        if (out[i] < least || out[i] > WINDOW_MAX)
            onnx_bad(n, "attribute \"%s\" has %lld", name, (long long)out[i]);
    }
}

/* ONNX writes pads as all in front, then all behind. */
static void read_pads(OnnxNode *n, Window *w) {
    int64_t pads[2 * MAX_RANK];
    Ints v;
    bool given = attr_ints(n, "pads", &v);
    for (int i = 0; given && i < v.n; i++)
        if (v.v[i] < 0)
            onnx_unsupported(n, "negative pads are not supported for it");
    if (n->failed)
        return;
    onnx_window_sizes(n, "pads", 2 * w->space, 0, 0, pads);
    for (int i = 0; i < w->space; i++) {
        w->axis[i].front = pads[i];
        w->axis[i].back = pads[w->space + i];
    }
}

int64_t onnx_window_reach(const WindowAxis *a) {
    return (a->kernel - 1) * a->dilation + 1;
}

int64_t onnx_window_places(const WindowAxis *a, int64_t in) {
    int64_t left = in + a->front + a->back - onnx_window_reach(a);
    return left < 0 ? 0 : left / a->stride + 1;
}

/* The padding of SAME: as many outputs as ceil(inputs / stride); an odd one goes behind (upper) or
 * in front (lower). */
static void same_pads(WindowAxis *a, int64_t in, bool lower) {
    int64_t out = ceil_div(in, a->stride);
    int64_t total = (out - 1) * a->stride + onnx_window_reach(a) - in;
    total = total > 0 ? total : 0;
    a->front = lower ? total - total / 2 : total / 2;
    a->back = total - a->front;
}

static bool any_pad(const Window *w) {
    for (int i = 0; i < w->space; i++)
        if (w->axis[i].front || w->axis[i].back)
            return true;
    return false;
}

static void pads_of_mode(OnnxNode *n, const Shape *x, const char *mode, Window *w) {
    bool lower = strcmp(mode, "SAME_LOWER") == 0;
    bool same = lower || strcmp(mode, "SAME_UPPER") == 0;
    if (strcmp(mode, "NOTSET") == 0)
        return;
    if (!same && strcmp(mode, "VALID") != 0)
        onnx_bad(n, "auto_pad is %s", quoted(n->im, mode));
    else if (any_pad(w))
        onnx_bad(n, "it has both auto_pad and pads");
    else if (same)
        for (int i = 0; i < w->space; i++)
            same_pads(&w->axis[i], x->dim[2 + i], lower);
}

bool onnx_window(OnnxNode *n, const Shape *x, const int64_t *kernel, Window *w) {
    int64_t sizes[MAX_RANK], strides[MAX_RANK], dilations[MAX_RANK];
    *w = (Window){.space = x->rank - 2};
    onnx_window_sizes(n, "kernel_shape", w->space, 1, 1, sizes);
    onnx_window_sizes(n, "strides", w->space, 1, 1, strides);
    onnx_window_sizes(n, "dilations", w->space, 1, 1, dilations);
    for (int i = 0; i < w->space; i++) {
        int64_t size = kernel && !attr_present(n, "kernel_shape") ? kernel[i] : sizes[i];
        w->axis[i] = (WindowAxis){.kernel = size, .stride = strides[i], .dilation = dilations[i]};
        if (kernel && kernel[i] != size)
            onnx_bad(n, "kernel_shape has %lld, and the weights have %lld", (long long)size,
                     (long long)kernel[i]);
    }
    read_pads(n, w);
    const char *mode = attr_string(n, "auto_pad", "NOTSET");
    if (!n->failed)
        pads_of_mode(n, x, mode, w);
    return !n->failed;
}

Window onnx_window_2d(const Window *w) {
    static const WindowAxis whole = {1, 1, 1, 0, 0};
    if (w->space != 1)
        return *w;
    return (Window){.space = 2, .axis = {whole, w->axis[0]}};
}

ConvAttrs onnx_window_attrs(const Window *w) {
    const WindowAxis *a = &w->axis[w->space - 2], *b = a + 1;
    return (ConvAttrs){.kernel = {{a->kernel, b->kernel}},
                       .stride = {{a->stride, b->stride}},
                       .dilation = {{a->dilation, b->dilation}},
                       .pad = {{a->front, b->front, a->back, b->back}},
                       .group = 1};
}

Shape onnx_with_height(const Shape *s) {
    return SHAPE(s->dim[0], s->dim[1], 1, s->dim[2]);
}

Shape onnx_as_rows(const Shape *s, int dim) {
    Shape planes = SHAPE(1, 1, s->dim[dim], 1);
    for (int d = 0; d < s->rank; d++)
        if (d != dim)
            planes.dim[d < dim ? 1 : 3] *= s->dim[d];
    return planes;
}
