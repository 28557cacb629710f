/* op_function.c: mathematical functions of one element. */
#include "frontend/import.h"

void import_log(OnnxNode *n) {
    onnx_float_unary(n, OP_log);
}

void import_erf(OnnxNode *n) {
    onnx_float_unary(n, OP_act_erf);
}

void import_sin(OnnxNode *n) {
    onnx_float_unary(n, OP_sin);
}

void import_cos(OnnxNode *n) {
    onnx_float_unary(n, OP_cos);
}

void import_tan(OnnxNode *n) {
    onnx_float_unary(n, OP_tan);
}

void import_asin(OnnxNode *n) {
    onnx_float_unary(n, OP_asin);
}

void import_acos(OnnxNode *n) {
    onnx_float_unary(n, OP_acos);
}

void import_atan(OnnxNode *n) {
    onnx_float_unary(n, OP_atan);
}

void import_sinh(OnnxNode *n) {
    onnx_float_unary(n, OP_sinh);
}

void import_cosh(OnnxNode *n) {
    onnx_float_unary(n, OP_cosh);
}

void import_asinh(OnnxNode *n) {
    onnx_float_unary(n, OP_asinh);
}

void import_acosh(OnnxNode *n) {
    onnx_float_unary(n, OP_acosh);
}

void import_atanh(OnnxNode *n) {
    onnx_float_unary(n, OP_atanh);
}

void import_round(OnnxNode *n) {
    onnx_float_unary(n, OP_round);
}

/* Abs-6, -13 and Sign-9, -13: integers too. */
void import_abs(OnnxNode *n) {
    onnx_set_output(n, 0, onnx_unary(n, OP_abs, NULL, onnx_input(n, 0)));
}

void import_sign(OnnxNode *n) {
    onnx_set_output(n, 0, onnx_unary(n, OP_sign, NULL, onnx_input(n, 0)));
}
