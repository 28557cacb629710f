/* describe.c: parts of a model as text and as JSON. */
#include "driver/describe.h"

#include <string.h>

const char *short_origin(const char *origin, Arena *a) {
    int more = 0;
    for (const char *p = origin; *p; p++)
        more += *p == '+';
    if (!more)
        return origin;
    return arena_printf(a, "%.*s (+%d)", (int)strcspn(origin, "+"), origin, more);
}

json_t *json_dims(int rank, const int64_t *dims) {
    json_t *a = json_array();
    for (int i = 0; i < rank; i++)
        json_array_append_new(a, json_integer(dims[i]));
    return a;
}

json_t *json_text(const char *s) {
    json_t *t = json_string(s);
    if (t)
        return t;
    Buf b = {0};
    buf_put_escaped(&b, s);
    t = json_string(buf_str(&b));
    buf_free(&b);
    return t;
}
