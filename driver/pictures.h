/* pictures.h: effnetc run on pictures: what the files of that share. Sections follow the files. */
#ifndef EFFNETC_PICTURES_H
#define EFFNETC_PICTURES_H

#include "driver/driver.h"

/* ---- picture_list.c: which pictures, and their pixels ---------------------------------------- */

typedef struct Picture {
    const char *path;
    const char *name; /* of files about it: its path below the folder that was named, no suffix */
} Picture;

typedef VEC(Picture) PictureList;

/* The files of these paths, and those of folders that are pictures, by name. False with errors, of
 * all paths at once: one that isn't there, a folder without pictures. Whether a file is a picture
 * that can be read shows later. */
bool pictures_list(effnetc_strings paths, PictureList *out, Arena *a, Diag *d);

/* A picture on its way: its pixels, or why there are none. */
typedef struct Loaded {
    const Picture *picture;
    rt_image image;
    int code; /* RT_OK, or what err says */
    rt_error err;
} Loaded;

/* Reads n pictures and fills the images of an input's batch, on the pool's threads (NULL: on this
 * one); an image whose picture can't be had is zero. The pixels are the caller's. */
void pictures_load(Loaded *out, const Picture *pictures, size_t n, const PictureInput *in,
                   Tensor *batch, rt_pool *pool);

/* ---- results.c: what a model says about a picture -------------------------------------------- */

typedef enum Task {
    TASK_CLASSES, /* a value for each class */
    TASK_BOXES,   /* boxes with class and score */
    TASK_MASK,    /* a class for each pixel */
    TASK_OTHER
} Task;

/* Which results the outputs of m are. */
Task model_task(const effnetc_model *m);

typedef struct Found {
    int64_t class;
    double value;  /* the output; of boxes the score, of masks the share of the pixels */
    double share;  /* of classes: the probability */
    double box[4]; /* in the picture: left, top, right, bottom */
} Found;

typedef struct Result {
    const Picture *picture;
    Task task;
    const Found *found; /* the best first */
    size_t n;
    uint8_t *mask; /* of TASK_MASK: the class of each pixel of the input, or 255 */
    int64_t mask_width, mask_height;
} Result;

/* Of r->task: the best `top` classes of out[0], the boxes with a score of `least` at least, or the
 * mask. */
void result_read(Result *r, Tensor *const *out, int top, double least, const Loaded *of,
                 const rt_preprocess *p, Arena *a);
/* The best classes of a tensor: n of them, or as many as it has. */
size_t best_classes(const Tensor *t, size_t n, Found *out);

/* ---- report.c: results as text, CSV and JSON ------------------------------------------------- */

void print_classes(FILE *f, const Found *found, size_t n, const rt_labels *labels);

typedef struct Report Report;

/* Text goes to standard output unless JSON does, or CSV. */
Report *report_open(Arena *a, Task task, const rt_labels *labels, const char *csv, bool json);
void report_add(Report *r, const Result *result);
void report_add_error(Report *r, const Loaded *of);
/* Prints what is printed at the end, and writes the CSV file. False with errors. */
bool report_close(Report *r, Diag *d);
/* Whether it prints as it goes, so that a progress bar has to make way. */
bool report_prints(const Report *r);

/* ---- render.c: results as pictures ----------------------------------------------------------- */

/* Adds to files the picture with its boxes, or the mask alone and over the picture. `im` is drawn
 * on. */
void render_result(Outputs *files, const char *dir, const Result *r, rt_image *im,
                   const rt_preprocess *p, const rt_labels *labels, Arena *a);

/* ---- run_pictures.c -------------------------------------------------------------------------- */

typedef struct PictureRun {
    effnetc_strings paths;
    const InputOptions *inputs;
    effnetc_backend backend;
    const char *output_dir, *csv;
    bool json;
    int top, batch; /* 0: the defaults */
    double score;
} PictureRun;

/* Loads the model and runs it on all pictures. Errors of single pictures don't keep the others. */
void run_pictures(effnetc_model *m, const char *model, const PictureRun *o,
                  const rt_labels *labels);

#endif
