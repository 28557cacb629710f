/* op_reduce.c: reductions, and the operators that pick elements by size. */
#include "frontend/import.h"

#include <float.h>
#include <math.h>

/* What a reduction goes over, and whether its dimensions stay with a size of 1. */
typedef struct Over {
    Ints axes;
    bool keepdims;
} Over;

static Tensor *one_number(OnnxNode *n, DType dt, int64_t x) {
    Tensor *t = tensor_new(&n->im->g->arena, dt, (Shape){0});
    tensor_set_i64(t, 0, x);
    return t;
}

/* x with what changes nothing in place of what isn't there, where its size along one of the axes
 * depends on data. */
static Value *filled(OnnxNode *n, Op op, Value *x, const Over *o) {
    Tensor *t = NULL;
    bool is_over = false;
    for (int i = 0; i < o->axes.n; i++)
        is_over |= o->axes.v[i] == onnx_axis_of_count(n, x);
    if (is_over && (op == OP_reduce_min || op == OP_reduce_max))
        t = onnx_extreme(n, x->type.dtype, op == OP_reduce_min);
    else if (is_over && (op == OP_reduce_sum || op == OP_reduce_prod))
        t = one_number(n, x->type.dtype, op == OP_reduce_prod);
    return t ? onnx_filled(n, x, t) : x;
}

/* Refuses a size along one of the axes that depends on data. */
static Value *reduce_all(OnnxNode *n, Op op, const char *part, Value *x, const Over *o) {
    if (!x || o->axes.n == 0)
        return onnx_unary(n, OP_identity, part, x);
    Node *r = onnx_add(n, op, part, &x, 1);
    reduce_attrs(r)->axes = o->axes;
    reduce_attrs(r)->keepdims = o->keepdims;
    return onnx_done(n, r);
}

static Value *reduce(OnnxNode *n, Op op, const char *part, Value *x, const Over *o) {
    return reduce_all(n, op, part, x ? filled(n, op, x, o) : NULL, o);
}

Value *onnx_reduce(OnnxNode *n, Op op, const char *part, Value *x, Ints axes) {
    return reduce_all(n, op, part, x, &(Over){axes, true});
}

/* ---- what each computes, over the axes ------------------------------------------------------- */

typedef Value *Reduction(OnnxNode *n, Value *x, const Over *o);

/* That of integers loses its fraction. */
static Value *mean(OnnxNode *n, Value *x, const Over *o) {
    if (dtype_is_float(x->type.dtype))
        return reduce(n, OP_reduce_mean, NULL, x, o);
    int64_t count = 1;
    for (int i = 0; i < o->axes.n; i++)
        count *= x->type.shape.dim[o->axes.v[i]];
    Value *all = reduce_all(n, OP_reduce_sum, "sum", x, o);
    return onnx_by_scalar(n, OP_div, NULL, all, count ? (double)count : 1);
}

static Value *sum(OnnxNode *n, Value *x, const Over *o) {
    return reduce(n, OP_reduce_sum, NULL, x, o);
}

static Value *prod(OnnxNode *n, Value *x, const Over *o) {
    return reduce(n, OP_reduce_prod, NULL, x, o);
}

static Value *min(OnnxNode *n, Value *x, const Over *o) {
    return reduce(n, OP_reduce_min, NULL, x, o);
}

static Value *max(OnnxNode *n, Value *x, const Over *o) {
    return reduce(n, OP_reduce_max, NULL, x, o);
}

static Value *l1(OnnxNode *n, Value *x, const Over *o) {
    return sum(n, onnx_unary(n, OP_abs, "abs", x), o);
}

static Value *sum_square(OnnxNode *n, Value *x, const Over *o) {
    return sum(n, onnx_binary(n, OP_mul, "square", x, x), o);
}

static Value *l2_of_floats(OnnxNode *n, Value *x, const Over *o) {
    Value *squares = onnx_binary(n, OP_mul, "square", x, x);
    return onnx_unary(n, OP_sqrt, NULL, reduce(n, OP_reduce_sum, "sum", squares, o));
}

static Value *log_sum_of_floats(OnnxNode *n, Value *x, const Over *o) {
    return onnx_unary(n, OP_log, NULL, reduce(n, OP_reduce_sum, "sum", x, o));
}

/* The largest finite number of a type. */
static double largest(DType dt) {
    return dt == DT_f16    ? 65504
           : dt == DT_f64  ? DBL_MAX
           : dt == DT_bf16 ? 0x1.fep127
                           : (double)FLT_MAX;
}

/* m + log(sum(exp(x - m))) with m the largest x, which is kept finite: infinities give their
 * limits. */
static Value *log_sum_exp_of_floats(OnnxNode *n, Value *x, const Over *o) {
    Over kept = {o->axes, true};
    double limit = largest(x->type.dtype);
    Value *m = reduce(n, OP_reduce_max, "max", x, &kept);
    m = onnx_clip(n, "finite", m, -limit, limit);
    Value *e = onnx_unary(n, OP_exp, "exp", onnx_binary(n, OP_sub, "shifted", x, m));
    Value *l = onnx_unary(n, OP_log, "log", reduce(n, OP_reduce_sum, "sum", e, &kept));
    Value *y = onnx_binary(n, OP_add, o->keepdims ? NULL : "kept", m, l);
    return o->keepdims ? y : reduce(n, OP_reduce_max, NULL, y, o);
}

/* Integers are computed as f64, and what comes out loses its fraction. */
static Value *as_floats(OnnxNode *n, Reduction *f, Value *x, const Over *o) {
    if (dtype_is_float(x->type.dtype))
        return f(n, x, o);
    Value *wide = onnx_cast(n, "floats", x, DT_f64);
    Value *y = wide ? f(n, wide, o) : NULL;
    return y ? onnx_cast(n, NULL, y, x->type.dtype) : NULL;
}

static Value *l2(OnnxNode *n, Value *x, const Over *o) {
    return as_floats(n, l2_of_floats, x, o);
}

static Value *log_sum(OnnxNode *n, Value *x, const Over *o) {
    return as_floats(n, log_sum_of_floats, x, o);
}

static Value *log_sum_exp(OnnxNode *n, Value *x, const Over *o) {
    return as_floats(n, log_sum_exp_of_floats, x, o);
}

/* ---- over what ------------------------------------------------------------------------------- */

/* No axes mean all of them, or with noop_if_empty no dimension at all. */
static void reduce_over(OnnxNode *n, Reduction *f, const Ints *axes, bool noop_if_empty) {
    bool set[MAX_RANK] = {false};
    int rank = onnx_shape(n, 0)->rank, count = 0;
    int64_t list[MAX_RANK];
    bool keepdims = attr_bool(n, "keepdims", true);
    onnx_axes(n, axes, rank, set);
    if (n->failed)
        return;
    for (int i = 0; i < rank; i++)
        if (set[i] || (axes->n == 0 && !noop_if_empty))
            list[count++] = i;
    Over o = {onnx_keep_ints(n, list, count), keepdims};
    onnx_set_output(n, 0, f(n, onnx_input(n, 0), &o));
}

/* Axes are an attribute. */
static void by_attribute(OnnxNode *n, Reduction *f) {
    Ints axes;
    attr_ints(n, "axes", &axes);
    reduce_over(n, f, &axes, false);
}

/* Axes are an input. */
static void by_input(OnnxNode *n, Reduction *f) {
    Ints axes = {NULL, 0};
    if (onnx_input(n, 1))
        onnx_ints_input(n, 1, "axes", &axes);
    reduce_over(n, f, &axes, attr_bool(n, "noop_with_empty_axes", false));
}

/* ReduceMean-1 to -13, and from -18 on. */
void import_reduce_mean_1(OnnxNode *n) {
    by_attribute(n, mean);
}

void import_reduce_mean_18(OnnxNode *n) {
    by_input(n, mean);
}

/* ReduceSum-1 to -11, and from -13 on. */
void import_reduce_sum_1(OnnxNode *n) {
    by_attribute(n, sum);
}

void import_reduce_sum_13(OnnxNode *n) {
    by_input(n, sum);
}

/* ReduceProd-1 to -13, and from -18 on. */
void import_reduce_prod_1(OnnxNode *n) {
    by_attribute(n, prod);
}

void import_reduce_prod_18(OnnxNode *n) {
    by_input(n, prod);
}

/* ReduceMin-1 to -13, and from -18 on. */
void import_reduce_min_1(OnnxNode *n) {
    by_attribute(n, min);
}

void import_reduce_min_18(OnnxNode *n) {
    by_input(n, min);
}

/* ReduceMax-1 to -13, and from -18 on. */
void import_reduce_max_1(OnnxNode *n) {
    by_attribute(n, max);
}

void import_reduce_max_18(OnnxNode *n) {
    by_input(n, max);
}

/* ReduceL1-1 to -13, and from -18 on. */
void import_reduce_l1_1(OnnxNode *n) {
    by_attribute(n, l1);
}

void import_reduce_l1_18(OnnxNode *n) {
    by_input(n, l1);
}

/* ReduceL2-1 to -13, and from -18 on. */
void import_reduce_l2_1(OnnxNode *n) {
    by_attribute(n, l2);
}

void import_reduce_l2_18(OnnxNode *n) {
    by_input(n, l2);
}

/* ReduceLogSum-1 to -13, and from -18 on. */
void import_reduce_log_sum_1(OnnxNode *n) {
    by_attribute(n, log_sum);
}

void import_reduce_log_sum_18(OnnxNode *n) {
    by_input(n, log_sum);
}

/* ReduceLogSumExp-1 to -13, and from -18 on. */
void import_reduce_log_sum_exp_1(OnnxNode *n) {
    by_attribute(n, log_sum_exp);
}

void import_reduce_log_sum_exp_18(OnnxNode *n) {
    by_input(n, log_sum_exp);
}

/* ReduceSumSquare-1 to -13, and from -18 on. */
void import_reduce_sum_square_1(OnnxNode *n) {
    by_attribute(n, sum_square);
}

void import_reduce_sum_square_18(OnnxNode *n) {
    by_input(n, sum_square);
}

/* ---- by size --------------------------------------------------------------------------------- */

/* ArgMax-1 to -13; the last of equal elements from -12 on. */
static void arg(OnnxNode *n, Op op) {
    int axis = onnx_axis(n, attr_int(n, "axis", 0), onnx_shape(n, 0)->rank);
    bool keepdims = attr_bool(n, "keepdims", true), last = attr_bool(n, "select_last_index", false);
    Value *x = onnx_input(n, 0);
    if (n->failed)
        return;
    Node *a = onnx_add(n, op, NULL, &x, 1);
    *arg_attrs(a) = (ArgAttrs){axis, keepdims, last};
    onnx_set_output(n, 0, onnx_done(n, a));
}

void import_arg_max(OnnxNode *n) {
    arg(n, OP_arg_max);
}

void import_arg_min(OnnxNode *n) {
    arg(n, OP_arg_min);
}

/* Where the size of x along the axis depends on data, k is at most that; what isn't there is behind
 * all that is. k may be a count itself, and then k->most is what it can be. */
static void top_k(OnnxNode *n, const OnnxSize *size, bool is_largest) {
    int axis = onnx_axis(n, attr_int(n, "axis", -1), onnx_shape(n, 0)->rank);
    Value *x = onnx_input(n, 0), *count = size->count;
    int64_t k = size->most;
    if (n->failed)
        return;
    int64_t dim = x->type.shape.dim[axis];
    if (onnx_axis_of_count(n, x) == axis) {
        k = k < dim ? k : dim;
        count = count ? count : onnx_count_up_to(n, onnx_count_of(n, x), k);
        Tensor *last = onnx_extreme(n, x->type.dtype, !is_largest);
        if (!is_largest && dtype_is_float(last->dtype))
            tensor_set_f64(last, 0, (double)NAN); /* which counts as the largest */
        x = onnx_filled(n, x, last);
    } else if (count && onnx_count_of(n, x)) {
        onnx_unsupported(n, "two sizes of its result depend on data");
    }
    if (count)
        k = k < dim ? k : dim;
    if (n->failed || !x)
        return;
    Node *t = onnx_add(n, OP_top_k, NULL, &x, 1);
    *top_k_attrs(t) = (TopKAttrs){axis, k, is_largest};
    bool indices = n->noutputs > 1 && n->outputs[1];
    if (indices)
        node_add_result(n->im->g, t, 1, n->outputs[1]->label, (Type){0});
    Value *values = onnx_done(n, t);
    onnx_set_output(n, 0, values);
    if (values && indices)
        onnx_set_output(n, 1, t->results[1]);
    for (int i = 0; values && count && i <= indices; i++)
        onnx_set_count(n, t->results[i], axis, count);
}

/* TopK-1: k is an attribute. */
void import_top_k_1(OnnxNode *n) {
    if (!attr_present(n, "k"))
        onnx_bad(n, "attribute \"k\" is missing");
    top_k(n, &(OnnxSize){attr_int(n, "k", 0), NULL}, true);
}

/* TopK-10: k is an input; from -11 on the smallest can be asked for. An order is always given. */
void import_top_k_10(OnnxNode *n) {
    OnnxSize k[2 * MAX_RANK];
    int count;
    bool is_largest = attr_bool(n, "largest", true);
    attr_ignore(n, "sorted");
    if (!onnx_sizes_input(n, 1, "k", 2 * MAX_RANK, k, &count))
        return;
    if (count == 1)
        top_k(n, k, is_largest);
    else
        onnx_bad(n, "its k must be one number");
}
