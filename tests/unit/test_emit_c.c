/* test_emit_c.c: the text of generated files: names, literals, statements, the contract. */
#include "codegen/c_printer.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- names and comments ---------------------------------------------------------------------- */

static void identifiers_follow_the_rule(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"input", "input"},
        {"input.1", "input_1"},
        {"1", "_1"},
        {"", "model"},
        {"/a/b:0", "_a_b_0"},
        {"int", "int_"},
        {"class", "class_"},
        {"__x", "x__x"},
        {"_Bool", "x_Bool"},
        {"_", "x_"},
        {"\xc3\xa9", "x__"},
        {"v8f32", "v8f32_"},
        {"v8f32_u", "v8f32_u_"},
        {"v8", "v8"},
        {"NULL", "NULL_"},
        {"size_t", "size_t_"},
        {"convert_x", "convert_x_"},
        {"INT_MAX", "INT_MAX_"},
        {"exp", "exp"},
    };
    Arena a = {0};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_string_equal(c_identifier(&a, pairs[i][0]), pairs[i][1]);
    arena_free(&a);
}

static void names_of_a_scope_differ(void **state) {
    (void)state;
    Arena a = {0};
    CNames file = {0}, local = {.outer = &file};
    assert_string_equal(c_names_add(&a, &file, "x"), "x");
    assert_string_equal(c_names_add(&a, &local, "x"), "x_2");
    assert_string_equal(c_names_add(&a, &local, "x"), "x_3");
    assert_string_equal(c_names_add(&a, &file, "x_2"), "x_2");
    assert_string_equal(c_function_name(&a, "exp"), "exp_");
    assert_string_equal(c_names_add(&a, &local, "a.b"), "a_b");
    assert_string_equal(c_names_add(&a, &local, "a/b"), "a_b_2");
    arena_free(&a);
}

static void comments_can_not_end_early(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"blocks.0/conv", "blocks.0/conv"},
                                           {"a*/b", "a* /b"},
                                           {"a/*b", "a/ *b"},
                                           {"*//*/", "* // * /"},
                                           {"a\nb\r\t", "a\\x0ab\\x0d\\x09"},
                                           {"?\?/", "? ?/"},
                                           {"\xc3\xa9", "\\xc3\\xa9"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        Buf b = {0};
        c_put_comment(&b, pairs[i][0]);
        assert_null(strstr(buf_str(&b), "*/"));
        assert_string_equal(buf_str(&b), pairs[i][1]);
        buf_free(&b);
    }
}

static void lists_break_before_column_100(void **state) {
    (void)state;
    Arena a = {0};
    Buf b = {0};
    CItems items = {0};
    for (int i = 0; i < 60; i++)
        vec_push(&a, &items, arena_printf(&a, "item%d", i * 1000));
    buf_puts(&b, "before\n");
    c_put_list(&b, 4, "call(", &items, ");");
    for (const char *s = b.data; *s;) {
        size_t n = strcspn(s, "\n");
        assert_true(n <= 100);
        s += n + (s[n] == '\n');
    }
    assert_non_null(strstr(b.data, ",\n    item"));
    buf_free(&b);
    arena_free(&a);
}

/* ---- literals -------------------------------------------------------------------------------- */

static void floats_read_back_to_the_same_bits(void **state) {
    (void)state;
    CPrinter p = {0};
    uint32_t bits = 1;
    for (int i = 0; i < 20000; i++) {
        float x, back;
        bits = bits * 1664525u + 1013904223u; /* Numerical Recipes */
        memcpy(&x, &bits, sizeof x);
        if (!isfinite(x))
            continue;
        const char *s = c_literal_f(&p, DT_f32, (double)x);
        back = strtof(s, NULL);
        assert_memory_equal(&back, &x, sizeof x);
        assert_true(s[strlen(s) - 1] == 'f' && strpbrk(s, ".e"));
    }
    arena_free(&p.arena);
}

static void literals_are_short(void **state) {
    (void)state;
    CPrinter p = {0};
    assert_string_equal(c_literal_f(&p, DT_f32, 1), "1.0f");
    assert_string_equal(c_literal_f(&p, DT_f32, -0.0), "-0.0f");
    assert_string_equal(c_literal_f(&p, DT_f32, 0.1f), "0.1f");
    assert_string_equal(c_literal_f(&p, DT_f32, 1e30f), "1e+30f");
    assert_string_equal(c_literal_f(&p, DT_f64, 0.1), "0.1");
    assert_string_equal(c_literal_f(&p, DT_f16, 1), "0x3c00");
    assert_string_equal(c_literal_f(&p, DT_bf16, 1), "0x3f80");
    assert_string_equal(c_literal_f(&p, DT_f32, INFINITY), "bitcast_f32_u32(0x7f800000u)");
    assert_string_equal(c_literal_f(&p, DT_f64, -INFINITY), "bitcast_f64_u64(0xfff0000000000000u)");
    assert_string_equal(c_literal_i(&p.arena, DT_i32, INT32_MIN), "(-2147483647 - 1)");
    assert_string_equal(c_literal_i(&p.arena, DT_i64, INT64_MIN), "(-9223372036854775807 - 1)");
    assert_string_equal(c_literal_i(&p.arena, DT_u64, -1), "18446744073709551615u");
    assert_string_equal(c_literal_i(&p.arena, DT_i8, -128), "-128");
    arena_free(&p.arena);
}

/* ---- statements ------------------------------------------------------------------------------ */

typedef struct Text {
    Module *m;
    Buf source, header, json;
} Text;

static Text emit(const char *text) {
    static const EmitInfo info = {
        .name = "net", .model = "net*/.onnx", .version = "1.2", .macs = 10, .parameters = 20};
    Text t = {0};
    Diag d = {0};
    t.m = module_parse(text, strlen(text), "test", NULL, &d);
    bool ok = t.m && module_verify(t.m, "test", &d) && emit_c_check(t.m, "test", &d);
    diag_print(&d, stderr, false);
    diag_free(&d);
    assert_true(ok);
    emit_c_source(&t.source, t.m, &info);
    emit_c_header(&t.header, t.m, &info);
    emit_json(&t.json, t.m, &info, NULL, 0);
    return t;
}

static void text_free(Text *t) {
    module_free(t->m);
    buf_free(&t->source);
    buf_free(&t->header);
    buf_free(&t->json);
}

static void assert_has(Buf *b, const char *wanted) {
    if (!strstr(buf_str(b), wanted))
        fail_msg("wanted:\n%s\nin:\n%s", wanted, buf_str(b));
}

static void assert_lacks(Buf *b, const char *unwanted) {
    if (strstr(buf_str(b), unwanted))
        fail_msg("did not want:\n%s\nin:\n%s", unwanted, buf_str(b));
}

static const char pointwise[] =
    "module @net target=x86-64-v3 arena=4096 weights=4160 {\n"
    "buffer %in : f32[64] input 0 \"input.1\"\n"
    "buffer %out : f32[64] output 0 \"int\"\n"
    "buffer %t : f32[64] arena 256\n"
    "buffer %idle : f32[64] arena 512\n"
    "buffer %w : f32[1024] weights 64\n"
    "kernel @pw(a: f32*, lda: i64, w: f32*, c: f32*, k: i64, ldc: i64) {\n"
    "  acc0 = load.v8 w[0]\n"
    "  acc1 = mov acc0\n"
    "  for p in 0..k {\n"
    "    b = load.v8 w[8*p + 8]\n"
    "    x = splat.v8 a[p]\n"
    "    acc0 = fma x, b, acc0\n"
    "    x = splat.v8 a[lda + p]\n"
    "    acc1 = fma x, b, acc1\n"
    "  }\n"
    "  zero = const.v8.f32 0\n"
    "  acc0 = max acc0, zero\n"
    "  store.v8 c[0], acc0\n"
    "  store.v8 c[8], acc1\n"
    "}\n"
    "run {\n"
    "call @pw(%in[0], 8, %w[0], %t[0], 8, 16)  # \"blocks.0\"\n"
    "call @pw(%t[0], 8, %w[0], %out[16], 8, 16)  # \"blocks.0\"\n"
    "call @pw(%t[0], 8, %w[0], %out[0], 8, 16)  # \"blocks.1\"\n"
    "}\n"
    "}\n";

static void pointwise_reads_like_hand_written_c(void **state) {
    (void)state;
    Text t = emit(pointwise);
    assert_has(&t.source, "/* blocks.0, blocks.1 */\n"
                          "KERNEL void pw(const float *a, ptrdiff_t lda, const float *w, float *c, "
                          "ptrdiff_t k,\n"
                          "               ptrdiff_t ldc) {\n"
                          "    (void)ldc;\n"
                          "    v8f32 acc0 = load_v8f32(w);\n"
                          "    v8f32 acc1 = acc0;\n"
                          "    for (ptrdiff_t p = 0; p < k; p++) {\n"
                          "        v8f32 b = load_v8f32(w + 8 * p + 8);\n"
                          "        v8f32 x = splat_v8f32(a[p]);\n"
                          "        acc0 = fma_v8f32(x, b, acc0);\n"
                          "        x = splat_v8f32(a[lda + p]);\n"
                          "        acc1 = fma_v8f32(x, b, acc1);\n"
                          "    }\n"
                          "    v8f32 zero = splat_v8f32(0.0f);\n"
                          "    acc0 = max_v8f32(acc0, zero);\n"
                          "    store_v8f32(c, acc0);\n"
                          "    store_v8f32(c + 8, acc1);\n"
                          "}\n");
    assert_has(&t.source, "    const float *const w = WEIGHTS(float, 64);\n"
                          "    float *const t = ARENA(float, 256);\n"
                          "    float *const int_ = job->int_;\n"
                          "    /* blocks.0 */\n"
                          "    pw(input_1, 8, w, t, 8, 16);\n"
                          "    pw(t, 8, w, int_ + 16, 8, 16);\n"
                          "    /* blocks.1 */\n"
                          "    pw(t, 8, w, int_, 8, 16);\n");
    assert_lacks(&t.source, "STEP_DONE");
    assert_lacks(&t.source, "idle");
    assert_lacks(&t.source, "select");
    text_free(&t);
}

#define LOADS_ONCE(target)                                                                         \
    "module @net target=" target " {\n"                                                            \
    "buffer %in : f32[16] input 0 \"in\"\nbuffer %out : f32[16] output 0 \"out\"\n"                \
    "kernel @k(a: f32*, o: f32*) {\n"                                                              \
    "  x = load_once.v8 a[8]\n  s = load_once a[1]\n  store.v8 o[0], x\n  store o[8], s\n}\n"      \
    "run {\ncall @k(%in[0], %out[0])\n}\n}\n"

/* Where tiles take all registers, a load within a multiply-add is welcome. */
static void loads_once_where_registers_are_left(void **state) {
    (void)state;
    Text many = emit(LOADS_ONCE("x86-64-v4")), few = emit(LOADS_ONCE("x86-64-v3"));
    assert_has(&many.source, "#define load_once_v8f32(p) (*(const volatile v8f32_u *)(p))\n");
    assert_has(&many.source, "    v8f32 x = load_once_v8f32(a + 8);\n    float s = a[1];\n");
    assert_has(&few.source, "#define load_once_v8f32(p) (*(const v8f32_u *)(p))\n");
    text_free(&many);
    text_free(&few);
}

static void steps_get_what_they_need(void **state) {
    (void)state;
    Text t = emit("module @net target=generic arena=64 weights=128 {\n"
                  "buffer %in : f32[4] input 0 \"in\"\nbuffer %out : f32[4] output 0 \"out\"\n"
                  "buffer %t : f32[4] arena 0\nbuffer %w : f32[4] weights 64\n"
                  "kernel @add(a: f32*, b: f32*, c: f32*) {\n"
                  "  x = load a[0]\n  y = load b[0]\n  z = add x, y\n  store c[0], z\n}\n"
                  "step @for { call @add(%in[1], %w[0], %t[0])\n}  # \"first+second\"\n"
                  "step @in {\n for i in 0..3 { call @add(%t[i], %t[0], %out[i])\n}\n}\n"
                  "step @nothing { }\n"
                  "run {\ncall @for() call @in() call @nothing() call @in()\n}\n}\n");
    assert_has(&t.source, "/* first+second */\nKERNEL void add(const float *a,");
    assert_has(&t.source, "/* first+second */\n"
                          "KERNEL void for_(net_job *job) {\n"
                          "    const float *const in = job->in;\n"
                          "    const float *const w = WEIGHTS(float, 64);\n"
                          "    float *const t = ARENA(float, 0);\n"
                          "    add(in + 1, w, t);\n"
                          "}\n");
    assert_has(&t.source, "KERNEL void in_2(net_job *job) {\n"
                          "    const float *const t = ARENA(float, 0);\n"
                          "    float *const out = job->out;\n"
                          "    for (ptrdiff_t i = 0; i < 3; i++) {\n"
                          "        add(t + i, t, out + i);\n"
                          "    }\n"
                          "}\n");
    assert_has(&t.source, "KERNEL void nothing(net_job *job) {\n    (void)job;\n}\n");
    assert_has(&t.source, "KERNEL void net_body(net_job *job) {\n"
                          "    for_(job);\n"
                          "    NET_STEP_DONE(0);\n"
                          "    in_2(job);\n"
                          "    NET_STEP_DONE(1);\n"
                          "    nothing(job);\n"
                          "    NET_STEP_DONE(2);\n"
                          "    in_2(job);\n"
                          "    NET_STEP_DONE(1);\n"
                          "}\n");
    assert_has(&t.source, "#ifndef NET_STEP_DONE\n"
                          "#define NET_STEP_DONE(step) ((void)0)\n"
                          "#endif\n");
    assert_has(&t.source, "    return net_run_parallel(weights, in, out, arena, NULL);\n");
    assert_lacks(&t.source, "net_parts");
    text_free(&t);
}

static void rounds_of_par_become_functions(void **state) {
    (void)state;
    Text t = emit("module @net target=x86-64-v3 {\n"
                  "buffer %in : f32[40] input 0 \"in\"\nbuffer %out : f32[40] output 0 \"out\"\n"
                  "kernel @k(a: f32*, c: f32*, n: i64) {\n"
                  "  par i in 0..n {\n  x = load a[i]\n  store c[i], x\n}\n}\n"
                  "step @one {\n  par i in 0..5 { call @k(%in[8*i], %out[8*i], 8)\n}\n}  # \"o\"\n"
                  "step @two {\n  for y in 0..2 {\n  to = lea %out[20*y]\n"
                  "  par i in 1..20 step 3 { call @k(%in[20*y + i], to[i], 1)\n}\n}\n}\n"
                  "run {\ncall @one() call @two()\n}\n}\n");
    assert_has(&t.source, "    for (ptrdiff_t i = 0; i < n; i++) {\n");
    assert_has(&t.source, "/* o */\n"
                          "KERNEL void one_part(void *context, size_t part_index) {\n"
                          "    const net_job *job = (const net_job *)context;\n"
                          "    const ptrdiff_t i = (ptrdiff_t)part_index;\n"
                          "    const float *const in = job->in;\n"
                          "    float *const out = job->out;\n"
                          "    k(in + 8 * i, out + 8 * i, 8);\n"
                          "}\n");
    assert_has(&t.source, "KERNEL void one(net_job *job) {\n"
                          "    net_parts(job->pool, 5, one_part, job);\n"
                          "}\n");
    assert_has(&t.source, "typedef struct two_part_closure {\n"
                          "    net_job *job;\n"
                          "    ptrdiff_t y;\n"
                          "    float *to;\n"
                          "} two_part_closure;\n");
    assert_has(&t.source, "    const net_job *job = closure->job;\n"
                          "    ptrdiff_t y = closure->y;\n"
                          "    float *to = closure->to;\n"
                          "    const ptrdiff_t i = 1 + 3 * (ptrdiff_t)part_index;\n");
    assert_has(&t.source, "            closure.to = to;\n"
                          "            net_parts(job->pool, 7, two_part, &closure);\n");
    text_free(&t);
}

static void whiles_are_whiles(void **state) {
    (void)state;
    Text t = emit("module @net target=generic {\nbuffer %out : i64[1] output 0 \"out\"\n"
                  "kernel @k(o: i64*, n: i64) {\n"
                  "  one = const.i64 1\n  c = lt one, n\n"
                  "  while c {\n  h = shr n, 1\n  n = mov h\n  c = lt one, n\n}\n"
                  "  store o[0], n\n}\n"
                  "run {\ncall @k(%out[0], 9)\n}\n}\n");
    assert_has(&t.source, "    uint8_t c = (uint8_t)(one < n);\n"
                          "    while (c) {\n"
                          "        ptrdiff_t h = (ptrdiff_t)(n >> 1);\n"
                          "        n = h;\n"
                          "        c = (uint8_t)(one < n);\n"
                          "    }\n");
    text_free(&t);
}

static void header_states_the_contract(void **state) {
    (void)state;
    Text t = emit(pointwise);
    assert_has(&t.header, "/* net* /.onnx, compiled by effnetc 1.2 for x86-64-v3.\n");
    assert_has(&t.header, "#define NET_ARENA_BYTES   4096\n#define NET_WEIGHTS_BYTES 4160\n");
    assert_has(&t.header, "input_1: f32[64], \"input.1\" of the model\n");
    assert_has(&t.header, "extern \"C\" {\n");
    assert_has(&t.header, "NET_ERROR_CHECKSUM = 6 ");
    assert_has(&t.header, "\nint net_check_weights(const void *weights, size_t size);\n");
    assert_has(
        &t.header,
        "\nint net_run(const void *weights, const float *input_1, float *int_, void *arena);\n");
    assert_has(&t.header, "} net_pool;\n");
    assert_has(&t.header, "\nint net_run_parallel(const void *weights, const float *input_1, float "
                          "*int_, void *arena,\n"
                          "                     const net_pool *pool);\n");
    text_free(&t);
}

static void scalars_wrap_without_undefined_behaviour(void **state) {
    (void)state;
    Text t = emit("module @net target=generic {\n"
                  "buffer %in : i32[4] input 0 \"in\"\nbuffer %out : i32[4] output 0 \"out\"\n"
                  "kernel @k(a: i32*, o: i32*, n: i64) {\n"
                  "  x = load a[-n - 2*n + 3]\n"
                  "  y = neg x\n"
                  "  y = mul y, x\n"
                  "  y = shl y, 3\n"
                  "  c = lt y, x\n"
                  "  if c {\n"
                  "    z = min x, y\n"
                  "  } else {\n"
                  "    z = const.i32 -7\n"
                  "  }\n"
                  "  m = add n, n\n"
                  "  p = lea o[m]\n"
                  "  store p[0], z\n"
                  "}\n"
                  "run {\ncall @k(%in[0], %out[0], 0)\n}\n}\n");
    assert_has(&t.source, "KERNEL void k(const int32_t *a, int32_t *o, ptrdiff_t n) {\n"
                          "    int32_t z;\n"
                          "    int32_t x = a[-3 * n + 3];\n"
                          "    int32_t y = (int32_t)(0 - (uint32_t)x);\n"
                          "    y = (int32_t)((uint32_t)y * (uint32_t)x);\n"
                          "    y = (int32_t)((uint32_t)y << 3);\n"
                          "    uint8_t c = (uint8_t)(y < x);\n"
                          "    if (c) {\n"
                          "        z = min_i32(x, y);\n"
                          "    } else {\n"
                          "        z = -7;\n"
                          "    }\n"
                          "    ptrdiff_t m = (ptrdiff_t)((uint64_t)n + (uint64_t)n);\n"
                          "    int32_t *p = o + m;\n"
                          "    p[0] = z;\n"
                          "}\n");
    assert_lacks(&t.source, "immintrin");
    assert_lacks(&t.source, "attribute__((vector");
    assert_lacks(&t.source, "_mm_");
    text_free(&t);
}

static void json_is_the_contract(void **state) {
    (void)state;
    Text t = emit(pointwise);
    json_t *j = json_loads(buf_str(&t.json), 0, NULL);
    assert_non_null(j);
    json_t *in = json_array_get(json_object_get(j, "inputs"), 0);
    json_t *out = json_array_get(json_object_get(j, "outputs"), 0);
    assert_string_equal(json_string_value(json_object_get(in, "name")), "input.1");
    assert_string_equal(json_string_value(json_object_get(in, "argument")), "input_1");
    assert_string_equal(json_string_value(json_object_get(in, "dtype")), "f32");
    assert_int_equal(json_integer_value(json_array_get(json_object_get(in, "shape"), 0)), 64);
    assert_string_equal(json_string_value(json_object_get(out, "argument")), "int_");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "arena"), "bytes")),
                     4096);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "weights"), "bytes")),
                     4160);
    assert_int_equal(json_integer_value(json_object_get(j, "macs")), 10);
    json_decref(j);
    text_free(&t);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static size_t errors_of(const char *target, const char *body) {
    Buf b = {0};
    Diag d = {0};
    buf_printf(&b,
               "module @net target=%s {\nbuffer %%in : f32[64] output 0 \"in\"\n"
               "kernel @k(a: f32*) {\n%s}\nrun {\ncall @k(%%in[0])\n}\n}\n",
               target, body);
    Module *m = module_parse(buf_str(&b), b.len, "test", NULL, &d);
    bool valid = m && module_verify(m, "test", &d);
    diag_print(&d, stderr, false);
    assert_true(valid);
    assert_true(emit_c_check(m, "test", &d) == (d.errors == 0));
    assert_int_equal(diag_exit_code(&d), d.errors ? EXIT_UNSUPPORTED : EXIT_OK);
    size_t n = d.errors;
    module_free(m);
    diag_free(&d);
    buf_free(&b);
    return n;
}

static void what_c_can_not_say_is_refused(void **state) {
    (void)state;
    assert_int_equal(
        errors_of("x86-64-v3", "x = load.v8 a[0]\nx = fma x, x, x\nstore.v8 a[0], x\n"), 0);
    assert_int_equal(
        errors_of("x86-64-v3", "x = load.v16 a[0]\nx = fma x, x, x\nstore.v16 a[0], x\n"), 3);
    assert_int_equal(errors_of("x86-64-v3", "x = load.v2 a[0]\nx = min x, x\nstore.v2 a[0], x\n"),
                     1);
    assert_int_equal(errors_of("generic", "x = load.v8 a[0]\nstore.v8 a[0], x\n"), 2);
    assert_int_equal(errors_of("generic", "x = load a[0]\nx = fma x, x, x\nstore a[0], x\n"), 1);
    assert_int_equal(errors_of("generic", "x = load a[0]\nx = silu x\nstore a[0], x\n"), 1);
}

static void inputs_are_not_stored_to(void **state) {
    (void)state;
    static const char text[] = "module @net target=generic {\n"
                               "buffer %in : f32[4] input 0 \"in\"\n"
                               "buffer %out : f32[4] output 0 \"out\"\n"
                               "kernel @inner(a: f32*) {\n  x = load a[1]\n  p = lea a[2]\n"
                               "  store p[0], x\n}\n"
                               "kernel @outer(a: f32*) {\n  call @inner(a[0])\n}\n"
                               "run {\ncall @outer(%out[0])\ncall @outer(%in[0])\n}\n}\n";
    Diag d = {0};
    Module *m = module_parse(text, strlen(text), "test", NULL, &d);
    assert_true(m && module_verify(m, "test", &d));
    assert_false(emit_c_check(m, "test", &d));
    assert_int_equal(d.errors, 1);
    assert_int_equal(diag_exit_code(&d), EXIT_BAD_MODEL);
    assert_non_null(strstr(d.items.data[0]->message, "%in"));
    module_free(m);
    diag_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identifiers_follow_the_rule),
        cmocka_unit_test(names_of_a_scope_differ),
        cmocka_unit_test(comments_can_not_end_early),
        cmocka_unit_test(lists_break_before_column_100),
        cmocka_unit_test(floats_read_back_to_the_same_bits),
        cmocka_unit_test(literals_are_short),
        cmocka_unit_test(pointwise_reads_like_hand_written_c),
        cmocka_unit_test(loads_once_where_registers_are_left),
        cmocka_unit_test(steps_get_what_they_need),
        cmocka_unit_test(rounds_of_par_become_functions),
        cmocka_unit_test(whiles_are_whiles),
        cmocka_unit_test(header_states_the_contract),
        cmocka_unit_test(scalars_wrap_without_undefined_behaviour),
        cmocka_unit_test(json_is_the_contract),
        cmocka_unit_test(what_c_can_not_say_is_refused),
        cmocka_unit_test(inputs_are_not_stored_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
