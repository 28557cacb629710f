/* Unit tests of the ONNX importer: RoiAlign. Between pixels the image is a plane here, 10 per row
 * and 1 per column, so that the mean of a cell's points is the value at its middle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

enum { HEIGHT = 6, WIDTH = 8 };

static const float *plane(void) {
    static float x[HEIGHT * WIDTH];
    for (int i = 0; i < HEIGHT * WIDTH; i++)
        x[i] = (float)(10 * (i / WIDTH) + i % WIDTH);
    return x;
}

/* Cells of 2 x 2 of one region of x; takes more attributes. */
static Buf align(const char *op_attribute, const char *value, const float *region, Buf *attrs) {
    Buf g = with_x("1,1,6,8");
    add_floats(&g, "regions", "1,4", region, 4);
    add_ints(&g, "image", "0");
    with_int(attrs, "output_height", 2);
    with_int(attrs, "output_width", 2);
    if (op_attribute)
        with_string(attrs, op_attribute, value);
    add_op(&g, "RoiAlign", "x,regions,image", attrs);
    return g;
}

static void assert_aligned(Buf *g, int opset, const double *want) {
    Imported m = import_ok(g, opset);
    assert_result(&m, plane(), "f32[1,1,2,2]", want);
    imported_free(&m);
}

/* Columns 1 to 5 and rows 1 to 3: cells of 2 by 1, whose middles are at 2, 4 and 1.5, 2.5. */
static void test_cells(void **state) {
    (void)state;
    const float *region = F(1, 1, 5, 3);
    for (int samples = 1; samples < 4; samples++) {
        Buf attrs = {0};
        with_int(&attrs, "sampling_ratio", samples);
        Buf g = align(NULL, NULL, region, &attrs);
        assert_aligned(&g, 10, D(17, 19, 27, 29));
        with_int(&attrs, "sampling_ratio", samples);
        g = align("coordinate_transformation_mode", "output_half_pixel", region, &attrs);
        assert_aligned(&g, 16, D(17, 19, 27, 29));
        with_int(&attrs, "sampling_ratio", samples); /* half a pixel up and to the left */
        g = align(NULL, NULL, region, &attrs);
        assert_aligned(&g, 22, D(11.5, 13.5, 21.5, 23.5));
    }
}

static void test_scale(void **state) {
    (void)state;
    Buf attrs = {0};
    with_int(&attrs, "sampling_ratio", 2);
    with_float(&attrs, "spatial_scale", 0.5f);
    Buf g = align(NULL, NULL, F(2, 2, 10, 6), &attrs);
    assert_aligned(&g, 10, D(17, 19, 27, 29));
}

/* Regions that are smaller than a pixel are one pixel large, until half_pixel came. */
static void test_small_regions(void **state) {
    (void)state;
    Buf attrs = {0};
    with_int(&attrs, "sampling_ratio", 1);
    Buf g = align(NULL, NULL, F(2, 3, 2, 3), &attrs);
    assert_aligned(&g, 10, D(34.75, 35.25, 39.75, 40.25));
    with_int(&attrs, "sampling_ratio", 1);
    g = align(NULL, NULL, F(2, 3, 2, 3), &attrs);
    assert_aligned(&g, 16, D(26.5, 26.5, 26.5, 26.5));
}

/* Points count as at the edge up to one pixel outside, and as nothing beyond. */
static void test_points_outside(void **state) {
    (void)state;
    Buf attrs = {0};
    with_int(&attrs, "sampling_ratio", 1);
    Buf g = align(NULL, NULL, F(-4, 0, 2, 2), &attrs); /* points at x -2.5, 0.5 and y 0.5, 1.5 */
    assert_aligned(&g, 10, D(0, 5.5, 0, 15.5));
    with_int(&attrs, "sampling_ratio", 1);
    g = align(NULL, NULL, F(-2, 4, 2, 8), &attrs); /* at x -1, 1 and y 5, 7 */
    assert_aligned(&g, 10, D(50, 51, 0, 0));
}

/* Without a number of them, a cell has as many points as it is long: 2 columns by 1 row, and then
 * 2.5 by 1.5, which is 3 by 2. */
static void test_points_by_size(void **state) {
    (void)state;
    Buf attrs = {0}, g = align(NULL, NULL, F(1, 1, 5, 3), &attrs);
    assert_aligned(&g, 10, D(17, 19, 27, 29));
    g = align(NULL, NULL, F(1.5f, 1.5f, 6.5f, 4.5f), &attrs);
    assert_aligned(&g, 16, D(19.75, 22.25, 34.75, 37.25));
    g = align(NULL, NULL, F(2, 3, 2, 3), &attrs); /* one of a pixel, then none */
    assert_aligned(&g, 10, D(34.75, 35.25, 39.75, 40.25));
    g = align(NULL, NULL, F(2, 3, 2, 3), &attrs);
    assert_aligned(&g, 16, D(0, 0, 0, 0));
}

/* Of columns -2.5 to -0.5 two points are more than a pixel outside, and one is at the edge. Of rows
 * 4, 5 and 6, 7 the third one counts as at the edge, and the last one for nothing. */
static void test_points_by_size_outside(void **state) {
    (void)state;
    Buf attrs = {0}, g = align(NULL, NULL, F(-3, 0, 3, 2), &attrs);
    assert_aligned(&g, 10, D(5 / 3., 6.5, 15 / 3., 16.5));
    g = align(NULL, NULL, F(0.5f, 4, 4.5f, 8), &attrs);
    assert_aligned(&g, 16, D(46, 48, 25.5, 26.5));
}

/* Each region is of the image that its index names. */
static void test_images(void **state) {
    (void)state;
    Buf g = with_x("2,1,2,2"), attrs = {0};
    add_floats(&g, "regions", "2,4", F(0, 0, 1, 1, 0, 0, 1, 1), 8);
    add_ints(&g, "image", "1,0");
    with_int(&attrs, "sampling_ratio", 1);
    add_op(&g, "RoiAlign", "x,regions,image", &attrs);
    Imported m = import_ok(&g, 10);
    assert_result(&m, F(1, 1, 1, 1, 5, 6, 7, 8), "f32[2,1,1,1]", D(6.5, 1));
    imported_free(&m);
}

static void test_what_is_refused(void **state) {
    (void)state;
    Buf attrs = {0}, g = align("mode", "max", F(0, 0, 1, 1), &attrs);
    assert_fails(&g, 16, EXIT_UNSUPPORTED, "its mode \"max\" is not supported");
    with_int(&attrs, "sampling_ratio", 100000);
    g = align(NULL, NULL, F(0, 0, 1, 1), &attrs);
    assert_fails(&g, 16, EXIT_BAD_MODEL, "100000 points");
    with_int(&attrs, "sampling_ratio", 1);
    g = align("coordinate_transformation_mode", "asymmetric", F(0, 0, 1, 1), &attrs);
    assert_fails(&g, 16, EXIT_BAD_MODEL, "coordinate_transformation_mode is \"asymmetric\"");
    g = with_x("1,1,6,8");
    add_floats(&g, "regions", "1,3", F(0, 0, 1), 3);
    add_ints(&g, "image", "0");
    with_int(&attrs, "sampling_ratio", 1);
    add_op(&g, "RoiAlign", "x,regions,image", &attrs);
    assert_fails(&g, 16, EXIT_BAD_MODEL, "must be [regions, 4], with one batch index each");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_small_regions),
        cmocka_unit_test(test_points_outside),
        cmocka_unit_test(test_images),
        cmocka_unit_test(test_points_by_size),
        cmocka_unit_test(test_points_by_size_outside),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
