/* Unit tests of support/diag.c: what is kept, what is printed, which exit code comes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "support/support.h"

/* What diag_print writes; the caller frees it. */
static char *printed(const Diag *d, bool color) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    diag_print(d, f, color);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void assert_printed(const Diag *d, bool color, const char *wanted) {
    char *text = printed(d, color);
    assert_string_equal(text, wanted);
    free(text);
}

static void nothing_is_printed_for_nothing(void **state) {
    (void)state;
    Diag d = {0};
    assert_printed(&d, false, "");
    assert_int_equal(diag_exit_code(&d), EXIT_OK);
    diag_note(&d, "help", "lost: there is no item");
    assert_printed(&d, false, "");
    diag_free(&d);
}

static void an_error_is_printed_as_documented(void **state) {
    (void)state;
    Diag d = {0};
    diag_error(&d, EXIT_UNSUPPORTED, "b0.onnx", "node \"%s\" (Einsum, opset %d) is not supported",
               "blocks.2.1/attn", 12);
    diag_note(&d, "inputs", "f32[1,196,64], f32[64,64]");
    diag_note(&d, "reason", "no importer for this operator");
    diag_note(&d, "help", "`effnetc ops` lists what is");
    assert_printed(&d, false,
                   "b0.onnx: error: node \"blocks.2.1/attn\" (Einsum, opset 12) is not supported\n"
                   "  inputs: f32[1,196,64], f32[64,64]\n"
                   "  reason: no importer for this operator\n"
                   "  help:   `effnetc ops` lists what is\n");
    assert_int_equal(diag_exit_code(&d), EXIT_UNSUPPORTED);
    diag_free(&d);
}

static void notes_align_within_their_item(void **state) {
    (void)state;
    Diag d = {0};
    diag_remark(&d, "m", "one");
    diag_note(&d, "a", "x");
    diag_warning(&d, NULL, "two");
    diag_note(&d, "longer", "first line\nsecond line");
    diag_note(&d, "a", "y");
    assert_printed(&d, false,
                   "m: remark: one\n"
                   "  a: x\n"
                   "effnetc: warning: two\n"
                   "  longer: first line\n"
                   "          second line\n"
                   "  a:      y\n");
    assert_int_equal(diag_exit_code(&d), EXIT_OK);
    diag_free(&d);
}

static void the_first_error_gives_the_exit_code(void **state) {
    (void)state;
    Diag d = {0};
    diag_warning(&d, "m", "careful");
    diag_error(&d, EXIT_BAD_MODEL, "m", "one");
    diag_error(&d, EXIT_IO, "m", "two");
    assert_int_equal(diag_exit_code(&d), EXIT_BAD_MODEL);
    assert_int_equal(d.errors, 2);
    assert_int_equal(d.warnings, 1);
    diag_free(&d);
    assert_int_equal(diag_exit_code(&d), EXIT_OK);
}

static void control_characters_are_escaped(void **state) {
    (void)state;
    Diag d = {0};
    diag_error(&d, EXIT_BAD_MODEL, "a\033[2J.onnx", "node \"x\ny\"");
    diag_note(&d, "reason", "\a\xc3\xa9\xc2\x9b\x32J\xc2\xb5");
    assert_printed(&d, false,
                   "a\\x1b[2J.onnx: error: node \"x\\x0ay\"\n"
                   "  reason: \\x07\xc3\xa9\\xc2\\x9b2J\xc2\xb5\n");
    diag_free(&d);
}

static void colors_come_where_asked_for(void **state) {
    (void)state;
    Diag d = {0};
    diag_error(&d, EXIT_IO, "m", "text");
    assert_printed(&d, true, "\033[1mm:\033[0m \033[1;31merror:\033[0m text\n");
    diag_free(&d);
}

static void errors_past_the_limit_are_counted(void **state) {
    (void)state;
    Diag d = {0};
    for (int i = 0; i < DIAG_MAX + 5; i++) {
        diag_error(&d, EXIT_BAD_MODEL, "m", "e%d", i);
        diag_note(&d, "reason", "r%d", i);
    }
    assert_int_equal(d.errors, DIAG_MAX + 5);
    assert_int_equal(d.dropped, 5);
    assert_int_equal(d.items.len, DIAG_MAX);
    assert_int_equal(d.items.data[DIAG_MAX - 1]->notes.len, 1); /* no note of a dropped error */
    for (int i = 0; i < DIAG_MAX + 2; i++)
        diag_warning(&d, "m", "w%d", i);
    assert_int_equal(d.items.len, 2 * DIAG_MAX);
    char *text = printed(&d, false);
    assert_non_null(strstr(text, "m: error: e99\n  reason: r99\n"));
    assert_null(strstr(text, "e100"));
    assert_non_null(strstr(text, "effnetc: 7 more not shown\n"));
    free(text);
    diag_free(&d);
}

static void texts_are_copied(void **state) {
    (void)state;
    Diag d = {0};
    char where[] = "m", label[] = "help", text[] = "abc";
    diag_error(&d, EXIT_IO, where, "%s", text);
    diag_note(&d, label, "%s", text);
    where[0] = label[0] = text[0] = '?';
    assert_printed(&d, false, "m: error: abc\n  help: abc\n");
    diag_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_printed_for_nothing),
        cmocka_unit_test(an_error_is_printed_as_documented),
        cmocka_unit_test(notes_align_within_their_item),
        cmocka_unit_test(the_first_error_gives_the_exit_code),
        cmocka_unit_test(control_characters_are_escaped),
        cmocka_unit_test(colors_come_where_asked_for),
        cmocka_unit_test(errors_past_the_limit_are_counted),
        cmocka_unit_test(texts_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
