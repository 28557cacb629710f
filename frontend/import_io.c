/* import_io.c: initializers, inputs and outputs of the graph. */
#include "frontend/import.h"

#include <string.h>

/* Initializers that one reason keeps from being used: a missing file of external data is one
 * error, however many tensors are in it. */
typedef struct Unusable {
    Problem problem;
    const char *first; /* name */
    size_t more;
} Unusable;

typedef struct UnusableList {
    VEC(Unusable *) all;
    Map by_reason;
} UnusableList;

static void add_unusable(Importer *im, UnusableList *list, const char *name, Problem p) {
    Unusable *u = map_get(&list->by_reason, p.reason);
    if (u) {
        u->more++;
        return;
    }
    u = ARENA_NEW(&im->arena, Unusable);
    *u = (Unusable){.problem = p, .first = name};
    vec_push(&im->arena, &list->all, u);
    map_put(&im->arena, &list->by_reason, p.reason, u);
}

static void report_unusable(Importer *im, const Unusable *u) {
    const char *others = u->more ? arena_printf(&im->arena, " and %zu more", u->more) : "";
    diag_error(im->d, u->problem.exit_code, im->path, "initializer %s%s can't be used",
               quoted(im, u->first), others);
    diag_note(im->d, "reason", "%s", u->problem.reason);
}

/* An initializer as its message, of one of both kinds, has it. */
typedef struct Initializer {
    const char *name;
    const Onnx__TensorProto *dense;
    const Onnx__SparseTensorProto *sparse;
} Initializer;

/* Where the subgraph that it is in was imported before, it is the same value. */
static void add_initializer(Scope *s, UnusableList *unusable, Initializer x) {
    Importer *im = s->im;
    const void *message = x.dense ? (const void *)x.dense : x.sparse;
    OnnxName *name = name_find(s, x.name);
    Problem p = {0};
    name->value = constant_known(im, message);
    if (name->value)
        return;
    Tensor *t = x.dense ? tensor_import(im, x.dense, &p) : sparse_import(im, x.sparse, &p);
    if (t) {
        name->value = graph_constant(im->g, graph_unique_name(im->g, name->label), t);
        small_mark(im, name->value, small_type((x.dense ? x.dense : x.sparse->values)->data_type));
        constant_keep(im, message, name->value);
    } else {
        add_unusable(im, unusable, x.name, p);
    }
}

bool import_initializers(Scope *s, const Onnx__GraphProto *g) {
    Importer *im = s->im;
    size_t errors = im->d->errors;
    UnusableList unusable = {0};
    for (size_t i = 0; i < g->n_initializer; i++)
        add_initializer(s, &unusable,
                        (Initializer){g->initializer[i]->name, g->initializer[i], NULL});
    for (size_t i = 0; i < g->n_sparse_initializer; i++) {
        const Onnx__SparseTensorProto *sparse = g->sparse_initializer[i];
        add_initializer(s, &unusable, (Initializer){sparse_name(sparse), NULL, sparse});
    }
    for (size_t i = 0; i < unusable.all.len; i++)
        report_unusable(im, unusable.all.data[i]);
    return im->d->errors == errors;
}

/* ---- shapes of inputs ------------------------------------------------------------------------ */

/* A dimension of a graph input and what it may be called on the command line. */
typedef struct InputDim {
    const char *input;
    int axis;
    const char *param; /* dim_param, or INPUT.AXIS where the model gives none */
    bool is_named;     /* it is the former */
} InputDim;

static const DimOverride *find_override(const Importer *im, const char *name) {
    for (int i = 0; i < im->options->ndims; i++)
        if (strcmp(im->options->dims[i].name, name) == 0)
            return &im->options->dims[i];
    return NULL;
}

/* The size of a dimension that the model leaves open. */
static bool open_dim(Importer *im, const InputDim *d, int64_t *out) {
    const DimOverride *o = find_override(im, d->param);
    *out = o ? o->value : 1;
    if (o)
        return true;
    const char *other = NULL;
    if (d->axis == 0)
        other = first_dim_is_other(im, d->input, d->is_named ? d->param : NULL);
    if (d->axis == 0 && !other) {
        diag_remark(im->d, im->path, "dimension %s, the first of input %s, is taken as 1",
                    quoted(im, d->param), quoted(im, d->input));
        diag_note(im->d, "help", "--dim %s=N sets it", quoted(im, d->param));
        return true;
    }
    diag_error(im->d, EXIT_USAGE, im->path, "dimension %s (axis %d of input %s) has no size",
               quoted(im, d->param), d->axis, quoted(im, d->input));
    if (other)
        diag_note(im->d, "reason", "%s", other);
    diag_note(im->d, "help", "set it with --dim %s=N", quoted(im, d->param));
    return false;
}

static const char *dim_param(const Onnx__TensorShapeProto__Dimension *d) {
    bool named = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    return named && *d->dim_param ? d->dim_param : NULL;
}

/* Negative sizes are how some exporters write an open dimension. */
static bool dim_known(const Onnx__TensorShapeProto__Dimension *d) {
    return d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
           d->dim_value >= 0;
}

static InputDim input_dim(Importer *im, const Onnx__ValueInfoProto *v, int axis) {
    const char *param = dim_param(v->type->tensor_type->shape->dim[axis]);
    bool is_named = param != NULL;
    if (!is_named)
        param = arena_printf(&im->arena, "%s.%d", v->name, axis);
    return (InputDim){v->name, axis, param, is_named};
}

static bool input_shape(Importer *im, const Onnx__ValueInfoProto *v, Shape *out) {
    const Onnx__TensorShapeProto *s = v->type->tensor_type->shape;
    bool ok = true;
    out->rank = (int)s->n_dim;
    for (int i = 0; i < out->rank; i++) {
        InputDim d = input_dim(im, v, i);
        if (dim_known(s->dim[i]))
            out->dim[i] = s->dim[i]->dim_value;
        else
            ok &= open_dim(im, &d, &out->dim[i]);
    }
    return ok;
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static bool input_error(Importer *im, const Onnx__ValueInfoProto *v, int exit_code,
                        const char *reason) {
    diag_error(im->d, exit_code, im->path, "graph input %s can't be used", quoted(im, v->name));
    diag_note(im->d, "reason", "%s", reason);
    return false;
}

static const Onnx__TypeProto__Tensor *tensor_type(const Onnx__ValueInfoProto *v) {
    bool is_tensor = v->type && v->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    return is_tensor ? v->type->tensor_type : NULL;
}

/* How programs see a type that has no counterpart. */
static void remark_small(Importer *im, const char *what, const char *name, const Value *v) {
    const SmallType *s = small_of(im, v);
    if (s)
        diag_remark(im->d, im->path, "%s %s is %s: one element a byte, %s", what, quoted(im, name),
                    s->name, s->is_float ? "its code" : "its number");
}

static const char *not_a_tensor(const Onnx__ValueInfoProto *v) {
    switch (v->type ? v->type->value_case : ONNX__TYPE_PROTO__VALUE__NOT_SET) {
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
        return "it is a sequence, and how many tensors it has is not known while compiling";
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
        return "it is optional, and whether it is there is not known while compiling";
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
        return "it is a map, and only tensors are supported";
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE:
        return "it is a sparse tensor, and only dense ones are supported";
    default:
        return "it is not a tensor";
    }
}

static bool import_input(Importer *im, const Onnx__ValueInfoProto *v) {
    const Onnx__TypeProto__Tensor *t = tensor_type(v);
    const char *why;
    ElementType e;
    Shape s = {0};
    if (!t)
        return input_error(im, v, EXIT_UNSUPPORTED, not_a_tensor(v));
    if (!t->shape)
        return input_error(im, v, EXIT_UNSUPPORTED, "its rank is not known");
    if (t->shape->n_dim > MAX_RANK)
        return input_error(im, v, EXIT_UNSUPPORTED,
                           arena_printf(&im->arena, "it has %zu dimensions, and %d are supported",
                                        t->shape->n_dim, MAX_RANK));
    if (t->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__UNDEFINED)
        return input_error(im, v, EXIT_BAD_MODEL, "it has no element type");
    if (!element_type(im, t->elem_type, &e, &why))
        return input_error(im, v, EXIT_UNSUPPORTED, why);
    if (!input_shape(im, v, &s))
        return false;
    const Type type = type_plain(e.dtype, s);
    if (!shape_valid(&s, e.dtype))
        return input_error(
            im, v, EXIT_BAD_MODEL,
            arena_printf(&im->arena, "%s is too large", type_str(&im->arena, &type)));
    Value *x = graph_input(im->g, graph_unique_name(im->g, v->name), type);
    small_mark(im, x, e.small);
    remark_small(im, "input", v->name, x);
    name_find(&im->main, v->name)->value = x;
    return true;
}

/* Does the model have an open dimension of that name? */
static bool has_dim(Importer *im, const char *name) {
    const Onnx__GraphProto *g = im->model->graph;
    for (size_t i = 0; i < g->n_input; i++) {
        const Onnx__TypeProto__Tensor *t = tensor_type(g->input[i]);
        for (size_t k = 0; t && t->shape && k < t->shape->n_dim; k++)
            if (!dim_known(t->shape->dim[k]) &&
                strcmp(input_dim(im, g->input[i], (int)k).param, name) == 0)
                return true;
    }
    return false;
}

static void check_overrides(Importer *im) {
    for (int i = 0; i < im->options->ndims; i++) {
        const DimOverride *o = &im->options->dims[i];
        if (o->value < 1)
            diag_error(im->d, EXIT_USAGE, im->path, "dimension %s must be at least 1, not %lld",
                       quoted(im, o->name), (long long)o->value);
        else if (!has_dim(im, o->name))
            diag_error(im->d, EXIT_USAGE, im->path, "no input has an open dimension called %s",
                       quoted(im, o->name));
    }
}

bool import_inputs(Importer *im) {
    const Onnx__GraphProto *g = im->model->graph;
    size_t errors = im->d->errors;
    first_dims_find(im);
    for (size_t i = 0; i < g->n_input; i++)
        if (!name_find(&im->main, g->input[i]->name)->value)
            import_input(im, g->input[i]);
    check_overrides(im);
    return im->d->errors == errors;
}

/* ---- inputs before they are imported --------------------------------------------------------- */

static OnnxInput describe_input(Importer *im, const Onnx__ValueInfoProto *v, Arena *a) {
    const Onnx__TypeProto__Tensor *t = tensor_type(v);
    OnnxInput in = {.name = arena_strdup(a, v->name), .rank = -1};
    if (!t || !t->shape || t->shape->n_dim > MAX_RANK)
        return in;
    in.rank = (int)t->shape->n_dim;
    for (int i = 0; i < in.rank; i++) {
        bool known = dim_known(t->shape->dim[i]);
        in.dim[i] = known ? t->shape->dim[i]->dim_value : -1;
        in.param[i] = known ? NULL : arena_strdup(a, input_dim(im, v, i).param);
    }
    return in;
}

/* Up to IR version 3 initializers are inputs too. */
void describe_inputs(Importer *im, Arena *a, OnnxInputs *out) {
    const Onnx__GraphProto *g = im->model->graph;
    Map initializers = {0};
    for (size_t i = 0; i < g->n_initializer; i++)
        if (g->initializer[i]->name)
            map_put(&im->arena, &initializers, g->initializer[i]->name, g->initializer[i]);
    for (size_t i = 0; i < g->n_sparse_initializer; i++)
        if (sparse_name(g->sparse_initializer[i]))
            map_put(&im->arena, &initializers, sparse_name(g->sparse_initializer[i]),
                    g->sparse_initializer[i]);
    *out = (OnnxInputs){ARENA_ARRAY(a, g->n_input, OnnxInput), 0};
    for (size_t i = 0; i < g->n_input; i++)
        if (g->input[i]->name && !map_get(&initializers, g->input[i]->name))
            out->data[out->len++] = describe_input(im, g->input[i], a);
}

/* ---- outputs --------------------------------------------------------------------------------- */

/* Can the declared type of an output be that of its value? Open dimensions fit all. */
static bool declared_fits(Importer *im, const Onnx__TypeProto__Tensor *t, const Value *v) {
    const Type *have = &v->type;
    const char *why;
    ElementType e;
    if (t->has_elem_type && (!element_type(im, t->elem_type, &e, &why) || e.dtype != have->dtype ||
                             e.small != small_of(im, v)))
        return false;
    if (!t->shape)
        return true;
    bool same = t->shape->n_dim == (size_t)have->shape.rank;
    for (int i = 0; same && i < have->shape.rank; i++)
        same = !dim_known(t->shape->dim[i]) || t->shape->dim[i]->dim_value == have->shape.dim[i];
    return same;
}

static void output_error(Importer *im, const char *name, const char *reason) {
    diag_error(im->d, EXIT_UNSUPPORTED, im->path, "graph output %s can't be used",
               quoted(im, name));
    diag_note(im->d, "reason", "%s", reason);
}

static void add_output(Importer *im, const char *name, Value *v) {
    remark_small(im, "output", name, v);
    graph_output(im->g, v, arena_strdup(&im->g->arena, name));
}

/* A sequence becomes an output for each of its tensors: NAME.0, NAME.1, ... */
static void output_list(Importer *im, const char *name, const OnnxList *l) {
    enum { MOST = 256 };
    if (!l->is_sequence)
        output_error(im, name, "it is an optional without an element");
    else if (l->count > MOST)
        output_error(im, name,
                     arena_printf(&im->arena, "it is a sequence of more than %d tensors", MOST));
    for (int64_t i = 0; l->is_sequence && l->count <= MOST && i < l->count; i++)
        add_output(im, arena_printf(&im->arena, "%s.%lld", name, (long long)i), l->items[i]);
}

/* After all nodes were imported without an error. */
bool import_outputs(Importer *im) {
    const Onnx__GraphProto *g = im->model->graph;
    size_t errors = im->d->errors;
    for (size_t i = 0; i < g->n_output; i++) {
        const OnnxName *x = name_find(&im->main, g->output[i]->name);
        Value *v = x->value;
        if (!v) {
            output_list(im, g->output[i]->name, x->list);
            continue;
        }
        const Onnx__TypeProto__Tensor *t = tensor_type(g->output[i]);
        if (t && !declared_fits(im, t, v))
            diag_warning(im->d, im->path, "output %s is %s, and the model declares another type",
                         quoted(im, g->output[i]->name), type_str(&im->arena, &v->type));
        add_output(im, g->output[i]->name, v);
    }
    counts_of_outputs(im);
    return im->d->errors == errors;
}
