/* loop_print.c: the text of modules, kernels and instructions; docs/loop-ir.md has the grammar. */
#include "ir/loop.h"
#include "ir/loop_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- names, types, numbers ------------------------------------------------------------------ */

static bool is_word(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool is_register_name(const char *s) {
    if (!*s || (*s >= '0' && *s <= '9'))
        return false;
    while (is_word((unsigned char)*s))
        s++;
    return !*s;
}

static bool is_bare_name(const char *s) {
    const char *p = s;
    while (is_word((unsigned char)*p) || *p == '.')
        p++;
    return p > s && !*p;
}

/* @name, or @"na me" with escapes where it has other characters than [A-Za-z0-9_.]. */
static void name_print(Buf *b, char sigil, const char *name) {
    buf_put_name(b, sigil, name, is_bare_name(name));
}

void reg_type_print(Buf *b, RegKind kind, LType t) {
    if (t.lanes != 1)
        buf_printf(b, "v%d.", t.lanes);
    buf_puts(b, dtype_name(t.dtype));
    if (kind != REG_VALUE)
        buf_putc(b, '*');
}

/* The fewest digits that the parser, which rounds to double and then to dt, reads as x. */
static void const_f_print(Buf *b, DType dt, double x) {
    char text[40];
    if (x != x) {
        buf_puts(b, "nan");
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (dtype_round_f(dt, strtod(text, NULL)) == x)
            break;
    }
    buf_puts(b, text);
}

static void const_i_print(Buf *b, DType dt, int64_t x) {
    if (dt == DT_u64)
        buf_printf(b, "%" PRIu64, (uint64_t)x);
    else
        buf_printf(b, "%" PRId64, x);
}

/* ---- operands ------------------------------------------------------------------------------- */

/* "?" where there is none: the verifier prints broken instructions. */
static void reg_print(Buf *b, const Reg *r) {
    if (!r)
        buf_putc(b, '?');
    else if (r->kind == REG_BUFFER)
        name_print(b, '%', r->name);
    else
        buf_puts(b, r->name);
}

static void bound_print(Buf *b, Bound x) {
    if (x.reg)
        reg_print(b, x.reg);
    else
        buf_printf(b, "%" PRId64, x.value);
}

static uint64_t magnitude(int64_t x) {
    return x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
}

/* x[2*p - q + 3] */
static void addr_print(Buf *b, const Addr *a) {
    reg_print(b, a->base);
    buf_putc(b, '[');
    for (int i = 0; i < a->nterms && i < MAX_TERMS; i++) {
        int64_t f = a->terms[i].factor;
        buf_puts(b, i ? f < 0 ? " - " : " + " : f < 0 ? "-" : "");
        if (magnitude(f) != 1)
            buf_printf(b, "%" PRIu64 "*", magnitude(f));
        reg_print(b, a->terms[i].reg);
    }
    if (!a->nterms)
        buf_printf(b, "%" PRId64, a->offset);
    else if (a->offset)
        buf_printf(b, " %c %" PRIu64, a->offset < 0 ? '-' : '+', magnitude(a->offset));
    buf_putc(b, ']');
}

static void arg_print(Buf *b, const Arg *arg) {
    if (arg->addr.base)
        addr_print(b, &arg->addr);
    else
        bound_print(b, arg->integer);
}

/* ---- instructions --------------------------------------------------------------------------- */

static void lanes_print(Buf *b, LType t) {
    if (t.lanes != 1)
        buf_printf(b, ".v%d", t.lanes);
}

static void origin_print(Buf *b, const char *origin) {
    if (!origin)
        return;
    buf_puts(b, "  # \"");
    buf_put_escaped(b, origin);
    buf_putc(b, '"');
}

static void call_print(Buf *b, const Inst *in) {
    const Kernel *callee = in->u.call.callee;
    buf_putc(b, ' ');
    name_print(b, '@', callee ? callee->name : "");
    buf_putc(b, '(');
    for (int i = 0; i < in->u.call.nargs; i++) {
        buf_puts(b, i ? ", " : "");
        arg_print(b, &in->u.call.args[i]);
    }
    buf_putc(b, ')');
    origin_print(b, in->comment);
}

static void for_print(Buf *b, const Inst *in) {
    buf_putc(b, ' ');
    reg_print(b, in->dst);
    buf_puts(b, " in ");
    bound_print(b, in->u.loop.lo);
    buf_puts(b, "..");
    bound_print(b, in->u.loop.hi);
    if (in->u.loop.step != 1)
        buf_printf(b, " step %" PRId64, in->u.loop.step);
    buf_puts(b, " {");
}

static void const_print(Buf *b, const Inst *in, LType t) {
    buf_putc(b, '.');
    reg_type_print(b, REG_VALUE, t);
    buf_putc(b, ' ');
    if (dtype_is_float(t.dtype))
        const_f_print(b, t.dtype, in->u.f);
    else
        const_i_print(b, t.dtype, in->u.i);
}

static void operands_print(Buf *b, const Inst *in, int n) {
    for (int i = 0; i < n; i++) {
        buf_puts(b, i ? ", " : " ");
        reg_print(b, in->src[i]);
    }
}

/* What follows the instruction's name. */
static void body_print(Buf *b, const Inst *in, LType t) {
    switch (inst_info(in->op)->form) {
    case FORM_CONST:
        const_print(b, in, t);
        break;
    case FORM_UNARY:
        operands_print(b, in, 1);
        break;
    case FORM_BINARY:
    case FORM_COMPARE:
        operands_print(b, in, 2);
        break;
    case FORM_TERNARY:
    case FORM_SELECT:
        operands_print(b, in, 3);
        break;
    case FORM_SHIFT:
        operands_print(b, in, 1);
        buf_printf(b, ", %" PRId64, in->u.i);
        break;
    case FORM_CONVERT:
        buf_putc(b, '.');
        reg_type_print(b, REG_VALUE, t);
        operands_print(b, in, 1);
        break;
    case FORM_SPLAT:
        lanes_print(b, t);
        operands_print(b, in, 1);
        break;
    case FORM_LOAD:
    case FORM_SPLAT_LOAD:
    case FORM_STORE:
    case FORM_PREFETCH:
    case FORM_LEA:
        lanes_print(b, t);
        buf_putc(b, ' ');
        addr_print(b, &in->u.addr);
        if (in->op == INST_store) {
            buf_puts(b, ", ");
            reg_print(b, in->src[0]);
        }
        break;
    case FORM_FOR:
        for_print(b, in);
        break;
    case FORM_WHILE:
    case FORM_IF:
        operands_print(b, in, 1);
        buf_puts(b, " {");
        break;
    case FORM_CALL:
        call_print(b, in);
        break;
    }
}

void inst_print(Buf *b, const Inst *in) {
    const Reg *typed = in->op == INST_store ? in->src[0] : in->dst;
    if (in->dst && inst_info(in->op)->form != FORM_FOR) {
        reg_print(b, in->dst);
        buf_puts(b, " = ");
    }
    buf_puts(b, inst_info(in->op)->name);
    body_print(b, in, typed ? typed->type : ltype(DT_f32, 1));
}

/* ---- blocks and kernels --------------------------------------------------------------------- */

static void indent(Buf *b, int depth) {
    buf_printf(b, "%*s", 2 * depth, "");
}

static void block_print(Buf *b, const Block *block, int depth) {
    for (const Inst *in = block->first; in; in = in->next) {
        indent(b, depth);
        inst_print(b, in);
        buf_putc(b, '\n');
        if (inst_info(in->op)->form == FORM_FOR) {
            block_print(b, &in->u.loop.body, depth + 1);
        } else if (in->op == INST_while) {
            block_print(b, &in->u.body, depth + 1);
        } else if (in->op == INST_if) {
            block_print(b, &in->u.branch.then, depth + 1);
            if (in->u.branch.orelse.first) {
                indent(b, depth);
                buf_puts(b, "} else {\n");
                block_print(b, &in->u.branch.orelse, depth + 1);
            }
        } else {
            continue;
        }
        indent(b, depth);
        buf_puts(b, "}\n");
    }
}

static void title_print(Buf *b, const Kernel *k) {
    if (k->kind == KERNEL_RUN) {
        buf_puts(b, "run");
        return;
    }
    buf_puts(b, k->kind == KERNEL_STEP ? "step " : "kernel ");
    name_print(b, '@', k->name);
}

const char *kernel_title(Arena *a, const Kernel *k) {
    Buf b = {0};
    title_print(&b, k);
    const char *s = arena_strdup(a, buf_str(&b));
    buf_free(&b);
    return s;
}

static void params_print(Buf *b, const Kernel *k) {
    buf_putc(b, '(');
    for (size_t i = 0; i < k->params.len; i++) {
        const Reg *r = k->params.data[i];
        buf_printf(b, "%s%s: ", i ? ", " : "", r->name);
        reg_type_print(b, r->kind, r->type);
    }
    buf_putc(b, ')');
}

static void kernel_print_at(Buf *b, const Kernel *k, int depth) {
    indent(b, depth);
    title_print(b, k);
    if (k->kind == KERNEL_PLAIN || k->params.len)
        params_print(b, k);
    buf_puts(b, " {\n");
    block_print(b, &k->body, depth + 1);
    indent(b, depth);
    buf_putc(b, '}');
    origin_print(b, k->origin);
    buf_putc(b, '\n');
}

void kernel_print(Buf *b, const Kernel *k) {
    kernel_print_at(b, k, 0);
}

/* ---- modules -------------------------------------------------------------------------------- */

static void buffer_print(Buf *b, const Buffer *buffer) {
    bool is_argument = buffer->kind == BUF_INPUT || buffer->kind == BUF_OUTPUT;
    buf_puts(b, "  buffer ");
    reg_print(b, &buffer->reg);
    buf_printf(b, " : %s", dtype_name(buffer->reg.type.dtype));
    shape_print(b, is_argument ? &buffer->shape : &(Shape){.rank = 1, .dim = {buffer->elems}});
    buf_printf(b, " %s %" PRId64, buffer_kind_name(buffer->kind), buffer->offset);
    if (is_argument) {
        buf_puts(b, " \"");
        buf_put_escaped(b, buffer->onnx_name ? buffer->onnx_name : "");
        buf_putc(b, '"');
        if (buffer->count >= 0)
            buf_printf(b, " count %" PRId64 " axis %d", buffer->count, buffer->count_axis);
    }
    buf_putc(b, '\n');
}

/* 0 where it is not known. */
static uint64_t weights_hash(const Module *m) {
    if (!m->weights || !m->weights->data)
        return m->weights_hash;
    return hash_bytes(m->weights->data, (size_t)shape_elems(&m->weights->shape));
}

static void header_print(Buf *b, const Module *m) {
    uint64_t hash = weights_hash(m);
    buf_puts(b, "module ");
    name_print(b, '@', m->name);
    buf_printf(b, " target=%s", m->target->name);
    if (m->arena_bytes)
        buf_printf(b, " arena=%" PRId64, m->arena_bytes);
    if (m->weights_bytes)
        buf_printf(b, " weights=%" PRId64, m->weights_bytes);
    if (hash)
        buf_printf(b, " xxh:%016" PRIx64, hash);
    buf_puts(b, " {\n");
}

void module_print(Buf *b, const Module *m) {
    header_print(b, m);
    for (size_t i = 0; i < m->buffers.len; i++)
        buffer_print(b, m->buffers.data[i]);
    for (size_t i = 0; i < module_function_count(m); i++)
        kernel_print_at(b, module_function(m, i), 1);
    buf_puts(b, "}\n");
}

/* ---- weights -------------------------------------------------------------------------------- */

const char *weights_path(Arena *a, const char *folder, uint64_t hash) {
    return arena_printf(a, "%s/weights-%016" PRIx64 ".bin", folder, hash);
}

void module_write_weights(const Module *m, const char *folder, Outputs *out) {
    if (!m->weights || !m->weights->data)
        return;
    const char *path = weights_path(&out->arena, folder, weights_hash(m));
    outputs_add(out, path, m->weights->data, (size_t)shape_elems(&m->weights->shape));
}
