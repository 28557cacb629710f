/* test_c_backend.c: compiled C against the loop interpreter, bit for bit but for NaN's payload. */
#include "tests/lib/c_compile.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const compilers[] = {"gcc", "clang", "llvm"};

/* Calls body for each target that runs here and each compiler that is installed. */
static void each_target(void (*body)(const Target *t, const char *compiler)) {
    for (size_t i = 0; i < target_count(); i++) {
        const Target *t = target_at(i);
        if (!target_runs_here(t)) {
            print_message("skipped: this machine can't run %s\n", t->name);
            continue;
        }
        for (size_t j = 0; j < sizeof compilers / sizeof *compilers; j++)
            if (c_have(compilers[j]))
                body(t, compilers[j]);
            else
                print_message("skipped: no %s\n", compilers[j]);
    }
}

static Module *parse(const char *text) {
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

static CBuild *build(const Module *m, const char *compiler, const char *flags) {
    CBuild *p = c_build(m, compiler, flags);
    assert_non_null(p);
    return p;
}

/* ---- inputs
 * -------------------------------------------------------------------------------------- */

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

/* ---- comparison
 * ---------------------------------------------------------------------------------- */

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

enum { MAX_BUFFERS = 64 };

typedef struct Run {
    Arena arena;
    Tensor *in[MAX_BUFFERS], *expected[MAX_BUFFERS], *got[MAX_BUFFERS];
    int nin, nout;
} Run;

/* As the interpreter does: what a kernel forgets to write is equal, but NaN. */
static void forget(Tensor *t) {
    memset(tensor_mutable(t), 0xff, (size_t)(shape_elems(&t->shape) * dtype_bytes(t->dtype)));
}

static Run run_new(const Module *m) {
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

/* On the threads of a pool, where there is one. */
static int run_compiled(const CBuild *p, Run *r, const CPool *pool) {
    const void *in[MAX_BUFFERS];
    void *out[MAX_BUFFERS];
    for (int i = 0; i < r->nin; i++)
        in[i] = r->in[i]->data;
    for (int i = 0; i < r->nout; i++)
        out[i] = tensor_mutable(r->got[i]);
    return pool ? c_run_parallel(p, in, out, pool) : c_run(p, in, out);
}

/* A pool of one thread that takes the last part first. */
static void backwards(void *regions, size_t n, void (*body)(void *arg, size_t i), void *arg) {
    ++*(int *)regions;
    while (n > 0)
        body(arg, --n);
}

/* What output element i of output o came from, for messages. */
typedef const char *Describe(void *ctx, int output, int64_t i);

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

static void compare(const Module *m, const char *compiler, const char *flags, Describe *describe,
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

/* ---- every instruction on every type --------------------------------------------------------- */

enum { N = 64 }; /* elements of an operand: a multiple of all lanes */

typedef struct Matrix {
    const Target *target;
    Arena arena;
    Buf kernels, calls;
    int64_t used[DT_COUNT];            /* elements of output o_T */
    VEC(const char *) cases[DT_COUNT]; /* what each N elements of o_T are */
    int count;
} Matrix;

static const char *suffix(Matrix *x, LType t) {
    return t.lanes == 1 ? "" : arena_printf(&x->arena, ".v%d", t.lanes);
}

/* ".f32" and ".v8.f32": how consts and conversions name a type. */
static const char *full_suffix(Matrix *x, LType t) {
    return arena_printf(&x->arena, "%s.%s", suffix(x, t), dtype_name(t.dtype));
}

/* A kernel that runs `body`, from x, y and z of type t to r of type to, over N elements. */
static void add_case(Matrix *x, LType t, LType to, const char *body) {
    const char *T = dtype_name(t.dtype), *R = dtype_name(to.dtype);
    buf_printf(&x->kernels,
               "kernel @k%d(a: %s*, b: %s*, c: %s*, o: %s*) {\n"
               "  for i in 0..%d step %d {\n"
               "    x = load%s a[i]\n    y = load%s b[i]\n    z = load%s c[i]\n"
               "%s    store%s o[i], r\n  }\n}\n",
               x->count, T, T, T, R, N, t.lanes, suffix(x, t), suffix(x, t), suffix(x, t), body,
               suffix(x, to));
    buf_printf(&x->calls, "call @k%d(%%a_%s[0], %%b_%s[0], %%c_%s[0], %%o_%s[%lld])\n", x->count++,
               T, T, T, R, (long long)x->used[to.dtype]);
    x->used[to.dtype] += N;
    vec_push(&x->arena, &x->cases[to.dtype],
             arena_printf(&x->arena, "v%d.%s: %s", t.lanes, T, body));
}

static void add_op(Matrix *x, InstOp op, LType t) {
    const InstInfo *info = inst_info(op);
    Arena *a = &x->arena;
    switch (info->form) {
    case FORM_UNARY:
        add_case(x, t, t, arena_printf(a, "    r = %s x\n", info->name));
        break;
    case FORM_BINARY:
        add_case(x, t, t, arena_printf(a, "    r = %s x, y\n", info->name));
        break;
    case FORM_TERNARY:
        add_case(x, t, t, arena_printf(a, "    r = %s x, y, z\n", info->name));
        break;
    case FORM_COMPARE:
        add_case(x, t, ltype_mask(t), arena_printf(a, "    r = %s x, y\n", info->name));
        break;
    case FORM_SHIFT:
        add_case(x, t, t, arena_printf(a, "    r = %s x, 1\n", info->name));
        add_case(x, t, t,
                 arena_printf(a, "    r = %s x, %d\n", info->name, 8 * dtype_bytes(t.dtype) - 1));
        break;
    case FORM_SELECT:
        if (info->types & dtype_set(t.dtype) & TYPES_FIB)
            add_case(x, t, t, "    m = eq x, y\n    r = select m, z, x\n");
        break;
    default:
        break;
    }
}

/* Divisors from 1 to 63, and from -63 to -1 with a dividend that can't overflow. */
static void add_division(Matrix *x, InstOp op, LType t) {
    const char *T = full_suffix(x, t), *name = inst_info(op)->name;
    const char *divisor = arena_printf(&x->arena,
                                       "    one = const%s 1\n    mask = const%s 63\n"
                                       "    y = and y, mask\n    y = or y, one\n",
                                       T, T);
    add_case(x, t, t, arena_printf(&x->arena, "%s    r = %s x, y\n", divisor, name));
    if (dtype_is_signed_int(t.dtype))
        add_case(x, t, t,
                 arena_printf(&x->arena, "%s    y = neg y\n    x = shr x, 1\n    r = %s x, y\n",
                              divisor, name));
}

static void add_moves(Matrix *x, LType t) {
    if (t.lanes == 1)
        return;
    add_case(x, t, t,
             arena_printf(&x->arena, "    s = load a[i]\n    r = splat%s s\n", suffix(x, t)));
    add_case(x, t, t, arena_printf(&x->arena, "    r = splat%s b[i + 1]\n", suffix(x, t)));
}

static void add_constants(Matrix *x, LType t) {
    static const char *const values[] = {
        "0",   "-0.0", "0.1", "3.4028234663852886e+38", "1e-40", "-1.17549435e-38",
        "inf", "-inf", "nan"};
    if (!dtype_is_float(t.dtype)) {
        bool sign = dtype_is_signed_int(t.dtype);
        add_case(x, t, t,
                 arena_printf(&x->arena, "    r = const%s %s\n", full_suffix(x, t),
                              t.dtype == DT_bool ? "1"
                              : sign             ? "-128"
                                                 : "255"));
        return;
    }
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (dtype_set(t.dtype) != TYPES_H || i < 3)
            add_case(x, t, t,
                     arena_printf(&x->arena, "    r = const%s %s\n", full_suffix(x, t), values[i]));
}

static bool target_has_inst(const Target *t, InstOp op) {
    return op == INST_fma ? t->fma : op == INST_fract || op == INST_scale2 ? t->scale2 : true;
}

static void add_type(Matrix *x, LType t) {
    for (int op = 0; op < INST_COUNT; op++) {
        const InstInfo *info = inst_info((InstOp)op);
        bool integer = dtype_set(t.dtype) == TYPES_I;
        if (!(info->types & dtype_set(t.dtype)) || (!info->c_float && !info->c_int))
            continue;
        if (integer && (op == INST_div || op == INST_rem))
            add_division(x, (InstOp)op, t);
        else if (target_has_inst(x->target, (InstOp)op))
            add_op(x, (InstOp)op, t);
    }
    add_moves(x, t);
    add_constants(x, t);
}

static void add_conversion(Matrix *x, LType from, LType to) {
    add_case(x, from, to, arena_printf(&x->arena, "    r = convert%s x\n", full_suffix(x, to)));
}

/* Half floats convert to and from f32: one at a time, or 16 f16 with AVX-512. */
static bool half_converts(const Matrix *x, LType from, LType to) {
    DType half = from.dtype == DT_f32 ? to.dtype : from.dtype;
    if (from.dtype != DT_f32 && to.dtype != DT_f32)
        return false;
    return from.lanes == 1 || (half == DT_f16 && from.lanes == 16 && x->target->vector_bytes == 64);
}

static bool converts(const Matrix *x, LType from, LType to) {
    int a = dtype_bytes(from.dtype), b = dtype_bytes(to.dtype);
    if (dtype_set(from.dtype) == TYPES_H || dtype_set(to.dtype) == TYPES_H)
        return half_converts(x, from, to);
    if (from.dtype == to.dtype)
        return false;
    return from.lanes == 1 || (to.dtype != DT_bool && from.dtype != DT_bool &&
                               (a > b ? a : b) * from.lanes <= x->target->vector_bytes);
}

static void add_conversions(Matrix *x, int lanes) {
    for (int from = 0; from < DT_COUNT; from++)
        for (int to = 0; to < DT_COUNT; to++) {
            LType f = ltype((DType)from, lanes), t = ltype((DType)to, lanes);
            if (converts(x, f, t))
                add_conversion(x, f, t);
            if (dtype_bytes(f.dtype) == dtype_bytes(t.dtype) && from != to && from != DT_bool &&
                to != DT_bool && lanes * dtype_bytes(f.dtype) <= x->target->vector_bytes)
                add_case(x, f, t,
                         arena_printf(&x->arena, "    r = bitcast%s x\n", full_suffix(x, t)));
        }
}

static void add_all(Matrix *x) {
    for (int dt = 0; dt < DT_COUNT; dt++) {
        add_type(x, ltype((DType)dt, 1));
        int bytes = dtype_bytes((DType)dt), least = dtype_is_float((DType)dt) ? 16 : 8;
        for (int width = least; width <= x->target->vector_bytes && dt != DT_bool; width *= 2)
            if (width / bytes > 1 && width / bytes <= MAX_LANES)
                add_type(x, ltype((DType)dt, width / bytes));
    }
    add_conversions(x, 1);
    for (int lanes = 2; lanes <= target_lanes(x->target) * 4 && lanes <= MAX_LANES; lanes *= 2)
        if (target_lanes(x->target) > 1)
            add_conversions(x, lanes);
}

static Module *matrix_module(Matrix *x) {
    Buf text = {0};
    buf_printf(&text, "module @matrix target=%s {\n", x->target->name);
    int in = 0, out = 0;
    for (int dt = 0; dt < DT_COUNT; dt++)
        for (const char *s = "abc"; *s; s++)
            buf_printf(&text, "buffer %%%c_%s : %s[%d] input %d \"%c\"\n", *s,
                       dtype_name((DType)dt), dtype_name((DType)dt), N + 1, in++, *s);
    for (int dt = 0; dt < DT_COUNT; dt++)
        if (x->used[dt])
            buf_printf(&text, "buffer %%o_%s : %s[%lld] output %d \"o\"\n", dtype_name((DType)dt),
                       dtype_name((DType)dt), (long long)x->used[dt], out++);
    buf_puts(&text, buf_str(&x->kernels));
    buf_printf(&text, "run {\n%s}\n}\n", buf_str(&x->calls));
    Module *m = parse(text.data);
    buf_free(&text);
    return m;
}

static const char *describe_case(void *ctx, int output, int64_t i) {
    Matrix *x = ctx;
    for (int dt = 0; dt < DT_COUNT; dt++)
        if (x->used[dt] && output-- == 0)
            return x->cases[dt].data[i / N];
    return "";
}

static void matrix_with(const Target *t, const char *compiler, const char *flags) {
    Matrix x = {.target = t};
    add_all(&x);
    Module *m = matrix_module(&x);
    compare(m, compiler, flags, describe_case, &x);
    module_free(m);
    buf_free(&x.kernels);
    buf_free(&x.calls);
    arena_free(&x.arena);
}

static void matrix(const Target *t, const char *compiler) {
    matrix_with(t, compiler, "");
}

static void every_instruction_matches_the_interpreter(void **state) {
    (void)state;
    each_target(matrix);
}

static void plain_c_has_no_undefined_behaviour(void **state) {
    (void)state;
    if (!c_have("gcc"))
        skip();
    matrix_with(target_find("generic"), "gcc",
                "-fsanitize=undefined -fsanitize-undefined-trap-on-error");
}

/* ---- control flow, addresses, calls
 * --------------------------------------------------------------- */

/* Names that C can't have, variables that must be hoisted, in-place work, pointers into buffers,
 * nested calls, negative factors, values that nothing reads. */
static const char structure[] =
    "module @m2_x target=%s arena=1024 weights=320 {\n"
    "buffer %%in : f32[40] input 0 \"int\"\n"
    "buffer %%k : i64[8] input 1 \"weights\"\n"
    "buffer %%unused : u8[3] input 2 \"a/b*/c\"\n"
    "buffer %%out : f32[64] output 0 \"a.b*/c\"\n"
    "buffer %%sum : i64[8] output 1 \"NULL\"\n"
    "buffer %%t : f32[64] arena 64\n"
    "buffer %%u : i64[8] arena 512\n"
    "buffer %%w : f32[64] weights 64\n"
    "kernel @abs(int: f32*, n: i64) {\n"
    "  zero = const.f32 0\n"
    "  for i in 0..n {\n"
    "    x = load int[i]\n"
    "    c = lt x, zero\n"
    "    if c {\n"
    "      y = neg x\n"
    "    } else {\n"
    "      y = mov x\n"
    "    }\n"
    "    if c {\n"
    "      dead = mul y, y\n"
    "    }\n"
    "    store int[i], y\n"
    "  }\n"
    "}\n"
    "kernel @reverse(from: f32*, to: f32*, weights: f32*, n: i64) {\n"
    "  last = lea from[n - 1]\n"
    "  for i in 0..n {\n"
    "    x = load last[-i]\n"
    "    f = load weights[n - 2*i + 38]\n"
    "    x = mul x, f\n"
    "    store to[i], x\n"
    "  }\n"
    "  call @abs(to[0], n)\n"
    "}\n"
    "kernel @count(k: i64*, o: i64*, v8f32: i64) {\n"
    "  total = const.i64 0\n"
    "  for i in 0..v8f32 {\n"
    "    x = load k[i]\n"
    "    for j in 0..i {\n"
    "      total = add total, x\n"
    "      three = const.i64 3\n"
    "      total = mul total, three\n"
    "    }\n"
    "    for j in 1..v8f32 step 3 {\n"
    "      total = sub total, j\n"
    "    }\n"
    "    store o[i], total\n"
    "  }\n"
    "}\n"
    "kernel @copy(a: i64*, b: i64*, at: i64) {\n"
    "  x = load a[at]\n"
    "  store b[at], x\n"
    "}\n"
    "kernel @copy_floats(a: f32*, b: f32*, n: i64) {\n"
    "  for i in 0..n {\n"
    "    x = load a[i]\n"
    "    store b[i], x\n"
    "  }\n"
    "}\n"
    "kernel @clear(b: f32*, n: i64) {\n"
    "  zero = const.f32 0\n"
    "  par i in 0..n {\n"
    "    store b[i], zero\n"
    "  }\n"
    "}\n"
    "kernel @log(o: i64*, n: i64) {\n"
    "  zero = const.i64 0\n"
    "  one = const.i64 1\n"
    "  bits = mov zero\n"
    "  more = lt zero, n\n"
    "  while more {\n"
    "    half = shr n, 1\n"
    "    n = mov half\n"
    "    bits = add bits, one\n"
    "    more = lt zero, n\n"
    "  }\n"
    "  x = load o[0]\n"
    "  x = mul x, bits\n"
    "  store o[0], x\n"
    "}\n"
    "step @in {\n"
    "  for i in 0..8 {\n"
    "    call @log(%%u[i], i)\n"
    "  }\n"
    "}  # \"a/b*/+c\"\n"
    "step @\"in \" {\n"
    "  call @copy(%%k[0], %%u[0], 3)\n"
    "}\n"
    "step @arena { }\n"
    "step @job {\n"
    "  n = const.i64 5\n"
    "  par i in 0..8 {\n"
    "    call @copy(%%u[0], %%sum[0], i)\n"
    "  }\n"
    "  par i in n..5 { }\n"
    "  for y in 0..3 {\n"
    "    to = lea %%t[40 + 8*y]\n"
    "    m = add n, y\n"
    "    z = convert.f32 m\n"
    "    par i in y..m step 2 {\n"
    "      x = load %%t[y + i]\n"
    "      c = lt x, z\n"
    "      if c {\n"
    "        x = mov z\n"
    "      }\n"
    "      store to[i], x\n"
    "      par k in 0..1 {\n"
    "        w = load %%w[m + i]\n"
    "        v = mul w, x\n"
    "        store to[i + k], v\n"
    "      }\n"
    "    }\n"
    "  }\n"
    "  par i in 0..n { }\n"
    "}  # \"parts\"\n"
    "run {\n"
    "  call @clear(%%t[0], 64)\n"
    "  call @reverse(%%in[0], %%t[0], %%w[0], 20)  # \"first/x*/ \?\?/\"\n"
    "  call @reverse(%%in[0], %%t[20], %%w[0], 20)  # \"second\"\n"
    "  call @count(%%k[0], %%u[0], 8)\n"
    "  call @in()\n"
    "  call @\"in \"()\n"
    "  call @arena()\n"
    "  call @job()\n"
    "  call @copy_floats(%%t[0], %%out[0], 64)\n"
    "  for i in 0..8 {\n"
    "    call @copy(%%u[0], %%sum[0], i)\n"
    "  }\n"
    "}\n"
    "}\n";

static Module *structure_module(const Target *t) {
    Buf text = {0};
    buf_printf(&text, structure, t->name);
    Module *m = parse(buf_str(&text));
    buf_free(&text);
    m->weights = tensor_new(&m->arena, DT_u8, SHAPE(m->weights_bytes));
    uint8_t *bytes = tensor_mutable(m->weights);
    for (int64_t i = 0; i < 64; i++) {
        float f = (float)(i - 30) / 7.0f;
        memcpy(bytes + 64 + 4 * i, &f, sizeof f);
    }
    seal_weights(m);
    return m;
}

static void run_structure(const Target *t, const char *compiler) {
    Module *m = structure_module(t);
    compare(m, compiler, "", NULL, NULL);
    compare(m, compiler, "-O0", NULL, NULL);
    compare(m, compiler, "-O3", NULL, NULL);
    module_free(m);
}

static void control_flow_matches_the_interpreter(void **state) {
    (void)state;
    each_target(run_structure);
}

/* ---- the object file
 * -------------------------------------------------------------------------------- */

static void inspect_object(const Target *t, const char *compiler) {
    Module *m = structure_module(t);
    for (int level = 2; level <= 3; level++) {
        CBuild *p = build(m, compiler, level == 2 ? "" : "-O3");
        assert_true(c_shell(p, "nm -u m2_x.o >undefined.txt"));
        assert_string_equal(c_read(p, "undefined.txt"), "");
        assert_true(
            c_shell(p, "nm m2_x.o | awk '{print $(NF-1)}' | sort -u | tr -d '\\n' >kinds.txt"));
        const char *kinds = c_read(p, "kinds.txt");
        if (strspn(kinds, "TtrR") != strlen(kinds))
            fail_msg("%s %s: the object has symbols of kinds %s", t->name, compiler, kinds);
        c_free(p);
    }
    module_free(m);
}

static void objects_need_and_keep_nothing(void **state) {
    (void)state;
    each_target(inspect_object);
}

static void headers_are_cpp(void **state) {
    (void)state;
    if (!c_have("g++"))
        skip();
    Module *m = structure_module(target_find("generic"));
    CBuild *p = build(m, "cc", "");
    assert_true(c_shell(
        p, "printf '#include \"m2_x.h\"\\nint main() { return m2_x_run(0, 0, 0, 0, 0, 0, 0); }\\n' "
           ">use.cpp && g++ -std=c++98 -pedantic -Wno-long-long -Wall -Wextra -Werror "
           "-fsyntax-only use.cpp"));
    c_free(p);
    module_free(m);
}

static void two_emissions_are_equal(void **state) {
    (void)state;
    Module *m = structure_module(target_find("x86-64-v3")),
           *again = structure_module(target_find("x86-64-v3"));
    EmitInfo info = {.name = "m", .model = "m.onnx", .version = "1"};
    Buf a = {0}, b = {0};
    emit_c_source(&a, m, &info);
    emit_c_source(&b, again, &info);
    assert_string_equal(buf_str(&a), buf_str(&b));
    buf_free(&a);
    buf_free(&b);
    module_free(m);
    module_free(again);
}

/* ---- the public functions
 * ------------------------------------------------------------------------------ */

static void run_checks_its_arguments(void **state) {
    (void)state;
    Module *m = structure_module(target_find("generic"));
    CBuild *p = build(m, "cc", "");
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

static void check_weights_finds_each_fault(void **state) {
    (void)state;
    enum { SIZE = 320 };
    Module *m = structure_module(target_find("generic"));
    CBuild *p = build(m, "cc", "");
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

static void flush_mode_ends_with_the_run(void **state) {
    (void)state;
    if (!target_runs_here(target_find("x86-64-v3")))
        skip();
    Module *m = parse(flushing);
    CBuild *p = build(m, "cc", "");
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

static void parts_run_on_the_pool(void **state) {
    (void)state;
    Module *m = structure_module(target_find("generic"));
    CBuild *p = build(m, "cc", "");
    Run r = run_new(m);
    int regions = 0;
    assert_int_equal(run_compiled(p, &r, &(CPool){&regions, backwards}), 0);
    assert_int_equal(regions, 5); /* loops of one round and of none need no thread */
    assert_int_equal(run_compiled(p, &r, &(CPool){&regions, NULL}), 8);
    arena_free(&r.arena);
    c_free(p);
    module_free(m);
}

/* ---- the assembly of a kernel
 * --------------------------------------------------------------------------- */

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
    assert_true(c_shell(p, "objdump -d --no-show-raw-insn tile.o | "
                           "awk '/^[0-9a-f]+ <tile>:/ {on = 1} on && /^$/ {exit} on' >tile.txt"));
    assert_true(c_shell(p, "grep -c vfmadd tile.txt | awk '{exit !($1 >= %d && $1 %% %d == 0)}'",
                        rows * cols, rows * cols));
    assert_true(c_shell(p, "! grep -E '[yz]mm.*\\(%%r[sb]p|\\(%%r[sb]p.*[yz]mm' tile.txt"));
    c_free(p);
    module_free(m);
    buf_free(&text);
}

static void tiles_stay_in_registers(void **state) {
    (void)state;
    if (!c_have("objdump"))
        skip();
    each_target(inspect_tile);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_instruction_matches_the_interpreter),
        cmocka_unit_test(plain_c_has_no_undefined_behaviour),
        cmocka_unit_test(control_flow_matches_the_interpreter),
        cmocka_unit_test(objects_need_and_keep_nothing),
        cmocka_unit_test(headers_are_cpp),
        cmocka_unit_test(two_emissions_are_equal),
        cmocka_unit_test(run_checks_its_arguments),
        cmocka_unit_test(check_weights_finds_each_fault),
        cmocka_unit_test(flush_mode_ends_with_the_run),
        cmocka_unit_test(parts_run_on_the_pool),
        cmocka_unit_test(tiles_stay_in_registers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
