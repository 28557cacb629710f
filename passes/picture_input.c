/* picture_input.c: a model's input made one of bytes, with the arithmetic that was the caller's. */
#include "passes/match.h"

/* [1,3,1,1], or [3] for channels that come last. */
static Value *channel_constant(Graph *g, const char *name, bool last, const float v[3]) {
    float *data;
    Value *c = new_constant_f32(g, name, last ? SHAPE(3) : SHAPE(1, 3, 1, 1), &data);
    for (int i = 0; i < 3; i++)
        data[i] = v[i];
    return c;
}

static Node *append(Graph *g, Op op, Node *before, const char *name, Value *a, Value *b) {
    Node *n = node_new(g, op, before, name, (Value *[]){a, b}, b ? 2 : 1);
    n->origin = "";
    return n;
}

/* What the users of the input `x` get of the bytes it becomes. */
static Value *normalised(Graph *g, Value *x, Node *first, bool last, const PictureValues *v) {
    static const int64_t planes[] = {0, 3, 1, 2};
    Node *n;
    if (v->bgr) {
        static const int64_t starts[] = {0, 0, 0, 2}, steps[] = {1, 1, 1, -1};
        n = append(g, OP_slice, first, "bgr", x, NULL);
        *slice_attrs(n) = (SliceAttrs){{starts, 4}, {x->type.shape.dim, 4}, {steps, 4}};
        node_infer_or_die(n);
        x = node_out(n);
    }
    n = append(g, OP_cast, first, "pixels", x, NULL);
    cast_attrs(n)->to = DT_f32;
    node_infer_or_die(n);
    if (!last) {
        n = append(g, OP_transpose, first, "planes", node_out(n), NULL);
        transpose_attrs(n)->perm = (Ints){planes, 4};
        node_infer_or_die(n);
    }
    Value *mean = channel_constant(g, "mean", last, v->mean);
    Value *std = channel_constant(g, "std", last, v->std);
    n = append(g, OP_sub, first, "centred", node_out(n), mean);
    node_infer_or_die(n);
    n = append(g, OP_div, first, "normalised", node_out(n), std);
    node_infer_or_die(n);
    return node_out(n);
}

bool graph_take_bytes(Graph *g, size_t input, const PictureValues *v, const char *where, Diag *d) {
    Value *x = g->inputs.data[input];
    const Shape *s = &x->type.shape;
    bool last = s->rank == 4 && s->dim[1] != 3;
    if (x->type.dtype != DT_f32 || s->rank != 4 || s->dim[last ? 3 : 1] != 3) {
        diag_error(d, EXIT_UNSUPPORTED, where, "the model can't take 8-bit RGB");
        diag_note(d, "wanted", "an input f32[N,3,H,W] or f32[N,H,W,3]");
        return false;
    }
    Shape bytes = last ? *s : SHAPE(s->dim[0], s->dim[2], s->dim[3], 3);
    Users users = value_users(g, x);
    x->type = type_plain(DT_u8, bytes);
    users_give(g, &users, normalised(g, x, g->first, last, v));
    return true;
}
