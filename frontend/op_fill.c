/* op_fill.c: operators whose result follows from shapes and constants: Size, Range. */
#include "frontend/import.h"

#include <math.h>

/* Size-1 to -25: how many elements there are. */
void import_size(OnnxNode *n) {
    Tensor *t = tensor_new(&n->im->g->arena, DT_i64, (Shape){0});
    tensor_set_i64(t, 0, shape_elems(onnx_shape(n, 0)));
    onnx_set_output(n, 0, onnx_constant(n, NULL, t));
}

/* One number of input i; complains where it isn't one. */
static const Tensor *one_number(OnnxNode *n, int i, const char *what) {
    const Tensor *t = onnx_const_input(n, i, what, FOLD_LIMIT);
    if (t && shape_elems(&t->shape) != 1)
        onnx_bad(n, "its %s must be one number", what);
    return n->failed ? NULL : t;
}

/* max(ceil((limit - start) / delta), 0); -1 where it is too much. */
static int64_t range_length(const Tensor *start, const Tensor *limit, const Tensor *delta) {
    double count = ceil((tensor_f64(limit, 0) - tensor_f64(start, 0)) / tensor_f64(delta, 0));
    return count <= 0 ? 0 : count <= FOLD_LIMIT_WEIGHTS ? (int64_t)count : -1;
}

/* 0, 1, ... up to a size that depends on data; false where the limit is none. */
static bool counted_range(OnnxNode *n) {
    OnnxSize size;
    int count;
    if (n->failed || onnx_is_known(n, 1) || onnx_input(n, 1)->type.dtype != DT_i64 ||
        onnx_known_sizes(n, onnx_input(n, 1)))
        return false;
    const Tensor *start = one_number(n, 0, "start"), *delta = one_number(n, 2, "delta");
    if (n->failed || !onnx_sizes_input(n, 1, "limit", 1, &size, &count) || !size.count)
        return true;
    if (tensor_i64(start, 0) != 0 || tensor_i64(delta, 0) != 1)
        onnx_unsupported(n, "its limit depends on data, and it doesn't count from 0 by 1");
    Value *y = n->failed ? NULL : onnx_iota(n, NULL, DT_i64, size.most, 1, 0);
    onnx_set_output(n, 0, y);
    n->knows_counts = true;
    if (y)
        onnx_set_count(n, y, 0, size.count);
    return true;
}

/* Range-11: start, start + delta, ... before limit. */
void import_range(OnnxNode *n) {
    if (counted_range(n))
        return;
    const Tensor *start = one_number(n, 0, "start"), *limit = one_number(n, 1, "limit"),
                 *delta = one_number(n, 2, "delta");
    if (n->failed || !onnx_same_dtype(n, 3))
        return;
    int64_t count = range_length(start, limit, delta);
    if (tensor_f64(delta, 0) == 0)
        onnx_bad(n, "its delta is 0");
    else if (count < 0)
        onnx_unsupported(n, "it has more than %d elements", FOLD_LIMIT_WEIGHTS);
    Tensor *t = n->failed ? NULL : onnx_new_tensor(n, start->dtype, SHAPE(count));
    if (!t)
        return;
    for (int64_t i = 0; i < count; i++)
        if (dtype_is_float(start->dtype))
            tensor_set_f64(t, i, tensor_f64(start, 0) + (double)i * tensor_f64(delta, 0));
        else
            tensor_set_bits(t, i, tensor_bits(start, 0) + (uint64_t)i * tensor_bits(delta, 0));
    onnx_set_output(n, 0, onnx_constant(n, NULL, t));
}
