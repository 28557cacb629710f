/* Which value of the loaded graph a compiled node computes: passes must hand that on. */
#include "driver/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* Both graphs by the interpreter: what is between them is the rounding of values to float32, and of
 * weights that passes changed. Returns how many layers were compared. */
static size_t check_sources(const char *path, const char *target, double tolerance) {
    effnetc_options o = effnetc_default_options();
    o.target = target;
    effnetc_model *m = effnetc_open(&o);
    Layers l;
    Arena a = {0};
    bool ok = effnetc_load(m, path);
    assert_true(ok);
    graph_track_sources(m->source);
    Tensor **in = ARENA_ARRAY(&a, m->inputs.len + 1, Tensor *);
    Tensor **ref = ARENA_ARRAY(&a, m->outputs.len + 1, Tensor *);
    inputs_random(m, 1, in, &a);
    ok = effnetc_compile(m) &&
         layers_open(&l, m, m, in, ref, &(Tolerance){.relative = tolerance}, &a) &&
         layers_eval(&l, in, m->diag);
    assert_true(ok);
    size_t compared = layers_compared(&l);
    const Layer *first = layers_first(&l);
    if (first)
        fail_msg("%s: %%%s is not %s: %g", path, first->value->name, first->source,
                 first->c.relative);
    arena_free(&a);
    effnetc_free(m);
    return compared;
}

#define LITE0 EFFNETC_SOURCE_DIR "/examples/models/efficientnet_lite0.onnx"

static void test_fused_nodes_have_sources(void **state) {
    (void)state;
    assert_in_range(check_sources(LITE0, "x86-64-v4", 1e-5), 49, 60);
    assert_in_range(check_sources(LITE0, "generic", 1e-5), 49, 60);
}

/* Models named on the command line instead, by hand: differences grow in random networks, but
 * another value would be nothing like the right one. */
int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fused_nodes_have_sources)};
    for (int i = 1; i < argc; i++)
        printf("%s: %zu layers\n", argv[i], check_sources(argv[i], NULL, 0.1));
    return argc > 1 ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
}
