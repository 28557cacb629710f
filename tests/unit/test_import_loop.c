/* Unit tests of the ONNX importer: Loop, Scan and SequenceMap, unrolled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

static void add_int(Buf *g, const char *name, int64_t x) {
    Buf t = raw_tensor(name, ONNX_INT64, "", &x, sizeof x);
    put_message(g, 5, &t);
}

static void add_bool(Buf *g, const char *name, bool x) {
    Buf t = raw_tensor(name, ONNX_BOOL, "", &x, 1);
    put_message(g, 5, &t);
}

static void add_inputs(Buf *g, const char *list) {
    char word[64];
    while (*list) {
        list = next_dim(list, word, sizeof word);
        add_input(g, word, ONNX_FLOAT, NULL);
    }
}

static void add_outputs(Buf *g, const char *list) {
    char word[64];
    while (*list) {
        list = next_dim(list, word, sizeof word);
        add_output(g, word, ONNX_FLOAT, NULL);
    }
}

/* ---- Loop ------------------------------------------------------------------------------------ */

/* A body that doubles what is carried, and goes on while it is in iterations before `stop`. */
static Buf doubling_body(void) {
    Buf b = {0};
    add_inputs(&b, "i,go,v");
    add_int(&b, "stop", 2);
    add_node(&b, "Less", "i,stop", "more", NULL);
    add_node(&b, "Add", "v,v", "w", NULL);
    return b;
}

static Imported import_loop(const char *inputs, const char *outputs, Buf *body) {
    Buf g = with_x("2"), attrs = {0};
    with_graph(&attrs, "body", body);
    add_int(&g, "three", 3);
    add_int(&g, "none", 0);
    add_int(&g, "endless", INT64_MAX);
    add_bool(&g, "yes", true);
    add_bool(&g, "no", false);
    add_node(&g, "Loop", inputs, outputs, &attrs);
    add_y(&g);
    return import_graph(&g, 16, NULL);
}

static void assert_loop(const char *inputs, const char *ops, const double *want) {
    Buf body = doubling_body();
    add_outputs(&body, "more,w");
    Imported m = import_loop(inputs, "y", &body);
    if (!m.g)
        show(&m);
    assert_non_null(m.g);
    assert_ops(&m, ops);
    assert_result(&m, F(1, -2), "f32[2]", want);
    imported_free(&m);
}

static void test_number_of_iterations(void **state) {
    (void)state;
    assert_loop("three,,x", "add add add", D(8, -16)); /* the condition is not looked at */
    assert_loop("three,yes,x", "add add add", D(8, -16));
    assert_loop("endless,yes,x", "add add add", D(8, -16));
    assert_loop(",yes,x", "add add add", D(8, -16));
    assert_loop(",no,x", "", D(1, -2));
    assert_loop("none,yes,x", "", D(1, -2));
}

/* What an iteration gives beside is stacked. */
static void test_scanned_outputs(void **state) {
    (void)state;
    Buf body = doubling_body();
    add_node(&body, "Neg", "v", "n", NULL);
    add_outputs(&body, "more,w,n");
    Imported m = import_loop("three,,x", ",y", &body);
    if (!m.g)
        show(&m);
    assert_non_null(m.g);
    assert_result(&m, F(1, -2), "f32[3,2]", D(-1, 2, -2, 4, -4, 8));
    assert_string_equal(m.g->first->origin, "Loop:y/0/Add:w");
    imported_free(&m);
    body = doubling_body();
    add_node(&body, "Neg", "v", "n", NULL);
    add_outputs(&body, "more,w,n");
    m = import_loop("none,,x", ",y", &body);
    assert_complaint(&m, EXIT_UNSUPPORTED, "no iterations, and its output 1 is used");
    imported_free(&m);
}

static void assert_loop_fails(const char *inputs, Buf *body, int exit_code, const char *text) {
    Imported m = import_loop(inputs, "y", body);
    assert_complaint(&m, exit_code, text);
    imported_free(&m);
}

static void test_bad_loops(void **state) {
    (void)state;
    Buf b = doubling_body();
    add_outputs(&b, "more");
    assert_loop_fails("three,,x", &b, EXIT_BAD_MODEL, "3 inputs and 1 outputs, and does not fit");
    b = doubling_body();
    add_outputs(&b, "more,w");
    assert_loop_fails("three,", &b, EXIT_BAD_MODEL, "3 inputs and 2 outputs, and does not fit");
    b = doubling_body();
    add_outputs(&b, "w,w");
    assert_loop_fails(",yes,x", &b, EXIT_UNSUPPORTED,
                      "its condition must be constant, and depends on the data of input \"x\"");
    b = doubling_body();
    add_outputs(&b, "stop,w");
    assert_loop_fails(",yes,x", &b, EXIT_BAD_MODEL, "its condition must be one bool");
    b = doubling_body();
    add_outputs(&b, "go,w");
    assert_loop_fails("endless,yes,x", &b, EXIT_UNSUPPORTED, "in their places the model has more");
    b = doubling_body();
    add_node(&b, "Multinomial", "w", "z", NULL);
    add_outputs(&b, "more,z");
    Imported m = import_loop("three,,x", "y", &b);
    assert_int_equal(m.d.errors, 1);
    assert_complaint(&m, EXIT_UNSUPPORTED, "result is random");
    imported_free(&m);
}

/* A trip count of shapes; what is carried changes its shape. */
static void test_loop_over_a_shape(void **state) {
    (void)state;
    Buf g = with_x("2"), b = {0}, attrs = {0}, cat = {0}, axis = {0};
    add_inputs(&b, "i,go,v");
    with_int(&cat, "axis", 0);
    add_node(&b, "Concat", "v,x", "w", &cat);
    add_outputs(&b, "go,w");
    with_graph(&attrs, "body", &b);
    add_int(&g, "first", 0);
    with_int(&axis, "axis", 0);
    add_node(&g, "Shape", "x", "shape", NULL);
    add_node(&g, "Gather", "shape,first", "n", &axis);
    add_op(&g, "Loop", "n,,x", &attrs);
    assert_model(&g, 16, "concat concat", F(1, 2), "f32[6]", D(1, 2, 1, 2, 1, 2));
}

/* ---- Scan ------------------------------------------------------------------------------------ */

/* Gives attrs the body of a Scan whose state is a sum of rows; it gathers each partial one. */
static void with_sums(Buf *attrs) {
    Buf b = {0};
    add_inputs(&b, "sum,row");
    add_node(&b, "Add", "sum,row", "next", NULL);
    add_node(&b, "Identity", "next", "partial", NULL);
    add_outputs(&b, "next,partial");
    with_graph(attrs, "body", &b);
    with_int(attrs, "num_scan_inputs", 1);
}

/* Sums of x[3,2] along its first axis, and each partial one. */
static void assert_scan(Buf *attrs, const char *outputs, const char *type, const double *want) {
    Buf g = with_x("3,2");
    with_sums(attrs);
    add_floats(&g, "zero", "2", F(0, 0), 2);
    add_floats(&g, "zeros", "3", F(0, 0, 0), 3);
    add_node(&g, "Scan", strstr(type, "[3]") ? "zeros,x" : "zero,x", outputs, attrs);
    add_y(&g);
    Imported m = import_ok(&g, 16);
    assert_result(&m, F(1, 2, 3, 4, 5, 6), type, want);
    imported_free(&m);
}

static void test_scan(void **state) {
    (void)state;
    Buf attrs = {0};
    assert_scan(&attrs, "y,z", "f32[2]", D(9, 12));
    assert_scan(&attrs, "z,y", "f32[3,2]", D(1, 2, 4, 6, 9, 12));
    with_ints(&attrs, "scan_input_directions", "1");
    assert_scan(&attrs, "z,y", "f32[3,2]", D(5, 6, 8, 10, 9, 12));
    with_ints(&attrs, "scan_output_directions", "1");
    assert_scan(&attrs, "z,y", "f32[3,2]", D(9, 12, 4, 6, 1, 2));
    with_ints(&attrs, "scan_output_axes", "-1");
    assert_scan(&attrs, "z,y", "f32[2,3]", D(1, 4, 9, 2, 6, 12));
}

static void test_scan_along_another_axis(void **state) {
    (void)state;
    Buf attrs = {0};
    with_ints(&attrs, "scan_input_axes", "-1");
    assert_scan(&attrs, "y,z", "f32[3]", D(3, 7, 11));
}

static void test_bad_scans(void **state) {
    (void)state;
    Buf g = with_x("3,2"), b = {0}, attrs = {0};
    add_inputs(&b, "row");
    add_outputs(&b, "row");
    with_graph(&attrs, "body", &b);
    with_int(&attrs, "num_scan_inputs", 2);
    add_op(&g, "Scan", "x", &attrs);
    assert_fails(&g, 16, EXIT_BAD_MODEL, "num_scan_inputs is 2, and must be 1 to 1");
    g = with_x("3,2");
    add_inputs(&b, "a,b");
    add_outputs(&b, "a");
    with_graph(&attrs, "body", &b);
    with_int(&attrs, "num_scan_inputs", 2);
    add_floats(&g, "w", "2", F(1, 2), 2);
    add_op(&g, "Scan", "x,w", &attrs);
    assert_fails(&g, 16, EXIT_BAD_MODEL, "its inputs have 3 and 2 elements");
    g = with_x("3,2");
    add_inputs(&b, "row");
    add_outputs(&b, "row");
    with_graph(&attrs, "body", &b);
    with_int(&attrs, "num_scan_inputs", 1);
    with_ints(&attrs, "scan_input_axes", "0,0");
    add_op(&g, "Scan", "x", &attrs);
    assert_fails(&g, 16, EXIT_BAD_MODEL, "\"scan_input_axes\" has 2 numbers, and needs 1");
    g = with_x("3,2");
    add_inputs(&b, "row");
    add_outputs(&b, "row");
    with_graph(&attrs, "body", &b);
    add_op(&g, "Scan", "x", &attrs);
    assert_fails(&g, 7, EXIT_UNSUPPORTED, "supported from opset 8 on");
}

/* Of a batch: y = final sums and z = partial sums of x[2,2,1]. */
static void assert_scan_8(Buf *attrs, const char *inputs, const char *outputs, const char *type,
                          const double *want) {
    Buf g = with_x("2,2,1");
    with_sums(attrs);
    add_floats(&g, "start", "2,1", F(0, 10), 2);
    add_ints(&g, "lengths", "2,2");
    add_node(&g, "Scan", inputs, outputs, attrs);
    add_y(&g);
    Imported m = import_graph(&g, 8, NULL);
    if (want)
        assert_result(&m, F(1, 2, 3, 4), type, want);
    else
        assert_complaint(&m, EXIT_UNSUPPORTED, "several lengths");
    imported_free(&m);
}

static void test_scan_of_a_batch(void **state) {
    (void)state;
    Buf attrs = {0};
    assert_scan_8(&attrs, ",start,x", "y,z", "f32[2,1]", D(3, 17));
    assert_scan_8(&attrs, ",start,x", "z,y", "f32[2,2,1]", D(1, 3, 13, 17));
    with_ints(&attrs, "directions", "1");
    assert_scan_8(&attrs, ",start,x", "z,y", "f32[2,2,1]", D(2, 3, 14, 17));
    assert_scan_8(&attrs, "lengths,start,x", "z,y", NULL, NULL);
}

/* ---- SequenceMap ----------------------------------------------------------------------------- */

static void test_sequence_map(void **state) {
    (void)state;
    Buf g = with_x("2"), b = {0}, attrs = {0}, axis = {0};
    add_inputs(&b, "e,whole");
    add_node(&b, "Add", "e,whole", "sum", NULL);
    add_outputs(&b, "sum");
    with_graph(&attrs, "body", &b);
    add_floats(&g, "w", "2", F(10, 20), 2);
    add_node(&g, "SequenceConstruct", "x,w", "s", NULL);
    add_node(&g, "SequenceMap", "s,w", "t", &attrs);
    with_int(&axis, "axis", 0);
    add_op(&g, "ConcatFromSequence", "t", &axis);
    assert_model(&g, 17, "add add concat", F(1, 2), "f32[4]", D(11, 22, 20, 40));
    g = with_x("2");
    add_inputs(&b, "e");
    add_outputs(&b, "e");
    with_graph(&attrs, "body", &b);
    add_op(&g, "SequenceMap", "x", &attrs);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "input 0 is no sequence");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number_of_iterations),
        cmocka_unit_test(test_scanned_outputs),
        cmocka_unit_test(test_bad_loops),
        cmocka_unit_test(test_loop_over_a_shape),
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_scan_along_another_axis),
        cmocka_unit_test(test_bad_scans),
        cmocka_unit_test(test_scan_of_a_batch),
        cmocka_unit_test(test_sequence_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
