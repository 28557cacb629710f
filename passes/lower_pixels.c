/* lower_pixels.c: pictures, channels together, to planes of floats. */
#include "passes/lower.h"

enum { PIXEL_CYCLES = 3 }; /* of one channel */

bool pixels_fit(const Shape *s) {
    enum { MOST = 64 }; /* the code for each stands behind that for the one before */
    return s->dim[3] <= MOST;
}

/* Rows of pixels to rows of as many planes as there are channels. */
static Kernel *build_kernel(Lower *lo, DType from_type, int64_t channels, bool shifted) {
    const char *name = arena_printf(&lo->m->arena, "pixels%d_%s%s", (int)channels,
                                    dtype_name(from_type), shifted ? "_shift" : "");
    Kernel *k = kernel_new(lo->m, name);
    Reg *a = kernel_param_ptr(k, "a", from_type), *c = kernel_param_ptr(k, "c", DT_f32);
    Reg *shift = shifted ? kernel_param_ptr(k, "shift", DT_f32) : NULL;
    Reg *rows = kernel_param_i64(k, "rows"), *columns = kernel_param_i64(k, "columns");
    Reg *a_row = kernel_param_i64(k, "a_row"), *c_row = kernel_param_i64(k, "c_row");
    Reg *plane = kernel_param_i64(k, "plane");
    Builder bb = build_begin(k), *b = &bb;
    Reg *channel = copy_pointer(b, "channel", a), *to = copy_pointer(b, "to", c);
    for (int64_t i = 0; i < channels; i++) {
        Reg *by = shifted ? build_load(b, "by", 1, addr_of(shift, i)) : NULL;
        Reg *from = copy_pointer(b, "from", channel), *row = copy_pointer(b, "row", to);
        build_for(b, "y", bound_const(0), bound_reg(rows), 1);
        Reg *x = build_for(b, "x", bound_const(0), bound_reg(columns), 1);
        Reg *v = build_load(b, "v", 1, addr_plus(addr_of(from, 0), x, channels));
        Reg *f = from_type == DT_f32 ? v : build_convert(b, INST_convert, "f", ltype(DT_f32, 1), v);
        build_store(b, addr_plus(addr_of(row, 0), x, 1),
                    by ? build_op(b, INST_add, "s", f, by, NULL) : f);
        build_close(b);
        advance(b, from, a_row);
        advance(b, row, c_row);
        build_close(b);
        advance_by(b, channel, 1);
        advance(b, to, plane);
    }
    build_end(b);
    return k;
}

/* A part has some rows. */
bool lower_pixels(Lower *lo, Node *n) {
    const Value *from = node_in(n, 0), *to = node_out(n), *shift = node_in(n, 1);
    const int64_t *d = from->type.shape.dim;
    View y = view_of(&to->type);
    if (!pixels_fit(&from->type.shape))
        return lower_unsupported(lo, n, "pixels of so many channels have no kernel");
    lower_batch_begin(lo, d[0]);
    double cycles = PIXEL_CYCLES * (double)shape_elems(&from->type.shape) / (double)d[0];
    Parts p = lower_parts_begin(lo, d[1], lower_parts(lo->cx, cycles, d[1]));
    Arg args[8];
    int count = 0;
    args[count++] = arg_addr(parts_addr(&p, lower_addr(lo, from), d[2] * d[3]));
    args[count++] = arg_addr(parts_addr(&p, lower_addr(lo, to), y.row));
    if (shift)
        args[count++] = arg_addr(lower_plain(lo, shift));
    args[count++] = arg_bound(parts_count(lo, &p));
    args[count++] = arg_i64(d[2]);
    args[count++] = arg_i64(d[2] * d[3]);
    args[count++] = arg_i64(y.row);
    args[count++] = arg_i64(y.plane);
    lower_call(lo, build_kernel(lo, from->type.dtype, d[3], shift != NULL), args, count);
    lower_parts_end(lo, &p);
    lower_zero_halo(lo, to);
    lower_batch_end(lo);
    return true;
}
