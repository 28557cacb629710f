/* lower_channels.c: concat and slice of images in blocks of channels. Where channels come to lie in
 * the lanes that they were in, whole vectors are copied, else the lanes of a block in two runs: one
 * for each block of the other side that has some of them. */
#include "passes/lower.h"

enum { PIXEL_CYCLES = 2 };

/* ---- which ----------------------------------------------------------------------------------- */

/* Without steps, and of whole images. */
static bool slices_channels(const Node *n) {
    const SliceAttrs *a = slice_attrs(n);
    for (int d = 0; d < a->steps.n; d++)
        if (a->steps.v[d] != 1)
            return false;
    return node_in(n, 0)->type.shape.dim[0] == node_out(n)->type.shape.dim[0];
}

/* Whether a user of n's result may work in blocks. */
static bool is_wanted_in_blocks(const Node *n) {
    for (const Use *u = node_out(n)->uses; u; u = u->next) {
        LayoutRule rule = u->user ? lowering_of(u->user->op)->layout : LAYOUT_PLAIN;
        bool joins = u->user && u->user->op == OP_concat;
        if (rule == LAYOUT_BLOCKED ||
            (rule == LAYOUT_FOLLOW && (!joins || axis_attrs(u->user)->axis == 1)))
            return true;
    }
    return false;
}

bool channels_block(const Node *n) {
    const Type *y = &node_out(n)->type;
    if (y->dtype != DT_f32 || y->shape.rank != 4 || shape_elems(&y->shape) == 0)
        return false;
    if (n->op == OP_slice)
        return node_in(n, 0)->type.layout.block && slices_channels(n) && is_wanted_in_blocks(n);
    bool blocked = false;
    for (int i = 0; i < n->noperands; i++)
        blocked |= node_in(n, i)->type.layout.block != 0;
    return blocked && axis_attrs(n)->axis == 1;
}

/* ---- copying --------------------------------------------------------------------------------- */

/* `count` channels from channel `first` of a to channel `to` of c; pixels are where a and c are. */
typedef struct Range {
    Addr a, c;
    View x, y;
    int64_t first, to, count, rows, columns;
} Range;

static int64_t at_most(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Whether channel i of the range is the first of a block, on either side, or of the range. */
static bool starts_run(const Range *r, int64_t i) {
    return i == 0 || (r->first + i) % r->x.block == 0 || (r->to + i) % r->y.block == 0;
}

/* How many channels from i on, where a run starts, are in one block on both sides. */
static int64_t run_length(const Range *r, int64_t i) {
    int64_t left = r->x.block - (r->first + i) % r->x.block;
    int64_t room = r->y.block - (r->to + i) % r->y.block;
    return at_most(at_most(left, room), r->count - i);
}

/* Whether the block behind, or before, the run at i has the same run, at k. */
static bool is_alike(const Range *r, int64_t i, int64_t k) {
    return k >= 0 && k < r->count && starts_run(r, k) && run_length(r, k) == run_length(r, i);
}

static Addr channel_addr(Addr a, const View *v, int64_t channel) {
    return addr_offset(a, channel / v->block * v->plane + channel % v->block);
}

/* The run at i, and those in `blocks` blocks in all. A part has some blocks or, where there are
 * more of them, rows of all blocks. */
static void copy_runs(Lower *lo, const Range *r, int64_t i, int64_t blocks) {
    double cycles = PIXEL_CYCLES * (double)(blocks * r->rows * r->columns);
    bool by_block = blocks >= r->rows;
    int64_t units = by_block ? blocks : r->rows, length = run_length(r, i);
    Parts p = lower_parts_begin(lo, units, lower_parts(lo->cx, cycles, units));
    Addr a = channel_addr(r->a, &r->x, r->first + i), c = channel_addr(r->c, &r->y, r->to + i);
    PixelCopy copy = {.a = parts_addr(&p, a, by_block ? r->x.plane : r->x.row),
                      .c = parts_addr(&p, c, by_block ? r->y.plane : r->y.row),
                      .planes = by_block ? parts_count(lo, &p) : bound_const(blocks),
                      .rows = by_block ? bound_const(r->rows) : parts_count(lo, &p),
                      .columns = bound_const(r->columns),
                      .a_plane = r->x.plane,
                      .a_row = r->x.row,
                      .c_plane = r->y.plane,
                      .c_row = r->y.row,
                      .c_pixel = r->y.block,
                      .lanes = length == r->x.block ? 0 : (int)length};
    lower_copy_pixels(lo, &copy);
    lower_parts_end(lo, &p);
}

/* Whole blocks may take the spare lanes with them: who calls writes what belongs there. */
static void copy_range(Lower *lo, Range r) {
    int64_t block = r.x.block;
    if (r.first % block == 0 && r.to % block == 0)
        r.count = ceil_div(r.count, block) * block;
    for (int64_t i = 0; i < r.count; i += run_length(&r, i)) {
        int64_t blocks = 1;
        while (is_alike(&r, i, i + blocks * block))
            blocks++;
        if (!is_alike(&r, i, i - block))
            copy_runs(lo, &r, i, blocks);
    }
}

static void finish(Lower *lo, const Value *y) {
    lower_zero_spare(lo, y);
    lower_zero_halo(lo, y);
    lower_batch_end(lo);
}

bool lower_concat_channels(Lower *lo, Node *n) {
    const Value *y = node_out(n);
    int64_t to = 0;
    lower_batch_begin(lo, y->type.shape.dim[0]);
    for (int i = 0; i < n->noperands; i++) {
        View x = lower_view(lo, node_in(n, i));
        copy_range(lo, (Range){.a = lower_addr(lo, node_in(n, i)),
                               .c = lower_addr(lo, y),
                               .x = x,
                               .y = view_of(&y->type),
                               .to = to,
                               .count = x.c,
                               .rows = x.h,
                               .columns = x.w});
        to += x.c;
    }
    finish(lo, y);
    return true;
}

bool lower_slice_channels(Lower *lo, Node *n) {
    const Value *y = node_out(n);
    const int64_t *start = slice_attrs(n)->starts.v;
    View x = view_of(&node_in(n, 0)->type), of = view_of(&y->type);
    lower_batch_begin(lo, of.n);
    Addr a = addr_offset(lower_addr(lo, node_in(n, 0)), start[2] * x.row + start[3] * x.block);
    copy_range(lo, (Range){.a = a,
                           .c = lower_addr(lo, y),
                           .x = x,
                           .y = of,
                           .first = start[1],
                           .count = of.c,
                           .rows = of.h,
                           .columns = of.w});
    finish(lo, y);
    return true;
}
