/* onnx_import_helper.h: imports models that a test wrote into memory. Include after cmocka.h. */
#ifndef EFFNETC_TESTS_ONNX_IMPORT_HELPER_H
#define EFFNETC_TESTS_ONNX_IMPORT_HELPER_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "frontend/frontend.h"
#include "onnx_writer.h"

typedef struct Imported {
    Graph *g; /* NULL where the import failed */
    Diag d;
} Imported;

static inline void imported_free(Imported *m) {
    if (m->g)
        graph_free(m->g);
    diag_free(&m->d);
    *m = (Imported){0};
}

static inline void show(const Imported *m) {
    diag_print(&m->d, stderr, false);
}

/* Imports the bytes as a file, and frees them. */
static inline Imported import_bytes(Buf *model, const ImportOptions *options) {
    char path[] = "import-test-XXXXXX";
    Imported m = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, buf_str(model), model->len), model->len);
    close(fd);
    m.g = onnx_import(path, options, &m.d);
    unlink(path); /* the mapping stays */
    buf_free(model);
    *model = (Buf){0};
    return m;
}

/* Imports a graph of fields, and frees it. */
static inline Imported import_graph(Buf *graph, int opset, const ImportOptions *options) {
    Buf model = model_of(graph, opset);
    return import_bytes(&model, options);
}

/* As import_graph for a model that must be accepted without a word, and gives a sound graph. */
static inline Imported import_ok(Buf *graph, int opset) {
    Imported m = import_graph(graph, opset, NULL);
    if (!m.g || m.d.items.len || !graph_verify(m.g, "import", &m.d))
        show(&m);
    assert_non_null(m.g);
    assert_int_equal(m.d.items.len, 0);
    return m;
}

static inline const char *note_of(const Imported *m, size_t item, const char *label) {
    assert_true(item < m->d.items.len);
    const DiagItem *d = m->d.items.data[item];
    for (size_t i = 0; i < d->notes.len; i++)
        if (strcmp(d->notes.data[i].label, label) == 0)
            return d->notes.data[i].text;
    return "";
}

/* Is the text in an error's message or notes? */
static inline bool says(const Imported *m, const char *text) {
    for (size_t i = 0; i < m->d.items.len; i++) {
        const DiagItem *d = m->d.items.data[i];
        bool found = strstr(d->message, text) != NULL;
        for (size_t k = 0; k < d->notes.len; k++)
            found |= strstr(d->notes.data[k].text, text) != NULL;
        if (found && d->kind == DIAG_ERROR)
            return true;
    }
    return false;
}

/* The import failed with that exit code, and an error says the text. */
static inline void assert_complaint(const Imported *m, int exit_code, const char *text) {
    assert_null(m->g);
    if (!says(m, text) || diag_exit_code(&m->d) != exit_code) {
        show(m);
        fail_msg("wanted exit code %d, and \"%s\"", exit_code, text);
    }
}

static inline void assert_fails(Buf *graph, int opset, int exit_code, const char *text) {
    Imported m = import_graph(graph, opset, NULL);
    assert_complaint(&m, exit_code, text);
    imported_free(&m);
}

/* The ops of the graph in its order, "conv2d relu". */
static inline void assert_ops(const Imported *m, const char *want) {
    Buf b = {0};
    FOR_EACH_NODE(m->g, n)
    buf_printf(&b, "%s%s", n == m->g->first ? "" : " ", op_info(n->op)->name);
    assert_string_equal(buf_str(&b), want);
    buf_free(&b);
}

/* ---- one operator ---------------------------------------------------------------------------- */

/* The one-node models here: input x of some dims (NULL: none), output y, constants a test adds. */
static inline Buf with_x(const char *dims) {
    Buf g = {0};
    if (dims)
        add_input(&g, "x", ONNX_FLOAT, dims);
    return g;
}

static inline void add_y(Buf *g) {
    add_output(g, "y", ONNX_FLOAT, NULL);
}

/* Evaluates with x = v; checks the type of y and all its elements. */
static inline void assert_result(const Imported *m, const float *v, const char *type,
                                 const double *want) {
    Arena a = {0};
    Diag d = {0};
    Tensor *in[1] = {NULL}, *out[1];
    if (m->g->inputs.len)
        in[0] = tensor_wrap(&a, DT_f32, m->g->inputs.data[0]->type.shape, v);
    assert_true(graph_eval(m->g, in, out, &a, &d));
    Type t = type_plain(out[0]->dtype, out[0]->shape);
    assert_string_equal(type_str(&a, &t), type);
    for (int64_t i = 0; i < shape_elems(&out[0]->shape); i++) {
        double have = tensor_f64(out[0], i);
        if (!(fabs(have - want[i]) <= 1e-6 * (1 + fabs(want[i])) || have == want[i] ||
              (isnan(have) && isnan(want[i]))))
            fail_msg("element %d is %g, wanted %g", (int)i, have, want[i]);
    }
    diag_free(&d);
    arena_free(&a);
}

/* Imports, checks the ops, evaluates, frees. */
static inline void assert_model(Buf *g, int opset, const char *ops, const float *v,
                                const char *type, const double *want) {
    Imported m = import_ok(g, opset);
    assert_ops(&m, ops);
    assert_result(&m, v, type, want);
    imported_free(&m);
}

/* y = op(x, names of constants...), which the caller added. */
static inline void add_op(Buf *g, const char *op, const char *inputs, Buf *attrs) {
    add_node(g, op, inputs, "y", attrs);
    add_y(g);
}

#define D(...) ((const double[]){__VA_ARGS__})
#define F(...) ((const float[]){__VA_ARGS__})

#endif
