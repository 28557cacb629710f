/* import_names.c: who makes which value, and in which order the nodes run. */
#include "frontend/import.h"

#include <string.h>

OnnxName *name_find(const Importer *im, const char *name) {
    return map_get(&im->names, name);
}

/* ---- definitions ----------------------------------------------------------------------------- */

static OnnxName *name_new(Importer *im, const char *name, OnnxNode *producer) {
    OnnxName *x = ARENA_NEW(&im->arena, OnnxName);
    x->name = name;
    x->producer = producer;
    map_put(&im->arena, &im->names, name, x);
    return x;
}

static void name_nothing(Importer *im, const char *what, size_t i) {
    diag_error(im->d, EXIT_BAD_MODEL, im->path, "%s %zu has no name", what, i);
}

static void name_twice(Importer *im, const char *name) {
    diag_error(im->d, EXIT_BAD_MODEL, im->path, "value %s is defined twice", quoted(im, name));
}

static void define_initializer(Importer *im, const char *what, size_t i, const char *name) {
    if (!name || !*name)
        name_nothing(im, what, i);
    else if (name_find(im, name))
        name_twice(im, name);
    else
        name_new(im, name, NULL);
}

static void define_initializers(Importer *im) {
    const Onnx__GraphProto *g = im->model->graph;
    for (size_t i = 0; i < g->n_initializer; i++)
        define_initializer(im, "initializer", i, g->initializer[i]->name);
    for (size_t i = 0; i < g->n_sparse_initializer; i++)
        define_initializer(im, "sparse initializer", i, sparse_name(g->sparse_initializer[i]));
}

/* An input with an initializer has a default (all of them had inputs before IR version 4): the
 * initializer is what counts. */
static void define_inputs(Importer *im) {
    const Onnx__GraphProto *g = im->model->graph;
    Map seen = {0};
    for (size_t i = 0; i < g->n_input; i++) {
        char *name = g->input[i]->name;
        if (!name || !*name)
            name_nothing(im, "graph input", i);
        else if (!map_put(&im->arena, &seen, name, name))
            name_twice(im, name);
        else if (!name_find(im, name))
            name_new(im, name, NULL);
    }
}

static const char *node_origin(Importer *im, const Onnx__NodeProto *p) {
    if (p->name && *p->name)
        return p->name;
    for (size_t i = 0; i < p->n_output; i++)
        if (*p->output[i])
            return arena_printf(&im->arena, "%s:%s", p->op_type, p->output[i]);
    return p->op_type;
}

static void define_outputs(Importer *im, OnnxNode *n) {
    n->noutputs = (int)n->proto->n_output;
    n->outputs = ARENA_ARRAY(&im->arena, n->proto->n_output, OnnxName *);
    for (int i = 0; i < n->noutputs; i++) {
        const char *name = n->proto->output[i];
        OnnxName *other = *name ? name_find(im, name) : NULL;
        if (other && other->producer)
            diag_error(im->d, EXIT_BAD_MODEL, im->path,
                       "value %s is made twice, by nodes %s and %s", quoted(im, name),
                       quoted(im, other->producer->origin), quoted(im, n->origin));
        else if (other)
            name_twice(im, name);
        else if (*name)
            n->outputs[i] = name_new(im, name, n);
    }
}

/* Sets up n and defines what it makes. */
static void define_node(Importer *im, OnnxNode *n, const Onnx__NodeProto *p, size_t i) {
    n->im = im;
    n->proto = p;
    if (!p->op_type || !*p->op_type) {
        diag_error(im->d, EXIT_BAD_MODEL, im->path, "node %zu has no op_type", i);
        return;
    }
    n->origin = node_origin(im, p);
    n->domain = onnx_domain(p->domain);
    define_outputs(im, n);
}

static void define_nodes(Importer *im) {
    const Onnx__GraphProto *g = im->model->graph;
    im->nnodes = g->n_node;
    im->nodes = ARENA_ARRAY(&im->arena, g->n_node, OnnxNode);
    for (size_t i = 0; i < g->n_node; i++)
        define_node(im, &im->nodes[i], g->node[i], i);
}

/* ---- uses ------------------------------------------------------------------------------------ */

static void use_inputs(Importer *im, OnnxNode *n) {
    n->ninputs = (int)n->proto->n_input;
    n->inputs = ARENA_ARRAY(&im->arena, n->proto->n_input, OnnxName *);
    for (int i = 0; i < n->ninputs; i++) {
        const char *name = n->proto->input[i];
        OnnxName *x = *name ? name_find(im, name) : NULL;
        if (*name && !x)
            diag_error(im->d, EXIT_BAD_MODEL, im->path, "node %s reads %s, which nothing makes",
                       quoted(im, n->origin), quoted(im, name));
        if (x)
            x->uses++;
        n->inputs[i] = x;
    }
}

static void use_outputs(Importer *im) {
    const Onnx__GraphProto *g = im->model->graph;
    for (size_t i = 0; i < g->n_output; i++) {
        const char *name = g->output[i]->name;
        OnnxName *x = name && *name ? name_find(im, name) : NULL;
        if (!name || !*name)
            name_nothing(im, "graph output", i);
        else if (!x)
            diag_error(im->d, EXIT_BAD_MODEL, im->path, "nothing makes the graph output %s",
                       quoted(im, name));
        else
            x->uses++;
    }
    if (g->n_output == 0)
        diag_error(im->d, EXIT_BAD_MODEL, im->path, "the graph has no outputs");
}

/* ---- order ----------------------------------------------------------------------------------- */

enum { NEW, OPEN, DONE }; /* OnnxNode.state: not seen, on the stack, in the order */

/* A node on the stack and the next of its inputs to follow. */
typedef struct Step {
    OnnxNode *node;
    int input;
} Step;

typedef VEC(Step) Steps;

static void report_cycle(Importer *im, const Steps *s, const OnnxNode *from) {
    enum { SHOWN = 8 };
    Buf b = {0};
    size_t i = s->len;
    do
        i--;
    while (s->data[i].node != from);
    size_t length = s->len - i;
    for (size_t k = 0; k < length && k < SHOWN; k++)
        buf_printf(&b, "%s%s", k ? ", " : "", quoted(im, s->data[i + k].node->origin));
    diag_error(im->d, EXIT_BAD_MODEL, im->path, "%zu node%s wait for each other: a cycle", length,
               length > 1 ? "s" : "");
    diag_note(im->d, "nodes", "%s%s", buf_str(&b), length > SHOWN ? ", ..." : "");
    buf_free(&b);
}

/* The next producer that top has to wait for, or NULL. */
static OnnxNode *next_producer(Step *top) {
    while (top->input < top->node->ninputs) {
        const OnnxName *x = top->node->inputs[top->input++];
        if (x && x->producer && x->producer->state != DONE)
            return x->producer;
    }
    return NULL;
}

/* Appends root and all that it waits for to the order; false for a cycle. */
static bool visit(Importer *im, OnnxNode *root) {
    Steps s = {0};
    root->state = OPEN;
    vec_push(&im->arena, &s, ((Step){root, 0}));
    while (s.len) {
        OnnxNode *n = s.data[s.len - 1].node, *p = next_producer(&s.data[s.len - 1]);
        if (p && p->state == OPEN) {
            report_cycle(im, &s, p);
            return false;
        }
        if (p) {
            p->state = OPEN;
            vec_push(&im->arena, &s, ((Step){p, 0}));
        } else {
            n->state = DONE;
            vec_push(&im->arena, &im->order, n);
            s.len--;
        }
    }
    return true;
}

/* ONNX demands an order of execution. A file that has one keeps it; one that has not is sorted. */
static bool order_nodes(Importer *im) {
    for (size_t i = 0; i < im->nnodes; i++)
        if (im->nodes[i].state == NEW && !visit(im, &im->nodes[i]))
            return false;
    return true;
}

bool names_resolve(Importer *im) {
    size_t errors = im->d->errors;
    define_initializers(im);
    define_inputs(im);
    define_nodes(im);
    for (size_t i = 0; i < im->nnodes; i++)
        if (im->nodes[i].origin)
            use_inputs(im, &im->nodes[i]);
    use_outputs(im);
    return im->d->errors == errors && order_nodes(im);
}
