/* op_roi.c: RoiAlign, the mean of points of each region, as products with what each row and each
 * column of the image weighs at them: interpolation by lines goes row by column. */
#include "frontend/import.h"

#include <string.h>

/* One of the two dimensions of all regions. */
typedef struct RoiAxis {
    int first;                     /* of the region's numbers x1, y1, x2, y2: where it begins */
    int64_t image, cells, samples; /* samples 0: as many as a cell is long, rounded up */
    double scale, offset;
    bool at_least_one; /* regions have a size of 1 or more */
} RoiAxis;

/* Number `i` of each region, times the scale, and shifted: [regions, 1, 1]. */
static Value *edge(OnnxNode *n, const RoiAxis *a, int i) {
    Value *rois = onnx_input(n, 1);
    Shape s = SHAPE(rois->type.shape.dim[0], 1, 1);
    Value *x = onnx_reshape(n, "edge", onnx_slice_axis(n, "edge", rois, 1, i, 1, 1), &s);
    x = onnx_by_scalar(n, OP_mul, "scaled", x, a->scale);
    return a->offset != 0 ? onnx_by_scalar(n, OP_sub, "shifted", x, a->offset) : x;
}

/* Where the regions begin, and how long their cells are: [regions, 1, 1]. */
typedef struct Cells {
    Value *start, *size;
} Cells;

static Cells cells_of(OnnxNode *n, const RoiAxis *a) {
    Value *start = edge(n, a, a->first);
    Value *size = onnx_binary(n, OP_sub, "size", edge(n, a, a->first + 2), start);
    if (a->at_least_one)
        size = onnx_by_scalar(n, OP_max, "size", size, 1);
    return (Cells){start, onnx_by_scalar(n, OP_div, "cell", size, (double)a->cells)};
}

/* Where the points are, in sizes of a cell: [1, cells, samples]. */
static Value *points_in_cells(OnnxNode *n, const RoiAxis *a, DType dt) {
    Tensor *t = onnx_new_tensor(n, dt, SHAPE(1, a->cells, a->samples));
    for (int64_t i = 0; t && i < a->cells * a->samples; i++)
        tensor_set_f64(t, i, ((double)i + 0.5) / (double)a->samples);
    return t ? onnx_constant(n, "points", t) : NULL;
}

/* [regions, cells, samples]: where the points are in the image. */
static Value *points(OnnxNode *n, const RoiAxis *a, DType dt) {
    Cells c = cells_of(n, a);
    return onnx_binary(n, OP_add, "at", c.start,
                       onnx_binary(n, OP_mul, "steps", c.size, points_in_cells(n, a, dt)));
}

/* [regions, 1, cells, image]: what each row or column weighs in a cell. A point weighs nothing from
 * 1 outside of the image on, and nearer to it is at its edge. */
static Value *weights(OnnxNode *n, const RoiAxis *a) {
    DType dt = onnx_input(n, 0)->type.dtype;
    Value *at = points(n, a, dt);
    if (!at)
        return NULL;
    Shape s = at->type.shape;
    s.dim[s.rank++] = 1;
    at = onnx_reshape(n, "at", at, &s);
    Value *inside =
        onnx_binary(n, OP_and, "inside",
                    onnx_binary(n, OP_less_equal, "behind", onnx_scalar(n, "c", dt, -1), at),
                    onnx_by_scalar(n, OP_less_equal, "before", at, (double)a->image));
    Value *near = onnx_clip(n, "near", at, 0, (double)(a->image - 1));
    Value *index = onnx_iota(n, "index", dt, a->image, 4, 3);
    Value *far = onnx_unary(n, OP_abs, "far", onnx_binary(n, OP_sub, "distance", near, index));
    Value *one = onnx_scalar(n, "one", dt, 1), *zero = onnx_scalar(n, "zero", dt, 0);
    Value *w = onnx_by_scalar(n, OP_max, "weight", onnx_binary(n, OP_sub, "line", one, far), 0);
    w = onnx_where(n, "weight", inside, w, zero);
    w = onnx_reduce(n, OP_reduce_mean, "weights", w, onnx_keep_ints(n, (int64_t[]){2}, 1));
    s = SHAPE(s.dim[0], 1, a->cells, a->image);
    return onnx_reshape(n, "weights", w, &s);
}

/* ---- as many points as a cell is long -------------------------------------------------------- */

/* How many they are depends on the region, so none is computed. Those between two neighbours of the
 * image, j and j + 1, are first + k * step for lo <= k < hi; what each weighs is linear in its
 * place, so together they weigh as much as hi - lo points at their mean. */
typedef struct Line {
    Value *first, *step; /* of a cell's points: [regions, cells, 1], [regions, 1, 1] */
    Value *samples;      /* [regions, 1, 1]; regions without an inside have none */
} Line;

static Line line_of(OnnxNode *n, const RoiAxis *a, DType dt) {
    const double shortest = 0x1p-14; /* of f16 too */
    Cells c = cells_of(n, a);
    Line l = {.samples = onnx_by_scalar(n, OP_max, "samples",
                                        onnx_unary(n, OP_ceil, "points", c.size), 0)};
    Value *count = onnx_by_scalar(n, OP_max, "count", l.samples, 1);
    l.step = onnx_binary(n, OP_div, "step", c.size, count);
    l.step = onnx_by_scalar(n, OP_max, "step", l.step, shortest);
    Value *starts = onnx_binary(n, OP_mul, "starts", c.size, onnx_iota(n, "c", dt, a->cells, 3, 1));
    Value *half = onnx_by_scalar(n, OP_mul, "half", l.step, 0.5);
    l.first =
        onnx_binary(n, OP_add, "first", onnx_binary(n, OP_add, "starts", c.start, starts), half);
    return l;
}

/* The numbers -1, 0, ..., image: [1, 1, image + 2]. The last is a little more, as a point that is
 * exactly there counts. */
static Value *neighbours(OnnxNode *n, const RoiAxis *a, DType dt) {
    Tensor *t = onnx_new_tensor(n, dt, SHAPE(1, 1, a->image + 2));
    for (int64_t i = 0; t && i < a->image + 2; i++)
        tensor_set_f64(t, i, (double)(i - 1) + (i > a->image ? 0x1p-10 : 0));
    return t ? onnx_constant(n, "neighbours", t) : NULL;
}

/* [regions, 1, cells, image], as of `weights`. */
static Value *weights_of_lines(OnnxNode *n, const RoiAxis *a) {
    DType dt = onnx_input(n, 0)->type.dtype;
    Line l = line_of(n, a, dt);
    Value *j = neighbours(n, a, dt);
    Value *k = onnx_binary(n, OP_div, "k", onnx_binary(n, OP_sub, "away", j, l.first), l.step);
    k = onnx_by_scalar(n, OP_max, "k", onnx_unary(n, OP_ceil, "k", k), 0);
    k = onnx_binary(n, OP_min, "k", k, l.samples);
    Value *lo = onnx_slice_axis(n, "lo", k, 2, 0, a->image + 1, 1),
          *hi = onnx_slice_axis(n, "hi", k, 2, 1, a->image + 1, 1);
    Value *points = onnx_binary(n, OP_sub, "points", hi, lo);
    Value *twice = onnx_by_scalar(n, OP_sub, "twice", onnx_binary(n, OP_add, "both", lo, hi), 1);
    Value *middle =
        onnx_binary(n, OP_mul, "middle", onnx_by_scalar(n, OP_mul, "mean", twice, 0.5), l.step);
    Value *at = onnx_binary(n, OP_add, "at", l.first, middle);
    at = onnx_clip(n, "near", at, 0, (double)(a->image - 1));
    Value *behind =
        onnx_binary(n, OP_sub, "behind", at, onnx_slice_axis(n, "j", j, 2, 0, a->image + 1, 1));
    Value *up = onnx_binary(n, OP_mul, "up", points, behind); /* of what j + 1 weighs */
    Value *down = onnx_binary(n, OP_sub, "down", points, up);
    Value *w = onnx_binary(n, OP_add, "weights", onnx_slice_axis(n, "up", up, 2, 0, a->image, 1),
                           onnx_slice_axis(n, "down", down, 2, 1, a->image, 1));
    w = onnx_binary(n, OP_div, "weights", w, onnx_by_scalar(n, OP_max, "count", l.samples, 1));
    Shape s = SHAPE(onnx_shape(n, 1)->dim[0], 1, a->cells, a->image);
    return w ? onnx_reshape(n, "weights", w, &s) : NULL;
}

/* The image of each region. */
static Value *images(OnnxNode *n) {
    return onnx_gather(n, "images", onnx_input(n, 0), onnx_input(n, 2), 0);
}

static bool check_inputs(OnnxNode *n) {
    const Shape *rois = onnx_shape(n, 1), *batch = onnx_shape(n, 2);
    if (rois->rank != 2 || rois->dim[1] != 4 || batch->rank != 1 || batch->dim[0] != rois->dim[0])
        onnx_bad(n, "its regions must be [regions, 4], with one batch index each");
    return !n->failed && onnx_needs_2d(n) && onnx_needs_float(n, 2);
}

static void roi_align(OnnxNode *n, bool half_pixel) {
    enum { MOST = 1 << 12 };
    const char *mode = attr_string(n, "mode", "avg");
    int64_t samples = attr_int(n, "sampling_ratio", 0), height = attr_int(n, "output_height", 1),
            width = attr_int(n, "output_width", 1);
    double scale = attr_float(n, "spatial_scale", 1);
    if (strcmp(mode, "avg") != 0)
        onnx_unsupported(n, "its mode %s is not supported, only avg is", quoted(n->im, mode));
    if (height < 1 || height > MOST || width < 1 || width > MOST || samples < 0 || samples > MOST)
        onnx_bad(n, "its output is %lldx%lld of %lld points", (long long)height, (long long)width,
                 (long long)samples);
    if (n->failed || !check_inputs(n))
        return;
    const Shape *s = onnx_shape(n, 0);
    RoiAxis y = {1, s->dim[2], height, samples, scale, half_pixel ? 0.5 : 0, !half_pixel}, x = y;
    x.first = 0;
    x.image = s->dim[3];
    x.cells = width;
    Value *(*of)(OnnxNode *, const RoiAxis *) = samples ? weights : weights_of_lines;
    Value *rows = of(n, &y), *columns = of(n, &x), *image = images(n);
    columns = onnx_transpose(n, "columns", columns, (const int64_t[]){0, 1, 3, 2});
    Value *part = n->failed ? NULL : onnx_matmul(n, "by_rows", rows, image);
    onnx_set_output(n, 0, part ? onnx_matmul(n, NULL, part, columns) : NULL);
}

/* RoiAlign-10: pixels are points. */
void import_roi_align_10(OnnxNode *n) {
    roi_align(n, false);
}

/* RoiAlign-16, -22: they are areas. */
void import_roi_align_16(OnnxNode *n) {
    const char *mode = attr_string(n, "coordinate_transformation_mode", "half_pixel");
    bool half_pixel = strcmp(mode, "half_pixel") == 0;
    if (!half_pixel && strcmp(mode, "output_half_pixel") != 0)
        onnx_bad(n, "its coordinate_transformation_mode is %s", quoted(n->im, mode));
    roi_align(n, half_pixel);
}
