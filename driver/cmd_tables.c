/* cmd_tables.c: effnetc ops, passes, targets: the tables, as they are compiled in. */
#include "driver/driver.h"

#include "frontend/frontend.h"

/* "7.." or "7..12": opset versions. */
static void print_ops(Context *cx, const void *options) {
    (void)cx;
    (void)options;
    for (size_t i = 0; i < onnx_op_count(); i++) {
        const OnnxOp *o = onnx_op_at(i);
        printf("%-28s %-14s opset %d..", o->name, *o->domain ? o->domain : "ai.onnx", o->since);
        printf(o->until ? "%d\n" : "\n", o->until);
    }
}

void print_pass_table(void) {
    static const char *const level[] = {
        [PASS_GRAPH] = "graph", [PASS_LOWER] = "lower", [PASS_LOOP] = "loop"};
    for (size_t i = 0; i < pass_count(); i++)
        printf("%-17s %-6s %s\n", pass_at(i)->name, level[pass_at(i)->level], pass_at(i)->help);
}

static void print_passes(Context *cx, const void *options) {
    (void)cx;
    (void)options;
    print_pass_table();
}

static void print_targets(Context *cx, const void *options) {
    (void)cx;
    (void)options;
    for (size_t i = 0; i < target_count(); i++) {
        const Target *t = target_at(i);
        printf("%-12s %3d-bit vectors, %d registers%s  %s%s\n", t->name, t->vector_bytes * 8,
               t->vector_regs, t->fma ? ", fma" : "     ", t->summary,
               t == target_native() ? " (native)" : "");
    }
}

const Command command_ops = {
    .name = "ops",
    .args = "",
    .summary = "print the ONNX operators that are imported, and the opset versions of each",
    .about = "",
    .size = sizeof(CommonOptions),
    .run = print_ops,
};

const Command command_passes = {
    .name = "passes",
    .args = "",
    .summary = "print the passes",
    .about = "",
    .size = sizeof(CommonOptions),
    .run = print_passes,
};

const Command command_targets = {
    .name = "targets",
    .args = "",
    .summary = "print the targets",
    .about = "",
    .size = sizeof(CommonOptions),
    .run = print_targets,
};
