/* op_math.c: elementwise operators. */
#include "frontend/import.h"

#include <math.h>

static void unary(OnnxNode *n, Op op) {
    onnx_set_output(n, 0, onnx_unary(n, op, NULL, onnx_input(n, 0)));
}

static void binary(OnnxNode *n, Op op) {
    onnx_set_output(n, 0, onnx_binary(n, op, NULL, onnx_input(n, 0), onnx_input(n, 1)));
}

void onnx_float_unary(OnnxNode *n, Op op) {
    if (onnx_needs_float(n, 1))
        unary(n, op);
}

Value *onnx_by_scalar(OnnxNode *n, Op op, const char *part, Value *x, double c) {
    return x ? onnx_binary(n, op, part, x, onnx_scalar(n, "c", x->type.dtype, c)) : NULL;
}

/* ---- Add-7, Sub-7, Mul-7, Div-7: numpy's broadcasting ---------------------------------------- */

void import_add(OnnxNode *n) {
    binary(n, OP_add);
}

void import_sub(OnnxNode *n) {
    binary(n, OP_sub);
}

void import_mul(OnnxNode *n) {
    binary(n, OP_mul);
}

void import_div(OnnxNode *n) {
    binary(n, OP_div);
}

/* ---- Min-6 to -13, Max-6 to -13, Sum-6 to -13, Mean-6 to -13: any number of inputs ----------- */

enum { MAX_REDUCED = 1 << 14 }; /* inputs of a node: each but one makes a node of the graph IR */

/* The result is called after the output where it is that, else after `part`. */
static Value *reduce_inputs(OnnxNode *n, Op op, const char *part) {
    if (n->ninputs > MAX_REDUCED)
        onnx_unsupported(n, "it has more than %d inputs", MAX_REDUCED);
    for (int i = 0; i < n->ninputs; i++)
        if (!onnx_input(n, i))
            onnx_bad(n, "input %d is missing", i);
    if (n->failed)
        return NULL;
    Value *y = onnx_input(n, 0);
    for (int i = 1; i < n->ninputs; i++)
        y = onnx_binary(n, op, i + 1 < n->ninputs ? "part" : part, y, onnx_input(n, i));
    return n->ninputs == 1 ? onnx_unary(n, OP_identity, part, y) : y;
}

void import_min(OnnxNode *n) {
    onnx_set_output(n, 0, reduce_inputs(n, OP_min, NULL));
}

void import_max(OnnxNode *n) {
    onnx_set_output(n, 0, reduce_inputs(n, OP_max, NULL));
}

void import_sum(OnnxNode *n) {
    onnx_set_output(n, 0, reduce_inputs(n, OP_add, NULL));
}

void import_mean(OnnxNode *n) {
    if (onnx_needs_float(n, 1))
        onnx_set_output(
            n, 0, onnx_by_scalar(n, OP_div, NULL, reduce_inputs(n, OP_add, "sum"), n->ninputs));
}

/* ---- one operand ----------------------------------------------------------------------------- */

/* Neg-6, -13: no unsigned integers. */
void import_neg(OnnxNode *n) {
    DType dt = onnx_input(n, 0)->type.dtype;
    if (dtype_is_float(dt) || dtype_is_signed_int(dt))
        unary(n, OP_neg);
    else
        onnx_bad(n, "its input must be a float or a signed integer, it is %s", dtype_name(dt));
}

void import_exp(OnnxNode *n) {
    onnx_float_unary(n, OP_exp);
}

void import_sqrt(OnnxNode *n) {
    onnx_float_unary(n, OP_sqrt);
}

void import_ceil(OnnxNode *n) {
    onnx_float_unary(n, OP_ceil);
}

void import_floor(OnnxNode *n) {
    onnx_float_unary(n, OP_floor);
}

/* Reciprocal-6, -13: 1 / x. */
void import_reciprocal(OnnxNode *n) {
    if (!onnx_needs_float(n, 1))
        return;
    Value *x = onnx_input(n, 0), *one = onnx_scalar(n, "one", x->type.dtype, 1);
    onnx_set_output(n, 0, onnx_binary(n, OP_div, NULL, one, x));
}

/* ---- Clip ------------------------------------------------------------------------------------ */

Value *onnx_clip(OnnxNode *n, const char *part, Value *x, double min, double max) {
    if (!x)
        return NULL;
    Node *c = onnx_add(n, OP_clip, part, &x, 1);
    clip_attrs(c)->min = min;
    clip_attrs(c)->max = max;
    return onnx_done(n, c);
}

/* Clip-6: bounds are attributes. */
void import_clip_6(OnnxNode *n) {
    double min = attr_float(n, "min", -INFINITY), max = attr_float(n, "max", INFINITY);
    onnx_set_output(n, 0, onnx_clip(n, NULL, onnx_input(n, 0), min, max));
}

/* The larger, or the smaller, of x and a bound that depends on data. */
static Value *bounded(OnnxNode *n, Op op, const char *part, Value *x, int i, const char *what) {
    return onnx_input(n, i) ? onnx_binary(n, op, part, x, onnx_scalar_input(n, i, what)) : x;
}

/* Clip-11: bounds are inputs. */
void import_clip_11(OnnxNode *n) {
    Value *x = onnx_input(n, 0);
    if (!onnx_same_dtype(n, 3))
        return;
    if (!onnx_is_known(n, 1) || !onnx_is_known(n, 2)) {
        x = bounded(n, OP_max, onnx_input(n, 2) ? "above" : NULL, x, 1, "minimum");
        onnx_set_output(n, 0, bounded(n, OP_min, NULL, x, 2, "maximum"));
        return;
    }
    double min = onnx_number_input(n, 1, "minimum", -INFINITY),
           max = onnx_number_input(n, 2, "maximum", INFINITY);
    onnx_set_output(n, 0, n->failed ? NULL : onnx_clip(n, NULL, x, min, max));
}

/* ---- values that go through ------------------------------------------------------------------ */

void import_identity(OnnxNode *n) {
    if (onnx_list(n, 0))
        onnx_set_list(n, 0, onnx_list(n, 0));
    else
        unary(n, OP_identity);
}
