/* sum-integers: a convolution or dense layer between dequantize and quantize sums up the integers,
 * exactly, and is scaled once, as QLinearConv and QGemm are by definition:
 *
 *   quantize(act(conv2d(dequantize(x, s, z), dequantize(w, t), dequantize(b, s * t))), r, y)
 *     quantize(clip(mul(conv2d(x - z, w, b), s * t / r)), 1, y)
 *
 * Sums of floats would be rounded, and beside a tie another integer may come out. act is any of
 * relu, relu6 and clip, and the bias may be an add of its own; reshapes and transposes may lie
 * between all of them, and zeros be padded.
 *
 * Needs: the model as loaded, since constants that are folded are integers no more. Leaves alone: a
 * float that something else reads, scales that are computed or belong to other dimensions than the
 * outputs', a bias with another scale than s * t, and sums that f32 can't hold exactly. */
#include "passes/match.h"

#include <math.h>

enum { MAX_MOVES = 8, FOLD_LIMIT = 1 << 26 };

static bool is_move(const Node *n) {
    return n->op == OP_reshape || n->op == OP_transpose;
}

static bool pads_zeros(const Node *n) {
    return n->op == OP_pad && pad_attrs(n)->value == 0;
}

static bool is_bound(const Node *n) {
    ClipAttrs unused;
    return clip_bounds(n, &unused);
}

/* ---- what was dequantized -------------------------------------------------------------------- */

/* How a value was made of dequantized integers: move[0] last. d is NULL where it wasn't. */
typedef struct Integers {
    Node *move[MAX_MOVES], *d;
    int n;
    const Tensor *scale, *zero; /* zero: NULL where there is none */
} Integers;

static const Tensor *small_constant(Graph *g, Value *v) {
    return v ? graph_fold_value(g, v, FOLD_LIMIT) : NULL;
}

/* With scales over 0. */
static bool has_scales(const Tensor *scale) {
    for (int64_t i = 0; scale && i < shape_elems(&scale->shape); i++)
        if (!(tensor_f64(scale, i) > 0 && isfinite(tensor_f64(scale, i))))
            return false;
    return scale;
}

static Integers integers_of(Graph *g, const Value *v) {
    Integers x = {.n = 0};
    Node *n = v->def;
    for (; n && n->op != OP_dequantize; n = node_in(n, 0)->def) {
        if (x.n == MAX_MOVES || !(is_move(n) || pads_zeros(n)))
            return x;
        x.move[x.n++] = n;
    }
    if (!n)
        return x;
    x.scale = small_constant(g, node_in(n, 1));
    x.zero = small_constant(g, node_in(n, 2));
    if (has_scales(x.scale) && (x.zero || !node_in(n, 2)))
        x.d = n;
    return x;
}

/* Whether what moves them does it for one reader alone. */
static bool moves_are_own(const Integers *x) {
    for (int i = 0; i < x->n; i++)
        if (!value_single_user(node_out(x->move[i])))
            return false;
    return true;
}

/* The same integers, less their zeros, as f32: in front of `at`. */
static Value *shifted(Graph *g, Node *at, const Integers *x) {
    float *ones;
    Value *one = new_constant_f32(g, "one", x->scale->shape, &ones);
    for (int64_t i = 0; i < shape_elems(&x->scale->shape); i++)
        ones[i] = 1;
    Node *d = new_like(g, x->d, at, (Value *[]){node_in(x->d, 0), one, node_in(x->d, 2)});
    for (int i = x->n - 1; i >= 0; i--) {
        Value *v = node_out(d);
        d = new_like(g, x->move[i], at, &v);
    }
    return node_out(d);
}

/* The dimension of what n moves that dimension `axis` becomes; -1 where it is taken apart. */
static int moved_axis(const Node *n, int axis) {
    const Shape *from = &node_in(n, 0)->type.shape, *to = &node_out(n)->type.shape;
    for (int i = 0; i < to->rank; i++)
        if (n->op == OP_transpose ? transpose_attrs(n)->perm.v[i] == axis
                                  : to->dim[i] == from->dim[axis] &&
                                        dims_product(to, 0, i) == dims_product(from, 0, axis))
            return i;
    return -1;
}

/* Whether each of `count` first dimensions has a scale, or all have one. */
static bool scales_are_by_row(const Integers *w, int64_t count) {
    int axis = (int)axis_attrs(w->d)->axis;
    if (w->scale->shape.rank == 0)
        return true;
    for (int i = w->n - 1; i >= 0 && axis >= 0; i--)
        axis = moved_axis(w->move[i], axis);
    return axis == 0 && shape_elems(&w->scale->shape) == count;
}

static double element(const Tensor *t, int64_t i) {
    return tensor_f64(t, shape_elems(&t->shape) == 1 ? 0 : i);
}

/* ---- what follows ---------------------------------------------------------------------------- */

/* From a convolution to its quantize: an add of a bias, bounds, moves. */
typedef struct Tail {
    Node *add; /* NULL where there is none */
    Node *node[MAX_MOVES];
    int n;
    Node *quantize;
    const Tensor *scale;
} Tail;

/* The slot of what is added to v by channel; -1 where it isn't that. */
static int bias_slot(const Node *add, const Value *v) {
    int slot = node_in(add, 0) == v;
    const Value *b = node_in(add, slot);
    return b != v && shape_equal(&node_out(add)->type.shape, &v->type.shape) &&
                   is_by_channel(b, &v->type.shape)
               ? slot
               : -1;
}

static bool find_tail(Graph *g, const Node *conv, Tail *t) {
    const Value *v = node_out(conv);
    *t = (Tail){.n = 0};
    for (Node *n; (n = value_single_user(v)) && n->op != OP_quantize; v = node_out(n)) {
        bool adds = n->op == OP_add && !t->add && t->n == 0 && !node_in(conv, 2);
        if (adds && bias_slot(n, v) >= 0)
            t->add = n;
        else if (t->n < MAX_MOVES && (is_move(n) || is_bound(n)))
            t->node[t->n++] = n;
        else
            return false;
    }
    t->quantize = value_single_user(v);
    if (!t->quantize || node_in(t->quantize, 0) != v)
        return false;
    t->scale = small_constant(g, node_in(t->quantize, 1));
    return has_scales(t->scale) && t->scale->shape.rank == 0;
}

/* ---- sums ------------------------------------------------------------------------------------ */

typedef struct Sum {
    Node *conv;
    Integers x, w;
    Tail tail;
    int64_t outputs;
    Value *weights;    /* integers */
    Value *low, *high; /* of the bias, or NULL: what starts the sums, and is added to them */
} Sum;

static double scale_of(const Sum *s, int64_t output) {
    return (double)((float)tensor_f64(s->x.scale, 0) * (float)element(s->w.scale, output));
}

/* The least and the largest of x's integers. */
static SumBounds bounds_of(const Integers *x) {
    DType dt = node_in(x->d, 0)->type.dtype;
    double zero = x->zero ? tensor_f64(x->zero, 0) : 0;
    return (SumBounds){fmin(dtype_min(dt) - zero, 0), fmax(dtype_max(dt) - zero, 0)};
}

/* The integers of a bias b, if its scales are those of the sums; else NULL. */
static const Tensor *bias_integers(Graph *g, const Sum *s, const Value *b) {
    static const double rounding = 1e-6; /* of scales that an exporter computed */
    Integers i = integers_of(g, b);
    if (!i.d || shape_elems(&b->type.shape) != s->outputs)
        return NULL;
    for (int64_t c = 0; c < s->outputs; c++) {
        double scale = scale_of(s, c);
        if (fabs(element(i.scale, c) - scale) > rounding * scale ||
            (i.zero && element(i.zero, c) != 0))
            return NULL;
    }
    return small_constant(g, node_in(i.d, 0));
}

/* False where it isn't integers of the right scale, or too large. */
static bool split_bias(Graph *g, Sum *s, const SumRuns *r) {
    Node *add = s->tail.add;
    Value *b = add ? node_in(add, bias_slot(add, node_out(s->conv))) : node_in(s->conv, 2);
    if (!b)
        return true;
    const Tensor *t = bias_integers(g, s, b);
    if (!t)
        return false;
    bool split, is_image = s->conv->op == OP_conv2d;
    Shape row = SHAPE(s->outputs), planes = SHAPE(1, s->outputs, 1, 1);
    float *low, *high;
    Value *v = new_constant_f32(g, "bias", row, &low);
    Value *more = new_constant_f32(g, "high", is_image ? planes : row, &high);
    if (!sum_split_bias(r, t, v->constant, more->constant, &split))
        return false;
    s->low = v;
    s->high = split ? more : NULL;
    return true;
}

/* The integers of the weights; several convolutions may have the same. */
static const Tensor *weights_of(Graph *g, Map *known, Sum *s) {
    const char *name = node_in(s->conv, 1)->name;
    s->weights = map_get(known, name);
    if (!s->weights) {
        s->weights = shifted(g, s->conv, &s->w);
        map_put(&g->arena, known, name, s->weights);
    }
    return graph_fold_value(g, s->weights, FOLD_LIMIT);
}

/* Whether the sums are exact in one go. Sets the integers of weights and bias. */
static bool is_exact(Graph *g, Map *known, Sum *s) {
    const Tensor *w = weights_of(g, known, s);
    int64_t terms = w && s->outputs ? shape_elems(&w->shape) / s->outputs : 0;
    SumTerms t = {s->outputs, 1, terms, true};
    SumRuns r;
    return terms && graph_may_grow(g, 4 * s->outputs * (int64_t)sizeof(float)) &&
           sum_runs(&g->arena, bounds_of(&s->x), w, (SumBounds){0}, &t, &r) && split_bias(g, s, &r);
}

static bool is_plain(const Node *n) {
    for (int i = 3; i < n->noperands; i++)
        if (node_in(n, i))
            return false;
    return (n->op == OP_conv2d || n->op == OP_dense) && *fused_act(n) == ACT_none;
}

static bool find(Graph *g, Node *conv, Map *known, Sum *s) {
    if (!is_plain(conv))
        return false;
    *s = (Sum){.conv = conv, .outputs = node_in(conv, 1)->type.shape.dim[0]};
    if (!find_tail(g, conv, &s->tail))
        return false;
    s->x = integers_of(g, node_in(conv, 0));
    s->w = integers_of(g, node_in(conv, 1));
    return s->x.d && s->x.scale->shape.rank == 0 && moves_are_own(&s->x) && s->w.d &&
           scales_are_by_row(&s->w, s->outputs) && is_exact(g, known, s);
}

/* ---- building -------------------------------------------------------------------------------- */

/* What turns a sum into steps of the result: s * t / r, each operation rounded. */
static Value *factors(Graph *g, const Sum *s) {
    bool one = s->w.scale->shape.rank == 0, is_image = s->conv->op == OP_conv2d;
    Shape shape = one ? (Shape){0} : is_image ? SHAPE(1, s->outputs, 1, 1) : SHAPE(s->outputs);
    float *f, r = (float)tensor_f64(s->tail.scale, 0);
    Value *v = new_constant_f32(g, "factor", shape, &f);
    for (int64_t i = 0; i < shape_elems(&shape); i++)
        f[i] = (float)scale_of(s, i) / r;
    return v;
}

static Value *exact_sum(Graph *g, const Sum *s) {
    Value *x = shifted(g, s->conv, &s->x);
    Node *sum = new_node(g, s->conv->op, s->conv, (Value *[]){x, s->weights, s->low}, 3);
    if (s->conv->op == OP_dense) {
        dense_attrs(sum)->exact = true;
    } else {
        *conv_attrs(sum) = *conv_attrs(s->conv);
        conv_attrs(sum)->exact = true;
    }
    node_infer_or_die(sum);
    Value *v = node_out(sum);
    return s->high ? node_out(new_before(g, OP_add, s->conv, (Value *[]){v, s->high}, 2)) : v;
}

/* In steps of the result, of which there are whole ones alone. */
static Value *bounded(Graph *g, Node *n, Value *v, double scale) {
    ClipAttrs a;
    clip_bounds(n, &a);
    Node *c = new_node(g, OP_clip, n, &v, 1);
    *clip_attrs(c) = clip_in_steps(&a, scale);
    node_infer_or_die(c);
    return node_out(c);
}

static void rewrite(Graph *g, const Sum *s) {
    double r = tensor_f64(s->tail.scale, 0);
    float *one;
    Value *v = exact_sum(g, s);
    v = node_out(new_before(g, OP_mul, s->conv, (Value *[]){v, factors(g, s)}, 2));
    if (s->tail.add)
        v->def->origin = origin_join(g, v->def->origin, s->tail.add->origin);
    for (int i = 0; i < s->tail.n; i++) {
        Node *n = s->tail.node[i];
        v = is_bound(n) ? bounded(g, n, v, r) : node_out(new_like(g, n, n, &v));
    }
    Value *unit = new_constant_f32(g, "one", (Shape){0}, &one);
    *one = 1;
    node_set_operand(s->tail.quantize, 0, v);
    node_set_operand(s->tail.quantize, 1, unit);
}

bool pass_sum_integers(Graph *g, PassContext *cx) {
    (void)cx;
    Map weights = {0};
    FOR_EACH_NODE(g, n) { /* folding may erase those behind n */
        Sum s;
        if (find(g, n, &weights, &s))
            rewrite(g, &s);
    }
    graph_dce(g);
    return true;
}
