/* backend_c.c: the generated C, built by a C compiler and loaded into this process.
 *
 * In a new folder under TMPDIR: the generated NAME.c and NAME.h, and a wrapper that gives
 * NAME_run_parallel one signature for any number of arguments. The folder is gone before the code
 * first runs. */
#include "driver/driver.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void ParallelFor(void *context, size_t n, rt_body *body, void *arg);
typedef int Entry(const void *weights, const void *const *in, void *const *out, void *arena,
                  void *pool, ParallelFor *parallel_for);
typedef int CheckWeights(const void *weights, size_t size);
typedef void Watch(StepDone *f, void *context);

struct CProgram {
    void *library;
    Entry *entry;
    void *weights, *arena;
    size_t arena_bytes;
    rt_pool *pool; /* NULL: one thread */
    bool borrowed; /* the pool is another program's */
};

/* ---- programs ---- */

/* In the child: standard input is empty, all output goes to the log. */
_Noreturn static void child(const char *const *argv, const char *log) {
    int in = open("/dev/null", O_RDONLY);
    int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (in >= 0 && out >= 0 && dup2(in, 0) >= 0 && dup2(out, 1) >= 0 && dup2(out, 2) >= 0)
        execvp(argv[0], (char *const *)argv);
    _exit(127);
}

int run_program(const char *const *argv, const char *log) {
    int status;
    pid_t pid = fork();
    if (pid < 0)
        return 127;
    if (pid == 0)
        child(argv, log);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 127;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Appends the words of a command line; no quoting, as in make's CC. */
static void push_words(Arena *a, effnetc_strings *argv, const char *words) {
    while (*(words += strspn(words, " \t"))) {
        size_t n = strcspn(words, " \t");
        strings_push(a, argv, arena_strndup(a, words, n));
        words += n;
    }
}

/* ---- the folder ---- */

/* What is made in the temporary folder; all of it is removed again. */
typedef struct Workshop {
    Arena *arena;
    const char *dir, *source, *header, *wrapper, *library, *log;
} Workshop;

static bool workshop_open(Workshop *w, effnetc_model *m) {
    const char *tmp = getenv("TMPDIR"); /* POSIX has the folder below on every system */
    Arena *a = w->arena = &m->arena;
    char *dir = arena_printf(a, "%s/effnetc-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        diag_error(m->diag, EXIT_IO, dir, "no temporary folder can be made: %s", strerror(errno));
        diag_note(m->diag, "help", "TMPDIR says where they go");
        return false;
    }
    w->dir = dir;
    w->source = arena_printf(a, "%s/%s.c", dir, m->name);
    w->header = arena_printf(a, "%s/%s.h", dir, m->name);
    w->wrapper = arena_printf(a, "%s/effnetc-entry.c", dir);
    w->library = arena_printf(a, "%s/effnetc-entry.so", dir);
    w->log = arena_printf(a, "%s/effnetc-log", dir);
    return true;
}

static void workshop_close(const Workshop *w) {
    unlink(w->source);
    unlink(w->header);
    unlink(w->wrapper);
    unlink(w->library);
    unlink(w->log);
    rmdir(w->dir);
}

/* ---- building ---- */

/* What the macro NAME_STEP_DONE calls. There is one program in each loaded file: a static is its.
 */
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
               "int effnetc_check(const void *weights, size_t size);\n"
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
    buf_printf(b,
               ", arena, threads ? &pool : 0);\n"
               "}\n"
               "int effnetc_check(const void *weights, size_t size) {\n"
               "    return %s_check_weights(weights, size);\n"
               "}\n",
               m->name);
}

static bool write_sources(const Workshop *w, effnetc_model *m) {
    Outputs out = {0};
    Buf wrapper = {0};
    print_wrapper(&wrapper, m);
    buf_puts(&wrapper, hook_text);
    outputs_add(&out, w->wrapper, wrapper.data, wrapper.len);
    bool ok = emit_c_files(m, &out, w->dir, false) && outputs_commit(&out, m->diag);
    outputs_free(&out);
    buf_free(&wrapper);
    return ok;
}

/* The compiler's first lines, as notes of the newest diagnostic. */
static void quote_log(const Workshop *w, Diag *d) {
    enum { MAX_LINES = 8 };
    char line[240];
    FILE *f = fopen(w->log, "r");
    for (int i = 0; f && i < MAX_LINES && fgets(line, sizeof line, f); i++) {
        line[strcspn(line, "\n")] = 0;
        diag_note(d, "cc", "%s", line);
    }
    if (f)
        fclose(f);
}

static bool build(const Workshop *w, effnetc_model *m, bool watched) {
    const char *cc = m->options.cc ? m->options.cc : getenv("CC");
    effnetc_strings argv = {0};
    push_words(w->arena, &argv, cc && *cc ? cc : "cc");
    push_words(w->arena, &argv, "-O2 -fPIC -shared");
    push_words(w->arena, &argv, m->target->c_flags);
    if (watched)
        strings_push(w->arena, &argv, hook_flag(w->arena, m->name));
    const char *const rest[] = {"-o", w->library, w->source, w->wrapper, NULL};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        strings_push(w->arena, &argv, rest[i]);
    int code = run_program(argv.items, w->log);
    if (code == 0)
        return true;
    if (code == 127) {
        diag_error(m->diag, EXIT_IO, "effnetc", "the C compiler \"%s\" can't be run",
                   argv.items[0]);
        diag_note(m->diag, "help", "name another one with --cc or CC");
    } else {
        diag_error(m->diag, EXIT_INTERNAL, m->path, "\"%s\" refused the generated C (exit code %d)",
                   argv.items[0], code);
        quote_log(w, m->diag);
        diag_note(m->diag, "help",
                  "--cc or CC names another compiler; if it is this one's fault, "
                  "please report it with the model");
    }
    return false;
}

/* ---- loading ---- */

/* ISO C has no cast from an object pointer to a function pointer; POSIX asks for this one. */
static bool find_symbol(void *library, const char *name, void *function) {
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

static bool load(const Workshop *w, CProgram *p, effnetc_model *m) {
    CheckWeights *check = NULL;
    const Module *module = m->program.module;
    p->library = dlopen(w->library, RTLD_NOW | RTLD_LOCAL);
    if (!p->library || !find_symbol(p->library, "effnetc_entry", &p->entry) ||
        !find_symbol(p->library, "effnetc_check", &check)) {
        diag_error(m->diag, EXIT_IO, m->path, "the compiled code can't be loaded: %s", dlerror());
        return false;
    }
    int code = check(p->weights, (size_t)module->weights_bytes);
    if (code != 0)
        diag_error(m->diag, EXIT_INTERNAL, m->path,
                   "the generated code refuses its own weights: check %d failed", code);
    return code == 0;
}

static void watch(const CProgram *p, const CProgramOptions *o) {
    Watch *set = NULL;
    ensure(find_symbol(p->library, "effnetc_watch", &set));
    set(o->step_done, o->context);
}

static void *aligned(size_t size) {
    void *p = rt_memory_new(size);
    if (!p)
        die("out of memory for %zu bytes", size);
    return p;
}

static void allocate(CProgram *p, const Module *module) {
    size_t weights = (size_t)module->weights_bytes;
    p->arena_bytes = (size_t)module->arena_bytes;
    p->arena = aligned(p->arena_bytes);
    p->weights = aligned(weights);
    if (weights)
        memcpy(p->weights, module->weights->data, weights);
}

static bool start_threads(CProgram *p, effnetc_model *m, const CProgram *other) {
    rt_error err;
    p->borrowed = other != NULL;
    if (other)
        p->pool = other->pool;
    if (other || m->options.threads == 1 ||
        rt_pool_new(&p->pool, m->options.threads, &err) == RT_OK)
        return true;
    diag_error(m->diag, EXIT_USAGE, "effnetc", "%d threads can't be had: %s", m->options.threads,
               err.text);
    return false;
}

static bool runs_here(effnetc_model *m) {
    if (target_runs_here(m->target))
        return true;
    diag_error(m->diag, EXIT_UNSUPPORTED, "effnetc", "this machine can't run code for %s",
               m->target->name);
    diag_note(m->diag, "help", "--backend=loop-interp runs it anywhere; this machine is %s",
              target_native()->name);
    return false;
}

static bool open_program(CProgram *p, const Workshop *w, effnetc_model *m,
                         const CProgramOptions *o) {
    if (!start_threads(p, m, o->threads_of) || !write_sources(w, m) ||
        !build(w, m, o->step_done != NULL) || !load(w, p, m))
        return false;
    if (o->step_done)
        watch(p, o);
    return true;
}

CProgram *c_program_open(effnetc_model *m, const CProgramOptions *o) {
    static const CProgramOptions none = {0};
    Workshop w = {0};
    if (!runs_here(m) || !workshop_open(&w, m))
        return NULL;
    CProgram *p = ARENA_NEW(&m->arena, CProgram);
    allocate(p, m->program.module);
    bool ok = open_program(p, &w, m, o ? o : &none);
    workshop_close(&w);
    if (ok)
        return p;
    c_program_close(p);
    return NULL;
}

bool c_program_run_again(CProgram *p, effnetc_model *m, const void *const *in, void *const *out) {
    int code = p->entry(p->weights, in, out, p->arena, p->pool, rt_pool_for);
    if (code != 0)
        diag_error(m->diag, EXIT_INTERNAL, m->path, "the generated code returned %d", code);
    return code == 0;
}

bool c_program_run(CProgram *p, effnetc_model *m, const void *const *in, void *const *out) {
    memset(p->arena, 0xff, p->arena_bytes); /* NaN: a result that depends on it shows */
    return c_program_run_again(p, m, in, out);
}

void c_program_close(CProgram *p) {
    if (!p->borrowed)
        rt_pool_free(p->pool);
    if (p->library)
        dlclose(p->library);
    rt_memory_free(p->weights);
    rt_memory_free(p->arena);
}

int c_program_threads(const CProgram *p) {
    return p->pool ? rt_pool_threads(p->pool) : 1;
}

void *c_program_arena(const CProgram *p, size_t *bytes) {
    *bytes = p->arena_bytes;
    return p->arena;
}
