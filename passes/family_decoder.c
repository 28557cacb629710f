/* family_decoder.c: what stands behind the blocks of a member: a head that gives planes or boxes,
 * told apart by how it makes features larger and how it joins them. */
#include "passes/family.h"

#include "passes/match.h"

#include <string.h>

/* Different numbers. */
typedef struct Numbers {
    int64_t x[MAX_RANK];
    int n;
} Numbers;

/* What there is outside of the member's blocks. */
typedef struct Evidence {
    Numbers rates;            /* dilations */
    int repeated, shrunk;     /* nodes that repeat pixels; max pools before sums */
    int halved;               /* max pools before convolutions */
    Numbers grids, joined;    /* rows of means over windows, and of what is concatenated */
    int64_t channels;         /* of planes that pixels are repeated in */
    bool nested;              /* planes of one size are, several times */
    bool attends;             /* pixels are weighted by a softmax */
    bool concatenated, added; /* larger planes join features of the backbone */
    bool linked;              /* added, behind convolutions of which the first one enlarges */
    bool merged;              /* planes of several sizes are */
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

/* False where it is there already. */
static bool note(Numbers *list, int64_t x) {
    for (int i = 0; i < list->n; i++)
        if (list->x[i] == x)
            return false;
    if (list->n < MAX_RANK)
        list->x[list->n++] = x;
    return true;
}

static bool is_conv(const Node *n) {
    return n && (n->op == OP_conv2d || n->op == OP_dwconv2d);
}

static bool is_elementwise(const Node *n) {
    return n->op == OP_batch_norm || op_info(n->op)->flags & OPF_ELEMENTWISE;
}

static bool enlarges(const Node *n) {
    return n->op != OP_pad && n->op != OP_concat && !is_elementwise(n) && growth(n) > 0;
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
        if (from == 1)
            continue; /* a mean of the plane */
        larger++;
        sizes += from != rows;
        rows = from;
    }
    if (larger == 1) {
        e->nested |= !note(&e->joined, node_out(n)->type.shape.dim[2]);
        e->concatenated = true;
    }
    e->merged |= larger > 2 && sizes > 2;
}

/* A softmax by which a product weighs what it sums up. */
static bool is_attention(const Node *n) {
    const Node *user = n->op == OP_softmax ? value_single_user(node_out(n)) : NULL;
    return user && (user->op == OP_matmul || user->op == OP_reshape || user->op == OP_transpose);
}

static void note_node(Evidence *e, const Node *n) {
    if (is_conv(n) && conv_attrs(n)->dilation.v[0] > 1)
        note(&e->rates, conv_attrs(n)->dilation.v[0]);
    if (n->op == OP_avg_pool && node_out(n)->type.shape.dim[2] > 1)
        note(&e->grids, node_out(n)->type.shape.dim[2]);
    e->attends |= is_attention(n);
    if (n->op == OP_max_pool && pool_attrs(n)->stride.v[0] == 2) {
        bool to_sums = feeds_no_conv(node_out(n));
        e->shrunk += to_sums;
        e->halved += !to_sums;
    }
    if (n->op == OP_resize && enlarges(n) && !node_in(n, node_slot(n, "row_weights"))) {
        e->repeated++;
        e->channels = node_out(n)->type.shape.dim[1];
    }
    if (n->op == OP_concat)
        note_concat(e, n);
    if (n->op == OP_add)
        note_sum(e, n);
}

/* The first that fits: atrous pooling at several rates (Chen et al. 2017), with finer features
 * joined behind it (Chen et al. 2018) or without; features that go up and down again (Tan et al.
 * 2020, BiFPN); means of the last plane over several grids (Zhao et al. 2017), which are all there
 * is or the top of a pyramid (Xiao et al. 2018); that are joined as channels once for each size
 * (Ronneberger et al. 2015), oftener (Zhou et al. 2018), or behind attention (Fan et al. 2020); or
 * as sums, with a pyramid of pools (Li et al. 2018) or as they are (Lin et al. 2017), as sums
 * behind convolutions (Chaurasia & Culurciello 2017), or all at once (Xie et al. 2021). */
static const char *decoder_of(const Evidence *e) {
    if (e->rates.n >= 2)
        return e->concatenated ? "DeepLabV3+" : "DeepLabV3";
    if (e->repeated >= 2 && e->shrunk >= 2)
        return "BiFPN";
    if (e->grids.n >= 2)
        return e->added ? "UPerNet" : "PSPNet";
    if (e->concatenated)
        return e->nested ? "U-Net++" : e->attends ? "MA-Net" : "U-Net";
    if (e->added)
        return e->halved >= 2 ? "PAN" : "FPN";
    return e->linked ? "LinkNet" : e->merged ? "SegFormer" : NULL;
}

/* Tan et al. 2020, table 1, and the Lite ones of its authors' code: the member, channels of the
 * BiFPN, how often pixels are repeated in it, and the picture's least side. */
static const struct {
    const char *name, *member;
    int channels, repeated, side;
} detectors[] = {
    {"EfficientDet-D0", "b0", 64, 12, 0},        {"EfficientDet-D1", "b1", 88, 16, 0},
    {"EfficientDet-D2", "b2", 112, 20, 0},       {"EfficientDet-D3", "b3", 160, 24, 0},
    {"EfficientDet-D4", "b4", 224, 28, 0},       {"EfficientDet-D5", "b5", 288, 28, 0},
    {"EfficientDet-D7", "b6", 384, 32, 1536},    {"EfficientDet-D6", "b6", 384, 32, 0},
    {"EfficientDet-D7x", "b7", 384, 40, 0},      {"EfficientDet-Lite0", "lite0", 64, 12, 0},
    {"EfficientDet-Lite1", "lite1", 88, 16, 0},  {"EfficientDet-Lite2", "lite2", 112, 20, 0},
    {"EfficientDet-Lite3", "lite3", 160, 24, 0}, {"EfficientDet-Lite4", "lite4", 224, 28, 0},
};

static const char *detector_of(const Evidence *e, const Network *net) {
    for (size_t i = 0; net->member && i < sizeof detectors / sizeof *detectors; i++)
        if (!strcmp(detectors[i].member, net->member->id) && e->channels == detectors[i].channels &&
            e->repeated == detectors[i].repeated && net->height >= detectors[i].side)
            return detectors[i].name;
    return NULL;
}

void network_name_decoder(const Graph *g, Network *net) {
    Evidence e = {0};
    FOR_EACH_NODE((Graph *)g, n) {
        if (!in_block(net, n))
            note_node(&e, n);
    }
    net->decoder = decoder_of(&e);
    if (e.repeated >= 2 && e.shrunk >= 2)
        net->detector = detector_of(&e, net);
}
