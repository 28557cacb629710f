/* op_pool.c: pooling over the whole plane, and ReduceMean. */
#include "frontend/import.h"

void import_global_average_pool(OnnxNode *n) {
    if (onnx_needs_float(n, 1) && onnx_needs_2d(n))
        onnx_set_output(n, 0, onnx_unary(n, OP_global_avg_pool, NULL, onnx_input(n, 0)));
}

/* Is the window the whole plane, so that there is one of it and nothing is padded? */
static bool whole_plane(const Window *w, const Shape *x) {
    bool whole = true;
    for (int i = 0; i < 2; i++)
        whole &= w->kernel.v[i] == x->dim[2 + i] && w->dilation.v[i] == 1 && !w->pad.v[i] &&
                 !w->pad.v[2 + i];
    return whole;
}

/* AveragePool-1 to -22. With nothing padded ceil_mode and count_include_pad make no difference. */
void import_average_pool(OnnxNode *n) {
    Window w;
    attr_ignore(n, "ceil_mode");
    attr_ignore(n, "count_include_pad");
    if (!onnx_needs_float(n, 1) || !onnx_needs_2d(n))
        return;
    if (!attr_present(n, "kernel_shape"))
        onnx_bad(n, "attribute \"kernel_shape\" is missing");
    const Shape *x = onnx_shape(n, 0);
    if (!onnx_window(n, x, (Dim2){{1, 1}}, &w))
        return;
    if (!whole_plane(&w, x))
        onnx_unsupported(n,
                         "average pooling is supported over the whole plane alone; the window is "
                         "%lldx%lld, the plane %lldx%lld",
                         (long long)w.kernel.v[0], (long long)w.kernel.v[1], (long long)x->dim[2],
                         (long long)x->dim[3]);
    else
        onnx_set_output(n, 0, onnx_unary(n, OP_global_avg_pool, NULL, onnx_input(n, 0)));
}

/* Mean over the axes that are set. */
static void reduce_mean(OnnxNode *n, const bool *set, bool keepdims) {
    int64_t axes[MAX_RANK];
    int count = 0;
    for (int i = 0; i < onnx_shape(n, 0)->rank; i++)
        if (set[i])
            axes[count++] = i;
    Value *x = onnx_input(n, 0);
    Node *r = onnx_add(n, OP_reduce_mean, NULL, &x, 1);
    reduce_attrs(r)->axes = onnx_keep_ints(n, axes, count);
    reduce_attrs(r)->keepdims = keepdims;
    onnx_set_output(n, 0, onnx_done(n, r));
}

/* No axes mean all of them, or with noop_with_empty_axes none. */
static void reduce_over(OnnxNode *n, const Ints *axes, bool noop_if_empty) {
    bool set[MAX_RANK] = {false};
    int rank = onnx_shape(n, 0)->rank;
    bool keepdims = attr_bool(n, "keepdims", true);
    onnx_axes(n, axes, rank, set);
    if (n->failed || !onnx_needs_float(n, 1))
        return;
    if (axes->n == 0 && noop_if_empty) {
        onnx_set_output(n, 0, onnx_unary(n, OP_identity, NULL, onnx_input(n, 0)));
        return;
    }
    for (int i = 0; i < rank && axes->n == 0; i++)
        set[i] = true;
    reduce_mean(n, set, keepdims);
}

/* ReduceMean-1, -11, -13: axes are an attribute. */
void import_reduce_mean_1(OnnxNode *n) {
    Ints axes;
    attr_ints(n, "axes", &axes);
    reduce_over(n, &axes, false);
}

/* ReduceMean-18: axes are an input. */
void import_reduce_mean_18(OnnxNode *n) {
    Ints axes = {NULL, 0};
    if (onnx_input(n, 1))
        onnx_ints_input(n, 1, "axes", &axes);
    reduce_over(n, &axes, attr_bool(n, "noop_with_empty_axes", false));
}
