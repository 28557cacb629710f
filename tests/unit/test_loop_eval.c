/* Unit tests of ir/loop_eval.c, loop_steps.c and loop_lanes.c: what each instruction computes, and
 * that no access leaves its buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/loop_text.h"

/* ---- one instruction at a time -------------------------------------------------------------- */

enum { MAX_BYTES = MAX_LANES * 8 };

/* How many lanes each instruction is tried with. */
static const int lane_counts[] = {1, 2, 4, 16, 64};

static const char *lanes_suffix(LType t) {
    static char text[8];
    snprintf(text, sizeof text, ".v%d", t.lanes);
    return t.lanes > 1 ? text : "";
}

/* Runs a body that computes y, of type `to`, from registers a, b, c of type `from`, which hold the
 * bytes at in[0..2]; pa points to a in memory. Writes y to out. */
static void run_body(const char *target, const char *body, LType from, LType to,
                     const void *const *in, void *out) {
    Buf b = {0};
    const char *t = dtype_name(from.dtype), *u = dtype_name(to.dtype);
    buf_printf(&b, "module @m target=%s {\n", target);
    for (int i = 0; i < 3; i++)
        buf_printf(&b, "buffer %%%c : %s[%d] input %d \"\"\n", 'a' + i, t, from.lanes, i);
    buf_printf(&b, "buffer %%y : %s[%d] output 0 \"\"\n", u, to.lanes);
    buf_printf(&b, "kernel @k(pa: %s*, pb: %s*, pc: %s*, py: %s*) {\n", t, t, t, u);
    for (int i = 0; i < 3; i++)
        buf_printf(&b, "%c = load%s p%c[0]\n", 'a' + i, lanes_suffix(from), 'a' + i);
    buf_printf(&b, "%s\nstore%s py[0], y\n}\n", body, lanes_suffix(to));
    buf_printf(&b, "run { call @k(%%a[0], %%b[0], %%c[0], %%y[0]) } }");
    Module *m = module_of(b.data);
    Diag d = {0};
    if (!m || !module_eval(m, in, (void *const[]){out}, &d)) {
        diag_print(&d, stderr, false);
        fail_msg("%s", b.data);
    }
    module_free(m);
    diag_free(&d);
    buf_free(&b);
}

/* The same for y = TEXT, where denormals are kept. */
static void run_inst(const char *text, LType from, LType to, const void *const *in, void *out) {
    char body[80];
    snprintf(body, sizeof body, "y = %s", text);
    run_body("generic", body, from, to, in, out);
}

/* a, b, c are the same value. */
static void run_unary(const char *text, LType from, LType to, const void *in, void *out) {
    run_inst(text, from, to, (const void *const[]){in, in, in}, out);
}

/* ---- integers: against arithmetic on sign and magnitude ------------------------------------- */

/* x modulo 2^bits, as the type reads it. */
static int64_t wrapped(DType dt, uint64_t x) {
    int bits = 8 * dtype_bytes(dt);
    if (bits < 64)
        x &= ((uint64_t)1 << bits) - 1;
    if (dtype_is_signed_int(dt) && bits < 64 && x >> (bits - 1))
        x -= (uint64_t)1 << bits;
    int64_t y;
    memcpy(&y, &x, sizeof y);
    return y;
}

static int64_t lane_i(DType dt, const void *p, int i) {
    uint64_t x = 0;
    int bytes = dtype_bytes(dt);
    for (int k = 0; k < bytes; k++) /* little-endian */
        x |= (uint64_t)((const uint8_t *)p)[i * bytes + k] << (8 * k);
    return wrapped(dt, x);
}

static void set_lane_i(DType dt, void *p, int i, int64_t x) {
    int bytes = dtype_bytes(dt);
    for (int k = 0; k < bytes; k++)
        ((uint8_t *)p)[i * bytes + k] = (uint8_t)((uint64_t)x >> (8 * k));
}

static bool less(DType dt, int64_t a, int64_t b) {
    return dtype_is_signed_int(dt) ? a < b : (uint64_t)a < (uint64_t)b;
}

static uint64_t quotient(DType dt, int64_t a, int64_t b) {
    if (!dtype_is_signed_int(dt))
        return (uint64_t)a / (uint64_t)b;
    uint64_t ua = a < 0 ? 0 - (uint64_t)a : (uint64_t)a, ub = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
    return (a < 0) == (b < 0) ? ua / ub : 0 - ua / ub;
}

/* The result of an instruction on a and b, for integers; -1 and 0 for the lanes of a mask. */
static int64_t expected_i(InstOp op, DType dt, int64_t a, int64_t b) {
    uint64_t ua = (uint64_t)a, ub = (uint64_t)b;
    switch (op) {
    case INST_mov:
        return a;
    case INST_neg:
        return wrapped(dt, ~ua + 1);
    case INST_add:
        return wrapped(dt, ua - ~ub - 1);
    case INST_sub:
        return wrapped(dt, ua + ~ub + 1);
    case INST_mul:
        return wrapped(dt, ua * ub);
    case INST_div:
        return wrapped(dt, quotient(dt, a, b));
    case INST_rem:
        return wrapped(dt, ua - quotient(dt, a, b) * ub);
    case INST_min:
        return less(dt, b, a) ? b : a;
    case INST_max:
        return less(dt, a, b) ? b : a;
    case INST_and:
        return wrapped(dt, ~(~ua | ~ub));
    case INST_or:
        return wrapped(dt, ~(~ua & ~ub));
    case INST_xor:
        return wrapped(dt, (ua | ub) & ~(ua & ub));
    case INST_eq:
        return -(a == b);
    case INST_lt:
        return -less(dt, a, b);
    case INST_le:
        return -!less(dt, b, a);
    default:
        fail_msg("no expectation for %s", inst_info(op)->name);
        return 0;
    }
}

static const DType integers[] = {DT_i8, DT_i16, DT_i32, DT_i64, DT_u8, DT_u16, DT_u32, DT_u64};

/* The ends of the range, what lies around zero, and numbers of many bits. */
static int64_t interesting_i(DType dt, unsigned i) {
    int bits = 8 * dtype_bytes(dt);
    uint64_t top = (uint64_t)1 << (bits - 1);
    const uint64_t x[] = {0,
                          1,
                          2,
                          3,
                          7,
                          0 - (uint64_t)1,
                          0 - (uint64_t)2,
                          top,
                          top - 1,
                          top + 1,
                          0x9e3779b97f4a7c15u,
                          0xc2b2ae3d27d4eb4fu,
                          0x5555555555555555u};
    return wrapped(dt, x[i % (sizeof x / sizeof *x)]);
}

enum { INTERESTING_I = 13 };

static void check_integers(InstOp op, DType dt, int lanes, const int64_t *a, const int64_t *b) {
    uint8_t in[2][MAX_BYTES], out[MAX_BYTES];
    for (int i = 0; i < lanes; i++) {
        set_lane_i(dt, in[0], i, a[i]);
        set_lane_i(dt, in[1], i, b[i]);
    }
    InstForm form = inst_info(op)->form;
    char text[32];
    snprintf(text, sizeof text, form == FORM_UNARY ? "%s a" : "%s a, b", inst_info(op)->name);
    LType from = ltype(dt, lanes), to = form == FORM_COMPARE ? ltype_mask(from) : from;
    run_inst(text, from, to, (const void *const[]){in[0], in[1], in[1]}, out);
    for (int i = 0; i < lanes; i++) {
        int64_t want = expected_i(op, dt, a[i], b[i]), got = lane_i(to.dtype, out, i);
        if (form == FORM_COMPARE && lanes == 1)
            want = -want;
        if (got != want)
            fail_msg("%s.v%d.%s of %" PRId64 ", %" PRId64 " gave %" PRId64 ", not %" PRId64,
                     inst_info(op)->name, lanes, dtype_name(dt), a[i], b[i], got, want);
    }
}

static bool divides(DType dt, int64_t a, int64_t b) {
    int64_t least = wrapped(dt, (uint64_t)1 << (8 * dtype_bytes(dt) - 1));
    return b != 0 && !(dtype_is_signed_int(dt) && a == least && b == -1);
}

/* All pairs of interesting numbers, `lanes` at a time. */
static void check_pairs(InstOp op, DType dt, int lanes) {
    int64_t a[MAX_LANES], b[MAX_LANES];
    bool division = op == INST_div || op == INST_rem;
    for (unsigned pair = 0; pair < INTERESTING_I * INTERESTING_I;) {
        for (int i = 0; i < lanes; i++, pair++) {
            a[i] = interesting_i(dt, pair / INTERESTING_I);
            b[i] = interesting_i(dt, pair);
            if (division && !divides(dt, a[i], b[i]))
                b[i] = 3;
        }
        check_integers(op, dt, lanes, a, b);
    }
}

static void integer_instructions(void **state) {
    (void)state;
    static const InstOp ops[] = {INST_mov, INST_neg, INST_add, INST_sub, INST_mul,
                                 INST_div, INST_rem, INST_min, INST_max, INST_and,
                                 INST_or,  INST_xor, INST_eq,  INST_lt,  INST_le};
    for (size_t o = 0; o < sizeof ops / sizeof *ops; o++)
        for (size_t t = 0; t < sizeof integers / sizeof *integers; t++)
            for (size_t n = 0; n < sizeof lane_counts / sizeof *lane_counts; n++)
                check_pairs(ops[o], integers[t], lane_counts[n]);
}

static void shifts(void **state) {
    (void)state;
    for (size_t t = 0; t < sizeof integers / sizeof *integers; t++) {
        DType dt = integers[t];
        int bits = 8 * dtype_bytes(dt), lanes = INTERESTING_I < 16 ? 16 : 64;
        for (int by = 0; by < bits; by += by < 2 || by > bits - 3 ? 1 : 5) {
            uint8_t in[MAX_BYTES], left[MAX_BYTES], right[MAX_BYTES];
            char shl[32], shr[32];
            for (int i = 0; i < lanes; i++)
                set_lane_i(dt, in, i, interesting_i(dt, (unsigned)i));
            snprintf(shl, sizeof shl, "shl a, %d", by);
            snprintf(shr, sizeof shr, "shr a, %d", by);
            const void *const from[] = {in, in, in};
            run_inst(shl, ltype(dt, lanes), ltype(dt, lanes), from, left);
            run_inst(shr, ltype(dt, lanes), ltype(dt, lanes), from, right);
            for (int i = 0; i < lanes; i++) {
                int64_t x = interesting_i(dt, (unsigned)i), halved = x;
                for (int k = 0; k < by; k++) /* towards minus infinity */
                    halved = dtype_is_signed_int(dt) ? (halved - (halved & 1)) / 2
                                                     : (int64_t)((uint64_t)halved / 2);
                assert_int_equal(lane_i(dt, left, i), wrapped(dt, (uint64_t)x << by));
                assert_int_equal(lane_i(dt, right, i), halved);
            }
        }
    }
}

static void bools(void **state) {
    (void)state;
    static const uint8_t a[] = {0, 0, 1, 1}, b[] = {0, 1, 0, 1};
    static const struct {
        const char *text;
        uint8_t want[4];
    } rows[] = {{"and a, b", {0, 0, 0, 1}},       {"or a, b", {0, 1, 1, 1}},
                {"xor a, b", {0, 1, 1, 0}},       {"mov a", {0, 0, 1, 1}},
                {"select b, a, b", {0, 0, 0, 1}}, {"eq a, b", {1, 0, 0, 1}}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        for (int i = 0; i < 4; i++) {
            uint8_t out;
            run_inst(rows[r].text, ltype(DT_bool, 1), ltype(DT_bool, 1),
                     (const void *const[]){&a[i], &b[i], &b[i]}, &out);
            if (out != rows[r].want[i])
                fail_msg("%s of %d, %d gave %d", rows[r].text, a[i], b[i], out);
        }
    }
}

/* ---- floats --------------------------------------------------------------------------------- */

static const double interesting_f[] = {
    0.0, -0.0,     1.0,       -1.0,           1.5,       3.0,      INFINITY,     -INFINITY,
    NAN, 0x1p-126, -0x1p-149, 0x1.fffffep127, 0x1.8p-64, -0x1p100, 0x1.000002p0, 0x1.99999ap-4};
enum { INTERESTING_F = sizeof interesting_f / sizeof *interesting_f };

static double lane_f(DType dt, const void *p, int i) {
    float f;
    double d;
    if (dt == DT_f64) {
        memcpy(&d, (const uint8_t *)p + 8 * i, sizeof d);
        return d;
    }
    memcpy(&f, (const uint8_t *)p + 4 * i, sizeof f);
    return (double)f;
}

static void set_lane_f(DType dt, void *p, int i, double x) {
    float f = (float)x;
    if (dt == DT_f64)
        memcpy((uint8_t *)p + 8 * i, &x, sizeof x);
    else
        memcpy((uint8_t *)p + 4 * i, &f, sizeof f);
}

/* The greatest number of type dt that is not above a - floor(a): the sum is exact as a long double
 * but for an a so small that both types have their greatest number below 1. */
static double expected_fract(DType dt, double a) {
    if (isinf(a))
        return 0;
    if (a == floor(a))
        return -0.0;
    long double exact = (long double)a - floorl((long double)a);
    double r = dt == DT_f32 ? (double)(float)exact : (double)exact;
    if ((long double)r > exact || r == 1)
        r = dt == DT_f32 ? (double)nextafterf((float)r, 0) : nextafter(r, 0);
    return r;
}

static double expected_scale2(double a, double b) {
    if (isnan(b))
        return NAN;
    if (isinf(b) && isnan(a))
        return b > 0 ? INFINITY : 0;
    if (isinf(b))
        return b > 0 ? a * INFINITY : a * 0;
    return ldexp(a, (int)fmax(-5000, fmin(5000, floor(b))));
}

/* Rounded once to dt: sums, products and quotients of two floats round to f32 through f64 as they
 * do at once (Figueroa, "When is double rounding innocuous?", 1995). */
static double expected_f(InstOp op, DType dt, double a, double b, double c) {
    double r;
    switch (op) {
    case INST_neg:
        r = copysign(a, signbit(a) ? 1.0 : -1.0);
        break;
    case INST_abs:
        r = copysign(a, 1);
        break;
    case INST_mov:
        r = a;
        break;
    case INST_add:
        r = a + b;
        break;
    case INST_sub:
        r = a - b;
        break;
    case INST_mul:
        r = a * b;
        break;
    case INST_div:
        r = a / b;
        break;
    case INST_fma:
        r = dt == DT_f32 ? (double)fmaf((float)a, (float)b, (float)c) : fma(a, b, c);
        break;
    case INST_fract:
        r = expected_fract(dt, a);
        break;
    case INST_scale2:
        r = expected_scale2(a, b);
        break;
    case INST_min:
        r = isless(a, b) ? a : b;
        break;
    case INST_max:
        r = isgreater(a, b) ? a : b;
        break;
    default:
        r = act_eval((Act)(ACT_none + 1 + (op - INST_act_relu)), a);
        break;
    }
    return dt == DT_f32 ? (double)(float)r : r;
}

static bool same_f(double a, double b) {
    return (a != a && b != b) || (a == b && signbit(a) == signbit(b));
}

static void check_floats(InstOp op, DType dt, int lanes, const double *a, const double *b,
                         const double *c) {
    uint8_t in[3][MAX_BYTES], out[MAX_BYTES];
    static const char *const forms[] = {
        [FORM_UNARY] = "%s a", [FORM_BINARY] = "%s a, b", [FORM_TERNARY] = "%s a, b, c"};
    char text[32];
    for (int i = 0; i < lanes; i++) {
        set_lane_f(dt, in[0], i, a[i]);
        set_lane_f(dt, in[1], i, b[i]);
        set_lane_f(dt, in[2], i, c[i]);
    }
    Buf t = {0};
    buf_puts(&t, inst_info(op)->name);
    buf_puts(&t, strchr(forms[inst_info(op)->form], ' '));
    snprintf(text, sizeof text, "%s", buf_str(&t));
    buf_free(&t);
    run_inst(text, ltype(dt, lanes), ltype(dt, lanes), (const void *const[]){in[0], in[1], in[2]},
             out);
    for (int i = 0; i < lanes; i++) {
        double x = lane_f(dt, in[0], i), y = lane_f(dt, in[1], i), z = lane_f(dt, in[2], i);
        double want = expected_f(op, dt, x, y, z), got = lane_f(dt, out, i);
        if (!same_f(got, want))
            fail_msg("%s.v%d.%s of %a, %a, %a gave %a, not %a", inst_info(op)->name, lanes,
                     dtype_name(dt), x, y, z, got, want);
    }
}

static void check_float_pairs(InstOp op, DType dt, int lanes) {
    double a[MAX_LANES], b[MAX_LANES], c[MAX_LANES];
    for (int pair = 0; pair < INTERESTING_F * INTERESTING_F;) {
        for (int i = 0; i < lanes; i++, pair++) {
            a[i] = interesting_f[pair / INTERESTING_F % INTERESTING_F];
            b[i] = interesting_f[pair % INTERESTING_F];
            c[i] = interesting_f[pair * 7 % INTERESTING_F];
        }
        check_floats(op, dt, lanes, a, b, c);
    }
}

static void float_instructions(void **state) {
    (void)state;
    static const InstOp ops[] = {INST_mov, INST_neg, INST_add, INST_sub, INST_mul,   INST_div,
                                 INST_min, INST_max, INST_abs, INST_fma, INST_fract, INST_scale2};
    for (size_t o = 0; o < sizeof ops / sizeof *ops; o++) {
        for (size_t n = 0; n < sizeof lane_counts / sizeof *lane_counts; n++) {
            check_float_pairs(ops[o], DT_f32, lane_counts[n]);
            check_float_pairs(ops[o], DT_f64, lane_counts[n]);
        }
    }
}

static void activations(void **state) {
    (void)state;
    for (int act = ACT_none + 1; act < ACT_COUNT; act++) {
        InstOp op = (InstOp)(INST_act_relu + (act - ACT_none - 1));
        assert_string_equal(inst_info(op)->name, act_name((Act)act));
        check_float_pairs(op, DT_f32, 16);
        check_float_pairs(op, DT_f64, 1);
    }
}

static void exponentials(void **state) {
    (void)state;
    static const float x[8] = {0, 1, -1, 89, -104, INFINITY, -INFINITY, NAN};
    static const float want[8] = {1, 0x1.5bf0a8p+1f, 0x1.78b564p-2f, INFINITY, 0, INFINITY, 0, NAN};
    float y[8];
    run_unary("exp a", ltype(DT_f32, 8), ltype(DT_f32, 8), x, y);
    for (int i = 0; i < 8; i++)
        if (y[i] != want[i] && !(isnan(y[i]) && isnan(want[i])))
            fail_msg("exp(%a) is %a, not %a", (double)x[i], (double)y[i], (double)want[i]);
    double d[2] = {1, -745}, e[2];
    run_unary("exp a", ltype(DT_f64, 2), ltype(DT_f64, 2), d, e);
    assert_true(e[0] == exp(1) && e[1] == exp(-745));
}

/* 1 + 2^-12 squared is 1 + 2^-11 + 2^-24: the last part is lost by a product, not by fma. */
static void fma_rounds_once_and_mul_add_twice(void **state) {
    (void)state;
    float a = 0x1.001p0f, c = -0x1.002p0f, out;
    const void *const in[] = {&a, &a, &c};
    run_inst("fma a, b, c", ltype(DT_f32, 1), ltype(DT_f32, 1), in, &out);
    assert_true(out == 0x1p-24f);
    run_inst("mul a, b\ny = add y, c", ltype(DT_f32, 1), ltype(DT_f32, 1), in, &out);
    assert_true(out == 0);
}

static void comparisons_of_floats(void **state) {
    (void)state;
    static const char *const texts[] = {"eq a, b", "lt a, b", "le a, b"};
    for (int pair = 0; pair < INTERESTING_F * INTERESTING_F; pair++) {
        float a = (float)interesting_f[pair / INTERESTING_F],
              b = (float)interesting_f[pair % INTERESTING_F];
        float va[4] = {a, b, a, b}, vb[4] = {b, a, a, b};
        for (int t = 0; t < 3; t++) {
            bool want = t == 0   ? !islessgreater(a, b) && !isunordered(a, b)
                        : t == 1 ? isless(a, b)
                                 : islessequal(a, b);
            uint8_t scalar;
            int32_t mask[4];
            run_inst(texts[t], ltype(DT_f32, 1), ltype(DT_bool, 1),
                     (const void *const[]){&a, &b, &b}, &scalar);
            run_inst(texts[t], ltype(DT_f32, 4), ltype(DT_i32, 4),
                     (const void *const[]){va, vb, vb}, mask);
            assert_int_equal(scalar, want);
            assert_int_equal(mask[0], want ? -1 : 0);
        }
    }
}

static void select_picks_lanes(void **state) {
    (void)state;
    float a[4] = {1, NAN, -0.0f, 4}, b[4] = {2, 2, -1, 5}, out[4], scalar;
    const void *const in[] = {a, b, b};
    run_body("generic", "m = lt a, b\ny = select m, a, b", ltype(DT_f32, 4), ltype(DT_f32, 4), in,
             out);
    static const float want[4] = {1, 2, -1, 4};
    assert_memory_equal(out, want, sizeof want);
    run_body("generic", "m = le b, a\ny = select m, a, b", ltype(DT_f32, 1), ltype(DT_f32, 1), in,
             &scalar);
    assert_true(scalar == 2);
    run_body("generic", "m = le a, b\ny = select m, a, b", ltype(DT_f32, 1), ltype(DT_f32, 1), in,
             &scalar);
    assert_true(scalar == 1);
}

/* ---- moves between types -------------------------------------------------------------------- */

static void bitcasts_keep_the_bits(void **state) {
    (void)state;
    uint8_t in[64], out[64];
    for (int i = 0; i < 64; i++)
        in[i] = (uint8_t)(i * 37 + 11);
    const void *const from[] = {in, in, in};
    run_inst("bitcast.v16.i32 a", ltype(DT_f32, 16), ltype(DT_i32, 16), from, out);
    assert_memory_equal(in, out, 64);
    run_inst("bitcast.i64 a", ltype(DT_f64, 1), ltype(DT_i64, 1), from, out);
    assert_memory_equal(in, out, 8);
    run_inst("bitcast.i16 a", ltype(DT_bf16, 1), ltype(DT_i16, 1), from, out);
    assert_memory_equal(in, out, 2);
}

static void halves_convert(void **state) {
    (void)state;
    static const float in[] = {0,        -0.0f,    1,          65504,    65520,
                               0x1p-24f, 0x1p-25f, 0x1.8p-25f, INFINITY, -2.5f};
    static const uint16_t f16[] = {0, 0x8000, 0x3c00, 0x7bff, 0x7c00, 1, 0, 1, 0x7c00, 0xc100};
    for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
        uint16_t h;
        float f;
        run_inst("convert.f16 a", ltype(DT_f32, 1), ltype(DT_f16, 1),
                 (const void *const[]){&in[i], &in[i], &in[i]}, &h);
        assert_int_equal(h, f16[i]);
        run_unary("convert.f32 a", ltype(DT_f16, 1), ltype(DT_f32, 1), &h, &f);
        assert_true(f == half_to_float(h));
        run_inst("convert.bf16 a", ltype(DT_f32, 1), ltype(DT_bf16, 1),
                 (const void *const[]){&in[i], &in[i], &in[i]}, &h);
        assert_int_equal(h, float_to_bfloat(in[i]));
        run_unary("convert.f32 a", ltype(DT_bf16, 1), ltype(DT_f32, 1), &h, &f);
        assert_true(f == bfloat_to_float(h));
    }
}

static double number(DType dt, const void *p) {
    return dt == DT_f32 || dt == DT_f64 ? lane_f(dt, p, 0) : (double)lane_i(dt, p, 0);
}

/* Every pair of types, on numbers that both have, and on fractions. */
static void conversions_in_range(void **state) {
    (void)state;
    static const DType types[] = {DT_f32, DT_f64, DT_i8,  DT_i16, DT_i32,
                                  DT_i64, DT_u8,  DT_u16, DT_u32, DT_u64};
    static const double values[] = {0, 1, 100, 127, -1, -128, 2.75, -2.75};
    for (size_t f = 0; f < 10; f++) {
        for (size_t t = 0; t < 10; t++) {
            for (int v = 0; v < 8; v++) {
                DType from = types[f], to = types[t];
                bool is_float = dtype_is_float(from), to_float = dtype_is_float(to);
                bool negative = values[v] < 0 && (!(is_float || dtype_is_signed_int(from)) ||
                                                  !(to_float || dtype_is_signed_int(to)));
                if (negative || (!is_float && values[v] != trunc(values[v])))
                    continue;
                uint8_t in[8], out[8];
                if (is_float)
                    set_lane_f(from, in, 0, values[v]);
                else
                    set_lane_i(from, in, 0, (int64_t)values[v]);
                char text[32];
                snprintf(text, sizeof text, "convert.%s a", dtype_name(to));
                run_unary(text, ltype(from, 1), ltype(to, 1), in, out);
                double want = to_float ? values[v] : trunc(values[v]);
                if (number(to, out) != want)
                    fail_msg("%s to %s: %g became %g", dtype_name(from), dtype_name(to), values[v],
                             number(to, out));
            }
        }
    }
}

static void conversions_round_once(void **state) {
    (void)state;
    int64_t big =
        0x1000001000000001; /* just above the middle of two floats: f64 in between loses it */
    float f;
    run_unary("convert.f32 a", ltype(DT_i64, 1), ltype(DT_f32, 1), &big, &f);
    assert_true(f == 0x1.000002p60f);
    double d = 0x1.0000010000001p0;
    run_unary("convert.f32 a", ltype(DT_f64, 1), ltype(DT_f32, 1), &d, &f);
    assert_true(f == 0x1.000002p0f);
}

static void conversions_of_integers_wrap(void **state) {
    (void)state;
    int32_t in[4] = {0x12345678, -1, 128, INT32_MIN};
    int8_t out[4];
    uint64_t wide[4];
    const void *const from[] = {in, in, in};
    run_inst("convert.v4.i8 a", ltype(DT_i32, 4), ltype(DT_i8, 4), from, out);
    assert_memory_equal(out, ((int8_t[]){0x78, -1, -128, 0}), 4);
    run_inst("convert.v4.u64 a", ltype(DT_i32, 4), ltype(DT_u64, 4), from, wide);
    assert_true(wide[1] == UINT64_MAX && wide[3] == (uint64_t)INT32_MIN);
}

/* What C does not define is some number here: a sanitizer must find nothing. */
static void conversions_out_of_range_do_no_harm(void **state) {
    (void)state;
    for (int i = 0; i < INTERESTING_F; i++) {
        double x = interesting_f[i];
        for (size_t t = 0; t < sizeof integers / sizeof *integers; t++) {
            uint8_t out[8];
            char text[32];
            snprintf(text, sizeof text, "convert.%s a", dtype_name(integers[t]));
            run_unary(text, ltype(DT_f64, 1), ltype(integers[t], 1), &x, out);
            if (x != x)
                assert_int_equal(lane_i(integers[t], out, 0), 0);
        }
    }
    double ends[2] = {0x1p63, -0x1p63};
    int64_t out[2];
    run_inst("convert.v2.i64 a", ltype(DT_f64, 2), ltype(DT_i64, 2),
             (const void *const[]){ends, ends, ends}, out);
    assert_true(out[0] == INT64_MAX && out[1] == INT64_MIN);
}

static void conversions_to_and_from_bool(void **state) {
    (void)state;
    float in[4] = {0, -0.0f, NAN, 0.25f};
    uint8_t out[4];
    run_unary("convert.v4.bool a", ltype(DT_f32, 4), ltype(DT_bool, 4), in, out);
    assert_memory_equal(out, ((uint8_t[]){0, 0, 1, 1}), 4);
    float back[4];
    run_inst("convert.v4.f32 a", ltype(DT_bool, 4), ltype(DT_f32, 4),
             (const void *const[]){out, out, out}, back);
    assert_memory_equal(back, ((float[]){0, 0, 1, 1}), sizeof back);
}

static void splats_fill_all_lanes(void **state) {
    (void)state;
    static const DType types[] = {DT_f32, DT_f64, DT_i8, DT_u16, DT_f16, DT_bool};
    static const uint8_t in[8] = {1, 0x80, 3, 4, 5, 6, 7, 8};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        for (size_t n = 1; n < sizeof lane_counts / sizeof *lane_counts; n++) {
            int bytes = dtype_bytes(types[t]), lanes = lane_counts[n];
            uint8_t out[2][MAX_BYTES];
            char text[2][32];
            snprintf(text[0], sizeof text[0], "splat.v%d a", lanes);
            snprintf(text[1], sizeof text[1], "splat.v%d pa[0]", lanes);
            for (int way = 0; way < 2; way++) {
                run_unary(text[way], ltype(types[t], 1), ltype(types[t], lanes), in, out[way]);
                for (int i = 0; i < lanes; i++)
                    assert_memory_equal(out[way] + i * bytes, in, (size_t)bytes);
            }
        }
    }
}

static void constants_of_every_type(void **state) {
    (void)state;
    static const struct {
        const char *text;
        DType dt;
        uint64_t bits;
    } rows[] = {{"-1.5", DT_f32, 0xbfc00000},
                {"-0", DT_f32, 0x80000000},
                {"inf", DT_f64, 0x7ff0000000000000},
                {"65504", DT_f16, 0x7bff},
                {"1", DT_bf16, 0x3f80},
                {"-128", DT_i8, 0x80},
                {"-2", DT_i16, 0xfffe},
                {"-3", DT_i32, 0xfffffffd},
                {"-4", DT_i64, 0xfffffffffffffffc},
                {"200", DT_u8, 200},
                {"65535", DT_u16, 0xffff},
                {"4294967295", DT_u32, 0xffffffff},
                {"18446744073709551615", DT_u64, 0xffffffffffffffff},
                {"1", DT_bool, 1}};
    static const uint8_t none[8];
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        uint8_t out[MAX_BYTES];
        char text[64];
        snprintf(text, sizeof text, "const.v4.%s %s", dtype_name(rows[r].dt), rows[r].text);
        run_unary(text, ltype(DT_u8, 1), ltype(rows[r].dt, 4), none, out);
        int bytes = dtype_bytes(rows[r].dt);
        for (int i = 0; i < 4 * bytes; i++)
            assert_int_equal(out[i], rows[r].bits >> (8 * (i % bytes)) & 0xff);
    }
}

/* ---- flush-to-zero -------------------------------------------------------------------------- */

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float flushed(const char *text, float a, float b, float c) {
    char body[64];
    float out;
    snprintf(body, sizeof body, "y = %s", text);
    run_body("x86-64-v3", body, ltype(DT_f32, 1), ltype(DT_f32, 1),
             (const void *const[]){&a, &b, &c}, &out);
    return out;
}

/* Results as they came out of an x86 processor with FTZ and DAZ set. */
static void denormals_are_flushed(void **state) {
    (void)state;
    static const struct {
        const char *text;
        float a, b, c, want;
    } rows[] = {
        {"add a, b", 0x1p-127f, 0x1p-126f, 0, 0x1p-126f}, /* operand */
        {"add a, b", -0x1p-127f, -0.0f, 0, -0.0f},        /* operand, sign kept */
        {"sub a, b", 0x1p-126f, 0x1.8p-126f, 0, -0.0f},   /* result */
        {"mul a, b", 0x1p-126f, 0.5f, 0, 0},              /* result, exact */
        {"mul a, b", -0x1p-126f, 0.5f, 0, -0.0f},         /* */
        {"mul a, b", 0x1.fffffep-1f, 0x1p-126f, 0, 0}, /* rounds up to normal: tiny all the same */
        {"mul a, b", 0x1.fffffcp-1f, 0x1.000002p-126f, 0,
         0x1p-126f},                               /* rounds up at any exponent */
        {"mul a, b", 0x1p-149f, 0x1p127f, 0, 0},   /* operand */
        {"mul a, b", 0x1p-149f, INFINITY, 0, NAN}, /* 0 * inf */
        {"div a, b", 0x1p-126f, 2, 0, 0},          /* result */
        {"div a, b", 1, 0x1p-127f, 0, INFINITY},   /* operand */
        {"fma a, b, c", 0x1p-126f, 0.5f, 0, 0},    /* result */
        {"fma a, b, c", 1, 1, 0x1p-127f, 1},       /* operand */
        {"fma a, b, c", -0x1.000002p-1f, 0x1.fffffep-126f, 0x1p-125f, 0}, /* tiny after rounding */
        {"fma a, b, c", -0x1.0008p0f, 0x1.0008p-126f, 0x1.0008p-125f, 0x1p-126f}, /* not tiny */
        {"scale2 a, b", 0x1.fffffep0f, -127, 0, 0},  /* rounds up to normal: tiny all the same */
        {"scale2 a, b", -0x1p0f, -126.5f, 0, -0.0f}, /* result, exact */
        {"scale2 a, b", -0x1.8p0f, -126, 0, -0x1.8p-126f},
        {"scale2 a, b", 0x1p-140f, 100, 0, 0}, /* operand */
        {"scale2 a, b", 1.5f, -0x1p-140f, 0, 1.5f},
        {"fract a", -0x1p-140f, 0, 0, -0.0f},
        {"fract a", -0x1p-126f, 0, 0, 0x1.fffffep-1f},
        {"min a, b", 0x1p-140f, 1, 0, 0}, /* operand */
        {"max a, b", -1, -0x1p-140f, 0, -0.0f},
        {"neg a", 0x1p-140f, 0, 0, -0x1p-140f}, /* moves only bits */
        {"mov a", 0x1p-140f, 0, 0, 0x1p-140f},
        {"relu a", 0x1p-140f, 0, 0, 0},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        float got = flushed(rows[r].text, rows[r].a, rows[r].b, rows[r].c);
        if (!same_f((double)got, (double)rows[r].want))
            fail_msg("%s of %a, %a, %a gave %a, not %a", rows[r].text, (double)rows[r].a,
                     (double)rows[r].b, (double)rows[r].c, (double)got, (double)rows[r].want);
    }
}

static void denormals_are_kept_where_the_target_keeps_them(void **state) {
    (void)state;
    float a = 0x1p-126f, b = 0.5f, out;
    run_inst("mul a, b", ltype(DT_f32, 1), ltype(DT_f32, 1), (const void *const[]){&a, &b, &b},
             &out);
    assert_true(out == 0x1p-127f);
}

static void denormals_of_f64_are_flushed(void **state) {
    (void)state;
    static const struct {
        const char *body;
        double a, b, c, want;
    } rows[] = {
        {"y = mul a, b", 0x1p-1022, 0.5, 0, 0},
        {"y = mul a, b", 0x1.fffffffffffffp-1, 0x1p-1022, 0, 0},
        {"y = mul a, b", 0x1.ffffffffffffep-1, 0x1.0000000000001p-1022, 0, 0x1p-1022},
        {"y = div a, b", 0x1p-1022, -2, 0, -0.0},
        {"y = fma a, b, c", -0x1.0000000000001p-1, 0x1.fffffffffffffp-1022, 0x1p-1021, 0},
        {"y = add a, b", 0x1p-1074, 1, 0, 1},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        double out;
        run_body("x86-64-v4", rows[r].body, ltype(DT_f64, 1), ltype(DT_f64, 1),
                 (const void *const[]){&rows[r].a, &rows[r].b, &rows[r].c}, &out);
        if (!same_f(out, rows[r].want))
            fail_msg("%s of %a, %a, %a gave %a", rows[r].body, rows[r].a, rows[r].b, rows[r].c,
                     out);
    }
}

static void comparisons_and_conversions_flush(void **state) {
    (void)state;
    float tiny[4] = {0x1p-140f, -0x1p-140f, 0, 0x1p-126f}, zero[4] = {0};
    int32_t mask[4];
    const void *const in[] = {tiny, zero, zero};
    run_body("x86-64-v3", "y = eq a, b", ltype(DT_f32, 4), ltype(DT_i32, 4), in, mask);
    assert_memory_equal(mask, ((int32_t[]){-1, -1, -1, 0}), sizeof mask);
    uint8_t bools[4];
    run_body("x86-64-v3", "y = convert.v4.bool a", ltype(DT_f32, 4), ltype(DT_bool, 4), in, bools);
    assert_memory_equal(bools, ((uint8_t[]){0, 0, 0, 1}), 4);
    double wide[4];
    run_body("x86-64-v3", "y = convert.v4.f64 a", ltype(DT_f32, 4), ltype(DT_f64, 4), in, wide);
    assert_true(wide[0] == 0 && signbit(wide[1]) && wide[1] == 0 && wide[3] == 0x1p-126);
    double d[4] = {0x1p-127, -0x1.ffffffp-127, 0x1.ffffffp-127, 0x1.fffffep-127};
    float narrow[4]; /* the third is a tie that goes up to the least normal number */
    run_body("x86-64-v3", "y = convert.v4.f32 a", ltype(DT_f64, 4), ltype(DT_f32, 4),
             (const void *const[]){d, d, d}, narrow);
    assert_int_equal(bits_of(narrow[0]), 0);
    assert_int_equal(bits_of(narrow[1]), bits_of(-0x1p-126f));
    assert_int_equal(bits_of(narrow[2]), bits_of(0x1p-126f));
    assert_int_equal(bits_of(narrow[3]), 0);
}

#ifdef __SSE2__
#include <emmintrin.h>

/* The processor's own answer, in the mode that generated code runs in. */
static float hardware(InstOp op, float a, float b) {
    unsigned mode = _mm_getcsr();
    volatile float x = a, y = b, r;
    _mm_setcsr(mode | 0x8040); /* flush to zero, denormals are zeros */
    __m128 vx = _mm_set_ss(x), vy = _mm_set_ss(y);
    __m128 vr = op == INST_add   ? _mm_add_ss(vx, vy)
                : op == INST_sub ? _mm_sub_ss(vx, vy)
                : op == INST_mul ? _mm_mul_ss(vx, vy)
                : op == INST_div ? _mm_div_ss(vx, vy)
                : op == INST_min ? _mm_min_ss(vx, vy)
                                 : _mm_max_ss(vx, vy);
    r = _mm_cvtss_f32(vr);
    _mm_setcsr(mode);
    return r;
}

/* A number with an exponent in [lo, hi] whose last bits are all ones or all zeros, or nearly so,
 * half of the time: what rounds up to the next power of two. */
static float draw(uint64_t *seed, int lo, int hi) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    uint32_t x = (uint32_t)(*seed >> 32);
    uint32_t mantissa = x >> 9;
    if (x & 1)
        mantissa = x & 2 ? 0x7fffff - (x >> 3) % 4 : (x >> 3) % 4;
    int e = lo + (int)((x >> 8) % (unsigned)(hi - lo + 1));
    return ldexpf((float)(0x800000 + mantissa), e - 23) * (x & 4 ? -1 : 1);
}

static void flushing_agrees_with_the_processor(void **state) {
    (void)state;
    static const InstOp ops[] = {INST_add, INST_sub, INST_mul, INST_div, INST_min, INST_max};
    uint64_t seed = 99;
    for (size_t o = 0; o < sizeof ops / sizeof *ops; o++) {
        char body[32];
        snprintf(body, sizeof body, "y = %s a, b", inst_info(ops[o])->name);
        for (int round = 0; round < 300; round++) {
            float a[16], b[16], out[16];
            for (int i = 0; i < 16; i++) { /* products and quotients around 2^-126 */
                bool product = ops[o] == INST_mul, scaled = product || ops[o] == INST_div;
                a[i] = draw(&seed, scaled ? -64 : -128, scaled ? -62 : -124);
                b[i] = product  ? draw(&seed, -64, -62)
                       : scaled ? draw(&seed, 62, 64)
                                : draw(&seed, -128, -124);
            }
            run_body("x86-64-v4", body, ltype(DT_f32, 16), ltype(DT_f32, 16),
                     (const void *const[]){a, b, b}, out);
            for (int i = 0; i < 16; i++) {
                float want = hardware(ops[o], a[i], b[i]);
                if (bits_of(out[i]) != bits_of(want))
                    fail_msg("%s of %a, %a gave %a, not %a", inst_info(ops[o])->name, (double)a[i],
                             (double)b[i], (double)out[i], (double)want);
            }
        }
    }
}
#endif

/* ---- control flow --------------------------------------------------------------------------- */

/* Runs a module whose `run` computes on %o : i64[8], which starts as all ones bits, and %w, which
 * is 16 i64 of arena. */
static bool run_text(const char *kernels, const char *run, int64_t out[8], Diag *d) {
    Buf b = {0};
    buf_printf(&b,
               "module @m target=generic arena=128 { buffer %%i : i64[4] input 0 \"i\" "
               "buffer %%o : i64[8] output 0 \"o\" buffer %%w : i64[16] arena 0 buffer %%x : "
               "i64[2] arena 0 %s run { %s } }",
               kernels, run);
    static const int64_t in[4] = {10, 20, 30, 40};
    Module *m = module_of(b.data);
    bool ok = m && module_eval(m, (const void *const[]){in}, (void *const[]){out}, d);
    module_free(m);
    buf_free(&b);
    return ok;
}

static void assert_runs(const char *kernels, const char *run, const int64_t want[8]) {
    int64_t out[8];
    Diag d = {0};
    bool ok = run_text(kernels, run, out, &d);
    diag_print(&d, stderr, false);
    diag_free(&d);
    if (!ok)
        fail_msg("%s %s", kernels, run);
    for (int i = 0; i < 8; i++)
        if (out[i] != want[i])
            fail_msg("%s %s\nelement %d is %" PRId64 ", not %" PRId64, kernels, run, i, out[i],
                     want[i]);
}

#define COUNT(lo, hi)                                                                              \
    "z = const.i64 0 one = const.i64 1 n = mov z last = mov z "                                    \
    "for i in " lo ".." hi " { n = add n, one last = mov i } store %o[0], n store %o[1], last"

static void loops_count(void **state) {
    (void)state;
    assert_runs("", COUNT("0", "5"), (const int64_t[]){5, 4, -1, -1, -1, -1, -1, -1});
    assert_runs("", COUNT("0", "5 step 3"), (const int64_t[]){2, 3, -1, -1, -1, -1, -1, -1});
    assert_runs("", COUNT("0", "6 step 3"), (const int64_t[]){2, 3, -1, -1, -1, -1, -1, -1});
    assert_runs("", COUNT("-3", "2 step 2"), (const int64_t[]){3, 1, -1, -1, -1, -1, -1, -1});
    assert_runs("", COUNT("5", "5"), (const int64_t[]){0, 0, -1, -1, -1, -1, -1, -1});
    assert_runs("", COUNT("5", "-5"), (const int64_t[]){0, 0, -1, -1, -1, -1, -1, -1});
    assert_runs("", COUNT("9223372036854775800", "9223372036854775807 step 5"),
                (const int64_t[]){2, INT64_MAX - 2, -1, -1, -1, -1, -1, -1});
    assert_runs("", COUNT("-9223372036854775808", "9223372036854775807 step 9223372036854775807"),
                (const int64_t[]){3, INT64_MAX - 1, -1, -1, -1, -1, -1, -1});
}

static void loops_nest_and_take_registers(void **state) {
    (void)state;
    assert_runs("kernel @fill(o: i64*, n: i64) { for i in 0..n { hi = mov i for j in i..n step 3 { "
                "hi = add hi, j } "
                "store o[i], hi } }",
                "call @fill(%o[1], 6)", (const int64_t[]){-1, 3, 6, 9, 6, 8, 10, -1});
    /* the lower bound may change within; it was read before */
    assert_runs("", "a = const.i64 2 for i in a..5 { a = add a, a } store %o[0], a",
                (const int64_t[]){16, -1, -1, -1, -1, -1, -1, -1});
}

static void whiles_run_until_their_condition_is_false(void **state) {
    (void)state;
    /* 27 reaches 1 in 111 steps of Collatz; a loop may run no time at all */
    assert_runs("kernel @collatz(o: i64*, x: i64) { zero = const.i64 0 one = const.i64 1 "
                "two = const.i64 2 three = const.i64 3 n = mov zero go = lt one, x "
                "while go { r = rem x, two odd = eq r, one "
                "if odd { x = mul x, three x = add x, one } else { x = div x, two } "
                "n = add n, one go = lt one, x } store o[0], n }",
                "call @collatz(%o[0], 27) call @collatz(%o[1], 1) call @collatz(%o[2], 8)",
                (const int64_t[]){111, 0, 3, -1, -1, -1, -1, -1});
    assert_runs("",
                "z = const.i64 0 one = const.i64 1 three = const.i64 3 n = mov z i = mov z "
                "a = lt i, three while a { j = mov z b = lt j, i "
                "while b { n = add n, one j = add j, one b = lt j, i } "
                "i = add i, one a = lt i, three } store %o[0], n",
                (const int64_t[]){3, -1, -1, -1, -1, -1, -1, -1});
}

static void rounds_of_par_all_run(void **state) {
    (void)state;
    assert_runs("kernel @squares(o: i64*, n: i64) { par i in 0..n { x = mul i, i store o[i], x } }",
                "call @squares(%o[0], 7)", (const int64_t[]){0, 1, 4, 9, 16, 25, 36, -1});
}

static void steps_run_in_the_order_of_their_calls(void **state) {
    (void)state;
    assert_runs("kernel @add(o: i64*, n: i64) { x = load o[0] y = add x, n store o[0], y } "
                "step @zero { z = const.i64 0 store %o[0], z store %o[1], z } "
                "step @both { call @add(%o[0], 2) x = load %o[0] call @add(%o[1], x) }",
                "call @zero() call @both() call @both()",
                (const int64_t[]){4, 6, -1, -1, -1, -1, -1, -1});
}

static void branches(void **state) {
    (void)state;
    assert_runs("kernel @k(o: i64*, x: i64) { two = const.i64 2 c = lt x, two "
                "if c { y = neg x } else { y = add x, x } store o[x], y "
                "if c { store o[x + 4], x } "
                "if c { } else { store o[4], x } }",
                "for i in 0..4 { call @k(%o[0], i) }",
                (const int64_t[]){0, -1, 4, 6, 3, 1, -1, -1});
}

static void kernels_call_kernels(void **state) {
    (void)state;
    assert_runs("kernel @a(o: i64*, x: i64) { store o[0], x } "
                "kernel @b(o: i64*, x: i64) { call @a(o[x], x) y = add x, x call @a(o[0], y) } "
                "kernel @c(o: i64*) { for i in 1..3 { call @b(o[2*i - 2], i) } }",
                "call @c(%o[1])", (const int64_t[]){-1, 2, 1, 4, -1, 2, -1, -1});
}

static void kernels_get_fresh_arguments(void **state) {
    (void)state;
    assert_runs(
        "kernel @k(o: i64*, x: i64) { store o[0], x x = add x, x o = lea o[1] store o[0], x }",
        "n = const.i64 5 call @k(%o[0], n) call @k(%o[2], n) store %o[4], n",
        (const int64_t[]){5, 10, 5, 10, 5, -1, -1, -1});
}

static void addresses_are_sums(void **state) {
    (void)state;
    assert_runs(
        "kernel @k(i: i64*, o: i64*, a: i64, b: i64) { "
        "q = lea i[a + 100] q = lea q[-100] x = load q[b - 2*a + 2] "
        "r = lea o[-5] store r[a + 3*b + 4], x v = load.v2 i[a + 1] store.v2 o[2*b + 4], v }",
        "call @k(%i[0], %o[0], 1, 1)", (const int64_t[]){-1, -1, -1, 30, -1, -1, 30, 40});
    /* buffers that share memory */
    assert_runs("", "x = load.v2 %i[1] store.v2 %x[0], x y = load.v2 %w[0] store.v2 %o[0], y",
                (const int64_t[]){20, 30, -1, -1, -1, -1, -1, -1});
}

static void memory_starts_poisoned(void **state) {
    (void)state;
    assert_runs("", "x = load %w[15] store %o[3], x",
                (const int64_t[]){-1, -1, -1, -1, -1, -1, -1, -1});
    Module *m =
        module_of("module @m target=generic arena=4 { buffer %w : f32[1] arena 0 "
                  "buffer %o : f32[2] output 0 \"\" run { x = load %w[0] store %o[0], x } }");
    float out[2] = {1, 1};
    Diag d = {0};
    assert_non_null(m);
    assert_true(module_eval(m, NULL, (void *const[]){out}, &d));
    assert_true(isnan(out[0]) && isnan(out[1]));
    module_free(m);
}

/* ---- faults --------------------------------------------------------------------------------- */

static void assert_fault(const char *kernels, const char *run, const char *want, const char *inst) {
    int64_t out[8];
    Diag d = {0};
    bool ok = run_text(kernels, run, out, &d);
    if (ok || !only_error_is(&d, want, inst))
        fail_msg("%s %s", kernels, run);
    diag_free(&d);
}

#define K(body)                                                                                    \
    "kernel @k(i: i64*, o: i64*, n: i64) { c = const.i64 7 v = const.v4.i64 7 " body " }"
#define CALL "call @k(%i[0], %o[0], 8)  # \"conv\"\n"

static void accesses_outside_are_found(void **state) {
    (void)state;
    assert_fault(K("x = load i[4]"), CALL,
                 "kernel @k: element 4 is outside %i, which has 4 elements", "x = load i[4]");
    assert_fault(K("x = load i[-1]"), CALL,
                 "kernel @k: element -1 is outside %i, which has 4 elements", "x = load i[-1]");
    assert_fault(K("x = load.v4 i[1]"), CALL,
                 "kernel @k: elements 1 to 4 are not all inside %i, which has 4 elements",
                 "x = load.v4 i[1]");
    assert_fault(K("x = load.v4 i[-3]"), CALL,
                 "kernel @k: elements -3 to 0 are not all inside %i, which has 4 elements",
                 "x = load.v4 i[-3]");
    assert_fault(K("x = load.v16 i[0]"), CALL,
                 "kernel @k: elements 0 to 15 are not all inside %i, which has 4 elements",
                 "x = load.v16 i[0]");
    assert_fault(K("x = splat.v4 i[n - 4]"), CALL,
                 "kernel @k: element 4 is outside %i, which has 4 elements",
                 "x = splat.v4 i[n - 4]");
    assert_fault(K("store o[n], c"), CALL,
                 "kernel @k: element 8 is outside %o, which has 8 elements", "store o[n], c");
    assert_fault(K("store.v4 o[n - 3], v"), CALL,
                 "kernel @k: elements 5 to 8 are not all inside %o, which has 8 elements",
                 "store.v4 o[n - 3], v");
    assert_fault(K("q = lea o[-3] r = lea q[2*n] store r[-5], c"), CALL,
                 "kernel @k: element 8 is outside %o, which has 8 elements", "store r[-5], c");
}

static void addresses_wrap_without_harm(void **state) {
    (void)state;
    assert_fault(K("m = const.i64 9223372036854775807 x = load i[9223372036854775807*m + 3*n]"),
                 CALL, "kernel @k: element 25 is outside %i, which has 4 elements",
                 "x = load i[9223372036854775807*m + 3*n]");
    assert_fault(K("q = lea i[9223372036854775807] x = load.v4 q[0]"), CALL,
                 "kernel @k: elements 9223372036854775807 to -9223372036854775806 are not all "
                 "inside %i, which has 4 "
                 "elements",
                 "x = load.v4 q[0]");
}

static void stores_to_inputs_are_found(void **state) {
    (void)state;
    assert_fault(K("store i[0], c"), CALL, "kernel @k: %i is only for reading", "store i[0], c");
}

static void divisions_without_quotient_are_found(void **state) {
    (void)state;
    assert_fault(K("z = const.i64 0 x = div n, z"), CALL, "kernel @k: the division has no quotient",
                 "x = div n, z");
    assert_fault(K("z = const.i64 0 x = rem n, z"), CALL, "kernel @k: the division has no quotient",
                 "x = rem n, z");
    assert_fault(K("l = const.i64 -9223372036854775808 z = const.i64 -1 x = div l, z"), CALL,
                 "kernel @k: the division has no quotient", "x = div l, z");
    assert_fault(K("l = const.v4.i8 -128 z = const.v4.i8 -1 x = div l, z"), CALL,
                 "kernel @k: the division has no quotient", "x = div l, z");
    assert_fault(K("l = const.v4.u8 9 z = const.v4.u8 0 x = div l, z"), CALL,
                 "kernel @k: the division has no quotient", "x = div l, z");
}

/* Runs `body` with fuel for so many rounds and calls. */
static bool ends_within(int64_t fuel, const char *body, Diag *d) {
    Arena a = {0};
    Module *m = module_of(arena_printf(&a,
                                       "module @m target=generic { kernel @e() { } run { "
                                       "t = const.bool 1 %s } }",
                                       body));
    arena_free(&a);
    assert_non_null(m);
    bool ok = module_eval_fuel(m, NULL, NULL, fuel, d);
    module_free(m);
    return ok;
}

static void endless_programs_are_stopped(void **state) {
    (void)state;
    static const char *const endless[] = {
        "while t { t = mov t }",
        "for i in 0..9223372036854775807 { }",
        "for i in 0..9223372036854775807 { for j in i..i { } }",
        "while t { for j in 0..9 { } t = mov t }",
        "call @e() call @e() call @e() call @e() call @e() for i in 0..96 { }",
    };
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
        Diag d = {0};
        assert_false(ends_within(100, endless[i], &d));
        assert_int_equal(diag_exit_code(&d), EXIT_BUDGET);
        diag_free(&d);
    }
    Diag d = {0};
    assert_true(ends_within(100, "for i in 0..90 { } call @e() call @e()", &d));
    diag_free(&d);
}

static void faults_name_all_callers(void **state) {
    (void)state;
    int64_t out[8];
    Diag d = {0};
    assert_false(
        run_text("kernel @a(o: i64*) { x = load o[9] } kernel @b(o: i64*) { call @a(o[1]) }",
                 "for i in 0..3 { call @b(%o[i])  # \"conv_3\"\n }", out, &d));
    assert_int_equal(d.errors, 1);
    const DiagItem *item = d.items.data[0];
    assert_string_equal(item->where, "m");
    assert_string_equal(item->message, "kernel @a: element 10 is outside %o, which has 8 elements");
    assert_int_equal(item->notes.len, 3);
    assert_string_equal(item->notes.data[0].text, "x = load o[9]");
    assert_string_equal(item->notes.data[1].text, "call @a(o[1])");
    assert_string_equal(item->notes.data[2].text, "call @b(%o[i])  # \"conv_3\"");
    diag_free(&d);
}

static void missing_weights_are_an_error(void **state) {
    (void)state;
    Module *m = module_of("module @m target=generic weights=4 xxh:0000000000000001 { "
                          "buffer %w : f32[1] weights 0 run { x = load %w[0] } }");
    Diag d = {0};
    assert_non_null(m);
    assert_false(module_eval(m, NULL, NULL, &d));
    assert_int_equal(d.errors, 1);
    assert_string_equal(d.items.data[0]->message, "the weights are missing");
    diag_free(&d);
    module_free(m);
}

static void weights_are_read_and_never_written(void **state) {
    (void)state;
    static const float weights[4] = {1, 2, 3, 4};
    static const char *const runs[] = {"x = load %w[1] store %o[0], x",
                                       "x = load %w[1] store %w[0], x"};
    for (int i = 0; i < 2; i++) {
        Buf b = {0};
        buf_printf(&b,
                   "module @m target=generic weights=16 { buffer %%w : f32[2] weights 8 "
                   "buffer %%o : f32[1] output 0 \"\" run { %s } }",
                   runs[i]);
        Module *m = module_of(b.data);
        float out;
        Diag d = {0};
        assert_non_null(m);
        m->weights = tensor_wrap(&m->arena, DT_u8, SHAPE(16), weights);
        assert_int_equal(module_eval(m, NULL, (void *const[]){&out}, &d), i == 0);
        if (i == 0)
            assert_true(out == 4);
        else
            assert_true(only_error_is(&d, "run: %w is only for reading", "store %w[0], x"));
        diag_free(&d);
        module_free(m);
        buf_free(&b);
    }
}

static void broken_modules_do_not_run(void **state) {
    (void)state;
    assert_fault("kernel @k(p: i64*) { x = const.i64 1 y = const.f32 1 z = add x, y }", "",
                 "kernel @k: y is f32, wanted i64", "z = add x, y");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integer_instructions),
        cmocka_unit_test(shifts),
        cmocka_unit_test(bools),
        cmocka_unit_test(float_instructions),
        cmocka_unit_test(activations),
        cmocka_unit_test(exponentials),
        cmocka_unit_test(fma_rounds_once_and_mul_add_twice),
        cmocka_unit_test(comparisons_of_floats),
        cmocka_unit_test(select_picks_lanes),
        cmocka_unit_test(bitcasts_keep_the_bits),
        cmocka_unit_test(halves_convert),
        cmocka_unit_test(conversions_in_range),
        cmocka_unit_test(conversions_round_once),
        cmocka_unit_test(conversions_of_integers_wrap),
        cmocka_unit_test(conversions_out_of_range_do_no_harm),
        cmocka_unit_test(conversions_to_and_from_bool),
        cmocka_unit_test(splats_fill_all_lanes),
        cmocka_unit_test(constants_of_every_type),
        cmocka_unit_test(denormals_are_flushed),
        cmocka_unit_test(denormals_are_kept_where_the_target_keeps_them),
        cmocka_unit_test(denormals_of_f64_are_flushed),
        cmocka_unit_test(comparisons_and_conversions_flush),
#ifdef __SSE2__
        cmocka_unit_test(flushing_agrees_with_the_processor),
#endif
        cmocka_unit_test(loops_count),
        cmocka_unit_test(loops_nest_and_take_registers),
        cmocka_unit_test(whiles_run_until_their_condition_is_false),
        cmocka_unit_test(rounds_of_par_all_run),
        cmocka_unit_test(steps_run_in_the_order_of_their_calls),
        cmocka_unit_test(branches),
        cmocka_unit_test(kernels_call_kernels),
        cmocka_unit_test(kernels_get_fresh_arguments),
        cmocka_unit_test(addresses_are_sums),
        cmocka_unit_test(memory_starts_poisoned),
        cmocka_unit_test(accesses_outside_are_found),
        cmocka_unit_test(addresses_wrap_without_harm),
        cmocka_unit_test(stores_to_inputs_are_found),
        cmocka_unit_test(divisions_without_quotient_are_found),
        cmocka_unit_test(endless_programs_are_stopped),
        cmocka_unit_test(faults_name_all_callers),
        cmocka_unit_test(missing_weights_are_an_error),
        cmocka_unit_test(weights_are_read_and_never_written),
        cmocka_unit_test(broken_modules_do_not_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
