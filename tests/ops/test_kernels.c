/* test_kernels.c: every kernel generator against the graph interpreter, for every target, over odd
 * shapes, tails and special values; and the generated C against the loop interpreter, bit for bit.
 *
 * The cases of a kind are one graph with an input and an output for each, so that each target is
 * compiled once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/kernel_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- cases ----------------------------------------------------------------------------------- */

typedef struct ConvCase {
    int64_t n, c, h, w, m; /* input, output channels */
    int64_t kh, kw, sh, sw, dh, dw;
    int64_t pad[4];
    Act act;
    bool bias, scale, residual;
} ConvCase;

static const ConvCase conv_cases[] = {
    /* pointwise: tails of pixels and channels, each epilogue */
    {1, 16, 7, 7, 32, 1, 1, 1, 1, 1, 1, {0}, ACT_none, true, false, false},
    {1, 24, 5, 5, 24, 1, 1, 1, 1, 1, 1, {0}, ACT_silu_exp2, true, true, false},
    {1, 40, 14, 14, 40, 1, 1, 1, 1, 1, 1, {0}, ACT_none, true, true, true},
    {1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, {0}, ACT_none, false, false, false},
    {1, 17, 3, 19, 33, 1, 1, 1, 1, 1, 1, {0}, ACT_relu6, true, true, true},
    {1, 1, 9, 13, 100, 1, 1, 1, 1, 1, 1, {0}, ACT_sigmoid, true, false, false},
    {1, 64, 1, 95, 5, 1, 1, 1, 1, 1, 1, {0}, ACT_hard_swish, true, false, true},
    {3, 24, 4, 4, 40, 1, 1, 1, 1, 1, 1, {0}, ACT_silu, true, true, true},
    {1, 16, 8, 8, 16, 1, 1, 2, 2, 1, 1, {0}, ACT_relu, true, false, false},
    {1, 20, 6, 6, 18, 1, 1, 1, 1, 1, 1, {1, 0, 2, 3}, ACT_hard_sigmoid, true, false, false},
    /* more inputs than the second cache keeps */
    {1, 1030, 14, 14, 5, 1, 1, 1, 1, 1, 1, {0}, ACT_none, true, false, true},
    /* stems: few channels, from the caller's layout, symmetric and TensorFlow's SAME */
    {1, 3, 32, 32, 32, 3, 3, 2, 2, 1, 1, {1, 1, 1, 1}, ACT_silu_exp2, true, false, false},
    {1, 3, 33, 31, 24, 3, 3, 2, 2, 1, 1, {0, 0, 1, 1}, ACT_relu6, true, false, false},
    {2, 1, 12, 10, 8, 5, 3, 1, 2, 1, 1, {2, 1, 2, 1}, ACT_none, false, false, true},
    /* dense kernels on blocked inputs */
    {1, 24, 9, 9, 48, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_silu, true, false, false},
    {1, 18, 11, 7, 20, 3, 3, 2, 2, 1, 1, {0, 1, 1, 0}, ACT_relu, true, false, true},
    {1, 16, 12, 12, 16, 3, 3, 1, 1, 2, 3, {2, 3, 2, 3}, ACT_none, true, false, false},
    {1, 32, 6, 6, 8, 5, 5, 1, 1, 1, 1, {0}, ACT_none, true, true, true},
    {1, 17, 5, 9, 4, 2, 4, 3, 2, 1, 1, {0, 0, 0, 0}, ACT_none, true, false, false},
};

/* Sizes that tiles divide and others, small planes, each width of a last vector, any padding. The
 * cost model chooses F(2x2, 3x3) for some, F(4x4, 3x3) for others. */
static const ConvCase winograd_cases[] = {
    {1, 32, 12, 16, 48, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_silu, true, false, false},
    {1, 24, 19, 14, 24, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_relu6, true, false, true},
    {2, 40, 7, 7, 40, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_none, true, false, true},
    {1, 48, 38, 15, 20, 3, 3, 1, 1, 1, 1, {0, 2, 2, 0}, ACT_hard_swish, false, false, false},
    {1, 33, 10, 9, 65, 3, 3, 1, 1, 1, 1, {0}, ACT_sigmoid, true, false, false},
    {1, 16, 8, 8, 96, 3, 3, 1, 1, 1, 1, {3, 1, 0, 2}, ACT_none, false, false, false},
    {1, 96, 2, 2, 96, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_none, true, false, false},
    {3, 64, 5, 6, 64, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_silu, true, false, true},
    {1, 17, 13, 31, 17, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_relu, true, false, false},
    /* with AVX-512, 70 tiles in three blocks of up to 28, so that the first one is smaller */
    {1, 32, 28, 40, 32, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_relu6, true, false, false},
};

static const ConvCase dw_cases[] = {
    {1, 32, 14, 14, 32, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_silu_exp2, true, false, false},
    {1, 40, 28, 29, 40, 5, 5, 1, 1, 1, 1, {2, 2, 2, 2}, ACT_none, true, false, false},
    {1, 24, 15, 15, 24, 3, 3, 2, 2, 1, 1, {0, 0, 1, 1}, ACT_relu6, true, false, false},
    {1, 17, 19, 21, 17, 5, 5, 2, 2, 1, 1, {2, 2, 2, 2}, ACT_hard_swish, false, false, false},
    {2, 5, 7, 7, 5, 7, 7, 1, 1, 1, 1, {3, 3, 3, 3}, ACT_sigmoid, true, false, false},
    {1, 16, 9, 9, 16, 3, 3, 1, 1, 2, 2, {2, 2, 2, 2}, ACT_relu, true, false, false},
    {1, 1, 1, 1, 1, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_none, true, false, false},
    {1, 48, 10, 38, 48, 1, 5, 1, 3, 1, 1, {0, 2, 0, 1}, ACT_none, true, false, false},
    /* small planes, clipped: padding as large as the kernel, strides, a kernel larger than they
     * are */
    {2, 20, 3, 5, 20, 5, 5, 1, 1, 1, 1, {4, 4, 5, 3}, ACT_silu, true, false, false},
    {1, 16, 14, 14, 16, 5, 5, 2, 2, 1, 1, {1, 1, 2, 2}, ACT_none, true, false, false},
    {1, 8, 2, 2, 8, 7, 7, 1, 1, 1, 1, {3, 3, 3, 3}, ACT_relu, true, false, false},
    {1, 33, 15, 13, 33, 3, 3, 1, 3, 1, 1, {0, 3, 2, 2}, ACT_none, true, false, false},
    {1, 17, 33, 30, 17, 3, 5, 3, 2, 1, 1, {1, 1, 1, 2}, ACT_relu6, true, false, false},
};

static void set_attrs(Node *n, const ConvCase *c) {
    *conv_attrs(n) = (ConvAttrs){.kernel = {{c->kh, c->kw}},
                                 .stride = {{c->sh, c->sw}},
                                 .pad = {{c->pad[0], c->pad[1], c->pad[2], c->pad[3]}},
                                 .dilation = {{c->dh, c->dw}},
                                 .group = 1,
                                 .act = c->act};
    node_infer_or_die(n);
}

/* Of x, with random weights. */
static Node *new_conv(Graph *g, Value *x, const ConvCase *c, Op op) {
    int64_t inputs = op == OP_dwconv2d ? 1 : c->c;
    float scale = 2.0f / sqrtf((float)(inputs * c->kh * c->kw));
    Shape w = SHAPE(c->m, inputs, c->kh, c->kw);
    Value *operands[3] = {x, random_constant(g, "w", w, scale),
                          c->bias ? random_constant(g, "b", SHAPE(c->m), 1) : NULL};
    Node *n = node_new(g, op, NULL, "y", operands, 3);
    set_attrs(n, c);
    return n;
}

static Value *chain_conv(Graph *g, Value *x, const ConvCase *c, Op op) {
    return node_out(new_conv(g, x, c, op));
}

static void add_conv(Graph *g, const ConvCase *c, Op op, bool mean) {
    Node *n = new_conv(g, new_input(g, "x", SHAPE(c->n, c->c, c->h, c->w)), c, op);
    if (c->scale)
        node_set_operand(n, node_slot(n, "scale"), new_input(g, "scale", SHAPE(c->n, c->c, 1, 1)));
    if (c->residual)
        node_set_operand(n, node_slot(n, "residual"), new_input(g, "res", node_out(n)->type.shape));
    if (mean)
        graph_output(g, node_add_result(g, n, 1, "mean", (Type){0}), "mean");
    node_infer_or_die(n);
    graph_output(g, node_out(n), node_out(n)->name);
}

static void add_dense(Graph *g, int64_t images, int64_t k, int64_t m, Act act) {
    Value *operands[] = {new_input(g, "x", SHAPE(images, k)),
                         random_constant(g, "w", SHAPE(m, k), 2 / sqrtf((float)k)),
                         random_constant(g, "b", SHAPE(m), 1)};
    Node *n = node_new(g, OP_dense, NULL, "y", operands, 3);
    dense_attrs(n)->act = act;
    node_infer_or_die(n);
    graph_output(g, node_out(n), node_out(n)->name);
}

/* Of each image, a constant: a position that is learned. */
static void add_known_residual(Graph *g, const ConvCase *c) {
    Node *n = new_conv(g, new_input(g, "x", SHAPE(c->n, c->c, c->h, c->w)), c, OP_conv2d);
    Value *known = random_constant(g, "res", node_out(n)->type.shape, 1);
    node_set_operand(n, node_slot(n, "residual"), known);
    finish(g, n);
}

/* Images of a row each, with a halo at their sides, which the second convolution reads. */
static void add_lone_rows(Graph *g) {
    static const ConvCase first = {2, 16, 1, 5,   48,       1,    1,     1,
                                   1, 1,  1, {0}, ACT_none, true, false, false};
    static const ConvCase second = {2, 48,           1,        5,    8,     1,    3, 1, 1, 1,
                                    1, {0, 1, 0, 1}, ACT_none, true, false, false};
    Value *x = chain_conv(g, new_input(g, "x", SHAPE(2, 16, 1, 5)), &first, OP_conv2d);
    finish(g, new_conv(g, x, &second, OP_conv2d));
}

/* With AVX-512, 9 panels of 48 channels, each with a halo. */
static void add_odd_panels(Graph *g) {
    static const ConvCase first = {1, 20, 6, 17,  432,      1,    1,     1,
                                   1, 1,  1, {0}, ACT_silu, true, false, false};
    static const ConvCase dw = {1, 432, 6, 17,           432,      3,    3,     1,
                                1, 1,   1, {1, 1, 1, 1}, ACT_none, true, false, false};
    Value *x = chain_conv(g, new_input(g, "x", SHAPE(1, 20, 6, 17)), &first, OP_conv2d);
    graph_output(g, chain_conv(g, x, &dw, OP_dwconv2d), "odd_panels");
}

static void add_se_of(Graph *g, Value *x, int64_t squeezed, Act act, Act gate) {
    int64_t c = x->type.shape.dim[1];
    Value *operands[] = {x, random_constant(g, "rw", SHAPE(squeezed, c, 1, 1), 1),
                         random_constant(g, "rb", SHAPE(squeezed), 1),
                         random_constant(g, "xw", SHAPE(c, squeezed, 1, 1), 1),
                         random_constant(g, "xb", SHAPE(c), 1)};
    Node *n = node_new(g, OP_se, NULL, "y", operands, 5);
    *se_attrs(n) = (SeAttrs){.act = act, .gate = gate};
    node_infer_or_die(n);
    graph_output(g, node_out(n), node_out(n)->name);
}

static void add_se(Graph *g, Shape x, int64_t squeezed, Act act, Act gate) {
    add_se_of(g, new_input(g, "x", x), squeezed, act, gate);
}

/* Rows of planes bring the gate's weights: several lines each, and one. */
static void add_gated_planes(Graph *g) {
    static const ConvCase clipped = {2, 70,           9,        9,    70,    5,    5, 1, 1, 1,
                                     1, {2, 2, 2, 2}, ACT_silu, true, false, false};
    static const ConvCase whole = {1, 33, 20, 21,           33,        3,    3,     2,
                                   2, 1,  1,  {1, 1, 1, 1}, ACT_relu6, true, false, false};
    const ConvCase *cases[] = {&clipped, &whole};
    for (int i = 0; i < 2; i++) {
        const ConvCase *c = cases[i];
        Node *n = new_conv(g, new_input(g, "x", SHAPE(c->n, c->c, c->h, c->w)), c, OP_dwconv2d);
        Value *mean = node_add_result(g, n, 1, "mean", (Type){0});
        node_infer_or_die(n);
        graph_output(g, node_out(n), node_out(n)->name);
        add_se_of(g, mean, 24, ACT_silu, ACT_sigmoid);
    }
}

/* ---- graphs ---------------------------------------------------------------------------------- */

/* Parts scale their own pixels: tiles of one long row, and rows with a halo that dw reads. */
static const ConvCase gate_case = {1, 40, 9, 13,  100,      1,    1,    1,
                                   1, 1,  1, {0}, ACT_none, true, true, true};

static void add_gates(Graph *g) {
    ConvCase dw = {1, 100, 9, 13,           100,      3,    3,     1,
                   1, 1,   1, {1, 1, 1, 1}, ACT_none, true, false, false};
    Node *n = new_conv(g, new_input(g, "x", SHAPE(1, 40, 9, 13)), &gate_case, OP_conv2d);
    node_set_operand(n, node_slot(n, "scale"), new_input(g, "scale", SHAPE(1, 40, 1, 1)));
    graph_output(g, chain_conv(g, node_out(n), &dw, OP_dwconv2d), "rows");
    add_conv(g, &gate_case, OP_conv2d, false);
}

/* Inputs and weights that a small second cache doesn't hold: one long row and rows with a halo that
 * dw reads; and a product that is fused, although there are fewer pixels than channels. */
static Graph *far_graph(void) {
    static const ConvCase cases[] = {
        {1, 90, 9, 13, 70, 1, 1, 1, 1, 1, 1, {0}, ACT_none, true, true, true},
        {1, 90, 7, 11, 100, 1, 1, 1, 1, 1, 1, {0}, ACT_none, true, false, true},
        {1, 90, 7, 11, 100, 1, 1, 1, 1, 1, 1, {0}, ACT_relu6, true, false, true},
        {2, 75, 10, 10, 75, 1, 1, 1, 1, 1, 1, {0}, ACT_silu, false, true, false},
        /* planes that so many blocks can't share evenly */
        {1, 90, 12, 15, 70, 1, 1, 1, 1, 1, 1, {0}, ACT_none, true, true, true},
        {1, 33, 20, 25, 128, 1, 1, 1, 1, 1, 1, {0}, ACT_silu, true, true, false},
    };
    const ConvCase *rows = &cases[2], dw = {1, 100, 7, 11,           100,      3,    3,     1,
                                            1, 1,   1, {1, 1, 1, 1}, ACT_none, true, false, false};
    Graph *g = graph_new("far");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        add_conv(g, &cases[i], OP_conv2d, false);
    Value *x = new_input(g, "x", SHAPE(1, 90, 7, 11));
    Value *by = new_input(g, "scale", SHAPE(1, 90, 1, 1));
    Node *mul = node_new(g, OP_mul, NULL, "m", (Value *[]){x, by}, 2);
    node_infer_or_die(mul);
    x = chain_conv(g, node_out(mul), rows, OP_conv2d);
    graph_output(g, chain_conv(g, x, &dw, OP_dwconv2d), "rows");
    return g;
}

static Graph *conv_graph(void) {
    Graph *g = graph_new("convs");
    for (size_t i = 0; i < sizeof conv_cases / sizeof *conv_cases; i++)
        add_conv(g, &conv_cases[i], OP_conv2d, false);
    add_known_residual(g, &conv_cases[0]);
    add_known_residual(g, &(ConvCase){3, 24, 4, 4, 40, 1, 1, 1, 1, 1, 1, .bias = true});
    add_lone_rows(g);
    add_gates(g);
    add_odd_panels(g);
    return g;
}

static const ConvCase mean_cases[] = {
    {1, 40, 7, 7, 160, 1, 1, 1, 1, 1, 1, {0}, ACT_silu, true, false, false},
    {2, 17, 5, 3, 37, 1, 1, 1, 1, 1, 1, {0}, ACT_relu6, true, false, false},
    {1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, {0}, ACT_none, false, false, false},
    {1, 20, 19, 19, 600, 1, 1, 1, 1, 1, 1, {0}, ACT_sigmoid, true, false, false},
    {2, 3, 33, 31, 24, 3, 3, 2, 2, 1, 1, {0, 0, 1, 1}, ACT_silu, true, false, false},
    {1, 18, 11, 7, 48, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_hard_swish, true, false, false},
};

static Graph *mean_graph(void) {
    Graph *g = graph_new("means");
    for (size_t i = 0; i < sizeof mean_cases / sizeof *mean_cases; i++)
        add_conv(g, &mean_cases[i], OP_conv2d_mean, false);
    for (size_t i = 0; i < sizeof dw_cases / sizeof *dw_cases; i++)
        add_conv(g, &dw_cases[i], OP_dwconv2d, true);
    static const ConvCase large = {1, 1, 150, 151,          1,        3,    3,     1,
                                   1, 1, 1,   {1, 1, 1, 1}, ACT_silu, true, false, false};
    add_conv(g, &large, OP_dwconv2d, true);
    add_gated_planes(g);
    return g;
}

static Graph *winograd_graph(void) {
    Graph *g = graph_new("winograd");
    for (size_t i = 0; i < sizeof winograd_cases / sizeof *winograd_cases; i++)
        add_conv(g, &winograd_cases[i], OP_conv2d, false);
    return g;
}

static Graph *dw_graph(void) {
    Graph *g = graph_new("depthwise");
    for (size_t i = 0; i < sizeof dw_cases / sizeof *dw_cases; i++)
        add_conv(g, &dw_cases[i], OP_dwconv2d, false);
    return g;
}

static Graph *vector_graph(void) {
    Graph *g = graph_new("vectors");
    add_dense(g, 1, 37, 10, ACT_none);
    add_dense(g, 3, 16, 100, ACT_silu);
    add_dense(g, 1, 1, 1, ACT_none);
    add_dense(g, 1, 130, 257, ACT_sigmoid);
    add_se(g, SHAPE(1, 24, 7, 7), 6, ACT_silu, ACT_sigmoid);
    add_se(g, SHAPE(2, 33, 5, 3), 1, ACT_relu, ACT_hard_sigmoid);
    add_se(g, SHAPE(1, 96, 20, 19), 20, ACT_silu, ACT_sigmoid);
    add_se(g, SHAPE(2, 40, 1, 1), 10, ACT_silu, ACT_sigmoid);
    finish_op(g, OP_global_avg_pool, (Value *[]){new_input(g, "x", SHAPE(2, 19, 6, 7))}, 1);
    finish_op(g, OP_global_avg_pool, (Value *[]){new_input(g, "x", SHAPE(1, 3, 1, 1))}, 1);
    return g;
}

typedef struct BandCase {
    ConvCase conv, dw; /* dw: n, c, h, w, m follow from conv */
    int64_t band, parts;
    bool mean;
} BandCase;

static const BandCase band_cases[] = {
    /* expansions: rounds and rest, tails of bands, each stride and kernel, asymmetric padding */
    {{1, 16, 14, 14, 96, 1, 1, 1, 1, 1, 1, {0}, ACT_silu, true, false, false},
     {0, 0, 0, 0, 0, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_silu, true, false, false},
     4,
     2,
     true},
    {{2, 10, 19, 19, 72, 1, 1, 1, 1, 1, 1, {0}, ACT_silu, true, false, false},
     {0, 0, 0, 0, 0, 5, 5, 1, 1, 1, 1, {2, 2, 2, 2}, ACT_silu, true, false, false},
     1,
     3,
     true},
    {{1, 17, 19, 38, 33, 1, 1, 1, 1, 1, 1, {0}, ACT_relu6, true, false, false},
     {0, 0, 0, 0, 0, 3, 3, 2, 2, 1, 1, {0, 0, 1, 1}, ACT_relu6, true, false, false},
     3,
     1,
     false},
    {{1, 4, 24, 15, 20, 1, 1, 1, 1, 1, 1, {0}, ACT_sigmoid, true, false, false},
     {0, 0, 0, 0, 0, 5, 5, 2, 2, 1, 1, {1, 1, 2, 2}, ACT_none, false, false, false},
     2,
     4,
     true},
    {{1, 8, 9, 9, 48, 1, 1, 1, 1, 1, 1, {0}, ACT_hard_swish, false, false, false},
     {0, 0, 0, 0, 0, 7, 7, 1, 1, 1, 1, {3, 3, 3, 3}, ACT_relu, true, false, false},
     2,
     8,
     false},
    /* dilation, a tall stride, taps that skip rows, more padding below than a band has rows */
    {{1, 5, 13, 11, 40, 1, 1, 1, 1, 1, 1, {0}, ACT_silu, true, false, false},
     {0, 0, 0, 0, 0, 3, 3, 1, 1, 2, 2, {2, 2, 2, 2}, ACT_silu, true, false, false},
     1,
     1,
     true},
    {{1, 5, 17, 6, 7, 1, 1, 1, 1, 1, 1, {0}, ACT_none, true, false, false},
     {0, 0, 0, 0, 0, 2, 1, 3, 1, 1, 1, {0, 0, 0, 0}, ACT_none, true, false, false},
     2,
     1,
     true},
    {{1, 3, 5, 5, 16, 1, 1, 1, 1, 1, 1, {0}, ACT_silu, true, false, false},
     {0, 0, 0, 0, 0, 5, 3, 1, 1, 1, 1, {2, 1, 4, 0}, ACT_silu, true, false, false},
     1,
     1,
     true},
    {{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, {0}, ACT_none, false, false, false},
     {0, 0, 0, 0, 0, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_none, true, false, false},
     9,
     9,
     true},
    /* stems and dense kernels as the first convolution */
    {{2, 3, 33, 31, 24, 3, 3, 2, 2, 1, 1, {0, 0, 1, 1}, ACT_silu, true, false, false},
     {0, 0, 0, 0, 0, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_silu, true, false, false},
     3,
     2,
     true},
    {{1, 18, 11, 9, 40, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_relu, true, false, false},
     {0, 0, 0, 0, 0, 3, 3, 2, 2, 1, 1, {1, 1, 1, 1}, ACT_silu, true, false, false},
     2,
     1,
     false},
    {{1, 8, 12, 12, 24, 1, 1, 2, 2, 1, 1, {0}, ACT_silu, true, false, false},
     {0, 0, 0, 0, 0, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, ACT_none, true, false, false},
     4,
     1,
     true},
};

static void set_band_attrs(Node *n, const BandCase *b) {
    const ConvCase *c = &b->conv, *d = &b->dw;
    *conv_dw_attrs(n) = (ConvDwAttrs){.kernel = {{c->kh, c->kw}},
                                      .stride = {{c->sh, c->sw}},
                                      .pad = {{c->pad[0], c->pad[1], c->pad[2], c->pad[3]}},
                                      .dilation = {{c->dh, c->dw}},
                                      .act = c->act,
                                      .dw_kernel = {{d->kh, d->kw}},
                                      .dw_stride = {{d->sh, d->sw}},
                                      .dw_pad = {{d->pad[0], d->pad[1], d->pad[2], d->pad[3]}},
                                      .dw_dilation = {{d->dh, d->dw}},
                                      .dw_act = d->act,
                                      .band = b->band,
                                      .parts = b->parts};
}

static void add_bands(Graph *g, const BandCase *b) {
    const ConvCase *c = &b->conv, *d = &b->dw;
    float scale = 2.0f / sqrtf((float)(c->c * c->kh * c->kw));
    Value *operands[] = {new_input(g, "x", SHAPE(c->n, c->c, c->h, c->w)),
                         random_constant(g, "w", SHAPE(c->m, c->c, c->kh, c->kw), scale),
                         c->bias ? random_constant(g, "b", SHAPE(c->m), 1) : NULL,
                         random_constant(g, "dw", SHAPE(c->m, 1, d->kh, d->kw), 1),
                         d->bias ? random_constant(g, "db", SHAPE(c->m), 1) : NULL};
    Node *n = node_new(g, OP_conv2d_dwconv2d, NULL, "y", operands, 5);
    set_band_attrs(n, b);
    if (b->mean)
        graph_output(g, node_add_result(g, n, 1, "mean", (Type){0}), "mean");
    node_infer_or_die(n);
    graph_output(g, node_out(n), node_out(n)->name);
}

static Graph *band_graph(void) {
    Graph *g = graph_new("bands");
    for (size_t i = 0; i < sizeof band_cases / sizeof *band_cases; i++)
        add_bands(g, &band_cases[i]);
    return g;
}

/* A chain whose values are large and whose weights are few, and then the reverse. */
static Graph *batch_graph(void) {
    static const ConvCase chain[] = {
        {3, 8, 48, 48, 64, 1, 1, 1, 1, 1, 1, {0}, ACT_silu, true, false, false},
        {3, 64, 48, 48, 64, 3, 3, 2, 2, 1, 1, {0, 0, 1, 1}, ACT_silu, true, false, false},
        {3, 64, 24, 24, 20, 1, 1, 1, 1, 1, 1, {0}, ACT_none, true, false, false},
        {3, 20, 24, 24, 128, 1, 1, 1, 1, 1, 1, {0}, ACT_relu6, true, false, false},
    };
    Graph *g = graph_new("batch");
    Value *x = new_input(g, "x", SHAPE(3, 8, 48, 48));
    for (size_t i = 0; i < sizeof chain / sizeof *chain; i++)
        x = chain_conv(g, x, &chain[i], i == 1 ? OP_dwconv2d : OP_conv2d);
    x = finish_op(g, OP_global_avg_pool, &x, 1);
    Value *w = random_constant(g, "w", SHAPE(1024, 128, 1, 1), 0.2f);
    x = finish_op(g, OP_conv2d, (Value *[]){x, w}, 2);
    w = random_constant(g, "w", SHAPE(1024, 1024, 1, 1), 0.1f);
    finish_op(g, OP_conv2d, (Value *[]){x, w}, 2);
    return g;
}

static void test_conv2d(void **state) {
    (void)state;
    check_all(conv_graph, NSPECIALS, 0);
}

/* How many kernels of a module begin with `prefix`. */
static int count_kernels(const Module *m, const char *prefix) {
    int n = 0;
    for (size_t i = 0; i < m->kernels.len; i++)
        n += strncmp(m->kernels.data[i]->name, prefix, strlen(prefix)) == 0;
    return n;
}

/* What an output of F(4x4, 3x3) may be off, of the largest one: six standard deviations. A rounding
 * is off by up to u = 2^-24 of its result, evenly: by u / sqrt(3). Sums over C channels round C
 * times, and an output is made of such sums: with b and g the squared lengths of the rows of B^T
 * and G, row r of A^T makes sum_i A^T[r,i]^2 b[i] g[i] of a variance in each dimension. That
 * is 94.33 for the last row, where the output itself has 3: in both dimensions a deviation of 94.33
 * / 3 for the output's 1. */
static double winograd_error(void) {
    int64_t most = 0;
    for (size_t i = 0; i < sizeof winograd_cases / sizeof *winograd_cases; i++)
        most = winograd_cases[i].c > most ? winograd_cases[i].c : most;
    return 6 * 94.33 / 3 * 0x1p-24 / sqrt(3) * sqrt((double)most);
}

static void test_winograd(void **state) {
    (void)state;
    static const float finite[] = {-0.0f, 100, -100, 1e-40f};
    for (size_t i = 0; i < target_count(); i++) {
        const char *target = target_at(i)->name;
        for (size_t n = 0; n <= 4; n += 4) {
            Fixture f = {.p.graph = winograd_graph(), .error = winograd_error()};
            check_fixture(&f, target, finite, n);
        }
    }
}

/* Once for both convolutions of add_gates: the kernels are equal. */
static void test_parts_scale_pixels(void **state) {
    (void)state;
    Fixture f = {.p.graph = graph_new("gates")};
    add_gates(f.p.graph);
    lower_fixture(&f, "x86-64-v3", true);
    assert_int_equal(count_kernels(f.p.module, "scale_pixels"), 1);
    assert_int_equal(count_kernels(f.p.module, "scale_weights"), 0);
    fixture_free(&f);
}

/* A second cache of so many bytes holds neither the inputs of far_graph nor its weights. */
enum { SMALL_L2 = 16384 };

static void test_blocks_of_k(void **state) {
    (void)state;
    for (size_t i = 0; i < target_count(); i++) {
        const char *target = target_at(i)->name;
        for (size_t n = 0; n <= NSPECIALS; n += NSPECIALS) {
            Fixture f = {
                .p.graph = far_graph(), .error = 1e-5, .level = 2, .options.l2_bytes = SMALL_L2};
            check_fixture(&f, target, special_values, n);
        }
        Fixture f = {.p.graph = far_graph(), .level = 2, .options.l2_bytes = SMALL_L2};
        lower_fixture(&f, target, false);
        assert_int_equal(count_kernels(f.p.module, "scale_pixels"), 1);
        assert_int_equal(count_kernels(f.p.module, "scale_weights"), 0);
        assert_int_equal(count_kernels(f.p.module, "mul"), 0);
        fixture_free(&f);
    }
}

static void test_winograd_is_chosen(void **state) {
    (void)state;
    for (size_t i = 0; i < target_count(); i++) {
        for (int off = 0; off < 2; off++) {
            Fixture f = {.p.graph = winograd_graph(), .options.no_winograd = off};
            lower_fixture(&f, target_at(i)->name, false);
            assert_int_equal(count_kernels(f.p.module, "winograd4_input") > 0, !off);
            assert_int_equal(count_kernels(f.p.module, "winograd2_input") > 0, !off);
            assert_true(!off || count_kernels(f.p.module, "conv3x3") > 0);
            fixture_free(&f);
        }
    }
}

/* One NaN makes NaN of the output tile that reads it, and of nothing else; it is never lost. */
static void test_winograd_keeps_nan_in_its_tile(void **state) {
    (void)state;
    enum { SIZE = 16, CHANNELS = 64, ROW = 9, COLUMN = 2 };
    static const ConvCase c = {1, CHANNELS, SIZE, SIZE,         CHANNELS, 3,    3,     1,
                               1, 1,        1,    {1, 1, 1, 1}, ACT_none, true, false, false};
    for (size_t i = 0; i < target_count(); i++) {
        Fixture f = {.p.graph = graph_new("nan")};
        add_conv(f.p.graph, &c, OP_conv2d, false);
        make_inputs(&f, NULL, 0);
        ((float *)tensor_mutable(f.in[0]))[(5 * SIZE + ROW) * SIZE + COLUMN] = NAN;
        lower_fixture(&f, target_at(i)->name, false);
        assert_true(count_kernels(f.p.module, "winograd4_input") > 0);
        interpret(&f);
        const float *y = f.interpreted[0]->data;
        for (int k = 0; k < CHANNELS * SIZE * SIZE; k++) {
            int row = k / SIZE % SIZE, column = k % SIZE;
            bool reads = abs(row - ROW) <= 1 && abs(column - COLUMN) <= 1;
            bool in_tile = row / 4 == ROW / 4 && column / 4 == COLUMN / 4;
            assert_true(isnan(y[k]) ? in_tile : !reads);
        }
        fixture_free(&f);
    }
}

static void test_dwconv2d(void **state) {
    (void)state;
    check_all(dw_graph, NSPECIALS, 0);
}

static void test_means(void **state) {
    (void)state;
    /* A mean may be next to nothing; and a denormal is lost in what it is added to. */
    check_all(mean_graph, NSPECIALS, 1);
}

static void test_batch(void **state) {
    (void)state;
    for (size_t i = 0; i < target_count(); i++) {
        for (size_t n = 0; n <= NSPECIALS; n += NSPECIALS) {
            Fixture f = {.p.graph = batch_graph(), .level = 2, .magnitude = 10, .error = 2e-6};
            check_fixture(&f, target_at(i)->name, special_values, n);
        }
        Fixture f = {.p.graph = batch_graph(), .level = 2};
        lower_fixture(&f, target_at(i)->name, false);
        const Inst *first = f.p.module->run->body.first;
        assert_int_equal(first->op, INST_for);
        assert_int_equal(first->next->op, INST_call); /* behind the loop */
        fixture_free(&f);
    }
}

static void test_bands(void **state) {
    (void)state;
    check_all(band_graph, NSPECIALS, 1);
}

static void test_dense_se_pool(void **state) {
    (void)state;
    /* a gate is the sigmoid of a sum of terms some times as large */
    check_all(vector_graph, NSPECIALS, 4);
}

/* Groups that aren't whole vectors with a residual, which expand-conv leaves alone: a clean
 * refusal. */
static void test_refusals(void **state) {
    (void)state;
    Graph *g = graph_new("groups");
    Value *operands[] = {new_input(g, "x", SHAPE(1, 8, 4, 4)),
                         random_constant(g, "w", SHAPE(8, 4, 1, 1), 1)};
    Node *n = node_new(g, OP_conv2d, NULL, "y", operands, 2);
    conv_attrs(n)->group = 2;
    node_set_operand(n, node_slot(n, "residual"), operands[0]);
    node_infer_or_die(n);
    graph_output(g, node_out(n), "y");
    Fixture f = {.p.graph = g};
    int count;
    const char *const *names = pipeline(0, &count);
    PassContext cx = {.target = target_find("x86-64-v3"), .where = "test", .diag = &f.diag};
    assert_false(run_passes(&f.p, names, count, &cx, &(RunnerOptions){0}));
    assert_null(f.p.module);
    assert_int_equal(diag_exit_code(&f.diag), EXIT_UNSUPPORTED);
    assert_int_equal(f.diag.errors, 1);
    assert_non_null(strstr(f.diag.newest->message, "conv2d"));
    fixture_free(&f);
}

/* Convolutions that share a constant share its packed form. */
static void test_equal_weights_are_kept_once(void **state) {
    (void)state;
    Fixture f = {.p.graph = graph_new("shared")};
    Graph *g = f.p.graph;
    Value *x = new_input(g, "x", SHAPE(1, 8, 3, 3)),
          *w = random_constant(g, "w", SHAPE(8, 8, 1, 1), 1);
    for (int i = 0; i < 5; i++) {
        Node *n = node_new(g, OP_conv2d, NULL, "x", (Value *[]){x, w}, 2);
        node_infer_or_die(n);
        x = node_out(n);
    }
    graph_output(g, x, "y");
    lower_fixture(&f, "generic", false);
    assert_int_equal(f.p.module->weights_bytes,
                     ARENA_ALIGN + round_up(8 * (1 + 8) * 4, ARENA_ALIGN));
    fixture_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_weights_are_kept_once),
        cmocka_unit_test(test_conv2d),
        cmocka_unit_test(test_parts_scale_pixels),
        cmocka_unit_test(test_blocks_of_k),
        cmocka_unit_test(test_winograd),
        cmocka_unit_test(test_winograd_is_chosen),
        cmocka_unit_test(test_winograd_keeps_nan_in_its_tile),
        cmocka_unit_test(test_dwconv2d),
        cmocka_unit_test(test_means),
        cmocka_unit_test(test_bands),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_dense_se_pool),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
