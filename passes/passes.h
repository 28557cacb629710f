/* passes.h: graph passes, lowering and loop passes, and the runner.
 *
 * A pass is one row of passes.def, one file pass_NAME.c and golden cases in tests/cases. It states
 * its contract above its function; it neither prints nor verifies: the runner does. */
#ifndef EFFNETC_PASSES_H
#define EFFNETC_PASSES_H

#include "ir/graph.h"
#include "ir/loop.h"
#include "target/target.h"

/* ---- pass.c: the pass table and the runner --------------------------------------------------- */

/* What the user can ask of passes; zeroed: the defaults. */
typedef struct PassOptions {
    bool no_winograd;   /* direct convolutions alone */
    double part_cycles; /* what parts for threads should have at least; 0: what pays off */
    int64_t max_arena;  /* bytes that the arena should not exceed, whatever time it costs; 0: any */
} PassOptions;

typedef struct PassContext {
    const Target *target;
    const char *where; /* the model's name in messages */
    Diag *diag;        /* errors and remarks of passes */
    PassOptions options;
} PassContext;

/* Both return false with an error in cx->diag where the graph can't be handled. */
typedef bool GraphPass(Graph *g, PassContext *cx);
typedef bool LoopPass(Module *m, PassContext *cx);

typedef enum PassLevel { PASS_GRAPH, PASS_LOWER, PASS_LOOP } PassLevel;

typedef struct PassInfo {
    const char *name; /* "fold-batch-norm" */
    PassLevel level;
    GraphPass *graph;
    LoopPass *loop;
    const char *help;
} PassInfo;

size_t pass_count(void);
const PassInfo *pass_at(size_t i);
const PassInfo *pass_find(const char *name);

/* A module or a graph, whichever level the program has reached. */
typedef struct Program {
    Graph *graph;
    Module *module; /* after lowering */
} Program;

void program_free(Program *p);

typedef struct RunnerOptions {
    const char *print_after;     /* a pass name, "all" or "changed"; NULL: nothing */
    const char *dump_dir;        /* NN-pass.ir and constants/HASH.bin of every pass; NULL: none */
    const char *const *disabled; /* pass names */
    int ndisabled;
    bool time;              /* seconds of each pass, to log */
    bool stats;             /* "fuse-silu  ops 237 -> 172", to log */
    bool verify_each;       /* run the IR's verifier after each pass */
    bool verify_values;     /* evaluate the graph before and after each graph pass */
    ConstantForm constants; /* of what is printed */
    FILE *log;              /* where the above is printed; NULL: stderr */
    const char *header;     /* first comment line of each dump; NULL: target and pass alone */
} RunnerOptions;

/* Runs passes by name over p, in order; "lower" takes it from the graph to the module. False with
 * errors in cx->diag: a pass failed, an IR didn't verify, or a value changed. */
bool run_passes(Program *p, const char *const *names, int n, PassContext *cx,
                const RunnerOptions *o);

/* ---- pipeline.c ------------------------------------------------------------------------------ */

/* The passes of an optimisation level, "lower" included. */
const char *const *pipeline(int opt_level, int *n);

/* ---- lower.c: graph IR to loop IR ------------------------------------------------------------ */

/* Lowers a graph after layout and plan-memory. NULL with errors in cx->diag, one for each op
 * without a lowering. */
Module *lower_graph(Graph *g, PassContext *cx);

/* ---- pass_plan_memory.c ---------------------------------------------------------------------- */

enum { ARENA_ALIGN = 64 }; /* of the arena, the weights, and everything in them; bytes */

typedef struct MemoryPlan {
    int64_t arena_bytes; /* of the plan in the graph */
    int64_t lower_bound; /* the most that is alive at once: no plan needs less */
} MemoryPlan;

/* The figures of a graph after plan-memory. Overwrites the nodes' marks. */
MemoryPlan plan_summary(Graph *g);
/* Bytes of the arena that plan-memory would make. Overwrites the nodes' marks. */
int64_t plan_arena(Graph *g);
/* Bytes alive at each node, by its mark, which this sets to its place in the order. */
const int64_t *plan_alive(Graph *g, Arena *a);

/* ---- cost.c ---------------------------------------------------------------------------------- */

/* Cycles that a node takes on the target, after layout: an estimate to compare alternatives with,
 * and the sum over a graph. */
double node_cycles(const Node *n, const PassContext *cx);
double graph_cycles(const Graph *g, const PassContext *cx);

/* ---- pass_fit_arena.c ------------------------------------------------------------------------ */

typedef struct ArenaStep {
    const Node *node;    /* what was changed */
    const char *what;    /* how: "fused, by 8 bands of 14 rows, 1 part at a time" */
    double cycles;       /* that it costs, predicted */
    int64_t arena_bytes; /* afterwards */
} ArenaStep;

/* Changes the graph, after add-scratch, to need less memory where it needs most, at the least cost;
 * false where nothing can. Text and temporary memory come from a. */
bool arena_shrink(Graph *g, PassContext *cx, Arena *a, ArenaStep *out);

#endif
