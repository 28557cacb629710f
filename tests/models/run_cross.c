/* run_cross.c: a program around generated code for another machine, for an emulator. Reads weights
 * and the contents of inputs and outputs from standard input, runs the code once, on a pool that
 * takes the last part first where there is an argument, and writes the outputs and what the code
 * returned, an int, to standard output. Built with args.h, which includes the code's header and
 * defines
 *
 *     POOL            the type NAME_pool
 *     ARGUMENTS       rows {bytes, whether it is read, whether it is written}, in their order
 *     RUN(v, pool)    calls NAME_run_parallel of the pointers v[] */
#include "args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    size_t bytes;
    int read, written;
} args[] = {ARGUMENTS};

enum { COUNT = sizeof args / sizeof *args };

static void backwards(void *context, size_t n, void (*body)(void *arg, size_t i), void *arg) {
    (void)context;
    while (n > 0)
        body(arg, --n);
}

int main(int argc, char **argv) {
    POOL pool = {NULL, backwards};
    void *v[COUNT];
    (void)argv;
    for (int i = 0; i < COUNT; i++) {
        v[i] = aligned_alloc(64, (args[i].bytes / 64 + 1) * 64);
        if (!v[i])
            return 2;
        memset(v[i], 0xff, args[i].bytes); /* NaN */
        if (args[i].read && fread(v[i], 1, args[i].bytes, stdin) != args[i].bytes)
            return 3;
    }
    int code = RUN(v, argc > 1 ? &pool : NULL);
    for (int i = 0; i < COUNT; i++) {
        if (args[i].written && fwrite(v[i], 1, args[i].bytes, stdout) != args[i].bytes)
            return 4;
        free(v[i]);
    }
    return fwrite(&code, sizeof code, 1, stdout) == 1 ? 0 : 4;
}
