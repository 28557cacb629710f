/* cmd_verify.c: effnetc verify: compiled code against the oracle, or against given outputs. */
#include "driver/describe.h"
#include "driver/verify.h"

#include <math.h>
#include <string.h>

typedef struct VerifyOptions {
    CommonOptions common;
    effnetc_options compiler;
    InputOptions inputs;
    effnetc_strings expect;
    const char *backend, *against;
    double tolerance, atol, rtol; /* NaN, which no option can be: not given */
    int seed;
    bool per_layer, bisect, json;
} VerifyOptions;

static const Option rows[] = {
    {"expect", 0, OPT_REPEAT, offsetof(VerifyOptions, expect), "[NAME=]FILE.npy",
     "the right output (default: the interpreter's, before any pass)", 0, 0},
    {"against", 0, OPT_TEXT, offsetof(VerifyOptions, against), "MODEL",
     "the model that is right (default: this one)", 0, 0},
    {"per-layer", 0, OPT_FLAG, offsetof(VerifyOptions, per_layer), NULL,
     "compare what each step stores, and name the first that differs", 0, 0},
    {"bisect-passes", 0, OPT_FLAG, offsetof(VerifyOptions, bisect), NULL,
     "compare outputs after each pass, and name the first that brings a difference", 0, 0},
    {"json", 0, OPT_FLAG, offsetof(VerifyOptions, json), NULL, "print JSON", 0, 0},
    {"seed", 0, OPT_INT, offsetof(VerifyOptions, seed), "N",
     "without --input: which random numbers go in (default: 1)", 0, INT32_MAX},
    {"tolerance", 0, OPT_REAL, offsetof(VerifyOptions, tolerance), "T",
     "bounds max|out-ref| / max|ref| (default: 1e-4)", 0, 0},
    {"atol", 0, OPT_REAL, offsetof(VerifyOptions, atol), "A",
     "every |out-ref| <= A + R*|ref| (default: 0 where R is given)", 0, 0},
    {"rtol", 0, OPT_REAL, offsetof(VerifyOptions, rtol), "R",
     "every |out-ref| <= A + R*|ref| (default: 0 where A is given)", 0, 0},
    {"backend", 0, OPT_CHOICE, offsetof(VerifyOptions, backend), NATIVE_CHOICES "|loop-interp",
     "what is verified " DEFAULT_BACKEND, 0, 0},
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

static void check_bound(const char *option, double x, Diag *d) {
    if (x < 0)
        diag_error(d, EXIT_USAGE, "effnetc", "%s takes a number from 0 on, not %g", option, x);
}

static bool check_options(const VerifyOptions *o, Diag *d) {
    bool inside = o->per_layer || o->bisect;
    check_bound("--tolerance", o->tolerance, d);
    check_bound("--atol", o->atol, d);
    check_bound("--rtol", o->rtol, d);
    if (o->per_layer && o->bisect)
        diag_error(d, EXIT_USAGE, "effnetc", "--per-layer and --bisect-passes are two questions");
    if (inside && o->expect.count) {
        diag_error(d, EXIT_USAGE, "effnetc", "--expect has outputs alone, and %s needs more",
                   o->per_layer ? "--per-layer" : "--bisect-passes");
        diag_note(d, "help", "leave it out, or name the right model with --against");
    }
    if (o->against && o->expect.count)
        diag_error(d, EXIT_USAGE, "effnetc", "--against and --expect both say what is right");
    return d->errors == 0;
}

/* ---- references ---- */

/* All that verifying works on. */
typedef struct Verification {
    const VerifyOptions *o;
    effnetc_model *m, *reference; /* reference: m itself, or --against's */
    Arena *a;
    Tolerance t;
    Tensor **in, **out, **ref; /* ref[i]: NULL where there is none for output i */
} Verification;

static Tensor *expected(const char *path, const effnetc_tensor *t, Arena *a, Diag *d) {
    Tensor *ref = npy_load(path, tensor_dtype(t), a, d);
    Shape want = shape_of(t->rank, t->dims);
    if (ref && t->count >= 0 && ref->shape.rank == t->rank &&
        ref->shape.dim[t->axis] < want.dim[t->axis])
        want.dim[t->axis] = ref->shape.dim[t->axis];
    if (!ref || shape_equal(&ref->shape, &want))
        return ref;
    Type wanted = type_plain(tensor_dtype(t), want), found = type_plain(ref->dtype, ref->shape);
    diag_error(d, EXIT_USAGE, path, "the array does not fit the output \"%s\"", t->name);
    diag_note(d, "wanted", "%s", type_str(a, &wanted));
    diag_note(d, "found", "%s", type_str(a, &found));
    return NULL;
}

static bool expected_files(Verification *v) {
    effnetc_model *m = v->m;
    const char **path = ARENA_ARRAY(v->a, m->outputs.len + 1, const char *);
    if (!assign_paths("--expect", v->o->expect, m->outputs.data, m->outputs.len, path, m->diag))
        return false;
    for (size_t i = 0; i < m->outputs.len; i++)
        if (path[i])
            v->ref[i] = expected(path[i], &m->outputs.data[i], v->a, m->diag);
    return m->diag->errors == 0;
}

static bool take_references(Verification *v) {
    if (v->o->expect.count)
        return expected_files(v);
    return run_tensors(v->reference, EFFNETC_BACKEND_INTERP, v->in, v->ref, v->a);
}

static bool same_tensors(effnetc_model *m, const effnetc_model *other, const char *what,
                         const effnetc_tensor *x, size_t nx, const effnetc_tensor *y, size_t ny) {
    bool same = nx == ny;
    for (size_t i = 0; same && i < nx; i++)
        same = !strcmp(x[i].dtype, y[i].dtype) && x[i].rank == y[i].rank &&
               !memcmp(x[i].dims, y[i].dims, (size_t)x[i].rank * sizeof *x[i].dims);
    if (!same)
        diag_error(m->diag, EXIT_USAGE, other->path, "its %s are not those of %s", what, m->path);
    return same;
}

/* The model of --against, on the same inputs. */
static bool open_reference(Verification *v) {
    effnetc_model *m = v->m, *r = v->reference = v->o->against ? NULL : m;
    if (r)
        return true;
    r = v->reference = model_open(&v->o->compiler, m->diag);
    if (!load_for_inputs(r, v->o->against, &v->o->inputs))
        return false;
    bool inputs =
        same_tensors(m, r, "inputs", m->inputs.data, m->inputs.len, r->inputs.data, r->inputs.len);
    bool outputs = same_tensors(m, r, "outputs", m->outputs.data, m->outputs.len, r->outputs.data,
                                r->outputs.len);
    return inputs && outputs;
}

/* ---- results ---- */

/* Sizes that depend on data can differ. */
static void explain_size(effnetc_model *m, const char *name, const Tensor *out, const Tensor *ref) {
    Type found = type_plain(out->dtype, out->shape), wanted = type_plain(ref->dtype, ref->shape);
    diag_error(m->diag, EXIT_VERIFY, m->path, "the output \"%s\" has another size", name);
    diag_note(m->diag, "wanted", "%s", type_str(&m->diag->arena, &wanted));
    diag_note(m->diag, "found", "%s", type_str(&m->diag->arena, &found));
}

static OutputCheck *compare_outputs(const Verification *v) {
    effnetc_model *m = v->m;
    OutputCheck *list = ARENA_ARRAY(v->a, m->outputs.len + 1, OutputCheck);
    for (size_t i = 0; i < m->outputs.len; i++) {
        OutputCheck *x = &list[i];
        *x = (OutputCheck){.name = m->outputs.data[i].name, .compared = v->ref[i] != NULL};
        if (!x->compared)
            continue;
        x->resized = !shape_equal(&v->out[i]->shape, &v->ref[i]->shape);
        if (x->resized) {
            explain_size(m, x->name, v->out[i], v->ref[i]);
            continue;
        }
        x->c = tensor_compare(v->out[i], v->ref[i], &v->t);
        if (x->c.pass)
            continue;
        diag_error(m->diag, EXIT_VERIFY, m->path, "the output \"%s\" differs from its reference",
                   x->name);
        note_comparison(m->diag, &x->c, &v->t);
    }
    return list;
}

static void explain_layer(const Verification *v, const Layer *x) {
    effnetc_model *m = v->m;
    Type t = type_plain(x->value->type.dtype, x->value->type.shape);
    diag_error(m->diag, EXIT_VERIFY, m->path, "layer \"%s\" (%s) is the first that differs",
               *x->node->origin ? short_origin(x->node->origin, v->a) : x->value->name,
               op_info(x->node->op)->name);
    diag_note(m->diag, "result", "%s, the value \"%s\" of the model", type_str(v->a, &t),
              x->source);
    note_comparison(m->diag, &x->c, &v->t);
}

/* What drifts says nothing about the code; it is told where nothing else is found. */
static void explain_drift(const Verification *v, const Layer *x) {
    Diag *d = v->m->diag;
    diag_warning(d, v->m->path, "layer \"%s\" (%s) is the first that drifts",
                 *x->node->origin ? short_origin(x->node->origin, v->a) : x->value->name,
                 op_info(x->node->op)->name);
    note_comparison(d, &x->c, &v->t);
    diag_note(d, "but", "a change of the inputs' last bits alone makes it differ by %.3g",
              x->drift);
    diag_note(d, "help",
              "values of random weights, and of models without the batch norms' "
              "statistics, amplify rounding; compare with trained ones");
}

static void explain_pass(const Verification *v, const Bisection *b) {
    Diag *d = v->m->diag;
    bool backend = !strcmp(b->first->level, "backend");
    diag_error(d, EXIT_VERIFY, v->m->path, "%s %s brought the difference",
               backend ? "the backend" : "pass", b->first->name);
    note_comparison(d, &b->first->worst, &v->t);
    if (layers_first(&b->layers))
        explain_layer(v, layers_first(&b->layers));
}

/* ---- the three ways ---- */

static effnetc_backend verified_backend(const VerifyOptions *o) {
    return o->backend ? backend_by_name(o->backend) : native_backend(&o->compiler);
}

static void print(const Verification *v, VerifyReport r) {
    r.m = v->m;
    r.backend = backend_name(verified_backend(v->o));
    r.reference = v->o->expect.count ? "files"
                  : v->o->against    ? base_name(v->reference->path)
                                     : "interpreter";
    r.tolerance = v->t;
    verify_print(&r, v->o->json);
}

static void verify_outputs(const Verification *v, effnetc_backend backend) {
    v->m->code_only = true;
    if (run_tensors(v->m, backend, v->in, v->out, v->a))
        print(v, (VerifyReport){.outputs = compare_outputs(v)});
}

static void verify_layers(const Verification *v, effnetc_backend backend) {
    effnetc_model *m = v->m;
    Layers l;
    if (!model_source(m))
        return;
    graph_track_sources(m->source);
    if (!effnetc_compile(m) || !layers_open(&l, m, v->reference, v->in, v->ref, &v->t, v->a) ||
        !layers_run(&l, m, backend, v->in, v->out) || !cut_outputs(m, v->out, v->a))
        return;
    if (layers_first(&l) && !layers_find_drift(&l, v->reference, v->in))
        return;
    if (layers_first(&l))
        explain_layer(v, layers_first(&l));
    else if (layers_first_drift(&l))
        explain_drift(v, layers_first_drift(&l));
    if (!layers_compared(&l))
        diag_warning(m->diag, v->reference->path, "no value in it is called as one of %s", m->path);
    print(v, (VerifyReport){.outputs = compare_outputs(v), .layers = &l});
}

static void verify_passes(const Verification *v, effnetc_backend backend) {
    effnetc_model *m = v->m;
    Bisection b;
    if (!model_source(m))
        return;
    graph_track_sources(m->source);
    if (!bisect_passes(&b, m, v->reference, backend, v->in, v->ref, &v->t, v->a))
        return;
    if (b.first)
        explain_pass(v, &b);
    print(v, (VerifyReport){.bisection = &b, .layers = b.first ? &b.layers : NULL});
}

static bool take_inputs(Verification *v) {
    effnetc_model *m = v->m;
    v->in = ARENA_ARRAY(v->a, m->inputs.len + 1, Tensor *);
    v->out = ARENA_ARRAY(v->a, m->outputs.len + 1, Tensor *);
    v->ref = ARENA_ARRAY(v->a, m->outputs.len + 1, Tensor *);
    if (!(v->o->inputs.input.count ? inputs_load(m, &v->o->inputs, v->in, v->a)
                                   : inputs_random(m, v->o->seed, v->in, v->a)))
        return false;
    warn_unless_shown(m);
    return true;
}

static void verify(Verification *v) {
    effnetc_backend backend = verified_backend(v->o);
    if (!take_inputs(v) || !open_reference(v))
        return;
    if (v->o->per_layer)
        verify_layers(v, backend);
    else if (!take_references(v))
        return;
    else if (v->o->bisect)
        verify_passes(v, backend);
    else
        verify_outputs(v, backend);
}

static void run(Context *cx, const void *options) {
    const VerifyOptions *o = options;
    Verification v = {.o = o, .a = &cx->arena, .t = tolerance(o)};
    if (!check_options(o, &cx->diag))
        return;
    v.m = model_open(&o->compiler, &cx->diag);
    if (load_for_inputs(v.m, o->common.args.items[0], &o->inputs))
        verify(&v);
    if (v.reference && v.reference != v.m)
        effnetc_free(v.reference);
    effnetc_free(v.m);
}

static void defaults(void *options) {
    VerifyOptions *o = options;
    o->compiler = effnetc_default_options();
    o->tolerance = o->atol = o->rtol = NAN;
    o->seed = 1;
}

const Command command_verify = {
    .name = "verify",
    .args = "MODEL",
    .summary = "compare compiled code with the interpreter, or with given outputs",
    .about = "Exits with 5 where an output differs. NaN must meet NaN, an infinity itself.\n"
             "ulp: the largest difference, in units in the last place of its reference.",
    .groups = {{&own, 0},
               {&native_options, offsetof(VerifyOptions, compiler)},
               {&input_options, offsetof(VerifyOptions, inputs)},
               {&jit_options, offsetof(VerifyOptions, compiler)},
               {&compiler_options, offsetof(VerifyOptions, compiler)}},
    .size = sizeof(VerifyOptions),
    .defaults = defaults,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
