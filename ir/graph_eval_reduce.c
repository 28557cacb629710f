/* graph_eval_reduce.c: evaluators of reductions, and of what picks elements by size. */
#include "ir/graph_internal.h"

#include <math.h>

/* ---- reductions ------------------------------------------------------------------------------ */

/* One step of a reduction, and what the sum of nothing is. */
typedef struct Fold {
    double (*on_floats)(double sum, double x);
    uint64_t (*on_ints)(uint64_t sum, uint64_t x, bool is_signed);
    double start; /* saturated to the type */
} Fold;

static double add_float(double sum, double x) {
    return sum + x;
}

static uint64_t add_int(uint64_t sum, uint64_t x, bool is_signed) {
    (void)is_signed;
    return sum + x;
}

static double mul_float(double sum, double x) {
    return sum * x;
}

static uint64_t mul_int(uint64_t sum, uint64_t x, bool is_signed) {
    (void)is_signed;
    return sum * x;
}

/* NaN wins. */
static double min_float(double sum, double x) {
    return isnan(sum) || sum < x ? sum : x;
}

static uint64_t min_int(uint64_t sum, uint64_t x, bool is_signed) {
    return bits_less(x, sum, is_signed) ? x : sum;
}

static double max_float(double sum, double x) {
    return isnan(sum) || sum > x ? sum : x;
}

static uint64_t max_int(uint64_t sum, uint64_t x, bool is_signed) {
    return bits_less(sum, x, is_signed) ? x : sum;
}

/* Where the dims of x lie in a result without the axes: 0 for those. */
static void result_strides(const Shape *x, Ints axes, int64_t *stride) {
    bool reduced[MAX_RANK] = {false};
    int64_t step = 1;
    for (int i = 0; i < axes.n; i++)
        reduced[axes.v[i]] = true;
    for (int i = x->rank - 1; i >= 0; i--) {
        stride[i] = reduced[i] ? 0 : step;
        step *= reduced[i] ? 1 : x->dim[i];
    }
}

/* sum[...] = f(sum[...], x) at every element of x in turn. */
static void fold_floats(double (*f)(double sum, double x), const Tensor *x, const int64_t *stride,
                        double *sum) {
    int64_t length = row_length(&x->shape), rows = length > 0 ? row_count(&x->shape) : 0;
    int64_t step = last_stride(&x->shape, stride);
    for (int64_t r = 0; r < rows; r++) {
        double *to = sum + row_offset(&x->shape, r, stride);
        for (int64_t i = 0; i < length; i++)
            to[i * step] = f(to[i * step], tensor_f64(x, r * length + i));
    }
}

/* In doubles, rounded once at the end. */
static void reduce_floats(const Fold *f, const Tensor *x, const int64_t *stride, Tensor *y,
                          Arena *a) {
    int64_t count = shape_elems(&y->shape);
    double *sum = ARENA_ARRAY(a, count + 1, double);
    for (int64_t i = 0; i < count; i++)
        sum[i] = f->start;
    fold_floats(f->on_floats, x, stride, sum);
    tensor_write_f64(y, 0, count, sum);
}

static void reduce_ints(const Fold *f, const Tensor *x, const int64_t *stride, Tensor *y) {
    int64_t count = shape_elems(&y->shape), length = row_length(&x->shape);
    int64_t rows = length > 0 ? row_count(&x->shape) : 0, step = last_stride(&x->shape, stride);
    bool is_signed = dtype_is_signed_int(x->dtype);
    for (int64_t i = 0; i < count; i++)
        tensor_set_f64(y, i, x->dtype == DT_bool ? f->start > 0 : f->start);
    for (int64_t r = 0; r < rows; r++) {
        int64_t to = row_offset(&x->shape, r, stride);
        for (int64_t i = 0; i < length; i++)
            tensor_set_bits(y, to + i * step,
                            f->on_ints(tensor_bits(y, to + i * step),
                                       tensor_bits(x, r * length + i), is_signed));
    }
}

#define REDUCE(name, on_floats, on_ints, start)                                                    \
    bool eval_reduce_##name(const Node *n, const Tensor *const *in, Tensor *const *out,            \
                            Arena *scratch, Buf *why) {                                            \
        static const Fold f = {on_floats, on_ints, start};                                         \
        int64_t stride[MAX_RANK] = {0};                                                            \
        (void)why;                                                                                 \
        result_strides(&in[0]->shape, reduce_attrs(n)->axes, stride);                              \
        if (dtype_is_float(in[0]->dtype))                                                          \
            reduce_floats(&f, in[0], stride, out[0], scratch);                                     \
        else                                                                                       \
            reduce_ints(&f, in[0], stride, out[0]);                                                \
        return true;                                                                               \
    }
REDUCE(sum, add_float, add_int, 0)
REDUCE(prod, mul_float, mul_int, 1)
REDUCE(min, min_float, min_int, INFINITY)
REDUCE(max, max_float, max_int, -INFINITY)
#undef REDUCE

/* Into y, which has the dims of x that aren't axes. */
static void mean(const Tensor *x, Ints axes, Tensor *y, Arena *a) {
    int64_t stride[MAX_RANK] = {0}, results = shape_elems(&y->shape);
    double *sum = ARENA_ARRAY(a, results + 1, double);
    result_strides(&x->shape, axes, stride);
    fold_floats(add_float, x, stride, sum);
    for (int64_t i = 0; i < results; i++)
        tensor_set_f64(y, i, sum[i] / (double)(shape_elems(&x->shape) / results));
}

bool eval_reduce_mean(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                      Buf *why) {
    (void)why;
    mean(in[0], reduce_attrs(n)->axes, out[0], scratch);
    return true;
}

bool eval_global_avg_pool(const Node *n, const Tensor *const *in, Tensor *const *out,
                          Arena *scratch, Buf *why) {
    static const int64_t planes[MAX_RANK] = {2, 3, 4, 5, 6, 7};
    (void)n, (void)why;
    mean(in[0], (Ints){planes, in[0]->shape.rank - 2}, out[0], scratch);
    return true;
}

/* ---- by size --------------------------------------------------------------------------------- */

/* Elements first + i * step, i < count, of x. */
typedef struct Line {
    const Tensor *x;
    int64_t first, step, count;
    bool largest; /* the larger one comes first */
} Line;

/* Whether element i comes before j: NaN counts as larger than all others, as in numpy. */
static bool before(const Line *l, int64_t i, int64_t j) {
    const Tensor *x = l->x;
    int64_t a = l->first + (l->largest ? j : i) * l->step;
    int64_t b = l->first + (l->largest ? i : j) * l->step;
    if (!dtype_is_float(x->dtype))
        return bits_less(tensor_bits(x, a), tensor_bits(x, b), dtype_is_signed_int(x->dtype));
    double u = tensor_f64(x, a), v = tensor_f64(x, b);
    return u < v || (isnan(v) && !isnan(u));
}

static int64_t best(const Line *l, bool last) {
    int64_t at = 0;
    for (int64_t i = 1; i < l->count; i++)
        if (last ? !before(l, at, i) : before(l, i, at))
            at = i;
    return at;
}

static void arg(const Node *n, const Tensor *x, bool largest, Tensor *y) {
    const ArgAttrs *a = arg_attrs(n);
    const Shape *s = &x->shape;
    int axis = (int)a->axis;
    int64_t outer = dims_product(s, 0, axis), inner = dims_product(s, axis + 1, s->rank);
    for (int64_t i = 0; i < outer * inner; i++) {
        Line l = {x, i / inner * s->dim[axis] * inner + i % inner, inner, s->dim[axis], largest};
        tensor_set_i64(y, i, best(&l, a->last));
    }
}

bool eval_arg_max(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                  Buf *why) {
    (void)scratch, (void)why;
    arg(n, in[0], true, out[0]);
    return true;
}

bool eval_arg_min(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                  Buf *why) {
    (void)scratch, (void)why;
    arg(n, in[0], false, out[0]);
    return true;
}

/* Merges the sorted runs [from, middle) and [middle, to); equal elements stay in order. */
static void merge(const Line *l, const int64_t *v, int64_t from, int64_t middle, int64_t to,
                  int64_t *out) {
    int64_t i = from, j = middle;
    for (int64_t k = from; k < to; k++) {
        bool right = i == middle || (j < to && before(l, v[j], v[i]));
        out[k] = right ? v[j++] : v[i++];
    }
}

/* The indices of the line's elements in order; `order` and `spare` have room for all. */
static const int64_t *sort_line(const Line *l, int64_t *order, int64_t *spare) {
    for (int64_t i = 0; i < l->count; i++)
        order[i] = i;
    for (int64_t run = 1; run < l->count; run *= 2) {
        for (int64_t i = 0; i < l->count; i += 2 * run) {
            int64_t middle = i + run < l->count ? i + run : l->count;
            int64_t end = i + 2 * run < l->count ? i + 2 * run : l->count;
            merge(l, order, i, middle, end, spare);
        }
        int64_t *t = order;
        order = spare;
        spare = t;
    }
    return order;
}

/* The first k of each line, in order; of equal ones the one with the lower index first. */
bool eval_top_k(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                Buf *why) {
    const TopKAttrs *a = top_k_attrs(n);
    const Shape *s = &in[0]->shape;
    int axis = (int)a->axis;
    int64_t outer = dims_product(s, 0, axis), inner = dims_product(s, axis + 1, s->rank);
    int64_t *order = ARENA_ARRAY(scratch, s->dim[axis] + 1, int64_t);
    int64_t *spare = ARENA_ARRAY(scratch, s->dim[axis] + 1, int64_t);
    (void)why;
    for (int64_t i = 0; i < outer * inner; i++) {
        Line l = {in[0], i / inner * s->dim[axis] * inner + i % inner, inner, s->dim[axis],
                  a->largest};
        const int64_t *sorted = sort_line(&l, order, spare);
        int64_t to = i / inner * a->k * inner + i % inner;
        for (int64_t k = 0; k < a->k; k++) {
            uint64_t bits = tensor_bits(in[0], l.first + sorted[k] * inner);
            tensor_set_bits(out[0], to + k * inner, bits);
            if (out[1])
                tensor_set_i64(out[1], to + k * inner, sorted[k]);
        }
    }
    return true;
}
