/* op_loss.c: losses of a classifier: NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss.
 *
 * What a class index picks is a sum over all classes of what stands where the index is the class,
 * and of zeros: NaN and infinities of other classes don't get in. */
#include "frontend/import.h"

#include <string.h>

typedef struct Loss {
    Value *is_class; /* [N, C, d1, ...]: is it the class of the target? */
    Value *ignored;  /* of the target's shape; NULL: none is */
    Value *weight;   /* of the target's shape; NULL: all 1 */
    const char *reduction;
} Loss;

/* x, which broadcasts to [N, C, d1, ...], at the target's class. */
static Value *pick(OnnxNode *n, const char *part, Value *x, const Loss *l) {
    Value *target = onnx_input(n, 1);
    if (!x)
        return NULL;
    Value *zero = onnx_scalar(n, "zero", x->type.dtype, 0);
    Value *only = onnx_where(n, "only", l->is_class, x, zero);
    Value *sum =
        onnx_reduce(n, OP_reduce_sum, "picked", only, onnx_keep_ints(n, (int64_t[]){1}, 1));
    return onnx_reshape(n, part, sum, &target->type.shape);
}

/* Scores [N, C, d1, ...], targets [N, d1, ...], weights [C]. */
static bool check_shapes(OnnxNode *n) {
    const Shape *x = onnx_shape(n, 0), *target = onnx_shape(n, 1);
    DType dt = onnx_input(n, 1)->type.dtype;
    bool fits = x->rank >= 2 && target->rank == x->rank - 1 && x->dim[0] == target->dim[0];
    for (int i = 2; i < x->rank && fits; i++)
        fits = x->dim[i] == target->dim[i - 1];
    if (!fits)
        onnx_bad(n, "its target must have the dimensions of its input but the second");
    if (dt != DT_i32 && dt != DT_i64)
        onnx_bad(n, "its target must be int32 or int64, it is %s", dtype_name(dt));
    if (fits && onnx_input(n, 2) &&
        (onnx_shape(n, 2)->rank != 1 || onnx_shape(n, 2)->dim[0] != x->dim[1]))
        onnx_bad(n, "its weights must be a list of %lld numbers", (long long)x->dim[1]);
    return !n->failed;
}

static void classes(OnnxNode *n, Loss *l) {
    Value *target = onnx_input(n, 1);
    Shape wide = *onnx_shape(n, 0);
    int64_t count = wide.dim[1];
    wide.dim[1] = 1;
    Value *index = onnx_iota(n, "class", target->type.dtype, count, wide.rank, 1);
    l->is_class =
        onnx_binary(n, OP_equal, "is_class", onnx_reshape(n, "target", target, &wide), index);
}

/* Sets l->ignored and l->weight. */
static void weigh(OnnxNode *n, Loss *l) {
    Value *target = onnx_input(n, 1), *w = onnx_input(n, 2);
    DType dt = onnx_input(n, 0)->type.dtype;
    if (attr_present(n, "ignore_index")) {
        Tensor *t = tensor_new(&n->im->g->arena, target->type.dtype, (Shape){0});
        tensor_set_i64(t, 0, attr_int(n, "ignore_index", 0));
        l->ignored = onnx_binary(n, OP_equal, "ignored", target, onnx_constant(n, "ignore", t));
    }
    if (w) {
        Shape each = {.rank = onnx_shape(n, 0)->rank};
        for (int i = 0; i < each.rank; i++)
            each.dim[i] = i == 1 ? w->type.shape.dim[0] : 1;
        l->weight = pick(n, "weight", onnx_reshape(n, "weights", w, &each), l);
    }
    if (l->ignored)
        l->weight = onnx_where(n, "counted", l->ignored, onnx_scalar(n, "zero", dt, 0),
                               w ? l->weight : onnx_scalar(n, "one", dt, 1));
}

static Value *over_all(OnnxNode *n, Op op, const char *part, Value *x) {
    if (!x)
        return NULL;
    int64_t axes[MAX_RANK];
    for (int i = 0; i < x->type.shape.rank; i++)
        axes[i] = i;
    Node *r = onnx_add(n, op, part, &x, 1);
    reduce_attrs(r)->axes = onnx_keep_ints(n, axes, x->type.shape.rank);
    reduce_attrs(r)->keepdims = false;
    return onnx_done(n, r);
}

/* A mean is by the sum of the weights. */
static Value *reduced(OnnxNode *n, const Loss *l, Value *loss) {
    if (strcmp(l->reduction, "none") == 0)
        return onnx_unary(n, OP_identity, NULL, loss);
    if (strcmp(l->reduction, "sum") == 0)
        return over_all(n, OP_reduce_sum, NULL, loss);
    if (!l->weight)
        return over_all(n, OP_reduce_mean, NULL, loss);
    return onnx_binary(n, OP_div, NULL, over_all(n, OP_reduce_sum, "sum", loss),
                       over_all(n, OP_reduce_sum, "weight_sum", l->weight));
}

static bool check_loss(OnnxNode *n, Loss *l) {
    l->reduction = attr_string(n, "reduction", "mean");
    if (strcmp(l->reduction, "none") != 0 && strcmp(l->reduction, "sum") != 0 &&
        strcmp(l->reduction, "mean") != 0)
        onnx_bad(n, "reduction %s is none of none, sum and mean", quoted(n->im, l->reduction));
    if (!n->failed && onnx_input(n, 2) &&
        onnx_input(n, 2)->type.dtype != onnx_input(n, 0)->type.dtype)
        onnx_bad(n, "its weights and its input differ in type");
    return !n->failed && onnx_needs_float(n, 1) && check_shapes(n);
}

/* The loss of logarithms of probabilities. */
static Value *loss(OnnxNode *n, Loss *l, Value *log_prob) {
    classes(n, l);
    weigh(n, l);
    Value *y = onnx_unary(n, OP_neg, "loss", pick(n, "log_likelihood", log_prob, l));
    if (onnx_input(n, 2))
        y = onnx_binary(n, OP_mul, "weighted", y, l->weight);
    if (l->ignored && y)
        y = onnx_where(n, "kept", l->ignored, onnx_scalar(n, "zero", y->type.dtype, 0), y);
    return n->failed ? NULL : reduced(n, l, y);
}

/* NegativeLogLikelihoodLoss-12 to -22. */
void import_nll_loss(OnnxNode *n) {
    Loss l = {0};
    if (check_loss(n, &l))
        onnx_set_output(n, 0, loss(n, &l, onnx_input(n, 0)));
}

/* SoftmaxCrossEntropyLoss-12, -13: of the scores' LogSoftmax, which is its second output. */
void import_softmax_loss(OnnxNode *n) {
    Loss l = {0};
    if (!check_loss(n, &l))
        return;
    Value *log_prob = onnx_log_softmax(n, "log_prob", onnx_input(n, 0), 1);
    onnx_set_output(n, 0, loss(n, &l, log_prob));
    onnx_set_output(n, 1, log_prob);
}
