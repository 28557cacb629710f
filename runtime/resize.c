/* resize.c: separable resampling with the arithmetic of Pillow's Image.resize, and what is cut out
 * of pictures before or after it. The work is done in fit.h. */
#include "runtime/fit.h"
#include "runtime/runtime.h"

#include <math.h>
#include <stdlib.h>

/* ---- filters --------------------------------------------------------------------------------- */

#define PI 3.14159265358979323846

static double sinc(double x) {
    return x == 0 ? 1 : sin(x * PI) / (x * PI);
}

#define FILTER(identity, name, radius, calls, ...)                                                 \
    static double name(double d) {                                                                 \
        double x = fabs(d);                                                                        \
        return __VA_ARGS__;                                                                        \
    }
#include "runtime/filters.def"
#undef FILTER

static const rt_kernel kernels[] = {
#define FILTER(identity, name, radius, calls, ...) [RT_##identity] = {name, radius},
#include "runtime/filters.def"
#undef FILTER
};

/* ---- pictures -------------------------------------------------------------------------------- */

static int scale(rt_image *out, const rt_image *in, const rt_geometry *g, rt_filter filter,
                 rt_error *err) {
    const rt_pixels pixels = {in->rgb, 3 * (ptrdiff_t)in->width};
    const rt_kernel *f = &kernels[filter];
    rt_axis x, y;
    int code = rt_image_alloc(out, g->width, g->height, err);
    if (code != RT_OK)
        return code;
    bool left = rt_axes(g, in->width, in->height, &x, &y);
    void *scratch = left ? malloc(rt_scale_bytes(&x, &y, f, g->pillow_13)) : NULL;
    if (scratch)
        rt_fit_pixels(out->rgb, &pixels, g, &x, &y, f, scratch);
    else
        rt_image_free(out);
    free(scratch);
    if (!left)
        return rt_fail(err, RT_ERROR_ARGUMENT, "a crop of %g leaves nothing of %d x %d", g->crop,
                       in->width, in->height);
    return scratch ? RT_OK : rt_fail(err, RT_ERROR_IO, "out of memory");
}

int rt_resize(rt_image *out, const rt_image *in, int width, int height, rt_filter filter,
              rt_order order, rt_error *err) {
    const rt_geometry g = {.width = width, .height = height, .pillow_13 = order == RT_PILLOW_13};
    return scale(out, in, &g, filter, err);
}

/* The colour that becomes nearest to zero, red first. */
void rt_fit_ground(const rt_preprocess *p, uint8_t ground[3]) {
    for (int c = 0; c < 3; c++) {
        double mean = p->letterbox ? nearbyint(p->mean[p->bgr ? 2 - c : c]) : 0;
        ground[c] = (uint8_t)(mean > 0 ? mean < 255 ? mean : 255 : 0);
    }
}

static rt_geometry geometry_of(const rt_preprocess *p) {
    rt_geometry g = {.width = p->width,
                     .height = p->height,
                     .crop = p->crop,
                     .resize = p->resize,
                     .letterbox = p->letterbox,
                     .pillow_13 = p->order == RT_PILLOW_13};
    rt_fit_ground(p, g.ground);
    return g;
}

rt_map rt_fit_map(const rt_image *in, const rt_preprocess *p) {
    const rt_geometry g = geometry_of(p);
    rt_axis x, y;
    rt_axes(&g, in->width, in->height, &x, &y);
    double across = (double)x.size / (double)x.scaled, down = (double)y.size / (double)y.scaled;
    return (rt_map){(double)x.from + (double)(x.skip - x.at) * across,
                    (double)y.from + (double)(y.skip - y.at) * down, across, down};
}

int rt_fit(rt_image *out, const rt_image *in, const rt_preprocess *p, rt_error *err) {
    const rt_geometry g = geometry_of(p);
    *out = (rt_image){0};
    if ((p->crop != 0) + (p->resize != 0) + p->letterbox > 1)
        return rt_fail(err, RT_ERROR_ARGUMENT, "crop, resize and letterbox exclude each other");
    if (p->crop != 0 && !(p->crop > 0 && p->crop <= 1))
        return rt_fail(err, RT_ERROR_ARGUMENT, "a crop of %g is no part of a picture", p->crop);
    if (p->resize < 0)
        return rt_fail(err, RT_ERROR_ARGUMENT, "a picture can't be resized to %d", p->resize);
    return scale(out, in, &g, p->filter, err);
}

/* Where a picture of at most so many pixels a side is scaled down, by how much at most, along the
 * columns: what is in proportion is rounded down, by less than one pixel. */
static double most_shrunk(const rt_preprocess *p, double side) {
    double smaller = p->width < p->height ? p->width : p->height;
    double least = p->letterbox    ? smaller / 2
                   : p->resize > 1 ? p->resize - 1
                   : p->resize     ? 0.5
                                   : p->height;
    return fmax(1, side / least);
}

/* That of rt_scale_bytes for the worst picture: an axis of n pixels has a table of at most n + what
 * it is made from, times the filter's diameter. */
size_t rt_fit_bytes(const rt_preprocess *p, int side) {
    double diameter = 2 * kernels[p->filter].radius, width = p->width;
    double across = 4 * width + diameter * fmax(width, side);
    double down = 4 + diameter * most_shrunk(p, side);
    double pixels = fmax(down * width, p->order == RT_PILLOW_13 ? side : 0);
    return (size_t)(sizeof(int32_t) * (across + down + 1) + 3 * pixels + 1);
}
