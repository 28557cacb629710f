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

/* Cuts `total` off, of both ends; ends that must grow do so behind. */
static void divide_padding(Spread *s, int64_t total, bool upper) {
    s->before = total < 0 ? 0 : upper ? total / 2 : total - total / 2;
}

/* What the model asks for besides the window. */
typedef struct Asked {
    int64_t extra[MAX_RANK], shape[MAX_RANK]; /* output_padding, output_shape */
    bool has_shape;
    const char *mode;
} Asked;

static Asked asked_of(OnnxNode *n, int space) {
    Asked a = {.mode = attr_string(n, "auto_pad", "NOTSET")};
    a.has_shape = attr_present(n, "output_shape");
    onnx_window_sizes(n, "output_padding", space, 0, 0, a.extra);
    onnx_window_sizes(n, "output_shape", space, 0, 0, a.shape);
    return a;
}

/* Axis i; false after a complaint. */
static bool spread_axis(OnnxNode *n, int i, const WindowAxis *w, const Asked *asked, Spread *s) {
    int64_t taps;
    *s = (Spread){.in = onnx_shape(n, 0)->dim[2 + i], .stride = w->stride};
    if (!checked_mul(w->kernel - 1, w->dilation, &taps) || taps >= INT32_MAX ||
        s->in > INT32_MAX / s->stride) {
        onnx_unsupported(n, "its result is too large");
        return false;
    }
    s->reach = taps + 1;
    int64_t full = (s->in - 1) * s->stride + s->reach + asked->extra[i];
    bool same = strncmp(asked->mode, "SAME", 4) == 0;
    if (asked->has_shape || same) {
        s->out = asked->has_shape ? asked->shape[i] : s->in * s->stride;
        divide_padding(s, full - s->out, strcmp(asked->mode, "SAME_UPPER") == 0);
    } else {
        s->before = w->front;
        s->out = full - w->front - w->back;
    }
    if (s->in < 1 || s->out < 1)
        onnx_bad(n, "its result would have a size of %lld", (long long)s->out);
    return !n->failed;
}

/* Which element of x stands at each place of the input of the convolution; -1: none, a zero. */
static Value *spread_table(OnnxNode *n, const char *part, const Spread *s) {
    int64_t count = s->out + s->reach - 1;
    Tensor *t = onnx_new_tensor(n, DT_i64, SHAPE(count, 1));
    for (int64_t q = 0; t && q < count; q++) {
        int64_t at = q + s->before - (s->reach - 1);
        bool inside = at >= 0 && at % s->stride == 0 && at / s->stride < s->in;
        tensor_set_i64(t, q, inside ? at / s->stride : -1);
    }
    return t ? onnx_constant(n, part, t) : NULL;
}

/* x [N, C, H, W]; rows or columns may be NULL. */
static Value *spread_planes(OnnxNode *n, Value *x, const Spread *rows, const Spread *columns) {
    Value *r = rows ? spread_table(n, "rows", rows) : NULL;
    Value *c = columns ? spread_table(n, "columns", columns) : NULL;
    if (n->failed || !x)
        return NULL;
    return onnx_done(n, onnx_add(n, OP_resize, "spread", (Value *[]){x, r, c}, 3));
}

/* Dimension 2 + i of x alone: as the rows of planes. */
static Value *spread_dim(OnnxNode *n, Value *x, int i, const Spread *s) {
    if (!x)
        return NULL;
    Shape to = x->type.shape, planes = onnx_as_rows(&to, 2 + i);
    x = spread_planes(n, onnx_reshape(n, "planes", x, &planes), s, NULL);
    to.dim[2 + i] = s->out + s->reach - 1;
    return onnx_reshape(n, "spread", x, &to);
}

/* x [N, C, L], as images with a height of 1. */
static Value *spread_line(OnnxNode *n, Value *x, const Spread *s) {
    Shape image = onnx_with_height(&x->type.shape), line = x->type.shape;
    line.dim[2] = s->out + s->reach - 1;
    x = spread_planes(n, onnx_reshape(n, "image", x, &image), NULL, s);
    return onnx_reshape(n, "spread", x, &line);
}

static Value *spread(OnnxNode *n, Value *x, const Spread *axis) {
    int space = x->type.shape.rank - 2;
    if (space == 1)
        return spread_line(n, x, &axis[0]);
    if (space == 2)
        return spread_planes(n, x, &axis[0], &axis[1]);
    for (int i = 0; i < space; i++)
        x = spread_dim(n, x, i, &axis[i]);
    return x;
}

/* w [C, M/G, kernel...] as the weights [M, C/G, kernel...] of a convolution, taps backwards. */
static Value *turned_weights(OnnxNode *n, Value *w, int64_t group) {
    static const int64_t perm[MAX_RANK] = {0, 2, 1, 3, 4, 5, 6, 7};
    Shape joined = w->type.shape, split = {.rank = joined.rank + 1};
    if (split.rank > MAX_RANK) {
        onnx_unsupported(n, "its weights have too many dimensions");
        return NULL;
    }
    split.dim[0] = group;
    split.dim[1] = joined.dim[0] / group;
    for (int i = 1; i < joined.rank; i++)
        split.dim[i + 1] = joined.dim[i];
    joined.dim[0] = group * joined.dim[1];
    joined.dim[1] = split.dim[1];
    w = onnx_transpose(n, "weights", onnx_reshape(n, "weights", w, &split), perm);
    w = w ? onnx_reshape(n, "weights", w, &joined) : NULL;
    for (int i = 2; i < joined.rank; i++)
        w = onnx_slice_axis(n, "weights", w, i, joined.dim[i] - 1, joined.dim[i], -1);
    return w;
}

static bool check_weights(OnnxNode *n, int64_t group) {
    const Shape *x = onnx_shape(n, 0), *w = onnx_shape(n, 1);
    bool sound = w->rank == x->rank && w->dim[0] == x->dim[1];
    for (int i = 1; sound && i < w->rank; i++)
        sound = w->dim[i] >= 1 && w->dim[i] <= INT32_MAX;
    if (w->rank != x->rank)
        onnx_bad(n, "its weights have %d dimensions, and its input %d", w->rank, x->rank);
    else if (!sound)
        onnx_bad(n, "its weights don't fit its input of %lld channels", (long long)x->dim[1]);
    else if (group < 1 || x->dim[1] % group != 0 || group > INT32_MAX / w->dim[1])
        onnx_bad(n, "group is %lld, of %lld channels", (long long)group, (long long)x->dim[1]);
    return !n->failed;
}

/* ConvTranspose-1 to -22. */
void import_conv_transpose(OnnxNode *n) {
    int64_t group = attr_int(n, "group", 1);
    if (n->failed || !onnx_needs_float(n, 3) || !onnx_needs_space(n) || !check_weights(n, group))
        return;
    Value *x = onnx_input(n, 0), *w = onnx_input(n, 1);
    Window win;
    Spread axis[MAX_RANK];
    Asked asked = asked_of(n, x->type.shape.rank - 2);
    if (n->failed || !onnx_window(n, &x->type.shape, w->type.shape.dim + 2, &win))
        return;
    for (int i = 0; i < win.space; i++) {
        if (!spread_axis(n, i, &win.axis[i], &asked, &axis[i]))
            return;
        win.axis[i].stride = 1;
        win.axis[i].front = win.axis[i].back = 0;
    }
    w = turned_weights(n, w, group);
    onnx_set_output(n, 0,
                    onnx_conv_window(n, spread(n, x, axis), w, onnx_input(n, 2), &win, group));
}

/* ---- Col2Im ---------------------------------------------------------------------------------- */

/* The weights [channels, taps, block...] of a convolution each of whose channels sums its own taps,
 * which are backwards. */
static Value *each_tap(OnnxNode *n, int64_t channels, int64_t taps, const Window *w) {
    Shape s = {.rank = 2 + w->space, .dim = {channels, taps}};
    for (int i = 0; i < w->space; i++)
        s.dim[2 + i] = w->axis[i].kernel;
    Tensor *t = onnx_new_tensor(n, onnx_input(n, 0)->type.dtype, s);
    for (int64_t i = 0; t && i < channels * taps; i++)
        tensor_set_f64(t, i * taps + taps - 1 - i % taps, 1);
    return t ? onnx_constant(n, "each_tap", t) : NULL;
}

/* How the columns are spread along each axis, and the shape that they have as images of taps. */
static void read_columns(OnnxNode *n, const Ints *image, const Ints *block, Window *w, Spread *axis,
                         Shape *columns) {
    const Shape *x = onnx_shape(n, 0);
    Shape whole = {.rank = image->n + 2, .dim = {1, 1}};
    int64_t taps = 1, points = 1;
    memcpy(whole.dim + 2, image->v, (size_t)image->n * sizeof *image->v);
    if (!onnx_window(n, &whole, block->v, w))
        return;
    *columns = (Shape){.rank = whole.rank, .dim = {x->dim[0], x->dim[1]}};
    for (int i = 0; i < w->space && !n->failed; i++) {
        WindowAxis *a = &w->axis[i];
        axis[i] = (Spread){.in = onnx_window_places(a, image->v[i]),
                           .stride = a->stride,
                           .reach = onnx_window_reach(a),
                           .before = a->front,
                           .out = image->v[i]};
        columns->dim[2 + i] = axis[i].in;
        if (!checked_mul(taps, a->kernel, &taps) || !checked_mul(points, axis[i].in, &points))
            taps = 0;
        *a = (WindowAxis){.kernel = a->kernel, .stride = 1, .dilation = a->dilation};
    }
    if (!n->failed && (taps < 1 || points < 1 || x->dim[1] % taps != 0 || x->dim[2] != points))
        onnx_bad(n, "its input of %lldx%lld does not fit the image and the block",
                 (long long)x->dim[1], (long long)x->dim[2]);
}

/* Col2Im-18: blocks of an image, which may overlap, as the image of their sums. */
void import_col2im(OnnxNode *n) {
    Ints image, block;
    Window w;
    Spread axis[MAX_RANK];
    Shape columns;
    if (!onnx_needs_float(n, 1) || !onnx_ints_input(n, 1, "image_shape", &image) ||
        !onnx_ints_input(n, 2, "block_shape", &block))
        return;
    if (onnx_shape(n, 0)->rank != 3 || image.n != block.n || image.n < 1)
        onnx_bad(n, "its input must have 3 dimensions, and its image as many as its block");
    else if (image.n > MAX_RANK - 2)
        onnx_unsupported(n, "images of more than %d dimensions are not supported", MAX_RANK - 2);
    for (int i = 0; i < image.n && !n->failed; i++)
        if (image.v[i] < 1 || image.v[i] > INT32_MAX || block.v[i] < 1 || block.v[i] > INT32_MAX)
            onnx_bad(n, "its image or its block has a size of %lld or %lld", (long long)image.v[i],
                     (long long)block.v[i]);
    if (!n->failed)
        read_columns(n, &image, &block, &w, axis, &columns);
    if (n->failed)
        return;
    int64_t taps = 1;
    for (int i = 0; i < w.space; i++)
        taps *= w.axis[i].kernel;
    int64_t channels = columns.dim[1] / taps;
    Value *weights = each_tap(n, channels, taps, &w);
    Value *x = onnx_reshape(n, "columns", onnx_input(n, 0), &columns);
    if (weights && x)
        onnx_set_output(n, 0, onnx_conv_window(n, spread(n, x, axis), weights, NULL, &w, channels));
}
