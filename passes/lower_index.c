/* lower_index.c: ops that find elements by indices that are read at run time: gather,
 * gather_elements, gather_nd, scatter_elements, scatter_nd, of plain tensors and elements of any
 * type. The evaluator refuses an index out of range; a kernel takes the nearest one in range, so
 * that it stays in its memory whatever the indices are. */
#include "passes/lower.h"

/* Element `at` of the indices, from the front of `dim` elements. */
static Reg *load_index(Builder *b, Addr at, int64_t dim) {
    LType i64 = ltype(DT_i64, 1);
    Reg *i = build_load(b, "i", 1, at);
    if (i->type.dtype != DT_i64)
        i = build_convert(b, INST_convert, "i", i64, i);
    Reg *zero = build_const_i(b, "zero", i64, 0), *size = build_const_i(b, "size", i64, dim);
    Reg *last = build_const_i(b, "last", i64, dim - 1);
    Reg *is_negative = build_op(b, INST_lt, "is_negative", i, zero, NULL);
    Reg *from_end = build_op(b, INST_add, "from_end", i, size, NULL);
    i = build_op(b, INST_select, "i", is_negative, from_end, i);
    i = build_op(b, INST_max, "i", i, zero, NULL);
    return build_op(b, INST_min, "i", i, last, NULL);
}

/* What becomes of an element that is there and the one that comes in its place, as attrs.def
 * says. */
static Reg *combined(Builder *b, Op op, Reg *old, Reg *x) {
    static const InstOp insts[OP_COUNT] = {
        [OP_add] = INST_add, [OP_mul] = INST_mul, [OP_min] = INST_min, [OP_max] = INST_max};
    LType t = x->type;
    if (op == OP_identity)
        return x;
    if (dtype_set(t.dtype) == TYPES_H) { /* f16 and bf16 are computed in f32, and rounded once */
        old = build_convert(b, INST_convert, "old", ltype(DT_f32, 1), old);
        x = build_convert(b, INST_convert, "x", ltype(DT_f32, 1), x);
    }
    Reg *y = build_op(b, insts[op], "y", old, x, NULL);
    if (dtype_is_float(t.dtype) && (op == OP_min || op == OP_max))
        y = keep_nan(b, old, y);
    return t.dtype == y->type.dtype ? y : build_convert(b, INST_convert, "y", t, y);
}

/* An element from one side to the other: from the indexed side to the list, or, of a scatter, into
 * the indexed side. */
static void move_element(Builder *b, const Op *combine, Addr indexed, Addr listed) {
    if (!combine) {
        build_store(b, listed, build_load(b, "x", 1, indexed));
        return;
    }
    Reg *x = build_load(b, "x", 1, listed);
    Reg *old = *combine == OP_identity ? NULL : build_load(b, "old", 1, indexed);
    build_store(b, indexed, combined(b, *combine, old, x));
}

/* The pointers that each kernel here takes. */
typedef struct Pointers {
    Reg *indexed, *indices, *listed;
} Pointers;

static Pointers params(Kernel *k, const Node *n) {
    Pointers p;
    p.indexed = kernel_param_ptr(k, "x", node_out(n)->type.dtype);
    p.indices = kernel_param_ptr(k, "indices", node_in(n, 1)->type.dtype);
    p.listed = kernel_param_ptr(k, "list", node_out(n)->type.dtype);
    return p;
}

/* A gather indexes x, and its result is the list; a scatter indexes its result, and the updates are
 * the list. */
static bool call(Lower *lo, const Node *n, Kernel *k, bool scatters) {
    const Value *indexed = scatters ? node_out(n) : node_in(n, 0);
    const Value *listed = scatters ? node_in(n, 2) : node_out(n);
    if (shape_elems(&listed->type.shape) == 0)
        return true;
    if (shape_elems(&indexed->type.shape) == 0)
        return lower_unsupported(lo, n, "there are no elements to find");
    const Arg args[] = {arg_addr(lower_plain(lo, indexed)),
                        arg_addr(lower_plain(lo, node_in(n, 1))),
                        arg_addr(lower_plain(lo, listed))};
    lower_call(lo, k, args, 3);
    return true;
}

/* ---- a slice for each tuple of indices ------------------------------------------------------- */

/* The indexed side is [outer][dims of a tuple][inner], the list is [outer][each][inner]. */
typedef struct Slices {
    int64_t outer, each, inner;
    int tuple;
    int64_t dim[MAX_RANK], stride[MAX_RANK]; /* of the dims that a tuple has an index for */
    bool shared;                             /* the same indices for all of outer */
} Slices;

/* A tuple has an index for dims first .. first + tuple of x. */
static void index_dims(Slices *s, const Shape *x, int first, int tuple) {
    s->tuple = tuple;
    s->inner = dims_product(x, first + tuple, x->rank);
    for (int i = 0; i < tuple; i++) {
        s->dim[i] = x->dim[first + i];
        s->stride[i] = dims_product(x, first + i + 1, x->rank);
    }
}

static Slices gathered(const Node *n) {
    const Shape *x = &node_in(n, 0)->type.shape;
    int axis = (int)axis_attrs(n)->axis;
    Slices s = {.outer = dims_product(x, 0, axis),
                .each = shape_elems(&node_in(n, 1)->type.shape),
                .shared = true};
    index_dims(&s, x, axis, 1);
    return s;
}

static Slices tuples(const Node *n, int batch_dims) {
    const Shape *x = &node_in(n, 0)->type.shape, *i = &node_in(n, 1)->type.shape;
    Slices s = {.outer = dims_product(i, 0, batch_dims),
                .each = dims_product(i, batch_dims, i->rank - 1)};
    index_dims(&s, x, batch_dims, (int)i->dim[i->rank - 1]);
    return s;
}

static Kernel *slices_kernel(Lower *lo, const Node *n, const Slices *s, const Op *combine) {
    Kernel *k = kernel_new(lo->m, op_info(n->op)->name);
    Pointers p = params(k, n);
    Builder bb = build_begin(k), *b = &bb;
    int64_t size = s->inner;
    for (int i = 0; i < s->tuple; i++)
        size *= s->dim[i];
    Reg *list = copy_pointer(b, "to", p.listed), *tuple = copy_pointer(b, "tuple", p.indices);
    Reg *o = build_for(b, "o", bound_const(0), bound_const(s->outer), 1);
    if (s->shared)
        build_lea_to(b, tuple, addr_of(p.indices, 0));
    build_for(b, "k", bound_const(0), bound_const(s->each), 1);
    Reg *slice = build_lea(b, "slice", addr_plus(addr_of(p.indexed, 0), o, size));
    for (int i = 0; i < s->tuple; i++)
        build_lea_to(b, slice,
                     addr_plus(addr_of(slice, 0), load_index(b, addr_of(tuple, i), s->dim[i]),
                               s->stride[i]));
    Reg *j = build_for(b, "j", bound_const(0), bound_const(s->inner), 1);
    move_element(b, combine, addr_plus(addr_of(slice, 0), j, 1), addr_plus(addr_of(list, 0), j, 1));
    build_close(b);
    advance_by(b, list, s->inner);
    advance_by(b, tuple, s->tuple);
    build_close(b);
    build_close(b);
    build_end(b);
    return k;
}

bool lower_gather_slices(Lower *lo, Node *n) {
    Slices s = gathered(n);
    return call(lo, n, slices_kernel(lo, n, &s, NULL), false);
}

bool lower_gather_nd(Lower *lo, Node *n) {
    Slices s = tuples(n, (int)gather_nd_attrs(n)->batch_dims);
    return call(lo, n, slices_kernel(lo, n, &s, NULL), false);
}

/* ---- an element for each index --------------------------------------------------------------- */

/* Loops over the indices: the indexed side is at the element that has their place in all dims but
 * the axis. */
static Kernel *elements_kernel(Lower *lo, const Node *n, int axis, const Op *combine) {
    const Shape *x = &node_in(n, 0)->type.shape, *s = &node_in(n, 1)->type.shape;
    Kernel *k = kernel_new(lo->m, op_info(n->op)->name);
    Pointers p = params(k, n);
    Builder bb = build_begin(k), *b = &bb;
    Reg *list = copy_pointer(b, "to", p.listed), *index = copy_pointer(b, "index", p.indices);
    Reg *place = p.indexed;
    for (int d = 0; d < s->rank; d++) {
        Reg *c = build_for(b, "c", bound_const(0), bound_const(s->dim[d]), 1);
        if (d != axis)
            place = build_lea(b, "place",
                              addr_plus(addr_of(place, 0), c, dims_product(x, d + 1, x->rank)));
    }
    Reg *i = load_index(b, addr_of(index, 0), x->dim[axis]);
    move_element(b, combine, addr_plus(addr_of(place, 0), i, dims_product(x, axis + 1, x->rank)),
                 addr_of(list, 0));
    advance_by(b, list, 1);
    advance_by(b, index, 1);
    for (int d = 0; d < s->rank; d++)
        build_close(b);
    build_end(b);
    return k;
}

bool lower_gather_elements(Lower *lo, Node *n) {
    return call(lo, n, elements_kernel(lo, n, (int)axis_attrs(n)->axis, NULL), false);
}

/* ---- scatter --------------------------------------------------------------------------------- */

bool lower_scatter_elements(Lower *lo, Node *n) {
    const ScatterAttrs *a = scatter_attrs(n);
    lower_copy(lo, n);
    return call(lo, n, elements_kernel(lo, n, (int)a->axis, &a->combine), true);
}

bool lower_scatter_nd(Lower *lo, Node *n) {
    Slices s = tuples(n, 0);
    lower_copy(lo, n);
    return call(lo, n, slices_kernel(lo, n, &s, &scatter_nd_attrs(n)->combine), true);
}
