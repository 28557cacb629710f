/* Unit tests of the importers of convolutions and pooling over one to three dimensions: small
 * models, evaluated by the graph interpreter, against a plain reading of the operators'
 * definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

/* ---- the definition -------------------------------------------------------------------------- */

/* Up to three dimensions in space; those that are missing have a size of 1. */
typedef struct Case {
    int space;
    int channels, out, group; /* of images, of the result */
    int in[3], kernel[3], stride[3], dilation[3], front[3], back[3], extra[3];
} Case;

static const Case cases[] = {
    {1, 2, 3, 1, {7}, {3}, {2}, {1}, {1}, {0}, {1}},
    {1, 4, 4, 4, {9}, {2}, {1}, {3}, {0}, {2}, {0}},
    {2, 2, 4, 2, {5, 4}, {3, 2}, {2, 1}, {1, 2}, {1, 0}, {1, 1}, {1, 0}},
    {3, 2, 2, 1, {4, 5, 3}, {2, 3, 2}, {1, 2, 1}, {2, 1, 1}, {1, 1, 0}, {0, 1, 1}, {0, 1, 0}},
    {3, 4, 2, 2, {3, 3, 4}, {3, 1, 2}, {2, 1, 3}, {1, 1, 2}, {1, 0, 1}, {1, 0, 1}, {1, 0, 0}},
};
enum { CASES = sizeof cases / sizeof *cases, MOST = 4096 };

/* With ones in the dimensions that are missing. */
static Case whole(const Case *c) {
    Case w = *c;
    for (int i = c->space; i < 3; i++) {
        w.in[i] = w.kernel[i] = w.stride[i] = w.dilation[i] = 1;
        w.front[i] = w.back[i] = w.extra[i] = 0;
    }
    return w;
}

static int count(const int *sizes) {
    return sizes[0] * sizes[1] * sizes[2];
}

static int at(const int *sizes, const int *i) {
    return (i[0] * sizes[1] + i[1]) * sizes[2] + i[2];
}

static void digits(const int *sizes, int n, int *i) {
    i[2] = n % sizes[2];
    i[1] = n / sizes[2] % sizes[1];
    i[0] = n / sizes[2] / sizes[1];
}

static void out_sizes(const Case *c, bool transposed, int *out) {
    for (int d = 0; d < 3; d++) {
        int reach = (c->kernel[d] - 1) * c->dilation[d] + 1, pads = c->front[d] + c->back[d];
        out[d] = transposed ? (c->in[d] - 1) * c->stride[d] + reach + c->extra[d] - pads
                            : (c->in[d] + pads - reach) / c->stride[d] + 1;
    }
}

/* Where tap k of output o is in the input; false where that is outside. */
static bool source(const Case *c, const int *o, const int *k, int *i) {
    for (int d = 0; d < 3; d++) {
        i[d] = o[d] * c->stride[d] + k[d] * c->dilation[d] - c->front[d];
        if (i[d] < 0 || i[d] >= c->in[d])
            return false;
    }
    return true;
}

/* The output that tap k of input i goes to. */
static bool target(const Case *c, const int *out, const int *i, const int *k, int *o) {
    for (int d = 0; d < 3; d++) {
        o[d] = i[d] * c->stride[d] + k[d] * c->dilation[d] - c->front[d];
        if (o[d] < 0 || o[d] >= out[d])
            return false;
    }
    return true;
}

/* Adds input channel `from` by the taps w to a plane of sums. */
static void convolve(const Case *c, bool transposed, const int *out, const float *x, const float *w,
                     double *y) {
    int o[3], k[3], i[3];
    for (int a = 0; a < (transposed ? count(c->in) : count(out)); a++)
        for (int t = 0; t < count(c->kernel); t++) {
            digits(c->kernel, t, k);
            digits(transposed ? c->in : out, a, transposed ? i : o);
            bool inside = transposed ? target(c, out, i, k, o) : source(c, o, k, i);
            if (inside)
                y[at(out, o)] += (double)x[at(c->in, i)] * (double)w[t];
        }
}

/* ---- convolutions ---------------------------------------------------------------------------- */

static void with_sizes(Buf *attrs, const char *name, const int *a, const int *b, int n) {
    char list[80] = "";
    for (int i = 0; i < (b ? 2 * n : n); i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%d", i ? "," : "",
                 i < n ? a[i] : b[i - n]);
    with_ints(attrs, name, list);
}

static const char *dims_text(char *text, size_t size, int a, int b, const int *rest, int n) {
    snprintf(text, size, "%d,%d", a, b);
    for (int i = 0; i < n; i++)
        snprintf(text + strlen(text), size - strlen(text), ",%d", rest[i]);
    return text;
}

static void fill(float *v, int n, int seed) {
    for (int i = 0; i < n; i++)
        v[i] = (float)((i * 7 + seed) % 11 - 5);
}

static Buf window_attrs(const Case *c) {
    Buf attrs = {0};
    with_sizes(&attrs, "kernel_shape", c->kernel, NULL, c->space);
    with_sizes(&attrs, "strides", c->stride, NULL, c->space);
    with_sizes(&attrs, "dilations", c->dilation, NULL, c->space);
    with_sizes(&attrs, "pads", c->front, c->back, c->space);
    return attrs;
}

static const char *type_of(char *text, size_t size, int a, int b, const int *rest, int n) {
    char dims[60];
    snprintf(text, size, "f32[%s]", dims_text(dims, sizeof dims, a, b, rest, n));
    return text;
}

static void check_conv(const Case *given, bool transposed) {
    enum { IMAGES = 2 };
    Case c = whole(given);
    float x[MOST], w[MOST], bias[8];
    double y[MOST] = {0};
    int out[3], per_in = c.channels / c.group, per_out = c.out / c.group;
    int rows = transposed ? c.channels : c.out, columns = transposed ? per_out : per_in;
    char dims[60], type[80];
    out_sizes(&c, transposed, out);
    fill(x, IMAGES * c.channels * count(c.in), 3);
    fill(w, rows * columns * count(c.kernel), 5);
    fill(bias, c.out, 2);
    Buf attrs = window_attrs(&c),
        g = with_x(dims_text(dims, sizeof dims, IMAGES, c.channels, c.in, c.space));
    with_int(&attrs, "group", c.group);
    if (transposed)
        with_sizes(&attrs, "output_padding", c.extra, NULL, c.space);
    add_floats(&g, "w", dims_text(dims, sizeof dims, rows, columns, c.kernel, c.space), w,
               (size_t)(rows * columns * count(c.kernel)));
    snprintf(dims, sizeof dims, "%d", c.out);
    add_floats(&g, "b", dims, bias, (size_t)c.out);
    add_op(&g, transposed ? "ConvTranspose" : "Conv", "x,w,b", &attrs);
    for (int n = 0; n < IMAGES; n++)
        for (int m = 0; m < c.out; m++) {
            double *plane = y + (n * c.out + m) * count(out);
            for (int i = 0; i < count(out); i++)
                plane[i] = (double)bias[m];
            for (int k = 0; k < per_in; k++) {
                int from = m / per_out * per_in + k;
                int filter = transposed ? from * per_out + m % per_out : m * per_in + k;
                convolve(&c, transposed, out, x + (n * c.channels + from) * count(c.in),
                         w + filter * count(c.kernel), plane);
            }
        }
    Imported m = import_ok(&g, 22);
    assert_result(&m, x, type_of(type, sizeof type, IMAGES, c.out, out, c.space), y);
    imported_free(&m);
}

static void test_convolutions(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        check_conv(&cases[i], false);
        check_conv(&cases[i], true);
    }
}

static void test_deep_kernels_are_refused(void **state) {
    (void)state;
    float w[257] = {0};
    Buf g = with_x("1,1,300,1,1");
    add_floats(&g, "w", "1,1,257,1,1", w, 257);
    add_op(&g, "Conv", "x,w", NULL);
    assert_fails(&g, 17, EXIT_UNSUPPORTED, "more than 256 taps in depth");
}

/* ---- pooling --------------------------------------------------------------------------------- */

typedef struct Pool {
    const char *op;
    bool include;
    double p;
} Pool;

/* Of one window. */
static double pooled(const Case *c, const Pool *pool, const float *x, const int *o) {
    double most = -INFINITY, sum = 0, taps = 0, powers = 0;
    int k[3], i[3];
    for (int t = 0; t < count(c->kernel); t++) {
        digits(c->kernel, t, k);
        bool inside = source(c, o, k, i);
        double v = inside ? (double)x[at(c->in, i)] : 0;
        most = inside && v > most ? v : most;
        sum += v;
        powers += pow(fabs(v), pool->p);
        taps += inside || pool->include;
    }
    return strcmp(pool->op, "MaxPool") == 0  ? most
           : strcmp(pool->op, "LpPool") == 0 ? pow(powers, 1 / pool->p)
                                             : sum / taps;
}

static void check_pool(const Case *given, const Pool *pool) {
    Case c = whole(given);
    float x[MOST];
    double y[MOST];
    int out[3], o[3], plane = count(c.in);
    char dims[60], type[80];
    out_sizes(&c, false, out);
    fill(x, c.channels * plane, 4);
    Buf attrs = window_attrs(&c),
        g = with_x(dims_text(dims, sizeof dims, 1, c.channels, c.in, c.space));
    if (strcmp(pool->op, "AveragePool") == 0)
        with_int(&attrs, "count_include_pad", pool->include);
    if (strcmp(pool->op, "LpPool") == 0)
        with_int(&attrs, "p", (int)pool->p);
    add_op(&g, pool->op, "x", &attrs);
    for (int n = 0; n < c.channels; n++)
        for (int i = 0; i < count(out); i++) {
            digits(out, i, o);
            y[n * count(out) + i] = pooled(&c, pool, x + n * plane, o);
        }
    Imported m = import_ok(&g, 22);
    assert_result(&m, x, type_of(type, sizeof type, 1, c.channels, out, c.space), y);
    imported_free(&m);
}

static void test_pools(void **state) {
    (void)state;
    static const Pool pools[] = {{"MaxPool", false, 2},    {"AveragePool", false, 2},
                                 {"AveragePool", true, 2}, {"LpPool", true, 1},
                                 {"LpPool", true, 2},      {"LpPool", true, 3}};
    for (int i = 0; i < CASES; i++)
        for (size_t k = 0; k < sizeof pools / sizeof *pools; k++)
            check_pool(&cases[i], &pools[k]);
}

/* The last window begins inside; what it has behind the padding doesn't count. */
static void test_ceil_mode(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,1,4");
    with_ints(&attrs, "kernel_shape", "3");
    with_ints(&attrs, "strides", "2");
    with_ints(&attrs, "pads", "1,0");
    with_int(&attrs, "ceil_mode", 1);
    with_int(&attrs, "count_include_pad", 1);
    add_op(&g, "AveragePool", "x", &attrs);
    assert_model(&g, 19, "reshape avg_pool reshape", F(1, 2, 3, 6), "f32[1,1,2]", D(1, 11. / 3));
}

static void test_global_pools(void **state) {
    (void)state;
    static const struct {
        const char *op;
        double want[2];
    } ops[] = {{"GlobalAveragePool", {-1, 2}}, {"GlobalMaxPool", {1, 8}}, {"GlobalLpPool", {0, 0}}};
    const float x[] = {1, -1, 0, -4, 2, -2, 0, 8};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++) {
            Buf g = with_x(k ? "1,2,4" : "1,2,2,1,2");
            add_op(&g, ops[i].op, "x", NULL);
            Imported m = import_ok(&g, 22);
            const double lp[] = {sqrt(18), sqrt(72)};
            assert_result(&m, x, k ? "f32[1,2,1]" : "f32[1,2,1,1,1]", i == 2 ? lp : ops[i].want);
            imported_free(&m);
        }
}

/* ---- indices --------------------------------------------------------------------------------- */

/* Of the first of the largest elements. */
static void expected_indices(const Case *c, const int *out, const float *x, bool by_columns,
                             double *y) {
    int o[3], k[3], i[3], plane = count(c->in);
    for (int n = 0; n < c->channels * count(out); n++) {
        const float *from = x + n / count(out) * plane;
        float most = -INFINITY;
        digits(out, n % count(out), o);
        for (int t = 0; t < count(c->kernel); t++) {
            digits(c->kernel, t, k);
            if (!source(c, o, k, i) || from[at(c->in, i)] <= most)
                continue;
            most = from[at(c->in, i)];
            int place = by_columns ? (i[2] * c->in[1] + i[1]) * c->in[0] + i[0] : at(c->in, i);
            y[n] = n / count(out) * plane + place;
        }
    }
}

static void test_indices(void **state) {
    (void)state;
    for (int n = 0; n < 2 * CASES; n++) {
        Case c = whole(&cases[n / 2]);
        float x[MOST];
        double y[MOST] = {0};
        int out[3];
        char dims[60], type[80];
        out_sizes(&c, false, out);
        fill(x, c.channels * count(c.in), 4);
        expected_indices(&c, out, x, n % 2, y);
        Buf attrs = window_attrs(&c),
            g = with_x(dims_text(dims, sizeof dims, 1, c.channels, c.in, c.space));
        with_int(&attrs, "storage_order", n % 2);
        add_node(&g, "MaxPool", "x", "z,y", &attrs);
        add_output(&g, "y", ONNX_INT64, NULL);
        Imported m = import_ok(&g, 12);
        type_of(type, sizeof type, 1, c.channels, out, c.space);
        memcpy(type, "i64", 3);
        assert_result(&m, x, type, y);
        imported_free(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolutions), cmocka_unit_test(test_deep_kernels_are_refused),
        cmocka_unit_test(test_pools),        cmocka_unit_test(test_ceil_mode),
        cmocka_unit_test(test_global_pools), cmocka_unit_test(test_indices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
