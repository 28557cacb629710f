/* Evaluators of reductions, and of what picks elements by size, against values by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/graph_text.h"

static const char reductions[] =
    "graph @t() -> (f32[2,1], f32[2,1], f32[3], f32[3], f32[], f32[], f32[2], f32[2], i8[], i8[],"
    " u8[], u8[]) {\n"
    "  const @x : f32[2,3] = [1, 2, 3, -4, 5, nan]\n"
    "  const @sums : f32[2,1] = [6, nan]\n"
    "  const @products : f32[3] = [-4, 10, nan]\n"
    "  const @nan : f32[] = [nan]\n"
    "  const @most : f32[2] = [3, nan]\n"
    "  const @i : i8[3] = [100, 100, -1]\n"
    "  const @wrapped : i8[] = [-57]\n"
    "  const @u : u8[3] = [200, 3, 100]\n"
    "  const @least : u8[] = [3]\n"
    "  %1 = reduce_sum @x {axes=[1]} : f32[2,1]\n"
    "  %2 = reduce_prod @x {axes=[0], keepdims=false} : f32[3]\n"
    "  %3 = reduce_min @x {axes=[0, 1], keepdims=false} : f32[]\n"
    "  %4 = reduce_max @x {axes=[1], keepdims=false} : f32[2]\n"
    "  %5 = reduce_sum @i {axes=[0], keepdims=false} : i8[]\n"
    "  %6 = reduce_min @u {axes=[0], keepdims=false} : u8[]\n"
    "  return %1, @sums, %2, @products, %3, @nan, %4, @most, %5, @wrapped, %6, @least\n}\n";

static const char of_nothing[] =
    "graph @t() -> (f32[], f32[], f32[], f32[], f32[], f32[], i8[], i8[], bool[], bool[]) {\n"
    "  const @x : f32[0] = []\n"
    "  const @i : i8[0] = []\n"
    "  const @b : bool[0] = []\n"
    "  const @zero : f32[] = [0]\n"
    "  const @one : f32[] = [1]\n"
    "  const @low : f32[] = [-inf]\n"
    "  const @high : i8[] = [127]\n"
    "  const @yes : bool[] = [1]\n"
    "  %1 = reduce_sum @x {axes=[0], keepdims=false} : f32[]\n"
    "  %2 = reduce_prod @x {axes=[0], keepdims=false} : f32[]\n"
    "  %3 = reduce_max @x {axes=[0], keepdims=false} : f32[]\n"
    "  %4 = reduce_min @i {axes=[0], keepdims=false} : i8[]\n"
    "  %5 = reduce_min @b {axes=[0], keepdims=false} : bool[]\n"
    "  return %1, @zero, %2, @one, %3, @low, %4, @high, %5, @yes\n}\n";

static const char of_bool[] = "graph @t() -> (bool[2], bool[2], bool[2], bool[2]) {\n"
                              "  const @x : bool[2,2] = [0, 1, 1, 1]\n"
                              "  const @all : bool[2] = [0, 1]\n"
                              "  const @any : bool[2] = [1, 1]\n"
                              "  %1 = reduce_min @x {axes=[1], keepdims=false} : bool[2]\n"
                              "  %2 = reduce_max @x {axes=[1], keepdims=false} : bool[2]\n"
                              "  return %1, @all, %2, @any\n}\n";

static const char indices[] =
    "graph @t() -> (i64[1,3], i64[1,3], i64[2], i64[2], i64[2], i64[2], i64[], i64[]) {\n"
    "  const @x : f32[2,3] = [1, 5, 5, 1, 2, 9]\n"
    "  const @columns : i64[1,3] = [0, 0, 1]\n"
    "  const @first : i64[2] = [1, 2]\n"
    "  const @last : i64[2] = [2, 2]\n"
    "  const @n : f32[3] = [1, nan, inf]\n"
    "  const @at_nan : i64[] = [1]\n"
    "  %1 = arg_max @x : i64[1,3]\n"
    "  %2 = arg_max @x {axis=1, keepdims=false} : i64[2]\n"
    "  %3 = arg_max @x {axis=1, keepdims=false, last=true} : i64[2]\n"
    "  %4 = arg_max @n {keepdims=false} : i64[]\n"
    "  return %1, @columns, %2, @first, %3, @last, %4, @at_nan\n}\n";

static const char least_indices[] = "graph @t() -> (i64[3], i64[3], i64[3], i64[3]) {\n"
                                    "  const @x : i8[2,3] = [1, -5, 5, 1, 2, -9]\n"
                                    "  const @first : i64[3] = [0, 0, 1]\n"
                                    "  const @last : i64[3] = [1, 0, 1]\n"
                                    "  %1 = arg_min @x {keepdims=false} : i64[3]\n"
                                    "  %2 = arg_min @x {keepdims=false, last=true} : i64[3]\n"
                                    "  return %1, @first, %2, @last\n}\n";

static const char largest[] = "graph @t() -> (f32[1,5], f32[1,5], i64[1,5], i64[1,5], u8[2,2], "
                              "u8[2,2], i64[2,2], i64[2,2]) {\n"
                              "  const @x : f32[1,6] = [3, -1, 3, nan, 7, inf]\n"
                              "  const @values : f32[1,5] = [nan, inf, 7, 3, 3]\n"
                              "  const @at : i64[1,5] = [3, 5, 4, 0, 2]\n"
                              "  const @u : u8[3,2] = [200, 1, 2, 3, 200, 2]\n"
                              "  const @small : u8[2,2] = [2, 1, 200, 2]\n"
                              "  const @small_at : i64[2,2] = [1, 0, 0, 2]\n"
                              "  %3, %4 = top_k @x {axis=1, k=5} : f32[1,5], i64[1,5]\n"
                              "  %5, %6 = top_k @u {k=2, largest=false} : u8[2,2], i64[2,2]\n"
                              "  return %3, @values, %4, @at, %5, @small, %6, @small_at\n}\n";

static const struct {
    const char *name, *text;
} cases[] = {
    {"reductions", reductions}, {"of nothing", of_nothing}, {"of bool", of_bool},
    {"arg_max", indices},       {"arg_min", least_indices}, {"top_k", largest},
};

static void values_are_right(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!graph_values_match(cases[i].text, 0))
            fail_msg("%s", cases[i].name);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_are_right)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
