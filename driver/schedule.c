/* schedule.c: the file of tiles that --schedule names, and what --tune does to it. */
#include "driver/driver.h"

#include <unistd.h>

static const Option tune_rows[] = {
    {"tune", 0, OPT_FLAG, offsetof(effnetc_options, tune), NULL,
     "measure the tiles of kernels on this machine first; --schedule keeps them", 0, 0},
    {"tune-seconds", 0, OPT_INT, offsetof(effnetc_options, tune_seconds), "N",
     "how long that may take (default: 60)", 1, 86400},
};
const OptionGroup tune_options = OPTION_GROUP(tune_rows);

static bool read_book(effnetc_model *m) {
    const char *path = m->options.schedule;
    Source s;
    if (!source_open(&s, path, m->diag))
        return false;
    m->book = schedule_book_parse((const char *)s.data, s.size, path, m->target, m->diag);
    source_close(&s);
    return m->book != NULL;
}

static bool write_book(effnetc_model *m) {
    Outputs out = {0};
    Buf text = {0};
    schedule_book_print(&text, m->book);
    outputs_add(&out, m->options.schedule, text.data, text.len);
    bool ok = outputs_commit(&out, m->diag);
    outputs_free(&out);
    buf_free(&text);
    return ok;
}

/* The problems of the kernels that the model is lowered to. What is wrong with the model is for the
 * compilation proper to say. */
static bool find_problems(effnetc_model *m, TileProblems *problems) {
    int n, first = pipeline_lower(m->options.opt_level);
    const char *const *names = pipeline(m->options.opt_level, &n);
    Diag unsaid = {0};
    PassContext cx = pass_context(m);
    RunnerOptions options = {.disabled = m->options.disabled.items,
                             .ndisabled = (int)m->options.disabled.count};
    cx.diag = &unsaid;
    if (!model_source(m))
        return false;
    m->program.graph = m->source;
    m->source = NULL;
    bool ok = run_passes(&m->program, names, first, &cx, &options);
    cx.problems = problems; /* passes before ask for what comes to nothing, too */
    ok = ok && run_passes(&m->program, names + first, n - first, &cx, &options);
    program_free(&m->program);
    diag_free(&unsaid);
    return ok;
}

static bool tune_model(effnetc_model *m) {
    TileProblems problems = {0};
    bool ok = true;
    if (find_problems(m, &problems))
        ok = tune(m, &problems, m->book) && (!m->options.schedule || write_book(m));
    tile_problems_free(&problems);
    return ok && m->diag->errors == 0;
}

bool model_schedules(effnetc_model *m) {
    const char *path = m->options.schedule;
    bool is_new = m->options.tune && (!path || access(path, F_OK) != 0);
    if (m->book)
        return true;
    if (is_new)
        m->book = schedule_book_new(m->target);
    else if (path && !read_book(m))
        return false;
    return !m->options.tune || tune_model(m);
}

void remark_unused_schedules(effnetc_model *m, const TileProblems *problems) {
    size_t n = m->book ? schedule_book_unused(m->book, problems) : 0;
    if (n)
        diag_remark(m->diag, m->options.schedule ? m->options.schedule : m->path,
                    "%zu schedule%s for kernels that this model does not have", n,
                    n == 1 ? " is" : "s are");
}
