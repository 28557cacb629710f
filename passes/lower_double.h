/* lower_double.h: what the lowerings of f32 functions that are computed in double precision share.
 * Registers are f64, of any number of lanes, but where it says otherwise. Internal to passes/. */
#ifndef EFFNETC_PASSES_LOWER_DOUBLE_H
#define EFFNETC_PASSES_LOWER_DOUBLE_H

#include "passes/lower.h"

/* Each appends instructions and returns the register of the result. */
Reg *f64_widen(Builder *b, Reg *x);  /* of f32 */
Reg *f64_narrow(Builder *b, Reg *x); /* to f32 */
Reg *f64_number(Builder *b, const Reg *like, double value);
Reg *f64_op(Builder *b, InstOp op, Reg *x, Reg *y);
Reg *f64_op_number(Builder *b, InstOp op, Reg *x, double y);
Reg *f64_below(Builder *b, Reg *x, double limit); /* a mask */
Reg *f64_choose(Builder *b, Reg *mask, Reg *then, Reg *otherwise);

/* c[0] + c[1] * x + ... of n coefficients. */
Reg *f64_polynomial(Builder *b, Reg *x, const double *c, int n);
/* The integer that is nearest to x, for |x| < 2^51; *bits (or NULL): an i64 of which the low bits
 * are that integer's. */
Reg *f64_nearest(Builder *b, Reg *x, Reg **bits);

/* Relative errors are below 1e-11. */
Reg *f64_root(Builder *b, Reg *x); /* of finite x; NaN below 0 */
Reg *f64_exp(Builder *b, Reg *x);  /* as f32 will see it: clamped to e^-200 and e^200 */
Reg *f64_log(Builder *b, Reg *x);  /* of any x that was f32 */

#endif
