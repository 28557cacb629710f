/* test_llvm_backend.c: code that LLVM makes against the loop interpreter, and what is LLVM's own:
 * objects, their symbols and sections, and code loaded into this process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codegen/emit_llvm.h"
#include "runtime/runtime.h"
#include "tests/lib/backend_check.h"

#include <string.h>

static const char *const compilers[] = {"llvm", NULL};

static const EmitInfo info = {.name = "m", .model = "m.onnx", .version = "1"};

/* ---- objects --------------------------------------------------------------------------------- */

/* Runs a command on m2_x.o; it must print `expected`. */
static void expect(CBuild *p, const char *command, const char *expected) {
    assert_true(c_shell(p, "%s >text.txt", command));
    assert_string_equal(c_read(p, "text.txt"), expected);
}

static void inspect_object(const Target *t, const char *compiler) {
    Module *m = structure_module(t);
    CBuild *p = build(m, compiler, "");
    expect(p, "nm -g --defined-only m2_x.o | awk '{print $3}' | sort",
           "m2_x_check_weights\nm2_x_run\nm2_x_run_parallel\n");
    /* Sections that are written or hold a stack that runs; but for those that are empty. */
    expect(p, "readelf -SW m2_x.o | sed 's/^ *\\[ *[0-9]*\\] *//' | awk '$5 !~ /^0+$/ && $7 ~ /W/'",
           "");
    expect(p, "readelf -SW m2_x.o | grep -c '\\.note\\.GNU-stack .* 00  *0  *0'", "1\n");
    assert_true(c_shell(p, "%s -shared -Wl,-z,text,-z,defs,--fatal-warnings m2_x.o -o text.so",
                        c_tool(p, "cc")));
    c_free(p);
    module_free(m);
}

static void objects_hold_the_interface_alone(void **state) {
    if (!c_have("nm") || !c_have("readelf"))
        skip();
    each_target(*state, inspect_object);
}

static void emit(Buf *out, const Module *m, LlvmFile kind, const LlvmOptions *o) {
    Diag d = {0};
    assert_true(emit_llvm(out, m, &info, kind, o, &d));
    assert_int_equal(d.errors, 0);
    diag_free(&d);
}

static void two_emissions_are_equal(void **state) {
    (void)state;
    static const LlvmFile kinds[] = {LLVM_OBJECT, LLVM_ASSEMBLY, LLVM_IR};
    Module *m = structure_module(target_find("x86-64-v4"));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        Buf a = {0}, b = {0};
        emit(&a, m, kinds[i], &(LlvmOptions){.opt_level = 2});
        emit(&b, m, kinds[i], &(LlvmOptions){.opt_level = 2});
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len);
        buf_free(&a);
        buf_free(&b);
    }
    module_free(m);
}

/* Kernel i adds i to the first elements of %x; their code is much enough for several units, and
 * each step calls those of all. */
static Module *large_module(void) {
    enum { KERNELS = 200, STEPS = 3 };
    Buf text = {0};
    buf_puts(&text, "module @m target=generic {\n"
                    "  buffer %x : f32[8] input 0 \"x\"\n  buffer %y : f32[8] output 0 \"y\"\n");
    for (int k = 0; k < KERNELS; k++)
        buf_printf(&text,
                   "  kernel @k%d(a: f32*, b: f32*, n: i64) {\n    c = const.f32 %d\n"
                   "    for i in 0..n {\n      x = load a[i]\n      x = add x, c\n"
                   "      store b[i], x\n    }\n  }\n",
                   k, k);
    for (int s = 0; s < STEPS; s++) {
        buf_printf(&text, "  step @s%d {\n    par p in 0..8 {\n", s);
        for (int k = s; k < KERNELS; k += STEPS)
            buf_printf(&text, "      call @k%d(%%%s[p], %%y[p], 1)\n", k, k ? "y" : "x");
        buf_puts(&text, "    }\n  }\n");
    }
    buf_puts(&text, "  run {\n    call @s0()\n    call @s1()\n    call @s2()\n  }\n}\n");
    Module *m = parse(text.data);
    buf_free(&text);
    return m;
}

static void count_units(void *units, size_t n, void (*body)(void *arg, size_t i), void *arg) {
    *(size_t *)units = n;
    for (size_t i = n; i-- > 0;)
        body(arg, i);
}

/* Whichever thread makes a unit and whenever, with lines or without. */
static void threads_do_not_change_objects(void **state) {
    (void)state;
    Module *m = large_module();
    rt_pool *pool;
    size_t units = 0;
    assert_int_equal(rt_pool_new(&pool, 3, NULL), RT_OK);
    for (int debug = 0; debug < 2; debug++) {
        LlvmOptions o = {.opt_level = 2, .debug = debug, .entry = true, .step_hook = true};
        Buf alone = {0}, backwards = {0}, threads = {0};
        emit(&alone, m, LLVM_OBJECT, &o);
        o.parallel_for = count_units;
        o.pool = &units;
        emit(&backwards, m, LLVM_OBJECT, &o);
        o.parallel_for = rt_pool_for;
        o.pool = pool;
        emit(&threads, m, LLVM_OBJECT, &o);
        assert_true(units >= 3);
        assert_int_equal(alone.len, backwards.len);
        assert_int_equal(alone.len, threads.len);
        assert_memory_equal(alone.data, backwards.data, alone.len);
        assert_memory_equal(alone.data, threads.data, alone.len);
        buf_free(&alone);
        buf_free(&backwards);
        buf_free(&threads);
    }
    rt_pool_free(pool);
    module_free(m);
}

/* Calls from unit to unit, on one thread and several; no symbol but the interface's. */
static void units_make_one_object(void **state) {
    (void)state;
    Module *m = large_module();
    compare(m, "llvm", "", NULL, NULL);
    CBuild *p = build(m, "llvm", "");
    if (c_have("nm"))
        expect(p, "nm m.o | awk '$2 ~ /[TUDB]/ {print $2, $3}' | sort",
               "T m_check_weights\nT m_run\nT m_run_parallel\n");
    if (c_have("readelf")) /* every function has its size, none overlaps another */
        expect(
            p,
            "readelf -sW m.o | awk '$4 == \"FUNC\" {print $2, $3}' | sort | while read at size; do "
            "[ $((0x$at)) -ge $((last)) ] || echo $at; last=$((0x$at + size)); done",
            "");
    c_free(p);
    module_free(m);
}

/* m.o and m.h in the folder of p. */
static void add_object(CBuild *p, const Module *m, const EmitInfo *i) {
    Buf object = {0}, header = {0};
    Outputs o = {0};
    Diag d = {0};
    assert_true(emit_llvm(&object, m, i, LLVM_OBJECT, &(LlvmOptions){.opt_level = 2}, &d));
    emit_c_header(&header, m, i);
    outputs_add(&o, arena_printf(&p->arena, "%s/m.o", p->dir), object.data, object.len);
    outputs_add(&o, arena_printf(&p->arena, "%s/m.h", p->dir), header.data, header.len);
    assert_true(outputs_commit(&o, &d));
    outputs_free(&o);
    diag_free(&d);
    buf_free(&object);
    buf_free(&header);
}

/* A model built by C and one built by LLVM in one program, of C++. */
static void backends_link_together(void **state) {
    (void)state;
    if (!c_have("g++"))
        skip();
    Module *m = structure_module(target_find("generic"));
    CBuild *p = build(m, "cc", "");
    add_object(p, m, &info);
    assert_true(c_shell(
        p, "printf '#include \"m2_x.h\"\\n#include \"m.h\"\\nint main() {\\n"
           "return m2_x_run(0, 0, 0, 0, 0, 0, 0) != 1 || m_run(0, 0, 0, 0, 0, 0, 0) != 1;\\n}\\n' "
           ">both.cpp && g++ both.cpp m2_x.o m.o -o both && ./both"));
    c_free(p);
    module_free(m);
}

/* A program that needs nothing but the object. */
static void weights_can_be_inside(void **state) {
    (void)state;
    EmitInfo inside = info;
    inside.weights = WEIGHTS_INSIDE;
    Module *m = structure_module(target_find("generic"));
    CBuild *p = build(m, "llvm", "");
    add_object(p, m, &inside);
    expect(p, "nm -g --defined-only m.o | awk '$2 != \"T\" {print $2, $3}'", "R m_weights\n");
    assert_true(c_shell(p, "printf '#include \"m.h\"\nint main(void) {\n"
                           "return m_check_weights(m_weights, sizeof m_weights);\n}\n' >one.c && "
                           "cc one.c m.o -o one && ./one"));
    c_free(p);
    module_free(m);
}

/* ---- LLVM IR --------------------------------------------------------------------------------- */

/* Nothing may be reordered, contracted or assumed to be a number. */
static void no_arithmetic_is_fast(void **state) {
    (void)state;
    static const char *const flags[] = {" fast ", " contract ", " reassoc ", " nnan ",
                                        " ninf ", " nsz ",      " arcp ",    " afn "};
    Module *m = structure_module(target_find("x86-64-v3"));
    Buf text = {0};
    emit(&text, m, LLVM_IR, &(LlvmOptions){.opt_level = 2});
    assert_non_null(strstr(text.data, "fmul"));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        assert_null(strstr(text.data, flags[i]));
    assert_non_null(strstr(text.data, "\"denormal-fp-math\"=\"preserve-sign,preserve-sign\""));
    buf_free(&text);
    module_free(m);
}

static int count(const Buf *text, const char *what) {
    int n = 0;
    for (const char *s = text->data; (s = strstr(s, what)); s++)
        n++;
    return n;
}

static void targets_of_c_alone_are_refused(void **state) {
    (void)state;
    Buf out = {0};
    Diag d = {0};
    Module *m = structure_module(target_find("wasm32"));
    assert_false(emit_llvm(&out, m, &info, LLVM_OBJECT, &(LlvmOptions){0}, &d));
    assert_int_equal(diag_exit_code(&d), EXIT_UNSUPPORTED);
    assert_int_equal(out.len, 0);
    diag_free(&d);
    module_free(m);
}

/* C and LLVM bring what is prefetched into the same cache. */
static void prefetches_agree(void **state) {
    (void)state;
    static const char text[] = "module @m target=%s {\nbuffer %%x : f32[64] input 0 \"x\"\n"
                               "kernel @k(x: f32*) {\n  prefetch x[16]\n  prefetch x[32]\n}\n"
                               "step @only {\n  call @k(%%x[0])\n}\nrun {\n  call @only()\n}\n}\n";
    for (size_t i = 0; i < target_count(); i++) {
        const Target *t = target_at(i);
        int cache = target_prefetch_cache(t);
        Buf ir = {0}, c = {0}, llvm = {0};
        if (!target_arch(t)->llvm_cpu)
            continue;
        buf_printf(&ir, text, t->name);
        Module *m = parse(buf_str(&ir));
        emit_c_source(&c, m, &info);
        emit(&llvm, m, LLVM_IR, &(LlvmOptions){.opt_level = 0});
        for (int k = 1; k <= 2; k++) {
            char in_c[32], in_llvm[32];
            snprintf(in_c, sizeof in_c, ", 0, %d)", 4 - k);
            snprintf(in_llvm, sizeof in_llvm, "i32 0, i32 %d, i32 1)", 4 - k);
            assert_int_equal(count(&c, in_c), k == cache); /* a macro that is called twice */
            assert_int_equal(count(&llvm, in_llvm), k == cache ? 2 : 0);
        }
        buf_free(&ir);
        buf_free(&c);
        buf_free(&llvm);
        module_free(m);
    }
}

/* ---- debug information ----------------------------------------------------------------------- */

/* The line of the text of m that begins with `text` behind its indentation; the first is 1. */
static int line_of(const Module *m, const char *text) {
    Buf b = {0};
    int line = 1;
    module_print(&b, m);
    for (const char *s = b.data; *s; s++) {
        if (!strncmp(s + strspn(s, " "), text, strlen(text)))
            break;
        s += strcspn(s, "\n");
        line++;
    }
    buf_free(&b);
    return line;
}

static void lines_are_those_of_the_loop_ir(void **state) {
    (void)state;
    static const char *const texts[][2] = {
        {"DISubprogram(name: \"abs_\", linkageName: \"abs_\", ", "kernel @abs("},
        {"DISubprogram(name: \"log_\", linkageName: \"log_\", ", "kernel @log("},
        {"DISubprogram(name: \"a/b*/+c\", linkageName: \"in\", ", "step @in "},
        {"DISubprogram(name: \"parts\", linkageName: \"job_2\", ", "step @job "},
    };
    Module *m = structure_module(target_find("generic"));
    Buf text = {0}, wanted = {0};
    emit(&text, m, LLVM_IR, &(LlvmOptions){.opt_level = 0, .debug = true});
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *found = strstr(text.data, texts[i][0]);
        if (!found)
            fail_msg("no %s in %s", texts[i][0], text.data);
        buf_printf(&wanted, "line: %d,", line_of(m, texts[i][1]));
        found = strstr(found, "line: ");
        assert_memory_equal(found, wanted.data, wanted.len);
        wanted.len = 0;
    }
    buf_free(&wanted);
    buf_free(&text);
    module_free(m);
}

/* ---- code in this process -------------------------------------------------------------------- */

typedef int
Entry(const void *weights, const void *const *in, void *const *out, void *arena, void *context,
      void (*run)(void *context, size_t n, void (*body)(void *arg, size_t i), void *arg));
typedef int Check(const void *weights, size_t size);
typedef void Watch(void (*f)(void *context, int step), void *context);

typedef struct Seen {
    int steps[8], n;
} Seen;

static void note_step(void *context, int step) {
    Seen *s = context;
    assert_in_range(s->n, 0, 7);
    s->steps[s->n++] = step;
}

static void expect_same(const Run *r) {
    for (int i = 0; i < r->nout; i++)
        assert_memory_equal(r->got[i]->data, r->expected[i]->data,
                            (size_t)tensor_bytes(r->expected[i]));
}

static void run_entry(const Module *m, Entry *entry, void *pool) {
    _Alignas(64) static unsigned char arena[1024], weights[320];
    Run r = run_new(m);
    const void *in[MAX_BUFFERS];
    void *out[MAX_BUFFERS], *expected[MAX_BUFFERS];
    Diag d = {0};
    for (int i = 0; i < r.nin; i++)
        in[i] = r.in[i]->data;
    for (int i = 0; i < r.nout; i++) {
        out[i] = tensor_mutable(r.got[i]);
        expected[i] = tensor_mutable(r.expected[i]);
    }
    memcpy(weights, m->weights->data, sizeof weights);
    assert_true(module_eval(m, in, expected, &d));
    assert_int_equal(entry(NULL, in, out, arena, NULL, backwards), 1);
    assert_int_equal(entry(weights, in, out, arena, pool, backwards), 0);
    expect_same(&r);
    diag_free(&d);
    arena_free(&r.arena);
}

static void code_runs_in_this_process(void **state) {
    (void)state;
    Module *m = structure_module(target_find("generic"));
    Buf object = {0};
    Diag d = {0};
    Entry *entry = NULL;
    Check *check = NULL;
    Watch *watch = NULL;
    Seen seen = {.n = 0};
    int regions = 0;
    emit(&object, m, LLVM_OBJECT, &(LlvmOptions){.opt_level = 2, .entry = true, .step_hook = true});
    LlvmJit *j = llvm_jit_open(object.data, object.len, "test", &d);
    buf_free(&object);
    assert_non_null(j);
    assert_true(llvm_jit_symbol(j, "effnetc_entry", &entry, &d));
    assert_true(llvm_jit_symbol(j, "effnetc_check", &check, &d));
    assert_true(llvm_jit_symbol(j, "effnetc_watch", &watch, &d));
    watch(note_step, &seen);
    run_entry(m, entry, NULL);
    assert_int_equal(seen.n, 4);
    for (int i = 0; i < seen.n; i++)
        assert_int_equal(seen.steps[i], i);
    seen.n = 0;
    run_entry(m, entry, &regions);
    assert_int_equal(regions, 5);
    assert_int_equal(check(NULL, 320), 1);
    assert_false(llvm_jit_symbol(j, "no_such_function", &check, &d));
    assert_int_equal(d.errors, 1);
    llvm_jit_close(j);
    diag_free(&d);
    module_free(m);
}

static void what_is_no_object_is_refused(void **state) {
    (void)state;
    Diag d = {0};
    Check *check = NULL;
    LlvmJit *j = llvm_jit_open("hello", 5, "test", &d);
    assert_true(!j || !llvm_jit_symbol(j, "effnetc_check", &check, &d));
    assert_true(d.errors > 0);
    llvm_jit_close(j);
    diag_free(&d);
}

/* ---- a build without LLVM -------------------------------------------------------------------- */

static void a_build_without_llvm_says_so(void **state) {
    (void)state;
    Module *m = structure_module(target_find("generic"));
    Buf object = {0};
    Diag d = {0};
    assert_string_equal(emit_llvm_version(), "");
    assert_false(emit_llvm(&object, m, &info, LLVM_OBJECT, &(LlvmOptions){.opt_level = 2}, &d));
    assert_null(llvm_jit_open("", 0, "test", &d));
    assert_int_equal(d.errors, 2);
    assert_int_equal(diag_exit_code(&d), EXIT_UNSUPPORTED);
    assert_int_equal(object.len, 0);
    diag_free(&d);
    module_free(m);
}

int main(void) {
    const struct CMUnitTest without[] = {cmocka_unit_test(a_build_without_llvm_says_so)};
    const struct CMUnitTest tests[] = {
        BACKEND_TESTS(compilers),
        BACKEND_TEST(objects_hold_the_interface_alone, compilers),
        cmocka_unit_test(two_emissions_are_equal),
        cmocka_unit_test(threads_do_not_change_objects),
        cmocka_unit_test(units_make_one_object),
        cmocka_unit_test(backends_link_together),
        cmocka_unit_test(weights_can_be_inside),
        cmocka_unit_test(no_arithmetic_is_fast),
        cmocka_unit_test(targets_of_c_alone_are_refused),
        cmocka_unit_test(prefetches_agree),
        cmocka_unit_test(lines_are_those_of_the_loop_ir),
        cmocka_unit_test(code_runs_in_this_process),
        cmocka_unit_test(what_is_no_object_is_refused),
    };
    if (!emit_llvm_available())
        return cmocka_run_group_tests(without, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
