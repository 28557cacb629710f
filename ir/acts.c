/* acts.c: activations, expanded from acts.def. */
#include "ir/types.h"

#include <math.h>
#include <string.h>

#define ACT(id, expr, keeps_zero, source)                                                          \
    static double eval_##id(double x) {                                                            \
        return expr;                                                                               \
    }
#include "ir/acts.def"
#undef ACT

static double eval_none(double x) {
    return x;
}

static const struct {
    const char *name;
    double (*eval)(double x);
    bool keeps_zero;
} acts[] = {
    {"none", eval_none, true},
#define ACT(id, expr, keeps_zero, source) {#id, eval_##id, keeps_zero},
#include "ir/acts.def"
#undef ACT
};

const char *act_name(Act a) {
    return acts[a].name;
}

bool act_parse(const char *s, size_t n, Act *out) {
    for (int a = 0; a < ACT_COUNT; a++) {
        if (strlen(acts[a].name) == n && memcmp(acts[a].name, s, n) == 0) {
            *out = (Act)a;
            return true;
        }
    }
    return false;
}

double act_eval(Act a, double x) {
    return acts[a].eval(x);
}

bool act_keeps_zero(Act a) {
    return acts[a].keeps_zero;
}
