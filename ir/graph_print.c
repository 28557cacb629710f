/* graph_print.c: the graph IR as text. The grammar is in docs/graph-ir.md. */
#include "ir/graph_internal.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_INLINE = 16 }; /* elements of a constant that are printed even where it is elided */

/* Quoted where it has to be. */
static void print_name(Buf *b, char sigil, const char *name) {
    bool bare = *name != '\0';
    for (const char *s = name; *s; s++)
        bare = bare && name_char_is_bare(*s);
    buf_put_name(b, sigil, name, bare);
}

static void print_ref(Buf *b, const Value *v) {
    if (v)
        print_name(b, v->constant ? '@' : '%', v->name);
    else
        buf_putc(b, '_');
}

/* ---- constants ------------------------------------------------------------------------------ */

/* Whether the constant's elements are in the text, rather than its hash. */
static bool constant_is_inline(const Tensor *t, ConstantForm form) {
    return t->data && (form == CONSTANTS_INLINE || shape_elems(&t->shape) <= MAX_INLINE);
}

static void print_elements(Buf *b, const Tensor *t) {
    int64_t n = shape_elems(&t->shape);
    buf_putc(b, '[');
    for (int64_t i = 0; i < n; i++) {
        buf_puts(b, i > 0 ? ", " : "");
        print_element(b, t, i);
    }
    buf_putc(b, ']');
}

static void print_constant(Buf *b, const Value *v, ConstantForm form) {
    buf_puts(b, "  const ");
    print_name(b, '@', v->name);
    buf_puts(b, " : ");
    type_print_placed(b, &v->type, v->arena_offset);
    buf_puts(b, " = ");
    if (constant_is_inline(v->constant, form))
        print_elements(b, v->constant);
    else
        buf_printf(b, "xxh:%016" PRIx64, tensor_hash(v->constant));
    buf_putc(b, '\n');
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static void print_results(Buf *b, const Node *n) {
    for (int i = 0, slot = 0; i < n->nresults; i++, slot++) {
        for (; slot < n->results[i]->result; slot++)
            buf_puts(b, ", _");
        buf_puts(b, i > 0 ? ", " : "");
        print_ref(b, n->results[i]);
    }
}

/* Where positional operands end: behind the last one that is there. */
static int positional_end(const Node *n) {
    int end = 0;
    for (int i = 0; i < n->noperands; i++)
        if (node_in(n, i) && op_operand(n->op, i).kind != OPERAND_NAMED)
            end = i + 1;
    return end;
}

/* An absent operand is `_` where one by position follows, and else nothing. */
static void print_operands(Buf *b, const Node *n) {
    const char *sep = " ";
    int end = positional_end(n);
    for (int i = 0; i < n->noperands; i++) {
        if (i >= end && !node_in(n, i))
            continue;
        OperandInfo o = op_operand(n->op, i);
        buf_puts(b, sep);
        if (o.kind == OPERAND_NAMED)
            buf_printf(b, "%s=", o.name);
        print_ref(b, node_in(n, i));
        sep = ", ";
    }
}

void node_print(Buf *b, const Node *n) {
    print_results(b, n);
    buf_printf(b, " = %s", op_info(n->op)->name);
    print_operands(b, n);
    attrs_print(b, op_info(n->op)->attrs, n->attrs);
    for (int i = 0; i < n->nresults; i++) {
        buf_puts(b, i > 0 ? ", " : " : ");
        type_print_placed(b, &n->results[i]->type, n->results[i]->arena_offset);
    }
    if (n->origin[0]) {
        buf_puts(b, "  # \"");
        buf_put_escaped(b, n->origin);
        buf_putc(b, '"');
    }
}

/* ---- the graph ------------------------------------------------------------------------------ */

static void print_signature(Buf *b, const Graph *g) {
    buf_puts(b, "graph ");
    print_name(b, '@', g->name);
    buf_putc(b, '(');
    for (size_t i = 0; i < g->inputs.len; i++) {
        const Value *v = g->inputs.data[i];
        buf_puts(b, i > 0 ? ", " : "");
        print_ref(b, v);
        buf_puts(b, ": ");
        type_print_placed(b, &v->type, v->arena_offset);
    }
    bool one = g->outputs.len == 1;
    buf_puts(b, one ? ") -> " : ") -> (");
    for (size_t i = 0; i < g->outputs.len; i++) {
        buf_puts(b, i > 0 ? ", " : "");
        type_print(b, &g->outputs.data[i]->value->type);
    }
    buf_puts(b, one ? " {\n" : ") {\n");
}

/* (count %n axis 0) */
static void print_count(Buf *b, const Graph *g, const OutputCount *c) {
    if (!c)
        return;
    buf_puts(b, "(count ");
    print_ref(b, g->outputs.data[c->count]->value);
    buf_printf(b, " axis %d)", c->axis);
}

static void print_return(Buf *b, const Graph *g) {
    buf_puts(b, "  return");
    for (size_t i = 0; i < g->outputs.len; i++) {
        buf_puts(b, i > 0 ? ", " : " ");
        print_ref(b, g->outputs.data[i]->value);
        print_count(b, g, graph_output_count(g, i));
        buf_puts(b, " \"");
        buf_put_escaped(b, g->output_names.data[i]);
        buf_putc(b, '"');
    }
    buf_puts(b, "\n}\n");
}

void graph_print(Buf *b, const Graph *g, ConstantForm form) {
    print_signature(b, g);
    for (size_t i = 0; i < g->constants.len; i++)
        print_constant(b, g->constants.data[i], form);
    FOR_EACH_NODE(g, n) {
        buf_puts(b, "  ");
        node_print(b, n);
        buf_putc(b, '\n');
    }
    print_return(b, g);
}

void graph_write_constants(const Graph *g, const char *folder, Outputs *out) {
    Arena *a = &out->arena;
    Map written = {0};
    for (size_t i = 0; i < g->constants.len; i++) {
        Tensor *t = g->constants.data[i]->constant;
        if (!t->data || constant_is_inline(t, CONSTANTS_ELIDED))
            continue;
        const char *path = arena_printf(a, "%s/%016" PRIx64 ".bin", folder, tensor_hash(t));
        if (map_put(a, &written, path, t))
            outputs_add(out, path, t->data, (size_t)tensor_bytes(t));
    }
}
