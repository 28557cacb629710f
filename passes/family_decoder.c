/* family_decoder.c: what stands behind the blocks of a member: a head that gives planes or boxes,
 * told apart by how it makes features larger and how it joins them. */
#include "passes/family.h"

#include "passes/match.h"

/* What there is outside of the member's blocks. */
typedef struct Evidence {
    int rates[MAX_RANK], nrates; /* different dilations */
    int repeated, shrunk;        /* nodes that repeat pixels; max pools before sums */
    bool concatenated, added;    /* larger planes join features of the backbone */
} Evidence;

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

static bool enlarges(const Node *n) {
    return n && n->op != OP_pad && growth(n) > 0;
}

/* Do only sums and their weights read it? */
static bool feeds_no_conv(const Value *v) {
    for (const Use *u = v->uses; u; u = u->next)
        if (is_conv(u->user))
            return false;
    return true;
}

static int enlarged_operands(const Node *n) {
    int count = 0;
    for (int i = 0; i < n->noperands; i++)
        count += node_in(n, i) && enlarges(node_in(n, i)->def);
    return count;
}

static void note_node(Evidence *e, const Node *n) {
    if (is_conv(n))
        note_rate(e, conv_attrs(n)->dilation.v[0]);
    e->shrunk +=
        n->op == OP_max_pool && pool_attrs(n)->stride.v[0] == 2 && feeds_no_conv(node_out(n));
    e->repeated += n->op == OP_resize && enlarges(n) && !node_in(n, node_slot(n, "row_weights"));
    e->concatenated |= n->op == OP_concat && enlarged_operands(n) == 1;
    e->added |= n->op == OP_add && enlarged_operands(n) == 1;
}

/* The first that fits: atrous pooling at several rates (Chen et al. 2017), features that go up and
 * down again (Tan et al. 2020, BiFPN), that are joined as channels (Ronneberger et al. 2015) or as
 * a sum (Lin et al. 2017). */
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
    return e.added ? "FPN" : NULL;
}
