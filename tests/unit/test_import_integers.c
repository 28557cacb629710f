/* Unit tests of the ONNX importer: operators of integers, and nearest neighbours of them; bounds
 * and padding values that depend on data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

/* y is what `op` makes of `inputs`, in which "i" is x as integers of a type; as floats again. */
static void assert_integers(Buf *g, int opset, int dtype, const char *op, const char *inputs,
                            Buf *attrs, const char *ops, const float *x, const char *type,
                            const double *want) {
    Buf to = {0}, from = {0}, all = {0};
    with_int(&to, "to", dtype);
    add_node(g, "Cast", "x", "i", &to);
    add_node(g, op, inputs, "r", attrs);
    with_int(&from, "to", ONNX_FLOAT);
    add_op(g, "Cast", "r", &from);
    buf_printf(&all, "cast %s cast", ops);
    assert_model(g, opset, buf_str(&all), x, type, want);
    buf_free(&all);
}

static void test_activations(void **state) {
    (void)state;
    Buf g = with_x("3"), attrs = {0};
    assert_integers(&g, 14, ONNX_INT32, "Relu", "i", NULL, "max", F(-5, 0, 7), "f32[3]",
                    D(0, 0, 7));
    g = with_x("3");
    assert_integers(&g, 16, ONNX_INT32, "PRelu", "i,i", NULL, "max min mul add", F(-5, 0, 7),
                    "f32[3]", D(25, 0, 7));
    g = with_x("3");
    with_float(&attrs, "lambd", 2.5f);
    with_float(&attrs, "bias", 0.7f);
    assert_integers(&g, 9, ONNX_INT32, "Shrink", "i", &attrs,
                    "cast less less add sub where where cast", F(-5, 2, 7), "f32[3]", D(-4, 0, 6));
}

static void test_reductions(void **state) {
    (void)state;
    static const struct {
        const char *op, *ops;
        double want;
    } cases[] = {{"ReduceMean", "reduce_sum div", -2}, /* -7 / 3 */
                 {"ReduceL2", "cast mul reduce_sum sqrt cast", 5},
                 {"ReduceLogSumExp", "cast reduce_max clip sub exp reduce_sum log add cast", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf g = with_x("1,3");
        assert_integers(&g, 13, ONNX_INT64, cases[i].op, "i", NULL, cases[i].ops, F(-4, -3, 0),
                        "f32[1,1]", &cases[i].want);
    }
    Buf g = with_x("1,0"); /* a mean of nothing: no division by zero */
    assert_integers(&g, 13, ONNX_INT64, "ReduceMean", "i", NULL, "reduce_sum div", NULL, "f32[1,1]",
                    D(0));
}

static void test_products(void **state) {
    (void)state;
    Buf g = with_x("2,2");
    assert_integers(&g, 13, ONNX_INT64, "MatMul", "i,i", NULL, "reshape reshape mul reduce_sum",
                    F(1, 2, 3, 4), "f32[2,2]", D(7, 10, 15, 22));
    g = with_x("3");
    assert_integers(&g, 13, ONNX_INT32, "MatMul", "i,i", NULL, "mul reduce_sum", F(1, -2, 3),
                    "f32[]", D(14));
    g = with_x("1,2"); /* a row by a vector, and a vector by a matrix */
    add_ints(&g, "v", "10,1");
    assert_integers(&g, 13, ONNX_INT64, "MatMul", "i,v", NULL, "mul reduce_sum", F(3, 4), "f32[1]",
                    D(34));
    g = with_x("2,2");
    add_ints(&g, "v", "10,1");
    assert_integers(&g, 13, ONNX_INT64, "MatMul", "v,i", NULL, "reshape mul reduce_sum",
                    F(1, 2, 3, 4), "f32[2]", D(13, 24));
    g = with_x("1,1");
    Buf to = {0};
    with_int(&to, "to", ONNX_INT64);
    add_node(&g, "Cast", "x", "i", &to);
    add_ints(&g, "v", "1,2,3");
    add_op(&g, "MatMul", "i,v", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "differ in length");
    g = with_x("3000,3000");
    with_int(&to, "to", ONNX_INT64);
    add_node(&g, "Cast", "x", "i", &to);
    add_op(&g, "MatMul", "i,i", NULL);
    assert_fails(&g, 13, EXIT_UNSUPPORTED, "terms at most");
}

/* With two places outside where a region reaches beyond the end. */
static void test_nearest(void **state) {
    (void)state;
    Buf g = with_x("1,1,1,2"), attrs = {0};
    add_floats(&g, "scales", "4", F(1, 1, 1, 2), 4);
    assert_integers(&g, 13, ONNX_UINT8, "Resize", "i,,scales", NULL, "gather identity", F(200, 3),
                    "f32[1,1,1,4]", D(200, 200, 3, 3));
    g = with_x("1,2");
    with_string(&attrs, "coordinate_transformation_mode", "tf_crop_and_resize");
    with_float(&attrs, "extrapolation_value", 9);
    add_floats(&g, "roi", "4", F(0, 0, 1, 3), 4);
    add_floats(&g, "scales", "2", F(1, 2), 2);
    assert_integers(&g, 13, ONNX_INT32, "Resize", "i,roi,scales", &attrs, "gather where identity",
                    F(5, 6), "f32[1,4]", D(5, 6, 9, 9));
    g = with_x("2");
    assert_integers(&g, 13, ONNX_BOOL, "Identity", "i", NULL, "identity", F(0, 5), "f32[2]",
                    D(0, 1));
}

/* The mean of x, [3], stands for a number that isn't known while compiling. */
static Buf with_mean(void) {
    Buf g = with_x("3"), attrs = {0};
    with_int(&attrs, "keepdims", 0);
    add_node(&g, "ReduceMean", "x", "m", &attrs);
    return g;
}

static void test_clip_by_data(void **state) {
    (void)state;
    Buf g = with_mean();
    add_op(&g, "Clip", "x,m", NULL);
    assert_model(&g, 13, "reduce_mean max", F(1, 2, 6), "f32[3]", D(3, 3, 6));
    g = with_mean();
    add_op(&g, "Clip", "x,,m", NULL);
    assert_model(&g, 13, "reduce_mean min", F(1, 2, 6), "f32[3]", D(1, 2, 3));
    g = with_mean();
    add_floats(&g, "low", "", F(5), 1); /* above the other: that one is what comes out */
    add_op(&g, "Clip", "x,low,m", NULL);
    assert_model(&g, 13, "reduce_mean max min", F(1, 2, 6), "f32[3]", D(3, 3, 3));
    g = with_x("3");
    add_op(&g, "Clip", "x,x", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "its minimum must be one number");
}

static void test_pad_by_data(void **state) {
    (void)state;
    Buf g = with_mean(), attrs = {0};
    add_ints(&g, "pads", "2,-1");
    add_op(&g, "Pad", "x,pads,m", NULL);
    assert_model(&g, 13, "reduce_mean slice expand concat identity", F(1, 2, 6), "f32[4]",
                 D(3, 3, 1, 2));
    g = with_mean();
    with_ints(&attrs, "axes", "0");
    add_node(&g, "Unsqueeze", "x", "u", &attrs);
    add_ints(&g, "pads", "0,1,1,0");
    add_op(&g, "Pad", "u,pads,m", NULL);
    assert_model(&g, 11, "reduce_mean reshape expand concat expand concat identity", F(1, 2, 6),
                 "f32[2,4]", D(3, 1, 2, 6, 3, 3, 3, 3));
    g = with_mean();
    add_ints(&g, "pads", "1,0"); /* the value is of no use here */
    with_string(&attrs, "mode", "edge");
    add_op(&g, "Pad", "x,pads,m", &attrs);
    assert_model(&g, 13, "gather identity", F(1, 2, 6), "f32[4]", D(1, 1, 2, 6));
    g = with_x("3");
    add_ints(&g, "pads", "1,0");
    add_op(&g, "Pad", "x,pads,x", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "its padding value must be one number");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activations),  cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_products),     cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_clip_by_data), cmocka_unit_test(test_pad_by_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
