/* test_index.c: kernels of the ops that find elements by indices and of those whose result has as
 * many elements as the data make, against the graph interpreter, for every target. Inputs are
 * float32 between -4 and 4: cut to integers they are indices of 4 elements, from both ends. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/kernel_check.h"

static Value *input(Graph *g, DType dt, Shape s) {
    return as_type(g, new_input(g, "x", s), dt);
}

static void add_gather(Graph *g, Op op, DType dt, DType index, Shape x, Shape indices, int axis) {
    Value *v[] = {input(g, dt, x), input(g, index, indices)};
    Node *n = node_new(g, op, NULL, "gather", v, 2);
    axis_attrs(n)->axis = axis;
    finish_as_float(g, n);
}

static void add_gather_nd(Graph *g, DType dt, Shape x, Shape indices, int batch_dims) {
    Value *v[] = {input(g, dt, x), input(g, DT_i64, indices)};
    Node *n = node_new(g, OP_gather_nd, NULL, "gather", v, 2);
    gather_nd_attrs(n)->batch_dims = batch_dims;
    finish_as_float(g, n);
}

static void add_scatter(Graph *g, DType dt, Shape x, Shape indices, int axis, Op combine) {
    Value *v[] = {input(g, dt, x), input(g, DT_i32, indices), input(g, dt, indices)};
    Node *n = node_new(g, OP_scatter_elements, NULL, "scatter", v, 3);
    *scatter_attrs(n) = (ScatterAttrs){axis, combine};
    finish_as_float(g, n);
}

static void add_scatter_nd(Graph *g, DType dt, Shape x, Shape indices, Shape updates, Op combine) {
    Value *v[] = {input(g, dt, x), input(g, DT_i64, indices), input(g, dt, updates)};
    Node *n = node_new(g, OP_scatter_nd, NULL, "scatter", v, 3);
    scatter_nd_attrs(n)->combine = combine;
    finish_as_float(g, n);
}

static const Op combines[] = {OP_identity, OP_add, OP_mul, OP_min, OP_max};

static Graph *index_graph(void) {
    Graph *g = graph_new("indices");
    add_gather(g, OP_gather, DT_f32, DT_i64, SHAPE(3, 4, 19), SHAPE(2, 3), 1);
    add_gather(g, OP_gather, DT_i16, DT_i32, SHAPE(5), (Shape){0}, 0);
    add_gather(g, OP_gather, DT_bool, DT_i64, SHAPE(2, 5), SHAPE(7), 1);
    add_gather(g, OP_gather_elements, DT_f32, DT_i64, SHAPE(2, 4, 3), SHAPE(2, 9, 2), 1);
    add_gather(g, OP_gather_elements, DT_u8, DT_i32, SHAPE(4), SHAPE(1), 0);
    add_gather_nd(g, DT_f32, SHAPE(4, 5, 6, 3), SHAPE(2, 3), 0);
    add_gather_nd(g, DT_f32, SHAPE(2, 3, 4, 5), SHAPE(2, 3, 7, 1), 2);
    add_gather_nd(g, DT_i32, SHAPE(4, 4), SHAPE(3, 2), 0);
    for (size_t i = 0; i < sizeof combines / sizeof *combines; i++) {
        add_scatter(g, DT_f32, SHAPE(4, 5), SHAPE(6, 4), 0, combines[i]);
        add_scatter_nd(g, DT_f32, SHAPE(4, 5, 3), SHAPE(9, 2), SHAPE(9, 3), combines[i]);
        add_scatter(g, DT_i8, SHAPE(2, 2, 4), SHAPE(2, 2, 9), 2, combines[i]);
    }
    add_scatter_nd(g, DT_i64, SHAPE(4), SHAPE(2, 3, 1), SHAPE(2, 3), OP_add);
    return g;
}

static void indices_at_run_time(void **state) {
    (void)state;
    check_all(index_graph, 0, 0);
}

/* What is behind the end: the evaluator doesn't say, but nothing else may be read. */
static void indices_out_of_range_stay_in_memory(void **state) {
    (void)state;
    Graph *g = graph_new("far");
    Value *far = input(g, DT_i64, SHAPE(9));
    Value *v[] = {new_input(g, "x", SHAPE(2)), far};
    Node *n = node_new(g, OP_gather, NULL, "gather", v, 2);
    finish(g, n);
    Fixture f = {.p.graph = g};
    make_inputs(&f, NULL, 0);
    float *at = (float *)f.in[0]->data, *x = (float *)f.in[1]->data;
    const float places[] = {0, 1, -1, -2, 2, 9e18F, -3, -9e18F, 1e6F};
    const int want[] = {0, 1, 1, 0, 1, 1, 0, 0, 1};
    memcpy(at, places, sizeof places);
    lower_fixture(&f, "generic", false);
    interpret(&f); /* fails where an access is outside of its buffer */
    for (int i = 0; i < 9; i++)
        assert_true(((const float *)f.interpreted[0]->data)[i] == x[want[i]]);
    fixture_free(&f);
}

static Value *number(Graph *g, DType dt, double x) {
    Tensor *t = tensor_new(&g->arena, dt, SHAPE(1));
    tensor_set_f64(t, 0, x);
    return graph_constant(g, graph_unique_name(g, "number"), t);
}

typedef struct NmsCase {
    int64_t images, classes, boxes, limit;
    double max, iou, score; /* NAN: absent */
    bool center;
} NmsCase;

static void add_nms(Graph *g, const NmsCase *c) {
    Value *v[] = {new_input(g, "boxes", SHAPE(c->images, c->boxes, 4)),
                  new_input(g, "scores", SHAPE(c->images, c->classes, c->boxes)),
                  c->max == c->max ? number(g, DT_i64, c->max) : NULL,
                  c->iou == c->iou ? number(g, DT_f32, c->iou) : NULL,
                  c->score == c->score ? number(g, DT_f32, c->score) : NULL};
    Node *n = node_new(g, OP_non_max_suppression, NULL, "kept", v, 5);
    *nms_attrs(n) = (NmsAttrs){c->limit, c->center};
    node_add_result(g, n, 1, graph_unique_name(g, "count"), (Type){0});
    finish_as_float(g, n);
}

static void add_counted(Graph *g, Op op, Value *x, Value *condition, int axis) {
    Node *n = node_new(g, op, NULL, "y", (Value *[]){x, condition}, condition ? 2 : 1);
    if (op == OP_compress)
        axis_attrs(n)->axis = axis;
    node_add_result(g, n, 1, graph_unique_name(g, "count"), (Type){0});
    finish_as_float(g, n);
}

static Graph *count_graph(void) {
    static const NmsCase cases[] = {
        {1, 1, 40, 40, NAN, 0.3, NAN, false}, {2, 3, 17, 4, NAN, 0.1, 0.5, false},
        {1, 2, 31, 31, 5, NAN, 1, true},      {1, 1, 9, 0, NAN, 0.5, NAN, false},
        {1, 1, 5, 5, -3, 0.5, NAN, true},     {1, 2, 1, 1, NAN, 0.5, -1, false}};
    Graph *g = graph_new("counts");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        add_nms(g, &cases[i]);
    add_counted(g, OP_non_zero, as_type(g, input(g, DT_i8, SHAPE(3, 5)), DT_f32), NULL, 0);
    add_counted(g, OP_non_zero, new_input(g, "x", SHAPE(2, 1, 3)), NULL, 0);
    add_counted(g, OP_non_zero, new_input(g, "x", (Shape){0}), NULL, 0);
    add_counted(g, OP_compress, new_input(g, "x", SHAPE(2, 6, 3)), input(g, DT_bool, SHAPE(5)), 1);
    return g;
}

/* Integers, and what a NaN doesn't become. */
static Graph *integer_graph(void) {
    Graph *g = graph_new("integers");
    add_counted(g, OP_non_zero, input(g, DT_i8, SHAPE(3, 5)), NULL, 0);
    add_counted(g, OP_non_zero, input(g, DT_bool, SHAPE(4)), NULL, 0);
    Value *wanted = as_type(g, input(g, DT_i32, SHAPE(4)), DT_bool);
    add_counted(g, OP_compress, input(g, DT_i64, SHAPE(4)), wanted, 0);
    return g;
}

static void as_many_as_there_are(void **state) {
    (void)state;
    check_all(count_graph, 4, 0);
    check_all(integer_graph, 0, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indices_at_run_time),
        cmocka_unit_test(indices_out_of_range_stay_in_memory),
        cmocka_unit_test(as_many_as_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
