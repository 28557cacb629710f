/* op_cast.c: Cast, CastLike, BitCast. */
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

static int bits_of(const ElementType *e) {
    return e->small ? e->small->bits : 8 * dtype_bytes(e->dtype);
}

/* One element a byte or more, as a number or a code: not a float of the graph IR. */
static bool is_integer_in_memory(const ElementType *e) {
    return !dtype_is_float(e->dtype) && (!e->small || e->small->bits == 8);
}

/* BitCast-26: the same bits as another type. Integers wrap, and codes are integers; floats are read
 * anew where they are known. */
void import_bit_cast(OnnxNode *n) {
    Value *x = onnx_input(n, 0), *y = NULL;
    ElementType from = {x->type.dtype, small_of(n->im, x)}, to;
    if (!onnx_element_type(n, "to", &to))
        return;
    const Tensor *t = from.small || to.small ? NULL : x->constant;
    if (bits_of(&from) != bits_of(&to))
        onnx_bad(n, "its types have %d and %d bits", bits_of(&from), bits_of(&to));
    else if (t && t->data && to.dtype != DT_bool)
        y = onnx_constant(n, NULL, tensor_wrap(&n->im->g->arena, to.dtype, t->shape, t->data));
    else if (is_integer_in_memory(&from) && is_integer_in_memory(&to))
        y = onnx_cast(n, NULL, x, to.dtype);
    else
        onnx_unsupported(n, "the bits of floats are read where they are constant alone");
    small_mark(n->im, y, to.small);
    onnx_set_output(n, 0, y);
}
