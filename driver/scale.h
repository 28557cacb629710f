/* scale.h: compound scaling under budgets: the parts of effnetc scale. */
#ifndef EFFNETC_DRIVER_SCALE_H
#define EFFNETC_DRIVER_SCALE_H

#include "driver/member.h"

/* ---- scale.c: what networks cost ------------------------------------------------------------- */

/* What a network may take; 0: any. */
typedef struct Budget {
    double macs, ms;
    double arena, flash; /* bytes of the arena and of the weights */
} Budget;

/* A network and its costs on the target. */
typedef struct Candidate {
    Compound by; /* of the base network */
    MemberSpec net;
    MemberSize size;
    int64_t arena;
    int64_t flash;   /* -1: not known */
    double cycles;   /* predicted; 0: not known, and neither is the arena */
    double measured; /* milliseconds; 0: not yet */
} Candidate;

typedef struct Scale {
    const effnetc_options *compiler;
    MemberSpec base;
    Budget budget;
    double cycles_per_ms; /* 0: not known */
    Arena *arena;
    Diag *diag;
    VEC(Candidate) known; /* costs that were computed so far */
    int64_t work;         /* parameters that a search has compiled */
} Scale;

typedef struct Candidates {
    VEC(Candidate) items; /* one for each alpha, beta, gamma */
    size_t chosen;
} Candidates;

/* The costs of c->net, which it has by then; the flash where that is asked for. False with
 * errors. */
bool candidate_cost(Scale *s, Candidate *c, bool flash);
/* Milliseconds of an inference, measured or else predicted; 0 where that isn't known. */
double candidate_ms(const Scale *s, const Candidate *c);
double predicted_ms(const Scale *s, const Candidate *c);
/* Measures c, which the search takes into account from then on; and the multiply-adds a second of
 * the machine's peak. False with errors. */
bool scale_measure(Scale *s, Candidate *c, double *peak);
/* Makes predictions right for what was measured: on average, and of the base network only where
 * nothing else was. */
void scale_learn(Scale *s);

/* ---- scale_search.c -------------------------------------------------------------------------- */

/* For each of the n alpha, beta and gamma the largest phi that the budget allows. The one with the
 * most MACs is chosen; among those with about as many, the one nearest to the paper's. False with
 * errors (budget) where no network is small enough; warnings where it had to leave something out.
 */
bool scale_search(Scale *s, const Compound *by, size_t n, Candidates *out);
/* Some alpha, beta and gamma with alpha beta^2 gamma^2 near 2, the paper's among them. */
const Compound *scale_grid(size_t *n, Arena *a);

/* ---- scale_figure.c -------------------------------------------------------------------------- */

/* An SVG of the base network's costs when its width, its depth, its resolution or all of them grow.
 * False with errors. */
bool scale_figure(Scale *s, const Compound *by, Buf *svg);

#endif
