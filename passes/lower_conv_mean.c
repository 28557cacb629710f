/* lower_conv_mean.c: conv2d_mean: a convolution whose result nothing needs but its planes' means,
 * as the head of a classifier. Panel by panel of output channels: the convolution into scratch
 * that stays in a cache, then the mean of it.
 *
 *   par part                              its own scratch, a panel's planes
 *     for each panel of the part          scratch = conv2d(x, panel), y[panel] = mean(scratch)
 *   the last panel, where it is narrower */
#include "passes/lower.h"

typedef struct ConvMean {
    const ConvAttrs *attrs;
    View x, planes, y;
    Gemm gemm;
    GemmPanels panels;
    int64_t parts;
} ConvMean;

/* The result of the convolution, as a panel's blocks lie in scratch: behind each other. */
static View plane_view(const ConvAttrs *a, const View *x, const View *y, int lanes) {
    return blocked_view(SHAPE(y->n, y->c, conv_out_size(a, 0, x->h), conv_out_size(a, 1, x->w)),
                        lanes);
}

static ConvMean conv_mean_of(const Node *n, const PassContext *cx) {
    const ConvAttrs *a = conv_attrs(n);
    ConvMean m = {.attrs = a};
    m.x = view_of(&node_in(n, 0)->type);
    m.y = view_of(&node_out(n)->type);
    m.planes = plane_view(a, &m.x, &m.y, target_lanes(cx->target));
    m.gemm = conv_gemm(a, &m.x, &m.planes, NULL);
    m.gemm.weight_name = node_in(n, 1)->name;
    m.panels = gemm_panels(&m.gemm, cx);
    double cycles = (double)(m.gemm.k * m.gemm.kh * m.gemm.kw * m.planes.blocks) *
                    (double)(m.gemm.rows * m.gemm.length);
    m.parts = m.panels.whole ? lower_parts(cx, cycles, m.panels.whole) : 0;
    return m;
}

/* A panel's blocks. */
static int64_t panel_blocks(const ConvMean *m) {
    return m->panels.channels / m->planes.block;
}

static int64_t part_scratch(const ConvMean *m) {
    return panel_blocks(m) * m->planes.plane;
}

int64_t scratch_conv2d_mean(const Node *n, const PassContext *cx) {
    ConvMean m = conv_mean_of(n, cx);
    return part_scratch(&m) * (m.parts ? m.parts : 1);
}

/* The mean of `channels` channels, whose planes are in scratch. */
static void mean_of_planes(Lower *lo, const ConvMean *m, Addr scratch, Addr y, int64_t channels) {
    View v = m->planes;
    v.blocks = ceil_div(channels, v.block);
    lower_pool_to(lo, scratch, &v, y, m->y.plane);
}

static void whole_panels(Lower *lo, const ConvMean *m, Addr weights, Addr scratch, Addr y) {
    Gemm g = m->gemm;
    Parts parts = lower_parts_begin(lo, m->panels.whole, m->parts);
    Reg *p = parts_each(lo, &parts, "panel");
    g.c = parts_own(&parts, scratch, part_scratch(m));
    gemm_call_panels(lo, &g, addr_plus(weights, p, m->panels.weights), 1);
    mean_of_planes(lo, m, g.c, addr_plus(y, p, panel_blocks(m) * m->y.plane), m->panels.channels);
    parts_each_end(lo, &parts);
    lower_parts_end(lo, &parts);
}

static void last_panel(Lower *lo, const ConvMean *m, Addr weights, Addr scratch, Addr y) {
    Gemm g = m->gemm;
    g.c = scratch;
    gemm_call_last(lo, &g, addr_offset(weights, m->panels.whole * m->panels.weights));
    mean_of_planes(lo, m, scratch, addr_offset(y, m->panels.whole * panel_blocks(m) * m->y.plane),
                   m->panels.last);
}

bool lower_conv2d_mean(Lower *lo, Node *n) {
    ConvWeights w;
    if (conv_attrs(n)->group != 1)
        return lower_unsupported(lo, n, "groups of several channels have no kernel");
    if (!lower_conv_weights(lo, n, 1, &w))
        return false;
    ConvMean m = conv_mean_of(n, lo->cx);
    m.gemm.stem = conv_stem(lo, m.attrs, &m.gemm);
    Addr weights = gemm_pack(lo, &m.gemm, &w), scratch = lower_scratch(lo, n);
    lower_batch_begin(lo, m.x.n);
    m.gemm.a = conv_start(m.attrs, &m.x, lower_addr(lo, node_in(n, 0)));
    Addr y = lower_addr(lo, node_out(n));
    if (m.panels.whole)
        whole_panels(lo, &m, weights, scratch, y);
    if (m.panels.last)
        last_panel(lo, &m, weights, scratch, y);
    lower_zero_halo(lo, node_out(n));
    lower_batch_end(lo);
    return true;
}
