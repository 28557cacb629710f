/* expand-batch-norm: an inference batch norm that no convolution took over becomes y = x * s + t
 * per channel, s = scale / sqrt(var + epsilon), t = shift - mean * s, computed in double precision.
 *
 * Needs: fold-batch-norm. Leaves alone: statistics that are no f32 constants with known elements.
 */
#include "passes/match.h"

#include <math.h>

/* [1, C, 1, ...]: broadcasts along axis 1 of a tensor of rank `rank`. */
static Shape per_channel(int rank, int64_t channels) {
    Shape s = {.rank = rank};
    for (int d = 0; d < rank; d++)
        s.dim[d] = d == 1 ? channels : 1;
    return s;
}

static void expand(Graph *g, Node *bn, const float *const in[5]) {
    Value *x = node_in(bn, 0);
    int64_t channels = x->type.shape.dim[1];
    Shape shape = per_channel(x->type.shape.rank, channels);
    const char *name = node_in(bn, 1)->name;
    float *s, *t;
    Value *sv = new_constant_f32(g, name, shape, &s);
    Value *tv = new_constant_f32(g, arena_printf(&g->arena, "%s.shift", name), shape, &t);
    for (int64_t c = 0; c < channels; c++) {
        double factor = in[1][c] / sqrt((double)in[4][c] + batch_norm_attrs(bn)->epsilon);
        s[c] = (float)factor;
        t[c] = (float)((double)in[2][c] - (double)in[3][c] * factor);
    }
    Node *mul = new_before(g, OP_mul, bn, (Value *[]){x, sv}, 2);
    Node *add = new_before(g, OP_add, bn, (Value *[]){node_out(mul), tv}, 2);
    replace_node(g, bn, node_out(add));
}

bool pass_expand_batch_norm(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        const float *in[5] = {NULL};
        bool known = n->op == OP_batch_norm && node_in(n, 0)->type.dtype == DT_f32;
        for (int i = 1; known && i < 5; i++)
            known = (in[i] = constant_f32(node_in(n, i))) != NULL;
        if (known)
            expand(g, n, in);
    }
    graph_dce(g);
    return true;
}
