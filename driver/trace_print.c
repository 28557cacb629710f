/* trace_print.c: a trace in the trace-event format:
 * https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
 *
 * Everything is a complete event ("X") on a thread's track; those on one track nest: runs hold
 * blocks of the network, blocks hold steps, and steps hold the parts that the thread itself does.
 */
#include "driver/trace.h"

#include <stdlib.h>
#include <string.h>

typedef struct Printer {
    const Structure *st;
    json_t *events;
    const Node **nodes; /* by step */
    Arena arena;
} Printer;

/* ---- events ---------------------------------------------------------------------------------- */

/* Microseconds, of which a trace has three decimals. */
static json_t *json_us(int64_t ns) {
    return json_real((double)ns / 1000);
}

static json_t *event(Printer *p, const char *name, const char *category, int thread, int64_t start,
                     int64_t end) {
    json_t *e = json_pack("{s:o, s:s, s:s, s:i, s:i, s:o, s:o}", "name", json_text(name), "cat",
                          category, "ph", "X", "pid", 1, "tid", thread, "ts", json_us(start), "dur",
                          json_us(end - start));
    ensure(e);
    json_array_append_new(p->events, e);
    return e;
}

static void name_track(Printer *p, const char *what, int thread, const char *name) {
    json_array_append_new(p->events,
                          json_pack("{s:s, s:s, s:i, s:i, s:{s:o}}", "name", what, "ph", "M", "pid",
                                    1, "tid", thread, "args", "name", json_text(name)));
}

static const char *step_name(Printer *p, int64_t step) {
    const Node *n = p->nodes[step];
    return *n->origin ? short_origin(n->origin, &p->arena) : op_info(n->op)->name;
}

static void put_step(Printer *p, const Span *s) {
    const Node *n = p->nodes[s->number];
    const char *op = op_info(n->op)->name;
    Type t = type_plain(node_out(n)->type.dtype, node_out(n)->type.shape);
    int64_t macs = node_macs(n), ns = s->end - s->start;
    json_t *e = event(p, step_name(p, s->number), op, s->thread, s->start, s->end);
    json_object_set_new(e, "args",
                        json_pack("{s:s, s:I, s:s, s:o, s:I, s:I, s:f}", "op", op, "step",
                                  (json_int_t)s->number, "result", type_str(&p->arena, &t), "from",
                                  json_text(n->origin), "macs", (json_int_t)macs, "bytes",
                                  (json_int_t)node_bytes(n), "gmacs_per_second",
                                  ns > 0 ? (double)macs / (double)ns : 0.0));
}

static void put_part(Printer *p, const Span *s, int64_t step) {
    json_t *e = event(p, step_name(p, step), "part", s->thread, s->start, s->end);
    json_object_set_new(
        e, "args",
        json_pack("{s:I, s:I}", "step", (json_int_t)step, "part", (json_int_t)s->number));
}

static int block_of(const Printer *p, const Span *step) {
    return p->st->net.member ? node_block(p->st, p->nodes[step->number]) : -1;
}

/* Runs of steps of the same block, of those in order of time. */
static void put_blocks(Printer *p, const Span *const *steps, size_t n) {
    for (size_t i = 0, end; i < n; i = end) {
        int block = block_of(p, steps[i]);
        for (end = i + 1; end < n && steps[end]->start == steps[end - 1]->end;)
            if (block_of(p, steps[end]) != block)
                break;
            else
                end++;
        if (block < 0)
            continue;
        const NetBlock *b = &p->st->net.blocks.data[block];
        event(p, block_name(b, &p->arena), "block", 0, steps[i]->start, steps[end - 1]->end);
    }
}

/* ---- the file -------------------------------------------------------------------------------- */

static void put_threads(Printer *p, const Span *spans, size_t n) {
    int last = 0;
    for (size_t i = 0; i < n; i++)
        last = spans[i].thread > last ? spans[i].thread : last;
    name_track(p, "process_name", 0, base_name(p->st->m->path));
    name_track(p, "thread_name", 0, "caller");
    for (int i = 1; i <= last; i++)
        name_track(p, "thread_name", i, arena_printf(&p->arena, "worker %d", i));
}

/* Parts were kept before the step that they are of. What holds others comes before them. */
static void put_spans(Printer *p, const Span *spans, size_t n) {
    const Span **steps = ARENA_ARRAY(&p->arena, n + 1, const Span *);
    size_t nsteps = 0, next = 0;
    for (size_t i = 0; i < n; i++) {
        if (spans[i].kind == SPAN_RUN)
            event(p, arena_printf(&p->arena, "run %lld", (long long)spans[i].number + 1), "run", 0,
                  spans[i].start, spans[i].end);
        else if (spans[i].kind == SPAN_STEP)
            steps[nsteps++] = &spans[i];
    }
    put_blocks(p, steps, nsteps);
    for (size_t i = 0; i < nsteps; i++)
        put_step(p, steps[i]);
    for (size_t i = 0; i < n; i++) {
        next += spans[i].kind == SPAN_STEP;
        if (spans[i].kind == SPAN_PART && next < nsteps)
            put_part(p, &spans[i], steps[next]->number);
    }
}

typedef struct Placed {
    json_t *event;
    double start, length;
    size_t place;
} Placed;

static int by_time(const void *a, const void *b) {
    const Placed *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    if (x->length != y->length)
        return x->length > y->length ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

/* In order of time; names of tracks, which have none, first. */
static json_t *sorted(Printer *p) {
    size_t n = json_array_size(p->events);
    Placed *list = ARENA_ARRAY(&p->arena, n + 1, Placed);
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *e = json_array_get(p->events, i);
        list[i] = (Placed){e, json_number_value(json_object_get(e, "ts")),
                           json_number_value(json_object_get(e, "dur")), i};
    }
    qsort(list, n, sizeof *list, by_time);
    for (size_t i = 0; i < n; i++)
        json_array_append(out, list[i].event);
    return out;
}

static bool write_file(effnetc_model *m, json_t *root, const char *path) {
    char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(15));
    Outputs out = {0};
    ensure(text);
    outputs_add(&out, path, text, strlen(text));
    bool ok = outputs_commit(&out, m->diag);
    outputs_free(&out);
    free(text);
    return ok;
}

bool trace_write(const Trace *t, const Structure *st, const char *path) {
    effnetc_model *m = st->m;
    Printer p = {.st = st, .events = json_array()};
    const Span *spans;
    size_t dropped, n = trace_spans(t, &spans, &dropped), steps = 0;
    p.nodes = ARENA_ARRAY(&p.arena, m->program.module->steps.len + 1, const Node *);
    FOR_EACH_NODE(m->program.graph, node) {
        p.nodes[steps++] = node;
    }
    put_threads(&p, spans, n);
    put_spans(&p, spans, n);
    if (dropped)
        diag_warning(m->diag, path, "%zu spans are missing: the trace has room for %d", dropped,
                     TRACE_MAX_SPANS);
    json_t *root = json_pack("{s:o, s:s, s:{s:s, s:o, s:s}}", "traceEvents", sorted(&p),
                             "displayTimeUnit", "ns", "otherData", "effnetc", effnetc_version(),
                             "model", json_text(base_name(m->path)), "target", m->target->name);
    bool ok = write_file(m, root, path);
    json_decref(root);
    json_decref(p.events);
    arena_free(&p.arena);
    return ok;
}
