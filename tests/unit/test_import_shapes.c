/* Unit tests of the importers of single operators that reshape or move elements, or make constants:
 * small models, evaluated by the graph interpreter. Expected values are worked out by hand from the
 * operators' definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

/* ---- shapes ---------------------------------------------------------------------------------- */

static const float SIX[] = {1, 2, 3, 4, 5, 6};
static const double SIX_D[] = {1, 2, 3, 4, 5, 6};

static void assert_reshape(const char *x, const char *shape, bool allowzero, const char *type) {
    Buf attrs = {0}, g = with_x(x);
    add_ints(&g, "shape", shape);
    with_int(&attrs, "allowzero", allowzero);
    add_op(&g, "Reshape", "x,shape", &attrs);
    assert_model(&g, 14, "reshape", SIX, type, SIX_D);
}

static void assert_bad_reshape(const char *x, const char *shape, const char *why) {
    Buf g = with_x(x);
    add_ints(&g, "shape", shape);
    add_op(&g, "Reshape", "x,shape", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, why);
}

static void test_reshape(void **state) {
    (void)state;
    assert_reshape("2,3", "6", false, "f32[6]");
    assert_reshape("2,3", "3,-1", false, "f32[3,2]");
    assert_reshape("2,3", "0,1,-1", false, "f32[2,1,3]");
    assert_reshape("1,1", "", false, "f32[]");
    assert_reshape("2,0", "0,5", true, "f32[0,5]");
    assert_bad_reshape("2,3", "4,-1", "6 elements do not fit");
    assert_bad_reshape("2,3", "-1,-1", "more than one -1");
    assert_bad_reshape("2,3", "-2", "negative");
    assert_bad_reshape("2,3", "6,1,0", "dimension 2 of the shape is 0");
    assert_bad_reshape("2,3", "7", "the new shape has 7 elements");
    assert_bad_reshape("2,3", "4611686018427387904,4,-1", "do not fit");
    assert_bad_reshape("2,3", "4611686018427387904,4", "too large");
}

static void test_flatten(void **state) {
    (void)state;
    static const struct {
        int axis;
        const char *type;
    } cases[] = {
        {0, "f32[1,6]"}, {1, "f32[1,6]"}, {2, "f32[2,3]"}, {3, "f32[6,1]"}, {-1, "f32[2,3]"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf attrs = {0}, g = with_x("1,2,3");
        with_int(&attrs, "axis", cases[i].axis);
        add_op(&g, "Flatten", "x", &attrs);
        assert_model(&g, 13, "reshape", SIX, cases[i].type, SIX_D);
    }
}

/* Squeeze or Unsqueeze at opset 11 (attribute) and 13 (input); axes NULL: left out. */
static void assert_squeeze(const char *op, const char *x, const char *axes, const char *type) {
    Buf attrs = {0}, g = with_x(x);
    if (axes)
        with_ints(&attrs, "axes", axes);
    add_op(&g, op, "x", &attrs);
    assert_model(&g, 11, "reshape", SIX, type, SIX_D);
    g = with_x(x);
    if (axes)
        add_ints(&g, "axes", axes);
    add_op(&g, op, axes ? "x,axes" : "x", NULL);
    assert_model(&g, 13, "reshape", SIX, type, SIX_D);
}

static void test_squeeze(void **state) {
    (void)state;
    assert_squeeze("Squeeze", "1,6,1,1", "0,-1", "f32[6,1]");
    assert_squeeze("Squeeze", "1,6,1,1", NULL, "f32[6]");
    assert_squeeze("Unsqueeze", "2,3", "0,-1", "f32[1,2,3,1]");
    assert_squeeze("Unsqueeze", "2,3", "3,1", "f32[2,1,3,1]");
    Buf g = with_x("2,3");
    add_ints(&g, "axes", "1");
    add_op(&g, "Squeeze", "x,axes", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "its size is 3");
    g = with_x("2,3");
    add_op(&g, "Unsqueeze", "x", NULL);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "\"axes\" is missing");
    g = with_x("2,3");
    add_ints(&g, "axes", "0,1,2,3,4,5,6");
    add_op(&g, "Unsqueeze", "x,axes", NULL);
    assert_fails(&g, 13, EXIT_UNSUPPORTED, "more than 8");
}

static void test_transpose(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2,3");
    add_op(&g, "Transpose", "x", NULL);
    assert_model(&g, 13, "transpose", SIX, "f32[3,2]", D(1, 4, 2, 5, 3, 6));
    g = with_x("1,2,3");
    with_ints(&attrs, "perm", "2,0,1");
    add_op(&g, "Transpose", "x", &attrs);
    assert_model(&g, 13, "transpose", SIX, "f32[3,1,2]", D(1, 4, 2, 5, 3, 6));
    g = with_x("2,3");
    with_ints(&attrs, "perm", "1,1");
    add_op(&g, "Transpose", "x", &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "named twice");
}

static void test_expand(void **state) {
    (void)state;
    Buf g = with_x("2,1");
    add_ints(&g, "shape", "2,1,3");
    add_op(&g, "Expand", "x,shape", NULL);
    assert_model(&g, 13, "expand", F(1, 2), "f32[2,2,3]", D(1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2));
    g = with_x("2,2"); /* a 1 keeps what is there */
    add_ints(&g, "shape", "1");
    add_op(&g, "Expand", "x,shape", NULL);
    assert_model(&g, 13, "expand", F(1, 2, 3, 4), "f32[2,2]", D(1, 2, 3, 4));
    g = with_x("2,2");
    add_ints(&g, "shape", "3");
    add_op(&g, "Expand", "x,shape", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "does not broadcast");
}

/* ---- elements that move ---------------------------------------------------------------------- */

static void test_concat(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2,1");
    add_floats(&g, "c", "2,2", F(7, 8, 9, 10), 4);
    with_int(&attrs, "axis", -1);
    add_op(&g, "Concat", "x,c,x", &attrs);
    assert_model(&g, 13, "concat", F(1, 2), "f32[2,4]", D(1, 7, 8, 1, 2, 9, 10, 2));
    g = with_x("2,1");
    add_op(&g, "Concat", "x,x", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "\"axis\" is missing");
    g = with_x("2,1");
    add_floats(&g, "c", "3,1", F(7, 8, 9), 3);
    with_int(&attrs, "axis", 1);
    add_op(&g, "Concat", "x,c", &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "doesn't fit");
}

/* Slice of 0 1 2 3 4 5; axes and steps may be NULL. */
static void assert_slice(const char *start, const char *end, const char *step, const char *type,
                         const double *want) {
    Buf g = with_x("6");
    add_ints(&g, "start", start);
    add_ints(&g, "end", end);
    if (step)
        add_ints(&g, "step", step);
    add_op(&g, "Slice", step ? "x,start,end,,step" : "x,start,end", NULL);
    assert_model(&g, 13, "slice", F(0, 1, 2, 3, 4, 5), type, want);
}

static void test_slice(void **state) {
    (void)state;
    assert_slice("1", "4", NULL, "f32[3]", D(1, 2, 3));
    assert_slice("-2", "9223372036854775807", NULL, "f32[2]", D(4, 5));
    assert_slice("-100", "-3", NULL, "f32[3]", D(0, 1, 2));
    assert_slice("4", "2", NULL, "f32[0]", NULL);
    assert_slice("1", "6", "2", "f32[3]", D(1, 3, 5));
    assert_slice("0", "6", "4", "f32[2]", D(0, 4));
    assert_slice("-1", "-100", "-1", "f32[6]", D(5, 4, 3, 2, 1, 0));
    assert_slice("9223372036854775807", "-9223372036854775808", "-2", "f32[3]", D(5, 3, 1));
    assert_slice("3", "0", "-1", "f32[3]", D(3, 2, 1));
    assert_slice("5", "0", "-9223372036854775808", "f32[1]", D(5));
    assert_slice("2", "6", "9223372036854775807", "f32[1]", D(2));
}

static void test_slice_axes(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2,3");
    with_ints(&attrs, "starts", "1,0");
    with_ints(&attrs, "ends", "3,1");
    with_ints(&attrs, "axes", "1,0");
    add_op(&g, "Slice", "x", &attrs);
    assert_model(&g, 9, "slice", SIX, "f32[1,2]", D(2, 3));
    g = with_x("2,3");
    add_ints(&g, "one", "1");
    add_ints(&g, "zero", "0");
    add_op(&g, "Slice", "x,zero,one,one,zero", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "a step is 0");
    g = with_x("2,3");
    add_ints(&g, "two", "0,0");
    add_ints(&g, "one", "1");
    add_op(&g, "Slice", "x,two,one", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "have 2, 1, 0 and 0 numbers");
}

static void test_gather(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2,3");
    add_ints(&g, "i", "-1,0");
    with_int(&attrs, "axis", 1);
    add_op(&g, "Gather", "x,i", &attrs);
    assert_model(&g, 13, "gather", SIX, "f32[2,2]", D(3, 1, 6, 4));
    g = with_x("2,3");
    add_ints(&g, "i", "2");
    add_op(&g, "Gather", "x,i", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "index 2 is outside [-2, 2)");
}

static void assert_pad(const char *pads, const char *type, const double *want) {
    Buf attrs = {0}, g = with_x("1,3");
    with_ints(&attrs, "pads", pads);
    with_float(&attrs, "value", -1);
    add_op(&g, "Pad", "x", &attrs);
    bool cut = strchr(pads, '-') != NULL;
    assert_model(&g, 10, cut ? "slice pad" : "pad", F(1, 2, 3), type, want);
}

static void test_pad(void **state) {
    (void)state;
    assert_pad("0,1,0,2", "f32[1,6]", D(-1, 1, 2, 3, -1, -1));
    assert_pad("0,-1,0,1", "f32[1,3]", D(2, 3, -1));
    assert_pad("0,-1,0,-2", "f32[1,0]", NULL);
    Buf attrs = {0}, g = with_x("1,3");
    with_ints(&attrs, "pads", "0,-2,0,-2");
    add_op(&g, "Pad", "x", &attrs);
    assert_fails(&g, 10, EXIT_BAD_MODEL, "cut off more than dimension 1 has");
    g = with_x("1,3");
    with_ints(&attrs, "pads", "0,1,0,1");
    with_string(&attrs, "mode", "wrap");
    add_op(&g, "Pad", "x", &attrs);
    assert_fails(&g, 10, EXIT_BAD_MODEL, "padding mode is \"wrap\""); /* since opset 19 */
    g = with_x("1,3");
    with_ints(&attrs, "pads", "0,1");
    add_op(&g, "Pad", "x", &attrs);
    assert_fails(&g, 10, EXIT_BAD_MODEL, "pads have 2 numbers, and need 4");
}

/* Beyond one more turn of three elements; before cut-off ones, too. */
static void test_pad_modes(void **state) {
    (void)state;
    static const struct {
        const char *mode, *pads, *ops, *type;
        double want[8];
    } cases[] = {
        {"edge", "0,2,0,1", "gather identity", "f32[1,6]", {1, 1, 1, 2, 3, 3}},
        {"reflect", "0,3,0,2", "gather identity", "f32[1,8]", {2, 3, 2, 1, 2, 3, 2, 1}},
        {"wrap", "0,1,0,4", "gather identity", "f32[1,8]", {3, 1, 2, 3, 1, 2, 3, 1}},
        {"reflect", "0,-1,0,2", "slice gather identity", "f32[1,4]", {2, 3, 2, 3}},
        {"edge", "1,0,0,0", "gather identity", "f32[2,3]", {1, 2, 3, 1, 2, 3}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf g = with_x("1,3"), attrs = {0};
        add_ints(&g, "pads", cases[i].pads);
        with_string(&attrs, "mode", cases[i].mode);
        add_op(&g, "Pad", "x,pads", &attrs);
        assert_model(&g, 19, cases[i].ops, F(1, 2, 3), cases[i].type, cases[i].want);
    }
    Buf g = with_x("1,0"), attrs = {0};
    add_ints(&g, "pads", "0,1,0,0");
    with_string(&attrs, "mode", "edge");
    add_op(&g, "Pad", "x,pads", &attrs);
    assert_fails(&g, 19, EXIT_BAD_MODEL, "dimension 1 is empty");
}

static void test_pad_with_inputs(void **state) {
    (void)state;
    Buf g = with_x("1,3");
    add_ints(&g, "pads", "0,1,0,0");
    add_floats(&g, "v", "", F(-INFINITY), 1);
    add_op(&g, "Pad", "x,pads,v", NULL);
    assert_model(&g, 13, "pad", F(1, 2, 3), "f32[1,4]", D(-INFINITY, 1, 2, 3));
    g = with_x("1,3");
    add_ints(&g, "pads", "1,2");
    add_ints(&g, "axes", "-1");
    add_op(&g, "Pad", "x,pads,,axes", NULL);
    assert_model(&g, 18, "pad", F(1, 2, 3), "f32[1,6]", D(0, 1, 2, 3, 0, 0));
    g = with_x("1,3");
    add_op(&g, "Pad", "x,x", NULL);
    assert_fails(&g, 13, EXIT_UNSUPPORTED, "its pads must be constant");
    g = with_x("1,3");
    add_op(&g, "Pad", "x,x", NULL);
    assert_fails(&g, 13, EXIT_UNSUPPORTED, "fix open dimensions with --dim");
}

/* ---- constants and chains of shape arithmetic ------------------------------------------------ */

static void test_constants(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *type;
    } cases[] = {{"value", "f32[2]"},
                 {"value_float", "f32[]"},
                 {"value_floats", "f32[2]"},
                 {"value_int", "i64[]"},
                 {"value_ints", "i64[2]"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf attrs = {0}, g = {0}, a, t = raw_tensor("", ONNX_FLOAT, "2", F(7, 8), 8);
        if (i == 0)
            with_tensor(&attrs, "value", &t);
        else if (i == 1)
            with_float(&attrs, "value_float", 7);
        else if (i == 3)
            with_int(&attrs, "value_int", 7);
        else if (i == 4)
            with_ints(&attrs, "value_ints", "7,8");
        else {
            a = attr_begin("value_floats", ATTR_FLOATS);
            put_float(&a, 7, 7);
            put_float(&a, 7, 8);
            put_message(&attrs, 5, &a);
        }
        buf_free(&t);
        add_node(&g, "Constant", "", "c", &attrs);
        add_node(&g, "Identity", "c", "y", NULL);
        add_output(&g, "y", i >= 3 ? ONNX_INT64 : ONNX_FLOAT, NULL);
        assert_model(&g, 13, "identity", NULL, cases[i].type, D(7, 8));
    }
}

static void test_bad_constants(void **state) {
    (void)state;
    Buf attrs = {0}, g = {0};
    add_op(&g, "Constant", "", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "0 attributes");
    with_string(&attrs, "value_string", "text");
    add_op(&g, "Constant", "", &attrs);
    assert_fails(&g, 13, EXIT_UNSUPPORTED, "\"value_string\"");
    Buf t = raw_tensor("", ONNX_FLOAT, "2", F(7), 4);
    with_tensor(&attrs, "value", &t);
    add_op(&g, "Constant", "", &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "need 8 bytes");
}

static void test_shape(void **state) {
    (void)state;
    static const struct {
        int start, end;
        const char *type;
        double want[3];
    } cases[] = {{0, 99, "i64[3]", {1, 2, 3}},
                 {-2, 99, "i64[2]", {2, 3}},
                 {1, -1, "i64[1]", {2}},
                 {2, 1, "i64[0]", {0}},
                 {-99, 1, "i64[1]", {1}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf attrs = {0}, g = with_x("1,2,3");
        with_int(&attrs, "start", cases[i].start);
        with_int(&attrs, "end", cases[i].end);
        add_node(&g, "Shape", "x", "s", &attrs);
        add_node(&g, "Identity", "s", "y", NULL);
        add_output(&g, "y", ONNX_INT64, NULL);
        assert_model(&g, 15, "identity", SIX, cases[i].type, cases[i].want);
    }
}

/* Reshape(x, Concat(Gather(Shape(x), 0), [-1])), as exporters write x.view(x.size(0), -1) */
static void test_shape_arithmetic(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2,3,1");
    add_ints(&g, "zero", "0");
    add_ints(&g, "rest", "-1");
    add_node(&g, "Shape", "x", "s", NULL);
    add_node(&g, "Gather", "s,zero", "n", NULL);
    with_int(&attrs, "axis", 0);
    add_node(&g, "Concat", "n,rest", "shape", &attrs);
    add_op(&g, "Reshape", "x,shape", NULL);
    assert_model(&g, 13, "reshape", SIX, "f32[2,3]", SIX_D);
}

/* two rows below and one column on the right, built from ConstantOfShape, Concat, Reshape, Slice,
 * Transpose: as PyTorch does */
static void test_computed_pads(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,1,1,2");
    const int64_t zero = 0;
    Buf t = raw_tensor("", ONNX_INT64, "1", &zero, sizeof zero);
    add_ints(&g, "four", "4");
    add_ints(&g, "sides", "0,1,0,2"); /* before and after the last dimension, then the one before */
    add_ints(&g, "pairs", "-1,2");
    add_ints(&g, "all", "-1");
    add_ints(&g, "minus1", "-1");
    add_ints(&g, "lowest", "-9223372036854775807");
    add_ints(&g, "axis0", "0");
    with_tensor(&attrs, "value", &t);
    add_node(&g, "ConstantOfShape", "four", "zeros", &attrs);
    with_int(&attrs, "axis", 0);
    add_node(&g, "Concat", "sides,zeros", "list", &attrs);
    add_node(&g, "Reshape", "list,pairs", "table", NULL);
    add_node(&g, "Slice", "table,minus1,lowest,axis0,minus1", "reversed", NULL);
    with_ints(&attrs, "perm", "1,0");
    add_node(&g, "Transpose", "reversed", "columns", &attrs);
    add_node(&g, "Reshape", "columns,all", "pads", NULL);
    add_op(&g, "Pad", "x,pads", NULL);
    assert_model(&g, 13, "pad", F(5, 6), "f32[1,1,3,3]", D(5, 6, 0, 0, 0, 0, 0, 0, 0));
}

static void test_constant_of_shape(void **state) {
    (void)state;
    Buf g = {0};
    add_ints(&g, "shape", "2,2");
    add_op(&g, "ConstantOfShape", "shape", NULL);
    assert_model(&g, 13, "expand", NULL, "f32[2,2]", D(0, 0, 0, 0));
    add_ints(&g, "shape", "2,-2");
    add_op(&g, "ConstantOfShape", "shape", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "negative or too large");
}

/* A few bytes that ask for gigabytes: nothing may be computed. */
static void test_large_constants_are_not_computed(void **state) {
    (void)state;
    Buf g = with_x("1,1");
    add_ints(&g, "shape", "1,10000000000");
    add_node(&g, "ConstantOfShape", "shape", "b", NULL);
    add_op(&g, "MatMul", "x,b", NULL);
    Imported m = import_ok(&g, 13);
    assert_true(m.g->constant_bytes < 1000);
    imported_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reshape),
        cmocka_unit_test(test_flatten),
        cmocka_unit_test(test_squeeze),
        cmocka_unit_test(test_transpose),
        cmocka_unit_test(test_expand),
        cmocka_unit_test(test_concat),
        cmocka_unit_test(test_slice),
        cmocka_unit_test(test_slice_axes),
        cmocka_unit_test(test_gather),
        cmocka_unit_test(test_pad),
        cmocka_unit_test(test_pad_modes),
        cmocka_unit_test(test_pad_with_inputs),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_bad_constants),
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_shape_arithmetic),
        cmocka_unit_test(test_computed_pads),
        cmocka_unit_test(test_constant_of_shape),
        cmocka_unit_test(test_large_constants_are_not_computed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
