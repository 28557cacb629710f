/* Numeric tests of ir/graph_eval_conv.c: the oracle's ops with weights, against values that were
 * computed by hand or by plain loops over the definition. All sums are exact in f32, so results are
 * compared bit by bit where nothing else is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/graph_text.h"

/* ---- convolutions --------------------------------------------------------------------------- */

static const char odd_stride[] =
    "graph @t() -> (f32[1,3,2,2], f32[1,3,2,2]) {\n"
    "  const @x : f32[1,2,4,5] = [3, 1, 1, 3, 1, 2, 2, -2, -3, -1, -2, 3, 3, -3, 0, 2, -3, 2, -3, "
    "0, 2, -1, -1, -2, "
    "2, -2, 3, 0, 0, 0, 1, 0, 0, 3, 2, 2, 1, 1, -1, 3]\n"
    "  const @w : f32[3,2,3,2] = [0, -2, 2, -2, 3, 1, -3, -3, 0, -3, -3, 0, 3, 0, 2, 3, 2, 1, 0, "
    "0, -2, 0, -1, -2, "
    "3, -3, -3, -2, 3, 1, 3, -2, 2, -1, 0, -3]\n"
    "  const @b : f32[3] = [1, 2, 1]\n"
    "  const @want : f32[1,3,2,2] = [22, -11, -19, -15, 9, 8, 8, -30, -6, -26, -9, -10]\n"
    "  %y = conv2d @x, @w, @b {kernel=3x2, stride=2x3, pad=1x0x1x2} : f32[1,3,2,2]\n"
    "  return %y, @want\n}\n";

static const char grouped[] =
    "graph @t() -> (f32[2,6,2,2], f32[2,6,2,2]) {\n"
    "  const @x : f32[2,4,3,3] = [-2, 0, -2, 3, 3, -2, 0, 3, 2, 1, 1, -3, 2, 0, -3, -2, 0, 2, 0, "
    "1, 3, 1, -1, 1, 1, "
    "-3, -3, 1, -1, 1, -1, -2, -2, -1, 2, -1, -1, 1, 3, -1, 1, 0, 1, 0, 1, 0, 1, 3, -2, "
    "0, 0, -1, -2, -3, -1, 2, -3, -1, 3, 3, -2, -3, 1, -3, -1, 0, 3, -3, 1, 0, -3, 2]\n"
    "  const @w : f32[6,2,2,2] = [2, 0, 3, 1, 3, 3, 0, -2, -2, 0, -2, 2, 3, -2, 0, -3, -2, -1, 3, "
    "3, 1, 1, 0, -3, "
    "-1, 3, -1, -2, -2, 1, -3, 3, 3, 0, 0, 2, 0, 0, -1, 0, 2, -3, -3, 2, -1, 2, -3, 3]\n"
    "  const @want : f32[2,6,2,2] = [14, 7, 15, 4, 5, 8, 6, -8, 24, 12, 2, 2, -2, 10, 10, 6, -1, "
    "7, -2, -11, -14, 1, 2, "
    "-13, -1, 17, -1, 9, 4, -7, 0, 9, 2, 2, 8, 10, -11, -6, 0, 29, 0, 15, -9, 14, -16, "
    "23, -29, 28]\n"
    "  %y = conv2d @x, @w {kernel=2x2, group=2} : f32[2,6,2,2]\n"
    "  return %y, @want\n}\n";

static const char dilated[] =
    "graph @t() -> (f32[1,1,2,2], f32[1,1,2,2]) {\n"
    "  const @x : f32[1,1,5,7] = [-3, -1, 3, -3, 1, 2, -1, -3, 0, 0, 3, 1, -1, -3, 1, -2, 1, 3, "
    "-1, 3, 0, 0, 2, 2, "
    "3, 3, -2, -1, 3, -1, -3, 1, 2, 2, 2]\n"
    "  const @w : f32[1,1,3,3] = [1, -3, 2, -1, 2, 2, 3, -3, 3]\n"
    "  const @want : f32[1,1,2,2] = [8, 21, 12, -14]\n"
    "  %y = conv2d @x, @w {kernel=3x3, stride=1x2, pad=0x2x1x0, dilation=2x3} : f32[1,1,2,2]\n"
    "  return %y, @want\n}\n";

static const char same_padding[] = "graph @t() -> (f32[1,2,3,3], f32[1,2,3,3]) {\n"
                                   "  const @x : f32[1,2,3,3] = [1, 0, 2, 3, 0, -3, 2, -2, -2, -2, "
                                   "-2, 3, -1, -3, -2, -1, -1, -1]\n"
                                   "  const @w : f32[2,2,3,3] = [3, 3, 1, 3, -1, -3, -2, -3, 3, "
                                   "-2, 0, -2, 3, -2, 0, 3, 0, 3, 3, 2, 2, 1, 1, 2, -1, "
                                   "3, 3, -1, -1, 2, 3, -3, -3, -2, 0, -2]\n"
                                   "  const @want : f32[1,2,3,3] = [-15, -29, -14, -9, 14, 15, 21, "
                                   "25, -8, 28, -10, -16, 17, 16, -5, 5, 2, -5]\n"
                                   "  %y = conv2d @x, @w {kernel=3x3, pad=1x1x1x1} : f32[1,2,3,3]\n"
                                   "  return %y, @want\n}\n";

static const char mostly_padding[] =
    "graph @t() -> (f32[1,1,2,2], f32[1,1,2,2]) {\n"
    "  const @x : f32[1,1,2,2] = [1, 2, 3, 4]\n"
    "  const @w : f32[1,1,5,5] = [0, 0, 3, 2, -2, 2, 2, 1, 1, -1, 2, -3, 1, 3, 3, -1, -1, 1, -1, "
    "2, -2, -2, -3, 0, "
    "-2]\n"
    "  const @want : f32[1,1,2,2] = [-2, -8, 8, -1]\n"
    "  %y = conv2d @x, @w {kernel=5x5, stride=3x3, pad=4x4x4x4} : f32[1,1,2,2]\n"
    "  return %y, @want\n}\n";

/* What the depthwise tests compute with. */
#define DEPTHWISE_OPERANDS                                                                         \
    "  const @x : f32[2,3,4,4] = [-1, 3, 2, 2, 1, -3, 2, 1, 3, 0, -2, 1, 0, 1, -1, -1, -3, 3, 2, " \
    "0, -2, 1, -1, 1, "                                                                            \
    "-3, -2, 2, -3, 1, -1, -3, 2, 1, 2, 3, 2, 2, -3, 3, 3, 1, 2, 2, 3, 3, 0, 2, 3, -1, "           \
    "-3, -2, -3, 0, -3, -2, -2, 1, -2, 3, -2, 3, 0, -2, -3, -1, 1, -3, -2, -3, 1, -3, "            \
    "-3, 0, -1, 0, 3, 3, 0, 1, 2, 0, 1, -2, 1, -2, -2, 2, 1, -1, -3, -2, 2, 0, 3, 3, 2]\n"         \
    "  const @w : f32[3,1,3,3] = [-3, -3, 1, -1, 2, -1, -2, -3, -1, 1, -3, 2, -1, -1, 1, 3, 0, "   \
    "2, "                                                                                          \
    "-1, -3, 2, 2, 2, "                                                                            \
    "3, 0, -2, 1]\n"                                                                               \
    "  const @b : f32[3] = [1, -1, 1]\n"

static const char depthwise[] =
    "graph @t() -> (f32[2,3,2,2], f32[2,3,2,2]) {\n" DEPTHWISE_OPERANDS
    "  const @want : f32[2,3,2,2] = [0, 0, 0, 3, 0, 7, 3, 11, 5, 0, 10, 0, 8, 14, 6, 0, 0, 8, 0, "
    "0, 0, 2, 22, 7]\n"
    "  %y = dwconv2d @x, @w, @b {kernel=3x3, stride=2x2, pad=0x0x1x1, act=relu} : f32[2,3,2,2]\n"
    "  return %y, @want\n}\n";

static const char depthwise_mean[] =
    "graph @t() -> (f32[2,3,1,1], f32[2,3,1,1]) {\n" DEPTHWISE_OPERANDS
    "  const @want : f32[2,3,1,1] = [0.75, 5.25, 3.75, 7, 2, 7.75]\n"
    "  %y, %m = dwconv2d @x, @w, @b {kernel=3x3, stride=2x2, pad=0x0x1x1, act=relu} : "
    "f32[2,3,2,2], "
    "f32[2,3,1,1]\n"
    "  return %m, @want\n}\n";

/* x = [1, 2, 3, 6] gives the planes x and relu(4 - x) = [3, 2, 1, 0]; the filters 2 and 3x1. */
static const char expanded[] = "graph @t() -> (f32[1,2,2,2], f32[1,2,2,2], f32[1,2,1,1], "
                               "f32[1,2,1,1]) {\n"
                               "  const @x : f32[1,1,2,2] = [1, 2, 3, 6]\n"
                               "  const @w : f32[2,1,1,1] = [1, -1]\n"
                               "  const @b : f32[2] = [0, 4]\n"
                               "  const @dw : f32[2,1,3,1] = [0, 2, 0, 1, 2, 3]\n"
                               "  const @db : f32[2] = [1, -1]\n"
                               "  const @want : f32[1,2,2,2] = [3, 5, 7, 13, 8, 3, 4, 1]\n"
                               "  const @wantm : f32[1,2,1,1] = [7, 4]\n"
                               "  %y, %m = conv2d_dwconv2d @x, @w, @b, @dw, @db {act=relu, "
                               "dw_kernel=3x1, dw_pad=1x0x1x0} : f32[1,2,2,2], f32[1,2,1,1]\n"
                               "  return %y, @want, %m, @wantm\n}\n";

static const char head_mean[] = "graph @t() -> (f32[1,2,1,1], f32[1,2,1,1]) {\n"
                                "  const @x : f32[1,1,2,2] = [1, 2, 3, 6]\n"
                                "  const @w : f32[2,1,1,1] = [1, -1]\n"
                                "  const @b : f32[2] = [0, 4]\n"
                                "  const @want : f32[1,2,1,1] = [3, 1.5]\n"
                                "  %y = conv2d_mean @x, @w, @b {act=relu} : f32[1,2,1,1]\n"
                                "  return %y, @want\n}\n";

static const char fused[] =
    "graph @t() -> (f32[2,2,2,2], f32[2,2,2,2]) {\n"
    "  const @x : f32[2,3,2,2] = [-2, 1, 2, -3, 0, 1, -3, 1, 3, 2, 1, 2, -1, -1, -3, 2, -1, 3, 0, "
    "3, -3, -2, -1, -3]\n"
    "  const @w : f32[2,3,1,1] = [0, 1, 1, -2, -2, 0]\n"
    "  const @b : f32[2] = [1, 3]\n"
    "  const @s : f32[2,3,1,1] = [3, -1, -2, -2, 3, 0]\n"
    "  const @r : f32[2,2,2,2] = [3, 1, 1, -3, 1, -1, 2, -3, -2, 1, 1, 2, 0, -1, -1, -1]\n"
    "  const @want : f32[2,2,2,2] = [3, 1, 3, -3, 7, -1, 2, 3, -2, 7, 2, 8, 5, -1, -1, -1]\n"
    "  %y = conv2d @x, @w, @b, scale=@s, residual=@r {act=relu6} : f32[2,2,2,2]\n"
    "  return %y, @want\n}\n";

static const char dense[] = "graph @t() -> (f32[2,4], f32[2,4]) {\n"
                            "  const @x : f32[2,3] = [2, 0, -2, -4, 2, -4]\n"
                            "  const @w : f32[4,3] = [-2, -1, 2, 0, 1, -3, -1, 2, 2, 1, 3, -1]\n"
                            "  const @b : f32[4] = [-2, -3, -2, 2]\n"
                            "  const @want : f32[2,4] = [0, 3, 0, 6, 0, 11, -0.333333343, 8]\n"
                            "  %y = dense @x, @w, @b {act=hard_swish} : f32[2,4]\n"
                            "  return %y, @want\n}\n";
static const char excite[] = "graph @t() -> (f32[2,3,1,1], f32[2,3,1,1]) {\n"
                             "  const @x : f32[2,3,2,2] = [3, -3, 0, -3, 2, -3, 1, -3, 2, 3, 2, "
                             "-2, 2, -1, 2, 2, 0, 1, 2, -2, -3, 0, -2, 3]\n"
                             "  const @rw : f32[2,3,1,1] = [3, -1, -1, 1, 0, -3]\n"
                             "  const @rb : f32[2] = [1, 2]\n"
                             "  const @xw : f32[3,2,1,1] = [-3, 2, 0, 2, 2, 1]\n"
                             "  const @xb : f32[3] = [-1, -1, 2]\n"
                             "  const @want : f32[2,3,1,1] = [0.268941421, 0.268941421, "
                             "0.880797078, 0.00150118226, 0.999796573, 0.999999947]\n"
                             "  %y = se @x, @rw, @rb, @xw, @xb {act=relu} : f32[2,3,1,1]\n"
                             "  return %y, @want\n}\n";

/* One pixel: 1*1 + 2*2 = 5, and a half more for the bias. */
static const char half_precision[] =
    "graph @t() -> (f16[1,1,1,1], f16[1,1,1,1], bf16[1,1,1,1], bf16[1,1,1,1], f64[1,1,1,1],"
    " f64[1,1,1,1]) {\n"
    "  const @x16 : f16[1,2,1,1] = [1, 2]\n"
    "  const @b16 : f16[1] = [0.5]\n"
    "  const @want16 : f16[1,1,1,1] = [5.5]\n"
    "  const @xb : bf16[1,2,1,1] = [1, 2]\n"
    "  const @wantb : bf16[1,1,1,1] = [5]\n"
    "  const @x64 : f64[1,2,1,1] = [0.1, 0.2]\n"
    "  const @one64 : f64[1,2,1,1] = [1, 1]\n"
    "  const @want64 : f64[1,1,1,1] = [0.30000000000000004]\n"
    "  %h = conv2d @x16, @x16, @b16 : f16[1,1,1,1]\n"
    "  %b = conv2d @xb, @xb : bf16[1,1,1,1]\n"
    "  %d = conv2d @x64, @one64 : f64[1,1,1,1]\n"
    "  return %h, @want16, %b, @wantb, %d, @want64\n}\n";

/* 2^24 + 1 - 2^24 is 0 if a sum is kept in f32; so is 2048 + 1 - 2048 in f16. */
static const char sums_are_not_rounded[] =
    "graph @t() -> (f32[1,1,1,1], f32[1,1,1,1], f16[1,1], f16[1,1]) {\n"
    "  const @x : f32[1,3,1,1] = [16777216, 1, -16777216]\n"
    "  const @w : f32[1,3,1,1] = [1, 1, 1]\n"
    "  const @want : f32[1,1,1,1] = [1]\n"
    "  const @x16 : f16[1,3] = [2048, 1, -2048]\n"
    "  const @w16 : f16[1,3] = [1, 1, 1]\n"
    "  const @want16 : f16[1,1] = [1]\n"
    "  %y = conv2d @x, @w : f32[1,1,1,1]\n"
    "  %z = dense @x16, @w16 : f16[1,1]\n"
    "  return %y, @want, %z, @want16\n}\n";

/* NaN and infinity reach the pixels whose window has them, and no others; padding adds nothing,
 * even times infinity. */
static const char not_numbers[] =
    "graph @t() -> (f32[1,1,1,5], f32[1,1,1,5], f32[1,1,1,3], f32[1,1,1,3]) {\n"
    "  const @x : f32[1,1,1,5] = [1, nan, 3, 4, inf]\n"
    "  const @w : f32[1,1,1,2] = [1, 1]\n"
    "  const @want : f32[1,1,1,5] = [1, nan, nan, 7, inf]\n"
    "  const @ones : f32[1,1,1,3] = [1, 1, 1]\n"
    "  const @infinite : f32[1,1,1,3] = [inf, 1, 1]\n"
    "  const @want2 : f32[1,1,1,3] = [2, inf, inf]\n"
    "  %y = conv2d @x, @w {kernel=1x2, pad=0x1x0x0} : f32[1,1,1,5]\n"
    "  %z = conv2d @ones, @infinite {kernel=1x3, pad=0x1x0x1} : f32[1,1,1,3]\n"
    "  return %y, @want, %z, @want2\n}\n";

/* Without input channels or pixels the bias is what is left. */
static const char empty_sums[] =
    "graph @t() -> (f32[1,2,2,1], f32[1,2,2,1], f32[0,2,1,1], f32[0,2,1,1], f32[1,2], f32[1,2]) {\n"
    "  const @x : f32[1,0,2,1] = []\n"
    "  const @w : f32[2,0,1,1] = []\n"
    "  const @b : f32[2] = [3, 4]\n"
    "  const @want : f32[1,2,2,1] = [3, 3, 4, 4]\n"
    "  const @none : f32[0,3,1,1] = []\n"
    "  const @w3 : f32[2,3,1,1] = [1, 2, 3, 4, 5, 6]\n"
    "  const @nothing : f32[0,2,1,1] = []\n"
    "  const @flat : f32[1,0] = []\n"
    "  const @wd : f32[2,0] = []\n"
    "  const @wantd : f32[1,2] = [3, 4]\n"
    "  %y = conv2d @x, @w, @b : f32[1,2,2,1]\n"
    "  %z = conv2d @none, @w3, @b : f32[0,2,1,1]\n"
    "  %d = dense @flat, @wd, @b : f32[1,2]\n"
    "  return %y, @want, %z, @nothing, %d, @wantd\n}\n";

/* The activation comes before the residual: relu(-3) + 1, not relu(-2). */
static const char residual_behind_activation[] =
    "graph @t() -> (f32[1,1,1,2], f32[1,1,1,2]) {\n"
    "  const @x : f32[1,1,1,2] = [-3, 2]\n"
    "  const @w : f32[1,1,1,1] = [1]\n"
    "  const @r : f32[1,1,1,2] = [1, -5]\n"
    "  const @want : f32[1,1,1,2] = [1, -3]\n"
    "  %y = conv2d @x, @w, residual=@r {act=relu} : f32[1,1,1,2]\n"
    "  return %y, @want\n}\n";

/* dense also reads [N,K,1,1]. */
static const char dense_of_pixels[] = "graph @t() -> (f32[2,1], f32[2,1]) {\n"
                                      "  const @x : f32[2,2,1,1] = [1, 2, 3, 4]\n"
                                      "  const @w : f32[1,2] = [10, 1]\n"
                                      "  const @want : f32[2,1] = [12, 34]\n"
                                      "  %y = dense @x, @w : f32[2,1]\n"
                                      "  return %y, @want\n}\n";

/* A scratch result is left zero. */
static const char scratch_stays_zero[] = "graph @t() -> (f32[3], f32[3]) {\n"
                                         "  const @x : f32[1,1,1,1] = [5]\n"
                                         "  const @want : f32[3] = [0, 0, 0]\n"
                                         "  %y, %s = conv2d @x, @x : f32[1,1,1,1], f32[3]\n"
                                         "  return %s, @want\n}\n";

static const struct {
    const char *name, *text;
    double tolerance;
} cases[] = {
    {"odd sizes, strides, one-sided padding", odd_stride, 0},
    {"groups", grouped, 0},
    {"dilation with a stride", dilated, 0},
    {"same padding", same_padding, 0},
    {"windows of padding alone", mostly_padding, 0},
    {"depthwise, asymmetric padding, relu", depthwise, 0},
    {"the means of a depthwise convolution", depthwise_mean, 0},
    {"the means of a convolution", head_mean, 0},
    {"a depthwise convolution behind another one", expanded, 0},
    {"scale, bias, relu6, residual", fused, 0},
    {"dense with hard_swish", dense, 1e-7},
    {"squeeze and excite", excite, 1e-7},
    {"f16, bf16 and f64", half_precision, 0},
    {"sums are not rounded", sums_are_not_rounded, 0},
    {"NaN and infinity", not_numbers, 0},
    {"empty sums", empty_sums, 0},
    {"residual behind the activation", residual_behind_activation, 0},
    {"dense of pixels", dense_of_pixels, 0},
    {"scratch stays zero", scratch_stays_zero, 0},
};

static void values_are_right(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!graph_values_match(cases[i].text, cases[i].tolerance))
            fail_msg("%s", cases[i].name);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_are_right)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
