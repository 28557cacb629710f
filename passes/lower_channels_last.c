/* lower_channels_last.c: a transpose to channels last reads blocks of channels as they are: each
 * block of a pixel is a part of a row of the result. */
#include "passes/lower.h"

enum { PIXEL_CYCLES = 2 };

bool is_to_channels_last(const Node *n) {
    static const int64_t order[] = {0, 2, 3, 1};
    if (n->op != OP_transpose || transpose_attrs(n)->perm.n != 4)
        return false;
    for (int i = 0; i < 4; i++)
        if (transpose_attrs(n)->perm.v[i] != order[i])
            return false;
    return true;
}

/* Copies `count` lanes of the pixels of a row, one vector or one by one, to every c_pixel elements
 * from `to` on. */
static void copy_row(Builder *b, Reg *from, Reg *to, Reg *columns, Reg *c_pixel, int lanes,
                     Reg *count) {
    Reg *ax = copy_pointer(b, "ax", from), *cx = copy_pointer(b, "cx", to);
    build_for(b, "x", bound_const(0), bound_reg(columns), 1);
    Reg *l = count ? build_for(b, "l", bound_const(0), bound_reg(count), 1) : NULL;
    Addr a = addr_of(ax, 0), c = addr_of(cx, 0);
    Reg *v = build_load(b, "v", count ? 1 : lanes, l ? addr_plus(a, l, 1) : a);
    build_store(b, l ? addr_plus(c, l, 1) : c, v);
    if (l)
        build_close(b);
    advance_by(b, ax, lanes);
    advance(b, cx, c_pixel);
    build_close(b);
}

/* Copies rows of pixels: `blocks` whole blocks and `rest` channels of one more. */
static Kernel *build_kernel(Lower *lo, bool has_rest) {
    Kernel *k = kernel_new(lo->m, has_rest ? "channels_last_rest" : "channels_last");
    Reg *a = kernel_param_ptr(k, "a", DT_f32), *a_plane = kernel_param_i64(k, "a_plane");
    Reg *a_row = kernel_param_i64(k, "a_row"), *c = kernel_param_ptr(k, "c", DT_f32);
    Reg *c_row = kernel_param_i64(k, "c_row"), *c_pixel = kernel_param_i64(k, "c_pixel");
    Reg *rows = kernel_param_i64(k, "rows"), *columns = kernel_param_i64(k, "columns");
    Reg *blocks = kernel_param_i64(k, "blocks");
    Reg *rest = has_rest ? kernel_param_i64(k, "rest") : NULL;
    int lanes = lower_lanes(lo);
    Builder bb = build_begin(k), *b = &bb;
    Reg *ar = copy_pointer(b, "ar", a), *cr = copy_pointer(b, "cr", c);
    build_for(b, "y", bound_const(0), bound_reg(rows), 1);
    Reg *ab = copy_pointer(b, "ab", ar), *cb = copy_pointer(b, "cb", cr);
    build_for(b, "n", bound_const(0), bound_reg(blocks), 1);
    copy_row(b, ab, cb, columns, c_pixel, lanes, NULL);
    advance(b, ab, a_plane);
    advance_by(b, cb, lanes);
    build_close(b);
    if (rest)
        copy_row(b, ab, cb, columns, c_pixel, lanes, rest);
    advance(b, ar, a_row);
    advance(b, cr, c_row);
    build_close(b);
    build_end(b);
    return k;
}

/* A part has some rows. */
bool lower_channels_last(Lower *lo, Node *n) {
    View x = view_of(&node_in(n, 0)->type);
    int64_t lanes = lower_lanes(lo), rest = x.c % lanes;
    lower_batch_begin(lo, x.n);
    double cycles = PIXEL_CYCLES * (double)(x.blocks * x.h * x.w);
    Parts p = lower_parts_begin(lo, x.h, lower_parts(lo->cx, cycles, x.h));
    const Arg args[] = {arg_addr(parts_addr(&p, lower_addr(lo, node_in(n, 0)), x.row)),
                        arg_i64(x.plane),
                        arg_i64(x.row),
                        arg_addr(parts_addr(&p, lower_addr(lo, node_out(n)), x.w * x.c)),
                        arg_i64(x.w * x.c),
                        arg_i64(x.c),
                        arg_bound(parts_count(lo, &p)),
                        arg_i64(x.w),
                        arg_i64(x.c / lanes),
                        arg_i64(rest)};
    lower_call(lo, build_kernel(lo, rest != 0), args, rest ? 10 : 9);
    lower_parts_end(lo, &p);
    lower_batch_end(lo);
    return true;
}
