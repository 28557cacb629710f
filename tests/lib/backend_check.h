/* backend_check.h: for tests: a module that is compiled, by a C compiler or LLVM, against the loop
 * interpreter, bit for bit but for NaN's sign and payload. Sections follow the files. Include after
 * cmocka.h. */
#ifndef EFFNETC_TESTS_BACKEND_CHECK_H
#define EFFNETC_TESTS_BACKEND_CHECK_H

#include "tests/lib/c_compile.h"

/* ---- backend_check.c ------------------------------------------------------------------------- */

/* The module of a text that must parse and be sound. */
Module *parse(const char *text);
/* c_build, which must work. */
CBuild *build(const Module *m, const char *compiler, const char *flags);

enum { MAX_BUFFERS = 64 };

typedef struct Run {
    Arena arena;
    Tensor *in[MAX_BUFFERS], *expected[MAX_BUFFERS], *got[MAX_BUFFERS];
    int nin, nout;
} Run;

/* Special and random inputs; what a kernel forgets to write of an output is NaN. */
Run run_new(const Module *m);
/* On the threads of a pool, where there is one. */
int run_compiled(const CBuild *p, Run *r, const CPool *pool);
/* A pool of one thread that takes the last part first, and counts the calls. */
void backwards(void *regions, size_t n, void (*body)(void *arg, size_t i), void *arg);

/* What output element i of output o came from, for messages. */
typedef const char *Describe(void *ctx, int output, int64_t i);
/* Compiles m, runs it alone and on a pool, and compares its outputs with the interpreter's. */
void compare(const Module *m, const char *compiler, const char *flags, Describe *describe,
             void *ctx);

/* Calls body for each target that runs here or in an emulator and each compiler, a list that ends
 * with NULL, that is installed. */
void each_target(const char *const *compilers, void (*body)(const Target *t, const char *compiler));

/* ---- backend_matrix.c ------------------------------------------------------------------------ */

/* Every instruction on every type and number of lanes that the target has. */
void check_every_instruction(const Target *t, const char *compiler, const char *flags);

/* ---- backend_structure.c --------------------------------------------------------------------- */

/* A module of all there is but arithmetic: names that C can't have, variables that must be hoisted,
 * in-place work, pointers into buffers, steps with parts, weights (sealed). */
Module *structure_module(const Target *t);

/* ---- backend_tests.c: tests of any backend --------------------------------------------------- */

/* As cmocka has tests; *state is a list of compilers, which ends with NULL. */
void every_instruction_matches_the_interpreter(void **state);
void control_flow_matches_the_interpreter(void **state);
void objects_need_and_keep_nothing(void **state);
void run_checks_its_arguments(void **state);
void check_weights_finds_each_fault(void **state);
void flush_mode_ends_with_the_run(void **state);
void parts_run_on_the_pool(void **state);
void tiles_stay_in_registers(void **state);

#define BACKEND_TEST(test, compilers) cmocka_unit_test_prestate(test, (void *)(compilers))
#define BACKEND_TESTS(compilers)                                                                   \
    BACKEND_TEST(every_instruction_matches_the_interpreter, compilers),                            \
        BACKEND_TEST(control_flow_matches_the_interpreter, compilers),                             \
        BACKEND_TEST(objects_need_and_keep_nothing, compilers),                                    \
        BACKEND_TEST(run_checks_its_arguments, compilers),                                         \
        BACKEND_TEST(check_weights_finds_each_fault, compilers),                                   \
        BACKEND_TEST(flush_mode_ends_with_the_run, compilers),                                     \
        BACKEND_TEST(parts_run_on_the_pool, compilers),                                            \
        BACKEND_TEST(tiles_stay_in_registers, compilers)

#endif
