/* Unit tests of the importer of ConvTranspose. Expected values are worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

/* (1, 2) by the taps 1, 10, 100. */
static void assert_row(Buf *attrs, const char *type, const double *want) {
    Buf g = with_x("1,1,1,2");
    add_floats(&g, "w", "1,1,1,3", F(1, 10, 100), 3);
    add_op(&g, "ConvTranspose", "x,w", attrs);
    Imported m = import_ok(&g, 11);
    assert_result(&m, F(1, 2), type, want);
    imported_free(&m);
}

static void test_padding(void **state) {
    (void)state;
    Buf attrs = {0};
    assert_row(NULL, "f32[1,1,1,4]", D(1, 12, 120, 200));
    with_ints(&attrs, "strides", "1,2");
    assert_row(&attrs, "f32[1,1,1,5]", D(1, 10, 102, 20, 200));
    with_ints(&attrs, "strides", "1,2");
    with_ints(&attrs, "pads", "0,1,0,1");
    assert_row(&attrs, "f32[1,1,1,3]", D(10, 102, 20));
    with_ints(&attrs, "strides", "1,2");
    with_ints(&attrs, "output_padding", "0,1");
    assert_row(&attrs, "f32[1,1,1,6]", D(1, 10, 102, 20, 200, 0));
    with_ints(&attrs, "strides", "1,2");
    with_ints(&attrs, "output_shape", "1,4");
    assert_row(&attrs, "f32[1,1,1,4]", D(10, 102, 20, 200));
    with_ints(&attrs, "strides", "1,2");
    with_ints(&attrs, "output_shape", "1,6");
    assert_row(&attrs, "f32[1,1,1,6]", D(1, 10, 102, 20, 200, 0));
    with_ints(&attrs, "strides", "1,2");
    with_string(&attrs, "auto_pad", "SAME_UPPER");
    assert_row(&attrs, "f32[1,1,1,4]", D(1, 10, 102, 20));
    with_ints(&attrs, "dilations", "1,2");
    assert_row(&attrs, "f32[1,1,1,6]", D(1, 2, 10, 20, 100, 200));
}

static void test_channels(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,2,1,1");
    add_floats(&g, "w", "2,2,1,1", F(1, 2, 10, 20), 4);
    add_floats(&g, "b", "2", F(1000, 2000), 2);
    add_op(&g, "ConvTranspose", "x,w,b", NULL);
    Imported m = import_ok(&g, 11);
    assert_result(&m, F(3, 5), "f32[1,2,1,1]", D(1053, 2106));
    imported_free(&m);
    g = with_x("1,2,1,1");
    with_int(&attrs, "group", 2);
    add_floats(&g, "w", "2,1,2,1", F(2, 3, 7, 8), 4);
    add_op(&g, "ConvTranspose", "x,w", &attrs);
    m = import_ok(&g, 11);
    assert_result(&m, F(3, 5), "f32[1,2,2,1]", D(6, 9, 35, 40));
    imported_free(&m);
}

static void test_refusals(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,3,2,2");
    add_floats(&g, "w", "2,1,1,1", F(1, 2), 2);
    add_op(&g, "ConvTranspose", "x,w", NULL);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "don't fit its input of 3 channels");
    g = with_x("1,2,2,2");
    with_ints(&attrs, "strides", "2147483647,1");
    add_floats(&g, "w", "2,1,1,1", F(1, 2), 2);
    add_op(&g, "ConvTranspose", "x,w", &attrs);
    assert_fails(&g, 11, EXIT_UNSUPPORTED, "too large");
    g = with_x("1,2,2,2");
    with_ints(&attrs, "pads", "1,1,1,1");
    add_floats(&g, "w", "2,1,1,1", F(1, 2), 2);
    add_op(&g, "ConvTranspose", "x,w", &attrs);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "its result would have a size of 0");
    g = with_x("1,2");
    add_floats(&g, "w", "2,1", F(1, 2), 2);
    add_op(&g, "ConvTranspose", "x,w", NULL);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "2 dimensions");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
