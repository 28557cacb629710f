/* op_data.c: operators that move elements: Concat, Slice, Split, Pad. */
#include "frontend/import.h"

#include <string.h>

/* Concat-4 to -13. */
void import_concat(OnnxNode *n) {
    Value **operands = ARENA_ARRAY(&n->im->arena, n->ninputs, Value *);
    for (int i = 0; i < n->ninputs; i++) {
        operands[i] = onnx_input(n, i);
        if (!operands[i])
            onnx_bad(n, "input %d is missing", i);
    }
    if (!attr_present(n, "axis"))
        onnx_bad(n, "attribute \"axis\" is missing");
    if (n->failed)
        return;
    int axis = onnx_axis(n, attr_int(n, "axis", 0), operands[0]->type.shape.rank);
    if (n->failed)
        return;
    bool is_across = false;
    for (int i = 0; i < n->ninputs; i++)
        is_across |= n->ninputs > 1 && onnx_counted_axis(n, i) == axis;
    onnx_set_output(n, 0,
                    is_across ? onnx_concat_counted(n, operands, n->ninputs, axis)
                              : onnx_concat(n, NULL, operands, n->ninputs, axis));
}

/* ---- Slice ----------------------------------------------------------------------------------- */

/* Which elements of one dimension are taken: start + i * step for i < size. */
typedef struct Range {
    int64_t start, size, step;
} Range;

static int64_t clamp(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
}

/* numpy's rules: negative positions count from the end, and all are clamped. */
static Range range_of(int64_t dim, int64_t start, int64_t end, int64_t step) {
    /* a step of more than the dimension takes one element, whatever it is */
    step = clamp(step, -dim - 1, dim + 1);
    start += start < 0 ? dim : 0;
    end += end < 0 ? dim : 0;
    Range r = {0, 0, 1};
    if (step > 0) {
        start = clamp(start, 0, dim);
        end = clamp(end, 0, dim);
        if (start < end)
            r = (Range){start, ceil_div(end - start, step), step};
    } else {
        start = clamp(start, -1, dim - 1);
        end = clamp(end, -1, dim - 1);
        if (start > end)
            r = (Range){start, ceil_div(start - end, -step), step};
    }
    return r;
}

/* One range for each dimension of input 0. */
typedef struct Ranges {
    int64_t starts[MAX_RANK], sizes[MAX_RANK], steps[MAX_RANK];
} Ranges;

static void take_all(const Shape *s, Ranges *r) {
    for (int i = 0; i < s->rank; i++) {
        r->starts[i] = 0;
        r->sizes[i] = s->dim[i];
        r->steps[i] = 1;
    }
}

static Value *slice(OnnxNode *n, const char *part, Value *x, const Ranges *r) {
    int rank = x->type.shape.rank;
    Node *s = onnx_add(n, OP_slice, part, &x, 1);
    slice_attrs(s)->starts = onnx_keep_ints(n, r->starts, rank);
    slice_attrs(s)->sizes = onnx_keep_ints(n, r->sizes, rank);
    slice_attrs(s)->steps = onnx_keep_ints(n, r->steps, rank);
    return onnx_done(n, s);
}

/* What a Slice says; lists other than starts and ends may be empty. */
typedef struct SliceArgs {
    Ints starts, ends, axes, steps;
} SliceArgs;

static void check_lengths(OnnxNode *n, const SliceArgs *a) {
    int count = a->starts.n;
    if (a->ends.n != count || (a->axes.n && a->axes.n != count) ||
        (a->steps.n && a->steps.n != count))
        onnx_bad(n, "its starts, ends, axes and steps have %d, %d, %d and %d numbers", count,
                 a->ends.n, a->axes.n, a->steps.n);
    else if (count > onnx_shape(n, 0)->rank)
        onnx_bad(n, "it cuts %d dimensions of %d", count, onnx_shape(n, 0)->rank);
}

static void import_slice(OnnxNode *n, const SliceArgs *a) {
    const Shape *s = onnx_shape(n, 0);
    Ranges r;
    bool seen[MAX_RANK];
    take_all(s, &r);
    if (!n->failed)
        check_lengths(n, a);
    if (!n->failed)
        onnx_axes(n, &a->axes, s->rank, seen);
    for (int i = 0; i < a->starts.n && !n->failed; i++) {
        int axis = a->axes.n ? onnx_axis(n, a->axes.v[i], s->rank) : i;
        int64_t step = a->steps.n ? a->steps.v[i] : 1;
        if (step == 0)
            onnx_bad(n, "a step is 0");
        else if (axis == onnx_counted_axis(n, 0) && (a->starts.v[i] < 0 || a->ends.v[i] < 0))
            onnx_unsupported(n, "it counts from the end of what has a size that depends on data");
        else {
            Range one = range_of(s->dim[axis], a->starts.v[i], a->ends.v[i], step);
            r.starts[axis] = one.start;
            r.sizes[axis] = one.size;
            r.steps[axis] = one.step;
        }
    }
    if (!n->failed)
        onnx_set_output(n, 0, slice(n, NULL, onnx_input(n, 0), &r));
}

/* Slice-1: attributes, no steps. */
void import_slice_1(OnnxNode *n) {
    SliceArgs a = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}};
    bool given = attr_ints(n, "starts", &a.starts);
    given &= attr_ints(n, "ends", &a.ends);
    attr_ints(n, "axes", &a.axes);
    if (!given)
        onnx_bad(n, "attributes \"starts\" and \"ends\" must be given");
    import_slice(n, &a);
}

/* Ends may be sizes that depend on data: *counts is a number of input 0's elements from the start
 * then, and the axis in the list that it is of. */
static void read_ends(OnnxNode *n, Ints *out, OnnxSize *size, int *counted) {
    int64_t *ends = ARENA_ARRAY(&n->im->arena, 2 * MAX_RANK, int64_t);
    *counted = -1;
    *out = (Ints){ends, 0};
    if (!onnx_sizes_input(n, 2, "ends", 2 * MAX_RANK, size, &out->n))
        return;
    for (int i = 0; i < out->n; i++) {
        ends[i] = size[i].most;
        if (size[i].count && *counted >= 0)
            onnx_unsupported(n, "two of its ends depend on data");
        *counted = size[i].count ? i : *counted;
    }
}

/* y is the slice; of the first elements along the axis so many are there. */
static void count_slice(OnnxNode *n, const SliceArgs *a, int i, Value *count) {
    Value *y = n->outputs[0] ? n->outputs[0]->value : NULL;
    bool from_start = !a->starts.v[i] && (!a->steps.n || a->steps.v[i] == 1);
    int axis = a->axes.n ? onnx_axis(n, a->axes.v[i], onnx_shape(n, 0)->rank) : i;
    if (!from_start || (onnx_count_of(n, y) && (onnx_axis_of_count(n, y) != axis ||
                                                onnx_count_of(n, onnx_input(n, 0)) != count)))
        onnx_unsupported(n, "end %d depends on data, and it takes other elements than the first",
                         i);
    n->knows_counts = true;
    if (!n->failed && !onnx_count_of(n, y))
        onnx_set_count(n, y, axis, onnx_count_up_to(n, count, y->type.shape.dim[axis]));
}

/* Slice-10 to -13: inputs. */
void import_slice_10(OnnxNode *n) {
    SliceArgs a = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}};
    OnnxSize size[2 * MAX_RANK];
    int counted;
    onnx_ints_input(n, 1, "starts", &a.starts);
    read_ends(n, &a.ends, size, &counted);
    if (onnx_input(n, 3))
        onnx_ints_input(n, 3, "axes", &a.axes);
    if (onnx_input(n, 4))
        onnx_ints_input(n, 4, "steps", &a.steps);
    import_slice(n, &a);
    if (!n->failed && counted >= 0)
        count_slice(n, &a, counted, size[counted].count);
}

/* ---- Split ----------------------------------------------------------------------------------- */

/* The sizes where none are given: equal ones or, where the dimension has too few elements, a
 * smaller last one (Split-18). */
static Ints equal_sizes(OnnxNode *n, int64_t dim, bool uneven) {
    int64_t count = n->noutputs, each = ceil_div(dim, count);
    int64_t *sizes = ARENA_ARRAY(&n->im->arena, count, int64_t);
    if (dim % count != 0 && !uneven)
        onnx_bad(n, "%lld elements have no %lld equal parts", (long long)dim, (long long)count);
    for (int64_t i = 0, at = 0; i < count; i++, at += each)
        sizes[i] = clamp(dim - at, 0, each);
    return (Ints){sizes, (int)count};
}

static void check_sizes(OnnxNode *n, const Ints *sizes, int64_t dim) {
    int64_t sum = 0;
    if (sizes->n != n->noutputs)
        onnx_bad(n, "there are %d sizes for %d outputs", sizes->n, n->noutputs);
    for (int i = 0; i < sizes->n && !n->failed; i++)
        if (sizes->v[i] < 0 || !checked_add(sum, sizes->v[i], &sum) || sum > dim)
            onnx_bad(n, "its sizes are negative, or more than the %lld elements", (long long)dim);
    if (!n->failed && sum != dim)
        onnx_bad(n, "its sizes add up to %lld, and there are %lld elements", (long long)sum,
                 (long long)dim);
}

/* One slice for each output. */
static void split(OnnxNode *n, int axis, const Ints *sizes) {
    Ranges r;
    take_all(onnx_shape(n, 0), &r);
    for (int i = 0; i < sizes->n; i++) {
        r.sizes[axis] = sizes->v[i];
        const char *part = arena_printf(&n->im->arena, "part%d", i);
        if (n->outputs[i])
            onnx_set_output(n, i, slice(n, i ? part : NULL, onnx_input(n, 0), &r));
        r.starts[axis] += sizes->v[i];
    }
}

static void import_split(OnnxNode *n, bool uneven) {
    const Shape *s = onnx_shape(n, 0);
    Ints sizes = {NULL, 0};
    int axis = onnx_axis(n, attr_int(n, "axis", 0), s->rank);
    bool given = onnx_input(n, 1) ? onnx_ints_up_to(n, 1, "split", FOLD_LIMIT, &sizes)
                                  : attr_ints(n, "split", &sizes);
    if (n->failed || n->noutputs == 0)
        return;
    if (!given)
        sizes = equal_sizes(n, s->dim[axis], uneven);
    check_sizes(n, &sizes, s->dim[axis]);
    if (!n->failed)
        split(n, axis, &sizes);
}

/* Split-2 to -13: sizes are an attribute or, since opset 13, an input; else they are equal. */
void import_split_2(OnnxNode *n) {
    import_split(n, false);
}

/* Split-18: num_outputs, and then the last part may be smaller. */
void import_split_18(OnnxNode *n) {
    int64_t count = attr_int(n, "num_outputs", n->noutputs);
    if (count != n->noutputs)
        onnx_bad(n, "num_outputs is %lld, and there are %d outputs", (long long)count, n->noutputs);
    if (attr_present(n, "num_outputs") && onnx_input(n, 1))
        onnx_bad(n, "both num_outputs and sizes are given");
    if (!n->failed)
        import_split(n, true);
}

/* ---- Pad ------------------------------------------------------------------------------------- */

/* Elements added in front of and behind each dimension; negative ones are cut off. */
typedef struct Pads {
    int64_t before[MAX_RANK], after[MAX_RANK];
} Pads;

/* Spreads the list of ONNX, all fronts and then all backs of the axes named (none: all of them). */
static void spread_pads(OnnxNode *n, const Ints *list, const Ints *axes, Pads *p) {
    int rank = onnx_shape(n, 0)->rank, count = axes ? axes->n : rank;
    bool seen[MAX_RANK];
    *p = (Pads){{0}, {0}};
    if (axes)
        onnx_axes(n, axes, rank, seen);
    if (!n->failed && list->n != 2 * count)
        onnx_bad(n, "its pads have %d numbers, and need %d", list->n, 2 * count);
    for (int i = 0; i < count && !n->failed; i++) {
        int axis = axes ? onnx_axis(n, axes->v[i], rank) : i;
        p->before[axis] = list->v[i];
        p->after[axis] = list->v[count + i];
    }
}

/* The dimensions after cutting; cut-off elements become 0 in p, and the rest stays to be added. */
static bool cut_range(OnnxNode *n, Pads *p, Ranges *r) {
    const Shape *s = onnx_shape(n, 0);
    bool cut = false;
    take_all(s, r);
    for (int i = 0; i < s->rank && !n->failed; i++) {
        int64_t front = p->before[i] < 0 ? -p->before[i] : 0,
                back = p->after[i] < 0 ? -p->after[i] : 0;
        if (front + back > s->dim[i])
            onnx_bad(n, "negative pads cut off more than dimension %d has", i);
        r->starts[i] = front;
        r->sizes[i] = s->dim[i] - front - back;
        p->before[i] += front;
        p->after[i] += back;
        cut |= front || back;
    }
    return cut;
}

static void check_pads(OnnxNode *n, const Pads *p) {
    for (int i = 0; i < onnx_shape(n, 0)->rank && !n->failed; i++)
        if (p->before[i] > INT32_MAX || p->before[i] < -INT32_MAX || p->after[i] > INT32_MAX ||
            p->after[i] < -INT32_MAX)
            onnx_bad(n, "pads of %lld and %lld are too large", (long long)p->before[i],
                     (long long)p->after[i]);
}

/* Which of `dim` elements stands at `i`, counted from the first one, when they go on beyond both
 * ends. */
typedef int64_t PadRule(int64_t i, int64_t dim);

static int64_t pad_edge(int64_t i, int64_t dim) {
    return clamp(i, 0, dim - 1);
}

/* They repeat. */
static int64_t pad_wrap(int64_t i, int64_t dim) {
    return ((i % dim) + dim) % dim;
}

/* They go back from either end, which stands there once. */
static int64_t pad_reflect(int64_t i, int64_t dim) {
    if (dim == 1)
        return 0;
    i = pad_wrap(i, 2 * (dim - 1));
    return i < dim ? i : 2 * (dim - 1) - i;
}

static PadRule *pad_rule(OnnxNode *n, const char *mode) {
    if (strcmp(mode, "edge") == 0)
        return pad_edge;
    if (strcmp(mode, "reflect") == 0)
        return pad_reflect;
    if (strcmp(mode, "wrap") == 0 && n->opset >= 19)
        return pad_wrap;
    onnx_bad(n, "padding mode is %s", quoted(n->im, mode));
    return NULL;
}

/* Dimension `axis` of x by a rule: a gather of its elements. */
static Value *pad_axis(OnnxNode *n, Value *x, int axis, const Pads *p, PadRule *rule) {
    int64_t dim = x->type.shape.dim[axis], out = p->before[axis] + dim + p->after[axis];
    if (dim == 0)
        onnx_bad(n, "dimension %d is empty, and has no elements to pad with", axis);
    else if (out > FOLD_LIMIT_WEIGHTS)
        onnx_unsupported(n, "its mode is supported up to %d elements", FOLD_LIMIT_WEIGHTS);
    Tensor *index = onnx_new_tensor(n, DT_i64, SHAPE(out));
    for (int64_t i = 0; index && i < out; i++)
        tensor_set_i64(index, i, rule(i - p->before[axis], dim));
    return onnx_gather_axis(n, arena_printf(&n->im->arena, "axis%d", axis), x, axis, index);
}

static void pad_by_rule(OnnxNode *n, Value *x, const Pads *p, PadRule *rule) {
    for (int i = x->type.shape.rank - 1; i >= 0 && x; i--)
        if (p->before[i] || p->after[i])
            x = pad_axis(n, x, i, p, rule);
    onnx_set_output(n, 0, x ? onnx_unary(n, OP_identity, NULL, x) : NULL);
}

/* `size` places along an axis of x, each with the scalar `value`, added to a list of parts. */
static int add_places(OnnxNode *n, Value **parts, int count, const Value *x, int axis, int64_t size,
                      Value *value) {
    Shape s = x->type.shape;
    s.dim[axis] = size;
    if (size)
        parts[count++] = onnx_expand(n, "around", value, &s);
    return count;
}

/* Around x a number that depends on data: dimension by dimension it is put in front and behind. */
static void pad_by_value(OnnxNode *n, Value *x, const Pads *p, Value *value) {
    for (int i = x->type.shape.rank - 1; i >= 0 && x && value; i--) {
        Value *parts[3];
        int count = add_places(n, parts, 0, x, i, p->before[i], value);
        parts[count++] = x;
        count = add_places(n, parts, count, x, i, p->after[i], value);
        x = count > 1 ? onnx_concat(n, "padded", parts, count, i) : x;
    }
    onnx_set_output(n, 0, x && value ? onnx_unary(n, OP_identity, NULL, x) : NULL);
}

/* What stands around: `by_data` or, where that is NULL, `number`. */
typedef struct PadValue {
    double number;
    Value *by_data;
} PadValue;

static void import_pad(OnnxNode *n, Pads *p, PadValue value) {
    Ranges r;
    const char *mode = attr_string(n, "mode", "constant");
    PadRule *rule = strcmp(mode, "constant") == 0 ? NULL : pad_rule(n, mode);
    check_pads(n, p);
    Value *x = onnx_input(n, 0);
    if (!n->failed && cut_range(n, p, &r))
        x = n->failed ? NULL : slice(n, "cut", x, &r);
    if (n->failed || !x)
        return;
    if (rule) {
        pad_by_rule(n, x, p, rule);
        return;
    }
    if (value.by_data) {
        pad_by_value(n, x, p, value.by_data);
        return;
    }
    int rank = x->type.shape.rank;
    Node *node = onnx_add(n, OP_pad, NULL, &x, 1);
    pad_attrs(node)->before = onnx_keep_ints(n, p->before, rank);
    pad_attrs(node)->after = onnx_keep_ints(n, p->after, rank);
    pad_attrs(node)->value = value.number;
    onnx_set_output(n, 0, onnx_done(n, node));
}

/* Pad-2: attributes. */
void import_pad_2(OnnxNode *n) {
    Ints list;
    Pads p;
    double value = attr_float(n, "value", 0);
    if (!attr_ints(n, "pads", &list))
        onnx_bad(n, "attribute \"pads\" is missing");
    if (n->failed)
        return;
    spread_pads(n, &list, NULL, &p);
    if (!n->failed)
        import_pad(n, &p, (PadValue){.number = value});
}

/* The number to pad with, of x's type; 0 where it is absent. */
static PadValue pad_value(OnnxNode *n) {
    Value *v = onnx_input(n, 2);
    if (v && (shape_elems(&v->type.shape) != 1 || v->type.dtype != onnx_input(n, 0)->type.dtype))
        onnx_bad(n, "its padding value must be one number of the input's type");
    if (n->failed || !v)
        return (PadValue){0};
    if (!onnx_is_known(n, 2))
        return (PadValue){.by_data = onnx_scalar_input(n, 2, "value")};
    return (PadValue){.number = onnx_number_input(n, 2, "padding value", 0)};
}

/* Pad-11, and with axes -18. */
void import_pad_11(OnnxNode *n) {
    Ints list, axes;
    Pads p;
    PadValue value = pad_value(n);
    if (n->failed || !onnx_ints_input(n, 1, "pads", &list))
        return;
    bool some = onnx_input(n, 3) != NULL;
    if (some && !onnx_ints_input(n, 3, "axes", &axes))
        return;
    spread_pads(n, &list, some ? &axes : NULL, &p);
    if (!n->failed)
        import_pad(n, &p, value);
}
