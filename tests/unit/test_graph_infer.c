/* Unit tests of ir/graph_infer*.c: what fits and what doesn't, and why.
 *
 * A right result is one that the parser accepts: it compares the type in the text with the inferred
 * one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ir/graph.h"
#include "tests/lib/graph_text.h"

static const char frame[] =
    "graph @g(%%x: f32[2,6,5,7], %%v: f32[6], %%v1: f32[1], %%m: f32[2,6], "
    "%%p: f32[2,6,1,1], %%s: f32[],"
    " %%i: i64[3], %%j: i32[2,2], %%b: bool[2], %%h: f16[2,6,5,7], %%r3: "
    "f32[2,3,4], %%z: f32[0,6,5,7],"
    " %%k1: f32[8,6,1,1], %%k6: f32[6,6,1,1], %%k3: f32[8,6,3,3], %%kg: f32[8,2,3,3], %%kd: "
    "f32[6,1,3,3], %%kh: f32[9,2,3,3],"
    " %%k9: f32[8,6,9,3], %%b8: f32[8], %%d: f32[10,6], %%b10: f32[10], "
    "%%r: f32[3,6,1,1], %%rb: f32[3],"
    " %%e: f32[6,3,1,1], %%q: f32[262144,65536], %%j2: i32[2], %%w: f32[2,4,4]) -> () {\n"
    "  %%y = %s\n  return\n}\n";

static const char *const fits[] = {
    /* convolutions */
    "conv2d %x, %k1 : f32[2,8,5,7]",
    "conv2d %x, %k1, %b8 : f32[2,8,5,7]",
    "conv2d %x, %k1, %b8, scale=%p : f32[2,8,5,7]",
    "conv2d %x, %k3 {kernel=3x3} : f32[2,8,3,5]",
    "conv2d %x, %k3 {kernel=3x3, pad=1x1x1x1} : f32[2,8,5,7]",
    "conv2d %x, %k3 {kernel=3x3, pad=0x1x2x3, stride=2x3} : f32[2,8,3,3]",
    "conv2d %x, %k3 {kernel=3x3, dilation=2x3} : f32[2,8,1,1]",
    "conv2d %x, %kh {kernel=3x3, group=3} : f32[2,9,3,5]",
    "conv2d %z, %k3 {kernel=3x3} : f32[0,8,3,5]",
    "conv2d %x, %k9 {kernel=9x3, pad=2x0x2x0} : f32[2,8,1,5]",
    "dwconv2d %x, %kd {kernel=3x3, stride=2x2, pad=0x0x1x1} : f32[2,6,2,3]",
    "dwconv2d %x, %kd, %v {kernel=3x3} : f32[2,6,3,5]",
    "conv2d_mean %x, %k3, %b8 {kernel=3x3, stride=2x2} : f32[2,8,1,1]",
    "conv2d_mean %x, %kh {kernel=3x3, group=3} : f32[2,9,1,1]",
    "conv2d_dwconv2d %x, %k6, %v, %kd {dw_kernel=3x3, band=2} : f32[2,6,3,5]",
    ("conv2d_dwconv2d %x, %k6, _, %kd, %v {stride=2x2, dw_kernel=3x3, dw_pad=1x1x1x1} : "
     "f32[2,6,3,4]"),
    "dense %m, %d : f32[2,10]",
    "dense %p, %d, %b10 : f32[2,10]",
    "se %x, %r, %rb, %e, %v : f32[2,6,1,1]",
    /* elementwise */
    "add %x, %p : f32[2,6,5,7]",
    "add %p, %x : f32[2,6,5,7]",
    "sub %x, %s : f32[2,6,5,7]",
    "mul %s, %s : f32[]",
    "div %z, %v1 : f32[0,6,5,7]",
    "add %i, %i : i64[3]",
    "min %x, %p : f32[2,6,5,7]",
    "max %i, %i : i64[3]",
    "neg %j : i32[2,2]",
    "exp %h : f16[2,6,5,7]",
    "sqrt %z : f32[0,6,5,7]",
    "ceil %s : f32[]",
    "floor %x : f32[2,6,5,7]",
    "clip %j {min=0} : i32[2,2]",
    "silu %h : f16[2,6,5,7]",
    "cast %b {to=f64} : f64[2]",
    "identity %b : bool[2]",
    "reorder %x : f32[2,6,5,7]",
    "erf %x : f32[2,6,5,7]",
    "abs %j : i32[2,2]",
    "sign %x : f32[2,6,5,7]",
    "equal %x, %x : bool[2,6,5,7]",
    "equal %b, %b : bool[2]",
    "less_equal %x, %s : bool[2,6,5,7]",
    "xor %b, %b : bool[2]",
    "and %j, %j : i32[2,2]",
    "not %b : bool[2]",
    "pow %m, %v : f32[2,6]",
    "where %b, %b, %b : bool[2]",
    /* normalisation and reduction */
    "batch_norm %x, %v, %v, %v, %v : f32[2,6,5,7]",
    "batch_norm %m, %v, %v, %v, %v : f32[2,6]",
    "global_avg_pool %x : f32[2,6,1,1]",
    "global_avg_pool %r3 : f32[2,3,1]",
    "softmax %m {axis=1} : f32[2,6]",
    "reduce_mean %x {axes=[2, 3]} : f32[2,6,1,1]",
    "reduce_mean %x {axes=[3, 0], keepdims=false} : f32[6,5]",
    "reduce_mean %x {axes=[0, 1, 2, 3], keepdims=false} : f32[]",
    "reduce_sum %j {axes=[1]} : i32[2,1]",
    "reduce_max %b {axes=[0], keepdims=false} : bool[]",
    "arg_max %x {axis=1} : i64[2,1,5,7]",
    "top_k %x {axis=2, k=3} : f32[2,6,3,7]",
    "arg_min %x {axis=3, keepdims=false} : i64[2,6,5]",
    /* moving */
    "reshape %x {shape=[2, 210]} : f32[2,210]",
    "reshape %s {shape=[1, 1]} : f32[1,1]",
    "reshape %s : f32[]",
    "reshape %z {shape=[7, 0]} : f32[7,0]",
    "transpose %x {perm=[0, 2, 3, 1]} : f32[2,5,7,6]",
    "transpose %s : f32[]",
    "concat %x, %x, %z {axis=0} : f32[4,6,5,7]",
    "concat %m {axis=1} : f32[2,6]",
    "slice %x {starts=[0, 5, 1, 6], sizes=[2, 3, 2, 1], steps=[1, -2, 2, 9]} : f32[2,3,2,1]",
    "slice %x {starts=[0, 0, 0, 99], sizes=[2, 6, 5, 0], steps=[1, 1, 1, 1]} : f32[2,6,5,0]",
    "gather %x, %i {axis=1} : f32[2,3,5,7]",
    "gather %i, %j : i64[2,2]",
    "gather_elements %j, %j {axis=1} : i32[2,2]",
    "gather_nd %x, %j : f32[2,5,7]",
    "gather_nd %x, %j {batch_dims=1} : f32[2,7]",
    "scatter_elements %j, %j, %j {axis=1, combine=mul} : i32[2,2]",
    "scatter_nd %j, %j, %j2 {combine=add} : i32[2,2]",
    "non_zero %b : i64[1,2]",
    "compress %m, %b {axis=1} : f32[2,2]",
    "non_max_suppression %w, %r3, score=%v1 : i64[0,3]",
    "expand %p {shape=[2, 6, 5, 7]} : f32[2,6,5,7]",
    "expand %s {shape=[3]} : f32[3]",
    "expand %v {shape=[0, 6]} : f32[0,6]",
    "pad %m {before=[0, 1], after=[2, 3]} : f32[4,10]",
};

static const struct {
    const char *line, *why;
} misfits[] = {
    /* convolutions */
    {"conv2d %i, %k1 : f32[1]", "operand x must be of a floating-point type, it is i64"},
    {"conv2d %h, %k1 : f32[1]", "operand w is f32, but x is f16"},
    {"conv2d %m, %k1 : f32[1]", "operand x must have rank 4, it has rank 2"},
    {"conv2d %x, %d : f32[1]", "operand w must have rank 4, it has rank 2"},
    {"conv2d %x, %k3 : f32[1]", "kernel is 1x1, but the weight is for 3x3"},
    {"conv2d %x, %k3 {kernel=3x3, stride=0x1} : f32[1]",
     "stride must be from 1 to 16777216, it is 0"},
    {"conv2d %x, %k3 {kernel=3x3, dilation=1x-1} : f32[1]", "dilation must be from 1"},
    {"conv2d %x, %k3 {kernel=3x3, pad=0x0x-1x0} : f32[1]", "pad must be from 0"},
    {"conv2d %x, %k3 {kernel=3x3, pad=0x0x99999999x0} : f32[1]", "pad must be from 0"},
    {"conv2d %x, %k3 {kernel=0x3} : f32[1]", "kernel must be from 1"},
    {"conv2d %x, %k3 {kernel=3x3, group=0} : f32[1]", "group must be from 1"},
    {"conv2d %x, %kg {kernel=3x3, group=3} : f32[1]",
     "3 groups don't divide 6 input and 8 output channels"},
    {"conv2d %x, %kg {kernel=3x3, group=2} : f32[1]",
     "the weight has 2 input channels, the input has 6 in 2 groups"},
    {"conv2d %x, %kd {kernel=3x3} : f32[1]",
     "the weight has 1 input channels, the input has 6 in 1 group"},
    {"conv2d %x, %k9 {kernel=9x3} : f32[1]",
     "the kernel (9 taps, dilation 1) is larger than the padded input of 5 rows"},
    {"conv2d %x, %k3 {kernel=3x3, dilation=1x4} : f32[1]",
     "(3 taps, dilation 4) is larger than the padded input of 7 columns"},
    {"conv2d %x, %k1, %v : f32[1]", "operand b must have shape [8], it has [6]"},
    {"conv2d %x, %k1, scale=%m : f32[1]", "operand scale must have shape [2,6,1,1], it has [2,6]"},
    {"conv2d %x, %k1, residual=%x : f32[1]",
     "operand residual must have shape [2,8,5,7], it has [2,6,5,7]"},
    {"conv2d %x, %k1, residual=%h : f32[1]", "operand residual is f16, but x is f32"},
    {"dwconv2d %x, %k3 {kernel=3x3} : f32[1]",
     "operand w must have shape [6,1,3,3], it has [8,6,3,3]"},
    {"conv2d_mean %x, %k1 {kernel=3x3} : f32[1]", "kernel is 3x3, but the weight is for 1x1"},
    {"conv2d_mean %x, %k3, %v {kernel=3x3} : f32[1]", "operand b must have shape [8], it has [6]"},
    {"conv2d_dwconv2d %x, %k1, %b8, %kd {dw_kernel=3x3} : f32[1]",
     "operand dw must have shape [8,1,3,3], it has [6,1,3,3]"},
    {"conv2d_dwconv2d %x, %kg, %b8, %kd {kernel=3x3, dw_kernel=3x3} : f32[1]",
     "operand w must have shape [8,6,3,3], it has [8,2,3,3]"},
    {"conv2d_dwconv2d %x, %k6, _, %kd {dw_kernel=3x3, dw_stride=0x1} : f32[1]",
     "stride must be from 1"},
    {"conv2d_dwconv2d %x, %k6, _, %kd {dw_kernel=3x3, band=0} : f32[1]", "band must be from 1"},
    {"dwconv2d %x, %kd {kernel=3x3, group=6} : f32[1]", "group is implied, it must stay 1"},
    {"dwconv2d %x, %kd, %b8 {kernel=3x3} : f32[1]", "operand b must have shape [6], it has [8]"},
    {"dense %x, %d : f32[1]", "operand x must be [N,K] or [N,K,1,1], it is [2,6,5,7]"},
    {"dense %d, %m, %m : f32[1]", "operand b must have shape [2], it has [2,6]"},
    {"dense %m, %v : f32[1]", "operand w must have rank 2, it has rank 1"},
    {"dense %m, %q : f32[1]", "the weight has 65536 inputs, the input has 6"},
    {"dense %q, %q : f32[1]", "the result would have more than 2^36 bytes"},
    {"se %x, %e, %rb, %e, %v : f32[1]", "operand rw must have shape [6,6,1,1], it has [6,3,1,1]"},
    {"se %x, %r, %v, %e, %v : f32[1]", "operand rb must have shape [3], it has [6]"},
    {"se %x, %r, %rb, %r, %v : f32[1]", "operand xw must have shape [6,3,1,1], it has [3,6,1,1]"},
    {"se %x, %r, %rb, %e, %rb : f32[1]", "operand xb must have shape [6], it has [3]"},
    /* elementwise */
    {"add %x, %h : f32[1]", "operand b is f16, but a is f32"},
    {"add %b, %b : bool[2]", "operand a must be a number, it is bool"},
    {"mul %x, %v : f32[1]", "shapes [2,6,5,7] and [6] can't be broadcast to one"},
    {"sub %r3, %x : f32[1]", "shapes [2,3,4] and [2,6,5,7] can't be broadcast to one"},
    {"relu %j : i32[2,2]", "operand x must be of a floating-point type, it is i32"},
    {"clip %b : bool[2]", "operand x must be a number, it is bool"},
    {"clip %x {max=nan} : f32[1]", "the bounds must be numbers"},
    {"erf %j : i32[2,2]", "operand x must be of a floating-point type, it is i32"},
    {"abs %b : bool[2]", "operand x must be a number, it is bool"},
    {"equal %x, %h : bool[1]", "operand b is f16, but a is f32"},
    {"less %x, %v : bool[1]", "shapes [2,6,5,7] and [6] can't be broadcast to one"},
    {"and %x, %x : f32[1]", "operand a must be bool or an integer, it is f32"},
    {"not %j : i32[2,2]", "operand x must be bool, it is i32"},
    {"pow %b, %b : bool[2]", "operand a must be a number, it is bool"},
    {"where %x, %x, %x : f32[1]", "operand c must be bool, it is f32"},
    {"where %b, %x, %h : f32[1]", "operand b is f16, but a is f32"},
    {"where %b, %x, %v : f32[1]", "shapes [2,6,5,7] and [6] can't be broadcast to one"},
    {"where %b, %x, %x : f32[1]", "shapes [2] and [2,6,5,7] can't be broadcast to one"},
    /* normalisation and reduction */
    {"batch_norm %v, %v, %v, %v, %v : f32[6]", "operand x must have rank 2 or more, it has rank 1"},
    {"batch_norm %x, %v, %b8, %v, %v : f32[1]", "operand b must have shape [6], it has [8]"},
    {"global_avg_pool %m : f32[1]", "operand x must have rank 3 or more, it has rank 2"},
    {"global_avg_pool %i : i64[1]", "operand x must be of a floating-point type"},
    {"softmax %m {axis=2} : f32[2,6]", "axis 2 is out of range for rank 2"},
    {"softmax %m {axis=-1} : f32[2,6]", "axis -1 is out of range for rank 2"},
    {"reduce_mean %x {axes=[4]} : f32[1]", "axis 4 is out of range for rank 4"},
    {"reduce_mean %x {axes=[1, 1]} : f32[1]", "axis 1 is there twice"},
    {"reduce_mean %i {axes=[0]} : i64[1]", "operand x must be of a floating-point type, it is i64"},
    {"reduce_sum %b {axes=[0]} : bool[1]", "operand x must be a number, it is bool"},
    {"reduce_max %x {axes=[-1]} : f32[1]", "axis -1 is out of range for rank 4"},
    {"arg_max %x {axis=4} : i64[1]", "axis 4 is out of range for rank 4"},
    {"arg_max %z : i64[1]", "axis 0 has no elements"},
    {"top_k %x {axis=2, k=6} : f32[1]", "k is 6, and axis 2 has 5 elements"},
    {"top_k %x {axis=2, k=-1} : f32[1]", "k is -1, and axis 2 has 5 elements"},
    {"top_k %b : bool[1]", "operand x must be a number, it is bool"},
    /* moving */
    {"reshape %x {shape=[2, 211]} : f32[1]", "the new shape has 422 elements, operand x has 420"},
    {"reshape %x {shape=[-1, 210]} : f32[1]", "shape has a negative dim or is too large"},
    {"reshape %x {shape=[9223372036854775807, 3]} : f32[1]",
     "shape has a negative dim or is too large"},
    {"transpose %m {perm=[0]} : f32[1]", "perm must have one entry for each of 2 dims, it has 1"},
    {"transpose %m {perm=[0, 2]} : f32[1]", "axis 2 is out of range for rank 2"},
    {"transpose %m {perm=[1, 1]} : f32[1]", "axis 1 is there twice"},
    {"concat %x, %m {axis=1} : f32[1]",
     "operand 1 of shape [2,6] doesn't fit [2,6,5,7] along axis 1"},
    {"concat %x, %z {axis=1} : f32[1]", "operand 1 of shape [0,6,5,7] doesn't fit"},
    {"concat %x, %h {axis=1} : f32[1]", "operand x is f16, but x is f32"},
    {"concat %s : f32[1]", "axis 0 is out of range for rank 0"},
    {"slice %m {starts=[0], sizes=[1, 1], steps=[1, 1]} : f32[1]", "starts must have one entry"},
    {"slice %m {starts=[0, 0], sizes=[1], steps=[1, 1]} : f32[1]", "sizes must have one entry"},
    {"slice %m {starts=[0, 0], sizes=[1, 1], steps=[1]} : f32[1]", "steps must have one entry"},
    {"slice %m {starts=[0, 0], sizes=[1, 1], steps=[1, 0]} : f32[1]", "step 0 in dim 1"},
    {"slice %m {starts=[0, 2], sizes=[1, 3], steps=[1, 2]} : f32[1]",
     "3 elements from 2 in steps of 2 don't fit in dim 1 of 6"},
    {"slice %m {starts=[0, 1], sizes=[1, 3], steps=[1, -1]} : f32[1]", "don't fit in dim 1"},
    {"slice %m {starts=[2, 0], sizes=[1, 1], steps=[1, 1]} : f32[1]", "don't fit in dim 0 of 2"},
    {"slice %m {starts=[0, 0], sizes=[1, -1], steps=[1, 1]} : f32[1]", "don't fit in dim 1"},
    {"slice %m {starts=[0, 0], sizes=[1, 3], steps=[1, 9223372036854775807]} : f32[1]",
     "don't fit"},
    {"slice %m {starts=[0, 0], sizes=[1, 3], steps=[1, -9223372036854775808]} : f32[1]",
     "don't fit"},
    {"gather %x, %v {axis=1} : f32[1]", "operand indices must be i64 or i32, it is f32"},
    {"gather %x, %i {axis=4} : f32[1]", "axis 4 is out of range for rank 4"},
    {"gather_elements %x, %j : f32[1]", "operand indices must have rank 4, it has rank 2"},
    {"gather_elements %m, %m : f32[1]", "operand indices must be i64 or i32, it is f32"},
    {"gather_nd %s, %j : f32[1]", "a tuple has 2 indices, and there are 0 dims"},
    {"gather_nd %x, %j {batch_dims=2} : f32[1]", "2 common dims are not possible"},
    {"gather_nd %r, %j {batch_dims=1} : f32[1]", "dim 0 of the indices is 2, and that of x 3"},
    {"scatter_elements %j, %j, %j {combine=sub} : i32[2,2]", "elements can be combined by"},
    {"scatter_elements %j, %j, %i : i32[2,2]", "operand updates is i64, but x is i32"},
    {"scatter_nd %b, %i, %b {combine=add} : bool[2]", "a tuple has 3 indices"},
    {"scatter_nd %j, %j, %j : i32[2,2]", "operand updates must have shape [2], it has [2,2]"},
    {"compress %m, %i : f32[1]", "operand condition must be bool, it is i64"},
    {"compress %v1, %b : f32[1]", "there are 2 conditions for 1 elements"},
    {"non_max_suppression %r3, %r3 : i64[1]", "operand boxes must have shape [2,4,4]"},
    {"non_max_suppression %w, %r3 {limit=5} : i64[1]", "limit is 5, and there are 4 boxes"},
    {"non_max_suppression %w, %r3, iou=%v : i64[1]", "operand iou must be one f32"},
    {"expand %m {shape=[2, 5]} : f32[1]", "operand x of shape [2,6] can't be broadcast to [2,5]"},
    {"expand %m {shape=[6]} : f32[1]", "operand x of shape [2,6] can't be broadcast to [6]"},
    {"expand %s {shape=[9999999999999]} : f32[1]", "shape has a negative dim or is too large"},
    {"expand %s {shape=[68719476736]} : f32[1]", "the result would have more than 2^36 bytes"},
    {"pad %m {before=[0], after=[0, 0]} : f32[1]", "before must have one entry"},
    {"pad %m {before=[0, 0]} : f32[1]", "after must have one entry for each of 2 dims, it has 0"},
    {"pad %m {before=[0, -1], after=[0, 0]} : f32[1]",
     "the padding of dim 1 is negative or too large"},
    {"pad %m {before=[0, 0], after=[9223372036854775807, 0]} : f32[1]", "padding of dim 0"},
    {"pad %m {before=[0, 0], after=[99999999999999, 0]} : f32[1]", "more than 2^36 bytes"},
};

typedef struct Line {
    char text[2048];
} Line;

static const char *graph_with(Line *b, const char *line) {
    int n = snprintf(b->text, sizeof b->text, frame, line);
    assert_in_range(n, 1, sizeof b->text - 1);
    return b->text;
}

static void right_types_are_inferred(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof fits / sizeof *fits; i++) {
        Line b;
        Graph *g = graph_of(graph_with(&b, fits[i]));
        if (!g)
            fail_msg("%s", fits[i]);
        graph_free(g);
    }
}

static void misfits_are_explained(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof misfits / sizeof *misfits; i++) {
        Line b;
        if (!parse_fails(graph_with(&b, misfits[i].line), ":2:8", misfits[i].why))
            fail_msg("%s", misfits[i].line);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_types_are_inferred),
        cmocka_unit_test(misfits_are_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
