/* graph.h: the graph IR. Sections follow the files that implement them.
 *
 *     graph @blk(%in: f32[1,24,56,56]) -> f32[1,24,56,56] {
 *       const @w : f32[144,24,1,1] = xxh:8c1f00aa90b2c7d1
 *       %e = conv2d %in, @w {kernel=1x1, act=silu} : f32[1,144,56,56]  # "blocks.2.1/expand"
 *       return %e
 *     }
 *
 * SSA: a value has one definition (a graph input, a constant, or a node) and a list of its uses.
 * Every type is static. Reference: docs/graph-ir.md. */
#ifndef EFFNETC_IR_GRAPH_H
#define EFFNETC_IR_GRAPH_H

#include "ir/types.h"

typedef struct Graph Graph;
typedef struct Node Node;
typedef struct Value Value;
typedef struct Use Use;

/* The ops: rows in ops.def; more below. */
typedef enum Op {
#define OP(id, results, operands, attrs, infer, eval, flags) OP_##id,
#include "ir/ops.def"
#undef OP
    OP_COUNT
} Op;

/* ---- graph_attrs.c: attributes, one struct per kind, rows in attrs.def ----------------------- */

typedef struct Dim2 {
    int64_t v[2]; /* height, width */
} Dim2;
typedef struct Dim4 {
    int64_t v[4]; /* top, left, bottom, right */
} Dim4;
typedef struct Ints {
    const int64_t *v; /* in the graph's arena */
    int n;
} Ints;

/* clang-format off */
#define ATTR_TYPE_int    int64_t
#define ATTR_TYPE_float  double
#define ATTR_TYPE_bool   bool
#define ATTR_TYPE_dim2   Dim2
#define ATTR_TYPE_dim4   Dim4
#define ATTR_TYPE_ints   Ints
#define ATTR_TYPE_act    Act
#define ATTR_TYPE_dtype  DType
#define ATTR_TYPE_op     Op

typedef enum AttrKind {
    ATTR_int, ATTR_float, ATTR_bool, ATTR_dim2, ATTR_dim4, ATTR_ints, ATTR_act, ATTR_dtype,
    ATTR_op
} AttrKind;

#define ATTRS_BEGIN(Name, name)               typedef struct Name##Attrs {
#define ATTR(Name, field, kind, ...)              ATTR_TYPE_##kind field;
#define ATTRS_END(Name, name)                 } Name##Attrs;
#include "ir/attrs.def"
#undef ATTRS_BEGIN
#undef ATTR
#undef ATTRS_END
/* clang-format on */

typedef enum AttrSet {
    ATTRSET_none,
#define ATTRS_BEGIN(Name, name) ATTRSET_##name,
#define ATTR(...)
#define ATTRS_END(...)
#include "ir/attrs.def"
#undef ATTRS_BEGIN
#undef ATTR
#undef ATTRS_END
    ATTRSET_COUNT
} AttrSet;

typedef struct AttrField {
    const char *name;
    AttrKind kind;
    size_t offset; /* in the struct, and in its default */
} AttrField;

typedef struct AttrSetInfo {
    const char *name;
    const AttrField *fields;
    int nfields;
    size_t size;
    const void *defaults;
} AttrSetInfo;

const AttrSetInfo *attrset_info(AttrSet s);

/* ---- graph_ops.c: ops, rows in ops.def ------------------------------------------------------- */

/* The slots of a node; a variadic operand is one slot of the op and any number of the node. */
enum { MAX_OPERANDS = 8, MAX_RESULTS = 3 };

/* How an operand is written: required and `?` ones by position, `=` ones as name=%value. A `*` one
 * comes last and stands for any number. */
typedef enum OperandKind {
    OPERAND_REQUIRED,
    OPERAND_OPTIONAL,
    OPERAND_NAMED,
    OPERAND_VARIADIC
} OperandKind;

typedef struct OperandInfo {
    char name[16];
    OperandKind kind;
} OperandInfo;

enum OpFlags {
    OPF_NONE = 0,
    OPF_ELEMENTWISE = 1, /* output element i depends on input elements i (after broadcast) alone */
    OPF_COMMUTES = 2,    /* operands 0 and 1 can be swapped */
};

/* Computes the types of an op's results (but for scratch), by slot, from a node's operands and
 * attributes; required operands are there. False with the reason in `why` where they don't fit.
 * Result layouts are plain; a pass sets others. */
typedef bool OpInfer(const Node *n, Type *results, Buf *why);
/* Computes the results; in[i] is NULL for an absent operand and out[i] for an absent result, by
 * slot; results are allocated, plain and zero.
 * Temporary memory comes from `scratch`. False with the reason in `why` where the values don't
 * allow it: an index out of range, an integer division by zero. */
typedef bool OpEval(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                    Buf *why);

typedef struct OpInfo {
    const char *name;
    const char *results, *operands; /* as in ops.def; op_operand and op_max_results read them */
    AttrSet attrs;
    OpInfer *infer;
    OpEval *eval;
    unsigned flags;
} OpInfo;

const OpInfo *op_info(Op op);
bool op_parse(const char *name, size_t n, Op *out);
/* Operand slots of op; for a variadic op the fixed ones before it, plus one. */
int op_operand_count(Op op);
bool op_is_variadic(Op op);
/* Slot `slot`; for a variadic op every slot from the last on is that one. */
OperandInfo op_operand(Op op, int slot);
/* Results that every node of op has, and those plus the ones a pass may add. */
int op_min_results(Op op);
int op_max_results(Op op);
/* The slot of the result called `name`; -1 where op has none. */
int op_result_slot(Op op, const char *name);
bool op_is_act(Op op, Act *act); /* silu, relu, ...: the ops made from acts.def */
Op op_from_act(Act act);         /* identity for none */

/* ---- graph.c, graph_node.c, graph_walk.c: values, nodes, uses -------------------------------- */

/* One operand slot of a node (or one graph output, then user == NULL). */
struct Use {
    Value *value; /* NULL: an absent optional operand */
    Node *user;
    int slot;
    Use *next, **link; /* list of the value's uses, in no order */
};

struct Value {
    const char *name; /* without % or @; unique in the graph */
    Type type;
    Node *def;        /* NULL for graph inputs and constants */
    int result;       /* the slot of def's op that it is */
    Tensor *constant; /* NULL unless a constant */
    bool is_input;
    Use *uses;
    int64_t arena_offset; /* bytes; -1 = none. Set by plan-memory */
    /* The name of the value of the loaded graph that it equals; NULL: none is known to. */
    const char *source;
};

struct Node {
    Op op;
    int noperands;      /* op_operand_count, or what a variadic node was made with */
    Use *operands;      /* noperands slots; value == NULL where an optional operand is absent */
    int nresults;       /* those that are there */
    Value **results;    /* in order of their slots */
    void *attrs;        /* the struct of op_info(op)->attrs; never NULL unless it has none */
    const char *origin; /* ONNX node name(s) that it came from, "a+b"; "" where unknown */
    Node *prev, *next;  /* the graph's order is an order of execution */
    int mark;           /* scratch of whoever walks the graph */
};

/* Of graph output `output` only the first elements along `axis` are there: as many as output
 * `count` says, an i64[]. */
typedef struct OutputCount {
    size_t output, count;
    int axis;
} OutputCount;

struct Graph {
    Arena arena; /* owns all of it */
    const char *name;
    VEC(Value *) inputs;
    VEC(Use *) outputs;             /* outputs.data[i]->value */
    VEC(const char *) output_names; /* ONNX names, for generated interfaces */
    VEC(OutputCount) counts;        /* of outputs whose size depends on data; sorted by output */
    VEC(Value *) constants;         /* in order of creation; unused ones are dropped by dce */
    Node *first, *last;
    Map names;                  /* name -> Value *, of the values that live */
    VEC(MappedFile *) mappings; /* files that constants point into: unmapped by graph_free */
    VEC(const char *) external; /* of these the ones beside the model, as the model calls them */
    int64_t constant_bytes;     /* of all constants so far, and of those that passes made */
    int64_t folded_bytes;
    int64_t released_bytes; /* constant_bytes when the files' memory was given back last */
    int64_t folded_work; /* steps that folding took so far, in elements and multiply-accumulates */
};

Graph *graph_new(const char *name);
void graph_free(Graph *g);
/* Gives back the memory of its files, which come from the disk again where they are read. */
void graph_release_files(const Graph *g);

Value *graph_input(Graph *g, const char *name, Type t);
/* A new constant; a taken name gets a number. */
Value *graph_constant(Graph *g, const char *name, Tensor *t);
/* A constant called after another one, whose elements from `first` on it has, in a shape of its
 * own. They are known. It takes no memory, so it isn't more of the graph's constants. */
Value *graph_constant_view(Graph *g, const Value *of, int64_t first, Shape shape);
void graph_output(Graph *g, Value *v, const char *onnx_name);
/* Says that output `count` counts what is there of an output along an axis; outputs in order. */
void graph_count_output(Graph *g, size_t output, int axis, size_t count);
/* The count of output i; NULL where all of it is there. */
const OutputCount *graph_output_count(const Graph *g, size_t i);
/* Makes v the graph's output i; its ONNX name stays. */
void graph_set_output(Graph *g, size_t i, Value *v);

/* A name that no value of g has: `base`, or base.1, base.2, ... Depends on the living names alone,
 * so that passes make the same names after a dump was read back. */
const char *graph_unique_name(Graph *g, const char *base);

/* Appends a node before `before` (NULL: at the end), with default attributes and no types yet;
 * operands may be NULL, and those from n on are absent. Follow with node_infer. The first result is
 * called `name`, made unique. */
Node *node_new(Graph *g, Op op, Node *before, const char *name, Value *const *operands, int n);
/* Adds the result in `slot`, one marked `?` that isn't there yet, of type t. */
Value *node_add_result(Graph *g, Node *n, int slot, const char *name, Type t);
/* Takes the result in `slot` away, which has no uses. */
void node_remove_result(Graph *g, Node *n, int slot);
/* Runs the op's shape rule and sets the result types; false with the reason in `why`. A result
 * whose dtype and shape stay the same keeps its layout and arena offset; scratch keeps all. */
bool node_infer(Node *n, Buf *why);
/* As node_infer; dies where it fails: for passes, which build only what fits. */
void node_infer_or_die(Node *n);
void node_erase(Graph *g, Node *n); /* its results must have no uses */
void node_move_before(Graph *g, Node *n, Node *before);
void node_set_operand(Node *n, int slot, Value *v); /* v may be NULL */

static inline Value *node_in(const Node *n, int slot) {
    return slot < n->noperands ? n->operands[slot].value : NULL;
}
static inline Value *node_out(const Node *n) {
    return n->results[0];
}
/* The result called `name`; NULL where n hasn't it. */
Value *node_result(const Node *n, const char *name);

/* Runs the shape rule alone: the types that the op's operands and attributes ask for. */
bool node_result_types(const Node *n, Type *results, Buf *why);

/* The slot of the operand called `name` in n's op; dies where there is none. */
int node_slot(const Node *n, const char *name);

/* Every use of `old` becomes a use of `new`, graph outputs too. So the new value is what the old
 * one was: it takes over its source, or that there is none. */
void value_replace(Value *old, Value *new_value);
/* From now on each value has a source: itself, as it is here. Passes needn't care. */
void graph_track_sources(Graph *g);
int value_use_count(const Value *v);
/* The only user of v, or NULL where it has several uses or is a graph output. */
Node *value_single_user(const Value *v);
bool value_is_graph_output(const Value *v);
/* Whether v, a result, is memory for its node's kernel: of any type, and no shape rule says
 * which. */
bool value_is_scratch(const Value *v);

/* Joins two origins into "a+b", each name once; either may be "". A list of more than some thousand
 * bytes ends in "+...". */
const char *origin_join(Graph *g, const char *a, const char *b);

/* Deletes nodes without uses, and then constants without uses. Returns how many nodes. */
int graph_dce(Graph *g);
int graph_node_count(const Graph *g);
/* Sets each node's mark to its number, from 0 on. Returns how many there are. */
int graph_number_nodes(Graph *g);
/* No value has a place in the arena any more. */
void graph_forget_places(Graph *g);
/* Multiply-accumulates of one node and of the graph: of convolutions, fused ones too, dense, se and
 * matmul; saturated. */
int64_t node_macs(const Node *n);
int64_t graph_macs(const Graph *g);
/* Learned weights: elements of float constants, and of integers that are dequantised. Scalars are
 * arguments of operators; means and variances of batch norms, and scales, are measured. */
int64_t graph_parameters(const Graph *g);

/* Typed access to attributes; dies on the wrong op. */
#define ATTRS_BEGIN(Name, name)                                                                    \
    static inline Name##Attrs *name##_attrs(const Node *n) {                                       \
        ensure(op_info(n->op)->attrs == ATTRSET_##name);                                           \
        return n->attrs;                                                                           \
    }
#define ATTR(...)
#define ATTRS_END(...)
#include "ir/attrs.def"
#undef ATTRS_BEGIN
#undef ATTR
#undef ATTRS_END

#define FOR_EACH_NODE(g, n) for (Node *n = (g)->first; n; n = n->next)
/* Safe where the body erases n. */
#define FOR_EACH_NODE_SAFE(g, n)                                                                   \
    for (Node *n = (g)->first, *n##_next; n && (n##_next = n->next, 1); n = n##_next)

/* ---- graph_infer*.c: shape rules ------------------------------------------------------------- */

/* Output rows (axis 0) or columns (1) of a convolution that fits its padded input. */
int64_t conv_out_size(const ConvAttrs *a, int axis, int64_t in);

/* The taps of output row (axis 0) or column (1) `out` that are in [lo, hi), in coordinates of the
 * input: where the first one is, and how many there are. */
typedef struct PoolTaps {
    int64_t first, count;
} PoolTaps;
PoolTaps pool_taps(const PoolAttrs *a, int axis, int64_t out, int64_t lo, int64_t hi);

/* What a requantize_sum does to the sum. */
static inline FakeQuantAttrs requantize_sum_steps(const Node *n) {
    const RequantizeSumAttrs *a = requantize_sum_attrs(n);
    return (FakeQuantAttrs){a->divide, a->times, a->min, a->max};
}

/* Rows of a convolution's operand `steps`, which has a number in each for every channel: results
 * become round(x * by / divide) between min and max, times a factor. */
enum { STEP_BY, STEP_DIVIDE, STEP_MIN, STEP_MAX, STEP_TIMES, STEP_COUNT };

/* The two convolutions of conv2d_dwconv2d, and what the first one, which isn't a value, gives. */
ConvAttrs conv_dw_first(const Node *n);
ConvAttrs conv_dw_second(const Node *n);
Type conv_dw_middle(const Node *n);

/* ---- graph_print.c, graph_parse*.c: text ----------------------------------------------------- */

typedef enum ConstantForm {
    CONSTANTS_ELIDED, /* xxh:HASH, but up to 16 elements are inline */
    CONSTANTS_INLINE  /* all elements, exactly */
} ConstantForm;

void graph_print(Buf *b, const Graph *g, ConstantForm form);
/* One node as it stands in a graph's text, without a newline. */
void node_print(Buf *b, const Node *n);
/* Writes each elided constant of g to out as FOLDER/HASH.bin (raw little-endian elements). */
void graph_write_constants(const Graph *g, const char *folder, Outputs *out);

/* Parses one graph. `where` names the text in messages; constant_dir (or NULL) is where HASH.bin
 * files are looked for: a constant without a file stays elided. NULL with errors in d (line,
 * column, expected, found). A graph that is returned verifies. Comments other than a node's
 * trailing # "origin" are dropped. */
Graph *graph_parse(const char *text, size_t size, const char *where, const char *constant_dir,
                   Diag *d);

/* ---- graph_verify.c -------------------------------------------------------------------------- */

/* Checks every invariant: names, order, uses, arity, types against the op's shape rule, layouts,
 * arena offsets. Reports all faults to d, as internal errors; true where there is none. */
bool graph_verify(const Graph *g, const char *where, Diag *d);

/* ---- graph_diff.c: are two graphs the same network? ------------------------------------------ */

typedef struct GraphDiffOptions {
    /* Names of attributes that may differ; "layout": transposes of inputs don't count;
     * "preprocessing": arithmetic of inputs with constants doesn't. */
    const char *const *ignored;
    size_t nignored;
} GraphDiffOptions;

/* All *n names that `ignored` may have, each once. */
const char *const *graph_diff_names(size_t *n, Arena *a);

typedef enum GraphDiffKind {
    GRAPH_DIFF_NONE,
    GRAPH_DIFF_INPUT,   /* index, of those that are read: the first input that differs in type or is
                           missing */
    GRAPH_DIFF_NODE,    /* a, b: the first node of each graph that the other hasn't; may be NULL */
    GRAPH_DIFF_SHARING, /* a, b: equal, but a value is used twice in one graph and made twice in the
                          other */
    GRAPH_DIFF_OUTPUT   /* index: the first output that is another value or is missing */
} GraphDiffKind;

typedef struct GraphDifference {
    GraphDiffKind what;
    size_t index;
    const Node *a, *b;
} GraphDifference;

/* Whether both compute the same but for the elements of float constants. Names, origins, inputs
 * that nothing reads and the order of independent nodes don't count, nor does that of operands
 * which commute. Overwrites the nodes' marks. False with the first difference in *out. */
bool graph_same(Graph *a, Graph *b, const GraphDiffOptions *o, GraphDifference *out);
/* Input i of those that a node or an output reads; NULL where there are fewer. */
const Value *graph_read_input(const Graph *g, size_t i);
/* A line for each thing that differs in two nodes: "pad: 1x1x1x1 and 0x0x1x1". */
void node_print_differences(Buf *b, const Node *x, const Node *y);

/* ---- graph_eval*.c, graph_fold.c: the oracle ------------------------------------------------- */

/* Evaluates g: in[i] for each graph input (plain, of its type's dtype and shape), results into
 * out[i] (allocated in arena) for each graph output. Naive, float64 accumulation, layouts ignored;
 * a value's memory is freed after its last use. False with an error in d where a constant was
 * elided or an op can't be computed (an index out of range). */
bool graph_eval(const Graph *g, Tensor *const *in, Tensor **out, Arena *arena, Diag *d);

/* Called after each node with its results, by slot, which live only during the call. */
typedef void EvalHook(void *ctx, const Node *n, Tensor *const *results);
bool graph_eval_with(const Graph *g, Tensor *const *in, Tensor **out, Arena *arena, Diag *d,
                     EvalHook *hook, void *ctx);

/* The value of v where it depends on constants alone: it is computed, and v itself and what it
 * depends on become constants of g (their nodes are erased; v stays valid). NULL and no change of v
 * where it depends on inputs, where a constant was elided, where an element count passes `limit` or
 * folding would make much more data or take much more work than the graph's constants justify, or
 * where an op can't be computed. */
const Tensor *graph_fold_value(Graph *g, Value *v, int64_t limit);

/* Whether a pass may make so many bytes of new constants; the pass adds them to folded_bytes. The
 * bound is some times the graph's own constants: a small file that shares one weight among
 * thousands of nodes gets there, a model doesn't. */
bool graph_may_grow(const Graph *g, int64_t bytes);

/* ---- graph_sums.c: sums of products of integers ---------------------------------------------- */

/* Between which numbers something stays; 0 is between them. */
typedef struct SumBounds {
    double lo, hi;
} SumBounds;

/* Weights as [outer][count][inner] of sums [outer, inner], or as [outer][count] blocks of `inner`
 * terms of sums [outer]: how they lie. */
typedef struct SumTerms {
    int64_t outer, count, inner;
    bool summed; /* inner elements are terms of one sum */
} SumTerms;

enum { MOST_SUM_RUNS = 64 };

/* Runs of terms along `count` whose sums f32 holds exactly, whatever their order: run i ends before
 * end[i]. The sums of the last one stay within `last`: each, or all where there is one. */
typedef struct SumRuns {
    int count;
    int64_t end[MOST_SUM_RUNS];
    SumBounds *last;
    int64_t sums;
} SumRuns;

/* The runs of integers within x times w, or times integers within `any` where w is NULL. False
 * where there are too many. Memory comes from a. */
bool sum_runs(Arena *a, SumBounds x, const Tensor *w, SumBounds any, const SumTerms *t, SumRuns *r);
/* A bias, one number for each sum, as two f32 tensors of its shape: `low` starts the sums of the
 * last run, which stay exact, `high` is added to them: *split says whether it does anything. False
 * where that can't be, or the sums may be no int32. */
bool sum_split_bias(const SumRuns *r, const Tensor *bias, Tensor *low, Tensor *high, bool *split);

#endif
