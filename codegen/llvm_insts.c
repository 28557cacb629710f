/* llvm_insts.c: instructions that give a value, by the rows of llvm_insts.def.
 *
 * The values are those of the C that is printed, to the bit: what c_prelude.def says in C is said
 * here again. LLVM contracts nothing without a flag that says so, and there is none. */
#include "codegen/llvm_builder.h"

/* What a row works on. */
typedef struct Operands {
    const Inst *in;
    LType to, from; /* of the result and of operand 0 */
    LLVMValueRef *v;
    size_t n;
} Operands;

/* ---- words of the table ---------------------------------------------------------------------- */

/* What a comparison gives. */
static LLVMValueRef widened(LBuilder *x, LLVMValueRef one, LType to) {
    LLVMTypeRef type = llvm_type(x, to);
    return to.lanes == 1 ? LLVMBuildZExt(x->b, one, type, "") : LLVMBuildSExt(x->b, one, type, "");
}

static LLVMValueRef compare_floats(LBuilder *x, const Operands *o, LLVMRealPredicate p) {
    return widened(x, LLVMBuildFCmp(x->b, p, o->v[0], o->v[1], ""), o->to);
}

static LLVMValueRef compare_integers(LBuilder *x, const Operands *o, LLVMIntPredicate p) {
    return widened(x, LLVMBuildICmp(x->b, p, o->v[0], o->v[1], ""), o->to);
}

static LLVMValueRef intrinsic(LBuilder *x, const Operands *o, const char *name) {
    LLVMTypeRef type = llvm_type(x, o->to);
    return llvm_intrinsic(x, name, &type, 1, o->v, o->n);
}

static LLVMValueRef immediate(LBuilder *x, const Operands *o) {
    return llvm_const_int(x, o->to, o->in->u.i);
}

/* ---- constants, lanes ------------------------------------------------------------------------ */

static LLVMValueRef llvm_op_const(LBuilder *x, const Operands *o) {
    return dtype_is_float(o->to.dtype) ? llvm_const_float(x, o->to, o->in->u.f)
                                       : llvm_const_int(x, o->to, o->in->u.i);
}

/* Lane 0 of a vector, the rest undefined, and back: how x86 has scalars. */
static LLVMValueRef as_vector(LBuilder *x, LType t, LLVMValueRef value) {
    LLVMValueRef none = LLVMGetPoison(llvm_type(x, t));
    return LLVMBuildInsertElement(x->b, none, value, llvm_i32(x, 0), "");
}

static LLVMValueRef first_lane(LBuilder *x, LLVMValueRef vector) {
    return LLVMBuildExtractElement(x->b, vector, llvm_i32(x, 0), "");
}

LLVMValueRef llvm_splat(LBuilder *x, LType t, LLVMValueRef value) {
    if (t.lanes == 1)
        return value;
    LLVMValueRef none = LLVMGetPoison(llvm_type(x, t));
    LLVMValueRef all_zero = llvm_const_int(x, ltype(DT_i32, t.lanes), 0);
    return LLVMBuildShuffleVector(x->b, as_vector(x, t, value), none, all_zero, "");
}

static LLVMValueRef llvm_op_splat(LBuilder *x, const Operands *o) {
    return llvm_splat(x, o->to, o->v[0]);
}

static LLVMValueRef llvm_op_bitcast(LBuilder *x, const Operands *o) {
    return LLVMBuildBitCast(x->b, o->v[0], llvm_type(x, o->to), "");
}

/* ---- choice ---------------------------------------------------------------------------------- */

LLVMValueRef llvm_condition(LBuilder *x, LLVMValueRef value) {
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(value));
    return LLVMBuildICmp(x->b, LLVMIntNE, value, zero, "");
}

/* Lanes of masks are 0 or -1. */
static LLVMValueRef llvm_op_select(LBuilder *x, const Operands *o) {
    return LLVMBuildSelect(x->b, llvm_condition(x, o->v[0]), o->v[1], o->v[2], "");
}

/* "llvm.x86.avx512.min.ps.512": the instruction flushes its operands, which a comparison and a
 * selection would not do. */
static LLVMValueRef x86_choice(LBuilder *x, const Operands *o, const char *name) {
    static const char *const sets[] = {"sse", "avx", "avx512"};
    bool wide = o->to.dtype == DT_f64, scalar = o->to.lanes == 1;
    LType t = ltype(o->to.dtype, scalar ? 16 / dtype_bytes(o->to.dtype) : o->to.lanes);
    int bits = 8 * (int)ltype_bytes(t), set = bits / 256;
    LLVMValueRef v[3] = {o->v[0], o->v[1], llvm_i32(x, 4)};
    Arena *a = &x->arena;
    const char *f = arena_printf(a, "llvm.x86.%s%s.%s.%c%c", sets[set], !set && wide ? "2" : "",
                                 name, scalar ? 's' : 'p', wide ? 'd' : 's');
    if (scalar)
        for (int i = 0; i < 2; i++)
            v[i] = as_vector(x, t, v[i]);
    if (set)
        f = arena_printf(a, "%s.%d", f, bits);
    LLVMValueRef r = llvm_intrinsic(x, f, NULL, 0, v, set == 2 ? 3 : 2);
    return scalar ? first_lane(x, r) : r;
}

static LLVMValueRef choose(LBuilder *x, const Operands *o, const char *name, LLVMRealPredicate p) {
    if (x->target->flush_to_zero)
        return x86_choice(x, o, name);
    LLVMValueRef first = LLVMBuildFCmp(x->b, p, o->v[0], o->v[1], "");
    return LLVMBuildSelect(x->b, first, o->v[0], o->v[1], "");
}

static LLVMValueRef llvm_op_min(LBuilder *x, const Operands *o) {
    return choose(x, o, "min", LLVMRealOLT);
}

static LLVMValueRef llvm_op_max(LBuilder *x, const Operands *o) {
    return choose(x, o, "max", LLVMRealOGT);
}

/* ---- powers of 2: AVX-512 -------------------------------------------------------------------- */

/* An instruction with a mask, here of all lanes: its operands, what lanes without the mask would
 * have, the mask, and, at 512 bits and for scalars, the rounding mode in force. */
static LLVMValueRef x86_masked(LBuilder *x, const Operands *o, const char *name) {
    bool scalar = o->to.lanes == 1;
    LType t = ltype(o->to.dtype, scalar ? 16 / dtype_bytes(o->to.dtype) : o->to.lanes);
    int bits = 8 * (int)ltype_bytes(t);
    LLVMValueRef v[6];
    size_t n = 0;
    for (size_t i = 0; i < o->n; i++)
        v[n++] = scalar ? as_vector(x, t, o->v[i]) : o->v[i];
    v[n++] = LLVMGetUndef(llvm_type(x, t));
    v[n++] = LLVMConstAllOnes(llvm_int(x, t.lanes == 16 ? 16 : 8));
    if (scalar || bits == 512)
        v[n++] = llvm_i32(x, 4);
    const char *f = arena_printf(&x->arena, "llvm.x86.avx512.mask.%s.%c%c", name,
                                 scalar ? 's' : 'p', o->to.dtype == DT_f64 ? 'd' : 's');
    if (!scalar)
        f = arena_printf(&x->arena, "%s.%d", f, bits);
    LLVMValueRef r = llvm_intrinsic(x, f, NULL, 0, v, n);
    return scalar ? first_lane(x, r) : r;
}

static LLVMValueRef llvm_op_scale2(LBuilder *x, const Operands *o) {
    return x86_masked(x, o, "scalef");
}

/* Entries first .. first + n - 1 of exp2_powers. */
static void powers(LBuilder *x, DType t, int first, int n, LLVMValueRef *out) {
    for (int j = 0; j < n; j++)
        out[j] = llvm_const_float(x, ltype(t, 1), exp2_powers[first + j]);
}

/* Of a lane, whose bits are `bits`: from the table in memory. */
static LLVMValueRef one_power(LBuilder *x, DType t, LLVMValueRef bits) {
    enum { ALL = sizeof exp2_powers / sizeof *exp2_powers };
    const char *name = t == DT_f32 ? "exp2_powers_f32" : "exp2_powers_f64";
    LLVMTypeRef element = llvm_type(x, ltype(t, 1)), array = LLVMArrayType(element, ALL);
    LLVMValueRef table = LLVMGetNamedGlobal(x->module, name), all[ALL];
    if (!table) {
        powers(x, t, 0, ALL, all);
        table = LLVMAddGlobal(x->module, array, name);
        LLVMSetInitializer(table, LLVMConstArray(element, all, ALL));
        LLVMSetGlobalConstant(table, true);
        LLVMSetLinkage(table, LLVMPrivateLinkage);
    }
    LLVMValueRef mask = LLVMConstInt(LLVMTypeOf(bits), ALL - 1, false);
    LLVMValueRef at[] = {llvm_i32(x, 0), LLVMBuildAnd(x->b, bits, mask, "")};
    LLVMValueRef p = LLVMBuildInBoundsGEP2(x->b, array, table, at, 2, "");
    return LLVMBuildLoad2(x->b, element, p, "");
}

static LLVMValueRef llvm_op_exp2_low5(LBuilder *x, const Operands *o) {
    LType t = o->to, integer = ltype(t.dtype == DT_f32 ? DT_i32 : DT_i64, t.lanes);
    LLVMValueRef bits = LLVMBuildBitCast(x->b, o->v[0], llvm_type(x, integer), "");
    if (t.lanes == 1)
        return one_power(x, t.dtype, bits);
    if (t.dtype == DT_f32 && t.lanes == 16) {
        LLVMValueRef half[16], v[] = {NULL, bits, NULL};
        for (int i = 0; i < 2; i++) {
            powers(x, DT_f32, 16 * i, 16, half);
            v[2 * i] = LLVMConstVector(half, 16);
        }
        return llvm_intrinsic(x, "llvm.x86.avx512.vpermi2var.ps.512", NULL, 0, v, 3);
    }
    LLVMValueRef r = LLVMGetPoison(llvm_type(x, t));
    for (int i = 0; i < t.lanes; i++) {
        LLVMValueRef lane = llvm_i32(x, (uint32_t)i);
        LLVMValueRef power = one_power(x, t.dtype, LLVMBuildExtractElement(x->b, bits, lane, ""));
        r = LLVMBuildInsertElement(x->b, r, power, lane, "");
    }
    return r;
}

/* ---- halves ---------------------------------------------------------------------------------- */

/* Lane i is lane (i + turn) % lanes of a, or of b from the middle on. */
static LLVMValueRef shuffle_halves(LBuilder *x, LType t, LLVMValueRef a, LLVMValueRef b, int turn) {
    LLVMValueRef from[MAX_LANES];
    for (int i = 0; i < t.lanes; i++) {
        int lane = (i + turn) % t.lanes;
        from[i] = llvm_i32(x, (uint32_t)(i < t.lanes / 2 ? lane : lane + t.lanes));
    }
    return LLVMBuildShuffleVector(x->b, a, b, LLVMConstVector(from, (unsigned)t.lanes), "");
}

static LLVMValueRef llvm_op_halves(LBuilder *x, const Operands *o) {
    return o->to.lanes == 1 ? o->v[1] : shuffle_halves(x, o->to, o->v[0], o->v[1], 0);
}

static LLVMValueRef llvm_op_swap(LBuilder *x, const Operands *o) {
    return o->to.lanes == 1 ? o->v[0] : shuffle_halves(x, o->to, o->v[0], o->v[0], o->to.lanes / 2);
}

/* ---- conversions ----------------------------------------------------------------------------- */

static bool is_half(DType t) {
    return dtype_set(t) == TYPES_H;
}

/* clang-format off */
#define AND(v, bits)    LLVMBuildAnd(x->b, v, llvm_i32(x, bits), "")
#define OR(v, w)        LLVMBuildOr(x->b, v, w, "")
#define ADD(v, bits)    LLVMBuildAdd(x->b, v, llvm_i32(x, bits), "")
#define SHL(v, n)       LLVMBuildShl(x->b, v, llvm_i32(x, n), "")
#define SHR(v, n)       LLVMBuildLShr(x->b, v, llvm_i32(x, n), "")
#define LESS(v, bits)   LLVMBuildICmp(x->b, LLVMIntULT, v, llvm_i32(x, bits), "")
#define CHOOSE(c, v, w) LLVMBuildSelect(x->b, c, v, w, "")
/* clang-format on */

static LLVMValueRef as_float(LBuilder *x, LLVMValueRef bits) {
    return LLVMBuildBitCast(x->b, bits, llvm_type(x, ltype(DT_f32, 1)), "");
}

static LLVMValueRef as_bits(LBuilder *x, LLVMValueRef value) {
    return LLVMBuildBitCast(x->b, value, llvm_int(x, 32), "");
}

/* As c_prelude.def has it. The least exponent is that of mantissa / 2^24; the greatest, of
 * infinities and NaN, goes from 31 to 255, the others have their bias changed by 112. */
static LLVMValueRef float_of_f16(LBuilder *x, LLVMValueRef half) {
    LLVMValueRef h = LLVMBuildZExt(x->b, half, llvm_int(x, 32), "");
    LLVMValueRef rest = AND(h, 0x7fff), mantissa = AND(h, 0x3ff);
    LLVMValueRef least =
        LLVMBuildFMul(x->b, LLVMBuildUIToFP(x->b, mantissa, llvm_type(x, ltype(DT_f32, 1)), ""),
                      llvm_const_float(x, ltype(DT_f32, 1), 0x1p-24), "");
    LLVMValueRef bias =
        CHOOSE(LESS(rest, 0x7c00), llvm_i32(x, 112u << 23), llvm_i32(x, 224u << 23));
    LLVMValueRef normal = LLVMBuildAdd(x->b, SHL(rest, 13), bias, "");
    LLVMValueRef bits = CHOOSE(LESS(rest, 0x400), as_bits(x, least), normal);
    return as_float(x, OR(bits, SHL(AND(h, 0x8000), 16)));
}

/* To nearest even, as c_prelude.def has it. */
static LLVMValueRef f16_of_float(LBuilder *x, LLVMValueRef value) {
    LLVMValueRef u = as_bits(x, value), sign = AND(SHR(u, 16), 0x8000), rest = AND(u, 0x7fffffff);
    LLVMValueRef half = llvm_const_float(x, ltype(DT_f32, 1), 0.5);
    LLVMValueRef small =
        ADD(as_bits(x, LLVMBuildFAdd(x->b, as_float(x, rest), half, "")), 0u - 0x3f000000u);
    LLVMValueRef even = ADD(AND(SHR(rest, 13), 1), 0xfffu - 0x38000000u);
    LLVMValueRef normal = SHR(LLVMBuildAdd(x->b, rest, even, ""), 13);
    LLVMValueRef r = CHOOSE(LESS(rest, 0x38800000), small, normal);
    r = CHOOSE(LESS(rest, 0x477ff000), r, llvm_i32(x, 0x7c00));
    r = CHOOSE(LESS(rest, 0x7f800001), r, llvm_i32(x, 0x7e00));
    return LLVMBuildTrunc(x->b, OR(r, sign), llvm_int(x, 16), "");
}

static LLVMValueRef float_of_bf16(LBuilder *x, LLVMValueRef half) {
    return as_float(x, SHL(LLVMBuildZExt(x->b, half, llvm_int(x, 32), ""), 16));
}

static LLVMValueRef bf16_of_float(LBuilder *x, LLVMValueRef value) {
    LLVMValueRef u = as_bits(x, value), odd = AND(SHR(u, 16), 1);
    LLVMValueRef rounded = SHR(LLVMBuildAdd(x->b, ADD(u, 0x7fff), odd, ""), 16);
    LLVMValueRef nan = OR(SHR(u, 16), llvm_i32(x, 0x40));
    LLVMValueRef r = CHOOSE(LESS(AND(u, 0x7fffffff), 0x7f800001), rounded, nan);
    return LLVMBuildTrunc(x->b, r, llvm_int(x, 16), "");
}

/* f16 in vectors is AVX-512's instruction. */
static LLVMValueRef convert_half(LBuilder *x, const Operands *o) {
    LLVMValueRef v = o->v[0];
    if (o->to.lanes == 1 && o->to.dtype == DT_f32)
        return o->from.dtype == DT_f16 ? float_of_f16(x, v) : float_of_bf16(x, v);
    if (o->to.lanes == 1)
        return o->to.dtype == DT_f16 ? f16_of_float(x, v) : bf16_of_float(x, v);
    LLVMTypeRef halves = LLVMVectorType(LLVMHalfTypeInContext(x->context), (unsigned)o->to.lanes);
    if (o->to.dtype == DT_f32)
        return LLVMBuildFPExt(x->b, LLVMBuildBitCast(x->b, v, halves, ""), llvm_type(x, o->to), "");
    return LLVMBuildBitCast(x->b, LLVMBuildFPTrunc(x->b, v, halves, ""), llvm_type(x, o->to), "");
}

/* NaN is true. */
static LLVMValueRef convert_to_bool(LBuilder *x, const Operands *o) {
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(o->v[0]));
    LLVMValueRef is = dtype_is_float(o->from.dtype)
                          ? LLVMBuildFCmp(x->b, LLVMRealUNE, o->v[0], zero, "")
                          : LLVMBuildICmp(x->b, LLVMIntNE, o->v[0], zero, "");
    return LLVMBuildZExt(x->b, is, llvm_type(x, o->to), "");
}

static LLVMValueRef convert_float(LBuilder *x, const Operands *o) {
    LLVMTypeRef types[] = {llvm_type(x, o->to), llvm_type(x, o->from)};
    const char *name = dtype_is_signed_int(o->to.dtype) ? "llvm.fptosi.sat" : "llvm.fptoui.sat";
    if (!dtype_is_float(o->to.dtype)) /* to the nearest there is, NaN to 0 */
        return llvm_intrinsic(x, name, types, 2, o->v, 1);
    return o->to.dtype == DT_f64 ? LLVMBuildFPExt(x->b, o->v[0], types[0], "")
                                 : LLVMBuildFPTrunc(x->b, o->v[0], types[0], "");
}

static LLVMValueRef convert_integer(LBuilder *x, const Operands *o) {
    LLVMTypeRef to = llvm_type(x, o->to);
    bool is_signed = dtype_is_signed_int(o->from.dtype);
    if (dtype_is_float(o->to.dtype))
        return is_signed ? LLVMBuildSIToFP(x->b, o->v[0], to, "")
                         : LLVMBuildUIToFP(x->b, o->v[0], to, "");
    return LLVMBuildIntCast2(x->b, o->v[0], to, is_signed, "");
}

static LLVMValueRef llvm_op_convert(LBuilder *x, const Operands *o) {
    if (o->to.dtype == o->from.dtype)
        return o->v[0];
    if (is_half(o->to.dtype) || is_half(o->from.dtype))
        return convert_half(x, o);
    if (o->to.dtype == DT_bool)
        return convert_to_bool(x, o);
    return dtype_is_float(o->from.dtype) ? convert_float(x, o) : convert_integer(x, o);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* Columns. */
enum { FLOATS, SIGNED, UNSIGNED };

/* clang-format off */
#define NONE         NULL
#define SAME         o->v[0]
#define UNARY(X)     LLVMBuild##X(x->b, o->v[0], "")
#define BINARY(X)    LLVMBuild##X(x->b, o->v[0], o->v[1], "")
#define SHIFT(X)     LLVMBuild##X(x->b, o->v[0], immediate(x, o), "")
#define FCMP(X)      compare_floats(x, o, LLVMReal##X)
#define ICMP(X)      compare_integers(x, o, LLVMInt##X)
#define INTRINSIC(X) intrinsic(x, o, "llvm." #X)
#define CALL(X)      llvm_op_##X(x, o)
/* clang-format on */

#define LLVM(id, floats, signeds, unsigneds)                                                       \
    static LLVMValueRef value_of_##id(LBuilder *x, const Operands *o, int column) {                \
        (void)x, (void)o;                                                                          \
        return column == FLOATS ? (floats) : column == SIGNED ? (signeds) : (unsigneds);           \
    }
#include "codegen/llvm_insts.def"
#undef LLVM

static LLVMValueRef (*const builders[INST_COUNT])(LBuilder *, const Operands *, int) = {
#define INST(id, text, form, types, c_float, c_int, eval) [INST_##id] = value_of_##id,
#include "ir/insts.def"
#undef INST
};

LLVMValueRef llvm_inst(LBuilder *x, const Inst *in, LLVMValueRef *v) {
    Operands o = {.in = in, .to = in->dst->type, .from = in->dst->type, .v = v};
    while (o.n < 3 && in->src[o.n])
        o.n++;
    if (o.n)
        o.from = in->src[0]->type;
    int column = dtype_is_float(o.from.dtype)        ? FLOATS
                 : dtype_is_signed_int(o.from.dtype) ? SIGNED
                                                     : UNSIGNED;
    LLVMValueRef r = builders[in->op](x, &o, column);
    if (!r)
        die("no LLVM for %s of %s", inst_info(in->op)->name, dtype_name(o.from.dtype));
    return r;
}
