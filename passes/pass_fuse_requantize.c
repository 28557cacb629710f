/* fuse-requantize: a product with known factors and the fake_quant behind it become requantize,
 * which makes integers of sums of products of integers: what QLinearConv and QLinearMatMul end in.
 * It rounds where the two did, so that no result changes.
 *
 * Needs: fuse-quantize, fold-scale (which puts factors into weights where sums needn't be exact).
 * Leaves alone: a product that something else reads, factors that are computed, and those that make
 * the shape larger. */
#include "passes/match.h"

/* The slot of the factors of a product; -1 where they aren't known, or x is repeated for them. */
static int factors_of(const Node *mul) {
    for (int i = 1; i >= 0; i--)
        if (node_in(mul, i)->constant &&
            shape_equal(&node_in(mul, 1 - i)->type.shape, &node_out(mul)->type.shape))
            return i;
    return -1;
}

static void fuse(Graph *g, Node *quant, const Node *mul, int factors) {
    Value *operands[] = {node_in(mul, 1 - factors), node_in(mul, factors)};
    Node *r = new_node(g, OP_requantize, quant, operands, 2);
    *fake_quant_attrs(r) = *fake_quant_attrs(quant);
    node_infer_or_die(r);
    r->origin = origin_join(g, mul->origin, quant->origin);
    replace_node(g, quant, node_out(r));
}

bool pass_fuse_requantize(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        const Node *mul = n->op == OP_fake_quant ? node_in(n, 0)->def : NULL;
        if (!mul || mul->op != OP_mul || !only_read_by(node_out(mul), OP_fake_quant))
            continue;
        int factors = factors_of(mul);
        if (factors >= 0)
            fuse(g, n, mul, factors);
    }
    graph_dce(g);
    return true;
}
