/* lower_winograd.c: dense 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3) or F(2x2, 3x3).
 *
 *   for each block of tiles                 as many as a part of the second cache holds
 *     input tiles -> v                      v: [block of K][tile][point][lanes]
 *     for each panel of nv vectors          weights: [bias, point, K][nv * lanes]
 *       for each point: v times weights     t: [vector][tile][point][lanes]
 *       t -> output tiles                   bias, activation, residual
 *
 * F(4x4) needs a fourth of the multiplications, F(2x2) four ninths, at the cost of the transforms
 * (winograd_tiles.c) and of weights that are 4 and 16/9 times as large. */
#include "passes/winograd.h"

enum { MAX_ACC = 64 };

static int64_t conv_tiles(const Gemm *g, int m) {
    return ceil_div(g->rows, m) * ceil_div(g->length, m);
}

/* ---- scratch --------------------------------------------------------------------------------- */

/* f32 elements of one part, and where its parts start: v at 0, then t, then one tile. */
typedef struct Scratch {
    int64_t v_block, t_block; /* strides: from a block of K, or a vector, to the next */
    int64_t t, spare, size;
} Scratch;

static Scratch scratch_of(const Gemm *g, const WinogradSchedule *s, int lanes) {
    Scratch x;
    x.v_block = x.t_block = s->tiles * winograd_tile_step(s->m, lanes);
    x.t = ceil_div(g->k, lanes) * x.v_block;
    x.spare = x.t + s->gemm.nv * x.t_block;
    x.size = round_up(x.spare + winograd_points(s->m) * lanes, ARENA_ALIGN / (int)sizeof(float));
    return x;
}

WinogradSchedule winograd_schedule(const Gemm *g, const PassContext *cx) {
    return pick_winograd(g->rows, g->length, g->k, g->n, cx);
}

/* Tiles of the first block. Where blocks are odd in number, one of two threads would have one more
 * than the other: then the first one is so small that their shares are equal, and the last one has
 * what is left. */
static int64_t first_block(const Gemm *g, const WinogradSchedule *s) {
    int64_t all = conv_tiles(g, s->m), blocks = ceil_div(all, s->tiles), mr = s->gemm.mr;
    if (blocks % 2 == 0 || blocks == 1)
        return s->tiles;
    int64_t first = (all / 2 - (blocks - 1) / 2 * s->tiles + mr / 2) / mr * mr;
    return first < mr ? mr : first;
}

static int64_t conv_blocks(const Gemm *g, const WinogradSchedule *s) {
    return 1 + ceil_div(conv_tiles(g, s->m) - first_block(g, s), s->tiles);
}

/* Blocks that may be worked on at the same time: each has scratch of its own. */
static int64_t conv_parts(const Gemm *g, const WinogradSchedule *s, const PassContext *cx) {
    enum { MAX_PARTS = 8 };
    int64_t parts = lower_parts(cx, s->m == 4 ? s->four : s->two, conv_blocks(g, s));
    return parts < MAX_PARTS ? parts : MAX_PARTS;
}

int64_t winograd_scratch(const Gemm *g, const PassContext *cx) {
    WinogradSchedule s = winograd_schedule(g, cx);
    return s.m ? conv_parts(g, &s, cx) * scratch_of(g, &s, target_lanes(cx->target)).size : 0;
}

/* ---- weights --------------------------------------------------------------------------------- */

static int64_t panel_elems(const Gemm *g, int m, int64_t width) {
    return width * (1 + winograd_points(m) * g->k);
}

/* The panel of `width` output channels from `first` on, zeroed before. */
static void pack_panel(const Gemm *g, const ConvWeights *from, int m, int64_t first, int64_t width,
                       float *out) {
    double u[WINOGRAD_MAX * WINOGRAD_MAX];
    for (int64_t i = 0; i < width; i++) {
        int64_t n = first + i;
        if (n >= g->n) {
            out[i] = spare_bias(g->act);
            continue;
        }
        out[i] = from->bias ? from->bias[n] : 0;
        for (int64_t c = 0; c < g->k; c++) {
            winograd_weights(m, from->w + (n * g->k + c) * 9, u);
            for (int p = 0; p < winograd_points(m); p++)
                out[(1 + p * g->k + c) * width + i] = (float)u[p];
        }
    }
}

Addr winograd_pack(Lower *lo, const Gemm *g, const ConvWeights *from) {
    WinogradSchedule s = winograd_schedule(g, lo->cx);
    int64_t lanes = lower_lanes(lo), vectors = ceil_div(g->n, lanes);
    float *out = lower_weights_begin(lo, panel_elems(g, s.m, vectors * lanes));
    for (int64_t v = 0; v < vectors; v += s.gemm.nv) {
        int64_t wide = v + s.gemm.nv <= vectors ? s.gemm.nv : s.gemm.nv_tail;
        pack_panel(g, from, s.m, v * lanes, wide * lanes, out);
        out += panel_elems(g, s.m, wide * lanes);
    }
    return lower_weights_end(lo, g->weight_name);
}

/* ---- the products ---------------------------------------------------------------------------- */

typedef struct Products {
    Builder b;
    int m, mr, nv, lanes;
    bool half; /* the last vector is half a register wide */
    Reg *v, *w, *t, *k, *k_blocks, *v_block, *t_block, *count;
    Reg *block_size, *zero, *zero_half;
    Reg *acc[MAX_ACC]; /* [tile][vector] */
} Products;

static int vector_lanes(const Products *p, int v) {
    return p->half && v == p->nv - 1 ? p->lanes / 2 : p->lanes;
}

/* One channel: `at` is the address of the first tile's. */
static void multiply_step(Products *p, Addr at, Reg *w) {
    Builder *b = &p->b;
    Reg *wv[MAX_ACC];
    for (int v = 0; v < p->nv; v++)
        wv[v] = build_load(b, "w", vector_lanes(p, v), addr_of(w, v * p->lanes));
    for (int i = 0; i < p->mr; i++) {
        Addr tile = addr_offset(at, i * winograd_tile_step(p->m, p->lanes));
        Reg *x = NULL;
        for (int v = 0; v < p->nv; v++) {
            Reg *acc = p->acc[i * p->nv + v];
            if (!x || x->type.lanes != vector_lanes(p, v))
                x = build_spread(&p->b, "x", vector_lanes(p, v), tile);
            build_op_to(b, INST_fma, acc, x, wv[v], acc);
        }
    }
    advance_by(b, w, p->nv * p->lanes);
}

/* acc = sum over all channels */
static void multiply(Products *p, Reg *at, Reg *weights) {
    Builder *b = &p->b;
    for (int i = 0; i < p->mr * p->nv; i++)
        build_op_to(b, INST_mov, p->acc[i],
                    vector_lanes(p, i % p->nv) == p->lanes ? p->zero : p->zero_half, NULL, NULL);
    Reg *w = copy_pointer(b, "wk", weights), *block = copy_pointer(b, "block", at);
    Reg *left = build_op(b, INST_mov, "left", p->k, NULL, NULL);
    build_for(b, "cb", bound_const(0), bound_reg(p->k_blocks), 1);
    Reg *count = build_op(b, INST_min, "count", left, p->block_size, NULL);
    Reg *l = build_for(b, "l", bound_const(0), bound_reg(count), 1);
    multiply_step(p, addr_plus(addr_of(block, 0), l, 1), w);
    build_close(b);
    advance(b, block, p->v_block);
    build_op_to(b, INST_sub, left, left, p->block_size, NULL);
    build_close(b);
}

/* Writes the spare lanes of a half vector too: the output's transform reads them. */
static void store_products(Products *p, Reg *to) {
    for (int i = 0; i < p->mr; i++)
        for (int v = 0; v < p->nv; v++) {
            Addr a = addr_of(to, i * winograd_tile_step(p->m, p->lanes));
            a = v ? addr_plus(a, p->t_block, v) : a;
            build_store(&p->b, a, p->acc[i * p->nv + v]);
            if (vector_lanes(p, v) < p->lanes)
                build_store(&p->b, addr_offset(a, p->lanes / 2), p->zero_half);
        }
}

static void products_body(Products *p) {
    Builder *b = &p->b;
    p->block_size = build_const_i(b, "block_size", ltype(DT_i64, 1), p->lanes);
    Reg *weight_step =
        build_op(b, INST_mul, "w_step", p->k,
                 build_const_i(b, "width", ltype(DT_i64, 1), p->nv * p->lanes), NULL);
    p->zero = build_const_f(b, "zero", ltype(DT_f32, p->lanes), 0);
    if (p->half)
        p->zero_half = build_const_f(b, "zero", ltype(DT_f32, p->lanes / 2), 0);
    Reg *vp = copy_pointer(b, "vp", p->v), *tp = copy_pointer(b, "tp", p->t);
    Reg *w = copy_pointer(b, "wp", p->w);
    build_for(b, "point", bound_const(0), bound_const(winograd_points(p->m)), 1);
    Reg *at = copy_pointer(b, "at", vp), *to = copy_pointer(b, "to", tp);
    build_for(b, "i", bound_const(0), bound_reg(p->count), p->mr);
    multiply(p, at, w);
    store_products(p, to);
    advance_by(b, at, p->mr * winograd_tile_step(p->m, p->lanes));
    advance_by(b, to, p->mr * winograd_tile_step(p->m, p->lanes));
    build_close(b);
    advance_by(b, vp, p->lanes);
    advance_by(b, tp, p->lanes);
    advance(b, w, weight_step);
    build_close(b);
}

/* Parameters: v, w, t, k, k_blocks, v_block, t_block, count. Computes the tiles 0..count rounded up
 * to mr, of all points and one panel of nv vectors. */
static Kernel *products_kernel(Lower *lo, const WinogradSchedule *s, int nv, bool half) {
    Products p = {.m = s->m, .mr = s->gemm.mr, .nv = nv, .lanes = lower_lanes(lo), .half = half};
    const char *name =
        arena_printf(&lo->m->arena, "winograd%d_gemm_%dx%d%s", p.m, p.mr, nv, half ? "h" : "");
    Kernel *k = kernel_new(lo->m, name);
    p.v = kernel_param_ptr(k, "v", DT_f32);
    p.w = kernel_param_ptr(k, "w", DT_f32);
    p.t = kernel_param_ptr(k, "t", DT_f32);
    p.k = kernel_param_i64(k, "k");
    p.k_blocks = kernel_param_i64(k, "k_blocks");
    p.v_block = kernel_param_i64(k, "v_block");
    p.t_block = kernel_param_i64(k, "t_block");
    p.count = kernel_param_i64(k, "count");
    ensure(p.mr * nv <= MAX_ACC);
    for (int i = 0; i < p.mr * nv; i++)
        p.acc[i] = kernel_reg(k, arena_printf(&lo->m->arena, "acc%d_%d", i / nv, i % nv),
                              ltype(DT_f32, vector_lanes(&p, i % nv)));
    p.b = build_begin(k);
    products_body(&p);
    build_end(&p.b);
    return k;
}

/* ---- calls ----------------------------------------------------------------------------------- */

typedef struct Call {
    Lower *lo;
    const Gemm *g;
    WinogradSchedule s;
    Scratch scratch;
    bool edge;
    Reg *first, *count; /* the tiles of the block */
} Call;

static Arg arg_reg(Reg *r) {
    return arg_bound(bound_reg(r));
}

static int where_args(const Call *c, Arg *args) {
    const Gemm *g = c->g;
    args[0] = arg_reg(c->first);
    args[1] = arg_reg(c->count);
    args[2] = arg_i64(ceil_div(g->length, c->s.m));
    args[3] = arg_i64(g->rows);
    args[4] = arg_i64(g->length);
    return 5;
}

static void call_input(Call *c) {
    const Gemm *g = c->g;
    Addr scratch = g->scratch;
    Arg args[16] = {arg_addr(g->a),
                    arg_addr(scratch),
                    arg_addr(addr_offset(scratch, c->scratch.spare)),
                    arg_i64(g->a_row),
                    arg_i64(g->a_plane),
                    arg_i64(c->scratch.v_block),
                    arg_i64(ceil_div(g->k, lower_lanes(c->lo)))};
    int n = 7 + where_args(c, args + 7);
    lower_call(c->lo, winograd_input_kernel(c->lo, c->s.m, c->edge), args, n);
}

static void call_products(Call *c, Addr w, int nv, bool half) {
    const Gemm *g = c->g;
    int lanes = lower_lanes(c->lo);
    const Arg args[] = {arg_addr(g->scratch),
                        arg_addr(addr_offset(w, nv * lanes)),
                        arg_addr(addr_offset(g->scratch, c->scratch.t)),
                        arg_i64(g->k),
                        arg_i64(ceil_div(g->k, lanes)),
                        arg_i64(c->scratch.v_block),
                        arg_i64(c->scratch.t_block),
                        arg_reg(c->count)};
    lower_call(c->lo, products_kernel(c->lo, &c->s, nv, half), args, sizeof args / sizeof *args);
}

/* `to` and `r` are the panel's first vector of the output and of the residual. */
static void call_output(Call *c, Addr w, Addr to, Addr r, int nv) {
    const Gemm *g = c->g;
    Addr scratch = g->scratch;
    Arg args[16] = {arg_addr(addr_offset(scratch, c->scratch.t)),
                    arg_addr(w),
                    arg_addr(to),
                    arg_addr(addr_offset(scratch, c->scratch.spare)),
                    arg_i64(g->c_row),
                    arg_i64(g->c_plane),
                    arg_i64(c->scratch.t_block),
                    arg_i64(nv)};
    int n = 8 + where_args(c, args + 8);
    if (g->residual) {
        args[n++] = arg_addr(r);
        args[n++] = arg_i64(g->r_row);
        args[n++] = arg_i64(g->r_plane);
    }
    Kernel *k = winograd_output_kernel(c->lo, c->s.m, c->edge, g->act, g->residual);
    lower_call(c->lo, k, args, n);
}

/* `count` panels of nv vectors, from vector `first` on; their weights start at w. */
static void call_panels(Call *c, Addr w, int64_t first, int64_t count, int nv, bool half) {
    const Gemm *g = c->g;
    Addr to = addr_offset(g->c, first * g->c_plane), r = g->r;
    if (g->residual)
        r = addr_offset(r, first * g->r_plane);
    if (count > 1) {
        Reg *panel = build_for(&c->lo->step, "panel", bound_const(0), bound_const(count), 1);
        w = addr_plus(w, panel, panel_elems(g, c->s.m, nv * lower_lanes(c->lo)));
        to = addr_plus(to, panel, nv * g->c_plane);
        r = g->residual ? addr_plus(r, panel, nv * g->r_plane) : r;
    }
    call_products(c, w, nv, half);
    call_output(c, w, to, r, nv);
    if (count > 1)
        build_close(&c->lo->step);
}

/* The block that starts at tile `first`. */
static void call_block(Call *c, Addr weights) {
    const Gemm *g = c->g;
    const Schedule *s = &c->s.gemm;
    int64_t lanes = lower_lanes(c->lo), vectors = ceil_div(g->n, lanes);
    int last = schedule_odd(s);
    int64_t panels = (vectors - last) / s->nv;
    call_input(c);
    if (panels)
        call_panels(c, weights, 0, panels, s->nv, false);
    if (last)
        call_panels(c, addr_offset(weights, panels * panel_elems(g, c->s.m, s->nv * lanes)),
                    panels * s->nv, 1, last, s->half);
}

/* The blocks of one part; c->first and c->count follow them. */
static void call_blocks(Call *c, const Parts *p, Addr weights) {
    Builder *b = &c->lo->step;
    LType i64 = ltype(DT_i64, 1);
    int64_t first = first_block(c->g, &c->s);
    Reg *all = build_const_i(b, "tiles", i64, conv_tiles(c->g, c->s.m));
    Reg *most = build_const_i(b, "most", i64, c->s.tiles);
    Reg *before = build_const_i(b, "before", i64, c->s.tiles - first);
    Reg *zero = build_const_i(b, "zero", i64, 0);
    Reg *block = parts_each(c->lo, p, "block");
    Reg *tile = build_op(b, INST_mul, "tile", block, most, NULL);
    build_op_to(b, INST_sub, tile, tile, before, NULL);
    Reg *end = build_op(b, INST_add, "end", tile, most, NULL);
    build_op_to(b, INST_min, end, end, all, NULL);
    c->first = build_op(b, INST_max, "tile", tile, zero, NULL);
    c->count = build_op(b, INST_sub, "count", end, c->first, NULL);
    call_block(c, weights);
    parts_each_end(c->lo, p);
}

void winograd_call(Lower *lo, const Gemm *g, Addr weights) {
    Gemm mine = *g;
    Call c = {.lo = lo, .g = &mine, .s = winograd_schedule(g, lo->cx)};
    c.scratch = scratch_of(g, &c.s, lower_lanes(lo));
    c.edge = g->rows % c.s.m != 0 || g->length % c.s.m != 0;
    Parts p = lower_parts_begin(lo, conv_blocks(g, &c.s), conv_parts(g, &c.s, lo->cx));
    mine.scratch = parts_own(&p, g->scratch, c.scratch.size);
    call_blocks(&c, &p, weights);
    lower_parts_end(lo, &p);
}
