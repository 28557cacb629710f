/* Unit tests of the importers of DeformConv and Col2Im, evaluated by the graph interpreter, against
 * a plain reading of the operators' definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

enum { C = 4, H = 4, W = 5, KH = 2, KW = 3, OUT = 4, MOST = 2048 };

/* A convolution of x [1,C,H,W] by weights [OUT,C/group,KH,KW], to y [1,OUT,oh,ow]. */
typedef struct Deform {
    int group, offset_group, stride, pad, dilation;
    bool bias, mask;
    int oh, ow;
} Deform;

/* Numbers that are not alike, from -1 to 1. */
static void fill(float *v, int n, int seed) {
    for (int i = 0; i < n; i++)
        v[i] = (float)((i * 37 + seed * 11) % 41 - 20) / 20;
}

static double pixel(const float *plane, int y, int x) {
    return y >= 0 && y < H && x >= 0 && x < W ? (double)plane[y * W + x] : 0;
}

static double between(const float *plane, double y, double x) {
    int y0 = (int)floor(y), x0 = (int)floor(x);
    double dy = y - y0, dx = x - x0;
    return (1 - dy) * ((1 - dx) * pixel(plane, y0, x0) + dx * pixel(plane, y0, x0 + 1)) +
           dy * ((1 - dx) * pixel(plane, y0 + 1, x0) + dx * pixel(plane, y0 + 1, x0 + 1));
}

/* Input channel c under tap (i, j) of point (y, x). */
static double tap(const Deform *d, const float *in, const float *offset, const float *mask, int c,
                  int i, int j, int y, int x) {
    int points = d->oh * d->ow, k = c / (C / d->offset_group) * KH * KW + i * KW + j;
    int at = y * d->ow + x;
    double py = y * d->stride + i * d->dilation - d->pad + (double)offset[2 * k * points + at];
    double px =
        x * d->stride + j * d->dilation - d->pad + (double)offset[(2 * k + 1) * points + at];
    return between(in + c * H * W, py, px) * (d->mask ? (double)mask[k * points + at] : 1);
}

static void deform(const Deform *d, const float *in, const float *w, const float *offset,
                   const float *bias, const float *mask, double *out) {
    int channels = C / d->group;
    for (int o = 0; o < OUT; o++)
        for (int y = 0; y < d->oh; y++)
            for (int x = 0; x < d->ow; x++) {
                double sum = d->bias ? (double)bias[o] : 0;
                for (int c = 0; c < channels; c++)
                    for (int k = 0; k < KH * KW; k++)
                        sum += (double)w[(o * channels + c) * KH * KW + k] *
                               tap(d, in, offset, mask, o / (OUT / d->group) * channels + c, k / KW,
                                   k % KW, y, x);
                *out++ = sum;
            }
}

static void add_numbers(Buf *g, const char *name, const char *dims, float *v, int n, int seed) {
    fill(v, n, seed);
    add_floats(g, name, dims, v, (size_t)n);
}

static void assert_deform(Deform d) {
    float x[C * H * W], w[MOST], offset[MOST], bias[OUT], mask[MOST];
    double want[MOST];
    char text[64];
    d.oh = (H + 2 * d.pad - (KH - 1) * d.dilation - 1) / d.stride + 1;
    d.ow = (W + 2 * d.pad - (KW - 1) * d.dilation - 1) / d.stride + 1;
    int points = d.oh * d.ow, taps = d.offset_group * KH * KW;
    Buf g = with_x("1,4,4,5"), attrs = {0};
    fill(x, C * H * W, 1);
    snprintf(text, sizeof text, "4,%d,2,3", C / d.group);
    add_numbers(&g, "w", text, w, OUT * C / d.group * KH * KW, 2);
    snprintf(text, sizeof text, "1,%d,%d,%d", 2 * taps, d.oh, d.ow);
    add_numbers(&g, "offset", text, offset, 2 * taps * points, 3);
    snprintf(text, sizeof text, "1,%d,%d,%d", taps, d.oh, d.ow);
    add_numbers(&g, "mask", text, mask, taps * points, 4);
    add_numbers(&g, "bias", "4", bias, OUT, 5);
    with_int(&attrs, "group", d.group);
    with_int(&attrs, "offset_group", d.offset_group);
    snprintf(text, sizeof text, "%d,%d", d.stride, d.stride);
    with_ints(&attrs, "strides", text);
    snprintf(text, sizeof text, "%d,%d", d.dilation, d.dilation);
    with_ints(&attrs, "dilations", text);
    snprintf(text, sizeof text, "%d,%d,%d,%d", d.pad, d.pad, d.pad, d.pad);
    with_ints(&attrs, "pads", text);
    snprintf(text, sizeof text, "x,w,offset,%s,%s", d.bias ? "bias" : "", d.mask ? "mask" : "");
    add_op(&g, "DeformConv", text, &attrs);
    deform(&d, x, w, offset, bias, mask, want);
    snprintf(text, sizeof text, "f32[1,4,%d,%d]", d.oh, d.ow);
    Imported m = import_ok(&g, 19);
    assert_result(&m, x, text, want);
    imported_free(&m);
}

static void test_deform_conv(void **state) {
    (void)state;
    assert_deform((Deform){1, 1, 1, 0, 1, false, false, 0, 0});
    assert_deform((Deform){2, 1, 1, 1, 1, true, false, 0, 0});
    assert_deform((Deform){1, 2, 2, 1, 1, false, true, 0, 0});
    assert_deform((Deform){4, 4, 1, 2, 2, true, true, 0, 0});
    assert_deform((Deform){2, 4, 2, 2, 1, true, true, 0, 0});
}

static Buf deform_graph(const char *w, const char *offset, Buf *attrs) {
    float v[MOST] = {0};
    Buf g = with_x("1,4,4,5"), t = raw_tensor("w", ONNX_FLOAT, w, v, 4 * 24);
    put_message(&g, 5, &t);
    t = raw_tensor("offset", ONNX_FLOAT, offset, v, 4 * 48);
    put_message(&g, 5, &t);
    add_op(&g, "DeformConv", "x,w,offset", attrs);
    return g;
}

static void test_bad_deform_convs(void **state) {
    (void)state;
    Buf attrs = {0}, g = deform_graph("1,4,2,3", "1,4,3,4", &attrs);
    assert_fails(&g, 19, EXIT_BAD_MODEL, "do not fit its result");
    g = deform_graph("1,2,4,3", "1,16,1,3", &attrs);
    assert_fails(&g, 19, EXIT_BAD_MODEL, "do not fit its 4 channels");
    with_int(&attrs, "offset_group", 3);
    g = deform_graph("1,4,2,3", "1,4,3,4", &attrs);
    assert_fails(&g, 19, EXIT_BAD_MODEL, "1 groups and 3 of offsets");
    g = deform_graph("1,4,6,1", "1,4,3,4", &attrs);
    assert_fails(&g, 19, EXIT_BAD_MODEL, "larger than the padded input");
}

/* ---- Col2Im ---------------------------------------------------------------------------------- */

static void add_sizes(Buf *g, const char *image, const char *block) {
    add_ints(g, "image", image);
    add_ints(g, "block", block);
    add_op(g, "Col2Im", "x,image,block", NULL);
}

static void assert_fold(const char *x, const char *image, const char *block, Buf *attrs,
                        const float *v, const char *type, const double *want) {
    Buf g = with_x(x);
    add_ints(&g, "image", image);
    add_ints(&g, "block", block);
    add_op(&g, "Col2Im", "x,image,block", attrs);
    Imported m = import_ok(&g, 18);
    assert_result(&m, v, type, want);
    imported_free(&m);
}

static void test_col2im(void **state) {
    (void)state;
    Buf attrs = {0};
    /* two blocks of 2x2 that share a column; two channels of one row */
    assert_fold("1,4,2", "2,3", "2,2", NULL, F(1, 2, 3, 4, 5, 6, 7, 8), "f32[1,1,2,3]",
                D(1, 5, 4, 5, 13, 8));
    assert_fold("1,4,2", "1,3", "1,2", NULL, F(1, 2, 3, 4, 5, 6, 7, 8), "f32[1,2,1,3]",
                D(1, 5, 4, 5, 13, 8));
    with_ints(&attrs, "strides", "1,2");
    with_ints(&attrs, "pads", "0,1,0,0");
    assert_fold("1,2,2", "1,4", "1,2", &attrs, F(1, 2, 3, 4), "f32[1,1,1,4]", D(3, 2, 4, 0));
    with_ints(&attrs, "dilations", "1,2");
    assert_fold("1,2,2", "1,4", "1,2", &attrs, F(1, 2, 3, 4), "f32[1,1,1,4]", D(1, 2, 3, 4));
    assert_fold("1,2,2", "3", "2", NULL, F(1, 2, 3, 4), "f32[1,1,3]", D(1, 5, 4));
    Buf g = with_x("1,3,2");
    add_sizes(&g, "2,3", "2,2");
    assert_fails(&g, 18, EXIT_BAD_MODEL, "does not fit the image and the block");
    g = with_x("1,4,2");
    add_sizes(&g, "2,3", "2,0");
    assert_fails(&g, 18, EXIT_BAD_MODEL, "a size of 3 or 0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deform_conv),
        cmocka_unit_test(test_bad_deform_convs),
        cmocka_unit_test(test_col2im),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
