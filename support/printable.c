/* printable.c: control characters of names and labels must not drive the terminal. */
#include "support/printable.h"

/* Bytes of the control character at s; 0: none is there. */
static size_t control_length(const char *s) {
    const unsigned char *c = (const unsigned char *)s;
    if ((*c > 0 && *c < 32) || *c == 127)
        return 1;
    return c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0 ? 2 : 0;
}

void buf_put_printable(Buf *b, const char *s, int indent) {
    for (size_t n = 0; *s; s++) {
        n = n ? n : control_length(s);
        if (*s == '\n' && indent >= 0)
            buf_printf(b, "\n%*s", indent, "");
        else if (n)
            buf_printf(b, "\\x%02x", (unsigned)(unsigned char)*s);
        else
            buf_putc(b, *s);
        n -= n > 0;
    }
}

static bool is_printable(const char *s) {
    while (*s && !control_length(s))
        s++;
    return !*s;
}

const char *printable(Arena *a, const char *s) {
    Buf b = {0};
    if (is_printable(s))
        return s;
    buf_put_printable(&b, s, -1);
    s = arena_strdup(a, b.data);
    buf_free(&b);
    return s;
}
