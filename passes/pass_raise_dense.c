/* raise-dense: a dense layer on all pixels of an image, which exporters of transformers write
 * between transposes, is a convolution.
 *
 *   x[N,C,H,W], reshape [N,C,P], transpose [N,P,C], reshape [N*P,C], dense, add of a constant,
 *   reshape [N,P,K], transpose [N,K,P]           conv2d of x, reshape [N,K,P]
 *
 * The sum may be missing, and what is [N,C,P] from the start is [N,C,P,1] to the convolution.
 * Needs: raise-channelwise, which brings the sum to the dense. Leaves alone: layers whose results
 * anything else reads, or whose pixels stay behind each other; computed weights and sums; other
 * orders. */
#include "passes/match.h"

static Node *only_user(const Node *n, Op op) {
    Node *user = value_single_user(node_out(n));
    return user && user->op == op ? user : NULL;
}

/* Whether n swaps the last two of three dims. */
static bool swaps(const Node *n) {
    Ints perm = transpose_attrs(n)->perm;
    return perm.n == 3 && perm.v[0] == 0 && perm.v[1] == 2;
}

/* The [N,C,P] of whose pixels `dense` reads one after another; NULL: it is another order. */
static Value *planes_before(const Node *dense) {
    const Node *rows = node_in(dense, 0)->def;
    const Node *t = rows && rows->op == OP_reshape ? node_in(rows, 0)->def : NULL;
    bool all = t && t->op == OP_transpose && swaps(t) &&
               node_out(t)->type.shape.dim[2] == node_in(dense, 0)->type.shape.dim[1];
    return all ? node_in(t, 0) : NULL;
}

/* The sum of a dense layer and one constant for each output, or one for all; NULL: there is none.
 */
static Node *sum_behind(const Node *dense, Value **c) {
    Node *add = only_user(dense, OP_add);
    if (!add)
        return NULL;
    *c = node_in(add, node_in(add, 0) == node_out(dense));
    const Shape *s = &(*c)->type.shape;
    int64_t n = shape_elems(s);
    bool fits = n == 1 || (n == node_out(dense)->type.shape.dim[1] && s->dim[s->rank - 1] == n);
    return constant_f32(*c) && fits ? add : NULL;
}

/* The transpose behind `n`, which has a row for each pixel, that makes planes [N,K,P] of it. */
static Node *planes_behind(const Node *n, const Shape *before) {
    Node *r = only_user(n, OP_reshape), *t = r ? only_user(r, OP_transpose) : NULL;
    if (!t || !swaps(t))
        return NULL;
    const Shape *s = &node_out(t)->type.shape;
    return s->dim[0] == before->dim[0] && s->dim[2] == before->dim[2] ? t : NULL;
}

/* u[N,C,P] as an image: what it was reshaped from, where that is one. */
static Value *image_of(Graph *g, Node *at, Value *u) {
    const Shape *s = &u->type.shape;
    Value *x = u->def && u->def->op == OP_reshape ? node_in(u->def, 0) : NULL;
    const Shape *from = x ? &x->type.shape : NULL;
    if (from && from->rank == 4 && from->dim[0] == s->dim[0] && from->dim[1] == s->dim[1])
        return x;
    return new_reshape(g, at, u, SHAPE(s->dim[0], s->dim[1], s->dim[2], 1));
}

static Value *convolution(Graph *g, Node *dense, Value *x) {
    Value *w = node_in(dense, 1);
    const Shape *s = &w->type.shape;
    w = graph_constant_view(g, w, 0, SHAPE(s->dim[0], s->dim[1], 1, 1));
    Node *conv = new_node(g, OP_conv2d, dense, (Value *[]){x, w, node_in(dense, 2)}, 3);
    conv_attrs(conv)->act = dense_attrs(dense)->act;
    conv_attrs(conv)->exact = dense_attrs(dense)->exact;
    node_infer_or_die(conv);
    return node_out(conv);
}

static void raise(Graph *g, Node *dense) {
    Value *u = planes_before(dense), *c = NULL;
    if (!u || !constant_f32(node_in(dense, 1)))
        return;
    Node *add = sum_behind(dense, &c);
    Node *t = planes_behind(add ? add : dense, &u->type.shape);
    if (!t)
        return;
    Value *y = convolution(g, dense, image_of(g, dense, u));
    if (add) {
        int64_t n = shape_elems(&c->type.shape);
        c = graph_constant_view(g, c, 0, SHAPE(1, n, 1, 1));
        y = node_out(new_before(g, OP_add, add, (Value *[]){y, c}, 2));
    }
    replace_node(g, t, new_reshape(g, t, y, node_out(t)->type.shape));
}

bool pass_raise_dense(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        if (n->op == OP_dense)
            raise(g, n);
    }
    graph_dce(g);
    return true;
}
