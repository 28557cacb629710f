/* test_quantize.c: kernels of quantize, dequantize, fake_quant and requantize against the graph
 * interpreter, for every target. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/kernel_check.h"

static Value *numbers(Graph *g, DType dt, Shape s, double first, double step) {
    Tensor *t = tensor_new(&g->arena, dt, s);
    for (int64_t i = 0; i < shape_elems(&s); i++)
        tensor_set_f64(t, i, first + (double)i * step);
    return graph_constant(g, graph_unique_name(g, "number"), t);
}

static Value *quantized(Graph *g, Value *x, Value *scale, Value *zero, DType to, int axis) {
    Node *q = node_new(g, OP_quantize, NULL, "q", (Value *[]){x, scale, zero}, 3);
    quantize_attrs(q)->to = to;
    quantize_attrs(q)->axis = axis;
    node_infer_or_die(q);
    return node_out(q);
}

/* The integers are seen through dequantize. */
static void add_dequantize(Graph *g, Value *x, Value *scale, Value *zero, int axis) {
    Node *d = node_new(g, OP_dequantize, NULL, "y", (Value *[]){x, scale, zero}, 3);
    axis_attrs(d)->axis = axis;
    finish(g, d);
}

static const DType types[] = {DT_u8, DT_i8, DT_u16, DT_i16};
enum { NTYPES = sizeof types / sizeof *types };

/* One scale for all: with and without a zero point; these two become fake_quant. Steps of 1/64 and
 * inputs of up to 4: there are ties, and what i8 can't hold. */
static void add_whole(Graph *g, DType dt, Shape s, bool zero) {
    Value *x = new_input(g, "x", s), *scale = numbers(g, DT_f32, (Shape){0}, 1.0 / 64, 0);
    Value *z = zero ? numbers(g, dt, (Shape){0}, 3, 0) : NULL;
    add_dequantize(g, quantized(g, x, scale, z, dt, 0), scale, z, 0);
}

/* One for each element of a dimension. */
static void add_along(Graph *g, DType dt, Shape s, int axis) {
    Shape n = SHAPE(s.dim[axis]);
    Value *scale = numbers(g, DT_f32, n, 0.01, 0.013), *zero = numbers(g, dt, n, 0, 7);
    add_dequantize(g, quantized(g, new_input(g, "x", s), scale, zero, dt, axis), scale, zero, axis);
}

/* Parameters that are computed, and an integer that is read twice. */
static void add_computed(Graph *g, DType dt, Shape s) {
    Value *one = numbers(g, DT_f32, (Shape){0}, 1, 0);
    Value *scale = new_input(g, "scale", (Shape){0}), *at = new_input(g, "at", (Shape){0});
    Value *zero = quantized(g, at, one, NULL, dt, 0);
    Value *q = quantized(g, new_input(g, "x", s), scale, zero, dt, 0);
    add_dequantize(g, q, scale, zero, 0);
    add_dequantize(g, q, one, NULL, 0);
}

static void add_constant(Graph *g, DType dt) {
    Value *scale = new_input(g, "scale", (Shape){0});
    add_dequantize(g, numbers(g, dt, SHAPE(3, 5), -7, 11), scale, NULL, 0);
}

static Graph *quantize_graph(void) {
    Graph *g = graph_new("quantize");
    for (int i = 0; i < NTYPES; i++) {
        add_whole(g, types[i], SHAPE(2, 19, 3, 5), i % 2);
        add_along(g, types[i], SHAPE(2, 5, 3), i % 3);
        add_computed(g, types[i], SHAPE(3, 7));
        add_constant(g, types[i]);
    }
    add_constant(g, DT_i32);
    add_along(g, DT_u8, SHAPE(17), 0);
    add_whole(g, DT_u8, SHAPE(0, 3), true);
    return g;
}

static void test_quantize(void **state) {
    (void)state;
    check_all(quantize_graph, NSPECIALS, 0);
}

static const FakeQuantAttrs cases[] = {
    {.divide = 0.03125, .times = 0.03125, .min = -128, .max = 127},
    {.divide = 0.017, .times = 0.3, .min = 0, .max = 255},
    {.divide = 1, .times = 1, .min = -3, .max = 2},
    {.divide = 1e-6, .times = 1, .min = -65535, .max = 0},
};
enum { CASES = sizeof cases / sizeof *cases };

static void add_fake_quant(Graph *g, Value *x, FakeQuantAttrs a) {
    Node *n = node_new(g, OP_fake_quant, NULL, "y", &x, 1);
    *fake_quant_attrs(n) = a;
    finish(g, n);
}

/* Known factors, which fuse-requantize makes the op of, too, and computed ones. */
static void add_requantize(Graph *g, Value *x, FakeQuantAttrs a) {
    Value *factors[] = {numbers(g, DT_f32, (Shape){0}, 0.37, 0),
                        numbers(g, DT_f32, SHAPE(1, x->type.shape.dim[1], 1, 1), -0.3, 0.017),
                        new_input(g, "by", SHAPE(1, x->type.shape.dim[1], 1, 1))};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        Node *n = node_new(g, OP_requantize, NULL, "y", (Value *[]){x, factors[i]}, 2);
        *fake_quant_attrs(n) = a;
        finish(g, n);
    }
    Node *mul = node_new(g, OP_mul, NULL, "product", (Value *[]){x, factors[1]}, 2);
    node_infer_or_die(mul);
    add_fake_quant(g, node_out(mul), a);
}

static Graph *fake_quant_graph(void) {
    Graph *g = graph_new("fake_quant");
    for (size_t i = 0; i < CASES; i++) {
        add_fake_quant(g, new_input(g, "x", SHAPE(3, 7, 2)), cases[i]);
        add_fake_quant(g, blocked_input(g, SHAPE(1, 19, 5, 3)), cases[i]);
    }
    return g;
}

static Graph *requantize_graph(void) {
    Graph *g = graph_new("requantize");
    for (size_t i = 0; i < CASES; i++) {
        add_requantize(g, new_input(g, "x", SHAPE(2, 7, 1, 2)), cases[i]);
        add_requantize(g, blocked_input(g, SHAPE(2, 19, 5, 3)), cases[i]);
    }
    return g;
}

static Graph *requantize_sum_graph(void) {
    Graph *g = graph_new("requantize_sum");
    static const RequantizeSumAttrs sums[] = {
        {.by_a = 0.37, .by_b = -0.21, .divide = 0.017, .times = 1, .min = -128, .max = 127},
        {.by_a = 1, .by_b = 3, .divide = 1, .times = 0.5, .min = 0, .max = 255},
    };
    for (size_t i = 0; i < 4; i++) {
        Shape s = i % 2 ? SHAPE(2, 19, 5, 3) : SHAPE(3, 7, 2);
        Value *a = i % 2 ? blocked_input(g, s) : new_input(g, "a", s);
        Node *n =
            node_new(g, OP_requantize_sum, NULL, "y", (Value *[]){a, new_input(g, "b", s)}, 2);
        *requantize_sum_attrs(n) = sums[i / 2];
        finish(g, n);
    }
    return g;
}

static void test_requantize_sum(void **state) {
    (void)state;
    check_all(requantize_sum_graph, NORMAL, 0);
}

/* Integers of a measured range, less their zeros, and what they are a multiple of. */
static void add_dynamic(Graph *g, Value *x) {
    Node *range = node_new(g, OP_dynamic_range, NULL, "scale", &x, 1);
    node_infer_or_die(range);
    Value *scale = range->results[0], *zero = range->results[1];
    Node *q = node_new(g, OP_quantize_shifted, NULL, "q", (Value *[]){x, scale, zero}, 3);
    finish(g, q);
    finish(g, node_new(g, OP_mul, NULL, "y", (Value *[]){node_out(q), scale}, 2));
    finish(g, node_new(g, OP_add, NULL, "sum", (Value *[]){scale, zero}, 2));
}

static Graph *dynamic_graph(void) {
    Graph *g = graph_new("dynamic");
    static const int64_t sizes[] = {1, 5, 16, 77};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        add_dynamic(g, new_input(g, "x", SHAPE(sizes[i])));
    add_dynamic(g, new_input(g, "x", SHAPE(2, 0)));
    add_dynamic(g, blocked_input(g, SHAPE(2, 19, 5, 3)));
    add_dynamic(g, blocked_input(g, SHAPE(1, 8, 1, 1)));
    return g;
}

static void test_dynamic(void **state) {
    (void)state;
    check_all(dynamic_graph, NORMAL, 0);
}

/* Without denormal numbers: infinity times one of them is none where it counts as zero. */
static void test_requantize(void **state) {
    (void)state;
    check_all(requantize_graph, NORMAL, 0);
}

static void test_fake_quant(void **state) {
    (void)state;
    check_all(fake_quant_graph, NSPECIALS, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantize),   cmocka_unit_test(test_fake_quant),
        cmocka_unit_test(test_requantize), cmocka_unit_test(test_requantize_sum),
        cmocka_unit_test(test_dynamic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
