/* lower_strided.c: elementwise ops, reductions, and copies (transpose, slice, concat, gather,
 * expand) of plain tensors: a nest of loops with a stride per operand and dimension. A broadcast
 * dimension has stride 0. */
#include "passes/lower.h"

#include <math.h>
#include <string.h>

/* Operand 0..n-2 are read, n-1 is written. It has the first `kept` dimensions; a reduction goes
 * over the others. */
typedef struct Strided {
    int n, rank, kept;
    int64_t size[MAX_RANK];
    int64_t stride[MAX_ELEMENTWISE][MAX_RANK];
} Strided;

/* Merges dimension d with d + 1 where one loop can do both; true where it did. */
static bool merge(Strided *s, int d) {
    for (int i = 0; i < s->n; i++)
        if (s->stride[i][d] != s->stride[i][d + 1] * s->size[d + 1])
            return false;
    s->size[d] *= s->size[d + 1];
    for (int i = 0; i < s->n; i++)
        s->stride[i][d] = s->stride[i][d + 1];
    for (int k = d + 1; k + 1 < s->rank; k++) {
        s->size[k] = s->size[k + 1];
        for (int i = 0; i < s->n; i++)
            s->stride[i][k] = s->stride[i][k + 1];
    }
    s->rank--;
    s->kept -= d + 1 < s->kept;
    return true;
}

static void merge_all(Strided *s) {
    for (int d = 0; d + 1 < s->rank;)
        if (!merge(s, d))
            d++;
}

/* ---- the kernel ------------------------------------------------------------------------------ */

typedef struct StridedKernel {
    Builder b;
    const Strided *s;
    const Node *n;
    Reg *size[MAX_RANK], *stride[MAX_ELEMENTWISE][MAX_RANK];
} StridedKernel;

static int dims_of(const Strided *s, int operand) {
    return operand == s->n - 1 ? s->kept : s->rank;
}

/* Of an operand, or the result. */
static DType type_of(const StridedKernel *sk, int operand) {
    const Value *v = operand == sk->s->n - 1 ? node_out(sk->n) : node_in(sk->n, operand);
    return v->type.dtype;
}

static void declare(StridedKernel *sk, Kernel *k, Reg **base) {
    static const char *const names[MAX_ELEMENTWISE] = {"a", "b", "c", "d"};
    Arena *a = k->arena;
    const Strided *s = sk->s;
    for (int i = 0; i < s->n; i++)
        base[i] = kernel_param_ptr(k, i == s->n - 1 ? "out" : names[i], type_of(sk, i));
    for (int d = 0; d < s->rank; d++)
        sk->size[d] = kernel_param_i64(k, arena_printf(a, "size%d", d));
    for (int i = 0; i < s->n; i++)
        for (int d = 0; d < dims_of(s, i); d++)
            sk->stride[i][d] = kernel_param_i64(k, arena_printf(a, "%s%d", base[i]->name, d));
}

static bool is_copy(const Node *n) {
    return !(op_info(n->op)->flags & OPF_ELEMENTWISE);
}

/* The loops from dimension d on, with every operand at `at`. Recursion ends at MAX_RANK. */
static void loops(StridedKernel *sk, Reg *const *at, int d) {
    Builder *b = &sk->b;
    if (d == sk->s->rank) {
        static const char *const names[] = {"x", "y", "z"};
        Reg *x[MAX_ELEMENTWISE];
        for (int i = 0; i + 1 < sk->s->n; i++)
            x[i] = build_load(b, names[i], 1, addr_of(at[i], 0));
        build_store(b, addr_of(at[sk->s->n - 1], 0),
                    is_copy(sk->n) ? x[0] : elementwise_result(b, sk->n, x));
        return;
    }
    Reg *p[MAX_ELEMENTWISE];
    for (int i = 0; i < sk->s->n; i++)
        p[i] = copy_pointer(b, "p", at[i]);
    build_for(b, "i", bound_const(0), bound_reg(sk->size[d]), 1);
    loops(sk, p, d + 1);
    for (int i = 0; i < sk->s->n; i++)
        advance(b, p[i], sk->stride[i][d]);
    build_close(b);
}

/* Of a kernel's name: which type it is for, unless that is f32. */
static const char *type_suffix(Lower *lo, const Value *v) {
    DType dt = v->type.dtype;
    return dt == DT_f32 ? "" : arena_printf(&lo->m->arena, "_%s", dtype_name(dt));
}

static Kernel *build_kernel(Lower *lo, const Node *n, const Strided *s) {
    const char *stem = is_copy(n) ? "copy" : op_info(n->op)->name;
    Kernel *k =
        kernel_new(lo->m, arena_printf(&lo->m->arena, "%s%s_%dd", stem,
                                       type_suffix(lo, node_in(n, n->noperands - 1)), s->rank));
    StridedKernel sk = {.s = s, .n = n};
    Reg *base[MAX_ELEMENTWISE];
    declare(&sk, k, base);
    sk.b = build_begin(k);
    loops(&sk, base, 0);
    build_end(&sk.b);
    return k;
}

static bool is_empty(const Strided *s) {
    for (int d = 0; d < s->rank; d++)
        if (s->size[d] == 0)
            return true;
    return false;
}

/* Parts of the outermost dimension; one part where that isn't one of the result's. */
static Parts begin_parts(Lower *lo, const Strided *s) {
    enum { ELEMENT_CYCLES = 4 };
    double cycles = ELEMENT_CYCLES;
    for (int d = 0; d < s->rank; d++)
        cycles *= (double)s->size[d];
    return lower_parts_begin(lo, s->rank ? s->size[0] : 1,
                             s->kept ? lower_parts(lo->cx, cycles, s->size[0]) : 1);
}

static void call_kernel(Lower *lo, Kernel *k, const Strided *s, const Addr *at) {
    Arg args[MAX_ELEMENTWISE * (1 + MAX_RANK) + MAX_RANK];
    int count = 0;
    Parts p = begin_parts(lo, s);
    for (int i = 0; i < s->n; i++)
        args[count++] = arg_addr(parts_addr(&p, at[i], s->rank ? s->stride[i][0] : 0));
    for (int d = 0; d < s->rank; d++)
        args[count++] = d ? arg_i64(s->size[d]) : arg_bound(parts_count(lo, &p));
    for (int i = 0; i < s->n; i++)
        for (int d = 0; d < dims_of(s, i); d++)
            args[count++] = arg_i64(s->stride[i][d]);
    lower_call(lo, k, args, count);
    lower_parts_end(lo, &p);
}

/* Emits nothing for no elements, whose addresses might be outside. */
static void call(Lower *lo, const Node *n, Strided *s, const Addr *at) {
    if (is_empty(s))
        return;
    merge_all(s);
    call_kernel(lo, build_kernel(lo, n, s), s, at);
}

/* ---- ops ------------------------------------------------------------------------------------- */

void lower_elementwise_plain(Lower *lo, const Node *n) {
    const Shape *y = &node_out(n)->type.shape;
    Strided s = {.n = n->noperands + 1, .rank = y->rank, .kept = y->rank};
    Addr at[MAX_ELEMENTWISE];
    for (int d = 0; d < y->rank; d++)
        s.size[d] = y->dim[d];
    for (int i = 0; i < n->noperands; i++) {
        broadcast_strides(&node_in(n, i)->type.shape, y, s.stride[i]);
        at[i] = lower_plain(lo, node_in(n, i));
    }
    contiguous_strides(y, s.stride[s.n - 1]);
    at[s.n - 1] = lower_plain(lo, node_out(n));
    call(lo, n, &s, at);
}

/* A copy of `from`, seen with the given strides, to a part of n's result of the shape `size`. */
static void copy(Lower *lo, const Node *n, const Shape *size, Addr from, const int64_t *stride,
                 Addr to) {
    Strided s = {.n = 2, .rank = size->rank, .kept = size->rank};
    contiguous_strides(&node_out(n)->type.shape, s.stride[1]);
    memcpy(s.stride[0], stride, sizeof s.stride[0]);
    memcpy(s.size, size->dim, sizeof s.size);
    call(lo, n, &s, (Addr[]){from, to});
}

bool lower_transpose(Lower *lo, Node *n) {
    if (node_in(n, 0)->type.layout.block)
        return lower_channels_last(lo, n);
    Ints perm = transpose_attrs(n)->perm;
    const Shape *y = &node_out(n)->type.shape;
    int64_t own[MAX_RANK], stride[MAX_RANK] = {0};
    contiguous_strides(&node_in(n, 0)->type.shape, own);
    for (int d = 0; d < y->rank; d++)
        stride[d] = own[perm.v[d]];
    copy(lo, n, y, lower_plain(lo, node_in(n, 0)), stride, lower_plain(lo, node_out(n)));
    return true;
}

bool lower_slice(Lower *lo, Node *n) {
    if (node_out(n)->type.layout.block)
        return lower_slice_channels(lo, n);
    const SliceAttrs *a = slice_attrs(n);
    const Shape *y = &node_out(n)->type.shape;
    int64_t own[MAX_RANK], stride[MAX_RANK] = {0}, start = 0;
    contiguous_strides(&node_in(n, 0)->type.shape, own);
    for (int d = 0; d < y->rank; d++) {
        start += a->starts.v[d] * own[d];
        stride[d] = a->steps.v[d] * own[d];
    }
    if (shape_elems(y))
        copy(lo, n, y, addr_offset(lower_plain(lo, node_in(n, 0)), start), stride,
             lower_plain(lo, node_out(n)));
    return true;
}

bool lower_concat(Lower *lo, Node *n) {
    if (node_out(n)->type.layout.block)
        return lower_concat_channels(lo, n);
    int64_t axis = axis_attrs(n)->axis, whole[MAX_RANK];
    Addr to = lower_plain(lo, node_out(n));
    contiguous_strides(&node_out(n)->type.shape, whole);
    for (int i = 0; i < n->noperands; i++) {
        const Shape *x = &node_in(n, i)->type.shape;
        int64_t stride[MAX_RANK] = {0};
        contiguous_strides(x, stride);
        copy(lo, n, x, lower_plain(lo, node_in(n, i)), stride, to);
        to = addr_offset(to, x->dim[axis] * whole[axis]);
    }
    return true;
}

/* ---- gather ---------------------------------------------------------------------------------- */

/* Index k of the indices, from the front; -1 where it is outside of `dim` elements. */
static int64_t index_at(const Tensor *indices, int64_t k, int64_t dim) {
    int64_t i = tensor_i64(indices, k);
    i += i < 0 ? dim : 0;
    return i >= 0 && i < dim ? i : -1;
}

/* How many indices from k on rise by `step` each. */
static int64_t run_length(const Tensor *indices, int64_t k, int64_t count, int64_t dim,
                          int64_t step) {
    int64_t n = 1;
    while (k + n < count &&
           index_at(indices, k + n, dim) == index_at(indices, k + n - 1, dim) + step)
        n++;
    return n;
}

/* Copies [outer, run, inner] for each run of indices that are evenly apart. */
static void gather_runs(Lower *lo, const Node *n, const Tensor *indices, int64_t dim) {
    const Shape *x = &node_in(n, 0)->type.shape;
    int axis = (int)axis_attrs(n)->axis;
    int64_t count = shape_elems(&indices->shape);
    int64_t outer = dims_product(x, 0, axis), inner = dims_product(x, axis + 1, x->rank);
    for (int64_t k = 0, run; k < count; k += run) {
        int64_t at = index_at(indices, k, dim), step = 1;
        if (k + 1 < count)
            step = index_at(indices, k + 1, dim) - at;
        run = run_length(indices, k, count, dim, step);
        Strided s = {.n = 2,
                     .rank = 3,
                     .kept = 3,
                     .size = {outer, run, inner},
                     .stride = {{dim * inner, step * inner, 1}, {count * inner, inner, 1}}};
        call(lo, n, &s,
             (Addr[]){addr_offset(lower_plain(lo, node_in(n, 0)), at * inner),
                      addr_offset(lower_plain(lo, node_out(n)), k * inner)});
    }
}

bool lower_gather(Lower *lo, Node *n) {
    const Tensor *indices = node_in(n, 1)->constant;
    int64_t dim = node_in(n, 0)->type.shape.dim[axis_attrs(n)->axis];
    if (!indices || node_out(n)->type.dtype != DT_f32)
        return lower_gather_slices(lo, n);
    for (int64_t k = 0; k < shape_elems(&indices->shape); k++)
        if (index_at(indices, k, dim) < 0)
            return lower_unsupported(lo, n, "an index is out of range");
    if (shape_elems(&node_out(n)->type.shape))
        gather_runs(lo, n, indices, dim);
    return true;
}

/* ---- reductions ------------------------------------------------------------------------------ */

/* result = inst(element, result), from `start` on. */
typedef struct Fold {
    InstOp inst;
    double start;
} Fold;

static const Fold folds[OP_COUNT] = {
    [OP_reduce_mean] = {INST_add, 0},        [OP_reduce_sum] = {INST_add, 0},
    [OP_reduce_prod] = {INST_mul, 1},        [OP_reduce_min] = {INST_min, INFINITY},
    [OP_reduce_max] = {INST_max, -INFINITY},
};

/* The instructions min and max give `sum` where x is NaN: then x takes its place. */
static void fold(Builder *b, InstOp inst, Reg *sum, Reg *x) {
    bool has_nan = dtype_is_float(x->type.dtype);
    if (inst == INST_add || inst == INST_mul || !has_nan)
        build_op_to(b, inst, sum, sum, x, NULL);
    else
        build_op_to(b, INST_mov, sum, keep_nan(b, x, build_op(b, inst, "z", x, sum, NULL)), NULL,
                    NULL);
}

/* The loops over the dimensions that are reduced, with the operand at p. */
static void sum_loops(StridedKernel *sk, InstOp inst, Reg *sum, Reg *p, int d) {
    Builder *b = &sk->b;
    if (d == sk->s->rank) {
        fold(b, inst, sum, build_load(b, "x", 1, addr_of(p, 0)));
        return;
    }
    Reg *q = copy_pointer(b, "q", p);
    build_for(b, "k", bound_const(0), bound_reg(sk->size[d]), 1);
    sum_loops(sk, inst, sum, q, d + 1);
    advance(b, q, sk->stride[0][d]);
    build_close(b);
}

/* Infinities become the smallest and the largest integer. */
static Reg *start_of(Builder *b, const Fold *f, const Node *n) {
    LType t = ltype(node_out(n)->type.dtype, 1);
    if (dtype_is_float(t.dtype))
        return build_const_f(b, "sum", t, f->start);
    return build_const_i(b, "sum", t, (int64_t)dtype_bits(t.dtype, f->start));
}

/* The loops over the other dimensions, which are the first `kept`. scale: of a mean, else NULL. */
static void reduce_loops(StridedKernel *sk, const Fold *f, Reg *scale, Reg *from, Reg *to, int d) {
    Builder *b = &sk->b;
    if (d == sk->s->kept) {
        Reg *sum = start_of(b, f, sk->n);
        sum_loops(sk, f->inst, sum, from, d);
        build_store(b, addr_of(to, 0),
                    scale ? build_op(b, INST_mul, "mean", sum, scale, NULL) : sum);
        return;
    }
    Reg *p = copy_pointer(b, "p", from), *c = copy_pointer(b, "c", to);
    build_for(b, "i", bound_const(0), bound_reg(sk->size[d]), 1);
    reduce_loops(sk, f, scale, p, c, d + 1);
    advance(b, p, sk->stride[0][d]);
    advance(b, c, sk->stride[1][d]);
    build_close(b);
}

static Reg *mean_scale(Builder *b, DType t, const Strided *s) {
    double count = 1;
    for (int d = s->kept; d < s->rank; d++)
        count *= (double)s->size[d];
    return build_const_f(b, "scale", ltype(t, 1), 1 / count);
}

/* Of bool, the smallest is what all and the largest what any of them is. */
static Fold fold_of(const Node *n) {
    Fold f = folds[n->op];
    if (node_out(n)->type.dtype == DT_bool) {
        f.inst = f.inst == INST_min ? INST_and : INST_or;
        f.start = f.inst == INST_and;
    }
    return f;
}

static Kernel *build_reduction(Lower *lo, const Node *n, const Strided *s) {
    Arena *a = &lo->m->arena;
    const char *stem = op_info(n->op)->name + strlen("reduce_");
    Kernel *k = kernel_new(lo->m, arena_printf(a, "%s%s_%dd_%dd", stem,
                                               type_suffix(lo, node_out(n)), s->rank, s->kept));
    StridedKernel sk = {.s = s, .n = n};
    Reg *base[MAX_ELEMENTWISE];
    declare(&sk, k, base);
    sk.b = build_begin(k);
    Reg *scale = n->op == OP_reduce_mean ? mean_scale(&sk.b, node_out(n)->type.dtype, s) : NULL;
    Fold fold = fold_of(n);
    reduce_loops(&sk, &fold, scale, base[0], base[1], 0);
    build_end(&sk.b);
    return k;
}

static bool is_axis(Ints axes, int d) {
    for (int i = 0; i < axes.n; i++)
        if (axes.v[i] == d)
            return true;
    return false;
}

/* Appends the dimensions of x that are axes, or those that are not; returns how many. */
static int add_dims(Strided *s, const Shape *x, Ints axes, bool reduced) {
    int64_t own[MAX_RANK];
    int n = 0;
    contiguous_strides(x, own);
    for (int d = 0; d < x->rank; d++) {
        if (is_axis(axes, d) != reduced)
            continue;
        s->size[s->rank] = x->dim[d];
        s->stride[0][s->rank++] = own[d];
        n++;
    }
    return n;
}

bool lower_reduce(Lower *lo, Node *n) {
    const Shape *x = &node_in(n, 0)->type.shape;
    if (dtype_set(node_out(n)->type.dtype) == TYPES_H)
        return lower_unsupported(lo, n, "no kernel for this type");
    Ints axes = reduce_attrs(n)->axes;
    Strided s = {.n = 2};
    s.kept = add_dims(&s, x, axes, false);
    Shape kept = shape_of(s.kept, s.size);
    contiguous_strides(&kept, s.stride[1]);
    add_dims(&s, x, axes, true);
    if (shape_elems(&kept) == 0)
        return true;
    merge_all(&s);
    call_kernel(lo, build_reduction(lo, n, &s), &s,
                (Addr[]){lower_plain(lo, node_in(n, 0)), lower_plain(lo, node_out(n))});
    return true;
}
