/* loop_scan.c: words, numbers, strings and types of the loop IR's text, and errors with their
 * places.
 *
 * There is no list of tokens: a cursor moves over the text, and each function takes what the
 * grammar wants next. */
#include "ir/loop_parse.h"

#include <string.h>

/* ---- errors --------------------------------------------------------------------------------- */

enum { MAX_SHOWN = 32 }; /* characters of the text that a message repeats */

static const char *position(Parser *ps, const char *at) {
    int line = 1, column = 1;
    for (const char *p = ps->text; p < at; p++) {
        column = *p == '\n' ? 1 : column + 1;
        line += *p == '\n';
    }
    return arena_printf(&ps->scratch, "%s:%d:%d", ps->where, line, column);
}

bool scan_fault(Parser *ps, const char *at, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *message = arena_vprintf(&ps->scratch, fmt, ap);
    va_end(ap);
    diag_error(ps->d, EXIT_BAD_MODEL, position(ps, at), "%s", message);
    return false;
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* The word, or the one character, at the cursor. */
static const char *found(Parser *ps) {
    if (ps->p == ps->end)
        return "the end of the text";
    Buf b = {0};
    const char *p = ps->p;
    buf_putc(&b, '"');
    do {
        char c[2] = {*p ? *p : '?', 0};
        buf_put_escaped(&b, c);
        p++;
    } while (p < ps->end && is_word(*ps->p) && is_word(*p) && p - ps->p < MAX_SHOWN);
    buf_putc(&b, '"');
    const char *s = arena_strdup(&ps->scratch, b.data);
    buf_free(&b);
    return s;
}

bool scan_expected(Parser *ps, const char *what) {
    return scan_fault(ps, ps->p, "expected %s, found %s", what, found(ps));
}

/* ---- words and numbers ---------------------------------------------------------------------- */

static void skip_line(Parser *ps) {
    while (ps->p < ps->end && *ps->p != '\n')
        ps->p++;
}

static void skip_blanks(Parser *ps) {
    while (ps->p < ps->end && (*ps->p == ' ' || *ps->p == '\t' || *ps->p == '\r'))
        ps->p++;
}

void scan_space(Parser *ps) {
    for (;;) {
        skip_blanks(ps);
        if (ps->p < ps->end && *ps->p == '\n')
            ps->p++;
        else if (ps->p < ps->end && *ps->p == '#')
            skip_line(ps);
        else
            return;
    }
}

/* Takes `s` where it comes next; words only as a whole. */
bool scan_accept(Parser *ps, const char *s) {
    scan_space(ps);
    size_t n = strlen(s);
    if ((size_t)(ps->end - ps->p) < n || memcmp(ps->p, s, n) != 0)
        return false;
    if (is_word(*s) && ps->p + n < ps->end && is_word(ps->p[n]))
        return false;
    ps->p += n;
    return true;
}

bool scan_expect(Parser *ps, const char *s) {
    return scan_accept(ps, s) || scan_expected(ps, arena_printf(&ps->scratch, "\"%s\"", s));
}

bool scan_next_is(Parser *ps, char c) {
    scan_space(ps);
    return ps->p < ps->end && *ps->p == c;
}

bool scan_next_is_word(Parser *ps) {
    scan_space(ps);
    return ps->p < ps->end && is_word(*ps->p) && !is_digit(*ps->p);
}

bool scan_next_is_number(Parser *ps) {
    scan_space(ps);
    return ps->p < ps->end && (is_digit(*ps->p) || *ps->p == '-');
}

static Text take_word(Parser *ps) {
    Text t = {ps->p, 0};
    while (ps->p < ps->end && is_word(*ps->p))
        ps->p++;
    t.n = (size_t)(ps->p - t.s);
    return t;
}

bool scan_word(Parser *ps, const char *what, Text *out) {
    if (!scan_next_is_word(ps))
        return scan_expected(ps, what);
    *out = take_word(ps);
    return true;
}

bool scan_option(Parser *ps, const char *what, Text *out) {
    scan_space(ps);
    *out = (Text){ps->p, 0};
    while (out->s + out->n < ps->end && (is_word(out->s[out->n]) || out->s[out->n] == '-'))
        out->n++;
    ps->p += out->n;
    return out->n || scan_expected(ps, what);
}

bool text_is(Text t, const char *s) {
    return strlen(s) == t.n && memcmp(s, t.s, t.n) == 0;
}

/* Digits only: "0..k" holds the number 0. */
bool scan_magnitude(Parser *ps, uint64_t *out) {
    const char *start = ps->p;
    uint64_t x = 0;
    if (ps->p == ps->end || !is_digit(*ps->p))
        return scan_expected(ps, "a number");
    for (; ps->p < ps->end && is_digit(*ps->p); ps->p++) {
        unsigned digit = (unsigned)(*ps->p - '0');
        if (x > (UINT64_MAX - digit) / 10)
            return scan_fault(ps, start, "the number passes 64 bits");
        x = x * 10 + digit;
    }
    *out = x;
    return true;
}

/* -x or x as an int64_t; false where it does not fit. */
bool with_sign(uint64_t x, bool negative, int64_t *out) {
    if (x > (uint64_t)INT64_MAX + negative)
        return false;
    *out = !negative ? (int64_t)x : x ? -(int64_t)(x - 1) - 1 : 0;
    return true;
}

bool scan_integer(Parser *ps, int64_t *out) {
    scan_space(ps);
    const char *start = ps->p;
    uint64_t x = 0;
    bool negative = scan_accept(ps, "-");
    if (!scan_magnitude(ps, &x))
        return false;
    return with_sign(x, negative, out) || scan_fault(ps, start, "the number passes 64 bits");
}

static bool hex_digit(char c, unsigned *out) {
    if (is_digit(c))
        *out = (unsigned)(c - '0');
    else if (c >= 'a' && c <= 'f')
        *out = (unsigned)(c - 'a') + 10;
    else
        return false;
    return true;
}

/* The characters of a decimal or hexadecimal float, inf or nan. */
bool scan_float(Parser *ps, double *out) {
    char s[64];
    size_t n = 0;
    scan_space(ps);
    const char *start = ps->p;
    for (; ps->p < ps->end && n < sizeof s - 1; ps->p++) {
        char c = *ps->p, before = n ? s[n - 1] : 'e';
        bool sign = c == '-' || c == '+';
        if (!is_word(c) && c != '.' && !(sign && strchr("eEpP", before)))
            break;
        s[n++] = c;
    }
    s[n] = 0;
    if (n && parse_f64(s, out))
        return true;
    ps->p = start;
    return scan_expected(ps, "a floating-point number");
}

bool scan_hash(Parser *ps, uint64_t *out) {
    unsigned digit;
    scan_space(ps);
    const char *start = ps->p;
    for (*out = 0; ps->p < ps->end && ps->p - start < 16 && hex_digit(*ps->p, &digit); ps->p++)
        *out = *out * 16 + digit;
    if (ps->p - start == 16)
        return true;
    ps->p = start;
    return scan_expected(ps, "16 hexadecimal digits");
}

/* ---- strings and names ---------------------------------------------------------------------- */

/* One character of a string, escapes as buf_put_escaped writes them. */
static bool take_char(Parser *ps, char *out) {
    unsigned high, low;
    size_t left = (size_t)(ps->end - ps->p);
    if (left == 0 || *ps->p == '\n' || *ps->p == 0)
        return false;
    *out = *ps->p++;
    if (*out != '\\')
        return true;
    if (left < 2)
        return false;
    *out = *ps->p++;
    if (*out == 'n')
        *out = '\n';
    if (*out != 'x')
        return *out == '\n' || *out == '"' || *out == '\\';
    if (left < 4 || !hex_digit(ps->p[0], &high) || !hex_digit(ps->p[1], &low))
        return false;
    ps->p += 2;
    *out = (char)(unsigned char)(high * 16 + low);
    return *out != 0;
}

/* A quoted string into the module's arena; NULL, and no error, where it is malformed. */
static const char *take_string(Parser *ps) {
    Buf b = {0};
    char c = 0;
    bool ok = ps->p < ps->end && *ps->p++ == '"';
    while (ok && ps->p < ps->end && *ps->p != '"') {
        ok = take_char(ps, &c);
        if (ok)
            buf_putc(&b, c);
    }
    ok = ok && ps->p < ps->end && *ps->p++ == '"';
    const char *s = ok ? arena_strdup(&ps->m->arena, buf_str(&b)) : NULL;
    buf_free(&b);
    return s;
}

bool scan_string(Parser *ps, const char **out) {
    scan_space(ps);
    const char *start = ps->p;
    *out = take_string(ps);
    if (*out)
        return true;
    ps->p = start;
    return scan_expected(ps, "a string in double quotes, on one line");
}

/* @name, %name, @"any name" */
bool scan_name(Parser *ps, const char *sigil, const char **out) {
    if (!scan_expect(ps, sigil))
        return false;
    if (ps->p < ps->end && *ps->p == '"')
        return scan_string(ps, out);
    const char *start = ps->p;
    while (ps->p < ps->end && (is_word(*ps->p) || *ps->p == '.'))
        ps->p++;
    if (ps->p == start)
        return scan_expected(ps, "a name");
    *out = arena_strndup(&ps->m->arena, start, (size_t)(ps->p - start));
    return true;
}

const char *scan_origin(Parser *ps) {
    skip_blanks(ps);
    if (ps->p == ps->end || *ps->p != '#')
        return NULL;
    ps->p++;
    skip_blanks(ps);
    const char *s = take_string(ps);
    skip_line(ps);
    return s;
}

/* ---- types ---------------------------------------------------------------------------------- */

bool scan_dtype(Parser *ps, DType *out) {
    Text t = {0};
    const char *start = (scan_space(ps), ps->p);
    if (!scan_word(ps, "an element type", &t))
        return false;
    if (dtype_parse(t.s, t.n, out))
        return true;
    ps->p = start;
    return scan_expected(ps, "an element type");
}

/* v16 */
static bool lanes(Parser *ps, int *out) {
    uint64_t n = 0;
    const char *start = ps->p;
    if (ps->p == ps->end || *ps->p++ != 'v' || !scan_magnitude(ps, &n))
        return false;
    if (n < 2 || n > MAX_LANES)
        return scan_fault(ps, start, "a vector has 2 to %d lanes", MAX_LANES);
    *out = (int)n;
    return true;
}

static bool next_is_lanes(Parser *ps) {
    return ps->end - ps->p >= 2 && ps->p[0] == 'v' && is_digit(ps->p[1]);
}

/* .v16 or nothing, after load, store and splat */
bool scan_lanes_suffix(Parser *ps, int *out) {
    *out = 1;
    if (ps->p == ps->end || *ps->p != '.')
        return true;
    ps->p++;
    return next_is_lanes(ps) ? lanes(ps, out) : scan_expected(ps, "a number of lanes, as in v16");
}

/* .f32 or .v16.f32, after const, convert and bitcast */
bool scan_type_suffix(Parser *ps, LType *out) {
    out->lanes = 1;
    if (!scan_expect(ps, "."))
        return false;
    if (next_is_lanes(ps) && (!lanes(ps, &out->lanes) || !scan_expect(ps, ".")))
        return false;
    return scan_dtype(ps, &out->dtype);
}
