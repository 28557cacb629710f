/* Unit tests of ir/loop.c, loop_build.c and loop_edit.c: building and changing modules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ir/loop.h"

static Module *new_module(void) {
    return module_new("m", target_find("generic"));
}

static void assert_kernel_text(const Kernel *k, const char *want) {
    Buf b = {0};
    kernel_print(&b, k);
    assert_string_equal(buf_str(&b), want);
    buf_free(&b);
}

static void assert_valid(const Module *m) {
    Diag d = {0};
    if (!module_verify(m, "test", &d))
        diag_print(&d, stderr, false);
    assert_int_equal(d.errors, 0);
    diag_free(&d);
}

/* Runs f in a process of its own, which has to end with the code of an internal error. */
static void assert_dies(void (*f)(void)) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        f();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_INTERNAL);
}

/* ---- tables and types ----------------------------------------------------------------------- */

static void every_instruction_has_a_name_that_is_found(void **state) {
    (void)state;
    for (int i = 0; i < INST_COUNT; i++) {
        const InstInfo *info = inst_info((InstOp)i);
        InstOp op;
        assert_true(inst_parse(info->name, strlen(info->name), &op));
        if (i != INST_splat_load) /* shares its name with splat */
            assert_int_equal(op, i);
    }
    InstOp op;
    assert_false(inst_parse("ad", 2, &op));
    assert_false(inst_parse("add1", 4, &op));
    assert_false(inst_parse("", 0, &op));
    assert_true(inst_parse("silu", 4, &op));
    assert_int_equal(op, INST_act_silu);
}

static void masks_are_as_wide_as_what_was_compared(void **state) {
    (void)state;
    static const struct {
        LType t, mask;
    } rows[] = {
        {{DT_f32, 1}, {DT_bool, 1}}, {{DT_i8, 1}, {DT_bool, 1}}, {{DT_f32, 16}, {DT_i32, 16}},
        {{DT_f64, 8}, {DT_i64, 8}},  {{DT_u8, 64}, {DT_i8, 64}}, {{DT_u16, 4}, {DT_i16, 4}},
        {{DT_f16, 4}, {DT_i16, 4}},  {{DT_bool, 2}, {DT_i8, 2}}, {{DT_u64, 2}, {DT_i64, 2}}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_true(ltype_equal(ltype_mask(rows[i].t), rows[i].mask));
}

static void constants_round_to_their_type(void **state) {
    (void)state;
    assert_true(dtype_round_f(DT_f64, 0.1) == 0.1);
    assert_true(dtype_round_f(DT_f32, 0.1) == (double)0.1f);
    assert_true(dtype_round_f(DT_f16, 1.0 / 3) == 0x1.554p-2);
    assert_true(dtype_round_f(DT_bf16, 1.0 / 3) == 0x1.56p-2);
    assert_true(isinf(dtype_round_f(DT_f32, 1e39)));
    assert_true(signbit(dtype_round_f(DT_f32, -0.0)));
    assert_true(isnan(dtype_round_f(DT_f32, NAN)));
}

static void integers_fit_their_type(void **state) {
    (void)state;
    assert_true(dtype_fits_i(DT_i8, -128) && dtype_fits_i(DT_i8, 127));
    assert_false(dtype_fits_i(DT_i8, -129) || dtype_fits_i(DT_i8, 128));
    assert_true(dtype_fits_i(DT_u8, 0) && dtype_fits_i(DT_u8, 255));
    assert_false(dtype_fits_i(DT_u8, -1) || dtype_fits_i(DT_u8, 256));
    assert_true(dtype_fits_i(DT_u32, UINT32_MAX));
    assert_false(dtype_fits_i(DT_u32, (int64_t)UINT32_MAX + 1));
    assert_true(dtype_fits_i(DT_i64, INT64_MIN) && dtype_fits_i(DT_u64, -1));
    assert_true(dtype_fits_i(DT_bool, 1));
    assert_false(dtype_fits_i(DT_bool, 2) || dtype_fits_i(DT_bool, -1));
}

/* ---- names ---------------------------------------------------------------------------------- */

static void taken_names_get_numbers(void **state) {
    (void)state;
    Module *m = new_module();
    Kernel *k = module_kernel(m, "k");
    LType t = ltype(DT_f32, 1);
    assert_string_equal(kernel_reg(k, "x", t)->name, "x");
    assert_string_equal(kernel_reg(k, "x_3", t)->name, "x_3");
    assert_string_equal(kernel_reg(k, "x", t)->name, "x_2");
    assert_string_equal(kernel_reg(k, "x", t)->name, "x_4");
    assert_string_equal(module_kernel(m, "k")->name, "k_2");
    assert_string_equal(module_buffer(m, "b", BUF_ARENA, DT_f32, 1, 0)->reg.name, "b");
    assert_string_equal(module_buffer(m, "b", BUF_ARENA, DT_f32, 1, 0)->reg.name, "b_2");
    assert_ptr_equal(module_find_kernel(m, "k"), k);
    assert_null(module_find_kernel(m, "k_3"));
    module_free(m);
}

/* ---- addresses ------------------------------------------------------------------------------ */

static void addresses_merge_equal_registers(void **state) {
    (void)state;
    Module *m = new_module();
    Kernel *k = module_kernel(m, "k");
    Reg *p = kernel_param_ptr(k, "p", DT_f32), *i = kernel_param_i64(k, "i");
    Reg *j = kernel_param_i64(k, "j");
    Addr a = addr_plus(addr_plus(addr_plus(addr_of(p, 5), i, 2), j, 7), i, 3);
    assert_int_equal(a.nterms, 2);
    assert_ptr_equal(a.terms[0].reg, i);
    assert_int_equal(a.terms[0].factor, 5);
    a = addr_plus(a, i, -5);
    assert_int_equal(a.nterms, 1);
    assert_ptr_equal(a.terms[0].reg, j);
    a = addr_plus(a, i, 0);
    assert_int_equal(a.nterms, 1);
    assert_int_equal(addr_offset(a, -9).offset, -4);
    module_free(m);
}

static void addresses_have_limits(void **state) {
    (void)state;
    Module *m = new_module();
    Kernel *k = module_kernel(m, "k");
    Reg *r[MAX_TERMS + 1];
    for (int i = 0; i <= MAX_TERMS; i++)
        r[i] = kernel_param_i64(k, "i");
    Addr a = addr_of(kernel_param_ptr(k, "p", DT_f32), 0);
    for (int i = 0; i < MAX_TERMS; i++)
        assert_true(addr_try_plus(&a, r[i], INT64_MAX));
    assert_false(addr_try_plus(&a, r[MAX_TERMS], 1));
    assert_false(addr_try_plus(&a, r[1], 1));
    assert_int_equal(a.nterms, MAX_TERMS);
    assert_int_equal(a.terms[1].factor, INT64_MAX);
    assert_true(addr_try_plus(&a, r[1], INT64_MIN));
    assert_int_equal(a.terms[1].factor, -1);
    module_free(m);
}

/* ---- building ------------------------------------------------------------------------------- */

static Kernel *build_everything(Module *m) {
    Kernel *k = module_kernel(m, "all");
    Reg *a = kernel_param_ptr(k, "a", DT_f32), *n = kernel_param_i64(k, "n");
    Builder b = build_begin(k);
    Reg *half = build_const_f(&b, "half", ltype(DT_f32, 4), 0.5);
    Reg *two = build_const_i(&b, "two", ltype(DT_i64, 1), 2);
    Reg *q = build_lea(&b, "q", addr_plus(addr_of(a, 0), two, 16));
    Reg *i = build_for(&b, "i", bound_const(0), bound_reg(n), 4);
    Addr at = addr_plus(addr_of(q, -1), i, 1);
    Reg *x = build_load(&b, "x", 4, at);
    Reg *s = build_splat(&b, "s", 4, build_load(&b, "one", 1, addr_of(a, 0)));
    Reg *y = build_op(&b, INST_fma, "y", x, half, build_splat_load(&b, "z", 4, at));
    Reg *m1 = build_op(&b, INST_lt, "m1", x, y, NULL);
    y = build_op(&b, INST_select, "y", m1, x, y);
    Reg *bits = build_convert(&b, INST_bitcast, "bits", ltype(DT_i32, 4), y);
    bits = build_shift(&b, INST_shl, "bits", bits, 3);
    build_convert_to(&b, INST_bitcast, y, bits);
    build_shift_to(&b, INST_shr, bits, bits, 1);
    build_op_to(&b, INST_act_silu, y, y, NULL, NULL);
    build_if(&b, build_op(&b, INST_eq, "c", i, two, NULL));
    build_store(&b, at, s);
    build_else(&b);
    build_const_f_to(&b, y, 3);
    build_close(&b);
    build_load_to(&b, y, at);
    build_lea_to(&b, q, addr_of(q, 4));
    build_close(&b);
    build_par(&b, "j", bound_const(2), bound_reg(n));
    build_close(&b);
    build_const_i_to(&b, two, -7);
    build_end(&b);
    return k;
}

static void builders_write_what_they_say(void **state) {
    (void)state;
    Module *m = new_module();
    Kernel *k = build_everything(m);
    assert_kernel_text(k, "kernel @all(a: f32*, n: i64) {\n"
                          "  half = const.v4.f32 0.5\n"
                          "  two = const.i64 2\n"
                          "  q = lea a[16*two]\n"
                          "  for i in 0..n step 4 {\n"
                          "    x = load.v4 q[i - 1]\n"
                          "    one = load a[0]\n"
                          "    s = splat.v4 one\n"
                          "    z = splat.v4 q[i - 1]\n"
                          "    y = fma x, half, z\n"
                          "    m1 = lt x, y\n"
                          "    y_2 = select m1, x, y\n"
                          "    bits = bitcast.v4.i32 y_2\n"
                          "    bits_2 = shl bits, 3\n"
                          "    y_2 = bitcast.v4.f32 bits_2\n"
                          "    bits_2 = shr bits_2, 1\n"
                          "    y_2 = silu y_2\n"
                          "    c = eq i, two\n"
                          "    if c {\n"
                          "      store.v4 q[i - 1], s\n"
                          "    } else {\n"
                          "      y_2 = const.v4.f32 3\n"
                          "    }\n"
                          "    y_2 = load.v4 q[i - 1]\n"
                          "    q = lea q[4]\n"
                          "  }\n"
                          "  par j in 2..n {\n"
                          "  }\n"
                          "  two = const.i64 -7\n"
                          "}\n");
    assert_valid(m);
    module_free(m);
}

static void calls_copy_their_arguments_and_origin(void **state) {
    (void)state;
    Module *m = new_module();
    m->arena_bytes = 64;
    Buffer *t = module_buffer(m, "t", BUF_ARENA, DT_f32, 16, 0);
    Kernel *k = module_kernel(m, "k");
    kernel_param_ptr(k, "a", DT_f32);
    kernel_param_i64(k, "n");
    Builder b = build_begin(m->run);
    char origin[] = "conv";
    Arg args[] = {arg_addr(addr_of(&t->reg, 4)), arg_i64(9)};
    build_call(&b, k, args, 2, origin);
    args[1] = arg_i64(10);
    build_call(&b, k, args, 2, "");
    memset(origin, 'x', 4);
    memset(args, 0, sizeof args);
    build_end(&b);
    assert_kernel_text(m->run, "run {\n"
                               "  call @k(%t[4], 9)  # \"conv\"\n"
                               "  call @k(%t[4], 10)\n"
                               "}\n");
    assert_valid(m);
    module_free(m);
}

static void give_a_vector_to_a_scalar(void) {
    Module *m = new_module();
    Kernel *k = module_kernel(m, "k");
    Builder b = build_begin(k);
    Reg *x = build_const_f(&b, "x", ltype(DT_f32, 4), 0);
    build_op_to(&b, INST_mov, kernel_reg(k, "y", ltype(DT_f32, 1)), x, NULL, NULL);
}

static void give_a_pointer_to_add(void) {
    Module *m = new_module();
    Kernel *k = module_kernel(m, "k");
    Reg *p = kernel_param_ptr(k, "p", DT_f32);
    Builder b = build_begin(k);
    build_op(&b, INST_add, "x", p, p, NULL);
}

static void leave_a_block_open(void) {
    Module *m = new_module();
    Builder b = build_begin(m->run);
    build_for(&b, "i", bound_const(0), bound_const(1), 1);
    build_end(&b);
}

static void write_else_without_if(void) {
    Module *m = new_module();
    Builder b = build_begin(m->run);
    build_for(&b, "i", bound_const(0), bound_const(1), 1);
    build_else(&b);
}

static void nest_too_deep(void) {
    Module *m = new_module();
    Builder b = build_begin(m->run);
    for (int i = 0; i < MAX_NESTING; i++)
        build_for(&b, "i", bound_const(0), bound_const(1), 1);
}

static void parameter_after_a_register(void) {
    Module *m = new_module();
    Kernel *k = module_kernel(m, "k");
    kernel_reg(k, "x", ltype(DT_f32, 1));
    kernel_param_i64(k, "n");
}

static void builders_stop_wrong_generators(void **state) {
    (void)state;
    assert_dies(give_a_vector_to_a_scalar);
    assert_dies(give_a_pointer_to_add);
    assert_dies(leave_a_block_open);
    assert_dies(write_else_without_if);
    assert_dies(nest_too_deep);
    assert_dies(parameter_after_a_register);
}

/* ---- sharing -------------------------------------------------------------------------------- */

static Kernel *constant_kernel(Module *m, const char *name, double value) {
    Kernel *k = kernel_new(m, name);
    Reg *p = kernel_param_ptr(k, "p", DT_f32);
    Builder b = build_begin(k);
    build_store(&b, addr_of(p, 0), build_const_f(&b, "x", ltype(DT_f32, 1), value));
    build_end(&b);
    return k;
}

static void equal_kernels_are_shared(void **state) {
    (void)state;
    Module *m = new_module();
    Kernel *a = module_share_kernel(m, constant_kernel(m, "a", 1));
    Kernel *b = module_share_kernel(m, constant_kernel(m, "b", 1));
    Kernel *c = module_share_kernel(m, constant_kernel(m, "a", 2));
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_string_equal(a->name, "a");
    assert_string_equal(c->name, "a_2");
    assert_int_equal(m->kernels.len, 2);
    assert_ptr_equal(module_find_kernel(m, "a_2"), c);
    assert_valid(m);
    module_free(m);
}

static void dropped_kernels_are_shared_again(void **state) {
    (void)state;
    Module *m = new_module();
    Kernel *a = module_share_kernel(m, constant_kernel(m, "a", 1));
    Kernel *twin = constant_kernel(m, "b", 1);
    assert_ptr_equal(module_share_kernel(m, twin), a);
    assert_null(twin->own.chunks); /* its registers and instructions take no memory */
    assert_ptr_equal(module_share_kernel(m, twin), a);
    assert_ptr_equal(module_share_kernel(m, a), a);
    assert_int_equal(m->kernels.len, 1);
    assert_valid(m);
    module_free(m);
}

static void changed_kernels_are_not_shared(void **state) {
    (void)state;
    Module *m = new_module();
    Kernel *a = module_share_kernel(m, constant_kernel(m, "a", 1));
    a->body.first->u.f = 5;
    Kernel *b = module_share_kernel(m, constant_kernel(m, "b", 1));
    assert_ptr_not_equal(a, b);
    assert_ptr_equal(b, module_share_kernel(m, constant_kernel(m, "c", 1)));
    module_free(m);
}

/* ---- editing -------------------------------------------------------------------------------- */

static Kernel *kernel_to_edit(Module *m) {
    Kernel *k = module_kernel(m, "k");
    Reg *x = kernel_reg(k, "x", ltype(DT_f32, 1)), *c = kernel_reg(k, "c", ltype(DT_bool, 1));
    Builder b = build_begin(k);
    build_const_f_to(&b, x, 1);
    build_const_i_to(&b, c, 1);
    build_op_to(&b, INST_neg, x, x, NULL, NULL);
    build_for(&b, "i", bound_const(0), bound_const(3), 1);
    build_op_to(&b, INST_neg, x, x, NULL, NULL);
    build_if(&b, c);
    build_op_to(&b, INST_mul, x, x, x, NULL);
    build_else(&b);
    build_op_to(&b, INST_neg, x, x, NULL, NULL);
    build_close(&b);
    build_op_to(&b, INST_neg, x, x, NULL, NULL);
    build_close(&b);
    build_op_to(&b, INST_neg, x, x, NULL, NULL);
    build_end(&b);
    return k;
}

/* Replaces neg by (0 - x), then a mov of the result to itself, which is not visited. */
static void expand_neg(void *ctx, Kernel *k, Inst **link) {
    Inst *in = *link;
    ++*(int *)ctx;
    assert_int_not_equal(in->op, INST_sub);
    if (in->op != INST_neg)
        return;
    Block sequence = {0};
    Builder b = build_detached(k, &sequence);
    Reg *zero = map_get(&k->names, "zero");
    build_op_to(&b, INST_sub, in->dst, zero, in->src[0], NULL);
    build_op_to(&b, INST_mov, in->dst, in->dst, NULL, NULL);
    build_end(&b);
    block_splice(link, &sequence);
    assert_null(sequence.first);
}

static void a_visitor_replaces_instructions(void **state) {
    (void)state;
    Module *m = new_module();
    Kernel *k = kernel_to_edit(m);
    Block prologue = {0};
    Builder top = build_detached(k, &prologue);
    build_const_f(&top, "zero", ltype(DT_f32, 1), 0);
    build_end(&top);
    int visited = 0;
    kernel_visit(k, expand_neg, &visited);
    assert_int_equal(visited, 10);
    block_prepend(&k->body, &prologue);
    assert_null(prologue.first);
    block_prepend(&k->body, &prologue); /* of nothing */
    assert_kernel_text(k, "kernel @k() {\n"
                          "  zero = const.f32 0\n"
                          "  x = const.f32 1\n"
                          "  c = const.bool 1\n"
                          "  x = sub zero, x\n"
                          "  x = mov x\n"
                          "  for i in 0..3 {\n"
                          "    x = sub zero, x\n"
                          "    x = mov x\n"
                          "    if c {\n"
                          "      x = mul x, x\n"
                          "    } else {\n"
                          "      x = sub zero, x\n"
                          "      x = mov x\n"
                          "    }\n"
                          "    x = sub zero, x\n"
                          "    x = mov x\n"
                          "  }\n"
                          "  x = sub zero, x\n"
                          "  x = mov x\n"
                          "}\n");
    assert_valid(m); /* checks the ends of all blocks */
    module_free(m);
}

static void remove_all_but_consts(void *ctx, Kernel *k, Inst **link) {
    (void)ctx, (void)k;
    if ((*link)->op != INST_const)
        block_splice(link, &(Block){0});
}

static void a_visitor_removes_instructions(void **state) {
    (void)state;
    Module *m = new_module();
    Kernel *k = kernel_to_edit(m);
    kernel_visit(k, remove_all_but_consts, NULL);
    assert_kernel_text(k, "kernel @k() {\n"
                          "  x = const.f32 1\n"
                          "  c = const.bool 1\n"
                          "}\n");
    assert_ptr_equal(k->body.last, k->body.first->next);
    assert_valid(m);
    module_free(m);
}

static void prepending_to_an_empty_block_sets_its_end(void **state) {
    (void)state;
    Module *m = new_module();
    Kernel *k = module_kernel(m, "k");
    Block prologue = {0};
    Builder top = build_detached(k, &prologue);
    build_const_f(&top, "x", ltype(DT_f32, 1), 0);
    block_prepend(&k->body, &prologue);
    assert_valid(m);
    module_free(m);
}

/* Of a size that is no multiple of the pieces that they move in. */
static void assert_weights_move(bool spilled) {
    enum { SIZE = (9 << 20) + 24 };
    Module *m = module_new("m", target_find("generic"));
    Buf packed = {0};
    uint8_t *bytes = buf_extend(&packed, SIZE), *there = malloc(SIZE);
    assert_non_null(there);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 7919 >> 8);
    module_take_weights(m, &packed);
    if (spilled)
        module_spill_weights(m);
    assert_int_equal(m->packed.data == NULL, spilled);
    module_move_weights(m, there);
    assert_ptr_equal(m->weights->data, there);
    assert_int_equal(m->weights_bytes, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        if (there[i] != (uint8_t)(i * 7919 >> 8))
            fail_msg("byte %zu has changed", i);
    module_free(m);
    free(there);
}

static void weights_move_as_they_are(void **state) {
    (void)state;
    assert_weights_move(false);
}

static void weights_move_from_a_file(void **state) {
    (void)state;
    assert_weights_move(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_instruction_has_a_name_that_is_found),
        cmocka_unit_test(masks_are_as_wide_as_what_was_compared),
        cmocka_unit_test(constants_round_to_their_type),
        cmocka_unit_test(integers_fit_their_type),
        cmocka_unit_test(taken_names_get_numbers),
        cmocka_unit_test(addresses_merge_equal_registers),
        cmocka_unit_test(addresses_have_limits),
        cmocka_unit_test(builders_write_what_they_say),
        cmocka_unit_test(calls_copy_their_arguments_and_origin),
        cmocka_unit_test(builders_stop_wrong_generators),
        cmocka_unit_test(equal_kernels_are_shared),
        cmocka_unit_test(dropped_kernels_are_shared_again),
        cmocka_unit_test(changed_kernels_are_not_shared),
        cmocka_unit_test(a_visitor_replaces_instructions),
        cmocka_unit_test(a_visitor_removes_instructions),
        cmocka_unit_test(prepending_to_an_empty_block_sets_its_end),
        cmocka_unit_test(weights_move_as_they_are),
        cmocka_unit_test(weights_move_from_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
