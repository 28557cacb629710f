/* family.c: blocks of a graph, and the member of the family whose definition has just these. */
#include "passes/family.h"

#include "passes/match.h"

#include <string.h>

/* ---- blocks ---------------------------------------------------------------------------------- */

typedef struct Recogniser {
    Graph *g;
    Arena *a;
    Network *net;
} Recogniser;

static int64_t channels(const Value *v) {
    return v->type.shape.dim[1];
}

static bool has_act(const Node *n) {
    return conv_attrs(n)->act != ACT_none;
}

/* 1x1 of one group, with a gate or without. */
static bool is_one_tap(const Node *n) {
    if (!n || n->op != OP_conv2d)
        return false;
    const ConvAttrs *a = conv_attrs(n);
    return a->kernel.v[0] == 1 && a->kernel.v[1] == 1 && a->group == 1;
}

/* And of every pixel. */
static bool is_pointwise(const Node *n) {
    return is_one_tap(n) && conv_attrs(n)->stride.v[0] == 1;
}

static bool is_spatial(const Node *n) {
    return n && n->op == OP_conv2d && conv_attrs(n)->kernel.v[0] > 1 && conv_attrs(n)->group == 1;
}

static Node *se_of(const Value *v) {
    return v && v->def && v->def->op == OP_se ? v->def : NULL;
}

/* The se that gates what the projection reads, and that value without its gate. */
static Node *gate_of(const Node *project, Value **x) {
    Node *se = se_of(node_in(project, node_slot(project, "scale")));
    Node *mul = node_in(project, 0)->def;
    *x = node_in(project, 0);
    if (se || !mul || mul->op != OP_mul)
        return se;
    for (int side = 0; side < 2; side++) {
        if (!se_of(node_in(mul, side)))
            continue;
        *x = node_in(mul, 1 - side);
        return se_of(node_in(mul, side));
    }
    return NULL;
}

/* The sum of y and the block's input, where there is one. */
static Node *residual_of(const Value *y, const Value *x) {
    Node *add = value_single_user(y);
    if (!add || add->op != OP_add)
        return NULL;
    return node_in(add, 0) == x || node_in(add, 1) == x ? add : NULL;
}

static void own(Node *n, int block) {
    if (n && n->mark < 0)
        n->mark = block;
}

static NetBlock new_block(BlockKind kind, const Node *conv, const Value *x, const Value *y) {
    const ConvAttrs *a = conv_attrs(conv);
    return (NetBlock){.kind = kind,
                      .kernel = a->kernel.v[0],
                      .stride = a->stride.v[0],
                      .dilation = a->dilation.v[0],
                      .in = channels(x),
                      .middle = channels(node_out(conv)),
                      .out = channels(y),
                      .x = x,
                      .y = y,
                      .first = conv};
}

static void push(Recogniser *r, NetBlock b, Node *const *nodes, size_t n) {
    int id = (int)r->net->blocks.len;
    vec_push(r->a, &r->net->blocks, b);
    for (size_t i = 0; i < n; i++)
        own(nodes[i], id);
}

static void push_projected(Recogniser *r, BlockKind kind, Node *expand, Node *middle, Node *project,
                           Node *se) {
    const Value *x = node_in(expand ? expand : middle, 0), *y = node_out(project);
    Node *add = residual_of(y, x), *mul = node_in(project, 0)->def;
    NetBlock b = new_block(kind, middle, x, add ? node_out(add) : y);
    b.stride *= conv_attrs(project)->stride.v[0];
    b.squeezed = se ? node_in(se, 1)->type.shape.dim[0] : 0;
    b.residual = add != NULL;
    b.first = expand ? expand : middle;
    push(r, b, (Node *[]){expand, middle, se, mul, project, add}, 6);
}

/* A block that ends in the projection n. That of a FusedMBConv may be what strides: the first
 * EdgeTPU networks have it so. */
static bool match_projected(Recogniser *r, Node *n) {
    Value *v;
    if (!is_one_tap(n) || has_act(n))
        return false;
    Node *se = gate_of(n, &v), *middle = v->def;
    if (is_pointwise(n) && middle && middle->op == OP_dwconv2d) {
        Node *expand = node_in(middle, 0)->def;
        bool expands = is_pointwise(expand) && has_act(expand);
        push_projected(r, BLOCK_MBCONV, expands ? expand : NULL, middle, n, se);
        return true;
    }
    if (!is_spatial(middle) || !has_act(middle) || middle->mark >= 0 ||
        channels(node_out(middle)) == channels(node_in(middle, 0)))
        return false;
    push_projected(r, BLOCK_FUSED, NULL, middle, n, se);
    return true;
}

/* Does the convolution's result go into a projection of the same block? */
static bool is_expansion(const Node *n) {
    const Node *user = value_single_user(node_out(n));
    return is_one_tap(user) && !has_act(user) && channels(node_out(n)) != channels(node_in(n, 0));
}

static bool match_spatial(Recogniser *r, Node *n) {
    if (!is_spatial(n) || !has_act(n))
        return false;
    bool first = r->net->blocks.len == 0;
    if (!first && is_expansion(n))
        return false;
    const Value *x = node_in(n, 0);
    Node *add = first ? NULL : residual_of(node_out(n), x);
    NetBlock b =
        new_block(first ? BLOCK_STEM : BLOCK_FUSED, n, x, add ? node_out(add) : node_out(n));
    b.residual = add != NULL;
    if (!first)
        b.middle = b.in;
    push(r, b, (Node *[]){n, add}, 2);
    return true;
}

static bool match_head(Recogniser *r, Node *n) {
    Node *pool = value_single_user(node_out(n));
    if (!is_pointwise(n) || !has_act(n) || !pool || pool->op != OP_global_avg_pool)
        return false;
    push(r, new_block(BLOCK_HEAD, n, node_in(n, 0), node_out(pool)), (Node *[]){n, pool}, 2);
    return true;
}

static bool match_fc(Recogniser *r, Node *n) {
    const Shape *s = &node_in(n, 0)->type.shape;
    if (n->op != OP_dense || s->rank < 2)
        return false;
    push(r,
         (NetBlock){.kind = BLOCK_FC,
                    .in = s->dim[1],
                    .out = channels(node_out(n)),
                    .x = node_in(n, 0),
                    .y = node_out(n),
                    .first = n},
         (Node *[]){n}, 1);
    return true;
}

static void find_blocks(Recogniser *r) {
    FOR_EACH_NODE(r->g, n) {
        n->mark = -1;
    }
    FOR_EACH_NODE(r->g, n) {
        (void)(match_projected(r, n) || match_spatial(r, n) || match_head(r, n) || match_fc(r, n));
    }
}

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
static void add_costs(Recogniser *r) {
    NetBlock other = {.kind = BLOCK_OTHER};
    FOR_EACH_NODE(r->g, n) {
        NetBlock *b = n->mark >= 0 ? &r->net->blocks.data[n->mark] : &other;
        if (!b->first)
            b->first = n;
        b->nodes++;
        b->parameters += parameters(n);
        if (!checked_add(b->macs, node_macs(n), &b->macs))
            b->macs = INT64_MAX;
    }
    if (other.nodes > 0)
        vec_push(r->a, &r->net->blocks, other);
}

/* ---- the member ------------------------------------------------------------------------------ */

static bool is_body(const NetBlock *b) {
    return b->kind == BLOCK_MBCONV || b->kind == BLOCK_FUSED;
}

static size_t next_body(const Network *net, size_t at) {
    while (at < net->blocks.len && !is_body(&net->blocks.data[at]))
        at++;
    return at;
}

/* Backbones of segmentation keep their last planes large: they spread taps instead of striding, in
 * the block that would stride or from the next one on. */
static bool is_spread(const Network *net, size_t at) {
    const NetBlock *b = &net->blocks.data[at];
    size_t next = next_body(net, at + 1);
    return b->stride == 1 &&
           (b->dilation > 1 || (next < net->blocks.len && net->blocks.data[next].dilation > 1));
}

/* But for the number of channels. */
static bool is_alike(const Network *net, size_t at, const BlockPlan *p) {
    const NetBlock *b = &net->blocks.data[at];
    return b->kind == p->kind && b->kernel == p->kernel &&
           (b->stride == p->stride || is_spread(net, at)) && (b->squeezed > 0) == (p->squeezed > 0);
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

static void find_member(Network *net) {
    int narrower;
    for (size_t i = 0; i < member_count() && !net->member; i++) {
        size_t end = body_end(net, member_at(i), block_fits, &narrower);
        if (!end)
            continue;
        net->member = member_at(i);
        for (size_t k = end; k < net->blocks.len; k++)
            if (is_body(&net->blocks.data[k]))
                net->blocks.data[k].kind = BLOCK_OTHER;
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

/* ---- all of it ------------------------------------------------------------------------------- */

void network_recognise(Graph *g, Arena *a, Network *out) {
    Recogniser r = {g, a, out};
    *out = (Network){0};
    find_blocks(&r);
    if (out->blocks.len > 0 && out->blocks.data[0].kind == BLOCK_STEM) {
        out->height = out->blocks.data[0].x->type.shape.dim[2];
        out->width = out->blocks.data[0].x->type.shape.dim[3];
    }
    add_costs(&r);
    find_member(out);
    if (out->member)
        out->decoder = network_decoder(g, out);
    else
        find_pruned_member(out);
}

/* "6", "3.2" */
static const char *ratio(int64_t a, int64_t b, Arena *arena) {
    return arena_printf(arena, "%.3g", b ? (double)a / (double)b : 0);
}

const char *block_name(const NetBlock *b, Arena *a) {
    static const char *const names[] = {
        [BLOCK_STEM] = "stem", [BLOCK_MBCONV] = "MBConv", [BLOCK_FUSED] = "FusedMBConv",
        [BLOCK_HEAD] = "head", [BLOCK_FC] = "FC",         [BLOCK_OTHER] = "other",
    };
    const char *name = names[b->kind];
    if (b->kind == BLOCK_STEM)
        return arena_printf(a, "%s k%d s%d", name, (int)b->kernel, (int)b->stride);
    if (!is_body(b))
        return name;
    const char *se = b->squeezed ? arena_printf(a, " se %s", ratio(b->squeezed, b->in, a)) : "";
    return arena_printf(a, "%s%s k%d s%d%s", name, ratio(b->middle, b->in, a), (int)b->kernel,
                        (int)b->stride, se);
}
