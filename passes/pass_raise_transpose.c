/* raise-transpose: the transposes of exporters that think in NHWC meet and cancel. First they move
 * down, past ops that read nothing else but constants, results of the same transpose, whoever
 * else reads those, and gates of channels, which are reshaped. Then one that undoes another one
 * further up, or that puts a graph input in order, moves there past
 *
 *   elementwise ops with one operand that isn't a constant         the constants are transposed
 *   elementwise ops between two results of the opposite transpose
 *   pad; slice; concat (down); gather by a constant list; reductions with keepdims, of which a mean
 *   may become global_avg_pool
 *
 * and two in a row become one, or none; one that moves dims of 1 alone, next to a reshape, becomes
 * part of that. What was the preprocessing of an NHWC picture is then behind its transpose, next to
 * the convolution. Needs: fuse-silu (or x * sigmoid(x) is in the way). Leaves alone: transposes
 * with nothing to meet, so that ops stay with the convolution before them; ops with another user;
 * broadcasts to a larger shape; constants that can't be computed. */
#include "passes/match.h"

#include <string.h>

static Ints perm_of(const Node *n) {
    return transpose_attrs(n)->perm;
}

static bool is_transpose(const Value *v) {
    return v->def && v->def->op == OP_transpose;
}

/* Whether `then` behind `first` puts all dims back. */
static bool cancel(Ints first, Ints then) {
    if (first.n != then.n)
        return false;
    for (int i = 0; i < then.n; i++)
        if (first.v[then.v[i]] != i)
            return false;
    return true;
}

static bool is_identity(Ints perm) {
    for (int i = 0; i < perm.n; i++)
        if (perm.v[i] != i)
            return false;
    return true;
}

/* ---- which ops let a transpose pass ---------------------------------------------------------- */

static bool is_single_element(const Value *v) {
    return shape_elems(&v->type.shape) == 1;
}

/* The slot of the only operand of n that isn't a constant, where that has n's shape; else -1. */
static int data_slot(const Node *n) {
    int slot = -1;
    for (int i = 0; i < n->noperands; i++) {
        const Value *v = node_in(n, i);
        if (!v || (v->constant && !v->constant->data) || (!v->constant && slot >= 0))
            return -1;
        if (!v->constant)
            slot = i;
    }
    if (slot < 0 || !shape_equal(&node_in(n, slot)->type.shape, &node_out(n)->type.shape))
        return -1;
    return slot;
}

static bool is_reduction(const Node *n) {
    return op_info(n->op)->attrs == ATTRSET_reduce;
}

static bool is_passable(const Node *n) {
    if (op_info(n->op)->flags & OPF_ELEMENTWISE)
        return data_slot(n) >= 0;
    if (n->op == OP_gather)
        return node_in(n, 1)->constant && node_in(n, 1)->type.shape.rank == 1;
    return n->op == OP_pad || n->op == OP_slice || (is_reduction(n) && reduce_attrs(n)->keepdims);
}

/* An elementwise op whose operands all are results of transposes that `perm` undoes. */
static bool joins_transposes(const Node *n, Ints perm) {
    if (!(op_info(n->op)->flags & OPF_ELEMENTWISE) || n->noperands < 2)
        return false;
    for (int i = 0; i < n->noperands; i++) {
        const Value *v = node_in(n, i);
        if (!v || !is_transpose(v) || !cancel(perm_of(v->def), perm))
            return false;
    }
    return true;
}

static Value *data_of(const Node *n) {
    return node_in(n, op_info(n->op)->flags & OPF_ELEMENTWISE ? data_slot(n) : 0);
}

static bool is_reshape(const Value *v) {
    return v->def && v->def->op == OP_reshape;
}

/* Whether there is something to meet for the transpose n on its way up. */
static bool has_aim(const Node *n) {
    const Value *v = node_in(n, 0);
    for (;;) {
        if (v->is_input || is_transpose(v) || (is_reshape(v) && node_in(v->def, 0)->is_input))
            return true;
        if (!v->def || !value_single_user(v))
            return false;
        if (joins_transposes(v->def, perm_of(n)))
            return true;
        if (!is_passable(v->def))
            return false;
        v = data_of(v->def);
    }
}

/* ---- moving ---------------------------------------------------------------------------------- */

static Value *transposed(Graph *g, Node *at, Value *v, Ints perm) {
    Node *t = new_node(g, OP_transpose, at, (Value *[]){v}, 1);
    transpose_attrs(t)->perm = perm;
    node_infer_or_die(t);
    return node_out(t);
}

/* A constant operand of an elementwise op, in the order that perm gives its results. */
static Value *transposed_constant(Graph *g, Node *at, Value *c, Ints perm) {
    const Shape *s = &c->type.shape;
    Shape full = {.rank = perm.n};
    if (is_single_element(c))
        return c;
    for (int i = 0; i < perm.n; i++)
        full.dim[i] = i < perm.n - s->rank ? 1 : s->dim[i - (perm.n - s->rank)];
    Value *v = s->rank == perm.n ? c : new_reshape(g, at, c, full);
    v = transposed(g, at, v, perm);
    graph_fold_value(g, v, INT64_MAX);
    return v;
}

static Ints permuted(Graph *g, Ints list, Ints perm) {
    int64_t v[MAX_RANK];
    for (int i = 0; i < perm.n; i++)
        v[i] = list.v[perm.v[i]];
    return (Ints){arena_copy(&g->arena, v, (size_t)perm.n * sizeof *v), perm.n};
}

/* The axes of the transposed operand that are these of the operand. */
static Ints permuted_axes(Graph *g, Ints axes, Ints perm) {
    int64_t v[MAX_RANK];
    int n = 0;
    for (int i = 0; i < perm.n; i++)
        for (int k = 0; k < axes.n; k++)
            if (axes.v[k] == perm.v[i])
                v[n++] = i;
    return (Ints){arena_copy(&g->arena, v, (size_t)n * sizeof *v), n};
}

static bool is_plane(Ints axes, int rank) {
    return rank == 4 && axes.n == 2 && axes.v[0] == 2 && axes.v[1] == 3;
}

/* Entries for each dim, and an axis, in the order that perm gives the results. */
static void permute_attrs(Graph *g, Node *q, Ints perm) {
    if (q->op == OP_pad) {
        PadAttrs *a = pad_attrs(q);
        *a = (PadAttrs){permuted(g, a->before, perm), permuted(g, a->after, perm), a->value};
    } else if (q->op == OP_slice) {
        SliceAttrs *a = slice_attrs(q);
        *a = (SliceAttrs){permuted(g, a->starts, perm), permuted(g, a->sizes, perm),
                          permuted(g, a->steps, perm)};
    } else if (is_reduction(q)) {
        reduce_attrs(q)->axes = permuted_axes(g, reduce_attrs(q)->axes, perm);
    } else if (q->op == OP_gather || q->op == OP_concat) {
        AxisAttrs *a = axis_attrs(q);
        Ints axis = permuted_axes(g, (Ints){&a->axis, 1}, perm);
        a->axis = axis.v[0];
    }
}

/* The op p of transposed operands, before the transpose n of its result. */
static Node *passed(Graph *g, Node *n, const Node *p) {
    Ints perm = perm_of(n);
    Value *in[MAX_OPERANDS];
    for (int i = 0; i < p->noperands; i++) {
        Value *v = node_in(p, i);
        bool whole = p->op == OP_gather && i == 1; /* a list of its own */
        in[i] = whole         ? v
                : v->constant ? transposed_constant(g, n, v, perm)
                              : transposed(g, n, v, perm);
    }
    if (p->op == OP_reduce_mean &&
        is_plane(permuted_axes(g, reduce_attrs(p)->axes, perm), in[0]->type.shape.rank))
        return new_node(g, OP_global_avg_pool, n, in, 1);
    Node *q = new_node(g, p->op, n, in, p->noperands);
    AttrSet set = op_info(p->op)->attrs;
    if (p->attrs)
        memcpy(q->attrs, p->attrs, attrset_info(set)->size);
    permute_attrs(g, q, perm);
    return q;
}

/* Moves the transpose n to before the op of its operand; returns that op's new node. */
static Node *move(Graph *g, Node *n) {
    Node *p = node_in(n, 0)->def;
    Node *q = passed(g, n, p);
    node_infer_or_die(q);
    q->origin = p->origin;
    replace_node(g, n, node_out(q));
    node_erase(g, p);
    return q;
}

/* Two in a row are one. */
static void merge(Graph *g, Node *n) {
    Node *first = node_in(n, 0)->def;
    transpose_attrs(n)->perm = permuted(g, perm_of(first), perm_of(n));
    node_set_operand(n, 0, node_in(first, 0));
    n->origin = origin_join(g, first->origin, n->origin);
    if (!node_out(first)->uses)
        node_erase(g, first);
}

/* ---- dims of 1 ------------------------------------------------------------------------------- */

/* Whether a transpose to s by perm keeps all dims in order but those of 1. */
static bool keeps_order(const Shape *s, Ints perm) {
    int64_t last = -1;
    for (int i = 0; i < perm.n; i++) {
        if (s->dim[i] == 1)
            continue;
        if (perm.v[i] < last)
            return false;
        last = perm.v[i];
    }
    return true;
}

static bool moves_ones(const Node *n) {
    return keeps_order(&node_out(n)->type.shape, perm_of(n));
}

/* n, a reshape or what is one, becomes a reshape of what stands behind reshapes and such
 * transposes. */
static void join_reshapes(Graph *g, Node *n) {
    Value *x = node_in(n, 0);
    while (x->def && (x->def->op == OP_reshape || (is_transpose(x) && moves_ones(x->def))))
        x = node_in(x->def, 0);
    bool same = shape_equal(&x->type.shape, &node_out(n)->type.shape);
    replace_node(g, n, same ? x : new_reshape(g, n, x, node_out(n)->type.shape));
}

/* ---- down ------------------------------------------------------------------------------------ */

/* Whether v can be an operand of an elementwise op beside results of a transpose by perm: to undo
 * that only reshapes it. */
static bool is_gate(const Value *v, Ints perm) {
    return v->type.shape.rank == perm.n && keeps_order(&v->type.shape, perm);
}

/* Whether n reads results of one transpose, which *perm is, constants, and if it is elementwise
 * gates of channels. */
static bool reads_transposes(const Node *n, Ints *perm) {
    *perm = (Ints){NULL, 0};
    for (int i = 0; i < n->noperands; i++) {
        const Value *v = node_in(n, i);
        if (!v || (v->constant && !v->constant->data))
            return false;
        if (v->constant || !is_transpose(v))
            continue;
        Ints other = perm_of(v->def);
        if (perm->n && (perm->n != other.n ||
                        memcmp(perm->v, other.v, (size_t)other.n * sizeof *other.v) != 0))
            return false;
        *perm = other;
    }
    for (int i = 0; i < n->noperands; i++) {
        const Value *v = node_in(n, i);
        if (!v->constant && !is_transpose(v) &&
            !((op_info(n->op)->flags & OPF_ELEMENTWISE) && is_gate(v, *perm)))
            return false;
    }
    return perm->n > 0;
}

/* Whether a transpose can move from n's operands to its result. */
static bool can_sink(const Node *n, Ints *perm) {
    bool fits = (op_info(n->op)->flags & OPF_ELEMENTWISE) || n->op == OP_concat || is_passable(n);
    return fits && n->nresults == 1 && n->noperands <= MAX_OPERANDS && reads_transposes(n, perm) &&
           node_out(n)->type.shape.rank == perm->n;
}

static Ints inverse(Graph *g, Ints perm) {
    int64_t v[MAX_RANK];
    for (int i = 0; i < perm.n; i++)
        v[perm.v[i]] = i;
    return (Ints){arena_copy(&g->arena, v, (size_t)perm.n * sizeof *v), perm.n};
}

/* The transposes of p's operands become one of its result. */
static void sink(Graph *g, Node *p, Ints perm) {
    Node *at = p->next;
    Value *y = node_out(p);
    Node *undo = node_new(g, OP_transpose, at, y->name, &y, 1);
    transpose_attrs(undo)->perm = inverse(g, perm);
    node_infer_or_die(undo);
    Node *redo = node_new(g, OP_transpose, at, y->name, (Value *[]){node_out(undo)}, 1);
    transpose_attrs(redo)->perm = perm;
    node_infer_or_die(redo);
    redo->origin = undo->origin = p->origin;
    value_replace(y, node_out(redo));
    node_set_operand(undo, 0, y);
    Node *q = move(g, undo);
    for (int i = 0; i < q->noperands; i++) {
        Node *t = node_in(q, i)->def;
        if (!t || t->op != OP_transpose)
            continue;
        if (!is_transpose(node_in(t, 0))) {
            join_reshapes(g, t);
            continue;
        }
        node_set_operand(q, i, node_in(node_in(t, 0)->def, 0));
        if (!node_out(t)->uses)
            node_erase(g, t);
    }
}

/* Whether the dims that a reduction of a transpose's result leaves are in their old order. */
static bool leaves_order(const Node *n, Ints perm) {
    bool reduced[MAX_RANK] = {false};
    for (int i = 0; i < reduce_attrs(n)->axes.n; i++)
        reduced[reduce_attrs(n)->axes.v[i]] = true;
    int64_t last = -1;
    for (int i = 0; i < perm.n; i++) {
        if (!reduced[i] && perm.v[i] < last)
            return false;
        last = reduced[i] ? last : perm.v[i];
    }
    return true;
}

/* A reduction without keepdims of a transpose's result is one with them, reshaped. */
static bool sink_reduction(Graph *g, Node *n) {
    Value *x = node_in(n, 0);
    Ints perm;
    if (!is_reduction(n) || reduce_attrs(n)->keepdims || !is_transpose(x) ||
        !leaves_order(n, perm_of(x->def)))
        return false;
    Node *whole = new_node(g, n->op, n, (Value *[]){x}, 1);
    *reduce_attrs(whole) = (ReduceAttrs){reduce_attrs(n)->axes, true};
    node_infer_or_die(whole);
    Node *reshape = new_reshape(g, n, node_out(whole), node_out(n)->type.shape)->def;
    replace_node(g, n, node_out(reshape));
    if (can_sink(whole, &perm))
        sink(g, whole, perm);
    join_reshapes(g, reshape);
    return true;
}

static void sink_one(Graph *g, Node *n) {
    Ints perm;
    if (n->op == OP_reshape && is_transpose(node_in(n, 0)) && moves_ones(node_in(n, 0)->def)) {
        join_reshapes(g, n);
    } else if (n->op == OP_transpose && is_reshape(node_in(n, 0)) && moves_ones(n)) {
        join_reshapes(g, n);
    } else if (n->op == OP_transpose) {
        while (is_transpose(node_in(n, 0)))
            merge(g, n);
        if (is_identity(perm_of(n)))
            replace_node(g, n, node_in(n, 0));
    } else if (n->op == OP_dense) {
        dense_of_pixels(n);
    } else if (!sink_reduction(g, n) && can_sink(n, &perm)) {
        sink(g, n, perm);
    }
}

/* ---- up -------------------------------------------------------------------------------------- */

/* Where to go on, backwards. */
static Node *raise(Graph *g, Node *n) {
    while (is_transpose(node_in(n, 0)))
        merge(g, n);
    if (is_identity(perm_of(n))) {
        Node *before = n->prev;
        replace_node(g, n, node_in(n, 0));
        return before;
    }
    Node *p = node_in(n, 0)->def;
    bool passes = p && p->op != OP_reshape && p->noperands <= MAX_OPERANDS &&
                  value_single_user(node_in(n, 0)) && has_aim(n);
    return passes ? move(g, n)->prev : n->prev;
}

bool pass_raise_transpose(Graph *g, PassContext *cx) {
    (void)cx;
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        sink_one(g, n);
    }
    graph_dce(g);
    for (Node *n = g->last; n;)
        n = n->op == OP_transpose ? raise(g, n) : n->prev;
    graph_dce(g);
    return true;
}
