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

/* Twice the room for p, which is freed where there is none. */
static uint8_t *grow(uint8_t *p, size_t *cap) {
    uint8_t *grown = realloc(p, *cap *= 2);
    if (!grown)
        free(p);
    return grown;
}

/* Reads to the end of f; pipes have no size to ask for. */
static int read_all(uint8_t **data, size_t *size, FILE *f, size_t limit, rt_error *err) {
    size_t len = 0, cap = 1 << 16;
    uint8_t *p = malloc(cap);
    for (;;) {
        if (!p)
            return rt_fail(err, RT_ERROR_IO, "out of memory");
        len += fread(p + len, 1, cap - len, f);
        if (len < cap || len > limit)
            break;
        p = grow(p, &cap);
    }
    if (len <= limit && !ferror(f)) {
        *data = p;
        *size = len;
        return RT_OK;
    }
    int code = len > limit ? rt_fail(err, RT_ERROR_UNSUPPORTED, "it has more than %zu bytes", limit)
                           : rt_fail(err, RT_ERROR_IO, "%s", strerror(errno));
    free(p);
    return code;
}

int rt_read_small(uint8_t **data, size_t *size, const char *path, size_t limit, rt_error *err) {
    FILE *f = fopen(path, "rb");
    if (!f)
        return rt_fail(err, RT_ERROR_IO, "%s", strerror(errno));
    int code = read_all(data, size, f, limit, err);
    fclose(f);
    return code;
}

int rt_read_file(uint8_t **data, size_t *size, const char *path, rt_error *err) {
    return rt_read_small(data, size, path, RT_MAX_FILE, err);
}
