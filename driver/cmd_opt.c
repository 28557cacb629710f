/* cmd_opt.c: effnetc opt: IR text in, passes, IR text out. */
#include "driver/driver.h"

#include <string.h>

typedef struct OptOptions {
    CommonOptions common;
    effnetc_options compiler; /* target, max_arena, no_winograd and ir_constants alone */
    effnetc_strings passes;
    bool verify_each;
} OptOptions;

static const Option rows[] = {
    {"passes", 0, OPT_LIST, offsetof(OptOptions, passes), "PASS,...|list",
     "run these, in this order; list: print what there is", 0, 0},
    {"target", 0, OPT_TEXT, offsetof(OptOptions, compiler.target), "NAME",
     "a row of `effnetc targets` (default: native; loop IR names its own)", 0, 0},
    {"max-arena", 0, OPT_SIZE, offsetof(OptOptions, compiler.max_arena), "BYTES",
     "what fit-arena must reach (default: 0, anything)", 0, 0},
    {"no-winograd", 0, OPT_FLAG, offsetof(OptOptions, compiler.no_winograd), NULL,
     "compute all convolutions directly", 0, 0},
    {"verify-each", 0, OPT_FLAG, offsetof(OptOptions, verify_each), NULL,
     "check the IR after each pass", 0, 0},
    {"verify-values", 0, OPT_FLAG, offsetof(OptOptions, compiler.verify_passes), NULL,
     "evaluate the graph before and after each pass", 0, 0},
    {"ir-constants", 0, OPT_CHOICE, offsetof(OptOptions, compiler.ir_constants), "elided|inline",
     "how constants are written (default: elided)", 0, 0},
};
static const OptionGroup own = OPTION_GROUP(rows);

static bool parse(Program *p, const Source *s, const char *path, Context *cx) {
    const char *text = (const char *)s->data, *where = strcmp(path, "-") ? path : "<stdin>";
    const char *constants = ir_constant_dir(path, &cx->arena);
    switch (ir_level(text, s->size)) {
    case IR_GRAPH:
        p->graph = graph_parse(text, s->size, where, constants, &cx->diag);
        return p->graph && graph_verify(p->graph, where, &cx->diag);
    case IR_LOOP:
        p->module = module_parse(text, s->size, where, constants, &cx->diag);
        return p->module && module_verify(p->module, where, &cx->diag);
    case IR_UNKNOWN:
        break;
    }
    diag_error(&cx->diag, EXIT_BAD_MODEL, where, "this is no IR text");
    diag_note(&cx->diag, "help", "wanted `graph @name` or `module @name`");
    return false;
}

static bool run_over(Program *p, const OptOptions *o, const char *where, Context *cx) {
    const Target *t = p->module ? p->module->target : find_target(o->compiler.target, &cx->diag);
    PassContext pass = {
        .target = t,
        .where = where,
        .diag = &cx->diag,
        .options = {.max_arena = o->compiler.max_arena, .no_winograd = o->compiler.no_winograd}};
    RunnerOptions runner = {.verify_each = o->verify_each,
                            .verify_values = o->compiler.verify_passes};
    return t && run_passes(p, o->passes.items, (int)o->passes.count, &pass, &runner);
}

/* A dump says in its first line where it comes from; what is left of that stays true here, so that
 * opt over one dump of a compilation gives the next one, byte by byte. */
static void print_header(Buf *b, const Source *s, const OptOptions *o) {
    static const char start[] = "# effnetc IR 1, target ", after[] = ", after ";
    const char *text = (const char *)s->data, *end = memchr(text, '\n', s->size);
    size_t n = end ? (size_t)(end - text) : s->size;
    if (n < sizeof start || memcmp(text, start, sizeof start - 1) != 0)
        return;
    Arena arena = {0};
    char *line = arena_printf(&arena, "%.*s", (int)n, text), *pass = strstr(line, after);
    if (pass && o->passes.count > 0) {
        pass += sizeof after - 1;
        buf_printf(b, "%.*s%s%s\n", (int)(pass - line), line, o->passes.items[o->passes.count - 1],
                   pass + strcspn(pass, ","));
    } else {
        buf_printf(b, "%s\n", line);
    }
    arena_free(&arena);
}

static void print(const Program *p, const Source *s, const OptOptions *o) {
    const char *constants = o->compiler.ir_constants;
    Buf b = {0};
    print_header(&b, s, o);
    if (p->module)
        module_print(&b, p->module);
    else
        graph_print(&b, p->graph,
                    constants && !strcmp(constants, "inline") ? CONSTANTS_INLINE
                                                              : CONSTANTS_ELIDED);
    fputs(buf_str(&b), stdout);
    buf_free(&b);
}

static void opt(Context *cx, const OptOptions *o) {
    const char *path = o->common.args.items[0];
    Source s;
    Program p = {0};
    if (!source_open(&s, path, &cx->diag))
        return;
    if (parse(&p, &s, path, cx) && run_over(&p, o, path, cx))
        print(&p, &s, o);
    program_free(&p);
    source_close(&s);
}

static bool asks_for_list(const OptOptions *o) {
    return o->passes.count == 1 && !strcmp(o->passes.items[0], "list");
}

static void run(Context *cx, const void *options) {
    const OptOptions *o = options;
    if (asks_for_list(o)) {
        print_pass_table();
    } else if (o->common.args.count == 0) {
        diag_error(&cx->diag, EXIT_USAGE, "effnetc", "opt needs FILE.ir");
        diag_note(&cx->diag, "help", "`effnetc opt --help` lists what there is");
    } else {
        opt(cx, o);
    }
}

const Command command_opt = {
    .name = "opt",
    .args = "FILE.ir",
    .summary = "run passes over the text of an IR",
    .about = "FILE.ir is graph or loop IR, - standard input; the result goes to standard output.",
    .groups = {{&own, 0}},
    .size = sizeof(OptOptions),
    .min_args = 0, /* --passes=list needs none */
    .max_args = 1,
    .run = run,
};
