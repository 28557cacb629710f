/* expand-batch-norm: an inference batch norm that no convolution took over becomes y = x * s + t
 * per channel, s = scale / sqrt(var + epsilon), t = shift - mean * s, computed in double precision,
 * or (x - mean) * s + shift where they have to be computed, or a small file would get too many
 * constants.
 *
 * Needs: fold-batch-norm. Leaves alone: other types than f32. */
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

static Value *binary(Graph *g, Node *bn, Op op, Value *x, Value *y) {
    return node_out(new_before(g, op, bn, (Value *[]){x, y}, 2));
}

/* With s that is computed at run time. */
static void expand_computed(Graph *g, Node *bn) {
    Value *x = node_in(bn, 0), *v[5];
    Shape shape = per_channel(x->type.shape.rank, x->type.shape.dim[1]);
    float *epsilon;
    Value *e = new_constant_f32(g, "epsilon", (Shape){0}, &epsilon);
    *epsilon = (float)batch_norm_attrs(bn)->epsilon;
    for (int i = 1; i < 5; i++)
        v[i] = new_reshape(g, bn, node_in(bn, i), shape);
    Value *sum = binary(g, bn, OP_add, v[4], e);
    Value *root = node_out(new_before(g, OP_sqrt, bn, &sum, 1));
    Value *factor = binary(g, bn, OP_div, v[1], root);
    Value *y = binary(g, bn, OP_mul, binary(g, bn, OP_sub, x, v[3]), factor);
    replace_node(g, bn, binary(g, bn, OP_add, y, v[2]));
}

bool pass_expand_batch_norm(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        const float *in[5] = {NULL};
        if (n->op != OP_batch_norm || node_in(n, 0)->type.dtype != DT_f32)
            continue;
        bool known = graph_may_grow(g, 2 * type_storage_bytes(&node_in(n, 1)->type));
        for (int i = 1; known && i < 5; i++)
            known = (in[i] = constant_f32(node_in(n, i))) != NULL;
        if (known)
            expand(g, n, in);
        else
            expand_computed(g, n);
    }
    graph_dce(g);
    return true;
}
