/* import_call.c: functions inside the model (ModelProto.functions): a call becomes the nodes of the
 * function's body. */
#include "frontend/import.h"

#include <string.h>

struct OnnxFunction {
    const Onnx__FunctionProto *proto;
    const char *name; /* for messages: domain.name */
    Map opsets;       /* that its body imports */
    enum { UNCHECKED, SOUND, BROKEN } state;
};

/* ---- all functions --------------------------------------------------------------------------- */

/* A function is known by its domain, its name and, where several share both, by an overload. */
static const char *key_of(Arena *a, const char *domain, const char *name, const char *overload) {
    return arena_printf(a, "%s:%s:%s", onnx_domain(domain), name ? name : "",
                        overload ? overload : "");
}

static void collect(Importer *im, const Onnx__FunctionProto *p) {
    OnnxFunction *f = ARENA_NEW(&im->arena, OnnxFunction);
    const char *domain = onnx_domain(p->domain);
    f->proto = p;
    f->name = *domain ? arena_printf(&im->arena, "%s.%s", domain, p->name ? p->name : "") : p->name;
    if (!p->name || !*p->name)
        scope_error(&im->main, "a function has no name");
    else if (!map_put(&im->arena, &im->functions,
                      key_of(&im->arena, p->domain, p->name, p->overload), f))
        scope_error(&im->main, "function %s is defined twice", quoted(im, f->name));
}

bool functions_collect(Importer *im) {
    size_t errors = im->d->errors;
    for (size_t i = 0; i < im->model->n_functions; i++)
        collect(im, im->model->functions[i]);
    return im->d->errors == errors;
}

OnnxFunction *function_find(const OnnxNode *n) {
    Importer *im = n->im;
    const Onnx__NodeProto *p = n->proto;
    return im->functions.len
               ? map_get(&im->functions, key_of(&im->arena, n->domain, p->op_type, p->overload))
               : NULL;
}

/* ---- one call -------------------------------------------------------------------------------- */

/* What concerns the function alone is checked at its first call. */
static bool check_function(OnnxNode *n, OnnxFunction *f) {
    const Onnx__FunctionProto *p = f->proto;
    if (f->state == UNCHECKED) {
        const char *who = arena_printf(&n->im->arena, "function %s", quoted(n->im, f->name));
        bool sound = opsets_read(n->im, who, p->opset_import, p->n_opset_import, &f->opsets);
        f->state = sound ? SOUND : BROKEN;
    }
    if (f->state == BROKEN)
        n->failed = true;
    else if (p->n_attribute > NODE_MAX_ATTRS || p->n_attribute_proto > NODE_MAX_ATTRS)
        onnx_bad(n, "its function has more than %d attributes", NODE_MAX_ATTRS);
    return !n->failed;
}

static bool takes_attribute(const Onnx__FunctionProto *p, const char *name) {
    for (size_t i = 0; i < p->n_attribute; i++)
        if (strcmp(p->attribute[i], name) == 0)
            return true;
    for (size_t i = 0; i < p->n_attribute_proto; i++)
        if (p->attribute_proto[i]->name && strcmp(p->attribute_proto[i]->name, name) == 0)
            return true;
    return false;
}

static void check_call(OnnxNode *n, const Onnx__FunctionProto *p) {
    if ((size_t)n->ninputs > p->n_input || (size_t)n->noutputs > p->n_output)
        onnx_bad(n, "its function has %zu inputs and %zu outputs, and the call %d and %d",
                 p->n_input, p->n_output, n->ninputs, n->noutputs);
    for (int i = 0; i < n->nattrs && !n->failed; i++)
        if (!takes_attribute(p, n->attrs[i].name))
            onnx_bad(n, "its function has no attribute %s", quoted(n->im, n->attrs[i].name));
}

/* A function must not call itself, not even through others. */
static bool check_recursion(OnnxNode *n, const OnnxFunction *f) {
    for (const Scope *s = n->scope; s->at; s = s->at->scope)
        if (s->function == f->proto) {
            onnx_bad(n, "function %s calls itself", quoted(n->im, f->name));
            return false;
        }
    return true;
}

static OnnxBody body_of_function(const Onnx__FunctionProto *p) {
    return (OnnxBody){
        .nodes = p->node,
        .nnodes = p->n_node,
        .inputs = (const char *const *)p->input,
        .ninputs = p->n_input,
        .outputs = (const char *const *)p->output,
        .noutputs = p->n_output,
    };
}

/* Sees nothing of the scope of the call. */
static Scope *function_scope(OnnxNode *n, const OnnxFunction *f) {
    Scope *s = scope_inside(n, arena_printf(&n->im->arena, "%s/", n->origin));
    s->outer = NULL;
    s->function = f->proto;
    s->call = n;
    s->opsets = &f->opsets;
    return s;
}

void import_call(OnnxNode *n, OnnxFunction *f) {
    const Onnx__FunctionProto *p = f->proto;
    OnnxBody b = body_of_function(p);
    if (!check_recursion(n, f) || !check_function(n, f))
        return;
    check_call(n, p);
    if (n->failed || !inline_spend(n, 1 + p->n_input))
        return;
    OnnxName **in = ARENA_ARRAY(&n->im->arena, p->n_input, OnnxName *);
    for (int i = 0; i < n->ninputs; i++)
        in[i] = n->inputs[i];
    body_replaces(n, function_scope(n, f), &b, in);
}
