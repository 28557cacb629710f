/* Unit tests of frontend/wire.c: the walk over a protobuf file that is not trusted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "frontend/import.h"
#include "onnx_writer.h"

/* One scan of one file. */
typedef struct Scan {
    Arena arena;
    Diag diag;
    WireScan out;
    bool ok;
} Scan;

static Scan scan(const Buf *file) {
    Scan s = {0};
    s.ok = wire_scan(&onnx__model_proto__descriptor, (const uint8_t *)file->data, file->len,
                     "test.onnx", &s.arena, &s.out, &s.diag);
    return s;
}

static void scan_free(Scan *s) {
    buf_free(&s->out.copy);
    diag_free(&s->diag);
    arena_free(&s->arena);
}

static const char *note(const Diag *d, const char *label) {
    assert_int_equal(d->items.len, 1);
    const DiagItem *item = d->items.data[0];
    for (size_t i = 0; i < item->notes.len; i++)
        if (strcmp(item->notes.data[i].label, label) == 0)
            return item->notes.data[i].text;
    return "";
}

/* The file is refused, for a reason with `why` in it, at a place with `at` in it. Frees the
 * file. */
static void assert_refused(Buf *file, const char *why, const char *at) {
    Scan s = scan(file);
    assert_false(s.ok);
    assert_int_equal(s.diag.errors, 1);
    assert_int_equal(diag_exit_code(&s.diag), EXIT_BAD_MODEL);
    if (!strstr(note(&s.diag, "reason"), why) || !strstr(note(&s.diag, "at"), at))
        fail_msg("\"%s\" at \"%s\", wanted \"%s\" at \"%s\"", note(&s.diag, "reason"),
                 note(&s.diag, "at"), why, at);
    scan_free(&s);
    buf_free(file);
    *file = (Buf){0};
}

static Buf small_model(void) {
    static const float w[] = {1, 2, 3, 4, 5, 6};
    Buf g = {0}, attrs = {0};
    add_input(&g, "x", ONNX_FLOAT, "batch,3,2,2");
    add_floats(&g, "w", "2,3,1,1", w, 6);
    with_ints(&attrs, "strides", "1,1");
    with_string(&attrs, "auto_pad", "VALID");
    add_node(&g, "Conv", "x,w", "y", &attrs);
    add_output(&g, "y", ONNX_FLOAT, "batch,2,2,2");
    return model_of(&g, 17);
}

/* ---- what protobuf-c gets -------------------------------------------------------------------- */

typedef struct Counter {
    size_t bytes;
} Counter;

static void *count_alloc(void *data, size_t size) {
    ((Counter *)data)->bytes += (size + 15) / 16 * 16;
    return malloc(size);
}

static void count_free(void *data, void *p) {
    (void)data;
    free(p);
}

/* Whether protobuf-c unpacks the copy, and within the bound. */
static void assert_unpacks(const Scan *s) {
    Counter c = {0};
    ProtobufCAllocator allocator = {count_alloc, count_free, &c};
    Onnx__ModelProto *m =
        onnx__model_proto__unpack(&allocator, s->out.copy.len, (const uint8_t *)s->out.copy.data);
    assert_non_null(m);
    if (c.bytes > s->out.unpacked_bytes)
        fail_msg("%zu bytes were allocated, and %zu expected", c.bytes, s->out.unpacked_bytes);
    onnx__model_proto__free_unpacked(m, &allocator);
}

static void test_copy_has_all_but_tensor_data(void **state) {
    (void)state;
    Buf file = small_model();
    Scan s = scan(&file);
    assert_true(s.ok);
    assert_unpacks(&s);
    Onnx__ModelProto *m =
        onnx__model_proto__unpack(NULL, s.out.copy.len, (const uint8_t *)s.out.copy.data);
    assert_int_equal(m->ir_version, 8);
    assert_int_equal(m->opset_import[0]->version, 17);
    assert_int_equal(m->graph->n_node, 1);
    assert_string_equal(m->graph->node[0]->op_type, "Conv");
    assert_string_equal(m->graph->node[0]->attribute[0]->name, "strides");
    assert_int_equal(m->graph->node[0]->attribute[0]->n_ints, 2);
    assert_string_equal(m->graph->input[0]->name, "x");
    const Onnx__TensorProto *w = m->graph->initializer[0];
    assert_int_equal(w->n_dims, 4);
    assert_int_equal(w->raw_data.len, 4);
    onnx__model_proto__free_unpacked(m, NULL);
    scan_free(&s);
    buf_free(&file);
}

static void test_blobs_point_into_the_file(void **state) {
    (void)state;
    Buf file = small_model();
    Scan s = scan(&file);
    assert_int_equal(s.out.blobs.len, 1);
    const WireBlob *b = &s.out.blobs.data[0];
    assert_int_equal(b->field, 9);
    assert_int_equal(b->size, 24);
    assert_true(b->data > (const uint8_t *)file.data);
    assert_true(b->data + b->size <= (const uint8_t *)file.data + file.len);
    float first;
    memcpy(&first, b->data, sizeof first);
    assert_true(first == 1.0f);
    scan_free(&s);
    buf_free(&file);
}

static void test_unknown_fields_are_left_out(void **state) {
    (void)state;
    Buf file = small_model();
    size_t before = file.len;
    Scan plain = scan(&file);
    put_int(&file, 999, 7);
    put_string(&file, 1000, "from the future");
    put_float(&file, 1001, 1);
    Scan s = scan(&file);
    assert_true(s.ok);
    assert_true(file.len > before);
    assert_int_equal(s.out.copy.len, plain.out.copy.len);
    scan_free(&plain);
    scan_free(&s);
    buf_free(&file);
}

static void test_empty_file_is_an_empty_message(void **state) {
    (void)state;
    Buf file = {0};
    Scan s = scan(&file);
    assert_true(s.ok);
    assert_int_equal(s.out.copy.len, 0);
    scan_free(&s);
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* Whatever the bytes: an error with a reason, or a copy that unpacks. */
static void assert_decided(const Buf *file) {
    Scan s = scan(file);
    if (s.ok)
        assert_unpacks(&s);
    else
        assert_string_not_equal(note(&s.diag, "reason"), "");
    assert_int_equal(s.diag.errors, s.ok ? 0 : 1);
    scan_free(&s);
}

/* A copy of n bytes of its own, so that reading past them is found. */
static Buf exact_copy(const char *data, size_t n) {
    Buf b = {malloc(n + 1), n, n + 1};
    assert_non_null(b.data);
    memcpy(b.data, data, n);
    return b;
}

static void test_every_truncation(void **state) {
    (void)state;
    Buf file = small_model();
    for (size_t n = 0; n < file.len; n++) {
        Buf part = exact_copy(file.data, n);
        assert_decided(&part);
        buf_free(&part);
    }
    buf_free(&file);
}

static void test_every_changed_byte(void **state) {
    (void)state;
    static const unsigned char flips[] = {0x01, 0x02, 0x04, 0x08, 0x10,
                                          0x20, 0x40, 0x80, 0x7f, 0xff};
    Buf file = small_model();
    for (size_t i = 0; i < file.len; i++)
        for (size_t k = 0; k < sizeof flips; k++) {
            file.data[i] = (char)(file.data[i] ^ flips[k]);
            assert_decided(&file);
            file.data[i] = (char)(file.data[i] ^ flips[k]);
        }
    buf_free(&file);
}

static void test_lengths_past_the_end(void **state) {
    (void)state;
    Buf b = {0};
    put_tag(&b, 7, 2);
    put_varint(&b, 5);
    buf_puts(&b, "abcd");
    assert_refused(&b, "claims 5 bytes, and 4 are left", "ModelProto.graph");
    put_tag(&b, 7, 2);
    put_varint(&b, (uint64_t)1 << 63);
    assert_refused(&b, "9223372036854775808", "byte 0, field ModelProto.graph");
    Buf inner = {0};
    put_tag(&inner, 1, 2);
    put_varint(&inner, 1); /* there is a byte after the graph, not inside it */
    put_message(&b, 7, &inner);
    put_int(&b, 1, 8);
    assert_refused(&b, "claims 1 bytes, and 0 are left", "GraphProto.node");
}

static void test_numbers_that_do_not_end(void **state) {
    (void)state;
    Buf b = {0};
    put_tag(&b, 1, 0);
    buf_puts(&b, "\x80\x80");
    assert_refused(&b, "does not end", "ir_version");
    put_tag(&b, 1, 0);
    buf_puts(&b, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01");
    assert_refused(&b, "does not end", "ir_version");
    put_tag(&b, 1, 0);
    buf_puts(&b, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"); /* more than 64 bits */
    assert_refused(&b, "does not end", "ir_version");
    put_tag(&b, 77, 5);
    buf_puts(&b, "abc");
    assert_refused(&b, "cut off", "in ModelProto");
}

static void test_varints_of_ten_bytes(void **state) {
    (void)state;
    Buf b = {0};
    put_int(&b, 1, -1);
    Scan s = scan(&b);
    assert_true(s.ok);
    const uint8_t *p = (const uint8_t *)b.data + 1;
    uint64_t x;
    assert_true(wire_varint(&p, (const uint8_t *)b.data + b.len, &x));
    assert_true(x == UINT64_MAX);
    assert_ptr_equal(p, b.data + b.len);
    scan_free(&s);
    buf_free(&b);
}

static void test_tags_that_are_not_legal(void **state) {
    (void)state;
    Buf b = {0};
    put_tag(&b, 0, 0);
    assert_refused(&b, "field number 0", "byte 0");
    put_tag(&b, 5, 3);
    assert_refused(&b, "wire type 3", "byte 0");
    put_tag(&b, 5, 7);
    assert_refused(&b, "wire type 7", "byte 0");
    put_varint(&b, (uint64_t)1 << 33);
    assert_refused(&b, "is not legal", "byte 0");
}

static void test_wire_types_that_do_not_fit(void **state) {
    (void)state;
    Buf b = {0};
    put_int(&b, 7, 1);
    assert_refused(&b, "wire type 0", "ModelProto.graph");
    put_float(&b, 1, 1);
    assert_refused(&b, "wire type 5", "ModelProto.ir_version");
    put_string(&b, 1, "8");
    assert_refused(&b, "wire type 2", "ModelProto.ir_version");
}

static void test_strings_with_a_zero(void **state) {
    (void)state;
    Buf b = {0};
    put_bytes(&b, 2, "a\0b", 3);
    assert_refused(&b, "zero byte", "producer_name");
}

/* ---- tensors --------------------------------------------------------------------------------- */

static Buf model_with_tensor(Buf *tensor) {
    Buf g = {0};
    put_message(&g, 5, tensor);
    return model_of(&g, 17);
}

static void test_tensor_data_comes_once(void **state) {
    (void)state;
    Buf t = raw_tensor("w", ONNX_FLOAT, "1", "abcd", 4);
    put_bytes(&t, 4, "abcd", 4);
    Buf file = model_with_tensor(&t);
    assert_refused(&file, "data twice", "TensorProto.float_data");
    t = tensor_message("w", ONNX_FLOAT, "1");
    put_float(&t, 4, 1);
    file = model_with_tensor(&t);
    assert_refused(&file, "not packed", "TensorProto.float_data");
}

static void test_packed_numbers_are_whole(void **state) {
    (void)state;
    Buf t = tensor_message("w", ONNX_FLOAT, "1");
    put_bytes(&t, 4, "abcde", 5);
    Buf file = model_with_tensor(&t);
    assert_refused(&file, "inside a number", "float_data");
    t = tensor_message("w", ONNX_INT64, "2");
    put_bytes(&t, 7, "\x01\x80", 2);
    file = model_with_tensor(&t);
    assert_refused(&file, "does not end", "int64_data");
}

static void test_references_cannot_be_forged(void **state) {
    (void)state;
    Buf t = raw_tensor("w", ONNX_FLOAT, "1", "\x09\x00\x00\x00", 4); /* looks like blob 9 */
    Buf file = model_with_tensor(&t);
    Scan s = scan(&file);
    assert_true(s.ok);
    Onnx__ModelProto *m =
        onnx__model_proto__unpack(NULL, s.out.copy.len, (const uint8_t *)s.out.copy.data);
    assert_int_equal(m->graph->initializer[0]->raw_data.data[0], 0);
    assert_int_equal(s.out.blobs.len, 1);
    assert_int_equal(s.out.blobs.data[0].data[0], 9);
    onnx__model_proto__free_unpacked(m, NULL);
    scan_free(&s);
    buf_free(&file);
}

/* ---- limits ---------------------------------------------------------------------------------- */

/* graph { node { attribute { g { node ... } } } }, `levels` graphs deep. */
static Buf nested(int levels) {
    Buf graph = {0};
    for (int i = 0; i < levels; i++) {
        Buf attr = {0}, node = {0}, outer = {0};
        put_message(&attr, 6, &graph);
        put_message(&node, 5, &attr);
        put_message(&outer, 1, &node);
        graph = outer;
    }
    return model_of(&graph, 17);
}

static void test_depth(void **state) {
    (void)state;
    Buf file = nested(20); /* a model, 21 graphs, 20 nodes, 20 attributes */
    Scan s = scan(&file);
    assert_true(s.ok);
    assert_unpacks(&s);
    scan_free(&s);
    buf_free(&file);
    file = nested(21); /* 65 messages */
    assert_refused(&file, "nested more than 64 deep", "byte ");
    file = nested(2000);
    assert_refused(&file, "nested more than 64 deep", "byte ");
}

/* A graph of n empty nodes, two bytes each. */
static Buf empty_nodes(size_t n) {
    Buf g = {0};
    for (size_t i = 0; i < n; i++)
        buf_write(&g, "\x0a\x00", 2);
    return model_of(&g, 17);
}

static void test_memory(void **state) {
    (void)state;
    Buf file = empty_nodes(10000);
    Scan s = scan(&file);
    assert_true(s.ok);
    assert_unpacks(&s);
    scan_free(&s);
    buf_free(&file);
    Buf g = {0}, node = {0};
    for (size_t i = 0; i < 900000; i++)
        buf_write(&node, "\x2a\x00", 2); /* an empty attribute */
    put_message(&g, 1, &node);
    file = model_of(&g, 17);
    assert_refused(&file, "would take more than 256 MB", "NodeProto.attribute");
}

static void test_number_of_nodes(void **state) {
    (void)state;
    Buf file = empty_nodes(1000001);
    assert_refused(&file, "more than 900000 nodes", "GraphProto.node");
}

static void test_a_message_comes_once(void **state) {
    (void)state;
    Buf file = small_model(), g = {0};
    put_message(&file, 7, &g);
    assert_refused(&file, "twice", "ModelProto.graph");
}

/* Another format is named; a file with the same bytes that is sound isn't refused. */
static void test_other_formats_are_named(void **state) {
    static const struct {
        const char *bytes;
        size_t length;
        const char *found, *help;
    } rows[] = {
        {"\x1c\0\0\0ORTM\0\0\0\0", 12, "ONNX Runtime's own format", "was made from"},
        {"\x1c\0\0\0TFL3\0\0\0\0", 12, "TensorFlow Lite", "tf2onnx"},
        {"\x89HDF\r\n\x1a\n", 8, "HDF5", "model.export"},
        {"PK\3\4\x14\0\0\0", 8, "ZIP archive", "torch.onnx.export"},
        {"\x1f\x8b\x08\0", 4, "gzip", "gunzip"},
        {"version https://git-lfs.github.com/spec/v1\n", 43, "Git LFS", "git lfs pull"},
        {"<!DOCTYPE html>", 15, "XML or HTML", "download"},
        {"<", 1, "XML or HTML", "download"},
        {"\xff\xff", 2, "", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Buf b = {0};
        buf_write(&b, rows[i].bytes, rows[i].length);
        Scan s = scan(&b);
        assert_false(s.ok);
        assert_non_null(strstr(note(&s.diag, "found"), rows[i].found));
        assert_non_null(strstr(note(&s.diag, "help"), rows[i].help));
        assert_int_equal(*rows[i].found == 0, *note(&s.diag, "found") == 0);
        scan_free(&s);
        buf_free(&b);
    }
    Buf named = {0}; /* ir_version 7, producer_name ORTM */
    buf_write(&named, "\x08\x07\x12\x04ORTM", 8);
    Scan s = scan(&named);
    assert_true(s.ok);
    scan_free(&s);
    buf_free(&named);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_has_all_but_tensor_data),
        cmocka_unit_test(test_blobs_point_into_the_file),
        cmocka_unit_test(test_unknown_fields_are_left_out),
        cmocka_unit_test(test_empty_file_is_an_empty_message),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_every_changed_byte),
        cmocka_unit_test(test_lengths_past_the_end),
        cmocka_unit_test(test_numbers_that_do_not_end),
        cmocka_unit_test(test_varints_of_ten_bytes),
        cmocka_unit_test(test_tags_that_are_not_legal),
        cmocka_unit_test(test_wire_types_that_do_not_fit),
        cmocka_unit_test(test_strings_with_a_zero),
        cmocka_unit_test(test_tensor_data_comes_once),
        cmocka_unit_test(test_packed_numbers_are_whole),
        cmocka_unit_test(test_references_cannot_be_forged),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_other_formats_are_named),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_number_of_nodes),
        cmocka_unit_test(test_a_message_comes_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
