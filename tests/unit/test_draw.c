/* Drawing into pictures, and the PNG files that come out. */
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const rt_rgb white = {{255, 255, 255}}, red = {{255, 0, 0}};

/* Black. */
static rt_image canvas(int width, int height) {
    rt_image im;
    assert_int_equal(rt_image_alloc(&im, width, height, NULL), RT_OK);
    memset(im.rgb, 0, (size_t)width * (size_t)height * 3);
    return im;
}

/* Rows of '#' where red is 255, '.' elsewhere. */
static void expect_rows(const rt_image *im, const char *const *rows) {
    for (int y = 0; y < im->height; y++)
        for (int x = 0; x < im->width; x++)
            if ((im->rgb[3 * (y * im->width + x)] == 255) != (rows[y][x] == '#'))
                fail_msg("pixel %d, %d is wrong", x, y);
}

static void test_frame(void **state) {
    rt_image im = canvas(6, 4);
    (void)state;
    rt_frame(&im, (rt_area){1, 1, 9, 3}, 1, red);
    rt_frame(&im, (rt_area){-4, -4, 1, 1}, 2, red);
    rt_fill(&im, (rt_area){4, 3, 2, 9}, red);
    expect_rows(&im, (const char *const[]){"#.....", ".#####", ".#####", "......"});
    rt_image_free(&im);
}

static void test_text(void **state) {
    rt_image im = canvas(13, 9);
    (void)state;
    rt_text(&im, 0, 0, "iT", 1, (rt_rgb){{0, 0, 1}});
    expect_rows(&im, (const char *const[]){".............", "...#...#####.", ".........#...",
                                           "..##.....#...", "...#.....#...", "...#.....#...",
                                           "...#.....#...", "..###....#...", "............."});
    assert_int_equal(rt_text_area(3, 4, "iT", 2).x1, 3 + 26);
    rt_text(&im, -20, -3, "\xff\x01 outside", 3, white);
    rt_image_free(&im);
}

static void test_every_character_differs(void **state) {
    (void)state;
    for (int a = ' '; a <= '~'; a++)
        for (int b = ' '; b < a; b++) {
            rt_image x = canvas(7, 9), y = canvas(7, 9);
            rt_text(&x, 0, 0, (char[]){(char)a, 0}, 1, white);
            rt_text(&y, 0, 0, (char[]){(char)b, 0}, 1, white);
            if (!memcmp(x.rgb, y.rgb, 7 * 9 * 3))
                fail_msg("%c and %c look alike", a, b);
            rt_image_free(&x);
            rt_image_free(&y);
        }
}

static void test_colours_differ(void **state) {
    (void)state;
    for (size_t i = 0; i < 512; i++)
        for (size_t k = 0; k < i; k++) {
            rt_rgb a = rt_colour(i), b = rt_colour(k);
            assert_memory_not_equal(a.v, b.v, 3);
        }
}

static void test_png_round_trip(void **state) {
    rt_image im = canvas(5, 3), back;
    uint8_t *file;
    size_t size;
    (void)state;
    for (int i = 0; i < 45; i++)
        im.rgb[i] = (uint8_t)(i * 5);
    assert_int_equal(rt_png_encode(&file, &size, &im, NULL), RT_OK);
    assert_int_equal(rt_image_decode(&back, file, size, NULL), RT_OK);
    assert_int_equal(back.width, 5);
    assert_memory_equal(back.rgb, im.rgb, 45);
    free(file);
    rt_image_free(&back);
    rt_image_free(&im);
}

static void test_masks(void **state) {
    rt_image im = canvas(2, 2), back;
    const uint8_t mask[4] = {0, 1, 200, 1},
                  tinted[12] = {0, 0, 0, 128, 128, 128, 128, 0, 0, 128, 128, 128};
    rt_rgb palette[256] = {[1] = white, [200] = red};
    uint8_t *file;
    size_t size;
    (void)state;
    rt_tint(&im, mask, palette);
    assert_memory_equal(im.rgb, tinted, 12);
    assert_int_equal(rt_png_encode_mask(&file, &size, mask, 2, 2, palette, NULL), RT_OK);
    assert_int_equal(rt_image_decode(&back, file, size, NULL), RT_OK);
    for (int i = 0; i < 4; i++)
        assert_memory_equal(back.rgb + 3 * i, palette[mask[i]].v, 3);
    free(file);
    rt_image_free(&back);
    rt_image_free(&im);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame),          cmocka_unit_test(test_text),
        cmocka_unit_test(test_colours_differ), cmocka_unit_test(test_every_character_differs),
        cmocka_unit_test(test_png_round_trip), cmocka_unit_test(test_masks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
