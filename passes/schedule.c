/* schedule.c: an analytic cost model for the tiles of matrix-like kernels. */
#include "passes/lower.h"

#include <math.h>

/* Cycles of one step along K for a tile of m pixels by v vectors, the last of which may be half a
 * register wide: then each input is spread to both widths. Two FMAs and two loads a cycle, about
 * six instructions a cycle in all, and an FMA latency of four: a step can't be faster than that,
 * since it adds once to each accumulator. One cycle more for the step itself (its branch, and the
 * tile's share of prologue and epilogue) makes large tiles win where the rest is equal. */
static double step_cycles(int64_t m, int64_t v, bool half) {
    int64_t spread = half && v > 1 ? 2 * m : m;
    double fma = 0.5 * (double)m * ((double)v - (half ? 0.5 : 0));
    double load = 0.5 * (double)(spread + v), issue = (double)(m * v + spread + v + 4) / 6;
    return fmax(fmax(fma, load), fmax(issue, 4)) + 0.25;
}

/* A tile needs its accumulators, one register per weight vector and one for the input. */
static bool fits(int64_t m, int64_t v, const Target *t) {
    return m * v + v + 1 <= t->vector_regs;
}

static double panel_cycles(int64_t length, int64_t m, int64_t v, bool half) {
    int64_t tail = length % m;
    return (double)(length / m) * step_cycles(m, v, half) + (tail ? step_cycles(tail, v, half) : 0);
}

/* Whether the last vector of so many channels needs no more than half of its lanes. */
static bool fits_half(int64_t channels, const Target *t) {
    int64_t lanes = target_lanes(t), last = channels % lanes;
    return lanes >= 8 && last > 0 && last <= lanes / 2;
}

/* All panels of v vectors, and the last one, which has fewer or one half. */
static double gemm_cycles(int64_t length, int64_t vectors, const Schedule *s) {
    int64_t last = s->nv_tail ? s->nv_tail : s->nv, full = (vectors - last) / s->nv;
    return (double)full * panel_cycles(length, s->mr, s->nv, false) +
           panel_cycles(length, s->mr, last, s->half);
}

Schedule pick_schedule(int64_t length, int64_t channels, const PassContext *cx) {
    const Target *t = cx->target;
    int64_t vectors = ceil_div(channels, target_lanes(t));
    bool half = fits_half(channels, t);
    Schedule best = {.mr = 1, .nv = 1};
    double best_cost = INFINITY;
    for (int v = 1; v <= t->vector_regs && v <= vectors; v++) {
        for (int m = 1; m <= t->vector_regs && m <= length && fits(m, v, t); m++) {
            Schedule s = {m, (int)(length % m), v, (int)(vectors % v), half};
            double cost = gemm_cycles(length, vectors, &s);
            if (cost < best_cost) {
                best_cost = cost;
                best = s;
            }
        }
    }
    return best;
}

/* Cycles of one row of taps: m outputs share the loads of a row. */
static double dw_row_cycles(int64_t m, int64_t kw, int64_t sw) {
    double fma = 0.5 * (double)(m * kw), load = 0.5 * (double)((m - 1) * sw + 2 * kw);
    double issue = (double)(m * kw + (m - 1) * sw + 2 * kw + 4) / 6;
    return fmax(fmax(fma, load), fmax(issue, 4 * (double)kw)) + 1;
}

Schedule pick_dw_schedule(int64_t length, int64_t kw, int64_t sw, const PassContext *cx) {
    const Target *t = cx->target;
    enum { MAX_COLUMNS = 14 }; /* more overflow the instruction cache without a gain */
    Schedule best = {.mr = 1, .nv = 1};
    double best_cost = INFINITY;
    for (int m = 1; m <= MAX_COLUMNS && m <= length && m + kw + 1 <= t->vector_regs; m++) {
        int tail = (int)(length % m);
        double cost = (double)(length / m) * dw_row_cycles(m, kw, sw) +
                      (tail ? dw_row_cycles(tail, kw, sw) : 0);
        if (cost < best_cost) {
            best_cost = cost;
            best = (Schedule){.mr = m, .mr_tail = tail, .nv = 1};
        }
    }
    return best;
}
