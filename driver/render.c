/* render.c: boxes and masks drawn over the pictures that they were found in. */
#include "driver/pictures.h"

#include <stdlib.h>
#include <string.h>

/* As many pixels as suit the picture's size. */
static int stroke(const rt_image *im) {
    int side = im->width < im->height ? im->width : im->height;
    return 1 + side / 300;
}

static void add_file(Outputs *files, const char *path, uint8_t *data, size_t size, Arena *a) {
    outputs_add(files, path, arena_copy(a, data, size), size);
    free(data);
}

static void add_picture(Outputs *files, const char *path, const rt_image *im, Arena *a) {
    uint8_t *data;
    size_t size;
    rt_error err;
    if (rt_png_encode(&data, &size, im, &err) != RT_OK)
        die("%s", err.text);
    add_file(files, path, data, size, a);
}

/* ---- boxes ---- */

/* The name stands on top of its box, or inside where there is no room. */
static void draw_box(rt_image *im, const Found *f, const rt_labels *labels, Arena *a) {
    int width = stroke(im);
    rt_rgb colour = rt_colour((size_t)(f->class < 0 ? 0 : f->class));
    rt_area area = {(int)f->box[0], (int)f->box[1], (int)f->box[2], (int)f->box[3]};
    const char *name = f->class < 0 ? "" : rt_label(labels, (size_t)f->class);
    const char *text = *name ? arena_printf(a, "%s %.2f", name, f->value)
                             : arena_printf(a, "%lld %.2f", (long long)f->class, f->value);
    int height = rt_text_area(0, 0, text, width).y1;
    rt_frame(im, area, width, colour);
    rt_text(im, area.x0, area.y0 >= height ? area.y0 - height : area.y0, text, width, colour);
}

static void render_boxes(Outputs *files, const char *dir, const Result *r, rt_image *im,
                         const rt_labels *labels, Arena *a) {
    for (size_t i = r->n; i-- > 0;) /* the best one last, on top */
        draw_box(im, &r->found[i], labels, a);
    add_picture(files, arena_printf(a, "%s/%s.png", dir, r->picture->name), im, a);
}

/* ---- masks ---- */

/* The mask's class for each pixel of the picture; 0 where the model didn't see it. */
static uint8_t *mask_of_picture(const Result *r, const rt_image *im, const rt_preprocess *p,
                                Arena *a) {
    rt_map map = rt_fit_map(im, p);
    uint8_t *out = arena_alloc(a, (size_t)im->width * (size_t)im->height);
    double x_ratio = (double)r->mask_width / p->width, y_ratio = (double)r->mask_height / p->height;
    for (int y = 0; y < im->height; y++) {
        double v = (y + 0.5 - map.top) / map.y_scale * y_ratio;
        for (int x = 0; v >= 0 && v < (double)r->mask_height && x < im->width; x++) {
            double u = (x + 0.5 - map.left) / map.x_scale * x_ratio;
            if (u >= 0 && u < (double)r->mask_width)
                out[(size_t)y * (size_t)im->width + (size_t)x] =
                    r->mask[(int64_t)v * r->mask_width + (int64_t)u];
        }
    }
    return out;
}

static void render_mask(Outputs *files, const char *dir, const Result *r, rt_image *im,
                        const rt_preprocess *p, Arena *a) {
    rt_rgb palette[256] = {{{0, 0, 0}}};
    uint8_t *mask = mask_of_picture(r, im, p, a), *data;
    size_t size;
    rt_error err;
    for (size_t c = 1; c < 256; c++)
        palette[c] = rt_colour(c);
    if (rt_png_encode_mask(&data, &size, mask, im->width, im->height, palette, &err) != RT_OK)
        die("%s", err.text);
    add_file(files, arena_printf(a, "%s/%s.mask.png", dir, r->picture->name), data, size, a);
    rt_tint(im, mask, palette);
    add_picture(files, arena_printf(a, "%s/%s.png", dir, r->picture->name), im, a);
}

void render_result(Outputs *files, const char *dir, const Result *r, rt_image *im,
                   const rt_preprocess *p, const rt_labels *labels, Arena *a) {
    if (r->task == TASK_BOXES)
        render_boxes(files, dir, r, im, labels, a);
    else if (r->task == TASK_MASK)
        render_mask(files, dir, r, im, p, a);
}
