/* loop_inst.h: for tests: single instructions of the loop IR, run by its interpreter. Include after
 * cmocka.h. */
#ifndef EFFNETC_TESTS_LOOP_INST_H
#define EFFNETC_TESTS_LOOP_INST_H

#include "ir/loop.h"

/* Runs a body that computes y, of type `to`, from registers a, b, c of type `from`, which hold the
 * bytes at in[0..2]; pa points to a in memory. Writes y to out. The test fails where it doesn't
 * run. */
void run_body(const char *target, const char *body, LType from, LType to, const void *const *in,
              void *out);

/* The same for y = TEXT, where denormals are kept. */
void run_inst(const char *text, LType from, LType to, const void *const *in, void *out);

/* Whether two results are the same number, 0 and -0 being two, or both NaN. */
bool same_f(double a, double b);

#endif
