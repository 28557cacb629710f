/* expand-fma: fma becomes mul and add, two roundings, where the target has no fused form.
 *
 * Needs: expand-math (its polynomials are made of fma). Leaves alone: targets that have one. */
#include "passes/passes.h"

typedef struct Expansion {
    Reg *product; /* shared by the kernel's expansions of one type */
} Expansion;

static void expand(void *ctx, Kernel *k, Inst **link) {
    Expansion *e = ctx;
    Inst *in = *link;
    if (in->op != INST_fma)
        return;
    if (!e->product || !ltype_equal(e->product->type, in->dst->type))
        e->product = kernel_reg(k, "product", in->dst->type);
    Block sequence = {0};
    Builder b = build_detached(k, &sequence);
    build_op_to(&b, INST_mul, e->product, in->src[0], in->src[1], NULL);
    build_op_to(&b, INST_add, in->dst, e->product, in->src[2], NULL);
    build_end(&b);
    block_splice(link, &sequence);
}

bool pass_expand_fma(Module *m, PassContext *cx) {
    if (cx->target->fma)
        return true;
    for (size_t i = 0; i < module_function_count(m); i++)
        kernel_visit(module_function(m, i), expand, &(Expansion){0});
    return true;
}
