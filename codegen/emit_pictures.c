/* emit_pictures.c: NAME_run_picture: code that takes pictures of any size.
 *
 * What scales them is runtime/fit.h, printed with NAME_ in place of rt_; around it is what this
 * model wants of them. The picture that NAME_run takes lies behind the arena, whose memory is
 * scratch before the run. */
#include "codegen/c_printer.h"

#include <fit_source.h> /* made of runtime/fit.h */
#include <string.h>

/* ---- runtime/fit.h --------------------------------------------------------------------------- */

static const char *fit_text(void) {
    const char *text = strstr((const char *)fit_source, "/* ---- ");
    ensure(text);
    return text;
}

static size_t word_length(const char *s) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    return strspn(s, letters);
}

/* The name that a word of fit.h has in generated code; NULL: it keeps its own. */
static const char *renamed(Arena *a, const char *word, size_t n, const char *name) {
    bool lower = n > 3 && !strncmp(word, "rt_", 3), upper = n > 3 && !strncmp(word, "RT_", 3);
    if (!lower && !upper)
        return NULL;
    return arena_printf(a, "%s_%.*s", lower ? name : c_upper(a, name), (int)(n - 3), word + 3);
}

static void put_fit(CPrinter *p, Buf *b) {
    for (const char *s = fit_text(); *s;) {
        size_t n = word_length(s);
        const char *word = renamed(&p->arena, s, n, p->info->name);
        if (word)
            buf_puts(b, word);
        else
            buf_write(b, s, n ? n : 1);
        s += n ? n : 1;
    }
}

void c_take_pictures(Arena *a, CNames *file, const char *name) {
    static const char *const own[] = {
        "rt_filter",        "rt_fit_picture", "rt_fit_pictures",
        "rt_picture",       "rt_run_picture", "rt_kernel_used",
        "rt_geometry_used", "RT_MAX_SIDE",    "RT_PICTURE_ARENA_BYTES"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        c_names_take(a, file, renamed(a, own[i], strlen(own[i]), name));
    for (const char *s = fit_text(); *s; s++) {
        size_t n = word_length(s);
        const char *word = renamed(a, s, n, name);
        if (word)
            c_names_take(a, file, word);
        s += n ? n - 1 : 0;
    }
}

/* ---- sizes ----------------------------------------------------------------------------------- */

size_t c_picture_param(const CParams *params) {
    for (size_t i = 0; i < params->len; i++)
        if (params->data[i].buffer && params->data[i].buffer->kind == BUF_INPUT)
            return i;
    die("pictures have no input");
}

static const CParam *input_of(const CParams *params) {
    return &params->data[c_picture_param(params)];
}

static size_t position_of(const CParams *params, const CParam *p) {
    return (size_t)(p - params->data) + 1;
}

int64_t c_picture_input(const Module *m, const EmitInfo *info) {
    int64_t scratch = info->pictures->any->scratch;
    return round_up(m->arena_bytes > scratch ? m->arena_bytes : scratch, BLOCK_ALIGN);
}

int64_t c_picture_bytes(const Module *m, const CParams *params, const EmitInfo *info) {
    return c_picture_input(m, info) + input_of(params)->buffer->elems;
}

/* ---- the header ------------------------------------------------------------------------------ */

static void put_picture_type(Buf *b, const EmitInfo *info, const char *up) {
    const char *name = info->name;
    buf_printf(
        b,
        "\n/* A picture: 8-bit red, green and blue, rows from the top. `stride` is the bytes\n"
        " * from one row to the next, at least 3 * width; negative where rows go from the\n"
        " * bottom up. */\n"
        "typedef struct %s_picture {\n"
        "    const uint8_t *rgb; /* the top left pixel */\n"
        "    int32_t width, height; /* 1 to %s_MAX_SIDE each */\n"
        "    ptrdiff_t stride;\n"
        "} %s_picture;\n\n",
        name, up, name);
}

static CParams picture_params(Arena *a, const CParams *params, const EmitInfo *info) {
    CParams out = {0};
    for (size_t i = 0; i < params->len; i++) {
        CParam p = params->data[i];
        if (&params->data[i] == input_of(params))
            p.type = arena_printf(a, "const %s_picture *", info->name);
        vec_push(a, &out, p);
    }
    return out;
}

static void put_head(Arena *a, Buf *b, const CParams *params, const EmitInfo *info,
                     const char *tail) {
    CParams own = picture_params(a, params, info);
    c_put_signature(a, b, arena_printf(a, "int %s_run_picture(", info->name), &own,
                    c_pool_param(a, info), tail);
}

void c_put_pictures_header(Buf *b, const Module *m, const CParams *params, const EmitInfo *info) {
    const EmitFit *fit = info->pictures ? info->pictures->any : NULL;
    if (!fit)
        return;
    Arena a = {0};
    const char *name = info->name, *up = c_upper(&a, name);
    const CParam *input = input_of(params);
    long long n = (long long)input->buffer->shape.dim[0];
    buf_printf(b, "\n#define %s_MAX_SIDE %d\n#define %s_PICTURE_ARENA_BYTES %lld\n", up,
               fit->max_side, up, (long long)c_picture_bytes(m, params, info));
    put_picture_type(b, info, up);
    buf_printf(
        b,
        "/* %s_run_parallel on %lld picture%s of any size. Pillow's arithmetic makes\n"
        " * the input of them:\n"
        " *   %s.\n"
        " * The arena has %s_PICTURE_ARENA_BYTES bytes. The caller's thread scales, those\n"
        " * of the pool, which may be NULL, do the rest. Returns -%zu, too, where a picture\n"
        " * has no pixels, or a size or stride that it must not have. */\n",
        name, n, n == 1 ? "" : "s", fit->how, up, position_of(params, input));
    put_head(&a, b, params, info, ");\n");
    arena_free(&a);
}

/* ---- the source ------------------------------------------------------------------------------ */

static void put_constants(CPrinter *p, Buf *b) {
    const EmitPictures *pictures = p->info->pictures;
    const EmitFit *fit = pictures->any;
    const Shape *s = &input_of(&p->params)->buffer->shape; /* [N,H,W,3] */
    const char *name = p->info->name;
    buf_printf(b,
               "/* The filter: %s. */\n"
               "static double %s_filter(double d) {\n"
               "    double x = d < 0 ? -d : d;\n"
               "    return %s;\n"
               "}\n\n",
               pictures->filter, name, fit->weight);
    buf_printf(b, "static const %s_kernel %s_kernel_used = {%s_filter, %.9g};\n", name, name, name,
               fit->radius);
    buf_printf(b,
               "static const %s_geometry %s_geometry_used = {\n"
               "    %lld, %lld, %.17g, %d, %d, %d, {%d, %d, %d}};\n\n",
               name, name, (long long)s->dim[2], (long long)s->dim[1], pictures->crop,
               pictures->resize, pictures->fit && !strcmp(pictures->fit, "letterbox"),
               fit->pillow_13, fit->ground[0], fit->ground[1], fit->ground[2]);
}

/* Whether all pictures could be taken; they are then behind the arena. */
static void put_fit_pictures(CPrinter *p, Buf *b) {
    const char *name = p->info->name, *up = c_upper(&p->arena, name);
    const Shape *s = &input_of(&p->params)->buffer->shape;
    buf_printf(b,
               "static int %s_fit_picture(uint8_t *to, const %s_picture *p, void *scratch) {\n"
               "    const %s_kernel *f = &%s_kernel_used;\n"
               "    const %s_geometry *g = &%s_geometry_used;\n"
               "    %s_axis x, y;\n"
               "    %s_pixels pixels;\n"
               "    ptrdiff_t row = 3 * (ptrdiff_t)p->width;\n",
               name, name, name, name, name, name, name, name);
    buf_printf(b,
               "    if (!p->rgb || p->width < 1 || p->width > %s_MAX_SIDE || p->height < 1 ||\n"
               "        p->height > %s_MAX_SIDE || (p->stride < row && p->stride > -row) ||\n"
               "        !%s_axes(g, p->width, p->height, &x, &y) ||\n"
               "        %s_scale_bytes(&x, &y, f, g->pillow_13) > %lld)\n"
               "        return 0;\n",
               up, up, name, name, (long long)p->info->pictures->any->scratch);
    buf_printf(b,
               "    pixels.rgb = p->rgb;\n"
               "    pixels.stride = p->stride;\n"
               "    %s_fit_pixels(to, &pixels, g, &x, &y, f, scratch);\n"
               "    return 1;\n"
               "}\n\n",
               name);
    buf_printf(b,
               "static int %s_fit_pictures(const %s_picture *p, unsigned char *memory) {\n"
               "    for (size_t i = 0; i < %lld; i++)\n"
               "        if (!%s_fit_picture(memory + %lld + i * %lld, &p[i], memory))\n"
               "            return 0;\n"
               "    return 1;\n"
               "}\n\n",
               name, name, (long long)s->dim[0], name, (long long)c_picture_input(p->m, p->info),
               (long long)(3 * s->dim[1] * s->dim[2]));
}

static void put_function(CPrinter *p, Buf *b) {
    const CParam *input = input_of(&p->params), *arena = &p->params.data[p->params.len - 1];
    const char *name = p->info->name;
    size_t in = position_of(&p->params, input), last = p->params.len;
    CItems args = {0};
    put_head(&p->arena, b, &p->params, p->info, ") {\n");
    buf_printf(b,
               "    if (!%s)\n        return %zu;\n"
               "    if (!%s)\n        return %zu;\n"
               "    if ((uintptr_t)%s %% %d != 0)\n        return -%zu;\n"
               "    if (!%s_fit_pictures(%s, (unsigned char *)%s))\n        return -%zu;\n",
               input->name, in, arena->name, last, arena->name, BLOCK_ALIGN, last, name,
               input->name, arena->name, in);
    for (size_t i = 0; i < p->params.len; i++) {
        const CParam *q = &p->params.data[i];
        vec_push(&p->arena, &args,
                 q == input ? arena_printf(&p->arena, "(const uint8_t *)%s + %lld", arena->name,
                                           (long long)c_picture_input(p->m, p->info))
                            : q->name);
    }
    vec_push(&p->arena, &args, "pool");
    c_put_list(b, 8, arena_printf(&p->arena, "    return %s_run_parallel(", name), &args,
               ");\n}\n");
}

void c_put_pictures(CPrinter *p, Buf *b) {
    if (!p->info->pictures || !p->info->pictures->any)
        return;
    buf_putc(b, '\n');
    put_fit(p, b);
    buf_putc(b, '\n');
    put_constants(p, b);
    put_fit_pictures(p, b);
    put_function(p, b);
}
