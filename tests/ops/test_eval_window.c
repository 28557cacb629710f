/* Numeric tests of ir/graph_eval_window.c: the oracle's pooling and resizing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/graph_text.h"

static const char maximum[] =
    "graph @t() -> (f32[1,1,2,2], f32[1,1,2,2], f32[1,1,2,3], f32[1,1,2,3], i8[1,1,1,1], "
    "i8[1,1,1,1], f32[1,1,1,2], f32[1,1,1,2]) {\n"
    "  const @x : f32[1,1,3,3] = [1, 2, 3, 4, 9, 6, 7, 8, 5]\n"
    "  const @i : i8[1,1,2,2] = [-5, -3, -4, -128]\n"
    "  const @nan : f32[1,1,1,3] = [nan, 2, -inf]\n"
    "  const @want : f32[1,1,2,2] = [9, 9, 9, 9]\n"
    "  const @want2 : f32[1,1,2,3] = [-inf, 1, 2, -inf, 7, 8]\n"
    "  const @want3 : i8[1,1,1,1] = [-3]\n"
    "  const @want4 : f32[1,1,1,2] = [nan, 2]\n"
    "  %1 = max_pool @x {kernel=2x2} : f32[1,1,2,2]\n"
    "  %2 = max_pool @x {kernel=2x1, stride=2x1, pad=1x1x0x0, dilation=2x1} : f32[1,1,1,4]\n"
    "  %3 = max_pool @x {kernel=1x1, stride=2x1, pad=0x1x0x0} : f32[1,1,2,4]\n"
    "  %4 = slice %3 {starts=[0, 0, 0, 0], sizes=[1, 1, 2, 3], steps=[1, 1, 1, 1]} : "
    "f32[1,1,2,3]\n"
    "  %5 = max_pool @i {kernel=2x2} : i8[1,1,1,1]\n"
    "  %6 = max_pool @nan {kernel=1x2} : f32[1,1,1,2]\n"
    "  return %1, @want, %4, @want2, %5, @want3, %6, @want4\n}\n";

static const char mean[] =
    "graph @t() -> (f32[1,1,2,2], f32[1,1,2,2], f32[1,1,2,2], f32[1,1,2,2], f32[1,1,2,2], "
    "f32[1,1,2,2], f64[1,1,1,2], f64[1,1,1,2]) {\n"
    "  const @x : f32[1,1,2,2] = [1, 2, 3, 6]\n"
    "  const @d : f64[1,1,1,4] = [0.1, 7, 0.3, 9]\n"
    "  const @inside : f32[1,1,2,2] = [1, 1.5, 2, 3]\n"
    "  const @all : f32[1,1,2,2] = [0.25, 0.75, 1, 3]\n"
    "  const @some : f32[1,1,2,2] = [0.5, 1.5, 1, 3]\n"
    "  const @odd : f64[1,1,1,2] = [0.2, 8]\n"
    "  %1 = avg_pool @x {kernel=2x2, pad=1x1x0x0} : f32[1,1,2,2]\n"
    "  %2 = avg_pool @x {kernel=2x2, pad=1x1x0x0, counted=1x1x0x0} : f32[1,1,2,2]\n"
    "  %3 = avg_pool @x {kernel=2x2, pad=1x1x0x0, counted=0x1x0x0} : f32[1,1,2,2]\n"
    "  %4 = avg_pool @d {kernel=1x2, dilation=1x2} : f64[1,1,1,2]\n"
    "  return %1, @inside, %2, @all, %3, @some, %4, @odd\n}\n";

static const char resizing[] =
    "graph @t() -> (i64[1,1,2,4], i64[1,1,2,4], f32[1,1,3,2], f32[1,1,3,2], f64[1,1,2,2], "
    "f64[1,1,2,2]) {\n"
    "  const @i : i64[1,1,1,2] = [9007199254740993, 2]\n"
    "  const @twice : i32[2,1] = [0, 0]\n"
    "  const @columns : i64[4,1] = [1, 1, 0, 0]\n"
    "  const @want64 : i64[1,1,2,4] = [2, 2, 9007199254740993, 9007199254740993, 2, 2, "
    "9007199254740993, 9007199254740993]\n"
    "  const @x : f32[1,1,2,2] = [1, 2, 3, 4]\n"
    "  const @rows : i64[3,2] = [0, 0, 0, 1, 1, 1]\n"
    "  const @halves : f32[3,2] = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]\n"
    "  const @want : f32[1,1,3,2] = [1, 2, 2, 3, 3, 4]\n"
    "  const @d : f64[1,1,2,2] = [1, 2, 3, 4]\n"
    "  const @out : i64[2,1] = [1, -1]\n"
    "  const @ones : f64[2,1] = [1, 1]\n"
    "  const @outside : f64[1,1,2,2] = [3, 4, 7, 7]\n"
    "  %1 = resize @i, @twice, @columns : i64[1,1,2,4]\n"
    "  %2 = resize @x, @rows, _, @halves : f32[1,1,3,2]\n"
    "  %3 = resize @d, @out, _, @ones {outside=7} : f64[1,1,2,2]\n"
    "  return %1, @want64, %2, @want, %3, @outside\n}\n";

static const char turns[] =
    "graph @t() -> (i64[1,2,2,3], i64[1,2,2,3]) {\n"
    "  const @a : i64[1,2,1,2] = [1, 2, 3, 4]\n"
    "  const @b : i64[1,2,1,1] = [10, 20]\n"
    "  const @c : i64[1,2,1,2] = [100, 200, 300, 400]\n"
    "  const @d : i64[1,2,1,1] = [1000, 2000]\n"
    "  const @want : i64[1,2,2,3] = [1, 10, 2, 100, 1000, 200, 3, 20, 4, 300, 2000, 400]\n"
    "  %1 = interleave @a, @b, @c, @d {steps=2x2} : i64[1,2,2,3]\n"
    "  return %1, @want\n}\n";

static const struct {
    const char *name, *text;
} cases[] = {
    {"maximum", maximum},
    {"mean", mean},
    {"resizing", resizing},
    {"turns", turns},
};

static void values_are_right(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!graph_values_match(cases[i].text, 1e-15))
            fail_msg("%s", cases[i].name);
}

#define POOL(op, attrs)                                                                            \
    "graph @t() -> f32[1,1,1,1] {\n  const @x : f32[1,1,2,2] = [1, 2, 3, 4]\n"                     \
    "  %y = " op " @x {" attrs "} : f32[1,1,1,1]\n  return %y\n}\n"

static void bad_windows_are_refused(void **state) {
    (void)state;
    assert_true(parse_fails(POOL("max_pool", "kernel=3x1"), NULL, "larger than the padded input"));
    assert_true(parse_fails(POOL("max_pool", "kernel=0x1"), NULL, "kernel must be from 1"));
    assert_true(parse_fails(POOL("max_pool", "kernel=2x2, pad=1x0x0x0, counted=1x0x0x0"), NULL,
                            "counted is for means"));
    assert_true(parse_fails(POOL("avg_pool", "kernel=2x2, counted=0x0x0x1"), NULL,
                            "counted is 1 on a side with a pad of 0"));
}

#define RESIZE(rows, operands)                                                                     \
    "graph @t() -> f32[1,1,2,2] {\n  const @x : f32[1,1,2,2] = [1, 2, 3, 4]\n"                     \
    "  const @rows : " rows "\n  const @w : f32[2,2] = [1, 2, 3, 4]\n"                             \
    "  %y = resize @x, " operands " : f32[1,1,2,2]\n  return %y\n}\n"

static void bad_tables_are_refused(void **state) {
    (void)state;
    assert_true(parse_fails(RESIZE("f32[2,1] = [0, 1]", "@rows"), NULL, "must be i64 or i32"));
    assert_true(parse_fails(RESIZE("i64[2] = [0, 1]", "@rows"), NULL, "must have rank 2"));
    assert_true(parse_fails(RESIZE("i64[2,0] = []", "@rows"), NULL, "has 0 elements"));
    assert_true(parse_fails(RESIZE("i64[2,1] = [0, 1]", "@rows, _, @w"), NULL, "have shape [2,1]"));
    assert_true(parse_fails(RESIZE("i64[2,1] = [0, 1]", "_, @rows, @w"), NULL, "without elements"));
    assert_true(graph_eval_fails(RESIZE("i64[2,1] = [0, 2]", "@rows"), "2 is out of range for 2"));
    assert_true(graph_eval_fails(RESIZE("i64[2,1] = [0, -2]", "@rows"), "-2 is out of range"));
}

#define TURNS(operands, steps, type)                                                               \
    "graph @t() -> " type " {\n  const @a : f32[1,1,1,2] = [1, 2]\n"                               \
    "  const @b : f32[1,1,1,1] = [1]\n  %y = interleave " operands " {steps=" steps "} : " type    \
    "\n  return %y\n}\n"

static void bad_turns_are_refused(void **state) {
    (void)state;
    assert_true(parse_fails(TURNS("@a, @b", "2x2", "f32[1,1,2,3]"), NULL, "2 operands for 2x2"));
    assert_true(parse_fails(TURNS("@a, @b", "0x2", "f32[1,1,1,3]"), NULL, "steps must be"));
    assert_true(parse_fails(TURNS("@b, @a", "1x2", "f32[1,1,1,3]"), NULL, "has 1 columns, of 3"));
    assert_true(parse_fails(TURNS("@a, @b", "2x1", "f32[1,1,2,2]"), NULL, "operand 1 doesn't fit"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_right),
        cmocka_unit_test(bad_windows_are_refused),
        cmocka_unit_test(bad_tables_are_refused),
        cmocka_unit_test(bad_turns_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
