/* Numeric tests of ir/graph_eval_move.c: the oracle's ops that move elements, of several sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/graph_text.h"

static const char transposing[] =
    "graph @t() -> (f32[3,2], f32[3,2], i8[2,1,3], i8[2,1,3], f64[], f64[], f32[0,2], f32[0,2]) {\n"
    "  const @x : f32[2,3] = [1, 2, 3, 4, 5, 6]\n"
    "  const @want : f32[3,2] = [1, 4, 2, 5, 3, 6]\n"
    "  const @i : i8[1,3,2] = [1, 2, 3, 4, 5, 6]\n"
    "  const @want8 : i8[2,1,3] = [1, 3, 5, 2, 4, 6]\n"
    "  const @scalar : f64[] = [0.1]\n"
    "  const @none : f32[2,0] = []\n"
    "  const @nothing : f32[0,2] = []\n"
    "  %1 = transpose @x {perm=[1, 0]} : f32[3,2]\n"
    "  %2 = transpose @i {perm=[2, 0, 1]} : i8[2,1,3]\n"
    "  %3 = transpose @scalar : f64[]\n"
    "  %4 = transpose @none {perm=[1, 0]} : f32[0,2]\n"
    "  return %1, @want, %2, @want8, %3, @scalar, %4, @nothing\n}\n";

static const char concatenating[] =
    "graph @t() -> (i64[5], i64[5], f32[2,4], f32[2,4], f16[3,1], f16[3,1]) {\n"
    "  const @a : i64[2] = [9007199254740993, 2]\n"
    "  const @b : i64[0] = []\n"
    "  const @c : i64[3] = [3, 4, 5]\n"
    "  const @abc : i64[5] = [9007199254740993, 2, 3, 4, 5]\n"
    "  const @m : f32[2,1] = [1, 2]\n"
    "  const @n : f32[2,3] = [3, 4, 5, 6, 7, 8]\n"
    "  const @mn : f32[2,4] = [1, 3, 4, 5, 2, 6, 7, 8]\n"
    "  const @h : f16[1,1] = [1]\n"
    "  const @k : f16[2,1] = [2, 3]\n"
    "  const @hk : f16[3,1] = [1, 2, 3]\n"
    "  %1 = concat @a, @b, @c : i64[5]\n"
    "  %2 = concat @m, @n {axis=1} : f32[2,4]\n"
    "  %3 = concat @h, @k : f16[3,1]\n"
    "  return %1, @abc, %2, @mn, %3, @hk\n}\n";

static const char slicing[] =
    "graph @t() -> (f32[2,2], f32[2,2], f32[2,3], f32[2,3], u8[3], u8[3], f32[2,0], f32[2,0], "
    "i64[1],"
    " i64[1], f32[], f32[]) {\n"
    "  const @x : f32[2,3] = [1, 2, 3, 4, 5, 6]\n"
    "  const @outer : f32[2,2] = [1, 3, 4, 6]\n"
    "  const @turned : f32[2,3] = [6, 5, 4, 3, 2, 1]\n"
    "  const @u : u8[7] = [0, 1, 2, 3, 4, 5, 6]\n"
    "  const @every : u8[3] = [6, 3, 0]\n"
    "  const @none : f32[2,0] = []\n"
    "  const @i : i64[2] = [1, 9007199254740993]\n"
    "  const @last : i64[1] = [9007199254740993]\n"
    "  const @scalar : f32[] = [7]\n"
    "  %1 = slice @x {starts=[0, 0], sizes=[2, 2], steps=[1, 2]} : f32[2,2]\n"
    "  %2 = slice @x {starts=[1, 2], sizes=[2, 3], steps=[-1, -1]} : f32[2,3]\n"
    "  %3 = slice @u {starts=[6], sizes=[3], steps=[-3]} : u8[3]\n"
    "  %4 = slice @x {starts=[0, 3], sizes=[2, 0], steps=[1, 1]} : f32[2,0]\n"
    "  %5 = slice @i {starts=[1], sizes=[1], steps=[9223372036854775807]} : i64[1]\n"
    "  %6 = slice @scalar : f32[]\n"
    "  return %1, @outer, %2, @turned, %3, @every, %4, @none, %5, @last, %6, @scalar\n}\n";

static const char gathering[] = "graph @t() -> (f32[2,2], f32[2,2], f32[2,2,2], f32[2,2,2], i64[], "
                                "i64[], f32[0,3], f32[0,3]) {\n"
                                "  const @x : f32[2,3] = [1, 2, 3, 4, 5, 6]\n"
                                "  const @ends : i64[2] = [0, -1]\n"
                                "  const @want : f32[2,2] = [1, 3, 4, 6]\n"
                                "  const @square : i32[2,2] = [2, 0, -3, 1]\n"
                                "  const @want2 : f32[2,2,2] = [3, 1, 1, 2, 6, 4, 4, 5]\n"
                                "  const @dims : i64[4] = [1, 3, 9007199254740993, 7]\n"
                                "  const @two : i64[] = [2]\n"
                                "  const @want3 : i64[] = [9007199254740993]\n"
                                "  const @no : i64[0] = []\n"
                                "  const @nothing : f32[0,3] = []\n"
                                "  %1 = gather @x, @ends {axis=1} : f32[2,2]\n"
                                "  %2 = gather @x, @square {axis=1} : f32[2,2,2]\n"
                                "  %3 = gather @dims, @two : i64[]\n"
                                "  %4 = gather @x, @no : f32[0,3]\n"
                                "  return %1, @want, %2, @want2, %3, @want3, %4, @nothing\n}\n";

static const char expanding[] = "graph @t() -> (f32[2,3], f32[2,3], f32[2,3], f32[2,3], i8[2,2,1], "
                                "i8[2,2,1], f32[0,3], f32[0,3]) {\n"
                                "  const @row : f32[3] = [1, 2, 3]\n"
                                "  const @rows : f32[2,3] = [1, 2, 3, 1, 2, 3]\n"
                                "  const @column : f32[2,1] = [1, 2]\n"
                                "  const @columns : f32[2,3] = [1, 1, 1, 2, 2, 2]\n"
                                "  const @i : i8[2,1] = [1, 2]\n"
                                "  const @want : i8[2,2,1] = [1, 2, 1, 2]\n"
                                "  const @nothing : f32[0,3] = []\n"
                                "  %1 = expand @row {shape=[2, 3]} : f32[2,3]\n"
                                "  %2 = expand @column {shape=[2, 3]} : f32[2,3]\n"
                                "  %3 = expand @i {shape=[2, 2, 1]} : i8[2,2,1]\n"
                                "  %4 = expand @row {shape=[0, 3]} : f32[0,3]\n"
                                "  return %1, @rows, %2, @columns, %3, @want, %4, @nothing\n}\n";

static const char padding[] =
    "graph @t() -> (f32[2,4], f32[2,4], i64[3], i64[3], f16[2], f16[2], f32[2], f32[2], f32[], "
    "f32[]) {\n"
    "  const @x : f32[1,2] = [1, 2]\n"
    "  const @want : f32[2,4] = [0.5, 1, 2, 0.5, 0.5, 0.5, 0.5, 0.5]\n"
    "  const @i : i64[1] = [9007199254740993]\n"
    "  const @want64 : i64[3] = [0, 0, 9007199254740993]\n"
    "  const @h : f16[0] = []\n"
    "  const @want16 : f16[2] = [-inf, -inf]\n"
    "  const @one : f32[1] = [1]\n"
    "  const @negative : f32[2] = [1, -0]\n"
    "  const @scalar : f32[] = [3]\n"
    "  %1 = pad @x {before=[0, 1], after=[1, 1], value=0.5} : f32[2,4]\n"
    "  %2 = pad @i {before=[2], after=[0]} : i64[3]\n"
    "  %3 = pad @h {before=[1], after=[1], value=-inf} : f16[2]\n"
    "  %4 = pad @one {before=[0], after=[1], value=-0} : f32[2]\n"
    "  %5 = pad @scalar : f32[]\n"
    "  return %1, @want, %2, @want64, %3, @want16, %4, @negative, %5, @scalar\n}\n";

static const struct {
    const char *name, *text;
} cases[] = {
    {"transpose", transposing}, {"concat", concatenating}, {"slice", slicing},
    {"gather", gathering},      {"expand", expanding},     {"pad", padding},
};

static void values_are_right(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!graph_values_match(cases[i].text, 0))
            fail_msg("%s", cases[i].name);
}

#define GATHER(index)                                                                              \
    "graph @t() -> f32[1] {\n  const @x : f32[3] = [1, 2, 3]\n"                                    \
    "  const @i : i64[1] = [" index "]\n  %y = gather @x, @i : f32[1]\n  return %y\n}\n"

static void indices_out_of_range_are_errors(void **state) {
    (void)state;
    assert_true(graph_eval_fails(GATHER("3"), "index 3 is out of range for a dim of 3"));
    assert_true(graph_eval_fails(GATHER("-4"), "index -4 is out of range for a dim of 3"));
    assert_true(graph_eval_fails(GATHER("9223372036854775807"), "is out of range"));
    assert_true(graph_eval_fails(GATHER("-9223372036854775808"), "is out of range"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_right),
        cmocka_unit_test(indices_out_of_range_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
