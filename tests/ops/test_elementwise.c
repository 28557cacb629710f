/* test_elementwise.c: as test_kernels.c, for what has no weights: elementwise ops, what moves
 * elements, reductions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/kernel_check.h"

#include <math.h>

static void add_clip(Graph *g, Value *x, double min, double max) {
    Node *n = node_new(g, OP_clip, NULL, "y", (Value *[]){x}, 1);
    *clip_attrs(n) = (ClipAttrs){.min = min, .max = max};
    finish(g, n);
}

static void add_elementwise(Graph *g, Value *x, Value *y, Value *channels, Value *constant) {
    static const Op ops[] = {OP_add, OP_sub, OP_mul, OP_div, OP_min, OP_max};
    for (int act = 1; act < ACT_COUNT; act++)
        finish_op(g, op_from_act((Act)act), (Value *[]){x}, 1);
    finish_op(g, OP_neg, (Value *[]){x}, 1);
    finish_op(g, OP_exp, (Value *[]){x}, 1);
    finish_op(g, OP_abs, (Value *[]){x}, 1);
    finish_op(g, OP_sqrt, (Value *[]){x}, 1);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        finish_op(g, ops[i], (Value *[]){x, y}, 2);
        finish_op(g, ops[i], (Value *[]){x, channels}, 2);
        finish_op(g, ops[i], (Value *[]){constant, y}, 2);
        finish_op(g, ops[i], (Value *[]){x, x}, 2);
    }
    add_clip(g, x, -1, 2);
    add_clip(g, x, -INFINITY, 0.5);
}

/* One number, known or not, and itself in blocks; a constant of fewer dimensions than x. */
static void add_numbers(Graph *g, Value *x) {
    Value *blocked = blocked_input(g, SHAPE(1, 1, 1, 1));
    finish_op(g, OP_mul, (Value *[]){x, random_constant(g, "number", (Shape){0}, 1)}, 2);
    finish_op(g, OP_div, (Value *[]){random_constant(g, "number", SHAPE(1, 1), 1), x}, 2);
    finish_op(g, OP_sub, (Value *[]){x, new_input(g, "number", (Shape){0})}, 2);
    finish_op(g, OP_max, (Value *[]){blocked, x}, 2);
    finish_op(g, OP_add, (Value *[]){blocked, new_input(g, "plain", x->type.shape)}, 2);
    finish_op(g, OP_add, (Value *[]){x, random_constant(g, "channels", SHAPE(19, 1, 1), 1)}, 2);
}

static void add_pad(Graph *g) {
    static const int64_t before[] = {0, 0, 1, 2}, after[] = {0, 0, 3, 0};
    Node *n = node_new(g, OP_pad, NULL, "y", (Value *[]){new_input(g, "x", SHAPE(1, 5, 3, 4))}, 1);
    pad_attrs(n)->before = (Ints){before, 4};
    pad_attrs(n)->after = (Ints){after, 4};
    finish(g, n);
}

static void add_transpose(Graph *g, Shape shape, const int64_t *perm) {
    Node *n = node_new(g, OP_transpose, NULL, "y", (Value *[]){new_input(g, "x", shape)}, 1);
    transpose_attrs(n)->perm = (Ints){perm, shape.rank};
    finish(g, n);
}

static Graph *elementwise_graph(void) {
    static const int64_t nhwc[] = {0, 2, 3, 1}, reverse[] = {4, 3, 2, 1, 0}, swap[] = {1, 0};
    Graph *g = graph_new("elementwise");
    Shape shape = SHAPE(2, 19, 4, 3);
    Value *k = random_constant(g, "k", SHAPE(1, 19, 1, 1), 3);
    add_elementwise(g, new_input(g, "x", shape), new_input(g, "y", shape),
                    new_input(g, "c", SHAPE(2, 19, 1, 1)), k);
    add_elementwise(g, blocked_input(g, shape), blocked_input(g, shape),
                    blocked_input(g, SHAPE(2, 19, 1, 1)), k);
    /* numpy's broadcasting, on plain tensors of any rank and mixed layouts */
    Value *x = new_input(g, "x", SHAPE(3, 1, 5)), *b = blocked_input(g, shape);
    finish_op(g, OP_add, (Value *[]){x, new_input(g, "y", SHAPE(2, 1, 4, 1))}, 2);
    finish_op(g, OP_sub, (Value *[]){random_constant(g, "scalar", SHAPE(1), 1), x}, 2);
    finish_op(g, OP_mul, (Value *[]){b, random_constant(g, "row", SHAPE(3), 1)}, 2);
    add_numbers(g, b);
    finish_op(g, op_from_act(ACT_silu), (Value *[]){new_input(g, "x", SHAPE(7))}, 1);
    add_transpose(g, SHAPE(2, 3, 4, 5), nhwc);
    add_transpose(g, SHAPE(2, 3, 1, 4, 2), reverse);
    add_transpose(g, SHAPE(6, 7), swap);
    add_pad(g);
    return g;
}

static Node *move_node(Graph *g, Op op, Value *const *operands, int n) {
    return node_new(g, op, NULL, "y", operands, n);
}

static void add_slice(Graph *g, Value *x, Shape starts, Shape sizes, Shape steps) {
    Node *n = move_node(g, OP_slice, (Value *[]){x}, 1);
    *slice_attrs(n) = (SliceAttrs){ints(g, starts), ints(g, sizes), ints(g, steps)};
    finish(g, n);
}

static void add_concat(Graph *g, Value *const *x, int n, int64_t axis) {
    Node *node = move_node(g, OP_concat, x, n);
    axis_attrs(node)->axis = axis;
    finish(g, node);
}

static void add_gather(Graph *g, Value *x, Shape indices, int64_t axis) {
    Tensor *t = tensor_new(&g->arena, DT_i64, SHAPE(indices.rank));
    for (int i = 0; i < indices.rank; i++)
        tensor_set_i64(t, i, indices.dim[i]);
    Value *v = graph_constant(g, graph_unique_name(g, "indices"), t);
    Node *n = move_node(g, OP_gather, (Value *[]){x, v}, 2);
    axis_attrs(n)->axis = axis;
    finish(g, n);
}

static void add_expand(Graph *g, Value *x, Shape shape) {
    Node *n = move_node(g, OP_expand, (Value *[]){x}, 1);
    reshape_attrs(n)->shape = ints(g, shape);
    finish(g, n);
}

static Graph *move_graph(void) {
    Graph *g = graph_new("moves");
    Value *x = new_input(g, "x", SHAPE(2, 5, 7)), *b = blocked_input(g, SHAPE(2, 19, 3, 4));
    add_slice(g, x, SHAPE(0, 1, 6), SHAPE(2, 2, 3), SHAPE(1, 2, -3));
    add_slice(g, b, SHAPE(1, 3, 0, 0), SHAPE(1, 16, 3, 4), SHAPE(1, 1, 1, 1));
    add_concat(g, (Value *[]){x, new_input(g, "y", SHAPE(2, 1, 7)), x}, 3, 1);
    add_concat(g, (Value *[]){b, random_constant(g, "k", SHAPE(2, 19, 3, 1), 1)}, 2, 3);
    add_concat(g, (Value *[]){x}, 1, 0);
    add_gather(g, x, SHAPE(4, 0, 2, 3, 4, 4, -1, -5), 1);
    add_gather(g, b, SHAPE(18, 17, 16, 3), 1);
    add_gather(g, x, SHAPE(1), 0);
    add_expand(g, new_input(g, "x", SHAPE(3, 1)), SHAPE(2, 3, 4));
    add_expand(g, new_input(g, "x", SHAPE(1)), SHAPE(5));
    finish_op(g, OP_identity, (Value *[]){new_input(g, "x", SHAPE(3, 2))}, 1);
    finish_op(g, OP_cast, (Value *[]){new_input(g, "x", SHAPE(3, 2))}, 1);
    return g;
}

static void add_reduction(Graph *g, Op op, Value *x, Shape axes, bool keepdims) {
    Node *n = move_node(g, op, (Value *[]){x}, 1);
    *reduce_attrs(n) = (ReduceAttrs){ints(g, axes), keepdims};
    finish(g, n);
}

static void add_mean(Graph *g, Value *x, Shape axes, bool keepdims) {
    add_reduction(g, OP_reduce_mean, x, axes, keepdims);
}

static void add_softmax(Graph *g, Value *x, int64_t axis) {
    Node *n = move_node(g, OP_softmax, (Value *[]){x}, 1);
    axis_attrs(n)->axis = axis;
    finish(g, n);
}

static void add_batch_norm(Graph *g, Value *x) {
    int64_t channels = x->type.shape.dim[1];
    Tensor *var = tensor_new(&g->arena, DT_f32, SHAPE(channels));
    for (int64_t c = 0; c < channels; c++)
        tensor_set_f64(var, c, 0.25 + (double)c);
    Value *operands[] = {x, random_constant(g, "scale", SHAPE(channels), 2),
                         random_constant(g, "shift", SHAPE(channels), 2),
                         random_constant(g, "mean", SHAPE(channels), 2),
                         graph_constant(g, graph_unique_name(g, "var"), var)};
    finish(g, move_node(g, OP_batch_norm, operands, 5));
}

static Graph *reduction_graph(void) {
    Graph *g = graph_new("reductions");
    Value *x = new_input(g, "x", SHAPE(2, 3, 4, 5)), *b = blocked_input(g, SHAPE(2, 19, 3, 4));
    add_mean(g, x, SHAPE(1, 2), false);
    add_mean(g, x, SHAPE(3), true);
    add_mean(g, new_input(g, "x", SHAPE(2, 1, 3)), SHAPE(0, 1, 2), false);
    add_mean(g, x, SHAPE(0, 2), true);
    add_mean(g, b, SHAPE(1), false);
    static const Op others[] = {OP_reduce_sum, OP_reduce_prod, OP_reduce_min, OP_reduce_max};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        add_reduction(g, others[i], x, SHAPE(1, 3), i % 2);
        add_reduction(g, others[i], b, SHAPE(2), true);
        add_reduction(g, others[i], new_input(g, "x", SHAPE(7)), SHAPE(0), false);
    }
    for (int axis = 0; axis < 4; axis++)
        add_softmax(g, axis % 2 ? x : b, axis);
    add_softmax(g, new_input(g, "x", SHAPE(1, 1000)), 1);
    add_softmax(g, new_input(g, "x", SHAPE(7)), 0);
    add_softmax(g, new_input(g, "x", SHAPE(3, 1)), 1);
    add_batch_norm(g, x);
    add_batch_norm(g, b);
    add_batch_norm(g, new_input(g, "x", SHAPE(4, 6)));
    return g;
}

static void test_elementwise(void **state) {
    (void)state;
    /* No denormals: 0 / denormal is 0 for the oracle, and NaN where denormals are flushed. */
    check_all(elementwise_graph, NORMAL, 0);
}

static void test_moves(void **state) {
    (void)state;
    check_all(move_graph, NSPECIALS, 0);
}

static void test_reductions(void **state) {
    (void)state;
    /* Inputs go up to 4, and a mean may be next to nothing. */
    check_all(reduction_graph, NORMAL, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elementwise),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_reductions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
