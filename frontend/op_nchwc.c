/* op_nchwc.c: the domain com.microsoft.nchwc, which ONNX Runtime's optimiser makes at its highest
 * level: tensors and weights in blocks of channels. They become plain again, without the channels
 * that only fill blocks, so that the file becomes the graph that the original one becomes. */
#include "frontend/import.h"

/* x with as many channels: without its last ones, or with zeros behind. */
static Value *with_channels(OnnxNode *n, const char *part, Value *x, int64_t count) {
    if (!x || n->failed)
        return NULL;
    int64_t have = x->type.shape.dim[1];
    if (count < have)
        return onnx_slice_axis(n, part, x, 1, 0, count, 1);
    if (count > have)
        return onnx_pad_axis(n, part, x, 1, 0, count - have, 0);
    return part ? x : onnx_unary(n, OP_identity, part, x);
}

/* ReorderInput-1: into blocks. */
void import_nchwc_reorder_input(OnnxNode *n) {
    Value *x = onnx_input(n, 0);
    bool is_last = attr_bool(n, "channels_last", false);
    if (!onnx_needs_float(n, 1) || !onnx_needs_2d(n))
        return;
    const NchwcChannels *c = nchwc_channels(n);
    if (is_last)
        x = onnx_channels_second(n, "channels", x);
    if (!c || !x)
        return;
    int64_t whole = round_up(x->type.shape.dim[1], nchwc_block(c) ? nchwc_block(c) : 1);
    onnx_set_output(n, 0, with_channels(n, NULL, x, nchwc_count(c, n->outputs[0], whole)));
}

/* ReorderOutput-1: out of them. */
void import_nchwc_reorder_output(OnnxNode *n) {
    Value *x = onnx_input(n, 0);
    int64_t channels = attr_int(n, "channels", 0);
    bool is_last = attr_bool(n, "channels_last", false);
    if (!onnx_needs_float(n, 1) || !onnx_needs_2d(n))
        return;
    if (channels < 1 || channels > x->type.shape.dim[1]) {
        onnx_bad(n, "its channels are %lld, and its input has %lld", (long long)channels,
                 (long long)x->type.shape.dim[1]);
        return;
    }
    x = with_channels(n, is_last ? "channels" : NULL, x, channels);
    onnx_set_output(n, 0, is_last ? onnx_channels_last(n, NULL, x) : x);
}

/* ---- convolutions ---------------------------------------------------------------------------- */

static Value *plain_weights(OnnxNode *n, const NchwcFilter *f, int64_t rows, int64_t columns) {
    Shape s = onnx_input(n, 1)->type.shape;
    s.dim[0] = rows;
    s.dim[1] = columns;
    Tensor *t = onnx_new_tensor(n, DT_f32, s);
    float *to = t ? tensor_mutable(t) : NULL;
    for (int64_t r = 0; t && r < rows; r++)
        for (int64_t i = 0; i < columns; i++)
            for (int64_t k = 0; k < f->taps; k++)
                *to++ = nchwc_weight(f, r, i, k);
    return t ? onnx_constant(n, "weights", t) : NULL;
}

static Value *first_of_bias(OnnxNode *n, int64_t rows) {
    Value *b = onnx_input(n, 2);
    return !b || b->type.shape.dim[0] == rows ? b : onnx_slice_axis(n, "bias", b, 0, 0, rows, 1);
}

/* False, with a complaint, where f isn't what the optimiser writes for x. */
static bool check_filter(OnnxNode *n, const NchwcFilter *f, const Value *x) {
    int64_t channels = x->type.shape.dim[1], group = f->is_depthwise ? 1 : f->group;
    if (!f->block)
        onnx_unsupported(n, "its weights lie in blocks of 8 or of 16 channels, and nothing in the "
                            "file tells of how many: save it with level \"extended\"");
    else if (!nchwc_fits(f))
        onnx_bad(n, "its weights [%lld, %lld, ...] are no whole blocks of %lld channels",
                 (long long)f->rows, (long long)f->columns, (long long)f->block);
    else if (f->group < 1 || f->rows % f->group)
        onnx_bad(n, "group is %lld", (long long)f->group);
    else if (f->is_depthwise ? channels > f->rows : channels / group > f->columns)
        onnx_bad(n, "its input has %lld channels, and its weights are for %lld",
                 (long long)channels, (long long)(f->is_depthwise ? f->rows : f->columns * group));
    return !n->failed;
}

/* Conv-1: activation(Conv(X, W, B) + Sum). */
void import_nchwc_conv(OnnxNode *n) {
    NchwcFilter f;
    Window win;
    Value *x = onnx_input(n, 0), *sum = onnx_input(n, 3);
    const NchwcChannels *c = onnx_needs_float(n, 3) && onnx_needs_2d(n) ? nchwc_channels(n) : NULL;
    if (!c)
        return;
    if (!nchwc_filter(c, n, &f)) {
        onnx_unsupported(n, "its weights must be constants of f32");
        return;
    }
    if (!check_filter(n, &f, x) || !onnx_window(n, &x->type.shape, onnx_shape(n, 1)->dim + 2, &win))
        return;
    int64_t rows = nchwc_count(c, n->outputs[0], f.rows);
    int64_t columns = f.is_depthwise || f.group > 1 ? f.columns : x->type.shape.dim[1];
    x = f.is_depthwise ? with_channels(n, "channels", x, rows) : x;
    Value *y = onnx_conv_window(n, x, plain_weights(n, &f, rows, columns), first_of_bias(n, rows),
                                &win, f.is_depthwise ? rows : f.group);
    onnx_sum_and_act(n, y, sum && y ? with_channels(n, "rest", sum, rows) : NULL);
}
