/* emit_c.c: NAME.c: prelude, kernels, steps, run body, public functions.
 *
 * A kernel is a static function over pointers and sizes, a step one over those parameters of
 * NAME_run that it needs. Each instruction is one statement made from the C template of its row in
 * ir/insts.def; what C can't say is a macro of c_prelude.def. Steps and the run body have a local
 * pointer for each buffer that they use. */
#include "codegen/c_printer.h"

#include <string.h>

/* ---- operands -------------------------------------------------------------------------------- */

static const char *var_name(const CPrinter *p, const Reg *r) {
    return c_var(p->func, r)->name;
}

static const char *bound(CPrinter *p, const Bound *b) {
    return b->reg ? var_name(p, b->reg) : c_literal_i(&p->arena, DT_i64, b->value);
}

/* Appends " + 2 * i" or, as the first of a sum, "2 * i". The factor is not 0. */
static void put_term(Buf *b, int64_t factor, const char *name) {
    bool negative = factor < 0;
    uint64_t size = negative ? 0 - (uint64_t)factor : (uint64_t)factor;
    if (b->len)
        buf_puts(b, negative ? " - " : " + ");
    else if (negative)
        buf_putc(b, '-');
    if (!name)
        buf_printf(b, "%llu", (unsigned long long)size);
    else if (size == 1)
        buf_puts(b, name);
    else
        buf_printf(b, "%llu * %s", (unsigned long long)size, name);
}

/* "lda + 2 * p + 3"; "" for nothing. */
static const char *offset(CPrinter *p, const Addr *a) {
    Buf b = {0};
    for (int i = 0; i < a->nterms; i++)
        if (a->terms[i].factor)
            put_term(&b, a->terms[i].factor, var_name(p, a->terms[i].reg));
    if (a->offset)
        put_term(&b, a->offset, NULL);
    const char *s = arena_strdup(&p->arena, buf_str(&b));
    buf_free(&b);
    return s;
}

static const char *element(CPrinter *p, const Addr *a) {
    const char *o = offset(p, a);
    return arena_printf(&p->arena, "%s[%s]", var_name(p, a->base), *o ? o : "0");
}

static const char *pointer(CPrinter *p, const Addr *a) {
    const char *o = offset(p, a), *base = var_name(p, a->base);
    if (!*o)
        return base;
    if (*o == '-')
        return arena_printf(&p->arena, "%s - %s", base, o + 1);
    return arena_printf(&p->arena, "%s + %s", base, o);
}

/* "float x", "const float *p": a declaration without its value. */
static const char *declaration(CPrinter *p, const Reg *r) {
    const CVar *v = c_var(p->func, r);
    if (r->kind == REG_VALUE)
        return arena_printf(&p->arena, "%s %s", c_type(&p->arena, &p->types, r->type), v->name);
    return arena_printf(&p->arena, "%s%s *%s", v->stored ? "" : "const ",
                        dtype_c_name(r->type.dtype), v->name);
}

/* ---- instructions ---------------------------------------------------------------------------- */

static void begin_line(CPrinter *p) {
    buf_printf(&p->code, "%*s", p->indent, "");
}

static const char *immediate(CPrinter *p, const Inst *in) {
    InstForm form = inst_info(in->op)->form;
    if (form == FORM_SHIFT)
        return c_literal_i(&p->arena, DT_i64, in->u.i);
    if (form != FORM_CONST)
        return NULL;
    LType t = in->dst->type;
    const char *x = dtype_is_float(t.dtype) ? c_literal_f(p, t.dtype, in->u.f)
                                            : c_literal_i(&p->arena, t.dtype, in->u.i);
    if (t.lanes == 1)
        return x;
    return arena_printf(&p->arena, "%s(%s)", c_macro(p, INST_splat, t, ltype(t.dtype, 1)), x);
}

static CBindings bindings(CPrinter *p, const Inst *in, const char *dst) {
    InstForm form = inst_info(in->op)->form;
    CBindings v = {.type = in->dst->type, .from = in->dst->type, .op = in->op, .dst = dst};
    for (int i = 0; i < 3; i++)
        if (in->src[i])
            v.src[i] = var_name(p, in->src[i]);
    if (form == FORM_CONVERT)
        v.from = in->src[0]->type;
    v.imm = immediate(p, in);
    if (form == FORM_SPLAT_LOAD) {
        v.element = element(p, &in->u.addr);
        v.src[0] = v.element;
    }
    if (form == FORM_LEA)
        v.pointer = pointer(p, &in->u.addr);
    return v;
}

static void put_load(CPrinter *p, const Inst *in, const char *dst) {
    LType t = in->dst->type;
    if (t.lanes == 1)
        buf_printf(&p->code, "%s = %s;", dst, element(p, &in->u.addr));
    else
        buf_printf(&p->code, "%s = %s(%s);", dst, c_macro(p, INST_load, t, t),
                   pointer(p, &in->u.addr));
}

static void put_assignment(CPrinter *p, const Inst *in, int block) {
    const InstInfo *info = inst_info(in->op);
    const CVar *v = c_var(p->func, in->dst);
    const char *dst = c_scope_declares(p->func, in->dst, block) ? declaration(p, in->dst) : v->name;
    begin_line(p);
    if (info->form == FORM_LOAD) {
        put_load(p, in, dst);
    } else {
        CBindings b = bindings(p, in, dst);
        bool real = in->dst->kind == REG_VALUE && dtype_is_float(in->dst->type.dtype);
        const char *text = real ? info->c_float : info->c_int;
        if (!text)
            die("no C template for %s of %s", info->name, dtype_name(in->dst->type.dtype));
        c_expand(p, &p->code, text, &b);
    }
    if (!v->read)
        buf_printf(&p->code, " (void)%s;", v->name);
    buf_putc(&p->code, '\n');
}

static void put_store(CPrinter *p, const Inst *in) {
    LType t = in->src[0]->type;
    const char *x = var_name(p, in->src[0]);
    begin_line(p);
    if (t.lanes == 1)
        buf_printf(&p->code, "%s = %s;\n", element(p, &in->u.addr), x);
    else
        buf_printf(&p->code, "%s(%s, %s);\n", c_macro(p, INST_store, t, t), pointer(p, &in->u.addr),
                   x);
}

static void put_call(CPrinter *p, const Inst *in) {
    const CFunc *callee = map_get(&p->by_name, in->u.call.callee->name);
    CItems items = {0};
    for (size_t i = 0; callee->context && i < p->params.len; i++)
        if (callee->context[i])
            vec_push(&p->arena, &items, p->params.data[i].name);
    for (int i = 0; i < in->u.call.nargs; i++) {
        const Arg *arg = &in->u.call.args[i];
        const char *s = arg->addr.base ? pointer(p, &arg->addr) : bound(p, &arg->integer);
        vec_push(&p->arena, &items, s);
    }
    if (in->comment && (!p->origin || strcmp(in->comment, p->origin))) {
        begin_line(p);
        buf_puts(&p->code, "/* ");
        c_put_comment(&p->code, in->comment);
        buf_puts(&p->code, " */\n");
    }
    p->origin = in->comment;
    begin_line(p);
    const char *head = arena_printf(&p->arena, "%s(", callee->name);
    c_put_list(&p->code, p->indent + 4, head, &items, ");");
    buf_putc(&p->code, '\n');
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void put_block(CPrinter *p, const Block *body, int block);

static void put_inner(CPrinter *p, const Block *body, int block) {
    p->origin = NULL;
    p->indent += 4;
    put_block(p, body, block);
    p->indent -= 4;
    p->origin = NULL;
    c_scope_leave(p->func, block);
}

static void put_for(CPrinter *p, const Inst *in) {
    const char *i = var_name(p, in->dst);
    const char *lo = bound(p, &in->u.loop.lo), *hi = bound(p, &in->u.loop.hi);
    int inner = c_scope_enter(p->func);
    bool declares = c_scope_declares(p->func, in->dst, inner);
    begin_line(p);
    buf_printf(&p->code, "for (%s = %s; %s < %s; ", declares ? declaration(p, in->dst) : i, lo, i,
               hi);
    if (in->u.loop.step == 1)
        buf_printf(&p->code, "%s++) {\n", i);
    else
        buf_printf(&p->code, "%s += %lld) {\n", i, (long long)in->u.loop.step);
    put_inner(p, &in->u.loop.body, inner);
    begin_line(p);
    buf_puts(&p->code, "}\n");
}

static void put_while(CPrinter *p, const Inst *in) {
    begin_line(p);
    buf_printf(&p->code, "while (%s) {\n", var_name(p, in->src[0]));
    put_inner(p, &in->u.body, c_scope_enter(p->func));
    begin_line(p);
    buf_puts(&p->code, "}\n");
}

static void put_if(CPrinter *p, const Inst *in) {
    begin_line(p);
    buf_printf(&p->code, "if (%s) {\n", var_name(p, in->src[0]));
    put_inner(p, &in->u.branch.then, c_scope_enter(p->func));
    int orelse = c_scope_enter(p->func);
    if (in->u.branch.orelse.first) {
        begin_line(p);
        buf_puts(&p->code, "} else {\n");
    }
    put_inner(p, &in->u.branch.orelse, orelse);
    begin_line(p);
    buf_puts(&p->code, "}\n");
}

static void put_block(CPrinter *p, const Block *body, int block) {
    for (const Inst *in = body->first; in; in = in->next) {
        switch (inst_info(in->op)->form) {
        case FORM_STORE:
            put_store(p, in);
            break;
        case FORM_CALL:
            put_call(p, in);
            break;
        case FORM_FOR:
            put_for(p, in);
            break;
        case FORM_WHILE:
            put_while(p, in);
            break;
        case FORM_IF:
            put_if(p, in);
            break;
        default:
            put_assignment(p, in, block);
            break;
        }
    }
}

/* ---- functions ------------------------------------------------------------------------------- */

static void put_hoisted(CPrinter *p) {
    const Kernel *k = p->func->kernel;
    for (size_t i = k->params.len; i < k->regs.len; i++) {
        const Reg *r = k->regs.data[i];
        if (!c_var(p->func, r)->hoisted)
            continue;
        begin_line(p);
        buf_printf(&p->code, "%s;\n", declaration(p, r));
    }
}

static void put_body(CPrinter *p, CFunc *f) {
    p->func = f;
    p->origin = NULL;
    p->indent = 4;
    put_hoisted(p);
    put_block(p, &f->kernel->body, TOP_BLOCK);
    buf_puts(&p->code, "}\n");
}

enum { SHOWN_ORIGINS = 3 };

static void put_origins(Buf *b, const CItems *origins) {
    if (!origins->len)
        return;
    buf_puts(b, "/* ");
    for (size_t i = 0; i < origins->len && i < SHOWN_ORIGINS; i++) {
        buf_puts(b, i ? ", " : "");
        c_put_comment(b, origins->data[i]);
    }
    if (origins->len > SHOWN_ORIGINS)
        buf_printf(b, " and %zu more", origins->len - SHOWN_ORIGINS);
    buf_puts(b, " */\n");
}

static void put_kernel(CPrinter *p, CFunc *f) {
    const Kernel *k = f->kernel;
    CItems params = {0};
    p->func = f;
    for (size_t i = 0; i < k->params.len; i++)
        vec_push(&p->arena, &params, declaration(p, k->params.data[i]));
    if (!params.len)
        vec_push(&p->arena, &params, "void");
    put_origins(&p->code, &f->origins);
    const char *head = arena_printf(&p->arena, "KERNEL void %s(", f->name);
    c_put_list(&p->code, (int)strlen(head), head, &params, ") {");
    buf_putc(&p->code, '\n');
    for (size_t i = 0; i < k->params.len; i++)
        if (!f->regs[i].read)
            buf_printf(&p->code, "    (void)%s;\n", f->regs[i].name);
    put_body(p, f);
    buf_putc(&p->code, '\n');
}

/* ---- steps and the run body ------------------------------------------------------------------ */

static const char buffer_macros[] =
    "#define WEIGHTS(type, offset) \\\n"
    "    ((const type *)(const void *)((const unsigned char *)weights + (offset)))\n"
    "#define ARENA(type, offset) ((type *)(void *)((unsigned char *)arena + (offset)))\n\n";

/* float *const t1 = ARENA(float, 4096); */
static void put_buffer(CPrinter *p, const CUse *use) {
    const Buffer *b = use->buffer;
    bool weights = b->kind == BUF_WEIGHTS;
    if (b->kind == BUF_INPUT || b->kind == BUF_OUTPUT)
        return;
    const char *type = dtype_c_name(b->reg.type.dtype);
    buf_printf(&p->code, "    %s%s *const %s = %s(%s, %lld);\n",
               weights || !use->stored ? "const " : "", type, p->buffers[b->reg.index].name,
               weights ? "WEIGHTS" : "ARENA", type, (long long)b->offset);
}

static void put_body_with_buffers(CPrinter *p, CFunc *f) {
    c_use_buffers(f);
    for (size_t i = 0; i < f->uses.len; i++)
        put_buffer(p, &f->uses.data[i]);
    put_body(p, f);
    buf_putc(&p->code, '\n');
}

static void put_step(CPrinter *p, CFunc *f) {
    CParams params = {0};
    for (size_t i = 0; i < p->params.len; i++)
        if (f->context[i])
            vec_push(&p->arena, &params, p->params.data[i]);
    put_origins(&p->code, &f->origins);
    const char *head = arena_printf(&p->arena, "KERNEL void %s(", f->name);
    c_put_signature(&p->arena, &p->code, head, &params, ") {\n");
    put_body_with_buffers(p, f);
}

static void put_run(CPrinter *p, CFunc *run) {
    const char *head = arena_printf(&p->arena, "KERNEL void %s(", run->name);
    c_put_signature(&p->arena, &p->code, head, &p->params, ") {\n");
    for (size_t i = 0; i < p->params.len; i++)
        if (!run->context[i])
            buf_printf(&p->code, "    (void)%s;\n", p->params.data[i].name);
    put_body_with_buffers(p, run);
}

static void put_functions(CPrinter *p) {
    for (size_t i = 0; i < p->funcs.len; i++) {
        CFunc *f = p->funcs.data[i];
        if (i == p->m->kernels.len)
            buf_puts(&p->code, buffer_macros);
        if (f->kernel->kind == KERNEL_PLAIN)
            put_kernel(p, f);
        else if (f->kernel->kind == KERNEL_STEP)
            put_step(p, f);
        else
            put_run(p, f);
    }
}

/* ---- set-up ---------------------------------------------------------------------------------- */

/* The run body calls kernels and steps, so that its parameters must not hide them. */
static const char *function_name(CPrinter *p, const Kernel *k) {
    if (k->kind == KERNEL_RUN)
        return arena_printf(&p->arena, "%s_body", p->info->name);
    const char *wanted = c_function_name(&p->arena, k->name);
    const char *name = c_names_add(&p->arena, &p->scopes.args, wanted);
    char *copy = arena_strdup(&p->arena, name);
    map_put(&p->arena, &p->scopes.file.taken, copy, copy);
    return name;
}

static void add_function(CPrinter *p, const Kernel *k) {
    CFunc *f = ARENA_NEW(&p->arena, CFunc);
    f->kernel = k;
    f->name = function_name(p, k);
    f->buffers = p->buffers;
    f->names.outer = k->kind == KERNEL_PLAIN ? &p->scopes.file : &p->scopes.buffers;
    f->regs = ARENA_ARRAY(&p->arena, k->regs.len + 1, CVar);
    if (k->kind != KERNEL_PLAIN)
        f->context = ARENA_ARRAY(&p->arena, p->params.len, bool);
    if (k->kind != KERNEL_RUN)
        map_put(&p->arena, &p->by_name, k->name, f);
    vec_push(&p->arena, &p->funcs, f);
}

static bool items_have(const CItems *items, const char *s) {
    for (size_t i = 0; i < items->len; i++)
        if (!strcmp(items->data[i], s))
            return true;
    return false;
}

/* A call of a kernel has an origin, or the step that it is in has. */
static void take_origin(CPrinter *p, const CFunc *caller, CFunc *callee, const Inst *call) {
    const char *origin = call->comment ? call->comment : caller->kernel->origin;
    if (origin && !items_have(&callee->origins, origin))
        vec_push(&p->arena, &callee->origins, origin);
}

static void take_context(const CPrinter *p, CFunc *f, const CFunc *callee) {
    for (size_t i = 0; callee->context && i < p->params.len; i++)
        f->context[i] |= callee->context[i];
}

static void look_at_calls(CPrinter *p, CFunc *f, const Block *body) {
    for (const Inst *in = body->first; in; in = in->next) {
        InstForm form = inst_info(in->op)->form;
        if (form == FORM_CALL) {
            CFunc *callee = map_get(&p->by_name, in->u.call.callee->name);
            take_origin(p, f, callee, in);
            take_context(p, f, callee);
        } else if (form == FORM_FOR) {
            look_at_calls(p, f, &in->u.loop.body);
        } else if (form == FORM_WHILE) {
            look_at_calls(p, f, &in->u.body);
        } else if (form == FORM_IF) {
            look_at_calls(p, f, &in->u.branch.then);
            look_at_calls(p, f, &in->u.branch.orelse);
        }
    }
}

/* Whether a parameter of NAME_run gives access to a buffer. */
static bool is_way_to(const CPrinter *p, size_t param, const Buffer *b) {
    const CParam *c = &p->params.data[param];
    if (c->buffer)
        return c->buffer == b;
    return b->kind == (param == 0 ? BUF_WEIGHTS : BUF_ARENA);
}

static void find_context(CPrinter *p, CFunc *f) {
    for (size_t i = 0; i < f->uses.len; i++)
        for (size_t k = 0; k < p->params.len; k++)
            f->context[k] |= is_way_to(p, k, f->uses.data[i].buffer);
}

static void func_ready(CPrinter *p, CFunc *f) {
    const Kernel *k = f->kernel;
    for (size_t i = 0; i < k->regs.len; i++)
        f->regs[i].name = c_names_add(&p->arena, &f->names, k->regs.data[i]->name);
    c_analyse(p, f);
    if (k->kind == KERNEL_PLAIN)
        return;
    if (k->origin)
        vec_push(&p->arena, &f->origins, k->origin);
    find_context(p, f);
    look_at_calls(p, f, &k->body);
}

/* Inputs and outputs are called as the parameters are, the other buffers as in the module. */
static void name_buffers(CPrinter *p) {
    const Module *m = p->m;
    CNames *scope = &p->scopes.buffers;
    for (size_t i = 0; i < p->params.len; i++)
        if (p->params.data[i].buffer)
            p->buffers[p->params.data[i].buffer->reg.index].name = p->params.data[i].name;
    for (size_t i = 0; i < m->buffers.len; i++)
        if (!p->buffers[i].name)
            p->buffers[i].name = c_names_add(&p->arena, scope, m->buffers.data[i]->reg.name);
}

void c_prepare(CPrinter *p, const Module *m, const EmitInfo *info) {
    p->m = m;
    p->info = info;
    p->params = c_params(&p->arena, &p->scopes, m, info);
    p->buffers = ARENA_ARRAY(&p->arena, m->buffers.len + 1, CVar);
    for (size_t i = 0; i < module_function_count(m); i++)
        add_function(p, module_function(m, i));
    name_buffers(p);
    for (size_t i = 0; i < p->funcs.len; i++)
        func_ready(p, p->funcs.data[i]);
}

void emit_c_source(Buf *out, const Module *m, const EmitInfo *info) {
    CPrinter p = {0};
    c_prepare(&p, m, info);
    put_functions(&p);
    c_put_banner(out, m, info);
    buf_printf(out, "#include \"%s.h\"\n\n", info->name);
    c_put_prelude(&p, out);
    buf_puts(out, buf_str(&p.code));
    c_put_public(&p, out);
    c_put_epilogue(&p, out);
    buf_free(&p.code);
    arena_free(&p.arena);
}
