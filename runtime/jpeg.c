/* jpeg.c: JPEG by libjpeg, from memory. The only file that knows libjpeg. */
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

#include <jerror.h>
#include <string.h>

/* A progressive file of a few kilobytes can hold thousands of scans over a huge picture. */
enum { MAX_SCANS = 200 };

/* All that must survive a longjmp lives here, outside of the function that calls setjmp: its own
 * locals that change behind that would not. */
typedef struct JpegReader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    rt_image *out;
    rt_error *err;
    int code;
} JpegReader;

_Noreturn static void fail(JpegReader *r, int code, const char *message) {
    r->code = rt_fail(r->err, code, "%s", message);
    longjmp(r->escape, 1);
}

static JpegReader *reader_of(j_common_ptr jpeg) {
    return jpeg->client_data;
}

static void on_error(j_common_ptr jpeg) {
    char message[JMSG_LENGTH_MAX] = "broken JPEG: ";
    size_t prefix = sizeof "broken JPEG: " - 1;
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    snprintf(message + prefix, sizeof message - prefix, "%.180s", text);
    fail(reader_of(jpeg), RT_ERROR_FORMAT, message);
}

/* libjpeg fills the rest of a truncated picture with grey and merely warns. Other warnings are
 * about bytes that do no harm. */
static void on_message(j_common_ptr jpeg, int level) {
    if (level < 0 && jpeg->err->msg_code == JWRN_JPEG_EOF)
        fail(reader_of(jpeg), RT_ERROR_FORMAT, "broken JPEG: the file ends too early");
}

static void on_progress(j_common_ptr jpeg) {
    JpegReader *r = reader_of(jpeg);
    if (r->jpeg.input_scan_number > MAX_SCANS)
        fail(r, RT_ERROR_UNSUPPORTED, "the JPEG has too many scans");
}

/* EXIF is in the first segment of this kind that begins so. */
static int orientation(const struct jpeg_decompress_struct *j) {
    static const char magic[6] = "Exif\0";
    for (const struct jpeg_marker_struct *m = j->marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length > sizeof magic &&
            !memcmp(m->data, magic, sizeof magic))
            return rt_exif_orientation(m->data + sizeof magic, m->data_length - sizeof magic);
    return 1;
}

/* x * y / 255, rounded. */
static int times_part(int x, int y) {
    int product = x * y + 128;
    return (product + (product >> 8)) >> 8;
}

/* Inks to light, as Pillow has it. Adobe's files hold 255 for no ink. */
static void rgb_from_cmyk(uint8_t *rgb, const uint8_t *cmyk, int n, bool adobe) {
    int flip = adobe ? 255 : 0;
    for (int i = 0; i < n; i++) {
        int light = 255 - (cmyk[4 * i + 3] ^ flip);
        for (int c = 0; c < 3; c++)
            rgb[3 * i + c] = (uint8_t)(light - times_part(cmyk[4 * i + c] ^ flip, light));
    }
}

static void read_rows(JpegReader *r) {
    struct jpeg_decompress_struct *j = &r->jpeg;
    bool cmyk = j->out_color_space == JCS_CMYK;
    int width = r->out->width;
    JSAMPARRAY inks =
        cmyk ? j->mem->alloc_sarray((j_common_ptr)j, JPOOL_IMAGE, 4 * (JDIMENSION)width, 1) : NULL;
    while (j->output_scanline < j->output_height) {
        JSAMPROW row = r->out->rgb + (size_t)j->output_scanline * (size_t)width * 3;
        jpeg_read_scanlines(j, cmyk ? inks : &row, 1);
        if (cmyk)
            rgb_from_cmyk(row, inks[0], width, j->saw_Adobe_marker);
    }
}

/* Everything that may longjmp. */
static void decode(JpegReader *r, const uint8_t *data, size_t size) {
    struct jpeg_decompress_struct *j = &r->jpeg;
    jpeg_create_decompress(j);
    j->progress = &r->progress;
    jpeg_mem_src(j, data, (unsigned long)size);
    jpeg_save_markers(j, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(j, TRUE);
    bool cmyk = j->jpeg_color_space == JCS_CMYK || j->jpeg_color_space == JCS_YCCK;
    r->code = rt_image_alloc(r->out, j->image_width, j->image_height, r->err);
    if (r->code != RT_OK)
        return;
    r->out->orientation = orientation(j);
    j->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(j);
    read_rows(r);
    jpeg_finish_decompress(j);
}

/* r->code says how it went. */
static void try_decode(JpegReader *r, const uint8_t *data, size_t size) {
    if (setjmp(r->escape) == 0)
        decode(r, data, size);
}

int rt_jpeg_decode(rt_image *out, const uint8_t *data, size_t size, rt_error *err) {
    JpegReader r = {.out = out, .err = err};
    *out = (rt_image){0};
    r.jpeg.err = jpeg_std_error(&r.errors);
    r.jpeg.client_data = &r;
    r.errors.error_exit = on_error;
    r.errors.emit_message = on_message;
    r.progress.progress_monitor = on_progress;
    try_decode(&r, data, size);
    jpeg_destroy_decompress(&r.jpeg);
    if (r.code != RT_OK)
        rt_image_free(out);
    return r.code;
}
