/* fuse-pad: zeros around height and width go into the padding of the convolution behind them.
 *
 * Needs: fold-constants (pads computed from shapes are attributes by then). Leaves alone: other
 * values than 0, and padding of batch or channels. Each convolution that reads the pad takes it
 * over; the pad stays for other users. */
#include "passes/match.h"

static bool is_plane_padding(const Node *n) {
    if (n->op != OP_pad)
        return false;
    const PadAttrs *a = pad_attrs(n);
    return a->value == 0 && a->before.n == 4 && !a->before.v[0] && !a->before.v[1] &&
           !a->after.v[0] && !a->after.v[1];
}

static void fuse(Graph *g, Node *conv, const Node *pad) {
    const PadAttrs *from = pad_attrs(pad);
    Dim4 *to = &conv_attrs(conv)->pad;
    to->v[0] += from->before.v[2];
    to->v[1] += from->before.v[3];
    to->v[2] += from->after.v[2];
    to->v[3] += from->after.v[3];
    conv->origin = origin_join(g, conv->origin, pad->origin);
    node_set_operand(conv, 0, node_in(pad, 0));
}

bool pass_fuse_pad(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE(g, n) {
        if (n->op != OP_conv2d && n->op != OP_dwconv2d)
            continue;
        for (Node *pad; (pad = node_in(n, 0)->def) && is_plane_padding(pad);)
            fuse(g, n, pad);
    }
    graph_dce(g);
    return true;
}
