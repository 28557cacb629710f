/* import.c: an ONNX model to a graph, node by node.
 *
 * All that is wrong is found before giving up: a node that fails is reported once, what depends on
 * it is passed over in silence, unless its operator is not supported either. */
#include "frontend/import.h"

#include <string.h>

/* ---- one node -------------------------------------------------------------------------------- */

/* The row for the node; NULL, reported, where there is none. */
static const OnnxOpRow *find_row(OnnxNode *n) {
    const int64_t *opset = map_get(n->scope->opsets, n->domain);
    const char *why;
    n->opset = opset ? *opset : 0;
    if (!opset) {
        onnx_bad(n, "the %s does not import the domain %s",
                 n->scope->function ? "function" : "model",
                 quoted(n->im, *n->domain ? n->domain : "ai.onnx"));
        return NULL;
    }
    const OnnxOpRow *row = onnx_op_find(&n->im->arena, n->domain, n->proto->op_type, *opset, &why);
    if (!row)
        onnx_unsupported(n, "%s", why);
    return row;
}

static bool waits_for_failed(const OnnxNode *n) {
    for (int i = 0; i < n->ninputs; i++)
        if (n->inputs[i] && !n->inputs[i]->value && !n->inputs[i]->list)
            return true;
    return false;
}

/* Operators whose inputs need not be tensors. */
static bool takes_lists(const OnnxOpRow *row) {
    static OnnxImportFn *const importers[] = {
        import_concat_from_sequence,
        import_identity,
        import_loop,
        import_optional,
        import_optional_get_element,
        import_optional_has_element,
        import_sequence_at,
        import_sequence_erase,
        import_sequence_insert,
        import_sequence_length,
        import_sequence_map,
    };
    for (size_t i = 0; i < sizeof importers / sizeof *importers; i++)
        if (row->import == importers[i])
            return true;
    return false;
}

/* Inputs past the last one given count as left out. */
static void check_inputs(OnnxNode *n, const OnnxOpRow *row) {
    if (row->max_inputs >= 0 && n->ninputs > row->max_inputs)
        onnx_bad(n, "it has %d inputs, and may have %d", n->ninputs, row->max_inputs);
    for (int i = 0; i < row->min_inputs && !n->failed; i++)
        if (!onnx_input(n, i) && !onnx_list(n, i))
            onnx_bad(n, "input %d is missing", i);
    for (int i = 0; i < n->ninputs && !n->failed && !takes_lists(row); i++)
        if (onnx_list(n, i))
            onnx_bad(n, "input %d is no tensor", i);
}

/* An output that the importer left alone must not be used. */
static void check_outputs(OnnxNode *n) {
    for (int i = 0; i < n->noutputs && !n->failed; i++)
        if (n->outputs[i] && n->outputs[i]->uses && !n->outputs[i]->value && !n->outputs[i]->list)
            onnx_unsupported(n, "its output %d is used", i);
}

void import_node(OnnxNode *n) {
    OnnxFunction *function = function_find(n);
    if (function) {
        attrs_check(n);
        if (!n->failed && !waits_for_failed(n))
            import_call(n, function);
        return;
    }
    const OnnxOpRow *row = find_row(n);
    if (!row || waits_for_failed(n))
        return;
    check_inputs(n, row);
    small_check(n, row->import);
    attrs_check(n);
    if (n->failed)
        return;
    row->import(n);
    counts_check(n);
    attrs_check_all_read(n);
    check_outputs(n);
}

/* ---- the model ------------------------------------------------------------------------------- */

/* file.onnx of a/b/file.onnx, without its ending. */
static const char *model_name(Importer *im) {
    const char *slash = strrchr(im->path, '/'), *name = slash ? slash + 1 : im->path;
    const char *dot = strrchr(name, '.');
    return arena_strndup(&im->arena, name,
                         dot && dot != name ? (size_t)(dot - name) : strlen(name));
}

/* Fills im->g; false with errors. Inputs and weights are looked at even where the other has
 * faults. */
static bool import_model(Importer *im) {
    size_t errors = im->d->errors;
    if (!model_load(im) || !functions_collect(im))
        return false;
    OnnxBody b = body_of_graph(im, im->model->graph);
    if (!names_resolve(&im->main, &b))
        return false;
    import_initializers(&im->main, b.graph);
    import_inputs(im);
    scope_import(&im->main);
    if (im->d->errors != errors || !import_outputs(im))
        return false;
    graph_dce(im->g);
    return true;
}

static void start(Importer *im, const char *path, const ImportOptions *options, Diag *d) {
    static const ImportOptions no_options;
    *im = (Importer){.d = d, .path = path, .options = options ? options : &no_options};
    im->main = (Scope){.im = im, .path = "", .opsets = &im->opsets};
    im->g = graph_new(model_name(im));
}

/* Frees what the import needed, and the graph too where it failed. */
static Graph *finish(Importer *im, bool ok) {
    Graph *g = im->g;
    if (!ok) {
        graph_free(g);
        g = NULL;
    }
    buf_free(&im->wire.copy);
    arena_free(&im->arena);
    return g;
}

const char *folder_of(Arena *a, const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? arena_strndup(a, path, (size_t)(slash - path) + 1) : ".";
}

Graph *onnx_import(const char *path, const ImportOptions *options, Diag *d) {
    Importer im;
    start(&im, path, options, d);
    im.folder = folder_of(&im.arena, path);
    return finish(&im, model_map(&im) && import_model(&im));
}

bool onnx_inputs(const char *path, Arena *a, OnnxInputs *out, Diag *d) {
    Importer im;
    *out = (OnnxInputs){NULL, 0};
    start(&im, path, NULL, d);
    bool ok = model_map(&im) && model_load(&im);
    if (ok)
        describe_inputs(&im, a, out);
    finish(&im, false);
    return ok;
}

Graph *onnx_import_bytes(const void *data, size_t size, const char *name, const char *folder,
                         const ImportOptions *options, Diag *d) {
    Importer im;
    start(&im, name, options, d);
    im.data = data;
    im.size = size;
    im.folder = folder;
    return finish(&im, import_model(&im));
}
