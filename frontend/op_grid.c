/* op_grid.c: GridSample and AffineGrid. A grid says for each element of the result where in the
 * image it comes from: coordinates from -1 to 1, along the last dimension first. They become the
 * places of some elements along each dimension and their weights; then, for each combination of
 * those, one gather of all channels. */
#include "frontend/import.h"

#include <string.h>

typedef enum Mode { NEAREST, LINEAR, CUBIC } Mode;
typedef enum Padding { ZEROS, BORDER, REFLECTION } Padding;

typedef struct Sampling {
    Mode mode;
    Padding padding;
    bool align;
} Sampling;

/* An element along one dimension, for each point: [images, points, 1]. */
typedef struct Tap {
    Value *at;     /* i64, inside */
    Value *weight; /* NULL: 1 */
    Value *inside; /* NULL: always */
} Tap;

enum { MOST_TAPS = 4 };
static const double CUBIC_ALPHA = -0.75;

/* ---- coordinates ----------------------------------------------------------------------------- */

/* One dimension of the image, and its ends: the centres of the outer elements, or their edges. */
typedef struct Line {
    int64_t size;
    double first, last;
} Line;

static Line line_of(const Sampling *s, int64_t size) {
    double edge = s->align ? 0 : 0.5;
    return (Line){size, -edge, (double)(size - 1) + edge};
}

/* From [-1, 1] to elements. */
static Value *element_of(OnnxNode *n, Value *grid, const Line *l) {
    Value *part =
        onnx_by_scalar(n, OP_mul, "part", onnx_by_scalar(n, OP_add, "part", grid, 1), 0.5);
    Value *from = onnx_by_scalar(n, OP_mul, "from_first", part, l->last - l->first);
    return onnx_by_scalar(n, OP_add, "element", from, l->first);
}

/* Back and forth between the ends. */
static Value *reflected(OnnxNode *n, Value *x, const Line *l) {
    double size = l->last - l->first;
    if (size == 0)
        return onnx_by_scalar(n, OP_mul, "only", x, 0);
    Value *far = onnx_by_scalar(n, OP_sub, "far", x, l->first);
    Value *rounds =
        onnx_unary(n, OP_floor, "rounds", onnx_by_scalar(n, OP_div, "rounds", far, 2 * size));
    far = onnx_binary(n, OP_sub, "far", far, onnx_by_scalar(n, OP_mul, "rounds", rounds, 2 * size));
    if (!far)
        return NULL;
    Value *all = onnx_scalar(n, "there_and_back", x->type.dtype, 2 * size);
    Value *back = onnx_binary(n, OP_sub, "back", all, far);
    return onnx_by_scalar(n, OP_add, "reflected", onnx_binary(n, OP_min, "nearer", far, back),
                          l->first);
}

/* A place beyond the ends becomes one inside, but not where there are zeros. */
static Value *brought_inside(OnnxNode *n, const Sampling *s, Value *x, const Line *l) {
    if (s->padding == ZEROS || !x)
        return x;
    DType dt = x->type.dtype;
    Value *below = onnx_by_scalar(n, OP_less, "below", x, l->first);
    Value *above = onnx_binary(n, OP_less, "above", onnx_scalar(n, "last", dt, l->last), x);
    Value *inside = s->padding == BORDER ? onnx_clip(n, "inside", x, 0, (double)(l->size - 1))
                                         : reflected(n, x, l);
    return onnx_where(n, "inside", onnx_binary(n, OP_or, "outside", below, above), inside, x);
}

/* Element x, an integer as a float, and whether it is there. */
static Tap tap_at(OnnxNode *n, const Sampling *s, Value *x, const Line *l, Value *weight) {
    Tap t = {.weight = weight};
    double last = (double)(l->size - 1);
    if (!x)
        return t;
    if (s->padding == ZEROS) {
        Value *zero = onnx_scalar(n, "zero", x->type.dtype, 0);
        Value *behind = onnx_binary(n, OP_less_equal, "behind", zero, x);
        t.inside = onnx_binary(n, OP_and, "inside", behind,
                               onnx_by_scalar(n, OP_less_equal, "before", x, last));
    }
    if (s->padding == REFLECTION)
        x = onnx_unary(n, OP_floor, "place", reflected(n, x, l));
    t.at = onnx_cast(n, "at", onnx_clip(n, "near", x, 0, last), DT_i64);
    return t;
}

/* ---- weights --------------------------------------------------------------------------------- */

/* Keys 1981: of an element at a distance of x, up to 1 and from there up to 2. */
static Value *cubic_weight(OnnxNode *n, Value *x, bool far) {
    double a = CUBIC_ALPHA;
    const double near_terms[] = {1, 0, -(a + 3), a + 2}, far_terms[] = {-4 * a, 8 * a, -5 * a, a};
    const double *c = far ? far_terms : near_terms;
    Value *sum = onnx_by_scalar(n, OP_mul, "weight", x, c[3]);
    for (int i = 2; i >= 0; i--) {
        sum = onnx_by_scalar(n, OP_add, "weight", sum, c[i]);
        sum = i ? onnx_binary(n, OP_mul, "weight", sum, x) : sum;
    }
    return sum;
}

/* Of element `i`, counted from the one in front of the point, from which the point is dx away. */
static Value *weight_of(OnnxNode *n, const Sampling *s, Value *dx, int i) {
    if (!dx)
        return NULL;
    Value *size = onnx_scalar(n, "element", dx->type.dtype, i);
    Value *far = i > 0 ? onnx_binary(n, OP_sub, "distance", size, dx)
                       : onnx_binary(n, OP_sub, "distance", dx, size);
    if (s->mode == CUBIC)
        return cubic_weight(n, far, i < 0 || i > 1);
    return far ? onnx_binary(n, OP_sub, "weight", onnx_scalar(n, "one", dx->type.dtype, 1), far)
               : NULL;
}

/* The elements of one dimension for places x, counted in elements; returns how many for each
 * point. */
static int taps_at(OnnxNode *n, const Sampling *s, Value *x, const Line *l, Tap *taps) {
    if (s->mode == NEAREST)
        x = onnx_unary(n, OP_round, "nearest", x);
    x = brought_inside(n, s, x, l);
    if (s->mode == NEAREST) {
        taps[0] = tap_at(n, s, x, l, NULL);
        return 1;
    }
    Value *before = onnx_unary(n, OP_floor, "before", x);
    Value *dx = onnx_binary(n, OP_sub, "behind", x, before);
    int first = s->mode == CUBIC ? -1 : 0, count = s->mode == CUBIC ? 4 : 2;
    for (int i = 0; i < count; i++) {
        Value *place = onnx_by_scalar(n, OP_add, "place", before, first + i);
        taps[i] = tap_at(n, s, place, l, weight_of(n, s, dx, first + i));
    }
    return count;
}

/* The same for coordinates in [-1, 1]. */
static int taps_of(OnnxNode *n, const Sampling *s, Value *grid, int64_t size, Tap *taps) {
    Line l = line_of(s, size);
    return taps_at(n, s, element_of(n, grid, &l), &l, taps);
}

/* ---- gathering ------------------------------------------------------------------------------- */

static Value *product(OnnxNode *n, Op op, Value *a, Value *b) {
    return a && b ? onnx_binary(n, op, "both", a, b) : a ? a : b;
}

/* The taps of two dimensions as one of both. */
static Tap joined(OnnxNode *n, const Tap *a, const Tap *b, int64_t size) {
    Value *row = onnx_by_scalar(n, OP_mul, "row", a->at, (double)size);
    return (Tap){.at = onnx_binary(n, OP_add, "at", row, b->at),
                 .weight = product(n, OP_mul, a->weight, b->weight),
                 .inside = product(n, OP_and, a->inside, b->inside)};
}

/* [images, points, channels] of x [images, elements, channels]. */
static Value *gathered(OnnxNode *n, Value *x, const Tap *t) {
    if (!x || !t->at)
        return NULL;
    Node *g = onnx_add(n, OP_gather_nd, "elements", (Value *[]){x, t->at}, 2);
    gather_nd_attrs(g)->batch_dims = 1;
    Value *y = onnx_done(n, g);
    if (y && t->inside)
        y = onnx_where(n, "there", t->inside, y, onnx_scalar(n, "none", x->type.dtype, 0));
    return y && t->weight ? onnx_binary(n, OP_mul, "weighted", y, t->weight) : y;
}

/* All dimensions from `axis` on, of which `before` is a tap of those in front. */
typedef struct Sampler {
    const Sampling *s;
    int space;
    int64_t size[MAX_RANK];
    Tap taps[MAX_RANK][MOST_TAPS];
    int count;
    Value *x, *sum;
} Sampler;

static void sample(OnnxNode *n, Sampler *p, int axis, const Tap *before) {
    if (axis == p->space) {
        Value *y = gathered(n, p->x, before);
        p->sum = p->sum ? onnx_binary(n, OP_add, "sum", p->sum, y) : y;
        return;
    }
    for (int i = 0; i < p->count && !n->failed; i++) {
        Tap t = p->taps[axis][i];
        if (before)
            t = joined(n, before, &t, p->size[axis]);
        sample(n, p, axis + 1, &t);
    }
}

/* x [N, C, ...] as [N, elements, C]. */
static Value *channels_last(OnnxNode *n, Value *x) {
    const Shape *s = &x->type.shape;
    Shape flat = SHAPE(s->dim[0], s->dim[1], 1);
    for (int i = 2; i < s->rank; i++)
        flat.dim[2] *= s->dim[i];
    return onnx_transpose(n, "pixels", onnx_reshape(n, "planes", x, &flat),
                          (const int64_t[]){0, 2, 1});
}

Value *onnx_sample(OnnxNode *n, Value *x, Value *const *at) {
    static const Sampling linear = {LINEAR, ZEROS, true};
    if (!x)
        return NULL;
    Sampler p = {.s = &linear, .space = x->type.shape.rank - 2};
    for (int i = 0; i < p.space; i++) {
        p.size[i] = x->type.shape.dim[2 + i];
        Line l = line_of(&linear, p.size[i]);
        p.count = taps_at(n, &linear, at[i], &l, p.taps[i]);
    }
    p.x = n->failed ? NULL : channels_last(n, x);
    sample(n, &p, 0, NULL);
    return p.sum;
}

/* y [N, points, C] as the result for such a grid. */
static Value *channels_first(OnnxNode *n, const char *part, Value *y, const Shape *grid) {
    if (!y)
        return NULL;
    Shape to = *grid;
    to.dim[1] = y->type.shape.dim[2];
    for (int i = 2; i < to.rank; i++)
        to.dim[i] = grid->dim[i - 1];
    return onnx_reshape(n, part, onnx_transpose(n, "channels", y, (const int64_t[]){0, 2, 1}), &to);
}

static void grid_sample(OnnxNode *n, const Sampling *s) {
    const Shape *x = onnx_shape(n, 0), *grid = onnx_shape(n, 1);
    Sampler p = {.s = s, .space = x->rank - 2};
    DType dt = onnx_input(n, 0)->type.dtype;
    bool as_float = s->mode != NEAREST && !dtype_is_float(dt);
    Shape points = SHAPE(grid->dim[0], 1, p.space);
    for (int i = 1; i < grid->rank - 1; i++)
        points.dim[1] *= grid->dim[i];
    Value *at = onnx_reshape(n, "grid", onnx_input(n, 1), &points);
    for (int i = 0; i < p.space && !n->failed; i++) {
        p.size[i] = x->dim[2 + i];
        Value *line = onnx_slice_axis(n, "line", at, 2, p.space - 1 - i, 1, 1);
        p.count = taps_of(n, s, line, p.size[i], p.taps[i]);
    }
    if (n->failed)
        return;
    p.x = channels_last(n, as_float ? onnx_cast(n, "wide", onnx_input(n, 0), DT_f32)
                                    : onnx_input(n, 0));
    if (dtype_is_float(dt) && s->mode != NEAREST && p.x && onnx_input(n, 1)->type.dtype != dt)
        onnx_unsupported(n, "its image and its grid must have one type");
    sample(n, &p, 0, NULL);
    Value *y = channels_first(n, as_float ? "sampled" : NULL, p.sum, grid);
    onnx_set_output(n, 0, as_float ? onnx_cast(n, NULL, y, dt) : y);
}

/* ---- operators ------------------------------------------------------------------------------- */

/* Which of the names the attribute is; 0 after a complaint. */
static int one_of(OnnxNode *n, const char *attr, const char *const *names, int count) {
    const char *text = attr_string(n, attr, names[0]);
    for (int i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return i;
    onnx_bad(n, "its %s is %s", attr, quoted(n->im, text));
    return 0;
}

static void check_grid(OnnxNode *n) {
    const Shape *x = onnx_shape(n, 0), *grid = onnx_shape(n, 1);
    if (!onnx_needs_space(n))
        return;
    if (grid->rank != x->rank || grid->dim[0] != x->dim[0] ||
        grid->dim[grid->rank - 1] != x->rank - 2)
        onnx_bad(n, "its grid must have the image's batch and %d numbers for each point",
                 x->rank - 2);
    else if (!dtype_is_float(onnx_input(n, 1)->type.dtype))
        onnx_bad(n, "its grid must be a float");
    for (int i = 2; i < x->rank; i++)
        if (x->dim[i] < 1)
            onnx_bad(n, "its image is empty");
    if (x->rank > 5)
        onnx_unsupported(n, "images of more than three dimensions are not supported");
}

/* GridSample-16, -20, -22. */
void import_grid_sample(OnnxNode *n) {
    static const char *const modes[] = {"linear", "nearest", "cubic", "bilinear", "bicubic"};
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    static const Mode mode_of[] = {LINEAR, NEAREST, CUBIC, LINEAR, CUBIC};
    Sampling s = {.mode = mode_of[one_of(n, "mode", modes, 5)],
                  .padding = (Padding)one_of(n, "padding_mode", paddings, 3),
                  .align = attr_bool(n, "align_corners", false)};
    check_grid(n);
    if (!n->failed)
        grid_sample(n, &s);
}

/* Where the elements of a dimension are between -1 and 1. */
static double place_of(int64_t i, int64_t size, bool align) {
    if (align)
        return size > 1 ? 2 * (double)i / (double)(size - 1) - 1 : 0;
    return (2 * (double)i + 1) / (double)size - 1;
}

/* [points, space + 1]: where each is, along the last dimension first, and 1. */
static Value *base_grid(OnnxNode *n, const int64_t *size, int space, bool align) {
    int64_t points = 1;
    for (int i = 0; i < space; i++)
        points *= size[i];
    Tensor *t = onnx_new_tensor(n, onnx_input(n, 0)->type.dtype, SHAPE(points, space + 1));
    for (int64_t p = 0; t && p < points; p++) {
        int64_t left = p;
        for (int i = 0; i < space; i++) {
            int64_t axis = size[space - 1 - i];
            tensor_set_f64(t, p * (space + 1) + i, place_of(left % axis, axis, align));
            left /= axis;
        }
        tensor_set_f64(t, p * (space + 1) + space, 1);
    }
    return t ? onnx_constant(n, "base", t) : NULL;
}

/* AffineGrid-20: the grid of an image of a size that is moved by a matrix. */
void import_affine_grid(OnnxNode *n) {
    const Shape *theta = onnx_shape(n, 0);
    bool align = attr_bool(n, "align_corners", false);
    Ints size;
    int64_t points = 1;
    if (!onnx_ints_input(n, 1, "size", &size) || !onnx_needs_float(n, 1))
        return;
    int space = size.n - 2;
    if (space < 2 || space > 3 || theta->rank != 3 || theta->dim[0] != size.v[0] ||
        theta->dim[1] != space || theta->dim[2] != space + 1)
        onnx_bad(n, "it must have a matrix of 2x3 or 3x4 for each image, and a size that fits");
    for (int i = 0; i < space && !n->failed; i++)
        if (size.v[2 + i] < 1 || !checked_mul(points, size.v[2 + i], &points))
            onnx_bad(n, "its size has %lld", (long long)size.v[2 + i]);
    if (n->failed)
        return;
    Value *base = base_grid(n, size.v + 2, space, align);
    Value *t = onnx_transpose(n, "theta", onnx_input(n, 0), (const int64_t[]){0, 2, 1});
    Value *grid = base && t ? onnx_matmul(n, "moved", base, t) : NULL;
    Shape to = {.rank = space + 2, .dim = {size.v[0]}};
    for (int i = 0; i < space; i++)
        to.dim[1 + i] = size.v[2 + i];
    to.dim[space + 1] = space;
    onnx_set_output(n, 0, onnx_reshape(n, NULL, grid, &to));
}
