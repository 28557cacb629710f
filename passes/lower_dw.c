/* lower_dw.c: depthwise convolution: channels in the vector, one row of taps in registers, and
 * mr output columns that share the loads of each input row.
 *
 *   for each block of channels              weights of a block: [bias, steps, (kh, kw)][lanes]
 *     for each output row
 *       for each tile of mr columns         acc[m] = bias
 *         for each tap row i                input column q feeds all m, j with m*sw + j*dw == q
 *         [sum: row's sum += acc[0..m]]
 *       [sum: block's sum += row's sum]     two levels keep the error of large planes small
 *
 * The input's halo holds the padding, so that no border is tested. Small planes have no halo, which
 * would be as large as they are: all tiles of their rows are known, and none reads beside the plane
 * ("clipped"); rows of taps above and below it are left out.
 *
 * Where a gate reads the means, its weights are brought into the caches meanwhile, some lines with
 * each output row ("ahead"). */
#include "passes/lower.h"

enum { MAX_COLUMNS = 64 };

typedef struct DwKernel {
    Builder b;
    const ConvAttrs *attrs;
    const Depthwise *d;
    int lanes;
    Reg *a, *w, *c;
    Reg *s, *s_plane; /* sums; NULL where there are none */
    Reg *row_sum;
    Reg *blocks, *a_plane, *a_row, *a_tap_row, *c_plane, *c_row, *rows, *tiles;
    Reg *in_rows;              /* where clipped */
    Reg *ahead, *lines, *next; /* NULL where nothing is brought ahead */
    Reg *acc[MAX_COLUMNS], *tap[MAX_COLUMNS];
} DwKernel;

/* The loop over rows of taps: all, or first .. end - 1. */
typedef struct TapRows {
    Reg *first, *end;
} TapRows;

/* Adds input column q (in pixels) of the tile, at `row` + `from` in memory, to every output column
 * that it reaches. */
static void add_column(DwKernel *k, Reg *row, int64_t from, int64_t q, int mr) {
    const ConvAttrs *a = k->attrs;
    int64_t column = from + q;
    if (k->d->clipped && (column < 0 || column >= k->d->in_columns))
        return;
    Reg *x = NULL;
    for (int m = 0; m < mr; m++) {
        int64_t at = q - m * a->stride.v[1];
        if (at < 0 || at % a->dilation.v[1] != 0 || at / a->dilation.v[1] >= a->kernel.v[1])
            continue;
        if (!x)
            x = build_load_once(&k->b, "x", k->lanes, addr_of(row, column * k->lanes));
        build_op_to(&k->b, INST_fma, k->acc[m], x, k->tap[at / a->dilation.v[1]], k->acc[m]);
    }
}

/* Whether tap j of a tile reads a column that is there, for any output. */
static bool reads_tap(const DwKernel *k, int64_t from, int64_t j, int mr) {
    const ConvAttrs *a = k->attrs;
    for (int m = 0; m < mr; m++) {
        int64_t column = from + m * a->stride.v[1] + j * a->dilation.v[1];
        if (!k->d->clipped || (column >= 0 && column < k->d->in_columns))
            return true;
    }
    return false;
}

/* In pairs, so that additions don't wait for each other. */
static void add_to_row_sum(DwKernel *k, int mr) {
    for (int step = 1; step < mr; step *= 2)
        for (int m = 0; m + step < mr; m += 2 * step)
            build_op_to(&k->b, INST_add, k->acc[m], k->acc[m], k->acc[m + step], NULL);
    build_op_to(&k->b, INST_add, k->row_sum, k->row_sum, k->acc[0], NULL);
}

static void finish_tile(DwKernel *k, Reg *weights, Addr ct, int mr) {
    Builder *b = &k->b;
    const Steps *steps = k->d->steps.rows ? &k->d->steps : NULL;
    Act act = k->attrs->act;
    StepRegs s;
    if (steps)
        s = steps_load(b, steps, addr_of(weights, k->lanes), k->lanes, k->lanes);
    for (int m = 0; m < mr; m++) {
        if (act != ACT_none)
            build_op_to(b, act_inst(act), k->acc[m], k->acc[m], NULL, NULL);
        if (steps)
            steps_apply(b, &s, k->acc[m]);
        build_store(b, addr_offset(ct, m * k->lanes), k->acc[m]);
    }
}

/* The tile whose first output column is at ct, its first input column `from` columns behind
 * `at`. */
static void tile(DwKernel *k, Reg *weights, const TapRows *taps, Reg *at, int64_t from, Addr ct,
                 int mr) {
    Builder *b = &k->b;
    const ConvAttrs *a = k->attrs;
    int64_t kw = a->kernel.v[1];
    build_load_to(b, k->acc[0], addr_of(weights, 0));
    for (int m = 1; m < mr; m++)
        build_op_to(b, INST_mov, k->acc[m], k->acc[0], NULL, NULL);
    Addr first = addr_of(weights, k->lanes * (1 + steps_rows(&k->d->steps)));
    if (taps->first)
        first = addr_plus(first, taps->first, kw * k->lanes);
    Reg *w = build_lea(b, "wk", first), *row = copy_pointer(b, "row", at);
    build_for(b, "i", taps->first ? bound_reg(taps->first) : bound_const(0),
              taps->end ? bound_reg(taps->end) : bound_const(a->kernel.v[0]), 1);
    for (int64_t j = 0; j < kw; j++)
        if (reads_tap(k, from, j, mr))
            build_load_once_to(b, k->tap[j], addr_of(w, j * k->lanes));
    int64_t columns = (mr - 1) * a->stride.v[1] + (kw - 1) * a->dilation.v[1] + 1;
    for (int64_t q = 0; q < columns; q++)
        add_column(k, row, from, q, mr);
    advance_by(b, w, kw * k->lanes);
    advance(b, row, k->a_tap_row);
    build_close(b);
    finish_tile(k, weights, ct, mr);
    if (k->s)
        add_to_row_sum(k, mr);
}

static void row_of_tiles(DwKernel *k, const Schedule *s, Reg *weights, Reg *a_row, Reg *c_row) {
    Builder *b = &k->b;
    const TapRows all = {NULL, NULL};
    Reg *at = copy_pointer(b, "at", a_row), *ct = copy_pointer(b, "ct", c_row);
    build_for(b, "t", bound_const(0), bound_reg(k->tiles), 1);
    tile(k, weights, &all, at, 0, addr_of(ct, 0), s->mr);
    advance_by(b, at, s->mr * k->attrs->stride.v[1] * k->lanes);
    advance_by(b, ct, s->mr * k->lanes);
    build_close(b);
    if (s->mr_tail)
        tile(k, weights, &all, at, 0, addr_of(ct, 0), s->mr_tail);
}

/* Output row y of the plane at ap, tile by tile. */
static void clipped_row(DwKernel *k, const Schedule *s, Reg *weights, Reg *ap, Reg *y, Reg *c_row) {
    Builder *b = &k->b;
    const ConvAttrs *a = k->attrs;
    LType i64 = ltype(DT_i64, 1);
    Reg *zero = build_const_i(b, "zero", i64, 0), *kh = build_const_i(b, "kh", i64, a->kernel.v[0]);
    Reg *row = build_op(b, INST_mul, "row", y, build_const_i(b, "sh", i64, a->stride.v[0]), NULL);
    Reg *top = build_op(b, INST_sub, "top", row, build_const_i(b, "pad", i64, a->pad.v[0]), NULL);
    Reg *above = build_op(b, INST_sub, "above", zero, top, NULL);
    Reg *below = build_op(b, INST_sub, "below", k->in_rows, top, NULL);
    TapRows taps = {build_op(b, INST_max, "first", above, zero, NULL),
                    build_op(b, INST_min, "end", below, kh, NULL)};
    Reg *from = build_op(b, INST_max, "from", top, zero, NULL);
    from = build_op(b, INST_min, "from", from, k->in_rows, NULL); /* some rows see padding alone */
    Reg *at = build_op(b, INST_mul, "at", from, k->a_tap_row, NULL);
    Reg *a_row = build_lea(b, "ar", addr_plus(addr_of(ap, 0), at, 1));
    for (int64_t x = 0, mr; x < k->d->length; x += mr) {
        mr = x + s->mr <= k->d->length ? s->mr : s->mr_tail;
        tile(k, weights, &taps, a_row, x * a->stride.v[1] - a->pad.v[1],
             addr_of(c_row, x * k->lanes), (int)mr);
    }
}

/* Brings some lines of what the next step reads. */
static void look_ahead(DwKernel *k) {
    Builder *b = &k->b;
    build_for(b, "line", bound_const(0), bound_reg(k->lines), 1);
    build_prefetch(b, addr_of(k->next, 0));
    advance_by(b, k->next, CACHE_LINE);
    build_close(b);
}

/* One output row; its sum goes to the block's vector, which stays in memory: registers are for
 * tiles. */
static void output_row(DwKernel *k, const Schedule *s, Reg *weights, Reg *a, Reg *y, Reg *c_row,
                       Reg *sum) {
    Builder *b = &k->b;
    if (k->next)
        look_ahead(k);
    if (sum)
        build_const_f_to(b, k->row_sum, 0);
    if (k->d->clipped)
        clipped_row(k, s, weights, a, y, c_row);
    else
        row_of_tiles(k, s, weights, a, c_row);
    if (sum) {
        Reg *total = build_load(b, "total", k->lanes, addr_of(sum, 0));
        build_store(b, addr_of(sum, 0), build_op(b, INST_add, "total", total, k->row_sum, NULL));
    }
}

static void kernel_body(DwKernel *k, const Schedule *s) {
    Builder *b = &k->b;
    Reg *w = copy_pointer(b, "wp", k->w);
    Reg *ap = copy_pointer(b, "ap", k->a), *cp = copy_pointer(b, "cp", k->c);
    Reg *sp = k->s ? copy_pointer(b, "sp", k->s) : NULL;
    k->next = k->ahead ? copy_pointer(b, "next", k->ahead) : NULL;
    build_for(b, "cb", bound_const(0), bound_reg(k->blocks), 1);
    Reg *ar = copy_pointer(b, "ar", ap), *cr = copy_pointer(b, "cr", cp);
    Reg *y = build_for(b, "y", bound_const(0), bound_reg(k->rows), 1);
    output_row(k, s, w, ar, y, cr, sp);
    if (!k->d->clipped)
        advance(b, ar, k->a_row);
    advance(b, cr, k->c_row);
    build_close(b);
    advance_by(b, w, dw_block_weights(k->attrs, &k->d->steps, k->lanes));
    advance(b, ap, k->a_plane);
    advance(b, cp, k->c_plane);
    if (sp)
        advance(b, sp, k->s_plane);
    build_close(b);
}

static const char *kernel_name(Lower *lo, const Depthwise *d, const Schedule *s) {
    const ConvAttrs *a = d->attrs;
    Buf b = {0};
    buf_printf(&b, "dw%dx%d", (int)a->kernel.v[0], (int)a->kernel.v[1]);
    if (a->stride.v[1] != 1)
        buf_printf(&b, "_s%d", (int)a->stride.v[1]);
    if (a->dilation.v[1] != 1)
        buf_printf(&b, "_d%d", (int)a->dilation.v[1]);
    buf_printf(&b, "_%d", s->mr);
    if (s->mr_tail)
        buf_printf(&b, "_t%d", s->mr_tail);
    if (a->act != ACT_none)
        buf_printf(&b, "_%s", act_name(a->act));
    buf_puts(&b, d->steps.rows ? "_steps" : "");
    buf_puts(&b, d->clipped ? "_clipped" : "");
    buf_puts(&b, d->sum ? "_sum" : "");
    buf_puts(&b, d->lines ? "_ahead" : "");
    const char *name = arena_strdup(&lo->m->arena, b.data);
    buf_free(&b);
    return name;
}

/* The order of parameters is that of the arguments in dw_call. */
static void declare(DwKernel *dk, Kernel *k, Lower *lo, int mr) {
    dk->a = kernel_param_ptr(k, "a", DT_f32);
    dk->w = kernel_param_ptr(k, "w", DT_f32);
    dk->c = kernel_param_ptr(k, "c", DT_f32);
    dk->blocks = kernel_param_i64(k, "blocks");
    dk->a_plane = kernel_param_i64(k, "a_plane");
    dk->a_row = kernel_param_i64(k, "a_row");
    dk->a_tap_row = kernel_param_i64(k, "a_tap_row");
    dk->c_plane = kernel_param_i64(k, "c_plane");
    dk->c_row = kernel_param_i64(k, "c_row");
    dk->rows = kernel_param_i64(k, "rows");
    if (dk->d->clipped)
        dk->in_rows = kernel_param_i64(k, "in_rows");
    else
        dk->tiles = kernel_param_i64(k, "tiles");
    LType vec = ltype(DT_f32, dk->lanes);
    if (dk->d->sum) {
        dk->s = kernel_param_ptr(k, "s", DT_f32);
        dk->s_plane = kernel_param_i64(k, "s_plane");
    }
    if (dk->d->lines) {
        dk->ahead = kernel_param_ptr(k, "ahead", DT_f32);
        dk->lines = kernel_param_i64(k, "lines");
    }
    if (dk->d->sum)
        dk->row_sum = kernel_reg(k, "row_sum", vec);
    ensure(mr <= MAX_COLUMNS && dk->attrs->kernel.v[1] <= MAX_COLUMNS);
    for (int m = 0; m < mr; m++)
        dk->acc[m] = kernel_reg(k, arena_printf(&lo->m->arena, "acc%d", m), vec);
    for (int64_t j = 0; j < dk->attrs->kernel.v[1]; j++)
        dk->tap[j] = kernel_reg(k, arena_printf(&lo->m->arena, "tap%d", (int)j), vec);
}

static Kernel *build_kernel(Lower *lo, const Depthwise *d, const Schedule *s) {
    Kernel *k = kernel_new(lo->m, kernel_name(lo, d, s));
    DwKernel dk = {.attrs = d->attrs, .d = d, .lanes = lower_lanes(lo)};
    declare(&dk, k, lo, s->mr);
    dk.b = build_begin(k);
    kernel_body(&dk, s);
    build_end(&dk.b);
    return k;
}

int64_t dw_block_weights(const ConvAttrs *a, const Steps *s, int lanes) {
    return (1 + steps_rows(s) + a->kernel.v[0] * a->kernel.v[1]) * lanes;
}

/* Spare lanes are zero but for a bias that makes the activation give zero there. */
Addr dw_pack(Lower *lo, const ConvAttrs *a, int64_t channels, const ConvWeights *from,
             const Steps *s, const char *name) {
    int lanes = lower_lanes(lo);
    int64_t taps = a->kernel.v[0] * a->kernel.v[1], blocks = ceil_div(channels, lanes);
    float *out = lower_weights_begin(lo, blocks * dw_block_weights(a, s, lanes));
    for (int64_t c0 = 0; c0 < channels; c0 += lanes) {
        for (int64_t c = c0; c < c0 + lanes; c++)
            *out++ = c >= channels ? spare_bias(a->act) : from->bias ? from->bias[c] : 0;
        out = steps_pack(s, c0, lanes, out);
        for (int64_t t = 0; t < taps; t++)
            for (int64_t c = c0; c < c0 + lanes; c++)
                *out++ = c < channels ? from->w[c * taps + t] : 0;
    }
    return lower_weights_end(lo, name);
}

bool dw_clips(const ConvAttrs *a, int64_t columns) {
    enum { MOST = 16 };
    return columns <= MOST && a->dilation.v[0] == 1 && a->dilation.v[1] == 1;
}

static Schedule dw_schedule(const Depthwise *d, const PassContext *cx) {
    const ConvAttrs *a = d->attrs;
    TileProblem p = {.kind = TILE_DW,
                     .kh = a->kernel.v[0],
                     .kw = a->kernel.v[1],
                     .stride = a->stride.v[1],
                     .dilation = a->dilation.v[1],
                     .pixels = d->length,
                     .act = a->act,
                     .sum = d->sum,
                     .rows = d->rows,
                     .blocks = d->blocks};
    return pick_schedule(&p, cx);
}

void dw_call(Lower *lo, const Depthwise *d) {
    Schedule s = dw_schedule(d, lo->cx);
    const Arg args[] = {arg_addr(d->a),
                        arg_addr(d->w),
                        arg_addr(d->c),
                        arg_bound(d->count),
                        arg_i64(d->a_plane),
                        arg_i64(d->a_row),
                        arg_i64(d->a_tap_row),
                        arg_i64(d->c_plane),
                        arg_i64(d->c_row),
                        arg_bound(d->row_count),
                        arg_i64(d->clipped ? d->in_rows : d->length / s.mr),
                        arg_addr(d->s),
                        arg_i64(d->s_plane),
                        arg_addr(d->ahead),
                        arg_i64(d->lines)};
    int n = (int)(sizeof args / sizeof *args);
    ensure(d->sum || !d->lines);
    n -= d->lines ? 0 : d->sum ? 2 : 4;
    lower_call(lo, build_kernel(lo, d, &s), args, n);
}

/* A part has whole blocks of channels, or the upper or lower half of them: where planes are large,
 * since the convolutions before and behind are divided by rows there, and what one core writes
 * another one reads slowly; and where one of two threads would have a block more than the other. */
typedef struct DwSplit {
    int64_t halves; /* 1 or 2 */
    int64_t parts;  /* that the blocks are divided into */
} DwSplit;

static DwSplit dw_split(const ConvAttrs *a, const View *y, const PassContext *cx) {
    double taps = (double)(a->kernel.v[0] * a->kernel.v[1]);
    double cycles = taps * (double)(y->blocks * y->h * y->w);
    bool large = y->h >= 2 * y->blocks, odd = lower_parts(cx, cycles, y->blocks) % 2 == 1;
    DwSplit s = {.halves = !dw_clips(a, y->w) && (large || odd) ? lower_parts(cx, cycles, 2) : 1};
    s.parts = lower_parts(cx, cycles / (double)s.halves, y->blocks);
    return s;
}

/* A vector of sums for each block of a half. */
static int64_t sums_elems(const DwSplit *s, const View *y, const PassContext *cx) {
    return s->halves > 1 ? s->halves * y->blocks * target_lanes(cx->target) : 0;
}

int64_t scratch_dwconv2d(const Node *n, const PassContext *cx) {
    View y = view_of(&node_out(n)->type);
    DwSplit s = dw_split(conv_attrs(n), &y, cx);
    return node_result(n, "mean") ? sums_elems(&s, &y, cx) : 0;
}

static void call_in_parts(Lower *lo, const Depthwise *all, const DwSplit *s) {
    int lanes = lower_lanes(lo);
    Parts p = lower_parts_begin(lo, s->halves * s->parts, s->halves * s->parts);
    Reg *half = NULL, *part = p.part;
    if (s->halves > 1)
        part = lower_rest(lo, p.part, s->parts, &half);
    Parts rows = lower_share(lo, half, all->rows, s->halves);
    Parts blocks = lower_share(lo, part, all->blocks, s->parts);
    Depthwise d = *all;
    d.count = parts_count(lo, &blocks);
    d.row_count = parts_count(lo, &rows);
    d.a = parts_addr(&rows, parts_addr(&blocks, d.a, d.a_plane), d.a_row);
    d.w = parts_addr(&blocks, d.w, dw_block_weights(d.attrs, &d.steps, lanes));
    d.c = parts_addr(&rows, parts_addr(&blocks, d.c, d.c_plane), d.c_row);
    if (d.lines)
        d.ahead = parts_addr(&blocks, d.ahead, d.rows * d.lines * CACHE_LINE);
    if (d.sum)
        d.s = parts_own(&rows, parts_addr(&blocks, d.s, d.s_plane), d.blocks * lanes);
    dw_call(lo, &d);
    lower_parts_end(lo, &p);
}

static Depthwise depthwise_of(const Node *n) {
    const ConvAttrs *a = conv_attrs(n);
    const Value *mean = node_result(n, "mean");
    View x = view_of(&node_in(n, 0)->type), y = view_of(&node_out(n)->type);
    return (Depthwise){.attrs = a,
                       .blocks = y.blocks,
                       .rows = y.h,
                       .length = y.w,
                       .a_plane = x.plane,
                       .a_row = a->stride.v[0] * x.row,
                       .a_tap_row = a->dilation.v[0] * x.row,
                       .c_plane = y.plane,
                       .c_row = y.row,
                       .clipped = dw_clips(a, y.w),
                       .in_rows = x.h,
                       .in_columns = x.w,
                       .sum = mean != NULL,
                       .s_plane = mean ? view_of(&mean->type).plane : 0,
                       .steps = steps_of(n)};
}

/* Halves of planes have sums of their own, in scratch memory: they are joined behind them. */
static void sums_begin(Lower *lo, Node *n, Depthwise *d, const Value *mean, int64_t halves) {
    d->s = halves > 1 ? lower_scratch(lo, n) : lower_addr(lo, mean);
    d->s_plane = halves > 1 ? lower_lanes(lo) : d->s_plane;
    lower_sums_begin(lo, d->s, halves * d->blocks, d->s_plane);
}

static void sums_end(Lower *lo, const Depthwise *d, const Value *mean, int64_t halves,
                     const View *y) {
    if (halves > 1)
        lower_sums_join(lo, d->s, halves, lower_addr(lo, mean), d->blocks,
                        view_of(&mean->type).plane, y);
    else
        lower_sums_end(lo, d->s, d->blocks, d->s_plane, y);
    lower_zero_halo(lo, mean);
}

/* What is read once or twice behind the planes: the weights of the gate and those that it scales,
 * which are packed in this order behind the planes' own. */
static int64_t elems_ahead(const Node *gate, const PassContext *cx) {
    const Node *next = value_single_user(node_out(gate));
    bool scales = next && next->op == OP_conv2d;
    return se_weights(gate, cx) + (scales ? conv_scaled_weights(next, cx) : 0);
}

/* It takes longer to come from beyond the core's caches than to be multiplied, and this kernel
 * waits for nothing: it brings as much as they have room for. */
static void set_ahead(Lower *lo, Depthwise *d, const Value *mean, const DwSplit *s) {
    const Node *gate = mean ? value_single_user(mean) : NULL;
    if (!gate || gate->op != OP_se || s->halves > 1 || !target_prefetch_cache(lo->cx->target))
        return;
    int64_t elems = elems_ahead(gate, lo->cx),
            room = lo->cx->target->l2_bytes / 2 / (int64_t)sizeof(float);
    int64_t lines = ceil_div(elems < room ? elems : room, CACHE_LINE);
    int64_t rows = d->blocks * d->rows;
    d->lines = 2 * lines < rows ? 0 : ceil_div(lines, rows);
    d->ahead =
        addr_offset(d->w, d->blocks * dw_block_weights(d->attrs, &d->steps, lower_lanes(lo)));
}

bool lower_dwconv2d(Lower *lo, Node *n) {
    const ConvAttrs *a = conv_attrs(n);
    if (a->kernel.v[1] > MAX_DW_WIDTH)
        return lower_unsupported(lo, n, "a depthwise kernel is at most 32 wide");
    ConvWeights w;
    if (!lower_conv_weights(lo, n, 1, &w) || !steps_check(lo, n))
        return false;
    const Value *mean = node_result(n, "mean");
    View x = view_of(&node_in(n, 0)->type), y = view_of(&node_out(n)->type);
    Depthwise d = depthwise_of(n);
    d.w = dw_pack(lo, a, y.c, &w, &d.steps, node_in(n, 1)->name);
    lower_batch_begin(lo, x.n);
    d.a = lower_addr(lo, node_in(n, 0));
    if (!d.clipped)
        d.a = conv_start(a, &x, d.a);
    d.c = lower_addr(lo, node_out(n));
    DwSplit split = dw_split(a, &y, lo->cx);
    set_ahead(lo, &d, mean, &split);
    if (mean)
        sums_begin(lo, n, &d, mean, split.halves);
    call_in_parts(lo, &d, &split);
    if (mean)
        sums_end(lo, &d, mean, split.halves, &y);
    lower_zero_halo(lo, node_out(n));
    lower_batch_end(lo);
    return true;
}
