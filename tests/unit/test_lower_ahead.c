/* test_lower_ahead.c: the kernel of a depthwise convolution brings the weights of the gate that
 * reads its means, and those that the gate scales: each of their cache lines once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "passes/lower.h"

#include <string.h>

enum { CHANNELS = 256, SIDE = 14, SQUEEZED = 32, OUTPUTS = 64 };

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

static Node *new_conv(Graph *g, Op op, Value *x, const char *name, Shape w, int64_t pad) {
    Value *operands[] = {x, numbers(g, name, w), NULL};
    Node *n = node_new(g, op, NULL, "y", operands, 3);
    *conv_attrs(n) = (ConvAttrs){.kernel = {{w.dim[2], w.dim[3]}},
                                 .stride = {{1, 1}},
                                 .dilation = {{1, 1}},
                                 .pad = {{pad, pad, pad, pad}},
                                 .group = 1};
    return n;
}

/* What reads the planes' means: nothing, a gate, or a gate that scales the weights of the next
 * convolution. */
typedef enum Behind { NOTHING, GATE, PROJECTION } Behind;

static Graph *planes(Behind behind) {
    Graph *g = graph_new("planes");
    Value *x = graph_input(g, "x", type_plain(DT_f32, SHAPE(1, CHANNELS, SIDE, SIDE)));
    Node *n = new_conv(g, OP_dwconv2d, x, "w", SHAPE(CHANNELS, 1, 3, 3), 1);
    Value *mean = node_add_result(g, n, 1, "mean", (Type){0});
    node_infer_or_die(n);
    Value *z = behind == NOTHING ? mean : squeeze_excite(g, mean);
    if (behind == PROJECTION) {
        Node *p = new_conv(g, OP_conv2d, node_out(n), "p", SHAPE(OUTPUTS, CHANNELS, 1, 1), 0);
        node_set_operand(p, node_slot(p, "scale"), z);
        node_infer_or_die(p);
        z = node_out(p);
    }
    graph_output(g, node_out(n), "y");
    graph_output(g, z, "z");
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

static void check_weights(const char *target, Behind behind) {
    Graph *g = planes(behind);
    Module *m = lowered(g, target);
    const Inst *dw = find_call(m, "dw", 0), *squeeze = find_call(m, "dense", 0),
               *excite = find_call(m, "dense", 1);
    const Arg *args = dw->u.call.args;
    int n = dw->u.call.nargs;
    assert_true(is_ahead(dw));
    int64_t first = place(m, &squeeze->u.call.args[1]);
    int64_t end = place(m, &excite->u.call.args[1]) + (SQUEEZED + 1) * CHANNELS * 4;
    if (behind == PROJECTION)
        end = place(m, &find_call(m, "scale_weights", 0)->u.call.args[0]) +
              (CHANNELS + 1) * OUTPUTS * 4;
    int64_t rows = CHANNELS / target_lanes(m->target) * SIDE, line = CACHE_LINE * 4;
    int64_t from = place(m, &args[n - 2]), lines = args[n - 1].integer.value;
    assert_in_range(first - from, 0, 2 * line); /* a table for the means may lie between */
    assert_in_range(from + rows * lines * line, end - 2 * line, end + rows * line);
    module_free(m);
    graph_free(g);
}

static void planes_bring_what_reads_their_means(void **state) {
    (void)state;
    static const char *const targets[] = {"x86-64-v4", "x86-64-v3", "aarch64"};
    for (int i = 0; i < 3; i++) {
        check_weights(targets[i], GATE);
        check_weights(targets[i], PROJECTION);
    }
}

static void nothing_else_is_brought(void **state) {
    (void)state;
    Graph *alone = planes(NOTHING), *generic = planes(GATE);
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
        cmocka_unit_test(planes_bring_what_reads_their_means),
        cmocka_unit_test(nothing_else_is_brought),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
