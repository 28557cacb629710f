/* onnx_tensor.c: TensorProto to Tensor.
 *
 * ONNX keeps elements in raw_data (little endian), in a typed field, or in another file. The typed
 * fields hold (onnx.proto, TensorProto):
 *   float_data   f32                          double_data  f64
 *   int32_data   i32 i16 i8 u16 u8 bool, and f16 bf16 as bit patterns; bytes of smaller types
 *   int64_data   i64                          uint64_data  u64 u32 */
#include "frontend/import.h"

#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensors are used as they lie in the file, which is little endian"
#endif

enum {
    FLOAT_DATA = 4,
    INT32_DATA = 5,
    INT64_DATA = 7,
    RAW_DATA = 9,
    DOUBLE_DATA = 10,
    UINT64_DATA = 11
};

bool problem(Importer *im, Problem *p, int exit_code, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    *p = (Problem){exit_code, arena_vprintf(&im->arena, fmt, ap)};
    va_end(ap);
    return false;
}

static bool read_type(Importer *im, const Onnx__TensorProto *t, ElementType *e, Problem *p) {
    const char *why;
    if (!t->has_data_type || t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__UNDEFINED)
        return problem(im, p, EXIT_BAD_MODEL, "it has no data type");
    if (!element_type(im, t->data_type, e, &why))
        return problem(im, p, EXIT_UNSUPPORTED, "%s", why);
    return true;
}

static bool read_shape(Importer *im, const Onnx__TensorProto *t, DType dt, Shape *s, Problem *p) {
    if (t->n_dims > MAX_RANK)
        return problem(im, p, EXIT_UNSUPPORTED, "it has %zu dimensions, and %d are supported",
                       t->n_dims, MAX_RANK);
    *s = shape_of((int)t->n_dims, t->dims);
    for (size_t i = 0; i < t->n_dims; i++)
        if (t->dims[i] < 0)
            return problem(im, p, EXIT_BAD_MODEL, "dimension %zu is %lld", i,
                           (long long)t->dims[i]);
    if (!shape_valid(s, dt))
        return problem(im, p, EXIT_BAD_MODEL, "it has more than %lld bytes",
                       (long long)MAX_TENSOR_BYTES);
    return true;
}

/* ---- elements as they lie in memory ---------------------------------------------------------- */

static Tensor *view_or_copy(Importer *im, DType dt, Shape s, const uint8_t *data, size_t size) {
    if ((uintptr_t)data % (size_t)dtype_bytes(dt) == 0 && size)
        return tensor_wrap(&im->g->arena, dt, s, data);
    Tensor *t = tensor_new(&im->g->arena, dt, s);
    if (size)
        memcpy(tensor_mutable(t), data, size);
    return t;
}

static Tensor *from_bytes(Importer *im, DType dt, Shape s, const WireBlob *b, Problem *p) {
    size_t want = (size_t)shape_elems(&s) * (size_t)dtype_bytes(dt);
    if (b->size == want)
        return view_or_copy(im, dt, s, b->data, b->size);
    problem(im, p, EXIT_BAD_MODEL, "its dimensions need %zu bytes of data, and it has %zu", want,
            b->size);
    return NULL;
}

/* ---- varints --------------------------------------------------------------------------------- */

/* Which typed field may hold a dtype, and what its numbers may be. */
typedef struct Typed {
    uint32_t field;
    int64_t min, max; /* u64 is not checked */
} Typed;

static const Typed typed[DT_COUNT] = {
    [DT_f32] = {FLOAT_DATA, 0, 0},
    [DT_f64] = {DOUBLE_DATA, 0, 0},
    [DT_f16] = {INT32_DATA, 0, UINT16_MAX},
    [DT_bf16] = {INT32_DATA, 0, UINT16_MAX},
    [DT_i8] = {INT32_DATA, INT8_MIN, INT8_MAX},
    [DT_i16] = {INT32_DATA, INT16_MIN, INT16_MAX},
    [DT_i32] = {INT32_DATA, INT32_MIN, INT32_MAX},
    [DT_u8] = {INT32_DATA, 0, UINT8_MAX},
    [DT_u16] = {INT32_DATA, 0, UINT16_MAX},
    [DT_bool] = {INT32_DATA, 0, 1},
    [DT_i64] = {INT64_DATA, INT64_MIN, INT64_MAX},
    [DT_u32] = {UINT64_DATA, 0, UINT32_MAX},
    [DT_u64] = {UINT64_DATA, INT64_MIN, INT64_MAX},
};

/* Stores the low bytes of x; all integers are little endian. */
static void store_low(uint8_t *to, uint64_t x, int bytes) {
    for (int i = 0; i < bytes; i++)
        to[i] = (uint8_t)(x >> 8 * i);
}

static int64_t count_varints(const WireBlob *b) {
    int64_t n = 0;
    for (size_t i = 0; i < b->size; i++)
        n += b->data[i] < 0x80;
    return n;
}

static Tensor *from_varints(Importer *im, DType dt, Shape s, const WireBlob *b, Problem *p) {
    int64_t want = shape_elems(&s), have = count_varints(b);
    if (want != have) {
        problem(im, p, EXIT_BAD_MODEL, "its dimensions need %lld elements, and it has %lld",
                (long long)want, (long long)have);
        return NULL;
    }
    Tensor *t = tensor_new(&im->g->arena, dt, s);
    uint8_t *to = want ? tensor_mutable(t) : NULL;
    const uint8_t *from = b->data, *end = b->data + b->size;
    for (int64_t i = 0; i < want; i++, to += dtype_bytes(dt)) {
        uint64_t x;
        ensure(wire_varint(&from, end, &x)); /* wire_scan went over them */
        int64_t v = (int64_t)x;
        if (v < typed[dt].min || v > typed[dt].max) {
            problem(im, p, EXIT_BAD_MODEL, "element %lld, %lld, is not in the range of %s",
                    (long long)i, (long long)v, dtype_name(dt));
            return NULL;
        }
        store_low(to, x, dtype_bytes(dt));
    }
    return t;
}

/* ---- TensorProto ----------------------------------------------------------------------------- */

static Tensor *from_blob(Importer *im, DType dt, Shape s, const WireBlob *b, Problem *p) {
    if (b->field == RAW_DATA)
        return from_bytes(im, dt, s, b, p);
    if (b->field != typed[dt].field) {
        problem(im, p, EXIT_BAD_MODEL,
                "its data are in field %u of TensorProto, which is not for %s", b->field,
                dtype_name(dt));
        return NULL;
    }
    if (b->field == FLOAT_DATA || b->field == DOUBLE_DATA)
        return from_bytes(im, dt, s, b, p);
    return from_varints(im, dt, s, b, p);
}

/* The reference that wire_scan left in raw_data. */
static const WireBlob *blob_of(const Importer *im, const Onnx__TensorProto *t) {
    if (!t->has_raw_data)
        return NULL;
    const uint8_t *r = t->raw_data.data;
    ensure(t->raw_data.len == 4);
    size_t index = r[0] | (size_t)r[1] << 8 | (size_t)r[2] << 16 | (size_t)r[3] << 24;
    ensure(index < im->wire.blobs.len);
    return &im->wire.blobs.data[index];
}

static Tensor *from_file(Importer *im, const Onnx__TensorProto *t, DType dt, Shape s, Problem *p) {
    size_t size = (size_t)shape_elems(&s) * (size_t)dtype_bytes(dt);
    const uint8_t *data = NULL;
    if (t->has_raw_data)
        problem(im, p, EXIT_BAD_MODEL, "it has data of its own and in another file");
    else if (external_data(im, t, size, &data, p))
        return view_or_copy(im, dt, s, data, size);
    return NULL;
}

/* The elements of a tensor as they are stored, of a type of the graph IR. */
static Tensor *stored(Importer *im, const Onnx__TensorProto *t, DType dt, Shape s, Problem *p) {
    if (t->segment) {
        problem(im, p, EXIT_UNSUPPORTED, "tensors in segments are not supported");
        return NULL;
    }
    if (t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return from_file(im, t, dt, s, p);
    const WireBlob *b = blob_of(im, t);
    if (b)
        return from_blob(im, dt, s, b, p);
    if (shape_elems(&s) == 0)
        return tensor_new(&im->g->arena, dt, s);
    problem(im, p, EXIT_BAD_MODEL, "it has no data");
    return NULL;
}

Tensor *tensor_import(Importer *im, const Onnx__TensorProto *t, Problem *p) {
    ElementType e;
    Shape s;
    if (!read_type(im, t, &e, p) || !read_shape(im, t, e.dtype, &s, p))
        return NULL;
    if (!e.small)
        return stored(im, t, e.dtype, s, p);
    Tensor *packed = stored(im, t, DT_u8, SHAPE(small_packed_bytes(e.small, shape_elems(&s))), p);
    if (!packed || shape_elems(&s) == 0)
        return packed ? tensor_new(&im->g->arena, e.dtype, s) : NULL;
    if (e.small->bits == 8)
        return tensor_wrap(&im->g->arena, e.dtype, s, packed->data);
    Tensor *out = tensor_new(&im->g->arena, e.dtype, s);
    small_unpack(e.small, packed->data, out);
    return out;
}
