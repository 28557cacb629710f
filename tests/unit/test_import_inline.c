/* Unit tests of the ONNX importer: subgraphs and functions that take the place of their nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

/* ---- If -------------------------------------------------------------------------------------- */

/* A graph of one node, "out" = op(inputs). */
static Buf branch_of(const char *op, const char *inputs) {
    Buf g = {0};
    add_node(&g, op, inputs, "out", NULL);
    add_output(&g, "out", ONNX_FLOAT, NULL);
    return g;
}

static Buf if_attributes(Buf *yes, Buf *no) {
    Buf attrs = {0};
    with_graph(&attrs, "then_branch", yes);
    with_graph(&attrs, "else_branch", no);
    return attrs;
}

/* y = If(c): Relu(x), else Neg(x). */
static void add_if(Buf *g) {
    Buf yes = branch_of("Relu", "x"), no = branch_of("Neg", "x");
    Buf attrs = if_attributes(&yes, &no);
    add_op(g, "If", "c", &attrs);
}

static void add_bool(Buf *g, const char *name, const char *dims, bool x) {
    Buf t = raw_tensor(name, ONNX_BOOL, dims, &x, 1);
    put_message(g, 5, &t);
}

static void test_a_condition_in_the_file(void **state) {
    (void)state;
    Buf g = with_x("3");
    add_bool(&g, "c", "", true);
    add_if(&g);
    Imported m = import_ok(&g, 13);
    assert_ops(&m, "relu");
    assert_string_equal(m.g->first->origin, "Relu:out");
    assert_string_equal(node_out(m.g->first)->name, "y"); /* as the node that it stands for */
    imported_free(&m);
    g = with_x("3");
    add_bool(&g, "c", "1", false); /* one element is enough */
    add_if(&g);
    assert_model(&g, 13, "neg", F(1, -2, 3), "f32[3]", D(-1, 2, -3));
}

/* As TorchScript writes it: is a size what it should be? */
static void test_a_condition_of_shapes(void **state) {
    (void)state;
    for (int64_t height = 4; height < 6; height++) {
        char dims[32];
        snprintf(dims, sizeof dims, "1,1,%d,1", (int)height);
        Buf g = with_x(dims), attrs = {0};
        add_ints(&g, "two", "2");
        add_ints(&g, "four", "4");
        add_node(&g, "Shape", "x", "shape", NULL);
        with_int(&attrs, "axis", 0);
        add_node(&g, "Gather", "shape,two", "height", &attrs);
        add_node(&g, "Equal", "height,four", "c", NULL);
        add_if(&g);
        Imported m = import_ok(&g, 13);
        assert_ops(&m, height == 4 ? "relu" : "neg");
        imported_free(&m);
    }
}

/* c: is the sum of x above 1? */
static void add_bool_of_data(Buf *g) {
    Buf attrs = {0};
    add_ints(g, "axes", "0");
    add_floats(g, "limit", "", F(1), 1);
    with_int(&attrs, "keepdims", 0);
    add_node(g, "ReduceSum", "x,axes", "sum", &attrs);
    add_node(g, "Greater", "sum,limit", "c", NULL);
}

/* Both branches are computed. */
static void test_a_condition_of_data(void **state) {
    (void)state;
    Buf g = with_x("3"), attrs;
    add_bool_of_data(&g);
    add_if(&g);
    Buf again = {0};
    buf_write(&again, g.data, g.len);
    assert_model(&g, 13, "reduce_sum less relu neg where", F(1, -2, 3), "f32[3]", D(1, 0, 3));
    assert_model(&again, 13, "reduce_sum less relu neg where", F(1, -2, -3), "f32[3]", D(-1, 2, 3));
    g = with_x("3");
    add_bool_of_data(&g);
    Buf yes = branch_of("Relu", "x"), no = branch_of("Transpose", "c");
    attrs = if_attributes(&yes, &no);
    add_op(&g, "If", "c", &attrs);
    assert_fails(&g, 13, EXIT_UNSUPPORTED, "its branches give f32[3] and bool[]");
    g = with_x("3");
    add_floats(&g, "c", "", F(1), 1);
    add_if(&g);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "condition must be one bool");
}

/* What isn't taken need not be supported, nor have the same type. */
static void test_only_the_branch_taken_counts(void **state) {
    (void)state;
    Buf g = with_x("3"), yes = branch_of("Relu", "x"), no = branch_of("Multinomial", "x");
    Buf attrs = if_attributes(&yes, &no);
    add_bool(&g, "c", "", true);
    add_op(&g, "If", "c", &attrs);
    Imported m = import_ok(&g, 13);
    assert_ops(&m, "relu");
    imported_free(&m);
    g = with_x("3");
    yes = branch_of("Multinomial", "x");
    no = branch_of("Relu", "x");
    attrs = if_attributes(&yes, &no);
    add_bool(&g, "c", "", true);
    add_op(&g, "If", "c", &attrs);
    m = import_graph(&g, 13, NULL);
    assert_int_equal(m.d.errors, 1); /* for the node inside alone */
    assert_complaint(&m, EXIT_UNSUPPORTED, "its result is random");
    imported_free(&m);
}

static void test_outputs_by_position(void **state) {
    (void)state;
    Buf g = with_x("2"), yes = {0}, no = {0};
    add_node(&yes, "Neg", "x", "b", NULL);
    add_node(&yes, "Relu", "x", "a", NULL);
    add_output(&yes, "a", ONNX_FLOAT, NULL);
    add_output(&yes, "b", ONNX_FLOAT, NULL);
    add_node(&no, "Identity", "x", "a", NULL);
    add_node(&no, "Identity", "x", "b", NULL);
    add_output(&no, "a", ONNX_FLOAT, NULL);
    add_output(&no, "b", ONNX_FLOAT, NULL);
    Buf attrs = if_attributes(&yes, &no);
    add_bool(&g, "c", "", true);
    add_node(&g, "If", "c", "first,second", &attrs);
    add_op(&g, "Sub", "first,second", NULL);
    assert_model(&g, 13, "neg relu sub", F(1, -2), "f32[2]", D(2, -2));
}

/* Branches have names, weights and constants of their own, and see those around them. */
static void test_scopes_of_branches(void **state) {
    (void)state;
    Buf g = with_x("2"), inner = {0}, middle = {0}, value = {0};
    Buf other = branch_of("Neg", "w"), another = branch_of("Neg", "x");
    Buf one = raw_tensor("", ONNX_FLOAT, "", F(10), 4);
    with_tensor(&value, "value", &one);
    add_node(&inner, "Constant", "", "k", &value);
    add_node(&inner, "Mul", "w,k", "p", NULL); /* of the branch around it */
    add_node(&inner, "Add", "p,outside", "q", NULL);
    add_output(&inner, "q", ONNX_FLOAT, NULL);
    Buf attrs = if_attributes(&inner, &other);
    add_floats(&middle, "w", "2", F(1, 2), 2);
    add_node(&middle, "If", "c", "r", &attrs);
    add_output(&middle, "r", ONNX_FLOAT, NULL);
    attrs = if_attributes(&middle, &another);
    add_bool(&g, "c", "", true);
    add_floats(&g, "w", "2", F(100, 100), 2); /* hidden in there */
    add_node(&g, "Neg", "x", "outside", NULL);
    add_op(&g, "If", "c", &attrs);
    assert_model(&g, 13, "neg mul add", F(3, 4), "f32[2]", D(7, 16));
}

static void test_sparse_weights_of_branches(void **state) {
    (void)state;
    Buf g = with_x("3"), yes = branch_of("Add", "x,s"), no = branch_of("Neg", "x"), s = {0};
    Buf values = raw_tensor("s", ONNX_FLOAT, "1", F(5), 4);
    const int64_t place = 1;
    Buf indices = raw_tensor("", ONNX_INT64, "1", &place, sizeof place);
    put_message(&s, 1, &values);
    put_message(&s, 2, &indices);
    put_int(&s, 3, 3);
    put_message(&yes, 15, &s);
    Buf attrs = if_attributes(&yes, &no);
    add_bool(&g, "c", "", true);
    add_op(&g, "If", "c", &attrs);
    assert_model(&g, 13, "add", F(1, 1, 1), "f32[3]", D(1, 6, 1));
}

/* The node waits for what its branches read, also where the file has it later. */
static void test_branches_are_waited_for(void **state) {
    (void)state;
    Buf g = with_x("2"), yes = branch_of("Neg", "late"), no = branch_of("Neg", "x");
    Buf attrs = if_attributes(&yes, &no);
    add_bool(&g, "c", "", true);
    add_op(&g, "If", "c", &attrs);
    add_node(&g, "Relu", "x", "late", NULL);
    assert_model(&g, 13, "relu neg", F(3, -4), "f32[2]", D(-3, 0));
}

/* A branch may give what it doesn't make. */
static void test_branches_without_nodes(void **state) {
    (void)state;
    Buf g = with_x("2"), yes = {0}, no = branch_of("Neg", "x");
    add_output(&yes, "outside", ONNX_FLOAT, NULL);
    Buf attrs = if_attributes(&yes, &no);
    add_bool(&g, "c", "", true);
    add_node(&g, "Relu", "x", "outside", NULL);
    add_op(&g, "If", "c", &attrs);
    assert_model(&g, 13, "relu", F(3, -4), "f32[2]", D(3, 0));
}

static void assert_if_fails(Buf *yes, Buf *no, int exit_code, const char *text) {
    Buf g = with_x("2"), attrs = if_attributes(yes, no);
    add_bool(&g, "c", "", true);
    add_op(&g, "If", "c", &attrs);
    assert_fails(&g, 13, exit_code, text);
}

static void test_bad_branches(void **state) {
    (void)state;
    Buf yes = branch_of("Neg", "x"), no = branch_of("Neg", "x");
    add_output(&no, "x", ONNX_FLOAT, NULL);
    assert_if_fails(&yes, &no, EXIT_BAD_MODEL, "else_branch has 2 outputs, and the node has 1");
    yes = branch_of("Neg", "x");
    no = branch_of("Neg", "x");
    add_input(&yes, "i", ONNX_FLOAT, "2");
    assert_if_fails(&yes, &no, EXIT_BAD_MODEL, "then_branch has 1 inputs, and must have none");
    yes = branch_of("Neg", "x");
    no = branch_of("Neg", "ghost");
    assert_if_fails(&yes, &no, EXIT_BAD_MODEL,
                    "node \"Neg:out\", inside node \"If:y\", reads \"ghost\", which nothing makes");
    yes = (Buf){0};
    no = branch_of("Neg", "x");
    add_output(&yes, "ghost", ONNX_FLOAT, NULL);
    assert_if_fails(&yes, &no, EXIT_BAD_MODEL, "nothing makes the output \"ghost\"");
    yes = branch_of("Neg", "x");
    no = branch_of("Neg", "x");
    add_node(&yes, "Relu", "x", "out", NULL);
    assert_if_fails(&yes, &no, EXIT_BAD_MODEL, "value \"out\" is made twice");
    yes = branch_of("Add", "x,later");
    no = branch_of("Neg", "x");
    add_node(&yes, "Neg", "out", "later", NULL);
    assert_if_fails(&yes, &no, EXIT_BAD_MODEL, "2 nodes wait for each other");
    yes = branch_of("Neg", "w");
    no = branch_of("Neg", "x");
    add_floats(&yes, "w", "3", F(1), 1);
    assert_if_fails(&yes, &no, EXIT_BAD_MODEL, "initializer \"w\" can't be used");
    yes = branch_of("Neg", "y"); /* waits for itself */
    no = branch_of("Neg", "x");
    assert_if_fails(&yes, &no, EXIT_BAD_MODEL, "a node waits for itself");
    Buf g = with_x("2"), attrs = {0};
    add_bool(&g, "c", "", true);
    with_int(&attrs, "then_branch", 1);
    add_op(&g, "If", "c", &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "\"then_branch\" must have type graph, and has int");
    g = with_x("2");
    yes = branch_of("Neg", "x");
    add_bool(&g, "c", "", true);
    with_graph(&attrs, "then_branch", &yes);
    add_op(&g, "If", "c", &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "\"else_branch\" is missing");
}

/* ---- functions ------------------------------------------------------------------------------- */

/* A model that calls functions, of IR version 8 or 10, and imports their domain. */
static Buf calling(Buf *graph) {
    Buf m = model_of(graph, 17);
    put_opset(&m, 8, "local", 1);
    return m;
}

static Imported import_calling(Buf *model) {
    Imported m = import_bytes(model, NULL);
    if (!m.g || !graph_verify(m.g, "import", &m.d))
        show(&m);
    assert_non_null(m.g);
    assert_int_equal(m.d.items.len, 0);
    return m;
}

static void assert_calling(Buf *model, const char *ops, const float *v, const char *type,
                           const double *want) {
    Imported m = import_calling(model);
    assert_ops(&m, ops);
    assert_result(&m, v, type, want);
    imported_free(&m);
}

static void assert_calling_fails(Buf *model, int exit_code, const char *text) {
    Imported m = import_bytes(model, NULL);
    assert_complaint(&m, exit_code, text);
    imported_free(&m);
}

/* y = local.F(x), and the function f. */
static Buf call_of(Buf *f, Buf *attrs) {
    Buf g = with_x("2");
    add_op(&g, "local:F", "x", attrs);
    Buf m = calling(&g);
    add_function(&m, f);
    return m;
}

static void test_a_call(void **state) {
    (void)state;
    Buf f = function_begin("F", "a", "b", 17);
    add_function_node(&f, "Relu", "a", "t", NULL);
    add_function_node(&f, "Add", "t,a", "b", NULL);
    Buf model = call_of(&f, NULL);
    Imported m = import_calling(&model);
    assert_ops(&m, "relu add");
    assert_result(&m, F(3, -4), "f32[2]", D(6, -4));
    assert_string_equal(m.g->first->origin, "F:y/Relu:t");
    assert_string_equal(node_out(m.g->first)->name, "F:y/t");
    assert_string_equal(node_out(m.g->last)->name, "y");
    imported_free(&m);
}

/* A function of the model is what its name means, also where ONNX has an operator of that name; one
 * that isn't called need not make sense. */
static void test_names_of_functions(void **state) {
    (void)state;
    Buf g = with_x("2"), f = {0}, unused = {0};
    add_op(&g, "Relu", "x", NULL);
    Buf m = model_of(&g, 17);
    put_string(&f, 1, "Relu");
    put_names(&f, 4, "a");
    put_names(&f, 5, "b");
    put_opset(&f, 9, "", 17);
    put_node(&f, 7, "Neg", "a", "b", NULL);
    add_function(&m, &f);
    put_string(&unused, 1, "Unused");
    add_function(&m, &unused);
    assert_calling(&m, "neg", F(3, -4), "f32[2]", D(-3, 4));
}

static void test_overloads(void **state) {
    (void)state;
    Buf g = with_x("2"), f = function_begin("F", "a", "b", 17),
        h = function_begin("F", "a", "b", 17);
    Buf n = {0};
    add_function_node(&f, "Neg", "a", "b", NULL);
    add_function_node(&h, "Relu", "a", "b", NULL);
    put_string(&h, 13, "other");
    put_names(&n, 1, "x");
    put_names(&n, 2, "y");
    put_string(&n, 4, "F");
    put_string(&n, 7, "local");
    put_string(&n, 8, "other");
    put_message(&g, 1, &n);
    add_y(&g);
    Buf m = calling(&g);
    add_function(&m, &f);
    add_function(&m, &h);
    assert_calling(&m, "relu", F(3, -4), "f32[2]", D(3, 0));
}

/* The body's operators are those of the opsets that the function imports. */
static void test_opsets_of_functions(void **state) {
    (void)state;
    Buf f = function_begin("F", "a", "b", 11), attrs = {0};
    with_ints(&attrs, "axes", "0"); /* an attribute until opset 12 */
    add_function_node(&f, "Unsqueeze", "a", "b", &attrs);
    Buf m = call_of(&f, NULL);
    assert_calling(&m, "reshape", F(3, -4), "f32[1,2]", D(3, -4));
    f = function_begin("F", "a", "b", 99);
    m = call_of(&f, NULL);
    assert_calling_fails(&m, EXIT_UNSUPPORTED, "opset 99 of ai.onnx");
    f = function_begin("F", "a", "b", 17);
    put_opset(&f, 9, "", 16);
    m = call_of(&f, NULL);
    assert_calling_fails(&m, EXIT_BAD_MODEL,
                         "function \"local.F\" imports two opsets of domain \"\": 17 and 16");
    f = function_begin("F", "a", "b", 17);
    add_function_node(&f, "elsewhere:Op", "a", "b", NULL);
    m = call_of(&f, NULL);
    assert_calling_fails(&m, EXIT_BAD_MODEL, "function does not import the domain \"elsewhere\"");
}

/* A function with an attribute `slope`, that it hands on. */
static Buf leaky(void) {
    Buf f = function_begin("F", "a", "b", 17), attrs = {0};
    with_reference(&attrs, "alpha", ATTR_FLOAT, "slope");
    add_function_node(&f, "LeakyRelu", "a", "b", &attrs);
    return f;
}

static void test_attributes_of_functions(void **state) {
    (void)state;
    Buf f = leaky(), attrs = {0};
    put_string(&f, 6, "slope");
    with_float(&attrs, "slope", 0.5f);
    Buf m = call_of(&f, &attrs);
    assert_calling(&m, "max min mul add", F(3, -4), "f32[2]", D(3, -2));
    f = leaky(); /* without one the operator's default holds */
    put_string(&f, 6, "slope");
    m = call_of(&f, NULL);
    Imported im = import_calling(&m);
    assert_result(&im, F(3, -100), "f32[2]", D(3, -1));
    imported_free(&im);
    for (int given = 0; given < 2; given++) { /* attribute_proto: a default of the function */
        Buf dflt = attr_begin("slope", ATTR_FLOAT);
        put_float(&dflt, 2, 0.25f);
        f = leaky();
        put_message(&f, 11, &dflt);
        if (given)
            with_float(&attrs, "slope", 0.5f);
        m = call_of(&f, given ? &attrs : NULL);
        assert_calling(&m, "max min mul add", F(3, -4), "f32[2]", given ? D(3, -2) : D(3, -1));
    }
}

static void test_bad_attributes_of_functions(void **state) {
    (void)state;
    Buf f = leaky(), attrs = {0};
    put_string(&f, 6, "slope");
    with_int(&attrs, "slope", 1);
    Buf m = call_of(&f, &attrs);
    assert_calling_fails(&m, EXIT_BAD_MODEL, "\"alpha\" must have type float, and has int");
    f = leaky();
    with_float(&attrs, "slope", 1);
    m = call_of(&f, &attrs);
    assert_calling_fails(&m, EXIT_BAD_MODEL, "its function has no attribute \"slope\"");
    Buf g = with_x("2");
    with_reference(&attrs, "alpha", ATTR_FLOAT, "slope");
    add_op(&g, "LeakyRelu", "x", &attrs);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "refers to a function's, outside of a function");
}

/* A constant that several calls use is there once. */
static void test_constants_of_functions(void **state) {
    (void)state;
    Buf f = function_begin("F", "a", "b", 17), value = {0}, g = with_x("2");
    Buf t = raw_tensor("", ONNX_FLOAT, "2", F(1, 2), 8);
    with_tensor(&value, "value", &t);
    add_function_node(&f, "Constant", "", "k", &value);
    add_function_node(&f, "Add", "a,k", "b", NULL);
    add_node(&g, "local:F", "x", "t", NULL);
    add_op(&g, "local:F", "t", NULL);
    Buf model = calling(&g);
    add_function(&model, &f);
    Imported m = import_calling(&model);
    assert_int_equal(m.g->constants.len, 1);
    assert_result(&m, F(3, -4), "f32[2]", D(5, 0));
    imported_free(&m);
}

/* Inputs and outputs may be left out, in the middle and at the end. */
static void test_calls_that_leave_out(void **state) {
    (void)state;
    Buf f = function_begin("F", "a,low,high", "unused,b", 17), g = with_x("3");
    add_function_node(&f, "Neg", "a", "unused", NULL);
    add_function_node(&f, "Clip", "a,low,high", "b", NULL);
    add_floats(&g, "limit", "", F(2), 1);
    add_node(&g, "local:F", "x,,limit", ",t", NULL);
    add_op(&g, "Relu", "t", NULL);
    Buf m = calling(&g);
    add_function(&m, &f);
    assert_calling(&m, "clip relu", F(-1, 1, 3), "f32[3]", D(0, 1, 2));
    f = function_begin("F", "a,low,high", "b", 17);
    add_function_node(&f, "Clip", "a,low,high", "b", NULL);
    m = call_of(&f, NULL);
    assert_calling(&m, "clip", F(3, -4), "f32[2]", D(3, -4));
    f = function_begin("F", "a,other", "other", 17);
    m = call_of(&f, NULL);
    assert_calling_fails(&m, EXIT_BAD_MODEL, "its output 0 is an input that is left out");
}

/* Functions that call others, and an If inside of one that sees its attributes and inputs. */
static void test_nested_calls(void **state) {
    (void)state;
    Buf outer = function_begin("F", "a", "b", 17), inner = function_begin("G", "a", "b", 17);
    Buf attrs = {0}, yes = {0}, no = branch_of("Neg", "a");
    with_reference(&attrs, "alpha", ATTR_FLOAT, "slope");
    add_node(&yes, "LeakyRelu", "a", "out", &attrs);
    add_output(&yes, "out", ONNX_FLOAT, NULL);
    Buf branches = if_attributes(&yes, &no);
    put_string(&inner, 6, "slope");
    Buf t = raw_tensor("", ONNX_BOOL, "", "\1", 1);
    with_tensor(&attrs, "value", &t);
    add_function_node(&inner, "Constant", "", "c", &attrs);
    add_function_node(&inner, "If", "c", "b", &branches);
    with_float(&attrs, "slope", 0.5f);
    add_function_node(&outer, "local:G", "a", "t", &attrs);
    add_function_node(&outer, "Neg", "t", "b", NULL);
    Buf model = call_of(&outer, NULL);
    add_function(&model, &inner);
    Imported m = import_calling(&model);
    assert_ops(&m, "max min mul add neg");
    assert_string_equal(m.g->first->origin, "F:y/G:t/LeakyRelu:out");
    assert_result(&m, F(3, -4), "f32[2]", D(-3, 2));
    imported_free(&m);
}

/* What is around the call has no meaning inside. */
static void test_functions_see_nothing_outside(void **state) {
    (void)state;
    Buf f = function_begin("F", "a", "b", 17);
    add_function_node(&f, "Add", "a,x", "b", NULL);
    Buf model = call_of(&f, NULL);
    Imported m = import_bytes(&model, NULL);
    assert_complaint(&m, EXIT_BAD_MODEL, "reads \"x\", which nothing makes");
    assert_string_equal(note_of(&m, 0, "inside"), "node \"F:y\"");
    imported_free(&m);
}

static void test_bad_calls(void **state) {
    (void)state;
    Buf f = function_begin("F", "", "b", 17);
    Buf m = call_of(&f, NULL);
    assert_calling_fails(&m, EXIT_BAD_MODEL, "has 0 inputs and 1 outputs, and the call 1 and 1");
    f = function_begin("F", "a", "b", 17);
    m = call_of(&f, NULL);
    assert_calling_fails(&m, EXIT_BAD_MODEL, "nothing makes the output \"b\"");
    f = function_begin("F", "a,a", "a", 17);
    m = call_of(&f, NULL);
    assert_calling_fails(&m, EXIT_BAD_MODEL, "input \"a\" is there twice");
    f = function_begin("F", "a", "b", 17);
    add_function_node(&f, "Neg", "a", "b", NULL);
    add_function_node(&f, "Neg", "b", "a", NULL);
    m = call_of(&f, NULL);
    assert_calling_fails(&m, EXIT_BAD_MODEL, "value \"a\" is defined twice");
    Buf second = function_begin("F", "a", "b", 17);
    f = function_begin("F", "a", "b", 17);
    m = call_of(&f, NULL);
    add_function(&m, &second);
    assert_calling_fails(&m, EXIT_BAD_MODEL, "function \"local.F\" is defined twice");
    f = function_begin("F", "a", "b", 17);
    add_function_node(&f, "Multinomial", "a", "b", NULL);
    m = call_of(&f, NULL);
    Imported im = import_bytes(&m, NULL);
    assert_int_equal(im.d.errors, 1);
    assert_string_equal(im.d.items.data[0]->message,
                        "node \"F:y/Multinomial:b\" (Multinomial, opset 17) is not supported");
    imported_free(&im);
}

static void test_recursion(void **state) {
    (void)state;
    Buf f = function_begin("F", "a", "b", 17);
    add_function_node(&f, "local:F", "a", "b", NULL);
    Buf m = call_of(&f, NULL);
    assert_calling_fails(&m, EXIT_BAD_MODEL, "function \"local.F\" calls itself");
    f = function_begin("F", "a", "b", 17);
    Buf g = function_begin("G", "a", "b", 17);
    Buf yes = branch_of("local:F", "a"), no = branch_of("Neg", "a"), attrs = {0};
    Buf t = raw_tensor("", ONNX_BOOL, "", "\1", 1);
    with_tensor(&attrs, "value", &t);
    add_function_node(&f, "local:G", "a", "b", NULL);
    add_function_node(&g, "Constant", "", "c", &attrs);
    attrs = if_attributes(&yes, &no);
    add_function_node(&g, "If", "c", "b", &attrs);
    m = call_of(&f, NULL);
    add_function(&m, &g);
    assert_calling_fails(&m, EXIT_BAD_MODEL, "function \"local.F\" calls itself");
}

/* A model with functions F0 .. F(n-1), each of which calls the next one `times` times. */
static Buf chain_of_functions(int n, int times) {
    char name[32], next[32], in[32], out[32];
    Buf g = with_x("2");
    add_op(&g, "local:F0", "x", NULL);
    Buf m = calling(&g);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "F%d", i);
        snprintf(next, sizeof next, "local:F%d", i + 1);
        snprintf(out, sizeof out, "v%d", times);
        Buf f = function_begin(name, "v0", out, 17);
        for (int k = 0; k < times; k++) {
            snprintf(in, sizeof in, "v%d", k);
            snprintf(out, sizeof out, "v%d", k + 1);
            add_function_node(&f, i + 1 < n ? next : "Relu", in, out, NULL);
        }
        add_function(&m, &f);
    }
    return m;
}

static void test_limits(void **state) {
    (void)state;
    Buf m = chain_of_functions(40, 1);
    Imported deep = import_calling(&m);
    assert_ops(&deep, "relu");
    imported_free(&deep);
    m = chain_of_functions(10, 2);
    Imported wide = import_calling(&m);
    assert_int_equal(graph_node_count(wide.g), 1 << 10);
    imported_free(&wide);
    m = chain_of_functions(100, 1);
    assert_calling_fails(&m, EXIT_UNSUPPORTED, "nested more than 64 deep");
    m = chain_of_functions(60, 2);
    Imported huge = import_bytes(&m, NULL);
    assert_complaint(&huge, EXIT_UNSUPPORTED, "the model has more than");
    assert_int_equal(huge.d.errors, 1);
    imported_free(&huge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_condition_in_the_file),
        cmocka_unit_test(test_a_condition_of_shapes),
        cmocka_unit_test(test_a_condition_of_data),
        cmocka_unit_test(test_only_the_branch_taken_counts),
        cmocka_unit_test(test_outputs_by_position),
        cmocka_unit_test(test_scopes_of_branches),
        cmocka_unit_test(test_sparse_weights_of_branches),
        cmocka_unit_test(test_branches_are_waited_for),
        cmocka_unit_test(test_branches_without_nodes),
        cmocka_unit_test(test_bad_branches),
        cmocka_unit_test(test_a_call),
        cmocka_unit_test(test_names_of_functions),
        cmocka_unit_test(test_overloads),
        cmocka_unit_test(test_opsets_of_functions),
        cmocka_unit_test(test_attributes_of_functions),
        cmocka_unit_test(test_bad_attributes_of_functions),
        cmocka_unit_test(test_constants_of_functions),
        cmocka_unit_test(test_calls_that_leave_out),
        cmocka_unit_test(test_nested_calls),
        cmocka_unit_test(test_functions_see_nothing_outside),
        cmocka_unit_test(test_bad_calls),
        cmocka_unit_test(test_recursion),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
