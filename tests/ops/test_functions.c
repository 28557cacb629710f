/* test_functions.c: kernels of functions that are computed in double precision, on f32 over their
 * whole range, and powers of integers: against the graph interpreter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/kernel_check.h"

#include <math.h>
#include <string.h>

/* ---- accuracy -------------------------------------------------------------------------------- */

/* Functions of one number, and those of two with the second one fixed or, where it is 0, run
 * through too. */
typedef struct Sweep {
    Op op;
    double (*f)(double);
    double (*g)(double, double);
    double lo, hi; /* where it is checked evenly */
} Sweep;

static const Sweep sweeps[] = {
    {OP_sin, sin, NULL, -7, 7},           {OP_sin, sin, NULL, -1e5, 1e5},
    {OP_cos, cos, NULL, -7, 7},           {OP_cos, cos, NULL, -1e5, 1e5},
    {OP_tan, tan, NULL, -7, 7},           {OP_asin, asin, NULL, -1.01, 1.01},
    {OP_acos, acos, NULL, -1.01, 1.01},   {OP_atan, atan, NULL, -5, 5},
    {OP_sinh, sinh, NULL, -92, 92},       {OP_cosh, cosh, NULL, -92, 92},
    {OP_asinh, asinh, NULL, -5, 5},       {OP_acosh, acosh, NULL, 0.99, 5},
    {OP_atanh, atanh, NULL, -1.01, 1.01}, {OP_pow, NULL, pow, 0, 3},
    {OP_pow, NULL, pow, -9, 9},           {OP_fmod, NULL, fmod, -9, 9},
};

enum { COUNT = 10000 };

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Half of them evenly between two numbers, the others all over the bits of f32. */
static void fill(Tensor *t, const Sweep *s, uint32_t step) {
    float *x = tensor_mutable(t);
    for (uint32_t i = 0; i < COUNT; i++)
        x[i] = i % 2 ? (float)(s->lo + (s->hi - s->lo) * (double)(i * step % COUNT) / (COUNT - 1))
                     : from_bits(i * step * 214013u + step);
}

/* Of denormal numbers, operands and result, a target may make zeros. */
static bool is_right(float x, float e, float y, double want) {
    double ulp = (double)nextafterf(fabsf((float)want), INFINITY) - fabs((double)(float)want);
    bool tiny = fabsf(x) < 0x1p-126f || fabsf(e) < 0x1p-126f || fabs(want) < 0x1p-126;
    return tiny || (isnan(want) && isnan(y)) || (double)y == want || (float)want == y ||
           fabs((double)y - want) <= 0.501 * ulp;
}

static void check_sweep(const Sweep *s, const char *target) {
    Graph *g = graph_new("sweep");
    Value *operands[] = {new_input(g, "x", SHAPE(COUNT)),
                         s->g ? new_input(g, "e", SHAPE(COUNT)) : NULL};
    finish(g, node_new(g, s->op, NULL, "y", operands, s->g ? 2 : 1));
    Fixture f = {.p.graph = g};
    make_inputs(&f, NULL, 0);
    fill(f.in[0], s, 7);
    if (s->g)
        fill(f.in[1], s, 1241);
    lower_fixture(&f, target, false);
    interpret(&f);
    const float *x = f.in[0]->data, *e = f.in[s->g ? 1 : 0]->data, *y = f.interpreted[0]->data;
    for (int i = 0; i < COUNT; i++) {
        double want = s->g ? s->g((double)x[i], (double)e[i]) : s->f((double)x[i]);
        if (!is_right(x[i], e[i], y[i], want))
            fail_msg("%s: %s(%a, %a) is %a, not %a", target, op_info(s->op)->name, (double)x[i],
                     (double)e[i], (double)y[i], want);
    }
    fixture_free(&f);
}

static void test_accuracy(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof sweeps / sizeof *sweeps; i++) {
        check_sweep(&sweeps[i], "generic");
    }
}

/* ---- generated code -------------------------------------------------------------------------- */

static const Op unary[] = {OP_sin,  OP_cos,  OP_tan,   OP_asin,  OP_acos, OP_atan,
                           OP_sinh, OP_cosh, OP_asinh, OP_acosh, OP_atanh};

static Value *scaled(Graph *g, Value *x, float by) {
    Tensor *t = tensor_new(&g->arena, DT_f32, (Shape){0});
    *(float *)tensor_mutable(t) = by;
    Value *factor = graph_constant(g, graph_unique_name(g, "by"), t);
    Node *n = node_new(g, OP_mul, NULL, "scaled", (Value *[]){x, factor}, 2);
    node_infer_or_die(n);
    return node_out(n);
}

static Graph *unary_graph(void) {
    Graph *g = graph_new("functions");
    for (size_t i = 0; i < sizeof unary / sizeof *unary; i++) {
        Value *x[] = {new_input(g, "x", SHAPE(3, 19)),
                      scaled(g, new_input(g, "x", SHAPE(19)), 1e30f),
                      blocked_input(g, SHAPE(1, 19, 5, 3))};
        for (int k = 0; k < 3; k++)
            finish(g, node_new(g, unary[i], NULL, "y", &x[k], 1));
    }
    return g;
}

/* Results of tan, sinh and cosh are far apart: what is compared with the interpreter is the other
 * test's business, what C gives this one's. */
static void check_targets(Graph *(*make)(void), size_t nspecials, double error) {
    static const char *const targets[] = {"generic", "x86-64-v3"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        for (int special = 0; special < 2; special++) {
            Fixture f = {.p.graph = make(), .magnitude = 1, .error = error};
            check_fixture(&f, targets[i], special_values, special ? nspecials : 0);
        }
}

static void test_functions(void **state) {
    (void)state;
    check_targets(unary_graph, NSPECIALS, 1e-6);
}

static Graph *binary_graph(void) {
    static const Op ops[] = {OP_pow, OP_fmod, OP_mod};
    Graph *g = graph_new("binary");
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        Value *x = new_input(g, "x", SHAPE(5, 19)), *y = new_input(g, "y", SHAPE(19));
        finish(g, node_new(g, ops[i], NULL, "y", (Value *[]){x, y}, 2));
        Value *b = blocked_input(g, SHAPE(1, 19, 2, 3));
        finish(g, node_new(g, ops[i], NULL, "y", (Value *[]){b, b}, 2));
    }
    return g;
}

static void test_powers_and_remainders(void **state) {
    (void)state;
    check_targets(binary_graph, NORMAL, 1e-6);
}

/* ---- special values -------------------------------------------------------------------------- */

/* Every pair of them, with signs of zeros. */
static void test_special_pairs(void **state) {
    (void)state;
    static const float of[] = {0,      -0.0f,     1,        -1,        0.5f,     -0.5f,    2,
                               -2,     3,         -3,       0x1p24f,   -0x1p25f, 16777215, 1e38f,
                               -1e38f, 0x1p-126f, INFINITY, -INFINITY, NAN};
    enum { N = sizeof of / sizeof *of };
    static const Op ops[] = {OP_pow, OP_fmod};
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
        Graph *g = graph_new("pairs");
        Value *operands[] = {new_input(g, "x", SHAPE(N, 1)), new_input(g, "y", SHAPE(N))};
        finish(g, node_new(g, ops[k], NULL, "y", operands, 2));
        Fixture f = {.p.graph = g};
        make_inputs(&f, NULL, 0);
        for (int i = 0; i < 2; i++)
            memcpy(tensor_mutable(f.in[i]), of, sizeof of);
        lower_fixture(&f, "generic", false);
        interpret(&f);
        for (int i = 0; i < N * N; i++) {
            float x = of[i / N], y = of[i % N], z = ((const float *)f.interpreted[0]->data)[i];
            float want =
                (float)(ops[k] == OP_pow ? pow((double)x, (double)y) : fmod((double)x, (double)y));
            bool same = (isnan(z) && isnan(want)) || (z == want && !signbit(z) == !signbit(want));
            if (!same)
                fail_msg("%s(%g, %g) is %g, not %g", op_info(ops[k])->name, (double)x, (double)y,
                         (double)z, (double)want);
        }
        fixture_free(&f);
    }
}

/* ---- powers of integers ---------------------------------------------------------------------- */

static Graph *integer_graph(void) {
    static const DType types[] = {DT_i8, DT_i32, DT_i64, DT_u8, DT_u64};
    Graph *g = graph_new("integers");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        Value *x = as_type(g, new_input(g, "x", SHAPE(4, 19)), types[i]);
        Tensor *t = tensor_new(&g->arena, types[i], SHAPE(4, 1));
        for (int k = 0; k < 4; k++)
            tensor_set_i64(t, k, k * k);
        Value *e = graph_constant(g, graph_unique_name(g, "e"), t);
        finish_as_float(g, node_new(g, OP_pow, NULL, "y", (Value *[]){x, e}, 2));
        if (!dtype_is_signed_int(types[i]))
            continue;
        Tensor *base = tensor_new(&g->arena, types[i], SHAPE(4, 1));
        for (int k = 0; k < 4; k++)
            tensor_set_i64(base, k, (const int64_t[]){1, -1, 3, 127}[k]);
        Value *b = graph_constant(g, graph_unique_name(g, "base"), base);
        finish_as_float(g, node_new(g, OP_pow, NULL, "y", (Value *[]){b, x}, 2));
    }
    return g;
}

static void test_integers(void **state) {
    (void)state;
    check_targets(integer_graph, 0, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_powers_and_remainders),
        cmocka_unit_test(test_special_pairs),
        cmocka_unit_test(test_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
