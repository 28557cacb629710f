/* jpeg.c: JPEG by libjpeg, from memory. The only file that knows libjpeg. */
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

#include <jerror.h>

/* A progressive file of a few kilobytes can hold thousands of scans over a huge picture. */
enum { MAX_SCANS = 200 };

/* All that must survive a longjmp lives here: locals that change after setjmp would not. */
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

/* Everything that may longjmp. */
static void decode(JpegReader *r, const uint8_t *data, size_t size) {
    struct jpeg_decompress_struct *j = &r->jpeg;
    jpeg_create_decompress(j);
    j->progress = &r->progress;
    jpeg_mem_src(j, data, (unsigned long)size);
    jpeg_read_header(j, TRUE);
    if (j->jpeg_color_space == JCS_CMYK || j->jpeg_color_space == JCS_YCCK)
        fail(r, RT_ERROR_UNSUPPORTED, "CMYK pictures are not read; convert it to RGB");
    r->code = rt_image_alloc(r->out, j->image_width, j->image_height, r->err);
    if (r->code != RT_OK)
        return;
    j->out_color_space = JCS_RGB;
    jpeg_start_decompress(j);
    while (j->output_scanline < j->output_height) {
        JSAMPROW row = r->out->rgb + (size_t)j->output_scanline * (size_t)r->out->width * 3;
        jpeg_read_scanlines(j, &row, 1);
    }
    jpeg_finish_decompress(j);
}

int rt_jpeg_decode(rt_image *out, const uint8_t *data, size_t size, rt_error *err) {
    JpegReader r = {.out = out, .err = err};
    *out = (rt_image){0};
    r.jpeg.err = jpeg_std_error(&r.errors);
    r.jpeg.client_data = &r;
    r.errors.error_exit = on_error;
    r.errors.emit_message = on_message;
    r.progress.progress_monitor = on_progress;
    if (setjmp(r.escape) == 0)
        decode(&r, data, size);
    jpeg_destroy_decompress(&r.jpeg);
    if (r.code != RT_OK)
        rt_image_free(out);
    return r.code;
}
