/* execute.c: running a model on one of the backends. */
#include "driver/driver.h"

#include "codegen/emit_llvm.h"

#include <string.h>

/* watch: NULL, or who looks at the steps of compiled code. */
typedef bool Backend(effnetc_model *m, const void *const *in, void *const *out,
                     const StepWatch *watch);

static Type type_of(const effnetc_tensor *t) {
    return type_plain(tensor_dtype(t), shape_of(t->rank, t->dims));
}

static bool run_interp(effnetc_model *m, const void *const *in, void *const *out,
                       const StepWatch *watch) {
    (void)watch;
    Arena a = {0};
    Tensor **x = ARENA_ARRAY(&a, m->inputs.len + 1, Tensor *);
    Tensor **y = ARENA_ARRAY(&a, m->outputs.len + 1, Tensor *);
    for (size_t i = 0; i < m->inputs.len; i++) {
        Type t = type_of(&m->inputs.data[i]);
        x[i] = tensor_wrap(&a, t.dtype, t.shape, in[i]);
    }
    bool ok = model_source(m) && graph_eval(m->source, x, y, &a, m->diag);
    for (size_t i = 0; ok && i < m->outputs.len; i++)
        memcpy(out[i], y[i]->data, m->outputs.data[i].bytes);
    arena_free(&a);
    return ok;
}

static bool compiled(effnetc_model *m) {
    return m->program.module || effnetc_compile(m);
}

static bool run_loop_interp(effnetc_model *m, const void *const *in, void *const *out,
                            const StepWatch *watch) {
    return compiled(m) && memory_suffices(m, "arena", (uint64_t)m->program.module->arena_bytes) &&
           module_eval_watched(m->program.module, in, out, watch, m->diag);
}

/* A watch of a program, whose arena is known once it is open. */
typedef struct NativeWatch {
    const StepWatch *watch;
    const void *arena;
} NativeWatch;

static void native_step_done(void *context, int step) {
    const NativeWatch *w = context;
    w->watch->done(w->watch->context, step, w->arena);
}

/* Code that is kept needs no compilation, but has no steps to watch. */
static NativeProgram *open_native(effnetc_model *m, const NativeOptions *o) {
    bool cached = o->backend == EFFNETC_BACKEND_LLVM && m->cached.memory && !o->step_done;
    return cached || compiled(m) ? native_open(m, o) : NULL;
}

static bool run_native(effnetc_model *m, effnetc_backend backend, const void *const *in,
                       void *const *out, const StepWatch *watch) {
    NativeWatch w = {.watch = watch};
    NativeOptions o = {
        .backend = backend, .step_done = watch ? native_step_done : NULL, .context = &w};
    NativeProgram *p = open_native(m, &o);
    size_t bytes;
    if (p)
        w.arena = native_arena(p, &bytes);
    bool ok = p && native_run(p, m, in, out);
    if (p)
        native_close(p);
    return ok;
}

static bool run_c(effnetc_model *m, const void *const *in, void *const *out,
                  const StepWatch *watch) {
    return run_native(m, EFFNETC_BACKEND_C, in, out, watch);
}

static bool run_llvm(effnetc_model *m, const void *const *in, void *const *out,
                     const StepWatch *watch) {
    return run_native(m, EFFNETC_BACKEND_LLVM, in, out, watch);
}

typedef struct BackendRow {
    const char *name; /* as in BACKEND_CHOICES */
    Backend *run;
} BackendRow;

static const BackendRow backends[] = {
    [EFFNETC_BACKEND_INTERP] = {"interp", run_interp},
    [EFFNETC_BACKEND_LOOP_INTERP] = {"loop-interp", run_loop_interp},
    [EFFNETC_BACKEND_C] = {"c", run_c},
    [EFFNETC_BACKEND_LLVM] = {"llvm", run_llvm},
};
enum { NBACKENDS = sizeof backends / sizeof *backends };

effnetc_backend backend_by_name(const char *name) {
    for (size_t i = 0; i < NBACKENDS; i++)
        if (!strcmp(backends[i].name, name))
            return (effnetc_backend)i;
    die("no backend %s", name);
}

const char *backend_name(effnetc_backend backend) {
    return backends[backend].name;
}

effnetc_backend effnetc_native_backend(void) {
    return emit_llvm_available() ? EFFNETC_BACKEND_LLVM : EFFNETC_BACKEND_C;
}

effnetc_backend native_backend(const effnetc_options *o) {
    if (o->native)
        return backend_by_name(o->native);
    return o->cc ? EFFNETC_BACKEND_C : effnetc_native_backend();
}

bool run_watched(effnetc_model *m, effnetc_backend backend, const void *const *in, void *const *out,
                 const StepWatch *watch) {
    ensure(m->path && (size_t)backend < NBACKENDS);
    return m->diag->errors == 0 && backends[backend].run(m, in, out, watch);
}

bool effnetc_run(effnetc_model *m, effnetc_backend backend, const void *const *in,
                 void *const *out) {
    return run_watched(m, backend, in, out, NULL);
}

/* Of an output whose size depends on data, what is there. */
static bool cut_to_count(effnetc_model *m, size_t i, Tensor **out, Arena *a) {
    const effnetc_tensor *t = &m->outputs.data[i];
    if (t->count < 0)
        return true;
    int64_t count = tensor_i64(out[t->count], 0);
    if (count < 0 || count > t->dims[t->axis]) {
        diag_error(m->diag, EXIT_BAD_MODEL, m->path,
                   "output %s has %lld elements, its count is %lld", t->name,
                   (long long)t->dims[t->axis], (long long)count);
        return false;
    }
    out[i] = tensor_first(out[i], t->axis, count, a);
    return true;
}

bool cut_outputs(effnetc_model *m, Tensor **out, Arena *a) {
    bool ok = true;
    for (size_t i = 0; i < m->outputs.len; i++)
        ok = ok && cut_to_count(m, i, out, a);
    return ok;
}

TensorMemory lay_out(const effnetc_model *m, Tensor *const *in, Tensor **out, Arena *a) {
    TensorMemory at = {ARENA_ARRAY(a, m->inputs.len + 1, const void *),
                       ARENA_ARRAY(a, m->outputs.len + 1, void *)};
    for (size_t i = 0; i < m->inputs.len; i++)
        at.in[i] = in[i]->data;
    for (size_t i = 0; i < m->outputs.len; i++) {
        out[i] = tensor_for(&m->outputs.data[i], a);
        at.out[i] = tensor_mutable(out[i]);
    }
    return at;
}

bool run_tensors(effnetc_model *m, effnetc_backend backend, Tensor *const *in, Tensor **out,
                 Arena *a) {
    TensorMemory at = lay_out(m, in, out, a);
    return effnetc_run(m, backend, at.in, at.out) && cut_outputs(m, out, a);
}

/* ---- again and again ---- */

static bool is_native(effnetc_backend backend) {
    return backend != EFFNETC_BACKEND_INTERP && backend != EFFNETC_BACKEND_LOOP_INTERP;
}

bool runner_open(Runner *r, effnetc_model *m, effnetc_backend backend) {
    NativeOptions o = {.backend = backend};
    *r = (Runner){.m = m, .backend = backend};
    if (is_native(backend))
        r->program = open_native(m, &o);
    return !is_native(backend) || r->program;
}

bool runner_run(Runner *r, Tensor *const *in, Tensor **out, Arena *a) {
    effnetc_model *m = r->m;
    TensorMemory at = lay_out(m, in, out, a);
    bool ok = r->program ? native_run_again(r->program, m, at.in, at.out)
                         : backends[r->backend].run(m, at.in, at.out, NULL);
    return ok && cut_outputs(m, out, a);
}

void runner_close(Runner *r) {
    if (r->program)
        native_close(r->program);
}
