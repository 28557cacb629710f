/* graph_diff.c: whether two graphs are the same network. Each node gets a hash of all that decides
 * about what it computes but for the values of its weights: its op, attributes and types, and the
 * hashes of its operands. Nodes of two graphs that have the same hash correspond; the first without
 * a partner is where the graphs part. */
#include "ir/graph_internal.h"

#include <stdlib.h>
#include <string.h>

/* A graph input, of the type that it has behind the nodes that are passed over. */
typedef struct Input {
    const Type *type;
    uint64_t hash;
} Input;

typedef struct Side {
    Graph *g;
    int n;
    const Node **nodes; /* by mark */
    uint64_t *hash;     /* by mark */
    Input **input;      /* by mark: the input that the node only puts in another form; or NULL */
    Map inputs;         /* name -> Input */
} Side;

typedef struct Diff {
    Side a, b;
    const GraphDiffOptions *o;
    Arena *arena;
    const Node **to_b, **to_a; /* partners, by mark */
    VEC(const Node *) open;    /* nodes of a whose operands are still to be paired */
} Diff;

static bool has_name(const char *const *names, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

static bool is_ignored(const GraphDiffOptions *o, const char *what) {
    return has_name(o->ignored, o->nignored, what);
}

const char *const *graph_diff_names(size_t *n, Arena *a) {
    VEC(const char *) names = {0};
    vec_push(a, &names, "layout");
    vec_push(a, &names, "preprocessing");
    for (int s = 0; s < ATTRSET_COUNT; s++) {
        const AttrSetInfo *set = attrset_info((AttrSet)s);
        for (int i = 0; i < set->nfields; i++)
            if (!has_name(names.data, names.len, set->fields[i].name))
                vec_push(a, &names, set->fields[i].name);
    }
    *n = names.len;
    return names.data;
}

/* ---- hashes ---------------------------------------------------------------------------------- */

static uint64_t hash_buf(Buf *b) {
    uint64_t h = hash_bytes(buf_str(b), b->len);
    buf_free(b);
    return h;
}

/* The input that v is, as it comes or in another form; NULL where it is something else. */
static Input *input_of(const Side *s, const Value *v) {
    if (v && v->is_input)
        return map_get(&s->inputs, v->name);
    return v && v->def ? s->input[v->def->mark] : NULL;
}

static const Value *sole_data_operand(const Node *n) {
    const Value *data = NULL;
    for (int i = 0; i < n->noperands; i++) {
        const Value *v = node_in(n, i);
        if (v && !v->constant && data)
            return NULL;
        if (v && !v->constant)
            data = v;
    }
    return data;
}

/* Whether n does no more to an input, or to what is passed over already, than options ignore. */
static bool is_passed_over(const Diff *d, const Side *s, const Node *n) {
    const Value *x = sole_data_operand(n);
    if (!x || !input_of(s, x) || value_use_count(x) != 1)
        return false;
    if (n->op == OP_transpose)
        return is_ignored(d->o, "layout");
    if (n->op == OP_pixels)
        return is_ignored(d->o, "layout") && (!node_in(n, 1) || is_ignored(d->o, "preprocessing"));
    return (n->op == OP_add || n->op == OP_sub || n->op == OP_mul || n->op == OP_div) &&
           is_ignored(d->o, "preprocessing");
}

static void find_inputs(const Diff *d, Side *s) {
    Input *inputs = ARENA_ARRAY(d->arena, s->g->inputs.len + 1, Input);
    for (size_t i = 0; i < s->g->inputs.len; i++) {
        inputs[i] = (Input){.type = &s->g->inputs.data[i]->type};
        map_put(d->arena, &s->inputs, s->g->inputs.data[i]->name, &inputs[i]);
    }
    FOR_EACH_NODE(s->g, n) {
        if (!is_passed_over(d, s, n))
            continue;
        Input *in = input_of(s, sole_data_operand(n));
        in->type = &node_out(n)->type;
        s->input[n->mark] = in;
    }
    for (size_t i = 0, read = 0; i < s->g->inputs.len; i++) {
        Buf b = {0};
        buf_printf(&b, "input %zu ", read);
        read += s->g->inputs.data[i]->uses != NULL;
        type_print(&b, inputs[i].type);
        inputs[i].hash = hash_buf(&b);
    }
}

/* Weights have any values; integers are indices and shapes, and decide about what is computed. */
static uint64_t hash_constant(const Value *v) {
    Buf b = {0};
    buf_puts(&b, "const ");
    type_print(&b, &v->type);
    if (!dtype_is_float(v->type.dtype)) {
        uint64_t bits = tensor_hash(v->constant);
        buf_write(&b, &bits, sizeof bits);
    }
    return hash_buf(&b);
}

static uint64_t hash_value(const Side *s, const Value *v) {
    if (!v)
        return 0;
    if (v->constant)
        return hash_constant(v);
    if (input_of(s, v))
        return input_of(s, v)->hash;
    uint64_t key[2] = {s->hash[v->def->mark], (uint64_t)v->result};
    return hash_bytes(key, sizeof key);
}

static void print_kind(Buf *b, const Diff *d, const Node *n) {
    const AttrSetInfo *set = attrset_info(op_info(n->op)->attrs);
    buf_puts(b, op_info(n->op)->name);
    for (int i = 0; i < set->nfields; i++) {
        if (is_ignored(d->o, set->fields[i].name))
            continue;
        buf_putc(b, ' ');
        attr_print(b, &set->fields[i], n->attrs);
    }
    for (int i = 0; i < n->nresults; i++) {
        buf_printf(b, " %d:", n->results[i]->result);
        type_print(b, &n->results[i]->type);
    }
}

static uint64_t hash_node(const Diff *d, const Side *s, const Node *n) {
    Buf b = {0};
    print_kind(&b, d, n);
    uint64_t first[2] = {0};
    for (int i = 0; i < n->noperands; i++) {
        uint64_t h = hash_value(s, node_in(n, i));
        if (i < 2)
            first[i] = h;
        else
            buf_write(&b, &h, sizeof h);
    }
    bool swap = n->noperands >= 2 && (op_info(n->op)->flags & OPF_COMMUTES) && first[1] < first[0];
    for (int i = 0; i < n->noperands && i < 2; i++)
        buf_write(&b, &first[swap ? 1 - i : i], sizeof *first);
    return hash_buf(&b);
}

static void hash_side(const Diff *d, Side *s, Graph *g) {
    s->g = g;
    s->n = graph_number_nodes(g);
    s->nodes = ARENA_ARRAY(d->arena, s->n + 1, const Node *);
    s->hash = ARENA_ARRAY(d->arena, s->n + 1, uint64_t);
    s->input = ARENA_ARRAY(d->arena, s->n + 1, Input *);
    find_inputs(d, s);
    FOR_EACH_NODE(g, n) {
        s->nodes[n->mark] = n;
        s->hash[n->mark] = hash_node(d, s, n);
    }
}

/* ---- nodes without a partner ----------------------------------------------------------------- */

typedef struct Hashed {
    uint64_t hash;
    int mark;
} Hashed;

static int by_hash(const void *a, const void *b) {
    const Hashed *x = a, *y = b;
    return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1)
                              : (x->mark > y->mark) - (x->mark < y->mark);
}

static Hashed *sorted(const Diff *d, const Side *s, int *n) {
    Hashed *h = ARENA_ARRAY(d->arena, s->n + 1, Hashed);
    *n = 0;
    for (int i = 0; i < s->n; i++)
        if (!s->input[i])
            h[(*n)++] = (Hashed){s->hash[i], i};
    qsort(h, (size_t)*n, sizeof *h, by_hash);
    return h;
}

static void earlier(const Side *s, int mark, const Node **first) {
    if (!*first || mark < (*first)->mark)
        *first = s->nodes[mark];
}

static void find_unmatched(const Diff *d, GraphDifference *out) {
    int na, nb, i = 0, k = 0;
    const Hashed *a = sorted(d, &d->a, &na), *b = sorted(d, &d->b, &nb);
    while (i < na || k < nb) {
        bool from_a = k == nb || (i < na && a[i].hash < b[k].hash);
        if (!from_a && i < na && a[i].hash == b[k].hash) {
            i++, k++;
        } else if (from_a) {
            earlier(&d->a, a[i++].mark, &out->a);
        } else {
            earlier(&d->b, b[k++].mark, &out->b);
        }
    }
}

/* ---- pairs ----------------------------------------------------------------------------------- */

static const Node *definition(const Side *s, const Value *v) {
    return v && v->def && !input_of(s, v) ? v->def : NULL;
}

static bool can_pair(const Diff *d, const Value *va, const Value *vb) {
    const Node *a = definition(&d->a, va), *b = definition(&d->b, vb);
    if (hash_value(&d->a, va) != hash_value(&d->b, vb))
        return false;
    return !a || (d->to_b[a->mark] ? d->to_b[a->mark] == b : !d->to_a[b->mark]);
}

static bool pair(Diff *d, const Value *va, const Value *vb) {
    const Node *a = definition(&d->a, va), *b = definition(&d->b, vb);
    if (!can_pair(d, va, vb))
        return false;
    if (a && !d->to_b[a->mark]) {
        d->to_b[a->mark] = b;
        d->to_a[b->mark] = a;
        vec_push(d->arena, &d->open, a);
    }
    return true;
}

static bool pair_operands(Diff *d, const Node *a, const Node *b) {
    bool swap =
        (op_info(a->op)->flags & OPF_COMMUTES) &&
        !(can_pair(d, node_in(a, 0), node_in(b, 0)) && can_pair(d, node_in(a, 1), node_in(b, 1)));
    for (int i = 0; i < a->noperands; i++)
        if (!pair(d, node_in(a, i), node_in(b, swap && i < 2 ? 1 - i : i)))
            return false;
    return true;
}

/* Equal hashes don't say that a value is shared in both graphs alike: pairs each node of a with one
 * of b, from the outputs on. */
static bool pair_all(Diff *d, GraphDifference *out) {
    for (size_t i = 0; i < d->a.g->outputs.len; i++) {
        if (pair(d, d->a.g->outputs.data[i]->value, d->b.g->outputs.data[i]->value))
            continue;
        *out = (GraphDifference){.what = GRAPH_DIFF_OUTPUT, .index = i};
        return false;
    }
    while (d->open.len > 0) {
        const Node *a = d->open.data[--d->open.len], *b = d->to_b[a->mark];
        if (pair_operands(d, a, b))
            continue;
        *out = (GraphDifference){.what = GRAPH_DIFF_SHARING, .a = a, .b = b};
        return false;
    }
    return true;
}

/* The first input from *at on that something reads, and moves on behind it; NULL: there is none. */
static const Value *next_read(const Graph *g, size_t *at) {
    while (*at < g->inputs.len) {
        const Value *v = g->inputs.data[(*at)++];
        if (v->uses)
            return v;
    }
    return NULL;
}

const Value *graph_read_input(const Graph *g, size_t i) {
    size_t at = 0;
    const Value *v = next_read(g, &at);
    while (v && i-- > 0)
        v = next_read(g, &at);
    return v;
}

static bool same_inputs(const Diff *d, GraphDifference *out) {
    *out = (GraphDifference){.what = GRAPH_DIFF_INPUT};
    for (size_t at_a = 0, at_b = 0;; out->index++) {
        const Value *a = next_read(d->a.g, &at_a), *b = next_read(d->b.g, &at_b);
        if (!a || !b)
            return a == b;
        if (!type_equal(input_of(&d->a, a)->type, input_of(&d->b, b)->type))
            return false;
    }
}

static bool same_graph(Diff *d, GraphDifference *out) {
    if (!same_inputs(d, out))
        return false;
    *out = (GraphDifference){.what = GRAPH_DIFF_NODE};
    find_unmatched(d, out);
    if (out->a || out->b)
        return false;
    *out = (GraphDifference){.what = GRAPH_DIFF_OUTPUT};
    out->index =
        d->a.g->outputs.len < d->b.g->outputs.len ? d->a.g->outputs.len : d->b.g->outputs.len;
    return d->a.g->outputs.len == d->b.g->outputs.len && pair_all(d, out);
}

bool graph_same(Graph *a, Graph *b, const GraphDiffOptions *o, GraphDifference *out) {
    Arena arena = {0};
    Diff d = {.o = o, .arena = &arena};
    hash_side(&d, &d.a, a);
    hash_side(&d, &d.b, b);
    d.to_b = ARENA_ARRAY(&arena, d.a.n + 1, const Node *);
    d.to_a = ARENA_ARRAY(&arena, d.b.n + 1, const Node *);
    bool same = same_graph(&d, out);
    if (same)
        *out = (GraphDifference){.what = GRAPH_DIFF_NONE};
    arena_free(&arena);
    return same;
}

/* ---- what differs in two nodes --------------------------------------------------------------- */

static void print_either(Buf *b, const Type *x, const Type *y) {
    if (x)
        type_print(b, x);
    else
        buf_puts(b, "none");
    buf_puts(b, " and ");
    if (y)
        type_print(b, y);
    else
        buf_puts(b, "none");
    buf_putc(b, '\n');
}

static void print_types(Buf *b, const char *name, const Value *x, const Value *y) {
    const Type *tx = x ? &x->type : NULL, *ty = y ? &y->type : NULL;
    if ((!tx && !ty) || (tx && ty && type_equal(tx, ty)))
        return;
    buf_printf(b, "%s: ", name);
    print_either(b, tx, ty);
}

static void print_attrs(Buf *b, const Node *x, const Node *y) {
    const AttrSetInfo *set = attrset_info(op_info(x->op)->attrs);
    for (int i = 0; i < set->nfields; i++) {
        Buf tx = {0}, ty = {0};
        attr_print(&tx, &set->fields[i], x->attrs);
        attr_print(&ty, &set->fields[i], y->attrs);
        if (strcmp(buf_str(&tx), buf_str(&ty)) != 0)
            buf_printf(b, "%s: %s and %s\n", set->fields[i].name, tx.data, ty.data);
        buf_free(&tx);
        buf_free(&ty);
    }
}

void node_print_differences(Buf *b, const Node *x, const Node *y) {
    size_t start = b->len;
    if (x->op != y->op) {
        buf_printf(b, "op: %s and %s\n", op_info(x->op)->name, op_info(y->op)->name);
        return;
    }
    print_attrs(b, x, y);
    int n = x->noperands > y->noperands ? x->noperands : y->noperands;
    for (int i = 0; i < n; i++)
        print_types(b, op_operand(x->op, i).name, node_in(x, i), node_in(y, i));
    print_types(b, "result", node_out(x), node_out(y));
    if (b->len == start)
        buf_puts(b, "operands: of other nodes\n");
}
