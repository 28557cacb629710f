/* expand-math: activations and exp become arithmetic that every printer has and that rounds the
 * same everywhere.
 *
 *   relu, relu6, hard_sigmoid, hard_swish   min, max, mul
 *   sigmoid(x) = 1 / (1 + 2^t), silu(x) = x / (1 + 2^t)    with t = -log2(e) * x
 *   softplus(x) = max(0, x) + 2 artanh(s), s = 2^t / (2 + 2^t)    with t = -log2(e) * |x|
 *
 * 2^t = 2^n * p(t - n), n the nearest integer: p is a polynomial of degree 5 with a relative error
 * of 7.5e-8 on [-1/2, 1/2], and 2^n is added to the exponent's bits. t is clamped to [-126, 126],
 * where both factors are normal. max(1, t - 125) stands in for the 1 of the sum: for t = inf it is
 * inf and for NaN NaN (max gives its second operand then), otherwise no more than the sum hides.
 *
 *   exp(x) = 2^n * e^r      with n the integer nearest to log2(e) * x, r = x - n * ln(2)
 *
 * ln(2) is the sum of two constants, the first of so few bits that n times it is exact (Cody and
 * Waite 1980): r has all its bits. e^r = 1 + r + r^2 * q(r), q of degree 5, whose error is below
 * 1e-10 on [-ln(2)/2, ln(2)/2]; 2^n is multiplied in two halves, so that the result overflows to
 * inf and underflows to 0 or to a denormal as it should. Within 2 units in the last place. x is
 * clamped to [-104, 89], where the result is 0 and inf already.
 *
 * Works on f32 scalars and vectors, and leaves other types alone. Constants go to the top of the
 * kernel; temporaries are shared by all expansions of one type in a kernel. */
#include "passes/passes.h"

#include <string.h>

enum { MAX_CONSTANTS = 32, MAX_TYPES = 7 /* 1, 2, 4, ... MAX_LANES lanes */ };

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

/* What the expansions of a kernel share; one type is all that generators use. */
typedef struct Expanders {
    Expander of[MAX_TYPES];
    int n;
} Expanders;

static Reg *find_constant(const Expander *e, const char *name) {
    for (int i = 0; i < e->nconstants; i++)
        if (strcmp(e->constants[i].name, name) == 0)
            return e->constants[i].reg;
    return NULL;
}

static Reg *add_constant(Expander *e, const char *name, Reg *r) {
    ensure(e->nconstants < MAX_CONSTANTS);
    e->constants[e->nconstants++] = (Constant){name, r};
    return r;
}

static Reg *constant(Expander *e, const char *name, double value) {
    Reg *r = find_constant(e, name);
    return r ? r : add_constant(e, name, build_const_f(&e->top, name, e->type, value));
}

static Reg *constant_i(Expander *e, const char *name, int32_t value) {
    Reg *r = find_constant(e, name);
    LType t = ltype(DT_i32, e->type.lanes);
    return r ? r : add_constant(e, name, build_const_i(&e->top, name, t, value));
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

/* log(1 + u) = 2 artanh(u / (2 + u)): an odd series in s, with s <= 1/3. p is a polynomial of
 * degree 4 in s^2 with a relative error of 4e-9. */
static void expand_softplus(Expander *e, Reg *d, Reg *x) {
    static const char *const names[] = {"log_c0", "log_c1", "log_c2", "log_c3", "log_c4"};
    static const double c[] = {2.00000001, .666663147, .400249101, .279606048, .281783258};
    build_op_to(&e->b, INST_neg, e->d, x, NULL, NULL);
    op(e, INST_max, e->t, e->d, x);
    op(e, INST_mul, e->t, e->t, constant(e, "minus_log2e", -1.4426950408889634));
    op(e, INST_max, e->t, e->t, constant(e, "minus_limit", -126));
    exp2_polynomial(e);
    op(e, INST_add, e->d, e->p, constant(e, "two", 2));
    op(e, INST_div, e->n, e->p, e->d);
    op(e, INST_mul, e->t, e->n, e->n);
    build_op_to(&e->b, INST_mov, e->p, constant(e, names[4], c[4]), NULL, NULL);
    for (int i = 3; i >= 0; i--)
        build_op_to(&e->b, INST_fma, e->p, e->p, e->t, constant(e, names[i], c[i]));
    op(e, INST_max, e->d, constant(e, "zero", 0), x);
    build_op_to(&e->b, INST_fma, d, e->n, e->p, e->d);
}

/* ---- exp ------------------------------------------------------------------------------------- */

/* t = x clamped; n the integer nearest to log2(e) * t, in the low bits of m too; t = t - n * ln(2).
 * NaN goes through max and min as their second operand. */
static void reduce_exp(Expander *e, Reg *x) {
    Reg *magic = constant(e, "magic", 0x1.8p23);
    op(e, INST_max, e->t, constant(e, "exp_min", -104), x);
    op(e, INST_min, e->t, constant(e, "exp_max", 89), e->t);
    build_op_to(&e->b, INST_fma, e->n, e->t, constant(e, "log2e", 1.4426950408889634), magic);
    build_convert_to(&e->b, INST_bitcast, e->m, e->n);
    op(e, INST_sub, e->n, e->n, magic);
    build_op_to(&e->b, INST_fma, e->t, e->n, constant(e, "minus_ln2_hi", -0.693359375), e->t);
    build_op_to(&e->b, INST_fma, e->t, e->n, constant(e, "minus_ln2_lo", 2.12194440e-4), e->t);
}

/* p = e^t for the reduced t */
static void exp_polynomial(Expander *e) {
    static const char *const names[] = {"exp_c2", "exp_c3", "exp_c4", "exp_c5", "exp_c6", "exp_c7"};
    static const double c[] = {.5,           .166666657,   .0416662917,
                               .00833349861, .00139450131, .000197905101};
    build_op_to(&e->b, INST_mov, e->p, constant(e, names[5], c[5]), NULL, NULL);
    for (int i = 4; i >= 0; i--)
        build_op_to(&e->b, INST_fma, e->p, e->p, e->t, constant(e, names[i], c[i]));
    op(e, INST_mul, e->d, e->t, e->t);
    build_op_to(&e->b, INST_fma, e->p, e->p, e->d, e->t);
    op(e, INST_add, e->p, e->p, constant(e, "one", 1));
}

/* d = d * 2^k, k an exponent that is in e->e, of a normal number */
static void scale(Expander *e, Reg *d, Reg *x) {
    op(e, INST_add, e->e, e->e, constant_i(e, "exponent_bias", 127));
    build_shift_to(&e->b, INST_shl, e->e, e->e, 23);
    build_convert_to(&e->b, INST_bitcast, e->n, e->e);
    op(e, INST_mul, d, x, e->n);
}

static void expand_exp(Expander *e, Reg *d, Reg *x) {
    reduce_exp(e, x);
    exp_polynomial(e);
    op(e, INST_sub, e->m, e->m, constant_i(e, "magic_bits", 0x4b400000));
    build_shift_to(&e->b, INST_shr, e->e, e->m, 1);
    op(e, INST_sub, e->m, e->m, e->e);
    scale(e, e->p, e->p);
    op(e, INST_mov, e->e, e->m, NULL);
    scale(e, d, e->p);
}

/* ---- the pass -------------------------------------------------------------------------------- */

typedef void Expand(Expander *e, Reg *d, Reg *x);

static Expand *const expansions[INST_COUNT] = {
    [INST_exp] = expand_exp,
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

static Expander *expander_of(Expanders *all, Kernel *k, LType type) {
    for (int i = 0; i < all->n; i++)
        if (ltype_equal(all->of[i].type, type))
            return &all->of[i];
    ensure(all->n < MAX_TYPES);
    start(&all->of[all->n], k, type);
    return &all->of[all->n++];
}

/* An InstVisitor: replaces one instruction. */
static void expand(void *ctx, Kernel *k, Inst **link) {
    Inst *in = *link;
    if (!expansions[in->op] || in->dst->type.dtype != DT_f32)
        return;
    Expander *e = expander_of(ctx, k, in->dst->type);
    Block sequence = {0};
    e->b = build_detached(k, &sequence);
    expansions[in->op](e, in->dst, in->src[0]);
    build_end(&e->b);
    block_splice(link, &sequence);
}

static void expand_kernel(Kernel *k) {
    Expanders all = {0};
    kernel_visit(k, expand, &all);
    for (int i = 0; i < all.n; i++) {
        build_end(&all.of[i].top);
        block_prepend(&k->body, &all.of[i].prologue);
    }
}

bool pass_expand_math(Module *m, PassContext *cx) {
    (void)cx;
    for (size_t i = 0; i < module_function_count(m); i++)
        expand_kernel(module_function(m, i));
    return true;
}
