/* Unit tests of ir/graph_verify.c: every way to break a graph is found and named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "ir/graph.h"
#include "tests/lib/graph_text.h"

static const char sound_text[] =
    "graph @g(%x: f32[1,4,8,8]) -> (f32[1,6,8,8], f32[1,4,8,8]) {\n"
    "  const @w : f32[6,4,1,1] = xxh:0123456789abcdef\n"
    "  const @b : f32[6] = [1, 2, 3, 4, 5, 6]\n"
    "  %a = relu %x : f32[1,4,8,8]{nchw8c, arena=0}\n"
    "  %s = relu %a : f32[1,4,8,8]{nchw8c, arena=0}\n" /* in place */
    "  %y, %y.scratch = conv2d %s, @w, @b : f32[1,6,8,8]{arena=2048}, f32[9]{arena=8192}\n"
    "  %t = relu %y : f32[1,6,8,8]\n"
    "  %c = concat %x : f32[1,4,8,8]\n"
    "  return %t \"t\", %c \"c\"\n"
    "}\n";

static Value *named(Graph *g, const char *name) {
    Value *v = map_get(&g->names, name);
    if (!v)
        fail_msg("no value is called %s", name);
    return v;
}

static Node *def(Graph *g, const char *name) {
    return named(g, name)->def;
}

static bool finds(const Diag *d, const char *message) {
    for (size_t i = 0; i < d->items.len; i++)
        if (strstr(d->items.data[i]->message, message))
            return true;
    return false;
}

typedef void Breakage(Graph *g);

static void expect_fault(Breakage *damage, const char *message) {
    Graph *g = graph_of(sound_text);
    assert_non_null(g);
    damage(g);
    Diag d = {0};
    bool sound = graph_verify(g, "g", &d), found = finds(&d, message);
    if (sound || !found) {
        diag_print(&d, stderr, false);
        fail_msg("the verifier didn't say: %s", message);
    }
    assert_int_equal(diag_exit_code(&d), EXIT_INTERNAL);
    diag_free(&d);
    graph_free(g);
}

static void a_sound_graph_passes(void **state) {
    (void)state;
    Graph *g = graph_of(sound_text);
    assert_non_null(g);
    Diag d = {0};
    bool ok = graph_verify(g, "g", &d);
    diag_print(&d, stderr, false);
    assert_true(ok);
    assert_int_equal(d.errors, 0);
    graph_free(g);
    Graph *empty = graph_new("empty");
    assert_true(graph_verify(empty, "g", &d));
    graph_free(empty);
    diag_free(&d);
}

/* ---- values --------------------------------------------------------------------------------- */

static void drop_name(Graph *g) {
    named(g, "x")->name = NULL;
}

static void share_name(Graph *g) {
    named(g, "a")->name = "x";
}

static void forget_name(Graph *g) {
    map_put(&g->arena, &g->names, "a", NULL);
}

static void unmark_input(Graph *g) {
    g->inputs.data[0]->is_input = false;
}

static void mark_constant_as_input(Graph *g) {
    named(g, "w")->is_input = true;
}

static void take_constant(Graph *g) {
    named(g, "b")->constant = NULL;
}

static void change_constants_type(Graph *g) {
    named(g, "b")->type.dtype = DT_i32;
}

static void block_a_constant(Graph *g) {
    named(g, "w")->type.layout.block = 8;
}

static void lose_hash(Graph *g) {
    named(g, "w")->constant->hash = 0;
}

static void mark_result_as_input(Graph *g) {
    named(g, "a")->is_input = true;
}

static void change_result_index(Graph *g) {
    named(g, "y.scratch")->result = 0;
}

static void let_input_images_take_turns(Graph *g) {
    named(g, "x")->type.layout = (Layout){.block = 8, .one_image = true};
}

static void let_output_images_take_turns(Graph *g) {
    g->outputs.data[0]->value->type.layout = (Layout){.block = 8, .one_image = true};
}

static void faults_of_values(void **state) {
    (void)state;
    expect_fault(drop_name, "a value has no name");
    expect_fault(share_name, "%x is defined twice");
    expect_fault(forget_name, "the graph's names don't have %a");
    expect_fault(let_input_images_take_turns, "input %x has memory for one image");
    expect_fault(let_output_images_take_turns, "output 0 has memory for one image");
    expect_fault(unmark_input, "input %x is marked as something else");
    expect_fault(mark_constant_as_input, "constant @w is marked as something else");
    expect_fault(take_constant, "constant @b is marked as something else");
    expect_fault(change_constants_type,
                 "constant @b is of type i32[6], its elements are of type f32[6]");
    expect_fault(block_a_constant, "constant @w is of type f32[6,4,1,1]{nchw8c}");
    expect_fault(lose_hash, "constant @w has neither elements nor a hash");
    expect_fault(mark_result_as_input, "result 0 of relu %a is marked as something else");
    expect_fault(change_result_index, "result 1 of conv2d %y is marked as something else");
}

/* ---- types and placement -------------------------------------------------------------------- */

static void give_invalid_layout(Graph *g) {
    named(g, "t")->type.layout.halo[0] = 1;
}

static void give_invalid_rank(Graph *g) {
    named(g, "t")->type.shape.rank = 99;
}

static void give_wrong_shape(Graph *g) {
    named(g, "t")->type.shape.dim[3] = 9;
}

static void give_wrong_dtype(Graph *g) {
    named(g, "t")->type.dtype = DT_f16;
}

static void break_shape_rule(Graph *g) {
    conv_attrs(def(g, "y"))->kernel = (Dim2){{3, 3}};
}

static void place_input(Graph *g) {
    named(g, "x")->arena_offset = 1 << 20;
}

static void place_nowhere(Graph *g) {
    named(g, "t")->arena_offset = -64;
}

static void place_past_the_end(Graph *g) {
    named(g, "t")->arena_offset = INT64_MAX - 8;
}

static void overlap_scratch(Graph *g) {
    named(g, "y.scratch")->arena_offset = 2048;
}

static void overlap_partly(Graph *g) {
    named(g, "s")->arena_offset = 64; /* in place, but shifted */
}

static void overlap_later(Graph *g) {
    named(g, "t")->arena_offset = 0;
    node_set_operand(def(g, "c"), 0, named(g, "s"));
    node_infer_or_die(def(g, "c"));
}

static void faults_of_types(void **state) {
    (void)state;
    expect_fault(give_invalid_layout, "%t has an invalid type");
    expect_fault(give_invalid_rank, "%t has an invalid type");
    expect_fault(give_wrong_shape,
                 "result 0 of relu %t is of type f32[1,6,8,9], its operands make it");
    expect_fault(give_wrong_dtype,
                 "result 0 of relu %t is of type f16[1,6,8,8], its operands make it");
    expect_fault(break_shape_rule, "conv2d %y: kernel is 3x3, but the weight is for 1x1");
    expect_fault(place_input, "%x is no node's result, but lies in the arena");
    expect_fault(place_nowhere, "%t has the arena offset -64");
    expect_fault(place_past_the_end, "%t has the arena offset 9223372036854775799");
    expect_fault(overlap_scratch, "%y and %y.scratch overlap in the arena while both live");
    expect_fault(overlap_partly, "%a and %s overlap in the arena while both live");
    expect_fault(overlap_later, "%s and %t overlap in the arena while both live");
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static void give_unknown_op(Graph *g) {
    def(g, "a")->op = OP_COUNT;
}

static void take_attrs(Graph *g) {
    def(g, "y")->attrs = NULL;
}

static void add_attrs(Graph *g) {
    def(g, "a")->attrs = arena_alloc(&g->arena, 64);
}

static void take_origin(Graph *g) {
    def(g, "a")->origin = NULL;
}

static void take_slots(Graph *g) {
    def(g, "y")->noperands = 3;
}

static void take_all_operands(Graph *g) {
    Node *n = def(g, "c");
    node_set_operand(n, 0, NULL);
    n->noperands = 0;
}

static void take_required_operand(Graph *g) {
    node_set_operand(def(g, "y"), 1, NULL);
}

static void take_results(Graph *g) {
    def(g, "y")->nresults = 0;
}

static void add_results(Graph *g) {
    Node *n = def(g, "a");
    Value **results = ARENA_ARRAY(&g->arena, 2, Value *);
    results[0] = n->results[0];
    n->results = results;
    results[n->nresults++] = named(g, "w");
}

static void use_before_definition(Graph *g) {
    node_move_before(g, def(g, "t"), g->first);
}

static void use_what_is_gone(Graph *g) {
    Node *n = node_new(g, OP_act_relu, NULL, "z", (Value *[]){named(g, "x")}, 1);
    Value *gone = node_out(n);
    node_infer_or_die(n);
    node_erase(g, n);
    node_set_operand(def(g, "t"), 0, gone);
}

static void faults_of_nodes(void **state) {
    (void)state;
    expect_fault(give_unknown_op, "a node has the op number");
    expect_fault(take_attrs, "conv2d %y lacks attributes");
    expect_fault(add_attrs, "relu %a has, but shouldn't have, attributes");
    expect_fault(take_origin, "relu %a has no origin");
    expect_fault(take_slots, "conv2d %y has 3 operand slots, 6 are right");
    expect_fault(take_all_operands, "concat %c has 0 operand slots, 1 are right");
    expect_fault(take_required_operand, "conv2d %y: operand w is missing");
    expect_fault(take_results, "conv2d %? has 0 results, 1 to 2 are right");
    expect_fault(add_results, "relu %a has 2 results, 1 to 1 are right");
    expect_fault(use_before_definition, "relu %t uses %y, which isn't defined before it");
    expect_fault(use_what_is_gone, "relu %t uses %z, which isn't defined before it");
}

/* ---- lists ---------------------------------------------------------------------------------- */

static void break_prev(Graph *g) {
    g->first->next->prev = NULL;
}

static void close_the_list(Graph *g) {
    g->last->next = g->first;
}

static void change_last(Graph *g) {
    g->last = g->first;
}

static void change_user(Graph *g) {
    def(g, "t")->operands[0].user = def(g, "a");
}

static void change_slot(Graph *g) {
    def(g, "y")->operands[1].slot = 2;
}

static void bypass_use_list(Graph *g) {
    def(g, "t")->operands[0].value = named(g, "s");
}

static void unlink_use(Graph *g) {
    Use *u = &def(g, "t")->operands[0];
    *u->link = u->next;
}

static void add_stray_use(Graph *g) {
    Value *x = named(g, "x");
    Use *stray = ARENA_NEW(&g->arena, Use);
    *stray = (Use){.value = x, .next = x->uses, .link = &x->uses};
    x->uses->link = &stray->next;
    x->uses = stray;
}

static void close_use_list(Graph *g) {
    Use *u = named(g, "x")->uses;
    while (u->next)
        u = u->next;
    u->next = named(g, "x")->uses;
}

static void drop_output_value(Graph *g) {
    node_set_operand(def(g, "t"), 0, NULL);
    Use *u = g->outputs.data[1];
    *u->link = u->next;
    u->value = NULL;
}

static void change_output_slot(Graph *g) {
    g->outputs.data[1]->slot = 0;
}

static void drop_output_name(Graph *g) {
    g->output_names.len--;
}

static void faults_of_lists(void **state) {
    (void)state;
    expect_fault(break_prev, "the list of nodes is broken before node 2");
    expect_fault(close_the_list, "the list of nodes is broken before node 6");
    expect_fault(change_last, "the list of nodes doesn't end at its last node");
    expect_fault(change_user, "relu %t: slot 0 says that it belongs elsewhere");
    expect_fault(change_slot, "conv2d %y: slot 1 says that it belongs elsewhere");
    expect_fault(bypass_use_list, "%s has 2 uses, its list has fewer");
    expect_fault(unlink_use, "relu %t: slot 0 isn't in the list of uses of %y");
    expect_fault(add_stray_use, "%x has 2 uses, its list has more");
    expect_fault(close_use_list, "%x has 2 uses, its list has more");
    expect_fault(drop_output_value, "output 1 has no value");
    expect_fault(change_output_slot, "output 1 says that it belongs elsewhere");
    expect_fault(drop_output_name, "2 outputs have 1 names");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_graph_passes), cmocka_unit_test(faults_of_values),
        cmocka_unit_test(faults_of_types),      cmocka_unit_test(faults_of_nodes),
        cmocka_unit_test(faults_of_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
