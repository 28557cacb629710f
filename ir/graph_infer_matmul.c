/* graph_infer_matmul.c: the shape rule of matmul. */
#include "ir/graph_internal.h"

#include <inttypes.h>

static bool want_matrix(const Node *n, int slot, Buf *why) {
    int rank = shape_in(n, slot)->rank;
    return rank >= 2 || refuse(why, "operand %s must have rank 2 or more, it has rank %d",
                               op_operand(n->op, slot).name, rank);
}

/* [..., M, K] by [..., K, N]: the dims in front are broadcast. */
bool infer_matmul(const Node *n, Type *results, Buf *why) {
    if (!want_float(n, 0, why) || !want_same_dtypes(n, why) || !want_matrix(n, 0, why) ||
        !want_matrix(n, 1, why))
        return false;
    Shape a = *shape_in(n, 0), b = *shape_in(n, 1), y;
    int64_t rows = a.dim[a.rank - 2], k = a.dim[a.rank - 1], columns = b.dim[b.rank - 1];
    if (b.dim[b.rank - 2] != k)
        return refuse(why, "a has %" PRId64 " columns, and b %" PRId64 " rows", k,
                      b.dim[b.rank - 2]);
    a.rank -= 2;
    b.rank -= 2;
    if (!want_broadcast(&a, &b, &y, why))
        return false;
    y.dim[y.rank++] = rows;
    y.dim[y.rank++] = columns;
    results[0] = like_x(n, y);
    return true;
}
