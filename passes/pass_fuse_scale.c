/* fuse-scale: a factor per channel and image goes into the convolution behind it:
 * conv2d(mul(x, g)) with g [N,C,1,1] becomes conv2d x, scale=g.
 *
 * Needs: fuse-se, fuse-act. Leaves alone: a product that something else reads, grouped
 * convolutions, one that has a scale already, one with padding (the kernels scale the weights, and
 * a padded 0 times a gate that is not finite would be NaN), and one of so few pixels that scaling
 * them costs less. */
#include "passes/lower.h"
#include "passes/match.h"

static bool is_per_channel(const Value *g, const Value *x) {
    const Shape *gs = &g->type.shape, *xs = &x->type.shape;
    return gs->rank == 4 && xs->rank == 4 && gs->dim[0] == xs->dim[0] && gs->dim[1] == xs->dim[1] &&
           gs->dim[2] == 1 && gs->dim[3] == 1;
}

/* Kernels scale the weights: K * N products, once for all pixels. Where an image has fewer pixels
 * than N, it's cheaper to scale those, unless kernels do that in blocks that the cache holds. */
static bool fusing_pays(const Node *conv, const PassContext *cx) {
    const ConvAttrs *a = conv_attrs(conv);
    bool pointwise = a->kernel.v[0] == 1 && a->kernel.v[1] == 1 && a->stride.v[1] == 1;
    const Shape *x = &node_in(conv, 0)->type.shape, *y = &node_out(conv)->type.shape;
    GemmSize s = {x->dim[1], y->dim[1], x->dim[2] * x->dim[3]};
    return s.pixels >= s.n || (pointwise && gemm_k_blocks(&s, cx) > 1);
}

static bool fuse(Graph *g, Node *conv, Node *mul) {
    for (int i = 0; i < 2; i++) {
        Value *x = node_in(mul, i), *scale = node_in(mul, 1 - i);
        if (!is_per_channel(scale, x))
            continue;
        node_set_operand(conv, 0, x);
        node_set_operand(conv, node_slot(conv, "scale"), scale);
        conv->origin = origin_join(g, conv->origin, mul->origin);
        return true;
    }
    return false;
}

bool pass_fuse_scale(Graph *g, PassContext *cx) {
    FOR_EACH_NODE(g, n) {
        if (n->op != OP_conv2d || conv_attrs(n)->group != 1 || has_padding(n) ||
            node_in(n, node_slot(n, "scale")) || node_in(n, node_slot(n, "steps")))
            continue;
        Node *mul = node_in(n, 0)->def;
        if (mul && mul->op == OP_mul && value_single_user(node_out(mul)) && fusing_pays(n, cx))
            fuse(g, n, mul);
    }
    graph_dce(g);
    return true;
}
