/* family.h: the EfficientNet family: its definitions, graphs made from them, and which member a
 * graph is. */
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

/* ---- family_table.c: definitions, rows in family.def ----------------------------------------- */

/* What the networks of a family have in common; see family.def. */
typedef struct Family {
    const char *name; /* "EfficientNet-Lite" */
    Act act;
    double se;
    int64_t stem, head;
    bool fixed_ends;
    double round_limit, epsilon;
} Family;

/* By what a family's stages are multiplied, and the side of the input. */
typedef struct Scaling {
    double width, depth;
    int64_t resolution;
} Scaling;

typedef struct Member {
    const char *id; /* "lite0" */
    const Family *family;
    const char *name; /* "EfficientNet-Lite0" */
    Scaling scaling;  /* that it was published with */
    double dropout;   /* in training, before the last layer */
} Member;

size_t member_count(void);
const Member *member_at(size_t i);
/* By its id, in either case and with _ for -. NULL where unknown. */
const Member *member_find(const char *name);

typedef struct BlockPlan {
    BlockKind kind; /* BLOCK_MBCONV, BLOCK_FUSED */
    int64_t kernel, stride;
    int64_t in, middle, out; /* channels; of a FusedMBConv middle == in: one convolution */
    int64_t squeezed;        /* channels of the squeeze; 0: no se */
    int64_t repeats;         /* blocks of its stage */
    bool residual;
} BlockPlan;

/* A network by its definition. */
typedef struct NetPlan {
    const Family *family;
    int64_t resolution, stem, head;
    int stages;
    VEC(BlockPlan) blocks;
} NetPlan;

/* Widths rounded to multiples of 8 and repeats rounded up, as the authors' code does. */
void net_plan(NetPlan *p, const Family *f, const Scaling *by, Arena *a);

/* Whether all tensors of its graph are valid: none is too large. */
bool net_plan_fits(const NetPlan *p, int64_t classes, int64_t batch);

/* Compound scaling (Tan & Le 2019, section 3.3): depth by alpha^phi, width by beta^phi, resolution
 * by gamma^phi. */
typedef struct Compound {
    double phi, alpha, beta, gamma;
} Compound;

/* The paper's grid search gave these. */
#define PAPER_ALPHA 1.2
#define PAPER_BETA  1.1
#define PAPER_GAMMA 1.15

/* The resolution becomes a multiple of 4, as those of the published members are. */
Scaling scaling_compound(const Scaling *base, const Compound *c);

/* ---- family_build.c: graphs from definitions ------------------------------------------------- */

typedef enum NetWeights {
    WEIGHTS_NONE,    /* elided constants: for counting */
    WEIGHTS_RANDOM,  /* for costs that don't depend on them */
    WEIGHTS_MEASURED /* and the network has run, for the statistics of its batch norms */
} NetWeights;

typedef struct BuildOptions {
    int64_t classes, batch;
    NetWeights weights;
    uint64_t seed;
    bool same_padding; /* TensorFlow's SAME, not (kernel - 1) / 2 on all sides */
} BuildOptions;

/* The graph of a network that fits, for inference, as PyTorch's exporter writes it: convolutions
 * and batch norms apart, silu as x * sigmoid(x). Where the statistics are measured, values are of
 * about the same size in all layers, for inputs with mean 0 and variance 1. */
Graph *network_build(const NetPlan *p, const char *name, const BuildOptions *o);

/* ---- family.c: which member a graph is ------------------------------------------------------- */

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

typedef struct Network {
    VEC(NetBlock) blocks; /* in order of execution */
    const Member *member; /* NULL: none that the table knows */
    int narrower;         /* how many of its blocks have fewer channels than the member's: pruned */
    const char *decoder;  /* behind a member: "U-Net", "FPN", "PAN", ...; NULL: none known */
    int64_t height, width;
} Network;

/* Reads the structure of a graph after the passes before fuse-residual. Overwrites the nodes'
 * marks. Everything lives in the arena and in the graph. */
void network_recognise(Graph *g, Arena *a, Network *out);
/* "MBConv6 k5 s2 se 0.25", "FusedMBConv4 k3 s1", "stem k3 s2". */
const char *block_name(const NetBlock *b, Arena *a);

/* ---- family_quantized.c ---------------------------------------------------------------------- */

/* Takes out what rounds and quantises, so that network_recognise sees the blocks; values are other
 * ones then. For a graph behind fuse-quantize. False where there is nothing of the kind. */
bool network_without_rounding(Graph *g);

/* ---- family_decoder.c ------------------------------------------------------------------------ */

/* The decoder of a recognised member, by the marks that network_recognise leaves. */
const char *network_decoder(const Graph *g, const Network *net);

#endif
