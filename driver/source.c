/* source.c: bytes of a file or of standard input. */
#include "driver/driver.h"

#include <errno.h>
#include <string.h>

/* What standard input may hold: IR text with inline constants, or an array. */
static const size_t max_input = (size_t)1 << 32;

static bool read_stdin(Source *s, Diag *d) {
    char chunk[1 << 16];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, stdin)) > 0) {
        if (s->text.len + n > max_input) {
            diag_error(d, EXIT_IO, "<stdin>", "more than %zu bytes on standard input", max_input);
            return false;
        }
        buf_write(&s->text, chunk, n);
    }
    if (ferror(stdin)) {
        diag_error(d, EXIT_IO, "<stdin>", "standard input can't be read: %s", strerror(errno));
        return false;
    }
    s->data = (const uint8_t *)buf_str(&s->text);
    s->size = s->text.len;
    return true;
}

bool source_open(Source *s, const char *path, Diag *d) {
    *s = (Source){0};
    if (!strcmp(path, "-")) {
        bool ok = read_stdin(s, d);
        if (!ok)
            source_close(s);
        return ok;
    }
    if (!file_map(&s->file, path, d))
        return false;
    s->data = s->file.data ? s->file.data : (const uint8_t *)"";
    s->size = s->file.size;
    return true;
}

void source_close(Source *s) {
    if (s->file.data)
        file_unmap(&s->file);
    buf_free(&s->text);
    *s = (Source){0};
}
