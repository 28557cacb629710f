/* emit_abi.c: what users of generated code see: NAME.h, and the public functions of NAME.c. */
#include "codegen/c_printer.h"

#include <string.h>

/* ---- parameters ------------------------------------------------------------------------------ */

/* Those of a kind stand in order in the module. */
static void add_buffers(Arena *a, CNames *args, CParams *out, const Module *m, BufferKind kind) {
    for (size_t i = 0; i < m->buffers.len; i++) {
        const Buffer *b = m->buffers.data[i];
        if (b->kind != kind)
            continue;
        const char *type = dtype_c_name(b->reg.type.dtype);
        CParam p = {.buffer = b, .align = dtype_bytes(b->reg.type.dtype), .needed = b->elems > 0};
        p.name = c_names_add(a, args, b->onnx_name ? b->onnx_name : b->reg.name);
        p.type = arena_printf(a, "%s%s *", kind == BUF_INPUT ? "const " : "", type);
        vec_push(a, out, p);
    }
}

static void take_public(Arena *a, CNames *file, const char *name) {
    static const char *const functions[] = {
        "run",           "run_parallel", "pool", "job",  "part",     "task",     "parts",
        "check_weights", "weights",      "body", "word", "run_part", "selftest", "random"};
    static const char *const macros[] = {"H",
                                         "ARENA_BYTES",
                                         "WEIGHTS_BYTES",
                                         "STEP_DONE",
                                         "SELFTEST_BYTES",
                                         "OK",
                                         "ERROR_NULL",
                                         "ERROR_SIZE",
                                         "ERROR_FORMAT",
                                         "ERROR_VERSION",
                                         "ERROR_CHECKSUM",
                                         "ERROR_MISALIGNED"};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        c_names_take(a, file, arena_printf(a, "%s_%s", name, functions[i]));
    for (int i = 0; i < DT_COUNT; i++)
        c_names_take(a, file, arena_printf(a, "%s_bits_%s", name, dtype_name((DType)i)));
    for (size_t i = 0; i < sizeof macros / sizeof *macros; i++)
        c_names_take(a, file, arena_printf(a, "%s_%s", c_upper(a, name), macros[i]));
}

CParams c_params(Arena *a, CScopes *scopes, const Module *m, const EmitInfo *info) {
    static const char *const locals[] = {"pool", "mode", "job", "context", "closure", "part_index"};
    CParams out = {0};
    scopes->args.outer = &scopes->file;
    scopes->buffers.outer = &scopes->args;
    take_public(a, &scopes->file, info->name);
    if (info->pictures && info->pictures->any)
        c_take_pictures(a, &scopes->file, info->name);
    c_names_take(a, &scopes->args, "weights");
    c_names_take(a, &scopes->args, "arena");
    for (size_t i = 0; i < sizeof locals / sizeof *locals; i++)
        c_names_take(a, &scopes->args, locals[i]);
    CParam weights = {"weights", "const void *", NULL, BLOCK_ALIGN, m->weights_bytes > 0};
    CParam arena = {"arena", "void *", NULL, BLOCK_ALIGN, m->arena_bytes > 0};
    vec_push(a, &out, weights);
    add_buffers(a, &scopes->args, &out, m, BUF_INPUT);
    add_buffers(a, &scopes->args, &out, m, BUF_OUTPUT);
    vec_push(a, &out, arena);
    return out;
}

const CParam *c_count_param(const CParams *params, const Buffer *output) {
    for (size_t i = 0; i < params->len; i++) {
        const Buffer *b = params->data[i].buffer;
        if (b && b->kind == BUF_OUTPUT && b->offset == output->count)
            return &params->data[i];
    }
    die("output %s has no count", output->reg.name);
}

void c_put_signature(Arena *a, Buf *b, const char *head, const CParams *params, const char *more,
                     const char *tail) {
    CItems items = {0};
    for (size_t i = 0; i < params->len; i++)
        vec_push(a, &items, arena_printf(a, "%s%s", params->data[i].type, params->data[i].name));
    if (more)
        vec_push(a, &items, more);
    c_put_list(b, (int)strlen(head), head, &items, tail);
}

const char *c_pool_param(Arena *a, const EmitInfo *info) {
    return arena_printf(a, "const %s_pool *pool", info->name);
}

/* ---- NAME_job and NAME_parts ----------------------------------------------------------------- */

/* A part runs on any thread of the pool: the mode is set around it, and outside of the function
 * with its arithmetic, as in NAME_run_parallel. */
static void put_run_part(CPrinter *p, Buf *b) {
    const char *name = p->info->name;
    bool flush = p->m->target->flush_to_zero;
    buf_printf(b,
               "typedef struct %s_task {\n"
               "    %s_part *part;\n"
               "    void *context;\n"
               "} %s_task;\n\n"
               "/* Part i of a step, on a thread of the pool. */\n"
               "static void %s_run_part(void *arg, size_t i) {\n"
               "    const %s_task *task = (const %s_task *)arg;\n",
               name, name, name, name, name, name);
    if (flush)
        buf_printf(b,
                   "    unsigned mode = _mm_getcsr();\n"
                   "    _mm_setcsr(mode | 0x%xu);\n",
                   FLUSH_BITS);
    buf_puts(b, "    task->part(task->context, i);\n");
    buf_puts(b, flush ? "    _mm_setcsr(mode);\n}\n\n" : "}\n\n");
}

static void put_parts(CPrinter *p, Buf *b) {
    const char *name = p->info->name;
    buf_printf(b, "typedef void %s_part(void *context, size_t i);\n\n", name);
    put_run_part(p, b);
    buf_printf(
        b,
        "/* The n parts of a step, in any order and at the same time. */\n"
        "KERNEL void %s_parts(const %s_pool *pool, size_t n, %s_part *part, void *context) {\n"
        "    if (pool && n > 1) {\n"
        "        %s_task task;\n"
        "        task.part = part;\n"
        "        task.context = context;\n"
        "        pool->parallel_for(pool->context, n, %s_run_part, &task);\n"
        "        return;\n"
        "    }\n"
        "    for (size_t i = 0; i < n; i++)\n"
        "        part(context, i);\n"
        "}\n\n",
        name, name, name, name, name);
}

void c_put_job(CPrinter *p, Buf *b, bool parts) {
    const char *name = p->info->name;
    buf_printf(b, "/* The arguments of a run. */\ntypedef struct %s_job {\n", name);
    for (size_t i = 0; i < p->params.len; i++)
        buf_printf(b, "    %s%s;\n", p->params.data[i].type, p->params.data[i].name);
    buf_printf(b, "    %s;\n} %s_job;\n\n", c_pool_param(&p->arena, p->info), name);
    if (parts)
        put_parts(p, b);
}

/* ---- NAME_STEP_DONE -------------------------------------------------------------------------- */

void c_put_step_hook(CPrinter *p, Buf *b) {
    const char *up = c_upper(&p->arena, p->info->name);
    buf_printf(b,
               "/* Called in a run's own thread after step `step`, an integer constant: the steps\n"
               " * below count from 0, in their order. Define it to time them, or to look at what\n"
               " * they wrote. */\n"
               "#ifndef %s_STEP_DONE\n"
               "#define %s_STEP_DONE(step) ((void)0)\n"
               "#endif\n\n",
               up, up);
}

/* ---- NAME_check_weights ---------------------------------------------------------------------- */

static void put_checks(CPrinter *p, Buf *b, const char *name, const char *up) {
    buf_printf(b,
               "    if (%s_word(bytes) != 0x%llxu) /* \"EFFNETCW\" */\n"
               "        return %s_ERROR_FORMAT;\n"
               "    if (%s_word(bytes + 8) != %d)\n"
               "        return %s_ERROR_VERSION;\n"
               "    if (%s_word(bytes + 16) != size)\n"
               "        return %s_ERROR_FORMAT;\n",
               name, (unsigned long long)WEIGHTS_MAGIC, up, name, WEIGHTS_VERSION, up, name, up);
    buf_printf(b,
               "    uint64_t sum = 0x%llxu; /* FNV-1a over 64-bit words */\n"
               "    for (size_t i = %d; i < size; i += 8)\n"
               "        sum = (sum ^ %s_word(bytes + i)) * 0x%llxu;\n",
               (unsigned long long)FNV_START, WEIGHTS_HEADER, name, (unsigned long long)FNV_PRIME);
    buf_printf(b, "    if (%s_word(bytes + 24) != sum", name);
    if (p->m->weights)
        buf_printf(b, " || sum != 0x%016llxu", (unsigned long long)sealed_checksum(p->m));
    buf_printf(b, ")\n        return %s_ERROR_CHECKSUM;\n", up);
}

static void put_check_weights(CPrinter *p, Buf *b) {
    const char *name = p->info->name, *up = c_upper(&p->arena, name);
    bool any = p->m->weights_bytes > 0;
    ensure(p->m->weights_bytes % 8 == 0);
    if (any)
        buf_printf(
            b,
            "/* Eight bytes, the lowest first. */\n"
            "static uint64_t %s_word(const unsigned char *p) {\n"
            "    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |\n"
            "           (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 |\n"
            "           (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;\n"
            "}\n\n",
            name);
    buf_printf(b, "int %s_check_weights(const void *weights, size_t size) {\n", name);
    if (!any) {
        buf_printf(b, "    (void)weights;\n    return size ? %s_ERROR_SIZE : %s_OK;\n}\n\n", up,
                   up);
        return;
    }
    buf_printf(b,
               "    const unsigned char *bytes = (const unsigned char *)weights;\n"
               "    if (!weights)\n"
               "        return %s_ERROR_NULL;\n"
               "    if (size != %s_WEIGHTS_BYTES)\n"
               "        return %s_ERROR_SIZE;\n"
               "    if ((uintptr_t)weights %% %d != 0)\n"
               "        return %s_ERROR_MISALIGNED;\n",
               up, up, up, BLOCK_ALIGN, up);
    put_checks(p, b, name, up);
    buf_printf(b, "    return %s_OK;\n}\n\n", up);
}

/* ---- NAME_run_parallel, NAME_run ------------------------------------------------------------- */

static void put_param_checks(Buf *b, const CParams *params) {
    for (size_t i = 0; i < params->len; i++) {
        const CParam *p = &params->data[i];
        if (p->needed)
            buf_printf(b, "    if (!%s)\n        return %zu;\n", p->name, i + 1);
        if (p->needed && p->align > 1)
            buf_printf(b, "    if ((uintptr_t)%s %% %lld != 0)\n        return -%zu;\n", p->name,
                       (long long)p->align, i + 1);
    }
}

/* The mode is set here and not in the body: compilers move arithmetic across its instructions. */
static void put_run_parallel(CPrinter *p, Buf *b) {
    bool flush = p->m->target->flush_to_zero;
    const char *name = p->info->name, *head = arena_printf(&p->arena, "int %s_run_parallel(", name);
    ensure(!flush || !strcmp(target_arch(p->m->target)->name, "x86_64"));
    c_put_signature(&p->arena, b, head, &p->params, c_pool_param(&p->arena, p->info), ") {\n");
    put_param_checks(b, &p->params);
    buf_printf(b, "    if (pool && !pool->parallel_for)\n        return %zu;\n", p->params.len + 1);
    buf_printf(b, "    %s_job job;\n", name);
    for (size_t i = 0; i < p->params.len; i++)
        buf_printf(b, "    job.%s = %s;\n", p->params.data[i].name, p->params.data[i].name);
    buf_puts(b, "    job.pool = pool;\n");
    if (flush)
        buf_printf(b,
                   "    unsigned mode = _mm_getcsr();\n"
                   "    /* Denormal results and operands become zero. */\n"
                   "    _mm_setcsr(mode | 0x%xu);\n",
                   FLUSH_BITS);
    buf_printf(b, "    %s_body(&job);\n", name);
    if (flush)
        buf_puts(b, "    _mm_setcsr(mode);\n");
    buf_puts(b, "    return 0;\n}\n\n");
}

static void put_run(CPrinter *p, Buf *b) {
    const char *name = p->info->name;
    c_put_signature(&p->arena, b, arena_printf(&p->arena, "int %s_run(", name), &p->params, NULL,
                    ") {\n");
    CItems names = {0};
    for (size_t i = 0; i < p->params.len; i++)
        vec_push(&p->arena, &names, p->params.data[i].name);
    vec_push(&p->arena, &names, "NULL");
    c_put_list(b, 8, arena_printf(&p->arena, "    return %s_run_parallel(", name), &names, ");\n");
    buf_puts(b, "}\n");
}

void c_put_public(CPrinter *p, Buf *b) {
    put_check_weights(p, b);
    put_run_parallel(p, b);
    put_run(p, b);
}

/* ---- the header ------------------------------------------------------------------------------ */

void c_put_banner(Buf *b, const Module *m, const EmitInfo *info) {
    buf_puts(b, "/* ");
    c_put_comment(b, info->model);
    buf_printf(b, ", compiled by effnetc %s for %s.\n", info->version, m->target->name);
    buf_printf(b, " * %lld multiply-adds, %lld parameters. */\n", (long long)info->macs,
               (long long)info->parameters);
}

/* "input: f32[1,3,224,224]" as the ONNX file has it, and its ONNX name. */
static void put_tensor_line(Buf *b, const CParams *params, const CParam *p) {
    const Buffer *buf = p->buffer;
    buf_printf(b, " *   %s: %s[", p->name, dtype_name(buf->reg.type.dtype));
    for (int i = 0; i < buf->shape.rank; i++)
        buf_printf(b, "%s%lld", i ? "," : "", (long long)buf->shape.dim[i]);
    buf_puts(b, "]");
    if (buf->onnx_name) {
        buf_puts(b, ", \"");
        c_put_comment(b, buf->onnx_name);
        buf_puts(b, "\" of the model");
    }
    if (buf->count >= 0)
        buf_printf(b,
                   "\n *     *%s says how many are there along axis %d; what is behind has no\n"
                   " *     meaning",
                   c_count_param(params, buf)->name, buf->count_axis);
    buf_puts(b, "\n");
}

static void put_codes(Buf *b, const char *name, const char *up) {
    buf_printf(b,
               "/* Results of %s_check_weights. */\n"
               "enum {\n"
               "    %s_OK = 0,\n"
               "    %s_ERROR_NULL = 1,       /* no pointer */\n"
               "    %s_ERROR_SIZE = 2,       /* not %s_WEIGHTS_BYTES */\n"
               "    %s_ERROR_MISALIGNED = 3, /* not at a multiple of %d bytes */\n"
               "    %s_ERROR_FORMAT = 4,     /* not a weights file */\n"
               "    %s_ERROR_VERSION = 5,    /* of another format version */\n"
               "    %s_ERROR_CHECKSUM = 6    /* damaged, or of another model */\n"
               "};\n\n",
               name, up, up, up, up, up, BLOCK_ALIGN, up, up, up);
}

static void put_channels(Buf *b, const float v[3]) {
    buf_printf(b, "%.7g, %.7g, %.7g", (double)v[0], (double)v[1], (double)v[2]);
}

/* What else the code does with an input of bytes. */
static void put_pictures(Buf *b, const EmitPictures *p) {
    buf_puts(
        b,
        " *     pictures, red first, rows from the top; they are normalised here: less\n *     ");
    put_channels(b, p->mean);
    buf_puts(b, ", divided by ");
    put_channels(b, p->std);
    buf_puts(b, "\n");
}

static void put_run_comment(Buf *b, const CParams *params, const EmitInfo *info, const char *up) {
    buf_puts(b, "/* Runs the model once. Re-entrant; keeps nothing.\n"
                " *\n");
    if (params->data[0].needed)
        buf_printf(b, " *   weights: %s_WEIGHTS_BYTES bytes, %d-byte aligned\n", up, BLOCK_ALIGN);
    else
        buf_puts(b, " *   weights: not used, may be NULL\n");
    for (size_t i = 1; i + 1 < params->len; i++) {
        put_tensor_line(b, params, &params->data[i]);
        if (info->pictures && i == 1 + info->pictures->input)
            put_pictures(b, info->pictures);
    }
    if (params->data[params->len - 1].needed)
        buf_printf(b,
                   " *   arena: %s_ARENA_BYTES bytes of scratch memory, %d-byte aligned; contents\n"
                   " *     irrelevant before and after\n",
                   up, BLOCK_ALIGN);
    else
        buf_puts(b, " *   arena: not used, may be NULL\n");
    buf_puts(
        b, " *\n"
           " * Tensors are dense and row-major. Returns 0, N where the N-th argument is NULL (the\n"
           " * first is 1), or -N where it is misaligned. */\n");
}

static void put_pool(Buf *b, const char *name) {
    buf_printf(
        b,
        "/* Threads of the caller's. parallel_for calls body(arg, i) once for each i in 0..n-1,\n"
        " * in any order and on any threads, and returns when all calls have. */\n"
        "typedef struct %s_pool {\n"
        "    void *context;\n"
        "    void (*parallel_for)(void *context, size_t n, void (*body)(void *arg, size_t i),\n"
        "                         void *arg);\n"
        "} %s_pool;\n\n",
        name, name);
}

static void put_parallel_comment(Buf *b, const char *name) {
    buf_printf(
        b,
        "/* The same on the threads of a pool; without one (NULL) on the caller's. The outputs\n"
        " * don't depend on the threads: all bits are as %s_run has them. A pool\n"
        " * without a function counts as an argument that is NULL. */\n",
        name);
}

void emit_c_header(Buf *out, const Module *m, const EmitInfo *info) {
    Arena a = {0};
    CScopes scopes = {0};
    CParams params = c_params(&a, &scopes, m, info);
    const char *name = info->name, *up = c_upper(&a, name);
    c_put_banner(out, m, info);
    buf_printf(out,
               "#ifndef %s_H\n#define %s_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n"
               "#define %s_ARENA_BYTES   %lld\n#define %s_WEIGHTS_BYTES %lld\n\n"
               "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
               up, up, up, (long long)m->arena_bytes, up, (long long)m->weights_bytes);
    put_codes(out, name, up);
    buf_printf(
        out,
        "/* Whether `size` bytes at `weights` are this model's weights: 0, or what is wrong. */\n"
        "int %s_check_weights(const void *weights, size_t size);\n\n",
        name);
    if (info->weights != WEIGHTS_FILE && m->weights_bytes)
        buf_printf(out,
                   "/* The weights, %d-byte aligned. */\n"
                   "extern const unsigned char %s_weights[%s_WEIGHTS_BYTES];\n\n",
                   BLOCK_ALIGN, name, up);
    put_run_comment(out, &params, info, up);
    c_put_signature(&a, out, arena_printf(&a, "int %s_run(", name), &params, NULL, ");\n\n");
    put_pool(out, name);
    put_parallel_comment(out, name);
    c_put_signature(&a, out, arena_printf(&a, "int %s_run_parallel(", name), &params,
                    c_pool_param(&a, info), ");\n");
    c_put_pictures_header(out, m, &params, info);
    c_put_selftest_header(out, m, &params, info);
    buf_puts(out, "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
    arena_free(&a);
}
