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
    code = rt_resize(out, &square, p->width, p->height, p->filter, err);
    rt_image_free(&square);
    return code;
}

/* Where a part of size n begins in the middle of `whole`: the half, rounded to even, as
 * torchvision's CenterCrop has it. */
static int centre(int whole, int n) {
    return (int)nearbyint((whole - n) / 2.0);
}

/* The shorter side scaled to p->resize, the longer one in proportion (rounded down, as
 * torchvision's Resize does), then the centre. */
static int resize_then_crop(rt_image *out, const rt_image *in, const rt_preprocess *p,
                            rt_error *err) {
    int64_t w = in->width, h = in->height, n = p->resize;
    int width = (int)(w <= h ? n : n * w / h), height = (int)(h <= w ? n : n * h / w);
    rt_image scaled;
    if (width < p->width || height < p->height)
        return rt_fail(err, RT_ERROR_ARGUMENT,
                       "after --resize the picture is %d x %d, smaller than the input of %d x %d",
                       width, height, p->width, p->height);
    int code = rt_resize(&scaled, in, width, height, p->filter, err);
    if (code != RT_OK)
        return code;
    code = rt_crop(out, &scaled, centre(width, p->width), centre(height, p->height), p->width,
                   p->height, err);
    rt_image_free(&scaled);
    return code;
}

int rt_fit(rt_image *out, const rt_image *in, const rt_preprocess *p, rt_error *err) {
    *out = (rt_image){0};
    if (p->crop != 0 && p->resize != 0)
        return rt_fail(err, RT_ERROR_ARGUMENT, "crop and resize exclude each other");
    if (p->crop != 0)
        return crop_then_resize(out, in, p, err);
    if (p->resize != 0)
        return resize_then_crop(out, in, p, err);
    return rt_resize(out, in, p->width, p->height, p->filter, err);
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
