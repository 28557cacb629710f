/* Labels from JSON and from text. */
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static rt_labels labels_of(const char *text) {
    rt_labels l;
    rt_error err;
    if (rt_labels_decode(&l, text, strlen(text), &err) != RT_OK)
        fail_msg("%s: %s", text, err.text);
    return l;
}

static void expect_fish(const char *text) {
    rt_labels l = labels_of(text);
    assert_int_equal(l.count, 3);
    assert_string_equal(rt_label(&l, 0), "tench, Tinca tinca");
    assert_string_equal(rt_label(&l, 1), "goldfish");
    assert_string_equal(rt_label(&l, 2), "shark");
    assert_string_equal(rt_label(&l, 3), "");
    rt_labels_free(&l);
}

static void test_every_form_gives_the_same_labels(void **state) {
    (void)state;
    expect_fish(" [\"tench, Tinca tinca\", \"goldfish\", \"shark\"]");
    expect_fish("{\"1\": \"goldfish\", \"0\": \"tench, Tinca tinca\", \"2\": \"shark\"}");
    expect_fish(
        "{\"2\": [\"n01484850\", \"shark\"], \"0\": [\"n01440764\", \"tench, Tinca tinca\"], "
        "\"1\": [\"n01443537\", \"goldfish\"]}");
    expect_fish("tench, Tinca tinca\ngoldfish\nshark\n");
    expect_fish("tench, Tinca tinca\r\ngoldfish\r\nshark");
}

static void test_gaps_have_no_label(void **state) {
    rt_labels l = labels_of("{\"5\": \"five\", \"70\": \"seventy\"}");
    (void)state;
    assert_int_equal(l.count, 71);
    assert_string_equal(rt_label(&l, 0), "");
    assert_string_equal(rt_label(&l, 5), "five");
    assert_string_equal(rt_label(&l, 69), "");
    assert_string_equal(rt_label(&l, 70), "seventy");
    rt_labels_free(&l);
    l = labels_of("a\n\nc\n");
    assert_int_equal(l.count, 3);
    assert_string_equal(rt_label(&l, 1), "");
    assert_string_equal(rt_label(&l, 2), "c");
    rt_labels_free(&l);
}

static void test_a_thousand_lines(void **state) {
    char text[4 * 1000 + 1];
    (void)state;
    for (int i = 0; i < 1000; i++)
        memcpy(
            text + 4 * i,
            (char[]){(char)('0' + i / 100), (char)('0' + i / 10 % 10), (char)('0' + i % 10), '\n'},
            4);
    text[4000] = 0;
    rt_labels l = labels_of(text);
    assert_int_equal(l.count, 1000);
    assert_string_equal(rt_label(&l, 0), "000");
    assert_string_equal(rt_label(&l, 512), "512");
    assert_string_equal(rt_label(&l, 999), "999");
    rt_labels_free(&l);
}

typedef struct Bad {
    const char *text;
    int code;
    const char *says;
} Bad;

static const Bad bad[] = {
    {"", RT_ERROR_FORMAT, "no label"},
    {"[]", RT_ERROR_FORMAT, "no label"},
    {"{}", RT_ERROR_FORMAT, "no label"},
    {"[\"a\", ", RT_ERROR_FORMAT, "line 1"},
    {"[\"a\", 7]", RT_ERROR_FORMAT, "class 1"},
    {"[\"a\", []]", RT_ERROR_FORMAT, "class 1"},
    {"{\"a\": \"b\"}", RT_ERROR_FORMAT, "\"a\""},
    {"{\"-1\": \"b\"}", RT_ERROR_FORMAT, "\"-1\""},
    {"{\"1x\": \"b\"}", RT_ERROR_FORMAT, "\"1x\""},
    {"{\"1\": \"a\", \"01\": \"b\"}", RT_ERROR_FORMAT, "two labels"},
    {"{\"1\": \"a\", \"1\": \"b\"}", RT_ERROR_FORMAT, "duplicate"},
    {"{\"4000000000\": \"b\"}", RT_ERROR_UNSUPPORTED, "limit"},
    {"{\"99999999999999999999999\": \"b\"}", RT_ERROR_UNSUPPORTED, "limit"},
};

static void test_bad_files_are_refused_with_the_reason(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rt_labels l;
        rt_error err = {{0}};
        int code = rt_labels_decode(&l, bad[i].text, strlen(bad[i].text), &err);
        if (code != bad[i].code || !strstr(err.text, bad[i].says))
            fail_msg("%s: code %d, \"%s\"; wanted %d, \"%s\"", bad[i].text, code, err.text,
                     bad[i].code, bad[i].says);
        assert_null(l.name);
    }
}

static void test_binary_files_are_no_text(void **state) {
    rt_labels l;
    rt_error err;
    (void)state;
    assert_int_equal(rt_labels_decode(&l, "ok\na\0b\n", 7, &err), RT_ERROR_FORMAT);
    assert_non_null(strstr(err.text, "line 2"));
    assert_int_equal(rt_labels_read(&l, "no/such/file.txt", &err), RT_ERROR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_form_gives_the_same_labels),
        cmocka_unit_test(test_gaps_have_no_label),
        cmocka_unit_test(test_a_thousand_lines),
        cmocka_unit_test(test_bad_files_are_refused_with_the_reason),
        cmocka_unit_test(test_binary_files_are_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
