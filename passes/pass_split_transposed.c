/* split-transposed: a convolution of elements with zeros between them, which is what a transposed
 * convolution was imported as, becomes convolutions of the elements alone:
 *
 *     conv2d(resize x {with -1 in its tables})      interleave(conv2d x, conv2d x, ...)
 *
 * With a stride of s along an axis, outputs p, p + s, ... see elements through the same taps, every
 * s-th one: they are a convolution by these, of stride 1, and the outputs of all take turns. Zeros
 * around become padding. It is done where the cost model says that it is faster.
 *
 * Needs: fuse-act and the like (each convolution keeps the activation). Leaves alone: weights that
 * aren't known or were made anew too often, residuals and scales, several readers of the resize, a
 * stride over 1 together with a dilation, outputs that see nothing, and results that cut elements
 * off. */
#include "passes/lower.h"
#include "passes/match.h"

/* One axis: element i of x is at position first + i * stride of what the convolution reads, counted
 * from the first tap of the first output. */
typedef struct Zeros {
    int64_t in, out, kernel, dilation, stride, first;
} Zeros;

/* Reads a table of the resize; false where it isn't elements in order with zeros between them. */
static bool read_table(const Value *table, Zeros *z) {
    if (!table)
        return true;
    if (!table->constant || !table->constant->data || table->type.shape.dim[1] != 1)
        return false;
    int64_t count = table->type.shape.dim[0], found = 0, at[2] = {0, 1}, index[2] = {0, 1};
    for (int64_t q = 0; q < count && found < 2; q++) {
        int64_t i = tensor_i64(table->constant, q);
        if (i >= 0) {
            at[found] = q;
            index[found++] = i;
        }
    }
    if (!found || (found == 2 && index[1] != index[0] + 1))
        return false;
    z->stride = found == 2 ? at[1] - at[0] : 1;
    int64_t start = at[0] - index[0] * z->stride;
    for (int64_t q = 0; q < count; q++) {
        int64_t i = q - start, want = i >= 0 && i % z->stride == 0 ? i / z->stride : -1;
        if (tensor_i64(table->constant, q) != (want < z->in ? want : -1))
            return false;
    }
    z->first += start;
    return true;
}

static bool read_axis(const Node *conv, const Node *resize, int axis, Zeros *z) {
    const ConvAttrs *a = conv_attrs(conv);
    *z = (Zeros){.in = node_in(resize, 0)->type.shape.dim[2 + axis],
                 .out = node_out(conv)->type.shape.dim[2 + axis],
                 .kernel = a->kernel.v[axis],
                 .dilation = a->dilation.v[axis],
                 .stride = 1,
                 .first = a->pad.v[axis]};
    return a->stride.v[axis] == 1 && read_table(node_in(resize, 1 + axis), z) &&
           (z->stride == 1 || z->dilation == 1);
}

/* What outputs p, p + stride, ... see: every stride-th tap from `first` on. */
typedef struct Phase {
    int64_t first, taps, step, out, front, back;
} Phase;

/* False where it needs less than no padding or more than a halo has, or has no taps or outputs.
 */
static bool phase_of(const Zeros *z, int64_t p, Phase *f) {
    int64_t away = (z->first - p) % z->stride;
    f->first = away < 0 ? away + z->stride : away;
    f->step = z->stride;
    f->taps = f->first < z->kernel ? ceil_div(z->kernel - f->first, z->stride) : 0;
    f->out = ceil_div(z->out - p, z->stride);
    f->front = -((p + f->first - z->first) / z->stride);
    f->back = f->out + (f->taps - 1) * z->dilation - z->in - f->front;
    return f->taps > 0 && f->out > 0 && f->front >= 0 && f->front <= MAX_HALO && f->back >= 0 &&
           f->back <= MAX_HALO;
}

/* The taps of two phases, of weights [M, C, kh, kw]. */
static Value *phase_weights(Graph *g, const Value *w, const Phase *rows, const Phase *columns) {
    const int64_t *d = w->type.shape.dim;
    float *to;
    Value *v = new_constant_f32(g, w->name, SHAPE(d[0], d[1], rows->taps, columns->taps), &to);
    const float *from = w->constant->data;
    for (int64_t k = 0; k < d[0] * d[1]; k++)
        for (int64_t i = 0; i < rows->taps; i++)
            for (int64_t j = 0; j < columns->taps; j++)
                *to++ = from[(k * d[2] + rows->first + i * rows->step) * d[3] + columns->first +
                             j * columns->step];
    return v;
}

static Value *phase_conv(Graph *g, Node *conv, Value *x, const Phase *rows, const Phase *columns) {
    Value *w = phase_weights(g, node_in(conv, 1), rows, columns);
    Node *c = new_node(g, conv->op, conv, (Value *[]){x, w, node_in(conv, 2)}, 3);
    ConvAttrs *a = conv_attrs(c);
    *a = *conv_attrs(conv);
    a->kernel = (Dim2){{rows->taps, columns->taps}};
    a->pad = (Dim4){{rows->front, columns->front, rows->back, columns->back}};
    node_infer_or_die(c);
    return node_out(c);
}

/* ---- cost ------------------------------------------------------------------------------------ */

static void set_block(Value *v, int block) {
    if (v && !v->constant && v->type.shape.rank == 4)
        v->type.layout.block = block;
}

static void set_blocks(Node *n, int block) {
    for (int i = 0; i < n->noperands; i++)
        set_block(node_in(n, i), block);
    set_block(node_out(n), block);
}

/* As it will be when all that it reads and makes, which is plain, is in blocks. */
static double cycles_in_blocks(Node *n, const PassContext *cx) {
    set_blocks(n, target_lanes(cx->target));
    double cycles = node_cycles(n, cx);
    set_blocks(n, 0);
    return cycles;
}

/* ---- the pass -------------------------------------------------------------------------------- */

enum { MOST_PHASES = 16 };

/* The resize with the zeros that conv alone reads; NULL where there is none. */
static Node *zeros_before(const Node *conv) {
    bool plain = conv->op == OP_dwconv2d || (conv->op == OP_conv2d && conv_attrs(conv)->group == 1);
    if (!plain || conv->nresults != 1 || !has_constant_weights(conv))
        return NULL;
    if (conv->op == OP_conv2d && (node_in(conv, node_slot(conv, "scale")) || has_epilogue(conv)))
        return NULL;
    Node *r = node_in(conv, 0)->def;
    bool found = r && r->op == OP_resize && value_single_user(node_out(r)) == conv &&
                 !node_in(r, 3) && !node_in(r, 4) && resize_attrs(r)->outside == 0;
    return found ? r : NULL;
}

typedef struct Split {
    Zeros axis[2];
    Phase phase[2][MOST_PHASES];
} Split;

static bool split_of(const Node *conv, const Node *resize, Split *s) {
    for (int k = 0; k < 2; k++) {
        if (!read_axis(conv, resize, k, &s->axis[k]) || s->axis[k].stride > MOST_PHASES)
            return false;
        for (int64_t p = 0; p < s->axis[k].stride; p++)
            if (!phase_of(&s->axis[k], p, &s->phase[k][p]))
                return false;
    }
    return s->axis[0].stride * s->axis[1].stride <= MOST_PHASES;
}

/* All convolutions, before conv, in the order of the interleave; what they and that cost. */
static double build(Graph *g, Node *conv, Value *x, const Split *s, Value **parts,
                    const PassContext *cx) {
    double cycles = 0;
    int count = 0;
    for (int64_t i = 0; i < s->axis[0].stride; i++)
        for (int64_t j = 0; j < s->axis[1].stride; j++) {
            parts[count] = phase_conv(g, conv, x, &s->phase[0][i], &s->phase[1][j]);
            cycles += cycles_in_blocks(parts[count++]->def, cx);
        }
    return cycles;
}

static Value *interleaved(Graph *g, Node *conv, const Split *s, Value *const *parts, int count) {
    if (count == 1)
        return parts[0];
    Node *n = new_node(g, OP_interleave, conv, parts, count);
    interleave_attrs(n)->steps = (Dim2){{s->axis[0].stride, s->axis[1].stride}};
    node_infer_or_die(n);
    return node_out(n);
}

static void split(Graph *g, Node *conv, Node *resize, const Split *s, const PassContext *cx) {
    Value *parts[MOST_PHASES], *x = node_in(resize, 0);
    int count = (int)(s->axis[0].stride * s->axis[1].stride);
    double old = cycles_in_blocks(conv, cx) + cycles_in_blocks(resize, cx);
    double now = build(g, conv, x, s, parts, cx);
    Value *y = interleaved(g, conv, s, parts, count);
    now += count > 1 ? cycles_in_blocks(y->def, cx) : 0;
    bool pays = now < old;
    diag_remark(
        cx->diag, cx->where,
        "%%%s: %s convolution of elements with zeros between them; predicted kilocycles: so "
        "%.0f, as %d of the elements alone %.0f",
        node_out(conv)->name, pays ? "no" : "a", old / 1000, count, now / 1000);
    if (pays)
        replace_node(g, conv, y);
}

bool pass_split_transposed(Graph *g, PassContext *cx) {
    FOR_EACH_NODE_SAFE(g, n) {
        Node *resize = zeros_before(n);
        Split s;
        if (resize && split_of(n, resize, &s) &&
            graph_may_grow(g, tensor_bytes(node_in(n, 1)->constant)))
            split(g, n, resize, &s, cx);
    }
    graph_dce(g);
    return true;
}
