/* cmd_inspect.c: effnetc inspect: what a model is and costs, on a target. */
#include "driver/describe.h"
#include "driver/driver.h"

#include <string.h>

typedef struct InspectOptions {
    CommonOptions common;
    effnetc_options compiler;
    bool json, memory, dot;
} InspectOptions;

static const Option rows[] = {
    {"json", 0, OPT_FLAG, offsetof(InspectOptions, json), NULL, "print JSON", 0, 0},
    {"memory", 0, OPT_FLAG, offsetof(InspectOptions, memory), NULL,
     "list what a smaller arena costs, for --max-arena", 0, 0},
    {"dot", 0, OPT_FLAG, offsetof(InspectOptions, dot), NULL,
     "print the compiled graph for Graphviz", 0, 0},
};
static const OptionGroup own = OPTION_GROUP(rows);

/* Elements of a node's constant operands. */
static int64_t node_parameters(const Node *n) {
    int64_t count = 0;
    for (int i = 0; i < n->noperands; i++) {
        const Value *v = node_in(n, i);
        if (v && v->constant)
            count += shape_elems(&v->type.shape);
    }
    return count;
}

/* ---- text ---- */

static void print_tensors(const char *title, const effnetc_tensor *t, size_t n, Arena *a) {
    for (size_t i = 0; i < n; i++) {
        Type type = type_plain(tensor_dtype(&t[i]), shape_of(t[i].rank, t[i].dims));
        printf("%-11s %s %s\n", i ? "" : title, t[i].name, type_str(a, &type));
    }
}

static void print_head(effnetc_model *m, const MemoryPlan *plan, const Structure *st) {
    const Module *module = m->program.module;
    printf("%-11s %s\n%-11s %s, -O%d\n", "model", base_name(m->path), "target", m->target->name,
           m->options.opt_level);
    print_member(st);
    print_tensors("inputs", m->inputs.data, m->inputs.len, &m->arena);
    print_tensors("outputs", m->outputs.data, m->outputs.len, &m->arena);
    printf("%-11s %lld\n", "parameters", (long long)m->parameters);
    printf("%-11s %lld\n", "MACs", (long long)m->macs);
    printf("%-11s %lld bytes\n", "weights", (long long)module->weights_bytes);
    printf("%-11s %lld bytes (lower bound %lld)\n", "arena", (long long)module->arena_bytes,
           (long long)plan->lower_bound);
}

static void print_node(const Node *n, int64_t total, Arena *a) {
    Type type = type_plain(node_out(n)->type.dtype, node_out(n)->type.shape);
    int64_t macs = node_macs(n);
    printf("%-16s %-24s %12lld %6.2f%% %10lld  %s\n", op_info(n->op)->name, type_str(a, &type),
           (long long)macs, total ? 100.0 * (double)macs / (double)total : 0,
           (long long)node_parameters(n), short_origin(n->origin, a));
}

static void print_text(effnetc_model *m, const MemoryPlan *plan, const Structure *st) {
    int64_t total = graph_macs(m->program.graph);
    print_head(m, plan, st);
    print_blocks(st);
    printf("\n%-16s %-24s %12s %7s %10s  %s\n", "op", "output", "MACs", "share", "weights", "from");
    FOR_EACH_NODE(m->program.graph, n)
    print_node(n, total, &m->arena);
}

/* ---- JSON ---- */

static json_t *json_tensors(const effnetc_tensor *t, size_t n) {
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, json_pack("{s:o, s:s, s:o}", "name", json_text(t[i].name), "dtype",
                                           t[i].dtype, "shape", json_dims(t[i].rank, t[i].dims)));
    return a;
}

/* The steps of the module are the nodes of the graph, in their order. */
static json_t *json_nodes(const effnetc_model *m, const Structure *st) {
    json_t *a = json_array();
    Kernel *const *step = m->program.module->steps.data;
    FOR_EACH_NODE(m->program.graph, n) {
        const Type *t = &node_out(n)->type;
        int block = node_block(st, n);
        json_array_append_new(
            a, json_pack(
                   "{s:s, s:s, s:o, s:I, s:I, s:I, s:i, s:o, s:o}", "op", op_info(n->op)->name,
                   "dtype", dtype_name(t->dtype), "shape", json_dims(t->shape.rank, t->shape.dim),
                   "macs", (json_int_t)node_macs(n), "weights", (json_int_t)node_parameters(n),
                   "bytes", (json_int_t)node_bytes(n), "kernels", step_kernels(*step++), "block",
                   block < 0 ? json_null() : json_integer(block), "from", json_text(n->origin)));
    }
    return a;
}

static void print_json(effnetc_model *m, const MemoryPlan *plan, const Structure *st) {
    const Module *module = m->program.module;
    json_t *root = json_pack(
        "{s:o, s:s, s:i, s:o, s:o, s:o, s:I, s:I, s:{s:I, s:I, s:I}, s:o}", "model",
        json_text(base_name(m->path)), "target", m->target->name, "opt_level", m->options.opt_level,
        "network", json_network(st), "inputs", json_tensors(m->inputs.data, m->inputs.len),
        "outputs", json_tensors(m->outputs.data, m->outputs.len), "parameters",
        (json_int_t)m->parameters, "macs", (json_int_t)m->macs, "memory", "weights_bytes",
        (json_int_t)module->weights_bytes, "arena_bytes", (json_int_t)module->arena_bytes,
        "arena_lower_bound", (json_int_t)plan->lower_bound, "ops", json_nodes(m, st));
    ensure(root);
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

static void print_plan(effnetc_model *m, bool json, const Structure *st) {
    MemoryPlan plan = plan_summary(m->program.graph);
    if (json)
        print_json(m, &plan, st);
    else
        print_text(m, &plan, st);
}

static void inspect(effnetc_model *m, const InspectOptions *o) {
    Structure st = {0};
    bool ok = structure_open(&st, m) && effnetc_compile(m);
    if (ok && o->dot)
        print_dot(m, &st);
    else if (ok)
        print_plan(m, o->json, &st);
    structure_close(&st);
}

static void run(Context *cx, const void *options) {
    const InspectOptions *o = options;
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
