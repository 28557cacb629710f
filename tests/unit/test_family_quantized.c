/* test_family_quantized.c: what is left of a graph without what rounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "passes/family.h"

/* The ops that are left, "conv2d relu". */
static void assert_left(const char *text, bool quantized, const char *want) {
    Diag d = {0};
    Buf b = {0};
    Graph *g = graph_parse(text, strlen(text), "test", NULL, &d);
    if (!g)
        diag_print(&d, stderr, false);
    assert_non_null(g);
    assert_int_equal(network_without_rounding(g), quantized);
    assert_true(graph_verify(g, "test", &d));
    FOR_EACH_NODE(g, n) {
        buf_printf(&b, "%s%s", n == g->first ? "" : " ", op_info(n->op)->name);
    }
    assert_string_equal(buf_str(&b), want);
    buf_free(&b);
    graph_free(g);
    diag_free(&d);
}

#define CONV "  const @w : f32[2,3,1,1] = [1, 2, 3, 4, 5, 6]\n"

/* Saturation at 0 stands for an activation behind a convolution, not behind another one. */
static void test_static(void **state) {
    (void)state;
    assert_left("graph @g(%x: f32[1,3,2,2]) -> f32[1,2,2,2] {\n" CONV
                "  const @half : f32[] = [0.5]\n"
                "  %a = fake_quant %x {divide=0.5, times=0.5, min=0} : f32[1,3,2,2]\n"
                "  %b = conv2d %a, @w {exact=true} : f32[1,2,2,2]\n"
                "  %c = mul %b, @half : f32[1,2,2,2]\n"
                "  %d = fake_quant %c {min=0} : f32[1,2,2,2]\n"
                "  %e = sigmoid %d : f32[1,2,2,2]\n"
                "  %f = fake_quant %e {min=0} : f32[1,2,2,2]\n"
                "  %h = fake_quant %f {min=-128, max=127} : f32[1,2,2,2]\n"
                "  return %h\n}\n",
                true, "conv2d mul relu sigmoid");
}

/* A scale that is measured at run time. */
static void test_dynamic(void **state) {
    (void)state;
    assert_left("graph @g(%x: f32[1,3,2,2]) -> f32[1,2,2,2] {\n" CONV "  const @one : f32[] = [1]\n"
                "  %m = reduce_max %x {axes=[0, 1, 2, 3], keepdims=false} : f32[]\n"
                "  %q = quantize %x, %m : u8[1,3,2,2]\n"
                "  %a = dequantize %q, @one : f32[1,3,2,2]\n"
                "  %b = conv2d %a, @w {exact=true} : f32[1,2,2,2]\n"
                "  %i = cast %b {to=i32} : i32[1,2,2,2]\n"
                "  %f = cast %i {to=f32} : f32[1,2,2,2]\n"
                "  %y = mul %f, %m : f32[1,2,2,2]\n"
                "  return %y\n}\n",
                true, "conv2d");
}

static void test_floats(void **state) {
    (void)state;
    assert_left("graph @g(%x: f32[1,3,2,2], %s: f32[]) -> f32[1,2,2,2] {\n" CONV
                "  %b = conv2d %x, @w : f32[1,2,2,2]\n"
                "  %y = mul %b, %s : f32[1,2,2,2]\n"
                "  return %y\n}\n",
                false, "conv2d mul");
}

/* Weights of 4 bits in bytes are parameters, integers that stay some are none. */
static void test_clipped_weights_are_parameters(void **state) {
    static const char text[] =
        "graph @g() -> (f32[4], i8[3]) {\n"
        "  const @w : i8[4] = [-7, 7, 1, -2]\n  const @i : i8[3] = [1, 2, 3]\n"
        "  const @s : f32[] = [0.5]\n"
        "  %c = clip @w {min=-7, max=7} : i8[4]\n"
        "  %d = dequantize %c, @s : f32[4]\n"
        "  %e = clip @i {min=-7, max=7} : i8[3]\n"
        "  return %d, %e\n}\n";
    Diag d = {0};
    (void)state;
    Graph *g = graph_parse(text, strlen(text), "test", NULL, &d);
    assert_non_null(g);
    assert_int_equal(graph_parameters(g), 4);
    graph_free(g);
    diag_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_static),
        cmocka_unit_test(test_clipped_weights_are_parameters),
        cmocka_unit_test(test_dynamic),
        cmocka_unit_test(test_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
