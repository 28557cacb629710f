/* test_import_ort_matmul.c: products of matrices that ONNX Runtime's tools make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

#define DOMAIN "com.microsoft"

/* Imports g with y = op(inputs) of that domain; consumes attrs. */
static Imported import_product(Buf *g, const char *op, const char *inputs, Buf *attrs) {
    Buf import = {0};
    put_string(attrs, 7, DOMAIN);
    add_op(g, op, inputs, attrs);
    Buf model = model_of(g, 17);
    put_string(&import, 1, DOMAIN);
    put_int(&import, 2, 1);
    put_message(&model, 8, &import);
    return import_bytes(&model, NULL);
}

static void assert_product(Imported m, const float *x, const char *type, const double *want) {
    if (!m.g)
        show(&m);
    assert_non_null(m.g);
    assert_result(&m, x, type, want);
    imported_free(&m);
}

static void assert_refused(Imported m, int exit_code, const char *text) {
    assert_complaint(&m, exit_code, text);
    imported_free(&m);
}

/* ---- FusedMatMul ----------------------------------------------------------------------------- */

static void test_transposes(void **state) {
    (void)state;
    static const char *const ops[] = {"FusedMatMul", "TransposeMatMul"};
    for (int i = 0; i < 2; i++) {
        Buf attrs = {0}, g = with_x("2,1");
        with_int(&attrs, "transB", 1);
        with_float(&attrs, "alpha", 0.5f);
        assert_product(import_product(&g, ops[i], "x,x", &attrs), F(2, 4), "f32[2,2]",
                       D(2, 4, 4, 8));
    }
    Buf attrs = {0}, g = with_x("1,2,3"); /* rows, batch, columns */
    add_floats(&g, "w", "2,3,1", F(1, 1, 1, 1, 10, 100), 6);
    with_int(&attrs, "transBatchA", 1);
    assert_product(import_product(&g, "FusedMatMul", "x,w", &attrs), F(1, 2, 3, 4, 5, 6),
                   "f32[2,1,1]", D(6, 654));
}

/* ---- MatMulNBits ----------------------------------------------------------------------------- */

enum { U8_TENSOR = 2, COLUMNS = 20 }; /* the second block of 16 has 4 columns */

static void add_u8(Buf *g, const char *name, const char *dims, const void *v, size_t n) {
    Buf t = raw_tensor(name, U8_TENSOR, dims, v, n);
    put_message(g, 5, &t);
}

static Buf sizes(int bits, int size) {
    Buf attrs = {0};
    with_int(&attrs, "K", COLUMNS);
    with_int(&attrs, "N", 1);
    with_int(&attrs, "bits", bits);
    with_int(&attrs, "block_size", size);
    with_int(&attrs, "accuracy_level", 4);
    return attrs;
}

/* x[1,COLUMNS], and weights whose columns 0, 1 and 16 are codes 3, 1 and 2 of 4 bits; the others
 * are 8, which is 0. */
static Buf nbits_model(void) {
    uint8_t codes[16];
    Buf g = with_x("1,20");
    for (int i = 0; i < 16; i++)
        codes[i] = 0x88;
    codes[0] = 0x13;
    codes[8] = 0x82;
    add_u8(&g, "w", "1,2,8", codes, sizeof codes);
    add_floats(&g, "s", "2", F(1, 10), 2);
    return g;
}

static void test_nbits(void **state) {
    (void)state;
    float x[COLUMNS] = {[0] = 1, [1] = 100, [16] = 1000};
    Buf attrs = sizes(4, 16), g = nbits_model();
    assert_product(import_product(&g, "MatMulNBits", "x,w,s", &attrs), x, "f32[1,1]",
                   D(3 - 8 + 100 * (1 - 8) + 1000 * 10 * (2 - 8)));
    g = nbits_model(); /* zero points 3 and 2, packed */
    attrs = sizes(4, 16);
    add_u8(&g, "z", "1", (uint8_t[]){0x23}, 1);
    add_floats(&g, "b", "1", F(7), 1);
    assert_product(import_product(&g, "MatMulNBits", "x,w,s,z,,b", &attrs), x, "f32[1,1]", D(-193));
    g = nbits_model(); /* as numbers */
    attrs = sizes(4, 16);
    add_floats(&g, "z", "1,2", F(2.5, 2), 2);
    assert_product(import_product(&g, "MatMulNBits", "x,w,s,z", &attrs), x, "f32[1,1]", D(-149.5));
}

static void test_bad_nbits(void **state) {
    (void)state;
    Buf attrs = sizes(3, 16), g = nbits_model();
    assert_refused(import_product(&g, "MatMulNBits", "x,w,s", &attrs), EXIT_UNSUPPORTED, "3 bits");
    attrs = sizes(4, 12);
    g = nbits_model();
    assert_refused(import_product(&g, "MatMulNBits", "x,w,s", &attrs), EXIT_BAD_MODEL,
                   "blocks of 12");
    attrs = sizes(8, 16);
    g = nbits_model();
    assert_refused(import_product(&g, "MatMulNBits", "x,w,s", &attrs), EXIT_BAD_MODEL,
                   "its weights have 16 elements, not 32");
    attrs = sizes(4, 16);
    g = nbits_model();
    int32_t blocks[COLUMNS] = {[5] = 2};
    Buf t = raw_tensor("i", 6, "20", blocks, sizeof blocks);
    put_message(&g, 5, &t);
    assert_refused(import_product(&g, "MatMulNBits", "x,w,s,,i", &attrs), EXIT_BAD_MODEL,
                   "block 2 of a column is none of 2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transposes),
        cmocka_unit_test(test_nbits),
        cmocka_unit_test(test_bad_nbits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
