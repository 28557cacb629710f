/* widen-floats: a model in f16, bf16 or f64 is computed in f32: constants become f32, and so does
 * every value inside. Graph inputs and outputs keep their types, with a cast behind or before them.
 *
 * Kernels are f32's. For the narrow types that is more exact than the model asks for: it rounds
 * after each op, and overflows at 65504 in f16, where its author hardly meant it to; a cast to a
 * narrow type inside is such a rounding, too, and goes. For f64 it is less exact, which a warning
 * says where the caller sees f64, and else a remark.
 *
 * Needs: nothing. Leaves alone: integers, and constants whose elements were elided but for a cast
 * behind them. */
#include "passes/match.h"

#include <inttypes.h>
#include <math.h>

static bool is_other_float(DType dt) {
    return dtype_is_float(dt) && dt != DT_f32;
}

static Value *cast_before(Graph *g, Node *at, Value *x, DType to) {
    Node *c = node_new(g, OP_cast, at, x->name, &x, 1);
    cast_attrs(c)->to = to;
    node_infer_or_die(c);
    return node_out(c);
}

/* Every node that reads v reads its f32 form; where v is an output itself, it stays one. */
static void cast_readers(Graph *g, Value *v) {
    Value *wide = cast_before(g, g->first, v, DT_f32);
    value_replace(v, wide);
    node_set_operand(wide->def, 0, v);
    for (size_t i = 0; i < g->outputs.len; i++)
        if (g->outputs.data[i]->value == wide)
            graph_set_output(g, i, v);
}

/* Counts in *lost the numbers that f32 is too small for. */
static void widen_constant(Graph *g, Value *v, int64_t *lost) {
    int64_t n = shape_elems(&v->type.shape);
    if (!v->constant->data || !graph_may_grow(g, n * (int64_t)sizeof(float))) {
        cast_readers(g, v);
        return;
    }
    float *data;
    Value *wide = new_constant_f32(g, v->name, v->type.shape, &data);
    for (int64_t i = 0; i < n; i++) {
        double x = tensor_f64(v->constant, i);
        data[i] = (float)x;
        *lost += isfinite(x) && !isfinite(data[i]);
    }
    value_replace(v, wide);
}

/* Graph outputs get back their types. */
static void narrow_outputs(Graph *g, const DType *types) {
    for (size_t i = 0; i < g->outputs.len; i++) {
        Value *v = g->outputs.data[i]->value;
        if (v->type.dtype != types[i])
            graph_set_output(g, i, cast_before(g, NULL, v, types[i]));
    }
}

static void widen_nodes(Graph *g) {
    FOR_EACH_NODE(g, n) {
        if (n->op == OP_cast && is_other_float(cast_attrs(n)->to))
            cast_attrs(n)->to = DT_f32;
        node_infer_or_die(n);
    }
}

/* Whether anything is of such a type; *f64: of f64. */
static bool has_other_floats(const Graph *g, bool *f64) {
    bool any = false;
    *f64 = false;
#define SEE(v) (any |= is_other_float((v)->type.dtype), *f64 |= (v)->type.dtype == DT_f64)
    for (size_t i = 0; i < g->inputs.len; i++)
        SEE(g->inputs.data[i]);
    for (size_t i = 0; i < g->constants.len; i++)
        SEE(g->constants.data[i]);
    FOR_EACH_NODE(g, n) {
        for (int i = 0; i < n->nresults; i++)
            SEE(n->results[i]);
    }
#undef SEE
    return any;
}

static bool caller_sees_f64(const Graph *g) {
    for (size_t i = 0; i < g->inputs.len; i++)
        if (g->inputs.data[i]->type.dtype == DT_f64)
            return true;
    for (size_t i = 0; i < g->outputs.len; i++)
        if (g->outputs.data[i]->value->type.dtype == DT_f64)
            return true;
    return false;
}

static void say_f64(const Graph *g, PassContext *cx) {
    static const char text[] = "float64 is computed as float32, to some 7 digits";
    if (caller_sees_f64(g))
        diag_warning(cx->diag, cx->where, "%s", text);
    else
        diag_remark(cx->diag, cx->where, "%s", text);
}

bool pass_widen_floats(Graph *g, PassContext *cx) {
    bool f64;
    int64_t lost = 0;
    if (!has_other_floats(g, &f64))
        return true;
    if (f64)
        say_f64(g, cx);
    DType *types = ARENA_ARRAY(&g->arena, g->outputs.len, DType);
    for (size_t i = 0; i < g->outputs.len; i++)
        types[i] = g->outputs.data[i]->value->type.dtype;
    for (size_t i = 0; i < g->inputs.len; i++)
        if (is_other_float(g->inputs.data[i]->type.dtype))
            cast_readers(g, g->inputs.data[i]);
    for (size_t i = 0, n = g->constants.len; i < n; i++)
        if (is_other_float(g->constants.data[i]->type.dtype))
            widen_constant(g, g->constants.data[i], &lost);
    if (lost)
        diag_warning(cx->diag, cx->where,
                     "numbers of constants that are beyond float32 become infinite: %" PRId64,
                     lost);
    widen_nodes(g);
    narrow_outputs(g, types);
    graph_dce(g);
    return true;
}
