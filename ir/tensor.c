/* tensor.c: tensors in the compiler's memory, and conversions between element types. */
#include "ir/types.h"

#include <math.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensor data is kept as ONNX files have it, little-endian"
#endif

Tensor *tensor_new(Arena *a, DType dt, Shape shape) {
    ensure(shape_valid(&shape, dt));
    size_t bytes = (size_t)shape_elems(&shape) * (size_t)dtype_bytes(dt);
    return tensor_wrap(a, dt, shape, arena_alloc(a, bytes > 0 ? bytes : 1));
}

Tensor *tensor_wrap(Arena *a, DType dt, Shape shape, const void *data) {
    Tensor *t = ARENA_NEW(a, Tensor);
    *t = (Tensor){.dtype = dt, .shape = shape, .data = data};
    return t;
}

void *tensor_mutable(Tensor *t) {
    t->hash = 0;
    return (void *)(uintptr_t)t->data;
}

int64_t tensor_bytes(const Tensor *t) {
    return shape_elems(&t->shape) * dtype_bytes(t->dtype);
}

uint64_t tensor_hash(Tensor *t) {
    if (t->hash == 0 && t->data)
        t->hash = hash_bytes(t->data, (size_t)tensor_bytes(t));
    return t->hash;
}

/* ---- 16-bit floats -------------------------------------------------------------------------- */

/* An IEEE-like format: 1 sign bit, exp_bits, man_bits. */
typedef struct SmallFloat {
    int exp_bits, man_bits;
} SmallFloat;

static const SmallFloat half_format = {5, 10}, bfloat_format = {8, 7};

/* The magnitude of a NaN keeps the top of its payload and is made quiet. */
static uint16_t small_nan(uint64_t bits, SmallFloat f) {
    uint64_t exponent = (UINT64_C(1) << f.exp_bits) - 1;
    uint64_t payload = (bits & ((UINT64_C(1) << 52) - 1)) >> (52 - f.man_bits);
    return (uint16_t)(exponent << f.man_bits | payload | UINT64_C(1) << (f.man_bits - 1));
}

/* One rounding, to nearest even: x / 2^e with e the last place of the result is exact in double,
 * and so is nearbyint of it. A carry out of the mantissa runs into the exponent, as it should. */
static uint16_t small_from_double(double x, SmallFloat f) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 63 << (f.exp_bits + f.man_bits));
    if (isnan(x))
        return (uint16_t)(sign | small_nan(bits, f));
    int bias = (1 << (f.exp_bits - 1)) - 1, max_exp = (1 << f.exp_bits) - 1;
    uint16_t infinity = (uint16_t)(max_exp << f.man_bits);
    if (isinf(x))
        return (uint16_t)(sign | infinity);
    if (x == 0)
        return sign;
    int e = ilogb(x);
    if (e < 1 - bias)
        e = 1 - bias; /* denormal */
    if (e > bias)
        return (uint16_t)(sign | infinity);
    double units = nearbyint(scalbn(fabs(x), f.man_bits - e)); /* in units of the last place */
    uint64_t hidden = UINT64_C(1) << f.man_bits;
    uint64_t magnitude = (uint64_t)units + ((uint64_t)(e + bias - 1) << f.man_bits);
    ensure(units <= 2.0 * (double)hidden);
    return (uint16_t)(sign | magnitude);
}

static float small_to_float(uint16_t h, SmallFloat f) {
    int max_exp = (1 << f.exp_bits) - 1, bias = max_exp >> 1;
    int exponent = h >> f.man_bits & max_exp;
    int mantissa = h & ((1 << f.man_bits) - 1);
    float sign = h >> 15 ? -1.0f : 1.0f;
    if (exponent == max_exp && mantissa == 0)
        return sign * INFINITY;
    if (exponent == max_exp) {
        uint32_t bits =
            (uint32_t)(h >> 15) << 31 | 0x7f800000u | (uint32_t)mantissa << (23 - f.man_bits);
        float nan;
        memcpy(&nan, &bits, sizeof nan);
        return nan;
    }
    if (exponent == 0)
        return sign * scalbnf((float)mantissa, 1 - bias - f.man_bits);
    return sign * scalbnf((float)(mantissa + (1 << f.man_bits)), exponent - bias - f.man_bits);
}

float half_to_float(uint16_t h) {
    return small_to_float(h, half_format);
}

uint16_t float_to_half(float f) {
    return small_from_double((double)f, half_format);
}

float bfloat_to_float(uint16_t h) {
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

uint16_t float_to_bfloat(float f) {
    return small_from_double((double)f, bfloat_format);
}

/* ---- elements ------------------------------------------------------------------------------- */

double tensor_f64(const Tensor *t, int64_t i) {
    if (t->dtype == DT_f16)
        return (double)half_to_float(((const uint16_t *)t->data)[i]);
    if (t->dtype == DT_bf16)
        return (double)bfloat_to_float(((const uint16_t *)t->data)[i]);
    switch (t->dtype) {
#define DTYPE(id, ctype, cname, bytes, class, onnx)                                                \
    case DT_##id:                                                                                  \
        return (double)((const ctype *)t->data)[i];
#include "ir/dtypes.def"
#undef DTYPE
    case DT_COUNT:
        break;
    }
    die("no element type has the number %d", (int)t->dtype);
}

uint64_t tensor_bits(const Tensor *t, int64_t i) {
    int bytes = dtype_bytes(t->dtype);
    uint64_t u = 0;
    memcpy(&u, (const char *)t->data + i * bytes, (size_t)bytes);
    if (!dtype_is_signed_int(t->dtype))
        return u;
    uint64_t sign = UINT64_C(1) << (8 * bytes - 1);
    return (u ^ sign) - sign;
}

void tensor_set_bits(Tensor *t, int64_t i, uint64_t bits) {
    int bytes = dtype_bytes(t->dtype);
    memcpy((char *)tensor_mutable(t) + i * bytes, &bits, (size_t)bytes);
}

/* x as an unsigned and a signed integer, truncated towards zero, saturated; NaN gives 0. */
static uint64_t saturate_u64(double x) {
    if (!(x > 0))
        return 0;
    return x >= 18446744073709551616.0 ? UINT64_MAX : (uint64_t)x;
}

static int64_t saturate_i64(double x) {
    if (isnan(x))
        return 0;
    if (x >= 9223372036854775808.0)
        return INT64_MAX;
    return x < -9223372036854775808.0 ? INT64_MIN : (int64_t)x;
}

int64_t tensor_i64(const Tensor *t, int64_t i) {
    if (dtype_is_float(t->dtype))
        return saturate_i64(tensor_f64(t, i));
    uint64_t u = tensor_bits(t, i);
    if (!dtype_is_signed_int(t->dtype) && u > INT64_MAX)
        return INT64_MAX;
    return (int64_t)u;
}

static void set_float(Tensor *t, int64_t i, double x) {
    void *data = tensor_mutable(t);
    if (t->dtype == DT_f32)
        ((float *)data)[i] = (float)x;
    else if (t->dtype == DT_f64)
        ((double *)data)[i] = x;
    else
        ((uint16_t *)data)[i] =
            small_from_double(x, t->dtype == DT_f16 ? half_format : bfloat_format);
}

/* The range of an integer type of so many bytes. */
static uint64_t unsigned_max(int bytes) {
    return UINT64_MAX >> (64 - 8 * bytes);
}

static int64_t clamp_signed(int64_t x, int bytes) {
    int64_t max = (int64_t)(unsigned_max(bytes) >> 1), min = -max - 1;
    return x > max ? max : x < min ? min : x;
}

static uint64_t clamp_unsigned(uint64_t x, int bytes) {
    return x > unsigned_max(bytes) ? unsigned_max(bytes) : x;
}

void tensor_set_f64(Tensor *t, int64_t i, double x) {
    int bytes = dtype_bytes(t->dtype);
    if (dtype_is_float(t->dtype))
        set_float(t, i, x);
    else if (t->dtype == DT_bool)
        tensor_set_bits(t, i, x != 0);
    else if (dtype_is_signed_int(t->dtype))
        tensor_set_bits(t, i, (uint64_t)clamp_signed(saturate_i64(x), bytes));
    else
        tensor_set_bits(t, i, clamp_unsigned(saturate_u64(x), bytes));
}

/* Integers that a double can't hold are, on the way to narrower floats, first cut to a multiple of
 * 2048 with the lost part folded into the last bit that stays, so that the two roundings act as
 * one. */
static double integer_f64(DType to, uint64_t x) {
    if (to == DT_f64 || x <= UINT64_C(1) << 53)
        return (double)x;
    return (double)(x >> 11 | ((x & 2047) != 0)) * 2048.0;
}

void tensor_set_u64(Tensor *t, int64_t i, uint64_t x) {
    if (dtype_is_float(t->dtype))
        set_float(t, i, integer_f64(t->dtype, x));
    else if (t->dtype == DT_u64)
        tensor_set_bits(t, i, x);
    else
        tensor_set_i64(t, i, x > INT64_MAX ? INT64_MAX : (int64_t)x);
}

void tensor_set_i64(Tensor *t, int64_t i, int64_t x) {
    int bytes = dtype_bytes(t->dtype);
    if (dtype_is_float(t->dtype))
        set_float(t, i,
                  x < 0 ? -integer_f64(t->dtype, 0 - (uint64_t)x)
                        : integer_f64(t->dtype, (uint64_t)x));
    else if (t->dtype == DT_bool)
        tensor_set_bits(t, i, x != 0);
    else if (dtype_is_signed_int(t->dtype))
        tensor_set_bits(t, i, (uint64_t)clamp_signed(x, bytes));
    else
        tensor_set_bits(t, i, x < 0 ? 0 : clamp_unsigned((uint64_t)x, bytes));
}

uint64_t dtype_bits(DType dt, double x) {
    uint64_t cell = 0;
    Tensor t = {.dtype = dt, .data = &cell};
    tensor_set_f64(&t, 0, x);
    return tensor_bits(&t, 0);
}

double dtype_round_f(DType dt, double x) {
    uint64_t bits = dtype_bits(dt, isnan(x) ? (double)NAN : x);
    return tensor_f64(&(Tensor){.dtype = dt, .data = &bits}, 0);
}

void tensor_read_f64(const Tensor *t, int64_t first, int64_t n, double *out) {
    if (t->dtype == DT_f32) {
        const float *x = (const float *)t->data + first;
        for (int64_t i = 0; i < n; i++)
            out[i] = (double)x[i];
        return;
    }
    for (int64_t i = 0; i < n; i++)
        out[i] = tensor_f64(t, first + i);
}

void tensor_write_f64(Tensor *t, int64_t first, int64_t n, const double *x) {
    for (int64_t i = 0; i < n; i++)
        tensor_set_f64(t, first + i, x[i]);
}
