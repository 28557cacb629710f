/* op_if.c: If. Where its condition is known while compiling the branch that is taken stands in its
 * place; else both do, and their outputs are selected: compiled code can compute both, whatever the
 * data. */
#include "frontend/import.h"

static bool condition(OnnxNode *n, bool *out) {
    const Tensor *t = onnx_const_input(n, 0, "condition", FOLD_LIMIT);
    if (!t)
        return false;
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

/* ---- a condition that depends on data -------------------------------------------------------- */

/* The axis along which the branches' sizes may differ; -1: none. Complains where there are more. */
static int open_axis(OnnxNode *n, const Value *a, const Value *b) {
    int of_a = onnx_axis_of_count(n, a), of_b = onnx_axis_of_count(n, b);
    int axis = of_a >= 0 ? of_a : of_b;
    bool fits = a->type.dtype == b->type.dtype && a->type.shape.rank == b->type.shape.rank &&
                (of_a < 0 || of_b < 0 || of_a == of_b);
    for (int i = 0; i < a->type.shape.rank && fits; i++) {
        bool differ = a->type.shape.dim[i] != b->type.shape.dim[i];
        fits = !differ || axis < 0 || axis == i;
        axis = differ ? i : axis;
    }
    if (!fits)
        onnx_unsupported(n, "its condition depends on data, and its branches give %s and %s",
                         type_str(&n->im->arena, &a->type), type_str(&n->im->arena, &b->type));
    return axis;
}

/* x with `size` elements along an axis. */
static Value *widened(OnnxNode *n, Value *x, int axis, int64_t size) {
    x = onnx_uncounted(n, x);
    int64_t more = axis < 0 || !x ? 0 : size - x->type.shape.dim[axis];
    return more ? onnx_pad_axis(n, "wide", x, axis, 0, more, 0) : x;
}

static Value *count_along(OnnxNode *n, const Value *x, int axis) {
    Value *count = onnx_count_of(n, x);
    return count ? count : onnx_scalar(n, "size", DT_i64, (double)x->type.shape.dim[axis]);
}

static Value *either(OnnxNode *n, Value *c, Value *a, Value *b) {
    int axis = open_axis(n, a, b);
    if (n->failed)
        return NULL;
    int64_t size = axis < 0 ? 0 : a->type.shape.dim[axis];
    if (axis >= 0 && b->type.shape.dim[axis] > size)
        size = b->type.shape.dim[axis];
    Value *y = onnx_where(n, NULL, c, widened(n, a, axis, size), widened(n, b, axis, size));
    Value *count =
        axis < 0 ? NULL
                 : onnx_where(n, "count", c, count_along(n, a, axis), count_along(n, b, axis));
    if (y && count)
        onnx_set_count(n, y, axis, count);
    return y;
}

static void import_both(OnnxNode *n, const Onnx__GraphProto *const *branches) {
    OnnxName **out[2], **labels = ARENA_ARRAY(&n->im->arena, n->noutputs, OnnxName *);
    for (int i = 0; i < 2; i++) {
        OnnxBody b = body_of_graph(n->im, branches[i]);
        out[i] = ARENA_ARRAY(&n->im->arena, n->noutputs, OnnxName *);
        if (!body_import(n, scope_inside(n, n->scope->path), &b, NULL, labels, out[i]))
            return;
    }
    Value *c = onnx_scalar_input(n, 0, "condition");
    for (int i = 0; i < n->noutputs && !n->failed; i++) {
        Value *a = out[0][i]->value, *b = out[1][i]->value;
        if (a && b)
            onnx_set_output(n, i, either(n, c, a, b));
        else
            onnx_not_constant(n, "condition for a sequence or optional", c);
    }
}

/* If-1 to -25. What a branch that isn't taken computes is not looked at. */
void import_if(OnnxNode *n) {
    const Onnx__GraphProto *branches[] = {branch(n, "then_branch"), branch(n, "else_branch")};
    const Type *t = &onnx_input(n, 0)->type;
    bool taken;
    if (!n->failed && (t->dtype != DT_bool || shape_elems(&t->shape) != 1))
        onnx_bad(n, "its condition must be one bool");
    if (n->failed)
        return;
    if (!onnx_is_known(n, 0)) {
        import_both(n, branches);
    } else if (condition(n, &taken)) {
        OnnxBody b = body_of_graph(n->im, branches[!taken]);
        body_replaces(n, scope_inside(n, n->scope->path), &b, NULL);
    }
}
