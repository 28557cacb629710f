/* draw.c: frames, names and masks in pictures. What lies outside of the picture isn't drawn. */
#include "runtime/runtime.h"

#include <string.h>

enum { FIRST = ' ', GLYPH_W = 5, GLYPH_H = 7, ADVANCE = GLYPH_W + 1 };

static const uint8_t glyphs[][GLYPH_H] = {
#define GLYPH(c, ...) [(c)-FIRST] = {__VA_ARGS__},
#include "runtime/font.def"
#undef GLYPH
};
enum { NGLYPHS = sizeof glyphs / sizeof *glyphs };

/* ---- colours ---- */

enum { SHADES = 255, HUES = 6 * SHADES };

/* Hues a golden angle apart, so that the first few of any number differ well. */
rt_rgb rt_colour(size_t class) {
    enum { ANGLE = 947 }; /* 0.618 of the circle; has no divisor in common with it */
    int hue = (int)(class % HUES) * ANGLE % HUES, up = hue % SHADES, down = SHADES - up;
    const int rgb[6][3] = {{SHADES, up, 0},   {down, SHADES, 0}, {0, SHADES, up},
                           {0, down, SHADES}, {up, 0, SHADES},   {SHADES, 0, down}};
    const int *c = rgb[hue / SHADES];
    return (rt_rgb){{(uint8_t)c[0], (uint8_t)c[1], (uint8_t)c[2]}};
}

/* Black or white, whichever reads better on it. */
static rt_rgb ink_on(rt_rgb c) {
    int luma = 299 * c.v[0] + 587 * c.v[1] + 114 * c.v[2];
    uint8_t ink = luma > 140000 ? 0 : 255;
    return (rt_rgb){{ink, ink, ink}};
}

/* ---- shapes ---- */

static int clamp(int v, int lo, int hi) {
    return v < lo ? lo : v > hi ? hi : v;
}

void rt_fill(rt_image *im, rt_area a, rt_rgb c) {
    int x0 = clamp(a.x0, 0, im->width), x1 = clamp(a.x1, 0, im->width);
    int y0 = clamp(a.y0, 0, im->height), y1 = clamp(a.y1, 0, im->height);
    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++)
            memcpy(im->rgb + 3 * ((size_t)y * (size_t)im->width + (size_t)x), c.v, 3);
}

void rt_frame(rt_image *im, rt_area a, int width, rt_rgb c) {
    rt_fill(im, (rt_area){a.x0, a.y0, a.x1, a.y0 + width}, c);
    rt_fill(im, (rt_area){a.x0, a.y1 - width, a.x1, a.y1}, c);
    rt_fill(im, (rt_area){a.x0, a.y0, a.x0 + width, a.y1}, c);
    rt_fill(im, (rt_area){a.x1 - width, a.y0, a.x1, a.y1}, c);
}

static void draw_glyph(rt_image *im, int x, int y, int scale, const uint8_t *rows, rt_rgb ink) {
    for (int r = 0; r < GLYPH_H; r++)
        for (int k = 0; k < GLYPH_W; k++)
            if (rows[r] >> (GLYPH_W - 1 - k) & 1)
                rt_fill(im,
                        (rt_area){x + k * scale, y + r * scale, x + (k + 1) * scale,
                                  y + (r + 1) * scale},
                        ink);
}

rt_area rt_text_area(int x, int y, const char *text, int scale) {
    enum { MAX_TEXT = 1024 };
    int n = (int)strnlen(text, MAX_TEXT);
    return (rt_area){x, y, x + (n * ADVANCE + 1) * scale, y + (GLYPH_H + 2) * scale};
}

void rt_text(rt_image *im, int x, int y, const char *text, int scale, rt_rgb ground) {
    rt_area a = rt_text_area(x, y, text, scale);
    int n = (a.x1 - a.x0) / scale / ADVANCE;
    rt_fill(im, a, ground);
    for (int i = 0; i < n; i++) {
        int c = (unsigned char)text[i] - FIRST;
        const uint8_t *rows = glyphs[c >= 0 && c < NGLYPHS ? c : '?' - FIRST];
        draw_glyph(im, x + (i * ADVANCE + 1) * scale, y + scale, scale, rows, ink_on(ground));
    }
}

void rt_tint(rt_image *im, const uint8_t *mask, const rt_rgb *palette) {
    size_t pixels = (size_t)im->width * (size_t)im->height;
    for (size_t i = 0; i < pixels; i++)
        for (int c = 0; mask[i] && c < 3; c++)
            im->rgb[3 * i + (size_t)c] =
                (uint8_t)((im->rgb[3 * i + (size_t)c] + palette[mask[i]].v[c] + 1) / 2);
}
