/* op_conv.c: Conv of any number of dimensions in space. Lines are images with a height of 1; of
 * volumes and more, the taps along the first dimension become channels, until images are left. */
#include "frontend/import.h"

/* Ranks of x and w. */
static bool check_conv(OnnxNode *n, const Shape *x, const Shape *w) {
    if (!onnx_needs_space(n))
        return false;
    if (w->rank != x->rank)
        onnx_bad(n, "its weights have %d dimensions, and its input %d", w->rank, x->rank);
    for (int i = 2; i < w->rank && !n->failed; i++)
        if (w->dim[i] < 1 || w->dim[i] > INT32_MAX)
            onnx_bad(n, "its kernel has a size of %lld", (long long)w->dim[i]);
    return !n->failed;
}

/* s with dimension `axis` joined with the one before it. */
static Shape joined_dims(const Shape *s, int axis) {
    Shape to = {.rank = s->rank - 1};
    for (int i = 0; i < to.rank; i++)
        to.dim[i] = s->dim[i < axis ? i : i + 1];
    to.dim[axis - 1] *= s->dim[axis];
    return to;
}

static Value *join(OnnxNode *n, const char *part, Value *x, int axis) {
    if (!x)
        return NULL;
    Shape to = joined_dims(&x->type.shape, axis);
    return onnx_reshape(n, part, x, &to);
}

/* ---- volumes --------------------------------------------------------------------------------- */

enum { MOST_TAPS = 256 }; /* of the dimensions that become channels: each is a slice */

/* [N, C, out, 1, ...]: what tap k along the first dimension in space sees. */
static Value *depth_tap(OnnxNode *n, Value *x, const WindowAxis *a, int64_t k, int64_t out) {
    x = onnx_slice_axis(n, "tap", x, 2, k * a->dilation, out, a->stride);
    if (!x)
        return NULL;
    Shape s = x->type.shape;
    for (int i = s.rank++; i > 3; i--)
        s.dim[i] = s.dim[i - 1];
    s.dim[3] = 1;
    return onnx_reshape(n, "tap", x, &s);
}

/* x [N, C, D, ...] as images [N * out, C * kernel, ...]: the first dimension in space as
 * channels. */
static Value *taps_as_channels(OnnxNode *n, Value *x, const WindowAxis *a, int64_t out) {
    static const int64_t perm[MAX_RANK] = {0, 2, 1, 3, 4, 5, 6, 7};
    Value *taps[MOST_TAPS];
    if (a->front || a->back)
        x = onnx_pad_axis(n, "padded", x, 2, a->front, a->back, 0);
    if (a->kernel == 1) {
        x = a->stride == 1 ? x : onnx_slice_axis(n, "tap", x, 2, 0, out, a->stride);
        return join(n, "images", onnx_transpose(n, "images", x, perm), 1);
    }
    for (int k = 0; k < a->kernel; k++)
        taps[k] = depth_tap(n, x, a, k, out);
    x = onnx_concat(n, "taps", taps, (int)a->kernel, 3);
    return join(n, "images", join(n, "images", onnx_transpose(n, "images", x, perm), 3), 1);
}

static Window inner_window(const Window *w) {
    Window inner = {.space = w->space - 1};
    for (int i = 0; i < inner.space; i++)
        inner.axis[i] = w->axis[i + 1];
    return inner;
}

/* How many places the window has along an axis of such a size; 0 after a complaint. */
static int64_t places(OnnxNode *n, const WindowAxis *a, int64_t in) {
    int64_t out = onnx_window_places(a, in);
    if (a->kernel > MOST_TAPS)
        onnx_unsupported(n, "more than %d taps in depth are not supported", MOST_TAPS);
    else if (out < 1)
        onnx_bad(n, "the kernel is larger than the padded input");
    return n->failed ? 0 : out;
}

static Value *conv_of(OnnxNode *n, const char *part, Value *x, Value *w, Value *b,
                      const Window *win, int64_t group);

static Value *conv_volume(OnnxNode *n, const char *part, Value *x, Value *w, Value *b,
                          const Window *win, int64_t group) {
    static const int64_t perm[MAX_RANK] = {0, 2, 1, 3, 4, 5, 6, 7};
    int64_t images = x->type.shape.dim[0], out = places(n, &win->axis[0], x->type.shape.dim[2]);
    Window inner = inner_window(win);
    if (x->type.shape.rank >= MAX_RANK)
        onnx_unsupported(n, "its input has too many dimensions");
    if (n->failed)
        return NULL;
    x = taps_as_channels(n, x, &win->axis[0], out);
    w = join(n, "weights", w, 2);
    Value *y = x && w ? conv_of(n, "planes", x, w, b, &inner, group) : NULL;
    if (!y)
        return NULL;
    Shape s = y->type.shape;
    for (int i = s.rank++; i > 1; i--)
        s.dim[i] = s.dim[i - 1];
    s.dim[0] = images;
    s.dim[1] = out;
    return onnx_transpose(n, part, onnx_reshape(n, "depth", y, &s), perm);
}

/* ---- lines and images ------------------------------------------------------------------------ */

static Value *conv_image(OnnxNode *n, const char *part, Value *x, Value *w, Value *b,
                         const Window *win, int64_t group) {
    Node *c = onnx_add(n, OP_conv2d, part, (Value *[]){x, w, b}, b ? 3 : 2);
    *conv_attrs(c) = onnx_window_attrs(win);
    conv_attrs(c)->group = group;
    return onnx_done(n, c);
}

static Value *conv_line(OnnxNode *n, const char *part, Value *x, Value *w, Value *b,
                        const Window *win, int64_t group) {
    Shape image = onnx_with_height(&x->type.shape), kernel = onnx_with_height(&w->type.shape);
    Window flat = onnx_window_2d(win);
    x = onnx_reshape(n, "image", x, &image);
    w = onnx_reshape(n, "kernel", w, &kernel);
    return join(n, part, x && w ? conv_image(n, "row", x, w, b, &flat, group) : NULL, 2);
}

static Value *conv_of(OnnxNode *n, const char *part, Value *x, Value *w, Value *b,
                      const Window *win, int64_t group) {
    return win->space == 1   ? conv_line(n, part, x, w, b, win, group)
           : win->space == 2 ? conv_image(n, part, x, w, b, win, group)
                             : conv_volume(n, part, x, w, b, win, group);
}

Value *onnx_conv_window(OnnxNode *n, Value *x, Value *w, Value *b, const Window *win,
                        int64_t group) {
    return x && w && !n->failed ? conv_of(n, NULL, x, w, b, win, group) : NULL;
}

Value *onnx_conv(OnnxNode *n, const char *part, Value *x, Value *w, Value *b) {
    if (n->failed || !check_conv(n, &x->type.shape, &w->type.shape))
        return NULL;
    Window win;
    int64_t group = attr_int(n, "group", 1);
    if (!onnx_window(n, &x->type.shape, w->type.shape.dim + 2, &win))
        return NULL;
    if (group < 1)
        onnx_bad(n, "group is %lld", (long long)group);
    return n->failed ? NULL : conv_of(n, part, x, w, b, &win, group);
}

/* Conv-1, -11, -22: Y = X * W + B. W is [M, C/group, kernel...] as in conv2d. */
void import_conv(OnnxNode *n) {
    if (onnx_needs_float(n, 3))
        onnx_set_output(n, 0,
                        onnx_conv(n, NULL, onnx_input(n, 0), onnx_input(n, 1), onnx_input(n, 2)));
}
