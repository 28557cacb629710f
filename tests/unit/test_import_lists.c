/* Unit tests of the ONNX importer: sequences and optionals. */
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

/* A graph with s = [x, -x], and positions. */
static Buf with_pair(void) {
    Buf g = with_x("2");
    add_int(&g, "p0", 0);
    add_int(&g, "p1", 1);
    add_int(&g, "p2", 2);
    add_int(&g, "last", -1);
    add_node(&g, "Neg", "x", "m", NULL);
    add_node(&g, "SequenceConstruct", "x,m", "s", NULL);
    return g;
}

static void test_elements(void **state) {
    (void)state;
    Buf g = with_pair();
    add_op(&g, "SequenceAt", "s,p1", NULL);
    assert_model(&g, 11, "neg", F(1, 2), "f32[2]", D(-1, -2));
    g = with_pair();
    add_node(&g, "SequenceAt", "s,last", "t", NULL);
    add_op(&g, "Relu", "t", NULL);
    assert_model(&g, 11, "neg relu", F(1, -2), "f32[2]", D(0, 2));
    g = with_pair();
    add_op(&g, "SequenceAt", "s,p2", NULL);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "its position is not one of a sequence of 2");
}

/* The graph has no output yet: those of what the sequence `s` holds, one behind the other. */
static void assert_holds(Buf *g, const char *s, const double *want, int n) {
    Buf attrs = {0};
    char type[16];
    with_int(&attrs, "axis", 0);
    add_op(g, "ConcatFromSequence", s, &attrs);
    Imported m = import_ok(g, 11);
    snprintf(type, sizeof type, "f32[%d]", n);
    assert_result(&m, F(1, 2), type, want);
    imported_free(&m);
}

static void test_insert_and_erase(void **state) {
    (void)state;
    Buf g = with_pair();
    add_node(&g, "SequenceInsert", "s,x", "t", NULL);
    assert_holds(&g, "t", D(1, 2, -1, -2, 1, 2), 6);
    g = with_pair();
    add_node(&g, "SequenceInsert", "s,m,p0", "t", NULL);
    assert_holds(&g, "t", D(-1, -2, 1, 2, -1, -2), 6);
    g = with_pair();
    add_node(&g, "SequenceInsert", "s,x,last", "t", NULL);
    assert_holds(&g, "t", D(1, 2, 1, 2, -1, -2), 6);
    g = with_pair();
    add_node(&g, "SequenceErase", "s", "t", NULL);
    assert_holds(&g, "t", D(1, 2), 2);
    g = with_pair();
    add_node(&g, "SequenceErase", "s,p0", "t", NULL);
    assert_holds(&g, "t", D(-1, -2), 2);
    g = with_pair();
    add_node(&g, "SequenceEmpty", "", "e", NULL);
    add_node(&g, "SequenceInsert", "e,m", "t", NULL);
    add_node(&g, "Identity", "t", "u", NULL);
    assert_holds(&g, "u", D(-1, -2), 2);
    g = with_pair();
    add_node(&g, "SequenceInsert", "s,p0", "t", NULL);
    add_op(&g, "SequenceAt", "t,p0", NULL);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "input 1 is i64, and the sequence holds f32");
    g = with_pair();
    add_node(&g, "SequenceEmpty", "", "e", NULL);
    add_node(&g, "SequenceErase", "e", "t", NULL);
    add_op(&g, "SequenceAt", "t,p0", NULL);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "not one of a sequence of 0");
}

static void test_length(void **state) {
    (void)state;
    Buf g = with_pair();
    add_node(&g, "SequenceLength", "s", "y", NULL);
    add_output(&g, "y", ONNX_INT64, NULL);
    assert_model(&g, 11, "", F(1, 2), "i64[]", D(2));
}

static void test_stacked(void **state) {
    (void)state;
    Buf g = with_pair(), attrs = {0};
    with_int(&attrs, "axis", -1);
    with_int(&attrs, "new_axis", 1);
    add_op(&g, "ConcatFromSequence", "s", &attrs);
    assert_model(&g, 11, "neg reshape reshape concat", F(1, 2), "f32[2,2]", D(1, -1, 2, -2));
    g = with_pair();
    add_op(&g, "ConcatFromSequence", "s", NULL);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "\"axis\" is missing");
    g = with_pair();
    with_int(&attrs, "axis", 0);
    add_node(&g, "SequenceEmpty", "", "e", NULL);
    add_op(&g, "ConcatFromSequence", "e", &attrs);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "its sequence is empty");
}

/* x[1,4] in parts along axis 1; part `at` is y. */
static Buf split_of(const char *sizes, int64_t at, Buf *attrs) {
    Buf g = with_x("1,4");
    if (sizes && strchr(sizes, ','))
        add_ints(&g, "sizes", sizes);
    else if (sizes)
        add_int(&g, "sizes", strtoll(sizes, NULL, 10));
    add_int(&g, "at", at);
    with_int(attrs, "axis", 1);
    add_node(&g, "SplitToSequence", sizes ? "x,sizes" : "x", "s", attrs);
    add_op(&g, "SequenceAt", "s,at", NULL);
    return g;
}

static void test_split_to_sequence(void **state) {
    (void)state;
    Buf attrs = {0};
    Buf g = split_of(NULL, 2, &attrs);
    assert_model(&g, 11, "slice", F(1, 2, 3, 4), "f32[1,1]", D(3));
    with_int(&attrs, "keepdims", 0);
    g = split_of(NULL, 2, &attrs);
    assert_model(&g, 24, "slice reshape", F(1, 2, 3, 4), "f32[1]", D(3));
    g = split_of("3", 0, &attrs);
    assert_model(&g, 11, "slice", F(1, 2, 3, 4), "f32[1,3]", D(1, 2, 3));
    with_int(&attrs, "keepdims", 0); /* means nothing where sizes are given */
    g = split_of("3", 1, &attrs);
    assert_model(&g, 11, "slice", F(1, 2, 3, 4), "f32[1,1]", D(4));
    g = split_of("1,3", 1, &attrs);
    assert_model(&g, 11, "slice", F(1, 2, 3, 4), "f32[1,3]", D(2, 3, 4));
    g = split_of("1,4", 1, &attrs);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "does not fit the 4 elements");
    g = split_of("1,2", 1, &attrs);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "adds up to 3");
    g = split_of("0", 1, &attrs);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "its split is 0");
}

static void test_more_parts_than_are_supported(void **state) {
    (void)state;
    Buf g = with_x("300000");
    add_node(&g, "SplitToSequence", "x", "s", NULL);
    add_op(&g, "SequenceLength", "s", NULL);
    assert_fails(&g, 11, EXIT_UNSUPPORTED, "functions and sequences in their places");
}

/* An output for each tensor. */
static void test_sequences_as_outputs(void **state) {
    (void)state;
    Buf g = with_pair();
    add_op(&g, "Identity", "s", NULL);
    Imported m = import_ok(&g, 16);
    assert_int_equal(m.g->outputs.len, 2);
    assert_string_equal(m.g->output_names.data[0], "y.0");
    assert_string_equal(m.g->output_names.data[1], "y.1");
    imported_free(&m);
    g = with_x("257");
    add_node(&g, "SplitToSequence", "x", "s", NULL);
    add_op(&g, "Identity", "s", NULL);
    m = import_graph(&g, 16, NULL);
    assert_complaint(&m, EXIT_UNSUPPORTED, "a sequence of more than 256 tensors");
    assert_string_equal(m.d.items.data[0]->message, "graph output \"y\" can't be used");
    imported_free(&m);
    g = with_x("2");
    add_op(&g, "Optional", "", NULL);
    assert_fails(&g, 16, EXIT_UNSUPPORTED, "an optional without an element");
}

static void test_what_is_no_sequence(void **state) {
    (void)state;
    Buf g = with_pair();
    add_op(&g, "SequenceAt", "x,p0", NULL);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "input 0 is no sequence");
    g = with_pair();
    add_op(&g, "Relu", "s", NULL);
    Imported m = import_graph(&g, 13, NULL);
    assert_complaint(&m, EXIT_BAD_MODEL, "input 0 is no tensor");
    assert_string_equal(note_of(&m, 0, "inputs"), "a sequence of 2");
    imported_free(&m);
    g = with_x("2");
    add_int(&g, "p0", 0);
    add_node(&g, "SequenceConstruct", "p0,x", "s", NULL);
    add_op(&g, "SequenceLength", "s", NULL);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "input 1 is f32, and input 0 is i64");
    g = with_x("1");
    add_node(&g, "Cast", "x", "at", NULL);
    add_node(&g, "SequenceConstruct", "x", "s", NULL);
    add_op(&g, "SequenceAt", "s,x", NULL);
    assert_fails(&g, 11, EXIT_UNSUPPORTED, "its position must be constant");
}

/* ---- optionals ------------------------------------------------------------------------------- */

static Buf float_type(void) {
    Buf a = attr_begin("type", 13), type = {0}, tensor = {0}, attrs = {0};
    put_int(&tensor, 1, ONNX_FLOAT);
    put_message(&type, 1, &tensor);
    put_message(&a, 14, &type);
    put_message(&attrs, 5, &a);
    return attrs;
}

static void test_optionals(void **state) {
    (void)state;
    Buf g = with_x("2");
    add_node(&g, "Optional", "x", "o", NULL);
    add_node(&g, "OptionalGetElement", "o", "e", NULL);
    add_op(&g, "Relu", "e", NULL);
    assert_model(&g, 15, "relu", F(1, -2), "f32[2]", D(1, 0));
    g = with_pair();
    add_node(&g, "Optional", "s", "o", NULL);
    add_node(&g, "OptionalGetElement", "o", "e", NULL);
    add_op(&g, "SequenceAt", "e,p1", NULL);
    assert_model(&g, 15, "neg", F(1, -2), "f32[2]", D(-1, 2));
    g = with_x("2");
    Buf attrs = float_type();
    add_node(&g, "Optional", "", "o", &attrs);
    add_op(&g, "OptionalGetElement", "o", NULL);
    assert_fails(&g, 15, EXIT_BAD_MODEL, "its optional has no element");
}

static void add_presence(Buf *g, const char *of) {
    add_node(g, "OptionalHasElement", of, "y", NULL);
    add_output(g, "y", ONNX_BOOL, NULL);
}

static void test_presence(void **state) {
    (void)state;
    for (int present = 0; present < 2; present++) {
        Buf g = with_x("2"), attrs = float_type();
        add_node(&g, "Optional", present ? "x" : "", "o", &attrs);
        add_presence(&g, "o");
        assert_model(&g, 15, "", F(1, -2), "bool[]", D(present));
    }
    Buf g = with_x("2");
    add_presence(&g, "");
    assert_model(&g, 18, "", F(1, -2), "bool[]", D(0));
    g = with_pair();
    add_presence(&g, "s");
    assert_model(&g, 18, "", F(1, -2), "bool[]", D(1));
}

/* They pass through functions and branches as tensors do. */
static void test_lists_in_scopes(void **state) {
    (void)state;
    Buf g = with_pair(), f = function_begin("F", "list,at", "chosen,rest", 17), yes = {0}, no = {0};
    Buf attrs = {0};
    Buf c = raw_tensor("c", ONNX_BOOL, "", "\1", 1);
    put_message(&g, 5, &c);
    add_function_node(&f, "SequenceAt", "list,at", "chosen", NULL);
    add_function_node(&f, "SequenceErase", "list,at", "rest", NULL);
    add_node(&yes, "Identity", "rest", "out", NULL);
    add_output(&yes, "out", ONNX_FLOAT, NULL);
    add_node(&no, "Identity", "s", "out", NULL);
    add_output(&no, "out", ONNX_FLOAT, NULL);
    with_graph(&attrs, "then_branch", &yes);
    with_graph(&attrs, "else_branch", &no);
    add_node(&g, "local:F", "s,p0", "chosen,rest", NULL);
    add_node(&g, "If", "c", "u", &attrs);
    add_node(&g, "SequenceAt", "u,p0", "v", NULL);
    add_op(&g, "Sub", "chosen,v", NULL);
    Buf model = model_of(&g, 17);
    put_opset(&model, 8, "local", 1);
    add_function(&model, &f);
    Imported m = import_bytes(&model, NULL);
    if (!m.g)
        show(&m);
    assert_non_null(m.g);
    assert_ops(&m, "neg sub");
    assert_result(&m, F(1, -2), "f32[2]", D(2, -4));
    imported_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_insert_and_erase),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_stacked),
        cmocka_unit_test(test_split_to_sequence),
        cmocka_unit_test(test_more_parts_than_are_supported),
        cmocka_unit_test(test_sequences_as_outputs),
        cmocka_unit_test(test_what_is_no_sequence),
        cmocka_unit_test(test_optionals),
        cmocka_unit_test(test_presence),
        cmocka_unit_test(test_lists_in_scopes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
