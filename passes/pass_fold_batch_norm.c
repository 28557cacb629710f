/* fold-batch-norm: an inference batch norm behind conv2d, dwconv2d or dense goes into its weights
 * (Ioffe & Szegedy 2015, section 3.1): per output channel, with s = scale / sqrt(var + epsilon),
 * w' = w * s and b' = (b - mean) * s + shift, computed in double precision.
 *
 * Needs: canonicalise (identities between the two are gone). Leaves alone: a convolution with
 * another user, an activation or a residual, and other weights or statistics than f32
 * constants, and weights that were made anew too often. */
#include "passes/match.h"

#include <math.h>

typedef struct Folding {
    const float *w, *b; /* of the convolution; b may be NULL */
    const float *scale, *shift, *mean, *var;
    double epsilon;
} Folding;

static bool can_fold(const Node *bn, const Node *conv, Folding *f) {
    if (*fused_act(conv) != ACT_none || has_epilogue(conv))
        return false;
    *f = (Folding){.w = constant_f32(node_in(conv, 1)),
                   .b = constant_f32(node_in(conv, 2)),
                   .scale = constant_f32(node_in(bn, 1)),
                   .shift = constant_f32(node_in(bn, 2)),
                   .mean = constant_f32(node_in(bn, 3)),
                   .var = constant_f32(node_in(bn, 4)),
                   .epsilon = batch_norm_attrs(bn)->epsilon};
    return f->w && f->scale && f->shift && f->mean && f->var && (f->b || !node_in(conv, 2));
}

static void fold(Graph *g, Node *bn, Node *conv, const Folding *f) {
    const Value *w = node_in(conv, 1);
    const Shape *shape = &w->type.shape;
    int64_t channels = shape->dim[0], each = dims_product(shape, 1, shape->rank);
    float *new_w, *new_b;
    Value *wv = new_constant_f32(g, w->name, *shape, &new_w);
    Value *bv =
        new_constant_f32(g, arena_printf(&g->arena, "%s.bias", w->name), SHAPE(channels), &new_b);
    for (int64_t c = 0; c < channels; c++) {
        double s = f->scale[c] / sqrt(f->var[c] + f->epsilon);
        for (int64_t i = 0; i < each; i++)
            new_w[c * each + i] = (float)(f->w[c * each + i] * s);
        new_b[c] = (float)(((f->b ? f->b[c] : 0) - (double)f->mean[c]) * s + f->shift[c]);
    }
    node_set_operand(conv, 1, wv);
    node_set_operand(conv, 2, bv);
    conv->origin = origin_join(g, conv->origin, bn->origin);
    replace_node(g, bn, node_out(conv));
}

bool pass_fold_batch_norm(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        if (n->op != OP_batch_norm)
            continue;
        Node *conv = sole_producer_with_weights(node_in(n, 0));
        Folding f;
        if (conv && can_fold(n, conv, &f) &&
            graph_may_grow(g, tensor_bytes(node_in(conv, 1)->constant)))
            fold(g, n, conv, &f);
    }
    graph_dce(g);
    return true;
}
