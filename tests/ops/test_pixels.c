/* test_pixels.c: bytes and floats of pictures to planes, against the graph interpreter, for every
 * target. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/graph_text.h"
#include "tests/lib/kernel_check.h"

/* Bytes of an f32 input that is made larger: a cast truncates and saturates. */
static Value *bytes(Graph *g, Shape s) {
    Tensor *t = tensor_new(&g->arena, DT_f32, (Shape){0});
    tensor_set_f64(t, 0, 260);
    Value *large = graph_constant(g, graph_unique_name(g, "large"), t);
    Node *n = node_new(g, OP_mul, NULL, "many", (Value *[]){new_input(g, "x", s), large}, 2);
    node_infer_or_die(n);
    return as_type(g, node_out(n), DT_u8);
}

static Value *shift(Graph *g, int64_t channels) {
    Tensor *t = tensor_new(&g->arena, DT_f32, SHAPE(channels));
    for (int64_t c = 0; c < channels; c++)
        tensor_set_f64(t, c, -123.675 + 7 * (double)c);
    return graph_constant(g, graph_unique_name(g, "shift"), t);
}

static void add(Graph *g, Value *x, bool shifted, bool padded) {
    Value *by = shifted ? shift(g, x->type.shape.dim[3]) : NULL;
    Node *n = node_new(g, OP_pixels, NULL, "y", (Value *[]){x, by}, 2);
    node_infer_or_die(n);
    node_out(n)->type.layout.block = 1;
    for (int i = 0; padded && i < 4; i++)
        node_out(n)->type.layout.halo[i] = i + 1;
    Node *plain = node_new(g, OP_reorder, NULL, "plain", (Value *[]){node_out(n)}, 1);
    finish(g, plain);
}

static Graph *pixels_graph(void) {
    static const int64_t sides[][2] = {{1, 1}, {1, 17}, {5, 3}, {16, 33}};
    Graph *g = graph_new("pixels");
    for (int64_t i = 0; i < 16; i++) {
        Shape s = SHAPE(1 + i % 3, sides[i % 4][0], sides[i % 4][1], 1 + i % 5);
        add(g, i % 3 ? bytes(g, s) : new_input(g, "x", s), i % 2, i / 2 % 2);
    }
    add(g, bytes(g, SHAPE(2, 0, 3, 3)), true, false);
    return g;
}

static void test_pixels(void **state) {
    (void)state;
    check_all(pixels_graph, 0, 0);
}

static void test_values(void **state) {
    (void)state;
    assert_true(graph_values_match("graph @t() -> (f32[1,3,1,2], f32[1,3,1,2]) {\n"
                                   "  const @x : u8[1,1,2,3] = [0, 1, 2, 253, 254, 255]\n"
                                   "  const @s : f32[3] = [0, -1, 0.5]\n"
                                   "  const @want : f32[1,3,1,2] = [0, 253, 0, 253, 2.5, 255.5]\n"
                                   "  %y = pixels @x, @s : f32[1,3,1,2]\n"
                                   "  return %y, @want\n}\n",
                                   0));
    assert_true(parse_fails("graph @t(%x: i8[1,1,2,3]) -> f32[1,3,1,2] {\n"
                            "  %y = pixels %x : f32[1,3,1,2]\n  return %y\n}\n",
                            ":2:8", "u8[N,H,W,C]"));
    assert_true(
        parse_fails("graph @t(%x: u8[1,1,2,3]) -> f32[1,3,1,2] {\n  const @s : f32[2] = [0, 1]\n"
                    "  %y = pixels %x, @s : f32[1,3,1,2]\n  return %y\n}\n",
                    ":3:8", "3 channels"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
