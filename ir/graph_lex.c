/* graph_lex.c: the tokens of the graph IR's text, and errors that show where they are. */
#include "ir/graph_internal.h"

#include <string.h>

/* ---- errors --------------------------------------------------------------------------------- */

static const char *position(Lexer *l, const char *at) {
    int line = 1;
    const char *line_start = l->start;
    for (const char *s = l->start; s < at; s++) {
        if (*s == '\n') {
            line++;
            line_start = s + 1;
        }
    }
    return arena_printf(&l->d->arena, "%s:%d:%d", l->where, line, (int)(at - line_start) + 1);
}

bool lex_error_at(Lexer *l, const char *at, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *message = arena_vprintf(&l->d->arena, fmt, ap);
    va_end(ap);
    diag_error(l->d, EXIT_BAD_MODEL, position(l, at), "%s", message);
    return false;
}

/* What stands at p, for "found": a word, a number, or a character. */
static const char *describe(Lexer *l) {
    enum { LONGEST = 40 };
    if (l->p == l->end)
        return "the end of the text";
    Span number = lex_number(l);
    size_t n = number.n > 0 ? number.n : 1;
    Buf b = {0};
    buf_puts(&b, "\"");
    char *text = arena_strndup(&l->d->arena, l->p, n < LONGEST ? n : LONGEST);
    buf_put_escaped(&b, text);
    buf_puts(&b, n < LONGEST ? "\"" : "...\"");
    const char *s = arena_strdup(&l->d->arena, b.data);
    buf_free(&b);
    return s;
}

bool lex_expected(Lexer *l, const char *what) {
    lex_skip_space(l);
    lex_error_at(l, l->p, "expected %s", what);
    diag_note(l->d, "found", "%s", describe(l));
    return false;
}

/* ---- space and punctuation ------------------------------------------------------------------ */

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void lex_skip_space(Lexer *l) {
    while (l->p < l->end && (is_space(*l->p) || *l->p == '#')) {
        if (*l->p == '#')
            lex_skip_line(l);
        else
            l->p++;
    }
}

void lex_skip_line(Lexer *l) {
    const char *newline = memchr(l->p, '\n', (size_t)(l->end - l->p));
    l->p = newline ? newline : l->end;
}

bool lex_at(Lexer *l, const char *punct) {
    lex_skip_space(l);
    size_t n = strlen(punct);
    return (size_t)(l->end - l->p) >= n && memcmp(l->p, punct, n) == 0;
}

/* Without the token the space stays too: a node's origin is a comment that is still to be read. */
bool lex_accept(Lexer *l, const char *punct) {
    const char *before = l->p;
    if (lex_at(l, punct)) {
        l->p += strlen(punct);
        return true;
    }
    l->p = before;
    return false;
}

bool lex_expect(Lexer *l, const char *punct, const char *what) {
    return lex_accept(l, punct) || lex_expected(l, what);
}

/* ---- words and names ------------------------------------------------------------------------ */

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool name_char_is_bare(char c) {
    return is_letter(c) || is_digit(c) || (c != '\0' && strchr("_.$-/", c));
}

bool span_is(Span s, const char *text) {
    return strlen(text) == s.n && memcmp(s.s, text, s.n) == 0;
}

Span lex_peek_word(Lexer *l) {
    lex_skip_space(l);
    const char *s = l->p;
    while (s < l->end && (is_letter(*s) || *s == '_' || (is_digit(*s) && s > l->p)))
        s++;
    return (Span){l->p, (size_t)(s - l->p)};
}

bool lex_word(Lexer *l, Span *out, const char *what) {
    *out = lex_peek_word(l);
    if (out->n == 0)
        return lex_expected(l, what);
    l->p += out->n;
    return true;
}

bool lex_name(Lexer *l, const char **out) {
    if (l->p < l->end && *l->p == '"')
        return lex_string(l, out);
    const char *s = l->p;
    while (s < l->end && name_char_is_bare(*s))
        s++;
    if (s == l->p)
        return lex_expected(l, "a name");
    *out = arena_strndup(l->arena, l->p, (size_t)(s - l->p));
    l->p = s;
    return true;
}

/* ---- strings -------------------------------------------------------------------------------- */

static int hex_digit(char c) {
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The character that the escape at p (behind the backslash) means, or -1; *n: its length. */
static int escaped_char(const char *p, const char *end, int *n) {
    static const char letters[] = "nrt\"\\", means[] = "\n\r\t\"\\";
    if (p == end)
        return -1;
    const char *simple = *p ? strchr(letters, *p) : NULL;
    *n = 1;
    if (simple)
        return means[simple - letters];
    if (*p != 'x' || end - p < 3 || hex_digit(p[1]) < 0 || hex_digit(p[2]) < 0)
        return -1;
    *n = 3;
    int c = hex_digit(p[1]) * 16 + hex_digit(p[2]);
    return c > 0 ? c : -1;
}

static bool string_chars(Lexer *l, Buf *b) {
    for (;;) {
        const char *at = l->p;
        if (at == l->end || *at == '\n' || *at == '\0')
            return lex_error_at(l, at, "expected \" at the end of the string");
        l->p++;
        if (*at == '"')
            return true;
        int c = (unsigned char)*at, n = 0;
        if (*at == '\\' && (c = escaped_char(l->p, l->end, &n)) < 0)
            return lex_error_at(l, at, "expected \\n, \\r, \\t, \\\", \\\\ or \\xNN");
        buf_putc(b, (char)c);
        l->p += n;
    }
}

bool lex_string(Lexer *l, const char **out) {
    Buf b = {0};
    bool ok = lex_expect(l, "\"", "a string") && string_chars(l, &b);
    *out = ok ? arena_strdup(l->arena, buf_str(&b)) : NULL;
    buf_free(&b);
    return ok;
}

/* ---- numbers -------------------------------------------------------------------------------- */

Span lex_number(Lexer *l) {
    lex_skip_space(l);
    const char *s = l->p;
    while (s < l->end && (is_letter(*s) || is_digit(*s) || (*s && strchr("_.+-:", *s))))
        s++;
    return (Span){l->p, (size_t)(s - l->p)};
}

bool lex_int(Lexer *l, int64_t *out, const char *what) {
    enum { LONGEST = 24 };
    lex_skip_space(l);
    const char *s = l->p;
    if (s < l->end && *s == '-')
        s++;
    while (s < l->end && is_digit(*s))
        s++;
    char text[LONGEST];
    size_t n = (size_t)(s - l->p);
    if (n >= LONGEST)
        return lex_error_at(l, l->p, "the integer doesn't fit in 64 bits");
    memcpy(text, l->p, n);
    text[n] = '\0';
    if (!parse_i64(text, out))
        return lex_expected(l, what);
    l->p = s;
    return true;
}

bool lex_float(Lexer *l, double *out, const char *what) {
    enum { LONGEST = 64 };
    Span s = lex_number(l);
    char text[LONGEST];
    if (s.n == 0 || s.n >= LONGEST)
        return lex_expected(l, what);
    memcpy(text, s.s, s.n);
    text[s.n] = '\0';
    if (!parse_f64(text, out))
        return lex_expected(l, what);
    l->p += s.n;
    return true;
}
