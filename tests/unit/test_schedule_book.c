/* Schedule books: text that round-trips, every mistake with its place, lookups, candidates. */
#include "passes/passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const Target *v3(void) {
    return target_find("x86-64-v3");
}

static ScheduleBook *parse(const char *text, Diag *d) {
    return schedule_book_parse(text, strlen(text), "book", v3(), d);
}

static ScheduleBook *parse_good(const char *text) {
    Diag d = {0};
    ScheduleBook *book = parse(text, &d);
    if (!book)
        diag_print(&d, stderr, false);
    assert_non_null(book);
    assert_int_equal(d.errors, 0);
    diag_free(&d);
    return book;
}

static void check_text(const ScheduleBook *book, const char *expected) {
    Buf b = {0};
    schedule_book_print(&b, book);
    assert_string_equal(buf_str(&b), expected);
    buf_free(&b);
}

/* In the order of the book: every field, and numbers that are sorted as numbers. */
static const char ordered[] =
    "effnetc-schedules 1 target=x86-64-v3\n"
    "gemm 1x1 pixels=1 channels=8 k=1 : mr=1 nv=1\n"
    "gemm 1x1 pixels=49 channels=320 k=1152 act=silu residual : mr=4 nv=3\n"
    "gemm 1x1 pixels=196 channels=12 k=80 : mr=6 nv=2 half  # 3.1 % faster than mr=6 nv=2\n"
    "gemm 3x3 stride=2 dilation=3 pixels=9 channels=32 k=3 act=relu6 planar : mr=4 nv=3\n"
    "dw 3x3 pixels=7 : mr=7\n"
    "dw 5x5 stride=2 pixels=28 act=hard_swish sum : mr=9  # a comment\n";

static void text_round_trips(void **state) {
    (void)state;
    ScheduleBook *book = parse_good(ordered);
    check_text(book, ordered);
    schedule_book_free(book);
}

static void order_and_blanks_do_not_matter(void **state) {
    (void)state;
    ScheduleBook *book = parse_good("# by hand\n\n"
                                    "effnetc-schedules   1 target=x86-64-v3\r\n"
                                    "dw 3x3 pixels=7 : mr=7\n"
                                    "  # nothing\n"
                                    "\tgemm 1x1 k=8 act=relu channels=16 pixels=10 : nv=2 mr=5");
    check_text(book, "effnetc-schedules 1 target=x86-64-v3\n"
                     "gemm 1x1 pixels=10 channels=16 k=8 act=relu : mr=5 nv=2\n"
                     "dw 3x3 pixels=7 : mr=7\n");
    schedule_book_free(book);
}

static void an_empty_book_is_its_header(void **state) {
    (void)state;
    ScheduleBook *book = schedule_book_new(v3());
    check_text(book, "effnetc-schedules 1 target=x86-64-v3\n");
    schedule_book_free(book);
}

/* ---- mistakes -------------------------------------------------------------------------------- */

#define HEAD "effnetc-schedules 1 target=x86-64-v3\n"

typedef struct Mistake {
    const char *text, *where, *message, *found;
} Mistake;

static const Mistake mistakes[] = {
    {"", "book:1:1", "no schedule file", "the end of the line"},
    {"graph @g {\n", "book:1:1", "no schedule file", "graph"},
    {"effnetc-schedules 2 target=x86-64-v3\n", "book:1:19", "expected version 1", "2"},
    {"effnetc-schedules 1\n", "book:1:20", "expected target=NAME", "the end of the line"},
    {"effnetc-schedules 1 target=x86-64-v4\n", "book:1:21", "another target than x86-64-v3",
     "target=x86-64-v4"},
    {"effnetc-schedules 1 target=x86-64-v3 now\n", "book:1:38", "end of the line", "now"},
    {HEAD "fft 3x3 pixels=7 : mr=7\n", "book:2:1", "gemm or dw", "fft"},
    {HEAD "dw 3 pixels=7 : mr=7\n", "book:2:4", "expected taps", "3"},
    {HEAD "dw 3x pixels=7 : mr=7\n", "book:2:4", "expected taps", "3x"},
    {HEAD "dw 3x3 pixels=0 : mr=7\n", "book:2:8", "expected pixels=N", "pixels=0"},
    {HEAD "dw 3x3 pixels : mr=7\n", "book:2:8", "expected pixels=N", "pixels"},
    {HEAD "dw 3x3 pixels=99999999999 : mr=7\n", "book:2:8", "expected pixels=N",
     "pixels=99999999999"},
    {HEAD "dw 3x3 pixels=7 k=3 : mr=7\n", "book:2:17", "no such word", "k=3"},
    {HEAD "dw 3x3 pixels=7 pixels=7 : mr=7\n", "book:2:17", "there twice", "pixels=7"},
    {HEAD "dw 3x3 pixels=7 act=gelu : mr=7\n", "book:2:17", "an activation", "act=gelu"},
    {HEAD "dw 3x3 pixels=7 sum=1 : mr=7\n", "book:2:17", "sum has no value", "sum=1"},
    {HEAD "dw 3x3 : mr=7\n", "book:2:8", "expected pixels=N", ":"},
    {HEAD "dw 3x3 pixels=7\n", "book:2:16", "expected a colon", "the end of the line"},
    {HEAD "dw 3x3 pixels=7 : \n", "book:2:19", "expected mr=N", "the end of the line"},
    {HEAD "dw 3x3 pixels=7 : mr=7 :\n", "book:2:24", "end of the line", ":"},
    {HEAD "dw 3x3 pixels=7 : mr=8\n", "book:2:19", "mr is more than all pixels", "mr=8"},
    {HEAD "dw 3x3 pixels=70 : mr=13\n", "book:2:20", "too few registers", "mr=13"},
    {HEAD "gemm 1x1 pixels=49 channels=16 k=1 : mr=6 nv=3\n", "book:2:38",
     "nv is more than all channels", "mr=6"},
    {HEAD "gemm 1x1 pixels=49 channels=64 k=1 : mr=7 nv=2\n", "book:2:38", "too few registers",
     "mr=7"},
    {HEAD "gemm 1x1 pixels=49 channels=14 k=1 : mr=6 nv=2 half\n", "book:2:38",
     "half a vector is not enough", "mr=6"},
    {HEAD "dw 3x3 pixels=7 : mr=7\n\ndw 3x3 pixels=7 : mr=6\n", "book:4:19", "already", "mr=6"},
};

static const char *note(const DiagItem *item, const char *label) {
    for (size_t i = 0; i < item->notes.len; i++)
        if (!strcmp(item->notes.data[i].label, label))
            return item->notes.data[i].text;
    return "";
}

static void mistakes_are_told_with_their_place(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const Mistake *m = &mistakes[i];
        Diag d = {0};
        print_message("%s", m->text);
        assert_null(parse(m->text, &d));
        assert_int_equal(d.errors, 1);
        assert_int_equal(diag_exit_code(&d), EXIT_BAD_MODEL);
        assert_string_equal(d.items.data[0]->where, m->where);
        assert_non_null(strstr(d.items.data[0]->message, m->message));
        assert_string_equal(note(d.items.data[0], "found"), m->found);
        diag_free(&d);
    }
}

/* ---- lookups --------------------------------------------------------------------------------- */

static const TileProblem dw7 = {
    .kind = TILE_DW, .kh = 3, .kw = 3, .stride = 1, .dilation = 1, .pixels = 7};

static void problems_are_told_apart_by_what_is_written(void **state) {
    (void)state;
    ScheduleBook *book = parse_good(HEAD "dw 3x3 pixels=7 : mr=5\n");
    TileProblem p = dw7;
    Tile tile = {0};
    p.rows = 30;
    p.blocks = 2;
    assert_true(schedule_book_find(book, &p, &tile));
    assert_int_equal(tile.mr, 5);
    assert_int_equal(tile.nv, 1);
    p.sum = true;
    assert_false(schedule_book_find(book, &p, &tile));
    tile.mr = 4;
    schedule_book_set(book, &p, &tile, NULL);
    assert_true(schedule_book_find(book, &p, &tile));
    assert_int_equal(tile.mr, 4);
    schedule_book_free(book);
}

static void unused_lines_are_counted(void **state) {
    (void)state;
    ScheduleBook *book = parse_good(
        HEAD "dw 3x3 pixels=7 : mr=5\ndw 3x3 pixels=7 sum : mr=5\ndw 5x5 pixels=7 : mr=5");
    TileProblems problems = {0};
    TileProblem p = dw7;
    assert_int_equal(schedule_book_unused(book, &problems), 3);
    p.rows = 3;
    tile_problems_add(&problems, &p);
    p.rows = 9;
    tile_problems_add(&problems, &p);
    p.rows = 4;
    tile_problems_add(&problems, &p);
    assert_int_equal(problems.items.len, 1);
    assert_int_equal(problems.items.data[0]->rows, 9);
    assert_int_equal(schedule_book_unused(book, &problems), 2);
    tile_problems_free(&problems);
    schedule_book_free(book);
}

/* ---- candidates ------------------------------------------------------------------------------ */

static void candidates_are_legal_and_distinct(void **state) {
    (void)state;
    enum { MAX = 40 };
    TileProblem problems[] = {
        dw7,
        {.kind = TILE_GEMM,
         .kh = 1,
         .kw = 1,
         .stride = 1,
         .dilation = 1,
         .pixels = 196,
         .channels = 20,
         .k = 24},
        {.kind = TILE_GEMM,
         .kh = 1,
         .kw = 1,
         .stride = 1,
         .dilation = 1,
         .pixels = 1,
         .channels = 1000,
         .k = 1280},
    };
    for (size_t t = 0; t < target_count(); t++)
        for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
            Tile tiles[MAX], one;
            size_t n = tile_candidates(&problems[i], target_at(t), 1.5, tiles, MAX);
            assert_in_range(n, 1, MAX);
            for (size_t k = 0; k < n; k++) {
                assert_null(tile_fault(&problems[i], &tiles[k], target_at(t)));
                for (size_t l = 0; l < k; l++)
                    assert_false(tiles[k].mr == tiles[l].mr && tiles[k].nv == tiles[l].nv &&
                                 tiles[k].half == tiles[l].half);
            }
            assert_int_equal(tile_candidates(&problems[i], target_at(t), 1, &one, 1), 1);
            assert_int_equal(one.mr, tiles[0].mr);
            assert_int_equal(one.nv, tiles[0].nv);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_round_trips),
        cmocka_unit_test(order_and_blanks_do_not_matter),
        cmocka_unit_test(an_empty_book_is_its_header),
        cmocka_unit_test(mistakes_are_told_with_their_place),
        cmocka_unit_test(problems_are_told_apart_by_what_is_written),
        cmocka_unit_test(unused_lines_are_counted),
        cmocka_unit_test(candidates_are_legal_and_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
