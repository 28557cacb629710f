/* Unit tests of the importer of Unique, evaluated by the graph interpreter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

/* The first `count` elements of a list, and how many there are. */
typedef struct Want {
    double count, value[8];
} Want;

/* Output `name` of Unique(x): with its count where it has one. */
static void assert_list(const char *dims, Buf *attrs, const char *name, const float *x, Want want) {
    Buf g = with_x(dims);
    Arena a = {0};
    Diag d = {0};
    add_node(&g, "Unique", "x", "values,places,inverse,counts", attrs);
    add_output(&g, name, strcmp(name, "values") == 0 ? ONNX_FLOAT : ONNX_INT64, NULL);
    Imported m = import_ok(&g, 11);
    Tensor *in[1] = {tensor_wrap(&a, DT_f32, m.g->inputs.data[0]->type.shape, x)}, *out[2];
    bool counted = strcmp(name, "inverse") != 0;
    assert_int_equal(m.g->outputs.len, counted ? 2 : 1);
    assert_true(graph_eval(m.g, in, out, &a, &d));
    if (counted)
        assert_int_equal(tensor_i64(out[1], 0), (int64_t)want.count);
    for (int64_t i = 0; i < (int64_t)want.count; i++)
        if (tensor_f64(out[0], i) != want.value[i])
            fail_msg("%s %d is %g, wanted %g", name, (int)i, tensor_f64(out[0], i), want.value[i]);
    diag_free(&d);
    arena_free(&a);
    imported_free(&m);
}

static void test_elements(void **state) {
    (void)state;
    const float *x = F(2, 1, 1, 3, 4, 3);
    assert_list("6", NULL, "values", x, (Want){4, {1, 2, 3, 4}});
    assert_list("2,3", NULL, "places", x, (Want){4, {1, 0, 3, 4}});
    assert_list("3,2", NULL, "inverse", x, (Want){6, {1, 0, 0, 2, 3, 2}});
    assert_list("6", NULL, "counts", x, (Want){4, {2, 1, 2, 1}});
    assert_list("1", NULL, "values", F(7), (Want){1, {7}});
}

static void assert_unsorted(const char *name, Want want) {
    Buf attrs = {0};
    with_int(&attrs, "sorted", 0);
    assert_list("6", &attrs, name, F(2, 1, 1, 3, 4, 3), want);
}

static void test_in_their_order(void **state) {
    (void)state;
    assert_unsorted("values", (Want){4, {2, 1, 3, 4}});
    assert_unsorted("places", (Want){4, {0, 1, 3, 4}});
    assert_unsorted("inverse", (Want){6, {0, 1, 1, 2, 3, 2}});
    assert_unsorted("counts", (Want){4, {1, 2, 2, 1}});
}

static void assert_rows(const char *dims, int axis, const float *x, const char *name, Want want) {
    Buf attrs = {0};
    with_int(&attrs, "axis", axis);
    assert_list(dims, &attrs, name, x, want);
}

/* Rows are ordered by the first elements that differ. */
static void test_rows(void **state) {
    (void)state;
    const float *x = F(1, 0, 9, 1, 0, 2, 0, 5, 5, 1, 0, 9);
    assert_rows("4,3", 0, x, "inverse", (Want){4, {2, 1, 0, 2}});
    assert_rows("4,3", 0, x, "places", (Want){3, {2, 1, 0}});
    assert_rows("4,3", 0, x, "counts", (Want){3, {1, 1, 2}});
    /* what is there of the result: its first two columns of three */
    assert_rows("2,3", -1, F(3, 1, 3, 4, 2, 4), "inverse", (Want){3, {1, 0, 1}});
}

static void test_too_much(void **state) {
    (void)state;
    Buf g = with_x("5000");
    add_op(&g, "Unique", "x", NULL);
    assert_fails(&g, 11, EXIT_UNSUPPORTED, "all pairs of 5000 rows of 1 elements");
    g = with_x("0");
    add_op(&g, "Unique", "x", NULL);
    assert_fails(&g, 11, EXIT_UNSUPPORTED, "its input is empty");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_in_their_order),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
