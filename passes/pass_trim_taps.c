/* trim-taps: rows and columns of taps that read nothing but padding leave a convolution, and its
 * padding gets smaller by them; what is one tap a channel by then is a product by channel. So the
 * widest of DeepLab's dilated convolutions (Chen et al. 2017, section 3.3) on a small plane, whose
 * padding would be most of what there is in memory.
 *
 * Needs: fuse-pad. Leaves alone: taps in the middle, taps without which the padding would be less
 * than none, a convolution of which no tap would be left, and weights that are not known. */
#include "passes/match.h"

#include <string.h>

/* Taps of one axis that are dropped in front and behind. */
typedef struct Trim {
    int64_t front, back;
} Trim;

/* Whether tap k of an axis reads the input for any output. */
static bool is_live(const ConvAttrs *a, int axis, int64_t k, int64_t in, int64_t out) {
    int64_t stride = a->stride.v[axis], at = k * a->dilation.v[axis] - a->pad.v[axis];
    int64_t first = at < 0 ? ceil_div(-at, stride) : 0; /* output that isn't in front of it */
    return first < out && first * stride + at < in;
}

static Trim dead_taps(const Node *conv, int axis) {
    const ConvAttrs *a = conv_attrs(conv);
    int64_t in = node_in(conv, 0)->type.shape.dim[2 + axis];
    int64_t out = node_out(conv)->type.shape.dim[2 + axis];
    int64_t taps = a->kernel.v[axis], dilation = a->dilation.v[axis];
    Trim t = {0, 0};
    while (t.front < taps && !is_live(a, axis, t.front, in, out))
        t.front++;
    if (t.front == taps)
        return (Trim){0, 0};
    while (!is_live(a, axis, taps - 1 - t.back, in, out))
        t.back++;
    while (t.front * dilation > a->pad.v[axis])
        t.front--;
    while (t.back * dilation > a->pad.v[2 + axis])
        t.back--;
    return t;
}

/* ---- weights --------------------------------------------------------------------------------- */

static Value *fewer_taps(Graph *g, const Value *w, const Trim *rows, const Trim *columns) {
    const float *from = constant_f32(w);
    Shape s = w->type.shape;
    int64_t filters = s.dim[0] * s.dim[1], height = s.dim[2], width = s.dim[3];
    s.dim[2] -= rows->front + rows->back;
    s.dim[3] -= columns->front + columns->back;
    float *to;
    Value *v = new_constant_f32(g, w->name, s, &to);
    for (int64_t f = 0; f < filters; f++)
        for (int64_t y = 0; y < s.dim[2]; y++)
            for (int64_t x = 0; x < s.dim[3]; x++)
                *to++ = from[(f * height + rows->front + y) * width + columns->front + x];
    return v;
}

static void trim_axis(ConvAttrs *a, int axis, const Trim *t) {
    a->kernel.v[axis] -= t->front + t->back;
    a->pad.v[axis] -= t->front * a->dilation.v[axis];
    a->pad.v[2 + axis] -= t->back * a->dilation.v[axis];
    if (a->kernel.v[axis] == 1)
        a->dilation.v[axis] = 1;
}

static bool trim(Graph *g, Node *conv) {
    Trim rows = dead_taps(conv, 0), columns = dead_taps(conv, 1);
    Value *w = node_in(conv, 1);
    if (!(rows.front + rows.back + columns.front + columns.back) ||
        !graph_may_grow(g, tensor_bytes(w->constant)))
        return false;
    node_set_operand(conv, 1, fewer_taps(g, w, &rows, &columns));
    trim_axis(conv_attrs(conv), 0, &rows);
    trim_axis(conv_attrs(conv), 1, &columns);
    return true;
}

/* ---- one tap --------------------------------------------------------------------------------- */

static bool is_product(const Node *conv) {
    const ConvAttrs *a = conv_attrs(conv);
    const Shape *w = &node_in(conv, 1)->type.shape;
    return conv->op == OP_dwconv2d && shape_elems(w) == w->dim[0] && a->stride.v[0] == 1 &&
           a->stride.v[1] == 1 && a->act == ACT_none && !has_padding(conv) && !node_in(conv, 2) &&
           !has_epilogue(conv) && w->dim[0] == node_in(conv, 0)->type.shape.dim[1];
}

static void become_product(Graph *g, Node *conv) {
    const Value *w = node_in(conv, 1);
    int64_t channels = w->type.shape.dim[0];
    float *factors;
    Value *by = new_constant_f32(g, w->name, SHAPE(1, channels, 1, 1), &factors);
    memcpy(factors, constant_f32(w), (size_t)channels * sizeof *factors);
    Node *mul = new_before(g, OP_mul, conv, (Value *[]){node_in(conv, 0), by}, 2);
    mul->origin = conv->origin;
    replace_node(g, conv, node_out(mul));
}

bool pass_trim_taps(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        if ((n->op == OP_conv2d || n->op == OP_dwconv2d) && constant_f32(node_in(n, 1)) &&
            trim(g, n) && is_product(n))
            become_product(g, n);
    }
    graph_dce(g);
    return true;
}
