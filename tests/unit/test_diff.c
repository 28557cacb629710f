/* Unit tests of support/diff.c: what two texts don't have in common. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/support.h"

static void assert_diff(const char *a, const char *b, const char *wanted) {
    Buf out = {0};
    text_diff(&out, a, b);
    assert_string_equal(buf_str(&out), wanted);
    buf_free(&out);
}

static void equal_texts_have_none(void **state) {
    (void)state;
    assert_diff("", "", "");
    assert_diff("a\nb\n", "a\nb\n", "");
    assert_diff("a\na\na\n", "a\na\na\n", "");
    assert_diff("a\nb", "a\nb\n", ""); /* whether the last line ends doesn't count */
}

static void lines_come_and_go(void **state) {
    (void)state;
    assert_diff("", "a\n", "+a\n");
    assert_diff("a\n", "", "-a\n");
    assert_diff("a\nb\nc\n", "a\nc\n", "-b\n");
    assert_diff("a\nc\n", "a\nb\nc\nd\n", "+b\n+d\n");
    assert_diff("a\nb\nc\n", "a\nx\nc\n", "-b\n+x\n");
    assert_diff("a\n\nb\n", "a\nb\n", "-\n");
}

static void frame_is_longest(void **state) {
    (void)state;
    assert_diff("m\na\nb\nc\n", "a\nb\nc\nm\n", "-m\n+m\n");
    assert_diff("a\nb\nc\nd\n", "d\na\nb\nc\n", "+d\n-d\n");
    assert_diff("a\nb\n", "b\na\n", "-a\n+a\n"); /* or b, as short */
}

static void repeated_lines(void **state) {
    (void)state;
    assert_diff("x\na\nx\nb\nx\n", "x\na\nx\nc\nx\n", "-b\n+c\n");
    assert_diff("x\nx\n", "x\nx\nx\n", "+x\n");
    assert_diff("a\nx\nx\nb\n", "a\nx\nb\n", "-x\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_texts_have_none),
        cmocka_unit_test(lines_come_and_go),
        cmocka_unit_test(frame_is_longest),
        cmocka_unit_test(repeated_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
