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

/* The first `count` channels of a row's pixels, one by one, to every c_pixel elements. */
static Kernel *rest_kernel(Lower *lo) {
    Kernel *k = kernel_new(lo->m, "channels_last_rest");
    Reg *a = kernel_param_ptr(k, "a", DT_f32), *c = kernel_param_ptr(k, "c", DT_f32);
    Reg *columns = kernel_param_i64(k, "columns"), *c_pixel = kernel_param_i64(k, "c_pixel");
    Reg *count = kernel_param_i64(k, "count");
    Builder bb = build_begin(k), *b = &bb;
    Reg *ax = copy_pointer(b, "ax", a), *cx = copy_pointer(b, "cx", c);
    build_for(b, "x", bound_const(0), bound_reg(columns), 1);
    Reg *l = build_for(b, "l", bound_const(0), bound_reg(count), 1);
    build_store(b, addr_plus(addr_of(cx, 0), l, 1),
                build_load(b, "v", 1, addr_plus(addr_of(ax, 0), l, 1)));
    build_close(b);
    advance_by(b, ax, lower_lanes(lo));
    advance(b, cx, c_pixel);
    build_close(b);
    build_end(b);
    return k;
}

/* A part has some rows; of each, all whole blocks, then what the last one has. */
bool lower_channels_last(Lower *lo, Node *n) {
    View x = view_of(&node_in(n, 0)->type);
    int64_t lanes = lower_lanes(lo), whole = x.c / lanes, rest = x.c % lanes;
    lower_batch_begin(lo, x.n);
    double cycles = PIXEL_CYCLES * (double)(x.blocks * x.h * x.w);
    Parts p = lower_parts_begin(lo, x.h, lower_parts(lo->cx, cycles, x.h));
    Reg *row = parts_each(lo, &p, "row");
    Addr from = addr_plus(lower_addr(lo, node_in(n, 0)), row, x.row);
    Addr to = addr_plus(lower_addr(lo, node_out(n)), row, x.w * x.c);
    PixelCopy copy = {.a = from,
                      .c = to,
                      .planes = bound_const(whole),
                      .rows = bound_const(1),
                      .columns = bound_const(x.w),
                      .a_plane = x.plane,
                      .c_plane = lanes,
                      .c_pixel = x.c};
    const Arg args[] = {arg_addr(addr_offset(from, whole * x.plane)),
                        arg_addr(addr_offset(to, whole * lanes)), arg_i64(x.w), arg_i64(x.c),
                        arg_i64(rest)};
    if (whole)
        lower_copy_pixels(lo, &copy);
    if (rest)
        lower_call(lo, rest_kernel(lo), args, sizeof args / sizeof *args);
    parts_each_end(lo, &p);
    lower_parts_end(lo, &p);
    lower_batch_end(lo);
    return true;
}
