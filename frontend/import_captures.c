/* import_captures.c: what the subgraphs of a node read of the scope around it. The node waits for
 * those values too, whichever of its subgraphs is taken. */
#include "frontend/import.h"

/* The names that subgraphs define themselves, the innermost one first. */
typedef struct Local {
    const struct Local *outer;
    Map names;
} Local;

typedef struct Captures {
    OnnxNode *node;
    Arena arena; /* of the local names */
    VEC(OnnxName *) found;
} Captures;

static bool is_local(const Local *l, const char *name) {
    for (; l; l = l->outer)
        if (map_get(&l->names, name))
            return true;
    return false;
}

static void define(Captures *c, Local *l, const char *name) {
    static char defined;
    if (name && *name)
        map_put(&c->arena, &l->names, name, &defined);
}

static void define_all(Captures *c, Local *l, const Onnx__GraphProto *g) {
    for (size_t i = 0; i < g->n_input; i++)
        define(c, l, g->input[i]->name);
    for (size_t i = 0; i < g->n_initializer; i++)
        define(c, l, g->initializer[i]->name);
    for (size_t i = 0; i < g->n_sparse_initializer; i++)
        define(c, l, sparse_name(g->sparse_initializer[i]));
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            define(c, l, g->node[i]->output[k]);
}

/* False where nothing makes the name. */
static bool read_name(Captures *c, const Local *l, const char *name) {
    if (!name || !*name || is_local(l, name))
        return true;
    OnnxName *x = name_find(c->node->scope, name);
    if (!x)
        return false;
    x->uses++;
    vec_push(&c->node->im->arena, &c->found, x);
    return true;
}

static void read_graph(Captures *c, const Local *outer, const Onnx__GraphProto *g);

static void read_attribute(Captures *c, const Local *l, const Onnx__AttributeProto *a) {
    if (a->g)
        read_graph(c, l, a->g);
    for (size_t i = 0; i < a->n_graphs; i++)
        read_graph(c, l, a->graphs[i]);
}

static void read_node(Captures *c, const Local *l, const Onnx__NodeProto *p) {
    Importer *im = c->node->im;
    for (size_t i = 0; i < p->n_input; i++)
        if (!read_name(c, l, p->input[i]))
            scope_error(c->node->scope, "node %s, inside node %s, reads %s, which nothing makes",
                        quoted(im, p->op_type ? node_origin(im, p) : ""),
                        quoted(im, c->node->origin), quoted(im, p->input[i]));
    for (size_t i = 0; i < p->n_attribute; i++)
        read_attribute(c, l, p->attribute[i]);
}

/* Messages, and so subgraphs, are nested at most WIRE_MAX_DEPTH deep. */
static void read_graph(Captures *c, const Local *outer, const Onnx__GraphProto *g) {
    Local l = {.outer = outer};
    Importer *im = c->node->im;
    define_all(c, &l, g);
    for (size_t i = 0; i < g->n_node; i++)
        read_node(c, &l, g->node[i]);
    for (size_t i = 0; i < g->n_output; i++)
        if (!read_name(c, &l, g->output[i]->name))
            scope_error(c->node->scope, "inside node %s nothing makes the output %s",
                        quoted(im, c->node->origin), quoted(im, g->output[i]->name));
}

void captures_find(OnnxNode *n) {
    Captures c = {.node = n};
    for (int i = 0; i < n->nattrs; i++)
        if (!n->attrs[i].is_reference)
            read_attribute(&c, NULL, n->attrs[i].value);
    n->captures = c.found.data;
    n->ncaptures = (int)c.found.len;
    arena_free(&c.arena);
}
