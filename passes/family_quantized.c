/* family_quantized.c: a quantised network without its quantisation, so that the blocks show which
 * it was made from. */
#include "passes/family.h"

#include "passes/match.h"

static bool is_made_by(const Value *v, Op op) {
    return v && v->def && v->def->op == op;
}

static bool is_scalar_at_run_time(const Value *v) {
    return !v->constant && shape_elems(&v->type.shape) == 1;
}

static bool is_f32_like(const Value *v, const Node *n) {
    return v->type.dtype == DT_f32 && shape_equal(&v->type.shape, &node_out(n)->type.shape);
}

/* What n makes of a value by rounding it, by casts of integers, or by a scale that is measured at
 * run time; NULL where it does something else. */
static Value *before_rounding(const Node *n) {
    if (n->op == OP_fake_quant || n->op == OP_quantize_shifted)
        return node_in(n, 0);
    if (n->op == OP_dequantize && is_made_by(node_in(n, 0), OP_quantize))
        return node_in(node_in(n, 0)->def, 0);
    if (n->op == OP_cast && is_made_by(node_in(n, 0), OP_cast))
        return node_in(node_in(n, 0)->def, 0);
    for (int side = 0; n->op == OP_mul && side < 2; side++)
        if (is_scalar_at_run_time(node_in(n, 1 - side)))
            return node_in(n, side);
    return NULL;
}

/* The convolution that makes v, before what is folded into it. */
static const Node *convolution_of(const Value *v) {
    const Node *n = v->def;
    while (n && (n->op == OP_mul || n->op == OP_add) && node_in(n, 1)->constant)
        n = node_in(n, 0)->def;
    return n && has_weights(n) ? n : NULL;
}

/* Where rounding takes the place of an activation: there is nothing below 0. */
static bool cuts_negatives(const Node *n) {
    return n->op == OP_fake_quant && fake_quant_attrs(n)->min == 0 && convolution_of(node_in(n, 0));
}

static bool is_quantized(const Graph *g) {
    FOR_EACH_NODE((Graph *)g, n) {
        if (n->op == OP_fake_quant || n->op == OP_quantize || n->op == OP_quantize_shifted)
            return true;
    }
    return false;
}

bool network_without_rounding(Graph *g) {
    if (!is_quantized(g))
        return false;
    FOR_EACH_NODE_SAFE(g, n) {
        if (n->op == OP_conv2d || n->op == OP_dwconv2d)
            conv_attrs(n)->exact = false;
        else if (n->op == OP_dense)
            dense_attrs(n)->exact = false;
        Value *x = before_rounding(n);
        if (!x || !is_f32_like(x, n))
            continue;
        if (cuts_negatives(n))
            x = node_out(new_before(g, OP_act_relu, n, &x, 1));
        replace_node(g, n, x);
    }
    graph_dce(g);
    return true;
}
