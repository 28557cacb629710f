/* Evaluators of functions, comparisons, logic, powers and remainders against values by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/graph_text.h"

static const char functions[] =
    "graph @t() -> (f32[4], f32[4], f32[2], f32[2], f32[5], f32[5], i8[3], i8[3], i8[3], i8[3]) {\n"
    "  const @x : f32[4] = [-0, 1, nan, -inf]\n"
    "  const @want_erf : f32[4] = [-0, 0.8427007929497149, nan, -1]\n"
    "  const @y : f32[2] = [1, 0]\n"
    "  const @want_log : f32[2] = [0, -inf]\n"
    "  const @z : f32[5] = [-2.5, -0.5, 0.5, 1.5, nan]\n"
    "  const @want_round : f32[5] = [-2, -0, 0, 2, nan]\n"
    "  const @i : i8[3] = [-128, -3, 5]\n"
    "  const @want_abs : i8[3] = [-128, 3, 5]\n"
    "  const @want_sign : i8[3] = [-1, -1, 1]\n"
    "  %1 = erf @x : f32[4]\n"
    "  %2 = log @y : f32[2]\n"
    "  %3 = round @z : f32[5]\n"
    "  %4 = abs @i : i8[3]\n"
    "  %5 = sign @i : i8[3]\n"
    "  return %1, @want_erf, %2, @want_log, %3, @want_round, %4, @want_abs, %5, @want_sign\n}\n";

/* Of 0.5 in double precision, by tables. */
static const char tables[] =
    "graph @t() -> (f64[1], f64[1], f64[1], f64[1], f64[1], f64[1], f64[1], f64[1], f64[1], f64[1],"
    " f64[1], f64[1], f64[1], f64[1], f64[1], f64[1], f64[1], f64[1], f64[1], f64[1]) {\n"
    "  const @x : f64[1] = [0.5]\n"
    "  const @two : f64[1] = [2]\n"
    "  const @sin : f64[1] = [0.479425538604203]\n"
    "  const @cos : f64[1] = [0.8775825618903728]\n"
    "  const @tan : f64[1] = [0.5463024898437905]\n"
    "  const @asin : f64[1] = [0.5235987755982989]\n"
    "  const @acos : f64[1] = [1.0471975511965979]\n"
    "  const @atan : f64[1] = [0.4636476090008061]\n"
    "  const @sinh : f64[1] = [0.5210953054937474]\n"
    "  const @cosh : f64[1] = [1.1276259652063807]\n"
    "  const @atanh : f64[1] = [0.5493061443340548]\n"
    "  const @acosh : f64[1] = [1.3169578969248166]\n"
    "  %1 = sin @x : f64[1]\n"
    "  %2 = cos @x : f64[1]\n"
    "  %3 = tan @x : f64[1]\n"
    "  %4 = asin @x : f64[1]\n"
    "  %5 = acos @x : f64[1]\n"
    "  %6 = atan @x : f64[1]\n"
    "  %7 = sinh @x : f64[1]\n"
    "  %8 = cosh @x : f64[1]\n"
    "  %9 = atanh @x : f64[1]\n"
    "  %10 = acosh @two : f64[1]\n"
    "  return %1, @sin, %2, @cos, %3, @tan, %4, @asin, %5, @acos, %6, @atan, %7, @sinh, %8, @cosh,"
    " %9, @atanh, %10, @acosh\n}\n";

static const char more_tables[] = "graph @t() -> (f64[1], f64[1], f64[1], f64[1]) {\n"
                                  "  const @x : f64[1] = [0.5]\n"
                                  "  const @tanh : f64[1] = [0.46211715726000973]\n"
                                  "  const @asinh : f64[1] = [0.48121182505960347]\n"
                                  "  %1 = tanh @x : f64[1]\n"
                                  "  %2 = asinh @x : f64[1]\n"
                                  "  return %1, @tanh, %2, @asinh\n}\n";

static const char comparisons[] =
    "graph @t() -> (bool[3,2], bool[3,2], bool[3,2], bool[3,2], bool[3,2], bool[3,2], bool[2],"
    " bool[2], bool[2], bool[2]) {\n"
    "  const @x : f32[3,1] = [1, 2, nan]\n"
    "  const @y : f32[2] = [1, 2]\n"
    "  const @eq : bool[3,2] = [1, 0, 0, 1, 0, 0]\n"
    "  const @lt : bool[3,2] = [0, 1, 0, 0, 0, 0]\n"
    "  const @le : bool[3,2] = [1, 1, 0, 1, 0, 0]\n"
    "  const @i : i8[2] = [-1, 1]\n"
    "  const @one : i8[] = [1]\n"
    "  const @u : u8[2] = [255, 1]\n"
    "  const @uone : u8[] = [1]\n"
    "  const @first : bool[2] = [1, 0]\n"
    "  const @neither : bool[2] = [0, 0]\n"
    "  %1 = equal @x, @y : bool[3,2]\n"
    "  %2 = less @x, @y : bool[3,2]\n"
    "  %3 = less_equal @x, @y : bool[3,2]\n"
    "  %4 = less @i, @one : bool[2]\n"
    "  %5 = less @u, @uone : bool[2]\n"
    "  return %1, @eq, %2, @lt, %3, @le, %4, @first, %5, @neither\n}\n";

static const char logic[] =
    "graph @t() -> (bool[2,2], bool[2,2], bool[2,2], bool[2,2], bool[2,2], bool[2,2], bool[2],"
    " bool[2], i8[], i8[], f32[2,2], f32[2,2]) {\n"
    "  const @a : bool[2,1] = [0, 1]\n"
    "  const @b : bool[2] = [0, 1]\n"
    "  const @and : bool[2,2] = [0, 0, 0, 1]\n"
    "  const @or : bool[2,2] = [0, 1, 1, 1]\n"
    "  const @xor : bool[2,2] = [0, 1, 1, 0]\n"
    "  const @not : bool[2] = [1, 0]\n"
    "  const @i : i8[] = [12]\n"
    "  const @j : i8[] = [10]\n"
    "  const @six : i8[] = [6]\n"
    "  const @x : f32[2] = [nan, 2]\n"
    "  const @y : f32[] = [-0]\n"
    "  const @chosen : f32[2,2] = [-0, -0, nan, 2]\n"
    "  %1 = and @a, @b : bool[2,2]\n"
    "  %2 = or @a, @b : bool[2,2]\n"
    "  %3 = xor @a, @b : bool[2,2]\n"
    "  %4 = not @b : bool[2]\n"
    "  %5 = xor @i, @j : i8[]\n"
    "  %6 = where @a, @x, @y : f32[2,2]\n"
    "  return %1, @and, %2, @or, %3, @xor, %4, @not, %5, @six, %6, @chosen\n}\n";

static const char powers[] = "graph @t() -> (f32[4], f32[4], i32[5], i32[5], u8[2], u8[2]) {\n"
                             "  const @x : f32[4] = [2, 4, -8, 0]\n"
                             "  const @e : f32[4] = [-1, 0.5, 0.5, 0]\n"
                             "  const @want : f32[4] = [0.5, 2, nan, 1]\n"
                             "  const @i : i32[5] = [-3, 2, -1, -1, 7]\n"
                             "  const @k : i32[5] = [3, -1, -3, -4, 0]\n"
                             "  const @want_i : i32[5] = [-27, 0, -1, 1, 1]\n"
                             "  const @u : u8[2] = [2, 255]\n"
                             "  const @n : u8[2] = [9, 2]\n"
                             "  const @want_u : u8[2] = [0, 1]\n"
                             "  %1 = pow @x, @e : f32[4]\n"
                             "  %2 = pow @i, @k : i32[5]\n"
                             "  %3 = pow @u, @n : u8[2]\n"
                             "  return %1, @want, %2, @want_i, %3, @want_u\n}\n";

static const char remainders[] =
    "graph @t() -> (i32[5], i32[5], i32[5], i32[5], f32[3], f32[3], f32[3], f32[3]) {\n"
    "  const @a : i32[5] = [7, -7, 7, -7, -2147483648]\n"
    "  const @b : i32[5] = [3, 3, -3, -3, -1]\n"
    "  const @fmod : i32[5] = [1, -1, 1, -1, 0]\n"
    "  const @mod : i32[5] = [1, 2, -2, -1, 0]\n"
    "  const @x : f32[3] = [-4.5, 4.5, 1]\n"
    "  const @y : f32[3] = [2, -2, 0]\n"
    "  const @fmod_f : f32[3] = [-0.5, 0.5, nan]\n"
    "  const @mod_f : f32[3] = [1.5, -1.5, nan]\n"
    "  %1 = fmod @a, @b : i32[5]\n"
    "  %2 = mod @a, @b : i32[5]\n"
    "  %3 = fmod @x, @y : f32[3]\n"
    "  %4 = mod @x, @y : f32[3]\n"
    "  return %1, @fmod, %2, @mod, %3, @fmod_f, %4, @mod_f\n}\n";

static const char remainder_by_zero[] = "graph @t() -> i32[1] {\n"
                                        "  const @a : i32[1] = [7]\n"
                                        "  const @b : i32[1] = [0]\n"
                                        "  %y = mod @a, @b : i32[1]  # \"mod\"\n"
                                        "  return %y\n}\n";

static const struct {
    const char *name, *text;
    double tolerance;
} cases[] = {
    {"functions", functions, 0},         {"tables", tables, 1e-15},
    {"more tables", more_tables, 1e-15}, {"comparisons", comparisons, 0},
    {"logic and choice", logic, 0},      {"powers", powers, 0},
    {"remainders", remainders, 0},
};

static void values_are_right(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!graph_values_match(cases[i].text, cases[i].tolerance))
            fail_msg("%s", cases[i].name);
}

static void a_remainder_by_zero_is_an_error(void **state) {
    (void)state;
    assert_true(graph_eval_fails(remainder_by_zero, "integer division by zero"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_right),
        cmocka_unit_test(a_remainder_by_zero_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
