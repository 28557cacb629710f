/* test_order.c: kernels of arg_max, arg_min and top_k against the graph interpreter, for every
 * target. Inputs cut to integers have many equal elements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/kernel_check.h"

static void add_arg(Graph *g, Op op, DType dt, Shape s, int axis, bool last) {
    Value *x = as_type(g, new_input(g, "x", s), dt);
    Node *n = node_new(g, op, NULL, "arg", &x, 1);
    *arg_attrs(n) = (ArgAttrs){axis, false, last};
    finish_as_float(g, n);
}

static void add_top_k(Graph *g, DType dt, Shape s, int axis, int64_t k, bool largest) {
    Value *x = as_type(g, new_input(g, "x", s), dt);
    Node *n = node_new(g, OP_top_k, NULL, "top", &x, 1);
    *top_k_attrs(n) = (TopKAttrs){axis, k, largest};
    node_add_result(g, n, 1, graph_unique_name(g, "indices"), (Type){0});
    finish_as_float(g, n);
}

static Graph *of_type(DType dt) {
    Graph *g = graph_new("order");
    for (int last = 0; last < 2; last++) {
        add_arg(g, OP_arg_max, dt, SHAPE(3, 17, 2), 1, last);
        add_arg(g, OP_arg_min, dt, SHAPE(3, 17), 1, last);
        add_arg(g, OP_arg_max, dt, SHAPE(5), 0, last);
    }
    for (int largest = 0; largest < 2; largest++) {
        add_top_k(g, dt, SHAPE(2, 31, 3), 1, 7, largest);
        add_top_k(g, dt, SHAPE(9), 0, 9, largest);
        add_top_k(g, dt, SHAPE(4, 6), 0, 1, largest);
    }
    return g;
}

static Graph *floats(void) {
    return of_type(DT_f32);
}

static Graph *small_integers(void) {
    return of_type(DT_i8);
}

static Graph *indices(void) {
    return of_type(DT_i64);
}

static void order_of_elements(void **state) {
    (void)state;
    check_all(floats, NORMAL, 0);
    check_all(small_integers, 0, 0);
    check_all(indices, 0, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(order_of_elements)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
