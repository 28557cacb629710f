/* lower_pool.c: the mean over each plane: for global_avg_pool, for se where nothing has summed its
 * planes up, and for what other kernels sum up (lower_sums_*).
 *
 * Four partial sums a row hide the latency of the additions; rows are summed up one by one, which
 * also keeps the rounding error of large planes small. */
#include "passes/lower.h"

enum { QUAD = 4 };

typedef struct PoolKernel {
    Builder b;
    int lanes;
    Reg *a, *inverse, *c;
    Reg *blocks, *a_plane, *a_row, *rows, *quads, *rest, *c_plane;
    Reg *part[QUAD];
} PoolKernel;

static void add_pixels(PoolKernel *k, Reg *p, Reg *times, int width) {
    Builder *b = &k->b;
    build_for(b, "x", bound_const(0), bound_reg(times), 1);
    for (int i = 0; i < width; i++) {
        Reg *v = build_load(b, "v", k->lanes, addr_of(p, i * k->lanes));
        build_op_to(b, INST_add, k->part[i], k->part[i], v, NULL);
    }
    advance_by(b, p, width * k->lanes);
    build_close(b);
}

static void add_row(PoolKernel *k, Reg *row, Reg *zero, Reg *total) {
    Builder *b = &k->b;
    for (int i = 0; i < QUAD; i++)
        build_op_to(b, INST_mov, k->part[i], zero, NULL, NULL);
    Reg *p = copy_pointer(b, "p", row);
    add_pixels(k, p, k->quads, QUAD);
    add_pixels(k, p, k->rest, 1);
    build_op_to(b, INST_add, k->part[0], k->part[0], k->part[1], NULL);
    build_op_to(b, INST_add, k->part[2], k->part[2], k->part[3], NULL);
    build_op_to(b, INST_add, k->part[0], k->part[0], k->part[2], NULL);
    build_op_to(b, INST_add, total, total, k->part[0], NULL);
}

static void kernel_body(PoolKernel *k) {
    Builder *b = &k->b;
    LType vec = ltype(DT_f32, k->lanes);
    Reg *zero = build_const_f(b, "zero", vec, 0);
    Reg *inverse = build_spread(b, "scale", k->lanes, addr_of(k->inverse, 0));
    Reg *ap = copy_pointer(b, "ap", k->a), *cp = copy_pointer(b, "cp", k->c);
    build_for(b, "cb", bound_const(0), bound_reg(k->blocks), 1);
    Reg *total = build_op(b, INST_mov, "total", zero, NULL, NULL);
    Reg *row = copy_pointer(b, "row", ap);
    build_for(b, "y", bound_const(0), bound_reg(k->rows), 1);
    add_row(k, row, zero, total);
    advance(b, row, k->a_row);
    build_close(b);
    build_store(b, addr_of(cp, 0), build_op(b, INST_mul, "mean", total, inverse, NULL));
    advance(b, ap, k->a_plane);
    advance(b, cp, k->c_plane);
    build_close(b);
}

static Kernel *build_kernel(Lower *lo) {
    Kernel *k = kernel_new(lo->m, "mean");
    PoolKernel pk = {.lanes = lower_lanes(lo)};
    pk.a = kernel_param_ptr(k, "a", DT_f32);
    pk.inverse = kernel_param_ptr(k, "inverse", DT_f32);
    pk.c = kernel_param_ptr(k, "c", DT_f32);
    pk.blocks = kernel_param_i64(k, "blocks");
    pk.a_plane = kernel_param_i64(k, "a_plane");
    pk.a_row = kernel_param_i64(k, "a_row");
    pk.rows = kernel_param_i64(k, "rows");
    pk.quads = kernel_param_i64(k, "quads");
    pk.rest = kernel_param_i64(k, "rest");
    pk.c_plane = kernel_param_i64(k, "c_plane");
    for (int i = 0; i < QUAD; i++)
        pk.part[i] =
            kernel_reg(k, arena_printf(&lo->m->arena, "part%d", i), ltype(DT_f32, pk.lanes));
    pk.b = build_begin(k);
    kernel_body(&pk);
    build_end(&pk.b);
    return k;
}

/* The weights hold 1 / (h * w). */
static Addr inverse_of(Lower *lo, const View *v) {
    *lower_weights_begin(lo, 1) = (float)(1.0 / (double)(v->h * v->w));
    return lower_weights_end(lo, "inverse");
}

void lower_pool_to(Lower *lo, Addr from, const View *v, Addr to, int64_t plane) {
    Addr inverse = inverse_of(lo, v);
    double cycles = (double)(v->blocks * v->h * v->w); /* a load and an addition for each vector */
    Parts p = lower_parts_begin(lo, v->blocks, lower_parts(lo->cx, cycles, v->blocks));
    const Arg args[] = {arg_addr(parts_addr(&p, from, v->plane)),
                        arg_addr(inverse),
                        arg_addr(parts_addr(&p, to, plane)),
                        arg_bound(parts_count(lo, &p)),
                        arg_i64(v->plane),
                        arg_i64(v->row),
                        arg_i64(v->h),
                        arg_i64(v->w / QUAD),
                        arg_i64(v->w % QUAD),
                        arg_i64(plane)};
    lower_call(lo, build_kernel(lo), args, sizeof args / sizeof *args);
    lower_parts_end(lo, &p);
}

/* ---- sums that kernels make ------------------------------------------------------------------ */

/* One vector for each block, `plane` apart: set to zero or, with `inverse`, multiplied by it. */
static Kernel *sums_kernel(Lower *lo, bool scales) {
    Kernel *k = kernel_new(lo->m, scales ? "sums_to_means" : "zero_sums");
    Reg *s = kernel_param_ptr(k, "s", DT_f32);
    Reg *inverse = scales ? kernel_param_ptr(k, "inverse", DT_f32) : NULL;
    Reg *blocks = kernel_param_i64(k, "blocks"), *plane = kernel_param_i64(k, "plane");
    int lanes = lower_lanes(lo);
    Builder b = build_begin(k);
    Reg *by = scales ? build_spread(&b, "scale", lanes, addr_of(inverse, 0))
                     : build_const_f(&b, "zero", ltype(DT_f32, lanes), 0);
    Reg *p = copy_pointer(&b, "p", s);
    build_for(&b, "cb", bound_const(0), bound_reg(blocks), 1);
    if (scales) {
        Reg *sum = build_load(&b, "sum", lanes, addr_of(p, 0));
        build_store(&b, addr_of(p, 0), build_op(&b, INST_mul, "mean", sum, by, NULL));
    } else {
        build_store(&b, addr_of(p, 0), by);
    }
    advance(&b, p, plane);
    build_close(&b);
    build_end(&b);
    return k;
}

void lower_sums_begin(Lower *lo, Addr sums, int64_t blocks, int64_t plane) {
    const Arg args[] = {arg_addr(sums), arg_i64(blocks), arg_i64(plane)};
    lower_call(lo, sums_kernel(lo, false), args, sizeof args / sizeof *args);
}

void lower_sums_end(Lower *lo, Addr sums, int64_t blocks, int64_t plane, const View *of) {
    const Arg args[] = {arg_addr(sums), arg_addr(inverse_of(lo, of)), arg_i64(blocks),
                        arg_i64(plane)};
    lower_call(lo, sums_kernel(lo, true), args, sizeof args / sizeof *args);
}

/* The sums of `pieces`, `piece` elements apart, times `inverse`. */
static Kernel *join_kernel(Lower *lo) {
    Kernel *k = kernel_new(lo->m, "sums_join");
    Reg *s = kernel_param_ptr(k, "s", DT_f32), *inverse = kernel_param_ptr(k, "inverse", DT_f32);
    Reg *to = kernel_param_ptr(k, "to", DT_f32), *pieces = kernel_param_i64(k, "pieces");
    Reg *piece = kernel_param_i64(k, "piece"), *blocks = kernel_param_i64(k, "blocks");
    Reg *plane = kernel_param_i64(k, "plane");
    int lanes = lower_lanes(lo);
    LType vector = ltype(DT_f32, lanes);
    Builder b = build_begin(k);
    Reg *scale = build_spread(&b, "scale", lanes, addr_of(inverse, 0));
    Reg *sp = copy_pointer(&b, "sp", s), *tp = copy_pointer(&b, "tp", to);
    build_for(&b, "cb", bound_const(0), bound_reg(blocks), 1);
    Reg *p = copy_pointer(&b, "p", sp), *sum = build_const_f(&b, "sum", vector, 0);
    build_for(&b, "i", bound_const(0), bound_reg(pieces), 1);
    build_op_to(&b, INST_add, sum, sum, build_load(&b, "v", lanes, addr_of(p, 0)), NULL);
    advance(&b, p, piece);
    build_close(&b);
    build_store(&b, addr_of(tp, 0), build_op(&b, INST_mul, "mean", sum, scale, NULL));
    advance_by(&b, sp, lanes);
    advance(&b, tp, plane);
    build_close(&b);
    build_end(&b);
    return k;
}

void lower_sums_join(Lower *lo, Addr sums, int64_t pieces, Addr to, int64_t blocks, int64_t plane,
                     const View *of) {
    const Arg args[] = {arg_addr(sums),  arg_addr(inverse_of(lo, of)),      arg_addr(to),
                        arg_i64(pieces), arg_i64(blocks * lower_lanes(lo)), arg_i64(blocks),
                        arg_i64(plane)};
    lower_call(lo, join_kernel(lo), args, sizeof args / sizeof *args);
}

/* ---- global_avg_pool ------------------------------------------------------------------------- */

bool lower_pool(Lower *lo, Node *n) {
    const Value *y = node_out(n);
    if (y->type.shape.rank != 4)
        return lower_unsupported(lo, n, "only two-dimensional planes have a kernel");
    lower_batch_begin(lo, y->type.shape.dim[0]);
    View x = view_of(&node_in(n, 0)->type);
    lower_pool_to(lo, lower_addr(lo, node_in(n, 0)), &x, lower_addr(lo, y),
                  view_of(&y->type).plane);
    lower_zero_halo(lo, y);
    lower_batch_end(lo);
    return true;
}
