/* progress.c: how far a long command is, on a terminal. */
#include "driver/driver.h"

#include <unistd.h>

Progress progress_start(size_t total) {
    return (Progress){
        .shown = total > 1 && isatty(STDERR_FILENO), .total = total, .start = clock_seconds()};
}

void progress_show(const Progress *p, size_t done, const char *what) {
    enum { WIDTH = 30 };
    static const char full[] = "##############################";
    Arena a = {0};
    double seconds = clock_seconds() - p->start;
    int n = (int)(done * WIDTH / p->total);
    if (!p->shown)
        return;
    fprintf(stderr, "\r\033[K[%.*s%*s] %zu/%zu  %.1f/s  %.40s", n, full, WIDTH - n, "", done,
            p->total, seconds > 0 ? (double)done / seconds : 0, printable(&a, what));
    fflush(stderr);
    arena_free(&a);
}

void progress_clear(const Progress *p) {
    if (p->shown)
        fputs("\r\033[K", stderr);
}
