/* lower_elementwise.c: activations and arithmetic that no fusion took over. Blocked values go
 * vector by vector; an operand of one pixel per plane is read again and again with a step of zero,
 * and one number is in all lanes from the start. Plain ones: lower_strided.c. */
#include "passes/lower.h"

typedef struct Operand {
    Reg *base, *plane, *row, *pixel; /* of the kernel: pointer, and strides */
    Reg *p, *r, *x;                  /* of the loops: plane, row, pixel */
    Reg *number;                     /* in all lanes, of what is one; else NULL */
} Operand;

bool is_one_number(const Node *n, int slot) {
    const Shape *s = &node_in(n, slot)->type.shape, *y = &node_out(n)->type.shape;
    return shape_elems(s) == 1 && shape_elems(y) != 1 && s->rank <= y->rank;
}

static Operand declare(Kernel *k, const char *name) {
    Arena *a = k->arena;
    Operand o = {.base = kernel_param_ptr(k, name, DT_f32)};
    o.plane = kernel_param_i64(k, arena_printf(a, "%s_plane", name));
    o.row = kernel_param_i64(k, arena_printf(a, "%s_row", name));
    o.pixel = kernel_param_i64(k, arena_printf(a, "%s_pixel", name));
    return o;
}

static void compute(Builder *b, const Node *node, const Operand *o, int n, int lanes) {
    static const char *const names[] = {"x", "y", "z"};
    Reg *x[MAX_ELEMENTWISE];
    for (int i = 0; i + 1 < n; i++)
        x[i] = o[i].number ? o[i].number : build_load(b, names[i], lanes, addr_of(o[i].x, 0));
    build_store(b, addr_of(o[n - 1].x, 0), elementwise_result(b, node, x));
}

/* A copy of p, a pointer of o, and its step; none of a number. */
static Reg *pointer(Builder *b, const char *name, const Operand *o, Reg *p) {
    return o->number ? NULL : copy_pointer(b, name, p);
}

static void step(Builder *b, const Operand *o, Reg *p, Reg *by) {
    if (!o->number)
        advance(b, p, by);
}

/* Operands o[0..n-1), result o[n-1]. */
static Kernel *build_kernel(Lower *lo, const Node *node, int n) {
    static const char *const names[] = {"a", "b", "c"};
    Kernel *k = kernel_new(lo->m, op_info(node->op)->name);
    Operand o[MAX_ELEMENTWISE] = {0};
    for (int i = 0; i < n; i++)
        if (i < n - 1 && is_one_number(node, i))
            o[i].base = kernel_param_ptr(k, names[i], DT_f32);
        else
            o[i] = declare(k, names[i == n - 1 ? 2 : i]);
    Reg *blocks = kernel_param_i64(k, "blocks"), *rows = kernel_param_i64(k, "rows");
    Reg *columns = kernel_param_i64(k, "columns");
    Builder bb = build_begin(k), *b = &bb;
    for (int i = 0; i < n; i++)
        if (!o[i].plane)
            o[i].number = build_spread(b, names[i], lower_lanes(lo), addr_of(o[i].base, 0));
    for (int i = 0; i < n; i++)
        o[i].p = pointer(b, "p", &o[i], o[i].base);
    build_for(b, "cb", bound_const(0), bound_reg(blocks), 1);
    for (int i = 0; i < n; i++)
        o[i].r = pointer(b, "r", &o[i], o[i].p);
    build_for(b, "y", bound_const(0), bound_reg(rows), 1);
    for (int i = 0; i < n; i++)
        o[i].x = pointer(b, "px", &o[i], o[i].r);
    build_for(b, "x", bound_const(0), bound_reg(columns), 1);
    compute(b, node, o, n, lower_lanes(lo));
    for (int i = 0; i < n; i++)
        step(b, &o[i], o[i].x, o[i].pixel);
    build_close(b);
    for (int i = 0; i < n; i++)
        step(b, &o[i], o[i].r, o[i].row);
    build_close(b);
    for (int i = 0; i < n; i++)
        step(b, &o[i], o[i].p, o[i].plane);
    build_close(b);
    build_end(b);
    return k;
}

/* Whether s can be read with steps of zero where the result has more than it. */
static bool broadcasts(const Shape *s, const Shape *to) {
    if (s->rank != to->rank || s->dim[1] != to->dim[1] ||
        (s->dim[0] != to->dim[0] && s->dim[0] != 1))
        return false;
    return s->rank == 2 || (s->dim[2] == to->dim[2] && s->dim[3] == to->dim[3]) ||
           (s->dim[2] == 1 && s->dim[3] == 1);
}

bool elementwise_blocks(const Node *n) {
    const Shape *y = &node_out(n)->type.shape;
    bool blocked = false;
    if (y->rank != 2 && y->rank != 4)
        return false;
    for (int i = 0; i < n->noperands; i++) {
        if (is_one_number(n, i))
            continue;
        if (!broadcasts(&node_in(n, i)->type.shape, y))
            return false;
        blocked |= node_in(n, i)->type.layout.block != 0;
    }
    return blocked;
}

/* What of the result a part has: planes or, where there are more of them, rows of all planes. */
typedef struct Share {
    Parts parts;
    bool by_plane;
} Share;

static Share share_begin(Lower *lo, const View *result) {
    enum { VECTOR_CYCLES = 8 }; /* of an activation; of arithmetic and its loads and stores, half */
    double cycles = VECTOR_CYCLES * (double)(result->blocks * result->h * result->w);
    bool by_plane = result->blocks >= result->h;
    int64_t units = by_plane ? result->blocks : result->h;
    return (Share){lower_parts_begin(lo, units, lower_parts(lo->cx, cycles, units)), by_plane};
}

static int push_number(Lower *lo, Arg *args, const Value *v) {
    args[0] = arg_addr(v->type.layout.block ? lower_addr(lo, v) : lower_plain(lo, v));
    return 1;
}

static int push(Lower *lo, Arg *args, const Value *v, const View *result, const Share *s) {
    View w = lower_view(lo, v);
    bool one_pixel = w.h * w.w == 1 && result->h * result->w != 1;
    int64_t row = one_pixel ? 0 : w.row;
    args[0] = arg_addr(parts_addr(&s->parts, lower_addr(lo, v), s->by_plane ? w.plane : row));
    args[1] = arg_i64(w.plane);
    args[2] = arg_i64(row);
    args[3] = arg_i64(one_pixel ? 0 : w.block);
    return 4;
}

bool lower_elementwise(Lower *lo, Node *n) {
    const Value *y = node_out(n);
    if (y->type.layout.block == 0) {
        lower_elementwise_plain(lo, n);
        return true;
    }
    View v = view_of(&y->type);
    Arg args[16];
    int nargs = 0;
    lower_batch_begin(lo, v.n);
    Share s = share_begin(lo, &v);
    for (int i = 0; i < n->noperands; i++)
        nargs += is_one_number(n, i) ? push_number(lo, args + nargs, node_in(n, i))
                                     : push(lo, args + nargs, node_in(n, i), &v, &s);
    nargs += push(lo, args + nargs, y, &v, &s);
    args[nargs++] = arg_bound(s.by_plane ? parts_count(lo, &s.parts) : bound_const(v.blocks));
    args[nargs++] = arg_bound(s.by_plane ? bound_const(v.h) : parts_count(lo, &s.parts));
    args[nargs++] = arg_i64(v.w);
    lower_call(lo, build_kernel(lo, n, n->noperands + 1), args, nargs);
    lower_parts_end(lo, &s.parts);
    lower_zero_spare(lo, y);
    lower_zero_halo(lo, y);
    lower_batch_end(lo);
    return true;
}

/* Its own memory is read before it is written, element by element. */
Value *inplace_first(const Node *n) {
    return node_in(n, 0);
}
