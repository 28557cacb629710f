/* lower_cast.c: cast between any two types, of plain tensors. */
#include "passes/lower.h"

#include <math.h>

static bool is_narrow(DType dt) {
    return dt == DT_f16 || dt == DT_bf16;
}

static Reg *converted(Builder *b, DType to, Reg *x) {
    return x->type.dtype == to ? x : build_convert(b, INST_convert, "y", ltype(to, 1), x);
}

/* Bounds of an integer type: the smallest number, and the smallest that is too large. */
static double first_of(DType dt) {
    return dtype_is_signed_int(dt) ? -ldexp(1, 8 * dtype_bytes(dt) - 1) : 0;
}

static double end_of(DType dt) {
    return ldexp(1, 8 * dtype_bytes(dt) - dtype_is_signed_int(dt));
}

/* A float to an integer: towards zero, saturated, NaN to 0. The instruction has no defined result
 * for what doesn't fit, so it gets something else. */
static Reg *saturated(Builder *b, DType to, Reg *x) {
    LType t = x->type;
    Reg *first = build_const_f(b, "first", t, first_of(to)),
        *end = build_const_f(b, "end", t, end_of(to));
    Reg *fits = build_op(b, INST_lt, "fits", x, end, NULL);
    Reg *v = build_op(b, INST_select, "v", fits, x, build_const_f(b, "zero", t, 0));
    v = build_op(b, INST_max, "v", v, first, NULL);
    uint64_t largest = UINT64_MAX >> (64 - 8 * dtype_bytes(to) + dtype_is_signed_int(to));
    Reg *most = build_const_i(b, "most", ltype(to, 1), (int64_t)largest);
    Reg *over = build_op(b, INST_le, "over", end, x, NULL);
    return build_op(b, INST_select, "y", over, most, converted(b, to, v));
}

static Reg *cast_element(Builder *b, DType to, Reg *x) {
    DType from = x->type.dtype;
    if (is_narrow(from) && to != from)
        x = converted(b, DT_f32, x);
    if (is_narrow(to) && to != from)
        x = converted(b, DT_f32, x);
    bool to_int = !dtype_is_float(to) && to != DT_bool;
    return dtype_is_float(from) && to_int ? saturated(b, to, x) : converted(b, to, x);
}

static Kernel *build_kernel(Lower *lo, DType from, DType to) {
    Kernel *k = kernel_new(
        lo->m, arena_printf(&lo->m->arena, "cast_%s_%s", dtype_name(from), dtype_name(to)));
    Reg *a = kernel_param_ptr(k, "a", from), *c = kernel_param_ptr(k, "c", to);
    Reg *count = kernel_param_i64(k, "count");
    Builder b = build_begin(k);
    Reg *i = build_for(&b, "i", bound_const(0), bound_reg(count), 1);
    Reg *x = build_load(&b, "x", 1, addr_plus(addr_of(a, 0), i, 1));
    build_store(&b, addr_plus(addr_of(c, 0), i, 1), cast_element(&b, to, x));
    build_close(&b);
    build_end(&b);
    return k;
}

/* Whether the conversion goes through f32 and so might round twice. */
static bool rounds_twice(DType from, DType to) {
    bool wide = from == DT_f64 || (!dtype_is_float(from) && dtype_bytes(from) > 2);
    return wide && is_narrow(to);
}

bool lower_cast(Lower *lo, Node *n) {
    DType from = node_in(n, 0)->type.dtype, to = node_out(n)->type.dtype;
    if (rounds_twice(from, to))
        return lower_unsupported(lo, n, "there is no kernel that rounds once");
    const Arg args[] = {arg_addr(lower_plain(lo, node_in(n, 0))),
                        arg_addr(lower_plain(lo, node_out(n))),
                        arg_i64(shape_elems(&node_out(n)->type.shape))};
    lower_call(lo, build_kernel(lo, from, to), args, sizeof args / sizeof *args);
    return true;
}
