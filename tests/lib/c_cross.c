/* c_cross.c: code for another machine, run by an emulator of user programs. */
#include "tests/lib/c_cross.h"

#include <stdlib.h>
#include <string.h>

static const Cross crosses[] = {
    {"aarch64", "aarch64-linux-gnu", "aarch64-linux-gnu", "-static", "qemu-aarch64"},
    {"wasm32", NULL, "wasm32-wasi", "",
     "node --no-warnings " EFFNETC_SOURCE_DIR "/tests/lib/run_wasi.mjs"},
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

const char *cross_cc(const Cross *x, Arena *a) {
    return x->gnu ? arena_printf(a, "%s-gcc", x->gnu)
                  : arena_printf(a, "clang --target=%s", x->clang);
}

/* The emulator, and all that a program takes. */
static bool find_tools(const Cross *x) {
    Arena a = {0};
    size_t command = strcspn(x->emulator, " ");
    bool ok = c_have(arena_strndup(&a, x->emulator, command)) &&
              system(arena_printf(&a,
                                  "echo 'int main(void) { return 0; }' | %s %s -x c - -o /dev/null "
                                  "2>/dev/null",
                                  cross_cc(x, &a), x->link)) == 0;
    arena_free(&a);
    return ok;
}

static bool installed(const Cross *x) {
    static enum { UNKNOWN, MISSING, FOUND } known[sizeof crosses / sizeof *crosses];
    size_t i = (size_t)(x - crosses);
    if (known[i] == UNKNOWN)
        known[i] = find_tools(x) ? FOUND : MISSING;
    return known[i] == FOUND;
}

const Cross *cross_for(const Target *t) {
    if (SANITIZED || target_runs_here(t))
        return NULL;
    for (size_t i = 0; i < sizeof crosses / sizeof *crosses; i++)
        if (!strcmp(crosses[i].arch, target_arch(t)->name))
            return installed(&crosses[i]) ? &crosses[i] : NULL;
    return NULL;
}

/* ---- arguments ------------------------------------------------------------------------------- */

typedef struct Argument {
    int64_t bytes;
    bool read, written;
} Argument;

static int64_t buffer_bytes(const Buffer *b) {
    return b->elems * dtype_bytes(b->reg.type.dtype);
}

typedef VEC(Argument) Arguments;

static void add_buffers(Arena *a, Arguments *all, const Module *m, BufferKind kind) {
    for (size_t i = 0; i < m->buffers.len; i++)
        if (m->buffers.data[i]->kind == kind)
            vec_push(a, all,
                     ((Argument){buffer_bytes(m->buffers.data[i]), true, kind == BUF_OUTPUT}));
}

/* In the order of NAME_run. */
static Arguments arguments(Arena *a, const Module *m) {
    Arguments all = {0};
    vec_push(a, &all, ((Argument){m->weights_bytes, m->weights != NULL, false}));
    add_buffers(a, &all, m, BUF_INPUT);
    add_buffers(a, &all, m, BUF_OUTPUT);
    vec_push(a, &all, ((Argument){m->arena_bytes, false, false}));
    return all;
}

void cross_put_arguments(Buf *b, const Module *m, const char *name) {
    Arena a = {0};
    Arguments all = arguments(&a, m);
    buf_printf(b, "#include \"%s.h\"\n#define POOL %s_pool\n#define ARGUMENTS", name, name);
    for (size_t i = 0; i < all.len; i++)
        buf_printf(b, "%s {%lld, %d, %d}", i ? "," : "", (long long)all.data[i].bytes,
                   all.data[i].read, all.data[i].written);
    buf_printf(b, "\n#define RUN(v, pool) %s_run_parallel(", name);
    for (size_t i = 0; i < all.len; i++)
        buf_printf(b, "(v)[%zu], ", i);
    buf_puts(b, "pool)\n");
    arena_free(&a);
}

/* ---- running it ------------------------------------------------------------------------------ */

static FILE *open_file(const CBuild *p, const char *name, const char *mode) {
    char path[320];
    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    FILE *f = fopen(path, mode);
    if (!f)
        die("%s can't be opened", path);
    return f;
}

int cross_run(const CBuild *p, void *const *v, bool on_pool) {
    Arena a = {0};
    Arguments all = arguments(&a, p->module);
    FILE *in = open_file(p, "in.bin", "wb");
    for (size_t i = 0; i < all.len; i++)
        if (all.data[i].read)
            fwrite(v[i], 1, (size_t)all.data[i].bytes, in);
    fclose(in);
    if (!c_shell(p, "%s ./%s.run %s <in.bin >out.bin", p->cross->emulator, p->name,
                 on_pool ? "parallel" : ""))
        die("%s failed on %s", p->cross->emulator, p->name);
    int code = 0;
    FILE *out = open_file(p, "out.bin", "rb");
    bool ok = true;
    for (size_t i = 0; i < all.len; i++)
        if (all.data[i].written)
            ok &= fread(v[i], 1, (size_t)all.data[i].bytes, out) == (size_t)all.data[i].bytes;
    ok &= fread(&code, sizeof code, 1, out) == 1;
    fclose(out);
    arena_free(&a);
    if (!ok)
        die("%s wrote too little", p->name);
    return code;
}
