/* exif.c: how a camera was held, which photographs say beside their pixels (EXIF 2.3, section
 * 4.6.4: the tag Orientation of the first image), and turning them. */
#include "runtime/runtime.h"

#include <string.h>

/* A TIFF file in memory. */
typedef struct Tiff {
    const uint8_t *p;
    size_t size;
    bool big; /* its byte order */
} Tiff;

/* Bytes behind the end are 0. */
static uint32_t read_at(const Tiff *t, uint64_t at, int bytes) {
    uint32_t x = 0;
    for (int i = 0; i < bytes; i++) {
        uint64_t k = at + (uint64_t)(t->big ? i : bytes - 1 - i);
        x = x << 8 | (k < t->size ? t->p[k] : 0);
    }
    return x;
}

int rt_exif_orientation(const uint8_t *data, size_t size) {
    enum { MAGIC = 42, ENTRY = 12, ORIENTATION = 0x112, SHORT = 3 };
    Tiff t = {data, size, size > 0 && data[0] == 'M'};
    if (size < 8 || data[0] != data[1] || (data[0] != 'M' && data[0] != 'I') ||
        read_at(&t, 2, 2) != MAGIC)
        return 1;
    uint64_t at = read_at(&t, 4, 4);
    uint32_t n = read_at(&t, at, 2);
    for (at += 2; n > 0 && at + ENTRY <= size; n--, at += ENTRY) {
        uint32_t x = read_at(&t, at + 8, 2);
        if (read_at(&t, at, 2) == ORIENTATION)
            return read_at(&t, at + 2, 2) == SHORT && x >= 1 && x <= 8 ? (int)x : 1;
    }
    return 1;
}

int rt_image_turn(rt_image *im, rt_error *err) {
    int how = im->orientation;
    bool swap = how >= 5, flip_x = how == 2 || how == 3 || how == 7 || how == 8;
    bool flip_y = how == 3 || how == 4 || how == 6 || how == 7;
    rt_image out;
    if (how <= 1)
        return RT_OK;
    int code =
        rt_image_alloc(&out, swap ? im->height : im->width, swap ? im->width : im->height, err);
    if (code != RT_OK)
        return code;
    for (int y = 0; y < out.height; y++)
        for (int x = 0; x < out.width; x++) {
            int from_x = swap ? y : x, from_y = swap ? x : y;
            from_x = flip_x ? im->width - 1 - from_x : from_x;
            from_y = flip_y ? im->height - 1 - from_y : from_y;
            memcpy(out.rgb + 3 * ((size_t)y * (size_t)out.width + (size_t)x),
                   im->rgb + 3 * ((size_t)from_y * (size_t)im->width + (size_t)from_x), 3);
        }
    rt_image_free(im);
    *im = out;
    return RT_OK;
}
