/* .npy files: what NumPy writes is read, what is written NumPy's reader takes, the rest is
 * refused. */
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A file of a given format version around a header text; `elements` bytes of 0, 1, 2, ...
 * follow. */
typedef struct File {
    uint8_t bytes[1024];
    size_t size;
} File;

static File file(int major, const char *header, size_t elements) {
    File f = {.size = 8};
    size_t n = strlen(header);
    memcpy(f.bytes, "\x93NUMPY", 6);
    f.bytes[6] = (uint8_t)major;
    for (int i = 0; i < (major == 1 ? 2 : 4); i++)
        f.bytes[f.size++] = (uint8_t)(n >> (8 * i));
    memcpy(f.bytes + f.size, header, n);
    f.size += n;
    for (size_t i = 0; i < elements; i++)
        f.bytes[f.size++] = (uint8_t)i;
    return f;
}

/* Decodes a copy of exact size, so that the sanitizers see any read past the end. */
static int decode(rt_array *a, const uint8_t *data, size_t size, rt_error *err) {
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    int code = rt_npy_decode(a, copy, size, err);
    free(copy);
    return code;
}

#define HEADER "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"

static void test_three_format_versions(void **state) {
    (void)state;
    for (int major = 1; major <= 3; major++) {
        File f = file(major, HEADER "          \n", 24);
        rt_array a;
        rt_error err;
        if (decode(&a, f.bytes, f.size, &err) != RT_OK)
            fail_msg("format %d.0: %s", major, err.text);
        assert_int_equal(a.kind, 'f');
        assert_int_equal(a.itemsize, 4);
        assert_int_equal(a.rank, 2);
        assert_int_equal(a.dim[0], 2);
        assert_int_equal(a.dim[1], 3);
        assert_int_equal(a.bytes, 24);
        assert_int_equal(((uint8_t *)a.data)[23], 23);
        rt_array_free(&a);
    }
}

/* The elements may be missing: a shape alone is asked for. */
static void test_header_alone(void **state) {
    (void)state;
    File f = file(1, HEADER "\n", 0);
    rt_array a;
    rt_error err;
    assert_int_equal(rt_npy_header(&a, f.bytes, f.size, &err), RT_OK);
    assert_int_equal(a.rank, 2);
    assert_int_equal(a.dim[1], 3);
    assert_int_equal(a.bytes, 24);
    assert_null(a.data);
    assert_int_equal(rt_npy_header(&a, f.bytes, f.size - 1, NULL), RT_ERROR_FORMAT);
    assert_int_equal(a.rank, 0);
}

typedef struct Form {
    const char *header;
    size_t bytes;
    char kind;
    int itemsize, rank;
} Form;

static const Form forms[] = {
    {"{'shape':(3,),'fortran_order':False,'descr':'<i8'}", 24, 'i', 8, 1},
    {"{\"descr\": \"|u1\", \"fortran_order\": False, \"shape\": (2,2)}", 4, 'u', 1, 2},
    {"{'descr': '|b1', 'fortran_order': False, 'shape': (), }", 1, 'b', 1, 0},
    {"{'descr': '<f2', 'fortran_order': False, 'shape': (1L, 2L), }", 4, 'f', 2, 2},
    {"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99), }", 0, 'f', 8, 2},
    {"{'descr': '<u2', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1), }", 2, 'u', 2, 8},
    {"{'descr': '|i1', 'fortran_order': False, 'shape': (9223372036854775807, 0), }", 0, 'i', 1, 2},
};

static void test_header_forms(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const Form *c = &forms[i];
        File f = file(1, c->header, c->bytes);
        rt_array a;
        rt_error err;
        if (decode(&a, f.bytes, f.size, &err) != RT_OK)
            fail_msg("%s: %s", c->header, err.text);
        assert_int_equal(a.kind, c->kind);
        assert_int_equal(a.itemsize, c->itemsize);
        assert_int_equal(a.rank, c->rank);
        assert_int_equal(a.bytes, c->bytes);
        rt_array_free(&a);
    }
}

typedef struct Bad {
    const char *header;
    size_t bytes;
    int code;
    const char *says;
} Bad;

static const Bad bad[] = {
    {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", 24, RT_ERROR_UNSUPPORTED,
     "Fortran"},
    {"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }", 24, RT_ERROR_UNSUPPORTED,
     "big endian"},
    {"{'descr': '<c8', 'fortran_order': False, 'shape': (2,), }", 16, RT_ERROR_UNSUPPORTED,
     "'<c8'"},
    {"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", 16, RT_ERROR_UNSUPPORTED, "'|O'"},
    {"{'descr': '<f3', 'fortran_order': False, 'shape': (2,), }", 6, RT_ERROR_UNSUPPORTED, "'<f3'"},
    {"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8, RT_ERROR_UNSUPPORTED,
     "element type"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 4,
     RT_ERROR_UNSUPPORTED, "dimensions"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3), }", 24, RT_ERROR_FORMAT, "shape"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 4,
     RT_ERROR_FORMAT, "shape"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", 4,
     RT_ERROR_FORMAT, "memory"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 23, RT_ERROR_FORMAT,
     "24 bytes"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 25, RT_ERROR_FORMAT,
     "24 bytes"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3", 24, RT_ERROR_FORMAT, "shape"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': 6, }", 24, RT_ERROR_FORMAT, "tuple"},
    {"{'descr': '<f4', 'fortran_order': 0, 'shape': (6,), }", 24, RT_ERROR_FORMAT, "fortran_order"},
    {"{'descr': '<f4', 'shape': (6,), }", 24, RT_ERROR_FORMAT, "lacks"},
    {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (6,)}", 24, RT_ERROR_FORMAT,
     "twice"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,)", 24, RT_ERROR_FORMAT, "end"},
    {"{'descr", 24, RT_ERROR_FORMAT, "strings"},
    {"[1, 2]", 24, RT_ERROR_FORMAT, "dict"},
    {"", 0, RT_ERROR_FORMAT, "dict"},
};

static void test_bad_headers_are_refused_with_the_reason(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        File f = file(1, bad[i].header, bad[i].bytes);
        rt_array a;
        rt_error err = {{0}};
        int code = decode(&a, f.bytes, f.size, &err);
        if (code != bad[i].code || !strstr(err.text, bad[i].says))
            fail_msg("%s: code %d, \"%s\"; wanted %d, \"%s\"", bad[i].header, code, err.text,
                     bad[i].code, bad[i].says);
        assert_null(a.data);
    }
}

static void test_every_prefix_is_refused(void **state) {
    File f = file(2, HEADER "\n", 24);
    (void)state;
    for (size_t n = 0; n < f.size; n++) {
        rt_array a;
        if (decode(&a, f.bytes, n, NULL) == RT_OK)
            fail_msg("the first %zu of %zu bytes are taken for a file", n, f.size);
    }
}

static void test_headers_that_lie_about_their_length(void **state) {
    File f = file(2, HEADER "\n", 24);
    rt_array a;
    rt_error err;
    (void)state;
    memset(f.bytes + 8, 0xff, 4);
    assert_int_equal(decode(&a, f.bytes, f.size, &err), RT_ERROR_FORMAT);
    f = file(4, HEADER "\n", 24);
    assert_int_equal(decode(&a, f.bytes, f.size, &err), RT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "4.0"));
}

static void test_files_begin_elements_at_a_multiple_of_64(void **state) {
    float x[6] = {0, -1, 2.5f, 3, 1e-30f, 5};
    (void)state;
    for (int rank = 0; rank <= 8; rank++) {
        rt_array in = {.kind = 'f', .itemsize = 4, .rank = rank, .data = x, .bytes = 4}, out;
        uint8_t *data;
        size_t size;
        for (int i = 0; i < rank; i++)
            in.dim[i] = 1;
        if (rank > 0) {
            in.dim[rank - 1] = 6;
            in.bytes = 24;
        }
        assert_int_equal(rt_npy_encode(&data, &size, &in, NULL), RT_OK);
        assert_int_equal((size - in.bytes) % 64, 0);
        assert_int_equal(data[size - in.bytes - 1], '\n');
        assert_int_equal(decode(&out, data, size, NULL), RT_OK);
        assert_int_equal(out.rank, rank);
        assert_memory_equal(out.dim, in.dim, sizeof in.dim);
        assert_memory_equal(out.data, x, in.bytes);
        rt_array_free(&out);
        free(data);
    }
}

/* The bytes of np.save("x.npy", np.array([1, 2], np.uint8)). */
static void test_a_file_equals_numpys(void **state) {
    uint8_t x[2] = {1, 2}, *data;
    rt_array in = {.kind = 'u', .itemsize = 1, .rank = 1, .dim = {2}, .data = x, .bytes = 2};
    static const char begin[] =
        "\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }";
    char want[128];
    size_t size;
    (void)state;
    memset(want, ' ', sizeof want);
    memcpy(want, begin, sizeof begin - 1);
    want[127] = '\n';
    assert_int_equal(rt_npy_encode(&data, &size, &in, NULL), RT_OK);
    assert_int_equal(size, 130);
    assert_memory_equal(data, want, 128);
    assert_memory_equal(data + 128, x, 2);
    free(data);
}

static void test_arrays_that_contradict_themselves_are_not_written(void **state) {
    float x[6] = {0};
    uint8_t *data;
    size_t size;
    rt_array a = {.kind = 'f', .itemsize = 4, .rank = 1, .dim = {6}, .data = x, .bytes = 24};
    (void)state;
    a.bytes = 20;
    assert_int_equal(rt_npy_encode(&data, &size, &a, NULL), RT_ERROR_ARGUMENT);
    a.bytes = 24;
    a.itemsize = 3;
    assert_int_equal(rt_npy_encode(&data, &size, &a, NULL), RT_ERROR_ARGUMENT);
    a.itemsize = 4;
    a.rank = 9;
    assert_int_equal(rt_npy_encode(&data, &size, &a, NULL), RT_ERROR_ARGUMENT);
}

static void test_files_on_disk(void **state) {
    char path[] = "test-npy-XXXXXX";
    int16_t x[3] = {-1, 0, 32767};
    rt_array in = {.kind = 'i', .itemsize = 2, .rank = 1, .dim = {3}, .data = x, .bytes = 6}, out;
    rt_error err;
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(rt_npy_write(path, &in, &err), RT_OK);
    assert_int_equal(rt_npy_read(&out, path, &err), RT_OK);
    assert_memory_equal(out.data, x, 6);
    rt_array_free(&out);
    remove(path);
    assert_int_equal(rt_npy_read(&out, path, &err), RT_ERROR_IO);
    assert_int_equal(rt_npy_write("no/such/folder/x.npy", &in, &err), RT_ERROR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_format_versions),
        cmocka_unit_test(test_header_alone),
        cmocka_unit_test(test_header_forms),
        cmocka_unit_test(test_bad_headers_are_refused_with_the_reason),
        cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_headers_that_lie_about_their_length),
        cmocka_unit_test(test_files_begin_elements_at_a_multiple_of_64),
        cmocka_unit_test(test_a_file_equals_numpys),
        cmocka_unit_test(test_arrays_that_contradict_themselves_are_not_written),
        cmocka_unit_test(test_files_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
