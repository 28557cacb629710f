/* loop_parse.c: reads the text of a module; docs/loop-ir.md has the grammar.
 *
 * Recursive descent: every function that returns false has reported where and why. The parser
 * checks spelling and names, and that a register keeps one type, since its type is not written
 * down; everything else is module_verify's. */
#include "ir/loop_parse.h"

#include <math.h>
#include <string.h>

/* How much of a word a message repeats. */
static int shown(Text t) {
    return t.n < 40 ? (int)t.n : 40;
}

/* ---- registers and addresses ---------------------------------------------------------------- */

static Reg *find_reg(Parser *ps, Text t) {
    return map_get(&ps->k->names, arena_strndup(&ps->scratch, t.s, t.n));
}

static bool reg(Parser *ps, Reg **out) {
    Text t;
    if (!scan_word(ps, "a register", &t))
        return false;
    *out = find_reg(ps, t);
    return *out || scan_fault(ps, t.s, "register %.*s has no value yet", shown(t), t.s);
}

static bool bound(Parser *ps, Bound *out) {
    *out = (Bound){0};
    return scan_next_is_number(ps) ? scan_integer(ps, &out->value) : reg(ps, &out->reg);
}

/* A pointer or %buffer. */
static bool base(Parser *ps, Reg **out) {
    scan_space(ps);
    const char *start = ps->p, *s;
    if (scan_next_is(ps, '%')) {
        if (!scan_name(ps, "%", &s))
            return false;
        Buffer *buffer = map_get(&ps->m->buffer_names, s);
        *out = buffer ? &buffer->reg : NULL;
        return buffer || scan_fault(ps, start, "there is no such buffer");
    }
    return reg(ps, out) && ((*out)->kind != REG_VALUE ||
                            scan_fault(ps, start, "%s is not a pointer", (*out)->name));
}

/* 3, p, 2*p: one summand, with the sign that came before it. */
static bool summand(Parser *ps, Addr *a, bool negative) {
    uint64_t x = 1;
    int64_t factor;
    Reg *r = NULL;
    scan_space(ps);
    const char *start = ps->p;
    bool number = !scan_next_is_word(ps);
    if (number && !scan_magnitude(ps, &x))
        return false;
    if ((!number || scan_accept(ps, "*")) && !reg(ps, &r))
        return false;
    if (!with_sign(x, negative, &factor))
        return scan_fault(ps, start, "the number passes 64 bits");
    if (r)
        return addr_try_plus(a, r, factor) ||
               scan_fault(ps, start, "an address has at most %d registers, with factors of 64 bits",
                          MAX_TERMS);
    if (factor > 0 ? a->offset > INT64_MAX - factor : a->offset < INT64_MIN - factor)
        return scan_fault(ps, start, "the offset passes 64 bits");
    a->offset += factor;
    return true;
}

static bool sum(Parser *ps, Addr *a) {
    bool negative = scan_accept(ps, "-");
    do {
        if (!summand(ps, a, negative))
            return false;
        negative = scan_next_is(ps, '-');
    } while (scan_accept(ps, "+") || scan_accept(ps, "-"));
    return true;
}

static bool addr_rest(Parser *ps, Reg *r, Addr *out) {
    *out = addr_of(r, 0);
    return scan_expect(ps, "[") && sum(ps, out) && scan_expect(ps, "]");
}

static bool addr(Parser *ps, Addr *out) {
    Reg *r;
    return base(ps, &r) && addr_rest(ps, r, out);
}

/* ---- instructions with a result ------------------------------------------------------------- */

static bool const_i(Parser *ps, DType dt, int64_t *out) {
    scan_space(ps);
    const char *start = ps->p;
    uint64_t x = 0;
    bool negative = scan_accept(ps, "-");
    if (!scan_magnitude(ps, &x))
        return false;
    bool fits = with_sign(x, negative, out);
    if (dt == DT_u64) {
        memcpy(out, &x, sizeof *out);
        fits = !negative || x == 0;
    }
    return (fits && dtype_fits_i(dt, *out)) ||
           scan_fault(ps, start, "the number does not fit %s", dtype_name(dt));
}

static bool const_f(Parser *ps, DType dt, double *out) {
    double x;
    const char *start = (scan_space(ps), ps->p);
    if (!scan_float(ps, &x))
        return false;
    *out = dtype_round_f(dt, x);
    return !(isfinite(x) && isinf(*out)) ||
           scan_fault(ps, start, "the number does not fit %s", dtype_name(dt));
}

static bool constant(Parser *ps, Inst *in, LType *written) {
    if (!scan_type_suffix(ps, written))
        return false;
    return dtype_is_float(written->dtype) ? const_f(ps, written->dtype, &in->u.f)
                                          : const_i(ps, written->dtype, &in->u.i);
}

static bool operands(Parser *ps, Inst *in, int n) {
    for (int i = 0; i < n; i++)
        if ((i && !scan_expect(ps, ",")) || !reg(ps, &in->src[i]))
            return false;
    return true;
}

/* splat.v16 x, or with an address splat.v16 a[i], which is INST_splat_load */
static bool splat(Parser *ps, Inst *in, LType *written) {
    Reg *r;
    if (!scan_lanes_suffix(ps, &written->lanes))
        return false;
    if (scan_next_is(ps, '%')) {
        in->op = INST_splat_load;
        return addr(ps, &in->u.addr);
    }
    if (!reg(ps, &r))
        return false;
    if (!scan_next_is(ps, '[')) {
        in->src[0] = r;
        return true;
    }
    in->op = INST_splat_load;
    return addr_rest(ps, r, &in->u.addr);
}

/* What follows the name of an instruction that has a result. */
static bool rest(Parser *ps, Inst *in, LType *written) {
    switch (inst_info(in->op)->form) {
    case FORM_CONST:
        return constant(ps, in, written);
    case FORM_UNARY:
        return operands(ps, in, 1);
    case FORM_BINARY:
    case FORM_COMPARE:
        return operands(ps, in, 2);
    case FORM_TERNARY:
    case FORM_SELECT:
        return operands(ps, in, 3);
    case FORM_SHIFT:
        return operands(ps, in, 1) && scan_expect(ps, ",") && scan_integer(ps, &in->u.i);
    case FORM_CONVERT:
        return scan_type_suffix(ps, written) && operands(ps, in, 1);
    case FORM_SPLAT:
        return splat(ps, in, written);
    case FORM_LOAD:
        return scan_lanes_suffix(ps, &written->lanes) && addr(ps, &in->u.addr);
    case FORM_LEA:
        return addr(ps, &in->u.addr);
    default:
        return scan_fault(ps, ps->p, "%s has no result", inst_info(in->op)->name);
    }
}

static const char *type_text(Parser *ps, RegKind kind, LType t) {
    Buf b = {0};
    reg_type_print(&b, kind, t);
    const char *s = arena_strdup(&ps->scratch, buf_str(&b));
    buf_free(&b);
    return s;
}

/* Makes the register called t the result of `in`, as a new one where there is none. */
static bool define(Parser *ps, Inst *in, Text t, LType written) {
    RegKind kind;
    LType type;
    if (!inst_result(in, written, &kind, &type))
        return scan_fault(ps, t.s, "%s takes values, not pointers", inst_info(in->op)->name);
    Reg *r = find_reg(ps, t);
    if (r && (r->kind != kind || !ltype_equal(r->type, type)))
        return scan_fault(ps, t.s, "register %s is %s, but this gives %s", r->name,
                          type_text(ps, r->kind, r->type), type_text(ps, kind, type));
    const char *s = arena_strndup(&ps->scratch, t.s, t.n);
    in->dst = r                     ? r
              : kind == REG_POINTER ? kernel_ptr(ps->k, s, type.dtype)
                                    : kernel_reg(ps->k, s, type);
    return true;
}

static bool assignment(Parser *ps, Text dst) {
    Text t;
    InstOp op;
    LType written = ltype(DT_f32, 1);
    if (!scan_word(ps, "an instruction", &t))
        return false;
    if (!inst_parse(t.s, t.n, &op))
        return scan_fault(ps, t.s, "there is no instruction %.*s", shown(t), t.s);
    Inst *in = build_inst(&ps->b, op);
    return rest(ps, in, &written) && define(ps, in, dst, written);
}

/* ---- statements ----------------------------------------------------------------------------- */

static bool store(Parser *ps) {
    int n;
    Reg *value;
    Inst *in = build_inst(&ps->b, INST_store);
    if (!scan_lanes_suffix(ps, &n) || !addr(ps, &in->u.addr) || !scan_expect(ps, ","))
        return false;
    const char *start = (scan_space(ps), ps->p);
    if (!reg(ps, &value))
        return false;
    in->src[0] = value;
    return value->type.lanes == n || scan_fault(ps, start, "register %s has %d lanes, the store %d",
                                                value->name, value->type.lanes, n);
}

static bool prefetch(Parser *ps) {
    return addr(ps, &build_inst(&ps->b, INST_prefetch)->u.addr);
}

static bool open_block(Parser *ps, Block *block) {
    if (!scan_expect(ps, "{"))
        return false;
    if (ps->b.depth == MAX_NESTING)
        return scan_fault(ps, ps->p - 1, "more than %d blocks are open", MAX_NESTING);
    build_open(&ps->b, block);
    return true;
}

static bool for_loop(Parser *ps, InstOp op) {
    Text var;
    Inst *in = build_inst(&ps->b, op);
    in->u.loop.step = 1;
    if (!scan_word(ps, "a register", &var) || !scan_expect(ps, "in") ||
        !bound(ps, &in->u.loop.lo) || !scan_expect(ps, "..") || !bound(ps, &in->u.loop.hi))
        return false;
    if (scan_accept(ps, "step") && !scan_integer(ps, &in->u.loop.step))
        return false;
    return define(ps, in, var, ltype(DT_i64, 1)) && open_block(ps, &in->u.loop.body);
}

static bool while_loop(Parser *ps) {
    Inst *in = build_inst(&ps->b, INST_while);
    return reg(ps, &in->src[0]) && open_block(ps, &in->u.body);
}

static bool branch(Parser *ps) {
    Inst *in = build_inst(&ps->b, INST_if);
    return reg(ps, &in->src[0]) && open_block(ps, &in->u.branch.then);
}

static bool argument(Parser *ps, Arg *out) {
    *out = (Arg){0};
    if (scan_next_is_number(ps))
        return scan_integer(ps, &out->integer.value);
    if (scan_next_is(ps, '%'))
        return addr(ps, &out->addr);
    if (!reg(ps, &out->integer.reg) || !scan_next_is(ps, '['))
        return out->integer.reg != NULL;
    Reg *r = out->integer.reg;
    out->integer.reg = NULL;
    return addr_rest(ps, r, &out->addr);
}

static bool arguments(Parser *ps) {
    ps->args.len = 0;
    if (!scan_expect(ps, "("))
        return false;
    if (scan_accept(ps, ")"))
        return true;
    do {
        Arg arg;
        if (!argument(ps, &arg))
            return false;
        vec_push(&ps->scratch, &ps->args, arg);
    } while (scan_accept(ps, ","));
    return scan_expect(ps, ")");
}

static bool call(Parser *ps) {
    const char *s, *start = (scan_space(ps), ps->p);
    if (!scan_name(ps, "@", &s))
        return false;
    Kernel *callee = module_find_kernel(ps->m, s);
    if (!callee)
        return scan_fault(ps, start, "no kernel of this name comes before the call");
    if (!arguments(ps))
        return false;
    build_call(&ps->b, callee, ps->args.data, (int)ps->args.len, scan_origin(ps));
    return true;
}

static bool statement(Parser *ps) {
    Text t;
    if (!scan_word(ps, "an instruction or \"}\"", &t))
        return false;
    if (scan_accept(ps, "="))
        return assignment(ps, t);
    if (text_is(t, "for"))
        return for_loop(ps, INST_for);
    if (text_is(t, "par"))
        return for_loop(ps, INST_par);
    if (text_is(t, "while"))
        return while_loop(ps);
    if (text_is(t, "if"))
        return branch(ps);
    if (text_is(t, "store"))
        return store(ps);
    if (text_is(t, "prefetch"))
        return prefetch(ps);
    if (text_is(t, "call"))
        return call(ps);
    return scan_expected(ps, "\"=\"");
}

static bool in_then_block(const Builder *b) {
    const Inst *in = b->stack[b->depth - 2]->last;
    return in->op == INST_if && b->stack[b->depth - 1] == &in->u.branch.then;
}

/* The statements up to the "}" that ends the kernel. */
static bool body(Parser *ps) {
    for (;;) {
        if (!scan_accept(ps, "}")) {
            if (!statement(ps))
                return false;
        } else if (ps->b.depth == 1) {
            return true;
        } else if (in_then_block(&ps->b) && scan_accept(ps, "else")) {
            build_else(&ps->b);
            if (!scan_expect(ps, "{"))
                return false;
        } else {
            build_close(&ps->b);
        }
    }
}

/* ---- kernels -------------------------------------------------------------------------------- */

static bool block_of(Parser *ps, Kernel *k) {
    ps->k = k;
    ps->b = build_begin(k);
    return scan_expect(ps, "{") && body(ps);
}

static bool parameter(Parser *ps) {
    Text t;
    DType dt;
    if (!scan_word(ps, "a parameter", &t) || !scan_expect(ps, ":") || !scan_dtype(ps, &dt))
        return false;
    if (find_reg(ps, t))
        return scan_fault(ps, t.s, "there are two parameters of this name");
    const char *s = arena_strndup(&ps->scratch, t.s, t.n);
    if (scan_accept(ps, "*"))
        kernel_param_ptr(ps->k, s, dt);
    else if (dt == DT_i64)
        kernel_param_i64(ps->k, s);
    else
        return scan_fault(ps, t.s, "a parameter is a pointer or an i64");
    return true;
}

static bool parameters(Parser *ps) {
    if (!scan_expect(ps, "("))
        return false;
    if (scan_accept(ps, ")"))
        return true;
    do {
        if (!parameter(ps))
            return false;
    } while (scan_accept(ps, ","));
    return scan_expect(ps, ")");
}

/* @name of a kernel or step, which no other may have. */
static bool new_name(Parser *ps, const char **out) {
    const char *start = (scan_space(ps), ps->p);
    return scan_name(ps, "@", out) && (!module_find_kernel(ps->m, *out) ||
                                       scan_fault(ps, start, "there are two kernels of this name"));
}

/* A kernel joins the module behind its last "}", so that it can't call itself. */
static bool kernel(Parser *ps) {
    const char *s;
    if (!new_name(ps, &s))
        return false;
    ps->k = kernel_new(ps->m, s);
    if (!parameters(ps) || !block_of(ps, ps->k))
        return false;
    module_add_kernel(ps->m, ps->k);
    return true;
}

static bool step(Parser *ps) {
    const char *s;
    if (!new_name(ps, &s))
        return false;
    Kernel *k = ps->k = step_new(ps->m, s, NULL);
    if (scan_next_is(ps, '(') && !parameters(ps))
        return false;
    if (!block_of(ps, k))
        return false;
    k->origin = scan_origin(ps);
    module_add_step(ps->m, k);
    return true;
}

/* ---- buffers -------------------------------------------------------------------------------- */

static bool dims(Parser *ps, Shape *s) {
    *s = (Shape){0};
    if (!scan_expect(ps, "["))
        return false;
    if (scan_accept(ps, "]"))
        return true;
    do {
        if (s->rank == MAX_RANK)
            return scan_expected(ps, "\"]\" after so many dimensions");
        if (!scan_integer(ps, &s->dim[s->rank++]))
            return false;
    } while (scan_accept(ps, ","));
    return scan_expect(ps, "]");
}

static bool buffer_kind(Parser *ps, BufferKind *out) {
    for (int i = BUF_INPUT; i <= BUF_ARENA; i++) {
        if (scan_accept(ps, buffer_kind_name((BufferKind)i))) {
            *out = (BufferKind)i;
            return true;
        }
    }
    return scan_expected(ps, "input, output, weights or arena");
}

/* count 1 axis 0: which output says how many elements are there along which axis. */
static bool count(Parser *ps, int rank, int64_t *number, int *axis) {
    int64_t at = 0;
    if (!scan_accept(ps, "count"))
        return true;
    const char *start = (scan_space(ps), ps->p);
    if (!scan_integer(ps, number) || !scan_expect(ps, "axis") || !scan_integer(ps, &at))
        return false;
    *axis = (int)at;
    return (*number >= 0 && at >= 0 && at < rank) ||
           scan_fault(ps, start, "there is no such output or axis");
}

static bool buffer(Parser *ps) {
    const char *s, *onnx_name = NULL;
    int64_t counted = -1;
    int axis = 0;
    DType dt;
    Shape shape;
    BufferKind kind = BUF_ARENA;
    int64_t offset;
    const char *start = (scan_space(ps), ps->p);
    if (!scan_name(ps, "%", &s) || !scan_expect(ps, ":") || !scan_dtype(ps, &dt) ||
        !dims(ps, &shape) || !buffer_kind(ps, &kind) || !scan_integer(ps, &offset))
        return false;
    bool is_argument = kind == BUF_INPUT || kind == BUF_OUTPUT;
    if (is_argument && !scan_string(ps, &onnx_name))
        return false;
    if (kind == BUF_OUTPUT && !count(ps, shape.rank, &counted, &axis))
        return false;
    if (map_get(&ps->m->buffer_names, s))
        return scan_fault(ps, start, "there are two buffers of this name");
    if (!shape_valid(&shape, dt) || (!is_argument && shape.rank != 1))
        return scan_fault(ps, start, "the buffer has no valid shape");
    Buffer *b = module_buffer(ps->m, s, kind, dt, shape_elems(&shape), offset);
    if (is_argument) {
        b->onnx_name = onnx_name;
        b->shape = shape;
        b->count = counted;
        b->count_axis = axis;
    }
    return true;
}

/* ---- modules -------------------------------------------------------------------------------- */

static bool target(Parser *ps) {
    Text t;
    if (!scan_expect(ps, "target") || !scan_expect(ps, "=") ||
        !scan_option(ps, "the name of a target", &t))
        return false;
    ps->m->target = target_find(arena_strndup(&ps->scratch, t.s, t.n));
    if (ps->m->target)
        return true;
    ps->p = t.s;
    scan_expected(ps, "the name of a target");
    diag_note(ps->d, "help", "`effnetc targets` lists them");
    return false;
}

static bool byte_count(Parser *ps, const char *what, int64_t *out) {
    if (!scan_accept(ps, what))
        return true;
    const char *start = ps->p;
    return scan_expect(ps, "=") && scan_integer(ps, out) &&
           (*out >= 0 || scan_fault(ps, start, "a size is not negative"));
}

static bool hash(Parser *ps, uint64_t *out) {
    return !scan_accept(ps, "xxh") || (scan_expect(ps, ":") && scan_hash(ps, out));
}

static bool run(Parser *ps) {
    if (ps->has_run)
        return scan_fault(ps, ps->p, "the module has a run already");
    ps->has_run = true;
    return block_of(ps, ps->m->run);
}

static bool items(Parser *ps) {
    while (!scan_accept(ps, "}")) {
        bool ok = scan_accept(ps, "buffer")   ? buffer(ps)
                  : scan_accept(ps, "kernel") ? kernel(ps)
                  : scan_accept(ps, "step")   ? step(ps)
                  : scan_accept(ps, "run")
                      ? run(ps)
                      : scan_expected(ps, "buffer, kernel, step, run or \"}\"");
        if (!ok)
            return false;
    }
    return ps->has_run || scan_fault(ps, ps->p, "the module has no run");
}

/* Takes the weights from FOLDER/weights-HASH.bin; a missing file is no error. */
static bool find_weights(Parser *ps) {
    Module *m = ps->m;
    if (!ps->constant_dir || !m->weights_hash)
        return true;
    Diag ignored = {0};
    MappedFile f;
    const char *path = weights_path(&ps->scratch, ps->constant_dir, m->weights_hash);
    bool exists = file_map(&f, path, &ignored);
    diag_free(&ignored);
    if (!exists)
        return true;
    bool fits =
        f.size == (uint64_t)m->weights_bytes && hash_bytes(f.data, f.size) == m->weights_hash;
    if (fits) {
        Shape shape = shape_of(1, &m->weights_bytes);
        m->weights = tensor_wrap(&m->arena, DT_u8, shape, arena_copy(&m->arena, f.data, f.size));
        m->weights->hash = m->weights_hash;
    }
    file_unmap(&f);
    if (!fits)
        diag_error(ps->d, EXIT_BAD_MODEL, path,
                   "the file does not have the size and hash that %s wants", ps->where);
    return fits;
}

static bool module(Parser *ps) {
    const char *s;
    ps->m = module_new("", NULL);
    if (!scan_expect(ps, "module") || !scan_name(ps, "@", &s))
        return false;
    ps->m->name = s;
    if (!target(ps) || !byte_count(ps, "arena", &ps->m->arena_bytes) ||
        !byte_count(ps, "weights", &ps->m->weights_bytes) || !hash(ps, &ps->m->weights_hash) ||
        !scan_expect(ps, "{") || !items(ps))
        return false;
    scan_space(ps);
    if (ps->p < ps->end)
        return scan_expected(ps, "the end of the text");
    return find_weights(ps);
}

Module *module_parse(const char *text, size_t size, const char *where, const char *constant_dir,
                     Diag *d) {
    if (!size)
        text = "";
    Parser ps = {.text = text,
                 .p = text,
                 .end = text + size,
                 .where = where,
                 .constant_dir = constant_dir,
                 .d = d};
    if (!module(&ps)) {
        module_free(ps.m);
        ps.m = NULL;
    }
    arena_free(&ps.scratch);
    return ps.m;
}
