/* graph_eval.c: runs a graph node by node. A value's tensor is in an arena of its own, which is
 * freed after the last use; graph outputs are in the caller's. */
#include "ir/graph_internal.h"

#include <string.h>

typedef struct Slot {
    Arena arena;
    Tensor *tensor;
    int uses; /* still to come */
} Slot;

typedef struct Evaluator {
    const Graph *g;
    Arena *results; /* the caller's */
    Arena arena;    /* of slots and lists */
    Map slots;      /* value name -> Slot */
    VEC(Slot *) list;
    Diag *d;
} Evaluator;

bool eval_node(const Node *n, const Tensor *const *in, Tensor *const *out, Buf *why) {
    Arena scratch = {0};
    bool ok = op_info(n->op)->eval(n, in, out, &scratch, why);
    arena_free(&scratch);
    return ok;
}

/* ---- slots ---------------------------------------------------------------------------------- */

static Slot *new_slot(Evaluator *e, const Value *v) {
    Slot *s = ARENA_NEW(&e->arena, Slot);
    s->uses = value_use_count(v);
    map_put(&e->arena, &e->slots, v->name, s);
    vec_push(&e->arena, &e->list, s);
    return s;
}

static Slot *slot_of(const Evaluator *e, const Value *v) {
    Slot *s = map_get(&e->slots, v->name);
    if (!s || !s->tensor)
        die("%%%s is used before it is computed", v->name);
    return s;
}

static void free_if_dead(Slot *s) {
    if (s->uses == 0)
        arena_free(&s->arena);
}

static bool set_inputs(Evaluator *e, Tensor *const *in) {
    for (size_t i = 0; i < e->g->inputs.len; i++) {
        const Value *v = e->g->inputs.data[i];
        ensure(in[i]->dtype == v->type.dtype && shape_equal(&in[i]->shape, &v->type.shape));
        new_slot(e, v)->tensor = in[i];
    }
    bool ok = true;
    for (size_t i = 0; i < e->g->constants.len; i++) {
        const Value *v = e->g->constants.data[i];
        new_slot(e, v)->tensor = v->constant;
        if (v->constant->data || !v->uses)
            continue;
        diag_error(e->d, EXIT_BAD_MODEL, e->g->name, "the elements of constant @%s are not known",
                   v->name);
        diag_note(e->d, "help", "print the IR with its constants, or name the folder they are in");
        ok = false;
    }
    return ok;
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static bool compute(Evaluator *e, const Node *n, const Tensor **in, Tensor **out) {
    for (int i = 0; i < n->noperands; i++)
        in[i] = node_in(n, i) ? slot_of(e, node_in(n, i))->tensor : NULL;
    for (int i = 0; i < n->nresults; i++) {
        const Value *v = n->results[i];
        Slot *s = new_slot(e, v);
        Arena *a = value_is_graph_output(v) ? e->results : &s->arena;
        s->tensor = tensor_new(a, v->type.dtype, v->type.shape);
        out[v->result] = s->tensor;
    }
    Buf why = {0};
    bool ok = eval_node(n, in, out, &why);
    if (!ok)
        diag_error(e->d, EXIT_BAD_MODEL, e->g->name, "node \"%s\" (%s %%%s): %s", n->origin,
                   op_info(n->op)->name, n->results[0]->name, buf_str(&why));
    buf_free(&why);
    return ok;
}

static void release(Evaluator *e, const Node *n) {
    for (int i = 0; i < n->noperands; i++) {
        if (!node_in(n, i))
            continue;
        Slot *s = slot_of(e, node_in(n, i));
        s->uses--;
        free_if_dead(s);
    }
    for (int i = 0; i < n->nresults; i++)
        free_if_dead(slot_of(e, n->results[i]));
}

static bool run_node(Evaluator *e, const Node *n, EvalHook *hook, void *ctx) {
    Arena lists = {0};
    const Tensor **in = ARENA_ARRAY(&lists, n->noperands + 1, const Tensor *);
    Tensor *out[MAX_RESULTS] = {NULL};
    bool ok = compute(e, n, in, out);
    if (ok && hook)
        hook(ctx, n, out);
    release(e, n);
    arena_free(&lists);
    return ok;
}

/* What no node computes is copied: the input or the constant may not live as long. */
static Tensor *take_output(Evaluator *e, const Value *v) {
    Tensor *t = slot_of(e, v)->tensor;
    if (v->def)
        return t;
    Tensor *copy = tensor_new(e->results, t->dtype, t->shape);
    size_t bytes = (size_t)tensor_bytes(t);
    if (bytes > 0)
        memcpy(tensor_mutable(copy), t->data, bytes);
    return copy;
}

static void take_outputs(Evaluator *e, Tensor **out) {
    for (size_t i = 0; i < e->g->outputs.len; i++) {
        const Value *v = e->g->outputs.data[i]->value;
        out[i] = take_output(e, v);
    }
}

bool graph_eval_with(const Graph *g, Tensor *const *in, Tensor **out, Arena *arena, Diag *d,
                     EvalHook *hook, void *ctx) {
    Evaluator e = {.g = g, .results = arena, .d = d};
    bool ok = set_inputs(&e, in);
    for (const Node *n = g->first; ok && n; n = n->next)
        ok = run_node(&e, n, hook, ctx);
    if (ok)
        take_outputs(&e, out);
    for (size_t i = 0; i < e.list.len; i++)
        arena_free(&e.list.data[i]->arena);
    arena_free(&e.arena);
    return ok;
}

bool graph_eval(const Graph *g, Tensor *const *in, Tensor **out, Arena *arena, Diag *d) {
    return graph_eval_with(g, in, out, arena, d, NULL, NULL);
}
