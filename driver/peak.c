/* peak.c: the module that measures what the multiply-add units of a machine can do.
 *
 * It goes the way of every model, loop IR to C, so that "share of the peak" compares code of one
 * compiler with the same flags. The chains are as many as leave a register of 16 for the operand:
 * two units with a latency of 4 or 5 cycles need 10, and of a multiplication and an addition, of
 * 6 together, 12 at least. */
#include "driver/driver.h"

/* sum = sum * x + x, as the target multiplies and adds. */
static void build_multiply_add(Builder *b, const Target *t, Reg *sum, Reg *x) {
    if (t->fma) {
        build_op_to(b, INST_fma, sum, sum, x, x);
        return;
    }
    build_op_to(b, INST_mul, sum, sum, x, NULL);
    build_op_to(b, INST_add, sum, sum, x, NULL);
}

/* chains(out): all sums tend to 1. They start apart, and none there, so that compilers find neither
 * equal nor constant ones. */
static Kernel *peak_kernel(Module *m) {
    Kernel *k = module_kernel(m, "chains");
    LType t = ltype(DT_f32, target_lanes(m->target));
    Reg *out = kernel_param_ptr(k, "out", DT_f32), *sum[PEAK_CHAINS];
    Builder b = build_begin(k);
    Reg *x = build_const_f(&b, "x", t, 0.5);
    for (int i = 0; i < PEAK_CHAINS; i++)
        sum[i] = build_const_f(&b, "sum", t, 2 + i);
    build_for(&b, "round", bound_const(0), bound_const(PEAK_ROUNDS), 1);
    for (int i = 0; i < PEAK_CHAINS; i++)
        build_multiply_add(&b, m->target, sum[i], x);
    build_close(&b);
    for (int i = 1; i < PEAK_CHAINS; i++)
        build_op_to(&b, INST_add, sum[0], sum[0], sum[i], NULL);
    build_store(&b, addr_of(out, 0), sum[0]);
    build_end(&b);
    return k;
}

Module *peak_module(const Target *t, int64_t parts) {
    Module *m = module_new("peak", t);
    int64_t lanes = target_lanes(t);
    Buffer *out = module_buffer(m, "sums", BUF_OUTPUT, DT_f32, parts * lanes, 0);
    Kernel *chains = peak_kernel(m), *step = step_new(m, "all", NULL);
    Builder b = build_begin(step);
    Reg *part = build_par(&b, "part", bound_const(0), bound_const(parts));
    Arg arg = arg_addr(addr_plus(addr_of(&out->reg, 0), part, lanes));
    build_call(&b, chains, &arg, 1, NULL);
    build_close(&b);
    build_end(&b);
    module_add_step(m, step);
    Builder run = build_begin(m->run);
    build_call(&run, step, NULL, 0, NULL);
    build_end(&run);
    return m;
}
