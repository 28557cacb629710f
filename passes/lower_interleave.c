/* lower_interleave.c: interleave: the pixels of each operand go to every so many rows and columns
 * of the result, a vector of channels at a time; and such copies for others. */
#include "passes/lower.h"

enum { PIXEL_CYCLES = 2 };

/* The first `count` lanes of a pixel, in as few vectors as can be; times `by`, where it isn't NULL,
 * if they are one. */
static void copy_pixel(Builder *b, Addr from, Addr to, int count, Reg *by) {
    int lanes = 1;
    while (2 * lanes <= count)
        lanes *= 2;
    for (int done = 0; done < count; done += lanes) {
        while (lanes > count - done)
            lanes /= 2;
        Reg *v = build_load(b, "v", lanes, addr_offset(from, done));
        if (by)
            build_op_to(b, INST_mul, v, v, by, NULL);
        build_store(b, addr_offset(to, done), v);
    }
}

static const char *kernel_name(Lower *lo, bool scaled, int count) {
    if (count < lower_lanes(lo))
        return arena_printf(&lo->m->arena, "copy_channels_%d", count);
    return scaled ? "scale_pixels" : "copy_pixels";
}

/* `planes` planes of rows of pixels, from neighbours to every c_pixel elements: `count` lanes. */
static Kernel *build_kernel(Lower *lo, bool scaled, int count) {
    Kernel *k = kernel_new(lo->m, kernel_name(lo, scaled, count));
    Reg *a = kernel_param_ptr(k, "a", DT_f32), *c = kernel_param_ptr(k, "c", DT_f32);
    Reg *planes = kernel_param_i64(k, "planes"), *a_plane = kernel_param_i64(k, "a_plane");
    Reg *c_plane = kernel_param_i64(k, "c_plane"), *rows = kernel_param_i64(k, "rows");
    Reg *a_row = kernel_param_i64(k, "a_row"), *c_row = kernel_param_i64(k, "c_row");
    Reg *columns = kernel_param_i64(k, "columns"), *c_pixel = kernel_param_i64(k, "c_pixel");
    Reg *gate = scaled ? kernel_param_ptr(k, "gate", DT_f32) : NULL;
    int lanes = lower_lanes(lo);
    Builder bb = build_begin(k), *b = &bb;
    Reg *ap = copy_pointer(b, "ap", a), *cp = copy_pointer(b, "cp", c);
    Reg *gp = scaled ? copy_pointer(b, "gp", gate) : NULL;
    build_for(b, "p", bound_const(0), bound_reg(planes), 1);
    Reg *by = scaled ? build_load(b, "by", lanes, addr_of(gp, 0)) : NULL;
    Reg *ar = copy_pointer(b, "ar", ap), *cr = copy_pointer(b, "cr", cp);
    build_for(b, "y", bound_const(0), bound_reg(rows), 1);
    Reg *to = copy_pointer(b, "to", cr);
    Reg *x = build_for(b, "x", bound_const(0), bound_reg(columns), 1);
    copy_pixel(b, addr_plus(addr_of(ar, 0), x, lanes), addr_of(to, 0), count, by);
    advance(b, to, c_pixel);
    build_close(b);
    advance(b, ar, a_row);
    advance(b, cr, c_row);
    build_close(b);
    advance(b, ap, a_plane);
    advance(b, cp, c_plane);
    if (gp)
        advance_by(b, gp, lanes);
    build_close(b);
    build_end(b);
    return k;
}

void lower_copy_pixels(Lower *lo, const PixelCopy *p) {
    Arg args[11] = {arg_addr(p->a),      arg_addr(p->c),      arg_bound(p->planes),
                    arg_i64(p->a_plane), arg_i64(p->c_plane), arg_bound(p->rows),
                    arg_i64(p->a_row),   arg_i64(p->c_row),   arg_bound(p->columns),
                    arg_i64(p->c_pixel)};
    if (p->gate)
        args[10] = arg_addr(*p->gate);
    ensure(!p->gate || !p->lanes);
    int lanes = p->lanes ? p->lanes : lower_lanes(lo);
    lower_call(lo, build_kernel(lo, p->gate != NULL, lanes), args, p->gate ? 11 : 10);
}

/* Operand i; a part has some blocks of channels. */
static void copy_operand(Lower *lo, const Node *n, int i) {
    const int64_t *steps = interleave_attrs(n)->steps.v;
    View x = view_of(&node_in(n, i)->type), y = view_of(&node_out(n)->type);
    Addr to =
        addr_offset(lower_addr(lo, node_out(n)), i / steps[1] * y.row + i % steps[1] * y.block);
    double cycles = PIXEL_CYCLES * (double)(x.blocks * x.h * x.w);
    Parts p = lower_parts_begin(lo, x.blocks, lower_parts(lo->cx, cycles, x.blocks));
    PixelCopy copy = {.a = parts_addr(&p, lower_addr(lo, node_in(n, i)), x.plane),
                      .c = parts_addr(&p, to, y.plane),
                      .planes = parts_count(lo, &p),
                      .rows = bound_const(x.h),
                      .columns = bound_const(x.w),
                      .a_plane = x.plane,
                      .a_row = x.row,
                      .c_plane = y.plane,
                      .c_row = steps[0] * y.row,
                      .c_pixel = steps[1] * y.block};
    lower_copy_pixels(lo, &copy);
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
