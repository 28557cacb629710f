/* lower_copy.c: ops that move elements: reorder, reshape, pad. */
#include "passes/lower.h"

enum { COPY_CYCLES = 8 }; /* of a load and a store of what is far away */

/* ---- rows that are contiguous on both sides -------------------------------------------------- */

/* Elements of other types go one by one; C compilers make vectors of them. */
static int row_lanes(const Lower *lo, DType dt) {
    return dt == DT_f32 ? lower_lanes(lo) : 1;
}

/* Copies `planes` planes of `rows` rows of `length` elements: the first `whole` of a row in
 * vectors, the rest one by one. */
static Kernel *rows_kernel(Lower *lo, DType dt) {
    const char *name = "copy_rows";
    if (dt != DT_f32)
        name = arena_printf(&lo->m->arena, "%s_%s", name, dtype_name(dt));
    Kernel *k = kernel_new(lo->m, name);
    Reg *a = kernel_param_ptr(k, "a", dt), *c = kernel_param_ptr(k, "c", dt);
    Reg *planes = kernel_param_i64(k, "planes"), *a_plane = kernel_param_i64(k, "a_plane");
    Reg *c_plane = kernel_param_i64(k, "c_plane"), *rows = kernel_param_i64(k, "rows");
    Reg *a_row = kernel_param_i64(k, "a_row"), *c_row = kernel_param_i64(k, "c_row");
    Reg *whole = kernel_param_i64(k, "whole"), *length = kernel_param_i64(k, "length");
    int lanes = row_lanes(lo, dt);
    Builder b = build_begin(k);
    Reg *ap = copy_pointer(&b, "ap", a), *cp = copy_pointer(&b, "cp", c);
    build_for(&b, "p", bound_const(0), bound_reg(planes), 1);
    Reg *ar = copy_pointer(&b, "ar", ap), *cr = copy_pointer(&b, "cr", cp);
    build_for(&b, "y", bound_const(0), bound_reg(rows), 1);
    if (lanes > 1) {
        Reg *x = build_for(&b, "x", bound_const(0), bound_reg(whole), lanes);
        build_store(&b, addr_plus(addr_of(cr, 0), x, 1),
                    build_load(&b, "v", lanes, addr_plus(addr_of(ar, 0), x, 1)));
        build_close(&b);
    }
    Reg *x = build_for(&b, "i", bound_reg(whole), bound_reg(length), 1);
    build_store(&b, addr_plus(addr_of(cr, 0), x, 1),
                build_load(&b, "s", 1, addr_plus(addr_of(ar, 0), x, 1)));
    build_close(&b);
    advance(&b, ar, a_row);
    advance(&b, cr, c_row);
    build_close(&b);
    advance(&b, ap, a_plane);
    advance(&b, cp, c_plane);
    build_close(&b);
    build_end(&b);
    return k;
}

/* A block of memory as rows_kernel sees it. */
typedef struct Rows {
    Addr at;
    int64_t plane, row;
} Rows;

/* A part has whole planes or, where there are more of them, the same rows of all planes. */
static void copy_rows(Lower *lo, Rows from, Rows to, int64_t planes, int64_t rows, int64_t length) {
    DType dt = from.at.base->type.dtype;
    int64_t lanes = row_lanes(lo, dt), whole = lanes == 1 ? 0 : length / lanes * lanes;
    double cycles =
        COPY_CYCLES * (double)(planes * rows) * (double)(whole / lanes + (length - whole));
    bool by_plane = planes >= rows;
    int64_t units = by_plane ? planes : rows;
    Parts p = lower_parts_begin(lo, units, lower_parts(lo->cx, cycles, units));
    const Arg args[] = {arg_addr(parts_addr(&p, from.at, by_plane ? from.plane : from.row)),
                        arg_addr(parts_addr(&p, to.at, by_plane ? to.plane : to.row)),
                        arg_bound(by_plane ? parts_count(lo, &p) : bound_const(planes)),
                        arg_i64(from.plane),
                        arg_i64(to.plane),
                        arg_bound(by_plane ? bound_const(rows) : parts_count(lo, &p)),
                        arg_i64(from.row),
                        arg_i64(to.row),
                        arg_i64(whole),
                        arg_i64(length)};
    lower_call(lo, rows_kernel(lo, dt), args, sizeof args / sizeof *args);
    lower_parts_end(lo, &p);
}

/* ---- between plain and blocked ---------------------------------------------------------------
 *
 * In tiles of LINE pixels of a channel: what lies apart, in blocks or in planes, comes from or goes
 * to so few lines that they are still in the cache when the next channel needs them. Planes of a
 * power of two would otherwise throw each other's lines out. */

enum {
    LINE = 16,      /* pixels: a line of a cache */
    MANY_BLOCKS = 8 /* enough for threads; and each is a range of memory of its own */
};

typedef struct Lanes {
    Reg *base, *block, *row; /* pointer, and strides */
    Reg *lane;               /* NULL: 1, in blocks */
    int pixel;
} Lanes;

/* In blocks of `block` channels; 1: in planes. */
static Lanes lanes_params(Kernel *k, const char *base, int block) {
    Arena *a = k->arena;
    Lanes l = {.base = kernel_param_ptr(k, base, DT_f32), .pixel = block};
    l.block = kernel_param_i64(k, arena_printf(a, "%s_block", base));
    l.row = kernel_param_i64(k, arena_printf(a, "%s_row", base));
    if (block == 1)
        l.lane = kernel_param_i64(k, arena_printf(a, "%s_lane", base));
    return l;
}

static void next_lane(Builder *b, Reg *p, const Lanes *l) {
    if (l->lane)
        advance(b, p, l->lane);
    else
        advance_by(b, p, 1);
}

/* So many neighbouring pixels of `count` channels, from ax to cx, which move on behind them. */
static void copy_pixels(Builder *b, Reg *ax, const Lanes *a, Reg *cx, const Lanes *c, int pixels,
                        Reg *count) {
    Reg *al = copy_pointer(b, "al", ax), *cl = copy_pointer(b, "cl", cx), *v[LINE];
    build_for(b, "l", bound_const(0), bound_reg(count), 1);
    for (int i = 0; i < pixels; i++)
        v[i] = build_load(b, "v", 1, addr_of(al, i * a->pixel));
    for (int i = 0; i < pixels; i++)
        build_store(b, addr_of(cl, i * c->pixel), v[i]);
    next_lane(b, al, a);
    next_lane(b, cl, c);
    build_close(b);
    advance_by(b, ax, pixels * a->pixel);
    advance_by(b, cx, pixels * c->pixel);
}

/* From blocks of `from` channels to such of `to`, one of which is 1. Of the columns, `whole` are in
 * tiles. */
static Kernel *lanes_kernel(Lower *lo, int from, int to) {
    Kernel *k = kernel_new(lo->m, to == 1 ? "copy_to_planes" : "copy_to_blocks");
    Lanes a = lanes_params(k, "a", from), c = lanes_params(k, "c", to);
    Reg *blocks = kernel_param_i64(k, "blocks"), *channels = kernel_param_i64(k, "channels");
    Reg *rows = kernel_param_i64(k, "rows"), *whole = kernel_param_i64(k, "whole");
    Reg *columns = kernel_param_i64(k, "columns");
    Builder bb = build_begin(k), *b = &bb;
    Reg *block = build_const_i(b, "block", ltype(DT_i64, 1), from * to);
    Reg *left = build_op(b, INST_mov, "left", channels, NULL, NULL);
    Reg *ab = copy_pointer(b, "ab", a.base), *cb = copy_pointer(b, "cb", c.base);
    build_for(b, "n", bound_const(0), bound_reg(blocks), 1);
    Reg *count = build_op(b, INST_min, "count", left, block, NULL);
    Reg *ar = copy_pointer(b, "ar", ab), *cr = copy_pointer(b, "cr", cb);
    build_for(b, "y", bound_const(0), bound_reg(rows), 1);
    Reg *ax = copy_pointer(b, "ax", ar), *cx = copy_pointer(b, "cx", cr);
    build_for(b, "t", bound_const(0), bound_reg(whole), LINE);
    copy_pixels(b, ax, &a, cx, &c, LINE, count);
    build_close(b);
    build_for(b, "x", bound_reg(whole), bound_reg(columns), 1);
    copy_pixels(b, ax, &a, cx, &c, 1, count);
    build_close(b);
    advance(b, ar, a.row);
    advance(b, cr, c.row);
    build_close(b);
    advance(b, ab, a.block);
    advance(b, cb, c.block);
    build_op_to(b, INST_sub, left, left, block, NULL);
    build_close(b);
    build_end(b);
    return k;
}

/* Address and strides of one side, in steps of `channels`. */
static int push_side(Arg *args, Addr at, const View *v, int64_t channels) {
    bool blocked = v->block == channels;
    args[0] = arg_addr(at);
    args[1] = arg_i64(blocked ? v->plane : channels * v->plane);
    args[2] = arg_i64(v->row);
    args[3] = arg_i64(v->plane);
    return blocked ? 3 : 4;
}

/* Channels from the part's first block on. */
static Bound channels_from(Lower *lo, const Parts *p, int64_t all, int64_t block) {
    if (!p->part)
        return bound_const(all);
    Builder *b = &lo->step;
    Reg *width = build_const_i(b, "block", ltype(DT_i64, 1), block);
    Reg *before = build_op(b, INST_mul, "before", p->first, width, NULL);
    Reg *total = build_const_i(b, "channels", ltype(DT_i64, 1), all);
    return bound_reg(build_op(b, INST_sub, "left", total, before, NULL));
}

/* A part has some blocks or, where there are few, some rows of all. */
static void copy_lanes(Lower *lo, Addr from, const View *x, Addr to, const View *y) {
    int64_t block = x->block * y->block, blocks = ceil_div(x->c, block);
    double cycles = COPY_CYCLES * (double)(x->c * x->h * x->w);
    bool by_block = blocks >= MANY_BLOCKS || blocks >= x->h;
    int64_t units = by_block ? blocks : x->h;
    int64_t a_unit = by_block ? block / x->block * x->plane : x->row;
    int64_t c_unit = by_block ? block / y->block * y->plane : y->row;
    Parts p = lower_parts_begin(lo, units, lower_parts(lo->cx, cycles, units));
    Arg args[14];
    int n = 0;
    n += push_side(args + n, parts_addr(&p, from, a_unit), x, block);
    n += push_side(args + n, parts_addr(&p, to, c_unit), y, block);
    args[n++] = arg_bound(by_block ? parts_count(lo, &p) : bound_const(blocks));
    args[n++] = arg_bound(by_block ? channels_from(lo, &p, x->c, block) : bound_const(x->c));
    args[n++] = arg_bound(by_block ? bound_const(x->h) : parts_count(lo, &p));
    args[n++] = arg_i64(x->w / LINE * LINE);
    args[n++] = arg_i64(x->w);
    lower_call(lo, lanes_kernel(lo, (int)x->block, (int)y->block), args, n);
    lower_parts_end(lo, &p);
}

/* v's planes, whose rows follow each other, as rows of one tile each. */
static View in_tiles(const View *v) {
    View t = *v;
    t.h = v->h * v->w / LINE;
    t.w = LINE;
    t.row = LINE * v->block;
    return t;
}

static void copy_planes(Lower *lo, Addr from, const View *x, Addr to, const View *y) {
    int64_t pixels = x->h * x->w, rest = pixels % LINE;
    bool joined = x->row == x->w * x->block && y->row == y->w * y->block;
    if (!joined || x->w % LINE == 0) {
        copy_lanes(lo, from, x, to, y);
        return;
    }
    View a = in_tiles(x), c = in_tiles(y);
    if (a.h)
        copy_lanes(lo, from, &a, to, &c);
    a.h = c.h = 1;
    a.w = c.w = rest;
    if (rest)
        copy_lanes(lo, addr_offset(from, (pixels - rest) * a.block), &a,
                   addr_offset(to, (pixels - rest) * c.block), &c);
}

/* ---- ops ------------------------------------------------------------------------------------- */

/* Plain to plain. */
bool lower_copy(Lower *lo, Node *n) {
    int64_t elems = shape_elems(&node_out(n)->type.shape);
    copy_rows(lo, (Rows){lower_plain(lo, node_in(n, 0)), 0, 0},
              (Rows){lower_plain(lo, node_out(n)), 0, 0}, 1, 1, elems);
    return true;
}

/* Of what is reordered: constants are plain. */
static Addr reorder_start(Lower *lo, const Value *from, const View *x) {
    if (!from->constant)
        return lower_addr(lo, from);
    Addr a = lower_plain(lo, from);
    return lo->image && x->n > 1 ? addr_plus(a, lo->image, x->image) : a;
}

bool lower_reorder(Lower *lo, Node *n) {
    const Value *from = node_in(n, 0), *to = node_out(n);
    int rank = from->type.shape.rank;
    if (!from->type.layout.block && !to->type.layout.block)
        return lower_copy(lo, n);
    if (rank != 2 && rank != 4)
        return lower_unsupported(lo, n, "only tensors of rank 2 and 4 have blocked layouts");
    View x = view_of(&from->type), y = view_of(&to->type);
    if (x.block != y.block && x.block != 1 && y.block != 1)
        return lower_unsupported(lo, n, "one of the two layouts must be plain");
    lower_batch_begin(lo, x.n);
    Addr a = reorder_start(lo, from, &x), c = lower_addr(lo, to);
    if (x.block == y.block)
        copy_rows(lo, (Rows){a, x.plane, x.row}, (Rows){c, y.plane, y.row}, x.blocks, x.h,
                  x.w * x.block);
    else if (x.h * x.w == 1 && !layout_has_halo(&from->type.layout) &&
             !layout_has_halo(&to->type.layout))
        copy_rows(lo, (Rows){a, 0, 0}, (Rows){c, 0, 0}, 1, 1, x.c);
    else
        copy_planes(lo, a, &x, c, &y);
    lower_zero_spare(lo, to);
    lower_zero_halo(lo, to);
    lower_batch_end(lo);
    return true;
}

/* The padding and the halo around it are one frame of zeros around the copied rows. */
static void zero_padding(Lower *lo, const Value *to, const PadAttrs *p) {
    const int *halo = to->type.layout.halo;
    View inner = view_of(&to->type);
    Addr start = addr_offset(lower_addr(lo, to), -inner.origin);
    int64_t width[4] = {p->before.v[2] + halo[0], p->before.v[3] + halo[1], p->after.v[2] + halo[2],
                        p->after.v[3] + halo[3]};
    inner.h -= p->before.v[2] + p->after.v[2];
    inner.w -= p->before.v[3] + p->after.v[3];
    lower_zero_around(lo, start, &inner, width);
}

bool lower_pad(Lower *lo, Node *n) {
    const PadAttrs *p = pad_attrs(n);
    if (p->before.n != 4 || p->before.v[0] || p->before.v[1] || p->after.v[0] || p->after.v[1] ||
        p->value != 0)
        return lower_unsupported(lo, n, "only zeros around height and width have a kernel");
    const Value *from = node_in(n, 0), *to = node_out(n);
    View x = view_of(&from->type), y = view_of(&to->type);
    lower_batch_begin(lo, x.n);
    Addr inside =
        addr_offset(lower_addr(lo, to), p->before.v[2] * y.row + p->before.v[3] * y.block);
    copy_rows(lo, (Rows){lower_addr(lo, from), x.plane, x.row}, (Rows){inside, y.plane, y.row},
              x.blocks, x.h, x.w * x.block);
    zero_padding(lo, to, p);
    lower_batch_end(lo);
    return true;
}
