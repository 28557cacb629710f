/* op_pool.c: pooling over the whole plane. */
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
