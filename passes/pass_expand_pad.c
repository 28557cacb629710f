/* expand-pad: padding without a kernel of its own becomes concat with what is put in front and
 * behind, one axis after the other: a number, of any type, expanded.
 *
 * Needs: fuse-pad, if that runs. Leaves alone: zeros around the height and width of images. */
#include "passes/match.h"

/* Whether lower_pad has a kernel. */
static bool has_kernel(const Node *n) {
    const PadAttrs *a = pad_attrs(n);
    return node_out(n)->type.dtype == DT_f32 && a->before.n == 4 && a->value == 0 &&
           !a->before.v[0] && !a->before.v[1] && !a->after.v[0] && !a->after.v[1];
}

/* x's shape with `size` elements along an axis, all of them the number. */
static Value *filler(Graph *g, Node *n, const Value *x, Value *number, int axis, int64_t size) {
    Shape s = x->type.shape;
    s.dim[axis] = size;
    Node *e = new_node(g, OP_expand, n, &number, 1);
    size_t bytes = (size_t)s.rank * sizeof(int64_t);
    reshape_attrs(e)->shape = (Ints){arena_copy(&g->arena, s.dim, bytes), s.rank};
    node_infer_or_die(e);
    return node_out(e);
}

static Value *pad_axis(Graph *g, Node *n, Value *x, Value *number, int axis) {
    int64_t before = pad_attrs(n)->before.v[axis], after = pad_attrs(n)->after.v[axis];
    Value *parts[3];
    int count = 0;
    if (before)
        parts[count++] = filler(g, n, x, number, axis, before);
    parts[count++] = x;
    if (after)
        parts[count++] = filler(g, n, x, number, axis, after);
    if (count == 1)
        return x;
    Node *c = new_node(g, OP_concat, n, parts, count);
    axis_attrs(c)->axis = axis;
    node_infer_or_die(c);
    return node_out(c);
}

static void expand(Graph *g, Node *n) {
    Value *x = node_in(n, 0);
    Tensor *t = tensor_new(&g->arena, x->type.dtype, (Shape){0});
    tensor_set_f64(t, 0, pad_attrs(n)->value);
    Value *number = graph_constant(g, "padding", t);
    for (int i = 0; i < pad_attrs(n)->before.n; i++)
        x = pad_axis(g, n, x, number, i);
    replace_node(g, n, x);
}

bool pass_expand_pad(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        if (n->op == OP_pad && !has_kernel(n))
            expand(g, n);
    }
    graph_dce(g);
    return true;
}
