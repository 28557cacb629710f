/* lower_par.c: the parts that a step's work is divided into, so that threads can share it. How many
 * there are depends on the work alone, never on the threads: so the results don't either. */
#include "passes/lower.h"

enum {
    PART_CYCLES = 12000, /* of one vector multiply-add each: what a part should have at least */
    MAX_PARTS = 32
};

/* About so many, with equal shares of the units if that can be, for an even number of threads
 * too. */
static int64_t even_parts(int64_t parts, int64_t units) {
    for (int64_t n = parts; n > parts / 2; n--)
        if (n % 2 == 0 && units % n == 0)
            return n;
    return parts % 2 && parts < units && parts > 1 ? parts - 1 : parts;
}

int64_t lower_parts(const PassContext *cx, double cycles, int64_t units) {
    double least = cx->options.part_cycles > 0 ? cx->options.part_cycles : PART_CYCLES;
    double wanted = cycles / least;
    int64_t most = units < MAX_PARTS ? units : MAX_PARTS;
    int64_t parts = wanted < (double)most ? (int64_t)wanted : most;
    return parts < 1 ? 1 : even_parts(parts, units);
}

static Reg *constant(Builder *b, const char *name, int64_t value) {
    return build_const_i(b, name, ltype(DT_i64, 1), value);
}

/* Where the share of part `part` starts: part * units / parts, so that shares differ by one at
 * most. */
static Reg *share_start(Builder *b, const char *name, Reg *part, const Parts *p) {
    if (p->units == p->parts)
        return part;
    if (p->each)
        return build_op(b, INST_mul, name, part, constant(b, "each", p->each), NULL);
    Reg *before = build_op(b, INST_mul, "before", part, constant(b, "units", p->units), NULL);
    return build_op(b, INST_div, name, before, constant(b, "parts", p->parts), NULL);
}

Parts lower_share(Lower *lo, Reg *part, int64_t units, int64_t parts) {
    Builder *b = &lo->step;
    Parts p = {.units = units, .parts = parts};
    if (parts == 1)
        return p;
    p.part = part;
    p.each = units % parts == 0 ? units / parts : 0;
    p.first = share_start(b, "first", part, &p);
    if (!p.each) {
        Reg *next = build_op(b, INST_add, "next", part, constant(b, "one", 1), NULL);
        p.end = share_start(b, "end", next, &p);
    }
    return p;
}

Reg *lower_rest(Lower *lo, Reg *i, int64_t by, Reg **quotient) {
    Builder *b = &lo->step;
    Reg *n = constant(b, "by", by);
    *quotient = build_op(b, INST_div, "quotient", i, n, NULL);
    Reg *before = build_op(b, INST_mul, "before", *quotient, n, NULL);
    return build_op(b, INST_sub, "rest", i, before, NULL);
}

Parts lower_parts_begin(Lower *lo, int64_t units, int64_t parts) {
    Builder *b = &lo->step;
    if (parts == 1)
        return (Parts){.units = units, .parts = parts};
    return lower_share(lo, build_par(b, "part", bound_const(0), bound_const(parts)), units, parts);
}

void lower_parts_end(Lower *lo, const Parts *p) {
    if (p->part)
        build_close(&lo->step);
}

Reg *parts_end(Lower *lo, const Parts *p) {
    Builder *b = &lo->step;
    if (!p->each)
        return p->end;
    return build_op(b, INST_add, "end", p->first, constant(b, "each", p->each), NULL);
}

static bool has_one_unit(const Parts *p) {
    return p->part && p->each == 1;
}

Reg *parts_each(Lower *lo, const Parts *p, const char *var) {
    if (has_one_unit(p))
        return p->first;
    Bound first = p->part ? bound_reg(p->first) : bound_const(0);
    Bound end = p->part ? bound_reg(parts_end(lo, p)) : bound_const(p->units);
    return build_for(&lo->step, var, first, end, 1);
}

void parts_each_end(Lower *lo, const Parts *p) {
    if (!has_one_unit(p))
        build_close(&lo->step);
}

Addr parts_addr(const Parts *p, Addr a, int64_t stride) {
    return p->part && stride ? addr_plus(a, p->first, stride) : a;
}

Addr parts_own(const Parts *p, Addr a, int64_t size) {
    return p->part && size ? addr_plus(a, p->part, size) : a;
}

Bound parts_count(Lower *lo, const Parts *p) {
    if (!p->part || p->each)
        return bound_const(p->part ? p->each : p->units);
    return bound_reg(build_op(&lo->step, INST_sub, "count", p->end, p->first, NULL));
}
