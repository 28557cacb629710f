/* pipeline.c: which passes run, in which order. */
#include "passes/passes.h"

#include <string.h>

/* Needed for lowering whatever the optimisation level: the lowerings expect canonical ops. */
static const char *const level0[] = {
    "fold-constants",    "widen-floats", "canonicalise", "expand-conv",
    "expand-batch-norm", "expand-pad",   "layout",       "add-scratch",
    "plan-memory",       "lower",        "expand-math",  "expand-fma",
};

static const char *const level2[] = {
    /* the graph as it was meant */
    "sum-integers",
    "fold-constants",
    "widen-floats",
    "canonicalise",

    /* few, fused operators */
    "fuse-quantize",
    "expand-conv",
    "fuse-silu",
    "raise-channelwise",
    "raise-transpose",
    "raise-dense",
    "canonicalise", /* what moves left: reshapes of reshapes, means of planes */
    "raise-resize",
    "split-channels",
    "fold-batch-norm",
    "expand-batch-norm",
    "fold-scale",
    "merge-scales",
    "fuse-pad",
    "expand-pad",
    "trim-taps",
    "fold-channels",
    "fold-input",
    "drop-bias",
    "fuse-requantize",
    "fuse-pixels",
    "fuse-act",
    "fuse-se",
    "fuse-scale",
    "fuse-residual",
    "fuse-pool",
    "scale-silu",
    "split-transposed",

    /* memory */
    "dedupe-constants",
    "layout",
    "fuse-steps",
    "batch-loop",
    "fuse-dw",
    "add-scratch",
    "fit-arena",
    "plan-memory",

    /* loops */
    "lower",
    "expand-math",
    "expand-fma",
};

const char *const *pipeline(int opt_level, int *n) {
    *n = opt_level == 0 ? (int)(sizeof level0 / sizeof *level0)
                        : (int)(sizeof level2 / sizeof *level2);
    return opt_level == 0 ? level0 : level2;
}

/* Passes that take layers apart: of what is grouped, mixed, or computed of several, and kernels of
 * taps that small planes don't need. */
static bool takes_apart(const char *pass) {
    static const char *const names[] = {"expand-conv", "split-channels", "trim-taps"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(pass, names[i]) == 0)
            return true;
    return false;
}

int pipeline_canonical(bool whole, const char *names[MAX_PIPELINE]) {
    int n = 0;
    for (int i = 0; strcmp(level2[i], "fuse-residual") != 0; i++)
        if (!whole || !takes_apart(level2[i])) {
            ensure(n < MAX_PIPELINE);
            names[n++] = level2[i];
        }
    return n;
}

int pipeline_lower(int opt_level) {
    int n, i = 0;
    const char *const *names = pipeline(opt_level, &n);
    while (i < n && strcmp(names[i], "lower") != 0)
        i++;
    ensure(i < n);
    return i;
}
