/* lower_dw.c: depthwise convolution: channels in the vector, one row of taps in registers, and
 * mr output columns that share the loads of each input row.
 *
 *   for each block of channels              weights of a block: [bias, kh, kw][lanes]
 *     for each output row
 *       for each tile of mr columns         acc[m] = bias
 *         for each tap row i                input column q feeds all m, j with m*sw + j*dw == q
 *
 * The input's halo holds the padding, so that no border is tested. */
#include "passes/lower.h"

enum { MAX_COLUMNS = 64 };

typedef struct DwKernel {
    Builder b;
    const ConvAttrs *attrs;
    int lanes;
    Reg *a, *w, *c;
    Reg *blocks, *a_plane, *a_row, *a_tap_row, *c_plane, *c_row, *rows, *tiles;
    Reg *acc[MAX_COLUMNS], *tap[MAX_COLUMNS];
} DwKernel;

/* Adds input column q (in pixels) to every output column that it reaches. */
static void add_column(DwKernel *k, Reg *row, int64_t q, int mr) {
    const ConvAttrs *a = k->attrs;
    Reg *x = NULL;
    for (int m = 0; m < mr; m++) {
        int64_t at = q - m * a->stride.v[1];
        if (at < 0 || at % a->dilation.v[1] != 0 || at / a->dilation.v[1] >= a->kernel.v[1])
            continue;
        if (!x)
            x = build_load(&k->b, "x", k->lanes, addr_of(row, q * k->lanes));
        build_op_to(&k->b, INST_fma, k->acc[m], x, k->tap[at / a->dilation.v[1]], k->acc[m]);
    }
}

static void tile(DwKernel *k, Reg *weights, Reg *at, Reg *ct, int mr) {
    Builder *b = &k->b;
    const ConvAttrs *a = k->attrs;
    int64_t kw = a->kernel.v[1];
    build_load_to(b, k->acc[0], addr_of(weights, 0));
    for (int m = 1; m < mr; m++)
        build_op_to(b, INST_mov, k->acc[m], k->acc[0], NULL, NULL);
    Reg *w = build_lea(b, "wk", addr_of(weights, k->lanes)), *row = copy_pointer(b, "row", at);
    build_for(b, "i", bound_const(0), bound_const(a->kernel.v[0]), 1);
    for (int64_t j = 0; j < kw; j++)
        build_load_to(b, k->tap[j], addr_of(w, j * k->lanes));
    int64_t columns = (mr - 1) * a->stride.v[1] + (kw - 1) * a->dilation.v[1] + 1;
    for (int64_t q = 0; q < columns; q++)
        add_column(k, row, q, mr);
    advance_by(b, w, kw * k->lanes);
    advance(b, row, k->a_tap_row);
    build_close(b);
    for (int m = 0; m < mr; m++) {
        if (a->act != ACT_none)
            build_op_to(b, act_inst(a->act), k->acc[m], k->acc[m], NULL, NULL);
        build_store(b, addr_of(ct, m * k->lanes), k->acc[m]);
    }
}

static void row_of_tiles(DwKernel *k, const Schedule *s, Reg *weights, Reg *a_row, Reg *c_row) {
    Builder *b = &k->b;
    Reg *at = copy_pointer(b, "at", a_row), *ct = copy_pointer(b, "ct", c_row);
    build_for(b, "t", bound_const(0), bound_reg(k->tiles), 1);
    tile(k, weights, at, ct, s->mr);
    advance_by(b, at, s->mr * k->attrs->stride.v[1] * k->lanes);
    advance_by(b, ct, s->mr * k->lanes);
    build_close(b);
    if (s->mr_tail)
        tile(k, weights, at, ct, s->mr_tail);
}

static void kernel_body(DwKernel *k, const Schedule *s) {
    Builder *b = &k->b;
    const ConvAttrs *a = k->attrs;
    Reg *w = copy_pointer(b, "wp", k->w);
    Reg *ap = copy_pointer(b, "ap", k->a), *cp = copy_pointer(b, "cp", k->c);
    build_for(b, "cb", bound_const(0), bound_reg(k->blocks), 1);
    Reg *ar = copy_pointer(b, "ar", ap), *cr = copy_pointer(b, "cr", cp);
    build_for(b, "y", bound_const(0), bound_reg(k->rows), 1);
    row_of_tiles(k, s, w, ar, cr);
    advance(b, ar, k->a_row);
    advance(b, cr, k->c_row);
    build_close(b);
    advance_by(b, w, (1 + a->kernel.v[0] * a->kernel.v[1]) * k->lanes);
    advance(b, ap, k->a_plane);
    advance(b, cp, k->c_plane);
    build_close(b);
}

static const char *kernel_name(Lower *lo, const ConvAttrs *a, const Schedule *s) {
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
    const char *name = arena_strdup(&lo->m->arena, b.data);
    buf_free(&b);
    return name;
}

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
    dk->tiles = kernel_param_i64(k, "tiles");
    LType vec = ltype(DT_f32, dk->lanes);
    ensure(mr <= MAX_COLUMNS && dk->attrs->kernel.v[1] <= MAX_COLUMNS);
    for (int m = 0; m < mr; m++)
        dk->acc[m] = kernel_reg(k, arena_printf(&lo->m->arena, "acc%d", m), vec);
    for (int64_t j = 0; j < dk->attrs->kernel.v[1]; j++)
        dk->tap[j] = kernel_reg(k, arena_printf(&lo->m->arena, "tap%d", (int)j), vec);
}

static Kernel *build_kernel(Lower *lo, const ConvAttrs *a, const Schedule *s) {
    Kernel *k = kernel_new(lo->m, kernel_name(lo, a, s));
    DwKernel dk = {.attrs = a, .lanes = lower_lanes(lo)};
    declare(&dk, k, lo, s->mr);
    dk.b = build_begin(k);
    kernel_body(&dk, s);
    build_end(&dk.b);
    return k;
}

/* [block][bias, kh, kw][lanes]; spare lanes are zero but for a bias that makes the activation
 * give zero there. */
static Addr pack(Lower *lo, const Node *n, const ConvWeights *from) {
    const ConvAttrs *a = conv_attrs(n);
    int lanes = lower_lanes(lo);
    int64_t channels = node_in(n, 1)->type.shape.dim[0], taps = a->kernel.v[0] * a->kernel.v[1];
    float *out = lower_weights_begin(lo, ceil_div(channels, lanes) * (1 + taps) * lanes);
    for (int64_t c0 = 0; c0 < channels; c0 += lanes) {
        for (int64_t c = c0; c < c0 + lanes; c++)
            *out++ = c >= channels ? spare_bias(a->act) : from->bias ? from->bias[c] : 0;
        for (int64_t t = 0; t < taps; t++)
            for (int64_t c = c0; c < c0 + lanes; c++)
                *out++ = c < channels ? from->w[c * taps + t] : 0;
    }
    return lower_weights_end(lo, node_in(n, 1)->name);
}

bool lower_dwconv2d(Lower *lo, Node *n) {
    const ConvAttrs *a = conv_attrs(n);
    if (a->kernel.v[1] > 32)
        return lower_unsupported(lo, n, "a depthwise kernel is at most 32 wide");
    ConvWeights w;
    if (!lower_conv_weights(lo, n, &w))
        return false;
    View x = view_of(&node_in(n, 0)->type), y = view_of(&node_out(n)->type);
    Schedule s = pick_dw_schedule(y.w, a->kernel.v[1], a->stride.v[1], lo->cx);
    Addr packed = pack(lo, n, &w);
    lower_batch_begin(lo, x.n);
    Addr from =
        addr_offset(lower_addr(lo, node_in(n, 0)), -(a->pad.v[0] * x.row + a->pad.v[1] * x.block));
    const Arg args[] = {arg_addr(from),
                        arg_addr(packed),
                        arg_addr(lower_addr(lo, node_out(n))),
                        arg_i64(y.blocks),
                        arg_i64(x.plane),
                        arg_i64(a->stride.v[0] * x.row),
                        arg_i64(a->dilation.v[0] * x.row),
                        arg_i64(y.plane),
                        arg_i64(y.row),
                        arg_i64(y.h),
                        arg_i64(y.w / s.mr)};
    lower_call(lo, build_kernel(lo, a, &s), args, sizeof args / sizeof *args);
    lower_zero_halo(lo, node_out(n));
    lower_batch_end(lo);
    return true;
}
