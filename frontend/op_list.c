/* op_list.c: sequences of tensors, and optionals. The graph IR has neither: which tensors are in
 * them must be known while compiling, and what is read of them are those tensors. */
#include "frontend/import.h"

static const OnnxList *sequence(OnnxNode *n, int i) {
    const OnnxList *l = onnx_list(n, i);
    if (l && l->is_sequence)
        return l;
    onnx_bad(n, "input %d is no sequence", i);
    return NULL;
}

/* A sequence as output 0, whose items the caller sets. NULL after a complaint. */
static Value **new_sequence(OnnxNode *n, int64_t count) {
    if (n->failed || !inline_spend(n, 1 + (size_t)count / 8))
        return NULL;
    OnnxList *l = ARENA_NEW(&n->im->arena, OnnxList);
    *l = (OnnxList){true, ARENA_ARRAY(&n->im->arena, count, Value *), count};
    onnx_set_list(n, 0, l);
    return l->items;
}

static void copy_items(Value **to, Value *const *from, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        to[i] = from[i];
}

/* The position that input i says, below `limit`; negative ones count from `count`. dflt where it is
 * absent. */
static int64_t position(OnnxNode *n, int i, int64_t count, int64_t limit, int64_t dflt) {
    Ints at = {&dflt, 1};
    if (onnx_input(n, i) && !onnx_ints_input(n, i, "position", &at))
        return 0;
    int64_t p = at.n == 1 ? at.v[0] : 0;
    p += p < 0 ? count : 0;
    if (at.n == 1 && p >= 0 && p < limit)
        return p;
    onnx_bad(n, "its position is not one of a sequence of %lld", (long long)count);
    return 0;
}

void import_sequence_construct(OnnxNode *n) {
    for (int i = 0; i < n->ninputs && !n->failed; i++)
        if (!onnx_input(n, i))
            onnx_bad(n, "input %d is missing", i);
    if (n->failed || !onnx_same_dtype(n, n->ninputs))
        return;
    Value **items = new_sequence(n, n->ninputs);
    for (int i = 0; items && i < n->ninputs; i++)
        items[i] = onnx_input(n, i);
}

void import_sequence_empty(OnnxNode *n) {
    attr_ignore(n, "dtype");
    new_sequence(n, 0);
}

void import_sequence_at(OnnxNode *n) {
    const OnnxList *l = sequence(n, 0);
    int64_t at = l ? position(n, 1, l->count, l->count, 0) : 0;
    if (!n->failed)
        onnx_set_output(n, 0, l->items[at]);
}

void import_sequence_insert(OnnxNode *n) {
    const OnnxList *l = sequence(n, 0);
    Value *x = onnx_input(n, 1);
    if (l && l->count && x && x->type.dtype != l->items[0]->type.dtype)
        onnx_bad(n, "input 1 is %s, and the sequence holds %s", dtype_name(x->type.dtype),
                 dtype_name(l->items[0]->type.dtype));
    else if (!x)
        onnx_bad(n, "input 1 is no tensor");
    if (n->failed)
        return;
    int64_t at = position(n, 2, l->count, l->count + 1, l->count);
    Value **items = new_sequence(n, l->count + 1);
    if (!items)
        return;
    copy_items(items, l->items, at);
    items[at] = x;
    copy_items(items + at + 1, l->items + at, l->count - at);
}

void import_sequence_erase(OnnxNode *n) {
    const OnnxList *l = sequence(n, 0);
    int64_t at = l ? position(n, 1, l->count, l->count, -1) : 0;
    Value **items = n->failed ? NULL : new_sequence(n, l->count - 1);
    if (!items)
        return;
    copy_items(items, l->items, at);
    copy_items(items + at, l->items + at + 1, l->count - 1 - at);
}

void import_sequence_length(OnnxNode *n) {
    const OnnxList *l = sequence(n, 0);
    if (l)
        onnx_set_output(n, 0, onnx_scalar(n, NULL, DT_i64, (double)l->count));
}

/* ---- from and to tensors --------------------------------------------------------------------- */

void import_concat_from_sequence(OnnxNode *n) {
    const OnnxList *l = sequence(n, 0);
    bool new_axis = attr_bool(n, "new_axis", false);
    if (!attr_present(n, "axis"))
        onnx_bad(n, "attribute \"axis\" is missing");
    else if (l && l->count == 0)
        onnx_bad(n, "its sequence is empty");
    int64_t axis = attr_int(n, "axis", 0);
    if (n->failed)
        return;
    int rank = l->items[0]->type.shape.rank;
    int at = onnx_axis(n, axis, rank + new_axis);
    if (n->failed || l->count > INT32_MAX)
        return;
    Value *y = new_axis ? onnx_stack(n, NULL, l->items, (int)l->count, at)
                        : onnx_concat(n, NULL, l->items, (int)l->count, at);
    onnx_set_output(n, 0, y);
}

/* How many elements of the axis each part of a SplitToSequence has. */
typedef struct Parts {
    const Tensor *sizes; /* a vector; or NULL, and then all have `each`, or fewer at the end */
    int64_t each, count;
} Parts;

static Parts parts_of(OnnxNode *n, int64_t dim) {
    Parts p = {NULL, 1, dim};
    if (!onnx_input(n, 1))
        return p;
    const Tensor *t = onnx_const_input(n, 1, "split", FOLD_LIMIT);
    if (t && (t->shape.rank > 1 || (t->dtype != DT_i64 && t->dtype != DT_i32)))
        onnx_bad(n, "its split must be one int64 or int32, or a list of them");
    if (n->failed)
        return p;
    if (t->shape.rank == 1)
        return (Parts){t, 0, t->shape.dim[0]};
    p.each = tensor_i64(t, 0);
    if (p.each < 1)
        onnx_bad(n, "its split is %lld", (long long)p.each);
    else
        p.count = dim / p.each + (dim % p.each != 0);
    return p;
}

/* SplitToSequence-11 to -24. */
void import_split_to_sequence(OnnxNode *n) {
    Value *x = onnx_input(n, 0);
    int axis = onnx_axis(n, attr_int(n, "axis", 0), x->type.shape.rank);
    bool keep = attr_bool(n, "keepdims", true) || onnx_input(n, 1);
    if (n->failed)
        return;
    int64_t dim = x->type.shape.dim[axis], at = 0;
    Parts p = parts_of(n, dim);
    Value **items =
        n->failed || !inline_spend(n, (size_t)p.count) ? NULL : new_sequence(n, p.count);
    for (int64_t i = 0; i < p.count && items && !n->failed; i++) {
        int64_t left = dim - at, size = p.sizes ? tensor_i64(p.sizes, i) : p.each;
        size = p.sizes || size < left ? size : left;
        if (size < 0 || size > left) {
            onnx_bad(n, "its split does not fit the %lld elements", (long long)dim);
            return;
        }
        items[i] = onnx_slice_axis(n, "part", x, axis, at, size, 1);
        if (!keep)
            items[i] = onnx_without_axis(n, "part", items[i], axis);
        at += size;
    }
    if (items && !n->failed && at != dim)
        onnx_bad(n, "its split adds up to %lld, and there are %lld elements", (long long)at,
                 (long long)dim);
}

/* ---- optionals: one with an element is that element ------------------------------------------ */

static bool has_element(const OnnxNode *n) {
    const OnnxList *l = onnx_list(n, 0);
    return onnx_input(n, 0) || (l && l->is_sequence);
}

void import_optional(OnnxNode *n) {
    static const OnnxList nothing = {false, NULL, 0};
    attr_ignore(n, "type");
    onnx_set_output(n, 0, onnx_input(n, 0));
    onnx_set_list(n, 0, has_element(n) ? onnx_list(n, 0) : &nothing);
}

void import_optional_get_element(OnnxNode *n) {
    if (!has_element(n)) {
        onnx_bad(n, "its optional has no element");
        return;
    }
    onnx_set_output(n, 0, onnx_input(n, 0));
    onnx_set_list(n, 0, onnx_list(n, 0));
}

void import_optional_has_element(OnnxNode *n) {
    onnx_set_output(n, 0, onnx_scalar(n, NULL, DT_bool, has_element(n)));
}
