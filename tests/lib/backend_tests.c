/* backend_tests.c: what holds for the code of any backend. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/backend_check.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

static const char *first_of(void **state) {
    const char *const *compilers = *state;
    return compilers[0];
}

/* ---- all of it against the interpreter ------------------------------------------------------- */

static void matrix(const Target *t, const char *compiler) {
    check_every_instruction(t, compiler, "");
}

void every_instruction_matches_the_interpreter(void **state) {
    each_target(*state, matrix);
}

static void run_structure(const Target *t, const char *compiler) {
    Module *m = structure_module(t);
    compare(m, compiler, "", NULL, NULL);
    compare(m, compiler, "-O0", NULL, NULL);
    compare(m, compiler, "-O3", NULL, NULL);
    module_free(m);
}

void control_flow_matches_the_interpreter(void **state) {
    each_target(*state, run_structure);
}

/* ---- the object file ------------------------------------------------------------------------- */

static void inspect_object(const Target *t, const char *compiler) {
    Module *m = structure_module(t);
    for (int level = 2; level <= 3; level++) {
        CBuild *p = build(m, compiler, level == 2 ? "" : "-O3");
        if (!c_tool(p, "nm")) {
            print_message("skipped: no nm for %s\n", t->name);
            c_free(p);
            break;
        }
        assert_true(c_shell(p, "%s -u m2_x.o >undefined.txt", c_tool(p, "nm")));
        assert_string_equal(c_read(p, "undefined.txt"), "");
        assert_true(c_shell(p,
                            "%s m2_x.o | awk '{print $(NF-1)}' | sort -u | tr -d '\\n' >kinds.txt",
                            c_tool(p, "nm")));
        const char *kinds = c_read(p, "kinds.txt");
        if (strspn(kinds, "TtrR") != strlen(kinds))
            fail_msg("%s %s: the object has symbols of kinds %s", t->name, compiler, kinds);
        c_free(p);
    }
    module_free(m);
}

void objects_need_and_keep_nothing(void **state) {
    each_target(*state, inspect_object);
}

/* ---- the public functions -------------------------------------------------------------------- */

void run_checks_its_arguments(void **state) {
    Module *m = structure_module(target_find("generic"));
    CBuild *p = build(m, first_of(state), "");
    Run r = run_new(m);
    _Alignas(64) static unsigned char weights[320], arena[1024];
    void *good[] = {weights,
                    tensor_mutable(r.in[0]),
                    tensor_mutable(r.in[1]),
                    tensor_mutable(r.in[2]),
                    tensor_mutable(r.got[0]),
                    tensor_mutable(r.got[1]),
                    arena};
    const int align[] = {64, 4, 8, 1, 4, 8, 64};
    assert_int_equal(p->call(good), 0);
    for (int i = 0; i < 7; i++) {
        void *v[7];
        memcpy(v, good, sizeof v);
        v[i] = NULL;
        assert_int_equal(p->call(v), i + 1);
        v[i] = (char *)good[i] + align[i] / 2;
        assert_int_equal(p->call(v), align[i] > 1 ? -(i + 1) : 0);
    }
    arena_free(&r.arena);
    c_free(p);
    module_free(m);
}

void check_weights_finds_each_fault(void **state) {
    enum { SIZE = 320 };
    Module *m = structure_module(target_find("generic"));
    CBuild *p = build(m, first_of(state), "");
    _Alignas(64) static unsigned char good[SIZE], w[SIZE + 64];
    memcpy(good, m->weights->data, SIZE);
    static const struct {
        size_t at;
        int expected;
    } faults[] = {{0, 4},  {7, 4},  {8, 5},  {11, 5},      {16, 4},
                  {24, 6}, {31, 6}, {64, 6}, {SIZE - 1, 6}};
    assert_int_equal(p->check_weights(good, SIZE), 0);
    assert_int_equal(p->check_weights(NULL, SIZE), 1);
    assert_int_equal(p->check_weights(good, SIZE - 1), 2);
    assert_int_equal(p->check_weights(good, SIZE + 8), 2);
    memcpy(w + 8, good, SIZE);
    assert_int_equal(p->check_weights(w + 8, SIZE), 3);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        memcpy(w, good, SIZE);
        w[faults[i].at] ^= 0x40;
        assert_int_equal(p->check_weights(w, SIZE), faults[i].expected);
    }
    /* Sound, but of another model: its header fits its own contents alone. */
    Module *other = structure_module(target_find("generic"));
    ((uint8_t *)tensor_mutable(other->weights))[100] ^= 1;
    seal_weights(other);
    memcpy(w, other->weights->data, SIZE);
    assert_int_equal(p->check_weights(w, SIZE), 6);
    c_free(p);
    module_free(m);
    module_free(other);
}

/* Denormal results are flushed inside NAME_run and in parts on any thread, and not after them. */
static const char flushing[] =
    "module @flush target=x86-64-v3 {\n"
    "buffer %in : f32[2] input 0 \"in\"\nbuffer %out : f32[2] output 0 \"out\"\n"
    "kernel @halve(a: f32*, b: f32*) {\n  x = load a[0]\n  h = const.f32 0.5\n"
    "  x = mul x, h\n  store b[0], x\n}\n"
    "step @halves {\n  par i in 0..2 {\n  call @halve(%in[i], %out[i])\n}\n}\n"
    "run {\ncall @halves()\n}\n}\n";

static bool flushes_now(void) {
    volatile float least = 1.17549435e-38f;
    volatile float half = least / 2;
    return half == 0;
}

typedef struct Task {
    void (*body)(void *arg, size_t i);
    void *arg;
    size_t n;
} Task;

/* A thread that was made before the run, so that it has not inherited the mode. */
typedef struct Helper {
    pthread_t thread;
    int tasks[2], done[2]; /* pipes */
    bool flushes_after;
} Helper;

static void *help(void *arg) {
    Helper *h = arg;
    Task *t;
    while (read(h->tasks[0], &t, sizeof t) == sizeof t) {
        for (size_t i = 0; i < t->n; i++)
            t->body(t->arg, i);
        h->flushes_after |= flushes_now();
        ensure(write(h->done[1], "", 1) == 1);
    }
    return NULL;
}

static void helper_start(Helper *h) {
    ensure(!pipe(h->tasks) && !pipe(h->done) && !pthread_create(&h->thread, NULL, help, h));
}

static void helper_stop(Helper *h) {
    close(h->tasks[1]);
    pthread_join(h->thread, NULL);
    close(h->tasks[0]);
    close(h->done[0]);
    close(h->done[1]);
}

static void elsewhere(void *helper, size_t n, void (*body)(void *arg, size_t i), void *arg) {
    Helper *h = helper;
    Task task = {body, arg, n}, *t = &task;
    char done;
    ensure(write(h->tasks[1], &t, sizeof t) == sizeof t && read(h->done[0], &done, 1) == 1);
}

void flush_mode_ends_with_the_run(void **state) {
    if (!target_runs_here(target_find("x86-64-v3")))
        skip();
    Module *m = parse(flushing);
    CBuild *p = build(m, first_of(state), "");
    const float in[2] = {1.17549435e-38f, -1.17549435e-38f};
    float out[2] = {1, 1};
    Helper helper = {.flushes_after = false};
    helper_start(&helper);
    assert_int_equal(c_run(p, (const void *[]){in}, (void *[]){out}), 0);
    assert_true(out[0] == 0 && out[1] == 0 && signbit(out[1]));
    assert_false(flushes_now());
    out[0] = out[1] = 1;
    assert_int_equal(
        c_run_parallel(p, (const void *[]){in}, (void *[]){out}, &(CPool){&helper, elsewhere}), 0);
    assert_true(out[0] == 0 && out[1] == 0 && signbit(out[1]));
    assert_false(flushes_now());
    helper_stop(&helper);
    assert_false(helper.flushes_after);
    c_free(p);
    module_free(m);
}

void parts_run_on_the_pool(void **state) {
    Module *m = structure_module(target_find("generic"));
    CBuild *p = build(m, first_of(state), "");
    Run r = run_new(m);
    int regions = 0;
    assert_int_equal(run_compiled(p, &r, &(CPool){&regions, backwards}), 0);
    assert_int_equal(regions, 5); /* loops of one round and of none need no thread */
    assert_int_equal(run_compiled(p, &r, &(CPool){&regions, NULL}), 8);
    arena_free(&r.arena);
    c_free(p);
    module_free(m);
}

/* ---- the assembly of a kernel ---------------------------------------------------------------- */

/* A 1x1 convolution tile of rows x cols vectors, accumulators in registers. */
static void put_tile(Buf *b, const Target *t, int rows, int cols) {
    int v = target_lanes(t);
    buf_printf(b, "module @tile target=%s {\nbuffer %%a : f32[1024] input 0 \"a\"\n", t->name);
    buf_printf(b, "buffer %%w : f32[4096] input 1 \"w\"\nbuffer %%c : f32[1024] output 0 \"c\"\n");
    buf_puts(b, "kernel @tile(a: f32*, lda: i64, w: f32*, c: f32*, k: i64) {\n");
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++)
            buf_printf(b, "acc%d_%d = load.v%d w[%d]\n", r, c, v, c * v);
    buf_puts(b, "for p in 0..k {\n");
    for (int c = 0; c < cols; c++)
        buf_printf(b, "b%d = load.v%d w[%d*p + %d]\n", c, v, cols * v, (cols + c) * v);
    for (int r = 0; r < rows; r++) {
        buf_printf(b, r ? "x = splat.v%d a[%d*lda + p]\n" : "x = splat.v%d a[p]\n", v, r);
        for (int c = 0; c < cols; c++)
            buf_printf(b, "acc%d_%d = fma x, b%d, acc%d_%d\n", r, c, c, r, c);
    }
    buf_puts(b, "}\n");
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++)
            buf_printf(b, "store.v%d c[%d], acc%d_%d\n", v, (r * cols + c) * v, r, c);
    buf_puts(b, "}\nrun {\ncall @tile(%a[0], 20, %w[0], %c[0], 16)\n}\n}\n");
}

/* One fma instruction for each of the IR, and vectors never go to the stack. */
static void inspect_tile(const Target *t, const char *compiler) {
    if (!t->fma)
        return;
    int rows = t->vector_bytes == 64 ? 12 : 6, cols = 2;
    Buf text = {0};
    put_tile(&text, t, rows, cols);
    Module *m = parse(buf_str(&text));
    compare(m, compiler, "", NULL, NULL);
    CBuild *p = build(m, compiler, "");
    assert_true(c_shell(p,
                        "%s -d --no-show-raw-insn tile.o | "
                        "awk '/^[0-9a-f]+ <tile>:/ {on = 1} on && /^$/ {exit} on' >tile.txt",
                        c_tool(p, "objdump")));
    assert_true(
        c_shell(p, "grep -cE 'vfmadd|fmla' tile.txt | awk '{exit !($1 >= %d && $1 %% %d == 0)}'",
                rows * cols, rows * cols));
    assert_true(c_shell(
        p,
        "! grep -E '[yz]mm.*\\(%%r[sb]p|\\(%%r[sb]p.*[yz]mm|[[:space:]]q[0-9].*\\[sp' tile.txt"));
    c_free(p);
    module_free(m);
    buf_free(&text);
}

void tiles_stay_in_registers(void **state) {
    if (!c_have("objdump"))
        skip();
    each_target(*state, inspect_tile);
}
