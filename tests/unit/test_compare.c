/* Comparing outputs with references: tolerances, NaN, infinities. */
#include "driver/driver.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static Comparison compare(int n, const double *out, const double *ref, Tolerance t) {
    Arena a = {0};
    Tensor *x = tensor_new(&a, DT_f64, SHAPE(n)), *y = tensor_new(&a, DT_f64, SHAPE(n));
    for (int i = 0; i < n; i++) {
        tensor_set_f64(x, i, out[i]);
        tensor_set_f64(y, i, ref[i]);
    }
    Comparison c = tensor_compare(x, y, &t);
    arena_free(&a);
    return c;
}

static const Tolerance relative = {.relative = 0.01};

static void test_relative_is_of_the_largest_reference(void **state) {
    (void)state;
    Comparison c = compare(3, (double[]){1, -99.5, 3}, (double[]){1, -100, 3}, relative);
    assert_true(c.pass);
    assert_true(c.max_abs == 0.5);
    assert_true(c.relative == 0.005);
    assert_int_equal(c.worst, 1);
    c = compare(3, (double[]){1, -98.5, 3}, (double[]){1, -100, 3}, relative);
    assert_false(c.pass);
    assert_true(c.relative == 0.015);
}

static void test_equal_zeros_pass_and_others_do_not(void **state) {
    (void)state;
    assert_true(compare(2, (double[]){0, 0}, (double[]){0, -0.0}, relative).pass);
    Comparison c = compare(2, (double[]){0, 1e-30}, (double[]){0, 0}, relative);
    assert_false(c.pass);
    assert_true(isinf(c.relative));
}

static void test_nan_must_meet_nan(void **state) {
    (void)state;
    assert_true(compare(2, (double[]){NAN, 1}, (double[]){NAN, 1}, relative).pass);
    Comparison c = compare(2, (double[]){1, NAN}, (double[]){1, 1}, relative);
    assert_false(c.pass);
    assert_int_equal(c.not_finite, 1);
    assert_int_equal(c.worst, 1);
    assert_false(compare(2, (double[]){1, 1}, (double[]){1, NAN}, relative).pass);
    assert_false(compare(1, (double[]){NAN}, (double[]){INFINITY}, relative).pass);
}

static void test_an_infinity_must_meet_itself(void **state) {
    (void)state;
    Comparison c = compare(2, (double[]){-INFINITY, 2}, (double[]){-INFINITY, 2}, relative);
    assert_true(c.pass);
    assert_true(c.max_abs == 0);
    assert_false(compare(1, (double[]){INFINITY}, (double[]){-INFINITY}, relative).pass);
    assert_false(compare(1, (double[]){INFINITY}, (double[]){1e300}, relative).pass);
    /* The infinity does not hide the other element's error. */
    assert_false(compare(2, (double[]){INFINITY, 2}, (double[]){INFINITY, 3}, relative).pass);
}

static void test_elementwise_bounds(void **state) {
    Tolerance t = {.relative = INFINITY, .atol = 0.1, .rtol = 0.5, .each = true};
    (void)state;
    assert_true(compare(3, (double[]){0.1, 1.5, -3}, (double[]){0, 1, -2}, t).pass);
    Comparison c = compare(4, (double[]){0.1, 2, 0.2, 9}, (double[]){0, 1, 0, 1}, t);
    assert_false(c.pass);
    assert_int_equal(c.out_of_band, 3);
    assert_int_equal(c.worst, 1); /* the first */
}

static void test_empty_outputs_are_equal(void **state) {
    (void)state;
    Comparison c = compare(0, NULL, NULL, relative);
    assert_true(c.pass);
    assert_int_equal(c.worst, -1);
}

static void test_references_of_another_precision(void **state) {
    Arena a = {0};
    Tensor *x = tensor_new(&a, DT_f32, SHAPE(2)), *y = tensor_new(&a, DT_f16, SHAPE(2));
    (void)state;
    for (int i = 0; i < 2; i++) {
        tensor_set_f64(x, i, 1.0 / 3);
        tensor_set_f64(y, i, 1.0 / 3);
    }
    Comparison c = tensor_compare(x, y, &relative);
    assert_true(c.pass);
    assert_true(c.max_abs > 0 && c.max_abs < 1e-3);
    arena_free(&a);
}

static void test_units_in_the_last_place(void **state) {
    (void)state;
    Arena a = {0};
    Tensor *x = tensor_new(&a, DT_f32, SHAPE(3)), *y = tensor_new(&a, DT_f32, SHAPE(3));
    const double ref[] = {1, 0, 4096}, out[] = {1 + 3 * 0x1p-23, 0x1p-148, 4096};
    for (int i = 0; i < 3; i++) {
        tensor_set_f64(x, i, out[i]);
        tensor_set_f64(y, i, ref[i]);
    }
    assert_true(tensor_compare(x, y, &relative).max_ulp == 3);
    tensor_set_f64(x, 1, 0x1p-140); /* of zero the unit is the least denormal number */
    assert_true(tensor_compare(x, y, &relative).max_ulp == 512);
    x = tensor_new(&a, DT_f16, SHAPE(1));
    y = tensor_new(&a, DT_f16, SHAPE(1));
    tensor_set_f64(x, 0, 2);
    tensor_set_f64(y, 0, 1);
    assert_true(tensor_compare(x, y, &relative).max_ulp == 1024);
    x = tensor_new(&a, DT_i64, SHAPE(1));
    y = tensor_new(&a, DT_i64, SHAPE(1));
    tensor_set_i64(x, 0, -5);
    assert_true(tensor_compare(x, y, &relative).max_ulp == 5);
    arena_free(&a);
}

static void test_cosine(void **state) {
    (void)state;
    assert_true(compare(2, (double[]){3, 4}, (double[]){6, 8}, relative).cosine == 1);
    assert_true(compare(2, (double[]){0, 2}, (double[]){5, 0}, relative).cosine == 0);
    assert_true(compare(2, (double[]){1, 0}, (double[]){-2, 0}, relative).cosine == -1);
    assert_true(compare(2, (double[]){0, 0}, (double[]){0, 0}, relative).cosine == 1);
    assert_true(compare(2, (double[]){0, 0}, (double[]){1, 0}, relative).cosine == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relative_is_of_the_largest_reference),
        cmocka_unit_test(test_equal_zeros_pass_and_others_do_not),
        cmocka_unit_test(test_nan_must_meet_nan),
        cmocka_unit_test(test_an_infinity_must_meet_itself),
        cmocka_unit_test(test_elementwise_bounds),
        cmocka_unit_test(test_empty_outputs_are_equal),
        cmocka_unit_test(test_references_of_another_precision),
        cmocka_unit_test(test_units_in_the_last_place),
        cmocka_unit_test(test_cosine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
