/* c_compile.h: for tests: compiles the C that a module becomes, or makes an object of it by LLVM,
 * loads it and runs it. */
#ifndef EFFNETC_TESTS_C_COMPILE_H
#define EFFNETC_TESTS_C_COMPILE_H

#include "codegen/codegen.h"

/* NAME_pool of every module. */
typedef struct CPool {
    void *context;
    void (*parallel_for)(void *context, size_t n, void (*body)(void *arg, size_t i), void *arg);
} CPool;

/* Generated files in a folder of their own, compiled and loaded into this process; those for
 * another machine become a program for an emulator, and have none of the functions below. */
typedef struct CBuild {
    const Module *module;      /* the caller's; must outlive this */
    char dir[256];             /* holds NAME.c, NAME.h, NAME.json, NAME.weights.bin and NAME.so */
    const char *name;          /* of the module, as a C identifier */
    const struct Cross *cross; /* NULL: loaded; else NAME.run is a program for an emulator */
    void *library;
    int (*call)(void *const *arguments);
    int (*call_parallel)(void *const *arguments, const CPool *pool);
    int (*check_weights)(const void *weights, size_t size);
    Arena arena;
} CBuild;

/* Whether a compiler of that name can be run: "gcc", "clang", "g++". "llvm" is the LLVM backend of
 * this build, in the place of a compiler. */
bool c_have(const char *compiler);
/* Whether code for t can be run: by this machine, or by an emulator. */
bool c_runs(const Target *t);
/* Whether a compiler, which can be run, makes code for t: GCC and the LLVM backend don't for all.
 */
bool c_makes(const char *compiler, const Target *t);
/* The name of "cc", "objdump", ... for the machine that p is for; NULL: it has none. */
const char *c_tool(CBuild *p, const char *name);

/* Emits C for m and compiles it with `compiler`, -O2, warnings as errors, the target's own flags
 * and `flags`; "llvm" takes the flags -O0 to -O3. NULL with the reason on stderr. The module's
 * weights, if any, must be sealed. */
CBuild *c_build(const Module *m, const char *compiler, const char *flags);
/* Runs it once on inputs and outputs in the order of the module, with a copy of the weights and an
 * arena filled with NaN patterns. Returns what NAME_run returns. */
int c_run(const CBuild *p, const void *const *inputs, void *const *outputs);
/* The same by NAME_run_parallel; an emulator has a pool of its own, which takes the last part
 * first. */
int c_run_parallel(const CBuild *p, const void *const *inputs, void *const *outputs,
                   const CPool *pool);
/* Runs a shell command in the folder of p, a printf format; true where it ends with 0. */
bool c_shell(const CBuild *p, const char *format, ...) PRINTF_LIKE(2, 3);
/* The text of a file in the folder of p. */
const char *c_read(CBuild *p, const char *file);
/* Unloads it and removes its folder. */
void c_free(CBuild *p);

#endif
