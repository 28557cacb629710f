/* lower_trials.c: a module that measures tiles: the kernels of some problems, each with a tile that
 * the caller chose, as the lowerings of ops would build and call them.
 *
 *     step @trial_I { count = counts[I]   for r in 0..count { call @the_kernel(...) } }
 *
 * The arena holds one region for each role, as large as the largest problem needs. */
#include "passes/lower.h"

#include <math.h>

typedef enum Role { ROLE_INPUT, ROLE_OUTPUT, ROLE_SUMS, ROLE_COUNT } Role;

static const char *const role_names[ROLE_COUNT] = {"input", "output", "sums"};

/* One trial as a call: of one kind or the other. */
typedef struct Call {
    const TileProblem *p;
    ConvAttrs attrs;
    View x, y;
    Gemm gemm;
    Depthwise dw;
    int64_t elems[ROLE_COUNT]; /* f32 */
} Call;

/* ---- sizes ----------------------------------------------------------------------------------- */

static ConvAttrs attrs_of(const TileProblem *p) {
    return (ConvAttrs){.kernel = {{p->kh, p->kw}},
                       .stride = {{p->stride, p->stride}},
                       .dilation = {{p->dilation, p->dilation}},
                       .group = 1,
                       .act = p->act};
}

/* Rows or columns of input that n of output need. */
static int64_t input_size(const TileProblem *p, int64_t n, int64_t taps) {
    return (n - 1) * p->stride + (taps - 1) * p->dilation + 1;
}

static void size_gemm(Call *c) {
    const TileProblem *p = c->p;
    c->gemm = conv_gemm(&c->attrs, &c->x, &c->y, p->residual ? &c->y : NULL);
    c->gemm.stem = p->planar ? "gemm_planar" : "gemm";
    c->gemm.weight_name = "weights";
    c->gemm.rows = p->rows; /* conv_gemm may see one long row */
    c->gemm.length = p->pixels;
}

static void size_dw(Call *c) {
    const TileProblem *p = c->p;
    c->dw = (Depthwise){.attrs = &c->attrs,
                        .blocks = p->blocks,
                        .count = bound_const(p->blocks),
                        .rows = p->rows,
                        .row_count = bound_const(p->rows),
                        .length = p->pixels,
                        .clipped = dw_clips(&c->attrs, p->pixels),
                        .in_rows = c->x.h,
                        .in_columns = c->x.w,
                        .a_plane = c->x.plane,
                        .a_row = p->stride * c->x.row,
                        .a_tap_row = p->dilation * c->x.row,
                        .c_plane = c->y.plane,
                        .c_row = c->y.row,
                        .sum = p->sum,
                        .s_plane = c->y.block};
    c->elems[ROLE_SUMS] = p->sum ? p->blocks * c->y.block : 0;
}

/* Small planes have nothing around them: half of the taps' padding is left out on each side. */
static void clip_input(ConvAttrs *a, int64_t *h, int64_t *w) {
    int64_t rows = (a->kernel.v[0] - 1) / 2, columns = (a->kernel.v[1] - 1) / 2;
    a->pad = (Dim4){{rows, columns, rows, columns}};
    *h -= 2 * rows;
    *w -= 2 * columns;
}

static void size_call(Call *c, const TileProblem *p, const PassContext *cx) {
    int lanes = target_lanes(cx->target);
    bool dw = p->kind == TILE_DW;
    int64_t outputs = dw ? p->blocks * lanes : p->channels, inputs = dw ? outputs : p->k;
    c->p = p;
    c->attrs = attrs_of(p);
    int64_t h = input_size(p, p->rows, p->kh), w = input_size(p, p->pixels, p->kw);
    if (dw && dw_clips(&c->attrs, p->pixels))
        clip_input(&c->attrs, &h, &w);
    c->x = blocked_view(SHAPE(1, inputs, h, w), p->planar ? 1 : lanes);
    c->y = blocked_view(SHAPE(1, outputs, p->rows, p->pixels), lanes);
    c->elems[ROLE_INPUT] = c->x.image;
    c->elems[ROLE_OUTPUT] = c->y.image;
    if (dw)
        size_dw(c);
    else
        size_gemm(c);
}

/* ---- weights --------------------------------------------------------------------------------- */

/* Numbers within (-1, 1), none of them tiny, the same in each run. */
static float *numbers(Arena *a, int64_t n) {
    float *out = ARENA_ARRAY(a, n, float);
    uint32_t state = 1;
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525 + 1013904223;
        float x = (float)(state >> 9) / (float)(1 << 24) + 0.25f;
        out[i] = state & 256 ? x : -x;
    }
    return out;
}

static Addr pack(Lower *lo, Call *c) {
    Arena a = {0};
    const TileProblem *p = c->p;
    bool dw = p->kind == TILE_DW;
    int64_t channels = c->y.blocks * c->y.block;
    int64_t n = channels * (dw ? 1 : p->k) * p->kh * p->kw;
    ConvWeights w = {numbers(&a, n), numbers(&a, channels)};
    Addr at =
        dw ? dw_pack(lo, &c->attrs, channels, &w, NULL, "weights") : gemm_pack(lo, &c->gemm, &w);
    arena_free(&a);
    return at;
}

/* ---- steps ----------------------------------------------------------------------------------- */

typedef struct Trials {
    Lower lo;
    Call *calls;
    Buffer *counts, *roles[ROLE_COUNT];
} Trials;

static Addr role_addr(const Trials *t, Role r) {
    return t->roles[r] ? addr_of(&t->roles[r]->reg, 0) : (Addr){0};
}

/* A residual is in place, as in networks. */
static void call_kernel(Trials *t, Call *c, Addr weights) {
    Addr input = role_addr(t, ROLE_INPUT), output = role_addr(t, ROLE_OUTPUT);
    if (c->p->kind == TILE_DW) {
        c->dw.a = input;
        c->dw.c = output;
        c->dw.w = weights;
        c->dw.s = role_addr(t, ROLE_SUMS);
        dw_call(&t->lo, &c->dw);
        return;
    }
    c->gemm.a = input;
    c->gemm.c = c->gemm.r = output;
    gemm_call(&t->lo, &c->gemm, weights);
}

static Kernel *trial_step(Trials *t, size_t i) {
    Lower *lo = &t->lo;
    Kernel *step = step_new(lo->m, arena_printf(&lo->m->arena, "trial_%zu", i), NULL);
    Addr weights = pack(lo, &t->calls[i]);
    lo->step = build_begin(step);
    Reg *count = build_load(&lo->step, "count", 1, addr_of(&t->counts->reg, (int64_t)i));
    build_for(&lo->step, "r", bound_const(0), bound_reg(count), 1);
    call_kernel(t, &t->calls[i], weights);
    build_close(&lo->step);
    build_end(&lo->step);
    return step;
}

/* ---- the module ------------------------------------------------------------------------------ */

static void add_buffers(Trials *t, size_t n) {
    Module *m = t->lo.m;
    t->counts = module_buffer(m, "counts", BUF_INPUT, DT_i64, (int64_t)n, 0);
    for (Role r = 0; r < ROLE_COUNT; r++) {
        int64_t most = 0;
        for (size_t i = 0; i < n; i++)
            most = t->calls[i].elems[r] > most ? t->calls[i].elems[r] : most;
        if (!most)
            continue;
        t->roles[r] = module_buffer(m, role_names[r], BUF_ARENA, DT_f32, most, m->arena_bytes);
        m->arena_bytes += round_up(most * (int64_t)sizeof(float), ARENA_ALIGN);
    }
}

/* The context in which a trial is lowered: its book has nothing but its tile. */
static PassContext trial_context(const TileTrial *trial, ScheduleBook *book,
                                 const PassContext *cx) {
    schedule_book_set(book, trial->problem, &trial->tile, NULL);
    PassContext own = *cx;
    own.book = book;
    own.problems = NULL;
    return own;
}

static void build_run(Module *m, Kernel *const *steps, size_t n) {
    Builder run = build_begin(m->run);
    for (size_t i = 0; i < n; i++) {
        module_add_step(m, steps[i]);
        build_call(&run, steps[i], NULL, 0, NULL);
    }
    build_end(&run);
}

Module *lower_trials(TileTrial *trials, size_t n, PassContext *cx) {
    Arena a = {0};
    Trials t = {.calls = ARENA_ARRAY(&a, n, Call)};
    PassContext *contexts = ARENA_ARRAY(&a, n, PassContext);
    ScheduleBook **books = ARENA_ARRAY(&a, n, ScheduleBook *);
    Kernel **steps = ARENA_ARRAY(&a, n, Kernel *);
    Module *m = t.lo.m = module_new("trials", cx->target);
    buf_extend(&t.lo.weights, ARENA_ALIGN); /* the header */
    for (size_t i = 0; i < n; i++) {
        books[i] = schedule_book_new(cx->target);
        contexts[i] = trial_context(&trials[i], books[i], cx);
        size_call(&t.calls[i], trials[i].problem, &contexts[i]);
    }
    add_buffers(&t, n);
    for (size_t i = 0; i < n; i++) {
        t.lo.cx = &contexts[i];
        steps[i] = trial_step(&t, i);
        trials[i].input_at = t.roles[ROLE_INPUT]->offset;
        trials[i].input_bytes = t.calls[i].elems[ROLE_INPUT] * (int64_t)sizeof(float);
        schedule_book_free(books[i]);
    }
    build_run(m, steps, n);
    module_take_weights(m, &t.lo.weights);
    arena_free(&a);
    return m;
}
