/* fuse-requantize: a product with known factors and the fake_quant behind it become requantize,
 * which makes integers of sums of products of integers: what QLinearConv and QLinearMatMul end in.
 * A sum, of what may be multiplied by one number each, and the fake_quant behind it become
 * requantize_sum. They round where the ops did, so that no result changes.
 *
 * Needs: fuse-quantize, fold-scale (which puts factors into weights where sums needn't be exact).
 * Leaves alone: a product that something else reads, factors that are computed, and those that make
 * the shape larger; sums that a convolution can take. */
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

/* What v is a multiple of. */
static Value *multiple_of(Value *v, double *by) {
    const Node *n = v->def;
    int slot = n && n->op == OP_mul ? factors_of(n) : -1;
    const float *f = slot < 0 ? NULL : constant_f32(node_in(n, slot));
    bool is_number = f && shape_elems(&node_in(n, slot)->type.shape) == 1;
    *by = is_number ? (double)*f : 1;
    return is_number ? node_in(n, 1 - slot) : v;
}

/* A sum of two values of one shape, neither of which a convolution made for it. */
static bool is_sum(const Node *n) {
    return n->op == OP_add && only_read_by(node_out(n), OP_fake_quant) &&
           shape_equal(&node_in(n, 0)->type.shape, &node_in(n, 1)->type.shape) &&
           !sole_producer_with_weights(node_in(n, 0)) && !sole_producer_with_weights(node_in(n, 1));
}

static void fuse_sum(Graph *g, Node *quant, const Node *add) {
    const FakeQuantAttrs *a = fake_quant_attrs(quant);
    double by_a, by_b;
    Value *operands[] = {multiple_of(node_in(add, 0), &by_a), multiple_of(node_in(add, 1), &by_b)};
    Node *r = new_node(g, OP_requantize_sum, quant, operands, 2);
    *requantize_sum_attrs(r) =
        (RequantizeSumAttrs){by_a, by_b, a->divide, a->times, a->min, a->max};
    node_infer_or_die(r);
    r->origin = origin_join(g, add->origin, quant->origin);
    replace_node(g, quant, node_out(r));
}

/* What fake_quants may take in: a product with known factors or a sum, which nothing else reads. */
static bool is_for_integers(const Node *n) {
    return is_sum(n) ||
           (n->op == OP_mul && factors_of(n) >= 0 && only_read_by(node_out(n), OP_fake_quant));
}

bool pass_fuse_requantize(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE(g, n) {
        n->mark = is_for_integers(n); /* once: thousands may read it */
    }
    FOR_EACH_NODE_SAFE(g, n) {
        const Node *made = n->op == OP_fake_quant ? node_in(n, 0)->def : NULL;
        if (!made || !made->mark)
            continue;
        if (made->op == OP_add)
            fuse_sum(g, n, made);
        else
            fuse(g, n, made, factors_of(made));
    }
    graph_dce(g);
    return true;
}
