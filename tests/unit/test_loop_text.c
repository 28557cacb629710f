/* Unit tests of ir/loop_print.c and loop_parse.c: the text of the loop IR. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/loop_text.h"

#define HEAD "module @m target=generic {\n"
#define RUN  "  run {\n  }\n}\n"

/* Parsing and printing gives the same text. */
static void assert_fixpoint(const char *text) {
    Module *m = module_of(text);
    assert_non_null(m);
    char *again = module_text(m);
    assert_string_equal(again, text);
    free(again);
    module_free(m);
}

/* Parsing `text` and printing gives `want`, which is a fixpoint. */
static void assert_prints(const char *text, const char *want) {
    Module *m = module_of(text);
    assert_non_null(m);
    char *again = module_text(m);
    assert_string_equal(again, want);
    free(again);
    module_free(m);
    assert_fixpoint(want);
}

/* ---- what is printed is read ---------------------------------------------------------------- */

static void an_empty_module(void **state) {
    (void)state;
    assert_fixpoint(HEAD RUN);
    assert_prints("module@m target=generic{run{}}", HEAD RUN);
}

static void header_attributes(void **state) {
    (void)state;
    assert_fixpoint("module @m target=x86-64-v3 arena=4096 {\n" RUN);
    assert_fixpoint("module @m target=x86-64-v4 weights=64 {\n" RUN);
    assert_fixpoint("module @m target=generic arena=1 weights=9223372036854775807"
                    " xxh:00000000000000ff {\n" RUN);
}

static void buffers(void **state) {
    (void)state;
    assert_fixpoint("module @m target=generic arena=4096 weights=64 {\n"
                    "  buffer %in : f32[1,3,224,224] input 0 \"input\"\n"
                    "  buffer %n : i64[] input 1 \"\"\n"
                    "  buffer %out.1 : bf16[0,2] output 0 \"a \\\"b\\\" \\\\ \\n \\x7f\\xc3\"\n"
                    "  buffer %t : i8[16] arena 4080\n"
                    "  buffer %w : bool[0] weights 64\n" RUN);
    assert_fixpoint(HEAD "  buffer %o : f32[9,6] output 0 \"o\" count 1 axis 0\n"
                         "  buffer %n : i64[] output 1 \"n\"\n" RUN);
    Module *m =
        module_of(HEAD "buffer %a : f16[2,3] input 0 \"x\\x41\" buffer %b : u8[7] arena 3" RUN);
    assert_non_null(m);
    const Buffer *a = m->buffers.data[0], *b = m->buffers.data[1];
    assert_string_equal(a->onnx_name, "xA");
    assert_int_equal(a->elems, 6);
    assert_int_equal(a->shape.rank, 2);
    assert_int_equal(a->kind, BUF_INPUT);
    assert_int_equal(b->elems, 7);
    assert_int_equal(b->offset, 3);
    assert_int_equal(b->kind, BUF_ARENA);
    assert_int_equal(b->reg.type.dtype, DT_u8);
    module_free(m);
}

static void names_that_need_quotes(void **state) {
    (void)state;
    assert_fixpoint("module @\"my model\" target=generic {\n"
                    "  buffer %\"/conv/out:0\" : f32[4] output 0 \"/conv/out:0\"\n"
                    "  kernel @\"\"(p: f32*) {\n"
                    "  }\n"
                    "  kernel @\"a\\\"(\\n\"(p: f32*) {\n"
                    "  }\n"
                    "  run {\n"
                    "    call @\"\"(%\"/conv/out:0\"[0])  # \"a \\\"name\\\"\\n\"\n"
                    "    call @\"a\\\"(\\n\"(%\"/conv/out:0\"[3])\n"
                    "  }\n"
                    "}\n");
}

/* Every form of instruction, of address and of operand. */
static void instructions(void **state) {
    (void)state;
    assert_fixpoint("module @m target=generic {\n"
                    "  buffer %b : f32[4096] input 0 \"b\"\n"
                    "  kernel @k(a: f32*, h: f16*, lda: i64, k: i64) {\n"
                    "    z = const.v16.f32 1.5\n"
                    "    n = const.i64 7\n"
                    "    t = const.bool 1\n"
                    "    for p in 0..k step 2 {\n"
                    "      x = splat.v16 a[lda + 2*p + 3]\n"
                    "      b0 = load.v16 a[32*p + 32]\n"
                    "      acc = fma x, b0, z\n"
                    "      b1 = load_once.v16 a[32*p + 48]\n"
                    "      y = load a[p]\n"
                    "      s = splat.v16 y\n"
                    "      m = bitcast.v16.i32 x\n"
                    "      m = shl m, 23\n"
                    "      c = le x, s\n"
                    "      x = select c, x, s\n"
                    "      y = silu y\n"
                    "      store.v16 a[lda + 16], acc\n"
                    "      store a[-lda - 3*p - 5], y\n"
                    "      g = load.v64 h[k - 9223372036854775807*p - 9223372036854775808]\n"
                    "      f = load.v2 h[-9223372036854775808*k + 9223372036854775807]\n"
                    "      q = lea a[16*n]\n"
                    "      if t {\n"
                    "        for u in p..k step 9223372036854775807 {\n"
                    "        }\n"
                    "        for v in -3..-1 {\n"
                    "          if t {\n"
                    "          } else {\n"
                    "            n = add n, v\n"
                    "          }\n"
                    "        }\n"
                    "      } else {\n"
                    "        y = neg y\n"
                    "      }\n"
                    "      while t {\n"
                    "        t = lt p, k\n"
                    "      }\n"
                    "      par w in 0..k step 2 {\n"
                    "      }\n"
                    "      d = convert.f64 y\n"
                    "    }\n"
                    "  }\n"
                    "  kernel @l(q: f32*, n: i64) {\n"
                    "    call @k(q[1], q[n], n, 12)  # \"origin\"\n"
                    "  }\n"
                    "  step @s {\n"
                    "    for image in 0..2 {\n"
                    "      call @l(%b[10*image], 3)\n"
                    "    }\n"
                    "  }  # \"block.1\"\n"
                    "  step @t(image: i64) {\n"
                    "    call @l(%b[10*image], 3)\n"
                    "  }\n"
                    "  step @\"s 2\" {\n"
                    "  }\n"
                    "  run {\n"
                    "    i = const.i64 5\n"
                    "    call @s()\n"
                    "    call @t(i)\n"
                    "    call @\"s 2\"()\n"
                    "    call @l(%b[4096], i)\n"
                    "    call @l(%b[-2*i + 1], -5)  # \"a+b\"\n"
                    "    x = splat.v4 %b[0]\n"
                    "  }\n"
                    "}\n");
}

/* Each instruction with operands of a register is read back by its name. */
static void every_name_round_trips(void **state) {
    (void)state;
    static const char *const operands[] = {
        [FORM_UNARY] = "x",      [FORM_BINARY] = "x, x",    [FORM_TERNARY] = "x, x, x",
        [FORM_COMPARE] = "x, x", [FORM_SELECT] = "x, x, x", [FORM_SHIFT] = "x, 3"};
    for (int i = 0; i < INST_COUNT; i++) {
        const InstInfo *info = inst_info((InstOp)i);
        if (info->form >= sizeof operands / sizeof *operands || !operands[info->form])
            continue;
        Buf b = {0};
        buf_printf(&b, HEAD "  run {\n    x = const.i32 1\n    y = %s %s\n  }\n}\n", info->name,
                   operands[info->form]);
        Module *m = module_of(b.data);
        assert_non_null(m);
        assert_int_equal(m->run->body.last->op, i);
        module_free(m);
        assert_fixpoint(b.data);
        buf_free(&b);
    }
}

static void white_space_and_comments_are_free(void **state) {
    (void)state;
    assert_prints("# a header # line\n module \n @m target = generic {# \"no\"\r\n\trun{ "
                  "x=const.f32 1# \"no\"\n"
                  "y=\nadd x,x}}# end",
                  HEAD "  run {\n    x = const.f32 1\n    y = add x, x\n  }\n}\n");
}

static void only_a_string_after_a_call_is_an_origin(void **state) {
    (void)state;
    assert_prints(HEAD "kernel @k() {}\nrun { call @k() # \"a\" and more\n"
                       "call @k() # b\n call @k() #\"c\n call @k()\n# \"d\"\n call @k()}}",
                  HEAD "  kernel @k() {\n  }\n  run {\n"
                       "    call @k()  # \"a\"\n    call @k()\n    call @k()\n    call @k()\n"
                       "    call @k()\n  }\n}\n");
}

static void sums_are_put_in_order(void **state) {
    (void)state;
    assert_prints(HEAD
                  "kernel @k(a: f32*, i: i64, j: i64) {\n"
                  "x = load a[3 + 2*i + 1*j - 5 + i - j] y = load a[-0] z = load a[0*i + 2]}" RUN,
                  HEAD "  kernel @k(a: f32*, i: i64, j: i64) {\n    x = load a[3*i - 2]\n"
                       "    y = load a[0]\n    z = load a[2]\n  }\n" RUN);
}

static void types_follow_from_instructions(void **state) {
    (void)state;
    Module *m = module_of(HEAD "kernel @k(p: u8*, n: i64) { a = load.v8 p[n] b = convert.v8.f32 a "
                               "c = lt b, b d = select c, b, b q = lea p[1] e = eq n, n "
                               "f = splat.v4 n g = splat.v2 q[0] }" RUN);
    assert_non_null(m);
    const Kernel *k = m->kernels.data[0];
    static const struct {
        const char *name;
        RegKind kind;
        LType type;
    } want[] = {{"p", REG_POINTER, {DT_u8, 1}}, {"n", REG_VALUE, {DT_i64, 1}},
                {"a", REG_VALUE, {DT_u8, 8}},   {"b", REG_VALUE, {DT_f32, 8}},
                {"c", REG_VALUE, {DT_i32, 8}},  {"d", REG_VALUE, {DT_f32, 8}},
                {"q", REG_POINTER, {DT_u8, 1}}, {"e", REG_VALUE, {DT_bool, 1}},
                {"f", REG_VALUE, {DT_i64, 4}},  {"g", REG_VALUE, {DT_u8, 2}}};
    assert_int_equal(k->regs.len, sizeof want / sizeof *want);
    assert_int_equal(k->params.len, 2);
    for (size_t i = 0; i < k->regs.len; i++) {
        assert_string_equal(k->regs.data[i]->name, want[i].name);
        assert_int_equal(k->regs.data[i]->kind, want[i].kind);
        assert_true(ltype_equal(k->regs.data[i]->type, want[i].type));
        assert_int_equal(k->regs.data[i]->index, i);
    }
    module_free(m);
}

/* ---- numbers -------------------------------------------------------------------------------- */

/* Prints a constant of the module and reads it again; returns the value. */
static double reread(DType dt, double x) {
    Module *m = module_new("m", target_find("generic"));
    Builder b = build_begin(m->run);
    build_const_f(&b, "x", ltype(dt, 1), x);
    char *text = module_text(m);
    module_free(m);
    m = module_of(text);
    assert_non_null(m);
    double y = m->run->body.first->u.f;
    char *again = module_text(m);
    assert_string_equal(text, again);
    free(text);
    free(again);
    module_free(m);
    return y;
}

static void assert_same_bits(double x, double y) {
    if (memcmp(&x, &y, sizeof x) != 0)
        fail_msg("%a was read as %a", x, y);
}

static void floats_keep_their_bits(void **state) {
    (void)state;
    uint64_t seed = 12345;
    for (int i = 0; i < 3000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t bits32 = (uint32_t)(seed >> 32);
        float f;
        double d;
        memcpy(&f, &bits32, sizeof f);
        memcpy(&d, &seed, sizeof d);
        if (f == f)
            assert_same_bits((double)f, reread(DT_f32, (double)f));
        if (d == d)
            assert_same_bits(d, reread(DT_f64, d));
    }
    static const double special[] = {
        0, -0.0, 1, -1, INFINITY, -INFINITY, 0x1p-149, 0x1.fffffep127, 0x1p-126, -0x1.fffffcp-127};
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        assert_same_bits(special[i], reread(DT_f32, special[i]));
        assert_same_bits(special[i], reread(DT_f64, special[i]));
    }
    assert_same_bits(0x1p-1074, reread(DT_f64, 0x1p-1074));
    assert_true(isnan(reread(DT_f32, NAN)));
    assert_true(isnan(reread(DT_f16, -NAN)));
}

static void halves_keep_their_bits(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits += 7) {
        float f = half_to_float((uint16_t)bits), g = bfloat_to_float((uint16_t)bits);
        if (f == f)
            assert_same_bits((double)f, reread(DT_f16, (double)f));
        if (g == g)
            assert_same_bits((double)g, reread(DT_bf16, (double)g));
    }
}

static void floats_are_short(void **state) {
    (void)state;
    assert_prints(
        HEAD "run { a = const.f32 0x1p-1 b = const.f32 0.100000001490116 c = const.f64 1e22 "
             "d = const.f32 -inf e = const.f64 nan f = const.f16 65504 g = const.f32 -0.0 "
             "h = const.f32 3.4028235e38 }}",
        HEAD "  run {\n    a = const.f32 0.5\n    b = const.f32 0.1\n    c = const.f64 1e+22\n"
             "    d = const.f32 -inf\n    e = const.f64 nan\n    f = const.f16 6.55e+04\n"
             "    g = const.f32 -0\n    h = const.f32 3.4028235e+38\n  }\n}\n");
}

static void integers_keep_their_bits(void **state) {
    (void)state;
    assert_fixpoint(HEAD "  run {\n    a = const.i64 -9223372036854775808\n"
                         "    b = const.u64 18446744073709551615\n    c = const.v4.i8 -128\n"
                         "    d = const.v64.u32 4294967295\n    e = const.bool 0\n  }\n}\n");
}

/* ---- errors --------------------------------------------------------------------------------- */

static const struct {
    const char *text, *want;
} broken[] = {
    {"", ":1:1: expected \"module\", found the end of the text"},
    {"graph @g", ":1:1: expected \"module\", found \"graph\""},
    {"module m", ":1:8: expected \"@\", found \"m\""},
    {"module @\"m", ":1:9: expected a string in double quotes, on one line, found \"\\\"\""},
    {"module @\"\\q\"", ":1:9: expected a string in double quotes, on one line, found \"\\\"\""},
    {"module @\"\\x00\"", ":1:9: expected a string in double quotes, on one line, found \"\\\"\""},
    {"module @m arget=generic", ":1:11: expected \"target\", found \"arget\""},
    {"module @m target=pdp11 {", ":1:18: expected the name of a target, found \"pdp11\""},
    {"module @m target=generic arena=-1 {", ":1:31: a size is not negative"},
    {"module @m target=generic arena=9223372036854775808 {", ":1:32: the number passes 64 bits"},
    {"module @m target=generic arena=99999999999999999999 {", ":1:32: the number passes 64 bits"},
    {"module @m target=generic xxh:12 {", ":1:30: expected 16 hexadecimal digits, found \"12\""},
    {HEAD, ":2:1: expected buffer, kernel, step, run or \"}\", found the end of the text"},
    {HEAD "}", ":2:2: the module has no run"},
    {HEAD "run {} run {} }", ":2:11: the module has a run already"},
    {HEAD "run {} } x", ":2:10: expected the end of the text, found \"x\""},
    {HEAD "buffer %a : f33[1] arena 0", ":2:13: expected an element type, found \"f33\""},
    {HEAD "buffer %a : f32[1] scratch 0",
     ":2:20: expected input, output, weights or arena, found \"scratch\""},
    {HEAD "buffer %a : f32[1,1] arena 0 ", ":2:8: the buffer has no valid shape"},
    {HEAD "buffer %a : f32[-1] arena 0 ", ":2:8: the buffer has no valid shape"},
    {HEAD "buffer %a : f32[4000000000,4000000000] input 0 \"\"",
     ":2:8: the buffer has no valid shape"},
    {HEAD "buffer %a : f32[1,1,1,1,1,1,1,1,1] input 0 \"\"",
     ":2:33: expected \"]\" after so many dimensions, found \"1\""},
    {HEAD "buffer %a : f32[1] input 0 x",
     ":2:28: expected a string in double quotes, on one line, found \"x\""},
    {HEAD "buffer %a : f32[1] arena 0 buffer %a : f32[1] arena 0",
     ":2:35: there are two buffers of this name"},
    {HEAD "kernel @k() {} kernel @k() {}", ":2:23: there are two kernels of this name"},
    {HEAD "kernel @k() {} step @k {}", ":2:21: there are two kernels of this name"},
    {HEAD "step @s(n: i64 {}", ":2:16: expected \")\", found \"{\""},
    {HEAD "step @s { call @s() }", ":2:16: no kernel of this name comes before the call"},
    {HEAD "kernel @k(a: f32) {}", ":2:11: a parameter is a pointer or an i64"},
    {HEAD "kernel @k(a: i64, a: f32*) {}", ":2:19: there are two parameters of this name"},
    {HEAD "kernel @k(a i64) {}", ":2:13: expected \":\", found \"i64\""},
    {HEAD "kernel @k() { call @k() }", ":2:20: no kernel of this name comes before the call"},
    {HEAD "run { x }", ":2:9: expected \"=\", found \"}\""},
    {HEAD "run { 1 = 2", ":2:7: expected an instruction or \"}\", found \"1\""},
    {HEAD "run { x = sum x, x", ":2:11: there is no instruction sum"},
    {HEAD "run { x = store x, x", ":2:16: store has no result"},
    {HEAD "run { x = add y, y", ":2:15: register y has no value yet"},
    {HEAD "run { x = const.f32 1 y = add x x", ":2:33: expected \",\", found \"x\""},
    {HEAD "run { x = const.f32 one", ":2:21: expected a floating-point number, found \"one\""},
    {HEAD "run { x = const.f32 1e39", ":2:21: the number does not fit f32"},
    {HEAD "run { x = const.f16 65520", ":2:21: the number does not fit f16"},
    {HEAD "run { x = const.i8 128", ":2:20: the number does not fit i8"},
    {HEAD "run { x = const.u64 -1", ":2:21: the number does not fit u64"},
    {HEAD "run { x = const.u8 18446744073709551615", ":2:20: the number does not fit u8"},
    {HEAD "run { x = const.i64 9223372036854775808", ":2:21: the number does not fit i64"},
    {HEAD "run { x = const.i32 1.5", ":2:22: expected an instruction or \"}\", found \".\""},
    {HEAD "run { x = const 1", ":2:17: expected \".\", found \"1\""},
    {HEAD "run { x = const.v1.f32 1", ":2:17: a vector has 2 to 64 lanes"},
    {HEAD "run { x = const.v65.f32 1", ":2:17: a vector has 2 to 64 lanes"},
    {HEAD "run { x = const.v4 1", ":2:20: expected \".\", found \"1\""},
    {HEAD "run { x = const.f32 1 x = const.f64 1", ":2:23: register x is f32, but this gives f64"},
    {HEAD "run { x = const.f32 1 for x in 0..1 {", ":2:27: register x is f32, but this gives i64"},
    {HEAD "kernel @k(p: f32*) { x = add p, p", ":2:22: add takes values, not pointers"},
    {HEAD "kernel @k(p: f32*) { p = load p[0]", ":2:22: register p is f32*, but this gives f32"},
    {HEAD "kernel @k(p: f32*) { x = load.v4 p[0] store p[0], x",
     ":2:51: register x has 4 lanes, the store 1"},
    {HEAD "kernel @k(n: i64) { x = load n[0]", ":2:30: n is not a pointer"},
    {HEAD "run { x = load %in[0]", ":2:16: there is no such buffer"},
    {HEAD "kernel @k(p: f32*) { x = load.4 p[0]",
     ":2:31: expected a number of lanes, as in v16, found \"4\""},
    {HEAD "kernel @k(p: f32*) { x = load p 0", ":2:33: expected \"[\", found \"0\""},
    {HEAD "kernel @k(p: f32*) { x = load p[]", ":2:33: expected a number, found \"]\""},
    {HEAD "kernel @k(p: f32*) { x = load p[1 2", ":2:35: expected \"]\", found \"2\""},
    {HEAD "kernel @k(p: f32*) { x = load p[i]", ":2:33: register i has no value yet"},
    {HEAD "kernel @k(p: f32*) { x = load p[9223372036854775807 + 1]",
     ":2:55: the offset passes 64 bits"},
    {HEAD "kernel @k(p: f32*) { x = load p[-9223372036854775808 - 1]",
     ":2:56: the offset passes 64 bits"},
    {HEAD "kernel @k(p: f32*) { x = load p[9223372036854775808]",
     ":2:33: the number passes 64 bits"},
    {HEAD "kernel @k(p: f32*, a: i64, b: i64, c: i64, d: i64, e: i64) { x = load p[a + b + c + "
          "d + e]",
     ":2:89: an address has at most 4 registers, with factors of 64 bits"},
    {HEAD "run { for i = 0..1 {", ":2:13: expected \"in\", found \"=\""},
    {HEAD "run { for i in 0.1 {", ":2:17: expected \"..\", found \".\""},
    {HEAD "run { for i in 0..i {", ":2:19: register i has no value yet"},
    {HEAD "run { if c {", ":2:10: register c has no value yet"},
    {HEAD "run { while c {", ":2:13: register c has no value yet"},
    {HEAD "run { c = const.bool 1 while c x", ":2:32: expected \"{\", found \"x\""},
    {HEAD "run { c = const.bool 1 while c {} else {", ":2:40: expected \"=\", found \"{\""},
    {HEAD "run { c = const.bool 1 if c {} else x", ":2:37: expected \"{\", found \"x\""},
    {HEAD "run { c = const.bool 1 if c {} else {} else {}", ":2:45: expected \"=\", found \"{\""},
    {HEAD "run { for i in 0..1 {} else {}", ":2:29: expected \"=\", found \"{\""},
    {HEAD "kernel @k() {} run { call @k(1,) ", ":2:32: expected a register, found \")\""},
    {HEAD "kernel @k() {} run { call @k(1 2", ":2:32: expected \")\", found \"2\""},
    {HEAD "run {\n\n\t@", ":4:2: expected an instruction or \"}\", found \"@\""},
    {HEAD "run { \xff", ":2:7: expected an instruction or \"}\", found \"\\xff\""},
};

static void errors_say_where_and_what(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        if (!module_parse_fails(broken[i].text, broken[i].want))
            fail_msg("in: %s", broken[i].text);
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    Buf b = {0};
    buf_puts(&b, HEAD "run {");
    for (int i = 0; i < 100000; i++)
        buf_printf(&b, "for i%d in 0..1 {", i);
    assert_true(module_parse_fails(b.data, ":2:539: more than 32 blocks are open"));
    buf_free(&b);
}

/* A text with one of everything, for what follows. */
static const char sample[] =
    "module @m target=x86-64-v3 arena=64 weights=8 xxh:0123456789abcdef {\n"
    "  buffer %in : f32[1,16] input 0 \"i\\n\"\n"
    "  buffer %\"t/1\" : f32[16] arena 0\n"
    "  kernel @k(p: f32*, n: i64) {\n"
    "    for i in 0..n step 2 {\n"
    "      x = load.v2 p[2*i - n + 3]\n"
    "      y = const.v2.f32 -1.5e-3\n"
    "      c = lt x, y\n"
    "      x = select c, x, y\n"
    "      b = eq i, n\n"
    "      if b {\n"
    "        store.v2 p[i], x\n"
    "      } else {\n"
    "        q = lea p[-1]\n"
    "      }\n"
    "    }\n"
    "  }\n"
    "  run {\n"
    "    call @k(%\"t/1\"[0], -4)  # \"a\\x41\"\n"
    "  }\n"
    "}\n";

/* Parses, and where that works checks that the text has settled. */
static bool survives(const char *text, size_t size) {
    Diag d = {0};
    Module *m = module_parse(text, size, "test", NULL, &d);
    bool parsed = m != NULL;
    assert_int_equal(d.errors, parsed ? 0 : 1);
    if (parsed) {
        char *once = module_text(m);
        assert_fixpoint(once);
        module_verify(m, "test", &d);
        free(once);
    }
    module_free(m);
    diag_free(&d);
    return parsed;
}

static void a_truncated_text_is_refused(void **state) {
    (void)state;
    assert_true(survives(sample, sizeof sample - 1));
    for (size_t n = 0; n < sizeof sample - 2; n++) {
        char *exact = malloc(n + 1); /* so that a sanitizer sees any byte read behind it */
        memcpy(exact, sample, n);
        assert_false(survives(exact, n));
        free(exact);
    }
}

static void a_changed_byte_does_no_harm(void **state) {
    (void)state;
    static const char bytes[] = {' ', '\n', '#', '"', '\\', '{', '}', '[', '*', '-',  '.',
                                 '0', '9',  'v', 'x', '_',  '%', '@', ',', '=', '\0', '\xff'};
    char text[sizeof sample];
    int parsed = 0;
    for (size_t i = 0; i + 1 < sizeof sample; i++) {
        for (size_t k = 0; k < sizeof bytes; k++) {
            memcpy(text, sample, sizeof sample);
            text[i] = bytes[k];
            parsed += survives(text, sizeof sample - 1);
        }
    }
    assert_true(parsed > 100);
}

static void a_missing_or_doubled_piece_does_no_harm(void **state) {
    (void)state;
    for (size_t i = 0; i + 1 < sizeof sample; i++) {
        for (size_t n = 1; n < 12 && i + n < sizeof sample; n++) {
            Buf b = {0};
            buf_write(&b, sample, i);
            buf_puts(&b, sample + i + n);
            survives(b.data, b.len);
            b.len = 0;
            buf_write(&b, sample, i + n);
            buf_puts(&b, sample + i);
            survives(b.data, b.len);
            buf_free(&b);
        }
    }
}

/* ---- weights -------------------------------------------------------------------------------- */

static Module *with_weights(const uint8_t *data, int64_t n) {
    Module *m = module_new("m", target_find("generic"));
    m->weights_bytes = n;
    m->weights = tensor_wrap(&m->arena, DT_u8, shape_of(1, &n), data);
    return m;
}

static Module *parse_in(const char *text, const char *dir, Diag *d) {
    return module_parse(text, strlen(text), "test", dir, d);
}

static void weights_are_found_by_their_hash(void **state) {
    (void)state;
    char dir[] = "loop_text_XXXXXX";
    assert_non_null(mkdtemp(dir));
    uint8_t data[100];
    for (int i = 0; i < 100; i++)
        data[i] = (uint8_t)(7 * i);
    Module *m = with_weights(data, sizeof data);
    char *text = module_text(m);
    Outputs out = {0};
    Diag d = {0};
    module_write_weights(m, dir, &out);
    assert_int_equal(out.files.len, 1);
    assert_true(outputs_commit(&out, &d));

    Module *again = parse_in(text, dir, &d);
    assert_non_null(again);
    assert_non_null(again->weights);
    assert_memory_equal(again->weights->data, data, sizeof data);
    char *same = module_text(again);
    assert_string_equal(text, same);
    module_free(again);

    again = parse_in(text, "no/such/folder", &d);
    assert_non_null(again);
    assert_null(again->weights);
    char *still = module_text(again); /* keeps the hash */
    assert_string_equal(text, still);
    module_free(again);
    assert_int_equal(d.errors, 0);

    char path[100];
    snprintf(path, sizeof path, "%s/weights-%016" PRIx64 ".bin", dir,
             hash_bytes(data, sizeof data));
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fputc('!', f);
    fclose(f);
    assert_null(parse_in(text, dir, &d));
    assert_int_equal(d.errors, 1);
    assert_string_equal(d.items.data[0]->where, path);

    unlink(path);
    rmdir(dir);
    free(text);
    free(same);
    free(still);
    outputs_free(&out);
    diag_free(&d);
    module_free(m);
}

static void a_module_without_weights_writes_no_file(void **state) {
    (void)state;
    Module *m = module_of(HEAD RUN);
    Outputs out = {0};
    module_write_weights(m, "dir", &out);
    assert_int_equal(out.files.len, 0);
    outputs_free(&out);
    module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_module),
        cmocka_unit_test(header_attributes),
        cmocka_unit_test(buffers),
        cmocka_unit_test(names_that_need_quotes),
        cmocka_unit_test(instructions),
        cmocka_unit_test(every_name_round_trips),
        cmocka_unit_test(white_space_and_comments_are_free),
        cmocka_unit_test(only_a_string_after_a_call_is_an_origin),
        cmocka_unit_test(sums_are_put_in_order),
        cmocka_unit_test(types_follow_from_instructions),
        cmocka_unit_test(floats_keep_their_bits),
        cmocka_unit_test(halves_keep_their_bits),
        cmocka_unit_test(floats_are_short),
        cmocka_unit_test(integers_keep_their_bits),
        cmocka_unit_test(errors_say_where_and_what),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(a_truncated_text_is_refused),
        cmocka_unit_test(a_changed_byte_does_no_harm),
        cmocka_unit_test(a_missing_or_doubled_piece_does_no_harm),
        cmocka_unit_test(weights_are_found_by_their_hash),
        cmocka_unit_test(a_module_without_weights_writes_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
