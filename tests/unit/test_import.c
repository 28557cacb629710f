/* Unit tests of the ONNX importer: names, order, dimensions, complaints; operators are in
 * test_import_ops.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

/* y = Relu(x), over a 1x4 tensor. */
static Buf relu_graph(void) {
    Buf g = {0};
    add_input(&g, "x", ONNX_FLOAT, "1,4");
    add_node(&g, "Relu", "x", "y", NULL);
    add_output(&g, "y", ONNX_FLOAT, "1,4");
    return g;
}

/* ---- the whole model ------------------------------------------------------------------------- */

static void test_a_small_model(void **state) {
    (void)state;
    Buf g = relu_graph();
    Imported m = import_ok(&g, 17);
    assert_int_equal(m.g->inputs.len, 1);
    assert_string_equal(m.g->inputs.data[0]->name, "x");
    assert_int_equal(m.g->outputs.len, 1);
    assert_string_equal(m.g->output_names.data[0], "y");
    assert_string_equal(m.g->outputs.data[0]->value->name, "y");
    assert_string_equal(m.g->first->origin, "Relu:y");
    assert_ops(&m, "relu");
    imported_free(&m);
}

static void test_versions(void **state) {
    (void)state;
    Buf g = relu_graph();
    assert_fails(&g, 0, EXIT_UNSUPPORTED, "opset 0 of ai.onnx");
    g = relu_graph();
    assert_fails(&g, 5, EXIT_UNSUPPORTED, "supported from opset 6 on");
    g = relu_graph();
    assert_fails(&g, 999, EXIT_UNSUPPORTED, "opset 999 of ai.onnx");
    g = relu_graph();
    assert_fails(&g, 29, EXIT_UNSUPPORTED, "opset 29 of ai.onnx");
    g = relu_graph();
    Imported m = import_ok(&g, 28);
    imported_free(&m);
}

static void assert_model_fails(Buf *model, int exit_code, const char *text) {
    Imported m = import_bytes(model, NULL);
    assert_complaint(&m, exit_code, text);
    imported_free(&m);
}

static void test_models_without_their_parts(void **state) {
    (void)state;
    Buf m = {0}, g = relu_graph();
    assert_model_fails(&m, EXIT_BAD_MODEL, "empty");
    buf_puts(&m, "This is no model.");
    assert_model_fails(&m, EXIT_BAD_MODEL, "not a sound ONNX file");
    put_int(&m, 1, 8);
    assert_model_fails(&m, EXIT_BAD_MODEL, "no graph");
    put_message(&m, 7, &g);
    assert_model_fails(&m, EXIT_BAD_MODEL, "no ir_version");
    g = relu_graph();
    put_int(&m, 1, 8);
    put_message(&m, 7, &g);
    assert_model_fails(&m, EXIT_BAD_MODEL, "no opset_import");
    g = relu_graph();
    put_int(&m, 1, 99);
    put_message(&m, 7, &g);
    assert_model_fails(&m, EXIT_UNSUPPORTED, "IR version 99");
}

static void test_opset_of_another_domain_only(void **state) {
    (void)state;
    Buf m = {0}, g = relu_graph(), import = {0};
    put_int(&m, 1, 8);
    put_message(&m, 7, &g);
    put_string(&import, 1, "ai.onnx.ml");
    put_int(&import, 2, 3);
    put_message(&m, 8, &import);
    assert_model_fails(&m, EXIT_BAD_MODEL, "does not import the domain \"ai.onnx\"");
}

static void test_training(void **state) {
    (void)state;
    Buf g = relu_graph(), t = {0};
    Buf model = model_of(&g, 17);
    put_message(&model, 20, &t);
    assert_model_fails(&model, EXIT_UNSUPPORTED, "training information");
}

static void test_missing_file(void **state) {
    (void)state;
    Imported m = {0};
    m.g = onnx_import("no-such-file.onnx", NULL, &m.d);
    assert_null(m.g);
    assert_int_equal(diag_exit_code(&m.d), EXIT_IO);
    imported_free(&m);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void test_names_are_defined_once(void **state) {
    (void)state;
    static const float one = 1;
    Buf g = relu_graph();
    add_node(&g, "Relu", "x", "y", NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "value \"y\" is made twice");
    g = relu_graph();
    add_node(&g, "Relu", "y", "x", NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "value \"x\" is defined twice");
    g = relu_graph();
    add_floats(&g, "w", "", &one, 1);
    add_floats(&g, "w", "", &one, 1);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "value \"w\" is defined twice");
    g = relu_graph();
    add_input(&g, "x", ONNX_FLOAT, "1,4");
    assert_fails(&g, 17, EXIT_BAD_MODEL, "value \"x\" is defined twice");
}

static void test_undefined_values(void **state) {
    (void)state;
    Buf g = relu_graph();
    add_node(&g, "Add", "y,ghost", "z", NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "reads \"ghost\", which nothing makes");
    g = relu_graph();
    add_output(&g, "ghost", ONNX_FLOAT, "1");
    assert_fails(&g, 17, EXIT_BAD_MODEL, "nothing makes the graph output \"ghost\"");
}

static void test_a_graph_without_outputs(void **state) {
    (void)state;
    Buf g = {0};
    add_input(&g, "x", ONNX_FLOAT, "1,4");
    add_node(&g, "Relu", "x", "y", NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "no outputs");
}

static void test_odd_names(void **state) {
    (void)state;
    Buf g = {0};
    add_input(&g, "%s \"x\"\n\033[31m", ONNX_FLOAT, "2");
    add_node(&g, "Relu", "%s \"x\"\n\033[31m", "y/z:0", NULL);
    add_output(&g, "y/z:0", ONNX_FLOAT, "2");
    Imported m = import_ok(&g, 17);
    assert_string_equal(m.g->inputs.data[0]->name, "%s \"x\"\n\033[31m");
    imported_free(&m);
}

/* An inner value of an operator takes no name that the model uses. */
static void test_inner_names_do_not_collide(void **state) {
    (void)state;
    Buf g = {0};
    add_input(&g, "x", ONNX_FLOAT, "2");
    add_node(&g, "HardSigmoid", "x", "y", NULL);
    add_node(&g, "Relu", "y", "y.scaled", NULL);
    add_node(&g, "Relu", "y.scaled", "z", NULL);
    add_output(&g, "z", ONNX_FLOAT, "2");
    Imported m = import_ok(&g, 17);
    assert_ops(&m, "mul add clip relu relu");
    assert_string_equal(m.g->outputs.data[0]->value->name, "z");
    imported_free(&m);
}

/* ---- order ----------------------------------------------------------------------------------- */

static void test_nodes_out_of_order_are_sorted(void **state) {
    (void)state;
    Buf g = {0};
    add_input(&g, "x", ONNX_FLOAT, "4");
    add_node(&g, "Sigmoid", "b", "c", NULL);
    add_node(&g, "Relu", "x", "a", NULL);
    add_node(&g, "Identity", "a", "b", NULL);
    add_output(&g, "c", ONNX_FLOAT, "4");
    Imported m = import_ok(&g, 17);
    assert_ops(&m, "relu identity sigmoid");
    imported_free(&m);
}

static void test_order_of_the_file_is_kept(void **state) {
    (void)state;
    Buf g = {0};
    add_input(&g, "x", ONNX_FLOAT, "4");
    add_node(&g, "Relu", "x", "a", NULL);
    add_node(&g, "Sigmoid", "x", "b", NULL);
    add_node(&g, "Mul", "b,a", "c", NULL);
    add_output(&g, "c", ONNX_FLOAT, "4");
    Imported m = import_ok(&g, 17);
    assert_ops(&m, "relu sigmoid mul");
    imported_free(&m);
}

static void test_cycles(void **state) {
    (void)state;
    Buf g = relu_graph();
    add_node(&g, "Add", "y,b", "a", NULL);
    add_node(&g, "Relu", "a", "b", NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "2 nodes wait for each other");
    g = relu_graph();
    add_node(&g, "Add", "y,a", "a", NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "a node waits for itself");
}

/* A chain of many nodes, last one first, must not need a deep stack. */
static void test_long_chain_backwards(void **state) {
    (void)state;
    enum { LENGTH = 20000 };
    Buf g = {0};
    char from[32], to[32];
    add_input(&g, "v0", ONNX_FLOAT, "1");
    for (int i = LENGTH; i > 0; i--) {
        snprintf(from, sizeof from, "v%d", i - 1);
        snprintf(to, sizeof to, "v%d", i);
        add_node(&g, "Relu", from, to, NULL);
    }
    add_output(&g, to, ONNX_FLOAT, "1");
    snprintf(to, sizeof to, "v%d", LENGTH);
    add_output(&g, to, ONNX_FLOAT, "1");
    Imported m = import_ok(&g, 17);
    assert_int_equal(graph_node_count(m.g), LENGTH);
    imported_free(&m);
}

/* ---- what is not supported ------------------------------------------------------------------- */

static void test_unsupported_operators_come_all_at_once(void **state) {
    (void)state;
    Buf g = {0};
    add_input(&g, "x", ONNX_FLOAT, "2,3");
    add_node(&g, "Multinomial", "x", "a", NULL);
    add_node(&g, "Relu", "a", "b", NULL);              /* waits for it: no complaint */
    add_node(&g, "Softmax", "b", "c", NULL);           /* nor here */
    add_node(&g, "TfIdfVectorizer", "c,x", "d", NULL); /* not supported itself */
    add_output(&g, "d", ONNX_FLOAT, NULL);
    Imported m = import_graph(&g, 16, NULL);
    assert_null(m.g);
    assert_int_equal(m.d.errors, 2);
    assert_int_equal(diag_exit_code(&m.d), EXIT_UNSUPPORTED);
    assert_string_equal(m.d.items.data[0]->message,
                        "node \"Multinomial:a\" (Multinomial, opset 16) is not supported");
    assert_string_equal(note_of(&m, 0, "inputs"), "f32[2,3]");
    assert_string_equal(note_of(&m, 0, "reason"),
                        "its result is random, and generated code gives the same in each run");
    assert_non_null(strstr(note_of(&m, 0, "help"), "effnetc ops"));
    assert_string_equal(m.d.items.data[1]->message,
                        "node \"TfIdfVectorizer:d\" (TfIdfVectorizer, opset 16) is not supported");
    assert_string_equal(note_of(&m, 1, "inputs"), "unknown, f32[2,3]");
    assert_string_equal(note_of(&m, 1, "reason"), "no importer for this operator");
    imported_free(&m);
}

static void test_more_complaints_than_are_kept(void **state) {
    (void)state;
    Buf g = {0};
    char name[32];
    add_input(&g, "x", ONNX_FLOAT, "2,3");
    for (int i = 0; i < 3 * DIAG_MAX; i++) {
        snprintf(name, sizeof name, "v%d", i);
        add_node(&g, "Multinomial", "x", name, NULL);
    }
    add_output(&g, "v0", ONNX_FLOAT, NULL);
    Imported m = import_graph(&g, 16, NULL);
    assert_int_equal(m.d.errors, 3 * DIAG_MAX);
    assert_int_equal(m.d.items.len, DIAG_MAX);
    assert_string_equal(m.d.items.data[DIAG_MAX - 1]->message,
                        "node \"Multinomial:v99\" (Multinomial, opset 16) is not supported");
    assert_string_equal(note_of(&m, DIAG_MAX - 1, "inputs"), "f32[2,3]");
    imported_free(&m);
}

static void test_versions_of_operators(void **state) {
    (void)state;
    Buf g = {0};
    add_input(&g, "x", ONNX_FLOAT, "2");
    add_node(&g, "Swish", "x", "y", NULL);
    add_output(&g, "y", ONNX_FLOAT, "2");
    assert_fails(&g, 23, EXIT_UNSUPPORTED, "supported from opset 24 on");
    g = (Buf){0};
    add_input(&g, "x", ONNX_FLOAT, "1,1,2,2");
    add_node(&g, "Upsample", "x,x", "y", NULL);
    add_output(&g, "y", ONNX_FLOAT, NULL);
    assert_fails(&g, 10, EXIT_UNSUPPORTED, "supported up to opset 9");
}

static void test_attributes_are_all_understood(void **state) {
    (void)state;
    Buf g = {0}, attrs = {0};
    add_input(&g, "x", ONNX_FLOAT, "2");
    with_float(&attrs, "threshold", 1);
    add_node(&g, "Relu", "x", "y", &attrs);
    add_output(&g, "y", ONNX_FLOAT, "2");
    assert_fails(&g, 17, EXIT_UNSUPPORTED, "attribute \"threshold\" is not known");
    add_input(&g, "x", ONNX_FLOAT, "2,3");
    with_float(&attrs, "axis", 1);
    add_node(&g, "Softmax", "x", "y", &attrs);
    add_output(&g, "y", ONNX_FLOAT, "2,3");
    assert_fails(&g, 17, EXIT_BAD_MODEL, "\"axis\" must have type int, and has float");
    add_input(&g, "x", ONNX_FLOAT, "2,3");
    with_int(&attrs, "axis", 1);
    with_int(&attrs, "axis", 1);
    add_node(&g, "Softmax", "x", "y", &attrs);
    add_output(&g, "y", ONNX_FLOAT, "2,3");
    assert_fails(&g, 17, EXIT_BAD_MODEL, "\"axis\" is there twice");
}

static void test_numbers_of_inputs(void **state) {
    (void)state;
    Buf g = relu_graph();
    add_node(&g, "Relu", "x,x", "z", NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "it has 2 inputs, and may have 1");
    g = relu_graph();
    add_node(&g, "Add", "x", "z", NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "input 1 is missing");
}

static void test_outputs_that_are_not_made(void **state) {
    (void)state;
    Buf g = {0};
    add_input(&g, "x", ONNX_FLOAT, "2");
    add_node(&g, "Relu", "x", "y,mask", NULL);
    add_output(&g, "y", ONNX_FLOAT, "2");
    Buf copy = {0};
    buf_write(&copy, g.data, g.len);
    Imported m = import_ok(&g, 13);
    assert_ops(&m, "relu");
    imported_free(&m);
    add_output(&copy, "mask", ONNX_BOOL, "2");
    assert_fails(&copy, 13, EXIT_UNSUPPORTED, "its output 1 is used");
}

/* ---- inputs and initializers ----------------------------------------------------------------- */

static void test_inputs_with_initializers_are_constants(void **state) {
    (void)state;
    static const float v[] = {1, 2};
    Buf g = {0};
    add_input(&g, "x", ONNX_FLOAT, "2");
    add_input(&g, "w", ONNX_FLOAT, "2");
    add_floats(&g, "w", "2", v, 2);
    add_node(&g, "Add", "x,w", "y", NULL);
    add_output(&g, "y", ONNX_FLOAT, "2");
    Imported m = import_ok(&g, 9);
    assert_int_equal(m.g->inputs.len, 1);
    assert_int_equal(m.g->constants.len, 1);
    imported_free(&m);
}

static void test_unused_initializers_go(void **state) {
    (void)state;
    static const float v[] = {1, 2};
    Buf g = relu_graph();
    add_floats(&g, "w", "2", v, 2);
    Imported m = import_ok(&g, 17);
    assert_int_equal(m.g->constants.len, 0);
    imported_free(&m);
}

static void test_bad_initializers(void **state) {
    (void)state;
    static const float v[] = {1, 2};
    Buf g = relu_graph();
    add_floats(&g, "w", "3", v, 2);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "initializer \"w\" can't be used");
}

static void test_bad_inputs(void **state) {
    (void)state;
    Buf g = {0};
    add_input(&g, "x", ONNX_FLOAT, NULL);
    add_node(&g, "Relu", "x", "y", NULL);
    add_output(&g, "y", ONNX_FLOAT, NULL);
    assert_fails(&g, 17, EXIT_UNSUPPORTED, "rank is not known");
    add_input(&g, "x", 8, "2"); /* strings */
    add_node(&g, "Relu", "x", "y", NULL);
    add_output(&g, "y", ONNX_FLOAT, NULL);
    assert_fails(&g, 17, EXIT_UNSUPPORTED, "strings are not supported");
    add_input(&g, "x", 0, "2");
    add_node(&g, "Relu", "x", "y", NULL);
    add_output(&g, "y", ONNX_FLOAT, NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "it has no element type");
    add_input(&g, "x", ONNX_FLOAT, "1,1,1,1,1,1,1,1,1");
    add_node(&g, "Relu", "x", "y", NULL);
    add_output(&g, "y", ONNX_FLOAT, NULL);
    assert_fails(&g, 17, EXIT_UNSUPPORTED, "it has 9 dimensions, and 8 are supported");
    add_input(&g, "x", ONNX_FLOAT, "4294967296,4294967296");
    add_node(&g, "Relu", "x", "y", NULL);
    add_output(&g, "y", ONNX_FLOAT, NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "f32[4294967296,4294967296] is too large");
}

/* ---- symbolic dimensions --------------------------------------------------------------------- */

static Buf symbolic(const char *dims) {
    Buf g = {0};
    add_input(&g, "x", ONNX_FLOAT, dims);
    add_node(&g, "Relu", "x", "y", NULL);
    add_output(&g, "y", ONNX_FLOAT, dims);
    return g;
}

static void assert_dims(const char *dims, const ImportOptions *options, const char *type) {
    Buf g = symbolic(dims);
    Imported m = import_graph(&g, 17, options);
    if (!m.g)
        show(&m);
    assert_non_null(m.g);
    assert_string_equal(type_str(&m.g->arena, &m.g->inputs.data[0]->type), type);
    imported_free(&m);
}

static void test_the_first_dimension_is_one(void **state) {
    (void)state;
    assert_dims("batch,3", NULL, "f32[1,3]");
    assert_dims("?,3", NULL, "f32[1,3]");
    assert_dims("-1,3", NULL, "f32[1,3]");
    Buf g = symbolic("batch,3");
    Imported m = import_graph(&g, 17, NULL);
    assert_int_equal(m.d.items.len, 1);
    assert_int_equal(m.d.items.data[0]->kind, DIAG_REMARK);
    assert_non_null(strstr(note_of(&m, 0, "help"), "--dim \"batch\"=N"));
    imported_free(&m);
}

static Buf read_by(const char *dims, const char *op, const char *inputs, const char *attr,
                   const char *ints) {
    Buf g = {0}, attrs = {0};
    add_input(&g, "x", ONNX_FLOAT, dims);
    add_ints(&g, "front", "0");
    add_node(&g, "Relu", "x", "r", NULL);
    if (attr)
        with_ints(&attrs, attr, ints);
    add_node(&g, op, inputs, "y", &attrs);
    add_output(&g, "y", ONNX_FLOAT, NULL);
    return g;
}

/* A picture without a batch, by a name or by what reads it; a batch, whatever its name. */
static void test_the_first_dimension_is_no_batch(void **state) {
    (void)state;
    static const struct {
        const char *dims, *op, *inputs, *attr, *ints, *reason;
        int opset;
    } cases[] = {
        {"image_height,8,3", "Relu", "r", NULL, NULL, "called \"image_height\"", 17},
        {"n,8,3", "Transpose", "r", "perm", "2,0,1", "(Transpose) makes a batch of one", 17},
        {"?,8,3", "Unsqueeze", "r", "axes", "0", "(Unsqueeze) makes a batch of one", 11},
        {"?,8,3", "Unsqueeze", "r,front", NULL, NULL, "(Unsqueeze) makes a batch of one", 17},
        {"?,8,3", "Unsqueeze", "r", "axes", "1", NULL, 11},
        {"n,8,3", "Transpose", "r", "perm", "1,0,2", NULL, 17},
        {"seq_batch,8,3", "Relu", "r", NULL, NULL, NULL, 17},
        {"h,8,3,3", "GlobalAveragePool", "r", NULL, NULL, NULL, 17},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf g = read_by(cases[i].dims, cases[i].op, cases[i].inputs, cases[i].attr, cases[i].ints);
        Imported m = import_graph(&g, cases[i].opset, NULL);
        const char *reason = cases[i].reason;
        assert_true((m.g == NULL) == (reason != NULL));
        assert_int_equal(m.d.items.len, 1);
        assert_int_equal(m.d.items.data[0]->kind, reason ? DIAG_ERROR : DIAG_REMARK);
        if (reason)
            assert_non_null(strstr(note_of(&m, 0, "reason"), reason));
        imported_free(&m);
    }
}

static void test_dimensions_from_options(void **state) {
    (void)state;
    const DimOverride dims[] = {{"batch", 4}, {"height", 7}, {"x.2", 9}};
    assert_dims("batch,3", &(ImportOptions){dims, 1}, "f32[4,3]");
    assert_dims("batch,height", &(ImportOptions){dims, 2}, "f32[4,7]");
    assert_dims("batch,height,?", &(ImportOptions){dims, 3}, "f32[4,7,9]");
}

static void test_dimensions_without_a_size(void **state) {
    (void)state;
    Buf g = symbolic("batch,height,width");
    Imported m = import_graph(&g, 17, NULL);
    assert_null(m.g);
    assert_int_equal(m.d.errors, 2); /* both are named at once */
    assert_complaint(&m, EXIT_USAGE, "\"height\"");
    imported_free(&m);
}

static void test_options_that_fit_no_dimension(void **state) {
    (void)state;
    const DimOverride typo = {"bacth", 4}, zero = {"batch", 0};
    Buf g = symbolic("batch,3");
    Imported m = import_graph(&g, 17, &(ImportOptions){&typo, 1});
    assert_complaint(&m, EXIT_USAGE, "no input has an open dimension called \"bacth\"");
    imported_free(&m);
    g = symbolic("batch,3");
    m = import_graph(&g, 17, &(ImportOptions){&zero, 1});
    assert_complaint(&m, EXIT_USAGE, "dimension \"batch\" must be at least 1, not 0");
    imported_free(&m);
}

static void test_declared_outputs_that_do_not_fit(void **state) {
    (void)state;
    Buf g = {0};
    add_input(&g, "x", ONNX_FLOAT, "1,4");
    add_node(&g, "Relu", "x", "y", NULL);
    add_output(&g, "y", ONNX_FLOAT, "1,5");
    Imported m = import_graph(&g, 17, NULL);
    assert_non_null(m.g);
    assert_int_equal(m.d.items.len, 1);
    assert_int_equal(m.d.items.data[0]->kind, DIAG_WARNING);
    assert_non_null(strstr(m.d.items.data[0]->message, "output \"y\" is f32[1,4]"));
    imported_free(&m);
}

/* ---- inputs before the import ---------------------------------------------------------------- */

/* Writes the model, asks for its inputs, removes it. */
static bool ask_inputs(Buf *model, Arena *a, OnnxInputs *out, Diag *d) {
    char path[] = "import-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, buf_str(model), model->len), model->len);
    close(fd);
    bool ok = onnx_inputs(path, a, out, d);
    unlink(path);
    buf_free(model);
    return ok;
}

static void test_inputs_are_described(void **state) {
    (void)state;
    Buf g = {0};
    Arena a = {0};
    Diag d = {0};
    OnnxInputs in;
    add_input(&g, "x", ONNX_FLOAT, "batch,3,?,-1");
    add_floats(&g, "w", "2", F(1, 2), 2);
    add_input(&g, "w", ONNX_FLOAT, "2"); /* an initializer: nothing to ask for */
    add_input(&g, "s", ONNX_FLOAT, "");
    add_input(&g, "any", ONNX_FLOAT, NULL);
    add_input(&g, "deep", ONNX_FLOAT, "1,1,1,1,1,1,1,1,1");
    Buf m = model_of(&g, 17);
    assert_true(ask_inputs(&m, &a, &in, &d));
    assert_int_equal(d.items.len, 0);
    assert_int_equal(in.len, 4);
    const OnnxInput *x = &in.data[0];
    assert_string_equal(x->name, "x");
    assert_int_equal(x->rank, 4);
    assert_string_equal(x->param[0], "batch");
    assert_null(x->param[1]);
    assert_int_equal(x->dim[1], 3);
    assert_string_equal(x->param[2], "x.2");
    assert_string_equal(x->param[3], "x.3");
    assert_int_equal(x->dim[3], -1);
    assert_int_equal(in.data[1].rank, 0);
    assert_int_equal(in.data[2].rank, -1);
    assert_int_equal(in.data[3].rank, -1);
    arena_free(&a);
    diag_free(&d);
}

static void test_inputs_of_a_bad_file(void **state) {
    (void)state;
    Buf m = {0};
    Arena a = {0};
    Diag d = {0};
    OnnxInputs in;
    buf_puts(&m, "no model");
    assert_false(ask_inputs(&m, &a, &in, &d));
    assert_int_equal(diag_exit_code(&d), EXIT_BAD_MODEL);
    assert_int_equal(in.len, 0);
    diag_free(&d);
    arena_free(&a);
}

/* ---- models in memory ------------------------------------------------------------------------ */

static Graph *import_memory(const Buf *model, const char *folder, Diag *d) {
    return onnx_import_bytes(model->data, model->len, "a/name.onnx", folder, NULL, d);
}

static void test_bytes(void **state) {
    (void)state;
    Buf g = symbolic("2,3"), model = model_of(&g, 17);
    Diag d = {0};
    Graph *m = import_memory(&model, NULL, &d);
    assert_non_null(m);
    assert_string_equal(m->name, "name");
    assert_int_equal(m->mappings.len, 0);
    graph_free(m);
    buf_free(&model);
    assert_null(import_memory(&model, NULL, &d));
    assert_string_equal(d.items.data[0]->where, "a/name.onnx");
    assert_string_equal(d.items.data[0]->message, "the file is empty");
    diag_free(&d);
}

static void put_external(Buf *g, const char *name, const char *location) {
    Buf t = tensor_message(name, ONNX_FLOAT, "1"), entry = {0};
    put_string(&entry, 1, "location");
    put_string(&entry, 2, location);
    put_message(&t, 13, &entry);
    put_int(&t, 14, 1);
    put_message(g, 5, &t);
}

/* One error a file, not one a tensor. */
static void test_missing_external_files(void **state) {
    (void)state;
    Buf g = symbolic("2,3");
    put_external(&g, "w1", "a.bin");
    put_external(&g, "w2", "b.bin");
    put_external(&g, "w3", "a.bin");
    put_external(&g, "w4", "a.bin");
    Buf model = model_of(&g, 17);
    Imported im = {0};
    im.g = import_memory(&model, ".", &im.d);
    assert_null(im.g);
    assert_int_equal(im.d.errors, 2);
    assert_non_null(strstr(im.d.items.data[0]->message, "\"w1\" and 2 more"));
    assert_non_null(strstr(im.d.items.data[1]->message, "\"w2\" can't be used"));
    imported_free(&im);
    buf_free(&model);
}

static void test_bytes_with_external_data(void **state) {
    (void)state;
    Buf g = symbolic("2,3");
    put_external(&g, "w", "missing.bin");
    Buf model = model_of(&g, 17);
    Imported alone = {0}, beside = {0};
    alone.g = import_memory(&model, NULL, &alone.d);
    assert_complaint(&alone, EXIT_UNSUPPORTED, "given without a folder");
    beside.g = import_memory(&model, ".", &beside.d);
    assert_complaint(&beside, EXIT_BAD_MODEL, "\"missing.bin\", is missing");
    assert_int_equal(beside.d.errors, 1);
    imported_free(&alone);
    imported_free(&beside);
    buf_free(&model);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* Rows are sorted by domain and name, and those of one operator do not overlap. */
static void test_table(void **state) {
    (void)state;
    assert_true(onnx_op_count() > 30);
    for (size_t i = 0; i < onnx_op_count(); i++) {
        const OnnxOp *op = onnx_op_at(i);
        assert_true(op->since >= 1);
        assert_true(op->until == 0 || op->until >= op->since);
        if (i == 0)
            continue;
        const OnnxOp *last = onnx_op_at(i - 1);
        int order = strcmp(last->domain, op->domain);
        order = order ? order : strcmp(last->name, op->name);
        if (order > 0 || (order == 0 && (last->until == 0 || last->until >= op->since)))
            fail_msg("row of %s-%d", op->name, op->since);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_small_model),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_models_without_their_parts),
        cmocka_unit_test(test_opset_of_another_domain_only),
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_names_are_defined_once),
        cmocka_unit_test(test_undefined_values),
        cmocka_unit_test(test_a_graph_without_outputs),
        cmocka_unit_test(test_odd_names),
        cmocka_unit_test(test_inner_names_do_not_collide),
        cmocka_unit_test(test_nodes_out_of_order_are_sorted),
        cmocka_unit_test(test_order_of_the_file_is_kept),
        cmocka_unit_test(test_cycles),
        cmocka_unit_test(test_long_chain_backwards),
        cmocka_unit_test(test_unsupported_operators_come_all_at_once),
        cmocka_unit_test(test_more_complaints_than_are_kept),
        cmocka_unit_test(test_versions_of_operators),
        cmocka_unit_test(test_attributes_are_all_understood),
        cmocka_unit_test(test_numbers_of_inputs),
        cmocka_unit_test(test_outputs_that_are_not_made),
        cmocka_unit_test(test_inputs_with_initializers_are_constants),
        cmocka_unit_test(test_unused_initializers_go),
        cmocka_unit_test(test_bad_initializers),
        cmocka_unit_test(test_bad_inputs),
        cmocka_unit_test(test_the_first_dimension_is_one),
        cmocka_unit_test(test_the_first_dimension_is_no_batch),
        cmocka_unit_test(test_dimensions_from_options),
        cmocka_unit_test(test_dimensions_without_a_size),
        cmocka_unit_test(test_options_that_fit_no_dimension),
        cmocka_unit_test(test_declared_outputs_that_do_not_fit),
        cmocka_unit_test(test_inputs_are_described),
        cmocka_unit_test(test_inputs_of_a_bad_file),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_bytes_with_external_data),
        cmocka_unit_test(test_missing_external_files),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
