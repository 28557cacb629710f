/* perf_map.c: /tmp/perf-PID.map, which tells perf the names of functions that are in no file.
 *
 * A line a function: address and size in hexadecimal, name. LLVM's JIT loads the section of code as
 * a whole, so one known address gives all others from the object's table of symbols. */
#include "driver/driver.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The symbols of an object file in memory. */
typedef struct Symbols {
    const Elf64_Sym *list;
    size_t n;
    const char *names;
} Symbols;

/* Section i, or NULL where the object has none like it. */
static const Elf64_Shdr *section(const uint8_t *object, size_t size, size_t i) {
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)(const void *)object;
    if (size < sizeof *head || i >= head->e_shnum || head->e_shoff > size ||
        head->e_shnum > (size - head->e_shoff) / sizeof(Elf64_Shdr))
        return NULL;
    const Elf64_Shdr *s = (const Elf64_Shdr *)(const void *)(object + head->e_shoff) + i;
    return s->sh_offset > size || s->sh_size > size - s->sh_offset ? NULL : s;
}

static bool find_symbols(Symbols *out, const uint8_t *object, size_t size) {
    const Elf64_Shdr *s;
    for (size_t i = 1; (s = section(object, size, i)); i++) {
        const Elf64_Shdr *names = section(object, size, s->sh_link);
        if (s->sh_type != SHT_SYMTAB || !names)
            continue;
        out->list = (const Elf64_Sym *)(const void *)(object + s->sh_offset);
        out->n = s->sh_size / sizeof *out->list;
        out->names = (const char *)object + names->sh_offset;
        return true;
    }
    return false;
}

static const Elf64_Sym *find_symbol(const Symbols *s, const char *name) {
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->names + s->list[i].st_name, name))
            return &s->list[i];
    return NULL;
}

static void put_functions(FILE *f, const Symbols *s, const Elf64_Sym *known, uintptr_t address) {
    for (size_t i = 0; i < s->n; i++) {
        const Elf64_Sym *x = &s->list[i];
        if (ELF64_ST_TYPE(x->st_info) == STT_FUNC && x->st_shndx == known->st_shndx)
            fprintf(f, "%llx %llx %s\n",
                    (unsigned long long)(address - known->st_value + x->st_value),
                    (unsigned long long)x->st_size, s->names + x->st_name);
    }
}

/* A new file in the place of what a process of the same number left there; nobody else's file is
 * followed or written to. */
static FILE *open_map(const char *path) {
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (fd >= 0 && !f)
        close(fd);
    return f;
}

void perf_map_write(effnetc_model *m, const void *object, size_t size, const char *function,
                    uintptr_t address) {
    Symbols s;
    const char *path = arena_printf(&m->arena, "/tmp/perf-%ld.map", (long)getpid());
    bool known = find_symbols(&s, object, size);
    const Elf64_Sym *at = known ? find_symbol(&s, function) : NULL;
    ensure(at);
    FILE *f = open_map(path);
    if (f)
        put_functions(f, &s, at, address);
    if (f && fclose(f) == 0)
        return;
    diag_warning(m->diag, path, "can't be written: perf won't know the code's functions");
    diag_note(m->diag, "reason", "%s", strerror(errno));
}
