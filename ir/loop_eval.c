/* loop_eval.c: runs a module: the oracle for what printers make of it. Slow and careful where
 * memory is touched; everything else was decided by loop_steps.c. */
#include "ir/loop_eval.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- faults of the program that runs -------------------------------------------------------- */

/* Says which instruction step s is, and which calls of `run` led there. Always false. */
static bool note_place(Diag *d, const Code *code, const Step *s) {
    const char *label = "instruction";
    for (;; s = &code->caller->steps.data[code->return_to - 1], code = code->caller) {
        Buf text = {0};
        inst_print(&text, s->inst);
        diag_note(d, label, "%s", buf_str(&text));
        buf_free(&text);
        label = "called by";
        if (!code->caller)
            return false;
    }
}

/* Reports what went wrong at step s. Always false. */
static bool fault(Diag *d, const Code *code, const Step *s, const char *fmt, ...) PRINTF_LIKE(4, 5);

static bool fault(Diag *d, const Code *code, const Step *s, const char *fmt, ...) {
    Arena a = {0};
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(&a, fmt, ap);
    va_end(ap);
    diag_error(d, EXIT_INTERNAL, code->kernel->module->name, "%s: %s",
               kernel_title(&a, code->kernel), what);
    arena_free(&a);
    return note_place(d, code, s);
}

static bool out_of_fuel(Diag *d, const Code *code, const Step *s) {
    diag_error(
        d, EXIT_BUDGET, code->kernel->module->name,
        "the program does not end within the rounds of loops and the calls that it may take");
    return note_place(d, code, s);
}

static bool outside(Diag *d, const Code *code, const Step *s, Pointer p, int64_t count) {
    const Buffer *b = p.memory->buffer;
    if (count == 1)
        return fault(d, code, s,
                     "element %" PRId64 " is outside %%%s, which has %" PRId64 " elements",
                     p.offset, b->reg.name, b->elems);
    return fault(d, code, s,
                 "elements %" PRId64 " to %" PRId64 " are not all inside %%%s, which has %" PRId64
                 " elements",
                 p.offset, (int64_t)((uint64_t)p.offset + (uint64_t)count - 1), b->reg.name,
                 b->elems);
}

/* ---- memory --------------------------------------------------------------------------------- */

static int64_t read_i64(const unsigned char *regs, Slot slot) {
    int64_t x;
    memcpy(&x, regs + slot, sizeof x);
    return x;
}

static void write_i64(unsigned char *regs, Slot slot, int64_t x) {
    memcpy(regs + slot, &x, sizeof x);
}

static int64_t bound(const unsigned char *regs, const StepBound *b) {
    return b->is_reg ? read_i64(regs, b->reg) : b->value;
}

static Pointer address(const unsigned char *regs, const StepAddr *a) {
    Pointer p;
    memcpy(&p, regs + a->base, sizeof p);
    uint64_t offset = (uint64_t)p.offset + (uint64_t)a->offset;
    for (int i = 0; i < a->nterms; i++)
        offset += (uint64_t)a->terms[i].factor * (uint64_t)read_i64(regs, a->terms[i].reg);
    memcpy(&p.offset, &offset, sizeof offset);
    return p;
}

static bool is_read_only(const Buffer *b) {
    return b->kind == BUF_INPUT || b->kind == BUF_WEIGHTS;
}

/* The memory of `count` elements at the address of s; NULL where one of them is outside, or where
 * a store must not go. */
static unsigned char *access(Diag *d, const Code *code, const Step *s, int64_t count) {
    Pointer p = address(code->frame, &s->u.addr);
    const Buffer *b = p.memory->buffer;
    if (p.offset < 0 || p.offset > b->elems - count)
        outside(d, code, s, p, count);
    else if (s->kind == STEP_STORE && is_read_only(b))
        fault(d, code, s, "%%%s is only for reading", b->reg.name);
    else
        return p.memory->data + p.offset * s->bytes;
    return NULL;
}

/* memcpy of the sizes that vectors have, which compilers turn into moves. */
static void copy(unsigned char *to, const unsigned char *from, int n) {
    switch (n) {
    case 4:
        memcpy(to, from, 4);
        break;
    case 16:
        memcpy(to, from, 16);
        break;
    case 32:
        memcpy(to, from, 32);
        break;
    case 64:
        memcpy(to, from, 64);
        break;
    default:
        memcpy(to, from, (size_t)n);
        break;
    }
}

static bool load(Diag *d, Code *code, const Step *s) {
    const unsigned char *from = access(d, code, s, s->lanes);
    if (from)
        copy(code->frame + s->dst, from, s->lanes * s->bytes);
    return from != NULL;
}

static bool splat_load(Diag *d, Code *code, const Step *s) {
    const unsigned char *from = access(d, code, s, 1);
    unsigned char *to = code->frame + s->dst;
    for (int i = 0; from && i < s->lanes; i++)
        copy(to + i * s->bytes, from, s->bytes);
    return from != NULL;
}

static bool store(Diag *d, Code *code, const Step *s) {
    unsigned char *to = access(d, code, s, s->lanes);
    if (to)
        copy(to, code->frame + s->src[0], s->lanes * s->bytes);
    return to != NULL;
}

static void lea(unsigned char *regs, const Step *s) {
    Pointer p = address(regs, &s->u.addr);
    memcpy(regs + s->dst, &p, sizeof p);
}

/* ---- control -------------------------------------------------------------------------------- */

/* Starts a loop; false where it has no round. */
static bool loop_start(unsigned char *regs, const Step *s) {
    int64_t lo = bound(regs, &s->u.loop.lo), hi = bound(regs, &s->u.loop.hi);
    write_i64(regs, s->dst, lo);
    write_i64(regs, s->u.loop.limit, hi);
    return lo < hi;
}

/* Steps a loop whose variable is below its limit; false behind the last round. */
static bool loop_next(unsigned char *regs, const Step *s) {
    int64_t i = read_i64(regs, s->dst), limit = read_i64(regs, s->u.loop.limit);
    if ((uint64_t)limit - (uint64_t)i <= (uint64_t)s->u.loop.step)
        return false;
    write_i64(regs, s->dst, i + s->u.loop.step);
    return true;
}

static Code *enter(Code *caller, const Step *s, size_t return_to) {
    Code *callee = s->u.call.callee;
    for (int i = 0; i < s->u.call.nargs; i++) {
        const StepArg *arg = &s->u.call.args[i];
        if (arg->is_addr) {
            Pointer p = address(caller->frame, &arg->addr);
            memcpy(callee->frame + arg->to, &p, sizeof p);
        } else {
            write_i64(callee->frame, arg->to, bound(caller->frame, &arg->integer));
        }
    }
    callee->caller = caller;
    callee->return_to = return_to;
    return callee;
}

/* Who looks at the steps of a run, and what it computes in. */
typedef struct Watched {
    const StepWatch *watch; /* NULL: nobody */
    const Module *module;
    const void *arena;
} Watched;

static void step_done(const Watched *w, const Kernel *k) {
    if (!w->watch || k->kind != KERNEL_STEP)
        return;
    size_t step = 0;
    while (w->module->steps.data[step] != k)
        step++;
    w->watch->done(w->watch->context, (int)step, w->arena);
}

/* Runs code, and what it calls, to its end. Rounds and calls take one of `fuel` each. */
static bool execute(Code *code, const Watched *w, int64_t fuel, Diag *d) {
    size_t pc = 0;
    bool ok = true;
    while (ok) {
        const Step *s = &code->steps.data[pc++];
        unsigned char *regs = code->frame;
        switch (s->kind) {
        case STEP_LANES:
            s->u.lanes.fn(regs, s);
            break;
        case STEP_LOAD:
            ok = load(d, code, s);
            break;
        case STEP_SPLAT_LOAD:
            ok = splat_load(d, code, s);
            break;
        case STEP_STORE:
            ok = store(d, code, s);
            break;
        case STEP_LEA:
            lea(regs, s);
            break;
        case STEP_TEST:
            ok = s->u.test(regs, s) || fault(d, code, s, "the division has no quotient");
            break;
        case STEP_FOR:
            pc = loop_start(regs, s) ? pc : s->target;
            break;
        case STEP_NEXT:
            pc = loop_next(regs, s) ? s->target : pc;
            ok = --fuel > 0 || out_of_fuel(d, code, s);
            break;
        case STEP_AGAIN:
            pc = s->target;
            ok = --fuel > 0 || out_of_fuel(d, code, s);
            break;
        case STEP_UNLESS:
            pc = regs[s->src[0]] ? pc : s->target;
            break;
        case STEP_JUMP:
            pc = s->target;
            break;
        case STEP_CALL:
            ok = --fuel > 0 || out_of_fuel(d, code, s);
            code = enter(code, s, pc);
            pc = 0;
            break;
        case STEP_RETURN:
            if (!code->caller)
                return true;
            step_done(w, code->kernel);
            pc = code->return_to;
            code = code->caller;
            break;
        }
    }
    return false;
}

/* ---- modules -------------------------------------------------------------------------------- */

/* All bits set: NaN for every float, -1 or the greatest number for integers. */
enum { POISON = 0xff };

static unsigned char *poisoned_output(const Buffer *b, void *data) {
    if (b->elems > 0)
        memset(data, POISON, (size_t)(b->elems * dtype_bytes(b->reg.type.dtype)));
    return data;
}

static bool has_weights(const Module *m, Diag *d) {
    if (m->weights_bytes == 0 || (m->weights && m->weights->data))
        return true;
    diag_error(d, EXIT_BAD_MODEL, m->name, "the weights are missing");
    diag_note(d, "reason", "an IR text holds only their hash");
    diag_note(d, "help", "keep the dump's folder `constants` beside the file");
    return false;
}

static Memory *place_buffers(Arena *a, const Module *m, const void *const *inputs,
                             void *const *outputs, unsigned char *arena) {
    Memory *memory = ARENA_ARRAY(a, m->buffers.len, Memory);
    for (size_t i = 0; i < m->buffers.len; i++) {
        const Buffer *b = m->buffers.data[i];
        memory[i].buffer = b;
        if (b->kind == BUF_INPUT)
            memory[i].data = (unsigned char *)inputs[b->offset]; /* store() refuses it */
        else if (b->kind == BUF_OUTPUT)
            memory[i].data = poisoned_output(b, outputs[b->offset]);
        else if (b->kind == BUF_ARENA)
            memory[i].data = arena + b->offset;
        else
            memory[i].data = (unsigned char *)m->weights->data + b->offset; /* and it, too */
    }
    return memory;
}

static bool eval(const Module *m, const void *const *inputs, void *const *outputs,
                 const StepWatch *watch, int64_t fuel, Diag *d) {
    if (!module_verify(m, m->name, d) || !has_weights(m, d))
        return false;
    size_t arena_bytes = (size_t)m->arena_bytes;
    unsigned char *memory = malloc(arena_bytes + 1);
    if (!memory) {
        diag_error(d, EXIT_BUDGET, m->name, "there is no memory for an arena of %zu bytes",
                   arena_bytes);
        return false;
    }
    memset(memory, POISON, arena_bytes);
    Arena a = {0};
    Code *run = compile_module(&a, m, place_buffers(&a, m, inputs, outputs, memory), d);
    bool ok = run && execute(run, &(Watched){watch, m, memory}, fuel, d);
    arena_free(&a);
    free(memory);
    return ok;
}

bool module_eval(const Module *m, const void *const *inputs, void *const *outputs, Diag *d) {
    return eval(m, inputs, outputs, NULL, EVAL_FUEL, d);
}

bool module_eval_fuel(const Module *m, const void *const *inputs, void *const *outputs,
                      int64_t fuel, Diag *d) {
    return eval(m, inputs, outputs, NULL, fuel, d);
}

bool module_eval_watched(const Module *m, const void *const *inputs, void *const *outputs,
                         const StepWatch *watch, Diag *d) {
    return eval(m, inputs, outputs, watch, EVAL_FUEL, d);
}
