/* target.h: the table of facts about the machines that code is generated for. */
#ifndef EFFNETC_TARGET_H
#define EFFNETC_TARGET_H

#include "support/support.h"

/* One row of archs.def. */
typedef struct Arch {
    const char *name;        /* the first part of triples */
    bool memory_operands;    /* arithmetic can read memory */
    bool prefetches;         /* data can be brought into a cache */
    int issue;               /* instructions a cycle, for the cost model */
    const char *llvm_cpu;    /* what features are added to; NULL: LLVM makes no code for it */
    const char *header;      /* of intrinsics: "immintrin.h" */
    bool asks_for_features;  /* generated C asks for them by pragmas */
    const char *gcc_options; /* of a pragma of generated C; "" for none */
    const char *c_test;      /* of the preprocessor */
} Arch;

/* One row of targets.def. Sizes in bytes. */
typedef struct Target {
    const char *name;   /* as in --target */
    const char *triple; /* LLVM's */
    int vector_bytes;   /* width of a vector register; 4 where kernels are scalar */
    int vector_regs;    /* how many there are */
    bool fma;           /* has a fused multiply-add */
    bool flush_to_zero; /* run with denormals flushed, on input and output */
    bool scale2;        /* has the loop IR's scale2 and exp2_low5 */
    int64_t l1_bytes, l2_bytes;
    const char *features; /* as GCC's and Clang's target attribute has them; "" for none */
    const char *c_flags;  /* what a test passes to cc besides -O2 */
    const char *summary;  /* for `effnetc targets` */
} Target;

size_t target_count(void);
const Target *target_at(size_t i);
/* Finds a row by name; "native" is the best row that this machine can run. NULL where unknown. */
const Target *target_find(const char *name);
const Target *target_native(void);
/* The instruction set of its triple. */
const Arch *target_arch(const Target *t);
/* Whether this machine can run code for t. */
bool target_runs_here(const Target *t);

/* f32 lanes of a vector register: 16, 8, 4 or 1. It is also the channel block of activations. */
static inline int target_lanes(const Target *t) {
    return t->vector_bytes / 4;
}

/* Whether registers are left beside a tile's, so that compilers keep it there whatever stands
 * between its loops. */
static inline bool target_spares_registers(const Target *t) {
    return t->vector_regs >= 32;
}

/* Which cache the loop IR's prefetch brings data into: 1, 2; 0: it does nothing. */
static inline int target_prefetch_cache(const Target *t) {
    if (target_lanes(t) == 1 || !target_arch(t)->prefetches)
        return 0;
    return target_spares_registers(t) ? 1 : 2;
}

#endif
