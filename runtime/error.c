/* error.c: how the runtime reports failures, and reading whole files. */
#include "runtime/runtime.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int rt_fail(rt_error *err, int code, const char *fmt, ...) {
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
    }
    return code;
}

/* Reads to the end of f; pipes have no size to ask for. */
static int read_all(uint8_t **data, size_t *size, FILE *f, rt_error *err) {
    size_t len = 0, cap = 1 << 16;
    uint8_t *p = malloc(cap);
    for (;;) {
        if (!p)
            return rt_fail(err, RT_ERROR_IO, "out of memory");
        len += fread(p + len, 1, cap - len, f);
        if (len < cap)
            break;
        cap *= 2;
        if (cap > RT_MAX_FILE) {
            free(p);
            return rt_fail(err, RT_ERROR_IO, "it has %zu MiB or more", RT_MAX_FILE >> 20);
        }
        uint8_t *grown = realloc(p, cap);
        if (!grown)
            free(p);
        p = grown;
    }
    if (ferror(f)) {
        int code = rt_fail(err, RT_ERROR_IO, "%s", strerror(errno));
        free(p);
        return code;
    }
    *data = p;
    *size = len;
    return RT_OK;
}

int rt_read_file(uint8_t **data, size_t *size, const char *path, rt_error *err) {
    FILE *f = fopen(path, "rb");
    if (!f)
        return rt_fail(err, RT_ERROR_IO, "%s", strerror(errno));
    int code = read_all(data, size, f, err);
    fclose(f);
    return code;
}
