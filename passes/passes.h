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
    int64_t l2_bytes;   /* what the second cache holds; 0: what the target's row says */
    int64_t max_arena;  /* bytes that the arena should not exceed, whatever time it costs; 0: any */
} PassOptions;

typedef struct ScheduleBook ScheduleBook;
typedef struct TileProblems TileProblems;

typedef struct PassContext {
    const Target *target;
    const char *where; /* the model's name in messages */
    Diag *diag;        /* errors and remarks of passes */
    PassOptions options;
    const ScheduleBook *book; /* tiles to use instead of the cost model's; NULL: none */
    TileProblems *problems;   /* where what was asked of the cost model is noted; NULL: nowhere */
    bool last_use; /* nobody reads the graph after `lower`, which frees constants early */
} PassContext;

static inline int64_t pass_l2_bytes(const PassContext *cx) {
    return cx->options.l2_bytes ? cx->options.l2_bytes : cx->target->l2_bytes;
}

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

/* A module or a graph, whichever level the program has reached. */
typedef struct Program {
    Graph *graph;
    Module *module; /* after lowering */
} Program;

void program_free(Program *p);

/* What a pass did. */
typedef struct PassResult {
    const PassInfo *pass;
    int before, after; /* nodes of the graph, or kernels of the module: of none before `lower` */
} PassResult;

/* Called behind each pass, when it was verified; false ends the run. */
typedef bool PassDone(void *context, const PassResult *r, const Program *p);

typedef struct RunnerOptions {
    const char *print_after;     /* a pass name, "all", "changed" or "diff"; NULL: nothing */
    const char *dump_dir;        /* NN-pass.ir and constants/HASH.bin of every pass; NULL: none */
    const char *const *disabled; /* pass names */
    int ndisabled;
    bool time;              /* seconds of each pass, to log */
    bool stats;             /* "fuse-silu  ops 237 -> 172", to log */
    bool verify_each;       /* run the IR's verifier after each pass */
    bool verify_values;     /* evaluate the graph before and after each graph pass */
    ConstantForm constants; /* of what is printed */
    PassDone *done;         /* NULL: nobody to call */
    void *done_context;
    FILE *log;          /* where the above is printed; NULL: stderr */
    const char *header; /* first comment line of each dump; NULL: target and pass alone */
} RunnerOptions;

/* Runs passes by name over p, in order; "lower" takes it from the graph to the module. False with
 * errors in cx->diag: a pass failed, an IR didn't verify, or a value changed; and where o->done
 * said so. */
bool run_passes(Program *p, const char *const *names, int n, PassContext *cx,
                const RunnerOptions *o);

/* ---- picture_input.c: pictures as they are --------------------------------------------------- */

/* What is done with the channels of a picture: (x - mean) / std, in the model's order of them. */
typedef struct PictureValues {
    float mean[3], std[3];
    bool bgr; /* the model wants blue first */
} PictureValues;

/* Makes an input of the graph, f32[N,3,H,W] or f32[N,H,W,3], the bytes u8[N,H,W,3] of pictures, red
 * first, of which the graph computes what it took before. False with an error (3) where it is
 * another one. For a graph that no pass has seen. */
bool graph_take_bytes(Graph *g, size_t input, const PictureValues *v, const char *where, Diag *d);

/* ---- plane_order.c: tensors as the caller has them ------------------------------------------- */

/* How tensors with four dimensions lie in memory. */
typedef enum PlaneOrder { ORDER_MODEL, ORDER_NCHW, ORDER_NHWC } PlaneOrder;

/* Makes the graph's inputs and outputs with four dimensions have these orders; ORDER_MODEL leaves
 * them. Which one the model has, is told by its inputs of 1, 3 or 4 channels, or with square
 * planes. False with an error (3) where they don't tell, or there is no such tensor. For a graph
 * that no pass has seen. */
bool graph_take_layout(Graph *g, PlaneOrder inputs, PlaneOrder outputs, const char *where, Diag *d);

/* ---- pipeline.c ------------------------------------------------------------------------------ */

/* The passes of an optimisation level, "lower" included. */
const char *const *pipeline(int opt_level, int *n);
/* Those before fuse-residual, from which on passes choose for the target; how many. `whole`:
 * without the ones that take layers apart, as network_recognise wants a graph. */
enum { MAX_PIPELINE = 64 };
int pipeline_canonical(bool whole, const char *names[MAX_PIPELINE]);
/* The place of `lower` in it. */
int pipeline_lower(int opt_level);

/* ---- lower.c: graph IR to loop IR ------------------------------------------------------------ */

/* Lowers a graph after layout and plan-memory. NULL with errors in cx->diag, one for each op
 * without a lowering. */
Module *lower_graph(Graph *g, PassContext *cx);

/* ---- schedule.c: the tiles of kernels -------------------------------------------------------- */

typedef enum TileKind { TILE_GEMM, TILE_DW } TileKind;

/* What decides about the speed of a kernel that computes its output in tiles. */
typedef struct TileProblem {
    TileKind kind;
    int64_t kh, kw;           /* taps */
    int64_t stride, dilation; /* along a row */
    int64_t pixels;           /* of an output row */
    int64_t channels, k;      /* gemm: output and input channels */
    Act act;
    bool planar;   /* gemm: the input lies in planes, not in blocks */
    bool residual; /* gemm */
    bool sum;      /* dw: pixels are summed up too */
    /* How much of it there is. No tile depends on it: it is not what tells problems apart. */
    int64_t rows, blocks; /* output rows; dw: blocks of channels */
} TileProblem;

typedef struct Tile {
    int64_t mr; /* pixels */
    int64_t nv; /* gemm: vectors of output channels; else 1 */
    bool half;  /* gemm: two pixels share a last vector that needs half of its lanes */
} Tile;

/* Why a kernel can't have that tile; NULL where it can. */
const char *tile_fault(const TileProblem *p, const Tile *t, const Target *target);
/* The tiles whose predicted time is at most `within` times the best one's, up to `max` of them, the
 * fastest first; how many. The first one is what the cost model chooses. */
size_t tile_candidates(const TileProblem *p, const Target *target, double within, Tile *out,
                       size_t max);
/* Multiply-accumulates of all of it. */
int64_t tile_macs(const TileProblem *p, const Target *target);

/* ---- schedule_book.c: tiles in a text file --------------------------------------------------- */

/* The tiles of one target. A line is a problem, what tells it apart, and its tile; lines are in
 * order, comments mean nothing:
 *
 *     effnetc-schedules 1 target=x86-64-v4
 *     dw 3x3 pixels=56 act=silu sum : mr=14
 *     gemm 1x1 pixels=3136 channels=144 k=24 act=silu : mr=14 nv=2  # 3.1 % faster than mr=9 nv=3
 */
enum { SCHEDULE_BOOK_VERSION = 1 };

ScheduleBook *schedule_book_new(const Target *target);
void schedule_book_free(ScheduleBook *book);
/* NULL with errors (bad model; line, column, what was expected and found). Another target than the
 * one wanted, and tiles that a kernel can't have, are errors. */
ScheduleBook *schedule_book_parse(const char *text, size_t size, const char *where,
                                  const Target *target, Diag *d);
void schedule_book_print(Buf *b, const ScheduleBook *book);
/* False where the book has no tile for p. */
bool schedule_book_find(const ScheduleBook *book, const TileProblem *p, Tile *tile);
/* Sets the tile of p; `comment` may be NULL. */
void schedule_book_set(ScheduleBook *book, const TileProblem *p, const Tile *tile,
                       const char *comment);
/* Lines of problems that are not among these. */
size_t schedule_book_unused(const ScheduleBook *book, const TileProblems *problems);
/* "mr=14 nv=2 half" */
void tile_print(Buf *b, const TileProblem *p, const Tile *tile);

/* Distinct problems, in the order in which they were added; a zeroed struct is empty. */
struct TileProblems {
    Arena arena;
    VEC(TileProblem *) items;
    Map known; /* text -> TileProblem */
};
/* Adds a problem, or keeps the larger `rows` and `blocks` of one that is there. */
void tile_problems_add(TileProblems *all, const TileProblem *p);
void tile_problems_free(TileProblems *all);

/* ---- lower_trials.c: modules that measure tiles ---------------------------------------------- */

typedef struct TileTrial {
    const TileProblem *problem;
    Tile tile;
    int64_t input_at, input_bytes; /* set by lower_trials: what its kernel reads of the arena */
} TileTrial;

/* A module with one input, i64[n], that runs the kernel of trial i as often as element i says, on
 * whatever the arena holds and weights within (-1, 1); after `lower` of the pipeline. */
Module *lower_trials(TileTrial *trials, size_t n, PassContext *cx);

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
/* Memory of the arena that a value has, or a chain of values each in the place of the one
 * before. */
typedef struct PlanRegion {
    const Value *value; /* the first one */
    int64_t offset, bytes;
    int first,
        last; /* nodes, by their place in the order: where it is made, where it is last read */
} PlanRegion;

typedef VEC(PlanRegion) PlanRegions;

/* The regions of a graph after plan-memory. Sets the nodes' marks to their places in the order. */
PlanRegions plan_regions(Graph *g, Arena *a);
/* Bytes alive at each node, by its mark, which this sets to its place in the order. */
const int64_t *plan_alive(Graph *g, Arena *a);
/* The mark of the last node that reads v, or of the one that makes it. v is a node's result; marks
 * are as plan_alive leaves them. */
int plan_last_use(const Value *v);

/* ---- cost.c ---------------------------------------------------------------------------------- */

/* Cycles that a node takes on the target, after layout: an estimate to compare alternatives with,
 * and the sum over a graph. */
double node_cycles(const Node *n, const PassContext *cx);
double graph_cycles(const Graph *g, const PassContext *cx);
/* Cycles that no kernel for a node can go below: those of its multiply-adds, or of the bytes that
 * it must read and write, whichever are more. */
double node_roof(const Node *n, const PassContext *cx);
/* Multiply-accumulates a cycle of a core with two units for them, as the schedules have it. */
int64_t target_macs_per_cycle(const Target *t);

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
