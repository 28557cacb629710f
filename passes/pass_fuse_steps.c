/* fuse-steps: a fake_quant or requantize behind a convolution becomes its `steps`: what it does to
 * each channel is done before the result is stored.
 *
 * Needs: layout (which tells where Winograd's algorithm computes it). Leaves alone: a convolution
 * that something else reads, that has steps already, or whose kernel has no place for them (with
 * groups or a scale, or by Winograd's algorithm), and factors other than one number or one for each
 * channel. */
#include "passes/lower.h"
#include "passes/match.h"

/* The convolution behind whose kernel n's steps can go; NULL where there is none. */
static Node *target_of(const Node *n, const PassContext *cx) {
    Node *conv = sole_producer_with_weights(node_in(n, 0));
    if (!conv || conv->op == OP_dense || node_in(conv, node_slot(conv, "steps")))
        return NULL;
    if (conv->op == OP_conv2d &&
        (conv_attrs(conv)->group != 1 || node_in(conv, node_slot(conv, "scale")) ||
         conv_winograd(conv, cx).m))
        return NULL;
    return conv;
}

/* The factors of n, by channel; false where they aren't that. */
static bool factors_of(const Node *n, const float **by, bool *each) {
    const Value *v = n->op == OP_requantize ? node_in(n, 1) : NULL;
    *by = NULL;
    *each = false;
    if (!v)
        return true;
    const Shape *s = &v->type.shape, *y = &node_out(n)->type.shape;
    *by = constant_f32(v);
    *each = shape_elems(s) != 1;
    return *by &&
           (!*each || (s->rank == 4 && s->dim[1] == y->dim[1] && shape_elems(s) == y->dim[1]));
}

static Value *new_steps(Graph *g, const Node *n, const Node *conv, const float *by, bool each) {
    const FakeQuantAttrs *a = fake_quant_attrs(n);
    int64_t channels = node_out(conv)->type.shape.dim[1];
    float *rows;
    Value *v = new_constant_f32(g, arena_printf(&g->arena, "%s.steps", node_in(conv, 1)->name),
                                SHAPE(STEP_COUNT, channels), &rows);
    for (int64_t c = 0; c < channels; c++) {
        rows[STEP_BY * channels + c] = by ? by[each ? c : 0] : 1;
        rows[STEP_DIVIDE * channels + c] = (float)a->divide;
        rows[STEP_MIN * channels + c] = (float)a->min;
        rows[STEP_MAX * channels + c] = (float)a->max;
        rows[STEP_TIMES * channels + c] = (float)a->times;
    }
    return v;
}

static void fuse(Graph *g, Node *n, Node *conv, const float *by, bool each) {
    node_set_operand(conv, node_slot(conv, "steps"), new_steps(g, n, conv, by, each));
    node_out(conv)->type.layout = node_out(n)->type.layout;
    conv->origin = origin_join(g, conv->origin, n->origin);
    replace_node(g, n, node_out(conv));
}

bool pass_fuse_steps(Graph *g, PassContext *cx) {
    FOR_EACH_NODE_SAFE(g, n) {
        const float *by;
        bool each;
        Node *conv = n->op == OP_fake_quant || n->op == OP_requantize ? target_of(n, cx) : NULL;
        if (conv && node_out(n)->type.layout.block && factors_of(n, &by, &each))
            fuse(g, n, conv, by, each);
    }
    graph_dce(g);
    return true;
}
