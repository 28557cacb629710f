/* loaded.c: files that the dynamic linker has loaded into this process. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "support/support.h"

#include <link.h>

/* An address in memory, and what of a file was loaded around it. */
typedef struct Search {
    uintptr_t address;
    struct dl_phdr_info found;
} Search;

static bool holds(const struct dl_phdr_info *file, uintptr_t address) {
    for (int i = 0; i < file->dlpi_phnum; i++) {
        uintptr_t start = file->dlpi_addr + file->dlpi_phdr[i].p_vaddr;
        if (file->dlpi_phdr[i].p_type == PT_LOAD && address >= start &&
            address - start < file->dlpi_phdr[i].p_memsz)
            return true;
    }
    return false;
}

static int look(struct dl_phdr_info *file, size_t size, void *context) {
    Search *s = context;
    (void)size;
    if (!holds(file, s->address))
        return 0;
    s->found = *file;
    return 1;
}

static bool find(Search *s, const void *within) {
    *s = (Search){.address = (uintptr_t)within};
    return dl_iterate_phdr(look, s);
}

const char *loaded_path(const void *within) {
    Search s;
    if (!find(&s, within))
        return NULL;
    return *s.found.dlpi_name ? s.found.dlpi_name : "/proc/self/exe";
}

void loaded_release(const void *within) {
    Search s;
    if (!find(&s, within))
        return;
    for (int i = 0; i < s.found.dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &s.found.dlpi_phdr[i];
        if (p->p_type == PT_LOAD && !(p->p_flags & PF_W))
            memory_release((const void *)(s.found.dlpi_addr + p->p_vaddr), p->p_memsz);
    }
}
