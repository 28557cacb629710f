/* llvm_selftest.c: NAME_selftest, as emit_selftest.c prints it in C. */
#include "codegen/llvm_builder.h"

/* The function's variables. */
typedef struct Selftest {
    LBuilder *x;
    LLVMValueRef state, hash, i, o; /* i64 each */
    LLVMValueRef *args;             /* of NAME_run */
} Selftest;

/* ---- words ----------------------------------------------------------------------------------- */

static LLVMValueRef get(const Selftest *s, LLVMValueRef variable) {
    return LLVMBuildLoad2(s->x->b, llvm_int(s->x, 64), variable, "");
}

static void set(const Selftest *s, LLVMValueRef variable, LLVMValueRef value) {
    LLVMBuildStore(s->x->b, value, variable);
}

static LLVMValueRef variable(LBuilder *x, const char *name) {
    return LLVMBuildAlloca(x->b, llvm_int(x, 64), name);
}

/* clang-format off */
#define ADD(v, w)   LLVMBuildAdd(x->b, v, w, "")
#define MUL(v, w)   LLVMBuildMul(x->b, v, w, "")
#define XOR(v, w)   LLVMBuildXor(x->b, v, w, "")
#define AND(v, n)   LLVMBuildAnd(x->b, v, NUMBER(n), "")
#define SHR(v, n)   LLVMBuildLShr(x->b, v, NUMBER(n), "")
#define SHL(v, n)   LLVMBuildShl(x->b, v, NUMBER(n), "")
#define NUMBER(n)   llvm_size(x, (int64_t)(n))
/* clang-format on */

/* for (variable = 0; variable < n; variable++) up to end_loop */
typedef struct Loop {
    LLVMValueRef variable;
    LLVMBasicBlockRef test, end;
} Loop;

static Loop begin_loop(const Selftest *s, LLVMValueRef variable, LLVMValueRef n) {
    LBuilder *x = s->x;
    LLVMBasicBlockRef body;
    Loop l = {variable, llvm_block(x, "test"), NULL};
    body = llvm_block(x, "body");
    l.end = llvm_block(x, "end");
    set(s, variable, NUMBER(0));
    LLVMBuildBr(x->b, l.test);
    llvm_at(x, l.test);
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntULT, get(s, variable), n, ""), body, l.end);
    llvm_at(x, body);
    return l;
}

static void end_loop(const Selftest *s, Loop l) {
    LBuilder *x = s->x;
    set(s, l.variable, ADD(get(s, l.variable), NUMBER(1)));
    LLVMBuildBr(x->b, l.test);
    llvm_at(x, l.end);
}

static LLVMValueRef element_at(LBuilder *x, DType dt, LLVMValueRef base, LLVMValueRef i) {
    LLVMTypeRef type = llvm_int(x, 8 * dtype_bytes(dt));
    return LLVMBuildInBoundsGEP2(x->b, type, base, &i, 1, "");
}

/* ---- inputs ---------------------------------------------------------------------------------- */

/* random_next */
static LLVMValueRef random_bits(const Selftest *s) {
    LBuilder *x = s->x;
    LLVMValueRef z = ADD(get(s, s->state), NUMBER(0x9e3779b97f4a7c15u));
    set(s, s->state, z);
    z = MUL(XOR(z, SHR(z, 30)), NUMBER(0xbf58476d1ce4e5b9u));
    z = MUL(XOR(z, SHR(z, 27)), NUMBER(0x94d049bb133111ebu));
    return XOR(z, SHR(z, 31));
}

/* What an input gets from random bits r. */
static LLVMValueRef element_of(LBuilder *x, DType dt, LLVMValueRef r) {
    LType t = ltype(dt, 1);
    LLVMTypeRef i32 = llvm_int(x, 32);
    SelftestHalf half;
    if (selftest_half(dt, &half)) {
        LLVMValueRef exponent = SHL(ADD(AND(r, 7), NUMBER(half.least)), half.shift);
        return LLVMBuildTrunc(x->b, LLVMBuildOr(x->b, AND(SHR(r, 48), half.mask), exponent, ""),
                              llvm_type(x, t), "");
    }
    if (!dtype_is_float(dt))
        return LLVMBuildTrunc(x->b, SHR(r, dt == DT_bool ? 63 : 61), llvm_type(x, t), "");
    LLVMValueRef n = LLVMBuildTrunc(x->b, SHR(r, 40), i32, "");
    n = LLVMBuildSub(x->b, n, llvm_i32(x, 1 << 23), "");
    return LLVMBuildFMul(x->b, LLVMBuildSIToFP(x->b, n, llvm_type(x, t), ""),
                         llvm_const_float(x, t, 0x1p-23), "");
}

static void fill(const Selftest *s, size_t param) {
    LBuilder *x = s->x;
    const Buffer *b = x->c->params.data[param].buffer;
    DType dt = b->reg.type.dtype;
    Loop l = begin_loop(s, s->i, NUMBER(b->elems));
    LLVMValueRef value = element_of(x, dt, random_bits(s));
    LLVMBuildStore(x->b, value, element_at(x, dt, s->args[param], get(s, s->i)));
    end_loop(s, l);
}

/* ---- outputs --------------------------------------------------------------------------------- */

/* The bits of an element, NaN as selftest_nan has it: what is more than infinity, which is NaN
 * without its last bit. */
static LLVMValueRef bits_at(LBuilder *x, DType dt, LLVMValueRef pointer) {
    LLVMTypeRef type = llvm_int(x, 8 * dtype_bytes(dt));
    LLVMValueRef bits = LLVMBuildLoad2(x->b, type, pointer, "");
    bits = LLVMBuildZExt(x->b, bits, llvm_int(x, 64), "");
    if (!dtype_is_float(dt))
        return bits;
    uint64_t nan = selftest_nan(dt), sign = (uint64_t)1 << (8 * dtype_bytes(dt) - 1);
    LLVMValueRef is_nan =
        LLVMBuildICmp(x->b, LLVMIntUGT, AND(bits, sign - 1), NUMBER(nan & (nan - 1)), "");
    return LLVMBuildSelect(x->b, is_nan, NUMBER(nan), bits, "");
}

/* Of n elements from o * stride on. */
static void hash_row(const Selftest *s, size_t param, LLVMValueRef n, int64_t stride) {
    LBuilder *x = s->x;
    DType dt = x->c->params.data[param].buffer->reg.type.dtype;
    Loop l = begin_loop(s, s->i, n);
    LLVMValueRef at = ADD(MUL(get(s, s->o), NUMBER(stride)), get(s, s->i));
    LLVMValueRef bits = bits_at(x, dt, element_at(x, dt, s->args[param], at));
    set(s, s->hash, MUL(XOR(get(s, s->hash), bits), NUMBER(FNV_PRIME)));
    end_loop(s, l);
}

/* Of the elements that are there of an output. */
static void hash_output(const Selftest *s, size_t param) {
    LBuilder *x = s->x;
    const CParams *params = &x->c->params;
    SelftestRows rows = selftest_rows(params, params->data[param].buffer);
    LLVMValueRef n = NUMBER(rows.length);
    if (rows.count) {
        LLVMValueRef count = s->args[rows.count - params->data];
        n = MUL(n, LLVMBuildLoad2(x->b, llvm_int(x, 64), count, ""));
    }
    set(s, s->hash, NUMBER(FNV_START));
    Loop l = begin_loop(s, s->o, NUMBER(rows.rows));
    hash_row(s, param, n, rows.stride);
    end_loop(s, l);
}

/* ---- the function ---------------------------------------------------------------------------- */

/* The parameters' memory lies behind the arena. */
static void lay_out(Selftest *s, LLVMValueRef weights, LLVMValueRef arena) {
    LBuilder *x = s->x;
    const CParams *params = &x->c->params;
    s->args = ARENA_ARRAY(&x->arena, params->len, LLVMValueRef);
    for (size_t i = 0; i < params->len; i++)
        s->args[i] =
            params->data[i].buffer
                ? llvm_bytes_behind(x, arena, x->c->m->arena_bytes + selftest_offset(params, i))
                : arena;
    s->args[0] = weights;
}

static void test_outputs(const Selftest *s) {
    LBuilder *x = s->x;
    int output = 0;
    for (size_t i = 0; i < x->c->params.len; i++) {
        const Buffer *b = x->c->params.data[i].buffer;
        if (!b || b->kind != BUF_OUTPUT)
            continue;
        hash_output(s, i);
        LLVMValueRef wanted = NUMBER(x->c->info->selftest[output++]);
        llvm_return_if(x, LLVMBuildICmp(x->b, LLVMIntNE, get(s, s->hash), wanted, ""), output);
    }
}

/* (weights, arena) */
void llvm_selftest(LBuilder *x, LLVMValueRef run) {
    LLVMTypeRef params[] = {llvm_ptr(x), llvm_ptr(x)};
    LLVMTypeRef i32 = llvm_int(x, 32);
    LLVMValueRef f = llvm_public_function(x, "selftest", i32, params, 2);
    LLVMValueRef arena = LLVMGetParam(f, 1);
    Selftest s = {
        x, variable(x, "state"), variable(x, "hash"), variable(x, "i"), variable(x, "o"), NULL};
    llvm_return_if(x, LLVMBuildIsNull(x->b, arena, ""), -1);
    llvm_return_if(x, llvm_is_misaligned(x, arena, SELFTEST_ALIGN), -1);
    lay_out(&s, LLVMGetParam(f, 0), arena);
    set(&s, s.state, NUMBER(SELFTEST_SEED));
    for (size_t i = 0; i < x->c->params.len; i++) {
        const Buffer *b = x->c->params.data[i].buffer;
        if (b && b->kind == BUF_INPUT)
            fill(&s, i);
    }
    LLVMValueRef code = llvm_call(x, run, s.args, x->c->params.len);
    llvm_return_if(x, LLVMBuildIsNotNull(x->b, code, ""), -1);
    test_outputs(&s);
    LLVMBuildRet(x->b, llvm_i32(x, 0));
}
