/* labels.c: names of classes, from JSON or a text file. */
#include "runtime/runtime.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* No classifier has more; it bounds what {"4000000000": "x"} may cost. A byte of JSON can take 50
 * of memory. */
enum { MAX_LABELS = 1 << 20, MAX_FILE = 1 << 26, MAX_JSON = 1 << 22 };

static char *copy_text(const char *s, size_t n) {
    char *p = malloc(n + 1);
    if (p) {
        memcpy(p, s, n);
        p[n] = 0;
    }
    return p;
}

/* The table's capacity: the least power of two that holds n. */
static size_t capacity(size_t n) {
    size_t cap = n > 0;
    while (cap < n)
        cap *= 2;
    return cap;
}

static bool grow(rt_labels *l, size_t count) {
    if (capacity(count) > capacity(l->count)) {
        char **name = realloc(l->name, capacity(count) * sizeof *name);
        if (!name)
            return false;
        l->name = name;
    }
    memset(l->name + l->count, 0, (count - l->count) * sizeof *l->name);
    l->count = count;
    return true;
}

static int set_label(rt_labels *l, size_t index, const char *s, size_t n, rt_error *err) {
    if (index >= MAX_LABELS)
        return rt_fail(err, RT_ERROR_UNSUPPORTED, "class %zu is beyond the limit of %d labels",
                       index, (int)MAX_LABELS);
    if (index >= l->count && !grow(l, index + 1))
        return rt_fail(err, RT_ERROR_IO, "out of memory");
    if (l->name[index])
        return rt_fail(err, RT_ERROR_FORMAT, "class %zu has two labels", index);
    l->name[index] = copy_text(s, n);
    return l->name[index] ? RT_OK : rt_fail(err, RT_ERROR_IO, "out of memory");
}

/* A label is a string, or ["n01440764", "tench"] as Keras writes it. */
static int set_json(rt_labels *l, size_t index, const json_t *value, rt_error *err) {
    if (json_is_array(value) && json_array_size(value) > 0)
        value = json_array_get(value, json_array_size(value) - 1);
    if (!json_is_string(value))
        return rt_fail(err, RT_ERROR_FORMAT, "the label of class %zu is not a string", index);
    return set_label(l, index, json_string_value(value), json_string_length(value), err);
}

static int from_array(rt_labels *l, const json_t *root, rt_error *err) {
    int code = RT_OK;
    for (size_t i = 0; i < json_array_size(root) && code == RT_OK; i++)
        code = set_json(l, i, json_array_get(root, i), err);
    return code;
}

static int from_object(rt_labels *l, json_t *root, rt_error *err) {
    int code = RT_OK;
    for (void *it = json_object_iter(root); it && code == RT_OK;
         it = json_object_iter_next(root, it)) {
        const char *key = json_object_iter_key(it);
        char *end;
        unsigned long long index = strtoull(key, &end, 10);
        if (*key < '0' || *key > '9' || *end)
            return rt_fail(err, RT_ERROR_FORMAT, "the key \"%.40s\" is not a class number", key);
        code = set_json(l, index < MAX_LABELS ? (size_t)index : MAX_LABELS,
                        json_object_iter_value(it), err);
    }
    return code;
}

static int from_json(rt_labels *l, const char *s, size_t size, rt_error *err) {
    json_error_t error;
    if (size > MAX_JSON)
        return rt_fail(err, RT_ERROR_UNSUPPORTED, "labels in JSON of more than %d bytes",
                       (int)MAX_JSON);
    json_t *root = json_loadb(s, size, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return rt_fail(err, RT_ERROR_FORMAT, "line %d, column %d: %s", error.line, error.column,
                       error.text);
    int code = json_is_array(root) ? from_array(l, root, err) : from_object(l, root, err);
    json_decref(root);
    return code;
}

static int from_lines(rt_labels *l, const char *s, size_t size, rt_error *err) {
    const char *end = s + size;
    int code = RT_OK;
    for (size_t i = 0; s < end && code == RT_OK; i++) {
        const char *nl = memchr(s, '\n', (size_t)(end - s)), *stop = nl ? nl : end;
        size_t n = (size_t)(stop - s);
        if (n > 0 && s[n - 1] == '\r')
            n--;
        if (memchr(s, 0, n))
            return rt_fail(err, RT_ERROR_FORMAT, "this is no text: line %zu has a zero byte",
                           i + 1);
        code = set_label(l, i, s, n, err);
        s = nl ? nl + 1 : end;
    }
    return code;
}

int rt_labels_decode(rt_labels *out, const void *data, size_t size, rt_error *err) {
    const char *s = data, *p = s;
    *out = (rt_labels){0};
    while (p < s + size && memchr(" \t\r\n", *p, 4))
        p++;
    bool json = p < s + size && (*p == '[' || *p == '{');
    int code = json ? from_json(out, s, size, err) : from_lines(out, s, size, err);
    if (code == RT_OK && out->count == 0)
        code = rt_fail(err, RT_ERROR_FORMAT, "there is no label in it");
    if (code != RT_OK)
        rt_labels_free(out);
    return code;
}

int rt_labels_read(rt_labels *out, const char *path, rt_error *err) {
    uint8_t *data;
    size_t size;
    *out = (rt_labels){0};
    int code = rt_read_small(&data, &size, path, MAX_FILE, err);
    if (code != RT_OK)
        return code;
    code = rt_labels_decode(out, data, size, err);
    free(data);
    return code;
}

const char *rt_label(const rt_labels *l, size_t index) {
    return index < l->count && l->name[index] ? l->name[index] : "";
}

void rt_labels_free(rt_labels *l) {
    for (size_t i = 0; i < l->count; i++)
        free(l->name[i]);
    free(l->name);
    *l = (rt_labels){0};
}
