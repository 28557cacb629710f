/* loop_build.c: appends instructions to a kernel. A builder dies where a result does not fit its
 * register, so that a wrong kernel generator is stopped at the line that is wrong; whether the
 * operands fit one another is for module_verify. */
#include "ir/loop.h"
#include "ir/loop_internal.h"

/* ---- blocks --------------------------------------------------------------------------------- */

Builder build_detached(Kernel *k, Block *into) {
    return (Builder){.k = k, .stack = {into}, .depth = 1};
}

Builder build_begin(Kernel *k) {
    return build_detached(k, &k->body);
}

void build_end(Builder *b) {
    ensure(b->depth == 1);
    b->depth = 0;
}

Inst *build_inst(Builder *b, InstOp op) {
    ensure(b->depth > 0);
    Inst *in = ARENA_NEW(b->k->arena, Inst);
    Block *block = b->stack[b->depth - 1];
    in->op = op;
    *(block->last ? &block->last->next : &block->first) = in;
    block->last = in;
    return in;
}

void build_open(Builder *b, Block *body) {
    ensure(b->depth < MAX_NESTING);
    b->stack[b->depth++] = body;
}

void build_close(Builder *b) {
    ensure(b->depth > 1);
    b->depth--;
}

/* ---- results -------------------------------------------------------------------------------- */

/* Gives `in` a new register as its result. */
static Reg *define(Builder *b, Inst *in, const char *name, LType written) {
    RegKind kind;
    LType type;
    if (!inst_result(in, written, &kind, &type))
        die("%s: operands of %s are no values", b->k->name, inst_info(in->op)->name);
    in->dst =
        kind == REG_POINTER ? kernel_ptr(b->k, name, type.dtype) : kernel_reg(b->k, name, type);
    return in->dst;
}

static void assign(Builder *b, Inst *in, Reg *d) {
    RegKind kind;
    LType type;
    in->dst = d;
    if (!inst_result(in, d->type, &kind, &type) || kind != d->kind || !ltype_equal(type, d->type))
        die("%s: the result of %s does not fit %s", b->k->name, inst_info(in->op)->name, d->name);
}

/* ---- instructions --------------------------------------------------------------------------- */

static Inst *operands(Builder *b, InstOp op, Reg *x, Reg *y, Reg *z) {
    Inst *in = build_inst(b, op);
    in->src[0] = x;
    in->src[1] = y;
    in->src[2] = z;
    return in;
}

static Inst *constant_f(Builder *b, DType dt, double value) {
    ensure(dtype_is_float(dt));
    Inst *in = build_inst(b, INST_const);
    in->u.f = dtype_round_f(dt, value);
    return in;
}

Reg *build_const_f(Builder *b, const char *name, LType t, double value) {
    return define(b, constant_f(b, t.dtype, value), name, t);
}

void build_const_f_to(Builder *b, Reg *d, double value) {
    assign(b, constant_f(b, d->type.dtype, value), d);
}

static Inst *constant_i(Builder *b, DType dt, int64_t value) {
    ensure(!dtype_is_float(dt) && dtype_fits_i(dt, value));
    Inst *in = build_inst(b, INST_const);
    in->u.i = value;
    return in;
}

Reg *build_const_i(Builder *b, const char *name, LType t, int64_t value) {
    return define(b, constant_i(b, t.dtype, value), name, t);
}

void build_const_i_to(Builder *b, Reg *d, int64_t value) {
    assign(b, constant_i(b, d->type.dtype, value), d);
}

Reg *build_op(Builder *b, InstOp op, const char *name, Reg *x, Reg *y, Reg *z) {
    return define(b, operands(b, op, x, y, z), name, (LType){0});
}

void build_op_to(Builder *b, InstOp op, Reg *d, Reg *x, Reg *y, Reg *z) {
    assign(b, operands(b, op, x, y, z), d);
}

static Inst *shift(Builder *b, InstOp op, Reg *x, int64_t by) {
    Inst *in = operands(b, op, x, NULL, NULL);
    in->u.i = by;
    return in;
}

Reg *build_shift(Builder *b, InstOp op, const char *name, Reg *x, int64_t by) {
    return define(b, shift(b, op, x, by), name, (LType){0});
}

void build_shift_to(Builder *b, InstOp op, Reg *d, Reg *x, int64_t by) {
    assign(b, shift(b, op, x, by), d);
}

Reg *build_convert(Builder *b, InstOp op, const char *name, LType to, Reg *x) {
    return define(b, operands(b, op, x, NULL, NULL), name, to);
}

void build_convert_to(Builder *b, InstOp op, Reg *d, Reg *x) {
    assign(b, operands(b, op, x, NULL, NULL), d);
}

Reg *build_splat(Builder *b, const char *name, int lanes, Reg *x) {
    return define(b, operands(b, INST_splat, x, NULL, NULL), name, ltype(x->type.dtype, lanes));
}

/* ---- memory --------------------------------------------------------------------------------- */

static Inst *access(Builder *b, InstOp op, Addr a) {
    Inst *in = build_inst(b, op);
    in->u.addr = a;
    return in;
}

Reg *build_load(Builder *b, const char *name, int lanes, Addr a) {
    return define(b, access(b, INST_load, a), name, ltype(a.base->type.dtype, lanes));
}

void build_load_to(Builder *b, Reg *d, Addr a) {
    assign(b, access(b, INST_load, a), d);
}

Reg *build_load_once(Builder *b, const char *name, int lanes, Addr a) {
    return define(b, access(b, INST_load_once, a), name, ltype(a.base->type.dtype, lanes));
}

void build_load_once_to(Builder *b, Reg *d, Addr a) {
    assign(b, access(b, INST_load_once, a), d);
}

Reg *build_splat_load(Builder *b, const char *name, int lanes, Addr a) {
    return define(b, access(b, INST_splat_load, a), name, ltype(a.base->type.dtype, lanes));
}

Reg *build_lea(Builder *b, const char *name, Addr a) {
    return define(b, access(b, INST_lea, a), name, (LType){0});
}

void build_lea_to(Builder *b, Reg *d, Addr a) {
    assign(b, access(b, INST_lea, a), d);
}

void build_store(Builder *b, Addr a, Reg *value) {
    access(b, INST_store, a)->src[0] = value;
}

void build_prefetch(Builder *b, Addr a) {
    access(b, INST_prefetch, a);
}

/* ---- control -------------------------------------------------------------------------------- */

static void open_loop(Builder *b, InstOp op, Reg *var, Bound lo, Bound hi, int64_t step) {
    Inst *in = build_inst(b, op);
    in->u.loop.lo = lo;
    in->u.loop.hi = hi;
    in->u.loop.step = step;
    assign(b, in, var);
    build_open(b, &in->u.loop.body);
}

Reg *build_for(Builder *b, const char *var, Bound lo, Bound hi, int64_t step) {
    Reg *r = kernel_reg(b->k, var, ltype(DT_i64, 1));
    open_loop(b, INST_for, r, lo, hi, step);
    return r;
}

Reg *build_par(Builder *b, const char *var, Bound lo, Bound hi) {
    Reg *r = kernel_reg(b->k, var, ltype(DT_i64, 1));
    open_loop(b, INST_par, r, lo, hi, 1);
    return r;
}

void build_while(Builder *b, Reg *cond) {
    Inst *in = operands(b, INST_while, cond, NULL, NULL);
    build_open(b, &in->u.body);
}

void build_if(Builder *b, Reg *cond) {
    Inst *in = operands(b, INST_if, cond, NULL, NULL);
    build_open(b, &in->u.branch.then);
}

void build_else(Builder *b) {
    ensure(b->depth > 1);
    Inst *in = b->stack[b->depth - 2]->last;
    ensure(in->op == INST_if && b->stack[b->depth - 1] == &in->u.branch.then);
    b->stack[b->depth - 1] = &in->u.branch.orelse;
}

void build_call(Builder *b, Kernel *callee, const Arg *args, int nargs, const char *origin) {
    Arena *a = b->k->arena;
    Inst *in = build_inst(b, INST_call);
    in->u.call.callee = callee;
    in->u.call.nargs = nargs;
    in->u.call.args = arena_copy(a, args, (size_t)nargs * sizeof *args);
    in->comment = origin && *origin ? arena_strdup(a, origin) : NULL;
}
