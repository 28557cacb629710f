/* graph_fold.c: values that depend on constants alone become constants. */
#include "ir/graph_internal.h"

#include <string.h>

enum {
    MAX_FOLD_NODES = 4096,      /* of one call: bounds what a hostile graph can make it walk */
    FOLD_SLACK_BYTES = 1 << 26, /* what folding may make beyond twice the graph's own constants */
    FOLD_SLACK_WORK = 1 << 25,  /* steps beyond WORK_PER_BYTE for each byte of them: about 1 s */
    GROWTH = 8, /* how often passes may make the graph's own constants anew, beyond that */
    WORK_PER_BYTE = 8,
    WORK_PER_VISIT = 16
};

/* A node that is being visited, and how many of its operands have been. */
typedef struct Frame {
    Node *node;
    int next;
} Frame;

typedef struct Folder {
    Graph *g;
    int64_t limit;
    Arena arena;
    Map seen; /* node by its first result's name */
    VEC(Frame) stack;
    VEC(Node *) order; /* operands before users */
} Folder;

/* ---- what has to be computed ---------------------------------------------------------------- */

static bool has_elements(const Value *v) {
    return v->constant && v->constant->data;
}

/* What an evaluator reads for each element of its result, where that isn't in node_macs. */
static int64_t window_elems(const Node *n) {
    int64_t sizes[2] = {0, 0}, elems;
    for (int i = 0; i < 2; i++)
        if (op_info(n->op)->attrs == ATTRSET_pool)
            sizes[i] = pool_attrs(n)->kernel.v[i];
        else if (n->op == OP_resize)
            sizes[i] = node_in(n, 1 + i) ? shape_in(n, 1 + i)->dim[1] : 1;
        else if (n->op == OP_non_max_suppression)
            sizes[i] = i == 0 ? shape_in(n, 0)->dim[1] : 1;
    return checked_mul(sizes[0], sizes[1], &elems) ? elems : INT64_MAX;
}

/* Bounds the elements that n's evaluator touches and its multiply-accumulates. */
static int64_t node_work(const Node *n) {
    int64_t work = node_macs(n), window; /* saturated */
    if (!checked_mul(shape_elems(&node_out(n)->type.shape), window_elems(n), &window) ||
        !checked_add(work, window, &work))
        return INT64_MAX;
    for (int i = 0; i < n->noperands; i++)
        if (node_in(n, i) && !checked_add(work, shape_elems(shape_in(n, i)), &work))
            return INT64_MAX;
    for (int i = 0; i < n->nresults; i++)
        if (!checked_add(work, shape_elems(&n->results[i]->type.shape), &work))
            return INT64_MAX;
    return work;
}

static int64_t own_bytes(const Graph *g) {
    return g->constant_bytes - g->folded_bytes;
}

/* Takes work from what the graph has left for folding; false where it isn't enough. */
static bool spend(Graph *g, int64_t work) {
    int64_t limit = FOLD_SLACK_WORK + WORK_PER_BYTE * own_bytes(g);
    if (g->folded_work > limit || work > limit - g->folded_work)
        return false;
    g->folded_work += work;
    return true;
}

bool graph_may_grow(const Graph *g, int64_t bytes) {
    return g->folded_bytes + bytes <= FOLD_SLACK_BYTES + GROWTH * own_bytes(g);
}

/* Within the element limit, and the graph doesn't blow up. */
static bool is_affordable(const Folder *f, const Node *n) {
    const Graph *g = f->g;
    int64_t bytes = g->folded_bytes;
    for (int i = 0; i < n->nresults; i++) {
        const Type *t = &n->results[i]->type;
        int64_t elems = shape_elems(&t->shape);
        if (elems > f->limit)
            return false;
        bytes += elems * dtype_bytes(t->dtype);
    }
    return bytes <= FOLD_SLACK_BYTES + 2 * own_bytes(g);
}

static bool enter(Folder *f, Node *n) {
    const char *key = n->results[0]->name;
    if (map_get(&f->seen, key))
        return true;
    if (f->seen.len >= MAX_FOLD_NODES || !is_affordable(f, n) || !spend(f->g, WORK_PER_VISIT))
        return false;
    map_put(&f->arena, &f->seen, key, n);
    Frame frame = {n, 0};
    vec_push(&f->arena, &f->stack, frame);
    return true;
}

/* Orders v's node and all that it needs; false where something isn't constant. A stack of its own
 * instead of recursion: a hostile graph can be deep. */
static bool plan(Folder *f, Value *v) {
    if (!v->def || !enter(f, v->def))
        return false;
    while (f->stack.len > 0) {
        Frame *top = &f->stack.data[f->stack.len - 1];
        if (top->next == top->node->noperands) {
            vec_push(&f->arena, &f->order, top->node);
            f->stack.len--;
            continue;
        }
        const Value *operand = node_in(top->node, top->next++);
        if (!operand || has_elements(operand))
            continue;
        if (!operand->def || !enter(f, operand->def))
            return false;
    }
    return true;
}

/* ---- computing ------------------------------------------------------------------------------ */

static void become_constant(Graph *g, Value *v, const Tensor *t) {
    const void *data = arena_copy(&g->arena, t->data, (size_t)tensor_bytes(t));
    v->constant = tensor_wrap(&g->arena, t->dtype, t->shape, data);
    v->type = type_plain(t->dtype, t->shape);
    v->def = NULL;
    v->result = 0;
    v->arena_offset = -1;
    vec_push(&g->arena, &g->constants, v);
    graph_count_constant(g, tensor_bytes(t));
    g->folded_bytes += tensor_bytes(t);
}

/* The results outlive the node, so it gives them up first. */
static void replace_by_constants(Graph *g, Node *n, Tensor *const *out) {
    int count = n->nresults;
    n->nresults = 0;
    for (int i = 0; i < count; i++)
        become_constant(g, n->results[i], out[n->results[i]->result]);
    node_erase(g, n);
}

static bool fold_node(Folder *f, Node *n) {
    Arena arena = {0};
    const Tensor **in = ARENA_ARRAY(&arena, n->noperands + 1, const Tensor *);
    Tensor *out[MAX_RESULTS] = {NULL};
    for (int i = 0; i < n->noperands; i++)
        in[i] = node_in(n, i) ? node_in(n, i)->constant : NULL;
    bool ok = is_affordable(f, n) && spend(f->g, node_work(n));
    for (int i = 0; ok && i < n->nresults; i++) {
        const Value *v = n->results[i];
        out[v->result] = tensor_new(&arena, v->type.dtype, v->type.shape);
    }
    Buf why = {0};
    ok = ok && eval_node(n, in, out, &why);
    if (ok)
        replace_by_constants(f->g, n, out);
    buf_free(&why);
    arena_free(&arena);
    return ok;
}

const Tensor *graph_fold_value(Graph *g, Value *v, int64_t limit) {
    if (v->constant)
        return v->constant->data ? v->constant : NULL;
    Folder f = {.g = g, .limit = limit};
    bool ok = plan(&f, v);
    for (size_t i = 0; ok && i < f.order.len; i++)
        ok = fold_node(&f, f.order.data[i]);
    arena_free(&f.arena);
    return ok ? v->constant : NULL;
}
