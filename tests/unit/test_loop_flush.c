/* Unit tests of ir/loop_lanes.c: denormals, where the target flushes them to zero. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/loop_inst.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float flushed(const char *text, float a, float b, float c) {
    char body[64];
    float out;
    snprintf(body, sizeof body, "y = %s", text);
    run_body("x86-64-v3", body, ltype(DT_f32, 1), ltype(DT_f32, 1),
             (const void *const[]){&a, &b, &c}, &out);
    return out;
}

/* Results as they came out of an x86 processor with FTZ and DAZ set. */
static void denormals_are_flushed(void **state) {
    (void)state;
    static const struct {
        const char *text;
        float a, b, c, want;
    } rows[] = {
        {"add a, b", 0x1p-127f, 0x1p-126f, 0, 0x1p-126f}, /* operand */
        {"add a, b", -0x1p-127f, -0.0f, 0, -0.0f},        /* operand, sign kept */
        {"sub a, b", 0x1p-126f, 0x1.8p-126f, 0, -0.0f},   /* result */
        {"mul a, b", 0x1p-126f, 0.5f, 0, 0},              /* result, exact */
        {"mul a, b", -0x1p-126f, 0.5f, 0, -0.0f},         /* */
        {"mul a, b", 0x1.fffffep-1f, 0x1p-126f, 0, 0}, /* rounds up to normal: tiny all the same */
        {"mul a, b", 0x1.fffffcp-1f, 0x1.000002p-126f, 0,
         0x1p-126f},                               /* rounds up at any exponent */
        {"mul a, b", 0x1p-149f, 0x1p127f, 0, 0},   /* operand */
        {"mul a, b", 0x1p-149f, INFINITY, 0, NAN}, /* 0 * inf */
        {"div a, b", 0x1p-126f, 2, 0, 0},          /* result */
        {"div a, b", 1, 0x1p-127f, 0, INFINITY},   /* operand */
        {"fma a, b, c", 0x1p-126f, 0.5f, 0, 0},    /* result */
        {"fma a, b, c", 1, 1, 0x1p-127f, 1},       /* operand */
        {"fma a, b, c", -0x1.000002p-1f, 0x1.fffffep-126f, 0x1p-125f, 0}, /* tiny after rounding */
        {"fma a, b, c", -0x1.0008p0f, 0x1.0008p-126f, 0x1.0008p-125f, 0x1p-126f}, /* not tiny */
        {"scale2 a, b", 0x1.fffffep0f, -127, 0, 0},  /* rounds up to normal: tiny all the same */
        {"scale2 a, b", -0x1p0f, -126.5f, 0, -0.0f}, /* result, exact */
        {"scale2 a, b", -0x1.8p0f, -126, 0, -0x1.8p-126f},
        {"scale2 a, b", 0x1p-140f, 100, 0, 0}, /* operand */
        {"scale2 a, b", 1.5f, -0x1p-140f, 0, 1.5f},
        {"exp2_low5 a", 0x1p-145f, 0, 0, 0x1.6a09e6p0f}, /* bits: a denormal has them, too */
        {"min a, b", 0x1p-140f, 1, 0, 0},                /* operand */
        {"max a, b", -1, -0x1p-140f, 0, -0.0f},
        {"neg a", 0x1p-140f, 0, 0, -0x1p-140f}, /* moves only bits */
        {"mov a", 0x1p-140f, 0, 0, 0x1p-140f},
        {"relu a", 0x1p-140f, 0, 0, 0},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        float got = flushed(rows[r].text, rows[r].a, rows[r].b, rows[r].c);
        if (!same_f((double)got, (double)rows[r].want))
            fail_msg("%s of %a, %a, %a gave %a, not %a", rows[r].text, (double)rows[r].a,
                     (double)rows[r].b, (double)rows[r].c, (double)got, (double)rows[r].want);
    }
}

static void denormals_are_kept_where_the_target_keeps_them(void **state) {
    (void)state;
    float a = 0x1p-126f, b = 0.5f, out;
    run_inst("mul a, b", ltype(DT_f32, 1), ltype(DT_f32, 1), (const void *const[]){&a, &b, &b},
             &out);
    assert_true(out == 0x1p-127f);
}

static void denormals_of_f64_are_flushed(void **state) {
    (void)state;
    static const struct {
        const char *body;
        double a, b, c, want;
    } rows[] = {
        {"y = mul a, b", 0x1p-1022, 0.5, 0, 0},
        {"y = mul a, b", 0x1.fffffffffffffp-1, 0x1p-1022, 0, 0},
        {"y = mul a, b", 0x1.ffffffffffffep-1, 0x1.0000000000001p-1022, 0, 0x1p-1022},
        {"y = div a, b", 0x1p-1022, -2, 0, -0.0},
        {"y = fma a, b, c", -0x1.0000000000001p-1, 0x1.fffffffffffffp-1022, 0x1p-1021, 0},
        {"y = add a, b", 0x1p-1074, 1, 0, 1},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        double out;
        run_body("x86-64-v4", rows[r].body, ltype(DT_f64, 1), ltype(DT_f64, 1),
                 (const void *const[]){&rows[r].a, &rows[r].b, &rows[r].c}, &out);
        if (!same_f(out, rows[r].want))
            fail_msg("%s of %a, %a, %a gave %a", rows[r].body, rows[r].a, rows[r].b, rows[r].c,
                     out);
    }
}

static void comparisons_and_conversions_flush(void **state) {
    (void)state;
    float tiny[4] = {0x1p-140f, -0x1p-140f, 0, 0x1p-126f}, zero[4] = {0};
    int32_t mask[4];
    const void *const in[] = {tiny, zero, zero};
    run_body("x86-64-v3", "y = eq a, b", ltype(DT_f32, 4), ltype(DT_i32, 4), in, mask);
    assert_memory_equal(mask, ((int32_t[]){-1, -1, -1, 0}), sizeof mask);
    uint8_t bools[4];
    run_body("x86-64-v3", "y = convert.v4.bool a", ltype(DT_f32, 4), ltype(DT_bool, 4), in, bools);
    assert_memory_equal(bools, ((uint8_t[]){0, 0, 0, 1}), 4);
    double wide[4];
    run_body("x86-64-v3", "y = convert.v4.f64 a", ltype(DT_f32, 4), ltype(DT_f64, 4), in, wide);
    assert_true(wide[0] == 0 && signbit(wide[1]) && wide[1] == 0 && wide[3] == 0x1p-126);
    double d[4] = {0x1p-127, -0x1.ffffffp-127, 0x1.ffffffp-127, 0x1.fffffep-127};
    float narrow[4]; /* the third is a tie that goes up to the least normal number */
    run_body("x86-64-v3", "y = convert.v4.f32 a", ltype(DT_f64, 4), ltype(DT_f32, 4),
             (const void *const[]){d, d, d}, narrow);
    assert_int_equal(bits_of(narrow[0]), 0);
    assert_int_equal(bits_of(narrow[1]), bits_of(-0x1p-126f));
    assert_int_equal(bits_of(narrow[2]), bits_of(0x1p-126f));
    assert_int_equal(bits_of(narrow[3]), 0);
}

#ifdef __SSE2__
#include <emmintrin.h>

/* The processor's own answer, in the mode that generated code runs in. */
static float hardware(InstOp op, float a, float b) {
    unsigned mode = _mm_getcsr();
    volatile float x = a, y = b, r;
    _mm_setcsr(mode | 0x8040); /* flush to zero, denormals are zeros */
    __m128 vx = _mm_set_ss(x), vy = _mm_set_ss(y);
    __m128 vr = op == INST_add   ? _mm_add_ss(vx, vy)
                : op == INST_sub ? _mm_sub_ss(vx, vy)
                : op == INST_mul ? _mm_mul_ss(vx, vy)
                : op == INST_div ? _mm_div_ss(vx, vy)
                : op == INST_min ? _mm_min_ss(vx, vy)
                                 : _mm_max_ss(vx, vy);
    r = _mm_cvtss_f32(vr);
    _mm_setcsr(mode);
    return r;
}

/* A number with an exponent in [lo, hi] whose last bits are all ones or all zeros, or nearly so,
 * half of the time: what rounds up to the next power of two. */
static float draw(uint64_t *seed, int lo, int hi) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    uint32_t x = (uint32_t)(*seed >> 32);
    uint32_t mantissa = x >> 9;
    if (x & 1)
        mantissa = x & 2 ? 0x7fffff - (x >> 3) % 4 : (x >> 3) % 4;
    int e = lo + (int)((x >> 8) % (unsigned)(hi - lo + 1));
    return ldexpf((float)(0x800000 + mantissa), e - 23) * (x & 4 ? -1 : 1);
}

static void flushing_agrees_with_the_processor(void **state) {
    (void)state;
    static const InstOp ops[] = {INST_add, INST_sub, INST_mul, INST_div, INST_min, INST_max};
    uint64_t seed = 99;
    for (size_t o = 0; o < sizeof ops / sizeof *ops; o++) {
        char body[32];
        snprintf(body, sizeof body, "y = %s a, b", inst_info(ops[o])->name);
        for (int round = 0; round < 300; round++) {
            float a[16], b[16], out[16];
            for (int i = 0; i < 16; i++) { /* products and quotients around 2^-126 */
                bool product = ops[o] == INST_mul, scaled = product || ops[o] == INST_div;
                a[i] = draw(&seed, scaled ? -64 : -128, scaled ? -62 : -124);
                b[i] = product  ? draw(&seed, -64, -62)
                       : scaled ? draw(&seed, 62, 64)
                                : draw(&seed, -128, -124);
            }
            run_body("x86-64-v4", body, ltype(DT_f32, 16), ltype(DT_f32, 16),
                     (const void *const[]){a, b, b}, out);
            for (int i = 0; i < 16; i++) {
                float want = hardware(ops[o], a[i], b[i]);
                if (bits_of(out[i]) != bits_of(want))
                    fail_msg("%s of %a, %a gave %a, not %a", inst_info(ops[o])->name, (double)a[i],
                             (double)b[i], (double)out[i], (double)want);
            }
        }
    }
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(denormals_are_flushed),
        cmocka_unit_test(denormals_are_kept_where_the_target_keeps_them),
        cmocka_unit_test(denormals_of_f64_are_flushed),
        cmocka_unit_test(comparisons_and_conversions_flush),
#ifdef __SSE2__
        cmocka_unit_test(flushing_agrees_with_the_processor),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
