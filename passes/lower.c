/* lower.c: graph IR to loop IR: buffers, packed weights, a step for each node, and `run`, which
 * calls them. What an op becomes is in the lower_*.c file of its row in lowerings.def. */
#include "passes/lower.h"

#include <string.h>

/* ---- the table ------------------------------------------------------------------------------- */

#define LOWERING(op, layout, lower, scratch, inplace)                                              \
    bool lower_##lower(Lower *lo, Node *n);                                                        \
    int64_t scratch_##scratch(const Node *n, const PassContext *cx);                               \
    Value *inplace_##inplace(const Node *n);
#include "passes/lowerings.def"
#undef LOWERING

int64_t scratch_none(const Node *n, const PassContext *cx) {
    (void)n, (void)cx;
    return 0;
}

Value *inplace_none(const Node *n) {
    (void)n;
    return NULL;
}

static const Lowering lowerings[OP_COUNT] = {
#define LOWERING(op, layout, lower, scratch, inplace)                                              \
    [OP_##op] = {LAYOUT_##layout, lower_##lower, scratch_##scratch, inplace_##inplace},
#include "passes/lowerings.def"
#undef LOWERING
};

const Lowering *lowering_of(Op op) {
    return &lowerings[op];
}

bool follows_blocks(const Node *n) {
    return n->op == OP_concat || n->op == OP_slice ? channels_block(n) : elementwise_blocks(n);
}

InstOp act_inst(Act act) {
    static const InstOp inst[ACT_COUNT] = {
        [ACT_none] = INST_mov,
#define ACT(id, expr, keeps_zero, source) [ACT_##id] = INST_act_##id,
#include "ir/acts.def"
#undef ACT
    };
    return inst[act];
}

/* ---- errors ---------------------------------------------------------------------------------- */

static const char *operand_types(Arena *a, const Node *n) {
    Buf b = {0};
    for (int i = 0; i < n->noperands; i++) {
        if (!node_in(n, i))
            continue;
        buf_puts(&b, b.len ? ", " : "");
        type_print(&b, &node_in(n, i)->type);
    }
    const char *text = arena_strdup(a, buf_str(&b));
    buf_free(&b);
    return text;
}

bool node_refused(const PassContext *cx, const Node *n, const char *inputs, const char *reason) {
    Diag *d = cx->diag;
    diag_error(d, EXIT_UNSUPPORTED, cx->where, "node \"%s\" (%s) can't be compiled",
               *n->origin ? n->origin : node_out(n)->name, op_info(n->op)->name);
    if (inputs)
        diag_note(d, "inputs", "%s", inputs);
    diag_note(d, "reason", "%s", reason);
    diag_note(d, "help", "`effnetc run --backend=interp` runs it without compiling");
    return false;
}

bool lower_unsupported(Lower *lo, const Node *n, const char *reason) {
    return node_refused(lo->cx, n, operand_types(&lo->cx->diag->arena, n), reason);
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool is_letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Whether the n bytes at s are repeated by what follows the '/' behind them, as exporters do that
 * write the path of a module for each module on the way: a/a.1/a.1.0. */
static bool is_repeated(const char *s, size_t n) {
    const char *next = s + n + 1;
    return s[n] == '/' && strncmp(s, next, n) == 0 && next[n] == '.';
}

enum { MAX_NAME = 60 };

/* The first of the ONNX names in `text` as part of an identifier: runs of other characters than
 * letters and digits become one '_', none is at the ends, repeated parts are left out. */
static const char *short_name(Arena *a, const char *text) {
    char name[MAX_NAME + 1];
    size_t n = 0;
    for (bool starts = true; *text && *text != '+' && n < MAX_NAME; text++) {
        size_t part = strcspn(text, "/+");
        if (starts && part && is_repeated(text, part))
            text += part;
        if (is_letter_or_digit(*text))
            name[n++] = *text;
        else if (n > 0 && name[n - 1] != '_')
            name[n++] = '_';
        starts = *text == '/';
    }
    while (n > 0 && name[n - 1] == '_')
        n--;
    return arena_strndup(a, name, n);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static Buffer *new_buffer(Lower *lo, const Value *v, BufferKind kind, int64_t elems,
                          int64_t offset) {
    const char *name = short_name(&lo->m->arena, v->name);
    Buffer *b = module_buffer(lo->m, name, kind, v->type.dtype, elems, offset);
    map_put(&lo->m->arena, &lo->buffers, v->name, b);
    return b;
}

static void add_inputs(Lower *lo) {
    for (size_t i = 0; i < lo->g->inputs.len; i++) {
        const Value *v = lo->g->inputs.data[i];
        Buffer *b = new_buffer(lo, v, BUF_INPUT, shape_elems(&v->type.shape), (int64_t)i);
        b->onnx_name = arena_strdup(&lo->m->arena, v->name);
        b->shape = v->type.shape;
    }
}

static void add_outputs(Lower *lo) {
    for (size_t i = 0; i < lo->g->outputs.len; i++) {
        const Value *v = lo->g->outputs.data[i]->value;
        Buffer *b = new_buffer(lo, v, BUF_OUTPUT, shape_elems(&v->type.shape), (int64_t)i);
        b->onnx_name = arena_strdup(&lo->m->arena, lo->g->output_names.data[i]);
        b->shape = v->type.shape;
        const OutputCount *c = graph_output_count(lo->g, i);
        if (c) {
            b->count = (int64_t)c->count;
            b->count_axis = c->axis;
        }
    }
}

static void add_arena(Lower *lo) {
    FOR_EACH_NODE(lo->g, n) {
        for (int i = 0; i < n->nresults; i++) {
            const Value *v = n->results[i];
            if (v->arena_offset < 0)
                continue;
            new_buffer(lo, v, BUF_ARENA, type_storage_elems(&v->type), v->arena_offset);
            int64_t end = v->arena_offset + type_storage_bytes(&v->type);
            lo->m->arena_bytes = end > lo->m->arena_bytes ? end : lo->m->arena_bytes;
        }
    }
    lo->m->arena_bytes = round_up(lo->m->arena_bytes, ARENA_ALIGN);
}

static void *packing_begin(Lower *lo, int64_t bytes) {
    ensure(!lo->packing);
    lo->packing = bytes;
    return buf_extend(&lo->weights, (size_t)round_up(bytes, ARENA_ALIGN));
}

float *lower_weights_begin(Lower *lo, int64_t n) {
    return packing_begin(lo, n * (int64_t)sizeof(float));
}

/* A buffer with the same elements as the n that were packed last, or NULL. `key` is by contents. */
static Buffer *same_weights(const Lower *lo, const char *key, DType dt, const char *data,
                            int64_t n) {
    Buffer *b = map_get(&lo->packed, key);
    size_t bytes = (size_t)(n * dtype_bytes(dt));
    bool same = b && b->reg.type.dtype == dt && b->elems == n &&
                memcmp(lo->weights.data + b->offset, data, bytes) == 0;
    return same ? b : NULL;
}

/* What was packed last. */
static Buffer *packed_as(Lower *lo, DType dt, const char *name) {
    int64_t size = lo->packing, bytes = round_up(size, ARENA_ALIGN);
    int64_t offset = (int64_t)lo->weights.len - bytes, n = size / dtype_bytes(dt);
    const char *data = lo->weights.data + offset;
    Arena *a = &lo->m->arena;
    uint64_t hash = hash_bytes(data, (size_t)size);
    const char *key = arena_printf(a, "%s%016llx", dtype_name(dt), (unsigned long long)hash);
    lo->packing = 0;
    Buffer *b = same_weights(lo, key, dt, data, n);
    if (b) {
        lo->weights.len = (size_t)offset;
        return b;
    }
    b = module_buffer(lo->m, short_name(a, name), BUF_WEIGHTS, dt, n, offset);
    map_put(a, &lo->packed, key, b);
    return b;
}

static Buffer *weights_end(Lower *lo, const char *name) {
    return packed_as(lo, DT_f32, name);
}

int64_t *lower_table_begin(Lower *lo, int64_t n) {
    return packing_begin(lo, n * (int64_t)sizeof(int64_t));
}

Addr lower_table_end(Lower *lo, const char *name) {
    return addr_of(&packed_as(lo, DT_i64, name)->reg, 0);
}

Addr lower_weights_end(Lower *lo, const char *name) {
    return addr_of(&weights_end(lo, name)->reg, 0);
}

static bool has_elements(Lower *lo, const Value *v) {
    if (v->constant->data)
        return true;
    diag_error(lo->cx->diag, EXIT_BAD_MODEL, lo->cx->where,
               "the elements of constant \"%s\" are missing", v->name);
    diag_note(lo->cx->diag, "reason", "an IR text holds only the hash of large constants");
    diag_note(lo->cx->diag, "help", "keep the dump's folder `constants` beside the file");
    return false;
}

const float *lower_constant(Lower *lo, const Node *n, const Value *v) {
    if (!v->constant || v->type.dtype != DT_f32) {
        lower_unsupported(lo, n, "weights must be float32 constants");
        return NULL;
    }
    return has_elements(lo, v) ? v->constant->data : NULL;
}

bool lower_conv_weights(Lower *lo, const Node *n, int slot, ConvWeights *out) {
    const Value *bias = node_in(n, slot + 1);
    out->w = lower_constant(lo, n, node_in(n, slot));
    out->bias = bias ? lower_constant(lo, n, bias) : NULL;
    return out->w && (out->bias || !bias);
}

View lower_view(const Lower *lo, const Value *v) {
    Type t = v->type;
    if (v->constant)
        t.layout.block = lower_lanes(lo);
    return view_of(&t);
}

View blocked_view(Shape shape, int block) {
    Type t = type_plain(DT_f32, shape);
    t.layout.block = block;
    return view_of(&t);
}

/* A constant operand that is not a weight: packed as a blocked value without a halo. */
static Buffer *constant_buffer(Lower *lo, const Value *v) {
    View w = view_of(&v->type);
    int64_t lanes = lower_lanes(lo), n = w.n * round_up(w.c, lanes) * w.h * w.w;
    const float *data = v->constant->data;
    float *packed = lower_weights_begin(lo, n);
    for (int64_t i = 0, hw = w.h * w.w; i < w.n * w.c * hw; i++) {
        int64_t image = i / (w.c * hw), c = i / hw % w.c, pixel = i % hw;
        packed[((image * ceil_div(w.c, lanes) + c / lanes) * hw + pixel) * lanes + c % lanes] =
            data[i];
    }
    Buffer *b = weights_end(lo, v->name);
    map_put(&lo->m->arena, &lo->buffers, v->name, b);
    return b;
}

/* Address of the first element of v's memory. */
static Addr lower_base(Lower *lo, const Value *v) {
    Buffer *b = map_get(&lo->buffers, v->name);
    if (!b && v->constant)
        b = constant_buffer(lo, v);
    ensure(b);
    return addr_of(&b->reg, 0);
}

Addr lower_plain(Lower *lo, const Value *v) {
    if (!v->constant)
        return lower_base(lo, v);
    Buffer *b = map_get(&lo->plain, v->name);
    if (!b) {
        int64_t bytes = tensor_bytes(v->constant);
        void *packed = packing_begin(lo, bytes);
        if (bytes)
            memcpy(packed, v->constant->data, (size_t)bytes);
        b = packed_as(lo, v->type.dtype, v->name);
        map_put(&lo->m->arena, &lo->plain, v->name, b);
    }
    return addr_of(&b->reg, 0);
}

Addr lower_addr(Lower *lo, const Value *v) {
    View w = lower_view(lo, v);
    Addr a = addr_offset(lower_base(lo, v), w.origin);
    return lo->image && w.n > 1 && w.image ? addr_plus(a, lo->image, w.image) : a;
}

Addr lower_scratch(Lower *lo, const Node *n) {
    const Value *scratch = node_result(n, "scratch");
    ensure(scratch);
    return lower_base(lo, scratch);
}

/* ---- loops ----------------------------------------------------------------------------------- */

void advance(Builder *b, Reg *p, Reg *by) {
    build_lea_to(b, p, addr_plus(addr_of(p, 0), by, 1));
}

void advance_by(Builder *b, Reg *p, int64_t by) {
    build_lea_to(b, p, addr_of(p, by));
}

Reg *copy_pointer(Builder *b, const char *name, Reg *p) {
    return build_lea(b, name, addr_of(p, 0));
}

Reg *build_spread(Builder *b, const char *name, int lanes, Addr from) {
    return lanes == 1 ? build_load(b, name, 1, from) : build_splat_load(b, name, lanes, from);
}

/* ---- steps ----------------------------------------------------------------------------------- */

void lower_batch_begin(Lower *lo, int64_t images) {
    if (images > 1 && !lo->looping)
        lo->image = build_for(&lo->step, "image", bound_const(0), bound_const(images), 1);
}

void lower_batch_end(Lower *lo) {
    if (lo->image && !lo->looping)
        build_close(&lo->step);
    lo->image = NULL;
}

void lower_call(Lower *lo, Kernel *k, const Arg *args, int nargs) {
    build_call(&lo->step, module_share_kernel(lo->m, k), args, nargs, NULL);
}

/* A step is called after the first of its ONNX nodes, or else after its result. */
static const char *step_name(Arena *a, const Node *n) {
    const char *name = short_name(a, *n->origin ? n->origin : node_out(n)->name);
    bool starts_well = *name && !(*name >= '0' && *name <= '9');
    return starts_well ? name : arena_printf(a, "step_%s", name);
}

static bool has_all_images(const Value *v) {
    int rank = v->type.shape.rank;
    return (rank == 2 || rank == 4) && v->type.shape.dim[0] > 1 && !v->type.layout.one_image;
}

/* Whether n's addresses depend on the image. */
static bool needs_image(const Node *n) {
    for (int i = 0; i < n->noperands; i++) {
        const Value *v = node_in(n, i);
        LayoutRule rule = lowering_of(n->op)->layout;
        bool data = v && (!v->constant || rule == LAYOUT_FOLLOW || rule == LAYOUT_ANY);
        if (data && has_all_images(v))
            return true;
    }
    for (int i = 0; i < n->nresults; i++)
        if (!value_is_scratch(n->results[i]) && has_all_images(n->results[i]))
            return true;
    return false;
}

static void begin_step(Lower *lo, const Node *n) {
    Arena *a = &lo->m->arena;
    Kernel *step = step_new(lo->m, step_name(a, n), n->origin);
    lo->looping = lo->loop.first <= (int)lo->steps.len && (int)lo->steps.len <= lo->loop.last;
    lo->image = lo->looping && needs_image(n) ? kernel_param_i64(step, "image") : NULL;
    vec_push(a, &lo->steps, step);
    lo->step = build_begin(step);
}

/* Kernels keep their names; a step that is called as one gets a number. */
static void build_run(Lower *lo) {
    Builder run = build_begin(lo->m->run);
    Reg *image = NULL;
    for (int i = 0; i < (int)lo->steps.len; i++) {
        Kernel *step = lo->steps.data[i];
        if (i == lo->loop.first)
            image = build_for(&run, "image", bound_const(0), bound_const(lo->loop.images), 1);
        module_add_step(lo->m, step);
        Arg arg = {.integer = {.reg = image}};
        build_call(&run, step, &arg, (int)step->params.len, NULL);
        if (i == lo->loop.last)
            build_close(&run);
    }
    build_end(&run);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* Whether v is data. Constants of other types are parameters of the op, as the indices of
 * gather. */
static bool is_data(const Value *v) {
    return v && (v->type.dtype == DT_f32 || !v->constant);
}

/* Ops other than elementwise ones whose lowerings take every type that the shape rule lets in, or
 * look at it themselves. */
static const bool takes_types[OP_COUNT] = {
    [OP_quantize] = true,
    [OP_dequantize] = true,
    [OP_transpose] = true,
    [OP_slice] = true,
    [OP_concat] = true,
    [OP_gather] = true,
    [OP_gather_elements] = true,
    [OP_gather_nd] = true,
    [OP_scatter_elements] = true,
    [OP_scatter_nd] = true,
    [OP_non_max_suppression] = true,
    [OP_non_zero] = true,
    [OP_compress] = true,
    [OP_expand] = true,
    [OP_cast] = true,
    [OP_reshape] = true,
    [OP_identity] = true,
    [OP_reorder] = true,
    [OP_pixels] = true,
    [OP_reduce_sum] = true,
    [OP_reduce_prod] = true,
    [OP_reduce_min] = true,
    [OP_reduce_max] = true,
    [OP_arg_max] = true,
    [OP_arg_min] = true,
    [OP_top_k] = true,
};

static bool has_types(Lower *lo, const Node *n) {
    if (takes_types[n->op])
        return true;
    if (op_info(n->op)->flags & OPF_ELEMENTWISE) {
        const char *refusal = elementwise_refusal(n);
        return !refusal || lower_unsupported(lo, n, refusal);
    }
    for (int i = 0; i < n->nresults; i++)
        if (n->results[i]->type.dtype != DT_f32)
            return lower_unsupported(lo, n, "only float32 has kernels");
    for (int i = 0; i < n->noperands; i++)
        if (is_data(node_in(n, i)) && node_in(n, i)->type.dtype != DT_f32)
            return lower_unsupported(lo, n, "only float32 has kernels");
    return true;
}

/* The elements of all constant operands are known. */
static bool has_constants(Lower *lo, const Node *n) {
    bool ok = true;
    for (int i = 0; i < n->noperands; i++)
        if (node_in(n, i) && node_in(n, i)->constant)
            ok &= has_elements(lo, node_in(n, i));
    return ok;
}

static bool lower_node(Lower *lo, Node *n) {
    const Lowering *l = lowering_of(n->op);
    if (!l->lower)
        return lower_unsupported(lo, n, "no kernel for this operator");
    begin_step(lo, n);
    if (!has_types(lo, n) || !has_constants(lo, n) || !l->lower(lo, n))
        return false;
    build_end(&lo->step);
    return true;
}

/* What is between the first and the last node of the loop must be able to be in it. */
static bool can_loop(const Lower *lo) {
    int at = 0;
    FOR_EACH_NODE(lo->g, n) {
        bool inside = lo->loop.first <= at && at <= lo->loop.last;
        at++;
        if (!inside || node_by_images(n, lo->loop.images))
            continue;
        diag_error(lo->cx->diag, EXIT_USAGE, lo->cx->where,
                   "node %%%s can't be computed for one image at a time, but values before and "
                   "behind it are one_image",
                   node_out(n)->name);
        diag_note(lo->cx->diag, "help", "take one_image out of the layouts on one side of it");
        return false;
    }
    return true;
}

/* Every value that lives in memory must have its place before ops are lowered. */
static bool is_planned(Lower *lo) {
    FOR_EACH_NODE(lo->g, n) {
        if (node_out(n)->arena_offset >= 0 || value_is_graph_output(node_out(n)))
            continue;
        diag_error(lo->cx->diag, EXIT_USAGE, lo->cx->where, "value %%%s has no place in memory",
                   node_out(n)->name);
        diag_note(lo->cx->diag, "help",
                  "run the passes layout, add-scratch and plan-memory before lower");
        return false;
    }
    return true;
}

Module *lower_graph(Graph *g, PassContext *cx) {
    Lower lo = {.g = g, .cx = cx, .loop = batch_loop_of(g)};
    if (!is_planned(&lo) || !can_loop(&lo))
        return NULL;
    graph_release_files(g); /* most of what is packed comes from what passes made of them */
    lo.m = module_new(g->name, cx->target);
    buf_extend(&lo.weights, ARENA_ALIGN); /* the header */
    add_inputs(&lo);
    add_outputs(&lo);
    add_arena(&lo);
    bool ok = true;
    int index = 0;
    ConstantUses *constants = cx->last_use ? constant_uses(g, &g->arena) : NULL;
    FOR_EACH_NODE(g, n) {
        ok &= lower_node(&lo, n);
        if (constants)
            constant_uses_end(constants, index++);
    }
    if (ok) {
        build_run(&lo);
        module_take_weights(lo.m, &lo.weights);
        return lo.m;
    }
    buf_free(&lo.weights);
    module_free(lo.m);
    return NULL;
}
