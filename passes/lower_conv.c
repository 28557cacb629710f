/* lower_conv.c: conv2d, dense and se as calls of the GEMM kernel. */
#include "passes/lower.h"
#include "passes/match.h"

/* ---- conv2d ---------------------------------------------------------------------------------- */

static bool is_packed(const View *v) {
    return v->row == v->w * v->block;
}

/* A 1x1 convolution of planes without a halo is one long row of pixels. */
static bool is_one_row(const ConvAttrs *a, const View *x, const View *y, const View *r) {
    bool same_size = x->h == y->h && x->w == y->w;
    bool pointwise = a->kernel.v[0] == 1 && a->kernel.v[1] == 1 && same_size;
    return pointwise && is_packed(x) && is_packed(y) && (!r || is_packed(r));
}

Gemm conv_gemm(const ConvAttrs *a, const View *x, const View *y, const View *r) {
    bool one_row = is_one_row(a, x, y, r);
    return (Gemm){.kh = a->kernel.v[0],
                  .kw = a->kernel.v[1],
                  .ablock = x->block,
                  .pixel_step = a->stride.v[1] * x->block,
                  .tap_step = a->dilation.v[1] * x->block,
                  .k = x->c,
                  .n = y->c,
                  .a_plane = x->plane,
                  .a_row = a->stride.v[0] * x->row,
                  .a_tap_row = a->dilation.v[0] * x->row,
                  .c_plane = y->plane,
                  .c_row = y->row,
                  .c_pixel = y->block,
                  .r_plane = r ? r->plane : 0,
                  .r_row = r ? r->row : 0,
                  .rows = one_row ? 1 : y->h,
                  .length = one_row ? y->h * y->w : y->w,
                  .act = a->act,
                  .residual = r != NULL};
}

/* Sizes and strides; the addresses are the caller's. */
static Gemm node_gemm(const Node *n) {
    const Value *residual = node_in(n, node_slot(n, "residual"));
    View x = view_of(&node_in(n, 0)->type), y = view_of(&node_out(n)->type);
    View r = residual ? view_of(&residual->type) : y;
    Gemm g = conv_gemm(conv_attrs(n), &x, &y, residual ? &r : NULL);
    g.gate = node_in(n, node_slot(n, "scale")) != NULL;
    g.steps = steps_of(n);
    g.weight_name = node_in(n, 1)->name;
    return g;
}

const char *conv_stem(Lower *lo, const ConvAttrs *a, const Gemm *g) {
    Buf b = {0};
    buf_printf(&b, "conv%dx%d", (int)g->kh, (int)g->kw);
    if (a->stride.v[1] != 1)
        buf_printf(&b, "_s%d", (int)a->stride.v[1]);
    if (a->dilation.v[1] != 1)
        buf_printf(&b, "_d%d", (int)a->dilation.v[1]);
    if (g->ablock != lower_lanes(lo))
        buf_puts(&b, "_planar");
    const char *stem = arena_strdup(&lo->m->arena, b.data);
    buf_free(&b);
    return stem;
}

Addr conv_start(const ConvAttrs *a, const View *x, Addr from) {
    return addr_offset(from, -(a->pad.v[0] * x->row + a->pad.v[1] * x->block));
}

/* Why Winograd's algorithm can't compute n; NULL where it can. */
static const char *no_winograd(const Node *n, const Gemm *g, const PassContext *cx) {
    const ConvAttrs *a = conv_attrs(n);
    if (a->kernel.v[0] != 3 || a->kernel.v[1] != 3)
        return "the kernel isn't 3x3";
    if (a->stride.v[0] != 1 || a->stride.v[1] != 1 || a->dilation.v[0] != 1 ||
        a->dilation.v[1] != 1)
        return "the stride or the dilation isn't 1";
    if (a->group != 1 || g->gate || g->ablock != target_lanes(cx->target))
        return "it has groups, a scale, or inputs that are not in blocks";
    if (a->exact)
        return "sums of integers must be exact";
    if (node_in(n, node_slot(n, "steps")))
        return "its results become integers";
    return cx->options.no_winograd ? "Winograd's algorithm is off" : NULL;
}

WinogradSchedule conv_winograd(const Node *n, const PassContext *cx) {
    Gemm g = node_gemm(n);
    return no_winograd(n, &g, cx) ? (WinogradSchedule){0} : winograd_schedule(&g, cx);
}

int64_t scratch_conv2d(const Node *n, const PassContext *cx) {
    Gemm g = node_gemm(n);
    if (g.gate)
        return gemm_scratch(&g, cx);
    return no_winograd(n, &g, cx) ? 0 : winograd_scratch(&g, cx);
}

/* Whether n is computed by Winograd's algorithm: where add-scratch gave it the scratch for that, in
 * which nothing that the choice depends on may have changed. */
static bool is_winograd(const Node *n, const Gemm *g, const PassContext *cx) {
    const Value *scratch = node_result(n, "scratch");
    int64_t wanted = scratch && !no_winograd(n, g, cx) ? winograd_scratch(g, cx) : 0;
    return wanted && shape_elems(&scratch->type.shape) == wanted;
}

static void remark_algorithm(Lower *lo, const Node *n, const Gemm *g, bool winograd) {
    const char *why = no_winograd(n, g, lo->cx), *name = node_out(n)->name;
    if (why) {
        if (g->kh * g->kw > 1)
            diag_remark(lo->cx->diag, lo->cx->where, "%%%s: directly: %s", name, why);
        return;
    }
    WinogradSchedule s = winograd_schedule(g, lo->cx);
    const char *way = !winograd ? "directly" : s.m == 4 ? "F(4x4,3x3)" : "F(2x2,3x3)";
    diag_remark(lo->cx->diag, lo->cx->where,
                "%%%s: %s; predicted kilocycles: direct %.0f, F(2x2,3x3) %.0f, F(4x4,3x3) %.0f",
                name, way, s.direct / 1000, s.two / 1000, s.four / 1000);
}

Value *inplace_residual(const Node *n) {
    return node_in(n, node_slot(n, "residual"));
}

/* Whether the images of a batch should be the rows of one call, so that each panel of weights is
 * read once for all of them: where planes are rows and the weights are more than an image. They
 * can't where rows are neighbours: in Winograd's tiles, and where a halo lies around each. */
static bool batch_as_rows(const Gemm *g, const Node *n, bool winograd) {
    const Type *x = &node_in(n, 0)->type, *y = &node_out(n)->type;
    return g->rows == 1 && !g->gate && !winograd && x->shape.dim[0] > 1 &&
           !layout_has_halo(&y->layout) && g->n > g->length;
}

/* Channels of one group of v, which are whole blocks. */
static View group_view(const Value *v, int64_t groups) {
    View w = view_of(&v->type);
    w.c /= groups;
    w.blocks = w.c / w.block;
    return w;
}

/* Group i of n: a convolution of blocks of channels of its own. */
static void lower_group(Lower *lo, Node *n, int64_t i, const View *x, const View *y, Addr packed) {
    const ConvAttrs *a = conv_attrs(n);
    const Value *residual = node_in(n, node_slot(n, "residual"));
    View r = residual ? group_view(residual, a->group) : *y;
    Gemm g = conv_gemm(a, x, y, residual ? &r : NULL);
    g.stem = conv_stem(lo, a, &g);
    g.a = conv_start(a, x, addr_offset(lower_addr(lo, node_in(n, 0)), i * x->blocks * x->plane));
    g.c = addr_offset(lower_addr(lo, node_out(n)), i * y->blocks * y->plane);
    if (residual)
        g.r = addr_offset(lower_addr(lo, residual), i * r.blocks * r.plane);
    gemm_call(lo, &g, packed);
}

/* One group after the other, of each image. */
static bool lower_groups(Lower *lo, Node *n) {
    const ConvAttrs *a = conv_attrs(n);
    View x = group_view(node_in(n, 0), a->group), y = group_view(node_out(n), a->group);
    if (x.c % x.block || y.c % y.block)
        return lower_unsupported(lo, n, "groups that aren't whole vectors have no kernel");
    if (node_in(n, node_slot(n, "scale")))
        return lower_unsupported(lo, n, "a scale and groups together have no kernel");
    if (node_in(n, node_slot(n, "steps")))
        return lower_unsupported(lo, n, "steps and groups together have no kernel");
    ConvWeights w;
    if (!lower_conv_weights(lo, n, 1, &w))
        return false;
    Gemm g = conv_gemm(a, &x, &y, NULL);
    g.weight_name = node_in(n, 1)->name;
    Addr *packed = ARENA_ARRAY(&lo->m->arena, a->group, Addr);
    for (int64_t i = 0; i < a->group; i++) {
        const float *first = w.w + i * y.c * x.c * g.kh * g.kw;
        packed[i] = gemm_pack(lo, &g, &(ConvWeights){first, w.bias ? w.bias + i * y.c : NULL});
    }
    diag_remark(lo->cx->diag, lo->cx->where, "%%%s: directly, %lld groups of %lld channels",
                node_out(n)->name, (long long)a->group, (long long)x.c);
    lower_batch_begin(lo, x.n);
    for (int64_t i = 0; i < a->group; i++)
        lower_group(lo, n, i, &x, &y, packed[i]);
    lower_zero_halo(lo, node_out(n));
    lower_batch_end(lo);
    return true;
}

/* The images of n are rows of one, where they can be. Returns how many are left. */
static int64_t take_batch(const Lower *lo, Gemm *g, const Node *n, bool winograd) {
    View x = view_of(&node_in(n, 0)->type);
    if (lo->looping || !batch_as_rows(g, n, winograd))
        return x.n;
    const Value *residual = node_in(n, node_slot(n, "residual"));
    g->rows = x.n;
    g->a_row = x.image;
    g->c_row = view_of(&node_out(n)->type).image;
    g->r_row = residual ? view_of(&residual->type).image : 0;
    return 1;
}

int64_t conv_scaled_weights(const Node *n, const PassContext *cx) {
    Gemm g = node_gemm(n);
    return gemm_scaled_weights(&g, cx);
}

bool lower_conv2d(Lower *lo, Node *n) {
    const ConvAttrs *a = conv_attrs(n);
    if (a->group != 1)
        return lower_groups(lo, n);
    Gemm g = node_gemm(n);
    if (g.gate && has_padding(n))
        return lower_unsupported(lo, n, "a scale and padding together have no kernel");
    if (g.gate && node_in(n, node_slot(n, "steps")))
        return lower_unsupported(lo, n, "a scale and steps together have no kernel");
    ConvWeights w;
    if (!lower_conv_weights(lo, n, 1, &w) || !steps_check(lo, n))
        return false;
    g.stem = conv_stem(lo, a, &g);
    bool winograd = is_winograd(n, &g, lo->cx);
    remark_algorithm(lo, n, &g, winograd);
    Addr packed = winograd ? winograd_pack(lo, &g, &w) : gemm_pack(lo, &g, &w);
    View x = view_of(&node_in(n, 0)->type);
    lower_batch_begin(lo, take_batch(lo, &g, n, winograd));
    g.a = conv_start(a, &x, lower_addr(lo, node_in(n, 0)));
    g.c = lower_addr(lo, node_out(n));
    if (g.residual)
        g.r = lower_addr(lo, node_in(n, node_slot(n, "residual")));
    if (g.gate)
        g.g = lower_addr(lo, node_in(n, node_slot(n, "scale")));
    if (g.gate || winograd)
        g.scratch = lower_scratch(lo, n);
    if (winograd) {
        winograd_call(lo, &g, packed);
        lower_zero_halo(lo, node_out(n));
    } else {
        g.halo_of = node_out(n);
        gemm_call(lo, &g, packed);
    }
    lower_batch_end(lo);
    return true;
}

/* ---- dense ----------------------------------------------------------------------------------- */

/* A vector of k channels times a matrix: one pixel. */
static Gemm vector_gemm(const char *stem, int64_t k, int64_t n, int lanes, Act act,
                        const char *weights) {
    return (Gemm){.stem = stem,
                  .kh = 1,
                  .kw = 1,
                  .ablock = lanes,
                  .pixel_step = lanes,
                  .tap_step = lanes,
                  .k = k,
                  .n = n,
                  .a_plane = lanes,
                  .c_plane = lanes,
                  .c_pixel = lanes,
                  .rows = 1,
                  .length = 1,
                  .act = act,
                  .weight_name = weights};
}

bool lower_dense(Lower *lo, Node *n) {
    ConvWeights w;
    if (!lower_conv_weights(lo, n, 1, &w))
        return false;
    View x = view_of(&node_in(n, 0)->type), y = view_of(&node_out(n)->type);
    Gemm g =
        vector_gemm("dense", x.c, y.c, lower_lanes(lo), dense_attrs(n)->act, node_in(n, 1)->name);
    g.a_plane = x.plane; /* a halo around the one pixel is skipped */
    if (x.n > 1) {       /* the images are the pixels, so that the weights are read once */
        g.length = x.n;
        g.pixel_step = x.image;
        g.c_pixel = y.image;
    }
    g.a = lower_addr(lo, node_in(n, 0));
    g.c = lower_addr(lo, node_out(n));
    gemm_call(lo, &g, gemm_pack(lo, &g, &w));
    return true;
}

/* ---- se -------------------------------------------------------------------------------------- */

/* Whether x is one pixel: the mean of a plane, or all of it. */
static bool is_pooled(const Value *x) {
    return x->type.shape.dim[2] == 1 && x->type.shape.dim[3] == 1;
}

/* Scratch: the squeezed channels, then the pooled ones unless x is, each in whole vectors. */
int64_t scratch_se(const Node *n, const PassContext *cx) {
    int lanes = target_lanes(cx->target);
    const Value *x = node_in(n, 0);
    return round_up(node_in(n, 1)->type.shape.dim[0], lanes) +
           (is_pooled(x) ? 0 : round_up(x->type.shape.dim[1], lanes));
}

/* From the pooled channels to the squeezed ones, and back. */
static void se_gemms(const Node *n, int lanes, Gemm *squeeze, Gemm *excite) {
    const SeAttrs *a = se_attrs(n);
    int64_t channels = node_in(n, 0)->type.shape.dim[1];
    int64_t squeezed = node_in(n, 1)->type.shape.dim[0];
    *squeeze = vector_gemm("dense", channels, squeezed, lanes, a->act, node_in(n, 1)->name);
    *excite = vector_gemm("dense", squeezed, channels, lanes, a->gate, node_in(n, 3)->name);
}

int64_t se_weights(const Node *n, const PassContext *cx) {
    Gemm squeeze, excite;
    se_gemms(n, target_lanes(cx->target), &squeeze, &excite);
    return gemm_weights(&squeeze, cx->target) + gemm_weights(&excite, cx->target);
}

bool lower_se(Lower *lo, Node *n) {
    const float *data[5] = {NULL};
    for (int i = 1; i < 5; i++)
        if (!(data[i] = lower_constant(lo, n, node_in(n, i))))
            return false;
    int lanes = lower_lanes(lo);
    const Value *in = node_in(n, 0);
    View x = view_of(&in->type), y = view_of(&node_out(n)->type);
    Gemm squeeze, excite;
    se_gemms(n, lanes, &squeeze, &excite);
    Addr w1 = gemm_pack(lo, &squeeze, &(ConvWeights){data[1], data[2]});
    Addr w2 = gemm_pack(lo, &excite, &(ConvWeights){data[3], data[4]});
    Addr scratch = lower_scratch(lo, n);

    lower_batch_begin(lo, x.n);
    squeeze.a = lower_addr(lo, in);
    squeeze.a_plane = x.plane;
    if (!is_pooled(in)) {
        Addr mean = addr_offset(scratch, round_up(squeeze.n, lanes));
        lower_pool_to(lo, squeeze.a, &x, mean, lanes);
        squeeze.a = mean;
        squeeze.a_plane = lanes;
    }
    squeeze.c = excite.a = scratch;
    excite.c = lower_addr(lo, node_out(n));
    excite.c_plane = y.plane;
    gemm_call(lo, &squeeze, w1);
    gemm_call(lo, &excite, w2);
    lower_zero_halo(lo, node_out(n));
    lower_batch_end(lo);
    return true;
}
