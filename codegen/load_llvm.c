/* load_llvm.c: the LLVM backend, loaded when it is first needed: LLVM takes 20 MB before it does
 * anything, which who wants C need not pay. emit_llvm.c and llvm_*.c are a shared object of their
 * own, and what emit_llvm.h declares is forwarded to it here. */
#include <dlfcn.h>

#include <pthread.h>
#include <string.h>

#include "codegen/emit_llvm.h"

/* Found as all shared objects: the build's folder and the installed one are in the run path. */
static const char file_name[] = "effnetc-llvm.so";

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const LlvmBackend *backend; /* NULL: there is none */
static char problem[512];          /* why there is none */

static void load(void) {
    void *handle = dlopen(file_name, RTLD_NOW | RTLD_LOCAL); /* never closed: LLVM stays */
    const LlvmBackend *found = handle ? dlsym(handle, "effnetc_llvm_backend") : NULL;
    if (!found)
        snprintf(problem, sizeof problem, "%s", dlerror());
    else if (strcmp(found->effnetc_version, EFFNETC_VERSION) != 0)
        snprintf(problem, sizeof problem, "%s is of effnetc %s, and this is %s", file_name,
                 found->effnetc_version, EFFNETC_VERSION);
    else
        backend = found;
    loaded_release(backend); /* what LLVM's initialisers read isn't read again */
}

static const LlvmBackend *find(void) {
    pthread_once(&once, load);
    return backend;
}

bool emit_llvm_available(void) {
    return find() != NULL;
}

bool emit_llvm_require(Diag *d) {
    if (find())
        return true;
    diag_error(d, EXIT_UNSUPPORTED, "effnetc", "there is no LLVM backend: %s", problem);
    diag_note(d, "help",
              "--emit=c and --backend=c do without, with a C compiler; or build effnetc with "
              "LLVM 16 or later installed (cmake -DEFFNETC_LLVM=ON)");
    return false;
}

const char *emit_llvm_version(void) {
    return find() ? backend->llvm_version() : "";
}

const void *emit_llvm_address(void) {
    return find();
}

static bool makes_code_for(const Target *t, Diag *d) {
    if (target_arch(t)->llvm_cpu)
        return true;
    diag_error(d, EXIT_UNSUPPORTED, "effnetc", "the LLVM backend makes no code for %s", t->name);
    diag_note(d, "help", "--emit=c, and compile that with clang --target=%s %s",
              target_arch(t)->name, t->c_flags);
    return false;
}

bool emit_llvm(Buf *out, const Module *m, const EmitInfo *info, LlvmFile kind, const LlvmOptions *o,
               Diag *d) {
    return makes_code_for(m->target, d) && emit_llvm_require(d) &&
           backend->emit(out, m, info, kind, o, d);
}

LlvmJit *llvm_jit_open(const void *object, size_t size, const char *where, Diag *d) {
    return emit_llvm_require(d) ? backend->jit_open(object, size, where, d) : NULL;
}

bool llvm_jit_symbol(LlvmJit *j, const char *name, void *function, Diag *d) {
    return emit_llvm_require(d) && backend->jit_symbol(j, name, function, d);
}

void llvm_jit_close(LlvmJit *j) {
    if (j)
        backend->jit_close(j);
}
