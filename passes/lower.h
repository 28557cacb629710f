/* lower.h: what the lowerings of all ops share. Internal to passes/. */
#ifndef EFFNETC_PASSES_LOWER_H
#define EFFNETC_PASSES_LOWER_H

#include "passes/passes.h"

/* What a lowering works in: channel blocks; the caller's layout; blocks if an operand has them and
 * follows_blocks(), else plain; any, since it converts. */
typedef enum LayoutRule {
    LAYOUT_NONE,
    LAYOUT_BLOCKED,
    LAYOUT_PLAIN,
    LAYOUT_FOLLOW,
    LAYOUT_ANY
} LayoutRule;

typedef struct Lower Lower;

typedef struct Lowering {
    LayoutRule layout;
    bool (*lower)(Lower *lo, Node *n); /* false with an error in lo->cx->diag */
    int64_t (*scratch)(const Node *n, const PassContext *cx); /* f32 elements; NULL: none */
    Value *(*inplace)(const Node *n);                         /* NULL: no; may return NULL */
} Lowering;

/* ---- pass_batch_loop.c ----------------------------------------------------------------------- */

/* The nodes first .. last, counted from 0, are run for one image after the other; -1 and -1 where
 * there are none: those between the first and the last with a value of one_image. */
typedef struct BatchLoop {
    int first, last;
    int64_t images;
} BatchLoop;

BatchLoop batch_loop_of(const Graph *g);
/* Whether n can be computed for one image of a batch at a time. */
bool node_by_images(const Node *n, int64_t images);

/* ---- lower.c --------------------------------------------------------------------------------- */

/* The row of an op; layout == LAYOUT_NONE where the op has no lowering. */
const Lowering *lowering_of(Op op);
/* Of LAYOUT_FOLLOW: whether n works on blocks, by how its operands lie. */
bool follows_blocks(const Node *n);

struct Lower {
    Graph *g;
    Module *m;
    PassContext *cx;
    VEC(Kernel *) steps; /* one per node; they join the module behind all kernels */
    Builder step;        /* of the node that is being lowered */
    Map buffers;         /* value name -> Buffer; constants: in blocks */
    Map plain;           /* constant's name -> Buffer where its elements are as they are */
    Buf weights;         /* packed weights, the 64-byte header included */
    int64_t packing;     /* bytes at their end that are being filled in */
    Map packed;          /* hash of packed weights -> Buffer */
    Reg *image;          /* index of the image in a batch loop; NULL outside, and for one image */
    BatchLoop loop;      /* the nodes that share one */
    bool looping;        /* the node that is being lowered is among them */
};

static inline int lower_lanes(const Lower *lo) {
    return target_lanes(lo->cx->target);
}

enum { CACHE_LINE = 16 }; /* elements of f32 that one prefetch brings */

/* Address of logical element (0, 0, 0, 0) of the current image: behind the halo. v is a value of
 * the graph; constants are packed into the weights. */
Addr lower_addr(Lower *lo, const Value *v);
/* Address of a plain value; constants are packed as they are. */
Addr lower_plain(Lower *lo, const Value *v);
/* How v lies in memory: a constant is packed in blocks. */
View lower_view(const Lower *lo, const Value *v);
/* How an f32 tensor of rank 4 lies in blocks of `block` channels, without a halo. */
View blocked_view(Shape shape, int block);
/* The scratch result of n. */
Addr lower_scratch(Lower *lo, const Node *n);
/* Room for n packed floats, zeroed, at the end of the weights; to be filled before
 * lower_weights_end, which gives their address. Equal weights are kept once. */
float *lower_weights_begin(Lower *lo, int64_t n);
Addr lower_weights_end(Lower *lo, const char *name);
/* The same for n integers that kernels read: offsets and counts. */
int64_t *lower_table_begin(Lower *lo, int64_t n);
Addr lower_table_end(Lower *lo, const char *name);
/* The elements of an f32 constant; NULL with an error where they were elided or aren't f32. */
const float *lower_constant(Lower *lo, const Node *n, const Value *v);
/* What convolutions and dense layers compute with. */
typedef struct ConvWeights {
    const float *w;    /* [output channel][input channel][tap row][tap column] */
    const float *bias; /* [output channel], or NULL */
} ConvWeights;
/* Operand `slot` and the bias behind it. False with an error as lower_constant's where they aren't
 * known f32 constants. */
bool lower_conv_weights(Lower *lo, const Node *n, int slot, ConvWeights *out);
/* The instruction of a fused activation. */
InstOp act_inst(Act act);
/* Opens a loop over the images of a batch (none for one image, and none in a loop of several
 * nodes), and closes it. */
void lower_batch_begin(Lower *lo, int64_t images);
void lower_batch_end(Lower *lo);
/* Adds k to the module (or finds its twin) and calls it from the node's step. */
void lower_call(Lower *lo, Kernel *k, const Arg *args, int nargs);
/* Reports that n can't be compiled; `inputs` says what goes into it, or is NULL. Always false. */
bool node_refused(const PassContext *cx, const Node *n, const char *inputs, const char *reason);
/* Reports that a form of n has no lowering: always false. */
bool lower_unsupported(Lower *lo, const Node *n, const char *reason);

/* ---- lower_release.c ------------------------------------------------------------------------- */

typedef struct ConstantUses ConstantUses;

/* Which node reads each constant last. */
ConstantUses *constant_uses(const Graph *g, Arena *a);
/* Node `index`, counted from the first, is lowered, as are those before it: what only they read
 * loses its elements. Call it for each in turn. */
void constant_uses_end(ConstantUses *c, int index);

/* ---- lower_par.c ----------------------------------------------------------------------------- */

/* In how many parts work of so many cycles (each a vector multiply-add) should be divided, in whole
 * units. */
int64_t lower_parts(const PassContext *cx, double cycles, int64_t units);

/* The part that is being built: its number, and that of its first unit; NULL where there is one
 * part alone. */
typedef struct Parts {
    Reg *part, *first;
    int64_t units, parts;
    int64_t each; /* units of every part, where all have the same */
    Reg *end;     /* else: behind its last unit */
} Parts;

/* Opens a `par` over the parts of a step's work (nothing for one part), and closes it. */
Parts lower_parts_begin(Lower *lo, int64_t units, int64_t parts);
void lower_parts_end(Lower *lo, const Parts *p);
/* The share of number `part` of `parts`, which opens nothing: for work that is divided along two
 * axes. */
Parts lower_share(Lower *lo, Reg *part, int64_t units, int64_t parts);
/* i % by, and i / by: which part it is along either. */
Reg *lower_rest(Lower *lo, Reg *i, int64_t by, Reg **quotient);
/* The address of the part's first unit, where units are `stride` apart and the first is at a. */
Addr parts_addr(const Parts *p, Addr a, int64_t stride);
/* The address of memory of the part's own, where each part has `size` elements of it. */
Addr parts_own(const Parts *p, Addr a, int64_t size);
/* Behind the part's last unit, of several parts; how many units there are. */
Reg *parts_end(Lower *lo, const Parts *p);
Bound parts_count(Lower *lo, const Parts *p);

/* Opens the loop over the part's units, one by one, and closes it, before lower_parts_end; there is
 * none where each part has one. */
Reg *parts_each(Lower *lo, const Parts *p, const char *var);
void parts_each_end(Lower *lo, const Parts *p);

/* ---- lower.c, building loops ----------------------------------------------------------------- */

/* The element at `from` in all lanes of a new register. */
Reg *build_spread(Builder *b, const char *name, int lanes, Addr from);
/* A pointer that moves on by a register or a constant, and a copy of one. */
void advance(Builder *b, Reg *p, Reg *by);
void advance_by(Builder *b, Reg *p, int64_t by);
Reg *copy_pointer(Builder *b, const char *name, Reg *p);

/* ---- lower_halo.c ---------------------------------------------------------------------------- */

/* Zeroes the halo of v's current image; calls nothing where it has none. */
void lower_zero_halo(Lower *lo, const Value *v);
/* That of some blocks of channels; `first` is where the first pixel of the first one is. */
void lower_zero_halo_of(Lower *lo, const Value *v, Addr first, Bound blocks);
/* Zeroes `width` (top, left, bottom, right: rows and columns) around the planes of v, the frame
 * starting at `at`; v->h and v->w are the sizes inside, and v->row is the whole row. */
void lower_zero_around(Lower *lo, Addr at, const View *v, const int64_t width[4]);
/* Zeroes the spare lanes of v's last block; calls nothing where it has none. */
void lower_zero_spare(Lower *lo, const Value *v);

/* ---- lower_pool.c ---------------------------------------------------------------------------- */

/* The mean of each plane of one image, `from` on, to the vectors at `to`, `plane` elements
 * apart. */
void lower_pool_to(Lower *lo, Addr from, const View *v, Addr to, int64_t plane);
/* Kernels may add what they store to sums, one vector a block of channels, `plane` elements apart:
 * the first call sets them to zero, the second makes them means of planes like `of`'s. */
void lower_sums_begin(Lower *lo, Addr sums, int64_t blocks, int64_t plane);
void lower_sums_end(Lower *lo, Addr sums, int64_t blocks, int64_t plane, const View *of);
/* The same for sums that are in `pieces`: [piece][block], one vector each. The means go to `to`. */
void lower_sums_join(Lower *lo, Addr sums, int64_t pieces, Addr to, int64_t blocks, int64_t plane,
                     const View *of);

/* ---- lower_steps.c: convolutions that make integers of their results ------------------------- */

/* The numbers of a convolution's `steps`; zeroed: there are none. */
typedef struct Steps {
    const float *rows; /* [STEP_COUNT][channels] */
    int64_t channels;
    bool has[STEP_COUNT]; /* rows that do something, and are packed */
} Steps;

/* Of a conv2d or dwconv2d. */
Steps steps_of(const Node *n);
/* False with an error where n has steps that no kernel can do. */
bool steps_check(Lower *lo, const Node *n);
int64_t steps_rows(const Steps *s); /* that are packed; s may be NULL */
/* Puts the rows for channels first .. first + width at out, those that are spare as what makes 0;
 * returns the place behind them. */
float *steps_pack(const Steps *s, int64_t first, int64_t width, float *out);

/* Rows in registers; NULL: not packed. */
typedef struct StepRegs {
    Reg *row[STEP_COUNT], *magic;
} StepRegs;

/* Loads them for `lanes` channels: the first row is at `rows`, the next one `width` behind. */
StepRegs steps_load(Builder *b, const Steps *s, Addr rows, int64_t width, int lanes);
void steps_apply(Builder *b, const StepRegs *r, Reg *x);

/* ---- lower_dw.c: the kernel behind dwconv2d and conv2d_dwconv2d ------------------------------ */

/* Rows of output pixels of each block of channels. Weights: [block][bias, kh, kw][lanes]. */
typedef struct Depthwise {
    const ConvAttrs *attrs;
    int64_t blocks, rows, length;      /* blocks of channels; output rows, pixels in a row */
    Bound count, row_count;            /* of blocks and rows, of which a call does some */
    int64_t a_plane, a_row, a_tap_row; /* strides: input block, output row, row of taps */
    int64_t c_plane, c_row;            /* strides of the output */
    bool clipped;                      /* nothing is around the input's planes */
    int64_t in_rows, in_columns;       /* of the input, where clipped */
    bool sum;                          /* adds each block's pixels to its vector of sums */
    int64_t s_plane;
    Steps steps;
    Addr a, w, c, s; /* a: the first tap of the first pixel, or the input; s: where sum */
    Addr ahead;      /* where lines > 0: what the next step reads, of which each output row of a */
    int64_t lines;   /* block of channels brings so many cache lines */
} Depthwise;

/* Whether a dwconv2d whose output rows have so many columns needs no halo around its input. */
bool dw_clips(const ConvAttrs *a, int64_t columns);

/* Packs the weights once; `name` is what they are called after. The steps may be NULL. */
Addr dw_pack(Lower *lo, const ConvAttrs *a, int64_t channels, const ConvWeights *w, const Steps *s,
             const char *name);
enum { MAX_DW_WIDTH = 32 }; /* taps in a row */
/* Elements of a block's weights. */
int64_t dw_block_weights(const ConvAttrs *a, const Steps *s, int lanes);
void dw_call(Lower *lo, const Depthwise *d);

/* ---- lower_conv_dw.c ------------------------------------------------------------------------- */

/* How a depthwise convolution's output rows are made, band by band, each from `buffer` rows of its
 * padded input: `kept` of them the band before has, too, and `fresh` it hasn't. */
typedef struct Bands {
    int64_t rows, count, last; /* output rows of a band, bands, rows of the last one */
    int64_t kept, fresh, buffer;
} Bands;

/* Input rows (axis 0) or columns (1) that an output needs. */
int64_t dw_reach(const ConvAttrs *dw, int axis);

/* A node conv2d_dwconv2d, or what one would be. */
typedef struct ConvDw {
    ConvAttrs first, second;
    Type x, middle, y; /* middle: of what the first convolution gives */
    int64_t band, parts;
} ConvDw;

/* How it is computed. */
typedef struct ConvDwPlan {
    Bands bands;
    int64_t runs;      /* of channels */
    int64_t segments;  /* of the bands: a run and a segment are a round */
    int64_t parts;     /* that the rounds are divided among */
    int64_t row_elems; /* of a part's buffer, one row */
    int64_t scratch;   /* elements of all parts' buffers, and of the segments' sums */
} ConvDwPlan;

ConvDw conv_dw_of(const Node *n);
ConvDwPlan conv_dw_plan(const ConvDw *c, const PassContext *cx);

/* ---- pass_fuse_dw.c -------------------------------------------------------------------------- */

/* What a depthwise convolution and the convolution before it would be as one node, with bands that
 * suit the cache; or why they can't be one. */
const char *conv_dw_candidate(const Node *dw, const PassContext *cx, ConvDw *out);
/* Makes them one, which it returns. */
Node *conv_dw_fuse(Graph *g, Node *dw, const ConvDw *c);

/* ---- pass_add_scratch.c ---------------------------------------------------------------------- */

/* Gives n the scratch that its kernels need, if it has none. */
void add_scratch(Graph *g, Node *n, const PassContext *cx);

/* ---- cost.c: predicted time ------------------------------------------------------------------ */

/* Of what would be a node; see node_cycles. */
double conv_dw_cycles(const ConvDw *c, const PassContext *cx);

/* ---- schedule.c: the shape of a kernel ------------------------------------------------------- */

/* How a kernel tiles its output. Nothing but schedule.c decides about tiles. */
typedef struct Schedule {
    int mr;      /* pixels of a tile */
    int mr_tail; /* pixels of the last tile of a row; 0: none */
    int nv;      /* vectors of output channels of a tile */
    int nv_tail; /* vectors of the last panel; 0: as the others */
    bool half;   /* in the last vector of the last panel two pixels share a register */
} Schedule;

/* Vectors of the last panel. */
static inline int schedule_last(const Schedule *s) {
    return s->nv_tail ? s->nv_tail : s->nv;
}
/* Those of a last panel that is unlike the others, and so has a kernel of its own; 0: there is
 * none. */
static inline int schedule_odd(const Schedule *s) {
    return s->nv_tail || s->half ? schedule_last(s) : 0;
}

/* What the book of cx says, else the fastest tiling by the cost model. */
Schedule pick_schedule(const TileProblem *p, const PassContext *cx);
/* How a dense 3x3 convolution of stride 1 is computed, by the cost model. */
typedef struct WinogradSchedule {
    int m;                    /* 4 or 2: by Winograd's F(m x m, 3x3); 0: directly */
    int64_t tiles;            /* tiles of m x m outputs in a block: a multiple of gemm.mr */
    Schedule gemm;            /* of the products: mr tiles, no mr_tail */
    double direct, two, four; /* cycles, predicted: directly, by F(2x2, 3x3), by F(4x4, 3x3) */
} WinogradSchedule;

WinogradSchedule pick_winograd(int64_t rows, int64_t columns, int64_t k, int64_t n,
                               const PassContext *cx);
/* Cycles of one step along K, of all tiles of such a row and all panels. */
double schedule_cycles(int64_t length, int64_t channels, const PassContext *cx);
/* Cycles of a row of taps, of all tiles of a depthwise output row. */
double dw_schedule_cycles(int64_t length, int64_t kw, int64_t sw, const PassContext *cx);

/* ---- lower_compute.c: what an elementwise op computes ---------------------------------------- */

/* Appends: x where it is NaN, else z. The instructions min and max of x and y give y then. */
Reg *keep_nan(Builder *b, Reg *x, Reg *z);
/* Why elementwise node n has no kernel for its types; NULL where it has one. */
const char *elementwise_refusal(const Node *n);
/* Appends what elementwise node n, which isn't refused, computes from its operands: scalars, or
 * vectors where operands and result are f32. */
Reg *elementwise_result(Builder *b, const Node *n, Reg *const *x);

/* ---- lower_copy.c ---------------------------------------------------------------------------- */

/* The elements of n's first operand to its result; both are plain and of one size. */
bool lower_copy(Lower *lo, Node *n);

/* ---- lower_interleave.c ---------------------------------------------------------------------- */

/* Pixels, a vector each, of planes of rows: neighbours at `a` go to every c_pixel elements at `c`,
 * times the vector that `gate` has for their plane, where it isn't NULL. Strides in elements. */
typedef struct PixelCopy {
    Addr a, c;
    const Addr *gate;
    Bound planes, rows, columns;
    int64_t a_plane, a_row, c_plane, c_row, c_pixel;
    int lanes; /* of each pixel, from a and c on; 0: all, as it must be with a gate */
} PixelCopy;

void lower_copy_pixels(Lower *lo, const PixelCopy *p);

/* ---- lower_channels_last.c ------------------------------------------------------------------- */

/* Whether n transposes images to channels last: it can read them in blocks of channels. */
bool is_to_channels_last(const Node *n);
bool lower_channels_last(Lower *lo, Node *n);

/* ---- lower_elementwise.c --------------------------------------------------------------------- */

enum { MAX_ELEMENTWISE = 4 }; /* operands and result of an elementwise op */

/* Whether that operand of an elementwise node is one number for all elements of the result. */
bool is_one_number(const Node *n, int slot);
/* Whether an elementwise node works on blocks: one of its operands has them, and the others
 * broadcast to it per channel. */
bool elementwise_blocks(const Node *n);

/* ---- lower_channels.c ------------------------------------------------------------------------ */

/* Whether a concat or slice works on blocks: it is of channels, of which some are in blocks. */
bool channels_block(const Node *n);
/* Such a node whose result is in blocks. */
bool lower_concat_channels(Lower *lo, Node *n);
bool lower_slice_channels(Lower *lo, Node *n);

/* ---- lower_strided.c ------------------------------------------------------------------------- */

/* An elementwise node or `expand` on plain tensors of any rank, with numpy's broadcasting. */
void lower_elementwise_plain(Lower *lo, const Node *n);

/* ---- lower_round.c --------------------------------------------------------------------------- */

/* Appends x, a float, rounded to an integer: to the nearest one, ties to even; down; up. */
Reg *round_result(Builder *b, Reg *x);
Reg *floor_result(Builder *b, Reg *x);
Reg *ceil_result(Builder *b, Reg *x);

/* ---- lower_log.c ----------------------------------------------------------------------------- */

/* Appends the natural logarithm of x, which is f32. */
Reg *log_result(Builder *b, Reg *x);

/* ---- lower_trig.c, lower_power.c ------------------------------------------------------------- */

/* Append functions of f32 that are computed in double precision and rounded once. */
Reg *sin_result(Builder *b, Reg *x);
Reg *cos_result(Builder *b, Reg *x);
Reg *tan_result(Builder *b, Reg *x);
Reg *asin_result(Builder *b, Reg *x);
Reg *acos_result(Builder *b, Reg *x);
Reg *atan_result(Builder *b, Reg *x);
Reg *sinh_result(Builder *b, Reg *x);
Reg *cosh_result(Builder *b, Reg *x);
Reg *asinh_result(Builder *b, Reg *x);
Reg *acosh_result(Builder *b, Reg *x);
Reg *atanh_result(Builder *b, Reg *x);
Reg *pow_result(Builder *b, Reg *x, Reg *e);
Reg *fmod_result(Builder *b, Reg *x, Reg *y);
Reg *mod_result(Builder *b, Reg *x, Reg *y);
/* The power of integers, which wraps. */
Reg *int_pow_result(Builder *b, Reg *x, Reg *e);

/* ---- lower_pixels.c -------------------------------------------------------------------------- */

/* Whether pictures [N,H,W,C] have so few channels that there is a kernel for `pixels` of them. */
bool pixels_fit(const Shape *s);

/* ---- lower_quantize.c ------------------------------------------------------------------------ */

/* What rounds a float within 2^22 to an integer, ties to even: x + magic - magic. */
Reg *rounding_magic(Builder *b, LType t);
/* Appends the integer between lo and hi that is nearest to x; lo where x is NaN. */
Reg *round_clamped(Builder *b, Reg *x, Reg *lo, Reg *hi);
/* Appends what requantize_sum computes from its operands. */
Reg *requantize_sum_result(Builder *b, const Node *n, Reg *const *x);
/* Appends what quantize_shifted computes from its operands. */
Reg *quantize_shifted_result(Builder *b, DType to, Reg *const *x);
/* Appends what fake_quant computes from x. */
Reg *fake_quant_result(Builder *b, const FakeQuantAttrs *a, Reg *x);

/* ---- lower_gemm.c: the kernel behind conv2d, dense and se ------------------------------------ */

/* A run of output pixels times panels of output channels:
 *
 *     c[y, x, :] = act(bias + sum over (cb, i, j, l) of a[y*sh + i, x*sw + j, cb, l] * w)
 *                  + residual
 *
 * and that by steps, where there are some. `a` lies in blocks of `ablock` channels. Weights:
 * [panel][bias, steps, (cb, i, j, l)][nv * lanes]. */
typedef struct Gemm {
    const char *stem;   /* of the kernel's name: "conv3x3" */
    int64_t kh, kw;     /* taps */
    int64_t ablock;     /* channels per block of the input */
    int64_t pixel_step; /* elements from one output pixel's first input to the next one's */
    int64_t tap_step;   /* elements from a tap to the next in its row */
    int64_t k;          /* input channels */
    int64_t n;          /* output channels */
    int64_t a_plane, a_row, a_tap_row; /* strides: input block, output row, row of taps */
    int64_t c_plane, c_row, c_pixel;   /* strides of the output; the residual has its c_pixel */
    int64_t r_plane, r_row;            /* of the residual */
    int64_t rows, length;              /* output rows, pixels in a row */
    Act act;
    bool residual, gate;
    Steps steps;               /* not with a gate */
    int64_t k_packed, k_first; /* of a call for some of the input channels: how many the packed
                                * weights are for, and the first; 0 and 0: for all */
    bool adds;                 /* to what is in c, rather than to the bias */
    Addr a, c, r, g,
        scratch; /* r, g: where residual, gate; scratch: where gate, of gemm_scratch elements */
    const char *weight_name;
    const Value *halo_of; /* NULL, or c: whose halo is zeroed too */
} Gemm;

/* Packs the weights once (they serve all images of a batch): returns their address. */
Addr gemm_pack(Lower *lo, const Gemm *g, const ConvWeights *w);
/* The bias of lanes behind the last output channel: with it the activation gives zero there. */
float spare_bias(Act act);
/* Emits the calls (one or two: the panels, and a narrower last one). */
void gemm_call(Lower *lo, const Gemm *g, Addr weights);
/* The panels of output channels: `whole` of them that are alike, and one of its own for the
 * rest. */
typedef struct GemmPanels {
    int64_t channels; /* of a whole one */
    int64_t whole;
    int64_t last;    /* channels of the last one; 0: there is none */
    int64_t weights; /* elements of a whole one's weights */
} GemmPanels;
GemmPanels gemm_panels(const Gemm *g, const PassContext *cx);
/* What gemm_call does, in parts: some whole panels, and the last one. The weights, g->c and g->r
 * are those of the first of these panels. */
void gemm_call_panels(Lower *lo, const Gemm *g, Addr weights, int64_t panels);
void gemm_call_last(Lower *lo, const Gemm *g, Addr weights);
/* f32 elements of g->scratch. */
int64_t gemm_scratch(const Gemm *g, const PassContext *cx);
/* Elements of g's weights, where they are scaled before they are multiplied; else 0. */
int64_t gemm_scaled_weights(const Gemm *g, const PassContext *cx);
/* f32 elements of the packed weights. */
int64_t gemm_weights(const Gemm *g, const Target *t);

/* ---- what lower_gemm_parts.c, where gemm_call is, needs of it ---- */

Schedule gemm_tiling(const Gemm *g, const PassContext *cx);
/* Whether g's parts have panels of weights each, and all read the whole input. */
bool gemm_by_panels(const Gemm *g, const PassContext *cx);
/* Elements of a panel of so many channels' weights. */
int64_t gemm_panel_elems(const Gemm *g, int64_t width);
/* What a call computes of g, besides its panels: some rows, and of each some tiles. */
typedef struct GemmExtent {
    Bound rows, tiles, tails;
    int64_t all_tiles; /* of all rows; where parts are uneven, about */
} GemmExtent;
GemmExtent gemm_whole(const Gemm *g, const Schedule *s); /* all rows and tiles */
/* Calls the kernel of panels nv vectors wide: the first one's weights are at w. */
void gemm_call_extent(Lower *lo, const Gemm *g, const Schedule *s, const GemmExtent *e, Addr w,
                      Bound panels, int nv, bool half);

/* ---- lower_gemm_blocks.c --------------------------------------------------------------------- */

enum { GEMM_BLOCK_PARTS = 2 }; /* that the pixels are divided into, where K is in blocks */

/* A 1x1 convolution: input and output channels, pixels. */
typedef struct GemmSize {
    int64_t k, n, pixels;
} GemmSize;

/* In how many blocks K is divided at that size, if the form of the convolution allows it; 1: it
 * isn't worth it. Those that do have their pixels scaled, not their weights. */
int64_t gemm_k_blocks(const GemmSize *s, const PassContext *cx);
/* In how many it is for g; 1: in one go. */
int64_t gemm_blocks(const Gemm *g, const PassContext *cx);

/* ---- lower_conv.c ---------------------------------------------------------------------------- */

/* Sizes and strides of a convolution of x into y, with a residual r or NULL; the rest (addresses,
 * names, a gate) is the caller's. */
Gemm conv_gemm(const ConvAttrs *a, const View *x, const View *y, const View *r);
/* The stem of the kernel's name: what is fixed in it besides the tile. */
const char *conv_stem(Lower *lo, const ConvAttrs *a, const Gemm *g);
/* Where the first tap of the first pixel is, in the padding: x is at `from`. */
Addr conv_start(const ConvAttrs *a, const View *x, Addr from);

/* How a conv2d is computed where Winograd's algorithm can do it; zeros where it can't. */
WinogradSchedule conv_winograd(const Node *n, const PassContext *cx);

/* Elements of the packed weights that a conv2d's gate scales; 0 where it scales pixels. */
int64_t conv_scaled_weights(const Node *n, const PassContext *cx);

/* Elements of the packed weights of n, an se, which lie together. */
int64_t se_weights(const Node *n, const PassContext *cx);

/* ---- lower_scale.c --------------------------------------------------------------------------- */

/* Packed weights: panels of [bias, block of channels, taps, channel of the block][vectors]. */
typedef struct ScaleWeights {
    int64_t panels, panel; /* how many, and elements of one */
    int64_t vectors, taps, block, k;
} ScaleWeights;

/* Copies `panels` panels of the weights at w to `to`, each times the gate of its input channel;
 * biases as they are. */
void lower_scale_weights(Lower *lo, const ScaleWeights *s, Bound panels, Addr w, Addr gate,
                         Addr to);
/* The same for the part's blocks of channels of all panels. */
void lower_scale_slice(Lower *lo, const ScaleWeights *s, const Parts *p, Addr w, Addr gate,
                       Addr to);

/* ---- lower_winograd.c: as lower_gemm.c, for 3x3 taps, stride 1, ablock == lanes, no gate ---- */

/* Which way g is computed; .m == 0: by gemm_call. */
WinogradSchedule winograd_schedule(const Gemm *g, const PassContext *cx);
/* f32 elements of g->scratch; 0 where winograd_schedule says directly. */
int64_t winograd_scratch(const Gemm *g, const PassContext *cx);
/* As gemm_pack and gemm_call. */
Addr winograd_pack(Lower *lo, const Gemm *g, const ConvWeights *w);
void winograd_call(Lower *lo, const Gemm *g, Addr weights);

/* ---- lower_index.c --------------------------------------------------------------------------- */

/* A gather of any type whose indices are read at run time. */
bool lower_gather_slices(Lower *lo, Node *n);

#endif
