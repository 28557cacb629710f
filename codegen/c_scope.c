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

/* ---- the walk -------------------------------------------------------------------------------- */

static void note_read(CFunc *f, const Reg *r) {
    if (!r)
        return;
    CVar *v = c_var(f, r);
    v->used = v->read = true;
    if (r->kind != REG_BUFFER && !f->open[v->home])
        v->hoisted = true;
}

static void note_address(CFunc *f, const Addr *a) {
    note_read(f, a->base);
    for (int i = 0; i < a->nterms; i++)
        note_read(f, a->terms[i].reg);
}

static void note_args(CFunc *f, const Inst *in) {
    for (int i = 0; i < in->u.call.nargs; i++) {
        const Arg *arg = &in->u.call.args[i];
        if (arg->addr.base)
            note_address(f, &arg->addr);
        else
            note_read(f, arg->integer.reg);
    }
}

static void walk(CFunc *f, const Block *body, int block);

static void walk_loop(CFunc *f, const Inst *in) {
    note_read(f, in->u.loop.lo.reg);
    note_read(f, in->u.loop.hi.reg);
    int inner = c_scope_enter(f);
    c_scope_declares(f, in->dst, inner);
    c_var(f, in->dst)->used = c_var(f, in->dst)->read = true;
    walk(f, &in->u.loop.body, inner);
    c_scope_leave(f, inner);
}

static void walk_inner(CFunc *f, const Block *body) {
    int inner = c_scope_enter(f);
    walk(f, body, inner);
    c_scope_leave(f, inner);
}

static void walk_branch(CFunc *f, const Inst *in) {
    walk_inner(f, &in->u.branch.then);
    walk_inner(f, &in->u.branch.orelse);
}

static void walk(CFunc *f, const Block *body, int block) {
    for (const Inst *in = body->first; in; in = in->next) {
        InstForm form = inst_info(in->op)->form;
        for (int i = 0; i < 3; i++)
            note_read(f, in->src[i]);
        if (form == FORM_LOAD || form == FORM_SPLAT_LOAD || form == FORM_STORE || form == FORM_LEA)
            note_address(f, &in->u.addr);
        if (form == FORM_CALL)
            note_args(f, in);
        if (form == FORM_FOR) {
            walk_loop(f, in);
        } else if (form == FORM_WHILE) {
            walk_inner(f, &in->u.body);
        } else if (form == FORM_IF) {
            walk_branch(f, in);
        } else if (in->dst) {
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
            changed |= mark_block(p, f, &in->u.loop.body);
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
        case FORM_LEA:
            add_use(p, f, in->u.addr.base);
            break;
        case FORM_CALL:
            for (int i = 0; i < in->u.call.nargs; i++)
                add_use(p, f, in->u.call.args[i].addr.base);
            break;
        case FORM_FOR:
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
        f->regs[i].home = i < f->kernel->params.len ? TOP_BLOCK : 0;
}

void c_analyse(CPrinter *p, CFunc *f) {
    const Kernel *k = f->kernel;
    f->open = ARENA_ARRAY(&p->arena, count_blocks(&k->body) + 1, bool);
    rewind_scopes(f);
    find_uses(p, f, &k->body);
    walk(f, &k->body, TOP_BLOCK);
    rewind_scopes(f);
    while (mark_block(p, f, &k->body))
        ;
    keep_uses(f);
}
