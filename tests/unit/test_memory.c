/* Memory for weights and arenas: aligned, usable from end to end, refused where there is none. */
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void all_sizes_are_aligned(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 63, 4096, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 5 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = rt_memory_new(sizes[i]);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        memset(p, 0xa5, sizes[i]);
        for (size_t k = 0; k < sizes[i]; k += 4095)
            assert_int_equal(p[k], 0xa5);
        rt_memory_free(p);
    }
    rt_memory_free(NULL);
}

static void too_much_is_refused(void **state) {
    (void)state;
    assert_null(rt_memory_new(SIZE_MAX - 4096));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_sizes_are_aligned),
        cmocka_unit_test(too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
