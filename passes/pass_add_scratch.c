/* add-scratch: gives an op a second result, its scratch memory, where its kernels need some, so
 * that plan-memory sees it as one more value.
 *
 * Needs: layout (a schedule depends on it). Leaves alone: ops that have scratch already. */
#include "passes/lower.h"

bool pass_add_scratch(Graph *g, PassContext *cx) {
    FOR_EACH_NODE(g, n) {
        const Lowering *l = lowering_of(n->op);
        int64_t elems = l->scratch && n->nresults == 1 ? l->scratch(n, cx) : 0;
        if (!elems)
            continue;
        const char *name = arena_printf(&g->arena, "%s.scratch", node_out(n)->name);
        node_add_result(g, n, graph_unique_name(g, name), type_plain(DT_f32, SHAPE(elems)));
    }
    return true;
}
