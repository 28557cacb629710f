/* fuse-pixels: the bytes of a picture, [N,H,W,C], that are cast to f32 and transposed to [N,C,H,W],
 * in any order, and what is then added to them by channel, or taken away, become one op, pixels. So
 * do floats of up to MAX_CHANNELS channels that are transposed for a convolution. Needs:
 * fold-input, which leaves such an addition before a padded convolution. Leaves alone: values with
 * another user, additions of other shapes, bytes of more channels than the kernel has code for. */
#include "passes/lower.h"
#include "passes/match.h"

enum { MAX_CHANNELS = 4 }; /* of a picture of floats */

static bool makes_planes(const Node *n) {
    static const int64_t planes[] = {0, 3, 1, 2};
    Ints perm = transpose_attrs(n)->perm;
    for (int i = 0; i < 4; i++)
        if (perm.n != 4 || perm.v[i] != planes[i])
            return false;
    return true;
}

/* The f32 value that a transpose makes v of for one user alone; NULL: none. */
static Value *floats_of(const Value *v) {
    const Node *n = v->def;
    if (!n || n->op != OP_transpose || !value_single_user(v) || !makes_planes(n) ||
        v->type.dtype != DT_f32 || v->type.shape.dim[1] > MAX_CHANNELS)
        return NULL;
    return node_in(n, 0);
}

/* The u8 value that a cast and a transpose make v of for one user alone; NULL: none. */
static Value *bytes_of(const Value *v) {
    bool cast = false, transposed = false;
    while (v->def && (v->def->op == OP_cast || v->def->op == OP_transpose)) {
        Node *n = v->def;
        bool *seen = n->op == OP_cast ? &cast : &transposed;
        if (*seen || !value_single_user(v) || (n->op == OP_transpose && !makes_planes(n)))
            return NULL;
        *seen = true;
        v = node_in(n, 0);
        if (cast && transposed)
            return v->type.dtype == DT_u8 && pixels_fit(&v->type.shape) ? node_in(n, 0) : NULL;
    }
    return NULL;
}

/* A constant of [1,C,1,1] or one element times `sign`, as one with C elements; NULL where it is
 * none.
 */
static Value *shift_of(Graph *g, const Value *c, int64_t channels, float sign) {
    const Shape *s = &c->type.shape;
    int64_t elems = shape_elems(s);
    bool each = s->rank == 4 && s->dim[1] == channels && elems == channels;
    if (!constant_f32(c) || (elems != 1 && !each))
        return NULL;
    float *data;
    Value *v = new_constant_f32(g, c->name, SHAPE(channels), &data);
    for (int64_t i = 0; i < channels; i++)
        data[i] = sign * constant_f32(c)[elems == 1 ? 0 : i];
    return v;
}

static void fuse(Graph *g, Node *last, Value *from, Value *shift, const char *origin) {
    Node *n = new_before(g, OP_pixels, last, (Value *[]){from, shift}, 2);
    n->origin = origin;
    replace_node(g, last, node_out(n));
}

/* n is x + shift, shift + x or x - shift. */
static void fuse_sum(Graph *g, Node *n) {
    for (int side = 0; side < (n->op == OP_add ? 2 : 1); side++) {
        Value *x = node_in(n, side), *bytes = bytes_of(x) ? bytes_of(x) : floats_of(x);
        if (!bytes || !shape_equal(&x->type.shape, &node_out(n)->type.shape))
            continue;
        Value *shift =
            shift_of(g, node_in(n, 1 - side), x->type.shape.dim[1], n->op == OP_add ? 1 : -1);
        if (!shift)
            continue;
        fuse(g, n, bytes, shift, origin_join(g, n->origin, x->def->origin));
        return;
    }
}

bool pass_fuse_pixels(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        if ((n->op == OP_add || n->op == OP_sub) && node_out(n)->type.dtype == DT_f32)
            fuse_sum(g, n);
    }
    FOR_EACH_NODE_SAFE(g, n) {
        bool last = n->op == OP_cast || n->op == OP_transpose;
        const Node *user = last ? value_single_user(node_out(n)) : NULL;
        Value *from = user ? bytes_of(node_out(n)) : NULL;
        if (!from && user && user->op == OP_conv2d)
            from = floats_of(node_out(n));
        if (from && node_out(n)->type.dtype == DT_f32)
            fuse(g, n, from, NULL, n->origin);
    }
    graph_dce(g);
    return true;
}
