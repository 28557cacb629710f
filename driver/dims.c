/* dims.c: how large symbolic dimensions are: --dim NAME=N, and the shapes of input files. */
#include "driver/driver.h"

#include "frontend/frontend.h"

#include <string.h>

/* ---- --dim ---- */

static bool parse_dim(effnetc_model *m, const char *arg, ModelDim *out) {
    const char *equals = strrchr(arg, '=');
    if (equals && equals > arg && parse_i64(equals + 1, &out->value) && out->value > 0) {
        out->name = arena_strndup(&m->arena, arg, (size_t)(equals - arg));
        out->by = "--dim";
        return true;
    }
    diag_error(m->diag, EXIT_USAGE, "effnetc", "--dim takes NAME=N with N > 0, not \"%s\"", arg);
    return false;
}

static const ModelDim *find_dim(const effnetc_model *m, const char *name) {
    for (size_t i = 0; i < m->dims.len; i++)
        if (!strcmp(m->dims.data[i].name, name))
            return &m->dims.data[i];
    return NULL;
}

/* False with an error where the dimension has another size already. */
static bool set_dim(effnetc_model *m, ModelDim dim) {
    const ModelDim *known = find_dim(m, dim.name);
    if (!known)
        vec_push(&m->arena, &m->dims, dim);
    if (!known || known->value == dim.value)
        return true;
    diag_error(m->diag, EXIT_USAGE, "effnetc", "dimension \"%s\" has two sizes", dim.name);
    diag_note(m->diag, "found", "%lld from %s", (long long)known->value, known->by);
    diag_note(m->diag, "found", "%lld from %s", (long long)dim.value, dim.by);
    return false;
}

bool dims_from_options(effnetc_model *m) {
    bool ok = true;
    if (m->dims.len)
        return true;
    for (size_t i = 0; i < m->options.dims.count; i++) {
        ModelDim dim;
        ok &= parse_dim(m, m->options.dims.items[i], &dim) && set_dim(m, dim);
    }
    return ok;
}

/* ---- shapes of files ---- */

static bool has_open_dim(const OnnxInput *in) {
    for (int i = 0; i < in->rank; i++)
        if (in->param[i])
            return true;
    return false;
}

/* A picture has no say, and an array that can't fit is left to inputs_load, which knows what it
 * should be. */
static bool dims_from_file(effnetc_model *m, const OnnxInput *in, const char *path) {
    const Source *s = input_source(m, path);
    rt_array x;
    if (!s)
        return false;
    if (rt_image_is_known(s->data, s->size) || rt_npy_header(&x, s->data, s->size, NULL) != RT_OK ||
        x.rank != in->rank)
        return true;
    bool ok = true;
    for (int i = 0; i < in->rank; i++)
        if (in->param[i] && x.dim[i] > 0)
            ok &= set_dim(m, (ModelDim){in->param[i], x.dim[i], path});
    return ok;
}

static bool dims_from_inputs(effnetc_model *m, const char *path, const InputOptions *o) {
    Arena *a = &m->arena;
    OnnxInputs in;
    if (!onnx_inputs(path, a, &in, m->diag))
        return false;
    const char **file = ARENA_ARRAY(a, in.len + 1, const char *);
    effnetc_tensor *names = ARENA_ARRAY(a, in.len + 1, effnetc_tensor);
    for (size_t i = 0; i < in.len; i++)
        names[i].name = in.data[i].name;
    if (!assign_paths("--input", o->input, names, in.len, file, m->diag))
        return false;
    bool ok = dims_from_options(m);
    for (size_t i = 0; i < in.len; i++)
        if (file[i] && has_open_dim(&in.data[i]))
            ok &= dims_from_file(m, &in.data[i], file[i]);
    return ok;
}

/* What code that takes bytes needs to know of the options for pictures. */
static void take_pictures(effnetc_model *m, const InputOptions *o) {
    effnetc_options *to = &m->options;
    to->mean = o->mean;
    to->std = o->std;
    to->channels = o->channels;
    to->crop = o->crop;
    to->crop_pct = o->crop_pct;
    to->resize = o->resize;
    to->fit = o->fit;
    to->filter = o->filter;
    to->pillow = o->pillow;
}

bool load_for_inputs(effnetc_model *m, const char *path, const InputOptions *o) {
    take_pictures(m, o);
    if (o->input.count && !is_ir_path(path) && !dims_from_inputs(m, path, o))
        return false;
    return effnetc_load(m, path);
}

/* The symbolic first dimension that just one input has; NULL: none or several. */
static const char *batch_name(const OnnxInputs *in) {
    const char *name = NULL;
    for (size_t i = 0; i < in->len; i++) {
        const char *first = in->data[i].rank > 0 ? in->data[i].param[0] : NULL;
        if (first && name)
            return NULL;
        name = first ? first : name;
    }
    return name;
}

bool load_for_batch(effnetc_model *m, const char *path, int batch, const InputOptions *o) {
    OnnxInputs in;
    take_pictures(m, o);
    if (batch && !is_ir_path(path)) {
        if (!onnx_inputs(path, &m->arena, &in, m->diag) || !dims_from_options(m))
            return false;
        const char *name = batch_name(&in);
        if (name && !set_dim(m, (ModelDim){name, batch, "--batch"}))
            return false;
    }
    return effnetc_load(m, path);
}

/* ---- two models ---- */

/* Whether NAME=N is for an open dimension of these inputs. */
static bool is_for(const char *arg, const OnnxInputs *in) {
    const char *equals = strrchr(arg, '=');
    size_t len = equals ? (size_t)(equals - arg) : strlen(arg);
    for (size_t i = 0; i < in->len; i++)
        for (int k = 0; k < in->data[i].rank; k++) {
            const char *name = in->data[i].param[k];
            if (name && strlen(name) == len && !memcmp(name, arg, len))
                return true;
        }
    return false;
}

bool dims_for_two(effnetc_strings dims, const char *const *paths, Arena *a, effnetc_strings *out,
                  Diag *d) {
    OnnxInputs in[2] = {{NULL, 0}, {NULL, 0}};
    bool ok = true;
    for (int i = 0; i < 2 && dims.count; i++)
        ok &= is_ir_path(paths[i]) || onnx_inputs(paths[i], a, &in[i], d);
    for (int i = 0; i < 2; i++) {
        const char **items = ARENA_ARRAY(a, dims.count + 1, const char *);
        size_t n = 0;
        for (size_t k = 0; k < dims.count; k++)
            if (is_for(dims.items[k], &in[i]) || !is_for(dims.items[k], &in[1 - i]))
                items[n++] = dims.items[k];
        out[i] = (effnetc_strings){items, n};
    }
    return ok;
}
