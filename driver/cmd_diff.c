/* cmd_diff.c: effnetc diff: whether two models are the same network. */
#include "driver/driver.h"

#include <string.h>

typedef struct DiffOptions {
    CommonOptions common;
    effnetc_options compiler; /* dims alone */
    effnetc_strings ignored;
    bool as_loaded;
} DiffOptions;

static const Option rows[] = {
    {"ignore", 0, OPT_LIST, offsetof(DiffOptions, ignored), "NAME,...",
     "attributes that may differ (pad, epsilon, ...); layout: NHWC or NCHW inputs; preprocessing: "
     "arithmetic of inputs with constants",
     0, 0},
    {"as-loaded", 0, OPT_FLAG, offsetof(DiffOptions, as_loaded), NULL,
     "compare the graphs as they were loaded, before any pass", 0, 0},
    {"dim", 0, OPT_REPEAT, offsetof(DiffOptions, compiler.dims), "NAME=N",
     "size of a symbolic dimension of either model (default: 1 for the batch)", 0, 0},
};
static const OptionGroup own = OPTION_GROUP(rows);

/* One of the two models. */
typedef struct DiffSide {
    effnetc_model *m;
    Graph *graph;         /* what is compared */
    VEC(double) epsilons; /* of the batch norms as loaded: they are gone behind the passes */
    VEC(const char *) norm_names;
} DiffSide;

static void note_batch_norms(DiffSide *s) {
    FOR_EACH_NODE(s->m->source, n) {
        if (n->op != OP_batch_norm)
            continue;
        vec_push(&s->m->arena, &s->epsilons, batch_norm_attrs(n)->epsilon);
        vec_push(&s->m->arena, &s->norm_names,
                 arena_strdup(&s->m->arena, *n->origin ? n->origin : node_out(n)->name));
    }
}

static bool load(DiffSide *s, const DiffOptions *o, const char *path, effnetc_strings dims,
                 Context *cx) {
    effnetc_options compiler = o->compiler;
    compiler.dims = dims;
    s->m = model_open(&compiler, &cx->diag);
    if (!effnetc_load(s->m, path))
        return false;
    note_batch_norms(s);
    if (o->as_loaded) {
        s->graph = s->m->source;
        s->m->source = NULL;
    } else {
        s->graph = model_canonical(s->m);
    }
    return s->graph != NULL;
}

static void close_side(DiffSide *s) {
    if (s->graph)
        graph_free(s->graph);
    effnetc_free(s->m);
}

/* ---- what differs ---- */

static void print_side(const DiffSide *s, const char *text) {
    Arena *a = &s->m->arena;
    printf("  %s: %s\n", printable(a, base_name(s->m->path)), printable(a, text));
}

static void print_node(const DiffSide *s, const Node *n) {
    Buf b = {0};
    if (n)
        node_print(&b, n);
    print_side(s, n ? buf_str(&b) : "no such node");
    buf_free(&b);
}

static void print_nodes(const DiffSide *a, const DiffSide *b, const GraphDifference *d) {
    Buf list = {0};
    print_node(a, d->a);
    print_node(b, d->b);
    if (d->what == GRAPH_DIFF_NODE && d->a && d->b)
        node_print_differences(&list, d->a, d->b);
    for (char *line = list.data, *end; line && *line; line = end + 1) {
        end = strchr(line, '\n');
        printf("  %.*s\n", (int)(end - line), line);
    }
    buf_free(&list);
}

static void print_input(const DiffSide *s, size_t i) {
    const Value *v = graph_read_input(s->graph, i);
    print_side(s, v ? arena_printf(&s->m->arena, "%s %s", v->name, type_str(&s->m->arena, &v->type))
                    : "no such input");
}

static void print_output(const DiffSide *s, size_t i) {
    const Graph *g = s->graph;
    const Value *v = i < g->outputs.len ? g->outputs.data[i]->value : NULL;
    if (v && v->def)
        print_node(s, v->def);
    else
        print_side(s, v ? v->name : "no such output");
}

static void print_difference(const DiffSide *a, const DiffSide *b, const GraphDifference *d) {
    switch (d->what) {
    case GRAPH_DIFF_INPUT:
        printf("first difference: input %zu\n", d->index);
        print_input(a, d->index);
        print_input(b, d->index);
        break;
    case GRAPH_DIFF_NODE:
        printf("first difference: a node\n");
        print_nodes(a, b, d);
        break;
    case GRAPH_DIFF_SHARING:
        printf("first difference: an operand that only one of them shares with other nodes\n");
        print_nodes(a, b, d);
        break;
    case GRAPH_DIFF_OUTPUT:
        printf("first difference: output %zu\n", d->index);
        print_output(a, d->index);
        print_output(b, d->index);
        break;
    case GRAPH_DIFF_NONE:
        break;
    }
}

/* Whether the batch norms that both files have agree; an exporter may have folded all of them. */
static bool same_epsilons(const DiffSide *a, const DiffSide *b) {
    for (size_t i = 0; i < a->epsilons.len && i < b->epsilons.len; i++) {
        if (a->epsilons.data[i] == b->epsilons.data[i])
            continue;
        printf("first difference: the epsilon of a batch norm\n");
        print_side(a, arena_printf(&a->m->arena, "%g of \"%s\"", a->epsilons.data[i],
                                   a->norm_names.data[i]));
        print_side(b, arena_printf(&b->m->arena, "%g of \"%s\"", b->epsilons.data[i],
                                   b->norm_names.data[i]));
        return false;
    }
    return true;
}

static bool ignores_epsilon(const DiffOptions *o) {
    for (size_t i = 0; i < o->ignored.count; i++)
        if (!strcmp(o->ignored.items[i], "epsilon"))
            return true;
    return false;
}

static void compare(const DiffSide *a, const DiffSide *b, const DiffOptions *o, Diag *diag) {
    GraphDiffOptions how = {o->ignored.items, o->ignored.count};
    GraphDifference d;
    bool same = graph_same(a->graph, b->graph, &how, &d);
    if (!same)
        print_difference(a, b, &d);
    else if (ignores_epsilon(o) || same_epsilons(a, b))
        printf("same graph (%d nodes; values aside)\n", graph_node_count(a->graph));
    else
        same = false;
    if (!same)
        diag_error(diag, EXIT_VERIFY, "effnetc", "%s and %s are different graphs",
                   base_name(a->m->path), base_name(b->m->path));
}

static bool check_ignored(const DiffOptions *o, Context *cx) {
    size_t n, before = cx->diag.errors;
    const char *const *known = graph_diff_names(&n, &cx->arena);
    for (size_t i = 0; i < o->ignored.count; i++) {
        const char *name = o->ignored.items[i];
        size_t k = 0;
        while (k < n && strcmp(known[k], name) != 0)
            k++;
        if (k < n)
            continue;
        diag_error(&cx->diag, EXIT_USAGE, "effnetc", "--ignore: no attribute is called \"%s\"",
                   name);
        note_nearest(&cx->diag, name, known, n, "attributes of ops are in docs/graph-ir.md");
    }
    return cx->diag.errors == before;
}

static void run(Context *cx, const void *options) {
    const DiffOptions *o = options;
    const char *const *paths = o->common.args.items;
    DiffSide a = {0}, b = {0};
    effnetc_strings dims[2];
    Arena arena = {0};
    if (!check_ignored(o, cx))
        return;
    if (dims_for_two(o->compiler.dims, paths, &arena, dims, &cx->diag)) {
        bool ok = load(&a, o, paths[0], dims[0], cx);
        ok &= load(&b, o, paths[1], dims[1], cx);
        if (ok)
            compare(&a, &b, o, &cx->diag);
        close_side(&a);
        close_side(&b);
    }
    arena_free(&arena);
}

static void defaults(void *options) {
    ((DiffOptions *)options)->compiler = effnetc_default_options();
}

const Command command_diff = {
    .name = "diff",
    .args = "A B",
    .summary = "say whether two models are the same graph, or where they first differ",
    .about =
        "A and B are models. Passes first bring both into one form, whatever their exporters. "
        "Weights,\n"
        "names, inputs that nothing reads and the order of independent nodes don't count. Ends "
        "with 0\n"
        "where they are the same graph, and with 5 where they aren't.",
    .groups = {{&own, 0}},
    .size = sizeof(DiffOptions),
    .defaults = defaults,
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
