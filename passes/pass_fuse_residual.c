/* fuse-residual: add(conv2d(x), r) becomes conv2d x, residual=r.
 *
 * Needs: fuse-act. Leaves alone: sums that broadcast, and convolutions whose result something else
 * reads or that have a residual already. Where both sides are such convolutions, the later one
 * takes the sum, since the other value must exist by then. */
#include "passes/match.h"

static Node *candidate(const Value *v) {
    Node *n = sole_producer_with_weights(v);
    return n && n->op == OP_conv2d && !has_epilogue(n) ? n : NULL;
}

static void fuse(Graph *g, Node *add, Node *conv, Value *residual) {
    node_set_operand(conv, node_slot(conv, "residual"), residual);
    conv->origin = origin_join(g, conv->origin, add->origin);
    node_move_before(g, conv, add);
    replace_node(g, add, node_out(conv));
}

bool pass_fuse_residual(Graph *g, PassContext *cx) {
    (void)cx;
    graph_number_nodes(g);
    FOR_EACH_NODE_SAFE(g, n) {
        if (n->op != OP_add)
            continue;
        Value *a = node_in(n, 0), *b = node_in(n, 1);
        if (a == b || !shape_equal(&a->type.shape, &b->type.shape))
            continue;
        Node *ca = candidate(a), *cb = candidate(b);
        if (ca && (!cb || ca->mark > cb->mark))
            fuse(g, n, ca, b);
        else if (cb)
            fuse(g, n, cb, a);
    }
    graph_dce(g);
    return true;
}
