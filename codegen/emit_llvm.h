/* emit_llvm.h: loop IR to native code through LLVM. Sections follow the files. A build without LLVM
 * has all of this too, from no_llvm.c, and reports an error. */
#ifndef EFFNETC_CODEGEN_EMIT_LLVM_H
#define EFFNETC_CODEGEN_EMIT_LLVM_H

#include "codegen/codegen.h"

/* ---- emit_llvm.c ----------------------------------------------------------------------------- */

typedef struct LlvmOptions {
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

bool emit_llvm_available(void);
/* The same with an error (3) in d where it isn't. */
bool emit_llvm_require(Diag *d);
/* Of LLVM, as in "19.1.7"; "" in a build without it. */
const char *emit_llvm_version(void);

/* Appends a file for a module that emit_c_check passed, with the same functions that its C has.
 * Deterministic. False with errors in d: in a build without LLVM (3). */
bool emit_llvm(Buf *out, const Module *m, const EmitInfo *info, LlvmFile kind, const LlvmOptions *o,
               Diag *d);

/* ---- llvm_jit.c ------------------------------------------------------------------------------ */

/* An object that is loaded into this process. */
typedef struct LlvmJit LlvmJit;

/* Loads an object that emit_llvm made, for a target that runs here; it is copied. `where` names it
 * in messages. NULL with an error in d. */
LlvmJit *llvm_jit_open(const void *object, size_t size, const char *where, Diag *d);
/* Copies the address of a function of the object to *function, a pointer to a function. False with
 * an error in d. */
bool llvm_jit_symbol(LlvmJit *j, const char *name, void *function, Diag *d);
void llvm_jit_close(LlvmJit *j); /* NULL is fine */

#endif
