/* lower_gemm_blocks.c: when a 1x1 convolution is computed in blocks of K: where its input is more
 * than the second cache holds, and its weights too. Each of two parts has half of the pixels, and
 * of those block after block of planes, which stay in that cache for all panels of weights:
 *
 *   for each part                     half of the pixels
 *     for each block of K             unrolled: there are few
 *       scale its planes by the gate, into scratch
 *       for each panel of weights     c = bias + a * w + residual; then c += a * w; at last act
 *
 * (Goto and van de Geijn: Anatomy of high-performance matrix multiplication, 2008, section 4.) The
 * sums are kept in the output in between: so a residual, which may lie there, comes first, and an
 * activation and a residual together are computed in one go. Parts read all weights: more of them
 * would cost more than what a third and a fourth thread gain is worth where there are two. */
#include "passes/lower.h"

int64_t gemm_k_blocks(const GemmSize *s, const PassContext *cx) {
    const double SHARE = 0.6; /* of the cache for a part's block; the rest is for weights */
    int64_t l2 = pass_l2_bytes(cx), element = sizeof(float);
    if (s->k * s->pixels * element <= l2 || s->k * s->n * element <= l2)
        return 1;
    int64_t most = (int64_t)(SHARE * (double)l2) * GEMM_BLOCK_PARTS;
    int64_t count = ceil_div(s->k * s->pixels * element, most);
    int64_t planes = ceil_div(s->k, target_lanes(cx->target));
    return ceil_div(planes, ceil_div(planes, count)); /* as many as there are of equal ones */
}

int64_t gemm_blocks(const Gemm *g, const PassContext *cx) {
    bool pointwise = g->kh == 1 && g->kw == 1 && g->pixel_step == g->ablock;
    bool blocked = g->ablock == target_lanes(cx->target) && !g->steps.rows;
    bool sums = g->act == ACT_none || !g->residual;
    GemmSize s = {g->k, g->n, g->rows * g->length};
    return pointwise && blocked && sums && g->rows * g->length > 1 ? gemm_k_blocks(&s, cx) : 1;
}
