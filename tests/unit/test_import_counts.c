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
    assert_refused("ReduceMean", "picked", NULL, across);
    assert_refused("Softmax", "picked", NULL, across);
    assert_refused("Add", "picked,four", NULL, across);
    assert_refused("CumSum", "picked,one", NULL, across);
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

/* Evaluates with x = v: of output 0 as many elements are there as wanted (a count of -1: it has no
 * count), and they are these. */
static void assert_there(Buf *g, const float *v, int count, const double *want, int wanted) {
    Buf copy = {0};
    buf_write(&copy, g->data, g->len);
    Imported m = import_ok(&copy, 13);
    Arena a = {0};
    Diag d = {0};
    Tensor *in = tensor_wrap(&a, DT_f32, SHAPE(4), v), *out[4];
    assert_true(graph_eval(m.g, &in, out, &a, &d));
    const OutputCount *c = graph_output_count(m.g, 0);
    assert_int_equal(c != NULL, count >= 0);
    if (c)
        assert_int_equal(tensor_i64(out[c->count], 0), count);
    assert_true(shape_elems(&out[0]->shape) >= wanted);
    for (int i = 0; i < wanted; i++) {
        double y =
            dtype_is_float(out[0]->dtype) ? tensor_f64(out[0], i) : (double)tensor_i64(out[0], i);
        if (y != want[i] && !(isnan(y) && isnan(want[i])))
            fail_msg("element %d is %g, and should be %g", i, y, want[i]);
    }
    imported_free(&m);
    arena_free(&a);
    diag_free(&d);
}

/* Those of x that aren't 0, as a list. */
static Buf with_picked(void) {
    Buf g = with_places();
    add_ints(&g, "first", "0");
    add_node(&g, "Squeeze", "at,first", "places", NULL);
    add_node(&g, "Gather", "x,places", "picked", NULL);
    return g;
}

static void concat_puts_together_what_is_there(void **state) {
    (void)state;
    Buf g = with_picked(), attrs = {0};
    add_floats(&g, "two", "2", F(8, 9), 2);
    with_int(&attrs, "axis", 0);
    add_op(&g, "Concat", "picked,two,picked", &attrs);
    assert_there(&g, F(0, 5, 0, 7), 6, D(5, 7, 8, 9, 5, 7), 6);
    assert_there(&g, F(0, 0, 0, 0), 2, D(8, 9), 2);
    assert_there(&g, F(1, 2, 3, 4), 10, D(1, 2, 3, 4, 8, 9, 1, 2, 3, 4), 10);
    buf_free(&g);
    /* two of the same sizes have one count */
    g = with_picked();
    add_node(&g, "Neg", "picked", "negative", NULL);
    with_int(&attrs, "axis", 0);
    add_node(&g, "Concat", "picked,picked", "a", &attrs);
    with_int(&attrs, "axis", 0);
    add_node(&g, "Concat", "negative,picked", "b", &attrs);
    add_op(&g, "Add", "a,b", NULL);
    assert_there(&g, F(0, 5, 0, 7), 4, D(0, 0, 10, 14), 4);
    buf_free(&g);
}

static void reductions_see_what_is_there(void **state) {
    static const struct {
        const char *op;
        double of_two, of_none;
    } rows[] = {{"ReduceSum", -12, 0},
                {"ReduceProd", 35, 1},
                {"ReduceMax", -5, -INFINITY},
                {"ReduceMin", -7, INFINITY},
                {"ReduceSumSquare", 74, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Buf g = with_picked();
        add_op(&g, rows[i].op, "picked", NULL);
        assert_there(&g, F(0, -5, 0, -7), -1, &rows[i].of_two, 1);
        assert_there(&g, F(0, 0, 0, 0), -1, &rows[i].of_none, 1);
        buf_free(&g);
    }
    Buf g = with_places(); /* integers, whose mean is a sum over a size */
    add_node(&g, "ReduceMean", "at", "y", NULL);
    add_output(&g, "y", ONNX_INT64, NULL);
    assert_fails(&g, 13, EXIT_UNSUPPORTED, "works across the axis concerned");
}

/* Of as many as there are, where that is less. */
static void top_of_what_is_there(void **state) {
    (void)state;
    for (int largest = 0; largest < 2; largest++) {
        Buf g = with_picked(), attrs = {0};
        add_ints(&g, "most", "3");
        with_int(&attrs, "axis", 0);
        add_node(&g, "Shape", "picked", "shape", NULL);
        add_node(&g, "Concat", "most,shape", "sizes", &attrs);
        with_int(&attrs, "keepdims", 0);
        add_node(&g, "ReduceMin", "sizes", "least", &attrs);
        add_ints(&g, "one", "1");
        add_node(&g, "Reshape", "least,one", "k", NULL);
        with_int(&attrs, "largest", largest);
        add_node(&g, "TopK", "picked,k", "y,places_of_y", &attrs);
        add_y(&g);
        assert_there(&g, F(0, -5, 0, -7), 2, largest ? D(-5, -7) : D(-7, -5), 2);
        assert_there(&g, F(1, 4, 2, 3), 3, largest ? D(4, 3, 2) : D(1, 2, 3), 3);
        assert_there(&g, F(0, NAN, -INFINITY, INFINITY), 3,
                     largest ? D(NAN, INFINITY, -INFINITY) : D(-INFINITY, INFINITY, NAN), 3);
        assert_there(&g, F(0, NAN, 0, 0), 1, D(NAN), 1);
        assert_there(&g, F(0, 0, 0, 0), 0, NULL, 0);
        buf_free(&g);
    }
    Buf g = with_picked(); /* a k that is known */
    add_ints(&g, "k", "3");
    add_node(&g, "TopK", "picked,k", "y,places_of_y", NULL);
    add_y(&g);
    assert_there(&g, F(0, -5, 0, -7), 2, D(-5, -7), 2);
    buf_free(&g);
}

static void indices_of_what_is_there(void **state) {
    (void)state;
    Buf g = with_picked();
    add_ints(&g, "ends", "0,-1");
    add_op(&g, "Gather", "picked,ends", NULL);
    assert_there(&g, F(0, 5, 6, 0), -1, D(5, 6), 2);
    assert_there(&g, F(1, 2, 3, 4), -1, D(1, 4), 2);
    buf_free(&g);
    g = with_picked();
    add_node(&g, "NonZero", "picked", "y", NULL);
    add_output(&g, "y", ONNX_INT64, NULL);
    assert_there(&g, F(0, 5, 6, 0), 2, D(0, 1), 2);
    buf_free(&g);
}

static void sizes_of_what_is_there(void **state) {
    (void)state;
    Buf g = with_places();
    add_node(&g, "Shape", "at", "y", NULL);
    add_output(&g, "y", ONNX_INT64, NULL);
    assert_there(&g, F(0, 5, 6, 0), -1, D(1, 2), 2);
    buf_free(&g);
    g = with_picked();
    add_node(&g, "Shape", "picked", "shape", NULL);
    add_floats(&g, "one", "1", F(1), 1);
    add_node(&g, "Expand", "one,shape", "ones", NULL);
    add_node(&g, "ConstantOfShape", "shape", "zeros", NULL);
    add_node(&g, "Reshape", "picked,shape", "same", NULL);
    add_node(&g, "Add", "same,ones", "more", NULL);
    add_op(&g, "Sub", "more,zeros", NULL);
    assert_there(&g, F(0, 5, 6, 0), 2, D(6, 7), 2);
    buf_free(&g);
    g = with_picked(); /* it could have to be 1 */
    add_node(&g, "Shape", "picked", "shape", NULL);
    add_op(&g, "Expand", "x,shape", NULL);
    assert_fails(&g, 13, EXIT_UNSUPPORTED, "broadcasts against a size that depends on data");
    g = with_picked();
    add_node(&g, "Shape", "picked", "shape", NULL);
    add_op(&g, "Reshape", "x,shape", NULL);
    assert_fails(&g, 13, EXIT_UNSUPPORTED, "depends on data otherwise than its input");
}

/* As PyTorch expands: sizes of -1 are chosen among those that there are. */
static void sizes_that_are_chosen(void **state) {
    (void)state;
    Buf g = with_picked(), two = {0};
    add_node(&g, "Shape", "picked", "shape", NULL);
    add_ints(&g, "one", "1");
    add_floats(&g, "ones", "1", F(1), 1);
    buf_write(&two, g.data, g.len);
    add_ints(&g, "mark", "-1");
    add_node(&g, "Equal", "shape,mark", "is_marked", NULL);
    add_node(&g, "Where", "is_marked,one,shape", "sizes", NULL);
    add_op(&g, "Expand", "ones,sizes", NULL);
    assert_there(&g, F(0, 5, 6, 0), 2, D(1, 1), 2);
    buf_free(&g);
    add_ints(&two, "mark", "2"); /* there can be two */
    add_node(&two, "Equal", "shape,mark", "is_marked", NULL);
    add_node(&two, "Where", "is_marked,one,shape", "sizes", NULL);
    add_op(&two, "Expand", "ones,sizes", NULL);
    assert_fails(&two, 13, EXIT_UNSUPPORTED, "shape must be constant");
}

/* An end is where a part of a whole of that size ends; a known size beside one that isn't is one.
 */
static void ends_and_limits(void **state) {
    (void)state;
    Buf g = with_picked();
    add_node(&g, "Shape", "picked", "shape", NULL);
    add_ints(&g, "zero", "0");
    add_ints(&g, "one", "1");
    add_node(&g, "Add", "zero,shape", "end", NULL);
    Buf other = {0}, later = {0}, range = {0};
    buf_write(&other, g.data, g.len);
    buf_write(&later, g.data, g.len);
    buf_write(&range, g.data, g.len);
    add_node(&g, "Slice", "picked,zero,end,zero", "part", NULL);
    add_op(&g, "Add", "part,picked", NULL);
    assert_there(&g, F(0, 5, 6, 0), 2, D(10, 12), 2);
    buf_free(&g);
    add_op(&other, "Slice", "x,zero,end,zero", NULL);
    assert_there(&other, F(0, 5, 6, 0), 2, D(0, 5), 2);
    buf_free(&other);
    add_op(&later, "Slice", "x,one,end,zero", NULL);
    assert_fails(&later, 13, EXIT_UNSUPPORTED, "end 0 depends on data");
    add_node(&range, "Squeeze", "shape,zero", "limit", NULL);
    add_node(&range, "Squeeze", "zero,zero", "start", NULL);
    add_node(&range, "Squeeze", "one,zero", "step", NULL);
    add_node(&range, "Range", "start,limit,step", "y", NULL);
    add_output(&range, "y", ONNX_INT64, NULL);
    assert_there(&range, F(0, 5, 6, 0), 2, D(0, 1), 2);
    buf_free(&range);
}

/* Rows of two elements that become one list. */
static void rows_that_are_joined(void **state) {
    (void)state;
    Buf g = with_picked();
    add_ints(&g, "column", "4,1");
    add_ints(&g, "list", "-1");
    add_floats(&g, "by", "1,2", F(1, 10), 2);
    add_node(&g, "Reshape", "picked,column", "rows", NULL);
    add_node(&g, "Mul", "rows,by", "pairs", NULL);
    add_op(&g, "Reshape", "pairs,list", NULL);
    assert_there(&g, F(0, 5, 6, 0), 4, D(5, 50, 6, 60), 4);
    buf_free(&g);
}

/* What isn't there is written nowhere; indices from the end are from the end of what is there. */
static void scattered_where_it_is_there(void **state) {
    (void)state;
    Buf g = with_picked(), counted = {0};
    buf_write(&counted, g.data, g.len);
    add_floats(&g, "four", "4", F(1, 2, 3, 4), 4);
    add_op(&g, "ScatterElements", "four,places,picked", NULL);
    assert_there(&g, F(0, 5, 6, 0), -1, D(1, 5, 6, 4), 4);
    assert_there(&g, F(0, 0, 0, 0), -1, D(1, 2, 3, 4), 4);
    buf_free(&g);
    add_ints(&counted, "last", "-1");
    add_floats(&counted, "nine", "1", F(9), 1);
    add_op(&counted, "ScatterElements", "picked,last,nine", NULL);
    assert_there(&counted, F(0, 5, 6, 0), 2, D(5, 9), 2);
    buf_free(&counted);
}

/* Images work each by itself. */
static void images_that_are_there(void **state) {
    (void)state;
    Buf g = with_picked(), attrs = {0};
    add_ints(&g, "images", "4,1,1,1");
    add_floats(&g, "scales", "4", F(1, 1, 2, 1), 4);
    add_node(&g, "Reshape", "picked,images", "all", NULL);
    with_string(&attrs, "mode", "nearest");
    add_node(&g, "Resize", "all,,scales", "large", &attrs);
    with_ints(&attrs, "kernel_shape", "1,1");
    add_op(&g, "MaxPool", "large", &attrs);
    assert_there(&g, F(0, 5, 6, 0), 2, D(5, 5, 6, 6), 4);
    buf_free(&g);
}

/* Boxes that aren't there are not kept, though there is room and no limit of the score. */
static void boxes_that_are_there(void **state) {
    (void)state;
    Buf g = with_picked();
    add_floats(&g, "table", "4,4", F(0, 0, 1, 1, 0, 0, 1, 1.1F, 5, 5, 6, 6, 8, 8, 9, 9), 16);
    add_node(&g, "Gather", "table,places", "boxes", NULL);
    add_node(&g, "Unsqueeze", "boxes,first", "all_boxes", NULL);
    add_ints(&g, "two", "0,1");
    add_node(&g, "Unsqueeze", "picked,two", "scores", NULL);
    add_ints(&g, "most", "4");
    add_floats(&g, "iou", "", F(0.5F), 1);
    add_node(&g, "NonMaxSuppression", "all_boxes,scores,most,iou", "y", NULL);
    add_output(&g, "y", ONNX_INT64, NULL);
    assert_there(&g, F(1, 2, 0, 3), 2, D(0, 0, 2, 0, 0, 1), 6);
    assert_there(&g, F(0, 2, -1, -2), 3, D(0, 0, 0, 0, 0, 1, 0, 0, 2), 9);
    assert_there(&g, F(0, 0, 0, 0), 0, NULL, 0);
    buf_free(&g);
}

/* Rows of one operand, columns of the other; what is added up must all be there. */
static void products_of_what_is_there(void **state) {
    (void)state;
    Buf g = with_picked();
    add_ints(&g, "column", "4,1");
    add_ints(&g, "row", "1,4");
    add_node(&g, "Reshape", "picked,column", "rows", NULL);
    add_node(&g, "Reshape", "picked,row", "columns", NULL);
    add_floats(&g, "one_by_two", "1,2", F(1, 10), 2);
    add_floats(&g, "two_by_one", "2,1", F(1, 10), 2);
    Buf across = {0}, outer = {0};
    buf_write(&across, g.data, g.len);
    buf_write(&outer, g.data, g.len);
    add_op(&g, "MatMul", "rows,one_by_two", NULL);
    assert_there(&g, F(0, 5, 0, 7), 2, D(5, 50, 7, 70), 4);
    buf_free(&g);
    add_op(&outer, "MatMul", "two_by_one,columns", NULL);
    assert_there(&outer, F(0, 5, 0, 7), 2, D(5, 7), 2);
    buf_free(&outer);
    add_op(&across, "MatMul", "columns,rows", NULL);
    assert_fails(&across, 13, EXIT_UNSUPPORTED, "works across the axis concerned");
    g = with_picked(); /* images of one pixel */
    add_ints(&g, "images", "4,1,1,1");
    add_node(&g, "Reshape", "picked,images", "all", NULL);
    add_floats(&g, "w", "1,1,1,1", F(3), 1);
    add_node(&g, "Conv", "all,w", "tripled", NULL);
    add_op(&g, "GlobalAveragePool", "tripled", NULL);
    assert_there(&g, F(0, 5, 0, 7), 2, D(15, 21), 2);
    buf_free(&g);
}

/* As torchvision asks whether there is any box: a branch without elements has a count of 0. */
static void either_of_two_counts(void **state) {
    (void)state;
    Buf g = with_picked(), yes = {0}, no = {0}, attrs = {0};
    add_floats(&yes, "none", "0", NULL, 0);
    add_output(&yes, "none", ONNX_FLOAT, NULL);
    add_node(&no, "Neg", "picked", "negative", NULL);
    add_output(&no, "negative", ONNX_FLOAT, NULL);
    add_node(&g, "ReduceMax", "picked", "top", (with_int(&attrs, "keepdims", 0), &attrs));
    add_floats(&g, "limit", "", F(6), 1);
    add_node(&g, "Greater", "top,limit", "c", NULL);
    with_graph(&attrs, "then_branch", &yes);
    with_graph(&attrs, "else_branch", &no);
    add_op(&g, "If", "c", &attrs);
    assert_there(&g, F(0, 5, 0, 6), 2, D(-5, -6), 2);
    assert_there(&g, F(0, 5, 0, 7), 0, NULL, 0);
    buf_free(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_keep_their_count),
        cmocka_unit_test(indices_give_their_count),
        cmocka_unit_test(outputs_share_a_count),
        cmocka_unit_test(first_ones),
        cmocka_unit_test(mixing_rows_is_refused),
        cmocka_unit_test(counts_that_differ_are_refused),
        cmocka_unit_test(values_are_right),
        cmocka_unit_test(concat_puts_together_what_is_there),
        cmocka_unit_test(reductions_see_what_is_there),
        cmocka_unit_test(top_of_what_is_there),
        cmocka_unit_test(indices_of_what_is_there),
        cmocka_unit_test(sizes_of_what_is_there),
        cmocka_unit_test(sizes_that_are_chosen),
        cmocka_unit_test(ends_and_limits),
        cmocka_unit_test(rows_that_are_joined),
        cmocka_unit_test(scattered_where_it_is_there),
        cmocka_unit_test(images_that_are_there),
        cmocka_unit_test(boxes_that_are_there),
        cmocka_unit_test(either_of_two_counts),
        cmocka_unit_test(products_of_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
