/* graph_verify.c: every invariant of a graph. Nothing of the graph is trusted here: a broken pass
 * may have left anything behind, except pointers to memory that isn't there. */
#include "ir/graph_internal.h"

#include <inttypes.h>
#include <string.h>

/* A value that is defined where the walk is, and what is known of it. */
typedef struct Known {
    const Value *value;
    size_t refs;     /* operands and outputs that were met */
    int first, last; /* the nodes (by number) that define it and use it last */
    int64_t bytes;   /* of the arena; else 0 */
} Known;

typedef struct Verifier {
    const Graph *g;
    const char *where;
    int exit_code; /* of the faults */
    Diag *d;
    Arena arena;
    Map known;         /* name -> Known */
    VEC(Known *) list; /* the same in order of definition */
    int index;         /* number of the current node */
    bool ok;
} Verifier;

static void fault(Verifier *v, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void fault(Verifier *v, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    diag_error(v->d, v->exit_code, v->where, "%s", arena_vprintf(&v->arena, fmt, ap));
    va_end(ap);
    v->ok = false;
}

/* ---- values --------------------------------------------------------------------------------- */

static Known *find(const Verifier *v, const Value *value) {
    Known *k = value->name ? map_get(&v->known, value->name) : NULL;
    return k && k->value == value ? k : NULL;
}

static void check_placement(Verifier *v, const Value *value) {
    if (!type_valid(&value->type)) {
        fault(v, "%%%s has an invalid type", value->name);
        return;
    }
    if (value->arena_offset == -1)
        return;
    int64_t end;
    if (value->arena_offset < 0 ||
        !checked_add(value->arena_offset, type_storage_bytes(&value->type), &end))
        fault(v, "%%%s has the arena offset %" PRId64, value->name, value->arena_offset);
    if (!value->def)
        fault(v, "%%%s is no node's result, but lies in the arena", value->name);
}

static void define(Verifier *v, const Value *value) {
    if (!value->name) {
        fault(v, "a value has no name");
        return;
    }
    Known *k = ARENA_NEW(&v->arena, Known);
    *k = (Known){.value = value, .first = v->index, .last = v->index};
    if (!map_put(&v->arena, &v->known, value->name, k)) {
        fault(v, "%%%s is defined twice", value->name);
        return;
    }
    if (map_get(&v->g->names, value->name) != value)
        fault(v, "the graph's names don't have %%%s", value->name);
    vec_push(&v->arena, &v->list, k);
    check_placement(v, value);
}

static void check_input(Verifier *v, const Value *value) {
    define(v, value);
    if (!value->is_input || value->def || value->constant)
        fault(v, "input %%%s is marked as something else", value->name);
    if (value->type.layout.one_image)
        fault(v, "input %%%s has memory for one image", value->name);
}

static void check_constant(Verifier *v, const Value *value) {
    define(v, value);
    const Tensor *t = value->constant;
    if (value->is_input || value->def || !t) {
        fault(v, "constant @%s is marked as something else", value->name);
        return;
    }
    Type have = type_plain(t->dtype, t->shape);
    if (!type_valid(&have) || !type_valid(&value->type))
        fault(v, "constant @%s has elements of an invalid type", value->name);
    else if (!type_equal(&have, &value->type))
        fault(v, "constant @%s is of type %s, its elements are of type %s", value->name,
              type_str(&v->arena, &value->type), type_str(&v->arena, &have));
    if (!t->data && t->hash == 0)
        fault(v, "constant @%s has neither elements nor a hash", value->name);
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static const char *title(Verifier *v, const Node *n) {
    const char *name = n->nresults > 0 && n->results[0]->name ? n->results[0]->name : "?";
    return arena_printf(&v->arena, "%s %%%s", op_info(n->op)->name, name);
}

/* Who has the use u: a node or, where that is NULL, the outputs. */
static const char *user_title(Verifier *v, const Use *u, const Node *user) {
    return user ? title(v, user) : arena_printf(&v->arena, "output %d", u->slot);
}

static void check_use(Verifier *v, const Use *u, const Node *user) {
    Known *k = find(v, u->value);
    if (!k) {
        fault(v, "%s uses %%%s, which isn't defined before it", user_title(v, u, user),
              u->value->name);
        return;
    }
    k->refs++;
    k->last = v->index;
    if (!u->link || *u->link != u)
        fault(v, "%s: slot %d isn't in the list of uses of %%%s", user_title(v, u, user), u->slot,
              u->value->name);
}

static bool slots_fit(const Node *n) {
    int slots = op_operand_count(n->op);
    return op_is_variadic(n->op) ? n->noperands >= slots : n->noperands == slots;
}

static void check_operands(Verifier *v, const Node *n) {
    if (!slots_fit(n))
        fault(v, "%s has %d operand slots, %d are right", title(v, n), n->noperands,
              op_operand_count(n->op));
    for (int i = 0; i < n->noperands; i++) {
        const Use *u = &n->operands[i];
        if (u->user != n || u->slot != i)
            fault(v, "%s: slot %d says that it belongs elsewhere", title(v, n), i);
        if (u->value)
            check_use(v, u, n);
    }
}

static bool check_results(Verifier *v, const Node *n) {
    int min = op_min_results(n->op), max = op_max_results(n->op);
    if (n->nresults < min || n->nresults > max) {
        fault(v, "%s has %d results, %d to %d are right", title(v, n), n->nresults, min, max);
        return false;
    }
    bool ok = true;
    for (int i = 0; i < n->nresults; i++) {
        const Value *r = n->results[i];
        bool in_slot =
            i < min ? r->result == i : r->result > n->results[i - 1]->result && r->result < max;
        define(v, r);
        if (r->def != n || !in_slot || r->is_input || r->constant) {
            fault(v, "result %d of %s is marked as something else", i, title(v, n));
            ok = false;
        }
    }
    return ok;
}

static void check_types(Verifier *v, const Node *n) {
    Type types[MAX_RESULTS] = {{0}};
    Buf why = {0};
    if (!node_result_types(n, types, &why)) {
        fault(v, "%s: %s", title(v, n), buf_str(&why));
    } else {
        for (int i = 0; i < n->nresults; i++) {
            const Type *t = &n->results[i]->type, *want = &types[n->results[i]->result];
            if (!type_valid(t) || value_is_scratch(n->results[i]))
                continue; /* said already, and not to be printed; any type is right */
            if (t->dtype != want->dtype || !shape_equal(&t->shape, &want->shape))
                fault(v, "result %d of %s is of type %s, its operands make it %s", i, title(v, n),
                      type_str(&v->arena, t), type_str(&v->arena, want));
        }
    }
    buf_free(&why);
}

/* Whether a shape rule can look at the node at all. */
static bool has_sound_operands(const Node *n) {
    if (!slots_fit(n))
        return false;
    for (int i = 0; i < n->noperands; i++)
        if (node_in(n, i) && !type_valid(&node_in(n, i)->type))
            return false;
    return true;
}

static void check_node(Verifier *v, const Node *n) {
    if ((unsigned)n->op >= OP_COUNT) {
        fault(v, "a node has the op number %d, which is none", (int)n->op);
        return;
    }
    bool needs_attrs = op_info(n->op)->attrs != ATTRSET_none;
    if ((n->attrs != NULL) != needs_attrs)
        fault(v, "%s %s attributes", title(v, n),
              needs_attrs ? "lacks" : "has, but shouldn't have,");
    if (!n->origin)
        fault(v, "%s has no origin, not even an empty one", title(v, n));
    check_operands(v, n);
    if (check_results(v, n) && has_sound_operands(n) && (n->attrs != NULL) == needs_attrs)
        check_types(v, n);
}

/* A list that isn't linked both ways could also have no end: then the walk stops. */
static void check_nodes(Verifier *v) {
    const Node *prev = NULL;
    for (const Node *n = v->g->first; n; prev = n, n = n->next) {
        v->index++;
        if (n->prev != prev) {
            fault(v, "the list of nodes is broken before node %d", v->index);
            return;
        }
        check_node(v, n);
    }
    if (v->g->last != prev)
        fault(v, "the list of nodes doesn't end at its last node");
}

/* ---- the end -------------------------------------------------------------------------------- */

static void check_count(Verifier *v, const OutputCount *c) {
    const Graph *g = v->g;
    if (c->output >= g->outputs.len || c->count >= g->outputs.len) {
        fault(v, "an output is counted that isn't there");
        return;
    }
    const Value *counted = g->outputs.data[c->output]->value;
    const Value *count = g->outputs.data[c->count]->value;
    if (!counted || !count) /* said already */
        return;
    if (count->type.dtype != DT_i64 || count->type.shape.rank != 0)
        fault(v, "the count of output %zu is not i64[]", c->output);
    if (c->axis < 0 || c->axis >= counted->type.shape.rank)
        fault(v, "output %zu is counted along axis %d", c->output, c->axis);
}

static void check_outputs(Verifier *v) {
    const Graph *g = v->g;
    v->index++;
    if (g->output_names.len != g->outputs.len)
        fault(v, "%zu outputs have %zu names", g->outputs.len, g->output_names.len);
    for (size_t i = 0; i < g->outputs.len; i++) {
        const Use *u = g->outputs.data[i];
        if (u->user || u->slot != (int)i)
            fault(v, "output %zu says that it belongs elsewhere", i);
        if (u->value)
            check_use(v, u, NULL);
        else
            fault(v, "output %zu has no value", i);
        if (u->value && u->value->type.layout.one_image)
            fault(v, "output %zu has memory for one image", i);
    }
    for (size_t i = 0; i < g->counts.len; i++)
        check_count(v, &g->counts.data[i]);
}

/* The list of uses is as long as there are uses: those that were met are in it, so no other is. */
static void check_use_list(Verifier *v, const Known *k) {
    size_t n = 0;
    for (const Use *u = k->value->uses; u && n <= k->refs; u = u->next)
        n++;
    if (n != k->refs)
        fault(v, "%%%s has %zu uses, its list %s", k->value->name, k->refs,
              n > k->refs ? "has more" : "has fewer");
}

/* ---- the arena ------------------------------------------------------------------------------ */

static bool in_arena(const Known *k) {
    return k->value->arena_offset >= 0 && type_valid(&k->value->type);
}

static bool overlaps(const Known *a, const Known *b) {
    return a->value->arena_offset < b->value->arena_offset + b->bytes &&
           b->value->arena_offset < a->value->arena_offset + a->bytes;
}

/* A result may take over the memory of an operand that dies at its node. */
static bool takes_over(const Known *a, const Known *b) {
    return a->last == b->first && a->first < b->first &&
           a->value->arena_offset == b->value->arena_offset;
}

/* Walks the values in order of definition with those that live; a value dies behind its last
 * use. */
static void check_arena(Verifier *v) {
    VEC(const Known *) live = {0};
    for (size_t i = 0; i < v->list.len; i++) {
        Known *b = v->list.data[i];
        size_t kept = 0;
        if (!in_arena(b))
            continue;
        b->bytes = type_storage_bytes(&b->value->type);
        for (size_t k = 0; k < live.len; k++) {
            const Known *a = live.data[k];
            if (a->last < b->first)
                continue;
            live.data[kept++] = a;
            if (overlaps(a, b) && !takes_over(a, b))
                fault(v, "%%%s and %%%s overlap in the arena while both live", a->value->name,
                      b->value->name);
        }
        live.len = kept;
        vec_push(&v->arena, &live, b);
    }
}

bool graph_verify_as(const Graph *g, const char *where, int exit_code, Diag *d) {
    Verifier v = {.g = g, .where = where, .exit_code = exit_code, .d = d, .ok = true};
    for (size_t i = 0; i < g->inputs.len; i++)
        check_input(&v, g->inputs.data[i]);
    for (size_t i = 0; i < g->constants.len; i++)
        check_constant(&v, g->constants.data[i]);
    check_nodes(&v);
    check_outputs(&v);
    for (size_t i = 0; i < v.list.len; i++)
        check_use_list(&v, v.list.data[i]);
    if (v.ok)
        check_arena(&v);
    arena_free(&v.arena);
    return v.ok;
}

bool graph_verify(const Graph *g, const char *where, Diag *d) {
    return graph_verify_as(g, where, EXIT_INTERNAL, d);
}
