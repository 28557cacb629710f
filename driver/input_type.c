/* input_type.c: code that takes the bytes of pictures instead of a model's floats, or tensors in
 * another layout. */
#include "driver/driver.h"

#include <string.h>

bool takes_any_size(const effnetc_options *o) {
    return o->input && !strcmp(o->input, "u8-rgb-any");
}

void show_pictures(effnetc_model *m, const rt_image *const *pictures, size_t n, Arena *a) {
    if (!takes_any_size(&m->options))
        return;
    Shown s = {ARENA_ARRAY(a, n, const uint8_t *), ARENA_ARRAY(a, n, int), ARENA_ARRAY(a, n, int)};
    for (size_t i = 0; i < n; i++) {
        s.rgb[i] = pictures[i]->rgb;
        s.width[i] = pictures[i]->width;
        s.height[i] = pictures[i]->height;
    }
    m->shown = arena_copy(a, &s, sizeof s);
}

void warn_unless_shown(const effnetc_model *m) {
    if (!takes_any_size(&m->options) || m->shown)
        return;
    diag_warning(m->diag, m->path, "nothing is scaled: the input has the network's size");
    diag_note(m->diag, "help", "--input=FILE.png gives it a picture");
}

static PlaneOrder order_of(const char *layout) {
    if (!layout || !strcmp(layout, "model"))
        return ORDER_MODEL;
    return strcmp(layout, "nchw") ? ORDER_NHWC : ORDER_NCHW;
}

bool load_layouts(const effnetc_model *m, Graph *g) {
    const effnetc_options *o = &m->options;
    PlaneOrder inputs = order_of(o->input_layout), outputs = order_of(o->output_layout);
    bool bytes = o->input && strcmp(o->input, "model") != 0;
    if (inputs != ORDER_MODEL && bytes) {
        diag_error(m->diag, EXIT_USAGE, "effnetc", "--input-layout says nothing of 8-bit RGB");
        diag_note(m->diag, "help", "its layout is always [N][H][W][3]");
        return false;
    }
    return graph_take_layout(g, inputs, outputs, m->path, m->diag);
}

bool load_bytes(const effnetc_model *m, Graph *g) {
    const rt_preprocess *p = m->pixels;
    PictureValues v = {.bgr = p->bgr};
    for (int c = 0; c < 3; c++) {
        v.mean[c] = p->mean[c];
        v.std[c] = p->std[c] != 0 ? p->std[c] : 1;
    }
    return graph_take_bytes(g, m->picture, &v, m->path, m->diag);
}

/* The only input, or the only one that is like a picture: detectors take its size beside it. */
static bool find_picture(effnetc_model *m) {
    size_t likely = 0;
    for (size_t i = 0; i < m->inputs.len; i++)
        if (m->inputs.len == 1 || takes_pictures(&m->inputs.data[i])) {
            m->picture = i;
            likely++;
        }
    if (likely == 1 && (m->inputs.len == 1 || !takes_any_size(&m->options)))
        return true;
    diag_error(m->diag, EXIT_UNSUPPORTED, m->path, "the model can't take 8-bit RGB%s",
               takes_any_size(&m->options) ? " of any size" : "");
    diag_note(m->diag, "wanted",
              takes_any_size(&m->options) ? "one input"
                                          : "one input f32[N,3,H,W] or f32[N,H,W,3], and others");
    diag_note(m->diag, "found", "%zu inputs, of which %zu are like pictures", m->inputs.len,
              likely);
    return false;
}

bool take_bytes(effnetc_model *m) {
    const effnetc_options *o = &m->options;
    InputOptions how = {.mean = o->mean,
                        .std = o->std,
                        .channels = o->channels,
                        .crop = o->crop,
                        .crop_pct = o->crop_pct,
                        .resize = o->resize,
                        .fit = o->fit,
                        .filter = o->filter,
                        .pillow = o->pillow};
    PictureInput in;
    if (!o->input || !strcmp(o->input, "model"))
        return true;
    if (!find_picture(m) || !picture_input(m, &m->inputs.data[m->picture], m->path, &how, &in))
        return false;
    EmitPictures pictures = preprocess_info(&in.p);
    pictures.input = m->picture;
    EmitFit any;
    int side = o->max_side ? o->max_side : RT_MAX_SIDE;
    if (takes_any_size(&m->options)) {
        if (!preprocess_fit(&in.p, side, m->path, &any, &m->arena, m->diag))
            return false;
        pictures.any = arena_copy(&m->arena, &any, sizeof any);
    }
    m->pixels = arena_copy(&m->arena, &in.p, sizeof in.p);
    m->pictures = arena_copy(&m->arena, &pictures, sizeof pictures);
    if (m->source)
        graph_free(m->source);
    m->source = NULL;
    return model_source(m) != NULL;
}
