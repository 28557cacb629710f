/* llvm_block.c: kernels, steps, their parts and the body of run.
 *
 * A register is a slot of the stack until LLVM's mem2reg makes values of them. Loops are built with
 * the test behind the body, as the optimiser wants them. */
#include "codegen/llvm_builder.h"

#include <string.h>

/* ---- operands -------------------------------------------------------------------------------- */

static LLVMTypeRef reg_type(const LBuilder *x, const Reg *r) {
    return r->kind == REG_VALUE ? llvm_type(x, r->type) : llvm_ptr(x);
}

static LLVMValueRef get(LBuilder *x, const Reg *r) {
    if (r->kind == REG_BUFFER)
        return x->buffers[r->index];
    const Inst *constant = c_var(x->func, r)->constant;
    if (constant)
        return llvm_size(x, constant->u.i);
    return LLVMBuildLoad2(x->b, reg_type(x, r), x->slots[r->index], "");
}

static void set(LBuilder *x, const Reg *r, LLVMValueRef value) {
    LLVMBuildStore(x->b, value, x->slots[r->index]);
}

static LLVMValueRef bound(LBuilder *x, const Bound *b) {
    return b->reg ? get(x, b->reg) : llvm_size(x, b->value);
}

/* The sum of the registers of an address, in elements; NULL for none. */
static LLVMValueRef variable_offset(LBuilder *x, const Addr *a) {
    LLVMValueRef sum = NULL;
    for (int i = 0; i < a->nterms; i++) {
        LLVMValueRef term = get(x, a->terms[i].reg);
        if (a->terms[i].factor != 1)
            term = LLVMBuildNSWMul(x->b, term, llvm_size(x, a->terms[i].factor), "");
        sum = sum ? LLVMBuildNSWAdd(x->b, sum, term, "") : term;
    }
    return sum;
}

/* The constant is added last: a step of its own that becomes a part of the instruction which reads
 * or writes there. Summed up with what a loop does not change, it would leave that loop: a register
 * for each address. `within`: the element is one of its object; what lies between need not be. */
static LLVMValueRef address(LBuilder *x, const Addr *a, bool within) {
    LLVMValueRef sum = variable_offset(x, a), last = llvm_size(x, a->offset), p = get(x, a->base);
    LLVMTypeRef type = llvm_type(x, ltype(a->base->type.dtype, 1));
    if (sum)
        p = within && !a->offset ? LLVMBuildInBoundsGEP2(x->b, type, p, &sum, 1, "")
                                 : LLVMBuildGEP2(x->b, type, p, &sum, 1, "");
    if (!a->offset)
        return p;
    return within && !sum ? LLVMBuildInBoundsGEP2(x->b, type, p, &last, 1, "")
                          : LLVMBuildGEP2(x->b, type, p, &last, 1, "");
}

/* Where an element is that is read or written. */
static LLVMValueRef element(LBuilder *x, const Addr *a) {
    return address(x, a, true);
}

/* Any address. */
static LLVMValueRef pointer(LBuilder *x, const Addr *a) {
    return address(x, a, false);
}

/* ---- instructions ---------------------------------------------------------------------------- */

/* A vector may start at any element. */
static LLVMValueRef load(LBuilder *x, LType t, const Addr *a) {
    LLVMValueRef v = LLVMBuildLoad2(x->b, llvm_type(x, t), element(x, a), "");
    LLVMSetAlignment(v, (unsigned)dtype_bytes(t.dtype));
    return v;
}

static void build_store_inst(LBuilder *x, const Inst *in) {
    LLVMValueRef v = LLVMBuildStore(x->b, get(x, in->src[0]), element(x, &in->u.addr));
    LLVMSetAlignment(v, (unsigned)dtype_bytes(in->src[0]->type.dtype));
}

/* To be read. Locality 3 is the first cache, 2 the second. */
static void prefetch(LBuilder *x, const Inst *in) {
    LLVMTypeRef type = llvm_ptr(x);
    int cache = target_prefetch_cache(x->target);
    LLVMValueRef v[] = {pointer(x, &in->u.addr), llvm_i32(x, 0), llvm_i32(x, 4 - cache),
                        llvm_i32(x, 1)};
    if (cache)
        llvm_intrinsic(x, "llvm.prefetch", &type, 1, v, 4);
}

static void assign(LBuilder *x, const Inst *in) {
    LLVMValueRef v[3] = {NULL};
    for (int i = 0; i < 3 && in->src[i]; i++)
        v[i] = get(x, in->src[i]);
    set(x, in->dst, llvm_inst(x, in, v));
}

/* A kernel, step or the body of run: of this unit, or, declared, of one before. Its parameters are
 * the function's own, behind the job where it has one. */
static LLVMValueRef function_of(LBuilder *x, const CFunc *f) {
    const Kernel *k = f->kernel;
    LLVMValueRef known = map_get(&x->functions, f->name);
    LLVMTypeRef *params = ARENA_ARRAY(&x->arena, k->params.len + 1, LLVMTypeRef);
    size_t n = 0;
    if (known)
        return known;
    if (k->kind != KERNEL_PLAIN)
        params[n++] = llvm_ptr(x);
    for (size_t i = 0; i < k->params.len; i++)
        params[n++] = reg_type(x, k->params.data[i]);
    LLVMTypeRef result = LLVMVoidTypeInContext(x->context);
    LLVMValueRef new = llvm_function(x, f->name, result, params, n, false);
    map_put(&x->arena, &x->functions, f->name, new);
    return new;
}

static void call(LBuilder *x, const Inst *in) {
    const CFunc *callee = map_get(&x->c->by_name, in->u.call.callee->name);
    bool step = callee->kernel->kind == KERNEL_STEP;
    LLVMValueRef *v = ARENA_ARRAY(&x->arena, in->u.call.nargs + 1, LLVMValueRef);
    size_t n = 0;
    if (step)
        v[n++] = x->job;
    for (int i = 0; i < in->u.call.nargs; i++) {
        const Arg *arg = &in->u.call.args[i];
        v[n++] = arg->addr.base ? pointer(x, &arg->addr) : bound(x, &arg->integer);
    }
    llvm_call(x, function_of(x, callee), v, n);
    if (step)
        llvm_step_done(x, callee->step);
}

/* ---- control flow ---------------------------------------------------------------------------- */

static void block(LBuilder *x, const Block *body);

static void branch_to(LBuilder *x, LLVMBasicBlockRef to) {
    LLVMBuildBr(x->b, to);
    llvm_at(x, to);
}

static void build_loop(LBuilder *x, const Inst *in) {
    LLVMBasicBlockRef body = llvm_block(x, in->dst->name), end = llvm_block(x, "end");
    LLVMValueRef lo = bound(x, &in->u.loop.lo), hi = bound(x, &in->u.loop.hi);
    set(x, in->dst, lo);
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, lo, hi, ""), body, end);
    llvm_at(x, body);
    block(x, &in->u.loop.body);
    LLVMValueRef next = LLVMBuildNSWAdd(x->b, get(x, in->dst), llvm_size(x, in->u.loop.step), "");
    set(x, in->dst, next);
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, next, hi, ""), body, end);
    llvm_at(x, end);
}

/* How many rounds a loop has. */
static LLVMValueRef rounds(LBuilder *x, const Inst *in) {
    LLVMValueRef lo = bound(x, &in->u.loop.lo), hi = bound(x, &in->u.loop.hi);
    LLVMValueRef some = LLVMBuildICmp(x->b, LLVMIntSGT, hi, lo, "");
    LLVMValueRef last = LLVMBuildSub(x->b, LLVMBuildSub(x->b, hi, lo, ""), llvm_size(x, 1), "");
    LLVMValueRef n = LLVMBuildUDiv(x->b, last, llvm_size(x, in->u.loop.step), "");
    n = LLVMBuildAdd(x->b, n, llvm_size(x, 1), "");
    return LLVMBuildSelect(x->b, some, n, llvm_size(x, 0), "");
}

/* What a part is given: the job, or a struct of it and what the part captures. */
static LLVMTypeRef closure_type(LBuilder *x, const CFunc *part) {
    size_t n = part->captured.len;
    LLVMTypeRef *fields = ARENA_ARRAY(&x->arena, n + 1, LLVMTypeRef);
    fields[0] = llvm_ptr(x);
    for (size_t i = 0; i < n; i++)
        fields[i + 1] = reg_type(x, part->captured.data[i]);
    return LLVMStructTypeInContext(x->context, fields, (unsigned)n + 1, false);
}

static LLVMValueRef field(LBuilder *x, LLVMTypeRef type, LLVMValueRef closure, size_t i) {
    return LLVMBuildStructGEP2(x->b, type, closure, (unsigned)i, "");
}

/* A slot of the function: in its first block, before everything else. */
static LLVMValueRef slot(LBuilder *x, LLVMTypeRef type, const char *name) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(x->b), entry = LLVMGetEntryBasicBlock(x->function);
    LLVMValueRef first = LLVMGetFirstInstruction(entry);
    if (first)
        LLVMPositionBuilderBefore(x->b, first);
    else
        llvm_at(x, entry);
    LLVMValueRef v = LLVMBuildAlloca(x->b, type, name);
    llvm_at(x, here);
    return v;
}

static LLVMValueRef closure_of(LBuilder *x, const CFunc *part) {
    if (!part->captured.len)
        return x->job;
    LLVMTypeRef type = closure_type(x, part);
    LLVMValueRef closure = slot(x, type, "closure");
    LLVMBuildStore(x->b, x->job, field(x, type, closure, 0));
    for (size_t i = 0; i < part->captured.len; i++)
        LLVMBuildStore(x->b, get(x, part->captured.data[i]), field(x, type, closure, i + 1));
    return closure;
}

/* NAME_parts(job->pool, rounds, part, closure) */
static void run_parts(LBuilder *x, const CFunc *part, const Inst *in) {
    LLVMValueRef v[] = {llvm_pool(x), rounds(x, in), map_get(&x->functions, part->name),
                        closure_of(x, part)};
    llvm_call(x, llvm_parts(x), v, 4);
}

static void build_while_inst(LBuilder *x, const Inst *in) {
    LLVMBasicBlockRef test = llvm_block(x, "while"), body = llvm_block(x, "body");
    LLVMBasicBlockRef end = llvm_block(x, "end");
    branch_to(x, test);
    LLVMBuildCondBr(x->b, llvm_condition(x, get(x, in->src[0])), body, end);
    llvm_at(x, body);
    block(x, &in->u.body);
    LLVMBuildBr(x->b, test);
    llvm_at(x, end);
}

static void build_if_inst(LBuilder *x, const Inst *in) {
    LLVMBasicBlockRef then = llvm_block(x, "then"), orelse = llvm_block(x, "else");
    LLVMBasicBlockRef end = llvm_block(x, "end");
    LLVMBuildCondBr(x->b, llvm_condition(x, get(x, in->src[0])), then, orelse);
    llvm_at(x, then);
    block(x, &in->u.branch.then);
    LLVMBuildBr(x->b, end);
    llvm_at(x, orelse);
    block(x, &in->u.branch.orelse);
    branch_to(x, end);
}

static void statement(LBuilder *x, const Inst *in) {
    const CFunc *part;
    switch (inst_info(in->op)->form) {
    case FORM_LOAD:
        set(x, in->dst, load(x, in->dst->type, &in->u.addr));
        break;
    case FORM_SPLAT_LOAD: {
        LLVMValueRef one = load(x, ltype(in->dst->type.dtype, 1), &in->u.addr);
        set(x, in->dst, llvm_splat(x, in->dst->type, one));
        break;
    }
    case FORM_STORE:
        build_store_inst(x, in);
        break;
    case FORM_PREFETCH:
        prefetch(x, in);
        break;
    case FORM_LEA:
        set(x, in->dst, pointer(x, &in->u.addr));
        break;
    case FORM_CALL:
        call(x, in);
        break;
    case FORM_FOR:
        part = c_part(x->func, in);
        if (part)
            run_parts(x, part, in);
        else
            build_loop(x, in);
        break;
    case FORM_WHILE:
        build_while_inst(x, in);
        break;
    case FORM_IF:
        build_if_inst(x, in);
        break;
    default:
        if (!c_var(x->func, in->dst)->constant)
            assign(x, in);
        break;
    }
}

static void block(LBuilder *x, const Block *body) {
    for (const Inst *in = body->first; in; in = in->next) {
        llvm_debug_at(x, in);
        statement(x, in);
    }
}

/* ---- functions ------------------------------------------------------------------------------- */

/* Slots for the registers, pointers of the buffers that the function uses. */
static void begin(LBuilder *x, LLVMValueRef function, CFunc *f) {
    const Kernel *k = f->kernel;
    llvm_begin(x, function);
    x->func = f;
    llvm_debug_function(x);
    x->slots = ARENA_ARRAY(&x->arena, k->regs.len + 1, LLVMValueRef);
    for (size_t i = 0; i < k->regs.len; i++)
        if (f->regs[i].used || i < k->params.len)
            x->slots[i] =
                LLVMBuildAlloca(x->b, reg_type(x, k->regs.data[i]), k->regs.data[i]->name);
}

static void end(LBuilder *x) {
    for (size_t i = 0; i < x->func->uses.len; i++)
        x->buffers[x->func->uses.data[i].buffer->reg.index] = NULL;
    LLVMBuildRetVoid(x->b);
    x->job = NULL;
}

static void use_buffers(LBuilder *x, const CFunc *f) {
    for (size_t i = 0; i < f->uses.len; i++) {
        const Buffer *b = f->uses.data[i].buffer;
        x->buffers[b->reg.index] = llvm_buffer(x, b);
    }
}

static void kernel(LBuilder *x, CFunc *f) {
    const Kernel *k = f->kernel;
    unsigned n = 0;
    begin(x, function_of(x, f), f);
    if (k->kind != KERNEL_PLAIN)
        x->job = LLVMGetParam(x->function, n++);
    for (size_t i = 0; i < k->params.len; i++)
        set(x, k->params.data[i], LLVMGetParam(x->function, n++));
    use_buffers(x, f);
    block(x, c_body(f));
    end(x);
}

/* Where the closure has them: the job, the captured registers; then the loop's variable. */
static void part_locals(LBuilder *x, const CFunc *f) {
    const Inst *in = f->par;
    LLVMValueRef context = LLVMGetParam(x->function, 0), i = LLVMGetParam(x->function, 1);
    LLVMTypeRef type = closure_type(x, f);
    x->job = f->captured.len ? LLVMBuildLoad2(x->b, llvm_ptr(x), context, "") : context;
    for (size_t k = 0; k < f->captured.len; k++) {
        const Reg *r = f->captured.data[k];
        set(x, r, LLVMBuildLoad2(x->b, reg_type(x, r), field(x, type, context, k + 1), ""));
    }
    if (!c_var(f, in->dst)->read)
        return;
    i = LLVMBuildNSWMul(x->b, i, llvm_size(x, in->u.loop.step), "");
    set(x, in->dst, LLVMBuildNSWAdd(x->b, bound(x, &in->u.loop.lo), i, ""));
}

static void part(LBuilder *x, CFunc *f) {
    LLVMTypeRef params[] = {llvm_ptr(x), llvm_int(x, 64)};
    LLVMTypeRef result = LLVMVoidTypeInContext(x->context);
    LLVMValueRef function = llvm_function(x, f->name, result, params, 2, false);
    map_put(&x->arena, &x->functions, f->name, function);
    begin(x, function, f);
    part_locals(x, f);
    use_buffers(x, f);
    block(x, c_body(f));
    end(x);
}

void llvm_functions(LBuilder *x, size_t first, size_t end) {
    x->buffers = ARENA_ARRAY(&x->arena, x->c->m->buffers.len + 1, LLVMValueRef);
    for (size_t i = first; i < end; i++) {
        CFunc *f = x->c->funcs.data[i];
        for (size_t k = 0; k < f->parts.len; k++)
            part(x, f->parts.data[k]);
        kernel(x, f);
    }
}
