/* lower_order.c: arg_max, arg_min and top_k of plain tensors, seen as [outer, n, inner]. NaN counts
 * as larger than all numbers, of equal elements the first one comes first. */
#include "passes/lower.h"

/* What an element is compared as: f16 and bf16 as f32. */
static Reg *comparable(Builder *b, Reg *x) {
    bool is_half = dtype_set(x->type.dtype) == TYPES_H;
    return is_half ? build_convert(b, INST_convert, "f", ltype(DT_f32, 1), x) : x;
}

/* Whether x comes before y: is larger, or else smaller. */
static Reg *comes_before(Builder *b, Reg *x, Reg *y, bool largest) {
    x = comparable(b, x);
    y = comparable(b, y);
    Reg *small = largest ? y : x, *large = largest ? x : y;
    Reg *less = build_op(b, INST_lt, "less", small, large, NULL);
    if (!dtype_is_float(x->type.dtype))
        return less;
    Reg *yes = build_const_i(b, "yes", ltype(DT_bool, 1), 1);
    Reg *is_number = build_op(b, INST_eq, "is_number", small, small, NULL);
    Reg *is_nan = build_op(b, INST_eq, "is_same", large, large, NULL);
    is_nan = build_op(b, INST_xor, "is_nan", is_nan, yes, NULL);
    is_nan = build_op(b, INST_and, "is_nan", is_nan, is_number, NULL);
    return build_op(b, INST_or, "before", less, is_nan, NULL);
}

typedef struct Lines {
    int64_t outer, n, inner;
} Lines;

static Lines lines_of(const Shape *s, int axis) {
    return (Lines){dims_product(s, 0, axis), s->dim[axis], dims_product(s, axis + 1, s->rank)};
}

/* ---- arg_max, arg_min ------------------------------------------------------------------------ */

static Kernel *arg_kernel(Lower *lo, const Node *n, const Lines *l) {
    Kernel *k = kernel_new(lo->m, op_info(n->op)->name);
    bool largest = n->op == OP_arg_max, last = arg_attrs(n)->last;
    Reg *a = kernel_param_ptr(k, "a", node_in(n, 0)->type.dtype);
    Reg *c = kernel_param_ptr(k, "c", DT_i64);
    Builder bb = build_begin(k), *b = &bb;
    Reg *yes = build_const_i(b, "yes", ltype(DT_bool, 1), 1);
    Reg *out = copy_pointer(b, "out", c), *line = copy_pointer(b, "line", a);
    build_for(b, "o", bound_const(0), bound_const(l->outer), 1);
    Reg *j = build_for(b, "j", bound_const(0), bound_const(l->inner), 1);
    Reg *p = build_lea(b, "p", addr_plus(addr_of(line, 0), j, 1));
    Reg *at = build_const_i(b, "at", ltype(DT_i64, 1), 0);
    Reg *best = build_load(b, "best", 1, addr_of(p, 0));
    Reg *i = build_for(b, "i", bound_const(1), bound_const(l->n), 1);
    Reg *x = build_load(b, "x", 1, addr_plus(addr_of(p, 0), i, l->inner));
    Reg *better =
        last ? build_op(b, INST_xor, "better", comes_before(b, best, x, largest), yes, NULL)
             : comes_before(b, x, best, largest);
    build_if(b, better);
    build_op_to(b, INST_mov, best, x, NULL, NULL);
    build_op_to(b, INST_mov, at, i, NULL, NULL);
    build_close(b);
    build_close(b);
    build_store(b, addr_of(out, 0), at);
    advance_by(b, out, 1);
    build_close(b);
    advance_by(b, line, l->n * l->inner);
    build_close(b);
    build_end(b);
    return k;
}

bool lower_arg(Lower *lo, Node *n) {
    Lines l = lines_of(&node_in(n, 0)->type.shape, (int)arg_attrs(n)->axis);
    const Arg args[] = {arg_addr(lower_plain(lo, node_in(n, 0))),
                        arg_addr(lower_plain(lo, node_out(n)))};
    lower_call(lo, arg_kernel(lo, n, &l), args, 2);
    return true;
}

/* ---- top_k ----------------------------------------------------------------------------------- */

/* The results are kept sorted while a line is read: an element that comes before the last one of k
 * moves up to its place. */
typedef struct TopK {
    Builder *b;
    Reg *values,
        *indices; /* of this line, `inner` elements apart; indices: NULL where not wanted */
    int64_t inner, k;
    bool largest;
    Reg *count, *place; /* how many there are; where the new one goes */
} TopK;

static Addr place_in(const TopK *t, Reg *results, Reg *place) {
    return addr_plus(addr_of(results, 0), place, t->inner);
}

/* Moves what is at `from` to the place of the new one. */
static void move_down(const TopK *t, Reg *results, Reg *from) {
    build_store(t->b, place_in(t, results, t->place),
                build_load(t->b, "moved", 1, place_in(t, results, from)));
}

static void find_place(const TopK *t, Reg *x) {
    Builder *b = t->b;
    Reg *zero = build_const_i(b, "zero", ltype(DT_i64, 1), 0);
    Reg *one = build_const_i(b, "one", ltype(DT_i64, 1), 1);
    Reg *going = build_op(b, INST_lt, "going", zero, t->place, NULL);
    build_while(b, going);
    Reg *above = build_op(b, INST_sub, "above", t->place, one, NULL);
    Reg *other = build_load(b, "other", 1, place_in(t, t->values, above));
    build_op_to(b, INST_mov, going, comes_before(b, x, other, t->largest), NULL, NULL);
    build_if(b, going);
    move_down(t, t->values, above);
    if (t->indices)
        move_down(t, t->indices, above);
    build_op_to(b, INST_mov, t->place, above, NULL, NULL);
    build_op_to(b, INST_lt, going, zero, t->place, NULL);
    build_close(b);
    build_close(b);
}

static void take_element(const TopK *t, Reg *x, Reg *i) {
    Builder *b = t->b;
    Reg *one = build_const_i(b, "one", ltype(DT_i64, 1), 1);
    Reg *k = build_const_i(b, "k", ltype(DT_i64, 1), t->k);
    Reg *last = build_const_i(b, "last", ltype(DT_i64, 1), t->k - 1);
    Reg *wanted = build_op(b, INST_lt, "wanted", t->count, k, NULL);
    build_op_to(b, INST_min, t->place, t->count, last, NULL);
    build_if(b, wanted);
    build_op_to(b, INST_add, t->count, t->count, one, NULL);
    build_else(b);
    Reg *least = build_load(b, "least", 1, place_in(t, t->values, last));
    build_op_to(b, INST_mov, wanted, comes_before(b, x, least, t->largest), NULL, NULL);
    build_close(b);
    build_if(b, wanted);
    find_place(t, x);
    build_store(b, place_in(t, t->values, t->place), x);
    if (t->indices)
        build_store(b, place_in(t, t->indices, t->place), i);
    build_close(b);
}

static Kernel *top_k_kernel(Lower *lo, const Node *n, const Lines *l) {
    const TopKAttrs *attrs = top_k_attrs(n);
    DType dt = node_in(n, 0)->type.dtype;
    Kernel *kernel = kernel_new(lo->m, "top_k");
    Reg *a = kernel_param_ptr(kernel, "a", dt), *values = kernel_param_ptr(kernel, "values", dt);
    Reg *indices = n->nresults > 1 ? kernel_param_ptr(kernel, "indices", DT_i64) : NULL;
    Builder bb = build_begin(kernel), *b = &bb;
    TopK t = {.b = b, .inner = l->inner, .k = attrs->k, .largest = attrs->largest};
    Reg *o = build_for(b, "o", bound_const(0), bound_const(l->outer), 1);
    Reg *j = build_for(b, "j", bound_const(0), bound_const(l->inner), 1);
    int64_t out = attrs->k * l->inner;
    Reg *p = build_lea(b, "p", addr_plus(addr_plus(addr_of(a, 0), o, l->n * l->inner), j, 1));
    t.values = build_lea(b, "v", addr_plus(addr_plus(addr_of(values, 0), o, out), j, 1));
    if (indices)
        t.indices = build_lea(b, "at", addr_plus(addr_plus(addr_of(indices, 0), o, out), j, 1));
    t.count = build_const_i(b, "count", ltype(DT_i64, 1), 0);
    t.place = build_const_i(b, "place", ltype(DT_i64, 1), 0);
    Reg *i = build_for(b, "i", bound_const(0), bound_const(l->n), 1);
    take_element(&t, build_load(b, "x", 1, addr_plus(addr_of(p, 0), i, l->inner)), i);
    build_close(b);
    build_close(b);
    build_close(b);
    build_end(b);
    return kernel;
}

bool lower_top_k(Lower *lo, Node *n) {
    Lines l = lines_of(&node_in(n, 0)->type.shape, (int)top_k_attrs(n)->axis);
    if (shape_elems(&node_out(n)->type.shape) == 0)
        return true;
    Arg args[3] = {arg_addr(lower_plain(lo, node_in(n, 0)))};
    for (int i = 0; i < n->nresults; i++)
        args[1 + i] = arg_addr(lower_plain(lo, n->results[i]));
    lower_call(lo, top_k_kernel(lo, n, &l), args, 1 + n->nresults);
    return true;
}
