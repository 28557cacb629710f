/* llvm_output.c: optimisation and machine code. */
#include <llvm-c/Analysis.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <llvm/Config/llvm-config.h>

#include <pthread.h>
#include <string.h>

#include "codegen/llvm_builder.h"

/* ---- the target ------------------------------------------------------------------------------ */

const char *llvm_features(Arena *a, const Target *t) {
    Buf b = {0};
    for (const char *s = t->features; *s; s += strspn(s, ",")) {
        size_t n = strcspn(s, ",");
        buf_printf(&b, "%s+%.*s", b.len ? "," : "", (int)n, s);
        s += n;
    }
    const char *text = arena_strdup(a, buf_str(&b));
    buf_free(&b);
    return text;
}

static LLVMCodeGenOptLevel codegen_level(int opt_level) {
    return opt_level == 0 ? LLVMCodeGenLevelNone : LLVMCodeGenLevelDefault;
}

/* What LLVM gives up at is our fault: modules are checked before. */
static void give_up(const char *reason) {
    die("LLVM %s: %s", emit_llvm_version(), reason);
}

/* Instructions stay in the order of the loop IR, in which a tile takes all registers and no more.
 * LLVM's scheduler, which comes before registers are given out, moves loads up past that. Where
 * LLVM is its shared library, this holds for all that use it in the process. */
static void keep_order(void) {
    static const char *const options[] = {"effnetc", "-enable-misched=false"};
    LLVMParseCommandLineOptions(sizeof options / sizeof *options, options, NULL);
}

static void initialise(void) {
    keep_order();
    LLVMResetFatalErrorHandler();
    LLVMInstallFatalErrorHandler(give_up);
#define C_ARCH(...)
#define ARCH(name, llvm, memory, prefetch, issue, cpu, header, asks, options, test)                \
    LLVMInitialize##llvm##TargetInfo();                                                            \
    LLVMInitialize##llvm##Target();                                                                \
    LLVMInitialize##llvm##TargetMC();                                                              \
    LLVMInitialize##llvm##AsmPrinter();
#include "target/archs.def"
#undef ARCH
#undef C_ARCH
}

void llvm_initialise(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialise);
}

LLVMTargetMachineRef llvm_machine(const Target *t, const LlvmOptions *o, Diag *d) {
    Arena a = {0};
    LLVMTargetRef target;
    char *message = NULL;
    LLVMTargetMachineRef machine = NULL;
    if (!LLVMGetTargetFromTriple(t->triple, &target, &message))
        machine = LLVMCreateTargetMachine(target, t->triple, target_arch(t)->llvm_cpu,
                                          llvm_features(&a, t), codegen_level(o->opt_level),
                                          LLVMRelocPIC, LLVMCodeModelDefault);
    if (!machine) {
        diag_error(d, EXIT_UNSUPPORTED, "effnetc", "this LLVM makes no code for %s", t->triple);
        diag_note(d, "reason", "%s", message ? message : "no such machine");
    }
    LLVMDisposeMessage(message);
    arena_free(&a);
    return machine;
}

/* ---- passes ---------------------------------------------------------------------------------- */

/* Before 18 there is no fixpoint to ask for. */
#if LLVM_VERSION_MAJOR < 18
#define INSTCOMBINE "instcombine"
#else
#define INSTCOMBINE "instcombine<no-verify-fixpoint>"
#endif

/* What pays: registers become values, common subexpressions and constant arithmetic go, what loops
 * do not change leaves them. Kernels come as they should run: nothing is unrolled, vectorised or
 * inlined. */
static const char pipeline[] = "function(sroa,early-cse," INSTCOMBINE ",loop-mssa(licm),early-cse)";

static bool optimise(LBuilder *x, LLVMTargetMachineRef machine, Diag *d) {
    const char *passes = x->options->opt_level ? pipeline : "function(sroa)";
    LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(x->module, passes, machine, o);
    LLVMDisposePassBuilderOptions(o);
    if (!error)
        return true;
    char *message = LLVMGetErrorMessage(error);
    diag_error(d, EXIT_INTERNAL, "effnetc", "LLVM's passes failed: %s", message);
    LLVMDisposeErrorMessage(message);
    return false;
}

/* ---- files ----------------------------------------------------------------------------------- */

static void verify(const LBuilder *x) {
    char *message = NULL;
    if (LLVMVerifyModule(x->module, LLVMReturnStatusAction, &message))
        die("LLVM refuses the module: %s", message);
    LLVMDisposeMessage(message);
}

static void write_ir(const LBuilder *x, Buf *out) {
    char *text = LLVMPrintModuleToString(x->module);
    buf_puts(out, text);
    LLVMDisposeMessage(text);
}

static bool write_code(const LBuilder *x, LLVMTargetMachineRef machine, LlvmFile kind, Buf *out,
                       Diag *d) {
    char *message = NULL;
    LLVMMemoryBufferRef code = NULL;
    LLVMCodeGenFileType type = kind == LLVM_OBJECT ? LLVMObjectFile : LLVMAssemblyFile;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, x->module, type, &message, &code)) {
        diag_error(d, EXIT_INTERNAL, "effnetc", "LLVM makes no code: %s", message);
        LLVMDisposeMessage(message);
        return false;
    }
    buf_write(out, LLVMGetBufferStart(code), LLVMGetBufferSize(code));
    LLVMDisposeMemoryBuffer(code);
    return true;
}

bool llvm_write(LBuilder *x, LLVMTargetMachineRef machine, LlvmFile kind, Buf *out, Diag *d) {
    verify(x);
    if (!optimise(x, machine, d))
        return false;
    if (kind != LLVM_IR)
        return write_code(x, machine, kind, out, d);
    write_ir(x, out);
    return true;
}
