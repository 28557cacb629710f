/* cmd_run.c: effnetc run: inputs in, outputs out, on one of the backends. */
#include "driver/driver.h"

#include <math.h>
#include <string.h>

typedef struct RunOptions {
    CommonOptions common;
    effnetc_options compiler;
    InputOptions inputs;
    effnetc_strings output;
    const char *output_dir, *labels, *backend;
    int top;
} RunOptions;

static const Option rows[] = {
    {"output", 0, OPT_REPEAT, offsetof(RunOptions, output), "[NAME=]FILE.npy",
     "write an output; - is standard output", 0, 0},
    {"output-dir", 0, OPT_TEXT, offsetof(RunOptions, output_dir), "DIR",
     "write all outputs, as 0.npy, 1.npy, ...", 0, 0},
    {"labels", 0, OPT_TEXT, offsetof(RunOptions, labels), "FILE",
     "names of the classes: JSON, or a line each", 0, 0},
    {"top", 0, OPT_INT, offsetof(RunOptions, top), "N",
     "print the N best classes (default: 5 with --labels)", 1, 1000},
    {"backend", 0, OPT_CHOICE, offsetof(RunOptions, backend), BACKEND_CHOICES,
     "what runs the model (default: c)", 0, 0},
    {"cc", 0, OPT_TEXT, offsetof(RunOptions, compiler.cc), "COMMAND",
     "C compiler of the c backend (default: $CC, else cc)", 0, 0},
    {"threads", 0, OPT_INT, offsetof(RunOptions, compiler.threads), "N",
     "threads of the c backend; 0: as many as CPUs (default: 1)", 0, RT_MAX_THREADS},
};
static const OptionGroup own = OPTION_GROUP(rows);

/* ---- the best classes ---- */

/* Index of the largest element after `last` in the order (value falling, index rising); -1 at the
 * end. NaNs are no candidates. */
static int64_t next_best(const Tensor *t, int64_t last) {
    int64_t best = -1;
    for (int64_t i = 0; i < shape_elems(&t->shape); i++) {
        double x = tensor_f64(t, i), limit = last < 0 ? INFINITY : tensor_f64(t, last);
        bool later = last < 0 || x < limit || (x == limit && i > last);
        if (!isnan(x) && later && (best < 0 || x > tensor_f64(t, best)))
            best = i;
    }
    return best;
}

/* The sum of exp(x - max): the denominator of softmax. */
static double softmax_sum(const Tensor *t, double max) {
    double sum = 0;
    for (int64_t i = 0; i < shape_elems(&t->shape); i++)
        sum += exp(tensor_f64(t, i) - max);
    return sum;
}

static void print_top(const Tensor *t, int n, const rt_labels *labels) {
    int64_t best = next_best(t, -1);
    double max = best < 0 ? 0 : tensor_f64(t, best), sum = softmax_sum(t, max);
    printf("%5s %10s %7s  %s\n", "class", "value", "softmax", labels->count ? "label" : "");
    for (int k = 0; k < n && best >= 0; k++, best = next_best(t, best)) {
        double x = tensor_f64(t, best);
        printf("%5lld %10.4f %6.2f%%  %s\n", (long long)best, x, 100 * exp(x - max) / sum,
               rt_label(labels, (size_t)best));
    }
}

/* ---- outputs ---- */

static void add_output(Outputs *files, const char *path, const Tensor *t, Arena *a) {
    size_t size;
    const void *data = npy_bytes(t, &size, a);
    outputs_add(files, path, data, size);
}

/* Whether output i says how much of another one is there: that one is cut to it. */
static bool is_count(const effnetc_model *m, size_t i) {
    for (size_t k = 0; k < m->outputs.len; k++)
        if (m->outputs.data[k].count == (int)i)
            return true;
    return false;
}

static bool write_outputs(const RunOptions *o, const effnetc_model *m, const char *const *path,
                          Tensor *const *out, Context *cx) {
    Outputs files = {0};
    for (size_t i = 0; i < m->outputs.len; i++) {
        if (path[i])
            add_output(&files, path[i], out[i], &cx->arena);
        if (o->output_dir && !is_count(m, i))
            add_output(&files, arena_printf(&cx->arena, "%s/%zu.npy", o->output_dir, i), out[i],
                       &cx->arena);
    }
    bool ok = outputs_commit(&files, &cx->diag);
    outputs_free(&files);
    return ok;
}

/* One line an output, for who asked for nothing else. */
static void print_summary(const effnetc_tensor *info, const Tensor *t, Arena *a) {
    double low = INFINITY, high = -INFINITY, sum = 0;
    int64_t n = shape_elems(&t->shape), nan = 0;
    Type type = type_plain(t->dtype, t->shape);
    for (int64_t i = 0; i < n; i++) {
        double x = tensor_f64(t, i);
        nan += isnan(x);
        low = fmin(low, x);
        high = fmax(high, x);
        sum += x;
    }
    printf("%s %s  min %.6g  max %.6g  mean %.6g", info->name, type_str(a, &type), low, high,
           n ? sum / (double)n : 0);
    printf(nan ? "  NaN %lld\n" : "\n", (long long)nan);
}

/* ---- the command ---- */

static bool load_labels(const RunOptions *o, rt_labels *labels, Diag *d) {
    rt_error err;
    int code = o->labels ? rt_labels_read(labels, o->labels, &err) : RT_OK;
    if (code != RT_OK)
        diag_error(d, code == RT_ERROR_IO ? EXIT_IO : EXIT_BAD_MODEL, o->labels, "%s", err.text);
    return code == RT_OK;
}

static void report(const RunOptions *o, effnetc_model *m, Tensor *const *out,
                   const rt_labels *labels, Arena *a) {
    if (o->top || o->labels)
        print_top(out[0], o->top ? o->top : 5, labels);
    else if (!o->output.count && !o->output_dir)
        for (size_t i = 0; i < m->outputs.len; i++)
            if (!is_count(m, i))
                print_summary(&m->outputs.data[i], out[i], a);
}

static void run_model(const RunOptions *o, effnetc_model *m, const rt_labels *labels, Context *cx) {
    Arena *a = &cx->arena;
    size_t n = m->outputs.len;
    Tensor **in = ARENA_ARRAY(a, m->inputs.len + 1, Tensor *),
           **out = ARENA_ARRAY(a, n + 1, Tensor *);
    const char **path = ARENA_ARRAY(a, n + 1, const char *);
    effnetc_backend backend = backend_by_name(o->backend ? o->backend : "c");
    bool ok = assign_paths("--output", o->output, m->outputs.data, n, path, &cx->diag);
    ok &= inputs_load(m, &o->inputs, in, a);
    if (ok && run_tensors(m, backend, in, out, a) && write_outputs(o, m, path, out, cx))
        report(o, m, out, labels, a);
}

static void run(Context *cx, const void *options) {
    const RunOptions *o = options;
    rt_labels labels = {0};
    effnetc_model *m = model_open(&o->compiler, &cx->diag);
    bool ok = load_labels(o, &labels, &cx->diag);
    ok &= load_for_inputs(m, o->common.args.items[0], &o->inputs);
    if (ok)
        run_model(o, m, &labels, cx);
    rt_labels_free(&labels);
    effnetc_free(m);
}

static void defaults(void *options) {
    ((RunOptions *)options)->compiler = effnetc_default_options();
}

const Command command_run = {
    .name = "run",
    .args = "MODEL",
    .summary = "run a model on .npy files or pictures",
    .about = "Without --output, --output-dir and --top it prints a line about each output.",
    .groups = {{&input_options, offsetof(RunOptions, inputs)},
               {&own, 0},
               {&compiler_options, offsetof(RunOptions, compiler)}},
    .size = sizeof(RunOptions),
    .defaults = defaults,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
