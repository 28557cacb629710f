/* Unit tests of the importers of operators that work on planes and channels: small models,
 * evaluated by the graph interpreter. Expected values are worked out by hand from the operators'
 * definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

/* ---- pooling --------------------------------------------------------------------------------- */

static Buf pool_model(const char *op, const char *x, Buf *attrs) {
    Buf g = with_x(x);
    add_op(&g, op, "x", attrs);
    return g;
}

static void test_max_pool(void **state) {
    (void)state;
    Buf attrs = {0}, g;
    with_ints(&attrs, "kernel_shape", "2,2");
    with_ints(&attrs, "strides", "1,2");
    with_ints(&attrs, "pads", "1,0,0,1");
    with_int(&attrs, "storage_order", 1);
    g = pool_model("MaxPool", "1,1,2,3", &attrs);
    assert_model(&g, 8, "max_pool", F(-1, -2, -3, -4, 5, 6), "f32[1,1,2,2]", D(-1, -3, 5, 6));
    with_ints(&attrs, "kernel_shape", "2,2");
    with_string(&attrs, "auto_pad", "SAME_UPPER");
    with_ints(&attrs, "dilations", "1,1");
    g = pool_model("MaxPool", "1,1,2,2", &attrs);
    assert_model(&g, 11, "max_pool", F(1, 4, 3, 2), "f32[1,1,2,2]", D(4, 4, 3, 2));
    g = pool_model("GlobalMaxPool", "1,2,1,2", NULL);
    assert_model(&g, 13, "max_pool", F(1, 4, 3, 2), "f32[1,2,1,1]", D(4, 3));
}

/* The last window must begin in the input or in front of it. */
static void test_ceil_mode(void **state) {
    (void)state;
    Buf attrs = {0}, g;
    with_ints(&attrs, "kernel_shape", "1,2");
    with_ints(&attrs, "strides", "1,2");
    with_int(&attrs, "ceil_mode", 1);
    g = pool_model("MaxPool", "1,1,1,3", &attrs);
    assert_model(&g, 10, "max_pool", F(-1, -2, -3), "f32[1,1,1,2]", D(-1, -3));
    with_ints(&attrs, "kernel_shape", "1,1");
    with_ints(&attrs, "strides", "1,2");
    with_int(&attrs, "ceil_mode", 1);
    g = pool_model("MaxPool", "1,1,1,2", &attrs);
    assert_model(&g, 10, "max_pool", F(-1, -2), "f32[1,1,1,1]", D(-1));
}

static void test_average_pool(void **state) {
    (void)state;
    static const struct {
        int include;
        double want[4];
    } cases[] = {{0, {1.5, 3, 4.5, 6}}, {1, {0.75, 1.5, 4.5, 6}}};
    for (int i = 0; i < 2; i++) {
        Buf attrs = {0};
        with_ints(&attrs, "kernel_shape", "2,2");
        with_ints(&attrs, "strides", "2,2");
        with_ints(&attrs, "pads", "1,0,0,0");
        with_int(&attrs, "ceil_mode", 1);
        with_int(&attrs, "count_include_pad", cases[i].include);
        Buf g = pool_model("AveragePool", "1,1,2,3", &attrs);
        assert_model(&g, 19, "avg_pool", F(1, 2, 3, 4, 5, 6), "f32[1,1,2,2]", cases[i].want);
    }
}

static void test_bad_pools(void **state) {
    (void)state;
    Buf attrs = {0}, g;
    g = pool_model("MaxPool", "1,1,2,2", NULL);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "\"kernel_shape\" is missing");
    with_ints(&attrs, "kernel_shape", "3,3");
    with_int(&attrs, "ceil_mode", 1);
    g = pool_model("AveragePool", "1,1,2,2", &attrs);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "larger than the padded input");
    with_ints(&attrs, "kernel_shape", "2,2");
    g = (Buf){0};
    add_input(&g, "x", ONNX_INT32, "1,1,2,2");
    add_op(&g, "MaxPool", "x", &attrs);
    assert_fails(&g, 12, EXIT_BAD_MODEL, "its input is i32");
    with_ints(&attrs, "kernel_shape", "1,1");
    with_ints(&attrs, "pads", "1,0,0,0");
    g = with_x("1,1,2,2");
    add_node(&g, "MaxPool", "x", "y,i", &attrs);
    add_output(&g, "i", 7, NULL);
    assert_fails(&g, 11, EXIT_UNSUPPORTED, "in the padding alone");
}

/* ---- Resize, Upsample ------------------------------------------------------------------------ */

static Buf resize_model(const char *x, const float *scales, size_t n, const char *sizes,
                        Buf *attrs) {
    char count[8];
    Buf g = with_x(x);
    snprintf(count, sizeof count, "%d", (int)n);
    if (n)
        add_floats(&g, "scales", count, scales, n);
    if (sizes)
        add_ints(&g, "sizes", sizes);
    add_op(&g, "Resize", n ? "x,,scales" : "x,,,sizes", attrs);
    return g;
}

/* Four outputs of 2, for each way to see coordinates. */
static void test_coordinates(void **state) {
    (void)state;
    static const struct {
        const char *mode;
        double want[4];
    } cases[] = {
        {"half_pixel", {0, 1, 3, 4}},           {"pytorch_half_pixel", {0, 1, 3, 4}},
        {"half_pixel_symmetric", {0, 1, 3, 4}}, {"align_corners", {0, 4. / 3, 8. / 3, 4}},
        {"asymmetric", {0, 2, 4, 4}},           {"tf_half_pixel_for_nn", {1, 3, 4, 4}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf attrs = {0};
        with_string(&attrs, "mode", "linear");
        with_string(&attrs, "coordinate_transformation_mode", cases[i].mode);
        Buf g = resize_model("1,1,1,2", NULL, 0, "1,1,1,4", &attrs);
        assert_model(&g, 19, "resize", F(0, 4), "f32[1,1,1,4]", cases[i].want);
    }
}

/* Coordinates 0.5, 2.5 and, in the other direction, halves of everything. */
static void test_nearest_modes(void **state) {
    (void)state;
    static const struct {
        const char *mode;
        double want[2];
    } cases[] = {
        {"round_prefer_floor", {0, 2}},
        {"round_prefer_ceil", {1, 3}},
        {"floor", {0, 2}},
        {"ceil", {1, 3}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf attrs = {0};
        with_string(&attrs, "nearest_mode", cases[i].mode);
        Buf g = resize_model("1,1,1,4", F(1, 1, 1, 0.5f), 4, NULL, &attrs);
        assert_model(&g, 13, "resize", F(0, 1, 2, 3), "f32[1,1,1,2]", cases[i].want);
    }
}

static void test_cubic(void **state) {
    (void)state;
    Buf attrs = {0};
    with_string(&attrs, "mode", "cubic");
    with_float(&attrs, "cubic_coeff_a", -0.5f);
    with_int(&attrs, "exclude_outside", 1);
    /* coordinates -0.25 and 0.25 and so on: weights of a = -0.5, divided by those inside */
    double near = 0.8671875, far = 0.2265625, next = -0.0703125;
    double want[] = {(1 * near + 2 * next) / (near + next), (1 * near + 2 * far) / (near + far),
                     (1 * far + 2 * near) / (near + far), (1 * next + 2 * near) / (near + next)};
    Buf g = resize_model("1,1,1,2", F(1, 1, 1, 2), 4, NULL, &attrs);
    assert_model(&g, 11, "resize", F(1, 2), "f32[1,1,1,4]", want);
}

/* Lists for some axes, one scale for both, and a kernel as wide as what an output covers. */
static void test_resize_18(void **state) {
    (void)state;
    Buf attrs = {0};
    with_string(&attrs, "mode", "linear");
    with_ints(&attrs, "axes", "3,2");
    with_int(&attrs, "antialias", 1);
    with_string(&attrs, "keep_aspect_ratio_policy", "not_larger");
    Buf g = resize_model("1,1,2,4", NULL, 0, "2,2", &attrs);
    assert_model(&g, 18, "resize", F(1, 2, 3, 4, 1, 2, 3, 4), "f32[1,1,1,2]",
                 D((1 + 3 * 1 + 3 * 2 + 3) / 8., (2 + 3 * 3 + 3 * 4 + 4) / 8.));
}

/* Before opset 11: down for larger results, up for smaller ones. */
static void test_old_resizes(void **state) {
    (void)state;
    Buf g = with_x("1,1,1,4"), attrs = {0};
    add_floats(&g, "scales", "4", F(1, 1, 1, 0.6f), 4);
    add_op(&g, "Resize", "x,scales", NULL);
    assert_model(&g, 10, "resize", F(0, 1, 2, 3), "f32[1,1,1,2]", D(0, 2));
    g = with_x("1,1,1,2");
    add_floats(&g, "scales", "4", F(1, 1, 2, 1.5f), 4);
    add_op(&g, "Upsample", "x,scales", NULL);
    assert_model(&g, 9, "resize", F(1, 2), "f32[1,1,2,3]", D(1, 1, 2, 1, 1, 2));
    g = with_x("1,1,1,2");
    with_floats(&attrs, "scales", F(1, 1, 1, 2), 4);
    with_string(&attrs, "mode", "linear");
    add_op(&g, "Upsample", "x", &attrs);
    assert_model(&g, 7, "resize", F(1, 3), "f32[1,1,1,4]", D(1, 2, 3, 3));
}

/* Between integers: 1, 1.5, 2.5, 3, whose fractions are cut off. */
static void test_resized_integers(void **state) {
    (void)state;
    Buf g = with_x("1,1,1,2"), to = {0}, attrs = {0}, from = {0};
    add_floats(&g, "scales", "4", F(1, 1, 1, 2), 4);
    with_int(&to, "to", ONNX_UINT8);
    add_node(&g, "Cast", "x", "u", &to);
    with_string(&attrs, "mode", "linear");
    add_node(&g, "Resize", "u,,scales", "r", &attrs);
    with_int(&from, "to", ONNX_FLOAT);
    add_op(&g, "Cast", "r", &from);
    assert_model(&g, 13, "cast cast resize cast cast", F(1, 3), "f32[1,1,1,4]", D(1, 1, 2, 3));
}

/* Axes that aren't those of planes; nothing to do is nothing. */
static void test_other_axes(void **state) {
    (void)state;
    Buf g = resize_model("2,2", F(2, 1), 2, NULL, NULL);
    assert_model(&g, 13, "reshape resize reshape identity", F(1, 2, 3, 4), "f32[4,2]",
                 D(1, 2, 1, 2, 3, 4, 3, 4));
    g = resize_model("1,3,2", F(1, 1, 1), 3, NULL, NULL);
    assert_model(&g, 13, "identity", F(1, 2, 3, 4, 5, 6), "f32[1,3,2]", D(1, 2, 3, 4, 5, 6));
}

static void test_bad_resizes(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,1,2,2");
    add_op(&g, "Resize", "x", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "neither scales nor sizes");
    g = resize_model("1,1,2,2", F(1, 1, -1, 2), 4, NULL, NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "dimension 2 becomes -1");
    g = resize_model("1,1,2,2", F(1, 1, NAN, 2), 4, NULL, NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "dimension 2 becomes -1");
    g = resize_model("1,1,2,2", F(1, 1), 2, NULL, NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "scales must be 4 floats");
    g = resize_model("1,1,2,2", NULL, 0, "1,1,9000000,9000000", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "too large");
    with_string(&attrs, "mode", "lanczos");
    g = resize_model("1,1,2,2", F(1, 1, 2, 2), 4, NULL, &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "mode is \"lanczos\"");
    with_string(&attrs, "coordinate_transformation_mode", "tf_crop_and_resize");
    g = resize_model("1,1,2,2", F(1, 1, 2, 2), 4, NULL, &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "needs a region");
    with_string(&attrs, "nearest_mode", "up");
    g = resize_model("1,1,2,2", F(1, 1, 2, 2), 4, NULL, &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "nearest_mode is \"up\"");
}

/* ---- Split ----------------------------------------------------------------------------------- */

/* The parts of x along axis 1, the last one first. */
static Buf split_model(const char *x, const char *inputs, const char *sizes, Buf *attrs) {
    Buf g = with_x(x), axis = {0};
    if (sizes)
        add_ints(&g, "sizes", sizes);
    with_int(attrs, "axis", 1);
    add_node(&g, "Split", inputs, "a,b", attrs);
    with_int(&axis, "axis", 1);
    add_op(&g, "Concat", "b,a", &axis);
    return g;
}

static void test_split(void **state) {
    (void)state;
    const char *ops = "slice slice concat";
    Buf attrs = {0}, g = split_model("1,4", "x", NULL, &attrs);
    assert_model(&g, 11, ops, F(1, 2, 3, 4), "f32[1,4]", D(3, 4, 1, 2));
    with_ints(&attrs, "split", "1,3");
    g = split_model("1,4", "x", NULL, &attrs);
    assert_model(&g, 4, ops, F(1, 2, 3, 4), "f32[1,4]", D(2, 3, 4, 1));
    g = split_model("1,4", "x,sizes", "3,1", &attrs);
    assert_model(&g, 13, ops, F(1, 2, 3, 4), "f32[1,4]", D(4, 1, 2, 3));
    with_int(&attrs, "num_outputs", 2);
    g = split_model("1,3", "x", NULL, &attrs);
    assert_model(&g, 18, ops, F(1, 2, 3), "f32[1,3]", D(3, 1, 2));
}

/* A list of sizes may be longer than those of dimensions are. */
static void test_many_parts(void **state) {
    (void)state;
    Buf g = with_x("18"), outputs = {0}, sizes = {0};
    for (int i = 0; i < 17; i++) {
        buf_printf(&sizes, "%s%d", i ? "," : "", i < 16 ? 1 : 2);
        buf_printf(&outputs, "%sp%d", i ? "," : "", i);
    }
    add_ints(&g, "sizes", buf_str(&sizes));
    add_node(&g, "Split", "x,sizes", buf_str(&outputs), NULL);
    add_output(&g, "p16", ONNX_FLOAT, NULL);
    Imported m = import_ok(&g, 13);
    const float x[18] = {[16] = 3, [17] = 4};
    assert_result(&m, x, "f32[2]", D(3, 4));
    imported_free(&m);
    buf_free(&sizes);
    buf_free(&outputs);
}

static void test_bad_splits(void **state) {
    (void)state;
    Buf attrs = {0}, g = split_model("1,3", "x", NULL, &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "3 elements have no 2 equal parts");
    g = split_model("1,4", "x,sizes", "3,2", &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "more than the 4 elements");
    g = split_model("1,4", "x,sizes", "1,2", &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "add up to 3");
    g = split_model("1,4", "x,sizes", "4", &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "1 sizes for 2 outputs");
    with_int(&attrs, "num_outputs", 3);
    g = split_model("1,4", "x", NULL, &attrs);
    assert_fails(&g, 18, EXIT_BAD_MODEL, "num_outputs is 3, and there are 2 outputs");
    with_int(&attrs, "num_outputs", 2);
    g = split_model("1,4", "x,sizes", "2,2", &attrs);
    assert_fails(&g, 18, EXIT_BAD_MODEL, "both num_outputs and sizes");
}

/* ---- Tile, DepthToSpace, SpaceToDepth -------------------------------------------------------- */

static Buf tile_model(const char *x, const char *repeats) {
    Buf g = with_x(x);
    add_ints(&g, "repeats", repeats);
    add_op(&g, "Tile", "x,repeats", NULL);
    return g;
}

static void test_tile(void **state) {
    (void)state;
    Buf g = tile_model("2,2", "2,3");
    assert_model(&g, 13, "reshape expand reshape", F(1, 2, 3, 4), "f32[4,6]",
                 D(1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4, 1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4));
    g = tile_model("1,2", "1,2");
    assert_model(&g, 6, "reshape expand reshape", F(1, 2), "f32[1,4]", D(1, 2, 1, 2));
}

static void test_bad_tiles(void **state) {
    (void)state;
    Buf g = tile_model("2,2", "2");
    assert_fails(&g, 13, EXIT_BAD_MODEL, "1 repeats, and the input has 2 dimensions");
    g = tile_model("2,2", "2,-1");
    assert_fails(&g, 13, EXIT_BAD_MODEL, "not negative");
    g = tile_model("2,2", "9000000000000000000,2");
    assert_fails(&g, 13, EXIT_BAD_MODEL, "too large");
    g = tile_model("2,2", "1000000,1000000");
    assert_fails(&g, 13, EXIT_BAD_MODEL, "too large");
    g = tile_model("1,1,1,1,2", "2,2,2,2,2");
    assert_fails(&g, 13, EXIT_UNSUPPORTED, "so many of 5 dimensions");
}

static Buf block_model(const char *op, const char *x, const char *mode) {
    Buf g = with_x(x), attrs = {0};
    with_int(&attrs, "blocksize", 2);
    if (mode)
        with_string(&attrs, "mode", mode);
    add_op(&g, op, "x", &attrs);
    return g;
}

static void test_depth_and_space(void **state) {
    (void)state;
    const char *ops = "reshape transpose reshape";
    const float *x = F(0, 1, 2, 3, 4, 5, 6, 7); /* 8 channels of one pixel */
    Buf g = block_model("DepthToSpace", "1,8,1,1", NULL);
    assert_model(&g, 11, ops, x, "f32[1,2,2,2]", D(0, 2, 4, 6, 1, 3, 5, 7));
    g = block_model("DepthToSpace", "1,8,1,1", "CRD");
    assert_model(&g, 13, ops, x, "f32[1,2,2,2]", D(0, 1, 2, 3, 4, 5, 6, 7));
    g = block_model("SpaceToDepth", "1,2,2,2", NULL);
    assert_model(&g, 13, ops, x, "f32[1,8,1,1]", D(0, 4, 1, 5, 2, 6, 3, 7));
    g = block_model("SpaceToDepth", "1,2,2,2", "CRD");
    assert_model(&g, 28, ops, x, "f32[1,8,1,1]", D(0, 1, 2, 3, 4, 5, 6, 7));
}

static void test_bad_blocks(void **state) {
    (void)state;
    Buf g = block_model("DepthToSpace", "1,6,1,1", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "6 channels are no blocks of 2x2");
    g = block_model("DepthToSpace", "1,8,1,1", "RDC");
    assert_fails(&g, 13, EXIT_BAD_MODEL, "neither DCR nor CRD");
    g = block_model("SpaceToDepth", "1,2,3,2", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "planes of 3x2 are no blocks of 2x2");
    g = with_x("1,4,2,2");
    add_op(&g, "SpaceToDepth", "x", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "the block size is 0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_many_parts),
        cmocka_unit_test(test_bad_splits),
        cmocka_unit_test(test_tile),
        cmocka_unit_test(test_bad_tiles),
        cmocka_unit_test(test_depth_and_space),
        cmocka_unit_test(test_bad_blocks),
        cmocka_unit_test(test_max_pool),
        cmocka_unit_test(test_ceil_mode),
        cmocka_unit_test(test_average_pool),
        cmocka_unit_test(test_bad_pools),
        cmocka_unit_test(test_coordinates),
        cmocka_unit_test(test_nearest_modes),
        cmocka_unit_test(test_cubic),
        cmocka_unit_test(test_resize_18),
        cmocka_unit_test(test_old_resizes),
        cmocka_unit_test(test_resized_integers),
        cmocka_unit_test(test_other_axes),
        cmocka_unit_test(test_bad_resizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
