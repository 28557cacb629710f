/* tune.c: measures the tiles of a model's kernels on this machine and keeps the choices.
 *
 * Problems are measured some at a time, those without a choice so far first: a module with a kernel
 * for each candidate is built and loaded, and the candidates run in turns. A kernel finds what it
 * would in a network that runs again and again: its weights behind the second cache, for they were
 * used before, but much else since; its input written just before, as by the op in front of it. The
 * least time counts. A candidate replaces the choice so far only if it is clearly faster, so that
 * noise doesn't change a file. */
#include "driver/driver.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_CANDIDATES = 8, GROUP = 10, MIN_ROUNDS = 5, MAX_ROUNDS = 40 };

static const double within = 1.3;   /* of the predicted best: what is tried */
static const double near_it = 1.06; /* of the best after the first half: what stays */
static const double clearly = 1.02; /* faster than the choice so far: what replaces it */
static const double least = 20e-6;  /* seconds: a kernel runs so often that a run takes that long */

typedef struct Candidate {
    Tile tile;
    double seconds; /* the least */
    bool out;       /* too slow to be measured on */
} Candidate;

/* The candidates of one problem; the first one is the choice so far. */
typedef struct Contest {
    const TileProblem *problem;
    int64_t work; /* multiply-accumulates */
    size_t order; /* among the problems as the model has them */
    bool known;   /* the choice so far is the book's */
    Candidate candidates[MAX_CANDIDATES];
    size_t n;
    int64_t runs;       /* of a measurement */
    size_t first_trial; /* of the group's */
} Contest;

typedef struct Tuner {
    effnetc_model *m;
    ScheduleBook *book;
    Arena arena;
    Contest *contests;
    size_t n, done, changed;
    double start, deadline;
    double build; /* seconds that the last group took to build */
    FILE *log;
    bool bar;
} Tuner;

/* ---- candidates ------------------------------------------------------------------------------ */

static bool same_tile(const Tile *a, const Tile *b) {
    return a->mr == b->mr && a->nv == b->nv && a->half == b->half;
}

static void set_candidates(Contest *c, const ScheduleBook *book, const Target *target) {
    Tile tiles[MAX_CANDIDATES], first;
    size_t n = tile_candidates(c->problem, target, within, tiles, MAX_CANDIDATES);
    c->known = schedule_book_find(book, c->problem, &first);
    if (!c->known)
        first = tiles[0];
    c->candidates[c->n++] = (Candidate){.tile = first};
    for (size_t i = 0; i < n && c->n < MAX_CANDIDATES; i++)
        if (!same_tile(&tiles[i], &first))
            c->candidates[c->n++] = (Candidate){.tile = tiles[i]};
}

/* What the book has no tile for, then what takes longest. */
static int urgent_first(const void *a, const void *b) {
    const Contest *x = a, *y = b;
    if (x->known != y->known)
        return x->known ? 1 : -1;
    if (x->work != y->work)
        return x->work > y->work ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static void set_contests(Tuner *t, const TileProblems *problems) {
    t->n = problems->items.len;
    t->contests = ARENA_ARRAY(&t->arena, t->n + 1, Contest);
    for (size_t i = 0; i < t->n; i++) {
        Contest *c = &t->contests[i];
        c->problem = problems->items.data[i];
        c->work = tile_macs(c->problem, t->m->target);
        c->order = i;
        set_candidates(c, t->book, t->m->target);
    }
    qsort(t->contests, t->n, sizeof *t->contests, urgent_first);
}

/* ---- a group of problems: one module --------------------------------------------------------- */

typedef struct Group {
    Tuner *t;
    Contest *contests;
    size_t n;
    TileTrial *trials;
    size_t ntrials;
    int64_t *counts; /* the module's input */
    effnetc_model *model;
    NativeProgram *program;
    float *other; /* what else uses the caches */
    size_t nother;
} Group;

static void set_trials(Group *g) {
    for (size_t i = 0; i < g->n; i++) {
        g->contests[i].first_trial = g->ntrials;
        g->ntrials += g->contests[i].n;
    }
    g->trials = ARENA_ARRAY(&g->t->arena, g->ntrials, TileTrial);
    g->counts = ARENA_ARRAY(&g->t->arena, g->ntrials, int64_t);
    for (size_t i = 0; i < g->n; i++)
        for (size_t k = 0; k < g->contests[i].n; k++)
            g->trials[g->contests[i].first_trial + k] = (TileTrial){
                .problem = g->contests[i].problem, .tile = g->contests[i].candidates[k].tile};
}

/* The passes behind `lower`. */
static bool finish_module(effnetc_model *m) {
    int n, first = pipeline_lower(m->options.opt_level) + 1;
    const char *const *names = pipeline(m->options.opt_level, &n);
    PassContext cx = {.target = m->target, .where = m->path, .diag = m->diag};
    return run_passes(&m->program, names + first, n - first, &cx, &(RunnerOptions){0});
}

/* Builds and loads the group's module. */
static bool open_group(Group *g) {
    const effnetc_model *of = g->t->m;
    effnetc_options options = of->options;
    options.threads = 1;
    options.schedule = NULL; /* trials have their own */
    options.tune = false;
    options.perf_map = false;
    effnetc_model *m = g->model = model_open(&options, of->diag);
    PassContext cx = {.target = of->target, .where = of->path, .diag = of->diag};
    m->path = of->path;
    m->name = "trials";
    m->target = of->target;
    set_trials(g);
    vec_push(&m->arena, &m->inputs, (effnetc_tensor){.name = "counts"});
    m->program.module = lower_trials(g->trials, g->ntrials, &cx);
    if (!finish_module(m))
        return false;
    seal_weights(m->program.module);
    g->program = native_open(m, &(NativeOptions){.backend = native_backend(&options)});
    return g->program != NULL;
}

static void close_group(Group *g) {
    if (g->program)
        native_close(g->program);
    effnetc_free(g->model);
}

/* Numbers of ordinary size everywhere. */
static void fill_arena(const Group *g) {
    size_t bytes;
    float *x = native_arena(g->program, &bytes);
    for (size_t i = 0; i < bytes / sizeof *x; i++)
        x[i] = (float)(i * 7919 % 1000) / 1000 - 0.45f;
}

/* ---- measurements ---------------------------------------------------------------------------- */

/* Writes to each cache line that the trial reads. */
static void touch_input(const Group *g, const TileTrial *trial) {
    enum { LINE = 64 / sizeof(float) };
    size_t bytes;
    float *x = native_arena(g->program, &bytes);
    x += (size_t)trial->input_at / sizeof *x;
    for (int64_t i = 0; i < trial->input_bytes / (int64_t)sizeof *x; i += LINE)
        x[i] = 0.5f;
}

/* Drives everything else out of the second cache. */
static void use_caches(Group *g) {
    enum { LINE = 64 / sizeof(float) };
    for (size_t i = 0; i < g->nother; i += LINE)
        g->other[i] += 1;
}

/* Seconds of one run. */
static double run_trial(Group *g, size_t trial, int64_t runs) {
    const void *const in[] = {g->counts};
    g->counts[trial] = runs;
    double start = clock_seconds();
    bool ok = native_run_again(g->program, g->model, in, NULL);
    double seconds = clock_seconds() - start;
    ensure(ok);
    g->counts[trial] = 0;
    return seconds / (double)runs;
}

static double run_as_in_network(Group *g, size_t trial, int64_t runs) {
    run_trial(g, trial, 1);
    use_caches(g);
    touch_input(g, &g->trials[trial]);
    return run_trial(g, trial, runs);
}

static void measure(Group *g, Contest *c, size_t k) {
    double seconds = run_as_in_network(g, c->first_trial + k, c->runs);
    Candidate *x = &c->candidates[k];
    if (x->seconds == 0 || seconds < x->seconds)
        x->seconds = seconds;
}

static void set_runs(Group *g) {
    for (size_t i = 0; i < g->n; i++) {
        Contest *c = &g->contests[i];
        run_trial(g, c->first_trial, 1);
        double seconds = run_trial(g, c->first_trial, 1);
        c->runs = seconds < least ? (int64_t)(least / (seconds + 1e-9)) + 1 : 1;
    }
}

/* Every candidate that is left once, of one problem after the other. */
static void measure_all(Group *g, size_t round) {
    for (size_t turn = 0; turn < MAX_CANDIDATES; turn++)
        for (size_t i = 0; i < g->n; i++) {
            Contest *c = &g->contests[i];
            size_t k = (turn + round) % MAX_CANDIDATES;
            if (k < c->n && !c->candidates[k].out)
                measure(g, c, k);
        }
}

static size_t fastest(const Contest *c) {
    size_t best = 0;
    for (size_t k = 1; k < c->n; k++)
        if (c->candidates[k].seconds < c->candidates[best].seconds)
            best = k;
    return best;
}

/* The choice so far stays in: the best one is compared with it. */
static void drop_slow(Contest *c) {
    double limit = c->candidates[fastest(c)].seconds * near_it;
    for (size_t k = 1; k < c->n; k++)
        c->candidates[k].out = c->candidates[k].seconds > limit;
}

static void measure_rounds(Group *g, double deadline) {
    for (size_t round = 0; round < MAX_ROUNDS && (round < MIN_ROUNDS || clock_seconds() < deadline);
         round++)
        measure_all(g, round);
}

static void measure_group(Group *g, double deadline) {
    fill_arena(g);
    g->nother = 2 * (size_t)g->t->m->target->l2_bytes / sizeof *g->other;
    g->other = ARENA_ARRAY(&g->t->arena, g->nother, float);
    set_runs(g);
    measure_rounds(g, clock_seconds() + (deadline - clock_seconds()) / 2);
    for (size_t i = 0; i < g->n; i++)
        drop_slow(&g->contests[i]);
    measure_rounds(g, deadline);
}

/* ---- choices --------------------------------------------------------------------------------- */

static const char *comment(Tuner *t, const Contest *c, const Candidate *winner) {
    const Candidate *first = &c->candidates[0];
    Buf b = {0};
    buf_printf(&b, "%.1f %% faster than ", (first->seconds / winner->seconds - 1) * 100);
    tile_print(&b, c->problem, &first->tile);
    const char *text = arena_strdup(&t->arena, b.data);
    buf_free(&b);
    return text;
}

static void keep_choice(Tuner *t, const Contest *c) {
    const Candidate *first = &c->candidates[0], *winner = &c->candidates[fastest(c)];
    if (first->seconds > winner->seconds * clearly) {
        schedule_book_set(t->book, c->problem, &winner->tile, comment(t, c, winner));
        t->changed++;
    } else if (!c->known) {
        schedule_book_set(t->book, c->problem, &first->tile, NULL);
    }
}

static void show_progress(const Tuner *t) {
    enum { WIDTH = 30 };
    char bar[WIDTH + 1] = "";
    size_t full = t->n ? t->done * WIDTH / t->n : WIDTH;
    memset(bar, '.', WIDTH);
    memset(bar, '#', full);
    if (t->bar)
        fprintf(t->log, "\rtuning [%s] %zu of %zu kernels, %.0f s ", bar, t->done, t->n,
                clock_seconds() - t->start);
    fflush(t->log);
}

static void show_result(const Tuner *t) {
    fprintf(t->log, "%stuned %zu of %zu kernels in %.0f s: %zu tile%s changed\n",
            t->bar ? "\r\033[K" : "", t->done, t->n, clock_seconds() - t->start, t->changed,
            t->changed == 1 ? "" : "s");
    fflush(t->log);
}

/* Measures the next n problems; they get an equal share of the time that is left. */
static bool tune_group(Tuner *t, size_t n) {
    double left = t->deadline - clock_seconds(),
           share = left * (double)n / (double)(t->n - t->done);
    Group g = {.t = t, .contests = t->contests + t->done, .n = n};
    double start = clock_seconds(), deadline = start + share;
    bool ok = open_group(&g);
    t->build = clock_seconds() - start;
    if (ok)
        measure_group(&g, deadline);
    for (size_t i = 0; ok && i < n; i++)
        keep_choice(t, &g.contests[i]);
    t->done += ok ? n : 0;
    close_group(&g);
    return ok;
}

static bool check_target(const effnetc_model *m) {
    if (target_runs_here(m->target))
        return true;
    diag_error(m->diag, EXIT_UNSUPPORTED, "effnetc",
               "--tune measures on this machine, which can't run code for %s", m->target->name);
    diag_note(m->diag, "help", "this machine is %s", target_native()->name);
    return false;
}

bool tune(effnetc_model *m, const TileProblems *problems, ScheduleBook *book) {
    Tuner t = {.m = m, .book = book, .log = m->options.log ? m->options.log : stderr};
    bool ok = check_target(m);
    t.start = clock_seconds();
    t.deadline = t.start + m->options.tune_seconds;
    t.bar = isatty(fileno(t.log));
    if (ok)
        set_contests(&t, problems);
    while (ok && t.done < t.n && (t.done == 0 || clock_seconds() + t.build < t.deadline)) {
        show_progress(&t);
        ok = tune_group(&t, t.n - t.done < GROUP ? t.n - t.done : GROUP);
    }
    if (ok)
        show_result(&t);
    arena_free(&t.arena);
    return ok;
}
