/* op_deform.c: DeformConv, a convolution each of whose taps looks at a place of its own: all places
 * are sampled, and the rest is a product of matrices. */
#include "frontend/import.h"

typedef struct Deform {
    Window w;
    int64_t group, offset_group;
    int64_t taps, points; /* of the kernel, of the result */
    int64_t out[MAX_RANK];
} Deform;

/* Where a tap looks for a point, along one axis, without its offset: [1, taps * points, 1]. */
static Value *places(OnnxNode *n, const Deform *d, int axis, DType dt) {
    const WindowAxis *a = &d->w.axis[axis];
    int64_t taps_behind = 1, points_behind = 1;
    for (int i = axis + 1; i < d->w.space; i++) {
        taps_behind *= d->w.axis[i].kernel;
        points_behind *= d->out[i];
    }
    Tensor *t = onnx_new_tensor(n, dt, SHAPE(1, d->taps * d->points, 1));
    for (int64_t i = 0; t && i < d->taps * d->points; i++) {
        int64_t tap = i / d->points / taps_behind % a->kernel;
        int64_t point = i % d->points / points_behind % d->out[axis];
        tensor_set_f64(t, i, (double)(point * a->stride + tap * a->dilation - a->front));
    }
    return t ? onnx_constant(n, "places", t) : NULL;
}

/* The numbers of input i, `each` of them for a tap, as [images and groups, taps * points, 1]; one
 * of the `each`. */
static Value *by_place(OnnxNode *n, const Deform *d, int i, int64_t each, int64_t one) {
    int64_t images = onnx_shape(n, 0)->dim[0] * d->offset_group;
    Value *v = onnx_reshape(n, "by_tap", onnx_input(n, i),
                            &(Shape){4, {images, d->taps, each, d->points}});
    v = onnx_slice_axis(n, "one", v, 2, one, 1, 1);
    return onnx_reshape(n, "by_place", v, &(Shape){3, {images, d->taps * d->points, 1}});
}

/* All taps of all points: [images, group, channels of it * taps, points]. */
static Value *columns(OnnxNode *n, const Deform *d) {
    Value *x = onnx_input(n, 0), *at[MAX_RANK];
    Shape s = x->type.shape;
    int64_t images = s.dim[0], channels = s.dim[1];
    s.dim[0] *= d->offset_group;
    s.dim[1] /= d->offset_group;
    for (int i = 0; i < d->w.space; i++)
        at[i] = onnx_binary(n, OP_add, "at", places(n, d, i, x->type.dtype),
                            by_place(n, d, 2, d->w.space, i));
    x = onnx_reshape(n, "images", x, &s);
    Value *y = n->failed ? NULL : onnx_sample(n, x, at);
    if (onnx_input(n, 4))
        y = onnx_binary(n, OP_mul, "masked", y, by_place(n, d, 4, 1, 0));
    y = onnx_reshape(n, "taps", y,
                     &(Shape){5, {images, d->offset_group, d->taps, d->points, s.dim[1]}});
    y = onnx_transpose(n, "channels", y, (const int64_t[]){0, 1, 4, 2, 3});
    return onnx_reshape(n, "columns", y,
                        &(Shape){4, {images, d->group, channels / d->group * d->taps, d->points}});
}

/* The inputs fit each other. */
static void check(OnnxNode *n, const Deform *d) {
    const Shape *x = onnx_shape(n, 0), *w = onnx_shape(n, 1);
    if (x->dim[1] < 1 || d->group < 1 || d->offset_group < 1 || x->dim[1] % d->group ||
        x->dim[1] % d->offset_group || w->dim[0] % d->group || w->dim[1] != x->dim[1] / d->group) {
        onnx_bad(n, "%lld groups and %lld of offsets do not fit its %lld channels and its weights",
                 (long long)d->group, (long long)d->offset_group, (long long)x->dim[1]);
        return;
    }
    Shape offset = *x;
    for (int i = 0; i < d->w.space; i++)
        offset.dim[2 + i] = d->out[i];
    Shape mask = offset, bias = SHAPE(w->dim[0]);
    mask.dim[1] = d->offset_group * d->taps;
    offset.dim[1] = mask.dim[1] * d->w.space;
    if (!onnx_has_shape(n, 2, &offset) || !onnx_has_shape(n, 4, &mask) ||
        !onnx_has_shape(n, 3, &bias))
        onnx_bad(n, "its offsets, mask or bias do not fit its result");
}

/* Its window; false after a complaint. */
static bool read(OnnxNode *n, Deform *d) {
    const Shape *x = onnx_shape(n, 0), *w = onnx_shape(n, 1);
    *d = (Deform){.group = attr_int(n, "group", 1),
                  .offset_group = attr_int(n, "offset_group", 1),
                  .taps = 1,
                  .points = 1};
    if (w->rank != x->rank)
        onnx_bad(n, "its weights have %d dimensions, and its input %d", w->rank, x->rank);
    if (n->failed || !onnx_window(n, x, w->dim + 2, &d->w))
        return false;
    for (int i = 0; i < d->w.space && !n->failed; i++) {
        const WindowAxis *a = &d->w.axis[i];
        d->out[i] = onnx_window_places(a, x->dim[2 + i]);
        if (x->dim[2 + i] < 1 || d->out[i] < 1)
            onnx_bad(n, "its kernel is larger than the padded input");
        else if (!checked_mul(d->taps, a->kernel, &d->taps) ||
                 !checked_mul(d->points, d->out[i], &d->points))
            onnx_bad(n, "it is too large");
    }
    if (!n->failed)
        check(n, d);
    return !n->failed;
}

/* DeformConv-19, -22: x, weights, offsets, and a bias and a mask that may be left out. */
void import_deform_conv(OnnxNode *n) {
    Deform d;
    if (!onnx_needs_float(n, 5) || !onnx_needs_space(n))
        return;
    if (onnx_shape(n, 0)->rank > 5)
        onnx_unsupported(n, "images of more than three dimensions are not supported");
    if (n->failed || !read(n, &d))
        return;
    Shape to = *onnx_shape(n, 0), each = {.rank = to.rank};
    const Shape *w = onnx_shape(n, 1);
    Shape matrices = SHAPE(1, d.group, w->dim[0] / d.group, w->dim[1] * d.taps);
    Value *x = columns(n, &d), *m = onnx_reshape(n, "matrices", onnx_input(n, 1), &matrices);
    if (n->failed)
        return;
    to.dim[1] = w->dim[0];
    for (int i = 0; i < to.rank; i++) {
        to.dim[i] = i < 2 ? to.dim[i] : d.out[i - 2];
        each.dim[i] = i == 1 ? w->dim[0] : 1;
    }
    Value *b = onnx_input(n, 3);
    Value *y = onnx_reshape(n, b ? "sum" : NULL, onnx_matmul(n, "product", m, x), &to);
    onnx_set_output(n, 0,
                    b ? onnx_binary(n, OP_add, NULL, y, onnx_reshape(n, "bias", b, &each)) : y);
}
