/* lower_gemm_parts.c: the calls of a GEMM, divided into parts: by panels of weights where those are
 * many, else by rows or tiles of pixels. What belongs to the output is done by its part too: the
 * zeros of its halo, and the weights times the gate. */
#include "passes/lower.h"

typedef enum SplitKind { SPLIT_PANELS, SPLIT_ROWS, SPLIT_TILES } SplitKind;

typedef struct Split {
    SplitKind kind;
    int64_t units, parts;
} Split;

/* Whole panels, so that each weight is read by one part; or, where those are too few, rows or tiles
 * of a long row. */
static Split split_by_work(const Gemm *g, const PassContext *cx) {
    enum { ENOUGH = 8 };
    const double WEIGHT_BYTE = 0.125; /* cycles, where each weight is used once or twice */
    Schedule s = gemm_tiling(g, cx);
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

/* Where K is in blocks: by pixels, since a part's block of planes should be what it scaled. */
static Split gemm_split(const Gemm *g, const PassContext *cx) {
    if (gemm_blocks(g, cx) == 1)
        return split_by_work(g, cx);
    Split s = {SPLIT_ROWS, g->rows, GEMM_BLOCK_PARTS};
    if (g->rows == 1)
        s = (Split){SPLIT_TILES, g->length / gemm_tiling(g, cx).mr, GEMM_BLOCK_PARTS};
    if (s.units < s.parts)
        s.parts = 1;
    return s;
}

static bool is_by_panels(const Split *s) {
    return s->kind == SPLIT_PANELS && s->parts > 1;
}

bool gemm_by_panels(const Gemm *g, const PassContext *cx) {
    Split split = gemm_split(g, cx);
    return is_by_panels(&split);
}

/* What a vector costs to scale: a weight's is read from far away and met by all parts; a pixel's
 * stays in the first cache until the part multiplies it. */
enum { WEIGHT_CYCLES = 6, PIXEL_CYCLES = 3 };

/* Whether each part scales the pixels that it reads, rather than all parts the weights before:
 * where that is less work. */
static bool scales_pixels(const Gemm *g, const Split *split, const PassContext *cx) {
    int lanes = target_lanes(cx->target);
    if (!g->gate || split->kind == SPLIT_PANELS || split->parts == 1)
        return false;
    if (gemm_blocks(g, cx) > 1)
        return true;
    if (g->kh != 1 || g->kw != 1 || g->ablock != lanes || g->pixel_step != lanes)
        return false;
    double weights = (double)g->k * (double)ceil_div(g->n, lanes);
    double pixels = (double)ceil_div(g->k, lanes) * (double)(g->rows * g->length);
    return pixels * PIXEL_CYCLES < weights * WEIGHT_CYCLES;
}

/* Planes of a block of K. */
static int64_t block_planes(const Gemm *g, const PassContext *cx) {
    return ceil_div(ceil_div(g->k, g->ablock), gemm_blocks(g, cx));
}

/* Scaled pixels: [row][block][pixel][lane]; elements of a block of a row, and of a row. */
static int64_t scaled_plane(const Gemm *g) {
    return g->length * g->ablock;
}

static int64_t scaled_row(const Gemm *g) {
    return ceil_div(g->k, g->ablock) * scaled_plane(g);
}

int64_t gemm_scaled_weights(const Gemm *g, const PassContext *cx) {
    if (!g->gate)
        return 0;
    Split split = gemm_split(g, cx);
    return scales_pixels(g, &split, cx) ? 0 : gemm_weights(g, cx->target);
}

int64_t gemm_scratch(const Gemm *g, const PassContext *cx) {
    int64_t weights = gemm_scaled_weights(g, cx);
    bool pixels = g->gate && !weights;
    return pixels ? g->rows * block_planes(g, cx) * scaled_plane(g) : weights;
}

/* g with its output and residual from vector `first` on. */
static Gemm from_vector(const Gemm *g, int64_t first) {
    Gemm rest = *g;
    rest.c = addr_offset(g->c, first * g->c_plane);
    if (g->residual)
        rest.r = addr_offset(g->r, first * g->r_plane);
    return rest;
}

static void call_last_after(Lower *lo, const Gemm *g, const Schedule *s, const GemmExtent *e,
                            Addr weights, const GemmPanels *p) {
    Gemm rest = from_vector(g, p->whole * s->nv);
    gemm_call_extent(lo, &rest, s, e, addr_offset(weights, p->whole * p->weights), bound_const(1),
                     schedule_last(s), s->half);
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

/* What scales panels nv vectors wide by the gate. */
static ScaleWeights scale_of(const Gemm *g, int64_t panels, int nv, int lanes) {
    return (ScaleWeights){.taps = g->kh * g->kw,
                          .block = g->ablock,
                          .k = g->k,
                          .vectors = nv,
                          .panels = panels,
                          .panel = gemm_panel_elems(g, nv * lanes)};
}

/* All weights times the gate, in scratch: a part has some of the channels. */
static Addr scale_all(Lower *lo, const Gemm *g, Addr weights, const Schedule *s,
                      const GemmPanels *p) {
    int lanes = lower_lanes(lo);
    int64_t rows = g->k * g->kh * g->kw, blocks = ceil_div(g->k, g->ablock);
    double cycles = WEIGHT_CYCLES * (double)(rows * ceil_div(g->n, lanes));
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

/* The part's panels, of pixels `e`; the last one is a unit too, of the last part. */
static void call_part_panels(Lower *lo, const Gemm *g, const Schedule *s, const GemmExtent *e,
                             Addr weights, const GemmPanels *p, const Parts *parts) {
    Builder *b = &lo->step;
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
        gemm_call_extent(lo, &mine, s, e, w, count, s->nv, false);
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
    call_last_after(lo, &mine, s, e, weights, p);
    build_close(b);
}

/* What a panel's pixels are divided along: rows, or tiles of one long row. */
static int64_t panel_units(const Gemm *g, const Schedule *s) {
    return g->rows > 1 ? g->rows : g->length / s->mr;
}

/* Whether each part has a panel and one of two threads would have a panel more than the other. */
static bool has_odd_panels(const Gemm *g, const Schedule *s, const Split *split) {
    return is_by_panels(split) && split->parts == split->units && split->units % 2 == 1 &&
           panel_units(g, s) > 1 && !g->gate;
}

static bool has_halo(const Gemm *g) {
    return g->halo_of && layout_has_halo(&g->halo_of->type.layout);
}

/* Of an odd number of panels, the first part has half of the first one, the last part the other
 * half, and those between one each: two threads, which have neighbouring parts, have equal work. */
static void call_odd_panels(Lower *lo, const Gemm *g, const Schedule *s, Addr weights,
                            const GemmPanels *p, int64_t panels) {
    Builder *b = &lo->step;
    LType i64 = ltype(DT_i64, 1);
    bool rows = g->rows > 1;
    int64_t units = panel_units(g, s);
    Parts all = lower_parts_begin(lo, panels + 1, panels + 1);
    Reg *again, *panel = lower_rest(lo, all.part, panels, &again);
    Parts parts = lower_share(lo, panel, panels, panels);
    Reg *zero = build_const_i(b, "zero", i64, 0), *one = build_const_i(b, "one", i64, 1),
        *half = build_const_i(b, "half", i64, ceil_div(units, 2)),
        *whole = build_const_i(b, "pixels", i64, units);
    Reg *start = build_op(b, INST_mul, "start", again, half, NULL);
    Reg *starts = build_op(b, INST_eq, "starts", all.part, zero, NULL);
    Reg *end = build_op(b, INST_select, "stop", starts, half, whole);
    Bound count = bound_reg(build_op(b, INST_sub, "count", end, start, NULL));
    GemmExtent e = gemm_whole(g, s);
    if (rows)
        e.rows = count;
    else
        e.tiles = count;
    if (!rows && s->mr_tail)
        e.tails = bound_reg(build_op(b, INST_select, "tails", starts, zero, one));
    Gemm mine = *g;
    mine.a = addr_plus(g->a, start, rows ? g->a_row : s->mr * g->pixel_step);
    mine.c = addr_plus(g->c, start, rows ? g->c_row : s->mr * g->c_pixel);
    if (g->residual)
        mine.r = addr_plus(g->r, start, rows ? g->r_row : s->mr * g->c_pixel);
    call_part_panels(lo, &mine, s, &e, weights, p, &parts);
    if (has_halo(g)) {
        build_if(b, build_op(b, INST_eq, "first", again, zero, NULL));
        zero_part_halo(lo, g, s->nv, &parts);
        build_close(b);
    }
    lower_parts_end(lo, &all);
}

/* Whether the part's tiles, before `end`, are the last ones: the end of a row belongs to them. */
static Reg *ends_row(Lower *lo, const Parts *parts, Reg *end) {
    Reg *all = build_const_i(&lo->step, "tiles", ltype(DT_i64, 1), parts->units);
    return build_op(&lo->step, INST_eq, "ends", end, all, NULL);
}

/* What the part computes of g, whose rows or tiles are divided. */
static GemmExtent part_extent(Lower *lo, const Gemm *g, const Schedule *s, const Parts *parts,
                              SplitKind kind) {
    Builder *b = &lo->step;
    LType i64 = ltype(DT_i64, 1);
    GemmExtent e = gemm_whole(g, s);
    e.all_tiles = ceil_div(e.all_tiles, parts->parts);
    if (kind == SPLIT_ROWS) {
        e.rows = parts_count(lo, parts);
        return e;
    }
    e.tiles = parts_count(lo, parts);
    if (s->mr_tail) {
        Reg *ends = ends_row(lo, parts, parts_end(lo, parts));
        Reg *one = build_const_i(b, "one", i64, 1), *zero = build_const_i(b, "zero", i64, 0);
        e.tails = bound_reg(build_op(b, INST_select, "tails", ends, one, zero));
    }
    return e;
}

/* How many pixels the part's tiles have, with the end of the row. */
static Bound part_pixels(Lower *lo, const Gemm *g, int64_t mr, const Parts *parts) {
    Builder *b = &lo->step;
    LType i64 = ltype(DT_i64, 1);
    Reg *width = build_const_i(b, "width", i64, mr),
        *all = build_const_i(b, "pixels", i64, g->length);
    Reg *first = build_op(b, INST_mul, "first_pixel", parts->first, width, NULL);
    Reg *end = parts_end(lo, parts), *ends = ends_row(lo, parts, end);
    Reg *stop = build_op(b, INST_mul, "end_pixel", end, width, NULL);
    stop = build_op(b, INST_select, "end_pixel", ends, all, stop);
    return bound_reg(build_op(b, INST_sub, "count", stop, first, NULL));
}

static void call_all(Lower *lo, const Gemm *g, const Schedule *s, const GemmExtent *e, Addr weights,
                     const GemmPanels *p) {
    if (p->whole)
        gemm_call_extent(lo, g, s, e, weights, bound_const(p->whole), s->nv, false);
    if (p->last)
        call_last_after(lo, g, s, e, weights, p);
}

/* The part's pixels times the gate, in scratch, where its units are `unit` apart: they are what it
 * multiplies. */
static void scale_part(Lower *lo, Gemm *mine, const Parts *parts, int64_t unit, Bound rows,
                       Bound columns) {
    int64_t plane = scaled_plane(mine), row = scaled_row(mine);
    PixelCopy copy = {.a = mine->a,
                      .c = parts_addr(parts, mine->scratch, unit),
                      .gate = &mine->g,
                      .planes = bound_const(ceil_div(mine->k, mine->ablock)),
                      .rows = rows,
                      .columns = columns,
                      .a_plane = mine->a_plane,
                      .a_row = mine->a_row,
                      .c_plane = plane,
                      .c_row = row,
                      .c_pixel = mine->ablock};
    lower_copy_pixels(lo, &copy);
    mine->a = copy.c;
    mine->a_plane = plane;
    mine->a_row = row;
}

/* Block i of K, which starts from what the blocks before it have left in the output. The first one
 * adds the residual: it may lie where the output does. */
static Gemm block_of_k(const Gemm *g, const PassContext *cx, int64_t i) {
    int64_t planes = block_planes(g, cx), first = i * planes * g->ablock;
    bool last = first + planes * g->ablock >= g->k;
    Gemm b = *g;
    b.k_packed = g->k;
    b.k_first = first;
    b.k = last ? g->k - first : planes * g->ablock;
    b.a = addr_offset(g->a, i * planes * g->a_plane);
    if (g->gate)
        b.g = addr_offset(g->g, first);
    b.adds = i > 0;
    b.residual = g->residual && i == 0;
    if (!last)
        b.act = ACT_none;
    return b;
}

/* All panels for the part's rows or tiles. */
static void call_part_pixels(Lower *lo, const Gemm *g, const Schedule *s, Addr weights,
                             const GemmPanels *p, const Parts *parts, SplitKind kind, bool scaled) {
    bool rows = kind == SPLIT_ROWS;
    GemmExtent e = part_extent(lo, g, s, parts, kind);
    Gemm mine = *g;
    mine.a = parts_addr(parts, g->a, rows ? g->a_row : s->mr * g->pixel_step);
    mine.c = parts_addr(parts, g->c, rows ? g->c_row : s->mr * g->c_pixel);
    if (g->residual)
        mine.r = parts_addr(parts, g->r, rows ? g->r_row : s->mr * g->c_pixel);
    int64_t blocks = gemm_blocks(g, lo->cx);
    Bound columns = scaled && !rows ? part_pixels(lo, g, s->mr, parts) : bound_const(g->length);
    for (int64_t i = 0; i < blocks; i++) {
        Gemm block = blocks > 1 ? block_of_k(&mine, lo->cx, i) : mine;
        if (scaled)
            scale_part(lo, &block, parts, rows ? scaled_row(&block) : s->mr * g->ablock, e.rows,
                       columns);
        call_all(lo, &block, s, &e, weights, p);
    }
}

void gemm_call(Lower *lo, const Gemm *g, Addr weights) {
    GemmPanels p = gemm_panels(g, lo->cx);
    Schedule s = gemm_tiling(g, lo->cx);
    Split split = gemm_split(g, lo->cx);
    bool by_panels = is_by_panels(&split);
    bool pixels = scales_pixels(g, &split, lo->cx);
    if (g->gate && !by_panels && !pixels)
        weights = scale_all(lo, g, weights, &s, &p);
    if (has_odd_panels(g, &s, &split)) {
        call_odd_panels(lo, g, &s, weights, &p, split.units);
        return;
    }
    GemmExtent whole = gemm_whole(g, &s);
    Parts parts = lower_parts_begin(lo, split.units, split.parts);
    if (split.parts == 1) {
        call_all(lo, g, &s, &whole, weights, &p);
    } else if (by_panels) {
        call_part_panels(lo, g, &s, &whole, weights, &p, &parts);
        if (has_halo(g))
            zero_part_halo(lo, g, s.nv, &parts);
    } else {
        call_part_pixels(lo, g, &s, weights, &p, &parts, split.kind, pixels);
    }
    lower_parts_end(lo, &parts);
    if (has_halo(g) && !by_panels)
        lower_zero_halo(lo, g->halo_of);
}
