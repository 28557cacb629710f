/* graph_parse.c: a graph from its text. The grammar is in docs/graph-ir.md.
 *
 * A statement that can't be read is skipped to its line's end, so that one run reports the faults
 * of several statements. Nothing is nested, so nothing recurses. */
#include "ir/graph_internal.h"

static bool parse_has_errors(const Parser *p) {
    return p->lex.d->errors > p->errors;
}

/* ---- values --------------------------------------------------------------------------------- */

bool parse_new_name(Parser *p, char sigil, const char **name) {
    Lexer *l = &p->lex;
    const char text[] = {sigil, '\0'};
    lex_skip_space(l);
    const char *at = l->p;
    if (!lex_expect(l, text, sigil == '%' ? "a value like %x" : "a name like @x") ||
        !lex_name(l, name))
        return false;
    if (map_get(&p->g->names, *name))
        return lex_error_at(l, at, "%c%s is defined twice", sigil, *name);
    return true;
}

bool parse_value(Parser *p, Value **v) {
    Lexer *l = &p->lex;
    const char *name;
    bool constant = lex_at(l, "@"), quiet = parse_has_errors(p);
    const char *at = l->p;
    if (!lex_accept(l, "%") && !lex_accept(l, "@"))
        return lex_expected(l, "a value like %x or @w");
    if (!lex_name(l, &name))
        return false;
    *v = map_get(&p->g->names, name);
    if (*v && ((*v)->constant != NULL) == constant)
        return true;
    if (quiet)
        return false;
    lex_error_at(l, at, "%.1s%s is not defined here", at, name);
    if (*v)
        diag_note(l->d, "help", "constants are written @%s, other values %%%s", name, name);
    return false;
}

/* ---- types ---------------------------------------------------------------------------------- */

bool parse_types(Parser *p, PlacedTypes *types) {
    do {
        Placed t;
        if (!parse_type(&p->lex, &t.type, &t.offset))
            return false;
        vec_push(p->lex.arena, types, t);
    } while (lex_accept(&p->lex, ","));
    return true;
}

/* ---- signature and return ------------------------------------------------------------------- */

static bool parse_inputs(Parser *p) {
    Lexer *l = &p->lex;
    if (!lex_expect(l, "(", "( and the inputs"))
        return false;
    for (bool first = true; !lex_accept(l, ")"); first = false) {
        const char *name;
        Placed t;
        if (!first && !lex_expect(l, ",", "a comma or ) behind the input"))
            return false;
        if (!parse_new_name(p, '%', &name) || !lex_expect(l, ":", ": and a type") ||
            !parse_type(l, &t.type, &t.offset))
            return false;
        graph_input(p->g, name, t.type)->arena_offset = t.offset;
    }
    return true;
}

/* graph @name(%in: type) -> type { */
static bool parse_signature(Parser *p) {
    Lexer *l = &p->lex;
    Span w = lex_peek_word(l);
    const char *name;
    if (!span_is(w, "graph"))
        return lex_expected(l, "graph");
    l->p += w.n;
    if (!parse_new_name(p, '@', &name))
        return false;
    p->g->name = arena_strdup(&p->g->arena, name);
    if (!parse_inputs(p) || !lex_expect(l, "->", "-> and the results' types"))
        return false;
    if (lex_accept(l, "(")) {
        if (!lex_accept(l, ")") &&
            !(parse_types(p, &p->results) && lex_expect(l, ")", "a comma or ) behind the type")))
            return false;
    } else if (!parse_types(p, &p->results)) {
        return false;
    }
    return lex_expect(l, "{", "{");
}

static bool check_output(Parser *p, const char *at, const Value *v, size_t i) {
    if (parse_has_errors(p) || i >= p->results.len ||
        type_equal(&v->type, &p->results.data[i].type))
        return true;
    Arena *a = &p->lex.d->arena;
    lex_error_at(&p->lex, at, "the graph's result %zu has another type in its first line", i);
    diag_note(p->lex.d, "expected", "%s", type_str(a, &p->results.data[i].type));
    diag_note(p->lex.d, "found", "%s", type_str(a, &v->type));
    return false;
}

static bool parse_keyword(Parser *p, const char *word) {
    Lexer *l = &p->lex;
    Span w = lex_peek_word(l);
    return span_is(w, word) ? lex_word(l, &w, word) : lex_expected(l, word);
}

/* count %n axis 0): the count is one of the outputs, of which not all may have been read yet. */
static bool parse_count(Parser *p, size_t i) {
    Lexer *l = &p->lex;
    CountText c = {.output = i};
    if (!parse_keyword(p, "count"))
        return false;
    lex_skip_space(l);
    c.at = l->p;
    if (!parse_value(p, &c.count) || !parse_keyword(p, "axis") ||
        !lex_int(l, &c.axis, "the number of an axis"))
        return false;
    vec_push(l->arena, &p->counts, c);
    return lex_expect(l, ")", ") behind the axis");
}

static bool take_count(Parser *p, const CountText *c) {
    const Graph *g = p->g;
    const Type *t = &g->outputs.data[c->output]->value->type, *n = &c->count->type;
    size_t k = 0;
    while (k < g->outputs.len && g->outputs.data[k]->value != c->count)
        k++;
    if (k == g->outputs.len)
        return lex_error_at(&p->lex, c->at, "the count is not one of the results");
    if (n->dtype != DT_i64 || n->shape.rank != 0)
        return lex_error_at(&p->lex, c->at, "a count must be i64[]");
    if (c->axis < 0 || c->axis >= t->shape.rank)
        return lex_error_at(&p->lex, c->at, "axis %lld is out of range for rank %d",
                            (long long)c->axis, t->shape.rank);
    graph_count_output(p->g, c->output, (int)c->axis, k);
    return true;
}

static bool parse_output(Parser *p, size_t i) {
    Lexer *l = &p->lex;
    Value *v;
    lex_skip_space(l);
    const char *at = l->p;
    if (!parse_value(p, &v) || !check_output(p, at, v, i) ||
        (lex_accept(l, "(") && !parse_count(p, i)))
        return false;
    const char *name = v->name;
    if (lex_at(l, "\"") && !lex_string(l, &name))
        return false;
    graph_output(p->g, v, name);
    return true;
}

/* return %a(count %n axis 0) "boxes", %n "boxes_count" } */
static bool parse_return(Parser *p, const char *at) {
    Lexer *l = &p->lex;
    size_t n = 0;
    if (!lex_at(l, "}")) {
        do {
            if (!parse_output(p, n++))
                return false;
        } while (lex_accept(l, ","));
    }
    if (n != p->results.len)
        return lex_error_at(l, at, "expected %zu results, found %zu", p->results.len, n);
    for (size_t i = 0; i < p->counts.len; i++)
        if (!take_count(p, &p->counts.data[i]))
            return false;
    if (!lex_expect(l, "}", "} behind the results"))
        return false;
    lex_skip_space(l);
    return l->p == l->end || lex_expected(l, "the end of the text");
}

/* ---- statements ----------------------------------------------------------------------------- */

/* True where the text is finished, well or not. */
static bool parse_statement(Parser *p) {
    Lexer *l = &p->lex;
    Span w = lex_peek_word(l);
    const char *at = l->p;
    if (at == l->end)
        return !lex_expected(l, "return");
    if (span_is(w, "return")) {
        l->p += w.n;
        parse_return(p, at);
        return true;
    }
    bool ok;
    if (span_is(w, "const")) {
        l->p += w.n;
        ok = parse_constant(p);
    } else if (lex_at(l, "%")) {
        ok = parse_node(p);
    } else {
        ok = lex_expected(l, "const, a value like %x, or return");
    }
    if (!ok)
        lex_skip_line(l);
    return false;
}

Graph *graph_parse(const char *text, size_t size, const char *where, const char *constant_dir,
                   Diag *d) {
    Graph *g = graph_new("");
    Parser p = {
        .lex = {text, text, text + size, where, d, &g->arena},
        .g = g,
        .constant_dir = constant_dir,
        .errors = d->errors,
    };
    if (parse_signature(&p))
        while (!parse_statement(&p) && d->errors < DIAG_MAX)
            continue;
    /* placement is all that a text can still have wrong */
    if (!parse_has_errors(&p) && graph_verify_as(g, where, EXIT_BAD_MODEL, d))
        return g;
    graph_free(g);
    return NULL;
}
