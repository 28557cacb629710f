/* test_accuracy.c: how far what the kernels compute instead of exp, sqrt and the activations is
 * from the exact value, over all numbers that matter, for every target. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/kernel_check.h"

#include <math.h>
#include <string.h>

/* Runs `op` on `count` numbers; returns the results, which f holds until fixture_free. */
static const float *results_of(Fixture *f, Op op, const float *x, int count, const char *target) {
    Graph *g = f->p.graph = graph_new("numbers");
    finish(g, node_new(g, op, NULL, "y", (Value *[]){new_input(g, "x", SHAPE(count))}, 1));
    make_inputs(f, NULL, 0);
    memcpy(tensor_mutable(f->in[0]), x, (size_t)count * sizeof *x);
    lower_fixture(f, target, false);
    interpret(f);
    return f->interpreted[0]->data;
}

/* From x to the next larger number. */
static double ulp_of(float x) {
    return (double)nextafterf(x, INFINITY) - (double)x;
}

/* Within 2 units in the last place over the whole range; denormal results may be zero. */
static bool exp_is_near(float y, double want) {
    float near = (float)want;
    return want < 0x1p-126  ? y >= 0 && (double)y <= 0x1p-126
           : isinf(near)    ? isinf(y) && y > 0
           : want > 0x1p127 ? fabs((double)y - want) <= 0x1p105
                            : fabs((double)y - want) <= 2 * ulp_of(near);
}

static void check_exp(const char *target) {
    enum { COUNT = 40001 };
    static float x[COUNT];
    for (int i = 0; i < COUNT; i++)
        x[i] = -104.5f + 194 * (float)i / (COUNT - 1);
    Fixture f = {.level = 0};
    const float *y = results_of(&f, OP_exp, x, COUNT, target);
    for (int i = 0; i < COUNT; i++)
        if (!exp_is_near(y[i], exp((double)x[i])))
            fail_msg("%s: exp(%a) is %a", target, (double)x[i], (double)y[i]);
    fixture_free(&f);
}

static void test_exp_is_accurate(void **state) {
    (void)state;
    for (size_t i = 0; i < target_count(); i++)
        check_exp(target_at(i)->name);
}

/* Within 2 units in the last place over the whole range; of denormal numbers it may be zero. */
static void check_sqrt(const char *target) {
    enum { COUNT = 40001 };
    static float x[COUNT];
    for (int i = 0; i < COUNT; i++)
        x[i] = (float)exp2(-140 + 267.9 * i / (COUNT - 1));
    Fixture f = {.level = 0};
    const float *y = results_of(&f, OP_sqrt, x, COUNT, target);
    for (int i = 0; i < COUNT; i++) {
        double want = sqrt((double)x[i]);
        bool ok = fabs((double)y[i] - want) <= 2 * ulp_of((float)want);
        if (!ok && !(x[i] < 0x1p-126f && y[i] == 0))
            fail_msg("%s: sqrt(%a) is %a, not %a", target, (double)x[i], (double)y[i], want);
    }
    fixture_free(&f);
}

static void test_sqrt_is_accurate(void **state) {
    (void)state;
    for (size_t i = 0; i < target_count(); i++)
        check_sqrt(target_at(i)->name);
}

/* An activation of numbers from lo to hi. */
typedef struct Sweep {
    Act act;
    float lo, hi;
    double ulps; /* largest error, in units in the last place of the exact value */
} Sweep;

/* Where t = -log2(e) * x is computed, its rounding grows with x in the power of two. */
static const Sweep sweeps[] = {
    {ACT_sigmoid, -10, 89, 10},   {ACT_sigmoid, -104, -10, 64},  {ACT_silu, -10, 89, 10},
    {ACT_silu, -104, -10, 64},    {ACT_silu_exp2, -128, 150, 4}, {ACT_silu_exp2, -1, 1, 4},
    {ACT_softplus, -10, 100, 10}, {ACT_softplus, -104, -10, 64}, {ACT_hard_sigmoid, -2, 4, 2},
    {ACT_hard_swish, -2, 4, 3},   {ACT_tanh, -11, 11, 7},        {ACT_erf, -5, 5, 8},
};

/* Below 2^-118 a result may be zero: there 2^t is inf for targets that shift. */
static double units_off(float got, double want) {
    return fabs((double)got - want) / fmax(ulp_of(fabsf((float)want)), 0x1p-118);
}

static void check_sweep(const Sweep *s, const char *target) {
    enum { COUNT = 100003 };
    static float x[COUNT];
    for (int i = 0; i < COUNT; i++)
        x[i] = s->lo + (s->hi - s->lo) * (float)i / (COUNT - 1);
    Fixture f = {.level = 0};
    const float *y = results_of(&f, op_from_act(s->act), x, COUNT, target);
    for (int i = 0; i < COUNT; i++) {
        double want = act_eval(s->act, (double)x[i]);
        if (!(units_off(y[i], want) <= s->ulps))
            fail_msg("%s: %s(%a) is %a, not %a", target, act_name(s->act), (double)x[i],
                     (double)y[i], want);
    }
    fixture_free(&f);
}

static void test_activations_are_accurate(void **state) {
    (void)state;
    for (size_t i = 0; i < target_count(); i++)
        for (size_t k = 0; k < sizeof sweeps / sizeof *sweeps; k++)
            check_sweep(&sweeps[k], target_at(i)->name);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp_is_accurate),
        cmocka_unit_test(test_sqrt_is_accurate),
        cmocka_unit_test(test_activations_are_accurate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
