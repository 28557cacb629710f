/* op_fused.c: operators of the domain com.microsoft that ONNX Runtime's optimiser makes of several
 * of ONNX's (its extended level): FusedConv, FusedGemm, and NhwcFusedConv and NhwcConv, whose
 * images have their channels last. They are taken apart again, so that its files become the graph
 * that the original ones become. op_nchwc.c has those of its highest level. */
#include "frontend/import.h"

#include <string.h>

typedef struct FusedAct {
    double a, b; /* alpha and beta, or the bounds of Clip */
} FusedAct;

static Value *fused_relu(OnnxNode *n, Value *x, FusedAct p) {
    (void)p;
    return onnx_unary(n, OP_act_relu, NULL, x);
}

static Value *fused_sigmoid(OnnxNode *n, Value *x, FusedAct p) {
    (void)p;
    return onnx_unary(n, OP_act_sigmoid, NULL, x);
}

static Value *fused_tanh(OnnxNode *n, Value *x, FusedAct p) {
    (void)p;
    return onnx_unary(n, OP_act_tanh, NULL, x);
}

static Value *fused_leaky_relu(OnnxNode *n, Value *x, FusedAct p) {
    return onnx_leaky_relu(n, x, p.a);
}

static Value *fused_hard_swish(OnnxNode *n, Value *x, FusedAct p) {
    (void)p;
    return onnx_unary(n, OP_act_hard_swish, NULL, x);
}

static Value *fused_clip(OnnxNode *n, Value *x, FusedAct p) {
    return onnx_clip(n, NULL, x, p.a, p.b);
}

static Value *fused_hard_sigmoid(OnnxNode *n, Value *x, FusedAct p) {
    return onnx_hard_sigmoid(n, x, p.a, p.b);
}

/* The activations, and how many parameters each takes. */
static const struct {
    const char *name;
    int params;
    Value *(*make)(OnnxNode *n, Value *x, FusedAct p);
} ACTIVATIONS[] = {
    {"Relu", 0, fused_relu},
    {"Sigmoid", 0, fused_sigmoid},
    {"Tanh", 0, fused_tanh},
    {"LeakyRelu", 1, fused_leaky_relu},
    {"Clip", 2, fused_clip},
    {"HardSigmoid", 2, fused_hard_sigmoid},
    {"HardSwish", 0, fused_hard_swish},
};

/* Output 0 is `name` of y with `given` parameters. */
static void finish(OnnxNode *n, Value *y, const char *name, FusedAct p, int given) {
    if (!*name) {
        onnx_set_output(n, 0, y);
        return;
    }
    for (size_t i = 0; i < sizeof ACTIVATIONS / sizeof *ACTIVATIONS; i++)
        if (strcmp(name, ACTIVATIONS[i].name) == 0) {
            if (given < ACTIVATIONS[i].params)
                onnx_bad(n, "activation %s needs %d parameters, and has %d", name,
                         ACTIVATIONS[i].params, given);
            else if (y && !n->failed)
                onnx_set_output(n, 0, ACTIVATIONS[i].make(n, y, p));
            return;
        }
    onnx_unsupported(n, "activation %s is not supported", quoted(n->im, name));
}

/* What import_conv or import_gemm made of the same inputs. */
static Value *made(const OnnxNode *n) {
    return !n->failed && n->noutputs && n->outputs[0] ? n->outputs[0]->value : NULL;
}

void onnx_sum_and_act(OnnxNode *n, Value *y, Value *z) {
    const float *params = NULL;
    int count = 0;
    const char *name = attr_string(n, "activation", "");
    attr_floats(n, "activation_params", &params, &count);
    if (y && z && !shape_equal(&y->type.shape, &z->type.shape))
        onnx_bad(n, "what it adds must have the shape of the output");
    if (y && z && !n->failed)
        y = onnx_binary(n, OP_add, "sum", y, z);
    FusedAct p = {count > 0 ? params[0] : 0, count > 1 ? params[1] : 0};
    finish(n, y, name, p, count);
}

/* FusedConv-1: activation(Conv(X, W, B) + Z). */
void import_fused_conv(OnnxNode *n) {
    import_conv(n);
    onnx_sum_and_act(n, made(n), onnx_input(n, 3));
}

/* Conv of images with their channels last, to planes; w as ONNX has it. */
static Value *conv_of_pixels(OnnxNode *n, Value *w) {
    Value *x = onnx_channels_second(n, "planes", onnx_input(n, 0));
    return x && w ? onnx_conv(n, "sums", x, w, onnx_input(n, 2)) : NULL;
}

/* NhwcFusedConv-1: FusedConv, but for the order of X, Z and the result. */
void import_nhwc_fused_conv(OnnxNode *n) {
    if (!onnx_needs_float(n, 4))
        return;
    Value *y = onnx_channels_last(n, "pixels", conv_of_pixels(n, onnx_input(n, 1)));
    onnx_sum_and_act(n, y, onnx_input(n, 3));
}

/* NhwcConv-1: Conv whose weights have the channels last, too, which its optimiser for transformers
 * makes in the convolutions of diffusion models. */
void import_nhwc_conv(OnnxNode *n) {
    if (!onnx_needs_float(n, 3))
        return;
    Value *w = onnx_channels_second(n, "weights", onnx_input(n, 1));
    onnx_set_output(n, 0, onnx_channels_last(n, NULL, conv_of_pixels(n, w)));
}

/* FusedGemm-1: activation(Gemm(A, B, C)). */
void import_fused_gemm(OnnxNode *n) {
    const char *name = attr_string(n, "activation", "");
    FusedAct p = {attr_float(n, "activation_alpha", 0), attr_float(n, "activation_beta", 0)};
    attr_float(n, "activation_gamma", 0); /* of activations that aren't in the table */
    import_gemm(n);
    finish(n, made(n), name, p, 2);
}
