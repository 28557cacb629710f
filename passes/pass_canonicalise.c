/* canonicalise: one form for each thing that exporters spell in several ways.
 *
 *   identity, none, cast to the same type, pad by 0          gone
 *   reshape and transpose that change nothing                gone
 *   reshape of a reshape                                     one reshape
 *   clip to [0, 6], [0, inf), (-inf, inf)                    relu6, relu, gone
 *   conv2d with one input and output channel a group         dwconv2d
 *   dense of [N,K,1,1] reshaped to [N,K]                     dense of [N,K,1,1]
 *   reduce_mean over height and width, or over the one dim
 *   that they were reshaped to                               global_avg_pool (and a reshape)
 *
 * Needs: nothing. Leaves alone: everything else; in particular a channel multiplier over 1. */
#include "passes/match.h"

#include <math.h>

/* Tries to rewrite n; true where it did (n may be erased then). */
typedef bool Rewrite(Graph *g, Node *n);

static bool drop(Graph *g, Node *n) {
    replace_node(g, n, node_in(n, 0));
    return true;
}

static bool rewrite_cast(Graph *g, Node *n) {
    return node_in(n, 0)->type.dtype == cast_attrs(n)->to && drop(g, n);
}

static bool rewrite_pad(Graph *g, Node *n) {
    const PadAttrs *a = pad_attrs(n);
    for (int i = 0; i < a->before.n; i++)
        if (a->before.v[i] != 0 || a->after.v[i] != 0)
            return false;
    return drop(g, n);
}

static bool rewrite_clip(Graph *g, Node *n) {
    const ClipAttrs *a = clip_attrs(n);
    if (a->min == -INFINITY && a->max == INFINITY)
        return drop(g, n);
    bool is_act = a->min == 0 && (a->max == 6 || a->max == INFINITY);
    if (!is_act || !dtype_is_float(node_out(n)->type.dtype))
        return false;
    Op op = op_from_act(a->max == 6 ? ACT_relu6 : ACT_relu);
    replace_node(g, n, node_out(new_before(g, op, n, (Value *[]){node_in(n, 0)}, 1)));
    return true;
}

static bool rewrite_reshape(Graph *g, Node *n) {
    for (Node *r; (r = node_in(n, 0)->def) && r->op == OP_reshape;)
        node_set_operand(n, 0, node_in(r, 0));
    return shape_equal(&node_in(n, 0)->type.shape, &node_out(n)->type.shape) && drop(g, n);
}

static bool rewrite_transpose(Graph *g, Node *n) {
    Ints perm = transpose_attrs(n)->perm;
    for (int i = 0; i < perm.n; i++)
        if (perm.v[i] != i)
            return false;
    return drop(g, n);
}

static bool rewrite_conv2d(Graph *g, Node *n) {
    const ConvAttrs *a = conv_attrs(n);
    const Value *x = node_in(n, 0), *w = node_in(n, 1);
    int64_t channels = x->type.shape.dim[1];
    if (a->group != channels || w->type.shape.dim[0] != channels || channels == 1 ||
        node_in(n, node_slot(n, "scale")) || node_in(n, node_slot(n, "residual")))
        return false;
    Node *dw =
        new_node(g, OP_dwconv2d, n, (Value *[]){node_in(n, 0), node_in(n, 1), node_in(n, 2)}, 3);
    *conv_attrs(dw) = *a;
    conv_attrs(dw)->group = 1;
    node_infer_or_die(dw);
    replace_node(g, n, node_out(dw));
    return true;
}

static bool rewrite_dense(Graph *g, Node *n) {
    (void)g;
    Node *r = node_in(n, 0)->def;
    if (!r || r->op != OP_reshape)
        return false;
    const Shape *from = &node_in(r, 0)->type.shape, *to = &node_out(r)->type.shape;
    if (from->rank != 4 || from->dim[0] != to->dim[0] || from->dim[1] != to->dim[1])
        return false;
    node_set_operand(n, 0, node_in(r, 0));
    return true;
}

/* Whether both dims of the planes of x are among the axes, and nothing else. */
static bool is_over_planes(const Value *x, Ints axes) {
    return x->type.shape.rank == 4 && axes.n == 2 && axes.v[0] + axes.v[1] == 5 &&
           axes.v[0] * axes.v[1] == 6;
}

/* The value whose planes x has as its last dim: x is [N,C,H*W], that is [N,C,H,W]. NULL where none.
 */
static Value *unflattened(const Value *x, Ints axes) {
    const Node *r = x->def;
    if (!r || r->op != OP_reshape || axes.n != 1 || axes.v[0] != 2 || x->type.shape.rank != 3)
        return NULL;
    Value *planes = node_in(r, 0);
    const Shape *from = &planes->type.shape, *to = &x->type.shape;
    return from->rank == 4 && from->dim[0] == to->dim[0] && from->dim[1] == to->dim[1] ? planes
                                                                                       : NULL;
}

static bool rewrite_reduce_mean(Graph *g, Node *n) {
    Ints axes = reduce_attrs(n)->axes;
    Value *x = node_in(n, 0), *planes = is_over_planes(x, axes) ? x : unflattened(x, axes);
    if (!planes)
        return false;
    Value *pool = node_out(new_before(g, OP_global_avg_pool, n, (Value *[]){planes}, 1));
    if (!shape_equal(&pool->type.shape, &node_out(n)->type.shape))
        pool = new_reshape(g, n, pool, node_out(n)->type.shape);
    replace_node(g, n, pool);
    return true;
}

static Rewrite *const rewrites[OP_COUNT] = {
    [OP_identity] = drop,
    [OP_cast] = rewrite_cast,
    [OP_pad] = rewrite_pad,
    [OP_clip] = rewrite_clip,
    [OP_reshape] = rewrite_reshape,
    [OP_transpose] = rewrite_transpose,
    [OP_conv2d] = rewrite_conv2d,
    [OP_dense] = rewrite_dense,
    [OP_reduce_mean] = rewrite_reduce_mean,
};

bool pass_canonicalise(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        if (rewrites[n->op])
            rewrites[n->op](g, n);
    }
    graph_dce(g);
    return true;
}
