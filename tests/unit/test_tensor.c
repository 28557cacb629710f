/* Unit tests of ir/tensor.c: 16-bit floats, conversions, hashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "ir/types.h"

static uint64_t bits_of_int(DType dt, int64_t x) {
    uint64_t cell = 0;
    Tensor t = {.dtype = dt, .data = &cell};
    tensor_set_i64(&t, 0, x);
    return tensor_bits(&t, 0);
}

static uint64_t bits_of_unsigned(DType dt, uint64_t x) {
    uint64_t cell = 0;
    Tensor t = {.dtype = dt, .data = &cell};
    tensor_set_u64(&t, 0, x);
    return tensor_bits(&t, 0);
}

static int64_t int_of(DType dt, uint64_t bits) {
    Tensor t = {.dtype = dt, .data = &bits};
    return tensor_i64(&t, 0);
}

/* ---- 16-bit floats -------------------------------------------------------------------------- */

static bool is_nan_half(uint16_t h) {
    return (h & 0x7c00) == 0x7c00 && (h & 0x3ff) != 0;
}

static bool is_nan_bfloat(uint16_t h) {
    return (h & 0x7f80) == 0x7f80 && (h & 0x7f) != 0;
}

static void every_16_bit_float_survives(void **state) {
    (void)state;
    for (unsigned i = 0; i <= UINT16_MAX; i++) {
        uint16_t h = (uint16_t)i;
        uint16_t half = float_to_half(half_to_float(h)),
                 bfloat = float_to_bfloat(bfloat_to_float(h));
        /* a signalling NaN becomes quiet, and stays a NaN of the same sign */
        assert_int_equal(half, is_nan_half(h) ? h | 0x200 : h);
        assert_int_equal(bfloat, is_nan_bfloat(h) ? h | 0x40 : h);
        assert_int_equal(isnan(half_to_float(h)) != 0, is_nan_half(h));
    }
}

static void halves(void **state) {
    (void)state;
    assert_int_equal(float_to_half(1.0f), 0x3c00);
    assert_int_equal(float_to_half(-0.0f), 0x8000);
    assert_int_equal(float_to_half(65504.0f), 0x7bff);
    assert_int_equal(float_to_half(65519.0f), 0x7bff);
    assert_int_equal(float_to_half(65520.0f), 0x7c00); /* the tie is infinite */
    assert_int_equal(float_to_half(INFINITY), 0x7c00);
    assert_int_equal(float_to_half(-1e30f), 0xfc00);
    assert_int_equal(float_to_half(0x1p-24f), 0x0001);
    assert_int_equal(float_to_half(0x1p-25f), 0x0000);        /* tie to even */
    assert_int_equal(float_to_half(0x1.000002p-25f), 0x0001); /* just over */
    assert_int_equal(float_to_half(0x1.8p-24f), 0x0002);      /* tie to even */
    assert_int_equal(float_to_half(0x1.ff8p-15f), 0x03ff);    /* the largest denormal */
    assert_int_equal(float_to_half(0x1.ffcp-15f),
                     0x0400); /* tie, carries into the smallest normal */
    assert_int_equal(float_to_half(1 + 0x1p-11f), 0x3c00);
    assert_int_equal(float_to_half(1 + 0x3p-11f), 0x3c02);
    assert_true(half_to_float(0x0001) == 0x1p-24f);
    assert_true(half_to_float(0xfc00) == -INFINITY);
    assert_true(half_to_float(0x3555) == 0x1.554p-2f);
}

static void bfloats(void **state) {
    (void)state;
    assert_int_equal(float_to_bfloat(1.0f), 0x3f80);
    assert_int_equal(float_to_bfloat(1 + 0x1p-8f), 0x3f80);
    assert_int_equal(float_to_bfloat(1 + 0x3p-8f), 0x3f82);
    assert_int_equal(float_to_bfloat(0x1.fffffep127f), 0x7f80);
    assert_int_equal(float_to_bfloat(0x1p-133f), 0x0001);
    assert_true(isnan(bfloat_to_float(0x7fc1)));
}

/* Through float, 1 + 2^-11 + 2^-40 would first become a tie and then round down. */
static void doubles_round_once(void **state) {
    (void)state;
    assert_int_equal(dtype_bits(DT_f16, 1 + 0x1p-11 + 0x1p-40), 0x3c01);
    assert_int_equal(dtype_bits(DT_bf16, 1 + 0x1p-8 + 0x1p-40), 0x3f81);
    assert_int_equal(dtype_bits(DT_f16, 0x1p-25 + 0x1p-70), 0x0001);
    assert_int_equal(dtype_bits(DT_f16, (double)NAN) & 0x7fff, 0x7e00);
}

/* ---- integers ------------------------------------------------------------------------------- */

static void doubles_to_integers_saturate(void **state) {
    (void)state;
    assert_int_equal(dtype_bits(DT_i8, 127.9), 127);
    assert_int_equal((int64_t)dtype_bits(DT_i8, -128.9), -128);
    assert_int_equal(dtype_bits(DT_i8, 1e9), 127);
    assert_int_equal((int64_t)dtype_bits(DT_i16, -1e9), INT16_MIN);
    assert_int_equal(dtype_bits(DT_u8, -3.0), 0);
    assert_int_equal(dtype_bits(DT_u8, 255.9), 255);
    assert_int_equal(dtype_bits(DT_u8, 256), 255);
    assert_int_equal(dtype_bits(DT_u32, 1e10), UINT32_MAX);
    assert_int_equal(dtype_bits(DT_i64, 1e30), INT64_MAX);
    assert_int_equal((int64_t)dtype_bits(DT_i64, -1e30), INT64_MIN);
    assert_int_equal(dtype_bits(DT_i64, 0x1p63), INT64_MAX);
    assert_true(dtype_bits(DT_u64, 0x1p64) == UINT64_MAX);
    assert_true(dtype_bits(DT_u64, 0x1p63) == UINT64_C(1) << 63);
    assert_int_equal(dtype_bits(DT_i32, (double)NAN), 0);
    assert_int_equal(dtype_bits(DT_u64, (double)NAN), 0);
    assert_int_equal(dtype_bits(DT_bool, 0.25), 1);
    assert_int_equal(dtype_bits(DT_bool, -0.0), 0);
    assert_int_equal(dtype_bits(DT_bool, (double)NAN), 1);
}

static void integers_saturate(void **state) {
    (void)state;
    assert_int_equal(bits_of_int(DT_i8, 200), 127);
    assert_int_equal((int64_t)bits_of_int(DT_i32, INT64_MIN), INT32_MIN);
    assert_int_equal(bits_of_int(DT_u16, -1), 0);
    assert_int_equal(bits_of_int(DT_u16, 70000), UINT16_MAX);
    assert_int_equal((int64_t)bits_of_int(DT_i64, INT64_MIN), INT64_MIN);
    assert_int_equal(bits_of_int(DT_u64, INT64_MAX), INT64_MAX);
    assert_int_equal(bits_of_int(DT_bool, -7), 1);
    assert_int_equal(bits_of_unsigned(DT_i32, UINT64_MAX), INT32_MAX);
    assert_int_equal(bits_of_unsigned(DT_u8, UINT64_MAX), UINT8_MAX);
    assert_true(bits_of_unsigned(DT_u64, UINT64_MAX) == UINT64_MAX);
}

static void integers_to_floats_round_once(void **state) {
    (void)state;
    /* 2^62 + 2^38 is a tie for f32; the 1 decides it, but is lost in double */
    int64_t x = (INT64_C(1) << 62) + (INT64_C(1) << 38) + 1;
    assert_int_equal(bits_of_int(DT_f32, x), dtype_bits(DT_f32, 0x1p62 + 0x1p39));
    assert_int_equal(bits_of_int(DT_f32, -x), dtype_bits(DT_f32, -0x1p62 - 0x1p39));
    assert_int_equal(bits_of_int(DT_f32, x - 1), dtype_bits(DT_f32, 0x1p62)); /* tie to even */
    assert_int_equal(bits_of_int(DT_bf16, (INT64_C(1) << 62) + (INT64_C(1) << 54) + 1),
                     dtype_bits(DT_bf16, 0x1p62 + 0x1p55));
    assert_int_equal(bits_of_int(DT_f64, INT64_MIN), dtype_bits(DT_f64, -0x1p63));
    assert_int_equal(bits_of_int(DT_f16, 2049), dtype_bits(DT_f16, 2048));
    uint64_t u = (UINT64_C(1) << 63) + (UINT64_C(1) << 39) + 1; /* over a tie of f32 */
    assert_int_equal(bits_of_unsigned(DT_f32, u), dtype_bits(DT_f32, 0x1p63 + 0x1p40));
    assert_int_equal(bits_of_unsigned(DT_f32, u - 1), dtype_bits(DT_f32, 0x1p63)); /* a tie */
    assert_int_equal(bits_of_unsigned(DT_f64, UINT64_MAX), dtype_bits(DT_f64, 0x1p64));
}

static void elements_as_integers(void **state) {
    (void)state;
    assert_int_equal(int_of(DT_i8, 0x80), -128);
    assert_int_equal(int_of(DT_u8, 0x80), 128);
    assert_int_equal(int_of(DT_i32, 0xffffffff), -1);
    assert_int_equal(int_of(DT_u32, 0xffffffff), UINT32_MAX);
    assert_int_equal(int_of(DT_u64, UINT64_MAX), INT64_MAX);
    assert_int_equal(int_of(DT_f16, 0xc180), -2); /* -2.75 */
    assert_int_equal(int_of(DT_f16, 0x7c00), INT64_MAX);
    assert_int_equal(int_of(DT_f16, 0x7e00), 0);
    assert_int_equal(int_of(DT_bool, 1), 1);
}

/* ---- tensors -------------------------------------------------------------------------------- */

static void new_tensors_are_zero(void **state) {
    (void)state;
    Arena a = {0};
    Tensor *t = tensor_new(&a, DT_f64, SHAPE(3, 5));
    for (int i = 0; i < 15; i++)
        assert_true(tensor_f64(t, i) == 0);
    assert_int_equal(tensor_bytes(t), 120);
    Tensor *empty = tensor_new(&a, DT_f32, SHAPE(0, 4));
    assert_non_null(empty->data);
    assert_int_equal(tensor_bytes(empty), 0);
    arena_free(&a);
}

static void hashes_follow_the_elements(void **state) {
    (void)state;
    Arena a = {0};
    const float values[] = {1, 2, 3};
    Tensor *t = tensor_wrap(&a, DT_f32, SHAPE(3), values);
    assert_true(tensor_hash(t) == hash_bytes(values, sizeof values));
    Tensor *u = tensor_new(&a, DT_f32, SHAPE(3));
    uint64_t zeros = tensor_hash(u);
    for (int i = 0; i < 3; i++)
        tensor_set_f64(u, i, i + 1);
    assert_true(tensor_hash(u) == tensor_hash(t));
    assert_true(tensor_hash(u) != zeros);
    Tensor elided = {.dtype = DT_f32, .shape = SHAPE(3), .hash = 42};
    assert_int_equal(tensor_hash(&elided), 42);
    arena_free(&a);
}

static void runs_of_elements(void **state) {
    (void)state;
    Arena a = {0};
    const double x[] = {0.5, -1.5, 2.25};
    for (int dt = 0; dt < DT_COUNT; dt++) {
        Tensor *t = tensor_new(&a, (DType)dt, SHAPE(5));
        tensor_write_f64(t, 1, 3, x);
        double back[5];
        tensor_read_f64(t, 0, 5, back);
        assert_true(back[0] == 0 && back[4] == 0);
        for (int i = 0; i < 3; i++) {
            assert_true(back[i + 1] == tensor_f64(t, i + 1));
            if (dtype_is_float((DType)dt))
                assert_true(back[i + 1] == x[i]);
        }
    }
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_16_bit_float_survives),
        cmocka_unit_test(halves),
        cmocka_unit_test(bfloats),
        cmocka_unit_test(doubles_round_once),
        cmocka_unit_test(doubles_to_integers_saturate),
        cmocka_unit_test(integers_saturate),
        cmocka_unit_test(integers_to_floats_round_once),
        cmocka_unit_test(elements_as_integers),
        cmocka_unit_test(new_tensors_are_zero),
        cmocka_unit_test(hashes_follow_the_elements),
        cmocka_unit_test(runs_of_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
