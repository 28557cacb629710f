/* peak.c: the module that measures what the multiply-add units of a machine can do.
 *
 * It goes the way of every model, loop IR to C, so that "share of the peak" compares code of one
 * compiler with the same flags. Twelve chains cover the latency of the units (4 or 5 cycles, two
 * units) and leave registers for the two operands where there are 16. */
#include "driver/driver.h"

/* sum = sum * x + y, as the target multiplies and adds. */
static void build_multiply_add(Builder *b, const Target *t, Reg *sum, Reg *x, Reg *y) {
    if (t->fma) {
        build_op_to(b, INST_fma, sum, sum, x, y);
        return;
    }
    build_op_to(b, INST_mul, sum, sum, x, NULL);
    build_op_to(b, INST_add, sum, sum, y, NULL);
}

/* chains(out): all sums tend to 2, and start apart so that no two are one. */
static Kernel *peak_kernel(Module *m) {
    Kernel *k = module_kernel(m, "chains");
    LType t = ltype(DT_f32, target_lanes(m->target));
    Reg *out = kernel_param_ptr(k, "out", DT_f32), *sum[PEAK_CHAINS];
    Builder b = build_begin(k);
    Reg *x = build_const_f(&b, "x", t, 0.5), *y = build_const_f(&b, "y", t, 1);
    for (int i = 0; i < PEAK_CHAINS; i++)
        sum[i] = build_const_f(&b, "sum", t, i);
    build_for(&b, "round", bound_const(0), bound_const(PEAK_ROUNDS), 1);
    for (int i = 0; i < PEAK_CHAINS; i++)
        build_multiply_add(&b, m->target, sum[i], x, y);
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
