/* canonicalise: one form for each thing that exporters spell in several ways.
 *
 *   identity, none, cast to the same type, pad by 0          gone
 *   cast to i32 and f32 of exact sums of integers, or of
 *   two of them added                                        gone, the two added as f32
 *   reshape, expand, transpose, slice that change nothing    gone
 *   reshape of a reshape                                     one reshape
 *   reshape that puts dims of 1 in front of a transpose's    a transpose of such a reshape
 *   transpose between reshapes that split dims and join
 *   them again                                               transpose
 *   expand of one dim between reshapes                       gather that repeats elements
 *   expand for arithmetic that broadcasts by itself          gone
 *   gather of all elements of a dim in order                 reshape
 *   gather_nd by one index each                              gather
 *   clip to [0, 6], [0, inf), (-inf, inf)                    relu6, relu, gone
 *   conv2d with one input and output channel a group         dwconv2d
 *   dense of [N,K,1,1] reshaped to [N,K]                     dense of [N,K,1,1]
 *   reduce_mean over height and width, or over the one dim
 *   that they were reshaped to                               global_avg_pool (and a reshape)
 *   reduce_mean over groups of planes                        means of the planes' means
 *   reduce_mean of a reduce_mean                             one reduce_mean, and that as above
 *   reduce_sum divided by the number of elements             reduce_mean, and that as above
 *   reduce_sum over the dim along which values were stacked,
 *   each times a constant of its own or not                  adds (and muls)
 *
 * Needs: nothing. Leaves alone: everything else; in particular a channel multiplier over 1. */
#include "passes/match.h"

#include <float.h>
#include <math.h>

enum { MAX_REPEATED = 1 << 16 }; /* elements of a dim */

/* Tries to rewrite n; true where it did (n may be erased then). */
typedef bool Rewrite(Graph *g, Node *n);

static bool drop(Graph *g, Node *n) {
    replace_node(g, n, node_in(n, 0));
    return true;
}

/* Whether v is sums of integers, which are within 2^24. */
static bool is_exact_sum(const Value *v) {
    const Node *n = v->def;
    while (n && n->op == OP_reshape)
        n = node_in(n, 0)->def;
    if (n && n->op == OP_dense)
        return dense_attrs(n)->exact;
    return n && (n->op == OP_conv2d || n->op == OP_dwconv2d) && conv_attrs(n)->exact;
}

/* What was cast to i32 to be v, of exact sums; NULL where it is something else. */
static Value *exact_sum(const Value *v) {
    const Node *c = v->def;
    bool is_cast = c && c->op == OP_cast && v->type.dtype == DT_i32;
    return is_cast && is_exact_sum(node_in(c, 0)) ? node_in(c, 0) : NULL;
}

/* Two sums added as f32 are rounded as their i32 sum would be. */
static bool rewrite_cast(Graph *g, Node *n) {
    Value *x = node_in(n, 0), *sum = exact_sum(x);
    const Node *add = x->def;
    if (x->type.dtype == cast_attrs(n)->to)
        return drop(g, n);
    if (cast_attrs(n)->to != DT_f32)
        return false;
    if (!sum && add && add->op == OP_add && exact_sum(node_in(add, 0)) &&
        exact_sum(node_in(add, 1)))
        sum = node_out(new_before(
            g, OP_add, n, (Value *[]){exact_sum(node_in(add, 0)), exact_sum(node_in(add, 1))}, 2));
    if (sum)
        replace_node(g, n, sum);
    return sum != NULL;
}

static bool rewrite_pad(Graph *g, Node *n) {
    const PadAttrs *a = pad_attrs(n);
    for (int i = 0; i < a->before.n; i++)
        if (a->before.v[i] != 0 || a->after.v[i] != 0)
            return false;
    return drop(g, n);
}

static bool rewrite_clip(Graph *g, Node *n) {
    const ClipAttrs *a = clip_attrs(n);
    if (a->min == -INFINITY && a->max == INFINITY)
        return drop(g, n);
    bool is_act = a->min == 0 && (a->max == 6 || a->max == INFINITY);
    if (!is_act || !dtype_is_float(node_out(n)->type.dtype))
        return false;
    Op op = op_from_act(a->max == 6 ? ACT_relu6 : ACT_relu);
    replace_node(g, n, node_out(new_before(g, op, n, (Value *[]){node_in(n, 0)}, 1)));
    return true;
}

static bool rewrite_same(Graph *g, Node *n) {
    return shape_equal(&node_in(n, 0)->type.shape, &node_out(n)->type.shape) && drop(g, n);
}

static bool rewrite_slice(Graph *g, Node *n) {
    Ints steps = slice_attrs(n)->steps;
    for (int i = 0; i < steps.n; i++)
        if (steps.v[i] != 1)
            return false;
    return rewrite_same(g, n);
}

/* How many dims of 1 `to` has in front of those of `from`; -1 where it isn't just that. */
static int dims_in_front(const Shape *from, const Shape *to) {
    int more = to->rank - from->rank;
    for (int i = 0; i < to->rank; i++)
        if (more < 1 || to->dim[i] != (i < more ? 1 : from->dim[i - more]))
            return -1;
    return more;
}

/* So that what an exporter does to a single image is what another one does to a batch. */
static bool transpose_last(Graph *g, Node *n) {
    Node *t = node_in(n, 0)->def;
    if (!t || t->op != OP_transpose || !value_single_user(node_out(t)))
        return false;
    Ints perm = transpose_attrs(t)->perm;
    int more = dims_in_front(&node_out(t)->type.shape, &node_out(n)->type.shape);
    if (more < 0)
        return false;
    Shape s = {.rank = more + perm.n};
    int64_t *order = ARENA_ARRAY(&g->arena, s.rank, int64_t);
    for (int i = 0; i < s.rank; i++) {
        s.dim[i] = i < more ? 1 : node_in(t, 0)->type.shape.dim[i - more];
        order[i] = i < more ? i : perm.v[i - more] + more;
    }
    Value *x = new_reshape(g, n, node_in(t, 0), s);
    Node *last = new_node(g, OP_transpose, n, (Value *[]){x}, 1);
    transpose_attrs(last)->perm = (Ints){order, s.rank};
    node_infer_or_die(last);
    last->origin = origin_join(g, t->origin, n->origin);
    replace_node(g, n, node_out(last));
    return true;
}

/* Which dims of `parts` each dim of `whole` was split into: from first[i] to before first[i + 1].
 * False where that isn't all that was done. */
static bool splits(const Shape *whole, const Shape *parts, int *first) {
    int k = 0;
    for (int i = 0; i < whole->rank; i++) {
        int64_t size = 1;
        first[i] = k;
        do {
            if (k == parts->rank || !checked_mul(size, parts->dim[k++], &size))
                return false;
        } while (size < whole->dim[i]);
        if (size != whole->dim[i])
            return false;
    }
    first[whole->rank] = k;
    return k == parts->rank;
}

/* The order of whole dims that perm, of their parts, comes to; false where it parts them. */
static bool whole_order(const int *first, int rank, Ints perm, int64_t *order) {
    int n = 0;
    for (int at = 0; at < perm.n; n++) {
        int i = 0;
        while (i < rank && first[i] != perm.v[at])
            i++;
        if (i == rank)
            return false;
        for (int k = first[i]; k < first[i + 1]; k++, at++)
            if (at == perm.n || perm.v[at] != k)
                return false;
        order[n] = i;
    }
    return true;
}

static bool rewrite_transpose(Graph *g, Node *n) {
    Ints perm = transpose_attrs(n)->perm;
    for (int i = 0; i < perm.n; i++)
        if (perm.v[i] != i)
            return false;
    return drop(g, n);
}

/* A transpose between reshapes, of which n is the second, that split dims and join them again. */
static bool join_parts(Graph *g, Node *n) {
    Node *t = node_in(n, 0)->def, *r;
    if (!t || t->op != OP_transpose || !(r = node_in(t, 0)->def) || r->op != OP_reshape)
        return false;
    Value *x = node_in(r, 0);
    const Shape *whole = &x->type.shape, *y = &node_out(n)->type.shape;
    int first[MAX_RANK + 1];
    int64_t order[MAX_RANK];
    if (whole->rank != y->rank || !splits(whole, &node_out(r)->type.shape, first) ||
        !whole_order(first, whole->rank, transpose_attrs(t)->perm, order))
        return false;
    for (int i = 0; i < y->rank; i++)
        if (y->dim[i] != whole->dim[order[i]])
            return false;
    Node *whole_t = new_node(g, OP_transpose, n, (Value *[]){x}, 1);
    int64_t *perm = arena_copy(&g->arena, order, (size_t)y->rank * sizeof *order);
    transpose_attrs(whole_t)->perm = (Ints){perm, y->rank};
    node_infer_or_die(whole_t);
    whole_t->origin = origin_join(g, t->origin, n->origin);
    replace_node(g, n, node_out(whole_t));
    rewrite_transpose(g, whole_t);
    return true;
}

static bool rewrite_reshape(Graph *g, Node *n) {
    for (Node *r; (r = node_in(n, 0)->def) && r->op == OP_reshape;)
        node_set_operand(n, 0, node_in(r, 0));
    return rewrite_same(g, n) || transpose_last(g, n) || join_parts(g, n);
}

/* The one dim that an expand repeats, of 1; -1 where there is none, or another one. */
static int repeated_dim(const Shape *from, const Shape *to) {
    int at = -1;
    for (int i = 0; i < to->rank; i++) {
        if (from->rank != to->rank || (from->dim[i] != to->dim[i] && at >= 0))
            return -1;
        at = from->dim[i] != to->dim[i] ? i : at;
    }
    return at;
}

/* Where s, which is `more` but for dims of 1, has the last dim over 1 in front of dim `end` of
 * `more`; -1 where there is none, or s is something else. */
static int dim_before(const Shape *s, const Shape *more, int end) {
    int k = 0, dim = -1;
    for (int i = 0; i < more->rank; i++) {
        if (more->dim[i] == 1)
            continue;
        while (k < s->rank && s->dim[k] == 1)
            k++;
        if (k == s->rank || s->dim[k] != more->dim[i])
            return -1;
        dim = i < end ? k : dim;
        k++;
    }
    return dim;
}

/* 0 k times, 1 k times, ... `dim` of them. */
static Value *repeats(Graph *g, const char *name, int64_t dim, int64_t k) {
    Tensor *t = tensor_new(&g->arena, DT_i64, SHAPE(dim * k));
    int64_t *index = tensor_mutable(t);
    for (int64_t i = 0; i < dim * k; i++)
        index[i] = i / k;
    g->folded_bytes += tensor_bytes(t);
    return graph_constant(g, name, t);
}

/* Whether n is as large without what is in that slot. */
static bool broadcasts(const Node *n, int slot) {
    switch (n->op) {
    case OP_add:
    case OP_sub:
    case OP_mul:
    case OP_div:
    case OP_min:
    case OP_max:
        return shape_equal(&node_in(n, 1 - slot)->type.shape, &node_out(n)->type.shape) &&
               node_in(n, 0) != node_in(n, 1);
    default:
        return false;
    }
}

/* A gate in the size of what it scales: expand_as of PyTorch. */
static bool drop_expand(Node *n) {
    for (const Use *u = node_out(n)->uses; u; u = u->next)
        if (!u->user || !broadcasts(u->user, u->slot))
            return false;
    while (node_out(n)->uses)
        node_set_operand(node_out(n)->uses->user, node_out(n)->uses->slot, node_in(n, 0));
    return true;
}

/* How Keras enlarges planes and NumPy repeats elements: [..., d, ...] with a dim of 1 behind d, of
 * which an expand makes k, is then seen as [..., d * k, ...]. */
static bool rewrite_expand(Graph *g, Node *n) {
    const Node *view = node_in(n, 0)->def, *user = value_single_user(node_out(n));
    if (rewrite_same(g, n) || drop_expand(n))
        return true;
    if (!view || view->op != OP_reshape || !user || user->op != OP_reshape)
        return false;
    Value *x = node_in(view, 0);
    const Shape *from = &node_out(view)->type.shape, *to = &node_out(n)->type.shape;
    int at = repeated_dim(from, to), dim = at < 0 ? -1 : dim_before(&x->type.shape, from, at);
    int64_t size = dim < 0 ? 0 : x->type.shape.dim[dim], k = at < 0 ? 0 : to->dim[at];
    if (size < 1 || k < 1 || size > MAX_REPEATED / k ||
        !graph_may_grow(g, size * k * (int64_t)sizeof(int64_t)))
        return false;
    Value *list = repeats(g, node_out(n)->name, size, k);
    Node *gather = new_node(g, OP_gather, n, (Value *[]){x, list}, 2);
    axis_attrs(gather)->axis = dim;
    node_infer_or_die(gather);
    replace_node(g, n, new_reshape(g, n, node_out(gather), *to));
    return true;
}

/* The elements of a constant of integers; NULL where v is none. */
static const Tensor *known_indices(const Value *v) {
    return v->constant && v->constant->data ? v->constant : NULL;
}

/* A view with strides of its own, as PyTorch makes them, is often the whole in order. */
static bool rewrite_gather(Graph *g, Node *n) {
    const Tensor *t = known_indices(node_in(n, 1));
    int64_t dim = node_in(n, 0)->type.shape.dim[axis_attrs(n)->axis];
    if (!t || shape_elems(&t->shape) != dim)
        return false;
    for (int64_t i = 0; i < dim; i++)
        if (tensor_i64(t, i) != i)
            return false;
    Value *y = new_reshape(g, n, node_in(n, 0), node_out(n)->type.shape);
    replace_node(g, n, y);
    rewrite_reshape(g, y->def);
    return true;
}

static bool rewrite_gather_nd(Graph *g, Node *n) {
    const Tensor *t = known_indices(node_in(n, 1));
    int last = t ? t->shape.rank - 1 : -1;
    if (last < 0 || t->shape.dim[last] != 1 || gather_nd_attrs(n)->batch_dims)
        return false;
    Shape s = t->shape;
    s.rank--;
    Value *indices = graph_constant_view(g, node_in(n, 1), 0, s);
    Node *gather = new_before(g, OP_gather, n, (Value *[]){node_in(n, 0), indices}, 2);
    replace_node(g, n, node_out(gather));
    rewrite_gather(g, gather);
    return true;
}

static bool rewrite_conv2d(Graph *g, Node *n) {
    const ConvAttrs *a = conv_attrs(n);
    const Value *x = node_in(n, 0), *w = node_in(n, 1);
    int64_t channels = x->type.shape.dim[1];
    if (a->group != channels || w->type.shape.dim[0] != channels || channels == 1 ||
        node_in(n, node_slot(n, "scale")) || has_epilogue(n))
        return false;
    Node *dw =
        new_node(g, OP_dwconv2d, n, (Value *[]){node_in(n, 0), node_in(n, 1), node_in(n, 2)}, 3);
    *conv_attrs(dw) = *a;
    conv_attrs(dw)->group = 1;
    node_infer_or_die(dw);
    replace_node(g, n, node_out(dw));
    return true;
}

static bool rewrite_dense(Graph *g, Node *n) {
    (void)g;
    return dense_of_pixels(n);
}

/* Whether both dims of the planes of x are among the axes, and nothing else. */
static bool is_over_planes(const Value *x, Ints axes) {
    return x->type.shape.rank == 4 && axes.n == 2 && axes.v[0] + axes.v[1] == 5 &&
           axes.v[0] * axes.v[1] == 6;
}

/* The value whose planes x has as its last dim: x is [N,C,H*W], that is [N,C,H,W]. NULL where
 * none. */
static Value *unflattened(const Value *x, Ints axes) {
    const Node *r = x->def;
    if (!r || r->op != OP_reshape || axes.n != 1 || axes.v[0] != 2 || x->type.shape.rank != 3)
        return NULL;
    Value *planes = node_in(r, 0);
    const Shape *from = &planes->type.shape, *to = &x->type.shape;
    return from->rank == 4 && from->dim[0] == to->dim[0] && from->dim[1] == to->dim[1] ? planes
                                                                                       : NULL;
}

/* The planes of which x has groups in its dims from 2 on, which are the axes: x, of [N,C,H,W], was
 * reshaped to [N,G,...]. NULL where none. */
static Value *ungrouped(const Value *x, Ints axes) {
    const Shape *to = &x->type.shape;
    Value *planes = x->def && x->def->op == OP_reshape ? node_in(x->def, 0) : NULL;
    if (!planes || planes->type.shape.rank != 4 || to->rank < 3 || axes.n != to->rank - 2)
        return NULL;
    for (int i = 0; i < axes.n; i++)
        if (axes.v[i] < 2)
            return NULL;
    const int64_t *from = planes->type.shape.dim;
    bool groups = from[0] == to->dim[0] && to->dim[1] > 0 && to->dim[1] < from[1] &&
                  from[1] % to->dim[1] == 0;
    return groups && from[2] * from[3] > 1 ? planes : NULL;
}

/* As GroupNormalization has them (Wu & He 2018). */
static bool mean_of_means(Graph *g, Node *n, Value *planes) {
    const int64_t *from = planes->type.shape.dim, groups = node_out(n)->type.shape.dim[1];
    static const int64_t last = 2;
    Value *pool = node_out(new_before(g, OP_global_avg_pool, n, (Value *[]){planes}, 1));
    Value *means = new_reshape(g, n, pool, SHAPE(from[0], groups, from[1] / groups));
    Node *mean = new_node(g, OP_reduce_mean, n, &means, 1);
    reduce_attrs(mean)->axes = (Ints){arena_copy(&g->arena, &last, sizeof last), 1};
    node_infer_or_die(mean);
    Value *y = node_out(mean);
    if (!shape_equal(&y->type.shape, &node_out(n)->type.shape))
        y = new_reshape(g, n, y, node_out(n)->type.shape);
    replace_node(g, n, y);
    return true;
}

static bool rewrite_reduce_mean(Graph *g, Node *n);

/* What pools by rows and then by columns. The groups of the inner mean are of one size. */
static bool merge_means(Graph *g, Node *n) {
    Node *inner = node_in(n, 0)->def;
    if (!inner || inner->op != OP_reduce_mean || !value_single_user(node_in(n, 0)))
        return false;
    const ReduceAttrs *a = reduce_attrs(inner), *b = reduce_attrs(n);
    int rank = node_in(inner, 0)->type.shape.rank, count = 0, dim = 0;
    bool gone[MAX_RANK] = {false}, both[MAX_RANK];
    for (int i = 0; i < a->axes.n; i++)
        gone[a->axes.v[i]] = true;
    int64_t *axes = ARENA_ARRAY(&g->arena, rank, int64_t);
    for (int i = 0; i < rank; i++) {
        both[i] = gone[i];
        for (int k = 0; k < b->axes.n && (a->keepdims || !gone[i]); k++)
            both[i] |= b->axes.v[k] == dim;
        dim += a->keepdims || !gone[i];
        if (both[i])
            axes[count++] = i;
    }
    Node *mean = new_node(g, OP_reduce_mean, n, (Value *[]){node_in(inner, 0)}, 1);
    *reduce_attrs(mean) = (ReduceAttrs){.axes = {axes, count}, .keepdims = b->keepdims};
    node_infer_or_die(mean);
    mean->origin = origin_join(g, inner->origin, n->origin);
    Value *y = node_out(mean);
    if (!shape_equal(&y->type.shape, &node_out(n)->type.shape))
        y = new_reshape(g, n, y, node_out(n)->type.shape);
    replace_node(g, n, y);
    (void)rewrite_reduce_mean(g, mean);
    return true;
}

static bool rewrite_reduce_mean(Graph *g, Node *n) {
    if (merge_means(g, n))
        return true;
    Ints axes = reduce_attrs(n)->axes;
    Value *x = node_in(n, 0), *planes = is_over_planes(x, axes) ? x : unflattened(x, axes);
    Value *grouped = planes ? NULL : ungrouped(x, axes);
    if (grouped)
        return mean_of_means(g, n, grouped);
    if (!planes)
        return false;
    Value *pool = node_out(new_before(g, OP_global_avg_pool, n, (Value *[]){planes}, 1));
    if (!shape_equal(&pool->type.shape, &node_out(n)->type.shape))
        pool = new_reshape(g, n, pool, node_out(n)->type.shape);
    replace_node(g, n, pool);
    return true;
}

/* Whether arithmetic with a sum of `count` elements gives their mean: a division by their number,
 * or a product with what comes next to its inverse. */
static bool divides_by(const Node *n, int side, int64_t count) {
    const float *c = constant_f32(node_in(n, 1 - side));
    if (!c || shape_elems(&node_in(n, 1 - side)->type.shape) != 1 || (n->op == OP_div && side == 1))
        return false;
    double of_mean = n->op == OP_div ? (double)count / (double)*c : (double)count * (double)*c;
    return fabs(of_mean - 1) <= FLT_EPSILON;
}

/* How JAX spells a mean. */
static bool rewrite_quotient(Graph *g, Node *n) {
    for (int side = 0; side < 2; side++) {
        const Value *x = node_in(n, side);
        Node *sum = x->def;
        if (!sum || sum->op != OP_reduce_sum || !value_single_user(x) ||
            !shape_equal(&x->type.shape, &node_out(n)->type.shape))
            continue;
        Ints axes = reduce_attrs(sum)->axes;
        int64_t count = 1;
        for (int i = 0; i < axes.n; i++)
            count *= node_in(sum, 0)->type.shape.dim[axes.v[i]];
        if (!divides_by(n, side, count))
            continue;
        Node *mean = new_node(g, OP_reduce_mean, n, (Value *[]){node_in(sum, 0)}, 1);
        *reduce_attrs(mean) = *reduce_attrs(sum);
        node_infer_or_die(mean);
        mean->origin = origin_join(g, sum->origin, n->origin);
        replace_node(g, n, node_out(mean));
        (void)rewrite_reduce_mean(g, mean);
        return true;
    }
    return false;
}

/* What a stack of values is summed of; zeroed: it isn't that. */
typedef struct Stack {
    Node *concat;
    const float *by; /* factors, one for each value; NULL: none */
    const Value *factors;
} Stack;

/* Whether c, which broadcasts to x, has one element for each of x's along an axis. */
static bool is_along(const Value *c, const Shape *x, int64_t axis) {
    const Shape *s = &c->type.shape;
    int64_t own = axis - (x->rank - s->rank);
    return s->rank <= x->rank && own >= 0 && s->dim[own] == x->dim[axis] &&
           shape_elems(s) == x->dim[axis];
}

/* x as values that are one element thick along the axis, beside each other. */
static Stack stack_of(const Value *x, int64_t axis) {
    Stack none = {0}, s = {.concat = x->def};
    if (!s.concat || !value_single_user(x))
        return none;
    for (int side = 0; s.concat->op == OP_mul && side < 2; side++) {
        const Value *c = node_in(s.concat, side), *y = node_in(s.concat, 1 - side);
        if (!constant_f32(c) || !is_along(c, &x->type.shape, axis) || !y->def ||
            !shape_equal(&y->type.shape, &x->type.shape) || !value_single_user(y))
            continue;
        s = (Stack){.concat = y->def, .by = constant_f32(c), .factors = c};
    }
    if (s.concat->op != OP_concat || axis_attrs(s.concat)->axis != axis)
        return none;
    for (int i = 0; i < s.concat->noperands; i++)
        if (node_in(s.concat, i)->type.shape.dim[axis] != 1)
            return none;
    return s;
}

/* Value i of the stack, times its factor, in the shape of the sum n. */
static Value *stacked(Graph *g, Node *n, const Stack *s, int i) {
    const Shape *shape = &node_out(n)->type.shape;
    Value *v = node_in(s->concat, i);
    while (v->def && v->def->op == OP_reshape)
        v = node_in(v->def, 0);
    if (!shape_equal(&v->type.shape, shape))
        v = new_reshape(g, n, v, *shape);
    if (!s->by)
        return v;
    float *factor;
    Value *c = new_constant_f32(g, s->factors->name, (Shape){.rank = 0}, &factor);
    *factor = s->by[i];
    return node_out(new_before(g, OP_mul, n, (Value *[]){v, c}, 2));
}

/* How PyTorch's fusions of feature maps are written: torch.stack(...).sum(dim). */
static bool rewrite_reduce_sum(Graph *g, Node *n) {
    Ints axes = reduce_attrs(n)->axes;
    Stack s = axes.n == 1 ? stack_of(node_in(n, 0), axes.v[0]) : (Stack){0};
    if (!s.concat)
        return false;
    Value *sum = stacked(g, n, &s, 0);
    for (int i = 1; i < s.concat->noperands; i++)
        sum = node_out(new_before(g, OP_add, n, (Value *[]){sum, stacked(g, n, &s, i)}, 2));
    replace_node(g, n, sum);
    return true;
}

static Rewrite *const rewrites[OP_COUNT] = {
    [OP_identity] = drop,
    [OP_cast] = rewrite_cast,
    [OP_pad] = rewrite_pad,
    [OP_clip] = rewrite_clip,
    [OP_reshape] = rewrite_reshape,
    [OP_expand] = rewrite_expand,
    [OP_slice] = rewrite_slice,
    [OP_gather] = rewrite_gather,
    [OP_gather_nd] = rewrite_gather_nd,
    [OP_transpose] = rewrite_transpose,
    [OP_conv2d] = rewrite_conv2d,
    [OP_dense] = rewrite_dense,
    [OP_reduce_mean] = rewrite_reduce_mean,
    [OP_reduce_sum] = rewrite_reduce_sum,
    [OP_mul] = rewrite_quotient,
    [OP_div] = rewrite_quotient,
};

bool pass_canonicalise(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        if (rewrites[n->op])
            rewrites[n->op](g, n);
    }
    graph_dce(g);
    return true;
}
