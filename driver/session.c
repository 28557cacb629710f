/* session.c: the handle of a model, and what can be asked of it. */
#include "driver/driver.h"

#include <string.h>

effnetc_options effnetc_default_options(void) {
    return (effnetc_options){
        .opt_level = 2, .threads = 1, .tune_seconds = 60, .cache_limit = CACHE_LIMIT};
}

const char *effnetc_version(void) {
    return EFFNETC_VERSION;
}

/* ---- names ---- */

const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const Target *find_target(const char *name, Diag *d) {
    enum { MAX_TARGETS = 64 };
    const char *names[MAX_TARGETS];
    const Target *t = target_find(name ? name : "native");
    if (t)
        return t;
    size_t n = target_count() < MAX_TARGETS ? target_count() : MAX_TARGETS;
    for (size_t i = 0; i < n; i++)
        names[i] = target_at(i)->name;
    diag_error(d, EXIT_USAGE, "effnetc", "there is no target \"%s\"", name);
    note_nearest(d, name, names, n, "`effnetc targets` lists all");
    return NULL;
}

EmitInfo model_emit_info(const effnetc_model *m) {
    return (EmitInfo){.name = m->name,
                      .model = strcmp(m->path, "-") ? base_name(m->path) : "standard input",
                      .version = EFFNETC_VERSION,
                      .macs = m->macs,
                      .parameters = m->parameters,
                      .pictures = m->pictures};
}

/* ---- the handle ---- */

effnetc_model *model_open(const effnetc_options *options, Diag *diag) {
    Arena arena = {0};
    effnetc_model *m = ARENA_NEW(&arena, effnetc_model);
    m->arena = arena;
    m->options = options ? *options : effnetc_default_options();
    m->diag = diag ? diag : &m->own;
    return m;
}

effnetc_model *effnetc_open(const effnetc_options *options) {
    return model_open(options, NULL);
}

void effnetc_free(effnetc_model *m) {
    if (!m)
        return;
    if (m->source)
        graph_free(m->source);
    program_free(&m->program);
    if (m->book)
        schedule_book_free(m->book);
    source_close(&m->text);
    rt_memory_free(m->weights);
    rt_memory_free(m->cached.memory);
    for (size_t i = 0; i < m->files.len; i++)
        source_close(&m->files.data[i]->source);
    diag_free(&m->own);
    Arena arena = m->arena; /* m itself lies in it */
    arena_free(&arena);
}

size_t effnetc_input_count(const effnetc_model *m) {
    return m->inputs.len;
}

size_t effnetc_output_count(const effnetc_model *m) {
    return m->outputs.len;
}

effnetc_tensor effnetc_input(const effnetc_model *m, size_t i) {
    ensure(i < m->inputs.len);
    return m->inputs.data[i];
}

effnetc_tensor effnetc_output(const effnetc_model *m, size_t i) {
    ensure(i < m->outputs.len);
    return m->outputs.data[i];
}

/* ---- diagnostics ---- */

void effnetc_print_diagnostics(const effnetc_model *m, FILE *f, bool color) {
    diag_print(m->diag, f, color);
}

int effnetc_exit_code(const effnetc_model *m) {
    return diag_exit_code(m->diag);
}
