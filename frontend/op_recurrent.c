/* op_recurrent.c: RNN, GRU, LSTM, as their steps one after the other.
 *
 * The products with W of all steps are one product; each step adds the one of the state and R. */
#include "frontend/import.h"

#include <string.h>

/* ---- activations ----------------------------------------------------------------------------- */

typedef struct GateAct {
    double alpha, beta;
    Value *(*make)(OnnxNode *n, Value *x, double alpha, double beta);
} GateAct;

#define PLAIN_ACT(name)                                                                            \
    static Value *gate_##name(OnnxNode *n, Value *x, double alpha, double beta) {                  \
        (void)alpha;                                                                               \
        (void)beta;                                                                                \
        return onnx_unary(n, OP_act_##name, #name, x);                                             \
    }
PLAIN_ACT(relu)
PLAIN_ACT(tanh)
PLAIN_ACT(sigmoid)
PLAIN_ACT(softplus)

static Value *gate_affine(OnnxNode *n, Value *x, double alpha, double beta) {
    x = onnx_by_scalar(n, OP_mul, "scaled", x, alpha);
    return onnx_by_scalar(n, OP_add, "affine", x, beta);
}

static Value *gate_leaky_relu(OnnxNode *n, Value *x, double alpha, double beta) {
    (void)beta;
    return x ? onnx_leaky_relu(n, x, alpha) : NULL;
}

static Value *gate_thresholded_relu(OnnxNode *n, Value *x, double alpha, double beta) {
    (void)beta;
    if (!x)
        return NULL;
    Value *less = onnx_by_scalar(n, OP_less, "less", x, alpha);
    return onnx_where(n, "thresholded", less, onnx_scalar(n, "zero", x->type.dtype, 0), x);
}

static Value *gate_scaled_tanh(OnnxNode *n, Value *x, double alpha, double beta) {
    x = onnx_unary(n, OP_act_tanh, "tanh", onnx_by_scalar(n, OP_mul, "scaled", x, beta));
    return onnx_by_scalar(n, OP_mul, "scaled_tanh", x, alpha);
}

static Value *gate_hard_sigmoid(OnnxNode *n, Value *x, double alpha, double beta) {
    return x ? onnx_hard_sigmoid(n, x, alpha, beta) : NULL;
}

static Value *gate_elu(OnnxNode *n, Value *x, double alpha, double beta) {
    (void)beta;
    Value *below = onnx_unary(n, OP_exp, "exp", onnx_by_scalar(n, OP_min, "negative", x, 0));
    below =
        onnx_by_scalar(n, OP_mul, "scaled", onnx_by_scalar(n, OP_sub, "expm1", below, 1), alpha);
    return onnx_binary(n, OP_add, "elu", onnx_by_scalar(n, OP_max, "positive", x, 0), below);
}

static Value *gate_softsign(OnnxNode *n, Value *x, double alpha, double beta) {
    (void)alpha;
    (void)beta;
    Value *size = onnx_by_scalar(n, OP_add, "sum", onnx_unary(n, OP_abs, "abs", x), 1);
    return onnx_binary(n, OP_div, "softsign", x, size);
}

/* Which parameters each has, and what they are where none is given. */
static const struct {
    const char *name;
    bool has_alpha, has_beta;
    GateAct act;
} ACTIVATIONS[] = {
    {"Relu", false, false, {0, 0, gate_relu}},
    {"Tanh", false, false, {0, 0, gate_tanh}},
    {"Sigmoid", false, false, {0, 0, gate_sigmoid}},
    {"Softplus", false, false, {0, 0, gate_softplus}},
    {"Softsign", false, false, {0, 0, gate_softsign}},
    {"Affine", true, true, {1, 0, gate_affine}},
    {"LeakyRelu", true, false, {0.01, 0, gate_leaky_relu}},
    {"ThresholdedRelu", true, false, {1, 0, gate_thresholded_relu}},
    {"ScaledTanh", true, true, {1, 1, gate_scaled_tanh}},
    {"HardSigmoid", true, true, {0.2, 0.5, gate_hard_sigmoid}},
    {"Elu", true, false, {1, 0, gate_elu}},
};

/* ---- what is computed ------------------------------------------------------------------------ */

enum {
    MAX_ACTS = 3,             /* of one direction */
    MAX_STEPS = 512,          /* of one node */
    MAX_MODEL_STEPS = 1 << 13 /* of all nodes: what a small file can ask for is bounded */
};

typedef struct Recurrent Recurrent;

/* A layer in one direction. */
typedef struct Direction {
    bool back;
    GateAct acts[MAX_ACTS];
    Value *xw;    /* [steps, batch, gates * hidden]: x W + Wb, and Rb where nothing comes between */
    Value *r;     /* [gates * hidden, hidden] */
    Value *rb;    /* [gates * hidden]; NULL: in xw */
    Value *peep;  /* [3 * hidden]; NULL: none */
    Value *h, *c; /* the state, [batch, hidden] */
    Value **steps; /* h after each step, in order of time, with zeros behind a sequence's end */
} Direction;

struct Recurrent {
    int gates, nacts;
    const char *default_acts[MAX_ACTS];
    /* One step: sets d->h and d->c, from a slice of xw. */
    void (*step)(OnnxNode *n, const Recurrent *r, Direction *d, Value *xw);
    int64_t length, batch, inputs, hidden;
    int directions;
    bool batch_first, reset_after, coupled;
    double clip;    /* 0: none */
    Value *lengths; /* NULL: all sequences are complete */
    DType dtype;
};

/* Columns of gates [first, first + count). */
static Value *gate(OnnxNode *n, const Recurrent *r, Value *x, int first, int count) {
    if (!x || x->type.shape.dim[x->type.shape.rank - 1] == count * r->hidden)
        return x;
    return onnx_slice_axis(n, "gate", x, x->type.shape.rank - 1, first * r->hidden,
                           count * r->hidden, 1);
}

static Value *activate(OnnxNode *n, const Recurrent *r, const GateAct *a, Value *x) {
    if (r->clip > 0)
        x = onnx_clip(n, "clipped", x, -r->clip, r->clip);
    return x ? a->make(n, x, a->alpha, a->beta) : NULL;
}

/* h times R of gates [first, first + count), and their Rb. */
static Value *times_r(OnnxNode *n, const Recurrent *r, const Direction *d, Value *h, int first,
                      int count) {
    if (!h || n->failed)
        return NULL;
    Value *w = d->r;
    if (count < r->gates)
        w = onnx_slice_axis(n, "r", w, 0, first * r->hidden, count * r->hidden, 1);
    w = onnx_transpose(n, "rt", w, (const int64_t[]){1, 0});
    Value *y = w ? onnx_matmul(n, "hr", h, w) : NULL;
    return d->rb ? onnx_binary(n, OP_add, "hrb", y, gate(n, r, d->rb, first, count)) : y;
}

static Value *sum(OnnxNode *n, Value *a, Value *b) {
    return onnx_binary(n, OP_add, "sum", a, b);
}

static Value *product(OnnxNode *n, Value *a, Value *b) {
    return onnx_binary(n, OP_mul, "product", a, b);
}

/* 1 - x */
static Value *rest(OnnxNode *n, Value *x) {
    return x ? onnx_binary(n, OP_sub, "rest", onnx_scalar(n, "one", x->type.dtype, 1), x) : NULL;
}

static void rnn_step(OnnxNode *n, const Recurrent *r, Direction *d, Value *xw) {
    d->h = activate(n, r, &d->acts[0], sum(n, xw, times_r(n, r, d, d->h, 0, 1)));
}

/* Gates z, r, h. */
static void gru_step(OnnxNode *n, const Recurrent *r, Direction *d, Value *xw) {
    const GateAct *f = &d->acts[0], *g = &d->acts[1];
    Value *hr = times_r(n, r, d, d->h, 0, r->reset_after ? 3 : 2);
    Value *zr = activate(n, r, f, sum(n, gate(n, r, xw, 0, 2), gate(n, r, hr, 0, 2)));
    Value *z = gate(n, r, zr, 0, 1), *reset = gate(n, r, zr, 1, 1), *candidate;
    if (r->reset_after)
        candidate = product(n, reset, gate(n, r, hr, 2, 1));
    else
        candidate = times_r(n, r, d, product(n, reset, d->h), 2, 1);
    candidate = activate(n, r, g, sum(n, gate(n, r, xw, 2, 1), candidate));
    d->h = sum(n, product(n, rest(n, z), candidate), product(n, z, d->h));
}

/* x + c times peephole i of i, o, f. */
static Value *peephole(OnnxNode *n, const Recurrent *r, const Direction *d, Value *x, Value *c,
                       int i) {
    return d->peep ? sum(n, x, product(n, c, gate(n, r, d->peep, i, 1))) : x;
}

/* Gates i, o, f, c. */
static void lstm_step(OnnxNode *n, const Recurrent *r, Direction *d, Value *xw) {
    const GateAct *f = &d->acts[0];
    Value *all = sum(n, xw, times_r(n, r, d, d->h, 0, 4));
    Value *in = activate(n, r, f, peephole(n, r, d, gate(n, r, all, 0, 1), d->c, 0));
    Value *forget = r->coupled
                        ? rest(n, in)
                        : activate(n, r, f, peephole(n, r, d, gate(n, r, all, 2, 1), d->c, 2));
    Value *cell = activate(n, r, &d->acts[1], gate(n, r, all, 3, 1));
    d->c = sum(n, product(n, forget, d->c), product(n, in, cell));
    Value *out = activate(n, r, f, peephole(n, r, d, gate(n, r, all, 1, 1), d->c, 1));
    d->h = product(n, out, activate(n, r, &d->acts[2], d->c));
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* The next of a list, where the activation takes one and there is one. */
static double parameter(bool has, const float *list, int count, int *at, double dflt) {
    return has && *at < count ? (double)list[(*at)++] : dflt;
}

static void read_activations(OnnxNode *n, const Recurrent *r, Direction *d) {
    const char **names = NULL;
    const float *alpha = NULL, *beta = NULL;
    int count = 0, nalpha = 0, nbeta = 0, at_alpha = 0, at_beta = 0;
    bool given = attr_strings(n, "activations", &names, &count);
    attr_floats(n, "activation_alpha", &alpha, &nalpha);
    attr_floats(n, "activation_beta", &beta, &nbeta);
    if (given && count != r->nacts * r->directions)
        onnx_bad(n, "it has %d activations, and needs %d", count, r->nacts * r->directions);
    for (int i = 0; i < r->nacts * r->directions && !n->failed; i++) {
        const char *name = given ? names[i] : r->default_acts[i % r->nacts];
        size_t k = 0, end = sizeof ACTIVATIONS / sizeof *ACTIVATIONS;
        while (k < end && strcmp(ACTIVATIONS[k].name, name) != 0)
            k++;
        if (k == end) {
            onnx_unsupported(n, "activation %s is not supported", quoted(n->im, name));
            return;
        }
        GateAct *act = &d[i / r->nacts].acts[i % r->nacts];
        *act = ACTIVATIONS[k].act;
        act->alpha = parameter(ACTIVATIONS[k].has_alpha, alpha, nalpha, &at_alpha, act->alpha);
        act->beta = parameter(ACTIVATIONS[k].has_beta, beta, nbeta, &at_beta, act->beta);
    }
}

static void read_direction(OnnxNode *n, Recurrent *r, Direction *d) {
    const char *direction = attr_string(n, "direction", "forward");
    r->directions = strcmp(direction, "bidirectional") == 0 ? 2 : 1;
    d[0].back = strcmp(direction, "reverse") == 0;
    d[1].back = true;
    if (!d[0].back && r->directions == 1 && strcmp(direction, "forward") != 0)
        onnx_bad(n, "its direction is %s", quoted(n->im, direction));
}

static void want_shape(OnnxNode *n, int i, const char *what, Shape want) {
    Value *v = onnx_input(n, i);
    if (v && !shape_equal(&v->type.shape, &want) && !n->failed) {
        Type t = type_plain(v->type.dtype, want);
        onnx_bad(n, "its %s must be %s", what, type_str(&n->im->arena, &t));
    }
}

/* X, W, R, B, sequence_lens, initial_h, initial_c, P. */
static void check_inputs(OnnxNode *n, Recurrent *r) {
    const Shape *x = onnx_shape(n, 0), *w = onnx_shape(n, 2);
    if (x->rank != 3 || w->rank != 3) {
        onnx_bad(n, "its X and R must have 3 dimensions");
        return;
    }
    r->batch_first = attr_bool(n, "layout", false);
    r->length = x->dim[r->batch_first];
    r->batch = x->dim[!r->batch_first];
    r->inputs = x->dim[2];
    r->hidden = w->dim[2];
    r->dtype = onnx_input(n, 0)->type.dtype;
    int64_t dirs = r->directions, all;
    if (r->hidden < 1 || !checked_mul(2 * r->gates, r->hidden, &all) ||
        attr_int(n, "hidden_size", r->hidden) != r->hidden) {
        onnx_bad(n, "its hidden_size is not that of R, %lld", (long long)r->hidden);
        return;
    }
    Shape state =
        r->batch_first ? SHAPE(r->batch, dirs, r->hidden) : SHAPE(dirs, r->batch, r->hidden);
    want_shape(n, 1, "W", SHAPE(dirs, all / 2, r->inputs));
    want_shape(n, 2, "R", SHAPE(dirs, all / 2, r->hidden));
    want_shape(n, 3, "B", SHAPE(dirs, all));
    want_shape(n, 4, "sequence_lens", SHAPE(r->batch));
    want_shape(n, 5, "initial_h", state);
    want_shape(n, 6, "initial_c", state);
    want_shape(n, 7, "P", SHAPE(dirs, 3 * r->hidden));
    for (int i = 1; i < 8 && !n->failed; i++)
        if (onnx_input(n, i) && onnx_input(n, i)->type.dtype != (i == 4 ? DT_i32 : r->dtype))
            onnx_bad(n, "input %d has another type than the operator wants", i);
}

static void check_steps(OnnxNode *n, const Recurrent *r) {
    int64_t steps = r->length * r->directions;
    if (r->length > MAX_STEPS || n->im->recurrent_steps + steps > MAX_MODEL_STEPS)
        onnx_unsupported(n,
                         "more than %d steps of a sequence, and %d of a model, are not supported",
                         MAX_STEPS, MAX_MODEL_STEPS);
    else
        n->im->recurrent_steps += steps;
}

/* ---- building -------------------------------------------------------------------------------- */

/* Part `i` of input `input` along `axis`, without that axis. NULL where the input is absent. */
static Value *part_of(OnnxNode *n, int input, int axis, int64_t i) {
    Value *x = onnx_input(n, input);
    if (!x)
        return NULL;
    Shape s = x->type.shape;
    for (int k = axis; k + 1 < s.rank; k++)
        s.dim[k] = s.dim[k + 1];
    s.rank--;
    return onnx_reshape(n, "part", onnx_slice_axis(n, "part", x, axis, i, 1, 1), &s);
}

static Value *initial_state(OnnxNode *n, const Recurrent *r, int input, int dir) {
    Shape s = SHAPE(r->batch, r->hidden);
    Value *given = part_of(n, input, r->batch_first, dir);
    return given ? given : onnx_expand(n, "state", onnx_scalar(n, "zero", r->dtype, 0), &s);
}

static Value *by_time(OnnxNode *n, const Recurrent *r) {
    Value *x = onnx_input(n, 0);
    return r->batch_first ? onnx_transpose(n, "by_time", x, (const int64_t[]){1, 0, 2}) : x;
}

static void prepare(OnnxNode *n, const Recurrent *r, Direction *d, int dir) {
    int64_t all = r->gates * r->hidden;
    Shape flat = SHAPE(r->length * r->batch, r->inputs), to = SHAPE(r->length, r->batch, all);
    Value *w = onnx_transpose(n, "wt", part_of(n, 1, 0, dir), (const int64_t[]){1, 0});
    Value *x = onnx_reshape(n, "inputs", by_time(n, r), &flat), *b = part_of(n, 3, 0, dir);
    d->r = part_of(n, 2, 0, dir);
    d->peep = part_of(n, 7, 0, dir);
    d->h = initial_state(n, r, 5, dir);
    d->c = r->gates == 4 ? initial_state(n, r, 6, dir) : NULL;
    d->steps = ARENA_ARRAY(&n->im->arena, r->length, Value *);
    if (n->failed)
        return;
    d->xw = onnx_matmul(n, "xw", x, w);
    if (b) {
        Value *wb = onnx_slice_axis(n, "wb", b, 0, 0, all, 1),
              *rb = onnx_slice_axis(n, "rb", b, 0, all, all, 1);
        d->rb = r->reset_after ? rb : NULL;
        d->xw = sum(n, d->xw, r->reset_after ? wb : sum(n, wb, rb));
    }
    d->xw = onnx_reshape(n, "xw", d->xw, &to);
}

/* now where the sequence isn't over at time t, else `then`. */
static Value *unless_over(OnnxNode *n, const Recurrent *r, int64_t t, Value *now, Value *then) {
    Shape column = SHAPE(r->batch, 1);
    Value *lengths = onnx_reshape(n, "lengths", r->lengths, &column);
    Tensor *time = tensor_new(&n->im->g->arena, DT_i32, (Shape){0});
    tensor_set_i64(time, 0, t);
    Value *lasts = onnx_binary(n, OP_less, "lasts", onnx_constant(n, "time", time), lengths);
    return onnx_where(n, "state", lasts, now, then);
}

static void run(OnnxNode *n, const Recurrent *r, Direction *d) {
    Shape row = SHAPE(r->batch, r->gates * r->hidden);
    for (int64_t i = 0; i < r->length && !n->failed; i++) {
        int64_t t = d->back ? r->length - 1 - i : i;
        Value *h = d->h, *c = d->c;
        Value *xw = onnx_slice_axis(n, "step", d->xw, 0, t, 1, 1);
        r->step(n, r, d, onnx_reshape(n, "step", xw, &row));
        d->steps[t] = d->h;
        if (r->lengths && d->h) {
            d->steps[t] = unless_over(n, r, t, d->h, onnx_scalar(n, "zero", r->dtype, 0));
            d->h = unless_over(n, r, t, d->h, h);
            d->c = c ? unless_over(n, r, t, d->c, c) : NULL;
        }
    }
}

/* Both directions' states, [directions, batch, hidden], or with the batch first. */
static void set_state(OnnxNode *n, const Recurrent *r, int output, Value *const *states) {
    Value *all[2];
    int axis = r->batch_first ? 1 : 0;
    Shape s = r->batch_first ? SHAPE(r->batch, 1, r->hidden) : SHAPE(1, r->batch, r->hidden);
    if (output >= n->noutputs || !n->outputs[output])
        return;
    for (int i = 0; i < r->directions; i++)
        all[i] = onnx_reshape(n, "last", states[i], &s);
    onnx_set_output(n, output, onnx_concat(n, "last", all, r->directions, axis));
}

/* [length, directions, batch, hidden], or [batch, length, directions, hidden]. */
static void set_all(OnnxNode *n, const Recurrent *r, const Direction *d) {
    Shape s = SHAPE(1, 1, r->batch, r->hidden);
    Value *dirs[2];
    if (!n->noutputs || !n->outputs[0])
        return;
    if (r->length == 0) {
        onnx_unsupported(n, "empty sequences are not supported");
        return;
    }
    for (int k = 0; k < r->directions; k++) {
        Value **rows = ARENA_ARRAY(&n->im->arena, r->length, Value *);
        for (int64_t i = 0; i < r->length; i++)
            rows[i] = onnx_reshape(n, "row", d[k].steps[i], &s);
        dirs[k] = onnx_concat(n, "sequence", rows, (int)r->length, 0);
    }
    Value *y = onnx_concat(n, "y", dirs, r->directions, 1);
    onnx_set_output(n, 0,
                    r->batch_first ? onnx_transpose(n, "y", y, (const int64_t[]){2, 0, 1, 3}) : y);
}

static void recurrent(OnnxNode *n, Recurrent *r) {
    Direction d[2] = {{0}};
    r->clip = attr_float(n, "clip", 0);
    read_direction(n, r, d);
    if (!n->failed)
        check_inputs(n, r);
    if (!n->failed)
        read_activations(n, r, d);
    if (n->failed || !onnx_needs_float(n, 1))
        return;
    check_steps(n, r);
    r->lengths = onnx_input(n, 4);
    for (int i = 0; i < r->directions && !n->failed; i++) {
        prepare(n, r, &d[i], i);
        run(n, r, &d[i]);
    }
    if (n->failed)
        return;
    set_all(n, r, d);
    set_state(n, r, 1, (Value *[]){d[0].h, d[1].h});
    set_state(n, r, 2, (Value *[]){d[0].c, d[1].c});
}

/* RNN-7, -14. */
void import_rnn(OnnxNode *n) {
    Recurrent r = {.gates = 1, .nacts = 1, .default_acts = {"Tanh"}, .step = rnn_step};
    recurrent(n, &r);
}

/* GRU-7, -14. */
void import_gru(OnnxNode *n) {
    Recurrent r = {.gates = 3, .nacts = 2, .default_acts = {"Sigmoid", "Tanh"}, .step = gru_step};
    r.reset_after = attr_int(n, "linear_before_reset", 0) != 0;
    recurrent(n, &r);
}

/* LSTM-7, -14. */
void import_lstm(OnnxNode *n) {
    Recurrent r = {
        .gates = 4, .nacts = 3, .default_acts = {"Sigmoid", "Tanh", "Tanh"}, .step = lstm_step};
    r.coupled = attr_int(n, "input_forget", 0) != 0;
    recurrent(n, &r);
}
