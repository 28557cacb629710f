/* c_compile.c: generated C, compiled and run by tests. */
#include "tests/lib/c_compile.h"

#include "codegen/emit_llvm.h"
#include "tests/lib/c_cross.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

static bool run_command(const char *command) {
    fflush(NULL);
    return system(command) == 0;
}

static bool is_llvm(const char *compiler) {
    return !strcmp(compiler, "llvm");
}

bool c_have(const char *compiler) {
    if (is_llvm(compiler))
        return emit_llvm_available();
    char command[256];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", compiler);
    return run_command(command);
}

bool c_runs(const Target *t) {
    return target_runs_here(t) || cross_for(t);
}

bool c_makes(const char *compiler, const Target *t) {
    const Cross *x = cross_for(t);
    if (is_llvm(compiler) ? !target_arch(t)->llvm_cpu
                          : x && !x->gnu && strcmp(compiler, "clang") != 0)
        return false;
    return c_have(compiler);
}

const char *c_tool(CBuild *p, const char *name) {
    if (!p->cross)
        return name;
    if (!strcmp(name, "cc") || !strcmp(name, "gcc"))
        return cross_cc(p->cross, &p->arena);
    return p->cross->gnu ? arena_printf(&p->arena, "%s-%s", p->cross->gnu, name) : NULL;
}

bool c_shell(const CBuild *p, const char *format, ...) {
    Buf b = {0};
    buf_printf(&b, "cd '%s' && ", p->dir);
    va_list ap;
    va_start(ap, format);
    buf_vprintf(&b, format, ap);
    va_end(ap);
    bool ok = run_command(buf_str(&b));
    buf_free(&b);
    return ok;
}

/* ---- files ----------------------------------------------------------------------------------- */

static bool make_folder(CBuild *p) {
    const char *temp = getenv("TMPDIR");
    snprintf(p->dir, sizeof p->dir, "%s/effnetc-test-XXXXXX", temp && *temp ? temp : ".");
    return mkdtemp(p->dir) != NULL;
}

static void add_file(CBuild *p, Outputs *o, const char *ending, const void *data, size_t size) {
    outputs_add(o, arena_printf(&p->arena, "%s/%s%s", p->dir, p->name, ending), data, size);
}

/* Defines HEAD { return CALLEE(v[0], ..., MORE); }: any number of arguments. */
static void put_caller(Buf *b, const CBuild *p, const char *head, const char *callee,
                       const char *more) {
    size_t n = 2;
    for (size_t i = 0; i < p->module->buffers.len; i++) {
        BufferKind kind = p->module->buffers.data[i]->kind;
        n += kind == BUF_INPUT || kind == BUF_OUTPUT;
    }
    buf_printf(b, "%s;\n%s {\n    return %s_%s(", head, head, p->name, callee);
    for (size_t i = 0; i < n; i++)
        buf_printf(b, "%sv[%zu]", i ? ", " : "", i);
    buf_printf(b, "%s);\n}\n", more);
}

static void put_callers(Buf *b, CBuild *p) {
    buf_printf(b, "#include \"%s.h\"\n\n", p->name);
    put_caller(b, p, "int call(void *const *v)", "run", "");
    const char *head =
        arena_printf(&p->arena, "int call_parallel(void *const *v, const %s_pool *pool)", p->name);
    put_caller(b, p, head, "run_parallel", ", pool");
}

static EmitInfo emit_info(const CBuild *p) {
    return (EmitInfo){.name = p->name, .model = "test.onnx", .version = "test"};
}

static bool write_files(CBuild *p) {
    const Module *m = p->module;
    EmitInfo info = emit_info(p);
    Buf source = {0}, header = {0}, json = {0}, caller = {0}, args = {0};
    Outputs o = {0};
    Diag d = {0};
    bool ok = emit_c_check(m, m->name, &d);
    if (ok) {
        emit_c_source(&source, m, &info);
        emit_c_header(&header, m, &info);
        emit_json(&json, m, &info, NULL, 0);
        put_callers(&caller, p);
        add_file(p, &o, ".c", source.data, source.len);
        add_file(p, &o, ".h", header.data, header.len);
        add_file(p, &o, ".json", json.data, json.len);
        add_file(p, &o, "_call.c", caller.data, caller.len);
        if (p->cross) {
            cross_put_arguments(&args, m, p->name);
            outputs_add(&o, arena_printf(&p->arena, "%s/args.h", p->dir), args.data, args.len);
        }
        if (m->weights)
            add_file(p, &o, ".weights.bin", m->weights->data, (size_t)m->weights_bytes);
        ok = outputs_commit(&o, &d);
    }
    diag_print(&d, stderr, false);
    outputs_free(&o);
    diag_free(&d);
    buf_free(&source);
    buf_free(&header);
    buf_free(&json);
    buf_free(&caller);
    buf_free(&args);
    return ok;
}

const char *c_read(CBuild *p, const char *file) {
    Diag d = {0};
    MappedFile f = {0};
    char *text = NULL;
    if (file_map(&f, arena_printf(&p->arena, "%s/%s", p->dir, file), &d))
        text = arena_strndup(&p->arena, (const char *)f.data, f.size);
    diag_print(&d, stderr, false);
    file_unmap(&f);
    diag_free(&d);
    return text ? text : "";
}

/* ---- compile, load, run ---------------------------------------------------------------------- */

/* The compiler of that name for the machine that p is for. */
static const char *compiler_for(CBuild *p, const char *compiler) {
    if (p->cross && !strcmp(compiler, "clang"))
        return arena_printf(&p->arena, "clang --target=%s", p->cross->clang);
    return c_tool(p, compiler);
}

static bool compile_c(CBuild *p, const char *compiler, const char *flags) {
    const char *warnings = "-Wall -Wextra -Wconversion -pedantic -Werror";
    const char *target = p->module->target->c_flags;
    return c_shell(p, "%s -O2 %s %s %s %s -c %s.c -o %s.o", compiler_for(p, compiler), warnings,
                   target, flags, p->cross ? "" : "-fPIC", p->name, p->name);
}

/* NAME.o by LLVM: flags are "" or "-O0" to "-O3". */
static bool compile_llvm(CBuild *p, const char *flags) {
    EmitInfo info = emit_info(p);
    LlvmOptions options = {.opt_level = *flags ? flags[2] - '0' : 2};
    Buf object = {0};
    Outputs o = {0};
    Diag d = {0};
    bool ok = emit_llvm(&object, p->module, &info, LLVM_OBJECT, &options, &d);
    add_file(p, &o, ".o", object.data, object.len);
    ok = ok && outputs_commit(&o, &d);
    diag_print(&d, stderr, false);
    outputs_free(&o);
    diag_free(&d);
    buf_free(&object);
    return ok;
}

static bool compile(CBuild *p, const char *compiler, const char *flags) {
    bool llvm = is_llvm(compiler);
    const char *cc = llvm ? "cc" : compiler;
    if (!(llvm ? compile_llvm(p, flags) : compile_c(p, compiler, flags)))
        return false;
    if (p->cross)
        return c_shell(p, "%s %s -I. %s %s.o -o %s.run", c_tool(p, "cc"), p->cross->link,
                       CROSS_PROGRAM, p->name, p->name);
    return c_shell(p, "%s %s -shared -fPIC %s.o %s_call.c -o %s.so", cc, flags, p->name, p->name,
                   p->name);
}

/* ISO C has no conversion from void * to a function pointer; POSIX wants this one. */
static void find_symbol(void *library, const char *name, void *function) {
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
}

static bool load(CBuild *p) {
    if (p->cross)
        return true;
    p->library =
        dlopen(arena_printf(&p->arena, "%s/%s.so", p->dir, p->name), RTLD_NOW | RTLD_LOCAL);
    if (!p->library) {
        fprintf(stderr, "%s\n", dlerror());
        return false;
    }
    find_symbol(p->library, "call", &p->call);
    find_symbol(p->library, "call_parallel", &p->call_parallel);
    find_symbol(p->library, arena_printf(&p->arena, "%s_check_weights", p->name),
                &p->check_weights);
    return p->call && p->call_parallel && p->check_weights;
}

CBuild *c_build(const Module *m, const char *compiler, const char *flags) {
    CBuild *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->module = m;
    p->cross = cross_for(m->target);
    p->name = c_identifier(&p->arena, m->name);
    if (make_folder(p) && write_files(p) && compile(p, compiler, flags) && load(p))
        return p;
    fprintf(stderr, "c_build: %s with %s %s failed\n", p->name, compiler, flags);
    c_free(p);
    return NULL;
}

static void *aligned_copy(const void *data, int64_t size, int fill) {
    size_t bytes = (size_t)round_up(size > 0 ? size : 1, ALIGN);
    void *p = aligned_alloc(ALIGN, bytes);
    ensure(p);
    memset(p, fill, bytes);
    if (data)
        memcpy(p, data, (size_t)size);
    return p;
}

static size_t add_arguments(const Module *m, BufferKind kind, void **to, const void *const *from) {
    size_t n = 0;
    for (size_t i = 0; i < m->buffers.len; i++)
        if (m->buffers.data[i]->kind == kind) {
            memcpy(&to[n], &from[n], sizeof *to);
            n++;
        }
    return n;
}

/* The arguments of NAME_run; weights and arena are the first and the last, and new. */
typedef struct Arguments {
    void **v;
    size_t arena;
} Arguments;

static Arguments arguments_new(const Module *m, const void *const *inputs, void *const *outputs) {
    Arguments a = {.v = calloc(m->buffers.len + 2, sizeof *a.v), .arena = 1};
    ensure(a.v);
    a.v[0] = aligned_copy(m->weights ? m->weights->data : NULL, m->weights_bytes, 0);
    a.arena += add_arguments(m, BUF_INPUT, a.v + a.arena, inputs);
    a.arena += add_arguments(m, BUF_OUTPUT, a.v + a.arena, (const void *const *)outputs);
    a.v[a.arena] = aligned_copy(NULL, m->arena_bytes, 0xff);
    return a;
}

static void arguments_free(const Arguments *a) {
    free(a->v[0]);
    free(a->v[a->arena]);
    free(a->v);
}

int c_run(const CBuild *p, const void *const *inputs, void *const *outputs) {
    Arguments a = arguments_new(p->module, inputs, outputs);
    int result = p->cross ? cross_run(p, a.v, false) : p->call(a.v);
    arguments_free(&a);
    return result;
}

int c_run_parallel(const CBuild *p, const void *const *inputs, void *const *outputs,
                   const CPool *pool) {
    Arguments a = arguments_new(p->module, inputs, outputs);
    int result = p->cross ? cross_run(p, a.v, true) : p->call_parallel(a.v, pool);
    arguments_free(&a);
    return result;
}

void c_free(CBuild *p) {
    if (!p)
        return;
    if (p->library)
        dlclose(p->library);
    if (*p->dir)
        c_shell(p, "rm -r \"$PWD\"");
    arena_free(&p->arena);
    free(p);
}
