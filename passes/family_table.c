/* family_table.c: the definitions of family.def, and what scaling makes of them: widths and repeats
 * rounded as the papers' code does. */
#include "passes/family.h"

#include <math.h>
#include <string.h>

/* ---- the table ------------------------------------------------------------------------------- */

/* clang-format off */
enum FamilyId {
#define FAMILY(id, ...) FAMILY_##id,
#define STAGE(...)
#define MEMBER(...)
#include "passes/family.def"
#undef FAMILY
};

static const Family families[] = {
#define FAMILY(id, name, act, ...) {name, ACT_##act, __VA_ARGS__},
#include "passes/family.def"
#undef STAGE
#undef FAMILY
};

#define FAMILY(...)
static const Stage stages[] = {
#define STAGE(family, kind, ...) {FAMILY_##family, BLOCK_##kind, __VA_ARGS__},
#include "passes/family.def"
#undef MEMBER
#undef STAGE
};

static const Member members[] = {
#define STAGE(...)
#define MEMBER(id, family, name, width, depth, resolution, dropout) \
    {id, &families[FAMILY_##family], name, {width, depth, resolution}, dropout},
#include "passes/family.def"
#undef MEMBER
#undef STAGE
#undef FAMILY
};
/* clang-format on */

enum { NSTAGES = sizeof stages / sizeof *stages, NMEMBERS = sizeof members / sizeof *members };

size_t member_count(void) {
    return NMEMBERS;
}

const Member *member_at(size_t i) {
    ensure(i < NMEMBERS);
    return &members[i];
}

/* "V2_B0" is "v2-b0". */
static bool same_id(const char *id, const char *name) {
    for (; *id && *name; id++, name++) {
        char c = *name == '_' ? '-' : *name;
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != *id)
            return false;
    }
    return !*id && !*name;
}

const Member *member_find(const char *name) {
    for (size_t i = 0; i < NMEMBERS; i++)
        if (same_id(members[i].id, name))
            return &members[i];
    return NULL;
}

const Stage *family_stage(const Family *f, size_t i) {
    for (size_t k = 0; k < NSTAGES; k++)
        if (&families[stages[k].family] == f && i-- == 0)
            return &stages[k];
    return NULL;
}

/* ---- scaling --------------------------------------------------------------------------------- */

int64_t scaled_channels(double limit, int64_t channels, double width) {
    enum { STEP = CHANNEL_STEP };
    double wanted = (double)channels * width;
    int64_t rounded = (int64_t)(wanted + STEP / 2) / STEP * STEP;
    if (rounded < STEP)
        rounded = STEP;
    return (double)rounded < limit * wanted ? rounded + STEP : rounded;
}

static int64_t scaled_repeats(const Family *f, const Stage *s, double depth) {
    bool first = s == stages || s[-1].family != s->family;
    bool last = s == stages + NSTAGES - 1 || s[1].family != s->family;
    if (f->fixed_ends && (first || last))
        return s->repeats;
    return (int64_t)ceil((double)s->repeats * depth - 1e-9);
}

static int64_t squeezed(const Family *f, BlockKind kind, int64_t in) {
    if (kind != BLOCK_MBCONV || f->se == 0)
        return 0;
    int64_t c = (int64_t)((double)in * f->se);
    return c > 1 ? c : 1;
}

static void plan_stage(NetPlan *p, const Stage *s, const Scaling *by, int64_t in, Arena *a) {
    const Family *f = p->family;
    int64_t out = scaled_channels(f->round_limit, s->channels, by->width);
    int64_t of = s->of ? scaled_channels(f->round_limit, s->of, by->width) : in;
    int64_t repeats = scaled_repeats(f, s, by->depth);
    for (int64_t k = 0; k < repeats; k++) {
        BlockPlan b = {.kind = s->kind,
                       .kernel = s->kernel,
                       .stride = k ? 1 : s->stride,
                       .in = k ? out : in,
                       .middle = s->expand * (k ? out : of),
                       .out = out,
                       .repeats = repeats};
        b.squeezed = squeezed(f, s->kind, b.in);
        b.residual = b.stride == 1 && b.in == b.out && !s->of;
        vec_push(a, &p->blocks, b);
    }
    p->stages++;
}

void net_plan(NetPlan *p, const Family *f, const Scaling *by, Arena *a) {
    double ends = f->fixed_ends ? 1 : by->width;
    *p = (NetPlan){.family = f,
                   .resolution = by->resolution,
                   .stem = scaled_channels(f->round_limit, f->stem, ends),
                   .head = scaled_channels(f->round_limit, f->head, ends)};
    int64_t in = p->stem;
    for (size_t i = 0; i < NSTAGES; i++) {
        if (&families[stages[i].family] != f)
            continue;
        plan_stage(p, &stages[i], by, in, a);
        in = p->blocks.data[p->blocks.len - 1].out;
    }
}

static bool fits(Shape s) {
    return shape_valid(&s, DT_f32);
}

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

bool net_plan_fits(const NetPlan *p, int64_t classes, int64_t batch) {
    int64_t side = ceil_div(p->resolution, 2);
    bool ok = fits(SHAPE(batch, 3, p->resolution, p->resolution)) &&
              fits(SHAPE(classes, p->head)) && fits(SHAPE(batch, classes));
    for (size_t i = 0; i < p->blocks.len; i++) {
        const BlockPlan *b = &p->blocks.data[i];
        int64_t inner = most(b->in, b->middle);
        ok &= fits(SHAPE(batch, most(inner, b->out), side, side)) &&
              fits(SHAPE(inner, b->in, b->kernel, b->kernel)) && fits(SHAPE(b->out, inner));
        side = ceil_div(side, b->stride);
    }
    return ok && fits(SHAPE(batch, p->head, side, side));
}

Scaling scaling_compound(const Scaling *base, const Compound *c) {
    enum { STEP = 4 };
    double side = (double)base->resolution * pow(c->gamma, c->phi);
    return (Scaling){.width = base->width * pow(c->beta, c->phi),
                     .depth = base->depth * pow(c->alpha, c->phi),
                     .resolution = (int64_t)(side / STEP + 0.5) * STEP};
}
