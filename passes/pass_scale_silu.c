/* scale-silu: silu behind conv2d, dwconv2d or dense becomes silu_exp2, and the weights and the bias
 * take in its factor -log2(e):
 *
 *   silu(w * x + b) = silu_exp2((k * w) * x + k * b)    with k = -log2(e)
 *
 * silu(y) is y / (1 + 2^(k * y)); silu_exp2(t) has the factor 1 / k in the constants of its power
 * of two, so that neither end costs a multiplication. The result is the same but for the rounding
 * of the weights, and what reads it sees no difference.
 *
 * Needs: fuse-act, and what changes weights. Leaves alone: weights that are no constants, or that
 * were made anew too often. */
#include "passes/match.h"

static void scale(Graph *g, Node *n) {
    int64_t channels = node_in(n, 1)->type.shape.dim[0];
    double *by = ARENA_ARRAY(&g->arena, channels, double);
    for (int64_t c = 0; c < channels; c++)
        by[c] = MINUS_LOG2E;
    scale_weights(g, n, by);
    *fused_act(n) = ACT_silu_exp2;
}

bool pass_scale_silu(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        if (has_weights(n) && *fused_act(n) == ACT_silu && has_constant_weights(n) &&
            graph_may_grow(g, tensor_bytes(node_in(n, 1)->constant)))
            scale(g, n);
    }
    graph_dce(g);
    return true;
}
