/* op_norm.c: BatchNormalization and Softmax. */
#include "frontend/import.h"

/* The inference form: (x - mean) / sqrt(var + epsilon) * scale + b, per channel. */
static void batch_norm(OnnxNode *n) {
    double epsilon = attr_float(n, "epsilon", (double)1e-5f);
    attr_ignore(n, "momentum");
    if (n->failed || !onnx_needs_float(n, 5))
        return;
    Value *operands[5];
    for (int i = 0; i < 5; i++)
        operands[i] = onnx_input(n, i);
    Node *b = onnx_add(n, OP_batch_norm, NULL, operands, 5);
    batch_norm_attrs(b)->epsilon = epsilon;
    onnx_set_output(n, 0, onnx_done(n, b));
}

/* BatchNormalization-7 (with `spatial`) and -9: more than one output means training. */
void import_batch_norm_7(OnnxNode *n) {
    if (attr_int(n, "spatial", 1) != 1)
        onnx_unsupported(n, "statistics for each position (spatial = 0) are not supported");
    for (int i = 1; i < n->noutputs; i++)
        if (n->outputs[i])
            onnx_unsupported(n, "it is in training mode (it has more than one output)");
    batch_norm(n);
}

/* BatchNormalization-14 and -15. */
void import_batch_norm_14(OnnxNode *n) {
    if (attr_bool(n, "training_mode", false))
        onnx_unsupported(n, "it is in training mode");
    batch_norm(n);
}

static Value *softmax(OnnxNode *n, const char *part, Value *x, int axis) {
    if (!x)
        return NULL;
    Node *s = onnx_add(n, OP_softmax, part, &x, 1);
    axis_attrs(s)->axis = axis;
    return onnx_done(n, s);
}

/* Softmax-1 and -11: over all dimensions from `axis` on, taken as one. */
void import_softmax_1(OnnxNode *n) {
    const Shape *s = onnx_shape(n, 0);
    int axis = onnx_axis(n, attr_int(n, "axis", 1), s->rank);
    if (n->failed || !onnx_needs_float(n, 1))
        return;
    if (axis == s->rank - 1) {
        onnx_set_output(n, 0, softmax(n, NULL, onnx_input(n, 0), axis));
        return;
    }
    Shape whole = *s, flat = onnx_flat(s, axis);
    Value *x = onnx_reshape(n, "flat", onnx_input(n, 0), &flat);
    onnx_set_output(n, 0, onnx_reshape(n, NULL, softmax(n, "softmax", x, 1), &whole));
}

/* Softmax-13: over one dimension. */
void import_softmax_13(OnnxNode *n) {
    int axis = onnx_axis(n, attr_int(n, "axis", -1), onnx_shape(n, 0)->rank);
    if (!n->failed && onnx_needs_float(n, 1))
        onnx_set_output(n, 0, softmax(n, NULL, onnx_input(n, 0), axis));
}
