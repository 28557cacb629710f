/* ppm.c: binary PPM (P6) and PGM (P5), as netpbm's ppm(5) and pgm(5) define them. */
#include "runtime/runtime.h"

#include <string.h>

typedef struct Reader {
    const uint8_t *p, *end;
} Reader;

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Skips white space and comments, which go from # to the end of the line. */
static void skip_blank(Reader *r) {
    while (r->p < r->end && (is_space(*r->p) || *r->p == '#')) {
        if (*r->p == '#')
            while (r->p < r->end && *r->p != '\n')
                r->p++;
        else
            r->p++;
    }
}

static bool read_number(Reader *r, int *out) {
    int n = 0;
    skip_blank(r);
    const uint8_t *start = r->p;
    for (; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++) {
        n = n * 10 + (*r->p - '0');
        if (n > 65535)
            return false;
    }
    *out = n;
    return r->p > start;
}

/* One sample, scaled to 0..255 with rounding; samples over 8 bits are big endian. */
static uint8_t read_sample(Reader *r, int max) {
    int v = *r->p++;
    if (max > 255)
        v = v * 256 + *r->p++;
    if (max == 255)
        return (uint8_t)v;
    v = v > max ? max : v;
    return (uint8_t)((v * 255 + max / 2) / max);
}

static void read_pixels(Reader *r, rt_image *im, int channels, int max) {
    size_t pixels = (size_t)im->width * (size_t)im->height;
    for (size_t i = 0; i < pixels; i++) {
        uint8_t *rgb = im->rgb + 3 * i;
        rgb[0] = read_sample(r, max);
        rgb[1] = channels == 3 ? read_sample(r, max) : rgb[0];
        rgb[2] = channels == 3 ? read_sample(r, max) : rgb[0];
    }
}

int rt_ppm_decode(rt_image *out, const uint8_t *data, size_t size, rt_error *err) {
    bool known = size >= 2 && data[0] == 'P' && (data[1] == '5' || data[1] == '6');
    if (!known)
        return rt_fail(err, RT_ERROR_FORMAT, "it is no binary PPM or PGM");
    Reader r = {data + 2, data + size};
    int width, height, max, channels = data[1] == '6' ? 3 : 1;
    if (!read_number(&r, &width) || !read_number(&r, &height) || !read_number(&r, &max) ||
        max < 1 || r.p == r.end || !is_space(*r.p++))
        return rt_fail(err, RT_ERROR_FORMAT, "the PPM's header is broken");
    int64_t need = (int64_t)width * height * channels * (max > 255 ? 2 : 1);
    if (need > r.end - r.p)
        return rt_fail(err, RT_ERROR_FORMAT, "the PPM ends after %lld of %lld bytes of pixels",
                       (long long)(r.end - r.p), (long long)need);
    int code = rt_image_alloc(out, width, height, err);
    if (code == RT_OK)
        read_pixels(&r, out, channels, max);
    return code;
}
