/* split-channels: what works by channels on joined convolutions works on each of them, and what is
 * chosen of the channels is all that is computed:
 *
 *   act(concat(conv, conv))                     concat(act(conv), act(conv))
 *   batch_norm, or arithmetic with constants    the same, each part by its channels' constants
 *   slice(concat(x, y))                         slice(x), or x
 *   slice(mul(x, gate))                         mul(slice(x), slice(gate))
 *   slice(conv(x)), slice(conv(x))              conv(x), conv(x), with fewer outputs each
 *
 * So the convolutions of MixConv (Tan & Le 2019, arXiv 1907.09595) take in their batch norms,
 * activations and gates, and blocks hand on parts instead of joining and cutting them. Needs:
 * fuse-silu, for one op an activation. Leaves alone: joined or cut values that something else
 * reads, other axes, constants by pixel, parts across a joint, cuts that compute a channel twice or
 * would only be somewhere else. */
#include "passes/match.h"

enum { MAX_DEPTH = 8 }; /* of nodes between a joint or cut and its convolutions */

/* `count` channels, the first of which is `first`. */
typedef struct Range {
    int64_t first, count;
} Range;

static int64_t channels(const Value *v) {
    return v->type.shape.dim[1];
}

static bool is_image(const Value *v) {
    return v->type.dtype == DT_f32 && v->type.shape.rank == 4;
}

/* As gates are: small, and fuse-se wants them whole. */
static bool is_pixel(const Value *v) {
    return v->type.shape.dim[2] * v->type.shape.dim[3] == 1;
}

static bool is_channelwise(const Node *n) {
    return n->op == OP_batch_norm || n->op == OP_dwconv2d ||
           op_info(n->op)->flags & OPF_ELEMENTWISE;
}

static bool joins_channels(const Node *n) {
    return n && n->op == OP_concat && axis_attrs(n)->axis == 1 && is_image(node_out(n)) &&
           channels(node_out(n)) > 0;
}

/* Whether n chooses channels that follow each other, of whole planes. */
static bool cuts_channels(const Node *n) {
    if (!n || n->op != OP_slice || !is_image(node_out(n)))
        return false;
    const Shape *x = &node_in(n, 0)->type.shape, *y = &node_out(n)->type.shape;
    return slice_attrs(n)->steps.v[1] == 1 && x->dim[0] == y->dim[0] && x->dim[2] == y->dim[2] &&
           x->dim[3] == y->dim[3] && slice_attrs(n)->steps.v[0] == 1 &&
           slice_attrs(n)->steps.v[2] == 1 && slice_attrs(n)->steps.v[3] == 1 && y->dim[1] > 0;
}

/* Whether operand `slot` of a channelwise node can be cut as its result is: it has all of the
 * channels, or one that serves all of them. */
static bool operand_splits(const Node *n, int slot) {
    const Value *v = node_in(n, slot);
    if (slot > 0 && (n->op == OP_batch_norm || n->op == OP_dwconv2d))
        return constant_f32(v) && v->type.shape.dim[0] == channels(node_out(n));
    if (v->constant)
        return constant_f32(v) && is_by_channel(v, &node_out(n)->type.shape);
    return is_image(v) && channels(v) == channels(node_out(n));
}

static bool splits(const Node *n) {
    bool can = is_channelwise(n) && is_image(node_out(n));
    for (int i = 0; can && i < n->noperands; i++)
        can = node_in(n, i) ? operand_splits(n, i) : n->op == OP_dwconv2d;
    return can && !(n->op == OP_dwconv2d && has_epilogue(n));
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* A constant of `all` channels, or one number for all of them, for a range of them: what is for a
 * channel lies together. */
static Value *constant_part(Graph *g, Value *v, int64_t all, Range r) {
    Shape s = v->type.shape;
    int axis = 0;
    if (shape_elems(&s) == 1 && (all != 1 || s.rank == 0))
        return v;
    while (s.dim[axis] != all)
        axis++;
    int64_t each = shape_elems(&s) / all;
    s.dim[axis] = r.count;
    return graph_constant_view(g, v, r.first * each, s);
}

static bool is_constant(const Value *v) {
    return v && v->constant;
}

/* A channelwise node for a range of its channels; data[i]: its operands that are no constants. */
static Node *node_part(Graph *g, const Node *n, Node *at, Value *const *data, Range r) {
    Value *in[MAX_OPERANDS];
    for (int i = 0; i < n->noperands; i++)
        in[i] = is_constant(node_in(n, i))
                    ? constant_part(g, node_in(n, i), channels(node_out(n)), r)
                    : data[i];
    return new_like(g, n, at, in);
}

/* ---- joints ---------------------------------------------------------------------------------- */

/* Whether v is made for one user alone by a convolution, and what works by channels behind it. */
static bool is_branch(const Value *v, int depth) {
    const Node *n = v->def;
    if (!n || depth == MAX_DEPTH || !value_single_user(v))
        return false;
    return n->op == OP_conv2d || n->op == OP_dwconv2d ||
           (splits(n) && is_branch(node_in(n, 0), depth + 1));
}

/* The joint that a channelwise node with constants works behind; NULL where there is none. */
static Node *joint_of(const Node *n) {
    Node *joint = NULL;
    for (int i = 0; splits(n) && i < n->noperands; i++)
        if (node_in(n, i) && !node_in(n, i)->constant) {
            if (joint || !joins_channels(node_in(n, i)->def) || !value_single_user(node_in(n, i)))
                return NULL;
            joint = node_in(n, i)->def;
        }
    for (int i = 0; joint && i < joint->noperands; i++)
        if (!is_branch(node_in(joint, i), 0))
            return NULL;
    return joint;
}

static void raise(Graph *g, Node *n, Node *joint) {
    Value **parts = ARENA_ARRAY(&g->arena, joint->noperands, Value *);
    Range r = {0};
    for (int i = 0; i < joint->noperands; i++) {
        Value *in[MAX_OPERANDS];
        for (int k = 0; k < n->noperands; k++)
            in[k] = node_in(n, k) ? node_in(joint, i) : NULL;
        r.count = channels(node_in(joint, i));
        parts[i] = node_out(node_part(g, n, n, in, r));
        r.first += r.count;
    }
    Node *joined = new_node(g, OP_concat, n, parts, joint->noperands);
    axis_attrs(joined)->axis = 1;
    joined->origin = joint->origin;
    node_infer_or_die(joined);
    replace_node(g, n, node_out(joined));
    node_erase(g, joint);
}

/* ---- cuts ------------------------------------------------------------------------------------ */

/* Whether nothing but cuts reads v, some by way of channelwise nodes, and none of them share
 * channels. */
static bool is_cut_up(const Value *v, int depth) {
    int64_t read = 0;
    for (const Use *u = v->uses; u; u = u->next) {
        const Node *n = u->user;
        if (cuts_channels(n))
            read += channels(node_out(n));
        else if (!n || depth == MAX_DEPTH || !splits(n) || !is_cut_up(node_out(n), depth + 1))
            return false;
    }
    return read <= channels(v);
}

static Value *cut(Graph *g, Node *at, Value *v, Range r) {
    const int64_t *d = v->type.shape.dim;
    int64_t starts[4] = {0, r.first, 0, 0}, sizes[4] = {d[0], r.count, d[2], d[3]};
    static const int64_t steps[4] = {1, 1, 1, 1};
    Node *n = new_node(g, OP_slice, at, &v, 1);
    *slice_attrs(n) = (SliceAttrs){{arena_copy(&g->arena, starts, sizeof starts), 4},
                                   {arena_copy(&g->arena, sizes, sizeof sizes), 4},
                                   {arena_copy(&g->arena, steps, sizeof steps), 4}};
    node_infer_or_die(n);
    return node_out(n);
}

/* The operand of a joint that has the whole range, which is then one of its channels; NULL: none.
 */
static Value *operand_with(const Node *joint, Range *r) {
    for (int i = 0; i < joint->noperands; i++) {
        int64_t n = channels(node_in(joint, i));
        if (r->first < n)
            return r->first + r->count <= n ? node_in(joint, i) : NULL;
        r->first -= n;
    }
    return NULL;
}

static bool conv_splits(const Node *n) {
    return n && n->op == OP_conv2d && conv_attrs(n)->group == 1 && has_constant_weights(n) &&
           !has_epilogue(n) && !node_in(n, node_slot(n, "scale")) && !conv_attrs(n)->exact;
}

static Value *conv_part(Graph *g, const Node *conv, Node *at, Range r) {
    Value *in[3] = {node_in(conv, 0)};
    for (int i = 1; i < 3 && node_in(conv, i); i++)
        in[i] = constant_part(g, node_in(conv, i), channels(node_out(conv)), r);
    Node *part = node_new(g, OP_conv2d, at, node_out(conv)->name, in, in[2] ? 3 : 2);
    *conv_attrs(part) = *conv_attrs(conv);
    part->origin = conv->origin;
    node_infer_or_die(part);
    return node_out(part);
}

/* How to get at channels of v. */
typedef enum Source {
    SOURCE_ALL,     /* they are all of v's */
    SOURCE_OPERAND, /* of a joint */
    SOURCE_CONV,    /* one with fewer outputs */
    SOURCE_NODE,    /* the same channelwise node, of parts */
    SOURCE_CUT
} Source;

/* SOURCE_OPERAND: sets that, and where in it they are. */
static Source source_of(const Value *v, int depth, Range *r, Value **operand) {
    Range inside = *r;
    *operand = joins_channels(v->def) ? operand_with(v->def, &inside) : NULL;
    if (r->count == channels(v))
        return SOURCE_ALL;
    if (depth == MAX_DEPTH || !v->def || is_pixel(v))
        return SOURCE_CUT;
    if (*operand) {
        *r = inside;
        return SOURCE_OPERAND;
    }
    if (!is_cut_up(v, 0))
        return SOURCE_CUT;
    return conv_splits(v->def) ? SOURCE_CONV : splits(v->def) ? SOURCE_NODE : SOURCE_CUT;
}

/* Whether the channels are there without a cut, but of gates. */
static bool is_free(const Value *v, Range r, int depth) {
    Value *operand;
    Source source = source_of(v, depth, &r, &operand);
    bool free = source != SOURCE_CUT || is_pixel(v);
    if (source == SOURCE_OPERAND)
        return is_free(operand, r, depth + 1);
    for (int i = 0; source == SOURCE_NODE && free && i < v->def->noperands; i++)
        free = !node_in(v->def, i) || node_in(v->def, i)->constant ||
               is_free(node_in(v->def, i), r, depth + 1);
    return free;
}

/* Those channels of v, for `at`. */
static Value *part_of(Graph *g, Node *at, Value *v, Range r, int depth) {
    Value *operand, *in[MAX_OPERANDS];
    switch (source_of(v, depth, &r, &operand)) {
    case SOURCE_ALL:
        return v;
    case SOURCE_OPERAND:
        return part_of(g, at, operand, r, depth + 1);
    case SOURCE_CONV:
        return conv_part(g, v->def, at, r);
    case SOURCE_NODE:
        for (int i = 0; i < v->def->noperands; i++) {
            Value *o = node_in(v->def, i);
            in[i] = !o || o->constant ? o : part_of(g, at, o, r, depth + 1);
        }
        return node_out(node_part(g, v->def, at, in, r));
    case SOURCE_CUT:
        break;
    }
    return cut(g, at, v, r);
}

bool pass_split_channels(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        Node *joint = joint_of(n);
        if (joint)
            raise(g, n, joint);
    }
    graph_dce(g);
    FOR_EACH_NODE_SAFE(g, n) {
        Range r = {0};
        if (cuts_channels(n))
            r = (Range){slice_attrs(n)->starts.v[1], channels(node_out(n))};
        if (r.count && is_free(node_in(n, 0), r, 0))
            replace_node(g, n, part_of(g, n, node_in(n, 0), r, 0));
    }
    graph_dce(g);
    return true;
}
