/* expand-conv: convolutions without a kernel of their own become other ops.
 *
 *   weights known at run time, or groups of     matmul of the weights [G, M/G, K] by the windows
 *   several channels                            [N, G, K, H' W'], K being C/G kh kw: a slice of the
 *                                               padded x for each tap, side by side
 *   a bias known at run time                    add
 *
 * Needs: fold-constants, and canonicalise, which tells depthwise ones; to be run before anything is
 * fused into convolutions. Leaves alone: kernels of more than MAX_TAPS taps. */
#include "passes/match.h"

enum { MAX_TAPS = 1024 }; /* each is a node */

static bool is_plain(const Node *n) {
    bool fused = n->op == OP_conv2d &&
                 (node_in(n, node_slot(n, "scale")) || node_in(n, node_slot(n, "residual")));
    return !fused && n->nresults == 1 && conv_attrs(n)->act == ACT_none;
}

/* The channels of x in each group are as many as those of each filter. */
static int64_t groups_of(const Node *n) {
    return n->op == OP_dwconv2d ? node_in(n, 0)->type.shape.dim[1] : conv_attrs(n)->group;
}

/* Memory for the windows, in elements; false where that is too much for a shape. */
static bool windows_fit(const Node *n, int64_t taps) {
    const Shape *x = &node_in(n, 0)->type.shape, *y = &node_out(n)->type.shape;
    Shape s = SHAPE(x->dim[0], x->dim[1], taps, y->dim[2], y->dim[3]);
    return shape_valid(&s, node_in(n, 0)->type.dtype) && shape_elems(&s);
}

static bool needs_windows(const Node *n) {
    const Dim2 *kernel = &conv_attrs(n)->kernel;
    bool wanted = !node_in(n, 1)->constant || (n->op == OP_conv2d && conv_attrs(n)->group > 1);
    return wanted && kernel->v[0] <= MAX_TAPS && kernel->v[1] <= MAX_TAPS / kernel->v[0] &&
           windows_fit(n, kernel->v[0] * kernel->v[1]);
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
    Tensor *t = tensor_wrap(&g->arena, w->type.dtype, shape, w->constant->data);
    return graph_constant(g, graph_unique_name(g, w->name), t);
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

bool pass_expand_conv(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        if ((n->op != OP_conv2d && n->op != OP_dwconv2d) || !is_plain(n))
            continue;
        if (needs_windows(n))
            expand(g, n);
        else if (node_in(n, 2) && !node_in(n, 2)->constant)
            expand_bias(g, n);
    }
    graph_dce(g);
    return true;
}
