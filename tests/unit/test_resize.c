/* Resizing against Pillow: the pictures below come from Image.resize, the hashes of pillow.def
 * from pillow.py. */
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The input picture of every case: the upper bytes of a linear congruential sequence. */
static rt_image picture(int width, int height) {
    rt_image im;
    rt_error err;
    uint32_t s = 1;
    if (rt_image_alloc(&im, width, height, &err) != RT_OK)
        fail_msg("%s", err.text);
    for (int i = 0; i < width * height * 3; i++) {
        s = s * 1664525u + 1013904223u;
        im.rgb[i] = (uint8_t)(s >> 24);
    }
    return im;
}

static rt_image resized(int in_w, int in_h, int w, int h, rt_filter filter, rt_order order) {
    rt_image in = picture(in_w, in_h), out;
    rt_error err;
    if (rt_resize(&out, &in, w, h, filter, order, &err) != RT_OK)
        fail_msg("%d x %d to %d x %d: %s", in_w, in_h, w, h, err.text);
    rt_image_free(&in);
    assert_int_equal(out.width, w);
    assert_int_equal(out.height, h);
    return out;
}

static const uint8_t shrink_bicubic[] = {
    77, 93, 112, 166, 116, 97, 174, 176, 124, 94, 141, 168, 148, 165, 92, 132, 138, 89,
};
static const uint8_t shrink_bilinear[] = {
    82, 98, 115, 161, 119, 100, 170, 174, 124, 97, 136, 162, 144, 162, 97, 138, 143, 91,
};
static const uint8_t grow_bicubic[] = {
    41,  104, 134, 96,  54,  124, 183, 0,   97, 195, 81,  31, 194, 146, 0,
    74,  90,  128, 112, 71,  115, 174, 54,  87, 201, 120, 42, 211, 166, 18,
    141, 63,  116, 143, 104, 96,  157, 172, 67, 211, 198, 65, 243, 206, 67,
    174, 49,  110, 159, 121, 87,  148, 232, 57, 217, 237, 76, 255, 226, 93,
};
static const uint8_t grow_bilinear[] = {
    60,  94, 129, 108, 61,  115, 180, 12,  94, 191, 90,  40, 198, 142, 4,
    86,  87, 124, 121, 77,  109, 173, 63,  86, 196, 122, 49, 211, 162, 24,
    137, 72, 113, 146, 108, 96,  158, 164, 69, 206, 186, 66, 238, 201, 63,
    163, 64, 108, 158, 124, 89,  151, 214, 60, 211, 218, 74, 251, 220, 83,
};
static const uint8_t wide_bicubic[] = {
    136, 63, 91,  177, 122, 64,  197, 183, 69,  51, 98,  104,
    187, 56, 132, 185, 199, 203, 76,  147, 153, 71, 213, 60,
};
static const uint8_t tall_bicubic[] = {
    139, 136, 60,  190, 74,  95,  140, 168, 69,  115, 89,  106,
    143, 137, 150, 184, 129, 185, 97,  175, 150, 50,  198, 84,
};
static const uint8_t one_bicubic[] = {
    144,
    125,
    115,
};

typedef struct Golden {
    const char *name;
    int in_w, in_h, w, h;
    rt_filter filter;
    const uint8_t *rgb;
} Golden;

static const Golden goldens[] = {
    {"shrink, bicubic", 7, 5, 3, 2, RT_BICUBIC, shrink_bicubic},
    {"shrink, bilinear", 7, 5, 3, 2, RT_BILINEAR, shrink_bilinear},
    {"grow, bicubic", 3, 2, 5, 4, RT_BICUBIC, grow_bicubic},
    {"grow, bilinear", 3, 2, 5, 4, RT_BILINEAR, grow_bilinear},
    {"width alone", 9, 2, 4, 2, RT_BICUBIC, wide_bicubic},
    {"height alone", 2, 9, 2, 4, RT_BICUBIC, tall_bicubic},
    {"to one pixel", 4, 4, 1, 1, RT_BICUBIC, one_bicubic},
};

static void test_small_pictures_equal_pillows(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        const Golden *g = &goldens[i];
        rt_image out = resized(g->in_w, g->in_h, g->w, g->h, g->filter, RT_PILLOW_13);
        for (int k = 0; k < g->w * g->h * 3; k++)
            if (out.rgb[k] != g->rgb[k])
                fail_msg("%s: byte %d is %d, Pillow has %d", g->name, k, out.rgb[k], g->rgb[k]);
        rt_image_free(&out);
    }
}

static uint64_t fnv1a(const uint8_t *p, size_t n) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static void check_hash(rt_image *out, uint64_t want, int in_w, int in_h, rt_filter filter) {
    uint64_t got = fnv1a(out->rgb, (size_t)out->width * (size_t)out->height * 3);
    if (got != want)
        fail_msg("%d x %d to %d x %d, filter %d differs from Pillow", in_w, in_h, out->width,
                 out->height, filter);
    rt_image_free(out);
}

static void check_resize(int in_w, int in_h, int w, int h, rt_filter filter, uint64_t rows_first,
                         uint64_t pillow_13) {
    rt_image a = resized(in_w, in_h, w, h, filter, RT_ROWS_FIRST);
    rt_image b = resized(in_w, in_h, w, h, filter, RT_PILLOW_13);
    check_hash(&a, rows_first, in_w, in_h, filter);
    check_hash(&b, pillow_13, in_w, in_h, filter);
}

static void check_preprocess(rt_preprocess p, int in_w, int in_h, uint64_t rows_first,
                             uint64_t pillow_13) {
    rt_image in = picture(in_w, in_h), a, b;
    rt_error err;
    p.order = RT_ROWS_FIRST;
    if (rt_fit(&a, &in, &p, &err) != RT_OK)
        fail_msg("%d x %d: %s", in_w, in_h, err.text);
    p.order = RT_PILLOW_13;
    assert_int_equal(rt_fit(&b, &in, &p, &err), RT_OK);
    rt_image_free(&in);
    check_hash(&a, rows_first, in_w, in_h, p.filter);
    check_hash(&b, pillow_13, in_w, in_h, p.filter);
}

static void check_fit(int in_w, int in_h, int size, int shorter, rt_filter filter,
                      uint64_t rows_first, uint64_t pillow_13) {
    rt_preprocess p = {.width = size, .height = size, .resize = shorter, .filter = filter};
    check_preprocess(p, in_w, in_h, rows_first, pillow_13);
}

/* Those of pictures.py. */
static const rt_preprocess stretch = {.width = 37, .height = 23, .filter = RT_BICUBIC};
static const rt_preprocess crop = {.width = 24, .height = 24, .filter = RT_BICUBIC, .crop = 0.875};
static const rt_preprocess resize = {
    .width = 28, .height = 28, .filter = RT_BILINEAR, .resize = 32};
static const rt_preprocess padded = {.width = 24, .height = 24, .filter = RT_BOX, .resize = 19};
static const rt_preprocess letterbox = {
    .width = 40, .height = 30, .filter = RT_BILINEAR, .letterbox = true, .mean = {114, 0, 255}};

static void test_odd_sizes_equal_pillows(void **state) {
    (void)state;
#define RESIZE(...) check_resize(__VA_ARGS__);
#define FIT(...)    check_fit(__VA_ARGS__);
#define ANY(...)    check_preprocess(__VA_ARGS__);
#include "pillow.def"
#undef RESIZE
#undef FIT
#undef ANY
}

static void test_same_size_is_a_copy(void **state) {
    (void)state;
    rt_image in = picture(13, 9), out = resized(13, 9, 13, 9, RT_BICUBIC, 0);
    assert_memory_equal(in.rgb, out.rgb, 13 * 9 * 3);
    rt_image_free(&in);
    rt_image_free(&out);
}

static void test_constant_pictures_stay_constant(void **state) {
    (void)state;
    rt_image in = picture(10, 10), out;
    memset(in.rgb, 255, 300);
    for (int size = 1; size < 40; size++) {
        assert_int_equal(rt_resize(&out, &in, size, 41 - size, RT_BICUBIC, 0, NULL), RT_OK);
        for (int k = 0; k < size * (41 - size) * 3; k++)
            assert_int_equal(out.rgb[k], 255);
        rt_image_free(&out);
    }
    rt_image_free(&in);
}

static void test_impossible_sizes_are_refused(void **state) {
    (void)state;
    rt_image in = picture(2, 2), out;
    rt_error err;
    assert_int_equal(rt_resize(&out, &in, 0, 5, RT_BICUBIC, 0, &err), RT_ERROR_UNSUPPORTED);
    assert_int_equal(rt_resize(&out, &in, 5, -1, RT_BICUBIC, 0, &err), RT_ERROR_UNSUPPORTED);
    assert_int_equal(rt_resize(&out, &in, RT_MAX_SIDE + 1, 1, RT_BICUBIC, 0, &err),
                     RT_ERROR_UNSUPPORTED);
    assert_int_equal(rt_resize(&out, &in, RT_MAX_SIDE, RT_MAX_SIDE, RT_BICUBIC, 0, &err),
                     RT_ERROR_UNSUPPORTED);
    assert_null(out.rgb);
    rt_image_free(&in);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_pictures_equal_pillows),
        cmocka_unit_test(test_odd_sizes_equal_pillows),
        cmocka_unit_test(test_same_size_is_a_copy),
        cmocka_unit_test(test_constant_pictures_stay_constant),
        cmocka_unit_test(test_impossible_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
