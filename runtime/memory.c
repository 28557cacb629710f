/* memory.c: memory for weights and arenas.
 *
 * A run touches all of its weights, and a page is many times smaller than a layer's: with huge
 * pages the processor looks up a few hundred times fewer of them. */
#define _DEFAULT_SOURCE /* madvise */
#include "runtime/runtime.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };

void *rt_memory_new(size_t size) {
    void *p = NULL;
    bool large = size >= HUGE_PAGE;
    if (posix_memalign(&p, large ? HUGE_PAGE : ALIGNMENT, size ? size : 1) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (large) /* a wish: where it can't be had, pages are as always */
        (void)madvise(p, size, MADV_HUGEPAGE);
#endif
    return p;
}

void rt_memory_free(void *p) {
    free(p);
}
