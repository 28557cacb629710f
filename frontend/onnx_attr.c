/* onnx_attr.c: typed access to the attributes of a NodeProto. */
#include "frontend/import.h"

#include <string.h>

#define TYPE(t) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##t

static const char *const type_names[] = {
    [TYPE(UNDEFINED)] = "undefined",
    [TYPE(FLOAT)] = "float",
    [TYPE(INT)] = "int",
    [TYPE(STRING)] = "string",
    [TYPE(TENSOR)] = "tensor",
    [TYPE(GRAPH)] = "graph",
    [TYPE(FLOATS)] = "floats",
    [TYPE(INTS)] = "ints",
    [TYPE(STRINGS)] = "strings",
    [TYPE(TENSORS)] = "tensors",
    [TYPE(GRAPHS)] = "graphs",
    [TYPE(SPARSE_TENSOR)] = "sparse_tensor",
    [TYPE(SPARSE_TENSORS)] = "sparse_tensors",
    [TYPE(TYPE_PROTO)] = "type_proto",
    [TYPE(TYPE_PROTOS)] = "type_protos",
};

static const char *type_name(int type) {
    bool known = type >= 0 && type < (int)(sizeof type_names / sizeof *type_names);
    return known ? type_names[type] : "unknown";
}

static int find(const OnnxNode *n, const char *name) {
    for (int i = 0; i < n->nattrs; i++)
        if (strcmp(n->attrs[i].name, name) == 0)
            return i;
    return -1;
}

/* Does a hold a value of the type? Lists may be empty. */
static bool holds(const Onnx__AttributeProto *a, int type) {
    switch (type) {
    case TYPE(FLOAT):
        return a->has_f;
    case TYPE(INT):
        return a->has_i;
    case TYPE(STRING):
        return a->has_s;
    case TYPE(TENSOR):
        return a->t != NULL;
    case TYPE(GRAPH):
        return a->g != NULL;
    default:
        return true;
    }
}

/* The attribute of that name and type, marked as read; NULL where absent or, reported, where it has
 * another type. */
static const Onnx__AttributeProto *get(OnnxNode *n, const char *name, int type) {
    int i = find(n, name);
    if (i < 0)
        return NULL;
    n->attrs_read |= (uint64_t)1 << i;
    const Onnx__AttributeProto *a = n->attrs[i].value;
    if ((int)a->type == type && holds(a, type))
        return a;
    onnx_bad(n, "attribute \"%s\" must have type %s, and has %s%s", name, type_name(type),
             type_name((int)a->type), (int)a->type == type ? ", without a value" : "");
    return NULL;
}

bool attr_present(const OnnxNode *n, const char *name) {
    return find(n, name) >= 0;
}

int64_t attr_int(OnnxNode *n, const char *name, int64_t dflt) {
    const Onnx__AttributeProto *a = get(n, name, TYPE(INT));
    return a ? a->i : dflt;
}

bool attr_bool(OnnxNode *n, const char *name, bool dflt) {
    int64_t x = attr_int(n, name, dflt);
    if (x != 0 && x != 1)
        onnx_bad(n, "attribute \"%s\" must be 0 or 1, and is %lld", name, (long long)x);
    return x == 1;
}

double attr_float(OnnxNode *n, const char *name, double dflt) {
    const Onnx__AttributeProto *a = get(n, name, TYPE(FLOAT));
    return a ? (double)a->f : dflt;
}

const char *attr_string(OnnxNode *n, const char *name, const char *dflt) {
    const Onnx__AttributeProto *a = get(n, name, TYPE(STRING));
    if (!a)
        return dflt;
    return arena_strndup(&n->im->arena, a->s.len ? (const char *)a->s.data : "", a->s.len);
}

bool attr_ints(OnnxNode *n, const char *name, Ints *out) {
    const Onnx__AttributeProto *a = get(n, name, TYPE(INTS));
    *out = (Ints){NULL, 0};
    if (!a)
        return false;
    if (a->n_ints > INT32_MAX)
        onnx_bad(n, "attribute \"%s\" is too long", name);
    else
        *out = (Ints){a->ints, (int)a->n_ints};
    return !n->failed;
}

bool attr_floats(OnnxNode *n, const char *name, const float **out, int *count) {
    const Onnx__AttributeProto *a = get(n, name, TYPE(FLOATS));
    if (!a || a->n_floats > INT32_MAX)
        return false;
    *out = a->floats;
    *count = (int)a->n_floats;
    return true;
}

bool attr_strings(OnnxNode *n, const char *name, const char ***out, int *count) {
    const Onnx__AttributeProto *a = get(n, name, TYPE(STRINGS));
    if (!a || a->n_strings > INT32_MAX)
        return false;
    *count = (int)a->n_strings;
    *out = ARENA_ARRAY(&n->im->arena, *count, const char *);
    for (int i = 0; i < *count; i++) {
        const ProtobufCBinaryData *s = &a->strings[i];
        (*out)[i] = arena_strndup(&n->im->arena, s->len ? (const char *)s->data : "", s->len);
    }
    return true;
}

const Onnx__TensorProto *attr_tensor(OnnxNode *n, const char *name) {
    const Onnx__AttributeProto *a = get(n, name, TYPE(TENSOR));
    return a ? a->t : NULL;
}

const Onnx__SparseTensorProto *attr_sparse(OnnxNode *n, const char *name) {
    const Onnx__AttributeProto *a = get(n, name, TYPE(SPARSE_TENSOR));
    return a ? a->sparse_tensor : NULL;
}

void attr_ignore(OnnxNode *n, const char *name) {
    int i = find(n, name);
    if (i >= 0)
        n->attrs_read |= (uint64_t)1 << i;
}

const Onnx__GraphProto *attr_graph(OnnxNode *n, const char *name) {
    const Onnx__AttributeProto *a = get(n, name, TYPE(GRAPH));
    if (a && n->attrs[find(n, name)].is_reference)
        onnx_unsupported(n, "its %s is a graph that a function is called with", name);
    else if (!a)
        onnx_bad(n, "attribute \"%s\" is missing", name);
    return n->failed ? NULL : a->g;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool is_reference(const Onnx__AttributeProto *a) {
    return a->ref_attr_name && *a->ref_attr_name;
}

/* What the attribute `name` of the function around is: the call's, or its default; or NULL. */
static const Onnx__AttributeProto *referred(const Scope *s, const char *name) {
    int i = find(s->call, name);
    if (i >= 0)
        return s->call->attrs[i].value;
    const Onnx__FunctionProto *f = s->function;
    for (size_t k = 0; k < f->n_attribute_proto; k++)
        if (f->attribute_proto[k]->name && strcmp(f->attribute_proto[k]->name, name) == 0)
            return f->attribute_proto[k];
    return NULL;
}

/* One that refers to what the call doesn't give isn't there. */
void attrs_bind(OnnxNode *n) {
    const Onnx__NodeProto *p = n->proto;
    n->attrs = ARENA_ARRAY(&n->im->arena, p->n_attribute, OnnxAttr);
    for (size_t i = 0; i < p->n_attribute; i++) {
        const Onnx__AttributeProto *a = p->attribute[i];
        bool refers = n->scope->function && is_reference(a);
        if (refers)
            a = referred(n->scope, a->ref_attr_name);
        if (a)
            n->attrs[n->nattrs++] = (OnnxAttr){p->attribute[i]->name, a, refers};
    }
}

static void check_attr(OnnxNode *n, int i) {
    const OnnxAttr *a = &n->attrs[i];
    if (!a->name || !*a->name)
        onnx_bad(n, "attribute %d has no name", i);
    else if (find(n, a->name) != i)
        onnx_bad(n, "attribute %s is there twice", quoted(n->im, a->name));
    else if (is_reference(a->value))
        onnx_bad(n, "attribute %s refers to a function's, outside of a function",
                 quoted(n->im, a->name));
}

void attrs_check(OnnxNode *n) {
    if (n->nattrs > NODE_MAX_ATTRS) {
        onnx_bad(n, "it has %d attributes; no operator has more than %d", n->nattrs,
                 NODE_MAX_ATTRS);
        return;
    }
    for (int i = 0; i < n->nattrs && !n->failed; i++)
        check_attr(n, i);
}

void attrs_check_all_read(OnnxNode *n) {
    for (int i = 0; i < n->nattrs && !n->failed; i++)
        if (!(n->attrs_read >> i & 1))
            onnx_unsupported(n, "attribute %s is not known for it",
                             quoted(n->im, n->attrs[i].name));
}
