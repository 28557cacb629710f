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

/* ---- halves ---------------------------------------------------------------------------------- */

/* An integer of 64 bits as f64 or, where that doesn't hold it, the multiple of 2048 beside it that
 * is odd: rounding that further is rounding x. */
static Reg *odd_f64(Builder *b, Reg *x) {
    LType t = x->type, f64 = ltype(DT_f64, 1);
    Reg *near = converted(b, DT_f64, x), *zero = build_const_i(b, "zero", t, 0);
    Reg *low = build_op(b, INST_and, "low", x, build_const_i(b, "mask", t, 2047), NULL);
    Reg *top = build_shift(b, INST_shr, "top", x, 11);
    Reg *odd = build_op(b, INST_or, "odd", top, build_const_i(b, "one", t, 1), NULL);
    Reg *whole = build_op(b, INST_eq, "whole", low, zero, NULL);
    top = converted(b, DT_f64, build_op(b, INST_select, "top", whole, top, odd));
    top = build_op(b, INST_mul, "top", top, build_const_f(b, "unit", f64, 2048), NULL);
    Reg *size = build_op(b, INST_abs, "size", near, NULL, NULL);
    Reg *fits = build_op(b, INST_lt, "fits", size, build_const_f(b, "end", f64, 0x1p53), NULL);
    return build_op(b, INST_select, "x", fits, near, top);
}

/* f64 x as f32 or, where that doesn't hold it, the f32 beside it whose bits are odd. */
static Reg *odd_f32(Builder *b, Reg *x) {
    Reg *y = converted(b, DT_f32, x), *back = converted(b, DT_f64, y);
    Reg *bits = build_convert(b, INST_bitcast, "bits", ltype(DT_i32, 1), y);
    Reg *one = build_const_i(b, "one", bits->type, 1);
    Reg *beyond = build_op(b, INST_lt, "beyond", build_op(b, INST_abs, "size", x, NULL, NULL),
                           build_op(b, INST_abs, "size", back, NULL, NULL), NULL);
    bits = build_op(b, INST_select, "bits", beyond, build_op(b, INST_sub, "less", bits, one, NULL),
                    bits);
    Reg *odd = build_op(b, INST_or, "odd", bits, one, NULL);
    bits = build_op(b, INST_select, "bits", build_op(b, INST_eq, "same", back, x, NULL), bits, odd);
    return build_convert(b, INST_bitcast, "y", y->type, bits);
}

/* As f32, which is then rounded to a half: two roundings act as one. */
static Reg *before_half(Builder *b, Reg *x) {
    DType from = x->type.dtype;
    if (from != DT_f64 && (dtype_is_float(from) || dtype_bytes(from) <= 2))
        return converted(b, DT_f32, x);
    if (from != DT_f64)
        x = dtype_bytes(from) == 8 ? odd_f64(b, x) : converted(b, DT_f64, x);
    return odd_f32(b, x);
}

static Reg *cast_element(Builder *b, DType to, Reg *x) {
    DType from = x->type.dtype;
    if (is_narrow(from) && to != from)
        x = converted(b, DT_f32, x);
    if (is_narrow(to) && to != from)
        x = before_half(b, x);
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

bool lower_cast(Lower *lo, Node *n) {
    DType from = node_in(n, 0)->type.dtype, to = node_out(n)->type.dtype;
    const Arg args[] = {arg_addr(lower_plain(lo, node_in(n, 0))),
                        arg_addr(lower_plain(lo, node_out(n))),
                        arg_i64(shape_elems(&node_out(n)->type.shape))};
    lower_call(lo, build_kernel(lo, from, to), args, sizeof args / sizeof *args);
    return true;
}
