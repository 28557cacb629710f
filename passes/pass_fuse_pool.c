/* fuse-pool: the mean of a convolution's planes is made where they are made.
 *
 *   se(dwconv2d(x)), global_avg_pool(dwconv2d(x))   the depthwise convolution gives the mean, too,
 *                                                   and se reads it: the mean of a pixel is itself
 *   global_avg_pool(conv2d(x))                      conv2d_mean(x), which stores no plane
 *
 * Needs: fuse-act, fuse-se, fuse-residual. Leaves alone: a conv2d that something else reads, or
 * that has a scale, a residual or groups, and planes of one pixel. */
#include "passes/match.h"

static Value *mean_of_depthwise(Graph *g, Node *dw) {
    Value *mean = node_result(dw, "mean");
    if (mean)
        return mean;
    int slot = op_result_slot(dw->op, "mean");
    const char *name = arena_printf(&g->arena, "%s.mean", node_out(dw)->name);
    mean = node_add_result(g, dw, slot, name, (Type){0});
    node_infer_or_die(dw);
    return mean;
}

/* conv2d_mean in the place of a pool of a convolution. */
static void fuse_head(Graph *g, Node *pool, Node *conv) {
    Value *operands[] = {node_in(conv, 0), node_in(conv, 1), node_in(conv, 2)};
    Node *n = new_node(g, OP_conv2d_mean, pool, operands, 3);
    *conv_attrs(n) = *conv_attrs(conv);
    node_infer_or_die(n);
    n->origin = origin_join(g, conv->origin, pool->origin);
    replace_node(g, pool, node_out(n));
}

static bool is_plain_conv(const Node *n) {
    return n->op == OP_conv2d && conv_attrs(n)->group == 1 && !node_in(n, node_slot(n, "scale")) &&
           !has_epilogue(n) && value_single_user(node_out(n));
}

static void fuse(Graph *g, Node *n) {
    Node *def = node_in(n, 0)->def;
    const Shape *x = &node_in(n, 0)->type.shape;
    if (!def || x->rank != 4 || x->dim[2] * x->dim[3] <= 1)
        return;
    if (def->op == OP_dwconv2d && n->op == OP_se)
        node_set_operand(n, 0, mean_of_depthwise(g, def));
    else if (def->op == OP_dwconv2d)
        replace_node(g, n, mean_of_depthwise(g, def));
    else if (n->op == OP_global_avg_pool && is_plain_conv(def))
        fuse_head(g, n, def);
}

bool pass_fuse_pool(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        if (n->op == OP_se || n->op == OP_global_avg_pool)
            fuse(g, n);
    }
    graph_dce(g);
    return true;
}
