/* lower_compute.c: the instructions of elementwise ops, of f32 and f64, integers and bool. Halves
 * don't come here but to be moved: widen-floats makes f32 of them. */
#include "passes/lower.h"

#include <math.h>

static Reg *int_const(Builder *b, LType t, int64_t x) {
    return build_const_i(b, "k", t, x);
}

/* ---- one operand ----------------------------------------------------------------------------- */

static Reg *bound(Builder *b, const char *name, LType t, double x, bool up) {
    if (dtype_is_float(t.dtype))
        return build_const_f(b, name, t, x);
    return build_const_i(b, name, t, (int64_t)dtype_bits(t.dtype, up ? ceil(x) : floor(x)));
}

/* Limits that do nothing are left out; max and min give x where x is NaN. */
static Reg *clip(Builder *b, const ClipAttrs *a, Reg *x) {
    if (a->min != -INFINITY)
        x = build_op(b, INST_max, "x", bound(b, "min", x->type, a->min, true), x, NULL);
    if (a->max != INFINITY)
        x = build_op(b, INST_min, "x", bound(b, "max", x->type, a->max, false), x, NULL);
    return x;
}

/* The smallest integer is its own absolute value, as negation wraps. */
static Reg *absolute(Builder *b, Reg *x) {
    if (dtype_is_float(x->type.dtype))
        return build_op(b, INST_abs, "z", x, NULL, NULL);
    if (!dtype_is_signed_int(x->type.dtype))
        return x;
    return build_op(b, INST_max, "z", x, build_op(b, INST_neg, "minus", x, NULL, NULL), NULL);
}

static Reg *number(Builder *b, const char *name, LType t, int x) {
    return dtype_is_float(t.dtype) ? build_const_f(b, name, t, x) : build_const_i(b, name, t, x);
}

/* 1, -1, or x itself: a zero or NaN. */
static Reg *sign(Builder *b, Reg *x) {
    Reg *zero = number(b, "zero", x->type, 0), *one = number(b, "one", x->type, 1);
    Reg *above = build_op(b, INST_lt, "above", zero, x, NULL);
    Reg *z = build_op(b, INST_select, "z", above, one, x);
    if (!dtype_is_float(x->type.dtype) && !dtype_is_signed_int(x->type.dtype))
        return z;
    Reg *below = build_op(b, INST_lt, "below", x, zero, NULL);
    return build_op(b, INST_select, "z", below, number(b, "minus", x->type, -1), z);
}

static Reg *inverted(Builder *b, Reg *x) {
    return build_op(b, INST_eq, "z", x, int_const(b, x->type, 0), NULL);
}

/* ---- two operands ---------------------------------------------------------------------------- */

Reg *keep_nan(Builder *b, Reg *x, Reg *z) {
    return build_op(b, INST_select, "z", build_op(b, INST_eq, "number", x, x, NULL), z, x);
}

static Reg *smaller(Builder *b, Reg *x, Reg *y) {
    Reg *z = build_op(b, INST_min, "z", x, y, NULL);
    return dtype_is_float(x->type.dtype) ? keep_nan(b, x, z) : z;
}

static Reg *larger(Builder *b, Reg *x, Reg *y) {
    Reg *z = build_op(b, INST_max, "z", x, y, NULL);
    return dtype_is_float(x->type.dtype) ? keep_nan(b, x, z) : z;
}

/* Division truncates. By 0, which ONNX leaves open, and by -1, which could overflow, the
 * instructions would trap: they get a divisor of 1, and x / -1 is -x. */
static Reg *safe_divisor(Builder *b, Reg *y, Reg **minus) {
    Reg *unsafe = build_op(b, INST_eq, "unsafe", y, int_const(b, y->type, 0), NULL);
    *minus = NULL;
    if (dtype_is_signed_int(y->type.dtype)) {
        *minus = build_op(b, INST_eq, "minus", y, int_const(b, y->type, -1), NULL);
        unsafe = build_op(b, INST_or, "unsafe", unsafe, *minus, NULL);
    }
    return build_op(b, INST_select, "d", unsafe, int_const(b, y->type, 1), y);
}

static Reg *quotient(Builder *b, Reg *x, Reg *y) {
    if (dtype_is_float(x->type.dtype))
        return build_op(b, INST_div, "z", x, y, NULL);
    Reg *minus, *divisor = safe_divisor(b, y, &minus);
    Reg *z = build_op(b, INST_div, "z", x, divisor, NULL);
    if (!minus)
        return z;
    return build_op(b, INST_select, "z", minus, build_op(b, INST_neg, "n", x, NULL, NULL), z);
}

/* With the sign of x. */
static Reg *remainder_of(Builder *b, Reg *x, Reg *y) {
    Reg *minus, *divisor = safe_divisor(b, y, &minus);
    return build_op(b, INST_rem, "z", x, divisor, NULL);
}

/* With the sign of y: where that isn't the remainder's, y is added to it. */
static Reg *modulo(Builder *b, Reg *x, Reg *y) {
    Reg *r = remainder_of(b, x, y), *zero = int_const(b, x->type, 0);
    if (!dtype_is_signed_int(x->type.dtype))
        return r;
    Reg *differ =
        build_op(b, INST_lt, "differ", build_op(b, INST_xor, "u", r, y, NULL), zero, NULL);
    Reg *sum = build_op(b, INST_add, "sum", r, y, NULL);
    Reg *z = build_op(b, INST_select, "z", differ, sum, r);
    return build_op(b, INST_select, "z", build_op(b, INST_eq, "none", r, zero, NULL), r, z);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* How an op is computed: by an instruction of one or two operands, or by a function of one or two;
 * and the operands' types. */
typedef struct Rule {
    TypeSet types;
    InstOp inst;
    Reg *(*unary)(Builder *b, Reg *x);
    Reg *(*binary)(Builder *b, Reg *x, Reg *y);
    Reg *(*f32_unary)(Builder *b, Reg *x); /* of f32 alone, among floats */
    Reg *(*f32_binary)(Builder *b, Reg *x, Reg *y);
} Rule;

static const Rule rules[OP_COUNT] = {
    [OP_add] = {TYPES_FI, .inst = INST_add},
    [OP_sub] = {TYPES_FI, .inst = INST_sub},
    [OP_mul] = {TYPES_FI, .inst = INST_mul},
    [OP_div] = {TYPES_FI, .binary = quotient},
    [OP_fmod] = {TYPES_FI, .binary = remainder_of, .f32_binary = fmod_result},
    [OP_mod] = {TYPES_FI, .binary = modulo, .f32_binary = mod_result},
    [OP_pow] = {TYPES_FI, .binary = int_pow_result, .f32_binary = pow_result},
    [OP_min] = {TYPES_FI, .binary = smaller},
    [OP_max] = {TYPES_FI, .binary = larger},
    [OP_neg] = {TYPES_FI, .inst = INST_neg},
    [OP_abs] = {TYPES_FI, .unary = absolute},
    [OP_sign] = {TYPES_FI, .unary = sign},
    [OP_round] = {TYPES_F, .unary = round_result},
    [OP_floor] = {TYPES_F, .unary = floor_result},
    [OP_ceil] = {TYPES_F, .unary = ceil_result},
    [OP_log] = {TYPES_F, .f32_unary = log_result},
    [OP_sin] = {TYPES_F, .f32_unary = sin_result},
    [OP_cos] = {TYPES_F, .f32_unary = cos_result},
    [OP_tan] = {TYPES_F, .f32_unary = tan_result},
    [OP_asin] = {TYPES_F, .f32_unary = asin_result},
    [OP_acos] = {TYPES_F, .f32_unary = acos_result},
    [OP_atan] = {TYPES_F, .f32_unary = atan_result},
    [OP_sinh] = {TYPES_F, .f32_unary = sinh_result},
    [OP_cosh] = {TYPES_F, .f32_unary = cosh_result},
    [OP_asinh] = {TYPES_F, .f32_unary = asinh_result},
    [OP_acosh] = {TYPES_F, .f32_unary = acosh_result},
    [OP_atanh] = {TYPES_F, .f32_unary = atanh_result},
    [OP_equal] = {TYPES_FIB, .inst = INST_eq},
    [OP_less] = {TYPES_FI, .inst = INST_lt},
    [OP_less_equal] = {TYPES_FI, .inst = INST_le},
    [OP_and] = {TYPES_IB, .inst = INST_and},
    [OP_or] = {TYPES_IB, .inst = INST_or},
    [OP_xor] = {TYPES_IB, .inst = INST_xor},
    [OP_not] = {TYPES_IB, .unary = inverted},
    [OP_clip] = {.types = TYPES_FI},
};

/* Those whose operands are f32: the expansions of their instructions are. */
static InstOp f32_inst(Op op) {
    Act act;
    if (op_is_act(op, &act))
        return act_inst(act);
    return op == OP_exp ? INST_exp : op == OP_sqrt ? INST_sqrt : INST_const;
}

const char *elementwise_refusal(const Node *n) {
    DType dt = node_in(n, 0)->type.dtype;
    if (n->op == OP_where)
        return NULL;
    const Rule *r = &rules[n->op];
    bool one_float = r->f32_unary || r->f32_binary || f32_inst(n->op) != INST_const;
    if (op_info(n->op)->attrs == ATTRSET_fake_quant || n->op == OP_requantize_sum ||
        n->op == OP_quantize_shifted || (one_float && dtype_is_float(dt)))
        return dt == DT_f32 ? NULL : "of floats only float32 has kernels";
    return r->types & dtype_set(dt) ? NULL : "no kernel for this type";
}

Reg *elementwise_result(Builder *b, const Node *n, Reg *const *x) {
    const Rule *r = &rules[n->op];
    InstOp inst = f32_inst(n->op);
    if (inst != INST_const)
        return build_op(b, inst, "z", x[0], NULL, NULL);
    if (n->op == OP_clip)
        return clip(b, clip_attrs(n), x[0]);
    if (n->op == OP_fake_quant)
        return fake_quant_result(b, fake_quant_attrs(n), x[0]);
    if (n->op == OP_requantize)
        return fake_quant_result(b, fake_quant_attrs(n),
                                 build_op(b, INST_mul, "x", x[0], x[1], NULL));
    if (n->op == OP_requantize_sum)
        return requantize_sum_result(b, n, x);
    if (n->op == OP_quantize_shifted)
        return quantize_shifted_result(b, shifted_attrs(n)->to, x);
    if (n->op == OP_where)
        return build_op(b, INST_select, "z", x[0], x[1], x[2]);
    if (r->f32_unary)
        return r->f32_unary(b, x[0]);
    if (r->f32_binary && x[0]->type.dtype == DT_f32)
        return r->f32_binary(b, x[0], x[1]);
    if (r->unary)
        return r->unary(b, x[0]);
    if (r->binary)
        return r->binary(b, x[0], x[1]);
    return build_op(b, r->inst, "z", x[0], n->noperands == 2 ? x[1] : NULL, NULL);
}
