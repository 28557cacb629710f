/* loop_eval.h: a kernel as the interpreter runs it. Private to ir/; shared by loop_eval.c,
 * loop_steps.c and loop_lanes.c. */
#ifndef EFFNETC_IR_LOOP_EVAL_H
#define EFFNETC_IR_LOOP_EVAL_H

#include "ir/loop.h"

typedef struct Step Step;
typedef struct Code Code;

/* The memory of a buffer. */
typedef struct Memory {
    const Buffer *buffer;
    unsigned char *data;
} Memory;

/* The value of a pointer register. The offset, in elements, may be outside. */
typedef struct Pointer {
    const Memory *memory;
    int64_t offset;
} Pointer;

/* Registers live in one block of bytes, the frame of their kernel; a Slot is a register's offset
 * there. Values are arrays of lanes, pointers are Pointers. */
typedef uint32_t Slot;

enum { MAX_FRAME_BYTES = 1 << 30 };

/* base + sum of factor * reg + offset, modulo 2^64. A buffer's base is a slot with a Pointer. */
typedef struct StepAddr {
    Slot base;
    int nterms;
    struct {
        Slot reg;
        int64_t factor;
    } terms[MAX_TERMS];
    int64_t offset;
} StepAddr;

typedef struct StepBound {
    bool is_reg;
    Slot reg;
    int64_t value;
} StepBound;

typedef struct StepArg {
    bool is_addr;
    Slot to; /* in the callee's frame */
    StepAddr addr;
    StepBound integer;
} StepArg;

/* Computes the lanes of one instruction. */
typedef void LaneFn(unsigned char *regs, const Step *s);
/* Whether the operands of an integer division have a quotient. */
typedef bool LaneTest(const unsigned char *regs, const Step *s);

typedef enum StepKind {
    STEP_LANES,      /* u.lanes.fn */
    STEP_TEST,       /* u.test must hold */
    STEP_LOAD,       /* dst = bytes at u.addr */
    STEP_SPLAT_LOAD, /* dst = the element at u.addr, `lanes` times */
    STEP_STORE,      /* bytes at u.addr = src[0] */
    STEP_LEA,        /* dst = u.addr */
    STEP_FOR,        /* starts u.loop, or goes to target where it has no round */
    STEP_NEXT,       /* of the loop whose FOR is at target: another round, or go on */
    STEP_UNLESS,     /* goes to target where src[0] is false */
    STEP_JUMP,       /* goes to target */
    STEP_AGAIN,      /* the same, for another round of a while */
    STEP_CALL,       /* u.call */
    STEP_RETURN
} StepKind;

struct Step {
    StepKind kind;
    int lanes;
    int bytes; /* of one element */
    Slot dst, src[3];
    size_t target;
    union {
        struct {
            LaneFn *fn;
            uint64_t imm; /* a constant, in its lowest bytes; the distance of a shift */
        } lanes;
        LaneTest *test;
        StepAddr addr;
        struct {
            StepBound lo, hi;
            Slot limit; /* where hi is kept */
            int64_t step;
        } loop;
        struct {
            Code *callee;
            StepArg *args;
            int nargs;
        } call;
    } u;
    const Inst *inst; /* what it was made from: for messages */
};

/* A compiled kernel. Since kernels can't recurse, each has one frame and one place to return to. */
struct Code {
    const Kernel *kernel;
    VEC(Step) steps;
    Slot *slots; /* by Reg.index */
    size_t frame_bytes;
    unsigned char *frame;
    Code *caller;     /* while it runs */
    size_t return_to; /* step of the caller */
};

/* ---- loop_steps.c --------------------------------------------------------------------------- */

/* Compiles every kernel and step of m, which must be valid, and run, whose code is the result.
 * memory[i] is that of buffer i. NULL with an error in d where a kernel's registers take too much
 * memory. */
Code *compile_module(Arena *a, const Module *m, const Memory *memory, Diag *d);

/* ---- loop_lanes.c --------------------------------------------------------------------------- */

/* The function of an instruction whose operands (src[0], or dst without operands) are of type
 * dt. */
LaneFn *lane_function(InstOp op, DType dt, bool flush_to_zero);
/* NULL where the loop IR has no such conversion. */
LaneFn *lane_convert(DType from, DType to, bool flush_to_zero);
LaneTest *lane_division_test(DType dt);
/* dst = the element at src[0], of imm, in all lanes; dst = src[1] or src[2] by src[0] */
LaneFn lane_splat, lane_const, lane_select, lane_copy, lane_swap;

#endif
