/* fuse-silu: the arithmetic that is an activation becomes that activation.
 *
 *   mul(x, sigmoid(x))             -> silu(x)
 *   mul(x, hard_sigmoid(x))        -> hard_swish(x)
 *   div(x, add(1, exp(neg(x))))    -> silu(x)
 *   div(1, add(1, exp(neg(x))))    -> sigmoid(x)
 *
 * A product and a sum may have their operands in either order; neg(x) may be sub(0, x) or a product
 * with -1. Needs: canonicalise. Leaves alone: a product with the sigmoid of another value (that is
 * a gate), and a constant that makes the shape larger. What something else reads stays. */
#include "passes/match.h"

static const struct {
    Act gate, product;
} products[] = {
    {ACT_sigmoid, ACT_silu},
    {ACT_hard_sigmoid, ACT_hard_swish},
};

/* n is op(a, x) with a constant a of one element, which is `number`, and has x's shape; x comes
 * back, else NULL. Where the op commutes the constant may come second. */
static Value *scalar_and(const Node *n, Op op, double number) {
    if (!n || n->op != op)
        return NULL;
    int orders = op_info(op)->flags & OPF_COMMUTES ? 2 : 1;
    for (int i = 0; i < orders; i++) {
        const Tensor *t = node_in(n, i)->constant;
        Value *x = node_in(n, 1 - i);
        if (t && t->data && shape_elems(&t->shape) == 1 && tensor_f64(t, 0) == number &&
            shape_equal(&x->type.shape, &node_out(n)->type.shape))
            return x;
    }
    return NULL;
}

/* x where n makes -x, else NULL. */
static Value *negated(const Node *n) {
    if (n && n->op == OP_neg)
        return node_in(n, 0);
    Value *x = scalar_and(n, OP_sub, 0);
    return x ? x : scalar_and(n, OP_mul, -1);
}

/* x where n makes 1 + exp(-x), else NULL. */
static Value *logistic_denominator(const Node *n) {
    Value *e = scalar_and(n, OP_add, 1);
    return e && e->def && e->def->op == OP_exp ? negated(node_in(e->def, 0)->def) : NULL;
}

/* The activation of x takes n's place; its origin names n and the nodes that went into it, which
 * come last first. */
static void fuse(Graph *g, Node *n, Value *x, Act act, Node *const *parts, int nparts) {
    Node *fused = new_before(g, op_from_act(act), n, (Value *[]){x}, 1);
    for (int i = 0; i < nparts; i++)
        fused->origin = origin_join(g, parts[i]->origin, fused->origin);
    replace_node(g, n, node_out(fused));
}

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

static void fuse_product(Graph *g, Node *n) {
    for (int i = 0; i < 2; i++) {
        Value *x = node_in(n, i), *gate = node_in(n, 1 - i);
        Act act = product_of(x, gate);
        if (act != ACT_none) {
            fuse(g, n, x, act, &gate->def, 1);
            return;
        }
    }
}

static void fuse_quotient(Graph *g, Node *n) {
    Node *add = node_in(n, 1)->def;
    Value *x = logistic_denominator(add);
    if (!x)
        return;
    Act act = node_in(n, 0) == x                          ? ACT_silu
              : scalar_and(n, OP_div, 1) == node_out(add) ? ACT_sigmoid
                                                          : ACT_none;
    Node *exp = scalar_and(add, OP_add, 1)->def;
    if (act != ACT_none)
        fuse(g, n, x, act, (Node *[]){add, exp, node_in(exp, 0)->def}, 3);
}

bool pass_fuse_silu(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        if (n->op == OP_mul)
            fuse_product(g, n);
        else if (n->op == OP_div)
            fuse_quotient(g, n);
    }
    graph_dce(g);
    return true;
}
