/* Unit tests of ir/loop_verify.c: every fault is found, and named with its kernel and
 * instruction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tests/lib/loop_text.h"

#define RUN "run { } }"

/* A kernel with some registers of each kind, and a body. */
#define KERNEL(body)                                                                               \
    "module @m target=generic {\n"                                                                 \
    "kernel @none() { }\n"                                                                         \
    "kernel @k(p: f32*, h: f16*, n: i64, j: i64) {\n"                                              \
    "f = const.f32 1  f4 = const.v4.f32 1  d = const.f64 1  g = const.f16 1  i = const.i32 1 "     \
    "i4 = const.v4.i32 1  l2 = const.v2.i64 1  t = const.bool 1  u = const.u8 1\n" body "}" RUN

typedef struct Case {
    const char *text, *want, *inst;
} Case;

static void assert_faults(const Case *rows, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!module_verify_fails(rows[i].text, rows[i].want, rows[i].inst))
            fail_msg("in: %s", rows[i].text);
}

#define ASSERT_FAULTS(rows) assert_faults(rows, sizeof(rows) / sizeof *(rows))

static void assert_valid(const char *text) {
    Module *m = module_of(text);
    Diag d = {0};
    assert_non_null(m);
    if (!module_verify(m, "test", &d))
        diag_print(&d, stderr, false);
    assert_int_equal(d.errors, 0);
    diag_free(&d);
    module_free(m);
}

/* ---- texts ---------------------------------------------------------------------------------- */

static void right_modules_pass(void **state) {
    (void)state;
    assert_valid("module @m target=generic {" RUN);
    assert_valid(
        KERNEL("a = eq t, t  b = or a, t  c = eq f4, f4  x = select c, f4, f4  y = select t, g, g "
               "z = select b, i, i  m = select c, i4, i4"));
    assert_valid(KERNEL(
        "a = convert.f32 g  b = convert.f16 f  c = convert.bool d  e = convert.i64 t "
        "q = bitcast.v4.i32 l2  r = bitcast.u32 f  s = convert.v4.f32 i4  w = bitcast.i16 g"));
    assert_valid(
        KERNEL("q = lea p[n]  for a in 0..n { q = lea q[a]  n2 = mov a  for b in n2..a { } } "
               "for a in j..n { j = add j, j }"));
    /* defined on both sides of a branch, and in a loop before the use there */
    assert_valid(
        KERNEL("if t { x = mov f } else { x = neg f }  for a in 0..n { y = mov x  z = mov y }"));
    assert_valid(KERNEL("p = lea p[1]  n = add n, j"));
}

static void types_of_operands(void **state) {
    (void)state;
    static const Case rows[] = {
        {KERNEL("x = add f, d"), "kernel @k: d is f64, wanted f32", "x = add f, d"},
        {KERNEL("x = add f, f4"), "kernel @k: f4 is v4.f32, wanted f32", "x = add f, f4"},
        {KERNEL("x = fma f, f, i"), "kernel @k: i is i32, wanted f32", "x = fma f, f, i"},
        {KERNEL("x = add f, p"), "kernel @k: p is a pointer, not a value", "x = add f, p"},
        {KERNEL("x = lt i, f"), "kernel @k: f is f32, wanted i32", "x = lt i, f"},
        {KERNEL("x = select t, f4, f4"), "kernel @k: t is bool, wanted v4.i32",
         "x = select t, f4, f4"},
        {KERNEL("x = select i, f, f"), "kernel @k: i is i32, wanted bool", "x = select i, f, f"},
        {KERNEL("x = select t, f, d"), "kernel @k: d is f64, wanted f32", "x = select t, f, d"},
        {KERNEL("x = select p, f, f"), "kernel @k: p is a pointer, not a value",
         "x = select p, f, f"},
        {KERNEL("store p[0], d"), "kernel @k: d is f64, wanted f32", "store p[0], d"},
        {KERNEL("store h[0], f"), "kernel @k: f is f32, wanted f16", "store h[0], f"},
        {KERNEL("store p[0], p"), "kernel @k: p is a pointer, not a value", "store p[0], p"},
        {KERNEL("x = splat.v4 f4"), "kernel @k: f4 is v4.f32, wanted f32", "x = splat.v4 f4"},
        {KERNEL("x = splat f"), "kernel @k: a splat to one lane", "x = splat f"},
        {KERNEL("x = splat p[0]"), "kernel @k: a splat to one lane", "x = splat p[0]"},
        {KERNEL("if i { }"), "kernel @k: i is i32, wanted bool", "if i {"},
        {KERNEL("for a in i..n { }"), "kernel @k: i is i32, wanted i64", "for a in i..n {"},
        {KERNEL("for a in 0..f { }"), "kernel @k: f is f32, wanted i64", "for a in 0..f {"},
        {KERNEL("x = load p[i]"), "kernel @k: i is i32, wanted i64", "x = load p[i]"},
        {KERNEL("x = load p[p]"), "kernel @k: p is a pointer, not a value", "x = load p[p]"},
        {KERNEL("q = lea p[2*f]"), "kernel @k: f is f32, wanted i64", "q = lea p[2*f]"},
    };
    ASSERT_FAULTS(rows);
}

static void types_that_instructions_do_not_have(void **state) {
    (void)state;
    static const Case rows[] = {
        {KERNEL("x = add t, t"), "kernel @k: add does not work on bool", "x = add t, t"},
        {KERNEL("x = add g, g"), "kernel @k: add does not work on f16", "x = add g, g"},
        {KERNEL("x = and f, f"), "kernel @k: and does not work on f32", "x = and f, f"},
        {KERNEL("x = rem f, f"), "kernel @k: rem does not work on f32", "x = rem f, f"},
        {KERNEL("x = fma i, i, i"), "kernel @k: fma does not work on i32", "x = fma i, i, i"},
        {KERNEL("x = shl f, 1"), "kernel @k: shl does not work on f32", "x = shl f, 1"},
        {KERNEL("x = lt t, t"), "kernel @k: lt does not work on bool", "x = lt t, t"},
        {KERNEL("x = eq g, g"), "kernel @k: eq does not work on f16", "x = eq g, g"},
        {KERNEL("x = silu i"), "kernel @k: silu does not work on i32", "x = silu i"},
        {KERNEL("x = bitcast.u8 t"), "kernel @k: bitcast does not work on bool",
         "x = bitcast.u8 t"},
        {KERNEL("x = bitcast.bool u"), "kernel @k: bitcast does not work on bool",
         "x = bitcast.bool u"},
    };
    ASSERT_FAULTS(rows);
}

static void immediates_and_conversions(void **state) {
    (void)state;
    static const Case rows[] = {
        {KERNEL("x = shl i, 32"), "kernel @k: a shift by 32 of 32 bits", "x = shl i, 32"},
        {KERNEL("x = shr u, 8"), "kernel @k: a shift by 8 of 8 bits", "x = shr u, 8"},
        {KERNEL("x = shl i4, -1"), "kernel @k: a shift by -1 of 32 bits", "x = shl i4, -1"},
        {KERNEL("x = convert.f32 i4"), "kernel @k: v4.i32 does not become f32",
         "x = convert.f32 i4"},
        {KERNEL("x = convert.v2.f32 i4"), "kernel @k: v4.i32 does not become v2.f32",
         "x = convert.v2.f32 i4"},
        {KERNEL("x = convert.f16 d"), "kernel @k: f64 does not become f16", "x = convert.f16 d"},
        {KERNEL("x = convert.i32 g"), "kernel @k: f16 does not become i32", "x = convert.i32 g"},
        {KERNEL("x = convert.bf16 g"), "kernel @k: f16 does not become bf16", "x = convert.bf16 g"},
        {KERNEL("x = bitcast.i64 f"), "kernel @k: f32 does not become i64", "x = bitcast.i64 f"},
        {KERNEL("x = bitcast.v2.i16 f"), "kernel @k: f32 does not become v2.i16",
         "x = bitcast.v2.i16 f"},
        {KERNEL("for a in 0..n step 0 { }"), "kernel @k: the step is 0", "for a in 0..n step 0 {"},
        {KERNEL("for a in 0..n step -1 { }"), "kernel @k: the step is -1",
         "for a in 0..n step -1 {"},
        {KERNEL("x = const.v3.f32 1"), "kernel @k: register x has 3 lanes", NULL},
        {KERNEL("x = load.v48 p[0]"), "kernel @k: register x has 48 lanes", NULL},
    };
    ASSERT_FAULTS(rows);
}

static void values_are_defined_before_use(void **state) {
    (void)state;
#define UNDEFINED(x) "kernel @k: register " x " may be used before it has a value"
    static const Case rows[] = {
        {KERNEL("if t { x = mov f }  y = mov x"), UNDEFINED("x"), "y = mov x"},
        {KERNEL("if t { x = mov f } else { y = mov f  z = mov x }"), UNDEFINED("x"), "z = mov x"},
        {KERNEL("if t { } else { x = mov f }  y = mov x"), UNDEFINED("x"), "y = mov x"},
        {KERNEL("for a in 0..n { x = mov f }  y = mov x"), UNDEFINED("x"), "y = mov x"},
        {KERNEL("for a in 0..n { }  y = mov a"), UNDEFINED("a"), "y = mov a"},
        {KERNEL("for a in 0..n { }  x = load p[a]"), UNDEFINED("a"), "x = load p[a]"},
        {KERNEL("if t { q = lea p[0] }  store q[0], f"), UNDEFINED("q"), "store q[0], f"},
        {KERNEL("if t { x = mov n }  for a in 0..x { }"), UNDEFINED("x"), "for a in 0..x {"},
        {KERNEL("if t { if t { x = mov f } else { x = mov f } }  y = mov x"), UNDEFINED("x"),
         "y = mov x"},
    };
    ASSERT_FAULTS(rows);
}

static void conditions_of_loops_are_assigned_inside(void **state) {
    (void)state;
    static const Case rows[] = {
        {KERNEL("while t { x = mov f }"), "kernel @k: the loop does not assign its condition t",
         "while t {"},
        {KERNEL("while n { n = add n, n }"), "kernel @k: n is i64, wanted bool", "while n {"},
        {KERNEL("if t { c = mov t }  while c { c = lt n, j }"), UNDEFINED("c"), "while c {"},
        {KERNEL("while t { t = lt n, j  x = mov f }  y = mov x"), UNDEFINED("x"), "y = mov x"},
        {KERNEL("for a in 0..n { while t { t = lt a, j  n = mov a } }"),
         "kernel @k: n counts or bounds a loop around this, and can't be assigned in it",
         "n = mov a"},
    };
    ASSERT_FAULTS(rows);
    assert_valid(KERNEL("while t { if t { for a in 0..3 { t = lt a, n } } }"));
}

static void rounds_of_par_are_independent(void **state) {
    (void)state;
    static const Case rows[] = {
        {KERNEL("for a in 0..n { x = mov f  par c in 0..n { x = add x, f } }"),
         "kernel @k: x has its value from outside the par around this, and can't be assigned in it",
         "x = add x, f"},
        {KERNEL("par c in 0..n { for a in 0..n { f = neg f } }"),
         "kernel @k: f has its value from outside the par around this, and can't be assigned in it",
         "f = neg f"},
        {KERNEL("par a in 0..n { x = mov f }  y = mov x"), UNDEFINED("x"), "y = mov x"},
    };
    ASSERT_FAULTS(rows);
    assert_valid(KERNEL("par a in 0..n { x = mov f for c in 0..a { x = add x, f } }  x = neg f"));
}

static void steps_use_buffers_and_call_kernels(void **state) {
    (void)state;
#define STEP(text)                                                                                 \
    "module @m target=generic { buffer %b : f32[8] output 0 \"b\" kernel @k(p: f32*) { } "         \
    "step @s { } step @t { " text " }" RUN
    static const Case rows[] = {
        {STEP("call @s()"), "step @t: what is called does not come before this", "call @s()"},
        {STEP("call @k(%b[9])"), "step @t: element 9 is outside %b, which has 8", "call @k(%b[9])"},
        {STEP("call @k()"), "step @t: @k takes 1 arguments, not 0", "call @k()"},
        {"module @m target=generic { step @s { } kernel @k() { call @s() }" RUN,
         "kernel @k: what is called does not come before this", "call @s()"},
    };
    ASSERT_FAULTS(rows);
    assert_valid(STEP("for i in 0..2 { call @k(%b[4*i]) } x = load %b[7] store %b[0], x"));
}

static void loops_keep_their_variable_and_bound(void **state) {
    (void)state;
#define LOCKED(x)                                                                                  \
    "kernel @k: " x " counts or bounds a loop around this, and can't be assigned in it"
    static const Case rows[] = {
        {KERNEL("for a in 0..n { n = add n, n }"), LOCKED("n"), "n = add n, n"},
        {KERNEL("for a in 0..n { for b in 0..2 { n = mov b } }"), LOCKED("n"), "n = mov b"},
        {KERNEL("for a in 0..n { for a in 0..2 { } }"), LOCKED("a"), "for a in 0..2 {"},
        {KERNEL("for a in 0..n { }  a = mov n"),
         "kernel @k: a is the variable of a loop, and something else too", "a = mov n"},
        {KERNEL("for j in 0..n { }"),
         "kernel @k: j is the variable of a loop, and something else too", "for j in 0..n {"},
    };
    ASSERT_FAULTS(rows);
    Module *m = module_of(KERNEL("for a in 0..n { a = mov n }"));
    Diag d = {0};
    assert_non_null(m);
    assert_false(module_verify(m, "test", &d));
    assert_int_equal(d.errors, 2); /* assigned there, and by something other than a loop */
    diag_free(&d);
    module_free(m);
}

static void calls_fit_their_kernel(void **state) {
    (void)state;
#define CALLS(text)                                                                                \
    "module @m target=generic { buffer %b : f32[8] output 0 \"b\"  buffer %c : f16[8] input 0 "    \
    "\"c\" "                                                                                       \
    "kernel @k(p: f32*, n: i64) { } kernel @l(q: f16*, f: f32*, m: i64) { " text " } "
    static const Case rows[] = {
        {CALLS("call @k(f[0])") RUN, "kernel @l: @k takes 2 arguments, not 1", "call @k(f[0])"},
        {CALLS("call @k(m, m)") RUN, "kernel @l: parameter p is a pointer", "call @k(m, m)"},
        {CALLS("call @k(f[0], f[0])") RUN, "kernel @l: parameter n is an integer",
         "call @k(f[0], f[0])"},
        {CALLS("call @k(q[0], m)") RUN, "kernel @l: parameter p is f32*, the argument is f16*",
         "call @k(q[0], m)"},
        {CALLS("x = const.i32 1 call @k(f[0], x)") RUN, "kernel @l: x is i32, wanted i64",
         "call @k(f[0], x)"},
        {CALLS("call @k(f[0], f)") RUN, "kernel @l: f is a pointer, not a value",
         "call @k(f[0], f)"},
        {CALLS("x = load %b[0]") RUN, "kernel @l: only steps and run may use buffers, as %b",
         "x = load %b[0]"},
        {CALLS("call @k(%b[0], m)") RUN, "kernel @l: only steps and run may use buffers, as %b",
         "call @k(%b[0], m)"},
        {CALLS("") "run { call @k(%b[9], 1) } }", "run: element 9 is outside %b, which has 8",
         "call @k(%b[9], 1)"},
        {CALLS("") "run { call @k(%b[-1], 1) } }", "run: element -1 is outside %b, which has 8",
         "call @k(%b[-1], 1)"},
        {CALLS("") "run { call @k(%c[0], 1) } }", "run: parameter p is f32*, the argument is f16*",
         "call @k(%c[0], 1)"},
        {CALLS("") "run { x = load.v4 %b[5] } }", "run: element 5 is outside %b, which has 8",
         "x = load.v4 %b[5]"},
        {CALLS("") "run { x = load_once.v4 %b[5] } }", "run: element 5 is outside %b, which has 8",
         "x = load_once.v4 %b[5]"},
        {CALLS("") "run { x = splat.v4 %b[8] } }", "run: element 8 is outside %b, which has 8",
         "x = splat.v4 %b[8]"},
        {CALLS("") "run { x = const.v2.f32 1 store.v2 %b[7], x } }",
         "run: element 7 is outside %b, which has 8", "store.v2 %b[7], x"},
    };
    ASSERT_FAULTS(rows);
    assert_valid(
        CALLS("call @k(f[m], 3)") "run { call @k(%b[8], 0) for i in 0..9 { call @k(%b[2*i], i) } "
                                  "x = load.v4 %b[4] y = splat.v16 %b[7] q = lea %b[8] } }");
}

static void buffers_fit_the_module(void **state) {
    (void)state;
#define BUFFERS(text) "module @m target=generic arena=64 weights=32 {" text RUN
    static const Case rows[] = {
        {BUFFERS("buffer %a : f32[16] arena 4"), "module @m: buffer %a ends behind byte 64", NULL},
        {BUFFERS("buffer %a : f32[9] weights 0"), "module @m: buffer %a ends behind byte 32", NULL},
        {BUFFERS("buffer %a : f32[1] arena -4"), "module @m: buffer %a ends behind byte 64", NULL},
        {BUFFERS("buffer %a : f32[0] arena 9223372036854775807"),
         "module @m: buffer %a ends behind byte 64", NULL},
        {BUFFERS("buffer %a : f64[1] arena 4"),
         "module @m: buffer %a starts at byte 4, inside an element", NULL},
        {BUFFERS("buffer %a : f32[1] input 1 \"a\""), "module @m: buffer %a is number 0, not 1",
         NULL},
        {BUFFERS("buffer %a : f32[1] output 0 \"a\" buffer %b : f32[1] output 0 \"b\""),
         "module @m: buffer %b is number 1, not 0", NULL},
    };
    ASSERT_FAULTS(rows);
    assert_valid(BUFFERS(
        "buffer %a : f32[1,2] input 0 \"a\" buffer %b : f32[] output 0 \"b\" "
        "buffer %c : f32[8] input 1 \"\" buffer %d : i8[64] arena 0 buffer %e : f64[0] arena 64 "
        "buffer %f : f32[8] weights 0"));
}

static void all_faults_are_reported(void **state) {
    (void)state;
    Module *m =
        module_of(KERNEL("x = add f, d  y = shl i, 40") /* two kernels, one with two faults */);
    assert_non_null(m);
    m->buffers.len = 0;
    m->arena_bytes = -1;
    Diag d = {0};
    assert_false(module_verify(m, "test", &d));
    assert_int_equal(d.errors, 3);
    assert_string_equal(d.items.data[0]->message, "module @m: a size is negative");
    assert_string_equal(d.items.data[0]->where, "test");
    diag_free(&d);
    module_free(m);
}

/* ---- what no text can say ------------------------------------------------------------------- */

/* A module with a kernel @k(p: f32*, n: i64) { c = const.f32 1  store p[n], c }, and one before. */
typedef struct Fixture {
    Module *m;
    Kernel *first, *k;
    Reg *p, *n, *c;
    Inst *constant, *store;
} Fixture;

static Fixture fixture(void) {
    Fixture x = {.m = module_new("m", target_find("generic"))};
    x.first = module_kernel(x.m, "first");
    x.k = module_kernel(x.m, "k");
    x.p = kernel_param_ptr(x.k, "p", DT_f32);
    x.n = kernel_param_i64(x.k, "n");
    Builder b = build_begin(x.k);
    x.c = build_const_f(&b, "c", ltype(DT_f32, 1), 1);
    build_store(&b, addr_plus(addr_of(x.p, 0), x.n, 1), x.c);
    build_end(&b);
    x.constant = x.k->body.first;
    x.store = x.k->body.last;
    return x;
}

/* Verifies the module, frees it, and wants this fault to be the first. */
static void assert_broken(Fixture x, const char *want) {
    Diag d = {0};
    assert_false(module_verify(x.m, "test", &d));
    assert_true(d.errors > 0);
    assert_string_equal(d.items.data[0]->message, want);
    diag_free(&d);
    module_free(x.m);
}

static void missing_and_foreign_registers(void **state) {
    (void)state;
    Fixture x = fixture(), other = fixture();
    x.store->src[0] = NULL;
    assert_broken(x, "kernel @k: an operand is missing");
    x = fixture();
    x.store->u.addr.base = NULL;
    assert_broken(x, "kernel @k: an operand is missing");
    x = fixture();
    x.store->src[0] = other.c;
    assert_broken(x, "kernel @k: register c belongs elsewhere");
    x = fixture();
    x.constant->dst = NULL;
    assert_broken(x, "kernel @k: the result is no register of this kernel");
    x = fixture();
    x.constant->dst = other.c;
    assert_broken(x, "kernel @k: the result is no register of this kernel");
    module_free(other.m);
}

static void broken_addresses(void **state) {
    (void)state;
    Fixture x = fixture();
    x.store->u.addr.base = x.n;
    assert_broken(x, "kernel @k: n is not a pointer");
    x = fixture();
    x.store->u.addr.terms[0].factor = 0;
    assert_broken(x, "kernel @k: a factor of the address is zero");
    x = fixture();
    x.store->u.addr.terms[1] = x.store->u.addr.terms[0];
    x.store->u.addr.nterms = 2;
    assert_broken(x, "kernel @k: a register is twice in the address");
    x = fixture();
    x.store->u.addr.nterms = 5;
    assert_broken(x, "kernel @k: the address has 5 registers");
    x = fixture();
    x.store->u.addr.terms[0].reg = NULL;
    assert_broken(x, "kernel @k: an operand is missing");
}

static void broken_registers(void **state) {
    (void)state;
    Fixture x = fixture();
    x.c->index = 0;
    assert_broken(x, "kernel @k: register c has index 0 in place 2");
    x = fixture();
    x.c->name = "p";
    assert_broken(x, "kernel @k: register name p is not unique");
    x = fixture();
    kernel_reg(x.k, "a-b", ltype(DT_f32, 1));
    assert_broken(x, "kernel @k: \"a-b\" is no register name");
    x = fixture();
    x.c->type.lanes = 0;
    assert_broken(x, "kernel @k: register c has 0 lanes");
    x = fixture();
    x.c->type.lanes = 128;
    assert_broken(x, "kernel @k: register c has 128 lanes");
    x = fixture();
    x.p->type.lanes = 4;
    assert_broken(x, "kernel @k: register p has 4 lanes");
    x = fixture();
    x.n->type.dtype = DT_i32;
    assert_broken(x, "kernel @k: parameter n is i32: neither a pointer nor an i64");
    x = fixture();
    x.k->params.data[0] = x.n;
    assert_broken(x, "kernel @k: parameter n is not register 0");
    x = fixture();
    x.c->kind = REG_POINTER;
    assert_broken(x, "kernel @k: c is f32*, but the result is f32");
}

static void broken_constants(void **state) {
    (void)state;
    Fixture x = fixture();
    x.constant->u.f = 0.1;
    assert_broken(x, "kernel @k: the constant is not rounded to f32");
    x = fixture();
    x.c->type.dtype = DT_u8;
    x.constant->u.i = 256;
    assert_broken(x, "kernel @k: 256 does not fit u8");
}

static void broken_steps(void **state) {
    (void)state;
    Fixture x = fixture();
    x.first->kind = KERNEL_STEP;
    assert_broken(x, "module @m: step @first is not where kernels of its kind are");
    x = fixture();
    Kernel *step = step_new(x.m, "s", "");
    module_add_step(x.m, step);
    assert_null(step->origin);
    kernel_param_i64(step, "n");
    kernel_param_ptr(step, "p", DT_f32);
    assert_broken(x, "module @m: step @s has a parameter that is a pointer");
}

static void broken_structure(void **state) {
    (void)state;
    Fixture x = fixture();
    x.k->body.last = x.constant;
    assert_broken(x, "kernel @k: the end of a block is not where the block says");
    x = fixture();
    Builder b = build_begin(x.first);
    build_call(&b, x.first, NULL, 0, NULL);
    assert_broken(x, "kernel @first: what is called does not come before this");
    x = fixture();
    b = build_begin(x.first);
    build_call(&b, x.k, NULL, 0, NULL);
    assert_broken(x, "kernel @first: what is called does not come before this");
    x = fixture();
    b = build_begin(x.k);
    build_call(&b, NULL, NULL, 0, NULL);
    assert_broken(x, "kernel @k: what is called does not come before this");
    x = fixture();
    x.k->name = "first";
    assert_broken(x, "module @m: the name of kernel @first is not unique");
    x = fixture();
    kernel_param_i64(x.m->run, "n");
    assert_broken(x, "module @m: run has parameters");
    x = fixture();
    x.m->target = NULL;
    assert_broken(x, "module @m: there is no target");
}

static void nesting_is_limited(void **state) {
    (void)state;
    Fixture x = fixture();
    Builder b = build_begin(x.k);
    build_for(&b, "i", bound_const(0), bound_const(1), 1);
    Block deep = x.k->body;
    for (int i = 0; i < 2 * MAX_NESTING; i++) { /* what a pass that wraps loops could do */
        Block inner = {0};
        Builder outer = build_detached(x.k, &inner);
        build_for(&outer, "j", bound_const(0), bound_const(1), 1);
        *outer.stack[1] = deep;
        deep = inner;
    }
    x.k->body = deep;
    assert_broken(x, "kernel @k: more than 32 blocks are open");
}

static void broken_buffers(void **state) {
    (void)state;
    Fixture x = fixture();
    Buffer *b = module_buffer(x.m, "b", BUF_INPUT, DT_f32, 4, 0);
    b->elems = 5;
    assert_broken(x, "module @m: buffer %b has 5 elements, its shape 4");
    x = fixture();
    module_buffer(x.m, "b", BUF_INPUT, DT_f32, 4, 0)->onnx_name = NULL;
    assert_broken(x, "module @m: buffer %b has no ONNX name");
    x = fixture();
    module_buffer(x.m, "b", BUF_INPUT, DT_f32, 4, 0)->shape.dim[0] = -4;
    assert_broken(x, "module @m: buffer %b has no valid shape");
    x = fixture();
    module_buffer(x.m, "b", BUF_INPUT, DT_f32, 4, 0)->reg.index = 1;
    assert_broken(x, "module @m: buffer %b is not buffer 0");
    x = fixture();
    module_buffer(x.m, "a", BUF_ARENA, DT_f32, 0, 0);
    module_buffer(x.m, "b", BUF_ARENA, DT_f32, 0, 0)->reg.name = "a";
    assert_broken(x, "module @m: buffer name %a is not unique");
    x = fixture();
    module_buffer(x.m, "b", BUF_ARENA, DT_f32, INT64_MAX / 2, 0);
    assert_broken(x, "module @m: buffer %b ends behind byte 0");
    x = fixture();
    x.m->weights = tensor_new(&x.m->arena, DT_u8, SHAPE(4));
    assert_broken(x, "module @m: the weights are not 0 bytes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_modules_pass),
        cmocka_unit_test(types_of_operands),
        cmocka_unit_test(types_that_instructions_do_not_have),
        cmocka_unit_test(immediates_and_conversions),
        cmocka_unit_test(values_are_defined_before_use),
        cmocka_unit_test(loops_keep_their_variable_and_bound),
        cmocka_unit_test(conditions_of_loops_are_assigned_inside),
        cmocka_unit_test(rounds_of_par_are_independent),
        cmocka_unit_test(steps_use_buffers_and_call_kernels),
        cmocka_unit_test(calls_fit_their_kernel),
        cmocka_unit_test(buffers_fit_the_module),
        cmocka_unit_test(all_faults_are_reported),
        cmocka_unit_test(missing_and_foreign_registers),
        cmocka_unit_test(broken_addresses),
        cmocka_unit_test(broken_registers),
        cmocka_unit_test(broken_constants),
        cmocka_unit_test(broken_steps),
        cmocka_unit_test(broken_structure),
        cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(broken_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
