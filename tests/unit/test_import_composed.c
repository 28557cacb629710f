/* Unit tests of the importers that write an operator in several graph ops: small models, evaluated
 * by the graph interpreter. Expected values are worked out by hand from the operators' definitions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

static void assert_values(Buf *g, int opset, const float *v, const char *type, const double *want) {
    Imported m = import_ok(g, opset);
    assert_result(&m, v, type, want);
    imported_free(&m);
}

/* ---- losses ---------------------------------------------------------------------------------- */

static Buf loss_graph(const char *op, const char *targets, const float *weights, Buf *attrs) {
    Buf g = with_x("2,3");
    add_ints(&g, "t", targets);
    if (weights)
        add_floats(&g, "w", "3", weights, 3);
    add_op(&g, op, weights ? "x,t,w" : "x,t", attrs);
    return g;
}

static void test_losses(void **state) {
    (void)state;
    const float *x = F(1, 2, INFINITY, -4, -5, -6);
    Buf attrs = {0};
    Buf g = loss_graph("NegativeLogLikelihoodLoss", "1,2", NULL, NULL);
    assert_values(&g, 13, x, "f32[]", D(2));
    g = loss_graph("NegativeLogLikelihoodLoss", "1,2", F(1, 2, 0.5f), NULL);
    assert_values(&g, 13, x, "f32[]", D(-0.4)); /* (-2 * 2 + 6 * 0.5) / 2.5 */
    with_string(&attrs, "reduction", "sum");
    g = loss_graph("NegativeLogLikelihoodLoss", "1,2", F(1, 2, 0.5f), &attrs);
    assert_values(&g, 13, x, "f32[]", D(-1));
    with_string(&attrs, "reduction", "none");
    with_int(&attrs, "ignore_index", -1);
    g = loss_graph("NegativeLogLikelihoodLoss", "-1,2", NULL, &attrs);
    assert_values(&g, 13, x, "f32[2]", D(0, 6));
    with_int(&attrs, "ignore_index", 2);
    g = loss_graph("NegativeLogLikelihoodLoss", "2,1", NULL, &attrs);
    assert_values(&g, 13, x, "f32[]", D(5)); /* a mean over what counts */
}

static void test_softmax_loss(void **state) {
    (void)state;
    Buf g = loss_graph("SoftmaxCrossEntropyLoss", "1,0", NULL, NULL);
    double first = log(exp(-1) + 1 + exp(1)), second = log(3);
    assert_values(&g, 13, F(1, 2, 3, 900, 900, 900), "f32[]", D((first + second) / 2));
}

static void test_bad_losses(void **state) {
    (void)state;
    Buf attrs = {0};
    Buf g = loss_graph("NegativeLogLikelihoodLoss", "1,2,0", NULL, NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "must have the dimensions of its input");
    with_string(&attrs, "reduction", "max");
    g = loss_graph("NegativeLogLikelihoodLoss", "1,2", NULL, &attrs);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "none of none, sum and mean");
    g = with_x("2,4");
    add_ints(&g, "t", "0,1");
    add_floats(&g, "w", "3", F(1, 2, 3), 3);
    add_op(&g, "SoftmaxCrossEntropyLoss", "x,t,w", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "weights must be a list of 4 numbers");
}

/* ---- matrices -------------------------------------------------------------------------------- */

static void test_trilu(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2,3");
    const float *x = F(1, 2, NAN, 4, 5, 6);
    add_op(&g, "Trilu", "x", NULL);
    assert_values(&g, 14, x, "f32[2,3]", D(1, 2, NAN, 0, 5, 6));
    g = with_x("2,3");
    with_int(&attrs, "upper", 0);
    add_ints(&g, "k", "1");
    add_op(&g, "Trilu", "x,k", &attrs);
    assert_values(&g, 14, x, "f32[2,3]", D(1, 2, 0, 4, 5, 6));
    g = with_x("3");
    add_op(&g, "Trilu", "x", NULL);
    assert_fails(&g, 14, EXIT_BAD_MODEL, "rank 2 or more");
}

static void test_eye_like(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2,3");
    with_int(&attrs, "k", -1);
    add_op(&g, "EyeLike", "x", &attrs);
    assert_values(&g, 9, F(1, 2, 3, 4, 5, 6), "f32[2,3]", D(0, 0, 0, 1, 0, 0));
}

static void test_det(void **state) {
    (void)state;
    Buf g = with_x("2,2,2");
    add_op(&g, "Det", "x", NULL);
    assert_values(&g, 11, F(1, 2, 3, 4, 2, 0, 0, 5), "f32[2]", D(-2, 10));
    g = with_x("3,3");
    add_op(&g, "Det", "x", NULL);
    assert_values(&g, 11, F(0, 2, 1, 1, 0, 3, 4, 5, 0), "f32[]", D(29));
    g = with_x("7,7");
    add_op(&g, "Det", "x", NULL);
    assert_fails(&g, 11, EXIT_UNSUPPORTED, "1 to 6 rows");
    g = with_x("2,3");
    add_op(&g, "Det", "x", NULL);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "square");
}

/* ---- along an axis --------------------------------------------------------------------------- */

static void assert_cum_sum(bool exclusive, bool reverse, const double *want) {
    Buf attrs = {0}, g = with_x("5,1");
    with_int(&attrs, "exclusive", exclusive);
    with_int(&attrs, "reverse", reverse);
    add_ints(&g, "axis", "-2");
    add_op(&g, "CumSum", "x,axis", &attrs);
    assert_values(&g, 14, F(1, 2, 3, 4, INFINITY), "f32[5,1]", want);
}

static void test_cum_sum(void **state) {
    (void)state;
    double inf = INFINITY;
    assert_cum_sum(false, false, D(1, 3, 6, 10, inf));
    assert_cum_sum(true, false, D(0, 1, 3, 6, 10));
    assert_cum_sum(false, true, D(inf, inf, inf, inf, inf));
    assert_cum_sum(true, true, D(inf, inf, inf, inf, 0));
}

static void test_reverse_sequence(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("3,2");
    const float *x = F(1, 2, 3, 4, 5, 6);
    add_ints(&g, "n", "3,2");
    add_op(&g, "ReverseSequence", "x,n", NULL);
    assert_values(&g, 10, x, "f32[3,2]", D(5, 4, 3, 2, 1, 6));
    g = with_x("2,3");
    with_int(&attrs, "batch_axis", 0);
    with_int(&attrs, "time_axis", 1);
    add_ints(&g, "n", "1,2");
    add_op(&g, "ReverseSequence", "x,n", &attrs);
    assert_values(&g, 10, x, "f32[2,3]", D(1, 2, 3, 5, 4, 6));
    g = with_x("3,2");
    add_ints(&g, "n", "3,4");
    add_op(&g, "ReverseSequence", "x,n", NULL);
    assert_fails(&g, 10, EXIT_BAD_MODEL, "4 elements of 3");
    g = with_x("3,2");
    with_int(&attrs, "batch_axis", INT64_MAX);
    add_ints(&g, "n", "3,2");
    add_op(&g, "ReverseSequence", "x,n", &attrs);
    assert_fails(&g, 10, EXIT_BAD_MODEL, "batch and time axes");
    g = with_x("3,4"); /* by data: what is to be reversed says how much of it */
    with_ints(&attrs, "axes", "0");
    with_int(&attrs, "keepdims", 0);
    add_node(&g, "ReduceMax", "x", "m", &attrs);
    with_int(&attrs, "to", ONNX_INT64);
    add_node(&g, "Cast", "m", "n", &attrs);
    add_op(&g, "ReverseSequence", "x,n", NULL);
    assert_values(&g, 13, F(3, 2, 1, 9, 1, 0, -1, 7, 2, 1, 0, 8), "f32[3,4]",
                  D(2, 0, 1, 8, 1, 2, -1, 7, 3, 1, 0, 9));
}

static void test_hardmax(void **state) {
    (void)state;
    const float *x = F(1, 3, 3, 2, 4, 0, 5, 5);
    Buf attrs = {0}, g = with_x("2,2,2");
    add_op(&g, "Hardmax", "x", NULL);
    assert_values(&g, 13, x, "f32[2,2,2]", D(0, 1, 1, 0, 1, 0, 1, 0));
    g = with_x("2,2,2"); /* over all from axis 1 on */
    add_op(&g, "Hardmax", "x", NULL);
    assert_values(&g, 11, x, "f32[2,2,2]", D(0, 1, 0, 0, 0, 0, 1, 0));
    g = with_x("2,2,2");
    with_int(&attrs, "axis", 0);
    add_op(&g, "Hardmax", "x", &attrs);
    assert_values(&g, 13, x, "f32[2,2,2]", D(0, 1, 0, 0, 1, 0, 1, 1));
}

static void test_cum_prod(void **state) {
    (void)state;
    Buf g = with_x("1,4");
    add_ints(&g, "axis", "1");
    add_op(&g, "CumProd", "x,axis", NULL);
    assert_values(&g, 26, F(2, 3, 0.5f, -1), "f32[1,4]", D(2, 6, 3, -3));
}

/* ---- bits ------------------------------------------------------------------------------------ */

/* x and y are constants of int64; the result is cast to a float. */
static void assert_shift(const char *direction, const char *x, const char *by, const double *want) {
    Buf attrs = {0}, cast = {0}, g = {0};
    add_ints(&g, "a", x);
    add_ints(&g, "b", by);
    with_string(&attrs, "direction", direction);
    add_node(&g, "BitShift", "a,b", "c", &attrs);
    with_int(&cast, "to", ONNX_FLOAT);
    add_op(&g, "Cast", "c", &cast);
    assert_values(&g, 28, NULL, "f32[4]", want);
}

static void test_bit_shift(void **state) {
    (void)state;
    assert_shift("LEFT", "1,-3,5,7", "0,4,33,64", D(1, -48, 0xap32, 0));
    assert_shift("RIGHT", "1,-3,4294967296,-9", "0,1,31,64", D(1, -2, 2, -1));
    assert_shift("RIGHT", "8,-8,8,-8", "-1,-1,3,3", D(0, -1, 1, -1));
    Buf attrs = {0}, g = with_x("2");
    with_string(&attrs, "direction", "LEFT");
    add_op(&g, "BitShift", "x,x", &attrs);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "must be integers");
}

/* ---- signals --------------------------------------------------------------------------------- */

static void assert_window(const char *op, bool periodic, const char *size, const double *want) {
    Buf attrs = {0}, g = {0};
    with_int(&attrs, "periodic", periodic);
    add_ints(&g, "n", size);
    add_op(&g, op, "n", &attrs);
    char type[16];
    snprintf(type, sizeof type, "f32[%s]", size);
    assert_values(&g, 17, NULL, type, want);
}

static void test_windows(void **state) {
    (void)state;
    assert_window("HannWindow", true, "4", D(0, 0.5, 1, 0.5));
    assert_window("HannWindow", false, "3", D(0, 1, 0));
    assert_window("HammingWindow", false, "3", D(4.0 / 46, 1, 4.0 / 46));
    assert_window("BlackmanWindow", true, "2", D(0, 1));
    assert_window("HannWindow", false, "1", D(0));
    Buf g = {0};
    add_ints(&g, "n", "-1");
    add_op(&g, "HannWindow", "n", NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "its size is -1");
    add_ints(&g, "n", "2000000000");
    add_op(&g, "HannWindow", "n", NULL);
    assert_fails(&g, 17, EXIT_UNSUPPORTED, "too large for the size of the model");
}

static void assert_dft(const char *x, bool inverse, bool onesided, const float *v, const char *type,
                       const double *want) {
    Buf attrs = {0}, g = with_x(x);
    with_int(&attrs, "inverse", inverse);
    with_int(&attrs, "onesided", onesided);
    add_op(&g, "DFT", "x", &attrs);
    assert_values(&g, 20, v, type, want);
}

static void test_dft(void **state) {
    (void)state;
    const float *real = F(1, 2, 3, 4);
    assert_dft("1,4,1", false, false, real, "f32[1,4,2]", D(10, 0, -2, 2, -2, 0, -2, -2));
    assert_dft("1,4,1", false, true, real, "f32[1,3,2]", D(10, 0, -2, 2, -2, 0));
    assert_dft("1,4,2", true, false, F(10, 0, -2, 2, -2, 0, -2, -2), "f32[1,4,2]",
               D(1, 0, 2, 0, 3, 0, 4, 0));
    assert_dft("1,3,2", true, true, F(10, 0, -2, 2, -2, 0), "f32[1,4,1]", D(1, 2, 3, 4));
    Buf attrs = {0}, g = with_x("2,2,1"); /* along axis 0, of 4 points: zeros behind */
    with_int(&attrs, "axis", 0);
    add_ints(&g, "n", "4");
    add_op(&g, "DFT", "x,n", &attrs);
    assert_values(&g, 17, real, "f32[4,2,2]",
                  D(4, 0, 6, 0, 1, -3, 2, -4, -2, 0, -2, 0, 1, 3, 2, 4));
    g = with_x("2,3");
    add_op(&g, "DFT", "x", NULL);
    assert_fails(&g, 20, EXIT_BAD_MODEL, "must be 1 or 2");
}

static void test_stft(void **state) {
    (void)state;
    Buf g = with_x("1,4,1");
    add_ints(&g, "step", "2");
    add_floats(&g, "w", "2", F(1, 2), 2);
    add_op(&g, "STFT", "x,step,w", NULL);
    assert_values(&g, 17, F(1, 2, 3, 4), "f32[1,2,2,2]", D(5, 0, -3, 0, 11, 0, -5, 0));
    g = with_x("1,4,1");
    add_ints(&g, "step", "0");
    add_op(&g, "STFT", "x,step", NULL);
    assert_fails(&g, 17, EXIT_BAD_MODEL, "0 apart");
}

static void test_dropout(void **state) {
    (void)state;
    Buf g = with_x("2"), attrs = {0};
    add_floats(&g, "ratio", "", F(0), 1);
    add_ints(&g, "training", "1");
    add_node(&g, "Dropout", "x,ratio,training", "kept,mask", NULL);
    with_int(&attrs, "to", ONNX_FLOAT);
    add_node(&g, "Cast", "mask", "m", &attrs);
    add_op(&g, "Add", "kept,m", NULL);
    assert_values(&g, 13, F(1, 2), "f32[2]", D(2, 3));
    g = with_x("2");
    add_floats(&g, "ratio", "", F(0.5f), 1);
    add_ints(&g, "training", "1");
    add_op(&g, "Dropout", "x,ratio,training", NULL);
    assert_fails(&g, 13, EXIT_UNSUPPORTED, "random where no seed is given");
}

/* ---- normalisations -------------------------------------------------------------------------- */

static void test_lrn(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,3,1,1");
    with_int(&attrs, "size", 2);
    with_float(&attrs, "alpha", 2);
    with_float(&attrs, "beta", 1);
    with_float(&attrs, "bias", 1);
    add_op(&g, "LRN", "x", &attrs); /* each with the one behind it */
    assert_values(&g, 13, F(1, 2, 3), "f32[1,3,1,1]", D(1.0 / 6, 2.0 / 14, 3.0 / 10));
    g = with_x("1,3,1,1");
    add_op(&g, "LRN", "x", NULL);
    assert_fails(&g, 13, EXIT_BAD_MODEL, "its size is 0");
}

static void test_group_norm(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,4");
    with_int(&attrs, "num_groups", 2);
    with_float(&attrs, "epsilon", 0);
    add_floats(&g, "s", "2", F(1, 10), 2);
    add_floats(&g, "b", "2", F(0, 5), 2);
    add_op(&g, "GroupNormalization", "x,s,b", &attrs);
    assert_values(&g, 18, F(1, 3, 2, 6), "f32[1,4]", D(-1, 1, -5, 15));
    g = with_x("1,4");
    with_int(&attrs, "num_groups", 2);
    with_float(&attrs, "epsilon", 0);
    add_floats(&g, "s", "4", F(1, 2, 3, 4), 4);
    add_floats(&g, "b", "4", F(0, 0, 0, 1), 4);
    add_op(&g, "GroupNormalization", "x,s,b", &attrs);
    assert_values(&g, 21, F(1, 3, 2, 6), "f32[1,4]", D(-1, 2, -3, 5));
    g = with_x("1,4");
    with_int(&attrs, "num_groups", 3);
    add_floats(&g, "s", "4", F(1, 2, 3, 4), 4);
    add_op(&g, "GroupNormalization", "x,s,s", &attrs);
    assert_fails(&g, 21, EXIT_BAD_MODEL, "3 groups don't divide 4 channels");
}

static void test_rms_norm(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("2,2");
    with_float(&attrs, "epsilon", 0);
    add_floats(&g, "s", "2", F(1, 2), 2);
    add_op(&g, "RMSNormalization", "x,s", &attrs);
    double a = sqrt(12.5), b = sqrt(0.5);
    assert_values(&g, 23, F(3, 4, 0, 1), "f32[2,2]", D(3 / a, 8 / a, 0, 2 / b));
}

/* ---- parts of language models ---------------------------------------------------------------- */

static void assert_rotary(bool interleaved, const double *want) {
    Buf attrs = {0}, g = with_x("1,1,2,4");
    with_int(&attrs, "interleaved", interleaved);
    add_floats(&g, "c", "2,2", F(1, 1, 0, 2), 4);
    add_floats(&g, "s", "2,2", F(0, 0, 1, 3), 4);
    Buf t = raw_tensor("at", ONNX_INT64, "1,2", (const int64_t[]){1, 0}, 16);
    put_message(&g, 5, &t);
    add_op(&g, "RotaryEmbedding", "x,c,s,at", &attrs);
    assert_values(&g, 23, F(1, 2, 3, 4, 5, 6, 7, 8), "f32[1,1,2,4]", want);
}

static void test_rotary_embedding(void **state) {
    (void)state;
    assert_rotary(false, D(-3, 2 * 2 - 4 * 3, 1, 2 * 3 + 4 * 2, 5, 6, 7, 8));
    assert_rotary(true, D(-2, 1, 3 * 2 - 4 * 3, 3 * 3 + 4 * 2, 5, 6, 7, 8));
    Buf attrs = {0}, g = with_x("1,1,2"); /* two heads of one number */
    with_int(&attrs, "num_heads", 2);
    add_floats(&g, "c", "1,1,1", F(1), 1);
    add_op(&g, "RotaryEmbedding", "x,c,c", &attrs);
    assert_fails(&g, 23, EXIT_BAD_MODEL, "1 numbers of 1 can't be rotated");
}

static void test_swiglu(void **state) {
    (void)state;
    Buf g = with_x("2");
    add_floats(&g, "b", "2", F(3, 4), 2);
    add_op(&g, "SwiGLU", "x,b", NULL);
    assert_values(&g, 28, F(0, 1), "f32[2]", D(0, 4 / (1 + exp(-1))));
    g = with_x("2");
    add_floats(&g, "b", "1", F(3), 1);
    add_op(&g, "SwiGLU", "x,b", NULL);
    assert_fails(&g, 28, EXIT_BAD_MODEL, "same shape");
}

/* ---- into a larger tensor -------------------------------------------------------------------- */

static void test_max_unpool(void **state) {
    (void)state;
    for (int larger = 0; larger < 2; larger++) {
        Buf attrs = {0}, g = with_x("1,1,1,2");
        Buf t = raw_tensor("i", ONNX_INT64, "1,1,1,2", (const int64_t[]){5, 2}, 16);
        put_message(&g, 5, &t);
        with_ints(&attrs, "kernel_shape", "2,2");
        with_ints(&attrs, "strides", "2,2");
        add_ints(&g, "to", "1,1,2,5");
        add_op(&g, "MaxUnpool", larger ? "x,i,to" : "x,i", &attrs);
        if (larger)
            assert_values(&g, 11, F(7, 8), "f32[1,1,2,5]", D(0, 0, 8, 0, 0, 0, 7, 0, 0, 0));
        else
            assert_values(&g, 11, F(7, 8), "f32[1,1,2,4]", D(0, 0, 8, 0, 0, 7, 0, 0));
    }
    Buf g = with_x("1,1,2");
    add_ints(&g, "i", "0,1");
    add_op(&g, "MaxUnpool", "x,i", NULL);
    assert_fails(&g, 11, EXIT_BAD_MODEL, "an int64 index for each element");
}

static void test_center_crop_pad(void **state) {
    (void)state;
    Buf attrs = {0}, g = with_x("1,4");
    add_ints(&g, "to", "2,3");
    add_op(&g, "CenterCropPad", "x,to", NULL);
    assert_values(&g, 18, F(1, 2, 3, 4), "f32[2,3]", D(1, 2, 3, 0, 0, 0));
    g = with_x("2,2");
    add_ints(&g, "to", "5");
    with_ints(&attrs, "axes", "-1");
    add_op(&g, "CenterCropPad", "x,to", &attrs);
    assert_values(&g, 18, F(1, 2, 3, 4), "f32[2,5]", D(0, 1, 2, 0, 0, 0, 3, 4, 0, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_softmax_loss),
        cmocka_unit_test(test_bad_losses),
        cmocka_unit_test(test_trilu),
        cmocka_unit_test(test_eye_like),
        cmocka_unit_test(test_det),
        cmocka_unit_test(test_cum_sum),
        cmocka_unit_test(test_cum_prod),
        cmocka_unit_test(test_rotary_embedding),
        cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_max_unpool),
        cmocka_unit_test(test_center_crop_pad),
        cmocka_unit_test(test_bit_shift),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_dft),
        cmocka_unit_test(test_stft),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_reverse_sequence),
        cmocka_unit_test(test_hardmax),
        cmocka_unit_test(test_lrn),
        cmocka_unit_test(test_group_norm),
        cmocka_unit_test(test_rms_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
