/* family_relatives.c: networks that have the stages of a definition, scaled by any width and depth:
 * the family's, and those of relatives.def. Both factors are read from what is there. */
#include "passes/family.h"

#include <math.h>

/* ---- definitions ----------------------------------------------------------------------------- */

typedef enum Rounds {
    ROUNDS_FIXED, /* depths aren't scaled */
    ROUNDS_UP,
    ROUNDS_NEAREST /* but at least 1 */
} Rounds;

enum { ANY = -1, ONE_CONVOLUTION = 0 };

/* Equal blocks. */
typedef struct Run {
    BlockKind kind;
    unsigned kernels;
    int64_t stride;
    double expand; /* ANY factor; ONE_CONVOLUTION */
    int64_t times, channels;
    bool gated;
    int64_t repeats; /* ANY: from 1 on */
} Run;

typedef struct Definition {
    const char *name;
    bool family;
    Rounds rounds;
    double round_limit;
    int64_t stem; /* 0: any */
    const Run *runs;
    size_t nruns;
} Definition;

typedef struct Size {
    int network;
    const char *name;
    double width, depth;
} Size;

/* clang-format off */
#define K(kernel) (1u << (kernel))

enum NetworkId {
#define NETWORK(id, ...) NETWORK_##id,
#define RUN(...)
#define SIZE(...)
#include "passes/relatives.def"
#undef NETWORK
#undef RUN
};

#define NETWORK(...)
#define RUN(network, kind, ...) {BLOCK_##kind, __VA_ARGS__},
static const Run runs[] = {
#include "passes/relatives.def"
};
#undef RUN

#define RUN(network, ...) NETWORK_##network,
static const int network_of[] = {
#include "passes/relatives.def"
};
#undef RUN
#undef SIZE

#define RUN(...)
#define SIZE(network, ...) {NETWORK_##network, __VA_ARGS__},
static const Size sizes[] = {
#include "passes/relatives.def"
};
#undef SIZE
#undef NETWORK

#define NETWORK(id, name, family, rounds, ...) {name, family, ROUNDS_##rounds, __VA_ARGS__, NULL, 0},
#define SIZE(...)
static const Definition networks[] = {
#include "passes/relatives.def"
};
#undef NETWORK
#undef RUN
#undef SIZE
/* clang-format on */

enum {
    NRUNS = sizeof runs / sizeof *runs,
    NSIZES = sizeof sizes / sizeof *sizes,
    NNETWORKS = sizeof networks / sizeof *networks,
    MAX_RUNS = 24
};

static Definition definition_at(int network) {
    Definition d = networks[network];
    for (size_t i = 0; i < NRUNS; i++) {
        if (network_of[i] != network)
            continue;
        if (!d.nruns)
            d.runs = &runs[i];
        d.nruns++;
    }
    ensure(d.nruns <= MAX_RUNS);
    return d;
}

static double stage_expansion(const Stage *s) {
    if (s->of)
        return ANY;
    return s->kind == BLOCK_FUSED && s->expand == 1 ? ONE_CONVOLUTION : (double)s->expand;
}

/* A family's stages; `name` is that of its smallest member. */
static Definition definition_of_family(const Family *f, const char *name, Run *out) {
    Definition d = {name, true, ROUNDS_UP, f->round_limit, 0, out, 0};
    for (const Stage *s; (s = family_stage(f, d.nruns)); d.nruns++) {
        ensure(d.nruns < MAX_RUNS);
        out[d.nruns] = (Run){.kind = s->kind,
                             .kernels = kernel_bit(s->kernel),
                             .stride = s->stride,
                             .expand = stage_expansion(s),
                             .times = 1,
                             .channels = s->channels,
                             .gated = s->kind == BLOCK_MBCONV && f->se > 0,
                             .repeats = s->repeats};
    }
    if (f->fixed_ends)
        out[0].repeats = out[d.nruns - 1].repeats = ANY;
    return d;
}

/* ---- what is there --------------------------------------------------------------------------- */

/* How many blocks of each run a network has, and how many channels they give. */
typedef struct Counted {
    int64_t blocks[MAX_RUNS], out[MAX_RUNS];
    size_t end; /* of them all */
} Counted;

static bool fits_run(const Network *net, size_t at, const Run *r, bool first) {
    const NetBlock *b = &net->blocks.data[at];
    bool one = r->kind == BLOCK_FUSED && r->expand == ONE_CONVOLUTION;
    bool strides = b->stride == (first ? r->stride : 1) || (first && block_is_spread(net, at));
    bool alike = b->kind == r->kind && b->kernels == r->kernels && strides &&
                 (b->squeezed > 0) == r->gated && b->single == one;
    return alike && (one || r->expand == ANY ||
                     fabs((double)b->middle - r->expand * (double)b->in) < CHANNEL_STEP);
}

/* The blocks of a run from *at on, which moves behind them. */
static int64_t count_run(const Network *net, const Run *r, int64_t most, size_t *at, int64_t *out) {
    int64_t n = 0;
    for (; *at < net->blocks.len && n < most && fits_run(net, *at, r, n == 0); n++) {
        const NetBlock *b = &net->blocks.data[*at];
        if (n > 0 && b->out != *out)
            break;
        *out = b->out;
        *at = next_body(net, *at + 1);
    }
    return n;
}

static bool count_runs(const Network *net, const Definition *d, Counted *c) {
    bool ok = net->blocks.len > 0 && (!d->stem || net->blocks.data[0].out == d->stem);
    c->end = next_body(net, 0);
    for (size_t i = 0; i < d->nruns && ok; i++) {
        const Run *r = &d->runs[i];
        bool fixed = d->rounds == ROUNDS_FIXED && r->repeats != ANY;
        c->blocks[i] = count_run(net, r, fixed ? r->repeats : INT64_MAX, &c->end, &c->out[i]);
        ok = fixed ? c->blocks[i] == r->repeats : c->blocks[i] > 0;
    }
    return ok;
}

/* ---- factors --------------------------------------------------------------------------------- */

typedef bool Fits(const Definition *d, const Counted *c, double factor);

static bool fits_width(const Definition *d, const Counted *c, double width) {
    for (size_t i = 0; i < d->nruns; i++) {
        const Run *r = &d->runs[i];
        if (c->out[i] != r->times * scaled_channels(d->round_limit, r->channels, width))
            return false;
    }
    return true;
}

static bool fits_depth(const Definition *d, const Counted *c, double depth) {
    for (size_t i = 0; i < d->nruns; i++) {
        double repeats = (double)d->runs[i].repeats * depth, blocks = (double)c->blocks[i];
        if (d->runs[i].repeats == ANY || d->rounds == ROUNDS_FIXED)
            continue;
        if (blocks != (d->rounds == ROUNDS_UP ? ceil(repeats - 1e-9) : fmax(rint(repeats), 1)))
            return false;
    }
    return true;
}

/* The factor with the fewest digits; 0: none fits. */
static double find_factor(const Definition *d, const Counted *c, Fits *fits) {
    static const double steps[] = {1, 0.5, 0.1, 0.05, 0.01};
    enum { NSTEPS = sizeof steps / sizeof *steps, MOST = 8 };
    for (int i = 0; i < NSTEPS; i++)
        for (int k = 1; k * steps[i] <= MOST; k++)
            if (fits(d, c, k * steps[i]))
                return k * steps[i];
    return 0;
}

/* Blocks to those of the definition, with one digit. */
static double mean_depth(const Definition *d, const Counted *c) {
    int64_t are = 0, were = 0;
    for (size_t i = 0; i < d->nruns; i++) {
        are += c->blocks[i];
        were += d->runs[i].repeats == ANY ? c->blocks[i] : d->runs[i].repeats;
    }
    return rint(10 * (double)are / (double)were) / 10;
}

/* ---- fits ------------------------------------------------------------------------------------ */

static NetworkFit fit(const Definition *d, const Counted *c, const char *name, double width,
                      double depth) {
    return (NetworkFit){name, d->family, width, depth, c->end};
}

static bool find_size(const Network *net, NetworkFit *out) {
    for (int k = 0; k < NNETWORKS; k++) {
        Definition d = definition_at(k);
        Counted c;
        if (!count_runs(net, &d, &c))
            continue;
        *out = fit(&d, &c, d.name, 1, 1);
        if (fits_width(&d, &c, 1) && fits_depth(&d, &c, 1) && !d.stem)
            return true;
        for (int i = 0; i < NSIZES; i++) {
            const Size *s = &sizes[i];
            *out = fit(&d, &c, s->name, s->width, s->depth);
            if (s->network == k && fits_width(&d, &c, s->width) &&
                (fits_depth(&d, &c, s->depth) || mean_depth(&d, &c) == s->depth))
                return true;
        }
    }
    return false;
}

static bool find_scaled(const Network *net, const Definition *d, NetworkFit *out) {
    Counted c;
    if (!count_runs(net, d, &c))
        return false;
    *out = fit(d, &c, d->name, find_factor(d, &c, fits_width), find_factor(d, &c, fits_depth));
    return out->width > 0 && out->depth > 0;
}

static bool find_scaled_family(const Network *net, Arena *a, NetworkFit *out) {
    Run of_family[MAX_RUNS];
    for (size_t i = 0; i < member_count(); i++) {
        const Member *m = member_at(i);
        if (i > 0 && member_at(i - 1)->family == m->family)
            continue;
        Definition d = definition_of_family(m->family, m->name, of_family);
        if (!find_scaled(net, &d, out))
            continue;
        out->name = arena_printf(a, "%s scaled", m->name);
        return true;
    }
    return false;
}

bool network_fit(const Network *net, Arena *a, NetworkFit *out) {
    bool found = find_size(net, out) || find_scaled_family(net, a, out);
    for (int k = 0; k < NNETWORKS && !found; k++) {
        Definition d = definition_at(k);
        found = find_scaled(net, &d, out);
    }
    return found;
}
