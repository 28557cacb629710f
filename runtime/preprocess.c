/* preprocess.c: from a picture to a model's input tensor. */
#include "runtime/runtime.h"

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
