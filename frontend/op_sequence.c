/* op_sequence.c: operators along the order of one axis: CumSum, CumProd, ReverseSequence. */
#include "frontend/import.h"

/* ---- CumSum, CumProd ------------------------------------------------------------------------- */

/* x moved by `by` elements along the axis, and `fill` where it was; towards the front where `back`
 * is set. */
static Value *moved(OnnxNode *n, Value *x, int axis, int64_t by, bool back, double fill) {
    if (!x)
        return NULL;
    int64_t size = x->type.shape.dim[axis];
    x = onnx_slice_axis(n, "cut", x, axis, back ? by : 0, size - by, 1);
    return onnx_pad_axis(n, "moved", x, axis, back ? 0 : by, back ? by : 0, fill);
}

/* op, with its neutral element, over all elements up to each: over 2, 4, 8, ... elements from two
 * times half as many. */
static void scan(OnnxNode *n, Op op, double neutral) {
    bool exclusive = attr_bool(n, "exclusive", false), back = attr_bool(n, "reverse", false);
    Ints axes;
    if (!onnx_ints_input(n, 1, "axis", &axes))
        return;
    Value *x = onnx_input(n, 0);
    if (axes.n != 1)
        onnx_bad(n, "its axis must be one number");
    int axis = n->failed ? 0 : onnx_axis(n, axes.v[0], x->type.shape.rank);
    if (n->failed)
        return;
    int64_t size = x->type.shape.dim[axis];
    if (exclusive && size > 0)
        x = moved(n, x, axis, 1, back, neutral);
    for (int64_t half = 1; half < size; half *= 2)
        x = onnx_binary(n, op, "scan", x, moved(n, x, axis, half, back, neutral));
    onnx_set_output(n, 0, onnx_unary(n, OP_identity, NULL, x));
}

/* CumSum-11, -14. */
void import_cum_sum(OnnxNode *n) {
    scan(n, OP_add, 0);
}

/* CumProd-26. */
void import_cum_prod(OnnxNode *n) {
    scan(n, OP_mul, 1);
}

/* ---- ReverseSequence ------------------------------------------------------------------------- */

/* For element [time, batch] of the result, the row of x that it is, as one list. */
static Tensor *known_rows(OnnxNode *n, const Tensor *lengths, int64_t times, int64_t batch) {
    Tensor *t = onnx_new_tensor(n, DT_i64, SHAPE(times * batch));
    for (int64_t b = 0; b < batch && t; b++) {
        int64_t length = tensor_i64(lengths, b);
        if (length < 0 || length > times) {
            onnx_bad(n, "a sequence has %lld elements of %lld", (long long)length,
                     (long long)times);
            return NULL;
        }
        for (int64_t i = 0; i < times; i++)
            tensor_set_i64(t, i * batch + b, (i < length ? length - 1 - i : i) * batch + b);
    }
    return t;
}

/* The same of lengths that depend on data: beyond what there is they end there. */
static Value *rows_by_data(OnnxNode *n, int64_t times, int64_t batch) {
    Value *lengths = onnx_clip(n, "lengths", onnx_input(n, 1), 0, (double)times);
    Value *time = onnx_iota(n, "time", DT_i64, times, 2, 0);
    Value *behind = onnx_by_scalar(n, OP_add, "behind", time, 1);
    Value *row = onnx_where(n, "row", onnx_binary(n, OP_less, "inside", time, lengths),
                            onnx_binary(n, OP_sub, "back", lengths, behind), time);
    row = onnx_binary(n, OP_add, "index", onnx_by_scalar(n, OP_mul, "rows", row, (double)batch),
                      onnx_iota(n, "b", DT_i64, batch, 2, 1));
    const Shape list = SHAPE(times * batch);
    return row ? onnx_reshape(n, "index", row, &list) : NULL;
}

static Value *reversed_rows(OnnxNode *n, int64_t times, int64_t batch) {
    if (!onnx_is_known(n, 1))
        return rows_by_data(n, times, batch);
    const Tensor *lengths = onnx_const_input(n, 1, "sequence_lens", FOLD_LIMIT);
    Tensor *t = lengths ? known_rows(n, lengths, times, batch) : NULL;
    return t ? onnx_constant(n, "index", t) : NULL;
}

/* ReverseSequence-10: the first elements of each sequence in reverse, the others as they are. */
void import_reverse_sequence(OnnxNode *n) {
    int64_t batch_axis = attr_int(n, "batch_axis", 1), time_axis = attr_int(n, "time_axis", 0);
    Value *x = onnx_input(n, 0);
    Shape s = x->type.shape;
    if ((batch_axis != 0 && batch_axis != 1) || time_axis != 1 - batch_axis || s.rank < 2)
        onnx_bad(n, "its batch and time axes must be 0 and 1, they are %lld and %lld",
                 (long long)batch_axis, (long long)time_axis);
    const Type *lengths = &onnx_input(n, 1)->type;
    if (!n->failed && (lengths->dtype != DT_i64 || lengths->shape.rank != 1 ||
                       lengths->shape.dim[0] != s.dim[batch_axis]))
        onnx_bad(n, "its sequence_lens must be one int64 for each sequence");
    if (n->failed)
        return;
    int64_t swap[MAX_RANK] = {1, 0};
    for (int i = 2; i < s.rank; i++)
        swap[i] = i;
    if (time_axis == 1)
        x = onnx_transpose(n, "by_time", x, swap);
    Shape by_time = x->type.shape, rows = onnx_flat(&by_time, 2);
    Value *index = reversed_rows(n, by_time.dim[0], by_time.dim[1]);
    Value *y = onnx_binary(n, OP_gather, "reversed", onnx_reshape(n, "rows", x, &rows), index);
    y = onnx_reshape(n, time_axis ? "by_time" : NULL, y, &by_time);
    onnx_set_output(n, 0, time_axis ? onnx_transpose(n, NULL, y, swap) : y);
}
