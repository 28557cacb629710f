/* inspect_json.c: the data of effnetc inspect --json, and of the page of --html. What each field
 * means is in docs/inspect.md. */
#include "driver/inspect.h"

static json_t *json_tensors(const effnetc_tensor *t, size_t n) {
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, json_pack("{s:o, s:s, s:o}", "name", json_text(t[i].name), "dtype",
                                           t[i].dtype, "shape", json_dims(t[i].rank, t[i].dims)));
    return a;
}

/* ---- ops: the steps of the module are the nodes of the graph, in their order ----------------- */

/* The number of the op that makes v, by the marks; of graph input i: -1 - i. */
static json_t *json_maker(const Graph *g, const Value *v) {
    for (size_t i = 0; v->is_input && i < g->inputs.len; i++)
        if (g->inputs.data[i] == v)
            return json_integer(-1 - (json_int_t)i);
    return json_integer(v->def->mark);
}

static json_t *json_reads(const Graph *g, const Node *n) {
    json_t *a = json_array();
    for (int i = 0; i < n->noperands; i++)
        if (node_in(n, i) && !node_in(n, i)->constant)
            json_array_append_new(a, json_maker(g, node_in(n, i)));
    return a;
}

static json_t *json_node(const Inspection *x, const PassContext *cx, const Node *n,
                         const Kernel *step) {
    const Type *t = &node_out(n)->type;
    int block = node_block(&x->st, n);
    json_t *o = json_pack(
        "{s:s, s:s, s:o, s:I, s:I, s:I, s:i, s:o, s:o, s:o, s:I, s:I}", "op", op_info(n->op)->name,
        "dtype", dtype_name(t->dtype), "shape", json_dims(t->shape.rank, t->shape.dim), "macs",
        (json_int_t)node_macs(n), "weights", (json_int_t)node_parameters(n), "bytes",
        (json_int_t)node_bytes(n), "kernels", step_kernels(step), "block",
        block < 0 ? json_null() : json_integer(block), "from", json_text(n->origin), "reads",
        json_reads(x->m->program.graph, n), "predicted_cycles", (json_int_t)node_cycles(n, cx),
        "roof_cycles", (json_int_t)node_roof(n, cx));
    ensure(o);
    if (x->bench)
        json_object_set_new(o, "measured_us", json_real(1e6 * x->bench->steps[n->mark]));
    return o;
}

static json_t *json_nodes(const Inspection *x) {
    json_t *a = json_array();
    PassContext cx = pass_context(x->m);
    Kernel *const *step = x->m->program.module->steps.data;
    graph_number_nodes(x->m->program.graph);
    FOR_EACH_NODE(x->m->program.graph, n) {
        json_array_append_new(a, json_node(x, &cx, n, *step++));
    }
    return a;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static json_t *json_arena(const Inspection *x) {
    Arena arena = {0};
    PlanRegions list = plan_regions(x->m->program.graph, &arena);
    json_t *a = json_array();
    for (size_t i = 0; i < list.len; i++) {
        const PlanRegion *r = &list.data[i];
        json_array_append_new(a, json_pack("{s:o, s:i, s:b, s:I, s:I, s:i, s:i}", "name",
                                           json_text(r->value->name), "step", r->value->def->mark,
                                           "scratch", (int)value_is_scratch(r->value), "offset",
                                           (json_int_t)r->offset, "bytes", (json_int_t)r->bytes,
                                           "first", r->first, "last", r->last));
    }
    arena_free(&arena);
    return a;
}

static json_t *json_passes(const Inspection *x) {
    static const char *const levels[] = {
        [PASS_GRAPH] = "graph", [PASS_LOWER] = "lower", [PASS_LOOP] = "loop"};
    json_t *a = json_array();
    for (size_t i = 0; i < x->passes.len; i++) {
        const PassNote *p = &x->passes.data[i];
        json_t *remarks = json_array();
        for (size_t k = 0; k < p->remarks.len; k++)
            json_array_append_new(remarks, json_text(p->remarks.data[k]));
        json_array_append_new(
            a, json_pack("{s:s, s:s, s:i, s:i, s:o}", "name", p->result.pass->name, "level",
                         levels[p->result.pass->level], "before", p->result.before, "after",
                         p->result.after, "remarks", remarks));
    }
    return a;
}

static json_t *json_measured(const Bench *b) {
    if (!b)
        return json_null();
    return json_pack("{s:I, s:i, s:f, s:f, s:f}", "runs", (json_int_t)b->runs, "threads",
                     b->threads, "min_us", 1e6 * b->run.min, "median_us", 1e6 * b->run.median,
                     "peak_gmacs_per_second", 1e-9 * b->peak);
}

json_t *json_inspection(Inspection *x) {
    const effnetc_model *m = x->m;
    const Module *module = m->program.module;
    json_t *root = json_pack(
        "{s:i, s:s, s:o, s:s, s:i, s:I, s:o, s:o, s:o, s:I, s:I, s:{s:I, s:I, s:I}}", "schema",
        INSPECT_SCHEMA, "version", effnetc_version(), "model", json_text(base_name(m->path)),
        "target", m->target->name, "opt_level", m->options.opt_level, "macs_per_cycle",
        (json_int_t)target_macs_per_cycle(m->target), "network", json_network(&x->st), "inputs",
        json_tensors(m->inputs.data, m->inputs.len), "outputs",
        json_tensors(m->outputs.data, m->outputs.len), "parameters", (json_int_t)m->parameters,
        "macs", (json_int_t)m->macs, "memory", "weights_bytes", (json_int_t)module->weights_bytes,
        "arena_bytes", (json_int_t)module->arena_bytes, "arena_lower_bound",
        (json_int_t)x->plan.lower_bound);
    ensure(root);
    json_object_set_new(root, "ops", json_nodes(x));
    json_object_set_new(root, "arena", json_arena(x));
    json_object_set_new(root, "passes", json_passes(x));
    json_object_set_new(root, "measured", json_measured(x->bench));
    return root;
}
