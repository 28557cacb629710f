/* scale_search.c: compound scaling under budgets (Tan & Le 2019, section 3.3): the largest phi for
 * each alpha, beta and gamma. To know what a network costs it must be compiled, so as few as
 * possible are tried. */
#include "driver/scale.h"

#include <math.h>
#include <stdlib.h>

enum { MIN_PHI = -12, MAX_PHI = 12, PHI_STEPS = 32 }; /* trials to each 1 of phi */
enum { RESOLUTION_STEP = 4, WIDTH_STEPS = 128 };      /* in pixels; to each 1 of a factor */

/* No network of the family that anybody published is larger than L2, and none that is takes part.
 */
#define MAX_MACS       476e9
#define MAX_PARAMETERS 481e6
/* Parameters of networks that are compiled before the rest of the grid is left out, and before the
 * costs of networks are that are not chosen and that no budget asks for. Some 20 seconds, and 10.
 */
#define MAX_WORK 1200000000
#define MAX_MORE 400000000

/* ---- trials ---------------------------------------------------------------------------------- */

static double share_of(double x, double budget) {
    return budget > 0 ? x / budget : 0;
}

/* The largest share of what all networks may have. */
static double limits_share(const Candidate *c) {
    const Scaling *by = &c->net.by;
    return fmax(fmax(by->width, by->depth) / MEMBER_MAX_FACTOR,
                (double)by->resolution / MEMBER_MAX_SIDE);
}

/* The largest share of a budget that c takes. */
static double budget_share(const Scale *s, const Candidate *c) {
    const Budget *b = &s->budget;
    double memory =
        fmax(share_of((double)c->arena, b->arena), share_of((double)c->flash, b->flash));
    return fmax(memory,
                fmax(share_of((double)c->size.macs, b->macs), share_of(candidate_ms(s, c), b->ms)));
}

static bool only_macs(const Budget *b) {
    return b->ms <= 0 && b->arena <= 0 && b->flash <= 0;
}

/* Computes c's costs as far as the budget asks for them. The largest share that it takes of a
 * budget or limit: over 1 where it is too large, which may be the first of them that is found. */
static double try_network(Scale *s, Candidate *c) {
    const Budget *b = &s->budget;
    c->arena = 0;
    c->flash = -1;
    c->cycles = c->measured = 0;
    double share = limits_share(c);
    if (share > 1)
        return share;
    if (!member_fits(&c->net))
        return INFINITY;
    c->size = member_size(&c->net);
    share = fmax(
        share, fmax((double)c->size.macs / MAX_MACS, (double)c->size.parameters / MAX_PARAMETERS));
    share = fmax(share, share_of((double)c->size.macs, b->macs));
    if (share > 1 || only_macs(b))
        return share;
    if (!candidate_cost(s, c, b->flash > 0))
        return INFINITY;
    return fmax(share, budget_share(s, c));
}

/* Makes c the network for a step, and tries it. */
typedef double Try(Scale *s, Candidate *c, int step);

static double try_phi(Scale *s, Candidate *c, int step) {
    c->by.phi = (double)step / PHI_STEPS;
    c->net = s->base;
    c->net.by = scaling_compound(&s->base.by, &c->by);
    if (c->net.by.resolution < MEMBER_MIN_SIDE)
        c->net.by.resolution = MEMBER_MIN_SIDE;
    return try_network(s, c);
}

static double try_resolution(Scale *s, Candidate *c, int step) {
    c->net.by.resolution = (int64_t)step * RESOLUTION_STEP;
    return try_network(s, c);
}

/* Wider than phi makes it. */
static double try_width(Scale *s, Candidate *c, int step) {
    c->net.by.width =
        scaling_compound(&s->base.by, &c->by).width * (1 + (double)step / WIDTH_STEPS);
    return try_network(s, c);
}

/* ---- one alpha, beta, gamma ------------------------------------------------------------------ */

static double clamp(double x, double low, double high) {
    return fmin(fmax(x, low), high);
}

/* The largest step between low and high, both excluded, that is within the budgets, where costs
 * grow about as 2^(step / doubling). c becomes its network. False where none is. It begins at `at`,
 * goes to where the budgets should be used up, at least twice as far each time until they are, then
 * between those that are and those that aren't. */
static bool largest(Scale *s, Candidate *c, Try *try, int low, int high, int at, double doubling) {
    double low_log = NAN, high_log = NAN; /* of shares; NaN: not tried */
    double least = 1;
    bool any = false;
    for (int trial = 1; high - low > 1 && !s->diag->errors; trial++) {
        Candidate next = *c;
        at = (int)clamp(at, low + 1, high - 1);
        double x = log2(try(s, &next, at)), to = at - doubling * x;
        if (x <= 0) {
            any = true;
            *c = next;
            low = at;
            low_log = x;
            to = fmax(to, at + least);
        } else {
            high = at;
            high_log = x;
            to = fmin(to, at - least);
        }
        least *= 2;
        if (!isnan(low_log) && !isnan(high_log)) /* by chance, half way: steps may be uneven */
            to = trial % 3 && isfinite(high_log)
                     ? low - (high - low) * low_log / (high_log - low_log)
                     : (low + high) / 2;
        at = (int)floor(clamp(to, low + 1, high - 1));
    }
    return any && !s->diag->errors;
}

static bool largest_phi(Scale *s, Candidate *c, int start) {
    const Compound *by = &c->by;
    double growth = log2(by->alpha * by->beta * by->beta * by->gamma * by->gamma);
    return largest(s, c, try_phi, MIN_PHI * PHI_STEPS - 1, MAX_PHI * PHI_STEPS + 1, start,
                   PHI_STEPS / growth);
}

/* Repeats are whole numbers: where the next phi has blocks too many, what is left of the budget
 * goes into the resolution, which is at most that of a phi larger by 1.5. Planes grow by whole
 * pixels too, and the last ones are small: what is left then goes into the width. */
static void fill_up(Scale *s, Candidate *c) {
    const double fill = 1.5, per_doubling = 0.35; /* a doubling is of the square */
    const double used_up = 0.95, wider = 0.25;
    double now = (double)c->net.by.resolution / RESOLUTION_STEP;
    largest(s, c, try_resolution, (int)now - 1, (int)(now * pow(c->by.gamma, fill)) + 1, (int)now,
            per_doubling * now);
    if (budget_share(s, c) < used_up)
        largest(s, c, try_width, -1, (int)(wider * WIDTH_STEPS) + 1, 0, per_doubling * WIDTH_STEPS);
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* How far c's factors are from the paper's, as exponents of 2. */
static double from_paper(const Compound *c) {
    double a = log2(c->alpha / PAPER_ALPHA), b = 2 * log2(c->beta / PAPER_BETA),
           g = 2 * log2(c->gamma / PAPER_GAMMA);
    return a * a + b * b + g * g;
}

static int by_distance(const void *a, const void *b) {
    double x = from_paper(a), y = from_paper(b);
    return (x > y) - (x < y);
}

const Compound *scale_grid(size_t *n, Arena *a) {
    static const double alphas[] = {1.1, 1.2, 1.3, 1.4}, betas[] = {1.05, 1.1, 1.15, 1.2};
    enum { NALPHAS = sizeof alphas / sizeof *alphas, NBETAS = sizeof betas / sizeof *betas };
    const double least_gamma = 1.05;
    Compound *all = ARENA_ARRAY(a, NALPHAS * NBETAS, Compound);
    *n = 0;
    for (int i = 0; i < NALPHAS; i++)
        for (int k = 0; k < NBETAS; k++) {
            Compound c = {0, alphas[i], betas[k], sqrt(2 / alphas[i]) / betas[k]};
            if (c.alpha == PAPER_ALPHA && c.beta == PAPER_BETA)
                c.gamma = PAPER_GAMMA;
            c.gamma = round(100 * c.gamma) / 100;
            if (c.gamma >= least_gamma)
                all[(*n)++] = c;
        }
    qsort(all, *n, sizeof *all, by_distance);
    return all;
}

static size_t choose(const Candidates *all) {
    const double about = 0.97;
    int64_t most = 0;
    size_t best = 0;
    bool any = false;
    for (size_t i = 0; i < all->items.len; i++)
        most = all->items.data[i].size.macs > most ? all->items.data[i].size.macs : most;
    for (size_t i = 0; i < all->items.len; i++) {
        const Candidate *c = &all->items.data[i];
        if ((double)c->size.macs < about * (double)most)
            continue;
        if (!any || from_paper(&c->by) < from_paper(&all->items.data[best].by))
            best = i;
        any = true;
    }
    return best;
}

static void note_excess(Diag *d, const char *what, double least, double budget, const char *unit) {
    if (budget > 0 && least > budget)
        diag_note(d, what, "at least %.4g %s, the budget is %.4g %s", least, unit, budget, unit);
}

static void too_small(Scale *s, const Compound *by) {
    Candidate c = {.by = *by};
    try_phi(s, &c, MIN_PHI * PHI_STEPS);
    bool sane = (double)c.size.parameters <= MAX_PARAMETERS;
    if (s->diag->errors || (sane && !candidate_cost(s, &c, true)))
        return;
    diag_error(s->diag, EXIT_BUDGET, "effnetc", "no network of the family is so small");
    note_excess(s->diag, "MACs", 1e-6 * (double)c.size.macs, 1e-6 * s->budget.macs, "M");
    if (!sane)
        diag_note(s->diag, "parameters", "at least %.4g M, at most %.4g M are tried",
                  1e-6 * (double)c.size.parameters, 1e-6 * MAX_PARAMETERS);
    note_excess(s->diag, "time", candidate_ms(s, &c), s->budget.ms, "ms");
    note_excess(s->diag, "arena", 1e-3 * (double)c.arena, 1e-3 * s->budget.arena, "kB");
    note_excess(s->diag, "flash", 1e-3 * (double)c.flash, 1e-3 * s->budget.flash, "kB");
    diag_note(s->diag, "help", "fewer --classes need less flash; --base=lite0 less of all");
}

/* Their costs as far as they aren't known; of the chosen one in any case. */
static void compute_costs(Scale *s, Candidates *all) {
    candidate_cost(s, &all->items.data[all->chosen], true);
    for (size_t i = 0; i < all->items.len && !s->diag->errors; i++)
        if (!only_macs(&s->budget) || s->work <= MAX_MORE)
            candidate_cost(s, &all->items.data[i], true);
}

static void warn_of_limits(const Scale *s, const Candidates *all, size_t tried, size_t n) {
    const double used_up = 0.8;
    if (tried < n) {
        diag_warning(s->diag, "effnetc", "of %zu alpha, beta and gamma only %zu were tried", n,
                     tried);
        diag_note(s->diag, "reason", "to compile networks as large takes long");
    }
    if (budget_share(s, &all->items.data[all->chosen]) > used_up)
        return;
    diag_warning(s->diag, "effnetc", "the budget allows more than any network that is tried");
    diag_note(s->diag, "reason", "they have at most %.0f GMACs, %.0f M parameters, as L2 has",
              1e-9 * MAX_MACS, 1e-6 * MAX_PARAMETERS);
}

bool scale_search(Scale *s, const Compound *by, size_t n, Candidates *out) {
    int start = 0;
    size_t i;
    Progress bar = progress_start(n + 1);
    *out = (Candidates){.chosen = 0};
    s->work = 0;
    for (i = 0; i < n && !s->diag->errors && s->work <= MAX_WORK; i++) {
        Candidate c = {.by = by[i], .flash = -1};
        progress_show(&bar, i,
                      arena_printf(s->arena, "alpha %.4g, beta %.4g, gamma %.4g", by[i].alpha,
                                   by[i].beta, by[i].gamma));
        if (!largest_phi(s, &c, start))
            continue;
        start = (int)(c.by.phi * PHI_STEPS);
        fill_up(s, &c);
        vec_push(s->arena, &out->items, c);
    }
    progress_show(&bar, n, "costs");
    if (!s->diag->errors && !out->items.len)
        too_small(s, &by[0]);
    if (!s->diag->errors) {
        out->chosen = choose(out);
        compute_costs(s, out);
    }
    progress_clear(&bar);
    if (!s->diag->errors)
        warn_of_limits(s, out, i, n);
    return s->diag->errors == 0;
}
