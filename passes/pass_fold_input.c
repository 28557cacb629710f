/* fold-input: arithmetic with constants before conv2d, dwconv2d or dense goes into its weights:
 *
 *   conv(x * s), conv(x / s)             -> weights times s or 1/s, per input channel
 *   conv(x + t), conv(x - t), no padding -> bias plus or minus the sum of weights times t
 *   conv(x * s + t), padding             -> conv((x + t / s) * s), and that as above
 *   x + t + u                            -> x + (t + u), before a convolution
 *
 * where s and t have one element, or one per channel: how preprocessing (Rescaling, Normalization)
 * and a batch norm before a convolution are spelt. Padding is of zeros that no sum reaches, so with
 * it one add remains. Needs: fuse-pad. Leaves alone: arithmetic with another user, constants of
 * other shapes or on the left of sub and div, weights that were made anew too often, and a division
 * by s that gives no finite number. */
#include "passes/match.h"

#include <math.h>

/* Arithmetic with a constant: the operand that is one, the other one, per channel. */
typedef struct Step {
    Node *node;
    Value *x;
    const Value *by;
    int64_t channels;
} Step;

static bool match_side(Step *out, Node *n, int side) {
    Value *x = node_in(n, side), *by = node_in(n, 1 - side);
    const Shape *shape = &x->type.shape;
    if (!constant_f32(by) || x->constant || shape->rank < 2 || !is_by_channel(by, shape) ||
        !shape_equal(shape, &node_out(n)->type.shape) ||
        (side == 1 && (n->op == OP_sub || n->op == OP_div)))
        return false;
    *out = (Step){n, x, by, shape->dim[1]};
    return true;
}

/* The arithmetic that makes v for one user alone. */
static bool match(Step *out, const Value *v) {
    Node *n = v->def;
    if (!n || !value_single_user(v) || v->type.dtype != DT_f32 ||
        (n->op != OP_mul && n->op != OP_div && n->op != OP_add && n->op != OP_sub))
        return false;
    return match_side(out, n, 0) || match_side(out, n, 1);
}

static bool is_scale(const Step *s) {
    return s->node->op == OP_mul || s->node->op == OP_div;
}

/* What channel c is multiplied by, or what is added to it. */
static double amount(const Step *s, int64_t c) {
    double v = constant_f32(s->by)[shape_elems(&s->by->type.shape) == 1 ? 0 : c];
    return s->node->op == OP_div ? 1 / v : s->node->op == OP_sub ? -v : v;
}

/* ---- into the weights ------------------------------------------------------------------------ */

/* The input channel that element i of conv's weights belongs to. */
static int64_t input_channel(const Node *conv, int64_t i) {
    const Shape *w = &node_in(conv, 1)->type.shape;
    int64_t taps = w->rank == 4 ? w->dim[2] * w->dim[3] : 1;
    int64_t out = i / (w->dim[1] * taps), in = i / taps % w->dim[1];
    if (conv->op == OP_dwconv2d)
        return out;
    int64_t groups = conv->op == OP_conv2d ? conv_attrs(conv)->group : 1;
    return out / (w->dim[0] / groups) * w->dim[1] + in;
}

static void fold_scale(Graph *g, Node *conv, const Step *s) {
    const Value *w = node_in(conv, 1);
    const float *old = constant_f32(w);
    float *scaled;
    Value *v = new_constant_f32(g, w->name, w->type.shape, &scaled);
    for (int64_t i = 0; i < shape_elems(&w->type.shape); i++)
        scaled[i] = (float)(old[i] * amount(s, input_channel(conv, i)));
    node_set_operand(conv, 1, v);
}

static void fold_shift(Graph *g, Node *conv, const Step *s) {
    const Value *w = node_in(conv, 1);
    const float *weights = constant_f32(w), *b = constant_f32(node_in(conv, 2));
    int64_t channels = w->type.shape.dim[0],
            each = dims_product(&w->type.shape, 1, w->type.shape.rank);
    float *shifted;
    Value *v =
        new_constant_f32(g, arena_printf(&g->arena, "%s.bias", w->name), SHAPE(channels), &shifted);
    for (int64_t c = 0; c < channels; c++) {
        double sum = b ? b[c] : 0;
        for (int64_t i = c * each; i < (c + 1) * each; i++)
            sum += weights[i] * amount(s, input_channel(conv, i));
        shifted[c] = (float)sum;
    }
    node_set_operand(conv, 2, v);
}

static void take_over(Graph *g, Node *conv, const Step *s) {
    conv->origin = origin_join(g, conv->origin, s->node->origin);
    node_set_operand(conv, 0, s->x);
    node_erase(g, s->node);
}

/* ---- reordering ------------------------------------------------------------------------------ */

/* [1, C, 1, ...]: broadcasts along axis 1 of a value like x. */
static Value *new_amounts(Graph *g, const Step *s, float **data) {
    Shape shape = {.rank = s->x->type.shape.rank};
    for (int d = 0; d < shape.rank; d++)
        shape.dim[d] = d == 1 ? s->channels : 1;
    return new_constant_f32(g, s->by->name, shape, data);
}

/* x * s + t becomes (x + t / s) * s. */
static bool shift_first(Graph *g, const Step *add, const Step *mul) {
    for (int64_t c = 0; c < add->channels; c++)
        if (!isfinite((float)(amount(add, c) / amount(mul, c))))
            return false;
    float *shift;
    Value *t = new_amounts(g, add, &shift);
    for (int64_t c = 0; c < add->channels; c++)
        shift[c] = (float)(amount(add, c) / amount(mul, c));
    Value *sum = node_out(new_before(g, OP_add, add->node, (Value *[]){mul->x, t}, 2));
    sum->def->origin = add->node->origin;
    Value *by = node_in(mul->node, node_in(mul->node, 0) == mul->x ? 1 : 0);
    Node *scaled = new_before(g, mul->node->op, add->node, (Value *[]){sum, by}, 2);
    scaled->origin = mul->node->origin;
    replace_node(g, add->node, node_out(scaled));
    node_erase(g, mul->node);
    return true;
}

static bool join_shifts(Graph *g, const Step *second, const Step *first) {
    float *shift;
    Value *t = new_amounts(g, second, &shift);
    for (int64_t c = 0; c < second->channels; c++)
        shift[c] = (float)(amount(first, c) + amount(second, c));
    Node *add = new_before(g, OP_add, second->node, (Value *[]){first->x, t}, 2);
    add->origin = origin_join(g, first->node->origin, second->node->origin);
    replace_node(g, second->node, node_out(add));
    node_erase(g, first->node);
    return true;
}

/* A shift that padding keeps out of the bias. */
static bool rewrite_shift(Graph *g, const Step *s) {
    Step before;
    if (!match(&before, s->x))
        return false;
    return is_scale(&before) ? shift_first(g, s, &before) : join_shifts(g, s, &before);
}

static bool step(Graph *g, Node *conv) {
    Step s;
    if (!match(&s, node_in(conv, 0)) ||
        !graph_may_grow(g, tensor_bytes(node_in(conv, 1)->constant)))
        return false;
    if (!is_scale(&s) && conv->op != OP_dense && has_padding(conv))
        return rewrite_shift(g, &s);
    if (is_scale(&s))
        fold_scale(g, conv, &s);
    else
        fold_shift(g, conv, &s);
    take_over(g, conv, &s);
    return true;
}

bool pass_fold_input(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE(g, n) {
        if (!has_weights(n) || !has_constant_weights(n) ||
            (n->op == OP_conv2d && node_in(n, node_slot(n, "scale"))))
            continue;
        while (step(g, n))
            ;
    }
    graph_dce(g);
    return true;
}
