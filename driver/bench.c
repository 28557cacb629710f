/* bench.c: how long native code takes, beside what the machine can do at the same time.
 *
 * The clock of a core changes with its load and its neighbours. So the peak is measured between the
 * runs, on the same threads, and of both the best counts. */
#include "driver/trace.h"

#include <math.h>
#include <stdlib.h>

/* ---- statistics ---- */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

BenchStats bench_stats(double *samples, size_t n) {
    ensure(n > 0);
    qsort(samples, n, sizeof *samples, compare_doubles);
    return (BenchStats){
        .min = samples[0],
        .median = (samples[(n - 1) / 2] + samples[n / 2]) / 2,
        .p90 = samples[(9 * n + 9) / 10 - 1],
    };
}

/* ---- one program ---- */

/* A program with its memory, and what its steps took. */
typedef struct Timed {
    effnetc_model *m;
    NativeProgram *program;
    const void **in;
    void **out;
    double last;   /* when the run began, or its last step ended */
    double *steps; /* minima; NULL: not watched */
    double *sums;  /* of the steps in this run: a batch may do some of them several times */
    Trace *trace;  /* NULL: none */
} Timed;

static void step_done(void *context, int step) {
    Timed *t = context;
    if (trace_is_on(t->trace)) {
        trace_step(t->trace, step);
        return;
    }
    double time = clock_seconds();
    t->sums[step] += time - t->last;
    t->last = time;
}

static void take_sums(Timed *t) {
    for (size_t i = 0; i < t->m->program.module->steps.len; i++) {
        t->steps[i] = fmin(t->steps[i], t->sums[i]);
        t->sums[i] = 0;
    }
}

/* One run: its seconds; negative with an error. */
static double time_run(Timed *t) {
    double start = t->last = clock_seconds();
    if (!native_run_again(t->program, t->m, t->in, t->out))
        return -1;
    double seconds = clock_seconds() - start;
    if (t->steps)
        take_sums(t);
    return seconds;
}

static void watch_steps(Timed *t, Arena *a) {
    size_t n = t->m->program.module->steps.len;
    t->steps = ARENA_ARRAY(a, n + 1, double);
    t->sums = ARENA_ARRAY(a, n + 1, double);
    for (size_t i = 0; i < n; i++)
        t->steps[i] = INFINITY;
}

static void take_memory(Timed *t, Tensor *const *in, Arena *a) {
    const effnetc_model *m = t->m;
    t->in = ARENA_ARRAY(a, m->inputs.len + 1, const void *);
    t->out = ARENA_ARRAY(a, m->outputs.len + 1, void *);
    for (size_t i = 0; i < m->inputs.len; i++)
        t->in[i] = in[i]->data;
    for (size_t i = 0; i < m->outputs.len; i++)
        t->out[i] = tensor_mutable(tensor_for(&m->outputs.data[i], a));
}

static bool open_timed(Timed *t, const NativeProgram *threads_of) {
    NativeOptions o = {.backend = native_backend(&t->m->options),
                       .step_done = t->steps ? step_done : NULL,
                       .context = t,
                       .threads_of = threads_of};
    t->program = native_open(t->m, &o);
    return t->program != NULL;
}

/* ---- the peak ---- */

enum { PARTS_PER_THREAD = 16 }; /* so that a thread that comes late matters little */

static effnetc_model *peak_model(const effnetc_model *m, int64_t parts) {
    effnetc_options options = m->options;
    options.perf_map = false; /* it is the model's */
    effnetc_model *peak = model_open(&options, m->diag);
    effnetc_tensor sums = {.name = "sums", .dtype = "f32", .rank = 1};
    sums.dims[0] = parts * target_lanes(m->target);
    sums.bytes = (size_t)sums.dims[0] * sizeof(float);
    vec_push(&peak->arena, &peak->outputs, sums);
    peak->target = m->target;
    peak->path = "the multiply-add peak";
    peak->name = "peak";
    peak->macs = parts * PEAK_PART_MACS * target_lanes(m->target);
    peak->program.module = peak_module(m->target, parts);
    return peak;
}

/* ---- both in turn ---- */

typedef struct Turns {
    Timed *model, *peak;
    double until, at_most; /* when to stop; with too few runs */
    VEC(double) runs;
    double best_peak; /* seconds */
} Turns;

static bool time_peak(Turns *t) {
    double seconds = time_run(t->peak);
    if (seconds > 0)
        t->best_peak = fmin(t->best_peak, seconds);
    return seconds >= 0;
}

/* At least one run, and as many as fit into some peaks' time: runs may be much shorter. */
static bool time_some_runs(Turns *t, Arena *a) {
    double end = clock_seconds() + 2e-3;
    do {
        double seconds = time_run(t->model);
        if (seconds < 0)
            return false;
        vec_push(a, &t->runs, seconds);
    } while (t->runs.len < BENCH_MAX_RUNS && clock_seconds() < end);
    return true;
}

static bool go_on(const Turns *t) {
    double time = clock_seconds();
    if (t->runs.len >= BENCH_MIN_RUNS && time >= t->until)
        return false;
    return t->runs.len < BENCH_MAX_RUNS && time < t->at_most;
}

static bool take_turns(Turns *t, double seconds, Arena *a) {
    double start = clock_seconds();
    t->until = start + seconds;
    t->at_most = start + BENCH_PATIENCE * seconds;
    t->best_peak = INFINITY;
    do {
        if (!time_some_runs(t, a) || !time_peak(t))
            return false;
    } while (go_on(t));
    return true;
}

/* Until caches and clocks are as they stay: a tenth of the time, and one run. */
static bool warm_up(Timed *model, Timed *peak, double seconds) {
    double end = clock_seconds() + seconds / 10;
    do {
        if (time_run(model) < 0 || time_run(peak) < 0)
            return false;
    } while (clock_seconds() < end);
    return true;
}

static bool measure(Timed *model, Timed *peak, double seconds, Bench *out, Arena *a) {
    Turns t = {.model = model, .peak = peak};
    if (!warm_up(model, peak, seconds) || !take_turns(&t, seconds, a))
        return false;
    out->runs = t.runs.len;
    out->run = bench_stats(t.runs.data, t.runs.len);
    out->peak = (double)peak->m->macs / t.best_peak;
    out->steps = model->steps;
    return true;
}

static bool measure_beside_peak(Timed *model, double seconds, Bench *out, Arena *a) {
    out->threads = native_threads(model->program);
    Timed peak = {.m = peak_model(model->m, (int64_t)out->threads * PARTS_PER_THREAD)};
    take_memory(&peak, NULL, a);
    bool ok = open_timed(&peak, model->program) && measure(model, &peak, seconds, out, a);
    if (peak.program)
        native_close(peak.program);
    effnetc_free(peak.m);
    return ok;
}

static bool trace_runs(const Timed *t) {
    bool ok = true;
    for (int i = 0; t->trace && ok && i < TRACE_RUNS; i++)
        ok = trace_run(t->trace, t->program, t->m, t->in, t->out);
    return ok;
}

bool bench_model(effnetc_model *m, Tensor *const *in, double seconds, bool steps, Bench *out,
                 Arena *a) {
    return bench_traced(m, in, seconds, steps, NULL, out, a);
}

bool bench_traced(effnetc_model *m, Tensor *const *in, double seconds, bool steps, Trace *trace,
                  Bench *out, Arena *a) {
    Timed model = {.m = m, .trace = trace};
    take_memory(&model, in, a);
    if (steps || trace)
        watch_steps(&model, a);
    bool ok = open_timed(&model, NULL) && measure_beside_peak(&model, seconds, out, a) &&
              trace_runs(&model);
    if (!steps)
        out->steps = NULL;
    if (model.program)
        native_close(model.program);
    return ok;
}
