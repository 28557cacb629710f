/* emit_llvm.c: a module to LLVM IR, and from there to the file that is asked for.
 *
 * Functions, their names and order are those of the C that is printed (emit_c.c), so that an object
 * takes the place of NAME.c. The files llvm_*.c and this one alone know LLVM. */
#include "codegen/llvm_builder.h"

bool emit_llvm_available(void) {
    return true;
}

bool emit_llvm_require(Diag *d) {
    (void)d;
    return true;
}

const char *emit_llvm_version(void) {
    return EFFNETC_LLVM_VERSION;
}

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

bool emit_llvm(Buf *out, const Module *m, const EmitInfo *info, LlvmFile kind, const LlvmOptions *o,
               Diag *d) {
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
