/* Numeric tests of ir/graph_eval_math.c: elementwise ops, normalisation and reductions of the
 * oracle, against values computed by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/graph_text.h"

/* ---- two operands --------------------------------------------------------------------------- */

static const char broadcasting[] =
    "graph @t() -> (f32[2,3], f32[2,3], f32[2,3], f32[2,3], f32[2,2,2], f32[2,2,2], f32[], f32[],"
    " f32[0,3], f32[0,3]) {\n"
    "  const @m : f32[2,3] = [1, 2, 3, 4, 5, 6]\n"
    "  const @row : f32[3] = [10, 20, 30]\n"
    "  const @column : f32[2,1] = [100, 200]\n"
    "  const @scalar : f32[] = [0.5]\n"
    "  const @a : f32[2,1,2] = [1, 2, 3, 4]\n"
    "  const @b : f32[2,1] = [10, 20]\n"
    "  const @none : f32[0,1] = []\n"
    "  const @want1 : f32[2,3] = [11, 22, 33, 14, 25, 36]\n"
    "  const @want2 : f32[2,3] = [99, 98, 97, 196, 195, 194]\n"
    "  const @want3 : f32[2,2,2] = [10, 20, 20, 40, 30, 40, 60, 80]\n"
    "  const @want4 : f32[] = [1]\n"
    "  const @want5 : f32[0,3] = []\n"
    "  %1 = add @m, @row : f32[2,3]\n"
    "  %2 = sub @column, @m : f32[2,3]\n"
    "  %3 = mul @a, @b : f32[2,2,2]\n"
    "  %4 = div @scalar, @scalar : f32[]\n"
    "  %5 = add @none, @row : f32[0,3]\n"
    "  return %1, @want1, %2, @want2, %3, @want3, %4, @want4, %5, @want5\n}\n";

static const char float_arithmetic[] =
    "graph @t() -> (f32[6], f32[6], f32[6], f32[6], f64[1], f64[1], f16[2], f16[2]) {\n"
    "  const @a : f32[6] = [1, -1, 0, inf, nan, 0.1]\n"
    "  const @b : f32[6] = [0, 0, 0, inf, 1, 0.2]\n"
    "  const @quotient : f32[6] = [inf, -inf, nan, nan, nan, 0.5]\n"
    "  const @difference : f32[6] = [1, -1, 0, nan, nan, -0.1]\n"
    "  const @tenth : f64[1] = [0.1]\n"
    "  const @fifth : f64[1] = [0.2]\n"
    "  const @sum : f64[1] = [0.30000000000000004]\n"
    "  const @h : f16[2] = [2048, 60000]\n"
    "  const @k : f16[2] = [1, 60000]\n"
    "  const @hk : f16[2] = [2048, inf]\n"
    "  %1 = div @a, @b : f32[6]\n"
    "  %2 = sub @a, @b : f32[6]\n"
    "  %3 = add @tenth, @fifth : f64[1]\n"
    "  %4 = add @h, @k : f16[2]\n"
    "  return %1, @quotient, %2, @difference, %3, @sum, %4, @hk\n}\n";

/* 2^53 + 1 is not a double; the largest wraps to the smallest. */
static const char integers_are_exact[] =
    "graph @t() -> (i64[3], i64[3], i64[3], i64[3], i64[3], i64[3], i64[3], i64[3], u64[2], u64[2],"
    " i8[2], i8[2], u8[2], u8[2]) {\n"
    "  const @a : i64[3] = [9007199254740993, 9223372036854775807, -9223372036854775808]\n"
    "  const @b : i64[3] = [2, 1, -1]\n"
    "  const @sum : i64[3] = [9007199254740995, -9223372036854775808, 9223372036854775807]\n"
    "  const @difference : i64[3] = [9007199254740991, 9223372036854775806, -9223372036854775807]\n"
    "  const @product : i64[3] = [18014398509481986, 9223372036854775807, -9223372036854775808]\n"
    "  const @quotient : i64[3] = [4503599627370496, 9223372036854775807, -9223372036854775808]\n"
    "  const @u : u64[2] = [18446744073709551615, 7]\n"
    "  const @v : u64[2] = [2, 2]\n"
    "  const @uv : u64[2] = [9223372036854775807, 3]\n"
    "  const @i : i8[2] = [-7, 100]\n"
    "  const @j : i8[2] = [2, 100]\n"
    "  const @ij : i8[2] = [-3, 1]\n"
    "  const @p : u8[2] = [200, 1]\n"
    "  const @q : u8[2] = [100, 2]\n"
    "  const @pq : u8[2] = [44, 3]\n"
    "  %1 = add @a, @b : i64[3]\n"
    "  %2 = sub @a, @b : i64[3]\n"
    "  %3 = mul @a, @b : i64[3]\n"
    "  %4 = div @a, @b : i64[3]\n"
    "  %5 = div @u, @v : u64[2]\n"
    "  %6 = div @i, @j : i8[2]\n"
    "  %7 = add @p, @q : u8[2]\n"
    "  return %1, @sum, %2, @difference, %3, @product, %4, @quotient, %5, @uv, %6, @ij, %7, "
    "@pq\n}\n";

/* NaN from either side; unsigned and signed integers compare as what they are. */
static const char extremes[] =
    "graph @t() -> (f32[6], f32[6], f32[6], f32[6], f32[2,2], f32[2,2], i8[3], i8[3], i8[3], i8[3],"
    " u8[3], u8[3], u64[2], u64[2], i64[2], i64[2], f32[0], f32[0]) {\n"
    "  const @a : f32[6] = [1, -1, nan, 2, inf, -inf]\n"
    "  const @b : f32[6] = [2, -2, 3, nan, 0, 0]\n"
    "  const @least : f32[6] = [1, -2, nan, nan, 0, -inf]\n"
    "  const @most : f32[6] = [2, -1, nan, nan, inf, 0]\n"
    "  const @row : f32[2] = [1, 5]\n"
    "  const @column : f32[2,1] = [3, 7]\n"
    "  const @stretched : f32[2,2] = [3, 5, 7, 7]\n"
    "  const @i : i8[3] = [-128, 0, 127]\n"
    "  const @j : i8[3] = [127, -1, -128]\n"
    "  const @ij_min : i8[3] = [-128, -1, -128]\n"
    "  const @ij_max : i8[3] = [127, 0, 127]\n"
    "  const @u : u8[3] = [128, 0, 255]\n"
    "  const @v : u8[3] = [127, 1, 254]\n"
    "  const @uv : u8[3] = [127, 0, 254]\n"
    "  const @p : u64[2] = [18446744073709551615, 1]\n"
    "  const @q : u64[2] = [9223372036854775807, 2]\n"
    "  const @pq : u64[2] = [18446744073709551615, 2]\n"
    "  const @r : i64[2] = [9007199254740993, -9007199254740993]\n"
    "  const @s : i64[2] = [9007199254740992, -9007199254740992]\n"
    "  const @rs : i64[2] = [9007199254740992, -9007199254740993]\n"
    "  const @none : f32[0] = []\n"
    "  const @one : f32[1] = [1]\n"
    "  %1 = min @a, @b : f32[6]\n"
    "  %2 = max @a, @b : f32[6]\n"
    "  %3 = max @row, @column : f32[2,2]\n"
    "  %4 = min @i, @j : i8[3]\n"
    "  %5 = max @i, @j : i8[3]\n"
    "  %6 = min @u, @v : u8[3]\n"
    "  %7 = max @p, @q : u64[2]\n"
    "  %8 = min @r, @s : i64[2]\n"
    "  %9 = min @none, @one : f32[0]\n"
    "  return %1, @least, %2, @most, %3, @stretched, %4, @ij_min, %5, @ij_max, %6, @uv, %7, @pq,"
    " %8, @rs, %9, @none\n}\n";

static const char division_by_zero[] = "graph @t() -> i32[2] {\n"
                                       "  const @a : i32[2] = [1, 2]\n"
                                       "  const @b : i32[2] = [1, 0]\n"
                                       "  %y = div @a, @b : i32[2]  # \"model/div\"\n"
                                       "  return %y\n}\n";

/* ---- one operand ---------------------------------------------------------------------------- */

static const char activations[] =
    "graph @t() -> (f32[5], f32[5], f32[5], f32[5], f32[3], f32[3], f32[5], f32[5], f32[5], "
    "f32[5]) {\n"
    "  const @x : f32[5] = [-4, -0.5, 0, 7, nan]\n"
    "  const @relu : f32[5] = [0, 0, 0, 7, nan]\n"
    "  const @relu6 : f32[5] = [0, 0, 0, 6, nan]\n"
    "  const @large : f32[3] = [-200, 0, 200]\n"
    "  const @sigmoid : f32[3] = [1.3838965e-87, 0.5, 1]\n"
    "  const @hard_sigmoid : f32[5] = [0, 0.41666666, 0.5, 1, nan]\n"
    "  const @hard_swish : f32[5] = [-0, -0.20833333, 0, 7, nan]\n"
    "  %1 = relu @x : f32[5]\n"
    "  %2 = relu6 @x : f32[5]\n"
    "  %3 = sigmoid @large : f32[3]\n"
    "  %4 = hard_sigmoid @x : f32[5]\n"
    "  %5 = hard_swish @x : f32[5]\n"
    "  return %1, @relu, %2, @relu6, %3, @sigmoid, %4, @hard_sigmoid, %5, @hard_swish\n}\n";

static const char silu[] = "graph @t() -> (f32[4], f32[4]) {\n"
                           "  const @x : f32[4] = [-1, 1, 2, 100]\n"
                           "  const @want : f32[4] = [-0.26894143, 0.7310586, 1.7615942, 100]\n"
                           "  %y = silu @x : f32[4]\n"
                           "  return %y, @want\n}\n";

static const char rounding[] =
    "graph @t() -> (f32[8], f32[8], f32[8], f32[8], f16[2], f16[2]) {\n"
    "  const @x : f32[8] = [-1.5, -0.25, -0, 0.25, 2, 16777216, inf, nan]\n"
    "  const @up : f32[8] = [-1, -0, -0, 1, 2, 16777216, inf, nan]\n"
    "  const @down : f32[8] = [-2, -1, -0, 0, 2, 16777216, inf, nan]\n"
    "  const @h : f16[2] = [-0.5, 1023.5]\n"
    "  const @h_up : f16[2] = [-0, 1024]\n"
    "  %1 = ceil @x : f32[8]\n"
    "  %2 = floor @x : f32[8]\n"
    "  %3 = ceil @h : f16[2]\n"
    "  return %1, @up, %2, @down, %3, @h_up\n}\n";

static const char negation[] =
    "graph @t() -> (f32[5], f32[5], i8[3], i8[3], i64[2], i64[2], u8[2], u8[2], f32[0], f32[0]) "
    "{\n"
    "  const @x : f32[5] = [0, -1.5, inf, -inf, nan]\n"
    "  const @minus : f32[5] = [-0, 1.5, -inf, inf, nan]\n"
    "  const @i : i8[3] = [-128, 0, 5]\n"
    "  const @j : i8[3] = [-128, 0, -5]\n"
    "  const @k : i64[2] = [-9223372036854775808, 9007199254740993]\n"
    "  const @l : i64[2] = [-9223372036854775808, -9007199254740993]\n"
    "  const @u : u8[2] = [0, 1]\n"
    "  const @v : u8[2] = [0, 255]\n"
    "  const @none : f32[0] = []\n"
    "  %1 = neg @x : f32[5]\n"
    "  %2 = neg @i : i8[3]\n"
    "  %3 = neg @k : i64[2]\n"
    "  %4 = neg @u : u8[2]\n"
    "  %5 = neg @none : f32[0]\n"
    "  return %1, @minus, %2, @j, %3, @l, %4, @v, %5, @none\n}\n";

static const char exponentials_and_roots[] =
    "graph @t() -> (f32[6], f32[6], f32[6], f32[6], f16[1], f16[1], f64[1], f64[1]) {\n"
    "  const @x : f32[6] = [0, 1, -inf, 100, -200, nan]\n"
    "  const @powers : f32[6] = [1, 2.7182817, 0, inf, 0, nan]\n"
    "  const @squares : f32[6] = [4, 2, inf, -1, -0, nan]\n"
    "  const @roots : f32[6] = [2, 1.4142135, inf, nan, -0, nan]\n"
    "  const @h : f16[1] = [12]\n"
    "  const @large : f16[1] = [inf]\n"
    "  const @two : f64[1] = [2]\n"
    "  const @root : f64[1] = [1.4142135623730951]\n"
    "  %1 = exp @x : f32[6]\n"
    "  %2 = sqrt @squares : f32[6]\n"
    "  %3 = exp @h : f16[1]\n"
    "  %4 = sqrt @two : f64[1]\n"
    "  return %1, @powers, %2, @roots, %3, @large, %4, @root\n}\n";

static const char clipping[] =
    "graph @t() -> (f32[6], f32[6], f32[6], f32[6], f32[6], f32[6], i64[4], i64[4], u8[3], u8[3]) "
    "{\n"
    "  const @x : f32[6] = [-inf, -2, 0.5, 3, inf, nan]\n"
    "  const @both : f32[6] = [-1, -1, 0.5, 2, 2, nan]\n"
    "  const @open : f32[6] = [-inf, -2, 0.5, 3, inf, nan]\n"
    "  const @crossed : f32[6] = [1, 1, 1, 1, 1, nan]\n"
    "  const @i : i64[4] = [-9223372036854775808, -3, 9007199254740993, 9223372036854775807]\n"
    "  const @clipped : i64[4] = [-2, -2, 9007199254740993, 9223372036854775807]\n"
    "  const @u : u8[3] = [0, 7, 255]\n"
    "  const @small : u8[3] = [0, 7, 9]\n"
    "  %1 = clip @x {min=-1, max=2} : f32[6]\n"
    "  %2 = clip @x : f32[6]\n"
    "  %3 = clip @x {min=5, max=1} : f32[6]\n" /* the maximum wins */
    "  %4 = clip @i {min=-2.5} : i64[4]\n"
    "  %5 = clip @u {min=-5, max=9.9} : u8[3]\n"
    "  return %1, @both, %2, @open, %3, @crossed, %4, @clipped, %5, @small\n}\n";

static const char casting[] =
    "graph @t() -> (i32[5], i32[5], u8[5], u8[5], bool[5], bool[5], f16[3], f16[3], i8[3], i8[3],"
    " i64[2], i64[2], bool[3], bool[3], f32[2], f32[2], f32[2], f32[2]) {\n"
    "  const @x : f32[5] = [1.9, -1.9, 1e20, nan, 0]\n"
    "  const @i32 : i32[5] = [1, -1, 2147483647, 0, 0]\n"
    "  const @u8 : u8[5] = [1, 0, 255, 0, 0]\n"
    "  const @bool : bool[5] = [1, 1, 1, 1, 0]\n"
    "  const @wide : f64[3] = [1.00048828126, 70000, -1e-30]\n"
    "  const @f16 : f16[3] = [1.001, inf, -0]\n"
    "  const @big : i64[3] = [200, -129, 4294967295]\n"
    "  const @i8 : i8[3] = [-56, 127, -1]\n"
    "  const @u32 : u32[2] = [4294967295, 1]\n"
    "  const @i64 : i64[2] = [4294967295, 1]\n"
    "  const @flags : bool[3] = [1, 1, 1]\n"
    "  const @odd : i64[2] = [16777217, 16777219]\n"
    "  const @even : f32[2] = [16777216, 16777220]\n"
    "  const @b : bool[2] = [0, 1]\n"
    "  const @bf : f32[2] = [0, 1]\n"
    "  %1 = cast @x {to=i32} : i32[5]\n"
    "  %2 = cast @x {to=u8} : u8[5]\n"
    "  %3 = cast @x {to=bool} : bool[5]\n"
    "  %4 = cast @wide {to=f16} : f16[3]\n"
    "  %5 = cast @big {to=i8} : i8[3]\n"
    "  %6 = cast @u32 {to=i64} : i64[2]\n"
    "  %7 = cast @big {to=bool} : bool[3]\n"
    "  %8 = cast @odd : f32[2]\n"
    "  %9 = cast @b : f32[2]\n"
    "  return %1, @i32, %2, @u8, %3, @bool, %4, @f16, %5, @i8, %6, @i64, %7, @flags, %8, @even,"
    " %9, @bf\n}\n";

static const char copying[] =
    "graph @t() -> (f32[2], f32[2], bool[2], bool[2], i64[1,2], i64[1,2], f32[0], f32[0]) {\n"
    "  const @x : f32[2] = [-0, nan]\n"
    "  const @b : bool[2] = [1, 0]\n"
    "  const @i : i64[2] = [9007199254740993, -1]\n"
    "  const @want : i64[1,2] = [9007199254740993, -1]\n"
    "  const @none : f32[0] = []\n"
    "  %1 = identity @x : f32[2]\n"
    "  %2 = reorder @b : bool[2]\n"
    "  %3 = reshape @i {shape=[1, 2]} : i64[1,2]\n"
    "  %4 = identity @none : f32[0]\n"
    "  return %1, @x, %2, @b, %3, @want, %4, @none\n}\n";

/* ---- normalisation and reduction ------------------------------------------------------------ */

/* Channel 0: (x - 1) * 2 / sqrt(3 + 1) + 10 = x + 9; channel 1: (x - 2) * 3 / sqrt(8 + 1) = x -
 * 2. */
static const char batch_norm[] =
    "graph @t() -> (f32[2,2,1,2], f32[2,2,1,2], f32[1,2], f32[1,2]) {\n"
    "  const @x : f32[2,2,1,2] = [1, 2, 3, 4, 5, 6, nan, -8]\n"
    "  const @scale : f32[2] = [2, 3]\n"
    "  const @b : f32[2] = [10, 0]\n"
    "  const @mean : f32[2] = [1, 2]\n"
    "  const @var : f32[2] = [3, 8]\n"
    "  const @want : f32[2,2,1,2] = [10, 11, 1, 2, 14, 15, nan, -10]\n"
    "  const @flat : f32[1,2] = [0, 0]\n"
    "  const @want2 : f32[1,2] = [9, -2]\n"
    "  %1 = batch_norm @x, @scale, @b, @mean, @var {epsilon=1} : f32[2,2,1,2]\n"
    "  %2 = batch_norm @flat, @scale, @b, @mean, @var {epsilon=1} : f32[1,2]\n"
    "  return %1, @want, %2, @want2\n}\n";

/* exp(0), exp(ln 3) and exp(0), over their sum; huge values don't overflow. */
static const char softmax[] =
    "graph @t() -> (f32[1,3], f32[1,3], f32[2,2], f32[2,2], f32[3], f32[3], f32[2], f32[2]) {\n"
    "  const @x : f32[1,3] = [0, 1.0986123, 0]\n"
    "  const @fifths : f32[1,3] = [0.2, 0.6, 0.2]\n"
    "  const @columns : f32[2,2] = [1000, -1000, 1000, -1000]\n"
    "  const @halves : f32[2,2] = [0.5, 0.5, 0.5, 0.5]\n"
    "  const @far : f32[3] = [-inf, 0, 0]\n"
    "  const @masked : f32[3] = [0, 0.5, 0.5]\n"
    "  const @broken : f32[2] = [nan, 1]\n"
    "  const @nans : f32[2] = [nan, nan]\n"
    "  %1 = softmax @x {axis=1} : f32[1,3]\n"
    "  %2 = softmax @columns : f32[2,2]\n"
    "  %3 = softmax @far : f32[3]\n"
    "  %4 = softmax @broken : f32[2]\n"
    "  return %1, @fifths, %2, @halves, %3, @masked, %4, @nans\n}\n";

static const char means[] =
    "graph @t() -> (f32[2,1,1], f32[2,1,1], f32[2], f32[2], f32[2,2], f32[2,2], f32[], f32[],"
    " f32[2,2,2], f32[2,2,2], f32[2], f32[2]) {\n"
    "  const @x : f32[2,2,2] = [1, 2, 3, 4, 5, 6, 7, 12]\n"
    "  const @planes : f32[2,1,1] = [2.5, 7.5]\n"
    "  const @middle : f32[2] = [4, 6]\n"
    "  const @first : f32[2,2] = [3, 4, 5, 8]\n"
    "  const @all : f32[] = [5]\n"
    "  const @none : f32[2,0] = []\n"
    "  const @nans : f32[2] = [nan, nan]\n"
    "  %1 = reduce_mean @x {axes=[1, 2]} : f32[2,1,1]\n"
    "  %2 = reduce_mean @x {axes=[1, 0], keepdims=false} : f32[2]\n"
    "  %3 = reduce_mean @x {axes=[0], keepdims=false} : f32[2,2]\n"
    "  %4 = reduce_mean @x {axes=[0, 1, 2], keepdims=false} : f32[]\n"
    "  %5 = reduce_mean @x : f32[2,2,2]\n"
    "  %6 = reduce_mean @none {axes=[1], keepdims=false} : f32[2]\n"
    "  return %1, @planes, %2, @middle, %3, @first, %4, @all, %5, @x, %6, @nans\n}\n";

static const char pooling[] =
    "graph @t() -> (f32[1,2,1,1], f32[1,2,1,1], f16[2,1,1], f16[2,1,1]) {\n"
    "  const @x : f32[1,2,2,3] = [1, 2, 3, 4, 5, 6, 16777216, 1, 1, 1, 1, -16777216]\n"
    "  const @want : f32[1,2,1,1] = [3.5, 0.6666667]\n"
    "  const @h : f16[2,1,3] = [60000, 60000, 60000, 1, 2, 4.5]\n"
    "  const @want16 : f16[2,1,1] = [60000, 2.5]\n"
    "  %1 = global_avg_pool @x : f32[1,2,1,1]\n"
    "  %2 = global_avg_pool @h : f16[2,1,1]\n"
    "  return %1, @want, %2, @want16\n}\n";

static const struct {
    const char *name, *text;
    double tolerance;
} cases[] = {
    {"broadcasting", broadcasting, 0},
    {"float arithmetic", float_arithmetic, 0},
    {"integers are exact", integers_are_exact, 0},
    {"min and max", extremes, 0},
    {"ceil and floor", rounding, 0},
    {"neg", negation, 0},
    {"exp and sqrt", exponentials_and_roots, 0},
    {"activations", activations, 1e-7},
    {"silu", silu, 1e-7},
    {"clip", clipping, 0},
    {"cast", casting, 0},
    {"copies", copying, 0},
    {"batch norm", batch_norm, 0},
    {"softmax", softmax, 1e-7},
    {"reduce_mean", means, 0},
    {"global_avg_pool", pooling, 0},
};

static void values_are_right(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!graph_values_match(cases[i].text, cases[i].tolerance))
            fail_msg("%s", cases[i].name);
}

static void division_by_zero_is_an_error(void **state) {
    (void)state;
    assert_true(graph_eval_fails(division_by_zero,
                                 "node \"model/div\" (div %y): integer division by zero"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_right),
        cmocka_unit_test(division_by_zero_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
