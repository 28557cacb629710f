/* lower_matmul.c: products of matrices that are known at run time, in the caller's layout. Products
 * by constant weights are dense, whose kernel packs them.
 *
 *   for each matrix of the result                 (broadcast: an operand's step is 0)
 *     for rows, four at a time, then one
 *       for columns, two vectors at a time, then one vector, then one column
 *         sums in registers over all k */
#include "passes/lower.h"

enum { TILE_ROWS = 4, TILE_VECTORS = 2 };

typedef struct MatmulKernel {
    Builder b;
    Reg *a, *c;       /* the first row of the tile, in a and in the result */
    Reg *w;           /* the second operand */
    Reg *n, *k;       /* columns of the result, terms of a sum */
    Reg *pairs, *all; /* columns in pairs of vectors, and in whole vectors */
    int lanes;
} MatmulKernel;

/* rows x vectors of the result, from column j on. */
static void tile(MatmulKernel *mk, Reg *j, int rows, int vectors, int lanes) {
    Builder *b = &mk->b;
    Reg *acc[TILE_ROWS][TILE_VECTORS], *y[TILE_VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            acc[r][v] = build_const_f(b, "acc", ltype(DT_f32, lanes), 0);
    Reg *p = copy_pointer(b, "p", mk->a);
    Reg *q = build_lea(b, "q", addr_plus(addr_of(mk->w, 0), j, 1));
    build_for(b, "t", bound_const(0), bound_reg(mk->k), 1);
    for (int v = 0; v < vectors; v++)
        y[v] = build_load(b, "y", lanes, addr_of(q, v * lanes));
    for (int r = 0; r < rows; r++) {
        Addr at = addr_of(p, 0);
        Reg *x = build_spread(b, "x", lanes, r ? addr_plus(at, mk->k, r) : at);
        for (int v = 0; v < vectors; v++)
            build_op_to(b, INST_fma, acc[r][v], x, y[v], acc[r][v]);
    }
    advance_by(b, p, 1);
    advance(b, q, mk->n);
    build_close(b);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            Addr to = addr_plus(addr_of(mk->c, v * lanes), j, 1);
            build_store(b, r ? addr_plus(to, mk->n, r) : to, acc[r][v]);
        }
}

static void tiles(MatmulKernel *mk, Bound from, Reg *to, int rows, int vectors, int lanes) {
    Reg *j = build_for(&mk->b, "j", from, bound_reg(to), vectors * lanes);
    tile(mk, j, rows, vectors, lanes);
    build_close(&mk->b);
}

/* The rows from `from` on, some at a time; leaves a and c behind the last one. */
static void row_loop(MatmulKernel *mk, Bound from, Reg *to, int rows) {
    Builder *b = &mk->b;
    build_for(b, "i", from, bound_reg(to), rows);
    tiles(mk, bound_const(0), mk->pairs, rows, TILE_VECTORS, mk->lanes);
    tiles(mk, bound_reg(mk->pairs), mk->all, rows, 1, mk->lanes);
    if (mk->lanes > 1)
        tiles(mk, bound_reg(mk->all), mk->n, rows, 1, 1);
    build_lea_to(b, mk->a, addr_plus(addr_of(mk->a, 0), mk->k, rows));
    build_lea_to(b, mk->c, addr_plus(addr_of(mk->c, 0), mk->n, rows));
    build_close(b);
}

static Kernel *build_kernel(Lower *lo) {
    Kernel *k = kernel_new(lo->m, "matmul");
    MatmulKernel mk = {.lanes = lower_lanes(lo)};
    Reg *a = kernel_param_ptr(k, "a", DT_f32);
    mk.w = kernel_param_ptr(k, "b", DT_f32);
    Reg *c = kernel_param_ptr(k, "c", DT_f32);
    Reg *fours = kernel_param_i64(k, "fours"), *m = kernel_param_i64(k, "m");
    mk.pairs = kernel_param_i64(k, "pairs");
    mk.all = kernel_param_i64(k, "all");
    mk.n = kernel_param_i64(k, "n");
    mk.k = kernel_param_i64(k, "k");
    mk.b = build_begin(k);
    mk.a = copy_pointer(&mk.b, "pa", a);
    mk.c = copy_pointer(&mk.b, "pc", c);
    row_loop(&mk, bound_const(0), fours, TILE_ROWS);
    row_loop(&mk, bound_reg(fours), m, 1);
    build_end(&mk.b);
    return k;
}

/* ---- the matrices of a node ------------------------------------------------------------------ */

/* The dimensions in front of the last two; steps from one matrix to the next of a, b and the
 * result. */
typedef struct Batch {
    int rank;
    int64_t size[MAX_RANK], step[3][MAX_RANK];
} Batch;

static void matrix_steps(const Shape *s, int rank, int64_t *step) {
    int64_t size = s->dim[s->rank - 2] * s->dim[s->rank - 1];
    for (int d = rank - 1; d >= 0; d--) {
        int own = d - (rank - (s->rank - 2));
        step[d] = own < 0 || s->dim[own] == 1 ? 0 : size;
        size *= own < 0 ? 1 : s->dim[own];
    }
}

/* Whether one loop can do dimension d and the one before it. */
static bool can_merge(const Batch *all, int before, int d, const Batch *kept) {
    for (int i = 0; i < 3; i++)
        if (kept->step[i][before] != all->step[i][d] * all->size[d])
            return false;
    return true;
}

/* Without dimensions of size 1, neighbours as one where that can be. */
static Batch merged(const Batch *all) {
    Batch kept = {0};
    for (int d = 0; d < all->rank; d++) {
        if (all->size[d] == 1)
            continue;
        bool merge = kept.rank && can_merge(all, kept.rank - 1, d, &kept);
        int to = merge ? kept.rank - 1 : kept.rank++;
        kept.size[to] = merge ? kept.size[to] * all->size[d] : all->size[d];
        for (int i = 0; i < 3; i++)
            kept.step[i][to] = all->step[i][d];
    }
    return kept;
}

static Batch batch_of(const Node *n) {
    const Shape *y = &node_out(n)->type.shape;
    Batch all = {.rank = y->rank - 2};
    for (int d = 0; d < all.rank; d++)
        all.size[d] = y->dim[d];
    matrix_steps(&node_in(n, 0)->type.shape, all.rank, all.step[0]);
    matrix_steps(&node_in(n, 1)->type.shape, all.rank, all.step[1]);
    matrix_steps(y, all.rank, all.step[2]);
    return merged(&all);
}

static void call_kernel(Lower *lo, const Node *n, const Addr at[3]) {
    const Shape *y = &node_out(n)->type.shape, *x = &node_in(n, 0)->type.shape;
    int64_t rows = y->dim[y->rank - 2], columns = y->dim[y->rank - 1], lanes = lower_lanes(lo);
    const Arg args[] = {arg_addr(at[0]),
                        arg_addr(at[1]),
                        arg_addr(at[2]),
                        arg_i64(rows - rows % TILE_ROWS),
                        arg_i64(rows),
                        arg_i64(columns - columns % (TILE_VECTORS * lanes)),
                        arg_i64(columns - columns % lanes),
                        arg_i64(columns),
                        arg_i64(x->dim[x->rank - 1])};
    lower_call(lo, build_kernel(lo), args, sizeof args / sizeof *args);
}

bool lower_matmul(Lower *lo, Node *n) {
    Batch batch = batch_of(n);
    if (batch.rank > MAX_TERMS)
        return lower_unsupported(lo, n, "its operands are broadcast in too many dimensions");
    if (!shape_elems(&node_out(n)->type.shape))
        return true;
    Addr at[3] = {lower_plain(lo, node_in(n, 0)), lower_plain(lo, node_in(n, 1)),
                  lower_plain(lo, node_out(n))};
    for (int d = 0; d < batch.rank; d++) {
        Reg *i = build_for(&lo->step, "i", bound_const(0), bound_const(batch.size[d]), 1);
        for (int k = 0; k < 3; k++)
            at[k] = batch.step[k][d] ? addr_plus(at[k], i, batch.step[k][d]) : at[k];
    }
    call_kernel(lo, n, at);
    for (int d = 0; d < batch.rank; d++)
        build_close(&lo->step);
    return true;
}
