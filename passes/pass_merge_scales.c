/* merge-scales: arithmetic by channel behind arithmetic by channel becomes one product and one sum.
 *
 *   mul(mul(x, a), b)    mul(x, mul(a, b))
 *   mul(add(x, c), d)    add(mul(x, d), c * d)     c, d: constants; x: such a product
 *   add(add(x, c), d)    add(x, c + d)             the same
 *
 * where a and b have one element for each channel, or one for all; a quotient by constants counts
 * as the product by their reciprocals, a difference as a sum. So what normalises, scales and shifts
 * goes over the planes twice, and no oftener. Needs: fold-scale, which puts it into a convolution
 * where there is one. Leaves alone: products and sums that something else reads, factors by pixel,
 * operands that are no images, and gates, which a convolution may take. */
#include "passes/match.h"

#include <float.h>
#include <math.h>

static bool is_image(const Value *v) {
    const Shape *s = &v->type.shape;
    return v->type.dtype == DT_f32 && s->rank == 4 && s->dim[2] * s->dim[3] > 1;
}

/* Whether v is one number for each channel of x, in all images or in each. */
static bool is_factor(const Value *v, const Value *x) {
    const Shape *s = &v->type.shape, *of = &x->type.shape;
    Act act;
    if (v->type.dtype != DT_f32 || (v->def && op_is_act(v->def->op, &act)))
        return false;
    if (v->constant)
        return constant_f32(v) && is_by_channel(v, of);
    return s->rank == 4 && (s->dim[0] == of->dim[0] || s->dim[0] == 1) && s->dim[1] == of->dim[1] &&
           s->dim[2] * s->dim[3] == 1;
}

/* Whether n counts as a product or a sum: *op is OP_mul or OP_add. */
static bool is_scale(const Node *n, Op *op) {
    bool inverse = n->op == OP_div || n->op == OP_sub;
    *op = n->op == OP_div ? OP_mul : n->op == OP_sub ? OP_add : n->op;
    return (*op == OP_mul || *op == OP_add) && (!inverse || node_in(n, 1)->constant);
}

/* The side of n, a sum or product of an image and what is by channel, that is the image; -1: it is
 * another node. */
static int image_side(const Node *n) {
    Op op;
    int sides = !is_scale(n, &op) ? 0 : n->op == op ? 2 : 1;
    for (int side = 0; side < sides; side++)
        if (is_image(node_in(n, side)) && is_factor(node_in(n, 1 - side), node_in(n, side)) &&
            shape_equal(&node_in(n, side)->type.shape, &node_out(n)->type.shape))
            return side;
    return -1;
}

static double element(const Value *v, int64_t channel) {
    return constant_f32(v)[shape_elems(&v->type.shape) == 1 ? 0 : channel];
}

/* a * b or a + b, both by channel of x; of constants [1,C,1,1], or NULL where a number is too large
 * or too small for f32, or there are too many channels for the graph. */
static Value *combined(Graph *g, Node *at, Op op, Value *a, Value *b, const Value *x) {
    if (!a->constant || !b->constant)
        return node_out(new_before(g, op, at, (Value *[]){a, b}, 2));
    int64_t channels = x->type.shape.dim[1];
    if (!graph_may_grow(g, channels * (int64_t)sizeof(float)))
        return NULL;
    float *y;
    Value *v = new_constant_f32(g, a->name, SHAPE(1, channels, 1, 1), &y);
    for (int64_t c = 0; c < channels; c++) {
        double p = element(a, c), q = element(b, c), z = op == OP_mul ? p * q : p + q;
        y[c] = (float)z;
        if (!isfinite(y[c]) || (y[c] == 0 && z != 0))
            return NULL;
    }
    return v;
}

/* What n takes in beside the image, as the product or sum that it counts as takes it: reciprocals
 * of a divisor, the negative of what is subtracted. NULL where f32 has no such number. */
static Value *operand(Graph *g, const Node *n, int side) {
    Value *v = node_in(n, 1 - side);
    Op op;
    if (is_scale(n, &op) && n->op == op)
        return v;
    float *y;
    Value *of = new_constant_f32(g, v->name, v->type.shape, &y);
    for (int64_t i = 0; i < shape_elems(&v->type.shape); i++) {
        double c = constant_f32(v)[i];
        y[i] = (float)(op == OP_mul ? 1 / c : -c);
        if (op == OP_mul && (!isfinite(y[i]) || fabsf(y[i]) < FLT_MIN))
            return NULL;
    }
    return of;
}

/* A constant as [1,C,1,1], or one number: broadcasts to a computed factor. */
static Value *by_channel(Graph *g, Value *v) {
    int64_t n = shape_elems(&v->type.shape);
    if (!v->constant || n == 1 || v->type.shape.rank == 4)
        return v;
    return graph_constant_view(g, v, 0, SHAPE(1, n, 1, 1));
}

/* The sum or product by channel that v is, for one user alone; NULL where there is none. */
static Node *scale_of(const Value *v) {
    Node *n = v->def;
    return n && value_single_user(v) && image_side(n) >= 0 ? n : NULL;
}

static bool is_product(const Value *v) {
    const Node *n = scale_of(v);
    Op op;
    return n && is_scale(n, &op) && op == OP_mul;
}

/* n becomes what inner, which n alone reads, counts as: of x and ab. */
static void merge_as(Graph *g, Node *n, Node *inner, Op op, Value *x, Value *ab) {
    Node *merged = new_before(g, op, n, (Value *[]){x, ab}, 2);
    merged->origin = origin_join(g, inner->origin, n->origin);
    replace_node(g, n, node_out(merged));
    node_erase(g, inner);
}

/* n: a sum or product by channel. */
static void merge(Graph *g, Node *n) {
    int side = image_side(n);
    Node *inner = side < 0 ? NULL : scale_of(node_in(n, side)), *product = NULL;
    if (!inner)
        return;
    int at = image_side(inner);
    Op op, outer;
    is_scale(inner, &op);
    is_scale(n, &outer);
    Value *x = node_in(inner, at), *ab = NULL;
    bool constants = node_in(inner, 1 - at)->constant && node_in(n, 1 - side)->constant;
    bool same = op == outer && (constants || outer == OP_mul);
    bool swap = op == OP_add && outer == OP_mul && constants && is_product(x);
    Value *a = same || swap ? operand(g, inner, at) : NULL, *b = a ? operand(g, n, side) : NULL;
    if (b)
        ab = combined(g, n, outer, by_channel(g, a), by_channel(g, b), x);
    if (!ab)
        return;
    if (swap)
        product = new_before(g, OP_mul, n, (Value *[]){x, by_channel(g, b)}, 2);
    merge_as(g, n, inner, op, product ? node_out(product) : x, ab);
    if (product)
        merge(g, product);
}

bool pass_merge_scales(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        Op op;
        if (is_scale(n, &op))
            merge(g, n);
    }
    graph_dce(g);
    return true;
}
