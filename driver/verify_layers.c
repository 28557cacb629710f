/* verify_layers.c: compares what each step of compiled code stores with the value of the loaded
 * graph that it equals.
 *
 * A fused node computes what the last of the nodes that went into it did: passes hand that on
 * (Value.source). A step's result is copied out of the arena as soon as the step is done, since
 * later ones reuse its memory. What was fused away is stored nowhere, and is no layer. */
#include "driver/verify.h"

#include <string.h>

/* ---- what there is to compare ---------------------------------------------------------------- */

static const char *output_source(const effnetc_model *m, const Value *v) {
    const Graph *g = m->program.graph;
    for (size_t i = 0; i < g->outputs.len; i++)
        if (g->outputs.data[i]->value == v)
            return m->output_values.data[i];
    return NULL;
}

static void find_layers(Layers *l, const effnetc_model *m) {
    FOR_EACH_NODE(l->graph, n) {
        vec_push(l->arena, &l->step, l->list.len);
        for (int i = 0; i < n->nresults; i++) {
            const Value *v = n->results[i];
            const char *source = v->source ? v->source : output_source(m, v);
            if (!value_is_scratch(v))
                vec_push(l->arena, &l->list, ((Layer){.node = n, .value = v, .source = source}));
        }
    }
    vec_push(l->arena, &l->step, l->list.len);
}

/* ---- references ------------------------------------------------------------------------------ */

static void want(Layers *l, const char *name) {
    if (name && !map_get(&l->refs, name))
        map_put(l->arena, &l->refs, name, ARENA_NEW(l->arena, Tensor));
}

static void keep(Layers *l, const char *name, const Tensor *t) {
    Tensor *ref = map_get(&l->refs, name);
    if (!ref)
        return;
    *ref = *t;
    ref->data = arena_copy(l->arena, t->data, (size_t)tensor_bytes(t));
}

static void keep_results(void *context, const Node *n, Tensor *const *results) {
    for (int i = 0; i < n->nresults; i++)
        keep(context, n->results[i]->name, results[n->results[i]->result]);
}

/* The tensor of a value's shape with these elements, where there are as many. */
static const Tensor *shaped(Layers *l, const Value *v, const Tensor *ref) {
    const Shape *s = &v->type.shape;
    if (!ref || !ref->data || shape_elems(&ref->shape) != shape_elems(s))
        return NULL;
    return tensor_wrap(l->arena, ref->dtype, *s, ref->data);
}

bool layers_open(Layers *l, effnetc_model *m, effnetc_model *reference, Tensor *const *in,
                 Tensor **ref, const Tolerance *t, Arena *a) {
    *l = (Layers){.arena = a, .tolerance = *t, .graph = m->program.graph};
    find_layers(l, m);
    for (size_t i = 0; i < l->list.len; i++)
        want(l, l->list.data[i].source);
    const Graph *g = model_source(reference);
    if (!g)
        return false;
    for (size_t i = 0; i < g->inputs.len; i++)
        keep(l, g->inputs.data[i]->name, in[i]);
    bool ok = graph_eval_with(g, in, ref, a, reference->diag, keep_results, l) &&
              cut_outputs(reference, ref, a);
    for (size_t i = 0; i < l->list.len; i++) {
        Layer *x = &l->list.data[i];
        x->ref = x->source ? shaped(l, x->value, map_get(&l->refs, x->source)) : NULL;
    }
    return ok;
}

/* ---- what is stored -------------------------------------------------------------------------- */

/* Copies images [first, first + count) of a value in memory as kernels lay it out to a plain
 * tensor of all its images. Where they take turns, the memory is that of image `first`. */
static void unpack(const Value *v, const char *memory, int64_t first, int64_t count, Tensor *t) {
    View w = view_of(&v->type);
    size_t size = (size_t)dtype_bytes(t->dtype);
    char *to = (char *)tensor_mutable(t) + (size_t)(first * w.c * w.h * w.w) * size;
    for (int64_t n = first; n < first + count; n++)
        for (int64_t c = 0; c < w.c; c++)
            for (int64_t y = 0; y < w.h; y++)
                for (int64_t x = 0; x < w.w; x++, to += size) {
                    int64_t from = w.origin + n * w.image + c / w.block * w.plane + y * w.row +
                                   x * w.block + c % w.block;
                    memcpy(to, memory + (size_t)from * size, size);
                }
}

static void compare(const Layers *l, Layer *x, const Tensor *t) {
    x->c = tensor_compare(t, x->ref, &l->tolerance);
    x->compared = true;
}

static void take_image(const Layers *l, Layer *x, const char *memory) {
    const Type *t = &x->value->type;
    if (!x->images)
        x->images = tensor_new(l->arena, t->dtype, t->shape);
    unpack(x->value, memory, x->images_so_far, 1, x->images);
    if (++x->images_so_far == t->shape.dim[0])
        compare(l, x, x->images);
}

/* Within the loop over images of a batch a step runs once an image: the last time counts. */
static void take_all(const Layers *l, Layer *x, const char *memory) {
    Arena arena = {0};
    const Type *t = &x->value->type;
    const Tensor *plain = tensor_wrap(&arena, t->dtype, t->shape, memory);
    if (t->layout.block > 0) {
        Tensor *unpacked = tensor_new(&arena, t->dtype, t->shape);
        unpack(x->value, memory, 0, view_of(t).n, unpacked);
        plain = unpacked;
    }
    compare(l, x, plain);
    arena_free(&arena);
}

static const char *memory_of(const Layers *l, const Value *v, const void *arena) {
    for (size_t i = 0; i < l->graph->outputs.len; i++)
        if (l->graph->outputs.data[i]->value == v)
            return l->out[i];
    return (const char *)arena + v->arena_offset;
}

static void step_seen(void *context, int step, const void *arena) {
    Layers *l = context;
    for (size_t i = l->step.data[step]; i < l->step.data[step + 1]; i++) {
        Layer *x = &l->list.data[i];
        const char *memory = memory_of(l, x->value, arena);
        if (x->ref && x->value->type.layout.one_image)
            take_image(l, x, memory);
        else if (x->ref)
            take_all(l, x, memory);
    }
}

bool layers_run(Layers *l, effnetc_model *m, effnetc_backend backend, Tensor *const *in,
                Tensor **out) {
    TensorMemory at = lay_out(m, in, out, l->arena);
    l->out = at.out;
    return run_watched(m, backend, at.in, at.out, &(StepWatch){step_seen, l});
}

/* ---- the graph's interpreter ----------------------------------------------------------------- */

static void node_seen(void *context, const Node *n, Tensor *const *results) {
    Layers *l = context;
    for (size_t i = 0; i < l->list.len; i++) {
        Layer *x = &l->list.data[i];
        if (x->node == n && x->ref)
            compare(l, x, results[x->value->result]);
    }
}

bool layers_eval(Layers *l, Tensor *const *in, Diag *d) {
    Tensor **out = ARENA_ARRAY(l->arena, l->graph->outputs.len + 1, Tensor *);
    return graph_eval_with(l->graph, in, out, l->arena, d, node_seen, l);
}

/* ---- drift ----------------------------------------------------------------------------------- */

/* Every layer rounds, not the input alone, and in float32 where the reference has float64: what
 * they add up to is larger than what one last bit does. */
static const double drift_factor = 64;

/* A copy whose float32 elements go up or down by a unit in the last place, or little more. */
static Tensor *nudged(const Tensor *t, uint64_t *state, Arena *a) {
    const double ulp = 0x1p-23;
    Tensor *copy = tensor_new(a, t->dtype, t->shape);
    memcpy(tensor_mutable(copy), t->data, (size_t)tensor_bytes(t));
    for (int64_t i = 0; t->dtype == DT_f32 && i < shape_elems(&t->shape); i++) {
        double x = tensor_f64(t, i);
        tensor_set_f64(copy, i, random_next(state) >> 63 ? x * (1 + ulp) : x * (1 - ulp));
    }
    return copy;
}

static void drift_seen(void *context, const Node *n, Tensor *const *results) {
    Layers *l = context;
    for (int r = 0; r < n->nresults; r++)
        for (size_t i = 0; i < l->list.len; i++) {
            Layer *x = &l->list.data[i];
            const Tensor *t = x->ref ? results[n->results[r]->result] : NULL;
            if (!t || strcmp(x->source, n->results[r]->name) != 0)
                continue;
            t = tensor_wrap(l->arena, t->dtype, x->ref->shape, t->data);
            x->drift = tensor_compare(t, x->ref, &l->tolerance).relative;
        }
}

bool layers_find_drift(Layers *l, effnetc_model *reference, Tensor *const *in) {
    Arena a = {0};
    const Graph *g = model_source(reference);
    uint64_t state = 1;
    if (!g)
        return false;
    Tensor **near = ARENA_ARRAY(&a, g->inputs.len + 1, Tensor *);
    Tensor **out = ARENA_ARRAY(&a, g->outputs.len + 1, Tensor *);
    for (size_t i = 0; i < g->inputs.len; i++)
        near[i] = nudged(in[i], &state, &a);
    bool ok = graph_eval_with(g, near, out, &a, reference->diag, drift_seen, l);
    arena_free(&a);
    return ok;
}

bool layer_drifts(const Layer *x) {
    return x->compared && !x->c.pass && !x->c.not_finite &&
           x->c.relative <= drift_factor * x->drift;
}

const Layer *layers_first(const Layers *l) {
    for (size_t i = 0; i < l->list.len; i++) {
        const Layer *x = &l->list.data[i];
        if (x->compared && !x->c.pass && !layer_drifts(x))
            return x;
    }
    return NULL;
}

const Layer *layers_first_drift(const Layers *l) {
    for (size_t i = 0; i < l->list.len; i++)
        if (layer_drifts(&l->list.data[i]))
            return &l->list.data[i];
    return NULL;
}

size_t layers_compared(const Layers *l) {
    size_t n = 0;
    for (size_t i = 0; i < l->list.len; i++)
        n += l->list.data[i].compared;
    return n;
}
