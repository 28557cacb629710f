/* expand-math: activations become arithmetic that every printer has and that rounds the same
 * everywhere.
 *
 *   relu, relu6, hard_sigmoid, hard_swish   min, max, mul
 *   sigmoid(x) = 1 / (1 + 2^t), silu(x) = x / (1 + 2^t)    with t = -log2(e) * x
 *
 * 2^t = 2^n * p(t - n), n the nearest integer: p is a polynomial of degree 5 with a relative error
 * of 7.5e-8 on [-1/2, 1/2], and 2^n is added to the exponent's bits. t is clamped to [-126, 126],
 * where both factors are normal. max(1, t - 125) stands in for the 1 of the sum: for t = inf it is
 * inf and for NaN NaN (max gives its second operand then), otherwise no more than the sum hides.
 *
 * Works on f32 scalars and vectors. Constants go to the top of the kernel; temporaries are shared
 * by all expansions of a kernel. */
#include "passes/passes.h"

#include <string.h>

enum { MAX_CONSTANTS = 16 };

typedef struct Constant {
    const char *name;
    Reg *reg;
} Constant;

/* What one kernel's expansions share, for one type. */
typedef struct Expander {
    LType type;
    Builder b;      /* the instructions that replace the current one */
    Block prologue; /* constants */
    Builder top;
    Constant constants[MAX_CONSTANTS];
    int nconstants;
    Reg *t, *d, *n, *p, *m, *e; /* temporaries: f32; m and e: i32 */
} Expander;

static Reg *constant(Expander *e, const char *name, double value) {
    for (int i = 0; i < e->nconstants; i++)
        if (strcmp(e->constants[i].name, name) == 0)
            return e->constants[i].reg;
    ensure(e->nconstants < MAX_CONSTANTS);
    Reg *r = build_const_f(&e->top, name, e->type, value);
    e->constants[e->nconstants++] = (Constant){name, r};
    return r;
}

static void op(Expander *e, InstOp inst, Reg *d, Reg *a, Reg *b) {
    build_op_to(&e->b, inst, d, a, b, NULL);
}

/* ---- piecewise linear functions -------------------------------------------------------------- */

/* max(0, x) gives x where x is NaN; so does min(6, x). */
static void expand_relu(Expander *e, Reg *d, Reg *x) {
    op(e, INST_max, d, constant(e, "zero", 0), x);
}

static void expand_relu6(Expander *e, Reg *d, Reg *x) {
    op(e, INST_max, d, constant(e, "zero", 0), x);
    op(e, INST_min, d, constant(e, "six", 6), d);
}

static void expand_hard_sigmoid(Expander *e, Reg *d, Reg *x) {
    op(e, INST_add, d, x, constant(e, "three", 3));
    expand_relu6(e, d, d);
    op(e, INST_mul, d, d, constant(e, "sixth", 1.0 / 6));
}

static void expand_hard_swish(Expander *e, Reg *d, Reg *x) {
    expand_hard_sigmoid(e, e->t, x);
    op(e, INST_mul, d, x, e->t);
}

/* ---- functions of 2^t ------------------------------------------------------------------------ */

/* p = 2^t for t in [-126, 126]. Adding 1.5 * 2^23 rounds to an integer, which is then in the low
 * bits of the sum. */
static void exp2_polynomial(Expander *e) {
    static const char *const names[] = {"exp2_c0", "exp2_c1", "exp2_c2",
                                        "exp2_c3", "exp2_c4", "exp2_c5"};
    static const double c[] = {1.00000007,  .693146967,   .240221197,
                               .0555071327, .00967554133, .00132764722};
    Reg *magic = constant(e, "magic", 0x1.8p23);
    op(e, INST_add, e->n, e->t, magic);
    build_convert_to(&e->b, INST_bitcast, e->m, e->n);
    op(e, INST_sub, e->n, e->n, magic);
    op(e, INST_sub, e->t, e->t, e->n);
    build_op_to(&e->b, INST_mov, e->p, constant(e, names[5], c[5]), NULL, NULL);
    for (int i = 4; i >= 0; i--)
        build_op_to(&e->b, INST_fma, e->p, e->p, e->t, constant(e, names[i], c[i]));
    build_shift_to(&e->b, INST_shl, e->m, e->m, 23);
    build_convert_to(&e->b, INST_bitcast, e->e, e->p);
    build_op_to(&e->b, INST_add, e->e, e->e, e->m, NULL);
    build_convert_to(&e->b, INST_bitcast, e->p, e->e);
}

/* d = numerator / (1 + 2^(-log2(e) * x)) */
static void logistic(Expander *e, Reg *d, Reg *numerator, Reg *x) {
    op(e, INST_mul, e->t, x, constant(e, "minus_log2e", -1.4426950408889634));
    op(e, INST_sub, e->d, e->t, constant(e, "limit_less_1", 125));
    op(e, INST_max, e->d, constant(e, "one", 1), e->d);
    op(e, INST_min, e->t, e->t, constant(e, "limit", 126));
    op(e, INST_max, e->t, e->t, constant(e, "minus_limit", -126));
    exp2_polynomial(e);
    op(e, INST_add, e->p, e->p, e->d);
    op(e, INST_div, d, numerator, e->p);
}

static void expand_sigmoid(Expander *e, Reg *d, Reg *x) {
    logistic(e, d, constant(e, "one", 1), x);
}

static void expand_silu(Expander *e, Reg *d, Reg *x) {
    logistic(e, d, x, x);
}

/* ---- the pass -------------------------------------------------------------------------------- */

typedef void ExpandAct(Expander *e, Reg *d, Reg *x);

static ExpandAct *const expansions[INST_COUNT] = {
#define ACT(id, expr, keeps_zero, source) [INST_act_##id] = expand_##id,
#include "ir/acts.def"
#undef ACT
};

static Reg *temporary(Kernel *k, const char *name, DType dt, const LType *like) {
    return kernel_reg(k, name, ltype(dt, like->lanes));
}

static void start(Expander *e, Kernel *k, LType type) {
    e->type = type;
    e->top = build_detached(k, &e->prologue);
    e->t = temporary(k, "t", DT_f32, &type);
    e->d = temporary(k, "d", DT_f32, &type);
    e->n = temporary(k, "n", DT_f32, &type);
    e->p = temporary(k, "p", DT_f32, &type);
    e->m = temporary(k, "m", DT_i32, &type);
    e->e = temporary(k, "e", DT_i32, &type);
}

/* An InstVisitor: replaces one activation. A kernel's activations all have one type, since the
 * generators work at one width. */
static void expand(void *ctx, Kernel *k, Inst **link) {
    Expander *e = ctx;
    Inst *in = *link;
    if (!expansions[in->op])
        return;
    if (!e->t)
        start(e, k, in->dst->type);
    ensure(in->dst->type.dtype == DT_f32 && ltype_equal(in->dst->type, e->type));
    Block sequence = {0};
    e->b = build_detached(k, &sequence);
    expansions[in->op](e, in->dst, in->src[0]);
    build_end(&e->b);
    block_splice(link, &sequence);
}

static void expand_kernel(Kernel *k) {
    Expander e = {0};
    kernel_visit(k, expand, &e);
    if (!e.t)
        return;
    build_end(&e.top);
    block_prepend(&k->body, &e.prologue);
}

bool pass_expand_math(Module *m, PassContext *cx) {
    (void)cx;
    for (size_t i = 0; i < m->kernels.len; i++)
        expand_kernel(m->kernels.data[i]);
    return true;
}
