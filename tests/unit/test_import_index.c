/* Unit tests of the importers of operators that find elements by indices, known ones and those that
 * are computed: small models, evaluated by the graph interpreter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

static const float SIX[] = {1, 2, 3, 4, 5, 6};

/* A graph with x, and `i`, which is x as integers. */
static Buf with_indices(const char *dims) {
    Buf attrs = {0}, g = with_x(dims);
    with_int(&attrs, "to", ONNX_INT64);
    add_node(&g, "Cast", "x", "i", &attrs);
    return g;
}

/* A constant `name` of the shape and these numbers. */
static void add_shaped_ints(Buf *g, const char *name, const char *list, const char *shape) {
    char flat[32], dims[32], inputs[72];
    snprintf(flat, sizeof flat, "%s_flat", name);
    snprintf(dims, sizeof dims, "%s_dims", name);
    snprintf(inputs, sizeof inputs, "%s,%s", flat, dims);
    add_ints(g, flat, list);
    add_ints(g, dims, shape);
    add_node(g, "Reshape", inputs, name, NULL);
}

static void test_gather_at_run_time(void **state) {
    (void)state;
    Buf g = with_indices("3");
    add_floats(&g, "table", "2,2", F(10, 20, 30, 40), 4);
    add_op(&g, "Gather", "table,i", NULL);
    assert_model(&g, 13, "cast gather", F(1, -2, -1), "f32[3,2]", D(30, 40, 10, 20, 30, 40));
}

static void test_gather_elements(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2,3");
    add_shaped_ints(&g, "at", "-1,0", "2,1");
    with_int(&attrs, "axis", 1);
    add_op(&g, "GatherElements", "x,at", &attrs);
    assert_model(&g, 13, "gather_elements", SIX, "f32[2,1]", D(3, 4));
    g = with_x("2,3");
    add_shaped_ints(&g, "at", "2", "1,1");
    add_op(&g, "GatherElements", "x,at", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "index 2 is outside [-2, 2)");
}

static void test_gather_nd(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2,3");
    add_shaped_ints(&g, "at", "2,0", "2,1");
    with_int(&attrs, "batch_dims", 1);
    add_op(&g, "GatherND", "x,at", &attrs);
    assert_model(&g, 12, "reshape gather_nd", SIX, "f32[2]", D(3, 4));
}

static void assert_scatter(int opset, const char *op, const char *reduction, const double *want) {
    Buf attrs = {0}, g = with_x("4");
    if (reduction)
        with_string(&attrs, "reduction", reduction);
    add_shaped_ints(&g, "at", "1,-3", strcmp(op, "ScatterND") == 0 ? "2,1" : "2");
    add_floats(&g, "updates", "2", F(5, -6), 2);
    add_op(&g, op, "x,at,updates", &attrs);
    assert_model(&g, opset,
                 strcmp(op, "ScatterND") == 0 ? "reshape scatter_nd" : "scatter_elements",
                 F(1, 2, 3, 4), "f32[4]", want);
}

static void test_scatter(void **state) {
    (void)state;
    assert_scatter(9, "Scatter", NULL, D(1, -6, 3, 4));
    assert_scatter(11, "ScatterElements", NULL, D(1, -6, 3, 4));
    assert_scatter(16, "ScatterElements", "add", D(1, 1, 3, 4));
    assert_scatter(16, "ScatterElements", "mul", D(1, -60, 3, 4));
    assert_scatter(18, "ScatterElements", "max", D(1, 5, 3, 4));
    assert_scatter(18, "ScatterND", "min", D(1, -6, 3, 4));
    assert_scatter(11, "ScatterND", NULL, D(1, -6, 3, 4));
    Buf attrs = {0}, g = with_x("4");
    with_string(&attrs, "reduction", "sub");
    add_ints(&g, "at", "0");
    add_floats(&g, "updates", "1", F(5), 1);
    add_op(&g, "ScatterElements", "x,at,updates", &attrs);
    assert_fails(&g, 18, EXIT_BAD_MODEL, "reduction \"sub\" is not known");
}

/* Outside of [-depth, depth) nothing is hot; fractions are cut off. */
static void test_one_hot(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("4");
    add_ints(&g, "depth", "2");
    add_floats(&g, "values", "2", F(-1, 7), 2);
    with_int(&attrs, "axis", 0);
    add_op(&g, "OneHot", "x,depth,values", &attrs);
    Imported m = import_ok(&g, 11);
    assert_result(&m, F(1.5F, -2, 2, -3), "f32[2,4]", D(-1, 7, -1, -1, 7, -1, -1, -1));
    imported_free(&m);
    g = with_x("4");
    add_ints(&g, "depth", "1000000");
    add_floats(&g, "values", "2", F(-1, 7), 2);
    add_op(&g, "OneHot", "x,depth,values", NULL);
    assert_fails(&g, 11, EXIT_UNSUPPORTED, "its depth is more than");
    g = with_x("4");
    add_ints(&g, "depth", "-1");
    add_floats(&g, "values", "1", F(-1), 1);
    add_op(&g, "OneHot", "x,depth,values", NULL);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "its values must be two numbers");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gather_at_run_time),
        cmocka_unit_test(test_gather_elements),
        cmocka_unit_test(test_gather_nd),
        cmocka_unit_test(test_scatter),
        cmocka_unit_test(test_one_hot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
