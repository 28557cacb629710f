/* llvm_builder.h: what the files of the LLVM backend share. Private to them: nobody else knows
 * LLVM. Sections follow the files; emit_llvm.c shows how they work together.
 *
 * What is known of a module before it is built is the C printer's (c_prepare): the names of
 * functions, what each par loop's part captures, which buffers are used and stored to. */
#ifndef EFFNETC_CODEGEN_LLVM_BUILDER_H
#define EFFNETC_CODEGEN_LLVM_BUILDER_H

#include <llvm-c/Core.h>
#include <llvm-c/DebugInfo.h>
#include <llvm-c/TargetMachine.h>

#include "codegen/c_printer.h"
#include "codegen/emit_llvm.h"

/* ---- emit_llvm.c ----------------------------------------------------------------------------- */

extern const LlvmBackend effnetc_llvm_backend;

/* A unit while it is built, and the function that is being built. */
typedef struct LBuilder {
    const CPrinter *c; /* of all units: not to be written to */
    Arena arena;
    bool whole; /* it is the whole module: nobody else sees its functions */
    const LlvmOptions *options;
    const Target *target;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef b;                /* at the end of the function's last block */
    Map functions;                   /* name in C -> LLVMValueRef */
    LLVMValueRef parts;              /* NAME_parts; NULL: not declared yet */
    LLVMValueRef hook, hook_context; /* what effnetc_watch was told; NULL: not declared yet */
    CFunc *func;
    LLVMValueRef function;
    LLVMValueRef job;       /* steps, parts and run: the struct of a run's arguments */
    LLVMValueRef *slots;    /* where registers live, by Reg.index */
    LLVMValueRef *buffers;  /* their pointers, by Reg.index; of this function's alone */
    LLVMDIBuilderRef debug; /* NULL: no debug information */
    LLVMMetadataRef file, scope;
    unsigned body_line; /* of the function's first instruction */
} LBuilder;

/* ---- llvm_types.c: types, constants, attributes ---------------------------------------------- */

LLVMTypeRef llvm_int(const LBuilder *x, int bits);
LLVMTypeRef llvm_ptr(const LBuilder *x);
/* Of a register's value: halves are i16, bool is i8. */
LLVMTypeRef llvm_type(const LBuilder *x, LType t);
/* An integer in all lanes of a type; halves: their bits. */
LLVMValueRef llvm_const_int(const LBuilder *x, LType t, int64_t value);
LLVMValueRef llvm_const_float(const LBuilder *x, LType t, double value);
/* An i64: sizes, indices, offsets. */
LLVMValueRef llvm_size(const LBuilder *x, int64_t value);
/* An i32: what C has as int, and what instructions are told. */
LLVMValueRef llvm_i32(const LBuilder *x, int64_t value);
/* What the module says of itself. */
void llvm_module_flag(LBuilder *x, const char *name, unsigned value);
/* Calls an intrinsic, "llvm.fma"; `types` are those that its name is completed by. */
LLVMValueRef llvm_intrinsic(LBuilder *x, const char *name, const LLVMTypeRef *types, size_t ntypes,
                            LLVMValueRef *args, size_t nargs);
/* A new function, with the attributes that all have. One that isn't visible to users of the code is
 * so to other units. */
LLVMValueRef llvm_function(LBuilder *x, const char *name, LLVMTypeRef result, LLVMTypeRef *params,
                           size_t nparams, bool visible);
/* For what only this module may see: its linkage and visibility. */
void llvm_hide(LBuilder *x, LLVMValueRef global);
/* Begins its first block; what is built from now on belongs to it. */
void llvm_begin(LBuilder *x, LLVMValueRef function);
LLVMBasicBlockRef llvm_block(LBuilder *x, const char *name); /* appended, and not begun */
void llvm_at(LBuilder *x, LLVMBasicBlockRef block);
LLVMValueRef llvm_call(LBuilder *x, LLVMValueRef function, LLVMValueRef *args, size_t nargs);
/* A pointer that many bytes behind another. */
LLVMValueRef llvm_bytes_behind(LBuilder *x, LLVMValueRef pointer, int64_t bytes);

/* ---- llvm_insts.c: instructions that give a value -------------------------------------------- */

/* The value that an instruction makes of its operands, v. */
LLVMValueRef llvm_inst(LBuilder *x, const Inst *in, LLVMValueRef *v);
/* A scalar in all lanes. */
LLVMValueRef llvm_splat(LBuilder *x, LType t, LLVMValueRef value);
/* The bool of a register as a condition. */
LLVMValueRef llvm_condition(LBuilder *x, LLVMValueRef value);

/* ---- llvm_block.c: addresses, control flow, functions ---------------------------------------- */

/* Builds kernels, steps with their parts, and the body of run: those functions of
 * CPrinter.funcs. */
void llvm_functions(LBuilder *x, size_t first, size_t end);

/* ---- llvm_abi.c: the public functions -------------------------------------------------------- */

/* The pointer of a buffer, an argument of the run. */
LLVMValueRef llvm_buffer(LBuilder *x, const Buffer *b);
/* The pool of the run, or NULL at run time. */
LLVMValueRef llvm_pool(LBuilder *x);
/* NAME_parts, which runs the parts of a step. */
LLVMValueRef llvm_parts(LBuilder *x);
/* What happens after step `step` where somebody watches. */
void llvm_step_done(LBuilder *x, size_t step);
/* In one unit, that of the body of run: NAME_check_weights, NAME_run_parallel, NAME_run, and
 * NAME_selftest, NAME_weights, effnetc_entry, effnetc_check and effnetc_watch if asked for; and
 * what steps of all units call. */
void llvm_public(LBuilder *x);

/* Returns `code` where the condition holds, and goes on else. */
void llvm_return_if(LBuilder *x, LLVMValueRef condition, int code);
LLVMValueRef llvm_is_misaligned(LBuilder *x, LLVMValueRef pointer, int64_t align);
LLVMValueRef llvm_param(const LBuilder *x, size_t i); /* of the function that is being built */
LLVMTypeRef *llvm_pointer_types(LBuilder *x, size_t n);
/* Pointer i of an array of them. */
LLVMValueRef llvm_pointer_of(LBuilder *x, LLVMValueRef array, size_t i);
/* A pool in this function's frame; NULL at run time where the context is NULL. */
LLVMValueRef llvm_new_pool(LBuilder *x, LLVMValueRef context, LLVMValueRef parallel_for);
/* A function that users see, and begins it. */
LLVMValueRef llvm_visible(LBuilder *x, const char *name, LLVMTypeRef result, LLVMTypeRef *params,
                          size_t nparams);
/* The same of NAME_what. */
LLVMValueRef llvm_public_function(LBuilder *x, const char *what, LLVMTypeRef result,
                                  LLVMTypeRef *params, size_t nparams);

/* ---- llvm_selftest.c ------------------------------------------------------------------------- */

/* NAME_selftest, which calls NAME_run. */
void llvm_selftest(LBuilder *x, LLVMValueRef run);

/* ---- llvm_pictures.c ------------------------------------------------------------------------- */

/* Where the code takes pictures of any size: NAME_run_picture, which calls NAME_run_parallel, and,
 * where an entry is asked for, effnetc_pictures and effnetc_pictures_arena (driver.h). */
void llvm_pictures(LBuilder *x, LLVMValueRef parallel);

/* ---- llvm_jit.c: emit_llvm.h has it as llvm_jit_open, _symbol and _close --------------------- */

LlvmJit *llvm_object_open(const void *object, size_t size, const char *where, Diag *d);
bool llvm_object_symbol(LlvmJit *j, const char *name, void *function, Diag *d);
void llvm_object_close(LlvmJit *j);

/* ---- llvm_debug.c: the lines of the loop IR -------------------------------------------------- */

/* Each does nothing where no debug information is asked for. */
void llvm_debug_begin(LBuilder *x);
/* x->func has lines; what is built from now on is on that of its head. */
void llvm_debug_function(LBuilder *x);
/* What is built from now on is on the line of `in`. */
void llvm_debug_at(LBuilder *x, const Inst *in);
/* The function that begins has no lines. */
void llvm_debug_no_function(LBuilder *x);
void llvm_debug_end(LBuilder *x);

/* ---- llvm_merge.c: one object of several ----------------------------------------------------- */

/* Appends the object that those of the units of a module make together. */
void llvm_merge(Buf *out, const Buf *objects, size_t n);

/* ---- llvm_output.c: optimisation, machine code ----------------------------------------------- */

/* What functions are compiled for, on top of the processor of the target's Arch: "+avx2,+fma". */
const char *llvm_features(Arena *a, const Target *t);
/* Makes LLVM know its targets. Before anything else is asked of it. */
void llvm_initialise(void);
/* NULL with an error in d. */
LLVMTargetMachineRef llvm_machine(const Target *t, const LlvmOptions *o, Diag *d);
bool llvm_write(LBuilder *x, LLVMTargetMachineRef machine, LlvmFile kind, Buf *out, Diag *d);

#endif
