/* plan-memory: a static arena offset for every value that is neither the caller's nor a constant.
 *
 * Values whose lives overlap get disjoint memory. Best fit, largest first: each value goes into the
 * smallest gap that holds it between those that are placed already and alive with it. Where the
 * lowering allows it, a result takes over the memory of an operand that dies (in place).
 *
 * Needs: layout, add-scratch. Offsets are multiples of ARENA_ALIGN. */
#include "passes/lower.h"

#include <stdlib.h>
#include <string.h>

/* Values that share memory: one, or a chain of in-place results. */
typedef struct Region {
    VEC(Value *) values;
    size_t number;   /* of all regions */
    int first, last; /* nodes, by index: where it is made, where it is last read */
    int64_t bytes;
    int64_t offset; /* -1: not placed yet */
} Region;

typedef struct Planner {
    Arena arena;
    Graph *g;
    VEC(Region *) regions;
    Map of;         /* value name -> Region */
    BatchLoop loop; /* nodes by mark */
} Planner;

int plan_last_use(const Value *v) {
    int last = v->def->mark;
    for (const Use *u = v->uses; u; u = u->next)
        if (u->user && u->user->mark > last)
            last = u->user->mark;
    return last;
}

/* The region that n's first result takes over: the operand that the lowering names, if it
 * dies here, is read through no other slot, and lies in memory as the result will. */
static Region *inplace_region(const Planner *p, const Node *n) {
    const Lowering *l = lowering_of(n->op);
    const Value *v = l->inplace ? l->inplace(n) : NULL;
    Region *b = v ? map_get(&p->of, v->name) : NULL;
    if (!b || b->last != n->mark || !type_equal(&v->type, &node_out(n)->type))
        return NULL;
    int reads = 0;
    for (int i = 0; i < n->noperands; i++)
        reads += node_in(n, i) == v;
    return reads == 1 ? b : NULL;
}

/* What has all images lives through all rounds of the loop that makes or reads it. */
static void live_through_loop(const Planner *p, const Value *v, Region *b) {
    const BatchLoop *l = &p->loop;
    if (l->first < 0 || v->type.layout.one_image || value_is_scratch(v))
        return;
    if (b->first >= l->first && b->first <= l->last)
        b->first = l->first;
    if (b->last >= l->first && b->last < l->last)
        b->last = l->last;
}

static void add_value(Planner *p, const Node *n, Value *v) {
    if (value_is_graph_output(v))
        return;
    Region *b = v == node_out(n) ? inplace_region(p, n) : NULL;
    if (!b) {
        b = ARENA_NEW(&p->arena, Region);
        *b = (Region){.number = p->regions.len, .first = n->mark, .last = n->mark, .offset = -1};
        b->bytes = round_up(type_storage_bytes(&v->type), ARENA_ALIGN);
        vec_push(&p->arena, &p->regions, b);
    }
    vec_push(&p->arena, &b->values, v);
    if (plan_last_use(v) > b->last)
        b->last = plan_last_use(v);
    live_through_loop(p, v, b);
    map_put(&p->arena, &p->of, v->name, b);
}

static void find_regions(Planner *p) {
    graph_number_nodes(p->g);
    p->loop = batch_loop_of(p->g);
    FOR_EACH_NODE(p->g, n) {
        for (int i = 0; i < n->nresults; i++)
            add_value(p, n, n->results[i]);
    }
}

static bool overlap(const Region *a, const Region *b) {
    return a->first <= b->last && b->first <= a->last;
}

static int by_size(const void *x, const void *y) {
    const Region *a = *(Region *const *)x, *b = *(Region *const *)y;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* The start of the smallest gap that holds r between the n regions (in order of offset) that are
 * placed and alive with it; behind the last of them where there is none. */
static int64_t best_gap(Region *const *placed, size_t n, const Region *r) {
    int64_t end = 0, best = -1, best_size = INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        if (!overlap(placed[i], r))
            continue;
        int64_t gap = placed[i]->offset - end;
        if (gap >= r->bytes && gap < best_size) {
            best = end;
            best_size = gap;
        }
        if (placed[i]->offset + placed[i]->bytes > end)
            end = placed[i]->offset + placed[i]->bytes;
    }
    return best >= 0 ? best : end;
}

/* Keeps the n placed regions in order of offset. */
static void insert_placed(Region **placed, size_t n, Region *r) {
    size_t at = n;
    while (at > 0 && placed[at - 1]->offset > r->offset)
        at--;
    memmove(placed + at + 1, placed + at, (n - at) * sizeof *placed);
    placed[at] = r;
}

static void place_all(Planner *p) {
    size_t n = p->regions.len;
    Region **order = arena_copy(&p->arena, p->regions.data, n * sizeof *order);
    Region **placed = ARENA_ARRAY(&p->arena, n, Region *);
    qsort(order, n, sizeof *order, by_size);
    for (size_t i = 0; i < n; i++) {
        order[i]->offset = best_gap(placed, i, order[i]);
        insert_placed(placed, i, order[i]);
    }
}

/* The bytes alive at each of the nodes. */
static int64_t *alive_at(const Planner *p, int nodes, Arena *a) {
    int64_t *alive = ARENA_ARRAY(a, nodes + 1, int64_t);
    for (size_t k = 0; k < p->regions.len; k++) {
        alive[p->regions.data[k]->first] += p->regions.data[k]->bytes;
        alive[p->regions.data[k]->last + 1] -= p->regions.data[k]->bytes;
    }
    for (int i = 1; i < nodes; i++)
        alive[i] += alive[i - 1];
    return alive;
}

/* The most bytes alive at any of the nodes. */
static int64_t most_alive(Planner *p, int nodes) {
    const int64_t *alive = alive_at(p, nodes, &p->arena);
    int64_t most = 0;
    for (int i = 0; i < nodes; i++)
        most = alive[i] > most ? alive[i] : most;
    return most;
}

static void remark(Graph *g, PassContext *cx) {
    MemoryPlan plan = plan_summary(g);
    double gap = plan.lower_bound ? 100.0 * (double)(plan.arena_bytes - plan.lower_bound) /
                                        (double)plan.lower_bound
                                  : 0;
    diag_remark(cx->diag, cx->where,
                "the arena has %lld bytes, %.1f %% over the lower bound of %lld",
                (long long)plan.arena_bytes, gap, (long long)plan.lower_bound);
}

bool pass_plan_memory(Graph *g, PassContext *cx) {
    Planner p = {.g = g};
    find_regions(&p);
    if (p.regions.len)
        place_all(&p);
    for (size_t i = 0; i < p.regions.len; i++)
        for (size_t k = 0; k < p.regions.data[i]->values.len; k++)
            p.regions.data[i]->values.data[k]->arena_offset = p.regions.data[i]->offset;
    arena_free(&p.arena);
    remark(g, cx);
    return true;
}

int64_t plan_arena(Graph *g) {
    Planner p = {.g = g};
    int64_t bytes = 0;
    find_regions(&p);
    if (p.regions.len)
        place_all(&p);
    for (size_t i = 0; i < p.regions.len; i++) {
        int64_t end = p.regions.data[i]->offset + p.regions.data[i]->bytes;
        bytes = end > bytes ? end : bytes;
    }
    arena_free(&p.arena);
    return bytes;
}

PlanRegions plan_regions(Graph *g, Arena *a) {
    Planner p = {.g = g};
    PlanRegions list = {0};
    find_regions(&p);
    for (size_t i = 0; i < p.regions.len; i++) {
        const Region *r = p.regions.data[i];
        const Value *v = r->values.data[0];
        vec_push(a, &list, ((PlanRegion){v, v->arena_offset, r->bytes, r->first, r->last}));
    }
    arena_free(&p.arena);
    return list;
}

const int64_t *plan_alive(Graph *g, Arena *a) {
    Planner p = {.g = g};
    find_regions(&p);
    const int64_t *alive = alive_at(&p, graph_node_count(g), a);
    arena_free(&p.arena);
    return alive;
}

MemoryPlan plan_summary(Graph *g) {
    Planner p = {.g = g};
    find_regions(&p);
    MemoryPlan plan = {.lower_bound = most_alive(&p, graph_node_count(g))};
    for (size_t i = 0; i < p.regions.len; i++) {
        int64_t end = p.regions.data[i]->values.data[0]->arena_offset + p.regions.data[i]->bytes;
        plan.arena_bytes = end > plan.arena_bytes ? end : plan.arena_bytes;
    }
    arena_free(&p.arena);
    return plan;
}
