/* cmd_verify.c: effnetc verify: compiled code against the oracle, or against given outputs. */
#include "driver/driver.h"

#include <math.h>
#include <string.h>

typedef struct VerifyOptions {
    CommonOptions common;
    effnetc_options compiler;
    InputOptions inputs;
    effnetc_strings expect;
    const char *backend;
    double tolerance, atol, rtol; /* negative: not given */
    int seed;
} VerifyOptions;

static const Option rows[] = {
    {"expect", 0, OPT_REPEAT, offsetof(VerifyOptions, expect), "[NAME=]FILE.npy",
     "the right output (default: the interpreter's, before any pass)", 0, 0},
    {"seed", 0, OPT_INT, offsetof(VerifyOptions, seed), "N",
     "without --input: which random numbers go in (default: 1)", 0, INT32_MAX},
    {"tolerance", 0, OPT_REAL, offsetof(VerifyOptions, tolerance), "T",
     "bounds max|out-ref| / max|ref| (default: 1e-4)", 0, 0},
    {"atol", 0, OPT_REAL, offsetof(VerifyOptions, atol), "A",
     "every |out-ref| <= A + R*|ref| (default: 0 where R is given)", 0, 0},
    {"rtol", 0, OPT_REAL, offsetof(VerifyOptions, rtol), "R",
     "every |out-ref| <= A + R*|ref| (default: 0 where A is given)", 0, 0},
    {"backend", 0, OPT_CHOICE, offsetof(VerifyOptions, backend), "c|loop-interp",
     "what is verified (default: c)", 0, 0},
    {"cc", 0, OPT_TEXT, offsetof(VerifyOptions, compiler.cc), "COMMAND",
     "C compiler of the c backend (default: $CC, else cc)", 0, 0},
    {"threads", 0, OPT_INT, offsetof(VerifyOptions, compiler.threads), "N",
     "threads of the c backend; 0: as many as CPUs (default: 1)", 0, RT_MAX_THREADS},
};
static const OptionGroup own = OPTION_GROUP(rows);

/* Elementwise bounds replace the default of --tolerance, not one that was given. */
static Tolerance tolerance(const VerifyOptions *o) {
    bool each = o->atol >= 0 || o->rtol >= 0;
    return (Tolerance){
        .relative = o->tolerance >= 0 ? o->tolerance
                    : each            ? INFINITY
                                      : 1e-4,
        .atol = fmax(o->atol, 0),
        .rtol = fmax(o->rtol, 0),
        .each = each,
    };
}

/* ---- references ---- */

static Tensor *expected(const char *path, const effnetc_tensor *t, Arena *a, Diag *d) {
    Tensor *ref = npy_load(path, tensor_dtype(t), a, d);
    Shape want = shape_of(t->rank, t->dims);
    if (ref && t->count >= 0 && ref->shape.rank == t->rank &&
        ref->shape.dim[t->axis] < want.dim[t->axis])
        want.dim[t->axis] = ref->shape.dim[t->axis];
    if (!ref || shape_equal(&ref->shape, &want))
        return ref;
    Type wanted = type_plain(tensor_dtype(t), want), found = type_plain(ref->dtype, ref->shape);
    diag_error(d, EXIT_USAGE, path, "the array does not fit the output %s", t->name);
    diag_note(d, "wanted", "%s", type_str(a, &wanted));
    diag_note(d, "found", "%s", type_str(a, &found));
    return NULL;
}

/* ref[i] of each output that is to be compared; the others stay NULL. */
static bool take_references(const VerifyOptions *o, effnetc_model *m, Tensor *const *in,
                            Tensor **ref, Arena *a) {
    size_t n = m->outputs.len;
    const char **path = ARENA_ARRAY(a, n + 1, const char *);
    if (!o->expect.count)
        return run_tensors(m, EFFNETC_BACKEND_INTERP, in, ref, a);
    if (!assign_paths("--expect", o->expect, m->outputs.data, n, path, m->diag))
        return false;
    for (size_t i = 0; i < n; i++)
        if (path[i])
            ref[i] = expected(path[i], &m->outputs.data[i], a, m->diag);
    return m->diag->errors == 0;
}

/* ---- results ---- */

static void explain(Diag *d, const char *where, const char *name, const Tensor *out,
                    const Tensor *ref, const Comparison *c, const Tolerance *t) {
    diag_error(d, EXIT_VERIFY, where, "the output %s differs from its reference", name);
    if (c->not_finite)
        diag_note(d, "reason", "%lld elements are NaN or infinite on one side alone",
                  (long long)c->not_finite);
    if (c->out_of_band)
        diag_note(d, "reason", "%lld elements are outside of %g + %g * |ref|",
                  (long long)c->out_of_band, t->atol, t->rtol);
    if (c->relative > t->relative)
        diag_note(d, "reason", "max|out-ref| / max|ref| is %.3g, %.3g is allowed", c->relative,
                  t->relative);
    if (c->worst >= 0)
        diag_note(d, "where", "element %lld is %.9g, wanted %.9g", (long long)c->worst,
                  tensor_f64(out, c->worst), tensor_f64(ref, c->worst));
}

/* Sizes that depend on data can differ. */
static bool same_size(effnetc_model *m, const char *name, const Tensor *out, const Tensor *ref) {
    if (shape_equal(&out->shape, &ref->shape))
        return true;
    Type found = type_plain(out->dtype, out->shape), wanted = type_plain(ref->dtype, ref->shape);
    printf("%-24s %12s %12s  %s\n", name, "-", "-", "FAIL");
    diag_error(m->diag, EXIT_VERIFY, m->path, "the output %s has another size", name);
    diag_note(m->diag, "wanted", "%s", type_str(&m->diag->arena, &wanted));
    diag_note(m->diag, "found", "%s", type_str(&m->diag->arena, &found));
    return false;
}

static void compare_all(const VerifyOptions *o, effnetc_model *m, Tensor *const *out,
                        Tensor *const *ref) {
    Tolerance t = tolerance(o);
    printf("%-24s %12s %12s  %s\n", "output", "max abs", "relative", "result");
    for (size_t i = 0; i < m->outputs.len; i++) {
        const char *name = m->outputs.data[i].name;
        if (!ref[i]) {
            printf("%-24s %12s %12s  %s\n", name, "-", "-", "not compared");
            continue;
        }
        if (!same_size(m, name, out[i], ref[i]))
            continue;
        Comparison c = tensor_compare(out[i], ref[i], &t);
        printf("%-24s %12.4g %12.4g  %s\n", name, c.max_abs, c.relative, c.pass ? "PASS" : "FAIL");
        if (!c.pass)
            explain(m->diag, m->path, name, out[i], ref[i], &c, &t);
    }
}

static void verify(const VerifyOptions *o, effnetc_model *m, Arena *a) {
    size_t n = m->outputs.len;
    Tensor **in = ARENA_ARRAY(a, m->inputs.len + 1, Tensor *);
    Tensor **out = ARENA_ARRAY(a, n + 1, Tensor *), **ref = ARENA_ARRAY(a, n + 1, Tensor *);
    effnetc_backend backend = backend_by_name(o->backend ? o->backend : "c");
    if (o->inputs.input.count && !inputs_load(m, &o->inputs, in, a))
        return;
    if (!o->inputs.input.count)
        inputs_random(m, o->seed, in, a);
    if (take_references(o, m, in, ref, a) && run_tensors(m, backend, in, out, a))
        compare_all(o, m, out, ref);
}

static void run(Context *cx, const void *options) {
    const VerifyOptions *o = options;
    effnetc_model *m = model_open(&o->compiler, &cx->diag);
    if (load_for_inputs(m, o->common.args.items[0], &o->inputs))
        verify(o, m, &cx->arena);
    effnetc_free(m);
}

static void defaults(void *options) {
    VerifyOptions *o = options;
    o->compiler = effnetc_default_options();
    o->tolerance = o->atol = o->rtol = -1;
    o->seed = 1;
}

const Command command_verify = {
    .name = "verify",
    .args = "MODEL",
    .summary = "compare compiled code with the interpreter, or with given outputs",
    .about = "Exits with 5 where an output differs. NaN must meet NaN, an infinity itself.",
    .groups = {{&own, 0},
               {&input_options, offsetof(VerifyOptions, inputs)},
               {&compiler_options, offsetof(VerifyOptions, compiler)}},
    .size = sizeof(VerifyOptions),
    .defaults = defaults,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
