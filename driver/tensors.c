/* tensors.c: tensors of the model's interface, and their .npy files. */
#include "driver/driver.h"

#include <stdlib.h>
#include <string.h>

DType tensor_dtype(const effnetc_tensor *t) {
    DType dt = DT_f32;
    ensure(dtype_parse(t->dtype, strlen(t->dtype), &dt));
    return dt;
}

Tensor *tensor_for(const effnetc_tensor *t, Arena *a) {
    return tensor_new(a, tensor_dtype(t), shape_of(t->rank, t->dims));
}

int only_read(const effnetc_model *m) {
    if (m->inputs.len == 1)
        return 0;
    int only = -1;
    for (size_t i = 0; i < m->inputs.len; i++) {
        if (!m->inputs.data[i].unread && only >= 0)
            return -1;
        if (!m->inputs.data[i].unread)
            only = (int)i;
    }
    return only;
}

Tensor *tensor_first(const Tensor *t, int axis, int64_t count, Arena *a) {
    Shape s = t->shape;
    ensure(count >= 0 && count <= s.dim[axis]);
    s.dim[axis] = count;
    Tensor *y = tensor_new(a, t->dtype, s);
    size_t outer = 1, inner = (size_t)dtype_bytes(t->dtype);
    for (int i = 0; i < s.rank; i++) {
        outer *= i < axis ? (size_t)s.dim[i] : 1;
        inner *= i > axis ? (size_t)s.dim[i] : 1;
    }
    size_t from = inner * (size_t)t->shape.dim[axis], to = inner * (size_t)count;
    for (size_t i = 0; i < outer && to > 0; i++)
        memcpy((char *)tensor_mutable(y) + i * to, (const char *)t->data + i * from, to);
    return y;
}

void file_error(Diag *d, const char *path, int code, const rt_error *err) {
    diag_error(d,
               code == RT_ERROR_IO         ? EXIT_IO
               : code == RT_ERROR_ARGUMENT ? EXIT_USAGE
                                           : EXIT_BAD_MODEL,
               path, "%s", err->text);
}

/* What NumPy calls an element type; bf16 has no name there and travels as u2. */
static void npy_kind(DType dt, char *kind, int *itemsize) {
    *kind = dt == DT_bf16             ? 'u'
            : dtype_is_float(dt)      ? 'f'
            : dt == DT_bool           ? 'b'
            : dtype_is_signed_int(dt) ? 'i'
                                      : 'u';
    *itemsize = dtype_bytes(dt);
}

/* The element type of an array; `wanted` decides between u16 and bf16. */
static DType array_dtype(const rt_array *x, DType wanted) {
    char kind;
    int itemsize;
    npy_kind(wanted, &kind, &itemsize);
    if (kind == x->kind && itemsize == x->itemsize)
        return wanted;
    for (int i = 0; i < DT_COUNT; i++) {
        npy_kind((DType)i, &kind, &itemsize);
        if (i != DT_bf16 && kind == x->kind && itemsize == x->itemsize)
            return (DType)i;
    }
    die("no element type for .npy kind %c%d", x->kind, x->itemsize);
}

bool npy_type(const Source *s, const char *path, DType wanted, Type *out, Diag *d) {
    rt_array x;
    rt_error err;
    int code = rt_npy_header(&x, s->data, s->size, &err);
    if (code != RT_OK) {
        file_error(d, path, code, &err);
        return false;
    }
    *out = type_plain(array_dtype(&x, wanted), shape_of(x.rank, x.dim));
    if (shape_valid(&out->shape, out->dtype)) /* [2^62, 0] has no elements, but no size */
        return true;
    diag_error(d, EXIT_BAD_MODEL, path, "the shape of the array is too large");
    return false;
}

Tensor *npy_decode(const Source *s, const char *path, DType wanted, Arena *a, Diag *d) {
    Type type;
    rt_array x;
    rt_error err;
    if (!npy_type(s, path, wanted, &type, d))
        return NULL;
    int code = rt_npy_decode(&x, s->data, s->size, &err);
    if (code != RT_OK) {
        file_error(d, path, code, &err);
        return NULL;
    }
    Tensor *t = tensor_new(a, type.dtype, type.shape);
    if (x.bytes)
        memcpy(tensor_mutable(t), x.data, x.bytes);
    rt_array_free(&x);
    return t;
}

Tensor *npy_load(const char *path, DType wanted, Arena *a, Diag *d) {
    Source s;
    if (!source_open(&s, path, d))
        return NULL;
    Tensor *t = npy_decode(&s, path, wanted, a, d);
    source_close(&s);
    return t;
}

const void *npy_bytes(const Tensor *t, size_t *size, Arena *a) {
    rt_array x = {.rank = t->shape.rank, .data = (void *)(uintptr_t)t->data};
    rt_error err;
    uint8_t *file;
    npy_kind(t->dtype, &x.kind, &x.itemsize);
    x.bytes = (size_t)(shape_elems(&t->shape) * dtype_bytes(t->dtype));
    memcpy(x.dim, t->shape.dim, (size_t)x.rank * sizeof *x.dim);
    if (rt_npy_encode(&file, size, &x, &err) != RT_OK)
        die("%s", err.text);
    const void *copy = arena_copy(a, file, *size);
    free(file);
    return copy;
}
