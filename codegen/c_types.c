/* c_types.c: the C types of registers.
 *
 * Scalars have the types of ir/dtypes.def, except that sizes, strides and indices, which are i64,
 * are ptrdiff_t: 32-bit machines are spared arithmetic in pairs of registers (c_find_wide). Vectors
 * use the vector extension of GCC and Clang under names such as v8f32. */
#include "codegen/c_printer.h"

int64_t ltype_bytes(LType t) {
    return (int64_t)t.lanes * dtype_bytes(t.dtype);
}

static unsigned lanes_bit(int lanes) {
    unsigned bit = 0;
    while ((1 << bit) < lanes)
        bit++;
    ensure(1 << bit == lanes);
    return 1u << bit;
}

const char *c_type_suffix(Arena *a, LType t) {
    if (t.lanes == 1)
        return dtype_name(t.dtype);
    return arena_printf(a, "v%d%s", t.lanes, dtype_name(t.dtype));
}

const char *c_type(Arena *a, CTypes *used, LType t) {
    if (t.lanes == 1)
        return dtype_c_name(t.dtype);
    used->aligned[t.dtype] |= lanes_bit(t.lanes);
    return c_type_suffix(a, t);
}

const char *c_reg_type(Arena *a, CTypes *used, LType t, bool wide) {
    return ltype_equal(t, ltype(DT_i64, 1)) && !wide ? "ptrdiff_t" : c_type(a, used, t);
}

const char *c_type_unaligned(Arena *a, CTypes *used, LType t) {
    used->unaligned[t.dtype] |= lanes_bit(t.lanes);
    return arena_printf(a, "%s_u", c_type_suffix(a, t));
}

static DType unsigned_of(DType t) {
    switch (dtype_bytes(t)) {
    case 1:
        return DT_u8;
    case 2:
        return DT_u16;
    case 4:
        return DT_u32;
    default:
        return DT_u64;
    }
}

const char *c_type_wrap(Arena *a, CTypes *used, LType t) {
    if (t.lanes > 1)
        return c_type(a, used, (LType){unsigned_of(t.dtype), t.lanes});
    return dtype_bytes(t.dtype) == 8 ? "uint64_t" : "uint32_t";
}

void c_put_typedefs(Buf *b, const CTypes *used) {
    for (int dt = 0; dt < DT_COUNT; dt++) {
        const char *name = dtype_name((DType)dt), *c = dtype_c_name((DType)dt);
        int bytes = dtype_bytes((DType)dt);
        for (int log = 0; 1 << log <= MAX_LANES; log++) {
            int lanes = 1 << log;
            if (used->aligned[dt] >> log & 1)
                buf_printf(b, "typedef %s v%d%s __attribute__((vector_size(%d)));\n", c, lanes,
                           name, lanes * bytes);
            if (used->unaligned[dt] >> log & 1)
                buf_printf(b,
                           "typedef %s v%d%s_u "
                           "__attribute__((vector_size(%d), aligned(%d), may_alias));\n",
                           c, lanes, name, lanes * bytes, bytes);
        }
    }
}
