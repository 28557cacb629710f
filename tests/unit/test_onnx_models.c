/* Imports the files of the shared test models: what real exporters write, and broken files. The
 * folder is EFFNETC_MODELS, or shared/models beside the source tree; without it the tests skip. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "frontend/frontend.h"
#include "runtime/runtime.h"

static const char *models_folder(void) {
    const char *folder = getenv("EFFNETC_MODELS");
    return folder ? folder : EFFNETC_SOURCE_DIR "/../shared/models";
}

static const char *in_models(Arena *a, const char *file) {
    return arena_printf(a, "%s/%s", models_folder(), file);
}

/* The parsed index file; skips the test where there is none. */
static json_t *load_index(const char *file) {
    Arena a = {0};
    json_error_t error;
    json_t *j = json_load_file(in_models(&a, file), 0, &error);
    arena_free(&a);
    if (!j) {
        print_message("no %s in %s: set EFFNETC_MODELS to the folder of the test models\n", file,
                      models_folder());
        skip();
    }
    return j;
}

static const char *text(const json_t *j, const char *key) {
    const char *s = json_string_value(json_object_get(j, key));
    if (!s)
        fail_msg("the index has no %s", key);
    return s;
}

/* ---- broken files ---------------------------------------------------------------------------- */

static void check_bad_file(Arena *a, const json_t *entry) {
    const char *file = text(entry, "file");
    bool may_import = strcmp(text(entry, "expect"), "either") == 0;
    Diag d = {0};
    clock_t start = clock();
    Graph *g = onnx_import(in_models(a, file), NULL, &d);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    int code = diag_exit_code(&d);
    if (g && !may_import)
        fail_msg("%s was imported", file);
    if (g && !graph_verify(g, file, &d))
        fail_msg("%s gives a broken graph", file);
    if (!g && code != EXIT_BAD_MODEL && code != EXIT_UNSUPPORTED)
        fail_msg("%s ends with exit code %d", file, code);
    if (seconds > 1)
        fail_msg("%s took %.1f s", file, seconds);
    if (g)
        graph_free(g);
    diag_free(&d);
}

static void test_bad_files(void **state) {
    (void)state;
    json_t *index = load_index("bad/bad.json");
    Arena a = {0};
    assert_true(json_array_size(index) > 20);
    for (size_t i = 0; i < json_array_size(index); i++)
        check_bad_file(&a, json_array_get(index, i));
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    assert_true(usage.ru_maxrss < 200 * 1024); /* kB */
    arena_free(&a);
    json_decref(index);
}

/* ---- good files ------------------------------------------------------------------------------ */

static void read_array(Arena *a, const char *file, rt_array *out) {
    rt_error error;
    if (rt_npy_read(out, in_models(a, file), &error) != RT_OK)
        fail_msg("%s", error.text);
}

static double array_at(const rt_array *x, int64_t i) {
    assert_int_equal(x->kind, 'f');
    return x->itemsize == 8   ? ((const double *)x->data)[i]
           : x->itemsize == 4 ? (double)((const float *)x->data)[i]
                              : (double)half_to_float(((const uint16_t *)x->data)[i]);
}

/* Every step-th element of out against the reference, as a share of the largest. */
static void compare(const char *name, const Tensor *out, const rt_array *ref, int64_t step,
                    double tolerance) {
    double worst = 0, largest = 0;
    int64_t count = 1;
    for (int i = 0; i < ref->rank; i++)
        count *= ref->dim[i];
    assert_int_equal(ceil_div(shape_elems(&out->shape), step), count);
    for (int64_t i = 0; i < count; i++) {
        double want = array_at(ref, i), error = fabs(tensor_f64(out, i * step) - want);
        worst = error > worst || isnan(error) ? error : worst;
        largest = fabs(want) > largest ? fabs(want) : largest;
    }
    if (!(worst <= tolerance * largest))
        fail_msg("%s: an output is off by %g of the largest", name, worst / largest);
}

static void check_outputs(Arena *a, const json_t *model, const Graph *g, const Tensor *in) {
    Tensor *inputs[] = {tensor_wrap(a, in->dtype, in->shape, in->data)};
    Tensor **out = ARENA_ARRAY(a, g->outputs.len, Tensor *);
    Diag d = {0};
    assert_true(graph_eval(g, inputs, out, a, &d));
    const json_t *tolerance = json_object_get(model, "tolerance"),
                 *refs = json_object_get(model, "refs");
    bool lossy = json_is_true(json_object_get(tolerance, "lossy"));
    double rel = json_number_value(json_object_get(tolerance, "rel_to_absmax"));
    for (size_t i = 0; i < json_array_size(refs); i++) {
        const json_t *ref = json_array_get(refs, i);
        const char *file = text(ref, json_object_get(ref, "file64") ? "file64" : "file");
        rt_array want;
        read_array(a, file, &want);
        compare(text(model, "name"), out[i], &want,
                json_integer_value(json_object_get(ref, "step")), lossy ? rel : 1e-5);
        rt_array_free(&want);
    }
    diag_free(&d);
}

/* The batch of the model's input is that of the file. */
static Graph *import_for(Arena *a, const json_t *model, const rt_array *x, Diag *d) {
    const json_t *input = json_array_get(json_object_get(model, "inputs"), 0);
    const char *batch = json_string_value(json_array_get(json_object_get(input, "shape"), 0));
    DimOverride dim = {batch, x->dim[0]};
    ImportOptions options = {&dim, batch ? 1 : 0};
    return onnx_import(in_models(a, text(model, "file")), &options, d);
}

/* It is imported, and has the outputs of its references. */
static void check_model(const json_t *model) {
    Arena a = {0};
    Diag d = {0};
    rt_array x;
    read_array(&a, text(json_object_get(model, "input"), "file"), &x);
    Graph *g = import_for(&a, model, &x, &d);
    if (!g || !graph_verify(g, text(model, "name"), &d)) {
        diag_print(&d, stderr, false);
        fail_msg("%s is refused with exit code %d", text(model, "name"), diag_exit_code(&d));
    }
    const Type *t = &g->inputs.data[0]->type;
    assert_int_equal(d.errors, 0);
    assert_int_equal(shape_elems(&t->shape) * dtype_bytes(t->dtype), x.bytes);
    check_outputs(&a, model, g, tensor_wrap(&a, t->dtype, t->shape, x.data));
    graph_free(g);
    rt_array_free(&x);
    diag_free(&d);
    arena_free(&a);
}

static void test_tiny_models(void **state) {
    (void)state;
    json_t *index = load_index("zoo.json");
    const json_t *models = json_object_get(index, "models");
    int checked = 0;
    for (size_t i = 0; i < json_array_size(models); i++) {
        const json_t *model = json_array_get(models, i);
        if (strcmp(text(model, "kind"), "tiny") != 0)
            continue;
        check_model(model);
        checked++;
    }
    assert_true(checked >= 40);
    json_decref(index);
}

/* Pretrained EfficientNet-Lite0: 17 chains of shape arithmetic become paddings, nothing else
 * stays. */
static void test_lite0(void **state) {
    (void)state;
    json_decref(load_index("zoo.json"));
    Arena a = {0};
    Diag d = {0};
    rt_array picture, want;
    Graph *g = onnx_import(in_models(&a, "real/efficientnet_lite0.onnx"), NULL, &d);
    assert_non_null(g);
    assert_true(graph_verify(g, "lite0", &d));
    assert_int_equal(graph_macs(g), 385187552);
    FOR_EACH_NODE(g, n)
    assert_true(n->op != OP_concat && n->op != OP_slice && n->op != OP_transpose &&
                n->op != OP_cast);
    read_array(&a, "real/refs/lite0_chelsea.u8.npy", &picture);
    read_array(&a, "real/refs/lite0_chelsea.out.npy", &want);
    Tensor *x = tensor_new(&a, DT_f32, SHAPE(1, 3, 224, 224));
    for (int64_t i = 0; i < 224 * 224 * 3; i++)
        tensor_set_f64(x, i % 3 * 224 * 224 + i / 3,
                       (((const uint8_t *)picture.data)[i] - 127) / 128.0);
    Tensor *out[1];
    assert_true(graph_eval(g, &x, out, &a, &d));
    compare("lite0", out[0], &want, 1, 1e-5);
    rt_array_free(&picture);
    rt_array_free(&want);
    graph_free(g);
    diag_free(&d);
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_tiny_models),
        cmocka_unit_test(test_lite0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
