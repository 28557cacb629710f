/* graph_sums.c: which sums of products of integers f32 holds exactly: those that stay within 2^24.
 * Where the sum of all terms could be larger, it is made of runs of them. What the weights are
 * decides, where they are known. */
#include "ir/graph.h"

#include <math.h>

static const double EXACT = 0x1p24;

static SumBounds sum_of(SumBounds a, SumBounds b) {
    return (SumBounds){a.lo + b.lo, a.hi + b.hi};
}

static SumBounds product_of(SumBounds a, SumBounds b) {
    double p = a.lo * b.lo, q = a.lo * b.hi, r = a.hi * b.lo, t = a.hi * b.hi;
    return (SumBounds){fmin(fmin(p, q), fmin(r, t)), fmax(fmax(p, q), fmax(r, t))};
}

static bool is_exact(SumBounds s) {
    return -EXACT <= s.lo && s.hi <= EXACT;
}

/* A number that is added to a sum, or is not there yet. */
static SumBounds with_zero(double x) {
    return (SumBounds){fmin(x, 0), fmax(x, 0)};
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* Ends the run before term k, unless all `more` fit into the sums; false where there is no room. */
static bool add_to_run(SumRuns *r, const SumBounds *more, int64_t k) {
    bool fits = true;
    for (int64_t i = 0; i < r->sums; i++)
        fits &= is_exact(sum_of(r->last[i], more[i]));
    for (int64_t i = 0; i < r->sums; i++) {
        r->last[i] = fits ? sum_of(r->last[i], more[i]) : more[i];
        if (!is_exact(r->last[i]))
            return false;
    }
    if (!fits && r->count == MOST_SUM_RUNS - 1)
        return false;
    if (!fits)
        r->end[r->count++] = k;
    return true;
}

/* What weights number k of each sum add to it. */
static void add_weights(SumBounds x, const Tensor *w, const SumTerms *t, int64_t k,
                        SumBounds *more) {
    for (int64_t o = 0; o < t->outer; o++)
        for (int64_t j = 0; j < t->inner; j++) {
            double by = tensor_f64(w, (o * t->count + k) * t->inner + j);
            SumBounds *s = &more[t->summed ? o : o * t->inner + j];
            *s = sum_of(*s, product_of(x, (SumBounds){by, by}));
        }
}

bool sum_runs(Arena *a, SumBounds x, const Tensor *w, SumBounds any, const SumTerms *t,
              SumRuns *r) {
    double terms = (double)(t->summed ? t->inner : 1);
    SumBounds unknown = product_of(x, any);
    *r = (SumRuns){.sums = !w ? 1 : t->summed ? t->outer : t->outer * t->inner};
    r->last = ARENA_ARRAY(a, r->sums + 1, SumBounds);
    SumBounds *more = ARENA_ARRAY(a, r->sums + 1, SumBounds);
    for (int64_t k = 0; k < t->count; k++) {
        for (int64_t i = 0; i < r->sums; i++)
            more[i] = w ? (SumBounds){0} : (SumBounds){unknown.lo * terms, unknown.hi * terms};
        if (w)
            add_weights(x, w, t, k, more);
        if (!add_to_run(r, more, k))
            return false;
    }
    r->end[r->count++] = t->count;
    return true;
}

/* ---- biases ---------------------------------------------------------------------------------- */

bool sum_split_bias(const SumRuns *r, const Tensor *bias, Tensor *low, Tensor *high, bool *split) {
    int64_t count = shape_elems(&bias->shape);
    *split = false;
    if (r->sums > 1 && r->sums != count)
        return false;
    for (int64_t i = 0; i < count; i++) {
        SumBounds last = r->last[r->sums > 1 ? i : 0];
        double b = tensor_f64(bias, i), rest = b;
        if (fabs(b) > 0x1p30)
            return false;
        if (!is_exact(sum_of(last, with_zero(b))))
            rest = b - 256 * nearbyint(b / 256);
        if (!is_exact(sum_of(last, with_zero(rest))))
            return false;
        tensor_set_f64(low, i, rest);
        tensor_set_f64(high, i, b - rest);
        *split |= b != rest;
    }
    return true;
}
