/* loop.c: the instruction table, modules, kernels, registers and addresses of the loop IR. */
#include "ir/loop.h"
#include "ir/loop_internal.h"

#include <math.h>
#include <string.h>

/* ---- instructions --------------------------------------------------------------------------- */

static const InstInfo insts[INST_COUNT] = {
#define INST(id, text, form, types, c_float, c_int, eval)                                          \
    [INST_##id] = {text, FORM_##form, TYPES_##types, c_float, c_int},
#include "ir/insts.def"
#undef INST
};

const double exp2_powers[32] = {
    0x1p+0,
    0x1.059b0d3158574p+0,
    0x1.0b5586cf9890fp+0,
    0x1.11301d0125b51p+0,
    0x1.172b83c7d517bp+0,
    0x1.1d4873168b9aap+0,
    0x1.2387a6e756238p+0,
    0x1.29e9df51fdee1p+0,
    0x1.306fe0a31b715p+0,
    0x1.371a7373aa9cbp+0,
    0x1.3dea64c123422p+0,
    0x1.44e086061892dp+0,
    0x1.4bfdad5362a27p+0,
    0x1.5342b569d4f82p+0,
    0x1.5ab07dd485429p+0,
    0x1.6247eb03a5585p+0,
    0x1.6a09e667f3bcdp+0,
    0x1.71f75e8ec5f74p+0,
    0x1.7a11473eb0187p+0,
    0x1.82589994cce13p+0,
    0x1.8ace5422aa0dbp+0,
    0x1.93737b0cdc5e5p+0,
    0x1.9c49182a3f090p+0,
    0x1.a5503b23e255dp+0,
    0x1.ae89f995ad3adp+0,
    0x1.b7f76f2fb5e47p+0,
    0x1.c199bdd85529cp+0,
    0x1.cb720dcef9069p+0,
    0x1.d5818dcfba487p+0,
    0x1.dfc97337b9b5fp+0,
    0x1.ea4afa2a490dap+0,
    0x1.f50765b6e4540p+0,
};

const InstInfo *inst_info(InstOp op) {
    ensure((unsigned)op < INST_COUNT);
    return &insts[op];
}

bool inst_parse(const char *s, size_t n, InstOp *out) {
    for (int i = 0; i < INST_COUNT; i++) {
        if (strlen(insts[i].name) == n && memcmp(insts[i].name, s, n) == 0) {
            *out = (InstOp)i;
            return true;
        }
    }
    return false;
}

int inst_blocks(Inst *in, Block *blocks[2]) {
    switch (inst_info(in->op)->form) {
    case FORM_FOR:
        blocks[0] = &in->u.loop.body;
        return 1;
    case FORM_WHILE:
        blocks[0] = &in->u.body;
        return 1;
    case FORM_IF:
        blocks[0] = &in->u.branch.then;
        blocks[1] = &in->u.branch.orelse;
        return 2;
    default:
        return 0;
    }
}

static bool is_value(const Reg *r) {
    return r && r->kind == REG_VALUE;
}

bool inst_result(const Inst *in, LType written, RegKind *kind, LType *type) {
    const Reg *a = in->src[0];
    InstForm form = inst_info(in->op)->form;
    *kind = form == FORM_LEA ? REG_POINTER : REG_VALUE;
    switch (form) {
    case FORM_CONST:
        *type = written;
        return true;
    case FORM_CONVERT:
        *type = written;
        return is_value(a);
    case FORM_UNARY:
    case FORM_BINARY:
    case FORM_TERNARY:
    case FORM_SHIFT:
        *type = is_value(a) ? a->type : written;
        return is_value(a);
    case FORM_COMPARE:
        *type = is_value(a) ? ltype_mask(a->type) : written;
        return is_value(a);
    case FORM_SELECT:
        *type = is_value(in->src[1]) ? in->src[1]->type : written;
        return is_value(in->src[1]);
    case FORM_SPLAT:
        *type = ltype(is_value(a) ? a->type.dtype : written.dtype, written.lanes);
        return is_value(a);
    case FORM_LOAD:
    case FORM_SPLAT_LOAD:
    case FORM_LEA:
        if (!in->u.addr.base || in->u.addr.base->kind == REG_VALUE)
            return false;
        *type = ltype(in->u.addr.base->type.dtype, form == FORM_LEA ? 1 : written.lanes);
        return true;
    case FORM_FOR:
        *type = ltype(DT_i64, 1);
        return true;
    default: /* store, prefetch, while, if, call */
        return false;
    }
}

/* ---- types ---------------------------------------------------------------------------------- */

LType ltype(DType dt, int lanes) {
    return (LType){dt, lanes};
}

bool ltype_equal(LType a, LType b) {
    return a.dtype == b.dtype && a.lanes == b.lanes;
}

LType ltype_mask(LType t) {
    if (t.lanes == 1)
        return ltype(DT_bool, 1);
    switch (dtype_bytes(t.dtype)) {
    case 1:
        return ltype(DT_i8, t.lanes);
    case 2:
        return ltype(DT_i16, t.lanes);
    case 4:
        return ltype(DT_i32, t.lanes);
    default:
        return ltype(DT_i64, t.lanes);
    }
}

TypeSet dtype_set(DType dt) {
    if (dt == DT_bool)
        return TYPES_B;
    if (!dtype_is_float(dt))
        return TYPES_I;
    return dt == DT_f32 || dt == DT_f64 ? TYPES_F : TYPES_H;
}

bool dtype_fits_i(DType dt, int64_t x) {
    if (dt == DT_bool)
        return x == 0 || x == 1;
    int bits = 8 * dtype_bytes(dt);
    if (bits == 64)
        return true;
    if (dtype_is_signed_int(dt))
        return x >= -((int64_t)1 << (bits - 1)) && x < (int64_t)1 << (bits - 1);
    return x >= 0 && x < (int64_t)1 << bits;
}

/* ---- modules -------------------------------------------------------------------------------- */

const char *buffer_kind_name(BufferKind kind) {
    static const char *const names[] = {[BUF_INPUT] = "input",
                                        [BUF_OUTPUT] = "output",
                                        [BUF_WEIGHTS] = "weights",
                                        [BUF_ARENA] = "arena"};
    return names[kind];
}

/* `name`, or name_2, name_3, ... whichever `taken` does not have. `copies` belongs to the holder of
 * `name` and keeps a long series of equal names from being tried again and again. */
static const char *number_name(Arena *a, const Map *taken, const char *name, int *copies) {
    const char *numbered;
    do
        numbered = arena_printf(a, "%s_%d", name, ++*copies + 1);
    while (map_get(taken, numbered));
    return numbered;
}

/* A kernel in the module's memory. */
static Kernel *kernel_of(Module *m, const char *name, KernelKind kind) {
    Kernel *k = ARENA_NEW(&m->arena, Kernel);
    k->name = arena_strdup(&m->arena, name);
    k->kind = kind;
    k->module = m;
    k->arena = &m->arena;
    return k;
}

Module *module_new(const char *name, const Target *target) {
    Arena arena = {0};
    Module *m = ARENA_NEW(&arena, Module);
    m->arena = arena;
    m->name = arena_strdup(&m->arena, name);
    m->target = target;
    m->run = kernel_of(m, "run", KERNEL_RUN);
    return m;
}

void module_free(Module *m) {
    if (!m)
        return;
    for (Kernel *k = m->newest; k; k = k->older)
        arena_free(&k->own);
    buf_free(&m->packed);
    file_unmap(&m->file);
    Arena arena = m->arena; /* which m itself is in */
    arena_free(&arena);
}

void module_spill_weights(Module *m) {
    if (m->packed.len == 0 || !file_spill(&m->file, m->packed.data, m->packed.len))
        return;
    buf_free(&m->packed);
    m->weights->data = m->file.data;
}

static void cut_packed(Module *m, size_t size) {
    buf_cut(&m->packed, size);
    m->weights->data = m->packed.data; /* it may have moved */
}

void module_move_weights(Module *m, void *to) {
    enum { PIECE = 1 << 22 };
    size_t left = (size_t)m->weights_bytes;
    ensure(m->packed.len == left || m->file.size == left);
    while (left > 0) {
        size_t n = left < PIECE ? left : PIECE;
        left -= n;
        memcpy((char *)to + left, (const char *)m->weights->data + left, n);
        if (m->file.data)
            memory_release(m->file.data + left, n);
        else
            cut_packed(m, left);
    }
    buf_free(&m->packed);
    file_unmap(&m->file);
    m->weights->data = to;
}

void module_take_weights(Module *m, Buf *packed) {
    ensure(!m->packed.data);
    m->packed = *packed;
    *packed = (Buf){0};
    m->weights_bytes = (int64_t)m->packed.len;
    m->weights = tensor_wrap(&m->arena, DT_u8, SHAPE(m->weights_bytes), m->packed.data);
}

size_t module_function_count(const Module *m) {
    return m->kernels.len + m->steps.len + 1;
}

Kernel *module_function(const Module *m, size_t i) {
    if (i < m->kernels.len)
        return m->kernels.data[i];
    i -= m->kernels.len;
    return i < m->steps.len ? m->steps.data[i] : m->run;
}

Buffer *module_buffer(Module *m, const char *name, BufferKind kind, DType dt, int64_t elems,
                      int64_t offset) {
    Buffer *b = ARENA_NEW(&m->arena, Buffer);
    Buffer *other = map_get(&m->buffer_names, name);
    b->reg.name = other ? number_name(&m->arena, &m->buffer_names, name, &other->reg.copies)
                        : arena_strdup(&m->arena, name);
    b->reg.kind = REG_BUFFER;
    b->reg.type = ltype(dt, 1);
    b->reg.index = (int)m->buffers.len;
    b->kind = kind;
    b->elems = elems;
    b->offset = offset;
    b->count = -1;
    if (kind == BUF_INPUT || kind == BUF_OUTPUT) {
        b->onnx_name = b->reg.name;
        b->shape = shape_of(1, &elems);
    }
    vec_push(&m->arena, &m->buffers, b);
    map_put(&m->arena, &m->buffer_names, b->reg.name, b);
    return b;
}

Kernel *kernel_new(Module *m, const char *name) {
    Kernel *k = kernel_of(m, name, KERNEL_PLAIN);
    k->arena = &k->own;
    k->older = m->newest;
    m->newest = k;
    return k;
}

Kernel *step_new(Module *m, const char *name, const char *origin) {
    Kernel *k = kernel_of(m, name, KERNEL_STEP);
    k->origin = origin && *origin ? arena_strdup(&m->arena, origin) : NULL;
    return k;
}

/* Kernels and steps share their names. */
static void take_name(Module *m, Kernel *k) {
    Kernel *other = map_get(&m->kernel_names, k->name);
    if (other)
        k->name = number_name(&m->arena, &m->kernel_names, k->name, &other->copies);
    map_put(&m->arena, &m->kernel_names, k->name, k);
}

Kernel *module_add_kernel(Module *m, Kernel *k) {
    ensure(k->kind == KERNEL_PLAIN);
    take_name(m, k);
    vec_push(&m->arena, &m->kernels, k);
    return k;
}

void module_add_step(Module *m, Kernel *step) {
    ensure(step->kind == KERNEL_STEP);
    take_name(m, step);
    vec_push(&m->arena, &m->steps, step);
}

Kernel *module_kernel(Module *m, const char *name) {
    return module_add_kernel(m, kernel_new(m, name));
}

Kernel *module_find_kernel(const Module *m, const char *name) {
    return map_get(&m->kernel_names, name);
}

static void print_nameless(Buf *b, Kernel *k) {
    const char *name = k->name;
    k->name = "";
    kernel_print(b, k);
    k->name = name;
}

/* Whether k's text still is what it was when it was shared: passes change kernels. */
static bool is_text_of(Kernel *k, const char *text) {
    Buf now = {0};
    print_nameless(&now, k);
    bool same = strcmp(buf_str(&now), text) == 0;
    buf_free(&now);
    return same;
}

/* Ends the use of k, which another kernel serves instead. */
static void drop_kernel(Kernel *k) {
    arena_free(&k->own);
    k->params.len = k->regs.len = 0;
    k->body = (Block){0};
    k->names = (Map){0};
}

Kernel *module_share_kernel(Module *m, Kernel *k) {
    if (k->shared_as)
        return k->shared_as;
    Buf text = {0};
    print_nameless(&text, k);
    Kernel *twin = map_get(&m->shared, buf_str(&text));
    if (twin && is_text_of(twin, buf_str(&text))) {
        drop_kernel(k);
    } else {
        twin = module_add_kernel(m, k);
        map_put(&m->arena, &m->shared, arena_strdup(&m->arena, buf_str(&text)), k);
    }
    k->shared_as = twin;
    buf_free(&text);
    return twin;
}

/* ---- registers ------------------------------------------------------------------------------ */

static Reg *new_reg(Kernel *k, const char *name, RegKind kind, LType t) {
    Arena *a = k->arena;
    Reg *r = ARENA_NEW(a, Reg), *other = map_get(&k->names, name);
    r->name = other ? number_name(a, &k->names, name, &other->copies) : arena_strdup(a, name);
    r->kind = kind;
    r->type = t;
    r->index = (int)k->regs.len;
    vec_push(a, &k->regs, r);
    map_put(a, &k->names, r->name, r);
    return r;
}

static Reg *new_param(Kernel *k, const char *name, RegKind kind, LType t) {
    ensure(k->params.len == k->regs.len && !k->body.first);
    Reg *r = new_reg(k, name, kind, t);
    vec_push(k->arena, &k->params, r);
    return r;
}

Reg *kernel_param_ptr(Kernel *k, const char *name, DType dt) {
    return new_param(k, name, REG_POINTER, ltype(dt, 1));
}

Reg *kernel_param_i64(Kernel *k, const char *name) {
    return new_param(k, name, REG_VALUE, ltype(DT_i64, 1));
}

Reg *kernel_reg(Kernel *k, const char *name, LType t) {
    return new_reg(k, name, REG_VALUE, t);
}

Reg *kernel_ptr(Kernel *k, const char *name, DType dt) {
    return new_reg(k, name, REG_POINTER, ltype(dt, 1));
}

/* ---- addresses ------------------------------------------------------------------------------ */

Bound bound_const(int64_t v) {
    return (Bound){NULL, v};
}

Bound bound_reg(Reg *r) {
    return (Bound){r, 0};
}

Addr addr_of(Reg *base, int64_t offset) {
    return (Addr){.base = base, .offset = offset};
}

static bool add_signed(int64_t a, int64_t b, int64_t *out) {
    if (b > 0 ? a > INT64_MAX - b : a < INT64_MIN - b)
        return false;
    *out = a + b;
    return true;
}

static void drop_term(Addr *a, int i) {
    a->nterms--;
    memmove(&a->terms[i], &a->terms[i + 1], (size_t)(a->nterms - i) * sizeof a->terms[0]);
    a->terms[a->nterms] = (Term){0};
}

bool addr_try_plus(Addr *a, Reg *reg, int64_t factor) {
    int i = 0;
    while (i < a->nterms && a->terms[i].reg != reg)
        i++;
    if (factor == 0)
        return true;
    if (i == MAX_TERMS)
        return false;
    int64_t sum = factor;
    if (i < a->nterms && !add_signed(a->terms[i].factor, factor, &sum))
        return false;
    a->nterms += i == a->nterms;
    a->terms[i] = (Term){reg, sum};
    if (sum == 0)
        drop_term(a, i);
    return true;
}

Addr addr_plus(Addr a, Reg *reg, int64_t factor) {
    ensure(addr_try_plus(&a, reg, factor));
    return a;
}

Addr addr_offset(Addr a, int64_t offset) {
    ensure(add_signed(a.offset, offset, &a.offset));
    return a;
}

Arg arg_addr(Addr a) {
    return (Arg){.addr = a};
}

Arg arg_i64(int64_t v) {
    return (Arg){.integer = bound_const(v)};
}

Arg arg_bound(Bound b) {
    return (Arg){.integer = b};
}
