/* fold-constants: every value that depends on constants alone becomes a constant.
 *
 * Needs: nothing. Leaves alone: results of more than FOLD_LIMIT elements, and what depends on a
 * constant whose elements were elided from an IR text. */
#include "passes/passes.h"

enum { FOLD_LIMIT = 1 << 26 };

static bool reads_only_constants(const Node *n) {
    for (int i = 0; i < n->noperands; i++) {
        const Value *v = node_in(n, i);
        if (v && !v->constant)
            return false;
    }
    return true;
}

bool pass_fold_constants(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE_SAFE(g, n) {
        if (reads_only_constants(n))
            graph_fold_value(g, node_out(n), FOLD_LIMIT);
    }
    graph_dce(g);
    return true;
}
