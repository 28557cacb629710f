/* emit_selftest.c: NAME_selftest: generated code that checks itself.
 *
 * It makes up inputs by integer arithmetic, runs the model, and compares a hash of each output with
 * the one that the loop interpreter's had at compilation. Results are defined to the bit, so a hash
 * does: what differs is a compiler, a machine or weights that don't do what they should. NaN is one
 * value here, since its sign and payload are not defined. */
#include "codegen/c_printer.h"

#include <string.h>

/* ---- inputs ---------------------------------------------------------------------------------- */

/* random_next as a function of the generated code. */
static void put_random(Buf *b, const char *name) {
    buf_printf(b,
               "/* splitmix64 (Steele, Lea, Flood 2014). */\n"
               "static uint64_t %s_random(uint64_t *state) {\n"
               "    uint64_t z = *state += 0x9e3779b97f4a7c15u;\n"
               "    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;\n"
               "    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;\n"
               "    return z ^ (z >> 31);\n"
               "}\n\n",
               name);
}

/* What element an input gets from random bits r, as a number that is exact in its type: floats of
 * [-1, 1), integers of 0 to 7. f16 and bf16: bits of numbers whose magnitude is in [2^-8, 1). */
static double float_of(uint64_t r) {
    return (double)((int64_t)(r >> 40) - (1 << 23)) / (1 << 23);
}

bool selftest_half(DType dt, SelftestHalf *out) {
    *out = dt == DT_f16 ? (SelftestHalf){0x83ff, 7, 10} : (SelftestHalf){0x807f, 119, 7};
    return dtype_set(dt) == TYPES_H;
}

static uint64_t half_bits(DType dt, uint64_t r) {
    SelftestHalf half;
    ensure(selftest_half(dt, &half));
    return (r >> 48 & half.mask) | (half.least + (r & 7)) << half.shift;
}

static const char *element_text(Arena *a, DType dt) {
    SelftestHalf half;
    if (selftest_half(dt, &half))
        return arena_printf(a, "(uint16_t)((r >> 48 & 0x%xu) | (%u + (r & 7)) << %u)", half.mask,
                            half.least, half.shift);
    switch (dt) {
    case DT_f32:
        return "(float)((int32_t)(r >> 40) - 8388608) / 8388608.0f";
    case DT_f64:
        return "(double)((int32_t)(r >> 40) - 8388608) / 8388608.0";
    case DT_bool:
        return "(uint8_t)(r >> 63)";
    default:
        return arena_printf(a, "(%s)(r >> 61)", dtype_c_name(dt));
    }
}

void selftest_input(Tensor *t, uint64_t *state) {
    for (int64_t i = 0; i < shape_elems(&t->shape); i++) {
        uint64_t r = random_next(state);
        if (t->dtype == DT_f16 || t->dtype == DT_bf16)
            tensor_set_bits(t, i, half_bits(t->dtype, r));
        else if (dtype_is_float(t->dtype))
            tensor_set_f64(t, i, float_of(r));
        else
            tensor_set_i64(t, i, (int64_t)(r >> (t->dtype == DT_bool ? 63 : 61)));
    }
}

/* ---- hashes ---------------------------------------------------------------------------------- */

uint64_t selftest_nan(DType dt) {
    return dt == DT_f16    ? 0x7e00
           : dt == DT_bf16 ? 0x7fc0
           : dt == DT_f32  ? 0x7fc00000
                           : 0x7ff8000000000000;
}

static uint64_t bits_mask(DType dt) {
    return dtype_bytes(dt) == 8 ? UINT64_MAX : ((uint64_t)1 << 8 * dtype_bytes(dt)) - 1;
}

uint64_t selftest_hash(const Tensor *t) {
    uint64_t hash = FNV_START;
    for (int64_t i = 0; i < shape_elems(&t->shape); i++) {
        bool nan = dtype_is_float(t->dtype) && tensor_f64(t, i) != tensor_f64(t, i);
        uint64_t bits = nan ? selftest_nan(t->dtype) : tensor_bits(t, i) & bits_mask(t->dtype);
        hash = (hash ^ bits) * FNV_PRIME;
    }
    return hash;
}

/* The bits of an element of a type, NaN as selftest_nan has it, as a function of the generated
 * code. */
static void put_bits(Buf *b, const char *name, DType dt) {
    const char *type = dtype_c_name(dt), *suffix = dtype_name(dt);
    buf_printf(b, "static uint64_t %s_bits_%s(%s x) {\n", name, suffix, type);
    if (dt == DT_f32 || dt == DT_f64)
        buf_printf(b,
                   "    union {\n        %s x;\n        uint%d_t bits;\n    } u;\n"
                   "    u.x = x;\n    return x != x ? 0x%llxu : u.bits;\n",
                   type, 8 * dtype_bytes(dt), (unsigned long long)selftest_nan(dt));
    else if (dtype_is_float(dt))
        buf_printf(b, "    return (x & 0x7fffu) > 0x%xu ? 0x%llxu : x;\n",
                   dt == DT_f16 ? 0x7c00u : 0x7f80u, (unsigned long long)selftest_nan(dt));
    else
        buf_printf(b, "    return (uint64_t)x & 0x%llxu;\n", (unsigned long long)bits_mask(dt));
    buf_puts(b, "}\n\n");
}

/* ---- memory ---------------------------------------------------------------------------------- */

int64_t selftest_offset(const CParams *params, size_t i) {
    int64_t at = 0;
    for (size_t k = 0; k < i; k++)
        if (params->data[k].buffer) {
            const Buffer *b = params->data[k].buffer;
            at += round_up(b->elems * dtype_bytes(b->reg.type.dtype), SELFTEST_ALIGN);
        }
    return at;
}

int64_t c_selftest_bytes(const Module *m, const CParams *params) {
    return m->arena_bytes + selftest_offset(params, params->len);
}

/* ---- the function ---------------------------------------------------------------------------- */

static bool has_inputs(const CPrinter *p) {
    for (size_t i = 0; i < p->params.len; i++) {
        const Buffer *b = p->params.data[i].buffer;
        if (b && b->kind == BUF_INPUT && b->elems > 0)
            return true;
    }
    return false;
}

static void put_helpers(CPrinter *p, Buf *b) {
    const char *name = p->info->name;
    bool seen[DT_COUNT] = {false};
    buf_putc(b, '\n');
    if (has_inputs(p))
        put_random(b, name);
    for (size_t i = 0; i < p->params.len; i++) {
        const Buffer *buf = p->params.data[i].buffer;
        if (!buf || buf->kind != BUF_OUTPUT || !buf->elems || seen[buf->reg.type.dtype])
            continue;
        seen[buf->reg.type.dtype] = true;
        put_bits(b, name, buf->reg.type.dtype);
    }
}

static void put_memory(CPrinter *p, Buf *b) {
    for (size_t i = 0; i < p->params.len; i++) {
        const Buffer *buf = p->params.data[i].buffer;
        if (!buf)
            continue;
        const char *type = dtype_c_name(buf->reg.type.dtype);
        buf_printf(b, "    %s *p%zu = (%s *)(void *)(memory + %lld);\n", type, i, type,
                   (long long)(p->m->arena_bytes + selftest_offset(&p->params, i)));
    }
}

static void put_inputs(CPrinter *p, Buf *b) {
    for (size_t i = 0; i < p->params.len; i++) {
        const Buffer *buf = p->params.data[i].buffer;
        if (!buf || buf->kind != BUF_INPUT || buf->elems == 0)
            continue;
        buf_printf(b,
                   "    for (size_t i = 0; i < %lld; i++) {\n"
                   "        uint64_t r = %s_random(&state);\n"
                   "        p%zu[i] = %s;\n    }\n",
                   (long long)buf->elems, p->info->name, i,
                   element_text(&p->arena, buf->reg.type.dtype));
    }
}

static void put_call(CPrinter *p, Buf *b) {
    CItems args = {0};
    for (size_t i = 0; i < p->params.len; i++)
        vec_push(&p->arena, &args,
                 p->params.data[i].buffer ? arena_printf(&p->arena, "p%zu", i)
                 : i == 0                 ? "weights"
                                          : "arena");
    c_put_list(b, 8, arena_printf(&p->arena, "    if (%s_run(", p->info->name), &args,
               ") != 0)\n        return -1;\n");
}

/* The product of some of a shape's dims. */
static int64_t dims_between(const Shape *s, int first, int end) {
    int64_t n = 1;
    for (int i = first; i < end; i++)
        n *= s->dim[i];
    return n;
}

SelftestRows selftest_rows(const CParams *params, const Buffer *output) {
    const Shape *s = &output->shape;
    int axis = output->count_axis;
    if (output->count < 0)
        return (SelftestRows){1, output->elems, output->elems, NULL};
    int64_t inner = dims_between(s, axis + 1, s->rank);
    return (SelftestRows){dims_between(s, 0, axis), inner, s->dim[axis] * inner,
                          c_count_param(params, output)};
}

/* The loops over the elements that are there of an output. */
static void put_hash(CPrinter *p, Buf *b, size_t i, int output) {
    const Buffer *buf = p->params.data[i].buffer;
    const char *name = p->info->name, *type = dtype_name(buf->reg.type.dtype);
    buf_printf(b, "    uint64_t hash%d = 0x%llxu; /* FNV-1a over the elements */\n", output,
               (unsigned long long)FNV_START);
    SelftestRows rows = selftest_rows(&p->params, buf);
    if (buf->elems > 0 && !rows.count) {
        buf_printf(b, "    for (size_t i = 0; i < %lld; i++)\n", (long long)rows.length);
        buf_printf(b, "        hash%d = (hash%d ^ %s_bits_%s(p%zu[i])) * 0x%llxu;\n", output,
                   output, name, type, i, (unsigned long long)FNV_PRIME);
    } else if (buf->elems > 0) {
        buf_printf(b, "    for (size_t o = 0; o < %lld; o++)\n", (long long)rows.rows);
        buf_printf(b, "        for (size_t i = 0; i < (size_t)p%zu[0] * %lld; i++)\n",
                   (size_t)(rows.count - p->params.data), (long long)rows.length);
        buf_printf(b, "            hash%d = (hash%d ^ %s_bits_%s(p%zu[o * %lld + i])) * 0x%llxu;\n",
                   output, output, name, type, i, (long long)rows.stride,
                   (unsigned long long)FNV_PRIME);
    }
    buf_printf(b, "    if (hash%d != 0x%llxu)\n        return %d;\n", output,
               (unsigned long long)p->info->selftest[output], output + 1);
}

void c_put_selftest(CPrinter *p, Buf *b) {
    const char *name = p->info->name;
    if (!p->info->selftest)
        return;
    put_helpers(p, b);
    buf_printf(b, "int %s_selftest(const void *weights, void *arena) {\n", name);
    buf_printf(b,
               "    if (!arena || (uintptr_t)arena %% %d != 0)\n        return -1;\n"
               "    unsigned char *memory = (unsigned char *)arena;\n",
               SELFTEST_ALIGN);
    put_memory(p, b);
    if (has_inputs(p))
        buf_printf(b, "    uint64_t state = %d;\n", SELFTEST_SEED);
    put_inputs(p, b);
    put_call(p, b);
    int output = 0;
    for (size_t i = 0; i < p->params.len; i++)
        if (p->params.data[i].buffer && p->params.data[i].buffer->kind == BUF_OUTPUT)
            put_hash(p, b, i, output++);
    buf_puts(b, "    return 0;\n}\n");
}

void c_put_selftest_header(Buf *b, const Module *m, const CParams *params, const EmitInfo *info) {
    Arena a = {0};
    const char *name = info->name, *up = c_upper(&a, name);
    if (info->selftest)
        buf_printf(
            b,
            "\n/* Runs the model on inputs that it makes up, and compares hashes of the outputs\n"
            " * with those at compilation. `arena` has %s_SELFTEST_BYTES bytes, 64-byte\n"
            " * aligned. 0: all is as it should be; N: the N-th output is not; -1: %s_run\n"
            " * refuses the arguments. */\n"
            "#define %s_SELFTEST_BYTES %lld\n"
            "int %s_selftest(const void *weights, void *arena);\n",
            up, name, up, (long long)c_selftest_bytes(m, params), name);
    arena_free(&a);
}
