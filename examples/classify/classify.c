/* classify.c: what EfficientNet-Lite0 sees in a picture.
 *
 *     classify WEIGHTS LABELS PICTURE
 *
 * lite0.h and lite0.c were generated: effnetc efficientnet_lite0.onnx --name lite0 -o DIR. */
#include "lite0.h"
#include "runtime/runtime.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIZE = 224, CLASSES = 1000, TOP = 5, RUNS = 20 };

static void give_up(const char *what, const char *why) {
    fprintf(stderr, "classify: %s: %s\n", what, why);
    exit(1);
}

static void *allocate(size_t size) {
    void *p = rt_memory_new(size);
    if (!p)
        give_up("memory", "there is not enough");
    return p;
}

static void *load_weights(const char *path) {
    void *weights = allocate(LITE0_WEIGHTS_BYTES);
    FILE *f = fopen(path, "rb");
    if (!f)
        give_up(path, "can't be opened");
    size_t size = fread(weights, 1, LITE0_WEIGHTS_BYTES, f);
    fclose(f);
    if (lite0_check_weights(weights, size) != LITE0_OK)
        give_up(path, "these are not the weights that lite0.c was generated with");
    return weights;
}

/* As in training: the centre of the picture, bicubic, (x - 127) / 128. */
static float *load_picture(const char *path) {
    const rt_preprocess how = {.width = SIZE,
                               .height = SIZE,
                               .crop = 224.0 / 256,
                               .filter = RT_BICUBIC,
                               .mean = {127, 127, 127},
                               .std = {128, 128, 128}};
    float *input = allocate(3 * SIZE * SIZE * sizeof *input);
    rt_image picture;
    rt_error err;
    if (rt_image_read(&picture, path, &err) != RT_OK || rt_image_turn(&picture, &err) != RT_OK ||
        rt_preprocess_image(input, &picture, &how, &err) != RT_OK)
        give_up(path, err.text);
    rt_image_free(&picture);
    return input;
}

static double milliseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* The shortest of several runs. */
static double run(const void *weights, const float *input, float *logits, void *arena) {
    double best = INFINITY;
    for (int i = 0; i < RUNS; i++) {
        double start = milliseconds();
        if (lite0_run(weights, input, logits, arena) != 0)
            give_up("lite0_run", "a pointer is null or misaligned");
        best = fmin(best, milliseconds() - start);
    }
    return best;
}

static void softmax(float *x, int n) {
    float max = x[0], sum = 0;
    for (int i = 1; i < n; i++)
        max = fmaxf(max, x[i]);
    for (int i = 0; i < n; i++)
        sum += x[i] = expf(x[i] - max);
    for (int i = 0; i < n; i++)
        x[i] /= sum;
}

/* Prints the best class and takes it out, TOP times. */
static void print_top(float *probability, const rt_labels *labels) {
    for (int k = 0; k < TOP; k++) {
        int best = 0;
        for (int i = 1; i < CLASSES; i++)
            if (probability[i] > probability[best])
                best = i;
        printf("%6.2f %%  %s\n", 100 * probability[best], rt_label(labels, (size_t)best));
        probability[best] = -1;
    }
}

int main(int argc, char **argv) {
    if (argc != 4)
        give_up("usage", "classify WEIGHTS LABELS PICTURE");
    rt_labels labels;
    rt_error err;
    float logits[CLASSES];
    if (rt_labels_read(&labels, argv[2], &err) != RT_OK)
        give_up(argv[2], err.text);
    void *weights = load_weights(argv[1]), *arena = allocate(LITE0_ARENA_BYTES);
    float *input = load_picture(argv[3]);
    double best = run(weights, input, logits, arena);
    softmax(logits, CLASSES);
    print_top(logits, &labels);
    printf("%.2f ms an inference (best of %d); %.1f MB of weights, %.1f MB of arena\n", best, RUNS,
           1e-6 * (double)LITE0_WEIGHTS_BYTES, 1e-6 * (double)LITE0_ARENA_BYTES);
    rt_labels_free(&labels);
    rt_memory_free(weights);
    rt_memory_free(arena);
    rt_memory_free(input);
    return 0;
}
