/* Unit tests of sizes that depend on data: which values have a count beside them, and what is
 * refused since it would mix elements that are there with those that aren't. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

/* x: f32[4]; `at`: i64[1,4], the places where it isn't zero; axis 1 is counted. */
static Buf with_places(void) {
    Buf g = with_x("4");
    add_node(&g, "NonZero", "x", "at", NULL);
    return g;
}

/* Output 0 is counted along `axis` by the last output. */
static void assert_counted(Buf *g, int opset, int axis, const char *type) {
    Imported m = import_ok(g, opset);
    const OutputCount *c = graph_output_count(m.g, 0);
    assert_non_null(c);
    assert_int_equal(c->axis, axis);
    assert_int_equal(c->count, m.g->outputs.len - 1);
    assert_string_equal(m.g->output_names.data[c->count], "y_count");
    const Type *t = &m.g->outputs.data[c->count]->value->type;
    assert_true(t->dtype == DT_i64 && t->shape.rank == 0);
    Arena a = {0};
    assert_string_equal(type_str(&a, &m.g->outputs.data[0]->value->type), type);
    arena_free(&a);
    imported_free(&m);
}

static void rows_keep_their_count(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_places();
    with_ints(&attrs, "perm", "1,0");
    add_node(&g, "Transpose", "at", "rows", &attrs);
    add_floats(&g, "table", "4,2", F(1, 2, 3, 4, 5, 6, 7, 8), 8);
    add_node(&g, "GatherND", "table,rows", "picked", NULL); /* [n,2] */
    add_node(&g, "Mul", "picked,picked", "squares", NULL);
    add_ints(&g, "shape", "0,1,2");
    add_node(&g, "Reshape", "squares,shape", "apart", NULL);
    add_op(&g, "Concat", "apart,apart", (with_int(&attrs, "axis", 1), &attrs));
    assert_counted(&g, 13, 0, "f32[4,2,2]");
}

static void indices_give_their_count(void **state) {
    (void)state;
    Buf g = with_places();
    add_op(&g, "Gather", "x,at", NULL);
    assert_counted(&g, 13, 1, "f32[1,4]");
    Buf attrs = {0};
    g = with_x("2,4");
    add_floats(&g, "boxes", "1,4,4", F(0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 5, 5, 6, 6), 16);
    add_ints(&g, "most", "3");
    add_ints(&g, "axis0", "0");
    add_node(&g, "Unsqueeze", "x,axis0", "scores", NULL);
    add_node(&g, "NonMaxSuppression", "boxes,scores,most", "kept", NULL);
    add_ints(&g, "two", "2");
    with_int(&attrs, "axis", 1);
    add_node(&g, "Gather", "kept,two", "y", &attrs);
    add_output(&g, "y", ONNX_INT64, NULL);
    assert_counted(&g, 13, 0, "i64[6,1]");
}

/* One count for several outputs is one more output. */
static void outputs_share_a_count(void **state) {
    (void)state;
    Buf g = with_places();
    add_op(&g, "Gather", "x,at", NULL);
    add_output(&g, "at", ONNX_INT64, NULL);
    Imported m = import_ok(&g, 13);
    assert_int_equal(m.g->outputs.len, 3);
    assert_int_equal(graph_output_count(m.g, 0)->count, 2);
    assert_int_equal(graph_output_count(m.g, 1)->count, 2);
    assert_null(graph_output_count(m.g, 2));
    imported_free(&m);
}

/* The first three of what is there: of several tensors as many. */
static void first_ones(void **state) {
    (void)state;
    Buf g = with_places(), from_end = with_places();
    add_ints(&g, "from", "0");
    add_ints(&g, "to", "3");
    add_ints(&g, "last", "1");
    add_node(&g, "Slice", "at,from,to,last", "first", NULL);
    add_node(&g, "Gather", "x,at", "picked", NULL);
    add_node(&g, "Slice", "picked,from,to,last", "y", NULL);
    add_y(&g);
    add_output(&g, "first", ONNX_INT64, NULL);
    Imported m = import_ok(&g, 13);
    Arena a = {0};
    Diag d = {0};
    Tensor *in = tensor_wrap(&a, DT_f32, SHAPE(4), F(0, 5, 0, 0)), *out[3];
    assert_int_equal(m.g->outputs.len, 3);
    assert_int_equal(graph_output_count(m.g, 0)->count, 2);
    assert_int_equal(graph_output_count(m.g, 1)->count, 2);
    assert_true(graph_eval(m.g, &in, out, &a, &d));
    assert_int_equal(out[0]->shape.dim[1], 3);
    assert_int_equal(tensor_i64(out[2], 0), 1);
    in = tensor_wrap(&a, DT_f32, SHAPE(4), F(1, 5, 2, 3));
    assert_true(graph_eval(m.g, &in, out, &a, &d));
    assert_int_equal(tensor_i64(out[2], 0), 3);
    imported_free(&m);
    arena_free(&a);
    diag_free(&d);

    add_ints(&from_end, "from", "0");
    add_ints(&from_end, "to", "-1");
    add_ints(&from_end, "last", "1");
    add_op(&from_end, "Slice", "at,from,to,last", NULL);
    assert_fails(&from_end, 13, EXIT_UNSUPPORTED, "from the end");
}

static void assert_refused(const char *op, const char *inputs, Buf *attrs, const char *why) {
    Buf g = with_places();
    add_node(&g, "Gather", "x,at", "picked", NULL); /* [1,n] */
    add_floats(&g, "four", "4", F(1, 2, 3, 4), 4);
    add_ints(&g, "one", "1");
    add_op(&g, op, inputs, attrs);
    assert_fails(&g, 13, EXIT_UNSUPPORTED, why);
}

static void mixing_rows_is_refused(void **state) {
    (void)state;
    static const char across[] = "works across the axis concerned";
    Buf attrs = {0};
    assert_refused("ReduceSum", "picked", NULL, across);
    assert_refused("Softmax", "picked", NULL, across);
    assert_refused("Add", "picked,four", NULL, across);
    assert_refused("CumSum", "picked,one", NULL, across);
    assert_refused("Concat", "picked,picked", (with_int(&attrs, "axis", 1), &attrs), across);
    assert_refused("NonZero", "picked", NULL, across);
    assert_refused("Shape", "picked", NULL, "and so does its output 0");
    assert_refused("Size", "picked", NULL, "and so does its output 0");
}

/* Two counts are equal only where they are the same. */
static void counts_that_differ_are_refused(void **state) {
    (void)state;
    Buf g = with_places();
    add_node(&g, "NonZero", "x", "others", NULL);
    add_op(&g, "Add", "at,others", NULL);
    assert_fails(&g, 13, EXIT_UNSUPPORTED, "works across the axis concerned");
}

static void values_are_right(void **state) {
    (void)state;
    Buf g = with_places();
    add_op(&g, "Gather", "x,at", NULL);
    Imported m = import_ok(&g, 13);
    Arena a = {0};
    Diag d = {0};
    Tensor *in = tensor_wrap(&a, DT_f32, SHAPE(4), F(0, 5, -0.0F, NAN)), *out[2];
    assert_true(graph_eval(m.g, &in, out, &a, &d));
    assert_int_equal(tensor_i64(out[1], 0), 2);
    assert_true(tensor_f64(out[0], 0) == 5 && isnan(tensor_f64(out[0], 1)));
    diag_free(&d);
    arena_free(&a);
    imported_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_keep_their_count),  cmocka_unit_test(indices_give_their_count),
        cmocka_unit_test(outputs_share_a_count),  cmocka_unit_test(first_ones),
        cmocka_unit_test(mixing_rows_is_refused), cmocka_unit_test(counts_that_differ_are_refused),
        cmocka_unit_test(values_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
