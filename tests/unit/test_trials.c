/* test_trials.c: what --tune measures does the work that it is measured for, once for each of the
 * counts that it is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "passes/passes.h"

enum { MAX_TILES = 4 };

/* Small planes have a kernel of their own, without a halo. */
static const TileProblem problems[] = {
    {TILE_GEMM, 1, 1, 1, 1, .pixels = 28, .channels = 24, .k = 16, .act = ACT_silu, .rows = 9},
    {TILE_GEMM, 1, 1, 1, 1, .pixels = 49, .channels = 24, .k = 16, .residual = true, .rows = 9},
    {TILE_GEMM, 3, 3, 2, 1, .pixels = 30, .channels = 16, .k = 3, .planar = true, .rows = 9},
    {TILE_DW, 3, 3, 1, 1, .pixels = 28, .act = ACT_silu, .rows = 9, .blocks = 3},
    {TILE_DW, 5, 5, 2, 1, .pixels = 28, .act = ACT_silu, .sum = true, .rows = 9, .blocks = 3},
    {TILE_DW, 3, 3, 1, 1, .pixels = 7, .sum = true, .rows = 9, .blocks = 3},
    {TILE_DW, 5, 5, 2, 1, .pixels = 14, .rows = 9, .blocks = 3},
    {TILE_DW, 3, 3, 1, 2, .pixels = 14, .rows = 9, .blocks = 3},
};

/* Whether trial i of n, done `times` times, ends within so many rounds of loops. */
static bool ends(const Module *m, size_t i, size_t n, int64_t times, int64_t rounds) {
    int64_t counts[MAX_TILES] = {0};
    Diag d = {0};
    assert_true(n <= MAX_TILES);
    counts[i] = times;
    bool ok = module_eval_fuel(m, (const void *[]){counts}, NULL, rounds, &d);
    assert_int_equal(diag_exit_code(&d), ok ? 0 : EXIT_BUDGET);
    diag_free(&d);
    return ok;
}

static void check_problem(const TileProblem *p, const char *target) {
    Diag d = {0};
    PassContext cx = {.target = target_find(target), .where = "trials", .diag = &d};
    Tile tiles[MAX_TILES];
    TileTrial trials[MAX_TILES];
    size_t n = tile_candidates(p, cx.target, 10, tiles, MAX_TILES);
    assert_in_range(n, 1, MAX_TILES);
    for (size_t i = 0; i < n; i++)
        trials[i] = (TileTrial){.problem = p, .tile = tiles[i]};
    Module *m = lower_trials(trials, n, &cx);
    assert_true(module_verify(m, "trials", &d));
    for (size_t i = 0; i < n; i++) {
        int64_t rows = p->rows * (p->kind == TILE_DW ? p->blocks : 1), others = 4 * (int64_t)n;
        assert_true(ends(m, i, n, 0, others));
        assert_false(ends(m, i, n, 1, rows));
        assert_false(ends(m, i, n, 100, 100 * rows));
        assert_true(ends(m, i, n, 1, EVAL_FUEL));
        assert_true(trials[i].input_bytes > 0);
    }
    module_free(m);
    diag_free(&d);
}

static void trials_do_the_work(void **state) {
    (void)state;
    static const char *const targets[] = {"generic", "x86-64-v3", "x86-64-v4", "aarch64"};
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++)
        for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
            check_problem(&problems[i], targets[t]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(trials_do_the_work)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
