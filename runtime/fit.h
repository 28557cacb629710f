/* fit.h: a picture of any size becomes one of a network's size, with the arithmetic of Pillow's
 * Image.resize, so that a model sees the same bytes as in training.
 *
 * Static functions in strict C99 that call nothing and work in the caller's memory. resize.c
 * includes them; and what stands below is printed into NAME.c where code takes pictures of any size
 * (codegen/emit_pictures.c), with NAME_ in place of rt_: both do the same. So does the loop IR of
 * native code, codegen/fit.loop.ir. */
#include <stddef.h>
#include <stdint.h>

/* ---- one axis -------------------------------------------------------------------------------- */

/* Pixels [from, from + size) of a picture are scaled to `scaled` ones; of those, `count` from
 * `skip` on are computed, and go to `at` and behind. */
typedef struct rt_axis {
    ptrdiff_t from, size, scaled, skip, at, count;
} rt_axis;

/* What a filter weighs an input pixel at distance x, in output pixels; 0 beyond the radius. */
typedef struct rt_kernel {
    double (*at)(double x);
    double radius;
} rt_kernel;

/* 8 bits of result and 2 bits of room for the negative lobes leave 22 of 32. */
enum { RT_FRACTION_BITS = 32 - 8 - 2 };

static int32_t rt_to_fixed(double w) {
    double scaled = w * (1 << RT_FRACTION_BITS);
    return (int32_t)(w < 0 ? scaled - 0.5 : scaled + 0.5);
}

static uint8_t rt_to_byte(int32_t sum) {
    int32_t v = sum < 0 ? 0 : sum >> RT_FRACTION_BITS;
    return (uint8_t)(v > 255 ? 255 : v);
}

/* By how much the filter is widened: only when shrinking. */
static double rt_stretch(const rt_axis *a) {
    double scale = (double)a->size / (double)a->scaled;
    return scale < 1 ? 1 : scale;
}

/* The most weights that an output pixel has. */
static ptrdiff_t rt_most_taps(const rt_axis *a, const rt_kernel *f) {
    return (ptrdiff_t)(2 * f->radius * rt_stretch(a)) + 2;
}

/* Writes which pixels of the picture output pixel i is the sum of: the first one, how many, their
 * weights, which sum to 1. Returns what is behind them. */
static int32_t *rt_taps(int32_t *t, const rt_axis *a, const rt_kernel *f, ptrdiff_t i) {
    double scale = (double)a->size / (double)a->scaled, stretch = rt_stretch(a), sum = 0;
    double support = f->radius * stretch, centre = ((double)(a->skip + i) + 0.5) * scale;
    ptrdiff_t first = (ptrdiff_t)(centre - support + 0.5);
    ptrdiff_t end = (ptrdiff_t)(centre + support + 0.5);
    first = first < 0 ? 0 : first;
    end = end > a->size ? a->size : end;
    for (ptrdiff_t k = first; k < end; k++)
        sum += f->at(((double)k - centre + 0.5) * (1 / stretch));
    *t++ = (int32_t)(a->from + first);
    *t++ = (int32_t)(end - first);
    for (ptrdiff_t k = first; k < end; k++) {
        double w = f->at(((double)k - centre + 0.5) * (1 / stretch));
        *t++ = rt_to_fixed(sum != 0 ? w / sum : w);
    }
    return t;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* One row, from one whose first pixel is number `from` of the picture's. */
static void rt_filter_row(uint8_t *to, const uint8_t *row, ptrdiff_t from, const int32_t *taps,
                          ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++, to += 3) {
        const uint8_t *p = row + 3 * (taps[0] - from);
        const int32_t n = taps[1];
        int32_t red = 1 << (RT_FRACTION_BITS - 1), green = red, blue = red;
        taps += 2;
        for (int32_t k = 0; k < n; k++, p += 3) {
            red += p[0] * taps[k];
            green += p[1] * taps[k];
            blue += p[2] * taps[k];
        }
        taps += n;
        to[0] = rt_to_byte(red);
        to[1] = rt_to_byte(green);
        to[2] = rt_to_byte(blue);
    }
}

/* `n` bytes of a row, each the sum of those below each other in rows `first` and following, as many
 * as there are weights. Row r is at rows + r % ring * stride. */
static void rt_filter_column(uint8_t *to, const uint8_t *rows, ptrdiff_t stride, ptrdiff_t ring,
                             const int32_t *taps, ptrdiff_t n) {
    enum { CHUNK = 48 };
    for (ptrdiff_t i = 0; i < n; i += CHUNK) {
        int32_t sum[CHUNK];
        ptrdiff_t here = n - i < CHUNK ? n - i : CHUNK;
        for (ptrdiff_t k = 0; k < here; k++)
            sum[k] = 1 << (RT_FRACTION_BITS - 1);
        for (int32_t y = 0; y < taps[1]; y++) {
            const uint8_t *row = rows + (taps[0] + y) % ring * stride + i;
            for (ptrdiff_t k = 0; k < here; k++)
                sum[k] += row[k] * taps[2 + y];
        }
        for (ptrdiff_t k = 0; k < here; k++)
            to[i + k] = rt_to_byte(sum[k]);
    }
}

/* ---- a picture ------------------------------------------------------------------------------- */

/* Rows of `stride` bytes; a negative one: from the bottom up. */
typedef struct rt_pixels {
    const uint8_t *rgb;
    ptrdiff_t stride;
} rt_pixels;

/* Whether columns are filtered first, as Pillow does from version 13 on: where the height shrinks
 * by more than twice as many pixels as the width. */
static int rt_columns_first(const rt_axis *x, const rt_axis *y) {
    ptrdiff_t down = y->size - y->scaled;
    return down > 0 && down > 2 * (x->size - x->scaled);
}

/* The memory that rt_scale works in: tables of weights, and behind them rows between both passes.
 */
static size_t rt_tables_bytes(const rt_axis *x, const rt_axis *y, const rt_kernel *f) {
    size_t across = (size_t)x->count * (size_t)(2 + rt_most_taps(x, f));
    return (across + (size_t)(2 + rt_most_taps(y, f))) * sizeof(int32_t);
}

static size_t rt_scale_bytes(const rt_axis *x, const rt_axis *y, const rt_kernel *f,
                             int pillow_13) {
    ptrdiff_t pixels = rt_most_taps(y, f) * x->count;
    pixels = pillow_13 && x->size > pixels ? x->size : pixels;
    return rt_tables_bytes(x, y, f) + 3 * (size_t)pixels;
}

/* Scales a part of a picture along both axes, by way of 8-bit rows. `scratch` is aligned as int32_t
 * is. */
static void rt_scale(uint8_t *out, ptrdiff_t out_stride, const rt_pixels *in, const rt_axis *x,
                     const rt_axis *y, const rt_kernel *f, int pillow_13, void *scratch) {
    int columns_first = pillow_13 && rt_columns_first(x, y);
    const int32_t *across = (const int32_t *)scratch;
    int32_t *down = (int32_t *)scratch;
    uint8_t *rows = (uint8_t *)scratch + rt_tables_bytes(x, y, f);
    ptrdiff_t ring = rt_most_taps(y, f), row = 3 * x->count, next = y->from;
    for (ptrdiff_t i = 0; i < x->count; i++)
        down = rt_taps(down, x, f, i);
    out += y->at * out_stride + 3 * x->at;
    for (ptrdiff_t i = 0; i < y->count; i++, out += out_stride) {
        rt_taps(down, y, f, i);
        if (columns_first) {
            rt_filter_column(rows, in->rgb + 3 * x->from, in->stride, y->from + y->size, down,
                             3 * x->size);
            rt_filter_row(out, rows, x->from, across, x->count);
            continue;
        }
        for (next = next < down[0] ? down[0] : next; next < down[0] + down[1]; next++)
            rt_filter_row(rows + next % ring * row, in->rgb + next * in->stride, 0, across,
                          x->count);
        rt_filter_column(out, rows, row, ring, down, row);
    }
}

/* ---- what is scaled, and where it goes ------------------------------------------------------- */

typedef struct rt_geometry {
    ptrdiff_t width, height; /* of what comes out */
    double crop;             /* 0, or: first cut out a centred square, a part of the shorter side */
    ptrdiff_t resize;  /* 0, or: first scale the shorter side to this, then cut out the centre */
    int letterbox;     /* or: scale it to fit in, at the top left */
    int pillow_13;     /* rt_columns_first decides; else rows are first */
    uint8_t ground[3]; /* around it */
} rt_geometry;

/* The middle of an axis that was scaled. What there is too much is cut off: a half, rounded to
 * even, at the front, as torchvision's CenterCrop has it. What is missing is ground. */
static void rt_centre(rt_axis *a, ptrdiff_t count) {
    ptrdiff_t more = a->scaled - count, half = more / 2;
    a->skip = more > 0 ? half + (more % 2 ? half % 2 : 0) : 0;
    a->at = more < 0 ? -more / 2 : 0;
    a->count = more < 0 ? a->scaled : count;
}

/* A centred square. The side is rounded down and the offsets up, as in the preprocessing of the
 * EfficientNet authors. */
static void rt_crop(const rt_geometry *g, rt_axis *x, rt_axis *y) {
    ptrdiff_t shorter = x->size < y->size ? x->size : y->size;
    ptrdiff_t side = (ptrdiff_t)((double)shorter * g->crop);
    x->from = (x->size - side + 1) / 2;
    y->from = (y->size - side + 1) / 2;
    x->size = y->size = side;
}

/* The shorter side becomes g->resize, the longer one is in proportion, rounded down, as
 * torchvision's Resize has it. */
static void rt_shorter_side(const rt_geometry *g, rt_axis *x, rt_axis *y) {
    x->scaled = x->size <= y->size ? g->resize : g->resize * x->size / y->size;
    y->scaled = y->size <= x->size ? g->resize : g->resize * y->size / x->size;
    rt_centre(x, g->width);
    rt_centre(y, g->height);
}

/* As large as it fits in, rounded down. */
static void rt_letterbox(const rt_geometry *g, rt_axis *x, rt_axis *y) {
    double across = (double)g->width / (double)x->size, down = (double)g->height / (double)y->size;
    double scale = across < down ? across : down;
    x->scaled = (ptrdiff_t)((double)x->size * scale);
    y->scaled = (ptrdiff_t)((double)y->size * scale);
    x->scaled = x->count = x->scaled < 1 ? 1 : x->scaled;
    y->scaled = y->count = y->scaled < 1 ? 1 : y->scaled;
}

static void rt_whole(rt_axis *a, ptrdiff_t size, ptrdiff_t count) {
    a->from = a->skip = a->at = 0;
    a->size = size;
    a->scaled = a->count = count;
}

/* For a picture of this size. Whether anything of it is left. */
static int rt_axes(const rt_geometry *g, ptrdiff_t width, ptrdiff_t height, rt_axis *x,
                   rt_axis *y) {
    rt_whole(x, width, g->width);
    rt_whole(y, height, g->height);
    if (g->crop > 0)
        rt_crop(g, x, y);
    else if (g->resize)
        rt_shorter_side(g, x, y);
    else if (g->letterbox)
        rt_letterbox(g, x, y);
    return x->size > 0 && y->size > 0;
}

/* out: g->height rows of g->width pixels, without gaps. */
static void rt_fit_pixels(uint8_t *out, const rt_pixels *in, const rt_geometry *g, const rt_axis *x,
                          const rt_axis *y, const rt_kernel *f, void *scratch) {
    int whole = x->count == g->width && y->count == g->height;
    for (ptrdiff_t i = 0; !whole && i < 3 * g->width * g->height; i++)
        out[i] = g->ground[i % 3];
    rt_scale(out, 3 * g->width, in, x, y, f, g->pillow_13, scratch);
}
