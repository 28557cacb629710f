/* fit-arena: trades time for memory until the arena has no more than --max-arena bytes.
 *
 * Step by step it looks at the node where most bytes are alive, and does what makes them fewer
 * there at the least predicted cost a byte:
 *
 *   a depthwise convolution and the one before it    work by bands (see fuse-dw)
 *   conv2d_dwconv2d                                  fewer parts at a time, then narrower bands
 *   conv2d by Winograd's algorithm                   directly, without its scratch
 *
 * Needs: add-scratch. Without a limit it does nothing; where it can't reach it that is an error,
 * which names the least it can reach. */
#include "passes/lower.h"

#include <math.h>

typedef struct Move {
    Node *node;
    enum { MOVE_NONE, MOVE_FUSE, MOVE_SHRINK, MOVE_DIRECT } kind;
    ConvDw to;     /* MOVE_FUSE, MOVE_SHRINK: what the node becomes */
    double cycles; /* more than now */
    int64_t bytes; /* fewer at the peak */
} Move;

typedef struct Fitter {
    Graph *g;
    PassContext *cx;
    const int64_t *alive; /* bytes, by node */
    int peak;             /* the node where they are most */
    Move best;
} Fitter;

static int64_t storage(const Type *t) {
    return round_up(type_storage_bytes(t), ARENA_ALIGN);
}

static int64_t scratch_bytes(const ConvDw *c, const PassContext *cx) {
    return round_up(conv_dw_plan(c, cx).scratch * (int64_t)sizeof(float), ARENA_ALIGN);
}

static void consider(Fitter *f, const Move *m) {
    if (m->bytes <= 0)
        return;
    bool better = f->best.kind == MOVE_NONE ||
                  m->cycles * (double)f->best.bytes < f->best.cycles * (double)m->bytes;
    if (better)
        f->best = *m;
}

/* ---- moves ----------------------------------------------------------------------------------- */

/* Less scratch, a little at a time: false where there is no less. */
static bool shrink(ConvDw *c, const PassContext *cx) {
    int64_t rows = conv_dw_plan(c, cx).bands.rows, before = conv_dw_plan(c, cx).scratch;
    while (c->parts > 1) {
        c->parts /= 2;
        if (conv_dw_plan(c, cx).scratch < before)
            return true;
    }
    for (c->band = rows / 2; c->band >= 1; c->band /= 2)
        if (conv_dw_plan(c, cx).scratch < before)
            return true;
    return false;
}

/* What is alive at the depthwise node when it is one with the convolution before it: no more what
 * lay between them, but the scratch, and the input if it would have died before. */
static int64_t alive_fused(const Fitter *f, const Node *dw, const ConvDw *c) {
    const Node *conv = node_in(dw, 0)->def;
    const Value *x = node_in(conv, 0);
    bool longer = x->def && !value_is_graph_output(x) && plan_last_use(x) < dw->mark;
    return f->alive[dw->mark] - storage(&c->middle) + (longer ? storage(&x->type) : 0) +
           scratch_bytes(c, f->cx);
}

static void consider_fusing(Fitter *f, Node *dw) {
    ConvDw c;
    if (conv_dw_candidate(dw, f->cx, &c))
        return;
    const Node *conv = node_in(dw, 0)->def;
    if (f->peak < conv->mark || f->peak > dw->mark)
        return;
    int64_t most = f->alive[f->peak];
    while (alive_fused(f, dw, &c) >= most)
        if (!shrink(&c, f->cx))
            return;
    double now = node_cycles(conv, f->cx) + node_cycles(dw, f->cx);
    consider(f, &(Move){.node = dw,
                        .kind = MOVE_FUSE,
                        .to = c,
                        .cycles = conv_dw_cycles(&c, f->cx) - now,
                        .bytes = most - alive_fused(f, dw, &c)});
}

static void consider_shrinking(Fitter *f, Node *n) {
    ConvDw c = conv_dw_of(n);
    double now = conv_dw_cycles(&c, f->cx);
    int64_t bytes = scratch_bytes(&c, f->cx);
    if (n->mark != f->peak || !shrink(&c, f->cx))
        return;
    consider(f, &(Move){.node = n,
                        .kind = MOVE_SHRINK,
                        .to = c,
                        .cycles = conv_dw_cycles(&c, f->cx) - now,
                        .bytes = bytes - scratch_bytes(&c, f->cx)});
}

static void consider_direct(Fitter *f, Node *n) {
    const Value *scratch = node_result(n, "scratch");
    WinogradSchedule w = conv_winograd(n, f->cx);
    if (n->mark != f->peak || !scratch || !w.m)
        return;
    consider(f, &(Move){.node = n,
                        .kind = MOVE_DIRECT,
                        .cycles = w.direct - (w.m == 4 ? w.four : w.two),
                        .bytes = storage(&scratch->type)});
}

static void find_move(Fitter *f) {
    f->best = (Move){.kind = MOVE_NONE};
    FOR_EACH_NODE(f->g, n) {
        if (n->op == OP_dwconv2d)
            consider_fusing(f, n);
        else if (n->op == OP_conv2d_dwconv2d)
            consider_shrinking(f, n);
        else if (n->op == OP_conv2d)
            consider_direct(f, n);
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void set_scratch(Graph *g, Node *n, PassContext *cx) {
    ConvDw c = conv_dw_of(n);
    Value *scratch = node_result(n, "scratch");
    if (scratch)
        scratch->type = type_plain(DT_f32, SHAPE(conv_dw_plan(&c, cx).scratch));
    else
        add_scratch(g, n, cx);
}

/* Does the move; returns the node that it left. */
static Node *apply(Fitter *f) {
    Move *m = &f->best;
    Node *n = m->node;
    if (m->kind == MOVE_DIRECT) {
        node_remove_result(f->g, n, op_result_slot(n->op, "scratch"));
        return n;
    }
    if (m->kind == MOVE_FUSE) {
        n = conv_dw_fuse(f->g, n, &m->to);
    } else {
        conv_dw_attrs(n)->band = m->to.band;
        conv_dw_attrs(n)->parts = m->to.parts;
    }
    set_scratch(f->g, n, f->cx);
    return n;
}

static const char *describe(Arena *a, const Move *m, const PassContext *cx) {
    if (m->kind == MOVE_DIRECT)
        return "computed directly";
    Bands b = conv_dw_plan(&m->to, cx).bands;
    return arena_printf(a, "%s by %lld band%s of %lld row%s, %lld part%s at a time",
                        m->kind == MOVE_FUSE ? "fused," : "narrowed,", (long long)b.count,
                        b.count == 1 ? "" : "s", (long long)b.rows, b.rows == 1 ? "" : "s",
                        (long long)m->to.parts, m->to.parts == 1 ? "" : "s");
}

bool arena_shrink(Graph *g, PassContext *cx, Arena *a, ArenaStep *out) {
    Fitter f = {.g = g, .cx = cx};
    f.alive = plan_alive(g, a);
    for (int i = 1, nodes = graph_node_count(g); i < nodes; i++)
        if (f.alive[i] > f.alive[f.peak])
            f.peak = i;
    find_move(&f);
    if (f.best.kind == MOVE_NONE)
        return false;
    const Node *n = apply(&f);
    *out = (ArenaStep){.node = n,
                       .what = describe(a, &f.best, cx),
                       .cycles = f.best.cycles,
                       .arena_bytes = plan_arena(g)};
    return true;
}

/* ---- the pass -------------------------------------------------------------------------------- */

static bool too_small(PassContext *cx, int64_t least) {
    diag_error(cx->diag, EXIT_BUDGET, cx->where, "the arena can't be as small as %lld bytes",
               (long long)cx->options.max_arena);
    diag_note(cx->diag, "least", "%lld bytes on %s", (long long)least, cx->target->name);
    diag_note(cx->diag, "help",
              "allow that with --max-arena=%lld; `effnetc inspect --memory` lists what less memory "
              "costs",
              (long long)least);
    return false;
}

bool pass_fit_arena(Graph *g, PassContext *cx) {
    int64_t limit = cx->options.max_arena, now = limit ? plan_arena(g) : 0, least = now;
    Arena a = {0};
    ArenaStep step;
    while (now > limit && arena_shrink(g, cx, &a, &step)) {
        diag_remark(cx->diag, cx->where,
                    "%%%s: %s for a smaller arena: %lld -> %lld bytes, %+.0f kilocycles predicted",
                    node_out(step.node)->name, step.what, (long long)now,
                    (long long)step.arena_bytes, step.cycles / 1000);
        now = step.arena_bytes;
        least = now < least ? now : least;
    }
    arena_free(&a);
    return now <= limit || too_small(cx, least);
}
