/* fold-scale: arithmetic with constants behind conv2d, dwconv2d or dense goes into its weights:
 *
 *   mul(conv(x), s), div(conv(x), s)  -> weights and bias times s or 1/s, per output channel
 *   add(conv(x), s), sub(conv(x), s)  -> bias plus or minus s
 *
 * where s has one element, or one per channel. That is how exporters spell a batch norm that they
 * have folded halfway. Needs: canonicalise. Leaves alone: a convolution with another user, an
 * activation or a residual, constants of other shapes, weights that were made anew too often, and
 * sub and div with the constant on the left. */
#include "passes/match.h"

static double element(const float *s, const Value *v, int64_t channel) {
    return s[shape_elems(&v->type.shape) == 1 ? 0 : channel];
}

static void scale(Graph *g, Node *conv, const Value *by, bool divide) {
    const float *s = constant_f32(by);
    int64_t channels = node_in(conv, 1)->type.shape.dim[0];
    double *factors = ARENA_ARRAY(&g->arena, channels, double);
    for (int64_t c = 0; c < channels; c++)
        factors[c] = divide ? 1 / element(s, by, c) : element(s, by, c);
    scale_weights(g, conv, factors);
}

static void shift_bias(Graph *g, Node *conv, const Value *by, bool subtract) {
    const float *b = constant_f32(node_in(conv, 2)), *s = constant_f32(by);
    const Value *w = node_in(conv, 1);
    int64_t channels = w->type.shape.dim[0];
    float *new_b;
    Value *bv =
        new_constant_f32(g, arena_printf(&g->arena, "%s.bias", w->name), SHAPE(channels), &new_b);
    for (int64_t c = 0; c < channels; c++) {
        double shift = subtract ? -element(s, by, c) : element(s, by, c);
        new_b[c] = (float)((b ? b[c] : 0) + shift);
    }
    node_set_operand(conv, 2, bv);
}

/* A convolution whose weights can change: all constants known, nothing fused behind it, and not of
 * integers. */
static bool is_open(const Node *conv) {
    if (conv->op == OP_dense ? dense_attrs(conv)->exact : conv_attrs(conv)->exact)
        return false;
    return *fused_act(conv) == ACT_none && has_constant_weights(conv) && !has_epilogue(conv);
}

static bool fold(Graph *g, Node *n, int side) {
    Node *conv = sole_producer_with_weights(node_in(n, side));
    const Value *s = node_in(n, 1 - side);
    bool constant_on_left = side == 1, scales = n->op == OP_mul || n->op == OP_div;
    if (!conv || !constant_f32(s) || !is_open(conv) ||
        !is_by_channel(s, &node_out(n)->type.shape) ||
        !shape_equal(&node_out(conv)->type.shape, &node_out(n)->type.shape) ||
        !graph_may_grow(g, tensor_bytes(node_in(conv, 1)->constant)) ||
        (constant_on_left && (n->op == OP_sub || n->op == OP_div)))
        return false;
    if (scales)
        scale(g, conv, s, n->op == OP_div);
    else
        shift_bias(g, conv, s, n->op == OP_sub);
    conv->origin = origin_join(g, conv->origin, n->origin);
    replace_node(g, n, node_out(conv));
    return true;
}

bool pass_fold_scale(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        if (n->op == OP_mul || n->op == OP_div || n->op == OP_add || n->op == OP_sub)
            (void)(fold(g, n, 0) || fold(g, n, 1));
    }
    graph_dce(g);
    return true;
}
