/* describe.h: how commands print parts of a model, as text and as JSON. */
#ifndef EFFNETC_DRIVER_DESCRIBE_H
#define EFFNETC_DRIVER_DESCRIBE_H

#include "ir/graph.h"

#include <jansson.h>

/* "features.0/Conv (+2)": the first of the ONNX nodes that were fused, and how many more. */
const char *short_origin(const char *origin, Arena *a);
/* New references. ONNX names may be any bytes, JSON is UTF-8: others are escaped. */
json_t *json_text(const char *s);
json_t *json_dims(int rank, const int64_t *dims);

#endif
