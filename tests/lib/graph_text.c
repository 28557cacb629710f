/* graph_text.c: for tests: graphs from texts, and graphs that carry their expected results. */
#include "tests/lib/graph_text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char where_text[] = "text";

Graph *graph_of(const char *text) {
    Diag d = {0};
    Graph *g = graph_parse(text, strlen(text), where_text, NULL, &d);
    diag_print(&d, stderr, false);
    diag_free(&d);
    return g;
}

/* Whether the first item of d is an error with this message, at this place. */
static bool has_error(const Diag *d, const char *where, const char *message) {
    if (d->errors == 0)
        return false;
    const DiagItem *item = d->items.data[0];
    bool place = !where || strcmp(item->where + strlen(where_text), where) == 0;
    return place && strstr(item->message, message) != NULL;
}

static bool expect_error(Diag *d, const char *where, const char *message) {
    bool ok = has_error(d, where, message);
    if (!ok) {
        fprintf(stderr, "expected an error at %s: %s; found %zu:\n", where ? where : "any place",
                message, d->errors);
        diag_print(d, stderr, false);
    }
    diag_free(d);
    return ok;
}

bool parse_fails(const char *text, const char *where, const char *message) {
    Diag d = {0};
    Graph *g = graph_parse(text, strlen(text), where_text, NULL, &d);
    if (g)
        graph_free(g);
    return expect_error(&d, where, message) && !g;
}

/* ---- values --------------------------------------------------------------------------------- */

static bool elements_match(const Tensor *have, const Tensor *want, int64_t i, double tolerance) {
    if (!dtype_is_float(want->dtype))
        return tensor_bits(have, i) == tensor_bits(want, i);
    double h = tensor_f64(have, i), w = tensor_f64(want, i);
    if (isnan(h) || isnan(w))
        return isnan(h) && isnan(w);
    if (tolerance == 0 || isinf(w))
        return tensor_bits(have, i) == tensor_bits(want, i);
    return fabs(h - w) <= tolerance * fmax(fabs(w), 1e-30);
}

static bool tensors_match(const Tensor *have, const Tensor *want, double tolerance) {
    if (have->dtype != want->dtype || !shape_equal(&have->shape, &want->shape)) {
        fprintf(stderr, "the types of result and expectation differ\n");
        return false;
    }
    for (int64_t i = 0; i < shape_elems(&want->shape); i++) {
        if (elements_match(have, want, i, tolerance))
            continue;
        fprintf(stderr, "element %" PRId64 " is %.17g, expected %.17g\n", i, tensor_f64(have, i),
                tensor_f64(want, i));
        return false;
    }
    return true;
}

static bool outputs_match(const Graph *g, double tolerance, Diag *d) {
    Arena arena = {0};
    size_t n = g->outputs.len;
    Tensor **out = ARENA_ARRAY(&arena, n + 1, Tensor *);
    bool ok = n > 0 && n % 2 == 0 && graph_verify(g, where_text, d) &&
              graph_eval(g, NULL, out, &arena, d);
    for (size_t i = 0; ok && i < n; i += 2)
        ok = tensors_match(out[i], out[i + 1], tolerance);
    arena_free(&arena);
    return ok;
}

bool graph_values_match(const char *text, double tolerance) {
    Graph *g = graph_of(text);
    if (!g)
        return false;
    Diag d = {0};
    bool ok = outputs_match(g, tolerance, &d);
    if (!ok)
        fprintf(stderr, "in %s\n", text);
    diag_print(&d, stderr, false);
    diag_free(&d);
    graph_free(g);
    return ok;
}

bool graph_eval_fails(const char *text, const char *message) {
    Graph *g = graph_of(text);
    if (!g)
        return false;
    Diag d = {0};
    Arena arena = {0};
    Tensor **out = ARENA_ARRAY(&arena, g->outputs.len + 1, Tensor *);
    bool evaluated = graph_eval(g, NULL, out, &arena, &d);
    arena_free(&arena);
    graph_free(g);
    return expect_error(&d, NULL, message) && !evaluated;
}
