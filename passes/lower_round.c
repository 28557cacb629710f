/* lower_round.c: round to the nearest integer, ties to even: the instructions of an elementwise op.
 */
#include "passes/lower.h"

/* From 2^23 on floats are integers. Below, adding 2^23 to |x| rounds it as wanted, and subtracting
 * is exact. NaN stays; a zero may lose its sign. */
Reg *round_result(Builder *b, Reg *x) {
    Reg *magic = build_const_f(b, "magic", x->type, 1 << 23);
    Reg *zero = build_const_f(b, "zero", x->type, 0);
    Reg *size = build_op(b, INST_abs, "size", x, NULL, NULL);
    Reg *r = build_op(b, INST_add, "r", size, magic, NULL);
    r = build_op(b, INST_sub, "r", r, magic, NULL);
    Reg *minus = build_op(b, INST_neg, "minus", r, NULL, NULL);
    r = build_op(b, INST_select, "r", build_op(b, INST_lt, "below", x, zero, NULL), minus, r);
    return build_op(b, INST_select, "z", build_op(b, INST_lt, "small", size, magic, NULL), r, x);
}
