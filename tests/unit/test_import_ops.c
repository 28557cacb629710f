/* Unit tests of the importers of single operators that compute:
 * small models, evaluated by the graph interpreter. Expected values are worked out by hand from the
 * operators' definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

/* ---- Conv ------------------------------------------------------------------------------------ */

static Buf conv_graph(const char *x, const char *w, size_t nw, Buf *attrs) {
    float ones[64];
    Buf g = with_x(x);
    for (size_t i = 0; i < nw; i++)
        ones[i] = 1;
    add_floats(&g, "w", w, ones, nw);
    add_op(&g, "Conv", "x,w", attrs);
    return g;
}

static ConvAttrs conv_of(Buf *g) {
    Imported m = import_ok(g, 17);
    assert_ops(&m, "conv2d");
    ConvAttrs a = *conv_attrs(m.g->first);
    imported_free(&m);
    return a;
}

static void test_conv(void **state) {
    (void)state;
    Buf attrs = {0};
    with_ints(&attrs, "pads", "1,0,0,1");
    with_ints(&attrs, "kernel_shape", "2,2");
    Buf g = conv_graph("1,1,2,2", "1,1,2,2", 4, &attrs);
    assert_model(&g, 17, "conv2d", F(1, 2, 3, 4), "f32[1,1,2,2]", D(3, 2, 10, 6));
}

static void test_conv_attributes(void **state) {
    (void)state;
    Buf attrs = {0};
    with_ints(&attrs, "pads", "1,2,3,4");
    with_ints(&attrs, "strides", "2,3");
    with_ints(&attrs, "dilations", "1,2");
    with_int(&attrs, "group", 2);
    Buf g = conv_graph("1,4,8,8", "4,2,1,2", 16, &attrs);
    ConvAttrs a = conv_of(&g);
    assert_int_equal(a.kernel.v[0], 1);
    assert_int_equal(a.kernel.v[1], 2);
    assert_int_equal(a.stride.v[0], 2);
    assert_int_equal(a.stride.v[1], 3);
    assert_int_equal(a.dilation.v[1], 2);
    assert_int_equal(a.group, 2);
    for (int i = 0; i < 4; i++)
        assert_int_equal(a.pad.v[i], i + 1);
}

static void assert_auto_pad(const char *mode, const char *x, const char *strides,
                            const char *dilations, const Dim4 want) {
    Buf attrs = {0};
    with_string(&attrs, "auto_pad", mode);
    with_ints(&attrs, "strides", strides);
    with_ints(&attrs, "dilations", dilations);
    Buf g = conv_graph(x, "1,1,3,3", 9, &attrs);
    ConvAttrs a = conv_of(&g);
    for (int i = 0; i < 4; i++)
        assert_int_equal(a.pad.v[i], want.v[i]);
}

static void test_auto_pad(void **state) {
    (void)state;
    assert_auto_pad("NOTSET", "1,1,8,8", "1,1", "1,1", (Dim4){{0, 0, 0, 0}});
    assert_auto_pad("VALID", "1,1,8,8", "1,1", "1,1", (Dim4){{0, 0, 0, 0}});
    assert_auto_pad("SAME_UPPER", "1,1,8,9", "2,2", "1,1", (Dim4){{0, 1, 1, 1}});
    assert_auto_pad("SAME_LOWER", "1,1,8,9", "2,2", "1,1", (Dim4){{1, 1, 0, 1}});
    assert_auto_pad("SAME_UPPER", "1,1,8,8", "1,1", "2,3", (Dim4){{2, 3, 2, 3}});
    assert_auto_pad("SAME_UPPER", "1,1,9,9", "4,4", "1,1", (Dim4){{1, 1, 1, 1}});
}

static void test_bad_convs(void **state) {
    (void)state;
    Buf attrs = {0}, g;
    with_ints(&attrs, "kernel_shape", "3,1");
    g = conv_graph("1,1,8,8", "1,1,3,3", 9, &attrs);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "kernel_shape has 1, and the weights have 3");
    g = conv_graph("1,1,8,8", "1,1,9,6", 54, NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "larger than the padded input");
    g = conv_graph("1,3,8,8", "1,5,1,1", 5, NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "the weight has 5 input channels, the input has 3");
    with_int(&attrs, "group", 2);
    g = conv_graph("1,3,8,8", "2,1,1,1", 2, &attrs);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "2 groups don't divide 3 input");
    with_int(&attrs, "group", 0);
    g = conv_graph("1,3,8,8", "2,3,1,1", 6, &attrs);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "group is 0");
    with_ints(&attrs, "strides", "0,1");
    g = conv_graph("1,1,8,8", "1,1,3,3", 9, &attrs);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "\"strides\" has 0");
    with_ints(&attrs, "strides", "9223372036854775807,1");
    g = conv_graph("1,1,8,8", "1,1,3,3", 9, &attrs);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "\"strides\" has 9223372036854775807");
    with_string(&attrs, "auto_pad", "SAME_UPPER");
    with_ints(&attrs, "pads", "1,1,1,1");
    g = conv_graph("1,1,8,8", "1,1,3,3", 9, &attrs);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "both auto_pad and pads");
    with_string(&attrs, "auto_pad", "SAME");
    g = conv_graph("1,1,8,8", "1,1,3,3", 9, &attrs);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "auto_pad is \"SAME\"");
}

static void test_convs_of_other_dimensions(void **state) {
    (void)state;
    Buf g = conv_graph("", "1,1,1,1", 1, NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "0 dimensions");
    g = conv_graph("1,1", "1,1", 1, NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "2 dimensions");
    g = conv_graph("1,1,2,8,8", "1,1,3,3,3", 27, NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "larger than the padded input");
    Buf attrs = {0};
    with_ints(&attrs, "pads", "-1,0,0,0");
    g = conv_graph("1,1,8,8", "1,1,3,3", 9, &attrs);
    assert_fails(&g, 17, EXIT_UNSUPPORTED, "negative pads");
}

static void test_conv_types(void **state) {
    (void)state;
    Buf g = with_x("1,1,2,2");
    add_ints(&g, "w", "1,2,3,4");
    add_op(&g, "Conv", "x,w", NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "input 1 is i64, and input 0 is f32");
}

/* ---- elementwise ----------------------------------------------------------------------------- */

static void test_arithmetic(void **state) {
    (void)state;
    static const struct {
        const char *op, *ir;
        double want[4];
    } cases[] = {{"Add", "add", {3, 6, 5, 8}},
                 {"Sub", "sub", {-1, -2, 1, 0}},
                 {"Mul", "mul", {2, 8, 6, 16}},
                 {"Div", "div", {0.5, 0.5, 1.5, 1}}};
    for (size_t i = 0; i < 4; i++) {
        Buf g = with_x("2,2");
        add_floats(&g, "c", "2", F(2, 4), 2);
        add_op(&g, cases[i].op, "x,c", NULL);
        assert_model(&g, 7, cases[i].ir, F(1, 2, 3, 4), "f32[2,2]", cases[i].want);
    }
    Buf g = with_x("2,2");
    add_floats(&g, "c", "3", F(1, 2, 3), 3);
    add_op(&g, "Add", "x,c", NULL);
    assert_fails(&g, 7, EXIT_BAD_MODEL, "can't be broadcast");
}

static void test_functions(void **state) {
    (void)state;
    static const struct {
        const char *op, *ir;
        float x[3];
        double want[3];
    } cases[] = {{"Neg", "neg", {-2, 0, 3}, {2, 0, -3}},
                 {"Exp", "exp", {-1, 0, 2}, {0.36787944117, 1, 7.38905609893}},
                 {"Sqrt", "sqrt", {4, 0, 2}, {2, 0, 1.41421356237}},
                 {"Ceil", "ceil", {-1.5f, 0.25f, 2}, {-1, 1, 2}},
                 {"Floor", "floor", {-1.5f, 0.25f, 2}, {-2, 0, 2}},
                 {"Reciprocal", "div", {-2, 4, INFINITY}, {-0.5, 0.25, 0}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf g = with_x("3");
        add_op(&g, cases[i].op, "x", NULL);
        assert_model(&g, 13, cases[i].ir, cases[i].x, "f32[3]", cases[i].want);
        g = (Buf){0};
        add_input(&g, "x", ONNX_UINT8, "3");
        add_op(&g, cases[i].op, "x", NULL);
        Imported m = import_graph(&g, 13, NULL);
        assert_null(m.g);
        assert_true(says(&m, "its input"));
        imported_free(&m);
    }
}

static void test_min_and_max(void **state) {
    (void)state;
    Buf g = with_x("2,2");
    add_floats(&g, "row", "2", F(0, 3), 2);
    add_floats(&g, "top", "", F(2.5f), 1);
    add_op(&g, "Min", "x,row,top", NULL);
    assert_model(&g, 8, "min min", F(1, 2, -3, 4), "f32[2,2]", D(0, 2, -3, 2.5));
    g = with_x("2,2");
    add_floats(&g, "column", "2,1", F(0, 3), 2);
    add_op(&g, "Max", "x,column", NULL);
    assert_model(&g, 13, "max", F(1, -2, NAN, 4), "f32[2,2]", D(1, 0, NAN, 4));
    g = with_x("2");
    add_op(&g, "Max", "x", NULL);
    assert_model(&g, 13, "identity", F(1, 2), "f32[2]", D(1, 2));
    g = with_x("2");
    add_op(&g, "Min", "x,,x", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "input 1 is missing");
    g = with_x("2");
    add_ints(&g, "i", "1,2");
    add_op(&g, "Min", "x,i", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "operand b is i64, but a is f32");
}

/* Pads that follow from the shape, in the way of timm's tf_ models: ceil(7 / 2) * 2 - 7 is 1. */
static void test_computed_padding_folds(void **state) {
    (void)state;
    Buf g = with_x("1,1,5,7"), to_float = {0}, to_int = {0}, axis = {0};
    add_ints(&g, "three", "3");
    add_floats(&g, "stride", "1", F(2), 1);
    add_floats(&g, "two", "1", F(2), 1);
    add_floats(&g, "four", "1", F(4), 1);
    add_floats(&g, "zero", "1", F(0), 1);
    add_ints(&g, "zeros", "0,0,0,0,0,0,0");
    with_int(&to_float, "to", ONNX_FLOAT);
    with_int(&to_int, "to", ONNX_INT64);
    with_int(&axis, "axis", 0);
    add_node(&g, "Shape", "x", "shape", NULL);
    add_node(&g, "Gather", "shape,three", "w", NULL);
    add_node(&g, "Cast", "w", "wf", &to_float);
    add_node(&g, "Div", "wf,stride", "half", NULL);
    add_node(&g, "Ceil", "half", "steps", NULL);
    add_node(&g, "Mul", "steps,two", "reach", NULL);
    add_node(&g, "Sub", "reach,wf", "over", NULL);
    add_node(&g, "Sub", "four,wf", "minus", NULL);
    add_node(&g, "Max", "over,minus,zero", "pad", NULL);
    add_node(&g, "Cast", "pad", "padi", &to_int);
    add_node(&g, "Concat", "zeros,padi", "pads", &axis);
    add_op(&g, "Pad", "x,pads", NULL);
    Imported m = import_ok(&g, 17);
    assert_ops(&m, "pad");
    assert_int_equal(pad_attrs(m.g->first)->after.v[3], 1);
    imported_free(&m);
}

static void test_activations(void **state) {
    (void)state;
    static const struct {
        const char *op, *ir;
        double want[3];
    } cases[] = {{"Relu", "relu", {0, 0, 3}},
                 {"Sigmoid", "sigmoid", {0.11920292202, 0.5, 0.95257412682}},
                 {"Softplus", "softplus", {0.12692801104, 0.69314718056, 3.04858735157}},
                 {"HardSwish", "hard_swish", {-0.33333333333, 0, 3}},
                 {"Tanh", "tanh", {-0.96402758008, 0, 0.99505475369}},
                 {"Erf", "erf", {-0.99532226502, 0, 0.99997790950}},
                 {"Softsign", "abs add div", {-0.66666666667, 0, 0.75}},
                 {"Elu", "max min exp sub mul add", {-0.86466471676, 0, 3}},
                 {"Selu", "max min exp sub mul add mul", {-1.52016646859, 0, 3.15210294724}},
                 {"Celu", "max min exp sub mul add", {-0.86466471676, 0, 3}},
                 {"LeakyRelu", "max min mul add", {-0.02, 0, 3}},
                 {"ThresholdedRelu", "less where", {0, 0, 3}},
                 {"Shrink", "less less add sub where where", {-2, 0, 3}},
                 {"Mish", "softplus tanh mul", {-0.25250148270, 0, 2.98653493340}},
                 {"Gelu", "mul erf mul add mul", {-0.04550026390, 0, 2.99595030588}},
                 {"Swish", "silu", {-0.23840584404, 0, 2.85772238047}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf g = with_x("3");
        add_op(&g, cases[i].op, "x", NULL);
        assert_model(&g, 24, cases[i].ir, F(-2, 0, 3), "f32[3]", cases[i].want);
    }
}

/* What their attributes say, where it isn't the default. */
static void test_activations_with_attributes(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("3");
    with_float(&attrs, "alpha", 2);
    add_op(&g, "Elu", "x", &attrs);
    assert_model(&g, 22, "max min exp sub mul add", F(-2, 0, 3), "f32[3]", D(-1.72932943353, 0, 3));
    g = with_x("3");
    with_float(&attrs, "alpha", 2);
    add_op(&g, "Celu", "x", &attrs);
    assert_model(&g, 12, "max min div exp sub mul add", F(-2, 0, 3), "f32[3]",
                 D(-1.26424111766, 0, 3));
    g = with_x("3");
    with_string(&attrs, "approximate", "tanh");
    add_op(&g, "Gelu", "x", &attrs);
    assert_model(&g, 20, "mul mul mul add mul tanh mul add mul", F(-2, 0, 3), "f32[3]",
                 D(-0.04540230591, 0, 2.99636266373));
    g = with_x("2,2");
    add_floats(&g, "slope", "2", F(0.5f, 3), 2);
    add_op(&g, "PRelu", "x,slope", NULL);
    assert_model(&g, 16, "max min mul add", F(-2, -2, 3, 3), "f32[2,2]", D(-1, -6, 3, 3));
    g = with_x("2");
    add_floats(&g, "slope", "2,2", F(1, 2, 3, 4), 4);
    add_op(&g, "PRelu", "x,slope", NULL);
    assert_fails(&g, 16, EXIT_BAD_MODEL, "its slope must broadcast to its input");
    g = with_x("2");
    with_string(&attrs, "approximate", "sigmoid");
    add_op(&g, "Gelu", "x", &attrs);
    assert_fails(&g, 20, EXIT_BAD_MODEL, "\"approximate\" is");
}

static void test_hard_sigmoid(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("4");
    with_float(&attrs, "alpha", 0.16666667f);
    add_op(&g, "HardSigmoid", "x", &attrs);
    assert_model(&g, 17, "hard_sigmoid", F(-4, 0, 1.5f, 4), "f32[4]", D(0, 0.5, 0.75, 1));
    g = with_x("4");
    add_op(&g, "HardSigmoid", "x", NULL); /* 0.2 x + 0.5 */
    assert_model(&g, 17, "mul add clip", F(-4, 0, 1.5f, 4), "f32[4]", D(0, 0.5, 0.8, 1));
}

static void test_swish_with_alpha(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2");
    with_float(&attrs, "alpha", 2);
    add_op(&g, "Swish", "x", &attrs);
    assert_model(&g, 24, "mul sigmoid mul", F(1, -1), "f32[2]", D(0.88079707798, -0.11920292202));
}

static void test_clip(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("3");
    with_float(&attrs, "max", 6);
    add_op(&g, "Clip", "x", &attrs);
    assert_model(&g, 10, "clip", F(-5, 3, 9), "f32[3]", D(-5, 3, 6));
    g = with_x("3");
    add_floats(&g, "low", "", F(0), 1);
    add_op(&g, "Clip", "x,low", NULL);
    assert_model(&g, 11, "clip", F(-5, 3, 9), "f32[3]", D(0, 3, 9));
    g = with_x("3");
    add_floats(&g, "high", "", F(6), 1);
    add_op(&g, "Clip", "x,,high", NULL);
    assert_model(&g, 13, "clip", F(-5, NAN, 9), "f32[3]", D(-5, NAN, 6));
}

/* As assert_model where the result isn't the float that it is declared as: that is a warning. */
static void assert_other_type(Buf *g, int opset, const char *ops, const float *x, const char *type,
                              const double *want) {
    Imported m = import_graph(g, opset, NULL);
    assert_non_null(m.g);
    assert_ops(&m, ops);
    assert_result(&m, x, type, want);
    imported_free(&m);
}

static void test_cast(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("3");
    with_int(&attrs, "to", ONNX_INT64);
    add_op(&g, "Cast", "x", &attrs);
    assert_other_type(&g, 13, "cast", F(-1.7f, 0, 2.5f), "i64[3]", D(-1, 0, 2));
    g = with_x("3");
    with_int(&attrs, "to", 8);
    add_op(&g, "Cast", "x", &attrs);
    assert_fails(&g, 13, EXIT_UNSUPPORTED, "to is 8: strings");
}

static void test_dropout(void **state) {
    (void)state;
    const uint8_t yes = 1, no = 0;
    Buf attrs = {0}, g = with_x("2");
    with_float(&attrs, "ratio", 0.5f);
    add_op(&g, "Dropout", "x", &attrs);
    assert_model(&g, 7, "identity", F(1, 2), "f32[2]", D(1, 2));
    g = with_x("2");
    Buf t = raw_tensor("t", ONNX_BOOL, "", &no, 1);
    put_message(&g, 5, &t);
    add_op(&g, "Dropout", "x,,t", NULL);
    assert_model(&g, 13, "identity", F(1, 2), "f32[2]", D(1, 2));
    g = with_x("2");
    t = raw_tensor("t", ONNX_BOOL, "", &yes, 1);
    put_message(&g, 5, &t);
    add_op(&g, "Dropout", "x,,t", NULL);
    assert_fails(&g, 13, EXIT_UNSUPPORTED, "random where no seed is given");
}

static Buf dropout_in_training(float ratio, Buf *attrs) {
    const uint8_t yes = 1;
    Buf g = with_x("6"), t = raw_tensor("t", ONNX_BOOL, "", &yes, 1);
    put_message(&g, 5, &t);
    add_floats(&g, "ratio", "", &ratio, 1);
    add_op(&g, "Dropout", "x,ratio,t", attrs);
    return g;
}

/* The numbers of seed 7 are, by numpy: 0.076 0.780 0.438 0.723 0.978 0.538. */
static void test_dropout_by_a_seed(void **state) {
    (void)state;
    Buf attrs = {0};
    with_int(&attrs, "seed", 7);
    Buf g = dropout_in_training(0.5f, &attrs);
    assert_model(&g, 13, "mul where", F(1, 2, 3, 4, 5, 6), "f32[6]", D(0, 4, 0, 8, 10, 12));
    with_int(&attrs, "seed", 7);
    g = dropout_in_training(1, &attrs);
    assert_model(&g, 13, "where", F(1, 2, 3, 4, 5, 6), "f32[6]", D(0, 0, 0, 0, 0, 0));
    with_int(&attrs, "seed", 7);
    g = dropout_in_training(2, &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "its ratio is 2");
}

/* ---- normalisation, pooling, reduction ------------------------------------------------------- */

static Buf batch_norm_graph(const char *outputs, const char *seen, Buf *attrs) {
    Buf g = with_x("1,2,1,2");
    add_floats(&g, "scale", "2", F(2, 1), 2);
    add_floats(&g, "b", "2", F(0, 10), 2);
    add_floats(&g, "mean", "2", F(1, 0), 2);
    add_floats(&g, "var", "2", F(3, 0), 2);
    add_node(&g, "BatchNormalization", "x,scale,b,mean,var", outputs, attrs);
    add_output(&g, seen, ONNX_FLOAT, NULL);
    return g;
}

static void test_batch_norm(void **state) {
    (void)state;
    Buf attrs = {0}, g;
    for (int opset = 9; opset <= 15; opset += 6) {
        with_float(&attrs, "epsilon", 1);
        g = batch_norm_graph("y", "y", &attrs);
        assert_model(&g, opset, "batch_norm", F(1, 3, 5, 6), "f32[1,2,1,2]", D(0, 2, 15, 16));
    }
    with_int(&attrs, "spatial", 0);
    g = batch_norm_graph("y", "y", &attrs);
    assert_fails(&g, 7, EXIT_UNSUPPORTED, "spatial = 0");
}

/* Statistics of another type than x's: they are exact, and y has x's type. */
static void test_batch_norm_of_mixed_types(void **state) {
    (void)state;
    static const uint16_t half[2] = {0x3C00, 0x4000}; /* 1 and 2 */
    enum { ONNX_FLOAT16 = 10 };
    for (int opset = 13; opset <= 14; opset++) {
        Buf attrs = {0}, g = with_x("1,2,1,1"), to = {0}, from = {0};
        Buf scale = raw_tensor("scale", ONNX_FLOAT16, "2", half, sizeof half);
        put_message(&g, 5, &scale);
        add_floats(&g, "mean", "2", F(0.1f, 0), 2);
        add_floats(&g, "var", "2", F(3, 0), 2);
        with_float(&attrs, "epsilon", 1);
        with_int(&to, "to", ONNX_FLOAT16);
        with_int(&from, "to", ONNX_FLOAT);
        add_node(&g, "Cast", "x", "h", &to);
        add_node(&g, "BatchNormalization", "h,scale,scale,mean,var", "n", &attrs);
        add_op(&g, "Cast", "n", &from);
        if (opset == 13)
            assert_fails(&g, opset, EXIT_BAD_MODEL, "input 3 is f32, and input 0 is f16");
        else
            assert_model(&g, opset, "cast cast cast cast batch_norm cast cast", F(1, 3),
                         "f32[1,2,1,1]", D(1.4501953125, 8));
    }
}

/* Means are 2 and 5.5, variances 1 and 0.25; there are more outputs up to opset 13. */
static void test_batch_norm_in_training(void **state) {
    (void)state;
    static const struct {
        const char *seen, *type;
        double want[4];
    } cases[] = {
        {"y", "f32[1,2,1,2]", {-1.6, 1.6, 9.4452998037747, 10.5547001962253}},
        {"m", "f32[2]", {1.75, 4.125}},
        {"v", "f32[2]", {1.5, 0.1875}},
        {"sm", "f32[2]", {2, 5.5}},
        {"sv", "f32[2]", {1, 0.25}},
    };
    for (int opset = 9; opset <= 15; opset += 6)
        for (int i = 0; i < (opset == 9 ? 5 : 3); i++) {
            Buf attrs = {0};
            with_float(&attrs, "epsilon", 0.5625f);
            with_float(&attrs, "momentum", 0.25f);
            if (opset > 13)
                with_int(&attrs, "training_mode", 1);
            Buf g = batch_norm_graph(opset == 9 ? "y,m,v,sm,sv" : "y,m,v", cases[i].seen, &attrs);
            Imported m = import_ok(&g, opset);
            assert_result(&m, F(1, 3, 5, 6), cases[i].type, cases[i].want);
            imported_free(&m);
        }
}

static void test_softmax(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2,2");
    add_op(&g, "Softmax", "x", NULL);
    assert_model(&g, 13, "softmax", F(0, 0, 0, logf(3)), "f32[2,2]", D(0.5, 0.5, 0.25, 0.75));
    g = with_x("2,2"); /* along the first dimension */
    with_int(&attrs, "axis", 0);
    add_op(&g, "Softmax", "x", &attrs);
    assert_model(&g, 13, "softmax", F(0, 0, 0, logf(3)), "f32[2,2]", D(0.5, 0.25, 0.5, 0.75));
    g = with_x("1,2,2"); /* before opset 13, over all from axis 1 on */
    add_op(&g, "Softmax", "x", NULL);
    assert_model(&g, 12, "reshape softmax reshape", F(0, 0, 0, logf(5)), "f32[1,2,2]",
                 D(0.125, 0.125, 0.125, 0.625));
    g = with_x("2,2");
    add_op(&g, "Softmax", "x", NULL);
    assert_model(&g, 9, "softmax", F(0, 0, 0, logf(3)), "f32[2,2]", D(0.5, 0.5, 0.25, 0.75));
    g = with_x("2,2");
    with_int(&attrs, "axis", 2);
    add_op(&g, "Softmax", "x", &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "axis 2 is outside");
}

static void test_pooling(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,2,1,2");
    add_op(&g, "GlobalAveragePool", "x", NULL);
    assert_model(&g, 17, "global_avg_pool", F(1, 3, 5, 8), "f32[1,2,1,1]", D(2, 6.5));
    g = with_x("1,2,1,2");
    with_ints(&attrs, "kernel_shape", "1,2");
    with_ints(&attrs, "strides", "1,2");
    with_int(&attrs, "count_include_pad", 1);
    add_op(&g, "AveragePool", "x", &attrs);
    assert_model(&g, 17, "global_avg_pool", F(1, 3, 5, 8), "f32[1,2,1,1]", D(2, 6.5));
    g = with_x("1,2,2,2");
    add_op(&g, "AveragePool", "x", NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "\"kernel_shape\" is missing");
}

/* Axes as an attribute, then as an input. */
static void test_reductions(void **state) {
    (void)state;
    static const struct {
        const char *op, *ir;
        double want[2];
    } cases[] = {{"ReduceSum", "reduce_sum", {-1, 7}},
                 {"ReduceProd", "reduce_prod", {-2, 12}},
                 {"ReduceMin", "reduce_min", {-2, 3}},
                 {"ReduceMax", "reduce_max", {1, 4}},
                 {"ReduceL1", "abs reduce_sum", {3, 7}},
                 {"ReduceL2", "mul reduce_sum sqrt", {2.23606797750, 5}},
                 {"ReduceSumSquare", "mul reduce_sum", {5, 25}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf attrs = {0}, g = with_x("2,2");
        with_ints(&attrs, "axes", "-1");
        with_int(&attrs, "keepdims", 0);
        add_op(&g, cases[i].op, "x", &attrs);
        assert_model(&g, 12, cases[i].ir, F(1, -2, 3, 4), "f32[2]", cases[i].want);
        g = with_x("2,2");
        add_ints(&g, "axes", "1");
        add_op(&g, cases[i].op, "x,axes", NULL);
        assert_model(&g, 18, cases[i].ir, F(1, -2, 3, 4), "f32[2,1]", cases[i].want);
    }
}

/* log(e^x + e^y), where e^x overflows. */
static void test_reduce_log_sum_exp(void **state) {
    (void)state;
    Buf g = with_x("2,2");
    add_ints(&g, "axes", "1");
    add_op(&g, "ReduceLogSumExp", "x,axes", NULL);
    assert_model(&g, 18, "reduce_max clip sub exp reduce_sum log add",
                 F(1000, 1000, -INFINITY, -INFINITY), "f32[2,1]", D(1000.69314718, -INFINITY));
}

static void test_log_softmax(void **state) {
    (void)state;
    Buf g = with_x("1,2");
    add_op(&g, "LogSoftmax", "x", NULL);
    assert_model(&g, 13, "reduce_max sub exp reduce_sum log sub", F(0, 1000), "f32[1,2]",
                 D(-1000, 0));
}

static void test_layer_norm(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2,2");
    with_float(&attrs, "epsilon", 0);
    add_floats(&g, "scale", "2", F(2, 3), 2);
    add_floats(&g, "b", "2", F(10, 20), 2);
    add_op(&g, "LayerNormalization", "x,scale,b", &attrs);
    assert_model(&g, 17, "reduce_mean sub mul reduce_mean add sqrt div mul mul add", F(1, 3, 0, -8),
                 "f32[2,2]", D(8, 23, 12, 17));
}

static void test_instance_norm(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,2,2");
    with_float(&attrs, "epsilon", 0);
    add_floats(&g, "scale", "2", F(2, 3), 2);
    add_floats(&g, "b", "2", F(10, 20), 2);
    add_op(&g, "InstanceNormalization", "x,scale,b", &attrs);
    assert_model(&g, 17, "reduce_mean sub mul reduce_mean add sqrt div mul reshape reshape mul add",
                 F(1, 3, 0, -8), "f32[1,2,2]", D(8, 12, 23, 17));
}

static void test_arg_max(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2,3");
    with_int(&attrs, "axis", -1);
    with_int(&attrs, "select_last_index", 1);
    with_int(&attrs, "keepdims", 0);
    add_op(&g, "ArgMax", "x", &attrs);
    assert_other_type(&g, 13, "arg_max", F(5, 1, 5, 0, 7, 1), "i64[2]", D(2, 1));
}

static void test_top_k(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("4");
    add_ints(&g, "k", "2");
    with_int(&attrs, "largest", 0);
    add_op(&g, "TopK", "x,k", &attrs);
    assert_model(&g, 11, "top_k", F(3, -1, 7, 2), "f32[2]", D(-1, 2));
    g = with_x("4");
    with_int(&attrs, "k", 5);
    add_op(&g, "TopK", "x", &attrs);
    assert_fails(&g, 9, EXIT_BAD_MODEL, "k is 5, and axis 0 has 4 elements");
    g = with_x("4");
    add_ints(&g, "k", "1,2");
    add_op(&g, "TopK", "x,k", NULL);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "its k must be one number");
}

/* A square needs no pow; integers to the power of floats go through doubles. */
static void test_pow(void **state) {
    (void)state;
    Buf g = with_x("2");
    add_floats(&g, "e", "", F(2), 1);
    add_op(&g, "Pow", "x,e", NULL);
    assert_model(&g, 13, "mul", F(-3, 0.5f), "f32[2]", D(9, 0.25));
    g = with_x("2");
    add_floats(&g, "e", "", F(-2), 1);
    add_op(&g, "Pow", "x,e", NULL);
    assert_model(&g, 13, "pow", F(-2, 0.5f), "f32[2]", D(0.25, 4));
    g = with_x("2");
    add_ints(&g, "e", "3");
    add_op(&g, "Pow", "x,e", NULL);
    assert_model(&g, 13, "cast pow", F(-2, 0.5f), "f32[2]", D(-8, 0.125));
}

static void test_comparisons(void **state) {
    (void)state;
    static const struct {
        const char *op, *ir;
        double want[3];
    } cases[] = {{"Equal", "equal", {0, 1, 0}},
                 {"Less", "less", {1, 0, 0}},
                 {"Greater", "less", {0, 0, 1}},
                 {"LessOrEqual", "less_equal", {1, 1, 0}},
                 {"GreaterOrEqual", "less_equal", {0, 1, 1}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf g = with_x("3");
        add_floats(&g, "two", "", F(2), 1);
        add_op(&g, cases[i].op, "x,two", NULL);
        assert_other_type(&g, 16, cases[i].ir, F(1, 2, 3), "bool[3]", cases[i].want);
    }
}

static void test_logic_of_floats(void **state) {
    (void)state;
    Buf g = with_x("2");
    add_op(&g, "And", "x,x", NULL);
    assert_fails(&g, 7, EXIT_BAD_MODEL, "input 0 must be bool, it is f32");
}

static void test_reduce_mean(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2,2");
    with_ints(&attrs, "axes", "-1");
    with_int(&attrs, "keepdims", 0);
    add_op(&g, "ReduceMean", "x", &attrs);
    assert_model(&g, 13, "reduce_mean", F(1, 3, 5, 8), "f32[2]", D(2, 6.5));
    g = with_x("2,2");
    add_op(&g, "ReduceMean", "x", NULL); /* all axes */
    assert_model(&g, 13, "reduce_mean", F(1, 3, 5, 7), "f32[1,1]", D(4));
    g = with_x("2,2");
    add_ints(&g, "axes", "0");
    add_op(&g, "ReduceMean", "x,axes", NULL);
    assert_model(&g, 18, "reduce_mean", F(1, 3, 5, 8), "f32[1,2]", D(3, 5.5));
    g = with_x("2");
    with_int(&attrs, "noop_with_empty_axes", 1);
    add_ints(&g, "axes", "");
    add_op(&g, "ReduceMean", "x,axes", &attrs);
    assert_model(&g, 18, "identity", F(1, 3), "f32[2]", D(1, 3));
    g = with_x("2,2");
    with_ints(&attrs, "axes", "1,-1");
    add_op(&g, "ReduceMean", "x", &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "axis -1 is named twice");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_conv_attributes),
        cmocka_unit_test(test_auto_pad),
        cmocka_unit_test(test_bad_convs),
        cmocka_unit_test(test_convs_of_other_dimensions),
        cmocka_unit_test(test_conv_types),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_min_and_max),
        cmocka_unit_test(test_computed_padding_folds),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_activations_with_attributes),
        cmocka_unit_test(test_hard_sigmoid),
        cmocka_unit_test(test_swish_with_alpha),
        cmocka_unit_test(test_clip),
        cmocka_unit_test(test_cast),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_dropout_by_a_seed),
        cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_batch_norm_of_mixed_types),
        cmocka_unit_test(test_batch_norm_in_training),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_pooling),
        cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_reduce_log_sum_exp),
        cmocka_unit_test(test_log_softmax),
        cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_instance_norm),
        cmocka_unit_test(test_arg_max),
        cmocka_unit_test(test_top_k),
        cmocka_unit_test(test_pow),
        cmocka_unit_test(test_comparisons),
        cmocka_unit_test(test_logic_of_floats),
        cmocka_unit_test(test_reduce_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
