/* npy.c: NumPy's .npy files (NEP 1; formats 1.0, 2.0, 3.0).
 *
 *     "\x93NUMPY"  major  minor  header length (u16 in 1.0, else u32)  header  elements
 *
 * The header is a Python dict literal with exactly the keys descr, fortran_order and shape. */
#include "runtime/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char MAGIC[] = "\x93NUMPY";
enum { MAGIC_SIZE = 6, MAX_HEADER = 1 << 16 };

/* ---- reading the header ---- */

/* A place in the header text; the text is not NUL-terminated. */
typedef struct Cursor {
    const char *p, *end;
} Cursor;

static void skip_space(Cursor *c) {
    while (c->p < c->end && memchr(" \t\r\n", *c->p, 4))
        c->p++;
}

static bool accept(Cursor *c, const char *token) {
    size_t n = strlen(token);
    skip_space(c);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, token, n) != 0)
        return false;
    c->p += n;
    return true;
}

/* A quoted string without escapes; false where it does not fit into `size` bytes. */
static bool accept_string(Cursor *c, char *out, size_t size) {
    skip_space(c);
    if (c->p == c->end || (*c->p != '\'' && *c->p != '"'))
        return false;
    char quote = *c->p++;
    size_t n = 0;
    for (; c->p < c->end && *c->p != quote; c->p++) {
        if (n + 1 >= size || *c->p == '\\')
            return false;
        out[n++] = *c->p;
    }
    out[n] = 0;
    return c->p < c->end && *c->p++ == quote;
}

/* A decimal number that int64_t holds; Python 2 wrote an L behind it. */
static bool accept_dim(Cursor *c, int64_t *out) {
    int64_t n = 0;
    skip_space(c);
    const char *start = c->p;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++) {
        int digit = *c->p - '0';
        if (n > (INT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    bool any = c->p > start;
    accept(c, "L");
    *out = n;
    return any;
}

static int parse_shape(Cursor *c, rt_array *a, rt_error *err) {
    if (!accept(c, "("))
        return rt_fail(err, RT_ERROR_FORMAT, "the shape in the header is not a tuple");
    a->rank = 0;
    while (!accept(c, ")")) {
        if (a->rank == RT_MAX_RANK)
            return rt_fail(err, RT_ERROR_UNSUPPORTED, "the array has more than %d dimensions",
                           RT_MAX_RANK);
        if (!accept_dim(c, &a->dim[a->rank++]))
            return rt_fail(err, RT_ERROR_FORMAT, "the shape in the header has a bad number");
        if (!accept(c, ",")) {
            if (!accept(c, ")"))
                return rt_fail(err, RT_ERROR_FORMAT, "the shape in the header does not end");
            break;
        }
    }
    return RT_OK;
}

static bool known_type(char kind, int itemsize) {
    switch (kind) {
    case 'f':
        return itemsize == 2 || itemsize == 4 || itemsize == 8;
    case 'i':
    case 'u':
        return itemsize == 1 || itemsize == 2 || itemsize == 4 || itemsize == 8;
    case 'b':
        return itemsize == 1;
    default:
        return false;
    }
}

static int parse_descr(Cursor *c, rt_array *a, rt_error *err) {
    char descr[16];
    if (!accept_string(c, descr, sizeof descr))
        return rt_fail(err, RT_ERROR_UNSUPPORTED, "the element type is not a plain one");
    if (strlen(descr) == 3 && known_type(descr[1], descr[2] - '0')) {
        a->kind = descr[1];
        a->itemsize = descr[2] - '0';
        if (descr[0] == '<' || (a->itemsize == 1 && strchr("|>=", descr[0])))
            return RT_OK;
        if (descr[0] == '>')
            return rt_fail(err, RT_ERROR_UNSUPPORTED,
                           "elements of type '%s' are big endian; save x.astype('<%s')", descr,
                           descr + 1);
    }
    return rt_fail(err, RT_ERROR_UNSUPPORTED,
                   "elements of type '%s' are not read; f2 f4 f8 i1..i8 u1..u8 b1 are", descr);
}

static int parse_order(Cursor *c, rt_error *err) {
    if (accept(c, "False"))
        return RT_OK;
    if (accept(c, "True"))
        return rt_fail(err, RT_ERROR_UNSUPPORTED,
                       "the array is in Fortran order; save np.ascontiguousarray(x)");
    return rt_fail(err, RT_ERROR_FORMAT, "fortran_order in the header is neither True nor False");
}

/* Which keys were seen: each must be there once. */
enum { KEY_DESCR = 1, KEY_ORDER = 2, KEY_SHAPE = 4, KEY_ALL = 7 };

static int parse_entry(Cursor *c, rt_array *a, int *seen, rt_error *err) {
    char key[16];
    int bit;
    if (!accept_string(c, key, sizeof key) || !accept(c, ":"))
        return rt_fail(err, RT_ERROR_FORMAT, "the header is not a dict of strings");
    bit = !strcmp(key, "descr")           ? KEY_DESCR
          : !strcmp(key, "fortran_order") ? KEY_ORDER
          : !strcmp(key, "shape")         ? KEY_SHAPE
                                          : 0;
    if (!bit || (*seen & bit))
        return rt_fail(err, RT_ERROR_FORMAT, "the header's key '%s' is unknown or comes twice",
                       key);
    *seen |= bit;
    return bit == KEY_DESCR   ? parse_descr(c, a, err)
           : bit == KEY_ORDER ? parse_order(c, err)
                              : parse_shape(c, a, err);
}

static int parse_header(Cursor *c, rt_array *a, rt_error *err) {
    int seen = 0;
    if (!accept(c, "{"))
        return rt_fail(err, RT_ERROR_FORMAT, "the header is not a dict");
    while (!accept(c, "}")) {
        int code = parse_entry(c, a, &seen, err);
        if (code != RT_OK)
            return code;
        if (!accept(c, ",")) {
            if (!accept(c, "}"))
                return rt_fail(err, RT_ERROR_FORMAT, "the header does not end");
            break;
        }
    }
    if (seen != KEY_ALL)
        return rt_fail(err, RT_ERROR_FORMAT, "the header lacks descr, fortran_order or shape");
    return RT_OK;
}

/* ---- whole files ---- */

/* Finds the header text and what comes behind it. */
static int split_file(const uint8_t *data, size_t size, Cursor *header, size_t *body,
                      rt_error *err) {
    if (size < MAGIC_SIZE + 2 || memcmp(data, MAGIC, MAGIC_SIZE) != 0)
        return rt_fail(err, RT_ERROR_FORMAT, "this is not a .npy file");
    int major = data[6];
    if (major < 1 || major > 3)
        return rt_fail(err, RT_ERROR_UNSUPPORTED, "its .npy format is %d.%d; 1.0 to 3.0 are read",
                       major, data[7]);
    size_t length_size = major == 1 ? 2 : 4, start = MAGIC_SIZE + 2 + length_size, length = 0;
    if (size < start)
        return rt_fail(err, RT_ERROR_FORMAT, "the file ends within its header");
    for (size_t i = 0; i < length_size; i++)
        length |= (size_t)data[8 + i] << (8 * i);
    if (length > MAX_HEADER || length > size - start)
        return rt_fail(err, RT_ERROR_FORMAT, "its header claims %zu bytes; the file has %zu",
                       length, size - start);
    header->p = (const char *)data + start;
    header->end = header->p + length;
    *body = start + length;
    return RT_OK;
}

/* Sets a->bytes; false on overflow. */
static bool count_bytes(rt_array *a) {
    size_t n = (size_t)a->itemsize;
    bool empty = false;
    for (int i = 0; i < a->rank; i++) {
        if (a->dim[i] == 0)
            empty = true;
        else if ((uint64_t)a->dim[i] > SIZE_MAX / n)
            return false;
        else
            n *= (size_t)a->dim[i];
    }
    a->bytes = empty ? 0 : n;
    return true;
}

static int read_header(rt_array *a, const uint8_t *data, size_t size, size_t *body, rt_error *err) {
    Cursor header = {0};
    int code = split_file(data, size, &header, body, err);
    if (code == RT_OK)
        code = parse_header(&header, a, err);
    if (code == RT_OK && !count_bytes(a))
        code = rt_fail(err, RT_ERROR_FORMAT, "its shape is larger than memory");
    return code;
}

static int decode(rt_array *a, const uint8_t *data, size_t size, rt_error *err) {
    size_t body = 0;
    int code = read_header(a, data, size, &body, err);
    if (code != RT_OK)
        return code;
    if (a->bytes != size - body)
        return rt_fail(err, RT_ERROR_FORMAT, "its shape needs %zu bytes of elements; it has %zu",
                       a->bytes, size - body);
    a->data = malloc(a->bytes ? a->bytes : 1);
    if (!a->data)
        return rt_fail(err, RT_ERROR_IO, "out of memory");
    memcpy(a->data, data + body, a->bytes);
    return RT_OK;
}

int rt_npy_decode(rt_array *out, const void *data, size_t size, rt_error *err) {
    rt_array a = {0};
    int code = decode(&a, data, size, err);
    *out = code == RT_OK ? a : (rt_array){0};
    return code;
}

int rt_npy_header(rt_array *out, const void *data, size_t size, rt_error *err) {
    rt_array a = {0};
    size_t body;
    int code = read_header(&a, data, size, &body, err);
    *out = code == RT_OK ? a : (rt_array){0};
    return code;
}

int rt_npy_read(rt_array *out, const char *path, rt_error *err) {
    uint8_t *data;
    size_t size;
    *out = (rt_array){0};
    int code = rt_read_file(&data, &size, path, err);
    if (code != RT_OK)
        return code;
    code = rt_npy_decode(out, data, size, err);
    free(data);
    return code;
}

/* Writes the header for a, padded with spaces so that the elements begin at a multiple of 64. */
static size_t write_header(char *out, size_t size, const rt_array *a) {
    enum { PREFIX = MAGIC_SIZE + 4 };
    memcpy(out, MAGIC, MAGIC_SIZE);
    out[6] = 1;
    out[7] = 0;
    size_t len = PREFIX;
    len += (size_t)snprintf(out + len, size - len,
                            "{'descr': '%c%c%d', 'fortran_order': False, 'shape': (",
                            a->itemsize == 1 ? '|' : '<', a->kind, a->itemsize);
    for (int i = 0; i < a->rank; i++)
        len += (size_t)snprintf(out + len, size - len, "%lld%s", (long long)a->dim[i],
                                i + 1 < a->rank ? ", "
                                : a->rank == 1  ? ","
                                                : "");
    len += (size_t)snprintf(out + len, size - len, "), }");
    while ((len + 1) % 64 != 0)
        out[len++] = ' ';
    out[len++] = '\n';
    out[8] = (char)((len - PREFIX) & 0xff);
    out[9] = (char)((len - PREFIX) >> 8);
    return len;
}

int rt_npy_encode(uint8_t **data, size_t *size, const rt_array *a, rt_error *err) {
    char header[512];
    rt_array counted = *a;
    if (a->rank < 0 || a->rank > RT_MAX_RANK || !known_type(a->kind, a->itemsize) ||
        !count_bytes(&counted) || counted.bytes != a->bytes)
        return rt_fail(err, RT_ERROR_ARGUMENT, "the array's type, shape and size don't fit");
    size_t n = write_header(header, sizeof header, a);
    uint8_t *p = malloc(n + a->bytes);
    if (!p)
        return rt_fail(err, RT_ERROR_IO, "out of memory");
    memcpy(p, header, n);
    if (a->bytes)
        memcpy(p + n, a->data, a->bytes);
    *data = p;
    *size = n + a->bytes;
    return RT_OK;
}

int rt_npy_write(const char *path, const rt_array *a, rt_error *err) {
    uint8_t *data;
    size_t size;
    int code = rt_npy_encode(&data, &size, a, err);
    if (code != RT_OK)
        return code;
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(data, 1, size, f) == size;
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok)
        code = rt_fail(err, RT_ERROR_IO, "%s", strerror(errno));
    free(data);
    return code;
}

void rt_array_free(rt_array *a) {
    free(a->data);
    *a = (rt_array){0};
}
