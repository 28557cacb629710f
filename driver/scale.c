/* scale.c: what networks cost, by the compiler's own figures: the arena that it plans, the weights
 * that it packs, the cycles that its cost model predicts. */
#include "driver/scale.h"

#include <math.h>

/* ---- costs ----------------------------------------------------------------------------------- */

static effnetc_model *open_network(const Scale *s, const MemberSpec *net, NetWeights weights) {
    effnetc_model *m = model_open(s->compiler, s->diag);
    model_adopt(m, member_graph(net, weights));
    return m;
}

static bool compile_cost(const Scale *s, Candidate *c, bool flash) {
    effnetc_model *m = open_network(s, &c->net, WEIGHTS_RANDOM);
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
        s->work += c->size.parameters;
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

/* With weights that are merely random values decay to denormal numbers, slow ones for targets that
 * don't flush them to zero: hence statistics as of a network in use. */
bool scale_measure(Scale *s, Candidate *c, double *peak) {
    enum { SECONDS = 2 };
    Arena a = {0};
    Bench b = {0};
    if (!candidate_cost(s, c, false))
        return false;
    effnetc_model *m = open_network(s, &c->net, WEIGHTS_MEASURED);
    Tensor **in = ARENA_ARRAY(&a, m->inputs.len + 1, Tensor *);
    bool ok = inputs_random(m, 1, in, &a) && effnetc_compile(m) &&
              bench_model(m, in, SECONDS, true, &b, &a);
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
