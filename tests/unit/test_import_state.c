/* Unit tests of the importers of operators with a state, evaluated by the graph interpreter.
 * Expected values are worked out by hand from the operators' definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

enum { OPSET = 27 };

static void assert_y(Buf *g, const float *x, const char *type, const double *want) {
    add_y(g);
    Imported m = import_ok(g, OPSET);
    assert_result(&m, x, type, want);
    imported_free(&m);
}

/* ---- CausalConvWithState --------------------------------------------------------------------- */

/* x [1,1,3] by a kernel of 10 and 1, with 5 before it or nothing. */
static void assert_conv(const char *inputs, const char *outputs, const char *type,
                        const double *want) {
    Buf g = with_x("1,1,3");
    add_floats(&g, "w", "1,1,2", F(10, 1), 2);
    add_floats(&g, "b", "1", F(100), 1);
    add_floats(&g, "past", "1,1,1", F(5), 1);
    add_node(&g, "CausalConvWithState", inputs, outputs, NULL);
    assert_y(&g, F(1, 2, 3), type, want);
}

static void test_causal_conv(void **state) {
    (void)state;
    assert_conv("x,w", "y", "f32[1,1,3]", D(1, 12, 23));
    assert_conv("x,w,b,past", "y", "f32[1,1,3]", D(151, 112, 123));
    assert_conv("x,w,,past", "z,y", "f32[1,1,1]", D(3));
    Buf g = with_x("1,2,1"), attrs = {0};
    add_floats(&g, "w", "2,1,1", F(0, 2), 2);
    with_string(&attrs, "activation", "swish");
    add_node(&g, "CausalConvWithState", "x,w", "y", &attrs);
    assert_y(&g, F(7, 1), "f32[1,2,1]", D(0, 2 / (1 + exp(-2))));
}

static void test_bad_causal_convs(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,2,3");
    add_floats(&g, "w", "1,1,2", F(1, 1), 2);
    add_op(&g, "CausalConvWithState", "x,w", NULL);
    assert_fails(&g, OPSET, EXIT_BAD_MODEL, "don't fit its input");
    g = with_x("1,1,3");
    add_floats(&g, "w", "1,1,2", F(1, 1), 2);
    with_string(&attrs, "activation", "relu");
    add_op(&g, "CausalConvWithState", "x,w", &attrs);
    assert_fails(&g, OPSET, EXIT_BAD_MODEL, "its activation is \"relu\"");
}

/* ---- TensorScatter --------------------------------------------------------------------------- */

static Buf scatter_graph(const char *places, const char *mode) {
    Buf g = with_x("2,2,1"), attrs = {0};
    add_floats(&g, "cache", "2,3,1", F(1, 2, 3, 4, 5, 6), 6);
    if (places)
        add_ints(&g, "at", places);
    with_string(&attrs, "mode", mode);
    add_node(&g, "TensorScatter", places ? "cache,x,at" : "cache,x", "y", &attrs);
    return g;
}

static void test_tensor_scatter(void **state) {
    (void)state;
    const float *x = F(10, 20, 30, 40);
    Buf g = scatter_graph(NULL, "linear");
    assert_y(&g, x, "f32[2,3,1]", D(10, 20, 3, 30, 40, 6));
    g = scatter_graph("1,0", "linear");
    assert_y(&g, x, "f32[2,3,1]", D(1, 10, 20, 30, 40, 6));
    g = scatter_graph("2,4", "circular");
    assert_y(&g, x, "f32[2,3,1]", D(20, 2, 10, 4, 30, 40));
    g = scatter_graph(NULL, "ring");
    add_y(&g);
    assert_fails(&g, OPSET, EXIT_BAD_MODEL, "its mode is \"ring\"");
    g = scatter_graph("1,0,0", "linear");
    add_y(&g);
    assert_fails(&g, OPSET, EXIT_BAD_MODEL, "don't fit its cache");
}

/* ---- LinearAttention ------------------------------------------------------------------------- */

/* Two steps of one head whose state is one number, 1 at first; the queries are x, and `outputs` has
 * y in it. */
static Buf attention(const char *rule, const char *inputs, const char *outputs, int queries) {
    Buf g = with_x(queries == 1 ? "1,2,1" : "1,2,2"), attrs = {0};
    add_floats(&g, "k", "1,2,1", F(2, 1), 2);
    add_floats(&g, "v", "1,2,1", F(3, 1), 2);
    add_floats(&g, "past", "1,1,1,1", F(1), 1);
    add_floats(&g, "decay", "1,2,1", F(-0.69314718f, 0), 2);
    add_floats(&g, "beta", "1,2,1", F(0.5f, 1), 2);
    with_string(&attrs, "update_rule", rule);
    with_int(&attrs, "q_num_heads", queries);
    with_int(&attrs, "kv_num_heads", 1);
    add_node(&g, "LinearAttention", inputs, outputs, &attrs);
    return g;
}

static void test_linear_attention(void **state) {
    (void)state;
    const float *q = F(1, 2);
    Buf g = attention("linear", "x,k,v,past", "y", 1); /* 1 + 6 = 7, 7 + 1 = 8 */
    assert_y(&g, q, "f32[1,2,1]", D(7, 16));
    g = attention("gated", "x,k,v,past,decay", "y", 1); /* 0.5 + 6, + 1 */
    assert_y(&g, q, "f32[1,2,1]", D(6.5, 15));
    g = attention("delta", "x,k,v,past,,beta", "y", 1); /* 1 + 2 * 0.5 * (3 - 2), + 1 - 2 */
    assert_y(&g, q, "f32[1,2,1]", D(2, 2));
    g = attention("gated_delta", "x,k,v,past,decay,beta", "y", 1); /* 0.5 + 2 * 0.5 * (3 - 1) */
    assert_y(&g, q, "f32[1,2,1]", D(2.5, 2));
    g = attention("linear", "x,k,v", "z,y", 1);
    assert_y(&g, q, "f32[1,1,1,1]", D(7));
    g = attention("linear", "x,k,v", "y", 2); /* two queries share the head */
    assert_y(&g, F(1, 2, 3, 4), "f32[1,2,2]", D(6, 12, 21, 28));
}

static void test_bad_linear_attentions(void **state) {
    (void)state;
    Buf g = attention("linear", "x,k,v,past,decay", "y", 1);
    add_y(&g);
    assert_fails(&g, OPSET, EXIT_BAD_MODEL, "decay and beta don't fit");
    g = attention("delta", "x,k,v", "y", 1);
    add_y(&g);
    assert_fails(&g, OPSET, EXIT_BAD_MODEL, "decay and beta don't fit");
    g = attention("square", "x,k,v", "y", 1);
    add_y(&g);
    assert_fails(&g, OPSET, EXIT_BAD_MODEL, "its update_rule is \"square\"");
    g = attention("linear", "x,k,past", "y", 1);
    add_y(&g);
    assert_fails(&g, OPSET, EXIT_BAD_MODEL, "[batch, steps, heads * size]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_causal_conv),           cmocka_unit_test(test_bad_causal_convs),
        cmocka_unit_test(test_tensor_scatter),        cmocka_unit_test(test_linear_attention),
        cmocka_unit_test(test_bad_linear_attentions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
