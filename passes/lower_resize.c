/* lower_resize.c: each output pixel is a weighted sum of pixels, or one pixel; tables say which.
 *
 *   for each block of channels
 *     for each output row       the rows of its taps, and their weights
 *       for each output column  y = sum over taps l of w[l] * (sum over taps k of v[k] * x)
 *
 * Up to MAX_RESIZE_TAPS taps along an axis are written out, more are loops. Where some outputs are
 * outside, two more tables say which rows and columns aren't. */
#include "passes/lower.h"

enum { MAX_RESIZE_TAPS = 16 };

/* What is fixed in a kernel: of rows and of columns. */
typedef struct ResizeForm {
    int taps[2];
    bool weighted[2];
    bool has_outside;
    double outside;
} ResizeForm;

static bool has_loops(const ResizeForm *f) {
    return f->taps[0] > MAX_RESIZE_TAPS || f->taps[1] > MAX_RESIZE_TAPS;
}

typedef struct ResizeKernel {
    Builder b;
    int lanes;
    ResizeForm f;
    Reg *a, *c, *index[2], *weight[2], *inside[2];
    Reg *blocks, *a_plane, *c_plane, *c_row, *rows, *columns;
    Reg *row[MAX_RESIZE_TAPS], *v[MAX_RESIZE_TAPS];
} ResizeKernel;

/* Tap k of output i: an entry of a table. */
static Addr entry(Reg *table, Reg *i, int taps, int k) {
    return addr_plus(addr_of(table, k), i, taps);
}

static void load_rows(ResizeKernel *k, Reg *plane, Reg *y) {
    Builder *b = &k->b;
    for (int i = 0; i < k->f.taps[0]; i++) {
        Reg *at = build_load(b, "at", 1, entry(k->index[0], y, k->f.taps[0], i));
        k->row[i] = build_lea(b, "row", addr_plus(addr_of(plane, 0), at, 1));
        if (k->f.weighted[0])
            k->v[i] = build_spread(b, "v", k->lanes, entry(k->weight[0], y, k->f.taps[0], i));
    }
}

/* The sum of one column's taps. */
static Reg *column_sum(ResizeKernel *k, Reg *at) {
    Builder *b = &k->b;
    Reg *sum = NULL;
    for (int i = 0; i < k->f.taps[0]; i++) {
        Reg *x = build_load(b, "x", k->lanes, addr_plus(addr_of(k->row[i], 0), at, 1));
        if (!k->f.weighted[0])
            return x;
        if (sum)
            build_op_to(b, INST_fma, sum, k->v[i], x, sum);
        else
            sum = build_op(b, INST_mul, "sum", k->v[i], x, NULL);
    }
    return sum;
}

static Reg *pixel(ResizeKernel *k, Reg *x) {
    Builder *b = &k->b;
    Reg *all = NULL;
    for (int l = 0; l < k->f.taps[1]; l++) {
        Reg *at = build_load(b, "at", 1, entry(k->index[1], x, k->f.taps[1], l));
        Reg *sum = column_sum(k, at);
        if (!k->f.weighted[1])
            return sum;
        Reg *w = build_spread(b, "w", k->lanes, entry(k->weight[1], x, k->f.taps[1], l));
        if (all)
            build_op_to(b, INST_fma, all, w, sum, all);
        else
            all = build_op(b, INST_mul, "all", w, sum, NULL);
    }
    return all;
}

/* Adds tap `tap` of output `at` along an axis to a sum; an axis without weights has one tap. */
static void add_tap(ResizeKernel *k, int axis, Reg *at, Reg *tap, Reg *value, Reg *sum) {
    Builder *b = &k->b;
    if (!k->f.weighted[axis]) {
        build_op_to(b, INST_mov, sum, value, NULL, NULL);
        return;
    }
    Addr w = addr_plus(entry(k->weight[axis], at, k->f.taps[axis], 0), tap, 1);
    build_op_to(b, INST_fma, sum, build_spread(b, "w", k->lanes, w), value, sum);
}

/* The same sum with loops over taps. */
static Reg *pixel_by_loops(ResizeKernel *k, Reg *plane, Reg *y, Reg *x) {
    Builder *b = &k->b;
    LType vector = ltype(DT_f32, k->lanes);
    Reg *all = build_const_f(b, "all", vector, 0);
    Reg *i = build_for(b, "i", bound_const(0), bound_const(k->f.taps[0]), 1);
    Reg *at = build_load(b, "at", 1, addr_plus(entry(k->index[0], y, k->f.taps[0], 0), i, 1));
    Reg *row = build_lea(b, "row", addr_plus(addr_of(plane, 0), at, 1));
    Reg *sum = build_const_f(b, "sum", vector, 0);
    Reg *l = build_for(b, "l", bound_const(0), bound_const(k->f.taps[1]), 1);
    at = build_load(b, "at", 1, addr_plus(entry(k->index[1], x, k->f.taps[1], 0), l, 1));
    Reg *v = build_load(b, "v", k->lanes, addr_plus(addr_of(row, 0), at, 1));
    add_tap(k, 1, x, l, v, sum);
    build_close(b);
    add_tap(k, 0, y, i, sum, all);
    build_close(b);
    return all;
}

/* Output (y, x), whose row is inside unless `inside`, which may be NULL, is 0. */
static Reg *output(ResizeKernel *k, Reg *plane, Reg *y, Reg *x, Reg *inside) {
    Builder *b = &k->b;
    Reg *result = NULL;
    if (inside) {
        result = build_const_f(b, "result", ltype(DT_f32, k->lanes), k->f.outside);
        Reg *column = build_load(b, "column", 1, addr_plus(addr_of(k->inside[1], 0), x, 1));
        Reg *both = build_op(b, INST_and, "both", inside, column, NULL);
        Reg *one = build_const_i(b, "one", ltype(DT_i64, 1), 1);
        build_if(b, build_op(b, INST_eq, "is_inside", both, one, NULL));
    }
    Reg *sum = has_loops(&k->f) ? pixel_by_loops(k, plane, y, x) : pixel(k, x);
    if (!inside)
        return sum;
    build_op_to(b, INST_mov, result, sum, NULL, NULL);
    build_close(b);
    return result;
}

static void kernel_body(ResizeKernel *k) {
    Builder *b = &k->b;
    Reg *ap = copy_pointer(b, "ap", k->a), *cp = copy_pointer(b, "cp", k->c);
    build_for(b, "cb", bound_const(0), bound_reg(k->blocks), 1);
    Reg *cr = copy_pointer(b, "cr", cp), *inside = NULL;
    Reg *y = build_for(b, "y", bound_const(0), bound_reg(k->rows), 1);
    if (k->f.has_outside)
        inside = build_load(b, "inside", 1, addr_plus(addr_of(k->inside[0], 0), y, 1));
    if (!has_loops(&k->f))
        load_rows(k, ap, y);
    Reg *to = copy_pointer(b, "to", cr);
    Reg *x = build_for(b, "x", bound_const(0), bound_reg(k->columns), 1);
    build_store(b, addr_of(to, 0), output(k, ap, y, x, inside));
    advance_by(b, to, k->lanes);
    build_close(b);
    advance(b, cr, k->c_row);
    build_close(b);
    advance(b, ap, k->a_plane);
    advance(b, cp, k->c_plane);
    build_close(b);
}

static Kernel *build_kernel(Lower *lo, const ResizeForm *f) {
    Kernel *k =
        kernel_new(lo->m, arena_printf(&lo->m->arena, "resize_%dx%d%s", f->taps[0], f->taps[1],
                                       f->weighted[0] || f->weighted[1] ? "_weighted" : ""));
    ResizeKernel r = {.lanes = lower_lanes(lo), .f = *f};
    r.a = kernel_param_ptr(k, "a", DT_f32);
    r.c = kernel_param_ptr(k, "c", DT_f32);
    r.index[0] = kernel_param_ptr(k, "row_at", DT_i64);
    r.index[1] = kernel_param_ptr(k, "column_at", DT_i64);
    r.blocks = kernel_param_i64(k, "blocks");
    r.a_plane = kernel_param_i64(k, "a_plane");
    r.c_plane = kernel_param_i64(k, "c_plane");
    r.c_row = kernel_param_i64(k, "c_row");
    r.rows = kernel_param_i64(k, "rows");
    r.columns = kernel_param_i64(k, "columns");
    for (int i = 0; i < 2; i++)
        if (f->weighted[i])
            r.weight[i] = kernel_param_ptr(k, i ? "column_w" : "row_w", DT_f32);
    for (int i = 0; i < 2; i++)
        if (f->has_outside)
            r.inside[i] = kernel_param_ptr(k, i ? "column_inside" : "row_inside", DT_i64);
    r.b = build_begin(k);
    kernel_body(&r);
    build_end(&r.b);
    return k;
}

/* ---- the tables ------------------------------------------------------------------------------ */

/* Why the table in `slot` can't be one of a kernel; NULL where it can. */
static const char *table_fault(const Node *n, int slot, int64_t in) {
    const Value *index = node_in(n, slot), *weight = node_in(n, slot + 2);
    if (!index)
        return NULL;
    if (!index->constant || (weight && !weight->constant))
        return "only constant tables have a kernel";
    for (int64_t i = 0; i < shape_elems(&index->type.shape); i++) {
        int64_t at = tensor_i64(index->constant, i);
        if (at < -1 || at >= in)
            return "an element of its tables is out of range";
    }
    return NULL;
}

/* Whether all elements of output i along an axis are inside; n may have no table for it. */
static bool is_inside(const Node *n, int slot, int64_t i) {
    const Value *v = node_in(n, slot);
    int64_t taps = v ? v->type.shape.dim[1] : 0;
    for (int64_t k = 0; k < taps; k++)
        if (tensor_i64(v->constant, i * taps + k) < 0)
            return false;
    return true;
}

static Addr inside_table(Lower *lo, const Node *n, int slot, int64_t out) {
    int64_t *t = lower_table_begin(lo, out);
    for (int64_t i = 0; i < out; i++)
        t[i] = is_inside(n, slot, i);
    return lower_table_end(lo, "inside");
}

static bool any_outside(const Node *n, int slot, int64_t out) {
    for (int64_t i = 0; i < out; i++)
        if (!is_inside(n, slot, i))
            return true;
    return false;
}

/* The elements of each output, `step` apart, 0 for what is outside; the table of an absent operand
 * is that of a copy. */
static Addr index_table(Lower *lo, const Node *n, int slot, int64_t out, int64_t step) {
    const Value *v = node_in(n, slot);
    int64_t elems = v ? shape_elems(&v->type.shape) : out;
    int64_t *t = lower_table_begin(lo, elems);
    for (int64_t i = 0; i < elems; i++) {
        int64_t at = v ? tensor_i64(v->constant, i) : i;
        t[i] = at < 0 ? 0 : step * at;
    }
    return lower_table_end(lo, v ? v->name : "same");
}

static Addr weight_table(Lower *lo, const Value *v) {
    int64_t elems = shape_elems(&v->type.shape);
    float *t = lower_weights_begin(lo, elems);
    for (int64_t i = 0; i < elems; i++)
        t[i] = (float)tensor_f64(v->constant, i);
    return lower_weights_end(lo, v->name);
}

/* What of the result a part has: blocks or, where there are more of them, rows of all blocks. */
typedef struct Share {
    Parts parts;
    bool by_block;
} Share;

static Share share_begin(Lower *lo, const View *y, const int *taps) {
    double cycles = (double)(2 * taps[0] * taps[1]) * (double)(y->blocks * y->h * y->w);
    bool by_block = y->blocks >= y->h;
    int64_t units = by_block ? y->blocks : y->h;
    return (Share){lower_parts_begin(lo, units, lower_parts(lo->cx, cycles, units)), by_block};
}

/* The tables of n, and what they decide about the kernel. */
typedef struct Tables {
    ResizeForm f;
    Addr index[2], weight[2], inside[2];
} Tables;

static Tables pack_tables(Lower *lo, const Node *n, const View *x, const View *y) {
    Tables t = {
        .index = {index_table(lo, n, 1, y->h, x->row), index_table(lo, n, 2, y->w, x->block)}};
    t.f.has_outside = any_outside(n, 1, y->h) || any_outside(n, 2, y->w);
    t.f.outside = resize_attrs(n)->outside;
    for (int i = 0; i < 2; i++) {
        const Value *index = node_in(n, 1 + i), *weight = node_in(n, 3 + i);
        t.f.taps[i] = index ? (int)index->type.shape.dim[1] : 1;
        t.f.weighted[i] = weight != NULL;
        if (weight)
            t.weight[i] = weight_table(lo, weight);
        if (t.f.has_outside)
            t.inside[i] = inside_table(lo, n, 1 + i, i ? y->w : y->h);
    }
    return t;
}

static void call_kernel(Lower *lo, const Node *n, const View *x, const View *y, const Tables *t) {
    Share s = share_begin(lo, y, t->f.taps);
    Addr a = lower_addr(lo, node_in(n, 0)), c = lower_addr(lo, node_out(n));
    const Parts all = {.units = y->h}, *rows = s.by_block ? &all : &s.parts;
    Arg args[14] = {arg_addr(s.by_block ? parts_addr(&s.parts, a, x->plane) : a),
                    arg_addr(parts_addr(&s.parts, c, s.by_block ? y->plane : y->row)),
                    arg_addr(parts_addr(rows, t->index[0], t->f.taps[0])),
                    arg_addr(t->index[1]),
                    arg_bound(s.by_block ? parts_count(lo, &s.parts) : bound_const(y->blocks)),
                    arg_i64(x->plane),
                    arg_i64(y->plane),
                    arg_i64(y->row),
                    arg_bound(parts_count(lo, rows)),
                    arg_i64(y->w)};
    int count = 10;
    if (t->f.weighted[0])
        args[count++] = arg_addr(parts_addr(rows, t->weight[0], t->f.taps[0]));
    if (t->f.weighted[1])
        args[count++] = arg_addr(t->weight[1]);
    if (t->f.has_outside) {
        args[count++] = arg_addr(parts_addr(rows, t->inside[0], 1));
        args[count++] = arg_addr(t->inside[1]);
    }
    lower_call(lo, build_kernel(lo, &t->f), args, count);
    lower_parts_end(lo, &s.parts);
}

bool lower_resize(Lower *lo, Node *n) {
    View x = view_of(&node_in(n, 0)->type), y = view_of(&node_out(n)->type);
    const char *fault = table_fault(n, 1, x.h);
    fault = fault ? fault : table_fault(n, 2, x.w);
    if (fault)
        return lower_unsupported(lo, n, fault);
    if (shape_elems(&node_out(n)->type.shape) == 0)
        return true;
    Tables t = pack_tables(lo, n, &x, &y);
    lower_batch_begin(lo, x.n);
    call_kernel(lo, n, &x, &y, &t);
    if (t.f.has_outside && t.f.outside != 0)
        lower_zero_spare(lo, node_out(n));
    lower_zero_halo(lo, node_out(n));
    lower_batch_end(lo);
    return true;
}
