/* import.h: what the files of frontend/ share. Others use frontend.h. Sections follow the files
 * that implement them, in the order in which a model passes through them. */
#ifndef EFFNETC_FRONTEND_IMPORT_H
#define EFFNETC_FRONTEND_IMPORT_H

#include "frontend/frontend.h"
#include "onnx.pb-c.h"

/* ---- wire.c: a first walk over a protobuf file that is not trusted --------------------------- */

/* The data of one TensorProto as it lies in the file. */
typedef struct WireBlob {
    const uint8_t *data;
    size_t size;
    uint32_t
        field; /* number of the TensorProto field: raw_data, or a packed one such as float_data */
} WireBlob;

/* What is left of a file once it is known to be sound.
 *
 * `copy` is the same message without unknown fields and without tensor data: wherever a
 * TensorProto had data it has a raw_data of four bytes, the little-endian index of its blob. No
 * other raw_data is in the copy, so that a file can't forge a reference. */
typedef struct WireScan {
    Buf copy;
    VEC(WireBlob) blobs;   /* in the caller's arena */
    size_t unpacked_bytes; /* a bound of what protobuf-c allocates for the copy */
} WireScan;

enum {
    WIRE_MAX_DEPTH = 64,
    WIRE_MAX_NODES = 900000,
    WIRE_MAX_UNPACKED = 256 << 20, /* bytes; a member of the family needs 1 to 20 MB */
};

/* Walks `size` bytes as a message of type `root`. False with an error (2: byte, field, reason) in d
 * where protobuf-c would read past an end, nest deeper, take more memory or give up without a
 * reason. out->copy is the caller's to free in both cases. */
bool wire_scan(const ProtobufCMessageDescriptor *root, const uint8_t *data, size_t size,
               const char *where, Arena *a, WireScan *out, Diag *d);

/* Reads one varint from [*p, end) and steps over it; false where none ends there in 10 bytes. */
bool wire_varint(const uint8_t **p, const uint8_t *end, uint64_t *out);

typedef struct OnnxNode OnnxNode;
typedef struct Importer Importer;
typedef struct NchwcChannels NchwcChannels;

/* ---- import.c -------------------------------------------------------------------------------- */

/* Imports one node, whose inputs were. */
void import_node(OnnxNode *n);

/* "a/b/" of "a/b/file.onnx", "." of "file.onnx". */
const char *folder_of(Arena *a, const char *path);

/* ---- onnx_model.c: a file to an unpacked, checked ModelProto --------------------------------- */

/* What ONNX has beside tensors, and the graph IR hasn't: known while importing alone. */
typedef struct OnnxList {
    bool is_sequence; /* else an optional without an element; one that has it is its element */
    Value **items;
    int64_t count;
} OnnxList;

/* A name of a scope: one initializer, input or node output. */
typedef struct OnnxName {
    const char *name;
    const char *label;    /* what a value of the graph IR that it stands for is called */
    OnnxNode *producer;   /* NULL for inputs and initializers */
    Value *value;         /* NULL before its producer was imported, and where that failed */
    const OnnxList *list; /* in place of a value */
    bool is_absent;       /* an input of a function that the call leaves out */
    int uses;             /* by nodes, also inside of their subgraphs, and as an output */
} OnnxName;

/* Where names have a meaning: the graph, a subgraph of a node, the body of a function. Each time
 * that a subgraph or a function is put in the place of its node it is a scope of its own. */
typedef struct Scope {
    Importer *im;
    const struct Scope *outer;           /* whose names are visible as well; NULL: none */
    const OnnxNode *at;                  /* the node whose place it takes; NULL: the graph */
    const Onnx__FunctionProto *function; /* that it is the body of, or is inside; or NULL */
    const OnnxNode *call;                /* of that function */
    const char *path;                    /* of calls and iterations: "a/b/", or "" */
    const Map *opsets;                   /* domain -> const int64_t *: the version imported */
    int depth;                           /* of scopes around it */
    Map names;                           /* name -> OnnxName * */
    OnnxNode *nodes;
    size_t nnodes;
    VEC(OnnxNode *) order; /* of execution */
} Scope;

/* What a scope is made from: a GraphProto or a FunctionProto. */
typedef struct OnnxBody {
    Onnx__NodeProto *const *nodes;
    size_t nnodes;
    const char *const *inputs, *const *outputs; /* names; NULL where the file gives none */
    size_t ninputs, noutputs;
    const Onnx__GraphProto *graph; /* NULL for a function, which has no initializers */
} OnnxBody;

/* Everything that one import knows. */
struct Importer {
    Graph *g;
    Diag *d;
    const char *path;    /* of the model, the `where` of all messages */
    const char *folder;  /* where external data may lie; NULL: nowhere */
    const uint8_t *data; /* the file's bytes, which outlive g */
    size_t size;
    const ImportOptions *options;
    Arena arena; /* lives as long as the import */
    WireScan wire;
    const Onnx__ModelProto *model;
    Map opsets;    /* of the model: domain -> const int64_t *; "" is ai.onnx */
    Scope main;    /* the model's graph */
    Map functions; /* key of import_call.c -> OnnxFunction * */
    Map constants; /* address of a message, as text -> the Value that was made of it */
    /* Of import_counts.c: name of a Value -> what of its size depends on data; name of a count ->
     * the most that it can be, int64_t *; what was made of counts, under a key of these. */
    Map counts, count_most, count_values;
    Map small;     /* name of a Value -> the SmallType whose numbers it holds */
    Map external;  /* real path -> MappedFile *, all in g->mappings */
    Map locations; /* what the model calls them */
    size_t external_mapped, external_used; /* bytes of those files, and of the tensors in them */
    int64_t sparse_stored, sparse_dense;   /* bytes of all sparse tensors, as stored and dense */
    int64_t made_bytes, own_bytes;         /* see onnx_may_make */
    Map first_dims;                        /* of import_batch.c: name of an input -> FirstDim */
    int64_t recurrent_steps;               /* of all RNN, GRU and LSTM, which are unrolled */
    size_t inlined;                        /* what inlining took so far: see import_inline.c */
    bool inlined_too_much;                 /* which was reported */
    NchwcChannels *nchwc;                  /* of import_nchwc.c; NULL before it is asked for */
};

enum {
    OPSET_OLDEST = 1, /* rows of onnx_ops.def say what is known of each operator */
    OPSET_NEWEST = 28,
    IR_OLDEST = 3,
    IR_NEWEST = 14,
};

/* Maps the file at im->path for as long as g lives. False with an error. */
bool model_map(Importer *im);
/* Scans and unpacks im->data and checks what concerns the whole model. False with errors. */
bool model_load(Importer *im);

/* Reads a list of opsets; `who` imports them. False with an error. */
bool opsets_read(Importer *im, const char *who, Onnx__OperatorSetIdProto *const *list, size_t n,
                 Map *out);

/* The name that a domain goes by here: "" for ai.onnx; s may be NULL. */
const char *onnx_domain(const char *s);

/* A string of the file for use in a message (which diag_print makes safe): shortened where it is
 * long, with quotes or without. */
const char *quoted(Importer *im, const char *s);
const char *shortened(Importer *im, const char *s);

/* ---- onnx_tensor.c, onnx_external.c: TensorProto to Tensor ----------------------------------- */

/* Why something of the file can't be used. */
typedef struct Problem {
    int exit_code; /* EXIT_BAD_MODEL or EXIT_UNSUPPORTED */
    const char *reason;
} Problem;

/* Sets p and returns false. */
bool problem(Importer *im, Problem *p, int exit_code, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* The tensor with its data: a view into the file wherever that is aligned, else a copy in g's
 * arena. NULL with the reason in p. */
Tensor *tensor_import(Importer *im, const Onnx__TensorProto *t, Problem *p);

/* onnx_sparse.c: the same of a sparse tensor, as a dense one. */
Tensor *sparse_import(Importer *im, const Onnx__SparseTensorProto *s, Problem *p);
/* An initializer's name is that of its values; NULL where it has none. */
const char *sparse_name(const Onnx__SparseTensorProto *s);

/* `size` bytes of external data, mapped for as long as g lives; p where the location leaves the
 * model's folder or the file has fewer bytes. */
bool external_data(Importer *im, const Onnx__TensorProto *t, size_t size, const uint8_t **data,
                   Problem *p);

/* ---- import_names.c: names to values, nodes to an order -------------------------------------- */

/* The body of a graph: its names are in im's arena. */
OnnxBody body_of_graph(Importer *im, const Onnx__GraphProto *g);
/* Defines a name in s. */
OnnxName *name_new(Scope *s, const char *name, OnnxNode *producer);
/* Enters all names of the body, finds duplicates and undefined ones, and sets s->order. The inputs
 * of a body inside of another scope are there before. False with errors. */
bool names_resolve(Scope *s, const OnnxBody *b);
/* What a name means in s; NULL: nothing. */
OnnxName *name_find(const Scope *s, const char *name);
/* Reports an error in a scope, which may be a function's. */
void scope_error(const Scope *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The node's name, else OpType:first output. */
const char *node_origin(Importer *im, const Onnx__NodeProto *p);

/* ---- import_captures.c ----------------------------------------------------------------------- */

/* Sets n->captures: the names of n's scope that its subgraphs read. Names that nothing makes are
 * reported. */
void captures_find(OnnxNode *n);

/* ---- import_inline.c: subgraphs and functions in the place of their nodes -------------------- */

/* A scope inside of n's, whose nodes have names that begin with path. */
Scope *scope_inside(OnnxNode *n, const char *path);
/* Imports a body, of n or of the function that it calls, in scope s: in[i] is its input i, NULL
 * where that is left out; labels[i] names its output i. out[i] gets its output i, which has a value
 * or a list. False where something failed, which was reported; n has failed then. */
bool body_import(OnnxNode *n, Scope *s, const OnnxBody *b, OnnxName *const *in,
                 OnnxName *const *labels, OnnxName **out);
/* The same in the place of n: what is used of its outputs is the body's, by position. */
void body_replaces(OnnxNode *n, Scope *s, const OnnxBody *b, OnnxName *const *in);
/* Imports the nodes of a scope in order. */
void scope_import(Scope *s);
/* Takes from what all inlining together may take; false, with n failed, where it isn't enough. */
bool inline_spend(OnnxNode *n, size_t units);
/* Makes `to` stand for what `from` stands for. */
void name_take(OnnxName *to, const OnnxName *from);

/* ---- import_call.c: functions of the model --------------------------------------------------- */

typedef struct OnnxFunction OnnxFunction;

/* Enters all functions; false with errors. */
bool functions_collect(Importer *im);
/* The function that n calls, or NULL. */
OnnxFunction *function_find(const OnnxNode *n);
void import_call(OnnxNode *n, OnnxFunction *f);

/* ---- import_batch.c: is the first dimension of an input a batch? ----------------------------- */

/* Finds out what the nodes say; behind names_resolve and import_initializers. */
void first_dims_find(Importer *im);
/* Why the first dimension of an input can't be a batch, whose size may be chosen; NULL: it can.
 * `param` is what the model calls it, or NULL. */
const char *first_dim_is_other(Importer *im, const char *input, const char *param);

/* ---- import_nchwc.c: tensors in blocks of channels ------------------------------------------- */

#define NCHWC_DOMAIN "com.microsoft.nchwc"

/* What is known of them in n's graph. NULL after a complaint. */
const NchwcChannels *nchwc_channels(OnnxNode *n);
/* Channels of a block; 0 where nothing tells. */
int64_t nchwc_block(const NchwcChannels *c);
/* The channels to keep of a tensor that has `padded` of them in blocks. */
int64_t nchwc_count(const NchwcChannels *c, const OnnxName *name, int64_t padded);

/* The weights of a convolution, padded to whole blocks. */
typedef struct NchwcFilter {
    const float *data, *bias; /* bias may be NULL */
    int64_t rows, columns, taps, group;
    int64_t block; /* 0: not known */
    bool is_depthwise, has_blocks_in;
} NchwcFilter;

/* False where they aren't constants of the form that they must have. */
bool nchwc_filter(const NchwcChannels *c, OnnxNode *n, NchwcFilter *f);
/* Are they whole blocks? */
bool nchwc_fits(const NchwcFilter *f);
float nchwc_weight(const NchwcFilter *f, int64_t row, int64_t column, int64_t tap);

/* ---- import_io.c: initializers, graph inputs and outputs ------------------------------------- */

bool import_initializers(Scope *s, const Onnx__GraphProto *g);
bool import_inputs(Importer *im);
/* The inputs as declared, without any check. */
void describe_inputs(Importer *im, Arena *a, OnnxInputs *out);
bool import_outputs(Importer *im);

/* ---- onnx_node.c: what an importer of an operator works with --------------------------------- */

typedef void OnnxImportFn(OnnxNode *n);

/* A row of onnx_ops.def. */
typedef struct OnnxOpRow {
    OnnxOp op;
    int min_inputs, max_inputs; /* max_inputs < 0: any number */
    OnnxImportFn *import;
} OnnxOpRow;

/* The row for an operator at a version of its domain. NULL with the reason in *why. */
const OnnxOpRow *onnx_op_find(Arena *a, const char *domain, const char *name, int64_t opset,
                              const char **why);

/* An attribute as a node has it: inside a function it may be the call's, under a name of its
 * own. */
typedef struct OnnxAttr {
    const char *name;
    const Onnx__AttributeProto *value;
    bool is_reference;
} OnnxAttr;

/* One NodeProto during import. An importer reads inputs and attributes, appends nodes to the graph
 * and sets outputs. A complaint sticks: it sets `failed`, is reported once, and what follows it is
 * dropped. */
struct OnnxNode {
    Importer *im;
    Scope *scope;
    const Onnx__NodeProto *proto;
    const char *origin; /* path of the scope, and the node's name, else OpType:first output */
    const char *domain; /* "" is ai.onnx */
    int64_t opset;      /* of the domain */
    OnnxName **inputs;  /* NULL: left out */
    OnnxName **outputs; /* NULL: unused */
    int ninputs, noutputs;
    OnnxName **captures; /* what its subgraphs read of its scope */
    int ncaptures;
    OnnxAttr *attrs;
    int nattrs;
    uint64_t attrs_read; /* bit i: attribute i was asked for */
    bool failed;
    bool knows_counts, drops_count; /* see import_counts.c */
    int state;                      /* of the walk in import_names.c */
};

enum { NODE_MAX_ATTRS = 64 };

/* The graph value of an input; NULL where it is absent, or no tensor. */
Value *onnx_input(const OnnxNode *n, int i);
/* The sequence, or optional without an element, that an input is; NULL where it is a tensor. */
const OnnxList *onnx_list(const OnnxNode *n, int i);
const Shape *onnx_shape(const OnnxNode *n, int i); /* of a present input */
void onnx_set_output(OnnxNode *n, int i, Value *v);
void onnx_set_list(OnnxNode *n, int i, const OnnxList *list);

/* Complaints: the model breaks ONNX's rules (2), or is beyond this compiler (3). */
void onnx_bad(OnnxNode *n, const char *fmt, ...) PRINTF_LIKE(2, 3);
void onnx_unsupported(OnnxNode *n, const char *fmt, ...) PRINTF_LIKE(2, 3);
void onnx_problem(OnnxNode *n, const Problem *p);
/* 3: of an operand; says what v depends on. */
void onnx_not_constant(OnnxNode *n, const char *what, const Value *v);

/* Appends a graph node named after output 0; `part` tells the inner nodes of an operator that takes
 * several (NULL for the one that makes the output). Set attributes, then call onnx_done. */
Node *onnx_add(OnnxNode *n, Op op, const char *part, Value *const *operands, int noperands);
/* Infers the types of x. NULL, reported, where its operands don't fit. */
Value *onnx_done(OnnxNode *n, Node *x);

/* The same for an op of one or two operands without attributes; operands may be NULL after a
 * complaint, and then NULL is returned. */
Value *onnx_unary(OnnxNode *n, Op op, const char *part, Value *x);
Value *onnx_binary(OnnxNode *n, Op op, const char *part, Value *a, Value *b);
Value *onnx_reshape(OnnxNode *n, const char *part, Value *x, const Shape *to);
Value *onnx_expand(OnnxNode *n, const char *part, Value *x, const Shape *to);
/* x cast to a type; x between two bounds. */
Value *onnx_cast(OnnxNode *n, const char *part, Value *x, DType to);
Value *onnx_clip(OnnxNode *n, const char *part, Value *x, double min, double max);
/* op of x and a number, which becomes a constant of x's type. */
Value *onnx_by_scalar(OnnxNode *n, Op op, const char *part, Value *x, double c);
/* A reduction whose axes stay, with a size of 1. */
Value *onnx_reduce(OnnxNode *n, Op op, const char *part, Value *x, Ints axes);
/* Output 0 is op of input 0, which must be a float. */
void onnx_float_unary(OnnxNode *n, Op op);
/* A constant of x's dtype and rank 0. */
Value *onnx_scalar(OnnxNode *n, const char *part, DType dt, double x);
Value *onnx_constant(OnnxNode *n, const char *part, Tensor *t);

/* The value of input i, which must be known while compiling; `what` names it in the complaint. NULL
 * after a complaint. Values past FOLD_LIMIT elements are not computed. */
const Tensor *onnx_const_input(OnnxNode *n, int i, const char *what, int64_t limit);
enum { FOLD_LIMIT = 1 << 16, FOLD_LIMIT_WEIGHTS = 1 << 24 };

/* The same of a value that is no input; v may be NULL after a complaint. */
const Tensor *onnx_const_value(OnnxNode *n, Value *v, const char *what, int64_t limit);

/* Whether the value of input i, a small one, is known while compiling; so is an absent one. */
bool onnx_is_known(OnnxNode *n, int i);

/* The integers of a constant input of rank 0 or 1 and type int32 or int64: `most` of them, or as
 * many as a list for dimensions has. False after a complaint. */
bool onnx_ints_up_to(OnnxNode *n, int i, const char *what, int most, Ints *out);
bool onnx_ints_input(OnnxNode *n, int i, const char *what, Ints *out);
/* They are an attribute before an opset and an input since then: reads whichever is present. False
 * where both are absent, or after a complaint. */
bool onnx_ints_arg(OnnxNode *n, const char *attr, int input, Ints *out);

/* axis + rank where axis is negative; complains where the result is outside [0, limit). */
int onnx_axis(OnnxNode *n, int64_t axis, int limit);
/* Marks the axes in set[0..limit); complains about one that is outside or named twice. */
void onnx_axes(OnnxNode *n, const Ints *axes, int limit, bool *set);

/* A copy of v[0..count) in the graph's arena. */
Ints onnx_keep_ints(OnnxNode *n, const int64_t *v, int count);

/* ---- onnx_build.c: graph ops that importers compose ------------------------------------------ */

/* Operands may be NULL after a complaint, and then NULL is returned. */
Value *onnx_where(OnnxNode *n, const char *part, Value *c, Value *a, Value *b);
Value *onnx_transpose(OnnxNode *n, const char *part, Value *x, const int64_t *perm);
/* [N, ..., C] as [N, C, ...], and back. */
Value *onnx_channels_second(OnnxNode *n, const char *part, Value *x);
Value *onnx_channels_last(OnnxNode *n, const char *part, Value *x);
Value *onnx_concat(OnnxNode *n, const char *part, Value *const *x, int count, int axis);
/* One behind the other along a new axis; x without an axis of one element. */
Value *onnx_stack(OnnxNode *n, const char *part, Value *const *x, int count, int axis);
Value *onnx_without_axis(OnnxNode *n, const char *part, Value *x, int axis);
/* The places of the first of the largest elements along an axis, which stays. */
Value *onnx_first_largest(OnnxNode *n, const char *part, Value *x, int axis);
/* Of one axis, which may be empty: x[start + i * step] for i < size; with numbers `before` and
 * `after` it. */
Value *onnx_slice_axis(OnnxNode *n, const char *part, Value *x, int axis, int64_t start,
                       int64_t size, int64_t step);
Value *onnx_pad_axis(OnnxNode *n, const char *part, Value *x, int axis, int64_t before,
                     int64_t after, double value);
/* The constant 0, 1, ..., count - 1 along one axis of `rank`. NULL after a complaint. */
Value *onnx_iota(OnnxNode *n, const char *part, DType dt, int64_t count, int rank, int axis);
/* Input i, of one element, as a scalar. NULL, with a complaint, where it has more. */
Value *onnx_scalar_input(OnnxNode *n, int i, const char *what);
/* Elements of an axis by their places; by constant ones. */
Value *onnx_gather(OnnxNode *n, const char *part, Value *x, Value *at, int axis);
Value *onnx_gather_axis(OnnxNode *n, const char *part, Value *x, int axis, Tensor *at);
/* What no number of a type is above, or below. */
Tensor *onnx_extreme(OnnxNode *n, DType dt, bool highest);
/* A number that input i, of one element, has while compiling; dflt where it is absent. */
double onnx_number_input(OnnxNode *n, int i, const char *what, double dflt);
/* Whether an importer may take so many bytes for numbers of its own; false, with a complaint, where
 * the model is too small to ask for so much. */
bool onnx_may_make(OnnxNode *n, int64_t bytes);
/* A tensor for a constant of the importer's own; NULL after that complaint. */
Tensor *onnx_new_tensor(OnnxNode *n, DType dt, Shape shape);

/* ---- onnx_small.c: element types that the graph IR hasn't ------------------------------------ */

/* A row of small_types.def. */
typedef struct SmallType {
    const char *name; /* ONNX's */
    int32_t onnx;
    int bits;
    DType held; /* the type of the graph IR that holds one element: a number, or a float's code */
    bool is_float;
    int mantissa, bias; /* bits, and what the exponent is larger by */
    int largest, nan;   /* codes */
    bool is_signed, has_minus_zero;
} SmallType;

/* An element type of ONNX. */
typedef struct ElementType {
    DType dtype;
    const SmallType *small; /* which dtype holds; or NULL */
} ElementType;

/* The type of a TensorProto.DataType; false where it is not supported, and *why says so. */
bool element_type(Importer *im, int64_t onnx, ElementType *out, const char **why);
/* The type that a node's attribute names; false after a complaint. */
bool onnx_element_type(OnnxNode *n, const char *attr, ElementType *out);

/* Complains where n has an input of such a type and its operator must not. */
void small_check(OnnxNode *n, OnnxImportFn *import);
/* What a new node moved is of its operand's type. */
void small_carry(OnnxNode *n, const Node *x);

/* NULL where it is none. */
const SmallType *small_type(int64_t onnx);
const SmallType *small_of(const Importer *im, const Value *v);
/* Says that v holds elements of type s, which may be NULL. */
void small_mark(Importer *im, Value *v, const SmallType *s);

/* How many bytes of a file so many elements take, and these as a tensor of the type that holds
 * them. */
int64_t small_packed_bytes(const SmallType *s, int64_t elems);
void small_unpack(const SmallType *s, const uint8_t *packed, Tensor *to);

/* The numbers that x stands for: f32 where it holds codes, else x. */
Value *onnx_from_small(OnnxNode *n, Value *x);
/* Numbers x as a value that holds s, as n's attributes `saturate` and `round_mode` say. */
Value *onnx_to_small(OnnxNode *n, const char *part, Value *x, const SmallType *s);

/* ---- import_counts.c: sizes that depend on data ---------------------------------------------- */

/* Says that of v only the first elements along axis are there: as many as count, an i64[]. */
void onnx_set_count(OnnxNode *n, Value *v, int axis, Value *count);
/* The axis of input i whose size depends on data; -1: none. */
int onnx_counted_axis(const OnnxNode *n, int i);
/* The same of any value, and its count; -1 and NULL: it is all there. */
int onnx_axis_of_count(const OnnxNode *n, const Value *v);
Value *onnx_count_of(const OnnxNode *n, const Value *v);
/* min(count, limit), and the most that a count can be; false where v is none. */
Value *onnx_count_up_to(OnnxNode *n, Value *count, int64_t limit);
bool onnx_count_most(const OnnxNode *n, const Value *v, int64_t *most);
/* For an importer that knows what to do about a count: v as if all of it were there; with a number
 * in place of what isn't; and which elements along v's counted axis are, as axis `axis` of
 * `rank`. */
Value *onnx_uncounted(OnnxNode *n, Value *v);
Value *onnx_filled(OnnxNode *n, Value *v, Tensor *fill);
Value *onnx_counted_mask(OnnxNode *n, const char *part, const Value *v, int rank, int axis);
/* What is there of each, one behind the other along an axis that some are counted along. */
Value *onnx_concat_counted(OnnxNode *n, Value *const *x, int count, int axis);
/* Carries counts from the operands of a new node to its results, or complains. */
void counts_carry(OnnxNode *n, const Node *x);
/* Complains where n's outputs have no counts and its inputs have. */
void counts_check(OnnxNode *n);
/* Marks the graph outputs that have counts, and adds these as outputs. */
void counts_of_outputs(Importer *im);

/* ---- import_sizes.c: sizes that are computed of counts --------------------------------------- */

/* An element of a list of sizes. */
typedef struct OnnxSize {
    int64_t most; /* exactly, without a count */
    Value *count; /* i64[]; or NULL */
} OnnxSize;

/* The shape of input i as a list. */
Value *onnx_shape_list(OnnxNode *n, int i, int start, int end);
/* The elements of a list, or of a number, of which some are read from beside sizes that depend on
 * data; NULL where one does itself. */
const Tensor *onnx_known_sizes(OnnxNode *n, Value *v);
/* The list that input i is: up to `most` sizes. False after a complaint. */
bool onnx_sizes_input(OnnxNode *n, int i, const char *what, int most, OnnxSize *out, int *count);

/* The constant that was made of a message of the file, which may stand in several scopes; or
 * NULL. */
Value *constant_known(Importer *im, const void *message);
void constant_keep(Importer *im, const void *message, Value *v);

/* ---- onnx_attr.c: attributes of a node ------------------------------------------------------- */

/* Each returns the attribute, or dflt where it is absent; a wrong type is complained about. */
int64_t attr_int(OnnxNode *n, const char *name, int64_t dflt);
bool attr_bool(OnnxNode *n, const char *name, bool dflt);
double attr_float(OnnxNode *n, const char *name, double dflt);
const char *attr_string(OnnxNode *n, const char *name, const char *dflt);
bool attr_ints(OnnxNode *n, const char *name, Ints *out); /* false where absent */
bool attr_floats(OnnxNode *n, const char *name, const float **out, int *count);
bool attr_strings(OnnxNode *n, const char *name, const char ***out, int *count);
const Onnx__TensorProto *attr_tensor(OnnxNode *n, const char *name); /* NULL where absent */
const Onnx__SparseTensorProto *attr_sparse(OnnxNode *n, const char *name);
const Onnx__GraphProto *attr_graph(OnnxNode *n, const char *name); /* which must be there */
bool attr_present(const OnnxNode *n, const char *name);
/* Says that the attribute means nothing for inference. */
void attr_ignore(OnnxNode *n, const char *name);
/* Sets n->attrs: those of the node, with the call's where they refer to them. */
void attrs_bind(OnnxNode *n);
/* Names and types are present, no name twice; before the importer runs. */
void attrs_check(OnnxNode *n);
/* Complains about an attribute that the importer did not ask for: it might change the result. */
void attrs_check_all_read(OnnxNode *n);

/* ---- what several importers share ------------------------------------------------------------ */

/* True where all present ones of the first `count` inputs have input 0's dtype; else complains. */
bool onnx_same_dtype(OnnxNode *n, int count);
/* Input i has that shape, or is absent. */
bool onnx_has_shape(const OnnxNode *n, int i, const Shape *want);
/* True where onnx_same_dtype is, and that is a float. */
bool onnx_needs_float(OnnxNode *n, int count);
/* Input 0 is [N, C, H, W]. */
bool onnx_needs_2d(OnnxNode *n);
/* Input 0 is [N, C] and one or more dimensions in space. */
bool onnx_needs_space(OnnxNode *n);

/* A sliding window over the dimensions in space. */
typedef struct WindowAxis {
    int64_t kernel, stride, dilation;
    int64_t front, back; /* padding */
} WindowAxis;
typedef struct Window {
    int space;
    WindowAxis axis[MAX_RANK];
} Window;

/* ---- op_window.c ---- */

/* The numbers of an attribute, `count` of them from `least` to INT32_MAX; dflt each where it is
 * absent. Complains about others. */
void onnx_window_sizes(OnnxNode *n, const char *name, int count, int64_t least, int64_t dflt,
                       int64_t *out);
/* Reads kernel_shape (which must be `kernel` unless that is NULL), strides, dilations, pads and
 * auto_pad; auto_pad becomes explicit pads for an input of shape x. */
bool onnx_window(OnnxNode *n, const Shape *x, const int64_t *kernel, Window *w);
/* From the first to behind the last element that taps along an axis see. */
int64_t onnx_window_reach(const WindowAxis *a);
/* How many places the window has along an axis of such a size, padding added; 0: it is larger. */
int64_t onnx_window_places(const WindowAxis *a, int64_t in);
/* The window over lines as one over images with a height of 1; others as they are. And such lines
 * [N, C, L]. */
Window onnx_window_2d(const Window *w);
Shape onnx_with_height(const Shape *s);
/* A tensor of shape s as planes whose rows are its dimension `dim`. */
Shape onnx_as_rows(const Shape *s, int dim);
/* The last two dimensions of a window. */
ConvAttrs onnx_window_attrs(const Window *w);

/* What Conv computes with the window and groups given; output 0's value. */
Value *onnx_conv_window(OnnxNode *n, Value *x, Value *w, Value *b, const Window *win,
                        int64_t group);
/* Where the largest elements are that MaxPool finds, in x as one row, or one by columns. */
Value *onnx_max_pool_indices(OnnxNode *n, Value *x, const Window *w, bool by_columns);

/* What Conv, MatMul and AveragePool compute of floats x and w, in place of inputs 0 and
 * 1. x is an image of input 0's shape; b may be NULL. NULL after a complaint. */
Value *onnx_conv(OnnxNode *n, const char *part, Value *x, Value *w, Value *b);
Value *onnx_matmul(OnnxNode *n, const char *part, Value *x, Value *w);
/* x W' by constant weights [N, K], for x of any rank; x and w may be NULL after a complaint. */
Value *onnx_dense(OnnxNode *n, const char *part, Value *x, Value *w);
Value *onnx_average_pool(OnnxNode *n, const char *part, Value *x);
Value *onnx_global_average_pool(OnnxNode *n, const char *part, Value *x);

/* Integers as floats, none below lo or above hi; 0 is between them. */
typedef struct IntegerFactor {
    Value *v;
    double lo, hi;
} IntegerFactor;

/* `shifted`, which is x - zero as f32, for x of any integers of its type; zero may be NULL. */
IntegerFactor onnx_integer_factor(OnnxNode *n, const Value *x, Value *zero, Value *shifted);
/* As onnx_conv and onnx_matmul, exactly: f32 or, where that can't hold the sums, int32. With
 * `rounded` f32 also where a sum needs to be rounded once. The bias is int32, or NULL. */
Value *onnx_integer_conv(OnnxNode *n, const IntegerFactor *x, const IntegerFactor *w, Value *bias,
                         bool rounded);
Value *onnx_integer_matmul(OnnxNode *n, const IntegerFactor *a, const IntegerFactor *b,
                           bool rounded);

/* x [images, channels, ...] between its elements, by lines, with zeros outside: at places at[axis],
 * [images, points, 1], counted in elements; [images, points, channels]. */
Value *onnx_sample(OnnxNode *n, Value *x, Value *const *at);

/* Activations of a float x with parameters. */
Value *onnx_hard_sigmoid(OnnxNode *n, Value *x, double alpha, double beta);
Value *onnx_leaky_relu(OnnxNode *n, Value *x, double alpha);

/* Output 0 is y + z (NULL: y) with what the attributes "activation" and "activation_params"
 * name. */
void onnx_sum_and_act(OnnxNode *n, Value *y, Value *z);

/* softmax(x) along an axis, and its logarithm without overflow. */
Value *onnx_softmax(OnnxNode *n, const char *part, Value *x, int axis);
Value *onnx_log_softmax(OnnxNode *n, const char *part, Value *x, int axis);

/* The product of the dimensions before axis, and of the rest. */
Shape onnx_flat(const Shape *s, int axis);

/* ---- op_*.c: importers, one a row of onnx_ops.def -------------------------------------------- */

#define ONNX_OP(name, domain, since, until, min_in, max_in, importer)                              \
    OnnxImportFn import_##importer;
#include "frontend/onnx_ops.def"
#undef ONNX_OP

#endif
