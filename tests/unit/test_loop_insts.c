/* Unit tests of ir/loop_lanes.c: what each instruction computes, where denormals are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/loop_inst.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = MAX_LANES * 8 };

/* How many lanes each instruction is tried with. */
static const int lane_counts[] = {1, 2, 4, 16, 64};

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

/* Of the table, but for shifts. */
static void integer_instructions(void **state) {
    (void)state;
    for (InstOp op = 0; op < INST_COUNT; op++) {
        InstForm form = inst_info(op)->form;
        bool computes = form == FORM_UNARY || form == FORM_BINARY || form == FORM_COMPARE;
        if (!computes || !(inst_info(op)->types & TYPES_I))
            continue;
        for (size_t t = 0; t < sizeof integers / sizeof *integers; t++)
            for (size_t n = 0; n < sizeof lane_counts / sizeof *lane_counts; n++)
                check_pairs(op, integers[t], lane_counts[n]);
    }
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

/* Its table is of f64 that were rounded once, and so are these from a long double. */
static double expected_exp2_low5(DType dt, double a) {
    uint32_t bits;
    uint64_t wide;
    float f = (float)a;
    memcpy(&bits, &f, sizeof bits);
    memcpy(&wide, &a, sizeof wide);
    return (double)exp2l((long double)((dt == DT_f32 ? bits : wide) % 32) / 32);
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
    case INST_exp2_low5:
        r = expected_exp2_low5(dt, a);
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
    case INST_exp:
        r = exp(a);
        break;
    case INST_sqrt:
        r = sqrt(a);
        break;
    default:
        if (op < INST_act_relu)
            fail_msg("no expectation for %s", inst_info(op)->name);
        r = act_eval((Act)(ACT_none + 1 + (op - INST_act_relu)), a);
        break;
    }
    return dt == DT_f32 ? (double)(float)r : r;
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

/* Of the table, but for activations and what moves lanes. */
static void float_instructions(void **state) {
    (void)state;
    for (InstOp op = 0; op < INST_act_relu; op++) {
        InstForm form = inst_info(op)->form;
        bool computes = form == FORM_UNARY || form == FORM_BINARY || form == FORM_TERNARY;
        if (!computes || !(inst_info(op)->types & TYPES_F) || op == INST_halves || op == INST_swap)
            continue;
        for (size_t n = 0; n < sizeof lane_counts / sizeof *lane_counts; n++) {
            check_float_pairs(op, DT_f32, lane_counts[n]);
            check_float_pairs(op, DT_f64, lane_counts[n]);
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

/* ---- moves of lanes -------------------------------------------------------------------------- */

/* Denormals stay what they are where arithmetic flushes them. */
static void halves_of_vectors(void **state) {
    (void)state;
    float a[8] = {0, 1, 2, 1e-40f, 4, 5, 6, 7}, b[8] = {8, 9, 10, 11, 12, 13, -0.0f, NAN}, out[8];
    static const float joined[8] = {0, 1, 2, 1e-40f, 12, 13, -0.0f, NAN};
    static const float swapped[8] = {4, 5, 6, 7, 0, 1, 2, 1e-40f};
    const LType v8 = ltype(DT_f32, 8), v2 = ltype(DT_f64, 2), one = ltype(DT_f32, 1);
    const void *const in[] = {a, b, b};
    run_body("x86-64-v3", "y = halves a, b", v8, v8, in, out);
    assert_memory_equal(out, joined, sizeof joined);
    run_body("x86-64-v3", "y = mov a\ny = halves y, b", v8, v8, in, out);
    assert_memory_equal(out, joined, sizeof joined);
    run_body("x86-64-v3", "y = swap a", v8, v8, in, out);
    assert_memory_equal(out, swapped, sizeof swapped);
    run_body("x86-64-v3", "y = mov a\ny = swap y", v8, v8, in, out);
    assert_memory_equal(out, swapped, sizeof swapped);
    double c[2] = {1, 2}, d[2] = {3, 4}, r[2];
    const void *const wide[] = {c, d, d};
    run_body("x86-64-v3", "y = halves a, b\ny = swap y", v2, v2, wide, r);
    assert_true(r[0] == 4 && r[1] == 1);
    run_body("x86-64-v3", "y = halves a, b", one, one, in, out);
    assert_true(out[0] == 8);
    run_body("x86-64-v3", "y = swap a", one, one, in, out);
    assert_true(out[0] == 0);
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
        cmocka_unit_test(halves_of_vectors),
        cmocka_unit_test(bitcasts_keep_the_bits),
        cmocka_unit_test(halves_convert),
        cmocka_unit_test(conversions_in_range),
        cmocka_unit_test(conversions_round_once),
        cmocka_unit_test(conversions_of_integers_wrap),
        cmocka_unit_test(conversions_out_of_range_do_no_harm),
        cmocka_unit_test(conversions_to_and_from_bool),
        cmocka_unit_test(splats_fill_all_lanes),
        cmocka_unit_test(constants_of_every_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
