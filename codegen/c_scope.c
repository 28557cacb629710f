/* c_scope.c: where a function declares its variables, and which pointers point to const.
 *
 * A register becomes a local that is declared by its first assignment, if the block of that
 * assignment encloses all later uses; a block beside it may declare the name again. Else it is
 * hoisted to the top of the function. The analysis and the printer walk a function alike and
 * number its blocks alike, and c_scope_declares answers for both. */
#include "codegen/c_printer.h"

CVar *c_var(const CFunc *f, const Reg *r) {
    return r->kind == REG_BUFFER ? &f->buffers[r->index] : &f->regs[r->index];
}

const Block *c_body(const CFunc *f) {
    return f->par ? &f->par->u.loop.body : &f->kernel->body;
}

CFunc *c_part(const CFunc *f, const Inst *loop) {
    for (size_t i = 0; i < f->parts.len; i++)
        if (f->parts.data[i]->par == loop)
            return f->parts.data[i];
    return NULL;
}

int c_scope_enter(CFunc *f) {
    f->open[++f->blocks] = true;
    return f->blocks;
}

void c_scope_leave(CFunc *f, int block) {
    f->open[block] = false;
}

bool c_scope_declares(CFunc *f, const Reg *r, int block) {
    CVar *v = c_var(f, r);
    if (v->hoisted || f->open[v->home])
        return false;
    v->home = block;
    return true;
}

static bool is_i64(const Reg *r) {
    return r && r->kind == REG_VALUE && ltype_equal(r->type, ltype(DT_i64, 1));
}

/* ---- constants of steps ---------------------------------------------------------------------- */

static void find_constants(CFunc *f, const Block *body, int *assignments) {
    for (const Inst *in = body->first; in; in = in->next) {
        InstForm form = inst_info(in->op)->form;
        if (in->dst) {
            bool only = assignments[in->dst->index]++ == 0 && in->op == INST_const;
            c_var(f, in->dst)->constant = only && is_i64(in->dst) ? in : NULL;
        }
        if (form == FORM_FOR) {
            find_constants(f, &in->u.loop.body, assignments);
        } else if (form == FORM_WHILE) {
            find_constants(f, &in->u.body, assignments);
        } else if (form == FORM_IF) {
            find_constants(f, &in->u.branch.then, assignments);
            find_constants(f, &in->u.branch.orelse, assignments);
        }
    }
}

/* A kernel names what its code is built for; a step would name every number that it passes on. */
void c_find_constants(CPrinter *p, CFunc *f) {
    if (f->kernel->kind == KERNEL_STEP)
        find_constants(f, &f->kernel->body, ARENA_ARRAY(&p->arena, f->kernel->regs.len + 1, int));
}

/* ---- wide integers --------------------------------------------------------------------------- */

/* Whether an instruction gives data, whatever its operands are. */
static bool gives_data(const Inst *in) {
    switch (inst_info(in->op)->form) {
    case FORM_CONST:
        return in->u.i < INT32_MIN || in->u.i > INT32_MAX;
    case FORM_LOAD:
    case FORM_SPLAT_LOAD:
    case FORM_CONVERT:
        return true;
    default:
        return false;
    }
}

/* Where one of some registers is wide, or `any` is set, all are. Whether that changed something. */
static bool widen(CFunc *f, const Reg *const *regs, int n, bool any) {
    bool changed = false;
    for (int i = 0; i < n; i++)
        any |= is_i64(regs[i]) && c_var(f, regs[i])->wide;
    for (int i = 0; any && i < n; i++)
        if (is_i64(regs[i]) && !c_var(f, regs[i])->wide)
            changed = c_var(f, regs[i])->wide = true;
    return changed;
}

static bool widen_block(CFunc *f, const Block *body) {
    bool changed = false;
    for (const Inst *in = body->first; in; in = in->next) {
        InstForm form = inst_info(in->op)->form;
        if (form == FORM_FOR) {
            changed |= widen(f, (const Reg *[]){in->dst, in->u.loop.lo.reg}, 2, false);
            changed |= widen_block(f, &in->u.loop.body);
        } else if (form == FORM_WHILE) {
            changed |= widen_block(f, &in->u.body);
        } else if (form == FORM_IF) {
            changed |= widen_block(f, &in->u.branch.then);
            changed |= widen_block(f, &in->u.branch.orelse);
        } else if (is_i64(in->dst)) { /* what is converted may be an index all the same */
            const Reg *regs[] = {in->dst, in->src[0], in->src[1], in->src[2]};
            changed |= widen(f, regs, form == FORM_CONVERT ? 1 : 4, gives_data(in));
        }
    }
    return changed;
}

/* A step and its parts come to the same: it is the whole body that is asked. */
void c_find_wide(CFunc *f) {
    while (widen_block(f, &f->kernel->body))
        ;
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* What a part reads and did not assign before has its value from outside. */
static void note_read(CPrinter *p, CFunc *f, const Reg *r) {
    if (!r)
        return;
    CVar *v = c_var(f, r);
    if (v->constant)
        return;
    v->used = v->read = true;
    if (r->kind == REG_BUFFER)
        return;
    if (f->par && !v->home) {
        vec_push(&p->arena, &f->captured, r);
        v->home = TOP_BLOCK;
    }
    if (!f->open[v->home])
        v->hoisted = true;
}

static void note_address(CPrinter *p, CFunc *f, const Addr *a) {
    note_read(p, f, a->base);
    for (int i = 0; i < a->nterms; i++)
        note_read(p, f, a->terms[i].reg);
}

static void note_args(CPrinter *p, CFunc *f, const Inst *in) {
    for (int i = 0; i < in->u.call.nargs; i++) {
        const Arg *arg = &in->u.call.args[i];
        if (arg->addr.base)
            note_address(p, f, &arg->addr);
        else
            note_read(p, f, arg->integer.reg);
    }
}

static void walk(CPrinter *p, CFunc *f, const Block *body, int block);

static void walk_loop(CPrinter *p, CFunc *f, const Inst *in) {
    const CFunc *part = c_part(f, in);
    note_read(p, f, in->u.loop.lo.reg);
    note_read(p, f, in->u.loop.hi.reg);
    for (size_t i = 0; part && i < part->captured.len; i++)
        note_read(p, f, part->captured.data[i]);
    if (part)
        return;
    int inner = c_scope_enter(f);
    c_scope_declares(f, in->dst, inner);
    c_var(f, in->dst)->used = c_var(f, in->dst)->read = true;
    walk(p, f, &in->u.loop.body, inner);
    c_scope_leave(f, inner);
}

static void walk_inner(CPrinter *p, CFunc *f, const Block *body) {
    int inner = c_scope_enter(f);
    walk(p, f, body, inner);
    c_scope_leave(f, inner);
}

static void walk_branch(CPrinter *p, CFunc *f, const Inst *in) {
    walk_inner(p, f, &in->u.branch.then);
    walk_inner(p, f, &in->u.branch.orelse);
}

static void walk(CPrinter *p, CFunc *f, const Block *body, int block) {
    for (const Inst *in = body->first; in; in = in->next) {
        InstForm form = inst_info(in->op)->form;
        for (int i = 0; i < 3; i++)
            note_read(p, f, in->src[i]);
        if (form == FORM_LOAD || form == FORM_SPLAT_LOAD || form == FORM_STORE ||
            form == FORM_PREFETCH || form == FORM_LEA)
            note_address(p, f, &in->u.addr);
        if (form == FORM_CALL)
            note_args(p, f, in);
        if (form == FORM_FOR) {
            walk_loop(p, f, in);
        } else if (form == FORM_WHILE) {
            walk_inner(p, f, &in->u.body);
        } else if (form == FORM_IF) {
            walk_branch(p, f, in);
        } else if (in->dst && !c_var(f, in->dst)->constant) {
            c_var(f, in->dst)->used = true;
            c_scope_declares(f, in->dst, block);
        }
    }
}

static int count_blocks(const Block *body) {
    int n = 1;
    for (const Inst *in = body->first; in; in = in->next) {
        InstForm form = inst_info(in->op)->form;
        if (form == FORM_FOR)
            n += count_blocks(&in->u.loop.body);
        else if (form == FORM_WHILE)
            n += count_blocks(&in->u.body);
        else if (form == FORM_IF)
            n += count_blocks(&in->u.branch.then) + count_blocks(&in->u.branch.orelse);
    }
    return n;
}

/* ---- pointers to const ----------------------------------------------------------------------- */

static bool mark_stored(CFunc *f, const Reg *base) {
    CVar *v = c_var(f, base);
    bool changed = !v->stored;
    v->stored = true;
    return changed;
}

static bool mark_call(CPrinter *p, CFunc *f, const Inst *in) {
    const Kernel *callee = in->u.call.callee;
    const CFunc *to = map_get(&p->by_name, callee->name);
    bool changed = false;
    ensure(to && in->u.call.nargs == (int)callee->params.len);
    for (int i = 0; i < in->u.call.nargs; i++) {
        const Arg *arg = &in->u.call.args[i];
        if (arg->addr.base && c_var(to, callee->params.data[i])->stored)
            changed |= mark_stored(f, arg->addr.base);
    }
    return changed;
}

/* What a part stores through and was given by f. */
static bool mark_part(CFunc *f, const CFunc *part) {
    bool changed = false;
    for (size_t i = 0; i < part->captured.len; i++)
        if (c_var(part, part->captured.data[i])->stored)
            changed |= mark_stored(f, part->captured.data[i]);
    return changed;
}

/* One pass over a block; a pointer made by lea makes its base stored through as well. */
static bool mark_block(CPrinter *p, CFunc *f, const Block *body) {
    bool changed = false;
    for (const Inst *in = body->first; in; in = in->next) {
        switch (inst_info(in->op)->form) {
        case FORM_STORE:
            changed |= mark_stored(f, in->u.addr.base);
            break;
        case FORM_LEA:
            if (c_var(f, in->dst)->stored)
                changed |= mark_stored(f, in->u.addr.base);
            break;
        case FORM_CALL:
            changed |= mark_call(p, f, in);
            break;
        case FORM_FOR:
            changed |=
                c_part(f, in) ? mark_part(f, c_part(f, in)) : mark_block(p, f, &in->u.loop.body);
            break;
        case FORM_WHILE:
            changed |= mark_block(p, f, &in->u.body);
            break;
        case FORM_IF:
            changed |= mark_block(p, f, &in->u.branch.then);
            changed |= mark_block(p, f, &in->u.branch.orelse);
            break;
        default:
            break;
        }
    }
    return changed;
}

/* ---- buffers --------------------------------------------------------------------------------- */

static void add_use(CPrinter *p, CFunc *f, const Reg *r) {
    if (!r || r->kind != REG_BUFFER || f->buffers[r->index].used)
        return;
    f->buffers[r->index].used = true;
    vec_push(&p->arena, &f->uses, ((CUse){p->m->buffers.data[r->index], false}));
}

/* Finds the buffers of a block: only addresses have some. */
static void find_uses(CPrinter *p, CFunc *f, const Block *body) {
    for (Inst *in = body->first; in; in = in->next) {
        switch (inst_info(in->op)->form) {
        case FORM_LOAD:
        case FORM_SPLAT_LOAD:
        case FORM_STORE:
        case FORM_PREFETCH:
        case FORM_LEA:
            add_use(p, f, in->u.addr.base);
            break;
        case FORM_CALL:
            for (int i = 0; i < in->u.call.nargs; i++)
                add_use(p, f, in->u.call.args[i].addr.base);
            break;
        case FORM_FOR:
            if (!c_part(f, in))
                find_uses(p, f, &in->u.loop.body);
            break;
        case FORM_WHILE:
            find_uses(p, f, &in->u.body);
            break;
        case FORM_IF:
            find_uses(p, f, &in->u.branch.then);
            find_uses(p, f, &in->u.branch.orelse);
            break;
        default:
            break;
        }
    }
}

/* Takes what the analysis found out about buffers away from them, for the next function. */
static void keep_uses(CFunc *f) {
    for (size_t i = 0; i < f->uses.len; i++) {
        CVar *v = &f->buffers[f->uses.data[i].buffer->reg.index];
        f->uses.data[i].stored = v->stored;
        v->used = v->read = v->stored = false;
    }
}

void c_use_buffers(CFunc *f) {
    for (size_t i = 0; i < f->uses.len; i++) {
        CVar *v = &f->buffers[f->uses.data[i].buffer->reg.index];
        v->used = v->read = true;
        v->stored = f->uses.data[i].stored;
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void rewind_scopes(CFunc *f) {
    f->blocks = TOP_BLOCK;
    f->open[TOP_BLOCK] = true;
    for (size_t i = 0; i < f->kernel->regs.len; i++)
        f->regs[i].home = i < f->kernel->params.len && !f->par ? TOP_BLOCK : 0;
    for (size_t i = 0; i < f->captured.len; i++)
        c_var(f, f->captured.data[i])->home = TOP_BLOCK;
    if (f->par)
        c_var(f, f->par->dst)->home = TOP_BLOCK;
}

void c_analyse(CPrinter *p, CFunc *f) {
    const Block *body = c_body(f);
    f->open = ARENA_ARRAY(&p->arena, count_blocks(body) + 1, bool);
    rewind_scopes(f);
    find_uses(p, f, body);
    walk(p, f, body, TOP_BLOCK);
    if (f->par && c_var(f, f->par->dst)->read)
        note_read(p, f, f->par->u.loop.lo.reg);
    rewind_scopes(f);
    while (mark_block(p, f, body))
        ;
    keep_uses(f);
}
