/* match.h: small helpers that graph passes share. Internal to passes/. */
#ifndef EFFNETC_PASSES_MATCH_H
#define EFFNETC_PASSES_MATCH_H

#include "passes/passes.h"

/* ---- match.c --------------------------------------------------------------------------------- */

/* A new node before `at` that takes over its origin and is named after its result; without types
 * (set attributes, then node_infer_or_die), or inferred. */
Node *new_node(Graph *g, Op op, Node *at, Value *const *operands, int n);
Node *new_before(Graph *g, Op op, Node *at, Value *const *operands, int n);
Value *new_reshape(Graph *g, Node *at, Value *x, Shape shape);
/* What n does, of other operands: a new node before `at`, with n's name and origin. */
Node *new_like(Graph *g, const Node *n, Node *at, Value *const *operands);

/* v takes the place of n's first result, and n goes. */
void replace_node(Graph *g, Node *n, Value *v);

/* conv2d, dwconv2d, dense: the ops with weights in slot 1 and an optional bias in slot 2. */
bool has_weights(const Node *n);
/* Their activation; NULL for other ops. */
Act *fused_act(const Node *n);
/* The conv2d, dwconv2d or dense that makes v, and nothing else, for one user alone; NULL
 * otherwise. */
Node *sole_producer_with_weights(const Value *v);

/* Where a value is read: slots of nodes, and outputs of the graph. */
typedef struct Users {
    VEC(Node *) nodes;
    VEC(int) slots;
    VEC(size_t) outputs;
} Users;

Users value_users(Graph *g, const Value *v);
/* They read y from now on: also where it is computed from what they read before. */
void users_give(Graph *g, const Users *u, Value *y);

/* Whether nodes of that op alone read v. */
bool only_read_by(const Value *v, Op op);
/* Between which numbers relu, relu6 and clip keep things; false of other ops. */
bool clip_bounds(const Node *n, ClipAttrs *out);
/* As round(x / scale) has them: since rounding keeps the order, it may come before or behind. */
ClipAttrs clip_in_steps(const ClipAttrs *a, double scale);

/* A float32 constant with known elements, else NULL. */
const float *constant_f32(const Value *v);
/* Whether a constant that broadcasts to x has one element, or one for each channel of x. */
bool is_by_channel(const Value *c, const Shape *x);
/* A new f32 constant named after `base`. Data is owned by the graph's arena. */
Value *new_constant_f32(Graph *g, const char *base, Shape shape, float **data);
/* A convolution or dense layer gets new weights and bias, those of output channel c times by[c].
 * All must be constants. */
void scale_weights(Graph *g, Node *conv, const double *by);
/* Whether its weights and its bias, if it has one, are f32 constants. */
bool has_constant_weights(const Node *conv);
bool has_padding(const Node *conv); /* conv2d or dwconv2d */
/* Whether something is done behind its activation: a residual is added, or steps make integers. */
bool has_epilogue(const Node *conv);
bool is_conv_1x1(
    const Node *n); /* conv2d, 1x1, stride 1, no padding, one group, no scale, residual or steps */
/* Makes a dense of [N,K,1,1] that is reshaped to [N,K] one of that; false where it isn't. */
bool dense_of_pixels(Node *n);

#endif
