/* test_spatial.c: kernels that move or join pixels and channels, against the graph interpreter, for
 * every target: pooling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/kernel_check.h"

/* ---- pooling --------------------------------------------------------------------------------- */

typedef struct PoolCase {
    int64_t x[4], kh, kw, sh, sw, dh, dw;
    int64_t pad[4], counted[4];
} PoolCase;

static const PoolCase pool_cases[] = {
    {{1, 24, 9, 9}, 3, 3, 2, 2, 1, 1, {1, 1, 1, 1}, {1, 1, 1, 1}},
    {{2, 17, 7, 10}, 2, 3, 2, 1, 1, 1, {0, 1, 1, 0}, {0, 1, 0, 0}},
    {{1, 3, 12, 11}, 3, 3, 1, 2, 2, 3, {2, 3, 4, 1}, {0}},
    {{1, 40, 5, 5}, 5, 5, 1, 1, 1, 1, {2, 2, 2, 2}, {2, 2, 2, 2}},
    {{1, 16, 1, 1}, 1, 1, 1, 1, 1, 1, {0}, {0}},
    /* windows in the padding alone: -inf and 0 */
    {{1, 5, 3, 4}, 2, 2, 1, 1, 1, 1, {3, 0, 0, 2}, {0}},
};

static void add_pool(Graph *g, Op op, const PoolCase *c) {
    Node *n = node_new(g, op, NULL, "y", (Value *[]){new_input(g, "x", shape_of(4, c->x))}, 1);
    PoolAttrs *a = pool_attrs(n);
    a->kernel = (Dim2){{c->kh, c->kw}};
    a->stride = (Dim2){{c->sh, c->sw}};
    a->dilation = (Dim2){{c->dh, c->dw}};
    for (int i = 0; i < 4; i++) {
        a->pad.v[i] = c->pad[i];
        a->counted.v[i] = op == OP_avg_pool ? c->counted[i] : 0;
    }
    finish(g, n);
}

static Graph *pool_graph(void) {
    Graph *g = graph_new("pools");
    for (size_t i = 0; i < sizeof pool_cases / sizeof *pool_cases; i++) {
        add_pool(g, OP_max_pool, &pool_cases[i]);
        add_pool(g, OP_avg_pool, &pool_cases[i]);
    }
    return g;
}

static void test_pools(void **state) {
    (void)state;
    check_all(pool_graph, NSPECIALS, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
