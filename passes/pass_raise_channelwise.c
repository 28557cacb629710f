/* raise-channelwise: what works on each element by itself, or by channels, moves from behind
 * reshapes and transposes to the op in blocks of channels before them, which a convolution may take
 * it into. That is how convolutions of lines and volumes are imported: as ones of images, between
 * such moves.
 *
 *   act(move(x))                            move(act(x))
 *   batch_norm(move(x)), mul(move(x), c)    move(batch_norm(x)), move(mul(x, c)), c reshaped
 *   add(move(x), move(y))                   move(add(x, y)), where both are moved alike
 *
 * Other operands are reshaped as constants are, where that keeps the order of their elements; what
 * a group of channels has is repeated for each of them.
 * Needs: fuse-silu (x * sigmoid(x) reads x twice). Leaves alone: what makes the shape larger;
 * channels that are no dimension of x; a transpose that something else reads: it would be there
 * twice. */
#include "passes/lower.h"
#include "passes/match.h"

#include <string.h>

enum { MAX_MOVES = 8 };

/* How a value was made of `from`: by node[0] last. */
typedef struct Moves {
    Node *node[MAX_MOVES];
    int n;
    bool transposes;
    Value *from;
} Moves;

static bool is_channelwise(const Node *n) {
    return n->op == OP_batch_norm || op_info(n->op)->flags & OPF_ELEMENTWISE;
}

static bool is_move(const Node *n) {
    return n && (n->op == OP_reshape || n->op == OP_transpose);
}

/* All moves that lead to v; what lies between them is read by the next one alone. */
static Moves moves_of(Value *v) {
    Moves m = {.from = v};
    while (m.n < MAX_MOVES && is_move(m.from->def) && (m.n == 0 || value_single_user(m.from))) {
        Node *move = m.from->def;
        m.transposes |= move->op == OP_transpose;
        m.node[m.n++] = move;
        m.from = node_in(move, 0);
    }
    return m;
}

static bool same_ints(Ints a, Ints b) {
    return a.n == b.n && memcmp(a.v, b.v, (size_t)a.n * sizeof *a.v) == 0;
}

static bool same_move(const Node *a, const Node *b) {
    return a->op == b->op && shape_equal(&node_out(a)->type.shape, &node_out(b)->type.shape) &&
           (a->op == OP_reshape || same_ints(transpose_attrs(a)->perm, transpose_attrs(b)->perm));
}

static bool same_moves(const Moves *a, const Moves *b) {
    bool same = a->n == b->n && shape_equal(&a->from->type.shape, &b->from->type.shape);
    for (int i = 0; same && i < a->n; i++)
        same = same_move(a->node[i], b->node[i]);
    return same;
}

/* Marks: the place in the order of nodes, doubled, and 1 where a node works in blocks of channels.
 * New nodes have the place of the node that they stand before. */
static int place_of(const Node *n) {
    return n->mark / 2;
}

static bool works_in_blocks(const Node *n) {
    if (lowering_of(n->op)->layout == LAYOUT_BLOCKED)
        return true;
    bool blocks = false;
    for (int i = 0; is_channelwise(n) && i < n->noperands; i++)
        blocks |= node_in(n, i) && node_in(n, i)->def && node_in(n, i)->def->mark % 2;
    return blocks;
}

/* ---- dimensions ------------------------------------------------------------------------------ */

/* The dimension of a reshape's operand that is dimension `axis` of its result, of more than one
 * element; -1 where there is none. */
static int axis_of_operand(const Node *reshape, int axis) {
    const Shape *from = &node_in(reshape, 0)->type.shape, *to = &node_out(reshape)->type.shape;
    for (int i = 0; i < from->rank; i++)
        if (from->dim[i] == to->dim[axis] && dims_product(from, 0, i) == dims_product(to, 0, axis))
            return i;
    return -1;
}

static int axis_before(const Moves *m, int axis) {
    for (int i = 0; i < m->n && axis >= 0; i++)
        axis = m->node[i]->op == OP_transpose ? (int)transpose_attrs(m->node[i])->perm.v[axis]
                                              : axis_of_operand(m->node[i], axis);
    return axis;
}

/* The shape in which an operand of shape s broadcasts to m->from, as it did to the result of the
 * moves; false where reshaping it is not enough. */
static bool shape_before(const Moves *m, const Shape *s, Shape *out) {
    const Shape *to = &node_out(m->node[0])->type.shape;
    int last = -1;
    *out = m->from->type.shape;
    if (!m->transposes && shape_equal(s, to))
        return true;
    for (int i = 0; i < out->rank; i++)
        out->dim[i] = 1;
    if (shape_elems(s) == 1 && s->rank <= out->rank)
        *out = *s;
    for (int i = 0; i < s->rank; i++) {
        if (s->dim[i] == 1)
            continue;
        int axis = axis_before(m, to->rank - s->rank + i);
        if (axis <= last)
            return false;
        out->dim[axis] = s->dim[i];
        last = axis;
    }
    return true;
}

/* How many channels of m->from have one element of s each, where the moves put groups of channels
 * in dim 1 and s broadcasts to these; 0 where it isn't so. */
static int64_t channels_each(const Moves *m, const Shape *s) {
    const Shape *to = &node_out(m->node[0])->type.shape, *from = &m->from->type.shape;
    if (m->transposes || from->rank != 4 || to->rank < 3 || to->dim[0] != from->dim[0] ||
        to->dim[1] <= 1 || from->dim[1] % to->dim[1] != 0)
        return 0;
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] != 1 && to->rank - s->rank + i > 1)
            return 0;
    int at = 1 - (to->rank - s->rank);
    return at >= 0 && s->dim[at] == to->dim[1] ? from->dim[1] / to->dim[1] : 0;
}

/* ---- moving ---------------------------------------------------------------------------------- */

/* The reshape of v to s that stands before `at`, the first by name; NULL where there is none. */
static Value *reshaped_before(const Value *v, const Shape *s, const Node *at) {
    Value *first = NULL;
    for (const Use *u = v->uses; u; u = u->next) {
        Node *r = u->user;
        if (r && r->op == OP_reshape && shape_equal(&node_out(r)->type.shape, s) &&
            place_of(r) <= place_of(at) && (!first || strcmp(node_out(r)->name, first->name) < 0))
            first = node_out(r);
    }
    return first;
}

/* v in shape s, for `at`. */
static Value *reshaped(Graph *g, Node *at, Value *v, const Shape *s) {
    if (shape_equal(&v->type.shape, s))
        return v;
    if (v->constant)
        return graph_constant_view(g, v, 0, *s);
    if (v->def && v->def->op == OP_reshape && shape_equal(&node_in(v->def, 0)->type.shape, s))
        return node_in(v->def, 0);
    Value *same = reshaped_before(v, s, at);
    if (!same) {
        same = new_reshape(g, at, v, *s);
        same->def->mark = 2 * place_of(at);
    }
    return same;
}

static Value *repeated_constant(Graph *g, const Value *v, Shape shape, int64_t each) {
    const float *from = constant_f32(v);
    float *to;
    Value *c = new_constant_f32(g, v->name, shape, &to);
    for (int64_t i = 0; i < shape_elems(&shape); i++)
        to[i] = from[i / each];
    return c;
}

/* v, which has one element for each group of `each` channels, as [N,C,1,1] or [1,C,1,1]. */
static Value *repeated(Graph *g, Node *at, Value *v, int64_t groups, int64_t each) {
    int64_t images = shape_elems(&v->type.shape) / groups;
    Shape many = SHAPE(images, groups, each), planes = SHAPE(images, groups * each, 1, 1);
    if (constant_f32(v))
        return repeated_constant(g, v, planes, each);
    Value *one = new_reshape(g, at, v, SHAPE(images, groups, 1));
    Node *expand = new_node(g, OP_expand, at, &one, 1);
    reshape_attrs(expand)->shape = (Ints){arena_copy(&g->arena, many.dim, 3 * sizeof *many.dim), 3};
    node_infer_or_die(expand);
    Value *y = new_reshape(g, at, node_out(expand), planes);
    one->def->mark = expand->mark = y->def->mark = 2 * place_of(at);
    return y;
}

static Node *copy_of(Graph *g, const Node *n, Node *at, Value *const *operands) {
    Node *c = new_like(g, n, at, operands);
    c->mark = 2 * place_of(at);
    return c;
}

/* Where operand `slot` of n, and the result, were before the moves m. */
typedef struct Before {
    Value *moved; /* what it was moved from, as v was; or NULL */
    int64_t each; /* else, not 0: repeated for so many channels */
    Shape shape;  /* else: to be reshaped to it */
} Before;

/* False where there is none, or where repeating it would take too much memory. */
static bool find_before(const Graph *g, const Node *n, int slot, const Moves *m, Before *b) {
    Value *o = node_in(n, slot);
    *b = (Before){.moved = o};
    if (n->op == OP_batch_norm && slot > 0)
        return true;
    if (!o || (o->constant && !o->constant->data))
        return false;
    Moves own = moves_of(o);
    b->moved = own.from;
    if (same_moves(m, &own))
        return true;
    b->moved = NULL;
    if (shape_before(m, &o->type.shape, &b->shape))
        return true;
    b->each = channels_each(m, &o->type.shape);
    int64_t bytes;
    return b->each > 0 && checked_mul(b->each, type_storage_bytes(&o->type), &bytes) &&
           (!o->constant || graph_may_grow(g, bytes));
}

static Value *operand_before(Graph *g, Node *n, int slot, const Moves *m, const Before *b) {
    if (b->moved)
        return b->moved;
    if (b->each)
        return repeated(g, n, node_in(n, slot), m->from->type.shape.dim[1] / b->each, b->each);
    return reshaped(g, n, node_in(n, slot), &b->shape);
}

static void raise(Graph *g, Node *n, const Moves *m, const Before *before) {
    Value *in[MAX_OPERANDS];
    for (int i = 0; i < n->noperands; i++)
        in[i] = operand_before(g, n, i, m, &before[i]);
    Node *first = copy_of(g, n, n, in);
    first->mark++;
    Value *v = node_out(first);
    for (int i = m->n - 1; i >= 0; i--)
        v = node_out(copy_of(g, m->node[i], n, &v));
    replace_node(g, n, v);
}

/* Whether n's operand `slot` is moved from blocks of channels, without being needed where it is. */
static bool is_aim(const Node *n, int slot, Moves *m) {
    Value *v = node_in(n, slot);
    const Shape *s = &node_out(n)->type.shape;
    if (!v || !shape_equal(&v->type.shape, s) || shape_elems(s) == 0)
        return false;
    *m = moves_of(v);
    int rank = m->from->type.shape.rank;
    return m->n && (rank == 2 || rank == 4) && m->from->type.dtype == DT_f32 && m->from->def &&
           m->from->def->mark % 2 && (!m->transposes || value_single_user(v) == n);
}

static bool channels_stay(const Node *n, const Moves *m) {
    const Shape *to = &node_out(n)->type.shape, *from = &m->from->type.shape;
    if (n->op != OP_batch_norm)
        return true;
    return from->dim[1] == to->dim[1] && (to->dim[1] == 1 || axis_before(m, 1) == 1);
}

static bool try_slot(Graph *g, Node *n, int slot) {
    Moves m;
    Before before[MAX_OPERANDS];
    if (!is_aim(n, slot, &m) || !channels_stay(n, &m))
        return false;
    for (int i = 0; i < n->noperands; i++)
        if (!find_before(g, n, i, &m, &before[i]))
            return false;
    raise(g, n, &m, before);
    return true;
}

bool pass_raise_channelwise(Graph *g, PassContext *cx) {
    (void)cx;
    graph_number_nodes(g);
    FOR_EACH_NODE(g, n) {
        n->mark *= 2;
    }
    FOR_EACH_NODE_SAFE(g, n) {
        n->mark += works_in_blocks(n);
        bool done = !is_channelwise(n) || node_out(n)->type.dtype != DT_f32;
        for (int i = 0; !done && i < n->noperands && i < MAX_OPERANDS; i++)
            done = try_slot(g, n, i);
    }
    graph_dce(g);
    return true;
}
