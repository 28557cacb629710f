/* test_lower_release.c: constants lose their elements behind the last node that reads them or what
 * shares their memory, and the weights of a module are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "passes/lower.h"

#include <string.h>

enum { ROWS = 160, COLUMNS = 256 }; /* 160 KiB */

static Value *numbers(Graph *g, const char *name, int64_t rows) {
    Tensor *t = tensor_new(&g->arena, DT_f32, SHAPE(1, 1, rows, COLUMNS));
    for (int64_t i = 0; i < rows * COLUMNS; i++)
        tensor_set_f64(t, i, (double)i + name[0]);
    return graph_constant(g, name, t);
}

static Value *sum(Graph *g, Value *x, Value *w) {
    Node *n = node_new(g, OP_add, NULL, "sum", (Value *[]){x, w}, 2);
    node_infer_or_die(n);
    return node_out(n);
}

/* Nodes 0, 1 and 2 add a, the upper half of `both`, and its lower half; node 3 adds a again and
 * node 4 `small`. */
typedef struct Sums {
    Graph *g;
    Value *a, *both, *upper, *lower, *small;
} Sums;

static Sums sums(void) {
    Sums s = {.g = graph_new("sums")};
    Graph *g = s.g;
    Value *x = graph_input(g, "x", type_plain(DT_f32, SHAPE(1, 1, ROWS, COLUMNS)));
    s.a = numbers(g, "a", ROWS);
    s.both = numbers(g, "both", 2 * ROWS);
    s.upper = graph_constant_view(g, s.both, 0, SHAPE(1, 1, ROWS, COLUMNS));
    s.lower = graph_constant_view(g, s.both, (int64_t)ROWS * COLUMNS, SHAPE(1, 1, ROWS, COLUMNS));
    s.small = numbers(g, "small", 1);
    Value *v = sum(g, sum(g, sum(g, x, s.a), s.upper), s.lower);
    graph_output(g, sum(g, sum(g, v, s.a), s.small), "y");
    return s;
}

static bool has(const Value *v) {
    return v->constant->data != NULL;
}

static void elements_go_behind_the_last_use(void **state) {
    (void)state;
    Sums s = sums();
    ConstantUses *c = constant_uses(s.g, &s.g->arena);
    constant_uses_end(c, 0);
    assert_true(has(s.a) && has(s.upper) && has(s.lower));
    constant_uses_end(c, 1);
    assert_true(has(s.a) && !has(s.upper) && has(s.lower));
    for (int64_t i = 0; i < ROWS * COLUMNS; i++)
        assert_true(tensor_f64(s.lower->constant, i) == (double)(ROWS * COLUMNS + i) + 'b');
    constant_uses_end(c, 2);
    assert_true(has(s.a) && !has(s.lower));
    constant_uses_end(c, 3);
    assert_false(has(s.a));
    constant_uses_end(c, 4);
    assert_true(has(s.small)); /* too little */
    graph_free(s.g);
}

/* What shares memory shares its end in whichever order nodes read it. */
static void the_whole_outlives_its_parts(void **state) {
    (void)state;
    Sums s = sums();
    Node *last = s.g->first->next->next->next;
    node_set_operand(last, 1,
                     graph_constant_view(s.g, s.both, COLUMNS, SHAPE(1, 1, ROWS, COLUMNS)));
    ConstantUses *c = constant_uses(s.g, &s.g->arena);
    constant_uses_end(c, 0);
    assert_false(has(s.a));
    constant_uses_end(c, 1);
    constant_uses_end(c, 2);
    assert_true(has(s.upper) && has(s.lower) && has(node_in(last, 1)));
    assert_memory_equal(s.lower->constant->data,
                        (const float *)s.both->constant->data + ROWS * COLUMNS, 64);
    constant_uses_end(c, 3);
    assert_false(has(s.upper) || has(s.lower) || has(node_in(last, 1)));
    graph_free(s.g);
}

static void outputs_stay(void **state) {
    (void)state;
    Sums s = sums();
    graph_output(s.g, s.a, "a");
    ConstantUses *c = constant_uses(s.g, &s.g->arena);
    for (int i = 0; i < 5; i++)
        constant_uses_end(c, i);
    assert_true(has(s.a));
    assert_false(has(s.lower));
    graph_free(s.g);
}

static Module *lowered(Graph *g, bool last_use) {
    static const char *const names[] = {"layout", "add-scratch", "plan-memory", "lower"};
    Diag d = {0};
    PassContext cx = {
        .target = target_find("x86-64-v3"), .where = "test", .diag = &d, .last_use = last_use};
    Program p = {.graph = g};
    assert_true(run_passes(&p, names, 4, &cx, &(RunnerOptions){.verify_each = true}));
    diag_free(&d);
    return p.module;
}

static void weights_are_the_same(void **state) {
    (void)state;
    Sums kept = sums(), freed = sums();
    Module *want = lowered(kept.g, false), *got = lowered(freed.g, true);
    assert_true(has(kept.a) && has(kept.lower));
    assert_false(has(freed.a) || has(freed.lower));
    assert_true(want->weights_bytes > (3 * ROWS * COLUMNS) * 4);
    assert_int_equal(got->weights_bytes, want->weights_bytes);
    assert_memory_equal(got->weights->data, want->weights->data, (size_t)want->weights_bytes);
    module_free(want);
    module_free(got);
    graph_free(kept.g);
    graph_free(freed.g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_go_behind_the_last_use),
        cmocka_unit_test(the_whole_outlives_its_parts),
        cmocka_unit_test(outputs_stay),
        cmocka_unit_test(weights_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
