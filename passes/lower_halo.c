/* lower_halo.c: zeros around planes and in spare lanes. The arena's old contents never matter, so
 * every run writes them anew. */
#include "passes/lower.h"

/* Stores `zero` to p[0..count), in steps of `lanes`; p moves on behind them. */
static void zero_run(Builder *b, Reg *p, Reg *count, Reg *zero, int lanes) {
    Reg *i = build_for(b, "i", bound_const(0), bound_reg(count), lanes);
    build_store(b, addr_plus(addr_of(p, 0), i, 1), zero);
    build_close(b);
    advance(b, p, count);
}

/* A plane is: `first` zeros, then `rows` times (skip, gap zeros), skip, `last` zeros. All counts
 * are multiples of `lanes`. */
static Kernel *halo_kernel(Lower *lo, int lanes) {
    Kernel *k = kernel_new(lo->m, lanes == 1 ? "zero_halo_scalar" : "zero_halo");
    Reg *c = kernel_param_ptr(k, "c", DT_f32), *planes = kernel_param_i64(k, "planes");
    Reg *plane = kernel_param_i64(k, "plane"), *first = kernel_param_i64(k, "first");
    Reg *rows = kernel_param_i64(k, "rows"), *skip = kernel_param_i64(k, "skip");
    Reg *gap = kernel_param_i64(k, "gap"), *last = kernel_param_i64(k, "last");
    Builder b = build_begin(k);
    Reg *zero = build_const_f(&b, "zero", ltype(DT_f32, lanes), 0);
    Reg *start = copy_pointer(&b, "start", c);
    build_for(&b, "cb", bound_const(0), bound_reg(planes), 1);
    Reg *p = copy_pointer(&b, "p", start);
    zero_run(&b, p, first, zero, lanes);
    build_for(&b, "y", bound_const(0), bound_reg(rows), 1);
    advance(&b, p, skip);
    zero_run(&b, p, gap, zero, lanes);
    build_close(&b);
    advance(&b, p, skip);
    zero_run(&b, p, last, zero, lanes);
    advance(&b, start, plane);
    build_close(&b);
    build_end(&b);
    return k;
}

static void zero_frames(Lower *lo, Addr at, const View *v, Bound blocks, const int64_t width[4]) {
    int64_t top = width[0], left = width[1], bottom = width[2], right = width[3];
    int lanes = v->block == lower_lanes(lo) ? lower_lanes(lo) : 1;
    const Arg args[] = {arg_addr(at),
                        arg_bound(blocks),
                        arg_i64(v->plane),
                        arg_i64(top * v->row + left * v->block),
                        arg_i64(v->h - 1),
                        arg_i64(v->w * v->block),
                        arg_i64(v->row - v->w * v->block),
                        arg_i64(right * v->block + bottom * v->row)};
    lower_call(lo, halo_kernel(lo, lanes), args, sizeof args / sizeof *args);
}

void lower_zero_around(Lower *lo, Addr at, const View *v, const int64_t width[4]) {
    zero_frames(lo, at, v, bound_const(v->blocks), width);
}

void lower_zero_halo_of(Lower *lo, const Value *v, Addr first, Bound blocks) {
    const int *h = v->type.layout.halo;
    View w = view_of(&v->type);
    if (layout_has_halo(&v->type.layout))
        zero_frames(lo, addr_offset(first, -w.origin), &w, blocks,
                    (const int64_t[]){h[0], h[1], h[2], h[3]});
}

void lower_zero_halo(Lower *lo, const Value *v) {
    lower_zero_halo_of(lo, v, lower_addr(lo, v), bound_const(view_of(&v->type).blocks));
}

/* Zeroes lanes from..lanes of each pixel of one block. */
static Kernel *spare_kernel(Lower *lo) {
    Kernel *k = kernel_new(lo->m, "zero_spare");
    Reg *c = kernel_param_ptr(k, "c", DT_f32), *rows = kernel_param_i64(k, "rows");
    Reg *row = kernel_param_i64(k, "row"), *length = kernel_param_i64(k, "length");
    Reg *from = kernel_param_i64(k, "from");
    int lanes = lower_lanes(lo);
    Builder b = build_begin(k);
    Reg *zero = build_const_f(&b, "zero", ltype(DT_f32, 1), 0),
        *start = copy_pointer(&b, "start", c);
    build_for(&b, "y", bound_const(0), bound_reg(rows), 1);
    Reg *x = build_for(&b, "x", bound_const(0), bound_reg(length), lanes);
    Reg *l = build_for(&b, "l", bound_reg(from), bound_const(lanes), 1);
    build_store(&b, addr_plus(addr_plus(addr_of(start, 0), x, 1), l, 1), zero);
    build_close(&b);
    build_close(&b);
    advance(&b, start, row);
    build_close(&b);
    build_end(&b);
    return k;
}

void lower_zero_spare(Lower *lo, const Value *v) {
    View w = view_of(&v->type);
    if (w.block == 1 || w.c % w.block == 0)
        return;
    const Arg args[] = {arg_addr(addr_offset(lower_addr(lo, v), (w.blocks - 1) * w.plane)),
                        arg_i64(w.h), arg_i64(w.row), arg_i64(w.w * w.block),
                        arg_i64(w.c % w.block)};
    lower_call(lo, spare_kernel(lo), args, sizeof args / sizeof *args);
}
