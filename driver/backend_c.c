/* backend_c.c: native code from the generated C, by a C compiler.
 *
 * In a new folder under TMPDIR: the generated NAME.c and NAME.h, and a wrapper that gives
 * NAME_run_parallel one signature for any number of arguments. The folder is gone before the code
 * first runs. */
#include "driver/driver.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef struct Build {
    Workshop shop;
    const char *source, *wrapper, *library;
} Build;

/* ---- building ---- */

/* What the macro NAME_STEP_DONE calls. There is one program in each loaded file: a static is
 * its. */
static const char hook_text[] = "typedef void step_done(void *context, int step);\n"
                                "void effnetc_watch(step_done *f, void *context);\n"
                                "void effnetc_step_done(int step);\n"
                                "static step_done *hook;\n"
                                "static void *hook_context;\n"
                                "void effnetc_watch(step_done *f, void *context) {\n"
                                "    hook = f;\n"
                                "    hook_context = context;\n"
                                "}\n"
                                "void effnetc_step_done(int step) {\n"
                                "    hook(hook_context, step);\n"
                                "}\n";

/* The definition of that macro, as an argument of the C compiler. */
static const char *hook_flag(Arena *a, const char *name) {
    return arena_printf(a,
                        "-D%s_STEP_DONE(step)=do { extern void effnetc_step_done(int); "
                        "effnetc_step_done(step); } while (0)",
                        c_upper(a, name));
}

static void print_wrapper(Buf *b, const effnetc_model *m) {
    buf_printf(b,
               "#include \"%s.h\"\n"
               "typedef void parallel_for(void *context, size_t n,\n"
               "                          void (*body)(void *arg, size_t i), void *arg);\n"
               "int effnetc_entry(const void *weights, const void *const *in, void *const *out,\n"
               "                  void *arena, void *threads, parallel_for *run);\n"
               "int effnetc_entry(const void *weights, const void *const *in, void *const *out,\n"
               "                  void *arena, void *threads, parallel_for *run) {\n"
               "    %s_pool pool;\n"
               "    pool.context = threads;\n"
               "    pool.parallel_for = run;\n"
               "    return %s_run_parallel(weights",
               m->name, m->name, m->name);
    for (size_t i = 0; i < m->inputs.len; i++)
        buf_printf(b, ", in[%zu]", i);
    for (size_t i = 0; i < m->outputs.len; i++)
        buf_printf(b, ", out[%zu]", i);
    buf_puts(b, ", arena, threads ? &pool : 0);\n"
                "}\n");
}

/* NAME_run_picture likewise, of pictures without gaps between their rows. */
static void print_pictures(Buf *b, effnetc_model *m) {
    long long images = (long long)m->inputs.data[0].dims[0];
    buf_printf(
        b,
        "extern const size_t effnetc_pictures_arena;\n"
        "const size_t effnetc_pictures_arena = %s_PICTURE_ARENA_BYTES;\n"
        "int effnetc_pictures(const void *weights, const uint8_t *const *rgb, const int *width,\n"
        "                     const int *height, void *const *out, void *arena, void *threads,\n"
        "                     parallel_for *run);\n"
        "int effnetc_pictures(const void *weights, const uint8_t *const *rgb, const int *width,\n"
        "                     const int *height, void *const *out, void *arena, void *threads,\n"
        "                     parallel_for *run) {\n",
        c_upper(&m->arena, m->name));
    buf_printf(b,
               "    static %s_picture picture[%lld];\n"
               "    %s_pool pool;\n"
               "    pool.context = threads;\n"
               "    pool.parallel_for = run;\n"
               "    for (int i = 0; i < %lld; i++) {\n"
               "        picture[i].rgb = rgb[i];\n"
               "        picture[i].width = width[i];\n"
               "        picture[i].height = height[i];\n"
               "        picture[i].stride = 3 * (ptrdiff_t)width[i];\n"
               "    }\n"
               "    return %s_run_picture(weights, picture",
               m->name, images, m->name, images, m->name);
    for (size_t i = 0; i < m->outputs.len; i++)
        buf_printf(b, ", out[%zu]", i);
    buf_puts(b, ", arena, threads ? &pool : 0);\n"
                "}\n");
}

static bool write_sources(const Build *w, effnetc_model *m) {
    Outputs out = {0};
    Buf wrapper = {0};
    print_wrapper(&wrapper, m);
    if (m->pictures && m->pictures->any)
        print_pictures(&wrapper, m);
    buf_puts(&wrapper, hook_text);
    outputs_add(&out, w->wrapper, wrapper.data, wrapper.len);
    bool ok = emit_c_files(m, &out, w->shop.dir) && outputs_commit(&out, m->diag);
    outputs_free(&out);
    buf_free(&wrapper);
    return ok;
}

/* Whether the compiler was given with an optimisation level of its own. */
static bool has_level(const effnetc_strings *argv) {
    for (size_t i = 0; i < argv->count; i++)
        if (!strncmp(argv->items[i], "-O", 2))
            return true;
    return false;
}

static bool build(const Build *w, effnetc_model *m, bool watched) {
    const char *cc = m->options.cc ? m->options.cc : getenv("CC");
    effnetc_strings argv = {0};
    push_words(w->shop.arena, &argv, cc && *cc ? cc : "cc");
    if (!has_level(&argv))
        strings_push(w->shop.arena, &argv, "-O2");
    push_words(w->shop.arena, &argv, "-fPIC -shared");
    push_words(w->shop.arena, &argv, m->target->c_flags);
    if (watched)
        strings_push(w->shop.arena, &argv, hook_flag(w->shop.arena, m->name));
    const char *const rest[] = {"-o", w->library, w->source, w->wrapper, NULL};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        strings_push(w->shop.arena, &argv, rest[i]);
    int code = run_program(argv.items, w->shop.log);
    if (code == 0)
        return true;
    if (code == 127) {
        diag_error(m->diag, EXIT_IO, "effnetc", "the C compiler \"%s\" can't be run",
                   argv.items[0]);
        diag_note(m->diag, "help", "name another one with --cc or CC");
    } else {
        diag_error(m->diag, EXIT_INTERNAL, m->path, "\"%s\" refused the generated C (exit code %d)",
                   argv.items[0], code);
        quote_log(w->shop.log, "cc", m->diag);
        diag_note(m->diag, "help",
                  "--cc or CC names another compiler; if it is this one's fault, "
                  "please report it with the model");
    }
    return false;
}

/* ---- loading ---- */

/* ISO C has no cast from an object pointer to a function pointer; POSIX asks for this one. */
static bool find_symbol(void *library, const char *name, void *function, Diag *d) {
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    if (!symbol)
        diag_error(d, EXIT_INTERNAL, "effnetc", "the compiled code has no function %s", name);
    return symbol != NULL;
}

static void unload(void *library) {
    dlclose(library);
}

static bool load(const Build *w, NativeCode *code, effnetc_model *m) {
    void *library = dlopen(w->library, RTLD_NOW | RTLD_LOCAL);
    *code = (NativeCode){library, find_symbol, unload};
    if (!library)
        diag_error(m->diag, EXIT_IO, m->path, "the compiled code can't be loaded: %s", dlerror());
    return library != NULL;
}

bool c_code(NativeCode *code, effnetc_model *m, bool watched, rt_pool *threads) {
    Build w;
    (void)threads; /* compilers have one */
    if (!workshop_open(&w.shop, &m->arena, m->diag))
        return false;
    w.source = workshop_file(&w.shop, m->name, ".c");
    workshop_file(&w.shop, m->name, ".h"); /* what emit_c_files writes beside it */
    w.wrapper = workshop_file(&w.shop, "effnetc-entry", ".c");
    w.library = workshop_file(&w.shop, "effnetc-entry", ".so");
    bool ok = write_sources(&w, m) && build(&w, m, watched) && load(&w, code, m);
    workshop_close(&w.shop);
    return ok;
}
