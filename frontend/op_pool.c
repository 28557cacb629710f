/* op_pool.c: pooling. */
#include "frontend/import.h"

void import_global_average_pool(OnnxNode *n) {
    if (onnx_needs_float(n, 1) && onnx_needs_2d(n))
        onnx_set_output(n, 0, onnx_unary(n, OP_global_avg_pool, NULL, onnx_input(n, 0)));
}

void import_global_max_pool(OnnxNode *n) {
    if (!onnx_needs_2d(n))
        return;
    Value *x = onnx_input(n, 0);
    Node *p = onnx_add(n, OP_max_pool, NULL, &x, 1);
    pool_attrs(p)->kernel = (Dim2){{x->type.shape.dim[2], x->type.shape.dim[3]}};
    onnx_set_output(n, 0, onnx_done(n, p));
}

/* Is the window the whole plane, so that there is one of it and nothing is padded? */
static bool whole_plane(const Window *w, const Shape *x) {
    bool whole = true;
    for (int i = 0; i < 2; i++)
        whole &= w->kernel.v[i] == x->dim[2 + i] && w->dilation.v[i] == 1 && !w->pad.v[i] &&
                 !w->pad.v[2 + i];
    return whole;
}

/* ceil_mode rounds the number of windows up, but none begins behind the input and the padding in
 * front of it: then the padding behind grows until the last window is inside. */
static void grow_padding(Window *w, const Shape *x) {
    for (int i = 0; i < 2; i++) {
        int64_t front = x->dim[2 + i] + w->pad.v[i], all = front + w->pad.v[2 + i];
        int64_t reach = (w->kernel.v[i] - 1) * w->dilation.v[i] + 1;
        if (reach > all)
            continue; /* the shape rule refuses it */
        int64_t last = ceil_div(all - reach, w->stride.v[i]) * w->stride.v[i];
        if (last < front && last + reach > all)
            w->pad.v[2 + i] += last + reach - all;
    }
}

/* The windows of a pooling operator over images, and the padding that the model asks for; false
 * after a complaint. */
static bool pool_window_of(OnnxNode *n, Window *w, Dim4 *asked) {
    bool ceil_mode = attr_bool(n, "ceil_mode", false);
    if (!onnx_needs_2d(n))
        return false;
    if (!attr_present(n, "kernel_shape"))
        onnx_bad(n, "attribute \"kernel_shape\" is missing");
    if (!onnx_window(n, onnx_shape(n, 0), (Dim2){{1, 1}}, w))
        return false;
    *asked = w->pad;
    if (ceil_mode)
        grow_padding(w, onnx_shape(n, 0));
    return true;
}

static Value *pool(OnnxNode *n, Op op, const char *part, Value *x, const Window *w,
                   const Dim4 *counted) {
    Node *p = onnx_add(n, op, part, &x, 1);
    *pool_attrs(p) = (PoolAttrs){.kernel = w->kernel,
                                 .stride = w->stride,
                                 .pad = w->pad,
                                 .dilation = w->dilation,
                                 .counted = *counted};
    return onnx_done(n, p);
}

/* MaxPool-1 to -22. storage_order is about the indices alone. */
void import_max_pool(OnnxNode *n) {
    Window w;
    Dim4 asked;
    attr_ignore(n, "storage_order");
    if (n->noutputs > 1 && n->outputs[1])
        onnx_unsupported(n, "the indices of the largest elements are not supported");
    else if (pool_window_of(n, &w, &asked))
        onnx_set_output(n, 0, pool(n, OP_max_pool, NULL, onnx_input(n, 0), &w, &(Dim4){{0}}));
}

Value *onnx_average_pool(OnnxNode *n, const char *part, Value *x) {
    Window w;
    Dim4 asked;
    bool include = attr_bool(n, "count_include_pad", false);
    if (!x || !pool_window_of(n, &w, &asked))
        return NULL;
    if (whole_plane(&w, &x->type.shape))
        return onnx_unary(n, OP_global_avg_pool, part, x);
    return pool(n, OP_avg_pool, part, x, &w, include ? &asked : &(Dim4){{0}});
}

/* AveragePool-1 to -22. */
void import_average_pool(OnnxNode *n) {
    if (onnx_needs_float(n, 1))
        onnx_set_output(n, 0, onnx_average_pool(n, NULL, onnx_input(n, 0)));
}
