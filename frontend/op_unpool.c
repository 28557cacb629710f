/* op_unpool.c: MaxUnpool and CenterCropPad, which put a tensor into a larger one. */
#include "frontend/import.h"

/* ---- MaxUnpool ------------------------------------------------------------------------------- */

/* What MaxPool had as its input, by the window. */
static Shape unpooled(OnnxNode *n, const Shape *s) {
    int space = s->rank - 2;
    int64_t kernel[MAX_RANK], stride[MAX_RANK], pads[2 * MAX_RANK];
    Shape to = *s;
    onnx_window_sizes(n, "kernel_shape", space, 1, 0, kernel);
    onnx_window_sizes(n, "strides", space, 1, 1, stride);
    onnx_window_sizes(n, "pads", 2 * space, 0, 0, pads);
    for (int i = 0; i < space && !n->failed; i++) {
        int64_t *d = &to.dim[i + 2];
        if (!checked_mul(*d - 1, stride[i], d) ||
            !checked_add(*d, kernel[i] - pads[i] - pads[space + i], d) || *d < 0)
            onnx_bad(n, "its window fits no image");
    }
    if (!n->failed && !shape_valid(&to, onnx_input(n, 0)->type.dtype))
        onnx_bad(n, "the result is too large");
    return to;
}

/* x with zeros behind, up to the shape of input 2. */
static Value *enlarge(OnnxNode *n, Value *x) {
    Ints list;
    if (!onnx_input(n, 2) || !x || !onnx_ints_input(n, 2, "output_shape", &list))
        return x;
    if (list.n != x->type.shape.rank)
        onnx_bad(n, "its output_shape has %d numbers for %d dimensions", list.n,
                 x->type.shape.rank);
    for (int i = 0; i < list.n && !n->failed; i++) {
        int64_t more = list.v[i] - x->type.shape.dim[i];
        if (more < 0 || more > INT32_MAX)
            onnx_bad(n, "its output_shape has %lld, and needs %lld or more", (long long)list.v[i],
                     (long long)x->type.shape.dim[i]);
        else if (more > 0)
            x = onnx_pad_axis(n, "larger", x, i, 0, more, 0);
        if (!x)
            return NULL;
    }
    return x;
}

/* MaxUnpool-9 to -22: elements go where their index says, counted in the whole tensor. */
void import_max_unpool(OnnxNode *n) {
    Value *x = onnx_input(n, 0), *index = onnx_input(n, 1);
    const Shape *s = &x->type.shape;
    if (s->rank < 3 || !shape_equal(s, &index->type.shape) || index->type.dtype != DT_i64)
        onnx_bad(n,
                 "its input must have 3 dimensions or more, and an int64 index for each element");
    if (n->failed || !onnx_needs_float(n, 1))
        return;
    Shape to = unpooled(n, s);
    if (n->failed)
        return;
    Shape flat = SHAPE(shape_elems(&to)), list = SHAPE(shape_elems(s));
    Value *zeros = onnx_expand(n, "zeros", onnx_scalar(n, "zero", x->type.dtype, 0), &flat);
    Value *operands[] = {zeros, onnx_reshape(n, "index", index, &list),
                         onnx_reshape(n, "elements", x, &list)};
    if (n->failed)
        return;
    Node *put = onnx_add(n, OP_scatter_elements, "put", operands, 3);
    Value *y = enlarge(n, onnx_reshape(n, "unpooled", onnx_done(n, put), &to));
    onnx_set_output(n, 0, onnx_unary(n, OP_identity, NULL, n->failed ? NULL : y));
}

/* ---- CenterCropPad --------------------------------------------------------------------------- */

/* One dimension cut to its middle, or with zeros around; an odd one is behind. */
static Value *centred(OnnxNode *n, Value *x, int axis, int64_t size) {
    int64_t have = x->type.shape.dim[axis], more = size - have;
    if (size < 0 || more > INT32_MAX) {
        onnx_bad(n, "its shape has %lld", (long long)size);
        return NULL;
    }
    if (more <= 0)
        return more ? onnx_slice_axis(n, "cropped", x, axis, -more / 2, size, 1) : x;
    return onnx_pad_axis(n, "padded", x, axis, more / 2, more - more / 2, 0);
}

/* CenterCropPad-18. */
void import_center_crop_pad(OnnxNode *n) {
    Value *x = onnx_input(n, 0);
    int rank = x->type.shape.rank;
    bool seen[MAX_RANK];
    Ints sizes, axes;
    if (!onnx_ints_input(n, 1, "shape", &sizes))
        return;
    bool given = attr_ints(n, "axes", &axes);
    if (sizes.n != (given ? axes.n : rank))
        onnx_bad(n, "its shape has %d numbers for %d axes", sizes.n, given ? axes.n : rank);
    if (given && !n->failed)
        onnx_axes(n, &axes, rank, seen);
    for (int i = 0; i < sizes.n && x && !n->failed; i++)
        x = centred(n, x, given ? onnx_axis(n, axes.v[i], rank) : i, sizes.v[i]);
    onnx_set_output(n, 0, onnx_unary(n, OP_identity, NULL, n->failed ? NULL : x));
}
