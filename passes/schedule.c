/* schedule.c: an analytic cost model for the tiles of matrix-like kernels. */
#include "passes/lower.h"

#include <math.h>

/* Cycles of one step along K for a tile of m pixels by v vectors. Two FMAs and two loads a cycle,
 * about six instructions a cycle in all, and an FMA latency of four: a step can't be faster than
 * that, since it adds once to each accumulator. One cycle more for the step itself (its branch, and
 * the tile's share of prologue and epilogue) makes large tiles win where the rest is equal. */
static double step_cycles(int64_t m, int64_t v) {
    double fma = 0.5 * (double)(m * v), load = 0.5 * (double)(m + v);
    double issue = (double)(m * v + m + v + 4) / 6;
    return fmax(fmax(fma, load), fmax(issue, 4)) + 1;
}

/* A tile needs its accumulators, one register per weight vector and one for the input. */
static bool fits(int64_t m, int64_t v, const Target *t) {
    return m * v + v + 1 <= t->vector_regs;
}

static double panel_cycles(int64_t length, int64_t m, int64_t v) {
    int64_t tail = length % m;
    return (double)(length / m) * step_cycles(m, v) + (tail ? step_cycles(tail, v) : 0);
}

Schedule pick_schedule(int64_t length, int64_t vectors, const PassContext *cx) {
    const Target *t = cx->target;
    Schedule best = {1, 0, 1, 0};
    double best_cost = INFINITY;
    for (int v = 1; v <= t->vector_regs && v <= vectors; v++) {
        for (int m = 1; m <= t->vector_regs && m <= length && fits(m, v, t); m++) {
            int v_tail = (int)(vectors % v), m_tail = (int)(length % m);
            double cost = (double)(vectors / v) * panel_cycles(length, m, v) +
                          (v_tail ? panel_cycles(length, m, v_tail) : 0);
            if (cost < best_cost) {
                best_cost = cost;
                best = (Schedule){m, m_tail, v, v_tail};
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
    Schedule best = {1, 0, 1, 0};
    double best_cost = INFINITY;
    for (int m = 1; m <= MAX_COLUMNS && m <= length && m + kw + 1 <= t->vector_regs; m++) {
        int tail = (int)(length % m);
        double cost = (double)(length / m) * dw_row_cycles(m, kw, sw) +
                      (tail ? dw_row_cycles(tail, kw, sw) : 0);
        if (cost < best_cost) {
            best_cost = cost;
            best = (Schedule){m, tail, 1, 0};
        }
    }
    return best;
}
