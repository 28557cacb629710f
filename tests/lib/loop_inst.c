/* loop_inst.c: for tests: single instructions of the loop IR, run by its interpreter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/loop_inst.h"
#include "tests/lib/loop_text.h"

#include <math.h>

static const char *lanes_suffix(LType t) {
    static char text[8];
    snprintf(text, sizeof text, ".v%d", t.lanes);
    return t.lanes > 1 ? text : "";
}

void run_body(const char *target, const char *body, LType from, LType to, const void *const *in,
              void *out) {
    Buf b = {0};
    const char *t = dtype_name(from.dtype), *u = dtype_name(to.dtype);
    buf_printf(&b, "module @m target=%s {\n", target);
    for (int i = 0; i < 3; i++)
        buf_printf(&b, "buffer %%%c : %s[%d] input %d \"\"\n", 'a' + i, t, from.lanes, i);
    buf_printf(&b, "buffer %%y : %s[%d] output 0 \"\"\n", u, to.lanes);
    buf_printf(&b, "kernel @k(pa: %s*, pb: %s*, pc: %s*, py: %s*) {\n", t, t, t, u);
    for (int i = 0; i < 3; i++)
        buf_printf(&b, "%c = load%s p%c[0]\n", 'a' + i, lanes_suffix(from), 'a' + i);
    buf_printf(&b, "%s\nstore%s py[0], y\n}\n", body, lanes_suffix(to));
    buf_printf(&b, "run { call @k(%%a[0], %%b[0], %%c[0], %%y[0]) } }");
    Module *m = module_of(b.data);
    Diag d = {0};
    if (!m || !module_eval(m, in, (void *const[]){out}, &d)) {
        diag_print(&d, stderr, false);
        fail_msg("%s", b.data);
    }
    module_free(m);
    diag_free(&d);
    buf_free(&b);
}

void run_inst(const char *text, LType from, LType to, const void *const *in, void *out) {
    char body[80];
    snprintf(body, sizeof body, "y = %s", text);
    run_body("generic", body, from, to, in, out);
}

bool same_f(double a, double b) {
    return (a != a && b != b) || (a == b && signbit(a) == signbit(b));
}
