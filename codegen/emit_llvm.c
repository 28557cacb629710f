/* emit_llvm.c: a module to LLVM IR, and from there to the file that is asked for.
 *
 * Functions, their names and order are those of the C that is printed (emit_c.c), so that an object
 * takes the place of NAME.c. For an object they are built in units, a module of LLVM's each, which
 * threads can compile at the same time; llvm_merge.c makes one object of theirs. The files llvm_*.c
 * and this one alone know LLVM; they are a shared object of their own, which load_llvm.c loads. */
#include "codegen/llvm_builder.h"

/* ---- units ----------------------------------------------------------------------------------- */

/* Some of the module's functions, which follow each other, and what comes of them. */
typedef struct Unit {
    size_t first, end; /* of CPrinter.funcs */
    bool ok;
    Diag diag;
} Unit;

typedef struct Emission {
    CPrinter c;
    const LlvmOptions *options;
    LlvmFile kind;
    VEC(Unit) units;
    Buf *files; /* by unit */
} Emission;

static size_t count_insts(const Block *body) {
    size_t n = 0;
    for (const Inst *in = body->first; in; in = in->next) {
        InstForm form = inst_info(in->op)->form;
        n++;
        if (form == FORM_FOR)
            n += count_insts(&in->u.loop.body);
        else if (form == FORM_WHILE)
            n += count_insts(&in->u.body);
        else if (form == FORM_IF)
            n += count_insts(&in->u.branch.then) + count_insts(&in->u.branch.orelse);
    }
    return n;
}

static size_t function_insts(const Emission *e, size_t i) {
    return count_insts(&e->c.funcs.data[i]->kernel->body);
}

/* Splits the functions into units, of instructions enough to be worth a module. By the module
 * alone: what the object is must not depend on threads. */
static void split(Emission *e) {
    enum { UNITS = 16, LEAST = 300 };
    size_t n = e->c.funcs.len, total = 0, insts = 0, first = 0;
    for (size_t i = 0; i < n; i++)
        total += function_insts(e, i);
    size_t enough = total / UNITS > LEAST ? total / UNITS : LEAST;
    for (size_t i = 0; i < n; i++) {
        insts += function_insts(e, i);
        if (insts < enough && i + 1 < n)
            continue;
        vec_push(&e->c.arena, &e->units, ((Unit){.first = first, .end = i + 1}));
        first = i + 1;
        insts = 0;
    }
}

/* A text is one of the whole module. */
static void make_units(Emission *e) {
    if (e->kind == LLVM_OBJECT)
        split(e);
    else
        vec_push(&e->c.arena, &e->units, (Unit){.end = e->c.funcs.len});
    e->files = ARENA_ARRAY(&e->c.arena, e->units.len, Buf);
}

/* ---- one unit -------------------------------------------------------------------------------- */

static void set_up(LBuilder *x, LLVMTargetMachineRef machine) {
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    x->context = LLVMContextCreate();
    x->module = LLVMModuleCreateWithNameInContext(x->c->info->name, x->context);
    x->b = LLVMCreateBuilderInContext(x->context);
    LLVMSetModuleDataLayout(x->module, layout);
    LLVMDisposeTargetData(layout);
    LLVMSetTarget(x->module, x->target->triple);
    llvm_module_flag(x, "PIC Level", 2);
}

static void tear_down(LBuilder *x) {
    LLVMDisposeBuilder(x->b);
    LLVMDisposeModule(x->module);
    LLVMContextDispose(x->context);
    arena_free(&x->arena);
}

/* What calls all others comes last, and the public functions with it. */
static void build(LBuilder *x, const Unit *u) {
    llvm_debug_begin(x);
    llvm_functions(x, u->first, u->end);
    if (u->end == x->c->funcs.len)
        llvm_public(x);
    llvm_debug_end(x);
}

/* The body of a parallel loop over units: everything that is written is the unit's own. */
static void make_unit(void *emission, size_t i) {
    const Emission *e = emission;
    Unit *u = &e->units.data[i];
    LBuilder x = {.c = &e->c,
                  .options = e->options,
                  .target = e->c.m->target,
                  .whole = e->kind != LLVM_OBJECT};
    LLVMTargetMachineRef machine = llvm_machine(x.target, e->options, &u->diag);
    if (!machine)
        return;
    set_up(&x, machine);
    build(&x, u);
    u->ok = llvm_write(&x, machine, e->kind, &e->files[i], &u->diag);
    tear_down(&x);
    LLVMDisposeTargetMachine(machine);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void make_all(Emission *e) {
    const LlvmOptions *o = e->options;
    if (o->parallel_for)
        o->parallel_for(o->pool, e->units.len, make_unit, e);
    else
        for (size_t i = 0; i < e->units.len; i++)
            make_unit(e, i);
}

/* True where all units are there; else d gets the errors of the first that isn't. */
static bool all_made(const Emission *e, Diag *d) {
    for (size_t i = 0; i < e->units.len; i++) {
        const Unit *u = &e->units.data[i];
        if (u->ok)
            continue;
        diag_append(d, &u->diag);
        return false;
    }
    return true;
}

static void put_file(const Emission *e, Buf *out) {
    if (e->kind == LLVM_OBJECT)
        llvm_merge(out, e->files, e->units.len);
    else
        buf_write(out, e->files[0].data, e->files[0].len);
}

static void free_emission(Emission *e) {
    for (size_t i = 0; i < e->units.len; i++) {
        buf_free(&e->files[i]);
        diag_free(&e->units.data[i].diag);
    }
    arena_free(&e->c.arena);
}

static bool emit(Buf *out, const Module *m, const EmitInfo *info, LlvmFile kind,
                 const LlvmOptions *o, Diag *d) {
    Emission e = {.options = o, .kind = kind};
    llvm_initialise();
    c_prepare(&e.c, m, info);
    make_units(&e);
    make_all(&e);
    bool ok = all_made(&e, d);
    if (ok)
        put_file(&e, out);
    free_emission(&e);
    return ok;
}

/* ---- the table of the backend ---------------------------------------------------------------- */

static const char *version(void) {
    static char text[32];
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    snprintf(text, sizeof text, "%u.%u.%u", major, minor, patch);
    return text;
}

const LlvmBackend effnetc_llvm_backend = {
    .effnetc_version = EFFNETC_VERSION,
    .llvm_version = version,
    .emit = emit,
    .jit_open = llvm_object_open,
    .jit_symbol = llvm_object_symbol,
    .jit_close = llvm_object_close,
};
