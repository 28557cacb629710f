/* fuse-se: squeeze-and-excitation (Hu et al. 2018, section 3) becomes one op.
 *
 *   p = global_avg_pool(x); s = conv2d 1x1(p, act); g = conv2d 1x1(s, gate)  ->  g = se(x)
 *
 * The product of x and g is left to fuse-scale. Needs: fuse-act. Leaves alone: a pool or a squeezed
 * value that something else reads, and gates other than sigmoid and hard_sigmoid. */
#include "passes/match.h"

/* The 1x1 convolution of one pixel per image that makes v for one user alone. */
static Node *pixel_conv(const Value *v) {
    Node *n = v->def;
    if (!n || !is_conv_1x1(n) || !value_single_user(v))
        return NULL;
    const Shape *s = &v->type.shape;
    return s->dim[2] == 1 && s->dim[3] == 1 ? n : NULL;
}

/* The op's bias, or zeros where it has none. */
static Value *bias_of(Graph *g, Node *conv) {
    if (node_in(conv, 2))
        return node_in(conv, 2);
    float *zeros;
    const Value *w = node_in(conv, 1);
    return new_constant_f32(g, arena_printf(&g->arena, "%s.bias", w->name),
                            SHAPE(w->type.shape.dim[0]), &zeros);
}

static void fuse(Graph *g, Node *excite, Node *squeeze, Node *pool) {
    Value *operands[] = {node_in(pool, 0), node_in(squeeze, 1), bias_of(g, squeeze),
                         node_in(excite, 1), bias_of(g, excite)};
    Node *se = new_node(g, OP_se, excite, operands, 5);
    *se_attrs(se) = (SeAttrs){.act = *fused_act(squeeze), .gate = *fused_act(excite)};
    node_infer_or_die(se);
    se->origin = origin_join(g, origin_join(g, pool->origin, squeeze->origin), excite->origin);
    replace_node(g, excite, node_out(se));
}

bool pass_fuse_se(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        if (!is_conv_1x1(n) || (*fused_act(n) != ACT_sigmoid && *fused_act(n) != ACT_hard_sigmoid))
            continue;
        Node *squeeze = pixel_conv(node_in(n, 0));
        Node *pool = squeeze ? node_in(squeeze, 0)->def : NULL;
        if (pool && pool->op == OP_global_avg_pool && value_single_user(node_out(pool)))
            fuse(g, n, squeeze, pool);
    }
    graph_dce(g);
    return true;
}
