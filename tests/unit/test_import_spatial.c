/* Unit tests of the importers of operators that work on planes and channels: small models,
 * evaluated by the graph interpreter. Expected values are worked out by hand from the operators'
 * definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

/* ---- pooling --------------------------------------------------------------------------------- */

static Buf pool_model(const char *op, const char *x, Buf *attrs) {
    Buf g = with_x(x);
    add_op(&g, op, "x", attrs);
    return g;
}

static void test_max_pool(void **state) {
    (void)state;
    Buf attrs = {0}, g;
    with_ints(&attrs, "kernel_shape", "2,2");
    with_ints(&attrs, "strides", "1,2");
    with_ints(&attrs, "pads", "1,0,0,1");
    with_int(&attrs, "storage_order", 1);
    g = pool_model("MaxPool", "1,1,2,3", &attrs);
    assert_model(&g, 8, "max_pool", F(-1, -2, -3, -4, 5, 6), "f32[1,1,2,2]", D(-1, -3, 5, 6));
    with_ints(&attrs, "kernel_shape", "2,2");
    with_string(&attrs, "auto_pad", "SAME_UPPER");
    with_ints(&attrs, "dilations", "1,1");
    g = pool_model("MaxPool", "1,1,2,2", &attrs);
    assert_model(&g, 11, "max_pool", F(1, 4, 3, 2), "f32[1,1,2,2]", D(4, 4, 3, 2));
    g = pool_model("GlobalMaxPool", "1,2,1,2", NULL);
    assert_model(&g, 13, "max_pool", F(1, 4, 3, 2), "f32[1,2,1,1]", D(4, 3));
}

/* The last window must begin in the input or in front of it. */
static void test_ceil_mode(void **state) {
    (void)state;
    Buf attrs = {0}, g;
    with_ints(&attrs, "kernel_shape", "1,2");
    with_ints(&attrs, "strides", "1,2");
    with_int(&attrs, "ceil_mode", 1);
    g = pool_model("MaxPool", "1,1,1,3", &attrs);
    assert_model(&g, 10, "max_pool", F(-1, -2, -3), "f32[1,1,1,2]", D(-1, -3));
    with_ints(&attrs, "kernel_shape", "1,1");
    with_ints(&attrs, "strides", "1,2");
    with_int(&attrs, "ceil_mode", 1);
    g = pool_model("MaxPool", "1,1,1,2", &attrs);
    assert_model(&g, 10, "max_pool", F(-1, -2), "f32[1,1,1,1]", D(-1));
}

static void test_average_pool(void **state) {
    (void)state;
    static const struct {
        int include;
        double want[4];
    } cases[] = {{0, {1.5, 3, 4.5, 6}}, {1, {0.75, 1.5, 4.5, 6}}};
    for (int i = 0; i < 2; i++) {
        Buf attrs = {0};
        with_ints(&attrs, "kernel_shape", "2,2");
        with_ints(&attrs, "strides", "2,2");
        with_ints(&attrs, "pads", "1,0,0,0");
        with_int(&attrs, "ceil_mode", 1);
        with_int(&attrs, "count_include_pad", cases[i].include);
        Buf g = pool_model("AveragePool", "1,1,2,3", &attrs);
        assert_model(&g, 19, "avg_pool", F(1, 2, 3, 4, 5, 6), "f32[1,1,2,2]", cases[i].want);
    }
}

static void test_bad_pools(void **state) {
    (void)state;
    Buf attrs = {0}, g;
    g = pool_model("MaxPool", "1,1,2,2", NULL);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "\"kernel_shape\" is missing");
    with_ints(&attrs, "kernel_shape", "3,3");
    with_int(&attrs, "ceil_mode", 1);
    g = pool_model("AveragePool", "1,1,2,2", &attrs);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "larger than the padded input");
    with_ints(&attrs, "kernel_shape", "1,1");
    g = with_x("1,1,2,2");
    add_node(&g, "MaxPool", "x", "y,i", &attrs);
    add_y(&g);
    assert_fails(&g, 11, EXIT_UNSUPPORTED, "indices");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_max_pool),
        cmocka_unit_test(test_ceil_mode),
        cmocka_unit_test(test_average_pool),
        cmocka_unit_test(test_bad_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
