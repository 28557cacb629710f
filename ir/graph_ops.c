/* graph_ops.c: the op table, expanded from ops.def. */
#include "ir/graph_internal.h"

#include <string.h>

static const OpInfo ops[] = {
#define OP(id, ...) OP_NAMED(id, #id, __VA_ARGS__)
#define OP_NAMED(id, text, results, operands, attrs, infer, eval, flags)                           \
    {text, results, operands, ATTRSET_##attrs, infer_##infer, eval_##eval, flags},
#include "ir/ops.def"
#undef OP
};

const OpInfo *op_info(Op op) {
    ensure((unsigned)op < OP_COUNT);
    return &ops[op];
}

bool op_parse(const char *name, size_t n, Op *out) {
    for (int op = 0; op < OP_COUNT; op++) {
        if (strlen(ops[op].name) == n && memcmp(ops[op].name, name, n) == 0) {
            *out = (Op)op;
            return true;
        }
    }
    return false;
}

/* ---- operands and results ------------------------------------------------------------------- */

/* Is this the first letter behind a space? */
static bool begins_word(const char *s) {
    return s[0] != ' ' && s[-1] == ' ';
}

/* The i-th word of a list like "x w b? scale="; n == 0 where there are fewer. */
static Span nth_word(const char *list, int i) {
    size_t n = 0;
    while (i > 0 && *list)
        i -= *++list && begins_word(list);
    while (list[n] && list[n] != ' ')
        n++;
    return (Span){list, n};
}

static int count_words(const char *list) {
    int n = *list != 0;
    while (*list)
        n += *++list && begins_word(list);
    return n;
}

int op_operand_count(Op op) {
    return count_words(op_info(op)->operands);
}

bool op_is_variadic(Op op) {
    return strchr(op_info(op)->operands, '*') != NULL;
}

static OperandKind kind_of_suffix(char c) {
    switch (c) {
    case '?':
        return OPERAND_OPTIONAL;
    case '=':
        return OPERAND_NAMED;
    case '*':
        return OPERAND_VARIADIC;
    default:
        return OPERAND_REQUIRED;
    }
}

OperandInfo op_operand(Op op, int slot) {
    int last = op_operand_count(op) - 1;
    ensure(slot >= 0 && (slot <= last || op_is_variadic(op)));
    Span word = nth_word(op_info(op)->operands, slot < last ? slot : last);
    OperandInfo o = {.kind = kind_of_suffix(word.s[word.n - 1])};
    if (o.kind != OPERAND_REQUIRED)
        word.n--;
    ensure(word.n < sizeof o.name);
    memcpy(o.name, word.s, word.n);
    return o;
}

int op_max_results(Op op) {
    return count_words(op_info(op)->results);
}

int op_min_results(Op op) {
    int n = op_max_results(op);
    for (const char *s = op_info(op)->results; *s; s++)
        n -= *s == '?';
    return n;
}

int op_result_slot(Op op, const char *name) {
    size_t n = strlen(name);
    for (int i = 0; i < op_max_results(op); i++) {
        Span word = nth_word(op_info(op)->results, i);
        word.n -= word.s[word.n - 1] == '?';
        if (word.n == n && memcmp(word.s, name, n) == 0)
            return i;
    }
    return -1;
}

/* ---- activations as ops --------------------------------------------------------------------- */

static const Op act_ops[] = {
    OP_identity,
#define ACT(id, expr, keeps_zero, source) OP_act_##id,
#include "ir/acts.def"
#undef ACT
};

bool op_is_act(Op op, Act *act) {
    for (int a = ACT_none + 1; a < ACT_COUNT; a++) {
        if (act_ops[a] == op) {
            *act = (Act)a;
            return true;
        }
    }
    return false;
}

Op op_from_act(Act act) {
    return act_ops[act];
}
