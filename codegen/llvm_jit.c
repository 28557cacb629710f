/* llvm_jit.c: objects loaded into this process, by LLVM's ORC. */
#include <llvm-c/LLJIT.h>

#include <stdlib.h>
#include <string.h>

#include "codegen/llvm_builder.h"

struct LlvmJit {
    LLVMOrcLLJITRef jit;
    const char *where;
    Arena arena;
};

/* True where there is no error; else it goes to d. */
static bool succeeded(LLVMErrorRef error, const char *where, const char *what, Diag *d) {
    if (!error)
        return true;
    char *message = LLVMGetErrorMessage(error);
    diag_error(d, EXIT_INTERNAL, where, "%s: %s", what, message);
    LLVMDisposeErrorMessage(message);
    return false;
}

static bool add_object(LlvmJit *j, const void *object, size_t size, Diag *d) {
    LLVMMemoryBufferRef copy =
        LLVMCreateMemoryBufferWithMemoryRangeCopy(object, size, "object"); /* the JIT's from here */
    LLVMOrcJITDylibRef all = LLVMOrcLLJITGetMainJITDylib(j->jit);
    return succeeded(LLVMOrcLLJITAddObjectFile(j->jit, all, copy), j->where,
                     "the object can't be loaded", d);
}

LlvmJit *llvm_object_open(const void *object, size_t size, const char *where, Diag *d) {
    Arena arena = {0};
    LlvmJit *j = ARENA_NEW(&arena, LlvmJit);
    j->where = arena_strdup(&arena, where);
    j->arena = arena;
    llvm_initialise();
    if (succeeded(LLVMOrcCreateLLJIT(&j->jit, NULL), where, "LLVM can't load code here", d) &&
        add_object(j, object, size, d))
        return j;
    llvm_object_close(j);
    return NULL;
}

bool llvm_object_symbol(LlvmJit *j, const char *name, void *function, Diag *d) {
    LLVMOrcExecutorAddress address = 0;
    if (!succeeded(LLVMOrcLLJITLookup(j->jit, &address, name), j->where, "the object can't be used",
                   d))
        return false;
    uintptr_t pointer = (uintptr_t)address;
    memcpy(function, &pointer, sizeof pointer); /* ISO C has no cast to a function pointer */
    return true;
}

void llvm_object_close(LlvmJit *j) {
    if (!j)
        return;
    if (j->jit)
        LLVMConsumeError(LLVMOrcDisposeLLJIT(j->jit));
    Arena arena = j->arena; /* j itself lies in it */
    arena_free(&arena);
}
