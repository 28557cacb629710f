/* test_types.c: kernels on integers and bool, comparisons, logic and choices, against the graph
 * interpreter. Operands are made of f32 inputs by casts, and results become f32. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/kernel_check.h"

#include <math.h>

static Value *done(Node *n) {
    node_infer_or_die(n);
    return node_out(n);
}

static Value *apply(Graph *g, Op op, Value *x, Value *y) {
    return done(node_new(g, op, NULL, op_info(op)->name, (Value *[]){x, y}, y ? 2 : 1));
}

static Value *cast(Graph *g, Value *x, DType to) {
    if (x->type.dtype == to)
        return x;
    Node *n = node_new(g, OP_cast, NULL, dtype_name(to), &x, 1);
    cast_attrs(n)->to = to;
    return done(n);
}

static void see(Graph *g, Value *x) {
    graph_output(g, cast(g, x, DT_f32), graph_unique_name(g, "y"));
}

static Value *number(Graph *g, DType dt, Shape s, double first, double step) {
    Tensor *t = tensor_new(&g->arena, dt, s);
    for (int64_t i = 0; i < shape_elems(&s); i++)
        tensor_set_f64(t, i, first + (double)i * step);
    return graph_constant(g, graph_unique_name(g, "number"), t);
}

/* Within 4 * scale. */
static Value *operand(Graph *g, DType dt, Shape s, double scale) {
    Value *by = number(g, DT_f32, (Shape){0}, scale, 0);
    return cast(g, apply(g, OP_mul, new_input(g, "x", s), by), dt);
}

static Value *where(Graph *g, Value *c, Value *x, Value *y) {
    return done(node_new(g, OP_where, NULL, "where", (Value *[]){c, x, y}, 3));
}

static void see_all(Graph *g, const Op *ops, size_t n, Value *x, Value *y) {
    for (size_t i = 0; i < n; i++)
        see(g, apply(g, ops[i], x, y));
}
#define SEE_ALL(g, x, y, ...)                                                                      \
    see_all(g, (const Op[]){__VA_ARGS__}, sizeof((Op[]){__VA_ARGS__}) / sizeof(Op), x, y)

/* Three kinds of targets: no vectors, with masks of lanes, with registers for masks. */
static void check_targets(Graph *(*make)(void)) {
    static const char *const targets[] = {"generic", "x86-64-v3", "x86-64-v4"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        Fixture f = {.p.graph = make(), .error = 2e-6};
        check_fixture(&f, targets[i], special_values, NORMAL);
    }
}

static void see_reduced(Graph *g, Op op, Value *x, Shape axes) {
    Node *n = node_new(g, op, NULL, "reduced", &x, 1);
    reduce_attrs(n)->axes = ints(g, axes);
    see(g, done(n));
}

/* ---- integers -------------------------------------------------------------------------------- */

static const DType integers[] = {DT_i8, DT_i32, DT_i64, DT_u8, DT_u64};

static void add_moves(Graph *g, DType dt, Value *x) {
    Node *t = node_new(g, OP_transpose, NULL, "t", &x, 1);
    transpose_attrs(t)->perm = ints(g, SHAPE(1, 0));
    see(g, done(t));
    Value *more = number(g, dt, SHAPE(2, 19), 1, 3);
    Node *c = node_new(g, OP_concat, NULL, "c", (Value *[]){x, more, x}, 3);
    axis_attrs(c)->axis = 0;
    Value *at = number(g, DT_i64, SHAPE(4), 6, -2);
    Node *pick = node_new(g, OP_gather, NULL, "pick", (Value *[]){done(c), at}, 2);
    see(g, done(pick));
}

/* Zero and the least number are among the dividends; a divisor is odd. */
static void add_division(Graph *g, DType dt, Value *x, Value *y) {
    Value *odd = apply(g, OP_or, y, number(g, dt, (Shape){0}, 1, 0));
    SEE_ALL(g, x, odd, OP_div, OP_mod, OP_fmod);
    double least = dtype_is_signed_int(dt) ? -ldexp(1, 8 * dtype_bytes(dt) - 1) : 0;
    Value *ends = number(g, dt, SHAPE(4, 1), least, 1);
    SEE_ALL(g, ends, odd, OP_div, OP_mod, OP_fmod);
    see(g, apply(g, OP_abs, apply(g, OP_add, ends, apply(g, OP_sub, odd, odd)), NULL));
}

static Graph *integer_graph(void) {
    Graph *g = graph_new("integers");
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        DType dt = integers[i];
        Value *x = operand(g, dt, SHAPE(3, 19), 20), *y = operand(g, dt, SHAPE(19), 1);
        SEE_ALL(g, x, y, OP_add, OP_sub, OP_mul, OP_min, OP_max, OP_and, OP_or, OP_xor, OP_equal,
                OP_less, OP_less_equal);
        SEE_ALL(g, x, NULL, OP_neg, OP_abs, OP_sign);
        see(g, where(g, apply(g, OP_less, y, x), x, y));
        Node *clip = node_new(g, OP_clip, NULL, "clip", &x, 1);
        *clip_attrs(clip) = (ClipAttrs){.min = -17.5, .max = 100000};
        see(g, done(clip));
        add_division(g, dt, x, y);
        add_moves(g, dt, x);
        see_reduced(g, OP_reduce_sum, x, SHAPE(0));
        see_reduced(g, OP_reduce_prod, y, SHAPE(0));
        see_reduced(g, OP_reduce_min, x, SHAPE(1));
        see_reduced(g, OP_reduce_max, x, SHAPE(0, 1));
    }
    return g;
}

static void test_integers(void **state) {
    (void)state;
    check_targets(integer_graph);
}

/* ---- floats and bool ------------------------------------------------------------------------- */

static Graph *logic_graph(void) {
    Graph *g = graph_new("logic");
    Value *x = operand(g, DT_f32, SHAPE(2, 3, 19), 1), *y = operand(g, DT_f32, SHAPE(3, 1), 1);
    SEE_ALL(g, x, y, OP_equal, OP_less, OP_less_equal);
    SEE_ALL(g, x, x, OP_equal, OP_less, OP_less_equal);
    Value *a = apply(g, OP_less, x, y),
          *b = apply(g, OP_less, y, number(g, DT_f32, SHAPE(19), -3, 0.3));
    SEE_ALL(g, a, b, OP_and, OP_or, OP_xor, OP_equal);
    see(g, apply(g, OP_not, a, NULL));
    see(g, where(g, a, x, y));
    see(g, where(g, a, b, a));
    see_reduced(g, OP_reduce_min, a, SHAPE(0, 2));
    see_reduced(g, OP_reduce_max, a, SHAPE(1));
    see(g, where(g, apply(g, OP_less, x, number(g, DT_f32, (Shape){0}, 0, 0)), x,
                 blocked_input(g, SHAPE(1, 2, 3, 19))));
    return g;
}

static void test_logic(void **state) {
    (void)state;
    check_targets(logic_graph);
}

static Graph *step_graph(void) {
    static const double scales[] = {0.1, 1, 0x1p20, 0x1p22, 0x1p40};
    Graph *g = graph_new("steps");
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
        SEE_ALL(g, operand(g, DT_f32, SHAPE(3, 19), scales[i]), NULL, OP_floor, OP_ceil, OP_sign,
                OP_log);
    SEE_ALL(g, blocked_input(g, SHAPE(1, 19, 5, 3)), NULL, OP_floor, OP_ceil, OP_sign, OP_log);
    return g;
}

static void test_steps(void **state) {
    (void)state;
    check_targets(step_graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_logic),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
