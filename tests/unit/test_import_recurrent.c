/* Unit tests of the importers of RNN, GRU, LSTM and Einsum: small models, evaluated by the graph
 * interpreter. Expected values are worked out by hand from the operators' definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

static void assert_values(Buf *g, int opset, const float *v, const char *type, const double *want) {
    Imported m = import_ok(g, opset);
    assert_result(&m, v, type, want);
    imported_free(&m);
}

/* ---- RNN: y = 2 x + 3 h + 1.5, so that each step can be followed ----------------------------- */

static void with_affine(Buf *attrs) {
    enum { STRINGS = 8 };
    Buf a = attr_begin("activations", STRINGS);
    put_string(&a, 9, "Affine");
    put_message(attrs, 5, &a);
}

static Buf rnn_graph(const char *x) {
    Buf g = with_x(x);
    add_floats(&g, "w", "1,1,1", F(2), 1);
    add_floats(&g, "r", "1,1,1", F(3), 1);
    add_floats(&g, "b", "1,2", F(1, 0.5f), 2);
    add_floats(&g, "h", "1,1,1", F(1), 1);
    return g;
}

static void test_rnn(void **state) {
    (void)state;
    Buf attrs = {0}, g = rnn_graph("2,1,1");
    with_affine(&attrs);
    add_op(&g, "RNN", "x,w,r,b", &attrs);
    assert_values(&g, 14, F(1, 2), "f32[2,1,1,1]", D(3.5, 16));
    g = rnn_graph("2,1,1");
    with_affine(&attrs);
    add_node(&g, "RNN", "x,w,r,b,,h", ",y", &attrs);
    add_y(&g);
    assert_values(&g, 14, F(1, 2), "f32[1,1,1]", D(25)); /* 4 + 3 * 6.5 + 1.5 */
    g = rnn_graph("2,1,1");
    with_affine(&attrs);
    with_string(&attrs, "direction", "reverse");
    add_op(&g, "RNN", "x,w,r,b", &attrs);
    assert_values(&g, 14, F(1, 2), "f32[2,1,1,1]", D(20, 5.5));
    g = rnn_graph("1,2,1");
    with_affine(&attrs);
    with_int(&attrs, "layout", 1);
    with_float(&attrs, "clip", 4);
    add_op(&g, "RNN", "x,w,r,b", &attrs);
    assert_values(&g, 14, F(1, 2), "f32[1,2,1,1]", D(3.5, 4));
}

/* The first sequence is over after one step: zeros follow, and the last state stays. */
static void test_lengths(void **state) {
    (void)state;
    const int32_t lengths[] = {1, 2};
    for (int last = 0; last < 2; last++) {
        Buf attrs = {0}, g = rnn_graph("2,2,1");
        Buf t = raw_tensor("n", ONNX_INT32, "2", lengths, sizeof lengths);
        put_message(&g, 5, &t);
        with_affine(&attrs);
        add_node(&g, "RNN", "x,w,r,b,n", last ? ",y" : "y,", &attrs);
        add_y(&g);
        if (last)
            assert_values(&g, 14, F(1, 1, 7, 2), "f32[1,2,1]", D(3.5, 16));
        else
            assert_values(&g, 14, F(1, 1, 7, 2), "f32[2,1,2,1]", D(3.5, 3.5, 0, 16));
    }
}

static void test_bad_rnns(void **state) {
    (void)state;
    Buf attrs = {0}, g = rnn_graph("2,1,3");
    add_op(&g, "RNN", "x,w,r", NULL);
    assert_fails(&g, 14, EXIT_BAD_MODEL, "its W must be f32[1,1,3]");
    g = rnn_graph("1000,1,1");
    add_op(&g, "RNN", "x,w,r", NULL);
    assert_fails(&g, 14, EXIT_UNSUPPORTED, "more than 512 steps");
    g = rnn_graph("1,1,1");
    with_string(&attrs, "direction", "up");
    add_op(&g, "RNN", "x,w,r", &attrs);
    assert_fails(&g, 14, EXIT_BAD_MODEL, "its direction is \"up\"");
    g = rnn_graph("1,1,1");
    with_int(&attrs, "hidden_size", 3);
    add_op(&g, "RNN", "x,w,r", &attrs);
    assert_fails(&g, 14, EXIT_BAD_MODEL, "hidden_size");
}

/* ---- GRU, LSTM ------------------------------------------------------------------------------- */

/* z = r = 1/2; h' = tanh(x + 2 (r h) + 1), or with the product before the reset. */
static void test_gru(void **state) {
    (void)state;
    for (int after = 0; after < 2; after++) {
        Buf attrs = {0}, g = with_x("1,1,1");
        add_floats(&g, "w", "1,3,1", F(0, 0, 1), 3);
        add_floats(&g, "r", "1,3,1", F(0, 0, 2), 3);
        add_floats(&g, "b", "1,6", F(0, 0, 0, 0, 0, 1), 6);
        add_floats(&g, "h", "1,1,1", F(0.25f), 1);
        with_int(&attrs, "linear_before_reset", after);
        add_op(&g, "GRU", "x,w,r,b,,h", &attrs);
        double candidate = tanh(after ? -1 + 0.5 * (0.5 + 1) : -1 + 0.25 + 1);
        assert_values(&g, 14, F(-1), "f32[1,1,1,1]", D(0.5 * candidate + 0.125));
    }
}

static double logistic(double x) {
    return 1 / (1 + exp(-x));
}

static void test_lstm(void **state) {
    (void)state;
    Buf g = with_x("1,1,1");
    add_floats(&g, "w", "1,4,1", F(1, 2, 3, 4), 4); /* i, o, f, c */
    add_floats(&g, "r", "1,4,1", F(0, 0, 0, 0), 4);
    add_floats(&g, "c", "1,1,1", F(0.5f), 1);
    add_floats(&g, "p", "1,3", F(1, 2, 3), 3); /* i, o, f */
    add_op(&g, "LSTM", "x,w,r,,,,c,p", NULL);
    double x = 0.25, c = 0.5;
    double cell = logistic(3 * x + 3 * c) * c + logistic(x + c) * tanh(4 * x);
    double want = logistic(2 * x + 2 * cell) * tanh(cell);
    assert_values(&g, 14, F(0.25f), "f32[1,1,1,1]", &want);
}

/* ---- Einsum ---------------------------------------------------------------------------------- */

/* Of x [2,2] and the constant w of some dimensions, 1, 2, 3, ...; NULL: of x alone. */
static Buf einsum(const char *equation, const char *w, size_t n) {
    Buf attrs = {0}, g = with_x("2,2");
    with_string(&attrs, "equation", equation);
    if (w)
        add_floats(&g, "w", w, F(1, 2, 3, 4), n);
    add_op(&g, "Einsum", w ? "x,w" : "x", &attrs);
    return g;
}

static void assert_einsum(const char *equation, const char *w, size_t n, const char *type,
                          const double *want) {
    Buf g = einsum(equation, w, n);
    assert_values(&g, 12, F(1, 2, 3, 4), type, want);
}

static void test_einsum(void **state) {
    (void)state;
    assert_einsum("ij->ji", NULL, 0, "f32[2,2]", D(1, 3, 2, 4));
    assert_einsum("ba", NULL, 0, "f32[2,2]", D(1, 3, 2, 4)); /* in alphabetical order */
    assert_einsum(" i i -> i", NULL, 0, "f32[2]", D(1, 4));
    assert_einsum("ii", NULL, 0, "f32[]", D(5));
    assert_einsum("ij->", NULL, 0, "f32[]", D(10));
    assert_einsum("ij,jk->ik", "2,2", 4, "f32[2,2]", D(7, 10, 15, 22));
    assert_einsum("ij,kj->ki", "2,2", 4, "f32[2,2]", D(5, 11, 11, 25));
    assert_einsum("ij,k->ijk", "2", 2, "f32[2,2,2]", D(1, 2, 2, 4, 3, 6, 4, 8));
    assert_einsum("ij,ij->i", "2,2", 4, "f32[2]", D(5, 25));
    assert_einsum("i...,...->...i", "2", 2, "f32[2,2]", D(1, 3, 4, 8));
    assert_einsum("ij,k->i", "2", 2, "f32[2]", D(9, 21)); /* each is summed alone */
}

static void test_bad_einsums(void **state) {
    (void)state;
    Buf g = einsum("ij,jk->ik", "3,1", 3);
    assert_fails(&g, 12, EXIT_BAD_MODEL, "2 in one operand and 3 in another");
    g = einsum("ij->ik", NULL, 0);
    assert_fails(&g, 12, EXIT_BAD_MODEL, "in no operand");
    g = einsum("ijk->i", NULL, 0);
    assert_fails(&g, 12, EXIT_BAD_MODEL, "2 dimensions, and its term 3");
    g = einsum("ij,jk", NULL, 0);
    assert_fails(&g, 12, EXIT_BAD_MODEL, "another number of terms");
    g = einsum("i%", NULL, 0);
    assert_fails(&g, 12, EXIT_BAD_MODEL, "unexpected character");
    g = einsum("ij-i", NULL, 0);
    assert_fails(&g, 12, EXIT_BAD_MODEL, "another number of terms");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rnn),         cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_bad_rnns),    cmocka_unit_test(test_gru),
        cmocka_unit_test(test_lstm),        cmocka_unit_test(test_einsum),
        cmocka_unit_test(test_bad_einsums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
