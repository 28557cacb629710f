/* family_build.c: the graph of a network from its definition, with random weights.
 *
 * Weights are He et al.'s (2015), uniform. The batch norms' statistics are measured, as in
 * training: the network runs on a few small pictures, made up of waves and noise. What goes into
 * activations is of about PRE_ACT, where silu is nearly homogeneous, so that inputs of another size
 * than those pictures' are neither lost nor grow from layer to layer; what is added to a block's
 * input is so small that the sum of a stage's blocks doesn't grow with their number. */
#include "passes/family.h"

#include <math.h>
#include <string.h>

typedef struct Maker {
    Graph *g;
    const NetPlan *plan;
    const BuildOptions *o;
    uint64_t random;
    const char *block; /* what names begin with: "blocks.1.0" */
} Maker;

static const char *name_in(Maker *m, const char *part) {
    return arena_printf(&m->g->arena, "%s%s%s", m->block, *m->block ? "." : "", part);
}

static int64_t channels(const Value *v) {
    return v->type.shape.dim[1];
}

/* ---- constants ------------------------------------------------------------------------------- */

/* Uniform on (low, high). */
static double uniform(Maker *m, double low, double high) {
    return low + (high - low) / (1 << 24) * ((double)(random_next(&m->random) >> 40) + 0.5);
}

static Value *constant(Maker *m, const char *layer, const char *part, Shape s, double low,
                       double high) {
    Arena *a = &m->g->arena;
    bool elided = m->o->weights == WEIGHTS_NONE;
    Tensor *t = elided ? tensor_wrap(a, DT_f32, s, NULL) : tensor_new(a, DT_f32, s);
    float *data = elided ? NULL : tensor_mutable(t);
    int64_t n = elided ? 0 : shape_elems(&s);
    for (int64_t i = 0; i < n; i++)
        data[i] = (float)uniform(m, low, high);
    return graph_constant(m->g, name_in(m, arena_printf(a, "%s.%s", layer, part)), t);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static Node *new_node(Maker *m, Op op, const char *layer, Value *const *operands, int n) {
    const char *name = name_in(m, layer);
    Node *node = node_new(m->g, op, NULL, name, operands, n);
    node->origin = name;
    return node;
}

static Value *finish(Node *n) {
    node_infer_or_die(n);
    return node_out(n);
}

static Value *unary(Maker *m, Op op, const char *layer, Value *x) {
    return finish(new_node(m, op, layer, &x, 1));
}

static Value *binary(Maker *m, Op op, const char *layer, Value *a, Value *b) {
    return finish(new_node(m, op, layer, (Value *[]){a, b}, 2));
}

/* ---- layers ---------------------------------------------------------------------------------- */

#define HE_GAIN 2.0
#define PRE_ACT 2 /* standard deviation of what activations get */

typedef struct Conv {
    const char *name;
    int64_t out, kernel, stride;
    bool depthwise, bias;
    double gain; /* 0: HE_GAIN */
} Conv;

/* Padding of rows or columns: (kernel - 1) / 2 on both sides, or as TensorFlow's SAME, where there
 * are as many outputs but an odd one goes behind. */
static void set_padding(const Maker *m, ConvAttrs *a, const Shape *x) {
    for (int i = 0; i < 2; i++) {
        int64_t k = a->kernel.v[i], in = x->dim[2 + i], out = ceil_div(in, a->stride.v[i]);
        int64_t total = (out - 1) * a->stride.v[i] + k - in;
        a->pad.v[i] = a->pad.v[2 + i] = (k - 1) / 2;
        if (!m->o->same_padding)
            continue;
        total = total > 0 ? total : 0;
        a->pad.v[i] = total / 2;
        a->pad.v[2 + i] = total - total / 2;
    }
}

/* The bound of uniform weights by which the mean square becomes `gain` times the inputs'. */
static double weight_bound(double gain, int64_t inputs) {
    return sqrt(3 * gain / (double)inputs);
}

static Value *conv(Maker *m, Value *x, const Conv *c) {
    int64_t in = c->depthwise ? 1 : channels(x), k = c->kernel;
    double bound = weight_bound(c->gain > 0 ? c->gain : HE_GAIN, in * k * k);
    Value *w = constant(m, c->name, "weight", SHAPE(c->out, in, k, k), -bound, bound);
    Value *b = c->bias ? constant(m, c->name, "bias", SHAPE(c->out), -0.1, 0.1) : NULL;
    Node *n = new_node(m, OP_conv2d, c->name, (Value *[]){x, w, b}, c->bias ? 3 : 2);
    ConvAttrs *a = conv_attrs(n);
    a->kernel = (Dim2){{k, k}};
    a->stride = (Dim2){{c->stride, c->stride}};
    a->group = c->depthwise ? c->out : 1;
    set_padding(m, a, &x->type.shape);
    return finish(n);
}

/* Brings the standard deviation to about `to`, once its statistics are measured. */
static Value *batch_norm(Maker *m, const char *layer, Value *x, double to) {
    Shape s = SHAPE(channels(x));
    Value *scale = constant(m, layer, "weight", s, 0.8 * to, 1.2 * to);
    Value *shift = constant(m, layer, "bias", s, -0.2 * to, 0.2 * to);
    Value *mean = constant(m, layer, "running_mean", s, 0, 0);
    Value *var = constant(m, layer, "running_var", s, 1, 1);
    Node *n = new_node(m, OP_batch_norm, layer, (Value *[]){x, scale, shift, mean, var}, 5);
    batch_norm_attrs(n)->epsilon = (double)(float)m->plan->family->epsilon; /* as in ONNX files */
    return finish(n);
}

static Value *relu6(Maker *m, const char *layer, Value *x) {
    Node *n = new_node(m, OP_clip, layer, &x, 1);
    *clip_attrs(n) = (ClipAttrs){0, 6};
    return finish(n);
}

static Value *activate(Maker *m, const char *layer, Value *x) {
    Act act = m->plan->family->act;
    if (act == ACT_relu6)
        return relu6(m, layer, x);
    if (act != ACT_silu)
        return unary(m, op_from_act(act), layer, x);
    const char *gate = arena_printf(&m->g->arena, "%s.sigmoid", layer);
    return binary(m, OP_mul, layer, x, unary(m, OP_act_sigmoid, gate, x));
}

/* A convolution and its batch norm, "NAME" and "NAME.bn". */
static Value *conv_norm(Maker *m, Value *x, const Conv *c, double to) {
    return batch_norm(m, arena_printf(&m->g->arena, "%s.bn", c->name), conv(m, x, c), to);
}

static Value *conv_norm_act(Maker *m, Value *x, const Conv *c, double to) {
    return activate(m, arena_printf(&m->g->arena, "%s.act", c->name), conv_norm(m, x, c, to));
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* The gates stay near a half: how large x is decides little about them. */
static Value *squeeze_excite(Maker *m, Value *x, int64_t to) {
    Conv reduce = {.name = "se.reduce", .out = to, .kernel = 1, .stride = 1, .bias = true};
    Conv expand = {.name = "se.expand", .out = channels(x), .kernel = 1, .stride = 1, .bias = true};
    reduce.gain = 0.5;
    expand.gain = 0.02;
    Value *s = conv(m, unary(m, OP_global_avg_pool, "se.pool", x), &reduce);
    s = conv(m, activate(m, "se.reduce.act", s), &expand);
    return binary(m, OP_mul, "se.scale", unary(m, OP_act_sigmoid, "se.gate", s), x);
}

static Value *mbconv(Maker *m, Value *x, const BlockPlan *b, double to) {
    Conv expand = {.name = "expand", .out = b->middle, .kernel = 1, .stride = 1};
    Conv middle = {.name = "depthwise", .out = b->middle, .kernel = b->kernel};
    Conv project = {.name = "project", .out = b->out, .kernel = 1, .stride = 1};
    middle.stride = b->stride;
    middle.depthwise = true;
    if (b->middle != b->in)
        x = conv_norm_act(m, x, &expand, PRE_ACT);
    x = conv_norm_act(m, x, &middle, PRE_ACT);
    if (b->squeezed)
        x = squeeze_excite(m, x, b->squeezed);
    return conv_norm(m, x, &project, to);
}

static Value *fused_mbconv(Maker *m, Value *x, const BlockPlan *b, double to) {
    Conv fused = {.name = "fused", .out = b->out, .kernel = b->kernel, .stride = b->stride};
    Conv project = {.name = "project", .out = b->out, .kernel = 1, .stride = 1};
    if (b->middle == b->in)
        return conv_norm_act(m, x, &fused, to * PRE_ACT);
    fused.out = b->middle;
    return conv_norm(m, conv_norm_act(m, x, &fused, PRE_ACT), &project, to);
}

static Value *block(Maker *m, Value *x, const BlockPlan *b) {
    double to = b->residual ? 1 / sqrt((double)b->repeats) : 1;
    Value *y = b->kind == BLOCK_MBCONV ? mbconv(m, x, b, to) : fused_mbconv(m, x, b, to);
    return b->residual ? binary(m, OP_add, "add", y, x) : y;
}

static Value *body(Maker *m, Value *x) {
    int64_t stage = -1, k = 0;
    for (size_t i = 0; i < m->plan->blocks.len; i++, k++) {
        const BlockPlan *b = &m->plan->blocks.data[i];
        if (i == 0 || k == b[-1].repeats) {
            stage++;
            k = 0;
        }
        m->block = arena_printf(&m->g->arena, "blocks.%d.%d", (int)stage, (int)k);
        x = block(m, x, b);
    }
    m->block = "";
    return x;
}

/* ---- the network ----------------------------------------------------------------------------- */

/* Takes its mean from each row, so that what all channels have in common doesn't decide. */
static void centre_rows(Tensor *t) {
    int64_t k = t->shape.dim[1];
    float *row = tensor_mutable(t);
    for (int64_t i = 0; i < t->shape.dim[0] && row; i++, row += k) {
        double sum = 0;
        for (int64_t j = 0; j < k; j++)
            sum += (double)row[j];
        for (int64_t j = 0; j < k; j++)
            row[j] = (float)((double)row[j] - sum / (double)k);
    }
}

static Value *classifier(Maker *m, Value *x) {
    int64_t k = channels(x), classes = m->o->classes;
    double bound = weight_bound(4, k);
    Node *flat = new_node(m, OP_reshape, "flatten", &x, 1);
    int64_t *shape = ARENA_ARRAY(&m->g->arena, 2, int64_t);
    shape[0] = x->type.shape.dim[0];
    shape[1] = k;
    reshape_attrs(flat)->shape = (Ints){shape, 2};
    Value *in = finish(flat);
    Value *w = constant(m, "classifier", "weight", SHAPE(classes, k), -bound, bound);
    Value *b = constant(m, "classifier", "bias", SHAPE(classes), -0.1, 0.1);
    centre_rows(w->constant);
    Node *n = node_new(m->g, OP_dense, NULL, "logits", (Value *[]){in, w, b}, 3);
    n->origin = "classifier";
    return finish(n);
}

static Graph *make(const NetPlan *p, const char *name, const BuildOptions *o, int64_t batch,
                   int64_t side) {
    Conv stem = {.name = "stem", .out = p->stem, .kernel = 3, .stride = 2};
    Conv head = {.name = "head", .out = p->head, .kernel = 1, .stride = 1};
    Graph *g = graph_new(name);
    Maker m = {.g = g, .plan = p, .o = o, .random = o->seed, .block = ""};
    Value *x = graph_input(g, "input", type_plain(DT_f32, SHAPE(batch, 3, side, side)));
    x = conv_norm_act(&m, x, &stem, PRE_ACT);
    x = conv_norm_act(&m, body(&m, x), &head, PRE_ACT);
    graph_output(g, classifier(&m, unary(&m, OP_global_avg_pool, "pool", x)), "logits");
    return g;
}

/* ---- statistics ------------------------------------------------------------------------------ */

enum { MOST_SAMPLES = 2, SIDE_STEP = 32, MIN_SIDE = 64, WAVES = 8 };
#define MEASURED_MACS 4e9 /* about; some seconds */
#define SAMPLE_SIZE   1.5 /* standard deviation: rather more than pictures have */

/* Adds a wave that is the stronger the longer it is, as in photographs. */
static void add_wave(Maker *m, float *plane, int64_t side) {
    const double turn = 6.283185307179586;
    double cycles = exp2(uniform(m, 0, 4)), angle = uniform(m, 0, turn);
    double dx = cycles * cos(angle) / (double)side, dy = cycles * sin(angle) / (double)side;
    double phase = uniform(m, 0, turn), size = uniform(m, 0.5, 2) / sqrt(cycles);
    for (int64_t i = 0; i < side * side; i++) {
        double at = dx * (double)(i % side) + dy * (double)(i / side);
        plane[i] += (float)(size * cos(turn * at + phase));
    }
}

/* Pictures with mean 0: waves, noise, and a colour of each. */
static Tensor *samples(const BuildOptions *o, int64_t count, int64_t side, Arena *a) {
    Maker m = {.o = o, .random = ~o->seed};
    Tensor *t = tensor_new(a, DT_f32, SHAPE(count, 3, side, side));
    int64_t n = side * side, all = shape_elems(&t->shape);
    float *x = tensor_mutable(t);
    double sum = 0, squares = 0;
    for (int64_t p = 0; p < all / n; p++) {
        double colour = uniform(&m, -1, 1);
        for (int64_t i = 0; i < n; i++)
            x[p * n + i] = (float)(colour + uniform(&m, -0.2, 0.2));
        for (int i = 0; i < WAVES; i++)
            add_wave(&m, x + p * n, side);
    }
    for (int64_t i = 0; i < all; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    double mean = sum / (double)all, deviation = sqrt(squares / (double)all - mean * mean);
    for (int64_t i = 0; i < all; i++)
        x[i] = (float)(SAMPLE_SIZE * ((double)x[i] - mean) / deviation);
    return t;
}

/* The mean and the variance of each channel of x. */
static void measure(const Tensor *x, float *mean, float *var) {
    int64_t c = x->shape.dim[1], n = x->shape.dim[2] * x->shape.dim[3], images = x->shape.dim[0];
    const float *data = x->data;
    for (int64_t i = 0; i < c; i++) {
        double sum = 0, squares = 0, count = (double)(images * n);
        for (int64_t k = 0; k < images * n; k++) {
            double v = (double)data[(k / n * c + i) * n + k % n];
            sum += v;
            squares += v * v;
        }
        mean[i] = (float)(sum / count);
        var[i] = (float)fmax(squares / count - sum / count * (sum / count), 0);
    }
}

/* Half of the way to the mean of all variances: few samples give some that are too small. */
static void even_out(float *var, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)var[i];
    for (int64_t i = 0; i < n; i++)
        var[i] = (float)(((double)var[i] + sum / (double)n) / 2);
}

/* Before a batch norm runs. */
static void set_statistics(void *ctx, const Node *n, Tensor *const *results) {
    const Node *norm = value_single_user(node_out(n));
    (void)ctx;
    if (!norm || norm->op != OP_batch_norm)
        return;
    float *var = tensor_mutable(node_in(norm, node_slot(norm, "var"))->constant);
    measure(results[0], tensor_mutable(node_in(norm, node_slot(norm, "mean"))->constant), var);
    even_out(var, channels(node_out(norm)));
}

/* Which share of all outputs' taps along an axis is not in the padding. */
static double inside(const Node *conv, int axis) {
    const ConvAttrs *a = conv_attrs(conv);
    int64_t in = node_in(conv, 0)->type.shape.dim[2 + axis], taps = 0;
    int64_t out = node_out(conv)->type.shape.dim[2 + axis], k = a->kernel.v[axis];
    for (int64_t i = 0; i < out * k; i++) {
        int64_t at = i / k * a->stride.v[axis] - a->pad.v[axis] + i % k;
        taps += at >= 0 && at < in;
    }
    return (double)taps / (double)(out * k);
}

static void copy_times(const Node *from, const Node *to, const char *operand, double factor) {
    const Tensor *t = node_in(from, node_slot(from, operand))->constant;
    float *y = tensor_mutable(node_in(to, node_slot(to, operand))->constant);
    for (int64_t i = 0; i < shape_elems(&t->shape); i++)
        y[i] = (float)(factor * tensor_f64(t, i));
}

/* In smaller planes more of the taps are in the padding. */
static void copy_statistics(const Node *from, const Node *to) {
    const Node *a = node_in(from, 0)->def, *b = node_in(to, 0)->def;
    double factor = inside(b, 0) * inside(b, 1) / (inside(a, 0) * inside(a, 1));
    copy_times(from, to, "mean", factor);
    copy_times(from, to, "var", factor);
}

/* As many, and as large, as can be run in some seconds: rather large ones. */
static void sample_size(const Graph *g, const NetPlan *p, int64_t batch, int64_t *count,
                        int64_t *side) {
    double one = (double)graph_macs(g) / (double)batch;
    *count = MOST_SAMPLES * one > MEASURED_MACS ? 1 : MOST_SAMPLES;
    *side = p->resolution;
    if (one > MEASURED_MACS)
        *side = (int64_t)((double)*side * sqrt(MEASURED_MACS / one)) / SIDE_STEP * SIDE_STEP;
    *side = *side > MIN_SIDE ? *side : MIN_SIDE;
}

/* Measures on the same network, for small pictures where it is a large one. */
static void take_statistics(Graph *g, const NetPlan *p, const BuildOptions *o) {
    Arena a = {0};
    Diag d = {0};
    int64_t count, side;
    sample_size(g, p, o->batch, &count, &side);
    Graph *small = make(p, g->name, o, count, side);
    Tensor *in = samples(o, count, side, &a), *out;
    bool ok = graph_eval_with(small, &in, &out, &a, &d, set_statistics, NULL);
    ensure(ok);
    for (Node *from = small->first, *to = g->first; to; from = from->next, to = to->next)
        if (to->op == OP_batch_norm)
            copy_statistics(from, to);
    graph_free(small);
    diag_free(&d);
    arena_free(&a);
}

Graph *network_build(const NetPlan *p, const char *name, const BuildOptions *o) {
    Graph *g = make(p, name, o, o->batch, p->resolution);
    if (o->weights == WEIGHTS_MEASURED)
        take_statistics(g, p, o);
    return g;
}
