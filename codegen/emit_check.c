/* emit_check.c: whether the C printer can print a module. What it can't is the user's to know: a
 * loop IR file may ask for vectors that the target has not, or leave activations to expand. */
#include "codegen/c_printer.h"

typedef struct Check {
    const Module *m;
    const char *where;
    Diag *d;
    const Kernel *kernel;
} Check;

static void report(Check *c, const Inst *in, LType t, const char *reason, const char *help) {
    Buf type = {0};
    if (t.lanes > 1)
        buf_printf(&type, "v%d.", t.lanes);
    buf_puts(&type, dtype_name(t.dtype));
    diag_error(c->d, EXIT_UNSUPPORTED, c->where, "%s: no C for %s on %s",
               kernel_title(&c->d->arena, c->kernel), inst_info(in->op)->name, buf_str(&type));
    diag_note(c->d, "reason", "%s", reason);
    if (help)
        diag_note(c->d, "help", "%s", help);
    buf_free(&type);
}

/* What a template or macro needs the type for; stores have no result. */
static LType result_type(const Inst *in) {
    return in->dst ? in->dst->type : in->src[0]->type;
}

static bool has_macro(const Check *c, const Inst *in, LType t) {
    const InstInfo *info = inst_info(in->op);
    const char *text = dtype_is_float(t.dtype) ? info->c_float : info->c_int;
    LType from = info->form == FORM_CONVERT ? in->src[0]->type : t;
    if (info->form == FORM_LOAD || info->form == FORM_STORE || info->form == FORM_CONST)
        return true;
    if (!text)
        return false;
    for (; *text; text++)
        if (text[0] == '$' && text[1] == 'm')
            return c_prelude_find(c->m->target, in->op == INST_splat_load ? INST_splat : in->op, t,
                                  from);
    return true;
}

static void check_value(Check *c, const Inst *in) {
    LType t = result_type(in), operand = in->src[0] ? in->src[0]->type : t;
    int64_t width = c->m->target->vector_bytes > 4 ? c->m->target->vector_bytes : 8;
    if ((t.lanes > 1 || operand.lanes > 1) && c->m->target->vector_bytes <= 4)
        report(c, in, t, "the target has no vectors", "choose another --target");
    else if ((t.lanes & (t.lanes - 1)) != 0)
        report(c, in, t, "C has vectors of 2, 4, 8, ... elements alone", NULL);
    else if (ltype_bytes(t) > width || ltype_bytes(operand) > width)
        report(c, in, t, "the vectors of the target are narrower", "choose another --target");
    else if (!has_macro(c, in, t))
        report(c, in, t, "the target has no such instruction",
               "the passes expand-math and expand-fma replace some of them");
}

static void check_block(Check *c, const Block *body) {
    for (const Inst *in = body->first; in; in = in->next) {
        switch (inst_info(in->op)->form) {
        case FORM_FOR:
            check_block(c, &in->u.loop.body);
            break;
        case FORM_WHILE:
            check_block(c, &in->u.body);
            break;
        case FORM_IF:
            check_block(c, &in->u.branch.then);
            check_block(c, &in->u.branch.orelse);
            break;
        case FORM_PREFETCH:
        case FORM_LEA:
        case FORM_CALL:
            break;
        default:
            check_value(c, in);
            break;
        }
    }
}

static void check_use(Check *c, const CFunc *f, const CUse *use) {
    const Buffer *b = use->buffer;
    if (!use->stored || (b->kind != BUF_INPUT && b->kind != BUF_WEIGHTS))
        return;
    diag_error(c->d, EXIT_BAD_MODEL, c->where, "%s: a kernel stores to buffer %%%s, an %s",
               kernel_title(&c->d->arena, f->kernel), b->reg.name,
               b->kind == BUF_INPUT ? "input" : "array of weights");
}

/* The caller's inputs and the weights are const in C. */
static void check_buffers(Check *c) {
    static const EmitInfo info = {.name = "model"};
    CPrinter p = {0};
    c_prepare(&p, c->m, &info);
    for (size_t i = 0; i < p.funcs.len; i++)
        for (size_t k = 0; k < p.funcs.data[i]->uses.len; k++)
            check_use(c, p.funcs.data[i], &p.funcs.data[i]->uses.data[k]);
    arena_free(&p.arena);
}

bool emit_c_check(const Module *m, const char *where, Diag *d) {
    Check c = {.m = m, .where = where, .d = d};
    size_t before = d->errors;
    for (size_t i = 0; i < module_function_count(m); i++) {
        c.kernel = module_function(m, i);
        check_block(&c, &c.kernel->body);
    }
    check_buffers(&c);
    return d->errors == before;
}
