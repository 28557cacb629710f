/* Decoding pictures: each kind, each colour type, and broken files. */
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Files written by Pillow. */
static const uint8_t png_rgb[] = {
    137, 80,  78,  71,  13,  10,  26,  10,  0,   0,   0,   13,  73,  72,  68,  82,
    0,   0,   0,   2,   0,   0,   0,   2,   8,   2,   0,   0,   0,   253, 212, 154,
    115, 0,   0,   0,   22,  73,  68,  65,  84,  120, 156, 99,  176, 137, 107, 220,
    194, 19,  199, 212, 101, 208, 252, 222, 132, 15,  0,   32,  250, 4,   170, 121,
    140, 202, 193, 0,   0,   0,   0,   73,  69,  78,  68,  174, 66,  96,  130,
};
static const uint8_t png_rgba[] = {
    137, 80, 78,  71, 13, 10, 26,  10,  0,   0,   0,   13,  73,  72,  68,  82,  0,
    0,   0,  2,   0,  0,  0,  2,   8,   6,   0,   0,   0,   114, 182, 13,  36,  0,
    0,   0,  26,  73, 68, 65, 84,  120, 156, 99,  100, 224, 18,  145, 211, 208, 208,
    208, 96, 9,   8,  8,  8,  208, 208, 208, 208, 0,   0,   20,  152, 2,   194, 47,
    184, 0,  180, 0,  0,  0,  0,   73,  69,  78,  68,  174, 66,  96,  130,
};
static const uint8_t png_grey[] = {
    137, 80,  78, 71,  13, 10,  26,  10, 0,  0,  0,  13, 73,  72,  68,  82, 0,   0,
    0,   2,   0,  0,   0,  2,   8,   0,  0,  0,  0,  87, 221, 82,  248, 0,  0,   0,
    14,  73,  68, 65,  84, 120, 156, 99, 96, 72, 97, 56, 241, 31,  0,   4,  37,  2,
    44,  198, 15, 186, 33, 0,   0,   0,  0,  73, 69, 78, 68,  174, 66,  96, 130,
};
static const uint8_t png_grey16[] = {
    137, 80, 78,  71,  13,  10, 26, 10, 0,  0,  0,  13, 73,  72,  68,  82,  0,  0,   0,
    2,   0,  0,   0,   2,   16, 0,  0,  0,  0,  7,  77, 142, 187, 0,   0,   0,  18,  73,
    68,  65, 84,  120, 156, 99, 96, 96, 72, 73, 97, 56, 113, 226, 255, 127, 0,  13,  147,
    4,   87, 135, 54,  176, 24, 0,  0,  0,  0,  73, 69, 78,  68,  174, 66,  96, 130,
};
static const uint8_t png_palette[] = {
    137, 80, 78,  71,  13,  10, 26, 10, 0,   0,   0,  13,  73,  72,  68, 82, 0,   0,   0,
    2,   0,  0,   0,   2,   2,  3,  0,  0,   0,   15, 216, 229, 183, 0,  0,  0,   12,  80,
    76,  84, 69,  198, 142, 4,  60, 94, 129, 163, 64, 108, 180, 12,  94, 84, 126, 209, 112,
    0,   0,  0,   12,  73,  68, 65, 84, 120, 156, 99, 40,  96,  80,  0,  0,  1,   116, 0,
    145, 39, 124, 160, 105, 0,  0,  0,  0,   73,  69, 78,  68,  174, 66, 96, 130,
};
static const uint8_t jpeg_rgb[] = {
    255, 216, 255, 224, 0,   16,  74, 70, 73, 70, 0,  1,  1,  0,  0,  1,  0,  1,  0,  0,   255, 219,
    0,   67,  0,   3,   2,   2,   3,  2,  2,  3,  3,  3,  3,  4,  3,  3,  4,  5,  8,  5,   5,   4,
    4,   5,   10,  7,   7,   6,   8,  12, 10, 12, 12, 11, 10, 11, 11, 13, 14, 18, 16, 13,  14,  17,
    14,  11,  11,  16,  22,  16,  17, 19, 20, 21, 21, 21, 12, 15, 23, 24, 22, 20, 24, 18,  20,  21,
    20,  255, 219, 0,   67,  1,   3,  4,  4,  5,  4,  5,  9,  5,  5,  9,  20, 13, 11, 13,  20,  20,
    20,  20,  20,  20,  20,  20,  20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20,  20,  20,
    20,  20,  20,  20,  20,  20,  20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20,  20,  20,
    20,  20,  20,  20,  255, 192, 0,  17, 8,  0,  8,  0,  8,  3,  1,  17, 0,  2,  17, 1,   3,   17,
    1,   255, 196, 0,   20,  0,   1,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,   0,   0,
    7,   255, 196, 0,   20,  16,  1,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,   0,   0,
    0,   255, 196, 0,   21,  1,   1,  1,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,   0,   0,
    6,   8,   255, 196, 0,   20,  17, 1,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,   0,   0,
    0,   0,   255, 218, 0,   12,  3,  1,  0,  2,  17, 3,  17, 0,  63, 0,  10, 26, 91, 175, 255, 217,
};
static const uint8_t jpeg_grey[] = {
    255, 216, 255, 224, 0,   16,  74,  70,  73, 70,  0,   1,  1,  0,  0,  1,   0,   1,   0,   0,
    255, 219, 0,   67,  0,   16,  11,  12,  14, 12,  10,  16, 14, 13, 14, 18,  17,  16,  19,  24,
    40,  26,  24,  22,  22,  24,  49,  35,  37, 29,  40,  58, 51, 61, 60, 57,  51,  56,  55,  64,
    72,  92,  78,  64,  68,  87,  69,  55,  56, 80,  109, 81, 87, 95, 98, 103, 104, 103, 62,  77,
    113, 121, 112, 100, 120, 92,  101, 103, 99, 255, 192, 0,  11, 8,  0,  8,   0,   8,   1,   1,
    17,  0,   255, 196, 0,   20,  0,   1,   0,  0,   0,   0,  0,  0,  0,  0,   0,   0,   0,   0,
    0,   0,   0,   5,   255, 196, 0,   20,  16, 1,   0,   0,  0,  0,  0,  0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   255, 218, 0,  8,   1,   1,  0,  0,  63, 0,   21,  255, 217,
};
static const uint8_t jpeg_cmyk[] = {
    255, 216, 255, 238, 0,   14,  65, 100, 111, 98,  101, 0,   100, 0,   0,   0,   0,  0,  255, 219,
    0,   67,  0,   16,  11,  12,  14, 12,  10,  16,  14,  13,  14,  18,  17,  16,  19, 24, 40,  26,
    24,  22,  22,  24,  49,  35,  37, 29,  40,  58,  51,  61,  60,  57,  51,  56,  55, 64, 72,  92,
    78,  64,  68,  87,  69,  55,  56, 80,  109, 81,  87,  95,  98,  103, 104, 103, 62, 77, 113, 121,
    112, 100, 120, 92,  101, 103, 99, 255, 192, 0,   20,  8,   0,   8,   0,   8,   4,  67, 17,  0,
    77,  17,  0,   89,  17,  0,   75, 17,  0,   255, 196, 0,   20,  0,   1,   0,   0,  0,  0,   0,
    0,   0,   0,   0,   0,   0,   0,  0,   0,   0,   7,   255, 196, 0,   20,  16,  1,  0,  0,   0,
    0,   0,   0,   0,   0,   0,   0,  0,   0,   0,   0,   0,   0,   255, 218, 0,   14, 4,  67,  0,
    77,  0,   89,  0,   75,  0,   0,  63,  0,   64,  32,  16,  8,   15,  255, 217,
};

/* Binary text with zero bytes in it: sizeof, but for the last NUL. */
#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

static rt_image decoded(const char *name, const uint8_t *data, size_t size) {
    rt_image im;
    rt_error err;
    if (rt_image_decode(&im, data, size, &err) != RT_OK)
        fail_msg("%s: %s", name, err.text);
    return im;
}

/* Decodes a 2 x 2 picture and compares its bytes. */
static void expect_2x2(const char *name, const uint8_t *data, size_t size, const uint8_t rgb[12]) {
    rt_image im = decoded(name, data, size);
    assert_int_equal(im.width, 2);
    assert_int_equal(im.height, 2);
    for (int i = 0; i < 12; i++)
        if (im.rgb[i] != rgb[i])
            fail_msg("%s: byte %d is %d, not %d", name, i, im.rgb[i], rgb[i]);
    rt_image_free(&im);
}

static const uint8_t colours[12] = {60, 94, 129, 180, 12, 94, 198, 142, 4, 163, 64, 108};
static const uint8_t greys[12] = {0, 0, 0, 100, 100, 100, 200, 200, 200, 255, 255, 255};

static void test_png_colour_types(void **state) {
    const uint8_t without_alpha[12] = {0, 10, 20, 40, 50, 60, 80, 90, 100, 120, 130, 140};
    (void)state;
    expect_2x2("rgb", png_rgb, sizeof png_rgb, colours);
    expect_2x2("palette", png_palette, sizeof png_palette, colours);
    expect_2x2("rgba", png_rgba, sizeof png_rgba, without_alpha);
    expect_2x2("grey", png_grey, sizeof png_grey, greys);
    expect_2x2("16-bit grey", png_grey16, sizeof png_grey16, greys);
}

static void test_jpeg_colour_and_grey(void **state) {
    (void)state;
    rt_image im = decoded("rgb", jpeg_rgb, sizeof jpeg_rgb);
    assert_int_equal(im.width, 8);
    assert_int_equal(im.height, 8);
    assert_int_equal(im.rgb[0], 200);
    assert_int_equal(im.rgb[1], 30);
    assert_int_equal(im.rgb[2], 59);
    rt_image_free(&im);
    im = decoded("grey", jpeg_grey, sizeof jpeg_grey);
    for (int i = 0; i < 8 * 8 * 3; i++)
        assert_in_range(im.rgb[i], 75, 79);
    rt_image_free(&im);
}

/* White paper: what Pillow 12 makes of it. */
static void test_cmyk(void **state) {
    (void)state;
    rt_image im = decoded("CMYK", jpeg_cmyk, sizeof jpeg_cmyk);
    assert_int_equal(im.width * im.height, 64);
    for (int i = 0; i < 3 * 64; i++)
        assert_int_equal(im.rgb[i], 255);
    rt_image_free(&im);
}

/* By Pillow's exif_transpose. */
static void test_turning(void **state) {
    static const uint8_t turned[8][6] = {
        {0, 1, 2, 3, 4, 5}, {1, 0, 3, 2, 5, 4}, {5, 4, 3, 2, 1, 0}, {4, 5, 2, 3, 0, 1},
        {0, 2, 4, 1, 3, 5}, {4, 2, 0, 5, 3, 1}, {5, 3, 1, 4, 2, 0}, {1, 3, 5, 0, 2, 4},
    };
    (void)state;
    for (int how = 1; how <= 8; how++) {
        rt_image im;
        assert_int_equal(rt_image_alloc(&im, 2, 3, NULL), RT_OK);
        for (int i = 0; i < 18; i++)
            im.rgb[i] = (uint8_t)(i / 3);
        im.orientation = how;
        assert_int_equal(rt_image_turn(&im, NULL), RT_OK);
        assert_int_equal(im.width, how >= 5 ? 3 : 2);
        assert_int_equal(im.orientation, how == 1);
        for (int i = 0; i < 18; i++)
            assert_int_equal(im.rgb[i], turned[how - 1][i / 3]);
        rt_image_free(&im);
    }
}

/* The tag Orientation, of the number `how`, behind another one. */
#define EXIF_LITTLE(how)                                                                           \
    "II*\0\x8\0\0\0\x2\0\x0f\x1\x2\0\x1\0\0\0a\0\0\0\x12\x1\x3\0\x1\0\0\0" how "\0\0\0"
#define EXIF_BIG(how) "MM\0*\0\0\0\x8\0\x1\x1\x12\0\x3\0\0\0\x1\0" how "\0\0"

static void test_orientation(void **state) {
    (void)state;
    assert_int_equal(rt_exif_orientation(BYTES(EXIF_LITTLE("\x6"))), 6);
    assert_int_equal(rt_exif_orientation(BYTES(EXIF_BIG("\x8"))), 8);
    assert_int_equal(rt_exif_orientation(BYTES(EXIF_BIG("\x9"))), 1);
    assert_int_equal(rt_exif_orientation(BYTES(EXIF_BIG("\0"))), 1);
    assert_int_equal(rt_exif_orientation(BYTES("MM\0*\xff\xff\xff\xff\0\x1\x1\x12")), 1);
    assert_int_equal(rt_exif_orientation(BYTES("")), 1);
    for (size_t n = 0; n < 8 + 2 + 12; n++) /* cut off */
        assert_int_equal(rt_exif_orientation((const uint8_t *)EXIF_BIG("\x8"), n), 1);
}

/* In its segment of a JPEG file, in front of the others. */
static void test_jpeg_with_exif(void **state) {
    static const char exif[] = "\xff\xe1\0\x1e"
                               "Exif\0\0" EXIF_BIG("\x6");
    enum { SOI = 2, EXIF = sizeof exif - 1 };
    uint8_t file[sizeof jpeg_rgb + EXIF];
    (void)state;
    memcpy(file, jpeg_rgb, SOI);
    memcpy(file + SOI, exif, EXIF);
    memcpy(file + SOI + EXIF, jpeg_rgb + SOI, sizeof jpeg_rgb - SOI);
    rt_image im = decoded("with EXIF", file, sizeof file);
    assert_int_equal(im.orientation, 6);
    rt_image_free(&im);
    im = decoded("without EXIF", jpeg_rgb, sizeof jpeg_rgb);
    assert_true(im.orientation <= 1);
    rt_image_free(&im);
}

/* The decoder of one format, by itself, finds that its magic is missing. */
static void test_ppm_needs_its_magic(void **state) {
    (void)state;
    static const uint8_t bytes[] = "P4 1 1 255\nabc";
    for (size_t n = 0; n <= sizeof bytes; n += n < 2 ? 1 : sizeof bytes) {
        uint8_t *data = malloc(n + 1); /* of its own, so that ASan sees what is read behind it */
        rt_image im = {0};
        rt_error err;
        memcpy(data, bytes, n < sizeof bytes ? n : sizeof bytes);
        assert_int_equal(rt_ppm_decode(&im, data, n < sizeof bytes ? n : sizeof bytes, &err),
                         RT_ERROR_FORMAT);
        assert_string_equal(err.text, "it is no binary PPM or PGM");
        free(data);
    }
}

static void test_ppm_forms(void **state) {
    const uint8_t one_pixel[3] = {255, 85, 0};
    (void)state;
    rt_image im = decoded("comments", BYTES("P6 # a\n#b\n1\t1 #c\n255\n\xff\x55\x00"));
    assert_memory_equal(im.rgb, one_pixel, 3);
    rt_image_free(&im);
    im = decoded("maximum 3", BYTES("P6 1 1 3\n\x03\x01\x00"));
    assert_memory_equal(im.rgb, one_pixel, 3);
    rt_image_free(&im);
    im = decoded("16 bits", BYTES("P6 1 1 65535\n\xff\xff\x55\x55\x00\x10"));
    assert_memory_equal(im.rgb, one_pixel, 3);
    rt_image_free(&im);
    expect_2x2("PGM", BYTES("P5 2 2 255\n\x00\x64\xc8\xff"), greys);
}

static void test_samples_over_the_maximum_are_clamped(void **state) {
    (void)state;
    rt_image im = decoded("over", BYTES("P6 1 1 7\n\x07\xff\x08"));
    assert_int_equal(im.rgb[0], 255);
    assert_int_equal(im.rgb[1], 255);
    assert_int_equal(im.rgb[2], 255);
    rt_image_free(&im);
}

typedef struct Bad {
    const char *name;
    const uint8_t *data;
    size_t size;
    int code;
} Bad;

static const Bad bad[] = {
    {"empty", BYTES(""), RT_ERROR_UNSUPPORTED},
    {"text", BYTES("hello"), RT_ERROR_UNSUPPORTED},
    {"magic alone", BYTES("P6"), RT_ERROR_FORMAT},
    {"no size", BYTES("P6\n#"), RT_ERROR_FORMAT},
    {"negative", BYTES("P6 -1 1 255\nabc"), RT_ERROR_FORMAT},
    {"maximum 0", BYTES("P6 1 1 0\nabc"), RT_ERROR_FORMAT},
    {"maximum 65536", BYTES("P6 1 1 65536\nabcabc"), RT_ERROR_FORMAT},
    {"short", BYTES("P6 2 2 255\nabc"), RT_ERROR_FORMAT},
    {"huge", BYTES("P6 65535 65535 255\nabc"), RT_ERROR_FORMAT},
    {"overflow", BYTES("P6 99999999999999999999 1 255\nabc"), RT_ERROR_FORMAT},
    {"no pixels", BYTES("P6 0 5 255\n"), RT_ERROR_UNSUPPORTED},
    {"PNG signature", BYTES("\x89PNG\r\n\x1a\n"), RT_ERROR_FORMAT},
    {"JPEG signature", BYTES("\xff\xd8\xff\xe0"), RT_ERROR_FORMAT},
};

static void test_bad_files_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rt_image im;
        rt_error err = {{0}};
        int code = rt_image_decode(&im, bad[i].data, bad[i].size, &err);
        if (code != bad[i].code)
            fail_msg("%s: code %d, wanted %d (%s)", bad[i].name, code, bad[i].code, err.text);
        assert_true(err.text[0] != 0);
        assert_null(im.rgb);
    }
}

/* Every proper prefix fails, and with the sanitizers none reads past its end. */
static void expect_no_prefix(const char *name, const uint8_t *data, size_t size) {
    for (size_t n = 0; n < size; n++) {
        uint8_t *part = malloc(n ? n : 1);
        rt_image im;
        assert_non_null(part);
        memcpy(part, data, n);
        if (rt_image_decode(&im, part, n, NULL) == RT_OK)
            fail_msg("%s: the first %zu of %zu bytes are taken for a picture", name, n, size);
        assert_null(im.rgb);
        free(part);
    }
}

static void test_truncated_files_are_refused(void **state) {
    (void)state;
    expect_no_prefix("PNG", png_rgb, sizeof png_rgb);
    expect_no_prefix("palette PNG", png_palette, sizeof png_palette);
    /* The decoder has all pixels once the end marker alone is missing, so the prefix ends
     * before. */
    expect_no_prefix("JPEG", jpeg_rgb, sizeof jpeg_rgb - 8);
    expect_no_prefix("PPM", BYTES("P6 2 1 255\nabcdef"));
}

/* Any byte of a file may be anything: only a clean result or a clean refusal is allowed. */
static void test_flipped_bytes_do_no_harm(void **state) {
    uint8_t copy[sizeof jpeg_rgb];
    size_t refused = 0;
    (void)state;
    for (size_t i = 0; i < sizeof png_rgb; i++) {
        rt_image im;
        memcpy(copy, png_rgb, sizeof png_rgb);
        copy[i] ^= 0xff;
        refused += rt_image_decode(&im, copy, sizeof png_rgb, NULL) != RT_OK;
        rt_image_free(&im);
    }
    assert_true(refused > sizeof png_rgb / 2); /* PNG has checksums */
    for (size_t i = 0; i < sizeof jpeg_rgb; i++) {
        rt_image im;
        memcpy(copy, jpeg_rgb, sizeof jpeg_rgb);
        copy[i] ^= 0xff;
        if (rt_image_decode(&im, copy, sizeof jpeg_rgb, NULL) == RT_OK)
            assert_true(im.width > 0 && im.height > 0 && im.rgb != NULL);
        rt_image_free(&im);
    }
}

static void test_missing_file(void **state) {
    rt_image im;
    rt_error err;
    (void)state;
    assert_int_equal(rt_image_read(&im, "no/such/file.png", &err), RT_ERROR_IO);
    assert_null(im.rgb);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png_colour_types),
        cmocka_unit_test(test_jpeg_colour_and_grey),
        cmocka_unit_test(test_turning),
        cmocka_unit_test(test_orientation),
        cmocka_unit_test(test_jpeg_with_exif),
        cmocka_unit_test(test_cmyk),
        cmocka_unit_test(test_ppm_needs_its_magic),
        cmocka_unit_test(test_ppm_forms),
        cmocka_unit_test(test_samples_over_the_maximum_are_clamped),
        cmocka_unit_test(test_bad_files_are_refused),
        cmocka_unit_test(test_truncated_files_are_refused),
        cmocka_unit_test(test_flipped_bytes_do_no_harm),
        cmocka_unit_test(test_missing_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
