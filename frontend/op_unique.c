/* op_unique.c: Unique, by comparing each row with each. Its outputs have room for all rows, as all
 * may be different. */
#include "frontend/import.h"

enum { MOST_COMPARED = 1 << 24 }; /* elements, in all pairs of rows */

static Value *as_i32(OnnxNode *n, Value *x) {
    return onnx_cast(n, "number", x, DT_i32);
}

static Value *sum_along(OnnxNode *n, const char *part, Value *x, int axis) {
    return onnx_reduce(n, OP_reduce_sum, part, x, onnx_keep_ints(n, (int64_t[]){axis}, 1));
}

/* x as rows [count, elements], along an axis. */
static Value *rows_of(OnnxNode *n, Value *x, int axis) {
    const Shape *s = &x->type.shape;
    int64_t perm[MAX_RANK] = {axis}, count = s->dim[axis];
    for (int i = 0; i < s->rank; i++)
        if (i != axis)
            perm[i < axis ? i + 1 : i] = i;
    return onnx_reshape(n, "rows", onnx_transpose(n, "rows", x, perm),
                        &(Shape){2, {count, shape_elems(s) / count}});
}

/* What is said of row i, the first dimension, and row j, as i32. */
typedef struct Pairs {
    Value *same;     /* [rows, rows]: they are equal */
    Value *before;   /* [rows, rows]: row j comes before row i, by the first elements that differ */
    Value *is_first; /* [1, rows]: no row before j is as row j */
} Pairs;

static Pairs compare(OnnxNode *n, Value *rows) {
    Pairs p = {NULL, NULL, NULL};
    if (!rows)
        return p;
    int64_t count = rows->type.shape.dim[0], elems = rows->type.shape.dim[1];
    const Shape square = SHAPE(count, count);
    Value *a = onnx_reshape(n, "row", rows, &(Shape){3, {count, 1, elems}});
    Value *b = onnx_reshape(n, "other", rows, &(Shape){3, {1, count, elems}});
    Value *equal = as_i32(n, onnx_binary(n, OP_equal, "equal", a, b));
    Value *least =
        onnx_reduce(n, OP_reduce_min, "same", equal, onnx_keep_ints(n, (int64_t[]){2}, 1));
    p.same = onnx_reshape(n, "same", least, &square);
    Value *at = onnx_first_largest(n, "differ_at", onnx_unary(n, OP_neg, "differ", equal), 2);
    Value *less = as_i32(n, onnx_binary(n, OP_less, "less", b, a));
    if (!at || !less)
        return p;
    Node *g = onnx_add(n, OP_gather_elements, "less", (Value *[]){less, at}, 2);
    axis_attrs(g)->axis = 2;
    p.before = onnx_reshape(n, "before", onnx_done(n, g), &square);
    Value *i = onnx_iota(n, "i", DT_i32, count, 2, 0), *j = onnx_iota(n, "j", DT_i32, count, 2, 1);
    Value *earlier = as_i32(n, onnx_binary(n, OP_less, "earlier", i, j));
    Value *like_earlier =
        sum_along(n, "like_earlier", onnx_binary(n, OP_mul, "like", p.same, earlier), 0);
    p.is_first = as_i32(n, onnx_by_scalar(n, OP_equal, "is_first", like_earlier, 0));
    return p;
}

/* For each row the number of its like in the result, [rows, 1]: of how many first rows are before
 * it, in the order of rows or in that in which they stand. */
static Value *numbers(OnnxNode *n, const Pairs *p, int64_t count, bool sorted) {
    Value *before = p->before;
    if (!sorted) {
        Value *first = onnx_first_largest(n, "first", p->same, 1);
        Value *j = onnx_iota(n, "j", DT_i64, count, 2, 1);
        before = as_i32(n, onnx_binary(n, OP_less, "before", j, first));
    }
    return sum_along(n, "number", onnx_binary(n, OP_mul, "first_before", before, p->is_first), 1);
}

static Value *as_list(OnnxNode *n, const char *part, Value *x, int64_t count) {
    return onnx_reshape(n, part, onnx_cast(n, part, x, DT_i64), &(Shape){1, {count}});
}

/* Output i, of which the first `count` along an axis are there. */
static void set_counted(OnnxNode *n, int i, Value *y, int axis, Value *count) {
    onnx_set_output(n, i, y);
    if (y)
        onnx_set_count(n, y, axis, count);
}

static void unique(OnnxNode *n, Value *x, int axis, bool sorted) {
    int64_t rows = x->type.shape.dim[axis];
    Pairs p = compare(n, rows_of(n, x, axis));
    Value *number = numbers(n, &p, rows, sorted);
    /* row k of [rows, rows] says which rows have number k; column by column */
    Value *k = onnx_iota(n, "k", DT_i32, rows, 2, 1);
    Value *is_k = as_i32(n, onnx_binary(n, OP_equal, "is_k", number, k));
    Value *at = as_list(n, "at", onnx_first_largest(n, "first_of_k", is_k, 0), rows);
    Value *counts = as_list(n, "counts", sum_along(n, "count_of_k", is_k, 0), rows);
    Value *count = onnx_cast(n, "count", sum_along(n, "count", p.is_first, 1), DT_i64);
    count = onnx_reshape(n, "count", count, &(Shape){0});
    if (n->failed || !at)
        return;
    set_counted(n, 0, onnx_gather(n, NULL, x, at, axis), axis, count);
    set_counted(n, 1, at, 0, count);
    onnx_set_output(n, 2, as_list(n, "inverse", number, rows));
    set_counted(n, 3, counts, 0, count);
}

/* Unique-11 to -28: of all elements where it has no axis. */
void import_unique(OnnxNode *n) {
    bool sorted = attr_bool(n, "sorted", true);
    Value *x = onnx_input(n, 0);
    int axis = 0;
    if (attr_present(n, "axis"))
        axis = onnx_axis(n, attr_int(n, "axis", 0), x->type.shape.rank);
    else
        x = onnx_reshape(n, "elements", x, &(Shape){1, {shape_elems(&x->type.shape)}});
    if (n->failed || !x)
        return;
    int64_t compared, elems = shape_elems(&x->type.shape);
    if (elems == 0)
        onnx_unsupported(n, "its input is empty");
    else if (!checked_mul(elems, x->type.shape.dim[axis], &compared) || compared > MOST_COMPARED)
        onnx_unsupported(n, "comparing all pairs of %lld rows of %lld elements takes too much",
                         (long long)x->type.shape.dim[axis],
                         (long long)(elems / x->type.shape.dim[axis]));
    else if (x->type.dtype == DT_bool)
        onnx_unsupported(n, "its input is bool");
    else
        unique(n, x, axis, sorted);
}
