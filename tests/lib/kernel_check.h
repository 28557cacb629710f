/* kernel_check.h: for tests of kernels: a graph is lowered for a target, run by the loop
 * interpreter and compared with the graph's evaluator, then compiled, by way of C and by LLVM, and
 * compared with the loop interpreter, bit for bit. Include after cmocka.h.
 *
 * The cases of a kind are one graph with an input and an output for each, so that each target is
 * compiled once. */
#ifndef EFFNETC_TESTS_KERNEL_CHECK_H
#define EFFNETC_TESTS_KERNEL_CHECK_H

#include "passes/passes.h"

/* ---- graphs ---------------------------------------------------------------------------------- */

/* In [-1, 1), the same ones in each run. */
float uniform(void);
Value *random_constant(Graph *g, const char *name, Shape shape, float scale);
Value *new_input(Graph *g, const char *name, Shape shape);
/* A copy of a graph input in channel blocks: a depthwise convolution that changes nothing. */
Value *blocked_input(Graph *g, Shape shape);
/* Ints that live as long as g. */
Ints ints(Graph *g, Shape s);
/* Infers n and makes its first result an output. */
void finish(Graph *g, Node *n);
/* The result of a node without attributes, made an output. */
Value *finish_op(Graph *g, Op op, Value *const *operands, int n);
/* v cast to a type, where it hasn't it. */
Value *as_type(Graph *g, Value *v, DType to);
/* Infers n and makes all its results outputs, cast to float32. */
void finish_as_float(Graph *g, Node *n);

/* ---- running --------------------------------------------------------------------------------- */

typedef struct Fixture {
    Arena arena;
    Diag diag;
    Program p;
    PassOptions options;
    int level;        /* of the pipeline */
    double magnitude; /* of what an output adds up, where it can be far over the output's own */
    double error;     /* what an output may differ by, of its magnitude */
    size_t ninputs, noutputs;
    Tensor **in, **expected, **interpreted, **compiled;
} Fixture;

/* The steps of check_fixture, for tests that look at what is between. */
void make_inputs(Fixture *f, const float *specials, size_t nspecials);
/* Special values come with kernels whose work is divided as finely as can be. */
void lower_fixture(Fixture *f, const char *target, bool fine);
void interpret(Fixture *f);
void fixture_free(Fixture *f);

/* Lowers a graph for a target; the loop interpreter must agree with the oracle, and compiled code
 * with the loop interpreter: by Clang where special values are among the inputs, else GCC, and by
 * LLVM where this build has it. Frees the fixture. */
void check_fixture(Fixture *f, const char *target, const float *specials, size_t nspecials);

/* Not numbers, infinities, -0, large ones; the last one is a denormal number. */
enum { NSPECIALS = 7, NORMAL = NSPECIALS - 1 };
extern const float special_values[NSPECIALS];

/* The graph for all targets, with and without the first special values among its inputs. */
void check_all(Graph *(*make)(void), size_t nspecials, double magnitude);

#endif
