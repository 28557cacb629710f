/* describe.h: how commands print parts of a model, as text and as JSON. */
#ifndef EFFNETC_DRIVER_DESCRIBE_H
#define EFFNETC_DRIVER_DESCRIBE_H

#include "driver/driver.h"
#include "passes/family.h"

#include <jansson.h>

/* "features.0/Conv (+2)": the first of the ONNX nodes that were fused, and how many more. */
const char *short_origin(const char *origin, Arena *a);
/* The same for a table on a terminal. */
const char *printed_origin(const char *origin, Arena *a);
/* New references. ONNX names may be any bytes, JSON is UTF-8: others are escaped. */
json_t *json_text(const char *s);
json_t *json_dims(int rank, const int64_t *dims);
json_t *json_number(double x);          /* JSON has no infinities and NaN: null */
int64_t node_parameters(const Node *n); /* elements of a node's constant operands */
/* Bytes of a node's weights, inputs and outputs as they lie in memory; each counts once. */
int64_t node_bytes(const Node *n);
/* How many kernels a step calls. */
int step_kernels(const Kernel *step);

/* ---- inspect_blocks.c ------------------------------------------------------------------------ */

/* The structure of a model's network, read from its canonical graph. */
typedef struct Structure {
    effnetc_model *m;
    Graph *graph;
    Network net;
    Map block_of; /* name of an ONNX node -> NetBlock */
} Structure;

/* False with errors; close it in any case. */
bool structure_open(Structure *s, effnetc_model *m);
void structure_close(Structure *s);
/* The number of the block that a node of the compiled graph is of, by its origin; -1: of none. */
int node_block(const Structure *s, const Node *n);
void print_member(const Structure *s);    /* the line "network" */
void print_blocks(const Structure *s);    /* nothing where the network is not known */
json_t *json_network(const Structure *s); /* a new reference; null where it is not known */

/* ---- inspect_dot.c --------------------------------------------------------------------------- */

/* The compiled graph of m in Graphviz's language. Overwrites the nodes' marks. */
void print_dot(effnetc_model *m, const Structure *st);

#endif
