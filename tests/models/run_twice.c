/* run_twice.c: runs generated code twice, in an arena full of NaN and then in one full of what the
 * first run left, and compares the results. Exits with 0 where they agree. Built with NET_ names,
 * INPUT and OUTPUT (numbers of elements). */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *aligned(size_t size) {
    void *p = aligned_alloc(64, (size + 63) / 64 * 64);
    if (!p)
        exit(2);
    return p;
}

int main(int argc, char **argv) {
    FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (!f)
        return 2;
    void *weights = aligned(NET_WEIGHTS_BYTES), *arena = aligned(NET_ARENA_BYTES);
    float *input = aligned(INPUT * sizeof(float)), *a = aligned(OUTPUT * sizeof(float)),
          *b = aligned(OUTPUT * sizeof(float));
    size_t size = fread(weights, 1, NET_WEIGHTS_BYTES, f);
    fclose(f);
    if (net_check_weights(weights, size) != NET_OK)
        return 3;
    for (size_t i = 0; i < INPUT; i++)
        input[i] = (float)(i * 7919 % 1000) / 500 - 1;
    memset(arena, 0xff, NET_ARENA_BYTES);
    if (net_run(weights, input, a, arena) != 0 || net_run(weights, input, b, arena) != 0)
        return 4;
    int same = memcmp(a, b, OUTPUT * sizeof(float)) == 0 && a[0] == a[0];
    printf("%s: %g\n", same ? "same" : "different", (double)a[0]);
    free(weights), free(arena), free(input), free(a), free(b);
    return same ? 0 : 5;
}
