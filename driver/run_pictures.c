/* run_pictures.c: a model on many pictures: batch by batch through one program. */
#include "driver/pictures.h"

typedef struct Session {
    effnetc_model *m;
    const PictureRun *o;
    const rt_labels *labels;
    PictureInput in;
    Task task;
    Tensor **inputs, *batch; /* the batch is the one input that is read */
    PictureList list;
    Runner runner;
    rt_pool *pool; /* reads pictures; NULL: this thread does */
    Report *report;
    Diag *diag;
} Session;

enum { DEFAULT_TOP = 5 };

/* ---- one batch ---- */

/* Of one image of a batch; the whole where an output isn't divided by images. */
static Tensor *output_of(const Session *s, Tensor *t, size_t image, Arena *a) {
    int64_t images = s->batch->shape.dim[0];
    if (images == 1)
        return t;
    Shape shape = t->shape;
    shape.dim[0] = 1;
    size_t bytes = (size_t)(shape_elems(&shape) * dtype_bytes(t->dtype));
    return tensor_wrap(a, t->dtype, shape, (const char *)t->data + image * bytes);
}

static void write_files(Session *s, const Result *r, rt_image *im, Tensor *const *out, Arena *a) {
    Outputs files = {0};
    const char *dir = s->o->output_dir;
    bool drawn = s->task == TASK_BOXES || s->task == TASK_MASK;
    if (drawn)
        render_result(&files, dir, r, im, &s->in.p, s->labels, a);
    for (size_t i = 0; !drawn && i < s->m->outputs.len; i++) {
        size_t size;
        const void *data = npy_bytes(out[i], &size, a);
        outputs_add(&files, arena_printf(a, "%s/%s.%zu.npy", dir, r->picture->name, i), data, size);
    }
    outputs_commit(&files, s->diag);
    outputs_free(&files);
}

static void one_picture(Session *s, Loaded *l, Tensor *const *outputs, size_t image, Arena *a) {
    size_t n = s->m->outputs.len;
    Tensor **out = ARENA_ARRAY(a, n + 1, Tensor *);
    Result r = {.task = s->task, .picture = l->picture};
    for (size_t i = 0; i < n; i++)
        out[i] = output_of(s, outputs[i], image, a);
    result_read(&r, out, s->o->top ? s->o->top : DEFAULT_TOP, s->o->score, l, &s->in.p, a);
    report_add(s->report, &r);
    if (s->o->output_dir)
        write_files(s, &r, &l->image, out, a);
}

/* What code that takes any size sees; nothing, of the network's size, for what can't be read. */
static void show_batch(const Session *s, const Loaded *loaded, size_t n, Arena *a) {
    size_t images = (size_t)s->batch->shape.dim[0];
    const rt_image **shown = ARENA_ARRAY(a, images, const rt_image *);
    rt_image none = {
        .width = s->in.p.width, .height = s->in.p.height, .rgb = tensor_mutable(s->batch)};
    for (size_t i = 0; i < images; i++)
        shown[i] = i < n && loaded[i].code == RT_OK ? &loaded[i].image : &none;
    show_pictures(s->m, shown, images, a);
}

/* False where the run failed; wrong pictures are reported and passed over. */
static bool one_batch(Session *s, size_t at, size_t n) {
    Arena a = {0};
    Loaded *loaded = ARENA_ARRAY(&a, n, Loaded);
    Tensor **out = ARENA_ARRAY(&a, s->m->outputs.len + 1, Tensor *);
    size_t good = 0;
    pictures_load(loaded, s->list.data + at, n, &s->in, s->batch, s->pool);
    for (size_t i = 0; i < n; i++)
        good += loaded[i].code == RT_OK;
    show_batch(s, loaded, n, &a);
    bool ok = good == 0 || runner_run(&s->runner, s->inputs, out, &a);
    for (size_t i = 0; i < n; i++) {
        if (loaded[i].code != RT_OK) {
            file_error(s->diag, loaded[i].picture->path, loaded[i].code, &loaded[i].err);
            report_add_error(s->report, &loaded[i]);
        } else if (ok) {
            one_picture(s, &loaded[i], out, i, &a);
        }
        rt_image_free(&loaded[i].image);
    }
    s->m->shown = NULL;
    arena_free(&a);
    return ok;
}

static void all_batches(Session *s) {
    size_t images = (size_t)s->batch->shape.dim[0], total = s->list.len;
    Progress bar = progress_start(total);
    bool ok = true;
    for (size_t at = 0; ok && at < total; at += images) {
        size_t n = total - at < images ? total - at : images;
        progress_show(&bar, at, base_name(s->list.data[at].path));
        if (report_prints(s->report))
            progress_clear(&bar);
        ok = one_batch(s, at, n);
        fflush(stdout);
    }
    progress_clear(&bar);
}

/* ---- before the first ---- */

/* Outputs of several images must be divided by them. */
static bool check_batch(const Session *s, int64_t images) {
    if (images == 1)
        return true;
    for (size_t i = 0; i < s->m->outputs.len; i++) {
        const effnetc_tensor *t = &s->m->outputs.data[i];
        if (t->rank > 0 && t->dims[0] == images && t->count < 0)
            continue;
        diag_error(s->diag, EXIT_USAGE, s->m->path,
                   "the output \"%s\" of a batch can't be divided among pictures", t->name);
        diag_note(s->diag, "help", "run it with --batch=1");
        return false;
    }
    return true;
}

static bool check_input(Session *s, const effnetc_tensor **input) {
    const effnetc_model *m = s->m;
    int only = only_read(m);
    if (only < 0) {
        diag_error(s->diag, EXIT_USAGE, m->path, "pictures go to models with one input, not %zu",
                   m->inputs.len);
        diag_note(s->diag, "help", "give each its file: --input=NAME=FILE");
        return false;
    }
    *input = &m->inputs.data[only];
    if (s->o->batch && (*input)->dims[0] != s->o->batch) {
        diag_error(s->diag, EXIT_USAGE, m->path, "the model takes %lld pictures at a time, not %d",
                   (long long)(*input)->dims[0], s->o->batch);
        diag_note(s->diag, "help", "export it with a symbolic batch");
        return false;
    }
    return picture_input(s->m, *input, m->path, s->o->inputs, &s->in) &&
           check_batch(s, (*input)->dims[0]);
}

/* Zeros, and `input` is where the batch goes. */
static void make_inputs(Session *s, const effnetc_tensor *input) {
    effnetc_model *m = s->m;
    s->inputs = ARENA_ARRAY(&m->arena, m->inputs.len, Tensor *);
    for (size_t i = 0; i < m->inputs.len; i++)
        s->inputs[i] = tensor_for(&m->inputs.data[i], &m->arena);
    s->batch = s->inputs[input - m->inputs.data];
}

/* A table of nothing would leave the user to wonder. */
static void warn_of_silence(const Session *s) {
    if (s->task != TASK_OTHER || s->o->output_dir)
        return;
    diag_warning(s->diag, s->m->path, "what the model gives is no classes, boxes or mask");
    diag_note(s->diag, "outputs", "%zu, that aren't shown", s->m->outputs.len);
    diag_note(s->diag, "help", "--output-dir=DIR writes them, as .npy");
}

void run_pictures(effnetc_model *m, const char *model, const PictureRun *o,
                  const rt_labels *labels) {
    Session s = {.m = m, .o = o, .labels = labels, .diag = m->diag};
    bool ok = pictures_list(o->paths, &s.list, &m->arena, m->diag);
    ok &= load_for_batch(m, model, o->batch, o->inputs);
    const effnetc_tensor *input;
    if (!ok || !check_input(&s, &input) || !tensors_fit(m))
        return;
    s.task = model_task(m);
    make_inputs(&s, input);
    ok = m->options.threads == 1 || threads_new(&s.pool, m);
    if (ok && runner_open(&s.runner, m, o->backend)) {
        s.report = report_open(&m->arena, s.task, labels, o->csv, o->json);
        all_batches(&s);
        runner_close(&s.runner);
        report_close(s.report, m->diag);
        warn_of_silence(&s);
    }
    rt_pool_free(s.pool);
}
