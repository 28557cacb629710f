/* fuse-silu: the arithmetic that is an activation becomes that activation.
 *
 *   mul(x, sigmoid(x)), div(x, add(1, exp(neg(x))))          -> silu(x)
 *   mul(add(tanh(mul(x, 0.5)), 1), 0.5)                      -> sigmoid(x)
 *   div(mul(x, clip(add(x, 3), 0, 6)), 6)                    -> hard_swish(x)
 *   min(max(x, 0), 6), where(less(x, 6), relu(x), 6)         -> relu6(x)
 *
 * and so on: exporters have dozens of spellings, so what counts is what is computed. A node and
 * those it needs are a function of one value where all else that they read are numbers. Its values
 * at SAMPLES, in double precision, tell which activation it is, if any. Of several such functions
 * that end in one node the longest is taken.
 *
 * Needs: canonicalise. Leaves alone: a product with the sigmoid of another value (that is a gate),
 * and a constant that makes the shape larger. What something else reads stays. */
#include "passes/match.h"

#include <math.h>

enum { MAX_PARTS = 16, MAX_SEEN = 8, FEW = 6, GRID = 96, POWERS = 20 };
enum { SAMPLES = 2 * POWERS + GRID + 3, MAX_UNIFORM = 1 << 12 };

/* Nodes that compute the first one's result, users before what they use, and the values that they
 * read. */
typedef struct Cone {
    const Node *part[MAX_PARTS];
    int nparts;
    Value *reads[MAX_SEEN];
    int nreads;
} Cone;

/* ---- what is computed at samples ------------------------------------------------------------- */

/* The first FEW rule out most of what is no activation. Behind them are zero, NaN, numbers around
 * where activations bend, and powers of ten. */
static void fill_samples(double x[SAMPLES]) {
    static const double few[FEW] = {1, -1, 5, -5, 0.3, -30};
    int n = 0;
    while (n < FEW)
        x[n] = few[n], n++;
    for (int i = 0; i < GRID - FEW + 1; i++)
        x[n++] = (i - (GRID - FEW) / 2) * 0.2137;
    for (int i = 0; i < POWERS; i++) {
        x[n++] = 1.07 * pow(10, 3 * i - 20);
        x[n++] = -1.07 * pow(10, 3 * i - 20);
    }
    x[n++] = 0;
    x[n++] = NAN;
    ensure(n == SAMPLES);
}

/* Whether all elements of a constant are one number. */
static bool uniform(const Value *v, double *number) {
    const Tensor *t = v->constant;
    int64_t n = t && t->data && dtype_is_float(t->dtype) ? shape_elems(&t->shape) : 0;
    if (n < 1 || n > MAX_UNIFORM)
        return false;
    *number = tensor_f64(t, 0);
    for (int64_t i = 1; i < n; i++)
        if (tensor_f64(t, i) != *number)
            return false;
    return true;
}

/* A tensor of the number, where v is one; else what was computed for v. */
static const Tensor *operand(Arena *a, const Cone *c, Tensor *const *y, const Value *x,
                             const Tensor *at, const Value *v) {
    double number;
    if (v == x)
        return at;
    for (int i = 0; i < c->nparts; i++)
        if (node_out(c->part[i]) == v)
            return y[i];
    ensure(uniform(v, &number));
    Tensor *t = tensor_new(a, DT_f64, (Shape){0});
    tensor_set_f64(t, 0, number);
    return t;
}

/* What the cone makes of n numbers in place of x; NULL where it can't be computed. */
static const Tensor *compute(Arena *a, const Cone *c, const Value *x, const double *at, int n) {
    Tensor *in = tensor_new(a, DT_f64, SHAPE(n)), *y[MAX_PARTS];
    Buf why = {0};
    bool ok = true;
    tensor_write_f64(in, 0, n, at);
    for (int i = c->nparts - 1; ok && i >= 0; i--) {
        const Node *part = c->part[i];
        const Tensor *operands[3] = {NULL};
        for (int k = 0; k < part->noperands; k++)
            operands[k] = operand(a, c, y, x, in, node_in(part, k));
        bool is_bool = node_out(part)->type.dtype == DT_bool;
        y[i] = tensor_new(a, is_bool ? DT_bool : DT_f64, SHAPE(n));
        ok = op_info(part->op)->eval(part, operands, &y[i], a, &why);
    }
    buf_free(&why);
    return ok ? y[0] : NULL;
}

/* Exporters round constants like 1/6 to seven digits, which shows where a line is cut at 0; and
 * what comes close to 0 by way of 1 has the digits of 1. But 0 is 0: what is kept a little above it
 * may be divided by. What overflows on the way has a limit, which the activation gives. */
static bool is_near(Act act, double y, double want, double x) {
    bool is_line = (act == ACT_hard_sigmoid || act == ACT_hard_swish) && fabs(x) < 3.5;
    if (isnan(x) || isnan(want))
        return isnan(y) == isnan(want);
    if (!isfinite(y))
        return fabs(x) > 80;
    if (want == 0)
        return y == 0;
    return fabs(y - want) <= 1e-6 * fabs(want) + (is_line ? 4e-7 : 1e-15) * fmax(1, fabs(x));
}

static bool gives(Act act, const Tensor *y, const double *x, int n) {
    for (int i = 0; i < n; i++)
        if (!is_near(act, tensor_f64(y, i), act_eval(act, x[i]), x[i]))
            return false;
    return true;
}

/* The activation of x that the cone computes, or ACT_none. */
static Act act_of(const Cone *c, const Value *x, const double samples[SAMPLES]) {
    Arena a = {0};
    Act act = ACT_none;
    const Tensor *few = compute(&a, c, x, samples, FEW), *all = NULL;
    for (int i = ACT_none + 1; few && i < ACT_COUNT && act == ACT_none; i++) {
        if (i == ACT_silu_exp2 || !gives((Act)i, few, samples, FEW))
            continue;
        all = all ? all : compute(&a, c, x, samples, SAMPLES);
        act = all && gives((Act)i, all, samples, SAMPLES) ? (Act)i : ACT_none;
    }
    arena_free(&a);
    return act;
}

/* ---- cones ----------------------------------------------------------------------------------- */

static bool may_be_part(const Node *n, const Shape *s) {
    static const bool ops[OP_COUNT] = {
        [OP_add] = true,   [OP_sub] = true,      [OP_mul] = true,        [OP_div] = true,
        [OP_min] = true,   [OP_max] = true,      [OP_neg] = true,        [OP_exp] = true,
        [OP_log] = true,   [OP_abs] = true,      [OP_pow] = true,        [OP_clip] = true,
        [OP_where] = true, [OP_less] = true,     [OP_less_equal] = true, [OP_not] = true,
        [OP_sqrt] = true,  [OP_identity] = true,
    };
    Act act;
    return n && n->nresults == 1 && (ops[n->op] || op_is_act(n->op, &act)) &&
           shape_equal(&node_out(n)->type.shape, s);
}

/* False where there are too many values. */
static bool add_read(Cone *c, Value *v) {
    double number;
    for (int i = 0; i < c->nreads; i++)
        if (c->reads[i] == v)
            return true;
    if (uniform(v, &number))
        return true;
    if (c->nreads == MAX_SEEN)
        return false;
    c->reads[c->nreads++] = v;
    return true;
}

static bool add_part(Cone *c, const Node *n) {
    if (c->nparts == MAX_PARTS)
        return false;
    c->part[c->nparts++] = n;
    for (int i = 0; i < n->noperands; i++)
        if (!add_read(c, node_in(n, i)))
            return false;
    return true;
}

/* Takes the node in that is the last to run of those whose results are read: so whatever reads a
 * value is in before its node. */
static bool grow(Cone *c, const Shape *s) {
    int last = 0;
    for (int i = 1; i < c->nreads; i++) {
        const Node *n = c->reads[i]->def, *of_last = c->reads[last]->def;
        last = n && (!of_last || n->mark > of_last->mark) ? i : last;
    }
    const Node *n = c->nreads ? c->reads[last]->def : NULL;
    if (!may_be_part(n, s))
        return false;
    c->reads[last] = c->reads[--c->nreads];
    return add_part(c, n);
}

/* The activation of x takes n's place; its origin names n and the nodes that went into it. */
static void fuse(Graph *g, Node *n, const Cone *c, Value *x, Act act) {
    Node *fused = new_before(g, op_from_act(act), n, (Value *[]){x}, 1);
    fused->mark = n->mark;
    fused->origin = "";
    for (int i = c->nparts - 1; i >= 0; i--)
        fused->origin = origin_join(g, fused->origin, c->part[i]->origin);
    replace_node(g, n, node_out(fused));
}

static void fuse_longest(Graph *g, Node *n, const double samples[SAMPLES]) {
    const Type *t = &node_out(n)->type;
    Cone c = {0}, best = {0};
    Act best_act = ACT_none, own;
    if (!dtype_is_float(t->dtype) || !may_be_part(n, &t->shape) || !add_part(&c, n))
        return;
    do {
        const Value *x = c.nreads == 1 ? c.reads[0] : NULL;
        bool is_itself = c.nparts == 1 && op_is_act(n->op, &own);
        if (!x || is_itself || x->type.dtype != t->dtype || !shape_equal(&x->type.shape, &t->shape))
            continue;
        Act act = act_of(&c, x, samples);
        if (act != ACT_none) {
            best = c;
            best_act = act;
        }
    } while (grow(&c, &t->shape));
    if (best_act != ACT_none)
        fuse(g, n, &best, best.reads[0], best_act);
}

bool pass_fuse_silu(Graph *g, PassContext *cx) {
    double samples[SAMPLES];
    (void)cx;
    fill_samples(samples);
    graph_number_nodes(g);
    FOR_EACH_NODE_SAFE(g, n) {
        fuse_longest(g, n, samples);
    }
    graph_dce(g);
    return true;
}
