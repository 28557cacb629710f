/* Unit tests of ir/loop_eval.c and loop_steps.c: what control flow does, and that no access leaves
 * its buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/loop_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- control flow --------------------------------------------------------------------------- */

/* Runs a module whose `run` computes on %o : i64[8], which starts as all ones bits, and %w, which
 * is 16 i64 of arena. */
static bool run_text(const char *kernels, const char *run, int64_t out[8], Diag *d) {
    Buf b = {0};
    buf_printf(&b,
               "module @m target=generic arena=128 { buffer %%i : i64[4] input 0 \"i\" "
               "buffer %%o : i64[8] output 0 \"o\" buffer %%w : i64[16] arena 0 buffer %%x : "
               "i64[2] arena 0 %s run { %s } }",
               kernels, run);
    static const int64_t in[4] = {10, 20, 30, 40};
    Module *m = module_of(b.data);
    bool ok = m && module_eval(m, (const void *const[]){in}, (void *const[]){out}, d);
    module_free(m);
    buf_free(&b);
    return ok;
}

static void assert_runs(const char *kernels, const char *run, const int64_t want[8]) {
    int64_t out[8];
    Diag d = {0};
    bool ok = run_text(kernels, run, out, &d);
    diag_print(&d, stderr, false);
    diag_free(&d);
    if (!ok)
        fail_msg("%s %s", kernels, run);
    for (int i = 0; i < 8; i++)
        if (out[i] != want[i])
            fail_msg("%s %s\nelement %d is %" PRId64 ", not %" PRId64, kernels, run, i, out[i],
                     want[i]);
}

#define COUNT(lo, hi)                                                                              \
    "z = const.i64 0 one = const.i64 1 n = mov z last = mov z "                                    \
    "for i in " lo ".." hi " { n = add n, one last = mov i } store %o[0], n store %o[1], last"

static void loops_count(void **state) {
    (void)state;
    assert_runs("", COUNT("0", "5"), (const int64_t[]){5, 4, -1, -1, -1, -1, -1, -1});
    assert_runs("", COUNT("0", "5 step 3"), (const int64_t[]){2, 3, -1, -1, -1, -1, -1, -1});
    assert_runs("", COUNT("0", "6 step 3"), (const int64_t[]){2, 3, -1, -1, -1, -1, -1, -1});
    assert_runs("", COUNT("-3", "2 step 2"), (const int64_t[]){3, 1, -1, -1, -1, -1, -1, -1});
    assert_runs("", COUNT("5", "5"), (const int64_t[]){0, 0, -1, -1, -1, -1, -1, -1});
    assert_runs("", COUNT("5", "-5"), (const int64_t[]){0, 0, -1, -1, -1, -1, -1, -1});
    assert_runs("", COUNT("9223372036854775800", "9223372036854775807 step 5"),
                (const int64_t[]){2, INT64_MAX - 2, -1, -1, -1, -1, -1, -1});
    assert_runs("", COUNT("-9223372036854775808", "9223372036854775807 step 9223372036854775807"),
                (const int64_t[]){3, INT64_MAX - 1, -1, -1, -1, -1, -1, -1});
}

static void loops_nest_and_take_registers(void **state) {
    (void)state;
    assert_runs("kernel @fill(o: i64*, n: i64) { for i in 0..n { hi = mov i for j in i..n step 3 { "
                "hi = add hi, j } "
                "store o[i], hi } }",
                "call @fill(%o[1], 6)", (const int64_t[]){-1, 3, 6, 9, 6, 8, 10, -1});
    /* the lower bound may change within; it was read before */
    assert_runs("", "a = const.i64 2 for i in a..5 { a = add a, a } store %o[0], a",
                (const int64_t[]){16, -1, -1, -1, -1, -1, -1, -1});
}

static void whiles_run_until_their_condition_is_false(void **state) {
    (void)state;
    /* 27 reaches 1 in 111 steps of Collatz; a loop may run no time at all */
    assert_runs("kernel @collatz(o: i64*, x: i64) { zero = const.i64 0 one = const.i64 1 "
                "two = const.i64 2 three = const.i64 3 n = mov zero go = lt one, x "
                "while go { r = rem x, two odd = eq r, one "
                "if odd { x = mul x, three x = add x, one } else { x = div x, two } "
                "n = add n, one go = lt one, x } store o[0], n }",
                "call @collatz(%o[0], 27) call @collatz(%o[1], 1) call @collatz(%o[2], 8)",
                (const int64_t[]){111, 0, 3, -1, -1, -1, -1, -1});
    assert_runs("",
                "z = const.i64 0 one = const.i64 1 three = const.i64 3 n = mov z i = mov z "
                "a = lt i, three while a { j = mov z b = lt j, i "
                "while b { n = add n, one j = add j, one b = lt j, i } "
                "i = add i, one a = lt i, three } store %o[0], n",
                (const int64_t[]){3, -1, -1, -1, -1, -1, -1, -1});
}

static void rounds_of_par_all_run(void **state) {
    (void)state;
    assert_runs("kernel @squares(o: i64*, n: i64) { par i in 0..n { x = mul i, i store o[i], x } }",
                "call @squares(%o[0], 7)", (const int64_t[]){0, 1, 4, 9, 16, 25, 36, -1});
}

static void steps_run_in_the_order_of_their_calls(void **state) {
    (void)state;
    assert_runs("kernel @add(o: i64*, n: i64) { x = load o[0] y = add x, n store o[0], y } "
                "step @zero { z = const.i64 0 store %o[0], z store %o[1], z } "
                "step @both { call @add(%o[0], 2) x = load %o[0] call @add(%o[1], x) }",
                "call @zero() call @both() call @both()",
                (const int64_t[]){4, 6, -1, -1, -1, -1, -1, -1});
}

static void branches(void **state) {
    (void)state;
    assert_runs("kernel @k(o: i64*, x: i64) { two = const.i64 2 c = lt x, two "
                "if c { y = neg x } else { y = add x, x } store o[x], y "
                "if c { store o[x + 4], x } "
                "if c { } else { store o[4], x } }",
                "for i in 0..4 { call @k(%o[0], i) }",
                (const int64_t[]){0, -1, 4, 6, 3, 1, -1, -1});
}

static void kernels_call_kernels(void **state) {
    (void)state;
    assert_runs("kernel @a(o: i64*, x: i64) { store o[0], x } "
                "kernel @b(o: i64*, x: i64) { call @a(o[x], x) y = add x, x call @a(o[0], y) } "
                "kernel @c(o: i64*) { for i in 1..3 { call @b(o[2*i - 2], i) } }",
                "call @c(%o[1])", (const int64_t[]){-1, 2, 1, 4, -1, 2, -1, -1});
}

static void kernels_get_fresh_arguments(void **state) {
    (void)state;
    assert_runs(
        "kernel @k(o: i64*, x: i64) { store o[0], x x = add x, x o = lea o[1] store o[0], x }",
        "n = const.i64 5 call @k(%o[0], n) call @k(%o[2], n) store %o[4], n",
        (const int64_t[]){5, 10, 5, 10, 5, -1, -1, -1});
}

static void addresses_are_sums(void **state) {
    (void)state;
    assert_runs(
        "kernel @k(i: i64*, o: i64*, a: i64, b: i64) { "
        "q = lea i[a + 100] q = lea q[-100] x = load q[b - 2*a + 2] "
        "r = lea o[-5] store r[a + 3*b + 4], x v = load.v2 i[a + 1] store.v2 o[2*b + 4], v }",
        "call @k(%i[0], %o[0], 1, 1)", (const int64_t[]){-1, -1, -1, 30, -1, -1, 30, 40});
    assert_runs("", "x = load_once.v2 %i[1] store.v2 %o[0], x y = load_once %i[3] store %o[2], y",
                (const int64_t[]){20, 30, 40, -1, -1, -1, -1, -1});
    /* buffers that share memory */
    assert_runs("", "x = load.v2 %i[1] store.v2 %x[0], x y = load.v2 %w[0] store.v2 %o[0], y",
                (const int64_t[]){20, 30, -1, -1, -1, -1, -1, -1});
}

static void memory_starts_poisoned(void **state) {
    (void)state;
    assert_runs("", "x = load %w[15] store %o[3], x",
                (const int64_t[]){-1, -1, -1, -1, -1, -1, -1, -1});
    Module *m =
        module_of("module @m target=generic arena=4 { buffer %w : f32[1] arena 0 "
                  "buffer %o : f32[2] output 0 \"\" run { x = load %w[0] store %o[0], x } }");
    float out[2] = {1, 1};
    Diag d = {0};
    assert_non_null(m);
    assert_true(module_eval(m, NULL, (void *const[]){out}, &d));
    assert_true(isnan(out[0]) && isnan(out[1]));
    module_free(m);
}

/* ---- faults --------------------------------------------------------------------------------- */

static void assert_fault(const char *kernels, const char *run, const char *want, const char *inst) {
    int64_t out[8];
    Diag d = {0};
    bool ok = run_text(kernels, run, out, &d);
    if (ok || !only_error_is(&d, want, inst))
        fail_msg("%s %s", kernels, run);
    diag_free(&d);
}

#define K(body)                                                                                    \
    "kernel @k(i: i64*, o: i64*, n: i64) { c = const.i64 7 v = const.v4.i64 7 " body " }"
#define CALL "call @k(%i[0], %o[0], 8)  # \"conv\"\n"

static void accesses_outside_are_found(void **state) {
    (void)state;
    assert_fault(K("x = load i[4]"), CALL,
                 "kernel @k: element 4 is outside %i, which has 4 elements", "x = load i[4]");
    assert_fault(K("x = load i[-1]"), CALL,
                 "kernel @k: element -1 is outside %i, which has 4 elements", "x = load i[-1]");
    assert_fault(K("x = load.v4 i[1]"), CALL,
                 "kernel @k: elements 1 to 4 are not all inside %i, which has 4 elements",
                 "x = load.v4 i[1]");
    assert_fault(K("x = load.v4 i[-3]"), CALL,
                 "kernel @k: elements -3 to 0 are not all inside %i, which has 4 elements",
                 "x = load.v4 i[-3]");
    assert_fault(K("x = load_once.v4 i[1]"), CALL,
                 "kernel @k: elements 1 to 4 are not all inside %i, which has 4 elements",
                 "x = load_once.v4 i[1]");
    assert_fault(K("x = load.v16 i[0]"), CALL,
                 "kernel @k: elements 0 to 15 are not all inside %i, which has 4 elements",
                 "x = load.v16 i[0]");
    assert_fault(K("x = splat.v4 i[n - 4]"), CALL,
                 "kernel @k: element 4 is outside %i, which has 4 elements",
                 "x = splat.v4 i[n - 4]");
    assert_fault(K("store o[n], c"), CALL,
                 "kernel @k: element 8 is outside %o, which has 8 elements", "store o[n], c");
    assert_fault(K("store.v4 o[n - 3], v"), CALL,
                 "kernel @k: elements 5 to 8 are not all inside %o, which has 8 elements",
                 "store.v4 o[n - 3], v");
    assert_fault(K("q = lea o[-3] r = lea q[2*n] store r[-5], c"), CALL,
                 "kernel @k: element 8 is outside %o, which has 8 elements", "store r[-5], c");
}

static void addresses_wrap_without_harm(void **state) {
    (void)state;
    assert_fault(K("m = const.i64 9223372036854775807 x = load i[9223372036854775807*m + 3*n]"),
                 CALL, "kernel @k: element 25 is outside %i, which has 4 elements",
                 "x = load i[9223372036854775807*m + 3*n]");
    assert_fault(K("q = lea i[9223372036854775807] x = load.v4 q[0]"), CALL,
                 "kernel @k: elements 9223372036854775807 to -9223372036854775806 are not all "
                 "inside %i, which has 4 "
                 "elements",
                 "x = load.v4 q[0]");
}

static void stores_to_inputs_are_found(void **state) {
    (void)state;
    assert_fault(K("store i[0], c"), CALL, "kernel @k: %i is only for reading", "store i[0], c");
}

static void divisions_without_quotient_are_found(void **state) {
    (void)state;
    assert_fault(K("z = const.i64 0 x = div n, z"), CALL, "kernel @k: the division has no quotient",
                 "x = div n, z");
    assert_fault(K("z = const.i64 0 x = rem n, z"), CALL, "kernel @k: the division has no quotient",
                 "x = rem n, z");
    assert_fault(K("l = const.i64 -9223372036854775808 z = const.i64 -1 x = div l, z"), CALL,
                 "kernel @k: the division has no quotient", "x = div l, z");
    assert_fault(K("l = const.v4.i8 -128 z = const.v4.i8 -1 x = div l, z"), CALL,
                 "kernel @k: the division has no quotient", "x = div l, z");
    assert_fault(K("l = const.v4.u8 9 z = const.v4.u8 0 x = div l, z"), CALL,
                 "kernel @k: the division has no quotient", "x = div l, z");
}

/* Runs `body` with fuel for so many rounds and calls. */
static bool ends_within(int64_t fuel, const char *body, Diag *d) {
    Arena a = {0};
    Module *m = module_of(arena_printf(&a,
                                       "module @m target=generic { kernel @e() { } run { "
                                       "t = const.bool 1 %s } }",
                                       body));
    arena_free(&a);
    assert_non_null(m);
    bool ok = module_eval_fuel(m, NULL, NULL, fuel, d);
    module_free(m);
    return ok;
}

static void endless_programs_are_stopped(void **state) {
    (void)state;
    static const char *const endless[] = {
        "while t { t = mov t }",
        "for i in 0..9223372036854775807 { }",
        "for i in 0..9223372036854775807 { for j in i..i { } }",
        "while t { for j in 0..9 { } t = mov t }",
        "call @e() call @e() call @e() call @e() call @e() for i in 0..96 { }",
    };
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
        Diag d = {0};
        assert_false(ends_within(100, endless[i], &d));
        assert_int_equal(diag_exit_code(&d), EXIT_BUDGET);
        diag_free(&d);
    }
    Diag d = {0};
    assert_true(ends_within(100, "for i in 0..90 { } call @e() call @e()", &d));
    diag_free(&d);
}

static void faults_name_all_callers(void **state) {
    (void)state;
    int64_t out[8];
    Diag d = {0};
    assert_false(
        run_text("kernel @a(o: i64*) { x = load o[9] } kernel @b(o: i64*) { call @a(o[1]) }",
                 "for i in 0..3 { call @b(%o[i])  # \"conv_3\"\n }", out, &d));
    assert_int_equal(d.errors, 1);
    const DiagItem *item = d.items.data[0];
    assert_string_equal(item->where, "m");
    assert_string_equal(item->message, "kernel @a: element 10 is outside %o, which has 8 elements");
    assert_int_equal(item->notes.len, 3);
    assert_string_equal(item->notes.data[0].text, "x = load o[9]");
    assert_string_equal(item->notes.data[1].text, "call @a(o[1])");
    assert_string_equal(item->notes.data[2].text, "call @b(%o[i])  # \"conv_3\"");
    diag_free(&d);
}

static void missing_weights_are_an_error(void **state) {
    (void)state;
    Module *m = module_of("module @m target=generic weights=4 xxh:0000000000000001 { "
                          "buffer %w : f32[1] weights 0 run { x = load %w[0] } }");
    Diag d = {0};
    assert_non_null(m);
    assert_false(module_eval(m, NULL, NULL, &d));
    assert_int_equal(d.errors, 1);
    assert_string_equal(d.items.data[0]->message, "the weights are missing");
    diag_free(&d);
    module_free(m);
}

static void weights_are_read_and_never_written(void **state) {
    (void)state;
    static const float weights[4] = {1, 2, 3, 4};
    static const char *const runs[] = {"x = load %w[1] store %o[0], x",
                                       "x = load %w[1] store %w[0], x"};
    for (int i = 0; i < 2; i++) {
        Buf b = {0};
        buf_printf(&b,
                   "module @m target=generic weights=16 { buffer %%w : f32[2] weights 8 "
                   "buffer %%o : f32[1] output 0 \"\" run { %s } }",
                   runs[i]);
        Module *m = module_of(b.data);
        float out;
        Diag d = {0};
        assert_non_null(m);
        m->weights = tensor_wrap(&m->arena, DT_u8, SHAPE(16), weights);
        assert_int_equal(module_eval(m, NULL, (void *const[]){&out}, &d), i == 0);
        if (i == 0)
            assert_true(out == 4);
        else
            assert_true(only_error_is(&d, "run: %w is only for reading", "store %w[0], x"));
        diag_free(&d);
        module_free(m);
        buf_free(&b);
    }
}

static void broken_modules_do_not_run(void **state) {
    (void)state;
    assert_fault("kernel @k(p: i64*) { x = const.i64 1 y = const.f32 1 z = add x, y }", "",
                 "kernel @k: y is f32, wanted i64", "z = add x, y");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops_count),
        cmocka_unit_test(loops_nest_and_take_registers),
        cmocka_unit_test(whiles_run_until_their_condition_is_false),
        cmocka_unit_test(rounds_of_par_all_run),
        cmocka_unit_test(steps_run_in_the_order_of_their_calls),
        cmocka_unit_test(branches),
        cmocka_unit_test(kernels_call_kernels),
        cmocka_unit_test(kernels_get_fresh_arguments),
        cmocka_unit_test(addresses_are_sums),
        cmocka_unit_test(memory_starts_poisoned),
        cmocka_unit_test(accesses_outside_are_found),
        cmocka_unit_test(addresses_wrap_without_harm),
        cmocka_unit_test(stores_to_inputs_are_found),
        cmocka_unit_test(divisions_without_quotient_are_found),
        cmocka_unit_test(endless_programs_are_stopped),
        cmocka_unit_test(faults_name_all_callers),
        cmocka_unit_test(missing_weights_are_an_error),
        cmocka_unit_test(weights_are_read_and_never_written),
        cmocka_unit_test(broken_modules_do_not_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
