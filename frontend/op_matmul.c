/* op_matmul.c: Gemm and MatMul. By constant weights they become dense, y[M,N] = x[M,K] w[N,K]^T +
 * b[N]; where the second matrix is known at run time alone, matmul. */
#include "frontend/import.h"

/* ---- constants ----------------------------------------------------------------------------------
 *
 * What has to be turned or scaled is built of graph nodes and folded: the graph keeps account of
 * how much folding makes, so that a small file can't ask for copies of one large matrix without
 * end. */

/* Whether v is known integers that stand for numbers: passes want them as they are. */
static bool is_dequantized(OnnxNode *n, const Value *v) {
    const Node *d = v->def;
    bool is = d && d->op == OP_dequantize;
    for (int i = 0; is && i < d->noperands; i++)
        is = !node_in(d, i) || graph_fold_value(n->im->g, node_in(d, i), FOLD_LIMIT_WEIGHTS);
    return is;
}

/* Whether v depends on constants alone. It becomes one, or stays dequantized. */
static bool is_known(OnnxNode *n, Value *v) {
    return is_dequantized(n, v) || graph_fold_value(n->im->g, v, FOLD_LIMIT_WEIGHTS);
}

static Value *folded(OnnxNode *n, Value *v, const char *what) {
    if (v && !graph_fold_value(n->im->g, v, FOLD_LIMIT_WEIGHTS))
        onnx_not_constant(n, what, v);
    return n->failed ? NULL : v;
}

static Value *transpose_2d(OnnxNode *n, const char *part, Value *x) {
    return onnx_transpose(n, part, x, (const int64_t[]){1, 0});
}

static Value *scaled(OnnxNode *n, const char *part, Value *x, double factor) {
    if (!x || factor == 1)
        return x;
    return onnx_binary(n, OP_mul, part, x, onnx_scalar(n, "factor", x->type.dtype, factor));
}

/* w as the weights [N, K] of dense. NULL after a complaint. */
static Value *dense_weights(OnnxNode *n, Value *w, bool transpose, double alpha) {
    if (is_dequantized(n, w) && alpha == 1)
        return transpose ? transpose_2d(n, "weights", w) : w;
    if (transpose)
        w = transpose_2d(n, "weights", w);
    return folded(n, scaled(n, "scaled_weights", w, alpha), "second matrix");
}

static Value *dense(OnnxNode *n, const char *part, Value *x, Value *w, Value *b) {
    if (!x || !w)
        return NULL;
    return onnx_done(n, onnx_add(n, OP_dense, part, (Value *[]){x, w, b}, b ? 3 : 2));
}

/* ---- Gemm ------------------------------------------------------------------------------------ */

/* Is C constant and the same for each row? Then it is a bias. */
static bool is_bias(OnnxNode *n, int64_t columns) {
    Value *c = onnx_input(n, 2);
    if (!c || !is_known(n, c))
        return false;
    const Shape *s = &c->type.shape;
    int64_t last = s->rank ? s->dim[s->rank - 1] : 1;
    bool one_row = s->rank < 2 || (s->rank == 2 && s->dim[0] == 1);
    return one_row && (last == 1 || last == columns);
}

/* beta C as a vector of one number a column. */
static Value *bias(OnnxNode *n, int64_t columns, double beta) {
    Value *c = scaled(n, "scaled_bias", onnx_input(n, 2), beta);
    if (!c)
        return NULL;
    Shape have = SHAPE(shape_elems(&c->type.shape)), want = SHAPE(columns);
    if (!shape_equal(&c->type.shape, &have))
        c = onnx_reshape(n, "row", c, &have);
    if (!shape_equal(&have, &want))
        c = onnx_expand(n, "bias", c, &want);
    return c && is_dequantized(n, c) ? c : folded(n, c, "bias");
}

/* y + beta C, where C is no bias. */
static Value *add_matrix(OnnxNode *n, Value *y, double beta) {
    Value *c = y ? scaled(n, "scaled", onnx_input(n, 2), beta) : NULL;
    Value *sum = onnx_binary(n, OP_add, NULL, y, c);
    if (sum && !shape_equal(&sum->type.shape, &y->type.shape))
        onnx_bad(n, "C does not broadcast to the product");
    return sum;
}

static bool check_gemm(OnnxNode *n) {
    for (int i = 0; i < 2 && !n->failed; i++)
        if (onnx_shape(n, i)->rank != 2)
            onnx_bad(n, "input %d has %d dimensions, and must be a matrix", i,
                     onnx_shape(n, i)->rank);
    return !n->failed && onnx_needs_float(n, 3);
}

/* alpha a b + beta C. */
static void gemm_at_run_time(OnnxNode *n, Value *a, Value *b, double alpha, double beta) {
    bool add = onnx_input(n, 2) && beta != 0;
    Value *y = onnx_binary(n, OP_matmul, alpha == 1 && !add ? NULL : "product", a, b);
    y = scaled(n, add ? "scaled_product" : NULL, y, alpha);
    onnx_set_output(n, 0, add ? add_matrix(n, y, beta) : y);
}

/* Gemm-7 to -13: alpha A' B' + beta C, where ' may transpose. */
void import_gemm(OnnxNode *n) {
    bool trans_a = attr_bool(n, "transA", false), trans_b = attr_bool(n, "transB", false);
    double alpha = attr_float(n, "alpha", 1), beta = attr_float(n, "beta", 1);
    if (n->failed || !check_gemm(n))
        return;
    Value *x = onnx_input(n, 0), *w = onnx_input(n, 1);
    if (trans_a)
        x = transpose_2d(n, "a", x);
    if (!is_known(n, w)) {
        gemm_at_run_time(n, x, trans_b ? transpose_2d(n, "b", w) : w, alpha, beta);
        return;
    }
    w = dense_weights(n, w, !trans_b, alpha);
    if (!w)
        return;
    int64_t columns = w->type.shape.dim[0];
    bool has_c = onnx_input(n, 2) && beta != 0, as_bias = has_c && is_bias(n, columns);
    Value *b = as_bias ? bias(n, columns, beta) : NULL;
    bool add = has_c && !as_bias;
    Value *y = n->failed ? NULL : dense(n, add ? "product" : NULL, x, w, b);
    onnx_set_output(n, 0, add ? add_matrix(n, y, beta) : y);
}

/* ---- MatMul ---------------------------------------------------------------------------------- */

/* All dimensions of s but the last as one; a vector is one row. */
static Shape as_matrix(const Shape *s) {
    Shape rows = *s;
    rows.rank--;
    return SHAPE(shape_elems(&rows), s->dim[s->rank - 1]);
}

/* A vector becomes a matrix of one row (first) or one column, and that dimension of the result is
 * taken away again. */
static Value *general_product(OnnxNode *n, const char *part, Value *x, Value *w) {
    const Shape a = x->type.shape, b = w->type.shape;
    const Shape row = SHAPE(1, a.dim[0]), column = SHAPE(b.dim[0], 1);
    bool vectors = a.rank == 1 || b.rank == 1;
    if (a.rank == 1)
        x = onnx_reshape(n, "row", x, &row);
    if (b.rank == 1)
        w = onnx_reshape(n, "column", w, &column);
    Value *y = onnx_binary(n, OP_matmul, vectors ? "product" : part, x, w);
    if (!y || !vectors)
        return y;
    Shape s = y->type.shape;
    if (b.rank == 1)
        s.rank--;
    if (a.rank == 1) {
        if (b.rank > 1)
            s.dim[s.rank - 2] = s.dim[s.rank - 1];
        s.rank--;
    }
    return onnx_reshape(n, part, y, &s);
}

/* Whether w is weights: a constant matrix. */
static bool is_dense(OnnxNode *n, const Value *x, Value *w) {
    return x->type.shape.rank >= 1 && w->type.shape.rank == 2 && is_known(n, w);
}

Value *onnx_dense(OnnxNode *n, const char *part, Value *x, Value *w) {
    if (!x || !w)
        return NULL;
    Shape s = x->type.shape;
    if (s.rank < 1)
        onnx_bad(n, "its input must not be a scalar");
    if (n->failed || s.rank == 2)
        return n->failed ? NULL : dense(n, part, x, w, NULL);
    Shape matrix = as_matrix(&s);
    Value *y = dense(n, "product", onnx_reshape(n, "rows", x, &matrix), w, NULL);
    s.dim[s.rank - 1] = w->type.shape.dim[0];
    return onnx_reshape(n, part, y, &s);
}

Value *onnx_matmul(OnnxNode *n, const char *part, Value *x, Value *w) {
    if (n->failed)
        return NULL;
    if (x->type.shape.rank < 1 || w->type.shape.rank < 1)
        onnx_bad(n, "its inputs must not be scalars");
    if (n->failed)
        return NULL;
    if (!is_dense(n, x, w))
        return general_product(n, part, x, w);
    return onnx_dense(n, part, x, dense_weights(n, w, true, 1));
}

/* x with a dimension of 1 at an axis. */
static Value *with_axis(OnnxNode *n, const char *part, Value *x, int axis) {
    Shape s = x->type.shape;
    if (s.rank == MAX_RANK)
        onnx_unsupported(n, "products of integers have less than %d dimensions", MAX_RANK);
    if (n->failed)
        return NULL;
    for (int i = s.rank++; i > axis; i--)
        s.dim[i] = s.dim[i - 1];
    s.dim[axis] = 1;
    return onnx_reshape(n, part, x, &s);
}

/* How many elements there are after broadcasting, none of the dimensions being 0; -1: too many. */
static int64_t broadcast_elems(const Shape *a, const Shape *b) {
    int64_t elems = 1;
    for (int i = 1; i <= a->rank || i <= b->rank; i++) {
        int64_t x = i <= a->rank ? a->dim[a->rank - i] : 1,
                y = i <= b->rank ? b->dim[b->rank - i] : 1;
        if (!checked_mul(elems, x > y ? x : y, &elems))
            return -1;
    }
    return elems;
}

/* Of integers, modulo 2^bits as elsewhere: all products of rows [..., M, K, 1] and columns
 * [..., 1, K, N], summed over K. A vector has no M, or no N, and neither has the result. */
static Value *integer_product(OnnxNode *n, Value *x, Value *w) {
    enum { MOST = 1 << 24 };
    bool vector = w->type.shape.rank == 1;
    if (!vector && x->type.shape.rank > 1)
        w = with_axis(n, "columns", w, w->type.shape.rank - 2);
    if (!vector)
        x = with_axis(n, "rows", x, x->type.shape.rank);
    if (n->failed)
        return NULL;
    int64_t terms = broadcast_elems(&x->type.shape, &w->type.shape);
    if (terms < 0 || terms > MOST)
        onnx_unsupported(n, "products of integers have %d terms at most", MOST);
    Value *all = n->failed ? NULL : onnx_binary(n, OP_mul, "products", x, w);
    if (!all)
        return NULL;
    Node *sum = onnx_add(n, OP_reduce_sum, NULL, &all, 1);
    int64_t k = all->type.shape.rank - (vector ? 1 : 2);
    *reduce_attrs(sum) = (ReduceAttrs){onnx_keep_ints(n, &k, 1), false};
    return onnx_done(n, sum);
}

/* The columns of x and the rows of w are as many: broadcasting alone would let one stand for all.
 */
static bool inner_dims_agree(OnnxNode *n, const Shape *x, const Shape *w) {
    if (x->rank < 1 || w->rank < 1)
        onnx_bad(n, "its inputs must not be scalars");
    else if (x->dim[x->rank - 1] != w->dim[w->rank > 1 ? w->rank - 2 : 0])
        onnx_bad(n, "the rows of input 0 and the columns of input 1 differ in length");
    return !n->failed;
}

/* MatMul-1 to -13. */
void import_matmul(OnnxNode *n) {
    Value *x = onnx_input(n, 0), *w = onnx_input(n, 1);
    if (!onnx_same_dtype(n, 2))
        return;
    if (dtype_is_float(x->type.dtype))
        onnx_set_output(n, 0, onnx_matmul(n, NULL, x, w));
    else if (inner_dims_agree(n, &x->type.shape, &w->type.shape))
        onnx_set_output(n, 0, integer_product(n, x, w));
}
