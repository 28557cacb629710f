/* test_spatial.c: kernels that move or join pixels and channels, against the graph interpreter, for
 * every target. */
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

/* ---- resize ---------------------------------------------------------------------------------- */

/* A table of `taps` elements of `in` for each of `out` outputs, and weights for it; with `gaps`
 * every third output is outside. */
static void add_tables(Graph *g, int64_t in, int64_t out, int64_t taps, bool weighted, bool gaps,
                       Value **index, Value **weight) {
    Tensor *t = tensor_new(&g->arena, DT_i64, SHAPE(out, taps));
    for (int64_t i = 0; i < out * taps; i++)
        tensor_set_i64(t, i, gaps && i / taps % 3 == 1 ? -1 : (i * 7 / 3 + i % taps) % in);
    *index = out ? graph_constant(g, graph_unique_name(g, "index"), t) : NULL;
    *weight = out && weighted ? random_constant(g, "weight", SHAPE(out, taps), 1) : NULL;
}

typedef struct ResizeCase {
    int64_t x[4], rows, row_taps, columns, column_taps; /* rows, columns: 0 for none */
    bool row_weights, column_weights, row_gaps, column_gaps;
    double outside;
} ResizeCase;

static const ResizeCase resize_cases[] = {
    {{1, 24, 4, 5}, 8, 1, 10, 1, false, false, false, false, 0},
    {{2, 17, 3, 7}, 5, 2, 3, 2, true, true, false, false, 0},
    {{1, 3, 6, 6}, 7, 4, 5, 4, true, true, false, false, 0},
    {{1, 40, 2, 9}, 0, 0, 4, 2, false, true, false, false, 0},
    {{1, 16, 5, 1}, 33, 2, 0, 0, true, false, false, false, 0},
    {{1, 5, 3, 3}, 2, 1, 6, 3, true, true, false, false, 0},
    {{1, 1, 1, 1}, 19, 1, 2, 2, false, true, false, false, 0},
    {{1, 9, 2, 2}, 0, 0, 0, 0, false, false, false, false, 0},
    /* outside */
    {{1, 17, 3, 4}, 5, 1, 9, 1, false, false, true, true, 0},
    {{2, 5, 3, 4}, 5, 2, 0, 0, true, false, true, false, -3},
    {{1, 24, 3, 4}, 0, 0, 7, 3, false, true, false, true, 2},
    /* many taps */
    {{1, 5, 40, 3}, 3, 17, 2, 1, true, false, false, false, 0},
    {{1, 17, 3, 50}, 0, 0, 4, 21, false, true, false, false, 0},
    {{2, 9, 33, 40}, 3, 18, 2, 19, true, true, true, false, 1},
};

static void add_resize(Graph *g, const ResizeCase *c, bool blocked) {
    Shape shape = shape_of(4, c->x);
    Value *operands[5] = {blocked ? blocked_input(g, shape) : new_input(g, "x", shape)};
    add_tables(g, c->x[2], c->rows, c->row_taps, c->row_weights, c->row_gaps, &operands[1],
               &operands[3]);
    add_tables(g, c->x[3], c->columns, c->column_taps, c->column_weights, c->column_gaps,
               &operands[2], &operands[4]);
    Node *n = node_new(g, OP_resize, NULL, "y", operands, 5);
    resize_attrs(n)->outside = c->outside;
    finish(g, n);
}

static Graph *resize_graph(void) {
    Graph *g = graph_new("resizes");
    for (size_t i = 0; i < sizeof resize_cases / sizeof *resize_cases; i++)
        add_resize(g, &resize_cases[i], i % 2);
    return g;
}

static void test_resize(void **state) {
    (void)state;
    check_all(resize_graph, NSPECIALS, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_resize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
