/* loop_edit.c: how loop passes change kernels. */
#include "ir/loop.h"
#include "ir/loop_internal.h"

static void visit_block(Kernel *k, Block *block, InstVisitor *f, void *ctx) {
    Inst **link = &block->first;
    block->last = NULL;
    while (*link) {
        Inst *in = *link, *after = in->next;
        f(ctx, k, link);
        Block *inner[2];
        int n = *link == in ? inst_blocks(in, inner) : 0;
        for (int i = 0; i < n; i++)
            visit_block(k, inner[i], f, ctx);
        for (; *link != after; link = &(*link)->next)
            block->last = *link;
    }
}

void kernel_visit(Kernel *k, InstVisitor *f, void *ctx) {
    visit_block(k, &k->body, f, ctx);
}

void block_splice(Inst **link, Block *from) {
    Inst *after = (*link)->next;
    if (from->first) {
        from->last->next = after;
        *link = from->first;
    } else {
        *link = after;
    }
    *from = (Block){0};
}

void block_prepend(Block *to, Block *from) {
    if (!from->first)
        return;
    from->last->next = to->first;
    to->first = from->first;
    if (!to->last)
        to->last = from->last;
    *from = (Block){0};
}
