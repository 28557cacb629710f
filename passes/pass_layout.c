/* layout: where each value's elements lie.
 *
 *   graph inputs and outputs   plain, as the caller has them
 *   results of pixels          planes of single channels, for the stem
 *   results of blocked ops     nchwNc, N the target's vector width (lowerings.def says which ops)
 *   channels joined or chosen  the same, where some of them are in blocks
 *   inputs of convolutions     a halo as wide as the padding of all that read them
 *   inputs of transposes       to channels last, and of dynamic_range: as what makes them has them
 *
 * A reorder is put where a value and its reader differ: in front of the stem, which reads single
 * channels (a block would be mostly spare lanes), behind the last op, and behind constants that
 * blocked ops read in the place of a value or that blocks would make many times as large. Needs:
 * the fusions. Leaves alone: other constants, which their users pack; those of fewer dimensions
 * than what they broadcast to get ones in front. */
#include "passes/lower.h"

/* Ranks 2 and 4 have blocked layouts; other tensors stay plain. */
static bool can_block(const Value *v) {
    return v->type.dtype == DT_f32 && (v->type.shape.rank == 2 || v->type.shape.rank == 4);
}

/* ---- constants ------------------------------------------------------------------------------- */

/* A constant that broadcasts to the rank of n's result, as one of that rank. */
static void align_constant(Graph *g, Node *n, int slot) {
    Value *v = node_in(n, slot);
    int rank = node_out(n)->type.shape.rank, front = v ? rank - v->type.shape.rank : 0;
    if (front <= 0 || !v->constant || !v->constant->data || is_one_number(n, slot))
        return;
    Shape s = {.rank = rank};
    for (int i = 0; i < rank; i++)
        s.dim[i] = i < front ? 1 : v->type.shape.dim[i - front];
    node_set_operand(n, slot, graph_constant_view(g, v, 0, s));
}

/* Blocks need all dimensions. */
static void align_constants(Graph *g) {
    FOR_EACH_NODE(g, n) {
        bool follows = lowering_of(n->op)->layout == LAYOUT_FOLLOW && can_block(node_out(n));
        for (int i = 0; follows && i < n->noperands; i++)
            align_constant(g, n, i);
    }
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static bool makes_blocks(const Node *n) {
    LayoutRule rule = lowering_of(n->op)->layout;
    return rule == LAYOUT_BLOCKED || (rule == LAYOUT_FOLLOW && follows_blocks(n));
}

static void block_results(Graph *g, int lanes) {
    FOR_EACH_NODE(g, n) {
        if (n->op == OP_pixels)
            node_out(n)->type.layout.block = 1;
        for (int i = 0; makes_blocks(n) && i < n->nresults; i++)
            if (can_block(n->results[i]))
                n->results[i]->type.layout.block = lanes;
    }
}

/* In any layout that is. */
static bool is_number(const Node *n, int slot) {
    return op_info(n->op)->flags & OPF_ELEMENTWISE && is_one_number(n, slot);
}

/* What takes blocks of channels as well as plain tensors, though its result is plain. */
static bool takes_blocks(const Node *n) {
    return is_to_channels_last(n) || n->op == OP_dynamic_range;
}

/* The block that n wants to read the operand in `slot` in. */
static int wanted_block(const Node *n, int slot, int lanes) {
    const Value *v = node_in(n, slot);
    LayoutRule rule = lowering_of(n->op)->layout;
    int block = node_out(n)->type.layout.block;
    if (takes_blocks(n) && v->type.layout.block == lanes)
        return lanes;
    if (rule == LAYOUT_FOLLOW)
        return block && is_number(n, slot) ? v->type.layout.block : block;
    if (rule != LAYOUT_BLOCKED || !can_block(v))
        return 0;
    bool dense = n->op == OP_conv2d || n->op == OP_conv2d_mean || n->op == OP_conv2d_dwconv2d;
    bool stem = dense && slot == 0 && v->type.layout.block <= 1 && v->type.shape.dim[1] < lanes;
    return stem ? 1 : lanes;
}

/* Whether blocks are mostly spare lanes of v, and these much: they are made at run time then,
 * rather than stored. */
static bool is_sparse_in_blocks(const Value *v, int block) {
    enum { MOST_SPARE = 1 << 16 };
    Type t = v->type;
    t.layout.block = block;
    int64_t elems = shape_elems(&t.shape), spare = type_storage_elems(&t) - elems;
    return spare >= elems && spare > MOST_SPARE;
}

/* Whether n reads the operand in `slot` as its layout says: lowerings pack other constants. */
static bool is_data(const Node *n, int slot) {
    const Value *v = node_in(n, slot);
    int block = node_out(n)->type.layout.block;
    if (!v || !v->constant)
        return v != NULL;
    if (lowering_of(n->op)->layout == LAYOUT_FOLLOW)
        return block && can_block(v) && !is_number(n, slot) && is_sparse_in_blocks(v, block);
    if (lowering_of(n->op)->layout != LAYOUT_BLOCKED)
        return false;
    return slot == 0 || n->op == OP_interleave ||
           (n->op == OP_conv2d &&
            (slot == node_slot(n, "scale") || slot == node_slot(n, "residual")));
}

static Value *reordered(Graph *g, Value *v, int block, Node *before) {
    for (const Use *u = v->uses; u; u = u->next)
        if (u->user && u->user->op == OP_reorder && node_out(u->user)->type.layout.block == block)
            return node_out(u->user);
    Node *r = node_new(g, OP_reorder, before, v->name, (Value *[]){v}, 1);
    node_infer_or_die(r);
    node_out(r)->type.layout.block = block;
    return node_out(r);
}

static void reorder_operands(Graph *g, int lanes) {
    FOR_EACH_NODE(g, n) {
        for (int i = 0; lowering_of(n->op)->layout != LAYOUT_ANY && i < n->noperands; i++) {
            if (!is_data(n, i))
                continue;
            Value *v = node_in(n, i);
            int block = wanted_block(n, i, lanes);
            if (v->type.layout.block != block)
                node_set_operand(n, i, reordered(g, v, block, n));
        }
    }
}

/* Each graph output becomes a plain value of its own that a node makes. */
static void reorder_outputs(Graph *g) {
    Arena a = {0};
    Map seen = {0};
    for (size_t i = 0; i < g->outputs.len; i++) {
        Value *v = g->outputs.data[i]->value;
        bool first = map_put(&a, &seen, v->name, v);
        if (v->def && v->type.layout.block == 0 && first)
            continue;
        Node *r = node_new(g, OP_reorder, NULL, v->name, (Value *[]){v}, 1);
        node_infer_or_die(r);
        graph_set_output(g, i, node_out(r));
    }
    arena_free(&a);
}

/* ---- halos ----------------------------------------------------------------------------------- */

static void widen_halo(Value *v, const Dim4 *pad) {
    for (int i = 0; i < 4; i++)
        if (v->type.layout.halo[i] < pad->v[i])
            v->type.layout.halo[i] = (int)pad->v[i];
}

/* The padding that must be in memory: NULL where there is none, and for other ops. */
static const Dim4 *input_padding(const Node *n) {
    AttrSet set = op_info(n->op)->attrs;
    if (n->op == OP_dwconv2d && dw_clips(conv_attrs(n), node_out(n)->type.shape.dim[3]))
        return NULL;
    return set == ATTRSET_conv      ? &conv_attrs(n)->pad
           : set == ATTRSET_conv_dw ? &conv_dw_attrs(n)->pad
                                    : NULL;
}

static void add_halos(Graph *g) {
    FOR_EACH_NODE(g, n) {
        const Dim4 *pad = input_padding(n);
        if (pad && node_in(n, 0)->type.layout.block)
            widen_halo(node_in(n, 0), pad);
    }
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static bool too_large(const Node *n, const PassContext *cx) {
    const char *reason =
        arena_printf(&cx->diag->arena,
                     "in blocks of channels, padding included, its result has more than %lld bytes",
                     (long long)MAX_TENSOR_BYTES);
    return node_refused(cx, n, NULL, reason);
}

/* A plain type that is small enough may be too large in blocks and with a halo. */
static bool check_sizes(Graph *g, const PassContext *cx) {
    bool ok = true;
    FOR_EACH_NODE(g, n) {
        for (int i = 0; i < n->nresults; i++)
            if (!type_valid(&n->results[i]->type))
                ok = too_large(n, cx);
    }
    return ok;
}

bool pass_layout(Graph *g, PassContext *cx) {
    int lanes = target_lanes(cx->target);
    align_constants(g);
    block_results(g, lanes);
    reorder_operands(g, lanes);
    reorder_outputs(g);
    add_halos(g);
    return check_sizes(g, cx);
}
