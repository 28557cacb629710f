/* Unit tests of the ONNX importer: steps of optimisers, against their definitions, with two tensors
 * at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "onnx_import_helper.h"

#define TRAINING "ai.onnx.preview.training:"

/* The rate is 0.5; the tensors are x and w[1], their gradients, and up to two states of each. The
 * output called y is what is looked at. */
static Buf step_of(const char *op, int64_t step, const char *inputs, const char *outputs,
                   Buf *attrs) {
    Buf g = with_x("2");
    Buf t = raw_tensor("t", ONNX_INT64, "", &step, sizeof step);
    put_message(&g, 5, &t);
    add_floats(&g, "rate", "", F(0.5f), 1);
    add_floats(&g, "w", "1", F(4), 1);
    add_floats(&g, "gx", "2", F(1, -2), 2);
    add_floats(&g, "gw", "1", F(3), 1);
    add_floats(&g, "vx", "2", F(0.5f, 1), 2);
    add_floats(&g, "vw", "1", F(0.25f), 1);
    add_floats(&g, "hx", "2", F(4, 9), 2);
    add_floats(&g, "hw", "1", F(16), 1);
    add_node(&g, op, inputs, outputs, attrs);
    add_y(&g);
    Buf model = model_of(&g, 17);
    put_opset(&model, 8, "ai.onnx.preview.training", 1);
    return model;
}

static void assert_step(Buf *model, const char *type, const double *want) {
    Imported m = import_bytes(model, NULL);
    if (!m.g)
        show(&m);
    assert_non_null(m.g);
    assert_result(&m, F(10, 20), type, want);
    imported_free(&m);
}

/* ---- Adagrad: h += g^2, x -= r / (1 + t decay) g / (sqrt(h) + epsilon) ----------------------- */

static void adagrad_attributes(Buf *attrs) {
    with_float(attrs, "decay_factor", 0.5f);
    with_float(attrs, "epsilon", 0.25f);
    with_float(attrs, "norm_coefficient", 0.5f);
}

static void test_adagrad(void **state) {
    (void)state;
    const char *op = TRAINING "Adagrad", *in = "rate,t,x,w,gx,gw,hx,hw";
    Buf attrs = {0};
    double g[] = {0.5 * 10 + 1, 0.5 * 20 - 2}, h[] = {4 + g[0] * g[0], 9 + g[1] * g[1]};
    double gw = 0.5 * 4 + 3, hw = 16 + gw * gw, rate = 0.5 / (1 + 2 * 0.5);
    adagrad_attributes(&attrs);
    Buf m = step_of(op, 2, in, "y,b,c,d", &attrs);
    assert_step(&m, "f32[2]",
                D(10 - rate * g[0] / (sqrt(h[0]) + 0.25), 20 - rate * g[1] / (sqrt(h[1]) + 0.25)));
    adagrad_attributes(&attrs);
    m = step_of(op, 2, in, "a,y,c,d", &attrs);
    assert_step(&m, "f32[1]", D(4 - rate * gw / (sqrt(hw) + 0.25)));
    adagrad_attributes(&attrs);
    m = step_of(op, 2, in, "a,b,y,d", &attrs);
    assert_step(&m, "f32[2]", h);
    adagrad_attributes(&attrs);
    m = step_of(op, 2, in, "a,b,c,y", &attrs);
    assert_step(&m, "f32[1]", D(hw));
}

/* ---- Adam: v and h are running means of g and g^2 -------------------------------------------- */

static void adam_attributes(Buf *attrs) {
    with_float(attrs, "alpha", 0.75f);
    with_float(attrs, "beta", 0.5f);
    with_float(attrs, "epsilon", 0.25f);
    with_float(attrs, "norm_coefficient", 0.5f);
    with_float(attrs, "norm_coefficient_post", 0.125f);
}

static void test_adam(void **state) {
    (void)state;
    const char *op = TRAINING "Adam", *in = "rate,t,x,w,gx,gw,vx,vw,hx,hw";
    double g = 0.5 * 4 + 3, v = 0.75 * 0.25 + 0.25 * g, h = 0.5 * 16 + 0.5 * g * g;
    for (int64_t t = 0; t < 3; t++) {
        Buf attrs = {0};
        double rate =
            t == 0 ? 0.5 : 0.5 * sqrt(1 - pow(0.5, (double)t)) / (1 - pow(0.75, (double)t));
        adam_attributes(&attrs);
        Buf m = step_of(op, t, in, "a,y,c,d,e,f", &attrs);
        assert_step(&m, "f32[1]", D((1 - 0.125) * (4 - rate * v / (sqrt(h) + 0.25))));
    }
    Buf attrs = {0};
    adam_attributes(&attrs);
    Buf m = step_of(op, 1, in, "a,b,c,y,e,f", &attrs);
    assert_step(&m, "f32[1]", D(v));
    adam_attributes(&attrs);
    m = step_of(op, 1, in, "a,b,c,d,e,y", &attrs);
    assert_step(&m, "f32[1]", D(h));
    adam_attributes(&attrs);
    m = step_of(op, 1, in, "a,b,y,d,e,f", &attrs);
    assert_step(&m, "f32[2]", D(0.75 * 0.5 + 0.25 * 6, 0.75 * 1 + 0.25 * 8));
}

/* ---- Momentum: v = alpha v + beta g, beta 1 in the first step -------------------------------- */

static Buf momentum(const char *mode, int64_t t, const char *outputs) {
    Buf attrs = {0};
    with_float(&attrs, "alpha", 0.75f);
    with_float(&attrs, "beta", 0.5f);
    with_float(&attrs, "norm_coefficient", 0.5f);
    with_string(&attrs, "mode", mode);
    return step_of(TRAINING "Momentum", t, "rate,t,x,w,gx,gw,vx,vw", outputs, &attrs);
}

static void test_momentum(void **state) {
    (void)state;
    double g = 0.5 * 4 + 3;
    for (int64_t t = 0; t < 2; t++) {
        double v = 0.75 * 0.25 + (t ? 0.5 : 1) * g;
        Buf m = momentum("standard", t, "a,y,c,d");
        assert_step(&m, "f32[1]", D(4 - 0.5 * v));
        m = momentum("nesterov", t, "a,y,c,d");
        assert_step(&m, "f32[1]", D(4 - 0.5 * (g + 0.75 * v)));
        m = momentum("nesterov", t, "a,b,c,y");
        assert_step(&m, "f32[1]", D(v));
    }
}

/* ---- what is wrong --------------------------------------------------------------------------- */

static void assert_step_fails(Buf model, int exit_code, const char *text) {
    Imported m = import_bytes(&model, NULL);
    assert_complaint(&m, exit_code, text);
    imported_free(&m);
}

static void test_bad_steps(void **state) {
    (void)state;
    assert_step_fails(step_of(TRAINING "Adagrad", 1, "rate,t,x,w,gx,gw,hx", "y", NULL),
                      EXIT_BAD_MODEL, "its inputs are not 3 tensors each");
    assert_step_fails(step_of(TRAINING "Adagrad", 1, "rate,t,x,gx,hw", "y", NULL), EXIT_BAD_MODEL,
                      "input 4 differs in type or shape");
    assert_step_fails(step_of(TRAINING "Adagrad", 1, "x,t,x,gx,hx", "y", NULL), EXIT_BAD_MODEL,
                      "input 0 must be one number");
    assert_step_fails(step_of(TRAINING "Adagrad", 1, "rate,t,x,,hx", "y", NULL), EXIT_BAD_MODEL,
                      "input 3 is missing");
    assert_step_fails(momentum("fast", 1, "y"), EXIT_BAD_MODEL,
                      "its mode \"fast\" is neither standard nor nesterov");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adagrad),
        cmocka_unit_test(test_adam),
        cmocka_unit_test(test_momentum),
        cmocka_unit_test(test_bad_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
