/* lower_quantize.c: quantize and dequantize of plain tensors, seen as [outer, groups, inner]: a
 * group has a scale and a zero point of its own. fake_quant and its relatives, which are
 * elementwise, take their instructions from here. */
#include "passes/lower.h"

/* 3 * 2^22: near it floats are a distance of 1 apart, so that adding it rounds a number of up to
 * 2^22, to even where it is between two, and subtracting it is exact. */
#define ROUNDING (3.0 * (1 << 22))

Reg *rounding_magic(Builder *b, LType t) {
    return build_const_f(b, "magic", t, ROUNDING);
}

Reg *round_clamped(Builder *b, Reg *x, Reg *lo, Reg *hi) {
    Reg *magic = rounding_magic(b, x->type);
    x = build_op(b, INST_max, "x", x, lo, NULL);
    x = build_op(b, INST_min, "x", x, hi, NULL);
    x = build_op(b, INST_add, "x", x, magic, NULL);
    return build_op(b, INST_sub, "q", x, magic, NULL);
}

/* Numbers that do nothing are left out. */
static Reg *with_number(Builder *b, InstOp op, const char *name, Reg *x, double number) {
    return number == 1 ? x : build_op(b, op, "x", x, build_const_f(b, name, x->type, number), NULL);
}

Reg *fake_quant_result(Builder *b, const FakeQuantAttrs *a, Reg *x) {
    x = with_number(b, INST_div, "divide", x, a->divide);
    Reg *lo = build_const_f(b, "min", x->type, a->min);
    Reg *hi = build_const_f(b, "max", x->type, a->max);
    return with_number(b, INST_mul, "times", round_clamped(b, x, lo, hi), a->times);
}

Reg *requantize_sum_result(Builder *b, const Node *n, Reg *const *x) {
    const RequantizeSumAttrs *attrs = requantize_sum_attrs(n);
    FakeQuantAttrs steps = requantize_sum_steps(n);
    Reg *p = with_number(b, INST_mul, "by_a", x[0], attrs->by_a);
    Reg *q = with_number(b, INST_mul, "by_b", x[1], attrs->by_b);
    return fake_quant_result(b, &steps, build_op(b, INST_add, "sum", p, q, NULL));
}

Reg *quantize_shifted_result(Builder *b, DType to, Reg *const *x) {
    LType t = x[0]->type;
    Reg *lo = build_op(b, INST_sub, "lo", build_const_f(b, "lo", t, dtype_min(to)), x[2], NULL);
    Reg *hi = build_op(b, INST_sub, "hi", build_const_f(b, "hi", t, dtype_max(to)), x[2], NULL);
    return round_clamped(b, build_op(b, INST_div, "x", x[0], x[1], NULL), lo, hi);
}

/* ---- the kernel ------------------------------------------------------------------------------ */

/* What a group's elements are computed with. */
typedef struct Group {
    Reg *scale, *zero; /* zero: NULL where there is none */
    Reg *lo, *hi;      /* of quantize */
} Group;

static Reg *load_f32(Builder *b, const char *name, int lanes, Addr a) {
    Reg *x = build_load(b, name, lanes, a);
    LType f32 = ltype(DT_f32, lanes);
    return x->type.dtype == DT_f32 ? x : build_convert(b, INST_convert, name, f32, x);
}

static Group load_group(Builder *b, const Node *n, Reg *scale, Reg *zero) {
    LType f32 = ltype(DT_f32, 1);
    Group g = {.scale = load_f32(b, "s", 1, addr_of(scale, 0))};
    if (zero)
        g.zero = load_f32(b, "z", 1, addr_of(zero, 0));
    if (n->op != OP_quantize)
        return g;
    DType to = quantize_attrs(n)->to;
    g.lo = build_const_f(b, "lo", f32, dtype_min(to));
    g.hi = build_const_f(b, "hi", f32, dtype_max(to));
    if (zero) {
        g.lo = build_op(b, INST_sub, "lo", g.lo, g.zero, NULL);
        g.hi = build_op(b, INST_sub, "hi", g.hi, g.zero, NULL);
    }
    return g;
}

static Reg *quantized(Builder *b, const Group *g, Reg *x, DType to) {
    Reg *q = round_clamped(b, build_op(b, INST_div, "x", x, g->scale, NULL), g->lo, g->hi);
    q = g->zero ? build_op(b, INST_add, "q", q, g->zero, NULL) : q;
    return build_convert(b, INST_convert, "y", ltype(to, q->type.lanes), q);
}

static Reg *dequantized(Builder *b, const Group *g, Reg *x) {
    x = g->zero ? build_op(b, INST_sub, "d", x, g->zero, NULL) : x;
    return build_op(b, INST_mul, "y", x, g->scale, NULL);
}

static Reg *in_all_lanes(Builder *b, const char *name, int lanes, Reg *x) {
    return x && lanes > 1 ? build_splat(b, name, lanes, x) : x;
}

static Group group_in_lanes(Builder *b, const Group *g, int lanes) {
    return (Group){.scale = in_all_lanes(b, "scales", lanes, g->scale),
                   .zero = in_all_lanes(b, "zeros", lanes, g->zero),
                   .lo = in_all_lanes(b, "los", lanes, g->lo),
                   .hi = in_all_lanes(b, "his", lanes, g->hi)};
}

/* Elements from .. end of a group, `lanes` at a time. */
static void elements(Builder *b, const Node *n, const Group *group, Bound from, Reg *end, int lanes,
                     Reg *p, Reg *q) {
    Group g = group_in_lanes(b, group, lanes);
    Reg *i = build_for(b, "i", from, bound_reg(end), lanes);
    Reg *x = load_f32(b, "x", lanes, addr_plus(addr_of(p, 0), i, 1));
    DType to = q->type.dtype;
    build_store(b, addr_plus(addr_of(q, 0), i, 1),
                n->op == OP_quantize ? quantized(b, &g, x, to) : dequantized(b, &g, x));
    build_close(b);
}

/* The types of x and of the zero points in memory; zero_type is NULL where there are none. */
static Kernel *build_kernel(Lower *lo, const Node *n, DType from, const DType *zero_type) {
    DType to = node_out(n)->type.dtype;
    const char *name = arena_printf(&lo->m->arena, "%s_%s", op_info(n->op)->name,
                                    dtype_name(n->op == OP_quantize ? to : from));
    Kernel *k = kernel_new(lo->m, name);
    Reg *a = kernel_param_ptr(k, "a", from), *c = kernel_param_ptr(k, "c", to);
    Reg *scale = kernel_param_ptr(k, "scale", DT_f32);
    Reg *zero = zero_type ? kernel_param_ptr(k, "zero", *zero_type) : NULL;
    Reg *outer = kernel_param_i64(k, "outer"), *groups = kernel_param_i64(k, "groups");
    Reg *whole = kernel_param_i64(k, "whole"), *inner = kernel_param_i64(k, "inner");
    Builder bb = build_begin(k), *b = &bb;
    Reg *p = copy_pointer(b, "p", a), *q = copy_pointer(b, "q", c);
    build_for(b, "o", bound_const(0), bound_reg(outer), 1);
    Reg *s = copy_pointer(b, "s", scale), *z = zero ? copy_pointer(b, "z", zero) : NULL;
    build_for(b, "g", bound_const(0), bound_reg(groups), 1);
    Group g = load_group(b, n, s, z);
    int lanes = lower_lanes(lo);
    if (lanes > 1)
        elements(b, n, &g, bound_const(0), whole, lanes, p, q);
    elements(b, n, &g, bound_reg(whole), inner, 1, p, q);
    advance(b, p, inner);
    advance(b, q, inner);
    advance_by(b, s, 1);
    if (z)
        advance_by(b, z, 1);
    build_close(b);
    build_close(b);
    build_end(b);
    return k;
}

/* ---- ops ------------------------------------------------------------------------------------- */

/* Where v is, and its type there: constants are packed as f32. */
static Addr numbers(Lower *lo, const Value *v, DType *type) {
    *type = v->constant ? DT_f32 : v->type.dtype;
    if (!v->constant)
        return lower_plain(lo, v);
    int64_t n = shape_elems(&v->type.shape);
    float *packed = lower_weights_begin(lo, n);
    for (int64_t i = 0; i < n; i++)
        packed[i] = (float)tensor_f64(v->constant, i);
    return lower_weights_end(lo, v->name);
}

bool lower_quantize(Lower *lo, Node *n) {
    const Shape *s = &node_out(n)->type.shape;
    bool one = node_in(n, 1)->type.shape.rank == 0;
    int axis = (int)(n->op == OP_quantize ? quantize_attrs(n)->axis : axis_attrs(n)->axis);
    int64_t outer = one ? 1 : dims_product(s, 0, axis), groups = one ? 1 : s->dim[axis];
    int64_t inner = one ? shape_elems(s) : dims_product(s, axis + 1, s->rank);
    if (shape_elems(s) == 0)
        return true;
    DType from, zero_type;
    Arg args[8];
    int count = 0;
    args[count++] = arg_addr(numbers(lo, node_in(n, 0), &from));
    args[count++] = arg_addr(lower_plain(lo, node_out(n)));
    args[count++] = arg_addr(lower_plain(lo, node_in(n, 1)));
    if (node_in(n, 2))
        args[count++] = arg_addr(numbers(lo, node_in(n, 2), &zero_type));
    args[count++] = arg_i64(outer);
    args[count++] = arg_i64(groups);
    int64_t lanes = lower_lanes(lo);
    args[count++] = arg_i64(lanes > 1 ? inner - inner % lanes : 0);
    args[count++] = arg_i64(inner);
    lower_call(lo, build_kernel(lo, n, from, node_in(n, 2) ? &zero_type : NULL), args, count);
    return true;
}
