/* minimal.c: the smallest program around generated code. No allocation, no decoding: the weights
 * are linked in, the input is a grey picture, the exit code says whether it ran.
 *
 *     effnetc efficientnet_lite0.onnx --name lite0 -o out --weights=incbin
 *     cc -O2 -I out minimal.c out/lite0.c out/lite0.weights.S -o minimal */
#include "lite0.h"

/* 64 bytes more than needed, so that a multiple of 64 can be chosen. */
static unsigned char memory[LITE0_ARENA_BYTES + 64];
static float input[3 * 224 * 224], logits[1000];

int main(void) {
    unsigned char *arena = memory + (64 - (uintptr_t)memory % 64) % 64;
    return lite0_run(lite0_weights, input, logits, arena);
}
