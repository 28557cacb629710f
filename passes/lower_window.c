/* lower_window.c: max_pool and avg_pool: channels in the vector, a loop over the taps of each
 * pixel.
 *
 * Which taps are inside the plane is known while compiling: a table says for each output row, and
 * one for each output column, where the first of them is and how many there are. So the padding is
 * never read, and needs no halo. For means, two more tables hold the parts of 1 / (number of taps).
 *
 *   for each block of channels
 *     for each output row, output column    acc = -inf, or 0
 *       for each tap inside                 acc = max(acc, x), or acc + x */
#include "passes/lower.h"

#include <math.h>

typedef struct WindowKernel {
    Builder b;
    bool mean;
    int lanes;
    Reg *a, *c, *rows_at, *columns_at;
    Reg *row_part, *column_part; /* of means: tables */
    Reg *blocks, *a_plane, *tap_row, *tap_column, *c_plane, *c_row, *rows, *columns;
} WindowKernel;

static PoolTaps taps_inside(const PoolAttrs *a, int axis, int64_t out, int64_t in) {
    return pool_taps(a, axis, out, 0, in);
}

/* [first tap, in elements; number of taps] of each output row or column. */
static Addr tap_table(Lower *lo, const PoolAttrs *a, int axis, int64_t in, int64_t out,
                      int64_t step) {
    int64_t *t = lower_table_begin(lo, 2 * out);
    for (int64_t i = 0; i < out; i++) {
        PoolTaps r = taps_inside(a, axis, i, in);
        t[2 * i] = r.count ? r.first * step : 0;
        t[2 * i + 1] = r.count;
    }
    return lower_table_end(lo, axis ? "columns" : "rows");
}

/* One factor of 1 / (number of taps that count), for each output row or column. */
static Addr part_table(Lower *lo, const PoolAttrs *a, int axis, int64_t in, int64_t out) {
    float *t = lower_weights_begin(lo, out);
    int64_t first = -a->counted.v[axis], end = in + a->counted.v[2 + axis];
    for (int64_t i = 0; i < out; i++) {
        int64_t counted = pool_taps(a, axis, i, first, end).count;
        t[i] = counted ? (float)(1.0 / (double)counted) : 0;
    }
    return lower_weights_end(lo, axis ? "column_parts" : "row_parts");
}

/* Whether some window is in the padding alone: its maximum is -inf, in spare lanes too. */
static bool has_empty_windows(const PoolAttrs *a, const View *x, const View *y) {
    bool empty = false;
    for (int64_t i = 0; i < y->h; i++)
        empty |= taps_inside(a, 0, i, x->h).count == 0;
    for (int64_t i = 0; i < y->w; i++)
        empty |= taps_inside(a, 1, i, x->w).count == 0;
    return empty;
}

/* NaN stays: max gives the second operand where one is NaN, so that a NaN in acc must be kept. */
static void add_tap(WindowKernel *k, Reg *acc, Reg *x) {
    Builder *b = &k->b;
    if (k->mean) {
        build_op_to(b, INST_add, acc, acc, x, NULL);
        return;
    }
    Reg *number = build_op(b, INST_eq, "number", acc, acc, NULL);
    Reg *most = build_op(b, INST_max, "most", acc, x, NULL);
    build_op_to(b, INST_select, acc, number, most, acc);
}

static void taps(WindowKernel *k, Reg *acc, Reg *from, Reg *rows, Reg *columns) {
    Builder *b = &k->b;
    Reg *row = copy_pointer(b, "row", from);
    build_for(b, "i", bound_const(0), bound_reg(rows), 1);
    Reg *p = copy_pointer(b, "p", row);
    build_for(b, "j", bound_const(0), bound_reg(columns), 1);
    add_tap(k, acc, build_load(b, "v", k->lanes, addr_of(p, 0)));
    advance(b, p, k->tap_column);
    build_close(b);
    advance(b, row, k->tap_row);
    build_close(b);
}

/* The factor of output row or column i. */
static Reg *part_at(WindowKernel *k, const char *name, Reg *table, Reg *i) {
    return build_spread(&k->b, name, k->lanes, addr_plus(addr_of(table, 0), i, 1));
}

static void output_row(WindowKernel *k, Reg *plane, Reg *y, Reg *to) {
    Builder *b = &k->b;
    LType vector = ltype(DT_f32, k->lanes);
    Addr at = addr_plus(addr_of(k->rows_at, 0), y, 2);
    Reg *first = build_load(b, "first", 1, at),
        *rows = build_load(b, "rows", 1, addr_offset(at, 1));
    Reg *row = build_lea(b, "from", addr_plus(addr_of(plane, 0), first, 1));
    Reg *part = k->mean ? part_at(k, "part", k->row_part, y) : NULL;
    Reg *x = build_for(b, "x", bound_const(0), bound_reg(k->columns), 1);
    at = addr_plus(addr_of(k->columns_at, 0), x, 2);
    Reg *left = build_load(b, "left", 1, at);
    Reg *columns = build_load(b, "columns", 1, addr_offset(at, 1));
    Reg *acc = build_const_f(b, "acc", vector, k->mean ? 0 : -INFINITY);
    Reg *pixel = build_lea(b, "pixel", addr_plus(addr_of(row, 0), left, 1));
    taps(k, acc, pixel, rows, columns);
    if (k->mean) {
        build_op_to(b, INST_mul, acc, acc, part, NULL);
        build_op_to(b, INST_mul, acc, acc, part_at(k, "part", k->column_part, x), NULL);
    }
    build_store(b, addr_of(to, 0), acc);
    advance_by(b, to, k->lanes);
    build_close(b);
}

static void kernel_body(WindowKernel *k) {
    Builder *b = &k->b;
    Reg *ap = copy_pointer(b, "ap", k->a), *cp = copy_pointer(b, "cp", k->c);
    build_for(b, "cb", bound_const(0), bound_reg(k->blocks), 1);
    Reg *cr = copy_pointer(b, "cr", cp);
    Reg *y = build_for(b, "y", bound_const(0), bound_reg(k->rows), 1);
    output_row(k, ap, y, copy_pointer(b, "to", cr));
    advance(b, cr, k->c_row);
    build_close(b);
    advance(b, ap, k->a_plane);
    advance(b, cp, k->c_plane);
    build_close(b);
}

static Kernel *build_kernel(Lower *lo, bool mean) {
    Kernel *k = kernel_new(lo->m, mean ? "avg_pool" : "max_pool");
    WindowKernel w = {.mean = mean, .lanes = lower_lanes(lo)};
    w.a = kernel_param_ptr(k, "a", DT_f32);
    w.c = kernel_param_ptr(k, "c", DT_f32);
    w.rows_at = kernel_param_ptr(k, "rows_at", DT_i64);
    w.columns_at = kernel_param_ptr(k, "columns_at", DT_i64);
    w.blocks = kernel_param_i64(k, "blocks");
    w.a_plane = kernel_param_i64(k, "a_plane");
    w.tap_row = kernel_param_i64(k, "tap_row");
    w.tap_column = kernel_param_i64(k, "tap_column");
    w.c_plane = kernel_param_i64(k, "c_plane");
    w.c_row = kernel_param_i64(k, "c_row");
    w.rows = kernel_param_i64(k, "rows");
    w.columns = kernel_param_i64(k, "columns");
    if (mean) {
        w.row_part = kernel_param_ptr(k, "row_part", DT_f32);
        w.column_part = kernel_param_ptr(k, "column_part", DT_f32);
    }
    w.b = build_begin(k);
    kernel_body(&w);
    build_end(&w.b);
    return k;
}

bool lower_window(Lower *lo, Node *n) {
    const PoolAttrs *a = pool_attrs(n);
    const Value *from = node_in(n, 0), *to = node_out(n);
    View x = view_of(&from->type), y = view_of(&to->type);
    bool mean = n->op == OP_avg_pool;
    Addr rows = tap_table(lo, a, 0, x.h, y.h, x.row);
    Addr columns = tap_table(lo, a, 1, x.w, y.w, x.block);
    Addr row_part = {0}, column_part = {0};
    if (mean) {
        row_part = part_table(lo, a, 0, x.h, y.h);
        column_part = part_table(lo, a, 1, x.w, y.w);
    }
    double cycles = (double)(a->kernel.v[0] * a->kernel.v[1]) * (double)(y.blocks * y.h * y.w);
    lower_batch_begin(lo, x.n);
    Parts p = lower_parts_begin(lo, y.blocks, lower_parts(lo->cx, cycles, y.blocks));
    const Arg args[] = {arg_addr(parts_addr(&p, lower_addr(lo, from), x.plane)),
                        arg_addr(parts_addr(&p, lower_addr(lo, to), y.plane)),
                        arg_addr(rows),
                        arg_addr(columns),
                        arg_bound(parts_count(lo, &p)),
                        arg_i64(x.plane),
                        arg_i64(a->dilation.v[0] * x.row),
                        arg_i64(a->dilation.v[1] * x.block),
                        arg_i64(y.plane),
                        arg_i64(y.row),
                        arg_i64(y.h),
                        arg_i64(y.w),
                        arg_addr(row_part),
                        arg_addr(column_part)};
    int count = (int)(sizeof args / sizeof *args);
    lower_call(lo, build_kernel(lo, mean), args, mean ? count : count - 2);
    lower_parts_end(lo, &p);
    if (!mean && has_empty_windows(a, &x, &y))
        lower_zero_spare(lo, to);
    lower_zero_halo(lo, to);
    lower_batch_end(lo);
    return true;
}
