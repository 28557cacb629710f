/* family.c: the member of the family whose definition has the blocks of a graph. */
#include "passes/family.h"

/* ---- costs ----------------------------------------------------------------------------------- */

static int64_t parameters(const Node *n) {
    int64_t sum = 0;
    for (int i = 0; i < n->noperands; i++) {
        const Value *v = node_in(n, i);
        if (v && v->constant && dtype_is_float(v->type.dtype))
            sum += shape_elems(&v->type.shape);
    }
    return sum;
}

/* Nodes of no block are together one more, if there are any. */
static void add_costs(Graph *g, Network *net, Arena *a) {
    NetBlock other = {.kind = BLOCK_OTHER};
    FOR_EACH_NODE(g, n) {
        NetBlock *b = n->mark >= 0 ? &net->blocks.data[n->mark] : &other;
        if (!b->first)
            b->first = n;
        b->nodes++;
        b->parameters += parameters(n);
        if (!checked_add(b->macs, node_macs(n), &b->macs))
            b->macs = INT64_MAX;
    }
    if (other.nodes > 0)
        vec_push(a, &net->blocks, other);
}

/* ---- the member ------------------------------------------------------------------------------ */

bool block_is_body(const NetBlock *b) {
    return b->kind == BLOCK_MBCONV || b->kind == BLOCK_FUSED;
}

bool network_has_blocks(const Network *net) {
    enum { LEAST = 3 };
    size_t count = 0;
    for (size_t at = next_body(net, 0); at < net->blocks.len; at = next_body(net, at + 1))
        count++;
    return net->name || count >= LEAST;
}

size_t next_body(const Network *net, size_t at) {
    while (at < net->blocks.len && !block_is_body(&net->blocks.data[at]))
        at++;
    return at;
}

bool block_is_spread(const Network *net, size_t at) {
    const NetBlock *b = &net->blocks.data[at];
    size_t next = next_body(net, at + 1);
    return b->stride == 1 &&
           (b->dilation > 1 || (next < net->blocks.len && net->blocks.data[next].dilation > 1));
}

/* But for the number of channels. */
static bool is_alike(const Network *net, size_t at, const BlockPlan *p) {
    const NetBlock *b = &net->blocks.data[at];
    return b->kind == p->kind && b->kernels == kernel_bit(p->kernel) &&
           (b->stride == p->stride || block_is_spread(net, at)) &&
           (b->squeezed > 0) == (p->squeezed > 0);
}

/* Whether block `at` is the one of the plan. */
typedef bool Fits(const Network *net, size_t at, const BlockPlan *p);

static bool block_fits(const Network *net, size_t at, const BlockPlan *p) {
    const NetBlock *b = &net->blocks.data[at];
    return is_alike(net, at, p) && b->out == p->out && b->middle == p->middle;
}

/* Channels were taken out of it, if anything. */
static bool block_fits_pruned(const Network *net, size_t at, const BlockPlan *p) {
    const NetBlock *b = &net->blocks.data[at];
    return is_alike(net, at, p) && b->out <= p->out && b->middle <= p->middle;
}

/* How many blocks there are before the end of the member's body, block by block; 0: it is another
 * network. *narrower: how many of them fit, but not exactly. */
static size_t body_end(const Network *net, const Member *m, Fits *fits, int *narrower) {
    Arena a = {0};
    NetPlan plan;
    size_t at = next_body(net, 0), k = 0;
    *narrower = 0;
    net_plan(&plan, m->family, &m->scaling, &a);
    while (k < plan.blocks.len && at < net->blocks.len && fits(net, at, &plan.blocks.data[k])) {
        *narrower += !block_fits(net, at, &plan.blocks.data[k]);
        at++;
        k++;
    }
    bool whole = k == plan.blocks.len;
    arena_free(&a);
    return whole ? at : 0;
}

/* What is behind the body of a network that is known is no block of it. */
static void end_body(Network *net, size_t end) {
    for (size_t k = end; k < net->blocks.len; k++)
        if (block_is_body(&net->blocks.data[k]))
            net->blocks.data[k].kind = BLOCK_OTHER;
}

static void find_member(Network *net) {
    int narrower;
    for (size_t i = 0; i < member_count() && !net->member; i++) {
        size_t end = body_end(net, member_at(i), block_fits, &narrower);
        if (!end)
            continue;
        net->member = member_at(i);
        end_body(net, end);
    }
}

/* Of the members that it may have been pruned from, the one that most of its blocks are still as
 * wide as; with nothing behind its body but a classifier, so that there is enough to go by. */
static void find_pruned_member(Network *net) {
    for (size_t i = 0; i < member_count(); i++) {
        int narrower;
        size_t end = body_end(net, member_at(i), block_fits_pruned, &narrower);
        if (!end || next_body(net, end) < net->blocks.len ||
            (net->member && narrower >= net->narrower))
            continue;
        net->member = member_at(i);
        net->narrower = narrower;
    }
}

/* How many of the member's first stages the network has, and no block beside; 0: it hasn't. *all:
 * how many the member has. */
static int first_stages(const Network *net, const Member *m, int *all) {
    Arena a = {0};
    NetPlan plan;
    size_t at = next_body(net, 0), k = 0, begin = 0;
    int stages = 0;
    net_plan(&plan, m->family, &m->scaling, &a);
    *all = plan.stages;
    while (k < plan.blocks.len && at < net->blocks.len &&
           block_fits(net, at, &plan.blocks.data[k])) {
        at++;
        if (++k == begin + (size_t)plan.blocks.data[begin].repeats) {
            begin = k;
            stages++;
        }
    }
    arena_free(&a);
    return k == begin && next_body(net, at) == net->blocks.len ? stages : 0;
}

/* Backbones of segmentation and detection are often cut where their planes are large enough: the
 * one member that they may have been. */
static void find_cut_member(Network *net) {
    enum { LEAST = 3 };
    for (size_t i = 0; i < member_count(); i++) {
        int all, stages = first_stages(net, member_at(i), &all);
        if (stages < LEAST || stages == all)
            continue;
        if (net->member) {
            net->member = NULL;
            net->stages = net->cut = 0;
            return;
        }
        net->member = member_at(i);
        net->stages = all;
        net->cut = stages;
    }
}

/* ---- names ----------------------------------------------------------------------------------- */

/* How many of the blocks have what `has` says. */
typedef bool Has(const NetBlock *b);

static bool is_blurred(const NetBlock *b) {
    return b->blurred;
}

static bool is_normed(const NetBlock *b) {
    return b->normed;
}

static bool is_by_context(const NetBlock *b) {
    return b->by_context;
}

static bool is_mixed_of_experts(const NetBlock *b) {
    return b->experts > 0;
}

static bool is_grouped(const NetBlock *b) {
    return b->group_size > 1;
}

static const NetBlock *first_that(const Network *net, Has *has) {
    for (size_t i = 0; i < net->blocks.len; i++)
        if (block_is_body(&net->blocks.data[i]) && has(&net->blocks.data[i]))
            return &net->blocks.data[i];
    return NULL;
}

static void add_word(Buf *b, const char *word) {
    buf_printf(b, "%s%s", b->len ? ", " : "", word);
}

/* What the network hasn't of its definition, and its blocks have beside; NULL: nothing. */
static const char *variant_of(const Network *net, Arena *a) {
    Buf b = {0};
    if (net->cut)
        add_word(&b, arena_printf(a, "the first %d of %d stages", net->cut, net->stages));
    const NetBlock *grouped = first_that(net, is_grouped),
                   *mixed = first_that(net, is_mixed_of_experts);
    if (first_that(net, is_blurred))
        add_word(&b, "blur-pooled");
    if (first_that(net, is_normed))
        add_word(&b, "group norms");
    if (first_that(net, is_by_context))
        add_word(&b, "global context");
    if (grouped)
        add_word(&b, arena_printf(a, "groups of %d channels", (int)grouped->group_size));
    if (mixed)
        add_word(&b, arena_printf(a, "CondConv of %d experts", (int)mixed->experts));
    const char *text = b.len ? arena_strndup(a, buf_str(&b), b.len) : NULL;
    buf_free(&b);
    return text;
}

/* Members come first, then networks of other definitions, and last what was cut or pruned from a
 * member: that takes less to go by. */
static void name_network(Network *net, Arena *a) {
    NetworkFit fit;
    find_member(net);
    if (!net->member && network_fit(net, a, &fit)) {
        end_body(net, fit.end);
        net->name = fit.name;
        net->relative = !fit.family;
        net->width_factor = fit.width;
        net->depth_factor = fit.depth;
        return;
    }
    if (!net->member)
        find_cut_member(net);
    if (!net->member)
        find_pruned_member(net);
    if (!net->member)
        return;
    net->name = net->member->name;
    net->width_factor = net->member->scaling.width;
    net->depth_factor = net->member->scaling.depth;
}

/* ---- all of it ------------------------------------------------------------------------------- */

void network_recognise(Graph *g, Arena *a, Network *out) {
    *out = (Network){0};
    network_find_blocks(g, a, out);
    if (out->blocks.len > 0 && out->blocks.data[0].kind == BLOCK_STEM) {
        out->height = out->blocks.data[0].x->type.shape.dim[2];
        out->width = out->blocks.data[0].x->type.shape.dim[3];
    }
    add_costs(g, out, a);
    name_network(out, a);
    out->variant = variant_of(out, a);
    if (out->name && !out->narrower)
        network_name_decoder(g, out);
}

/* "6", "3.2" */
static const char *ratio(int64_t a, int64_t b, Arena *arena) {
    return arena_printf(arena, "%.3g", b ? (double)a / (double)b : 0);
}

/* "3", or "3,5,7" */
static const char *kernel_names(unsigned kernels, Arena *a) {
    const char *text = "";
    for (int k = 0; kernels >> k; k++)
        if (kernels >> k & 1)
            text = arena_printf(a, "%s%s%d", text, *text ? "," : "", k);
    return text;
}

/* What a body's block has beside its convolutions. */
static const char *block_details(const NetBlock *b, Arena *a) {
    const char *text = "";
    if (b->group_size > 1)
        text = arena_printf(a, " g%d", (int)b->group_size);
    if (b->squeezed)
        text = arena_printf(a, "%s %s %s", text, b->by_context ? "gc" : "se",
                            ratio(b->squeezed, b->in, a));
    if (b->experts)
        text = arena_printf(a, "%s cc%d", text, (int)b->experts);
    return b->blurred ? arena_printf(a, "%s blur", text) : text;
}

const char *block_name(const NetBlock *b, Arena *a) {
    static const char *const names[] = {
        [BLOCK_STEM] = "stem", [BLOCK_MBCONV] = "MBConv", [BLOCK_FUSED] = "FusedMBConv",
        [BLOCK_HEAD] = "head", [BLOCK_FC] = "FC",         [BLOCK_OTHER] = "other",
    };
    const char *name = names[b->kind];
    bool body = block_is_body(b);
    if (b->kind != BLOCK_STEM && !body)
        return name;
    return arena_printf(a, "%s%s k%s s%d%s", name, body ? ratio(b->middle, b->in, a) : "",
                        kernel_names(b->kernels, a), (int)b->stride,
                        body ? block_details(b, a) : "");
}
