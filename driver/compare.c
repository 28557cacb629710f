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

Comparison tensor_compare(const Tensor *out, const Tensor *ref, const Tolerance *t) {
    Comparison c = {.worst = -1};
    double top = 0;
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
        if (v == WITHIN && !failed_before && (c.worst < 0 || fabs(x - y) > c.max_abs))
            c.worst = i;
        c.max_abs = fmax(c.max_abs, fabs(x - y));
    }
    c.relative = c.max_abs == 0 ? 0 : c.max_abs / top;
    c.pass = c.not_finite == 0 && c.out_of_band == 0 && c.relative <= t->relative;
    return c;
}
