/* onnx_writer.h: writes ONNX files byte by byte, for tests: sound ones and broken ones. */
#ifndef EFFNETC_TESTS_ONNX_WRITER_H
#define EFFNETC_TESTS_ONNX_WRITER_H

#include <stdlib.h>
#include <string.h>

#include "support/support.h"

/* ---- protobuf -------------------------------------------------------------------------------- */

static inline void put_varint(Buf *b, uint64_t x) {
    for (; x >= 0x80; x >>= 7)
        buf_putc(b, (char)(x | 0x80));
    buf_putc(b, (char)x);
}

static inline void put_tag(Buf *b, unsigned field, unsigned wire) {
    put_varint(b, (uint64_t)field << 3 | wire);
}

static inline void put_int(Buf *b, unsigned field, int64_t x) {
    put_tag(b, field, 0);
    put_varint(b, (uint64_t)x);
}

static inline void put_float(Buf *b, unsigned field, float x) {
    put_tag(b, field, 5);
    buf_write(b, &x, sizeof x);
}

static inline void put_bytes(Buf *b, unsigned field, const void *data, size_t size) {
    put_tag(b, field, 2);
    put_varint(b, size);
    buf_write(b, data, size);
}

static inline void put_string(Buf *b, unsigned field, const char *s) {
    put_bytes(b, field, s, strlen(s));
}

/* Writes m as a field of b and frees it. */
static inline void put_message(Buf *b, unsigned field, Buf *m) {
    put_bytes(b, field, buf_str(m), m->len);
    buf_free(m);
    *m = (Buf){0};
}

/* ---- ONNX: the fields of onnx.proto ---------------------------------------------------------- */

enum { ONNX_FLOAT = 1, ONNX_UINT8 = 2, ONNX_INT32 = 6, ONNX_INT64 = 7, ONNX_BOOL = 9 };

/* Dims are a text: "1,3,8,8", "" for a scalar, letters for a symbolic one ("batch,3"). */
static inline const char *next_dim(const char *s, char *word, size_t size) {
    size_t n = strcspn(s, ",");
    snprintf(word, size, "%.*s", (int)n, s);
    return s + n + (s[n] == ',');
}

static inline Buf tensor_message(const char *name, int dtype, const char *dims) {
    Buf t = {0};
    char word[64];
    for (const char *s = dims; *s;) {
        s = next_dim(s, word, sizeof word);
        put_int(&t, 1, strtoll(word, NULL, 10));
    }
    put_int(&t, 2, dtype);
    put_string(&t, 8, name);
    return t;
}

static inline Buf raw_tensor(const char *name, int dtype, const char *dims, const void *data,
                             size_t size) {
    Buf t = tensor_message(name, dtype, dims);
    put_bytes(&t, 9, data, size);
    return t;
}

/* A ValueInfoProto; dims NULL: no shape. */
static inline Buf value_info(const char *name, int dtype, const char *dims) {
    Buf v = {0}, type = {0}, tensor = {0}, shape = {0};
    char word[64];
    for (const char *s = dims ? dims : ""; *s;) {
        Buf dim = {0};
        s = next_dim(s, word, sizeof word);
        if (word[0] == '-' || (word[0] >= '0' && word[0] <= '9'))
            put_int(&dim, 1, strtoll(word, NULL, 10));
        else if (word[0] != '?')
            put_string(&dim, 2, word);
        put_message(&shape, 1, &dim);
    }
    put_int(&tensor, 1, dtype);
    if (dims)
        put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_string(&v, 1, name);
    put_message(&v, 2, &type);
    return v;
}

/* ---- attributes: appended to a Buf that node() takes ----------------------------------------- */

enum {
    ATTR_FLOAT = 1,
    ATTR_INT = 2,
    ATTR_STRING = 3,
    ATTR_TENSOR = 4,
    ATTR_GRAPH = 5,
    ATTR_FLOATS = 6,
    ATTR_INTS = 7
};

static inline Buf attr_begin(const char *name, int type) {
    Buf a = {0};
    put_string(&a, 1, name);
    put_int(&a, 20, type);
    return a;
}

static inline void with_int(Buf *attrs, const char *name, int64_t x) {
    Buf a = attr_begin(name, ATTR_INT);
    put_int(&a, 3, x);
    put_message(attrs, 5, &a);
}

static inline void with_float(Buf *attrs, const char *name, float x) {
    Buf a = attr_begin(name, ATTR_FLOAT);
    put_float(&a, 2, x);
    put_message(attrs, 5, &a);
}

static inline void with_string(Buf *attrs, const char *name, const char *s) {
    Buf a = attr_begin(name, ATTR_STRING);
    put_string(&a, 4, s);
    put_message(attrs, 5, &a);
}

static inline void with_ints(Buf *attrs, const char *name, const char *list) {
    Buf a = attr_begin(name, ATTR_INTS);
    char word[64];
    for (const char *s = list; *s;) {
        s = next_dim(s, word, sizeof word);
        put_int(&a, 8, strtoll(word, NULL, 10));
    }
    put_message(attrs, 5, &a);
}

static inline void with_floats(Buf *attrs, const char *name, const float *v, size_t n) {
    Buf a = attr_begin(name, ATTR_FLOATS);
    for (size_t i = 0; i < n; i++)
        put_float(&a, 7, v[i]);
    put_message(attrs, 5, &a);
}

static inline void with_tensor(Buf *attrs, const char *name, Buf *tensor) {
    Buf a = attr_begin(name, ATTR_TENSOR);
    put_message(&a, 5, tensor);
    put_message(attrs, 5, &a);
}

static inline void with_graph(Buf *attrs, const char *name, Buf *graph) {
    Buf a = attr_begin(name, ATTR_GRAPH);
    put_message(&a, 6, graph);
    put_message(attrs, 5, &a);
}

/* Inside a function: the attribute `of` that it is called with. */
static inline void with_reference(Buf *attrs, const char *name, int type, const char *of) {
    Buf a = attr_begin(name, type);
    put_string(&a, 21, of);
    put_message(attrs, 5, &a);
}

/* ---- models: fields appended to a graph, then wrapped ---------------------------------------- */

static inline void add_input(Buf *graph, const char *name, int dtype, const char *dims) {
    Buf v = value_info(name, dtype, dims);
    put_message(graph, 11, &v);
}

static inline void add_output(Buf *graph, const char *name, int dtype, const char *dims) {
    Buf v = value_info(name, dtype, dims);
    put_message(graph, 12, &v);
}

static inline void add_floats(Buf *graph, const char *name, const char *dims, const float *v,
                              size_t n) {
    Buf t = raw_tensor(name, ONNX_FLOAT, dims, v, n * sizeof *v);
    put_message(graph, 5, &t);
}

/* A list of int64, "2,3"; "" is an empty one. */
static inline void add_ints(Buf *graph, const char *name, const char *list) {
    int64_t v[64];
    size_t n = 0;
    char word[64], dims[16];
    for (const char *s = list; *s;) {
        s = next_dim(s, word, sizeof word);
        v[n++] = strtoll(word, NULL, 10);
    }
    snprintf(dims, sizeof dims, "%zu", n);
    Buf t = raw_tensor(name, ONNX_INT64, dims, v, n * sizeof *v);
    put_message(graph, 5, &t);
}

/* A string field for each name of a list "x,w". */
static inline void put_names(Buf *b, unsigned field, const char *list) {
    char word[64];
    for (const char *s = list; *s;) {
        s = next_dim(s, word, sizeof word);
        put_string(b, field, word);
    }
}

/* Inputs and outputs are lists "x,w"; an empty name stands for one left out. An operator of another
 * domain is written "domain:op". attrs may be NULL. */
static inline void put_node(Buf *to, unsigned field, const char *op, const char *inputs,
                            const char *outputs, Buf *attrs) {
    Buf n = {0};
    const char *colon = strchr(op, ':');
    put_names(&n, 1, inputs);
    put_names(&n, 2, outputs);
    put_string(&n, 4, colon ? colon + 1 : op);
    if (colon)
        put_bytes(&n, 7, op, (size_t)(colon - op));
    if (attrs) {
        buf_write(&n, buf_str(attrs), attrs->len);
        buf_free(attrs);
        *attrs = (Buf){0};
    }
    put_message(to, field, &n);
}

static inline void add_node(Buf *graph, const char *op, const char *inputs, const char *outputs,
                            Buf *attrs) {
    put_node(graph, 1, op, inputs, outputs, attrs);
}

static inline void put_opset(Buf *to, unsigned field, const char *domain, int version) {
    Buf import = {0};
    put_string(&import, 1, domain);
    put_int(&import, 2, version);
    put_message(to, field, &import);
}

/* A FunctionProto of the domain "local"; its nodes are added with add_function_node. */
static inline Buf function_begin(const char *name, const char *inputs, const char *outputs,
                                 int opset) {
    Buf f = {0};
    put_string(&f, 1, name);
    put_names(&f, 4, inputs);
    put_names(&f, 5, outputs);
    put_opset(&f, 9, "", opset);
    put_opset(&f, 9, "local", 1);
    put_string(&f, 10, "local");
    return f;
}

static inline void add_function_node(Buf *function, const char *op, const char *inputs,
                                     const char *outputs, Buf *attrs) {
    put_node(function, 7, op, inputs, outputs, attrs);
}

static inline void add_function(Buf *model, Buf *function) {
    put_message(model, 25, function);
}

/* A ModelProto; consumes the graph. */
static inline Buf model_of(Buf *graph, int opset) {
    Buf m = {0};
    put_int(&m, 1, 8);
    put_message(&m, 7, graph);
    put_opset(&m, 8, "", opset);
    return m;
}

#endif
