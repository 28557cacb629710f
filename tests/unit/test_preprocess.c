/* From a picture to a tensor: geometry and values. */
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Pixel (x, y) has red x, green y, blue 200. */
static rt_image ramp(int width, int height) {
    rt_image im;
    assert_int_equal(rt_image_alloc(&im, width, height, NULL), RT_OK);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            memcpy(im.rgb + 3 * (y * width + x), (uint8_t[]){(uint8_t)x, (uint8_t)y, 200}, 3);
    return im;
}

static void expect_pixel(const rt_image *im, int x, int y, int red, int green) {
    const uint8_t *p = im->rgb + 3 * (y * im->width + x);
    if (p[0] != red || p[1] != green || p[2] != 200)
        fail_msg("pixel %d, %d is %d %d %d, not %d %d 200", x, y, p[0], p[1], p[2], red, green);
}

/* Crops to a size that needs no scaling, so that offsets show. */
static void expect_crop(int width, int height, double part, int side, int left, int top) {
    rt_image in = ramp(width, height), out;
    rt_preprocess p = {.width = side, .height = side, .crop = part};
    rt_error err;
    if (rt_fit(&out, &in, &p, &err) != RT_OK)
        fail_msg("%s", err.text);
    expect_pixel(&out, 0, 0, left, top);
    expect_pixel(&out, side - 1, side - 1, left + side - 1, top + side - 1);
    rt_image_free(&out);
    rt_image_free(&in);
}

static void test_central_crop_rounds_the_side_down_and_offsets_up(void **state) {
    (void)state;
    expect_crop(16, 16, 0.875, 14, 1, 1);
    expect_crop(20, 15, 0.875, 13, 4, 1); /* 13.125; offsets 3.5 and 1 */
    expect_crop(15, 20, 0.875, 13, 1, 4);
    expect_crop(10, 11, 1, 10, 0, 1);           /* offset 0.5 */
    expect_crop(45, 31, 224 / 256.0, 27, 9, 2); /* 27.125; offsets 9 and 2 */
}

static void test_resize_then_crop(void **state) {
    rt_image in = ramp(40, 20), out;
    rt_preprocess p = {.width = 16, .height = 16, .resize = 20};
    (void)state;
    assert_int_equal(rt_fit(&out, &in, &p, NULL), RT_OK);
    expect_pixel(&out, 0, 0, 12, 2);
    expect_pixel(&out, 15, 15, 27, 17);
    rt_image_free(&out);
    rt_image_free(&in);
    in = ramp(21, 23);
    p.resize = 21; /* halves go to the even number: 2.5 to 2, 3.5 to 4 */
    assert_int_equal(rt_fit(&out, &in, &p, NULL), RT_OK);
    expect_pixel(&out, 0, 0, 2, 4);
    rt_image_free(&out);
    rt_image_free(&in);
}

/* As torchvision's CenterCrop: 3 columns are missing, of which 1 is at the left. */
static void test_a_small_picture_gets_black_around(void **state) {
    rt_image in = ramp(5, 9), out;
    rt_preprocess p = {.width = 8, .height = 6, .resize = 5, .mean = {9, 9, 9}};
    (void)state;
    assert_int_equal(rt_fit(&out, &in, &p, NULL), RT_OK);
    assert_memory_equal(out.rgb, ((uint8_t[3]){0, 0, 0}), 3);
    expect_pixel(&out, 1, 0, 0, 2); /* rows: (9 - 6) / 2 is 1.5, to even */
    expect_pixel(&out, 5, 5, 4, 7);
    assert_memory_equal(out.rgb + 3 * 7, ((uint8_t[3]){0, 0, 0}), 3);
    rt_image_free(&out);
    rt_image_free(&in);
}

static void test_letterbox(void **state) {
    rt_image in = ramp(40, 20), out;
    rt_preprocess p = {.width = 40, .height = 30, .letterbox = true, .mean = {9.6f, -1, 300}};
    (void)state;
    assert_int_equal(rt_fit(&out, &in, &p, NULL), RT_OK);
    expect_pixel(&out, 39, 19, 39, 19);
    assert_memory_equal(out.rgb + 3 * 40 * 20, ((uint8_t[3]){10, 0, 255}), 3);
    rt_image_free(&out);
    p.width = 10;
    assert_int_equal(rt_fit(&out, &in, &p, NULL), RT_OK);
    assert_int_equal(out.width, 10);
    assert_memory_equal(out.rgb + 3 * 10 * 5, ((uint8_t[3]){10, 0, 255}), 3);
    rt_image_free(&out);
    rt_image_free(&in);
}

static void expect_map(rt_preprocess p, double left, double top, double x, double y) {
    rt_image in = {.width = 40, .height = 20};
    rt_map m = rt_fit_map(&in, &p);
    if (m.left != left || m.top != top || m.x_scale != x || m.y_scale != y)
        fail_msg("from %g, %g by %g, %g", m.left, m.top, m.x_scale, m.y_scale);
}

static void test_where_pixels_come_from(void **state) {
    (void)state;
    expect_map((rt_preprocess){.width = 10, .height = 10}, 0, 0, 4, 2);
    expect_map((rt_preprocess){.width = 10, .height = 10, .letterbox = true}, 0, 0, 4, 4);
    expect_map((rt_preprocess){.width = 5, .height = 5, .crop = 0.5}, 15, 5, 2, 2);
    expect_map((rt_preprocess){.width = 8, .height = 8, .resize = 10}, 12, 2, 2, 2);
}

static void test_whole_picture_is_stretched(void **state) {
    rt_image in = ramp(40, 20), out;
    rt_preprocess p = {.width = 5, .height = 10, .filter = RT_BILINEAR};
    (void)state;
    assert_int_equal(rt_fit(&out, &in, &p, NULL), RT_OK);
    assert_int_equal(out.width, 5);
    assert_int_equal(out.height, 10);
    rt_image_free(&out);
    rt_image_free(&in);
}

static void test_impossible_geometry_is_refused(void **state) {
    rt_image in = ramp(4, 4), out;
    rt_error err;
    (void)state;
    const rt_preprocess bad[] = {
        {.width = 2, .height = 2, .crop = 1.5},
        {.width = 2, .height = 2, .crop = -1},
        {.width = 2, .height = 2, .crop = 0.1},
        {.width = 2, .height = 2, .resize = -4},
        {.width = 2, .height = 2, .resize = 4, .letterbox = true},
        {.width = 2, .height = 2, .resize = 4, .crop = 0.5},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (rt_fit(&out, &in, &bad[i], &err) != RT_ERROR_ARGUMENT)
            fail_msg("case %zu was not refused", i);
        assert_null(out.rgb);
    }
    rt_image_free(&in);
}

static void test_values_and_orders(void **state) {
    rt_image in = ramp(2, 1); /* pixels (0, 0, 200) and (1, 0, 200) */
    float out[6];
    rt_preprocess p = {.width = 2, .height = 1, .mean = {1, 2, 100}, .std = {2, 4, 50}};
    const float nchw[6] = {-0.5f, 0, -0.5f, -0.5f, 2, 2};
    const float nhwc[6] = {-0.5f, -0.5f, 2, 0, -0.5f, 2};
    const float bgr[6] = {199.0f / 2, 199.0f / 2, -0.5f, -0.5f, -2, -1.98f};
    (void)state;
    rt_normalise(out, &in, &p);
    assert_memory_equal(out, nchw, sizeof out);
    p.nhwc = true;
    rt_normalise(out, &in, &p);
    assert_memory_equal(out, nhwc, sizeof out);
    p.nhwc = false;
    p.bgr = true;
    assert_int_equal(rt_preprocess_image(out, &in, &p, NULL), RT_OK);
    assert_memory_equal(out, bgr, sizeof out);
    rt_image_free(&in);
}

static void test_a_zeroed_struct_keeps_values(void **state) {
    rt_image in = ramp(2, 1);
    float out[6];
    const float want[6] = {0, 1, 0, 0, 200, 200};
    rt_preprocess p = {.width = 2, .height = 1};
    (void)state;
    assert_int_equal(rt_preprocess_image(out, &in, &p, NULL), RT_OK);
    assert_memory_equal(out, want, sizeof out);
    rt_image_free(&in);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_central_crop_rounds_the_side_down_and_offsets_up),
        cmocka_unit_test(test_resize_then_crop),
        cmocka_unit_test(test_a_small_picture_gets_black_around),
        cmocka_unit_test(test_letterbox),
        cmocka_unit_test(test_where_pixels_come_from),
        cmocka_unit_test(test_whole_picture_is_stretched),
        cmocka_unit_test(test_impossible_geometry_is_refused),
        cmocka_unit_test(test_values_and_orders),
        cmocka_unit_test(test_a_zeroed_struct_keeps_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
