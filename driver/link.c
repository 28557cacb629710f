/* link.c: an object file to a shared library, by the system's linker. */
#include "driver/driver.h"

#include <string.h>

typedef struct Link {
    Workshop shop;
    const char *object, *exports, *library;
} Link;

static bool write_inputs(const Link *p, effnetc_model *m, const Buf *object) {
    Outputs out = {0};
    const char *name = m->name;
    const char *exports = arena_printf(
        &m->arena,
        "{ global: %s_run; %s_run_parallel; %s_run_picture; %s_check_weights; %s_weights; "
        "%s_selftest; local: *; };\n",
        name, name, name, name, name, name);
    outputs_add(&out, p->object, object->data, object->len);
    outputs_add(&out, p->exports, exports, strlen(exports));
    bool ok = outputs_commit(&out, m->diag);
    outputs_free(&out);
    return ok;
}

/* GNU's linker is for one instruction set, and named by it where that is not this machine's. */
static const char *gnu_linker(effnetc_model *m) {
    const Arch *arch = target_arch(m->target);
    bool here = arch == target_arch(target_native());
    return here ? "ld" : arena_printf(&m->arena, "%s-linux-gnu-ld", arch->name);
}

/* The exit code of the first linker that can be run; its name. */
static int run_linker(const Link *p, effnetc_model *m, const char **linker) {
    const char *const linkers[] = {gnu_linker(m), "ld.lld"};
    int code = 127;
    for (size_t i = 0; code == 127 && i < sizeof linkers / sizeof *linkers; i++) {
        *linker = linkers[i];
        code = run_program((const char *const[]){*linker, "-shared", "-z", "noexecstack", "-z",
                                                 "text", "-z", "defs", "-Bsymbolic", "-soname",
                                                 arena_printf(&m->arena, "%s.so", m->name),
                                                 "--version-script", p->exports, "-o", p->library,
                                                 p->object, NULL},
                           p->shop.log);
    }
    return code;
}

static bool report(const Link *p, effnetc_model *m, const char *linker, int code) {
    if (code == 127) {
        diag_error(m->diag, EXIT_IO, "effnetc", "neither %s nor ld.lld can be run", gnu_linker(m));
        diag_note(m->diag, "help",
                  "--emit=shared needs a linker: install binutils or lld, or take --emit=obj");
    } else {
        diag_error(m->diag, EXIT_INTERNAL, m->path, "\"%s\" refused the object (exit code %d)",
                   linker, code);
        quote_log(p->shop.log, linker, m->diag);
    }
    return false;
}

static bool read_library(const Link *p, Buf *library, Diag *d) {
    MappedFile f;
    if (!file_map(&f, p->library, d))
        return false;
    buf_write(library, f.data, f.size);
    file_unmap(&f);
    return true;
}

bool link_shared(effnetc_model *m, const Buf *object, Buf *library) {
    Link p;
    const char *linker = NULL;
    if (!workshop_open(&p.shop, &m->arena, m->diag))
        return false;
    p.object = workshop_file(&p.shop, m->name, ".o");
    p.exports = workshop_file(&p.shop, "effnetc-exports", "");
    p.library = workshop_file(&p.shop, m->name, ".so");
    bool ok = write_inputs(&p, m, object);
    int code = ok ? run_linker(&p, m, &linker) : 0;
    ok = ok && (code == 0 || report(&p, m, linker, code)) && read_library(&p, library, m->diag);
    workshop_close(&p.shop);
    return ok;
}
