/* loop_lanes.c: what instructions compute, lane by lane: the meaning of the loop IR's arithmetic.
 *
 * Floats: one rounding to the type (a float is never computed with in a wider type than its own).
 * Integers: modulo 2^bits, by way of uint64_t, so that nothing here overflows. */
#include "ir/loop_eval.h"

#include <math.h>
#include <string.h>

/* ---- flush-to-zero ----------------------------------------------------------------------------
 *
 * A target with this mode reads denormal operands as zeros and gives zeros for denormal results,
 * with their signs. It looks at a result after it was rounded as if the exponent had no lower
 * limit (x86: "tiny after rounding"). So a result that the C type rounds up to the least normal
 * number counts as denormal if it only became normal because its last bits were lost. Sums are
 * exact there; products, quotients and fma are looked at again 2^k times as large, where they
 * have all their bits. */

#define FLUSH_OPS(T, S, MIN, FMA, FABS, COPYSIGN, SCALE)                                           \
    static inline T flush_##S(T x) {                                                               \
        return FABS(x) < MIN ? COPYSIGN(0, x) : x;                                                 \
    }                                                                                              \
    static inline T fma_scaled_##S(T a, T b, T c) {                                                \
        return FABS(a) < FABS(b) ? FMA(a * SCALE, b, c * SCALE) : FMA(a, b * SCALE, c * SCALE);    \
    }                                                                                              \
    static inline T fma_flush_##S(T a, T b, T c) {                                                 \
        T r = FMA(a, b, c);                                                                        \
        bool tiny = FABS(r) == MIN && FABS(fma_scaled_##S(a, b, c)) < MIN * SCALE;                 \
        return tiny ? COPYSIGN(0, r) : r;                                                          \
    }                                                                                              \
    static inline T mul_flush_##S(T a, T b) {                                                      \
        T r = a * b;                                                                               \
        bool tiny = FABS(r) == MIN && FABS(fma_scaled_##S(a, b, 0)) < MIN * SCALE;                 \
        return tiny ? COPYSIGN(0, r) : r;                                                          \
    }                                                                                              \
    static inline T div_flush_##S(T a, T b) {                                                      \
        T r = a / b;                                                                               \
        bool tiny = FABS(r) == MIN && FABS(a * SCALE / b) < MIN * SCALE;                           \
        return tiny ? COPYSIGN(0, r) : r;                                                          \
    }

FLUSH_OPS(float, f32, 0x1p-126f, fmaf, fabsf, copysignf, 0x1p64f)
FLUSH_OPS(double, f64, 0x1p-1022, fma, fabs, copysign, 0x1p256)

/* f64 to f32, with the same look at a result just below the normal numbers. */
static inline float narrow_flush(double x) {
    float r = (float)x;
    bool tiny = fabs(x) < 0x1p-126 - 0x1p-151;
    return tiny ? copysignf(0, r) : r;
}

/* ---- exp2_low5, and scale2: what VSCALEFPS does ---------------------------------------------- */

static inline float low5_power_f32(float a) {
    uint32_t bits;
    memcpy(&bits, &a, sizeof bits);
    return (float)exp2_powers[bits % 32];
}

static inline double low5_power_f64(double a) {
    uint64_t bits;
    memcpy(&bits, &a, sizeof bits);
    return exp2_powers[bits % 32];
}

#define EXP2_LOW5(a) _Generic((a), float : low5_power_f32, double : low5_power_f64)(a)

#define SCALE_OPS(T, S, FLOOR, LDEXP, FABS, COPYSIGN, MIN, LIMIT)                                  \
    static inline T scaled_limit_##S(T a, bool up) {                                               \
        if (up)                                                                                    \
            return a == 0 ? (T)NAN : a < 0 ? (T)-INFINITY : (T)INFINITY;                           \
        return isinf(a) ? (T)NAN : isnan(a) ? 0 : COPYSIGN(0, a);                                  \
    }                                                                                              \
    static inline T scaled_##S(T a, T b) {                                                         \
        if (isnan(b))                                                                              \
            return b;                                                                              \
        if (isinf(b))                                                                              \
            return scaled_limit_##S(a, b > 0);                                                     \
        return LDEXP(a, (int)(b > LIMIT ? LIMIT : b < -LIMIT ? -LIMIT : FLOOR(b)));                \
    }                                                                                              \
    static inline T scaled_flush_##S(T a, T b) {                                                   \
        T r = scaled_##S(a, b);                                                                    \
        bool tiny = FABS(r) == MIN && scaled_##S(r, -FLOOR(b)) != a;                               \
        return tiny ? COPYSIGN(0, r) : r;                                                          \
    }

SCALE_OPS(float, f32, floorf, ldexpf, fabsf, copysignf, 0x1p-126f, 300.0f)
SCALE_OPS(double, f64, floor, ldexp, fabs, copysign, 0x1p-1022, 3000.0)

/* ---- arithmetic, rows of insts.def ---------------------------------------------------------- */

static inline int64_t shift_right_signed(int64_t x, int n) {
    return x < 0 ? ~(~x >> n) : x >> n;
}

static inline uint64_t shift_right_unsigned(uint64_t x, int n) {
    return x >> n;
}

#define PLAIN(x) (x)
#define SHIFT_RIGHT(a, n)                                                                          \
    _Generic((a), int64_t : shift_right_signed, uint64_t : shift_right_unsigned)(a, n)

/* clang-format off */
#define EVAL_FI(f, i)   f
#define EVAL_RAW(f, i)  f
#define EVAL_NONE       0
#define EVAL_F(f)       f
#define EVAL_I(i)       0
#define HAS_FI(f, i)    1
#define HAS_RAW(f, i)   1
#define HAS_NONE        0
#define HAS_F(f)        1
#define HAS_I(i)        0
#define READ_FI(f, i)   READ
#define READ_RAW(f, i)  PLAIN
#define READ_NONE       PLAIN
#define READ_F(f)       READ
#define READ_I(i)       PLAIN
#define WRITE_FI(f, i)  WRITE
#define WRITE_RAW(f, i) PLAIN
#define WRITE_NONE      PLAIN
#define WRITE_F(f)      WRITE
#define WRITE_I(i)      PLAIN
#define AS_UINT(x)      ((void)(x), (uint64_t)0)
/* clang-format on */

#define READ         PLAIN
#define WRITE        PLAIN
#define MUL(a, b)    (a) * (b)
#define DIV(a, b)    (a) / (b)
#define FMA(a, b, c) fmaf(a, b, c)
#define SCALE2(a, b) scaled_f32(a, b)
#define T            float
#define WIDE         float
#define MASK         int32_t
#define NAME(id)     id##_f32
#include "ir/lanes.def"
#undef FMA
#undef SCALE2
#define FMA(a, b, c) fma(a, b, c)
#define SCALE2(a, b) scaled_f64(a, b)
#define T            double
#define WIDE         double
#define MASK         int64_t
#define NAME(id)     id##_f64
#include "ir/lanes.def"
#undef READ
#undef WRITE
#undef MUL
#undef DIV
#undef FMA
#undef SCALE2

#define READ         flush_f32
#define WRITE        flush_f32
#define MUL(a, b)    mul_flush_f32(a, b)
#define DIV(a, b)    div_flush_f32(a, b)
#define FMA(a, b, c) fma_flush_f32(a, b, c)
#define SCALE2(a, b) scaled_flush_f32(a, b)
#define T            float
#define WIDE         float
#define MASK         int32_t
#define NAME(id)     id##_f32_flush
#include "ir/lanes.def"
#undef READ
#undef WRITE
#undef MUL
#undef DIV
#undef FMA
#undef SCALE2

#define READ         flush_f64
#define WRITE        flush_f64
#define MUL(a, b)    mul_flush_f64(a, b)
#define DIV(a, b)    div_flush_f64(a, b)
#define FMA(a, b, c) fma_flush_f64(a, b, c)
#define SCALE2(a, b) scaled_flush_f64(a, b)
#define T            double
#define WIDE         double
#define MASK         int64_t
#define NAME(id)     id##_f64_flush
#include "ir/lanes.def"
#undef READ
#undef WRITE
#undef EVAL_FI
#undef EVAL_RAW
#undef EVAL_F
#undef EVAL_I
#undef HAS_F
#undef HAS_I
#undef AS_UINT

#define EVAL_FI(f, i)  i
#define EVAL_RAW(f, i) i
#define EVAL_F(f)      0
#define EVAL_I(i)      i
#define HAS_F(f)       0
#define HAS_I(i)       1
#define AS_UINT(x)     (uint64_t)(x)
#define READ           PLAIN
#define WRITE          PLAIN

#define T        int8_t
#define WIDE     int64_t
#define MASK     int8_t
#define NAME(id) id##_i8
#include "ir/lanes.def"
#define T        int16_t
#define WIDE     int64_t
#define MASK     int16_t
#define NAME(id) id##_i16
#include "ir/lanes.def"
#define T        int32_t
#define WIDE     int64_t
#define MASK     int32_t
#define NAME(id) id##_i32
#include "ir/lanes.def"
#define T        int64_t
#define WIDE     int64_t
#define MASK     int64_t
#define NAME(id) id##_i64
#include "ir/lanes.def"
#define T        uint8_t
#define WIDE     uint64_t
#define MASK     int8_t
#define NAME(id) id##_u8
#include "ir/lanes.def"
#define T        uint16_t
#define WIDE     uint64_t
#define MASK     int16_t
#define NAME(id) id##_u16
#include "ir/lanes.def"
#define T        uint32_t
#define WIDE     uint64_t
#define MASK     int32_t
#define NAME(id) id##_u32
#include "ir/lanes.def"
#define T        uint64_t
#define WIDE     uint64_t
#define MASK     int64_t
#define NAME(id) id##_u64
#include "ir/lanes.def"

/* Halves are only moved, and a bool is a byte of 0 or 1. */
static LaneFn *const *const tables[DT_COUNT][2] = {
    [DT_f32] = {table_f32, table_f32_flush}, [DT_f64] = {table_f64, table_f64_flush},
    [DT_f16] = {table_u16, table_u16},       [DT_bf16] = {table_u16, table_u16},
    [DT_i8] = {table_i8, table_i8},          [DT_i16] = {table_i16, table_i16},
    [DT_i32] = {table_i32, table_i32},       [DT_i64] = {table_i64, table_i64},
    [DT_u8] = {table_u8, table_u8},          [DT_u16] = {table_u16, table_u16},
    [DT_u32] = {table_u32, table_u32},       [DT_u64] = {table_u64, table_u64},
    [DT_bool] = {table_u8, table_u8},
};

LaneFn *lane_function(InstOp op, DType dt, bool flush_to_zero) {
    return tables[dt][flush_to_zero][op];
}

/* ---- division of integers ------------------------------------------------------------------- */

/* C's / traps, or worse, for a divisor of 0 and for the least number by -1. */
#define DIVISION_TEST(S, T, overflows)                                                             \
    static bool has_quotient_##S(const unsigned char *regs, const Step *s) {                       \
        const T *x = (const void *)(regs + s->src[0]), *y = (const void *)(regs + s->src[1]);      \
        (void)x;                                                                                   \
        for (int i = 0; i < s->lanes; i++)                                                         \
            if (y[i] == 0 || (overflows))                                                          \
                return false;                                                                      \
        return true;                                                                               \
    }

DIVISION_TEST(i8, int8_t, x[i] == INT8_MIN && y[i] == -1)
DIVISION_TEST(i16, int16_t, x[i] == INT16_MIN && y[i] == -1)
DIVISION_TEST(i32, int32_t, x[i] == INT32_MIN && y[i] == -1)
DIVISION_TEST(i64, int64_t, x[i] == INT64_MIN && y[i] == -1)
DIVISION_TEST(u8, uint8_t, false)
DIVISION_TEST(u16, uint16_t, false)
DIVISION_TEST(u32, uint32_t, false)
DIVISION_TEST(u64, uint64_t, false)

LaneTest *lane_division_test(DType dt) {
    static LaneTest *const tests[DT_COUNT] = {
        [DT_i8] = has_quotient_i8,   [DT_i16] = has_quotient_i16, [DT_i32] = has_quotient_i32,
        [DT_i64] = has_quotient_i64, [DT_u8] = has_quotient_u8,   [DT_u16] = has_quotient_u16,
        [DT_u32] = has_quotient_u32, [DT_u64] = has_quotient_u64,
    };
    return tests[dt];
}

/* ---- conversions ---------------------------------------------------------------------------- */

/* Towards zero. What C leaves undefined saturates here, and NaN gives 0. */
#define SATURATE(S, T, MIN, MAX)                                                                   \
    static inline T saturate_##S(double x) {                                                       \
        return x != x ? 0 : x <= (double)MIN ? MIN : x >= (double)MAX ? MAX : (T)x;                \
    }

SATURATE(i8, int8_t, INT8_MIN, INT8_MAX)
SATURATE(i16, int16_t, INT16_MIN, INT16_MAX)
SATURATE(i32, int32_t, INT32_MIN, INT32_MAX)
SATURATE(i64, int64_t, INT64_MIN, INT64_MAX)
SATURATE(u8, uint8_t, 0, UINT8_MAX)
SATURATE(u16, uint16_t, 0, UINT16_MAX)
SATURATE(u32, uint32_t, 0, UINT32_MAX)
SATURATE(u64, uint64_t, 0, UINT64_MAX)

/* The result may lie over the operand and be wider, hence the copy. */
#define CONVERT(name, From, To, expr)                                                              \
    static void name(unsigned char *regs, const Step *s) {                                         \
        From src[MAX_LANES];                                                                       \
        To *dst = (void *)(regs + s->dst);                                                         \
        memcpy(src, regs + s->src[0], (size_t)s->lanes * sizeof *src);                             \
        for (int i = 0; i < s->lanes; i++) {                                                       \
            const From x = src[i];                                                                 \
            dst[i] = (To)(expr);                                                                   \
        }                                                                                          \
    }

#define EACH_INTEGER(X, S, C)                                                                      \
    X(S, C, i8, int8_t)                                                                            \
    X(S, C, i16, int16_t)                                                                          \
    X(S, C, i32, int32_t)                                                                          \
    X(S, C, i64, int64_t)                                                                          \
    X(S, C, u8, uint8_t)                                                                           \
    X(S, C, u16, uint16_t)                                                                         \
    X(S, C, u32, uint32_t)                                                                         \
    X(S, C, u64, uint64_t)

/* From one integer type (bool: as u8) to everything else. */
#define FROM_INTEGER(S, C)                                                                         \
    EACH_INTEGER(TO_INTEGER, S, C)                                                                 \
    CONVERT(S##_to_f32, C, float, x)                                                               \
    CONVERT(S##_to_f64, C, double, x)                                                              \
    CONVERT(S##_to_bool, C, uint8_t, x != 0)
#define TO_INTEGER(S, C, S2, C2) CONVERT(S##_to_##S2, C, C2, x)

#define FROM_FLOAT(S, C)                                                                           \
    EACH_INTEGER(TO_INTEGER_SATURATED, S, C)                                                       \
    CONVERT(S##_to_bool, C, uint8_t, x != 0)                                                       \
    CONVERT(S##_to_bool_flush, C, uint8_t, flush_##S(x) != 0)
#define TO_INTEGER_SATURATED(S, C, S2, C2) CONVERT(S##_to_##S2, C, C2, saturate_##S2((double)x))

FROM_INTEGER(i8, int8_t)
FROM_INTEGER(i16, int16_t)
FROM_INTEGER(i32, int32_t)
FROM_INTEGER(i64, int64_t)
FROM_INTEGER(u8, uint8_t)
FROM_INTEGER(u16, uint16_t)
FROM_INTEGER(u32, uint32_t)
FROM_INTEGER(u64, uint64_t)
FROM_FLOAT(f32, float)
FROM_FLOAT(f64, double)
CONVERT(f32_to_f64, float, double, x)
CONVERT(f64_to_f32, double, float, x)
CONVERT(f32_to_f64_flush, float, double, flush_f32(x))
CONVERT(f64_to_f32_flush, double, float, narrow_flush(flush_f64(x)))
CONVERT(f16_to_f32, uint16_t, float, half_to_float(x))
CONVERT(bf16_to_f32, uint16_t, float, bfloat_to_float(x))
CONVERT(f32_to_f16, float, uint16_t, float_to_half(x))
CONVERT(f32_to_bf16, float, uint16_t, float_to_bfloat(x))

/* clang-format off */
#define ROW_TO_INTEGER(S, C, S2, C2) [DT_##S2] = S##_to_##S2,
#define ROW_FROM_INTEGER(S, C)                                                                     \
    {EACH_INTEGER(ROW_TO_INTEGER, S, C) [DT_f32] = S##_to_f32, [DT_f64] = S##_to_f64,              \
     [DT_bool] = S##_to_bool}

static LaneFn *const conversions[DT_COUNT][DT_COUNT] = {
    [DT_i8] = ROW_FROM_INTEGER(i8, int8_t),
    [DT_i16] = ROW_FROM_INTEGER(i16, int16_t),
    [DT_i32] = ROW_FROM_INTEGER(i32, int32_t),
    [DT_i64] = ROW_FROM_INTEGER(i64, int64_t),
    [DT_u8] = ROW_FROM_INTEGER(u8, uint8_t),
    [DT_u16] = ROW_FROM_INTEGER(u16, uint16_t),
    [DT_u32] = ROW_FROM_INTEGER(u32, uint32_t),
    [DT_u64] = ROW_FROM_INTEGER(u64, uint64_t),
    [DT_bool] = ROW_FROM_INTEGER(u8, uint8_t),
    [DT_f32] = {EACH_INTEGER(ROW_TO_INTEGER, f32, float) [DT_f64] = f32_to_f64,
                [DT_f16] = f32_to_f16, [DT_bf16] = f32_to_bf16, [DT_bool] = f32_to_bool},
    [DT_f64] = {EACH_INTEGER(ROW_TO_INTEGER, f64, double) [DT_f32] = f64_to_f32,
                [DT_bool] = f64_to_bool},
    [DT_f16] = {[DT_f32] = f16_to_f32},
    [DT_bf16] = {[DT_f32] = bf16_to_f32},
};

static LaneFn *const flushing_conversions[DT_COUNT][DT_COUNT] = {
    [DT_f32] = {[DT_f64] = f32_to_f64_flush, [DT_bool] = f32_to_bool_flush},
    [DT_f64] = {[DT_f32] = f64_to_f32_flush, [DT_bool] = f64_to_bool_flush},
};
/* clang-format on */

LaneFn *lane_convert(DType from, DType to, bool flush_to_zero) {
    if (from == to)
        return lane_copy;
    if (flush_to_zero && flushing_conversions[from][to])
        return flushing_conversions[from][to];
    return conversions[from][to];
}

/* ---- lanes of any type ---------------------------------------------------------------------- */

void lane_copy(unsigned char *regs, const Step *s) {
    memmove(regs + s->dst, regs + s->src[0], (size_t)(s->lanes * s->bytes));
}

void lane_swap(unsigned char *regs, const Step *s) {
    unsigned char a[MAX_LANES * sizeof(double)]; /* the result may be the operand */
    size_t all = (size_t)(s->lanes * s->bytes), half = (size_t)(s->lanes / 2 * s->bytes);
    memcpy(a, regs + s->src[0], all);
    memcpy(regs + s->dst, a + half, all - half);
    memcpy(regs + s->dst + (all - half), a, half);
}

static void fill(unsigned char *to, const void *element, const Step *s) {
    uint64_t x; /* the element may be the first one of the result */
    memcpy(&x, element, sizeof x);
    for (int i = 0; i < s->lanes; i++)
        memcpy(to + i * s->bytes, &x, (size_t)s->bytes);
}

void lane_splat(unsigned char *regs, const Step *s) {
    fill(regs + s->dst, regs + s->src[0], s);
}

void lane_const(unsigned char *regs, const Step *s) {
    fill(regs + s->dst, &s->u.lanes.imm, s);
}

/* The mask of a vector has lanes of 0 and -1, so lanes are no matter: this is done by bytes. */
void lane_select(unsigned char *regs, const Step *s) {
    const unsigned char *m = regs + s->src[0], *x = regs + s->src[1], *y = regs + s->src[2];
    unsigned char *d = regs + s->dst;
    for (int i = 0; i < s->lanes * s->bytes; i++) {
        unsigned char mask = s->lanes > 1 ? m[i] : (unsigned char)(0 - *m);
        d[i] = (unsigned char)((x[i] & mask) | (y[i] & ~mask));
    }
}
