/* op_training.c: steps of optimisers, of the domain ai.onnx.preview.training: Adagrad, Adam,
 * Momentum. Inputs are a rate, a count of steps, and then all tensors of each kind. */
#include "frontend/import.h"

#include <string.h>

typedef struct Optimiser {
    int count; /* of the tensors of each kind */
    Value *rate, *step;
} Optimiser;

/* Tensor i of a kind. */
static Value *tensor(OnnxNode *n, const Optimiser *o, int kind, int i) {
    return onnx_input(n, 2 + kind * o->count + i);
}

static Value *scale(OnnxNode *n, Value *x, double c) {
    return onnx_by_scalar(n, OP_mul, "scaled", x, c);
}

static Value *plus(OnnxNode *n, Value *a, Value *b) {
    return onnx_binary(n, OP_add, "sum", a, b);
}

/* a x + b y */
static Value *mix(OnnxNode *n, double a, Value *x, double b, Value *y) {
    return plus(n, scale(n, x, a), scale(n, y, b));
}

static Value *square(OnnxNode *n, Value *x) {
    return onnx_binary(n, OP_mul, "square", x, x);
}

static Value *quotient(OnnxNode *n, Value *a, Value *b) {
    return onnx_binary(n, OP_div, "quotient", a, b);
}

/* x - rate g */
static Value *descend(OnnxNode *n, Value *x, Value *rate, Value *g) {
    return onnx_binary(n, OP_sub, "x", x, onnx_binary(n, OP_mul, "change", rate, g));
}

/* The rate and the step as numbers that broadcast, and the number of tensors. */
static bool start(OnnxNode *n, Optimiser *o, int kinds) {
    Shape scalar = {0};
    o->count = (n->ninputs - 2) / kinds;
    if (o->count < 1 || n->ninputs != 2 + kinds * o->count)
        onnx_bad(n, "its inputs are not %d tensors each", kinds);
    for (int i = 0; i < n->ninputs && !n->failed; i++)
        if (!onnx_input(n, i))
            onnx_bad(n, "input %d is missing", i);
    for (int i = 2; i < n->ninputs && !n->failed; i++)
        if (onnx_input(n, i)->type.dtype != onnx_input(n, 0)->type.dtype ||
            !shape_equal(onnx_shape(n, i), onnx_shape(n, 2 + (i - 2) % o->count)))
            onnx_bad(n, "input %d differs in type or shape from what it belongs to", i);
    for (int i = 0; i < 2 && !n->failed; i++)
        if (shape_elems(onnx_shape(n, i)) != 1)
            onnx_bad(n, "input %d must be one number", i);
    if (n->failed || !onnx_needs_float(n, 1))
        return false;
    DType dt = onnx_input(n, 0)->type.dtype;
    o->rate = onnx_reshape(n, "rate", onnx_input(n, 0), &scalar);
    o->step = onnx_cast(n, "step", onnx_reshape(n, "step", onnx_input(n, 1), &scalar), dt);
    return !n->failed;
}

/* base ^ the count of steps */
static Value *power_of_step(OnnxNode *n, const Optimiser *o, double base) {
    Value *b = onnx_scalar(n, "base", o->rate->type.dtype, base);
    return onnx_binary(n, OP_pow, "power", b, o->step);
}

static Value *rest(OnnxNode *n, Value *x) {
    return x ? onnx_binary(n, OP_sub, "rest", onnx_scalar(n, "one", x->type.dtype, 1), x) : NULL;
}

/* Adagrad-1: of X, G, H. */
void import_adagrad(OnnxNode *n) {
    double decay = attr_float(n, "decay_factor", 0),
           epsilon = attr_float(n, "epsilon", (double)1e-6f),
           norm = attr_float(n, "norm_coefficient", 0);
    Optimiser o;
    if (n->failed || !start(n, &o, 3))
        return;
    Value *rate =
        quotient(n, o.rate, onnx_by_scalar(n, OP_add, "slower", scale(n, o.step, decay), 1));
    for (int i = 0; i < o.count && !n->failed; i++) {
        Value *x = tensor(n, &o, 0, i), *g = mix(n, norm, x, 1, tensor(n, &o, 1, i));
        Value *h = plus(n, tensor(n, &o, 2, i), square(n, g));
        Value *size = onnx_by_scalar(n, OP_add, "size", onnx_unary(n, OP_sqrt, "root", h), epsilon);
        onnx_set_output(n, i, descend(n, x, rate, quotient(n, g, size)));
        onnx_set_output(n, o.count + i, h);
    }
}

/* sqrt(1 - beta^t) / (1 - alpha^t) times the rate, but for the first step. */
static Value *adam_rate(OnnxNode *n, const Optimiser *o, double alpha, double beta) {
    Value *a = rest(n, power_of_step(n, o, alpha)), *b = rest(n, power_of_step(n, o, beta));
    Value *corrected =
        onnx_binary(n, OP_mul, "rate", o->rate, quotient(n, onnx_unary(n, OP_sqrt, "root", b), a));
    Value *later =
        onnx_binary(n, OP_less, "later", onnx_scalar(n, "zero", o->rate->type.dtype, 0), o->step);
    return onnx_where(n, "rate", later, corrected, o->rate);
}

/* Adam-1: of X, G, V, H. */
void import_adam(OnnxNode *n) {
    double alpha = attr_float(n, "alpha", (double)0.9f),
           beta = attr_float(n, "beta", (double)0.999f),
           epsilon = attr_float(n, "epsilon", (double)1e-6f),
           norm = attr_float(n, "norm_coefficient", 0),
           after = attr_float(n, "norm_coefficient_post", 0);
    Optimiser o;
    if (n->failed || !start(n, &o, 4))
        return;
    Value *rate = adam_rate(n, &o, alpha, beta);
    for (int i = 0; i < o.count && !n->failed; i++) {
        Value *x = tensor(n, &o, 0, i), *g = mix(n, norm, x, 1, tensor(n, &o, 1, i));
        Value *v = mix(n, alpha, tensor(n, &o, 2, i), 1 - alpha, g),
              *h = mix(n, beta, tensor(n, &o, 3, i), 1 - beta, square(n, g));
        Value *size = onnx_by_scalar(n, OP_add, "size", onnx_unary(n, OP_sqrt, "root", h), epsilon);
        Value *y = descend(n, x, rate, quotient(n, v, size));
        onnx_set_output(n, i, after != 0 ? scale(n, y, 1 - after) : y);
        onnx_set_output(n, o.count + i, v);
        onnx_set_output(n, 2 * o.count + i, h);
    }
}

/* beta, but 1 in the first step. */
static Value *dampening(OnnxNode *n, const Optimiser *o, double beta) {
    DType dt = o->rate->type.dtype;
    Value *later = onnx_binary(n, OP_less, "later", onnx_scalar(n, "zero", dt, 0), o->step);
    return onnx_where(n, "dampening", later, onnx_scalar(n, "beta", dt, beta),
                      onnx_scalar(n, "one", dt, 1));
}

/* Momentum-1: of X, G, V; the standard one, or Nesterov's. */
void import_momentum(OnnxNode *n) {
    const char *mode = attr_string(n, "mode", "");
    double alpha = attr_float(n, "alpha", 0), beta = attr_float(n, "beta", 0),
           norm = attr_float(n, "norm_coefficient", 0);
    bool nesterov = strcmp(mode, "nesterov") == 0;
    Optimiser o;
    if (!nesterov && strcmp(mode, "standard") != 0)
        onnx_bad(n, "its mode %s is neither standard nor nesterov", quoted(n->im, mode));
    if (n->failed || !start(n, &o, 3))
        return;
    Value *damp = dampening(n, &o, beta);
    for (int i = 0; i < o.count && !n->failed; i++) {
        Value *x = tensor(n, &o, 0, i), *g = mix(n, norm, x, 1, tensor(n, &o, 1, i));
        Value *v = plus(n, scale(n, tensor(n, &o, 2, i), alpha),
                        onnx_binary(n, OP_mul, "damped", damp, g));
        onnx_set_output(n, i, descend(n, x, o.rate, nesterov ? mix(n, 1, g, alpha, v) : v));
        onnx_set_output(n, o.count + i, v);
    }
}
