/* Evaluators of quantize, dequantize, fake_quant and requantize against values by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/graph_text.h"

/* Ties, saturation, infinities, NaN; a quotient that f32 rounds to a tie: 0.35 / 0.1 is a little
 * under 3.5. */
static const char quantize[] =
    "graph @t() -> (u8[8], u8[8], i8[8], i8[8], u16[3], u16[3], i16[3], i16[3], u8[1], u8[1]) {\n"
    "  const @x : f32[8] = [-1, 0.25, 0.75, 1.25, 127.5, inf, -inf, nan]\n"
    "  const @half : f32[] = [0.5]\n"
    "  const @zero : u8[] = [3]\n"
    "  const @u : u8[8] = [1, 3, 5, 5, 255, 255, 0, 0]\n"
    "  const @minus : i8[] = [-100]\n"
    "  const @i : i8[8] = [-102, -100, -98, -98, 127, 127, -128, -128]\n"
    "  const @w : f32[3] = [-40000, 2.5, 70000]\n"
    "  const @one : f32[] = [1]\n"
    "  const @wide_u : u16[3] = [0, 2, 65535]\n"
    "  const @wide_i : i16[3] = [-32768, 2, 32767]\n"
    "  const @x2 : f32[1] = [0.35]\n"
    "  const @tenth : f32[] = [0.1]\n"
    "  const @four : u8[1] = [4]\n"
    "  %1 = quantize @x, @half, @zero : u8[8]\n"
    "  %2 = quantize @x, @half, @minus {to=i8} : i8[8]\n"
    "  %3 = quantize @w, @one {to=u16} : u16[3]\n"
    "  %4 = quantize @w, @one {to=i16} : i16[3]\n"
    "  %5 = quantize @x2, @tenth : u8[1]\n"
    "  return %1, @u, %2, @i, %3, @wide_u, %4, @wide_i, %5, @four\n}\n";

static const char along_axis[] = "graph @t() -> (u8[2,2,2], u8[2,2,2], f32[2,2,2], f32[2,2,2]) {\n"
                                 "  const @x : f32[2,2,2] = [1, 2, 1, 2, 3, 4, 3, 4]\n"
                                 "  const @scale : f32[2] = [1, 0.5]\n"
                                 "  const @zero : u8[2] = [0, 10]\n"
                                 "  const @q : u8[2,2,2] = [1, 2, 12, 14, 3, 4, 16, 18]\n"
                                 "  %1 = quantize @x, @scale, @zero {axis=1} : u8[2,2,2]\n"
                                 "  %2 = dequantize @q, @scale, @zero {axis=1} : f32[2,2,2]\n"
                                 "  return %1, @q, %2, @x\n}\n";

static const char dequantize[] =
    "graph @t() -> (f32[3], f32[3], f32[2], f32[2], f32[2], f32[2]) {\n"
    "  const @x : i8[3] = [-128, 0, 127]\n"
    "  const @scale : f32[] = [0.5]\n"
    "  const @zero : i8[] = [-128]\n"
    "  const @y : f32[3] = [0, 64, 127.5]\n"
    "  const @w : i32[2] = [16777217, -3]\n"
    "  const @rounded : f32[2] = [8388608, -1.5]\n"
    "  const @u : u16[2] = [0, 65535]\n"
    "  const @v : f32[2] = [0, 32767.5]\n"
    "  %1 = dequantize @x, @scale, @zero : f32[3]\n"
    "  %2 = dequantize @w, @scale : f32[2]\n"
    "  %3 = dequantize @u, @scale : f32[2]\n"
    "  return %1, @y, %2, @rounded, %3, @v\n}\n";

/* As quantize and dequantize with a zero point of 3. No zero is negative. */
static const char fake_quant[] =
    "graph @t() -> (f32[6], f32[6], f32[6], f32[6]) {\n"
    "  const @x : f32[6] = [-0.1, 0.75, 1.25, inf, -inf, nan]\n"
    "  const @half : f32[] = [0.5]\n"
    "  const @quarter : f32[] = [0.25]\n"
    "  const @zero : u8[] = [3]\n"
    "  const @want : f32[6] = [0, 0.5, 0.5, 63, -0.75, -0.75]\n"
    "  %1 = fake_quant @x {divide=0.5, times=0.25, min=-3, max=252} : f32[6]\n"
    "  %2 = quantize @x, @half, @zero : u8[6]\n"
    "  %3 = dequantize %2, @quarter, @zero : f32[6]\n"
    "  return %1, @want, %3, @want\n}\n";

/* A factor for each row: 0.5, 1, 150; 5, nan, 1000. */
static const char requantize[] =
    "graph @t() -> (f32[2,3], f32[2,3]) {\n"
    "  const @x : f32[2,3] = [1, 2, 300, -5, nan, -1000]\n"
    "  const @by : f32[2,1] = [0.5, -1]\n"
    "  const @want : f32[2,3] = [0, 2, 200, 10, -20, 200]\n"
    "  %1 = requantize @x, @by {times=2, min=-10, max=100} : f32[2,3]\n"
    "  return %1, @want\n}\n";

/* 1.5, 101, nan; halved, and no more than 100 times 2. */
static const char requantize_sum[] = "graph @t() -> (f32[3], f32[3]) {\n"
                                     "  const @a : f32[3] = [2, 2, nan]\n"
                                     "  const @b : f32[3] = [1, 200, 1]\n"
                                     "  const @want : f32[3] = [4, 200, -20]\n"
                                     "  %1 = requantize_sum @a, @b {by_a=0.5, by_b=0.5, "
                                     "divide=0.75, times=2, min=-10, max=100} : f32[3]\n"
                                     "  return %1, @want\n}\n";

/* 6 / 255 a step, of which -2 is 85; all zeros have steps of 0. */
static const char dynamic[] =
    "graph @t() -> (f32[3], f32[3], f32[], f32[], f32[2], f32[2], f32[], f32[]) {\n"
    "  const @x : f32[3] = [-2, 4, 0.012]\n"
    "  const @want : f32[3] = [-85, 170, 1]\n"
    "  const @steps : f32[] = [0.023529412]\n"
    "  const @none : f32[2] = [0, 0]\n"
    "  const @nothing : f32[] = [0]\n"
    "  %s, %z = dynamic_range @x : f32[], f32[]\n"
    "  %q = quantize_shifted @x, %s, %z : f32[3]\n"
    "  %t, %y = dynamic_range @none : f32[], f32[]\n"
    "  %p = quantize_shifted @none, %t, %y : f32[2]\n"
    "  return %q, @want, %s, @steps, %p, @none, %y, @nothing\n}\n";

static const struct {
    const char *name, *text;
} cases[] = {
    {"quantize", quantize},        {"along an axis", along_axis},
    {"dequantize", dequantize},    {"fake_quant", fake_quant},
    {"requantize", requantize},    {"requantize_sum", requantize_sum},
    {"a measured range", dynamic},
};

static void values_are_right(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!graph_values_match(cases[i].text, 0))
            fail_msg("%s", cases[i].name);
}

static const struct {
    const char *text, *message;
} faults[] = {
    {"graph @t(%x: f32[2]) -> u8[2] {\n  const @s : f32[3] = [1, 1, 1]\n"
     "  %y = quantize %x, @s : u8[2]\n  return %y\n}\n",
     "scale must have shape [2]"},
    {"graph @t(%x: f32[2]) -> u8[2] {\n  const @s : f32[2] = [1, 1]\n"
     "  %y = quantize %x, @s {axis=1} : u8[2]\n  return %y\n}\n",
     "axis 1 is out of range"},
    {"graph @t(%x: f32[2]) -> u8[2] {\n  const @s : f32[] = [1]\n  const @z : i8[] = [1]\n"
     "  %y = quantize %x, @s, @z : u8[2]\n  return %y\n}\n",
     "zero must be u8, it is i8"},
    {"graph @t(%x: f32[2]) -> i32[2] {\n  const @s : f32[] = [1]\n"
     "  %y = quantize %x, @s {to=i32} : i32[2]\n  return %y\n}\n",
     "to must be i8, u8, i16 or u16, it is i32"},
    {"graph @t(%x: i64[2]) -> f32[2] {\n  const @s : f32[] = [1]\n"
     "  %y = dequantize %x, @s : f32[2]\n  return %y\n}\n",
     "x must be i8, u8, i16, u16 or i32, it is i64"},
    {"graph @t(%x: u8[2]) -> f32[2] {\n  const @s : f16[] = [1]\n"
     "  %y = dequantize %x, @s : f32[2]\n  return %y\n}\n",
     "scale must be f32, it is f16"},
    {"graph @t(%x: f32[2], %b: f32[2,1]) -> f32[2,2] {\n"
     "  %y = requantize %x, %b : f32[2,2]\n  return %y\n}\n",
     "by must broadcast to x"},
    {"graph @t(%x: f32[2], %s: f32[1]) -> f32[2] {\n  const @z : f32[] = [1]\n"
     "  %y = quantize_shifted %x, %s, @z : f32[2]\n  return %y\n}\n",
     "scale must have rank 0"},
    {"graph @t(%x: f32[2], %b: f32[1]) -> f32[2] {\n"
     "  %y = requantize_sum %x, %b : f32[2]\n  return %y\n}\n",
     "b must have shape [2]"},
    {"graph @t(%x: f32[2]) -> f32[2] {\n"
     "  %y = fake_quant %x {min=1} : f32[2]\n  return %y\n}\n",
     "min and max must be integers"},
};

static void wrong_types_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        assert_true(parse_fails(faults[i].text, NULL, faults[i].message));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_right),
        cmocka_unit_test(wrong_types_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
