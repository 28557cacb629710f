/* match.c: small helpers that graph passes share. */
#include "passes/match.h"

#include <math.h>
#include <string.h>

Node *new_node(Graph *g, Op op, Node *at, Value *const *operands, int n) {
    Node *fresh = node_new(g, op, at, node_out(at)->name, operands, n);
    fresh->origin = at->origin;
    return fresh;
}

Node *new_before(Graph *g, Op op, Node *at, Value *const *operands, int n) {
    Node *fresh = new_node(g, op, at, operands, n);
    node_infer_or_die(fresh);
    return fresh;
}

Value *new_reshape(Graph *g, Node *at, Value *x, Shape shape) {
    Node *r = new_node(g, OP_reshape, at, (Value *[]){x}, 1);
    size_t size = (size_t)shape.rank * sizeof(int64_t);
    reshape_attrs(r)->shape = (Ints){arena_copy(&g->arena, shape.dim, size), shape.rank};
    node_infer_or_die(r);
    return node_out(r);
}

Node *new_like(Graph *g, const Node *n, Node *at, Value *const *operands) {
    Node *c = node_new(g, n->op, at, node_out(n)->name, operands, n->noperands);
    if (n->attrs)
        memcpy(c->attrs, n->attrs, attrset_info(op_info(n->op)->attrs)->size);
    c->origin = n->origin;
    node_infer_or_die(c);
    return c;
}

void replace_node(Graph *g, Node *n, Value *v) {
    value_replace(node_out(n), v);
    node_erase(g, n);
}

bool has_weights(const Node *n) {
    return n->op == OP_conv2d || n->op == OP_dwconv2d || n->op == OP_dense;
}

Act *fused_act(const Node *n) {
    if (!has_weights(n))
        return NULL;
    return n->op == OP_dense ? &dense_attrs(n)->act : &conv_attrs(n)->act;
}

Node *sole_producer_with_weights(const Value *v) {
    Node *n = v->def;
    return n && has_weights(n) && n->nresults == 1 && value_single_user(v) ? n : NULL;
}

Users value_users(Graph *g, const Value *v) {
    Users u = {0};
    for (const Use *use = v->uses; use; use = use->next)
        if (use->user) {
            vec_push(&g->arena, &u.nodes, use->user);
            vec_push(&g->arena, &u.slots, use->slot);
        }
    for (size_t i = 0; i < g->outputs.len; i++)
        if (g->outputs.data[i]->value == v)
            vec_push(&g->arena, &u.outputs, i);
    return u;
}

void users_give(Graph *g, const Users *u, Value *y) {
    for (size_t i = 0; i < u->nodes.len; i++)
        node_set_operand(u->nodes.data[i], u->slots.data[i], y);
    for (size_t i = 0; i < u->outputs.len; i++)
        graph_set_output(g, u->outputs.data[i], y);
}

bool only_read_by(const Value *v, Op op) {
    for (const Use *u = v->uses; u; u = u->next)
        if (!u->user || u->user->op != op)
            return false;
    return true;
}

bool clip_bounds(const Node *n, ClipAttrs *out) {
    bool is_clip = n->op == OP_clip, six = n->op == OP_act_relu6;
    *out = is_clip ? *clip_attrs(n) : (ClipAttrs){.min = 0, .max = six ? 6 : INFINITY};
    return is_clip || six || n->op == OP_act_relu;
}

static double in_steps(double bound, double scale) {
    return isfinite(bound) ? (double)nearbyintf((float)bound / (float)scale) : bound;
}

ClipAttrs clip_in_steps(const ClipAttrs *a, double scale) {
    return (ClipAttrs){in_steps(a->min, scale), in_steps(a->max, scale)};
}

const float *constant_f32(const Value *v) {
    return v && v->constant && v->type.dtype == DT_f32 ? v->constant->data : NULL;
}

bool is_by_channel(const Value *c, const Shape *x) {
    const Shape *s = &c->type.shape;
    int64_t elems = shape_elems(s);
    int axis = 1 - (x->rank - s->rank); /* of the channels in c */
    return s->rank <= x->rank &&
           (elems == 1 || (axis >= 0 && elems == x->dim[1] && s->dim[axis] == elems));
}

Value *new_constant_f32(Graph *g, const char *base, Shape shape, float **data) {
    Tensor *t = tensor_new(&g->arena, DT_f32, shape);
    *data = tensor_mutable(t);
    g->folded_bytes += tensor_bytes(t);
    return graph_constant(g, base, t);
}

bool has_constant_weights(const Node *conv) {
    return constant_f32(node_in(conv, 1)) && (!node_in(conv, 2) || constant_f32(node_in(conv, 2)));
}

static void scale_operand(Graph *g, Node *conv, int slot, const double *by) {
    const Value *from = node_in(conv, slot);
    const Shape *shape = &from->type.shape;
    int64_t n = shape_elems(shape), each = dims_product(shape, 1, shape->rank);
    const float *old = constant_f32(from);
    float *scaled;
    Value *v = new_constant_f32(g, from->name, *shape, &scaled);
    for (int64_t i = 0; i < n; i++)
        scaled[i] = (float)(old[i] * by[i / each]);
    node_set_operand(conv, slot, v);
}

void scale_weights(Graph *g, Node *conv, const double *by) {
    scale_operand(g, conv, 1, by);
    if (node_in(conv, 2))
        scale_operand(g, conv, 2, by);
}

bool has_padding(const Node *conv) {
    const int64_t *pad = conv_attrs(conv)->pad.v;
    return pad[0] || pad[1] || pad[2] || pad[3];
}

bool has_epilogue(const Node *conv) {
    bool sums = conv->op == OP_conv2d && node_in(conv, node_slot(conv, "residual"));
    return sums || (conv->op != OP_dense && node_in(conv, node_slot(conv, "steps")));
}

bool is_conv_1x1(const Node *n) {
    if (n->op != OP_conv2d)
        return false;
    const ConvAttrs *a = conv_attrs(n);
    return a->kernel.v[0] == 1 && a->kernel.v[1] == 1 && a->stride.v[0] == 1 &&
           a->stride.v[1] == 1 && a->group == 1 && !has_padding(n) &&
           !node_in(n, node_slot(n, "scale")) && !has_epilogue(n);
}

bool dense_of_pixels(Node *n) {
    Node *r = node_in(n, 0)->def;
    if (!r || r->op != OP_reshape)
        return false;
    const Shape *from = &node_in(r, 0)->type.shape, *to = &node_out(r)->type.shape;
    if (from->rank != 4 || from->dim[0] != to->dim[0] || from->dim[1] != to->dim[1] ||
        from->dim[2] != 1 || from->dim[3] != 1)
        return false;
    node_set_operand(n, 0, node_in(r, 0));
    return true;
}
