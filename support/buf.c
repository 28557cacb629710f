/* buf.c: text that grows. */
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

/* Makes room for `more` bytes and a NUL behind them. */
static void reserve(Buf *b, size_t more) {
    if (more > PTRDIFF_MAX - 1 - b->len)
        die_no_memory(more);
    size_t need = b->len + more + 1;
    if (need <= b->cap)
        return;
    size_t cap = b->cap < 64 ? 64 : b->cap;
    while (cap < need)
        cap = cap <= PTRDIFF_MAX / 2 ? cap * 2 : need;
    char *data = realloc(b->data, cap);
    if (!data)
        die_no_memory(cap);
    b->data = data;
    b->cap = cap;
}

void buf_write(Buf *b, const void *data, size_t size) {
    reserve(b, size);
    if (size)
        memcpy(b->data + b->len, data, size);
    b->len += size;
    b->data[b->len] = '\0';
}

void *buf_extend(Buf *b, size_t size) {
    reserve(b, size);
    char *start = b->data + b->len;
    memset(start, 0, size + 1);
    b->len += size;
    return start;
}

void buf_cut(Buf *b, size_t size) {
    ensure(size <= b->len && b->data);
    b->len = size;
    b->cap = size + 1;
    b->data = realloc(b->data, b->cap);
    if (!b->data)
        die_no_memory(b->cap);
    b->data[size] = '\0';
}

void buf_putc(Buf *b, char c) {
    buf_write(b, &c, 1);
}

void buf_puts(Buf *b, const char *s) {
    buf_write(b, s, strlen(s));
}

void buf_vprintf(Buf *b, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    ensure(len >= 0);
    reserve(b, (size_t)len);
    vsnprintf(b->data + b->len, (size_t)len + 1, fmt, again);
    b->len += (size_t)len;
    va_end(again);
}

void buf_printf(Buf *b, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

const char *buf_str(Buf *b) {
    return b->data ? b->data : "";
}

void buf_free(Buf *b) {
    free(b->data);
    *b = (Buf){0};
}

void buf_put_escaped(Buf *b, const char *s) {
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '\n')
            buf_puts(b, "\\n");
        else if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c < 32 || c > 126)
            buf_printf(b, "\\x%02x", (unsigned)c);
        else
            buf_putc(b, *s);
    }
}

void buf_put_name(Buf *b, char sigil, const char *name, bool bare) {
    buf_putc(b, sigil);
    if (bare) {
        buf_puts(b, name);
        return;
    }
    buf_putc(b, '"');
    buf_put_escaped(b, name);
    buf_putc(b, '"');
}
