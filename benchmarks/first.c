/* first.c: a whole process around generated code: its first inference, a hot one, its memory.
 *
 *     first WEIGHTS INPUT_FLOATS OUTPUT_FLOATS RUNS
 *
 * The weights are mapped, so that they share the pages that the system has of the file. Prints
 * JSON: milliseconds from main to the first inference, of that, and of the fastest of RUNS more;
 * KiB of memory at its peak, as /proc has it. (getrusage's counts what was there before exec.) */
#include "net.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static long peak_memory(void) {
    char line[128];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "VmHWM:", 6))
            kib = strtol(line + 6, NULL, 10);
    if (f)
        fclose(f);
    return kib;
}

static const void *map_weights(const char *path) {
    int fd = open(path, O_RDONLY);
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, NET_WEIGHTS_BYTES, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        close(fd);
    return p == MAP_FAILED ? NULL : p;
}

static void *block(size_t size) {
    return aligned_alloc(64, (size + 64) / 64 * 64);
}

/* Smooth, of the size of a normalised picture. */
static void fill(float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(i % 997) / 250 - 2;
}

int main(int argc, char **argv) {
    double start = now(), best = 1e30;
    if (argc != 5)
        return 1;
    size_t inputs = strtoul(argv[2], NULL, 10), outputs = strtoul(argv[3], NULL, 10);
    const void *weights = map_weights(argv[1]);
    void *arena = block(NET_ARENA_BYTES);
    float *in = block(4 * inputs), *out = block(4 * outputs);
    if (!weights || !arena || !in || !out)
        return 2;
    fill(in, inputs);
    double ready = now();
    if (net_run(weights, in, out, arena) != 0)
        return 3;
    double first = now() - ready;
    for (long i = 0, n = strtol(argv[4], NULL, 10); i < n; i++) {
        double t = now();
        net_run(weights, in, out, arena);
        t = now() - t;
        best = t < best ? t : best;
    }
    printf("{\"load_ms\": %.3f, \"first_ms\": %.3f, \"hot_ms\": %.3f, \"peak_kib\": %ld}\n",
           ready - start, first, best, peak_memory());
    return 0;
}
