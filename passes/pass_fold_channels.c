/* fold-channels: an order of channels in front of a convolution goes into its weights.
 *
 *   conv2d(x[:, from])                    -> conv2d(x), each weight on the channel that it was for
 *   conv2d(f(x[:, from])), f by channel   -> conv2d(f'(x)), as above
 *   conv2d(concat(f(x[:, 0:1]), ...))     -> the same
 *
 * So preprocessing turns RGB into BGR, makes three channels of one, or treats each by itself: by
 * gather, slice, concat, expand and Tile, with a cast of integers and arithmetic with constants
 * between them. Of that arithmetic mul and add remain, for fold-input. Needs: fuse-pad. Leaves
 * alone: an order that leaves out channels, channels of several values, grouped convolutions,
 * copies of a channel that are treated differently, and more than MAX_CHANNELS. */
#include "passes/match.h"

#include <math.h>

enum {
    MAX_CHANNELS = 64, /* of a picture; more are features */
    MAX_STEPS = 256,   /* nodes read for one convolution */
};

/* Channel c of a value is channel from[c] of x, times scale[c], plus shift[c]. */
typedef struct Planes {
    Value *x;
    int64_t n;
    bool moved; /* not by arithmetic alone */
    int64_t from[MAX_CHANNELS];
    double scale[MAX_CHANNELS], shift[MAX_CHANNELS];
} Planes;

/* Reads what makes v, of [N,C,H,W]; *steps counts nodes. False where it is nothing of the kind. */
static bool read_value(Value *v, Planes *p, int *steps);
typedef bool Read(const Node *n, Planes *p, int *steps);

static bool has_few_channels(const Value *v) {
    const Shape *s = &v->type.shape;
    return s->rank == 4 && s->dim[1] >= 1 && s->dim[1] <= MAX_CHANNELS;
}

static void read_nothing(Value *v, Planes *p) {
    *p = (Planes){.x = v, .n = v->type.shape.dim[1]};
    for (int64_t c = 0; c < p->n; c++) {
        p->from[c] = c;
        p->scale[c] = 1;
    }
}

/* ---- what moves channels --------------------------------------------------------------------- */

static void append(Planes *p, const Planes *other, int64_t c) {
    p->from[p->n] = other->from[c];
    p->scale[p->n] = other->scale[c];
    p->shift[p->n++] = other->shift[c];
}

/* Those of n's operand that `channels` names, which are inside. */
static bool choose(const Node *n, const int64_t *channels, Planes *p, int *steps) {
    Planes all;
    if (!read_value(node_in(n, 0), &all, steps))
        return false;
    *p = (Planes){.x = all.x, .moved = true};
    for (int64_t c = 0; c < node_out(n)->type.shape.dim[1]; c++)
        append(p, &all, channels[c]);
    return true;
}

static bool read_gather(const Node *n, Planes *p, int *steps) {
    const Value *indices = node_in(n, 1);
    int64_t channels[MAX_CHANNELS], limit = node_in(n, 0)->type.shape.dim[1];
    if (axis_attrs(n)->axis != 1 || indices->type.shape.rank != 1 || !indices->constant ||
        !indices->constant->data)
        return false;
    for (int64_t c = 0; c < indices->type.shape.dim[0]; c++) {
        int64_t k = tensor_i64(indices->constant, c);
        channels[c] = k < 0 ? k + limit : k;
        if (channels[c] < 0 || channels[c] >= limit)
            return false;
    }
    return choose(n, channels, p, steps);
}

static bool has_same_planes(const Value *a, const Value *b) {
    const Shape *s = &a->type.shape, *t = &b->type.shape;
    return s->rank == 4 && t->rank == 4 && s->dim[0] == t->dim[0] && s->dim[2] == t->dim[2] &&
           s->dim[3] == t->dim[3];
}

static bool read_slice(const Node *n, Planes *p, int *steps) {
    const SliceAttrs *a = slice_attrs(n);
    int64_t channels[MAX_CHANNELS];
    for (int d = 0; d < a->steps.n; d++)
        if (d != 1 && a->steps.v[d] != 1)
            return false;
    for (int64_t c = 0; c < a->sizes.v[1]; c++)
        channels[c] = a->starts.v[1] + c * a->steps.v[1];
    return has_same_planes(node_in(n, 0), node_out(n)) && choose(n, channels, p, steps);
}

static bool read_expand(const Node *n, Planes *p, int *steps) {
    static const int64_t first[MAX_CHANNELS];
    const Value *x = node_in(n, 0);
    return has_same_planes(x, node_out(n)) && x->type.shape.dim[1] == 1 &&
           choose(n, first, p, steps);
}

/* All channels several times, as Tile is imported: a dim of 1 before them, stretched, joined. */
static bool read_reshape(const Node *n, Planes *p, int *steps) {
    Planes all;
    const Node *expand = node_in(n, 0)->def;
    const Node *split = expand && expand->op == OP_expand ? node_in(expand, 0)->def : NULL;
    if (!split || split->op != OP_reshape || !has_few_channels(node_in(split, 0)) ||
        !has_same_planes(node_in(split, 0), node_out(n)))
        return false;
    const int64_t *x = node_in(split, 0)->type.shape.dim;
    const int64_t times = node_out(n)->type.shape.dim[1] / x[1];
    Shape one = SHAPE(x[0], 1, x[1], x[2], x[3]), many = SHAPE(x[0], times, x[1], x[2], x[3]);
    if (!shape_equal(&node_out(split)->type.shape, &one) ||
        !shape_equal(&node_out(expand)->type.shape, &many) ||
        !read_value(node_in(split, 0), &all, steps))
        return false;
    *p = (Planes){.x = all.x, .moved = true};
    for (int64_t c = 0; c < node_out(n)->type.shape.dim[1]; c++)
        append(p, &all, c % all.n);
    return true;
}

/* Parts of one value. */
static bool read_concat(const Node *n, Planes *p, int *steps) {
    Planes part;
    if (axis_attrs(n)->axis != 1)
        return false;
    *p = (Planes){.moved = true};
    for (int i = 0; i < n->noperands; i++) {
        if (!read_value(node_in(n, i), &part, steps) || (p->x && p->x != part.x))
            return false;
        p->x = part.x;
        for (int64_t c = 0; c < part.n; c++)
            append(p, &part, c);
    }
    return true;
}

/* ---- what is done with each ------------------------------------------------------------------ */

/* Of integers: where the cast stands doesn't matter. */
static bool read_cast(const Node *n, Planes *p, int *steps) {
    return cast_attrs(n)->to == DT_f32 && !dtype_is_float(node_in(n, 0)->type.dtype) &&
           read_value(node_in(n, 0), p, steps);
}

static bool read_side(const Node *n, int side, Planes *p, int *steps) {
    Value *x = node_in(n, side), *by = node_in(n, 1 - side);
    bool inverse = n->op == OP_sub || n->op == OP_div;
    if ((side == 1 && inverse) || !constant_f32(by) || !is_by_channel(by, &x->type.shape) ||
        !shape_equal(&x->type.shape, &node_out(n)->type.shape) || !read_value(x, p, steps))
        return false;
    for (int64_t c = 0; c < p->n; c++) {
        double v = constant_f32(by)[shape_elems(&by->type.shape) == 1 ? 0 : c];
        bool scales = n->op == OP_mul || n->op == OP_div;
        double scale = !scales ? 1 : inverse ? 1 / v : v;
        p->scale[c] *= scale;
        p->shift[c] = p->shift[c] * scale + (scales ? 0 : inverse ? -v : v);
    }
    return true;
}

static bool read_arithmetic(const Node *n, Planes *p, int *steps) {
    return read_side(n, 0, p, steps) || read_side(n, 1, p, steps);
}

static Read *const readers[OP_COUNT] = {
    [OP_reshape] = read_reshape, [OP_gather] = read_gather,  [OP_slice] = read_slice,
    [OP_expand] = read_expand,   [OP_concat] = read_concat,  [OP_cast] = read_cast,
    [OP_add] = read_arithmetic,  [OP_sub] = read_arithmetic, [OP_mul] = read_arithmetic,
    [OP_div] = read_arithmetic,
};

static bool read_value(Value *v, Planes *p, int *steps) {
    const Node *n = v->def;
    if (!has_few_channels(v) || ++*steps > MAX_STEPS)
        return false;
    if (!n || !readers[n->op] || !readers[n->op](n, p, steps))
        read_nothing(v, p);
    return true;
}

/* ---- into the weights ------------------------------------------------------------------------ */

/* What each channel of x goes through; false where a channel isn't used, or its copies differ. */
static bool by_source(const Planes *p, Planes *out) {
    bool seen[MAX_CHANNELS] = {false};
    read_nothing(p->x, out);
    for (int64_t c = 0; c < p->n; c++) {
        int64_t k = p->from[c];
        if (!isfinite((float)p->scale[c]) || !isfinite((float)p->shift[c]) ||
            (seen[k] && (out->scale[k] != p->scale[c] || out->shift[k] != p->shift[c])))
            return false;
        out->scale[k] = p->scale[c];
        out->shift[k] = p->shift[c];
        seen[k] = true;
    }
    for (int64_t k = 0; k < out->n; k++)
        if (!seen[k])
            return false;
    return true;
}

static Value *by_constant(Graph *g, Node *conv, Op op, Value *x, const double *v, int64_t n) {
    double neutral = op == OP_mul ? 1 : 0;
    bool needed = false;
    float *data;
    for (int64_t c = 0; c < n; c++)
        needed |= v[c] != neutral;
    if (!needed)
        return x;
    Value *by = new_constant_f32(g, x->name, SHAPE(1, n, 1, 1), &data);
    for (int64_t c = 0; c < n; c++)
        data[c] = (float)v[c];
    return node_out(new_before(g, op, conv, (Value *[]){x, by}, 2));
}

static Value *weights_by_source(Graph *g, const Node *conv, const Planes *p, int64_t channels) {
    const Value *w = node_in(conv, 1);
    const int64_t *d = w->type.shape.dim;
    int64_t taps = d[2] * d[3];
    const float *from = constant_f32(w);
    float *to;
    Value *v = new_constant_f32(g, w->name, SHAPE(d[0], channels, d[2], d[3]), &to);
    for (int64_t i = 0; i < d[0] * d[1] * taps; i++) {
        int64_t out = i / (d[1] * taps), c = i / taps % d[1];
        to[(out * channels + p->from[c]) * taps + i % taps] += from[i];
    }
    return v;
}

static void fold(Graph *g, Node *conv, const Planes *p, const Planes *source) {
    Value *x = p->x;
    if (x->type.dtype != DT_f32) {
        Node *cast = new_node(g, OP_cast, conv, &x, 1);
        node_infer_or_die(cast);
        x = node_out(cast);
    }
    x = by_constant(g, conv, OP_mul, x, source->scale, source->n);
    x = by_constant(g, conv, OP_add, x, source->shift, source->n);
    Value *w = weights_by_source(g, conv, p, source->n);
    node_set_operand(conv, 0, x);
    node_set_operand(conv, 1, w);
    node_infer_or_die(conv);
}

/* Nothing that was fused into it reads its input's channels. */
static bool can_take(const Node *n) {
    return n->op == OP_conv2d && conv_attrs(n)->group == 1 && constant_f32(node_in(n, 1)) &&
           node_in(n, 0)->type.dtype == DT_f32 && !node_in(n, node_slot(n, "scale"));
}

bool pass_fold_channels(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE(g, n) {
        Planes p, source;
        int steps = 0;
        if (can_take(n) && read_value(node_in(n, 0), &p, &steps) && p.moved &&
            by_source(&p, &source) && graph_may_grow(g, tensor_bytes(node_in(n, 1)->constant)))
            fold(g, n, &p, &source);
    }
    graph_dce(g);
    return true;
}
