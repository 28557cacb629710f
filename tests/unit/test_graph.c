/* Unit tests of ir/graph.c, graph_node.c, graph_ops.c, graph_walk.c: building and changing
 * graphs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ir/graph.h"
#include "tests/lib/graph_text.h"

static Value *input(Graph *g, const char *name) {
    return graph_input(g, name, type_plain(DT_f32, SHAPE(1, 4, 2, 2)));
}

static Node *unary(Graph *g, Op op, Value *x, const char *name) {
    Node *n = node_new(g, op, NULL, name, &x, 1);
    node_infer_or_die(n);
    return n;
}

static Node *find_node(Graph *g, const char *name) {
    Value *v = map_get(&g->names, name);
    return v ? v->def : NULL;
}

/* ---- tables --------------------------------------------------------------------------------- */

static void op_names_read_back(void **state) {
    (void)state;
    for (int i = 0; i < OP_COUNT; i++) {
        const char *name = op_info((Op)i)->name;
        Op back = OP_COUNT;
        assert_true(op_parse(name, strlen(name), &back));
        assert_int_equal(back, i);
        assert_in_range(op_operand_count((Op)i), 1, MAX_OPERANDS);
        assert_in_range(op_min_results((Op)i), 1, op_max_results((Op)i));
        assert_in_range(op_max_results((Op)i), 1, MAX_RESULTS);
    }
    Op op;
    assert_false(op_parse("conv", 4, &op));
    assert_false(op_parse("act_silu", 8, &op));
}

static void activations_are_ops(void **state) {
    (void)state;
    for (int a = ACT_none + 1; a < ACT_COUNT; a++) {
        Act back = ACT_none;
        Op op = op_from_act((Act)a);
        assert_string_equal(op_info(op)->name, act_name((Act)a));
        assert_true(op_is_act(op, &back));
        assert_int_equal(back, a);
    }
    Act act;
    assert_false(op_is_act(OP_add, &act));
    assert_int_equal(op_from_act(ACT_none), OP_identity);
}

static void check_operand(Op op, int slot, const char *name, OperandKind kind) {
    OperandInfo o = op_operand(op, slot);
    assert_string_equal(o.name, name);
    assert_int_equal(o.kind, kind);
}

static void operands_of_ops(void **state) {
    (void)state;
    assert_int_equal(op_operand_count(OP_conv2d), 6);
    check_operand(OP_conv2d, 0, "x", OPERAND_REQUIRED);
    check_operand(OP_conv2d, 2, "b", OPERAND_OPTIONAL);
    check_operand(OP_conv2d, 3, "scale", OPERAND_NAMED);
    check_operand(OP_conv2d, 4, "residual", OPERAND_NAMED);
    assert_int_equal(op_max_results(OP_conv2d), 2);
    assert_true(op_is_variadic(OP_concat) && !op_is_variadic(OP_add));
    assert_int_equal(op_operand_count(OP_concat), 1);
    check_operand(OP_concat, 0, "x", OPERAND_VARIADIC);
    check_operand(OP_concat, 7, "x", OPERAND_VARIADIC);
}

static void attributes_have_defaults(void **state) {
    (void)state;
    Graph *g = graph_new("t");
    Node *n = node_new(g, OP_conv2d, NULL, "y", NULL, 0);
    const ConvAttrs *a = conv_attrs(n);
    assert_int_equal(a->kernel.v[0] * a->kernel.v[1] * a->stride.v[0] * a->dilation.v[1], 1);
    assert_int_equal(a->group, 1);
    assert_int_equal(a->act, ACT_none);
    Node *clip = node_new(g, OP_clip, NULL, "c", NULL, 0);
    assert_true(clip_attrs(clip)->min == -INFINITY && clip_attrs(clip)->max == INFINITY);
    assert_null(node_new(g, OP_add, NULL, "a", NULL, 0)->attrs);
    graph_free(g);
}

/* ---- names ---------------------------------------------------------------------------------- */

static void names_are_unique(void **state) {
    (void)state;
    Graph *g = graph_new("t");
    assert_string_equal(input(g, "x")->name, "x");
    assert_string_equal(input(g, "x")->name, "x.1");
    assert_string_equal(input(g, "x")->name, "x.2");
    assert_string_equal(input(g, "x.1")->name, "x.1.1");
    assert_string_equal(input(g, "")->name, "");
    assert_string_equal(input(g, "")->name, ".1");
    for (int i = 0; i < 1000; i++)
        assert_int_equal(strncmp(input(g, "x")->name, "x.", 2), 0);
    assert_int_equal(g->inputs.len, 1006);
    for (size_t i = 0; i < g->inputs.len; i++)
        assert_ptr_equal(map_get(&g->names, g->inputs.data[i]->name), g->inputs.data[i]);
    graph_free(g);
}

/* Names depend on what lives, not on what lived. */
static void names_of_the_dead_are_free(void **state) {
    (void)state;
    Graph *g = graph_new("t");
    Value *x = input(g, "x");
    Node *a = unary(g, OP_act_relu, x, "a"), *b = unary(g, OP_act_relu, x, "a");
    assert_string_equal(node_out(b)->name, "a.1");
    node_erase(g, b);
    assert_null(map_get(&g->names, "a.1"));
    assert_string_equal(node_out(unary(g, OP_act_relu, x, "a"))->name, "a.1");
    node_erase(g, a);
    assert_string_equal(node_out(unary(g, OP_act_relu, x, "a"))->name, "a");
    graph_free(g);
}

/* ---- uses ----------------------------------------------------------------------------------- */

static void uses_are_counted(void **state) {
    (void)state;
    Graph *g = graph_new("t");
    Value *x = input(g, "x");
    assert_int_equal(value_use_count(x), 0);
    Node *a = node_new(g, OP_add, NULL, "a", (Value *[]){x, x}, 2);
    assert_int_equal(value_use_count(x), 2);
    assert_null(value_single_user(x)); /* one user, two uses */
    node_infer_or_die(a);
    assert_null(value_single_user(node_out(a)));
    graph_output(g, node_out(a), "out");
    assert_int_equal(value_use_count(node_out(a)), 1);
    assert_true(value_is_graph_output(node_out(a)));
    assert_null(value_single_user(node_out(a)));
    node_set_operand(a, 1, NULL);
    assert_int_equal(value_use_count(x), 1);
    assert_ptr_equal(value_single_user(x), a);
    assert_false(value_is_graph_output(x));
    graph_free(g);
}

static void replacing_moves_all_uses(void **state) {
    (void)state;
    Graph *g = graph_new("t");
    Value *x = input(g, "x"), *y = input(g, "y");
    Node *a = node_new(g, OP_add, NULL, "a", (Value *[]){x, x}, 2);
    node_new(g, OP_mul, NULL, "m", (Value *[]){y, x}, 2);
    graph_output(g, x, "out");
    value_replace(x, y);
    assert_int_equal(value_use_count(x), 0);
    assert_int_equal(value_use_count(y), 5);
    assert_ptr_equal(node_in(a, 0), y);
    assert_ptr_equal(g->outputs.data[0]->value, y);
    for (Use *u = y->uses; u; u = u->next) {
        assert_ptr_equal(*u->link, u);
        assert_ptr_equal(u->value, y);
    }
    graph_free(g);
}

static void outputs_can_change(void **state) {
    (void)state;
    Graph *g = graph_new("t");
    Value *x = input(g, "x"), *y = input(g, "y");
    graph_output(g, x, "first");
    graph_output(g, x, "second");
    graph_set_output(g, 1, y);
    assert_ptr_equal(g->outputs.data[0]->value, x);
    assert_ptr_equal(g->outputs.data[1]->value, y);
    assert_string_equal(g->output_names.data[1], "second");
    assert_int_equal(value_use_count(x), 1);
    assert_true(value_is_graph_output(y));
    graph_free(g);
}

static void operands_fill_all_slots(void **state) {
    (void)state;
    Graph *g = graph_new("t");
    Value *x = input(g, "x");
    Value *w = graph_constant(g, "w", tensor_new(&g->arena, DT_f32, SHAPE(3, 4, 1, 1)));
    Node *n = node_new(g, OP_conv2d, NULL, "y", (Value *[]){x, w}, 2);
    assert_int_equal(n->noperands, 6);
    assert_null(node_in(n, 2));
    assert_null(node_in(n, 99));
    assert_int_equal(node_slot(n, "residual"), 4);
    node_infer_or_die(n);
    Shape want = SHAPE(1, 3, 2, 2);
    assert_true(shape_equal(&node_out(n)->type.shape, &want));
    node_set_operand(n, node_slot(n, "residual"), node_out(unary(g, OP_act_relu, x, "r")));
    Buf why = {0};
    assert_false(node_infer(n, &why)); /* 4 channels, not 3 */
    assert_non_null(strstr(buf_str(&why), "residual"));
    buf_free(&why);
    Node *c = node_new(g, OP_concat, NULL, "c", (Value *[]){x, x, x}, 3);
    assert_int_equal(c->noperands, 3);
    graph_free(g);
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static void check_order(const Graph *g, const char *want) {
    Buf b = {0};
    const Node *prev = NULL;
    FOR_EACH_NODE(g, n) {
        assert_ptr_equal(n->prev, prev);
        buf_puts(&b, node_out(n)->name);
        prev = n;
    }
    assert_ptr_equal(g->last, prev);
    assert_string_equal(buf_str(&b), want);
    buf_free(&b);
}

static void nodes_move(void **state) {
    (void)state;
    Graph *g = graph_new("t");
    Value *x = input(g, "x");
    Node *a = unary(g, OP_act_relu, x, "a"), *b = unary(g, OP_act_relu, x, "b");
    Node *c = node_new(g, OP_act_relu, b, "c", &x, 1);
    check_order(g, "acb");
    node_move_before(g, b, a);
    check_order(g, "bac");
    node_move_before(g, b, NULL);
    check_order(g, "acb");
    node_move_before(g, c, c);
    node_move_before(g, a, c);
    check_order(g, "acb");
    node_erase(g, a);
    check_order(g, "cb");
    node_erase(g, b);
    check_order(g, "c");
    node_erase(g, c);
    check_order(g, "");
    assert_int_equal(value_use_count(x), 0);
    graph_free(g);
}

static void inference_keeps_placement(void **state) {
    (void)state;
    Graph *g = graph_new("t");
    Value *x = input(g, "x");
    Node *n = unary(g, OP_act_relu, x, "y");
    node_out(n)->type.layout.block = 8;
    node_out(n)->arena_offset = 64;
    node_infer_or_die(n);
    assert_int_equal(node_out(n)->type.layout.block, 8);
    assert_int_equal(node_out(n)->arena_offset, 64);
    x->type.shape.dim[1] = 5; /* another shape: the old placement is void */
    node_infer_or_die(n);
    assert_int_equal(node_out(n)->type.layout.block, 0);
    assert_int_equal(node_out(n)->arena_offset, -1);
    graph_free(g);
}

static void scratch_results_keep_their_type(void **state) {
    (void)state;
    Graph *g = graph_new("t");
    Value *x = input(g, "x");
    Value *w = graph_constant(g, "w", tensor_new(&g->arena, DT_f32, SHAPE(3, 4, 1, 1)));
    Node *n = node_new(g, OP_conv2d, NULL, "y", (Value *[]){x, w}, 2);
    node_infer_or_die(n);
    Value *s = node_add_result(g, n, 1, "y.scratch", type_plain(DT_f32, SHAPE(100)));
    assert_int_equal(n->nresults, 2);
    assert_int_equal(s->result, 1);
    node_infer_or_die(n);
    assert_int_equal(s->type.shape.dim[0], 100);
    graph_free(g);
}

static void dead_code_goes(void **state) {
    (void)state;
    Graph *g = graph_of("graph @g(%x: f32[2]) -> f32[2] {\n"
                        "  const @used : f32[2] = [1, 2]\n"
                        "  const @dead : f32[2] = [1, 2]\n"
                        "  const @chained : f32[2] = [1, 2]\n"
                        "  %a = add %x, @chained : f32[2]\n"
                        "  %b = relu %a : f32[2]\n"
                        "  %y = add %x, @used : f32[2]\n"
                        "  return %y\n}\n");
    assert_non_null(g);
    assert_int_equal(graph_dce(g), 2);
    assert_int_equal(graph_node_count(g), 1);
    assert_int_equal(g->constants.len, 1);
    assert_null(map_get(&g->names, "dead"));
    assert_null(map_get(&g->names, "b"));
    assert_int_equal(g->inputs.len, 1);
    assert_int_equal(graph_dce(g), 0);
    graph_free(g);
}

/* ---- facts ---------------------------------------------------------------------------------- */

static void origins_join(void **state) {
    (void)state;
    Graph *g = graph_new("t");
    assert_string_equal(origin_join(g, "a", "b"), "a+b");
    assert_string_equal(origin_join(g, "a+b", "b+c+a"), "a+b+c");
    assert_string_equal(origin_join(g, "", "b"), "b");
    assert_string_equal(origin_join(g, "a", ""), "a");
    assert_string_equal(origin_join(g, "", ""), "");
    assert_string_equal(origin_join(g, "ab", "a"), "ab+a");
    assert_string_equal(origin_join(g, "a+...", "b"), "a+...");
    assert_string_equal(origin_join(g, "b", "a+..."), "b+a+...");
    graph_free(g);
}

static void names_made_from_names_end(void **state) {
    (void)state;
    Graph *g = graph_new("g");
    const char *name = "w";
    for (int i = 0; i < 1000; i++) {
        name = graph_unique_name(g, name);
        graph_constant(g, name, tensor_new(&g->arena, DT_f32, SHAPE(1)));
    }
    assert_in_range(strlen(name), 100, 300);
    assert_int_equal(g->names.len, 1000);
    graph_free(g);
}

static void constants_grow_within_bounds(void **state) {
    (void)state;
    Graph *g = graph_new("g");
    assert_true(graph_may_grow(g, 1 << 20)); /* a little always */
    assert_false(graph_may_grow(g, INT64_C(1) << 32));
    g->constant_bytes = 1 << 26;
    assert_true(graph_may_grow(g, INT64_C(8) << 26));
    assert_false(graph_may_grow(g, INT64_C(10) << 26));
    g->constant_bytes += INT64_C(8) << 26; /* as a pass counts what it makes */
    g->folded_bytes += INT64_C(8) << 26;
    assert_true(graph_may_grow(g, 1 << 20));
    assert_false(graph_may_grow(g, INT64_C(2) << 26));
    graph_free(g);
}

/* Whichever side grows, the list stays within bounds and says that it isn't all. */
static void long_origins_end(void **state) {
    (void)state;
    Graph *g = graph_new("g");
    const char *front = "", *back = "", *end;
    for (int i = 0; i < 300; i++) { /* few and long: each join compares all of them */
        const char *name = arena_printf(&g->arena, "a_node_of_long_name_%d", i);
        front = origin_join(g, front, name);
        back = origin_join(g, name, back);
    }
    assert_in_range(strlen(front), 4000, 4200);
    assert_in_range(strlen(back), 4000, 4200);
    end = front + strlen(front) - 4;
    assert_string_equal(end, "+...");
    assert_true(strncmp(back, "a_node_of_long_name_299+a_node_of_long_name_298+", 48) == 0);
    char *huge = arena_alloc(&g->arena, 100001);
    memset(huge, 'x', 100000);
    assert_string_equal(origin_join(g, "a", huge), "a+...");
    assert_in_range(g->arena.total, 1, 100 << 20);
    graph_free(g);
}

static void multiply_accumulates(void **state) {
    (void)state;
    Graph *g = graph_of("graph @g(%x: f32[2,4,5,7], %k: f32[6,2,3,3], %d: f32[4,1,3,3], %m: "
                        "f32[10,4], %r: f32[2,4,1,1],"
                        " %s: f32[2], %e: f32[4,2,1,1], %t: f32[4]) -> () {\n"
                        "  %c = conv2d %x, %k {kernel=3x3, pad=1x1x1x1, group=2} : f32[2,6,5,7]\n"
                        "  %w = dwconv2d %x, %d {kernel=3x3, stride=2x2} : f32[2,4,2,3]\n"
                        "  %g = se %x, %r, %s, %e, %t : f32[2,4,1,1]\n"
                        "  %y = dense %g, %m : f32[2,10]\n"
                        "  %z = relu %y : f32[2,10]\n"
                        "  return\n}\n");
    assert_non_null(g);
    assert_int_equal(node_macs(find_node(g, "c")), 2 * 6 * 35 * 2 * 9);
    assert_int_equal(node_macs(find_node(g, "w")), 2 * 4 * 6 * 9);
    assert_int_equal(node_macs(find_node(g, "g")), 2 * (8 + 8));
    assert_int_equal(node_macs(find_node(g, "y")), 2 * 10 * 4);
    assert_int_equal(node_macs(find_node(g, "z")), 0);
    assert_int_equal(graph_macs(g), 7560 + 432 + 32 + 80);
    graph_free(g);
}

/* Multiplying what fits in memory doesn't fit in 64 bits. */
static void multiply_accumulates_saturate(void **state) {
    (void)state;
    Graph *g = graph_of("graph @g(%x: f32[131072,131072], %w: f32[131072,131072]) -> () {\n"
                        "  %y = dense %x, %w : f32[131072,131072]\n"
                        "  %z = dense %y, %w : f32[131072,131072]\n"
                        "  return\n}\n");
    assert_non_null(g);
    assert_int_equal(graph_macs(g), INT64_C(1) << 52);
    FOR_EACH_NODE(g, n) {
        node_out(n)->type.shape = SHAPE(INT64_C(1) << 40, 1 << 20);
    }
    assert_int_equal(graph_macs(g), INT64_MAX);
    graph_free(g);
}

/* ---- broken callers ------------------------------------------------------------------------- */

static bool dies(void (*f)(Graph *g)) {
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        f(graph_new("t"));
        _exit(0);
    }
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == EXIT_INTERNAL;
}

static void take_wrong_attrs(Graph *g) {
    conv_attrs(node_new(g, OP_dense, NULL, "y", NULL, 0));
}

static void give_too_many_operands(Graph *g) {
    node_new(g, OP_add, NULL, "y", (Value *[]){NULL, NULL, NULL}, 3);
}

static void add_too_many_results(Graph *g) {
    node_add_result(g, node_new(g, OP_add, NULL, "y", NULL, 0), 1, "z", (Type){0});
}

static void infer_nonsense(Graph *g) {
    node_infer_or_die(node_new(g, OP_add, NULL, "y", NULL, 0));
}

static void erase_what_is_used(Graph *g) {
    Node *n = unary(g, OP_act_relu, input(g, "x"), "y");
    graph_output(g, node_out(n), "y");
    node_erase(g, n);
}

static void ask_for_a_wrong_slot(Graph *g) {
    node_slot(node_new(g, OP_add, NULL, "y", NULL, 0), "scale");
}

static void misuse_dies(void **state) {
    (void)state;
    assert_true(dies(take_wrong_attrs));
    assert_true(dies(give_too_many_operands));
    assert_true(dies(add_too_many_results));
    assert_true(dies(infer_nonsense));
    assert_true(dies(erase_what_is_used));
    assert_true(dies(ask_for_a_wrong_slot));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(op_names_read_back),
        cmocka_unit_test(activations_are_ops),
        cmocka_unit_test(operands_of_ops),
        cmocka_unit_test(attributes_have_defaults),
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(names_of_the_dead_are_free),
        cmocka_unit_test(uses_are_counted),
        cmocka_unit_test(replacing_moves_all_uses),
        cmocka_unit_test(outputs_can_change),
        cmocka_unit_test(operands_fill_all_slots),
        cmocka_unit_test(nodes_move),
        cmocka_unit_test(inference_keeps_placement),
        cmocka_unit_test(scratch_results_keep_their_type),
        cmocka_unit_test(dead_code_goes),
        cmocka_unit_test(origins_join),
        cmocka_unit_test(long_origins_end),
        cmocka_unit_test(names_made_from_names_end),
        cmocka_unit_test(constants_grow_within_bounds),
        cmocka_unit_test(multiply_accumulates),
        cmocka_unit_test(multiply_accumulates_saturate),
        cmocka_unit_test(misuse_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
