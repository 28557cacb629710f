/* report.c: what was found in pictures: text, a CSV file, JSON. */
#include "driver/describe.h"
#include "driver/pictures.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct Report {
    Task task;
    const rt_labels *labels;
    const char *csv_path;
    Buf csv;
    json_t *json; /* NULL: not asked for */
    bool text;
    size_t pictures;
};

static const char *label(const rt_labels *labels, int64_t class) {
    return class < 0 ? "" : rt_label(labels, (size_t) class);
}

/* ---- text ---- */

/* The end of a line. */
static void print_label(FILE *f, const rt_labels *labels, int64_t class) {
    Arena a = {0};
    fprintf(f, "  %s\n", printable(&a, label(labels, class)));
    arena_free(&a);
}

void print_classes(FILE *f, const Found *found, size_t n, const rt_labels *labels) {
    fprintf(f, "%5s %10s %7s  %s\n", "class", "value", "softmax", labels->count ? "label" : "");
    for (size_t i = 0; i < n; i++) {
        fprintf(f, "%5lld %10.4f %6.2f%%", (long long)found[i].class, found[i].value,
                100 * found[i].share);
        print_label(f, labels, found[i].class);
    }
}

static void print_boxes(FILE *f, const Result *r, const rt_labels *labels) {
    fprintf(f, "%5s %7s %7s %7s %7s %7s  %s\n", "class", "score", "left", "top", "right", "bottom",
            labels->count ? "label" : "");
    for (size_t i = 0; i < r->n; i++) {
        const Found *b = &r->found[i];
        fprintf(f, "%5lld %7.4f %7.1f %7.1f %7.1f %7.1f", (long long)b->class, b->value, b->box[0],
                b->box[1], b->box[2], b->box[3]);
        print_label(f, labels, b->class);
    }
}

static void print_mask(FILE *f, const Result *r, const rt_labels *labels) {
    fprintf(f, "%5s %7s  %s\n", "class", "pixels", labels->count ? "label" : "");
    for (size_t i = 0; i < r->n; i++) {
        fprintf(f, "%5lld %6.2f%%", (long long)r->found[i].class, 100 * r->found[i].value);
        print_label(f, labels, r->found[i].class);
    }
}

static void print_text(Report *r, const Result *result) {
    Arena a = {0};
    printf("%s%s\n", r->pictures ? "\n" : "", printable(&a, result->picture->path));
    arena_free(&a);
    if (result->task == TASK_CLASSES)
        print_classes(stdout, result->found, result->n, r->labels);
    else if (result->task == TASK_BOXES)
        print_boxes(stdout, result, r->labels);
    else if (result->task == TASK_MASK)
        print_mask(stdout, result, r->labels);
}

/* ---- CSV (RFC 4180) ---- */

static void csv_text(Buf *b, const char *s) {
    buf_putc(b, '"');
    for (; *s; s++) {
        if (*s == '"')
            buf_putc(b, '"');
        buf_putc(b, *s);
    }
    buf_putc(b, '"');
}

static const char *csv_head(Task t) {
    return t == TASK_CLASSES ? "picture,rank,class,value,probability,label\n"
           : t == TASK_BOXES ? "picture,rank,class,score,left,top,right,bottom,label\n"
                             : "picture,rank,class,share,label\n";
}

static void add_csv(Report *r, const Result *result) {
    Buf *b = &r->csv;
    for (size_t i = 0; i < result->n; i++) {
        const Found *f = &result->found[i];
        csv_text(b, result->picture->path);
        buf_printf(b, ",%zu,%lld,%.9g", i + 1, (long long)f->class, f->value);
        if (result->task == TASK_CLASSES)
            buf_printf(b, ",%.9g", f->share);
        for (int k = 0; result->task == TASK_BOXES && k < 4; k++)
            buf_printf(b, ",%.9g", f->box[k]);
        buf_putc(b, ',');
        csv_text(b, label(r->labels, f->class));
        buf_putc(b, '\n');
    }
}

/* ---- JSON ---- */

static void set(json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, value))
        die("no JSON for \"%s\"", key);
}

static json_t *found_json(const Report *r, Task task, const Found *f) {
    json_t *o = json_object();
    set(o, "class", json_integer(f->class));
    if (*label(r->labels, f->class))
        set(o, "label", json_text(label(r->labels, f->class)));
    set(o,
        task == TASK_CLASSES ? "value"
        : task == TASK_BOXES ? "score"
                             : "share",
        json_number(f->value));
    if (task == TASK_CLASSES)
        set(o, "probability", json_number(f->share));
    if (task == TASK_BOXES)
        set(o, "box",
            json_pack("[oooo]", json_number(f->box[0]), json_number(f->box[1]),
                      json_number(f->box[2]), json_number(f->box[3])));
    return o;
}

static void append(json_t *list, json_t *item) {
    if (json_array_append_new(list, item))
        die("no JSON for a list");
}

static void add_json(Report *r, const Result *result) {
    static const char *const keys[] = {
        [TASK_CLASSES] = "classes", [TASK_BOXES] = "boxes", [TASK_MASK] = "mask"};
    json_t *o = json_object(), *list = json_array();
    for (size_t i = 0; i < result->n; i++)
        append(list, found_json(r, result->task, &result->found[i]));
    set(o, "picture", json_text(result->picture->path));
    if (result->task != TASK_OTHER)
        set(o, keys[result->task], list);
    else
        json_decref(list);
    append(r->json, o);
}

/* ---- all ---- */

Report *report_open(Arena *a, Task task, const rt_labels *labels, const char *csv, bool json) {
    Report *r = ARENA_NEW(a, Report);
    *r = (Report){.task = task, .labels = labels, .csv_path = csv};
    r->json = json ? json_array() : NULL;
    r->text = !json && !(csv && !strcmp(csv, "-"));
    if (csv)
        buf_puts(&r->csv, csv_head(task));
    return r;
}

bool report_prints(const Report *r) {
    return r->text;
}

void report_add(Report *r, const Result *result) {
    if (r->text)
        print_text(r, result);
    if (r->csv_path)
        add_csv(r, result);
    if (r->json)
        add_json(r, result);
    r->pictures++;
}

/* Only JSON has a place for it; the command says it at the end. */
void report_add_error(Report *r, const Loaded *of) {
    if (!r->json)
        return;
    json_t *o = json_object();
    set(o, "picture", json_text(of->picture->path));
    set(o, "error", json_text(of->err.text));
    append(r->json, o);
}

bool report_close(Report *r, Diag *d) {
    Outputs files = {0};
    if (r->json) {
        char *s =
            json_dumps(r->json, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
        if (!s)
            die("no JSON for the pictures");
        puts(s);
        free(s);
        json_decref(r->json);
    }
    if (r->csv_path)
        outputs_add(&files, r->csv_path, buf_str(&r->csv), r->csv.len);
    bool ok = outputs_commit(&files, d);
    outputs_free(&files);
    buf_free(&r->csv);
    return ok;
}
