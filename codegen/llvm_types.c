/* llvm_types.c: types, constants, functions and what they are declared to be. */
#include "codegen/llvm_builder.h"

#include <string.h>

/* ---- types ----------------------------------------------------------------------------------- */

LLVMTypeRef llvm_int(const LBuilder *x, int bits) {
    return LLVMIntTypeInContext(x->context, (unsigned)bits);
}

LLVMTypeRef llvm_ptr(const LBuilder *x) {
    return LLVMPointerTypeInContext(x->context, 0);
}

static LLVMTypeRef element_type(const LBuilder *x, DType t) {
    if (t == DT_f32)
        return LLVMFloatTypeInContext(x->context);
    if (t == DT_f64)
        return LLVMDoubleTypeInContext(x->context);
    return llvm_int(x, 8 * dtype_bytes(t));
}

LLVMTypeRef llvm_type(const LBuilder *x, LType t) {
    LLVMTypeRef element = element_type(x, t.dtype);
    return t.lanes == 1 ? element : LLVMVectorType(element, (unsigned)t.lanes);
}

/* ---- constants ------------------------------------------------------------------------------- */

static LLVMValueRef in_all_lanes(LType t, LLVMValueRef value) {
    LLVMValueRef lanes[MAX_LANES];
    if (t.lanes == 1)
        return value;
    for (int i = 0; i < t.lanes; i++)
        lanes[i] = value;
    return LLVMConstVector(lanes, (unsigned)t.lanes);
}

LLVMValueRef llvm_const_int(const LBuilder *x, LType t, int64_t value) {
    LLVMTypeRef type = llvm_int(x, 8 * dtype_bytes(t.dtype));
    return in_all_lanes(t, LLVMConstInt(type, (unsigned long long)value, false));
}

LLVMValueRef llvm_const_float(const LBuilder *x, LType t, double value) {
    if (t.dtype == DT_f16)
        return llvm_const_int(x, t, float_to_half((float)value));
    if (t.dtype == DT_bf16)
        return llvm_const_int(x, t, float_to_bfloat((float)value));
    return in_all_lanes(t, LLVMConstReal(element_type(x, t.dtype), value));
}

LLVMValueRef llvm_size(const LBuilder *x, int64_t value) {
    return llvm_const_int(x, ltype(DT_i64, 1), value);
}

LLVMValueRef llvm_i32(const LBuilder *x, int64_t value) {
    return llvm_const_int(x, ltype(DT_i32, 1), value);
}

void llvm_module_flag(LBuilder *x, const char *name, unsigned value) {
    LLVMMetadataRef v = LLVMValueAsMetadata(llvm_i32(x, value));
    LLVMAddModuleFlag(x->module, LLVMModuleFlagBehaviorWarning, name, strlen(name), v);
}

/* ---- calls ----------------------------------------------------------------------------------- */

LLVMValueRef llvm_call(LBuilder *x, LLVMValueRef function, LLVMValueRef *args, size_t nargs) {
    LLVMTypeRef type = LLVMGlobalGetValueType(function);
    return LLVMBuildCall2(x->b, type, function, args, (unsigned)nargs, "");
}

LLVMValueRef llvm_intrinsic(LBuilder *x, const char *name, const LLVMTypeRef *types, size_t ntypes,
                            LLVMValueRef *args, size_t nargs) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (!id)
        die("LLVM %s has no %s", emit_llvm_version(), name);
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(x->module, id, (LLVMTypeRef *)types, ntypes);
    return llvm_call(x, f, args, nargs);
}

LLVMValueRef llvm_bytes_behind(LBuilder *x, LLVMValueRef pointer, int64_t bytes) {
    LLVMValueRef offset = llvm_size(x, bytes);
    return bytes ? LLVMBuildInBoundsGEP2(x->b, llvm_int(x, 8), pointer, &offset, 1, "") : pointer;
}

/* ---- functions ------------------------------------------------------------------------------- */

static void attribute(LBuilder *x, LLVMValueRef function, const char *name, uint64_t value) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    ensure(kind);
    LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(x->context, kind, value));
}

static void text_attribute(LBuilder *x, LLVMValueRef function, const char *name,
                           const char *value) {
    LLVMAttributeRef a = LLVMCreateStringAttribute(x->context, name, (unsigned)strlen(name), value,
                                                   (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

/* Kernels are shared: neither inlining nor cloning them pays, and the flush mode of a run is set
 * outside of the function with its arithmetic. Nothing may become a call of memset. */
static void attributes(LBuilder *x, LLVMValueRef f) {
    const char *width = arena_printf(&x->arena, "%d", 8 * x->target->vector_bytes);
    attribute(x, f, "nounwind", 0);
    attribute(x, f, "noinline", 0);
    if (x->options->debug)
        attribute(x, f, "uwtable", 1);
    text_attribute(x, f, "no-builtins", "");
    text_attribute(x, f, "target-cpu", target_arch(x->target)->llvm_cpu);
    text_attribute(x, f, "target-features", llvm_features(&x->arena, x->target));
    if (x->target->flush_to_zero)
        text_attribute(x, f, "denormal-fp-math", "preserve-sign,preserve-sign");
    if (x->target->vector_bytes > 4) {
        text_attribute(x, f, "prefer-vector-width", width);
        text_attribute(x, f, "min-legal-vector-width", width);
    }
}

/* Other units find it by its name until llvm_merge.c makes it local. */
void llvm_hide(LBuilder *x, LLVMValueRef global) {
    if (x->whole)
        LLVMSetLinkage(global, LLVMInternalLinkage);
    else
        LLVMSetVisibility(global, LLVMHiddenVisibility);
}

LLVMValueRef llvm_function(LBuilder *x, const char *name, LLVMTypeRef result, LLVMTypeRef *params,
                           size_t nparams, bool visible) {
    LLVMTypeRef type = LLVMFunctionType(result, params, (unsigned)nparams, false);
    LLVMValueRef f = LLVMAddFunction(x->module, name, type);
    if (!visible)
        llvm_hide(x, f);
    attributes(x, f);
    return f;
}

LLVMBasicBlockRef llvm_block(LBuilder *x, const char *name) {
    return LLVMAppendBasicBlockInContext(x->context, x->function, name);
}

void llvm_at(LBuilder *x, LLVMBasicBlockRef block) {
    LLVMPositionBuilderAtEnd(x->b, block);
}

void llvm_begin(LBuilder *x, LLVMValueRef function) {
    x->function = function;
    llvm_at(x, llvm_block(x, "entry"));
    llvm_debug_no_function(x);
}
