/* lower_gemm.c: the kernel behind conv2d, dense and se: a register tile of mr pixels by nv vectors
 * of output channels, all of K in registers, bias as the first value, activation and residual in
 * the epilogue.
 *
 *   for each panel of nv vectors            weights of a panel: [bias, steps, K][nv * lanes]
 *     for each row
 *       for each tile of mr pixels          acc[m][v] = bias[v]
 *         for each block, tap row, tap, l   acc[m][v] += a[m] * w[v]
 *       one tile of mr_tail pixels, unless the row goes on in another part
 *
 * Sizes and strides are run-time arguments, so one kernel serves many layers. Where half of the
 * last vector's lanes are enough for the last channels, a kernel of its own computes the last
 * panel: there two pixels share a register, the even one's sums in the lower half and the odd one's
 * in the upper half, and both halves of the packed weights are the same. */
#include "passes/lower.h"

#include <math.h>
#include <string.h>

enum { MAX_ACC = 64 };

/* How a kernel brings the next panel's weights meanwhile. */
typedef enum AheadKind {
    AHEAD_NONE,
    AHEAD_BLOCKS, /* look_ahead */
    AHEAD_PIECES, /* prefetch_piece */
    AHEAD_PANEL,  /* prefetch_panel */
} AheadKind;

typedef struct GemmKernel {
    Builder b;
    const Gemm *g;
    int lanes, nv;
    bool half;          /* the last vector is half a register, and two pixels share one */
    Reg *a, *w, *c, *r; /* pointers to the first element */
    Reg *k, *k_blocks, *a_plane, *a_row, *a_tap_row;
    Reg *panels, *w_panel, *c_plane, *c_row, *c_panel, *r_plane, *r_row, *r_panel;
    Reg *rows, *tiles;
    Reg *tails; /* 1 or 0: whether a row ends with a tile of mr_tail; NULL where none does */
    AheadKind ahead_kind;
    Reg *ahead, *lines, *next;            /* AHEAD_BLOCKS */
    int pieces;                           /* AHEAD_PIECES: lines of one */
    Reg *piece, *piece_step, *last_piece; /* AHEAD_PIECES */
    bool far;                             /* inputs come from beyond the core's caches */
    Reg *block_size;                      /* ablock as a register, where ablock > 1 */
    Reg *acc[MAX_ACC];                    /* [pixel][vector]; a shared one twice */
} GemmKernel;

static int panel_width(const GemmKernel *gk) {
    return gk->nv * gk->lanes;
}

/* Whether two pixels share the registers of vector v. */
static bool is_shared(const GemmKernel *gk, int v) {
    return gk->half && v == gk->nv - 1;
}

/* Whether vector v of pixel m, of a tile of mr, is done with that of the next pixel. */
static bool waits_for_next(const GemmKernel *gk, int v, int m, int mr) {
    return is_shared(gk, v) && m % 2 == 0 && m + 1 < mr;
}

/* Elements of a block of channels' weights in a panel so wide. */
static int64_t block_weights(const Gemm *g, int64_t width) {
    return g->kh * g->kw * g->ablock * width;
}

/* ---- loops over K ---------------------------------------------------------------------------- */

/* Brings some lines of the next panel's weights: of those at the place of the block before w, each
 * tile of a row brings the ones that follow the last tile's. As look_ahead, but what it takes is
 * one register that stays the same for a whole tile, where targets of 16 have none to spare. */
static void prefetch_piece(GemmKernel *gk, Reg *w) {
    for (int i = 0; i < gk->pieces; i++)
        build_prefetch(&gk->b, addr_plus(addr_of(w, i * CACHE_LINE), gk->piece, 1));
}

/* Brings the next panel's weights at the place of w, and so all of them with each tile. */
static void prefetch_panel(GemmKernel *gk, Reg *w) {
    for (int i = 0; i < panel_width(gk); i += CACHE_LINE)
        build_prefetch(&gk->b, addr_plus(addr_of(w, i), gk->w_panel, 1));
}

/* Where tile t's piece is, from the weights at the same place of this panel. More tiles than pieces
 * bring the last one again and again: that costs nothing, but what follows it would take the place
 * of inputs. */
static Reg *place_of_piece(GemmKernel *gk, Reg *t) {
    Builder *b = &gk->b;
    Reg *place = build_op(b, INST_mul, "piece", t, gk->piece_step, NULL);
    build_op_to(b, INST_add, place, place, gk->w_panel, NULL);
    build_op_to(b, INST_min, place, place, gk->last_piece, NULL);
    return place;
}

/* Pixel m of a tile of mr, whose input is x: its products, those of its own vectors, and of a
 * shared one together with the pixel before it. The next pixel comes first where that shares. */
static void multiply_pixel(GemmKernel *gk, Reg *const *wv, Reg *const *x, int m, int mr) {
    for (int v = 0; v < gk->nv; v++) {
        Reg *acc = gk->acc[m * gk->nv + v], *by = x[m];
        if (waits_for_next(gk, v, m, mr))
            continue;
        if (is_shared(gk, v) && m % 2 == 1)
            by = build_op(&gk->b, INST_halves, "xx", x[m - 1], x[m], NULL);
        build_op_to(&gk->b, INST_fma, acc, by, wv[v], acc);
    }
}

/* One step along K: `at` is the address of the first pixel's input, w that of the weights. */
static void multiply_step(GemmKernel *gk, Addr at, Reg *w, int mr) {
    Builder *b = &gk->b;
    Reg *wv[MAX_ACC], *x[MAX_ACC];
    for (int v = 0; v < gk->nv; v++)
        wv[v] = build_load(b, "w", gk->lanes, addr_of(w, v * gk->lanes));
    for (int m = 0; m < mr; m++) {
        x[m] = build_spread(b, "x", gk->lanes, addr_offset(at, m * gk->g->pixel_step));
        multiply_pixel(gk, wv, x, m, mr);
    }
    if (gk->ahead_kind == AHEAD_PANEL && mr > 1)
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

/* The tile's inputs of two blocks of channels ahead: planes are far apart, and what has left the
 * second cache comes too late where the processor itself has to find out. */
static void prefetch_inputs(GemmKernel *gk, Reg *block, int mr) {
    for (int m = 0; m < mr; m++)
        build_prefetch(&gk->b, addr_plus(addr_of(block, m * gk->g->pixel_step), gk->a_plane, 2));
}

/* Brings a piece of the next panel's weights. This panel's serve all tiles: if each block of a tile
 * brings an equal share of the next ones, all of them are there in time, and none is asked for
 * twice. */
static void look_ahead(GemmKernel *gk) {
    Builder *b = &gk->b;
    Reg *i = build_for(b, "line", bound_const(0), bound_reg(gk->lines), 1);
    build_prefetch(b, addr_plus(addr_of(gk->next, 0), i, CACHE_LINE));
    build_close(b);
    advance(b, gk->next, gk->ahead);
}

/* All of K for the input that starts at `at`; w moves on behind the last weight. */
static void loop_over_k(GemmKernel *gk, Reg *at, Reg *w, int mr) {
    Builder *b = &gk->b;
    const Gemm *g = gk->g;
    Reg *block = copy_pointer(b, "block", at);
    Reg *left = g->ablock > 1 ? build_op(b, INST_mov, "left", gk->k, NULL, NULL) : NULL;
    build_for(b, "cb", bound_const(0), bound_reg(gk->k_blocks), 1);
    Reg *count = left ? build_op(b, INST_min, "count", left, gk->block_size, NULL) : NULL;
    if (gk->far)
        prefetch_inputs(gk, block, mr);
    if (gk->next)
        look_ahead(gk);
    if (g->kh == 1) {
        tap_row(gk, block, w, mr, count);
    } else {
        Reg *row = copy_pointer(b, "row", block);
        build_for(b, "i", bound_const(0), bound_const(g->kh), 1);
        tap_row(gk, row, w, mr, count);
        advance(b, row, gk->a_tap_row);
        build_close(b);
    }
    prefetch_piece(gk, w);
    advance(b, block, gk->a_plane);
    if (left)
        build_op_to(b, INST_sub, left, left, gk->block_size, NULL);
    build_close(b);
}

/* ---- tiles ----------------------------------------------------------------------------------- */

/* Address of pixel m, vector v in a tensor of blocks `plane` apart. */
static Addr tile_addr(const GemmKernel *gk, Reg *tile, Reg *plane, int m, int v) {
    Addr a = addr_of(tile, m * gk->g->c_pixel);
    return v ? addr_plus(a, plane, v) : a;
}

/* Vector v of a tensor, of pixel m and, where they share a register, of the odd one before it: NULL
 * for an even pixel whose share comes with the next one. */
static Reg *load_vector(GemmKernel *gk, Reg *at, Reg *plane, int m, int v, int mr) {
    Builder *b = &gk->b;
    if (waits_for_next(gk, v, m, mr))
        return NULL;
    Reg *x = build_load(b, "x", gk->lanes, tile_addr(gk, at, plane, m, v));
    if (!is_shared(gk, v) || m % 2 == 0)
        return x;
    Reg *even = build_load(b, "even", gk->lanes, tile_addr(gk, at, plane, m - 1, v));
    return build_op(b, INST_halves, "both", even, build_op(b, INST_swap, "odd", x, NULL, NULL),
                    NULL);
}

/* What has been added up before. */
static void resume_tile(GemmKernel *gk, Reg *c, int mr) {
    for (int m = 0; m < mr; m++)
        for (int v = 0; v < gk->nv; v++) {
            Reg *x = load_vector(gk, c, gk->c_plane, m, v, mr);
            if (x)
                build_op_to(&gk->b, INST_mov, gk->acc[m * gk->nv + v], x, NULL, NULL);
        }
}

static void start_tile(GemmKernel *gk, Reg *panel, int mr) {
    for (int v = 0; v < gk->nv; v++)
        build_load_to(&gk->b, gk->acc[v], addr_of(panel, v * gk->lanes));
    for (int m = 1; m < mr; m++)
        for (int v = 0; v < gk->nv; v++)
            if (!is_shared(gk, v) || m % 2 == 0)
                build_op_to(&gk->b, INST_mov, gk->acc[m * gk->nv + v], gk->acc[v], NULL, NULL);
}

/* The halves of a shared register as whole vectors, with zeros in the lanes that are spare. */
static void store_shared(GemmKernel *gk, Reg *acc, Reg *c, int m, int v) {
    Builder *b = &gk->b;
    Reg *zero = build_const_f(b, "zero", acc->type, 0);
    Reg *even = build_op(b, INST_halves, "even", acc, zero, NULL);
    build_store(b, tile_addr(gk, c, gk->c_plane, m - m % 2, v), even);
    if (m % 2 == 0)
        return;
    Reg *odd = build_op(b, INST_swap, "odd", acc, NULL, NULL);
    build_op_to(b, INST_halves, odd, odd, zero, NULL);
    build_store(b, tile_addr(gk, c, gk->c_plane, m, v), odd);
}

/* Pixel m, vector v; a shared one with its last pixel. */
static void finish_vector(GemmKernel *gk, const StepRegs *steps, Reg *c, Reg *r, int m, int v,
                          int mr) {
    Builder *b = &gk->b;
    Reg *acc = gk->acc[m * gk->nv + v];
    if (waits_for_next(gk, v, m, mr))
        return;
    if (gk->g->act != ACT_none)
        build_op_to(b, act_inst(gk->g->act), acc, acc, NULL, NULL);
    if (r)
        build_op_to(b, INST_add, acc, acc, load_vector(gk, r, gk->r_plane, m, v, mr), NULL);
    if (steps)
        steps_apply(b, steps, acc);
    if (is_shared(gk, v))
        store_shared(gk, acc, c, m, v);
    else
        build_store(b, tile_addr(gk, c, gk->c_plane, m, v), acc);
}

/* Vector by vector, so that its steps are loaded once. */
static void finish_by_steps(GemmKernel *gk, Reg *panel, Reg *c, Reg *r, int mr) {
    int width = panel_width(gk);
    for (int v = 0; v < gk->nv; v++) {
        Addr rows = addr_of(panel, width + v * gk->lanes);
        StepRegs s = steps_load(&gk->b, &gk->g->steps, rows, width, gk->lanes);
        for (int m = 0; m < mr; m++)
            finish_vector(gk, &s, c, r, m, v, mr);
    }
}

static void finish_tile(GemmKernel *gk, Reg *panel, Reg *c, Reg *r, int mr) {
    if (gk->g->steps.rows) {
        finish_by_steps(gk, panel, c, r, mr);
        return;
    }
    for (int m = 0; m < mr; m++)
        for (int v = 0; v < gk->nv; v++)
            finish_vector(gk, NULL, c, r, m, v, mr);
}

/* Tile t of a row. */
static void tile(GemmKernel *gk, Reg *t, Reg *panel, Reg *at, Reg *c, Reg *r, int mr) {
    if (gk->g->adds)
        resume_tile(gk, c, mr);
    else
        start_tile(gk, panel, mr);
    int64_t before = panel_width(gk) * (1 + steps_rows(&gk->g->steps));
    Reg *w = build_lea(&gk->b, "wk", addr_of(panel, before));
    if (gk->pieces)
        gk->piece = place_of_piece(gk, t);
    loop_over_k(gk, at, w, mr);
    finish_tile(gk, panel, c, r, mr);
}

static void row_of_tiles(GemmKernel *gk, const Schedule *s, Reg *panel, Reg *a_row, Reg *c_row,
                         Reg *r_row) {
    Builder *b = &gk->b;
    Reg *at = copy_pointer(b, "at", a_row), *ct = copy_pointer(b, "ct", c_row);
    Reg *rt = r_row ? copy_pointer(b, "rt", r_row) : NULL;
    Reg *t = build_for(b, "t", bound_const(0), bound_reg(gk->tiles), 1);
    tile(gk, t, panel, at, ct, rt, s->mr);
    advance_by(b, at, s->mr * gk->g->pixel_step);
    advance_by(b, ct, s->mr * gk->g->c_pixel);
    if (rt)
        advance_by(b, rt, s->mr * gk->g->c_pixel);
    build_close(b);
    if (!s->mr_tail)
        return;
    build_for(b, "tail", bound_const(0), bound_reg(gk->tails), 1);
    tile(gk, gk->tiles, panel, at, ct, rt, s->mr_tail);
    build_close(b);
}

/* ---- panels ---------------------------------------------------------------------------------- */

static void panel_body(GemmKernel *gk, const Schedule *s, Reg *panel, Reg *c, Reg *r) {
    Builder *b = &gk->b;
    Reg *a_row = copy_pointer(b, "ar", gk->a), *c_row = copy_pointer(b, "cr", c);
    Reg *r_row = r ? copy_pointer(b, "rr", r) : NULL;
    if (gk->ahead)
        gk->next = build_lea(b, "next", addr_plus(addr_of(panel, 0), gk->w_panel, 1));
    build_for(b, "y", bound_const(0), bound_reg(gk->rows), 1);
    row_of_tiles(gk, s, panel, a_row, c_row, r_row);
    advance(b, a_row, gk->a_row);
    advance(b, c_row, gk->c_row);
    if (r_row)
        advance(b, r_row, gk->r_row);
    build_close(b);
}

static void declare_pieces(GemmKernel *gk) {
    Builder *b = &gk->b;
    LType i64 = ltype(DT_i64, 1);
    int64_t step = (int64_t)gk->pieces * CACHE_LINE;
    gk->piece_step = build_const_i(b, "piece_step", i64, step);
    Reg *last = build_const_i(b, "last", i64, block_weights(gk->g, panel_width(gk)) - step);
    gk->last_piece = build_op(b, INST_add, "last_piece", gk->w_panel, last, NULL);
}

static void kernel_body(GemmKernel *gk, const Schedule *s) {
    Builder *b = &gk->b;
    if (gk->g->ablock > 1)
        gk->block_size = build_const_i(b, "block_size", ltype(DT_i64, 1), gk->g->ablock);
    if (gk->pieces)
        declare_pieces(gk);
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

/* Whether inputs come from beyond the second cache, or, where threads share the panels, half of
 * them from another core's: both pay for looking ahead, if channels are many. */
static bool reads_far(const Gemm *g, const PassContext *cx) {
    enum { FEW = 64, MANY = 256 };
    const Target *t = cx->target;
    int64_t bytes = g->k * g->rows * g->length * (int64_t)sizeof(float);
    if (g->kh != 1 || g->kw != 1 || g->ablock == 1 || g->k < FEW)
        return false;
    return bytes > pass_l2_bytes(cx) * 3 / 4 ||
           (g->k >= MANY && bytes > t->l1_bytes && gemm_by_panels(g, cx));
}

static const char *kernel_name(Lower *lo, const GemmKernel *gk, const Schedule *s) {
    const Gemm *g = gk->g;
    Buf b = {0};
    buf_printf(&b, "%s_%dx%d%s", g->stem, s->mr, gk->nv, gk->half ? "h" : "");
    if (s->mr_tail)
        buf_printf(&b, "_t%d", s->mr_tail);
    if (g->act != ACT_none)
        buf_printf(&b, "_%s", act_name(g->act));
    buf_puts(&b, g->residual ? "_res" : "");
    buf_puts(&b, g->steps.rows ? "_steps" : "");
    buf_puts(&b, g->adds ? "_adds" : "");
    buf_puts(&b, gk->far ? "_far" : "");
    if (gk->pieces > 1)
        buf_printf(&b, "_ahead%d", gk->pieces);
    const char *name = arena_strdup(&lo->m->arena, b.data);
    buf_free(&b);
    return name;
}

/* A kernel of one pixel reads each weight once, as fast as they come. Pieces are best, but blocks
 * of one channel have no place for them; and compilers keep a tile that takes all registers there
 * only in the plain loop of prefetch_panel. */
static AheadKind ahead_kind(const Gemm *g, const Target *t, int mr, int nv) {
    if (target_lanes(t) == 1 || mr == 1)
        return AHEAD_NONE;
    if (target_spares_registers(t))
        return AHEAD_BLOCKS;
    return g->ablock == 1 || mr * nv + nv + 1 >= t->vector_regs ? AHEAD_PANEL : AHEAD_PIECES;
}

/* How many lines prefetch_piece brings with each block of channels, so that a row's tiles together
 * bring all of the next panel: a power of two, so that kernels are few. */
static int pieces_of_block(const Gemm *g, const GemmExtent *e, Bound panels, int64_t width) {
    bool last = !panels.reg && panels.value == 1; /* what follows is another layer's */
    int64_t tiles = e->tiles.reg ? ceil_div(e->all_tiles, g->rows) : e->tiles.value + 1;
    int pieces = 1;
    while (!last && pieces * tiles * CACHE_LINE < block_weights(g, width))
        pieces *= 2;
    return pieces;
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
    if (gk->ahead_kind == AHEAD_BLOCKS) {
        gk->ahead = kernel_param_i64(k, "ahead");
        gk->lines = kernel_param_i64(k, "lines");
    }
}

static Kernel *build_kernel(Lower *lo, GemmKernel *gk, const Schedule *s) {
    Kernel *k = kernel_new(lo->m, kernel_name(lo, gk, s));
    int nv = gk->nv;
    declare_params(gk, k, s);
    ensure(s->mr * nv <= MAX_ACC);
    for (int i = 0; i < s->mr * nv; i++) {
        bool again = is_shared(gk, i % nv) && i / nv % 2 == 1;
        const char *name = arena_printf(&lo->m->arena, "acc%d_%d", i / nv, i % nv);
        gk->acc[i] = again ? gk->acc[i - nv] : kernel_reg(k, name, ltype(DT_f32, gk->lanes));
    }
    gk->b = build_begin(k);
    kernel_body(gk, s);
    build_end(&gk->b);
    return k;
}

int64_t gemm_panel_elems(const Gemm *g, int64_t width) {
    int64_t k = g->k_packed ? g->k_packed : g->k;
    return width * (1 + steps_rows(&g->steps) + k * g->kh * g->kw);
}

Schedule gemm_tiling(const Gemm *g, const PassContext *cx) {
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

GemmExtent gemm_whole(const Gemm *g, const Schedule *s) {
    return (GemmExtent){bound_const(g->rows), bound_const(g->length / s->mr), bound_const(1),
                        g->rows * ceil_div(g->length, s->mr)};
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

void gemm_call_extent(Lower *lo, const Gemm *g, const Schedule *s, const GemmExtent *e, Addr w,
                      Bound panels, int nv, bool half) {
    Arg args[24];
    GemmKernel gk = {.g = g, .lanes = lower_lanes(lo), .nv = nv, .half = half};
    gk.ahead_kind = ahead_kind(g, lo->cx->target, s->mr, nv);
    gk.far = reads_far(g, lo->cx);
    int width = panel_width(&gk);
    int n = put_pointers(g, addr_offset(w, g->k_first * width), args);
    n += put_strides(g, panels, nv, gemm_panel_elems(g, width), args + n);
    args[n++] = arg_bound(e->rows);
    args[n++] = arg_bound(e->tiles);
    if (s->mr_tail)
        args[n++] = arg_bound(e->tails);
    if (gk.ahead_kind == AHEAD_BLOCKS) {
        int64_t blocks = e->all_tiles * ceil_div(g->k, g->ablock);
        int64_t ahead = ceil_div(g->k * g->kh * g->kw * width, blocks);
        args[n++] = arg_bound(bound_const(ahead));
        args[n++] = arg_bound(bound_const(ceil_div(ahead, CACHE_LINE)));
    }
    if (gk.ahead_kind == AHEAD_PIECES)
        gk.pieces = pieces_of_block(g, e, panels, width);
    lower_call(lo, build_kernel(lo, &gk, s), args, n);
}

GemmPanels gemm_panels(const Gemm *g, const PassContext *cx) {
    int lanes = target_lanes(cx->target);
    Schedule s = gemm_tiling(g, cx);
    int last = schedule_odd(&s);
    GemmPanels p = {.channels = s.nv * lanes};
    p.whole = (ceil_div(g->n, lanes) - last) / s.nv;
    p.last = last ? g->n - p.whole * p.channels : 0;
    p.weights = gemm_panel_elems(g, p.channels);
    return p;
}

void gemm_call_panels(Lower *lo, const Gemm *g, Addr weights, int64_t panels) {
    Schedule s = gemm_tiling(g, lo->cx);
    GemmExtent e = gemm_whole(g, &s);
    gemm_call_extent(lo, g, &s, &e, weights, bound_const(panels), s.nv, false);
}

static void call_last(Lower *lo, const Gemm *g, const Schedule *s, const GemmExtent *e,
                      Addr weights) {
    gemm_call_extent(lo, g, s, e, weights, bound_const(1), schedule_last(s), s->half);
}

void gemm_call_last(Lower *lo, const Gemm *g, Addr weights) {
    Schedule s = gemm_tiling(g, lo->cx);
    GemmExtent e = gemm_whole(g, &s);
    call_last(lo, g, &s, &e, weights);
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
    out = steps_pack(&g->steps, first, width, out);
    for (int64_t cb = 0; cb < g->k; cb += g->ablock)
        for (int64_t tap = 0; tap < g->kh * g->kw; tap++)
            for (int64_t c = cb; c < cb + g->ablock && c < g->k; c++)
                for (int64_t i = 0; i < width; i++)
                    *out++ = weight_at(g, gw->w, first + i, c, tap);
    return out;
}

int64_t gemm_weights(const Gemm *g, const Target *t) {
    return gemm_panel_elems(g, round_up(g->n, target_lanes(t)));
}

/* Each row of a panel from `from` to `to` ends with a half vector: it is repeated in the lanes
 * behind it. */
static void repeat_halves(float *from, const float *to, int64_t width, int half) {
    for (float *row = from; row < to; row += width)
        memcpy(row + width - half, row + width - 2 * half, (size_t)half * sizeof *row);
}

Addr gemm_pack(Lower *lo, const Gemm *g, const ConvWeights *gw) {
    int lanes = lower_lanes(lo);
    int64_t vectors = ceil_div(g->n, lanes);
    Schedule s = gemm_tiling(g, lo->cx);
    float *packed = lower_weights_begin(lo, gemm_weights(g, lo->cx->target)), *out = packed;
    for (int64_t v = 0; v < vectors; v += s.nv) {
        int64_t wide = v + s.nv <= vectors ? s.nv : s.nv_tail;
        float *panel = out;
        out = pack_panel(g, gw, v * lanes, wide * lanes, out);
        if (s.half && v + s.nv >= vectors)
            repeat_halves(panel, out, wide * lanes, lanes / 2);
    }
    ensure(out - packed == gemm_weights(g, lo->cx->target));
    return lower_weights_end(lo, g->weight_name);
}
