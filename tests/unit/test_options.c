/* Command lines: every kind of option, every mistake, and the generated help. */
#include "driver/driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct Shared {
    double real;
} Shared;

typedef struct TestOptions {
    CommonOptions common;
    bool flag;
    const char *text, *choice;
    int number;
    effnetc_strings list, repeat;
    Shared shared;
} TestOptions;

static const Option own_rows[] = {
    {"flag", 'f', OPT_FLAG, offsetof(TestOptions, flag), NULL, "a flag", 0, 0},
    {"text", 't', OPT_TEXT, offsetof(TestOptions, text), "TEXT", "some text", 0, 0},
    {"choice", 0, OPT_CHOICE, offsetof(TestOptions, choice), "red|green|blue", "a colour", 0, 0},
    {NULL, 'N', OPT_INT, offsetof(TestOptions, number), "0..3", "a level", 0, 3},
    {"list", 0, OPT_LIST, offsetof(TestOptions, list), "A,...", "many", 0, 0},
    {"repeat", 0, OPT_REPEAT, offsetof(TestOptions, repeat), "A", "one each time", 0, 0},
};
static const Option shared_rows[] = {
    {"real", 0, OPT_REAL, offsetof(Shared, real), "X", "a number", 0, 0},
};
static const OptionGroup own = OPTION_GROUP(own_rows), shared = OPTION_GROUP(shared_rows);

static const Command command = {
    .name = "try",
    .args = "FILE [FILE]",
    .summary = "a command for this test",
    .about = "More about it.",
    .groups = {{&own, 0}, {&shared, offsetof(TestOptions, shared)}},
    .size = sizeof(TestOptions),
    .min_args = 1,
    .max_args = 2,
};

typedef struct Fixture {
    Arena arena;
    Diag diag;
    TestOptions options;
    bool ok;
} Fixture;

/* Parses words up to NULL. */
static Fixture parse(const char *const *words) {
    Fixture f = {0};
    int n = 0;
    while (words[n])
        n++;
    f.ok = options_parse(&command, &f.options, n, (char *const *)words, &f.arena, &f.diag);
    assert_int_equal(f.ok, f.diag.errors == 0);
    return f;
}
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void drop(Fixture *f) {
    arena_free(&f->arena);
    diag_free(&f->diag);
}

static void test_every_kind(void **state) {
    (void)state;
    Fixture f =
        PARSE("--flag", "--text=a=b", "--choice", "green", "-N2", "--real=-2.5e3", "in.onnx");
    assert_true(f.ok);
    assert_true(f.options.flag);
    assert_string_equal(f.options.text, "a=b");
    assert_string_equal(f.options.choice, "green");
    assert_int_equal(f.options.number, 2);
    assert_true(f.options.shared.real == -2500);
    assert_int_equal(f.options.common.args.count, 1);
    assert_string_equal(f.options.common.args.items[0], "in.onnx");
    drop(&f);
}

static void test_values_attached_and_apart(void **state) {
    (void)state;
    Fixture f = PARSE("-t", "x", "a", "--text", "y");
    assert_string_equal(f.options.text, "y");
    drop(&f);
    f = PARSE("-tz", "a");
    assert_string_equal(f.options.text, "z");
    drop(&f);
    f = PARSE("--text", "--flag", "a"); /* a value may look like an option */
    assert_string_equal(f.options.text, "--flag");
    assert_false(f.options.flag);
    drop(&f);
}

static void test_lists(void **state) {
    (void)state;
    Fixture f = PARSE("--list=a,b", "--repeat=x,y", "--list", "c", "--repeat", "z", "in");
    assert_int_equal(f.options.list.count, 3);
    assert_string_equal(f.options.list.items[1], "b");
    assert_string_equal(f.options.list.items[2], "c");
    assert_int_equal(f.options.repeat.count, 2);
    assert_string_equal(f.options.repeat.items[0], "x,y");
    drop(&f);
}

static void test_dashes(void **state) {
    (void)state;
    Fixture f = PARSE("-", "--", "--flag");
    assert_int_equal(f.options.common.args.count, 2);
    assert_string_equal(f.options.common.args.items[0], "-");
    assert_string_equal(f.options.common.args.items[1], "--flag");
    assert_false(f.options.flag);
    drop(&f);
}

typedef struct Mistake {
    const char *words[4];
    const char *message, *note; /* parts of them; NULL: no note */
} Mistake;

static const Mistake mistakes[] = {
    {{"--flug", "a"}, "no option --flug", "did you mean --flag?"},
    {{"--liste=3", "a"}, "no option --liste", "did you mean --list?"},
    {{"--zzzzzzzzzzzz", "a"}, "no option --zzzzzzzzzzzz", "effnetc try --help"},
    {{"-q", "a"}, "no option -q", NULL},
    {{"-fx", "a"}, "no option -fx", NULL},
    {{"--flag=yes", "a"}, "--flag takes no value", NULL},
    {{"a", "--text"}, "--text needs a value: TEXT", NULL},
    {{"a", "-t"}, "-t needs a value: TEXT", NULL},
    {{"--text=", "a"}, "--text takes TEXT, not \"\"", NULL},
    {{"-t", "", "a"}, "-t takes TEXT, not \"\"", NULL},
    {{"--choice=gre", "a"}, "red|green|blue, not \"gre\"", NULL},
    {{"--choice=", "a"}, "red|green|blue, not \"\"", NULL},
    {{"--choice=red|green", "a"}, "red|green|blue, not \"red|green\"", NULL},
    {{"-N4", "a"}, "from 0 to 3, not \"4\"", NULL},
    {{"-Nx", "a"}, "from 0 to 3, not \"x\"", NULL},
    {{"-N-1", "a"}, "from 0 to 3, not \"-1\"", NULL},
    {{"--real=1x", "a"}, "--real takes a number, not \"1x\"", NULL},
    {{"--real=nan", "a"}, "--real takes a number", NULL},
    {{"--list=a,,b", "a"}, "empty item", NULL},
    {{"--flag", NULL}, "try needs FILE [FILE]", "effnetc try --help"},
    {{"a", "b", "c"}, "\"c\" is too much", "effnetc try --help"},
};

static void test_mistakes_say_what_is_wrong(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const Mistake *m = &mistakes[i];
        Fixture f = parse(m->words);
        if (f.diag.errors != 1)
            fail_msg("%s: %zu errors, wanted 1", m->message, f.diag.errors);
        const DiagItem *item = f.diag.items.data[0];
        assert_int_equal(item->exit_code, EXIT_USAGE);
        if (!strstr(item->message, m->message))
            fail_msg("\"%s\" does not contain \"%s\"", item->message, m->message);
        if (m->note && (item->notes.len != 1 || !strstr(item->notes.data[0].text, m->note)))
            fail_msg("%s: the note does not contain \"%s\"", m->message, m->note);
        drop(&f);
    }
}

static void test_all_mistakes_are_reported(void **state) {
    (void)state;
    Fixture f = PARSE("--flug", "--real=x", "-N9");
    assert_int_equal(f.diag.errors, 4); /* and no FILE */
    drop(&f);
}

static void test_help_needs_no_arguments(void **state) {
    (void)state;
    Fixture f = PARSE("--help");
    assert_true(f.ok);
    assert_true(f.options.common.help);
    drop(&f);
    f = PARSE("-h");
    assert_true(f.options.common.help);
    drop(&f);
}

static void test_help_lists_every_option(void **state) {
    char *text = NULL;
    size_t size = 0;
    (void)state;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    options_help(f, &command);
    fclose(f);
    const char *const parts[] = {"usage: effnetc try [options] FILE [FILE]",
                                 "a command for this test",
                                 "More about it.",
                                 "-f, --flag",
                                 "-t, --text=TEXT",
                                 "--choice=red|green|blue",
                                 "-N0..3",
                                 "--list=A,...",
                                 "--repeat=A",
                                 "--real=X",
                                 "a number",
                                 "-h, --help",
                                 "--color=auto|always|never"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(text, parts[i]))
            fail_msg("\"%s\" is missing in:\n%s", parts[i], text);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_values_attached_and_apart),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_dashes),
        cmocka_unit_test(test_mistakes_say_what_is_wrong),
        cmocka_unit_test(test_all_mistakes_are_reported),
        cmocka_unit_test(test_help_needs_no_arguments),
        cmocka_unit_test(test_help_lists_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
