/* fuzz_schedule.c: bytes as a file of schedules. The text of a book that parses is read back as the
 * same text. */
#include "tests/fuzz/fuzz.h"

#include "passes/passes.h"

#include <string.h>

static ScheduleBook *parse(const char *text, size_t size, Diag *d) {
    return schedule_book_parse(text, size, "fuzz", target_find("x86-64-v3"), d);
}

static void check_fixpoint(const ScheduleBook *book) {
    Buf first = {0}, second = {0};
    Diag d = {0};
    schedule_book_print(&first, book);
    ScheduleBook *again = parse(buf_str(&first), first.len, &d);
    if (!again)
        diag_print(&d, stderr, false);
    ensure(again);
    schedule_book_print(&second, again);
    ensure(strcmp(buf_str(&first), buf_str(&second)) == 0);
    schedule_book_free(again);
    diag_free(&d);
    buf_free(&first);
    buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Diag d = {0};
    ScheduleBook *book = parse((const char *)data, size, &d);
    ensure(!book == (d.errors > 0));
    if (book) {
        check_fixpoint(book);
        schedule_book_free(book);
    }
    diag_free(&d);
    return 0;
}
