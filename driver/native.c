/* native.c: a program of compiled code in this process: its weights, arena and threads. Whoever
 * made the code (backend_*.c) has loaded it. */
#include "driver/driver.h"

#include <string.h>

static const Option native_rows[] = {
    {"cc", 0, OPT_TEXT, offsetof(effnetc_options, cc), "COMMAND",
     "C compiler of the c backend (default: $CC, else cc)", 0, 0},
    {"threads", 0, OPT_INT, offsetof(effnetc_options, threads), "N",
     "threads of native code; 0: as many as CPUs (default: 1)", 0, RT_MAX_THREADS},
};
const OptionGroup native_options = OPTION_GROUP(native_rows);

typedef int Entry(const void *weights, const void *const *in, void *const *out, void *arena,
                  void *pool, ParallelFor *parallel_for);
typedef int Pictures(const void *weights, const uint8_t *const *rgb, const int *width,
                     const int *height, void *const *out, void *arena, void *pool,
                     ParallelFor *parallel_for);
typedef int CheckWeights(const void *weights, size_t size);
typedef void Watch(StepDone *f, void *context);

struct NativeProgram {
    NativeCode code;
    Entry *entry;
    Pictures *pictures;  /* NULL: it takes none of any size */
    const void *weights; /* the model's */
    void *arena;
    size_t weights_bytes, arena_bytes;
    rt_pool *pool; /* NULL: one thread */
    bool borrowed; /* the pool is another program's */
};

/* By effnetc_backend; NULL: it makes no native code. */
static CodeMaker *const makers[] = {
    [EFFNETC_BACKEND_C] = c_code, [EFFNETC_BACKEND_LLVM] = llvm_code};

/* ---- opening ---- */

static bool runs_here(effnetc_model *m) {
    if (target_runs_here(m->target))
        return true;
    diag_error(m->diag, EXIT_UNSUPPORTED, "effnetc", "this machine can't run code for %s",
               m->target->name);
    diag_note(m->diag, "help", "--backend=loop-interp runs it anywhere; this machine is %s",
              target_native()->name);
    return false;
}

bool threads_new(rt_pool **pool, effnetc_model *m) {
    rt_error err;
    if (rt_pool_new(pool, m->options.threads, &err) == RT_OK)
        return true;
    diag_error(m->diag, EXIT_USAGE, "effnetc", "%d threads can't be had: %s", m->options.threads,
               err.text);
    return false;
}

static bool start_threads(NativeProgram *p, effnetc_model *m, const NativeProgram *other) {
    p->borrowed = other != NULL;
    if (other)
        p->pool = other->pool;
    return other || m->options.threads == 1 || threads_new(&p->pool, m);
}

static void *aligned(size_t size) {
    void *p = rt_memory_new(size);
    if (!p)
        die_no_memory(size);
    return p;
}

/* The model's weights, where code can use them. */
static const void *take_weights(effnetc_model *m) {
    Module *module = m->program.module;
    if (!m->weights) {
        m->weights = aligned((size_t)module->weights_bytes);
        if (module->weights_bytes)
            module_move_weights(module, m->weights);
    }
    return m->weights;
}

static bool allocate(NativeProgram *p, effnetc_model *m) {
    const Module *module = m->program.module;
    p->weights = module ? take_weights(m) : m->cached.weights;
    p->weights_bytes = module ? (size_t)module->weights_bytes : m->cached.weights_bytes;
    p->arena_bytes = module ? (size_t)module->arena_bytes : m->cached.arena_bytes;
    if (!memory_suffices(m, "arena", p->arena_bytes))
        return false;
    p->arena = aligned(p->arena_bytes);
    return true;
}

/* `function` points at a pointer to it. */
static bool find(const NativeProgram *p, effnetc_model *m, const char *name, void *function) {
    return p->code.symbol(p->code.handle, name, function, m->diag);
}

static bool check_weights(const NativeProgram *p, effnetc_model *m) {
    CheckWeights *check = NULL;
    if (!find(p, m, arena_printf(&m->arena, "%s_check_weights", m->name), &check))
        return false;
    int code = check(p->weights, p->weights_bytes);
    if (code != 0)
        diag_error(m->diag, EXIT_INTERNAL, m->path,
                   "the generated code refuses its own weights: check %d failed", code);
    return code == 0;
}

static bool watch(const NativeProgram *p, effnetc_model *m, const NativeOptions *o) {
    Watch *set = NULL;
    if (!find(p, m, "effnetc_watch", &set))
        return false;
    set(o->step_done, o->context);
    return true;
}

/* Code for pictures of any size works in a larger arena. */
static bool open_pictures(NativeProgram *p, effnetc_model *m) {
    const size_t *bytes = NULL;
    if (!m->pictures || !m->pictures->any)
        return true;
    if (!find(p, m, "effnetc_pictures", &p->pictures) ||
        !find(p, m, "effnetc_pictures_arena", &bytes))
        return false;
    rt_memory_free(p->arena);
    p->arena_bytes = *bytes;
    p->arena = aligned(p->arena_bytes);
    return true;
}

static bool open_program(NativeProgram *p, effnetc_model *m, const NativeOptions *o) {
    ensure((size_t)o->backend < sizeof makers / sizeof *makers && makers[o->backend]);
    if (!runs_here(m) || !start_threads(p, m, o->threads_of) ||
        !makers[o->backend](&p->code, m, o->step_done != NULL, p->pool))
        return false;
    return allocate(p, m) && find(p, m, "effnetc_entry", &p->entry) && open_pictures(p, m) &&
           check_weights(p, m) && (!o->step_done || watch(p, m, o));
}

NativeProgram *native_open(effnetc_model *m, const NativeOptions *o) {
    NativeProgram *p = ARENA_NEW(&m->arena, NativeProgram);
    if (open_program(p, m, o))
        return p;
    native_close(p);
    return NULL;
}

/* ---- running ---- */

bool native_run_on(NativeProgram *p, effnetc_model *m, const void *const *in, void *const *out,
                   void *context, ParallelFor *parallel_for) {
    const Shown *s = p->pictures ? m->shown : NULL;
    int code = s ? p->pictures(p->weights, s->rgb, s->width, s->height, out, p->arena, context,
                               parallel_for)
                 : p->entry(p->weights, in, out, p->arena, context, parallel_for);
    if (code != 0)
        diag_error(m->diag, EXIT_INTERNAL, m->path, "the generated code returned %d", code);
    return code == 0;
}

bool native_run_again(NativeProgram *p, effnetc_model *m, const void *const *in, void *const *out) {
    return native_run_on(p, m, in, out, p->pool, rt_pool_for);
}

bool native_run(NativeProgram *p, effnetc_model *m, const void *const *in, void *const *out) {
    memset(p->arena, 0xff, p->arena_bytes); /* NaN: a result that depends on it shows */
    return native_run_again(p, m, in, out);
}

void native_close(NativeProgram *p) {
    if (!p->borrowed)
        rt_pool_free(p->pool);
    if (p->code.handle)
        p->code.close(p->code.handle);
    rt_memory_free(p->arena);
}

int native_threads(const NativeProgram *p) {
    return p->pool ? rt_pool_threads(p->pool) : 1;
}

rt_pool *native_pool(const NativeProgram *p) {
    return p->pool;
}

void *native_arena(const NativeProgram *p, size_t *bytes) {
    *bytes = p->arena_bytes;
    return p->arena;
}
