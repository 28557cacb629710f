/* op_cast.c: Cast and CastLike. */
#include "frontend/import.h"

Value *onnx_cast(OnnxNode *n, const char *part, Value *x, DType to) {
    if (!x)
        return NULL;
    Node *c = onnx_add(n, OP_cast, part, &x, 1);
    cast_attrs(c)->to = to;
    return onnx_done(n, c);
}

static void cast(OnnxNode *n, const ElementType *to) {
    Value *x = onnx_from_small(n, onnx_input(n, 0));
    Value *y = to->small ? onnx_to_small(n, NULL, x, to->small) : onnx_cast(n, NULL, x, to->dtype);
    onnx_set_output(n, 0, y);
}

/* Cast-6 to -25. `saturate` and `round_mode` concern 8-bit floats alone. */
void import_cast(OnnxNode *n) {
    ElementType to;
    attr_ignore(n, "saturate");
    attr_ignore(n, "round_mode");
    if (onnx_element_type(n, "to", &to))
        cast(n, &to);
}

/* CastLike-15 to -25: the type is input 1's. */
void import_cast_like(OnnxNode *n) {
    Value *like = onnx_input(n, 1);
    ElementType to = {like->type.dtype, small_of(n->im, like)};
    attr_ignore(n, "saturate");
    attr_ignore(n, "round_mode");
    cast(n, &to);
}
