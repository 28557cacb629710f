/* c_printer.h: what the files of the C printer share. Private to codegen/. Sections follow the
 * files; emit_c.c shows how they work together. */
#ifndef EFFNETC_CODEGEN_C_PRINTER_H
#define EFFNETC_CODEGEN_C_PRINTER_H

#include "codegen/codegen.h"

/* ---- c_names.c: identifiers and comments ----------------------------------------------------- */

/* The identifiers of one scope; those of `outer` are taken too. */
typedef struct CNames {
    const struct CNames *outer;
    Map taken;
    Map last; /* of a name that was wanted again: the last number put behind it, an int */
} CNames;

void c_names_take(Arena *a, CNames *n, const char *name); /* which nothing else is called */
/* c_identifier(text), with a number behind it where that is taken; taken from now on. */
const char *c_names_add(Arena *a, CNames *n, const char *text);
/* text, or what to call a function of that name: not as a library function is called. */
const char *c_function_name(Arena *a, const char *text);
/* Appends text so that it stays inside a comment: no line breaks, comment ends or trigraphs. */
void c_put_comment(Buf *b, const char *text);
/* Appends head, the items with commas between them, and tail; lines break before column 100 and
 * go on at `indent` spaces. */
typedef VEC(const char *) CItems;
void c_put_list(Buf *b, int indent, const char *head, const CItems *items, const char *tail);

/* ---- c_types.c: names of types --------------------------------------------------------------- */

/* Which vector types a file uses: bit log2(lanes) of each row. */
typedef struct CTypes {
    unsigned aligned[DT_COUNT];   /* v8f32 */
    unsigned unaligned[DT_COUNT]; /* v8f32_u: for loads and stores at any element */
} CTypes;

const char *c_type_suffix(Arena *a, LType t);        /* "f32", "v8f32": ends the names of macros */
const char *c_type(Arena *a, CTypes *used, LType t); /* "float", "v8f32" */
/* The same of a register: an i64 that isn't wide (CVar) is a ptrdiff_t. */
const char *c_reg_type(Arena *a, CTypes *used, LType t, bool wide);
const char *c_type_unaligned(Arena *a, CTypes *used, LType t);
/* The unsigned type that arithmetic of t wraps in, of at least 32 bits for scalars. */
const char *c_type_wrap(Arena *a, CTypes *used, LType t);
void c_put_typedefs(Buf *b, const CTypes *used);
int64_t ltype_bytes(LType t);

/* ---- c_expr.c: literals, addresses, templates ------------------------------------------------ */

/* A C expression for a constant, exact to the bit. Needs bitcast_* of the prelude for NaN and
 * infinity: they are requested through p. */
typedef struct CPrinter CPrinter;
const char *c_literal_f(CPrinter *p, DType dt, double value);
const char *c_literal_i(Arena *a, DType dt, int64_t value);

/* The values of the variables of a template; NULL: the template must not use it. */
typedef struct CBindings {
    LType type;          /* $t $u $k $w $m $r $l $h $L $H */
    bool wide;           /* $t of an i64 is int64_t, not ptrdiff_t */
    LType from;          /* of operand 0, for conversions: $f $j */
    InstOp op;           /* $m */
    const char *dst;     /* $d */
    const char *src[3];  /* $0 $1 $2 */
    const char *imm;     /* $i */
    const char *element; /* $a */
    const char *pointer; /* $p */
} CBindings;

/* Appends a template of ir/insts.def or codegen/c_prelude.def. */
void c_expand(CPrinter *p, Buf *b, const char *text, const CBindings *v);

/* ---- c_prelude.c: macros and inline functions of the generated file -------------------------- */

typedef struct CMacro {
    InstOp op;
    LType to, from; /* from: conversions only, else equal to `to` */
    const char *name;
} CMacro;

/* The text that defines op on a type for a target, or NULL: this printer can't do it. */
const char *c_prelude_find(const Target *t, InstOp op, LType to, LType from);
/* The name of the macro, which is defined in the file from now on. */
const char *c_macro(CPrinter *p, InstOp op, LType to, LType from);
/* Appends pragmas, includes, typedefs and the macros that were asked for. */
void c_put_prelude(CPrinter *p, Buf *b);
void c_put_epilogue(CPrinter *p, Buf *b);

/* ---- c_scope.c: what is known about a function before it is printed -------------------------- */

typedef struct CVar {
    const char *name; /* in C */
    const Inst
        *constant; /* what stands in the place of a variable: see c_find_constants; or NULL */
    bool used;     /* it occurs */
    bool read;     /* its value is read: no warning about an unused variable */
    bool stored;   /* pointers: something stores through it, so it can't point to const */
    bool wide;     /* i64: it may have a value that is no size, stride or index */
    bool hoisted;  /* declared at the top: its uses are not all behind its first assignment */
    int home;      /* the block that declares it, while printing or analysing; 0: none yet */
} CVar;

/* A buffer that a function uses. */
typedef struct CUse {
    const Buffer *buffer;
    bool stored; /* as in CVar */
} CUse;

/* One kernel, step or part, or the run body. A part is the function that the rounds of a `par` loop
 * of a step become: of the outermost ones; other `par` loops are plain loops. */
typedef struct CFunc {
    const Kernel *kernel;
    const Inst *par;  /* parts: the loop; else NULL */
    const char *name; /* in C */
    CNames names;
    CVar *regs;                /* by Reg.index */
    CVar *buffers;             /* by Reg.index of buffers: of all functions; see c_use_buffers */
    VEC(CUse) uses;            /* steps, parts, run: in the order of the first uses */
    VEC(struct CFunc *) parts; /* steps: in text order */
    VEC(const Reg *) captured; /* parts: what has its value from the step around it */
    CItems origins;            /* of the calls of a kernel, each once; of a step or part */
    Map origin_names;          /* those of the calls: which ones there are */
    size_t step;               /* steps: which one of the module */
    int blocks;                /* counts blocks while walking */
    bool *open;                /* by block, 1..blocks: the walk is inside it */
} CFunc;

CVar *c_var(const CFunc *f, const Reg *r);
const Block *c_body(const CFunc *f);
/* The part of f that a loop became; NULL where it is a plain loop. */
CFunc *c_part(const CFunc *f, const Inst *loop);
/* Finds the integers of steps that stay what they are: each is printed where it is read. */
void c_find_constants(CPrinter *p, CFunc *f);
/* Finds the 64-bit integers that are data, or are computed together with data. */
void c_find_wide(CFunc *f);
/* Fills in everything but the names: which registers are read, stored through, hoisted, captured,
 * which buffers are used. Callees come before their callers, parts before their steps. Leaves f as
 * it is before its first statement: in TOP_BLOCK. */
void c_analyse(CPrinter *p, CFunc *f);
/* Sets what CVar says of buffers to what holds in f, which was analysed. */
void c_use_buffers(CFunc *f);
/* The same walk while printing: whether an assignment to r here is its declaration. */
enum { TOP_BLOCK = 1 };
int c_scope_enter(CFunc *f);
void c_scope_leave(CFunc *f, int block);
bool c_scope_declares(CFunc *f, const Reg *r, int block);

/* ---- emit_abi.c: the public functions -------------------------------------------------------- */

/* Bits 15 and 6 of MXCSR: denormal results and operands become zero. */
enum { FLUSH_BITS = 0x8040 };

/* A parameter of NAME_run. */
typedef struct CParam {
    const char *name, *type; /* "const float *" */
    const Buffer *buffer;    /* NULL: weights or arena */
    int64_t align;           /* bytes */
    bool needed;             /* NULL is refused */
} CParam;

typedef VEC(CParam) CParams;

/* File scope, within it the parameters of NAME_run, which no kernel can see, and within those the
 * buffers, which are local to steps and to the run body. */
typedef struct CScopes {
    CNames file, args, buffers;
} CScopes;

/* The parameter that says how many elements are there of an output whose size depends on data. */
const CParam *c_count_param(const CParams *params, const Buffer *output);
/* The parameters in order. `scopes` is empty before; their names and all public ones are taken in
 * it from now on, so that the source, the header and the contract agree. */
CParams c_params(Arena *a, CScopes *scopes, const Module *m, const EmitInfo *info);
/* Appends the type NAME_job, what steps work on: the arguments of a run, a member each, and the
 * pool; and, if the module has parts, NAME_parts, which runs those of a step. */
void c_put_job(CPrinter *p, Buf *b, bool parts);
/* Appends the macro NAME_STEP_DONE, unless whoever compiles the file defines it. */
void c_put_step_hook(CPrinter *p, Buf *b);
/* Appends NAME_check_weights, NAME_run_parallel, which calls NAME_body, and NAME_run. */
void c_put_public(CPrinter *p, Buf *b);
/* Appends head with the parameters and, where it is not NULL, one more, and tail. */
void c_put_signature(Arena *a, Buf *b, const char *head, const CParams *params, const char *more,
                     const char *tail);
const char *c_pool_param(Arena *a, const EmitInfo *info); /* "const NAME_pool *pool" */
/* Appends the comment that both files begin with. */
void c_put_banner(Buf *b, const Module *m, const EmitInfo *info);

/* ---- emit_pictures.c ------------------------------------------------------------------------- */

/* Takes the names of all that NAME_run_picture needs. */
void c_take_pictures(Arena *a, CNames *file, const char *name);
/* Appends NAME_run_picture and its part of the header, where the code takes any size. */
void c_put_pictures(CPrinter *p, Buf *b);
void c_put_pictures_header(Buf *b, const Module *m, const CParams *params, const EmitInfo *info);
/* Which parameter its pictures are, and where in its arena what NAME_run takes lies. */
size_t c_picture_param(const CParams *params);
int64_t c_picture_input(const Module *m, const EmitInfo *info);
/* Of its arena. */
int64_t c_picture_bytes(const Module *m, const CParams *params, const EmitInfo *info);

/* ---- emit_selftest.c ------------------------------------------------------------------------- */

/* Appends NAME_selftest and what it needs, and its part of the header, where it is asked for. */
void c_put_selftest(CPrinter *p, Buf *b);
void c_put_selftest_header(Buf *b, const Module *m, const CParams *params, const EmitInfo *info);
/* Of the memory that it takes, at a multiple of SELFTEST_ALIGN: the arena, then the parameters. */
enum { SELFTEST_ALIGN = 64 };
int64_t c_selftest_bytes(const Module *m, const CParams *params);
/* Bytes behind the arena at which parameter i has its memory. */
int64_t selftest_offset(const CParams *params, size_t i);
/* The bits of a random element of a half type: (r >> 48 & mask) | (least + (r & 7)) << shift. Its
 * magnitude is in [2^-8, 1). False for other types. */
typedef struct SelftestHalf {
    unsigned mask, least, shift;
} SelftestHalf;
bool selftest_half(DType dt, SelftestHalf *out);
/* The bits that all NaNs of a float type count as. */
uint64_t selftest_nan(DType dt);
/* The elements that are there of an output: `rows` times `length` (times what *count says), each
 * `stride` elements behind the one before. */
typedef struct SelftestRows {
    int64_t rows, length, stride;
    const CParam *count; /* NULL: all are there */
} SelftestRows;
SelftestRows selftest_rows(const CParams *params, const Buffer *output);

/* ---- emit_c.c -------------------------------------------------------------------------------- */

struct CPrinter {
    Arena arena;
    const Module *m;
    const EmitInfo *info;
    CScopes scopes;
    CParams params;     /* of NAME_run */
    VEC(CFunc *) funcs; /* as module_function counts them: run is the last; parts are in steps */
    Map by_name;        /* kernel or step name -> CFunc */
    CVar *buffers;      /* by Reg.index */
    CTypes types;       /* asked for so far */
    VEC(CMacro *) macros;
    Map macro_names;    /* name -> CMacro */
    Buf code;           /* kernels: printed before it is known what the prelude must define */
    CFunc *func;        /* being printed */
    int indent;         /* spaces */
    const char *origin; /* the last comment printed, so that runs of calls share one */
};

/* Fills in everything that is known before printing: names and what c_analyse finds. */
void c_prepare(CPrinter *p, const Module *m, const EmitInfo *info);
bool c_has_parts(const CPrinter *p); /* of any step */

#endif
