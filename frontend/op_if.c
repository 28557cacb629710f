/* op_if.c: If, where its condition is known while compiling: the branch that is taken stands in its
 * place. */
#include "frontend/import.h"

static bool condition(OnnxNode *n, bool *out) {
    const Tensor *t = onnx_const_input(n, 0, "condition", FOLD_LIMIT);
    if (!t)
        return false;
    if (t->dtype != DT_bool || shape_elems(&t->shape) != 1) {
        onnx_bad(n, "its condition must be one bool");
        return false;
    }
    *out = tensor_i64(t, 0) != 0;
    return true;
}

static const Onnx__GraphProto *branch(OnnxNode *n, const char *name) {
    const Onnx__GraphProto *g = attr_graph(n, name);
    if (g && g->n_input)
        onnx_bad(n, "its %s has %zu inputs, and must have none", name, g->n_input);
    else if (g && g->n_output != (size_t)n->noutputs)
        onnx_bad(n, "its %s has %zu outputs, and the node has %d", name, g->n_output, n->noutputs);
    return n->failed ? NULL : g;
}

/* If-1 to -25. What the other branch computes is not looked at. */
void import_if(OnnxNode *n) {
    const Onnx__GraphProto *yes = branch(n, "then_branch"), *no = branch(n, "else_branch");
    bool taken;
    if (n->failed || !condition(n, &taken))
        return;
    OnnxBody b = body_of_graph(n->im, taken ? yes : no);
    body_replaces(n, scope_inside(n, n->scope->path), &b, NULL);
}
