/* lower_steps.c: the end of a convolution whose results become integers: its `steps`. Behind the
 * bias, packed weights have a row of numbers for each step, but for factors and divisors that are
 * all 1. */
#include "passes/lower.h"

#include <math.h>

static bool all_ones(const float *row, int64_t channels) {
    for (int64_t c = 0; c < channels; c++)
        if (row[c] != 1)
            return false;
    return true;
}

Steps steps_of(const Node *n) {
    const Value *v = node_in(n, node_slot(n, "steps"));
    if (!v || !v->constant || !v->constant->data)
        return (Steps){0};
    const float *rows = v->constant->data;
    int64_t channels = v->type.shape.dim[1];
    Steps s = {.rows = rows, .channels = channels};
    for (int i = 0; i < STEP_COUNT; i++)
        s.has[i] = i == STEP_MIN || i == STEP_MAX || !all_ones(rows + i * channels, channels);
    return s;
}

bool steps_check(Lower *lo, const Node *n) {
    const double limit = 1 << 22; /* within it the way to round is exact */
    const Value *v = node_in(n, node_slot(n, "steps"));
    if (!v)
        return true;
    const float *rows = lower_constant(lo, n, v);
    int64_t channels = v->type.shape.dim[1];
    for (int64_t i = STEP_MIN * channels; rows && i < (STEP_MAX + 1) * channels; i++)
        if (!(fabs(rows[i]) <= limit))
            return lower_unsupported(lo, n, "min and max of its steps must be within 2^22");
    return rows != NULL;
}

int64_t steps_rows(const Steps *s) {
    int64_t rows = 0;
    for (int i = 0; s && s->rows && i < STEP_COUNT; i++)
        rows += s->has[i];
    return rows;
}

float *steps_pack(const Steps *s, int64_t first, int64_t width, float *out) {
    static const float spare[STEP_COUNT] = {[STEP_BY] = 1, [STEP_DIVIDE] = 1, [STEP_TIMES] = 1};
    for (int i = 0; s && s->rows && i < STEP_COUNT; i++)
        for (int64_t c = first; s->has[i] && c < first + width; c++)
            *out++ = c < s->channels ? s->rows[i * s->channels + c] : spare[i];
    return out;
}

StepRegs steps_load(Builder *b, const Steps *s, Addr rows, int64_t width, int lanes) {
    static const char *const names[STEP_COUNT] = {"by", "divide", "min", "max", "times"};
    StepRegs r = {.magic = NULL};
    int64_t row = 0;
    for (int i = 0; i < STEP_COUNT; i++)
        if (s->has[i])
            r.row[i] = build_load(b, names[i], lanes, addr_offset(rows, row++ * width));
    r.magic = rounding_magic(b, r.row[STEP_MIN]->type);
    return r;
}

void steps_apply(Builder *b, const StepRegs *r, Reg *x) {
    if (r->row[STEP_BY])
        build_op_to(b, INST_mul, x, x, r->row[STEP_BY], NULL);
    if (r->row[STEP_DIVIDE])
        build_op_to(b, INST_div, x, x, r->row[STEP_DIVIDE], NULL);
    build_op_to(b, INST_max, x, x, r->row[STEP_MIN], NULL);
    build_op_to(b, INST_min, x, x, r->row[STEP_MAX], NULL);
    build_op_to(b, INST_add, x, x, r->magic, NULL);
    build_op_to(b, INST_sub, x, x, r->magic, NULL);
    if (r->row[STEP_TIMES])
        build_op_to(b, INST_mul, x, x, r->row[STEP_TIMES], NULL);
}
