/* import_sizes.c: sizes that are computed of counts, as min(50, rows of x) is. Of an element of
 * such a list two things are needed: the most that it can be, which the type of what is made with
 * it says, and the count itself, one value however it was reshaped and gathered. */
#include "frontend/import.h"

/* A small file can ask for a lot of looking. */
enum { MOST_STEPS = 1000, LONGEST_LIST = 64 };

/* Dimensions [from, to) of a shape as a list. */
static Value *dims(OnnxNode *n, const char *part, const Shape *s, int from, int to) {
    Tensor *t = tensor_new(&n->im->g->arena, DT_i64, SHAPE(to - from));
    for (int i = from; i < to; i++)
        tensor_set_i64(t, i - from, s->dim[i]);
    return onnx_constant(n, part, t);
}

Value *onnx_shape_list(OnnxNode *n, int i, int start, int end) {
    const Shape *s = onnx_shape(n, i);
    int axis = onnx_counted_axis(n, i), parts = 0;
    Value *part[3];
    n->knows_counts = true;
    if (axis < start || axis >= end)
        return dims(n, NULL, s, start, end);
    if (axis > start)
        part[parts++] = dims(n, "before", s, start, axis);
    part[parts++] = onnx_reshape(n, "count", onnx_count_of(n, onnx_input(n, i)), &(Shape){1, {1}});
    if (axis + 1 < end)
        part[parts++] = dims(n, "behind", s, axis + 1, end);
    return parts == 1 ? part[0] : onnx_concat(n, NULL, part, parts, 0);
}

/* ---- what an element is ---------------------------------------------------------------------- */

static bool size_of(OnnxNode *n, Value *v, int64_t i, OnnxSize *out, int *steps);

/* The operand of a concat of lists that element i is of, and its place there. */
static Value *part_with(const Node *x, int64_t *i) {
    for (int k = 0; k < x->noperands; k++) {
        Value *v = node_in(x, k);
        int64_t elems = shape_elems(&v->type.shape);
        if (*i < elems)
            return v;
        *i -= elems;
    }
    return NULL;
}

static bool gathered(OnnxNode *n, const Node *x, int64_t i, OnnxSize *out, int *steps) {
    Value *from = node_in(x, 0);
    const Tensor *at = graph_fold_value(n->im->g, node_in(x, 1), LONGEST_LIST);
    if (!at || !at->data || from->type.shape.rank != 1)
        return false;
    int64_t k = tensor_i64(at, i);
    k += k < 0 ? from->type.shape.dim[0] : 0;
    return size_of(n, from, k, out, steps);
}

/* y is the least element of x's operands; it is a size of its own. */
static bool least(OnnxNode *n, const Node *x, OnnxSize *out, int *steps) {
    *out = (OnnxSize){INT64_MAX, NULL};
    for (int k = 0; k < x->noperands; k++)
        for (int64_t i = 0; i < shape_elems(&node_in(x, k)->type.shape); i++) {
            OnnxSize one;
            if (!size_of(n, node_in(x, k), i, &one, steps))
                return false;
            out->most = one.most < out->most ? one.most : out->most;
        }
    Value *y = node_out(x);
    out->count = y->type.shape.rank ? onnx_reshape(n, "size", y, &(Shape){0}) : y;
    return out->count && out->most >= 0;
}

/* Element i of a list of x, or its only one. */
static int64_t element(const Value *x, int64_t i) {
    return shape_elems(&x->type.shape) == 1 ? 0 : i;
}

/* Whether element i of a condition is known, as it is for equal(size, -1): no count is negative. */
static bool holds(OnnxNode *n, Value *c, int64_t i, bool *yes, int *steps) {
    const Tensor *t = graph_fold_value(n->im->g, c, LONGEST_LIST);
    OnnxSize a, b;
    if (t && t->data) {
        *yes = tensor_i64(t, element(c, i)) != 0;
        return true;
    }
    const Node *x = c->def;
    if (!x || x->op != OP_equal ||
        !size_of(n, node_in(x, 0), element(node_in(x, 0), i), &a, steps) ||
        !size_of(n, node_in(x, 1), element(node_in(x, 1), i), &b, steps))
        return false;
    *yes = !a.count && !b.count && a.most == b.most;
    return (!a.count || b.most < 0) && (!b.count || a.most < 0);
}

/* The operand that the condition chooses: PyTorch takes sizes of -1 for those that there are. */
static bool chosen(OnnxNode *n, const Node *x, int64_t i, OnnxSize *out, int *steps) {
    bool yes;
    if (!holds(n, node_in(x, 0), i, &yes, steps))
        return false;
    Value *v = node_in(x, yes ? 1 : 2);
    return size_of(n, v, element(v, i), out, steps);
}

/* A sum with 0: where a part of a whole begins at 0, its end is what PyTorch adds its size to. */
static bool total(OnnxNode *n, const Node *x, int64_t i, OnnxSize *out, int *steps) {
    Value *a = node_in(x, 0), *b = node_in(x, 1);
    OnnxSize p, q;
    if (!size_of(n, a, element(a, i), &p, steps) || !size_of(n, b, element(b, i), &q, steps))
        return false;
    bool first = !p.count && p.most == 0;
    *out = first ? q : p;
    if (!p.count && !q.count)
        return checked_add(p.most, q.most, &out->most);
    return first || (!q.count && q.most == 0);
}

static bool size_of(OnnxNode *n, Value *v, int64_t i, OnnxSize *out, int *steps) {
    if ((*steps)-- <= 0 || n->failed)
        return false;
    *out = (OnnxSize){0, v};
    if (onnx_count_most(n, v, &out->most))
        return true;
    const Tensor *t = graph_fold_value(n->im->g, v, LONGEST_LIST);
    if (t && t->data) {
        *out = (OnnxSize){tensor_i64(t, i), NULL};
        return true;
    }
    Node *x = v->def;
    bool is_list = v->type.shape.rank <= 1 && shape_elems(&v->type.shape) <= LONGEST_LIST;
    if (!x || !is_list || v->type.dtype != DT_i64)
        return false;
    switch (x->op) {
    case OP_reshape:
    case OP_identity:
    case OP_cast:
        return size_of(n, node_in(x, 0), i, out, steps);
    case OP_concat:
        v = part_with(x, &i);
        return v && size_of(n, v, i, out, steps);
    case OP_gather:
        return gathered(n, x, i, out, steps);
    case OP_add:
        return total(n, x, i, out, steps);
    case OP_where:
        return chosen(n, x, i, out, steps);
    case OP_min:
    case OP_reduce_min:
        return shape_elems(&v->type.shape) == 1 && least(n, x, out, steps);
    default:
        return false;
    }
}

const Tensor *onnx_known_sizes(OnnxNode *n, Value *v) {
    int64_t count = v->type.shape.rank <= 1 ? shape_elems(&v->type.shape) : LONGEST_LIST + 1;
    int steps = MOST_STEPS;
    OnnxSize one;
    if (v->type.dtype != DT_i64 || count > LONGEST_LIST || !n->im->counts.len)
        return NULL;
    Tensor *t = tensor_new(&n->im->g->arena, DT_i64, v->type.shape);
    for (int64_t i = 0; i < count; i++) {
        if (!size_of(n, v, i, &one, &steps) || one.count)
            return NULL;
        tensor_set_i64(t, i, one.most);
    }
    return t;
}

bool onnx_sizes_input(OnnxNode *n, int i, const char *what, int most, OnnxSize *out, int *count) {
    Value *v = onnx_input(n, i);
    Ints list;
    int steps = MOST_STEPS;
    if (onnx_is_known(n, i)) {
        if (!onnx_ints_up_to(n, i, what, most, &list))
            return false;
        *count = list.n;
        for (int k = 0; k < list.n; k++)
            out[k] = (OnnxSize){list.v[k], NULL};
        return true;
    }
    bool fits = v->type.shape.rank <= 1 && shape_elems(&v->type.shape) <= most;
    *count = fits ? (int)shape_elems(&v->type.shape) : 0;
    for (int k = 0; k < *count && fits; k++)
        fits = size_of(n, v, k, &out[k], &steps);
    if (!fits)
        onnx_not_constant(n, what, v);
    return fits && !n->failed;
}
