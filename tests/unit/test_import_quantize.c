/* Unit tests of the importers of quantised operators: small models, evaluated by the graph
 * interpreter. Expected values are worked out by hand from the operators' definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

enum { ONNX_I32 = 6, ONNX_I8 = 3, ONNX_U8 = 2 };

static void add_u8(Buf *g, const char *name, const char *dims, const void *v, size_t n) {
    Buf t = raw_tensor(name, ONNX_U8, dims, v, n);
    put_message(g, 5, &t);
}

static void add_i8(Buf *g, const char *name, const char *dims, const void *v, size_t n) {
    Buf t = raw_tensor(name, ONNX_I8, dims, v, n);
    put_message(g, 5, &t);
}

#define U8(...) (uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})
#define I8(...) (int8_t[]){__VA_ARGS__}, sizeof((int8_t[]){__VA_ARGS__})
#define N(...)  F(__VA_ARGS__), sizeof(F(__VA_ARGS__)) / sizeof(float)

/* y = op(inputs), of an element type. */
static void add_op_of(Buf *g, const char *op, const char *inputs, Buf *attrs, int onnx) {
    add_node(g, op, inputs, "y", attrs);
    add_output(g, "y", onnx, NULL);
}

/* A model that imports com.microsoft too. */
static Buf with_microsoft(Buf *graph, int opset) {
    Buf m = model_of(graph, opset), import = {0};
    put_string(&import, 1, "com.microsoft");
    put_int(&import, 2, 1);
    put_message(&m, 8, &import);
    return m;
}

/* y = com.microsoft.op(inputs) */
static void add_microsoft(Buf *g, const char *op, const char *inputs, Buf *attrs) {
    Buf more = {0};
    if (attrs)
        buf_write(&more, buf_str(attrs), attrs->len);
    put_string(&more, 7, "com.microsoft");
    add_op(g, op, inputs, &more);
    if (attrs)
        buf_free(attrs);
}

static void assert_microsoft(Buf *g, const char *ops, const float *v, const char *type,
                             const double *want) {
    Buf model = with_microsoft(g, 17);
    Imported m = import_bytes(&model, NULL);
    if (!m.g)
        show(&m);
    assert_non_null(m.g);
    assert_ops(&m, ops);
    assert_result(&m, v, type, want);
    imported_free(&m);
}

/* ---- QuantizeLinear, DequantizeLinear -------------------------------------------------------- */

static void test_quantize(void **state) {
    (void)state;
    Buf g = with_x("4"), attrs = {0};
    add_floats(&g, "s", "", N(2));
    add_u8(&g, "z", "", U8(128));
    add_op_of(&g, "QuantizeLinear", "x,s,z", NULL, ONNX_U8);
    assert_model(&g, 10, "quantize", F(1, 3, -1000, 1000), "u8[4]", D(128, 130, 0, 255));
    g = with_x("4"); /* no zero point: u8 */
    add_floats(&g, "s", "1", N(2));
    add_op_of(&g, "QuantizeLinear", "x,s", NULL, ONNX_U8);
    assert_model(&g, 13, "reshape quantize", F(1, 3, -4, 5), "u8[4]", D(0, 2, 0, 2));
    g = with_x("2,2");
    with_int(&attrs, "axis", -2);
    with_int(&attrs, "saturate", 0);
    add_floats(&g, "s", "2", N(1, 2));
    add_i8(&g, "z", "2", I8(0, -10));
    add_op_of(&g, "QuantizeLinear", "x,s,z", &attrs, ONNX_I8);
    assert_model(&g, 19, "quantize", F(1, 2, 3, 400), "i8[2,2]", D(1, 2, -8, 127));
    g = with_x("2");
    with_int(&attrs, "output_dtype", 5);
    add_floats(&g, "s", "", N(1));
    add_op_of(&g, "QuantizeLinear", "x,s", &attrs, 5);
    assert_model(&g, 21, "quantize", F(-40000, 7), "i16[2]", D(-32768, 7));
}

static void test_dequantize(void **state) {
    (void)state;
    Buf g = {0};
    add_u8(&g, "q", "2,2", U8(0, 128, 130, 255));
    add_floats(&g, "s", "2", N(0.5, 2));
    add_u8(&g, "z", "2", U8(128, 130));
    add_op(&g, "DequantizeLinear", "q,s,z", NULL); /* axis 1 */
    assert_model(&g, 13, "dequantize", NULL, "f32[2,2]", D(-64, -4, 1, 250));
    g = (Buf){0};
    add_i8(&g, "q", "2", I8(-128, 127));
    add_floats(&g, "s", "", N(0.5));
    add_op(&g, "DequantizeLinear", "q,s", NULL);
    assert_model(&g, 10, "dequantize", NULL, "f32[2]", D(-64, 63.5));
    g = (Buf){0};
    add_i8(&g, "q", "2", I8(-128, 127));
    add_i8(&g, "s", "", I8(1));
    add_op(&g, "DequantizeLinear", "q,s", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "is a scale, and is i8");
}

/* Blocks of two rows and, last, of one. */
static void test_blocks(void **state) {
    (void)state;
    Buf g = {0}, attrs = {0};
    add_i8(&g, "q", "3,2", I8(1, 2, 3, 4, 5, 6));
    add_floats(&g, "s", "2,2", N(1, 2, 10, 100));
    add_i8(&g, "z", "2,2", I8(0, 1, 0, -1));
    with_int(&attrs, "axis", 0);
    with_int(&attrs, "block_size", 2);
    add_op(&g, "DequantizeLinear", "q,s,z", &attrs);
    Imported m = import_ok(&g, 21);
    assert_result(&m, NULL, "f32[3,2]", D(1, 2, 3, 6, 50, 700));
    imported_free(&m);
    g = with_x("1,4");
    add_floats(&g, "s", "1,2", N(1, 2));
    with_int(&attrs, "block_size", 2);
    add_op_of(&g, "QuantizeLinear", "x,s", &attrs, ONNX_U8);
    m = import_ok(&g, 21);
    assert_result(&m, F(1, 300, 3, 4), "u8[1,4]", D(1, 255, 2, 2));
    imported_free(&m);
    g = with_x("1,4");
    add_floats(&g, "s", "1,3", N(1, 2, 3));
    with_int(&attrs, "block_size", 2);
    add_op_of(&g, "QuantizeLinear", "x,s", &attrs, ONNX_U8);
    assert_fails(&g, 21, EXIT_BAD_MODEL, "its scale must have one number for each block");
    g = with_x("1,4");
    add_floats(&g, "s", "1,1", N(1));
    with_int(&attrs, "block_size", 5);
    add_op_of(&g, "QuantizeLinear", "x,s", &attrs, ONNX_U8);
    assert_fails(&g, 21, EXIT_BAD_MODEL, "block_size is 5, of 4 elements");
    g = with_x("1,4");
    add_floats(&g, "s", "1,2", N(1, 2));
    add_op_of(&g, "QuantizeLinear", "x,s", &attrs, ONNX_U8);
    assert_fails(&g, 21, EXIT_BAD_MODEL, "without block_size");
}

/* Scale 4 / 255, zero point 64: 255 / 4 is 63.75. */
static void test_dynamic_quantize(void **state) {
    (void)state;
    Buf g = with_x("3");
    add_node(&g, "DynamicQuantizeLinear", "x", "q,s,z", NULL);
    add_node(&g, "DequantizeLinear", "q,s,z", "y", NULL);
    add_y(&g);
    Imported m = import_ok(&g, 13);
    assert_result(&m, F(-1, 3, 0), "f32[3]", D(-64 * 4.0 / 255, 191 * 4.0 / 255, 0));
    imported_free(&m);
    g = with_x("3");
    add_node(&g, "DynamicQuantizeLinear", "x", "y,s,z", NULL);
    add_output(&g, "y", ONNX_U8, NULL);
    m = import_ok(&g, 11);
    assert_result(&m, F(-1, 3, 0), "u8[3]", D(0, 255, 64));
    assert_result(&m, F(0, 0, 0), "u8[3]", D(0, 0, 0));
    imported_free(&m);
}

/* ---- products -------------------------------------------------------------------------------- */

static void test_integer_products(void **state) {
    (void)state;
    Buf g = {0};
    add_u8(&g, "x", "1,1,1,2", U8(1, 255));
    add_u8(&g, "w", "2,1,1,1", U8(3, 5));
    add_u8(&g, "xz", "", U8(5));
    add_u8(&g, "wz", "2", U8(1, 7));
    add_op_of(&g, "ConvInteger", "x,w,xz,wz", NULL, ONNX_I32);
    assert_model(&g, 10, "dequantize conv2d cast", NULL, "i32[1,2,1,2]", D(-8, 500, 8, -500));
    g = (Buf){0};
    add_u8(&g, "a", "2,2", U8(1, 2, 3, 4));
    add_i8(&g, "b", "2,1", I8(-1, 1));
    add_u8(&g, "az", "2", U8(1, 3)); /* for each row */
    add_i8(&g, "bz", "1", I8(-1));
    add_op_of(&g, "MatMulInteger", "a,b,az,bz", NULL, ONNX_I32);
    Imported m = import_ok(&g, 10);
    assert_result(&m, NULL, "i32[2,1]", D(2, 2));
    imported_free(&m);
}

enum { LARGE = 1202 };

static int count_ops(const Graph *g, Op op) {
    int count = 0;
    FOR_EACH_NODE(g, n) {
        count += n->op == op;
    }
    return count;
}

/* 255 and 254 in turn, by 255: beyond 2^24, where f32 has even numbers alone. */
static void large_numbers(uint8_t *x, uint8_t *w, double *sum, int from, int to) {
    for (int i = from; i < to; i++) {
        x[i] = (uint8_t)(255 - i % 2);
        w[i] = 255;
        *sum += (double)x[i] * 255;
    }
}

static void test_large_sums(void **state) {
    (void)state;
    uint8_t x[LARGE], w[LARGE];
    for (int groups = 1; groups < 3; groups++) {
        Buf g = {0}, attrs = {0};
        double sums[2] = {0};
        for (int i = 0; i < groups; i++)
            large_numbers(x, w, &sums[i], i * LARGE / groups, (i + 1) * LARGE / groups);
        with_int(&attrs, "group", groups);
        add_u8(&g, "x", "1,1202,1,1", x, LARGE);
        add_u8(&g, "w", groups == 1 ? "1,1202,1,1" : "2,601,1,1", w, LARGE);
        add_op_of(&g, "ConvInteger", "x,w", &attrs, ONNX_I32);
        Imported m = import_ok(&g, 10);
        assert_true(count_ops(m.g, OP_conv2d) > 1);
        assert_result(&m, NULL, groups == 1 ? "i32[1,1,1,1]" : "i32[1,2,1,1]", sums);
        imported_free(&m);
        g = (Buf){0};
        add_u8(&g, "x", "1,1202", x, LARGE);
        add_u8(&g, "w", "1202,1", w, LARGE);
        add_op_of(&g, "MatMulInteger", "x,w", NULL, ONNX_I32);
        m = import_ok(&g, 10);
        sums[0] += sums[1];
        assert_result(&m, NULL, "i32[1,1]", sums);
        imported_free(&m);
    }
}

/* What the weights are decides: small ones leave it at one convolution. What of a large bias it
 * can't take is added to its result. No integer is needed where one rounding makes the result. */
static void test_sums_with_bias(void **state) {
    (void)state;
    uint8_t x[LARGE], w[LARGE], small[LARGE];
    double sum = 0;
    large_numbers(x, w, &sum, 0, LARGE);
    memset(small, 1, sizeof small);
    for (int i = 0; i < 3; i++) {
        static const int32_t biases[] = {3, 3, 1 << 24};
        double plain = 0;
        for (int k = 0; k < LARGE; k++)
            plain += (double)x[k];
        Buf g = {0}, b = raw_tensor("b", ONNX_I32, "1", &biases[i], sizeof *biases);
        add_u8(&g, "x", "1,1202,1,1", x, LARGE);
        add_u8(&g, "w", "1,1202,1,1", i == 1 ? w : small, LARGE);
        add_u8(&g, "zero", "", U8(0));
        add_floats(&g, "one", "", N(1));
        double want = (i == 1 ? sum : plain) + (double)biases[i];
        add_floats(&g, "ys", "", F((float)want), 1); /* the result is about 1 */
        put_message(&g, 5, &b);
        add_op_of(&g, "QLinearConv", "x,one,zero,w,one,zero,ys,zero,b", NULL, ONNX_U8);
        Imported m = import_ok(&g, 10);
        assert_int_equal(count_ops(m.g, OP_conv2d) > 1, i == 1);
        assert_int_equal(count_ops(m.g, OP_add), i == 1 ? 5 : i == 2);
        assert_int_equal(count_ops(m.g, OP_cast) > 0, i == 1);
        assert_result(&m, NULL, "u8[1,1,1,1]", D(1));
        imported_free(&m);
    }
}

/* Terms of both signs may be more than 2^24 together; two runs of rows need no integers, where the
 * result is a float. */
static void test_sums_rounded_once(void **state) {
    (void)state;
    enum { COUNT = 600 };
    uint8_t x[COUNT];
    int8_t w[COUNT];
    double want[] = {0};
    for (int i = 0; i < COUNT; i++) {
        x[i] = 255;
        w[i] = (int8_t)(i < COUNT / 2 ? 127 : -127);
        want[0] += 255.0 * w[i];
    }
    for (int both = 0; both < 2; both++) {
        Buf g = {0};
        if (both)
            memset(w, 127, sizeof w);
        want[0] = both ? (double)(float)(255.0 * 127 * COUNT) / 16 : want[0];
        add_u8(&g, "x", "1,600", x, COUNT);
        add_u8(&g, "z", "", U8(0));
        add_floats(&g, "one", "", N(1));
        add_floats(&g, "s", "", N(0.0625));
        add_i8(&g, "w", "600,1", w, COUNT);
        add_i8(&g, "wz", "", I8(0));
        add_microsoft(&g, "MatMulIntegerToFloat", "x,w,s,one,z,wz", NULL);
        Buf model = with_microsoft(&g, 17);
        Imported m = import_bytes(&model, NULL);
        assert_non_null(m.g);
        assert_int_equal(count_ops(m.g, OP_dense), 1 + both);
        assert_int_equal(count_ops(m.g, OP_cast), 0);
        assert_result(&m, NULL, "f32[1,1]", want);
        imported_free(&m);
    }
}

static void test_qlinear_conv(void **state) {
    (void)state;
    static const int32_t bias[] = {4, -4};
    Buf g = {0};
    add_u8(&g, "x", "1,1,1,2", U8(10, 20));
    add_floats(&g, "xs", "", N(0.5));
    add_u8(&g, "xz", "", U8(10));
    add_i8(&g, "w", "2,1,1,1", I8(2, -3));
    add_floats(&g, "ws", "2", N(1, 2));
    add_i8(&g, "wz", "2", I8(0, 0));
    add_floats(&g, "ys", "", N(4));
    add_u8(&g, "yz", "", U8(100));
    Buf b = raw_tensor("b", ONNX_I32, "2", bias, sizeof bias);
    put_message(&g, 5, &b);
    add_op_of(&g, "QLinearConv", "x,xs,xz,w,ws,wz,ys,yz,b", NULL, ONNX_U8);
    Imported m = import_ok(&g, 10);
    /* (0 + 4) / 8 is a tie; 24 / 8; (0 - 4) / 4; (-30 - 4) / 4 is one, too */
    assert_result(&m, NULL, "u8[1,2,1,2]", D(100, 103, 99, 92));
    imported_free(&m);
}

static void test_qgemm(void **state) {
    (void)state;
    static const int32_t c[] = {1, 2};
    for (int quantized = 0; quantized < 2; quantized++) {
        Buf g = {0}, attrs = {0};
        add_u8(&g, "a", "1,2", U8(130, 126));
        add_floats(&g, "as", "", N(0.5));
        add_u8(&g, "az", "", U8(128));
        add_i8(&g, "b", "2,2", I8(3, 1, -4, 5));
        add_floats(&g, "bs", "2", N(1, 2));
        add_i8(&g, "bz", "2", I8(0, 0));
        Buf t = raw_tensor("c", ONNX_I32, "2", c, sizeof c);
        put_message(&g, 5, &t);
        add_floats(&g, "ys", "", N(2));
        add_u8(&g, "yz", "", U8(7));
        with_int(&attrs, "transB", 1);
        with_float(&attrs, "alpha", 1);
        const char *inputs = quantized ? "a,as,az,b,bs,bz,c,ys,yz" : "a,as,az,b,bs,bz,c";
        add_microsoft(&g, "QGemm", inputs, &attrs);
        Buf model = with_microsoft(&g, 17);
        Imported m = import_bytes(&model, NULL);
        assert_non_null(m.g);
        /* sums 2 * 3 - 2 * 1 + 1 and 2 * -4 - 2 * 5 + 2, times 0.5 and 1 */
        if (quantized)
            assert_result(&m, NULL, "u8[1,2]", D(8, 0));
        else
            assert_result(&m, NULL, "f32[1,2]", D(2.5, -16));
        imported_free(&m);
    }
}

/* ---- com.microsoft --------------------------------------------------------------------------- */

/* a = {-1, 2}, b = {4, 3}: half their integers. */
static Buf two_operands(void) {
    Buf g = {0};
    add_u8(&g, "a", "1,2,1,1", U8(1, 7));
    add_u8(&g, "b", "1,2,1,1", U8(8, 6));
    add_floats(&g, "half", "", N(0.5));
    add_u8(&g, "three", "", U8(3));
    add_u8(&g, "zero", "", U8(0));
    return g;
}

static void test_qlinear_elementwise(void **state) {
    (void)state;
    Buf g = two_operands(), attrs = {0};
    add_microsoft(&g, "QLinearAdd", "a,half,three,b,half,zero,half,three", NULL);
    assert_microsoft(&g, "dequantize dequantize add quantize", NULL, "u8[1,2,1,1]", D(9, 13));
    g = two_operands();
    add_microsoft(&g, "QLinearMul", "a,half,three,b,half,,half,zero", NULL);
    assert_microsoft(&g, "dequantize dequantize mul quantize", NULL, "u8[1,2,1,1]", D(0, 12));
    g = two_operands();
    add_microsoft(&g, "QLinearSigmoid", "a,half,three,half", NULL);
    assert_microsoft(&g, "dequantize sigmoid quantize", NULL, "u8[1,2,1,1]", D(1, 2));
    g = two_operands();
    with_float(&attrs, "alpha", 0.5F);
    add_microsoft(&g, "QLinearLeakyRelu", "a,half,three,half,three", &attrs);
    assert_microsoft(&g, "dequantize max min mul add quantize", NULL, "u8[1,2,1,1]", D(2, 7));
    g = two_operands();
    with_int(&attrs, "axis", 1);
    add_microsoft(&g, "QLinearConcat", "half,zero,a,half,three,b,half,zero", &attrs);
    assert_microsoft(&g, "dequantize dequantize concat quantize", NULL, "u8[1,4,1,1]",
                     D(0, 4, 8, 6));
}

static void test_qlinear_pools(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        Buf g = {0}, attrs = {0};
        add_u8(&g, "x", "1,1,2,2", U8(1, 3, 5, 7));
        add_floats(&g, "s", "", N(0.5));
        add_floats(&g, "t", "", N(0.25));
        add_u8(&g, "z", "", U8(1));
        if (i)
            with_ints(&attrs, "kernel_shape", "2,2");
        add_microsoft(&g, i ? "QLinearAveragePool" : "QLinearGlobalAveragePool", "x,s,z,t,z",
                      &attrs);
        assert_microsoft(&g, "dequantize global_avg_pool quantize", NULL, "u8[1,1,1,1]", D(7));
    }
}

/* Floats are left: (a - 1) 0.5 (b - 10) 2 + 1. */
static void test_integers_to_float(void **state) {
    (void)state;
    Buf g = {0};
    add_u8(&g, "a", "1,2", U8(3, 2));
    add_i8(&g, "b", "2,2", I8(11, 10, 12, 9));
    add_floats(&g, "as", "", N(0.5));
    add_floats(&g, "bs", "2", N(2, 4));
    add_u8(&g, "az", "", U8(1));
    add_i8(&g, "bz", "", I8(10));
    add_floats(&g, "bias", "2", N(1, 1));
    add_microsoft(&g, "MatMulIntegerToFloat", "a,b,as,bs,az,bz,bias", NULL);
    Buf model = with_microsoft(&g, 17);
    Imported m = import_bytes(&model, NULL);
    assert_non_null(m.g);
    assert_result(&m, NULL, "f32[1,2]", D(5, -1));
    imported_free(&m);
}

/* x is u8 of scale 1 and zero point 55: exact. */
static void test_dynamic_matmul(void **state) {
    (void)state;
    Buf g = with_x("1,2");
    add_i8(&g, "b", "2,1", I8(1, 2));
    add_floats(&g, "bs", "", N(0.5));
    add_floats(&g, "bias", "1", N(10));
    add_microsoft(&g, "DynamicQuantizeMatMul", "x,b,bs,,bias", NULL);
    Buf model = with_microsoft(&g, 17);
    Imported m = import_bytes(&model, NULL);
    assert_non_null(m.g);
    assert_result(&m, F(200, -55), "f32[1,1]", D(55));
    imported_free(&m);
}

/* Before opset 13 all dimensions from the axis on are one. */
static void test_qlinear_softmax(void **state) {
    (void)state;
    for (int opset = 11; opset <= 13; opset += 2) {
        Buf g = {0}, attrs = {0};
        add_u8(&g, "x", "1,2,2", U8(7, 7, 7, 7));
        add_floats(&g, "s", "", N(0.5));
        add_u8(&g, "z", "", U8(7));
        add_floats(&g, "t", "", N(0.125));
        with_int(&attrs, "axis", 1);
        with_int(&attrs, "opset", opset);
        add_microsoft(&g, "QLinearSoftmax", "x,s,z,t,", &attrs);
        double part = opset < 13 ? 2 : 4;
        assert_microsoft(&g,
                         opset < 13 ? "dequantize reshape softmax reshape quantize"
                                    : "dequantize softmax quantize",
                         NULL, "u8[1,2,2]", D(part, part, part, part));
    }
}

static void test_qlinear_where(void **state) {
    (void)state;
    Buf g = {0}, c = raw_tensor("c", 9, "2", (uint8_t[]){1, 0}, 2);
    put_message(&g, 5, &c);
    add_u8(&g, "x", "2", U8(3, 4));
    add_u8(&g, "y1", "2", U8(5, 6));
    add_floats(&g, "s", "", N(1));
    add_floats(&g, "t", "", N(2));
    add_u8(&g, "z", "", U8(1));
    add_microsoft(&g, "QLinearWhere", "c,x,s,z,y1,t,z,s,z", NULL);
    assert_microsoft(&g, "dequantize dequantize where quantize", NULL, "u8[2]", D(3, 11));
}

/* Two pixels of two channels: {1, 5} and {3, 9}, halved, less the zero point 1. */
static Buf two_pixels(Buf *attrs) {
    Buf g = {0};
    add_u8(&g, "x", "1,1,2,2", U8(1, 5, 3, 9));
    add_floats(&g, "s", "", N(0.5));
    add_u8(&g, "z", "", U8(1));
    with_int(attrs, "channels_last", 1);
    return g;
}

static void test_channels_last(void **state) {
    (void)state;
    Buf attrs = {0}, g = two_pixels(&attrs);
    add_microsoft(&g, "QLinearGlobalAveragePool", "x,s,z,s,z", &attrs);
    assert_microsoft(&g, "dequantize transpose global_avg_pool transpose quantize", NULL,
                     "u8[1,1,1,2]", D(2, 7));
    g = two_pixels(&attrs);
    with_ints(&attrs, "kernel_shape", "1,1");
    with_ints(&attrs, "strides", "1,2");
    add_microsoft(&g, "QLinearAveragePool", "x,s,z,s,z", &attrs);
    assert_microsoft(&g, "dequantize transpose avg_pool transpose quantize", NULL, "u8[1,1,1,2]",
                     D(1, 5));
    /* w [M, C, 1, 1] stays as ONNX has it: y = {a + 2 b, b - a, a + 3} */
    g = two_pixels(&attrs);
    add_i8(&g, "w", "3,2,1,1", I8(1, 2, -1, 1, 1, 0));
    add_floats(&g, "one", "", N(1));
    add_i8(&g, "none", "", I8(0));
    Buf bias = raw_tensor("b", ONNX_I32, "3", (int32_t[]){0, 0, 6}, 3 * sizeof(int32_t));
    put_message(&g, 5, &bias);
    add_microsoft(&g, "QLinearConv", "x,s,z,w,one,none,s,z,b", &attrs);
    assert_microsoft(&g, "dequantize transpose conv2d mul div mul transpose quantize", NULL,
                     "u8[1,1,2,3]", D(9, 5, 7, 19, 7, 9));
}

static void test_nhwc_max_pool(void **state) {
    (void)state;
    Buf g = {0}, attrs = {0};
    add_u8(&g, "x", "1,1,3,2", U8(1, 5, 3, 4, 2, 9));
    with_ints(&attrs, "kernel_shape", "1,2");
    add_microsoft(&g, "NhwcMaxPool", "x", &attrs);
    assert_microsoft(&g, "cast transpose max_pool transpose cast", NULL, "u8[1,1,2,2]",
                     D(3, 5, 3, 9));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantize),
        cmocka_unit_test(test_dequantize),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_dynamic_quantize),
        cmocka_unit_test(test_integer_products),
        cmocka_unit_test(test_large_sums),
        cmocka_unit_test(test_sums_rounded_once),
        cmocka_unit_test(test_sums_with_bias),
        cmocka_unit_test(test_qlinear_conv),
        cmocka_unit_test(test_qgemm),
        cmocka_unit_test(test_qlinear_elementwise),
        cmocka_unit_test(test_qlinear_pools),
        cmocka_unit_test(test_integers_to_float),
        cmocka_unit_test(test_dynamic_matmul),
        cmocka_unit_test(test_qlinear_softmax),
        cmocka_unit_test(test_qlinear_where),
        cmocka_unit_test(test_channels_last),
        cmocka_unit_test(test_nhwc_max_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
