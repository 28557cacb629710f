/* graph_eval_move.c: evaluators of the ops that move elements, of any type, without a look at
 * them. */
#include "ir/graph_internal.h"

#include <math.h>
#include <string.h>

/* ---- rows ----------------------------------------------------------------------------------- */

int64_t row_length(const Shape *s) {
    return s->rank > 0 ? s->dim[s->rank - 1] : 1;
}

int64_t row_count(const Shape *s) {
    return s->rank > 0 ? dims_product(s, 0, s->rank - 1) : 1;
}

int64_t last_stride(const Shape *s, const int64_t *stride) {
    return s->rank > 0 ? stride[s->rank - 1] : 0;
}

int64_t row_offset(const Shape *s, int64_t row, const int64_t *stride) {
    int64_t offset = 0;
    for (int i = s->rank - 2; i >= 0; i--) {
        offset += row % s->dim[i] * stride[i];
        row /= s->dim[i];
    }
    return offset;
}

/* One side of a copy: where element (0, 0, ...) is, and the step of each dim. */
typedef struct Side {
    int64_t origin;
    int64_t stride[MAX_RANK];
} Side;

/* to[i] = from[i] for every index i of `shape`. */
static void copy_strided(const Shape *shape, Tensor *to, const Side *t, const Tensor *from,
                         const Side *f) {
    size_t size = (size_t)dtype_bytes(to->dtype);
    char *dst = tensor_mutable(to);
    const char *src = from->data;
    int64_t length = row_length(shape), rows = length > 0 ? row_count(shape) : 0;
    int64_t t_step = last_stride(shape, t->stride), f_step = last_stride(shape, f->stride);
    for (int64_t r = 0; r < rows; r++) {
        char *d = dst + (t->origin + row_offset(shape, r, t->stride)) * (int64_t)size;
        const char *s = src + (f->origin + row_offset(shape, r, f->stride)) * (int64_t)size;
        if (t_step == 1 && f_step == 1) {
            memcpy(d, s, (size_t)length * size);
            continue;
        }
        for (int64_t i = 0; i < length; i++)
            memcpy(d + i * t_step * (int64_t)size, s + i * f_step * (int64_t)size, size);
    }
}

static Side contiguous_side(const Shape *s) {
    Side side = {0};
    contiguous_strides(s, side.stride);
    return side;
}

/* ---- the ops -------------------------------------------------------------------------------- */

bool eval_copy(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
               Buf *why) {
    (void)n, (void)scratch, (void)why;
    size_t bytes = (size_t)tensor_bytes(out[0]);
    if (bytes > 0)
        memcpy(tensor_mutable(out[0]), in[0]->data, bytes);
    return true;
}

bool eval_expand(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                 Buf *why) {
    (void)n, (void)scratch, (void)why;
    const Shape *y = &out[0]->shape;
    Side to = contiguous_side(y), from = {0};
    broadcast_strides(&in[0]->shape, y, from.stride);
    copy_strided(y, out[0], &to, in[0], &from);
    return true;
}

/* y[i0, i1, ...] = x[..., i_k at perm[k], ...] */
bool eval_transpose(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                    Buf *why) {
    (void)scratch, (void)why;
    const Shape *y = &out[0]->shape;
    Ints perm = transpose_attrs(n)->perm;
    Side x = contiguous_side(&in[0]->shape), to = contiguous_side(y), from = {0};
    for (int i = 0; i < y->rank; i++)
        from.stride[i] = x.stride[perm.v[i]];
    copy_strided(y, out[0], &to, in[0], &from);
    return true;
}

bool eval_slice(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                Buf *why) {
    (void)scratch, (void)why;
    const SliceAttrs *a = slice_attrs(n);
    const Shape *y = &out[0]->shape;
    if (shape_elems(y) == 0)
        return true;
    Side x = contiguous_side(&in[0]->shape), to = contiguous_side(y), from = {0};
    for (int i = 0; i < y->rank; i++) {
        from.origin += a->starts.v[i] * x.stride[i];
        from.stride[i] = y->dim[i] > 1 ? a->steps.v[i] * x.stride[i] : 0;
    }
    copy_strided(y, out[0], &to, in[0], &from);
    return true;
}

bool eval_concat(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                 Buf *why) {
    (void)scratch, (void)why;
    int64_t axis = axis_attrs(n)->axis;
    Side to = contiguous_side(&out[0]->shape);
    for (int i = 0; i < n->noperands; i++) {
        const Shape *x = &in[i]->shape;
        Side from = contiguous_side(x);
        copy_strided(x, out[0], &to, in[i], &from);
        to.origin += x->dim[axis] * to.stride[axis];
    }
    return true;
}

static void fill(Tensor *t, double value) {
    if (value == 0 && !signbit(value))
        return; /* it is zero already */
    for (int64_t i = 0; i < shape_elems(&t->shape); i++)
        tensor_set_f64(t, i, value);
}

bool eval_pad(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
              Buf *why) {
    (void)scratch, (void)why;
    const PadAttrs *a = pad_attrs(n);
    const Shape *x = &in[0]->shape;
    Side from = contiguous_side(x), to = contiguous_side(&out[0]->shape);
    for (int i = 0; i < x->rank; i++)
        to.origin += a->before.v[i] * to.stride[i];
    fill(out[0], a->value);
    copy_strided(x, out[0], &to, in[0], &from);
    return true;
}

bool eval_pixels(const Node *n, const Tensor *const *in, Tensor *const *out, Arena *scratch,
                 Buf *why) {
    (void)n, (void)scratch, (void)why;
    const int64_t *d = in[0]->shape.dim;
    int64_t plane = d[1] * d[2], channels = d[3];
    for (int64_t i = 0; i < d[0] * plane * channels; i++) {
        int64_t image = i / (plane * channels), c = i / plane % channels, p = i % plane;
        double x = tensor_f64(in[0], (image * plane + p) * channels + c);
        tensor_set_f64(out[0], i, x + (in[1] ? tensor_f64(in[1], c) : 0));
    }
    return true;
}
