/* test_groups.c: kernels of convolutions with groups of several channels and known weights, against
 * the graph interpreter, for every target: groups of whole vectors, and groups side by side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/kernel_check.h"

typedef struct GroupCase {
    int64_t x[4], out, group, kh, kw, stride, pad[4];
} GroupCase;

static const GroupCase cases[] = {
    {{1, 64, 7, 9}, 32, 2, 3, 3, 1, {1, 1, 1, 1}},  {{2, 96, 5, 6}, 96, 3, 1, 1, 1, {0}},
    {{1, 48, 8, 7}, 24, 2, 3, 2, 2, {1, 0, 1, 1}},  /* 24 and 12 channels */
    {{1, 64, 6, 6}, 64, 16, 3, 3, 1, {1, 1, 1, 1}}, /* 4 and 4 */
    {{1, 30, 4, 5}, 20, 5, 1, 3, 1, {0, 1, 0, 1}},  /* vectors divide nothing */
    {{1, 96, 3, 3}, 96, 32, 3, 3, 1, {1, 1, 1, 1}},
};
enum { CASES = sizeof cases / sizeof *cases };

static Node *group_conv(Graph *g, const GroupCase *c, bool blocked) {
    Shape x = shape_of(4, c->x);
    Value *operands[] = {
        blocked ? blocked_input(g, x) : new_input(g, "x", x),
        random_constant(g, "w", SHAPE(c->out, c->x[1] / c->group, c->kh, c->kw), 1),
        random_constant(g, "b", SHAPE(c->out), 1)};
    Node *n = node_new(g, OP_conv2d, NULL, "y", operands, 3);
    *conv_attrs(n) = (ConvAttrs){.kernel = {{c->kh, c->kw}},
                                 .stride = {{c->stride, c->stride}},
                                 .dilation = {{1, 1}},
                                 .pad = {{c->pad[0], c->pad[1], c->pad[2], c->pad[3]}},
                                 .group = c->group};
    return n;
}

static Graph *groups_graph(void) {
    Graph *g = graph_new("groups");
    for (int i = 0; i < CASES; i++)
        finish(g, group_conv(g, &cases[i], i % 2));
    return g;
}

static void test_groups(void **state) {
    (void)state;
    check_all(groups_graph, 0, 32);
}

/* With what is fused into it: an activation, a residual; and with a halo for the next one. */
static Graph *fused_graph(void) {
    Graph *g = graph_new("fused");
    for (int i = 0; i < 2; i++) {
        const GroupCase *c = &cases[i ? 3 : 1];
        Node *n = group_conv(g, c, true);
        node_infer_or_die(n);
        Value *x = node_in(n, 0), *y = node_out(n);
        n = node_new(g, OP_act_silu, NULL, "act", &y, 1);
        node_infer_or_die(n);
        n = node_new(g, OP_add, NULL, "sum", (Value *[]){node_out(n), x}, 2);
        node_infer_or_die(n);
        Value *operands[] = {node_out(n), random_constant(g, "w", SHAPE(8, c->out, 3, 3), 1)};
        n = node_new(g, OP_conv2d, NULL, "next", operands, 2);
        conv_attrs(n)->kernel = (Dim2){{3, 3}};
        conv_attrs(n)->pad = (Dim4){{1, 1, 1, 1}};
        finish(g, n);
    }
    return g;
}

static void test_fused(void **state) {
    (void)state;
    for (size_t i = 0; i < target_count(); i++) {
        Fixture f = {.p.graph = fused_graph(), .level = 2, .magnitude = 64, .error = 2e-6};
        f.options.no_winograd = true;
        check_fixture(&f, target_at(i)->name, NULL, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_fused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
