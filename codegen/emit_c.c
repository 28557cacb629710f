/* emit_c.c: NAME.c: prelude, kernels, steps, run body, public functions.
 *
 * A kernel is a static function over pointers and sizes, a step one over the arguments of a run, as
 * NAME_job holds them. Each instruction is one statement made from the C template of its row in
 * ir/insts.def; what C can't say is a macro of c_prelude.def. Steps and the run body have a local
 * pointer for each buffer that they use. The rounds of a step's `par` loops are a function of their
 * own, over (context, index): the context is the job, or a struct that begins with it and has the
 * registers that the rounds read. */
#include "codegen/c_printer.h"

#include <string.h>

/* ---- operands -------------------------------------------------------------------------------- */

static const char *var_name(CPrinter *p, const Reg *r) {
    const CVar *v = c_var(p->func, r);
    if (!v->constant)
        return v->name;
    const char *s = c_literal_i(&p->arena, DT_i64, v->constant->u.i);
    return v->constant->u.i < 0 ? arena_printf(&p->arena, "(%s)", s) : s;
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
        return arena_printf(&p->arena, "%s %s", c_reg_type(&p->arena, &p->types, r->type, v->wide),
                            v->name);
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
    CBindings v = {.type = in->dst->type,
                   .wide = c_var(p->func, in->dst)->wide,
                   .from = in->dst->type,
                   .op = in->op,
                   .dst = dst};
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
        buf_printf(&p->code, "%s = %s(%s);", dst, c_macro(p, in->op, t, t),
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

static void put_prefetch(CPrinter *p, const Inst *in) {
    LType t = in->u.addr.base->type;
    const char *i = offset(p, &in->u.addr);
    begin_line(p);
    buf_printf(&p->code, "%s(%s, %s);\n", c_macro(p, INST_prefetch, t, t),
               var_name(p, in->u.addr.base), *i ? i : "0");
}

static void put_step_done(CPrinter *p, const CFunc *step) {
    begin_line(p);
    buf_printf(&p->code, "%s_STEP_DONE(%zu);\n", c_upper(&p->arena, p->info->name), step->step);
}

static void put_call(CPrinter *p, const Inst *in) {
    const CFunc *callee = map_get(&p->by_name, in->u.call.callee->name);
    CItems items = {0};
    if (callee->kernel->kind == KERNEL_STEP)
        vec_push(&p->arena, &items, "job");
    for (int i = 0; i < in->u.call.nargs; i++) {
        const Arg *arg = &in->u.call.args[i];
        const char *s = arg->addr.base ? pointer(p, &arg->addr) : bound(p, &arg->integer);
        const Reg *r = arg->addr.base ? NULL : arg->integer.reg;
        if (r && c_var(p->func, r)->wide && !c_var(callee, callee->kernel->params.data[i])->wide)
            s = arena_printf(&p->arena, "(ptrdiff_t)%s", s);
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
    if (callee->kernel->kind == KERNEL_STEP)
        put_step_done(p, callee);
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

/* How many rounds a loop has, as a size_t. */
static const char *rounds(CPrinter *p, const Inst *in) {
    const Bound *lo = &in->u.loop.lo, *hi = &in->u.loop.hi;
    long long step = (long long)in->u.loop.step;
    if (!lo->reg && !hi->reg)
        return arena_printf(
            &p->arena, "%lld",
            (long long)(hi->value > lo->value ? (hi->value - lo->value - 1) / step + 1 : 0));
    const char *from = bound(p, lo), *to = bound(p, hi);
    return arena_printf(&p->arena, "%s > %s ? (size_t)((%s - %s - 1) / %lld + 1) : 0", to, from, to,
                        from, step);
}

static void put_line(CPrinter *p, const char *text) {
    begin_line(p);
    buf_puts(&p->code, text);
}

/* NAME_parts(job->pool, 16, step_part, job); with captured registers in a struct, `closure`. */
static void put_parts(CPrinter *p, const CFunc *part, const Inst *in) {
    const char *context = "job";
    bool captures = part->captured.len > 0;
    if (captures) {
        context = "&closure";
        put_line(p, "{\n");
        p->indent += 4;
        put_line(p, arena_printf(&p->arena, "%s_closure closure;\n", part->name));
        put_line(p, "closure.job = job;\n");
        for (size_t i = 0; i < part->captured.len; i++) {
            const Reg *r = part->captured.data[i];
            put_line(p, arena_printf(&p->arena, "closure.%s = %s;\n", c_var(part, r)->name,
                                     var_name(p, r)));
        }
    }
    put_line(p, arena_printf(&p->arena, "%s_parts(job->pool, %s, %s, %s);\n", p->info->name,
                             rounds(p, in), part->name, context));
    if (captures) {
        p->indent -= 4;
        put_line(p, "}\n");
    }
    p->origin = NULL;
}

static void put_for(CPrinter *p, const Inst *in) {
    const CFunc *part = c_part(p->func, in);
    if (part) {
        put_parts(p, part, in);
        return;
    }
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
        case FORM_PREFETCH:
            put_prefetch(p, in);
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
            if (!c_var(p->func, in->dst)->constant)
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
    put_block(p, c_body(f), TOP_BLOCK);
    buf_puts(&p->code, "}\n");
}

enum { SHOWN_ORIGINS = 3 };

static const char *comment_text(CPrinter *p, const char *origin) {
    Buf b = {0};
    c_put_comment(&b, origin);
    const char *s = arena_strdup(&p->arena, buf_str(&b));
    buf_free(&b);
    return s;
}

static void put_origins(CPrinter *p, const CItems *origins) {
    CItems shown = {0};
    const char *tail = " */";
    if (!origins->len)
        return;
    for (size_t i = 0; i < origins->len && i < SHOWN_ORIGINS; i++)
        vec_push(&p->arena, &shown, comment_text(p, origins->data[i]));
    if (origins->len > SHOWN_ORIGINS)
        tail = arena_printf(&p->arena, " and %zu more */", origins->len - SHOWN_ORIGINS);
    c_put_list(&p->code, 3, "/* ", &shown, tail);
    buf_putc(&p->code, '\n');
}

static void put_params_unread(CPrinter *p, const CFunc *f) {
    for (size_t i = 0; i < f->kernel->params.len; i++)
        if (!f->regs[i].read)
            buf_printf(&p->code, "    (void)%s;\n", f->regs[i].name);
}

static void put_kernel(CPrinter *p, CFunc *f) {
    const Kernel *k = f->kernel;
    CItems params = {0};
    p->func = f;
    for (size_t i = 0; i < k->params.len; i++)
        vec_push(&p->arena, &params, declaration(p, k->params.data[i]));
    if (!params.len)
        vec_push(&p->arena, &params, "void");
    put_origins(p, &f->origins);
    const char *head = arena_printf(&p->arena, "KERNEL void %s(", f->name);
    c_put_list(&p->code, (int)strlen(head), head, &params, ") {");
    buf_putc(&p->code, '\n');
    put_params_unread(p, f);
    put_body(p, f);
    buf_putc(&p->code, '\n');
}

/* ---- steps and the run body ------------------------------------------------------------------ */

static const char buffer_macros[] =
    "#define WEIGHTS(type, offset) \\\n"
    "    ((const type *)(const void *)((const unsigned char *)job->weights + (offset)))\n"
    "#define ARENA(type, offset) ((type *)(void *)((unsigned char *)job->arena + (offset)))\n\n";

/* float *const t1 = ARENA(float, 4096); const float *const input = job->input; */
static void put_buffer(CPrinter *p, const CUse *use) {
    const Buffer *b = use->buffer;
    bool weights = b->kind == BUF_WEIGHTS;
    const char *type = dtype_c_name(b->reg.type.dtype), *name = p->buffers[b->reg.index].name;
    buf_printf(&p->code, "    %s%s *const %s = ", use->stored ? "" : "const ", type, name);
    if (b->kind == BUF_INPUT || b->kind == BUF_OUTPUT)
        buf_printf(&p->code, "job->%s;\n", name);
    else
        buf_printf(&p->code, "%s(%s, %lld);\n", weights ? "WEIGHTS" : "ARENA", type,
                   (long long)b->offset);
}

static void put_body_with_buffers(CPrinter *p, CFunc *f) {
    c_use_buffers(f);
    for (size_t i = 0; i < f->uses.len; i++)
        put_buffer(p, &f->uses.data[i]);
    put_body(p, f);
    buf_putc(&p->code, '\n');
}

/* The struct that holds what a part captures; void where that is nothing but the job. */
static void put_closure(CPrinter *p, CFunc *part) {
    if (!part->captured.len)
        return;
    p->func = part;
    buf_printf(&p->code, "typedef struct %s_closure {\n    %s_job *job;\n", part->name,
               p->info->name);
    for (size_t i = 0; i < part->captured.len; i++)
        buf_printf(&p->code, "    %s;\n", declaration(p, part->captured.data[i]));
    buf_printf(&p->code, "} %s_closure;\n\n", part->name);
}

/* Locals from (context, index): the job, captured registers, the loop variable. */
static void put_part_locals(CPrinter *p, CFunc *part) {
    const char *name = p->info->name;
    if (part->captured.len)
        buf_printf(&p->code, "    const %s_closure *closure = (const %s_closure *)context;\n",
                   part->name, part->name);
    else if (!part->uses.len)
        buf_puts(&p->code, "    (void)context;\n");
    if (part->uses.len && part->captured.len)
        buf_printf(&p->code, "    const %s_job *job = closure->job;\n", name);
    else if (part->uses.len)
        buf_printf(&p->code, "    const %s_job *job = (const %s_job *)context;\n", name, name);
    for (size_t i = 0; i < part->captured.len; i++) {
        const Reg *r = part->captured.data[i];
        buf_printf(&p->code, "    %s = closure->%s;\n", declaration(p, r), var_name(p, r));
    }
}

static void put_part_index(CPrinter *p, CFunc *part) {
    const Inst *loop = part->par;
    const CVar *i = c_var(part, loop->dst);
    if (!i->read) {
        buf_puts(&p->code, "    (void)part_index;\n");
        return;
    }
    buf_printf(&p->code, "    const %s = ", declaration(p, loop->dst));
    if (loop->u.loop.lo.reg || loop->u.loop.lo.value)
        buf_printf(&p->code, "%s + ", bound(p, &loop->u.loop.lo));
    if (loop->u.loop.step != 1)
        buf_printf(&p->code, "%lld * ", (long long)loop->u.loop.step);
    buf_puts(&p->code, "(ptrdiff_t)part_index;\n");
}

static void put_part(CPrinter *p, CFunc *part) {
    put_closure(p, part);
    p->func = part;
    put_origins(p, &part->origins);
    buf_printf(&p->code, "KERNEL void %s(void *context, size_t part_index) {\n", part->name);
    put_part_locals(p, part);
    put_part_index(p, part);
    put_body_with_buffers(p, part);
}

static bool calls_steps(const Block *body) {
    for (const Inst *in = body->first; in; in = in->next) {
        InstForm form = inst_info(in->op)->form;
        if (form == FORM_CALL    ? in->u.call.callee->kind == KERNEL_STEP
            : form == FORM_FOR   ? calls_steps(&in->u.loop.body)
            : form == FORM_WHILE ? calls_steps(&in->u.body)
                                 : form == FORM_IF && (calls_steps(&in->u.branch.then) ||
                                                       calls_steps(&in->u.branch.orelse)))
            return true;
    }
    return false;
}

static void put_step_head(CPrinter *p, CFunc *f) {
    CItems params = {0};
    p->func = f;
    vec_push(&p->arena, &params, arena_printf(&p->arena, "%s_job *job", p->info->name));
    for (size_t i = 0; i < f->kernel->params.len; i++)
        vec_push(&p->arena, &params, declaration(p, f->kernel->params.data[i]));
    const char *head = arena_printf(&p->arena, "KERNEL void %s(", f->name);
    c_put_list(&p->code, (int)strlen(head), head, &params, ") {");
    buf_putc(&p->code, '\n');
    put_params_unread(p, f);
}

/* A step or the run body. */
static void put_step(CPrinter *p, CFunc *f) {
    for (size_t i = 0; i < f->parts.len; i++)
        put_part(p, f->parts.data[i]);
    put_origins(p, &f->origins);
    put_step_head(p, f);
    if (!f->uses.len && !f->parts.len && !calls_steps(&f->kernel->body))
        buf_puts(&p->code, "    (void)job;\n");
    put_body_with_buffers(p, f);
}

bool c_has_parts(const CPrinter *p) {
    for (size_t i = 0; i < p->funcs.len; i++)
        if (p->funcs.data[i]->parts.len)
            return true;
    return false;
}

static void put_functions(CPrinter *p) {
    for (size_t i = 0; i < p->funcs.len; i++) {
        CFunc *f = p->funcs.data[i];
        if (i == p->m->kernels.len) {
            buf_puts(&p->code, buffer_macros);
            c_put_job(p, &p->code, c_has_parts(p));
            if (p->m->steps.len)
                c_put_step_hook(p, &p->code);
        }
        if (f->kernel->kind == KERNEL_PLAIN)
            put_kernel(p, f);
        else
            put_step(p, f);
    }
}

/* ---- set-up ---------------------------------------------------------------------------------- */

/* Steps and the run body call functions, so that their locals must not hide them. */
static const char *add_name(CPrinter *p, const char *text) {
    const char *wanted = c_function_name(&p->arena, text);
    const char *name = c_names_add(&p->arena, &p->scopes.args, wanted);
    c_names_take(&p->arena, &p->scopes.file, name);
    return name;
}

static const char *function_name(CPrinter *p, const Kernel *k) {
    return k->kind == KERNEL_RUN ? arena_printf(&p->arena, "%s_body", p->info->name)
                                 : add_name(p, k->name);
}

static CFunc *new_function(CPrinter *p, const Kernel *k, const char *name, const Inst *par) {
    CFunc *f = ARENA_NEW(&p->arena, CFunc);
    f->kernel = k;
    f->par = par;
    f->name = name;
    f->buffers = p->buffers;
    f->names.outer = k->kind == KERNEL_PLAIN ? &p->scopes.file : &p->scopes.buffers;
    f->regs = ARENA_ARRAY(&p->arena, k->regs.len + 1, CVar);
    return f;
}

/* A function for each outermost `par` loop of a step. */
static void add_parts(CPrinter *p, CFunc *step, const Block *body) {
    for (const Inst *in = body->first; in; in = in->next) {
        InstForm form = inst_info(in->op)->form;
        if (in->op == INST_par) {
            const char *name = arena_printf(&p->arena, "%s_part", step->kernel->name);
            vec_push(&p->arena, &step->parts, new_function(p, step->kernel, add_name(p, name), in));
        } else if (form == FORM_FOR) {
            add_parts(p, step, &in->u.loop.body);
        } else if (form == FORM_WHILE) {
            add_parts(p, step, &in->u.body);
        } else if (form == FORM_IF) {
            add_parts(p, step, &in->u.branch.then);
            add_parts(p, step, &in->u.branch.orelse);
        }
    }
}

static void add_function(CPrinter *p, const Kernel *k) {
    CFunc *f = new_function(p, k, function_name(p, k), NULL);
    if (k->kind == KERNEL_STEP) {
        f->step = p->funcs.len - p->m->kernels.len;
        add_parts(p, f, &k->body);
    }
    if (k->kind != KERNEL_RUN)
        map_put(&p->arena, &p->by_name, k->name, f);
    vec_push(&p->arena, &p->funcs, f);
}

/* A call of a kernel has an origin, or the step that it is in has. */
static void take_origin(CPrinter *p, const CFunc *caller, CFunc *callee, const Inst *call) {
    const char *origin = call->comment ? call->comment : caller->kernel->origin;
    if (origin && map_put(&p->arena, &callee->origin_names, origin, callee))
        vec_push(&p->arena, &callee->origins, origin);
}

static void look_at_calls(CPrinter *p, CFunc *f, const Block *body) {
    for (const Inst *in = body->first; in; in = in->next) {
        InstForm form = inst_info(in->op)->form;
        if (form == FORM_CALL) {
            CFunc *callee = map_get(&p->by_name, in->u.call.callee->name);
            take_origin(p, f, callee, in);
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

static void func_ready(CPrinter *p, CFunc *f) {
    const Kernel *k = f->kernel;
    for (size_t i = 0; i < f->parts.len; i++)
        func_ready(p, f->parts.data[i]);
    c_find_constants(p, f);
    c_find_wide(f);
    for (size_t i = 0; i < k->regs.len; i++)
        if (!f->regs[i].constant)
            f->regs[i].name = c_names_add(&p->arena, &f->names, k->regs.data[i]->name);
    c_analyse(p, f);
    if (k->kind != KERNEL_PLAIN && k->origin)
        vec_push(&p->arena, &f->origins, k->origin);
    if (k->kind != KERNEL_PLAIN && !f->par)
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
    c_put_pictures(&p, out);
    c_put_selftest(&p, out);
    c_put_epilogue(&p, out);
    buf_free(&p.code);
    arena_free(&p.arena);
}
