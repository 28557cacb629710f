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

/* *least: cycles of one step along K, of all panels. */
static Schedule best_schedule(int64_t length, int64_t channels, const Target *t, double *least) {
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
    *least = best_cost;
    return best;
}

Schedule pick_schedule(int64_t length, int64_t channels, const PassContext *cx) {
    double cost;
    return best_schedule(length, channels, cx->target, &cost);
}

double schedule_cycles(int64_t length, int64_t channels, const PassContext *cx) {
    double cost;
    best_schedule(length, channels, cx->target, &cost);
    return cost;
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

/* ---- 3x3 convolutions ------------------------------------------------------------------------ */

/* A dense 3x3 convolution of stride 1. */
typedef struct Conv3x3 {
    int64_t rows, columns, k, n; /* of the output; input and output channels */
    const Target *target;
} Conv3x3;

/* Weights that come from memory once, at 8 bytes a cycle. */
static double weight_cycles(const Conv3x3 *c, int64_t taps) {
    return (double)(c->k * c->n * taps) * sizeof(float) / 8;
}

static double direct_cycles(const Conv3x3 *c) {
    double step;
    best_schedule(c->columns, c->n, c->target, &step);
    return (double)(c->rows * 9 * c->k) * step + weight_cycles(c, 9);
}

/* Cycles of the products of mr tiles in one point, all panels: each reads the inputs anew from the
 * second cache, at 32 bytes a cycle, and writes the sums once. */
static double products_cycles(const Conv3x3 *c, const Schedule *s) {
    int64_t lanes = target_lanes(c->target), vectors = ceil_div(c->n, lanes);
    int64_t last = s->nv_tail ? s->nv_tail : s->nv, full = (vectors - last) / s->nv;
    double steps =
        (double)full * step_cycles(s->mr, s->nv, false) + step_cycles(s->mr, last, s->half);
    double inputs = (double)(s->mr * round_up(c->k, lanes)) * sizeof(float) / 32;
    return (double)c->k * steps + (double)(vectors * s->mr) + (inputs + 20) * (double)(full + 1);
}

/* Cycles of the transforms of one tile and one vector of channels: arithmetic on two ports, and
 * what the loads from and stores to the second cache add. */
static double transform_cycles(int m, bool input) {
    return m == 4 ? (input ? 110 : 80) : (input ? 36 : 28);
}

/* Transformed inputs and products of a block of tiles may take a quarter of the second cache. More
 * gains next to nothing, and each part of the work has such a block. */
static int64_t tiles_in_cache(const Conv3x3 *c, int m, const Schedule *s) {
    int64_t lanes = target_lanes(c->target), vectors = ceil_div(c->k, lanes) + s->nv;
    int64_t bytes = vectors * lanes * (m + 2) * (m + 2) * (int64_t)sizeof(float);
    return c->target->l2_bytes / 4 / bytes;
}

/* F(m x m, 3x3) with s for the products, and its cycles. Weights that are read again by each block
 * come from nearer than at first. */
static WinogradSchedule schedule_tiles(const Conv3x3 *c, int m, const Schedule *s, double *cycles) {
    int64_t all = ceil_div(c->rows, m) * ceil_div(c->columns, m);
    int64_t most = tiles_in_cache(c, m, s) / s->mr * s->mr;
    most = most ? most : s->mr;
    int64_t blocks = ceil_div(all, most), tiles = round_up(ceil_div(all, blocks), s->mr);
    blocks = ceil_div(all, tiles);
    int64_t chunks = (blocks - 1) * (tiles / s->mr) + ceil_div(all - (blocks - 1) * tiles, s->mr);
    int64_t points = (m + 2) * (m + 2), lanes = target_lanes(c->target);
    *cycles = (double)(points * chunks) * products_cycles(c, s) +
              (double)(all * ceil_div(c->k, lanes)) * transform_cycles(m, true) +
              (double)(all * ceil_div(c->n, lanes)) * transform_cycles(m, false) +
              weight_cycles(c, points) * (1 + 0.25 * (double)(blocks - 1));
    return (WinogradSchedule){.m = m, .tiles = tiles, .gemm = *s};
}

/* The best tiling of F(m x m, 3x3), and its cycles. */
static WinogradSchedule best_winograd(const Conv3x3 *c, int m, double *least) {
    const Target *t = c->target;
    int64_t vectors = ceil_div(c->n, target_lanes(t));
    bool half = fits_half(c->n, t);
    WinogradSchedule best = {0};
    *least = INFINITY;
    for (int v = 1; v <= t->vector_regs && v <= vectors; v++) {
        for (int mr = 1; mr <= t->vector_regs && fits(mr, v, t); mr++) {
            Schedule s = {.mr = mr, .nv = v, .nv_tail = (int)(vectors % v), .half = half};
            double cost;
            WinogradSchedule w = schedule_tiles(c, m, &s, &cost);
            if (cost < *least) {
                *least = cost;
                best = w;
            }
        }
    }
    return best;
}

WinogradSchedule pick_winograd(int64_t rows, int64_t columns, int64_t k, int64_t n,
                               const PassContext *cx) {
    Conv3x3 c = {rows, columns, k, n, cx->target};
    double direct = direct_cycles(&c), two, four;
    WinogradSchedule w2 = best_winograd(&c, 2, &two), w4 = best_winograd(&c, 4, &four), best = {0};
    if (four < direct && four <= two)
        best = w4;
    else if (two < direct)
        best = w2;
    best.direct = direct;
    best.two = two;
    best.four = four;
    return best;
}

double dw_schedule_cycles(int64_t length, int64_t kw, int64_t sw, const PassContext *cx) {
    Schedule s = pick_dw_schedule(length, kw, sw, cx);
    return (double)(length / s.mr) * dw_row_cycles(s.mr, kw, sw) +
           (s.mr_tail ? dw_row_cycles(s.mr_tail, kw, sw) : 0);
}
