/* fuse-pad: what is around height and width goes into the padding of the op behind it: zeros into
 * that of a convolution and, as pixels that count, into that of a mean; -inf into that of a
 * maximum.
 *
 * Needs: fold-constants (pads computed from shapes are attributes by then). Leaves alone: other
 * values, padding of batch or channels, zeros before a mean with padding that doesn't count, and
 * more padding than a halo has. Each op that reads the pad takes it over; the pad stays
 * for other users. */
#include "passes/match.h"

#include <math.h>

static bool is_plane_padding(const Node *n) {
    if (n->op != OP_pad)
        return false;
    const PadAttrs *a = pad_attrs(n);
    return a->before.n == 4 && !a->before.v[0] && !a->before.v[1] && !a->after.v[0] &&
           !a->after.v[1];
}

static bool counts_all(const PoolAttrs *a) {
    bool all = true;
    for (int i = 0; i < 4; i++)
        all &= a->pad.v[i] == a->counted.v[i];
    return all;
}

/* Whether n pads with `value` itself. */
static bool pads_with(const Node *n, double value) {
    if (n->op == OP_max_pool)
        return value == -INFINITY;
    if (n->op == OP_avg_pool)
        return value == 0 && counts_all(pool_attrs(n));
    return (n->op == OP_conv2d || n->op == OP_dwconv2d) && value == 0;
}

static Dim4 *padding_of(const Node *n) {
    bool is_pool = op_info(n->op)->attrs == ATTRSET_pool;
    return is_pool ? &pool_attrs(n)->pad : &conv_attrs(n)->pad;
}

static bool fits(const Dim4 *to, const PadAttrs *from) {
    for (int i = 0; i < 2; i++)
        if (to->v[i] + from->before.v[2 + i] > MAX_HALO ||
            to->v[2 + i] + from->after.v[2 + i] > MAX_HALO)
            return false;
    return true;
}

static void add_padding(Dim4 *to, const PadAttrs *from) {
    for (int i = 0; i < 2; i++) {
        to->v[i] += from->before.v[2 + i];
        to->v[2 + i] += from->after.v[2 + i];
    }
}

static void fuse(Graph *g, Node *n, const Node *pad) {
    add_padding(padding_of(n), pad_attrs(pad));
    if (n->op == OP_avg_pool)
        add_padding(&pool_attrs(n)->counted, pad_attrs(pad));
    n->origin = origin_join(g, n->origin, pad->origin);
    node_set_operand(n, 0, node_in(pad, 0));
}

bool pass_fuse_pad(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE(g, n) {
        for (Node *pad; n->noperands && node_in(n, 0) && (pad = node_in(n, 0)->def) &&
                        is_plane_padding(pad) && pads_with(n, pad_attrs(pad)->value) &&
                        fits(padding_of(n), pad_attrs(pad));)
            fuse(g, n, pad);
    }
    graph_dce(g);
    return true;
}
