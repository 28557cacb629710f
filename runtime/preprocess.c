/* preprocess.c: from a picture to a model's input tensor. */
#include "runtime/runtime.h"

#include <math.h>
#include <string.h>

int rt_crop(rt_image *out, const rt_image *in, int left, int top, int width, int height,
            rt_error *err) {
    if (left < 0 || top < 0 || width > in->width - left || height > in->height - top)
        return rt_fail(err, RT_ERROR_ARGUMENT, "a part of %d x %d at %d, %d is outside of %d x %d",
                       width, height, left, top, in->width, in->height);
    int code = rt_image_alloc(out, width, height, err);
    if (code != RT_OK)
        return code;
    for (int y = 0; y < height; y++)
        memcpy(out->rgb + (size_t)y * (size_t)width * 3,
               in->rgb + ((size_t)(top + y) * (size_t)in->width + (size_t)left) * 3,
               (size_t)width * 3);
    return RT_OK;
}

/* A centred square, a part of the shorter side, scaled to the tensor. The side is rounded down and
 * the offsets up, as in the preprocessing of the EfficientNet authors. */
static int crop_then_resize(rt_image *out, const rt_image *in, const rt_preprocess *p,
                            rt_error *err) {
    int shorter = in->width < in->height ? in->width : in->height;
    int side = (int)(shorter * p->crop);
    rt_image square;
    if (!(p->crop > 0 && p->crop <= 1) || side < 1)
        return rt_fail(err, RT_ERROR_ARGUMENT, "a crop of %g leaves nothing of %d x %d", p->crop,
                       in->width, in->height);
    int code = rt_crop(&square, in, (in->width - side + 1) / 2, (in->height - side + 1) / 2, side,
                       side, err);
    if (code != RT_OK)
        return code;
    code = rt_resize(out, &square, p->width, p->height, p->filter, p->order, err);
    rt_image_free(&square);
    return code;
}

/* Where a part of size n begins in the middle of `whole`: the half, rounded to even, as
 * torchvision's CenterCrop has it. */
static int centre(int whole, int n) {
    return (int)nearbyint((whole - n) / 2.0);
}

static int larger(int a, int b) {
    return a > b ? a : b;
}

/* A picture of width x height with `in` at left, top; `ground` is around it. */
static int on_ground(rt_image *out, const rt_image *in, int left, int top, int width, int height,
                     const uint8_t ground[3], rt_error *err) {
    int code = rt_image_alloc(out, width, height, err);
    if (code != RT_OK)
        return code;
    for (size_t i = 0; i < (size_t)width * (size_t)height; i++)
        memcpy(out->rgb + 3 * i, ground, 3);
    for (int y = 0; y < in->height; y++)
        memcpy(out->rgb + 3 * ((size_t)(top + y) * (size_t)width + (size_t)left),
               in->rgb + 3 * (size_t)y * (size_t)in->width, 3 * (size_t)in->width);
    return RT_OK;
}

int rt_crop_centre(rt_image *out, const rt_image *in, int width, int height, rt_error *err) {
    static const uint8_t black[3] = {0, 0, 0};
    if (in->width >= width && in->height >= height)
        return rt_crop(out, in, centre(in->width, width), centre(in->height, height), width, height,
                       err);
    int w = larger(in->width, width), h = larger(in->height, height);
    rt_image padded;
    int code = on_ground(&padded, in, (w - in->width) / 2, (h - in->height) / 2, w, h, black, err);
    if (code != RT_OK)
        return code;
    code = rt_crop(out, &padded, centre(w, width), centre(h, height), width, height, err);
    rt_image_free(&padded);
    return code;
}

/* The size of a picture whose shorter side becomes n and the longer one is in proportion, rounded
 * down, as torchvision's Resize has it. */
static void shorter_side_to(const rt_image *in, int64_t n, int *width, int *height) {
    int64_t w = in->width, h = in->height;
    *width = (int)(w <= h ? n : n * w / h);
    *height = (int)(h <= w ? n : n * h / w);
}

static int resize_then_crop(rt_image *out, const rt_image *in, const rt_preprocess *p,
                            rt_error *err) {
    int width, height;
    rt_image scaled;
    shorter_side_to(in, p->resize, &width, &height);
    int code = rt_resize(&scaled, in, width, height, p->filter, p->order, err);
    if (code != RT_OK)
        return code;
    code = rt_crop_centre(out, &scaled, p->width, p->height, err);
    rt_image_free(&scaled);
    return code;
}

/* As large as it fits in, rounded down. */
static void letterbox_size(const rt_image *in, const rt_preprocess *p, int *width, int *height) {
    double x = (double)p->width / in->width, y = (double)p->height / in->height;
    double scale = x < y ? x : y;
    *width = larger((int)(in->width * scale), 1);
    *height = larger((int)(in->height * scale), 1);
}

/* At the top left, in the colour that becomes nearest to zero. */
static int letterbox(rt_image *out, const rt_image *in, const rt_preprocess *p, rt_error *err) {
    int width, height;
    uint8_t ground[3];
    rt_image scaled;
    for (int c = 0; c < 3; c++) {
        double mean = nearbyint(p->mean[p->bgr ? 2 - c : c]);
        ground[c] = (uint8_t)(mean > 0 ? mean < 255 ? mean : 255 : 0);
    }
    letterbox_size(in, p, &width, &height);
    int code = rt_resize(&scaled, in, width, height, p->filter, p->order, err);
    if (code != RT_OK)
        return code;
    code = on_ground(out, &scaled, 0, 0, p->width, p->height, ground, err);
    rt_image_free(&scaled);
    return code;
}

rt_map rt_fit_map(const rt_image *in, const rt_preprocess *p) {
    int w, h, shorter = in->width < in->height ? in->width : in->height;
    if (p->crop != 0) {
        int side = (int)(shorter * p->crop);
        return (rt_map){(in->width - side + 1) / 2, (in->height - side + 1) / 2,
                        (double)side / p->width, (double)side / p->height};
    }
    if (p->resize != 0) {
        shorter_side_to(in, p->resize, &w, &h);
        double x = (double)in->width / w, y = (double)in->height / h;
        return (rt_map){centre(w, p->width) * x, centre(h, p->height) * y, x, y};
    }
    w = p->width;
    h = p->height;
    if (p->letterbox)
        letterbox_size(in, p, &w, &h);
    return (rt_map){0, 0, (double)in->width / w, (double)in->height / h};
}

int rt_fit(rt_image *out, const rt_image *in, const rt_preprocess *p, rt_error *err) {
    *out = (rt_image){0};
    if ((p->crop != 0) + (p->resize != 0) + p->letterbox > 1)
        return rt_fail(err, RT_ERROR_ARGUMENT, "crop, resize and letterbox exclude each other");
    if (p->letterbox)
        return letterbox(out, in, p, err);
    if (p->crop != 0)
        return crop_then_resize(out, in, p, err);
    if (p->resize != 0)
        return resize_then_crop(out, in, p, err);
    return rt_resize(out, in, p->width, p->height, p->filter, p->order, err);
}

void rt_normalise(float *out, const rt_image *in, const rt_preprocess *p) {
    size_t pixels = (size_t)in->width * (size_t)in->height;
    for (size_t c = 0; c < 3; c++) {
        double mean = p->mean[c], std = p->std[c] != 0 ? p->std[c] : 1;
        const uint8_t *from = in->rgb + (p->bgr ? 2 - c : c);
        float *to = p->nhwc ? out + c : out + c * pixels;
        size_t step = p->nhwc ? 3 : 1;
        for (size_t i = 0; i < pixels; i++)
            to[i * step] = (float)((from[3 * i] - mean) / std);
    }
}

int rt_preprocess_image(float *out, const rt_image *in, const rt_preprocess *p, rt_error *err) {
    rt_image fitted;
    int code = rt_fit(&fitted, in, p, err);
    if (code != RT_OK)
        return code;
    rt_normalise(out, &fitted, p);
    rt_image_free(&fitted);
    return RT_OK;
}
