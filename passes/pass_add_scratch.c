/* add-scratch: gives an op its result `scratch` where its kernels need memory, so that plan-memory
 * sees it as one more value.
 *
 * Needs: layout (a schedule depends on it). Leaves alone: ops that have scratch already. */
#include "passes/lower.h"

void add_scratch(Graph *g, Node *n, const PassContext *cx) {
    const Lowering *l = lowering_of(n->op);
    int slot = op_result_slot(n->op, "scratch");
    bool lacks = l->scratch && slot >= 0 && !node_result(n, "scratch");
    int64_t elems = lacks ? l->scratch(n, cx) : 0;
    if (!elems)
        return;
    const char *name = arena_printf(&g->arena, "%s.scratch", node_out(n)->name);
    node_add_result(g, n, slot, name, type_plain(DT_f32, SHAPE(elems)));
}

bool pass_add_scratch(Graph *g, PassContext *cx) {
    FOR_EACH_NODE(g, n) {
        add_scratch(g, n, cx);
    }
    return true;
}
