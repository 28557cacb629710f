/* lower_gemm.c: the kernel behind conv2d, dense and se: a register tile of mr pixels by nv vectors
 * of output channels, all of K in registers, bias as the first value, activation and residual in
 * the epilogue.
 *
 *   for each panel of nv vectors            weights of a panel: [bias, K][nv * lanes]
 *     for each row
 *       for each tile of mr pixels          acc[m][v] = bias[v]
 *         for each block, tap row, tap, l   acc[m][v] += a[m] * w[v]
 *       one tile of mr_tail pixels, unless the row goes on in another part
 *
 * Sizes and strides are run-time arguments, so one kernel serves many layers. Where half of the
 * last vector's lanes are enough for the last channels, a kernel of its own computes the last panel
 * with registers of half the width there. */
#include "passes/lower.h"

#include <math.h>

enum { MAX_ACC = 64 };

typedef struct GemmKernel {
    Builder b;
    const Gemm *g;
    int lanes, nv;
    bool half;          /* the last vector is half a register wide */
    Reg *a, *w, *c, *r; /* pointers to the first element */
    Reg *k, *k_blocks, *a_plane, *a_row, *a_tap_row;
    Reg *panels, *w_panel, *c_plane, *c_row, *c_panel, *r_plane, *r_row, *r_panel;
    Reg *rows, *tiles;
    Reg *tails;        /* 1 or 0: whether a row ends with a tile of mr_tail; NULL where none does */
    Reg *block_size;   /* ablock as a register, where ablock > 1 */
    Reg *acc[MAX_ACC]; /* [pixel][vector] */
} GemmKernel;

static int panel_width(const GemmKernel *gk) {
    return gk->nv * gk->lanes;
}

/* The width of the registers for vector v of the tile. */
static int vector_lanes(const GemmKernel *gk, int v) {
    return gk->half && v == gk->nv - 1 ? gk->lanes / 2 : gk->lanes;
}

/* ---- loops over K ---------------------------------------------------------------------------- */

/* The next panel's weights at the place of w: this panel's serve all tiles of a row, so that there
 * is time to bring them. A kernel of one pixel reads each weight once, as fast as they come. */
static void prefetch_panel(GemmKernel *gk, Reg *w) {
    enum { LINE = 16 }; /* elements of a cache line */
    for (int i = 0; gk->lanes > 1 && i < panel_width(gk); i += LINE)
        build_prefetch(&gk->b, addr_plus(addr_of(w, i), gk->w_panel, 1));
}

/* One step along K: `at` is the address of the first pixel's input, w that of the weights. */
static void multiply_step(GemmKernel *gk, Addr at, Reg *w, int mr) {
    Builder *b = &gk->b;
    Reg *wv[MAX_ACC];
    for (int v = 0; v < gk->nv; v++)
        wv[v] = build_load(b, "w", vector_lanes(gk, v), addr_of(w, v * gk->lanes));
    for (int m = 0; m < mr; m++) {
        Addr pixel = addr_offset(at, m * gk->g->pixel_step);
        Reg *x = NULL;
        for (int v = 0; v < gk->nv; v++) {
            Reg *acc = gk->acc[m * gk->nv + v];
            if (!x || x->type.lanes != vector_lanes(gk, v))
                x = build_spread(b, "x", vector_lanes(gk, v), pixel);
            build_op_to(b, INST_fma, acc, x, wv[v], acc);
        }
    }
    if (mr > 1)
        prefetch_panel(gk, w);
    advance_by(b, w, panel_width(gk));
}

/* One tap of one block: the lanes 0..count at `tap`, or one channel where count == NULL. */
static void multiply_tap(GemmKernel *gk, Addr tap, Reg *w, int mr, Reg *count) {
    if (!count) {
        multiply_step(gk, tap, w, mr);
        return;
    }
    Reg *l = build_for(&gk->b, "l", bound_const(0), bound_reg(count), 1);
    multiply_step(gk, addr_plus(tap, l, 1), w, mr);
    build_close(&gk->b);
}

/* The taps of one row: a loop, since unrolled taps share inputs, and compilers keep those in
 * registers that the tile needs. */
static void tap_row(GemmKernel *gk, Reg *row, Reg *w, int mr, Reg *count) {
    const Gemm *g = gk->g;
    if (g->kw == 1) {
        multiply_tap(gk, addr_of(row, 0), w, mr, count);
        return;
    }
    Reg *j = build_for(&gk->b, "j", bound_const(0), bound_const(g->kw), 1);
    Reg *tap = build_lea(&gk->b, "tap", addr_plus(addr_of(row, 0), j, g->tap_step));
    multiply_tap(gk, addr_of(tap, 0), w, mr, count);
    build_close(&gk->b);
}

/* All of K for the input that starts at `at`; w moves on behind the last weight. */
static void loop_over_k(GemmKernel *gk, Reg *at, Reg *w, int mr) {
    Builder *b = &gk->b;
    const Gemm *g = gk->g;
    Reg *block = copy_pointer(b, "block", at);
    Reg *left = g->ablock > 1 ? build_op(b, INST_mov, "left", gk->k, NULL, NULL) : NULL;
    build_for(b, "cb", bound_const(0), bound_reg(gk->k_blocks), 1);
    Reg *count = left ? build_op(b, INST_min, "count", left, gk->block_size, NULL) : NULL;
    if (g->kh == 1) {
        tap_row(gk, block, w, mr, count);
    } else {
        Reg *row = copy_pointer(b, "row", block);
        build_for(b, "i", bound_const(0), bound_const(g->kh), 1);
        tap_row(gk, row, w, mr, count);
        advance(b, row, gk->a_tap_row);
        build_close(b);
    }
    advance(b, block, gk->a_plane);
    if (left)
        build_op_to(b, INST_sub, left, left, gk->block_size, NULL);
    build_close(b);
}

/* ---- tiles ----------------------------------------------------------------------------------- */

static void start_tile(GemmKernel *gk, Reg *panel, int mr) {
    for (int v = 0; v < gk->nv; v++)
        build_load_to(&gk->b, gk->acc[v], addr_of(panel, v * gk->lanes));
    for (int m = 1; m < mr; m++)
        for (int v = 0; v < gk->nv; v++)
            build_op_to(&gk->b, INST_mov, gk->acc[m * gk->nv + v], gk->acc[v], NULL, NULL);
}

/* Address of pixel m, vector v in a tensor of blocks `plane` apart. */
static Addr tile_addr(const GemmKernel *gk, Reg *tile, Reg *plane, int m, int v) {
    Addr a = addr_of(tile, m * gk->g->c_pixel);
    return v ? addr_plus(a, plane, v) : a;
}

static void finish_tile(GemmKernel *gk, Reg *c, Reg *r, int mr) {
    Builder *b = &gk->b;
    int half = gk->lanes / 2;
    Reg *zero = gk->half ? build_const_f(b, "zero", ltype(DT_f32, half), 0) : NULL;
    for (int m = 0; m < mr; m++) {
        for (int v = 0; v < gk->nv; v++) {
            Reg *acc = gk->acc[m * gk->nv + v];
            if (gk->g->act != ACT_none)
                build_op_to(b, act_inst(gk->g->act), acc, acc, NULL, NULL);
            if (r) {
                Reg *x = build_load(b, "res", acc->type.lanes, tile_addr(gk, r, gk->r_plane, m, v));
                build_op_to(b, INST_add, acc, acc, x, NULL);
            }
            build_store(b, tile_addr(gk, c, gk->c_plane, m, v), acc);
        }
        if (zero) /* the spare lanes */
            build_store(b, addr_offset(tile_addr(gk, c, gk->c_plane, m, gk->nv - 1), half), zero);
    }
}

static void tile(GemmKernel *gk, Reg *panel, Reg *at, Reg *c, Reg *r, int mr) {
    start_tile(gk, panel, mr);
    Reg *w = build_lea(&gk->b, "wk", addr_of(panel, panel_width(gk)));
    loop_over_k(gk, at, w, mr);
    finish_tile(gk, c, r, mr);
}

static void row_of_tiles(GemmKernel *gk, const Schedule *s, Reg *panel, Reg *a_row, Reg *c_row,
                         Reg *r_row) {
    Builder *b = &gk->b;
    Reg *at = copy_pointer(b, "at", a_row), *ct = copy_pointer(b, "ct", c_row);
    Reg *rt = r_row ? copy_pointer(b, "rt", r_row) : NULL;
    build_for(b, "t", bound_const(0), bound_reg(gk->tiles), 1);
    tile(gk, panel, at, ct, rt, s->mr);
    advance_by(b, at, s->mr * gk->g->pixel_step);
    advance_by(b, ct, s->mr * gk->g->c_pixel);
    if (rt)
        advance_by(b, rt, s->mr * gk->g->c_pixel);
    build_close(b);
    if (!s->mr_tail)
        return;
    build_for(b, "tail", bound_const(0), bound_reg(gk->tails), 1);
    tile(gk, panel, at, ct, rt, s->mr_tail);
    build_close(b);
}

/* ---- panels ---------------------------------------------------------------------------------- */

static void panel_body(GemmKernel *gk, const Schedule *s, Reg *panel, Reg *c, Reg *r) {
    Builder *b = &gk->b;
    Reg *a_row = copy_pointer(b, "ar", gk->a), *c_row = copy_pointer(b, "cr", c);
    Reg *r_row = r ? copy_pointer(b, "rr", r) : NULL;
    build_for(b, "y", bound_const(0), bound_reg(gk->rows), 1);
    row_of_tiles(gk, s, panel, a_row, c_row, r_row);
    advance(b, a_row, gk->a_row);
    advance(b, c_row, gk->c_row);
    if (r_row)
        advance(b, r_row, gk->r_row);
    build_close(b);
}

static void kernel_body(GemmKernel *gk, const Schedule *s) {
    Builder *b = &gk->b;
    if (gk->g->ablock > 1)
        gk->block_size = build_const_i(b, "block_size", ltype(DT_i64, 1), gk->g->ablock);
    Reg *panel = copy_pointer(b, "wp", gk->w), *c = copy_pointer(b, "cp", gk->c);
    Reg *r = gk->r ? copy_pointer(b, "rp", gk->r) : NULL;
    build_for(b, "n", bound_const(0), bound_reg(gk->panels), 1);
    panel_body(gk, s, panel, c, r);
    advance(b, panel, gk->w_panel);
    advance(b, c, gk->c_panel);
    if (r)
        advance(b, r, gk->r_panel);
    build_close(b);
}

/* ---- kernels and calls ----------------------------------------------------------------------- */

static const char *kernel_name(Lower *lo, const Gemm *g, const Schedule *s, int nv, bool half) {
    Buf b = {0};
    buf_printf(&b, "%s_%dx%d%s", g->stem, s->mr, nv, half ? "h" : "");
    if (s->mr_tail)
        buf_printf(&b, "_t%d", s->mr_tail);
    if (g->act != ACT_none)
        buf_printf(&b, "_%s", act_name(g->act));
    buf_puts(&b, g->residual ? "_res" : "");
    const char *name = arena_strdup(&lo->m->arena, b.data);
    buf_free(&b);
    return name;
}

/* The order of parameters is that of the arguments in call_panels. */
static void declare_params(GemmKernel *gk, Kernel *k, const Schedule *s) {
    const Gemm *g = gk->g;
    gk->a = kernel_param_ptr(k, "a", DT_f32);
    gk->w = kernel_param_ptr(k, "w", DT_f32);
    gk->c = kernel_param_ptr(k, "c", DT_f32);
    if (g->residual)
        gk->r = kernel_param_ptr(k, "r", DT_f32);
    gk->k = kernel_param_i64(k, "k");
    gk->k_blocks = kernel_param_i64(k, "k_blocks");
    gk->a_plane = kernel_param_i64(k, "a_plane");
    gk->a_row = kernel_param_i64(k, "a_row");
    gk->a_tap_row = kernel_param_i64(k, "a_tap_row");
    gk->panels = kernel_param_i64(k, "panels");
    gk->w_panel = kernel_param_i64(k, "w_panel");
    gk->c_plane = kernel_param_i64(k, "c_plane");
    gk->c_row = kernel_param_i64(k, "c_row");
    gk->c_panel = kernel_param_i64(k, "c_panel");
    if (g->residual) {
        gk->r_plane = kernel_param_i64(k, "r_plane");
        gk->r_row = kernel_param_i64(k, "r_row");
        gk->r_panel = kernel_param_i64(k, "r_panel");
    }
    gk->rows = kernel_param_i64(k, "rows");
    gk->tiles = kernel_param_i64(k, "tiles");
    if (s->mr_tail)
        gk->tails = kernel_param_i64(k, "tails");
}

static Kernel *build_kernel(Lower *lo, const Gemm *g, const Schedule *s, int nv, bool half) {
    Kernel *k = kernel_new(lo->m, kernel_name(lo, g, s, nv, half));
    GemmKernel gk = {.g = g, .lanes = lower_lanes(lo), .nv = nv, .half = half};
    declare_params(&gk, k, s);
    ensure(s->mr * nv <= MAX_ACC);
    for (int i = 0; i < s->mr * nv; i++)
        gk.acc[i] = kernel_reg(k, arena_printf(&lo->m->arena, "acc%d_%d", i / nv, i % nv),
                               ltype(DT_f32, vector_lanes(&gk, i % nv)));
    gk.b = build_begin(k);
    kernel_body(&gk, s);
    build_end(&gk.b);
    return k;
}

static int64_t panel_elems(const Gemm *g, int64_t width) {
    return width * (1 + g->k * g->kh * g->kw);
}

static Schedule gemm_schedule(const Gemm *g, const PassContext *cx) {
    TileProblem p = {.kind = TILE_GEMM,
                     .kh = g->kh,
                     .kw = g->kw,
                     .stride = g->pixel_step / g->ablock,
                     .dilation = g->tap_step / g->ablock,
                     .pixels = g->length,
                     .channels = g->n,
                     .k = g->k,
                     .act = g->act,
                     .planar = g->ablock != target_lanes(cx->target),
                     .residual = g->residual,
                     .rows = g->rows};
    return pick_schedule(&p, cx);
}

/* What a call computes of g, besides its panels: some rows, and of each some tiles. */
typedef struct Extent {
    Bound rows, tiles, tails;
} Extent;

static Extent whole_extent(const Gemm *g, const Schedule *s) {
    return (Extent){bound_const(g->rows), bound_const(g->length / s->mr), bound_const(1)};
}

static int put_pointers(const Gemm *g, Addr w, Arg *args) {
    int n = 0;
    args[n++] = arg_addr(g->a);
    args[n++] = arg_addr(w);
    args[n++] = arg_addr(g->c);
    if (g->residual)
        args[n++] = arg_addr(g->r);
    return n;
}

static int put_strides(const Gemm *g, Bound panels, int64_t nv, int64_t panel, Arg *args) {
    const Bound all[] = {bound_const(g->k),           bound_const(ceil_div(g->k, g->ablock)),
                         bound_const(g->a_plane),     bound_const(g->a_row),
                         bound_const(g->a_tap_row),   panels,
                         bound_const(panel),          bound_const(g->c_plane),
                         bound_const(g->c_row),       bound_const(nv * g->c_plane),
                         bound_const(g->r_plane),     bound_const(g->r_row),
                         bound_const(nv * g->r_plane)};
    int n = (int)(sizeof all / sizeof *all) - (g->residual ? 0 : 3);
    for (int i = 0; i < n; i++)
        args[i] = arg_bound(all[i]);
    return n;
}

/* Panels nv vectors wide: the first one's weights are at w. */
static void call_panels(Lower *lo, const Gemm *g, const Schedule *s, const Extent *e, Addr w,
                        Bound panels, int nv, bool half) {
    Arg args[24];
    int n = put_pointers(g, w, args);
    n += put_strides(g, panels, nv, panel_elems(g, nv * lower_lanes(lo)), args + n);
    args[n++] = arg_bound(e->rows);
    args[n++] = arg_bound(e->tiles);
    if (s->mr_tail)
        args[n++] = arg_bound(e->tails);
    lower_call(lo, build_kernel(lo, g, s, nv, half), args, n);
}

GemmPanels gemm_panels(const Gemm *g, const PassContext *cx) {
    int lanes = target_lanes(cx->target);
    Schedule s = gemm_schedule(g, cx);
    int last = schedule_odd(&s);
    GemmPanels p = {.channels = s.nv * lanes};
    p.whole = (ceil_div(g->n, lanes) - last) / s.nv;
    p.last = last ? g->n - p.whole * p.channels : 0;
    p.weights = panel_elems(g, p.channels);
    return p;
}

void gemm_call_panels(Lower *lo, const Gemm *g, Addr weights, int64_t panels) {
    Schedule s = gemm_schedule(g, lo->cx);
    Extent e = whole_extent(g, &s);
    call_panels(lo, g, &s, &e, weights, bound_const(panels), s.nv, false);
}

static void call_last(Lower *lo, const Gemm *g, const Schedule *s, const Extent *e, Addr weights) {
    call_panels(lo, g, s, e, weights, bound_const(1), schedule_last(s), s->half);
}

void gemm_call_last(Lower *lo, const Gemm *g, Addr weights) {
    Schedule s = gemm_schedule(g, lo->cx);
    Extent e = whole_extent(g, &s);
    call_last(lo, g, &s, &e, weights);
}

/* ---- parts ----------------------------------------------------------------------------------- */

typedef enum SplitKind { SPLIT_PANELS, SPLIT_ROWS, SPLIT_TILES } SplitKind;

typedef struct Split {
    SplitKind kind;
    int64_t units, parts;
} Split;

/* Whole panels, so that each weight is read by one part; or, where those are too few, rows or tiles
 * of a long row. */
static Split gemm_split(const Gemm *g, const PassContext *cx) {
    enum { ENOUGH = 8 };
    const double WEIGHT_BYTE = 0.125; /* cycles, where each weight is used once or twice */
    Schedule s = gemm_schedule(g, cx);
    GemmPanels p = gemm_panels(g, cx);
    double vectors = (double)ceil_div(g->n, target_lanes(cx->target));
    double rows = (double)(g->k * g->kh * g->kw);
    double cycles = vectors * rows * (double)(g->rows * g->length);
    double loads = WEIGHT_BYTE * rows * (double)g->n * sizeof(float);
    cycles = cycles > loads ? cycles : loads;
    int64_t panels = p.whole + (p.last ? 1 : 0), tiles = g->length / s.mr;
    Split best = {SPLIT_PANELS, panels, 0};
    if (panels < ENOUGH && g->rows > panels)
        best = (Split){SPLIT_ROWS, g->rows, 0};
    if (best.units < ENOUGH && g->rows == 1 && tiles > best.units)
        best = (Split){SPLIT_TILES, tiles, 0};
    best.parts = lower_parts(cx, cycles, best.units);
    return best;
}

/* g with its output and residual from vector `first` on. */
static Gemm from_vector(const Gemm *g, int64_t first) {
    Gemm rest = *g;
    rest.c = addr_offset(g->c, first * g->c_plane);
    if (g->residual)
        rest.r = addr_offset(g->r, first * g->r_plane);
    return rest;
}

static void call_last_after(Lower *lo, const Gemm *g, const Schedule *s, const Extent *e,
                            Addr weights, const GemmPanels *p) {
    Gemm rest = from_vector(g, p->whole * s->nv);
    call_last(lo, &rest, s, e, addr_offset(weights, p->whole * p->weights));
}

/* The halo around the part's panels. Each part zeroes its own: another's memory is far away, and
 * halos may be as large as what they are around. */
static void zero_part_halo(Lower *lo, const Gemm *g, int64_t nv, const Parts *parts) {
    Builder *b = &lo->step;
    LType i64 = ltype(DT_i64, 1);
    int64_t blocks = view_of(&g->halo_of->type).blocks;
    Bound count = bound_const(parts->each * nv);
    if (!parts->each || parts->units * nv != blocks) {
        Reg *width = build_const_i(b, "width", i64, nv),
            *all = build_const_i(b, "blocks", i64, blocks);
        Reg *first = build_op(b, INST_mul, "first_block", parts->first, width, NULL);
        Reg *end = build_op(b, INST_mul, "end_block", parts_end(lo, parts), width, NULL);
        end = build_op(b, INST_min, "end_block", end, all, NULL);
        count = bound_reg(build_op(b, INST_sub, "halos", end, first, NULL));
    }
    lower_zero_halo_of(lo, g->halo_of, parts_addr(parts, g->c, nv * g->c_plane), count);
}

static bool has_halo(const Value *v) {
    const int *h = v->type.layout.halo;
    return h[0] || h[1] || h[2] || h[3];
}

/* What scales panels nv vectors wide by the gate. */
static ScaleWeights scale_of(const Gemm *g, int64_t panels, int nv, int lanes) {
    return (ScaleWeights){.taps = g->kh * g->kw,
                          .block = g->ablock,
                          .k = g->k,
                          .vectors = nv,
                          .panels = panels,
                          .panel = panel_elems(g, nv * lanes)};
}

/* All weights times the gate, in scratch: a part has some of the channels. */
static Addr scale_all(Lower *lo, const Gemm *g, Addr weights, const Schedule *s,
                      const GemmPanels *p) {
    enum { VECTOR_CYCLES = 6 }; /* to read it from far away, and to write it */
    int lanes = lower_lanes(lo);
    int64_t rows = g->k * g->kh * g->kw, blocks = ceil_div(g->k, g->ablock);
    double cycles = VECTOR_CYCLES * (double)(rows * ceil_div(g->n, lanes));
    ScaleWeights whole = scale_of(g, p->whole, s->nv, lanes);
    ScaleWeights last = scale_of(g, 1, schedule_last(s), lanes);
    int64_t behind = p->whole * p->weights;
    Parts parts = lower_parts_begin(lo, blocks, lower_parts(lo->cx, cycles, blocks));
    if (p->whole)
        lower_scale_slice(lo, &whole, &parts, weights, g->g, g->scratch);
    if (p->last)
        lower_scale_slice(lo, &last, &parts, addr_offset(weights, behind), g->g,
                          addr_offset(g->scratch, behind));
    lower_parts_end(lo, &parts);
    return g->scratch;
}

/* The weights of some panels times the gate. */
static Addr scale_panels(Lower *lo, const Gemm *g, Addr weights, Addr to, Bound panels, int nv) {
    ScaleWeights s = scale_of(g, 0, nv, lower_lanes(lo));
    lower_scale_weights(lo, &s, panels, weights, g->g, to);
    return to;
}

/* The part's panels; the last one is a unit too, of the last part. */
static void call_part_panels(Lower *lo, const Gemm *g, const Schedule *s, Addr weights,
                             const GemmPanels *p, const Parts *parts) {
    Builder *b = &lo->step;
    Extent e = whole_extent(g, s);
    Gemm mine = *g;
    Reg *whole = NULL, *end = NULL;
    Bound count = {0};
    if (p->last) {
        whole = build_const_i(b, "whole", ltype(DT_i64, 1), p->whole);
        end = parts_end(lo, parts);
        Reg *stop = build_op(b, INST_min, "stop", end, whole, NULL);
        count = bound_reg(build_op(b, INST_sub, "panels", stop, parts->first, NULL));
    } else {
        count = parts_count(lo, parts);
    }
    mine.c = parts_addr(parts, g->c, s->nv * g->c_plane);
    if (g->residual)
        mine.r = parts_addr(parts, g->r, s->nv * g->r_plane);
    Addr w = parts_addr(parts, weights, p->weights);
    if (p->whole && g->gate)
        w = scale_panels(lo, g, w, parts_addr(parts, g->scratch, p->weights), count, s->nv);
    if (p->whole)
        call_panels(lo, &mine, s, &e, w, count, s->nv, false);
    if (!p->last)
        return;
    build_if(b, build_op(b, INST_lt, "last", whole, end, NULL));
    mine.c = g->c;
    mine.r = g->r;
    if (g->gate) {
        int64_t behind = p->whole * p->weights;
        scale_panels(lo, g, addr_offset(weights, behind), addr_offset(g->scratch, behind),
                     bound_const(1), schedule_last(s));
        weights = g->scratch;
    }
    call_last_after(lo, &mine, s, &e, weights, p);
    build_close(b);
}

/* The end of a row belongs to the last part. */
static Extent part_of_row(Lower *lo, const Gemm *g, const Parts *parts) {
    Builder *b = &lo->step;
    LType i64 = ltype(DT_i64, 1);
    Reg *all = build_const_i(b, "tiles", i64, parts->units);
    Reg *ends = build_op(b, INST_eq, "ends", parts_end(lo, parts), all, NULL);
    Reg *tails = build_op(b, INST_select, "tails", ends, build_const_i(b, "one", i64, 1),
                          build_const_i(b, "zero", i64, 0));
    return (Extent){bound_const(g->rows), parts_count(lo, parts), bound_reg(tails)};
}

static void call_all(Lower *lo, const Gemm *g, const Schedule *s, const Extent *e, Addr weights,
                     const GemmPanels *p) {
    if (p->whole)
        call_panels(lo, g, s, e, weights, bound_const(p->whole), s->nv, false);
    if (p->last)
        call_last_after(lo, g, s, e, weights, p);
}

/* All panels for the part's rows or tiles. */
static void call_part_pixels(Lower *lo, const Gemm *g, const Schedule *s, Addr weights,
                             const GemmPanels *p, const Parts *parts, SplitKind kind) {
    bool rows = kind == SPLIT_ROWS;
    Extent e = whole_extent(g, s);
    if (rows)
        e.rows = parts_count(lo, parts);
    else
        e = part_of_row(lo, g, parts);
    Gemm mine = *g;
    mine.a = parts_addr(parts, g->a, rows ? g->a_row : s->mr * g->pixel_step);
    mine.c = parts_addr(parts, g->c, rows ? g->c_row : s->mr * g->c_pixel);
    if (g->residual)
        mine.r = parts_addr(parts, g->r, rows ? g->r_row : s->mr * g->c_pixel);
    call_all(lo, &mine, s, &e, weights, p);
}

void gemm_call(Lower *lo, const Gemm *g, Addr weights) {
    GemmPanels p = gemm_panels(g, lo->cx);
    Schedule s = gemm_schedule(g, lo->cx);
    Split split = gemm_split(g, lo->cx);
    bool by_panels = split.kind == SPLIT_PANELS && split.parts > 1;
    if (g->gate && !by_panels)
        weights = scale_all(lo, g, weights, &s, &p);
    bool halo = g->halo_of && has_halo(g->halo_of);
    Parts parts = lower_parts_begin(lo, split.units, split.parts);
    if (split.parts == 1) {
        Extent whole = whole_extent(g, &s);
        call_all(lo, g, &s, &whole, weights, &p);
    } else if (by_panels) {
        call_part_panels(lo, g, &s, weights, &p, &parts);
        if (halo)
            zero_part_halo(lo, g, s.nv, &parts);
    } else {
        call_part_pixels(lo, g, &s, weights, &p, &parts, split.kind);
    }
    lower_parts_end(lo, &parts);
    if (halo && !by_panels)
        lower_zero_halo(lo, g->halo_of);
}

/* ---- packing --------------------------------------------------------------------------------- */

/* Spare output lanes must end as zero. Activations keep zero, or tend to zero at minus infinity. */
float spare_bias(Act act) {
    return act == ACT_none || act_keeps_zero(act) ? 0 : -INFINITY;
}

static float weight_at(const Gemm *g, const float *w, int64_t n, int64_t c, int64_t tap) {
    return n < g->n ? w[(n * g->k + c) * g->kh * g->kw + tap] : 0;
}

/* One panel of `width` output channels from `first` on; returns the place behind it. */
static float *pack_panel(const Gemm *g, const ConvWeights *gw, int64_t first, int64_t width,
                         float *out) {
    for (int64_t i = 0; i < width; i++) {
        float bias = gw->bias && first + i < g->n ? gw->bias[first + i] : 0;
        *out++ = first + i < g->n ? bias : spare_bias(g->act);
    }
    for (int64_t cb = 0; cb < g->k; cb += g->ablock)
        for (int64_t tap = 0; tap < g->kh * g->kw; tap++)
            for (int64_t c = cb; c < cb + g->ablock && c < g->k; c++)
                for (int64_t i = 0; i < width; i++)
                    *out++ = weight_at(g, gw->w, first + i, c, tap);
    return out;
}

static int64_t packed_elems(const Gemm *g, const Target *t) {
    return panel_elems(g, round_up(g->n, target_lanes(t)));
}

int64_t gemm_scratch(const Gemm *g, const PassContext *cx) {
    return g->gate ? packed_elems(g, cx->target) : 0;
}

Addr gemm_pack(Lower *lo, const Gemm *g, const ConvWeights *gw) {
    int lanes = lower_lanes(lo);
    int64_t vectors = ceil_div(g->n, lanes);
    Schedule s = gemm_schedule(g, lo->cx);
    float *packed = lower_weights_begin(lo, packed_elems(g, lo->cx->target)), *out = packed;
    for (int64_t v = 0; v < vectors; v += s.nv) {
        int64_t wide = v + s.nv <= vectors ? s.nv : s.nv_tail;
        out = pack_panel(g, gw, v * lanes, wide * lanes, out);
    }
    ensure(out - packed == packed_elems(g, lo->cx->target));
    return lower_weights_end(lo, g->weight_name);
}
