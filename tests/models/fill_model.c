/* fill_model.c: gives a skeleton model of the shared test models its weights:
 * fill_model SKELETON.onnx FULL.onnx
 *
 * An initializer with the doc_string "fill seed=S axis=A" holds one bfloat16 scale per index along
 * axis A. Element i (row-major) of the full tensor is u(S, i) * scale[index of i along A], with
 *
 *     z = (S << 32) + (i + 1) * 0x9E3779B97F4A7C15    modulo 2^64 (splitmix64)
 *     z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9
 *     z = (z ^ z >> 27) * 0x94D049BB133111EB
 *     z = z ^ z >> 31
 *     u = (2 * (z >> 40) + 1 - 2^24) / 2^24 */
#include <onnx.pb-c.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, const char *path) {
    fprintf(stderr, "fill_model: %s: %s\n", path, what);
    exit(1);
}

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0)
        fail("can't be read", path);
    long n = ftell(f);
    uint8_t *data = malloc(n > 0 ? (size_t)n : 1);
    if (n < 0 || !data || fseek(f, 0, SEEK_SET) != 0 || fread(data, 1, (size_t)n, f) != (size_t)n)
        fail("can't be read", path);
    fclose(f);
    *size = (size_t)n;
    return data;
}

static void write_file(const char *path, const uint8_t *data, size_t size) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        fail("can't be written", path);
}

static float uniform(uint64_t seed, uint64_t i) {
    uint64_t z = (seed << 32) + (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z = z ^ z >> 31;
    return (float)((int64_t)(z >> 40) * 2 + 1 - (1 << 24)) / (1 << 24);
}

static float bfloat16(const uint8_t *p) {
    uint32_t bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 24;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Replaces the scales of t by all its elements; false where they don't fit its shape. */
static bool fill(Onnx__TensorProto *t, uint64_t seed, size_t axis) {
    size_t n = 1, inner = 1;
    if (axis >= t->n_dims)
        return false;
    for (size_t i = 0; i < t->n_dims; i++) {
        n *= (size_t)t->dims[i];
        inner *= i > axis ? (size_t)t->dims[i] : 1;
    }
    size_t count = (size_t)t->dims[axis];
    if (t->raw_data.len != 2 * count)
        return false;
    float *data = malloc(n * sizeof *data);
    if (!data)
        return false;
    for (size_t i = 0; i < n; i++)
        data[i] = uniform(seed, i) * bfloat16(t->raw_data.data + 2 * (i / inner % count));
    free(t->raw_data.data);
    t->raw_data = (ProtobufCBinaryData){n * sizeof *data, (uint8_t *)data};
    free(t->doc_string);
    t->doc_string = NULL;
    return true;
}

int main(int argc, char **argv) {
    if (argc != 3)
        fail("usage: fill_model SKELETON.onnx FULL.onnx", argc > 0 ? argv[0] : "");
    size_t size;
    uint8_t *data = read_file(argv[1], &size);
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, size, data);
    if (!m || !m->graph)
        fail("is no ONNX model", argv[1]);
    for (size_t i = 0; i < m->graph->n_initializer; i++) {
        Onnx__TensorProto *t = m->graph->initializer[i];
        unsigned long long seed, axis;
        if (!t->doc_string || sscanf(t->doc_string, "fill seed=%llu axis=%llu", &seed, &axis) != 2)
            continue;
        if (!fill(t, seed, (size_t)axis))
            fail("an initializer's scales don't fit its shape", argv[1]);
    }
    free(data);
    size = onnx__model_proto__get_packed_size(m);
    data = malloc(size);
    if (!data)
        fail("no memory", argv[2]);
    onnx__model_proto__pack(m, data);
    write_file(argv[2], data, size);
    onnx__model_proto__free_unpacked(m, NULL);
    free(data);
    return 0;
}
