/* inspect_dot.c: the compiled graph for Graphviz: effnetc inspect --dot. */
#include "driver/describe.h"
#include "driver/driver.h"

#include <string.h>

/* Inside "...": Graphviz knows \" and \\, and \n is a line break of ours. */
static void put_text(Buf *b, const char *s) {
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_putc(b, '\\');
        buf_putc(b, (unsigned char)*s < 32 ? '?' : *s);
    }
}

static void put_node(Buf *b, const Node *n, const char *indent, Arena *a) {
    Type t = type_plain(node_out(n)->type.dtype, node_out(n)->type.shape);
    buf_printf(b, "%sn%d [label=\"%s\\n%s", indent, n->mark, op_info(n->op)->name, type_str(a, &t));
    if (*n->origin) {
        buf_puts(b, "\\n");
        put_text(b, short_origin(n->origin, a));
    }
    buf_puts(b, "\"];\n");
}

static void put_port(Buf *b, const char *id, size_t i, const char *name, const Value *v, Arena *a) {
    Type t = type_plain(v->type.dtype, v->type.shape);
    buf_printf(b, "  %s%zu [shape=oval, label=\"", id, i);
    put_text(b, name);
    buf_printf(b, "\\n%s\"];\n", type_str(a, &t));
}

static void put_edge(Buf *b, const Graph *g, const Value *v, const char *to, const char *operand) {
    if (v->def)
        buf_printf(b, "  n%d -> %s", v->def->mark, to);
    for (size_t i = 0; v->is_input && i < g->inputs.len; i++)
        if (g->inputs.data[i] == v)
            buf_printf(b, "  in%zu -> %s", i, to);
    if (v->constant)
        buf_printf(b, "  constant -> %s", to);
    if (*operand)
        buf_printf(b, " [label=\"%s\"]", operand);
    buf_puts(b, ";\n");
}

/* Operands past the first have their names at the edges. Weights aren't drawn. */
static void put_operands(Buf *b, const Graph *g, const Node *n, Arena *a) {
    for (int i = 0; i < n->noperands; i++) {
        const Value *v = node_in(n, i);
        if (v && !v->constant)
            put_edge(b, g, v, arena_printf(a, "n%d", n->mark), i ? op_operand(n->op, i).name : "");
    }
}

static bool is_of(const Structure *st, const Node *n, int block) {
    return (st->net.member ? node_block(st, n) : -1) == block;
}

/* The nodes of a block in a box with its kind; those of none (-1) without a box. */
static void put_block(Buf *b, const Graph *g, const Structure *st, int block, Arena *a) {
    if (block >= 0)
        buf_printf(b, "  subgraph cluster_%d {\n    label=\"%s\";\n", block,
                   block_name(&st->net.blocks.data[block], a));
    FOR_EACH_NODE(g, n) {
        if (is_of(st, n, block))
            put_node(b, n, block >= 0 ? "    " : "  ", a);
    }
    buf_puts(b, block >= 0 ? "  }\n" : "");
}

static void put_ends(Buf *b, const Graph *g, Arena *a) {
    for (size_t i = 0; i < g->inputs.len; i++)
        put_port(b, "in", i, g->inputs.data[i]->name, g->inputs.data[i], a);
    for (size_t i = 0; i < g->outputs.len; i++)
        put_port(b, "out", i, g->output_names.data[i], g->outputs.data[i]->value, a);
}

void print_dot(effnetc_model *m, const Structure *st) {
    Graph *g = m->program.graph;
    Arena *a = &m->arena;
    Buf b = {0};
    graph_number_nodes(g);
    buf_puts(&b, "digraph \"");
    put_text(&b, base_name(m->path));
    buf_puts(&b, "\" {\n  node [shape=box, fontname=\"sans-serif\"];\n");
    put_ends(&b, g, a);
    for (int i = -1; i < (st->net.member ? (int)st->net.blocks.len : 0); i++)
        put_block(&b, g, st, i, a);
    FOR_EACH_NODE(g, n) {
        put_operands(&b, g, n, a);
    }
    for (size_t i = 0; i < g->outputs.len; i++)
        put_edge(&b, g, g->outputs.data[i]->value, arena_printf(a, "out%zu", i), "");
    buf_puts(&b, "}\n");
    fputs(buf_str(&b), stdout);
    buf_free(&b);
}
