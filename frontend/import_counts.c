/* import_counts.c: sizes that depend on data. Types are static, so a value of such a size is as
 * large as it can get, and beside it is known which axis of it is filled up to a count that is
 * computed. Ops that work on each row by itself carry that on; one that would mix what is there
 * with what isn't is refused. What is behind the count has values that are safe to compute with. */
#include "frontend/import.h"

/* Along `axis` the first `count` (i64[]) elements are there. Of a value, by its name; or the
 * smaller count that was made of another one, by that one's name and the limit. */
typedef struct Counted {
    int axis;
    Value *count;
} Counted;

static const Counted *counted(const Importer *im, const Value *v) {
    return v ? map_get(&im->counts, v->name) : NULL;
}

/* The most that a count can be: the smallest of the sizes that it was said to count. */
static void note_most(OnnxNode *n, const Value *count, int64_t size) {
    int64_t *most = map_get(&n->im->count_most, count->name);
    if (!most) {
        most = ARENA_NEW(&n->im->arena, int64_t);
        *most = size;
        map_put(&n->im->arena, &n->im->count_most, count->name, most);
    }
    *most = size < *most ? size : *most;
}

bool onnx_count_most(const OnnxNode *n, const Value *v, int64_t *most) {
    const int64_t *m = map_get(&n->im->count_most, v->name);
    if (m)
        *most = *m;
    return m != NULL;
}

void onnx_set_count(OnnxNode *n, Value *v, int axis, Value *count) {
    Counted *c = ARENA_NEW(&n->im->arena, Counted);
    *c = (Counted){axis, count};
    map_put(&n->im->arena, &n->im->counts, v->name, c);
    note_most(n, count, v->type.shape.dim[axis]);
}

/* ---- rules: the axis of the result that axis `axis` of the operand in `slot` becomes, or -1 -- */

typedef int Carry(const Node *x, int slot, int axis);

/* Aligned at the last dimension; a size of 1 that stretches has no rows of its own. */
static int carry_broadcast(const Node *x, int slot, int axis) {
    const Shape *from = &node_in(x, slot)->type.shape, *to = &node_out(x)->type.shape;
    int at = axis + to->rank - from->rank;
    return to->dim[at] == from->dim[axis] ? at : -1;
}

static int carry_gather(const Node *x, int slot, int axis) {
    int at = (int)axis_attrs(x)->axis;
    if (slot == 1)
        return at + axis;
    int added = node_in(x, 1)->type.shape.rank - 1;
    return axis == at ? -1 : axis < at ? axis : axis + added;
}

/* A tuple of indices for each row. */
static int carry_gather_nd(const Node *x, int slot, int axis) {
    bool is_row = slot == 1 && axis < node_in(x, 1)->type.shape.rank - 1;
    return is_row && gather_nd_attrs(x)->batch_dims == 0 ? axis : -1;
}

/* Where as many elements are in front of a dimension of the same size. */
static int carry_reshape(const Node *x, int slot, int axis) {
    const Shape *from = &node_in(x, slot)->type.shape, *to = &node_out(x)->type.shape;
    int64_t before = onnx_flat(from, axis).dim[0];
    for (int i = 0; i < to->rank; i++)
        if (to->dim[i] == from->dim[axis] && onnx_flat(to, i).dim[0] == before)
            return i;
    return -1;
}

static int carry_transpose(const Node *x, int slot, int axis) {
    Ints perm = transpose_attrs(x)->perm;
    (void)slot;
    for (int i = 0; i < perm.n; i++)
        if (perm.v[i] == axis)
            return i;
    return -1;
}

/* The first so many: counts_carry bounds the count. */
static int carry_slice(const Node *x, int slot, int axis) {
    const SliceAttrs *a = slice_attrs(x);
    (void)slot;
    return a->starts.v[axis] == 0 && a->steps.v[axis] == 1 ? axis : -1;
}

static int carry_pad(const Node *x, int slot, int axis) {
    const PadAttrs *a = pad_attrs(x);
    (void)slot;
    return a->before.v[axis] == 0 && a->after.v[axis] == 0 ? axis : -1;
}

/* Along another axis than the op's: concat, softmax. One operand alone stays what it is. */
static int carry_beside(const Node *x, int slot, int axis) {
    (void)slot;
    return x->op == OP_concat && x->noperands == 1 ? axis : axis == axis_attrs(x)->axis ? -1 : axis;
}

static int carry_top_k(const Node *x, int slot, int axis) {
    (void)slot;
    return axis == top_k_attrs(x)->axis ? -1 : axis;
}

static int carry_arg(const Node *x, int slot, int axis) {
    const ArgAttrs *a = arg_attrs(x);
    (void)slot;
    return axis == a->axis ? -1 : axis - (!a->keepdims && a->axis < axis);
}

/* Rows of the left operand, columns of the right one, and matrices of both, as they broadcast. */
static int carry_matmul(const Node *x, int slot, int axis) {
    const Shape *s = &node_in(x, slot)->type.shape;
    if (s->rank < 2 || axis == s->rank - 1 - slot || slot > 1)
        return -1;
    return carry_broadcast(x, slot, axis);
}

/* Rows of the input. */
static int carry_dense(const Node *x, int slot, int axis) {
    return slot == 0 && axis < node_in(x, 0)->type.shape.rank - 1 ? axis : -1;
}

/* Images of the input. */
static int carry_image(const Node *x, int slot, int axis) {
    (void)x;
    return slot == 0 && axis == 0 ? 0 : -1;
}

static int carry_reduce(const Node *x, int slot, int axis) {
    const ReduceAttrs *a = reduce_attrs(x);
    int gone = 0;
    (void)slot;
    for (int i = 0; i < a->axes.n; i++) {
        if (a->axes.v[i] == axis)
            return -1;
        gone += !a->keepdims && a->axes.v[i] < axis;
    }
    return axis - gone;
}

static Carry *carry_of(const Node *x) {
    static Carry *const rules[OP_COUNT] = {
        [OP_gather] = carry_gather,     [OP_gather_nd] = carry_gather_nd,
        [OP_reshape] = carry_reshape,   [OP_transpose] = carry_transpose,
        [OP_slice] = carry_slice,       [OP_pad] = carry_pad,
        [OP_expand] = carry_broadcast,  [OP_concat] = carry_beside,
        [OP_matmul] = carry_matmul,     [OP_dense] = carry_dense,
        [OP_conv2d] = carry_image,      [OP_global_avg_pool] = carry_image,
        [OP_dwconv2d] = carry_image,    [OP_batch_norm] = carry_image,
        [OP_max_pool] = carry_image,    [OP_avg_pool] = carry_image,
        [OP_resize] = carry_image,      [OP_softmax] = carry_beside,
        [OP_top_k] = carry_top_k,       [OP_arg_max] = carry_arg,
        [OP_arg_min] = carry_arg,       [OP_reduce_mean] = carry_reduce,
        [OP_reduce_sum] = carry_reduce, [OP_reduce_prod] = carry_reduce,
        [OP_reduce_min] = carry_reduce, [OP_reduce_max] = carry_reduce,
    };
    return op_info(x->op)->flags & OPF_ELEMENTWISE ? carry_broadcast : rules[x->op];
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* Whether an operand that isn't counted has one row for all of those along `axis` of the result, or
 * nothing to do with it. */
static bool goes_with_any(const Node *x, int slot, int axis) {
    if (x->op == OP_concat)
        return false;
    if (!(op_info(x->op)->flags & OPF_ELEMENTWISE))
        return true;
    const Shape *s = &node_in(x, slot)->type.shape;
    int at = axis - (node_out(x)->type.shape.rank - s->rank);
    return at < 0 || s->dim[at] == 1;
}

/* What all operands together say of the result; axis -1 where they say what can't be. */
static Counted carry_all(const Importer *im, const Node *x) {
    Counted y = {-1, NULL};
    Carry *rule = carry_of(x);
    for (int i = 0; i < x->noperands && rule; i++) {
        const Counted *c = counted(im, node_in(x, i));
        if (!c)
            continue;
        int axis = rule(x, i, c->axis);
        if (axis < 0 || (y.count && (y.count != c->count || y.axis != axis)))
            return (Counted){-1, c->count};
        y = (Counted){axis, c->count};
    }
    for (int i = 0; i < x->noperands && y.count; i++)
        if (node_in(x, i) && !counted(im, node_in(x, i)) && !goes_with_any(x, i, y.axis))
            return (Counted){-1, y.count};
    return y;
}

static bool is_any_counted(const Importer *im, const Node *x) {
    for (int i = 0; i < x->noperands; i++)
        if (counted(im, node_in(x, i)))
            return true;
    return false;
}

int onnx_counted_axis(const OnnxNode *n, int i) {
    return onnx_axis_of_count(n, onnx_input(n, i));
}

int onnx_axis_of_count(const OnnxNode *n, const Value *v) {
    const Counted *c = counted(n->im, v);
    return c ? c->axis : -1;
}

Value *onnx_count_of(const OnnxNode *n, const Value *v) {
    const Counted *c = counted(n->im, v);
    return c ? c->count : NULL;
}

/* ---- for importers that know about counts ---------------------------------------------------- */

Value *onnx_uncounted(OnnxNode *n, Value *v) {
    if (!counted(n->im, v))
        return v;
    n->knows_counts = n->drops_count = true;
    v = onnx_reshape(n, "all", v, &v->type.shape);
    n->drops_count = false;
    return v;
}

Value *onnx_counted_mask(OnnxNode *n, const char *part, const Value *v, int rank, int axis) {
    const Counted *c = counted(n->im, v);
    Value *i = onnx_iota(n, part, DT_i64, v->type.shape.dim[c->axis], rank, axis);
    return onnx_binary(n, OP_less, part, i, c->count);
}

Value *onnx_filled(OnnxNode *n, Value *v, Tensor *fill) {
    const Counted *c = counted(n->im, v);
    if (!c)
        return v;
    Value *mask = onnx_counted_mask(n, "is_there", v, v->type.shape.rank, c->axis);
    fill->shape = (Shape){0};
    return onnx_where(n, "filled", mask, onnx_uncounted(n, v), onnx_constant(n, "fill", fill));
}

/* Which elements along `axis` of all operands, one behind the other, are there, i64[all], counted:
 * the same list for all that have the same counts. */
static Value *places(OnnxNode *n, Value *const *x, int count, int axis) {
    const char *key = "places";
    for (int i = 0; i < count; i++) {
        const Counted *c = counted(n->im, x[i]);
        key = arena_printf(&n->im->arena, "%s\n%s %lld", key, c ? c->count->name : "",
                           (long long)x[i]->type.shape.dim[axis]);
    }
    Value *known = map_get(&n->im->count_values, key);
    if (known)
        return known;
    Value **there = ARENA_ARRAY(&n->im->arena, count, Value *);
    int64_t all = 0;
    for (int i = 0; i < count; i++) {
        int64_t size = x[i]->type.shape.dim[axis];
        all += size;
        there[i] = counted(n->im, x[i])
                       ? onnx_counted_mask(n, "is_there", x[i], 1, 0)
                       : onnx_expand(n, "is_there", onnx_scalar(n, "true", DT_bool, 1),
                                     &(Shape){1, {size}});
    }
    Value *mask = onnx_concat(n, "are_there", there, count, 0);
    Value *at = onnx_iota(n, "at", DT_i64, all, 1, 0);
    if (n->failed || !mask || !at)
        return NULL;
    Node *c = onnx_add(n, OP_compress, "places", (Value *[]){at, mask}, 2);
    axis_attrs(c)->axis = 0;
    Value *number =
        node_add_result(n->im->g, c, 1, graph_unique_name(n->im->g, "count"), (Type){0});
    Value *y = onnx_done(n, c);
    if (y) {
        onnx_set_count(n, y, 0, number);
        map_put(&n->im->arena, &n->im->count_values, key, y);
    }
    return y;
}

Value *onnx_concat_counted(OnnxNode *n, Value *const *x, int count, int axis) {
    Value **all = ARENA_ARRAY(&n->im->arena, count, Value *);
    Value *at = places(n, x, count, axis);
    for (int i = 0; i < count; i++) {
        const Counted *c = counted(n->im, x[i]);
        all[i] = c && c->axis != axis ? x[i] : onnx_uncounted(n, x[i]);
    }
    return onnx_gather(n, NULL, onnx_concat(n, "all", all, count, axis), at, axis);
}

/* What an op makes of a count and a number: one value for all who ask. */
static Value *count_by(OnnxNode *n, Op op, Value *count, int64_t number) {
    const char *key = arena_printf(&n->im->arena, "%s\n%s %lld", count->name, op_info(op)->name,
                                   (long long)number);
    Value *v = map_get(&n->im->count_values, key);
    if (!v) {
        v = onnx_by_scalar(n, op, "count", count, (double)number);
        map_put(&n->im->arena, &n->im->count_values, key, v);
    }
    return v;
}

Value *onnx_count_up_to(OnnxNode *n, Value *count, int64_t limit) {
    return count_by(n, OP_min, count, limit);
}

/* A reshape that makes one axis of the counted one and those behind it: rows of so many elements
 * each. */
static void count_joined(OnnxNode *n, const Node *x, Counted *y) {
    const Counted *c = counted(n->im, node_in(x, 0));
    const Shape *from = &node_in(x, 0)->type.shape, *to = &node_out(x)->type.shape;
    int64_t before = onnx_flat(from, c->axis).dim[0], times = 1;
    for (int k = c->axis + 1; k < from->rank && y->axis < 0; k++) {
        times *= from->dim[k];
        for (int i = 0; i < to->rank && times > 1 && y->axis < 0; i++)
            if (onnx_flat(to, i).dim[0] == before && to->dim[i] == from->dim[c->axis] * times)
                *y = (Counted){i, count_by(n, OP_mul, c->count, times)};
    }
}

void counts_carry(OnnxNode *n, const Node *x) {
    if (n->drops_count || n->im->counts.len == 0 || !is_any_counted(n->im, x))
        return;
    Counted y = carry_all(n->im, x);
    if (y.axis < 0 && x->op == OP_reshape)
        count_joined(n, x, &y);
    if (y.axis < 0)
        onnx_unsupported(n,
                         "the size of its input depends on data, and it (%s) works across the "
                         "axis concerned",
                         op_info(x->op)->name);
    if (!n->failed && x->op == OP_slice &&
        slice_attrs(x)->sizes.v[y.axis] < node_in(x, 0)->type.shape.dim[y.axis])
        y.count = onnx_count_up_to(n, y.count, slice_attrs(x)->sizes.v[y.axis]);
    for (int i = 0; i < x->nresults && !n->failed; i++)
        onnx_set_count(n, x->results[i], y.axis, y.count);
}

/* An operator that makes a constant of a shape says what isn't so. */
void counts_check(OnnxNode *n) {
    bool any = false;
    if (n->knows_counts)
        return;
    for (int i = 0; i < n->ninputs; i++)
        any |= counted(n->im, onnx_input(n, i)) != NULL;
    for (int i = 0; any && i < n->noutputs && !n->failed; i++)
        if (n->outputs[i] && n->outputs[i]->value && !counted(n->im, n->outputs[i]->value))
            onnx_unsupported(n, "the size of its input depends on data, and so does its output %d",
                             i);
}

/* ---- graph outputs --------------------------------------------------------------------------- */

/* The number of the graph output that is `count`: a new one at the end, where there is none. */
static size_t count_output(Importer *im, Value *count, const char *name, size_t first) {
    for (size_t i = first; i < im->g->outputs.len; i++)
        if (im->g->outputs.data[i]->value == count)
            return i;
    graph_output(im->g, count, arena_printf(&im->arena, "%s_count", name));
    return im->g->outputs.len - 1;
}

void counts_of_outputs(Importer *im) {
    size_t own = im->g->outputs.len;
    for (size_t i = 0; i < own; i++) {
        const Counted *c = counted(im, im->g->outputs.data[i]->value);
        if (c)
            graph_count_output(im->g, i, c->axis,
                               count_output(im, c->count, im->g->output_names.data[i], own));
    }
}
