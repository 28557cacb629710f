/* Unit tests of ir/graph_eval.c and ir/graph_fold.c: running graphs, and folding their
 * constants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "ir/graph.h"
#include "tests/lib/graph_text.h"

static Value *named(Graph *g, const char *name) {
    Value *v = map_get(&g->names, name);
    if (!v)
        fail_msg("no value is called %s", name);
    return v;
}

static void check_sound(const Graph *g) {
    Diag d = {0};
    bool ok = graph_verify(g, "g", &d);
    diag_print(&d, stderr, false);
    diag_free(&d);
    assert_true(ok);
}

static void check_i64(const Tensor *t, int n, const int64_t *want) {
    assert_non_null(t);
    assert_int_equal(t->dtype, DT_i64);
    assert_int_equal(shape_elems(&t->shape), n);
    for (int i = 0; i < n; i++)
        assert_int_equal(tensor_i64(t, i), want[i]);
}

/* ---- evaluation ----------------------------------------------------------------------------- */

static const char diamond_text[] =
    "graph @g(%x: f32[2], %unused: i64[1]) -> (f32[2], f32[2], f32[2], f32[2]) {\n"
    "  const @c : f32[2] = [10, 20]\n"
    "  %a = add %x, %x : f32[2]{arena=0}\n"
    "  %dead = mul %a, %a : f32[2]\n"
    "  %b = add %a, @c : f32[2]\n"
    "  %d = mul %a, %b : f32[2]\n"
    "  return %b, %d, %x, @c\n}\n";

static void count_nodes(void *ctx, const Node *n, Tensor *const *results) {
    Buf *log = ctx;
    buf_printf(log, "%s=%g ", node_out(n)->name, tensor_f64(results[0], 0));
}

static void a_graph_runs(void **state) {
    (void)state;
    Graph *g = graph_of(diamond_text);
    assert_non_null(g);
    Arena a = {0};
    Diag d = {0};
    Buf log = {0};
    Tensor *in[] = {tensor_new(&a, DT_f32, SHAPE(2)), tensor_new(&a, DT_i64, SHAPE(1))}, *out[4];
    tensor_set_f64(in[0], 0, 1);
    tensor_set_f64(in[0], 1, 2);
    assert_true(graph_eval_with(g, in, out, &a, &d, count_nodes, &log));
    assert_string_equal(buf_str(&log), "a=2 dead=4 b=12 d=24 ");
    const double want[4][2] = {{12, 24}, {24, 96}, {1, 2}, {10, 20}};
    graph_free(g); /* the results live in a */
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 2; k++)
            assert_true(tensor_f64(out[i], k) == want[i][k]);
    assert_ptr_not_equal(out[2], in[0]);
    buf_free(&log);
    diag_free(&d);
    arena_free(&a);
}

static void elided_constants_stop_evaluation(void **state) {
    (void)state;
    assert_true(graph_eval_fails("graph @g() -> f32[2] {\n"
                                 "  const @w : f32[2] = xxh:0123456789abcdef\n"
                                 "  return @w\n}\n",
                                 "the elements of constant @w are not known"));
    assert_true(graph_values_match("graph @g() -> (f32[1], f32[1]) {\n"
                                   "  const @unused : f32[2] = xxh:0123456789abcdef\n"
                                   "  const @w : f32[1] = [1]\n"
                                   "  return @w, @w\n}\n",
                                   0));
}

/* Of 20 values of 4 MiB the caller's arena holds the last. */
static void dead_values_are_freed(void **state) {
    (void)state;
    Graph *g = graph_new("g");
    Value *x = graph_constant(g, "x", tensor_new(&g->arena, DT_f32, SHAPE(1 << 20)));
    for (int i = 0; i < 20; i++) {
        Node *n = node_new(g, OP_identity, NULL, "y", &x, 1);
        node_infer_or_die(n);
        x = node_out(n);
    }
    graph_output(g, x, "y");
    Arena a = {0};
    Diag d = {0};
    Tensor *out[1];
    assert_true(graph_eval(g, NULL, out, &a, &d));
    assert_in_range(a.total, 4 << 20, (4 << 20) + 4096);
    arena_free(&a);
    graph_free(g);
}

/* ---- folding -------------------------------------------------------------------------------- */

/* What an exporter makes of a reshape to [shape[0], -1 resolved]. */
static const char shape_text[] = "graph @g(%x: f32[2,3,4]) -> (f32[2,3,4], i64[2]) {\n"
                                 "  const @shape : i64[3] = [2, 3, 4]\n"
                                 "  const @zero : i64[1] = [0]\n"
                                 "  const @rest : i64[1] = [12]\n"
                                 "  %first = gather @shape, @zero : i64[1]\n"
                                 "  %target = concat %first, @rest : i64[2]\n"
                                 "  %y = relu %x : f32[2,3,4]\n"
                                 "  return %y, %target\n}\n";

static void shape_arithmetic_folds(void **state) {
    (void)state;
    Graph *g = graph_of(shape_text);
    assert_non_null(g);
    Value *target = named(g, "target");
    check_i64(graph_fold_value(g, target, 100), 2, (int64_t[]){2, 12});
    assert_ptr_equal(named(g, "target"), target); /* the value itself became the constant */
    assert_null(target->def);
    assert_non_null(target->constant);
    assert_true(value_is_graph_output(target));
    assert_int_equal(graph_node_count(g), 1);
    check_sound(g);
    graph_dce(g);
    assert_int_equal(g->constants.len, 1);
    check_sound(g);
    check_i64(graph_fold_value(g, target, 1), 2, (int64_t[]){2, 12}); /* it is there already */
    graph_free(g);
}

static void what_depends_on_inputs_stays(void **state) {
    (void)state;
    Graph *g = graph_of(shape_text);
    assert_non_null(g);
    assert_null(graph_fold_value(g, named(g, "y"), 100));
    assert_null(graph_fold_value(g, named(g, "x"), 100));
    assert_int_equal(graph_node_count(g), 3);
    check_sound(g);
    graph_free(g);
}

static void the_limit_holds_for_all_values(void **state) {
    (void)state;
    Graph *g = graph_of("graph @g() -> i64[] {\n"
                        "  const @one : i64[] = [1]\n"
                        "  %wide = expand @one {shape=[1000]} : i64[1000]\n"
                        "  %narrow = slice %wide {starts=[7], sizes=[1], steps=[1]} : i64[1]\n"
                        "  %y = reshape %narrow : i64[]\n"
                        "  return %y\n}\n");
    assert_non_null(g);
    assert_null(graph_fold_value(g, named(g, "y"), 999));
    assert_int_equal(graph_node_count(g), 3);
    check_i64(graph_fold_value(g, named(g, "y"), 1000), 1, (int64_t[]){1});
    check_sound(g);
    graph_free(g);
}

static void what_cannot_be_computed_stays(void **state) {
    (void)state;
    Graph *g = graph_of("graph @g() -> (i64[1], f32[2]) {\n"
                        "  const @shape : i64[2] = [4, 5]\n"
                        "  const @bad : i64[1] = [2]\n"
                        "  const @gone : f32[2] = xxh:0123456789abcdef\n"
                        "  %y = gather @shape, @bad : i64[1]\n"
                        "  %z = relu @gone : f32[2]\n"
                        "  return %y, %z\n}\n");
    assert_non_null(g);
    assert_null(graph_fold_value(g, named(g, "y"), 100)); /* index out of range */
    assert_null(graph_fold_value(g, named(g, "z"), 100)); /* elided */
    assert_null(graph_fold_value(g, named(g, "gone"), 100));
    assert_int_equal(graph_node_count(g), 2);
    check_sound(g);
    graph_free(g);
}

static void layouts_go_with_the_node(void **state) {
    (void)state;
    Graph *g = graph_of("graph @g() -> f32[1,2]{nchw8c} {\n"
                        "  const @x : f32[1,2] = [-1, 2]\n"
                        "  %y = relu @x : f32[1,2]{nchw8c, arena=64}\n"
                        "  return %y\n}\n");
    assert_non_null(g);
    assert_non_null(graph_fold_value(g, named(g, "y"), 100));
    check_sound(g);
    graph_free(g);
}

/* A chain of n additions of 1 from the constant 0. */
static Graph *chain(int n) {
    Graph *g = graph_new("g");
    Tensor *one = tensor_new(&g->arena, DT_i64, SHAPE(1));
    tensor_set_i64(one, 0, 1);
    Value *x = graph_constant(g, "x", tensor_new(&g->arena, DT_i64, SHAPE(1)));
    Value *step = graph_constant(g, "one", one);
    for (int i = 0; i < n; i++) {
        Node *add = node_new(g, OP_add, NULL, "y", (Value *[]){x, step}, 2);
        node_infer_or_die(add);
        x = node_out(add);
    }
    graph_output(g, x, "y");
    return g;
}

static void long_chains_fold_without_recursion(void **state) {
    (void)state;
    Graph *g = chain(4000);
    check_i64(graph_fold_value(g, g->outputs.data[0]->value, 1), 1, (int64_t[]){4000});
    graph_free(g);
    g = chain(100000); /* more than one call walks: refused in bounded time */
    assert_null(graph_fold_value(g, g->outputs.data[0]->value, 1));
    for (Node *n = g->first, *next; n; n = next) { /* but in order every node folds */
        next = n->next;
        assert_non_null(graph_fold_value(g, node_out(n), 1));
    }
    check_i64(g->outputs.data[0]->value->constant, 1, (int64_t[]){100000});
    graph_free(g);
}

/* A long dilated filter over a constant costs few bytes and much time. Every convolution here has
 * 2^22 multiply-accumulates: some fold, and then the budget is spent. */
static void folding_work_is_bounded(void **state) {
    (void)state;
    Graph *g = graph_of("graph @g() -> f32[1,1,2048,1] {\n"
                        "  const @zero : f32[] = [0]\n"
                        "  %x = expand @zero {shape=[1, 1, 4095, 1]} : f32[1,1,4095,1]\n"
                        "  %w = expand @zero {shape=[1, 1, 2048, 1]} : f32[1,1,2048,1]\n"
                        "  %y = conv2d %x, %w {kernel=2048x1} : f32[1,1,2048,1]\n"
                        "  return %y\n}\n");
    assert_non_null(g);
    Value *x = named(g, "x"), *w = named(g, "w");
    assert_non_null(graph_fold_value(g, x, 4095));
    assert_non_null(graph_fold_value(g, w, 4095));
    int folded = 0;
    for (int i = 0; i < 100; i++) {
        Node *n = node_new(g, OP_conv2d, NULL, "z", (Value *[]){x, w}, 2);
        conv_attrs(n)->kernel = (Dim2){{2048, 1}};
        node_infer_or_die(n);
        folded += graph_fold_value(g, node_out(n), 4095) != NULL;
    }
    assert_in_range(folded, 1, 40);
    assert_true(g->folded_work >= folded * (INT64_C(1) << 22));
    check_sound(g);
    graph_free(g);
}

/* Each step doubles a constant: folding stops long before memory does. */
static void folding_does_not_blow_up(void **state) {
    (void)state;
    Graph *g = graph_new("g");
    Value *x = graph_constant(g, "x", tensor_new(&g->arena, DT_f64, SHAPE(1 << 17)));
    for (int i = 0; i < 12; i++) {
        Node *n = node_new(g, OP_concat, NULL, "y", (Value *[]){x, x}, 2);
        node_infer_or_die(n);
        x = node_out(n);
    }
    graph_output(g, x, "y");
    assert_null(graph_fold_value(g, x, INT64_MAX));
    assert_int_equal(g->folded_bytes, 0);
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        graph_fold_value(g, node_out(n), INT64_MAX);
    }
    assert_in_range(g->folded_bytes, 30 << 20, 70 << 20);
    assert_int_equal(graph_node_count(g), 7);
    check_sound(g);
    graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_graph_runs),
        cmocka_unit_test(elided_constants_stop_evaluation),
        cmocka_unit_test(dead_values_are_freed),
        cmocka_unit_test(shape_arithmetic_folds),
        cmocka_unit_test(what_depends_on_inputs_stays),
        cmocka_unit_test(the_limit_holds_for_all_values),
        cmocka_unit_test(what_cannot_be_computed_stays),
        cmocka_unit_test(layouts_go_with_the_node),
        cmocka_unit_test(long_chains_fold_without_recursion),
        cmocka_unit_test(folding_work_is_bounded),
        cmocka_unit_test(folding_does_not_blow_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
