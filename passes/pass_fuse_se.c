/* fuse-se: squeeze-and-excitation (Hu et al. 2018, section 3) becomes one op.
 *
 *   p = global_avg_pool(x); s = conv2d 1x1(p, act); g = conv2d 1x1(s, gate)  ->  g = se(x)
 *
 * Either may be a dense layer, with a reshape of [N,C] to [N,C,1,1] behind it. The product of x and
 * g is left to fuse-scale. Needs: fuse-act. Leaves alone: a pool or a squeezed value that something
 * else reads, gates other than sigmoid and hard_sigmoid, and what has other channels than x: a
 * classifier of images that ends in a sigmoid. */
#include "passes/match.h"

/* Whether v is [N,C,1,1], or [N,C]. */
static bool is_pixel(const Value *v) {
    const Shape *s = &v->type.shape;
    return s->rank == 2 || (s->rank == 4 && s->dim[2] == 1 && s->dim[3] == 1);
}

/* Past a reshape between [N,C] and [N,C,1,1]. */
static Value *pixel_source(Value *v) {
    const Node *r = v->def;
    if (!r || r->op != OP_reshape || !is_pixel(v) || !is_pixel(node_in(r, 0)))
        return v;
    const Shape *from = &node_in(r, 0)->type.shape, *to = &v->type.shape;
    return from->dim[0] == to->dim[0] && from->dim[1] == to->dim[1] ? node_in(r, 0) : v;
}

static bool is_layer(const Node *n) {
    return n->op == OP_dense || is_conv_1x1(n);
}

/* The layer of one pixel per image that makes v, reshaped or not, for one user alone. */
static Node *pixel_layer(Value *v) {
    Value *source = pixel_source(v);
    Node *n = source->def;
    if (!n || !is_layer(n) || !is_pixel(source) || !value_single_user(v) ||
        !value_single_user(source))
        return NULL;
    return n;
}

/* [M,K,1,1] of a layer's weights. */
static Value *weights_of(Graph *g, const Node *layer) {
    Value *w = node_in(layer, 1);
    const Shape *s = &w->type.shape;
    if (s->rank == 4)
        return w;
    return graph_constant_view(g, w, 0, SHAPE(s->dim[0], s->dim[1], 1, 1));
}

/* The op's bias, or zeros where it has none. */
static Value *bias_of(Graph *g, Node *conv) {
    if (node_in(conv, 2))
        return node_in(conv, 2);
    float *zeros;
    const Value *w = node_in(conv, 1);
    return new_constant_f32(g, arena_printf(&g->arena, "%s.bias", w->name),
                            SHAPE(w->type.shape.dim[0]), &zeros);
}

/* `gate` gives what `excite` computes: it is that, or the reshape behind it. */
static void fuse(Graph *g, Node *gate, Node *excite, Node *squeeze, Node *pool) {
    Value *operands[] = {node_in(pool, 0), weights_of(g, squeeze), bias_of(g, squeeze),
                         weights_of(g, excite), bias_of(g, excite)};
    Node *se = new_node(g, OP_se, gate, operands, 5);
    *se_attrs(se) = (SeAttrs){.act = *fused_act(squeeze), .gate = *fused_act(excite)};
    node_infer_or_die(se);
    se->origin = origin_join(g, origin_join(g, pool->origin, squeeze->origin), excite->origin);
    replace_node(g, gate, node_out(se));
}

/* The layer whose result n gives as [N,C,1,1]; NULL where it is none, or not the gate of an se. */
static Node *gate_layer(Node *n) {
    if (node_out(n)->type.shape.rank != 4 || !is_pixel(node_out(n)))
        return NULL;
    Node *layer = is_layer(n) ? n : n->op == OP_reshape ? pixel_source(node_out(n))->def : NULL;
    if (!layer || !is_layer(layer) || (layer != n && !value_single_user(node_out(layer))) ||
        (*fused_act(layer) != ACT_sigmoid && *fused_act(layer) != ACT_hard_sigmoid))
        return NULL;
    return layer;
}

static bool has_known_weights(const Node *layer) {
    const Value *w = node_in(layer, 1);
    return layer->op != OP_dense || (w->constant && w->constant->data);
}

/* Whether the layer gives a number for each channel of the pool. */
static bool gives_channels(const Node *layer, const Node *pool) {
    return node_in(layer, 1)->type.shape.dim[0] == node_out(pool)->type.shape.dim[1];
}

static Node *pool_before(const Node *squeeze) {
    Value *v = node_in(squeeze, 0), *source = pixel_source(v);
    Node *pool = source->def;
    return pool && pool->op == OP_global_avg_pool && value_single_user(v) &&
                   value_single_user(source)
               ? pool
               : NULL;
}

bool pass_fuse_se(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        Node *excite = gate_layer(n);
        Node *squeeze = excite ? pixel_layer(node_in(excite, 0)) : NULL;
        Node *pool = squeeze ? pool_before(squeeze) : NULL;
        if (pool && gives_channels(excite, pool) && has_known_weights(excite) &&
            has_known_weights(squeeze))
            fuse(g, n, excite, squeeze, pool);
    }
    graph_dce(g);
    return true;
}
