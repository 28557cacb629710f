/* family_decoder.c: what stands behind the blocks of a member: a head that gives planes or boxes,
 * told apart by how it makes features larger and how it joins them. */
#include "passes/family.h"

#include "passes/match.h"

/* What there is outside of the member's blocks. */
typedef struct Evidence {
    int rates[MAX_RANK], nrates; /* different dilations */
    int repeated, shrunk;        /* nodes that repeat pixels; max pools before sums */
    bool concatenated, added;    /* larger planes join features of the backbone */
    bool linked;                 /* added, behind a convolution */
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

/* How many convolutions lie between what made the planes of v larger and v, where at most
 * activations and gates do else; -1: nothing made them larger. */
static int convs_behind(const Value *v) {
    int convs = 0;
    for (int i = 0; i < MAX_BETWEEN && v && v->def; i++) {
        if (enlarges(v->def))
            return convs;
        convs += is_conv(v->def);
        v = of_same_planes(v->def);
    }
    return -1;
}

/* Do only sums and their weights read it? */
static bool feeds_no_conv(const Value *v) {
    for (const Use *u = v->uses; u; u = u->next)
        if (is_conv(u->user))
            return false;
    return true;
}

/* Notes a node that joins one operand that was made larger, with no convolution in between or, in
 * a sum, some, to others. */
static void note_join(Evidence *e, const Node *n) {
    int larger = 0, convs = 0;
    for (int i = 0; i < n->noperands; i++) {
        int behind = convs_behind(node_in(n, i));
        larger += behind >= 0 && (behind == 0 || n->op == OP_add);
        convs += behind > 0;
    }
    if (larger != 1)
        return;
    e->concatenated |= n->op == OP_concat;
    e->added |= n->op == OP_add;
    e->linked |= n->op == OP_add && convs > 0;
}

static void note_node(Evidence *e, const Node *n) {
    if (is_conv(n))
        note_rate(e, conv_attrs(n)->dilation.v[0]);
    e->shrunk +=
        n->op == OP_max_pool && pool_attrs(n)->stride.v[0] == 2 && feeds_no_conv(node_out(n));
    e->repeated += n->op == OP_resize && enlarges(n) && !node_in(n, node_slot(n, "row_weights"));
    if (n->op == OP_concat || n->op == OP_add)
        note_join(e, n);
}

/* The first that fits: atrous pooling at several rates (Chen et al. 2017), features that go up and
 * down again (Tan et al. 2020, BiFPN), that are joined as channels (Ronneberger et al. 2015) or as
 * a sum behind convolutions (Chaurasia & Culurciello 2017), or as one (Lin et al. 2017). */
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
    return e.linked ? "LinkNet" : e.added ? "FPN" : NULL;
}
