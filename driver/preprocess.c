/* preprocess.c: how pictures become an input: as the options say; what they leave open, as
 * NAME.json beside the model says; and what that leaves open, as for the published weights of the
 * member that the model is. */
#include "driver/driver.h"

#include "passes/family.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What one of them says. Mean and std are red, green, blue. */
typedef struct Recipe {
    bool has_fit, has_filter, has_values, has_order;
    double crop, crop_pct;
    int resize;
    bool letterbox;
    rt_filter filter;
    float mean[3], std[3];
    bool bgr;
    const char *by;
} Recipe;

/* ---- words ---- */

static const char *const filter_names[] = {
#define FILTER(identity, name, radius, calls, ...) [RT_##identity] = #name,
#include "runtime/filters.def"
#undef FILTER
};
enum { NFILTERS = sizeof filter_names / sizeof *filter_names };

static bool filter_by_name(const char *name, rt_filter *out) {
    for (int i = 0; i < NFILTERS; i++)
        if (!strcmp(filter_names[i], name)) {
            *out = (rt_filter)i;
            return true;
        }
    return false;
}

/* ---- the options ---- */

/* One number for all channels or one each; 0 where the option was not given. */
static bool parse_channels(const char *option, effnetc_strings v, float out[3], Diag *d) {
    double x[3] = {0, 0, 0};
    bool ok = v.count == 0 || v.count == 1 || v.count == 3;
    for (size_t i = 0; ok && i < v.count; i++)
        ok = parse_f64(v.items[i], &x[i]) && fabs(x[i]) <= FLT_MAX;
    for (size_t i = 0; i < 3; i++)
        out[i] = (float)x[v.count == 1 ? 0 : i];
    if (!ok)
        diag_error(d, EXIT_USAGE, "effnetc", "%s takes one number, or three: R,G,B", option);
    return ok;
}

static bool is_part(double x) {
    return x > 0 && x <= 1;
}

/* 0 would stand for 1, as where nothing is said. */
static bool check_divisors(effnetc_strings v, const float std[3], Diag *d) {
    bool ok = v.count == 0 || (std[0] != 0 && std[1] != 0 && std[2] != 0);
    if (!ok)
        diag_error(d, EXIT_USAGE, "effnetc", "--std is divided by, and can't be 0");
    return ok;
}

/* Of a library's caller, too. */
static bool check_part(const char *option, double x, Diag *d) {
    bool ok = x == 0 || is_part(x);
    if (!ok)
        diag_error(d, EXIT_USAGE, "effnetc", "%s takes a part above 0, up to 1, not %g", option, x);
    return ok;
}

/* A part of the scaled picture says how large that is. False after an error. */
static bool resize_by_part(Recipe *r, const rt_preprocess *p, int exit_code, const char *where,
                           Diag *d) {
    int shorter = p->width < p->height ? p->width : p->height;
    double side = r->crop_pct != 0 ? shorter / r->crop_pct : r->resize;
    if (side <= RT_MAX_SIDE) {
        r->resize = (int)side;
        return true;
    }
    diag_error(d, exit_code, where, "%d pixels that are %g of the scaled picture's are too few",
               shorter, r->crop_pct);
    diag_note(d, "wanted", "a scaled picture of %d pixels at most", RT_MAX_SIDE);
    return false;
}

static bool recipe_of_options(const InputOptions *o, Recipe *r, Diag *d) {
    *r = (Recipe){.by = "the options"};
    int fits = (o->fit != NULL) + (o->crop != 0) + (o->crop_pct != 0) + (o->resize != 0);
    r->has_fit = fits > 0;
    r->crop_pct = o->crop_pct;
    r->letterbox = o->fit && !strcmp(o->fit, "letterbox");
    r->crop = o->crop;
    r->resize = o->resize;
    r->has_filter = o->filter && filter_by_name(o->filter, &r->filter);
    r->has_values = o->mean.count || o->std.count;
    r->has_order = o->channels != NULL;
    r->bgr = o->channels && !strcmp(o->channels, "bgr");
    bool ok = parse_channels("--mean", o->mean, r->mean, d);
    ok &= parse_channels("--std", o->std, r->std, d) && check_divisors(o->std, r->std, d);
    ok &= check_part("--crop", o->crop, d);
    ok &= check_part("--crop-pct", o->crop_pct, d);
    if (fits > 1) {
        diag_error(d, EXIT_USAGE, "effnetc",
                   "--fit, --crop, --crop-pct and --resize exclude each other");
        ok = false;
    }
    return ok;
}

/* ---- NAME.json ---- */

typedef struct JsonFile {
    const char *path;
    Diag *diag;
    bool ok;
} JsonFile;

static void wrong_json(JsonFile *f, const char *key, const char *wanted, const json_t *found) {
    char *text = json_dumps(found, JSON_ENCODE_ANY);
    diag_error(f->diag, EXIT_BAD_MODEL, f->path, "\"%s\" of the preprocessing is not understood",
               key);
    diag_note(f->diag, "wanted", "%s", wanted);
    diag_note(f->diag, "found", "%.80s", text ? text : "what is no JSON");
    free(text);
    f->ok = false;
}

/* What a float holds. 0 in "std" would stand for 1, as where nothing is said. */
static bool is_channel(const char *key, const json_t *x) {
    double v = json_number_value(x);
    return json_is_number(x) && fabs(v) <= FLT_MAX && (strcmp(key, "std") != 0 || (float)v != 0);
}

/* A number, or an array of three. */
static void json_channels(JsonFile *f, const json_t *root, const char *key, float out[3]) {
    const json_t *v = json_object_get(root, key);
    bool list = json_is_array(v) && json_array_size(v) == 3;
    for (size_t i = 0; v && i < 3; i++) {
        const json_t *x = list ? json_array_get(v, i) : v;
        if (!is_channel(key, x)) {
            wrong_json(f, key, "a number, or three: [red, green, blue]; no 0 to divide by", v);
            return;
        }
        out[i] = (float)json_number_value(x);
    }
}

static const char *json_word(JsonFile *f, const json_t *root, const char *key, const char *choices,
                             const char *const *names, size_t n) {
    const json_t *v = json_object_get(root, key);
    const char *s = json_string_value(v);
    for (size_t i = 0; s && i < n; i++)
        if (!strcmp(s, names[i]))
            return names[i];
    if (v)
        wrong_json(f, key, choices, v);
    return NULL;
}

static void json_fit(JsonFile *f, const json_t *root, Recipe *r) {
    static const char *const fits[] = {"stretch", "letterbox"};
    const json_t *crop = json_object_get(root, "crop"), *resize = json_object_get(root, "resize");
    const json_t *pct = json_object_get(root, "crop_pct");
    const char *fit = json_word(f, root, "fit", "\"stretch\" or \"letterbox\"", fits, 2);
    json_int_t side = json_integer_value(resize);
    if (crop && !is_part(json_number_value(crop)))
        wrong_json(f, "crop", "a part of the shorter side, above 0, up to 1", crop);
    if (pct && !is_part(json_number_value(pct)))
        wrong_json(f, "crop_pct", "a part of the scaled picture, above 0, up to 1", pct);
    if (resize && !(json_is_integer(resize) && side >= 1 && side <= RT_MAX_SIDE))
        wrong_json(f, "resize", "pixels of the shorter side, a whole number", resize);
    if ((crop != NULL) + (pct != NULL) + (resize != NULL) + (fit != NULL) > 1)
        wrong_json(f, "fit", "one of \"fit\", \"crop\", \"crop_pct\" and \"resize\"", root);
    r->has_fit = f->ok && (crop || pct || resize || fit);
    r->crop = json_number_value(crop);
    r->crop_pct = json_number_value(pct);
    r->resize = resize ? (int)side : 0;
    r->letterbox = fit && !strcmp(fit, "letterbox");
}

static void json_recipe(JsonFile *f, const json_t *root, Recipe *r) {
    static const char *const orders[] = {"rgb", "bgr"};
    if (!json_is_object(root)) {
        wrong_json(f, "preprocessing", "an object", root);
        return;
    }
    json_fit(f, root, r);
    const char *filter = json_word(f, root, "filter", "the name of a filter, as of --filter",
                                   filter_names, NFILTERS);
    const char *order = json_word(f, root, "channels", "\"rgb\" or \"bgr\"", orders, 2);
    r->has_filter = filter && filter_by_name(filter, &r->filter);
    r->has_order = order != NULL;
    r->bgr = order && !strcmp(order, "bgr");
    r->has_values = json_object_get(root, "mean") || json_object_get(root, "std");
    json_channels(f, root, "mean", r->mean);
    json_channels(f, root, "std", r->std);
}

/* NAME.json of NAME.onnx. */
static const char *json_path(const char *model, Arena *a) {
    const char *dot = strrchr(base_name(model), '.');
    size_t n = dot ? (size_t)(dot - model) : strlen(model);
    return arena_printf(a, "%.*s.json", (int)n, model);
}

/* Nobody's notes on a model are longer: a byte of JSON can take 50 of memory. */
enum { MAX_JSON = 1 << 21 };

static json_t *parse_json(const MappedFile *file, const char *path, Diag *d) {
    json_error_t error;
    if (file->size > MAX_JSON) {
        diag_warning(d, path, "it is too large to say how pictures are prepared, and was not read");
        diag_note(d, "wanted", "%d bytes at most", (int)MAX_JSON);
        diag_note(d, "found", "%zu", file->size);
        return json_object();
    }
    json_t *root = json_loadb(file->data ? (const char *)file->data : "", file->size, 0, &error);
    if (!root)
        diag_error(d, EXIT_BAD_MODEL, path, "line %d, column %d: %s", error.line, error.column,
                   error.text);
    return root;
}

/* What a file beside the model holds: an empty object where there is none; NULL with an error. */
static json_t *json_beside(const char *model, const char *path, Diag *d) {
    MappedFile file;
    if (!strcmp(model, "-") || !strcmp(path, model) || access(path, F_OK) != 0)
        return json_object();
    if (!file_map(&file, path, d))
        return NULL;
    json_t *root = parse_json(&file, path, d);
    file_unmap(&file);
    return root;
}

/* What the file says, if there is one; a file without "preprocessing" says nothing. */
static bool recipe_of_json(const effnetc_model *m, Recipe *r, Arena *a, Diag *d) {
    JsonFile f = {json_path(m->path, a), d, true};
    *r = (Recipe){.by = f.path};
    json_t *root = json_beside(m->path, f.path, d);
    if (!root)
        return false;
    const json_t *preprocessing = json_object_get(root, "preprocessing");
    if (preprocessing)
        json_recipe(&f, preprocessing, r);
    json_decref(root);
    return f.ok;
}

/* Labels that the file names: a path from where it is; NULL: none. */
const char *labels_beside(const char *model, Arena *a) {
    const char *path = json_path(model, a);
    Diag unsaid = {0}; /* by us: whoever prepares the pictures says it */
    json_t *root = json_beside(model, path, &unsaid);
    const char *labels = json_string_value(json_object_get(root, "labels"));
    if (labels)
        labels = *labels == '/'
                     ? arena_strdup(a, labels)
                     : arena_printf(a, "%.*s%s", (int)(base_name(path) - path), path, labels);
    json_decref(root);
    diag_free(&unsaid);
    return labels;
}

/* ---- the member ---- */

typedef enum Padding { EVEN, SAME } Padding;
typedef enum Fit { RESIZE, CROP, STRETCH } Fit;
typedef enum Values { IMAGENET, HALF, LITE } Values;

typedef struct Preset {
    const char *member;
    Padding padding;
    int64_t size;
    Fit fit;
    int amount;
    rt_filter filter;
    Values values;
    const char *whose;
} Preset;

static const Preset presets[] = {
#define PRESET(...) {__VA_ARGS__},
#include "driver/presets.def"
#undef PRESET
};

static const float means[][3] = {[IMAGENET] = {123.675F, 116.28F, 103.53F},
                                 [HALF] = {127.5F, 127.5F, 127.5F},
                                 [LITE] = {127, 127, 127}};
static const float stds[][3] = {[IMAGENET] = {58.395F, 57.12F, 57.375F},
                                [HALF] = {127.5F, 127.5F, 127.5F},
                                [LITE] = {128, 128, 128}};

static void take_values(Recipe *r, Values v) {
    r->has_values = true;
    memcpy(r->mean, means[v], sizeof r->mean);
    memcpy(r->std, stds[v], sizeof r->std);
}

/* Whether a strided convolution pads more at the end: only TensorFlow does. */
static bool pads_ends(const Graph *g) {
    FOR_EACH_NODE(g, n) {
        if (n->op != OP_conv2d && n->op != OP_dwconv2d)
            continue;
        const ConvAttrs *a = conv_attrs(n);
        if (a->pad.v[0] < a->pad.v[2] || a->pad.v[1] < a->pad.v[3])
            return true;
    }
    return false;
}

static const Preset *find_preset(const char *member, Padding padding) {
    const Preset *other = NULL;
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        if (strcmp(presets[i].member, member) != 0)
            continue;
        if (presets[i].padding == padding)
            return &presets[i];
        other = &presets[i];
    }
    return other;
}

static void take_preset(Recipe *r, const Preset *p, const rt_preprocess *input, Arena *a) {
    int64_t size = input->height < input->width ? input->height : input->width;
    r->has_fit = r->has_filter = true;
    r->filter = p->filter;
    r->resize = p->fit == RESIZE ? (int)(size * p->amount / p->size) : 0;
    r->crop = p->fit == CROP ? (double)size / (double)(size + 32) : 0;
    take_values(r, p->values);
    r->by = arena_printf(a, "%s %s", p->whose, p->member);
}

/* Detectors see the whole picture in its proportions, segmenters as large as it fits. */
static void take_decoder(Recipe *r, const ModelKind *k, Arena *a) {
    r->has_fit = r->has_filter = true;
    r->filter = RT_BILINEAR;
    r->letterbox = !strcmp(k->decoder, "BiFPN");
    take_values(r, IMAGENET);
    r->by = arena_printf(a, "%s with %s decoder", k->member, k->decoder);
}

static bool is_arithmetic(Op op) {
    return op == OP_add || op == OP_sub || op == OP_mul || op == OP_div;
}

/* Whether the graph begins with arithmetic of the picture and constants. */
static bool prepares_itself(const Graph *g) {
    const Value *v = NULL;
    for (size_t i = 0; i < g->inputs.len && !v; i++)
        v = g->inputs.data[i]->uses ? g->inputs.data[i] : NULL;
    for (Node *n; v && (n = value_single_user(v)); v = node_out(n)) {
        if (is_arithmetic(n->op) && (node_in(n, 0)->constant || node_in(n, 1)->constant))
            return true;
        if (n->op != OP_transpose && n->op != OP_cast && n->op != OP_identity)
            return false;
    }
    return false;
}

/* m's kind, found out where nothing says it yet; NULL with errors. */
static const ModelKind *kind_of(effnetc_model *m) {
    Network net;
    if (m->kind)
        return m->kind;
    bool own = model_source(m) && prepares_itself(m->source);
    Graph *g = model_structure(m);
    if (!g)
        return NULL;
    network_recognise(g, &m->arena, &net);
    ModelKind *k = ARENA_NEW(&m->arena, ModelKind);
    *k = (ModelKind){.prepares_itself = own, .pads_ends = pads_ends(g)};
    if (net.member) {
        k->member = net.member->name;
        k->decoder = net.decoder;
        k->published = !net.narrower;
    }
    graph_free(g);
    return m->kind = k;
}

static void recipe_of_member(effnetc_model *m, const rt_preprocess *input, Recipe *r, Arena *a) {
    const ModelKind *k = kind_of(m);
    *r = (Recipe){.by = "nothing"};
    if (!k)
        return;
    const Preset *p = k->published ? find_preset(k->member, k->pads_ends ? SAME : EVEN) : NULL;
    if (k->decoder)
        take_decoder(r, k, a);
    else if (p)
        take_preset(r, p, input, a);
    if (k->prepares_itself) { /* it takes 0..255 */
        memset(r->mean, 0, sizeof r->mean);
        memset(r->std, 0, sizeof r->std);
        r->has_values = true;
        r->by = arena_printf(a, "%s, which normalises them itself",
                             k->published ? k->member : "a model");
    }
}

/* ---- all three ---- */

static void swap_ends(float v[3]) {
    float first = v[0];
    v[0] = v[2];
    v[2] = first;
}

/* Adds to p and to `missing` what r says and is still missing. */
static void take(rt_preprocess *p, Recipe *missing, const Recipe *r) {
    if (missing->has_fit && r->has_fit) {
        p->crop = r->crop;
        p->resize = r->resize;
        p->letterbox = r->letterbox;
        missing->has_fit = false;
    }
    if (missing->has_filter && r->has_filter) {
        p->filter = r->filter;
        missing->has_filter = false;
    }
    if (missing->has_values && r->has_values) {
        memcpy(p->mean, r->mean, sizeof p->mean);
        memcpy(p->std, r->std, sizeof p->std);
        missing->has_values = false;
        missing->by = r->by;
    }
    if (missing->has_order && r->has_order) {
        p->bgr = r->bgr;
        missing->has_order = false;
    }
}

static void channels_text(Buf *b, const float v[3]) {
    bool same = v[0] == v[1] && v[1] == v[2];
    buf_printf(b, "%.7g", (double)v[0]);
    for (int c = 1; !same && c < 3; c++)
        buf_printf(b, ",%.7g", (double)v[c]);
}

static void fit_text(Buf *b, const rt_preprocess *p) {
    const char *filter = filter_names[p->filter];
    if (p->crop != 0)
        buf_printf(b, "centred square, %.3g of the shorter side, to %d x %d (%s)", p->crop,
                   p->width, p->height, filter);
    else if (p->resize)
        buf_printf(b, "shorter side to %d (%s), centre %d x %d", p->resize, filter, p->width,
                   p->height);
    else
        buf_printf(b, "%s to %d x %d (%s)", p->letterbox ? "letterboxed" : "stretched", p->width,
                   p->height, filter);
}

/* In words. */
static const char *preprocess_text(const rt_preprocess *p, Arena *a) {
    static const float none[3];
    Buf b = {0};
    fit_text(&b, p);
    bool scaled = memcmp(p->mean, none, sizeof none) || memcmp(p->std, none, sizeof none);
    if (scaled) {
        float mean[3], std[3];
        memcpy(mean, p->mean, sizeof mean);
        memcpy(std, p->std, sizeof std);
        buf_puts(&b, ", (x - ");
        channels_text(&b, mean);
        buf_puts(&b, ") / ");
        for (int c = 0; c < 3; c++)
            std[c] = std[c] != 0 ? std[c] : 1;
        channels_text(&b, std);
    }
    buf_puts(&b, p->bgr ? ", blue first" : "");
    const char *text = arena_strdup(a, buf_str(&b));
    buf_free(&b);
    return text;
}

/* Nobody said how, or what of it: the model gets what the picture has. */
static void warn_about_values(const effnetc_model *m) {
    diag_warning(m->diag, m->path,
                 "nothing says how pictures are normalised: the model gets values of 0 to 255");
    diag_note(m->diag, "help",
              "torchvision: --mean=123.675,116.28,103.53 --std=58.395,57.12,57.375");
}

EmitPictures preprocess_info(const rt_preprocess *p) {
    EmitPictures e = {.fit = p->crop != 0 || p->resize ? NULL
                             : p->letterbox            ? "letterbox"
                                                       : "stretch",
                      .crop = p->crop,
                      .resize = p->resize,
                      .filter = filter_names[p->filter],
                      .channels = p->bgr ? "bgr" : "rgb"};
    for (int c = 0; c < 3; c++) {
        int from = p->bgr ? 2 - c : c;
        e.mean[c] = p->mean[from];
        e.std[c] = p->std[from] != 0 ? p->std[from] : 1;
    }
    return e;
}

/* A filter in generated code. */
typedef struct FilterCode {
    double radius;
    bool calls;
    const char *weight;
} FilterCode;

static const FilterCode filter_code[] = {
#define FILTER(identity, name, radius, calls, ...) [RT_##identity] = {radius, calls, #__VA_ARGS__},
#include "runtime/filters.def"
#undef FILTER
};

bool preprocess_fit(const rt_preprocess *p, int max_side, const char *where, EmitFit *out, Arena *a,
                    Diag *d) {
    const FilterCode *f = &filter_code[p->filter];
    if (f->calls) {
        diag_error(d, EXIT_UNSUPPORTED, where, "code for pictures of any size can't filter by %s",
                   filter_names[p->filter]);
        diag_note(d, "reason", "its weights take sines, and generated code calls no function");
        diag_note(d, "help", "--filter=bicubic, or --input=u8-rgb and rt_fit of runtime/resize.c");
        return false;
    }
    Buf how = {0};
    fit_text(&how, p);
    *out = (EmitFit){.how = arena_strdup(a, buf_str(&how)),
                     .weight = f->weight,
                     .radius = f->radius,
                     .pillow_13 = p->order == RT_PILLOW_13,
                     .max_side = max_side,
                     .scratch = (int64_t)rt_fit_bytes(p, max_side)};
    rt_fit_ground(p, out->ground);
    buf_free(&how);
    return true;
}

bool preprocess_choose(effnetc_model *m, const InputOptions *o, rt_preprocess *p) {
    Arena *a = &m->arena;
    Recipe options, json, member,
        missing = {.has_fit = true, .has_filter = true, .has_values = true, .has_order = true};
    bool ok = recipe_of_options(o, &options, m->diag);
    ok &= recipe_of_json(m, &json, a, m->diag);
    ok = ok && resize_by_part(&options, p, EXIT_USAGE, "effnetc", m->diag) &&
         resize_by_part(&json, p, EXIT_BAD_MODEL, json.by, m->diag);
    if (!ok)
        return false;
    p->filter = RT_BICUBIC;
    p->order = o->pillow && o->pillow < 13 ? RT_ROWS_FIRST : RT_PILLOW_13;
    take(p, &missing, &options);
    take(p, &missing, &json);
    if (missing.has_fit || missing.has_filter || missing.has_values) {
        recipe_of_member(m, p, &member, a);
        take(p, &missing, &member);
    }
    if (missing.has_values)
        warn_about_values(m);
    else if (missing.by != options.by && !m->pixels)
        fprintf(m->options.log ? m->options.log : stderr, "pictures: %s: as for %s\n",
                preprocess_text(p, a), printable(a, missing.by));
    if (p->bgr) {
        swap_ends(p->mean);
        swap_ends(p->std);
    }
    return true;
}
