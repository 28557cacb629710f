/* emit_llvm.h: loop IR to native code through LLVM. What it declares is in load_llvm.c, which loads
 * the backend, a shared object, when it is first needed, and reports an error where there is none:
 * in a build without LLVM. */
#ifndef EFFNETC_CODEGEN_EMIT_LLVM_H
#define EFFNETC_CODEGEN_EMIT_LLVM_H

#include "codegen/codegen.h"

/* Calls body(arg, i) for each i below n, in any order and on any thread; returns when all have. */
typedef void LlvmParallelFor(void *pool, size_t n, void (*body)(void *arg, size_t i), void *arg);

typedef struct LlvmOptions {
    LlvmParallelFor *parallel_for; /* on whose threads code is made; NULL: on the caller's alone */
    void *pool;
    int opt_level; /* 0..3, as effnetc_options has it */
    bool debug;    /* the code's source is NAME.loop.ir, its steps bear the ONNX nodes' names */
    /* For who loads the code into this process; these functions are visible, beside the API:
     *
     *   int effnetc_entry(const void *weights, const void *const *in, void *const *out,
     *                     void *arena, void *context,
     *                     void (*run)(void *context, size_t n,
     *                                 void (*body)(void *arg, size_t i), void *arg));
     *       NAME_run_parallel with one signature for all models; without a pool where context is
     *       NULL
     *   int effnetc_check(const void *weights, size_t size);           NAME_check_weights */
    bool entry;
    /*   void effnetc_watch(void (*f)(void *context, int step), void *context);
     *       f is called after each step of a run, in its thread. Must be called before the first
     *       run. This alone makes the object have data that is written. */
    bool step_hook;
} LlvmOptions;

/* What of a module becomes a file. */
typedef enum LlvmFile { LLVM_OBJECT, LLVM_ASSEMBLY, LLVM_IR } LlvmFile;

/* Whether there is a backend, of this very version of effnetc. */
bool emit_llvm_available(void);
/* The same with an error (3) in d where there is none. */
bool emit_llvm_require(Diag *d);
/* Of LLVM, as in "19.1.7"; "" where there is no backend. */
const char *emit_llvm_version(void);
/* Lies within the backend's file, as it is loaded; NULL where there is none. */
const void *emit_llvm_address(void);

/* Appends a file for a module that emit_c_check passed, with the same functions that its C has.
 * Deterministic, on any number of threads. False with errors in d: without a backend, or for a
 * target that has C alone (3). */
bool emit_llvm(Buf *out, const Module *m, const EmitInfo *info, LlvmFile kind, const LlvmOptions *o,
               Diag *d);

/* An object that is loaded into this process. */
typedef struct LlvmJit LlvmJit;

/* Loads an object that emit_llvm made, for a target that runs here; it is copied. `where` names it
 * in messages. NULL with an error in d. */
LlvmJit *llvm_jit_open(const void *object, size_t size, const char *where, Diag *d);
/* Copies the address of a function of the object to *function, a pointer to a function. False with
 * an error in d. */
bool llvm_jit_symbol(LlvmJit *j, const char *name, void *function, Diag *d);
void llvm_jit_close(LlvmJit *j); /* NULL is fine */

/* What the backend's file holds, under the name effnetc_llvm_backend. */
typedef struct LlvmBackend {
    const char *effnetc_version; /* the one that it is a part of; stays first */
    const char *(*llvm_version)(void);
    bool (*emit)(Buf *out, const Module *m, const EmitInfo *info, LlvmFile kind,
                 const LlvmOptions *o, Diag *d);
    LlvmJit *(*jit_open)(const void *object, size_t size, const char *where, Diag *d);
    bool (*jit_symbol)(LlvmJit *j, const char *name, void *function, Diag *d);
    void (*jit_close)(LlvmJit *j);
} LlvmBackend;

#endif
