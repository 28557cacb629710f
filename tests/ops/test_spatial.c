/* test_spatial.c: kernels that move or join pixels and channels, against the graph interpreter, for
 * every target. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/kernel_check.h"

#include <math.h>

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
    /* to blocks and back in tiles of 16 pixels: rows joined, with a rest, and one by one */
    {{2, 17, 4, 8}, 1, 1, 1, 1, 1, 1, {0}, {0}},
    {{1, 35, 5, 7}, 1, 1, 1, 1, 1, 1, {0}, {0}},
    {{1, 18, 2, 32}, 1, 1, 1, 1, 1, 1, {0}, {0}},
    {{1, 135, 3, 6}, 1, 1, 1, 1, 1, 1, {0}, {0}}, /* parts of some blocks */
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

/* ---- to channels last ------------------------------------------------------------------------ */

/* Of blocks, which a pool makes: with whole and other last blocks, fewer channels than one has; and
 * with a halo, since a convolution reads them too. */
static Graph *channels_last_graph(void) {
    static const int64_t sizes[][4] = {{2, 35, 3, 40}, {1, 32, 4, 4}, {1, 3, 2, 7}, {1, 17, 1, 1}};
    Graph *g = graph_new("last");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        Value *x = new_input(g, "x", shape_of(4, sizes[i]));
        Node *pool = node_new(g, OP_max_pool, NULL, "p", (Value *[]){x}, 1);
        pool_attrs(pool)->kernel = pool_attrs(pool)->stride = pool_attrs(pool)->dilation =
            (Dim2){{1, 1}};
        node_infer_or_die(pool);
        Value *w = random_constant(g, "w", SHAPE(sizes[i][1], 1, 3, 3), 1);
        Node *dw = node_new(g, OP_dwconv2d, NULL, "d", (Value *[]){node_out(pool), w}, 2);
        *conv_attrs(dw) = (ConvAttrs){.kernel = {{3, 3}},
                                      .stride = {{1, 1}},
                                      .dilation = {{1, 1}},
                                      .pad = {{1, 1, 1, 1}},
                                      .group = 1};
        finish(g, dw);
        Node *n = node_new(g, OP_transpose, NULL, "y", (Value *[]){node_out(pool)}, 1);
        transpose_attrs(n)->perm = ints(g, SHAPE(0, 2, 3, 1));
        finish(g, n);
    }
    return g;
}

static void test_channels_last(void **state) {
    (void)state;
    check_all(channels_last_graph, NSPECIALS, 4);
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

/* ---- channels in blocks ---------------------------------------------------------------------- */

/* What reads blocks with a halo: a depthwise convolution that adds padding alone. */
static void finish_in_blocks(Graph *g, Node *n) {
    node_infer_or_die(n);
    Value *x = node_out(n), *w = random_constant(g, "w", SHAPE(x->type.shape.dim[1], 1, 1, 1), 1);
    Node *conv = node_new(g, OP_dwconv2d, NULL, "y", (Value *[]){x, w}, 2);
    conv_attrs(conv)->pad = (Dim4){{1, 1, 1, 1}};
    finish(g, conv);
}

/* Channels of up to three operands; 0: none. Some start in the middle of a block, some have no
 * block of their own. */
static void add_channel_concats(Graph *g) {
    static const int64_t channels[][3] = {{16, 32, 0}, {40, 24, 0}, {8, 24, 20}, {3, 1, 19},
                                          {5, 5, 5},   {37, 3, 60}, {24, 1, 2}};
    for (size_t k = 0; k < sizeof channels / sizeof *channels; k++) {
        Value *operands[3];
        int count = 0;
        for (; count < 3 && channels[k][count]; count++) {
            Shape s = SHAPE(1 + (int64_t)k % 2, channels[k][count], 3, 5);
            operands[count] = count == 1 ? new_input(g, "x", s) : blocked_input(g, s);
        }
        Node *n = node_new(g, OP_concat, NULL, "y", operands, count);
        axis_attrs(n)->axis = 1;
        if (k % 3)
            finish_in_blocks(g, n);
        else
            finish(g, n);
    }
}

static void add_slice(Graph *g, Shape from, Shape starts, Shape sizes) {
    Node *n = node_new(g, OP_slice, NULL, "y", (Value *[]){blocked_input(g, from)}, 1);
    *slice_attrs(n) = (SliceAttrs){ints(g, starts), ints(g, sizes), ints(g, SHAPE(1, 1, 1, 1))};
    finish_in_blocks(g, n);
}

static Graph *channels_graph(void) {
    Graph *g = graph_new("channels");
    add_channel_concats(g);
    add_slice(g, SHAPE(1, 40, 3, 5), SHAPE(0, 16, 0, 0), SHAPE(1, 20, 3, 5));
    add_slice(g, SHAPE(2, 40, 3, 5), SHAPE(0, 20, 0, 0), SHAPE(2, 20, 3, 5));
    add_slice(g, SHAPE(1, 99, 4, 5), SHAPE(0, 3, 1, 2), SHAPE(1, 64, 3, 2));
    add_slice(g, SHAPE(1, 24, 4, 5), SHAPE(0, 23, 3, 4), SHAPE(1, 1, 1, 1));
    add_slice(g, SHAPE(1, 64, 4, 5), SHAPE(0, 0, 1, 1), SHAPE(1, 64, 2, 4));
    Value *k = random_constant(g, "k", SHAPE(1, 5, 3, 4), 1);
    Node *n = node_new(g, OP_concat, NULL, "y",
                       (Value *[]){k, blocked_input(g, SHAPE(1, 30, 3, 4)), k}, 3);
    axis_attrs(n)->axis = 1;
    finish_in_blocks(g, n);
    return g;
}

static void test_channels(void **state) {
    (void)state;
    check_all(channels_graph, NSPECIALS, 1);
}

/* ---- interleave and what it is for ----------------------------------------------------------- */

static Graph *turns_graph(void) {
    static const int64_t sizes[][6] = {/* batch, channels, rows, columns of the result, steps */
                                       {1, 24, 5, 7, 2, 2},
                                       {2, 3, 4, 9, 1, 3},
                                       {1, 16, 3, 2, 3, 2}};
    Graph *g = graph_new("turns");
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const int64_t *s = sizes[k];
        Value *operands[6];
        int count = 0;
        for (int64_t i = 0; i < s[4]; i++)
            for (int64_t j = 0; j < s[5]; j++) {
                Shape shape = SHAPE(s[0], s[1], ceil_div(s[2] - i, s[4]), ceil_div(s[3] - j, s[5]));
                operands[count] = count % 2 ? blocked_input(g, shape) : new_input(g, "x", shape);
                count++;
            }
        Node *n = node_new(g, OP_interleave, NULL, "y", operands, count);
        interleave_attrs(n)->steps = (Dim2){{s[4], s[5]}};
        finish(g, n);
    }
    return g;
}

static void test_turns(void **state) {
    (void)state;
    check_all(turns_graph, NSPECIALS, 4);
}

/* Of one axis: elements, stride, kernel, outputs, position of the first element. */
typedef struct ZerosCase {
    int64_t in, stride, kernel, out, first;
    bool splits;
} ZerosCase;

static const ZerosCase zeros_cases[] = {
    {6, 2, 2, 12, 1, true},  {6, 2, 3, 12, 1, true},  {6, 2, 3, 12, 2, true},
    {5, 3, 5, 15, 3, true},  {6, 2, 4, 12, 2, true},  {6, 2, 3, 11, 1, true},
    {7, 1, 3, 7, 1, true},   {6, 2, 2, 10, 0, false}, /* elements are cut off */
    {6, 3, 2, 16, 1, false},                          /* outputs see nothing */
};

static Value *zeros_table(Graph *g, const ZerosCase *c) {
    Tensor *t = tensor_new(&g->arena, DT_i64, SHAPE(c->out + c->kernel - 1, 1));
    for (int64_t q = 0; q < c->out + c->kernel - 1; q++) {
        int64_t i = q - c->first;
        tensor_set_i64(t, q,
                       i >= 0 && i % c->stride == 0 && i / c->stride < c->in ? i / c->stride : -1);
    }
    return graph_constant(g, graph_unique_name(g, "table"), t);
}

/* Rows as the case says, columns as the next one does. */
static void add_transposed(Graph *g, const ZerosCase *rows, const ZerosCase *columns, Op op) {
    int64_t channels = 48;
    Value *x = blocked_input(g, SHAPE(1, channels, rows->in, columns->in));
    Value *operands[] = {x, zeros_table(g, rows), zeros_table(g, columns)};
    Node *r = node_new(g, OP_resize, NULL, "zeros", operands, 3);
    node_infer_or_die(r);
    Value *w = random_constant(g, "w",
                               SHAPE(op == OP_conv2d ? 40 : channels,
                                     op == OP_conv2d ? channels : 1, rows->kernel, columns->kernel),
                               0.1f);
    Value *b = random_constant(g, "b", SHAPE(op == OP_conv2d ? 40 : channels), 1);
    Node *n = node_new(g, op, NULL, "y", (Value *[]){node_out(r), w, b}, 3);
    conv_attrs(n)->kernel = (Dim2){{rows->kernel, columns->kernel}};
    conv_attrs(n)->act = ACT_silu;
    finish(g, n);
}

static int count_ops(const Graph *g, Op op) {
    int count = 0;
    FOR_EACH_NODE(g, n) {
        count += n->op == op;
    }
    return count;
}

static void test_transposed_convolutions(void **state) {
    (void)state;
    enum { CASES = sizeof zeros_cases / sizeof *zeros_cases };
    for (int i = 0; i < 2 * CASES; i++) {
        const ZerosCase *rows = &zeros_cases[i / 2], *columns = &zeros_cases[(i / 2 + 1) % 5];
        Fixture f = {.p.graph = graph_new("zeros"), .level = 2, .error = 2e-6};
        f.options.no_winograd = true;
        add_transposed(f.p.graph, rows, columns, i % 2 ? OP_conv2d : OP_dwconv2d);
        make_inputs(&f, NULL, 0);
        f.expected = ARENA_ARRAY(&f.arena, f.noutputs, Tensor *);
        assert_true(graph_eval(f.p.graph, f.in, f.expected, &f.arena, &f.diag));
        PassContext cx = {.target = target_find("x86-64-v3"), .where = "test", .diag = &f.diag};
        RunnerOptions o = {.verify_each = true};
        const char *const pass[] = {"split-transposed"};
        assert_true(run_passes(&f.p, pass, 1, &cx, &o));
        Graph *g = f.p.graph;
        if (i % 2)
            assert_int_equal(count_ops(g, OP_resize), !rows->splits);
        Tensor **out = ARENA_ARRAY(&f.arena, f.noutputs, Tensor *);
        assert_true(graph_eval(g, f.in, out, &f.arena, &f.diag));
        for (int64_t k = 0; k < shape_elems(&out[0]->shape); k++)
            assert_true(fabs(tensor_f64(out[0], k) - tensor_f64(f.expected[0], k)) < 1e-6);
        lower_fixture(&f, "x86-64-v3", false);
        interpret(&f);
        for (int64_t k = 0; k < shape_elems(&out[0]->shape); k++)
            assert_true(fabs(tensor_f64(f.interpreted[0], k) - tensor_f64(out[0], k)) < 1e-5);
        fixture_free(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pools),  cmocka_unit_test(test_channels_last),
        cmocka_unit_test(test_resize), cmocka_unit_test(test_channels),
        cmocka_unit_test(test_turns),  cmocka_unit_test(test_transposed_convolutions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
