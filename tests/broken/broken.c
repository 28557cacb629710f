/* broken.c: a build of the command with faults, for the tests of `effnetc verify`.
 *
 * The linker puts these functions in the place of the real ones (--wrap), which they call. The
 * environment variable EFFNETC_BREAK says which one does harm:
 *
 *   fuse-act      the first convolution with an activation loses it
 *   lower         the first packed weights are zeros
 *   expand-math   what takes the larger of two floats takes the smaller
 *   c             the same, in the C text alone */
#include "codegen/codegen.h"
#include "passes/passes.h"

#include <stdlib.h>
#include <string.h>

GraphPass __real_pass_fuse_act, __wrap_pass_fuse_act;
LoopPass __real_pass_expand_math, __wrap_pass_expand_math;
Module *__real_lower_graph(Graph *g, PassContext *cx);
Module *__wrap_lower_graph(Graph *g, PassContext *cx);
void __real_emit_c_source(Buf *out, const Module *m, const EmitInfo *info);
void __wrap_emit_c_source(Buf *out, const Module *m, const EmitInfo *info);

static bool is_broken(const char *what) {
    const char *name = getenv("EFFNETC_BREAK");
    return name && strcmp(name, what) == 0;
}

bool __wrap_pass_fuse_act(Graph *g, PassContext *cx) {
    bool ok = __real_pass_fuse_act(g, cx);
    if (!is_broken("fuse-act"))
        return ok;
    FOR_EACH_NODE(g, n) {
        if (n->op == OP_conv2d && conv_attrs(n)->act != ACT_none) {
            conv_attrs(n)->act = ACT_none;
            break;
        }
    }
    return ok;
}

Module *__wrap_lower_graph(Graph *g, PassContext *cx) {
    Module *m = __real_lower_graph(g, cx);
    for (size_t i = 0; m && is_broken("lower") && i < m->buffers.len; i++) {
        const Buffer *b = m->buffers.data[i];
        if (b->kind != BUF_WEIGHTS)
            continue;
        memset(m->packed.data + b->offset, 0, (size_t)b->elems * sizeof(float));
        break;
    }
    return m;
}

/* Swaps max and min of floats in one instruction. */
static void swap(void *context, Kernel *k, Inst **link) {
    (void)context, (void)k;
    Inst *in = *link;
    if ((in->op == INST_max || in->op == INST_min) && dtype_is_float(in->dst->type.dtype))
        in->op = in->op == INST_max ? INST_min : INST_max;
}

static void swap_all(const Module *m) {
    for (size_t i = 0; i < m->kernels.len; i++)
        kernel_visit(m->kernels.data[i], swap, NULL);
}

bool __wrap_pass_expand_math(Module *m, PassContext *cx) {
    bool ok = __real_pass_expand_math(m, cx);
    if (is_broken("expand-math"))
        swap_all(m);
    return ok;
}

void __wrap_emit_c_source(Buf *out, const Module *m, const EmitInfo *info) {
    if (is_broken("c"))
        swap_all(m);
    __real_emit_c_source(out, m, info);
    if (is_broken("c"))
        swap_all(m);
}
