/* minimal.c: the smallest program around generated code. No allocation, no decoding: the weights
 * are linked in, the input is a grey picture, the exit code says whether it ran.
 *
 *     effnetc efficientnet_lite0.onnx --name lite0 -o out
 *     (cd out && ld -r -b binary -z noexecstack -o weights.o lite0.weights.bin)
 *     objcopy --set-section-alignment .data=64 out/weights.o
 *     cc -O2 -I out minimal.c out/lite0.c out/weights.o -o minimal */
#include "lite0.h"

/* ld makes this name of the file's. */
extern const unsigned char _binary_lite0_weights_bin_start[];

/* 64 bytes more than needed, so that a multiple of 64 can be chosen. */
static unsigned char memory[LITE0_ARENA_BYTES + 64];
static float input[3 * 224 * 224], logits[1000];

int main(void) {
    unsigned char *arena = memory + (64 - (uintptr_t)memory % 64) % 64;
    return lite0_run(_binary_lite0_weights_bin_start, input, logits, arena);
}
