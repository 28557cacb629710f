/* graph_number.c: numbers in texts, such that what is printed reads back bit by bit. */
#include "ir/graph_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Decimal digits that always survive text -> number -> text (of normal numbers), and those that
 * number -> text -> number needs; the smallest normal number. */
static const struct {
    int survive, exact;
    double normal;
} digits[] = {
    [DT_f32] = {6, 9, 0x1p-126},
    [DT_f16] = {3, 5, 0x1p-14},
    [DT_bf16] = {2, 4, 0x1p-126},
    [DT_f64] = {15, 17, 0x1p-1022},
};

void print_f64(Buf *b, double x, DType dt) {
    if (isnan(x) || isinf(x)) {
        buf_puts(b, isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
        return;
    }
    char text[64];
    int first = fabs(x) < digits[dt].normal ? 1 : digits[dt].survive;
    for (int n = first; n <= digits[dt].exact; n++) {
        double back = 0;
        snprintf(text, sizeof text, "%.*g", n, x);
        if (parse_f64(text, &back) && dtype_round_f(dt, back) == x)
            break;
    }
    buf_puts(b, text);
}

/* ---- elements ------------------------------------------------------------------------------- */

/* The NaN that is printed as "nan"; others carry their bits: "nan:7fc00001". */
static uint64_t default_nan(DType dt) {
    return dtype_bits(dt, (double)NAN);
}

static void print_float_element(Buf *b, const Tensor *t, int64_t i) {
    double x = tensor_f64(t, i);
    if (isnan(x) && tensor_bits(t, i) != default_nan(t->dtype))
        buf_printf(b, "nan:%" PRIx64, tensor_bits(t, i));
    else
        print_f64(b, x, t->dtype);
}

void print_element(Buf *b, const Tensor *t, int64_t i) {
    if (dtype_is_float(t->dtype))
        print_float_element(b, t, i);
    else if (dtype_is_signed_int(t->dtype))
        buf_printf(b, "%" PRId64, (int64_t)tensor_bits(t, i));
    else
        buf_printf(b, "%" PRIu64, tensor_bits(t, i));
}

/* "nan:BITS": false where it is anything else or the bits are no NaN of t's type. */
static bool parse_nan_bits(const char *text, Tensor *t, int64_t i) {
    char *end;
    if (strncmp(text, "nan:", 4) != 0 || strlen(text) < 5)
        return false;
    uint64_t bits = strtoull(text + 4, &end, 16);
    tensor_set_bits(t, i, bits);
    return *end == '\0' && isnan(tensor_f64(t, i)) && tensor_bits(t, i) == bits;
}

static bool parse_float_element(const char *text, Tensor *t, int64_t i) {
    double x;
    if (parse_nan_bits(text, t, i))
        return true;
    if (!parse_f64(text, &x))
        return false;
    tensor_set_f64(t, i, x);
    if (isnan(x)) /* not the sign that "-nan" may have */
        tensor_set_bits(t, i, default_nan(t->dtype));
    return true;
}

/* Decimal digits, and in range for t's type. */
static bool parse_int_element(const char *text, Tensor *t, int64_t i) {
    const char *first = text + (*text == '-');
    if (*first < '0' || *first > '9')
        return false;
    char *end;
    errno = 0;
    uint64_t magnitude = strtoull(first, &end, 10);
    uint64_t value = *text == '-' ? 0 - magnitude : magnitude;
    bool sign_fits = *text == '-' ? (int64_t)value <= 0 && magnitude <= UINT64_C(1) << 63
                                  : !dtype_is_signed_int(t->dtype) || magnitude <= INT64_MAX;
    tensor_set_bits(t, i, value);
    bool is_bool = t->dtype == DT_bool;
    return errno == 0 && *end == '\0' && sign_fits && tensor_bits(t, i) == value &&
           !(is_bool && value > 1);
}

bool parse_element(Lexer *l, Tensor *t, int64_t i) {
    enum { LONGEST = 64 };
    Span s = lex_number(l);
    char text[LONGEST];
    size_t n = s.n < LONGEST ? s.n : LONGEST - 1;
    memcpy(text, s.s, n);
    text[n] = '\0';
    bool is_float = dtype_is_float(t->dtype);
    bool ok =
        n == s.n && (is_float ? parse_float_element(text, t, i) : parse_int_element(text, t, i));
    if (!ok) {
        const char *what = arena_printf(&l->d->arena, "a number of type %s", dtype_name(t->dtype));
        return lex_expected(l, what);
    }
    l->p += s.n;
    return true;
}
