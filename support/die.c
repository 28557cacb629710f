/* die.c: the end of the process where an invariant is broken or memory is out.
 *
 * Both leave by _Exit: what other code has buffered for stdout is not a result, and leak checkers
 * have nothing to say about a process that gives up. */
#include "support/support.h"

#include <stdlib.h>

void die_at(const char *file, int line, const char *fmt, ...) {
    va_list ap;
    fprintf(stderr, "effnetc: internal error at %s:%d: ", file, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputs(
        "\n  help: this is a bug in effnetc, whatever the model is; please report this message\n"
        "        together with the command line, `effnetc --version` and, if you can, the model\n",
        stderr);
    fflush(stderr);
    _Exit(EXIT_INTERNAL);
}

void die_no_memory(size_t size) {
    fprintf(stderr, "effnetc: error: out of memory: the system has no %zu bytes left\n", size);
    fflush(stderr);
    _Exit(EXIT_IO);
}
