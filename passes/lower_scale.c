/* lower_scale.c: packed weights times a gate per input channel. There are fewer weights than pixels
 * where this is used (see fuse-scale), so that it costs little. */
#include "passes/lower.h"

typedef struct ScaleKernel {
    Builder b;
    const ScaleWeights *s;
    int lanes;
    Reg *w, *gate, *to;                 /* pointers to the first element */
    Reg *panels, *panel, *k, *k_blocks; /* `panel` in elements */
    Reg *biases, *skip; /* rows of biases to copy, 1 or 0; elements before the weights */
} ScaleKernel;

/* One row of all vectors, times `by` unless that is NULL. */
static void scale_row(ScaleKernel *k, Reg *from, Reg *to, Reg *by) {
    Builder *b = &k->b;
    for (int64_t v = 0; v < k->s->vectors; v++) {
        Reg *x = build_load(b, "x", k->lanes, addr_of(from, v * k->lanes));
        if (by)
            build_op_to(b, INST_mul, x, x, by, NULL);
        build_store(b, addr_of(to, v * k->lanes), x);
    }
    advance_by(b, from, k->s->vectors * k->lanes);
    advance_by(b, to, k->s->vectors * k->lanes);
}

/* The rows of one block of channels: of each tap, `count` of them. */
static void scale_block(ScaleKernel *k, Reg *gate, Reg *from, Reg *to, Reg *count) {
    Builder *b = &k->b;
    if (k->s->taps > 1)
        build_for(b, "t", bound_const(0), bound_const(k->s->taps), 1);
    Reg *l = build_for(b, "l", bound_const(0), bound_reg(count), 1);
    Addr at = addr_plus(addr_of(gate, 0), l, 1);
    scale_row(k, from, to, build_spread(b, "g", k->lanes, at));
    build_close(b);
    if (k->s->taps > 1)
        build_close(b);
}

static void kernel_body(ScaleKernel *k) {
    Builder *b = &k->b;
    Reg *block = build_const_i(b, "block", ltype(DT_i64, 1), k->s->block);
    Reg *panel = copy_pointer(b, "wp", k->w), *out = copy_pointer(b, "op", k->to);
    build_for(b, "n", bound_const(0), bound_reg(k->panels), 1);
    Reg *from = copy_pointer(b, "from", panel), *to = copy_pointer(b, "to", out);
    build_for(b, "bias", bound_const(0), bound_reg(k->biases), 1);
    scale_row(k, from, to, NULL);
    build_close(b);
    build_lea_to(b, from, addr_plus(addr_of(panel, 0), k->skip, 1));
    build_lea_to(b, to, addr_plus(addr_of(out, 0), k->skip, 1));
    Reg *gate = copy_pointer(b, "gp", k->gate);
    Reg *left = build_op(b, INST_mov, "left", k->k, NULL, NULL);
    build_for(b, "cb", bound_const(0), bound_reg(k->k_blocks), 1);
    scale_block(k, gate, from, to, build_op(b, INST_min, "count", left, block, NULL));
    build_op_to(b, INST_sub, left, left, block, NULL);
    advance_by(b, gate, k->s->block);
    build_close(b);
    advance(b, panel, k->panel);
    advance(b, out, k->panel);
    build_close(b);
}

static Kernel *build_kernel(Lower *lo, const ScaleWeights *s) {
    Kernel *k = kernel_new(lo->m, arena_printf(&lo->m->arena, "scale_weights_%d", (int)s->vectors));
    ScaleKernel sk = {.s = s, .lanes = lower_lanes(lo)};
    sk.w = kernel_param_ptr(k, "w", DT_f32);
    sk.gate = kernel_param_ptr(k, "g", DT_f32);
    sk.to = kernel_param_ptr(k, "to", DT_f32);
    sk.panels = kernel_param_i64(k, "panels");
    sk.panel = kernel_param_i64(k, "panel");
    sk.k = kernel_param_i64(k, "k");
    sk.k_blocks = kernel_param_i64(k, "k_blocks");
    sk.biases = kernel_param_i64(k, "biases");
    sk.skip = kernel_param_i64(k, "skip");
    sk.b = build_begin(k);
    kernel_body(&sk);
    build_end(&sk.b);
    return k;
}

void lower_scale_weights(Lower *lo, const ScaleWeights *s, Bound panels, Addr w, Addr gate,
                         Addr to) {
    const Arg args[] = {arg_addr(w),
                        arg_addr(gate),
                        arg_addr(to),
                        arg_bound(panels),
                        arg_i64(s->panel),
                        arg_i64(s->k),
                        arg_i64(ceil_div(s->k, s->block)),
                        arg_i64(1),
                        arg_i64(s->vectors * lower_lanes(lo))};
    lower_call(lo, build_kernel(lo, s), args, sizeof args / sizeof *args);
}

void lower_scale_slice(Lower *lo, const ScaleWeights *s, const Parts *p, Addr w, Addr gate,
                       Addr to) {
    if (!p->part) {
        lower_scale_weights(lo, s, bound_const(s->panels), w, gate, to);
        return;
    }
    Builder *b = &lo->step;
    LType i64 = ltype(DT_i64, 1);
    int64_t width = s->vectors * lower_lanes(lo);
    Reg *zero = build_const_i(b, "zero", i64, 0), *one = build_const_i(b, "one", i64, 1);
    Reg *block = build_const_i(b, "block", i64, s->block), *k = build_const_i(b, "k", i64, s->k);
    Reg *start = build_op(b, INST_mul, "start", p->first, block, NULL);
    Reg *stop = build_op(b, INST_mul, "stop", parts_end(lo, p), block, NULL);
    stop = build_op(b, INST_min, "stop", stop, k, NULL);
    Reg *channels = build_op(b, INST_sub, "channels", stop, start, NULL);
    Reg *rows =
        build_op(b, INST_mul, "rows", start, build_const_i(b, "row", i64, width * s->taps), NULL);
    Reg *skip = build_op(b, INST_add, "skip", rows, build_const_i(b, "bias", i64, width), NULL);
    Reg *starts = build_op(b, INST_eq, "starts", p->first, zero, NULL);
    Reg *biases = build_op(b, INST_select, "biases", starts, one, zero);
    const Arg args[] = {arg_addr(w),
                        arg_addr(addr_plus(gate, start, 1)),
                        arg_addr(to),
                        arg_i64(s->panels),
                        arg_i64(s->panel),
                        arg_bound(bound_reg(channels)),
                        arg_bound(parts_count(lo, p)),
                        arg_bound(bound_reg(biases)),
                        arg_bound(bound_reg(skip))};
    lower_call(lo, build_kernel(lo, s), args, sizeof args / sizeof *args);
}
