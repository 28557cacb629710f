/* lower_dynamic_range.c: what a tensor's integers have to be for its range: the smallest and the
 * largest element, of each lane first, and what they come to. It is read as it lies: plain, or in
 * blocks of channels, whose spare lanes are 0, as the range holds 0 anyway. */
#include "passes/lower.h"

int64_t scratch_dynamic_range(const Node *n, const PassContext *cx) {
    (void)n;
    return 2 * target_lanes(cx->target);
}

/* The bounds of what was seen: vectors, or numbers. */
typedef struct Range {
    Reg *lo, *hi;
} Range;

static Range empty_range(Builder *b, int lanes) {
    LType t = ltype(DT_f32, lanes);
    return (Range){build_const_f(b, "lo", t, 0), build_const_f(b, "hi", t, 0)};
}

/* NaN stays. */
static void include(Builder *b, InstOp inst, Reg *bound, Reg *x) {
    Reg *z = build_op(b, inst, "z", x, bound, NULL);
    build_op_to(b, INST_mov, bound, keep_nan(b, x, z), NULL, NULL);
}

static void include_both(Builder *b, const Range *r, Reg *x) {
    include(b, INST_min, r->lo, x);
    include(b, INST_max, r->hi, x);
}

/* Loops over images, planes and rows, `sizes` and `strides` of the kernel, of `columns` vectors. */
static void include_vectors(Builder *b, const Range *r, Reg *a, Reg *const *sizes,
                            Reg *const *strides, Reg *columns, int lanes) {
    static const char *const names[] = {"image", "plane", "row"};
    Reg *p[4] = {copy_pointer(b, "p", a)};
    for (int d = 0; d < 3; d++) {
        build_for(b, names[d], bound_const(0), bound_reg(sizes[d]), 1);
        p[d + 1] = copy_pointer(b, "p", p[d]);
    }
    build_for(b, "x", bound_const(0), bound_reg(columns), 1);
    include_both(b, r, build_load(b, "v", lanes, addr_of(p[3], 0)));
    advance_by(b, p[3], lanes);
    build_close(b);
    for (int d = 2; d >= 0; d--) {
        advance(b, p[d], strides[d]);
        build_close(b);
    }
}

/* Of all lanes: by way of memory. */
static Range joined(Builder *b, const Range *r, Reg *scratch, int lanes) {
    Range all = empty_range(b, 1);
    build_store(b, addr_of(scratch, 0), r->lo);
    build_store(b, addr_of(scratch, lanes), r->hi);
    Reg *i = build_for(b, "i", bound_const(0), bound_const(lanes), 1);
    Addr at = addr_plus(addr_of(scratch, 0), i, 1);
    include(b, INST_min, all.lo, build_load(b, "v", 1, at));
    include(b, INST_max, all.hi, build_load(b, "v", 1, addr_offset(at, lanes)));
    build_close(b);
    return all;
}

static Kernel *build_kernel(Lower *lo) {
    static const char *const size_names[] = {"images", "planes", "rows"};
    static const char *const stride_names[] = {"a_image", "a_plane", "a_row"};
    Kernel *k = kernel_new(lo->m, "dynamic_range");
    int lanes = lower_lanes(lo);
    Reg *sizes[3], *strides[3], *a = kernel_param_ptr(k, "a", DT_f32);
    for (int d = 0; d < 3; d++) {
        sizes[d] = kernel_param_i64(k, size_names[d]);
        strides[d] = kernel_param_i64(k, stride_names[d]);
    }
    Reg *columns = kernel_param_i64(k, "columns");
    Reg *rest = kernel_param_ptr(k, "rest", DT_f32), *count = kernel_param_i64(k, "count");
    Reg *scratch = kernel_param_ptr(k, "scratch", DT_f32);
    Reg *scale = kernel_param_ptr(k, "scale", DT_f32), *zero = kernel_param_ptr(k, "zero", DT_f32);
    Builder bb = build_begin(k), *b = &bb;
    Range each = empty_range(b, lanes);
    include_vectors(b, &each, a, sizes, strides, columns, lanes);
    Range r = joined(b, &each, scratch, lanes);
    Reg *i = build_for(b, "i", bound_const(0), bound_reg(count), 1);
    include_both(b, &r, build_load(b, "x", 1, addr_plus(addr_of(rest, 0), i, 1)));
    build_close(b);
    Reg *most = build_const_f(b, "most", ltype(DT_f32, 1), dtype_max(DT_u8));
    Reg *none = build_const_f(b, "none", ltype(DT_f32, 1), 0);
    Reg *s = build_op(b, INST_sub, "s", r.hi, r.lo, NULL);
    s = build_op(b, INST_div, "s", s, most, NULL);
    Reg *z = build_op(b, INST_neg, "z", r.lo, NULL, NULL);
    z = build_op(b, INST_div, "z", z, s, NULL);
    build_store(b, addr_of(scale, 0), s);
    build_store(b, addr_of(zero, 0), round_clamped(b, z, none, most));
    build_end(b);
    return k;
}

bool lower_dynamic_range(Lower *lo, Node *n) {
    const Value *x = node_in(n, 0);
    int64_t lanes = lower_lanes(lo), elems = shape_elems(&x->type.shape), whole = elems / lanes;
    Addr plain = {0};
    View v = {.n = 1, .blocks = 1, .h = 1, .w = whole};
    if (x->type.layout.block)
        v = view_of(&x->type);
    else
        plain = lower_plain(lo, x);
    Addr from = x->type.layout.block ? lower_addr(lo, x) : plain;
    Addr rest = x->type.layout.block ? from : addr_offset(plain, whole * lanes);
    const Arg args[] = {arg_addr(from),
                        arg_i64(v.n),
                        arg_i64(v.image),
                        arg_i64(v.blocks),
                        arg_i64(v.plane),
                        arg_i64(v.h),
                        arg_i64(v.row),
                        arg_i64(v.w),
                        arg_addr(rest),
                        arg_i64(x->type.layout.block ? 0 : elems % lanes),
                        arg_addr(lower_scratch(lo, n)),
                        arg_addr(lower_plain(lo, n->results[0])),
                        arg_addr(lower_plain(lo, n->results[1]))};
    lower_call(lo, build_kernel(lo), args, sizeof args / sizeof *args);
    return true;
}
