/* lower_conv_dw.c: conv2d_dwconv2d: a convolution and the depthwise one behind it, by bands of
 * rows. What the first one gives never exists as a whole: a few panels of its channels and a few of
 * its rows are in a buffer that stays in a cache, with the zeros of the second one's padding.
 *
 *   par part                              its own buffer
 *     for each round of the part          some panels of channels
 *       buffer's frame = 0                rows above, columns beside
 *       for each band of output rows
 *         [but the first: the rows that the band before has too move to the top]
 *         buffer = conv2d(x) for the other rows of the band
 *         y = dwconv2d(buffer)            [its sums, for the mean]
 *   the panels that are left, as one more round */
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

Bands bands_of(const ConvAttrs *dw, int64_t in_rows, int64_t out_rows, int64_t rows) {
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
    int64_t group, rounds; /* panels of a round; rounds of whole panels */
    int64_t parts;
    int64_t top, left; /* padding */
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
    f->rounds = f->panels.whole / f->group;
    f->dw = (Depthwise){.length = f->y.w,
                        .a_plane = f->buffer.plane,
                        .a_row = f->second.stride.v[0] * f->buffer.row,
                        .a_tap_row = f->second.dilation.v[0] * f->buffer.row,
                        .c_plane = f->y.plane,
                        .c_row = f->y.row};
}

static Fused plan(const ConvDw *c, const PassContext *cx) {
    Fused f = {.first = c->first, .second = c->second};
    f.x = view_of(&c->x);
    f.y = view_of(&c->y);
    f.bands = bands_of(&f.second, c->middle.shape.dim[2], f.y.h, c->band);
    plan_buffer(&f, &c->middle, target_lanes(cx->target));
    plan_kernels(&f, cx);
    f.parts = c->parts < f.rounds ? c->parts : f.rounds;
    return f;
}

/* Elements of a part's buffer. */
static int64_t buffer_elems(const Fused *f) {
    return f->group * panel_blocks(f) * f->buffer.plane;
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
    int64_t row = f.buffer.row * f.group * panel_blocks(&f);
    int64_t blocks_left = f.y.blocks - f.rounds * f.group * panel_blocks(&f);
    return (ConvDwPlan){.bands = f.bands,
                        .rounds = f.rounds + (blocks_left > 0),
                        .parts = f.parts ? f.parts : 1,
                        .row_elems = row,
                        .scratch = buffer_elems(&f) * (f.parts ? f.parts : 1)};
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
    d.rows = rows;
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

/* Bands between the first and the last. */
static void middle_bands(Lower *lo, const Fused *f, const Round *r) {
    const Bands *b = &f->bands;
    if (b->count <= 2)
        return;
    Reg *band = build_for(&lo->step, "band", bound_const(1), bound_const(b->count - 1), 1);
    keep_rows(lo, f, r);
    Addr x = addr_plus(input_row(f, b->kept - f->top), band, b->fresh * f->gemm.a_row);
    expand(lo, f, r, x, b->kept, b->fresh);
    depthwise(lo, f, r, addr_plus(r->y, band, b->rows * f->y.row), b->rows);
    build_close(&lo->step);
}

static void last_band(Lower *lo, const Fused *f, const Round *r) {
    const Bands *b = &f->bands;
    if (b->count == 1)
        return;
    int64_t done = b->count - 1, rows = last_fresh(b, &f->second, f->buffer.h);
    keep_rows(lo, f, r);
    expand(lo, f, r, input_row(f, done * b->fresh + b->kept - f->top), b->kept, rows);
    zero_below(lo, f, r, b->kept + rows, b->kept + b->last * f->second.stride.v[0]);
    depthwise(lo, f, r, addr_offset(r->y, done * b->rows * f->y.row), b->last);
}

static void emit_round(Lower *lo, const Fused *f, const Round *r) {
    if (f->dw.sum)
        lower_sums_begin(lo, r->sums, r->blocks, f->dw.s_plane);
    zero_frame(lo, f, r);
    first_band(lo, f, r);
    middle_bands(lo, f, r);
    last_band(lo, f, r);
    if (f->dw.sum)
        lower_sums_end(lo, r->sums, r->blocks, f->dw.s_plane, &f->y);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

/* What a round's addresses move on by. */
static Round round_step(const Fused *f, int lanes) {
    int64_t blocks = f->group * panel_blocks(f);
    return (Round){.panels = f->group,
                   .blocks = blocks,
                   .weights.offset = f->group * f->panels.weights,
                   .dw_weights.offset = blocks * dw_block_weights(&f->second, lanes),
                   .y.offset = blocks * f->y.plane,
                   .sums.offset = blocks * f->dw.s_plane};
}

static void whole_rounds(Lower *lo, const Fused *f, const Round *start) {
    Round r = round_step(f, lower_lanes(lo));
    Parts parts = lower_parts_begin(lo, f->rounds, f->parts);
    Reg *round = parts_each(lo, &parts, "round");
    r.buffer = parts_own(&parts, start->buffer, buffer_elems(f));
    r.weights = addr_plus(start->weights, round, r.weights.offset);
    r.dw_weights = addr_plus(start->dw_weights, round, r.dw_weights.offset);
    r.y = addr_plus(start->y, round, r.y.offset);
    if (f->dw.sum)
        r.sums = addr_plus(start->sums, round, r.sums.offset);
    emit_round(lo, f, &r);
    build_close(&lo->step);
    lower_parts_end(lo, &parts);
}

/* The panels that fill no round. */
static void rest(Lower *lo, const Fused *f, const Round *start) {
    Round step = round_step(f, lower_lanes(lo)), r = *start;
    r.panels = f->panels.whole % f->group;
    r.last = f->panels.last > 0;
    r.blocks = f->y.blocks - f->rounds * step.blocks;
    if (r.blocks == 0)
        return;
    r.weights = addr_offset(start->weights, f->rounds * step.weights.offset);
    r.dw_weights = addr_offset(start->dw_weights, f->rounds * step.dw_weights.offset);
    r.y = addr_offset(start->y, f->rounds * step.y.offset);
    if (f->dw.sum)
        r.sums = addr_offset(start->sums, f->rounds * step.sums.offset);
    emit_round(lo, f, &r);
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
                   .dw_weights = dw_pack(lo, &f.second, f.y.c, &dw, node_in(n, slot)->name),
                   .buffer = lower_scratch(lo, n)};
    const Value *mean = node_result(n, "mean");
    f.dw.sum = mean != NULL;
    f.dw.s_plane = mean ? view_of(&mean->type).plane : 0;
    lower_batch_begin(lo, f.x.n);
    f.gemm.a = conv_start(&f.first, &f.x, lower_addr(lo, node_in(n, 0)));
    start.y = lower_addr(lo, node_out(n));
    if (mean)
        start.sums = lower_addr(lo, mean);
    if (f.rounds)
        whole_rounds(lo, &f, &start);
    rest(lo, &f, &start);
    if (mean)
        lower_zero_halo(lo, mean);
    lower_zero_halo(lo, node_out(n));
    lower_batch_end(lo);
    return true;
}
