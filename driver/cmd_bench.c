/* cmd_bench.c: effnetc bench: how fast compiled code is, as a whole and step by step. */
#include "driver/trace.h"

#include <string.h>

typedef struct BenchOptions {
    CommonOptions common;
    effnetc_options compiler;
    InputOptions inputs;
    double seconds;
    int seed;
    bool per_layer, json;
    const char *trace;
} BenchOptions;

static const Option rows[] = {
    {"seconds", 0, OPT_REAL, offsetof(BenchOptions, seconds), "S",
     "for how long it runs, at least 50 runs if they are short (default: 3)", 0, 0},
    {"per-layer", 0, OPT_FLAG, offsetof(BenchOptions, per_layer), NULL,
     "time each step, and sum them up by op", 0, 0},
    {"json", 0, OPT_FLAG, offsetof(BenchOptions, json), NULL, "print JSON", 0, 0},
    {"trace", 0, OPT_TEXT, offsetof(BenchOptions, trace), "FILE",
     "write what a few runs do on each thread, for ui.perfetto.dev", 0, 0},
    {"seed", 0, OPT_INT, offsetof(BenchOptions, seed), "N",
     "without --input: which random numbers go in (default: 1)", 0, INT32_MAX},
    {"backend", 0, OPT_CHOICE, offsetof(BenchOptions, compiler.native), NATIVE_CHOICES,
     "what makes the code " DEFAULT_BACKEND, 0, 0},
};
static const OptionGroup own = OPTION_GROUP(rows);

/* ---- figures ---- */

/* A step, or all steps of an op. */
typedef struct Layer {
    const Node *node; /* the first */
    int steps;
    double seconds;
    int64_t macs, bytes;
} Layer;

/* What the printers print. */
typedef struct Report {
    effnetc_model *m;
    const Bench *bench;
    Layer *layers, *ops; /* ops: by falling time */
    size_t nlayers, nops;
    double sum; /* of all layers: seconds */
} Report;

static double ratio(double a, double b) {
    return b > 0 ? a / b : 0;
}

static double macs_per_second(const Layer *l) {
    return ratio((double)l->macs, l->seconds);
}

/* Multiply-adds a second of the fastest run. */
static double model_speed(const Report *r) {
    return ratio((double)r->m->macs, r->bench->run.min);
}

static void add_to_op(Report *r, const Layer *l) {
    Layer *op = r->ops;
    while (op < r->ops + r->nops && op->node->op != l->node->op)
        op++;
    if (op == r->ops + r->nops) {
        r->nops++;
        op->node = l->node;
    }
    op->steps++;
    op->seconds += l->seconds;
    op->macs += l->macs;
    op->bytes += l->bytes;
}

static void sort_ops(Report *r) {
    for (size_t i = 1; i < r->nops; i++)
        for (size_t k = i; k > 0 && r->ops[k].seconds > r->ops[k - 1].seconds; k--) {
            Layer l = r->ops[k];
            r->ops[k] = r->ops[k - 1];
            r->ops[k - 1] = l;
        }
}

/* The steps of the module are the nodes of the graph, in their order. */
static void fill_layers(Report *r, Arena *a) {
    const Graph *g = r->m->program.graph;
    size_t n = r->m->program.module->steps.len;
    ensure((size_t)graph_node_count(g) == n);
    r->layers = ARENA_ARRAY(a, n + 1, Layer);
    r->ops = ARENA_ARRAY(a, n + 1, Layer);
    FOR_EACH_NODE(g, node) {
        Layer *l = &r->layers[r->nlayers];
        *l = (Layer){node, 1, r->bench->steps[r->nlayers], node_macs(node), node_bytes(node)};
        r->nlayers++;
        r->sum += l->seconds;
        add_to_op(r, l);
    }
    sort_ops(r);
}

/* ---- text ---- */

static void print_head(const Report *r) {
    const effnetc_model *m = r->m;
    const Bench *b = r->bench;
    double speed = model_speed(r);
    printf("%-10s %s\n", "model", printable(&r->m->arena, base_name(m->path)));
    printf("%-10s %s, -O%d\n", "target", m->target->name, m->options.opt_level);
    printf("%-10s %d\n", "threads", b->threads);
    printf("%-10s %zu\n", "runs", b->runs);
    printf("%-10s %.4g ms\n", "minimum", 1e3 * b->run.min);
    printf("%-10s %.4g ms\n", "median", 1e3 * b->run.median);
    printf("%-10s %.4g ms\n", "p90", 1e3 * b->run.p90);
    printf("%-10s %lld\n", "MACs", (long long)m->macs);
    printf("%-10s %.4g GMAC/s at the minimum\n", "speed", 1e-9 * speed);
    printf("%-10s %.4g GMAC/s in registers, measured between the runs\n", "peak", 1e-9 * b->peak);
    printf("%-10s %.3g%% of the peak\n", "share", 100 * ratio(speed, b->peak));
}

static void print_figures(const Report *r, const Layer *l) {
    double speed = macs_per_second(l);
    printf("%10.2f %11lld %10lld %8.2f %6.1f%% %8.2f", 1e6 * l->seconds, (long long)l->macs,
           (long long)l->bytes, 1e-9 * speed, 100 * ratio(speed, r->bench->peak),
           ratio((double)l->macs, (double)l->bytes));
}

static const char *output_type(const Node *n, Arena *a) {
    Type type = type_plain(node_out(n)->type.dtype, node_out(n)->type.shape);
    return type_str(a, &type);
}

static void print_layers(const Report *r) {
    Arena *a = &r->m->arena;
    printf("\n%10s %11s %10s %8s %7s %8s  %-12s %-20s %s\n", "us", "MACs", "bytes", "GMAC/s",
           "peak", "MACs/B", "op", "output", "from");
    for (size_t i = 0; i < r->nlayers; i++) {
        const Node *n = r->layers[i].node;
        print_figures(r, &r->layers[i]);
        printf("  %-12s %-20s %s\n", op_info(n->op)->name, output_type(n, a),
               printed_origin(n->origin, a));
    }
}

static void print_ops(const Report *r) {
    printf("\n%10s %11s %10s %8s %7s %8s %7s %6s  %s\n", "us", "MACs", "bytes", "GMAC/s", "peak",
           "MACs/B", "time", "steps", "op");
    for (size_t i = 0; i < r->nops; i++) {
        const Layer *l = &r->ops[i];
        print_figures(r, l);
        printf(" %6.1f%% %6d  %s\n", 100 * ratio(l->seconds, r->sum), l->steps,
               op_info(l->node->op)->name);
    }
    printf("%10.2f us: the sum of all steps' minima\n", 1e6 * r->sum);
}

static void print_text(const Report *r) {
    print_head(r);
    if (!r->bench->steps)
        return;
    print_layers(r);
    print_ops(r);
}

/* ---- JSON ---- */

static json_t *json_layer(const Report *r, const Layer *l) {
    double speed = macs_per_second(l);
    return json_pack("{s:s, s:f, s:I, s:I, s:f, s:f, s:f}", "op", op_info(l->node->op)->name, "us",
                     1e6 * l->seconds, "macs", (json_int_t)l->macs, "bytes", (json_int_t)l->bytes,
                     "gmacs_per_second", 1e-9 * speed, "peak_share", ratio(speed, r->bench->peak),
                     "macs_per_byte", ratio((double)l->macs, (double)l->bytes));
}

static json_t *json_layers(const Report *r) {
    json_t *a = json_array();
    for (size_t i = 0; i < r->nlayers; i++) {
        const Node *n = r->layers[i].node;
        const Type *t = &node_out(n)->type;
        json_t *layer = json_layer(r, &r->layers[i]);
        json_object_set_new(layer, "dtype", json_string(dtype_name(t->dtype)));
        json_object_set_new(layer, "shape", json_dims(t->shape.rank, t->shape.dim));
        json_object_set_new(layer, "from", json_text(n->origin));
        json_array_append_new(a, layer);
    }
    return a;
}

static json_t *json_ops(const Report *r) {
    json_t *a = json_array();
    for (size_t i = 0; i < r->nops; i++) {
        json_t *op = json_layer(r, &r->ops[i]);
        json_object_set_new(op, "steps", json_integer(r->ops[i].steps));
        json_array_append_new(a, op);
    }
    return a;
}

static void print_json(const Report *r) {
    const effnetc_model *m = r->m;
    const Bench *b = r->bench;
    double speed = model_speed(r);
    json_t *root =
        json_pack("{s:o, s:s, s:i, s:i, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "model",
                  json_text(base_name(m->path)), "target", m->target->name, "opt_level",
                  m->options.opt_level, "threads", b->threads, "runs", (json_int_t)b->runs, "macs",
                  (json_int_t)m->macs, "min_us", 1e6 * b->run.min, "median_us", 1e6 * b->run.median,
                  "p90_us", 1e6 * b->run.p90, "gmacs_per_second", 1e-9 * speed,
                  "peak_gmacs_per_second", 1e-9 * b->peak, "peak_share", ratio(speed, b->peak));
    ensure(root);
    if (b->steps) {
        json_object_set_new(root, "layers", json_layers(r));
        json_object_set_new(root, "ops", json_ops(r));
    }
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

/* ---- the command ---- */

static void report(const BenchOptions *o, effnetc_model *m, const Bench *bench, Arena *a) {
    Report r = {.m = m, .bench = bench};
    if (bench->steps)
        fill_layers(&r, a);
    if (o->json)
        print_json(&r);
    else
        print_text(&r);
}

static void bench(const BenchOptions *o, effnetc_model *m, Arena *a) {
    Bench b = {0};
    Tensor **in = ARENA_ARRAY(a, m->inputs.len + 1, Tensor *);
    if (o->inputs.input.count && !inputs_load(m, &o->inputs, in, a))
        return;
    if (!o->inputs.input.count && !inputs_random(m, o->seed, in, a))
        return;
    warn_unless_shown(m);
    bool graph = o->per_layer || o->trace; /* layers are the compiled graph's */
    bool cached = m->cached.memory && !graph;
    m->code_only = !graph;
    Trace *trace = o->trace ? trace_new(a) : NULL;
    Structure st = {.m = m};
    bool ok = (!trace || structure_open(&st, m)) && (cached || effnetc_compile(m)) &&
              bench_traced(m, in, o->seconds, o->per_layer, trace, &b, a);
    if (ok && trace)
        ok = trace_write(trace, &st, o->trace);
    if (ok)
        report(o, m, &b, a);
    structure_close(&st);
}

/* A day, so that no sum of times loses its nanoseconds. */
#define MAX_SECONDS 86400.0

static bool check_seconds(double seconds, Diag *d) {
    if (seconds >= 0 && seconds <= MAX_SECONDS)
        return true;
    diag_error(d, EXIT_USAGE, "effnetc", "--seconds takes 0 to %g, not %g", MAX_SECONDS, seconds);
    return false;
}

static bool check_trace(const BenchOptions *o, Diag *d) {
    if (!o->trace || strcmp(o->trace, "-") != 0)
        return true;
    diag_error(d, EXIT_USAGE, "effnetc", "--trace needs a file: times go to standard output");
    return false;
}

static void run(Context *cx, const void *options) {
    const BenchOptions *o = options;
    if (!check_seconds(o->seconds, &cx->diag) || !check_trace(o, &cx->diag))
        return;
    effnetc_model *m = model_open(&o->compiler, &cx->diag);
    if (load_for_inputs(m, o->common.args.items[0], &o->inputs))
        bench(o, m, &cx->arena);
    effnetc_free(m);
}

static void defaults(void *options) {
    BenchOptions *o = options;
    o->compiler = effnetc_default_options();
    o->seconds = BENCH_SECONDS;
    o->seed = 1;
}

const Command command_bench = {
    .name = "bench",
    .args = "MODEL",
    .summary = "time compiled code, as a whole or step by step",
    .about =
        "The peak is that of multiply-adds in registers, in code that is compiled as the model\n"
        "is, on the same threads and between its runs.",
    .groups = {{&own, 0},
               {&native_options, offsetof(BenchOptions, compiler)},
               {&input_options, offsetof(BenchOptions, inputs)},
               {&jit_options, offsetof(BenchOptions, compiler)},
               {&compiler_options, offsetof(BenchOptions, compiler)},
               {&tune_options, offsetof(BenchOptions, compiler)}},
    .size = sizeof(BenchOptions),
    .defaults = defaults,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
