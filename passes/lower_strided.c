/* lower_strided.c: elementwise ops, transposes and other copies of plain tensors: a nest of loops
 * with a stride per operand and dimension. A broadcast dimension has stride 0. */
#include "passes/lower.h"

/* Operand 0..n-2 are read, n-1 is written. */
typedef struct Strided {
    int n, rank;
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
    Reg *size[MAX_RANK], *stride[MAX_ELEMENTWISE][MAX_RANK];
} StridedKernel;

static void declare(StridedKernel *sk, Kernel *k, Reg **base) {
    static const char *const names[MAX_ELEMENTWISE] = {"a", "b", "c"};
    Arena *a = &k->module->arena;
    const Strided *s = sk->s;
    for (int i = 0; i < s->n; i++)
        base[i] = kernel_param_ptr(k, i == s->n - 1 ? "out" : names[i], DT_f32);
    for (int d = 0; d < s->rank; d++)
        sk->size[d] = kernel_param_i64(k, arena_printf(a, "size%d", d));
    for (int i = 0; i < s->n; i++)
        for (int d = 0; d < s->rank; d++)
            sk->stride[i][d] = kernel_param_i64(k, arena_printf(a, "%s%d", base[i]->name, d));
}

/* The loops from dimension d on, with every operand at `at`. Recursion ends at MAX_RANK. */
static void loops(StridedKernel *sk, const Node *n, Reg *const *at, int d) {
    Builder *b = &sk->b;
    if (d == sk->s->rank) {
        Reg *x = build_load(b, "x", 1, addr_of(at[0], 0));
        Reg *y = sk->s->n == 3 ? build_load(b, "y", 1, addr_of(at[1], 0)) : NULL;
        build_store(b, addr_of(at[sk->s->n - 1], 0), elementwise_result(b, n, x, y));
        return;
    }
    Reg *p[MAX_ELEMENTWISE];
    for (int i = 0; i < sk->s->n; i++)
        p[i] = build_lea(b, "p", addr_of(at[i], 0));
    build_for(b, "i", bound_const(0), bound_reg(sk->size[d]), 1);
    loops(sk, n, p, d + 1);
    for (int i = 0; i < sk->s->n; i++)
        build_lea_to(b, p[i], addr_plus(addr_of(p[i], 0), sk->stride[i][d], 1));
    build_close(b);
}

static Kernel *build_kernel(Lower *lo, const Node *n, const Strided *s) {
    const char *name = arena_printf(&lo->m->arena, "%s_%dd", op_info(n->op)->name, s->rank);
    Kernel *k = kernel_new(lo->m, name);
    StridedKernel sk = {.s = s};
    Reg *base[MAX_ELEMENTWISE];
    declare(&sk, k, base);
    sk.b = build_begin(k);
    loops(&sk, n, base, 0);
    build_end(&sk.b);
    return k;
}

static void call(Lower *lo, const Node *n, Strided *s, const Addr *at) {
    Arg args[MAX_ELEMENTWISE * (1 + MAX_RANK) + MAX_RANK];
    int count = 0;
    merge_all(s);
    for (int i = 0; i < s->n; i++)
        args[count++] = arg_addr(at[i]);
    for (int d = 0; d < s->rank; d++)
        args[count++] = arg_i64(s->size[d]);
    for (int i = 0; i < s->n; i++)
        for (int d = 0; d < s->rank; d++)
            args[count++] = arg_i64(s->stride[i][d]);
    lower_call(lo, build_kernel(lo, n, s), args, count);
}

/* ---- ops ------------------------------------------------------------------------------------- */

static void row_major(const Shape *s, int64_t *stride) {
    int64_t step = 1;
    for (int d = s->rank - 1; d >= 0; d--) {
        stride[d] = step;
        step *= s->dim[d];
    }
}

/* The strides of a tensor of shape s that broadcasts to `rank` dimensions (numpy's rule). */
static void broadcast(const Shape *s, int rank, int64_t *stride) {
    int64_t own[MAX_RANK];
    row_major(s, own);
    for (int d = 0; d < rank; d++) {
        int k = d - (rank - s->rank);
        stride[d] = k < 0 || s->dim[k] == 1 ? 0 : own[k];
    }
}

void lower_elementwise_plain(Lower *lo, const Node *n) {
    const Shape *y = &node_out(n)->type.shape;
    Strided s = {.n = n->noperands + 1, .rank = y->rank};
    Addr at[MAX_ELEMENTWISE];
    for (int d = 0; d < y->rank; d++)
        s.size[d] = y->dim[d];
    for (int i = 0; i < n->noperands; i++) {
        broadcast(&node_in(n, i)->type.shape, y->rank, s.stride[i]);
        at[i] = lower_plain(lo, node_in(n, i));
    }
    row_major(y, s.stride[s.n - 1]);
    at[s.n - 1] = lower_plain(lo, node_out(n));
    call(lo, n, &s, at);
}

bool lower_transpose(Lower *lo, Node *n) {
    Ints perm = transpose_attrs(n)->perm;
    const Shape *x = &node_in(n, 0)->type.shape, *y = &node_out(n)->type.shape;
    int64_t own[MAX_RANK];
    Strided s = {.n = 2, .rank = y->rank};
    row_major(x, own);
    row_major(y, s.stride[1]);
    for (int d = 0; d < y->rank; d++) {
        s.size[d] = y->dim[d];
        s.stride[0][d] = own[perm.v[d]];
    }
    call(lo, n, &s, (Addr[]){lower_plain(lo, node_in(n, 0)), lower_plain(lo, node_out(n))});
    return true;
}
