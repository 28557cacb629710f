/* op_resize.c: Resize and Upsample. An axis of the result is a list of elements of the input and,
 * but for nearest neighbours, their weights: all modes and opset versions become such tables, and
 * planes of two axes one graph op. */
#include "frontend/import.h"

#include <math.h>
#include <string.h>

typedef enum Interpolation { NEAREST, LINEAR, CUBIC } Interpolation;

/* What is the same for all axes. */
typedef struct ResizeMode {
    Interpolation mode;
    const char *coordinates, *nearest; /* nearest: "simple" before opset 11 */
    double cubic_a;
    bool exclude_outside, antialias;
} ResizeMode;

/* What one axis becomes. `scale` may differ from out / in: out is rounded down. */
typedef struct ResizeAxis {
    int64_t in, out;
    double scale;
    double roi[2]; /* where the region begins and ends, of a length of 1 */
} ResizeAxis;

/* A table of `taps` elements for each output, and their weights; -1: outside. */
typedef struct TapTable {
    int taps;
    int64_t *index;
    double *weight;
    bool weighted, identity;
} TapTable;

enum { MAX_TAPS = 1 << 12 };

/* ---- coordinates ----------------------------------------------------------------------------- */

typedef double Coordinate(const ResizeAxis *a, double x);

static double half_pixel(const ResizeAxis *a, double x) {
    return (x + 0.5) / a->scale - 0.5;
}

static double pytorch_half_pixel(const ResizeAxis *a, double x) {
    return a->out > 1 ? half_pixel(a, x) : 0;
}

/* The length that the scale asks for, which is not rounded. */
static double resized(const ResizeAxis *a) {
    return a->scale * (double)a->in;
}

/* Where scale * in is no integer, the centre stays where it is. */
static double half_pixel_symmetric(const ResizeAxis *a, double x) {
    return half_pixel(a, x) + (double)a->in / 2 * (1 - (double)a->out / resized(a));
}

static double align_corners(const ResizeAxis *a, double x) {
    return a->out > 1 ? x * (double)(a->in - 1) / (resized(a) - 1) : 0;
}

static double asymmetric(const ResizeAxis *a, double x) {
    return x / a->scale;
}

static double tf_half_pixel_for_nn(const ResizeAxis *a, double x) {
    return (x + 0.5) / a->scale;
}

static double tf_crop_and_resize(const ResizeAxis *a, double x) {
    double last = (double)(a->in - 1), size = (a->roi[1] - a->roi[0]) * last;
    double at = a->out > 1 ? x * size / (resized(a) - 1) : size / 2;
    return a->roi[0] * last + at;
}

static const struct {
    const char *name;
    Coordinate *at;
} coordinates[] = {
    {"half_pixel", half_pixel},
    {"pytorch_half_pixel", pytorch_half_pixel},
    {"half_pixel_symmetric", half_pixel_symmetric},
    {"align_corners", align_corners},
    {"asymmetric", asymmetric},
    {"tf_half_pixel_for_nn", tf_half_pixel_for_nn},
    {"tf_crop_and_resize", tf_crop_and_resize},
};

static Coordinate *coordinate_of(OnnxNode *n, const char *name) {
    for (size_t i = 0; i < sizeof coordinates / sizeof *coordinates; i++)
        if (strcmp(coordinates[i].name, name) == 0)
            return coordinates[i].at;
    onnx_bad(n, "coordinate_transformation_mode is %s", quoted(n->im, name));
    return NULL;
}

/* ---- nearest --------------------------------------------------------------------------------- */

typedef double Nearest(const ResizeAxis *a, double x);

static double prefer_floor(const ResizeAxis *a, double x) {
    (void)a;
    return ceil(x - 0.5);
}

static double prefer_ceil(const ResizeAxis *a, double x) {
    (void)a;
    return floor(x + 0.5);
}

static double at_or_before(const ResizeAxis *a, double x) {
    (void)a;
    return floor(x);
}

static double at_or_behind(const ResizeAxis *a, double x) {
    (void)a;
    return ceil(x);
}

static double simple(const ResizeAxis *a, double x) {
    return a->scale < 1 ? ceil(x) : floor(x);
}

static const struct {
    const char *name;
    Nearest *of;
} nearest[] = {
    {"round_prefer_floor", prefer_floor},
    {"round_prefer_ceil", prefer_ceil},
    {"floor", at_or_before},
    {"ceil", at_or_behind},
    {"simple", simple},
};

static Nearest *nearest_of(OnnxNode *n, const char *name) {
    for (size_t i = 0; i < sizeof nearest / sizeof *nearest; i++)
        if (strcmp(nearest[i].name, name) == 0)
            return nearest[i].of;
    onnx_bad(n, "nearest_mode is %s", quoted(n->im, name));
    return NULL;
}

/* ---- weights --------------------------------------------------------------------------------- */

/* Keys 1981, "Cubic convolution interpolation for digital image processing". */
static double cubic(double a, double x) {
    x = fabs(x);
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? a * (((x - 5) * x + 8) * x - 4) : 0;
}

static double kernel_at(const ResizeMode *m, double x) {
    if (m->mode == CUBIC)
        return cubic(m->cubic_a, x);
    return fabs(x) < 1 ? 1 - fabs(x) : 0;
}

/* By how much the kernel is stretched: with antialias it covers what an output covers. */
static double stretch(const ResizeMode *m, const ResizeAxis *a) {
    return m->antialias && a->scale < 1 ? a->scale : 1;
}

/* The first tap, counted from the element in front of a coordinate. */
static double first_tap(const ResizeMode *m, const ResizeAxis *a) {
    return floor(-(m->mode == CUBIC ? 2 : 1) / stretch(m, a)) + 1;
}

static int tap_count(const ResizeMode *m, const ResizeAxis *a) {
    double taps = m->mode == NEAREST ? 1 : 2 - 2 * first_tap(m, a);
    return taps <= MAX_TAPS ? (int)taps : MAX_TAPS + 1;
}

static int64_t clamp_index(double i, int64_t size) {
    return i < 0 ? 0 : i > (double)(size - 1) ? size - 1 : (int64_t)i;
}

/* The taps and weights of the output whose coordinate is x. */
static void weigh(const ResizeMode *m, const ResizeAxis *a, double x, int taps, int64_t *index,
                  double *weight) {
    double before = ceil(x) - 1, first = first_tap(m, a), sum = 0;
    for (int k = 0; k < taps; k++) {
        double at = before + first + k;
        bool outside = at < 0 || at > (double)(a->in - 1);
        weight[k] = m->exclude_outside && outside ? 0 : kernel_at(m, (at - x) * stretch(m, a));
        index[k] = clamp_index(at, a->in);
        sum += weight[k];
    }
    if (m->exclude_outside || m->antialias)
        for (int k = 0; k < taps; k++)
            weight[k] /= sum;
}

/* One tap a row is enough where all its weight is on one. */
static void drop_weights(TapTable *t, int64_t out) {
    for (int64_t i = 0; i < out * t->taps; i++)
        if (t->weight[i] != 0 && t->weight[i] != 1)
            return;
    for (int64_t i = 0; i < out; i++) {
        int one = 0;
        for (int k = 0; k < t->taps; k++)
            if (t->weight[i * t->taps + k] == 1)
                one = k;
        t->index[i] = t->index[i * t->taps + one];
    }
    t->taps = 1;
    t->weighted = false;
}

/* An axis that isn't resized stays as it is, whatever its coordinates are. */
static bool is_kept(const ResizeMode *m, const ResizeAxis *a) {
    return a->in == a->out && a->scale == 1 && strcmp(m->coordinates, "tf_crop_and_resize") != 0;
}

static bool is_identity(const TapTable *t, const ResizeAxis *a) {
    bool same = !t->weighted && a->in == a->out;
    for (int64_t i = 0; same && i < a->out; i++)
        same = t->index[i] == i;
    return same;
}

static void fill_table(const ResizeMode *m, const ResizeAxis *a, Coordinate *at, Nearest *near,
                       TapTable *t) {
    for (int64_t i = 0; i < a->out; i++) {
        double x = at(a, (double)i);
        int64_t *index = t->index + i * t->taps;
        double *weight = t->weight + i * t->taps;
        if (m->mode == NEAREST) {
            *index = clamp_index(near(a, x), a->in);
            *weight = 1;
        } else {
            weigh(m, a, x, t->taps, index, weight);
        }
        if (at == tf_crop_and_resize && (x < 0 || x > (double)(a->in - 1)))
            for (int k = 0; k < t->taps; k++)
                index[k] = -1;
    }
}

static void make_table(OnnxNode *n, const ResizeMode *m, const ResizeAxis *a, TapTable *t,
                       Arena *scratch) {
    Coordinate *at = coordinate_of(n, m->coordinates);
    Nearest *near = nearest_of(n, m->nearest);
    *t = (TapTable){.taps = tap_count(m, a), .weighted = m->mode != NEAREST};
    t->identity = is_kept(m, a);
    int64_t elems = 0;
    if (n->failed || t->identity)
        return;
    if (t->taps > MAX_TAPS || !checked_mul(a->out, t->taps, &elems) || elems > FOLD_LIMIT_WEIGHTS)
        onnx_unsupported(n, "its tables would have more than %d elements", FOLD_LIMIT_WEIGHTS);
    else if (!onnx_may_make(n, elems * (int64_t)(sizeof *t->index + sizeof *t->weight)))
        return;
    if (n->failed)
        return;
    t->index = ARENA_ARRAY(scratch, elems + 1, int64_t);
    t->weight = ARENA_ARRAY(scratch, elems + 1, double);
    fill_table(m, a, at, near, t);
    if (t->weighted)
        drop_weights(t, a->out);
    t->identity = is_identity(t, a);
}

/* ---- the graph op ---------------------------------------------------------------------------- */

static Value *index_constant(OnnxNode *n, const char *part, const TapTable *t, int64_t out) {
    Tensor *c = onnx_new_tensor(n, DT_i64, SHAPE(out, t->taps));
    if (!c)
        return NULL;
    memcpy(tensor_mutable(c), t->index, (size_t)(out * t->taps) * sizeof *t->index);
    return onnx_constant(n, part, c);
}

static Value *weight_constant(OnnxNode *n, const char *part, const TapTable *t, int64_t out) {
    DType dt = onnx_input(n, 0)->type.dtype == DT_f64 ? DT_f64 : DT_f32;
    Tensor *c = onnx_new_tensor(n, dt, SHAPE(out, t->taps));
    if (!c)
        return NULL;
    tensor_write_f64(c, 0, out * t->taps, t->weight);
    return onnx_constant(n, part, c);
}

/* x of rank 4 with new rows and columns; a table may be NULL. */
static Value *resize_planes(OnnxNode *n, const char *part, Value *x, const TapTable *rows,
                            int64_t height, const TapTable *columns, int64_t width,
                            double outside) {
    Value *operands[5] = {x};
    if (rows && !rows->identity) {
        operands[1] = index_constant(n, "rows", rows, height);
        operands[3] = rows->weighted ? weight_constant(n, "row_weights", rows, height) : NULL;
    }
    if (columns && !columns->identity) {
        operands[2] = index_constant(n, "columns", columns, width);
        operands[4] =
            columns->weighted ? weight_constant(n, "column_weights", columns, width) : NULL;
    }
    if (n->failed)
        return NULL;
    Node *r = onnx_add(n, OP_resize, part, operands, 5);
    resize_attrs(r)->outside = outside;
    return onnx_done(n, r);
}

/* Axis `axis` of x alone: as the rows of planes. */
static Value *resize_axis(OnnxNode *n, Value *x, int axis, const TapTable *t, int64_t out,
                          double outside) {
    Shape s = x->type.shape, y = s, flat = SHAPE(1, 1, s.dim[axis], 1);
    y.dim[axis] = out;
    for (int i = 0; i < s.rank; i++)
        if (i != axis)
            flat.dim[i > axis ? 3 : i > 0] *= s.dim[i];
    Value *planes = onnx_reshape(n, "planes", x, &flat);
    Value *resized = planes ? resize_planes(n, "axis", planes, t, out, NULL, 0, outside) : NULL;
    return resized ? onnx_reshape(n, "resized", resized, &y) : NULL;
}

static bool only_planes(const Shape *s, const TapTable *t) {
    return s->rank == 4 && t[0].identity && t[1].identity;
}

static Value *resize_all(OnnxNode *n, Value *x, const ResizeAxis *a, const TapTable *t,
                         double outside) {
    int rank = x->type.shape.rank;
    if (only_planes(&x->type.shape, t))
        return resize_planes(n, NULL, x, &t[2], a[2].out, &t[3], a[3].out, outside);
    for (int i = 0; i < rank && x; i++)
        if (!t[i].identity)
            x = resize_axis(n, x, i, &t[i], a[i].out, outside);
    return x ? onnx_unary(n, OP_identity, NULL, x) : NULL;
}

/* Nearest neighbours that are no floats are gathered, axis by axis. */
static Value *gather_axis(OnnxNode *n, Value *x, int axis, const TapTable *t, int64_t out,
                          double outside) {
    Shape across = {.rank = x->type.shape.rank};
    for (int i = 0; i < across.rank; i++)
        across.dim[i] = i == axis ? out : 1;
    Tensor *at = onnx_new_tensor(n, DT_i64, SHAPE(out)),
           *there = onnx_new_tensor(n, DT_bool, across);
    bool all = true;
    if (!at || !there)
        return NULL;
    for (int64_t i = 0; i < out; i++) {
        tensor_set_i64(at, i, t->index[i] < 0 ? 0 : t->index[i]);
        tensor_set_i64(there, i, t->index[i] >= 0);
        all &= t->index[i] >= 0;
    }
    x = onnx_gather_axis(n, "axis", x, axis, at);
    if (all || !x)
        return x;
    return onnx_where(n, "resized", onnx_constant(n, "inside", there), x,
                      onnx_scalar(n, "outside", x->type.dtype, outside));
}

static Value *gather_all(OnnxNode *n, Value *x, const ResizeAxis *a, const TapTable *t,
                         double outside) {
    int rank = x->type.shape.rank;
    for (int i = 0; i < rank && x; i++)
        if (!t[i].identity)
            x = gather_axis(n, x, i, &t[i], a[i].out, outside);
    return onnx_unary(n, OP_identity, NULL, x);
}

/* Integers are interpolated as f32, and what comes out loses its fraction. */
static Value *resize_integers(OnnxNode *n, const ResizeAxis *a, const TapTable *t, double outside) {
    Value *x = onnx_cast(n, "floats", onnx_input(n, 0), DT_f32);
    x = x ? resize_all(n, x, a, t, outside) : NULL;
    return x ? onnx_cast(n, NULL, x, onnx_input(n, 0)->type.dtype) : NULL;
}

static void check_axis(OnnxNode *n, const ResizeAxis *a, int axis) {
    if (a->out < 0 || a->out > INT32_MAX || a->in > INT32_MAX)
        onnx_bad(n, "dimension %d becomes %lld", axis, (long long)a->out);
    else if (a->in == 0 && a->out > 0)
        onnx_bad(n, "dimension %d is empty", axis);
    else if (!(a->scale > 0) || isinf(a->scale))
        onnx_bad(n, "the scale of dimension %d is %g", axis, a->scale);
}

static void import_resized(OnnxNode *n, const ResizeMode *m, const ResizeAxis *a, double outside) {
    const Shape *s = onnx_shape(n, 0);
    TapTable t[MAX_RANK];
    Shape y = {.rank = s->rank};
    bool floats = dtype_is_float(onnx_input(n, 0)->type.dtype);
    for (int i = 0; i < s->rank && !n->failed; i++) {
        check_axis(n, &a[i], i);
        y.dim[i] = a[i].out;
    }
    if (!n->failed && !shape_valid(&y, onnx_input(n, 0)->type.dtype))
        onnx_bad(n, "the result is too large");
    Arena scratch = {0};
    for (int i = 0; i < s->rank && !n->failed; i++)
        make_table(n, m, &a[i], &t[i], &scratch);
    if (!n->failed)
        onnx_set_output(n, 0,
                        floats               ? resize_all(n, onnx_input(n, 0), a, t, outside)
                        : m->mode == NEAREST ? gather_all(n, onnx_input(n, 0), a, t, outside)
                                             : resize_integers(n, a, t, outside));
    arena_free(&scratch);
}

/* ---- arguments ------------------------------------------------------------------------------- */

static Interpolation read_mode(OnnxNode *n) {
    static const char *const names[] = {"nearest", "linear", "cubic", "bilinear"};
    const char *mode = attr_string(n, "mode", "nearest");
    for (int i = 0; i < 4; i++)
        if (strcmp(mode, names[i]) == 0)
            return i == 3 ? LINEAR : (Interpolation)i;
    onnx_bad(n, "mode is %s", quoted(n->im, mode));
    return NEAREST;
}

/* All axes as they are. */
static void keep_axes(const Shape *s, ResizeAxis *a) {
    for (int i = 0; i < s->rank; i++)
        a[i] = (ResizeAxis){s->dim[i], s->dim[i], 1, {0, 1}};
}

/* In double, as in ONNX's shape inference; runtimes that multiply as float32 may get one more. */
static void set_scale(ResizeAxis *a, double scale) {
    double out = floor((double)a->in * scale);
    a->scale = scale;
    a->out = out >= 0 && out <= INT32_MAX ? (int64_t)out : -1;
}

/* The elements of a constant float input, of which there must be `count`; none where it is absent
 * or empty. */
static int floats_input(OnnxNode *n, int i, const char *what, int count, double *out) {
    if (!onnx_input(n, i))
        return 0;
    const Tensor *t = onnx_const_input(n, i, what, FOLD_LIMIT);
    if (!t)
        return 0;
    int64_t elems = shape_elems(&t->shape);
    if (!dtype_is_float(t->dtype) || (elems != 0 && elems != count))
        onnx_bad(n, "its %s must be %d floats", what, count);
    for (int64_t k = 0; k < elems && !n->failed; k++)
        out[k] = tensor_f64(t, k);
    return n->failed ? 0 : (int)elems;
}

/* keep_aspect_ratio_policy: one scale for all axes, so that none is larger, or smaller, than
 * asked. */
static void keep_aspect(OnnxNode *n, const char *policy, ResizeAxis *a, const int *axes,
                        const Ints *sizes) {
    bool larger = strcmp(policy, "not_smaller") == 0;
    if (strcmp(policy, "stretch") == 0)
        return;
    if (!larger && strcmp(policy, "not_larger") != 0) {
        onnx_bad(n, "keep_aspect_ratio_policy is %s", quoted(n->im, policy));
        return;
    }
    double scale = 0;
    for (int i = 0; i < sizes->n; i++) {
        double s = (double)sizes->v[i] / (double)a[axes[i]].in;
        scale = i == 0 || (larger ? s > scale : s < scale) ? s : scale;
    }
    for (int i = 0; i < sizes->n; i++) {
        a[axes[i]].scale = scale;
        a[axes[i]].out = (int64_t)floor(scale * (double)a[axes[i]].in + 0.5);
    }
}

static void read_sizes(OnnxNode *n, const char *policy, ResizeAxis *a, const int *axes, int count) {
    Ints sizes;
    if (!onnx_ints_input(n, 3, "sizes", &sizes))
        return;
    if (sizes.n != count)
        onnx_bad(n, "its sizes have %d numbers, and need %d", sizes.n, count);
    for (int i = 0; i < sizes.n && !n->failed; i++) {
        ResizeAxis *x = &a[axes[i]];
        x->out = sizes.v[i];
        if (x->in == 0 || x->out < 1 || x->out > INT32_MAX)
            onnx_bad(n, "dimension %d of %lld becomes %lld", axes[i], (long long)x->in,
                     (long long)x->out);
        else
            x->scale = (double)x->out / (double)x->in;
    }
    if (!n->failed)
        keep_aspect(n, policy, a, axes, &sizes);
}

/* Which axes the lists are about; how many. */
static int read_axes(OnnxNode *n, int *axes) {
    int rank = onnx_shape(n, 0)->rank;
    bool seen[MAX_RANK];
    Ints list;
    if (!attr_ints(n, "axes", &list)) {
        for (int i = 0; i < rank; i++)
            axes[i] = i;
        return rank;
    }
    onnx_axes(n, &list, rank, seen);
    for (int i = 0; i < list.n && !n->failed; i++)
        axes[i] = onnx_axis(n, list.v[i], rank);
    return n->failed ? 0 : list.n;
}

static void read_roi(OnnxNode *n, ResizeAxis *a, const int *axes, int count) {
    double roi[2 * MAX_RANK];
    if (floats_input(n, 1, "roi", 2 * count, roi) == 0) {
        onnx_bad(n, "tf_crop_and_resize needs a region");
        return;
    }
    for (int i = 0; i < count; i++) {
        a[axes[i]].roi[0] = roi[i];
        a[axes[i]].roi[1] = roi[count + i];
    }
}

/* By scales, or by sizes where there are none. */
static void read_targets(OnnxNode *n, ResizeAxis *a, const int *axes, int count) {
    double scales[MAX_RANK];
    const char *policy = attr_string(n, "keep_aspect_ratio_policy", "stretch");
    int given = floats_input(n, 2, "scales", count, scales);
    for (int i = 0; i < given; i++)
        set_scale(&a[axes[i]], scales[i]);
    if (given == 0 && !n->failed && onnx_input(n, 3))
        read_sizes(n, policy, a, axes, count);
    else if (given == 0 && !n->failed && count > 0)
        onnx_bad(n, "it has neither scales nor sizes");
}

/* Resize-11, -13, -18 (axes, antialias, keep_aspect_ratio_policy), -19 (half_pixel_symmetric). */
void import_resize_11(OnnxNode *n) {
    ResizeMode m = {.mode = read_mode(n),
                    .coordinates = attr_string(n, "coordinate_transformation_mode", "half_pixel"),
                    .nearest = attr_string(n, "nearest_mode", "round_prefer_floor"),
                    .cubic_a = attr_float(n, "cubic_coeff_a", -0.75),
                    .exclude_outside = attr_bool(n, "exclude_outside", false),
                    .antialias = attr_bool(n, "antialias", false)};
    double outside = attr_float(n, "extrapolation_value", 0);
    ResizeAxis a[MAX_RANK];
    int axes[MAX_RANK], count = read_axes(n, axes);
    keep_axes(onnx_shape(n, 0), a);
    if (!n->failed)
        read_targets(n, a, axes, count);
    if (!n->failed && strcmp(m.coordinates, "tf_crop_and_resize") == 0)
        read_roi(n, a, axes, count);
    if (!n->failed)
        import_resized(n, &m, a, outside);
}

/* Before opset 11: asymmetric coordinates, and nearest down for larger, up for smaller results. */
static void import_by_scales(OnnxNode *n, const double *scales, int count) {
    ResizeMode m = {.mode = read_mode(n), .coordinates = "asymmetric", .nearest = "simple"};
    ResizeAxis a[MAX_RANK];
    const Shape *s = onnx_shape(n, 0);
    if (!n->failed && count != s->rank)
        onnx_bad(n, "it has %d scales for %d dimensions", count, s->rank);
    keep_axes(s, a);
    for (int i = 0; i < s->rank && !n->failed; i++)
        set_scale(&a[i], scales[i]);
    if (!n->failed)
        import_resized(n, &m, a, 0);
}

/* Resize-10 and Upsample-9. */
void import_resize_10(OnnxNode *n) {
    double scales[MAX_RANK];
    int count = floats_input(n, 1, "scales", onnx_shape(n, 0)->rank, scales);
    if (!n->failed)
        import_by_scales(n, scales, count);
}

/* Upsample-7: scales are an attribute. */
void import_upsample_7(OnnxNode *n) {
    const float *list;
    double scales[MAX_RANK];
    int count = 0;
    if (!attr_floats(n, "scales", &list, &count))
        onnx_bad(n, "attribute \"scales\" is missing");
    for (int i = 0; i < count && i < MAX_RANK; i++)
        scales[i] = (double)list[i];
    if (!n->failed)
        import_by_scales(n, scales, count);
}

/* ONNX Runtime's Upsample-1 of tensors in blocks of channels: whole scales. */
void import_nchwc_upsample(OnnxNode *n) {
    ResizeMode m = {.mode = read_mode(n),
                    .coordinates = attr_string(n, "coordinate_transformation_mode", "asymmetric"),
                    .nearest = "floor"};
    ResizeAxis a[MAX_RANK];
    Ints scales;
    if (!onnx_needs_2d(n))
        return;
    keep_axes(onnx_shape(n, 0), a);
    if (!attr_ints(n, "scales", &scales) || scales.n != 4)
        onnx_bad(n, "attribute \"scales\" must have four numbers");
    for (int i = 2; i < 4 && !n->failed; i++)
        set_scale(&a[i], (double)scales.v[i]);
    if (!n->failed)
        import_resized(n, &m, a, 0);
}
