/* Unit tests of frontend/onnx_small.c: element types of 2, 4 and 8 bits. Expected codes and numbers
 * are worked out by hand from the formats' definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

enum {
    E4M3FN = 17,
    E4M3FNUZ = 18,
    E5M2 = 19,
    E5M2FNUZ = 20,
    UINT4 = 21,
    INT4 = 22,
    E2M1 = 23,
    E8M0 = 24,
    UINT2 = 25,
    INT2 = 26,
    OPSET = 25
};

static void assert_value(Buf *g, const float *x, const char *type, const double *want) {
    Imported m = import_graph(g, OPSET, NULL);
    if (!m.g)
        show(&m);
    assert_non_null(m.g);
    assert_result(&m, x, type, want);
    imported_free(&m);
}

/* x f32, cast to the type. */
static Buf cast_to(const char *dims, int to, Buf *attrs) {
    Buf g = with_x(dims);
    with_int(attrs, "to", to);
    add_node(&g, "Cast", "x", "y", attrs);
    add_output(&g, "y", to, NULL);
    return g;
}

static void assert_codes(int to, bool saturate, const float *x, const double *codes) {
    Buf attrs = {0};
    with_int(&attrs, "saturate", saturate);
    Buf g = cast_to("8", to, &attrs);
    assert_value(&g, x, "u8[8]", codes);
}

static void test_rounding(void **state) {
    (void)state;
    /* ties go to the even code; 2^-10 is half of the smallest number */
    assert_codes(E4M3FN, true, F(1, 1.0625, 1.1875, -2, -0.0f, 0x1p-10f, 0x1.8p-9f, 448),
                 D(0x38, 0x38, 0x3a, 0xc0, 0x80, 0, 2, 0x7e));
    assert_codes(E5M2, true, F(1, 1.125, 1.375, -2, -0.0f, 0x1p-17f, 0x1.8p-16f, 57344),
                 D(0x3c, 0x3c, 0x3e, 0xc0, 0x80, 0, 2, 0x7b));
    assert_codes(E4M3FNUZ, true, F(1, 240, -2, -0.0f, -0x1p-12f, 0x1p-10f, 0.5, -240),
                 D(0x40, 0x7f, 0xc8, 0, 0, 1, 0x38, 0xff));
    assert_codes(E2M1, true, F(0, 0.25, 0.75, -0.25, 2.5, 3.5, 5, -100),
                 D(0, 0, 2, 8, 4, 6, 6, 15));
}

static void test_out_of_range(void **state) {
    (void)state;
    const float *x = F(464, 465, -1e6f, INFINITY, -INFINITY, NAN, 61440, 1e30f);
    assert_codes(E4M3FN, true, x, D(0x7e, 0x7e, 0xfe, 0x7e, 0xfe, 0x7f, 0x7e, 0x7e));
    assert_codes(E4M3FN, false, x, D(0x7e, 0x7f, 0xff, 0x7f, 0xff, 0x7f, 0x7f, 0x7f));
    assert_codes(E4M3FNUZ, false, x, D(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80));
    assert_codes(E5M2, true, x, D(0x5f, 0x5f, 0xfb, 0x7b, 0xfb, 0x7e, 0x7b, 0x7b));
    assert_codes(E5M2, false, x, D(0x5f, 0x5f, 0xfc, 0x7c, 0xfc, 0x7e, 0x7c, 0x7c));
    assert_codes(E5M2FNUZ, true, x, D(0x63, 0x63, 0xff, 0x7f, 0xff, 0x80, 0x7f, 0x7f));
}

static void assert_exponents(const char *mode, bool saturate, const double *codes) {
    Buf attrs = {0};
    with_string(&attrs, "round_mode", mode);
    with_int(&attrs, "saturate", saturate);
    Buf g = cast_to("8", E8M0, &attrs);
    assert_value(&g, F(0, 1, 1.25, 1.5, 3, 0x1.8p127f, INFINITY, NAN), "u8[8]", codes);
}

static void test_exponents(void **state) {
    (void)state;
    assert_exponents("up", true, D(0, 127, 128, 128, 129, 254, 254, 255));
    assert_exponents("down", true, D(0, 127, 127, 127, 128, 254, 254, 255));
    assert_exponents("nearest", true, D(0, 127, 127, 128, 129, 254, 254, 255));
    assert_exponents("nearest", false, D(255, 127, 127, 128, 129, 255, 255, 255));
    Buf attrs = {0};
    with_string(&attrs, "round_mode", "away");
    Buf g = cast_to("8", E8M0, &attrs);
    assert_fails(&g, OPSET, EXIT_BAD_MODEL, "round_mode is \"away\"");
}

/* All codes of a type become numbers, and these the same codes: where the codes are known while
 * compiling and where they are not. */
static void assert_round_trip(int type, int codes, int skip_from, int skip_to) {
    uint8_t data[256];
    double want[256];
    for (int i = 0; i < codes; i++) {
        data[i] = (uint8_t)(i >= skip_from && i <= skip_to ? 0 : i);
        want[i] = data[i];
    }
    Buf g = {0}, attrs = {0}, t = raw_tensor("c", type, codes == 256 ? "256" : "16", data, 256);
    put_message(&g, 5, &t);
    with_int(&attrs, "to", ONNX_FLOAT);
    add_node(&g, "Cast", "c", "n", &attrs);
    with_int(&attrs, "to", type);
    add_node(&g, "Cast", "n", "d", &attrs);
    add_node(&g, "Identity", "d", "e", NULL);
    with_int(&attrs, "to", ONNX_FLOAT);
    add_node(&g, "Cast", "e", "m", &attrs);
    add_node(&g, "CastLike", "m,c", "y", NULL);
    add_output(&g, "y", type, NULL);
    assert_value(&g, NULL, codes == 256 ? "u8[256]" : "u8[16]", want);
}

static void test_round_trip(void **state) {
    (void)state;
    assert_round_trip(E4M3FN, 256, 0xff, 0xff); /* -NaN */
    assert_round_trip(E4M3FNUZ, 256, 256, 256);
    assert_round_trip(E5M2FNUZ, 256, 256, 256);
    assert_round_trip(E8M0, 256, 0, 0);
}

static void add_packed(Buf *g, const char *name, int type, const char *dims, const void *bytes,
                       size_t size) {
    Buf t = raw_tensor(name, type, dims, bytes, size);
    put_message(g, 5, &t);
}

/* y = the packed elements as f32. */
static void assert_unpacked(int type, const char *dims, const void *bytes, size_t size,
                            const char *result, const double *want) {
    Buf g = {0}, attrs = {0};
    add_packed(&g, "c", type, dims, bytes, size);
    with_int(&attrs, "to", ONNX_FLOAT);
    add_node(&g, "Cast", "c", "y", &attrs);
    add_y(&g);
    assert_value(&g, NULL, result, want);
}

static void test_packed(void **state) {
    (void)state;
    assert_unpacked(INT4, "3", "\x78\x0f", 2, "f32[3]", D(-8, 7, -1));
    assert_unpacked(UINT4, "3", "\x78\x0f", 2, "f32[3]", D(8, 7, 15));
    assert_unpacked(INT2, "5", "\xe4\x02", 2, "f32[5]", D(0, 1, -2, -1, -2));
    assert_unpacked(UINT2, "5", "\xe4\x02", 2, "f32[5]", D(0, 1, 2, 3, 2));
    assert_unpacked(E2M1, "2", "\xf5", 1, "f32[2]", D(3, -6));
    Buf g = {0};
    add_packed(&g, "c", INT4, "3", "\x78", 1);
    add_node(&g, "Identity", "c", "y", NULL);
    add_output(&g, "y", INT4, NULL);
    assert_fails(&g, OPSET, EXIT_BAD_MODEL, "need 2 bytes of data, and it has 1");
}

static void test_wrapping(void **state) {
    (void)state;
    Buf attrs = {0}, g = cast_to("5", INT4, &attrs);
    assert_value(&g, F(-9, 7, 8, 2.5, 3.5), "i8[5]", D(7, 7, -8, 2, 4));
    g = cast_to("3", UINT2, &attrs);
    assert_value(&g, F(-1, 4, 3), "u8[3]", D(3, 0, 3));
}

static void test_quantisation(void **state) {
    (void)state;
    Buf g = with_x("2,2");
    add_floats(&g, "s", "2", F(2, 4), 2);
    add_packed(&g, "z", INT4, "2", "\xf1", 1);
    add_node(&g, "QuantizeLinear", "x,s,z", "q", NULL);
    add_node(&g, "DequantizeLinear", "q,s,z", "y", NULL);
    add_y(&g);
    assert_value(&g, F(2, 4, 100, -100), "f32[2,2]", D(2, 4, 12, -28));
    g = with_x("4");
    add_floats(&g, "s", "", F(2), 1);
    add_packed(&g, "z", E4M3FN, "", "", 1);
    add_node(&g, "QuantizeLinear", "x,s,z", "q", NULL);
    add_node(&g, "DequantizeLinear", "q,s", "y", NULL);
    add_y(&g);
    assert_value(&g, F(2, 4.1f, 1e6f, -1), "f32[4]", D(2, 4, 896, -1));
}

static void test_moving(void **state) {
    (void)state;
    Buf g = {0}, attrs = {0};
    add_packed(&g, "a", E4M3FN, "2", "\x38\x40", 2);
    add_packed(&g, "b", E4M3FN, "1", "\xc0", 1);
    with_int(&attrs, "axis", 0);
    add_node(&g, "Concat", "a,b", "c", &attrs);
    add_ints(&g, "order", "2,0");
    add_node(&g, "Gather", "c,order", "d", NULL);
    with_int(&attrs, "to", ONNX_FLOAT);
    add_node(&g, "Cast", "d", "y", &attrs);
    add_y(&g);
    assert_value(&g, NULL, "f32[2]", D(-2, 1));
}

static Buf bit_cast(Buf *g, const char *input, int to) {
    Buf attrs = {0}, all = *g;
    with_int(&attrs, "to", to);
    add_node(&all, "BitCast", input, "b", &attrs);
    with_int(&attrs, "to", ONNX_FLOAT);
    add_node(&all, "Cast", "b", "y", &attrs);
    add_y(&all);
    return all;
}

static void test_bits(void **state) {
    (void)state;
    enum { INT8 = 3, NEW = 26 };
    Buf g = {0}, attrs = {0};
    add_floats(&g, "c", "2", F(1, -0.0f), 2);
    g = bit_cast(&g, "c", ONNX_INT32);
    Imported m = import_ok(&g, NEW);
    assert_result(&m, NULL, "f32[2]", D(0x3f800000, INT32_MIN));
    imported_free(&m);
    g = with_x("2");
    with_int(&attrs, "to", INT8);
    add_node(&g, "Cast", "x", "i", &attrs);
    g = bit_cast(&g, "i", ONNX_UINT8);
    m = import_ok(&g, NEW);
    assert_result(&m, F(-1, 5), "f32[2]", D(255, 5));
    imported_free(&m);
    g = with_x("2");
    with_int(&attrs, "to", ONNX_UINT8);
    add_node(&g, "Cast", "x", "u", &attrs);
    g = bit_cast(&g, "u", E4M3FN);
    m = import_ok(&g, NEW);
    assert_result(&m, F(0x38, 0xc0), "f32[2]", D(1, -2));
    imported_free(&m);
    g = with_x("2");
    g = bit_cast(&g, "x", ONNX_INT32);
    assert_fails(&g, NEW, EXIT_UNSUPPORTED, "where they are constant alone");
    g = with_x("2");
    g = bit_cast(&g, "x", ONNX_INT64);
    assert_fails(&g, NEW, EXIT_BAD_MODEL, "have 32 and 64 bits");
}

static void test_refused(void **state) {
    (void)state;
    Buf g = {0};
    add_packed(&g, "a", E4M3FN, "1", "\x38", 1);
    add_node(&g, "Add", "a,a", "y", NULL);
    add_y(&g);
    assert_fails(&g, OPSET, EXIT_UNSUPPORTED, "is FLOAT8E4M3FN, which can be cast");
    enum { STRING = 8, COMPLEX64 = 14 };
    Buf attrs = {0};
    g = cast_to("1", STRING, &attrs);
    assert_fails(&g, OPSET, EXIT_UNSUPPORTED, "strings are not supported");
    g = (Buf){0};
    add_input(&g, "x", COMPLEX64, "1");
    add_node(&g, "Identity", "x", "y", NULL);
    add_y(&g);
    assert_fails(&g, OPSET, EXIT_UNSUPPORTED, "complex numbers are not supported");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),     cmocka_unit_test(test_out_of_range),
        cmocka_unit_test(test_exponents),    cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_packed),       cmocka_unit_test(test_wrapping),
        cmocka_unit_test(test_quantisation), cmocka_unit_test(test_moving),
        cmocka_unit_test(test_bits),         cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
