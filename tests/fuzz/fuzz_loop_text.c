/* fuzz_loop_text.c: bytes as the text of a module. What one that parses prints is a fixpoint, and
 * it is as sound or as faulty as the first. */
#include "tests/fuzz/fuzz.h"

#include "ir/loop.h"

#include <string.h>

static size_t count_faults(const Module *m) {
    Diag d = {0};
    ensure(module_verify(m, "fuzz.ir", &d) == (d.errors == 0));
    size_t errors = d.errors;
    diag_free(&d);
    return errors;
}

static void check_fixpoint(const Module *m, size_t faults) {
    Buf first = {0}, second = {0};
    Diag d = {0};
    module_print(&first, m);
    Module *again = module_parse(buf_str(&first), first.len, "printed", NULL, &d);
    if (!again)
        diag_print(&d, stderr, false);
    ensure(again);
    module_print(&second, again);
    ensure(strcmp(buf_str(&first), buf_str(&second)) == 0);
    ensure(count_faults(again) == faults);
    module_free(again);
    diag_free(&d);
    buf_free(&first);
    buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Diag d = {0};
    Module *m = module_parse((const char *)data, size, "fuzz.ir", NULL, &d);
    ensure(!m == (d.errors > 0));
    if (m) {
        check_fixpoint(m, count_faults(m));
        module_free(m);
    }
    diag_free(&d);
    return 0;
}
