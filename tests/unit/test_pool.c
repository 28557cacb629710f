/* Threads that share loops: every index once, whatever the sizes, nested, and from many callers. */
#include "runtime/runtime.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_N = 1000, MAX_THREADS = 7 };

static rt_pool *new_pool(int threads) {
    rt_pool *p;
    rt_error err;
    assert_int_equal(rt_pool_new(&p, threads, &err), RT_OK);
    return p;
}

static void rest(int microseconds) {
    nanosleep(&(struct timespec){.tv_nsec = microseconds * 1000L}, NULL);
}

/* ---- regions --------------------------------------------------------------------------------- */

/* Not atomic: that each index comes once, and is seen by the caller, is what is tested. */
static void count(void *arg, size_t i) {
    ((int *)arg)[i]++;
}

static void every_index_comes_once(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 3, 5, 6, 7, 8, 13, 64, MAX_N};
    int times[MAX_N];
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        rt_pool *p = new_pool(threads);
        assert_int_equal(rt_pool_threads(p), threads);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            memset(times, 0, sizeof times);
            rt_pool_for(p, sizes[s], count, times);
            for (size_t i = 0; i < MAX_N; i++)
                assert_int_equal(times[i], i < sizes[s]);
        }
        rt_pool_free(p);
    }
}

static void short_regions_follow_each_other(void **state) {
    (void)state;
    enum { ROUNDS = 100000, N = 5 };
    rt_pool *p = new_pool(2);
    int times[N] = {0};
    for (int i = 0; i < ROUNDS; i++)
        rt_pool_for(p, N, count, times);
    for (int i = 0; i < N; i++)
        assert_int_equal(times[i], ROUNDS);
    rt_pool_free(p);
}

/* Regions with pauses: the workers have gone to sleep, or are about to. */
static void sleepers_wake_up(void **state) {
    (void)state;
    rt_pool *p = new_pool(3);
    int times[6] = {0};
    for (int i = 0; i < 60; i++) {
        rest(i % 10 * 10);
        rt_pool_for(p, 6, count, times);
    }
    rest(2000);
    rt_pool_for(p, 6, count, times);
    for (int i = 0; i < 6; i++)
        assert_int_equal(times[i], 61);
    rt_pool_free(p);
}

typedef struct Meeting {
    atomic_int begun;
    int all;
    sigset_t masks[4];
} Meeting;

/* Each round waits until all others have begun: they run at the same time, on all threads. */
static void meet(void *arg, size_t i) {
    Meeting *m = arg;
    pthread_sigmask(SIG_SETMASK, NULL, &m->masks[i]);
    atomic_fetch_add(&m->begun, 1);
    while (atomic_load(&m->begun) < m->all)
        rest(10);
}

static void all_threads_take_part(void **state) {
    (void)state;
    rt_pool *p = new_pool(4);
    for (int i = 0; i < 20; i++) {
        Meeting m = {.all = 4};
        rt_pool_for(p, 4, meet, &m);
        assert_int_equal(m.begun, 4);
    }
    rt_pool_free(p);
}

/* ---- more than one call at a time ------------------------------------------------------------ */

typedef struct Nest {
    rt_pool *pool;
    int times[8][16];
} Nest;

typedef struct Row {
    Nest *nest;
    size_t row;
} Row;

static void count_in_row(void *arg, size_t i) {
    const Row *r = arg;
    r->nest->times[r->row][i]++;
}

static void nested(void *arg, size_t i) {
    Nest *nest = arg;
    rt_pool_for(nest->pool, 16, count_in_row, &(Row){nest, i});
}

static void a_call_within_a_call_is_serial(void **state) {
    (void)state;
    Nest nest = {.pool = new_pool(3)};
    rt_pool_for(nest.pool, 8, nested, &nest);
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 16; k++)
            assert_int_equal(nest.times[i][k], 1);
    rt_pool_free(nest.pool);
}

static void *call_often(void *pool) {
    int *times = calloc(16, sizeof *times);
    for (int i = 0; times && i < 2000; i++)
        rt_pool_for(pool, 16, count, times);
    return times;
}

static void callers_do_not_meet(void **state) {
    (void)state;
    rt_pool *p = new_pool(3);
    pthread_t callers[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&callers[i], NULL, call_often, p), 0);
    for (int i = 0; i < 3; i++) {
        void *times;
        assert_int_equal(pthread_join(callers[i], &times), 0);
        assert_non_null(times);
        for (int k = 0; k < 16; k++)
            assert_int_equal(((int *)times)[k], 2000);
        free(times);
    }
    rt_pool_free(p);
}

/* ---- making pools ---------------------------------------------------------------------------- */

static void a_pool_has_as_many_threads_as_there_are_cpus(void **state) {
    (void)state;
    rt_pool *p = new_pool(0);
    assert_true(rt_cpus() >= 1);
    assert_int_equal(rt_pool_threads(p), rt_cpus());
    rt_pool_free(p);
    rt_pool_free(NULL);
}

static void impossible_numbers_are_refused(void **state) {
    (void)state;
    rt_pool *p;
    rt_error err;
    assert_int_equal(rt_pool_new(&p, -1, &err), RT_ERROR_ARGUMENT);
    assert_null(p);
    assert_non_null(strstr(err.text, "-1 threads"));
    assert_int_equal(rt_pool_new(&p, RT_MAX_THREADS + 1, NULL), RT_ERROR_ARGUMENT);
}

static void workers_take_no_signals(void **state) {
    (void)state;
    rt_pool *p = new_pool(2);
    Meeting m = {.all = 2};
    sigset_t own;
    rt_pool_for(p, 2, meet, &m);
    pthread_sigmask(SIG_SETMASK, NULL, &own);
    assert_false(sigismember(&own, SIGINT));
    assert_int_equal(sigismember(&m.masks[0], SIGINT) + sigismember(&m.masks[1], SIGINT), 1);
    rt_pool_free(p);
}

/* ---- quotas ---------------------------------------------------------------------------------- */

static const char *in_folder(const char *folder, const char *name) {
    static char path[4][512];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int quota(const char *root, const char *groups) {
    write_text(in_folder(root, "groups"), groups);
    return rt_quota_cpus(in_folder(root, "groups"), root);
}

static const char *const folders[] = {"a", "a/b", "cpu", "cpu/x"};
static const char *const files[] = {"groups",
                                    "cpu.max",
                                    "a/cpu.max",
                                    "a/b/cpu.max",
                                    "cpu/x/cpu.cfs_quota_us",
                                    "cpu/x/cpu.cfs_period_us"};

static void quotas_are_the_least_of_all_groups_around(void **state) {
    (void)state;
    char root[] = "pool-test-XXXXXX";
    assert_non_null(mkdtemp(root));
    assert_int_equal(quota(root, "0::/a/b\n"), 0);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        assert_int_equal(mkdir(in_folder(root, folders[i]), 0700), 0);
    write_text(in_folder(root, "a/b/cpu.max"), "max 100000\n");
    assert_int_equal(quota(root, "0::/a/b\n"), 0);
    write_text(in_folder(root, "a/cpu.max"), "150000 100000\n");
    assert_int_equal(quota(root, "0::/a/b\n"), 2);
    write_text(in_folder(root, "a/b/cpu.max"), "300000 100000\n");
    assert_int_equal(quota(root, "0::/a/b\n"), 2);
    assert_int_equal(quota(root, "0::/other\n"), 0);
    write_text(in_folder(root, "cpu.max"), "50000 100000\n");
    assert_int_equal(quota(root, "0::/a/b\n"), 1);
    write_text(in_folder(root, "cpu/x/cpu.cfs_quota_us"), "-1\n");
    write_text(in_folder(root, "cpu/x/cpu.cfs_period_us"), "100000\n");
    assert_int_equal(quota(root, "9:cpuset:/x\n4:cpu,cpuacct:/x\n"), 0);
    write_text(in_folder(root, "cpu/x/cpu.cfs_quota_us"), "250000\n");
    assert_int_equal(quota(root, "9:cpuset:/x\n4:cpu,cpuacct:/x\n"), 3);
    assert_int_equal(quota(root, "9:cpuset:/x\n"), 0);
    assert_int_equal(quota(root, "nonsense\n:\n"), 0);
    assert_int_equal(rt_quota_cpus(in_folder(root, "missing"), root), 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        assert_int_equal(unlink(in_folder(root, files[i])), 0);
    for (size_t i = sizeof folders / sizeof *folders; i-- > 0;)
        assert_int_equal(rmdir(in_folder(root, folders[i])), 0);
    assert_int_equal(rmdir(root), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_comes_once),
        cmocka_unit_test(short_regions_follow_each_other),
        cmocka_unit_test(sleepers_wake_up),
        cmocka_unit_test(all_threads_take_part),
        cmocka_unit_test(a_call_within_a_call_is_serial),
        cmocka_unit_test(callers_do_not_meet),
        cmocka_unit_test(a_pool_has_as_many_threads_as_there_are_cpus),
        cmocka_unit_test(impossible_numbers_are_refused),
        cmocka_unit_test(workers_take_no_signals),
        cmocka_unit_test(quotas_are_the_least_of_all_groups_around),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
