/* png.c: PNG by libpng, from memory and to it. The only file that knows libpng. */
#include "runtime/runtime.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* All that must survive a longjmp lives here, outside of the function that calls setjmp: its own
 * locals that change behind that would not. */
typedef struct PngReader {
    png_structp png;
    png_infop info;
    const uint8_t *data;
    size_t size, at;
    rt_image *out;
    rt_error *err;
    png_bytep *rows;
    int code;
} PngReader;

static void on_error(png_structp png, png_const_charp message) {
    PngReader *r = png_get_error_ptr(png);
    r->code = rt_fail(r->err, RT_ERROR_FORMAT, "broken PNG: %s", message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static void on_read(png_structp png, png_bytep out, size_t n) {
    PngReader *r = png_get_io_ptr(png);
    if (n > r->size - r->at)
        png_error(png, "the file ends too early");
    memcpy(out, r->data + r->at, n);
    r->at += n;
}

/* libpng makes room for a whole chunk before it reads the first byte of it. */
static void check_chunks(const PngReader *r) {
    size_t at = 8; /* behind the signature */
    while (r->size >= at + 12) {
        size_t length = png_get_uint_32(r->data + at);
        if (length > r->size - at - 12)
            png_error(r->png, "the file ends too early");
        if (!memcmp(r->data + at + 4, "IEND", 4))
            return;
        at += length + 12;
    }
}

/* Has libpng turn whatever it finds into 8-bit RGB. */
static void set_transforms(png_structp png) {
    png_set_expand(png);
    png_set_scale_16(png);
    png_set_gray_to_rgb(png);
    png_set_strip_alpha(png);
    png_set_interlace_handling(png);
}

/* Texts, profiles and palettes of nobody's use: compressed, a file of some megabytes would have
 * gigabytes of them. */
static void skip_what_is_beside(png_structp png) {
    static const png_byte chunks[][5] = {"iCCP", "iTXt", "sPLT", "tEXt", "zTXt"};
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, chunks[0],
                                sizeof chunks / sizeof *chunks);
}

/* Before the pixels or behind them. */
static int orientation(const PngReader *r) {
#ifdef PNG_eXIf_SUPPORTED
    png_uint_32 n;
    png_bytep exif;
    if (png_get_eXIf_1(r->png, r->info, &n, &exif))
        return rt_exif_orientation(exif, n);
#endif
    (void)r;
    return 1;
}

/* Everything that may longjmp. */
static void decode(PngReader *r) {
    png_set_user_limits(r->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* rt_image_alloc has ours */
    png_set_read_fn(r->png, r, on_read);
    check_chunks(r);
    skip_what_is_beside(r->png);
    png_read_info(r->png, r->info);
    r->code = rt_image_alloc(r->out, png_get_image_width(r->png, r->info),
                             png_get_image_height(r->png, r->info), r->err);
    if (r->code != RT_OK)
        return;
    set_transforms(r->png);
    png_read_update_info(r->png, r->info);
    size_t stride = (size_t)r->out->width * 3;
    if (png_get_rowbytes(r->png, r->info) != stride)
        png_error(r->png, "not RGB after conversion");
    r->rows = calloc((size_t)r->out->height, sizeof *r->rows);
    if (!r->rows)
        png_error(r->png, "out of memory");
    for (int y = 0; y < r->out->height; y++)
        r->rows[y] = r->out->rgb + (size_t)y * stride;
    png_read_image(r->png, r->rows);
    png_read_end(r->png, r->info);
    r->out->orientation = orientation(r);
}

/* r->code says how it went. */
static void try_decode(PngReader *r) {
    if (setjmp(png_jmpbuf(r->png)) == 0)
        decode(r);
}

int rt_png_decode(rt_image *out, const uint8_t *data, size_t size, rt_error *err) {
    PngReader r = {.data = data, .size = size, .out = out, .err = err};
    *out = (rt_image){0};
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    r.info = r.png ? png_create_info_struct(r.png) : NULL;
    if (!r.info) {
        png_destroy_read_struct(&r.png, NULL, NULL);
        return rt_fail(err, RT_ERROR_IO, "out of memory");
    }
    try_decode(&r);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    free(r.rows);
    if (r.code != RT_OK)
        rt_image_free(out);
    return r.code;
}

/* `format` is libpng's of the pixels; a palette is of 256 colours. */
static int encode(uint8_t **data, size_t *size, const void *pixels, int width, int height,
                  png_uint_32 format, const rt_rgb *palette, rt_error *err) {
    png_image im = {.version = PNG_IMAGE_VERSION,
                    .width = (png_uint_32)width,
                    .height = (png_uint_32)height,
                    .format = format,
                    .colormap_entries = palette ? 256 : 0};
    png_alloc_size_t n = PNG_IMAGE_PNG_SIZE_MAX(im);
    *data = malloc(n);
    *size = 0;
    if (!*data)
        return rt_fail(err, RT_ERROR_IO, "out of memory");
    if (!png_image_write_to_memory(&im, *data, &n, 0, pixels, 0, palette)) {
        free(*data);
        *data = NULL;
        return rt_fail(err, RT_ERROR_IO, "no PNG can be made: %s", im.message);
    }
    *size = n;
    return RT_OK;
}

int rt_png_encode(uint8_t **data, size_t *size, const rt_image *im, rt_error *err) {
    return encode(data, size, im->rgb, im->width, im->height, PNG_FORMAT_RGB, NULL, err);
}

int rt_png_encode_mask(uint8_t **data, size_t *size, const uint8_t *mask, int width, int height,
                       const rt_rgb *palette, rt_error *err) {
    return encode(data, size, mask, width, height, PNG_FORMAT_RGB_COLORMAP, palette, err);
}
