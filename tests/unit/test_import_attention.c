/* Unit tests of the ONNX importer: Attention and RotaryEmbedding, against their definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

/* ---- the definition, query by query ---------------------------------------------------------- */

enum { BATCH = 2, QUERIES = 3, KEYS = 4, SIZE = 2, VSIZE = 3, MOST_KEYS = 6 };

typedef struct Attention {
    int heads, kv_heads, past;
    double scale, softcap; /* scale 0: 1 / sqrt(SIZE) */
    bool causal;
    int left, right;      /* -1: no bound */
    const float *mask;    /* [QUERIES, keys]: what is added; NULL: nothing */
    const int64_t *valid; /* [BATCH] keys that count; NULL: all of them */
} Attention;

/* Numbers between -1 and 1 that repeat late. */
static void fill(float *v, size_t n, unsigned seed) {
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        v[i] = (float)((int)(seed >> 16 & 255) - 128) / 128;
    }
}

static bool sees(const Attention *a, int batch, int query, int key) {
    int at = query + a->past + (a->valid ? (int)a->valid[batch] - QUERIES : 0);
    return !(a->causal && key > at) && !(a->left >= 0 && key < at - a->left) &&
           !(a->right >= 0 && key > at + a->right) && !(a->valid && key >= a->valid[batch]);
}

/* y[VSIZE] of one query, and its weights w[keys]; k and v have the rows of this head. */
static void attend(const Attention *a, int batch, int query, const float *q, const float *k,
                   const float *v, double *w, double *y) {
    int keys = KEYS + a->past;
    double scale = a->scale != 0 ? a->scale : 1 / sqrt(SIZE), sum = 0;
    for (int j = 0; j < keys; j++) {
        double s = 0;
        for (int d = 0; d < SIZE; d++)
            s += (double)q[d] * (double)k[j * SIZE + d];
        s *= scale;
        s = a->softcap > 0 ? a->softcap * tanh(s / a->softcap) : s;
        s += a->mask ? (double)a->mask[query * keys + j] : 0;
        w[j] = sees(a, batch, query, j) ? exp(s) : 0;
        sum += w[j];
    }
    for (int j = 0; j < keys; j++)
        w[j] = sum > 0 ? w[j] / sum : 0;
    for (int d = 0; d < VSIZE; d++) {
        y[d] = 0;
        for (int j = 0; j < keys; j++)
            y[d] += w[j] * (double)v[j * VSIZE + d];
    }
}

/* ---- models ---------------------------------------------------------------------------------- */

static void add_tensor(Buf *g, const char *name, int heads, int rows, int size, const float *v) {
    char dims[64];
    snprintf(dims, sizeof dims, "%d,%d,%d,%d", BATCH, heads, rows, size);
    add_floats(g, name, dims, v, (size_t)(BATCH * heads * rows * size));
}

static void add_attributes(Buf *attrs, const Attention *a) {
    if (a->scale != 0)
        with_float(attrs, "scale", (float)a->scale);
    if (a->softcap > 0)
        with_float(attrs, "softcap", (float)a->softcap);
    if (a->causal)
        with_int(attrs, "is_causal", 1);
    if (a->left >= 0)
        with_int(attrs, "left_window_size", a->left);
    if (a->right >= 0)
        with_int(attrs, "right_window_size", a->right);
}

/* Rows of the past, and then those of now, for each head. */
static void join_past(const float *past, const float *now, int heads, int past_rows, int size,
                      float *out) {
    for (int i = 0; i < BATCH * heads; i++) {
        memcpy(out, past + i * past_rows * size, (size_t)(past_rows * size) * sizeof *out);
        out += past_rows * size;
        memcpy(out, now + i * KEYS * size, (size_t)(KEYS * size) * sizeof *out);
        out += KEYS * size;
    }
}

/* What the operator gives for Q, K and V of 4 dimensions, and its weights (mode 3). */
static void assert_attention(const Attention *a) {
    enum { HEADS = 4 };
    float q[BATCH * HEADS * QUERIES * SIZE], k[BATCH * HEADS * KEYS * SIZE],
        v[BATCH * HEADS * KEYS * VSIZE], past_k[BATCH * HEADS * 2 * SIZE],
        past_v[BATCH * HEADS * 2 * VSIZE], all_k[BATCH * HEADS * MOST_KEYS * SIZE],
        all_v[BATCH * HEADS * MOST_KEYS * VSIZE];
    double y[BATCH * HEADS * QUERIES * VSIZE], w[MOST_KEYS];
    int keys = KEYS + a->past, group = a->heads / a->kv_heads;
    Buf g = {0}, attrs = {0};
    char dims[32];
    fill(q, sizeof q / sizeof *q, 1);
    fill(k, sizeof k / sizeof *k, 2);
    fill(v, sizeof v / sizeof *v, 3);
    fill(past_k, sizeof past_k / sizeof *past_k, 4);
    fill(past_v, sizeof past_v / sizeof *past_v, 5);
    add_input(&g, "x", ONNX_FLOAT, "1");
    add_tensor(&g, "q", a->heads, QUERIES, SIZE, q);
    add_tensor(&g, "k", a->kv_heads, KEYS, SIZE, k);
    add_tensor(&g, "v", a->kv_heads, KEYS, VSIZE, v);
    add_tensor(&g, "past_k", a->kv_heads, a->past, SIZE, past_k);
    add_tensor(&g, "past_v", a->kv_heads, a->past, VSIZE, past_v);
    snprintf(dims, sizeof dims, "%d,%d", QUERIES, keys);
    if (a->mask)
        add_floats(&g, "mask", dims, a->mask, (size_t)(QUERIES * keys));
    if (a->valid) {
        Buf t = raw_tensor("valid", ONNX_INT64, "2", a->valid, 2 * sizeof *a->valid);
        put_message(&g, 5, &t);
    }
    add_attributes(&attrs, a);
    add_op(&g, "Attention",
           a->past ? (a->mask ? "q,k,v,mask,past_k,past_v" : "q,k,v,,past_k,past_v")
                   : (a->valid ? "q,k,v,,,,valid" : (a->mask ? "q,k,v,mask" : "q,k,v")),
           &attrs);
    join_past(past_k, k, a->kv_heads, a->past, SIZE, all_k);
    join_past(past_v, v, a->kv_heads, a->past, VSIZE, all_v);
    for (int i = 0; i < BATCH * a->heads * QUERIES; i++) {
        int head = i / QUERIES % a->heads, batch = i / QUERIES / a->heads;
        int from = batch * a->kv_heads + head / group;
        attend(a, batch, i % QUERIES, q + i * SIZE, all_k + from * keys * SIZE,
               all_v + from * keys * VSIZE, w, y + i * VSIZE);
    }
    Imported m = import_ok(&g, 25);
    snprintf(dims, sizeof dims, "f32[%d,%d,%d,%d]", BATCH, a->heads, QUERIES, VSIZE);
    assert_result(&m, F(0), dims, y);
    imported_free(&m);
}

static const Attention plain = {.heads = 2, .kv_heads = 2, .left = -1, .right = -1};

static void test_plain(void **state) {
    (void)state;
    Attention a = plain;
    assert_attention(&a);
    a.scale = 0.25;
    assert_attention(&a);
    a.scale = -0.5; /* whose root isn't real */
    assert_attention(&a);
    a.softcap = 0.5;
    assert_attention(&a);
}

static void test_shared_heads(void **state) {
    (void)state;
    Attention a = plain;
    a.heads = 4;
    assert_attention(&a);
    a.kv_heads = 1;
    assert_attention(&a);
}

static void test_masks(void **state) {
    (void)state;
    Attention a = plain;
    a.mask = F(0, -1, 2, 0, -INFINITY, 0, 0.5f, 1, 0, -INFINITY, -INFINITY, 3);
    assert_attention(&a);
    a.causal = true;
    assert_attention(&a);
    a.softcap = 0.5; /* before the mask: what is hidden stays so */
    assert_attention(&a);
    a = plain; /* a query that sees nothing gives zeros */
    a.mask = F(0, 0, 0, 0, -INFINITY, -INFINITY, -INFINITY, -INFINITY, 0, 0, 0, 0);
    assert_attention(&a);
}

static void test_windows(void **state) {
    (void)state;
    Attention a = plain;
    a.left = 1;
    assert_attention(&a);
    a.right = 0;
    assert_attention(&a);
    a.left = 0;
    a.right = -1;
    a.causal = true;
    assert_attention(&a);
}

static void test_past(void **state) {
    (void)state;
    Attention a = plain;
    a.past = 2;
    assert_attention(&a);
    a.causal = true;
    a.kv_heads = 1;
    assert_attention(&a);
    a.left = 2;
    assert_attention(&a);
}

static void test_keys_that_count(void **state) {
    (void)state;
    const int64_t valid[] = {4, 3};
    Attention a = plain;
    a.valid = valid;
    assert_attention(&a);
    a.causal = true;
    assert_attention(&a);
}

/* A bool mask of fewer keys hides the others. */
static void test_bool_masks(void **state) {
    (void)state;
    Buf g = with_x("1,1,1,1");
    add_floats(&g, "k", "1,1,3,1", F(1, 1, 1), 3);
    add_floats(&g, "v", "1,1,3,1", F(3, 5, 100), 3);
    Buf mask = raw_tensor("mask", ONNX_BOOL, "1,2", "\1\1", 2);
    put_message(&g, 5, &mask);
    add_op(&g, "Attention", "x,k,v,mask", NULL);
    Imported m = import_ok(&g, 23);
    assert_result(&m, F(1), "f32[1,1,1,1]", D(4));
    imported_free(&m);
}

/* Heads beside each other in inputs of 3 dimensions. */
static void test_heads_in_rows(void **state) {
    (void)state;
    Buf g = with_x("1,1,2"), attrs = {0};
    add_floats(&g, "k", "1,2,2", F(0, 0, 1, 2), 4);
    add_floats(&g, "v", "1,2,2", F(1, 10, 3, 30), 4);
    with_int(&attrs, "q_num_heads", 2);
    with_int(&attrs, "kv_num_heads", 2);
    add_op(&g, "Attention", "x,k,v", &attrs);
    double e = exp(1), f = exp(4);
    Imported m = import_ok(&g, 23);
    assert_result(&m, F(1, 2), "f32[1,1,2]", D((1 + 3 * e) / (1 + e), (10 + 30 * f) / (1 + f)));
    imported_free(&m);
}

/* Outputs 1 to 3: keys and values with the past, and a stage of the scores. */
static void assert_stage(int mode, const double *want) {
    Buf g = with_x("1,1,1,1"), attrs = {0};
    add_floats(&g, "k", "1,1,2,1", F(1, 2), 2);
    add_floats(&g, "mask", "1,2", F(0, 1), 2);
    with_float(&attrs, "softcap", 2);
    with_int(&attrs, "qk_matmul_output_mode", mode);
    add_node(&g, "Attention", "x,k,k,mask", ",,,y", &attrs);
    add_y(&g);
    Imported m = import_ok(&g, 24);
    assert_result(&m, F(1), "f32[1,1,1,2]", want);
    imported_free(&m);
}

static void test_stages(void **state) {
    (void)state;
    double a = 2 * tanh(0.5), b = 2 * tanh(1), sum = exp(a) + exp(b + 1);
    assert_stage(0, D(1, 2));
    assert_stage(1, D(a, b));
    assert_stage(2, D(a, b + 1));
    assert_stage(3, D(exp(a) / sum, exp(b + 1) / sum));
    Buf g = with_x("1,1,1,1");
    add_floats(&g, "k", "1,1,2,1", F(1, 2), 2);
    add_floats(&g, "p", "1,1,1,1", F(7), 1);
    add_node(&g, "Attention", "x,k,k,,p,p", ",present,y", NULL);
    add_y(&g);
    Imported m = import_ok(&g, 24);
    assert_result(&m, F(1), "f32[1,1,3,1]", D(7, 1, 2));
    imported_free(&m);
}

static void assert_attention_fails(const char *k_dims, const char *inputs, const char *attr,
                                   int64_t value, const char *text) {
    Buf g = with_x("1,2,3,4"), attrs = {0};
    add_input(&g, "k", ONNX_FLOAT, k_dims);
    add_input(&g, "n", ONNX_INT64, "2");
    if (attr)
        with_int(&attrs, attr, value);
    add_op(&g, "Attention", inputs, &attrs);
    assert_fails(&g, 25, EXIT_BAD_MODEL, text);
}

static void test_bad_attentions(void **state) {
    (void)state;
    assert_attention_fails("1,2,5,3", "x,k,k", NULL, 0, "do not fit each other");
    assert_attention_fails("1,3,5,4", "x,k,k", NULL, 0, "do not fit each other");
    assert_attention_fails("2,5", "x,k,k", NULL, 0, "must have 3 dimensions or 4");
    assert_attention_fails("1,2,5,4", "x,k,k,,k", NULL, 0, "belong together");
    assert_attention_fails("1,2,5,4", "x,k,k,,,,n", NULL, 0, "one int64 for each of the batch");
    assert_attention_fails("1,2,5,4", "x,k,k", "qk_matmul_output_mode", 4, "out of range");
    assert_attention_fails("1,2,5,4", "x,k,k", "left_window_size", -2, "out of range");
    assert_attention_fails("1,2,5,4", "x,k,k", "softmax_precision", 7, "which is no float");
    Buf g = with_x("1,1,3"), attrs = {0};
    with_int(&attrs, "q_num_heads", 2);
    with_int(&attrs, "kv_num_heads", 2);
    add_op(&g, "Attention", "x,x,x", &attrs);
    assert_fails(&g, 23, EXIT_BAD_MODEL, "3 numbers are not 2 heads");
}

/* ---- RotaryEmbedding ------------------------------------------------------------------------- */

/* One head of 4 numbers at positions 1 and 0, with the angles of a cache. */
static Buf rotary(Buf *attrs) {
    Buf g = with_x("1,1,2,4");
    add_floats(&g, "cos", "2,2", F(1, 1, 0, 0.6f), 4);
    add_floats(&g, "sin", "2,2", F(0, 0, 1, 0.8f), 4);
    const int64_t ids[] = {1, 0};
    Buf t = raw_tensor("ids", ONNX_INT64, "1,2", ids, sizeof ids);
    put_message(&g, 5, &t);
    add_op(&g, "RotaryEmbedding", "x,cos,sin,ids", attrs);
    return g;
}

static void test_rotary_embedding(void **state) {
    (void)state;
    const float *x = F(1, 2, 3, 4, 5, 6, 7, 8);
    Buf attrs = {0}, g = rotary(NULL); /* 1 + 3i by i, 2 + 4i by 0.6 + 0.8i */
    Imported m = import_ok(&g, 23);
    assert_result(&m, x, "f32[1,1,2,4]", D(-3, -2, 1, 4, 5, 6, 7, 8));
    imported_free(&m);
    with_int(&attrs, "interleaved", 1); /* 1 + 2i by i, 3 + 4i by 0.6 + 0.8i */
    g = rotary(&attrs);
    m = import_ok(&g, 23);
    assert_result(&m, x, "f32[1,1,2,4]", D(-2, 1, -1.4, 4.8, 5, 6, 7, 8));
    imported_free(&m);
    with_int(&attrs, "rotary_embedding_dim", 3);
    g = rotary(&attrs);
    assert_fails(&g, 23, EXIT_BAD_MODEL, "3 numbers of 4 can't be rotated");
    with_int(&attrs, "rotary_embedding_dim", 2);
    g = rotary(&attrs);
    assert_fails(&g, 23, EXIT_BAD_MODEL, "its caches do not have 1 numbers for each element");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_shared_heads),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_past),
        cmocka_unit_test(test_keys_that_count),
        cmocka_unit_test(test_bool_masks),
        cmocka_unit_test(test_heads_in_rows),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_bad_attentions),
        cmocka_unit_test(test_rotary_embedding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
