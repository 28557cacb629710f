/* family.h: which member of the EfficientNet family a graph is, from its structure. */
#ifndef EFFNETC_PASSES_FAMILY_H
#define EFFNETC_PASSES_FAMILY_H

#include "ir/graph.h"

typedef enum BlockKind {
    BLOCK_STEM,   /* the convolution that reads the input */
    BLOCK_MBCONV, /* expand, depthwise, se, project (Sandler et al. 2018) */
    BLOCK_FUSED,  /* expand by a k x k convolution, project (Gupta & Tan 2019) */
    BLOCK_HEAD,   /* 1x1 before the pool, the pool */
    BLOCK_FC,
    BLOCK_OTHER /* what is none of these, between them */
} BlockKind;

typedef struct NetBlock {
    BlockKind kind;
    int64_t kernel, stride, dilation;
    int64_t in, middle, out; /* channels; middle: after the expansion */
    int64_t squeezed;        /* channels of the squeeze; 0: no se */
    bool residual;
    const Value *x, *y;
    const Node *first; /* names it */
    int nodes;         /* of the canonical graph */
    int64_t parameters, macs;
} NetBlock;

typedef struct Member {
    const char *family, *name; /* "EfficientNet-Lite", "EfficientNet-Lite0" */
    double width, depth;
    int64_t resolution; /* that it was published for */
} Member;

typedef struct Network {
    VEC(NetBlock) blocks; /* in order of execution */
    const Member *member; /* NULL: none that the table knows */
    const char *decoder; /* behind a member: "U-Net", "FPN", "DeepLab", "BiFPN"; NULL: none known */
    int64_t height, width;
} Network;

/* Reads the structure of a graph after the passes before fuse-residual. Overwrites the nodes'
 * marks. Everything lives in the arena and in the graph. */
void network_recognise(Graph *g, Arena *a, Network *out);
/* "MBConv6 k5 s2 se 0.25", "FusedMBConv4 k3 s1", "stem k3 s2". */
const char *block_name(const NetBlock *b, Arena *a);

/* ---- family_decoder.c ------------------------------------------------------------------------ */

/* The decoder of a recognised member, by the marks that network_recognise leaves. */
const char *network_decoder(const Graph *g, const Network *net);

#endif
