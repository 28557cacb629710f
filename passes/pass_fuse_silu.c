/* fuse-silu: the products that are an activation become that activation.
 *
 *   mul(x, sigmoid(x))       -> silu(x)
 *   mul(x, hard_sigmoid(x))  -> hard_swish(x)
 *
 * Needs: canonicalise. Leaves alone: a product with the sigmoid of another value (that is a gate).
 * The sigmoid stays where something else reads it. */
#include "passes/match.h"

static const struct {
    Act gate, product;
} products[] = {
    {ACT_sigmoid, ACT_silu},
    {ACT_hard_sigmoid, ACT_hard_swish},
};

/* The activation that x * gate is, or ACT_none. */
static Act product_of(const Value *x, const Value *gate) {
    Act act;
    if (!gate->def || !op_is_act(gate->def->op, &act) || node_in(gate->def, 0) != x)
        return ACT_none;
    for (size_t i = 0; i < sizeof products / sizeof *products; i++)
        if (products[i].gate == act)
            return products[i].product;
    return ACT_none;
}

static void fuse(Graph *g, Node *mul, Value *x, Node *gate, Act act) {
    Node *n = new_before(g, op_from_act(act), mul, (Value *[]){x}, 1);
    n->origin = origin_join(g, gate->origin, mul->origin);
    replace_node(g, mul, node_out(n));
}

bool pass_fuse_silu(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        if (n->op != OP_mul)
            continue;
        for (int i = 0; i < 2; i++) {
            Value *x = node_in(n, i), *gate = node_in(n, 1 - i);
            Act act = product_of(x, gate);
            if (act != ACT_none) {
                fuse(g, n, x, gate->def, act);
                break;
            }
        }
    }
    graph_dce(g);
    return true;
}
