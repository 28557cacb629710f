/* fuse-dw: a convolution and the depthwise one behind it become conv2d_dwconv2d, which works by
 * bands of rows: what lies between them is never written out as a whole.
 *
 * Decides by predicted cycles: it saves the way of a large tensor to memory and back, and costs
 * moved rows and calls. The remarks give both figures for every such pair. Needs: layout,
 * fuse-pool. Leaves alone: a first convolution that something else reads, or that has a scale, a
 * residual or groups, and a second one whose outermost rows see nothing but padding. */
#include "passes/lower.h"
#include "passes/match.h"

enum { PARTS = 8 };        /* shares of the work that may be computed at the same time */
enum { BUFFER_OF_L2 = 4 }; /* a part's buffer takes one in so many bytes of the cache */

/* Why they can't be fused; NULL where they can. */
static const char *obstacle(const Node *conv, const Node *dw) {
    if (!conv || conv->op != OP_conv2d || conv_attrs(conv)->group != 1)
        return "no convolution without groups makes its input";
    if (!value_single_user(node_out(conv)))
        return "its input has other users";
    if (node_in(conv, node_slot(conv, "scale")) || has_epilogue(conv) || has_epilogue(dw))
        return "one of the two has a scale, a residual or steps";
    if (conv_attrs(dw)->pad.v[0] >= dw_reach(conv_attrs(dw), 0))
        return "its first rows see nothing but padding";
    return NULL;
}

/* The most output rows a band can have for a part's buffer to be no larger than its share. */
static int64_t most_rows(const ConvDw *c, const PassContext *cx) {
    int64_t row = conv_dw_plan(c, cx).row_elems * (int64_t)sizeof(float);
    int64_t rows = pass_l2_bytes(cx) / BUFFER_OF_L2 / row - dw_reach(&c->second, 0);
    return rows < 0 ? 1 : rows / c->second.stride.v[0] + 1;
}

const char *conv_dw_candidate(const Node *dw, const PassContext *cx, ConvDw *out) {
    const Node *conv = node_in(dw, 0)->def;
    const char *why = obstacle(conv, dw);
    if (why)
        return why;
    *out = (ConvDw){.first = *conv_attrs(conv),
                    .second = *conv_attrs(dw),
                    .x = node_in(conv, 0)->type,
                    .middle = node_out(conv)->type,
                    .y = node_out(dw)->type,
                    .band = 1,
                    .parts = PARTS};
    int64_t rows = most_rows(out, cx);
    out->band = rows < out->y.shape.dim[2] ? rows : out->y.shape.dim[2];
    out->parts = conv_dw_plan(out, cx).parts;
    return NULL;
}

static void set_attrs(ConvDwAttrs *to, const ConvDw *c) {
    *to = (ConvDwAttrs){.kernel = c->first.kernel,
                        .stride = c->first.stride,
                        .pad = c->first.pad,
                        .dilation = c->first.dilation,
                        .act = c->first.act,
                        .dw_kernel = c->second.kernel,
                        .dw_stride = c->second.stride,
                        .dw_pad = c->second.pad,
                        .dw_dilation = c->second.dilation,
                        .dw_act = c->second.act,
                        .band = c->band,
                        .parts = c->parts};
}

/* The results of `to` take the places of those of `from`, and their layouts. */
static void take_over(Node *from, Node *to) {
    static const char *const names[] = {"y", "mean"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        Value *old = node_result(from, names[i]), *v = node_result(to, names[i]);
        if (!old)
            continue;
        v->type.layout = old->type.layout;
        value_replace(old, v);
    }
}

Node *conv_dw_fuse(Graph *g, Node *dw, const ConvDw *c) {
    Node *conv = node_in(dw, 0)->def;
    Value *operands[] = {node_in(conv, 0), node_in(conv, 1), node_in(conv, 2), node_in(dw, 1),
                         node_in(dw, 2)};
    const Value *mean = node_result(dw, "mean");
    Node *n = new_node(g, OP_conv2d_dwconv2d, dw, operands, 5);
    set_attrs(conv_dw_attrs(n), c);
    n->origin = origin_join(g, conv->origin, dw->origin);
    if (mean)
        node_add_result(g, n, op_result_slot(n->op, "mean"), mean->name, (Type){0});
    node_infer_or_die(n);
    take_over(dw, n);
    node_erase(g, dw);
    node_erase(g, conv);
    return n;
}

static void decide(Graph *g, Node *dw, const PassContext *cx) {
    ConvDw c;
    const char *why = conv_dw_candidate(dw, cx, &c), *name = node_out(dw)->name;
    if (why) {
        diag_remark(cx->diag, cx->where, "%%%s: not fused: %s", name, why);
        return;
    }
    double apart = node_cycles(node_in(dw, 0)->def, cx) + node_cycles(dw, cx);
    double fused = conv_dw_cycles(&c, cx);
    diag_remark(
        cx->diag, cx->where,
        "%%%s: %s with the convolution before it; predicted kilocycles: apart %.0f, by %lld "
        "bands of %lld rows %.0f; %lld bytes between them",
        name, fused < apart ? "fused" : "not fused", apart / 1000,
        (long long)conv_dw_plan(&c, cx).bands.count, (long long)conv_dw_plan(&c, cx).bands.rows,
        fused / 1000, (long long)type_storage_bytes(&c.middle));
    if (fused < apart)
        conv_dw_fuse(g, dw, &c);
}

bool pass_fuse_dw(Graph *g, PassContext *cx) {
    FOR_EACH_NODE_SAFE(g, n) {
        if (n->op == OP_dwconv2d)
            decide(g, n, cx);
    }
    return true;
}
