/* graph_eval_window.c: evaluators of pooling and resizing. */
#include "ir/graph_internal.h"

#include <inttypes.h>
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

/* ---- resize ---------------------------------------------------------------------------------- */

/* The elements of each output along an axis, and their weights. */
typedef struct Axis {
    int64_t size, taps;
    const int64_t *index;
    const double *weight;
    bool inside; /* no index is -1, for outside */
} Axis;

static int64_t tap_index(const Tensor *t, int64_t i) {
    return t ? tensor_i64(t, i) : i;
}

/* Where there is no table, each output is the element at its place. */
static bool read_axis(const Tensor *index, const Tensor *weight, int64_t in, Arena *a, Axis *out,
                      Buf *why) {
    *out = (Axis){in, 1, NULL, NULL, true};
    if (index)
        *out = (Axis){index->shape.dim[0], index->shape.dim[1], NULL, NULL, true};
    int64_t n = out->size * out->taps, *at = ARENA_ARRAY(a, n + 1, int64_t);
    double *w = ARENA_ARRAY(a, n + 1, double);
    for (int64_t i = 0; i < n; i++) {
        at[i] = tap_index(index, i);
        w[i] = weight ? tensor_f64(weight, i) : 1;
        if (at[i] < -1 || at[i] >= in)
            return refuse(why, "element %" PRId64 " is out of range for %" PRId64, at[i], in);
        out->inside &= at[i] >= 0;
    }
    out->index = at;
    out->weight = w;
    return true;
}

static bool is_outside(const Axis *a, int64_t out) {
    for (int64_t k = 0; k < a->taps; k++)
        if (a->index[out * a->taps + k] < 0)
            return true;
    return false;
}

/* The sum of the elements of output (i, j), each times both weights. */
static double interpolated(const double *x, int64_t width, const Axis *rows, const Axis *columns,
                           int64_t i, int64_t j) {
    double sum = 0;
    const int64_t *r = rows->index + i * rows->taps, *c = columns->index + j * columns->taps;
    const double *v = rows->weight + i * rows->taps, *w = columns->weight + j * columns->taps;
    for (int64_t k = 0; k < rows->taps; k++)
        for (int64_t l = 0; l < columns->taps; l++)
            sum += v[k] * w[l] * x[r[k] * width + c[l]];
    return sum;
}

/* The bits of single elements, of any type. */
static void pick(const Tensor *x, Tensor *y, const Axis *rows, const Axis *columns) {
    const int64_t *d = x->shape.dim;
    for (int64_t p = 0, at = 0; p < d[0] * d[1]; p++)
        for (int64_t i = 0; i < rows->size; i++)
            for (int64_t j = 0; j < columns->size; j++)
                tensor_set_bits(
                    y, at++,
                    tensor_bits(x, (p * d[2] + rows->index[i]) * d[3] + columns->index[j]));
}

static void interpolate(const Tensor *x, Tensor *y, const Axis *rows, const Axis *columns,
                        double outside, Arena *a) {
    const int64_t *d = x->shape.dim;
    double *pixels = ARENA_ARRAY(a, d[2] * d[3] + 1, double);
    for (int64_t p = 0, at = 0; p < d[0] * d[1]; p++) {
        tensor_read_f64(x, p * d[2] * d[3], d[2] * d[3], pixels);
        for (int64_t i = 0; i < rows->size; i++)
            for (int64_t j = 0; j < columns->size; j++)
                tensor_set_f64(y, at++,
                               is_outside(rows, i) || is_outside(columns, j)
                                   ? outside
                                   : interpolated(pixels, d[3], rows, columns, i, j));
    }
}

bool eval_resize(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                 Buf *why) {
    const Shape *x = &in[0]->shape;
    Axis rows, columns;
    if (!read_axis(in[1], in[3], x->dim[2], scratch, &rows, why) ||
        !read_axis(in[2], in[4], x->dim[3], scratch, &columns, why))
        return false;
    if (!in[3] && !in[4] && rows.inside && columns.inside)
        pick(in[0], out[0], &rows, &columns);
    else
        interpolate(in[0], out[0], &rows, &columns, resize_attrs(n)->outside, scratch);
    return true;
}
