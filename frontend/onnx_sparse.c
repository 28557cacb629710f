/* onnx_sparse.c: SparseTensorProto to Tensor. Its values are a vector; its indices, i64, are each
 * the place of one value among all elements, or its coordinates, in ascending order without
 * repetition (onnx.proto). All other elements are zero. */
#include "frontend/import.h"

#include <string.h>

/* A file of a few bytes must not ask for much memory: all dense elements may take so many times the
 * bytes that are stored, and some for free. */
enum { MAX_EXPANSION = 64, FREE_BYTES = 1 << 20 };

static bool read_dims(Importer *im, const Onnx__SparseTensorProto *s, DType dt, Shape *out,
                      Problem *p) {
    if (s->n_dims == 0 || s->n_dims > MAX_RANK)
        return problem(im, p, EXIT_UNSUPPORTED,
                       "it is sparse with %zu dimensions, and 1 to %d are supported", s->n_dims,
                       MAX_RANK);
    *out = shape_of((int)s->n_dims, s->dims);
    if (!shape_valid(out, dt))
        return problem(im, p, EXIT_BAD_MODEL, "its dimensions are negative or too large");
    return true;
}

static bool check_parts(Importer *im, const Shape *dense, const Tensor *values,
                        const Tensor *indices, Problem *p) {
    const Shape *i = &indices->shape;
    int64_t n = shape_elems(&values->shape);
    bool places = i->rank == 1 && i->dim[0] == n;
    bool coordinates = i->rank == 2 && i->dim[0] == n && i->dim[1] == dense->rank;
    if (values->shape.rank != 1 || indices->dtype != DT_i64 || (!places && !coordinates))
        return problem(im, p, EXIT_BAD_MODEL,
                       "its sparse values and indices don't fit each other or its dimensions");
    im->sparse_stored += tensor_bytes(values) + tensor_bytes(indices);
    im->sparse_dense += shape_elems(dense) * dtype_bytes(values->dtype);
    if (im->sparse_dense > MAX_EXPANSION * im->sparse_stored + FREE_BYTES)
        return problem(im, p, EXIT_UNSUPPORTED,
                       "the sparse tensors take more than %d times their bytes when they are dense",
                       MAX_EXPANSION);
    return true;
}

/* The place of value k among all elements; -1 where there is none. */
static int64_t place(const Shape *dense, const Tensor *indices, int64_t k) {
    int64_t at = 0;
    if (indices->shape.rank == 1) {
        at = tensor_i64(indices, k);
        return at >= 0 && at < shape_elems(dense) ? at : -1;
    }
    for (int d = 0; d < dense->rank; d++) {
        int64_t i = tensor_i64(indices, k * dense->rank + d);
        if (i < 0 || i >= dense->dim[d])
            return -1;
        at = at * dense->dim[d] + i;
    }
    return at;
}

static bool scatter(Importer *im, Tensor *dense, const Tensor *values, const Tensor *indices,
                    Problem *p) {
    int64_t last = -1;
    for (int64_t k = 0; k < shape_elems(&values->shape); k++) {
        int64_t at = place(&dense->shape, indices, k);
        if (at <= last)
            return problem(im, p, EXIT_BAD_MODEL, "its sparse index %lld is %s", (long long)k,
                           at < 0 ? "out of range" : "not behind the one before it");
        tensor_set_bits(dense, at, tensor_bits(values, k));
        last = at;
    }
    return true;
}

Tensor *sparse_import(Importer *im, const Onnx__SparseTensorProto *s, Problem *p) {
    Shape shape;
    if (!s->values || !s->indices) {
        problem(im, p, EXIT_BAD_MODEL, "it is sparse without values or indices");
        return NULL;
    }
    const Tensor *values = tensor_import(im, s->values, p);
    const Tensor *indices = values ? tensor_import(im, s->indices, p) : NULL;
    if (!indices || !read_dims(im, s, values->dtype, &shape, p) ||
        !check_parts(im, &shape, values, indices, p))
        return NULL;
    Tensor *dense = tensor_new(&im->g->arena, values->dtype, shape);
    return scatter(im, dense, values, indices, p) ? dense : NULL;
}

const char *sparse_name(const Onnx__SparseTensorProto *s) {
    return s->values ? s->values->name : NULL;
}
