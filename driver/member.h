/* member.h: networks of the family as commands ask for them. */
#ifndef EFFNETC_DRIVER_MEMBER_H
#define EFFNETC_DRIVER_MEMBER_H

#include "driver/driver.h"
#include "frontend/frontend.h"
#include "passes/family.h"

/* ---- member.c -------------------------------------------------------------------------------- */

typedef struct MemberSpec {
    const char *name; /* of the graph */
    const Family *family;
    Scaling by;
    int64_t classes, batch;
    int seed;
    bool same_padding;
} MemberSpec;

typedef struct MemberSize {
    int64_t parameters, macs;
} MemberSize;

/* By its id; NULL with an error. */
const Member *find_member(const char *name, Diag *d);
/* Whether an option's number is in a range; false with an error. */
bool check_between(const char *option, double x, double low, double high, Diag *d);
enum { MEMBER_MAX_PARAMETERS = 1000000000 }; /* of what is built with weights */

enum { MEMBER_MIN_SIDE = 32, MEMBER_MAX_SIDE = 4096, MEMBER_MAX_FACTOR = 16 };

/* Whether all of its tensors are small enough to be built. */
bool member_fits(const MemberSpec *s);
/* Whether it can be built; false with errors. */
bool member_valid(const MemberSpec *s, Diag *d);
/* The caller's. The spec must be valid. */
Graph *member_graph(const MemberSpec *s, NetWeights weights);
MemberSize member_size(const MemberSpec *s);
/* Writes the ONNX file. False with errors. */
bool member_write(const MemberSpec *s, NetWeights weights, const char *path,
                  const OnnxWriteOptions *o, Diag *d);

#endif
