/* member.c: networks of the family as commands ask for them. */
#include "driver/member.h"

#include <math.h>
#include <string.h>

const Member *find_member(const char *name, Diag *d) {
    enum { MAX_MEMBERS = 64 };
    const char *ids[MAX_MEMBERS];
    size_t n = member_count() < MAX_MEMBERS ? member_count() : MAX_MEMBERS;
    const Member *m = member_find(name);
    if (m)
        return m;
    for (size_t i = 0; i < n; i++)
        ids[i] = member_at(i)->id;
    diag_error(d, EXIT_USAGE, "effnetc", "there is no member \"%s\" of the family", name);
    note_nearest(d, name, ids, n, "`effnetc new --list` lists all");
    return NULL;
}

bool check_between(const char *option, double x, double low, double high, Diag *d) {
    if (x >= low && x <= high)
        return true;
    diag_error(d, EXIT_USAGE, "effnetc", "%s takes %g to %g, not %g", option, low, high, x);
    return false;
}

/* ---- what a network has and costs ------------------------------------------------------------ */

Graph *member_graph(const MemberSpec *s, NetWeights weights) {
    Arena a = {0};
    NetPlan plan;
    net_plan(&plan, s->family, &s->by, &a);
    Graph *g = network_build(&plan, s->name,
                             &(BuildOptions){.classes = s->classes,
                                             .batch = s->batch,
                                             .seed = (uint64_t)s->seed,
                                             .same_padding = s->same_padding,
                                             .weights = weights});
    arena_free(&a);
    return g;
}

MemberSize member_size(const MemberSpec *s) {
    Graph *g = member_graph(s, WEIGHTS_NONE);
    MemberSize size = {graph_parameters(g), graph_macs(g)};
    graph_free(g);
    return size;
}

bool member_fits(const MemberSpec *s) {
    Arena a = {0};
    NetPlan plan;
    net_plan(&plan, s->family, &s->by, &a);
    bool ok = net_plan_fits(&plan, s->classes, s->batch);
    arena_free(&a);
    return ok;
}

bool member_valid(const MemberSpec *s, Diag *d) {
    bool ok = true;
    if (!(s->by.width > 0 && s->by.width <= MEMBER_MAX_FACTOR && s->by.depth > 0 &&
          s->by.depth <= MEMBER_MAX_FACTOR)) {
        diag_error(d, EXIT_USAGE, "effnetc", "width %.4g and depth %.4g are out of range",
                   s->by.width, s->by.depth);
        diag_note(d, "wanted", "more than 0, and %d at most", MEMBER_MAX_FACTOR);
        ok = false;
    }
    if (s->by.resolution < MEMBER_MIN_SIDE || s->by.resolution > MEMBER_MAX_SIDE) {
        diag_error(d, EXIT_USAGE, "effnetc", "the resolution %lld is out of range",
                   (long long)s->by.resolution);
        diag_note(d, "wanted", "%d to %d", MEMBER_MIN_SIDE, MEMBER_MAX_SIDE);
        ok = false;
    }
    if (!ok || member_fits(s))
        return ok;
    diag_error(d, EXIT_USAGE, "effnetc", "the network would have tensors of more than 2^36 bytes");
    diag_note(d, "help", "ask for fewer images at a time, a lower resolution or fewer channels");
    return false;
}

/* ---- files ----------------------------------------------------------------------------------- */

bool member_write(const MemberSpec *s, NetWeights weights, const char *path,
                  const OnnxWriteOptions *o, Diag *d) {
    Outputs out = {0};
    Graph *g = member_graph(s, weights);
    bool ok = onnx_write(g, path, o, &out, d) && outputs_commit(&out, d);
    outputs_free(&out);
    graph_free(g);
    return ok;
}
