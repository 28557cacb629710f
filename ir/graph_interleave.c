/* graph_interleave.c: shape rule and evaluator of interleave: planes whose rows and columns come
 * from several tensors in turn. Operand (r, c) of R x C has rows r, r + R, ... and columns c, c +
 * C, ... */
#include "ir/graph_internal.h"

#include <inttypes.h>

/* Rows (axis 0) or columns (1) of the result: those of the first operands along it. Each of them
 * has as many as the one before it, or one less, once. */
static bool joined_size(const Node *n, int axis, int64_t steps, int64_t stride, int64_t *size,
                        Buf *why) {
    *size = 0;
    for (int64_t i = 0; i < steps; i++)
        *size += shape_in(n, (int)(i * stride))->dim[2 + axis];
    for (int64_t i = 0; i < steps; i++)
        if (shape_in(n, (int)(i * stride))->dim[2 + axis] != ceil_div(*size - i, steps))
            return refuse(why, "operand %" PRId64 " has %" PRId64 " %s, of %" PRId64 " in turn",
                          i * stride, shape_in(n, (int)(i * stride))->dim[2 + axis],
                          axis ? "columns" : "rows", *size);
    return true;
}

/* Whether each operand has the rows of the first one beside it, and the columns of the first
 * above. */
static bool want_grid(const Node *n, const int64_t *steps, Buf *why) {
    for (int i = 0; i < n->noperands; i++) {
        const int64_t *d = shape_in(n, i)->dim, *first = shape_in(n, 0)->dim;
        const int64_t *row = shape_in(n, (int)(i / steps[1] * steps[1]))->dim;
        const int64_t *column = shape_in(n, (int)(i % steps[1]))->dim;
        if (d[0] != first[0] || d[1] != first[1] || d[2] != row[2] || d[3] != column[3])
            return refuse(why, "operand %d doesn't fit the others", i);
    }
    return true;
}

bool infer_interleave(const Node *n, Type *results, Buf *why) {
    const int64_t *steps = interleave_attrs(n)->steps.v;
    if (!want_between("steps", steps, 2, 1, why) || !want_same_dtypes(n, why))
        return false;
    int64_t count;
    if (!checked_mul(steps[0], steps[1], &count) || count != n->noperands)
        return refuse(why, "it has %d operands for %" PRId64 "x%" PRId64 " steps", n->noperands,
                      steps[0], steps[1]);
    for (int i = 0; i < n->noperands; i++)
        if (!want_rank(n, i, 4, why))
            return false;
    Shape y = *shape_in(n, 0);
    if (!want_grid(n, steps, why) || !joined_size(n, 0, steps[0], steps[1], &y.dim[2], why) ||
        !joined_size(n, 1, steps[1], 1, &y.dim[3], why))
        return false;
    results[0] = type_plain(node_in(n, 0)->type.dtype, y);
    return true;
}

bool eval_interleave(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                     Buf *why) {
    (void)scratch, (void)why;
    const int64_t *steps = interleave_attrs(n)->steps.v, *y = out[0]->shape.dim;
    for (int64_t k = 0; k < shape_elems(&out[0]->shape); k++) {
        int64_t plane = k / (y[2] * y[3]), i = k / y[3] % y[2], j = k % y[3];
        const Tensor *x = in[i % steps[0] * steps[1] + j % steps[1]];
        const int64_t *d = x->shape.dim;
        tensor_set_bits(out[0], k,
                        tensor_bits(x, (plane * d[2] + i / steps[0]) * d[3] + j / steps[1]));
    }
    return true;
}
