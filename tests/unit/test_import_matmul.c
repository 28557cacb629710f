/* Unit tests of the importers of Gemm and MatMul: as test_import_ops.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

/* x [1,2] by b, 3 outputs: rows or columns of b are 1 2, 3 4, 5 6. */
static Buf gemm_graph(bool trans_b, const char *c_dims, size_t nc, Buf *attrs) {
    Buf g = with_x("1,2");
    if (trans_b)
        add_floats(&g, "b", "3,2", F(1, 2, 3, 4, 5, 6), 6);
    else
        add_floats(&g, "b", "2,3", F(1, 3, 5, 2, 4, 6), 6);
    if (c_dims)
        add_floats(&g, "c", c_dims, F(10, 20, 30), nc);
    with_int(attrs, "transB", trans_b);
    add_op(&g, "Gemm", c_dims ? "x,b,c" : "x,b", attrs);
    return g;
}

static void test_gemm(void **state) {
    (void)state;
    Buf attrs = {0}, g;
    for (int trans = 0; trans < 2; trans++) {
        g = gemm_graph(trans, "3", 3, &attrs);
        assert_model(&g, 11, "dense", F(1, 10), "f32[1,3]", D(31, 63, 95));
        g = gemm_graph(trans, NULL, 0, &attrs);
        assert_model(&g, 11, "dense", F(1, 10), "f32[1,3]", D(21, 43, 65));
        with_float(&attrs, "alpha", 2);
        with_float(&attrs, "beta", 0.5f);
        g = gemm_graph(trans, "1,3", 3, &attrs);
        assert_model(&g, 11, "dense", F(1, 10), "f32[1,3]", D(47, 96, 145));
    }
    g = gemm_graph(true, "", 1, &attrs); /* one number for all */
    assert_model(&g, 11, "dense", F(1, 10), "f32[1,3]", D(31, 53, 75));
    with_float(&attrs, "beta", 0);
    g = gemm_graph(true, "3", 3, &attrs);
    assert_model(&g, 11, "dense", F(1, 10), "f32[1,3]", D(21, 43, 65));
}

static void test_gemm_with_a_transposed_and_a_computed_c(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2,1");
    add_floats(&g, "b", "1,2", F(2, 3), 2); /* [K, N] of transA: x' is [1,2], so b must be [2,N] */
    with_int(&attrs, "transA", 1);
    with_int(&attrs, "transB", 1);
    with_float(&attrs, "beta", 2);
    add_op(&g, "Gemm", "x,b,x", &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "C does not broadcast");
    g = with_x("1,1");
    add_floats(&g, "b", "1,2", F(2, 3), 2);
    with_float(&attrs, "beta", 2);
    add_op(&g, "Gemm", "x,b,x", &attrs);
    assert_model(&g, 13, "dense mul add", F(5), "f32[1,2]", D(20, 25));
    g = with_x("2,1");
    add_floats(&g, "b", "2,1", F(2, 3), 2);
    with_int(&attrs, "transA", 1);
    add_op(&g, "Gemm", "x,b", &attrs);
    assert_model(&g, 13, "transpose dense", F(5, 7), "f32[1,1]", D(31));
}

static void test_gemm_at_run_time(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,2");
    with_int(&attrs, "transA", 1);
    with_float(&attrs, "alpha", 2);
    add_op(&g, "Gemm", "x,x", &attrs);
    assert_model(&g, 13, "transpose matmul mul", F(3, 5), "f32[2,2]", D(18, 30, 30, 50));
    g = with_x("1,2");
    with_int(&attrs, "transB", 1);
    with_float(&attrs, "beta", 3);
    add_floats(&g, "c", "1", F(7), 1);
    add_op(&g, "Gemm", "x,x,c", &attrs);
    assert_model(&g, 13, "transpose matmul mul add", F(3, 5), "f32[1,1]", D(55));
}

static void test_bad_gemms(void **state) {
    (void)state;
    Buf g = with_x("1,2");
    add_op(&g, "Gemm", "x,x", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "a has 2 columns, and b 1 rows");
    g = with_x("1,2,1");
    add_floats(&g, "b", "2,1", F(1, 2), 2);
    add_op(&g, "Gemm", "x,b", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "must be a matrix");
    g = with_x("1,3");
    add_floats(&g, "b", "2,1", F(1, 2), 2);
    add_op(&g, "Gemm", "x,b", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "the weight has 2 inputs, the input has 3");
}

static void test_matmul(void **state) {
    (void)state;
    static const struct {
        const char *x, *ops, *type;
    } cases[] = {{"2,2", "dense", "f32[2,1]"},
                 {"1,2,2", "reshape dense reshape", "f32[1,2,1]"},
                 {"2,1,1,2", "reshape dense reshape", "f32[2,1,1,1]"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf g = with_x(cases[i].x);
        add_floats(&g, "b", "2,1", F(1, 10), 2);
        add_op(&g, "MatMul", "x,b", NULL);
        assert_model(&g, 13, cases[i].ops, F(1, 2, 3, 4), cases[i].type, D(21, 43));
    }
    Buf g = with_x("2"); /* a vector */
    add_floats(&g, "b", "2,1", F(1, 10), 2);
    add_op(&g, "MatMul", "x,b", NULL);
    assert_model(&g, 13, "reshape dense reshape", F(1, 2), "f32[1]", D(21));
    g = with_x("2,2");
    add_floats(&g, "b", "1,2,1", F(1, 10), 2);
    add_op(&g, "MatMul", "x,b", NULL);
    assert_model(&g, 13, "matmul", F(1, 2, 3, 4), "f32[1,2,1]", D(21, 43));
}

static void test_matmul_of_vectors(void **state) {
    (void)state;
    Buf g = with_x("2");
    add_op(&g, "MatMul", "x,x", NULL);
    assert_model(&g, 13, "reshape reshape matmul reshape", F(3, 4), "f32[]", D(25));
    g = with_x("2");
    add_floats(&g, "b", "2,2,3", F(1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60), 12);
    add_op(&g, "MatMul", "x,b", NULL);
    assert_model(&g, 13, "reshape matmul reshape", F(1, 2), "f32[2,3]", D(9, 12, 15, 90, 120, 150));
    g = with_x("2,2");
    add_floats(&g, "b", "2", F(1, 10), 2);
    add_op(&g, "MatMul", "x,b", NULL);
    assert_model(&g, 13, "reshape matmul reshape", F(1, 2, 3, 4), "f32[2]", D(21, 43));
    g = with_x("2,2");
    add_floats(&g, "b", "3", F(1, 2, 3), 3);
    add_op(&g, "MatMul", "x,b", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "a has 2 columns, and b 3 rows");
    g = with_x("2,1,2");
    add_floats(&g, "b", "3,2,1", F(1, 2, 3, 4, 5, 6), 6);
    add_op(&g, "MatMul", "x,b", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "can't be broadcast");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_gemm_with_a_transposed_and_a_computed_c),
        cmocka_unit_test(test_gemm_at_run_time),
        cmocka_unit_test(test_bad_gemms),
        cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_matmul_of_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
