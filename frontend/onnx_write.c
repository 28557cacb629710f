/* onnx_write.c: graph IR to ONNX, of opset 17.
 *
 * A node becomes the ONNX operators that the importer reads as that node. Layouts, fused
 * activations and what else passes bring have no operators: such nodes are refused. */
#include "frontend/frontend.h"

#include "onnx.pb-c.h"

#include <math.h>
#include <string.h>

enum {
    WRITE_OPSET = 17,
    WRITE_IR_VERSION = 8,
    SMALL_TENSOR = 1024, /* bytes; smaller ones are never external */
    DATA_ALIGN = 64
};
#define DATA_LIMIT ((int64_t)INT32_MAX - (64 << 20)) /* protobuf's, less the rest of the file */

typedef struct Writer {
    const Graph *g;
    const OnnxWriteOptions *o;
    const char *path;
    Diag *d;
    Arena *a;
    bool external;
    Buf data;  /* the external data */
    Map names; /* of values in the graph -> in the file */
    Map taken; /* names in the file */
    VEC(Onnx__NodeProto *) nodes;
    VEC(Onnx__TensorProto *) tensors;
} Writer;

#define NEW(w, T, INIT) new_message((w)->a, &(T)INIT, sizeof(T))

static void *new_message(Arena *a, const void *init, size_t size) {
    return arena_copy(a, init, size);
}

static char *text(Writer *w, const char *s) {
    return arena_strdup(w->a, s);
}

/* ---- names ----------------------------------------------------------------------------------- */

static const char *onnx_name_of(const Writer *w, const Value *v) {
    return map_get(&w->names, v->name);
}

/* A name that nothing in the file has: `base`, or base.1, base.2, ... */
static const char *fresh(Writer *w, const char *base) {
    char *name = text(w, base);
    for (int i = 1; map_get(&w->taken, name); i++)
        name = arena_printf(w->a, "%s.%d", base, i);
    map_put(w->a, &w->taken, name, name);
    return name;
}

static void name_value(Writer *w, const Value *v) {
    if (!map_get(&w->names, v->name))
        map_put(w->a, &w->names, v->name, (void *)(uintptr_t)fresh(w, v->name));
}

/* Results take the names of the outputs that they are. Of an input or a constant, and for a second
 * name, there will be a copy. */
static void name_values(Writer *w) {
    const Graph *g = w->g;
    for (size_t i = 0; i < g->outputs.len; i++) {
        const Value *v = g->outputs.data[i]->value;
        char *name = text(w, g->output_names.data[i]);
        map_put(w->a, &w->taken, name, name);
        if (v->def && !map_get(&w->names, v->name))
            map_put(w->a, &w->names, v->name, name);
    }
    for (size_t i = 0; i < g->inputs.len; i++)
        name_value(w, g->inputs.data[i]);
    for (size_t i = 0; i < g->constants.len; i++)
        name_value(w, g->constants.data[i]);
    FOR_EACH_NODE((Graph *)g, n) {
        for (int i = 0; i < n->nresults; i++)
            name_value(w, n->results[i]);
    }
}

/* ---- tensors --------------------------------------------------------------------------------- */

static Onnx__StringStringEntryProto *entry(Writer *w, const char *key, const char *value) {
    Onnx__StringStringEntryProto *e =
        NEW(w, Onnx__StringStringEntryProto, ONNX__STRING_STRING_ENTRY_PROTO__INIT);
    e->key = text(w, key);
    e->value = text(w, value);
    return e;
}

static const char *data_path(Writer *w) {
    return arena_printf(w->a, "%s.data", w->path);
}

static void place_outside(Writer *w, Onnx__TensorProto *t, const void *data, size_t size) {
    const char *path = data_path(w), *slash = strrchr(path, '/');
    buf_extend(&w->data, (size_t)round_up((int64_t)w->data.len, DATA_ALIGN) - w->data.len);
    t->n_external_data = 3;
    t->external_data = ARENA_ARRAY(w->a, 3, Onnx__StringStringEntryProto *);
    t->external_data[0] = entry(w, "location", slash ? slash + 1 : path);
    t->external_data[1] = entry(w, "offset", arena_printf(w->a, "%zu", w->data.len));
    t->external_data[2] = entry(w, "length", arena_printf(w->a, "%zu", size));
    t->has_data_location = 1;
    t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    buf_write(&w->data, data, size);
}

static void add_tensor(Writer *w, const char *name, DType dt, int rank, const int64_t *dims,
                       const void *data, size_t size) {
    Onnx__TensorProto *t = NEW(w, Onnx__TensorProto, ONNX__TENSOR_PROTO__INIT);
    t->name = text(w, name);
    t->has_data_type = 1;
    t->data_type = dtype_to_onnx(dt);
    t->n_dims = (size_t)rank;
    t->dims = arena_copy(w->a, dims, (size_t)rank * sizeof *dims);
    if (w->external && size >= SMALL_TENSOR) {
        place_outside(w, t, data, size);
    } else {
        t->has_raw_data = 1;
        t->raw_data = (ProtobufCBinaryData){size, (uint8_t *)(uintptr_t)data};
    }
    vec_push(w->a, &w->tensors, t);
}

static void add_constants(Writer *w) {
    for (size_t i = 0; i < w->g->constants.len; i++) {
        const Value *v = w->g->constants.data[i];
        const Tensor *t = v->constant;
        if (!v->uses)
            continue;
        if (!t->data)
            diag_error(w->d, EXIT_BAD_MODEL, w->path, "the constant %s has no elements", v->name);
        else
            add_tensor(w, onnx_name_of(w, v), t->dtype, t->shape.rank, t->shape.dim, t->data,
                       (size_t)tensor_bytes(t));
    }
}

/* A constant of the file alone; its name. */
static const char *extra(Writer *w, const Node *n, const char *part, DType dt, int rank,
                         const int64_t *dims, const void *data, size_t size) {
    const char *name = fresh(w, arena_printf(w->a, "%s.%s", node_out(n)->name, part));
    add_tensor(w, name, dt, rank, dims, arena_copy(w->a, data, size), size);
    return name;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* A node with these inputs (NULL: left out) and one output. */
static Onnx__NodeProto *add_named(Writer *w, const char *op, const char *name,
                                  const char *const *inputs, size_t n, const char *output) {
    Onnx__NodeProto *p = NEW(w, Onnx__NodeProto, ONNX__NODE_PROTO__INIT);
    p->op_type = text(w, op);
    p->name = text(w, name);
    p->n_input = n;
    p->input = ARENA_ARRAY(w->a, n + 1, char *);
    for (size_t i = 0; i < n; i++)
        p->input[i] = text(w, inputs[i] ? inputs[i] : "");
    p->n_output = 1;
    p->output = ARENA_ARRAY(w->a, 1, char *);
    p->output[0] = text(w, output);
    vec_push(w->a, &w->nodes, p);
    return p;
}

/* An ONNX node with n's operands and result. */
static Onnx__NodeProto *add_node(Writer *w, const char *op, const Node *n) {
    const char *in[MAX_OPERANDS];
    size_t count = 0;
    for (int i = 0; i < n->noperands && i < MAX_OPERANDS; i++) {
        in[i] = node_in(n, i) ? onnx_name_of(w, node_in(n, i)) : NULL;
        if (in[i])
            count = (size_t)i + 1;
    }
    return add_named(w, op, n->origin, in, count, onnx_name_of(w, node_out(n)));
}

static Onnx__AttributeProto *attribute(Writer *w, Onnx__NodeProto *p, const char *name,
                                       Onnx__AttributeProto__AttributeType type) {
    Onnx__AttributeProto *t = NEW(w, Onnx__AttributeProto, ONNX__ATTRIBUTE_PROTO__INIT);
    Onnx__AttributeProto **all = ARENA_ARRAY(w->a, p->n_attribute + 1, Onnx__AttributeProto *);
    if (p->n_attribute)
        memcpy(all, p->attribute, p->n_attribute * sizeof *all);
    t->name = text(w, name);
    t->has_type = 1;
    t->type = type;
    all[p->n_attribute++] = t;
    p->attribute = all;
    return t;
}

static void with_int(Writer *w, Onnx__NodeProto *p, const char *name, int64_t x) {
    Onnx__AttributeProto *t = attribute(w, p, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    t->has_i = 1;
    t->i = x;
}

static void with_float(Writer *w, Onnx__NodeProto *p, const char *name, double x) {
    Onnx__AttributeProto *t = attribute(w, p, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    t->has_f = 1;
    t->f = (float)x;
}

static void with_ints(Writer *w, Onnx__NodeProto *p, const char *name, const int64_t *v, int n) {
    Onnx__AttributeProto *t = attribute(w, p, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    t->n_ints = (size_t)n;
    t->ints = arena_copy(w->a, v, (size_t)n * sizeof *v);
}

/* ---- an op each ------------------------------------------------------------------------------ */

/* False with the reason where the op can do what ONNX's can't. */
typedef bool OpWriter(Writer *w, const Node *n, const char **why);

static bool plain_conv(const Node *n, int64_t group, Writer *w, const char **why) {
    const ConvAttrs *a = conv_attrs(n);
    bool fused = a->act != ACT_none || n->nresults > 1;
    for (int i = 3; i < n->noperands; i++)
        fused |= node_in(n, i) != NULL;
    if (fused) {
        *why = "others are fused into it";
        return false;
    }
    Onnx__NodeProto *p = add_node(w, "Conv", n);
    with_ints(w, p, "dilations", a->dilation.v, 2);
    with_int(w, p, "group", group);
    with_ints(w, p, "kernel_shape", a->kernel.v, 2);
    with_ints(w, p, "pads", a->pad.v, 4);
    with_ints(w, p, "strides", a->stride.v, 2);
    return true;
}

static bool write_conv2d(Writer *w, const Node *n, const char **why) {
    return plain_conv(n, conv_attrs(n)->group, w, why);
}

static bool write_dwconv2d(Writer *w, const Node *n, const char **why) {
    return plain_conv(n, node_in(n, 0)->type.shape.dim[1], w, why);
}

static bool write_batch_norm(Writer *w, const Node *n, const char **why) {
    (void)why;
    with_float(w, add_node(w, "BatchNormalization", n), "epsilon", batch_norm_attrs(n)->epsilon);
    return true;
}

static bool write_dense(Writer *w, const Node *n, const char **why) {
    if (dense_attrs(n)->act != ACT_none || node_in(n, 0)->type.shape.rank != 2) {
        *why = "its input must be a matrix, and nothing fused into it";
        return false;
    }
    with_int(w, add_node(w, "Gemm", n), "transB", 1);
    return true;
}

/* Flatten where it is that: it works for any batch. Else the batch is copied where it stays. */
static bool write_reshape(Writer *w, const Node *n, const char **why) {
    const Shape *x = &node_in(n, 0)->type.shape, *y = &node_out(n)->type.shape;
    (void)why;
    if (y->rank == 2 && x->rank >= 2 && x->dim[0] == y->dim[0]) {
        with_int(w, add_node(w, "Flatten", n), "axis", 1);
        return true;
    }
    int64_t to[MAX_RANK], rank = y->rank;
    memcpy(to, y->dim, sizeof to);
    if (x->rank > 0 && y->rank > 0 && x->dim[0] == y->dim[0])
        to[0] = 0;
    const char *in[] = {onnx_name_of(w, node_in(n, 0)),
                        extra(w, n, "shape", DT_i64, 1, &rank, to, (size_t)rank * sizeof *to)};
    add_named(w, "Reshape", n->origin, in, 2, onnx_name_of(w, node_out(n)));
    return true;
}

/* Bounds that are infinite are left out. */
static bool add_clip(Writer *w, const Node *n, double min, double max, const char **why) {
    if (node_out(n)->type.dtype != DT_f32) {
        *why = "bounds are written as float32 alone";
        return false;
    }
    float low = (float)min, high = (float)max;
    const char *in[3] = {onnx_name_of(w, node_in(n, 0))};
    if (isfinite(min))
        in[1] = extra(w, n, "min", DT_f32, 0, NULL, &low, sizeof low);
    if (isfinite(max))
        in[2] = extra(w, n, "max", DT_f32, 0, NULL, &high, sizeof high);
    add_named(w, "Clip", n->origin, in, in[2] ? 3 : in[1] ? 2 : 1, onnx_name_of(w, node_out(n)));
    return true;
}

static bool write_clip(Writer *w, const Node *n, const char **why) {
    return add_clip(w, n, clip_attrs(n)->min, clip_attrs(n)->max, why);
}

static bool write_relu6(Writer *w, const Node *n, const char **why) {
    return add_clip(w, n, 0, 6, why);
}

static bool write_silu(Writer *w, const Node *n, const char **why) {
    const char *x = onnx_name_of(w, node_in(n, 0)), *y = onnx_name_of(w, node_out(n));
    const char *gate = fresh(w, arena_printf(w->a, "%s.sigmoid", y));
    (void)why;
    add_named(w, "Sigmoid", arena_printf(w->a, "%s.sigmoid", n->origin), &x, 1, gate);
    add_named(w, "Mul", n->origin, (const char *[]){x, gate}, 2, y);
    return true;
}

static bool write_softmax(Writer *w, const Node *n, const char **why) {
    (void)why;
    with_int(w, add_node(w, "Softmax", n), "axis", axis_attrs(n)->axis);
    return true;
}

static bool write_hard_sigmoid(Writer *w, const Node *n, const char **why) {
    (void)why;
    Onnx__NodeProto *p = add_node(w, "HardSigmoid", n);
    with_float(w, p, "alpha", 1.0 / 6);
    with_float(w, p, "beta", 0.5);
    return true;
}

/* Either a function, or an operator without attributes. */
typedef struct OpForm {
    OpWriter *write;
    const char *onnx;
} OpForm;

static const OpForm forms[OP_COUNT] = {
    [OP_conv2d] = {write_conv2d, NULL},
    [OP_dwconv2d] = {write_dwconv2d, NULL},
    [OP_batch_norm] = {write_batch_norm, NULL},
    [OP_dense] = {write_dense, NULL},
    [OP_reshape] = {write_reshape, NULL},
    [OP_softmax] = {write_softmax, NULL},
    [OP_clip] = {write_clip, NULL},
    [OP_act_relu6] = {write_relu6, NULL},
    [OP_act_silu] = {write_silu, NULL},
    [OP_act_hard_sigmoid] = {write_hard_sigmoid, NULL},
    [OP_act_relu] = {NULL, "Relu"},
    [OP_act_sigmoid] = {NULL, "Sigmoid"},
    [OP_act_hard_swish] = {NULL, "HardSwish"},
    [OP_act_softplus] = {NULL, "Softplus"},
    [OP_act_tanh] = {NULL, "Tanh"},
    [OP_act_erf] = {NULL, "Erf"},
    [OP_global_avg_pool] = {NULL, "GlobalAveragePool"},
    [OP_matmul] = {NULL, "MatMul"},
    [OP_identity] = {NULL, "Identity"},
    [OP_add] = {NULL, "Add"},
    [OP_sub] = {NULL, "Sub"},
    [OP_mul] = {NULL, "Mul"},
    [OP_div] = {NULL, "Div"},
};

static bool has_layout(const Node *n) {
    Layout plain = {0};
    for (int i = 0; i < n->noperands; i++)
        if (node_in(n, i) && !layout_equal(&node_in(n, i)->type.layout, &plain))
            return true;
    return !layout_equal(&node_out(n)->type.layout, &plain);
}

static void write_node(Writer *w, const Node *n) {
    const OpForm *f = &forms[n->op];
    const char *why = "there is no ONNX operator that is written for this op";
    bool ok = false;
    if (has_layout(n))
        why = "its values have a layout";
    else if (f->onnx)
        ok = add_node(w, f->onnx, n) != NULL;
    else if (f->write)
        ok = f->write(w, n, &why);
    if (ok)
        return;
    diag_error(w->d, EXIT_UNSUPPORTED, w->path, "node \"%s\" (%s) can't be written as ONNX",
               *n->origin ? n->origin : node_out(n)->name, op_info(n->op)->name);
    diag_note(w->d, "reason", "%s", why);
}

/* ---- the file -------------------------------------------------------------------------------- */

static Onnx__ValueInfoProto *value_info(Writer *w, const char *name, const Type *t) {
    Onnx__ValueInfoProto *v = NEW(w, Onnx__ValueInfoProto, ONNX__VALUE_INFO_PROTO__INIT);
    Onnx__TypeProto__Tensor *tensor =
        NEW(w, Onnx__TypeProto__Tensor, ONNX__TYPE_PROTO__TENSOR__INIT);
    tensor->has_elem_type = 1;
    tensor->elem_type = dtype_to_onnx(t->dtype);
    tensor->shape = NEW(w, Onnx__TensorShapeProto, ONNX__TENSOR_SHAPE_PROTO__INIT);
    tensor->shape->n_dim = (size_t)t->shape.rank;
    tensor->shape->dim = ARENA_ARRAY(w->a, t->shape.rank + 1, Onnx__TensorShapeProto__Dimension *);
    for (int i = 0; i < t->shape.rank; i++) {
        Onnx__TensorShapeProto__Dimension *d =
            NEW(w, Onnx__TensorShapeProto__Dimension, ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT);
        tensor->shape->dim[i] = d;
        d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        d->dim_value = t->shape.dim[i];
        if (i > 0 || !w->o->batch)
            continue;
        d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        d->dim_param = text(w, w->o->batch);
    }
    v->name = text(w, name);
    v->type = NEW(w, Onnx__TypeProto, ONNX__TYPE_PROTO__INIT);
    v->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    v->type->tensor_type = tensor;
    return v;
}

/* See name_values. */
static void copy_outputs(Writer *w) {
    for (size_t i = 0; i < w->g->outputs.len; i++) {
        const char *wanted = w->g->output_names.data[i];
        const char *name = onnx_name_of(w, w->g->outputs.data[i]->value);
        if (strcmp(name, wanted) != 0)
            add_named(w, "Identity", wanted, &name, 1, wanted);
    }
}

static Onnx__GraphProto *graph_proto(Writer *w) {
    const Graph *g = w->g;
    Onnx__GraphProto *p = NEW(w, Onnx__GraphProto, ONNX__GRAPH_PROTO__INIT);
    p->name = text(w, g->name);
    p->n_node = w->nodes.len;
    p->node = w->nodes.data;
    p->n_initializer = w->tensors.len;
    p->initializer = w->tensors.data;
    p->n_input = g->inputs.len;
    p->input = ARENA_ARRAY(w->a, g->inputs.len + 1, Onnx__ValueInfoProto *);
    for (size_t i = 0; i < g->inputs.len; i++)
        p->input[i] = value_info(w, onnx_name_of(w, g->inputs.data[i]), &g->inputs.data[i]->type);
    p->n_output = g->outputs.len;
    p->output = ARENA_ARRAY(w->a, g->outputs.len + 1, Onnx__ValueInfoProto *);
    for (size_t i = 0; i < g->outputs.len; i++)
        p->output[i] = value_info(w, g->output_names.data[i], &g->outputs.data[i]->value->type);
    return p;
}

static Onnx__ModelProto *model_proto(Writer *w) {
    Onnx__ModelProto *m = NEW(w, Onnx__ModelProto, ONNX__MODEL_PROTO__INIT);
    Onnx__OperatorSetIdProto *opset =
        NEW(w, Onnx__OperatorSetIdProto, ONNX__OPERATOR_SET_ID_PROTO__INIT);
    opset->domain = text(w, "");
    opset->has_version = 1;
    opset->version = WRITE_OPSET;
    m->has_ir_version = 1;
    m->ir_version = WRITE_IR_VERSION;
    m->producer_name = text(w, "effnetc");
    m->n_opset_import = 1;
    m->opset_import = ARENA_ARRAY(w->a, 1, Onnx__OperatorSetIdProto *);
    m->opset_import[0] = opset;
    m->graph = graph_proto(w);
    return m;
}

static int64_t constant_bytes(const Graph *g) {
    int64_t sum = 0;
    for (size_t i = 0; i < g->constants.len; i++)
        sum += tensor_bytes(g->constants.data[i]->constant);
    return sum;
}

static void pack(Writer *w, Outputs *out) {
    const Onnx__ModelProto *m = model_proto(w);
    size_t size = onnx__model_proto__get_packed_size(m);
    uint8_t *bytes = arena_alloc(w->a, size);
    onnx__model_proto__pack(m, bytes);
    outputs_add(out, w->path, bytes, size);
    if (w->data.len)
        outputs_add(out, data_path(w), arena_copy(w->a, w->data.data, w->data.len), w->data.len);
}

bool onnx_write(const Graph *g, const char *path, const OnnxWriteOptions *o, Outputs *out,
                Diag *d) {
    size_t errors = d->errors;
    Writer w = {.g = g, .o = o, .path = path, .d = d, .a = &out->arena};
    w.external = o->external || constant_bytes(g) > DATA_LIMIT;
    name_values(&w);
    add_constants(&w);
    FOR_EACH_NODE((Graph *)g, n) {
        write_node(&w, n);
    }
    copy_outputs(&w);
    if (d->errors == errors)
        pack(&w, out);
    buf_free(&w.data);
    return d->errors == errors;
}
