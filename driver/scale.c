/* scale.c: compound scaling under budgets (Tan & Le 2019, section 3.3), by the compiler's own
 * figures: the arena that it plans, the weights that it packs, the cycles that its cost model
 * predicts. */
#include "driver/scale.h"

#include <math.h>
#include <string.h>

enum { MIN_PHI = -12, MAX_PHI = 10, MIN_RESOLUTION = 32 };
#define PHI_STEP (1.0 / 32)

/* ---- costs ----------------------------------------------------------------------------------- */

static effnetc_model *open_network(const Scale *s, const MemberSpec *net) {
    effnetc_model *m = model_open(s->compiler, s->diag);
    model_adopt(m, member_graph(net, WEIGHTS_RANDOM));
    return m;
}

static bool compile_cost(const Scale *s, Candidate *c, bool flash) {
    effnetc_model *m = open_network(s, &c->net);
    bool ok = flash ? effnetc_compile(m) : model_prepare(m);
    if (ok) {
        PassContext cx = pass_context(m);
        c->cycles = graph_cycles(m->program.graph, &cx);
        c->arena = plan_arena(m->program.graph);
        c->flash = flash ? m->program.module->weights_bytes : -1;
    }
    effnetc_free(m);
    return ok;
}

static bool same_scaling(const Scaling *a, const Scaling *b) {
    return a->width == b->width && a->depth == b->depth && a->resolution == b->resolution;
}

static Candidate *find_known(Scale *s, const Scaling *by) {
    for (size_t i = 0; i < s->known.len; i++)
        if (same_scaling(&s->known.data[i].net.by, by))
            return &s->known.data[i];
    return NULL;
}

bool candidate_cost(Scale *s, Candidate *c, bool flash) {
    Candidate *known = find_known(s, &c->net.by);
    Compound by = c->by;
    if (!known || (flash && known->flash < 0)) {
        c->measured = known ? known->measured : 0;
        c->size = member_size(&c->net);
        if (!compile_cost(s, c, flash))
            return false;
        if (known)
            *known = *c;
        else
            vec_push(s->arena, &s->known, *c);
        return true;
    }
    *c = *known;
    c->by = by;
    return true;
}

double predicted_ms(const Scale *s, const Candidate *c) {
    return s->cycles_per_ms > 0 ? c->cycles / s->cycles_per_ms : 0;
}

double candidate_ms(const Scale *s, const Candidate *c) {
    return c->measured > 0 ? c->measured : predicted_ms(s, c);
}

/* ---- measuring ------------------------------------------------------------------------------- */

/* On a busy machine no run of a large network is undisturbed, but each of its steps is at times. */
static double undisturbed(const Bench *b, size_t steps) {
    double sum = 0;
    for (size_t i = 0; i < steps; i++)
        sum += b->steps[i];
    return fmin(b->run.min, 1.05 * sum);
}

bool scale_measure(Scale *s, Candidate *c, double *peak) {
    enum { SECONDS = 2 };
    Arena a = {0};
    Bench b = {0};
    if (!candidate_cost(s, c, false))
        return false;
    effnetc_model *m = open_network(s, &c->net);
    Tensor **in = ARENA_ARRAY(&a, m->inputs.len + 1, Tensor *);
    inputs_random(m, 1, in, &a);
    bool ok = effnetc_compile(m) && bench_model(m, in, SECONDS, true, &b, &a);
    if (ok)
        c->measured = 1e3 * undisturbed(&b, m->program.module->steps.len);
    find_known(s, &c->net.by)->measured = c->measured;
    *peak = b.peak;
    effnetc_free(m);
    arena_free(&a);
    return ok;
}

void scale_learn(Scale *s) {
    double sum = 0, base = 0;
    int count = 0;
    for (size_t i = 0; i < s->known.len; i++) {
        const Candidate *c = &s->known.data[i];
        if (c->measured <= 0)
            continue;
        if (same_scaling(&c->net.by, &s->base.by)) {
            base = c->cycles / c->measured;
            continue;
        }
        sum += c->cycles / c->measured;
        count++;
    }
    s->cycles_per_ms = count ? sum / count : base;
}

/* ---- one alpha, beta, gamma ------------------------------------------------------------------ */

static bool within(double x, double budget) {
    return budget <= 0 || x <= budget;
}

static bool only_macs(const Budget *b) {
    return b->ms <= 0 && b->arena <= 0 && b->flash <= 0;
}

/* Computes c's costs as far as the budget asks for them. Whether it is within. */
static bool try_network(Scale *s, Candidate *c) {
    const Budget *b = &s->budget;
    c->cycles = c->measured = 0;
    if (!member_fits(&c->net))
        return false;
    c->size = member_size(&c->net);
    if (!within((double)c->size.macs, b->macs) || c->size.parameters > MEMBER_MAX_PARAMETERS)
        return false;
    if (only_macs(b))
        return true;
    return candidate_cost(s, c, b->flash > 0) && within(candidate_ms(s, c), b->ms) &&
           within((double)c->arena, b->arena) && within((double)c->flash, b->flash);
}

/* Makes c the network for phi. Whether that is within the budget. */
static bool try_phi(Scale *s, Candidate *c, double phi) {
    c->by.phi = phi;
    c->net = s->base;
    c->net.by = scaling_compound(&s->base.by, &c->by);
    if (c->net.by.resolution < MIN_RESOLUTION)
        c->net.by.resolution = MIN_RESOLUTION;
    return try_network(s, c);
}

/* Keeps the candidate if it is within the budget. */
static bool take_phi(Scale *s, Candidate *c, double phi) {
    Candidate next = *c;
    bool fits = try_phi(s, &next, phi);
    if (fits)
        *c = next;
    return fits;
}

/* The largest phi, in steps of PHI_STEP from `start` on; false where even MIN_PHI is too much. */
static bool largest_phi(Scale *s, Candidate *c, int start) {
    int whole = start;
    if (take_phi(s, c, whole)) {
        while (whole < MAX_PHI && take_phi(s, c, whole + 1))
            whole++;
    } else {
        do
            whole--;
        while (whole >= MIN_PHI && !s->diag->errors && !take_phi(s, c, whole));
        if (whole < MIN_PHI)
            return false;
    }
    for (double step = 0.5; step >= PHI_STEP && c->by.phi < MAX_PHI; step /= 2)
        take_phi(s, c, c->by.phi + step);
    return s->diag->errors == 0;
}

/* Repeats are whole numbers: where the next phi has blocks too many, what is left of the budget
 * goes into the resolution, which is at most that of a phi larger by 1.5. */
static void fill_up(Scale *s, Candidate *c) {
    enum { STEP = 4 };
    const double fill = 1.5;
    int64_t most = (int64_t)((double)c->net.by.resolution * pow(c->by.gamma, fill));
    for (int64_t step = 16 * STEP; step >= STEP; step /= 2) {
        Candidate next = *c;
        next.net.by.resolution += step;
        if (next.net.by.resolution <= most && try_network(s, &next))
            *c = next;
    }
}

/* ---- all of them ----------------------------------------------------------------------------- */

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
    return all;
}

/* How far c's factors are from the paper's, as exponents of 2. */
static double from_paper(const Compound *c) {
    double a = log2(c->alpha / PAPER_ALPHA), b = 2 * log2(c->beta / PAPER_BETA),
           g = 2 * log2(c->gamma / PAPER_GAMMA);
    return a * a + b * b + g * g;
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
    if (!within(least, budget))
        diag_note(d, what, "at least %.4g %s, the budget is %.4g %s", least, unit, budget, unit);
}

static void too_small(Scale *s, const Compound *by) {
    Candidate c = {.by = *by};
    try_phi(s, &c, MIN_PHI);
    if (s->diag->errors || !candidate_cost(s, &c, true))
        return;
    diag_error(s->diag, EXIT_BUDGET, "effnetc", "no network of the family is so small");
    note_excess(s->diag, "MACs", 1e-6 * (double)c.size.macs, 1e-6 * s->budget.macs, "M");
    note_excess(s->diag, "time", candidate_ms(s, &c), s->budget.ms, "ms");
    note_excess(s->diag, "arena", 1e-3 * (double)c.arena, 1e-3 * s->budget.arena, "kB");
    note_excess(s->diag, "flash", 1e-3 * (double)c.flash, 1e-3 * s->budget.flash, "kB");
    diag_note(s->diag, "help", "fewer --classes need less flash; --base=lite0 less of all");
}

bool scale_search(Scale *s, const Compound *by, size_t n, Candidates *out) {
    int start = 0;
    *out = (Candidates){.chosen = 0};
    for (size_t i = 0; i < n && !s->diag->errors; i++) {
        Candidate c = {.by = by[i], .flash = -1};
        if (!largest_phi(s, &c, start))
            continue;
        start = (int)floor(c.by.phi);
        fill_up(s, &c);
        vec_push(s->arena, &out->items, c);
    }
    if (!s->diag->errors && !out->items.len)
        too_small(s, &by[0]);
    for (size_t i = 0; i < out->items.len && !s->diag->errors; i++)
        candidate_cost(s, &out->items.data[i], true);
    out->chosen = choose(out);
    return s->diag->errors == 0;
}
