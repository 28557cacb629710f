/* import_inline.c: subgraphs and functions in the place of their nodes.
 *
 * A body is imported anew wherever it is needed, in a scope of its own, as if its nodes stood in
 * the graph. A small file can ask for a lot of that: functions that call others twice each double
 * at every step. What all of it takes is counted in units, each of them about one node. */
#include "frontend/import.h"

#include <string.h>

enum {
    MAX_UNITS = 1 << 17,   /* nodes of bodies, and nodes of the graph IR made of them */
    MAX_INLINE_DEPTH = 64, /* scopes within scopes */
    UNIT_BYTES = 64,       /* bytes of names, and so on, that count as another node */
};

bool inline_spend(OnnxNode *n, size_t units) {
    Importer *im = n->im;
    if (!im->inlined_too_much && units <= MAX_UNITS && im->inlined + units <= MAX_UNITS) {
        im->inlined += units;
        return true;
    }
    if (!im->inlined_too_much)
        onnx_unsupported(n,
                         "with all subgraphs, functions and sequences in their places the model "
                         "has more than some %d nodes",
                         MAX_UNITS);
    im->inlined_too_much = true;
    n->failed = true;
    return false;
}

/* ---- what a body takes ----------------------------------------------------------------------- */

static size_t units_of_names(const char *const *names, size_t n) {
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += sizeof(char *) + (names[i] ? strlen(names[i]) : 0);
    return bytes / UNIT_BYTES;
}

static size_t units_of_graph(const Onnx__GraphProto *g);

/* Subgraphs count too: their names are looked up. Tensors are imported once, and don't. */
static size_t units_of_attribute(const Onnx__AttributeProto *a) {
    size_t bytes = sizeof(OnnxAttr) + a->s.len, units = a->g ? units_of_graph(a->g) : 0;
    for (size_t i = 0; i < a->n_strings; i++)
        bytes += sizeof(char *) + a->strings[i].len;
    for (size_t i = 0; i < a->n_graphs; i++)
        units += units_of_graph(a->graphs[i]);
    return units + bytes / UNIT_BYTES;
}

static size_t units_of_node(const Onnx__NodeProto *p) {
    const char *const names[] = {p->name, p->op_type, p->domain, p->overload};
    size_t units = 1 + units_of_names(names, sizeof names / sizeof *names);
    units += units_of_names((const char *const *)p->input, p->n_input);
    units += units_of_names((const char *const *)p->output, p->n_output);
    for (size_t i = 0; i < p->n_attribute; i++)
        units += units_of_attribute(p->attribute[i]);
    return units;
}

static size_t units_of_nodes(Onnx__NodeProto *const *nodes, size_t n, size_t path_bytes) {
    size_t units = 1;
    for (size_t i = 0; i < n && units <= MAX_UNITS; i++)
        units += units_of_node(nodes[i]) + path_bytes / UNIT_BYTES;
    return units;
}

static size_t units_of_graph(const Onnx__GraphProto *g) {
    return units_of_nodes(g->node, g->n_node, 0) + g->n_input + g->n_output + g->n_initializer +
           g->n_sparse_initializer;
}

static size_t units_of_body(const OnnxBody *b, const Scope *s) {
    const Onnx__GraphProto *g = b->graph;
    return units_of_nodes(b->nodes, b->nnodes, strlen(s->path)) +
           units_of_names(b->inputs, b->ninputs) + units_of_names(b->outputs, b->noutputs) +
           (g ? g->n_initializer + g->n_sparse_initializer : 0);
}

/* ---- scopes ---------------------------------------------------------------------------------- */

Scope *scope_inside(OnnxNode *n, const char *path) {
    Scope *s = ARENA_NEW(&n->im->arena, Scope), *around = n->scope;
    *s = (Scope){
        .im = n->im,
        .outer = around,
        .at = n,
        .function = around->function,
        .call = around->call,
        .path = path,
        .opsets = around->opsets,
        .depth = around->depth + 1,
    };
    return s;
}

void name_take(OnnxName *to, const OnnxName *from) {
    to->value = from->value;
    to->list = from->list;
}

static void define_inputs(Scope *s, const OnnxBody *b, OnnxName *const *in) {
    for (size_t i = 0; i < b->ninputs; i++) {
        const char *name = b->inputs[i];
        if (!name || !*name)
            scope_error(s, "input %zu has no name", i);
        else if (map_get(&s->names, name))
            scope_error(s, "input %s is there twice", quoted(s->im, name));
        else if (in[i])
            name_take(name_new(s, name, NULL), in[i]);
        else
            name_new(s, name, NULL)->is_absent = true;
    }
}

/* What the body makes for an output is called as that. */
static void label_outputs(Scope *s, const OnnxBody *b, OnnxName *const *labels) {
    for (size_t i = 0; i < b->noutputs; i++) {
        OnnxName *x = map_get(&s->names, b->outputs[i]);
        if (x && x->producer && labels[i])
            x->label = labels[i]->label;
    }
}

static bool find_outputs(OnnxNode *n, Scope *s, const OnnxBody *b, OnnxName **out) {
    bool complete = true;
    for (size_t i = 0; i < b->noutputs; i++) {
        out[i] = name_find(s, b->outputs[i]);
        if (out[i]->is_absent)
            onnx_bad(n, "its output %zu is an input that is left out", i);
        complete &= out[i]->value || out[i]->list;
    }
    return complete;
}

void scope_import(Scope *s) {
    for (size_t i = 0; i < s->order.len && !s->im->inlined_too_much; i++)
        import_node(s->order.data[i]);
}

bool body_import(OnnxNode *n, Scope *s, const OnnxBody *b, OnnxName *const *in,
                 OnnxName *const *labels, OnnxName **out) {
    size_t errors = n->im->d->errors;
    if (s->depth > MAX_INLINE_DEPTH)
        onnx_unsupported(n, "subgraphs and functions are nested more than %d deep",
                         MAX_INLINE_DEPTH);
    if (n->failed || !inline_spend(n, units_of_body(b, s)))
        return false;
    define_inputs(s, b, in);
    if (n->im->d->errors == errors && names_resolve(s, b)) {
        label_outputs(s, b, labels);
        if (b->graph)
            import_initializers(s, b->graph);
        scope_import(s);
        if (!n->im->inlined_too_much && find_outputs(n, s, b, out) && n->im->d->errors == errors)
            return true;
    }
    n->failed = true;
    return false;
}

void body_replaces(OnnxNode *n, Scope *s, const OnnxBody *b, OnnxName *const *in) {
    Arena *a = &n->im->arena;
    const char **names = ARENA_ARRAY(a, n->noutputs, const char *);
    OnnxName **labels = ARENA_ARRAY(a, n->noutputs, OnnxName *);
    OnnxName **out = ARENA_ARRAY(a, n->noutputs, OnnxName *);
    OnnxBody used = *b;
    used.outputs = names;
    used.noutputs = 0;
    ensure((size_t)n->noutputs <= b->noutputs);
    for (int i = 0; i < n->noutputs; i++)
        if (n->outputs[i] && n->outputs[i]->uses) {
            names[used.noutputs] = b->outputs[i];
            labels[used.noutputs++] = n->outputs[i];
        }
    if (body_import(n, s, &used, in, labels, out))
        for (size_t i = 0; i < used.noutputs; i++)
            name_take(labels[i], out[i]);
}
