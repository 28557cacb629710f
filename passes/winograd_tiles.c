/* winograd_tiles.c: the transforms of input and output tiles.
 *
 *   for each block of channels
 *     for each tile                         [edge: a tile that sticks out goes through `spare`]
 *       for each group of rows              what registers hold
 *         columns: load, transform to the group's rows
 *         rows: transform, store
 *
 * A transform in one dimension is a list of parts that share no intermediate value, so that a group
 * of parts costs no arithmetic twice, only loads. */
#include "passes/winograd.h"

typedef struct Tiles {
    Builder b;
    Lower *lo;
    int m, n, lanes; /* output rows, input rows of a tile */
    bool edge;
    Reg *spare, *first, *count, *tiles_x, *height, *width;
    Reg *k2, *k4, *k8, *km4, *km5; /* constants, all lanes */
    Reg *zero;                     /* edge */
    Reg *m_tile, *n_tile;          /* edge: m and m + 2 as integers */
    Reg *one_i, *zero_i;
    Reg *tx, *left, *tx0, *left0; /* the tile's column; rows of output from its first one on */
    Reg *row_offset[2], *row_offset0[2], *row_step[2]; /* of the tile's row of tiles */
    int tensors;                                       /* how many row offsets there are */
} Tiles;

/* ---- one dimension --------------------------------------------------------------------------- */

static Reg *add(Tiles *t, Reg *x, Reg *y) {
    return build_op(&t->b, INST_add, "s", x, y, NULL);
}

static Reg *sub(Tiles *t, Reg *x, Reg *y) {
    return build_op(&t->b, INST_sub, "s", x, y, NULL);
}

static Reg *mul_add(Tiles *t, Reg *x, Reg *y, Reg *z) {
    return build_op(&t->b, INST_fma, "s", x, y, z);
}

/* B^T, m = 4 */
static void in4_first(Tiles *t, Reg *const *x, Reg **y) {
    y[0] = mul_add(t, t->k4, x[0], mul_add(t, t->km5, x[2], x[4]));
}

static void in4_ones(Tiles *t, Reg *const *x, Reg **y) {
    Reg *even = mul_add(t, t->km4, x[2], x[4]), *odd = mul_add(t, t->km4, x[1], x[3]);
    y[1] = add(t, even, odd);
    y[2] = sub(t, even, odd);
}

static void in4_twos(Tiles *t, Reg *const *x, Reg **y) {
    Reg *even = sub(t, x[4], x[2]), *half = sub(t, x[3], x[1]), *odd = add(t, half, half);
    y[3] = add(t, even, odd);
    y[4] = sub(t, even, odd);
}

static void in4_last(Tiles *t, Reg *const *x, Reg **y) {
    y[5] = mul_add(t, t->k4, x[1], mul_add(t, t->km5, x[3], x[5]));
}

/* A^T, m = 4 */
static void out4_even(Tiles *t, Reg *const *x, Reg **y) {
    Reg *ones = add(t, x[1], x[2]), *twos = add(t, x[3], x[4]);
    y[0] = add(t, add(t, x[0], ones), twos);
    y[2] = mul_add(t, t->k4, twos, ones);
}

static void out4_odd(Tiles *t, Reg *const *x, Reg **y) {
    Reg *ones = sub(t, x[1], x[2]), *twos = sub(t, x[3], x[4]);
    y[1] = mul_add(t, t->k2, twos, ones);
    y[3] = add(t, mul_add(t, t->k8, twos, ones), x[5]);
}

/* B^T, m = 2 */
static void in2_first(Tiles *t, Reg *const *x, Reg **y) {
    y[0] = sub(t, x[0], x[2]);
}

static void in2_ones(Tiles *t, Reg *const *x, Reg **y) {
    y[1] = add(t, x[1], x[2]);
    y[2] = sub(t, x[2], x[1]);
}

static void in2_last(Tiles *t, Reg *const *x, Reg **y) {
    y[3] = sub(t, x[1], x[3]);
}

/* A^T, m = 2 */
static void out2_first(Tiles *t, Reg *const *x, Reg **y) {
    y[0] = add(t, x[0], add(t, x[1], x[2]));
}

static void out2_last(Tiles *t, Reg *const *x, Reg **y) {
    y[1] = sub(t, sub(t, x[1], x[2]), x[3]);
}

typedef struct Part {
    void (*emit)(Tiles *t, Reg *const *x, Reg **y);
    unsigned reads, writes; /* bits: rows of x, rows of y */
} Part;

enum { MAX_PARTS = 4 };

/* Parts in order, and how many are done at once with 16 registers, and with 32. */
typedef struct Transform {
    Part parts[MAX_PARTS];
    int count, few, many;
} Transform;

static const Transform input4 = {{{in4_first, 0x15, 0x01},
                                  {in4_ones, 0x1e, 0x06},
                                  {in4_twos, 0x1e, 0x18},
                                  {in4_last, 0x2a, 0x20}},
                                 4,
                                 1,
                                 2};
static const Transform output4 = {{{out4_even, 0x1f, 0x5}, {out4_odd, 0x3e, 0xa}}, 2, 1, 2};
static const Transform input2 = {
    {{in2_first, 0x5, 0x1}, {in2_ones, 0x6, 0x6}, {in2_last, 0xa, 0x8}}, 3, 2, 3};
static const Transform output2 = {{{out2_first, 0x7, 0x1}, {out2_last, 0xe, 0x2}}, 2, 2, 2};

void winograd_weights(int m, const float *g, double *out) {
    static const double g4[6][3] = {{1. / 4, 0, 0},
                                    {-1. / 6, -1. / 6, -1. / 6},
                                    {-1. / 6, 1. / 6, -1. / 6},
                                    {1. / 24, 1. / 12, 1. / 6},
                                    {1. / 24, -1. / 12, 1. / 6},
                                    {0, 0, 1}};
    static const double g2[4][3] = {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}};
    const double(*rows)[3] = m == 4 ? g4 : g2;
    int n = winograd_size(m);
    for (int i = 0; i < n; i++) {
        double half[3];
        for (int j = 0; j < 3; j++)
            half[j] = rows[i][0] * g[j] + rows[i][1] * g[3 + j] + rows[i][2] * g[6 + j];
        for (int j = 0; j < n; j++)
            out[i * n + j] = rows[j][0] * half[0] + rows[j][1] * half[1] + rows[j][2] * half[2];
    }
}

/* ---- two dimensions -------------------------------------------------------------------------- */

typedef Reg *Matrix[WINOGRAD_MAX][WINOGRAD_MAX];

static void emit_parts(Tiles *t, const Transform *tr, int from, int to, Reg *const *x, Reg **y) {
    for (int p = from; p < to; p++)
        tr->parts[p].emit(t, x, y);
}

/* Bits of all rows that the parts from..to read, or write. */
static unsigned rows_read(const Transform *tr, int from, int to) {
    unsigned bits = 0;
    for (int p = from; p < to; p++)
        bits |= tr->parts[p].reads;
    return bits;
}

static unsigned rows_written(const Transform *tr, int from, int to) {
    unsigned bits = 0;
    for (int p = from; p < to; p++)
        bits |= tr->parts[p].writes;
    return bits;
}

/* Down the columns: e[row][column] for the rows that the parts from..to give, of the elements at
 * at + i * row + j * column: `row` is a register, or NULL where a row is n columns. */
static void transform_columns(Tiles *t, const Transform *tr, int from, int to, Addr at, Reg *row,
                              Matrix e) {
    unsigned reads = rows_read(tr, from, to);
    for (int j = 0; j < t->n; j++) {
        Reg *x[WINOGRAD_MAX] = {NULL}, *y[WINOGRAD_MAX] = {NULL};
        for (int i = 0; i < t->n; i++) {
            if (!(reads >> i & 1))
                continue;
            Addr a = addr_offset(at, (row ? j : i * t->n + j) * t->lanes);
            x[i] = build_load(&t->b, "d", t->lanes, row && i ? addr_plus(a, row, i) : a);
        }
        emit_parts(t, tr, from, to, x, y);
        for (int i = 0; i < t->n; i++)
            e[i][j] = y[i];
    }
}

static int parts_at_once(const Tiles *t, const Transform *tr) {
    return t->lo->cx->target->vector_regs >= 32 ? tr->many : tr->few;
}

/* What becomes of result (i, j) of a tile. */
typedef void Finish(Tiles *t, const void *context, Reg *y, int i, int j);

/* A tile in both dimensions, to `size` rows and columns. */
static void transform(Tiles *t, const Transform *tr, int size, Addr at, Reg *row, Finish *finish,
                      const void *context) {
    int step = parts_at_once(t, tr);
    for (int p = 0; p < tr->count; p += step) {
        int end = p + step < tr->count ? p + step : tr->count;
        Matrix e = {{NULL}};
        transform_columns(t, tr, p, end, at, row, e);
        for (int i = 0; i < size; i++) {
            if (!(rows_written(tr, p, end) >> i & 1))
                continue;
            Reg *y[WINOGRAD_MAX];
            emit_parts(t, tr, 0, tr->count, e[i], y);
            for (int j = 0; j < size; j++)
                finish(t, context, y[j], i, j);
        }
    }
}

static void store_point(Tiles *t, const void *to, Reg *y, int i, int j) {
    build_store(&t->b, addr_offset(*(const Addr *)to, (i * t->n + j) * t->lanes), y);
}

static void transform_input(Tiles *t, Addr at, Reg *row, Addr to) {
    transform(t, t->m == 4 ? &input4 : &input2, t->n, at, row, store_point, &to);
}

typedef struct Epilogue {
    Reg *bias; /* all lanes */
    Act act;
    Reg *c, *c_row, *r, *r_row; /* r is NULL where there is no residual */
} Epilogue;

static Addr output_at(const Tiles *t, Reg *base, Reg *row, int i, int j) {
    Addr a = addr_of(base, j * t->lanes);
    return i ? addr_plus(a, row, i) : a;
}

static void finish_element(Tiles *t, const void *context, Reg *y, int i, int j) {
    const Epilogue *ep = context;
    Builder *b = &t->b;
    y = add(t, y, ep->bias);
    if (ep->act != ACT_none)
        y = build_op(b, act_inst(ep->act), "y", y, NULL, NULL);
    if (ep->r)
        y = add(t, y, build_load(b, "res", t->lanes, output_at(t, ep->r, ep->r_row, i, j)));
    build_store(b, output_at(t, ep->c, ep->c_row, i, j), y);
}

static void transform_output(Tiles *t, Addr at, const Epilogue *ep) {
    transform(t, t->m == 4 ? &output4 : &output2, t->m, at, NULL, finish_element, ep);
}

/* ---- walking over tiles ---------------------------------------------------------------------- */

static Reg *integer(Tiles *t, const char *name, int64_t value) {
    return build_const_i(&t->b, name, ltype(DT_i64, 1), value);
}

static Reg *int_op(Tiles *t, InstOp op, const char *name, Reg *x, Reg *y) {
    return build_op(&t->b, op, name, x, y, NULL);
}

static void set(Tiles *t, Reg *d, Reg *x) {
    build_op_to(&t->b, INST_mov, d, x, NULL, NULL);
}

static void declare_where(Tiles *t, Kernel *k) {
    t->first = kernel_param_i64(k, "first");
    t->count = kernel_param_i64(k, "count");
    t->tiles_x = kernel_param_i64(k, "tiles_x");
    t->height = kernel_param_i64(k, "height");
    t->width = kernel_param_i64(k, "width");
}

static Reg *vector_constant(Tiles *t, const char *name, double value) {
    return build_const_f(&t->b, name, ltype(DT_f32, t->lanes), value);
}

/* Constants, and where tile `first` is: for each of the n tensors a row of tiles is m of its
 * rows. */
static void begin_walk(Tiles *t, Reg *const *rows, int n) {
    Reg *m = integer(t, "m", t->m);
    t->one_i = integer(t, "one_i", 1);
    t->zero_i = integer(t, "zero_i", 0);
    Reg *ty = int_op(t, INST_div, "ty", t->first, t->tiles_x);
    t->tx0 = int_op(t, INST_rem, "tx0", t->first, t->tiles_x);
    t->tensors = n;
    for (int i = 0; i < n; i++) {
        t->row_step[i] = int_op(t, INST_mul, "row_step", rows[i], m);
        t->row_offset0[i] = int_op(t, INST_mul, "start", ty, t->row_step[i]);
    }
    if (!t->edge)
        return;
    t->m_tile = m;
    t->n_tile = integer(t, "n", t->n);
    t->zero = vector_constant(t, "zero", 0);
    t->left0 = int_op(t, INST_sub, "left0", t->height, int_op(t, INST_mul, "ty", ty, m));
}

static void begin_tiles(Tiles *t) {
    Builder *b = &t->b;
    t->tx = build_op(b, INST_mov, "tx", t->tx0, NULL, NULL);
    for (int i = 0; i < t->tensors; i++)
        t->row_offset[i] = build_op(b, INST_mov, "row_at", t->row_offset0[i], NULL, NULL);
    if (t->edge)
        t->left = build_op(b, INST_mov, "left", t->left0, NULL, NULL);
    build_for(b, "t", bound_const(0), bound_reg(t->count), 1);
}

static void end_tiles(Tiles *t) {
    Builder *b = &t->b;
    build_op_to(b, INST_add, t->tx, t->tx, t->one_i, NULL);
    build_if(b, int_op(t, INST_eq, "wraps", t->tx, t->tiles_x));
    set(t, t->tx, t->zero_i);
    for (int i = 0; i < t->tensors; i++)
        build_op_to(b, INST_add, t->row_offset[i], t->row_offset[i], t->row_step[i], NULL);
    if (t->edge)
        build_op_to(b, INST_sub, t->left, t->left, t->m_tile, NULL);
    build_close(b);
    build_close(b);
}

/* The tile's first element in tensor i, which starts at `base`. */
static Reg *tile_at(Tiles *t, const char *name, Reg *base, int i) {
    Addr a = addr_plus(addr_of(base, 0), t->row_offset[i], 1);
    return build_lea(&t->b, name, addr_plus(a, t->tx, t->m * t->lanes));
}

/* ---- tiles that stick out -------------------------------------------------------------------- */

/* The part of the tile inside the plane, and whether that isn't all of it. */
typedef struct Inside {
    Reg *rows, *length; /* length: elements of a row */
    Reg *cut;
} Inside;

/* `more`: rows and columns that an input has more than its output: 2 or 0. */
static Inside inside(Tiles *t, Reg *size, int more) {
    Reg *columns =
        int_op(t, INST_sub, "columns", t->width, int_op(t, INST_mul, "column", t->tx, t->m_tile));
    Reg *rows = t->left;
    if (more) {
        Reg *extra = integer(t, "extra", more);
        columns = int_op(t, INST_add, "columns", columns, extra);
        rows = int_op(t, INST_add, "rows", rows, extra);
    }
    Reg *narrow = int_op(t, INST_lt, "narrow", columns, size);
    Reg *low = int_op(t, INST_lt, "low", rows, size);
    Reg *lanes = integer(t, "lanes", t->lanes);
    Reg *length =
        int_op(t, INST_mul, "length", int_op(t, INST_min, "columns", columns, size), lanes);
    return (Inside){.rows = int_op(t, INST_min, "rows", rows, size),
                    .length = length,
                    .cut = int_op(t, INST_or, "cut", narrow, low)};
}

static void copy_inside(Tiles *t, const Inside *in, Reg *from, Reg *from_row, Reg *to,
                        Reg *to_row) {
    Builder *b = &t->b;
    Reg *f = copy_pointer(b, "from", from), *p = copy_pointer(b, "to", to);
    build_for(b, "y", bound_const(0), bound_reg(in->rows), 1);
    Reg *x = build_for(b, "x", bound_const(0), bound_reg(in->length), t->lanes);
    build_store(b, addr_plus(addr_of(p, 0), x, 1),
                build_load(b, "e", t->lanes, addr_plus(addr_of(f, 0), x, 1)));
    build_close(b);
    advance(b, f, from_row);
    advance(b, p, to_row);
    build_close(b);
}

static void zero_spare(Tiles *t) {
    Reg *x = build_for(&t->b, "x", bound_const(0), bound_const(t->n * t->n * t->lanes), t->lanes);
    build_store(&t->b, addr_plus(addr_of(t->spare, 0), x, 1), t->zero);
    build_close(&t->b);
}

/* ---- the kernels ----------------------------------------------------------------------------- */

static const char *kernel_name(Lower *lo, int m, const char *what, bool edge, Act act, bool res) {
    Arena *a = &lo->m->arena;
    const char *name = arena_printf(a, "winograd%d_%s%s", m, what, edge ? "_edge" : "");
    if (act != ACT_none)
        name = arena_printf(a, "%s_%s", name, act_name(act));
    return res ? arena_printf(a, "%s_res", name) : name;
}

static Tiles tiles_begin(Lower *lo, int m, bool edge) {
    return (Tiles){.lo = lo, .m = m, .n = winograd_size(m), .lanes = lower_lanes(lo), .edge = edge};
}

/* Redirects *at and *row to a copy in `spare` with zeros around it where the tile sticks out. */
static void cut_input(Tiles *t, Reg *at, Reg *row) {
    Builder *b = &t->b;
    Inside in = inside(t, t->n_tile, 2);
    build_if(b, in.cut);
    zero_spare(t);
    Reg *spare_row = integer(t, "spare_row", t->n * t->lanes);
    copy_inside(t, &in, at, row, t->spare, spare_row);
    build_lea_to(b, at, addr_of(t->spare, 0));
    set(t, row, spare_row);
    build_close(b);
}

Kernel *winograd_input_kernel(Lower *lo, int m, bool edge) {
    Kernel *k = kernel_new(lo->m, kernel_name(lo, m, "input", edge, ACT_none, false));
    Tiles t = tiles_begin(lo, m, edge);
    Reg *a = kernel_param_ptr(k, "a", DT_f32), *v = kernel_param_ptr(k, "v", DT_f32);
    t.spare = kernel_param_ptr(k, "spare", DT_f32);
    Reg *a_row = kernel_param_i64(k, "a_row"), *a_plane = kernel_param_i64(k, "a_plane");
    Reg *v_block = kernel_param_i64(k, "v_block"), *blocks = kernel_param_i64(k, "blocks");
    declare_where(&t, k);
    t.b = build_begin(k);
    Builder *b = &t.b;
    begin_walk(&t, (Reg *[]){a_row}, 1);
    t.k4 = vector_constant(&t, "four", 4);
    t.km4 = vector_constant(&t, "minus_four", -4);
    t.km5 = vector_constant(&t, "minus_five", -5);
    Reg *ap = copy_pointer(b, "ap", a), *vp = copy_pointer(b, "vp", v);
    build_for(b, "cb", bound_const(0), bound_reg(blocks), 1);
    Reg *to = copy_pointer(b, "to", vp);
    begin_tiles(&t);
    Reg *at = tile_at(&t, "at", ap, 0), *row = build_op(b, INST_mov, "row", a_row, NULL, NULL);
    if (edge)
        cut_input(&t, at, row);
    transform_input(&t, addr_of(at, 0), row, addr_of(to, 0));
    advance_by(b, to, winograd_tile_step(m, t.lanes));
    end_tiles(&t);
    advance(b, ap, a_plane);
    advance(b, vp, v_block);
    build_close(b);
    build_end(b);
    return k;
}

/* One tile of the output; ep->c and ep->r are its first elements. */
static void output_tile(Tiles *t, Addr from, Epilogue *ep) {
    Builder *b = &t->b;
    if (!t->edge) {
        transform_output(t, from, ep);
        return;
    }
    Inside in = inside(t, t->m_tile, 0);
    Reg *c = copy_pointer(b, "c_in", ep->c), *c_row = ep->c_row;
    Reg *spare_row = integer(t, "spare_row", t->m * t->lanes);
    ep->c_row = build_op(b, INST_mov, "c_step", ep->c_row, NULL, NULL);
    Reg *r_row = ep->r ? build_op(b, INST_mov, "r_step", ep->r_row, NULL, NULL) : NULL;
    build_if(b, in.cut);
    if (ep->r) {
        copy_inside(t, &in, ep->r, ep->r_row, t->spare, spare_row);
        build_lea_to(b, ep->r, addr_of(t->spare, 0));
        set(t, r_row, spare_row);
    }
    build_lea_to(b, ep->c, addr_of(t->spare, 0));
    set(t, ep->c_row, spare_row);
    build_close(b);
    ep->r_row = r_row;
    transform_output(t, from, ep);
    build_if(b, in.cut);
    copy_inside(t, &in, t->spare, spare_row, c, c_row);
    build_close(b);
}

Kernel *winograd_output_kernel(Lower *lo, int m, bool edge, Act act, bool residual) {
    Kernel *k = kernel_new(lo->m, kernel_name(lo, m, "output", edge, act, residual));
    Tiles t = tiles_begin(lo, m, edge);
    Reg *from = kernel_param_ptr(k, "t", DT_f32), *bias = kernel_param_ptr(k, "bias", DT_f32);
    Reg *c = kernel_param_ptr(k, "c", DT_f32);
    t.spare = kernel_param_ptr(k, "spare", DT_f32);
    Reg *c_row = kernel_param_i64(k, "c_row"), *c_plane = kernel_param_i64(k, "c_plane");
    Reg *t_block = kernel_param_i64(k, "t_block"), *vectors = kernel_param_i64(k, "vectors");
    declare_where(&t, k);
    Reg *r = residual ? kernel_param_ptr(k, "r", DT_f32) : NULL;
    Reg *r_row = r ? kernel_param_i64(k, "r_row") : NULL;
    Reg *r_plane = r ? kernel_param_i64(k, "r_plane") : NULL;
    t.b = build_begin(k);
    Builder *b = &t.b;
    begin_walk(&t, (Reg *[]){c_row, r_row}, residual ? 2 : 1);
    t.k2 = vector_constant(&t, "two", 2);
    t.k4 = vector_constant(&t, "four", 4);
    t.k8 = vector_constant(&t, "eight", 8);
    Reg *tp = copy_pointer(b, "tp", from), *bp = copy_pointer(b, "bp", bias);
    Reg *cp = copy_pointer(b, "cp", c), *rp = r ? copy_pointer(b, "rp", r) : NULL;
    build_for(b, "n", bound_const(0), bound_reg(vectors), 1);
    Reg *at = copy_pointer(b, "at", tp);
    Reg *bias_vector = build_load(b, "bias_v", t.lanes, addr_of(bp, 0));
    begin_tiles(&t);
    Epilogue ep = {bias_vector, act, tile_at(&t, "ct", cp, 0), c_row, NULL, r_row};
    ep.r = r ? tile_at(&t, "rt", rp, 1) : NULL;
    output_tile(&t, addr_of(at, 0), &ep);
    advance_by(b, at, winograd_tile_step(m, t.lanes));
    end_tiles(&t);
    advance(b, tp, t_block);
    advance_by(b, bp, t.lanes);
    advance(b, cp, c_plane);
    if (r)
        advance(b, rp, r_plane);
    build_close(b);
    build_end(b);
    return k;
}
