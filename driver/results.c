/* results.c: what a model's outputs say about a picture: classes, boxes or a mask. */
#include "driver/pictures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- which of them -------------------------------------------------------------------------- */

static bool is_float(const effnetc_tensor *t) {
    return dtype_is_float(tensor_dtype(t));
}

/* [N, rows, 6] or [rows, 6]: left, top, right, bottom, score, class; 7 columns, as TensorFlow has
 * them: image, top, left, bottom, right, score, class. [N, 6] of N images are classes. */
static bool is_box_table(const effnetc_tensor *t, int64_t images) {
    int64_t columns = t->rank >= 2 ? t->dims[t->rank - 1] : 0;
    bool table = t->rank == 2 && (t->dims[0] != images || t->count >= 0);
    return is_float(t) && (columns == 6 || columns == 7) && (table || t->rank == 3);
}

/* Where the classes of a plane of pixels are: axis 1, or the last one where only that isn't the
 * picture's; 0: this is no plane. */
static int class_axis(const int64_t *dims, int rank) {
    if (rank != 4 || dims[2] < 2)
        return 0;
    bool last = dims[1] > dims[3] && dims[1] > 4;
    return last ? 3 : dims[3] > 1 ? 1 : 0;
}

static bool is_mask(const effnetc_tensor *t) {
    bool indexed = !is_float(t) && t->rank == 3 && t->dims[1] > 1 && t->dims[2] > 1;
    return indexed || (is_float(t) && class_axis(t->dims, t->rank) > 0);
}

static bool is_classes(const effnetc_tensor *t) {
    int64_t classes = t->rank >= 2 ? t->dims[1] : 0;
    return is_float(t) && classes > 1 && t->dims[0] > 0 &&
           (int64_t)t->bytes == t->dims[0] * classes * dtype_bytes(tensor_dtype(t));
}

Task model_task(const effnetc_model *m) {
    const effnetc_tensor *t = m->outputs.len ? &m->outputs.data[0] : NULL;
    size_t counted = 0;
    for (size_t i = 0; i < m->outputs.len; i++)
        counted += m->outputs.data[i].count >= 0;
    if (!t || m->outputs.len - counted != 1)
        return TASK_OTHER;
    if (is_box_table(t, m->inputs.len ? m->inputs.data[0].dims[0] : 1))
        return TASK_BOXES;
    return is_mask(t) ? TASK_MASK : is_classes(t) ? TASK_CLASSES : TASK_OTHER;
}

/* ---- classes --------------------------------------------------------------------------------- */

/* Index of the largest element after `last` in the order (value falling, index rising); -1 at the
 * end. NaNs are no candidates. */
static int64_t next_best(const Tensor *t, int64_t last) {
    int64_t best = -1;
    for (int64_t i = 0; i < shape_elems(&t->shape); i++) {
        double x = tensor_f64(t, i), limit = last < 0 ? INFINITY : tensor_f64(t, last);
        bool later = last < 0 || x < limit || (x == limit && i > last);
        if (!isnan(x) && later && (best < 0 || x > tensor_f64(t, best)))
            best = i;
    }
    return best;
}

/* Whether they are probabilities already: a softmax ends the model. */
static bool are_probabilities(const Tensor *t) {
    double sum = 0;
    for (int64_t i = 0; i < shape_elems(&t->shape); i++) {
        double x = tensor_f64(t, i);
        if (!(x >= 0 && x <= 1))
            return false;
        sum += x;
    }
    return fabs(sum - 1) < 1e-3;
}

/* The sum of exp(x - max): the denominator of softmax. */
static double softmax_sum(const Tensor *t, double max) {
    double sum = 0;
    for (int64_t i = 0; i < shape_elems(&t->shape); i++)
        sum += exp(tensor_f64(t, i) - max);
    return sum;
}

size_t best_classes(const Tensor *t, size_t n, Found *out) {
    int64_t best = next_best(t, -1);
    double max = best < 0 ? 0 : tensor_f64(t, best), sum = softmax_sum(t, max);
    bool given = are_probabilities(t);
    size_t k = 0;
    for (; k < n && best >= 0; k++, best = next_best(t, best)) {
        double x = tensor_f64(t, best);
        out[k] = (Found){.class = best, .value = x, .share = given ? x : exp(x - max) / sum};
    }
    return k;
}

/* ---- boxes ----------------------------------------------------------------------------------- */

static double clamp(double v, double hi) {
    return v < 0 ? 0 : v > hi ? hi : v;
}

static Found read_box(const Tensor *t, int64_t row, const rt_image *im, rt_map map) {
    int64_t columns = t->shape.dim[t->shape.rank - 1], at = row * columns;
    double v[7];
    for (int64_t i = 0; i < columns; i++)
        v[i] = tensor_f64(t, at + i);
    bool tensorflow = columns == 7;
    double left = tensorflow ? v[2] : v[0], top = v[1];
    double right = tensorflow ? v[4] : v[2], bottom = v[3];
    bool is_class = v[columns - 1] >= 0 && v[columns - 1] <= INT32_MAX; /* NaN isn't */
    return (Found){.class = is_class ? (int64_t)v[columns - 1] : -1,
                   .value = v[columns - 2],
                   .box = {clamp(map.left + left * map.x_scale, im->width),
                           clamp(map.top + top * map.y_scale, im->height),
                           clamp(map.left + right * map.x_scale, im->width),
                           clamp(map.top + bottom * map.y_scale, im->height)}};
}

static int by_value(const void *a, const void *b) {
    double x = ((const Found *)a)->value, y = ((const Found *)b)->value;
    return (x < y) - (x > y);
}

static void read_boxes(Result *r, const Tensor *t, double least, const Loaded *of,
                       const rt_preprocess *p, Arena *a) {
    const Shape *s = &t->shape;
    int64_t rows = s->dim[s->rank - 2];
    Found *found = ARENA_ARRAY(a, rows + 1, Found);
    rt_map map = rt_fit_map(&of->image, p);
    for (int64_t i = 0; i < rows; i++) {
        Found f = read_box(t, i, &of->image, map);
        if (f.value >= least && f.box[0] < f.box[2] && f.box[1] < f.box[3])
            found[r->n++] = f;
    }
    qsort(found, r->n, sizeof *found, by_value);
    r->found = found;
}

/* ---- masks ----------------------------------------------------------------------------------- */

enum { MAX_MASK_CLASSES = 255 };

/* The class of a pixel: the largest of the values at i, i + step, ...; one value alone is 1 where
 * it is positive, or from a half on where `given` says that it is a probability. */
static int64_t pixel_class(const Tensor *t, int64_t i, int64_t step, int64_t classes, bool given) {
    if (classes == 1)
        return given ? tensor_f64(t, i) >= 0.5 : tensor_f64(t, i) > 0;
    int64_t best = 0;
    for (int64_t c = 1; c < classes; c++)
        if (tensor_f64(t, i + c * step) > tensor_f64(t, i + best * step))
            best = c;
    return best;
}

static bool within_0_and_1(const Tensor *t) {
    for (int64_t i = 0; i < shape_elems(&t->shape); i++)
        if (!(tensor_f64(t, i) >= 0 && tensor_f64(t, i) <= 1))
            return false;
    return true;
}

static void fill_mask(Result *r, const Tensor *t, Arena *a) {
    const int64_t *dims = t->shape.dim;
    int axis = class_axis(dims, t->shape.rank);
    bool indexed = t->shape.rank == 3, given = !indexed && within_0_and_1(t);
    r->mask_height = dims[axis == 3 || indexed ? 1 : 2];
    r->mask_width = dims[axis == 3 || indexed ? 2 : 3];
    int64_t pixels = r->mask_width * r->mask_height, classes = indexed ? 1 : dims[axis];
    r->mask = arena_alloc(a, (size_t)pixels + 1);
    for (int64_t i = 0; i < pixels; i++) {
        int64_t c = indexed ? tensor_i64(t, i)
                            : pixel_class(t, axis == 3 ? i * classes : i, axis == 3 ? 1 : pixels,
                                          classes, given);
        r->mask[i] = (uint8_t)(c < 0 || c > MAX_MASK_CLASSES ? MAX_MASK_CLASSES : c);
    }
}

static void count_mask(Result *r, Arena *a) {
    int64_t pixels = r->mask_width * r->mask_height, count[MAX_MASK_CLASSES + 1] = {0};
    Found *found = ARENA_ARRAY(a, MAX_MASK_CLASSES + 1, Found);
    for (int64_t i = 0; i < pixels; i++)
        count[r->mask[i]]++;
    for (int64_t c = 0; c <= MAX_MASK_CLASSES; c++)
        if (count[c])
            found[r->n++] = (Found){.class = c, .value = (double)count[c] / (double)pixels};
    qsort(found, r->n, sizeof *found, by_value);
    r->found = found;
}

/* ---- all ------------------------------------------------------------------------------------- */

void result_read(Result *r, Tensor *const *out, int top, double least, const Loaded *of,
                 const rt_preprocess *p, Arena *a) {
    r->picture = of->picture;
    if (r->task == TASK_CLASSES) {
        Found *found = ARENA_ARRAY(a, top, Found);
        r->n = best_classes(out[0], (size_t)top, found);
        r->found = found;
    } else if (r->task == TASK_BOXES) {
        read_boxes(r, out[0], least, of, p, a);
    } else if (r->task == TASK_MASK) {
        fill_mask(r, out[0], a);
        count_mask(r, a);
    }
}
