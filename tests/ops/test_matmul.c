/* test_matmul.c: products of matrices that are known at run time, and the convolutions that become
 * such products, against the graph interpreter, for every target. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/kernel_check.h"

/* ---- matmul ---------------------------------------------------------------------------------- */

typedef struct Product {
    Shape a, b;
    bool constant; /* b is */
} Product;

/* Tails of rows and columns for every width of vector; each kind of broadcasting, none. */
static const Product products[] = {
    {{2, {1, 1}}, {2, {1, 1}}, false},
    {{2, {4, 7}}, {2, {7, 32}}, false},
    {{2, {7, 3}}, {2, {3, 37}}, false},
    {{2, {9, 16}}, {2, {16, 63}}, true},
    {{3, {3, 5, 6}}, {3, {3, 6, 17}}, false},
    {{2, {5, 4}}, {3, {2, 4, 9}}, false},
    {{4, {2, 1, 3, 4}}, {3, {5, 4, 18}}, false},
    {{4, {1, 3, 2, 2}}, {4, {2, 1, 2, 5}}, true},
    {{6, {2, 1, 2, 1, 3, 2}}, {6, {1, 2, 1, 2, 2, 3}}, false},
    {{3, {0, 2, 3}}, {2, {3, 4}}, false},
    {{2, {2, 0}}, {2, {0, 19}}, false},
};

static Graph *products_graph(void) {
    Graph *g = graph_new("products");
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        const Product *p = &products[i];
        Value *a = new_input(g, "a", p->a);
        Value *b = p->constant ? random_constant(g, "b", p->b, 1) : new_input(g, "b", p->b);
        finish(g, node_new(g, OP_matmul, NULL, "y", (Value *[]){a, b}, 2));
    }
    return g;
}

static void test_products(void **state) {
    (void)state;
    check_all(products_graph, NORMAL, 16);
}

/* ---- convolutions that become products ------------------------------------------------------- */

typedef struct ConvCase {
    Shape x, w;
    int64_t sh, sw, dh, dw, pad[4], group;
    bool constant; /* the weights are */
    bool bias;     /* there is one, at run time */
} ConvCase;

static const ConvCase conv_cases[] = {
    {{4, {1, 3, 5, 6}}, {4, {4, 3, 1, 1}}, 1, 1, 1, 1, {0}, 1, false, false},
    {{4, {2, 3, 7, 5}}, {4, {5, 3, 3, 2}}, 2, 1, 1, 2, {1, 0, 2, 1}, 1, false, true},
    {{4, {1, 6, 9, 9}}, {4, {4, 3, 3, 3}}, 1, 1, 1, 1, {1, 1, 1, 1}, 2, true, false},
    {{4, {1, 12, 6, 7}}, {4, {24, 1, 3, 1}}, 1, 2, 1, 1, {1, 0, 0, 0}, 12, true, true},
    {{4, {2, 5, 4, 4}}, {4, {5, 1, 3, 3}}, 1, 1, 1, 1, {1, 1, 1, 1}, 5, false, false},
    {{4, {1, 3, 4, 4}}, {4, {2, 3, 3, 3}}, 1, 1, 1, 1, {0}, 1, true, true},
};

static Graph *convs_graph(void) {
    Graph *g = graph_new("convs");
    for (size_t i = 0; i < sizeof conv_cases / sizeof *conv_cases; i++) {
        const ConvCase *c = &conv_cases[i];
        Value *x = new_input(g, "x", c->x);
        Value *w = c->constant ? random_constant(g, "w", c->w, 1) : new_input(g, "w", c->w);
        Value *b = c->bias ? new_input(g, "b", SHAPE(c->w.dim[0])) : NULL;
        Node *n = node_new(g, OP_conv2d, NULL, "y", (Value *[]){x, w, b}, 3);
        *conv_attrs(n) = (ConvAttrs){.kernel = {{c->w.dim[2], c->w.dim[3]}},
                                     .stride = {{c->sh, c->sw}},
                                     .dilation = {{c->dh, c->dw}},
                                     .pad = {{c->pad[0], c->pad[1], c->pad[2], c->pad[3]}},
                                     .group = c->group};
        finish(g, n);
    }
    return g;
}

static void test_convolutions(void **state) {
    (void)state;
    check_all(convs_graph, 0, 32);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_convolutions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
