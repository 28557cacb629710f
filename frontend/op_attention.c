/* op_attention.c: Attention and RotaryEmbedding, as products, masks and a Softmax. */
#include "frontend/import.h"

#include <math.h>

enum { Q, K, V, MASK, PAST_KEY, PAST_VALUE, NONPAD };

typedef struct Attention {
    int64_t batch, queries, keys, past; /* keys: all of them, with those of the past */
    int64_t left, right;                /* how far each query sees; -1: without a bound */
    bool causal, heads_last;            /* heads_last: inputs have 3 dimensions */
    double scale, softcap;
    int64_t mode; /* what output 3 is */
    DType softmax;
    Value *q, *k, *v; /* [batch, heads, elements, size] */
    Value *bias;      /* 0, -infinity or what is added to the scores; NULL: nothing */
} Attention;

/* ---- heads ----------------------------------------------------------------------------------- */

static const int64_t SWAP_HEADS[] = {0, 2, 1, 3};

/* [batch, elements, heads * size] as [batch, heads, elements, size]. */
static Value *split_heads(OnnxNode *n, Value *x, int64_t heads) {
    Shape s = x->type.shape;
    if (heads < 1 || s.dim[2] % heads != 0) {
        onnx_bad(n, "%lld numbers are not %lld heads", (long long)s.dim[2], (long long)heads);
        return NULL;
    }
    s = SHAPE(s.dim[0], s.dim[1], heads, s.dim[2] / heads);
    return onnx_transpose(n, "heads", onnx_reshape(n, "split", x, &s), SWAP_HEADS);
}

static Value *joined_heads(OnnxNode *n, const char *part, Value *x) {
    x = onnx_transpose(n, "by_element", x, SWAP_HEADS);
    if (!x)
        return NULL;
    const Shape *s = &x->type.shape;
    Shape to = SHAPE(s->dim[0], s->dim[1], s->dim[2] * s->dim[3]);
    return onnx_reshape(n, part, x, &to);
}

/* Each of the heads `times` times, where several queries share one. */
static Value *repeat_heads(OnnxNode *n, Value *x, int64_t times) {
    if (!x || times == 1)
        return x;
    const Shape *s = &x->type.shape;
    Shape one = SHAPE(s->dim[0], s->dim[1], 1, s->dim[2], s->dim[3]), all = one, to = *s;
    all.dim[2] = times;
    to.dim[1] *= times;
    x = onnx_expand(n, "repeat", onnx_reshape(n, "group", x, &one), &all);
    return onnx_reshape(n, "repeated", x, &to);
}

static Value *with_past(OnnxNode *n, Value *x, int past) {
    if (!x || !onnx_input(n, past))
        return x;
    return onnx_concat(n, "present", (Value *[]){onnx_input(n, past), x}, 2, 2);
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static void read_attributes(OnnxNode *n, Attention *a) {
    a->causal = attr_bool(n, "is_causal", false);
    a->scale = attr_float(n, "scale", 0);
    a->softcap = attr_float(n, "softcap", 0);
    a->mode = attr_int(n, "qk_matmul_output_mode", 0);
    a->left = attr_int(n, "left_window_size", -1);
    a->right = attr_int(n, "right_window_size", -1);
    a->softmax = onnx_input(n, Q)->type.dtype;
    int64_t precision = attr_int(n, "softmax_precision", 0);
    if (precision &&
        (!dtype_from_onnx(precision > 0 && precision <= INT32_MAX ? (int32_t)precision : -1,
                          &a->softmax) ||
         !dtype_is_float(a->softmax)))
        onnx_bad(n, "its softmax_precision is %lld, which is no float", (long long)precision);
    if (a->mode < 0 || a->mode > 3 || a->left < -1 || a->right < -1)
        onnx_bad(n, "its mode or its window is out of range");
}

static void read_heads(OnnxNode *n, Attention *a) {
    int64_t q = attr_int(n, "q_num_heads", 0), kv = attr_int(n, "kv_num_heads", 0);
    int rank = onnx_shape(n, Q)->rank;
    for (int i = Q; i <= V; i++)
        if (onnx_shape(n, i)->rank != rank || (rank != 3 && rank != 4))
            onnx_bad(n, "its Q, K and V must have 3 dimensions or 4");
    if (n->failed)
        return;
    a->heads_last = rank == 3;
    a->q = a->heads_last ? split_heads(n, onnx_input(n, Q), q) : onnx_input(n, Q);
    a->k = a->heads_last ? split_heads(n, onnx_input(n, K), kv) : onnx_input(n, K);
    a->v = a->heads_last ? split_heads(n, onnx_input(n, V), kv) : onnx_input(n, V);
    a->k = with_past(n, a->k, PAST_KEY);
    a->v = with_past(n, a->v, PAST_VALUE);
}

static void check_inputs(OnnxNode *n, Attention *a) {
    if (!a->q || !a->k || !a->v)
        return;
    const Shape *q = &a->q->type.shape, *k = &a->k->type.shape, *v = &a->v->type.shape;
    if (!onnx_input(n, PAST_KEY) != !onnx_input(n, PAST_VALUE))
        onnx_bad(n, "past_key and past_value belong together");
    if (q->dim[0] != k->dim[0] || q->dim[0] != v->dim[0] || q->dim[3] != k->dim[3] ||
        k->dim[1] != v->dim[1] || k->dim[2] != v->dim[2] || k->dim[1] < 1 ||
        q->dim[1] % k->dim[1] != 0)
        onnx_bad(n, "its Q, K and V do not fit each other");
    Value *nonpad = onnx_input(n, NONPAD);
    if (nonpad && (onnx_input(n, PAST_KEY) || nonpad->type.dtype != DT_i64 ||
                   nonpad->type.shape.rank != 1 || nonpad->type.shape.dim[0] != q->dim[0]))
        onnx_bad(n, "nonpad_kv_seqlen must be one int64 for each of the batch, without a past");
    a->batch = q->dim[0];
    a->queries = q->dim[2];
    a->keys = k->dim[2];
    a->past = onnx_input(n, PAST_KEY) ? onnx_shape(n, PAST_KEY)->dim[2] : 0;
    if (a->scale == 0)
        a->scale = 1 / sqrt((double)q->dim[3]);
}

/* ---- the bias -------------------------------------------------------------------------------- */

static void add_bias(OnnxNode *n, Attention *a, Value *bias) {
    a->bias = a->bias ? onnx_binary(n, OP_add, "bias", a->bias, bias) : bias;
}

/* 0 where allowed, else -infinity. */
static void allow(OnnxNode *n, Attention *a, Value *allowed) {
    DType dt = a->q->type.dtype;
    add_bias(n, a,
             onnx_where(n, "mask", allowed, onnx_scalar(n, "seen", dt, 0),
                        onnx_scalar(n, "hidden", dt, -INFINITY)));
}

static void add_mask(OnnxNode *n, Attention *a) {
    Value *mask = onnx_input(n, MASK);
    if (!mask)
        return;
    bool is_bool = mask->type.dtype == DT_bool;
    int last = mask->type.shape.rank - 1;
    int64_t missing = last < 0 ? 0 : a->keys - mask->type.shape.dim[last];
    if (last >= 0 && missing > 0 && mask->type.shape.dim[last] != 1)
        mask = onnx_pad_axis(n, "padded", mask, last, 0, missing, is_bool ? 0 : -INFINITY);
    if (is_bool)
        allow(n, a, mask);
    else
        add_bias(n, a, mask);
}

/* The numbers of the queries among the keys: [queries, 1], or [batch, 1, queries, 1]. */
static Value *positions(OnnxNode *n, const Attention *a) {
    Value *nonpad = onnx_input(n, NONPAD);
    Value *at = onnx_iota(n, "query", DT_i64, a->queries, 2, 0);
    if (!nonpad)
        return onnx_by_scalar(n, OP_add, "position", at, (double)a->past);
    Shape each = SHAPE(a->batch, 1, 1, 1);
    Value *offset = onnx_by_scalar(n, OP_sub, "offset", onnx_reshape(n, "valid", nonpad, &each),
                                   (double)a->queries);
    return onnx_binary(n, OP_add, "position", at, offset);
}

/* What causality, the window and the end of the keys hide. */
static void add_ranges(OnnxNode *n, Attention *a) {
    Value *nonpad = onnx_input(n, NONPAD);
    if (!a->causal && a->left < 0 && a->right < 0 && !nonpad)
        return;
    Value *at = positions(n, a), *key = onnx_iota(n, "key", DT_i64, a->keys, 2, 1);
    if (a->causal)
        allow(n, a, onnx_binary(n, OP_less_equal, "before", key, at));
    if (a->left >= 0)
        allow(n, a,
              onnx_binary(n, OP_less_equal, "near",
                          onnx_by_scalar(n, OP_sub, "first", at, (double)a->left), key));
    if (a->right >= 0)
        allow(n, a,
              onnx_binary(n, OP_less_equal, "near", key,
                          onnx_by_scalar(n, OP_add, "last", at, (double)a->right)));
    if (nonpad) {
        Shape each = SHAPE(a->batch, 1, 1, 1);
        allow(n, a, onnx_binary(n, OP_less, "valid", key, onnx_reshape(n, "valid", nonpad, &each)));
    }
}

/* ---- the scores ------------------------------------------------------------------------------ */

/* softmax(x), and zeros where the bias hides every key. */
static Value *attend(OnnxNode *n, const Attention *a, Value *x) {
    if (!x)
        return NULL;
    DType dt = x->type.dtype;
    Value *wide = a->softmax == dt ? x : onnx_cast(n, "precise", x, a->softmax);
    Value *y = onnx_softmax(n, "softmax", wide, 3);
    y = a->softmax == dt ? y : onnx_cast(n, "narrow", y, dt);
    if (!a->bias || a->bias->type.shape.rank == 0)
        return y;
    int last = a->bias->type.shape.rank - 1;
    Value *most =
        onnx_reduce(n, OP_reduce_max, "most", a->bias, onnx_keep_ints(n, (int64_t[]){last}, 1));
    Value *hidden = onnx_by_scalar(n, OP_equal, "hidden", most, -INFINITY);
    return onnx_where(n, "attention", hidden, onnx_scalar(n, "zero", dt, 0), y);
}

static Value *capped(OnnxNode *n, const Attention *a, Value *x) {
    if (!(a->softcap > 0))
        return x;
    x = onnx_unary(n, OP_act_tanh, "tanh", onnx_by_scalar(n, OP_div, "scaled", x, a->softcap));
    return onnx_by_scalar(n, OP_mul, "capped", x, a->softcap);
}

/* Attention-23 to -25: softmax(Q K^T scale + bias) V. */
void import_attention(OnnxNode *n) {
    Attention a = {0};
    read_attributes(n, &a);
    if (n->failed || !onnx_needs_float(n, 3))
        return;
    read_heads(n, &a);
    check_inputs(n, &a);
    if (n->failed)
        return;
    add_mask(n, &a);
    add_ranges(n, &a);
    int64_t times = a.q->type.shape.dim[1] / a.k->type.shape.dim[1];
    double root = sqrt(fabs(a.scale));
    Value *q = onnx_by_scalar(n, OP_mul, "q", a.q, a.scale < 0 ? -root : root);
    Value *k = onnx_by_scalar(n, OP_mul, "k", repeat_heads(n, a.k, times), root);
    k = onnx_transpose(n, "kt", k, (const int64_t[]){0, 1, 3, 2});
    Value *stages[4] = {n->failed ? NULL : onnx_matmul(n, "scores", q, k)};
    stages[1] = capped(n, &a, stages[0]);
    stages[2] = a.bias ? onnx_binary(n, OP_add, "biased", stages[1], a.bias) : stages[1];
    stages[3] = attend(n, &a, stages[2]);
    Value *v = repeat_heads(n, a.v, times);
    if (n->failed)
        return;
    Value *y = onnx_matmul(n, a.heads_last ? "attended" : NULL, stages[3], v);
    onnx_set_output(n, 0, a.heads_last ? joined_heads(n, NULL, y) : y);
    onnx_set_output(n, 1, a.k);
    onnx_set_output(n, 2, a.v);
    onnx_set_output(n, 3, stages[a.mode]);
}

/* ---- RotaryEmbedding ------------------------------------------------------------------------- */

/* A cache's rows for each position, as [batch, 1, elements, half]. */
static Value *cache_rows(OnnxNode *n, int input, int64_t half, const Shape *x) {
    Value *cache = onnx_input(n, input), *ids = onnx_input(n, 3);
    if (cache->type.shape.rank != (ids ? 2 : 3)) {
        onnx_bad(n, "its caches must have %d dimensions", ids ? 2 : 3);
        return NULL;
    }
    if (ids)
        cache = onnx_gather(n, "rows", cache, ids, 0);
    Shape to = SHAPE(x->dim[0], 1, x->dim[2], half), have = SHAPE(x->dim[0], x->dim[2], half);
    if (cache && !shape_equal(&cache->type.shape, &have))
        onnx_bad(n, "its caches do not have %lld numbers for each element", (long long)half);
    return n->failed ? NULL : onnx_reshape(n, "cache", cache, &to);
}

/* Half of the numbers of a head: every second one, or the first or last ones. */
static Value *half_of(OnnxNode *n, Value *x, int64_t half, int which, bool interleaved) {
    return onnx_slice_axis(n, "half", x, 3, interleaved ? which : which * half, half,
                           interleaved ? 2 : 1);
}

/* The two halves as one again. */
static Value *both_halves(OnnxNode *n, Value *a, Value *b, bool interleaved) {
    if (!a || !b || !interleaved)
        return onnx_concat(n, "rotated", (Value *[]){a, b}, 2, 3);
    Shape s = a->type.shape, five = s;
    five.dim[five.rank++] = 1;
    s.dim[3] *= 2;
    Value *pair[] = {onnx_reshape(n, "first", a, &five), onnx_reshape(n, "second", b, &five)};
    return onnx_reshape(n, "rotated", onnx_concat(n, "pairs", pair, 2, 4), &s);
}

/* RotaryEmbedding-23: pairs of numbers as complex ones, times cos + i sin of their position. */
void import_rotary_embedding(OnnxNode *n) {
    bool interleaved = attr_bool(n, "interleaved", false);
    int64_t size = attr_int(n, "rotary_embedding_dim", 0), heads = attr_int(n, "num_heads", 0);
    int rank = onnx_shape(n, 0)->rank;
    if (rank != 3 && rank != 4)
        onnx_bad(n, "its input must have 3 dimensions or 4, it has %d", rank);
    if (n->failed || !onnx_needs_float(n, 3))
        return;
    Value *x = rank == 3 ? split_heads(n, onnx_input(n, 0), heads) : onnx_input(n, 0);
    if (!x)
        return;
    const Shape *s = &x->type.shape;
    size = size ? size : s->dim[3];
    if (size < 2 || size % 2 != 0 || size > s->dim[3]) {
        onnx_bad(n, "%lld numbers of %lld can't be rotated", (long long)size, (long long)s->dim[3]);
        return;
    }
    Value *c = cache_rows(n, 1, size / 2, s), *d = cache_rows(n, 2, size / 2, s);
    Value *rotated = onnx_slice_axis(n, "rotated", x, 3, 0, size, 1);
    Value *a = half_of(n, rotated, size / 2, 0, interleaved),
          *b = half_of(n, rotated, size / 2, 1, interleaved);
    Value *real = onnx_binary(n, OP_sub, "real", onnx_binary(n, OP_mul, "product", c, a),
                              onnx_binary(n, OP_mul, "product", d, b));
    Value *imaginary = onnx_binary(n, OP_add, "imaginary", onnx_binary(n, OP_mul, "product", d, a),
                                   onnx_binary(n, OP_mul, "product", c, b));
    Value *y = both_halves(n, real, imaginary, interleaved);
    if (size < s->dim[3]) {
        Value *same = onnx_slice_axis(n, "same", x, 3, size, s->dim[3] - size, 1);
        y = onnx_concat(n, "y", (Value *[]){y, same}, 2, 3);
    }
    onnx_set_output(n, 0,
                    rank == 3 ? joined_heads(n, NULL, y) : onnx_unary(n, OP_identity, NULL, y));
}
