/* Evaluators of the ops that find elements by indices, against values by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/graph_text.h"

/* Indices of fewer rows than x has; negative ones. */
static const char elements[] = "graph @t() -> (f32[2,3], f32[2,3], u8[2,2], u8[2,2]) {\n"
                               "  const @x : f32[3,3] = [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
                               "  const @i : i64[2,3] = [1, 2, 0, -1, 0, 0]\n"
                               "  const @columns : f32[2,3] = [4, 8, 3, 7, 2, 3]\n"
                               "  const @u : u8[2,2] = [1, 2, 3, 4]\n"
                               "  const @j : i32[2,2] = [0, 0, -1, -2]\n"
                               "  const @rows : u8[2,2] = [1, 1, 4, 3]\n"
                               "  %1 = gather_elements @x, @i : f32[2,3]\n"
                               "  %2 = gather_elements @u, @j {axis=1} : u8[2,2]\n"
                               "  return %1, @columns, %2, @rows\n}\n";

static const char tuples[] =
    "graph @t() -> (f32[2], f32[2], f32[2,2], f32[2,2], f32[2,1], f32[2,1], f32[3,2,2], "
    "f32[3,2,2]) {\n"
    "  const @x : f32[2,2] = [1, 2, 3, 4]\n"
    "  const @pairs : i64[2,2] = [0, 0, -1, 1]\n"
    "  const @ends : f32[2] = [1, 4]\n"
    "  const @ones : i64[2,1] = [1, 0]\n"
    "  const @turned : f32[2,2] = [3, 4, 1, 2]\n"
    "  const @each : i64[2,1,1] = [1, 0]\n"
    "  const @other : f32[2,1] = [2, 3]\n"
    "  const @none : i64[3,0] = []\n"
    "  const @thrice : f32[3,2,2] = [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]\n"
    "  %1 = gather_nd @x, @pairs : f32[2]\n"
    "  %2 = gather_nd @x, @ones : f32[2,2]\n"
    "  %3 = gather_nd @x, @each {batch_dims=1} : f32[2,1]\n"
    "  %4 = gather_nd @x, @none : f32[3,2,2]\n"
    "  return %1, @ends, %2, @turned, %3, @other, %4, @thrice\n}\n";

/* Of several updates for one element the last one stays, or all of them count. */
static const char scattering[] =
    "graph @t() -> (f32[4], f32[4], f32[4], f32[4], i8[2,2], i8[2,2], f32[4], f32[4]) {\n"
    "  const @x : f32[4] = [1, 2, 3, 4]\n"
    "  const @i : i64[3] = [-1, 1, 1]\n"
    "  const @updates : f32[3] = [10, 20, nan]\n"
    "  const @replaced : f32[4] = [1, nan, 3, 10]\n"
    "  const @summed : f32[4] = [1, nan, 3, 14]\n"
    "  const @b : i8[2,2] = [100, 1, 2, 3]\n"
    "  const @j : i32[1,2] = [0, 1]\n"
    "  const @v : i8[1,2] = [100, -4]\n"
    "  const @wrapped : i8[2,2] = [-56, 1, 2, -1]\n"
    "  const @most : f32[4] = [1, 20, 3, 10]\n"
    "  const @two : i64[2] = [-1, 1]\n"
    "  const @large : f32[2] = [10, 20]\n"
    "  %1 = scatter_elements @x, @i, @updates : f32[4]\n"
    "  %2 = scatter_elements @x, @i, @updates {combine=add} : f32[4]\n"
    "  %3 = scatter_elements @b, @j, @v {combine=add} : i8[2,2]\n"
    "  %4 = scatter_elements @x, @two, @large {combine=max} : f32[4]\n"
    "  return %1, @replaced, %2, @summed, %3, @wrapped, %4, @most\n}\n";

static const char slices[] =
    "graph @t() -> (bool[2,2], bool[2,2], f32[2,2], f32[2,2], f32[2,2], f32[2,2]) {\n"
    "  const @b : bool[2,2] = [0, 0, 0, 0]\n"
    "  const @corner : i64[1,2] = [1, -2]\n"
    "  const @yes : bool[1] = [1]\n"
    "  const @set : bool[2,2] = [0, 0, 1, 0]\n"
    "  const @x : f32[2,2] = [1, 2, 3, 4]\n"
    "  const @rows : i64[2,1] = [1, 1]\n"
    "  const @u : f32[2,2] = [2, 3, 5, -7]\n"
    "  const @product : f32[2,2] = [1, 2, 30, -84]\n"
    "  const @least : f32[2,2] = [1, 2, 2, -7]\n"
    "  %1 = scatter_nd @b, @corner, @yes : bool[2,2]\n"
    "  %2 = scatter_nd @x, @rows, @u {combine=mul} : f32[2,2]\n"
    "  %3 = scatter_nd @x, @rows, @u {combine=min} : f32[2,2]\n"
    "  return %1, @set, %2, @product, %3, @least\n}\n";

/* Boxes 0 and 1 overlap by more than a half, 2 is alone, 3 has no area, 4 is NaN in its score. */
#define BOXES                                                                                      \
    "  const @boxes : f32[1,5,4] = [0, 0, 1, 1, 1, 1.1, 0, 0.1, 5, 5, 6, 6, 0, 0, 0, 1, 0, 0, 1, " \
    "1]\n"                                                                                         \
    "  const @scores : f32[1,1,5] = [0.5, 0.9, 0.9, 0.1, nan]\n"                                   \
    "  const @iou : f32[1] = [0.5]\n"

static const char suppressing[] =
    "graph @t() -> (i64[4,3], i64[4,3], i64[], i64[]) {\n" BOXES
    "  const @kept : i64[4,3] = [0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0, 0]\n"
    "  const @three : i64[] = [3]\n"
    "  %1, %n = non_max_suppression @boxes, @scores, iou=@iou "
    "{limit=4} : i64[4,3], i64[]\n"
    "  return %1, @kept, %n, @three\n}\n";

/* A score must be larger than the bound; an operand may allow fewer than the limit. */
static const char bounded[] =
    "graph @t() -> (i64[5,3], i64[5,3], i64[], i64[], i64[], i64[]) {\n" BOXES
    "  const @score : f32[] = [0.5]\n"
    "  const @one : i64[] = [1]\n"
    "  const @none : i64[1] = [-7]\n"
    "  const @zero : i64[] = [0]\n"
    "  const @kept : i64[5,3] = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]\n"
    "  %1, %n = non_max_suppression @boxes, @scores, max=@one, iou=@iou, score=@score {limit=5} "
    ": i64[5,3], i64[]\n"
    "  %2, %m = non_max_suppression @boxes, @scores, max=@none {limit=5} : i64[5,3], i64[]\n"
    "  return %1, @kept, %n, @one, %m, @zero\n}\n";

/* [x, y, width, height], two classes: of equal scores the first box. */
static const char centered[] =
    "graph @t() -> (i64[4,3], i64[4,3], i64[], i64[]) {\n"
    "  const @boxes : f32[1,3,4] = [0, 0, 2, 2, 0, 1, 2, 2, 9, 9, 2, 2]\n"
    "  const @scores : f32[1,2,3] = [1, 1, 1, 0, 2, 1]\n"
    "  const @iou : f32[] = [0.3]\n"
    "  const @kept : i64[4,3] = [0, 0, 0, 0, 0, 2, 0, 1, 1, 0, 1, 2]\n"
    "  const @four : i64[] = [4]\n"
    "  %1, %n = non_max_suppression @boxes, @scores, iou=@iou {limit=2, center=true} : i64[4,3], "
    "i64[]\n"
    "  return %1, @kept, %n, @four\n}\n";

static const char existing[] =
    "graph @t() -> (i64[2,6], i64[2,6], i64[], i64[], f16[2,2], f16[2,2], i64[], i64[]) {\n"
    "  const @x : f32[2,3] = [0, 5, -0, nan, 0, 1]\n"
    "  const @at : i64[2,6] = [0, 1, 1, 0, 0, 0, 1, 0, 2, 0, 0, 0]\n"
    "  const @three : i64[] = [3]\n"
    "  const @h : f16[2,3] = [1, 2, 3, 4, 5, 6]\n"
    "  const @if : bool[2] = [0, 1]\n"
    "  const @second : f16[2,2] = [2, 0, 5, 0]\n"
    "  const @one : i64[] = [1]\n"
    "  %1, %n = non_zero @x : i64[2,6], i64[]\n"
    "  %2, %m = compress @h, @if {axis=1} : f16[2,2], i64[]\n"
    "  return %1, @at, %n, @three, %2, @second, %m, @one\n}\n";

static const struct {
    const char *name, *text;
} cases[] = {
    {"elements", elements},       {"tuples", tuples},     {"scattering", scattering},
    {"slices", slices},           {"bounded", bounded},   {"suppressing", suppressing},
    {"centered boxes", centered}, {"existing", existing},
};

static void values_are_right(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!graph_values_match(cases[i].text, 0))
            fail_msg("%s", cases[i].name);
}

#define FIND(index, line)                                                                          \
    "graph @t() -> f32[1] {\n  const @x : f32[3] = [1, 2, 3]\n  const @i : i64[1,1] = [" index     \
    "]\n  const @j : i64[1] = [" index "]\n  const @u : f32[1] = [0]\n  %y = " line                \
    "\n  return %y\n}\n"

static void indices_out_of_range_are_errors(void **state) {
    (void)state;
    assert_true(graph_eval_fails(FIND("3", "gather_elements @x, @j : f32[1]"),
                                 "index 3 is out of range for a dim of 3"));
    assert_true(graph_eval_fails(FIND("-4", "gather_nd @x, @i : f32[1]"), "index -4 is out of"));
    assert_true(graph_eval_fails(
        "graph @t() -> f32[1] {\n  const @x : f32[1] = [1]\n  const @i : i64[1,1] = [1]\n"
        "  %y = scatter_nd @x, @i, @x : f32[1]\n  return %y\n}\n",
        "index 1 is out of range for a dim of 1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_right),
        cmocka_unit_test(indices_out_of_range_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
