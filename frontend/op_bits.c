/* op_bits.c: operators on the bits of integers: BitShift, BitwiseNot. */
#include "frontend/import.h"

#include <string.h>

static Value *bits(OnnxNode *n, const char *part, DType dt, uint64_t x) {
    Tensor *t = tensor_new(&n->im->g->arena, dt, (Shape){0});
    tensor_set_bits(t, 0, x);
    return onnx_constant(n, part, t);
}

static bool is_integer(OnnxNode *n) {
    DType dt = onnx_input(n, 0)->type.dtype;
    if (dtype_is_float(dt) || dt == DT_bool)
        onnx_bad(n, "its inputs must be integers, they are %s", dtype_name(dt));
    return !n->failed;
}

/* BitwiseNot-18. */
void import_bitwise_not(OnnxNode *n) {
    Value *x = onnx_input(n, 0);
    if (is_integer(n))
        onnx_set_output(
            n, 0, onnx_binary(n, OP_xor, NULL, x, bits(n, "ones", x->type.dtype, UINT64_MAX)));
}

/* x shifted by 1, 2, 4, ... where y has that bit, as products and quotients; x is not negative
 * where it is divided. */
static Value *shifted(OnnxNode *n, Value *x, Value *y, bool left) {
    DType dt = y->type.dtype;
    int width = 8 * dtype_bytes(dt);
    Value *none = bits(n, "none", dt, 0);
    for (int by = 1; by < width; by *= 2) {
        Value *bit = onnx_binary(n, OP_and, "bit", y, bits(n, "mask", dt, (uint64_t)by));
        Value *moved = onnx_binary(n, left ? OP_mul : OP_div, "moved", x,
                                   bits(n, "power", dt, (uint64_t)1 << by));
        x = onnx_where(n, "shifted", onnx_binary(n, OP_equal, "stays", bit, none), x, moved);
    }
    Value *inside = onnx_binary(n, OP_less, "inside", y, bits(n, "width", dt, (uint64_t)width));
    if (dtype_is_signed_int(dt))
        inside = onnx_binary(n, OP_and, "inside", inside,
                             onnx_binary(n, OP_less_equal, "positive", none, y));
    return onnx_where(n, "result", inside, x, none);
}

/* BitShift-11 of unsigned integers, and -28 of signed ones, to the right by arithmetic: as what
 * the sign's bits make of x is shifted, and they are turned back. Shifts by all bits and more, and
 * by negative numbers, leave those alone. */
void import_bit_shift(OnnxNode *n) {
    const char *direction = attr_string(n, "direction", "");
    bool left = strcmp(direction, "LEFT") == 0;
    if (!left && strcmp(direction, "RIGHT") != 0)
        onnx_bad(n, "its direction is %s, and must be LEFT or RIGHT", quoted(n->im, direction));
    if (n->failed || !is_integer(n) || !onnx_same_dtype(n, 2))
        return;
    Value *x = onnx_input(n, 0), *y = onnx_input(n, 1), *sign = NULL;
    DType dt = x->type.dtype;
    if (!left && dtype_is_signed_int(dt)) {
        Value *none = bits(n, "none", dt, 0), *ones = bits(n, "ones", dt, UINT64_MAX);
        sign = onnx_where(n, "sign", onnx_binary(n, OP_less, "negative", x, none), ones, none);
        x = onnx_binary(n, OP_xor, "turned", x, sign);
    }
    Value *z = x ? shifted(n, x, y, left) : NULL;
    onnx_set_output(
        n, 0, sign ? onnx_binary(n, OP_xor, NULL, z, sign) : onnx_unary(n, OP_identity, NULL, z));
}
