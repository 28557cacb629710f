/* op_matrix.c: operators of matrices, in the last two dimensions: Trilu, EyeLike, Det. */
#include "frontend/import.h"

/* ---- by diagonals ---------------------------------------------------------------------------- */

/* row + k, and column, for an op that compares them. */
typedef struct Diagonals {
    Value *row, *column;
} Diagonals;

static Diagonals diagonals(OnnxNode *n, int64_t rows, int64_t columns, Value *k) {
    Value *row = onnx_iota(n, "row", DT_i64, rows, 2, 0);
    return (Diagonals){onnx_binary(n, OP_add, "diagonal", row, k),
                       onnx_iota(n, "column", DT_i64, columns, 2, 1)};
}

/* Input 1, one int64, or 0 where it is absent. */
static Value *diagonal_input(OnnxNode *n) {
    Value *k = onnx_input(n, 1);
    if (!k)
        return onnx_scalar(n, "k", DT_i64, 0);
    if (k->type.dtype != DT_i64 || shape_elems(&k->type.shape) != 1)
        onnx_bad(n, "its k must be one int64");
    return n->failed ? NULL : onnx_reshape(n, "k", k, &(Shape){0});
}

/* Trilu-14: what is on the diagonal k and above it, or below it. */
void import_trilu(OnnxNode *n) {
    bool upper = attr_bool(n, "upper", true);
    Value *x = onnx_input(n, 0), *k = diagonal_input(n);
    const Shape *s = &x->type.shape;
    if (s->rank < 2)
        onnx_bad(n, "its input must have rank 2 or more, it has rank %d", s->rank);
    if (n->failed)
        return;
    Diagonals d = diagonals(n, s->dim[s->rank - 2], s->dim[s->rank - 1], k);
    Value *kept = upper ? onnx_binary(n, OP_less_equal, "kept", d.row, d.column)
                        : onnx_binary(n, OP_less_equal, "kept", d.column, d.row);
    Value *zero = onnx_scalar(n, "zero", x->type.dtype, 0);
    onnx_set_output(n, 0, onnx_where(n, NULL, kept, x, zero));
}

/* EyeLike-9, -22: 1 on the diagonal k. */
void import_eye_like(OnnxNode *n) {
    DType dt = onnx_input(n, 0)->type.dtype;
    const Shape *s = onnx_shape(n, 0);
    int64_t to = attr_int(n, "dtype", 0);
    if (attr_present(n, "dtype") &&
        !dtype_from_onnx(to >= 0 && to <= INT32_MAX ? (int32_t)to : -1, &dt))
        onnx_unsupported(n, "ONNX data type %lld is not supported", (long long)to);
    if (s->rank != 2)
        onnx_bad(n, "its input must be a matrix, it has %d dimensions", s->rank);
    Tensor *k = tensor_new(&n->im->g->arena, DT_i64, (Shape){0});
    tensor_set_i64(k, 0, attr_int(n, "k", 0));
    if (n->failed)
        return;
    Diagonals d = diagonals(n, s->dim[0], s->dim[1], onnx_constant(n, "k", k));
    onnx_set_output(
        n, 0, onnx_cast(n, NULL, onnx_binary(n, OP_equal, "is_diagonal", d.row, d.column), dt));
}

/* ---- Det ------------------------------------------------------------------------------------- */

enum { MAX_DET = 6 }; /* rows: minors[] has a value for each set of columns */

static Value *element(OnnxNode *n, Value *row, int column) {
    return onnx_slice_axis(n, "element", row, row->type.shape.rank - 1, column, 1, 1);
}

/* The minor of the columns in `set`, by its first row: the others' minors are there. */
static Value *expansion(OnnxNode *n, Value *row, Value *const *minors, unsigned set, int size) {
    Value *sum = NULL;
    for (int i = 0, at = 0; i < size; i++) {
        unsigned bit = 1u << i;
        if (!(set & bit))
            continue;
        Value *e = element(n, row, i), *rest = minors[set & ~bit];
        Value *term = rest ? onnx_binary(n, OP_mul, "term", e, rest) : e;
        sum = !at ? term : onnx_binary(n, at % 2 ? OP_sub : OP_add, "minor", sum, term);
        at++;
    }
    return sum;
}

static int count_bits(unsigned set) {
    int count = 0;
    for (; set; set &= set - 1)
        count++;
    return count;
}

/* Det-11, -22: by minors, from the last row up. */
void import_det(OnnxNode *n) {
    Shape s = *onnx_shape(n, 0);
    if (s.rank < 2 || s.dim[s.rank - 1] != s.dim[s.rank - 2])
        onnx_bad(n, "its input must be square matrices");
    else if (s.dim[s.rank - 1] < 1 || s.dim[s.rank - 1] > MAX_DET)
        onnx_unsupported(n, "determinants are supported of 1 to %d rows", MAX_DET);
    if (n->failed || !onnx_needs_float(n, 1))
        return;
    int size = (int)s.dim[s.rank - 1];
    Value *minors[1 << MAX_DET] = {NULL};
    for (int row = size - 1; row >= 0 && !n->failed; row--) {
        Value *r = onnx_slice_axis(n, "row", onnx_input(n, 0), s.rank - 2, row, 1, 1);
        for (unsigned set = 1; set < 1u << size && !n->failed; set++)
            if (count_bits(set) == size - row)
                minors[set] = expansion(n, r, minors, set, size);
    }
    s.rank -= 2;
    onnx_set_output(n, 0, onnx_reshape(n, NULL, minors[(1u << size) - 1], &s));
}
