/* graph_eval_index.c: evaluators of the ops that find elements by indices. Negative indices count
 * from the end of their dim. */
#include "ir/graph_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Element k of the indices, from the front of a dim of size `dim`. */
static bool read_index(const Tensor *indices, int64_t k, int64_t dim, int64_t *out, Buf *why) {
    int64_t i = tensor_i64(indices, k);
    if (i < -dim || i >= dim)
        return refuse(why, "index %" PRId64 " is out of range for a dim of %" PRId64, i, dim);
    *out = i < 0 ? i + dim : i;
    return true;
}

/* x is [outer][dim][inner], y is [outer][indices][inner]. */
bool eval_gather(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                 Buf *why) {
    (void)scratch;
    const Shape *x = &in[0]->shape;
    int axis = (int)axis_attrs(n)->axis;
    int64_t outer = dims_product(x, 0, axis), dim = x->dim[axis];
    int64_t count = shape_elems(&in[1]->shape);
    int64_t inner = dims_product(x, axis + 1, x->rank) * dtype_bytes(in[0]->dtype);
    const char *src = in[0]->data;
    char *dst = tensor_mutable(out[0]);
    for (int64_t k = 0; k < count; k++) {
        int64_t at = 0;
        if (!read_index(in[1], k, dim, &at, why))
            return false;
        for (int64_t o = 0; o < outer; o++)
            memcpy(dst + (o * count + k) * inner, src + (o * dim + at) * inner, (size_t)inner);
    }
    return true;
}

/* ---- an index for each element --------------------------------------------------------------- */

/* Where in a tensor of shape x the element is that index k names: at k's own place, but for the
 * axis. */
static bool element_at(const Tensor *indices, int64_t k, const Shape *x, int axis, int64_t *at,
                       Buf *why) {
    int64_t stride[MAX_RANK], i = 0, rest = k;
    contiguous_strides(x, stride);
    if (!read_index(indices, k, x->dim[axis], &i, why))
        return false;
    *at = i * stride[axis];
    for (int d = x->rank - 1; d >= 0; d--) {
        *at += d == axis ? 0 : rest % indices->shape.dim[d] * stride[d];
        rest /= indices->shape.dim[d];
    }
    return true;
}

bool eval_gather_elements(const Node *n, const Tensor *const *in, Tensor *const *out,
                          Arena *scratch, Buf *why) {
    (void)scratch;
    for (int64_t k = 0, at; k < shape_elems(&in[1]->shape); k++) {
        if (!element_at(in[1], k, &in[0]->shape, (int)axis_attrs(n)->axis, &at, why))
            return false;
        tensor_set_bits(out[0], k, tensor_bits(in[0], at));
    }
    return true;
}

/* Element `at` of y becomes what `op` makes of it and element k of the updates. */
static bool combine(const Node *n, Op op, Tensor *y, int64_t at, const Tensor *updates, int64_t k,
                    Buf *why) {
    size_t size = (size_t)dtype_bytes(y->dtype);
    char *old = (char *)tensor_mutable(y) + (size_t)at * size;
    Tensor a = {.dtype = y->dtype, .data = old}, to = a;
    Tensor b = {.dtype = y->dtype, .data = (const char *)updates->data + (size_t)k * size};
    const Tensor *pair[] = {op == OP_identity ? &b : &a, &b};
    return op_info(op)->eval(n, pair, (Tensor *[]){&to}, NULL, why);
}

static void copy_x(const Tensor *x, Tensor *y) {
    if (tensor_bytes(y) > 0)
        memcpy(tensor_mutable(y), x->data, (size_t)tensor_bytes(y));
}

/* In the order of the indices: of several for one element the last one's update stays. */
bool eval_scatter_elements(const Node *n, const Tensor *const *in, Tensor *const *out,
                           Arena *scratch, Buf *why) {
    const ScatterAttrs *a = scatter_attrs(n);
    (void)scratch;
    copy_x(in[0], out[0]);
    for (int64_t k = 0, at; k < shape_elems(&in[1]->shape); k++)
        if (!element_at(in[1], k, &in[0]->shape, (int)a->axis, &at, why) ||
            !combine(n, a->combine, out[0], at, in[2], k, why))
            return false;
    return true;
}

/* ---- a tuple of indices for each slice ------------------------------------------------------- */

/* x is [batches][named by a tuple][inner], the indices are [batches][each][tuple]. */
typedef struct Tuples {
    const Tensor *indices;
    const Shape *x;
    int batch_dims, tuple;
    int64_t count, each, inner;
} Tuples;

static Tuples tuples_of(const Tensor *const *in, int64_t batch_dims) {
    const Shape *x = &in[0]->shape, *s = &in[1]->shape;
    Tuples t = {.indices = in[1], .x = x, .batch_dims = (int)batch_dims};
    t.tuple = (int)s->dim[s->rank - 1];
    t.count = dims_product(s, 0, s->rank - 1);
    t.each = dims_product(s, (int)batch_dims, s->rank - 1);
    t.inner = dims_product(x, t.batch_dims + t.tuple, x->rank);
    return t;
}

/* The first element of x that tuple k names. */
static bool slice_at(const Tuples *t, int64_t k, int64_t *at, Buf *why) {
    *at = k / t->each;
    for (int i = 0; i < t->tuple; i++) {
        int64_t dim = t->x->dim[t->batch_dims + i], index = 0;
        if (!read_index(t->indices, k * t->tuple + i, dim, &index, why))
            return false;
        *at = *at * dim + index;
    }
    *at *= t->inner;
    return true;
}

bool eval_gather_nd(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                    Buf *why) {
    (void)scratch;
    Tuples t = tuples_of(in, gather_nd_attrs(n)->batch_dims);
    for (int64_t k = 0, at; k < t.count; k++) {
        if (!slice_at(&t, k, &at, why))
            return false;
        for (int64_t i = 0; i < t.inner; i++)
            tensor_set_bits(out[0], k * t.inner + i, tensor_bits(in[0], at + i));
    }
    return true;
}

bool eval_scatter_nd(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                     Buf *why) {
    (void)scratch;
    Tuples t = tuples_of(in, 0);
    copy_x(in[0], out[0]);
    for (int64_t k = 0, at; k < t.count; k++) {
        if (!slice_at(&t, k, &at, why))
            return false;
        for (int64_t i = 0; i < t.inner; i++)
            if (!combine(n, scatter_nd_attrs(n)->combine, out[0], at + i, in[2], k * t.inner + i,
                         why))
                return false;
    }
    return true;
}

/* ---- as many as there are -------------------------------------------------------------------- */

static bool is_zero(const Tensor *x, int64_t i) {
    return dtype_is_float(x->dtype) ? tensor_f64(x, i) == 0 : tensor_bits(x, i) == 0;
}

static void set_count(Tensor *count, int64_t n) {
    if (count)
        tensor_set_i64(count, 0, n);
}

/* Row d has index d of each. */
bool eval_non_zero(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                   Buf *why) {
    const Shape *s = &in[0]->shape;
    int64_t elems = shape_elems(s), made = 0;
    (void)n, (void)scratch, (void)why;
    for (int64_t i = 0; i < elems; i++) {
        if (is_zero(in[0], i))
            continue;
        for (int64_t d = s->rank - 1, rest = i; d >= 0; rest /= s->dim[d], d--)
            tensor_set_i64(out[0], d * elems + made, rest % s->dim[d]);
        made++;
    }
    set_count(out[1], made);
    return true;
}

/* x is [outer][dim][inner]. */
bool eval_compress(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                   Buf *why) {
    const Shape *x = &in[0]->shape;
    int axis = (int)axis_attrs(n)->axis;
    int64_t outer = dims_product(x, 0, axis), dim = x->dim[axis], rows = in[1]->shape.dim[0];
    int64_t inner = dims_product(x, axis + 1, x->rank) * dtype_bytes(in[0]->dtype), made = 0;
    (void)scratch, (void)why;
    for (int64_t k = 0; k < rows; k++) {
        if (is_zero(in[1], k))
            continue;
        for (int64_t o = 0; o < outer && inner > 0; o++)
            memcpy((char *)tensor_mutable(out[0]) + (o * rows + made) * inner,
                   (const char *)in[0]->data + (o * dim + k) * inner, (size_t)inner);
        made++;
    }
    set_count(out[1], made);
    return true;
}
