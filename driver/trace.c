/* trace.c: records what a program does: runs, their steps, and the parts of steps on all threads.
 *
 * Parts are seen since the program gets a parallel_for that calls the pool's with a body of its
 * own. The threads write into one array, each in its place: a counter hands places out. */
#include "driver/trace.h"

#include <pthread.h>
#include <stdatomic.h>

struct Trace {
    double start; /* of the first run */
    bool on, started;
    int64_t last; /* when the run began, or its last step ended */
    int64_t runs;
    Span *spans;
    atomic_size_t count;   /* may pass TRACE_MAX_SPANS */
    pthread_mutex_t mutex; /* of the two below */
    pthread_t threads[RT_MAX_THREADS];
    int nthreads;
    rt_pool *pool;
};

Trace *trace_new(Arena *a) {
    Trace *t = ARENA_NEW(a, Trace);
    t->spans = ARENA_ARRAY(a, TRACE_MAX_SPANS, Span);
    ensure(pthread_mutex_init(&t->mutex, NULL) == 0);
    return t;
}

bool trace_is_on(const Trace *t) {
    return t && t->on;
}

static int64_t now(const Trace *t) {
    return (int64_t)((clock_seconds() - t->start) * 1e9);
}

static void add(Trace *t, Span s) {
    size_t at = atomic_fetch_add(&t->count, 1);
    if (at < TRACE_MAX_SPANS)
        t->spans[at] = s;
}

/* The number of the calling thread, which is known or becomes so. */
static int thread_number(Trace *t) {
    int n = 0;
    pthread_mutex_lock(&t->mutex);
    while (n < t->nthreads && !pthread_equal(t->threads[n], pthread_self()))
        n++;
    if (n == t->nthreads) {
        ensure(n < RT_MAX_THREADS);
        t->threads[t->nthreads++] = pthread_self();
    }
    pthread_mutex_unlock(&t->mutex);
    return n;
}

/* ---- parts ----------------------------------------------------------------------------------- */

typedef struct Parts {
    Trace *trace;
    rt_body *body;
    void *arg;
} Parts;

static void part(void *context, size_t i) {
    const Parts *p = context;
    int64_t start = now(p->trace);
    p->body(p->arg, i);
    add(p->trace, (Span){SPAN_PART, thread_number(p->trace), (int64_t)i, start, now(p->trace)});
}

static void parallel_for(void *trace, size_t n, rt_body *body, void *arg) {
    Parts p = {trace, body, arg};
    rt_pool_for(p.trace->pool, n, part, &p);
}

/* ---- runs ------------------------------------------------------------------------------------ */

void trace_step(void *trace, int step) {
    Trace *t = trace;
    int64_t end = now(t);
    add(t, (Span){SPAN_STEP, 0, step, t->last, end});
    t->last = end;
}

bool trace_run(Trace *t, NativeProgram *p, effnetc_model *m, const void *const *in,
               void *const *out) {
    if (!t->started) {
        t->started = true;
        t->start = clock_seconds();
        thread_number(t);
    }
    t->pool = native_pool(p);
    t->on = true;
    int64_t start = t->last = now(t);
    bool ok = native_run_on(p, m, in, out, t->pool ? t : NULL, parallel_for);
    add(t, (Span){SPAN_RUN, 0, t->runs++, start, now(t)});
    t->on = false;
    return ok;
}

size_t trace_spans(const Trace *t, const Span **spans, size_t *dropped) {
    size_t n = atomic_load(&t->count);
    *spans = t->spans;
    *dropped = n > TRACE_MAX_SPANS ? n - TRACE_MAX_SPANS : 0;
    return n - *dropped;
}
