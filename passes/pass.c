/* pass.c: the pass table, and the runner that times, logs, dumps and verifies around each pass. */
#include "passes/passes.h"

#include <math.h>
#include <string.h>

#define GRAPH_PASS(id, name, help) GraphPass pass_##id;
#define LOOP_PASS(id, name, help)  LoopPass pass_##id;
#define LOWER_PASS(id, name, help)
#include "passes/passes.def"
#undef GRAPH_PASS
#undef LOOP_PASS
#undef LOWER_PASS

static const PassInfo passes[] = {
#define GRAPH_PASS(id, name, help) {name, PASS_GRAPH, pass_##id, NULL, help},
#define LOOP_PASS(id, name, help)  {name, PASS_LOOP, NULL, pass_##id, help},
#define LOWER_PASS(id, name, help) {name, PASS_LOWER, NULL, NULL, help},
#include "passes/passes.def"
#undef GRAPH_PASS
#undef LOOP_PASS
#undef LOWER_PASS
};

enum { NPASSES = sizeof passes / sizeof *passes };

size_t pass_count(void) {
    return NPASSES;
}

const PassInfo *pass_at(size_t i) {
    return i < NPASSES ? &passes[i] : NULL;
}

static const PassInfo *pass_find(const char *name) {
    for (size_t i = 0; i < NPASSES; i++)
        if (strcmp(passes[i].name, name) == 0)
            return &passes[i];
    return NULL;
}

void program_free(Program *p) {
    if (p->graph)
        graph_free(p->graph);
    if (p->module)
        module_free(p->module);
    *p = (Program){0};
}

/* ---- one pass -------------------------------------------------------------------------------- */

typedef struct Runner {
    Program *p;
    PassContext *cx;
    const RunnerOptions *o;
    FILE *log;
    Buf before;   /* text before the pass, where "changed" asks for it */
    Arena values; /* inputs and reference outputs of verify_values */
    Tensor **in, **ref;
} Runner;

static bool is_disabled(const RunnerOptions *o, const char *name) {
    for (int i = 0; i < o->ndisabled; i++)
        if (strcmp(o->disabled[i], name) == 0)
            return true;
    return false;
}

/* Kernels or nodes, which are counted one by one: 0 where nobody asks. */
static int program_size(const Runner *r) {
    if (r->p->module)
        return (int)r->p->module->kernels.len;
    return r->o->stats || r->o->done ? graph_node_count(r->p->graph) : 0;
}

static void program_print(Buf *b, const Program *p, ConstantForm form) {
    if (p->module)
        module_print(b, p->module);
    else
        graph_print(b, p->graph, form);
}

static bool run_one(Runner *r, const PassInfo *pass) {
    Program *p = r->p;
    switch (pass->level) {
    case PASS_GRAPH:
        return pass->graph(p->graph, r->cx);
    case PASS_LOWER:
        p->module = lower_graph(p->graph, r->cx);
        return p->module != NULL;
    case PASS_LOOP:
        return pass->loop(p->module, r->cx);
    }
    return false;
}

/* Whether the program is at the level that the pass works on; else an error. */
static bool level_fits(Runner *r, const PassInfo *pass) {
    bool at_loop = r->p->module != NULL;
    if ((pass->level == PASS_LOOP) == at_loop)
        return true;
    diag_error(r->cx->diag, EXIT_USAGE, r->cx->where, "pass %s can't run here", pass->name);
    diag_note(r->cx->diag, "reason", "it works on %s IR, and this is %s IR",
              pass->level == PASS_LOOP ? "loop" : "graph", at_loop ? "loop" : "graph");
    diag_note(r->cx->diag, "help", "`lower` is the pass between the two; see `effnetc passes`");
    return false;
}

/* ---- values before and after ----------------------------------------------------------------- */

/* A small generator of its own, so that every platform checks the same inputs. */
static double next_uniform(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 40) / (double)(1 << 23) - 1;
}

static bool take_reference(Runner *r) {
    Graph *g = r->p->graph;
    uint64_t state = 1;
    r->in = ARENA_ARRAY(&r->values, g->inputs.len + 1, Tensor *);
    r->ref = ARENA_ARRAY(&r->values, g->outputs.len + 1, Tensor *);
    for (size_t i = 0; i < g->inputs.len; i++) {
        const Type *t = &g->inputs.data[i]->type;
        r->in[i] = tensor_new(&r->values, t->dtype, t->shape);
        for (int64_t k = 0; k < shape_elems(&t->shape); k++)
            tensor_set_f64(r->in[i], k, next_uniform(&state));
    }
    return graph_eval(g, r->in, r->ref, &r->values, r->cx->diag);
}

/* max |a - b| / max |b|; NaN must meet NaN. */
static double relative_error(const Tensor *a, const Tensor *b) {
    double err = 0, top = 0;
    for (int64_t i = 0; i < shape_elems(&a->shape); i++) {
        double x = tensor_f64(a, i), y = tensor_f64(b, i);
        if (isnan(x) != isnan(y))
            return INFINITY;
        if (isnan(x) || x == y)
            continue;
        err = fmax(err, fabs(x - y));
        top = fmax(top, fabs(y));
    }
    return err == 0 ? 0 : err / fmax(top, 1e-30);
}

/* float32 rounding in another order, over a deep network; models of narrower types round each value
 * to a few bits, and passes may keep more. */
static double tolerance_of(DType output) {
    return output == DT_f16 ? 0.02 : output == DT_bf16 ? 0.1 : 1e-5;
}

static bool values_kept(Runner *r, const PassInfo *pass) {
    Arena arena = {0};
    size_t n = r->p->graph->outputs.len;
    Tensor **out = ARENA_ARRAY(&arena, n + 1, Tensor *);
    bool ok = graph_eval(r->p->graph, r->in, out, &arena, r->cx->diag);
    for (size_t i = 0; ok && i < n; i++) {
        double err = relative_error(out[i], r->ref[i]), tolerance = tolerance_of(out[i]->dtype);
        if (err <= tolerance)
            continue;
        diag_error(r->cx->diag, EXIT_VERIFY, r->cx->where, "pass %s changed output %zu", pass->name,
                   i);
        diag_note(r->cx->diag, "reason", "relative error %.3g on seeded inputs, %.0e is allowed",
                  err, tolerance);
        ok = false;
    }
    arena_free(&arena);
    return ok;
}

/* ---- dumps and checks around a pass ---------------------------------------------------------- */

static void print_header(Buf *b, const Runner *r, const char *pass) {
    buf_printf(b, "# effnetc IR 1, target %s, after %s", r->cx->target->name, pass);
    if (r->o->header)
        buf_printf(b, ", %s", r->o->header);
    buf_putc(b, '\n');
}

static bool dump(Runner *r, const char *pass, int index) {
    Outputs out = {0};
    Buf text = {0};
    print_header(&text, r, pass);
    program_print(&text, r->p, CONSTANTS_ELIDED);
    const char *dir = arena_printf(&out.arena, "%s/constants", r->o->dump_dir);
    outputs_add(&out, arena_printf(&out.arena, "%s/%02d-%s.ir", r->o->dump_dir, index, pass),
                text.data, text.len);
    if (r->p->module)
        module_write_weights(r->p->module, dir, &out);
    else
        graph_write_constants(r->p->graph, dir, &out);
    bool ok = outputs_commit(&out, r->cx->diag);
    outputs_free(&out);
    buf_free(&text);
    return ok;
}

static bool prints_changes(const RunnerOptions *o) {
    return o->print_after &&
           (!strcmp(o->print_after, "changed") || !strcmp(o->print_after, "diff"));
}

/* The whole text, or the lines that changed. */
static void print_text(Runner *r, const char *pass, Buf *text) {
    Buf out = {0};
    print_header(&out, r, pass);
    if (strcmp(r->o->print_after, "diff") != 0)
        buf_write(&out, text->data, text->len);
    else
        text_diff(&out, buf_str(&r->before), buf_str(text));
    fputs(buf_str(&out), r->log);
    buf_free(&out);
}

static void print_after(Runner *r, const char *pass) {
    const char *when = r->o->print_after;
    bool changes = prints_changes(r->o);
    if (!when || (!changes && strcmp(when, pass) != 0 && strcmp(when, "all") != 0))
        return;
    Buf text = {0};
    program_print(&text, r->p, r->o->constants);
    if (!changes || strcmp(buf_str(&text), buf_str(&r->before)) != 0)
        print_text(r, pass, &text);
    buf_free(&text);
}

static bool verify(Runner *r) {
    if (r->p->module)
        return module_verify(r->p->module, r->cx->where, r->cx->diag);
    return graph_verify(r->p->graph, r->cx->where, r->cx->diag);
}

static void log_line(Runner *r, const PassInfo *pass, int before, double time) {
    if (r->o->stats)
        fprintf(r->log, "%-17s %s %d -> %d\n", pass->name, r->p->module ? "kernels" : "ops", before,
                program_size(r));
    if (r->o->time)
        fprintf(r->log, "%-17s %9.3f ms\n", pass->name, 1e3 * time);
}

static bool run_checked(Runner *r, const PassInfo *pass, int index) {
    const RunnerOptions *o = r->o;
    bool values = o->verify_values && pass->level == PASS_GRAPH;
    if (!level_fits(r, pass) || (values && !r->in && !take_reference(r)))
        return false;
    r->before.len = 0;
    if (prints_changes(o))
        program_print(&r->before, r->p, o->constants);
    int before = pass->level == PASS_LOWER ? 0 : program_size(r);
    double start = clock_seconds();
    if (!run_one(r, pass))
        return false;
    log_line(r, pass, before, clock_seconds() - start);
    print_after(r, pass->name);
    if (o->dump_dir && !dump(r, pass->name, index))
        return false;
    if (o->verify_each && !verify(r))
        return false;
    if (values && !values_kept(r, pass))
        return false;
    PassResult result = {pass, before, program_size(r)};
    return !o->done || o->done(o->done_context, &result, r->p);
}

static bool known_passes(const char *const *names, int n, const char *what, PassContext *cx) {
    bool ok = true;
    for (int i = 0; i < n; i++) {
        if (pass_find(names[i]))
            continue;
        const char *all[NPASSES];
        for (int k = 0; k < NPASSES; k++)
            all[k] = passes[k].name;
        const char *near = nearest_name(names[i], all, NPASSES);
        diag_error(cx->diag, EXIT_USAGE, cx->where, "no pass is called \"%s\" (in %s)", names[i],
                   what);
        if (near)
            diag_note(cx->diag, "help", "did you mean %s? `effnetc passes` lists all", near);
        else
            diag_note(cx->diag, "help", "`effnetc passes` lists all");
        ok = false;
    }
    return ok;
}

bool run_passes(Program *p, const char *const *names, int n, PassContext *cx,
                const RunnerOptions *o) {
    if (!known_passes(names, n, "passes to run", cx) ||
        !known_passes(o->disabled, o->ndisabled, "disabled passes", cx))
        return false;
    Runner r = {.p = p, .cx = cx, .o = o, .log = o->log ? o->log : stderr};
    bool ok = true;
    for (int i = 0; ok && i < n; i++)
        if (!is_disabled(o, names[i]))
            ok = run_checked(&r, pass_find(names[i]), i + 1);
    buf_free(&r.before);
    arena_free(&r.values);
    return ok;
}
