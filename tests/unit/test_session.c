/* The public interface, as a program that links the library uses it. */
#include "driver/effnetc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char graph[] = "graph @tiny(%x: f32[1,2,3,3]) -> f32[1,2,3,3] {\n"
                            "  const @w : f32[2,2,1,1] = [1, 0, 0, 2]\n"
                            "  %c = conv2d %x, @w {kernel=1x1} : f32[1,2,3,3]  # \"conv\"\n"
                            "  %y = relu %c : f32[1,2,3,3]  # \"act\"\n"
                            "  return %y\n"
                            "}\n";

static const float input[18] = {1, -2, 3, -4, 5, -6, 7, -8, 9, -1, 2, -3, 4, -5, 6, -7, 8, -9};
static const float wanted[18] = {1, 0, 3, 0, 5, 0, 7, 0, 9, 0, 4, 0, 8, 0, 12, 0, 16, 0};

/* A folder with tiny.ir in it; the current folder while a test runs. */
typedef struct Place {
    char folder[64], before[1024];
} Place;

static int enter(void **state) {
    static Place place;
    *state = &place;
    snprintf(place.folder, sizeof place.folder, "test-session-XXXXXX");
    if (!getcwd(place.before, sizeof place.before) || !mkdtemp(place.folder) ||
        chdir(place.folder) != 0)
        return -1;
    FILE *f = fopen("tiny.ir", "w");
    return !f || fputs(graph, f) < 0 || fclose(f) != 0;
}

static int leave(void **state) {
    Place *place = *state;
    static const char *const files[] = {"tiny.ir", "tiny.graph.ir", "tiny.loop.ir",    "tiny.c",
                                        "tiny.h",  "tiny.json",     "tiny.weights.bin"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        remove(files[i]);
    return chdir(place->before) != 0 || rmdir(place->folder) != 0;
}

/* Fails the test with what the model has to say. */
static void expect_no_errors(effnetc_model *m) {
    if (effnetc_exit_code(m) == 0)
        return;
    effnetc_print_diagnostics(m, stderr, false);
    fail_msg("there are errors");
}

static effnetc_model *loaded(const effnetc_options *options) {
    effnetc_model *m = effnetc_open(options);
    effnetc_load(m, "tiny.ir");
    expect_no_errors(m);
    return m;
}

static void expect_output(effnetc_model *m, effnetc_backend backend) {
    float out[18] = {0};
    const void *in[] = {input};
    void *to[] = {out};
    bool ok = effnetc_run(m, backend, in, to);
    expect_no_errors(m);
    assert_true(ok);
    assert_memory_equal(out, wanted, sizeof wanted);
}

static void test_interface_of_a_model(void **state) {
    (void)state;
    effnetc_model *m = loaded(NULL);
    assert_int_equal(effnetc_input_count(m), 1);
    assert_int_equal(effnetc_output_count(m), 1);
    effnetc_tensor x = effnetc_input(m, 0);
    assert_string_equal(x.name, "x");
    assert_string_equal(x.dtype, "f32");
    assert_int_equal(x.rank, 4);
    assert_int_equal(x.dims[3], 3);
    assert_int_equal(x.bytes, sizeof input);
    effnetc_free(m);
}

/* The same model on every backend, in an order that needs the source graph again after
 * compiling. */
static void test_backends_agree(void **state) {
    (void)state;
    effnetc_model *m = loaded(NULL);
    expect_output(m, EFFNETC_BACKEND_LOOP_INTERP);
    expect_output(m, EFFNETC_BACKEND_INTERP);
    expect_output(m, EFFNETC_BACKEND_C);
    expect_output(m, effnetc_native_backend());
    expect_output(m, EFFNETC_BACKEND_LOOP_INTERP); /* the weights have moved */
    expect_output(m, EFFNETC_BACKEND_INTERP);
    effnetc_free(m);
}

static bool exists(const char *path) {
    return access(path, F_OK) == 0;
}

static void test_emit_writes_what_was_asked_for(void **state) {
    (void)state;
    effnetc_options o = effnetc_default_options();
    o.target = "generic";
    effnetc_model *m = loaded(&o);
    assert_true(effnetc_compile(m));
    assert_true(effnetc_emit(m, EFFNETC_LOOP_IR, "."));
    assert_true(exists("tiny.loop.ir"));
    assert_false(exists("tiny.c"));
    assert_true(effnetc_emit(m, EFFNETC_C | EFFNETC_GRAPH_IR, "."));
    expect_no_errors(m);
    assert_true(exists("tiny.c") && exists("tiny.h") && exists("tiny.json"));
    assert_true(exists("tiny.weights.bin") && exists("tiny.graph.ir"));
    effnetc_free(m);
}

static void test_errors_stay_with_their_model(void **state) {
    (void)state;
    effnetc_model *bad = effnetc_open(NULL), *good = loaded(NULL);
    assert_false(effnetc_load(bad, "none.onnx"));
    assert_int_equal(effnetc_exit_code(bad), 74);
    assert_int_equal(effnetc_exit_code(good), 0);
    expect_output(good, EFFNETC_BACKEND_LOOP_INTERP);
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    effnetc_print_diagnostics(bad, f, false);
    fclose(f);
    assert_non_null(strstr(text, "none.onnx: error:"));
    free(text);
    effnetc_free(bad);
    effnetc_free(good);
}

static void test_bad_options_are_reported(void **state) {
    (void)state;
    effnetc_options o = effnetc_default_options();
    o.target = "vax";
    effnetc_model *m = effnetc_open(&o);
    assert_false(effnetc_load(m, "tiny.ir"));
    assert_int_equal(effnetc_exit_code(m), 1);
    assert_false(effnetc_compile(m));
    effnetc_free(m);
    o = effnetc_default_options();
    o.name = "two words";
    m = effnetc_open(&o);
    assert_false(effnetc_load(m, "tiny.ir"));
    assert_int_equal(effnetc_exit_code(m), 1);
    effnetc_free(m);
}

/* As a command line would: all that is wrong at once. */
static void test_all_options_are_checked(void **state) {
    (void)state;
    effnetc_options o = effnetc_default_options();
    o.weights = "inside";
    o.native = "pascal";
    o.opt_level = 4;
    o.max_arena = -1;
    o.crop = 2;
    effnetc_model *m = effnetc_open(&o);
    assert_false(effnetc_load(m, "tiny.ir"));
    assert_int_equal(effnetc_exit_code(m), 1);
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    effnetc_print_diagnostics(m, f, false);
    fclose(f);
    static const char *const messages[] = {
        "option weights takes bin|incbin|text|obj, not \"inside\"",
        "option native takes llvm|c, not \"pascal\"",
        "option O takes a whole number from 0 to 3, not 4",
        "option max-arena takes a whole number from 0 on",
        "option crop takes a part above 0, up to 1, not 2"};
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        if (!strstr(text, messages[i]))
            fail_msg("no \"%s\" in:\n%s", messages[i], text);
    free(text);
    effnetc_free(m);
}

/* C without its weights, that nothing else holds, would be of no use. */
static void test_c_has_no_weights_inside(void **state) {
    (void)state;
    effnetc_options o = effnetc_default_options();
    o.weights = "obj";
    effnetc_model *m = loaded(&o);
    assert_true(effnetc_compile(m));
    assert_true(effnetc_emit(m, EFFNETC_LOOP_IR, "."));
    assert_false(effnetc_emit(m, EFFNETC_C | EFFNETC_GRAPH_IR, "."));
    assert_int_equal(effnetc_exit_code(m), 1);
    assert_false(exists("tiny.c") || exists("tiny.h") || exists("tiny.graph.ir"));
    effnetc_free(m);
}

static void test_nothing_is_a_valid_argument_of_free(void **state) {
    (void)state;
    effnetc_free(NULL);
    effnetc_model *m = effnetc_open(NULL);
    assert_int_equal(effnetc_exit_code(m), 0);
    effnetc_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_interface_of_a_model, enter, leave),
        cmocka_unit_test_setup_teardown(test_backends_agree, enter, leave),
        cmocka_unit_test_setup_teardown(test_emit_writes_what_was_asked_for, enter, leave),
        cmocka_unit_test_setup_teardown(test_errors_stay_with_their_model, enter, leave),
        cmocka_unit_test_setup_teardown(test_bad_options_are_reported, enter, leave),
        cmocka_unit_test_setup_teardown(test_all_options_are_checked, enter, leave),
        cmocka_unit_test_setup_teardown(test_c_has_no_weights_inside, enter, leave),
        cmocka_unit_test(test_nothing_is_a_valid_argument_of_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
