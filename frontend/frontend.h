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

/* A graph input as the model declares it. */
typedef struct OnnxInput {
    const char *name;
    int rank;                    /* -1: not known, or beyond what is supported */
    int64_t dim[MAX_RANK];       /* -1: open */
    const char *param[MAX_RANK]; /* of an open one: its name for DimOverride; else NULL */
} OnnxInput;

typedef struct OnnxInputs {
    OnnxInput *data;
    size_t len;
} OnnxInputs;

/* What the model at `path` wants to be given, in the order of the imported graph's inputs, before
 * its open dimensions have sizes. All of it is in `a`. False with the errors that onnx_import would
 * give. */
bool onnx_inputs(const char *path, Arena *a, OnnxInputs *out, Diag *d);

/* As onnx_import for a model in memory, which must outlive the graph: constants are views into it.
 * `name` stands for its path in messages, and gives the graph its name. External data are looked
 * for in `folder`; where that is NULL a model that has some is refused. */
Graph *onnx_import_bytes(const void *data, size_t size, const char *name, const char *folder,
                         const ImportOptions *options, Diag *d);

/* ---- onnx_write.c ---------------------------------------------------------------------------- */

typedef struct OnnxWriteOptions {
    const char *batch; /* name of the first dimension of inputs and outputs; NULL: it is fixed */
    bool external;     /* put large tensors into PATH.data; without it too where they pass 2 GB */
} OnnxWriteOptions;

/* Adds the ONNX file of a graph of plain layouts to `out`; equal graphs give equal bytes. False
 * with errors in d, one for each node that has no ONNX operator (3), and nothing added. */
bool onnx_write(const Graph *g, const char *path, const OnnxWriteOptions *o, Outputs *out, Diag *d);

/* ---- onnx_table.c ---------------------------------------------------------------------------- */

/* The operator table, for `effnetc ops`. */
typedef struct OnnxOp {
    const char *name;
    const char *domain; /* "" is ai.onnx */
    int since, until;   /* opset versions; until == 0: to the newest known */
} OnnxOp;

size_t onnx_op_count(void);
const OnnxOp *onnx_op_at(size_t i);

#endif
