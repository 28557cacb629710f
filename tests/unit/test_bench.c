/* The figures of `effnetc bench`: statistics, and the module that measures the peak. */
#include "driver/driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static BenchStats stats(size_t n, const double *samples) {
    double copy[32];
    assert_true(n <= sizeof copy / sizeof *copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = samples[i];
    return bench_stats(copy, n);
}

static void assert_stats(BenchStats s, double min, double median, double p90) {
    assert_true(s.min == min);
    assert_true(s.median == median);
    assert_true(s.p90 == p90);
}

static void test_statistics(void **state) {
    (void)state;
    assert_stats(stats(1, (double[]){7}), 7, 7, 7);
    assert_stats(stats(2, (double[]){4, 2}), 2, 3, 4);
    assert_stats(stats(3, (double[]){5, 1, 2}), 1, 2, 5);
    assert_stats(stats(4, (double[]){8, 1, 4, 2}), 1, 3, 8);
    assert_stats(stats(5, (double[]){2, 2, 2, 2, 2}), 2, 2, 2);
}

static void test_p90_is_the_nearest_rank(void **state) {
    (void)state;
    double x[21];
    for (int i = 0; i < 21; i++)
        x[i] = 1 + i * 8 % 21; /* 1..21, shuffled */
    assert_stats(stats(21, x), 1, 11, 19);
    assert_stats(stats(10, (double[]){10, 9, 8, 7, 6, 5, 4, 3, 2, 1}), 1, 5.5, 9);
    assert_stats(stats(11, (double[]){11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}), 1, 6, 10);
}

static int count_multiply_adds(const Block *body) {
    int n = 0;
    for (const Inst *in = body->first; in; in = in->next)
        n += in->op == INST_for ? count_multiply_adds(&in->u.loop.body)
                                : in->op == INST_fma || in->op == INST_mul;
    return n;
}

/* It is valid, does the work that it is counted for, and all sums end as one. */
static void test_peak_module(void **state) {
    (void)state;
    enum { PARTS = 3 };
    for (size_t i = 0; i < target_count(); i++) {
        const Target *t = target_at(i);
        Module *m = peak_module(t, PARTS);
        Diag d = {0};
        int64_t n = PARTS * target_lanes(t);
        float *sums = calloc((size_t)n, sizeof *sums);
        void *out[] = {sums};
        assert_true(module_verify(m, "peak", &d));
        assert_true(emit_c_check(m, "peak", &d));
        assert_int_equal(count_multiply_adds(&m->kernels.data[0]->body) * PEAK_ROUNDS,
                         PEAK_PART_MACS);
        assert_true(module_eval(m, NULL, out, &d));
        for (int64_t k = 0; k < n; k++)
            assert_true(sums[k] == PEAK_CHAINS);
        free(sums);
        module_free(m);
        diag_free(&d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_p90_is_the_nearest_rank),
        cmocka_unit_test(test_peak_module),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
