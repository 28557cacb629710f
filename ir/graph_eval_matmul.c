/* graph_eval_matmul.c: the evaluator of matmul. */
#include "ir/graph_internal.h"

/* One operand: its elements, and the step of each dim of the result in front of the last two. */
typedef struct Matrices {
    const double *x;
    int64_t stride[MAX_RANK];
} Matrices;

static Matrices matrices(const Tensor *t, const Shape *result, Arena *a) {
    int64_t n = shape_elems(&t->shape);
    double *x = ARENA_ARRAY(a, n + 1, double);
    Matrices m = {.x = x};
    Shape front = t->shape, to = *result;
    front.rank -= 2;
    to.rank -= 2;
    tensor_read_f64(t, 0, n, x);
    broadcast_strides(&front, &to, m.stride);
    for (int d = 0; d < to.rank; d++)
        m.stride[d] *= t->shape.dim[front.rank] * t->shape.dim[front.rank + 1];
    return m;
}

/* The operand's matrix that belongs to matrix `number` of the result. */
static const double *matrix_of(const Matrices *m, const Shape *result, int64_t number) {
    const double *x = m->x;
    for (int d = result->rank - 3; d >= 0; d--) {
        x += number % result->dim[d] * m->stride[d];
        number /= result->dim[d];
    }
    return x;
}

/* y[j] = sum over k of a[k] b[k][j] */
static void multiply_row(const double *a, const double *b, double *y, int64_t k, int64_t columns) {
    for (int64_t j = 0; j < columns; j++)
        y[j] = 0;
    for (int64_t p = 0; p < k; p++)
        for (int64_t j = 0; j < columns; j++)
            y[j] += a[p] * b[p * columns + j];
}

bool eval_matmul(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                 Buf *why) {
    (void)n, (void)why;
    const Shape *y = &out[0]->shape;
    int64_t rows = y->dim[y->rank - 2], columns = y->dim[y->rank - 1];
    if (!shape_elems(y))
        return true;
    int64_t k = in[0]->shape.dim[in[0]->shape.rank - 1];
    Matrices a = matrices(in[0], y, scratch), b = matrices(in[1], y, scratch);
    double *row = ARENA_ARRAY(scratch, columns + 1, double);
    for (int64_t i = 0; i < dims_product(y, 0, y->rank - 2); i++) {
        const double *ai = matrix_of(&a, y, i), *bi = matrix_of(&b, y, i);
        for (int64_t r = 0; r < rows; r++) {
            multiply_row(ai + r * k, bi, row, k, columns);
            tensor_write_f64(out[0], (i * rows + r) * columns, columns, row);
        }
    }
    return true;
}
