/* inputs.c: input tensors from .npy files, from pictures, or made up. */
#include "driver/driver.h"

#include <string.h>

static const Option input_rows[] = {
    {"input", 0, OPT_REPEAT, offsetof(InputOptions, input), "[NAME=]FILE",
     ".npy, .png, .jpg or .ppm for an input of the model", 0, 0},
    {"mean", 0, OPT_LIST, offsetof(InputOptions, mean), "M|R,G,B",
     "pictures: subtracted from channel values 0..255", 0, 0},
    {"std", 0, OPT_LIST, offsetof(InputOptions, std), "S|R,G,B",
     "pictures: what the difference is divided by", 0, 0},
    {"crop", 0, OPT_REAL, offsetof(InputOptions, crop), "F",
     "pictures: first cut out a centred square, F of the shorter side", 0, 0},
    {"resize", 0, OPT_INT, offsetof(InputOptions, resize), "N",
     "pictures: scale the shorter side to N, then cut out the centre", 1, RT_MAX_SIDE},
    {"filter", 0, OPT_CHOICE, offsetof(InputOptions, filter), "bicubic|bilinear",
     "pictures: how they are scaled (default: bicubic)", 0, 0},
    {"channels", 0, OPT_CHOICE, offsetof(InputOptions, channels), "rgb|bgr",
     "pictures: order of the channels (default: rgb)", 0, 0},
};
const OptionGroup input_options = OPTION_GROUP(input_rows);

static const char *type_text(DType dt, const Shape *s, Arena *a) {
    Type t = type_plain(dt, *s);
    return type_str(a, &t);
}

/* ---- pictures ---- */

/* One number for all channels or one each; 0 where the option was not given. */
static bool parse_channels(const char *option, effnetc_strings v, float out[3], Diag *d) {
    double x[3] = {0, 0, 0};
    bool ok = v.count == 0 || v.count == 1 || v.count == 3;
    for (size_t i = 0; ok && i < v.count; i++)
        ok = parse_f64(v.items[i], &x[i]);
    for (size_t i = 0; i < 3; i++)
        out[i] = (float)x[v.count == 1 ? 0 : i];
    if (!ok)
        diag_error(d, EXIT_USAGE, "effnetc", "%s takes one number, or three: R,G,B", option);
    return ok;
}

/* Where the picture's rows, columns and channels lie in an input; false unless it is
 * f32[1,3,H,W] or f32[1,H,W,3]. */
static bool picture_shape(const effnetc_tensor *t, rt_preprocess *p) {
    if (strcmp(t->dtype, "f32") != 0 || t->rank != 4 || t->dims[0] != 1)
        return false;
    p->nhwc = t->dims[1] != 3;
    if (t->dims[p->nhwc ? 3 : 1] != 3)
        return false;
    int64_t h = t->dims[p->nhwc ? 1 : 2], w = t->dims[p->nhwc ? 2 : 3];
    p->height = (int)h;
    p->width = (int)w;
    return h >= 1 && w >= 1 && h <= RT_MAX_SIDE && w <= RT_MAX_SIDE;
}

/* Given as R,G,B, whatever the order in the tensor. */
static void swap_for_bgr(float v[3]) {
    float first = v[0];
    v[0] = v[2];
    v[2] = first;
}

static bool preprocess_options(const InputOptions *o, rt_preprocess *p, Diag *d) {
    p->crop = o->crop;
    p->resize = o->resize;
    p->filter = o->filter && !strcmp(o->filter, "bilinear") ? RT_BILINEAR : RT_BICUBIC;
    p->bgr = o->channels && !strcmp(o->channels, "bgr");
    bool ok = parse_channels("--mean", o->mean, p->mean, d);
    ok &= parse_channels("--std", o->std, p->std, d);
    if (p->bgr) {
        swap_for_bgr(p->mean);
        swap_for_bgr(p->std);
    }
    return ok;
}

static void warn_about_values(const InputOptions *o, const char *path, Diag *d) {
    if (o->mean.count || o->std.count)
        return;
    diag_warning(d, path, "neither --mean nor --std: the model gets values of 0 to 255");
    diag_note(d, "help", "torchvision: --mean=123.675,116.28,103.53 --std=58.395,57.12,57.375");
}

static Tensor *decode_picture(const Source *s, const char *path, const effnetc_tensor *want,
                              const InputOptions *o, Arena *a, Diag *d) {
    rt_preprocess p = {0};
    rt_image im;
    rt_error err;
    if (!picture_shape(want, &p)) {
        Shape shape = shape_of(want->rank, want->dims);
        diag_error(d, EXIT_USAGE, path, "a picture can't be the input %s", want->name);
        diag_note(d, "wanted", "%s", type_text(tensor_dtype(want), &shape, a));
        diag_note(d, "help", "pictures go to f32[1,3,H,W] and f32[1,H,W,3]; give a .npy file");
        return NULL;
    }
    if (!preprocess_options(o, &p, d))
        return NULL;
    warn_about_values(o, path, d);
    Tensor *t = tensor_for(want, a);
    int code = rt_image_decode(&im, s->data, s->size, &err);
    if (code == RT_OK)
        code = rt_preprocess_image(tensor_mutable(t), &im, &p, &err);
    rt_image_free(&im);
    if (code != RT_OK)
        file_error(d, path, code, &err);
    return code == RT_OK ? t : NULL;
}

/* ---- inputs ---- */

static bool check_type(const Tensor *t, const effnetc_tensor *want, const char *path, Arena *a,
                       Diag *d) {
    Shape shape = shape_of(want->rank, want->dims);
    DType dt = tensor_dtype(want);
    if (t->dtype == dt && shape_equal(&t->shape, &shape))
        return true;
    diag_error(d, EXIT_USAGE, path, "the array does not fit the input %s", want->name);
    diag_note(d, "wanted", "%s", type_text(dt, &shape, a));
    diag_note(d, "found", "%s", type_text(t->dtype, &t->shape, a));
    if (t->dtype != dt)
        diag_note(d, "help", "convert it in NumPy: x.astype(...)");
    else
        diag_note(d, "help", "reshape it in NumPy, or export the model for this shape");
    return false;
}

const Source *input_source(effnetc_model *m, const char *path) {
    for (size_t i = 0; i < m->files.len; i++)
        if (!strcmp(m->files.data[i]->path, path))
            return &m->files.data[i]->source;
    InputFile *f = ARENA_NEW(&m->arena, InputFile);
    f->path = path;
    if (!source_open(&f->source, path, m->diag))
        return NULL;
    vec_push(&m->arena, &m->files, f);
    return &f->source;
}

static Tensor *load_input(effnetc_model *m, const char *path, const effnetc_tensor *want,
                          const InputOptions *o, Arena *a) {
    const Source *s = input_source(m, path);
    if (!s)
        return NULL;
    Tensor *t = rt_image_is_known(s->data, s->size)
                    ? decode_picture(s, path, want, o, a, m->diag)
                    : npy_decode(s, path, tensor_dtype(want), a, m->diag);
    return t && check_type(t, want, path, a, m->diag) ? t : NULL;
}

bool inputs_load(effnetc_model *m, const InputOptions *o, Tensor **in, Arena *a) {
    size_t n = m->inputs.len;
    const char **path = ARENA_ARRAY(a, n + 1, const char *);
    bool ok = assign_paths("--input", o->input, m->inputs.data, n, path, m->diag);
    for (size_t i = 0; ok && i < n; i++)
        if (!path[i]) {
            diag_error(m->diag, EXIT_USAGE, "effnetc", "the input %s has no file",
                       m->inputs.data[i].name);
            diag_note(m->diag, "help", "--input=%s=FILE", m->inputs.data[i].name);
        }
    ok = m->diag->errors == 0;
    for (size_t i = 0; ok && i < n; i++)
        in[i] = load_input(m, path[i], &m->inputs.data[i], o, a);
    return m->diag->errors == 0;
}

static void fill_random(Tensor *t, uint64_t *state) {
    int64_t n = shape_elems(&t->shape);
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = random_next(state);
        if (dtype_is_float(t->dtype))
            tensor_set_f64(t, i, (double)(r >> 40) / (1 << 23) - 1);
        else
            tensor_set_i64(t, i, (int64_t)(r >> (t->dtype == DT_bool ? 63 : 61)));
    }
}

void inputs_random(const effnetc_model *m, int seed, Tensor **in, Arena *a) {
    uint64_t state = (uint64_t)seed;
    for (size_t i = 0; i < m->inputs.len; i++) {
        in[i] = tensor_for(&m->inputs.data[i], a);
        fill_random(in[i], &state);
    }
}
