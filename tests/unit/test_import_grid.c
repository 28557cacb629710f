/* Unit tests of the importers of GridSample and AffineGrid: small models, evaluated by the graph
 * interpreter, against a plain reading of the operators' definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

/* ---- the definition -------------------------------------------------------------------------- */

enum { H = 3, W = 4, POINTS = 12 };

typedef struct Sampling {
    const char *mode, *padding;
    int align;
} Sampling;

static double reflect(double x, double lo, double hi) {
    double size = hi - lo;
    if (x >= lo && x <= hi)
        return x;
    double d = x < lo ? lo - x : x - hi, rest = fmod(d, size);
    bool even = fmod(floor(d / size), 2) == 0;
    return (x < lo) == even ? lo + rest : hi - rest;
}

static double pixel(const Sampling *s, const float *x, double row, double column) {
    double at[2] = {row, column};
    const double size[2] = {H, W}, edge = s->align ? 0 : 0.5;
    for (int i = 0; i < 2; i++) {
        bool inside = at[i] >= 0 && at[i] <= size[i] - 1;
        if (!inside && strcmp(s->padding, "zeros") == 0)
            return 0;
        if (strcmp(s->padding, "border") == 0)
            at[i] = fmin(fmax(at[i], 0), size[i] - 1);
        else
            at[i] = floor(reflect(at[i], -edge, size[i] - 1 + edge));
    }
    return (double)x[(int)at[0] * W + (int)at[1]];
}

static double cubic(double x) {
    double a = -0.75;
    x = fabs(x);
    return x <= 1  ? (a + 2) * x * x * x - (a + 3) * x * x + 1
           : x < 2 ? a * x * x * x - 5 * a * x * x + 8 * a * x - 4 * a
                   : 0;
}

static double weight(const Sampling *s, double x) {
    return strcmp(s->mode, "cubic") == 0 ? cubic(x) : fmax(0, 1 - fabs(x));
}

static double sample(const Sampling *s, const float *x, const float *point) {
    double at[2], sum = 0;
    const double size[2] = {H, W}, edge = s->align ? 0 : 0.5;
    for (int i = 0; i < 2; i++) {
        double g = (double)point[1 - i], last = size[i] - 1 + edge;
        at[i] = s->align ? (g + 1) / 2 * (size[i] - 1) : ((g + 1) * size[i] - 1) / 2;
        if (strcmp(s->mode, "nearest") == 0)
            at[i] = nearbyint(at[i]);
        bool outside = at[i] < -edge || at[i] > last;
        if (outside && strcmp(s->padding, "border") == 0)
            at[i] = fmin(fmax(at[i], 0), size[i] - 1);
        if (outside && strcmp(s->padding, "reflection") == 0)
            at[i] = reflect(at[i], -edge, last);
    }
    if (strcmp(s->mode, "nearest") == 0)
        return pixel(s, x, at[0], at[1]);
    for (int i = -1; i < 3; i++)
        for (int k = -1; k < 3; k++) {
            double row = floor(at[0]) + i, column = floor(at[1]) + k;
            double w = weight(s, row - at[0]) * weight(s, column - at[1]);
            sum += w != 0 ? w * pixel(s, x, row, column) : 0;
        }
    return sum;
}

/* ---- GridSample ------------------------------------------------------------------------------ */

static void check_sampling(const Sampling *s) {
    float x[2 * H * W], grid[2 * POINTS];
    double want[2 * POINTS];
    for (int i = 0; i < 2 * H * W; i++)
        x[i] = (float)((i * 7) % 13 - 5);
    for (int i = 0; i < 2 * POINTS; i++)
        grid[i] = (float)((i * 5) % 23 - 11) / 4 + 0.03125f;
    for (int i = 0; i < 2 * POINTS; i++)
        want[i] = sample(s, x + i / POINTS * H * W, grid + i % POINTS * 2);
    Buf attrs = {0}, g = with_x("1,2,3,4");
    with_string(&attrs, "mode", s->mode);
    with_string(&attrs, "padding_mode", s->padding);
    with_int(&attrs, "align_corners", s->align);
    add_floats(&g, "grid", "1,4,3,2", grid, 2 * POINTS);
    add_op(&g, "GridSample", "x,grid", &attrs);
    Imported m = import_ok(&g, 20);
    assert_result(&m, x, "f32[1,2,4,3]", want);
    imported_free(&m);
}

static void test_grid_sample(void **state) {
    (void)state;
    static const char *const modes[] = {"linear", "nearest", "cubic"};
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    for (int i = 0; i < 18; i++)
        check_sampling(&(Sampling){modes[i % 3], paddings[i / 3 % 3], i / 9});
}

/* Opset 16 says bilinear and bicubic. */
static void test_names(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,1,1,2");
    with_string(&attrs, "mode", "bilinear");
    add_floats(&g, "grid", "1,1,1,2", F(0, 0), 2);
    add_op(&g, "GridSample", "x,grid", &attrs);
    Imported m = import_ok(&g, 16);
    assert_result(&m, F(1, 2), "f32[1,1,1,1]", D(1.5));
    imported_free(&m);
    g = with_x("1,1,1,2");
    with_string(&attrs, "mode", "area");
    add_floats(&g, "grid", "1,1,1,2", F(0, 0), 2);
    add_op(&g, "GridSample", "x,grid", &attrs);
    assert_fails(&g, 16, EXIT_BAD_MODEL, "its mode is \"area\"");
    g = with_x("1,1,1,2");
    add_floats(&g, "grid", "1,1,1,3", F(0, 0, 0), 3);
    add_op(&g, "GridSample", "x,grid", NULL);
    assert_fails(&g, 16, EXIT_BAD_MODEL, "2 numbers for each point");
}

/* ---- AffineGrid ------------------------------------------------------------------------------ */

/* The identity gives the image itself, of two and three dimensions. */
static void test_identity(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool volume = i / 2;
        float x[12];
        double want[12];
        Buf attrs = {0}, sampling = {0}, g = with_x(volume ? "1,1,2,3,2" : "1,1,4,3");
        for (int k = 0; k < 12; k++)
            x[k] = (float)(want[k] = k * k);
        with_int(&attrs, "align_corners", i % 2);
        with_int(&sampling, "align_corners", i % 2);
        if (volume)
            add_floats(&g, "theta", "1,3,4", F(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0), 12);
        else
            add_floats(&g, "theta", "1,2,3", F(1, 0, 0, 0, 1, 0), 6);
        add_ints(&g, "size", volume ? "1,1,2,3,2" : "1,1,4,3");
        add_node(&g, "AffineGrid", "theta,size", "grid", &attrs);
        add_op(&g, "GridSample", "x,grid", &sampling);
        Imported m = import_ok(&g, 20);
        assert_result(&m, x, volume ? "f32[1,1,2,3,2]" : "f32[1,1,4,3]", want);
        imported_free(&m);
    }
}

/* x and y change places, and move. */
static void test_affine_grid(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,2,3");
    add_ints(&g, "size", "1,7,2,1");
    add_op(&g, "AffineGrid", "x,size", NULL);
    Imported m = import_ok(&g, 20);
    assert_result(&m, F(0, 1, 10, 2, 0, 20), "f32[1,2,1,2]", D(9.5, 20, 10.5, 20));
    imported_free(&m);
    g = with_x("1,2,3");
    with_int(&attrs, "align_corners", 1);
    add_ints(&g, "size", "1,7,2,1");
    add_op(&g, "AffineGrid", "x,size", &attrs);
    m = import_ok(&g, 20);
    assert_result(&m, F(0, 1, 10, 2, 0, 20), "f32[1,2,1,2]", D(9, 20, 11, 20));
    imported_free(&m);
    g = with_x("1,2,3");
    add_ints(&g, "size", "2,7,2,1");
    add_op(&g, "AffineGrid", "x,size", NULL);
    assert_fails(&g, 20, EXIT_BAD_MODEL, "a size that fits");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grid_sample),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_affine_grid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
