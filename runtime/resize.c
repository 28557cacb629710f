/* resize.c: separable resampling with the arithmetic of Pillow's Image.resize, so that a model sees
 * the same bytes as in training.
 *
 * For each output pixel a filter is centred over the input; when shrinking by a ratio it is
 * stretched by that ratio. The weights sum to 1 and are rounded to 22 fraction bits. One axis is
 * filtered into 8-bit pixels, then the other one. */
#include "runtime/runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* 8 bits of result and 2 bits of room for the negative lobes leave 22 of 32. */
enum { FRACTION_BITS = 32 - 8 - 2 };

static double bilinear(double x) {
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

/* Keys 1981, "Cubic convolution interpolation", with a = -1/2. The form of each polynomial decides
 * about its last bit, and so it is Pillow's. */
static double bicubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

static double box(double x) {
    return x > -0.5 && x <= 0.5;
}

#define PI 3.14159265358979323846

static double sinc(double x) {
    return x == 0 ? 1 : sin(x * PI) / (x * PI);
}

/* With Pillow's float constants. */
static double hamming(double x) {
    x = fabs(x);
    return x < 1 ? sinc(x) * (0.54F + 0.46F * cos(x * PI)) : 0;
}

static double lanczos(double x) {
    return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

typedef struct Filter {
    double (*at)(double x);
    double radius;
} Filter;

static const Filter filters[] = {
    [RT_BILINEAR] = {bilinear, 1}, [RT_BICUBIC] = {bicubic, 2}, [RT_BOX] = {box, 0.5},
    [RT_HAMMING] = {hamming, 1},   [RT_LANCZOS] = {lanczos, 3},
};

/* The weights of one axis: output i is the sum of weight[i * size + k] * input[first[i] + k] for
 * k < count[i]. */
typedef struct Taps {
    int size;
    int *first, *count;
    int32_t *weight;
    double *exact; /* scratch for one output */
} Taps;

static void taps_free(Taps *t) {
    free(t->first);
    free(t->count);
    free(t->weight);
    free(t->exact);
}

static bool taps_alloc(Taps *t, int out, double support) {
    t->size = (int)ceil(support) * 2 + 1;
    t->first = calloc((size_t)out, sizeof *t->first);
    t->count = calloc((size_t)out, sizeof *t->count);
    t->weight = calloc((size_t)out * (size_t)t->size, sizeof *t->weight);
    t->exact = calloc((size_t)t->size, sizeof *t->exact);
    return t->first && t->count && t->weight && t->exact;
}

static int32_t to_fixed(double w) {
    double scaled = w * (1 << FRACTION_BITS);
    return (int32_t)(w < 0 ? scaled - 0.5 : scaled + 0.5);
}

static bool taps_init(Taps *t, int in, int out, const Filter *f) {
    double scale = (double)in / out, stretch = scale < 1 ? 1 : scale;
    double support = f->radius * stretch;
    if (!taps_alloc(t, out, support))
        return false;
    for (int i = 0; i < out; i++) {
        double centre = (i + 0.5) * scale, sum = 0;
        int first = (int)(centre - support + 0.5), last = (int)(centre + support + 0.5);
        first = first < 0 ? 0 : first;
        last = last > in ? in : last;
        for (int k = 0; k < last - first; k++) {
            t->exact[k] = f->at((k + first - centre + 0.5) * (1 / stretch));
            sum += t->exact[k];
        }
        t->first[i] = first;
        t->count[i] = last - first;
        for (int k = 0; k < last - first; k++)
            t->weight[i * t->size + k] = to_fixed(sum != 0 ? t->exact[k] / sum : t->exact[k]);
    }
    return true;
}

static uint8_t to_byte(int32_t sum) {
    int32_t v = sum < 0 ? 0 : sum >> FRACTION_BITS;
    return (uint8_t)(v > 255 ? 255 : v);
}

/* One output byte from samples that are `step` bytes apart. */
static uint8_t filter_byte(const uint8_t *in, size_t step, const int32_t *weight, int count) {
    int32_t sum = 1 << (FRACTION_BITS - 1);
    for (int k = 0; k < count; k++)
        sum += in[(size_t)k * step] * weight[k];
    return to_byte(sum);
}

static void filter_rows(rt_image *out, const rt_image *in, const Taps *t) {
    for (int y = 0; y < out->height; y++) {
        const uint8_t *row = in->rgb + (size_t)y * (size_t)in->width * 3;
        uint8_t *to = out->rgb + (size_t)y * (size_t)out->width * 3;
        for (int x = 0; x < out->width; x++)
            for (int c = 0; c < 3; c++)
                *to++ =
                    filter_byte(row + t->first[x] * 3 + c, 3, t->weight + x * t->size, t->count[x]);
    }
}

static void filter_columns(rt_image *out, const rt_image *in, const Taps *t) {
    size_t stride = (size_t)in->width * 3;
    for (int y = 0; y < out->height; y++) {
        const uint8_t *from = in->rgb + (size_t)t->first[y] * stride;
        uint8_t *to = out->rgb + (size_t)y * stride;
        for (size_t i = 0; i < stride; i++)
            to[i] = filter_byte(from + i, stride, t->weight + y * t->size, t->count[y]);
    }
}

typedef void Pass(rt_image *out, const rt_image *in, const Taps *t);

/* Filters along one axis, from n_in to n_out pixels; an axis that keeps its size is copied. */
static int resize_axis(rt_image *out, const rt_image *in, int width, int height, int n_in,
                       int n_out, Pass *pass, const Filter *f, rt_error *err) {
    Taps t = {0};
    int code = rt_image_alloc(out, width, height, err);
    if (code != RT_OK)
        return code;
    if (n_in == n_out)
        memcpy(out->rgb, in->rgb, (size_t)width * (size_t)height * 3);
    else if (taps_init(&t, n_in, n_out, f))
        pass(out, in, &t);
    else
        code = rt_fail(err, RT_ERROR_IO, "out of memory");
    taps_free(&t);
    if (code != RT_OK)
        rt_image_free(out);
    return code;
}

static int resize_rows(rt_image *out, const rt_image *in, int width, const Filter *f,
                       rt_error *err) {
    return resize_axis(out, in, width, in->height, in->width, width, filter_rows, f, err);
}

static int resize_columns(rt_image *out, const rt_image *in, int height, const Filter *f,
                          rt_error *err) {
    return resize_axis(out, in, in->width, height, in->height, height, filter_columns, f, err);
}

int rt_resize(rt_image *out, const rt_image *in, int width, int height, rt_filter filter,
              rt_order order, rt_error *err) {
    const Filter *f = &filters[filter];
    rt_image middle;
    *out = (rt_image){0};
    int down = in->height - height, aside = in->width - width;
    bool columns_first = order == RT_PILLOW_13 && down > 0 && down > 2 * aside;
    int code = columns_first ? resize_columns(&middle, in, height, f, err)
                             : resize_rows(&middle, in, width, f, err);
    if (code != RT_OK)
        return code;
    code = columns_first ? resize_rows(out, &middle, width, f, err)
                         : resize_columns(out, &middle, height, f, err);
    rt_image_free(&middle);
    return code;
}
