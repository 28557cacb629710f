/* no_llvm.c: a build without LLVM (-DEFFNETC_LLVM=OFF) has this in the place of llvm_*.c. */
#include "codegen/emit_llvm.h"

bool emit_llvm_require(Diag *d) {
    diag_error(d, EXIT_UNSUPPORTED, "effnetc", "this effnetc was built without LLVM");
    diag_note(d, "help",
              "--emit=c, and a C compiler makes it from that; or build effnetc with "
              "LLVM 16 or later installed (cmake -DEFFNETC_LLVM=ON)");
    return false;
}

bool emit_llvm_available(void) {
    return false;
}

const char *emit_llvm_version(void) {
    return "";
}

bool emit_llvm(Buf *out, const Module *m, const EmitInfo *info, LlvmFile kind, const LlvmOptions *o,
               Diag *d) {
    (void)out, (void)m, (void)info, (void)kind, (void)o;
    return emit_llvm_require(d);
}

LlvmJit *llvm_jit_open(const void *object, size_t size, const char *where, Diag *d) {
    (void)object, (void)size, (void)where;
    emit_llvm_require(d);
    return NULL;
}

bool llvm_jit_symbol(LlvmJit *j, const char *name, void *function, Diag *d) {
    (void)j, (void)name, (void)function;
    return emit_llvm_require(d);
}

void llvm_jit_close(LlvmJit *j) {
    (void)j;
}
