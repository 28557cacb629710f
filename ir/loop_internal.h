/* loop_internal.h: what the loop_*.c files share. Private to ir/. */
#ifndef EFFNETC_IR_LOOP_INTERNAL_H
#define EFFNETC_IR_LOOP_INTERNAL_H

#include "ir/loop.h"

/* ---- loop.c --------------------------------------------------------------------------------- */

const char *buffer_kind_name(BufferKind kind);

/* What the result of `in` has to be, from its operands and from `written`: the type or the number
 * of lanes that the text names, which is that of in->dst where there is one. False where the form
 * has no result or the operands are missing or not of the right kind. */
bool inst_result(const Inst *in, LType written, RegKind *kind, LType *type);

/* The inner blocks of a loop or branch, in text order; returns how many: 0, 1 or 2. */
int inst_blocks(Inst *in, Block *blocks[2]);

/* Adds k, a plain one, behind the kernels of m; a taken name gets a number. Returns k. */
Kernel *module_add_kernel(Module *m, Kernel *k);

/* ---- loop_build.c --------------------------------------------------------------------------- */

/* Appends an instruction without operands to b's innermost open block. */
Inst *build_inst(Builder *b, InstOp op);
/* Opens the (first) block of the loop or branch that was appended last. */
void build_open(Builder *b, Block *body);

/* ---- loop_print.c --------------------------------------------------------------------------- */

bool is_register_name(const char *s); /* [A-Za-z_][A-Za-z0-9_]* */
/* FOLDER/weights-HASH.bin */
const char *weights_path(Arena *a, const char *folder, uint64_t hash);

#endif
