/* The table of how pictures are prepared, against the table of members. */
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

typedef enum Padding { EVEN, SAME } Padding;
typedef enum Fit { RESIZE, CROP, STRETCH } Fit;
enum { IMAGENET, HALF, LITE };

typedef struct Preset {
    const char *member;
    Padding padding;
    int size;
    Fit fit;
    int amount;
    rt_filter filter;
    int values;
    const char *whose;
} Preset;

static const Preset presets[] = {
#define PRESET(...) {__VA_ARGS__},
#include "driver/presets.def"
#undef PRESET
};
enum { NPRESETS = sizeof presets / sizeof *presets };

static const char *const members[] = {
#define FAMILY(...)
#define STAGE(...)
#define MEMBER(id, family, name, ...) name,
#include "passes/family.def"
#undef FAMILY
#undef STAGE
#undef MEMBER
};
enum { NMEMBERS = sizeof members / sizeof *members };

static void test_every_member_has_a_preset(void **state) {
    (void)state;
    for (size_t i = 0; i < NMEMBERS; i++) {
        size_t found = 0;
        for (size_t k = 0; k < NPRESETS; k++)
            found += !strcmp(members[i], presets[k].member);
        if (found < 1 || found > 2)
            fail_msg("%s has %zu presets", members[i], found);
    }
}

static void test_every_preset_is_of_a_member(void **state) {
    (void)state;
    for (size_t k = 0; k < NPRESETS; k++) {
        size_t found = 0;
        for (size_t i = 0; i < NMEMBERS; i++)
            found += !strcmp(members[i], presets[k].member);
        if (found != 1)
            fail_msg("%s is no member", presets[k].member);
    }
}

/* Nothing is cut out that isn't there, and no two rows are for the same weights. */
static void test_rows_are_sound(void **state) {
    (void)state;
    for (size_t k = 0; k < NPRESETS; k++) {
        const Preset *p = &presets[k];
        bool sound =
            p->fit == RESIZE ? p->amount >= p->size && p->amount < 2 * p->size : p->amount == 0;
        for (size_t i = 0; i < k; i++)
            sound &= strcmp(presets[i].member, p->member) != 0 || presets[i].padding != p->padding;
        if (!sound || p->size % 4 != 0)
            fail_msg("the row %zu, %s, is wrong", k, p->member);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_member_has_a_preset),
        cmocka_unit_test(test_every_preset_is_of_a_member),
        cmocka_unit_test(test_rows_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
