/* llvm_debug.c: debug information: the source of the code is the text of its loop IR, NAME.loop.ir
 * as --emit=loop-ir writes it. Steps bear the names of the ONNX nodes that they came from. */
#include <string.h>

#include "codegen/llvm_builder.h"

void llvm_debug_begin(LBuilder *x) {
    const char *file = arena_printf(&x->arena, "%s.loop.ir", x->c->info->name);
    const char *by = arena_printf(&x->arena, "effnetc %s", x->c->info->version);
    if (!x->options->debug)
        return;
    llvm_module_flag(x, "Debug Info Version", LLVMDebugMetadataVersion());
    llvm_module_flag(x, "Dwarf Version", 4);
    x->debug = LLVMCreateDIBuilder(x->module);
    x->file = LLVMDIBuilderCreateFile(x->debug, file, strlen(file), ".", 1);
    LLVMDIBuilderCreateCompileUnit(x->debug, LLVMDWARFSourceLanguageC99, x->file, by, strlen(by),
                                   true, "", 0, 0, "", 0, LLVMDWARFEmissionFull, 0, false, false,
                                   "", 0, "", 0);
}

/* Counts the lines of the text of a block to those in *line, as module_print writes it, up to that
 * of `in`: true where that is in the block. */
static bool find_line(const Block *body, const Inst *in, unsigned *line) {
    for (const Inst *i = body->first; i; i = i->next) {
        if (i == in)
            return true;
        ++*line;
        switch (inst_info(i->op)->form) {
        case FORM_FOR:
            if (find_line(&i->u.loop.body, in, line))
                return true;
            break;
        case FORM_WHILE:
            if (find_line(&i->u.body, in, line))
                return true;
            break;
        case FORM_IF:
            if (find_line(&i->u.branch.then, in, line))
                return true;
            *line += i->u.branch.orelse.first != NULL;
            if (find_line(&i->u.branch.orelse, in, line))
                return true;
            break;
        default:
            continue;
        }
        ++*line; /* "}" */
    }
    return false;
}

/* The line of a function's head: behind those of the module, of its buffers, and of the functions
 * before. */
static unsigned head_line(const LBuilder *x, const Kernel *k) {
    const Module *m = x->c->m;
    unsigned line = 2 + (unsigned)m->buffers.len;
    for (size_t i = 0; module_function(m, i) != k; i++) {
        find_line(&module_function(m, i)->body, NULL, &line);
        line += 2;
    }
    return line;
}

static void locate(LBuilder *x, unsigned line) {
    LLVMSetCurrentDebugLocation2(
        x->b, LLVMDIBuilderCreateDebugLocation(x->context, line, 0, x->scope, NULL));
}

void llvm_debug_function(LBuilder *x) {
    const CFunc *f = x->func;
    if (!x->debug)
        return;
    unsigned line = head_line(x, f->kernel);
    x->body_line = line + 1;
    if (f->par)
        find_line(&f->kernel->body, f->par, &line);
    const char *name = f->kernel->origin ? f->kernel->origin : f->name;
    LLVMMetadataRef type = LLVMDIBuilderCreateSubroutineType(x->debug, x->file, NULL, 0, 0);
    x->scope =
        LLVMDIBuilderCreateFunction(x->debug, x->file, name, strlen(name), f->name, strlen(f->name),
                                    x->file, line, type, true, true, line, 0, true);
    LLVMSetSubprogram(x->function, x->scope);
    locate(x, line);
}

void llvm_debug_at(LBuilder *x, const Inst *in) {
    if (!x->debug)
        return;
    unsigned line = x->body_line;
    find_line(&x->func->kernel->body, in, &line);
    locate(x, line);
}

void llvm_debug_no_function(LBuilder *x) {
    LLVMSetCurrentDebugLocation2(x->b, NULL);
}

void llvm_debug_end(LBuilder *x) {
    if (!x->debug)
        return;
    LLVMDIBuilderFinalize(x->debug);
    LLVMDisposeDIBuilder(x->debug);
}
