/* c_cross.h: for c_compile.c: code for another machine, run by an emulator. */
#ifndef EFFNETC_TESTS_C_CROSS_H
#define EFFNETC_TESTS_C_CROSS_H

#include "tests/lib/c_compile.h"

/* What code for an instruction set takes on other machines: Debian's names. */
typedef struct Cross {
    const char *arch;     /* of target/archs.def */
    const char *gnu;      /* before gcc, objdump, ...; NULL: there are no such tools for it */
    const char *clang;    /* its --target */
    const char *link;     /* what a program takes */
    const char *emulator; /* a command, with a program's name behind it */
} Cross;

/* NULL where this machine runs t itself, or t's tools are not installed, or are not for this build:
 * a sanitizer has nothing to find in other machines' code. */
const Cross *cross_for(const Target *t);

/* The C compiler, before its options. */
const char *cross_cc(const Cross *x, Arena *a);

/* Appends args.h for CROSS_PROGRAM. */
void cross_put_arguments(Buf *b, const Module *m, const char *name);
/* The source of a program around generated code. */
#define CROSS_PROGRAM EFFNETC_SOURCE_DIR "/tests/models/run_cross.c"
/* Runs that program, which is NAME.run in the folder of p: v is weights, inputs, outputs, arena. */
int cross_run(const CBuild *p, void *const *v, bool on_pool);

#endif
