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

/* ---- what is there already ------------------------------------------------------------------- */

/* For each kind the first node in the order of execution that does a thing, by a text that says
 * what: thousands may read one value. */
typedef struct Known {
    Arena arena;
    Map dequantizes, fakes, shifted, integers;
} Known;

/* The node of that key; n, if there is none. */
static Node *first_of(Known *k, Map *map, const char *key, Node *n) {
    Node *first = map_get(map, key);
    if (!first)
        map_put(&k->arena, map, key, n);
    return first ? first : n;
}

/* An operand: equal numbers are the same, -0 and 0 too. */
static const char *operand_key(Known *k, const Node *n, int slot, double dflt) {
    double x;
    return number(n, slot, dflt, &x)
               ? arena_printf(&k->arena, "%a", x + 0.0)
               : arena_printf(&k->arena, "%p", (const void *)node_in(n, slot));
}

static const char *dequantize_key(Known *k, const Node *d) {
    bool by_axis = node_in(d, 1)->type.shape.rank > 0;
    return arena_printf(&k->arena, "%p %s %s %d", (const void *)node_in(d, 0),
                        operand_key(k, d, 1, 1), operand_key(k, d, 2, 0),
                        by_axis ? (int)axis_attrs(d)->axis : 0);
}

static const char *fake_quant_key(Known *k, const Value *x, const FakeQuantAttrs *a) {
    return arena_printf(&k->arena, "%p %a %a %a %a", (const void *)x, a->divide + 0.0,
                        a->times + 0.0, a->min + 0.0, a->max + 0.0);
}

static const char *shifted_key(Known *k, const Value *x, const Value *scale, const Value *zero,
                               DType to) {
    return arena_printf(&k->arena, "%p %p %p %d", (const void *)x, (const void *)scale,
                        (const void *)zero, (int)to);
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

/* The integers of q, less their zeros; made in front of q, unless they are there. */
static Value *shifted(Known *k, Graph *g, Node *q) {
    DType to = quantize_attrs(q)->to;
    Value *operands[] = {node_in(q, 0), node_in(q, 1), zero_before_cast(q)};
    const char *key =
        operands[2] ? shifted_key(k, operands[0], operands[1], operands[2], to) : NULL;
    Node *s = key ? map_get(&k->shifted, key) : NULL;
    if (s)
        return node_out(s);
    operands[2] = zero_as_f32(g, q);
    s = new_node(g, OP_quantize_shifted, q, operands, 3);
    shifted_attrs(s)->to = to;
    node_infer_or_die(s);
    if (key)
        map_put(&k->arena, &k->shifted, key, s);
    return node_out(s);
}

static void join_at_run_time(Known *k, Graph *g, Node *q, Node *d) {
    double times;
    Value *y = shifted(k, g, q);
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

/* The bounds of clip n and of those in front of it that nothing else reads, as one; *x is what they
 * bound. */
static ClipAttrs bounds_of_chain(Graph *g, Node *n, Value **x, const char **origin) {
    ClipAttrs all, c;
    clip_bounds(n, &all);
    *x = node_in(n, 0);
    *origin = n->origin;
    for (Node *m; (m = (*x)->def) && value_single_user(*x) && clip_bounds(m, &c) && c.min <= 0 &&
                  0 <= c.max;) {
        all = (ClipAttrs){.min = fmax(all.min, c.min), .max = fmin(all.max, c.max)};
        *x = node_in(m, 0);
        *origin = origin_join(g, m->origin, *origin);
    }
    return all;
}

/* relu, relu6 and clip, which nothing but fake_quants read, become bounds of their integers, where
 * these hold 0. */
static void give_bounds(Graph *g, Node *n) {
    Value *x;
    const char *origin;
    ClipAttrs all = bounds_of_chain(g, n, &x, &origin);
    for (Use *u = node_out(n)->uses, *next; u; u = next) {
        next = u->next;
        Node *f = u->user;
        FakeQuantAttrs *a = fake_quant_attrs(f);
        ClipAttrs c = clip_in_steps(&all, a->divide);
        if (!(a->divide > 0 && c.min <= 0 && 0 <= c.max))
            continue;
        a->min = fmax(a->min, c.min);
        a->max = fmin(a->max, c.max);
        f->origin = origin_join(g, origin, f->origin);
        node_set_operand(f, 0, x);
    }
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

/* f, which isn't the first one, and the first one become multiples of the integers. Returns what
 * makes these. */
static Node *share_integers(Graph *g, Node *f, Node *first) {
    Node *q = first;
    if (fake_quant_attrs(first)->times != 1) {
        q = new_like(g, first, first, (Value *[]){node_in(first, 0)});
        fake_quant_attrs(q)->times = 1;
        become_multiple(g, first, q);
    }
    become_multiple(g, f, q);
    return q;
}

/* ---- the steps of the pass ------------------------------------------------------------------- */

/* Of equal dequantizes the first one stays. */
static void share_dequantizes(Graph *g, Known *k) {
    FOR_EACH_NODE(g, d) {
        if (d->op != OP_dequantize || !node_out(d)->uses)
            continue;
        Node *first = first_of(k, &k->dequantizes, dequantize_key(k, d), d);
        if (first != d)
            value_replace(node_out(d), node_out(first));
    }
    graph_dce(g);
}

/* d and the quantize in front of it become one. */
static void join(Graph *g, Known *k, Node *d) {
    Node *q = node_in(d, 0)->def;
    FakeQuantAttrs a;
    if (!q || q->op != OP_quantize)
        return;
    if (!joined(q, d, &a)) {
        if (is_scaled_at_run_time(q, d))
            join_at_run_time(k, g, q, d);
        return;
    }
    const char *key = fake_quant_key(k, node_in(q, 0), &a);
    Node *f = map_get(&k->fakes, key);
    if (!f)
        map_put(&k->arena, &k->fakes, key, f = make(g, q, d, &a));
    replace_node(g, d, node_out(f));
}

static void join_all(Graph *g, Known *k) {
    FOR_EACH_NODE_SAFE(g, n) {
        if (n->op == OP_dequantize)
            join(g, k, before_moves(g, n));
        else if (n->op == OP_fake_quant)
            first_of(k, &k->fakes, fake_quant_key(k, node_in(n, 0), fake_quant_attrs(n)), n);
        else if (n->op == OP_quantize_shifted)
            first_of(
                k, &k->shifted,
                shifted_key(k, node_in(n, 0), node_in(n, 1), node_in(n, 2), shifted_attrs(n)->to),
                n);
    }
    graph_dce(g);
}

static void take_bounds(Graph *g) {
    ClipAttrs unused;
    FOR_EACH_NODE(g, n) {
        if (clip_bounds(n, &unused) && only_read_by(node_out(n), OP_fake_quant))
            give_bounds(g, n);
    }
    graph_dce(g);
}

/* Of those that make the same integers the first one makes them for all. */
static void share_all_integers(Graph *g, Known *k) {
    FOR_EACH_NODE_SAFE(g, f) {
        if (f->op != OP_fake_quant)
            continue;
        FakeQuantAttrs a = *fake_quant_attrs(f);
        a.times = 1;
        const char *key = fake_quant_key(k, node_in(f, 0), &a);
        Node *first = first_of(k, &k->integers, key, f);
        if (first != f)
            map_put(&k->arena, &k->integers, key, share_integers(g, f, first));
    }
    graph_dce(g);
}

bool pass_fuse_quantize(Graph *g, PassContext *cx) {
    (void)cx;
    Known known = {0};
    share_dequantizes(g, &known);
    join_all(g, &known);
    take_bounds(g);
    share_all_integers(g, &known);
    arena_free(&known.arena);
    return true;
}
