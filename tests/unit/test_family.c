/* The family's definitions, the networks made from them, and the ONNX files of those. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frontend/frontend.h"
#include "passes/family.h"
#include "passes/passes.h"

static Graph *build(const Family *f, const Scaling *by, const BuildOptions *o) {
    Arena a = {0};
    NetPlan plan;
    net_plan(&plan, f, by, &a);
    Graph *g = network_build(&plan, "net", o);
    arena_free(&a);
    return g;
}

static Graph *build_member(const Member *m, NetWeights weights) {
    return build(m->family, &m->scaling,
                 &(BuildOptions){.classes = 1000, .batch = 1, .weights = weights, .seed = 1});
}

/* Something of each family that is quick to evaluate. */
static Graph *build_small(const char *id, NetWeights weights) {
    return build(member_find(id)->family, &(Scaling){0.25, 0.5, 64},
                 &(BuildOptions){.classes = 10, .batch = 2, .weights = weights, .seed = 7});
}

static const char *const kinds[] = {"b0", "lite0", "edgetpu-s", "v2-b0", "v2-m"};
enum { NKINDS = sizeof kinds / sizeof *kinds };

/* ---- definitions ----------------------------------------------------------------------------- */

typedef struct Facts {
    const char *id;
    int64_t parameters, macs;
    double counted_parameters, counted_macs; /* millions */
    const char *counted_by;
    double published_parameters, published_macs; /* millions, billions */
    double top1;
    const char *source;
} Facts;

static const Facts facts[] = {
#define FACTS(...) {__VA_ARGS__},
#include "passes/family_facts.def"
#undef FACTS
};
enum { NFACTS = sizeof facts / sizeof *facts };

/* Within a share of what another implementation counts; 0: it doesn't. */
static void check_near(const char *id, double x, double counted, double share) {
    if (counted > 0 && fabs(x - counted) > share * counted)
        fail_msg("%s: %g is not near %g", id, x, counted);
}

static void test_facts(void **state) {
    (void)state;
    assert_int_equal(NFACTS, member_count());
    for (size_t i = 0; i < NFACTS; i++) {
        const Facts *f = &facts[i];
        assert_string_equal(f->id, member_at(i)->id);
        Graph *g = build_member(member_at(i), WEIGHTS_NONE);
        int64_t parameters = graph_parameters(g), macs = graph_macs(g);
        graph_free(g);
        if (parameters != f->parameters || macs != f->macs)
            fail_msg("%s has %lld parameters and %lld MACs", f->id, (long long)parameters,
                     (long long)macs);
        check_near(f->id, 1e-6 * (double)parameters, f->counted_parameters, 0.005);
        check_near(f->id, 1e-6 * (double)macs, f->counted_macs, 0.02);
        /* What sources print has two digits, and some count more: docs/family.md. */
        check_near(f->id, 1e-6 * (double)parameters, f->published_parameters, 0.02);
        check_near(f->id, 1e-9 * (double)macs, f->published_macs, 0.06);
    }
}

static void test_names(void **state) {
    (void)state;
    assert_string_equal(member_find("V2_B0")->name, "EfficientNetV2-B0");
    assert_string_equal(member_find("EdgeTPU-S")->name, "EfficientNet-EdgeTPU-S");
    assert_null(member_find("b"));
    assert_null(member_find("b00"));
}

/* Channels of the stages' last blocks, and how many blocks each has. */
static void check_plan(const char *id, int64_t stem, int64_t head, const char *stages) {
    Arena a = {0};
    Buf b = {0};
    NetPlan p;
    net_plan(&p, member_find(id)->family, &member_find(id)->scaling, &a);
    for (size_t i = 0; i < p.blocks.len; i += (size_t)p.blocks.data[i].repeats)
        buf_printf(&b, "%lldx%lld ", (long long)p.blocks.data[i].out,
                   (long long)p.blocks.data[i].repeats);
    assert_string_equal(buf_str(&b), stages);
    assert_int_equal(p.stem, stem);
    assert_int_equal(p.head, head);
    buf_free(&b);
    arena_free(&a);
}

static void test_rounding(void **state) {
    (void)state;
    check_plan("b0", 32, 1280, "16x1 24x2 40x2 80x3 112x3 192x4 320x1 ");
    check_plan("b2", 32, 1408, "16x2 24x3 48x3 88x4 120x4 208x5 352x2 ");
    check_plan("b7", 64, 2560, "32x4 48x7 80x7 160x10 224x10 384x13 640x4 ");
    check_plan("lite4", 32, 1280, "24x1 32x4 56x4 112x6 160x6 272x8 448x1 ");
    check_plan("edgetpu-l", 40, 1536, "32x2 40x3 56x6 112x7 176x6 232x3 ");
    check_plan("v2-b3", 40, 1536, "16x2 40x3 56x3 112x5 136x7 232x12 ");
}

static void test_compound(void **state) {
    (void)state;
    const Scaling base = {1, 1, 224};
    Scaling s = scaling_compound(&base, &(Compound){0, 1.2, 1.1, 1.15});
    assert_int_equal(s.resolution, 224);
    s = scaling_compound(&base, &(Compound){2, 1.2, 1.1, 1.15});
    assert_float_equal(s.depth, 1.44, 1e-9);
    assert_float_equal(s.width, 1.21, 1e-9);
    assert_int_equal(s.resolution, 296);
}

/* ---- networks -------------------------------------------------------------------------------- */

static Network recognise(Graph *g, Arena *a) {
    Diag d = {0};
    PassContext cx = {.target = target_find("generic"), .where = "net", .diag = &d};
    Program p = {.graph = g};
    const char *names[MAX_PIPELINE];
    int n = pipeline_canonical(true, names);
    assert_true(run_passes(&p, names, n, &cx, &(RunnerOptions){.verify_each = true}));
    Network net;
    network_recognise(g, a, &net);
    diag_free(&d);
    return net;
}

/* Large ones would take seconds. */
static void test_recognised(void **state) {
    (void)state;
    enum { LARGE = 8000000 };
    int seen = 0;
    for (size_t i = 0; i < member_count(); i++) {
        Arena a = {0};
        if (facts[i].parameters > LARGE)
            continue;
        Graph *g = build_member(member_at(i), WEIGHTS_RANDOM);
        Network net = recognise(g, &a);
        assert_ptr_equal(net.member, member_at(i));
        assert_int_equal(net.narrower, 0);
        graph_free(g);
        arena_free(&a);
        seen++;
    }
    assert_true(seen >= 7);
}

/* B0's blocks, some with other widths; which member that is, and how many are narrower. */
static const Member *with_widths(int64_t resolution, int64_t taken, int64_t added, int *narrower) {
    Arena a = {0};
    NetPlan plan;
    const Member *b0 = member_find("b0");
    net_plan(&plan, b0->family, &b0->scaling, &a);
    plan.resolution = resolution;
    plan.blocks.data[5].middle -= taken;
    plan.blocks.data[9].middle -= taken;
    plan.blocks.data[12].middle += added;
    Graph *g = network_build(&plan, "net",
                             &(BuildOptions){.classes = 10, .batch = 1, .weights = WEIGHTS_RANDOM});
    Network net = recognise(g, &a);
    *narrower = net.narrower;
    graph_free(g);
    arena_free(&a);
    return net.member;
}

static void test_pruned(void **state) {
    (void)state;
    int narrower;
    assert_ptr_equal(with_widths(64, 24, 0, &narrower), member_find("b0"));
    assert_int_equal(narrower, 2);
    assert_ptr_equal(with_widths(64, 0, 0, &narrower), member_find("b0"));
    assert_int_equal(narrower, 0);
    assert_null(with_widths(64, 24, 8, &narrower)); /* one is wider */
}

/* SiLU becomes x * sigmoid(1.702 x), which is no op of its own. */
static void use_quick_gelu(Graph *g) {
    float *factor;
    Tensor *t = tensor_new(&g->arena, DT_f32, (Shape){0});
    factor = tensor_mutable(t);
    *factor = 1.702F;
    Value *by = graph_constant(g, "by", t);
    FOR_EACH_NODE(g, n) {
        Value *x = n->op == OP_act_sigmoid ? node_in(n, 0) : NULL;
        const Node *user = x ? value_single_user(node_out(n)) : NULL;
        if (!user || user->op != OP_mul || (node_in(user, 0) != x && node_in(user, 1) != x))
            continue;
        Node *scaled = node_new(g, OP_mul, n, "scaled", (Value *[]){x, by}, 2);
        node_infer_or_die(scaled);
        node_set_operand(n, 0, node_out(scaled));
    }
}

static void test_other_activation(void **state) {
    (void)state;
    Arena a = {0};
    Graph *g = build_member(member_find("b0"), WEIGHTS_RANDOM);
    use_quick_gelu(g);
    Network net = recognise(g, &a);
    assert_ptr_equal(net.member, member_find("b0"));
    assert_null(net.variant);
    graph_free(g);
    arena_free(&a);
}

/* The name of B0, or what it is, where only its first blocks are there. */
static void check_cut(size_t blocks, const Member *member, const char *variant) {
    Arena a = {0};
    NetPlan plan;
    const Member *b0 = member_find("b0");
    net_plan(&plan, b0->family, &b0->scaling, &a);
    plan.blocks.len = blocks;
    plan.resolution = 64;
    Graph *g = network_build(&plan, "net",
                             &(BuildOptions){.classes = 10, .batch = 1, .weights = WEIGHTS_RANDOM});
    Network net = recognise(g, &a);
    assert_ptr_equal(net.member, member);
    if (variant)
        assert_string_equal(net.variant, variant);
    else
        assert_null(net.variant);
    graph_free(g);
    arena_free(&a);
}

static void test_cut(void **state) {
    (void)state;
    check_cut(16, member_find("b0"), NULL);
    check_cut(15, member_find("b0"), "the first 6 of 7 stages");
    check_cut(5, member_find("b0"), "the first 3 of 7 stages");
    check_cut(4, NULL, NULL); /* in the midst of a stage */
    check_cut(3, NULL, NULL); /* too little to go by */
}

/* The last planes are one pixel each, as large as their gates. */
static void test_one_pixel(void **state) {
    (void)state;
    int narrower;
    assert_ptr_equal(with_widths(32, 0, 0, &narrower), member_find("b0"));
    assert_int_equal(narrower, 0);
}

typedef struct Range {
    double least, most; /* root mean squares of values between layers */
    bool finite;
} Range;

static void note_range(void *ctx, const Node *n, Tensor *const *results) {
    Range *r = ctx;
    double squares = 0;
    int64_t count = shape_elems(&results[0]->shape);
    for (int64_t i = 0; i < count; i++)
        squares += tensor_f64(results[0], i) * tensor_f64(results[0], i);
    double size = sqrt(squares / (double)count);
    r->finite &= isfinite(size) != 0;
    if (n->op == OP_batch_norm || n->op == OP_add) {
        r->least = fmin(r->least, size);
        r->most = fmax(r->most, size);
    }
}

static Tensor *noise(Arena *a, const Shape *s, double size) {
    uint64_t random = 3;
    Tensor *t = tensor_new(a, DT_f32, *s);
    for (int64_t i = 0; i < shape_elems(s); i++)
        tensor_set_f64(t, i, size * ((double)(random_next(&random) >> 40) / (1 << 23) - 1));
    return t;
}

/* No layer loses its values or makes them much larger, and images aren't all alike to the
 * network. */
static void test_values(void **state) {
    (void)state;
    for (int k = 0; k < NKINDS; k++) {
        Graph *g = build_small(kinds[k], WEIGHTS_MEASURED);
        Arena a = {0};
        Diag d = {0};
        Range r = {INFINITY, 0, true};
        Tensor *in = noise(&a, &g->inputs.data[0]->type.shape, 2), *out;
        assert_true(graph_eval_with(g, &in, &out, &a, &d, note_range, &r));
        assert_true(r.finite);
        if (r.least < 0.02 || r.most > 50)
            fail_msg("%s: %g to %g", kinds[k], r.least, r.most);
        double apart = 0;
        for (int i = 0; i < 10; i++)
            apart = fmax(apart, fabs(tensor_f64(out, i) - tensor_f64(out, 10 + i)));
        assert_true(apart > 0.01);
        graph_free(g);
        arena_free(&a);
        diag_free(&d);
    }
}

/* ---- files ----------------------------------------------------------------------------------- */

/* The files that a graph becomes. */
static Outputs *written(const Graph *g, const OnnxWriteOptions *o, const char *path, Arena *a,
                        Diag *d) {
    Outputs *out = ARENA_NEW(a, Outputs);
    bool ok = onnx_write(g, path, o, out, d);
    assert_int_equal(ok, d->errors == 0);
    return out;
}

static void check_same(Graph *a, Graph *b) {
    GraphDifference difference;
    if (!graph_same(a, b, &(GraphDiffOptions){NULL, 0}, &difference)) {
        Buf t = {0};
        if (difference.a)
            node_print(&t, difference.a);
        buf_puts(&t, " and ");
        if (difference.b)
            node_print(&t, difference.b);
        fail_msg("%s", buf_str(&t));
    }
    for (size_t i = 0; i < a->constants.len; i++) {
        const Tensor *x = a->constants.data[i]->constant;
        if (a->constants.data[i]->uses && x->shape.rank == 4)
            assert_non_null(x->data);
    }
}

/* What is read back is the graph that was written, whatever the seed's weights. */
static void test_read_back(void **state) {
    (void)state;
    for (int k = 0; k < NKINDS; k++) {
        Arena a = {0};
        Diag d = {0};
        Graph *g = build_small(kinds[k], WEIGHTS_RANDOM);
        Outputs *out = written(g, &(OnnxWriteOptions){0}, "net.onnx", &a, &d);
        assert_int_equal(out->files.len, 1);
        const OutputFile *f = &out->files.data[0];
        Graph *back = onnx_import_bytes(f->data, f->size, "net.onnx", NULL, NULL, &d);
        assert_non_null(back);
        check_same(g, back);
        Outputs *again = written(g, &(OnnxWriteOptions){0}, "net.onnx", &a, &d);
        assert_int_equal(again->files.data[0].size, f->size);
        assert_memory_equal(again->files.data[0].data, f->data, f->size);
        outputs_free(again);
        outputs_free(out);
        graph_free(back);
        graph_free(g);
        arena_free(&a);
        diag_free(&d);
    }
}

/* Large tensors in a second file, and a batch whose size is given when it is read. */
static void test_external(void **state) {
    (void)state;
    char folder[] = "/tmp/effnetc-family-XXXXXX";
    Arena a = {0};
    Diag d = {0};
    assert_non_null(mkdtemp(folder));
    const char *path = arena_printf(&a, "%s/net.onnx", folder);
    Graph *g = build_small("b0", WEIGHTS_RANDOM);
    Outputs *out = written(g, &(OnnxWriteOptions){"n", true}, path, &a, &d);
    assert_int_equal(out->files.len, 2);
    assert_true(out->files.data[1].size > 4 * out->files.data[0].size);
    assert_true(outputs_commit(out, &d));
    DimOverride two = {"n", 2};
    Graph *back = onnx_import(path, &(ImportOptions){&two, 1}, &d);
    assert_non_null(back);
    check_same(g, back);
    graph_free(back);
    graph_free(g);
    unlink(path);
    unlink(arena_printf(&a, "%s.data", path));
    assert_int_equal(rmdir(folder), 0);
    outputs_free(out);
    arena_free(&a);
    diag_free(&d);
}

static Graph *parse(const char *text, Diag *d) {
    Graph *g = graph_parse(text, strlen(text), "test", NULL, d);
    assert_non_null(g);
    return g;
}

static void check_refused(const char *text, int code, size_t errors) {
    Arena a = {0};
    Diag d = {0};
    Graph *g = parse(text, &d);
    Outputs *out = written(g, &(OnnxWriteOptions){0}, "net.onnx", &a, &d);
    assert_int_equal(diag_exit_code(&d), code);
    assert_int_equal(d.errors, errors);
    assert_int_equal(out->files.len, 0);
    outputs_free(out);
    graph_free(g);
    arena_free(&a);
    diag_free(&d);
}

/* Each node that has no operator is named. */
static void test_refused(void **state) {
    (void)state;
    check_refused("graph @g(%x: f32[2,3]) -> f32[2,3] {\n"
                  "  %a = ceil %x : f32[2,3]\n"
                  "  %b = add %a, %x : f32[2,3]\n"
                  "  %y = floor %b : f32[2,3]\n"
                  "  return %y\n}\n",
                  EXIT_UNSUPPORTED, 2);
    check_refused("graph @g(%x: f32[1,2,4,4]) -> f32[1,2,4,4] {\n"
                  "  const @w : f32[2,2,1,1] = [1, 2, 3, 4]\n"
                  "  %y = conv2d %x, @w {act=relu} : f32[1,2,4,4]\n"
                  "  return %y\n}\n",
                  EXIT_UNSUPPORTED, 1);
    check_refused("graph @g(%x: f32[64]) -> f32[64] {\n"
                  "  const @w : f32[64] = xxh:0123456789abcdef\n"
                  "  %y = add %x, @w : f32[64]\n"
                  "  return %y\n}\n",
                  EXIT_BAD_MODEL, 1);
}

/* Outputs that are inputs, twice the same value, and names that are taken. */
static void test_output_names(void **state) {
    (void)state;
    Arena a = {0};
    Diag d = {0};
    Graph *g = parse("graph @g(%x: f32[2]) -> (f32[2], f32[2], f32[2]) {\n"
                     "  %b = relu %x : f32[2]\n"
                     "  %c = sigmoid %b : f32[2]\n"
                     "  return %c, %c, %x\n}\n",
                     &d);
    g->output_names.data[0] = "b";
    Outputs *out = written(g, &(OnnxWriteOptions){0}, "net.onnx", &a, &d);
    Graph *back = onnx_import_bytes(out->files.data[0].data, out->files.data[0].size, "net.onnx",
                                    NULL, NULL, &d);
    assert_non_null(back);
    assert_int_equal(back->outputs.len, 3);
    assert_string_equal(back->output_names.data[0], "b");
    Tensor *in = noise(&a, &g->inputs.data[0]->type.shape, 1), *was[3], *is[3];
    assert_true(graph_eval(g, &in, was, &a, &d) && graph_eval(back, &in, is, &a, &d));
    for (int i = 0; i < 3; i++)
        assert_memory_equal(was[i]->data, is[i]->data, 8);
    outputs_free(out);
    graph_free(back);
    graph_free(g);
    arena_free(&a);
    diag_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_compound),
        cmocka_unit_test(test_recognised),
        cmocka_unit_test(test_pruned),
        cmocka_unit_test(test_one_pixel),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_other_activation),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_read_back),
        cmocka_unit_test(test_external),
        cmocka_unit_test(test_output_names),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
