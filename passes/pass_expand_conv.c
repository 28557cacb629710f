/* expand-conv: convolutions without a kernel of their own become other ops:
 *
 *   - groups of several channels: groups whose channels are whole vectors, some of the old ones
 *     side by side, with weights of 0 between them
 *   - groups that would be mostly such zeros, and weights known at run time: matmul of the weights
 *     [G, M/G, K] by the windows [N, G, K, H' W'], K being C/G kh kw: a slice of the padded x for
 *     each tap, side by side
 *   - a bias known at run time: add
 *
 * Needs: fold-constants, and canonicalise, which tells depthwise ones; to be run before anything is
 * fused into convolutions. Leaves alone: kernels of more than MAX_TAPS taps, and what comes behind
 * MAX_ALL_TAPS of them, which no model has. */
#include "passes/match.h"

enum { MAX_TAPS = 1024, MAX_ALL_TAPS = 1 << 16 }; /* each is two nodes */

static bool is_plain(const Node *n) {
    bool scaled = n->op == OP_conv2d && node_in(n, node_slot(n, "scale"));
    return !scaled && !has_epilogue(n) && n->nresults == 1 && conv_attrs(n)->act == ACT_none;
}

/* The channels of x in each group are as many as those of each filter. */
static int64_t groups_of(const Node *n) {
    return n->op == OP_dwconv2d ? node_in(n, 0)->type.shape.dim[1] : conv_attrs(n)->group;
}

/* Whether the windows, of which there are some, and the padded x aren't too much for a shape. */
static bool windows_fit(const Node *n, int64_t taps) {
    const Type *x = &node_in(n, 0)->type;
    const int64_t *d = x->shape.dim, *y = node_out(n)->type.shape.dim, *pad = conv_attrs(n)->pad.v;
    Shape padded = SHAPE(d[0], d[1], d[2] + pad[0] + pad[2], d[3] + pad[1] + pad[3]);
    Shape all = SHAPE(d[0], d[1], taps, y[2], y[3]);
    return shape_valid(&padded, x->dtype) && shape_valid(&all, x->dtype) && shape_elems(&all);
}

static bool has_groups(const Node *n) {
    return n->op == OP_conv2d && conv_attrs(n)->group > 1;
}

/* Its taps are taken from *left. */
static bool needs_windows(const Node *n, int64_t *left) {
    const int64_t *kernel = conv_attrs(n)->kernel.v;
    bool wanted = !node_in(n, 1)->constant || has_groups(n);
    if (!wanted || kernel[0] > MAX_TAPS || kernel[1] > MAX_TAPS / kernel[0])
        return false;
    int64_t taps = kernel[0] * kernel[1];
    if (taps > *left || !windows_fit(n, taps))
        return false;
    *left -= taps;
    return true;
}

static Ints keep(Graph *g, Shape s) {
    int64_t *v = ARENA_ARRAY(&g->arena, s.rank, int64_t);
    for (int d = 0; d < s.rank; d++)
        v[d] = s.dim[d];
    return (Ints){v, s.rank};
}

static Value *padded(Graph *g, Node *n) {
    Value *x = node_in(n, 0);
    const int64_t *pad = conv_attrs(n)->pad.v;
    if (!has_padding(n))
        return x;
    Node *p = new_node(g, OP_pad, n, &x, 1);
    pad_attrs(p)->before = keep(g, SHAPE(0, 0, pad[0], pad[1]));
    pad_attrs(p)->after = keep(g, SHAPE(0, 0, pad[2], pad[3]));
    node_infer_or_die(p);
    return node_out(p);
}

/* What tap (i, j) of each window sees: [N, C, 1, H' W']. */
static Value *tap(Graph *g, Node *n, Value *x, int64_t i, int64_t j) {
    const ConvAttrs *a = conv_attrs(n);
    const int64_t *y = node_out(n)->type.shape.dim, *in = x->type.shape.dim;
    Node *s = new_node(g, OP_slice, n, &x, 1);
    slice_attrs(s)->starts = keep(g, SHAPE(0, 0, i * a->dilation.v[0], j * a->dilation.v[1]));
    slice_attrs(s)->sizes = keep(g, SHAPE(in[0], in[1], y[2], y[3]));
    slice_attrs(s)->steps = keep(g, SHAPE(1, 1, a->stride.v[0], a->stride.v[1]));
    node_infer_or_die(s);
    return new_reshape(g, n, node_out(s), SHAPE(in[0], in[1], 1, y[2] * y[3]));
}

/* [N, G, C/G kh kw, H' W'] */
static Value *windows(Graph *g, Node *n, int64_t groups) {
    const Dim2 *kernel = &conv_attrs(n)->kernel;
    const int64_t *x = node_in(n, 0)->type.shape.dim, *y = node_out(n)->type.shape.dim;
    Value *taps[MAX_TAPS], *from = padded(g, n);
    int count = 0;
    for (int64_t i = 0; i < kernel->v[0]; i++)
        for (int64_t j = 0; j < kernel->v[1]; j++)
            taps[count++] = tap(g, n, from, i, j);
    Value *all = taps[0];
    if (count > 1) {
        Node *c = new_node(g, OP_concat, n, taps, count);
        axis_attrs(c)->axis = 2;
        node_infer_or_die(c);
        all = node_out(c);
    }
    return new_reshape(g, n, all, SHAPE(x[0], groups, x[1] / groups * count, y[2] * y[3]));
}

static Value *with_bias(Graph *g, Node *n, Value *y, Value *bias) {
    if (!bias)
        return y;
    Value *b = new_reshape(g, n, bias, SHAPE(1, bias->type.shape.dim[0], 1, 1));
    return node_out(new_before(g, OP_add, n, (Value *[]){y, b}, 2));
}

/* The weights as [G, M/G, K]; constants stay ones, of the same elements. */
static Value *filters(Graph *g, Node *n, int64_t groups) {
    Value *w = node_in(n, 1);
    const int64_t *dim = w->type.shape.dim;
    Shape shape = SHAPE(groups, dim[0] / groups, dim[1] * dim[2] * dim[3]);
    if (!w->constant || !w->constant->data)
        return new_reshape(g, n, w, shape);
    return graph_constant_view(g, w, 0, shape);
}

static void expand(Graph *g, Node *n) {
    int64_t groups = groups_of(n);
    Value *w = filters(g, n, groups);
    Value *y = node_out(new_before(g, OP_matmul, n, (Value *[]){w, windows(g, n, groups)}, 2));
    y = new_reshape(g, n, y, node_out(n)->type.shape);
    replace_node(g, n, with_bias(g, n, y, node_in(n, 2)));
}

/* Takes a bias that has to be computed out of n. */
static void expand_bias(Graph *g, Node *n) {
    Node *c = new_node(g, n->op, n, (Value *[]){node_in(n, 0), node_in(n, 1)}, 2);
    *conv_attrs(c) = *conv_attrs(n);
    node_infer_or_die(c);
    replace_node(g, n, with_bias(g, n, node_out(c), node_in(n, 2)));
}

/* ---- groups side by side --------------------------------------------------------------------- */

/* So many groups have whole vectors of channels together, or are all of them. */
static int64_t groups_for_vectors(const Node *n, int64_t lanes) {
    int64_t groups = conv_attrs(n)->group, in = node_in(n, 1)->type.shape.dim[1];
    int64_t out = node_out(n)->type.shape.dim[1] / groups, m = 1;
    while (m < groups && (groups % m || m * in % lanes || m * out % lanes))
        m++;
    return m;
}

/* Whether multiplying the zeros between m groups takes no longer than windows and their product do:
 * in cycles of a pixel, with the zeros at two vectors a cycle, an element of a window at 1.5
 * cycles, and products of windows at a vector a cycle. */
static bool zeros_pay(const Node *n, int64_t m, int64_t lanes) {
    const Shape *w = &node_in(n, 1)->type.shape;
    double taps = (double)(w->dim[2] * w->dim[3]),
           products = taps * (double)(w->dim[0] * w->dim[1]);
    double windows = 1.5 * taps * (double)node_in(n, 0)->type.shape.dim[1];
    return (double)m * products / (2 * (double)lanes) <= windows + products / (double)lanes;
}

/* The weights of m groups side by side: [M, m C/G, kh, kw]. */
static Value *side_by_side(Graph *g, const Node *n, int64_t m) {
    const Value *w = node_in(n, 1);
    const int64_t *d = w->type.shape.dim;
    int64_t each = d[0] / conv_attrs(n)->group, taps = d[2] * d[3];
    float *to;
    Value *v = new_constant_f32(g, w->name, SHAPE(d[0], m * d[1], d[2], d[3]), &to);
    const float *from = w->constant->data;
    for (int64_t o = 0; o < d[0]; o++) {
        int64_t first = o / each % m * d[1];
        for (int64_t k = 0; k < d[1] * taps; k++)
            to[(o * m * d[1] + first) * taps + k] = from[o * d[1] * taps + k];
    }
    return v;
}

/* False where n has no such groups, and where they don't pay. */
static bool join_groups(Graph *g, Node *n, int64_t lanes) {
    if (!has_groups(n) || !constant_f32(node_in(n, 1)))
        return false;
    int64_t m = groups_for_vectors(n, lanes), bytes;
    if (m == 1)
        return true; /* there is nothing to do */
    if (!zeros_pay(n, m, lanes) ||
        !checked_mul(m, shape_elems(&node_in(n, 1)->type.shape) * (int64_t)sizeof(float), &bytes) ||
        !graph_may_grow(g, bytes))
        return false;
    Node *c = new_node(g, OP_conv2d, n,
                       (Value *[]){node_in(n, 0), side_by_side(g, n, m), node_in(n, 2)}, 3);
    *conv_attrs(c) = *conv_attrs(n);
    conv_attrs(c)->group /= m;
    node_infer_or_die(c);
    replace_node(g, n, node_out(c));
    return true;
}

bool pass_expand_conv(Graph *g, PassContext *cx) {
    int64_t lanes = target_lanes(cx->target), left = MAX_ALL_TAPS;
    FOR_EACH_NODE_SAFE(g, n) {
        if ((n->op != OP_conv2d && n->op != OP_dwconv2d) || !is_plain(n))
            continue;
        bool computed = node_in(n, 2) && !node_in(n, 2)->constant;
        if (!computed && join_groups(g, n, lanes))
            continue;
        if (needs_windows(n, &left))
            expand(g, n);
        else if (computed)
            expand_bias(g, n);
    }
    graph_dce(g);
    return true;
}
