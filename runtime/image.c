/* image.c: pictures of any known kind, and their memory. */
#include "runtime/runtime.h"

#include <stdlib.h>
#include <string.h>

typedef int Decoder(rt_image *out, const uint8_t *data, size_t size, rt_error *err);

typedef struct Format {
    const char *magic;
    size_t size;
    Decoder *decode;
} Format;

static const Format formats[] = {
    {"\x89PNG\r\n\x1a\n", 8, rt_png_decode},
    {"\xff\xd8\xff", 3, rt_jpeg_decode},
    {"P6", 2, rt_ppm_decode},
    {"P5", 2, rt_ppm_decode},
};

static const Format *find_format(const void *data, size_t size) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (size >= formats[i].size && !memcmp(data, formats[i].magic, formats[i].size))
            return &formats[i];
    return NULL;
}

bool rt_image_is_known(const void *data, size_t size) {
    return find_format(data, size) != NULL;
}

int rt_image_decode(rt_image *out, const void *data, size_t size, rt_error *err) {
    const Format *f = find_format(data, size);
    *out = (rt_image){0};
    if (!f)
        return rt_fail(err, RT_ERROR_UNSUPPORTED,
                       "this is no picture that is read here: PNG, JPEG, binary PPM or PGM");
    int code = f->decode(out, data, size, err);
    if (code != RT_OK)
        rt_image_free(out);
    return code;
}

int rt_image_read(rt_image *out, const char *path, rt_error *err) {
    uint8_t *data;
    size_t size;
    *out = (rt_image){0};
    int code = rt_read_small(&data, &size, path, RT_MAX_PICTURE, err);
    if (code != RT_OK)
        return code;
    code = rt_image_decode(out, data, size, err);
    free(data);
    return code;
}

int rt_image_alloc(rt_image *out, int64_t width, int64_t height, rt_error *err) {
    *out = (rt_image){0};
    if (width < 1 || height < 1 || width > RT_MAX_SIDE || height > RT_MAX_SIDE ||
        width * height > RT_MAX_PIXELS)
        return rt_fail(err, RT_ERROR_UNSUPPORTED,
                       "a picture of %lld x %lld is empty or too large (%d a side, %d pixels)",
                       (long long)width, (long long)height, (int)RT_MAX_SIDE, (int)RT_MAX_PIXELS);
    out->rgb = malloc((size_t)(width * height) * 3);
    if (!out->rgb)
        return rt_fail(err, RT_ERROR_IO, "out of memory");
    out->width = (int)width;
    out->height = (int)height;
    return RT_OK;
}

void rt_image_free(rt_image *im) {
    free(im->rgb);
    *im = (rt_image){0};
}
