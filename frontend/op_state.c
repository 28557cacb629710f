/* op_state.c: operators whose state the caller keeps from run to run: CausalConvWithState,
 * TensorScatter, LinearAttention. */
#include "frontend/import.h"

#include <math.h>
#include <string.h>

/* ---- CausalConvWithState --------------------------------------------------------------------- */

/* CausalConvWithState-27: x [images, channels, length] behind its past, each channel by its own
 * kernel; the end of both is the past of the next run. */
void import_causal_conv(OnnxNode *n) {
    const char *activation = attr_string(n, "activation", "none");
    bool silu = strcmp(activation, "silu") == 0 || strcmp(activation, "swish") == 0;
    if (!silu && strcmp(activation, "none") != 0)
        onnx_bad(n, "its activation is %s", quoted(n->im, activation));
    if (onnx_shape(n, 0)->rank != 3 || onnx_shape(n, 1)->rank != 3)
        onnx_bad(n, "its input and its weights must have 3 dimensions");
    if (n->failed || !onnx_needs_float(n, 4))
        return;
    Value *x = onnx_input(n, 0);
    const Shape *s = &x->type.shape, *w = onnx_shape(n, 1);
    int64_t size = w->dim[2];
    Shape weights = SHAPE(s->dim[1], 1, size), bias = SHAPE(s->dim[1]),
          past = SHAPE(s->dim[0], s->dim[1], size - 1);
    if (size < 1 || s->dim[1] < 1 || s->dim[2] < 1 || !shape_equal(w, &weights) ||
        !onnx_has_shape(n, 2, &bias) || !onnx_has_shape(n, 3, &past)) {
        onnx_bad(n, "its weights, bias or state don't fit its input");
        return;
    }
    int64_t length = s->dim[2], channels = s->dim[1];
    Value *state = onnx_input(n, 3);
    if (size > 1)
        x = state ? onnx_concat(n, "with_past", (Value *[]){state, x}, 2, 2)
                  : onnx_pad_axis(n, "with_past", x, 2, size - 1, 0, 0);
    Window win = {.space = 1, .axis = {{.kernel = size, .stride = 1, .dilation = 1}}};
    Value *y =
        x ? onnx_conv_window(n, x, onnx_input(n, 1), onnx_input(n, 2), &win, channels) : NULL;
    onnx_set_output(n, 0, silu ? onnx_unary(n, OP_act_silu, NULL, y) : y);
    if (n->noutputs > 1 && n->outputs[1])
        onnx_set_output(n, 1, onnx_slice_axis(n, "state", x, 2, length, size - 1, 1));
}

/* ---- TensorScatter --------------------------------------------------------------------------- */

/* Where along the axis each element of the update goes, in the update's shape. */
static Value *places(OnnxNode *n, int axis, bool circular) {
    const Shape *update = onnx_shape(n, 1);
    int64_t room = onnx_shape(n, 0)->dim[axis];
    Value *at = onnx_iota(n, "place", DT_i64, update->dim[axis], update->rank, axis);
    Shape each = {.rank = update->rank};
    for (int i = 0; i < each.rank; i++)
        each.dim[i] = i == 0 ? update->dim[0] : 1;
    if (onnx_input(n, 2))
        at = onnx_binary(n, OP_add, "place", at, onnx_reshape(n, "first", onnx_input(n, 2), &each));
    if (circular)
        at = onnx_by_scalar(n, OP_mod, "place", at, (double)room);
    return onnx_expand(n, "places", at, update);
}

/* TensorScatter-24: writes an update into a cache along an axis, for each of the batch at a place
 * of its own; in circles, where it may begin again at the front. */
void import_tensor_scatter(OnnxNode *n) {
    const char *mode = attr_string(n, "mode", "linear");
    bool circular = strcmp(mode, "circular") == 0;
    const Shape *cache = onnx_shape(n, 0), *update = onnx_shape(n, 1);
    int axis = onnx_axis(n, attr_int(n, "axis", -2), cache->rank);
    if (!circular && strcmp(mode, "linear") != 0)
        onnx_bad(n, "its mode is %s", quoted(n->im, mode));
    if (n->failed || !onnx_same_dtype(n, 2))
        return;
    Shape want = *cache, batch = SHAPE(cache->dim[0]);
    if (update->rank == want.rank)
        want.dim[axis] = update->dim[axis];
    if (axis == 0 || !shape_equal(update, &want) || want.dim[axis] > cache->dim[axis] ||
        !onnx_has_shape(n, 2, &batch) ||
        (onnx_input(n, 2) && onnx_input(n, 2)->type.dtype != DT_i64)) {
        onnx_bad(n, "its update or its indices don't fit its cache");
        return;
    }
    Value *at = places(n, axis, circular);
    if (!at)
        return;
    Node *s = onnx_add(n, OP_scatter_elements, NULL,
                       (Value *[]){onnx_input(n, 0), at, onnx_input(n, 1)}, 3);
    *scatter_attrs(s) = (ScatterAttrs){axis, OP_identity};
    onnx_set_output(n, 0, onnx_done(n, s));
}

/* ---- LinearAttention ------------------------------------------------------------------------- */

enum { QUERY, KEY, VALUE, PAST, DECAY, BETA, NODES_OF_STEP = 24 };

typedef struct Memory {
    int64_t batch, steps, heads, group; /* heads: of keys and values; group: queries of each */
    int64_t key, value;                 /* sizes */
    double scale;
    bool decays, corrects;
    Value *state; /* [batch, heads, key, value] */
} Memory;

/* What input i has for a step, as f32 of shape `to`; NULL where it is absent. */
static Value *at_step(OnnxNode *n, int i, int64_t step, Shape to) {
    Value *x = onnx_slice_axis(n, "step", onnx_input(n, i), 1, step, 1, 1);
    return onnx_reshape(n, "step", x ? onnx_cast(n, "wide", x, DT_f32) : NULL, &to);
}

/* The state takes in a step's key and value; returns what its queries read, [batch, 1, all of
 * them]. */
static Value *take_step(OnnxNode *n, Memory *m, int64_t step) {
    int64_t b = m->batch, h = m->heads;
    Value *k = at_step(n, KEY, step, SHAPE(b, h, m->key, 1));
    Value *v = at_step(n, VALUE, step, SHAPE(b, h, 1, m->value));
    if (m->decays) {
        int64_t each = onnx_shape(n, DECAY)->dim[2] / h;
        Value *decay =
            onnx_unary(n, OP_exp, "decay", at_step(n, DECAY, step, SHAPE(b, h, each, 1)));
        m->state = onnx_binary(n, OP_mul, "kept", m->state, decay);
    }
    if (m->corrects) {
        Value *row = at_step(n, KEY, step, SHAPE(b, h, 1, m->key));
        Value *known = row && m->state ? onnx_matmul(n, "known", row, m->state) : NULL;
        Value *beta = at_step(n, BETA, step, SHAPE(b, onnx_shape(n, BETA)->dim[2], 1, 1));
        v = onnx_binary(n, OP_mul, "news", beta, onnx_binary(n, OP_sub, "news", v, known));
    }
    m->state = onnx_binary(n, OP_add, "state", m->state, onnx_binary(n, OP_mul, "product", k, v));
    Value *q = at_step(n, QUERY, step, SHAPE(b, h, m->group, m->key));
    Value *y = q && m->state ? onnx_matmul(n, "read", q, m->state) : NULL;
    return onnx_reshape(n, "read", y, &(Shape){3, {b, 1, h * m->group * m->value}});
}

/* Which of the inputs that depend on the rule are there, and the sizes. */
static void check_memory(OnnxNode *n, const Memory *m) {
    Shape list = SHAPE(m->batch, m->steps, 0), q = list, k = list, v = list;
    Shape past = SHAPE(m->batch, m->heads, m->key, m->value);
    q.dim[2] = m->heads * m->group * m->key;
    k.dim[2] = m->heads * m->key;
    v.dim[2] = m->heads * m->value;
    bool fits = m->key > 0 && m->value > 0 && onnx_has_shape(n, QUERY, &q) &&
                onnx_has_shape(n, KEY, &k) && onnx_has_shape(n, VALUE, &v) &&
                onnx_has_shape(n, PAST, &past);
    for (int i = DECAY; i <= BETA && fits; i++) {
        if (!onnx_input(n, i))
            continue;
        list.dim[2] = onnx_shape(n, i)->rank == 3 ? onnx_shape(n, i)->dim[2] : 0;
        fits = onnx_has_shape(n, i, &list) &&
               (list.dim[2] == m->heads || list.dim[2] == (i == BETA ? 1 : k.dim[2]));
    }
    if (!onnx_input(n, DECAY) == m->decays || !onnx_input(n, BETA) == m->corrects)
        onnx_bad(n, "its update_rule and its inputs decay and beta don't fit each other");
    else if (!fits)
        onnx_bad(n, "its inputs don't fit each other and its heads");
}

static void read_rule(OnnxNode *n, Memory *m) {
    const char *rule = attr_string(n, "update_rule", "gated_delta");
    m->decays = strncmp(rule, "gated", 5) == 0;
    m->corrects = strcmp(rule, "delta") == 0 || strcmp(rule, "gated_delta") == 0;
    if (!m->corrects && strcmp(rule, "linear") != 0 && strcmp(rule, "gated") != 0)
        onnx_bad(n, "its update_rule is %s", quoted(n->im, rule));
}

static void read_memory(OnnxNode *n, Memory *m) {
    int64_t queries = attr_int(n, "q_num_heads", 0);
    const Shape *q = onnx_shape(n, QUERY), *v = onnx_shape(n, VALUE);
    attr_ignore(n, "chunk_size");
    *m = (Memory){.heads = attr_int(n, "kv_num_heads", 0), .scale = attr_float(n, "scale", 0)};
    read_rule(n, m);
    if (m->heads < 1 || queries < 1 || queries % m->heads != 0)
        onnx_bad(n, "its %lld heads of queries do not share its %lld of keys", (long long)queries,
                 (long long)m->heads);
    else if (q->rank != 3 || v->rank != 3 || q->dim[1] < 1 || q->dim[0] < 1)
        onnx_bad(n, "its inputs must be [batch, steps, heads * size], and not empty");
    if (n->failed)
        return;
    m->batch = q->dim[0];
    m->steps = q->dim[1];
    m->group = queries / m->heads;
    m->key = q->dim[2] / queries;
    m->value = v->dim[2] / m->heads;
    if (m->scale == 0)
        m->scale = 1 / sqrt((double)m->key);
    check_memory(n, m);
}

/* LinearAttention-27: a matrix for each head sums up the products of keys and values, step by step,
 * and each query reads it. */
void import_linear_attention(OnnxNode *n) {
    Memory m;
    if (!onnx_needs_float(n, 3))
        return;
    read_memory(n, &m);
    if (n->failed || !inline_spend(n, NODES_OF_STEP * (size_t)m.steps))
        return;
    DType dt = onnx_input(n, QUERY)->type.dtype;
    Value *past = onnx_input(n, PAST);
    Shape state = SHAPE(m.batch, m.heads, m.key, m.value);
    m.state = past ? onnx_cast(n, "state", past, DT_f32)
                   : onnx_expand(n, "state", onnx_scalar(n, "zero", DT_f32, 0), &state);
    Value **read = ARENA_ARRAY(&n->im->arena, m.steps, Value *);
    for (int64_t i = 0; i < m.steps && !n->failed; i++)
        read[i] = take_step(n, &m, i);
    if (n->failed)
        return;
    Value *y = onnx_concat(n, "all", read, (int)m.steps, 1);
    y = onnx_by_scalar(n, OP_mul, "scaled", y, m.scale);
    onnx_set_output(n, 0, onnx_cast(n, NULL, y, dt));
    onnx_set_output(n, 1, onnx_cast(n, "present", m.state, past ? past->type.dtype : dt));
}
