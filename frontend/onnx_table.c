/* onnx_table.c: the operator table, expanded from onnx_ops.def. */
#include "frontend/import.h"

#include <string.h>

static const OnnxOpRow rows[] = {
#define ONNX_OP(name, domain, since, until, min_in, max_in, importer)                              \
    {{#name, domain, since, until}, min_in, max_in, import_##importer},
#include "frontend/onnx_ops.def"
#undef ONNX_OP
};

enum { ROWS = sizeof rows / sizeof *rows };

size_t onnx_op_count(void) {
    return ROWS;
}

const OnnxOp *onnx_op_at(size_t i) {
    ensure(i < ROWS);
    return &rows[i].op;
}

/* The last opset that a row is for; the first one that changes an operator past OPSET_NEWEST is not
 * known. */
static int64_t last_opset(const OnnxOp *op) {
    return op->until ? op->until : INT64_MAX;
}

/* Why there is no importer for an operator, where it is not for want of one. */
static const char *reason_without(const char *name) {
    static const char random[] =
        "its result is random, and generated code gives the same in each run";
    static const char strings[] = "strings are not supported";
    static const char pictures[] =
        "files of pictures are not decoded by models; `effnetc run` reads them";
    static const struct {
        const char *name, *why;
    } known[] = {
        {"Bernoulli", random},        {"Multinomial", random},    {"RandomNormal", random},
        {"RandomNormalLike", random}, {"RandomUniform", random},  {"RandomUniformLike", random},
        {"RegexFullMatch", strings},  {"StringConcat", strings},  {"StringNormalizer", strings},
        {"StringSplit", strings},     {"ImageDecoder", pictures},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].why;
    return "no importer for this operator";
}

const OnnxOpRow *onnx_op_find(Arena *a, const char *domain, const char *name, int64_t opset,
                              const char **why) {
    bool domain_known = false;
    *why = NULL;
    for (size_t i = 0; i < ROWS; i++) {
        const OnnxOp *op = &rows[i].op;
        bool in_domain = strcmp(op->domain, domain) == 0;
        domain_known |= in_domain;
        if (!in_domain || strcmp(op->name, name) != 0)
            continue;
        if (opset >= op->since && opset <= last_opset(op))
            return &rows[i];
        if (opset > op->since)
            *why = arena_printf(a, "it is supported up to opset %d", op->until);
        else if (!*why)
            *why = arena_printf(a, "it is supported from opset %d on", op->since);
    }
    if (!*why)
        *why = domain_known ? reason_without(name) : "no importer for its domain";
    return NULL;
}
