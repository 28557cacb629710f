/* schedule.c: an analytic cost model for the tiles of kernels. */
#include "passes/lower.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- gemm ------------------------------------------------------------------------------------ */

/* For x86, GCC folds a load that is used so often, or less, into the instructions that use it (read
 * from its code for tiles of 2 to 6 pixels): then each of them loads. */
static bool is_folded(int64_t uses, const Target *t) {
    return target_arch(t)->memory_operands && uses <= (t->vector_bytes == 64 ? 3 : 2);
}

/* The accumulators of m pixels by v vectors; of a last vector that is half a register wide, two
 * pixels share one. */
static int64_t accumulators(int64_t m, int64_t v, bool half) {
    return half ? m * (v - 1) + (m + 1) / 2 : m * v;
}

/* Cycles of one step along K for a tile of m pixels by v vectors. Two FMAs a cycle, almost two
 * loads, as many instructions in all as the core issues, and an FMA latency of four: a step can't
 * be faster than that, since it adds once to each accumulator. What joins two pixels is issued
 * beside the FMAs. A fraction more for the step itself (its branch, and the tile's share of
 * prologue and epilogue) makes large tiles win where the rest is equal. */
static double step_cycles(int64_t m, int64_t v, bool half, const Target *t) {
    int64_t weights = is_folded(m, t) ? m * v : v, sums = accumulators(m, v, half);
    double fma = 0.5 * (double)sums;
    double load = 0.55 * (double)(m + weights),
           issue = (double)(sums + (half ? m / 2 : 0) + m + v + 4) / target_arch(t)->issue;
    return fmax(fmax(fma, load), fmax(issue, 4)) + 0.25;
}

/* A product has a register of its own until it is added. */
static int64_t products(const Target *t) {
    return t->fma ? 0 : 1;
}

/* A tile needs its accumulators, one register per weight vector and one for the input, or three for
 * two that are joined; some more for inputs where all are loaded first: with two less, LLVM's code
 * for ARM goes to the stack. */
static bool fits(int64_t m, int64_t v, bool half, const Target *t) {
    int64_t inputs = target_arch(t)->memory_operands && !half ? 1 : 3;
    return accumulators(m, v, half) + v + inputs + products(t) <= t->vector_regs;
}

/* Cycles of one step for the weights that it reads: every tile of a panel reads them all again,
 * from the second cache where the first can't keep them beside the inputs, or from farther away.
 * Not a matter of how many rows there are: weights are packed for all uses of a tile. */
static double weight_cycles_of_step(const TileProblem *p, int64_t v, const Target *t) {
    const double SECOND = 20, FARTHER = 8; /* bytes a cycle */
    double bytes = (double)(v * t->vector_bytes), panel = bytes * (double)(p->k * p->kh * p->kw);
    if (p->pixels == 1 || panel <= (double)t->l1_bytes * 2 / 3)
        return 0;
    return bytes / (panel <= (double)t->l2_bytes / 2 ? SECOND : FARTHER);
}

/* Reading weights hides behind the arithmetic, but for a tenth: so tall tiles win where the rest is
 * equal. */
static double panel_cycles(const TileProblem *p, int64_t m, int64_t v, bool half, const Target *t) {
    int64_t tail = p->pixels % m;
    double weights = weight_cycles_of_step(p, v, t);
    double step = fmax(step_cycles(m, v, half, t), weights) + 0.1 * weights;
    return (double)(p->pixels / m) * step + (tail ? step_cycles(tail, v, half, t) : 0);
}

/* Whether the last vector of so many channels needs no more than half of its lanes. */
static bool fits_half(int64_t channels, const Target *t) {
    int64_t lanes = target_lanes(t), last = channels % lanes;
    return lanes >= 8 && last > 0 && last <= lanes / 2;
}

/* All panels of v vectors, and the last one, which has fewer or one half. */
static double gemm_cycles(const TileProblem *p, int64_t vectors, const Schedule *s,
                          const Target *t) {
    int64_t last = schedule_last(s), full = (vectors - last) / s->nv;
    return (double)full * panel_cycles(p, s->mr, s->nv, false, t) +
           panel_cycles(p, s->mr, last, s->half, t);
}

static int64_t gemm_vectors(const TileProblem *p, const Target *t) {
    return ceil_div(p->channels, target_lanes(t));
}

static Schedule gemm_schedule(const TileProblem *p, const Tile *tile, const Target *t) {
    return (Schedule){.mr = (int)tile->mr,
                      .mr_tail = (int)(p->pixels % tile->mr),
                      .nv = (int)tile->nv,
                      .nv_tail = (int)(gemm_vectors(p, t) % tile->nv),
                      .half = tile->half};
}

/* Cycles of one step along K, of all panels. Half registers are priced where they are possible,
 * not where they are used: they are never predicted to be a loss. */
static double gemm_tile_cycles(const TileProblem *p, const Tile *tile, const Target *t) {
    Schedule s = gemm_schedule(p, tile, t);
    s.half = fits_half(p->channels, t);
    return gemm_cycles(p, gemm_vectors(p, t), &s, t);
}

static const char *gemm_fault(const TileProblem *p, const Tile *tile, const Target *t) {
    if (tile->nv > gemm_vectors(p, t))
        return "nv is more than all channels";
    if (tile->half && !fits_half(p->channels, t))
        return "half a vector is not enough for the last channels";
    Schedule s = gemm_schedule(p, tile, t);
    int64_t last = schedule_last(&s);
    bool whole = gemm_vectors(p, t) > last; /* there are panels of nv whole vectors */
    bool fit = tile->mr * tile->nv == 1 ||
               ((!whole || fits(s.mr, s.nv, false, t)) && fits(s.mr, last, s.half, t));
    return fit ? NULL : "the target has too few registers";
}

/* ---- depthwise ------------------------------------------------------------------------------- */

/* Cycles of one row of taps: m outputs share the loads of a row. */
static double dw_row_cycles(int64_t m, int64_t kw, int64_t sw, const Target *t) {
    double fma = 0.5 * (double)(m * kw), load = 0.5 * (double)((m - 1) * sw + 2 * kw);
    double issue = (double)(m * kw + (m - 1) * sw + 2 * kw + 4) / target_arch(t)->issue;
    return fmax(fmax(fma, load), fmax(issue, 4 * (double)kw)) + 1;
}

/* Cycles of the taps of one row. */
static double dw_tile_cycles(const TileProblem *p, const Tile *tile, const Target *t) {
    enum { MAX_COLUMNS = 14 }; /* more overflow the instruction cache without a gain */
    int64_t m = tile->mr, tail = p->pixels % m;
    if (m > MAX_COLUMNS)
        return INFINITY;
    return (double)(p->pixels / m) * dw_row_cycles(m, p->kw, p->stride, t) +
           (tail ? dw_row_cycles(tail, p->kw, p->stride, t) : 0);
}

static Schedule dw_schedule(const TileProblem *p, const Tile *tile, const Target *t) {
    (void)t;
    return (Schedule){.mr = (int)tile->mr, .mr_tail = (int)(p->pixels % tile->mr), .nv = 1};
}

static const char *dw_fault(const TileProblem *p, const Tile *tile, const Target *t) {
    if (tile->nv != 1 || tile->half)
        return "a depthwise kernel has one vector";
    bool fit = tile->mr == 1 || tile->mr + p->kw + 1 + products(t) <= t->vector_regs;
    return fit ? NULL : "the target has too few registers";
}

/* ---- tiles ----------------------------------------------------------------------------------- */

typedef struct TileModel {
    double (*cycles)(const TileProblem *p, const Tile *tile, const Target *t); /* in some unit */
    Schedule (*schedule)(const TileProblem *p, const Tile *tile, const Target *t);
    const char *(*fault)(const TileProblem *p, const Tile *tile, const Target *t);
} TileModel;

static const TileModel models[] = {
    [TILE_GEMM] = {gemm_tile_cycles, gemm_schedule, gemm_fault},
    [TILE_DW] = {dw_tile_cycles, dw_schedule, dw_fault},
};

const char *tile_fault(const TileProblem *p, const Tile *tile, const Target *target) {
    if (tile->mr < 1 || tile->nv < 1)
        return "a tile has a pixel and a vector at least";
    if (tile->mr > p->pixels)
        return "mr is more than all pixels";
    return models[p->kind].fault(p, tile, target);
}

typedef struct Ranked {
    Tile tile;
    double cycles;
    size_t order; /* of equal ones, the first found is the better */
} Ranked;

/* Calls f for every tile that a kernel can have, narrow ones first. */
typedef void TileVisitor(void *ctx, const Tile *tile, double cycles);

static void visit_tiles(const TileProblem *p, const Target *t, TileVisitor *f, void *ctx) {
    for (int64_t v = 1; v <= t->vector_regs; v++)
        for (int64_t m = 1; m <= t->vector_regs && m <= p->pixels; m++)
            for (int half = 1; half >= 0; half--) {
                Tile tile = {m, v, half != 0};
                if (!tile_fault(p, &tile, t))
                    f(ctx, &tile, models[p->kind].cycles(p, &tile, t));
            }
}

static void keep_best(void *ctx, const Tile *tile, double cycles) {
    Ranked *best = ctx;
    if (cycles < best->cycles)
        *best = (Ranked){*tile, cycles, 0};
}

static Ranked best_tile(const TileProblem *p, const Target *t) {
    Ranked best = {.tile = {1, 1, false}, .cycles = INFINITY};
    visit_tiles(p, t, keep_best, &best);
    return best;
}

enum { MAX_TILES = 1024 }; /* more than fit into 64 registers */

typedef struct TileList {
    Ranked *all;
    size_t len;
    double limit;
} TileList;

static void keep_good(void *ctx, const Tile *tile, double cycles) {
    TileList *list = ctx;
    if (cycles > list->limit)
        return;
    ensure(list->len < MAX_TILES);
    list->all[list->len] = (Ranked){*tile, cycles, list->len};
    list->len++;
}

static int faster_first(const void *a, const void *b) {
    const Ranked *x = a, *y = b;
    if (x->cycles != y->cycles)
        return x->cycles < y->cycles ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

size_t tile_candidates(const TileProblem *p, const Target *target, double within, Tile *out,
                       size_t max) {
    Arena a = {0};
    TileList list = {.all = ARENA_ARRAY(&a, MAX_TILES, Ranked),
                     .limit = best_tile(p, target).cycles * within};
    visit_tiles(p, target, keep_good, &list);
    qsort(list.all, list.len, sizeof *list.all, faster_first);
    size_t n = list.len < max ? list.len : max;
    for (size_t i = 0; i < n; i++)
        out[i] = list.all[i].tile;
    arena_free(&a);
    return n;
}

int64_t tile_macs(const TileProblem *p, const Target *target) {
    int64_t channels = p->kind == TILE_DW ? p->blocks * target_lanes(target) : p->channels * p->k;
    return p->rows * p->pixels * p->kh * p->kw * channels;
}

Schedule pick_schedule(const TileProblem *p, const PassContext *cx) {
    Tile tile;
    if (cx->problems)
        tile_problems_add(cx->problems, p);
    if (!cx->book || !schedule_book_find(cx->book, p, &tile))
        tile = best_tile(p, cx->target).tile;
    return models[p->kind].schedule(p, &tile, cx->target);
}

double schedule_cycles(int64_t length, int64_t channels, const PassContext *cx) {
    TileProblem p = {.kind = TILE_GEMM, .pixels = length, .channels = channels};
    return best_tile(&p, cx->target).cycles;
}

double dw_schedule_cycles(int64_t length, int64_t kw, int64_t sw, const PassContext *cx) {
    TileProblem p = {.kind = TILE_DW, .pixels = length, .kw = kw, .stride = sw};
    return best_tile(&p, cx->target).cycles;
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
    TileProblem p = {.kind = TILE_GEMM, .pixels = c->columns, .channels = c->n};
    return (double)(c->rows * 9 * c->k) * best_tile(&p, c->target).cycles + weight_cycles(c, 9);
}

/* Cycles of the products of mr tiles in one point, all panels: each reads the inputs anew from the
 * second cache, at 32 bytes a cycle, and writes the sums once. */
static double products_cycles(const Conv3x3 *c, const Schedule *s) {
    int64_t lanes = target_lanes(c->target), vectors = ceil_div(c->n, lanes);
    int64_t last = schedule_last(s), full = (vectors - last) / s->nv;
    double steps = (double)full * step_cycles(s->mr, s->nv, false, c->target) +
                   step_cycles(s->mr, last, s->half, c->target);
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

/* The size of blocks, a multiple of mr, for about so many of `all` tiles; an even number of them,
 * if there is one nearby, so that two threads have equal shares. */
static int64_t even_blocks(int64_t all, int64_t blocks, int64_t mr) {
    for (int64_t n = blocks; n < blocks + 4; n++) {
        int64_t tiles = round_up(ceil_div(all, n), mr), count = ceil_div(all, tiles);
        if (count == 1 || count % 2 == 0)
            return tiles;
    }
    return round_up(ceil_div(all, blocks), mr);
}

/* One of two threads waits for the other's last block: what that is worth where there is one. */
static const double ODD_BLOCKS = 1.03;

/* F(m x m, 3x3) with s for the products, and its cycles. Weights that are read again by each block
 * come from nearer than at first. */
static WinogradSchedule schedule_tiles(const Conv3x3 *c, int m, const Schedule *s, double *cycles) {
    int64_t all = ceil_div(c->rows, m) * ceil_div(c->columns, m);
    int64_t most = tiles_in_cache(c, m, s) / s->mr * s->mr;
    most = most ? most : s->mr;
    int64_t tiles = even_blocks(all, ceil_div(all, most), s->mr), blocks = ceil_div(all, tiles);
    int64_t chunks = (blocks - 1) * (tiles / s->mr) + ceil_div(all - (blocks - 1) * tiles, s->mr);
    int64_t points = (m + 2) * (m + 2), lanes = target_lanes(c->target);
    *cycles = (double)(points * chunks) * products_cycles(c, s) +
              (double)(all * ceil_div(c->k, lanes)) * transform_cycles(m, true) +
              (double)(all * ceil_div(c->n, lanes)) * transform_cycles(m, false) +
              weight_cycles(c, points) * (1 + 0.25 * (double)(blocks - 1));
    if (blocks > 1 && blocks % 2)
        *cycles *= ODD_BLOCKS;
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
        for (int mr = 1; mr <= t->vector_regs && fits(mr, v, false, t); mr++) {
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
