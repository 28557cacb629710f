/* cmd_inspect.c: effnetc inspect: what a model is and costs, on a target. */
#include "driver/inspect.h"

#include <string.h>

typedef struct InspectOptions {
    CommonOptions common;
    effnetc_options compiler;
    const char *html;
    bool json, memory, dot, measure;
} InspectOptions;

static const Option rows[] = {
    {"json", 0, OPT_FLAG, offsetof(InspectOptions, json), NULL, "print JSON (docs/inspect.md)", 0,
     0},
    {"html", 0, OPT_TEXT, offsetof(InspectOptions, html), "FILE",
     "write a page about the model that needs nothing else", 0, 0},
    {"measure", 0, OPT_FLAG, offsetof(InspectOptions, measure), NULL,
     "time each step, for --json and --html", 0, 0},
    {"memory", 0, OPT_FLAG, offsetof(InspectOptions, memory), NULL,
     "list what a smaller arena costs, for --max-arena", 0, 0},
    {"dot", 0, OPT_FLAG, offsetof(InspectOptions, dot), NULL,
     "print the compiled graph for Graphviz", 0, 0},
    {"cc", 0, OPT_TEXT, offsetof(InspectOptions, compiler.cc), "COMMAND",
     "C compiler of --measure (default: $CC, else cc)", 0, 0},
    {"threads", 0, OPT_INT, offsetof(InspectOptions, compiler.threads), "N",
     "threads of --measure; 0: as many as CPUs (default: 1)", 0, RT_MAX_THREADS},
};
static const OptionGroup own = OPTION_GROUP(rows);

/* ---- text ---- */

static void print_tensors(const char *title, const effnetc_tensor *t, size_t n, Arena *a) {
    for (size_t i = 0; i < n; i++) {
        Type type = type_plain(tensor_dtype(&t[i]), shape_of(t[i].rank, t[i].dims));
        printf("%-11s %s %s\n", i ? "" : title, printable(a, t[i].name), type_str(a, &type));
    }
}

static void print_head(const Inspection *x) {
    effnetc_model *m = x->m;
    const Module *module = m->program.module;
    printf("%-11s %s\n%-11s %s, -O%d\n", "model", printable(&m->arena, base_name(m->path)),
           "target", m->target->name, m->options.opt_level);
    print_member(&x->st);
    print_tensors("inputs", m->inputs.data, m->inputs.len, &m->arena);
    print_tensors("outputs", m->outputs.data, m->outputs.len, &m->arena);
    printf("%-11s %lld\n", "parameters", (long long)m->parameters);
    printf("%-11s %lld\n", "MACs", (long long)m->macs);
    printf("%-11s %lld bytes\n", "weights", (long long)module->weights_bytes);
    printf("%-11s %lld bytes (lower bound %lld)\n", "arena", (long long)module->arena_bytes,
           (long long)x->plan.lower_bound);
}

static void print_node(const Node *n, int64_t total, Arena *a) {
    Type type = type_plain(node_out(n)->type.dtype, node_out(n)->type.shape);
    int64_t macs = node_macs(n);
    printf("%-16s %-24s %12lld %6.2f%% %10lld  %s\n", op_info(n->op)->name, type_str(a, &type),
           (long long)macs, total ? 100.0 * (double)macs / (double)total : 0,
           (long long)node_parameters(n), printed_origin(n->origin, a));
}

static void print_text(const Inspection *x) {
    effnetc_model *m = x->m;
    int64_t total = graph_macs(m->program.graph);
    print_head(x);
    print_blocks(&x->st);
    printf("\n%-16s %-24s %12s %7s %10s  %s\n", "op", "output", "MACs", "share", "weights", "from");
    FOR_EACH_NODE(m->program.graph, n) {
        print_node(n, total, &m->arena);
    }
}

static void print_json(Inspection *x) {
    json_t *root = json_inspection(x);
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

/* ---- the command ---- */

static bool check_options(const InspectOptions *o, Diag *d) {
    int ways = o->json + o->memory + o->dot - (o->json && o->memory);
    if (ways > 1 || (o->html && (o->memory || o->dot)))
        diag_error(d, EXIT_USAGE, "effnetc",
                   "--dot, --memory and --json or --html are different things to print");
    if (o->html && o->json && !strcmp(o->html, "-"))
        diag_error(d, EXIT_USAGE, "effnetc", "standard output takes --json or --html, not both");
    if (o->measure && !o->html && (!o->json || o->memory)) {
        diag_error(d, EXIT_USAGE, "effnetc", "--measure is for --json and --html");
        diag_note(d, "help", "`effnetc bench --per-layer` prints times as text");
    }
    return d->errors == 0;
}

/* Keeps what a pass did, and the remarks that it made: those that are new. */
static bool note_pass(void *context, const PassResult *r, const Program *p) {
    (void)p;
    Inspection *x = context;
    const Diag *d = x->m->diag;
    PassNote note = {.result = *r};
    for (; x->seen < d->items.len; x->seen++)
        if (d->items.data[x->seen]->kind == DIAG_REMARK)
            vec_push(&x->m->arena, &note.remarks, d->items.data[x->seen]->message);
    vec_push(&x->m->arena, &x->passes, note);
    return true;
}

static bool compile(Inspection *x) {
    x->m->pass_done = note_pass;
    x->m->pass_context = x;
    x->seen = x->m->diag->items.len;
    bool ok = effnetc_compile(x->m);
    x->m->pass_done = NULL;
    if (ok)
        x->plan = plan_summary(x->m->program.graph);
    return ok;
}

/* For as long as `effnetc bench` takes. */
static bool measure(Inspection *x, Bench *bench) {
    effnetc_model *m = x->m;
    Tensor **in = ARENA_ARRAY(&m->arena, m->inputs.len + 1, Tensor *);
    x->bench = bench;
    return inputs_random(m, 1, in, &m->arena) &&
           bench_model(m, in, BENCH_SECONDS, true, bench, &m->arena);
}

static void inspect(effnetc_model *m, const InspectOptions *o) {
    Inspection x = {.m = m};
    Bench bench = {0};
    bool ok = structure_open(&x.st, m) && compile(&x) && (!o->measure || measure(&x, &bench));
    if (ok && o->html)
        ok = write_html(&x, o->html);
    if (ok && o->dot)
        print_dot(m, &x.st);
    else if (ok && o->json)
        print_json(&x);
    else if (ok && !o->html)
        print_text(&x);
    structure_close(&x.st);
}

static void run(Context *cx, const void *options) {
    const InspectOptions *o = options;
    if (!check_options(o, &cx->diag))
        return;
    effnetc_model *m = model_open(&o->compiler, &cx->diag);
    bool ok = effnetc_load(m, o->common.args.items[0]);
    if (ok && o->memory && model_prepare(m))
        print_memory(m, o->json);
    else if (ok && !o->memory)
        inspect(m, o);
    effnetc_free(m);
}

static void defaults(void *options) {
    ((InspectOptions *)options)->compiler = effnetc_default_options();
}

const Command command_inspect = {
    .name = "inspect",
    .args = "MODEL",
    .summary = "print a model's inputs, outputs, parameters, MACs, memory, and its fused ops",
    .about = "MACs of the head are the model's as loaded; the table is of the compiled graph. "
             "--memory lists arenas instead: the fastest, and smaller ones with what is changed "
             "for each and the predicted time.",
    .groups = {{&own, 0}, {&compiler_options, offsetof(InspectOptions, compiler)}},
    .size = sizeof(InspectOptions),
    .defaults = defaults,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
