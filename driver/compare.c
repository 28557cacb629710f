/* compare.c: how far an output is from its reference. */
#include "driver/driver.h"

#include <math.h>

typedef enum Verdict { WITHIN, OUT_OF_BAND, NOT_FINITE } Verdict;

/* NaN must meet NaN, an infinity itself. */
static Verdict judge(double out, double ref, const Tolerance *t) {
    if (!isfinite(out) || !isfinite(ref))
        return out == ref || (isnan(out) && isnan(ref)) ? WITHIN : NOT_FINITE;
    if (t->each && fabs(out - ref) > t->atol + t->rtol * fabs(ref))
        return OUT_OF_BAND;
    return WITHIN;
}

/* The unit in the last place of x as a value of a type: 1 for integers. */
static double last_place(DType dt, double x) {
    static const struct {
        int digits, least; /* binary digits; frexp's exponent of the least normal number */
    } formats[DT_COUNT] = {
        [DT_f16] = {11, -13}, [DT_bf16] = {8, -125}, [DT_f32] = {24, -125}, [DT_f64] = {53, -1021}};
    int exponent = 0, least = formats[dt].least;
    if (!formats[dt].digits)
        return 1;
    frexp(x, &exponent);
    if (x == 0 || exponent < least)
        exponent = least;
    return ldexp(1, exponent - formats[dt].digits);
}

/* Of the angle between two vectors of these squares and this product; 1 of two zeros. */
static double cosine(double dot, double xx, double yy) {
    if (xx == 0 || yy == 0)
        return xx == yy;
    return dot / (sqrt(xx) * sqrt(yy));
}

Comparison tensor_compare(const Tensor *out, const Tensor *ref, const Tolerance *t) {
    Comparison c = {.worst = -1};
    double top = 0, dot = 0, xx = 0, yy = 0;
    ensure(shape_equal(&out->shape, &ref->shape));
    for (int64_t i = 0; i < shape_elems(&ref->shape); i++) {
        double x = tensor_f64(out, i), y = tensor_f64(ref, i);
        bool failed_before = c.not_finite + c.out_of_band > 0;
        Verdict v = judge(x, y, t);
        c.not_finite += v == NOT_FINITE;
        c.out_of_band += v == OUT_OF_BAND;
        if (v != WITHIN && !failed_before)
            c.worst = i;
        if (!isfinite(x) || !isfinite(y))
            continue;
        top = fmax(top, fabs(y));
        dot += x * y;
        xx += x * x;
        yy += y * y;
        if (v == WITHIN && !failed_before && (c.worst < 0 || fabs(x - y) > c.max_abs))
            c.worst = i;
        c.max_abs = fmax(c.max_abs, fabs(x - y));
        if (x != y)
            c.max_ulp = fmax(c.max_ulp, fabs(x - y) / last_place(out->dtype, y));
    }
    c.relative = c.max_abs == 0 ? 0 : c.max_abs / top;
    c.cosine = cosine(dot, xx, yy);
    c.worst_out = c.worst < 0 ? 0 : tensor_f64(out, c.worst);
    c.worst_ref = c.worst < 0 ? 0 : tensor_f64(ref, c.worst);
    c.pass = c.not_finite == 0 && c.out_of_band == 0 && c.relative <= t->relative;
    return c;
}

void note_comparison(Diag *d, const Comparison *c, const Tolerance *t) {
    if (c->not_finite)
        diag_note(d, "reason", "%lld elements are NaN or infinite on one side alone",
                  (long long)c->not_finite);
    if (c->out_of_band)
        diag_note(d, "reason", "%lld elements are outside of %g + %g * |ref|",
                  (long long)c->out_of_band, t->atol, t->rtol);
    if (c->relative > t->relative)
        diag_note(d, "reason", "max|out-ref| / max|ref| is %.3g, %.3g is allowed", c->relative,
                  t->relative);
    if (c->worst >= 0)
        diag_note(d, "where", "element %lld is %.9g, wanted %.9g", (long long)c->worst,
                  c->worst_out, c->worst_ref);
}
