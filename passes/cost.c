/* cost.c: predicted cycles of nodes. Arithmetic comes from the schedules' model; the rest are rules
 * of thumb, from measurements on several machines, good enough to rank alternatives. */
#include "passes/lower.h"

/* A tensor of up to this many times the L2 cache is as good as in it: it is read in the order in
 * which it was written, ahead of time. What is beyond costs, each way, so many cycles a byte. */
enum { NEAR_L2 = 2 };
static const double FAR_BYTE = 0.08;

/* Of a call: its arguments, first misses and mispredictions. Of a round: zeros and sums, too. */
static const double CALL = 100, ROUND = 1000;

/* Weights that are used once come from memory. */
static const double WEIGHT_BYTE = 0.1;

/* An activation, one vector: a polynomial and a division, or a comparison. */
static double act_cycles(Act act) {
    bool simple = act == ACT_none || act == ACT_relu || act == ACT_relu6 ||
                  act == ACT_hard_sigmoid || act == ACT_hard_swish;
    return simple ? 1 : 6;
}

/* Writing, or reading once, what is too large for the cache. */
static double traffic(int64_t bytes, const PassContext *cx) {
    int64_t beyond = bytes - NEAR_L2 * pass_l2_bytes(cx);
    return beyond > 0 ? FAR_BYTE * (double)beyond : 0;
}

/* Of all images, whether they take turns in its memory or not. */
static double type_traffic(const Type *t, const PassContext *cx) {
    double turns = t->layout.one_image ? (double)t->shape.dim[0] : 1;
    return turns * traffic(type_storage_bytes(t), cx);
}

static double value_traffic(const Value *v, const PassContext *cx) {
    return v && !v->constant ? type_traffic(&v->type, cx) : 0;
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

static double vectors_of(const View *y, const PassContext *cx) {
    return (double)(ceil_div(y->c, target_lanes(cx->target)) * y->h * y->w);
}

/* Of all images, `in` channels at a time; y is a row at a time. */
static double conv_cycles(const ConvAttrs *a, int64_t in, const View *y, const PassContext *cx) {
    double steps = (double)(in * a->kernel.v[0] * a->kernel.v[1]);
    double rows = steps * (double)y->h * schedule_cycles(y->w, y->c, cx);
    return (double)y->n * (rows + vectors_of(y, cx) * act_cycles(a->act));
}

static double dw_cycles(const ConvAttrs *a, const View *y, const PassContext *cx) {
    double row =
        (double)a->kernel.v[0] * dw_schedule_cycles(y->w, a->kernel.v[1], a->stride.v[1], cx);
    double rows = (double)(ceil_div(y->c, target_lanes(cx->target)) * y->h) * row;
    return (double)y->n * (rows + vectors_of(y, cx) * act_cycles(a->act));
}

static double layer_cycles(int64_t images, int64_t in, int64_t out, const PassContext *cx) {
    double steps = (double)in * schedule_cycles(1, out, cx), bytes = 4 * (double)(in * out);
    double once = steps > WEIGHT_BYTE * bytes ? steps : WEIGHT_BYTE * bytes;
    return (double)images * once;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static double cost_conv2d(const Node *n, const PassContext *cx) {
    View y = view_of(&node_out(n)->type);
    int64_t in = node_in(n, 1)->type.shape.dim[1];
    double direct = conv_cycles(conv_attrs(n), in, &y, cx);
    WinogradSchedule w = conv_winograd(n, cx);
    double other = w.m == 4 ? w.four : w.two;
    return w.m ? direct - (w.direct - other) * (double)y.n : direct;
}

static double cost_conv2d_mean(const Node *n, const PassContext *cx) {
    const ConvAttrs *a = conv_attrs(n);
    View x = view_of(&node_in(n, 0)->type), y = view_of(&node_out(n)->type);
    y.h = conv_out_size(a, 0, x.h);
    y.w = conv_out_size(a, 1, x.w);
    return conv_cycles(a, x.c, &y, cx);
}

static double cost_dwconv2d(const Node *n, const PassContext *cx) {
    View y = view_of(&node_out(n)->type);
    return dw_cycles(conv_attrs(n), &y, cx);
}

static double cost_dense(const Node *n, const PassContext *cx) {
    const Shape *w = &node_in(n, 1)->type.shape;
    return layer_cycles(node_out(n)->type.shape.dim[0], w->dim[1], w->dim[0], cx);
}

static double cost_se(const Node *n, const PassContext *cx) {
    const Shape *w = &node_in(n, 1)->type.shape;
    int64_t images = node_out(n)->type.shape.dim[0];
    View x = view_of(&node_in(n, 0)->type);
    return layer_cycles(images, w->dim[1], w->dim[0], cx) +
           layer_cycles(images, w->dim[0], w->dim[1], cx) + (double)images * vectors_of(&x, cx);
}

/* The arithmetic of both; the rows that are moved, and the calls. */
static double banded_cycles(const ConvDw *c, const PassContext *cx) {
    ConvDwPlan p = conv_dw_plan(c, cx);
    View x = view_of(&c->x), middle = view_of(&c->middle), y = view_of(&c->y);
    double bytes_per_cycle = (double)cx->target->vector_bytes / 2; /* a load and a store */
    double moved = 4 * (double)(p.bands.kept * p.row_elems) / bytes_per_cycle;
    double run = (double)p.segments * ROUND + (double)p.bands.count * (3 * CALL + moved);
    double twice = (double)((p.segments - 1) * p.bands.kept) / (double)middle.h;
    return conv_cycles(&c->first, x.c, &middle, cx) * (1 + twice) + dw_cycles(&c->second, &y, cx) +
           (double)(x.n * p.runs) * run;
}

static double cost_conv2d_dwconv2d(const Node *n, const PassContext *cx) {
    ConvDw c = conv_dw_of(n);
    return banded_cycles(&c, cx);
}

double conv_dw_cycles(const ConvDw *c, const PassContext *cx) {
    return banded_cycles(c, cx) + type_traffic(&c->x, cx) + type_traffic(&c->y, cx);
}

/* Ops that only move data, or work on each element by itself: a few bytes a cycle. */
static double cost_elements(const Node *n, const PassContext *cx) {
    return (double)type_storage_bytes(&node_out(n)->type) * 4 / (double)cx->target->vector_bytes;
}

static double (*const costs[OP_COUNT])(const Node *n, const PassContext *cx) = {
    [OP_conv2d] = cost_conv2d,     [OP_conv2d_mean] = cost_conv2d_mean,
    [OP_dwconv2d] = cost_dwconv2d, [OP_conv2d_dwconv2d] = cost_conv2d_dwconv2d,
    [OP_dense] = cost_dense,       [OP_se] = cost_se,
};

double node_cycles(const Node *n, const PassContext *cx) {
    double cycles = (costs[n->op] ? costs[n->op] : cost_elements)(n, cx);
    for (int i = 0; i < n->noperands; i++)
        cycles += value_traffic(node_in(n, i), cx);
    for (int i = 0; i < n->nresults; i++)
        if (!value_is_scratch(n->results[i]))
            cycles += value_traffic(n->results[i], cx);
    return cycles;
}

double graph_cycles(const Graph *g, const PassContext *cx) {
    double sum = 0;
    FOR_EACH_NODE(g, n) {
        sum += node_cycles(n, cx);
    }
    return sum;
}

/* ---- the roof -------------------------------------------------------------------------------- */

int64_t target_macs_per_cycle(const Target *t) {
    return 2 * (int64_t)target_lanes(t);
}

/* A vector each way in a cycle, near; what is far as in value_traffic. Weights count once. */
static double roof_of_bytes(const Node *n, const PassContext *cx) {
    int64_t in = 0, out = 0;
    double far = 0;
    for (int i = 0; i < n->noperands; i++) {
        in += node_in(n, i) ? type_storage_bytes(&node_in(n, i)->type) : 0;
        far += value_traffic(node_in(n, i), cx);
    }
    for (int i = 0; i < n->nresults; i++)
        if (!value_is_scratch(n->results[i])) {
            out += type_storage_bytes(&n->results[i]->type);
            far += value_traffic(n->results[i], cx);
        }
    double near = (double)(in > out ? in : out) / (double)cx->target->vector_bytes;
    return near > far ? near : far;
}

double node_roof(const Node *n, const PassContext *cx) {
    double macs = (double)node_macs(n) / (double)target_macs_per_cycle(cx->target);
    double bytes = roof_of_bytes(n, cx);
    return macs > bytes ? macs : bytes;
}
