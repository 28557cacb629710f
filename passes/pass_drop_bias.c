/* drop-bias: a bias of zeros leaves its convolution or dense layer. Exporters that fold batch norms
 * write one or not where a network is not trained, or was trained without shifts.
 *
 * Needs: fold-scale and fold-input, which make some of them. Leaves alone: a bias with another
 * number in it, a minus zero too, and one that is not known. */
#include "passes/match.h"

#include <string.h>

static bool is_zeros(const Value *v) {
    const float *x = constant_f32(v);
    const char *bytes = (const char *)x;
    size_t size = x ? (size_t)tensor_bytes(v->constant) : 0;
    return size && !bytes[0] && memcmp(bytes, bytes + 1, size - 1) == 0;
}

bool pass_drop_bias(Graph *g, PassContext *cx) {
    (void)cx;
    FOR_EACH_NODE(g, n) {
        if (has_weights(n) && node_in(n, 2) && is_zeros(node_in(n, 2)))
            node_set_operand(n, 2, NULL);
    }
    graph_dce(g);
    return true;
}
