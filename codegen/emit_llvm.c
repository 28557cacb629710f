/* emit_llvm.c: a module to LLVM IR, and from there to the file that is asked for.
 *
 * Functions, their names and order are those of the C that is printed (emit_c.c), so that an object
 * takes the place of NAME.c. The files llvm_*.c and this one alone know LLVM; they are
 * a shared object of their own, which load_llvm.c loads. */
#include "codegen/llvm_builder.h"

static bool has_parts(const LBuilder *x) {
    for (size_t i = 0; i < x->c.funcs.len; i++)
        if (x->c.funcs.data[i]->parts.len)
            return true;
    return false;
}

static void set_up(LBuilder *x, LLVMTargetMachineRef machine) {
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    x->context = LLVMContextCreate();
    x->module = LLVMModuleCreateWithNameInContext(x->c.info->name, x->context);
    x->b = LLVMCreateBuilderInContext(x->context);
    LLVMSetModuleDataLayout(x->module, layout);
    LLVMDisposeTargetData(layout);
    LLVMSetTarget(x->module, x->target->triple);
    LLVMValueRef level = LLVMConstInt(llvm_int(x, 32), 2, false);
    LLVMAddModuleFlag(x->module, LLVMModuleFlagBehaviorWarning, "PIC Level", 9,
                      LLVMValueAsMetadata(level));
}

static void tear_down(LBuilder *x) {
    LLVMDisposeBuilder(x->b);
    LLVMDisposeModule(x->module);
    LLVMContextDispose(x->context);
    arena_free(&x->c.arena);
}

static void build(LBuilder *x) {
    llvm_debug_begin(x);
    if (has_parts(x))
        llvm_parts(x);
    if (x->options->step_hook)
        llvm_hook(x);
    llvm_functions(x);
    llvm_public(x);
    llvm_debug_end(x);
}

static bool emit(Buf *out, const Module *m, const EmitInfo *info, LlvmFile kind,
                 const LlvmOptions *o, Diag *d) {
    LBuilder x = {.options = o, .target = m->target};
    LLVMTargetMachineRef machine = llvm_machine(m->target, o, d);
    if (!machine)
        return false;
    c_prepare(&x.c, m, info);
    set_up(&x, machine);
    build(&x);
    bool ok = llvm_write(&x, machine, kind, out, d);
    tear_down(&x);
    LLVMDisposeTargetMachine(machine);
    return ok;
}

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
