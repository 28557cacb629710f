/* Unit tests of target/: the rows are consistent, and the native one runs here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "target/target.h"

static void rows_are_consistent(void **state) {
    (void)state;
    assert_true(target_count() >= 3);
    for (size_t i = 0; i < target_count(); i++) {
        const Target *t = target_at(i);
        int lanes = target_lanes(t);
        print_message("row %s\n", t->name);
        assert_true(lanes == 1 || lanes == 4 || lanes == 8 || lanes == 16);
        assert_true(t->vector_regs >= 8);
        assert_true(t->l1_bytes >= 4096 && t->l1_bytes < t->l2_bytes);
        assert_true(strlen(t->triple) > 0 && strlen(t->summary) > 0);
        assert_true(lanes > 1 || t->features[0] == '\0'); /* scalar code asks for nothing */
        assert_ptr_equal(target_find(t->name), t);
        assert_memory_equal(target_arch(t)->name, t->triple, strlen(target_arch(t)->name));
        assert_string_not_equal(t->name, "native"); /* is the name of a choice, not of a row */
    }
}

static void unknown_names_are_not_found(void **state) {
    (void)state;
    assert_null(target_find(""));
    assert_null(target_find("x86-64-v9"));
    assert_null(target_find("GENERIC"));
}

static void generic_is_scalar_and_runs_everywhere(void **state) {
    (void)state;
    const Target *t = target_find("generic");
    assert_non_null(t);
    assert_int_equal(target_lanes(t), 1);
    assert_false(t->fma);
    assert_true(target_runs_here(t));
}

static void native_is_the_last_row_that_runs(void **state) {
    (void)state;
    const Target *best = NULL;
    for (size_t i = 0; i < target_count(); i++)
        if (target_runs_here(target_at(i)))
            best = target_at(i);
    assert_ptr_equal(target_native(), best);
    assert_ptr_equal(target_find("native"), best);
}

#if defined(__linux__) && defined(__x86_64__)
/* The kernel's own view of the processor, which leaves out what it does not save on a switch. */
static bool cpuinfo_has(const char *flag) {
    char line[8192], word[64];
    bool found = false;
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f)
        return false;
    snprintf(word, sizeof word, " %s ", flag);
    while (!found && fgets(line, sizeof line, f)) {
        if (strncmp(line, "flags", 5) != 0)
            continue;
        line[strcspn(line, "\n")] = ' ';
        found = strstr(line, word) != NULL;
    }
    fclose(f);
    return found;
}

static void detection_agrees_with_the_kernel(void **state) {
    (void)state;
    bool v2 = cpuinfo_has("sse4_2") && cpuinfo_has("sse4_1") && cpuinfo_has("ssse3") &&
              cpuinfo_has("pni");
    bool v3 =
        cpuinfo_has("avx2") && cpuinfo_has("fma") && cpuinfo_has("bmi1") && cpuinfo_has("bmi2");
    bool v4 = v3 && cpuinfo_has("avx512f") && cpuinfo_has("avx512dq") && cpuinfo_has("avx512bw") &&
              cpuinfo_has("avx512vl");
    assert_int_equal(target_runs_here(target_find("x86-64-v2")), v2);
    assert_int_equal(target_runs_here(target_find("x86-64-v3")), v3);
    assert_int_equal(target_runs_here(target_find("x86-64-v4")), v4);
    assert_false(target_runs_here(target_find("aarch64")));
}
#endif

#ifdef __aarch64__
static void neon_is_always_there(void **state) {
    (void)state;
    assert_string_equal(target_native()->name, "aarch64");
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_consistent),
        cmocka_unit_test(unknown_names_are_not_found),
        cmocka_unit_test(generic_is_scalar_and_runs_everywhere),
        cmocka_unit_test(native_is_the_last_row_that_runs),
#if defined(__linux__) && defined(__x86_64__)
        cmocka_unit_test(detection_agrees_with_the_kernel),
#endif
#ifdef __aarch64__
        cmocka_unit_test(neon_is_always_there),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
