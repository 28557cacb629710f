/* loop_verify.c: checks every invariant of a module, so that printers and the interpreter need not.
 * Nothing is taken for granted: a pass may have left any field wrong. */
#include "ir/loop.h"
#include "ir/loop_internal.h"

#include <inttypes.h>
#include <string.h>

/* A loop's variable is nothing else: printers declare it in the loop. */
typedef enum Role { ROLE_NONE, ROLE_LOOP, ROLE_OTHER } Role;

typedef struct Verifier {
    const Module *m;
    const char *where;
    Diag *d;
    bool ok;
    const Kernel *k; /* of what follows */
    Map callees;     /* name -> kernel: those before k, which it may call */
    const Inst *in;  /* NULL outside a body */
    int depth;
    bool *defined; /* by register index: has a value on every path to here */
    int *locked;   /* by register index: loops around here that forbid an assignment */
    int *outer;    /* the same: par loops around here that found it with a value */
    char *role;    /* by register index: a Role */
    VEC(int) log;  /* registers in the order in which they became defined */
    Arena scratch;
} Verifier;

/* ---- faults --------------------------------------------------------------------------------- */

static const char *inst_text(Verifier *v) {
    Buf b = {0};
    inst_print(&b, v->in);
    const char *s = arena_strdup(&v->scratch, buf_str(&b));
    buf_free(&b);
    return s;
}

static void fault(Verifier *v, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void fault(Verifier *v, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(&v->scratch, fmt, ap);
    va_end(ap);
    v->ok = false;
    if (!v->k)
        diag_error(v->d, EXIT_BAD_MODEL, v->where, "module @%s: %s", v->m->name, what);
    else
        diag_error(v->d, EXIT_BAD_MODEL, v->where, "%s: %s", kernel_title(&v->scratch, v->k), what);
    if (v->in)
        diag_note(v->d, "instruction", "%s", inst_text(v));
}

static const char *type_text(Verifier *v, RegKind kind, LType t) {
    Buf b = {0};
    reg_type_print(&b, kind, t);
    const char *s = arena_strdup(&v->scratch, buf_str(&b));
    buf_free(&b);
    return s;
}

static const char *reg_text(Verifier *v, const Reg *r) {
    return type_text(v, r->kind, r->type);
}

/* ---- registers ------------------------------------------------------------------------------ */

static bool is_known(Verifier *v, const Reg *r) {
    size_t i = (size_t)r->index;
    if (r->kind == REG_BUFFER)
        return i < v->m->buffers.len && &v->m->buffers.data[i]->reg == r;
    return i < v->k->regs.len && v->k->regs.data[i] == r;
}

/* A register that is read. */
static bool check_use(Verifier *v, const Reg *r) {
    if (!r)
        fault(v, "an operand is missing");
    else if (!is_known(v, r))
        fault(v, "register %s belongs elsewhere", r->name);
    else if (r->kind == REG_BUFFER && v->k->kind == KERNEL_PLAIN)
        fault(v, "only steps and run may use buffers, as %%%s", r->name);
    else if (r->kind != REG_BUFFER && !v->defined[r->index])
        fault(v, "register %s may be used before it has a value", r->name);
    else
        return true;
    return false;
}

static bool check_value(Verifier *v, const Reg *r) {
    if (!check_use(v, r))
        return false;
    if (r->kind == REG_VALUE)
        return true;
    fault(v, "%s is a pointer, not a value", r->name);
    return false;
}

static bool check_type(Verifier *v, const Reg *r, LType want) {
    if (!check_value(v, r))
        return false;
    if (ltype_equal(r->type, want))
        return true;
    fault(v, "%s is %s, wanted %s", r->name, reg_text(v, r), type_text(v, REG_VALUE, want));
    return false;
}

static void check_i64(Verifier *v, const Reg *r) {
    check_type(v, r, ltype(DT_i64, 1));
}

static void check_bound(Verifier *v, Bound b) {
    if (b.reg)
        check_i64(v, b.reg);
}

static void define(Verifier *v, const Reg *r, Role role) {
    if (v->role[r->index] == ROLE_NONE)
        v->role[r->index] = (char)role;
    else if (v->role[r->index] != (char)role)
        fault(v, "%s is the variable of a loop, and something else too", r->name);
    if (v->defined[r->index])
        return;
    v->defined[r->index] = true;
    vec_push(&v->scratch, &v->log, r->index);
}

static void undefine_since(Verifier *v, size_t mark) {
    while (v->log.len > mark)
        v->defined[v->log.data[--v->log.len]] = false;
}

/* The register that `in` assigns: of this kernel, of the right kind and type, and free to
 * change. */
static bool check_result(Verifier *v) {
    const Inst *in = v->in;
    const Reg *d = in->dst;
    RegKind kind;
    LType type;
    if (!d || d->kind == REG_BUFFER || !is_known(v, d)) {
        fault(v, "the result is no register of this kernel");
        return false;
    }
    if (v->locked[d->index])
        fault(v, "%s counts or bounds a loop around this, and can't be assigned in it", d->name);
    else if (v->outer[d->index])
        fault(v, "%s has its value from outside the par around this, and can't be assigned in it",
              d->name);
    if (inst_result(in, d->type, &kind, &type) && (kind != d->kind || !ltype_equal(type, d->type)))
        fault(v, "%s is %s, but the result is %s", d->name, reg_text(v, d),
              type_text(v, kind, type));
    return true;
}

static void check_set(Verifier *v, DType dt) {
    const InstInfo *info = inst_info(v->in->op);
    if (!(info->types & dtype_set(dt)))
        fault(v, "%s does not work on %s", info->name, dtype_name(dt));
}

/* ---- addresses ------------------------------------------------------------------------------ */

static void check_term(Verifier *v, const Addr *a, int i) {
    check_i64(v, a->terms[i].reg);
    if (a->terms[i].factor == 0)
        fault(v, "a factor of the address is zero");
    for (int j = 0; j < i; j++)
        if (a->terms[j].reg == a->terms[i].reg)
            fault(v, "a register is twice in the address");
}

static bool check_addr(Verifier *v, const Addr *a) {
    if (!check_use(v, a->base))
        return false;
    if (a->base->kind == REG_VALUE) {
        fault(v, "%s is not a pointer", a->base->name);
        return false;
    }
    if (a->nterms < 0 || a->nterms > MAX_TERMS) {
        fault(v, "the address has %d registers", a->nterms);
        return false;
    }
    for (int i = 0; i < a->nterms; i++)
        check_term(v, a, i);
    return true;
}

/* A constant address of a buffer lies in it, or just behind it, where nothing can be read but a
 * pointer may point to. `count` elements are accessed. */
static void check_inside(Verifier *v, const Addr *a, int64_t count) {
    if (a->base->kind != REG_BUFFER || a->nterms > 0)
        return;
    const Buffer *b = v->m->buffers.data[a->base->index];
    if (a->offset < 0 || a->offset > b->elems - count)
        fault(v, "element %" PRId64 " is outside %%%s, which has %" PRId64, a->offset, b->reg.name,
              b->elems);
}

/* ---- instructions by form ------------------------------------------------------------------- */

static void check_operands(Verifier *v, int n, LType t) {
    for (int i = 0; i < n; i++)
        check_type(v, v->in->src[i], t);
}

/* n operands of one type, which is the result's too. */
static void check_uniform(Verifier *v, int n) {
    if (!check_value(v, v->in->src[0]))
        return;
    check_set(v, v->in->src[0]->type.dtype);
    check_operands(v, n, v->in->src[0]->type);
}

static void check_const(Verifier *v) {
    const Inst *in = v->in;
    DType dt = in->dst->type.dtype;
    if (dtype_is_float(dt)) {
        double x = dtype_round_f(dt, in->u.f);
        if (memcmp(&x, &in->u.f, sizeof x) != 0)
            fault(v, "the constant is not rounded to %s", dtype_name(dt));
    } else if (!dtype_fits_i(dt, in->u.i)) {
        fault(v, "%" PRId64 " does not fit %s", in->u.i, dtype_name(dt));
    }
}

static void check_shift(Verifier *v) {
    const Inst *in = v->in;
    check_uniform(v, 1);
    int bits = 8 * dtype_bytes(in->dst->type.dtype);
    if (in->u.i < 0 || in->u.i >= bits)
        fault(v, "a shift by %" PRId64 " of %d bits", in->u.i, bits);
}

static void check_select(Verifier *v) {
    const Inst *in = v->in;
    if (!check_value(v, in->src[1]))
        return;
    check_set(v, in->src[1]->type.dtype);
    check_type(v, in->src[2], in->src[1]->type);
    check_type(v, in->src[0], ltype_mask(in->src[1]->type));
}

static int ltype_bytes(LType t) {
    return t.lanes * dtype_bytes(t.dtype);
}

/* Halves convert to and from f32 alone: through it they reach every type. */
static bool has_conversion(DType from, DType to) {
    bool halves = dtype_set(from) == TYPES_H || dtype_set(to) == TYPES_H;
    return !halves || from == DT_f32 || to == DT_f32;
}

static void check_convert(Verifier *v) {
    const Inst *in = v->in;
    if (!check_value(v, in->src[0]))
        return;
    LType from = in->src[0]->type, to = in->dst->type;
    check_set(v, from.dtype);
    check_set(v, to.dtype);
    bool fits = from.lanes == to.lanes && has_conversion(from.dtype, to.dtype);
    if (in->op == INST_bitcast)
        fits = ltype_bytes(from) == ltype_bytes(to) && (from.lanes == 1) == (to.lanes == 1);
    if (!fits)
        fault(v, "%s does not become %s", type_text(v, REG_VALUE, from),
              type_text(v, REG_VALUE, to));
}

static void check_splat(Verifier *v) {
    const Inst *in = v->in;
    check_type(v, in->src[0], ltype(in->dst->type.dtype, 1));
    if (in->dst->type.lanes == 1)
        fault(v, "a splat to one lane");
}

static void check_load(Verifier *v) {
    const Inst *in = v->in;
    InstForm form = inst_info(in->op)->form;
    int lanes = in->dst->type.lanes;
    if (form == FORM_SPLAT_LOAD && lanes == 1)
        fault(v, "a splat to one lane");
    if (check_addr(v, &in->u.addr))
        check_inside(v, &in->u.addr, form == FORM_LEA ? 0 : form == FORM_LOAD ? lanes : 1);
}

static void check_store(Verifier *v) {
    const Inst *in = v->in;
    if (!check_addr(v, &in->u.addr) || !check_value(v, in->src[0]))
        return;
    int lanes = in->src[0]->type.lanes;
    check_type(v, in->src[0], ltype(in->u.addr.base->type.dtype, lanes));
    check_inside(v, &in->u.addr, lanes);
}

/* ---- calls ---------------------------------------------------------------------------------- */

static void check_arg(Verifier *v, const Reg *param, const Arg *arg) {
    if (param->kind == REG_VALUE) {
        if (arg->addr.base)
            fault(v, "parameter %s is an integer", param->name);
        else
            check_bound(v, arg->integer);
    } else if (!arg->addr.base) {
        fault(v, "parameter %s is a pointer", param->name);
    } else if (check_addr(v, &arg->addr)) {
        if (arg->addr.base->type.dtype != param->type.dtype)
            fault(v, "parameter %s is %s, the argument is %s", param->name, reg_text(v, param),
                  type_text(v, REG_POINTER, arg->addr.base->type));
        check_inside(v, &arg->addr, 0);
    }
}

static void check_call(Verifier *v) {
    const Kernel *callee = v->in->u.call.callee;
    if (!callee || map_get(&v->callees, callee->name) != callee) {
        fault(v, "what is called does not come before this");
        return;
    }
    if ((size_t)v->in->u.call.nargs != callee->params.len) {
        fault(v, "@%s takes %zu arguments, not %d", callee->name, callee->params.len,
              v->in->u.call.nargs);
        return;
    }
    for (size_t i = 0; i < callee->params.len; i++)
        check_arg(v, callee->params.data[i], &v->in->u.call.args[i]);
}

/* ---- control flow --------------------------------------------------------------------------- */

static void check_block(Verifier *v, const Block *b);

static bool is_register(Verifier *v, const Reg *r) {
    return r && r->kind != REG_BUFFER && is_known(v, r);
}

/* Rounds of `par` may run at the same time: what has a value before the loop keeps it inside. */
static void lock_outer(Verifier *v, size_t n, int by) {
    for (size_t i = 0; v->in->op == INST_par && i < n; i++)
        v->outer[v->log.data[i]] += by;
}

/* The body may run no time at all: what it defines is not defined behind it, and neither is the
 * variable. */
static void check_for(Verifier *v) {
    const Inst *in = v->in;
    check_bound(v, in->u.loop.lo);
    check_bound(v, in->u.loop.hi);
    if (in->u.loop.step < 1)
        fault(v, "the step is %" PRId64, in->u.loop.step);
    if (!check_result(v))
        return;
    int var = in->dst->index,
        hi = is_register(v, in->u.loop.hi.reg) ? in->u.loop.hi.reg->index : var;
    if (hi == var && in->u.loop.hi.reg)
        fault(v, "the loop's variable is its bound");
    size_t mark = v->log.len;
    lock_outer(v, mark, 1);
    define(v, in->dst, ROLE_LOOP);
    v->locked[var]++;
    v->locked[hi]++;
    check_block(v, &in->u.loop.body);
    v->locked[var]--;
    v->locked[hi]--;
    lock_outer(v, mark, -1);
    undefine_since(v, mark);
}

/* Whether a block, or one inside it, assigns r. */
static bool assigns(const Block *b, const Reg *r) {
    for (Inst *in = b->first; in; in = in->next) {
        Block *inner[2];
        int n = inst_blocks(in, inner);
        if (in->dst == r)
            return true;
        for (int i = 0; i < n; i++)
            if (assigns(inner[i], r))
                return true;
    }
    return false;
}

/* Of the condition's value nothing is known, so the body may run no time at all. */
static void check_while(Verifier *v) {
    const Inst *in = v->in;
    if (!check_type(v, in->src[0], ltype(DT_bool, 1)))
        return;
    size_t mark = v->log.len;
    bool before = v->ok;
    v->ok = true;
    check_block(v, &in->u.body);
    undefine_since(v, mark);
    if (v->ok && !assigns(&in->u.body, in->src[0]))
        fault(v, "the loop does not assign its condition %s", in->src[0]->name);
    v->ok = v->ok && before;
}

/* A register has a value behind the branch if both sides gave it one. */
static void check_if(Verifier *v) {
    const Inst *in = v->in;
    check_type(v, in->src[0], ltype(DT_bool, 1));
    size_t mark = v->log.len;
    check_block(v, &in->u.branch.then);
    size_t n = v->log.len - mark;
    int *then = arena_copy(&v->scratch, v->log.data + mark, n * sizeof *then);
    undefine_since(v, mark);
    check_block(v, &in->u.branch.orelse);
    size_t both = 0;
    for (size_t i = 0; i < n; i++)
        if (v->defined[then[i]])
            then[both++] = then[i];
    undefine_since(v, mark);
    for (size_t i = 0; i < both; i++)
        define(v, v->k->regs.data[then[i]], ROLE_OTHER);
}

/* The forms that assign a register and have no blocks. */
static void check_form(Verifier *v) {
    switch (inst_info(v->in->op)->form) {
    case FORM_CONST:
        check_const(v);
        break;
    case FORM_UNARY:
        check_uniform(v, 1);
        break;
    case FORM_BINARY:
    case FORM_COMPARE:
        check_uniform(v, 2);
        break;
    case FORM_TERNARY:
        check_uniform(v, 3);
        break;
    case FORM_SELECT:
        check_select(v);
        break;
    case FORM_SHIFT:
        check_shift(v);
        break;
    case FORM_CONVERT:
        check_convert(v);
        break;
    case FORM_SPLAT:
        check_splat(v);
        break;
    default:
        check_load(v);
        break;
    }
}

static void check_inst(Verifier *v) {
    switch (inst_info(v->in->op)->form) {
    case FORM_STORE:
        check_store(v);
        break;
    case FORM_PREFETCH:
        check_addr(v, &v->in->u.addr);
        break;
    case FORM_CALL:
        check_call(v);
        break;
    case FORM_FOR:
        check_for(v);
        break;
    case FORM_WHILE:
        check_while(v);
        break;
    case FORM_IF:
        check_if(v);
        break;
    default:
        if (check_result(v)) {
            const Reg *d = v->in->dst;
            check_form(v);
            define(v, d, ROLE_OTHER);
        }
        break;
    }
}

static void check_block(Verifier *v, const Block *b) {
    const Inst *outer = v->in, *last = NULL;
    if (++v->depth > MAX_NESTING) {
        fault(v, "more than %d blocks are open", MAX_NESTING);
    } else {
        for (const Inst *in = b->first; in; in = in->next) {
            v->in = in;
            check_inst(v);
            last = in;
        }
        v->in = outer;
        if (b->last != last)
            fault(v, "the end of a block is not where the block says");
    }
    v->in = outer;
    v->depth--;
}

/* ---- kernels -------------------------------------------------------------------------------- */

static void check_reg(Verifier *v, size_t i) {
    const Reg *r = v->k->regs.data[i];
    if (r->index != (int)i)
        fault(v, "register %s has index %d in place %zu", r->name, r->index, i);
    if (map_get(&v->k->names, r->name) != r)
        fault(v, "register name %s is not unique", r->name);
    if (!is_register_name(r->name))
        fault(v, "\"%s\" is no register name", r->name);
    int n = r->type.lanes;
    if (n < 1 || n > MAX_LANES || (n & (n - 1)) || (r->kind != REG_VALUE && n != 1))
        fault(v, "register %s has %d lanes", r->name, n);
    if (r->kind == REG_BUFFER)
        fault(v, "register %s is a buffer", r->name);
}

static void check_param(Verifier *v, size_t i) {
    const Reg *r = v->k->params.data[i];
    if (i >= v->k->regs.len || v->k->regs.data[i] != r)
        fault(v, "parameter %s is not register %zu", r->name, i);
    if (r->kind == REG_VALUE && !ltype_equal(r->type, ltype(DT_i64, 1)))
        fault(v, "parameter %s is %s: neither a pointer nor an i64", r->name, reg_text(v, r));
}

static void check_kernel(Verifier *v, const Kernel *k) {
    v->k = k;
    v->in = NULL;
    v->log.len = 0;
    v->defined = ARENA_ARRAY(&v->scratch, k->regs.len, bool);
    v->locked = ARENA_ARRAY(&v->scratch, k->regs.len, int);
    v->outer = ARENA_ARRAY(&v->scratch, k->regs.len, int);
    v->role = ARENA_ARRAY(&v->scratch, k->regs.len, char);
    bool before = v->ok;
    v->ok = true;
    for (size_t i = 0; i < k->regs.len; i++)
        check_reg(v, i);
    for (size_t i = 0; i < k->params.len; i++)
        check_param(v, i);
    if (v->ok) {
        for (size_t i = 0; i < k->params.len; i++)
            define(v, k->params.data[i], ROLE_OTHER);
        check_block(v, &k->body);
    }
    v->ok = v->ok && before;
    v->k = NULL;
}

static void check_function(Verifier *v, const Kernel *k, KernelKind kind) {
    const char *title = kernel_title(&v->scratch, k);
    if (k->kind != KERNEL_RUN && map_get(&v->m->kernel_names, k->name) != k)
        fault(v, "the name of %s is not unique", title);
    if (k->module != v->m)
        fault(v, "%s belongs to another module", title);
    if (k->kind != kind)
        fault(v, "%s is not where kernels of its kind are", title);
    if (k->kind == KERNEL_RUN && k->params.len)
        fault(v, "%s has parameters", title);
    for (size_t i = 0; k->kind == KERNEL_STEP && i < k->params.len; i++)
        if (k->params.data[i]->kind == REG_POINTER)
            fault(v, "%s has a parameter that is a pointer", title);
    check_kernel(v, k);
}

static void may_be_called(Verifier *v, Kernel *k) {
    map_put(&v->scratch, &v->callees, k->name, k);
}

/* Kernels call those before them, steps call kernels, run calls both. */
static void check_functions(Verifier *v) {
    const Module *m = v->m;
    for (size_t i = 0; i < m->kernels.len; i++) {
        check_function(v, m->kernels.data[i], KERNEL_PLAIN);
        may_be_called(v, m->kernels.data[i]);
    }
    for (size_t i = 0; i < m->steps.len; i++)
        check_function(v, m->steps.data[i], KERNEL_STEP);
    for (size_t i = 0; i < m->steps.len; i++)
        may_be_called(v, m->steps.data[i]);
    check_function(v, m->run, KERNEL_RUN);
}

/* ---- buffers -------------------------------------------------------------------------------- */

/* offset + bytes within `size` bytes, without overflow. */
static void check_place(Verifier *v, const Buffer *b, int64_t size) {
    int64_t bytes, end;
    if (!checked_mul(b->elems, dtype_bytes(b->reg.type.dtype), &bytes) ||
        !checked_add(bytes, b->offset, &end) || end > size)
        fault(v, "buffer %%%s ends behind byte %" PRId64, b->reg.name, size);
    else if (b->offset % dtype_bytes(b->reg.type.dtype) != 0)
        fault(v, "buffer %%%s starts at byte %" PRId64 ", inside an element", b->reg.name,
              b->offset);
}

static bool is_count(const Buffer *b, int64_t number) {
    return b->kind == BUF_OUTPUT && b->offset == number && b->reg.type.dtype == DT_i64 &&
           b->elems == 1;
}

static void check_count(Verifier *v, const Buffer *b) {
    bool found = false;
    for (size_t i = 0; i < v->m->buffers.len; i++)
        found |= is_count(v->m->buffers.data[i], b->count);
    if (!found || b->count_axis < 0 || b->count_axis >= b->shape.rank)
        fault(v, "the count of buffer %%%s is not one i64 output, or its axis isn't there",
              b->reg.name);
}

static void check_argument(Verifier *v, const Buffer *b, int64_t number) {
    if (b->offset != number)
        fault(v, "buffer %%%s is number %" PRId64 ", not %" PRId64, b->reg.name, number, b->offset);
    if (!b->onnx_name)
        fault(v, "buffer %%%s has no ONNX name", b->reg.name);
    if (!shape_valid(&b->shape, b->reg.type.dtype))
        fault(v, "buffer %%%s has no valid shape", b->reg.name);
    else if (shape_elems(&b->shape) != b->elems)
        fault(v, "buffer %%%s has %" PRId64 " elements, its shape %" PRId64, b->reg.name, b->elems,
              shape_elems(&b->shape));
    if (b->count >= 0)
        check_count(v, b);
}

static void check_buffer(Verifier *v, size_t i, int64_t numbers[2]) {
    const Buffer *b = v->m->buffers.data[i];
    if (b->reg.kind != REG_BUFFER || b->reg.index != (int)i || b->reg.type.lanes != 1)
        fault(v, "buffer %%%s is not buffer %zu", b->reg.name, i);
    if (map_get(&v->m->buffer_names, b->reg.name) != b)
        fault(v, "buffer name %%%s is not unique", b->reg.name);
    if (b->kind == BUF_WEIGHTS)
        check_place(v, b, v->m->weights_bytes);
    else if (b->kind == BUF_ARENA)
        check_place(v, b, v->m->arena_bytes);
    else
        check_argument(v, b, numbers[b->kind == BUF_OUTPUT]++);
}

static void check_sizes(Verifier *v) {
    const Module *m = v->m;
    if (m->arena_bytes < 0 || m->weights_bytes < 0)
        fault(v, "a size is negative");
    if (m->weights &&
        (m->weights->dtype != DT_u8 || shape_elems(&m->weights->shape) != m->weights_bytes))
        fault(v, "the weights are not %" PRId64 " bytes", m->weights_bytes);
}

bool module_verify(const Module *m, const char *where, Diag *d) {
    Verifier v = {.m = m, .where = where, .d = d, .ok = true};
    if (!m->target)
        fault(&v, "there is no target");
    check_sizes(&v);
    int64_t numbers[2] = {0, 0};
    for (size_t i = 0; i < m->buffers.len; i++)
        check_buffer(&v, i, numbers);
    check_functions(&v);
    arena_free(&v.scratch);
    return v.ok;
}
