/* graph_eval_nms.c: non-maximum suppression. It decides by comparisons, so it computes in float as
 * its kernel does: in double precision other boxes might be kept. */
#include "ir/graph_internal.h"

#include <math.h>

typedef struct Box {
    float top, left, bottom, right, area;
} Box;

static float lower(float a, float b) {
    return a < b ? a : b;
}

static float upper(float a, float b) {
    return a > b ? a : b;
}

/* Of two corners, or of [x, y, width, height] around a centre. */
static Box read_box(const float *b, bool center) {
    Box r;
    if (center) {
        float w = b[2] * 0.5F, h = b[3] * 0.5F;
        r = (Box){b[1] - h, b[0] - w, b[1] + h, b[0] + w, 0};
    } else {
        r = (Box){lower(b[0], b[2]), lower(b[1], b[3]), upper(b[0], b[2]), upper(b[1], b[3]), 0};
    }
    r.area = (r.bottom - r.top) * (r.right - r.left);
    return r;
}

/* Whether what they have in common is more than iou of what they cover together. */
static bool overlap(const Box *a, const Box *b, float iou) {
    float h = lower(a->bottom, b->bottom) - upper(a->top, b->top);
    float w = lower(a->right, b->right) - upper(a->left, b->left);
    float common = h * w, all = a->area + b->area - common;
    return h > 0 && w > 0 && common > 0 && a->area > 0 && b->area > 0 && all > 0 &&
           common / all > iou;
}

/* The boxes of one image and what may still be taken of one class: NaN where nothing is left. */
typedef struct Candidates {
    const float *boxes;
    float *left;
    int64_t count;
    bool center;
    float iou;
} Candidates;

/* Drops the box taken last (or none: -1) and what it suppresses; then the one with the highest
 * score is next, of equal ones the first. -1 where nothing is left. */
static int64_t next_box(const Candidates *c, int64_t taken) {
    int64_t best = -1;
    Box last = {0};
    if (taken >= 0) {
        last = read_box(c->boxes + 4 * taken, c->center);
        c->left[taken] = NAN;
    }
    for (int64_t i = 0; i < c->count; i++) {
        Box b = read_box(c->boxes + 4 * i, c->center);
        if (taken >= 0 && overlap(&last, &b, c->iou))
            c->left[i] = NAN;
        if (!isnan(c->left[i]) && (best < 0 || c->left[i] > c->left[best]))
            best = i;
    }
    return best;
}

/* The number in an operand of one element. */
static float number(const Tensor *t, float absent) {
    return t ? (float)tensor_f64(t, 0) : absent;
}

bool eval_non_max_suppression(const Node *n, const Tensor *const *in, Tensor *const *out,
                              Arena *scratch, Buf *why) {
    const NmsAttrs *a = nms_attrs(n);
    const Shape *s = &in[1]->shape;
    int64_t classes = s->dim[1], boxes = s->dim[2], made = 0;
    int64_t limit = in[2] && tensor_i64(in[2], 0) < a->limit ? tensor_i64(in[2], 0) : a->limit;
    Candidates c = {.left = ARENA_ARRAY(scratch, boxes + 1, float),
                    .count = boxes,
                    .center = a->center,
                    .iou = number(in[3], 0)};
    (void)why;
    for (int64_t k = 0; k < s->dim[0] * classes; k++) {
        const float *scores = (const float *)in[1]->data + k * boxes;
        c.boxes = (const float *)in[0]->data + k / classes * boxes * 4;
        for (int64_t i = 0; i < boxes; i++)
            c.left[i] = !in[4] || scores[i] > number(in[4], 0) ? scores[i] : NAN;
        int64_t box = -1;
        for (int64_t i = 0; i < limit && (box = next_box(&c, box)) >= 0; i++, made++) {
            tensor_set_i64(out[0], 3 * made, k / classes);
            tensor_set_i64(out[0], 3 * made + 1, k % classes);
            tensor_set_i64(out[0], 3 * made + 2, box);
        }
    }
    if (out[1])
        tensor_set_i64(out[1], 0, made);
    return true;
}
