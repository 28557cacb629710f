/* family.h: the EfficientNet family: its definitions, graphs made from them, and which member a
 * graph is. */
#ifndef EFFNETC_PASSES_FAMILY_H
#define EFFNETC_PASSES_FAMILY_H

#include "ir/graph.h"

/* Of a k x k kernel, in a set of them. */
static inline unsigned kernel_bit(int64_t k) {
    return k >= 0 && k < 32 ? 1u << k : 0;
}

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

/* What one stage of a family is, before scaling: a row of family.def. */
typedef struct Stage {
    int family;
    BlockKind kind;
    int64_t expand, of, kernel, stride, channels, repeats;
} Stage;

/* The i-th stage of a family; NULL where it has fewer. */
const Stage *family_stage(const Family *f, size_t i);
/* Channels after scaling: the nearest multiple of CHANNEL_STEP, but no less than the share `limit`
 * of what was asked. */
enum { CHANNEL_STEP = 8 };
int64_t scaled_channels(double limit, int64_t channels, double width);

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
    unsigned kernels; /* kernel_bit of each: of a MixConv there are several */
    int64_t stride, dilation;
    int64_t group_size;      /* channels that a filter reads; 0: all */
    int64_t in, middle, out; /* channels; middle: after the expansion */
    int64_t squeezed;        /* channels of the squeeze; 0: no gate */
    int64_t experts;         /* sets of weights that its own are mixed from; 0: they are constant */
    bool residual;
    bool single;     /* a FusedMBConv of one convolution */
    bool by_context; /* the gate's mean is weighted */
    bool blurred;    /* a filter that blurs strides */
    bool normed;     /* by statistics of the picture */
    const Value *x, *y;
    const Node *first; /* names it */
    int nodes;         /* of the canonical graph */
    int64_t parameters, macs;
} NetBlock;

typedef struct Network {
    VEC(NetBlock) blocks; /* in order of execution */
    const Member *member; /* NULL: none that the table knows */
    int narrower;         /* how many of its blocks have fewer channels than the member's: pruned */
    int stages, cut;      /* stages of a member that was cut behind some of them; 0: it is whole */
    const char *name;     /* the member's, or "MixNet-S", "EfficientNet-B0 scaled"; NULL: unknown */
    bool relative;        /* has the family's blocks, but is none of it */
    double width_factor, depth_factor; /* of what the name stands for; 0: unknown */
    const char *variant; /* "blur-pooled, group norms": what its blocks have beside; "the first 3 of
                           7 stages"; NULL: nothing */
    const char *decoder; /* behind it: "U-Net", "FPN", "PAN", ...; NULL: none known */
    const char *detector; /* with a BiFPN: "EfficientDet-D0"; NULL: none known */
    int64_t height, width;
} Network;

/* Whether it is known, or has some blocks of the family at least. */
bool network_has_blocks(const Network *net);
bool block_is_body(const NetBlock *b); /* MBConv or FusedMBConv */
/* The first of those from `at` on; the number of blocks where there is none. */
size_t next_body(const Network *net, size_t at);
/* Backbones of segmentation keep their last planes large: they spread taps instead of striding, in
 * the block that would stride or from the next one on. */
bool block_is_spread(const Network *net, size_t at);

/* Reads the structure of a graph after the passes before fuse-residual. Overwrites the nodes'
 * marks. Everything lives in the arena and in the graph. */
void network_recognise(Graph *g, Arena *a, Network *out);
/* "MBConv6 k5 s2 se 0.25", "FusedMBConv4 k3 s1", "stem k3 s2". */
const char *block_name(const NetBlock *b, Arena *a);

/* ---- family_blocks.c ------------------------------------------------------------------------- */

/* The blocks, without their costs; what is in none has a negative mark. */
void network_find_blocks(Graph *g, Arena *a, Network *out);

/* ---- family_relatives.c: networks by their stages, scaled by any factors; relatives.def -------
 */

typedef struct NetworkFit {
    const char *name;
    bool family; /* an EfficientNet by another name, or scaled otherwise */
    double width, depth;
    size_t end; /* of the network's blocks; what follows is a decoder's */
} NetworkFit;

/* False where the blocks are those of no definition. */
bool network_fit(const Network *net, Arena *a, NetworkFit *out);

/* ---- family_quantized.c ---------------------------------------------------------------------- */

/* Takes out what rounds and quantises, so that network_recognise sees the blocks; values are other
 * ones then. For a graph behind fuse-quantize. False where there is nothing of the kind. */
bool network_without_rounding(Graph *g);

/* ---- family_decoder.c ------------------------------------------------------------------------ */

/* Names the decoder of a network that is known, by the marks that network_recognise leaves. */
void network_name_decoder(const Graph *g, Network *net);

#endif
