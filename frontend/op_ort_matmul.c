/* op_ort_matmul.c: products of matrices of the domain com.microsoft that ONNX Runtime's tools make:
 * its optimiser joins a product with what is around it, its quantiser packs weights in a few bits.
 */
#include "frontend/import.h"

/* ---- with the Transposes before them --------------------------------------------------------- */

/* Factor i as MatMul wants it. `batch`: its rows come first, the matrices of the batch behind them;
 * `swap`: then the last two dimensions change places. A vector has nothing to swap. */
static Value *turned(OnnxNode *n, int i, const char *part, bool batch, bool swap) {
    Value *x = onnx_input(n, i);
    int rank = x->type.shape.rank;
    int64_t perm[MAX_RANK];
    if (rank < 2 || (!batch && !swap))
        return x;
    for (int d = 0; d < rank - 1; d++)
        perm[d] = !batch ? d : d < rank - 2 ? d + 1 : 0;
    perm[rank - 1] = rank - 1;
    if (swap) {
        int64_t rows = perm[rank - 2];
        perm[rank - 2] = perm[rank - 1];
        perm[rank - 1] = rows;
    }
    return onnx_transpose(n, part, x, perm);
}

/* FusedMatMul-1, and TransposeMatMul-1, which it was before: alpha A' B', where ' may transpose. */
void import_fused_matmul(OnnxNode *n) {
    bool batch_a = attr_bool(n, "transBatchA", false), swap_a = attr_bool(n, "transA", false);
    bool batch_b = attr_bool(n, "transBatchB", false), swap_b = attr_bool(n, "transB", false);
    double alpha = attr_float(n, "alpha", 1);
    if (!onnx_needs_float(n, 2))
        return;
    Value *a = turned(n, 0, "a", batch_a, swap_a), *b = turned(n, 1, "b", batch_b, swap_b);
    Value *y = a && b ? onnx_matmul(n, alpha == 1 ? NULL : "product", a, b) : NULL;
    onnx_set_output(n, 0, alpha == 1 ? y : onnx_by_scalar(n, OP_mul, NULL, y, alpha));
}

/* ---- with weights of a few bits -------------------------------------------------------------- */

/* Weights [rows, columns] in blocks of `size` columns, each with a scale and a zero point. */
typedef struct PackedWeights {
    int64_t rows, columns, bits, size, blocks;
    const Tensor *codes;  /* u8[rows, blocks, size * bits / 8] */
    const Tensor *scales; /* [rows, blocks] */
    const Tensor *zeros;  /* packed as u8[rows, ...], or numbers [rows, blocks]; NULL: the middle */
    const Tensor *block;  /* of each column; NULL: they are in order */
} PackedWeights;

/* Number i of a row of such bits, the first in the lowest. */
static int64_t packed_number(const Tensor *t, int64_t at, int64_t bits, int64_t i) {
    int64_t in_byte = 8 / bits;
    return tensor_i64(t, at + i / in_byte) >> bits * (i % in_byte) & ((1 << bits) - 1);
}

static int64_t zero_row_bytes(const PackedWeights *p) {
    return ceil_div(p->blocks * p->bits, 8);
}

static double zero_of(const PackedWeights *p, int64_t row, int64_t block) {
    if (!p->zeros)
        return 1 << (p->bits - 1);
    if (p->zeros->dtype == DT_u8)
        return (double)packed_number(p->zeros, row * zero_row_bytes(p), p->bits, block);
    return tensor_f64(p->zeros, row * p->blocks + block);
}

static double weight_of(const PackedWeights *p, int64_t row, int64_t column) {
    int64_t bytes = p->blocks * p->size * p->bits / 8;
    int64_t block = p->block ? tensor_i64(p->block, column) : column / p->size;
    double code = (double)packed_number(p->codes, row * bytes, p->bits, column);
    return (code - zero_of(p, row, block)) * tensor_f64(p->scales, row * p->blocks + block);
}

/* The constant that input i is, of `count` elements; NULL where it is absent, or after a complaint.
 */
static const Tensor *packed_input(OnnxNode *n, int i, const char *what, int64_t count) {
    if (n->failed || !onnx_input(n, i))
        return NULL;
    const Tensor *t = onnx_const_input(n, i, what, FOLD_LIMIT_WEIGHTS);
    if (t && shape_elems(&t->shape) != count)
        onnx_bad(n, "its %s have %lld elements, not %lld", what, (long long)shape_elems(&t->shape),
                 (long long)count);
    return n->failed ? NULL : t;
}

/* False after a complaint. */
static bool read_sizes(OnnxNode *n, PackedWeights *p) {
    int64_t all;
    p->columns = attr_int(n, "K", 0);
    p->rows = attr_int(n, "N", 0);
    p->bits = attr_int(n, "bits", 4);
    p->size = attr_int(n, "block_size", 0);
    attr_ignore(n, "accuracy_level"); /* how far its result may be rounded on the way */
    if (attr_int(n, "weight_prepacked", 0) != 0)
        onnx_unsupported(n, "weights that are packed for one kind of machine are not supported");
    if (p->bits != 2 && p->bits != 4 && p->bits != 8)
        onnx_unsupported(n, "its weights have %lld bits; 2, 4 and 8 are supported",
                         (long long)p->bits);
    if (p->columns < 1 || p->rows < 1 || p->size < 16 || p->size > INT32_MAX ||
        (p->size & (p->size - 1)))
        onnx_bad(n, "its weights are [%lld, %lld] in blocks of %lld", (long long)p->rows,
                 (long long)p->columns, (long long)p->size);
    if (n->failed)
        return false;
    p->blocks = p->columns / p->size + (p->columns % p->size != 0);
    if (!checked_mul(p->rows, p->blocks, &all) || !checked_mul(all, p->size * p->bits, &all))
        onnx_bad(n, "its weights are too large");
    return !n->failed;
}

/* A list of blocks is for the columns, or also for those that fill the last block. */
static int64_t blocks_count(const OnnxNode *n, const PackedWeights *p) {
    int64_t whole = p->blocks * p->size;
    return onnx_input(n, 4) && shape_elems(onnx_shape(n, 4)) == whole ? whole : p->columns;
}

static bool read_weights(OnnxNode *n, PackedWeights *p) {
    int64_t all = p->rows * p->blocks;
    bool packed = onnx_input(n, 3) && onnx_input(n, 3)->type.dtype == DT_u8;
    p->codes = packed_input(n, 1, "weights", all * p->size * p->bits / 8);
    p->scales = packed_input(n, 2, "scales", all);
    p->zeros = packed_input(n, 3, "zero points", packed ? p->rows * zero_row_bytes(p) : all);
    p->block = packed_input(n, 4, "blocks of columns", blocks_count(n, p));
    if (!p->codes || !p->scales || n->failed)
        return false;
    if (p->codes->dtype != DT_u8 || !dtype_is_float(p->scales->dtype))
        onnx_bad(n, "its weights are %s and their scales %s", dtype_name(p->codes->dtype),
                 dtype_name(p->scales->dtype));
    for (int64_t i = 0; p->block && i < p->columns && !n->failed; i++)
        if (tensor_i64(p->block, i) < 0 || tensor_i64(p->block, i) >= p->blocks)
            onnx_bad(n, "block %lld of a column is none of %lld",
                     (long long)tensor_i64(p->block, i), (long long)p->blocks);
    return !n->failed;
}

/* Its numbers, in the type of x. */
static Value *unpacked(OnnxNode *n, const PackedWeights *p, DType dt) {
    Tensor *t = onnx_new_tensor(n, dt, SHAPE(p->rows, p->columns));
    for (int64_t i = 0; t && i < p->rows; i++)
        for (int64_t k = 0; k < p->columns; k++)
            tensor_set_f64(t, i * p->columns + k, weight_of(p, i, k));
    return t ? onnx_constant(n, "weights", t) : NULL;
}

/* MatMulNBits-1: x W' + bias. */
void import_matmul_nbits(OnnxNode *n) {
    PackedWeights p = {0};
    Value *x = onnx_input(n, 0), *bias = onnx_input(n, 5);
    if (!onnx_needs_float(n, 1) || !read_sizes(n, &p) || !read_weights(n, &p))
        return;
    Value *y = onnx_dense(n, bias ? "product" : NULL, x, unpacked(n, &p, x->type.dtype));
    onnx_set_output(n, 0, bias ? onnx_binary(n, OP_add, NULL, y, bias) : y);
}
