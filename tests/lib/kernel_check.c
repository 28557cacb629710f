/* kernel_check.c: kernels against the graph's evaluator, and compiled code against the loop
 * interpreter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/runtime.h"
#include "tests/lib/c_compile.h"
#include "tests/lib/kernel_check.h"

#include <math.h>
#include <string.h>

/* ---- graphs ---------------------------------------------------------------------------------- */

static uint64_t rng_state = 1;

float uniform(void) {
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(rng_state >> 40) / (1 << 23) - 1);
}

Value *random_constant(Graph *g, const char *name, Shape shape, float scale) {
    Tensor *t = tensor_new(&g->arena, DT_f32, shape);
    float *data = tensor_mutable(t);
    for (int64_t i = 0; i < shape_elems(&shape); i++)
        data[i] = scale * uniform();
    return graph_constant(g, graph_unique_name(g, name), t);
}

Value *new_input(Graph *g, const char *name, Shape shape) {
    return graph_input(g, graph_unique_name(g, name), type_plain(DT_f32, shape));
}

Value *blocked_input(Graph *g, Shape shape) {
    Tensor *one = tensor_new(&g->arena, DT_f32, SHAPE(shape.dim[1], 1, 1, 1));
    for (int64_t i = 0; i < shape.dim[1]; i++)
        ((float *)tensor_mutable(one))[i] = 1;
    Value *w = graph_constant(g, graph_unique_name(g, "one"), one);
    Node *n =
        node_new(g, OP_dwconv2d, NULL, "blocked", (Value *[]){new_input(g, "x", shape), w}, 2);
    node_infer_or_die(n);
    return node_out(n);
}

Ints ints(Graph *g, Shape s) {
    return (Ints){arena_copy(&g->arena, s.dim, sizeof s.dim), s.rank};
}

void finish(Graph *g, Node *n) {
    node_infer_or_die(n);
    graph_output(g, node_out(n), node_out(n)->name);
}

Value *as_type(Graph *g, Value *v, DType to) {
    if (v->type.dtype == to)
        return v;
    Node *n = node_new(g, OP_cast, NULL, "cast", (Value *[]){v}, 1);
    cast_attrs(n)->to = to;
    node_infer_or_die(n);
    return node_out(n);
}

Value *finish_op(Graph *g, Op op, Value *const *operands, int n) {
    Node *node = node_new(g, op, NULL, "y", operands, n);
    finish(g, node);
    return node_out(node);
}

void finish_as_float(Graph *g, Node *n) {
    node_infer_or_die(n);
    for (int i = 0; i < n->nresults; i++)
        finish(g, node_new(g, OP_cast, NULL, "y", (Value *[]){n->results[i]}, 1));
}

/* ---- running --------------------------------------------------------------------------------- */

static void fail_with(Diag *d, const char *what) {
    diag_print(d, stderr, false);
    fail_msg("%s", what);
}

void make_inputs(Fixture *f, const float *specials, size_t nspecials) {
    Graph *g = f->p.graph;
    f->ninputs = g->inputs.len;
    f->noutputs = g->outputs.len;
    f->in = ARENA_ARRAY(&f->arena, f->ninputs, Tensor *);
    for (size_t i = 0; i < f->ninputs; i++) {
        f->in[i] = tensor_new(&f->arena, DT_f32, g->inputs.data[i]->type.shape);
        float *data = tensor_mutable(f->in[i]);
        int64_t n = shape_elems(&f->in[i]->shape);
        for (int64_t k = 0; k < n; k++)
            data[k] = 4 * uniform();
        for (size_t s = 0; s < nspecials && n > 1; s++)
            data[(int64_t)((uniform() + 1) / 2 * (float)n) % n] = specials[s];
    }
}

static Tensor **new_outputs(Fixture *f) {
    Tensor **out = ARENA_ARRAY(&f->arena, f->noutputs, Tensor *);
    for (size_t i = 0; i < f->noutputs; i++)
        out[i] = tensor_new(&f->arena, DT_f32, f->p.graph->outputs.data[i]->value->type.shape);
    return out;
}

void lower_fixture(Fixture *f, const char *target, bool fine) {
    int n;
    const char *const *names = pipeline(f->level, &n);
    PassContext cx = {
        .target = target_find(target), .where = "test", .diag = &f->diag, .options = f->options};
    cx.options.part_cycles = fine ? 1 : 0;
    RunnerOptions o = {.verify_each = true};
    if (!run_passes(&f->p, names, n, &cx, &o))
        fail_with(&f->diag, "the passes failed");
}

void interpret(Fixture *f) {
    const void **in = ARENA_ARRAY(&f->arena, f->ninputs, const void *);
    void **out = ARENA_ARRAY(&f->arena, f->noutputs, void *);
    for (size_t i = 0; i < f->ninputs; i++)
        in[i] = f->in[i]->data;
    f->interpreted = new_outputs(f);
    for (size_t i = 0; i < f->noutputs; i++)
        out[i] = tensor_mutable(f->interpreted[i]);
    if (!module_eval(f->p.module, in, out, &f->diag))
        fail_with(&f->diag, "the loop interpreter failed");
}

void fixture_free(Fixture *f) {
    program_free(&f->p);
    diag_free(&f->diag);
    arena_free(&f->arena);
}

/* The largest difference over the largest finite reference value; NaN and infinities must agree. */
static void compare_with_oracle(Fixture *f, const char *target) {
    for (size_t i = 0; i < f->noutputs; i++) {
        const float *a = f->interpreted[i]->data, *b = f->expected[i]->data;
        double err = 0, top = fmax(f->magnitude, 1e-30);
        for (int64_t k = 0; k < shape_elems(&f->expected[i]->shape); k++) {
            if (isnan(a[k]) != isnan(b[k]) || (isinf(b[k]) && a[k] != b[k]))
                fail_msg("%s: output %zu, element %lld: %g, the oracle gives %g", target, i,
                         (long long)k, (double)a[k], (double)b[k]);
            if (!isfinite(b[k]))
                continue;
            err = fmax(err, fabs((double)a[k] - (double)b[k]));
            top = fmax(top, fabs((double)b[k]));
        }
        if (err > f->error * top)
            fail_msg("%s: output %zu (%s): error %g of %g", target, i,
                     f->p.graph->outputs.data[i]->value->name, err, top);
    }
}

static void compare_bits(Fixture *f, const char *target) {
    for (size_t i = 0; i < f->noutputs; i++) {
        const float *a = f->compiled[i]->data, *b = f->interpreted[i]->data;
        for (int64_t k = 0; k < shape_elems(&f->expected[i]->shape); k++)
            if (memcmp(&a[k], &b[k], sizeof *a) != 0 && !(isnan(a[k]) && isnan(b[k])))
                fail_msg("%s: output %zu, element %lld: compiled %a, the interpreter %a", target, i,
                         (long long)k, (double)a[k], (double)b[k]);
    }
}

static void run_on_threads(Fixture *f, const CBuild *c, const char *target, const void *const *in,
                           void *const *out) {
    int most = c->cross ? 2 : 7; /* an emulator has its own pool */
    for (int threads = 2; threads <= most; threads += 5) {
        rt_pool *pool;
        for (size_t i = 0; i < f->noutputs; i++)
            memset(out[i], 0xff, (size_t)shape_elems(&f->compiled[i]->shape) * sizeof(float));
        assert_int_equal(rt_pool_new(&pool, threads, NULL), RT_OK);
        assert_int_equal(c_run_parallel(c, in, out, &(CPool){pool, rt_pool_for}), 0);
        rt_pool_free(pool);
        compare_bits(f, target);
    }
}

static void run_compiled(Fixture *f, const char *target, const char *compiler) {
    if (!c_makes(compiler, f->p.module->target))
        return;
    const void **in = ARENA_ARRAY(&f->arena, f->ninputs, const void *);
    void **out = ARENA_ARRAY(&f->arena, f->noutputs, void *);
    f->compiled = new_outputs(f);
    for (size_t i = 0; i < f->ninputs; i++)
        in[i] = f->in[i]->data;
    for (size_t i = 0; i < f->noutputs; i++)
        out[i] = tensor_mutable(f->compiled[i]);
    CBuild *c = c_build(f->p.module, compiler, "");
    assert_non_null(c);
    if (!c->cross) {
        assert_int_equal(c_run(c, in, out), 0);
        compare_bits(f, target);
    }
    run_on_threads(f, c, target, in, out);
    c_free(c);
}

/* Sanitizers find nothing in code that is compiled without them: one target shows them the
 * printers. */
static bool is_compiled(const Target *t) {
    return c_runs(t) && (!EFFNETC_SANITIZED || t == target_native());
}

void check_fixture(Fixture *f, const char *target, const float *specials, size_t nspecials) {
    make_inputs(f, specials, nspecials);
    f->expected = ARENA_ARRAY(&f->arena, f->noutputs, Tensor *);
    if (!graph_eval(f->p.graph, f->in, f->expected, &f->arena, &f->diag))
        fail_with(&f->diag, "the graph interpreter failed");
    lower_fixture(f, target, nspecials > 0);
    interpret(f);
    compare_with_oracle(f, target);
    const Target *t = target_find(target);
    if (is_compiled(t)) {
        seal_weights(f->p.module);
        if (!nspecials || !c_makes("llvm", t))
            run_compiled(f, target, nspecials ? "clang" : "gcc");
        if (target_runs_here(t) || nspecials)
            run_compiled(f, target, "llvm");
    } else if (!c_runs(t)) {
        print_message("%s: neither this machine nor an emulator runs it; interpreted only\n",
                      target);
    }
    fixture_free(f);
}

static void check(Graph *g, const char *target, const float *specials, size_t nspecials,
                  double magnitude) {
    Fixture f = {.p.graph = g, .magnitude = magnitude, .error = 2e-6};
    f.options.no_winograd = true;
    check_fixture(&f, target, specials, nspecials);
}

const float special_values[NSPECIALS] = {NAN, INFINITY, -INFINITY, -0.0f, 100, -100, 1e-40f};

void check_all(Graph *(*make)(void), size_t nspecials, double magnitude) {
    for (size_t i = 0; i < target_count(); i++) {
        check(make(), target_at(i)->name, NULL, 0, magnitude);
        check(make(), target_at(i)->name, special_values, nspecials, magnitude);
    }
}
