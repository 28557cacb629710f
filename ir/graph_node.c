/* graph_node.c: making, changing and deleting nodes. */
#include "ir/graph_internal.h"

#include <string.h>

/* ---- the list ------------------------------------------------------------------------------- */

static void list_insert(Graph *g, Node *n, Node *before) {
    n->next = before;
    n->prev = before ? before->prev : g->last;
    if (n->prev)
        n->prev->next = n;
    else
        g->first = n;
    if (n->next)
        n->next->prev = n;
    else
        g->last = n;
}

static void list_remove(Graph *g, Node *n) {
    if (n->prev)
        n->prev->next = n->next;
    else
        g->first = n->next;
    if (n->next)
        n->next->prev = n->prev;
    else
        g->last = n->prev;
    n->prev = n->next = NULL;
}

void node_move_before(Graph *g, Node *n, Node *before) {
    if (n == before)
        return;
    list_remove(g, n);
    list_insert(g, n, before);
}

/* ---- making --------------------------------------------------------------------------------- */

static void make_operands(Graph *g, Node *n, Value *const *operands, int count) {
    int slots = op_operand_count(n->op);
    if (op_is_variadic(n->op))
        slots = count;
    if (count > slots)
        die("%s takes %d operands, not %d", op_info(n->op)->name, slots, count);
    n->noperands = slots;
    n->operands = ARENA_ARRAY(&g->arena, slots + 1, Use);
    for (int i = 0; i < slots; i++) {
        n->operands[i] = (Use){.user = n, .slot = i};
        use_link(&n->operands[i], i < count ? operands[i] : NULL);
    }
}

Node *node_new(Graph *g, Op op, Node *before, const char *name, Value *const *operands, int n) {
    const AttrSetInfo *attrs = attrset_info(op_info(op)->attrs);
    Node *node = ARENA_NEW(&g->arena, Node);
    node->op = op;
    node->origin = "";
    if (attrs->size > 0)
        node->attrs = arena_copy(&g->arena, attrs->defaults, attrs->size);
    make_operands(g, node, operands, n);
    node->results = ARENA_ARRAY(&g->arena, op_max_results(op), Value *);
    for (int i = 0; i < op_min_results(op); i++)
        node_add_result(g, node, i, name, (Type){0});
    list_insert(g, node, before);
    return node;
}

Value *node_add_result(Graph *g, Node *n, int slot, const char *name, Type t) {
    if (slot < 0 || slot >= op_max_results(n->op))
        die("%s has no result %d", op_info(n->op)->name, slot);
    Value *v = value_new(g, graph_unique_name(g, name), t);
    v->def = n;
    v->result = slot;
    int at = n->nresults++;
    for (; at > 0 && n->results[at - 1]->result > slot; at--)
        n->results[at] = n->results[at - 1];
    ensure(at == 0 || n->results[at - 1]->result < slot);
    n->results[at] = v;
    return v;
}

void node_remove_result(Graph *g, Node *n, int slot) {
    int at = 0;
    while (at < n->nresults && n->results[at]->result != slot)
        at++;
    ensure(slot >= op_min_results(n->op) && at < n->nresults && !n->results[at]->uses);
    value_forget(g, n->results[at]);
    n->nresults--;
    for (; at < n->nresults; at++)
        n->results[at] = n->results[at + 1];
}

Value *node_result(const Node *n, const char *name) {
    int slot = op_result_slot(n->op, name);
    for (int i = 0; i < n->nresults; i++)
        if (n->results[i]->result == slot)
            return n->results[i];
    return NULL;
}

/* ---- types ---------------------------------------------------------------------------------- */

static bool has_required_operands(const Node *n, Buf *why) {
    if (op_is_variadic(n->op) && n->noperands < op_operand_count(n->op))
        return refuse(why, "operand %s is missing", op_operand(n->op, n->noperands).name);
    for (int i = 0; i < n->noperands; i++) {
        OperandInfo o = op_operand(n->op, i);
        bool optional = o.kind == OPERAND_OPTIONAL || o.kind == OPERAND_NAMED;
        if (!optional && !node_in(n, i))
            return refuse(why, "operand %s is missing", o.name);
    }
    return true;
}

bool node_result_types(const Node *n, Type *results, Buf *why) {
    if (!has_required_operands(n, why) || !op_info(n->op)->infer(n, results, why))
        return false;
    for (int i = 0; i < op_max_results(n->op); i++)
        if (!shape_valid(&results[i].shape, results[i].dtype))
            return refuse(why, "the result would have more than 2^36 bytes");
    return true;
}

bool node_infer(Node *n, Buf *why) {
    Type types[MAX_RESULTS] = {{0}};
    if (!node_result_types(n, types, why))
        return false;
    for (int i = 0; i < n->nresults; i++) {
        Value *v = n->results[i];
        const Type *t = &types[v->result];
        if (value_is_scratch(v) ||
            (v->type.dtype == t->dtype && shape_equal(&v->type.shape, &t->shape)))
            continue;
        v->type = *t;
        v->arena_offset = -1;
    }
    return true;
}

void node_infer_or_die(Node *n) {
    Buf why = {0};
    if (!node_infer(n, &why))
        die("%s %%%s: %s", op_info(n->op)->name, n->results[0]->name, buf_str(&why));
    buf_free(&why);
}

/* ---- changing ------------------------------------------------------------------------------- */

void node_erase(Graph *g, Node *n) {
    for (int i = 0; i < n->nresults; i++)
        value_forget(g, n->results[i]);
    for (int i = 0; i < n->noperands; i++)
        use_unlink(&n->operands[i]);
    list_remove(g, n);
}

void node_set_operand(Node *n, int slot, Value *v) {
    ensure(slot >= 0 && slot < n->noperands);
    use_unlink(&n->operands[slot]);
    use_link(&n->operands[slot], v);
}

int node_slot(const Node *n, const char *name) {
    for (int i = 0; i < op_operand_count(n->op); i++)
        if (strcmp(op_operand(n->op, i).name, name) == 0)
            return i;
    die("%s has no operand %s", op_info(n->op)->name, name);
}
