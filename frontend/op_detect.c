/* op_detect.c: operators whose result has as many elements as the data make: NonMaxSuppression,
 * NonZero, Compress. */
#include "frontend/import.h"

/* Output 0 is x's first result, of which the second one, its count, says how much is there. */
static void set_counted(OnnxNode *n, Node *x, int axis) {
    Value *count = node_add_result(n->im->g, x, 1, graph_unique_name(n->im->g, "count"), (Type){0});
    Value *y = onnx_done(n, x);
    onnx_set_output(n, 0, y);
    if (y)
        onnx_set_count(n, y, axis, count);
}

/* How many boxes of a class are kept at most: a constant, which makes the result small, or all. */
static int64_t read_limit(OnnxNode *n, bool *is_known) {
    int64_t boxes = onnx_shape(n, 0)->rank == 3 ? onnx_shape(n, 0)->dim[1] : 0;
    Value *v = onnx_input(n, 2);
    *is_known = true;
    if (!v)
        return 0;
    const Tensor *t = graph_fold_value(n->im->g, v, FOLD_LIMIT);
    *is_known = t && shape_elems(&t->shape) == 1;
    int64_t limit = *is_known ? tensor_i64(t, 0) : boxes;
    return limit < 0 ? 0 : limit < boxes ? limit : boxes;
}

/* x with the rows alone whose box is one of the first `count`. The others have the lowest score,
 * and so are behind these in their class: no box lost its place to one, or overlaps it. */
static void set_real_boxes(OnnxNode *n, Node *x, Value *count) {
    Value *kept = node_add_result(n->im->g, x, 1, graph_unique_name(n->im->g, "count"), (Type){0});
    Value *rows = onnx_done(n, x);
    if (!rows)
        return;
    int64_t most = rows->type.shape.dim[0];
    Value *box = onnx_slice_axis(n, "box", rows, 1, 2, 1, 1);
    box = box ? onnx_reshape(n, "boxes", box, &(Shape){1, {most}}) : NULL;
    Value *is_box = onnx_binary(n, OP_less, "is_box", box, count);
    Value *i = onnx_iota(n, "i", DT_i64, most, 1, 0);
    Value *is_row = onnx_binary(n, OP_less, "is_row", i, kept);
    Value *both = onnx_binary(n, OP_and, "is_there", is_box, is_row);
    if (!both)
        return;
    Node *c = onnx_add(n, OP_compress, NULL, (Value *[]){rows, both}, 2);
    axis_attrs(c)->axis = 0;
    set_counted(n, c, 0);
}

/* NonMaxSuppression-10, -11. */
void import_non_max_suppression(OnnxNode *n) {
    bool is_known;
    int64_t center = attr_int(n, "center_point_box", 0), limit = read_limit(n, &is_known);
    if (center != 0 && center != 1)
        onnx_bad(n, "center_point_box must be 0 or 1");
    if (n->failed)
        return;
    Value *boxes = onnx_input(n, 0), *scores = onnx_input(n, 1);
    Value *count = onnx_counted_axis(n, 0) == 1 && onnx_counted_axis(n, 1) == 2 &&
                           onnx_count_of(n, boxes) == onnx_count_of(n, scores)
                       ? onnx_count_of(n, boxes)
                       : NULL;
    if (count) {
        boxes = onnx_uncounted(n, boxes);
        scores = onnx_filled(n, scores, onnx_extreme(n, DT_f32, false));
    }
    Value *operands[] = {boxes, scores, is_known ? NULL : onnx_input(n, 2), onnx_input(n, 3),
                         onnx_input(n, 4)};
    if (n->failed)
        return;
    Node *x = onnx_add(n, OP_non_max_suppression, count ? "all" : NULL, operands, 5);
    *nms_attrs(x) = (NmsAttrs){limit, center == 1};
    if (count)
        set_real_boxes(n, x, count);
    else
        set_counted(n, x, 0);
}

/* NonZero-9, -13: what isn't there is 0. */
void import_non_zero(OnnxNode *n) {
    Value *x = onnx_input(n, 0);
    x = onnx_filled(n, x, tensor_new(&n->im->g->arena, x->type.dtype, (Shape){0}));
    if (x)
        set_counted(n, onnx_add(n, OP_non_zero, NULL, &x, 1), 1);
}

/* Compress-9, -11; without an axis of all elements in their order. */
void import_compress(OnnxNode *n) {
    Value *x = onnx_input(n, 0), *condition = onnx_input(n, 1);
    int axis = 0;
    if (attr_present(n, "axis")) {
        axis = onnx_axis(n, attr_int(n, "axis", 0), x->type.shape.rank);
    } else {
        const Shape flat = SHAPE(shape_elems(&x->type.shape));
        x = onnx_reshape(n, "flat", x, &flat);
    }
    if (n->failed)
        return;
    Node *c = onnx_add(n, OP_compress, NULL, (Value *[]){x, condition}, 2);
    axis_attrs(c)->axis = axis;
    set_counted(n, c, axis);
}
