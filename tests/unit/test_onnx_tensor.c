/* Unit tests of frontend/onnx_tensor.c and onnx_external.c: TensorProto to Tensor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frontend/import.h"
#include "onnx_writer.h"

/* One TensorProto, read as the model "PATH" would. */
typedef struct Read {
    Importer im;
    Diag diag;
    Tensor *t;
    Problem p;
} Read;

static Read *read_tensor(const Buf *file, const char *path) {
    Read *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->im.d = &r->diag;
    r->im.path = path;
    r->im.folder = folder_of(&r->im.arena, path);
    r->im.g = graph_new("test");
    assert_true(wire_scan(&onnx__tensor_proto__descriptor, (const uint8_t *)file->data, file->len,
                          path, &r->im.arena, &r->im.wire, &r->diag));
    Onnx__TensorProto *proto = onnx__tensor_proto__unpack(
        NULL, r->im.wire.copy.len, (const uint8_t *)buf_str(&r->im.wire.copy));
    assert_non_null(proto);
    r->t = tensor_import(&r->im, proto, &r->p);
    onnx__tensor_proto__free_unpacked(proto, NULL);
    return r;
}

static void read_free(Read *r) {
    graph_free(r->im.g);
    buf_free(&r->im.wire.copy);
    diag_free(&r->diag);
    arena_free(&r->im.arena);
    free(r);
}

/* The tensor is refused with that code, for a reason with `why` in it. Frees the message. */
static void assert_refused_at(Buf *t, const char *path, int exit_code, const char *why) {
    Read *r = read_tensor(t, path);
    assert_null(r->t);
    assert_int_equal(r->p.exit_code, exit_code);
    if (!strstr(r->p.reason, why))
        fail_msg("\"%s\", wanted \"%s\"", r->p.reason, why);
    read_free(r);
    buf_free(t);
    *t = (Buf){0};
}

static void assert_refused(Buf *t, int exit_code, const char *why) {
    assert_refused_at(t, "test.onnx", exit_code, why);
}

static Buf packed_tensor(int dtype, const char *dims, unsigned field, const int64_t *v, size_t n) {
    Buf t = tensor_message("w", dtype, dims), data = {0};
    for (size_t i = 0; i < n; i++)
        put_varint(&data, (uint64_t)v[i]);
    put_message(&t, field, &data);
    return t;
}

/* ---- raw_data -------------------------------------------------------------------------------- */

static void test_raw_data(void **state) {
    (void)state;
    static const float v[] = {1.5f, -2, 0, 3, 4, 5};
    Buf b = raw_tensor("w", ONNX_FLOAT, "2,3", v, sizeof v);
    Read *r = read_tensor(&b, "test.onnx");
    assert_non_null(r->t);
    assert_int_equal(r->t->dtype, DT_f32);
    assert_int_equal(r->t->shape.rank, 2);
    assert_int_equal(r->t->shape.dim[1], 3);
    assert_memory_equal(r->t->data, v, sizeof v);
    assert_int_equal((uintptr_t)r->t->data % sizeof(float), 0);
    read_free(r);
    buf_free(&b);
}

/* The same file at four alignments: one gives a view, the others copies, all the same elements. */
static void test_views_and_copies(void **state) {
    (void)state;
    static const float v[] = {1, 2, 3, 4};
    int views = 0;
    for (int pad = 0; pad < 4; pad++) {
        Buf b = {0};
        put_string(&b, 12, &"abc"[3 - pad]); /* a doc_string of 0 to 3 bytes moves the rest */
        Buf t = raw_tensor("w", ONNX_FLOAT, "4", v, sizeof v);
        buf_write(&b, t.data, t.len);
        Read *r = read_tensor(&b, "test.onnx");
        const char *data = r->t->data;
        views += data >= b.data && data < b.data + b.len;
        assert_memory_equal(data, v, sizeof v);
        read_free(r);
        buf_free(&t);
        buf_free(&b);
    }
    assert_int_equal(views, 1);
}

static void test_scalars_and_empty_tensors(void **state) {
    (void)state;
    const int64_t seven = 7;
    Buf b = raw_tensor("w", ONNX_INT64, "", &seven, sizeof seven);
    Read *r = read_tensor(&b, "test.onnx");
    assert_int_equal(r->t->shape.rank, 0);
    assert_int_equal(tensor_i64(r->t, 0), 7);
    read_free(r);
    buf_free(&b);
    b = tensor_message("w", ONNX_FLOAT, "3,0");
    r = read_tensor(&b, "test.onnx");
    assert_non_null(r->t);
    assert_int_equal(shape_elems(&r->t->shape), 0);
    read_free(r);
    buf_free(&b);
}

static void test_sizes_must_match(void **state) {
    (void)state;
    Buf b = raw_tensor("w", ONNX_FLOAT, "2", "12345678", 7);
    assert_refused(&b, EXIT_BAD_MODEL, "need 8 bytes of data, and it has 7");
    b = raw_tensor("w", ONNX_FLOAT, "1", "12345678", 8);
    assert_refused(&b, EXIT_BAD_MODEL, "need 4 bytes of data, and it has 8");
    b = tensor_message("w", ONNX_FLOAT, "2");
    assert_refused(&b, EXIT_BAD_MODEL, "no data");
    b = raw_tensor("w", ONNX_FLOAT, "0", "1234", 4);
    assert_refused(&b, EXIT_BAD_MODEL, "need 0 bytes");
}

/* ---- dimensions and types -------------------------------------------------------------------- */

static void test_dimensions(void **state) {
    (void)state;
    Buf b = raw_tensor("w", ONNX_FLOAT, "-3", "1234", 4);
    assert_refused(&b, EXIT_BAD_MODEL, "dimension 0 is -3");
    b = tensor_message("w", ONNX_FLOAT, "1048576,1048576");
    assert_refused(&b, EXIT_BAD_MODEL, "more than");
    b = tensor_message("w", ONNX_FLOAT, "4294967296,4294967296"); /* the product is 0 modulo 2^64 */
    assert_refused(&b, EXIT_BAD_MODEL, "more than");
    b = tensor_message("w", ONNX_FLOAT, "1,1,1,1,1,1,1,1,1");
    assert_refused(&b, EXIT_UNSUPPORTED, "9 dimensions");
}

static void test_data_types(void **state) {
    (void)state;
    Buf b = tensor_message("w", 0, "1");
    assert_refused(&b, EXIT_BAD_MODEL, "no data type");
    b = tensor_message("w", 8, "1"); /* strings */
    assert_refused(&b, EXIT_UNSUPPORTED, "strings are not supported");
    b = tensor_message("w", 12345, "1");
    assert_refused(&b, EXIT_UNSUPPORTED, "data type 12345");
}

/* ---- typed fields ---------------------------------------------------------------------------- */

typedef struct TypedCase {
    int onnx;
    unsigned field;
    int64_t in[3];
    double out[3];
} TypedCase;

static void test_typed_fields(void **state) {
    (void)state;
    static const TypedCase cases[] = {
        {ONNX_INT64, 7, {INT64_MIN, -1, 5}, {-9223372036854775808.0, -1, 5}},
        {ONNX_INT32, 5, {INT32_MIN, -1, INT32_MAX}, {-2147483648.0, -1, 2147483647.0}},
        {5, 5, {INT16_MIN, -1, 7}, {-32768, -1, 7}},
        {3, 5, {-128, -1, 127}, {-128, -1, 127}},
        {ONNX_UINT8, 5, {0, 1, 255}, {0, 1, 255}},
        {4, 5, {0, 1, 65535}, {0, 1, 65535}},
        {ONNX_BOOL, 5, {0, 1, 1}, {0, 1, 1}},
        {10, 5, {0x3c00, 0xc000, 0x7bff}, {1, -2, 65504}}, /* f16 */
        {16, 5, {0x3f80, 0xc000, 0x4040}, {1, -2, 3}},     /* bf16 */
        {12, 11, {0, 1, 4294967295}, {0, 1, 4294967295.0}},
        {13, 11, {0, 1, 77}, {0, 1, 77}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const TypedCase *c = &cases[i];
        Buf b = packed_tensor(c->onnx, "3", c->field, c->in, 3);
        Read *r = read_tensor(&b, "test.onnx");
        if (!r->t)
            fail_msg("ONNX data type %d: %s", c->onnx, r->p.reason);
        for (int k = 0; k < 3; k++)
            assert_true(tensor_f64(r->t, k) == c->out[k]);
        read_free(r);
        buf_free(&b);
    }
}

static void test_float_and_double_data(void **state) {
    (void)state;
    static const float f[] = {1.5f, -2.5f};
    static const double d[] = {0.1, -1e300};
    Buf b = tensor_message("w", ONNX_FLOAT, "2");
    put_bytes(&b, 4, f, sizeof f);
    Read *r = read_tensor(&b, "test.onnx");
    assert_true(tensor_f64(r->t, 1) == -2.5);
    read_free(r);
    buf_free(&b);
    b = tensor_message("w", 11, "2");
    put_bytes(&b, 10, d, sizeof d);
    r = read_tensor(&b, "test.onnx");
    assert_true(tensor_f64(r->t, 0) == 0.1 && tensor_f64(r->t, 1) == -1e300);
    read_free(r);
    buf_free(&b);
}

static void test_typed_fields_are_checked(void **state) {
    (void)state;
    static const int64_t v[] = {1, 300, -1};
    Buf b = packed_tensor(ONNX_UINT8, "3", 5, v, 3);
    assert_refused(&b, EXIT_BAD_MODEL, "element 1, 300, is not in the range of u8");
    b = packed_tensor(ONNX_INT64, "4", 7, v, 3);
    assert_refused(&b, EXIT_BAD_MODEL, "need 4 elements, and it has 3");
    b = packed_tensor(ONNX_FLOAT, "3", 7, v, 3);
    assert_refused(&b, EXIT_BAD_MODEL, "not for f32");
    b = packed_tensor(ONNX_INT64, "68719476736", 7, v, 3); /* 2^36 elements */
    assert_refused(&b, EXIT_BAD_MODEL, "more than");
}

/* ---- external data --------------------------------------------------------------------------- */

/* Each of these tests runs with a model folder of its own, which has a file "w.data" of 32 bytes
 * and a link out of it; the path of its model is model_path. */
static char folder[256], model_path[300];

static const char *in_folder(const char *name) {
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "tensor-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(model_path, sizeof model_path, "%s/model.onnx", folder);
    FILE *f = fopen(in_folder("w.data"), "wb");
    if (!f)
        return -1;
    for (int i = 0; i < 8; i++)
        fwrite(&(float){(float)i}, sizeof(float), 1, f);
    fclose(f);
    return symlink("/", in_folder("root")) | symlink("w.data", in_folder("link.data")) |
           mkdir(in_folder("folder"), 0700);
}

static int remove_folder(void **state) {
    (void)state;
    static const char *const files[] = {"w.data", "root", "link.data"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(in_folder(files[i]));
    rmdir(in_folder("folder"));
    return rmdir(folder);
}

static void put_entry(Buf *t, const char *key, const char *value) {
    Buf e = {0};
    put_string(&e, 1, key);
    put_string(&e, 2, value);
    put_message(t, 13, &e);
}

/* A tensor of floats; a NULL entry is left out. */
static Buf external_tensor(const char *dims, const char *location, const char *offset,
                           const char *length) {
    Buf t = tensor_message("w", ONNX_FLOAT, dims);
    put_int(&t, 14, 1);
    if (location)
        put_entry(&t, "location", location);
    if (offset)
        put_entry(&t, "offset", offset);
    if (length)
        put_entry(&t, "length", length);
    return t;
}

static void assert_external(const char *dims, const char *location, const char *offset,
                            const char *length, float first) {
    Buf b = external_tensor(dims, location, offset, length);
    Read *r = read_tensor(&b, model_path);
    if (!r->t)
        fail_msg("%s: %s", location, r->p.reason);
    assert_true(tensor_f64(r->t, 0) == (double)first);
    assert_int_equal(r->im.g->mappings.len, 1);
    read_free(r);
    buf_free(&b);
}

static void test_external_data(void **state) {
    (void)state;
    assert_external("8", "w.data", NULL, NULL, 0);
    assert_external("2", "w.data", "24", "8", 6);
    assert_external("2", "w.data", "4", NULL, 1); /* the file has more */
    assert_external("8", "./w.data", "0", "32", 0);
    assert_external("8", "link.data", NULL, NULL, 0); /* the link stays in the folder */
}

static void assert_external_refused(const char *location, const char *offset, const char *length,
                                    const char *why) {
    Buf b = external_tensor("8", location, offset, length);
    assert_refused_at(&b, model_path, EXIT_BAD_MODEL, why);
}

static void test_external_locations(void **state) {
    (void)state;
    assert_external_refused(NULL, NULL, NULL, "no location");
    assert_external_refused("", NULL, NULL, "inside the model's folder");
    assert_external_refused("/etc/passwd", NULL, NULL, "inside the model's folder");
    assert_external_refused("../../etc/passwd", NULL, NULL, "inside the model's folder");
    assert_external_refused("folder/../w.data", NULL, NULL, "inside the model's folder");
    assert_external_refused("folder/..", NULL, NULL, "inside the model's folder");
    assert_external_refused("root/etc/passwd", NULL, NULL, "out of the model's folder");
    assert_external_refused("folder", NULL, NULL, "not a regular file");
    assert_external_refused("missing.data", NULL, NULL, "is missing");
}

static void test_external_ranges(void **state) {
    (void)state;
    assert_external_refused("w.data", "4", NULL, "which has 32");
    assert_external_refused("w.data", "9223372036854775807", NULL, "which has 32");
    assert_external_refused("w.data", "-4", NULL, "offset");
    assert_external_refused("w.data", "many", NULL, "offset");
    assert_external_refused("w.data", NULL, "31", "need 32 bytes of data, and 31 are external");
    assert_external_refused("w.data", NULL, "-32", "length");
    Buf b = external_tensor("8", "w.data", NULL, NULL);
    put_bytes(&b, 9, "1234", 4);
    assert_refused_at(&b, model_path, EXIT_BAD_MODEL, "of its own and in another file");
}

/* misaligned external data are copied; a file is mapped once for all its tensors */
static void test_external_file_is_mapped_once(void **state) {
    (void)state;
    Buf b = external_tensor("1", "w.data", "5", "4");
    Read *r = read_tensor(&b, model_path);
    assert_non_null(r->t);
    assert_int_equal((uintptr_t)r->t->data % sizeof(float), 0);
    Onnx__TensorProto *proto = onnx__tensor_proto__unpack(
        NULL, r->im.wire.copy.len, (const uint8_t *)buf_str(&r->im.wire.copy));
    assert_non_null(tensor_import(&r->im, proto, &r->p));
    assert_int_equal(r->im.g->mappings.len, 1);
    onnx__tensor_proto__free_unpacked(proto, NULL);
    read_free(r);
    buf_free(&b);
}

/* Tensors that share bytes cost nothing here, but would where they are copied. */
static void test_external_tensors_that_overlap(void **state) {
    (void)state;
    Buf b = external_tensor("8", "w.data", NULL, NULL);
    Read *r = read_tensor(&b, model_path);
    Onnx__TensorProto *proto = onnx__tensor_proto__unpack(
        NULL, r->im.wire.copy.len, (const uint8_t *)buf_str(&r->im.wire.copy));
    assert_non_null(tensor_import(&r->im, proto, &r->p)); /* tied weights: twice is fine */
    assert_null(tensor_import(&r->im, proto, &r->p));
    assert_int_equal(r->p.exit_code, EXIT_UNSUPPORTED);
    assert_non_null(strstr(r->p.reason, "overlap"));
    onnx__tensor_proto__free_unpacked(proto, NULL);
    read_free(r);
    buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw_data),
        cmocka_unit_test(test_views_and_copies),
        cmocka_unit_test(test_scalars_and_empty_tensors),
        cmocka_unit_test(test_sizes_must_match),
        cmocka_unit_test(test_dimensions),
        cmocka_unit_test(test_data_types),
        cmocka_unit_test(test_typed_fields),
        cmocka_unit_test(test_float_and_double_data),
        cmocka_unit_test(test_typed_fields_are_checked),
        cmocka_unit_test_setup_teardown(test_external_data, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_external_locations, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_external_ranges, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_external_file_is_mapped_once, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(test_external_tensors_that_overlap, make_folder,
                                        remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
