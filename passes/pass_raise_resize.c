/* raise-resize: gathers that repeat each row of planes, or each column, as often become a resize,
 * and those of rows and columns behind each other become one.
 *
 *   gather(x, [0, 0, 1, 1, ...]) along height or width  ->  resize x, rows or columns
 *
 * Needs: canonicalise, which makes gathers of what exporters write, and raise-transpose, behind
 * which planes are the last two dims. Leaves alone: other lists, other dims, other types than f32.
 */
#include "passes/match.h"

/* Whether a known list has each element of a dim in turn, and each as often. */
static bool repeats_each(const Value *list, int64_t dim) {
    const Tensor *t = list->constant;
    if (!t || !t->data || t->shape.rank != 1 || dim < 1)
        return false;
    int64_t n = t->shape.dim[0];
    for (int64_t i = 0; i < n; i++)
        if (n % dim != 0 || tensor_i64(t, i) != i / (n / dim))
            return false;
    return n > 0;
}

/* The resize behind which x alone stands, if it leaves this axis as it is; else NULL. */
static const Node *resize_before(const Value *x, int slot) {
    const Node *r = x->def;
    return r && r->op == OP_resize && value_single_user(x) && !node_in(r, slot) ? r : NULL;
}

static void raise(Graph *g, Node *n) {
    int slot = axis_attrs(n)->axis == 2 ? 1 : 2;
    Value *x = node_in(n, 0), *list = node_in(n, 1), *in[5] = {x};
    const Node *before = resize_before(x, slot);
    for (int i = 0; before && i < 5; i++)
        in[i] = node_in(before, i);
    in[slot] = graph_constant_view(g, list, 0, SHAPE(list->type.shape.dim[0], 1));
    Node *r = new_node(g, OP_resize, n, in, 5);
    if (before) {
        *resize_attrs(r) = *resize_attrs(before);
        r->origin = origin_join(g, before->origin, n->origin);
    }
    node_infer_or_die(r);
    replace_node(g, n, node_out(r));
}

bool pass_raise_resize(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        const Type *x = n->op == OP_gather ? &node_in(n, 0)->type : NULL;
        int64_t axis = x ? axis_attrs(n)->axis : 0;
        if (x && x->dtype == DT_f32 && x->shape.rank == 4 && axis >= 2 &&
            repeats_each(node_in(n, 1), x->shape.dim[axis]))
            raise(g, n);
    }
    graph_dce(g);
    return true;
}
