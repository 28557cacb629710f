/* test_pool.c: threads that share a loop: every index once, however many there are. */
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 1000 };

typedef struct Counts {
    rt_pool *pool;
    atomic_int of[MANY];
} Counts;

static void count(void *arg, size_t i) {
    Counts *c = arg;
    atomic_fetch_add(&c->of[i], 1);
}

/* n indices on so many threads: each below n once, none behind it. */
static void check_region(rt_pool *pool, size_t n) {
    Counts *c = calloc(1, sizeof *c);
    rt_pool_for(pool, n, count, c);
    for (size_t i = 0; i < MANY; i++)
        if (atomic_load(&c->of[i]) != (i < n))
            fail_msg("%d threads, %zu rounds: index %zu was called %d times", rt_pool_threads(pool),
                     n, i, atomic_load(&c->of[i]));
    free(c);
}

static void test_every_index_once(void **state) {
    static const size_t sizes[] = {0, 1, 2, 3, 7, 8, 16, 33, MANY};
    (void)state;
    for (int threads = 1; threads <= 9; threads += 2) {
        rt_pool *pool;
        assert_int_equal(rt_pool_new(&pool, threads, NULL), RT_OK);
        assert_int_equal(rt_pool_threads(pool), threads);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            check_region(pool, sizes[i]);
        rt_pool_free(pool);
    }
}

static void add(void *arg, size_t i) {
    atomic_fetch_add((atomic_size_t *)arg, i + 1);
}

static void test_many_short_regions(void **state) {
    enum { REGIONS = 20000 };
    rt_pool *pool;
    atomic_size_t sum = 0;
    (void)state;
    assert_int_equal(rt_pool_new(&pool, 3, NULL), RT_OK);
    for (int i = 0; i < REGIONS; i++) {
        rt_pool_for(pool, 4, add, &sum);
        if (atomic_load(&sum) != (size_t)(i + 1) * 10)
            fail_msg("region %d is not over when its call is: %zu", i, atomic_load(&sum));
    }
    rt_pool_free(pool);
}

static void count_within(void *arg, size_t i) {
    Counts *c = arg;
    (void)i;
    rt_pool_for(c->pool, MANY, count, c);
}

/* A loop within a loop runs in its own thread alone. */
static void test_nested(void **state) {
    enum { ROUNDS = 5 };
    Counts *c = calloc(1, sizeof *c);
    (void)state;
    assert_int_equal(rt_pool_new(&c->pool, 4, NULL), RT_OK);
    rt_pool_for(c->pool, ROUNDS, count_within, c);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(atomic_load(&c->of[i]), ROUNDS);
    rt_pool_free(c->pool);
    free(c);
}

static void test_number_of_threads(void **state) {
    rt_pool *pool = NULL;
    rt_error err = {0};
    (void)state;
    assert_true(rt_cpus() >= 1);
    assert_int_equal(rt_pool_new(&pool, 0, NULL), RT_OK);
    assert_int_equal(rt_pool_threads(pool), rt_cpus());
    rt_pool_free(pool);
    rt_pool_free(NULL);
    assert_int_not_equal(rt_pool_new(&pool, -1, &err), RT_OK);
    assert_null(pool);
    assert_non_null(strstr(err.text, "-1 threads"));
    assert_int_not_equal(rt_pool_new(&pool, RT_MAX_THREADS + 1, &err), RT_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_index_once),
        cmocka_unit_test(test_many_short_regions),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
