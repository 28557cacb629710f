/* op_signal.c: signal processing: windows, DFT, STFT, MelWeightMatrix. Transforms are products with
 * a constant matrix. */
#include "frontend/import.h"

#include <math.h>

static double pi(void) {
    return acos(-1);
}

/* ---- constants from numbers ------------------------------------------------------------------ */

static int64_t count_input(OnnxNode *n, int i, const char *what, int64_t dflt) {
    double x = onnx_number_input(n, i, what, (double)dflt);
    if (!n->failed && !(x >= 0 && x <= INT32_MAX))
        onnx_bad(n, "its %s is %g", what, x);
    return n->failed ? 0 : (int64_t)x;
}

static DType output_datatype(OnnxNode *n) {
    int64_t to = attr_int(n, "output_datatype", 1);
    DType dt = DT_f32;
    if (!dtype_from_onnx(to >= 0 && to <= INT32_MAX ? (int32_t)to : -1, &dt))
        onnx_unsupported(n, "ONNX data type %lld is not supported", (long long)to);
    return dt;
}

/* a + b cos(t) + c cos(2 t) with t from 0 to 2 pi, which is behind the end of a periodic window.
 * A window of one number, whose t is not defined, counts as periodic. */
static void window(OnnxNode *n, double a, double b, double c) {
    bool periodic = attr_bool(n, "periodic", true);
    DType dt = output_datatype(n);
    int64_t size = count_input(n, 0, "size", 0);
    int64_t period = periodic || size == 1 ? size : size - 1;
    Tensor *t = onnx_new_tensor(n, dt, SHAPE(size));
    for (int64_t i = 0; t && i < size; i++) {
        double at = 2 * pi() * (double)i / (double)period;
        tensor_set_f64(t, i, a + b * cos(at) + c * cos(2 * at));
    }
    if (t)
        onnx_set_output(n, 0, onnx_constant(n, NULL, t));
}

void import_hann_window(OnnxNode *n) {
    window(n, 0.5, -0.5, 0);
}

void import_hamming_window(OnnxNode *n) {
    window(n, 25.0 / 46, -21.0 / 46, 0);
}

void import_blackman_window(OnnxNode *n) {
    window(n, 0.42, -0.5, 0.08);
}

/* ---- MelWeightMatrix ------------------------------------------------------------------------- */

typedef struct Mel {
    int64_t bins, length, rate;
    double low, step; /* of the edges, in mel */
} Mel;

static double to_mel(double hertz) {
    return 2595 * log10(1 + hertz / 700);
}

/* The bin of the spectrum where edge i is. */
static int64_t mel_edge(const Mel *m, int64_t i) {
    double hertz = 700 * (pow(10, (m->low + (double)i * m->step) / 2595) - 1);
    return (int64_t)floor((double)(m->length + 1) * hertz / (double)m->rate);
}

/* A triangle over three edges. */
static double mel_weight(int64_t at, int64_t low, int64_t centre, int64_t high) {
    if (at < low || at > high || (at == high && at != centre))
        return 0;
    if (at == centre)
        return 1;
    return at < centre ? (double)(at - low) / (double)(centre - low)
                       : (double)(high - at) / (double)(high - centre);
}

/* MelWeightMatrix-17. */
void import_mel_weight_matrix(OnnxNode *n) {
    DType dt = output_datatype(n);
    Mel m = {.bins = count_input(n, 0, "num_mel_bins", 0),
             .length = count_input(n, 1, "dft_length", 0),
             .rate = count_input(n, 2, "sample_rate", 0)};
    double low = onnx_number_input(n, 3, "lower_edge_hertz", 0),
           high = onnx_number_input(n, 4, "upper_edge_hertz", 0);
    if (!n->failed && (m.rate == 0 || !(low >= 0 && low <= high && high <= (double)m.rate / 2)))
        onnx_bad(n, "its frequencies must be 0 <= low <= high <= half the sample rate");
    Tensor *t = onnx_new_tensor(n, dt, SHAPE(m.length / 2 + 1, m.bins));
    if (!t)
        return;
    m.low = to_mel(low);
    m.step = (to_mel(high) - m.low) / (double)(m.bins + 2);
    for (int64_t i = 0; i < m.bins; i++) {
        int64_t edges[3] = {mel_edge(&m, i), mel_edge(&m, i + 1), mel_edge(&m, i + 2)};
        for (int64_t at = 0; at <= m.length / 2; at++)
            tensor_set_f64(t, at * m.bins + i, mel_weight(at, edges[0], edges[1], edges[2]));
    }
    onnx_set_output(n, 0, onnx_constant(n, NULL, t));
}

/* ---- DFT ------------------------------------------------------------------------------------- */

/* A transform of `length` points, of numbers with `parts` parts: real, and imaginary. */
typedef struct Dft {
    int64_t length, parts;
    bool inverse, onesided;
} Dft;

/* How many points there are before and after it that aren't the mirror of others. */
static int64_t dft_points(const Dft *d, bool after) {
    return d->onesided && d->inverse != after ? d->length / 2 + 1 : d->length;
}

static int64_t dft_parts(const Dft *d) {
    return d->onesided && d->inverse ? 1 : 2;
}

/* The factor of input point `from`: its mirror counts with it where it isn't there. */
static double dft_factor(const Dft *d, int64_t from) {
    bool mirrored = d->onesided && d->inverse && from != 0 && 2 * from != d->length;
    return (mirrored ? 2.0 : 1.0) / (d->inverse ? (double)d->length : 1);
}

/* [points * parts, points' * parts'], for the first `points` points of the input. */
static Tensor *dft_matrix(OnnxNode *n, DType dt, const Dft *d, int64_t points) {
    int64_t to_points = dft_points(d, true), to_parts = dft_parts(d), columns, rows;
    if (!checked_mul(points, d->parts, &rows) || !checked_mul(to_points, to_parts, &columns))
        return NULL;
    Tensor *t = onnx_new_tensor(n, dt, SHAPE(rows, columns));
    for (int64_t i = 0; t && i < points; i++)
        for (int64_t k = 0; k < to_points; k++) {
            double angle = 2 * pi() * (double)(i * k % d->length) / (double)d->length;
            double c = dft_factor(d, i) * cos(angle), s = dft_factor(d, i) * sin(angle);
            double turn[2][2] = {{c, d->inverse ? s : -s}, {d->inverse ? -s : s, c}};
            for (int64_t a = 0; a < d->parts; a++)
                for (int64_t b = 0; b < to_parts; b++)
                    tensor_set_f64(t, (i * d->parts + a) * columns + k * to_parts + b, turn[a][b]);
        }
    return t;
}

static bool check_dft(OnnxNode *n, const Shape *s, const Dft *d) {
    if (s->rank < 2 || d->parts < 1 || d->parts > 2)
        onnx_bad(n, "the last dimension of its input must be 1 or 2");
    else if (d->onesided && d->parts != (d->inverse ? 2 : 1))
        onnx_bad(n, "one side of a spectrum belongs to a real signal");
    else if (d->length < 1)
        onnx_bad(n, "its length is %lld", (long long)d->length);
    return !n->failed;
}

/* The transform of x[..., parts] along the axis, named `part`. */
static Value *dft(OnnxNode *n, const char *part, Value *x, int axis, const Dft *d) {
    int64_t perm[MAX_RANK];
    if (!x)
        return NULL;
    Shape s = x->type.shape;
    int rank = s.rank, last = rank - 2;
    int64_t points = dft_points(d, false);
    points = points < s.dim[axis] ? points : s.dim[axis];
    if (points < s.dim[axis])
        x = onnx_slice_axis(n, "cut", x, axis, 0, points, 1);
    for (int i = 0; i < rank; i++)
        perm[i] = i;
    perm[axis] = last;
    perm[last] = axis;
    if (axis != last)
        x = onnx_transpose(n, "by_axis", x, perm);
    Tensor *m = x ? dft_matrix(n, x->type.dtype, d, points) : NULL;
    if (!m)
        return NULL;
    Shape flat = x->type.shape, to = x->type.shape;
    flat.rank--;
    flat.dim[last] = m->shape.dim[0];
    to.dim[last] = dft_points(d, true);
    to.dim[rank - 1] = dft_parts(d);
    x = onnx_reshape(n, "signal", x, &flat);
    Value *y = onnx_matmul(n, "spectrum", x, onnx_constant(n, "dft", m));
    y = onnx_reshape(n, axis == last ? part : "by_axis", y, &to);
    return axis == last ? y : onnx_transpose(n, part, y, perm);
}

static void import_dft(OnnxNode *n, int64_t axis) {
    const Shape *s = onnx_shape(n, 0);
    Dft d = {.parts = s->rank ? s->dim[s->rank - 1] : 0,
             .inverse = attr_bool(n, "inverse", false),
             .onesided = attr_bool(n, "onesided", false)};
    int at = n->failed || s->rank < 2 ? 0 : onnx_axis(n, axis, s->rank);
    if (at == s->rank - 1)
        onnx_bad(n, "its axis is that of the parts of a number");
    if (n->failed)
        return;
    bool halved = d.inverse && d.onesided;
    d.length = count_input(n, 1, "dft_length", halved ? 2 * (s->dim[at] - 1) : s->dim[at]);
    if (!n->failed && onnx_needs_float(n, 1) && check_dft(n, s, &d))
        onnx_set_output(n, 0, dft(n, NULL, onnx_input(n, 0), at, &d));
}

/* DFT-17: the axis is an attribute. */
void import_dft_17(OnnxNode *n) {
    import_dft(n, attr_int(n, "axis", 1));
}

/* DFT-20: it is an input. */
void import_dft_20(OnnxNode *n) {
    Ints axis = {NULL, 0};
    if (onnx_input(n, 2) && !onnx_ints_input(n, 2, "axis", &axis))
        return;
    if (axis.n > 1)
        onnx_bad(n, "its axis must be one number");
    import_dft(n, axis.n ? axis.v[0] : -2);
}

/* ---- STFT ------------------------------------------------------------------------------------ */

/* Where the points of each frame are: [frames, length]. */
static Value *frame_index(OnnxNode *n, int64_t frames, int64_t length, int64_t step) {
    Tensor *t = onnx_new_tensor(n, DT_i64, SHAPE(frames, length));
    for (int64_t i = 0; t && i < frames; i++)
        for (int64_t k = 0; k < length; k++)
            tensor_set_i64(t, i * length + k, i * step + k);
    return t ? onnx_constant(n, "frame_index", t) : NULL;
}

/* STFT-17: the DFT of frames, each times the window. */
void import_stft(OnnxNode *n) {
    Value *x = onnx_input(n, 0), *w = onnx_input(n, 2);
    const Shape *s = &x->type.shape;
    Dft d = {.parts = s->rank == 3 ? s->dim[2] : 1, .onesided = attr_bool(n, "onesided", true)};
    if (s->rank != 3 && s->rank != 2)
        onnx_bad(n, "its signal must have 3 dimensions, it has %d", s->rank);
    if (w && w->type.shape.rank != 1)
        onnx_bad(n, "its window must be a list");
    if (n->failed || !onnx_needs_float(n, 1))
        return;
    int64_t size = s->dim[1], step = count_input(n, 1, "frame_step", 0);
    d.length = count_input(n, 3, "frame_length", w ? w->type.shape.dim[0] : size);
    if (w && w->type.shape.dim[0] != d.length)
        onnx_bad(n, "its window has %lld numbers, and its frames %lld",
                 (long long)w->type.shape.dim[0], (long long)d.length);
    if (step < 1 || d.length > size)
        onnx_bad(n, "frames of %lld numbers, %lld apart, are not in a signal of %lld",
                 (long long)d.length, (long long)step, (long long)size);
    Shape signal = SHAPE(s->dim[0], size, d.parts), column = SHAPE(d.length, 1);
    if (n->failed || !check_dft(n, &signal, &d))
        return;
    Value *index = frame_index(n, (size - d.length) / step + 1, d.length, step);
    if (!index)
        return;
    x = onnx_gather(n, "frames", onnx_reshape(n, "signal", x, &signal), index, 1);
    if (w)
        x = onnx_binary(n, OP_mul, "windowed", x, onnx_reshape(n, "window", w, &column));
    onnx_set_output(n, 0, dft(n, NULL, x, 2, &d));
}
