/* Unit tests of ir/graph_print.c, graph_lex.c, graph_number.c, graph_parse*.c: the text form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ir/graph.h"
#include "tests/lib/graph_text.h"

/* ---- round trips ---------------------------------------------------------------------------- */

/* Whether the text, which is in printed form, prints as itself. */
static void check_prints_as_itself(const char *text) {
    Graph *g = graph_of(text);
    assert_non_null(g);
    Buf b = {0};
    graph_print(&b, g, CONSTANTS_INLINE);
    assert_string_equal(buf_str(&b), text);
    buf_free(&b);
    graph_free(g);
}

static const char block_text[] =
    "graph @blk2b(%in: f32[1,24,5,7]{nchw16c}) -> f32[1,24,5,7]{nchw16c} {\n"
    "  const @e.w : f32[144,24,1,1] = xxh:0123456789abcdef\n"
    "  const @e.b : f32[144] = xxh:00000000000000ff\n"
    "  const @d.w : f32[144,1,3,3] = xxh:8c1f00aa90b2c7d1\n"
    "  const @r.w : f32[6,144,1,1] = xxh:8c1f00aa90b2c7d2\n"
    "  const @r.b : f32[6] = [0.1, -0.2, 3e-10, inf, -inf, nan]\n"
    "  const @x.w : f32[144,6,1,1] = xxh:8c1f00aa90b2c7d3\n"
    "  const @x.b : f32[144] = xxh:8c1f00aa90b2c7d4\n"
    "  const @p.w : f32[24,144,1,1] = xxh:8c1f00aa90b2c7d5\n"
    "  %e = conv2d %in, @e.w, @e.b {act=silu} : f32[1,144,5,7]{nchw16c, halo=1x1x1x1, arena=0}"
    "  # \"blocks.2.1/expand\"\n"
    "  %d, %m = dwconv2d %e, @d.w {kernel=3x3, pad=1x1x1x1, act=silu} : "
    "f32[1,144,5,7]{nchw16c}, f32[1,144,1,1]{nchw16c}\n"
    "  %g, %g.scratch = se %m, @r.w, @r.b, @x.w, @x.b {gate=hard_sigmoid} : "
    "f32[1,144,1,1]{arena=36288},"
    " f32[300]{arena=40000}\n"
    "  %o = conv2d %d, @p.w, scale=%g, residual=%in : f32[1,24,5,7]{nchw16c}\n"
    "  return %o \"output \\\"0\\\"\"\n"
    "}\n";

static void a_block_prints_as_itself(void **state) {
    (void)state;
    check_prints_as_itself(block_text);
}

static void absent_results_are_written(void **state) {
    (void)state;
    check_prints_as_itself("graph @g(%x: f32[1,2,3,3]) -> f32[1,2,3,3] {\n"
                           "  const @w : f32[2,2,1,1] = [1, 2, 3, 4]\n"
                           "  const @dw : f32[2,1,1,1] = [1, 2]\n"
                           "  %y, _, %s = conv2d_dwconv2d %x, @w, _, @dw {act=silu, band=2} : "
                           "f32[1,2,3,3], f32[48]\n"
                           "  %z, %m, %t = conv2d_dwconv2d %y, @w, _, @dw {parts=3} : "
                           "f32[1,2,3,3], f32[1,2,1,1], f32[48]\n"
                           "  return %z \"z\"\n"
                           "}\n");
}

static void every_attribute_kind_prints_as_itself(void **state) {
    (void)state;
    check_prints_as_itself(
        "graph @attrs(%x: f32[2,3,4,5], %k: f32[6,1,2,3], %i: i64[7]) -> () {\n"
        "  %a = conv2d %x, %k {kernel=2x3, stride=2x1, pad=0x1x2x3, dilation=1x2, group=3} : "
        "f32[2,6,3,5]\n"
        "  %b = clip %x {min=inf, max=-inf} : f32[2,3,4,5]\n"
        "  %c = pad %x {before=[0, 0, 1, 1], after=[0, 0, 2, 2], value=-0} : f32[2,3,7,8]\n"
        "  %d = cast %i {to=bf16} : bf16[7]\n"
        "  %e = reduce_mean %x {axes=[3, 2], keepdims=false} : f32[2,3]\n"
        "  %f = softmax %x {axis=3} : f32[2,3,4,5]\n"
        "  %g = clip %x {min=1e-300, max=123456789.12345679} : f32[2,3,4,5]\n"
        "  %h = reduce_mean %x : f32[2,3,4,5]\n"
        "  return\n"
        "}\n");
}

static void odd_shapes_of_graphs_print_as_themselves(void **state) {
    (void)state;
    check_prints_as_itself("graph @empty() -> () {\n  return\n}\n");
    check_prints_as_itself("graph @scalar(%x: bool[]) -> bool[] {\n  return %x \"x\"\n}\n");
    check_prints_as_itself("graph @twice(%x: f32[0,3]) -> (f32[0,3], f32[0,3]) {\n"
                           "  return %x \"a\", %x \"b\"\n}\n");
    check_prints_as_itself("graph @constant() -> f32[0] {\n  const @w : f32[0] = []\n"
                           "  return @w \"w\"\n}\n");
    check_prints_as_itself(
        "graph @\"a b\"(%\"\": f32[1], %\"x:0\": f32[1], %\"\\n\\\\\\x80\": f32[1], "
        "%/a-b.c_d$1: f32[1]) -> f32[1] {\n"
        "  %\"=\" = concat %\"\", %\"x:0\" : f32[2]  # \"a\\\"b\"\n"
        "  return %\"\" \"\"\n}\n");
}

static void elements_print_as_themselves(void **state) {
    (void)state;
    check_prints_as_itself(
        "graph @c() -> () {\n"
        "  const @f32 : f32[8] = [0.1, -0, 3.4028235e+38, 1e-45, 16777216, nan, nan:7fc00001, "
        "nan:ff800001]\n"
        "  const @f16 : f16[5] = [0.1, 6.55e+04, 6e-08, nan, nan:7e01]\n"
        "  const @bf16 : bf16[4] = [0.1, 3.39e+38, inf, -inf]\n"
        "  const @f64 : f64[4] = [0.1, 1.7976931348623157e+308, 5e-324, 0.30000000000000004]\n"
        "  const @i8 : i8[2] = [-128, 127]\n"
        "  const @i64 : i64[2] = [-9223372036854775808, 9223372036854775807]\n"
        "  const @u64 : u64[2] = [0, 18446744073709551615]\n"
        "  const @u8 : u8[2] = [0, 255]\n"
        "  const @bool : bool[2] = [0, 1]\n"
        "  return\n"
        "}\n");
}

/* Every bit pattern of the 16-bit floats, and a spread of those of f32, survive. */
static void every_pattern_survives(void **state) {
    (void)state;
    const DType types[] = {DT_f16, DT_bf16, DT_f32};
    for (int k = 0; k < 3; k++) {
        Graph *g = graph_new("p");
        Tensor *t = tensor_new(&g->arena, types[k], SHAPE(65536));
        for (int64_t i = 0; i < 65536; i++)
            tensor_set_bits(t, i, types[k] == DT_f32 ? (uint64_t)i * 65599u : (uint64_t)i);
        graph_constant(g, "c", t);
        Buf b = {0};
        graph_print(&b, g, CONSTANTS_INLINE);
        Graph *back = graph_of(b.data);
        assert_non_null(back);
        assert_memory_equal(back->constants.data[0]->constant->data, t->data,
                            (size_t)tensor_bytes(t));
        graph_free(back);
        graph_free(g);
        buf_free(&b);
    }
}

static void other_spellings_are_read(void **state) {
    (void)state;
    Graph *g = graph_of("# a header line\n\n graph@g( %x:f32[ 1,2 ] )->f32[1,2] { # why\n"
                        "%y=add %x,%x:f32[1,2]# \"from\"\n"
                        "%z = concat\n %x,\n %y {\n axis=1 } :\n f32[1,4] # \"first\" second\n"
                        "%w = relu %x : f32[1,2] # no origin\n"
                        "# \"not an origin either\"\n"
                        "const @k : f32[1] = [1.50] const @l : f32[1] = [\n+2]\n"
                        "return %y}");
    assert_non_null(g);
    Buf b = {0};
    graph_print(&b, g, CONSTANTS_INLINE);
    assert_string_equal(b.data, "graph @g(%x: f32[1,2]) -> f32[1,2] {\n"
                                "  const @k : f32[1] = [1.5]\n"
                                "  const @l : f32[1] = [2]\n"
                                "  %y = add %x, %x : f32[1,2]  # \"from\"\n"
                                "  %z = concat %x, %y {axis=1} : f32[1,4]  # \"first\"\n"
                                "  %w = relu %x : f32[1,2]\n"
                                "  return %y \"y\"\n}\n");
    buf_free(&b);
    graph_free(g);
}

static void absent_operands_are_underscores(void **state) {
    (void)state;
    Graph *g = graph_of("graph @g(%x: f32[1,1,2,2]) -> f32[1,1,2,2] {\n"
                        "  const @w : f32[1,1,1,1] = [2]\n"
                        "  %y = conv2d %x, @w, _, residual=%x : f32[1,1,2,2]\n"
                        "  return %y\n}\n");
    assert_non_null(g);
    assert_null(node_in(g->first, 2));
    Buf b = {0};
    graph_print(&b, g, CONSTANTS_INLINE);
    assert_non_null(strstr(b.data, "%y = conv2d %x, @w, residual=%x : f32"));
    buf_free(&b);
    graph_free(g);
    assert_true(
        parse_fails("graph @g(%x: f32[1]) -> () {\n  %y = add _, %x : f32[1]\n  return\n}\n",
                    ":2:8", "operand a is missing"));
}

/* ---- constants ------------------------------------------------------------------------------ */

static void large_constants_are_elided(void **state) {
    (void)state;
    Graph *g = graph_new("g");
    Tensor *small = tensor_new(&g->arena, DT_f32, SHAPE(16)),
           *large = tensor_new(&g->arena, DT_f32, SHAPE(17));
    tensor_set_f64(large, 3, 1.5);
    graph_constant(g, "small", small);
    graph_constant(g, "large", large);
    Buf elided = {0}, full = {0};
    graph_print(&elided, g, CONSTANTS_ELIDED);
    graph_print(&full, g, CONSTANTS_INLINE);
    assert_non_null(strstr(elided.data, "@small : f32[16] = [0, 0,"));
    assert_non_null(strstr(elided.data, "@large : f32[17] = xxh:"));
    assert_non_null(strstr(full.data, "@large : f32[17] = [0, 0, 0, 1.5, 0,"));
    Graph *back = graph_of(elided.data);
    assert_non_null(back);
    assert_null(back->constants.data[1]->constant->data);
    assert_true(back->constants.data[1]->constant->hash == tensor_hash(large));
    elided.len = 0;
    graph_print(&elided, back, CONSTANTS_INLINE); /* unknown elements stay a hash */
    assert_non_null(strstr(elided.data, "@large : f32[17] = xxh:"));
    graph_free(back);
    graph_free(g);
    buf_free(&elided);
    buf_free(&full);
}

typedef struct Folder {
    char path[64];
    Graph *g;
    Buf text;
    const char *file; /* of the constant */
} Folder;

/* A graph with one elided constant, written to a new folder. */
static Folder write_folder(Arena *a) {
    Folder f = {.path = "/tmp/effnetc-text-XXXXXX", .g = graph_new("g")};
    assert_non_null(mkdtemp(f.path));
    Tensor *t = tensor_new(&f.g->arena, DT_f32, SHAPE(5, 7));
    for (int i = 0; i < 35; i++)
        tensor_set_f64(t, i, i * 0.1);
    graph_constant(f.g, "w", t);
    graph_constant(f.g, "twin", t);
    graph_print(&f.text, f.g, CONSTANTS_ELIDED);
    Outputs out = {0};
    Diag d = {0};
    graph_write_constants(f.g, f.path, &out);
    assert_int_equal(out.files.len, 1); /* equal constants share a file */
    f.file = arena_strdup(a, out.files.data[0].path);
    assert_true(outputs_commit(&out, &d));
    outputs_free(&out);
    diag_free(&d);
    return f;
}

static void remove_folder(Folder *f) {
    unlink(f->file);
    assert_int_equal(rmdir(f->path), 0);
    graph_free(f->g);
    buf_free(&f->text);
}

static void constants_come_back_from_files(void **state) {
    (void)state;
    Arena a = {0};
    Diag d = {0};
    Folder f = write_folder(&a);
    Graph *g = graph_parse(f.text.data, f.text.len, "text", f.path, &d);
    assert_non_null(g);
    assert_memory_equal(g->constants.data[0]->constant->data,
                        f.g->constants.data[0]->constant->data, 140);
    Buf full = {0}, want = {0};
    graph_print(&full, g, CONSTANTS_INLINE);
    graph_print(&want, f.g, CONSTANTS_INLINE);
    assert_string_equal(full.data, want.data);
    buf_free(&full);
    buf_free(&want);
    graph_free(g);
    remove_folder(&f);
    arena_free(&a);
    diag_free(&d);
}

static void wrong_files_are_refused(void **state) {
    (void)state;
    Arena a = {0};
    Diag d = {0};
    Folder f = write_folder(&a);
    FILE *file = fopen(f.file, "r+b");
    assert_non_null(file);
    fputc(0x55, file);
    fclose(file);
    assert_null(graph_parse(f.text.data, f.text.len, "text", f.path, &d));
    assert_non_null(strstr(d.items.data[0]->message, "not the constant it is named after"));
    diag_free(&d);
    assert_int_equal(truncate(f.file, 100), 0);
    assert_null(graph_parse(f.text.data, f.text.len, "text", f.path, &d));
    diag_free(&d);
    unlink(f.file);
    Graph *g = graph_parse(f.text.data, f.text.len, "text", f.path, &d); /* no file: elided */
    assert_non_null(g);
    assert_null(g->constants.data[0]->constant->data);
    graph_free(g);
    remove_folder(&f);
    arena_free(&a);
    diag_free(&d);
}

/* ---- errors --------------------------------------------------------------------------------- */

#define IN_GRAPH(line) "graph @g(%x: f32[1,2,4,4], %i: i64[2]) -> () {\n" line "\n  return\n}\n"

static const struct {
    const char *text, *where, *message;
} errors[] = {
    /* the frame */
    {"", ":1:1", "expected graph"},
    {"graf @g", ":1:1", "expected graph"},
    {"graph g", ":1:7", "expected a name like @x"},
    {"graph @", ":1:8", "expected a name"},
    {"graph @g %x", ":1:10", "expected ( and the inputs"},
    {"graph @g(x", ":1:10", "expected a value like %x"},
    {"graph @g(%x f32[1])", ":1:13", "expected : and a type"},
    {"graph @g(%x: f32[1] %y: f32[1])", ":1:21", "expected a comma or )"},
    {"graph @g(%x: f32[1], %x: f32[1])", ":1:22", "%x is defined twice"},
    {"graph @g() f32[1]", ":1:12", "expected -> and the results' types"},
    {"graph @g() -> (f32[1] {", ":1:23", "expected a comma or ) behind the type"},
    {"graph @g() -> () return", ":1:18", "expected {"},
    {"graph @g() -> () {", ":1:19", "expected return"},
    {"graph @g() -> () {\n  return\n", ":3:1", "expected a value like %x or @w"},
    {"graph @g() -> () {\n  return\n} x", ":3:3", "expected the end of the text"},
    {"graph @g() -> f32[1] {\n  return\n}", ":2:3", "expected 1 results, found 0"},
    {"graph @g(%x: f32[1]) -> () {\n  return %x\n}", ":2:3", "expected 0 results, found 1"},
    {"graph @g(%x: f32[1]) -> f32[2] {\n  return %x\n}", ":2:10", "another type in its first line"},
    {"graph @g(%x: f32[1]) -> f32[1] {\n  return %x \"a\n}", ":2:15", "expected \" at the end"},
    {"graph @g(%x: f32[1]) -> f32[1] {\n  return %x \"\\q\"\n}", ":2:14", "expected \\n, \\r"},
    {"graph @g(%x: f32[1]) -> f32[1] {\n  return %x \"\\x00\"\n}", ":2:14", "expected \\n, \\r"},
    {"graph @g(%x: f32[1]) -> f32[1] {\n  return %x, \n}", ":3:1",
     "expected a value like %x or @w"},
    {IN_GRAPH("  nonsense"), ":2:3", "expected const, a value like %x, or return"},
    /* types */
    {IN_GRAPH("  %y = relu %x : f33[1]"), ":2:18", "expected a type like f32"},
    {IN_GRAPH("  %y = relu %x : f32"), ":3:3", "expected [ and the dims"},
    {IN_GRAPH("  %y = relu %x : f32[1 2]"), ":2:24", "expected a comma or ] in the shape"},
    {IN_GRAPH("  %y = relu %x : f32[-1]"), ":2:18", "no such type"},
    {IN_GRAPH("  %y = relu %x : f32[99999999999]"), ":2:18", "no such type"},
    {IN_GRAPH("  %y = relu %x : f32[99999999999999999999]"), ":2:22", "expected a dim"},
    {IN_GRAPH("  %y = relu %x : f32[1,1,1,1,1,1,1,1,1]"), ":2:38", "more than 8 dims"},
    {IN_GRAPH("  %y = relu %x : f32[1,2,4,4]{nhwc}"), ":2:31",
     "expected nchwNc, halo=, one_image or arena="},
    {IN_GRAPH("  %y = relu %x : f32[1,2,4,4]{nchw0c}"), ":2:31", "a block has 1 to 64 channels"},
    {IN_GRAPH("  %y = relu %x : f32[1,2,4,4]{nchw99c}"), ":2:31", "a block has 1 to 64 channels"},
    {IN_GRAPH("  %y = relu %x : f32[1,2,4,4]{nchw8c, halo=1x1}"), ":2:47",
     "expected a halo like 1x1x1x1"},
    {IN_GRAPH("  %y = relu %x : f32[1,2,4,4]{nchw8c, halo=1x1x1x-1}"), ":2:50", "a halo has 0 to"},
    {IN_GRAPH("  %y = relu %x : f32[1,2,4,4]{halo=1x1x1x1}"), ":2:18", "no such type"},
    {IN_GRAPH("  %y = relu %x : f32[1,2,4,4]{one_image}"), ":2:18", "no such type"},
    {IN_GRAPH("  %y = relu %x : f32[1,2,4,4]{arena=-64}"), ":2:37",
     "an arena offset is not negative"},
    {IN_GRAPH("  %y = relu %x : f32[1,2,4,4]{size=3}"), ":2:31",
     "expected nchwNc, halo=, one_image or arena="},
    {IN_GRAPH("  %y = relu %x : f32[1,2,4,4]{nchw8c"), ":3:3",
     "expected a comma or } in the layout"},
    /* constants */
    {IN_GRAPH("  const w : f32[1] = [1]"), ":2:9", "expected a name like @x"},
    {IN_GRAPH("  const @x : f32[1] = [1]"), ":2:9", "@x is defined twice"},
    {IN_GRAPH("  const @w f32[1] = [1]"), ":2:12", "expected : and a type"},
    {IN_GRAPH("  const @w : f32[1] [1]"), ":2:21", "expected = and the elements"},
    {IN_GRAPH("  const @w : f32[1] = 1"), ":2:23", "expected [ and elements, or xxh:HASH"},
    {IN_GRAPH("  const @w : f32[2] = [1]"), ":2:25", "expected a comma and another element"},
    {IN_GRAPH("  const @w : f32[1] = [1, 2]"), ":2:25", "expected ] behind the last element"},
    {IN_GRAPH("  const @w : f32[1] = [one]"), ":2:24", "expected a number of type f32"},
    {IN_GRAPH("  const @w : f32[1] = [nan:0]"), ":2:24", "expected a number of type f32"},
    {IN_GRAPH("  const @w : f16[1] = [nan:17e00]"), ":2:24", "expected a number of type f16"},
    {IN_GRAPH("  const @w : i8[1] = [128]"), ":2:23", "expected a number of type i8"},
    {IN_GRAPH("  const @w : u8[1] = [-1]"), ":2:23", "expected a number of type u8"},
    {IN_GRAPH("  const @w : bool[1] = [2]"), ":2:25", "expected a number of type bool"},
    {IN_GRAPH("  const @w : i64[1] = [9223372036854775808]"), ":2:24",
     "expected a number of type i64"},
    {IN_GRAPH("  const @w : u64[1] = [18446744073709551616]"), ":2:24",
     "expected a number of type u64"},
    {IN_GRAPH("  const @w : i64[1] = [1.5]"), ":2:24", "expected a number of type i64"},
    {IN_GRAPH("  const @w : f32[4294967296] = [1"), ":2:33", "fewer than 4294967296 elements"},
    {IN_GRAPH("  const @w : f32[1] = xxh:12"), ":2:27", "expected 16 hexadecimal digits"},
    {IN_GRAPH("  const @w : f32[1] = xxh:0000000000000000"), ":2:27", "not all 0"},
    {IN_GRAPH("  const @w : f32[1] = xxh:0123456789ABCDEF"), ":2:27",
     "expected 16 hexadecimal digits"},
    /* nodes */
    {IN_GRAPH("  %x = relu %x : f32[1,2,4,4]"), ":2:3", "%x is defined twice"},
    {IN_GRAPH("  %y, %y = relu %x : f32[1,2,4,4]"), ":2:3", "%y is defined twice"},
    {IN_GRAPH("  %y, %z, %v, %w = relu %x : f32[1]"), ":2:3", "no op has more than 3 results"},
    {IN_GRAPH("  %y, _ = dwconv2d %x, %x : f32[1,2,4,4]"), ":2:3",
     "only optional results before others can be absent"},
    {IN_GRAPH("  %y, _ = relu %x : f32[1,2,4,4]"), ":2:3", "relu has 1 to 1 results, here are 2"},
    {IN_GRAPH("  %y relu %x : f32[1,2,4,4]"), ":2:6", "expected = and an op"},
    {IN_GRAPH("  %y = rleu %x : f32[1,2,4,4]"), ":2:8", "expected an op"},
    {IN_GRAPH("  %y = relu %z : f32[1,2,4,4]"), ":2:13", "%z is not defined here"},
    {IN_GRAPH("  %y = relu @x : f32[1,2,4,4]"), ":2:13", "@x is not defined here"},
    {IN_GRAPH("  %y = relu %x, %x : f32[1,2,4,4]"), ":2:17", "relu takes no more than 1 operands"},
    {IN_GRAPH("  %y = relu : f32[1,2,4,4]"), ":2:8", "relu: operand x is missing"},
    {IN_GRAPH("  %y = concat : f32[1,2,4,4]"), ":2:8", "concat: operand x is missing"},
    {IN_GRAPH("  %y = relu x=%x : f32[1,2,4,4]"), ":2:13", "relu has no operand x="},
    {IN_GRAPH("  %y = conv2d scale %x : f32[1]"), ":2:21", "expected = and a value"},
    {IN_GRAPH("  %y = conv2d scale=%x, %x : f32[1]"), ":2:25", "by position behind one by name"},
    {IN_GRAPH("  %y = conv2d scale=%x, scale=%x : f32[1]"), ":2:25",
     "operand scale is there twice"},
    {"graph @g(%x: f32[2], %n: i64[]) -> f32[2] {\n  return %x(count %n axis 0)\n}\n", ":2:19",
     "the count is not one of the results"},
    {"graph @g(%x: f32[2], %n: i32[]) -> (f32[2], i32[]) {\n  return %x(count %n axis 0), %n\n}\n",
     ":2:19", "a count must be i64[]"},
    {"graph @g(%x: f32[2], %n: i64[]) -> (f32[2], i64[]) {\n  return %x(count %n axis 1), %n\n}\n",
     ":2:19", "axis 1 is out of range for rank 1"},
    {"graph @g(%x: f32[2], %n: i64[]) -> (f32[2], i64[]) {\n  return %x(axis 1), %n\n}\n", ":2:13",
     "expected count"},
    {IN_GRAPH("  %y = relu %x {axis=1} : f32[1,2,4,4]"), ":2:17",
     "no attribute of this op is called axis"},
    {IN_GRAPH("  %y = softmax %x {axis} : f32[1,2,4,4]"), ":2:24",
     "expected = behind the attribute's name"},
    {IN_GRAPH("  %y = softmax %x {axis=1, axis=2} : f32[1]"), ":2:28",
     "attribute axis is there twice"},
    {IN_GRAPH("  %y = softmax %x {axis=a} : f32[1]"), ":2:25", "expected an integer"},
    {IN_GRAPH("  %y = softmax %x {axis=1 : f32[1]"), ":2:27",
     "expected a comma or } behind the attribute"},
    {IN_GRAPH("  %y = softmax %x {axis=1111111111111111111111111} : f32[1]"), ":2:25",
     "doesn't fit in 64 bits"},
    {IN_GRAPH("  %y = clip %x {min=low} : f32[1]"), ":2:21", "expected a number"},
    {IN_GRAPH("  %y = cast %x {to=f33} : f32[1]"), ":2:20", "expected an element type"},
    {IN_GRAPH("  %y = conv2d %x, %x {act=relu7} : f32[1]"), ":2:27", "expected an activation"},
    {IN_GRAPH("  %y = conv2d %x, %x {kernel=3} : f32[1]"), ":2:31",
     "expected two integers like 3x3"},
    {IN_GRAPH("  %y = conv2d %x, %x {pad=1x1} : f32[1]"), ":2:30",
     "expected four integers like 1x1x1x1"},
    {IN_GRAPH("  %y = reduce_mean %x {keepdims=1} : f32[1]"), ":2:33", "expected true or false"},
    {IN_GRAPH("  %y = reduce_mean %x {axes=1} : f32[1]"), ":2:29", "expected a list of integers"},
    {IN_GRAPH("  %y = reduce_mean %x {axes=[1 2]} : f32[1]"), ":2:32",
     "expected a comma or ] in the list"},
    {IN_GRAPH("  %y = reduce_mean %x {axes=[1,1,1,1,1,1,1,1,1]} : f32[1]"), ":2:47",
     "more than 8 integers"},
    {IN_GRAPH("  %y = relu %x f32[1,2,4,4]"), ":2:16", "expected : and a type"},
    {IN_GRAPH("  %y = relu %x : f32[1,2,4,4], f32[1]"), ":2:8", "expected 1 types, found 2"},
    {IN_GRAPH("  %y, %z = relu %x : f32[1,2,4,4], f32[1]"), ":2:3",
     "relu has 1 to 1 results, here are 2"},
    {IN_GRAPH("  %y = relu %x : f32[1,2,4,5]"), ":2:8", "the type of %y is wrong"},
    {IN_GRAPH("  %y = relu %x : f16[1,2,4,4]"), ":2:8", "the type of %y is wrong"},
    {IN_GRAPH("  %y = relu %i : i64[2]"), ":2:8",
     "relu: operand x must be of a floating-point type"},
    {IN_GRAPH("  const @w : f32[1,1]{nchw8c} = [1]"), "",
     "constant @w is of type f32[1,1]{nchw8c}"},
    {IN_GRAPH("  const @w : f32[1]{arena=0} = [1]"), "",
     "%w is no node's result, but lies in the arena"},
    {IN_GRAPH("  %y = relu %x : f32[1,2,4,4]{arena=9223372036854775807}"), "",
     "%y has the arena offset"},
    {IN_GRAPH("  %y = relu %x : f32[1,2,4,4]{arena=0}\n  %z = add %y, %x : f32[1,2,4,4]{arena=4}"),
     "", "%y and %z overlap in the arena"},
    {IN_GRAPH("  %y = relu %x : f32[1,2,4,4]  # \"open"), ":2:39", "expected \" at the end"},
};

static void errors_say_where_and_what(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (!parse_fails(errors[i].text, errors[i].where, errors[i].message))
            fail_msg("the text was:\n%s", errors[i].text);
}

static void errors_of_several_statements_are_reported(void **state) {
    (void)state;
    static const char text[] = "graph @g(%x: f32[1]) -> f32[1] {\n"
                               "  %a = rleu %x : f32[1]\n"
                               "  %b = relu %a : f32[1]\n" /* follows from the first: no message */
                               "  const @c : f32[1] = [x]\n"
                               "  %d = relu %x {axis=3} : f32[1]\n"
                               "  return %b\n}\n";
    Diag d = {0};
    assert_null(graph_parse(text, strlen(text), "t", NULL, &d));
    assert_int_equal(d.errors, 3);
    assert_string_equal(d.items.data[0]->where, "t:2:8");
    assert_string_equal(d.items.data[0]->notes.data[0].text, "\"rleu\"");
    assert_string_equal(d.items.data[0]->notes.data[1].text, "did you mean relu?");
    assert_string_equal(d.items.data[1]->where, "t:4:24");
    assert_string_equal(d.items.data[2]->where, "t:5:17");
    assert_int_equal(diag_exit_code(&d), EXIT_BAD_MODEL);
    diag_free(&d);
}

static void errors_end_at_the_limit(void **state) {
    (void)state;
    Buf b = {0};
    buf_puts(&b, "graph @g() -> () {\n");
    for (int i = 0; i < 10000; i++)
        buf_puts(&b, "  ?\n");
    Diag d = {0};
    assert_null(graph_parse(b.data, b.len, "t", NULL, &d));
    assert_int_equal(d.errors, DIAG_MAX);
    diag_free(&d);
    buf_free(&b);
}

/* ---- hostile texts -------------------------------------------------------------------------- */

static bool parses(const char *text, size_t size) {
    Diag d = {0};
    Graph *g = graph_parse(text, size, "t", NULL, &d);
    bool ok = g != NULL;
    assert_int_equal(ok, d.errors == 0);
    if (g) {
        Buf b = {0};
        graph_print(&b, g, CONSTANTS_INLINE);
        graph_free(g);
        g = graph_parse(b.data, b.len, "t", NULL, &d);
        assert_non_null(g);
        Buf again = {0};
        graph_print(&again, g, CONSTANTS_INLINE);
        assert_string_equal(b.data, again.data);
        graph_free(g);
        buf_free(&b);
        buf_free(&again);
    }
    diag_free(&d);
    return ok;
}

/* In memory of its exact size, so that a sanitizer sees a read past the end. */
static bool parses_copy(const char *text, size_t size) {
    char *copy = malloc(size + (size == 0));
    assert_non_null(copy);
    memcpy(copy, text, size);
    bool ok = parses(copy, size);
    free(copy);
    return ok;
}

static void every_prefix_is_refused(void **state) {
    (void)state;
    size_t n = strlen(block_text);
    for (size_t i = 0; i + 2 < n; i++)
        assert_false(parses_copy(block_text, i));
    assert_true(parses_copy(block_text, n - 1)); /* only the newline is missing */
    assert_true(parses_copy(block_text, n));
}

/* Bytes replaced by others that mean something: read or refused, but never a crash. */
static void mutations_are_survived(void **state) {
    (void)state;
    static const char alphabet[] = "%@#\"\\{}[]()=,:x0123456789-_nchwi.\n \0\xff";
    uint64_t seed = 1;
    size_t n = strlen(block_text);
    char text[sizeof block_text];
    int ok = 0;
    for (int round = 0; round < 3000; round++) {
        memcpy(text, block_text, sizeof text);
        for (int k = 0; k < 1 + round % 3; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            text[(seed >> 33) % n] = alphabet[(seed >> 20) % (sizeof alphabet - 1)];
        }
        ok += parses_copy(text, n);
    }
    assert_in_range(ok, 1, 2999);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_prints_as_itself),
        cmocka_unit_test(absent_results_are_written),
        cmocka_unit_test(every_attribute_kind_prints_as_itself),
        cmocka_unit_test(odd_shapes_of_graphs_print_as_themselves),
        cmocka_unit_test(elements_print_as_themselves),
        cmocka_unit_test(every_pattern_survives),
        cmocka_unit_test(other_spellings_are_read),
        cmocka_unit_test(absent_operands_are_underscores),
        cmocka_unit_test(large_constants_are_elided),
        cmocka_unit_test(constants_come_back_from_files),
        cmocka_unit_test(wrong_files_are_refused),
        cmocka_unit_test(errors_say_where_and_what),
        cmocka_unit_test(errors_of_several_statements_are_reported),
        cmocka_unit_test(errors_end_at_the_limit),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(mutations_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
