/* graph_eval_window.c: evaluators of pooling. */
#include "ir/graph_internal.h"

#include <math.h>

/* The taps of a window inside a plane of such a width. */
typedef struct Taps {
    int64_t width, row_step, column_step;
    PoolTaps rows, columns;
} Taps;

static double tap(const double *x, const Taps *t, int64_t i, int64_t j) {
    return x[(t->rows.first + i * t->row_step) * t->width + t->columns.first + j * t->column_step];
}

/* NaN where one of them is. */
static double window_max(const double *x, const Taps *t) {
    double best = -INFINITY;
    for (int64_t i = 0; i < t->rows.count; i++)
        for (int64_t j = 0; j < t->columns.count; j++) {
            double v = tap(x, t, i, j);
            best = isnan(best) || best >= v ? best : v;
        }
    return best;
}

static double window_sum(const double *x, const Taps *t) {
    double sum = 0;
    for (int64_t i = 0; i < t->rows.count; i++)
        for (int64_t j = 0; j < t->columns.count; j++)
            sum += tap(x, t, i, j);
    return sum;
}

/* How many taps a mean divides by. */
static int64_t counted_taps(const PoolAttrs *a, const int64_t *plane, const int64_t *out) {
    int64_t count = 1;
    for (int axis = 0; axis < 2; axis++) {
        int64_t lo = -a->counted.v[axis], hi = plane[axis] + a->counted.v[2 + axis];
        count *= pool_taps(a, axis, out[axis], lo, hi).count;
    }
    return count;
}

static double pooled(const Node *n, const double *x, const int64_t *plane, const int64_t *out) {
    const PoolAttrs *a = pool_attrs(n);
    Taps t = {.width = plane[1], .row_step = a->dilation.v[0], .column_step = a->dilation.v[1]};
    t.rows = pool_taps(a, 0, out[0], 0, plane[0]);
    t.columns = pool_taps(a, 1, out[1], 0, plane[1]);
    if (n->op == OP_max_pool)
        return window_max(x, &t);
    int64_t count = counted_taps(a, plane, out);
    return count ? window_sum(x, &t) / (double)count : 0;
}

static bool eval_pool(const Node *n, const Tensor *x, Tensor *y, Arena *scratch) {
    const int64_t *from = x->shape.dim, *to = y->shape.dim;
    int64_t plane = from[2] * from[3];
    double *pixels = ARENA_ARRAY(scratch, plane + 1, double);
    for (int64_t p = 0, at = 0; p < from[0] * from[1]; p++) {
        tensor_read_f64(x, p * plane, plane, pixels);
        for (int64_t i = 0; i < to[2]; i++)
            for (int64_t j = 0; j < to[3]; j++)
                tensor_set_f64(y, at++, pooled(n, pixels, from + 2, (const int64_t[]){i, j}));
    }
    return true;
}

bool eval_max_pool(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                   Buf *why) {
    (void)why;
    return eval_pool(n, in[0], out[0], scratch);
}

bool eval_avg_pool(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                   Buf *why) {
    (void)why;
    return eval_pool(n, in[0], out[0], scratch);
}
