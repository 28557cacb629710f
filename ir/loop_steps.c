/* loop_steps.c: kernels become arrays of steps: registers are offsets into a frame, blocks are
 * jumps, and every instruction has its lane function, so that loop_eval.c looks nothing up. */
#include "ir/loop_eval.h"
#include "ir/loop_internal.h"

#include <string.h>

/* Where the frame of the kernel that is being made keeps a buffer's Pointer. */
typedef struct BufferSlot {
    const Code *code; /* the slot is of this one: others have none yet */
    Slot slot;
} BufferSlot;

typedef struct Compiler {
    Arena *a;
    const Module *m;
    bool flush;
    const Memory *memory; /* by Reg.index of buffers */
    Map codes;            /* kernel name -> Code */
    Code *code;           /* being made */
    BufferSlot *buffers;  /* by Reg.index */
    VEC(int) used;        /* buffers that `code` uses */
} Compiler;

/* ---- slots ---------------------------------------------------------------------------------- */

enum { SLOT_ALIGN = 16 };

static Slot new_slot(Code *code, size_t bytes) {
    size_t at = code->frame_bytes;
    code->frame_bytes = (at + bytes + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
    return (Slot)at;
}

static void give_slots(Compiler *c) {
    const Kernel *k = c->code->kernel;
    c->code->slots = ARENA_ARRAY(c->a, k->regs.len, Slot);
    for (size_t i = 0; i < k->regs.len; i++) {
        LType t = k->regs.data[i]->type;
        bool pointer = k->regs.data[i]->kind == REG_POINTER;
        size_t bytes = pointer ? sizeof(Pointer) : (size_t)(t.lanes * dtype_bytes(t.dtype));
        c->code->slots[i] = new_slot(c->code, bytes);
    }
}

static Slot buffer_slot(Compiler *c, const Reg *r) {
    BufferSlot *b = &c->buffers[r->index];
    if (b->code != c->code) {
        *b = (BufferSlot){c->code, new_slot(c->code, sizeof(Pointer))};
        vec_push(c->a, &c->used, r->index);
    }
    return b->slot;
}

static Slot slot(Compiler *c, const Reg *r) {
    return r->kind == REG_BUFFER ? buffer_slot(c, r) : c->code->slots[r->index];
}

static void fill_buffer_slots(Compiler *c) {
    for (size_t i = 0; i < c->used.len; i++) {
        int index = c->used.data[i];
        Pointer p = {&c->memory[index], 0};
        memcpy(c->code->frame + c->buffers[index].slot, &p, sizeof p);
    }
}

/* ---- operands ------------------------------------------------------------------------------- */

static StepAddr address(Compiler *c, const Addr *a) {
    StepAddr s = {.base = slot(c, a->base), .nterms = a->nterms, .offset = a->offset};
    for (int i = 0; i < a->nterms; i++) {
        s.terms[i].reg = slot(c, a->terms[i].reg);
        s.terms[i].factor = a->terms[i].factor;
    }
    return s;
}

static StepBound bound(Compiler *c, Bound b) {
    return b.reg ? (StepBound){.is_reg = true, .reg = slot(c, b.reg)}
                 : (StepBound){.value = b.value};
}

static uint64_t constant_bits(const Inst *in) {
    DType dt = in->dst->type.dtype;
    return dtype_is_float(dt) ? dtype_bits(dt, in->u.f) : (uint64_t)in->u.i;
}

/* ---- instructions --------------------------------------------------------------------------- */

/* A step whose lanes and element size are those of `typed`. The pointer is good until the next. */
static Step *emit(Compiler *c, StepKind kind, const Inst *in, const Reg *typed) {
    Step s = {.kind = kind, .inst = in, .lanes = 1, .bytes = 1};
    if (typed) {
        s.lanes = typed->type.lanes;
        s.bytes = dtype_bytes(typed->type.dtype);
    }
    if (in && in->dst)
        s.dst = slot(c, in->dst);
    for (int i = 0; in && i < 3; i++)
        if (in->src[i])
            s.src[i] = slot(c, in->src[i]);
    vec_push(c->a, &c->code->steps, s);
    return &c->code->steps.data[c->code->steps.len - 1];
}

static LaneFn *lanes_of(const Compiler *c, const Inst *in) {
    switch (inst_info(in->op)->form) {
    case FORM_CONST:
        return lane_const;
    case FORM_SPLAT:
        return lane_splat;
    case FORM_SELECT:
        return lane_select;
    case FORM_CONVERT:
        return in->op == INST_bitcast
                   ? lane_copy
                   : lane_convert(in->src[0]->type.dtype, in->dst->type.dtype, c->flush);
    default:
        return in->op == INST_mov    ? lane_copy
               : in->op == INST_swap ? lane_swap
                                     : lane_function(in->op, in->src[0]->type.dtype, c->flush);
    }
}

static void emit_lanes(Compiler *c, const Inst *in) {
    if ((in->op == INST_div || in->op == INST_rem) && !dtype_is_float(in->dst->type.dtype))
        emit(c, STEP_TEST, in, in->dst)->u.test = lane_division_test(in->dst->type.dtype);
    Step *s = emit(c, STEP_LANES, in, in->dst);
    s->u.lanes.fn = lanes_of(c, in);
    ensure(s->u.lanes.fn);
    if (in->op == INST_const)
        s->u.lanes.imm = constant_bits(in);
    else if (inst_info(in->op)->form == FORM_SHIFT)
        s->u.lanes.imm = (uint64_t)in->u.i;
}

static void emit_call(Compiler *c, const Inst *in) {
    Code *callee = map_get(&c->codes, in->u.call.callee->name);
    int n = in->u.call.nargs;
    StepArg *args = ARENA_ARRAY(c->a, n, StepArg);
    for (int i = 0; i < n; i++) {
        const Arg *from = &in->u.call.args[i];
        args[i].to = callee->slots[i];
        args[i].is_addr = from->addr.base != NULL;
        if (args[i].is_addr)
            args[i].addr = address(c, &from->addr);
        else
            args[i].integer = bound(c, from->integer);
    }
    Step *s = emit(c, STEP_CALL, in, NULL);
    s->u.call.callee = callee;
    s->u.call.args = args;
    s->u.call.nargs = n;
}

static void emit_block(Compiler *c, const Block *b);

static size_t here(const Compiler *c) {
    return c->code->steps.len;
}

/*    FOR  -> behind NEXT
 *    body
 *    NEXT -> body          */
static void emit_for(Compiler *c, const Inst *in) {
    size_t start = here(c);
    Slot limit = new_slot(c->code, sizeof(int64_t));
    Step *s = emit(c, STEP_FOR, in, NULL);
    s->u.loop.lo = bound(c, in->u.loop.lo);
    s->u.loop.hi = bound(c, in->u.loop.hi);
    s->u.loop.step = in->u.loop.step;
    s->u.loop.limit = limit;
    emit_block(c, &in->u.loop.body);
    s = emit(c, STEP_NEXT, in, NULL);
    s->u.loop.step = in->u.loop.step;
    s->u.loop.limit = limit;
    s->target = start + 1;
    c->code->steps.data[start].target = here(c);
}

/*    UNLESS -> end
 *    body
 *    AGAIN  -> UNLESS      */
static void emit_while(Compiler *c, const Inst *in) {
    size_t start = here(c);
    emit(c, STEP_UNLESS, in, NULL);
    emit_block(c, &in->u.body);
    emit(c, STEP_AGAIN, in, NULL)->target = start;
    c->code->steps.data[start].target = here(c);
}

/*    UNLESS -> else        UNLESS -> end
 *    then                  then
 *    JUMP   -> end
 *    else                                     */
static void emit_if(Compiler *c, const Inst *in) {
    size_t unless = here(c);
    emit(c, STEP_UNLESS, in, NULL);
    emit_block(c, &in->u.branch.then);
    size_t jump = here(c);
    bool has_else = in->u.branch.orelse.first != NULL;
    if (has_else)
        emit(c, STEP_JUMP, NULL, NULL);
    c->code->steps.data[unless].target = here(c);
    emit_block(c, &in->u.branch.orelse);
    if (has_else)
        c->code->steps.data[jump].target = here(c);
}

static void emit_inst(Compiler *c, const Inst *in) {
    switch (inst_info(in->op)->form) {
    case FORM_LOAD:
        emit(c, STEP_LOAD, in, in->dst)->u.addr = address(c, &in->u.addr);
        break;
    case FORM_SPLAT_LOAD:
        emit(c, STEP_SPLAT_LOAD, in, in->dst)->u.addr = address(c, &in->u.addr);
        break;
    case FORM_STORE:
        emit(c, STEP_STORE, in, in->src[0])->u.addr = address(c, &in->u.addr);
        break;
    case FORM_PREFETCH: /* changes nothing */
        break;
    case FORM_LEA:
        emit(c, STEP_LEA, in, in->dst)->u.addr = address(c, &in->u.addr);
        break;
    case FORM_FOR:
        emit_for(c, in);
        break;
    case FORM_WHILE:
        emit_while(c, in);
        break;
    case FORM_IF:
        emit_if(c, in);
        break;
    case FORM_CALL:
        emit_call(c, in);
        break;
    default:
        emit_lanes(c, in);
        break;
    }
}

static void emit_block(Compiler *c, const Block *b) {
    for (const Inst *in = b->first; in; in = in->next)
        emit_inst(c, in);
}

/* ---- kernels -------------------------------------------------------------------------------- */

static Code *compile(Compiler *c, const Kernel *k, Diag *d) {
    Code *code = ARENA_NEW(c->a, Code);
    code->kernel = k;
    c->code = code;
    c->used.len = 0;
    give_slots(c);
    emit_block(c, &k->body);
    emit(c, STEP_RETURN, NULL, NULL);
    if (code->frame_bytes > MAX_FRAME_BYTES) {
        diag_error(d, EXIT_BUDGET, c->m->name, "the registers of %s take %zu bytes",
                   kernel_title(c->a, k), code->frame_bytes);
        return NULL;
    }
    code->frame = arena_alloc(c->a, code->frame_bytes);
    fill_buffer_slots(c);
    map_put(c->a, &c->codes, k->name, code);
    return code;
}

Code *compile_module(Arena *a, const Module *m, const Memory *memory, Diag *d) {
    Compiler c = {.a = a, .m = m, .flush = m->target->flush_to_zero, .memory = memory};
    c.buffers = ARENA_ARRAY(a, m->buffers.len, BufferSlot);
    Code *last = NULL;
    for (size_t i = 0; i < module_function_count(m); i++)
        if (!(last = compile(&c, module_function(m, i), d)))
            return NULL;
    return last;
}
