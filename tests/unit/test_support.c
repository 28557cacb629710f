/* Unit tests of support/: arenas, vectors, buffers, maps, text helpers, broken invariants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/support.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

/* ---- arena ----------------------------------------------------------------------------------- */

static void arena_memory_is_zeroed_and_aligned(void **state) {
    (void)state;
    Arena a = {0};
    size_t total = 0;
    for (size_t size = 0; size < 3000; size += 7) {
        unsigned char *p = arena_alloc(&a, size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, size);
        total += size;
    }
    assert_int_equal(a.total, total);
    arena_free(&a);
    assert_int_equal(a.total, 0);
    assert_null(a.chunks);
    assert_non_null(arena_alloc(&a, 1)); /* usable again */
    arena_free(&a);
}

static void arena_blocks_do_not_overlap(void **state) {
    (void)state;
    enum { N = 500 };
    static const size_t sizes[] = {1, 16, 17, 900, 5000, 300000, 0, 2 << 20};
    Arena a = {0};
    unsigned char *blocks[N];
    for (size_t i = 0; i < N; i++) {
        size_t size = sizes[i % 8];
        blocks[i] = arena_alloc(&a, size);
        memset(blocks[i], (int)(i % 251), size > 1000 ? 1000 : size);
    }
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < sizes[i % 8] && k < 1000; k++)
            assert_int_equal(blocks[i][k], i % 251);
    arena_free(&a);
}

static void arena_large_block_first(void **state) {
    (void)state;
    Arena a = {0};
    char *large = arena_alloc(&a, 1 << 20);
    char *small = arena_alloc(&a, 10);
    char *large2 = arena_alloc(&a, 1 << 20);
    char *small2 = arena_alloc(&a, 10);
    large[(1 << 20) - 1] = large2[(1 << 20) - 1] = 1;
    assert_true(small2 > small && small2 - small <= 64); /* the open chunk stayed open */
    arena_free(&a);
}

static void arena_makes_strings(void **state) {
    (void)state;
    Arena a = {0};
    assert_string_equal(arena_strdup(&a, ""), "");
    assert_string_equal(arena_strdup(&a, "abc"), "abc");
    assert_string_equal(arena_strndup(&a, "abc", 2), "ab");
    assert_string_equal(arena_strndup(&a, "abc", 9), "abc");
    assert_string_equal(arena_strndup(&a, (const char[]){'x', 'y'}, 2), "xy"); /* no NUL */
    assert_string_equal(arena_printf(&a, "%d-%s", 42, "x"), "42-x");
    char *longer = arena_printf(&a, "%5000d", 7);
    assert_int_equal(strlen(longer), 5000);
    assert_memory_equal(arena_copy(&a, "\0\1\2", 3), "\0\1\2", 3);
    assert_non_null(arena_copy(&a, NULL, 0));
    arena_free(&a);
}

static void vec_keeps_what_was_pushed(void **state) {
    (void)state;
    Arena a = {0};
    VEC(int) v = {0};
    VEC(char *) names = {0};
    for (int i = 0; i < 1000; i++) {
        vec_push(&a, &v, i * 3);
        vec_push(&a, &names, arena_printf(&a, "n%d", i));
    }
    assert_int_equal(v.len, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(v.data[i], i * 3);
        assert_int_equal(atoi(names.data[i] + 1), i);
    }
    arena_free(&a);
}

#ifdef __SANITIZE_ADDRESS__
static void arena_poisons_what_it_did_not_hand_out(void **state) {
    (void)state;
    Arena a = {0};
    char *p = arena_alloc(&a, 5);
    assert_false(__asan_address_is_poisoned(p + 4));
    assert_true(__asan_address_is_poisoned(p + 5));
    assert_true(__asan_address_is_poisoned(p + 16));
    char *large = arena_alloc(&a, 100000);
    assert_false(__asan_address_is_poisoned(large + 99999));
    assert_true(__asan_address_is_poisoned(large + 100000));
    arena_free(&a);
}
#endif

/* ---- broken invariants ----------------------------------------------------------------------- */

typedef struct Death {
    int code;
    char text[1024];
} Death;

/* Runs f in a child process: its exit code and what it said on stderr. */
static Death die_in_child(void (*f)(void)) {
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fd[1], STDERR_FILENO);
        f();
        _exit(0);
    }
    close(fd[1]);
    Death death = {0};
    size_t len = 0;
    for (ssize_t n; (n = read(fd[0], death.text + len, sizeof death.text - 1 - len)) > 0;)
        len += (size_t)n;
    close(fd[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    death.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return death;
}

static void break_invariant(void) {
    ensure(1 + 1 == 3);
}

static void overflow_array(void) {
    Arena a = {0};
    arena_array(&a, SIZE_MAX / 2, 4);
}

static void exhaust_memory(void) {
    Arena a = {0};
    arena_alloc(&a, SIZE_MAX - 8);
}

static void broken_invariants_end_the_process(void **state) {
    (void)state;
    Death death = die_in_child(break_invariant);
    assert_int_equal(death.code, EXIT_INTERNAL);
    assert_non_null(strstr(death.text, "test_support.c:"));
    assert_non_null(strstr(death.text, "invariant does not hold: 1 + 1 == 3"));
    assert_non_null(strstr(death.text, "please report"));
    assert_int_equal(die_in_child(overflow_array).code, EXIT_INTERNAL);
    death = die_in_child(exhaust_memory);
    assert_int_equal(death.code, EXIT_IO);
    assert_non_null(strstr(death.text, "out of memory"));
}

static void holding_invariants_cost_nothing(void **state) {
    (void)state;
    int evaluated = 0;
    ensure(++evaluated == 1);
    assert_int_equal(evaluated, 1);
}

/* ---- buf ------------------------------------------------------------------------------------- */

static void buf_grows(void **state) {
    (void)state;
    Buf b = {0};
    assert_string_equal(buf_str(&b), "");
    buf_puts(&b, "");
    assert_string_equal(b.data, "");
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%d,", i % 10);
    assert_int_equal(b.len, 2000);
    assert_int_equal(strlen(b.data), 2000);
    buf_putc(&b, 'x');
    buf_write(&b, "a\0b", 3);
    assert_int_equal(b.len, 2004);
    assert_memory_equal(b.data + 1998, "9,xa\0b", 7);
    char *more = buf_extend(&b, 3000);
    assert_ptr_equal(more, b.data + 2004);
    assert_int_equal(b.len, 5004);
    for (int i = 0; i <= 3000; i++)
        assert_int_equal(more[i], 0);
    buf_cut(&b, 2001);
    assert_int_equal(b.len, 2001);
    assert_string_equal(b.data + 1998, "9,x");
    buf_puts(&b, "y");
    assert_string_equal(b.data + 1998, "9,xy");
    buf_free(&b);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
}

static void buf_escapes(void **state) {
    (void)state;
    Buf b = {0};
    buf_put_escaped(&b, "a b\n\"\\\t\x01~\x7f\xc3\xa9");
    assert_string_equal(buf_str(&b), "a b\\n\\\"\\\\\\x09\\x01~\\x7f\\xc3\\xa9");
    buf_free(&b);
}

/* ---- map ------------------------------------------------------------------------------------- */

static void map_finds_what_was_put(void **state) {
    (void)state;
    enum { N = 5000 };
    static int values[N];
    Arena a = {0};
    Map m = {0};
    assert_null(map_get(&m, ""));
    assert_null(map_get(&m, "k1"));
    for (int i = 0; i < N; i++)
        assert_true(map_put(&a, &m, arena_printf(&a, "k%d", i), &values[i]));
    assert_int_equal(m.len, N);
    for (int i = 0; i < N; i++)
        assert_ptr_equal(map_get(&m, arena_printf(&a, "k%d", i)), &values[i]);
    assert_null(map_get(&m, "k5000"));
    assert_null(map_get(&m, ""));
    assert_false(map_put(&a, &m, "k7", &values[0]));
    assert_ptr_equal(map_get(&m, "k7"), &values[0]);
    assert_int_equal(m.len, N);
    assert_true(map_put(&a, &m, "", &values[3]));
    assert_ptr_equal(map_get(&m, ""), &values[3]);
    arena_free(&a);
}

/* The published XXH3-64 values: dumps and constant files depend on the hash staying the same. */
static void hash_is_xxh3(void **state) {
    (void)state;
    assert_true(hash_bytes(NULL, 0) == UINT64_C(0x2d06800538d394c2));
    assert_true(hash_bytes("a", 1) == UINT64_C(0xe6c632b61e964e1f));
    assert_true(hash_bytes("a", 1) != hash_bytes("b", 1));
}

/* ---- text ------------------------------------------------------------------------------------ */

static void integers_are_parsed_whole(void **state) {
    (void)state;
    int64_t x = 5;
    assert_true(parse_i64("0", &x) && x == 0);
    assert_true(parse_i64("-12", &x) && x == -12);
    assert_true(parse_i64("+7", &x) && x == 7);
    assert_true(parse_i64("9223372036854775807", &x) && x == INT64_MAX);
    assert_true(parse_i64("-9223372036854775808", &x) && x == INT64_MIN);
    static const char *const bad[] = {
        "", "-", "--1", " 1", "1 ", "0x1", "1.0", "12a", "9223372036854775808", "one"};
    x = 5;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parse_i64(bad[i], &x))
            fail_msg("\"%s\" was read as an integer", bad[i]);
    assert_int_equal(x, 5);
}

static void floats_are_parsed_whole(void **state) {
    (void)state;
    double x = 5;
    assert_true(parse_f64("0.5", &x) && x == 0.5);
    assert_true(parse_f64("-1e3", &x) && x == -1000);
    assert_true(parse_f64("-inf", &x) && x < -1e308);
    assert_true(parse_f64("nan", &x) && x != x);
    assert_true(parse_f64("1e-320", &x) && x > 0);
    static const char *const bad[] = {"", "1.0x", " 1", "1 ", ".", "1e999", "-1e999", "1,5"};
    x = 5;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parse_f64(bad[i], &x))
            fail_msg("\"%s\" was read as a number", bad[i]);
    assert_true(x == 5);
}

static void amounts_have_units(void **state) {
    (void)state;
    double x = 5;
    assert_true(parse_amount("2G", &x) && x == 2e9);
    assert_true(parse_amount("1.5Mi", &x) && x == 1.5 * 1024 * 1024);
    assert_true(parse_amount("512Ki", &x) && x == 524288);
    assert_true(parse_amount("3k", &x) && x == 3000);
    assert_true(parse_amount("7", &x) && x == 7);
    static const char *const wrong[] = {"", "M", "2T", "2MB", "2 M", "Mi", "1Mi1", "2kk"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(parse_amount(wrong[i], &x));
}

static void near_names_are_found(void **state) {
    (void)state;
    static const char *const known[] = {"fold-batch-norm", "fuse-act", "fuse-se", "dce"};
    assert_string_equal(nearest_name("fold-batchnorm", known, 4), "fold-batch-norm");
    assert_string_equal(nearest_name("fuse_se", known, 4), "fuse-se");
    assert_string_equal(nearest_name("fuse-atc", known, 4), "fuse-act");
    assert_string_equal(nearest_name("dec", known, 4), "dce");
    assert_string_equal(nearest_name("fuse-se", known, 4), "fuse-se");
    assert_null(nearest_name("quantise", known, 4));
    assert_null(nearest_name("", known, 4));
    assert_null(nearest_name("fuse-act", known, 0));
    char endless[200];
    memset(endless, 'f', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    assert_null(nearest_name(endless, known, 4));
    const char *long_known[] = {endless};
    assert_null(nearest_name("fff", long_known, 1));
}

static void overflow_is_noticed(void **state) {
    (void)state;
    int64_t x = 5;
    assert_true(checked_mul(3, 4, &x) && x == 12);
    assert_true(checked_mul(0, INT64_MAX, &x) && x == 0);
    assert_true(checked_mul(INT64_MAX, 0, &x) && x == 0);
    assert_true(checked_mul(INT64_MAX, 1, &x) && x == INT64_MAX);
    assert_true(checked_add(INT64_MAX - 1, 1, &x) && x == INT64_MAX);
    x = 5;
    assert_false(checked_mul(INT64_MAX / 2 + 1, 2, &x));
    assert_false(checked_mul(INT64_C(1) << 32, INT64_C(1) << 31, &x));
    assert_false(checked_mul(-1, 2, &x));
    assert_false(checked_add(INT64_MAX, 1, &x));
    assert_false(checked_add(-1, 1, &x));
    assert_int_equal(x, 5);
}

static void rounding_helpers(void **state) {
    (void)state;
    assert_int_equal(round_up(0, 16), 0);
    assert_int_equal(round_up(1, 16), 16);
    assert_int_equal(round_up(16, 16), 16);
    assert_int_equal(ceil_div(17, 16), 2);
    assert_int_equal(ceil_div(16, 16), 1);
    assert_int_equal(ceil_div(0, 16), 0);
}

/* ---- loaded files ---------------------------------------------------------------------------- */

static const char of_this_file[] = "read again";

static void loaded_files_are_found(void **state) {
    (void)state;
    int here = 0;
    const char *own = loaded_path(of_this_file), *library = loaded_path(stdout);
    assert_non_null(own);
    assert_non_null(library);
    assert_string_not_equal(own, library);
    assert_null(loaded_path(&here)); /* the stack's */
    assert_null(loaded_path(NULL));
}

static int written_data = 1;

static void what_is_written_is_not_released(void **state) {
    (void)state;
    written_data = 2;
    loaded_release(of_this_file);
    loaded_release(NULL);
    assert_int_equal(written_data, 2);
    assert_string_equal(of_this_file, "read again");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_memory_is_zeroed_and_aligned),
        cmocka_unit_test(arena_blocks_do_not_overlap),
        cmocka_unit_test(arena_large_block_first),
        cmocka_unit_test(arena_makes_strings),
        cmocka_unit_test(vec_keeps_what_was_pushed),
#ifdef __SANITIZE_ADDRESS__
        cmocka_unit_test(arena_poisons_what_it_did_not_hand_out),
#endif
        cmocka_unit_test(broken_invariants_end_the_process),
        cmocka_unit_test(holding_invariants_cost_nothing),
        cmocka_unit_test(buf_grows),
        cmocka_unit_test(buf_escapes),
        cmocka_unit_test(map_finds_what_was_put),
        cmocka_unit_test(hash_is_xxh3),
        cmocka_unit_test(integers_are_parsed_whole),
        cmocka_unit_test(floats_are_parsed_whole),
        cmocka_unit_test(amounts_have_units),
        cmocka_unit_test(near_names_are_found),
        cmocka_unit_test(overflow_is_noticed),
        cmocka_unit_test(rounding_helpers),
        cmocka_unit_test(loaded_files_are_found),
        cmocka_unit_test(what_is_written_is_not_released),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
