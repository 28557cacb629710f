/* test_plan_memory.c: plans for random graphs, checked by a liveness analysis of its own: no two
 * values that are alive together share a byte, but for results that are computed in place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "passes/passes.h"

#include <string.h>

static uint64_t rng_state = 7;

static int64_t below(int64_t n) {
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)(rng_state >> 33) % n;
}

/* A chain of ops over planes of random sizes; sums reach back to earlier values of the same
 * shape. */
static Graph *random_graph(int nodes) {
    Graph *g = graph_new("random");
    Value *v = graph_input(g, "x", type_plain(DT_f32, SHAPE(1, 1 + below(40), 4 + below(9), 5)));
    Value *kept = v;
    for (int i = 0; i < nodes; i++) {
        bool sum = kept != v && shape_equal(&kept->type.shape, &v->type.shape) && below(2);
        bool pool = !sum && below(8) == 0;
        Op op = sum ? OP_add : pool ? OP_global_avg_pool : op_from_act(ACT_silu);
        Node *n = node_new(g, op, NULL, "v", (Value *[]){v, kept}, sum ? 2 : 1);
        node_infer_or_die(n);
        v = node_out(n);
        if (below(4) == 0)
            kept = v;
    }
    graph_output(g, v, "y");
    if (kept != v && below(2))
        graph_output(g, kept, "kept");
    return g;
}

static void plan(Graph *g, const char *target) {
    static const char *const names[] = {"layout", "add-scratch", "plan-memory"};
    Diag d = {0};
    PassContext cx = {.target = target_find(target), .where = "test", .diag = &d};
    Program p = {.graph = g};
    bool ok = run_passes(&p, names, 3, &cx, &(RunnerOptions){.verify_each = true});
    if (!ok)
        diag_print(&d, stderr, false);
    assert_true(ok);
    diag_free(&d);
}

/* Nodes are numbered by `mark`: the last one that reads v, or the one that makes it. */
static int death(const Value *v) {
    int last = v->def->mark;
    for (const Use *u = v->uses; u; u = u->next)
        if (u->user && u->user->mark > last)
            last = u->user->mark;
    return last;
}

static bool in_place(const Value *old, const Value *fresh) {
    return death(old) == fresh->def->mark && old->arena_offset == fresh->arena_offset &&
           type_equal(&old->type, &fresh->type);
}

static bool collide(const Value *a, const Value *b) {
    bool together = a->def->mark <= death(b) && b->def->mark <= death(a);
    bool apart = a->arena_offset + type_storage_bytes(&a->type) <= b->arena_offset ||
                 b->arena_offset + type_storage_bytes(&b->type) <= a->arena_offset;
    return together && !apart && !in_place(a, b) && !in_place(b, a);
}

static void check_pair(const Value *a, const Value *b) {
    if (collide(a, b))
        fail_msg("%%%s at %lld and %%%s at %lld are alive together", a->name,
                 (long long)a->arena_offset, b->name, (long long)b->arena_offset);
}

static void check_plan(Graph *g) {
    const Value *values[512];
    int n = 0, index = 0;
    FOR_EACH_NODE(g, node) {
        node->mark = index++;
    }
    FOR_EACH_NODE(g, node) {
        for (int i = 0; i < node->nresults; i++) {
            const Value *v = node->results[i];
            assert_int_equal(v->arena_offset < 0, value_is_graph_output(v));
            if (v->arena_offset < 0)
                continue;
            assert_int_equal(v->arena_offset % ARENA_ALIGN, 0);
            assert_true(n < 512);
            values[n++] = v;
        }
    }
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            check_pair(values[i], values[k]);
}

static void test_random_graphs(void **state) {
    (void)state;
    static const char *const targets[] = {"generic", "x86-64-v3", "x86-64-v4"};
    for (int i = 0; i < 300; i++) {
        Graph *g = random_graph(1 + (int)below(40));
        plan(g, targets[i % 3]);
        check_plan(g);
        MemoryPlan m = plan_summary(g);
        assert_true(m.arena_bytes >= m.lower_bound);
        assert_true((double)m.arena_bytes <= 1.5 * (double)m.lower_bound + ARENA_ALIGN);
        graph_free(g);
    }
}

/* The check above can fail: a value that is read after another one was put over it. */
static void test_check_finds_overlap(void **state) {
    (void)state;
    Node makes_a = {.mark = 0}, makes_b = {.mark = 1}, reader = {.mark = 2};
    Type t = type_plain(DT_f32, SHAPE(16));
    Value a = {.name = "a", .type = t, .def = &makes_a, .arena_offset = 0};
    Value b = {.name = "b", .type = t, .def = &makes_b, .arena_offset = 32};
    assert_false(collide(&a, &b));
    a.uses = &(Use){.value = &a, .user = &reader};
    assert_true(collide(&a, &b));
    b.arena_offset = 64;
    assert_false(collide(&a, &b));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_check_finds_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
