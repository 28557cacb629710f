/* pool.c: threads that share the rounds of a loop, a "region".
 *
 * Every thread has a range of the indices, so that in loops over the same data it meets the data
 * that is in its cache; a thread that has done with its own takes from the others'. An index is
 * claimed by an atomic addition, so none is done twice, and whoever is late finds nothing left.
 *
 * One word says all about a region: its number, whether it is open, and how many workers are in.
 * A worker comes in by adding one while it is open. The caller works too, closes the region when
 * all indices are claimed, and waits until the last worker is out: then nobody reads the region,
 * and the next may be written. A worker that sleeps through a region holds nobody up. */
#include "runtime/runtime.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum {
    CACHE_LINE = 64,
    SPIN_NS = 30000, /* how long to look before sleeping: more than a step without parts takes */
    SPIN_TURNS = 32  /* looks between two readings of the clock */
};

/* The word: number << 32 | open << 31 | workers inside. */
#define REGION ((uint64_t)1 << 32)
#define OPEN   ((uint64_t)1 << 31)
#define INSIDE (OPEN - 1)

typedef struct Range {
    _Alignas(CACHE_LINE) atomic_size_t next; /* may pass the end */
    size_t end;
} Range;

typedef struct Worker {
    rt_pool *pool;
    size_t range;
    pthread_t thread;
} Worker;

struct rt_pool {
    size_t threads; /* the caller's included */
    bool spins;     /* every thread has a CPU */
    rt_body *body;  /* of the region */
    void *arg;
    Range *ranges;   /* [threads] */
    Worker *workers; /* [threads - 1] */
    atomic_bool busy, quit;
    pthread_mutex_t mutex;
    pthread_cond_t opened, left;
    size_t running; /* workers that got a CPU once; under the mutex */
    atomic_int sleepers;
    atomic_bool caller_sleeps;
    _Alignas(CACHE_LINE) atomic_uint_fast64_t word;
};

/* ---- waiting --------------------------------------------------------------------------------- */

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

typedef struct Spin {
    int64_t start;
    unsigned turns;
} Spin;

/* Lets a moment pass; false where it is time to sleep. */
static bool spin(const rt_pool *p, Spin *s) {
    if (!p->spins)
        return false;
#if defined(__SSE2__)
    _mm_pause();
#endif
    if (s->turns++ % SPIN_TURNS)
        return true;
    int64_t now = now_ns();
    if (!s->start)
        s->start = now;
    return now - s->start < SPIN_NS;
}

/* ---- regions --------------------------------------------------------------------------------- */

static void run_range(const rt_pool *p, Range *r) {
    size_t i;
    while ((i = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed)) < r->end)
        p->body(p->arg, i);
}

/* The thread's own range, then what is left of the others'. */
static void run_ranges(rt_pool *p, size_t own) {
    for (size_t k = 0; k < p->threads; k++)
        run_range(p, &p->ranges[(own + k) % p->threads]);
}

/* Whether `word` has an open region other than the number `last`. */
static bool is_new(uint64_t word, uint64_t last) {
    return (word & OPEN) && word / REGION != last;
}

/* Enters the region where it is open and new; *last is its number then. */
static bool enter(rt_pool *p, uint64_t *last) {
    uint64_t word = atomic_load(&p->word);
    while (is_new(word, *last))
        if (atomic_compare_exchange_weak(&p->word, &word, word + 1)) {
            *last = word / REGION;
            return true;
        }
    return false;
}

static void leave(rt_pool *p) {
    uint64_t before = atomic_fetch_sub(&p->word, 1);
    if ((before & INSIDE) > 1 || !atomic_load(&p->caller_sleeps))
        return;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_signal(&p->left);
    pthread_mutex_unlock(&p->mutex);
}

/* ---- workers --------------------------------------------------------------------------------- */

/* Whoever opens a region looks for sleepers behind that; so a worker counts itself, then looks. */
static void sleep_until_new(rt_pool *p, uint64_t last) {
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->sleepers, 1);
    while (!is_new(atomic_load(&p->word), last) && !atomic_load(&p->quit))
        pthread_cond_wait(&p->opened, &p->mutex);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->mutex);
}

static void say_running(rt_pool *p) {
    pthread_mutex_lock(&p->mutex);
    p->running++;
    pthread_cond_signal(&p->left);
    pthread_mutex_unlock(&p->mutex);
}

static void *work(void *arg) {
    const Worker *w = arg;
    rt_pool *p = w->pool;
    uint64_t last = 0;
    Spin s = {0};
    say_running(p);
    while (!atomic_load_explicit(&p->quit, memory_order_relaxed)) {
        if (enter(p, &last)) {
            run_ranges(p, w->range);
            leave(p);
            s = (Spin){0};
        } else if (!spin(p, &s)) {
            sleep_until_new(p, last);
            s = (Spin){0};
        }
    }
    return NULL;
}

/* ---- the caller ------------------------------------------------------------------------------ */

static void wake_workers(rt_pool *p) {
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->opened);
    pthread_mutex_unlock(&p->mutex);
}

static void open_region(rt_pool *p, size_t n, rt_body *body, void *arg) {
    p->body = body;
    p->arg = arg;
    for (size_t k = 0; k < p->threads; k++) {
        size_t each = n / p->threads, more = n % p->threads;
        size_t start = each * k + (k < more ? k : more);
        atomic_store_explicit(&p->ranges[k].next, start, memory_order_relaxed);
        p->ranges[k].end = start + each + (k < more);
    }
    atomic_store(&p->word, (atomic_load(&p->word) / REGION + 1) * REGION | OPEN);
    if (atomic_load(&p->sleepers) > 0)
        wake_workers(p);
}

static void close_region(rt_pool *p) {
    Spin s = {0};
    atomic_fetch_and(&p->word, ~OPEN);
    while (atomic_load(&p->word) & INSIDE)
        if (!spin(p, &s)) {
            pthread_mutex_lock(&p->mutex);
            atomic_store(&p->caller_sleeps, true);
            while (atomic_load(&p->word) & INSIDE)
                pthread_cond_wait(&p->left, &p->mutex);
            atomic_store(&p->caller_sleeps, false);
            pthread_mutex_unlock(&p->mutex);
        }
}

void rt_pool_for(void *pool, size_t n, rt_body *body, void *arg) {
    rt_pool *p = pool;
    bool alone = n < 2 || p->threads < 2 || atomic_exchange(&p->busy, true);
    if (alone) {
        for (size_t i = 0; i < n; i++)
            body(arg, i);
        return;
    }
    open_region(p, n, body, arg);
    run_ranges(p, 0);
    close_region(p);
    atomic_store(&p->busy, false);
}

int rt_pool_threads(const rt_pool *p) {
    return (int)p->threads;
}

/* ---- making and freeing ---------------------------------------------------------------------- */

static void *lines(size_t size) {
    return aligned_alloc(CACHE_LINE, (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
}

static rt_pool *allocate(size_t threads) {
    rt_pool *p = lines(sizeof *p);
    Range *ranges = lines(threads * sizeof *ranges);
    Worker *workers = calloc(threads, sizeof *workers);
    if (!p || !ranges || !workers) {
        free(p);
        free(ranges);
        free(workers);
        return NULL;
    }
    *p = (rt_pool){.threads = threads, .ranges = ranges, .workers = workers};
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->opened, NULL);
    pthread_cond_init(&p->left, NULL);
    return p;
}

/* Ends the first `started` workers and frees all. */
static void stop(rt_pool *p, size_t started) {
    atomic_store(&p->quit, true);
    wake_workers(p);
    for (size_t i = 0; i < started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->left);
    pthread_cond_destroy(&p->opened);
    pthread_mutex_destroy(&p->mutex);
    free(p->workers);
    free(p->ranges);
    free(p);
}

/* Signals are the program's: no worker takes one. How many workers run then. */
static size_t start(rt_pool *p) {
    sigset_t all, old;
    size_t i = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (; i + 1 < p->threads; i++) {
        p->workers[i].pool = p;
        p->workers[i].range = i + 1;
        if (pthread_create(&p->workers[i].thread, NULL, work, &p->workers[i]))
            break;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return i;
}

/* A new thread may be put behind its maker on the same CPU, and where schedulers are strict it
 * stays there until that one sleeps. */
static void wait_until_running(rt_pool *p, size_t started) {
    pthread_mutex_lock(&p->mutex);
    while (p->running < started)
        pthread_cond_wait(&p->left, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
}

int rt_pool_new(rt_pool **out, int threads, rt_error *err) {
    int cpus = rt_cpus();
    *out = NULL;
    if (threads < 0 || threads > RT_MAX_THREADS)
        return rt_fail(err, RT_ERROR_ARGUMENT, "%d threads are not between 0 and %d", threads,
                       RT_MAX_THREADS);
    rt_pool *p = allocate((size_t)(threads ? threads : cpus));
    if (!p)
        return rt_fail(err, RT_ERROR_IO, "no memory for %d threads", threads);
    p->spins = p->threads <= (size_t)cpus;
    size_t started = start(p);
    if (started + 1 < p->threads) {
        stop(p, started);
        return rt_fail(err, RT_ERROR_IO, "no more than %zu threads can be started", started + 1);
    }
    wait_until_running(p, started);
    *out = p;
    return RT_OK;
}

void rt_pool_free(rt_pool *p) {
    if (p)
        stop(p, p->threads - 1);
}
