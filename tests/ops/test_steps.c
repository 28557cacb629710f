/* test_steps.c: convolutions that make integers of their results, against the graph interpreter,
 * for every target. All sums are of integers, so that nothing but the steps rounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/kernel_check.h"

typedef struct Case {
    Op op;
    Shape x;
    int64_t channels, kernel, stride, pad;
    Act act;
    bool residual;
    float by, divide, times; /* of channel c: times 1 + c / 4 */
} Case;

static const Case cases[] = {
    {OP_conv2d, {4, {2, 5, 7, 6}}, 19, 1, 1, 0, ACT_none, false, 0.0625f, 1, 1},
    {OP_conv2d, {4, {1, 19, 9, 5}}, 37, 3, 1, 1, ACT_relu, false, 1, 77, 0.5f},
    {OP_conv2d, {4, {1, 16, 5, 5}}, 5, 3, 2, 1, ACT_none, true, 0.013f, 0.7f, 3},
    {OP_conv2d, {4, {1, 3, 11, 9}}, 24, 3, 2, 0, ACT_relu6, false, 1, 1, 1},
    {OP_conv2d, {4, {1, 33, 4, 4}}, 12, 1, 1, 0, ACT_none, true, 1, 9, 1},
    {OP_dwconv2d, {4, {2, 19, 6, 7}}, 19, 3, 1, 1, ACT_none, false, 0.25f, 1, 1},
    {OP_dwconv2d, {4, {1, 32, 21, 40}}, 32, 5, 2, 2, ACT_relu, false, 1, 3, 0.1f},
    {OP_dwconv2d, {4, {1, 7, 30, 33}}, 7, 3, 1, 1, ACT_none, false, 0.3f, 0.9f, 7},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Integers within +-30. */
static Value *whole(Graph *g, Value *x) {
    Node *q = node_new(g, OP_fake_quant, NULL, "q", &x, 1);
    *fake_quant_attrs(q) = (FakeQuantAttrs){.divide = 0.05, .times = 1, .min = -30, .max = 30};
    node_infer_or_die(q);
    return node_out(q);
}

static Value *integers(Graph *g, Shape s) {
    Tensor *t = tensor_new(&g->arena, DT_f32, s);
    float *data = tensor_mutable(t);
    for (int64_t i = 0; i < shape_elems(&s); i++)
        data[i] = (float)(int)(uniform() * 20);
    return graph_constant(g, graph_unique_name(g, "w"), t);
}

static Value *steps_constant(Graph *g, const Case *c) {
    const float rows[STEP_COUNT] = {c->by, c->divide, -50, 60, c->times};
    Tensor *t = tensor_new(&g->arena, DT_f32, SHAPE(STEP_COUNT, c->channels));
    float *data = tensor_mutable(t);
    for (int i = 0; i < STEP_COUNT; i++)
        for (int64_t k = 0; k < c->channels; k++)
            data[i * c->channels + k] = rows[i] == 1 || i == STEP_MIN || i == STEP_MAX
                                            ? rows[i]
                                            : rows[i] * (1 + (float)k / 4);
    return graph_constant(g, graph_unique_name(g, "steps"), t);
}

static int64_t out_size(const Case *c, int axis) {
    return (c->x.dim[axis] + 2 * c->pad - c->kernel) / c->stride + 1;
}

static Node *new_conv(Graph *g, const Case *c) {
    bool dw = c->op == OP_dwconv2d;
    Shape filters = SHAPE(c->channels, dw ? 1 : c->x.dim[1], c->kernel, c->kernel);
    Shape y = SHAPE(c->x.dim[0], c->channels, out_size(c, 2), out_size(c, 3));
    Value *x = whole(g, blocked_input(g, c->x));
    Value *residual = c->residual ? whole(g, blocked_input(g, y)) : NULL;
    Node *n = node_new(g, c->op, NULL, "y",
                       (Value *[]){x, integers(g, filters), integers(g, SHAPE(c->channels))}, 3);
    ConvAttrs *a = conv_attrs(n);
    a->kernel = (Dim2){{c->kernel, c->kernel}};
    a->stride = (Dim2){{c->stride, c->stride}};
    a->pad = (Dim4){{c->pad, c->pad, c->pad, c->pad}};
    a->act = c->act;
    if (residual)
        node_set_operand(n, node_slot(n, "residual"), residual);
    node_infer_or_die(n);
    return n;
}

/* The steps as they are, and as a pass finds them. */
static Graph *steps_graph(void) {
    Graph *g = graph_new("steps");
    for (size_t i = 0; i < CASES; i++) {
        Node *n = new_conv(g, &cases[i]);
        node_set_operand(n, node_slot(n, "steps"), steps_constant(g, &cases[i]));
        finish(g, n);
        n = new_conv(g, &cases[i]);
        Node *q = node_new(g, OP_fake_quant, NULL, "z", (Value *[]){node_out(n)}, 1);
        *fake_quant_attrs(q) =
            (FakeQuantAttrs){.divide = cases[i].divide, .times = 1, .min = -50, .max = 60};
        finish(g, q);
    }
    return g;
}

static void test_steps(void **state) {
    (void)state;
    check_all(steps_graph, NSPECIALS, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
