/* Unit tests of ir/types.c and ir/acts.c: element types, shapes, layouts, views, activations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "ir/types.h"

/* ---- element types -------------------------------------------------------------------------- */

static void dtype_names_read_back(void **state) {
    (void)state;
    for (int t = 0; t < DT_COUNT; t++) {
        const char *name = dtype_name((DType)t);
        DType back = DT_COUNT;
        assert_true(dtype_parse(name, strlen(name), &back));
        assert_int_equal(back, t);
        assert_true(dtype_bytes((DType)t) >= 1 && dtype_bytes((DType)t) <= 8);
    }
    DType t;
    assert_false(dtype_parse("f", 1, &t));
    assert_false(dtype_parse("f32x", 4, &t));
    assert_false(dtype_parse("", 0, &t));
    assert_true(dtype_parse("i8[", 2, &t));
    assert_int_equal(t, DT_i8);
}

static void dtype_facts(void **state) {
    (void)state;
    DType t;
    assert_true(dtype_from_onnx(1, &t));
    assert_int_equal(t, DT_f32);
    assert_true(dtype_from_onnx(16, &t));
    assert_int_equal(t, DT_bf16);
    assert_false(dtype_from_onnx(8, &t)); /* string */
    assert_false(dtype_from_onnx(0, &t));
    assert_false(dtype_from_onnx(-1, &t));
    assert_int_equal(dtype_bytes(DT_bool), 1);
    assert_string_equal(dtype_c_name(DT_f16), "uint16_t");
    assert_true(dtype_is_float(DT_bf16) && !dtype_is_float(DT_u16));
    assert_true(dtype_is_signed_int(DT_i8) && !dtype_is_signed_int(DT_u8));
    assert_false(dtype_is_signed_int(DT_bool) || dtype_is_signed_int(DT_f32));
}

/* ---- shapes --------------------------------------------------------------------------------- */

static void shapes(void **state) {
    (void)state;
    Shape s = SHAPE(2, 3, 5), scalar = {0}, empty = SHAPE(4, 0);
    assert_int_equal(s.rank, 3);
    assert_int_equal(shape_elems(&s), 30);
    assert_int_equal(shape_elems(&scalar), 1);
    assert_int_equal(shape_elems(&empty), 0);
    assert_true(shape_equal(&s, &(Shape){3, {2, 3, 5}}));
    assert_false(shape_equal(&s, &(Shape){3, {2, 3, 4}}));
    assert_false(shape_equal(&s, &(Shape){2, {2, 3}}));
}

static void shapes_are_bounded(void **state) {
    (void)state;
    Shape negative = SHAPE(2, -1), largest = SHAPE(1 << 18, 1 << 16),
          over = SHAPE(1 << 18, (1 << 16) + 1);
    assert_false(shape_valid(&negative, DT_u8));
    assert_true(shape_valid(&largest, DT_f32)); /* 2^36 bytes */
    assert_false(shape_valid(&over, DT_f32));
    assert_true(shape_valid(&over, DT_u8));
    Shape overflow = SHAPE(INT64_MAX, INT64_MAX), hidden = SHAPE(0, INT64_MAX, INT64_MAX);
    assert_false(shape_valid(&overflow, DT_u8));
    assert_false(shape_valid(&hidden, DT_u8)); /* the 0 is no excuse */
    assert_false(shape_valid(&(Shape){.rank = MAX_RANK + 1}, DT_u8));
    assert_false(shape_valid(&(Shape){.rank = -1}, DT_u8));
}

/* ---- layouts -------------------------------------------------------------------------------- */

static Type blocked(Shape s, int block, int halo) {
    return (Type){DT_f32, s, {block, {halo, halo, halo, halo}, false}};
}

static void layouts_must_fit(void **state) {
    (void)state;
    Type fine = blocked(SHAPE(1, 24, 5, 7), 16, 2), flat = blocked(SHAPE(1, 24), 8, 0);
    assert_true(type_valid(&fine));
    assert_true(type_valid(&flat));
    Type halo_on_plain = blocked(SHAPE(1, 24, 5, 7), 0, 1),
         halo_on_flat = blocked(SHAPE(1, 24), 8, 1);
    assert_false(type_valid(&halo_on_plain));
    assert_false(type_valid(&halo_on_flat));
    Type rank3 = blocked(SHAPE(1, 24, 5), 8, 0), wide = blocked(SHAPE(1, 24), MAX_BLOCK + 1, 0);
    assert_false(type_valid(&rank3));
    assert_false(type_valid(&wide));
    Type thick = blocked(SHAPE(1, 1, 1, 1), 1, MAX_HALO + 1),
         negative = blocked(SHAPE(1, 1, 1, 1), 1, -1);
    assert_false(type_valid(&thick));
    assert_false(type_valid(&negative));
    Type huge = blocked(SHAPE(1, 64, 1, 1), 64, MAX_HALO); /* the halo alone is over 2^36 bytes */
    assert_false(type_valid(&huge));
}

static void plain_views(void **state) {
    (void)state;
    Type t = type_plain(DT_f32, SHAPE(2, 3, 5, 7));
    View v = view_of(&t);
    assert_int_equal(v.n, 2);
    assert_int_equal(v.block, 1);
    assert_int_equal(v.blocks, 3);
    assert_int_equal(v.row, 7);
    assert_int_equal(v.plane, 35);
    assert_int_equal(v.image, 105);
    assert_int_equal(v.origin, 0);
    assert_int_equal(type_storage_elems(&t), 210);
    assert_int_equal(type_storage_bytes(&t), 840);
}

/* 24 channels in blocks of 16: two blocks of (1+5+2) rows of (3+7+4) pixels. */
static void blocked_views(void **state) {
    (void)state;
    Type t = {DT_f16, SHAPE(2, 24, 5, 7), {16, {1, 3, 2, 4}, false}};
    View v = view_of(&t);
    assert_int_equal(v.c, 24);
    assert_int_equal(v.block, 16);
    assert_int_equal(v.blocks, 2);
    assert_int_equal(v.row, 14 * 16);
    assert_int_equal(v.plane, 8 * 14 * 16);
    assert_int_equal(v.image, 2 * 8 * 14 * 16);
    assert_int_equal(v.origin, 1 * 14 * 16 + 3 * 16);
    assert_int_equal(type_storage_elems(&t), 2 * v.image);
    assert_int_equal(type_storage_bytes(&t), 4 * v.image);
}

static void flat_views(void **state) {
    (void)state;
    Type t = {DT_f32, SHAPE(3, 10), {8, {0}, false}};
    View v = view_of(&t);
    assert_int_equal(v.h * v.w, 1);
    assert_int_equal(v.blocks, 2);
    assert_int_equal(v.image, 16);
    assert_int_equal(type_storage_elems(&t), 48);
    Type rank3 = type_plain(DT_f32, SHAPE(2, 3, 4));
    assert_int_equal(type_storage_elems(&rank3), 24);
}

static void types_as_text(void **state) {
    (void)state;
    Arena a = {0};
    Type t = {DT_f32, SHAPE(1, 144, 56, 56), {16, {1, 2, 3, 4}, false}};
    assert_string_equal(type_str(&a, &t), "f32[1,144,56,56]{nchw16c, halo=1x2x3x4}");
    t.layout.halo[0] = t.layout.halo[1] = t.layout.halo[2] = t.layout.halo[3] = 0;
    assert_string_equal(type_str(&a, &t), "f32[1,144,56,56]{nchw16c}");
    t.layout.block = 0;
    assert_string_equal(type_str(&a, &t), "f32[1,144,56,56]");
    Type scalar = type_plain(DT_bool, (Shape){0});
    assert_string_equal(type_str(&a, &scalar), "bool[]");
    Buf b = {0};
    t.layout.block = 8;
    type_print_placed(&b, &t, 4096);
    assert_string_equal(b.data, "f32[1,144,56,56]{nchw8c, arena=4096}");
    buf_free(&b);
    arena_free(&a);
}

static void types_compare_layouts(void **state) {
    (void)state;
    Type a = blocked(SHAPE(1, 8, 2, 2), 8, 1), b = a;
    assert_true(type_equal(&a, &b));
    b.layout.halo[3] = 0;
    assert_false(type_equal(&a, &b));
    b = a;
    b.dtype = DT_f16;
    assert_false(type_equal(&a, &b));
    b = a;
    b.layout.block = 4;
    assert_false(layout_equal(&a.layout, &b.layout));
}

/* ---- activations ---------------------------------------------------------------------------- */

static void act_names_read_back(void **state) {
    (void)state;
    for (int a = 0; a < ACT_COUNT; a++) {
        const char *name = act_name((Act)a);
        Act back = ACT_COUNT;
        assert_true(act_parse(name, strlen(name), &back));
        assert_int_equal(back, a);
    }
    Act a;
    assert_false(act_parse("relu7", 5, &a));
    assert_false(act_parse("", 0, &a));
}

static void acts_keep_zero_and_nan(void **state) {
    (void)state;
    for (int a = 0; a < ACT_COUNT; a++) {
        assert_int_equal(act_keeps_zero((Act)a), act_eval((Act)a, 0) == 0);
        assert_true(isnan(act_eval((Act)a, (double)NAN)));
    }
}

static void check_act(Act a, double x, double want) {
    double y = act_eval(a, x);
    if (!(fabs(y - want) <= 1e-15) && y != want)
        fail_msg("%s(%g) is %.17g, expected %.17g", act_name(a), x, y, want);
}

static void act_values(void **state) {
    (void)state;
    check_act(ACT_none, -2.5, -2.5);
    check_act(ACT_relu, -2.5, 0);
    check_act(ACT_relu, (double)INFINITY, (double)INFINITY);
    check_act(ACT_relu6, 6.5, 6);
    check_act(ACT_relu6, 5.5, 5.5);
    check_act(ACT_relu6, (double)-INFINITY, 0);
    check_act(ACT_sigmoid, 0, 0.5);
    check_act(ACT_sigmoid, 1, 0.73105857863000487);
    check_act(ACT_sigmoid, -1000, 0);
    check_act(ACT_silu, 1, 0.73105857863000487);
    check_act(ACT_silu, 1000, 1000);
    check_act(ACT_silu_exp2, -1.4426950408889634, 0.73105857863000487);
    check_act(ACT_silu_exp2, -1442.6950408889634, 1000);
    check_act(ACT_softplus, 0, 0.69314718055994531);
    check_act(ACT_softplus, -1000, 0);
    check_act(ACT_softplus, 1000, 1000);
    check_act(ACT_hard_sigmoid, -3, 0);
    check_act(ACT_hard_sigmoid, 1.5, 0.75);
    check_act(ACT_hard_sigmoid, 3.5, 1);
    check_act(ACT_hard_swish, -1.5, -0.375);
    check_act(ACT_hard_swish, -4, 0);
    check_act(ACT_hard_swish, 4, 4);
    check_act(ACT_tanh, 0.5, 0.46211715726000973);
    check_act(ACT_tanh, -1000, -1);
    check_act(ACT_erf, 1, 0.8427007929497149);
    check_act(ACT_erf, -1000, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dtype_names_read_back),
        cmocka_unit_test(dtype_facts),
        cmocka_unit_test(shapes),
        cmocka_unit_test(shapes_are_bounded),
        cmocka_unit_test(layouts_must_fit),
        cmocka_unit_test(plain_views),
        cmocka_unit_test(blocked_views),
        cmocka_unit_test(flat_views),
        cmocka_unit_test(types_as_text),
        cmocka_unit_test(types_compare_layouts),
        cmocka_unit_test(act_names_read_back),
        cmocka_unit_test(acts_keep_zero_and_nan),
        cmocka_unit_test(act_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
