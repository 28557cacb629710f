/* memory.c: whether what a run takes is there. A model of some bytes can ask for terabytes, and
 * systems promise them to whoever asks. */
#include "driver/driver.h"

#include <unistd.h>

/* 0: nobody knows. */
static uint64_t memory_of_machine(void) {
    long pages = -1, bytes = sysconf(_SC_PAGESIZE);
#ifdef _SC_PHYS_PAGES
    pages = sysconf(_SC_PHYS_PAGES);
#endif
    return pages > 0 && bytes > 0 ? (uint64_t)pages * (uint64_t)bytes : 0;
}

bool memory_suffices(effnetc_model *m, const char *what, uint64_t bytes) {
    uint64_t most = memory_of_machine();
    if (!most || bytes <= most)
        return true;
    diag_error(m->diag, EXIT_BUDGET, m->path, "there is no memory for its %s", what);
    diag_note(m->diag, "wanted", "%llu bytes", (unsigned long long)bytes);
    diag_note(m->diag, "found", "%llu: all that this machine has", (unsigned long long)most);
    diag_note(m->diag, "help",
              "smaller dimensions take less; `effnetc compile` makes code for a larger machine");
    return false;
}

static uint64_t bytes_of(const effnetc_tensor *t, size_t n) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = sum + t[i].bytes < sum ? UINT64_MAX : sum + t[i].bytes;
    return sum;
}

bool tensors_fit(effnetc_model *m) {
    uint64_t in = bytes_of(m->inputs.data, m->inputs.len);
    uint64_t out = bytes_of(m->outputs.data, m->outputs.len);
    return memory_suffices(m, "inputs and outputs", in + out < in ? UINT64_MAX : in + out);
}
