/* op_conv_transpose.c: ConvTranspose, as a convolution of its input with zeros between the
 * elements: each output is the sum of input i times tap t over i * stride + t * dilation == output
 * + pad. */
#include "frontend/import.h"

#include <string.h>

/* One axis. */
typedef struct Spread {
    int64_t in, stride, reach; /* reach: of the kernel, dilated */
    int64_t before, out;       /* what is cut off in front, and what is left */
} Spread;

/* An attribute of two numbers, each at least 0; false where it is absent. */
static bool read_sizes(OnnxNode *n, const char *name, int64_t out[2]) {
    Ints v;
    if (!attr_ints(n, name, &v))
        return false;
    if (v.n != 2)
        onnx_bad(n, "attribute \"%s\" must have 2 numbers, and has %d", name, v.n);
    for (int i = 0; i < 2 && v.n == 2; i++) {
        if (v.v[i] < 0 || v.v[i] > INT32_MAX)
            onnx_bad(n, "attribute \"%s\" has %lld", name, (long long)v.v[i]);
        out[i] = v.v[i];
    }
    return !n->failed;
}

/* Cuts `total` off, of both ends; ends that must grow do so behind. */
static void divide_padding(Spread *s, int64_t total, bool upper) {
    s->before = total < 0 ? 0 : upper ? total / 2 : total - total / 2;
}

/* Axis i; false after a complaint. */
static bool spread_axis(OnnxNode *n, int i, const Window *w, const int64_t *extra,
                        const int64_t *wanted, const char *mode, Spread *s) {
    int64_t taps;
    *s = (Spread){.in = onnx_shape(n, 0)->dim[2 + i], .stride = w->stride.v[i]};
    if (!checked_mul(w->kernel.v[i] - 1, w->dilation.v[i], &taps) || taps >= INT32_MAX ||
        s->in > INT32_MAX / s->stride) {
        onnx_unsupported(n, "its result is too large");
        return false;
    }
    s->reach = taps + 1;
    int64_t full = (s->in - 1) * s->stride + s->reach + extra[i];
    bool same = strncmp(mode, "SAME", 4) == 0;
    if (wanted || same) {
        s->out = wanted ? wanted[i] : s->in * s->stride;
        divide_padding(s, full - s->out, strcmp(mode, "SAME_UPPER") == 0);
    } else {
        s->before = w->pad.v[i];
        s->out = full - w->pad.v[i] - w->pad.v[2 + i];
    }
    if (s->in < 1 || s->out < 1)
        onnx_bad(n, "its result would have %lld %s", (long long)s->out, i ? "columns" : "rows");
    return !n->failed;
}

/* Which element of x stands at each place of the input of the convolution; the one behind its last
 * is a zero. */
static Value *spread_table(OnnxNode *n, const char *part, const Spread *s) {
    int64_t count = s->out + s->reach - 1;
    Tensor *t = onnx_new_tensor(n, DT_i64, SHAPE(count, 1));
    for (int64_t q = 0; t && q < count; q++) {
        int64_t at = q + s->before - (s->reach - 1);
        bool inside = at >= 0 && at % s->stride == 0 && at / s->stride < s->in;
        tensor_set_i64(t, q, inside ? at / s->stride : s->in);
    }
    return t ? onnx_constant(n, part, t) : NULL;
}

static Value *spread(OnnxNode *n, Value *x, const Spread *rows, const Spread *columns) {
    Value *r = spread_table(n, "rows", rows), *c = spread_table(n, "columns", columns);
    x = onnx_pad_axis(n, "zero_row", x, 2, 0, 1, 0);
    x = onnx_pad_axis(n, "zero_column", x, 3, 0, 1, 0);
    if (!r || !c || !x)
        return NULL;
    return onnx_done(n, onnx_add(n, OP_resize, "spread", (Value *[]){x, r, c}, 3));
}

/* w [C, M/G, kh, kw] as the weights [M, C/G, kh, kw] of a convolution, taps backwards. */
static Value *turned_weights(OnnxNode *n, Value *w, int64_t group) {
    const int64_t *d = w->type.shape.dim, kh = d[2], kw = d[3];
    const Shape split = SHAPE(group, d[0] / group, d[1], kh, kw);
    const Shape joined = SHAPE(group * d[1], d[0] / group, kh, kw);
    w = onnx_reshape(n, "weights", w, &split);
    w = onnx_transpose(n, "weights", w, (const int64_t[]){0, 2, 1, 3, 4});
    w = w ? onnx_reshape(n, "weights", w, &joined) : NULL;
    w = onnx_slice_axis(n, "weights", w, 2, kh - 1, kh, -1);
    return onnx_slice_axis(n, "weights", w, 3, kw - 1, kw, -1);
}

static bool check_weights(OnnxNode *n, int64_t group) {
    const Shape *x = onnx_shape(n, 0), *w = onnx_shape(n, 1);
    if (w->rank != 4)
        onnx_bad(n, "its weights have %d dimensions, and its input %d", w->rank, x->rank);
    else if (w->dim[0] != x->dim[1] || w->dim[1] < 1 || w->dim[2] < 1 || w->dim[3] < 1)
        onnx_bad(n, "its weights don't fit its input of %lld channels", (long long)x->dim[1]);
    else if (group < 1 || x->dim[1] % group != 0 || group > INT32_MAX / w->dim[1])
        onnx_bad(n, "group is %lld, of %lld channels", (long long)group, (long long)x->dim[1]);
    return !n->failed;
}

/* ConvTranspose-1 to -22. */
void import_conv_transpose(OnnxNode *n) {
    int64_t group = attr_int(n, "group", 1), extra[2] = {0, 0}, shape[2];
    const char *mode = attr_string(n, "auto_pad", "NOTSET");
    if (n->failed || !onnx_needs_float(n, 3) || !onnx_needs_2d(n) || !check_weights(n, group))
        return;
    Value *x = onnx_input(n, 0), *w = onnx_input(n, 1), *b = onnx_input(n, 2);
    const Dim2 kernel = {{w->type.shape.dim[2], w->type.shape.dim[3]}};
    Window win;
    Spread axis[2];
    read_sizes(n, "output_padding", extra);
    const int64_t *wanted = read_sizes(n, "output_shape", shape) ? shape : NULL;
    if (n->failed || !onnx_window(n, &x->type.shape, kernel, &win))
        return;
    if (win.kernel.v[0] != kernel.v[0] || win.kernel.v[1] != kernel.v[1])
        onnx_bad(n, "kernel_shape is not that of the weights");
    for (int i = 0; i < 2; i++)
        if (n->failed || !spread_axis(n, i, &win, extra, wanted, mode, &axis[i]))
            return;
    x = spread(n, x, &axis[0], &axis[1]);
    w = turned_weights(n, w, group);
    if (!x || !w)
        return;
    Node *c = onnx_add(n, OP_conv2d, NULL, (Value *[]){x, w, b}, b ? 3 : 2);
    *conv_attrs(c) =
        (ConvAttrs){.kernel = kernel, .stride = {{1, 1}}, .dilation = win.dilation, .group = group};
    onnx_set_output(n, 0, onnx_done(n, c));
}
