/* lower_release.c: the memory of constants is given back as soon as all that reads them is lowered:
 * by then their elements are among the packed weights, and twice is too much for large models.
 *
 * Constants can share memory (graph_constant_view), so ranges that overlap go together. */
#include "passes/lower.h"

#include <stdlib.h>

enum { WORTH_IT = 64 << 10 }; /* bytes: below, a call of the system costs more than it gives */

typedef struct ConstantUse {
    Value *value;
    const char *begin, *end;
    int last; /* index of the node that reads it last */
} ConstantUse;

struct ConstantUses {
    VEC(ConstantUse) uses; /* by `last` */
    size_t next;           /* the first that is not given back */
};

static int by_address(const void *a, const void *b) {
    const ConstantUse *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static int by_last(const void *a, const void *b) {
    const ConstantUse *x = a, *y = b;
    return (x->last > y->last) - (x->last < y->last);
}

static void add_operands(Arena *a, ConstantUses *c, const Node *n, int index) {
    for (int slot = 0; slot < n->noperands; slot++) {
        Value *v = node_in(n, slot);
        if (!v || !v->constant || !v->constant->data)
            continue;
        const char *begin = v->constant->data;
        ConstantUse use = {v, begin, begin + tensor_bytes(v->constant),
                           value_is_graph_output(v) ? INT32_MAX : index};
        vec_push(a, &c->uses, use);
    }
}

/* What overlaps is read last where any of it is. `uses` are by address. */
static void join(ConstantUse *uses, size_t n) {
    for (size_t first = 0, end; first < n; first = end) {
        int last = uses[first].last;
        const char *reach = uses[first].end;
        for (end = first + 1; end < n && uses[end].begin < reach; end++) {
            last = uses[end].last > last ? uses[end].last : last;
            reach = uses[end].end > reach ? uses[end].end : reach;
        }
        for (size_t i = first; i < end; i++)
            uses[i].last = last;
    }
}

ConstantUses *constant_uses(const Graph *g, Arena *a) {
    ConstantUses *c = ARENA_NEW(a, ConstantUses);
    int index = 0;
    FOR_EACH_NODE(g, n) {
        add_operands(a, c, n, index++);
    }
    if (c->uses.len > 0) {
        qsort(c->uses.data, c->uses.len, sizeof *c->uses.data, by_address);
        join(c->uses.data, c->uses.len);
        qsort(c->uses.data, c->uses.len, sizeof *c->uses.data, by_last);
    }
    return c;
}

void constant_uses_end(ConstantUses *c, int index) {
    for (; c->next < c->uses.len && c->uses.data[c->next].last == index; c->next++) {
        const ConstantUse *use = &c->uses.data[c->next];
        if (use->end - use->begin < WORTH_IT)
            continue;
        memory_release(use->begin, (size_t)(use->end - use->begin));
        use->value->constant->data = NULL;
    }
}
