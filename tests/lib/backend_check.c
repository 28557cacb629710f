/* backend_check.c: compiled code against the loop interpreter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/backend_check.h"

#include <math.h>
#include <string.h>

Module *parse(const char *text) {
    Diag d = {0};
    Module *m = module_parse(text, strlen(text), "test", NULL, &d);
    if (m)
        module_verify(m, "test", &d);
    diag_print(&d, stderr, false);
    if (d.errors)
        fprintf(stderr, "%s\n", text);
    assert_int_equal(d.errors, 0);
    diag_free(&d);
    return m;
}

CBuild *build(const Module *m, const char *compiler, const char *flags) {
    CBuild *p = c_build(m, compiler, flags);
    assert_non_null(p);
    return p;
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
    return *state >> 11;
}

static const double special[] = {
    0.0,   -0.0,       1.0,          -1.0,          0.5,    -2.5,    INFINITY, -INFINITY,
    NAN,   3.0e38,     -3.0e38,      1e-38,         -1e-38, 1.2e-38, 1e-40,    -1e-42,
    1e-45, 126.5,      -126.5,       6.0e4,         7e4,    5.9e-8,  1e-20,    -1e-20,
    1e20,  16777217.0, 2147483648.0, -2147483648.0, 255.0,  1e300,   2e-308,   3e-320};

static double float_value(size_t i, uint64_t *state) {
    uint64_t r = next_random(state);
    if (i % 2 == 0)
        return special[r % (sizeof special / sizeof *special)];
    return ldexp((double)(int64_t)(r % 2000001) - 1e6, (int)(r >> 32) % 20 - 30);
}

static int64_t int_value(size_t i, uint64_t *state) {
    static const int64_t edges[] = {0,     1,      -1,        127,       -128,      255,
                                    32767, -32768, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
    uint64_t r = next_random(state);
    return i % 3 == 0 ? edges[r % (sizeof edges / sizeof *edges)] : (int64_t)(r * 2654435761u);
}

/* Wraps x to dt; tensor_set_i64 would saturate. */
static int64_t wrap(DType dt, int64_t x) {
    int bits = 8 * dtype_bytes(dt);
    if (dt == DT_bool)
        return x & 1;
    if (bits == 64)
        return dt == DT_u64 && x < 0 ? INT64_MAX : x;
    int64_t low = x & (((int64_t)1 << bits) - 1);
    return dtype_is_signed_int(dt) && low >> (bits - 1) ? low - ((int64_t)1 << bits) : low;
}

static void fill(Tensor *t, uint64_t seed) {
    uint64_t state = seed * 977 + 13;
    for (int64_t i = 0; i < shape_elems(&t->shape); i++)
        if (dtype_is_float(t->dtype))
            tensor_set_f64(t, i, float_value((size_t)i, &state));
        else
            tensor_set_i64(t, i, wrap(t->dtype, int_value((size_t)i, &state)));
}

/* ---- comparison ------------------------------------------------------------------------------ */

static bool same_element(const Tensor *a, const Tensor *b, int64_t i) {
    size_t bytes = (size_t)dtype_bytes(a->dtype);
    if (!memcmp((const char *)a->data + (size_t)i * bytes,
                (const char *)b->data + (size_t)i * bytes, bytes))
        return true;
    return dtype_is_float(a->dtype) && isnan(tensor_f64(a, i)) && isnan(tensor_f64(b, i));
}

static void print_element(const char *who, const Tensor *t, int64_t i) {
    uint64_t bits = 0;
    size_t bytes = (size_t)dtype_bytes(t->dtype);
    memcpy(&bits, (const char *)t->data + (size_t)i * bytes, bytes);
    print_error("  %s %.9g (0x%llx)", who, tensor_f64(t, i), (unsigned long long)bits);
}

/* As the interpreter does: what a kernel forgets to write is equal, but NaN. */
static void forget(Tensor *t) {
    memset(tensor_mutable(t), 0xff, (size_t)(shape_elems(&t->shape) * dtype_bytes(t->dtype)));
}

Run run_new(const Module *m) {
    Run r = {0};
    for (size_t i = 0; i < m->buffers.len; i++) {
        const Buffer *b = m->buffers.data[i];
        Shape s = SHAPE(b->elems);
        if (b->kind == BUF_INPUT) {
            r.in[r.nin] = tensor_new(&r.arena, b->reg.type.dtype, s);
            fill(r.in[r.nin++], i);
        } else if (b->kind == BUF_OUTPUT) {
            r.expected[r.nout] = tensor_new(&r.arena, b->reg.type.dtype, s);
            r.got[r.nout] = tensor_new(&r.arena, b->reg.type.dtype, s);
            forget(r.got[r.nout++]);
        }
    }
    return r;
}

static void interpret(const Module *m, Run *r) {
    const void *in[MAX_BUFFERS];
    void *out[MAX_BUFFERS];
    Diag d = {0};
    for (int i = 0; i < r->nin; i++)
        in[i] = r->in[i]->data;
    for (int i = 0; i < r->nout; i++)
        out[i] = tensor_mutable(r->expected[i]);
    bool ok = module_eval(m, in, out, &d);
    diag_print(&d, stderr, false);
    diag_free(&d);
    assert_true(ok);
}

int run_compiled(const CBuild *p, Run *r, const CPool *pool) {
    const void *in[MAX_BUFFERS];
    void *out[MAX_BUFFERS];
    for (int i = 0; i < r->nin; i++)
        in[i] = r->in[i]->data;
    for (int i = 0; i < r->nout; i++)
        out[i] = tensor_mutable(r->got[i]);
    return pool ? c_run_parallel(p, in, out, pool) : c_run(p, in, out);
}

void backwards(void *regions, size_t n, void (*body)(void *arg, size_t i), void *arg) {
    ++*(int *)regions;
    while (n > 0)
        body(arg, --n);
}

static int count_differences(const Run *r, const char *where, Describe *describe, void *ctx) {
    int bad = 0;
    for (int o = 0; o < r->nout; o++)
        for (int64_t i = 0; i < shape_elems(&r->got[o]->shape); i++) {
            if (same_element(r->expected[o], r->got[o], i) || ++bad > 20)
                continue;
            print_error("%s: output %d[%lld] %s\n", where, o, (long long)i,
                        describe ? describe(ctx, o, i) : "");
            print_element("interpreter", r->expected[o], i);
            print_element("compiled", r->got[o], i);
            print_error("\n");
        }
    return bad;
}

static void compare_on(const CPool *pool, const CBuild *p, Run *r, const char *where,
                       Describe *describe, void *ctx) {
    for (int i = 0; i < r->nout; i++)
        forget(r->got[i]);
    assert_int_equal(run_compiled(p, r, pool), 0);
    assert_int_equal(count_differences(r, where, describe, ctx), 0);
}

void compare(const Module *m, const char *compiler, const char *flags, Describe *describe,
             void *ctx) {
    Run r = run_new(m);
    int regions = 0;
    interpret(m, &r);
    CBuild *p = build(m, compiler, flags);
    Buf where = {0};
    buf_printf(&where, "%s %s %s", m->target->name, compiler, flags);
    compare_on(NULL, p, &r, buf_str(&where), describe, ctx);
    buf_puts(&where, ", backwards");
    compare_on(&(CPool){&regions, backwards}, p, &r, buf_str(&where), describe, ctx);
    buf_free(&where);
    c_free(p);
    arena_free(&r.arena);
}

/* ---- targets --------------------------------------------------------------------------------- */

void each_target(const char *const *compilers,
                 void (*body)(const Target *t, const char *compiler)) {
    for (size_t i = 0; i < target_count(); i++) {
        const Target *t = target_at(i);
        if (!c_runs(t)) {
            print_message("skipped: neither this machine nor an emulator runs %s\n", t->name);
            continue;
        }
        for (const char *const *c = compilers; *c; c++)
            if (c_makes(*c, t))
                body(t, *c);
            else
                print_message("skipped: no %s for %s\n", *c, t->name);
    }
}
