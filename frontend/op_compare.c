/* op_compare.c: comparisons, logic, choice, powers and remainders: operators of two elements, with
 * numpy's broadcasting. */
#include "frontend/import.h"

#include <math.h>

static void binary(OnnxNode *n, Op op, int first) {
    onnx_set_output(n, 0, onnx_binary(n, op, NULL, onnx_input(n, first), onnx_input(n, 1 - first)));
}

/* ---- comparisons, of one type --------------------------------------------------------------- */

void import_equal(OnnxNode *n) {
    binary(n, OP_equal, 0);
}

void import_less(OnnxNode *n) {
    binary(n, OP_less, 0);
}

void import_greater(OnnxNode *n) {
    binary(n, OP_less, 1);
}

void import_less_equal(OnnxNode *n) {
    binary(n, OP_less_equal, 0);
}

void import_greater_equal(OnnxNode *n) {
    binary(n, OP_less_equal, 1);
}

/* IsNaN-9: it is not itself. */
void import_is_nan(OnnxNode *n) {
    Value *x = onnx_input(n, 0);
    if (onnx_needs_float(n, 1))
        onnx_set_output(n, 0,
                        onnx_unary(n, OP_not, NULL, onnx_binary(n, OP_equal, "number", x, x)));
}

/* IsInf-10: of one sign or both. */
void import_is_inf(OnnxNode *n) {
    bool minus = attr_bool(n, "detect_negative", true),
         plus = attr_bool(n, "detect_positive", true);
    Value *x = onnx_input(n, 0);
    if (!onnx_needs_float(n, 1))
        return;
    if (minus && plus)
        x = onnx_unary(n, OP_abs, "abs", x);
    double limit = !minus && !plus ? (double)NAN : minus && !plus ? -INFINITY : INFINITY;
    onnx_set_output(n, 0, onnx_by_scalar(n, OP_equal, NULL, x, limit));
}

/* ---- logic ---------------------------------------------------------------------------------- */

static void logic(OnnxNode *n, Op op) {
    for (int i = 0; i < n->ninputs; i++)
        if (onnx_input(n, i)->type.dtype != DT_bool)
            onnx_bad(n, "input %d must be bool, it is %s", i,
                     dtype_name(onnx_input(n, i)->type.dtype));
    if (!n->failed)
        binary(n, op, 0);
}

void import_and(OnnxNode *n) {
    logic(n, OP_and);
}

void import_or(OnnxNode *n) {
    logic(n, OP_or);
}

void import_xor(OnnxNode *n) {
    logic(n, OP_xor);
}

void import_not(OnnxNode *n) {
    onnx_set_output(n, 0, onnx_unary(n, OP_not, NULL, onnx_input(n, 0)));
}

/* Bitwise...-18: of integers. */
static void bitwise(OnnxNode *n, Op op) {
    if (onnx_input(n, 0)->type.dtype == DT_bool)
        onnx_bad(n, "its inputs must be integers, they are bool");
    else
        binary(n, op, 0);
}

void import_bitwise_and(OnnxNode *n) {
    bitwise(n, OP_and);
}

void import_bitwise_or(OnnxNode *n) {
    bitwise(n, OP_or);
}

void import_bitwise_xor(OnnxNode *n) {
    bitwise(n, OP_xor);
}

/* Where-9, -16. */
void import_where(OnnxNode *n) {
    onnx_set_output(n, 0,
                    onnx_where(n, NULL, onnx_input(n, 0), onnx_input(n, 1), onnx_input(n, 2)));
}

/* ---- powers and remainders ------------------------------------------------------------------ */

/* The exponent where it is one constant of a float type, else NaN. */
static double constant_exponent(OnnxNode *n) {
    const Value *e = onnx_input(n, 1);
    if (!e->constant || !e->constant->data || shape_elems(&e->type.shape) != 1 ||
        e->type.shape.rank > onnx_shape(n, 0)->rank)
        return (double)NAN;
    return tensor_f64(e->constant, 0);
}

/* Integers to the power of floats are powers of doubles, which are then truncated. */
static Value *power(OnnxNode *n, Value *x, Value *e) {
    DType base = x->type.dtype, exponent = e->type.dtype;
    bool mixed = !dtype_is_float(base) && dtype_is_float(exponent);
    if (mixed)
        x = onnx_cast(n, "base", x, DT_f64);
    if (x && exponent != x->type.dtype)
        e = onnx_cast(n, "exponent", e, x->type.dtype);
    Value *y = onnx_binary(n, OP_pow, mixed ? "power" : NULL, x, e);
    return mixed ? onnx_cast(n, NULL, y, base) : y;
}

/* Pow-7 to -15: the result has the first input's type. A square is a product. */
void import_pow(OnnxNode *n) {
    Value *x = onnx_input(n, 0);
    double e = dtype_is_float(x->type.dtype) ? constant_exponent(n) : (double)NAN;
    if (e == 2)
        onnx_set_output(n, 0, onnx_binary(n, OP_mul, NULL, x, x));
    else if (e == 1)
        onnx_set_output(n, 0, onnx_unary(n, OP_identity, NULL, x));
    else
        onnx_set_output(n, 0, power(n, x, onnx_input(n, 1)));
}

/* Mod-10, -13: the sign is the divisor's, or with fmod the dividend's. */
void import_mod(OnnxNode *n) {
    binary(n, attr_bool(n, "fmod", false) ? OP_fmod : OP_mod, 0);
}
