/* plane_order.c: a model's tensors with planes, in the order that the caller has them in.
 * Transposes at its ends make it so; the passes fold them into the first op and the last. */
#include "passes/match.h"

/* A picture has one channel, three, or a fourth for its opacity. */
static bool is_channels(int64_t n) {
    return n == 1 || n == 3 || n == 4;
}

static bool has_planes(const Value *v) {
    return v->type.shape.rank == 4;
}

/* By its channels, or as planes are square; ORDER_MODEL: neither tells. */
static PlaneOrder order_of_planes(const Shape *s) {
    const int64_t *d = s->dim;
    bool first = is_channels(d[1]), last = is_channels(d[3]);
    if (first == last) {
        first = d[2] == d[3];
        last = d[1] == d[2];
    }
    return first == last ? ORDER_MODEL : first ? ORDER_NCHW : ORDER_NHWC;
}

/* By the inputs that tell, which must not differ; ORDER_MODEL: none does. */
static PlaneOrder model_order(const Graph *g) {
    PlaneOrder found = ORDER_MODEL;
    for (size_t i = 0; i < g->inputs.len; i++) {
        const Value *v = g->inputs.data[i];
        PlaneOrder order = has_planes(v) ? order_of_planes(&v->type.shape) : ORDER_MODEL;
        if (order == ORDER_MODEL)
            continue;
        if (found != ORDER_MODEL && found != order)
            return ORDER_MODEL;
        found = order;
    }
    return found;
}

/* Axis i of an order is axis axes_from(that order)[i] of the other one. */
static const int64_t *axes_from(PlaneOrder order) {
    static const int64_t of_nchw[] = {0, 3, 1, 2}, of_nhwc[] = {0, 2, 3, 1};
    return order == ORDER_NCHW ? of_nchw : of_nhwc;
}

static Value *transpose(Graph *g, Node *before, const char *name, Value *x, PlaneOrder to) {
    Node *n = node_new(g, OP_transpose, before, name, &x, 1);
    n->origin = "";
    transpose_attrs(n)->perm = (Ints){axes_from(to), 4};
    node_infer_or_die(n);
    return node_out(n);
}

/* x becomes what the caller has, and its users read what it was. */
static void take_input(Graph *g, Value *x, PlaneOrder model) {
    Shape s = x->type.shape;
    const int64_t *axes = axes_from(model);
    Users users = value_users(g, x);
    for (int i = 0; i < 4; i++)
        x->type.shape.dim[axes[i]] = s.dim[i];
    users_give(g, &users, transpose(g, g->first, x->name, x, model));
}

/* With the axis along which something counts its elements. */
static void give_output(Graph *g, size_t i, PlaneOrder to) {
    Value *y = g->outputs.data[i]->value;
    const int64_t *axes = axes_from(to);
    graph_set_output(g, i, transpose(g, NULL, y->name, y, to));
    for (size_t k = 0; k < g->counts.len; k++) {
        OutputCount *c = &g->counts.data[k];
        if (c->output != i)
            continue;
        int axis = 0;
        while (axes[axis] != c->axis)
            axis++;
        c->axis = axis;
    }
}

static bool refuse_inputs(const Graph *g, const char *where, Diag *d) {
    Buf b = {0};
    diag_error(d, EXIT_UNSUPPORTED, where, "the inputs don't say which layout the model has");
    diag_note(d, "wanted",
              "one f32[N,C,H,W] or f32[N,H,W,C], of 1, 3 or 4 channels or square planes");
    for (size_t i = 0; i < g->inputs.len; i++) {
        buf_puts(&b, i ? ", " : "");
        type_print(&b, &g->inputs.data[i]->type);
    }
    diag_note(d, "found", "%s", buf_str(&b));
    buf_free(&b);
    return false;
}

static bool refuse_outputs(const char *where, Diag *d) {
    diag_error(d, EXIT_UNSUPPORTED, where, "no output has planes, for --output-layout to order");
    diag_note(d, "wanted", "an output with four dimensions");
    return false;
}

bool graph_take_layout(Graph *g, PlaneOrder inputs, PlaneOrder outputs, const char *where,
                       Diag *d) {
    if (inputs == ORDER_MODEL && outputs == ORDER_MODEL)
        return true;
    PlaneOrder model = model_order(g);
    if (model == ORDER_MODEL)
        return refuse_inputs(g, where, d);
    size_t found = 0;
    for (size_t i = 0; i < g->outputs.len && outputs != ORDER_MODEL; i++)
        if (has_planes(g->outputs.data[i]->value)) {
            found++;
            if (outputs != model)
                give_output(g, i, outputs);
        }
    if (outputs != ORDER_MODEL && !found)
        return refuse_outputs(where, d);
    for (size_t i = 0; i < g->inputs.len; i++)
        if (inputs != ORDER_MODEL && inputs != model && has_planes(g->inputs.data[i]))
            take_input(g, g->inputs.data[i], model);
    return true;
}
