/* op_blocks.c: operators that repeat elements or move them between channels and planes, as reshapes
 * around an expand or a transpose: Tile, DepthToSpace, SpaceToDepth. */
#include "frontend/import.h"

#include <string.h>

/* Output 0 is x in another shape. */
static void finish_as(OnnxNode *n, Value *x, const Shape *to) {
    if (x)
        onnx_set_output(n, 0, onnx_reshape(n, NULL, x, to));
}

/* ---- Tile ------------------------------------------------------------------------------------ */

/* Tile-6, -13: a dimension that is repeated gets one of its own in front, which is expanded. */
void import_tile(OnnxNode *n) {
    Ints times;
    if (!onnx_ints_input(n, 1, "repeats", &times))
        return;
    Value *x = onnx_input(n, 0);
    Shape to = x->type.shape, split = {0}, wide;
    if (times.n != to.rank)
        onnx_bad(n, "there are %d repeats, and the input has %d dimensions", times.n, to.rank);
    for (int i = 0; i < times.n && !n->failed; i++) {
        int own = times.v[i] != 1;
        if (times.v[i] < 0)
            onnx_bad(n, "repeats are not negative");
        else if (split.rank + own + 1 > MAX_RANK)
            onnx_unsupported(n, "repeating so many of %d dimensions is not supported", to.rank);
        else if (!checked_mul(to.dim[i], times.v[i], &to.dim[i]))
            onnx_bad(n, "the result is too large");
        if (n->failed)
            return;
        if (own)
            split.dim[split.rank++] = 1;
        split.dim[split.rank++] = x->type.shape.dim[i];
    }
    if (!n->failed && !shape_valid(&to, x->type.dtype))
        onnx_bad(n, "the result is too large");
    if (n->failed)
        return;
    wide = split;
    for (int i = 0, at = 0; i < times.n; i++, at++)
        if (times.v[i] != 1)
            wide.dim[at++] = times.v[i];
    Value *v = onnx_reshape(n, "split", x, &split);
    v = v ? onnx_expand(n, "repeat", v, &wide) : NULL;
    finish_as(n, v, &to);
}

/* ---- DepthToSpace, SpaceToDepth -------------------------------------------------------------- */

/* The block size, at least 1 and no larger than any plane; 0 after a complaint. */
static int64_t block_size(OnnxNode *n) {
    int64_t b = attr_int(n, "blocksize", 0);
    if (n->failed || !onnx_needs_2d(n))
        return 0;
    if (b < 1 || b > MAX_HALO)
        onnx_bad(n, "the block size is %lld; it must be between 1 and %d", (long long)b, MAX_HALO);
    return n->failed ? 0 : b;
}

/* Where `mode` says that the rest of the channels comes before the block, not behind it. */
static bool rest_first(OnnxNode *n) {
    const char *mode = attr_string(n, "mode", "DCR");
    bool crd = strcmp(mode, "CRD") == 0;
    if (!crd && strcmp(mode, "DCR") != 0)
        onnx_bad(n, "mode %s is neither DCR nor CRD", quoted(n->im, mode));
    return crd;
}

/* DepthToSpace-1, -11, -13: channels are [block row, block column, rest], or with mode CRD [rest,
 * block row, block column]. */
void import_depth_to_space(OnnxNode *n) {
    bool crd = rest_first(n);
    int64_t b = block_size(n);
    if (!b)
        return;
    const Shape *s = onnx_shape(n, 0);
    int64_t rest = s->dim[1] / (b * b), h = s->dim[2], w = s->dim[3];
    if (s->dim[1] % (b * b) != 0)
        onnx_bad(n, "%lld channels are no blocks of %lldx%lld", (long long)s->dim[1], (long long)b,
                 (long long)b);
    if (n->failed)
        return;
    Shape six = crd ? SHAPE(s->dim[0], rest, b, b, h, w) : SHAPE(s->dim[0], b, b, rest, h, w);
    Shape to = SHAPE(s->dim[0], rest, h * b, w * b);
    static const int64_t orders[2][6] = {{0, 3, 4, 1, 5, 2}, {0, 1, 4, 2, 5, 3}};
    Value *v = onnx_reshape(n, "split", onnx_input(n, 0), &six);
    finish_as(n, onnx_transpose(n, "transpose", v, orders[crd]), &to);
}

/* SpaceToDepth-1, -13: channels become [block row, block column, channel], or since -28 with mode
 * CRD [channel, block row, block column]. */
void import_space_to_depth(OnnxNode *n) {
    bool crd = rest_first(n);
    int64_t b = block_size(n);
    if (!b)
        return;
    const Shape *s = onnx_shape(n, 0);
    int64_t c = s->dim[1], h = s->dim[2] / b, w = s->dim[3] / b;
    if (s->dim[2] % b != 0 || s->dim[3] % b != 0)
        onnx_bad(n, "planes of %lldx%lld are no blocks of %lldx%lld", (long long)s->dim[2],
                 (long long)s->dim[3], (long long)b, (long long)b);
    if (n->failed)
        return;
    Shape six = SHAPE(s->dim[0], c, h, b, w, b), to = SHAPE(s->dim[0], c * b * b, h, w);
    static const int64_t orders[2][6] = {{0, 3, 5, 1, 2, 4}, {0, 1, 3, 5, 2, 4}};
    Value *v = onnx_reshape(n, "split", onnx_input(n, 0), &six);
    finish_as(n, onnx_transpose(n, "transpose", v, orders[crd]), &to);
}
