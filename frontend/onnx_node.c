/* onnx_node.c: what importers read of a NodeProto, build from it and say about it. */
#include "frontend/import.h"

#include <string.h>

/* ---- reading --------------------------------------------------------------------------------- */

Value *onnx_input(const OnnxNode *n, int i) {
    return i < n->ninputs && n->inputs[i] ? n->inputs[i]->value : NULL;
}

const OnnxList *onnx_list(const OnnxNode *n, int i) {
    return i < n->ninputs && n->inputs[i] ? n->inputs[i]->list : NULL;
}

const Shape *onnx_shape(const OnnxNode *n, int i) {
    Value *v = onnx_input(n, i);
    ensure(v);
    return &v->type.shape;
}

void onnx_set_output(OnnxNode *n, int i, Value *v) {
    if (i < n->noutputs && n->outputs[i])
        n->outputs[i]->value = v;
}

void onnx_set_list(OnnxNode *n, int i, const OnnxList *list) {
    if (i < n->noutputs && n->outputs[i])
        n->outputs[i]->list = list;
}

/* ---- complaints ------------------------------------------------------------------------------ */

static void describe_list(Buf *b, const OnnxList *l) {
    if (l->is_sequence)
        buf_printf(b, "a sequence of %lld", (long long)l->count);
    else
        buf_puts(b, "an empty optional");
}

static void note_inputs(OnnxNode *n) {
    enum { SHOWN = 8 };
    Buf b = {0};
    for (int i = 0; i < n->ninputs && i < SHOWN; i++) {
        buf_puts(&b, i ? ", " : "");
        Value *v = onnx_input(n, i);
        if (v)
            type_print(&b, &v->type);
        else if (onnx_list(n, i))
            describe_list(&b, onnx_list(n, i));
        else
            buf_puts(&b, n->inputs[i] ? "unknown" : "none");
    }
    if (n->ninputs > SHOWN)
        buf_printf(&b, ", and %d more", n->ninputs - SHOWN);
    if (n->ninputs)
        diag_note(n->im->d, "inputs", "%s", buf_str(&b));
    buf_free(&b);
}

/* Which node, what its inputs are, what is the matter, what to do (help may be NULL). */
static void complain(OnnxNode *n, int exit_code, const char *reason, const char *help) {
    Importer *im = n->im;
    const char *what = exit_code == EXIT_UNSUPPORTED ? "is not supported" : "is not valid";
    n->failed = true;
    diag_error(im->d, exit_code, im->path, "node %s (%s%s%s, opset %lld) %s", quoted(im, n->origin),
               shortened(im, n->domain), *n->domain ? "." : "", shortened(im, n->proto->op_type),
               (long long)n->opset, what);
    note_inputs(n);
    diag_note(im->d, "reason", "%s", reason);
    if (help)
        diag_note(im->d, "help", "%s", help);
}

static const char *usual_help(int exit_code) {
    return exit_code == EXIT_UNSUPPORTED ? "`effnetc ops` lists what is supported" : NULL;
}

static void complain_v(OnnxNode *n, int exit_code, const char *fmt, va_list ap) {
    bool kept = n->im->d->errors < DIAG_MAX;
    if (!n->failed)
        complain(n, exit_code, kept ? arena_vprintf(&n->im->arena, fmt, ap) : "",
                 usual_help(exit_code));
}

void onnx_bad(OnnxNode *n, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    complain_v(n, EXIT_BAD_MODEL, fmt, ap);
    va_end(ap);
}

void onnx_unsupported(OnnxNode *n, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    complain_v(n, EXIT_UNSUPPORTED, fmt, ap);
    va_end(ap);
}

void onnx_problem(OnnxNode *n, const Problem *p) {
    if (!n->failed)
        complain(n, p->exit_code, p->reason, usual_help(p->exit_code));
}

/* Why v isn't known: one of the graph inputs that it is computed from, or its cost. */
static const char *reason_open(OnnxNode *n, const Value *v) {
    if (n->im->d->errors >= DIAG_MAX)
        return ""; /* it would not be kept */
    Arena a = {0};
    Map seen = {0};
    VEC(const Value *) open = {0};
    const Value *from = NULL;
    vec_push(&a, &open, v);
    while (open.len && !from) {
        const Value *x = open.data[--open.len];
        if (x->is_input)
            from = x;
        for (int i = 0; x->def && i < x->def->noperands; i++) {
            Value *operand = node_in(x->def, i);
            if (operand && map_put(&a, &seen, operand->name, operand))
                vec_push(&a, &open, operand);
        }
    }
    arena_free(&a);
    return from ? arena_printf(&n->im->arena, "and depends on the data of input %s",
                               quoted(n->im, from->name))
                : "and takes too much to compute";
}

void onnx_not_constant(OnnxNode *n, const char *what, const Value *v) {
    if (!n->failed)
        complain(
            n, EXIT_UNSUPPORTED,
            arena_printf(&n->im->arena, "its %s must be constant, %s", what, reason_open(n, v)),
            "values that follow from shapes are: fix open dimensions with --dim NAME=N, or "
            "simplify the model with onnxsim");
}

/* ---- building -------------------------------------------------------------------------------- */

/* The name of a value that the node makes, unique in the graph. */
static const char *result_name(OnnxNode *n, const char *part) {
    const char *base = n->noutputs && n->outputs[0] ? n->outputs[0]->label : n->origin;
    if (part)
        base = arena_printf(&n->im->arena, "%s.%s", base, part);
    return graph_unique_name(n->im->g, base);
}

Node *onnx_add(OnnxNode *n, Op op, const char *part, Value *const *operands, int noperands) {
    Node *x = node_new(n->im->g, op, NULL, result_name(n, part), operands, noperands);
    if (n->scope->at)
        inline_spend(n, 1 + strlen(n->scope->path) / 64);
    x->origin = arena_strdup(&n->im->g->arena, n->origin);
    return x;
}

Value *onnx_done(OnnxNode *n, Node *x) {
    Buf why = {0};
    bool fits = !n->failed && node_infer(x, &why);
    if (!fits) {
        onnx_bad(n, "%s", buf_str(&why));
        node_erase(n->im->g, x);
    }
    buf_free(&why);
    if (fits) {
        counts_carry(n, x);
        small_carry(n, x);
    }
    return fits && !n->failed ? node_out(x) : NULL;
}

Value *onnx_unary(OnnxNode *n, Op op, const char *part, Value *x) {
    return x ? onnx_done(n, onnx_add(n, op, part, &x, 1)) : NULL;
}

Value *onnx_binary(OnnxNode *n, Op op, const char *part, Value *a, Value *b) {
    return a && b ? onnx_done(n, onnx_add(n, op, part, (Value *[]){a, b}, 2)) : NULL;
}

/* reshape or expand: the ops whose only attribute is the result's shape. */
static Value *to_shape(OnnxNode *n, Op op, const char *part, Value *x, const Shape *to) {
    if (!x)
        return NULL;
    Node *r = onnx_add(n, op, part, &x, 1);
    reshape_attrs(r)->shape = onnx_keep_ints(n, to->dim, to->rank);
    return onnx_done(n, r);
}

Value *onnx_reshape(OnnxNode *n, const char *part, Value *x, const Shape *to) {
    return to_shape(n, OP_reshape, part, x, to);
}

Value *onnx_expand(OnnxNode *n, const char *part, Value *x, const Shape *to) {
    return to_shape(n, OP_expand, part, x, to);
}

Value *onnx_constant(OnnxNode *n, const char *part, Tensor *t) {
    return graph_constant(n->im->g, result_name(n, part), t);
}

Value *onnx_scalar(OnnxNode *n, const char *part, DType dt, double x) {
    Tensor *t = tensor_new(&n->im->g->arena, dt, (Shape){0});
    tensor_set_f64(t, 0, x);
    return onnx_constant(n, part, t);
}

Ints onnx_keep_ints(OnnxNode *n, const int64_t *v, int count) {
    return (Ints){arena_copy(&n->im->g->arena, v, (size_t)count * sizeof *v), count};
}

/* A message that is read several times, in several scopes, makes one constant. */
static const char *address_key(Importer *im, const void *message) {
    return arena_printf(&im->arena, "%p", message);
}

Value *constant_known(Importer *im, const void *message) {
    return im->constants.len ? map_get(&im->constants, address_key(im, message)) : NULL;
}

void constant_keep(Importer *im, const void *message, Value *v) {
    map_put(&im->arena, &im->constants, address_key(im, message), v);
}

/* ---- operands whose value must be known ------------------------------------------------------ */

const Tensor *onnx_const_value(OnnxNode *n, Value *v, const char *what, int64_t limit) {
    if (n->failed || !v)
        return NULL;
    const Tensor *t = graph_fold_value(n->im->g, v, limit);
    if (!t || !t->data)
        t = onnx_known_sizes(n, v);
    if (!t)
        onnx_not_constant(n, what, v);
    return n->failed ? NULL : t;
}

bool onnx_is_known(OnnxNode *n, int i) {
    Value *v = onnx_input(n, i);
    const Tensor *t = v ? graph_fold_value(n->im->g, v, FOLD_LIMIT) : NULL;
    return !v || (t && t->data);
}

const Tensor *onnx_const_input(OnnxNode *n, int i, const char *what, int64_t limit) {
    ensure(onnx_input(n, i));
    return onnx_const_value(n, onnx_input(n, i), what, limit);
}

bool onnx_ints_up_to(OnnxNode *n, int i, const char *what, int most, Ints *out) {
    const Tensor *t = onnx_const_input(n, i, what, FOLD_LIMIT);
    if (!t)
        return false;
    if (t->shape.rank > 1 || (t->dtype != DT_i64 && t->dtype != DT_i32)) {
        onnx_bad(n, "its %s must be a list of int64 or int32", what);
        return false;
    }
    if (shape_elems(&t->shape) > most) {
        onnx_bad(n, "its %s has %lld numbers; no list has more than %d", what,
                 (long long)shape_elems(&t->shape), most);
        return false;
    }
    int count = (int)shape_elems(&t->shape);
    int64_t *v = ARENA_ARRAY(&n->im->arena, count, int64_t);
    for (int k = 0; k < count; k++)
        v[k] = tensor_i64(t, k);
    *out = (Ints){v, count};
    return true;
}

/* Such a list has one number for each front and back of a dimension at most. */
bool onnx_ints_input(OnnxNode *n, int i, const char *what, Ints *out) {
    return onnx_ints_up_to(n, i, what, 2 * MAX_RANK, out);
}

bool onnx_ints_arg(OnnxNode *n, const char *attr, int input, Ints *out) {
    *out = (Ints){NULL, 0};
    if (onnx_input(n, input))
        return onnx_ints_input(n, input, attr, out);
    return attr_ints(n, attr, out);
}

int onnx_axis(OnnxNode *n, int64_t axis, int limit) {
    int64_t a = axis < 0 ? axis + limit : axis;
    if (a >= 0 && a < limit)
        return (int)a;
    onnx_bad(n, "axis %lld is outside [%d, %d)", (long long)axis, -limit, limit);
    return 0;
}

void onnx_axes(OnnxNode *n, const Ints *axes, int limit, bool *set) {
    memset(set, 0, (size_t)limit * sizeof *set);
    for (int i = 0; i < axes->n && !n->failed; i++) {
        int a = onnx_axis(n, axes->v[i], limit);
        if (!n->failed && set[a])
            onnx_bad(n, "axis %lld is named twice", (long long)axes->v[i]);
        else if (!n->failed)
            set[a] = true;
    }
}

/* ---- what several importers ask -------------------------------------------------------------- */

bool onnx_same_dtype(OnnxNode *n, int count) {
    DType want = onnx_input(n, 0)->type.dtype;
    for (int i = 1; i < count; i++) {
        Value *v = onnx_input(n, i);
        if (v && v->type.dtype != want)
            onnx_bad(n, "input %d is %s, and input 0 is %s", i, dtype_name(v->type.dtype),
                     dtype_name(want));
    }
    return !n->failed;
}

bool onnx_has_shape(const OnnxNode *n, int i, const Shape *want) {
    return !onnx_input(n, i) || shape_equal(onnx_shape(n, i), want);
}

bool onnx_needs_float(OnnxNode *n, int count) {
    DType dt = onnx_input(n, 0)->type.dtype;
    if (!dtype_is_float(dt))
        onnx_unsupported(n, "it is supported for floating point alone, and its input is %s",
                         dtype_name(dt));
    return !n->failed && onnx_same_dtype(n, count);
}
