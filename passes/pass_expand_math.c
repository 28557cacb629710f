/* expand-math: activations, exp and sqrt become arithmetic that every printer has and that rounds
 * the same everywhere.
 *
 *   relu, relu6, hard_sigmoid, hard_swish   min, max, mul
 *   sigmoid(x) = 1 / (1 + 2^t), silu(x) = x / (1 + 2^t)    with t = -log2(e) * x
 *   silu_exp2(t) = t / (k + k * 2^t)                       with k = -log2(e)
 *   softplus(x) = max(0, x) + 2 artanh(s), s = 2^t / (2 + 2^t)    with t = -log2(e) * |x|
 *   tanh, erf   x p(x^2) / q(x^2), with x clamped
 *
 * k * 2^t = 2^n * p(t - n), with k in the coefficients of the polynomial p. There are two forms,
 * with a relative error below 2e-7, their own rounding included:
 *
 *   table    n is the multiple of 1/32 nearest to t, p of degree 2. 2^n has a factor from
 *            a table of 32, exp2_low5, and one by scale2, for all t.
 *   shift    n is the integer nearest to t, which is clamped to [-127, 128]; p of degree 5.
 *            n + 127 in the place of an exponent is 2^n, and 0 and inf at the ends. From
 *            127.5 on 2^t counts as inf.
 *
 * What the target has decides. In both, NaN and infinities give what the functions give.
 *
 *   exp(x) = 2^n * e^r      with n the integer nearest to log2(e) * x, r = x - n * ln(2)
 *
 * ln(2) is the sum of two constants, the first of so few bits that n times it is exact (Cody and
 * Waite 1980): r has all its bits. e^r = 1 + r + r^2 * q(r), q of degree 5, whose error is below
 * 1e-10 on [-ln(2)/2, ln(2)/2]; 2^n is multiplied in two halves, so that the result overflows to
 * inf and underflows to 0 or to a denormal as it should. Within 2 units in the last place. x is
 * clamped to [-104, 89], where the result is 0 and inf already.
 *
 *   sqrt(x) = x / sqrt(x), the divisor's reciprocal by Newton's method from the bits of x
 *
 * Constants go to the top of the kernel; temporaries are shared by all expansions of one type in a
 * kernel.
 *
 * Needs: lower. Leaves alone: other types than f32, scalars and vectors of it. */
#include "passes/passes.h"

#include <math.h>
#include <string.h>

enum { MAX_CONSTANTS = 48, MAX_TYPES = 7 /* 1, 2, 4, ... MAX_LANES lanes */ };

typedef struct Constant {
    const char *name;
    Reg *reg;
} Constant;

/* What one kernel's expansions share, for one type. */
typedef struct Expander {
    LType type;
    const Target *target;
    Builder b;      /* the instructions that replace the current one */
    Block prologue; /* constants */
    Builder top;
    Constant constants[MAX_CONSTANTS];
    int nconstants;
    Reg *t, *d, *n, *p, *m, *e; /* temporaries: f32; m and e: i32 */
} Expander;

/* What the expansions of a kernel share; one type is all that generators use. */
typedef struct Expanders {
    const Target *target;
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

/* k * 2^f as a polynomial in f; coefficients are f32 numbers that were searched together. */
typedef struct Power {
    const char *k_name;
    double k;
    const char *names[6];
    double small[2];   /* for f in [-1/64, 1/64]: those of f and f^2, beside k itself */
    double nearest[6]; /* for f in [-1/2, 1/2] */
} Power;

static const Power power = {
    "one",
    1,
    {"exp2_c0", "exp2_c1", "exp2_c2", "exp2_c3", "exp2_c4", "exp2_c5"},
    {.693156958, .240228266},
    {1.00000012, .693147063, .24021998, .0555073321, .00968156941, .00132553116},
};

static const Power power_times_log2e = {
    "minus_log2e",
    MINUS_LOG2E,
    {"kexp2_c0", "kexp2_c1", "kexp2_c2", "kexp2_c3", "kexp2_c4", "kexp2_c5"},
    {-1.0000149, -.346576124},
    {-1.44269514, -.999999702, -.346565932, -.0800796226, -.0139590204, -.00191647478},
};

/* e->p = the polynomial of degree n - 1 at x. */
static void polynomial(Expander *e, Reg *x, const char *const *names, const double *c, int n) {
    op(e, INST_mov, e->p, constant(e, names[n - 1], c[n - 1]), NULL);
    for (int i = n - 2; i >= 0; i--)
        build_op_to(&e->b, INST_fma, e->p, e->p, x, constant(e, names[i], c[i]));
}

/* k * 2^t = e->p times the result. Adding 1.5 * 2^18 rounds to a multiple of 1/32, whose last 5
 * bits are those of the sum. Where t is too large for that, or infinite, p may be any positive
 * number of a few digits, or NaN: scale2 gives inf or 0 all the same. So it is p that is scaled,
 * not the number from the table. */
static Reg *power_by_table(Expander *e, const Power *k, Reg *t) {
    const char *const names[] = {k->k_name, k->names[1], k->names[2]};
    const double c[] = {k->k, k->small[0], k->small[1]};
    Reg *magic = constant(e, "magic_32nds", 0x1.8p18);
    op(e, INST_add, e->n, t, magic);
    op(e, INST_exp2_low5, e->d, e->n, NULL);
    op(e, INST_sub, e->n, e->n, magic);
    op(e, INST_sub, e->t, t, e->n);
    polynomial(e, e->t, names, c, 3);
    op(e, INST_scale2, e->p, e->p, e->n);
    return e->d;
}

/* The same. Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits of the sum. NaN
 * goes through min and max as their second operand. */
static Reg *power_by_shift(Expander *e, const Power *k, Reg *t) {
    Reg *magic = constant(e, "magic_127", 0x1.8p23 + 127);
    op(e, INST_min, e->t, constant(e, "limit", 128), t);
    op(e, INST_max, e->t, constant(e, "minus_limit", -127), e->t);
    op(e, INST_add, e->n, e->t, magic);
    build_convert_to(&e->b, INST_bitcast, e->m, e->n);
    op(e, INST_sub, e->n, e->n, magic);
    op(e, INST_sub, e->t, e->t, e->n);
    polynomial(e, e->t, k->names, k->nearest, 6);
    build_shift_to(&e->b, INST_shl, e->m, e->m, 23);
    build_convert_to(&e->b, INST_bitcast, e->n, e->m);
    return e->n;
}

static Reg *power_times(Expander *e, const Power *k, Reg *t) {
    return e->target->scale2 ? power_by_table(e, k, t) : power_by_shift(e, k, t);
}

/* e->p = 2^t */
static void power_alone(Expander *e, Reg *t) {
    Reg *by = power_times(e, &power, t);
    op(e, INST_mul, e->p, e->p, by);
}

/* d = numerator / (k + k * 2^t) */
static void logistic(Expander *e, Reg *d, Reg *numerator, const Power *k, Reg *t) {
    Reg *summand = constant(e, k->k_name, k->k), *by = power_times(e, k, t);
    build_op_to(&e->b, INST_fma, e->p, e->p, by, summand);
    op(e, INST_div, d, numerator, e->p);
}

static Reg *times_minus_log2e(Expander *e, Reg *x) {
    op(e, INST_mul, e->t, x, constant(e, "minus_log2e", MINUS_LOG2E));
    return e->t;
}

static void expand_sigmoid(Expander *e, Reg *d, Reg *x) {
    Reg *t = times_minus_log2e(e, x); /* first, whatever compiler this is built with */
    logistic(e, d, constant(e, "one", 1), &power, t);
}

static void expand_silu(Expander *e, Reg *d, Reg *x) {
    logistic(e, d, x, &power, times_minus_log2e(e, x));
}

static void expand_silu_exp2(Expander *e, Reg *d, Reg *x) {
    logistic(e, d, x, &power_times_log2e, x);
}

/* log(1 + u) = 2 artanh(u / (2 + u)): an odd series in s, with s <= 1/3. p is a polynomial of
 * degree 4 in s^2 with a relative error of 4e-9. */
static void expand_softplus(Expander *e, Reg *d, Reg *x) {
    static const char *const names[] = {"log_c0", "log_c1", "log_c2", "log_c3", "log_c4"};
    static const double c[] = {2.00000001, .666663147, .400249101, .279606048, .281783258};
    build_op_to(&e->b, INST_neg, e->d, x, NULL, NULL);
    op(e, INST_max, e->t, e->d, x);
    power_alone(e, times_minus_log2e(e, e->t));
    op(e, INST_add, e->d, e->p, constant(e, "two", 2));
    op(e, INST_div, e->n, e->p, e->d);
    op(e, INST_mul, e->t, e->n, e->n);
    polynomial(e, e->t, names, c, 5);
    op(e, INST_max, e->d, constant(e, "zero", 0), x);
    build_op_to(&e->b, INST_fma, d, e->n, e->p, e->d);
}

/* ---- odd functions that end at 1 and -1 ------------------------------------------------------ */

enum { MAX_RATIONAL = 7 };

/* x p(x^2) / q(x^2) for |x| up to the limit, and there beyond it. */
typedef struct Rational {
    const char *limit_name, *minus_limit_name;
    double limit;
    int np, nq;
    const char *p_names[MAX_RATIONAL], *q_names[MAX_RATIONAL];
    double p[MAX_RATIONAL], q[MAX_RATIONAL];
} Rational;

/* A relative error of 3e-8, 5 units in the last place with its own rounding. */
static const Rational rational_tanh = {
    "tanh_limit",
    "tanh_minus_limit",
    9.2,
    5,
    5,
    {"tanh_p0", "tanh_p1", "tanh_p2", "tanh_p3", "tanh_p4"},
    {"tanh_q0", "tanh_q1", "tanh_q2", "tanh_q3", "tanh_q4"},
    {1, .133678928, .00348000741, 2.03534801e-05, 1.30022295e-08},
    {1, .467012048, .0258176625, .000326018693, 7.63193043e-07},
};

/* 6e-8, and 6 units. */
static const Rational rational_erf = {
    "erf_limit",
    "erf_minus_limit",
    3.93,
    7,
    5,
    {"erf_p0", "erf_p1", "erf_p2", "erf_p3", "erf_p4", "erf_p5", "erf_p6"},
    {"erf_q0", "erf_q1", "erf_q2", "erf_q3", "erf_q4"},
    {1.12837911, .200787634, .0506866612, .00373593229, .000142468838, -1.95519033e-06,
     1.98141556e-08},
    {1, .511275053, .115354024, .0144252526, .000963684812},
};

/* NaN goes through min and max as their second operand. */
static void expand_rational(Expander *e, Reg *d, Reg *x, const Rational *r) {
    op(e, INST_min, e->t, constant(e, r->limit_name, r->limit), x);
    op(e, INST_max, e->t, constant(e, r->minus_limit_name, -r->limit), e->t);
    op(e, INST_mul, e->n, e->t, e->t);
    polynomial(e, e->n, r->q_names, r->q, r->nq);
    op(e, INST_mov, e->d, e->p, NULL);
    polynomial(e, e->n, r->p_names, r->p, r->np);
    op(e, INST_mul, e->p, e->p, e->t);
    op(e, INST_div, d, e->p, e->d);
}

static void expand_tanh(Expander *e, Reg *d, Reg *x) {
    expand_rational(e, d, x, &rational_tanh);
}

static void expand_erf(Expander *e, Reg *d, Reg *x) {
    expand_rational(e, d, x, &rational_erf);
}

/* ---- exp ------------------------------------------------------------------------------------- */

/* t = x clamped; n the integer nearest to log2(e) * t, in the low bits of m too; t = t - n * ln(2).
 * NaN goes through max and min as their second operand. */
static void reduce_exp(Expander *e, Reg *x) {
    Reg *magic = constant(e, "magic", 0x1.8p23);
    op(e, INST_max, e->t, constant(e, "exp_min", -104), x);
    op(e, INST_min, e->t, constant(e, "exp_max", 89), e->t);
    build_op_to(&e->b, INST_fma, e->n, e->t, constant(e, "log2e", -MINUS_LOG2E), magic);
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
    polynomial(e, e->t, names, c, 6);
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

/* ---- sqrt ------------------------------------------------------------------------------------ */

/* n = 1 / sqrt(t) by Newton's method for a normal t > 0. Half the exponent is a first value with an
 * error of 3.5 %; each step squares the error, and 1.5 times it. */
static void inverse_root(Expander *e) {
    Reg *three_halves = constant(e, "three_halves", 1.5);
    build_convert_to(&e->b, INST_bitcast, e->m, e->t);
    build_shift_to(&e->b, INST_shr, e->m, e->m, 1);
    op(e, INST_sub, e->m, constant_i(e, "root_magic", 0x5f3759df), e->m);
    build_convert_to(&e->b, INST_bitcast, e->n, e->m);
    op(e, INST_mul, e->p, e->t, constant(e, "minus_half", -0.5));
    for (int i = 0; i < 3; i++) {
        op(e, INST_mul, e->d, e->p, e->n); /* n * n could be denormal */
        build_op_to(&e->b, INST_fma, e->d, e->d, e->n, three_halves);
        op(e, INST_mul, e->n, e->n, e->d);
    }
}

/* p = t * n, corrected by half of what its square lacks: within 2 units in the last place. */
static void root_of_normal(Expander *e) {
    inverse_root(e);
    op(e, INST_mul, e->p, e->t, e->n);
    op(e, INST_neg, e->d, e->p, NULL);
    build_op_to(&e->b, INST_fma, e->d, e->d, e->p, e->t);
    op(e, INST_mul, e->n, e->n, constant(e, "half", 0.5));
    build_op_to(&e->b, INST_fma, e->p, e->d, e->n, e->p);
}

static void select_to(Expander *e, Reg *d, Reg *mask, Reg *a, Reg *b) {
    build_op_to(&e->b, INST_select, d, mask, a, b);
}

/* Small numbers, denormal ones too, are scaled by 2^48; 0 has no reciprocal. NaN goes through the
 * arithmetic. */
static void expand_sqrt(Expander *e, Reg *d, Reg *x) {
    Reg *inf = constant(e, "inf", INFINITY);
    Reg *small = build_op(&e->b, INST_lt, "small", x, constant(e, "small_root", 0x1p-100), NULL);
    op(e, INST_mul, e->t, x, constant(e, "root_up", 0x1p48));
    select_to(e, e->t, small, e->t, x);
    Reg *none = build_op(&e->b, INST_eq, "none", e->t, constant(e, "zero", 0), NULL);
    root_of_normal(e);
    select_to(e, e->p, none, e->t, e->p);
    op(e, INST_mul, e->d, e->p, constant(e, "root_down", 0x1p-24));
    select_to(e, e->p, small, e->d, e->p);
    op(e, INST_sub, e->d, inf, inf);
    Reg *negative = build_op(&e->b, INST_lt, "negative", x, constant(e, "zero", 0), NULL);
    Reg *infinite = build_op(&e->b, INST_eq, "infinite", x, inf, NULL);
    select_to(e, e->p, infinite, x, e->p);
    select_to(e, d, negative, e->d, e->p);
}

/* ---- the pass -------------------------------------------------------------------------------- */

typedef void Expand(Expander *e, Reg *d, Reg *x);

static Expand *const expansions[INST_COUNT] = {
    [INST_exp] = expand_exp,
    [INST_sqrt] = expand_sqrt,
#define ACT(id, expr, keeps_zero, source) [INST_act_##id] = expand_##id,
#include "ir/acts.def"
#undef ACT
};

static Reg *temporary(Kernel *k, const char *name, DType dt, const LType *like) {
    return kernel_reg(k, name, ltype(dt, like->lanes));
}

static void start(Expander *e, Kernel *k, LType type, const Target *target) {
    e->type = type;
    e->target = target;
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
    start(&all->of[all->n], k, type, all->target);
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

static void expand_kernel(Kernel *k, const Target *target) {
    Expanders all = {.target = target};
    kernel_visit(k, expand, &all);
    for (int i = 0; i < all.n; i++) {
        build_end(&all.of[i].top);
        block_prepend(&k->body, &all.of[i].prologue);
    }
}

bool pass_expand_math(Module *m, PassContext *cx) {
    for (size_t i = 0; i < module_function_count(m); i++)
        expand_kernel(module_function(m, i), cx->target);
    return true;
}
