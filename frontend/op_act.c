/* op_act.c: activations. What the graph IR has no op for is written in others. */
#include "frontend/import.h"

#include <math.h>
#include <string.h>

/* Relu-6 to -14: signed integers too. */
void import_relu(OnnxNode *n) {
    Value *x = onnx_input(n, 0);
    if (dtype_is_signed_int(x->type.dtype))
        onnx_set_output(n, 0, onnx_by_scalar(n, OP_max, NULL, x, 0));
    else
        onnx_float_unary(n, OP_act_relu);
}

void import_sigmoid(OnnxNode *n) {
    onnx_float_unary(n, OP_act_sigmoid);
}

void import_softplus(OnnxNode *n) {
    onnx_float_unary(n, OP_act_softplus);
}

void import_hard_swish(OnnxNode *n) {
    onnx_float_unary(n, OP_act_hard_swish);
}

/* clip(alpha x + beta, 0, 1). The activation hard_sigmoid is that with 1/6 and 1/2; exporters round
 * 1/6 to seven digits or so. */
Value *onnx_hard_sigmoid(OnnxNode *n, Value *x, double alpha, double beta) {
    if (fabs(alpha - 1.0 / 6) < 1e-6 && beta == 0.5)
        return onnx_unary(n, OP_act_hard_sigmoid, NULL, x);
    x = onnx_by_scalar(n, OP_mul, "scaled", x, alpha);
    x = onnx_by_scalar(n, OP_add, "shifted", x, beta);
    return onnx_clip(n, NULL, x, 0, 1);
}

/* HardSigmoid-6. The defaults are what Keras once used. */
void import_hard_sigmoid(OnnxNode *n) {
    double alpha = attr_float(n, "alpha", 0.2), beta = attr_float(n, "beta", 0.5);
    if (onnx_needs_float(n, 1))
        onnx_set_output(n, 0, onnx_hard_sigmoid(n, onnx_input(n, 0), alpha, beta));
}

/* x sigmoid(alpha x) */
static Value *swish(OnnxNode *n, const char *part, double alpha) {
    Value *x = onnx_input(n, 0);
    if (!onnx_needs_float(n, n->ninputs))
        return NULL;
    if (alpha == 1)
        return onnx_unary(n, OP_act_silu, part, x);
    Value *gate =
        onnx_unary(n, OP_act_sigmoid, "gate", onnx_by_scalar(n, OP_mul, "scaled", x, alpha));
    return onnx_binary(n, OP_mul, part, x, gate);
}

/* Swish-24. */
void import_swish(OnnxNode *n) {
    onnx_set_output(n, 0, swish(n, NULL, attr_float(n, "alpha", 1)));
}

/* SwiGLU-28: swish(a) b, of one shape. */
void import_swiglu(OnnxNode *n) {
    double alpha = attr_float(n, "alpha", 1);
    if (!shape_equal(onnx_shape(n, 0), onnx_shape(n, 1)))
        onnx_bad(n, "its inputs must have the same shape");
    else
        onnx_set_output(n, 0,
                        onnx_binary(n, OP_mul, NULL, swish(n, "gate", alpha), onnx_input(n, 1)));
}

/* com.microsoft.QuickGelu-1: what ONNX Runtime's optimiser makes of x sigmoid(alpha x), silu
 * too. */
void import_quick_gelu(OnnxNode *n) {
    onnx_set_output(n, 0, swish(n, NULL, attr_float(n, "alpha", 1.702)));
}

/* Tanh-6, -13. */
void import_tanh(OnnxNode *n) {
    onnx_float_unary(n, OP_act_tanh);
}

/* ---- x where it is positive, else something of min(x, 0) ------------------------------------- */

static Value *positive(OnnxNode *n, Value *x) {
    return onnx_by_scalar(n, OP_max, "positive", x, 0);
}

static Value *negative(OnnxNode *n, Value *x) {
    return onnx_by_scalar(n, OP_min, "negative", x, 0);
}

/* max(x, 0) + slope min(x, 0) */
static Value *leaky(OnnxNode *n, Value *x, Value *slope) {
    Value *above = positive(n, x), *below = negative(n, x);
    return onnx_binary(n, OP_add, NULL, above, onnx_binary(n, OP_mul, "scaled", below, slope));
}

Value *onnx_leaky_relu(OnnxNode *n, Value *x, double alpha) {
    return leaky(n, x, onnx_scalar(n, "slope", x->type.dtype, alpha));
}

/* LeakyRelu-6, -16. */
void import_leaky_relu(OnnxNode *n) {
    double alpha = attr_float(n, "alpha", 0.01);
    if (onnx_needs_float(n, 1))
        onnx_set_output(n, 0, onnx_leaky_relu(n, onnx_input(n, 0), alpha));
}

/* PRelu-7 to -16: the slope is broadcast to x, and both may be integers. */
void import_prelu(OnnxNode *n) {
    if (onnx_input(n, 0)->type.dtype == DT_bool)
        onnx_bad(n, "its input must be a number");
    if (n->failed || !onnx_same_dtype(n, 2))
        return;
    Value *y = leaky(n, onnx_input(n, 0), onnx_input(n, 1));
    if (y && !shape_equal(&y->type.shape, onnx_shape(n, 0)))
        onnx_bad(n, "its slope must broadcast to its input");
    onnx_set_output(n, 0, y);
}

/* alpha (exp(min(x, 0) / width) - 1): never overflows */
static Value *exponential(OnnxNode *n, Value *x, double alpha, double width) {
    Value *t = negative(n, x);
    if (width != 1)
        t = onnx_by_scalar(n, OP_div, "narrow", t, width);
    t = onnx_by_scalar(n, OP_sub, "expm1", onnx_unary(n, OP_exp, "exp", t), 1);
    return onnx_by_scalar(n, OP_mul, "scaled", t, alpha);
}

/* gamma (max(x, 0) + exponential(x)) */
static void elu(OnnxNode *n, double alpha, double width, double gamma) {
    Value *x = onnx_input(n, 0);
    if (!onnx_needs_float(n, 1))
        return;
    Value *above = positive(n, x), *below = exponential(n, x, alpha, width);
    Value *y = onnx_binary(n, OP_add, gamma == 1 ? NULL : "elu", above, below);
    onnx_set_output(n, 0, gamma == 1 ? y : onnx_by_scalar(n, OP_mul, NULL, y, gamma));
}

/* Elu-6, -22. */
void import_elu(OnnxNode *n) {
    elu(n, attr_float(n, "alpha", 1), 1, 1);
}

/* Celu-12: the slope at 0 is 1 for every alpha. */
void import_celu(OnnxNode *n) {
    double alpha = attr_float(n, "alpha", 1);
    if (alpha == 0)
        onnx_bad(n, "its alpha is 0");
    elu(n, alpha, alpha, 1);
}

/* Selu-6, -22. */
void import_selu(OnnxNode *n) {
    double alpha = attr_float(n, "alpha", (double)1.67326319217681884765625f);
    elu(n, alpha, 1, attr_float(n, "gamma", (double)1.05070102214813232421875f));
}

/* ---- gates ----------------------------------------------------------------------------------- */

/* Mish-18: x tanh(softplus(x)). */
void import_mish(OnnxNode *n) {
    Value *x = onnx_input(n, 0);
    if (!onnx_needs_float(n, 1))
        return;
    Value *gate = onnx_unary(n, OP_act_tanh, "gate", onnx_unary(n, OP_act_softplus, "softplus", x));
    onnx_set_output(n, 0, onnx_binary(n, OP_mul, NULL, x, gate));
}

/* tanh(sqrt(2 / pi) (x + 0.044715 x^3)) */
static Value *gelu_by_tanh(OnnxNode *n, Value *x) {
    Value *cube = onnx_binary(n, OP_mul, "cube", onnx_binary(n, OP_mul, "square", x, x), x);
    Value *t = onnx_binary(n, OP_add, "sum", x, onnx_by_scalar(n, OP_mul, "cubic", cube, 0.044715));
    return onnx_unary(n, OP_act_tanh, "tanh",
                      onnx_by_scalar(n, OP_mul, "scaled", t, sqrt(2 / acos(-1))));
}

/* x/2 (1 + erf(x / sqrt(2))), or with the function above in place of erf. */
static void gelu(OnnxNode *n, Value *x, bool by_tanh) {
    if (!x)
        return;
    Value *t = by_tanh ? gelu_by_tanh(n, x)
                       : onnx_unary(n, OP_act_erf, "erf",
                                    onnx_by_scalar(n, OP_mul, "scaled", x, sqrt(0.5)));
    Value *half = onnx_by_scalar(n, OP_mul, "half", x, 0.5);
    onnx_set_output(n, 0,
                    onnx_binary(n, OP_mul, NULL, half, onnx_by_scalar(n, OP_add, "gate", t, 1)));
}

/* Gelu-20. */
void import_gelu(OnnxNode *n) {
    const char *form = attr_string(n, "approximate", "none");
    bool by_tanh = strcmp(form, "tanh") == 0;
    if (!by_tanh && strcmp(form, "none") != 0)
        onnx_bad(n, "attribute \"approximate\" is %s", quoted(n->im, form));
    if (onnx_needs_float(n, 1))
        gelu(n, onnx_input(n, 0), by_tanh);
}

/* Input 0, and a bias where there is one. */
static Value *with_bias(OnnxNode *n) {
    Value *x = onnx_input(n, 0), *b = onnx_input(n, 1);
    if (!onnx_needs_float(n, 2))
        return NULL;
    return b ? onnx_binary(n, OP_add, "biased", x, b) : x;
}

/* com.microsoft.BiasGelu-1 and FastGelu-1: of x + bias, by erf and by tanh. */
void import_bias_gelu(OnnxNode *n) {
    gelu(n, with_bias(n), false);
}

void import_fast_gelu(OnnxNode *n) {
    gelu(n, with_bias(n), true);
}

/* Softsign-1, -22: x / (1 + |x|). */
void import_softsign(OnnxNode *n) {
    Value *x = onnx_input(n, 0);
    if (onnx_needs_float(n, 1))
        onnx_set_output(
            n, 0,
            onnx_binary(n, OP_div, NULL, x,
                        onnx_by_scalar(n, OP_add, "sum", onnx_unary(n, OP_abs, "abs", x), 1)));
}

/* ---- thresholds ------------------------------------------------------------------------------ */

/* ThresholdedRelu-10, -22: x where it is more than alpha, else 0. */
void import_thresholded_relu(OnnxNode *n) {
    double alpha = attr_float(n, "alpha", 1);
    if (!onnx_needs_float(n, 1))
        return;
    Value *x = onnx_input(n, 0), *limit = onnx_scalar(n, "alpha", x->type.dtype, alpha);
    Value *more = onnx_binary(n, OP_less, "more", limit, x);
    onnx_set_output(n, 0, onnx_where(n, NULL, more, x, onnx_scalar(n, "zero", x->type.dtype, 0)));
}

/* Shrink-9: x + bias below -lambd, x - bias above lambd, else 0. */
static Value *shrunk(OnnxNode *n, const char *part, Value *x) {
    double bias = attr_float(n, "bias", 0), lambd = attr_float(n, "lambd", 0.5);
    if (!x)
        return NULL;
    Value *limit = onnx_scalar(n, "lambd", x->type.dtype, lambd);
    Value *less = onnx_by_scalar(n, OP_less, "less", x, -lambd);
    Value *more = onnx_binary(n, OP_less, "more", limit, x);
    Value *up = onnx_by_scalar(n, OP_add, "up", x, bias);
    Value *down = onnx_by_scalar(n, OP_sub, "down", x, bias);
    Value *low = onnx_where(n, "low", less, up, onnx_scalar(n, "zero", x->type.dtype, 0));
    return onnx_where(n, part, more, down, low);
}

/* Shrink-9: of integers what comes out loses its fraction. */
void import_shrink(OnnxNode *n) {
    Value *x = onnx_input(n, 0);
    if (dtype_is_float(x->type.dtype)) {
        onnx_set_output(n, 0, shrunk(n, NULL, x));
        return;
    }
    Value *y = shrunk(n, "shrunk", onnx_cast(n, "floats", x, DT_f64));
    onnx_set_output(n, 0, y ? onnx_cast(n, NULL, y, x->type.dtype) : NULL);
}
