/* lower_conv_dw.c: conv2d_dwconv2d: a convolution and the depthwise one behind it, by bands of
 * rows. What the first one gives never exists as a whole: a few panels of its channels and a few of
 * its rows are in a buffer that stays in a cache, with the zeros of the second one's padding.
 *
 *   par part                              its own buffer
 *     for each round of the part          some panels of channels, and a run of the bands
 *       buffer's frame = 0                rows above, columns beside
 *       for each band of output rows
 *         [but the first: the rows that the band before has too move to the top]
 *         buffer = conv2d(x) for the other rows of the band
 *         y = dwconv2d(buffer)            [its sums, for the mean]
 *
 * A round of all bands computes each row once. Where such rounds are few or odd in number, threads
 * would wait for each other: then the bands are divided into segments, a round for each, and the
 * rows at the seams are computed twice. */
#include "passes/lower.h"

/* ---- rows ------------------------------------------------------------------------------------ */

int64_t dw_reach(const ConvAttrs *dw, int axis) {
    return (dw->kernel.v[axis] - 1) * dw->dilation.v[axis] + 1;
}

static Bands make_bands(const ConvAttrs *dw, int64_t out_rows, int64_t rows) {
    int64_t stride = dw->stride.v[0], reach = dw_reach(dw, 0);
    Bands b = {.rows = rows, .count = ceil_div(out_rows, rows)};
    b.last = out_rows - (b.count - 1) * rows;
    b.fresh = rows * stride;
    b.kept = reach - stride;
    b.buffer = (rows - 1) * stride + reach;
    return b;
}

/* Rows of the input that only the last band has and that aren't padding. */
static int64_t last_fresh(const Bands *b, const ConvAttrs *dw, int64_t in_rows) {
    int64_t inside = in_rows + dw->pad.v[0] - (b->count - 1) * b->fresh - b->kept;
    int64_t all = b->last * dw->stride.v[0];
    return inside < all ? inside : all;
}

/* Bands of about `rows` rows, all alike but the first and the last one. */
static Bands bands_of(const ConvAttrs *dw, int64_t in_rows, int64_t out_rows, int64_t rows) {
    for (int64_t count = ceil_div(out_rows, rows); count > 1; count--) {
        Bands b = make_bands(dw, out_rows, ceil_div(out_rows, count));
        if (b.kept >= 0 && b.buffer > dw->pad.v[0] && last_fresh(&b, dw, in_rows) > 0)
            return b;
    }
    return make_bands(dw, out_rows, out_rows);
}

/* ---- the plan -------------------------------------------------------------------------------- */

typedef struct Fused {
    ConvAttrs first, second;
    View x, y, buffer; /* buffer: of one round, and the sizes of the whole tensor between */
    Gemm gemm;
    GemmPanels panels;
    Depthwise dw;
    Bands bands;
    int64_t group, whole; /* panels of a run of channels; runs of whole panels */
    int64_t runs;         /* of channels: and one for the panels that are left */
    int64_t segments;     /* of the bands */
    int64_t parts;        /* that runs * segments rounds are divided among */
    int64_t top, left;    /* padding */
} Fused;

/* Fewer channels a round make the second convolution's loops start too often; more of them take
 * the cache from the rows that they work on. */
enum { ROUND_CHANNELS = 32 };

static int64_t panel_blocks(const Fused *f) {
    return f->panels.channels / f->buffer.block;
}

static void plan_buffer(Fused *f, const Type *middle, int lanes) {
    const int64_t *pad = f->second.pad.v;
    View *v = &f->buffer;
    *v = view_of(middle);
    v->origin = 0;
    v->block = lanes;
    v->row = (pad[1] + v->w + pad[3]) * lanes;
    v->plane = f->bands.buffer * v->row;
    v->blocks = ceil_div(v->c, lanes);
    f->top = pad[0];
    f->left = pad[1];
}

static void plan_kernels(Fused *f, const PassContext *cx) {
    f->gemm = conv_gemm(&f->first, &f->x, &f->buffer, NULL);
    f->gemm.length = f->buffer.w;
    f->panels = gemm_panels(&f->gemm, cx);
    f->group = ROUND_CHANNELS > f->panels.channels ? ROUND_CHANNELS / f->panels.channels : 1;
    f->whole = f->panels.whole / f->group;
    f->runs = f->whole + (f->y.blocks > f->whole * f->group * panel_blocks(f));
    f->dw = (Depthwise){.length = f->y.w,
                        .a_plane = f->buffer.plane,
                        .a_row = f->second.stride.v[0] * f->buffer.row,
                        .a_tap_row = f->second.dilation.v[0] * f->buffer.row,
                        .c_plane = f->y.plane,
                        .c_row = f->y.row};
}

/* The least that gives an even number of rounds, and not too few. */
static int64_t pick_segments(int64_t runs, int64_t bands) {
    enum { ROUNDS = 6 };
    int64_t n = ceil_div(ROUNDS, runs);
    if (runs * n % 2)
        n++;
    return n < bands ? n : bands;
}

/* Bands of `band` rows at most. */
static Fused plan_bands(const ConvDw *c, int64_t band, const PassContext *cx) {
    Fused f = {.first = c->first, .second = c->second};
    f.x = view_of(&c->x);
    f.y = view_of(&c->y);
    f.bands = bands_of(&f.second, c->middle.shape.dim[2], f.y.h, band);
    plan_buffer(&f, &c->middle, target_lanes(cx->target));
    plan_kernels(&f, cx);
    f.segments = c->parts > 1 ? pick_segments(f.runs, f.bands.count) : 1;
    f.parts = c->parts < f.runs * f.segments ? c->parts : f.runs * f.segments;
    return f;
}

/* Segments are best of equally many bands. */
static Fused plan(const ConvDw *c, const PassContext *cx) {
    Fused f = plan_bands(c, c->band, cx);
    if (f.bands.count % f.segments == 0)
        return f;
    int64_t count = round_up(f.bands.count, f.segments);
    Fused even = plan_bands(c, ceil_div(f.y.h, count), cx);
    return even.bands.count % even.segments == 0 ? even : f;
}

/* Elements of a part's buffer. */
static int64_t buffer_elems(const Fused *f) {
    int64_t blocks = f->group * panel_blocks(f);
    return (blocks < f->y.blocks ? blocks : f->y.blocks) * f->buffer.plane;
}

/* Those of the sums of all segments, behind the buffers: none where there is one. */
static int64_t sums_elems(const Fused *f) {
    return f->segments > 1 ? f->segments * f->y.blocks * f->buffer.block : 0;
}

ConvDw conv_dw_of(const Node *n) {
    const ConvDwAttrs *a = conv_dw_attrs(n);
    return (ConvDw){.first = conv_dw_first(n),
                    .second = conv_dw_second(n),
                    .x = node_in(n, 0)->type,
                    .middle = conv_dw_middle(n),
                    .y = node_out(n)->type,
                    .band = a->band,
                    .parts = a->parts};
}

ConvDwPlan conv_dw_plan(const ConvDw *c, const PassContext *cx) {
    Fused f = plan(c, cx);
    return (ConvDwPlan){.bands = f.bands,
                        .runs = f.runs,
                        .segments = f.segments,
                        .parts = f.parts,
                        .row_elems = buffer_elems(&f) / f.bands.buffer,
                        .scratch = buffer_elems(&f) * f.parts + sums_elems(&f)};
}

int64_t scratch_conv2d_dwconv2d(const Node *n, const PassContext *cx) {
    ConvDw c = conv_dw_of(n);
    return conv_dw_plan(&c, cx).scratch;
}

/* ---- a band ---------------------------------------------------------------------------------- */

typedef struct Round {
    int64_t panels, blocks; /* whole panels; blocks of channels in all */
    bool last;              /* and the last panel, which is narrower */
    Addr weights, dw_weights, buffer, y, sums;
    Reg *first_band, *end_band; /* NULL: all bands */
} Round;

/* Rows [0, rows) of each block move from row `from` to the top. */
static Kernel *move_kernel(Lower *lo) {
    Kernel *k = kernel_new(lo->m, "move_rows");
    Reg *to = kernel_param_ptr(k, "to", DT_f32), *from = kernel_param_ptr(k, "from", DT_f32);
    Reg *blocks = kernel_param_i64(k, "blocks"), *plane = kernel_param_i64(k, "plane");
    Reg *count = kernel_param_i64(k, "count");
    int lanes = lower_lanes(lo);
    Builder b = build_begin(k);
    Reg *t = copy_pointer(&b, "t", to), *f = copy_pointer(&b, "f", from);
    build_for(&b, "cb", bound_const(0), bound_reg(blocks), 1);
    Reg *i = build_for(&b, "i", bound_const(0), bound_reg(count), lanes);
    Reg *v = build_load(&b, "v", lanes, addr_plus(addr_of(f, 0), i, 1));
    build_store(&b, addr_plus(addr_of(t, 0), i, 1), v);
    build_close(&b);
    advance(&b, t, plane);
    advance(&b, f, plane);
    build_close(&b);
    build_end(&b);
    return k;
}

static void keep_rows(Lower *lo, const Fused *f, const Round *r) {
    if (f->bands.kept == 0)
        return;
    const View *v = &f->buffer;
    const Arg args[] = {arg_addr(r->buffer),
                        arg_addr(addr_offset(r->buffer, f->bands.fresh * v->row)),
                        arg_i64(r->blocks), arg_i64(v->plane), arg_i64(f->bands.kept * v->row)};
    lower_call(lo, move_kernel(lo), args, sizeof args / sizeof *args);
}

/* `rows` rows of the first convolution, from input address x on, to buffer row `to`. */
static void expand(Lower *lo, const Fused *f, const Round *r, Addr x, int64_t to, int64_t rows) {
    Gemm g = f->gemm;
    g.a = x;
    g.c = addr_offset(r->buffer, to * f->buffer.row + f->left * f->buffer.block);
    g.rows = rows;
    if (r->panels)
        gemm_call_panels(lo, &g, r->weights, r->panels);
    if (!r->last)
        return;
    g.c = addr_offset(g.c, r->panels * panel_blocks(f) * f->buffer.plane);
    gemm_call_last(lo, &g, addr_offset(r->weights, r->panels * f->panels.weights));
}

/* `rows` output rows at y from the band in the buffer. */
static void depthwise(Lower *lo, const Fused *f, const Round *r, Addr y, int64_t rows) {
    Depthwise d = f->dw;
    d.attrs = &f->second;
    d.blocks = r->blocks;
    d.count = bound_const(r->blocks);
    d.rows = rows;
    d.row_count = bound_const(rows);
    d.a = r->buffer;
    d.w = r->dw_weights;
    d.c = y;
    d.s = r->sums;
    dw_call(lo, &d);
}

/* The padding above the first band and beside all. */
static void zero_frame(Lower *lo, const Fused *f, const Round *r) {
    const int64_t *pad = f->second.pad.v;
    View v = f->buffer;
    v.blocks = r->blocks;
    v.h = f->bands.buffer - f->top;
    if (pad[0] || pad[1] || pad[3])
        lower_zero_around(lo, r->buffer, &v, (const int64_t[]){f->top, f->left, 0, pad[3]});
}

/* The padding below the last band: from buffer row `from` to row `end`. */
static void zero_below(Lower *lo, const Fused *f, const Round *r, int64_t from, int64_t end) {
    View v = f->buffer;
    v.blocks = r->blocks;
    v.h = 1; /* the row above */
    if (end > from)
        lower_zero_around(lo, addr_offset(r->buffer, (from - 1) * v.row), &v,
                          (const int64_t[]){0, f->left, end - from, f->second.pad.v[3]});
}

/* ---- a round --------------------------------------------------------------------------------- */

/* The address of the input of row `row` of the first convolution's result. */
static Addr input_row(const Fused *f, int64_t row) {
    return addr_offset(f->gemm.a, row * f->gemm.a_row);
}

static void first_band(Lower *lo, const Fused *f, const Round *r) {
    int64_t rows = f->bands.buffer - f->top;
    if (rows > f->buffer.h)
        rows = f->buffer.h;
    expand(lo, f, r, input_row(f, 0), f->top, rows);
    zero_below(lo, f, r, f->top + rows, f->bands.buffer);
    depthwise(lo, f, r, r->y, f->bands.rows);
}

/* The rows that the segment's first band has of the one before, where that one would leave them. */
static void refill(Lower *lo, const Fused *f, const Round *r) {
    const Bands *b = &f->bands;
    Addr x = addr_plus(input_row(f, -f->top), r->first_band, b->fresh * f->gemm.a_row);
    if (b->kept > 0)
        expand(lo, f, r, x, b->fresh, b->kept);
}

/* One of the bands between the first and the last. */
static void middle_band(Lower *lo, const Fused *f, const Round *r, Reg *band) {
    const Bands *b = &f->bands;
    keep_rows(lo, f, r);
    Addr x = addr_plus(input_row(f, b->kept - f->top), band, b->fresh * f->gemm.a_row);
    expand(lo, f, r, x, b->kept, b->fresh);
    depthwise(lo, f, r, addr_plus(r->y, band, b->rows * f->y.row), b->rows);
}

static void last_band(Lower *lo, const Fused *f, const Round *r) {
    const Bands *b = &f->bands;
    int64_t done = b->count - 1, rows = last_fresh(b, &f->second, f->buffer.h);
    keep_rows(lo, f, r);
    expand(lo, f, r, input_row(f, done * b->fresh + b->kept - f->top), b->kept, rows);
    zero_below(lo, f, r, b->kept + rows, b->kept + b->last * f->second.stride.v[0]);
    depthwise(lo, f, r, addr_offset(r->y, done * b->rows * f->y.row), b->last);
}

static void all_bands(Lower *lo, const Fused *f, const Round *r) {
    int64_t last = f->bands.count - 1;
    first_band(lo, f, r);
    if (last > 1) {
        Reg *band = build_for(&lo->step, "band", bound_const(1), bound_const(last), 1);
        middle_band(lo, f, r, band);
        build_close(&lo->step);
    }
    if (last > 0)
        last_band(lo, f, r);
}

/* Bands first_band .. end_band - 1. */
static void some_bands(Lower *lo, const Fused *f, const Round *r) {
    Builder *b = &lo->step;
    LType i64 = ltype(DT_i64, 1);
    Reg *zero = build_const_i(b, "zero", i64, 0), *one = build_const_i(b, "one", i64, 1);
    Reg *last = build_const_i(b, "last_band", i64, f->bands.count - 1);
    build_if(b, build_op(b, INST_eq, "starts", r->first_band, zero, NULL));
    first_band(lo, f, r);
    build_else(b);
    refill(lo, f, r);
    build_close(b);
    Reg *start = build_op(b, INST_max, "start", r->first_band, one, NULL);
    Reg *end = build_op(b, INST_min, "stop", r->end_band, last, NULL);
    middle_band(lo, f, r, build_for(b, "band", bound_reg(start), bound_reg(end), 1));
    build_close(b);
    build_if(b, build_op(b, INST_lt, "ends", last, r->end_band, NULL));
    last_band(lo, f, r);
    build_close(b);
}

static void emit_round(Lower *lo, const Fused *f, const Round *r) {
    bool all = r->first_band == NULL;
    if (f->dw.sum)
        lower_sums_begin(lo, r->sums, r->blocks, f->dw.s_plane);
    zero_frame(lo, f, r);
    (all ? all_bands : some_bands)(lo, f, r);
    if (f->dw.sum && all)
        lower_sums_end(lo, r->sums, r->blocks, f->dw.s_plane, &f->y);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

/* What the addresses of a run of channels move on by. */
static Round run_step(const Fused *f, int lanes) {
    int64_t blocks = f->group * panel_blocks(f);
    return (Round){.panels = f->group,
                   .blocks = blocks,
                   .weights.offset = f->group * f->panels.weights,
                   .dw_weights.offset = blocks * dw_block_weights(&f->second, NULL, lanes),
                   .y.offset = blocks * f->y.plane,
                   .sums.offset = blocks * f->dw.s_plane};
}

/* Run `run` of whole panels; `own` has what is the same for all runs. */
static void whole_run(Lower *lo, const Fused *f, const Round *own, Reg *run) {
    Round r = *own, step = run_step(f, lower_lanes(lo));
    r.panels = step.panels;
    r.blocks = step.blocks;
    r.weights = addr_plus(own->weights, run, step.weights.offset);
    r.dw_weights = addr_plus(own->dw_weights, run, step.dw_weights.offset);
    r.y = addr_plus(own->y, run, step.y.offset);
    if (f->dw.sum)
        r.sums = addr_plus(own->sums, run, step.sums.offset);
    emit_round(lo, f, &r);
}

/* The panels that are left. */
static void last_run(Lower *lo, const Fused *f, const Round *own) {
    Round r = *own, step = run_step(f, lower_lanes(lo));
    r.panels = f->panels.whole % f->group;
    r.last = f->panels.last > 0;
    r.blocks = f->y.blocks - f->whole * step.blocks;
    r.weights = addr_offset(own->weights, f->whole * step.weights.offset);
    r.dw_weights = addr_offset(own->dw_weights, f->whole * step.dw_weights.offset);
    r.y = addr_offset(own->y, f->whole * step.y.offset);
    if (f->dw.sum)
        r.sums = addr_offset(own->sums, f->whole * step.sums.offset);
    emit_round(lo, f, &r);
}

/* A round's segment of the bands, and its own sums. Rounds are in the order of their channels. */
static Reg *enter_segment(Lower *lo, const Fused *f, Round *r, Reg *round) {
    if (f->segments == 1)
        return round;
    Reg *run, *segment = lower_rest(lo, round, f->segments, &run);
    Parts bands = lower_share(lo, segment, f->bands.count, f->segments);
    r->first_band = bands.first;
    r->end_band = parts_end(lo, &bands);
    if (f->dw.sum)
        r->sums = addr_plus(r->sums, segment, f->y.blocks * f->dw.s_plane);
    return run;
}

/* The part's rounds: start has the addresses of the first one's. */
static void all_rounds(Lower *lo, const Fused *f, const Round *start) {
    Builder *b = &lo->step;
    Round own = *start;
    Parts parts = lower_parts_begin(lo, f->runs * f->segments, f->parts);
    own.buffer = parts_own(&parts, start->buffer, buffer_elems(f));
    Reg *run = enter_segment(lo, f, &own, parts_each(lo, &parts, "round"));
    if (f->runs > f->whole && f->whole) {
        Reg *whole = build_const_i(b, "whole", ltype(DT_i64, 1), f->whole);
        build_if(b, build_op(b, INST_lt, "is_whole", run, whole, NULL));
        whole_run(lo, f, &own, run);
        build_else(b);
        last_run(lo, f, &own);
        build_close(b);
    } else if (f->whole) {
        whole_run(lo, f, &own, run);
    } else {
        last_run(lo, f, &own);
    }
    parts_each_end(lo, &parts);
    lower_parts_end(lo, &parts);
}

/* What no band can express; NULL where all is well. */
static const char *unsupported(const Fused *f) {
    if (f->second.kernel.v[1] > MAX_DW_WIDTH)
        return "a depthwise kernel is at most 32 wide";
    if (f->top >= dw_reach(&f->second, 0))
        return "a depthwise kernel that sees nothing but padding has no bands";
    return NULL;
}

bool lower_conv2d_dwconv2d(Lower *lo, Node *n) {
    ConvWeights w, dw;
    ConvDw c = conv_dw_of(n);
    Fused f = plan(&c, lo->cx);
    if (unsupported(&f))
        return lower_unsupported(lo, n, unsupported(&f));
    int slot = node_slot(n, "dw");
    if (!lower_conv_weights(lo, n, 1, &w) || !lower_conv_weights(lo, n, slot, &dw))
        return false;
    f.gemm.stem = conv_stem(lo, &f.first, &f.gemm);
    f.gemm.weight_name = node_in(n, 1)->name;
    Round start = {.weights = gemm_pack(lo, &f.gemm, &w),
                   .dw_weights = dw_pack(lo, &f.second, f.y.c, &dw, NULL, node_in(n, slot)->name),
                   .buffer = lower_scratch(lo, n)};
    const Value *mean = node_result(n, "mean");
    f.dw.sum = mean != NULL;
    f.dw.s_plane = mean ? view_of(&mean->type).plane : 0;
    lower_batch_begin(lo, f.x.n);
    f.gemm.a = conv_start(&f.first, &f.x, lower_addr(lo, node_in(n, 0)));
    start.y = lower_addr(lo, node_out(n));
    if (mean)
        start.sums = lower_addr(lo, mean);
    Addr means = start.sums;
    if (mean && f.segments > 1) {
        start.sums = addr_offset(start.buffer, buffer_elems(&f) * f.parts);
        f.dw.s_plane = f.buffer.block;
    }
    all_rounds(lo, &f, &start);
    if (mean && f.segments > 1)
        lower_sums_join(lo, start.sums, f.segments, means, f.y.blocks, view_of(&mean->type).plane,
                        &f.y);
    if (mean)
        lower_zero_halo(lo, mean);
    lower_zero_halo(lo, node_out(n));
    lower_batch_end(lo);
    return true;
}
