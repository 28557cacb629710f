/* fuse-act: an activation behind conv2d, dwconv2d or dense becomes its `act` attribute.
 *
 * Needs: fuse-silu, fold-batch-norm. Leaves alone: a result that something else reads too, an op
 * that has an activation already, and a convolution with a residual (which is added behind the
 * activation, so act(conv + residual) is another thing). */
#include "passes/match.h"

bool pass_fuse_act(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        Act act;
        if (!op_is_act(n->op, &act))
            continue;
        Node *conv = sole_producer_with_weights(node_in(n, 0));
        if (!conv || *fused_act(conv) != ACT_none || has_epilogue(conv))
            continue;
        *fused_act(conv) = act;
        conv->origin = origin_join(g, conv->origin, n->origin);
        replace_node(g, n, node_out(conv));
    }
    graph_dce(g);
    return true;
}
