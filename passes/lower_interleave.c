/* lower_interleave.c: interleave: the pixels of each operand go to every so many rows and columns
 * of the result, a vector of channels at a time. */
#include "passes/lower.h"

enum { PIXEL_CYCLES = 2 };

/* Copies `planes` planes of rows of pixels, from neighbours to every c_pixel elements. */
static Kernel *build_kernel(Lower *lo) {
    Kernel *k = kernel_new(lo->m, "interleave");
    Reg *a = kernel_param_ptr(k, "a", DT_f32), *c = kernel_param_ptr(k, "c", DT_f32);
    Reg *planes = kernel_param_i64(k, "planes"), *a_plane = kernel_param_i64(k, "a_plane");
    Reg *c_plane = kernel_param_i64(k, "c_plane"), *rows = kernel_param_i64(k, "rows");
    Reg *a_row = kernel_param_i64(k, "a_row"), *c_row = kernel_param_i64(k, "c_row");
    Reg *columns = kernel_param_i64(k, "columns"), *c_pixel = kernel_param_i64(k, "c_pixel");
    int lanes = lower_lanes(lo);
    Builder bb = build_begin(k), *b = &bb;
    Reg *ap = copy_pointer(b, "ap", a), *cp = copy_pointer(b, "cp", c);
    build_for(b, "p", bound_const(0), bound_reg(planes), 1);
    Reg *ar = copy_pointer(b, "ar", ap), *cr = copy_pointer(b, "cr", cp);
    build_for(b, "y", bound_const(0), bound_reg(rows), 1);
    Reg *to = copy_pointer(b, "to", cr);
    Reg *x = build_for(b, "x", bound_const(0), bound_reg(columns), 1);
    build_store(b, addr_of(to, 0), build_load(b, "v", lanes, addr_plus(addr_of(ar, 0), x, lanes)));
    advance(b, to, c_pixel);
    build_close(b);
    advance(b, ar, a_row);
    advance(b, cr, c_row);
    build_close(b);
    advance(b, ap, a_plane);
    advance(b, cp, c_plane);
    build_close(b);
    build_end(b);
    return k;
}

/* Operand i; a part has some blocks of channels. */
static void copy_operand(Lower *lo, const Node *n, int i) {
    const int64_t *steps = interleave_attrs(n)->steps.v;
    View x = view_of(&node_in(n, i)->type), y = view_of(&node_out(n)->type);
    Addr to =
        addr_offset(lower_addr(lo, node_out(n)), i / steps[1] * y.row + i % steps[1] * y.block);
    double cycles = PIXEL_CYCLES * (double)(x.blocks * x.h * x.w);
    Parts p = lower_parts_begin(lo, x.blocks, lower_parts(lo->cx, cycles, x.blocks));
    const Arg args[] = {arg_addr(parts_addr(&p, lower_addr(lo, node_in(n, i)), x.plane)),
                        arg_addr(parts_addr(&p, to, y.plane)),
                        arg_bound(parts_count(lo, &p)),
                        arg_i64(x.plane),
                        arg_i64(y.plane),
                        arg_i64(x.h),
                        arg_i64(x.row),
                        arg_i64(steps[0] * y.row),
                        arg_i64(x.w),
                        arg_i64(steps[1] * y.block)};
    lower_call(lo, build_kernel(lo), args, sizeof args / sizeof *args);
    lower_parts_end(lo, &p);
}

bool lower_interleave(Lower *lo, Node *n) {
    if (shape_elems(&node_out(n)->type.shape) == 0)
        return true;
    lower_batch_begin(lo, node_out(n)->type.shape.dim[0]);
    for (int i = 0; i < n->noperands; i++)
        copy_operand(lo, n, i);
    lower_zero_halo(lo, node_out(n));
    lower_batch_end(lo);
    return true;
}
