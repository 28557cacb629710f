/* graph_internal.h: what the files of the graph IR share among themselves. */
#ifndef EFFNETC_IR_GRAPH_INTERNAL_H
#define EFFNETC_IR_GRAPH_INTERNAL_H

#include "ir/graph.h"

/* ---- graph.c --------------------------------------------------------------------------------- */

/* A new value called `name`, which must be free. */
Value *value_new(Graph *g, const char *name, Type t);
/* v's name becomes free. The value must have no uses. */
void value_forget(Graph *g, Value *v);
/* v gets another name, which must be free. */
void value_rename(Graph *g, Value *v, const char *name);
/* There is one more constant, of so many bytes. Gives files' memory back now and then. */
void graph_count_constant(Graph *g, int64_t bytes);
void use_link(Use *u, Value *v); /* v may be NULL */
void use_unlink(Use *u);

/* ---- graph_lex.c: the tokens of the text form ------------------------------------------------ */

/* A text that is being read. Functions that return bool report an error to d where they return
 * false: line and column, what was expected, what was found. */
typedef struct Lexer {
    const char *start, *p, *end;
    const char *where; /* the text's name */
    Diag *d;
    Arena *arena; /* of names, strings and lists: the graph's */
} Lexer;

typedef struct Span {
    const char *s;
    size_t n;
} Span;

void lex_skip_space(Lexer *l);            /* spaces, newlines and # comments */
void lex_skip_line(Lexer *l);             /* up to its newline */
bool lex_at(Lexer *l, const char *punct); /* does the text go on with it? */
bool lex_accept(Lexer *l, const char *punct);
bool lex_expect(Lexer *l, const char *punct, const char *what);
Span lex_peek_word(Lexer *l); /* [A-Za-z_][A-Za-z0-9_]*; n == 0 where there is none */
bool lex_word(Lexer *l, Span *out, const char *what);
bool lex_name(Lexer *l, const char **out);   /* behind % or @: bare or quoted */
bool lex_string(Lexer *l, const char **out); /* "..." */
bool lex_int(Lexer *l, int64_t *out, const char *what);
Span lex_number(Lexer *l); /* the characters of a number, of any kind */
bool lex_float(Lexer *l, double *out, const char *what);
/* An error at `at`: always false. */
bool lex_error_at(Lexer *l, const char *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* An error at the next token: "expected WHAT", with a note of what is there. Always false. */
bool lex_expected(Lexer *l, const char *what);

bool span_is(Span s, const char *text);
bool name_char_is_bare(char c); /* may be in a name without quotes */

/* ---- graph_number.c: numbers in texts -------------------------------------------------------- */

/* The shortest decimal form that reads back as the same number of type dt; nan, inf, -inf. */
void print_f64(Buf *b, double x, DType dt);
/* Element i of t, so that parse_element gives the same bits. */
void print_element(Buf *b, const Tensor *t, int64_t i);
bool parse_element(Lexer *l, Tensor *t, int64_t i);

/* ---- graph_eval_quantize.c ------------------------------------------------------------------ */

/* What the steps of a convolution make of x, a result of that channel. */
float eval_steps(const Tensor *steps, int64_t channel, float x);

/* ---- graph_attrs.c --------------------------------------------------------------------------- */

/* " {kernel=3x3, act=silu}", without the fields that equal their default. */
void attrs_print(Buf *b, AttrSet set, const void *attrs);
/* The value of one attribute: "3x3". */
void attr_print(Buf *b, const AttrField *f, const void *attrs);
/* What is between the braces, which are consumed too. */
bool attrs_parse(Lexer *l, AttrSet set, void *attrs);

/* ---- graph_parse_type.c ---------------------------------------------------------------------- */

/* A type; *arena_offset is -1 where it names none. The type is valid. */
bool parse_type(Lexer *l, Type *t, int64_t *arena_offset);

/* ---- graph_parse.c --------------------------------------------------------------------------- */

typedef struct Placed {
    Type type;
    int64_t offset; /* in the arena; -1 = none */
} Placed;

typedef VEC(Placed) PlacedTypes;

/* A result of which a count says how much is there. */
typedef struct CountText {
    size_t output;
    Value *count;
    int64_t axis;
    const char *at;
} CountText;

typedef struct Parser {
    Lexer lex;
    Graph *g;
    const char *constant_dir;
    PlacedTypes results; /* of the signature */
    VEC(CountText) counts;
    size_t errors; /* in d before this text */
} Parser;

/* A name that is free, behind its sigil. */
bool parse_new_name(Parser *p, char sigil, const char **name);
/* A value that exists. After an error the cause of a missing one is probably known: then there is
 * no second message. */
bool parse_value(Parser *p, Value **v);
bool parse_types(Parser *p, PlacedTypes *types); /* one or more, with commas */

/* ---- graph_parse_const.c, graph_parse_node.c ------------------------------------------------- */

bool parse_constant(Parser *p); /* behind the word const */
bool parse_node(Parser *p);     /* from its first result on */

/* ---- graph_verify.c -------------------------------------------------------------------------- */

/* As graph_verify; the faults ask for this exit code: a graph from a text is the user's. */
bool graph_verify_as(const Graph *g, const char *where, int exit_code, Diag *d);

/* ---- graph_infer*.c, graph_eval_*.c: the columns of ops.def ---------------------------------- */

#define OP(id, results, operands, attrs, infer, eval, flags)                                       \
    OpInfer infer_##infer;                                                                         \
    OpEval eval_##eval;
#include "ir/ops.def"
#undef OP

/* ---- graph_infer.c: what shape rules ask for ------------------------------------------------- */

/* Each returns false with the reason in `why` where the answer is no. */
bool refuse(Buf *why, const char *fmt, ...) PRINTF_LIKE(2, 3); /* always */
bool want_float(const Node *n, int slot, Buf *why);
bool want_number(const Node *n, int slot, Buf *why); /* not bool */
bool want_bool(const Node *n, int slot, Buf *why);
bool want_rank(const Node *n, int slot, int rank, Buf *why);
bool want_same_dtypes(const Node *n, Buf *why); /* all operands that are there */
/* The operand is absent or has exactly this shape. */
bool want_shape(const Node *n, int slot, Shape want, Buf *why);
/* The shape that both broadcast to. */
bool want_broadcast(const Shape *a, const Shape *b, Shape *y, Buf *why);
bool want_axis(int64_t axis, int rank, Buf *why);
/* An attribute with one entry for each of `rank` dims. */
bool want_entries(const char *attr, Ints v, int rank, Buf *why);

static inline const Shape *shape_in(const Node *n, int slot) {
    return &node_in(n, slot)->type.shape;
}
static inline DType dtype_in(const Node *n, int slot) {
    return node_in(n, slot)->type.dtype;
}
/* Plain, of the element type of n's first operand. */
static inline Type like_x(const Node *n, Shape shape) {
    return type_plain(dtype_in(n, 0), shape);
}

/* ---- graph_infer_conv.c ---------------------------------------------------------------------- */

/* Each number is from min to a bound that keeps all sums far from overflow. */
bool want_between(const char *what, const int64_t *v, int n, int64_t min, Buf *why);
/* One axis (0: rows, 1: columns) of the result of a window that moves over a padded input. */
bool conv_size(const ConvAttrs *a, int axis, int64_t in, int64_t *out, Buf *why);
/* The type of what conv2d or conv2d_mean computes before the mean. */
bool infer_conv2d_planes(const Node *n, Type *y, Buf *why);

/* ---- graph_eval.c ---------------------------------------------------------------------------- */

/* Computes n's results from tensors that are all there. */
bool eval_node(const Node *n, const Tensor *const *in, Tensor *const *out, Buf *why);

/* ---- graph_eval_move.c: shared by the evaluators --------------------------------------------- */

/* A shape seen as rows along its last dim (one row of one element for rank 0). */
int64_t row_count(const Shape *s);
int64_t row_length(const Shape *s);
int64_t last_stride(const Shape *s, const int64_t *stride);
/* The offset of a row's first element in a tensor with these strides. */
int64_t row_offset(const Shape *s, int64_t row, const int64_t *stride);

/* ---- graph_eval_math.c: functions of two elements -------------------------------------------- */

typedef struct Binary {
    double (*on_floats)(double a, double b); /* NULL: the shape rule lets no floats in */
    /* Sign- or zero-extended operands; false where there is no result. */
    bool (*on_ints)(uint64_t a, uint64_t b, bool is_signed, uint64_t *y);
} Binary;

/* Both operands have one type, y has it or is bool; numpy's broadcasting. */
bool binary_eval(const Binary *f, const Tensor *const *in, Tensor *y, Buf *why);
bool bits_less(uint64_t a, uint64_t b, bool is_signed);

#endif
