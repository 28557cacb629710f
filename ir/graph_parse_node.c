/* graph_parse_node.c: nodes in texts: %y = conv2d %x, @w {kernel=1x1} : f32[1,2,3,4]  # "origin" */
#include "ir/graph_internal.h"

#include <string.h>

typedef VEC(const char *) Names;
typedef VEC(Value *) Values;

typedef struct NodeText {
    const char *at; /* where the node begins, and its op */
    const char *op_at;
    Op op;
    Names names; /* of results, by slot; NULL where one is absent */
    size_t nresults;
    Values operands;
    void *attrs;
    PlacedTypes types;
    const char *origin;
} NodeText;

/* %name, or _ for a result that is absent. */
static bool parse_result_name(Parser *p, NodeText *t, const char **name) {
    *name = NULL;
    if (span_is(lex_peek_word(&p->lex), "_"))
        return lex_accept(&p->lex, "_");
    t->nresults++;
    if (!parse_new_name(p, '%', name))
        return false;
    for (size_t i = 0; i < t->names.len; i++)
        if (t->names.data[i] && strcmp(t->names.data[i], *name) == 0)
            return lex_error_at(&p->lex, t->at, "%%%s is defined twice", *name);
    return true;
}

static bool parse_result_names(Parser *p, NodeText *t) {
    Arena *a = p->lex.arena;
    do {
        const char *name;
        if (!parse_result_name(p, t, &name))
            return false;
        vec_push(a, &t->names, name);
        if (t->names.len > MAX_RESULTS)
            return lex_error_at(&p->lex, t->at, "no op has more than %d results", MAX_RESULTS);
    } while (lex_accept(&p->lex, ","));
    return true;
}

static bool parse_op(Lexer *l, NodeText *t) {
    Span w = lex_peek_word(l);
    t->op_at = l->p;
    if (op_parse(w.s, w.n, &t->op)) {
        l->p += w.n;
        return true;
    }
    lex_expected(l, "an op");
    const char *known[OP_COUNT];
    for (int i = 0; i < OP_COUNT; i++)
        known[i] = op_info((Op)i)->name;
    const char *near = nearest_name(arena_strndup(l->arena, w.s, w.n), known, OP_COUNT);
    if (near)
        diag_note(l->d, "help", "did you mean %s?", near);
    return false;
}

static int named_slot(Op op, Span name) {
    for (int i = 0; i < op_operand_count(op); i++) {
        OperandInfo o = op_operand(op, i);
        if (o.kind == OPERAND_NAMED && span_is(name, o.name))
            return i;
    }
    return -1;
}

/* scale=%v: t->operands has all slots of the op. */
static bool parse_named_operand(Parser *p, NodeText *t) {
    Lexer *l = &p->lex;
    Span w;
    if (!lex_word(l, &w, "an operand"))
        return false;
    int slot = named_slot(t->op, w);
    if (slot < 0)
        return lex_error_at(l, w.s, "%s has no operand %.*s=", op_info(t->op)->name, (int)w.n, w.s);
    Value *v;
    if (!lex_expect(l, "=", "= and a value") || !parse_value(p, &v))
        return false;
    if (t->operands.data[slot])
        return lex_error_at(l, w.s, "operand %.*s is there twice", (int)w.n, w.s);
    t->operands.data[slot] = v;
    return true;
}

/* Whether slot i can be given by position. */
static bool is_positional(Op op, int i) {
    return op_is_variadic(op) ||
           (i < op_operand_count(op) && op_operand(op, i).kind != OPERAND_NAMED);
}

static bool parse_positional_operand(Parser *p, NodeText *t, int *slot) {
    Lexer *l = &p->lex;
    lex_skip_space(l);
    const char *at = l->p;
    Value *v = NULL;
    if (!(span_is(lex_peek_word(l), "_") && lex_accept(l, "_")) && !parse_value(p, &v))
        return false;
    if (!is_positional(t->op, *slot))
        return lex_error_at(l, at, "%s takes no more than %d operands by position",
                            op_info(t->op)->name, *slot);
    if ((size_t)*slot == t->operands.len)
        vec_push(l->arena, &t->operands, v);
    else
        t->operands.data[*slot] = v;
    (*slot)++;
    return true;
}

static bool starts_positional(Lexer *l) {
    return lex_at(l, "%") || lex_at(l, "@") || span_is(lex_peek_word(l), "_");
}

static bool parse_operands(Parser *p, NodeText *t) {
    Lexer *l = &p->lex;
    int slot = 0;
    bool named = false;
    if (!op_is_variadic(t->op))
        for (int i = 0; i < op_operand_count(t->op); i++)
            vec_push(l->arena, &t->operands, NULL);
    if (lex_at(l, "{") || lex_at(l, ":"))
        return true;
    do {
        bool positional = starts_positional(l);
        if (positional && named)
            return lex_error_at(l, l->p, "an operand by position behind one by name");
        named = !positional;
        if (!(named ? parse_named_operand(p, t) : parse_positional_operand(p, t, &slot)))
            return false;
    } while (lex_accept(l, ","));
    return true;
}

static bool parse_attrs(Parser *p, NodeText *t) {
    AttrSet set = op_info(t->op)->attrs;
    const AttrSetInfo *info = attrset_info(set);
    t->attrs = info->size ? arena_copy(&p->g->arena, info->defaults, info->size) : NULL;
    return !lex_accept(&p->lex, "{") || attrs_parse(&p->lex, set, t->attrs);
}

/* `# "..."` on the same line. */
static bool parse_origin(Lexer *l, const char **origin) {
    const char *s = l->p;
    *origin = "";
    while (s < l->end && (*s == ' ' || *s == '\t'))
        s++;
    if (s == l->end || *s != '#')
        return true;
    s++;
    while (s < l->end && (*s == ' ' || *s == '\t'))
        s++;
    if (s == l->end || *s != '"')
        return true;
    l->p = s;
    if (!lex_string(l, origin))
        return false;
    lex_skip_line(l); /* the rest of the comment */
    return true;
}

static bool check_counts(Parser *p, const NodeText *t) {
    size_t n = t->names.len, min = (size_t)op_min_results(t->op),
           max = (size_t)op_max_results(t->op);
    if (n < min || n > max)
        return lex_error_at(&p->lex, t->at, "%s has %zu to %zu results, here are %zu",
                            op_info(t->op)->name, min, max, n);
    for (size_t i = 0; i < n; i++)
        if (!t->names.data[i] && (i < min || i == n - 1))
            return lex_error_at(&p->lex, t->at,
                                "only optional results before others can be absent");
    if (t->types.len != t->nresults)
        return lex_error_at(&p->lex, t->op_at, "expected %zu types, found %zu", t->nresults,
                            t->types.len);
    return true;
}

static bool check_type(Parser *p, const NodeText *t, Value *v, const Placed *want) {
    if (v->type.dtype == want->type.dtype && shape_equal(&v->type.shape, &want->type.shape))
        return true;
    Arena *a = &p->lex.d->arena;
    lex_error_at(&p->lex, t->op_at, "the type of %%%s is wrong", v->name);
    diag_note(p->lex.d, "expected", "%s", type_str(a, &v->type));
    diag_note(p->lex.d, "found", "%s", type_str(a, &want->type));
    return false;
}

/* Infers the types, and then takes layouts and arena offsets from the text. */
static bool set_types(Parser *p, const NodeText *t, Node *n) {
    Buf why = {0};
    bool ok = node_infer(n, &why);
    if (!ok)
        lex_error_at(&p->lex, t->op_at, "%s: %s", op_info(t->op)->name, buf_str(&why));
    buf_free(&why);
    for (int i = 0; ok && i < n->nresults; i++)
        ok = value_is_scratch(n->results[i]) || check_type(p, t, n->results[i], &t->types.data[i]);
    for (int i = 0; ok && i < n->nresults; i++) {
        n->results[i]->type = t->types.data[i].type;
        n->results[i]->arena_offset = t->types.data[i].offset;
    }
    return ok;
}

static bool build_node(Parser *p, const NodeText *t) {
    Graph *g = p->g;
    Node *n = node_new(g, t->op, NULL, t->names.data[0], t->operands.data, (int)t->operands.len);
    if (t->attrs)
        n->attrs = t->attrs;
    n->origin = t->origin;
    for (int i = 1; i < n->nresults; i++)
        value_rename(g, n->results[i], t->names.data[i]);
    for (size_t i = (size_t)n->nresults; i < t->names.len; i++)
        if (t->names.data[i])
            node_add_result(g, n, (int)i, t->names.data[i], (Type){0});
    if (set_types(p, t, n))
        return true;
    node_erase(g, n);
    return false;
}

bool parse_node(Parser *p) {
    Lexer *l = &p->lex;
    NodeText t = {.at = l->p};
    return parse_result_names(p, &t) && lex_expect(l, "=", "= and an op") && parse_op(l, &t) &&
           parse_operands(p, &t) && parse_attrs(p, &t) && lex_expect(l, ":", ": and a type") &&
           parse_types(p, &t.types) && parse_origin(l, &t.origin) && check_counts(p, &t) &&
           build_node(p, &t);
}
