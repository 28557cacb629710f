/* load.c: a model's file to the graph that everything starts from. */
#include "driver/driver.h"

#include "frontend/frontend.h"

#include <string.h>

/* ---- graph IR and ONNX ---- */

/* Whether s begins with a word, and the word ends there. */
static bool is_word(const char *s, size_t n, const char *word) {
    size_t len = strlen(word);
    return n >= len && !memcmp(s, word, len) && (n == len || memchr(" \t\r\n@", s[len], 5));
}

IrLevel ir_level(const char *text, size_t size) {
    const char *p = text, *end = text + size;
    while (p < end && (memchr(" \t\r\n", *p, 4) || *p == '#')) {
        const char *nl = *p == '#' ? memchr(p, '\n', (size_t)(end - p)) : p;
        p = nl ? nl + 1 : end;
    }
    size_t n = (size_t)(end - p);
    return is_word(p, n, "graph") ? IR_GRAPH : is_word(p, n, "module") ? IR_LOOP : IR_UNKNOWN;
}

bool is_ir_path(const char *path) {
    size_t n = strlen(path);
    return !strcmp(path, "-") || (n >= 3 && !strcmp(path + n - 3, ".ir"));
}

const char *ir_constant_dir(const char *path, Arena *a) {
    return arena_printf(a, "%.*sconstants", (int)(base_name(path) - path), path);
}

static Graph *load_ir(effnetc_model *m) {
    const char *where = strcmp(m->path, "-") ? m->path : "<stdin>";
    if (!m->text.data && !source_open(&m->text, m->path, m->diag))
        return NULL;
    const char *text = (const char *)m->text.data;
    if (m->options.dims.count) {
        diag_error(m->diag, EXIT_USAGE, where, "--dim has no use for graph IR");
        diag_note(m->diag, "reason", "its shapes are fixed already");
        return NULL;
    }
    if (ir_level(text, m->text.size) != IR_GRAPH) {
        diag_error(m->diag, EXIT_BAD_MODEL, where, "this is not graph IR");
        diag_note(m->diag, "help", "wanted a text that begins with `graph @name`; %s",
                  ir_level(text, m->text.size) == IR_LOOP ? "loop IR goes to `effnetc opt`"
                                                          : "ONNX files end in .onnx");
        return NULL;
    }
    Graph *g = graph_parse(text, m->text.size, where, ir_constant_dir(m->path, &m->arena), m->diag);
    if (g && !graph_verify(g, where, m->diag)) {
        graph_free(g);
        return NULL;
    }
    return g;
}

static Graph *load_onnx(effnetc_model *m) {
    if (!dims_from_options(m))
        return NULL;
    DimOverride *dims = ARENA_ARRAY(&m->arena, m->dims.len + 1, DimOverride);
    for (size_t i = 0; i < m->dims.len; i++)
        dims[i] = (DimOverride){m->dims.data[i].name, m->dims.data[i].value};
    return onnx_import(m->path, &(ImportOptions){dims, (int)m->dims.len}, m->diag);
}

static Graph *load_source(effnetc_model *m) {
    Graph *g = is_ir_path(m->path) ? load_ir(m) : load_onnx(m);
    if (!g || (load_layouts(m, g) && (!m->pixels || load_bytes(m, g))))
        return g;
    graph_free(g);
    return NULL;
}

/* What it has to say was said the first time. */
static Graph *load_again(effnetc_model *m) {
    Diag again = {0}, *first = m->diag;
    m->diag = &again;
    Graph *g = load_source(m);
    m->diag = first;
    if (!g)
        diag_error(m->diag, EXIT_IO, m->path, "the file has changed and can't be read again");
    diag_free(&again);
    return g;
}

Graph *model_source(effnetc_model *m) {
    if (!m->source)
        m->source = load_again(m);
    return m->source;
}

/* ---- what is known from the file ---- */

/* --name must be an identifier; the file's name is made one. */
static const char *model_name(effnetc_model *m) {
    Arena *a = &m->arena;
    if (!m->options.name) {
        const char *base = strcmp(m->path, "-") ? base_name(m->path) : m->source->name;
        const char *dot = strrchr(base, '.');
        return c_identifier(a, dot && dot > base ? arena_strndup(a, base, (size_t)(dot - base))
                                                 : base);
    }
    const char *name = c_identifier(a, m->options.name);
    if (strcmp(name, m->options.name) != 0) {
        diag_error(m->diag, EXIT_USAGE, "effnetc", "the name \"%s\" is not a C identifier",
                   m->options.name);
        diag_note(m->diag, "help", "%s would be one", name);
    }
    return name;
}

static effnetc_tensor describe(effnetc_model *m, const char *name, const Type *t) {
    effnetc_tensor out = {.name = arena_strdup(&m->arena, name),
                          .dtype = dtype_name(t->dtype),
                          .rank = t->shape.rank,
                          .count = -1,
                          .bytes = (size_t)(shape_elems(&t->shape) * dtype_bytes(t->dtype))};
    memcpy(out.dims, t->shape.dim, sizeof out.dims);
    return out;
}

static void describe_source(effnetc_model *m) {
    const Graph *g = m->source;
    m->inputs.len = m->outputs.len = m->output_values.len = 0;
    for (size_t i = 0; i < g->inputs.len; i++) {
        const Value *v = g->inputs.data[i];
        vec_push(&m->arena, &m->inputs, describe(m, v->name, &v->type));
        m->inputs.data[i].unread = !v->uses;
    }
    for (size_t i = 0; i < g->outputs.len; i++)
        vec_push(&m->arena, &m->outputs,
                 describe(m, g->output_names.data[i], &g->outputs.data[i]->value->type));
    for (size_t i = 0; i < g->outputs.len; i++)
        vec_push(&m->arena, &m->output_values,
                 arena_strdup(&m->arena, g->outputs.data[i]->value->name));
    for (size_t i = 0; i < g->counts.len; i++) {
        m->outputs.data[g->counts.data[i].output].count = (int)g->counts.data[i].count;
        m->outputs.data[g->counts.data[i].output].axis = g->counts.data[i].axis;
    }
    m->external.len = 0;
    for (size_t i = 0; i < g->external.len; i++)
        vec_push(&m->arena, &m->external, arena_strdup(&m->arena, g->external.data[i]));
    m->macs = graph_macs(g);
    m->parameters = graph_parameters(g);
}

bool model_adopt(effnetc_model *m, Graph *g) {
    ensure(!m->path);
    m->path = m->name = arena_strdup(&m->arena, g->name);
    m->target = find_target(m->options.target, m->diag);
    m->source = g;
    describe_source(m);
    return m->diag->errors == 0;
}

/* Options come from programs, too. What no command line can say has a row here. */
static bool check_options(effnetc_model *m) {
    static const Option rows[] = {{"native", 0, OPT_CHOICE, offsetof(effnetc_options, native),
                                   NATIVE_CHOICES, "the native code of --tune", 0, 0}};
    static const OptionGroup others = OPTION_GROUP(rows);
    const OptionGroup *groups[] = {&compiler_options, &pass_options, &tune_options,
                                   &code_options,     &jit_options,  &others};
    bool ok = true;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        ok &= options_check(groups[i], &m->options, m->diag);
    return ok;
}

bool effnetc_load(effnetc_model *m, const char *path) {
    ensure(!m->path);
    m->path = arena_strdup(&m->arena, path);
    m->target = find_target(m->options.target, m->diag);
    if (!check_options(m) || (!is_ir_path(path) && !dims_from_options(m)))
        return false;
    if (cache_find(m))
        return true;
    m->source = load_source(m);
    drop_unwanted_remarks(m);
    if (!m->source)
        return false;
    m->name = model_name(m);
    describe_source(m);
    if (!take_bytes(m))
        return false;
    if (m->pixels) { /* mean and std are no parameters */
        int64_t parameters = m->parameters;
        describe_source(m);
        m->parameters = parameters;
    }
    return m->diag->errors == 0;
}
