/* op_dropout.c: Dropout. What generated code computes is the same in each run; in training the mask
 * is too, as the seed decides it. */
#include "frontend/import.h"

/* The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998). */
enum { STATE = 624, MIDDLE = 397 };

typedef struct Twister {
    uint32_t state[STATE];
    int next;
} Twister;

static void twister_seed(Twister *t, uint32_t seed) {
    t->state[0] = seed;
    for (uint32_t i = 1; i < STATE; i++) {
        uint32_t last = t->state[i - 1];
        t->state[i] = 1812433253u * (last ^ last >> 30) + i;
    }
    t->next = STATE;
}

static void twist(Twister *t) {
    for (int i = 0; i < STATE; i++) {
        uint32_t y = (t->state[i] & 0x80000000u) | (t->state[(i + 1) % STATE] & 0x7fffffffu);
        t->state[i] = t->state[(i + MIDDLE) % STATE] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    t->next = 0;
}

static uint32_t twister_bits(Twister *t) {
    if (t->next == STATE)
        twist(t);
    uint32_t y = t->state[t->next++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* A number in [0, 1), of 53 random bits. */
static double twister_number(Twister *t) {
    uint32_t high = twister_bits(t) >> 5, low = twister_bits(t) >> 6;
    return (high * 0x1p26 + low) * 0x1p-53;
}

/* ---- Dropout --------------------------------------------------------------------------------- */

/* Where numbers that follow from the seed, one for each element, are at least `ratio`. */
static Value *kept_at(OnnxNode *n, uint32_t seed, double ratio) {
    Tensor *t = onnx_new_tensor(n, DT_bool, *onnx_shape(n, 0));
    Twister *twister = ARENA_NEW(&n->im->arena, Twister);
    twister_seed(twister, seed);
    for (int64_t i = 0; t && i < shape_elems(&t->shape); i++)
        tensor_set_i64(t, i, twister_number(twister) >= ratio);
    return t ? onnx_constant(n, "mask", t) : NULL;
}

static Value *all_kept(OnnxNode *n, DType dt) {
    return onnx_expand(n, "mask", onnx_scalar(n, "kept", dt, 1), onnx_shape(n, 0));
}

/* Without an effect: for inference, and with a ratio of 0. */
static void keep_all(OnnxNode *n, DType mask) {
    if (n->failed)
        return;
    onnx_set_output(n, 0, onnx_unary(n, OP_identity, NULL, onnx_input(n, 0)));
    if (n->noutputs > 1 && n->outputs[1])
        onnx_set_output(n, 1, all_kept(n, mask));
}

/* In training: what is kept of x, times what makes up for the rest. */
static void drop(OnnxNode *n, double ratio, int64_t seed) {
    Value *x = onnx_input(n, 0), *mask = kept_at(n, (uint32_t)seed, ratio);
    Value *zero = onnx_scalar(n, "dropped", x->type.dtype, 0);
    Value *y = ratio < 1 ? onnx_by_scalar(n, OP_mul, "scaled", x, 1 / (1 - ratio)) : x;
    onnx_set_output(n, 0, onnx_where(n, NULL, mask, y, zero));
    onnx_set_output(n, 1, mask);
}

/* Dropout-7, with a mask of x's type, and -10 with one of bools. */
void import_dropout_7(OnnxNode *n) {
    attr_ignore(n, "ratio");
    keep_all(n, n->opset < 10 ? onnx_input(n, 0)->type.dtype : DT_bool);
}

/* Dropout-12 to -22. */
void import_dropout_12(OnnxNode *n) {
    bool training = onnx_number_input(n, 2, "training_mode", 0) != 0;
    int64_t seed = attr_int(n, "seed", 0);
    double ratio = training ? onnx_number_input(n, 1, "ratio", 0.5) : 0;
    if (ratio != 0 && !attr_present(n, "seed"))
        onnx_unsupported(n,
                         "in training it is random where no seed is given; export for inference");
    else if (!(ratio >= 0 && ratio <= 1))
        onnx_bad(n, "its ratio is %g", ratio);
    if (n->failed || !onnx_needs_float(n, 1))
        return;
    if (ratio == 0)
        keep_all(n, DT_bool);
    else
        drop(n, ratio, seed);
}
