/* verify_passes.c: which pass made a difference: effnetc verify --bisect-passes.
 *
 * The program is run after every pass, as the pass left it: the graph and then the module by their
 * interpreters, and at last by the backend. The pass behind which the outputs first differ from
 * the reference brought the difference. */
#include "driver/verify.h"

#include <string.h>

typedef struct Bisector {
    Bisection *b;
    effnetc_model *m, *reference;
    Tensor *const *in, *const *ref;
    const Tolerance *t;
    Arena *a;
    uint64_t text; /* hash of the program as it was compared last */
} Bisector;

/* ---- one program ----------------------------------------------------------------------------- */

static uint64_t program_hash(const Program *p) {
    Buf b = {0};
    if (p->module)
        module_print(&b, p->module);
    else
        graph_print(&b, p->graph, CONSTANTS_ELIDED);
    uint64_t hash = hash_bytes(buf_str(&b), b.len);
    buf_free(&b);
    return hash;
}

/* The worse of two comparisons: one that fails, or else the larger difference. */
static bool is_worse(const Comparison *a, const Comparison *b) {
    return a->pass != b->pass ? !a->pass : a->relative > b->relative;
}

static Comparison compare_outputs(const Bisector *s, Tensor *const *out) {
    Comparison worst = {.pass = true, .worst = -1, .cosine = 1};
    for (size_t i = 0; i < s->m->outputs.len; i++) {
        Comparison c = {.worst = -1, .not_finite = 1};
        if (shape_equal(&out[i]->shape, &s->ref[i]->shape))
            c = tensor_compare(out[i], s->ref[i], s->t);
        if (i == 0 || is_worse(&c, &worst))
            worst = c;
    }
    return worst;
}

static bool run_program_at(const Bisector *s, const Program *p, Tensor **out, Arena *a) {
    if (p->module)
        return run_tensors(s->m, EFFNETC_BACKEND_LOOP_INTERP, s->in, out, a);
    return graph_eval(p->graph, s->in, out, a, s->m->diag) && cut_outputs(s->m, out, a);
}

/* ---- passes ---------------------------------------------------------------------------------- */

static void note(Bisector *s, PassCheck c) {
    vec_push(s->a, &s->b->passes, c);
}

static bool check_pass(Bisector *s, const PassResult *r, const Program *p) {
    static const char *const levels[] = {
        [PASS_GRAPH] = "graph", [PASS_LOWER] = "loop", [PASS_LOOP] = "loop"};
    PassCheck c = {.name = r->pass->name, .level = levels[r->pass->level], .size = r->after};
    uint64_t text = program_hash(p);
    size_t n = s->b->passes.len;
    Arena arena = {0};
    bool ok = true;
    Tensor **out = ARENA_ARRAY(&arena, s->m->outputs.len + 1, Tensor *);
    c.same = n > 0 && text == s->text;
    if (c.same)
        c.worst = s->b->passes.data[n - 1].worst;
    else if ((ok = run_program_at(s, p, out, &arena)))
        c.worst = compare_outputs(s, out);
    arena_free(&arena);
    s->text = text;
    if (ok)
        note(s, c);
    return ok && c.worst.pass;
}

static bool pass_done(void *context, const PassResult *r, const Program *p) {
    return check_pass(context, r, p);
}

static bool check_backend(Bisector *s, effnetc_backend backend) {
    Tensor **out = ARENA_ARRAY(s->a, s->m->outputs.len + 1, Tensor *);
    if (!run_tensors(s->m, backend, s->in, out, s->a))
        return false;
    note(s, (PassCheck){.name = backend_name(backend),
                        .level = "backend",
                        .worst = compare_outputs(s, out)});
    return true;
}

/* ---- the layers behind the pass -------------------------------------------------------------- */

static bool find_layers(Bisector *s, effnetc_backend backend) {
    Layers *l = &s->b->layers;
    effnetc_model *m = s->m;
    Tensor **out = ARENA_ARRAY(s->a, m->outputs.len + 1, Tensor *);
    if (!layers_open(l, m, s->reference, s->in, out, s->t, s->a))
        return false;
    if (!m->program.module)
        return layers_eval(l, s->in, m->diag);
    if (strcmp(s->b->first->level, "backend") != 0)
        backend = EFFNETC_BACKEND_LOOP_INTERP;
    return layers_run(l, m, backend, s->in, out);
}

static const PassCheck *first_failed(const Bisection *b) {
    for (size_t i = 0; i < b->passes.len; i++)
        if (!b->passes.data[i].worst.pass)
            return &b->passes.data[i];
    return NULL;
}

bool bisect_passes(Bisection *b, effnetc_model *m, effnetc_model *reference,
                   effnetc_backend backend, Tensor *const *in, Tensor *const *ref,
                   const Tolerance *t, Arena *a) {
    *b = (Bisection){0};
    Bisector s = {.b = b, .m = m, .reference = reference, .in = in, .ref = ref, .t = t, .a = a};
    m->pass_done = pass_done;
    m->pass_context = &s;
    bool ok = model_compile(m);
    m->pass_done = NULL;
    b->first = first_failed(b);
    if (!b->first && (!ok || !check_backend(&s, backend)))
        return false;
    b->first = first_failed(b);
    return !b->first || find_layers(&s, backend);
}
