/* test_import_nchwc.c: what ONNX Runtime's optimiser laid out in blocks of channels becomes plain
 * again, without the padding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

#define DOMAIN "com.microsoft.nchwc"

enum { MOST = 32 * 32 };

/* y = op(inputs) of that domain; consumes attrs. */
static void add_blocked(Buf *g, const char *op, const char *inputs, const char *y, Buf *attrs) {
    put_string(attrs, 7, DOMAIN);
    add_node(g, op, inputs, y, attrs);
}

static Imported import_blocked(Buf *g) {
    Buf import = {0};
    add_y(g);
    Buf model = model_of(g, 17);
    put_string(&import, 1, DOMAIN);
    put_int(&import, 2, 1);
    put_message(&model, 8, &import);
    return import_bytes(&model, NULL);
}

static void assert_refused(Buf *g, int exit_code, const char *text) {
    Imported m = import_blocked(g);
    assert_complaint(&m, exit_code, text);
    imported_free(&m);
}

/* What the test's weights are: never zero where there is something. */
static double weight(int row, int column) {
    return 1 + row + 0.5 * column;
}

/* 1x1 weights for so many rows and columns, padded: with columns in blocks, or not. */
static void add_weights(Buf *g, const char *name, int block, int rows, int columns, bool blocked) {
    float w[MOST] = {0};
    int padded_rows = (rows + block - 1) / block * block;
    int padded = blocked ? (columns + block - 1) / block * block : columns;
    char dims[32];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) {
            int in = blocked ? block : 1;
            int before = r / block * (padded / in) + c / in; /* blocks */
            w[(before * in + c % in) * block + r % block] = (float)weight(r, c);
        }
    snprintf(dims, sizeof dims, "%d,%d,1,1", padded_rows, padded);
    add_floats(g, name, dims, w, (size_t)(padded_rows * padded));
}

/* x[1,2,1,1] -> 3 channels -> Sigmoid -> each times its weight -> `last` channels */
static Buf chain(int block, int last) {
    Buf g = with_x("1,2,1,1"), attrs = {0};
    add_weights(&g, "stem", block, 3, 2, false);
    add_weights(&g, "dw", block, 3, 1, false);
    add_weights(&g, "head", block, last, 3, true);
    add_blocked(&g, "Conv", "x,stem", "a", &attrs);
    add_node(&g, "Sigmoid", "a", "b", &attrs);
    with_int(&attrs, "group", block);
    add_blocked(&g, "Conv", "b,dw", "c", &attrs);
    add_blocked(&g, "Conv", "c,head", "d", &attrs);
    with_int(&attrs, "channels", last);
    add_blocked(&g, "ReorderOutput", "d", "y", &attrs);
    return g;
}

static void test_blocks(void **state) {
    (void)state;
    const float x[] = {0.25f, -0.5f};
    double want[9] = {0};
    for (int r = 0; r < 9; r++)
        for (int c = 0; c < 3; c++) {
            double a = weight(c, 0) * (double)x[0] + weight(c, 1) * (double)x[1];
            want[r] += weight(r, c) * weight(c, 0) / (1 + exp(-a));
        }
    for (int block = 8; block <= 16; block += 8) {
        Buf g = chain(block, 9);
        Imported m = import_blocked(&g);
        if (!m.g)
            show(&m);
        assert_non_null(m.g);
        assert_ops(&m, "conv2d sigmoid conv2d conv2d identity");
        assert_result(&m, x, "f32[1,9,1,1]", want);
        imported_free(&m);
    }
}

/* What is added comes before the activation; the padding of both is left out. */
static void test_sum(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,3,1,1");
    add_weights(&g, "w", 8, 3, 3, true);
    add_blocked(&g, "ReorderInput", "x", "a", &attrs);
    with_string(&attrs, "activation", "Relu");
    add_blocked(&g, "Conv", "a,w,,a", "b", &attrs);
    with_int(&attrs, "channels", 3);
    with_int(&attrs, "channels_last", 1);
    add_blocked(&g, "ReorderOutput", "b", "y", &attrs);
    Imported m = import_blocked(&g);
    if (!m.g)
        show(&m);
    assert_non_null(m.g);
    assert_ops(&m, "identity conv2d add relu transpose");
    assert_result(&m, F(1, -1, 0), "f32[1,1,1,3]", D(0.5, 0, 0));
    imported_free(&m);
}

/* What isn't known to work channel by channel keeps the padding. */
static void test_unknown_user(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,2,1,1");
    add_weights(&g, "w", 8, 3, 2, false);
    add_blocked(&g, "Conv", "x,w", "a", &attrs);
    add_node(&g, "Exp", "a", "b", &attrs);
    with_int(&attrs, "channels", 5);
    add_blocked(&g, "ReorderOutput", "b", "y", &attrs);
    Imported m = import_blocked(&g);
    assert_non_null(m.g);
    assert_ops(&m, "conv2d exp slice");
    assert_result(&m, F(0, 0), "f32[1,5,1,1]", D(1, 1, 1, 1, 1));
    imported_free(&m);
}

static void test_refused(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,2,1,1");
    add_weights(&g, "w", 16, 16, 2, false); /* as two blocks of 8 they would be whole, too */
    add_blocked(&g, "Conv", "x,w", "y", &attrs);
    assert_refused(&g, EXIT_UNSUPPORTED, "save it with level \"extended\"");
    g = with_x("1,2,1,1");
    add_floats(&g, "w", "9,2,1,1", (float[18]){1}, 18);
    add_blocked(&g, "Conv", "x,w", "y", &attrs);
    assert_refused(&g, EXIT_BAD_MODEL, "no whole blocks of 8 channels");
    g = with_x("1,2,1,1");
    add_weights(&g, "w", 8, 3, 2, false);
    add_blocked(&g, "Conv", "x,w", "a", &attrs);
    with_int(&attrs, "channels", 9);
    add_blocked(&g, "ReorderOutput", "a", "y", &attrs);
    assert_refused(&g, EXIT_BAD_MODEL, "its channels are 9, and its input has 8");
    g = with_x("8,2,1,1");
    add_blocked(&g, "Conv", "x,x", "y", &attrs);
    assert_refused(&g, EXIT_UNSUPPORTED, "its weights must be constants");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_sum),
        cmocka_unit_test(test_unknown_user),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
