/* test_cast.c: kernels of cast and round against the graph interpreter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/kernel_check.h"

#include <math.h>

static Value *cast(Graph *g, Value *x, DType to) {
    Node *c = node_new(g, OP_cast, NULL, dtype_name(to), &x, 1);
    cast_attrs(c)->to = to;
    node_infer_or_die(c);
    return node_out(c);
}

/* An input within (-4 scale, 4 scale), and what is there of special values. */
static Value *scaled_input(Graph *g, double scale) {
    Tensor *t = tensor_new(&g->arena, DT_f32, (Shape){0});
    tensor_set_f64(t, 0, scale);
    Value *by = graph_constant(g, graph_unique_name(g, "by"), t);
    Value *x = new_input(g, "x", SHAPE(3, 67));
    Node *n = node_new(g, OP_mul, NULL, "scaled", (Value *[]){x, by}, 2);
    node_infer_or_die(n);
    return node_out(n);
}

static const DType integers[] = {DT_i8, DT_i16, DT_i32, DT_i64, DT_u8, DT_u16, DT_u32, DT_u64};
enum { NINTEGERS = sizeof integers / sizeof *integers };

/* From f32 to each integer type with and without saturation, on to another one and to bool, and
 * back. */
static Graph *integer_graph(void) {
    Graph *g = graph_new("casts");
    for (int i = 0; i < NINTEGERS; i++) {
        double scale = ldexp(1, 8 * dtype_bytes(integers[i]) - 4);
        Value *small = cast(g, scaled_input(g, 20), integers[i]);
        Value *large = cast(g, scaled_input(g, scale), integers[i]);
        Value *other = cast(g, large, integers[(i * 3 + 2) % NINTEGERS]);
        Value *is = cast(g, cast(g, scaled_input(g, 0.5), integers[i]), DT_bool);
        Value *ends[] = {small, large, other, is, cast(g, is, integers[i])};
        for (size_t k = 0; k < sizeof ends / sizeof *ends; k++) {
            Value *y = cast(g, ends[k], DT_f32);
            graph_output(g, y, y->name);
        }
    }
    Value *y = cast(g, cast(g, scaled_input(g, 1), DT_bool), DT_f32);
    graph_output(g, y, y->name);
    return g;
}

static void test_integers(void **state) {
    (void)state;
    check_all(integer_graph, NORMAL, 0);
}

static Graph *round_graph(void) {
    static const double scales[] = {0.1, 1, 0x1p20, 0x1p22, 0x1p40};
    Graph *g = graph_new("round");
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
        finish(g, node_new(g, OP_round, NULL, "y", (Value *[]){scaled_input(g, scales[i])}, 1));
    finish(g,
           node_new(g, OP_round, NULL, "y", (Value *[]){blocked_input(g, SHAPE(1, 19, 5, 3))}, 1));
    return g;
}

static void test_round(void **state) {
    (void)state;
    check_all(round_graph, NORMAL, 0);
}

static void see_halves(Graph *g, Value *x) {
    static const DType halves[] = {DT_f16, DT_bf16};
    for (int i = 0; i < 2; i++) {
        Value *y = cast(g, cast(g, x, halves[i]), DT_f32);
        graph_output(g, y, y->name);
    }
}

/* Numbers about the middle between two halves, which two roundings would take the wrong way; wide
 * integers. */
static void add_halves(Graph *g) {
    static const double middles[] = {1 + 0x1p-11, 1 + 0x3p-11, 1 + 0x1p-8,
                                     1 + 0x3p-8,  65520,       0x1p-25};
    enum { N = sizeof middles / sizeof *middles };
    static const DType wide[] = {DT_i32, DT_i64, DT_u32, DT_u64};
    Tensor *t = tensor_new(&g->arena, DT_f64, SHAPE(N, 6));
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 6; k++)
            tensor_set_f64(t, i * 6 + k,
                           (k < 3 ? 1 : -1) * middles[i] * (1 + (k % 3 - 1) * 0x1p-40));
    Value *x = graph_constant(g, graph_unique_name(g, "middles"), t);
    Node *n = node_new(g, OP_identity, NULL, "seen", &x, 1);
    node_infer_or_die(n);
    see_halves(g, node_out(n));
    for (int i = 0; i < 4; i++) {
        static const uint64_t bits[] = {0,
                                        1,
                                        2049,
                                        2051,
                                        65519,
                                        65520,
                                        0x7f800000,
                                        0x7fffffff,
                                        (UINT64_C(257) << 40) - 1,
                                        (UINT64_C(257) << 40) + 1,
                                        (UINT64_C(259) << 50) - 1,
                                        (UINT64_C(257) << 54) + 1,
                                        UINT64_MAX - 2050,
                                        UINT64_MAX - 65519};
        enum { M = sizeof bits / sizeof *bits };
        t = tensor_new(&g->arena, wide[i], SHAPE(M));
        for (int k = 0; k < M; k++)
            tensor_set_bits(t, k, bits[k]);
        x = graph_constant(g, graph_unique_name(g, "wide"), t);
        n = node_new(g, OP_identity, NULL, "seen", &x, 1);
        node_infer_or_die(n);
        see_halves(g, node_out(n));
    }
}

/* Without the passes that would make f32 of them. */
static const char *const as_they_are[] = {"layout", "add-scratch", "plan-memory",
                                          "lower",  "expand-math", "expand-fma"};

static void test_floats(void **state) {
    (void)state;
    static const DType floats[] = {DT_f16, DT_bf16, DT_f64};
    Fixture f = {.p.graph = graph_new("floats")};
    Graph *g = f.p.graph;
    add_halves(g);
    for (int i = 0; i < 3; i++) {
        Value *x = cast(g, scaled_input(g, 1000), floats[i]);
        Value *ends[] = {x, cast(g, x, DT_i8), cast(g, x, DT_i64),
                         cast(g, cast(g, x, DT_u8), floats[i]), cast(g, x, DT_bool)};
        for (size_t k = 0; k < sizeof ends / sizeof *ends; k++) {
            Value *y = cast(g, ends[k], DT_f32);
            graph_output(g, y, y->name);
        }
    }
    make_inputs(&f, special_values, NORMAL);
    f.expected = ARENA_ARRAY(&f.arena, f.noutputs, Tensor *);
    assert_true(graph_eval(g, f.in, f.expected, &f.arena, &f.diag));
    PassContext cx = {.target = target_find("generic"), .where = "test", .diag = &f.diag};
    RunnerOptions o = {.verify_each = true};
    assert_true(run_passes(&f.p, as_they_are, sizeof as_they_are / sizeof *as_they_are, &cx, &o));
    interpret(&f);
    for (size_t i = 0; i < f.noutputs; i++) {
        const float *a = f.interpreted[i]->data, *b = f.expected[i]->data;
        for (int64_t k = 0; k < shape_elems(&f.expected[i]->shape); k++)
            assert_true(a[k] == b[k] || (isnan(a[k]) && isnan(b[k])));
    }
    fixture_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
