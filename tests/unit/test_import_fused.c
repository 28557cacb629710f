/* test_import_fused.c: what ONNX Runtime's optimiser makes of several operators is taken apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

#define DOMAIN "com.microsoft"

/* y = op(inputs) of the optimiser's domain; consumes attrs. */
static void add_fused(Buf *g, const char *op, const char *inputs, Buf *attrs) {
    put_string(attrs, 7, DOMAIN);
    add_op(g, op, inputs, attrs);
}

static Imported import_fused(Buf *g) {
    Buf model = model_of(g, 17), import = {0};
    put_string(&import, 1, DOMAIN);
    put_int(&import, 2, 1);
    put_message(&model, 8, &import);
    return import_bytes(&model, NULL);
}

static void assert_fused(Buf *g, const char *ops, const float *x, const char *type,
                         const double *want) {
    Imported m = import_fused(g);
    if (!m.g)
        show(&m);
    assert_non_null(m.g);
    assert_ops(&m, ops);
    assert_result(&m, x, type, want);
    imported_free(&m);
}

static void assert_refused(Buf *g, int exit_code, const char *text) {
    Imported m = import_fused(g);
    assert_complaint(&m, exit_code, text);
    imported_free(&m);
}

/* x[1,1,1,3] times 2, plus 1 */
static Buf conv_model(void) {
    Buf g = with_x("1,1,1,3");
    add_floats(&g, "w", "1,1,1,1", F(2), 1);
    add_floats(&g, "b", "1", F(1), 1);
    return g;
}

static void test_fused_conv(void **state) {
    (void)state;
    const float *x = F(-2, 0, 3);
    Buf attrs = {0}, g = conv_model();
    add_fused(&g, "FusedConv", "x,w,b", &attrs);
    assert_fused(&g, "conv2d", x, "f32[1,1,1,3]", D(-3, 1, 7));
    g = conv_model();
    with_string(&attrs, "activation", "Relu");
    add_fused(&g, "FusedConv", "x,w,b", &attrs);
    assert_fused(&g, "conv2d relu", x, "f32[1,1,1,3]", D(0, 1, 7));
    g = conv_model();
    with_string(&attrs, "activation", "Clip");
    with_floats(&attrs, "activation_params", F(-1, 6), 2);
    add_fused(&g, "FusedConv", "x,w,b,x", &attrs); /* the sum comes before the activation */
    assert_fused(&g, "conv2d add clip", x, "f32[1,1,1,3]", D(-1, 1, 6));
    g = conv_model();
    with_string(&attrs, "activation", "HardSwish");
    add_fused(&g, "FusedConv", "x,w,b", &attrs);
    assert_fused(&g, "conv2d hard_swish", x, "f32[1,1,1,3]", D(0, 2.0 / 3, 7));
    g = conv_model();
    with_string(&attrs, "activation", "LeakyRelu");
    with_floats(&attrs, "activation_params", F(0.5), 1);
    add_fused(&g, "FusedConv", "x,w,b", &attrs);
    assert_fused(&g, "conv2d max min mul add", x, "f32[1,1,1,3]", D(-1.5, 1, 7));
}

/* x[1,1,2,2]: two pixels of two channels. */
static void test_channels_last(void **state) {
    (void)state;
    const float *x = F(1, 10, 100, 1000);
    Buf attrs = {0}, g = with_x("1,1,2,2");
    add_floats(&g, "w", "2,1,2,2", F(1, 2, 3, 4, 1, 0, 0, 0), 8);
    add_floats(&g, "b", "2", F(0.5, 0), 2);
    add_fused(&g, "NhwcConv", "x,w,b", &attrs);
    assert_fused(&g, "transpose transpose conv2d transpose", x, "f32[1,1,1,2]", D(4321.5, 1));
    g = with_x("1,1,2,2");
    add_floats(&g, "w", "1,2,1,1", F(1, 2), 2);
    add_floats(&g, "z", "1,1,2,1", F(-30, 1), 2);
    with_string(&attrs, "activation", "Relu");
    add_fused(&g, "NhwcFusedConv", "x,w,,z", &attrs);
    assert_fused(&g, "transpose conv2d transpose add relu", x, "f32[1,1,2,1]", D(0, 2101));
    g = with_x("1,1,2,2");
    add_floats(&g, "w", "2,2,1", F(1, 2, 3, 4), 4);
    add_fused(&g, "NhwcConv", "x,w", &attrs);
    assert_refused(&g, EXIT_BAD_MODEL, "its weights have 3 dimensions, and its input 4");
}

static void test_bad_fused_convs(void **state) {
    (void)state;
    Buf attrs = {0}, g = conv_model();
    with_string(&attrs, "activation", "Clip");
    add_fused(&g, "FusedConv", "x,w,b", &attrs);
    assert_refused(&g, EXIT_BAD_MODEL, "activation Clip needs 2 parameters, and has 0");
    g = conv_model();
    with_string(&attrs, "activation", "Sine");
    add_fused(&g, "FusedConv", "x,w,b", &attrs);
    assert_refused(&g, EXIT_UNSUPPORTED, "activation \"Sine\" is not supported");
    g = conv_model();
    add_fused(&g, "FusedConv", "x,w,b,b", &attrs);
    assert_refused(&g, EXIT_BAD_MODEL, "what it adds must have the shape of the output");
}

static void test_fused_gemm(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,2");
    add_floats(&g, "w", "2,2", F(1, 2, 3, 4), 4);
    with_string(&attrs, "activation", "HardSigmoid");
    with_float(&attrs, "activation_alpha", 0.25f);
    with_float(&attrs, "activation_beta", 0.5f);
    add_fused(&g, "FusedGemm", "x,w", &attrs);
    assert_fused(&g, "dense mul add clip", F(1, -1), "f32[1,2]", D(0, 0));
    g = with_x("1,2");
    add_floats(&g, "w", "2,2", F(1, 2, 3, 4), 4);
    add_fused(&g, "FusedGemm", "x,w", &attrs);
    assert_fused(&g, "dense", F(1, -1), "f32[1,2]", D(-2, -2));
}

static void test_quick_gelu(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2");
    with_float(&attrs, "alpha", 1);
    add_fused(&g, "QuickGelu", "x", &attrs);
    assert_fused(&g, "silu", F(0, 1), "f32[2]", D(0, 1 / (1 + exp(-1))));
    g = with_x("2");
    add_fused(&g, "QuickGelu", "x", &attrs);
    assert_fused(&g, "mul sigmoid mul", F(0, 1), "f32[2]", D(0, 1 / (1 + exp(-1.702))));
}

static void test_gelu_of_a_sum(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2");
    add_floats(&g, "b", "2", F(1, -2), 2);
    add_fused(&g, "BiasGelu", "x,b", &attrs);
    assert_fused(&g, "add mul erf mul add mul", F(2, 0), "f32[2]", D(2.99595030588, -0.0455002639));
    g = with_x("1");
    add_fused(&g, "FastGelu", "x", &attrs);
    assert_fused(&g, "mul mul mul add mul tanh mul add mul", F(1), "f32[1]", D(0.8411919906));
}

/* Before ONNX had them, they were ONNX Runtime's, in ONNX's domain. */
static void test_older_norms(void **state) {
    (void)state;
    Buf g = with_x("1,2");
    add_floats(&g, "s", "2", F(2, 3), 2);
    add_op(&g, "LayerNormalization", "x,s", NULL);
    Imported m = import_ok(&g, 13);
    assert_result(&m, F(-1000, 1000), "f32[1,2]", D(-2, 3));
    imported_free(&m);
    g = with_x("1,2");
    add_floats(&g, "s", "2", F(2, 3), 2);
    add_op(&g, "SimplifiedLayerNormalization", "x,s", NULL);
    m = import_ok(&g, 13);
    assert_result(&m, F(-1000, 1000), "f32[1,2]", D(-2, 3));
    imported_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fused_conv),      cmocka_unit_test(test_channels_last),
        cmocka_unit_test(test_bad_fused_convs), cmocka_unit_test(test_fused_gemm),
        cmocka_unit_test(test_quick_gelu),      cmocka_unit_test(test_gelu_of_a_sum),
        cmocka_unit_test(test_older_norms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
