/* cmd_run.c: effnetc run: inputs in, outputs out, on one of the backends. */
#include "driver/pictures.h"

#include <math.h>
#include <string.h>

typedef struct RunOptions {
    CommonOptions common;
    effnetc_options compiler;
    InputOptions inputs;
    effnetc_strings output;
    const char *output_dir, *labels, *backend, *csv;
    bool json;
    int top, batch;
    double score;
} RunOptions;

static const Option rows[] = {
    {"output", 0, OPT_REPEAT, offsetof(RunOptions, output), "[NAME=]FILE.npy",
     "write an output; - is standard output", 0, 0},
    {"output-dir", 0, OPT_TEXT, offsetof(RunOptions, output_dir), "DIR",
     "write all outputs, as 0.npy, 1.npy, ...; of pictures: PNG with boxes or masks, else .npy", 0,
     0},
    {"labels", 0, OPT_TEXT, offsetof(RunOptions, labels), "FILE",
     "names of the classes: JSON, or a line each (default: the \"labels\" of NAME.json)", 0, 0},
    {"top", 0, OPT_INT, offsetof(RunOptions, top), "N",
     "print the N best classes (default: 5 of pictures, and with --labels)", 1, 1000},
    {"csv", 0, OPT_TEXT, offsetof(RunOptions, csv), "FILE",
     "pictures: write a table of what was found; - is standard output", 0, 0},
    {"json", 0, OPT_FLAG, offsetof(RunOptions, json), NULL, "pictures: print JSON", 0, 0},
    {"batch", 0, OPT_INT, offsetof(RunOptions, batch), "N",
     "pictures: so many at a time, where the model's batch is symbolic", 1, 4096},
    {"score", 0, OPT_REAL, offsetof(RunOptions, score), "S",
     "pictures: boxes with this score at least (default: 0.3)", 0, 0},
    {"backend", 0, OPT_CHOICE, offsetof(RunOptions, backend), BACKEND_CHOICES,
     "what runs the model " DEFAULT_BACKEND, 0, 0},
};
static const OptionGroup own = OPTION_GROUP(rows);

static effnetc_backend chosen_backend(const RunOptions *o) {
    return o->backend ? backend_by_name(o->backend) : native_backend(&o->compiler);
}

static void print_top(const Tensor *t, int n, const rt_labels *labels, Arena *a) {
    Found *found = ARENA_ARRAY(a, n, Found);
    print_classes(stdout, found, best_classes(t, (size_t)n, found), labels);
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
    printf("%s %s  min %.6g  max %.6g  mean %.6g", printable(a, info->name), type_str(a, &type),
           low, high, n ? sum / (double)n : 0);
    printf(nan ? "  NaN %lld\n" : "\n", (long long)nan);
}

/* ---- the command ---- */

static void load_labels(const RunOptions *o, rt_labels *labels, Context *cx) {
    rt_error err;
    bool pictures = o->common.args.count > 1;
    const char *path = o->labels  ? o->labels
                       : pictures ? labels_beside(o->common.args.items[0], &cx->arena)
                                  : NULL;
    int code = path ? rt_labels_read(labels, path, &err) : RT_OK;
    if (code != RT_OK)
        file_error(&cx->diag, path, code, &err);
}

/* Labels of another model name the wrong classes. */
static void check_labels(const effnetc_model *m, const rt_labels *labels, Diag *d) {
    if (d->errors > 0 || labels->count == 0 || model_task(m) != TASK_CLASSES)
        return;
    long long classes = (long long)m->outputs.data[0].dims[1];
    if ((long long)labels->count == classes)
        return;
    diag_warning(d, m->path, "the labels may be another model's");
    diag_note(d, "wanted", "%lld, one for each class", classes);
    diag_note(d, "found", "%zu", labels->count);
    diag_note(d, "help", "--labels=FILE: JSON, or a line for each class from 0 on");
}

static void report(const RunOptions *o, effnetc_model *m, Tensor *const *out,
                   const rt_labels *labels, Arena *a) {
    if (o->top || o->labels)
        print_top(out[0], o->top ? o->top : 5, labels, a);
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
    effnetc_backend backend = chosen_backend(o);
    bool ok = assign_paths("--output", o->output, m->outputs.data, n, path, &cx->diag);
    ok &= inputs_load(m, &o->inputs, in, a);
    if (ok)
        warn_unless_shown(m);
    if (ok && run_tensors(m, backend, in, out, a) && write_outputs(o, m, path, out, cx))
        report(o, m, out, labels, a);
}

static void run_arrays(const RunOptions *o, effnetc_model *m, const rt_labels *labels,
                       Context *cx) {
    if (o->csv || o->json || o->batch) {
        diag_error(&cx->diag, EXIT_USAGE, "effnetc", "--csv, --json and --batch are for pictures");
        diag_note(&cx->diag, "help", "name pictures or folders behind the model");
    }
    if (load_for_inputs(m, o->common.args.items[0], &o->inputs) && cx->diag.errors == 0)
        run_model(o, m, labels, cx);
}

static void run_on_pictures(const RunOptions *o, effnetc_model *m, const rt_labels *labels,
                            Context *cx) {
    const effnetc_strings *args = &o->common.args;
    PictureRun run = {.paths = {args->items + 1, args->count - 1},
                      .inputs = &o->inputs,
                      .backend = chosen_backend(o),
                      .output_dir = o->output_dir,
                      .csv = o->csv,
                      .json = o->json,
                      .top = o->top,
                      .batch = o->batch,
                      .score = o->score};
    if (o->inputs.input.count || o->output.count) {
        diag_error(&cx->diag, EXIT_USAGE, "effnetc",
                   "--input and --output are for arrays, not for pictures behind the model");
        diag_note(&cx->diag, "help", "--output-dir and --csv write what is found in pictures");
    }
    if (o->json && o->csv && !strcmp(o->csv, "-"))
        diag_error(&cx->diag, EXIT_USAGE, "effnetc", "standard output takes --json or --csv=-");
    if (cx->diag.errors == 0)
        run_pictures(m, args->items[0], &run, labels);
}

static void run(Context *cx, const void *options) {
    const RunOptions *o = options;
    rt_labels labels = {0};
    effnetc_model *m = model_open(&o->compiler, &cx->diag);
    m->code_only = true;
    load_labels(o, &labels, cx);
    if (o->common.args.count > 1)
        run_on_pictures(o, m, &labels, cx);
    else
        run_arrays(o, m, &labels, cx);
    check_labels(m, &labels, &cx->diag);
    rt_labels_free(&labels);
    effnetc_free(m);
}

static void defaults(void *options) {
    RunOptions *o = options;
    o->compiler = effnetc_default_options();
    o->score = 0.3;
}

const Command command_run = {
    .name = "run",
    .args = "MODEL [PICTURE|FOLDER...]",
    .summary = "run a model on pictures, or on .npy files",
    .about =
        "Pictures, and all those in folders, are prepared as the options say, else as NAME.json\n"
        "beside the model says (\"preprocessing\": fit, crop or resize, filter, mean, std, "
        "channels),\n"
        "else as for the published weights of the member that the model is. Ones that can't be "
        "read\n"
        "are reported at the end; the others are done.\n"
        "Without pictures, --output, --output-dir and --top it prints a line about each output.",
    .groups = {{&input_options, offsetof(RunOptions, inputs)},
               {&own, 0},
               {&native_options, offsetof(RunOptions, compiler)},
               {&jit_options, offsetof(RunOptions, compiler)},
               {&compiler_options, offsetof(RunOptions, compiler)}},
    .size = sizeof(RunOptions),
    .defaults = defaults,
    .min_args = 1,
    .max_args = 1 << 20,
    .run = run,
};
