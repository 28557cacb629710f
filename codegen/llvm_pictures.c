/* llvm_pictures.c: NAME_run_picture: native code that takes pictures of any size, as
 * emit_pictures.c prints it in C. What scales them is fit.loop.ir, built as kernels that only this
 * unit sees. */
#include "codegen/llvm_builder.h"

#include <fit_loop_ir.h> /* made of codegen/fit.loop.ir */
#include <string.h>

/* ---- fit.loop.ir ----------------------------------------------------------------------------- */

/* rt_taps becomes NAME_taps, which no kernel or step of the model is called: c_take_pictures. */
static void rename_kernels(LBuilder *x, const LBuilder *fit) {
    for (size_t i = 0; i + 1 < fit->c->funcs.len; i++) {
        const char *name = fit->c->funcs.data[i]->name;
        const char *new = arena_printf(&x->arena, "%s_%s", x->c->info->name, name + strlen("rt_"));
        LLVMSetValueName2(map_get(&fit->functions, name), new, strlen(new));
    }
}

/* Builds its kernels; returns @rt_fit_picture, the last one. */
static LLVMValueRef fit_kernels(LBuilder *x) {
    static const EmitInfo info = {.name = "fit"};
    const char *text = (const char *)fit_loop_ir;
    Diag d = {0};
    Module *m = module_parse(text, strlen(text), "fit.loop.ir", NULL, &d);
    ensure(m && module_verify(m, "fit.loop.ir", &d) && emit_c_check(m, "fit.loop.ir", &d));
    CPrinter c = {0};
    c_prepare(&c, m, &info);
    LBuilder fit = *x;
    fit.c = &c;
    fit.arena = (Arena){0};
    fit.functions = (Map){0};
    fit.whole = true;
    fit.debug = NULL;
    llvm_functions(&fit, 0, c.funcs.len - 1); /* without the body of run */
    rename_kernels(x, &fit);
    LLVMValueRef f = map_get(&fit.functions, c.funcs.data[c.funcs.len - 2]->name);
    arena_free(&fit.arena);
    arena_free(&c.arena);
    module_free(m);
    diag_free(&d);
    return f;
}

static int64_t bits_of(double value) {
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static int64_t filter_number(const char *name) {
    static const char *const names[] = {"bilinear", "bicubic", "box"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i]))
            return (int64_t)i;
    die("no code for the filter %s", name);
}

static int64_t how_fitted(const EmitPictures *p) {
    enum { STRETCH, CROP, RESIZE, LETTERBOX };
    if (p->crop > 0)
        return CROP;
    if (p->resize)
        return RESIZE;
    return p->fit && !strcmp(p->fit, "letterbox") ? LETTERBOX : STRETCH;
}

/* What fit.loop.ir calls facts. */
static LLVMValueRef facts(LBuilder *x, const Shape *s) {
    const EmitPictures *p = x->c->info->pictures;
    const EmitFit *f = p->any;
    const int64_t values[] = {
        s->dim[2],          s->dim[1],    how_fitted(p), bits_of(p->crop), p->resize,
        f->pillow_13,       f->ground[0], f->ground[1],  f->ground[2],     filter_number(p->filter),
        bits_of(f->radius), f->max_side,  f->scratch};
    enum { FACTS = sizeof values / sizeof *values };
    LLVMValueRef words[FACTS];
    for (size_t i = 0; i < FACTS; i++)
        words[i] = llvm_size(x, values[i]);
    LLVMValueRef array = LLVMConstArray(llvm_int(x, 64), words, FACTS);
    LLVMValueRef v = LLVMAddGlobal(x->module, LLVMTypeOf(array),
                                   arena_printf(&x->arena, "%s_geometry_used", x->c->info->name));
    LLVMSetLinkage(v, LLVMInternalLinkage);
    LLVMSetGlobalConstant(v, true);
    LLVMSetInitializer(v, array);
    return v;
}

/* ---- one picture after the other ------------------------------------------------------------- */

/* As the header has it: rgb, width, height, stride. */
enum { RGB, WIDTH, HEIGHT, STRIDE, FIELDS };

static LLVMTypeRef picture_type(const LBuilder *x) {
    LLVMTypeRef fields[FIELDS] = {llvm_ptr(x), llvm_int(x, 32), llvm_int(x, 32), llvm_int(x, 64)};
    return LLVMStructTypeInContext(x->context, fields, FIELDS, false);
}

static LLVMValueRef field_at(LBuilder *x, LLVMValueRef picture, unsigned i) {
    return LLVMBuildStructGEP2(x->b, picture_type(x), picture, i, "");
}

static LLVMValueRef get_field(LBuilder *x, LLVMValueRef picture, unsigned i) {
    LLVMTypeRef type = LLVMStructGetTypeAtIndex(picture_type(x), i);
    return LLVMBuildLoad2(x->b, type, field_at(x, picture, i), "");
}

static LLVMValueRef element_at(LBuilder *x, LLVMTypeRef type, LLVMValueRef array, LLVMValueRef i) {
    return LLVMBuildInBoundsGEP2(x->b, type, array, &i, 1, "");
}

static LLVMValueRef words(LBuilder *x, unsigned n, const char *name) {
    return LLVMBuildAlloca(x->b, LLVMArrayType(llvm_int(x, 64), n), name);
}

/* A loop from 0 to n, at least 1, whose body is built next; its variable. */
typedef struct Counting {
    LLVMBasicBlockRef body;
    LLVMValueRef i;
} Counting;

static Counting count_from_0(LBuilder *x) {
    Counting c = {.body = llvm_block(x, "picture")};
    LLVMBasicBlockRef before = LLVMGetInsertBlock(x->b);
    LLVMValueRef zero = llvm_size(x, 0);
    LLVMBuildBr(x->b, c.body);
    llvm_at(x, c.body);
    c.i = LLVMBuildPhi(x->b, llvm_int(x, 64), "i");
    LLVMAddIncoming(c.i, &zero, &before, 1);
    return c;
}

static void count_to(LBuilder *x, const Counting *c, int64_t n) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(x->b), end = llvm_block(x, "end");
    LLVMValueRef next = LLVMBuildAdd(x->b, c->i, llvm_size(x, 1), "");
    LLVMAddIncoming(c->i, &next, &here, 1);
    LLVMValueRef more = LLVMBuildICmp(x->b, LLVMIntULT, next, llvm_size(x, n), "");
    LLVMBuildCondBr(x->b, more, c->body, end);
    llvm_at(x, end);
}

/* Calls @rt_fit_picture for each picture of the array; returns `refused` where one can't be taken.
 * `input`: where what NAME_run takes lies, in `memory`, which is scratch before. */
static void fit_pictures(LBuilder *x, LLVMValueRef fit, LLVMValueRef known, LLVMValueRef pictures,
                         LLVMValueRef memory, const Shape *s, int refused) {
    LLVMTypeRef i64 = llvm_int(x, 64);
    LLVMValueRef result = words(x, 1, "result"), axes = words(x, 16, "axes");
    LLVMValueRef to = llvm_bytes_behind(x, memory, c_picture_input(x->c->m, x->c->info));
    Counting c = count_from_0(x);
    LLVMValueRef picture = element_at(x, picture_type(x), pictures, c.i);
    LLVMValueRef rgb = get_field(x, picture, RGB);
    LLVMValueRef bytes = LLVMBuildMul(x->b, c.i, llvm_size(x, 3 * s->dim[1] * s->dim[2]), "");
    LLVMValueRef args[] = {result,
                           element_at(x, llvm_int(x, 8), to, bytes),
                           rgb,
                           LLVMBuildZExt(x->b, LLVMBuildIsNotNull(x->b, rgb, ""), i64, ""),
                           LLVMBuildSExt(x->b, get_field(x, picture, WIDTH), i64, ""),
                           LLVMBuildSExt(x->b, get_field(x, picture, HEIGHT), i64, ""),
                           get_field(x, picture, STRIDE),
                           axes,
                           known,
                           memory,
                           memory};
    llvm_call(x, fit, args, sizeof args / sizeof *args);
    LLVMValueRef taken = LLVMBuildLoad2(x->b, i64, result, "");
    llvm_return_if(x, LLVMBuildICmp(x->b, LLVMIntEQ, taken, llvm_size(x, 0), ""), refused);
    count_to(x, &c, s->dim[0]);
}

/* ---- NAME_run_picture ------------------------------------------------------------------------ */

static LLVMValueRef run_picture(LBuilder *x, LLVMValueRef fit, LLVMValueRef parallel) {
    const CParams *params = &x->c->params;
    size_t n = params->len, in = c_picture_param(params), last = n - 1;
    const Shape *s = &params->data[in].buffer->shape;
    LLVMValueRef known = facts(x, s), *args = ARENA_ARRAY(&x->arena, n + 1, LLVMValueRef);
    LLVMValueRef f = llvm_public_function(x, "run_picture", llvm_int(x, 32),
                                          llvm_pointer_types(x, n + 1), n + 1);
    llvm_return_if(x, LLVMBuildIsNull(x->b, llvm_param(x, in), ""), (int)in + 1);
    llvm_return_if(x, LLVMBuildIsNull(x->b, llvm_param(x, last), ""), (int)last + 1);
    llvm_return_if(x, llvm_is_misaligned(x, llvm_param(x, last), BLOCK_ALIGN), -(int)(last + 1));
    fit_pictures(x, fit, known, llvm_param(x, in), llvm_param(x, last), s, -(int)(in + 1));
    for (size_t i = 0; i <= n; i++)
        args[i] = llvm_param(x, i);
    args[in] = llvm_bytes_behind(x, llvm_param(x, last), c_picture_input(x->c->m, x->c->info));
    LLVMBuildRet(x->b, llvm_call(x, parallel, args, n + 1));
    return f;
}

/* ---- effnetc_pictures, effnetc_pictures_arena ------------------------------------------------ */

static void pictures_arena(LBuilder *x) {
    LLVMValueRef v = LLVMAddGlobal(x->module, llvm_int(x, 64), "effnetc_pictures_arena");
    LLVMSetGlobalConstant(v, true);
    LLVMSetInitializer(v, llvm_size(x, c_picture_bytes(x->c->m, &x->c->params, x->c->info)));
}

enum {
    ENTRY_WEIGHTS,
    ENTRY_RGB,
    ENTRY_WIDTH,
    ENTRY_HEIGHT,
    ENTRY_OUT,
    ENTRY_ARENA,
    ENTRY_CONTEXT,
    ENTRY_FOR,
    ENTRY_PARAMS
};

/* Pictures without gaps between their rows. */
static LLVMValueRef pictures_of_entry(LBuilder *x, int64_t n) {
    LLVMTypeRef i32 = llvm_int(x, 32), i64 = llvm_int(x, 64), type = picture_type(x);
    LLVMValueRef array = LLVMBuildAlloca(x->b, LLVMArrayType(type, (unsigned)n), "pictures");
    Counting c = count_from_0(x);
    LLVMValueRef to = element_at(x, type, array, c.i), values[FIELDS];
    values[RGB] = LLVMBuildLoad2(x->b, llvm_ptr(x),
                                 element_at(x, llvm_ptr(x), llvm_param(x, ENTRY_RGB), c.i), "");
    values[WIDTH] =
        LLVMBuildLoad2(x->b, i32, element_at(x, i32, llvm_param(x, ENTRY_WIDTH), c.i), "");
    values[HEIGHT] =
        LLVMBuildLoad2(x->b, i32, element_at(x, i32, llvm_param(x, ENTRY_HEIGHT), c.i), "");
    values[STRIDE] =
        LLVMBuildMul(x->b, LLVMBuildSExt(x->b, values[WIDTH], i64, ""), llvm_size(x, 3), "");
    for (unsigned i = 0; i < FIELDS; i++)
        LLVMBuildStore(x->b, values[i], field_at(x, to, i));
    count_to(x, &c, n);
    return array;
}

static void entry(LBuilder *x, LLVMValueRef run) {
    const CParams *params = &x->c->params;
    size_t n = params->len, in = c_picture_param(params), out = 0;
    LLVMValueRef *args = ARENA_ARRAY(&x->arena, n + 1, LLVMValueRef);
    llvm_visible(x, "effnetc_pictures", llvm_int(x, 32), llvm_pointer_types(x, ENTRY_PARAMS),
                 ENTRY_PARAMS);
    LLVMValueRef context = llvm_param(x, ENTRY_CONTEXT);
    LLVMValueRef pool = llvm_new_pool(x, context, llvm_param(x, ENTRY_FOR));
    LLVMValueRef pictures = pictures_of_entry(x, params->data[in].buffer->shape.dim[0]);
    args[0] = llvm_param(x, ENTRY_WEIGHTS);
    for (size_t i = 1; i + 1 < n; i++)
        args[i] = i == in ? pictures : llvm_pointer_of(x, llvm_param(x, ENTRY_OUT), out++);
    args[n - 1] = llvm_param(x, ENTRY_ARENA);
    args[n] = pool;
    LLVMBuildRet(x->b, llvm_call(x, run, args, n + 1));
}

void llvm_pictures(LBuilder *x, LLVMValueRef parallel) {
    if (!x->c->info->pictures || !x->c->info->pictures->any)
        return;
    LLVMValueRef run = run_picture(x, fit_kernels(x), parallel);
    if (!x->options->entry)
        return;
    pictures_arena(x);
    entry(x, run);
}
