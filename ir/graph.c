/* graph.c: graphs, values, names and uses. */
#include "ir/graph_internal.h"

#include <string.h>

Graph *graph_new(const char *name) {
    Arena arena = {0};
    Graph *g = ARENA_NEW(&arena, Graph);
    g->arena = arena;
    g->name = arena_strdup(&g->arena, name);
    return g;
}

void graph_free(Graph *g) {
    for (size_t i = 0; i < g->mappings.len; i++)
        file_unmap(g->mappings.data[i]);
    Arena arena = g->arena; /* g itself lies in it */
    arena_free(&arena);
}

void graph_release_files(const Graph *g) {
    for (size_t i = 0; i < g->mappings.len; i++)
        file_release(g->mappings.data[i]);
}

/* Most of what passes make of constants is there in place of what the files have, which would be in
 * memory beside it until the last pass. */
void graph_count_constant(Graph *g, int64_t bytes) {
    enum { OFTEN = 4 << 20 }; /* bytes: for each the system does some 0.1 ms of work */
    g->constant_bytes += bytes;
    if (g->constant_bytes - g->released_bytes < OFTEN)
        return;
    graph_release_files(g);
    g->released_bytes = g->constant_bytes;
}

/* ---- names ---------------------------------------------------------------------------------- */

/* A longer base is cut: a name that is made from a name that was made grows no further. */
enum { BASE_MAX = 256 };

static const char *numbered(Buf *b, const char *base, int64_t k) {
    b->len = 0;
    buf_printf(b, "%.*s.%lld", BASE_MAX, base, (long long)k);
    return b->data;
}

static bool is_taken(Graph *g, Buf *b, const char *base, int64_t k) {
    return map_get(&g->names, numbered(b, base, k)) != NULL;
}

/* The search doubles k until base.k is free and then bisects, so that a graph whose values all want
 * one name takes n log n steps, not n^2. */
const char *graph_unique_name(Graph *g, const char *base) {
    if (!map_get(&g->names, base))
        return arena_strdup(&g->arena, base);
    Buf b = {0};
    int64_t taken = 0, open = 1;
    while (is_taken(g, &b, base, open)) {
        taken = open;
        open *= 2;
    }
    while (open - taken > 1) {
        int64_t middle = taken + (open - taken) / 2;
        if (is_taken(g, &b, base, middle))
            taken = middle;
        else
            open = middle;
    }
    const char *name = arena_strdup(&g->arena, numbered(&b, base, open));
    buf_free(&b);
    return name;
}

/* ---- values --------------------------------------------------------------------------------- */

Value *value_new(Graph *g, const char *name, Type t) {
    if (map_get(&g->names, name))
        die("the name %s is taken", name);
    Value *v = ARENA_NEW(&g->arena, Value);
    *v = (Value){.name = arena_strdup(&g->arena, name), .type = t, .arena_offset = -1};
    map_put(&g->arena, &g->names, v->name, v);
    return v;
}

/* The entry stays in the map, without a value: map_get says that the name is free. */
void value_forget(Graph *g, Value *v) {
    ensure(!v->uses);
    map_put(&g->arena, &g->names, v->name, NULL);
}

void value_rename(Graph *g, Value *v, const char *name) {
    map_put(&g->arena, &g->names, v->name, NULL);
    v->name = arena_strdup(&g->arena, name);
    map_put(&g->arena, &g->names, v->name, v);
}

Value *graph_input(Graph *g, const char *name, Type t) {
    Value *v = value_new(g, graph_unique_name(g, name), t);
    v->is_input = true;
    vec_push(&g->arena, &g->inputs, v);
    return v;
}

static Value *constant_value(Graph *g, const char *name, Tensor *t) {
    Value *v = value_new(g, graph_unique_name(g, name), type_plain(t->dtype, t->shape));
    v->constant = t;
    vec_push(&g->arena, &g->constants, v);
    return v;
}

Value *graph_constant(Graph *g, const char *name, Tensor *t) {
    if (t->data) /* elided ones take no memory */
        graph_count_constant(g, tensor_bytes(t));
    return constant_value(g, name, t);
}

Value *graph_constant_view(Graph *g, const Value *of, int64_t first, Shape shape) {
    const Tensor *t = of->constant;
    ensure(t->data && first >= 0 && first + shape_elems(&shape) <= shape_elems(&t->shape));
    const char *data = (const char *)t->data + first * dtype_bytes(t->dtype);
    return constant_value(g, of->name, tensor_wrap(&g->arena, t->dtype, shape, data));
}

void graph_output(Graph *g, Value *v, const char *onnx_name) {
    Use *u = ARENA_NEW(&g->arena, Use);
    u->slot = (int)g->outputs.len;
    use_link(u, v);
    vec_push(&g->arena, &g->outputs, u);
    vec_push(&g->arena, &g->output_names, arena_strdup(&g->arena, onnx_name));
}

void graph_count_output(Graph *g, size_t output, int axis, size_t count) {
    ensure(!g->counts.len || g->counts.data[g->counts.len - 1].output < output);
    vec_push(&g->arena, &g->counts, ((OutputCount){output, count, axis}));
}

const OutputCount *graph_output_count(const Graph *g, size_t i) {
    for (size_t k = 0; k < g->counts.len; k++)
        if (g->counts.data[k].output == i)
            return &g->counts.data[k];
    return NULL;
}

void graph_set_output(Graph *g, size_t i, Value *v) {
    ensure(i < g->outputs.len);
    use_unlink(g->outputs.data[i]);
    use_link(g->outputs.data[i], v);
}

/* ---- uses ----------------------------------------------------------------------------------- */

void use_link(Use *u, Value *v) {
    u->value = v;
    if (!v)
        return;
    u->next = v->uses;
    u->link = &v->uses;
    if (u->next)
        u->next->link = &u->next;
    v->uses = u;
}

void use_unlink(Use *u) {
    if (!u->value)
        return;
    *u->link = u->next;
    if (u->next)
        u->next->link = u->link;
    u->value = NULL;
    u->next = NULL;
    u->link = NULL;
}

void value_replace(Value *old, Value *new_value) {
    ensure(old != new_value);
    while (old->uses) {
        Use *u = old->uses;
        use_unlink(u);
        use_link(u, new_value);
    }
    new_value->source = old->source;
}

void graph_track_sources(Graph *g) {
    for (size_t i = 0; i < g->inputs.len; i++)
        g->inputs.data[i]->source = g->inputs.data[i]->name;
    FOR_EACH_NODE(g, n) {
        for (int i = 0; i < n->nresults; i++)
            n->results[i]->source = n->results[i]->name;
    }
}

int value_use_count(const Value *v) {
    int n = 0;
    for (const Use *u = v->uses; u; u = u->next)
        n++;
    return n;
}

Node *value_single_user(const Value *v) {
    return v->uses && !v->uses->next ? v->uses->user : NULL;
}

bool value_is_graph_output(const Value *v) {
    for (const Use *u = v->uses; u; u = u->next)
        if (!u->user)
            return true;
    return false;
}

bool value_is_scratch(const Value *v) {
    return v->result == op_result_slot(v->def->op, "scratch");
}
