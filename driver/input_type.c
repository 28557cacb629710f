/* input_type.c: code that takes the bytes of pictures instead of a model's floats. */
#include "driver/driver.h"

#include <string.h>

static bool is_supported(effnetc_model *m) {
    if (strcmp(m->options.input, "u8-rgb-any") != 0)
        return true;
    diag_error(m->diag, EXIT_UNSUPPORTED, "effnetc",
               "u8-rgb-any is not supported by this version: generated code doesn't resize");
    diag_note(m->diag, "help",
              "u8-rgb takes pictures of the network's size; runtime/resize.c makes them");
    return false;
}

bool load_bytes(const effnetc_model *m, Graph *g) {
    const rt_preprocess *p = m->pixels;
    PictureValues v = {.bgr = p->bgr};
    for (int c = 0; c < 3; c++) {
        v.mean[c] = p->mean[c];
        v.std[c] = p->std[c] != 0 ? p->std[c] : 1;
    }
    return graph_take_bytes(g, &v, m->path, m->diag);
}

bool take_bytes(effnetc_model *m) {
    const effnetc_options *o = &m->options;
    InputOptions values = {.mean = o->mean, .std = o->std, .channels = o->channels};
    PictureInput in;
    if (!o->input || !strcmp(o->input, "model"))
        return true;
    if (!is_supported(m))
        return false;
    if (m->inputs.len != 1) {
        diag_error(m->diag, EXIT_UNSUPPORTED, m->path,
                   "only a model with one input can take 8-bit RGB; this one has %zu",
                   m->inputs.len);
        return false;
    }
    if (!picture_input(m, &m->inputs.data[0], m->path, &values, &in))
        return false;
    EmitPictures pictures = preprocess_info(&in.p);
    m->pixels = arena_copy(&m->arena, &in.p, sizeof in.p);
    m->pictures = arena_copy(&m->arena, &pictures, sizeof pictures);
    if (m->source)
        graph_free(m->source);
    m->source = NULL;
    return model_source(m) != NULL;
}
