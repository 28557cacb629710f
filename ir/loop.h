/* loop.h: the loop IR, the level that every printer prints. Sections follow the files.
 *
 * A module has buffers, kernels, steps and one `run`. Kernels are structured code over typed,
 * mutable registers; a kernel is called with pointers and integers. A step is one op of the graph:
 * it calls kernels with addresses of buffers. `run` calls the steps. Reference: docs/loop-ir.md.
 *
 *     module @b0 target=x86-64-v3 arena=3215360 weights=4096 xxh:8c1f00aa90b2c7d1 {
 *       buffer %in : f32[1,3,224,224] input 0 "input"
 *       buffer %t1 : f32[802816] arena 4096
 *       buffer %w1 : f32[896] weights 64
 *       kernel @add1(a: f32*, n: i64) {
 *         one = const.v8.f32 1
 *         for i in 0..n step 8 {
 *           x = load.v8 a[i]
 *           x = add x, one
 *           store.v8 a[i], x
 *         }
 *       }
 *       step @block_1 {
 *         call @add1(%t1[0], 802816)
 *       }  # "block.1"
 *       run {
 *         call @block_1()
 *       }
 *     }
 */
#ifndef EFFNETC_IR_LOOP_H
#define EFFNETC_IR_LOOP_H

#include "ir/types.h"
#include "target/target.h"

typedef struct Reg Reg;
typedef struct Inst Inst;
typedef struct Kernel Kernel;
typedef struct Module Module;

/* ---- types, registers, addresses ------------------------------------------------------------ */

/* f32 is {DT_f32, 1}; v16.f32 is {DT_f32, 16}. Comparisons give bool (scalar) or, for vectors, a
 * mask: an integer vector of the operands' width whose lanes are 0 or -1. */
typedef struct LType {
    DType dtype;
    int lanes;
} LType;

enum { MAX_LANES = 64 };

typedef enum RegKind { REG_VALUE, REG_POINTER, REG_BUFFER } RegKind;

/* A mutable variable. Pointers point at elements of `type` (lanes == 1). A buffer's register is a
 * constant pointer that belongs to the module. */
struct Reg {
    const char *name; /* unique in its kernel */
    RegKind kind;
    LType type;
    int index;  /* dense within its kernel (parameters first), or within the module's buffers */
    int copies; /* how many numbers were appended to `name` to make other names */
};

enum { MAX_TERMS = 4 };

typedef struct Term {
    Reg *reg; /* i64 */
    int64_t factor;
} Term;

/* base + sum of factor * reg + offset, in elements of base's type. */
typedef struct Addr {
    Reg *base; /* REG_POINTER or REG_BUFFER */
    int nterms;
    Term terms[MAX_TERMS];
    int64_t offset;
} Addr;

/* A loop bound or a call's integer: a register or, where reg == NULL, a constant. */
typedef struct Bound {
    Reg *reg;
    int64_t value;
} Bound;

/* ---- instructions: rows in insts.def -------------------------------------------------------- */

typedef enum InstOp {
#define INST(id, text, form, types, c_float, c_int, eval) INST_##id,
#include "ir/insts.def"
#undef INST
    INST_COUNT
} InstOp;

/* What an instruction takes, and so how it is written, checked and stepped. */
typedef enum InstForm {
    FORM_CONST,      /* d = const.T imm */
    FORM_UNARY,      /* d = op a                 types equal */
    FORM_BINARY,     /* d = op a, b              types equal */
    FORM_TERNARY,    /* d = op a, b, c           types equal */
    FORM_COMPARE,    /* d = op a, b              d: bool, or the mask of a's type */
    FORM_SELECT,     /* d = select m, a, b       m: as a comparison of a and b gives */
    FORM_SHIFT,      /* d = op a, imm            integers; 0 <= imm < bits */
    FORM_CONVERT,    /* d = op.T a               same lanes; bitcast: same bits */
    FORM_SPLAT,      /* d = op.vN a              scalar register to all lanes */
    FORM_LOAD,       /* d = op[.vN] addr         N consecutive elements */
    FORM_SPLAT_LOAD, /* d = splat.vN addr        one element to all lanes */
    FORM_STORE,      /* store[.vN] addr, a */
    FORM_PREFETCH,   /* op addr */
    FORM_LEA,        /* p = lea addr             a pointer register */
    FORM_FOR,        /* op i in lo..hi [step s] { } */
    FORM_WHILE,      /* while c { }              c: bool */
    FORM_IF,         /* if c { } [else { }]      c: bool */
    FORM_CALL        /* call @k(addr or integer, ...) */
} InstForm;

typedef struct Block {
    Inst *first, *last;
} Block;

/* An argument of a call: an address where base != NULL, else an integer. */
typedef struct Arg {
    Addr addr;
    Bound integer;
} Arg;

struct Inst {
    InstOp op;
    Reg *dst;    /* NULL where the form has none */
    Reg *src[3]; /* operands in text order; stores: src[0] */
    Inst *next;
    union {
        double f;  /* const of a float type */
        int64_t i; /* const of an integer type, shift */
        Addr addr; /* loads, stores, lea */
        struct {   /* for; the variable is dst */
            Bound lo, hi;
            int64_t step;
            Block body;
        } loop;
        Block body; /* while; the condition is src[0] */
        struct {    /* if; the condition is src[0] */
            Block then, orelse;
        } branch;
        struct { /* call */
            Kernel *callee;
            Arg *args;
            int nargs;
        } call;
    } u;
    const char *comment; /* calls: ONNX origin; NULL where there is none */
};

/* Sets of element types, named by their members: F f32 f64, H f16 bf16, I integers, B bool. */
typedef enum TypeSet {
    TYPES_NONE = 0,
    TYPES_F = 1,
    TYPES_H = 2,
    TYPES_I = 4,
    TYPES_B = 8,
    TYPES_FI = TYPES_F | TYPES_I,
    TYPES_IB = TYPES_I | TYPES_B,
    TYPES_FIB = TYPES_F | TYPES_I | TYPES_B,
    TYPES_FHI = TYPES_F | TYPES_H | TYPES_I,
    TYPES_FHIB = TYPES_F | TYPES_H | TYPES_I | TYPES_B
} TypeSet;

typedef struct InstInfo {
    const char *name; /* in text: INST_splat_load is written "splat", INST_act_silu "silu" */
    InstForm form;
    TypeSet types;               /* what insts.def says about element types */
    const char *c_float, *c_int; /* C templates, explained in insts.def; NULL: not for such types */
} InstInfo;

const InstInfo *inst_info(InstOp op);
/* Finds an instruction by its text name; "splat" is INST_splat. */
bool inst_parse(const char *s, size_t n, InstOp *out);
extern const double exp2_powers[32]; /* 2^(j/32): what exp2_low5 gives, rounded to its type */
TypeSet dtype_set(DType dt);         /* the one member of TypeSet that dt is in */

/* ---- modules -------------------------------------------------------------------------------- */

typedef enum BufferKind { BUF_INPUT, BUF_OUTPUT, BUF_WEIGHTS, BUF_ARENA } BufferKind;

typedef struct Buffer {
    Reg reg; /* reg.name, reg.type.dtype */
    BufferKind kind;
    int64_t elems;
    int64_t offset;        /* bytes, in the weights or the arena; inputs and outputs: which one */
    const char *onnx_name; /* inputs and outputs */
    Shape shape;           /* inputs and outputs: as the caller sees it */
    int64_t count;         /* outputs: which one says how much is there of this one; -1: none */
    int count_axis;        /* along which axis that is */
} Buffer;

typedef enum KernelKind {
    KERNEL_PLAIN, /* takes pointers and i64; knows no buffers */
    KERNEL_STEP,  /* takes nothing; may use buffers and call plain kernels */
    KERNEL_RUN    /* takes nothing; may use buffers and call everything else */
} KernelKind;

struct Kernel {
    const char *name;
    KernelKind kind;
    const char *origin; /* steps: ONNX node names, "a+b"; NULL where unknown */
    Module *module;
    Arena *arena;  /* where registers and instructions are: the module's or, of a plain one, own */
    Arena own;     /* freed at once where another kernel serves instead */
    Kernel *older; /* the one that was made before it; see Module */
    Kernel *shared_as; /* what module_share_kernel returned for it; NULL before */
    VEC(Reg *) params; /* pointers and i64 */
    VEC(Reg *) regs;   /* all of them, parameters first; regs.data[i]->index == i */
    Block body;
    Map names;  /* register name -> Reg */
    int copies; /* as in Reg */
};

struct Module {
    Arena arena;
    const char *name;
    const Target *target;
    VEC(Buffer *) buffers;
    VEC(Kernel *) kernels; /* plain ones; callees before callers */
    VEC(Kernel *) steps;
    Kernel *run;
    Kernel *newest; /* of all plain ones that were ever made, linked by `older` */
    int64_t arena_bytes, weights_bytes;
    Tensor *weights; /* u8[weights_bytes]: the packed weights; NULL after parsing text alone */
    Buf packed;      /* what weights->data points into, where module_take_weights gave it */
    MappedFile file; /* the same after module_spill_weights */
    uint64_t weights_hash; /* where weights == NULL: what the text says, 0 = unknown */
    Map buffer_names, kernel_names;
    Map shared; /* text of a kernel without its name -> Kernel; module_share_kernel's */
};

/* ---- loop.c: modules, kernels, registers, addresses ----------------------------------------- */

Module *module_new(const char *name, const Target *target);
void module_free(Module *m);
/* A new buffer; a taken name gets a number. Inputs and outputs get the shape [elems] and their own
 * name as onnx_name until the caller sets others. */
Buffer *module_buffer(Module *m, const char *name, BufferKind kind, DType dt, int64_t elems,
                      int64_t offset);
Kernel *module_kernel(Module *m, const char *name); /* a taken name gets a number */
Kernel *module_find_kernel(const Module *m, const char *name);
/* Adds k to the module (a taken name gets a number), or returns the kernel that is already there
 * with the same text but for the name; k has no registers and instructions any more then. Returns
 * the same again for the same k. */
Kernel *module_share_kernel(Module *m, Kernel *k);
/* A kernel that is not in the module yet, for module_share_kernel. */
Kernel *kernel_new(Module *m, const char *name);
/* A step that is not in the module yet, for module_add_step; `origin` may be NULL. */
Kernel *step_new(Module *m, const char *name, const char *origin);
void module_add_step(Module *m, Kernel *step); /* a taken name gets a number */
/* Kernels, steps and run, in this order: callees before callers. */
size_t module_function_count(const Module *m);
Kernel *module_function(const Module *m, size_t i);
/* Makes `packed` the weights of m, which owns it from now on; *packed is empty then. */
void module_take_weights(Module *m, Buf *packed);
/* Puts weights that were taken into a file, from which they are mapped, where the system has room
 * for one: others can have their memory until they are read. */
void module_spill_weights(Module *m);
/* Moves weights that were taken to memory of the caller's, which outlives m, piece by piece: they
 * are never there twice. */
void module_move_weights(Module *m, void *to);

Reg *kernel_param_ptr(Kernel *k, const char *name, DType dt);
Reg *kernel_param_i64(Kernel *k, const char *name);
/* A new register; a taken name gets a number. */
Reg *kernel_reg(Kernel *k, const char *name, LType t);
Reg *kernel_ptr(Kernel *k, const char *name, DType dt);

Bound bound_const(int64_t v);
Bound bound_reg(Reg *r);
Addr addr_of(Reg *base, int64_t offset);
Addr addr_plus(Addr a, Reg *reg, int64_t factor); /* merges equal registers; dies past MAX_TERMS */
Addr addr_offset(Addr a, int64_t offset);         /* adds to the offset */
/* As addr_plus; false, and *a unchanged, past MAX_TERMS or int64_t. */
bool addr_try_plus(Addr *a, Reg *reg, int64_t factor);
Arg arg_addr(Addr a);
Arg arg_i64(int64_t v);
Arg arg_bound(Bound b);
LType ltype(DType dt, int lanes);
bool ltype_equal(LType a, LType b);
LType ltype_mask(LType t);              /* what a comparison of t gives */
bool dtype_fits_i(DType dt, int64_t x); /* u64: always, as x's two's complement */

/* ---- loop_build.c: building kernels --------------------------------------------------------- */

enum { MAX_NESTING = 32 }; /* open blocks, the body of the kernel included */

/* Appends to the innermost open block of a kernel. One builder a kernel. */
typedef struct Builder {
    Kernel *k;
    Block *stack[MAX_NESTING];
    int depth; /* how many blocks are open */
} Builder;

Builder build_begin(Kernel *k);
/* A builder that appends to a block that is not part of k yet; see block_splice, block_prepend. */
Builder build_detached(Kernel *k, Block *into);
void build_end(Builder *b); /* every block must be closed */

/* Values: each writes a new register, called `name`, and returns it. */
Reg *build_const_f(Builder *b, const char *name, LType t, double value); /* rounded to t */
Reg *build_const_i(Builder *b, const char *name, LType t, int64_t value);
Reg *build_op(Builder *b, InstOp op, const char *name, Reg *x, Reg *y, Reg *z); /* NULL: none */
Reg *build_shift(Builder *b, InstOp op, const char *name, Reg *x, int64_t by);
Reg *build_convert(Builder *b, InstOp op, const char *name, LType to, Reg *x);
Reg *build_splat(Builder *b, const char *name, int lanes, Reg *x);
Reg *build_load(Builder *b, const char *name, int lanes, Addr a);
Reg *build_load_once(Builder *b, const char *name, int lanes, Addr a);
Reg *build_splat_load(Builder *b, const char *name, int lanes, Addr a);
Reg *build_lea(Builder *b, const char *name, Addr a);
/* The same, into a register that exists: d = op x, y, z. */
void build_op_to(Builder *b, InstOp op, Reg *d, Reg *x, Reg *y, Reg *z);
void build_shift_to(Builder *b, InstOp op, Reg *d, Reg *x, int64_t by);
void build_convert_to(Builder *b, InstOp op, Reg *d, Reg *x);
void build_const_f_to(Builder *b, Reg *d, double value);
void build_const_i_to(Builder *b, Reg *d, int64_t value);
void build_load_to(Builder *b, Reg *d, Addr a);
void build_load_once_to(Builder *b, Reg *d, Addr a);
void build_lea_to(Builder *b, Reg *d, Addr a);
void build_store(Builder *b, Addr a, Reg *value);
/* A hint that what is at `a`, which may be anywhere, will be read. */
void build_prefetch(Builder *b, Addr a);

/* The variable is a new register. */
Reg *build_for(Builder *b, const char *var, Bound lo, Bound hi, int64_t step);
/* A loop whose rounds are independent, step 1: they may run at the same time. */
Reg *build_par(Builder *b, const char *var, Bound lo, Bound hi);
void build_while(Builder *b, Reg *cond); /* the body must assign cond */
void build_if(Builder *b, Reg *cond);
void build_else(Builder *b);
void build_close(Builder *b); /* of build_for, build_par, build_while or build_if */
void build_call(Builder *b, Kernel *callee, const Arg *args, int nargs, const char *origin);

/* ---- loop_edit.c: for loop passes ----------------------------------------------------------- */

/* Calls f for every instruction of k in text order. f may replace *link by other instructions
 * (block_splice) or remove it; what it puts there is not visited. */
typedef void InstVisitor(void *ctx, Kernel *k, Inst **link);
void kernel_visit(Kernel *k, InstVisitor *f, void *ctx);
/* Within a visitor: puts the instructions of `from` in the place of *link, and leaves `from`
 * empty. An empty block removes *link. */
void block_splice(Inst **link, Block *from);
/* Moves the instructions of `from` to the start of `to`, and leaves `from` empty: with
 * &k->body, loop-invariant constants go to the top of a kernel. */
void block_prepend(Block *to, Block *from);

/* ---- loop_print.c, loop_parse.c: text ------------------------------------------------------- */

void module_print(Buf *b, const Module *m);
void kernel_print(Buf *b, const Kernel *k);
/* "kernel @name", "step @name" or "run", for messages. */
const char *kernel_title(Arena *a, const Kernel *k);
void inst_print(Buf *b, const Inst *in); /* one line; of a loop or branch its head */
/* "f32*", "v16.f32" */
void reg_type_print(Buf *b, RegKind kind, LType t);
/* Writes the weights, if the module has them, to out as FOLDER/weights-HASH.bin. */
void module_write_weights(const Module *m, const char *folder, Outputs *out);

/* Parses one module. `where` names the text in messages; constant_dir (or NULL) is where
 * weights-HASH.bin is looked for: without it, m->weights stays NULL. NULL with an error in d (line,
 * column, expected, found). Comments other than a call's trailing # "origin" are dropped. */
Module *module_parse(const char *text, size_t size, const char *where, const char *constant_dir,
                     Diag *d);

/* ---- loop_verify.c -------------------------------------------------------------------------- */

/* Types, register use before definition, addresses, unique names, calls against signatures,
 * constant addresses of buffers against their sizes. All faults go to d; true where there is none.
 */
bool module_verify(const Module *m, const char *where, Diag *d);

/* ---- loop_eval.c: the second oracle --------------------------------------------------------- */

/* Runs m on inputs and outputs in the caller's memory (element types and counts as the buffers
 * say) with the packed weights and an arena of its own, filled with NaN patterns first. Rounds as
 * the loop IR is defined (fma once, mul and add twice; the target's flush-to-zero). Every access
 * is checked against its buffer: false with an error in d (kernel, instruction, index, size). Ends
 * with an error (4) after EVAL_FUEL rounds of loops and calls. */
bool module_eval(const Module *m, const void *const *inputs, void *const *outputs, Diag *d);

/* What may look at a run: `done` is called behind each step, with its number in the module. */
typedef struct StepWatch {
    void (*done)(void *context, int step, const void *arena);
    void *context;
} StepWatch;
/* The same, watched; watch may be NULL. */
bool module_eval_watched(const Module *m, const void *const *inputs, void *const *outputs,
                         const StepWatch *watch, Diag *d);

/* Ten times what the largest network of the family takes, and some minutes of empty loops. */
#define EVAL_FUEL ((int64_t)1 << 36)
/* The same with another limit. */
bool module_eval_fuel(const Module *m, const void *const *inputs, void *const *outputs,
                      int64_t fuel, Diag *d);

#endif
