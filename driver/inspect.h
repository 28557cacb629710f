/* inspect.h: what the files of effnetc inspect share. Sections follow the files. */
#ifndef EFFNETC_DRIVER_INSPECT_H
#define EFFNETC_DRIVER_INSPECT_H

#include "driver/describe.h"

/* What a pass did to the model. */
typedef struct PassNote {
    PassResult result;
    VEC(const char *) remarks;
} PassNote;

/* All that is known of a compiled model. */
typedef struct Inspection {
    effnetc_model *m;
    Structure st;
    VEC(PassNote) passes;
    size_t seen; /* diagnostics that are not of a later pass */
    MemoryPlan plan;
    const Bench *bench; /* with the steps; NULL: not measured */
} Inspection;

/* ---- inspect_json.c -------------------------------------------------------------------------- */

enum { INSPECT_SCHEMA = 1 }; /* version of what docs/inspect.md describes */

json_t *json_inspection(Inspection *x); /* a new reference */

/* ---- inspect_html.c -------------------------------------------------------------------------- */

/* Writes the page to a file; "-" is standard output. False with an error. */
bool write_html(Inspection *x, const char *path);

#endif
