/* compile.c: a loaded model through the passes to loop IR; the options of all that. */
#include "driver/driver.h"

#include "passes/family.h"

#include <inttypes.h>
#include <string.h>

static const Option compiler_rows[] = {
    {"target", 0, OPT_TEXT, offsetof(effnetc_options, target), "NAME",
     "a row of `effnetc targets` (default: native)", 0, 0},
    {"dim", 0, OPT_REPEAT, offsetof(effnetc_options, dims), "NAME=N",
     "size of a symbolic dimension (default: 1 for the batch)", 0, 0},
    {"input-type", 0, OPT_CHOICE, offsetof(effnetc_options, input), INPUT_CHOICES,
     "what the code takes: the model's input, or 8-bit RGB that it normalises (default: model)", 0,
     0},
    {"input-layout", 0, OPT_CHOICE, offsetof(effnetc_options, input_layout), LAYOUT_CHOICES,
     "order in memory of inputs with four dimensions (default: model)", 0, 0},
    {"output-layout", 0, OPT_CHOICE, offsetof(effnetc_options, output_layout), LAYOUT_CHOICES,
     "the same of outputs", 0, 0},
    {NULL, 'O', OPT_INT, offsetof(effnetc_options, opt_level), "0..3",
     "0: what lowering needs; 1: all but Winograd's algorithm; 2, 3: everything (default: 2)", 0,
     3},
    {"disable-pass", 0, OPT_LIST, offsetof(effnetc_options, disabled), "PASS,...",
     "leave these passes out", 0, 0},
    {"max-arena", 0, OPT_SIZE, offsetof(effnetc_options, max_arena), "BYTES",
     "trade time for memory until the arena is no larger: 4M, 512Ki (default: 0, the fastest)", 0,
     0},
    {"schedule", 0, OPT_TEXT, offsetof(effnetc_options, schedule), "FILE",
     "take the tiles of kernels from a file that --tune wrote", 0, 0},
    {"no-winograd", 0, OPT_FLAG, offsetof(effnetc_options, no_winograd), NULL,
     "compute all convolutions directly, as -O0 and -O1 do", 0, 0},
    {"remarks", 0, OPT_FLAG, offsetof(effnetc_options, remarks), NULL,
     "say what each pass did, and why some things were not done", 0, 0},
};
const OptionGroup compiler_options = OPTION_GROUP(compiler_rows);

static const Option pass_rows[] = {
    {"print-ir-after", 0, OPT_TEXT, offsetof(effnetc_options, print_after), "PASS|all|changed|diff",
     "print the IR after a pass, on standard error; diff: the lines that each pass changes", 0, 0},
    {"dump-ir-dir", 0, OPT_TEXT, offsetof(effnetc_options, dump_dir), "DIR",
     "write the IR after every pass into a folder", 0, 0},
    {"ir-constants", 0, OPT_CHOICE, offsetof(effnetc_options, ir_constants), "elided|inline|file",
     "how constants of IR text are written (default: elided)", 0, 0},
    {"time-passes", 0, OPT_FLAG, offsetof(effnetc_options, time_passes), NULL,
     "print the time that each pass took", 0, 0},
    {"verify-passes", 0, OPT_FLAG, offsetof(effnetc_options, verify_passes), NULL,
     "check the IR and its values after each pass", 0, 0},
};
const OptionGroup pass_options = OPTION_GROUP(pass_rows);

/* Of a dump's first line: what made the passes do what they did. */
static const char *options_text(effnetc_model *m) {
    const effnetc_options *o = &m->options;
    Buf b = {0};
    buf_printf(&b, "-O%d", o->opt_level);
    if (o->max_arena)
        buf_printf(&b, " --max-arena=%" PRId64, o->max_arena);
    if (o->no_winograd)
        buf_puts(&b, " --no-winograd");
    if (o->input_layout)
        buf_printf(&b, " --input-layout=%s", o->input_layout);
    if (o->output_layout)
        buf_printf(&b, " --output-layout=%s", o->output_layout);
    for (size_t i = 0; i < o->disabled.count; i++)
        buf_printf(&b, "%s%s", i ? "," : " --disable-pass=", o->disabled.items[i]);
    const char *text = arena_strdup(&m->arena, buf_str(&b));
    buf_free(&b);
    return text;
}

static RunnerOptions runner_options(effnetc_model *m) {
    const effnetc_options *o = &m->options;
    RunnerOptions r = {.print_after = o->print_after,
                       .dump_dir = o->dump_dir,
                       .disabled = o->disabled.items,
                       .ndisabled = (int)o->disabled.count,
                       .time = o->time_passes,
                       .stats = o->remarks,
                       .verify_each = true, /* a third of B0's instructions, a sixth of B7's */
                       .verify_values = o->verify_passes,
                       .done = m->pass_done,
                       .done_context = m->pass_context,
                       .log = o->log,
                       .header = options_text(m)};
    if (o->ir_constants && !strcmp(o->ir_constants, "inline"))
        r.constants = CONSTANTS_INLINE;
    return r;
}

PassContext pass_context(const effnetc_model *m) {
    return (PassContext){
        .target = m->target,
        .where = m->path,
        .diag = m->diag,
        .options = {.max_arena = m->options.max_arena,
                    .no_winograd = m->options.no_winograd || m->options.opt_level < 2},
        .book = m->book};
}

/* A pass name to print after that never runs would print nothing and say nothing. */
static bool check_print_after(effnetc_model *m, const char *const *names, int n) {
    enum { MAX_NAMES = 64 };
    const char *known[MAX_NAMES] = {"all", "changed", "diff"}, *name = m->options.print_after;
    size_t count = 3;
    for (int i = 0; i < n && count < MAX_NAMES; i++)
        known[count++] = names[i];
    for (size_t i = 0; i < count; i++)
        if (!name || !strcmp(known[i], name))
            return true;
    diag_error(m->diag, EXIT_USAGE, "effnetc", "--print-ir-after: no pass \"%s\" runs at -O%d",
               name, m->options.opt_level);
    note_nearest(m->diag, name, known, count, "`effnetc passes` lists all");
    return false;
}

void drop_unwanted_remarks(effnetc_model *m) {
    Diag *d = m->diag;
    size_t kept = 0;
    if (m->options.remarks)
        return;
    for (size_t i = 0; i < d->items.len; i++)
        if (d->items.data[i]->kind != DIAG_REMARK)
            d->items.data[kept++] = d->items.data[i];
    d->items.len = kept;
}

/* The loaded graph, for the passes: where dumps have values in an arena is planned anew. */
static Graph *take_source(effnetc_model *m) {
    Graph *g = m->source;
    m->source = NULL;
    graph_forget_places(g);
    return g;
}

static bool run_pipeline(effnetc_model *m, TileProblems *problems) {
    int n;
    const char *const *names = pipeline(m->options.opt_level, &n);
    if (!check_print_after(m, names, n) || !model_schedules(m) || !model_source(m))
        return false;
    PassContext cx = pass_context(m);
    RunnerOptions options = runner_options(m);
    cx.problems = problems;
    cx.last_use = m->code_only;
    m->program.graph = take_source(m);
    return run_passes(&m->program, names, n, &cx, &options);
}

static bool compile(effnetc_model *m) {
    TileProblems problems = {0};
    bool ok = run_pipeline(m, &problems);
    if (ok)
        remark_unused_schedules(m, &problems);
    tile_problems_free(&problems);
    if (!ok)
        return false;
    if (!m->program.module) {
        diag_error(m->diag, EXIT_USAGE, m->path, "without the pass lower there is no code");
        diag_note(m->diag, "help",
                  "leave it out of --disable-pass; `effnetc opt` runs single passes");
        return false;
    }
    seal_weights(m->program.module);
    if (m->code_only) {
        graph_free(m->program.graph);
        m->program.graph = NULL;
    }
    return true;
}

/* The passes before `end`, which decide what there is to be computed and in how much memory. */
static int passes_before(const char *const *names, int n, const char *end) {
    int i = 0;
    while (i < n && strcmp(names[i], end) != 0)
        i++;
    return i;
}

bool model_prepare(effnetc_model *m) {
    int n;
    const char *const *names = pipeline(m->options.opt_level, &n);
    if (m->diag->errors || !model_schedules(m) || !model_source(m))
        return false;
    PassContext cx = pass_context(m);
    RunnerOptions options = runner_options(m);
    m->program.graph = take_source(m);
    bool ok = run_passes(&m->program, names, passes_before(names, n, "plan-memory"), &cx, &options);
    if (!ok)
        program_free(&m->program);
    drop_unwanted_remarks(m);
    return ok;
}

/* fuse-residual and what follows choose among nodes, by their order or for the target. Remarks are
 * for compilations: they are dropped. For its structure a network stays whole and isn't rounded. */
static Graph *canonical(effnetc_model *m, bool structure) {
    const char *names[MAX_PIPELINE];
    if (m->diag->errors || !model_source(m))
        return NULL;
    Diag remarks = {0};
    PassContext cx = pass_context(m);
    cx.diag = &remarks;
    Program p = {.graph = take_source(m)};
    RunnerOptions options = {.verify_each = m->options.verify_passes};
    int n = pipeline_canonical(structure, names);
    int first = passes_before(names, n, "fuse-silu");
    bool ok = run_passes(&p, names, first, &cx, &options);
    if (ok && structure)
        network_without_rounding(p.graph);
    ok = ok && run_passes(&p, names + first, n - first, &cx, &options);
    ensure(ok);
    diag_free(&remarks);
    return p.graph;
}

Graph *model_canonical(effnetc_model *m) {
    return canonical(m, false);
}

Graph *model_structure(effnetc_model *m) {
    return canonical(m, true);
}

bool model_compile(effnetc_model *m) {
    ensure(m->path && !m->program.graph);
    bool ok = m->diag->errors == 0 && compile(m);
    drop_unwanted_remarks(m);
    return ok;
}

bool effnetc_compile(effnetc_model *m) {
    bool ok = model_compile(m);
    if (!ok)
        program_free(&m->program);
    return ok;
}
