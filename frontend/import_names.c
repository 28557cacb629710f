/* import_names.c: who makes which value of a scope, and in which order its nodes run. */
#include "frontend/import.h"

#include <string.h>

OnnxName *name_find(const Scope *s, const char *name) {
    OnnxName *x = NULL;
    for (; s && !x; s = s->outer)
        x = map_get(&s->names, name);
    return x;
}

void scope_error(const Scope *s, const char *fmt, ...) {
    Importer *im = s->im;
    va_list ap;
    va_start(ap, fmt);
    diag_error(im->d, EXIT_BAD_MODEL, im->path, "%s",
               im->d->errors < DIAG_MAX ? arena_vprintf(&im->arena, fmt, ap) : "");
    va_end(ap);
    if (s->at)
        diag_note(im->d, "inside", "node %s", quoted(im, s->at->origin));
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static const char **names_of_infos(Importer *im, Onnx__ValueInfoProto *const *infos, size_t n) {
    const char **names = ARENA_ARRAY(&im->arena, n, const char *);
    for (size_t i = 0; i < n; i++)
        names[i] = infos[i]->name;
    return names;
}

OnnxBody body_of_graph(Importer *im, const Onnx__GraphProto *g) {
    return (OnnxBody){
        .nodes = g->node,
        .nnodes = g->n_node,
        .inputs = names_of_infos(im, g->input, g->n_input),
        .ninputs = g->n_input,
        .outputs = names_of_infos(im, g->output, g->n_output),
        .noutputs = g->n_output,
        .graph = g,
    };
}

/* ---- definitions ----------------------------------------------------------------------------- */

/* Names inside functions are shown with the path to them; long ones are cut. */
static const char *label_of(const Scope *s, const char *name) {
    enum { SHOWN = 120 };
    return *s->path ? arena_printf(&s->im->arena, "%s%.*s", s->path, SHOWN, name) : name;
}

OnnxName *name_new(Scope *s, const char *name, OnnxNode *producer) {
    OnnxName *x = ARENA_NEW(&s->im->arena, OnnxName);
    x->name = name;
    x->label = label_of(s, name);
    x->producer = producer;
    map_put(&s->im->arena, &s->names, name, x);
    return x;
}

static void name_nothing(const Scope *s, const char *what, size_t i) {
    scope_error(s, "%s %zu has no name", what, i);
}

static void name_twice(const Scope *s, const char *name) {
    scope_error(s, "value %s is defined twice", quoted(s->im, name));
}

static void define_initializer(Scope *s, const char *what, size_t i, const char *name) {
    if (!name || !*name)
        name_nothing(s, what, i);
    else if (map_get(&s->names, name))
        name_twice(s, name);
    else
        name_new(s, name, NULL);
}

static void define_initializers(Scope *s, const Onnx__GraphProto *g) {
    for (size_t i = 0; i < g->n_initializer; i++)
        define_initializer(s, "initializer", i, g->initializer[i]->name);
    for (size_t i = 0; i < g->n_sparse_initializer; i++)
        define_initializer(s, "sparse initializer", i, sparse_name(g->sparse_initializer[i]));
}

/* An input with an initializer has a default (all of them had inputs before IR version 4): the
 * initializer is what counts. */
static void define_inputs(Scope *s, const Onnx__GraphProto *g) {
    Map seen = {0};
    for (size_t i = 0; i < g->n_input; i++) {
        char *name = g->input[i]->name;
        if (!name || !*name)
            name_nothing(s, "graph input", i);
        else if (!map_put(&s->im->arena, &seen, name, name))
            name_twice(s, name);
        else if (!map_get(&s->names, name))
            name_new(s, name, NULL);
    }
}

const char *node_origin(Importer *im, const Onnx__NodeProto *p) {
    if (p->name && *p->name)
        return p->name;
    for (size_t i = 0; i < p->n_output; i++)
        if (*p->output[i])
            return arena_printf(&im->arena, "%s:%s", p->op_type, p->output[i]);
    return p->op_type;
}

static void define_outputs(Scope *s, OnnxNode *n) {
    n->noutputs = (int)n->proto->n_output;
    n->outputs = ARENA_ARRAY(&s->im->arena, n->proto->n_output, OnnxName *);
    for (int i = 0; i < n->noutputs; i++) {
        const char *name = n->proto->output[i];
        OnnxName *other = *name ? map_get(&s->names, name) : NULL;
        if (other && other->producer)
            scope_error(s, "value %s is made twice, by nodes %s and %s", quoted(s->im, name),
                        quoted(s->im, other->producer->origin), quoted(s->im, n->origin));
        else if (other)
            name_twice(s, name);
        else if (*name)
            n->outputs[i] = name_new(s, name, n);
    }
}

/* Sets up n and defines what it makes. */
static void define_node(Scope *s, OnnxNode *n, const Onnx__NodeProto *p, size_t i) {
    n->im = s->im;
    n->scope = s;
    n->proto = p;
    if (!p->op_type || !*p->op_type) {
        scope_error(s, "node %zu has no op_type", i);
        return;
    }
    n->origin = label_of(s, node_origin(s->im, p));
    n->domain = onnx_domain(p->domain);
    attrs_bind(n);
    define_outputs(s, n);
}

static void define_nodes(Scope *s, const OnnxBody *b) {
    s->nnodes = b->nnodes;
    s->nodes = ARENA_ARRAY(&s->im->arena, b->nnodes, OnnxNode);
    for (size_t i = 0; i < b->nnodes; i++)
        define_node(s, &s->nodes[i], b->nodes[i], i);
}

/* ---- uses ------------------------------------------------------------------------------------ */

static void use_inputs(Scope *s, OnnxNode *n) {
    n->ninputs = (int)n->proto->n_input;
    n->inputs = ARENA_ARRAY(&s->im->arena, n->proto->n_input, OnnxName *);
    for (int i = 0; i < n->ninputs; i++) {
        const char *name = n->proto->input[i];
        OnnxName *x = *name ? name_find(s, name) : NULL;
        if (*name && !x)
            scope_error(s, "node %s reads %s, which nothing makes", quoted(s->im, n->origin),
                        quoted(s->im, name));
        if (x)
            x->uses++;
        n->inputs[i] = x && !x->is_absent ? x : NULL;
    }
}

static void use_outputs(Scope *s, const OnnxBody *b) {
    const char *what = s->at ? "output" : "graph output";
    for (size_t i = 0; i < b->noutputs; i++) {
        const char *name = b->outputs[i];
        OnnxName *x = name && *name ? name_find(s, name) : NULL;
        if (!name || !*name)
            name_nothing(s, what, i);
        else if (!x)
            scope_error(s, "nothing makes the %s %s", what, quoted(s->im, name));
        else
            x->uses++;
    }
    if (b->noutputs == 0 && !s->at)
        scope_error(s, "the graph has no outputs");
}

/* ---- order ----------------------------------------------------------------------------------- */

enum { NEW, OPEN, DONE }; /* OnnxNode.state: not seen, on the stack, in the order */

/* A node on the stack and the next of its inputs and captures to follow. */
typedef struct Step {
    OnnxNode *node;
    int input;
} Step;

typedef VEC(Step) Steps;

static void report_cycle(const Scope *scope, const Steps *s, const OnnxNode *from) {
    enum { SHOWN = 8 };
    Importer *im = scope->im;
    Buf b = {0};
    size_t i = s->len;
    do
        i--;
    while (s->data[i].node != from);
    size_t length = s->len - i;
    for (size_t k = 0; k < length && k < SHOWN; k++)
        buf_printf(&b, "%s%s", k ? ", " : "", quoted(im, s->data[i + k].node->origin));
    if (length == 1)
        scope_error(scope, "a node waits for itself: a cycle");
    else
        scope_error(scope, "%zu nodes wait for each other: a cycle", length);
    diag_note(im->d, "nodes", "%s%s", buf_str(&b), length > SHOWN ? ", ..." : "");
    buf_free(&b);
}

static const OnnxName *waited_for(const OnnxNode *n, int i) {
    return i < n->ninputs ? n->inputs[i] : n->captures[i - n->ninputs];
}

/* The next producer that top has to wait for, or NULL. */
static OnnxNode *next_producer(Step *top) {
    while (top->input < top->node->ninputs + top->node->ncaptures) {
        const OnnxName *x = waited_for(top->node, top->input++);
        if (x && x->producer && x->producer->state != DONE)
            return x->producer;
    }
    return NULL;
}

/* Appends root and all that it waits for to the order; false for a cycle. */
static bool visit(Scope *scope, OnnxNode *root) {
    Arena *a = &scope->im->arena;
    Steps s = {0};
    root->state = OPEN;
    vec_push(a, &s, ((Step){root, 0}));
    while (s.len) {
        OnnxNode *n = s.data[s.len - 1].node, *p = next_producer(&s.data[s.len - 1]);
        if (p && p->state == OPEN) {
            report_cycle(scope, &s, p);
            return false;
        }
        if (p) {
            p->state = OPEN;
            vec_push(a, &s, ((Step){p, 0}));
        } else {
            n->state = DONE;
            vec_push(a, &scope->order, n);
            s.len--;
        }
    }
    return true;
}

/* ONNX demands an order of execution. A file that has one keeps it; one that has not is sorted. */
static bool order_nodes(Scope *s) {
    for (size_t i = 0; i < s->nnodes; i++)
        if (s->nodes[i].state == NEW && !visit(s, &s->nodes[i]))
            return false;
    return true;
}

bool names_resolve(Scope *s, const OnnxBody *b) {
    size_t errors = s->im->d->errors;
    if (b->graph)
        define_initializers(s, b->graph);
    if (!s->at)
        define_inputs(s, b->graph);
    define_nodes(s, b);
    for (size_t i = 0; i < s->nnodes; i++)
        if (s->nodes[i].origin)
            use_inputs(s, &s->nodes[i]);
    for (size_t i = 0; i < s->nnodes; i++)
        captures_find(&s->nodes[i]);
    use_outputs(s, b);
    return s->im->d->errors == errors && order_nodes(s);
}
