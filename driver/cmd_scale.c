/* cmd_scale.c: effnetc scale: the largest network that a budget allows. */
#include "driver/scale.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

typedef struct ScaleCommand {
    CommonOptions common;
    effnetc_options compiler;
    const char *base, *macs, *arena, *flash, *output, *figure;
    double ms, clock, alpha, beta, gamma; /* NaN: not given */
    int classes, seed;
    bool measure, json;
} ScaleCommand;

static const Option rows[] = {
    {"budget-macs", 0, OPT_TEXT, offsetof(ScaleCommand, macs), "N",
     "multiply-accumulates of an inference: 2G, 400M", 0, 0},
    {"budget-ms", 0, OPT_REAL, offsetof(ScaleCommand, ms), "MS",
     "milliseconds of an inference, on one thread", 0, 0},
    {"budget-arena", 0, OPT_TEXT, offsetof(ScaleCommand, arena), "BYTES",
     "bytes of the arena: 2M, 512Ki", 0, 0},
    {"budget-flash", 0, OPT_TEXT, offsetof(ScaleCommand, flash), "BYTES", "bytes of the weights", 0,
     0},
    {"base", 0, OPT_TEXT, offsetof(ScaleCommand, base), "MEMBER",
     "the network that is scaled (default: b0)", 0, 0},
    {"alpha", 0, OPT_REAL, offsetof(ScaleCommand, alpha), "A",
     "of depth; with --beta and --gamma: these alone (default: a grid)", 0, 0},
    {"beta", 0, OPT_REAL, offsetof(ScaleCommand, beta), "B", "of width", 0, 0},
    {"gamma", 0, OPT_REAL, offsetof(ScaleCommand, gamma), "G", "of the resolution", 0, 0},
    {"measure", 0, OPT_FLAG, offsetof(ScaleCommand, measure), NULL,
     "measure what is chosen, and correct the prediction until it holds", 0, 0},
    {"clock", 0, OPT_REAL, offsetof(ScaleCommand, clock), "GHZ",
     "predicted cycles of a nanosecond, in place of measuring the base network here", 0, 0},
    {"classes", 0, OPT_INT, offsetof(ScaleCommand, classes), "N", "outputs (default: 1000)", 1,
     1000000},
    {"seed", 0, OPT_INT, offsetof(ScaleCommand, seed), "N", "of the weights (default: 1)", 0,
     INT32_MAX},
    {"output", 'o', OPT_TEXT, offsetof(ScaleCommand, output), "FILE.onnx",
     "write the network that is chosen", 0, 0},
    {"figure", 0, OPT_TEXT, offsetof(ScaleCommand, figure), "FILE.svg",
     "draw what scaling width, depth, resolution or all of them costs", 0, 0},
    {"json", 0, OPT_FLAG, offsetof(ScaleCommand, json), NULL, "print JSON", 0, 0},
    {"target", 0, OPT_TEXT, offsetof(ScaleCommand, compiler.target), "NAME",
     "a row of `effnetc targets` (default: native)", 0, 0},
    {"cc", 0, OPT_TEXT, offsetof(ScaleCommand, compiler.cc), "COMMAND",
     "C compiler, for measuring (default: $CC, else cc)", 0, 0},
};
static const OptionGroup own = OPTION_GROUP(rows);

/* ---- options ---- */

/* 0 where text is NULL. */
static bool read_amount(const char *option, const char *text, double *out, Diag *d) {
    *out = 0;
    if (!text || (parse_amount(text, out) && *out > 0 && isfinite(*out)))
        return true;
    diag_error(d, EXIT_USAGE, "effnetc", "%s takes a number such as 2M or 512Ki, not \"%s\"",
               option, text);
    return false;
}

static bool given(double x) {
    return !isnan(x);
}

static bool read_budget(const ScaleCommand *o, Budget *b, Context *cx) {
    Diag *d = &cx->diag;
    bool ok = read_amount("--budget-macs", o->macs, &b->macs, d);
    ok &= read_amount("--budget-arena", o->arena, &b->arena, d);
    ok &= read_amount("--budget-flash", o->flash, &b->flash, d);
    ok &= !given(o->ms) || check_between("--budget-ms", o->ms, 1e-3, 1e6, d);
    b->ms = given(o->ms) ? o->ms : 0;
    if (!ok || o->macs || given(o->ms) || o->arena || o->flash)
        return ok;
    diag_error(d, EXIT_USAGE, "effnetc", "scale needs a budget");
    diag_note(d, "help", "--budget-macs, --budget-ms, --budget-arena or --budget-flash");
    return false;
}

static bool check_factors(const ScaleCommand *o, Diag *d) {
    int count = given(o->alpha) + given(o->beta) + given(o->gamma);
    bool ok = count == 0 || count == 3;
    if (!ok)
        diag_error(d, EXIT_USAGE, "effnetc", "--alpha, --beta and --gamma go together");
    ok &= !given(o->alpha) || check_between("--alpha", o->alpha, 1, 2, d);
    ok &= !given(o->beta) || check_between("--beta", o->beta, 1, 2, d);
    ok &= !given(o->gamma) || check_between("--gamma", o->gamma, 1, 2, d);
    if (ok && count && o->alpha * o->beta * o->gamma <= 1) {
        diag_error(d, EXIT_USAGE, "effnetc", "with --alpha, --beta and --gamma of 1 nothing grows");
        ok = false;
    }
    return ok;
}

static bool check_file(const char *option, const char *path, Diag *d) {
    if (!path || strcmp(path, "-") != 0)
        return true;
    diag_error(d, EXIT_USAGE, "effnetc", "%s needs a file: standard output has the table", option);
    return false;
}

static bool read_options(const ScaleCommand *o, Scale *s, Context *cx) {
    Diag *d = &cx->diag;
    const Member *m = find_member(o->base ? o->base : "b0", d);
    const Target *t = find_target(o->compiler.target, d);
    bool ok = read_budget(o, &s->budget, cx);
    ok &= check_factors(o, d);
    ok &= check_file("--output", o->output, d);
    ok &= check_file("--figure", o->figure, d);
    ok &= !given(o->clock) || check_between("--clock", o->clock, 0.001, 100, d);
    if (t && o->measure && !target_runs_here(t)) {
        diag_error(d, EXIT_USAGE, "effnetc", "--measure: this machine doesn't run %s", t->name);
        ok = false;
    } else if (t && given(o->ms) && !given(o->clock) && !target_runs_here(t)) {
        diag_error(d, EXIT_USAGE, "effnetc", "--budget-ms: this machine doesn't run %s", t->name);
        diag_note(d, "help", "--clock says how many predicted cycles a nanosecond has");
        ok = false;
    }
    if (!ok || !m || !t)
        return false;
    s->base = (MemberSpec){.name = c_identifier(&cx->arena, m->id),
                           .family = m->family,
                           .by = m->scaling,
                           .classes = o->classes,
                           .batch = 1,
                           .seed = o->seed};
    return member_valid(&s->base, d);
}

/* ---- tables ---- */

static void print_header(void) {
    printf("%6s %5s %5s %5s %6s %6s %10s %11s %13s %11s %11s %9s %9s\n", "phi", "alpha", "beta",
           "gamma", "width", "depth", "resolution", "parameters", "MACs", "arena", "flash", "ms",
           "measured");
}

static void print_ms(double ms) {
    if (ms > 0)
        printf(" %9.4g", ms);
    else
        printf(" %9s", "-");
}

static void print_bytes(int64_t bytes) {
    if (bytes > 0)
        printf(" %11lld", (long long)bytes);
    else
        printf(" %11s", "-");
}

static void print_candidate(const Scale *s, const Candidate *c) {
    printf("%6.2f %5.2f %5.2f %5.2f %6.3f %6.3f %10lld %11lld %13lld", c->by.phi, c->by.alpha,
           c->by.beta, c->by.gamma, c->net.by.width, c->net.by.depth,
           (long long)c->net.by.resolution, (long long)c->size.parameters, (long long)c->size.macs);
    print_bytes(c->arena);
    print_bytes(c->flash);
    print_ms(predicted_ms(s, c));
    print_ms(c->measured);
}

static void print_candidates(const Scale *s, const Candidates *all) {
    print_header();
    for (size_t i = 0; i < all->items.len; i++) {
        print_candidate(s, &all->items.data[i]);
        puts(i == all->chosen ? "  chosen" : "");
    }
}

/* ---- JSON ---- */

static json_t *json_known(double x) {
    return x > 0 ? json_real(x) : json_null();
}

static json_t *json_bytes(int64_t n) {
    return n > 0 ? json_integer((json_int_t)n) : json_null();
}

static json_t *json_candidate(const Scale *s, const Candidate *c, bool chosen) {
    json_t *j =
        json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:I}", "phi", c->by.phi, "alpha", c->by.alpha,
                  "beta", c->by.beta, "gamma", c->by.gamma, "width", c->net.by.width, "depth",
                  c->net.by.depth, "resolution", (json_int_t)c->net.by.resolution);
    json_t *costs = json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:b}", "parameters",
                              (json_int_t)c->size.parameters, "macs", (json_int_t)c->size.macs,
                              "arena_bytes", json_bytes(c->arena), "flash_bytes",
                              json_bytes(c->flash), "predicted_ms", json_known(predicted_ms(s, c)),
                              "measured_ms", json_known(c->measured), "chosen", (int)chosen);
    ensure(j && costs);
    json_object_update(j, costs);
    json_decref(costs);
    return j;
}

static void print_json(const Scale *s, const Candidates *all) {
    json_t *list = json_array();
    for (size_t i = 0; i < all->items.len; i++)
        json_array_append_new(list, json_candidate(s, &all->items.data[i], i == all->chosen));
    json_t *root = json_pack("{s:s, s:s, s:o}", "base", s->base.name, "target",
                             find_target(s->compiler->target, s->diag)->name, "candidates", list);
    ensure(root);
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

/* ---- the search ---- */

static bool measure(Scale *s, Candidate *c) {
    double peak;
    if (!scale_measure(s, c, &peak))
        return false;
    fprintf(
        stderr,
        "measured: width %.4g, depth %.4g, resolution %lld: %.4g ms, %.3g %% of the peak of %.4g "
        "GMAC/s\n",
        c->net.by.width, c->net.by.depth, (long long)c->net.by.resolution, c->measured,
        1e5 * (double)c->size.macs / (c->measured * peak), 1e-9 * peak);
    return true;
}

/* How many predicted cycles a millisecond has: the base network tells what should take the budget,
 * and that how many it is for networks of that size, which keep a core more or less busy. */
static bool learn_speed(const ScaleCommand *o, Scale *s, const Compound *by) {
    const double long_run = 1000; /* ms: larger networks don't differ, and take minutes */
    Candidate base = {.net = s->base};
    Candidates near;
    if (given(o->clock))
        s->cycles_per_ms = 1e6 * o->clock;
    if (given(o->clock) || !(s->budget.ms > 0 || o->measure))
        return true;
    if (!measure(s, &base))
        return false;
    scale_learn(s);
    if (s->budget.ms <= 0 || s->budget.ms > long_run)
        return true;
    if (!scale_search(s, by, 1, &near))
        return false;
    Candidate *c = &near.items.data[near.chosen]; /* which may be the base network */
    if (c->measured <= 0 && !measure(s, c))
        return false;
    scale_learn(s);
    return true;
}

/* Near enough to the budget of time, if there is one. */
static bool holds(const Scale *s, const Candidate *c) {
    double budget = s->budget.ms;
    return budget <= 0 || (c->measured >= 0.95 * budget && c->measured <= 1.02 * budget);
}

/* Measured, the chosen network may take another time than predicted: then it is searched for again,
 * with what is known by then, until the choice is one that was measured. */
static bool search(const ScaleCommand *o, Scale *s, const Compound *by, size_t n, Candidates *all) {
    enum { ROUNDS = 8 };
    for (int round = 0; round < ROUNDS; round++) {
        if (!scale_search(s, by, n, all))
            return false;
        Candidate *c = &all->items.data[all->chosen];
        if (!o->measure || c->measured > 0)
            break;
        if (!measure(s, c))
            return false;
        if (holds(s, c))
            break;
        scale_learn(s);
    }
    if (o->json)
        print_json(s, all);
    else
        print_candidates(s, all);
    return true;
}

static bool write_figure(const ScaleCommand *o, Scale *s, const Compound *by) {
    Buf svg = {0};
    Outputs out = {0};
    bool ok = scale_figure(s, by, &svg);
    outputs_add(&out, o->figure, buf_str(&svg), svg.len);
    ok = ok && outputs_commit(&out, s->diag);
    outputs_free(&out);
    buf_free(&svg);
    return ok;
}

static void run(Context *cx, const void *options) {
    const ScaleCommand *o = options;
    Scale s = {.compiler = &o->compiler, .arena = &cx->arena, .diag = &cx->diag};
    Candidates all;
    size_t n = 1;
    if (!read_options(o, &s, cx))
        return;
    const Compound one = {0, o->alpha, o->beta, o->gamma};
    const Compound *by = given(o->alpha) ? &one : scale_grid(&n, &cx->arena);
    if (!learn_speed(o, &s, by) || !search(o, &s, by, n, &all))
        return;
    Candidate *chosen = &all.items.data[all.chosen];
    bool ok = !o->figure || write_figure(o, &s, &chosen->by);
    chosen->net.name = arena_printf(&cx->arena, "%s_scaled", s.base.name);
    if (ok && o->output)
        member_write(&chosen->net, WEIGHTS_MEASURED, o->output, &(OnnxWriteOptions){0}, &cx->diag);
}

static void defaults(void *options) {
    ScaleCommand *o = options;
    o->compiler = effnetc_default_options();
    o->ms = o->clock = o->alpha = o->beta = o->gamma = NAN;
    o->classes = 1000;
    o->seed = 1;
}

const Command command_scale = {
    .name = "scale",
    .args = "",
    .summary = "find the largest network of the family that a budget allows",
    .about =
        "Compound scaling (Tan & Le 2019): depth grows by alpha^phi, width by beta^phi, the\n"
        "resolution by gamma^phi. For each alpha, beta and gamma of a grid with\n"
        "alpha beta^2 gamma^2 near 2 it finds the largest phi within all budgets, and as\n"
        "repeats are whole numbers, puts what is left into the resolution, then the width. The\n"
        "network with the most MACs is chosen; among those within 3 % of it, the one nearest\n"
        "to the paper's 1.2, 1.1, 1.15. Arena and flash are what the compiler needs; times are\n"
        "predicted, from those of the base network and of one that should take the budget,\n"
        "which are measured here.",
    .groups = {{&own, 0}},
    .size = sizeof(ScaleCommand),
    .defaults = defaults,
    .max_args = 0,
    .run = run,
};
