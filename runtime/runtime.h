/* runtime.h: what a program may link beside generated code: arrays from .npy files, pictures,
 * Pillow's resize, preprocessing, drawing, labels, threads. It stands alone: it includes nothing of
 * the compiler. Sections follow the files.
 *
 * Every function that can fail returns RT_OK (0) or a negative code, and puts a sentence into *err
 * (which may be NULL). After a failure the result is empty and need not be freed. */
#ifndef EFFNETC_RUNTIME_H
#define EFFNETC_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- error.c --------------------------------------------------------------------------------- */

enum {
    RT_OK = 0,
    RT_ERROR_IO = -1,          /* the system refused: no such file, no memory */
    RT_ERROR_FORMAT = -2,      /* the file is broken */
    RT_ERROR_UNSUPPORTED = -3, /* the file is fine, but of a kind that is not read here */
    RT_ERROR_ARGUMENT = -4     /* the caller asked for something impossible */
};

typedef struct rt_error {
    char text[240];
} rt_error;

/* Formats the sentence and returns `code`, so that `return rt_fail(err, ...)` reads well. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
int rt_fail(rt_error *err, int code, const char *fmt, ...);

/* Reads a whole file into *data (free() it), at most RT_MAX_FILE bytes. */
int rt_read_file(uint8_t **data, size_t *size, const char *path, rt_error *err);
#define RT_MAX_FILE ((size_t)1 << 33)
/* The same, of at most so many bytes. */
int rt_read_small(uint8_t **data, size_t *size, const char *path, size_t limit, rt_error *err);

/* ---- npy.c: NumPy's array files -------------------------------------------------------------- */

enum { RT_MAX_RANK = 8 };

/* A row-major, little-endian array. kind and itemsize are NumPy's: f2 f4 f8, i1 i2 i4 i8,
 * u1 u2 u4 u8, b1. */
typedef struct rt_array {
    char kind;
    int itemsize;
    int rank;
    int64_t dim[RT_MAX_RANK];
    void *data; /* owned: rt_array_free */
    size_t bytes;
} rt_array;

/* Formats 1.0, 2.0 and 3.0. Fortran order, big endian and other kinds are refused. */
int rt_npy_read(rt_array *out, const char *path, rt_error *err);
int rt_npy_decode(rt_array *out, const void *data, size_t size, rt_error *err);
/* The header alone: type, shape and bytes; `data` stays NULL. */
int rt_npy_header(rt_array *out, const void *data, size_t size, rt_error *err);
/* Makes a whole file of format 1.0 in *data (free() it). */
int rt_npy_encode(uint8_t **data, size_t *size, const rt_array *a, rt_error *err);
int rt_npy_write(const char *path, const rt_array *a, rt_error *err);
void rt_array_free(rt_array *a);

/* ---- image.c, png.c, jpeg.c, ppm.c, exif.c: pictures ----------------------------------------- */

enum { RT_MAX_SIDE = 32767, RT_MAX_PIXELS = 1 << 26 };
#define RT_MAX_PICTURE ((size_t)1 << 29) /* bytes of a file: 64 bits a pixel */

/* 8-bit RGB, rows from the top, no padding: height * width * 3 bytes. */
typedef struct rt_image {
    int width, height;
    uint8_t *rgb;    /* owned: rt_image_free */
    int orientation; /* EXIF's, 2 to 8: it must be turned yet; 0 and 1: it is upright */
} rt_image;

/* PNG, JPEG, binary PPM and PGM, told apart by their first bytes. Grey becomes RGB, and CMYK as
 * Pillow's convert has it; alpha is dropped, 16 bits a sample become 8; colour profiles are
 * ignored. Pixels are as stored, which is sideways in many a phone's photograph: rt_image_turn puts
 * it upright. */
int rt_image_read(rt_image *out, const char *path, rt_error *err);
int rt_image_decode(rt_image *out, const void *data, size_t size, rt_error *err);
/* Turns and mirrors the picture as its orientation says. */
int rt_image_turn(rt_image *im, rt_error *err);
/* The orientation, 1 to 8, in EXIF data: a TIFF file's first bytes. 1 where none can be found. */
int rt_exif_orientation(const uint8_t *data, size_t size);
/* Whether these first bytes are those of a picture that rt_image_decode knows. */
bool rt_image_is_known(const void *data, size_t size);
/* Allocates the pixels, after checking the limits. */
int rt_image_alloc(rt_image *out, int64_t width, int64_t height, rt_error *err);
void rt_image_free(rt_image *im);

/* Makes a PNG file in *data (free() it). */
int rt_png_encode(uint8_t **data, size_t *size, const rt_image *im, rt_error *err);

int rt_png_decode(rt_image *out, const uint8_t *data, size_t size, rt_error *err);
int rt_jpeg_decode(rt_image *out, const uint8_t *data, size_t size, rt_error *err);
int rt_ppm_decode(rt_image *out, const uint8_t *data, size_t size, rt_error *err);

/* ---- resize.c, fit.h ------------------------------------------------------------------------- */

typedef enum rt_filter { RT_BILINEAR, RT_BICUBIC, RT_BOX, RT_HAMMING, RT_LANCZOS } rt_filter;

/* Which axis is filtered first, into 8-bit pixels. Versions of Pillow differ: from 13 on
 * columns are first where the height shrinks by more than twice as many pixels as the width;
 * before, and when most models were trained, rows always were. */
typedef enum rt_order { RT_PILLOW_13, RT_ROWS_FIRST } rt_order;

/* Resizes as Pillow's Image.resize does, to the bit: the filter is widened when shrinking. */
int rt_resize(rt_image *out, const rt_image *in, int width, int height, rt_filter filter,
              rt_order order, rt_error *err);

/* How a picture becomes a tensor: cut and scaled to height x width, then (x - mean) / std of
 * channel values 0..255. A zeroed struct but for the size stretches the whole picture and keeps
 * 0..255; a std of 0 counts as 1. */
typedef struct rt_preprocess {
    int width, height; /* of the tensor */
    double crop;       /* 0, or: first cut out a centred square, this part of the shorter side */
    int resize;        /* 0, or: first scale the shorter side to this, then cut out the centre, as
                          torchvision does: what is missing becomes black */
    bool letterbox; /* or: scale it to fit in, at the top left; the rest is filled with the mean */
    rt_filter filter;
    rt_order order;
    float mean[3], std[3]; /* in the order of the tensor's channels */
    bool nhwc;             /* [height][width][3] instead of [3][height][width] */
    bool bgr;
} rt_preprocess;

/* The geometry alone: crop, resize, letterbox. */
int rt_fit(rt_image *out, const rt_image *in, const rt_preprocess *p, rt_error *err);
/* Where the tensor's pixels come from: (x, y) from (left + x * x_scale, top + y * y_scale). */
typedef struct rt_map {
    double left, top, x_scale, y_scale;
} rt_map;
rt_map rt_fit_map(const rt_image *in, const rt_preprocess *p);
/* What is filled with the mean gets this colour, red first; what is missing elsewhere is black. */
void rt_fit_ground(const rt_preprocess *p, uint8_t ground[3]);
/* The scratch memory that any picture of at most `side` pixels a side needs. */
size_t rt_fit_bytes(const rt_preprocess *p, int side);

/* ---- preprocess.c ---------------------------------------------------------------------------- */

/* The values alone: out has 3 * in->height * in->width floats. */
void rt_normalise(float *out, const rt_image *in, const rt_preprocess *p);
/* Both: out has 3 * p->height * p->width floats. */
int rt_preprocess_image(float *out, const rt_image *in, const rt_preprocess *p, rt_error *err);

/* ---- draw.c: frames, names and masks in pictures --------------------------------------------- */

typedef struct rt_rgb {
    uint8_t v[3]; /* red, green, blue */
} rt_rgb;

/* A part of a picture: x1 and y1 are behind its last column and row. */
typedef struct rt_area {
    int x0, y0, x1, y1;
} rt_area;

/* A colour for each class: those of small numbers differ much. */
rt_rgb rt_colour(size_t class);
/* What lies outside of the picture isn't drawn. */
void rt_fill(rt_image *im, rt_area a, rt_rgb c);
/* The outermost `width` pixels of an area. */
void rt_frame(rt_image *im, rt_area a, int width, rt_rgb c);
/* A line of ASCII, `scale` times 5 x 7 pixels a letter, black or white on `ground`. */
void rt_text(rt_image *im, int x, int y, const char *text, int scale, rt_rgb ground);
rt_area rt_text_area(int x, int y, const char *text, int scale); /* that it covers */
/* Mixes each pixel whose mask isn't 0 with the colour of that number, half and half. */
void rt_tint(rt_image *im, const uint8_t *mask, const rt_rgb *palette);
/* The mask as a PNG file with a palette in *data (free() it): 256 colours. */
int rt_png_encode_mask(uint8_t **data, size_t *size, const uint8_t *mask, int width, int height,
                       const rt_rgb *palette, rt_error *err);

/* ---- labels.c -------------------------------------------------------------------------------- */

typedef struct rt_labels {
    char **name; /* name[class]; NULL where a class has none */
    size_t count;
} rt_labels;

/* A JSON array of strings, a JSON object {"0": "name", ...} or {"0": ["id", "name"], ...}, or a
 * text file with one label a line. */
int rt_labels_read(rt_labels *out, const char *path, rt_error *err);
int rt_labels_decode(rt_labels *out, const void *data, size_t size, rt_error *err);
/* The label of a class, or "". */
const char *rt_label(const rt_labels *l, size_t index);
void rt_labels_free(rt_labels *l);

/* ---- memory.c: memory for weights and arenas ------------------------------------------------- */

/* `size` bytes, aligned to 64 at least, their contents undefined: in huge pages where they are
 * large and the system gives some, which makes a run some percent shorter. NULL: there is no
 * memory. */
void *rt_memory_new(size_t size);
void rt_memory_free(void *p); /* NULL is fine */

/* ---- cpus.c: how many threads make sense ----------------------------------------------------- */

enum { RT_MAX_THREADS = 1024 };

/* The CPUs of the process's affinity mask, but no more than the CPU quota of its control groups
 * allows, rounded up. At least 1. */
int rt_cpus(void);
/* That quota: of the groups that the file `groups` (/proc/self/cgroup) names and those around them,
 * in the folder `root` (/sys/fs/cgroup). 0: there is none. */
int rt_quota_cpus(const char *groups, const char *root);

/* ---- pool.c: threads for NAME_run_parallel ------------------------------------------------------
 *
 *     rt_pool *threads;
 *     rt_pool_new(&threads, 0, NULL);
 *     b0_pool pool = {threads, rt_pool_for};
 *     b0_run_parallel(weights, input, logits, arena, &pool);
 *
 * Needs pool.c, cpus.c, error.c and -pthread. Idle threads look for work for some 30 microseconds,
 * then sleep; they sleep at once where there are more of them than CPUs. */

typedef struct rt_pool rt_pool;
typedef void rt_body(void *arg, size_t i);

/* A pool of so many threads, of which the caller of rt_pool_for is one; 0: of rt_cpus(). */
int rt_pool_new(rt_pool **out, int threads, rt_error *err);
void rt_pool_free(rt_pool *p); /* NULL is fine; while no thread is in rt_pool_for */
int rt_pool_threads(const rt_pool *p);
/* Calls body(arg, i) once for each i in 0..n-1, in any order and on any of the pool's threads, and
 * returns when all calls have. From several threads at once, or from within a body, it works too:
 * one call has the pool, the others run in their own threads alone. */
void rt_pool_for(void *pool, size_t n, rt_body *body, void *arg);

#ifdef __cplusplus
}
#endif

#endif
