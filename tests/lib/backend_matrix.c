/* backend_matrix.c: every instruction on every type, one module for a target. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/backend_check.h"

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
    return op == INST_fma ? t->fma : op == INST_exp2_low5 || op == INST_scale2 ? t->scale2 : true;
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

void check_every_instruction(const Target *t, const char *compiler, const char *flags) {
    Matrix x = {.target = t};
    add_all(&x);
    Module *m = matrix_module(&x);
    compare(m, compiler, flags, describe_case, &x);
    module_free(m);
    buf_free(&x.kernels);
    buf_free(&x.calls);
    arena_free(&x.arena);
}
