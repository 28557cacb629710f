/* graph_walk.c: what looks at a whole graph: dead code, counts, origins. */
#include "ir/graph_internal.h"

#include <string.h>

/* ---- dead code ------------------------------------------------------------------------------ */

static bool is_dead(const Node *n) {
    for (int i = 0; i < n->nresults; i++)
        if (n->results[i]->uses)
            return false;
    return true;
}

static void drop_unused_constants(Graph *g) {
    size_t kept = 0;
    for (size_t i = 0; i < g->constants.len; i++) {
        Value *v = g->constants.data[i];
        if (v->uses)
            g->constants.data[kept++] = v;
        else
            value_forget(g, v);
    }
    g->constants.len = kept;
}

/* From the last node to the first: users come before what they use, so one walk is enough. */
int graph_dce(Graph *g) {
    int erased = 0;
    for (Node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        if (is_dead(n)) {
            node_erase(g, n);
            erased++;
        }
    }
    drop_unused_constants(g);
    return erased;
}

int graph_node_count(const Graph *g) {
    int count = 0;
    FOR_EACH_NODE(g, n) {
        count++;
    }
    return count;
}

int graph_number_nodes(Graph *g) {
    int count = 0;
    FOR_EACH_NODE(g, n) {
        n->mark = count++;
    }
    return count;
}

static void forget_places(Value *const *values, size_t n) {
    for (size_t i = 0; i < n; i++)
        values[i]->arena_offset = -1;
}

void graph_forget_places(Graph *g) {
    forget_places(g->inputs.data, g->inputs.len);
    forget_places(g->constants.data, g->constants.len);
    FOR_EACH_NODE(g, n) {
        forget_places(n->results, (size_t)n->nresults);
    }
}

/* ---- multiply-accumulates ------------------------------------------------------------------- */

static int64_t saturated_mul(int64_t a, int64_t b) {
    int64_t p;
    return checked_mul(a, b, &p) ? p : INT64_MAX;
}

/* Each element of the result is a sum over one output channel's weights. */
static int64_t weight_macs(const Node *n) {
    const Shape *w = shape_in(n, 1);
    if (w->dim[0] == 0)
        return 0;
    return saturated_mul(shape_elems(&node_out(n)->type.shape), shape_elems(w) / w->dim[0]);
}

static int64_t mean_macs(const Node *n) {
    Type y;
    Buf why = {0};
    bool ok = infer_conv2d_planes(n, &y, &why);
    buf_free(&why);
    const Shape *w = shape_in(n, 1);
    return ok && w->dim[0] ? saturated_mul(shape_elems(&y.shape), shape_elems(w) / w->dim[0]) : 0;
}

static int64_t conv_dw_macs(const Node *n) {
    Type middle = conv_dw_middle(n);
    const Shape *w = shape_in(n, 1), *dw = shape_in(n, node_slot(n, "dw"));
    int64_t first = saturated_mul(shape_elems(&middle.shape), w->dim[1] * w->dim[2] * w->dim[3]);
    int64_t second = saturated_mul(shape_elems(&node_out(n)->type.shape), dw->dim[2] * dw->dim[3]);
    return first > INT64_MAX - second ? INT64_MAX : first + second;
}

/* The two small matrices; the mean is additions alone. */
static int64_t se_macs(const Node *n) {
    int64_t weights = shape_elems(shape_in(n, 1)) + shape_elems(shape_in(n, 3));
    return saturated_mul(shape_in(n, 0)->dim[0], weights);
}

static int64_t matmul_macs(const Node *n) {
    const Shape *a = shape_in(n, 0);
    return saturated_mul(shape_elems(&node_out(n)->type.shape), a->dim[a->rank - 1]);
}

static int64_t (*const macs[OP_COUNT])(const Node *n) = {
    [OP_conv2d] = weight_macs,           [OP_conv2d_mean] = mean_macs, [OP_dwconv2d] = weight_macs,
    [OP_conv2d_dwconv2d] = conv_dw_macs, [OP_dense] = weight_macs,     [OP_se] = se_macs,
    [OP_matmul] = matmul_macs,
};

int64_t node_macs(const Node *n) {
    return macs[n->op] ? macs[n->op](n) : 0;
}

int64_t graph_macs(const Graph *g) {
    int64_t sum = 0;
    FOR_EACH_NODE(g, n) {
        if (!checked_add(sum, node_macs(n), &sum))
            return INT64_MAX;
    }
    return sum;
}

/* Whether v is there as a mean or a variance of a batch norm. */
static bool is_mean_or_variance(const Use *u) {
    return u->user && u->user->op == OP_batch_norm && u->slot >= node_slot(u->user, "mean");
}

/* Or as a scale of what is quantised. */
static bool is_scale(const Use *u) {
    return u->user && (u->user->op == OP_quantize || u->user->op == OP_dequantize) && u->slot > 0;
}

static bool is_statistic(const Value *v) {
    for (const Use *u = v->uses; u; u = u->next)
        if (!is_mean_or_variance(u) && !is_scale(u))
            return false;
    return v->uses != NULL;
}

static bool is_dequantized(const Value *v) {
    for (const Use *u = v->uses; u; u = u->next)
        if (u->user && u->user->op == OP_dequantize && u->slot == 0)
            return true;
    return false;
}

/* Whether v is of floats, or stands for some: integers of few bits may be clipped before. */
static bool is_learned(const Value *v) {
    bool stands = is_dequantized(v);
    for (const Use *u = v->uses; u && !stands; u = u->next)
        stands = u->user && u->user->op == OP_clip && is_dequantized(node_out(u->user));
    return dtype_is_float(v->type.dtype) || stands;
}

int64_t graph_parameters(const Graph *g) {
    int64_t sum = 0;
    for (size_t i = 0; i < g->constants.len; i++) {
        const Value *v = g->constants.data[i];
        if (is_learned(v) && v->type.shape.rank > 0 && !is_statistic(v))
            sum += shape_elems(&v->type.shape);
    }
    return sum;
}

/* ---- origins -------------------------------------------------------------------------------- */

/* No member of the family comes near it; a chain of thousands of nodes that are fused one by one
 * would otherwise take memory in the square of its length. */
enum { ORIGIN_MAX = 4096 };

static bool ends_in(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* Calls the names of "a+b+c" one by one seen; with a list, those that are new go to it. */
static void see_names(Arena *a, Map *seen, const char *names, Buf *list) {
    static const char more[] = "...";
    while (*names) {
        size_t n = strcspn(names, "+");
        bool full = list && list->len + n > ORIGIN_MAX;
        const char *name = full ? more : arena_strndup(a, names, n);
        if (n > 0 && map_put(a, seen, name, (void *)name) && list) {
            buf_puts(list, list->len > 0 ? "+" : "");
            buf_puts(list, name);
        }
        names += full ? strlen(names) : n + (names[n] == '+');
    }
}

const char *origin_join(Graph *g, const char *a, const char *b) {
    if (!*b || ends_in(a, "..."))
        return a;
    Arena arena = {0};
    Map seen = {0};
    Buf joined = {0};
    buf_puts(&joined, a);
    see_names(&arena, &seen, a, NULL);
    see_names(&arena, &seen, b, &joined);
    const char *s = arena_strdup(&g->arena, buf_str(&joined));
    buf_free(&joined);
    arena_free(&arena);
    return s;
}
