/* llvm_abi.c: the public functions, as emit_abi.c prints them in C, and what steps see of a run. */
#include "codegen/llvm_builder.h"

#include <string.h>

/* ---- words ----------------------------------------------------------------------------------- */

LLVMValueRef llvm_param(const LBuilder *x, size_t i) {
    return LLVMGetParam(x->function, (unsigned)i);
}

static LLVMValueRef is_null(LBuilder *x, LLVMValueRef pointer) {
    return LLVMBuildIsNull(x->b, pointer, "");
}

static LLVMValueRef differ(LBuilder *x, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildICmp(x->b, LLVMIntNE, a, b, "");
}

LLVMValueRef llvm_is_misaligned(LBuilder *x, LLVMValueRef pointer, int64_t align) {
    LLVMValueRef address = LLVMBuildPtrToInt(x->b, pointer, llvm_int(x, 64), "");
    LLVMValueRef low = LLVMBuildAnd(x->b, address, llvm_size(x, align - 1), "");
    return differ(x, low, llvm_size(x, 0));
}

void llvm_return_if(LBuilder *x, LLVMValueRef condition, int code) {
    LLVMBasicBlockRef bad = llvm_block(x, "refuse"), good = llvm_block(x, "good");
    LLVMBuildCondBr(x->b, condition, bad, good);
    llvm_at(x, bad);
    LLVMBuildRet(x->b, llvm_i32(x, code));
    llvm_at(x, good);
}

/* Pointer i of an array of them: a field of a job or of a pool, an element of in or out. */
static LLVMValueRef pointer_at(LBuilder *x, LLVMValueRef array, size_t i) {
    LLVMValueRef at = llvm_size(x, (int64_t)i);
    return LLVMBuildInBoundsGEP2(x->b, llvm_ptr(x), array, &at, 1, "");
}

LLVMValueRef llvm_pointer_of(LBuilder *x, LLVMValueRef array, size_t i) {
    return LLVMBuildLoad2(x->b, llvm_ptr(x), pointer_at(x, array, i), "");
}

static void set_pointer(LBuilder *x, LLVMValueRef array, size_t i, LLVMValueRef value) {
    LLVMBuildStore(x->b, value, pointer_at(x, array, i));
}

static LLVMValueRef pointers(LBuilder *x, size_t n, const char *name) {
    return LLVMBuildAlloca(x->b, LLVMArrayType(llvm_ptr(x), (unsigned)n), name);
}

LLVMValueRef llvm_visible(LBuilder *x, const char *name, LLVMTypeRef result, LLVMTypeRef *params,
                          size_t nparams) {
    LLVMValueRef f = llvm_function(x, name, result, params, nparams, true);
    llvm_begin(x, f);
    return f;
}

static const char *public_name(LBuilder *x, const char *what) {
    return arena_printf(&x->arena, "%s_%s", x->c->info->name, what);
}

LLVMValueRef llvm_public_function(LBuilder *x, const char *what, LLVMTypeRef result,
                                  LLVMTypeRef *params, size_t nparams) {
    return llvm_visible(x, public_name(x, what), result, params, nparams);
}

/* ---- the job: the arguments of a run in their order, and the pool ---------------------------- */

enum { WEIGHTS = 0 };

static size_t arena_index(const LBuilder *x) {
    return x->c->params.len - 1;
}

LLVMValueRef llvm_buffer(LBuilder *x, const Buffer *b) {
    if (b->kind == BUF_WEIGHTS)
        return llvm_bytes_behind(x, llvm_pointer_of(x, x->job, WEIGHTS), b->offset);
    if (b->kind == BUF_ARENA)
        return llvm_bytes_behind(x, llvm_pointer_of(x, x->job, arena_index(x)), b->offset);
    for (size_t i = 0; i < x->c->params.len; i++)
        if (x->c->params.data[i].buffer == b)
            return llvm_pointer_of(x, x->job, i);
    die("buffer %s is no argument", b->reg.name);
}

LLVMValueRef llvm_pool(LBuilder *x) {
    return llvm_pointer_of(x, x->job, x->c->params.len);
}

/* A pool is { context, parallel_for }. */
enum { POOL_CONTEXT, POOL_FOR, POOL_FIELDS };

LLVMValueRef llvm_new_pool(LBuilder *x, LLVMValueRef context, LLVMValueRef parallel_for) {
    LLVMValueRef pool = pointers(x, POOL_FIELDS, "pool");
    set_pointer(x, pool, POOL_CONTEXT, context);
    set_pointer(x, pool, POOL_FOR, parallel_for);
    return LLVMBuildSelect(x->b, is_null(x, context), context, pool, "");
}

/* ---- flush-to-zero --------------------------------------------------------------------------- */

/* Calls f with the mode of the target, and restores the caller's. f is not inlined: nothing keeps
 * arithmetic from moving across the change of the mode. */
static void call_in_mode(LBuilder *x, LLVMValueRef f, LLVMTypeRef type, LLVMValueRef *args,
                         size_t nargs) {
    LLVMTypeRef i32 = llvm_int(x, 32);
    LLVMValueRef old = NULL, mode = NULL;
    if (x->target->flush_to_zero) {
        old = LLVMBuildAlloca(x->b, i32, "mode");
        mode = LLVMBuildAlloca(x->b, i32, "flush");
        llvm_intrinsic(x, "llvm.x86.sse.stmxcsr", NULL, 0, &old, 1);
        LLVMValueRef bits = LLVMBuildLoad2(x->b, i32, old, "");
        LLVMBuildStore(x->b, LLVMBuildOr(x->b, bits, llvm_i32(x, FLUSH_BITS), ""), mode);
        llvm_intrinsic(x, "llvm.x86.sse.ldmxcsr", NULL, 0, &mode, 1);
    }
    LLVMBuildCall2(x->b, type, f, args, (unsigned)nargs, "");
    if (old)
        llvm_intrinsic(x, "llvm.x86.sse.ldmxcsr", NULL, 0, &old, 1);
}

/* ---- NAME_parts ------------------------------------------------------------------------------ */

static LLVMTypeRef part_type(LBuilder *x) {
    LLVMTypeRef params[] = {llvm_ptr(x), llvm_int(x, 64)};
    return LLVMFunctionType(LLVMVoidTypeInContext(x->context), params, 2, false);
}

/* A task is { part, context }. */
static LLVMValueRef run_part(LBuilder *x) {
    LLVMTypeRef params[] = {llvm_ptr(x), llvm_int(x, 64)};
    LLVMValueRef f = llvm_function(x, public_name(x, "run_part"), LLVMVoidTypeInContext(x->context),
                                   params, 2, false);
    llvm_begin(x, f);
    LLVMValueRef args[] = {llvm_pointer_of(x, llvm_param(x, 0), 1), llvm_param(x, 1)};
    call_in_mode(x, llvm_pointer_of(x, llvm_param(x, 0), 0), part_type(x), args, 2);
    LLVMBuildRetVoid(x->b);
    return f;
}

/* parallel_for(context, n, NAME_run_part, task) */
static void on_pool(LBuilder *x, LLVMValueRef pool, LLVMValueRef n, LLVMValueRef body,
                    LLVMValueRef task) {
    LLVMTypeRef types[] = {llvm_ptr(x), llvm_int(x, 64), llvm_ptr(x), llvm_ptr(x)};
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(x->context), types, 4, false);
    LLVMValueRef args[] = {llvm_pointer_of(x, pool, POOL_CONTEXT), n, body, task};
    LLVMBuildCall2(x->b, type, llvm_pointer_of(x, pool, POOL_FOR), args, 4, "");
    LLVMBuildRetVoid(x->b);
}

static void one_by_one(LBuilder *x, LLVMValueRef n, LLVMValueRef part, LLVMValueRef context) {
    LLVMTypeRef i64 = llvm_int(x, 64);
    LLVMBasicBlockRef test = llvm_block(x, "test"), body = llvm_block(x, "part");
    LLVMBasicBlockRef end = llvm_block(x, "end"), before = LLVMGetInsertBlock(x->b);
    LLVMBuildBr(x->b, test);
    llvm_at(x, test);
    LLVMValueRef i = LLVMBuildPhi(x->b, i64, "i");
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntULT, i, n, ""), body, end);
    llvm_at(x, body);
    LLVMValueRef args[] = {context, i};
    LLVMBuildCall2(x->b, part_type(x), part, args, 2, "");
    LLVMValueRef from[] = {llvm_size(x, 0), LLVMBuildAdd(x->b, i, llvm_size(x, 1), "")};
    LLVMBasicBlockRef blocks[] = {before, body};
    LLVMBuildBr(x->b, test);
    LLVMAddIncoming(i, from, blocks, 2);
    llvm_at(x, end);
    LLVMBuildRetVoid(x->b);
}

/* (pool, n, part, context): the n parts of a step, in any order and at the same time. */
LLVMValueRef llvm_parts(LBuilder *x) {
    LLVMTypeRef params[] = {llvm_ptr(x), llvm_int(x, 64), llvm_ptr(x), llvm_ptr(x)};
    LLVMTypeRef result = LLVMVoidTypeInContext(x->context);
    if (!x->parts)
        x->parts = llvm_function(x, public_name(x, "parts"), result, params, 4, false);
    return x->parts;
}

static void parts(LBuilder *x) {
    if (!c_has_parts(x->c))
        return;
    LLVMValueRef body = run_part(x);
    llvm_begin(x, llvm_parts(x));
    LLVMValueRef pool = llvm_param(x, 0), n = llvm_param(x, 1), task = pointers(x, 2, "task");
    LLVMBasicBlockRef threads = llvm_block(x, "threads"), alone = llvm_block(x, "alone");
    LLVMValueRef several = LLVMBuildICmp(x->b, LLVMIntUGT, n, llvm_size(x, 1), "");
    LLVMValueRef use = LLVMBuildAnd(x->b, LLVMBuildIsNotNull(x->b, pool, ""), several, "");
    LLVMBuildCondBr(x->b, use, threads, alone);
    llvm_at(x, threads);
    set_pointer(x, task, 0, llvm_param(x, 2));
    set_pointer(x, task, 1, llvm_param(x, 3));
    on_pool(x, pool, n, body, task);
    llvm_at(x, alone);
    one_by_one(x, n, llvm_param(x, 2), llvm_param(x, 3));
}

/* ---- effnetc_watch --------------------------------------------------------------------------- */

static LLVMValueRef variable(LBuilder *x, const char *name) {
    LLVMValueRef v = LLVMAddGlobal(x->module, llvm_ptr(x), name);
    llvm_hide(x, v);
    return v;
}

static void declare_hook(LBuilder *x) {
    if (x->hook)
        return;
    x->hook = variable(x, "effnetc_hook");
    x->hook_context = variable(x, "effnetc_hook_context");
}

static void watch(LBuilder *x) {
    LLVMTypeRef params[] = {llvm_ptr(x), llvm_ptr(x)};
    declare_hook(x);
    LLVMSetInitializer(x->hook, LLVMConstNull(llvm_ptr(x)));
    LLVMSetInitializer(x->hook_context, LLVMConstNull(llvm_ptr(x)));
    llvm_visible(x, "effnetc_watch", LLVMVoidTypeInContext(x->context), params, 2);
    LLVMBuildStore(x->b, llvm_param(x, 0), x->hook);
    LLVMBuildStore(x->b, llvm_param(x, 1), x->hook_context);
    LLVMBuildRetVoid(x->b);
}

void llvm_step_done(LBuilder *x, size_t step) {
    LLVMTypeRef types[] = {llvm_ptr(x), llvm_int(x, 32)};
    if (!x->options->step_hook)
        return;
    declare_hook(x);
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(x->context), types, 2, false);
    LLVMValueRef args[] = {LLVMBuildLoad2(x->b, llvm_ptr(x), x->hook_context, ""),
                           llvm_i32(x, (int64_t)step)};
    LLVMBuildCall2(x->b, type, LLVMBuildLoad2(x->b, llvm_ptr(x), x->hook, ""), args, 2, "");
}

/* ---- NAME_check_weights ---------------------------------------------------------------------- */

/* Results, as the header has them. */
enum { OK, ERROR_NULL, ERROR_SIZE, ERROR_MISALIGNED, ERROR_FORMAT, ERROR_VERSION, ERROR_CHECKSUM };

/* Word i of the weights, a number whose lowest byte is the first, as all targets have it. */
static LLVMValueRef word(LBuilder *x, LLVMValueRef weights, LLVMValueRef i) {
    LLVMTypeRef i64 = llvm_int(x, 64);
    return LLVMBuildLoad2(x->b, i64, LLVMBuildInBoundsGEP2(x->b, i64, weights, &i, 1, ""), "");
}

static LLVMValueRef header_word(LBuilder *x, LLVMValueRef weights, int64_t i) {
    return word(x, weights, llvm_size(x, i));
}

/* FNV-1a over the words behind the header. */
static LLVMValueRef checksum(LBuilder *x, LLVMValueRef weights) {
    LLVMTypeRef i64 = llvm_int(x, 64);
    int64_t first = WEIGHTS_HEADER / 8, words = x->c->m->weights_bytes / 8;
    LLVMValueRef start = llvm_size(x, (int64_t)FNV_START);
    if (words <= first)
        return start;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(x->b), body = llvm_block(x, "sum");
    LLVMBasicBlockRef end = llvm_block(x, "summed");
    LLVMBuildBr(x->b, body);
    llvm_at(x, body);
    LLVMValueRef sum = LLVMBuildPhi(x->b, i64, "sum"), i = LLVMBuildPhi(x->b, i64, "i");
    LLVMValueRef mixed = LLVMBuildXor(x->b, sum, word(x, weights, i), "");
    LLVMValueRef next = LLVMBuildMul(x->b, mixed, llvm_size(x, FNV_PRIME), "");
    LLVMValueRef after = LLVMBuildAdd(x->b, i, llvm_size(x, 1), "");
    LLVMValueRef sums[] = {start, next}, places[] = {llvm_size(x, first), after};
    LLVMBasicBlockRef from[] = {before, body};
    LLVMAddIncoming(sum, sums, from, 2);
    LLVMAddIncoming(i, places, from, 2);
    LLVMBuildCondBr(x->b, differ(x, after, llvm_size(x, words)), body, end);
    llvm_at(x, end);
    return next;
}

static void check_contents(LBuilder *x, LLVMValueRef weights, LLVMValueRef size) {
    const Module *m = x->c->m;
    LLVMValueRef magic = llvm_size(x, (int64_t)WEIGHTS_MAGIC);
    llvm_return_if(x, differ(x, header_word(x, weights, 0), magic), ERROR_FORMAT);
    llvm_return_if(x, differ(x, header_word(x, weights, 1), llvm_size(x, WEIGHTS_VERSION)),
                   ERROR_VERSION);
    llvm_return_if(x, differ(x, header_word(x, weights, 2), size), ERROR_FORMAT);
    LLVMValueRef sum = checksum(x, weights);
    llvm_return_if(x, differ(x, header_word(x, weights, 3), sum), ERROR_CHECKSUM);
    if (!m->weights)
        return;
    uint64_t wanted = sealed_checksum(m);
    llvm_return_if(x, differ(x, sum, llvm_size(x, (int64_t)wanted)), ERROR_CHECKSUM);
}

/* (weights, size) */
static LLVMValueRef check_weights(LBuilder *x) {
    int64_t bytes = x->c->m->weights_bytes;
    LLVMTypeRef params[] = {llvm_ptr(x), llvm_int(x, 64)};
    LLVMValueRef f = llvm_public_function(x, "check_weights", llvm_int(x, 32), params, 2);
    LLVMValueRef weights = llvm_param(x, 0), size = llvm_param(x, 1);
    if (bytes)
        llvm_return_if(x, is_null(x, weights), ERROR_NULL);
    llvm_return_if(x, differ(x, size, llvm_size(x, bytes)), ERROR_SIZE);
    if (bytes) {
        llvm_return_if(x, llvm_is_misaligned(x, weights, x->c->params.data[WEIGHTS].align),
                       ERROR_MISALIGNED);
        check_contents(x, weights, size);
    }
    LLVMBuildRet(x->b, llvm_i32(x, OK));
    return f;
}

/* ---- NAME_weights ---------------------------------------------------------------------------- */

static void weights_inside(LBuilder *x) {
    const Module *m = x->c->m;
    ensure(m->weights && m->weights_bytes <= UINT32_MAX);
    LLVMValueRef bytes =
        LLVMConstStringInContext(x->context, m->weights->data, (unsigned)m->weights_bytes, true);
    LLVMValueRef v = LLVMAddGlobal(x->module, LLVMTypeOf(bytes), public_name(x, "weights"));
    LLVMSetGlobalConstant(v, true);
    LLVMSetInitializer(v, bytes);
    LLVMSetAlignment(v, (unsigned)x->c->params.data[WEIGHTS].align);
}

/* ---- NAME_run_parallel, NAME_run ------------------------------------------------------------- */

static void check_params(LBuilder *x) {
    for (size_t i = 0; i < x->c->params.len; i++) {
        const CParam *p = &x->c->params.data[i];
        if (p->needed)
            llvm_return_if(x, is_null(x, llvm_param(x, i)), (int)i + 1);
        if (p->needed && p->align > 1)
            llvm_return_if(x, llvm_is_misaligned(x, llvm_param(x, i), p->align), -(int)(i + 1));
    }
}

/* A pool needs its function. */
static void check_pool(LBuilder *x, LLVMValueRef pool) {
    LLVMBasicBlockRef look = llvm_block(x, "pool"), go = llvm_block(x, "go");
    LLVMBuildCondBr(x->b, is_null(x, pool), go, look);
    llvm_at(x, look);
    llvm_return_if(x, is_null(x, llvm_pointer_of(x, pool, POOL_FOR)), (int)x->c->params.len + 1);
    LLVMBuildBr(x->b, go);
    llvm_at(x, go);
}

LLVMTypeRef *llvm_pointer_types(LBuilder *x, size_t n) {
    LLVMTypeRef *types = ARENA_ARRAY(&x->arena, n, LLVMTypeRef);
    for (size_t i = 0; i < n; i++)
        types[i] = llvm_ptr(x);
    return types;
}

static LLVMValueRef run_parallel(LBuilder *x) {
    size_t n = x->c->params.len;
    LLVMValueRef body = map_get(&x->functions, public_name(x, "body"));
    LLVMValueRef f = llvm_public_function(x, "run_parallel", llvm_int(x, 32),
                                          llvm_pointer_types(x, n + 1), n + 1);
    check_params(x);
    check_pool(x, llvm_param(x, n));
    LLVMValueRef job = pointers(x, n + 1, "job");
    for (size_t i = 0; i <= n; i++)
        set_pointer(x, job, i, llvm_param(x, i));
    call_in_mode(x, body, LLVMGlobalGetValueType(body), &job, 1);
    LLVMBuildRet(x->b, llvm_i32(x, 0));
    return f;
}

static LLVMValueRef run(LBuilder *x, LLVMValueRef parallel) {
    size_t n = x->c->params.len;
    LLVMValueRef *args = ARENA_ARRAY(&x->arena, n + 1, LLVMValueRef);
    LLVMValueRef f = llvm_public_function(x, "run", llvm_int(x, 32), llvm_pointer_types(x, n), n);
    for (size_t i = 0; i < n; i++)
        args[i] = llvm_param(x, i);
    args[n] = LLVMConstNull(llvm_ptr(x));
    LLVMBuildRet(x->b, llvm_call(x, parallel, args, n + 1));
    return f;
}

/* ---- effnetc_entry, effnetc_check ------------------------------------------------------------ */

/* (weights, in, out, arena, context, parallel_for) */
static void entry(LBuilder *x, LLVMValueRef parallel) {
    size_t n = x->c->params.len, in = 0, out = 0;
    LLVMValueRef *args = ARENA_ARRAY(&x->arena, n + 1, LLVMValueRef);
    llvm_visible(x, "effnetc_entry", llvm_int(x, 32), llvm_pointer_types(x, 6), 6);
    LLVMValueRef pool = llvm_new_pool(x, llvm_param(x, 4), llvm_param(x, 5));
    args[WEIGHTS] = llvm_param(x, 0);
    for (size_t i = 1; i + 1 < n; i++) {
        bool input = x->c->params.data[i].buffer->kind == BUF_INPUT;
        args[i] = llvm_pointer_of(x, llvm_param(x, input ? 1 : 2), input ? in++ : out++);
    }
    args[n - 1] = llvm_param(x, 3);
    args[n] = pool;
    LLVMBuildRet(x->b, llvm_call(x, parallel, args, n + 1));
}

static void check_entry(LBuilder *x, LLVMValueRef check) {
    LLVMTypeRef params[] = {llvm_ptr(x), llvm_int(x, 64)};
    llvm_visible(x, "effnetc_check", llvm_int(x, 32), params, 2);
    LLVMValueRef args[] = {llvm_param(x, 0), llvm_param(x, 1)};
    LLVMBuildRet(x->b, llvm_call(x, check, args, 2));
}

void llvm_public(LBuilder *x) {
    parts(x);
    if (x->options->step_hook)
        watch(x);
    LLVMValueRef check = check_weights(x), parallel = run_parallel(x);
    LLVMValueRef alone = run(x, parallel);
    if (x->c->info->selftest)
        llvm_selftest(x, alone);
    llvm_pictures(x, parallel);
    if (x->c->info->weights == WEIGHTS_INSIDE && x->c->m->weights_bytes)
        weights_inside(x);
    if (!x->options->entry)
        return;
    entry(x, parallel);
    check_entry(x, check);
}
