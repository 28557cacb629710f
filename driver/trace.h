/* trace.h: what ran when, and on which thread: effnetc bench --trace. Sections follow the files. */
#ifndef EFFNETC_DRIVER_TRACE_H
#define EFFNETC_DRIVER_TRACE_H

#include "driver/describe.h"

/* ---- trace.c: recording ---------------------------------------------------------------------- */

typedef enum SpanKind { SPAN_RUN, SPAN_STEP, SPAN_PART } SpanKind;

typedef struct Span {
    SpanKind kind;
    int thread;         /* 0: the one that runs */
    int64_t number;     /* of the run, the step of the module, or the part of the step */
    int64_t start, end; /* nanoseconds since the first run began */
} Span;

/* Spans of parts past TRACE_MAX_SPANS are not kept. */
enum { TRACE_RUNS = 5, TRACE_MAX_SPANS = 1 << 18 };

typedef struct Trace Trace;

Trace *trace_new(Arena *a);
/* Runs the program once more, and keeps what happens. Its steps are watched: whoever does hands
 * them on to trace_step. False with errors. */
bool trace_run(Trace *t, NativeProgram *p, effnetc_model *m, const void *const *in,
               void *const *out);
/* Step `step` of the run has ended: a StepDone. */
void trace_step(void *trace, int step);
/* Whether a run is being traced. */
bool trace_is_on(const Trace *t);
size_t trace_spans(const Trace *t, const Span **spans, size_t *dropped);

/* ---- trace_print.c: the trace-event format --------------------------------------------------- */

/* Writes a file that Perfetto and chrome://tracing open; "-" is standard output. False with
 * errors. */
bool trace_write(const Trace *t, const Structure *st, const char *path);

#endif
