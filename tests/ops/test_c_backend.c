/* test_c_backend.c: compiled C against the loop interpreter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/backend_check.h"

static const char *const compilers[] = {"gcc", "clang", NULL};

static void plain_c_has_no_undefined_behaviour(void **state) {
    (void)state;
    if (!c_have("gcc"))
        skip();
    check_every_instruction(target_find("generic"), "gcc",
                            "-fsanitize=undefined -fsanitize-undefined-trap-on-error");
}

static void headers_are_cpp(void **state) {
    (void)state;
    if (!c_have("g++"))
        skip();
    Module *m = structure_module(target_find("generic"));
    CBuild *p = build(m, "cc", "");
    assert_true(c_shell(
        p, "printf '#include \"m2_x.h\"\\nint main() { return m2_x_run(0, 0, 0, 0, 0, 0, 0); }\\n' "
           ">use.cpp && g++ -std=c++98 -pedantic -Wno-long-long -Wall -Wextra -Werror "
           "-fsyntax-only use.cpp"));
    c_free(p);
    module_free(m);
}

static void two_emissions_are_equal(void **state) {
    (void)state;
    Module *m = structure_module(target_find("x86-64-v3")),
           *again = structure_module(target_find("x86-64-v3"));
    EmitInfo info = {.name = "m", .model = "m.onnx", .version = "1"};
    Buf a = {0}, b = {0};
    emit_c_source(&a, m, &info);
    emit_c_source(&b, again, &info);
    assert_string_equal(buf_str(&a), buf_str(&b));
    buf_free(&a);
    buf_free(&b);
    module_free(m);
    module_free(again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BACKEND_TESTS(compilers),
        cmocka_unit_test(plain_c_has_no_undefined_behaviour),
        cmocka_unit_test(headers_are_cpp),
        cmocka_unit_test(two_emissions_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
