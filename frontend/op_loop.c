/* op_loop.c: Loop, Scan and SequenceMap, whose number of iterations is known while compiling: the
 * body stands there once for each. */
#include "frontend/import.h"

#include <string.h>

/* What an output gathers, one tensor an iteration. */
typedef VEC(Value *) Gathered;

typedef struct Unrolling {
    OnnxBody body;
    OnnxName **in, **out; /* of one iteration */
    Gathered *gathered;   /* of the outputs from `first` on */
    size_t first;
    int64_t done; /* iterations */
} Unrolling;

/* Reads the body, which must have `in` inputs, and `before` outputs more than the node; those from
 * `first` on are gathered. False after a complaint. */
static bool start(OnnxNode *n, Unrolling *u, size_t in, size_t first, size_t before) {
    Arena *a = &n->im->arena;
    const Onnx__GraphProto *g = attr_graph(n, "body");
    if (!g)
        return false;
    *u = (Unrolling){.body = body_of_graph(n->im, g), .first = first};
    const OnnxBody *b = &u->body;
    if (b->ninputs != in || b->noutputs != (size_t)n->noutputs + before || b->noutputs < first) {
        onnx_bad(n, "its body has %zu inputs and %zu outputs, and does not fit the node",
                 b->ninputs, b->noutputs);
        return false;
    }
    u->in = ARENA_ARRAY(a, b->ninputs, OnnxName *);
    u->out = ARENA_ARRAY(a, b->noutputs, OnnxName *);
    u->gathered = ARENA_ARRAY(a, b->noutputs, Gathered);
    return true;
}

static OnnxName *stand_for(OnnxNode *n, Value *v) {
    OnnxName *x = ARENA_NEW(&n->im->arena, OnnxName);
    x->value = v;
    return x;
}

/* One iteration: u->in to u->out, and to what is gathered. */
static bool step(OnnxNode *n, Unrolling *u) {
    Arena *a = &n->im->arena;
    OnnxName **labels = ARENA_ARRAY(a, u->body.noutputs, OnnxName *);
    const char *path = arena_printf(a, "%s/%lld/", n->origin, (long long)u->done++);
    if (!inline_spend(n, 1 + u->body.noutputs) ||
        !body_import(n, scope_inside(n, path), &u->body, u->in, labels, u->out))
        return false;
    for (size_t i = u->first; i < u->body.noutputs; i++) {
        if (!u->out[i]->value)
            onnx_bad(n, "output %zu of its body is no tensor", i);
        vec_push(a, &u->gathered[i], u->out[i]->value);
    }
    return !n->failed;
}

/* Output `output` of n: what output i of the body gave, one behind the other along a new axis. */
static void set_stacked(OnnxNode *n, const Unrolling *u, size_t i, int output, int64_t axis,
                        bool backwards) {
    Gathered g = u->gathered[i];
    if (n->failed || !n->outputs[output] || !n->outputs[output]->uses)
        return;
    if (g.len == 0) {
        onnx_unsupported(n, "it has no iterations, and its output %d is used", output);
        return;
    }
    for (size_t k = 0; backwards && k < g.len / 2; k++) {
        Value *x = g.data[k];
        g.data[k] = g.data[g.len - 1 - k];
        g.data[g.len - 1 - k] = x;
    }
    int at = onnx_axis(n, axis, g.data[0]->type.shape.rank + 1);
    const char *part = output ? arena_printf(&n->im->arena, "stacked%d", output) : NULL;
    if (!n->failed)
        onnx_set_output(n, output, onnx_stack(n, part, g.data, (int)g.len, at));
}

/* ---- Loop ------------------------------------------------------------------------------------ */

static bool read_bool(OnnxNode *n, Value *v, bool *out) {
    const Tensor *t = v ? onnx_const_value(n, v, "condition", FOLD_LIMIT) : NULL;
    if (t && t->dtype == DT_bool && shape_elems(&t->shape) == 1)
        *out = tensor_i64(t, 0) != 0;
    else
        onnx_bad(n, "its condition must be one bool");
    return !n->failed;
}

/* How often it goes round at most. */
static int64_t trip_count(OnnxNode *n) {
    Ints count = {(const int64_t[]){INT64_MAX}, 1};
    if (onnx_input(n, 0) && onnx_ints_input(n, 0, "trip count", &count) && count.n != 1)
        onnx_bad(n, "its trip count must be one number");
    return n->failed ? 0 : count.v[0];
}

/* Loop-1 to -25: the body takes the number of the iteration, the condition and what is carried from
 * one to the next, and gives the condition, what is carried, and what the outputs gather. */
void import_loop(OnnxNode *n) {
    int carried = n->ninputs > 2 ? n->ninputs - 2 : 0;
    Unrolling u;
    if (!start(n, &u, (size_t)carried + 2, (size_t)carried + 1, 1))
        return;
    bool conditional = onnx_input(n, 1), go_on = true;
    int64_t trips = trip_count(n);
    OnnxName *yes = stand_for(n, n->failed ? NULL : onnx_scalar(n, "condition", DT_bool, 1));
    if (n->failed || (conditional && !read_bool(n, onnx_input(n, 1), &go_on)))
        return;
    for (int i = 0; i < carried; i++)
        u.in[2 + i] = n->inputs[2 + i];
    u.in[1] = yes;
    while (u.done < trips && go_on) {
        u.in[0] = stand_for(n, onnx_scalar(n, "iteration", DT_i64, (double)u.done));
        if (!step(n, &u) || (conditional && !read_bool(n, u.out[0]->value, &go_on)))
            return;
        memcpy(u.in + 2, u.out + 1, (size_t)carried * sizeof *u.in);
    }
    for (int i = 0; i < n->noutputs; i++)
        if (i >= carried)
            set_stacked(n, &u, (size_t)i + 1, i, 0, false);
        else if (n->outputs[i] && u.in[2 + i])
            name_take(n->outputs[i], u.in[2 + i]);
}

/* ---- Scan ------------------------------------------------------------------------------------ */

/* Axes or directions: one number an input or output, or nothing and then 0. */
static int64_t scan_list(OnnxNode *n, const char *name, int64_t count, int64_t i) {
    Ints list;
    if (!attr_ints(n, name, &list))
        return 0;
    if (list.n == count)
        return list.v[i];
    onnx_bad(n, "attribute \"%s\" has %d numbers, and needs %lld", name, list.n, (long long)count);
    return 0;
}

enum { MAX_SCANS = 64 };

typedef struct Scan {
    int first, states, scans; /* inputs: before the states, states, scanned ones */
    int axis[MAX_SCANS];      /* of each that is scanned */
    bool backwards[MAX_SCANS];
    int64_t length; /* iterations */
} Scan;

/* Scanned input i, along an axis. */
static void read_scan_input(OnnxNode *n, Scan *s, int i, int64_t axis, bool backwards) {
    int input = s->first + s->states + i;
    const Shape *shape = onnx_input(n, input) ? onnx_shape(n, input) : NULL;
    if (!shape) {
        onnx_bad(n, "input %d is missing", input);
        return;
    }
    s->backwards[i] = backwards;
    s->axis[i] = n->failed ? 0 : onnx_axis(n, axis, shape->rank);
    int64_t length = n->failed ? 0 : shape->dim[s->axis[i]];
    if (i > 0 && length != s->length)
        onnx_bad(n, "its inputs have %lld and %lld elements", (long long)s->length,
                 (long long)length);
    s->length = length;
}

static bool count_scans(OnnxNode *n, Scan *s) {
    int64_t scans = attr_int(n, "num_scan_inputs", 0);
    int inputs = n->ninputs - s->first, most = inputs < MAX_SCANS ? inputs : MAX_SCANS;
    if (scans < 1 || scans > most) {
        onnx_bad(n, "its num_scan_inputs is %lld, and must be 1 to %d", (long long)scans, most);
        return false;
    }
    s->scans = (int)scans;
    s->states = inputs - s->scans;
    return true;
}

/* All iterations over x[0..scans), from the states in u->in to those that it is left with. */
static bool scan_all(OnnxNode *n, Scan *s, Unrolling *u, Value *const *x) {
    for (int64_t step_done = 0; step_done < s->length; step_done++) {
        for (int i = 0; i < s->scans; i++) {
            int64_t at = s->backwards[i] ? s->length - 1 - step_done : step_done;
            Value *e = onnx_slice_axis(n, "element", x[i], s->axis[i], at, 1, 1);
            u->in[s->states + i] = stand_for(n, onnx_without_axis(n, "element", e, s->axis[i]));
        }
        if (n->failed || !step(n, u))
            return false;
        memcpy(u->in, u->out, (size_t)s->states * sizeof *u->in);
    }
    return true;
}

/* Scan-9 to -25: states go from one iteration to the next; each takes the next elements of the
 * inputs that are scanned. */
void import_scan(OnnxNode *n) {
    Scan s = {0};
    Unrolling u;
    Value *x[MAX_SCANS];
    if (!count_scans(n, &s))
        return;
    for (int i = 0; i < s.scans && !n->failed; i++) {
        int64_t axis = scan_list(n, "scan_input_axes", s.scans, i);
        read_scan_input(n, &s, i, axis, scan_list(n, "scan_input_directions", s.scans, i) == 1);
        x[i] = onnx_input(n, s.states + i);
    }
    if (n->failed || !start(n, &u, (size_t)n->ninputs, (size_t)s.states, 0))
        return;
    for (int i = 0; i < s.states; i++)
        u.in[i] = n->inputs[i];
    if (!scan_all(n, &s, &u, x))
        return;
    int64_t gathered = n->noutputs - s.states;
    for (int i = 0; i < n->noutputs; i++) {
        int64_t k = i - s.states;
        if (k >= 0)
            set_stacked(n, &u, (size_t)i, i, scan_list(n, "scan_output_axes", gathered, k),
                        scan_list(n, "scan_output_directions", gathered, k) == 1);
        else if (n->outputs[i] && u.in[i])
            name_take(n->outputs[i], u.in[i]);
    }
}

/* Element b of the batch that input i is. */
static Value *of_batch(OnnxNode *n, int i, int64_t b) {
    Value *x = onnx_slice_axis(n, "image", onnx_input(n, i), 0, b, 1, 1);
    return onnx_without_axis(n, "image", x, 0);
}

/* What scanning element b of the batch gives for each output. */
static void scan_element(OnnxNode *n, Scan *s, Unrolling *u, int64_t b, Value **results) {
    Value *x[MAX_SCANS];
    for (int i = 0; i < s->states; i++)
        u->in[i] = stand_for(n, of_batch(n, s->first + i, b));
    for (int i = 0; i < s->scans; i++)
        x[i] = of_batch(n, s->first + s->states + i, b);
    for (size_t i = 0; i < u->body.noutputs; i++)
        u->gathered[i].len = 0;
    if (n->failed || !scan_all(n, s, u, x))
        return;
    for (int i = 0; i < n->noutputs; i++) {
        Gathered *g = &u->gathered[i];
        results[i] =
            i < s->states ? u->in[i]->value : onnx_stack(n, "gathered", g->data, (int)g->len, 0);
        if (!results[i])
            onnx_bad(n, "output %d of its body is no tensor", i);
    }
}

/* Scan-8: over the second dimension, for each element of the batch, the first one, by itself. */
void import_scan_8(OnnxNode *n) {
    Scan s = {.first = 1};
    Unrolling u;
    if (onnx_input(n, 0))
        onnx_unsupported(n, "sequences of several lengths are not supported");
    if (n->failed || !count_scans(n, &s))
        return;
    for (int i = 1; i < n->ninputs && !n->failed; i++)
        if (!onnx_input(n, i) || onnx_shape(n, i)->rank < (i > s.states ? 2 : 1) ||
            onnx_shape(n, i)->dim[0] != onnx_shape(n, 1)->dim[0])
            onnx_bad(n, "input %d is not one of a batch", i);
    for (int i = 0; i < s.scans && !n->failed; i++)
        read_scan_input(n, &s, i, 1, scan_list(n, "directions", s.scans, i) == 1);
    if (n->failed || !start(n, &u, (size_t)n->ninputs - 1, (size_t)s.states, 0))
        return;
    for (int i = 0; i < s.scans; i++)
        s.axis[i] = 0; /* without the batch */
    int64_t batch = onnx_shape(n, 1)->dim[0];
    if (batch < 1 || s.length < 1)
        onnx_unsupported(n, "it has no iterations");
    if (n->failed || !inline_spend(n, (size_t)batch))
        return;
    Value **results = ARENA_ARRAY(&n->im->arena, batch * n->noutputs, Value *);
    for (int64_t b = 0; b < batch && !n->failed; b++)
        scan_element(n, &s, &u, b, results + b * n->noutputs);
    for (int i = 0; i < n->noutputs && !n->failed; i++) {
        Value **each = ARENA_ARRAY(&n->im->arena, batch, Value *);
        for (int64_t b = 0; b < batch; b++)
            each[b] = results[b * n->noutputs + i];
        const char *part = i ? arena_printf(&n->im->arena, "stacked%d", i) : NULL;
        onnx_set_output(n, i, onnx_stack(n, part, each, (int)batch, 0));
    }
}

/* ---- SequenceMap ----------------------------------------------------------------------------- */

/* SequenceMap-17: of each sequence its element, of each tensor all of it. */
void import_sequence_map(OnnxNode *n) {
    const OnnxList *first = onnx_list(n, 0);
    Unrolling u;
    if (!first || !first->is_sequence)
        onnx_bad(n, "input 0 is no sequence");
    for (int i = 0; i < n->ninputs && !n->failed; i++)
        if (!onnx_input(n, i) && (!onnx_list(n, i) || onnx_list(n, i)->count != first->count))
            onnx_bad(n, "input %d is neither a tensor nor a sequence of %lld", i,
                     (long long)first->count);
    if (n->failed || !start(n, &u, (size_t)n->ninputs, 0, 0))
        return;
    while (u.done < first->count) {
        for (int i = 0; i < n->ninputs; i++) {
            const OnnxList *l = onnx_list(n, i);
            u.in[i] = l ? stand_for(n, l->items[u.done]) : n->inputs[i];
        }
        if (!step(n, &u))
            return;
    }
    for (int i = 0; i < n->noutputs; i++) {
        OnnxList *l = ARENA_NEW(&n->im->arena, OnnxList);
        *l = (OnnxList){true, u.gathered[i].data, (int64_t)u.gathered[i].len};
        onnx_set_list(n, i, l);
    }
}
