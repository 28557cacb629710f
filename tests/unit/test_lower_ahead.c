/* test_lower_ahead.c: the kernel of a depthwise convolution brings the weights of the gate that
 * reads its means: each of their cache lines once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "passes/lower.h"

#include <string.h>

enum { CHANNELS = 256, SIDE = 7, SQUEEZED = 32 };

static Value *numbers(Graph *g, const char *name, Shape shape) {
    Tensor *t = tensor_new(&g->arena, DT_f32, shape);
    for (int64_t i = 0; i < shape_elems(&shape); i++)
        tensor_set_f64(t, i, (double)i + name[0]);
    return graph_constant(g, name, t);
}

static Value *squeeze_excite(Graph *g, Value *x) {
    Value *operands[] = {
        x, numbers(g, "r", SHAPE(SQUEEZED, CHANNELS, 1, 1)), numbers(g, "s", SHAPE(SQUEEZED)),
        numbers(g, "e", SHAPE(CHANNELS, SQUEEZED, 1, 1)), numbers(g, "f", SHAPE(CHANNELS))};
    Node *n = node_new(g, OP_se, NULL, "gate", operands, 5);
    *se_attrs(n) = (SeAttrs){.act = ACT_silu, .gate = ACT_sigmoid};
    node_infer_or_die(n);
    return node_out(n);
}

/* Planes, and a gate of their means if `gated`, else the means. */
static Graph *planes(bool gated) {
    Graph *g = graph_new("planes");
    Value *x = graph_input(g, "x", type_plain(DT_f32, SHAPE(1, CHANNELS, SIDE, SIDE)));
    Value *operands[] = {x, numbers(g, "w", SHAPE(CHANNELS, 1, 3, 3)), NULL};
    Node *n = node_new(g, OP_dwconv2d, NULL, "y", operands, 3);
    *conv_attrs(n) = (ConvAttrs){.kernel = {{3, 3}},
                                 .stride = {{1, 1}},
                                 .dilation = {{1, 1}},
                                 .pad = {{1, 1, 1, 1}},
                                 .group = 1};
    Value *mean = node_add_result(g, n, 1, "mean", (Type){0});
    node_infer_or_die(n);
    graph_output(g, node_out(n), "y");
    graph_output(g, gated ? squeeze_excite(g, mean) : mean, "z");
    return g;
}

static Module *lowered(Graph *g, const char *target) {
    static const char *const names[] = {"layout", "add-scratch", "plan-memory", "lower"};
    Diag d = {0};
    PassContext cx = {.target = target_find(target), .where = "test", .diag = &d};
    Program p = {.graph = g};
    assert_true(run_passes(&p, names, 4, &cx, &(RunnerOptions){.verify_each = true}));
    diag_free(&d);
    return p.module;
}

/* The call number *i, from 0, of a kernel whose name begins with `stem`; in parts of a step, too.
 */
static const Inst *call_in(const Block *b, const char *stem, int *i) {
    for (const Inst *in = b->first; in; in = in->next) {
        const Inst *found = in->op == INST_par ? call_in(&in->u.loop.body, stem, i) : NULL;
        if (in->op == INST_call && !strncmp(in->u.call.callee->name, stem, strlen(stem)))
            found = (*i)-- == 0 ? in : NULL;
        if (found)
            return found;
    }
    return NULL;
}

static const Inst *find_call(const Module *m, const char *stem, int i) {
    for (size_t s = 0; s < m->steps.len; s++) {
        const Inst *found = call_in(&m->steps.data[s]->body, stem, &i);
        if (found)
            return found;
    }
    fail_msg("no call of %s", stem);
    return NULL;
}

static bool is_ahead(const Inst *call) {
    return strstr(call->u.call.callee->name, "_ahead") != NULL;
}

/* In the packed weights, in bytes. */
static int64_t place(const Module *m, const Arg *a) {
    const Buffer *b = m->buffers.data[a->addr.base->index];
    assert_int_equal(b->kind, BUF_WEIGHTS);
    return b->offset + a->addr.offset * (int64_t)sizeof(float);
}

static void check_weights(const char *target) {
    Graph *g = planes(true);
    Module *m = lowered(g, target);
    const Inst *dw = find_call(m, "dw", 0), *excite = find_call(m, "dense", 1);
    const Arg *args = dw->u.call.args;
    int n = dw->u.call.nargs;
    assert_true(is_ahead(dw));
    int64_t first = place(m, &find_call(m, "dense", 0)->u.call.args[1]);
    int64_t end = place(m, &excite->u.call.args[1]) + (SQUEEZED + 1) * CHANNELS * 4;
    int64_t rows = CHANNELS / target_lanes(m->target) * SIDE, line = CACHE_LINE * 4;
    int64_t from = place(m, &args[n - 2]), lines = args[n - 1].integer.value;
    assert_in_range(first - from, 0, 2 * line); /* a table for the means may lie between */
    assert_in_range(from + rows * lines * line, end, end + rows * line);
    module_free(m);
    graph_free(g);
}

static void planes_bring_a_gates_weights(void **state) {
    (void)state;
    check_weights("x86-64-v4");
    check_weights("x86-64-v3");
    check_weights("aarch64");
}

static void nothing_else_is_brought(void **state) {
    (void)state;
    Graph *alone = planes(false), *generic = planes(true);
    Module *a = lowered(alone, "x86-64-v4"), *b = lowered(generic, "generic");
    assert_false(is_ahead(find_call(a, "dw", 0)));
    assert_false(is_ahead(find_call(b, "dw", 0)));
    module_free(a);
    module_free(b);
    graph_free(alone);
    graph_free(generic);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planes_bring_a_gates_weights),
        cmocka_unit_test(nothing_else_is_brought),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
