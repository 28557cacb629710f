/* fuse-quantize: quantize and a dequantize behind it become fake_quant, which stays in f32 and in
 * whatever layout its neighbours have; an integer never gets to memory. A reshape, transpose or
 * slice between the two moves behind them. Equal dequantizes of one value become one; of those that
 * differ in their scale alone the integers are made once, and multiplied. Bounds in front that hold
 * whole steps (relu, relu6, clip) become those of the integers. Where scale or zero point are
 * computed, quantize_shifted and a product take the place of fake_quant.
 *
 * Needs: fold-constants. Leaves alone: parameters along an axis, different zero points, a quantize
 * that something else reads too, for that reader, and what is moved for several readers. */
#include "passes/match.h"

#include <math.h>

/* Operand `slot` as one known number; false where it isn't. An absent one is `dflt`. */
static bool number(const Node *n, int slot, double dflt, double *out) {
    const Value *v = node_in(n, slot);
    *out = dflt;
    if (!v)
        return true;
    if (!v->constant || !v->constant->data || v->type.shape.rank != 0)
        return false;
    *out = tensor_f64(v->constant, 0);
    return !isnan(*out);
}

static bool same_number(const Node *a, const Node *b, int slot, double dflt) {
    double x, y;
    return node_in(a, slot) == node_in(b, slot) ||
           (number(a, slot, dflt, &x) && number(b, slot, dflt, &y) && x == y);
}

/* All that dequantize what d does, by the same numbers, read d: each stands behind it. */
static void share(Node *d) {
    Value *x = node_in(d, 0);
    for (const Use *u = x->uses; u; u = u->next)
        if (u->user && u->user != d && u->user->op == OP_dequantize && node_in(u->user, 0) == x &&
            same_number(d, u->user, 1, 1) && same_number(d, u->user, 2, 0))
            value_replace(node_out(u->user), node_out(d));
}

/* q and d as one; false where they can't be. */
static bool joined(const Node *q, const Node *d, FakeQuantAttrs *a) {
    double zero, same_zero;
    if (!number(q, 1, 1, &a->divide) || !number(q, 2, 0, &zero) || !number(d, 1, 1, &a->times) ||
        !number(d, 2, 0, &same_zero) || zero != same_zero)
        return false;
    a->min = dtype_min(quantize_attrs(q)->to) - zero;
    a->max = dtype_max(quantize_attrs(q)->to) - zero;
    return true;
}

/* The fake_quant of x that is there already, or NULL. */
static Node *find(const Value *x, const FakeQuantAttrs *a) {
    for (const Use *u = x->uses; u; u = u->next) {
        if (!u->user || u->user->op != OP_fake_quant)
            continue;
        const FakeQuantAttrs *b = fake_quant_attrs(u->user);
        if (a->divide == b->divide && a->times == b->times && a->min == b->min && a->max == b->max)
            return u->user;
    }
    return NULL;
}

/* In front of q, so that it is there for whatever is behind q. */
static Node *make(Graph *g, Node *q, const Node *d, const FakeQuantAttrs *a) {
    Node *f = new_node(g, OP_fake_quant, q, (Value *[]){node_in(q, 0)}, 1);
    *fake_quant_attrs(f) = *a;
    f->origin = origin_join(g, q->origin, d->origin);
    node_infer_or_die(f);
    return f;
}

/* ---- parameters at run time ------------------------------------------------------------------ */

/* Whether q and d have one scale each, and the same zero. */
static bool is_scaled_at_run_time(const Node *q, const Node *d) {
    return node_in(q, 1)->type.shape.rank == 0 && node_in(d, 1)->type.shape.rank == 0 &&
           node_in(q, 2) == node_in(d, 2) &&
           (!node_in(q, 2) || !node_in(q, 2)->constant || node_in(q, 2)->constant->data);
}

/* The zero point of q as f32, if it was made of that; else NULL. */
static Value *zero_before_cast(const Node *q) {
    const Node *cast = node_in(q, 2) ? node_in(q, 2)->def : NULL;
    Value *zero = cast && cast->op == OP_cast ? node_in(cast, 0) : NULL;
    return zero && zero->def && zero->def->op == OP_dynamic_range ? zero : NULL;
}

/* The zero point of q as f32, in front of q. */
static Value *zero_as_f32(Graph *g, Node *q) {
    Value *zero = zero_before_cast(q), *known = node_in(q, 2);
    float *number;
    if (zero || (known && !known->constant))
        return zero ? zero : node_out(new_before(g, OP_cast, q, &known, 1));
    zero = new_constant_f32(g, "zero", (Shape){0}, &number);
    *number = known ? (float)tensor_f64(known->constant, 0) : 0;
    return zero;
}

/* The same integers that are there already; NULL: there are none. */
static Value *find_shifted(const Node *q) {
    const Value *zero = zero_before_cast(q);
    for (const Use *u = node_in(q, 0)->uses; u && zero; u = u->next)
        if (u->user && u->user->op == OP_quantize_shifted && u->slot == 0 &&
            node_in(u->user, 1) == node_in(q, 1) && node_in(u->user, 2) == zero &&
            shifted_attrs(u->user)->to == quantize_attrs(q)->to)
            return node_out(u->user);
    return NULL;
}

/* The integers of q, less their zeros; made in front of q, unless they are there. */
static Value *shifted(Graph *g, Node *q) {
    Value *there = find_shifted(q);
    if (there)
        return there;
    Value *operands[] = {node_in(q, 0), node_in(q, 1), zero_as_f32(g, q)};
    Node *s = new_node(g, OP_quantize_shifted, q, operands, 3);
    shifted_attrs(s)->to = quantize_attrs(q)->to;
    node_infer_or_die(s);
    return node_out(s);
}

static void join_at_run_time(Graph *g, Node *q, Node *d) {
    double times;
    Value *y = shifted(g, q);
    y->def->origin = origin_join(g, q->origin, d->origin);
    if (!number(d, 1, 1, &times) || times != 1)
        y = node_out(new_before(g, OP_mul, d, (Value *[]){y, node_in(d, 1)}, 2));
    replace_node(g, d, y);
}

static bool has_one_scale(const Node *n) {
    return node_in(n, 1)->type.shape.rank == 0;
}

/* What d reads is moved elements, and nobody else's. */
static Node *mover(const Node *d) {
    Node *m = node_in(d, 0)->def;
    bool moves = m && (m->op == OP_reshape || m->op == OP_transpose || m->op == OP_slice);
    return moves && value_single_user(node_out(m)) == d ? m : NULL;
}

/* The dequantize that comes before all that d's elements were moved by. */
static Node *before_moves(Graph *g, Node *d) {
    for (Node *m; has_one_scale(d) && (m = mover(d));) {
        Value *operands[] = {node_in(m, 0), node_in(d, 1), node_in(d, 2)};
        if (node_in(d, 1)->def || (operands[2] && operands[2]->def))
            break; /* they might be made behind m */
        Node *first = new_node(g, OP_dequantize, d, operands, 3);
        node_infer_or_die(first);
        node_move_before(g, first, m);
        value_replace(node_out(d), node_out(m));
        node_erase(g, d);
        node_set_operand(m, 0, node_out(first));
        node_infer_or_die(m);
        d = first;
    }
    return d;
}

/* ---- what was fused -------------------------------------------------------------------------- */

/* relu, relu6 and clip in front of f become bounds of its integers, where these hold 0. */
static void take_bounds(Graph *g, Node *f) {
    FakeQuantAttrs *a = fake_quant_attrs(f);
    ClipAttrs c;
    for (Node *n; a->divide > 0 && (n = node_in(f, 0)->def) && clip_bounds(n, &c) &&
                  only_read_by(node_out(n), OP_fake_quant);) {
        c = clip_in_steps(&c, a->divide);
        if (!(c.min <= 0 && 0 <= c.max))
            return;
        a->min = fmax(a->min, c.min);
        a->max = fmin(a->max, c.max);
        f->origin = origin_join(g, n->origin, f->origin);
        node_set_operand(f, 0, node_in(n, 0));
        if (!node_out(n)->uses)
            node_erase(g, n);
    }
}

static bool same_integers(const Node *n, const Node *f) {
    if (n->op != OP_fake_quant || node_in(n, 0) != node_in(f, 0))
        return false;
    const FakeQuantAttrs *a = fake_quant_attrs(n), *b = fake_quant_attrs(f);
    return a->divide == b->divide && a->min == b->min && a->max == b->max;
}

/* The first node that makes the same integers as f, by the marks. */
static Node *first_like(const Node *f) {
    Node *first = NULL;
    for (const Use *u = node_in(f, 0)->uses; u; u = u->next)
        if (u->user && same_integers(u->user, f) && (!first || u->user->mark < first->mark))
            first = u->user;
    return first;
}

/* q makes the integers that f multiplies. */
static void become_multiple(Graph *g, Node *f, Node *q) {
    float *times;
    Value *v = node_out(q);
    if (fake_quant_attrs(f)->times != 1) {
        Value *by = new_constant_f32(g, "times", (Shape){0}, &times);
        *times = (float)fake_quant_attrs(f)->times;
        v = node_out(new_before(g, OP_mul, f, (Value *[]){v, by}, 2));
    }
    replace_node(g, f, v);
}

/* f, which isn't the first one, and the first one become multiples of the integers. */
static void share_integers(Graph *g, Node *f, Node *first) {
    Node *q = first;
    if (fake_quant_attrs(first)->times != 1) {
        q = new_like(g, first, first, (Value *[]){node_in(first, 0)});
        fake_quant_attrs(q)->times = 1;
        q->mark = first->mark;
        become_multiple(g, first, q);
    }
    become_multiple(g, f, q);
}

bool pass_fuse_quantize(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE(g, d) {
        if (d->op == OP_dequantize && node_out(d)->uses)
            share(d);
    }
    graph_dce(g);
    FOR_EACH_NODE_SAFE(g, d) {
        if (d->op != OP_dequantize)
            continue;
        d = before_moves(g, d);
        Node *q = node_in(d, 0)->def;
        FakeQuantAttrs a;
        if (!q || q->op != OP_quantize)
            continue;
        if (!joined(q, d, &a)) {
            if (is_scaled_at_run_time(q, d))
                join_at_run_time(g, q, d);
            continue;
        }
        Node *f = find(node_in(q, 0), &a);
        replace_node(g, d, node_out(f ? f : make(g, q, d, &a)));
    }
    graph_dce(g);
    FOR_EACH_NODE(g, f) {
        if (f->op == OP_fake_quant)
            take_bounds(g, f);
    }
    graph_number_nodes(g);
    FOR_EACH_NODE_SAFE(g, f) {
        Node *first = f->op == OP_fake_quant ? first_like(f) : f;
        if (first != f)
            share_integers(g, f, first);
    }
    graph_dce(g);
    return true;
}
