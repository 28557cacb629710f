/* import_batch.c: whether the open first dimension of a graph input is that of a batch, whose size
 * the compiler may choose. What reads the input says so, and else the dimension's name. */
#include "frontend/import.h"

#include <ctype.h>
#include <string.h>

static bool is_one_of(const char *s, size_t length, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strlen(list[i]) == length && strncmp(list[i], s, length) == 0)
            return true;
    return false;
}
#define IS_ONE_OF(s, length, list) is_one_of(s, length, list, sizeof list / sizeof *list)

#define TYPE(t) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##t

/* The nodes that say what the first dimension of an input is: a batch; or that there is none. */
typedef struct FirstDim {
    const OnnxNode *batch, *before;
} FirstDim;

/* ---- what reads it --------------------------------------------------------------------------- */

/* Results have the dimensions of the input, or at least the first one. */
static bool keeps_first_dim(const char *op) {
    static const char *const ops[] = {
        "Add",  "Cast",     "CastLike", "Clip",           "DequantizeLinear",
        "Div",  "Identity", "Mul",      "QuantizeLinear", "Relu",
        "Sqrt", "Sub",
    };
    return IS_ONE_OF(op, strlen(op), ops);
}

/* The first dimension of the first input is a batch by definition. */
static bool works_on_batches(const char *op) {
    static const char *const ops[] = {
        "AveragePool",  "BatchNormalization", "Conv",          "ConvInteger", "ConvTranspose",
        "DepthToSpace", "GlobalAveragePool",  "GlobalMaxPool", "MaxPool",     "QLinearConv",
        "SpaceToDepth",
    };
    return IS_ONE_OF(op, strlen(op), ops);
}

static const Onnx__AttributeProto *attribute(const OnnxNode *n, const char *name, int type) {
    for (int i = 0; i < n->nattrs; i++)
        if (strcmp(n->attrs[i].name ? n->attrs[i].name : "", name) == 0)
            return (int)n->attrs[i].value->type == type ? n->attrs[i].value : NULL;
    return NULL;
}

/* The few elements of a constant input, before any node is imported; NULL where they aren't
 * known. */
static const Tensor *early_constant(const OnnxNode *n, int i) {
    const OnnxName *name = i < n->ninputs ? n->inputs[i] : NULL;
    if (!name)
        return NULL;
    if (name->value)
        return name->value->constant;
    const OnnxNode *c = name->producer;
    if (!c || strcmp(c->proto->op_type, "Constant") != 0)
        return NULL;
    const Onnx__AttributeProto *a = attribute(c, "value", TYPE(TENSOR));
    Problem p;
    bool is_list =
        a && a->t && (a->t->n_dims == 0 || (a->t->n_dims == 1 && a->t->dims[0] <= MAX_RANK));
    return is_list ? tensor_import(n->im, a->t, &p) : NULL;
}

/* Unsqueeze that adds a dimension in front. */
static bool adds_batch(const OnnxNode *n) {
    const Onnx__AttributeProto *a = attribute(n, "axes", TYPE(INTS));
    const Tensor *t = a ? NULL : early_constant(n, 1);
    for (size_t i = 0; a && i < a->n_ints; i++)
        if (a->ints[i] == 0)
            return true;
    for (int64_t i = 0; t && t->dtype == DT_i64 && i < shape_elems(&t->shape); i++)
        if (tensor_i64(t, i) == 0)
            return true;
    return false;
}

/* Transpose of a picture [H, W, C] to [C, H, W]. */
static bool turns_picture(const OnnxNode *n) {
    const Onnx__AttributeProto *a = attribute(n, "perm", TYPE(INTS));
    return a && a->n_ints == 3 && a->ints[0] == 2 && a->ints[1] == 0 && a->ints[2] == 1;
}

/* What n says of the first dimension of its input. */
static void look_at(FirstDim *d, const OnnxNode *n, int input) {
    const char *op = n->proto->op_type;
    if (input == 0 && works_on_batches(op))
        d->batch = n;
    else if (strcmp(op, "Unsqueeze") == 0 && input == 0 && adds_batch(n))
        d->before = n;
    else if (strcmp(op, "Transpose") == 0 && turns_picture(n))
        d->before = n;
}

void first_dims_find(Importer *im) {
    const Onnx__GraphProto *g = im->model->graph;
    Map known = {0}; /* name -> the FirstDim that its first dimension is */
    for (size_t i = 0; i < g->n_input; i++) {
        FirstDim *d = ARENA_NEW(&im->arena, FirstDim);
        *d = (FirstDim){0};
        map_put(&im->arena, &im->first_dims, g->input[i]->name, d);
        map_put(&im->arena, &known, g->input[i]->name, d);
    }
    for (size_t i = 0; i < im->main.order.len; i++) {
        const OnnxNode *n = im->main.order.data[i];
        for (int k = 0; k < n->ninputs; k++) {
            FirstDim *d = n->inputs[k] ? map_get(&known, n->inputs[k]->name) : NULL;
            if (!d)
                continue;
            look_at(d, n, k);
            if (keeps_first_dim(n->proto->op_type) && n->noutputs && n->outputs[0])
                map_put(&im->arena, &known, n->outputs[0]->name, d);
        }
    }
}

/* ---- its name -------------------------------------------------------------------------------- */

/* The words of a name: its runs of letters. */
static bool has_word(const char *name, bool (*is)(const char *word, size_t length)) {
    for (const char *p = name; *p;) {
        char word[16];
        size_t length = 0;
        for (; isalpha((unsigned char)*p); p++)
            if (length < sizeof word)
                word[length++] = (char)tolower((unsigned char)*p);
        if (length && is(word, length))
            return true;
        p += *p && !isalpha((unsigned char)*p);
    }
    return false;
}

static bool says_batch(const char *word, size_t length) {
    return length >= 5 && strncmp(word, "batch", 5) == 0;
}

static bool says_other(const char *word, size_t length) {
    static const char *const words[] = {
        "c",     "channel", "channels", "col",    "cols",   "column", "columns",
        "depth", "frames",  "h",        "height", "len",    "length", "row",
        "rows",  "seq",     "sequence", "time",   "tokens", "w",      "width",
    };
    return IS_ONE_OF(word, length, words);
}

const char *first_dim_is_other(Importer *im, const char *input, const char *param) {
    const FirstDim *d = map_get(&im->first_dims, input);
    if (d && d->batch)
        return NULL;
    if (d && d->before)
        return arena_printf(&im->arena, "node %s (%s) makes a batch of one of it",
                            quoted(im, d->before->origin), d->before->proto->op_type);
    if (param && has_word(param, says_other) && !has_word(param, says_batch))
        return arena_printf(&im->arena, "a batch would hardly be called %s", quoted(im, param));
    return NULL;
}
