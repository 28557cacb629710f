/* onnx_small.c: element types of 2, 4 and 8 bits, which the graph IR hasn't (small_types.def). A
 * value of such a type is one of u8 or i8 that the importer knows the meaning of; only casts and
 * quantisation look at it, others move it. Codes become numbers by a table, and numbers codes by
 * bisection in a table of where each code begins: exact, in ops that every backend has. */
#include "frontend/import.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const SmallType types[] = {
#define SMALL_INT(name, onnx, bits, held)                                                          \
    {#name, onnx, bits, DT_##held, false, 0, 0, 0, 0, false, false},
#define SMALL_FLOAT(name, onnx, bits, mantissa, bias, largest, nan, is_signed, minus_zero)         \
    {#name, onnx, bits, DT_u8, true, mantissa, bias, largest, nan, is_signed, minus_zero},
#include "frontend/small_types.def"
#undef SMALL_INT
#undef SMALL_FLOAT
};

enum { TYPES = sizeof types / sizeof *types };

const SmallType *small_type(int64_t onnx) {
    for (size_t i = 0; i < TYPES; i++)
        if (types[i].onnx == onnx)
            return &types[i];
    return NULL;
}

const SmallType *small_of(const Importer *im, const Value *v) {
    return v && im->small.len ? map_get(&im->small, v->name) : NULL;
}

void small_mark(Importer *im, Value *v, const SmallType *s) {
    if (v && s)
        map_put(&im->arena, &im->small, v->name, (void *)s);
}

bool element_type(Importer *im, int64_t onnx, ElementType *out, const char **why) {
    enum { STRING = 8, COMPLEX64 = 14, COMPLEX128 = 15 };
    *out = (ElementType){.small = small_type(onnx)};
    if (out->small) {
        out->dtype = out->small->held;
        return true;
    }
    if (onnx == (int32_t)onnx && dtype_from_onnx((int32_t)onnx, &out->dtype))
        return true;
    *why = onnx == STRING ? "strings are not supported"
           : onnx == COMPLEX64 || onnx == COMPLEX128
               ? "complex numbers are not supported"
               : arena_printf(&im->arena, "ONNX data type %lld is not known", (long long)onnx);
    return false;
}

bool onnx_element_type(OnnxNode *n, const char *attr, ElementType *out) {
    int64_t onnx = attr_int(n, attr, 0);
    const char *why;
    if (!element_type(n->im, onnx, out, &why))
        onnx_unsupported(n, "its %s is %lld: %s", attr, (long long)onnx, why);
    return !n->failed;
}

/* ---- who takes them -------------------------------------------------------------------------- */

static bool is_allowed(OnnxImportFn *import) {
    static OnnxImportFn *const importers[] = {
        import_bit_cast,          import_cast,      import_cast_like, import_concat,
        import_dequantize_linear, import_expand,    import_flatten,   import_gather,
        import_identity,          import_if,        import_loop,      import_reshape,
        import_quantize_linear,   import_scan,      import_shape,     import_size,
        import_slice_10,          import_split_2,   import_split_18,  import_squeeze,
        import_transpose,         import_unsqueeze,
    };
    for (size_t i = 0; i < sizeof importers / sizeof *importers; i++)
        if (import == importers[i])
            return true;
    return false;
}

void small_check(OnnxNode *n, OnnxImportFn *import) {
    for (int i = 0; i < n->ninputs && n->im->small.len && !n->failed; i++) {
        const SmallType *s = small_of(n->im, onnx_input(n, i));
        if (s && !is_allowed(import))
            onnx_unsupported(n, "its input %d is %s, which can be cast, quantised and moved alone",
                             i, s->name);
        else if (import == import_concat && s != small_of(n->im, onnx_input(n, 0)))
            onnx_bad(n, "its inputs 0 and %d have different types", i);
    }
}

void small_carry(OnnxNode *n, const Node *x) {
    static const bool moves[OP_COUNT] = {
        [OP_identity] = true, [OP_reshape] = true, [OP_transpose] = true, [OP_concat] = true,
        [OP_slice] = true,    [OP_gather] = true,  [OP_expand] = true,
    };
    if (n->im->small.len && moves[x->op])
        small_mark(n->im, x->results[0], small_of(n->im, node_in(x, 0)));
}

/* ---- tensors in files ------------------------------------------------------------------------ */

int64_t small_packed_bytes(const SmallType *s, int64_t elems) {
    int64_t in_byte = 8 / s->bits;
    return elems / in_byte + (elems % in_byte != 0);
}

/* The first element is in the lowest bits. */
void small_unpack(const SmallType *s, const uint8_t *packed, Tensor *to) {
    int in_byte = 8 / s->bits, mask = (1 << s->bits) - 1, sign = (mask + 1) / 2;
    for (int64_t i = 0; i < shape_elems(&to->shape); i++) {
        int code = packed[i / in_byte] >> s->bits * (int)(i % in_byte) & mask;
        tensor_set_i64(to, i, s->held == DT_i8 ? (code ^ sign) - sign : code);
    }
}

/* ---- codes of floats ------------------------------------------------------------------------- */

/* The number that a code without a sign would stand for if all of them were finite. */
static double magnitude(const SmallType *s, int code) {
    int exponent = code >> s->mantissa, steps = code & ((1 << s->mantissa) - 1);
    if (exponent == 0 && s->is_signed)
        return ldexp(steps, 1 - s->bias - s->mantissa);
    return ldexp(steps + (1 << s->mantissa), exponent - s->bias - s->mantissa);
}

static double number_of(const SmallType *s, int code) {
    int sign = s->is_signed ? 1 << (s->bits - 1) : 0, rest = code & ~sign;
    if (rest > s->largest || (code == s->nan && !s->has_minus_zero))
        return rest == s->largest + 1 && s->nan > rest ? (code & sign ? -INFINITY : INFINITY) : NAN;
    return code & sign ? -magnitude(s, rest) : magnitude(s, rest);
}

typedef enum Rounding { TO_NEAREST, UP, DOWN } Rounding;

/* The smallest f32 that a code is taken for: from the middle between it and the one before it on
 * where it is even, else from behind that. Denormal f32 are taken for 0, as targets may do. */
static float begin_of(const SmallType *s, int code, Rounding r) {
    double low = magnitude(s, code - 1), high = magnitude(s, code);
    float begin = r == TO_NEAREST ? (float)((low + high) / 2) : r == UP ? (float)low : (float)high;
    bool is_behind = r == UP || (r == TO_NEAREST && s->is_signed && code % 2 != 0);
    return fmaxf(is_behind ? nextafterf(begin, INFINITY) : begin, FLT_MIN);
}

/* ---- casts ----------------------------------------------------------------------------------- */

/* The numbers that x stands for. */
Value *onnx_from_small(OnnxNode *n, Value *x) {
    const SmallType *s = small_of(n->im, x);
    if (!s || !s->is_float)
        return x;
    const Tensor *codes = x->constant && x->constant->data ? x->constant : NULL;
    Tensor *t = onnx_new_tensor(n, DT_f32, codes ? codes->shape : SHAPE(1 << s->bits));
    for (int64_t i = 0; t && i < shape_elems(&t->shape); i++)
        tensor_set_f64(t, i, number_of(s, codes ? (int)tensor_i64(codes, i) : (int)i));
    if (!t || codes)
        return t ? onnx_constant(n, "numbers", t) : NULL;
    return onnx_binary(n, OP_gather, "numbers", onnx_constant(n, "table", t),
                       onnx_cast(n, "code", x, DT_i32));
}

/* Integers: the nearest one's lowest bits. */
static Value *to_small_int(OnnxNode *n, Value *x, const SmallType *s) {
    int mask = (1 << s->bits) - 1, sign = (mask + 1) / 2;
    if (x && dtype_is_float(x->type.dtype))
        x = onnx_unary(n, OP_round, "nearest", x);
    x = onnx_by_scalar(n, OP_and, "low", onnx_cast(n, "integer", x, DT_i64), mask);
    if (s->held == DT_i8)
        x = onnx_by_scalar(n, OP_sub, "signed", onnx_by_scalar(n, OP_xor, "low", x, sign), sign);
    return x;
}

/* The code of |x| without a sign, as i32: the last one that begins at it or before. Numbers beyond
 * the largest have the code behind it. */
static Value *bisect(OnnxNode *n, Value *size, const SmallType *s, Rounding r) {
    Tensor *begins = onnx_new_tensor(n, DT_f32, SHAPE(1 << s->bits));
    for (int i = 0; begins && i < 1 << s->bits; i++)
        tensor_set_f64(begins, i, i > 0 && i <= s->largest + 1 ? (double)begin_of(s, i, r) : NAN);
    Value *table = begins ? onnx_constant(n, "table", begins) : NULL;
    Value *code = onnx_scalar(n, "first", DT_i32, 0);
    for (int bit = s->bits - 1; bit >= 0; bit--) {
        Value *next = onnx_by_scalar(n, OP_add, "next", code, 1 << bit);
        Value *begin = onnx_binary(n, OP_gather, "begin", table, next);
        Value *reached = onnx_binary(n, OP_less_equal, "reached", begin, size);
        code = onnx_where(n, "code", reached, next, code);
    }
    return code;
}

/* x < 0, or -0. */
static Value *is_negative(OnnxNode *n, Value *x) {
    Value *one = onnx_scalar(n, "one", DT_f32, 1);
    Value *inverse = onnx_binary(n, OP_div, "inverse", one, x);
    return onnx_binary(n, OP_or, "is_negative", onnx_by_scalar(n, OP_less, "below", x, 0),
                       onnx_by_scalar(n, OP_less, "below", inverse, 0));
}

static Value *with_sign(OnnxNode *n, Value *code, Value *x, const SmallType *s) {
    Value *negative = is_negative(n, x);
    if (!s->has_minus_zero) { /* neither has NaN a sign there */
        Value *inside = onnx_by_scalar(n, OP_less_equal, "inside", code, s->largest);
        Value *positive =
            onnx_binary(n, OP_less, "positive", onnx_scalar(n, "zero", DT_i32, 0), code);
        negative = onnx_binary(n, OP_and, "has_sign", negative,
                               onnx_binary(n, OP_and, "has_sign", inside, positive));
    }
    return onnx_where(n, "code", negative,
                      onnx_by_scalar(n, OP_add, "code", code, 1 << (s->bits - 1)), code);
}

/* Where x has a code; NaN has none, nor has what is too small for a type without 0 unless that
 * saturates. */
static Value *has_code(OnnxNode *n, Value *x, Value *size, const SmallType *s, bool saturate) {
    Value *number = onnx_binary(n, OP_equal, "number", x, x);
    if (s->is_signed || saturate || !size)
        return number;
    Value *least = onnx_scalar(n, "least", DT_f32, (double)FLT_MIN);
    return onnx_binary(n, OP_less_equal, "large_enough", least, size);
}

static Value *to_small_float(OnnxNode *n, Value *x, const SmallType *s, bool saturate, Rounding r) {
    if (x && x->type.dtype != DT_f32)
        x = onnx_cast(n, "wide", x, DT_f32);
    Value *size = onnx_unary(n, OP_abs, "size", x), *code = bisect(n, size, s, r);
    Value *known = has_code(n, x, size, s, saturate);
    if (saturate)
        code = onnx_by_scalar(n, OP_min, "saturated", code, s->largest);
    if (s->is_signed)
        code = with_sign(n, code, x, s);
    return onnx_where(n, "code", known, code, onnx_scalar(n, "nan", DT_i32, s->nan));
}

static Rounding rounding_of(OnnxNode *n) {
    static const char *const names[] = {[TO_NEAREST] = "nearest", [UP] = "up", [DOWN] = "down"};
    const char *mode = attr_string(n, "round_mode", "up");
    for (int i = TO_NEAREST; i <= DOWN; i++)
        if (strcmp(mode, names[i]) == 0)
            return (Rounding)i;
    onnx_bad(n, "its round_mode is %s", quoted(n->im, mode));
    return UP;
}

Value *onnx_to_small(OnnxNode *n, const char *part, Value *x, const SmallType *s) {
    bool saturate = attr_bool(n, "saturate", true) || s->bits < 8;
    Rounding r = rounding_of(n);
    if (n->failed || !x)
        return NULL;
    x = s->is_float ? to_small_float(n, x, s, saturate, s->is_signed ? TO_NEAREST : r)
                    : to_small_int(n, x, s);
    x = onnx_cast(n, part, x, s->held);
    small_mark(n->im, x, s);
    return x;
}
