/* family_decoder.c: what stands behind the blocks of a member: a head that gives planes or boxes,
 * told apart by how it makes features larger and how it joins them. */
#include "passes/family.h"

#include "passes/match.h"

/* What there is outside of the member's blocks. */
typedef struct Evidence {
    int rates[MAX_RANK], nrates; /* different dilations */
    int repeated, shrunk;        /* nodes that repeat pixels; max pools before sums */
    int halved;                  /* max pools before convolutions */
    bool concatenated, added;    /* larger planes join features of the backbone */
    bool linked;                 /* added, behind convolutions of which the first one enlarges */
    bool merged;                 /* planes of several sizes are */
} Evidence;

enum { MAX_BETWEEN = 4 }; /* nodes between what makes planes larger and what joins them */

static bool in_block(const Network *net, const Node *n) {
    return n->mark >= 0 && net->blocks.data[n->mark].kind != BLOCK_OTHER;
}

/* Planes of y against those of x: > 0 larger, < 0 smaller; 0 where they aren't images. */
static int growth(const Node *n) {
    const Value *x = node_in(n, 0), *y = node_out(n);
    if (!x || x->type.shape.rank != 4 || y->type.shape.rank != 4)
        return 0;
    int64_t before = x->type.shape.dim[2], after = y->type.shape.dim[2];
    return (after > before) - (after < before);
}

static void note_rate(Evidence *e, int64_t rate) {
    for (int i = 0; i < e->nrates; i++)
        if (e->rates[i] == rate)
            return;
    if (rate > 1 && e->nrates < MAX_RANK)
        e->rates[e->nrates++] = (int)rate;
}

static bool is_conv(const Node *n) {
    return n && (n->op == OP_conv2d || n->op == OP_dwconv2d);
}

static bool is_elementwise(const Node *n) {
    return n->op == OP_batch_norm || op_info(n->op)->flags & OPF_ELEMENTWISE;
}

static bool enlarges(const Node *n) {
    return n->op != OP_pad && !is_elementwise(n) && growth(n) > 0;
}

/* What n computes from, element by element or by a convolution that leaves none out; else NULL. */
static const Value *of_same_planes(const Node *n) {
    if (is_conv(n))
        return conv_attrs(n)->stride.v[0] == 1 ? node_in(n, 0) : NULL;
    for (int i = 0; is_elementwise(n) && i < n->noperands; i++)
        if (node_in(n, i) && shape_equal(&node_in(n, i)->type.shape, &node_out(n)->type.shape))
            return node_in(n, i);
    return NULL;
}

/* What made planes larger that v has, where at most convolutions, activations and gates lie
 * between; else NULL. */
static const Node *enlarger(const Value *v, int *convs) {
    *convs = 0;
    for (int i = 0; i < MAX_BETWEEN && v && v->def; i++) {
        if (enlarges(v->def))
            return v->def;
        *convs += is_conv(v->def);
        v = of_same_planes(v->def);
    }
    return NULL;
}

/* Does n put zeros between pixels, for the convolution of a transposed one? */
static bool spreads(const Node *n) {
    const Value *rows = n->op == OP_resize ? node_in(n, node_slot(n, "rows")) : NULL;
    const Tensor *t = rows ? rows->constant : NULL;
    bool zeros = false;
    for (int64_t i = 0; t && t->data && i < shape_elems(&t->shape); i++)
        zeros |= tensor_i64(t, i) < 0;
    return zeros;
}

/* Do only sums and their weights read it? */
static bool feeds_no_conv(const Value *v) {
    for (const Use *u = v->uses; u; u = u->next)
        if (is_conv(u->user))
            return false;
    return true;
}

/* Notes a sum of planes that were made larger and others. */
static void note_sum(Evidence *e, const Node *n) {
    int larger = 0, convs = 0, before;
    bool by_conv = false;
    for (int i = 0; i < n->noperands; i++) {
        const Node *by = enlarger(node_in(n, i), &before);
        larger += by != NULL;
        convs += by ? before : 0;
        by_conv |= by && spreads(by);
    }
    if (larger != 1)
        return;
    e->added |= convs == 0;
    e->linked |= convs > 0 && by_conv;
}

/* Notes planes of several sizes that were made larger and are concatenated at once, or one of them
 * with others. */
static void note_concat(Evidence *e, const Node *n) {
    int64_t rows = -1;
    int larger = 0, sizes = 0, convs;
    for (int i = 0; i < n->noperands; i++) {
        const Node *by = enlarger(node_in(n, i), &convs);
        if (!by || convs > 0)
            continue;
        int64_t from = node_in(by, 0)->type.shape.dim[2];
        larger++;
        sizes += from != rows;
        rows = from;
    }
    e->concatenated |= larger == 1;
    e->merged |= larger > 2 && sizes > 2;
}

static void note_node(Evidence *e, const Node *n) {
    if (is_conv(n))
        note_rate(e, conv_attrs(n)->dilation.v[0]);
    if (n->op == OP_max_pool && pool_attrs(n)->stride.v[0] == 2) {
        bool to_sums = feeds_no_conv(node_out(n));
        e->shrunk += to_sums;
        e->halved += !to_sums;
    }
    e->repeated += n->op == OP_resize && enlarges(n) && !node_in(n, node_slot(n, "row_weights"));
    if (n->op == OP_concat)
        note_concat(e, n);
    if (n->op == OP_add)
        note_sum(e, n);
}

/* The first that fits: atrous pooling at several rates (Chen et al. 2017), features that go up and
 * down again (Tan et al. 2020, BiFPN), that are joined as channels (Ronneberger et al. 2015) or as
 * sums, with a pyramid of pools (Li et al. 2018) or as they are (Lin et al. 2017), as sums behind
 * convolutions (Chaurasia & Culurciello 2017), or all at once (Xie et al. 2021). */
const char *network_decoder(const Graph *g, const Network *net) {
    Evidence e = {0};
    FOR_EACH_NODE((Graph *)g, n) {
        if (!in_block(net, n))
            note_node(&e, n);
    }
    if (e.nrates >= 2)
        return "DeepLab";
    if (e.repeated >= 2 && e.shrunk >= 2)
        return "BiFPN";
    if (e.concatenated)
        return "U-Net";
    if (e.added)
        return e.halved >= 2 ? "PAN" : "FPN";
    return e.linked ? "LinkNet" : e.merged ? "SegFormer" : NULL;
}
