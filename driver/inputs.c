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
    {"crop", 0, OPT_PART, offsetof(InputOptions, crop), "F",
     "pictures: first cut out a centred square, F of the shorter side", 0, 0},
    {"crop-pct", 0, OPT_PART, offsetof(InputOptions, crop_pct), "F",
     "pictures: as --resize, to the input's size / F, as timm has it", 0, 0},
    {"resize", 0, OPT_INT, offsetof(InputOptions, resize), "N",
     "pictures: scale the shorter side to N, then cut out the centre", 1, RT_MAX_SIDE},
    {"fit", 0, OPT_CHOICE, offsetof(InputOptions, fit), "stretch|letterbox",
     "pictures: all of it; letterbox keeps its proportions and fills the rest", 0, 0},
    {"filter", 0, OPT_CHOICE, offsetof(InputOptions, filter), FILTER_CHOICES,
     "pictures: how they are scaled", 0, 0},
    {"pillow", 0, OPT_INT, offsetof(InputOptions, pillow), "VERSION",
     "pictures: scaled to the bit as by this version; tall ones differ before 13 (default: 13)", 1,
     99},
    {"channels", 0, OPT_CHOICE, offsetof(InputOptions, channels), "rgb|bgr",
     "pictures: order of the channels (default: rgb)", 0, 0},
    {"orientation", 0, OPT_CHOICE, offsetof(InputOptions, orientation), "exif|stored",
     "pictures: upright as their EXIF says, or as they are stored (default: exif)", 0, 0},
};
const OptionGroup input_options = OPTION_GROUP(input_rows);

static const char *type_text(DType dt, const Shape *s, Arena *a) {
    Type t = type_plain(dt, *s);
    return type_str(a, &t);
}

/* ---- pictures ---- */

/* Rows, columns and channels of an input that pictures can go to: f32 or u8, [N,3,H,W] or
 * [N,H,W,3]. */
static bool picture_shape(const effnetc_tensor *t, rt_preprocess *p) {
    bool typed = !strcmp(t->dtype, "f32") || !strcmp(t->dtype, "u8");
    if (!typed || t->rank != 4 || t->dims[0] < 1)
        return false;
    p->nhwc = t->dims[1] != 3;
    if (t->dims[p->nhwc ? 3 : 1] != 3)
        return false;
    int64_t h = t->dims[p->nhwc ? 1 : 2], w = t->dims[p->nhwc ? 2 : 3];
    p->height = (int)h;
    p->width = (int)w;
    return h >= 1 && w >= 1 && h <= RT_MAX_SIDE && w <= RT_MAX_SIDE;
}

bool takes_pictures(const effnetc_tensor *t) {
    rt_preprocess p;
    return picture_shape(t, &p);
}

/* Code that normalises bytes takes them red first, and fills with its own mean. */
static bool red_first(const rt_preprocess *inside, rt_preprocess *p) {
    for (int c = 0; c < 3; c++)
        p->mean[c] = inside->mean[inside->bgr ? 2 - c : c];
    p->bgr = false;
    return true;
}

bool picture_input(effnetc_model *m, const effnetc_tensor *want, const char *path,
                   const InputOptions *o, PictureInput *out) {
    *out = (PictureInput){.bytes = !strcmp(want->dtype, "u8"),
                          .as_stored = o->orientation && !strcmp(o->orientation, "stored")};
    if (picture_shape(want, &out->p))
        return preprocess_choose(m, o, &out->p) && (!m->pixels || red_first(m->pixels, &out->p));
    Shape shape = shape_of(want->rank, want->dims);
    diag_error(m->diag, EXIT_USAGE, path, "a picture can't be the input \"%s\"", want->name);
    diag_note(m->diag, "wanted", "%s", type_text(tensor_dtype(want), &shape, &m->arena));
    diag_note(m->diag, "help", "pictures go to f32[N,3,H,W] and f32[N,H,W,3]; give a .npy file");
    return false;
}

/* The pixels as they are, in the order of the tensor. */
static void copy_bytes(uint8_t *out, const rt_image *in, const rt_preprocess *p) {
    size_t pixels = (size_t)in->width * (size_t)in->height;
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++)
            out[p->nhwc ? 3 * i + c : c * pixels + i] = in->rgb[3 * i + (p->bgr ? 2 - c : c)];
}

int picture_fill(const PictureInput *in, rt_image *im, void *out, rt_error *err) {
    rt_image fitted;
    int code = in->as_stored ? RT_OK : rt_image_turn(im, err);
    if (code != RT_OK)
        return code;
    if (!in->bytes)
        return rt_preprocess_image(out, im, &in->p, err);
    code = rt_fit(&fitted, im, &in->p, err);
    if (code == RT_OK)
        copy_bytes(out, &fitted, &in->p);
    rt_image_free(&fitted);
    return code;
}

static void show_copy(effnetc_model *m, const rt_image *im, Arena *a) {
    rt_image *copy = arena_copy(a, im, sizeof *im);
    copy->rgb = arena_copy(a, im->rgb, 3 * (size_t)im->width * (size_t)im->height);
    show_pictures(m, &(const rt_image *){copy}, 1, a);
}

static Tensor *decode_picture(effnetc_model *m, const Source *s, const char *path,
                              const effnetc_tensor *want, const InputOptions *o, Arena *a) {
    PictureInput in;
    rt_image im;
    rt_error err;
    if (!picture_input(m, want, path, o, &in))
        return NULL;
    if (want->dims[0] != 1) {
        diag_error(m->diag, EXIT_USAGE, path, "the input \"%s\" takes %lld pictures at a time",
                   want->name, (long long)want->dims[0]);
        diag_note(m->diag, "help", "name them all behind the model, without --input");
        return NULL;
    }
    Tensor *t = tensor_for(want, a);
    int code = rt_image_decode(&im, s->data, s->size, &err);
    if (code == RT_OK)
        code = picture_fill(&in, &im, tensor_mutable(t), &err);
    if (code == RT_OK && takes_any_size(&m->options))
        show_copy(m, &im, a);
    rt_image_free(&im);
    if (code != RT_OK)
        file_error(m->diag, path, code, &err);
    return code == RT_OK ? t : NULL;
}

/* ---- inputs ---- */

static bool check_type(const Type *t, const effnetc_tensor *want, const char *path, Arena *a,
                       Diag *d) {
    Shape shape = shape_of(want->rank, want->dims);
    DType dt = tensor_dtype(want);
    if (t->dtype == dt && shape_equal(&t->shape, &shape))
        return true;
    diag_error(d, EXIT_USAGE, path, "the array does not fit the input \"%s\"", want->name);
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
    Type type;
    if (rt_image_is_known(s->data, s->size))
        return decode_picture(m, s, path, want, o, a);
    if (!npy_type(s, path, tensor_dtype(want), &type, m->diag) ||
        !check_type(&type, want, path, a, m->diag)) /* before its elements are read */
        return NULL;
    return npy_decode(s, path, tensor_dtype(want), a, m->diag);
}

bool inputs_load(effnetc_model *m, const InputOptions *o, Tensor **in, Arena *a) {
    size_t n = m->inputs.len;
    const char **path = ARENA_ARRAY(a, n + 1, const char *);
    bool ok = assign_paths("--input", o->input, m->inputs.data, n, path, m->diag);
    for (size_t i = 0; ok && i < n; i++)
        if (!path[i] && !m->inputs.data[i].unread) {
            diag_error(m->diag, EXIT_USAGE, "effnetc", "the input \"%s\" has no file",
                       m->inputs.data[i].name);
            diag_note(m->diag, "help", "--input=%s=FILE", m->inputs.data[i].name);
        }
    ok = m->diag->errors == 0 && tensors_fit(m);
    for (size_t i = 0; ok && i < n; i++)
        in[i] = path[i] ? load_input(m, path[i], &m->inputs.data[i], o, a)
                        : tensor_for(&m->inputs.data[i], a);
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

bool inputs_random(effnetc_model *m, int seed, Tensor **in, Arena *a) {
    uint64_t state = (uint64_t)seed;
    if (!tensors_fit(m))
        return false;
    for (size_t i = 0; i < m->inputs.len; i++) {
        in[i] = tensor_for(&m->inputs.data[i], a);
        fill_random(in[i], &state);
    }
    return true;
}
