/* frontend.h: ONNX files to graph IR. Only this folder knows protobuf-c. */
#ifndef EFFNETC_FRONTEND_H
#define EFFNETC_FRONTEND_H

#include "ir/graph.h"

/* ---- import.c -------------------------------------------------------------------------------- */

typedef struct DimOverride {
    const char *name; /* of a symbolic dimension; INPUT.AXIS where the model gives none */
    int64_t value;    /* at least 1 */
} DimOverride;

typedef struct ImportOptions {
    const DimOverride *dims;
    int ndims;
} ImportOptions;

/* Imports the model at `path`; options may be NULL. NULL with errors in d: bad files (2),
 * unsupported operators (3, all of them at once), dimensions that an option must give or that no
 * option fits (1), unreadable files (74). The graph keeps its files mapped while it lives. */
Graph *onnx_import(const char *path, const ImportOptions *options, Diag *d);

/* The operator table, for `effnetc ops`. */
typedef struct OnnxOp {
    const char *name;
    const char *domain; /* "" is ai.onnx */
    int since, until;   /* opset versions; until == 0: to the newest known */
} OnnxOp;

size_t onnx_op_count(void);
const OnnxOp *onnx_op_at(size_t i);

#endif
