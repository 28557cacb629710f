/* lower_softmax.c: softmax over one axis of a plain tensor of any rank, seen as [outer, n, inner].
 *
 * Three passes over each line: its largest element; e^(x - largest), which can't overflow, and
 * their sum in the order of the elements; the quotients. A NaN makes its whole line NaN, and so
 * does +inf (inf - inf). */
#include "passes/lower.h"

#include <math.h>

typedef struct SoftmaxKernel {
    Builder b;
    Reg *n, *inner; /* elements of a line, and elements from one to the next */
    Reg *p, *q;     /* walk along a line of the input and of the result */
    Reg *max, *sum;
} SoftmaxKernel;

static void find_max(SoftmaxKernel *k, Reg *from) {
    Builder *b = &k->b;
    build_lea_to(b, k->p, addr_of(from, 0));
    build_const_f_to(b, k->max, -INFINITY);
    build_for(b, "j", bound_const(0), bound_reg(k->n), 1);
    build_op_to(b, INST_max, k->max, build_load(b, "x", 1, addr_of(k->p, 0)), k->max, NULL);
    advance(b, k->p, k->inner);
    build_close(b);
}

static void add_exponentials(SoftmaxKernel *k, Reg *from, Reg *to) {
    Builder *b = &k->b;
    build_lea_to(b, k->p, addr_of(from, 0));
    build_lea_to(b, k->q, addr_of(to, 0));
    build_const_f_to(b, k->sum, 0);
    build_for(b, "j", bound_const(0), bound_reg(k->n), 1);
    Reg *x = build_load(b, "x", 1, addr_of(k->p, 0));
    Reg *d = build_op(b, INST_sub, "d", x, k->max, NULL);
    Reg *e = build_op(b, INST_exp, "e", d, NULL, NULL);
    build_store(b, addr_of(k->q, 0), e);
    build_op_to(b, INST_add, k->sum, k->sum, e, NULL);
    advance(b, k->p, k->inner);
    advance(b, k->q, k->inner);
    build_close(b);
}

static void divide(SoftmaxKernel *k, Reg *to) {
    Builder *b = &k->b;
    build_lea_to(b, k->q, addr_of(to, 0));
    build_for(b, "j", bound_const(0), bound_reg(k->n), 1);
    Reg *e = build_load(b, "e", 1, addr_of(k->q, 0));
    build_store(b, addr_of(k->q, 0), build_op(b, INST_div, "y", e, k->sum, NULL));
    advance(b, k->q, k->inner);
    build_close(b);
}

static Kernel *build_kernel(Lower *lo) {
    Kernel *k = kernel_new(lo->m, "softmax");
    LType f32 = ltype(DT_f32, 1);
    SoftmaxKernel sk = {0};
    Reg *a = kernel_param_ptr(k, "a", DT_f32), *c = kernel_param_ptr(k, "c", DT_f32);
    Reg *outer = kernel_param_i64(k, "outer"), *line = kernel_param_i64(k, "line");
    sk.n = kernel_param_i64(k, "n");
    sk.inner = kernel_param_i64(k, "inner");
    sk.p = kernel_ptr(k, "p", DT_f32);
    sk.q = kernel_ptr(k, "q", DT_f32);
    sk.max = kernel_reg(k, "max", f32);
    sk.sum = kernel_reg(k, "sum", f32);
    sk.b = build_begin(k);
    Builder *b = &sk.b;
    Reg *ao = copy_pointer(b, "ao", a), *co = copy_pointer(b, "co", c);
    build_for(b, "o", bound_const(0), bound_reg(outer), 1);
    Reg *i = build_for(b, "i", bound_const(0), bound_reg(sk.inner), 1);
    Reg *from = build_lea(b, "from", addr_plus(addr_of(ao, 0), i, 1));
    Reg *to = build_lea(b, "to", addr_plus(addr_of(co, 0), i, 1));
    find_max(&sk, from);
    add_exponentials(&sk, from, to);
    divide(&sk, to);
    build_close(b);
    advance(b, ao, line);
    advance(b, co, line);
    build_close(b);
    build_end(b);
    return k;
}

bool lower_softmax(Lower *lo, Node *n) {
    const Shape *s = &node_out(n)->type.shape;
    int axis = (int)axis_attrs(n)->axis;
    int64_t outer = dims_product(s, 0, axis), inner = dims_product(s, axis + 1, s->rank);
    const Arg args[] = {arg_addr(lower_plain(lo, node_in(n, 0))),
                        arg_addr(lower_plain(lo, node_out(n))),
                        arg_i64(outer),
                        arg_i64(s->dim[axis] * inner),
                        arg_i64(s->dim[axis]),
                        arg_i64(inner)};
    lower_call(lo, build_kernel(lo), args, sizeof args / sizeof *args);
    return true;
}
