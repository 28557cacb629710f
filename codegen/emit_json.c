/* emit_json.c: NAME.json, the machine-readable contract of the generated files.
 *
 * Keys are in a fixed order. 64-bit sums are strings of hexadecimal digits: JSON readers keep only
 * 53 bits of a number. */
#include "codegen/c_printer.h"

#include <jansson.h>
#include <stdlib.h>

static void set(json_t *object, const char *key, json_t *value) {
    if (!value || json_object_set_new(object, key, value))
        die("no JSON for \"%s\"", key);
}

/* Names come from files: what is not UTF-8 is escaped as in comments. */
static json_t *text(const char *s) {
    json_t *j = json_string(s);
    if (j)
        return j;
    Buf b = {0};
    c_put_comment(&b, s);
    j = json_string(buf_str(&b));
    buf_free(&b);
    return j;
}

static json_t *shape(const Shape *s) {
    json_t *dims = json_array();
    for (int i = 0; i < s->rank; i++)
        if (json_array_append_new(dims, json_integer(s->dim[i])))
            die("no JSON for a shape");
    return dims;
}

/* Which argument says how many elements are there along which axis. */
static json_t *counted(const CParams *params, const Buffer *b) {
    json_t *c = json_object();
    set(c, "by", json_string(c_count_param(params, b)->name));
    set(c, "axis", json_integer(b->count_axis));
    return c;
}

static json_t *tensors(const CParams *params, BufferKind kind) {
    json_t *list = json_array();
    for (size_t i = 0; i < params->len; i++) {
        const CParam *p = &params->data[i];
        if (!p->buffer || p->buffer->kind != kind)
            continue;
        json_t *t = json_object();
        set(t, "name", text(p->buffer->onnx_name ? p->buffer->onnx_name : p->name));
        set(t, "argument", json_string(p->name));
        set(t, "dtype", json_string(dtype_name(p->buffer->reg.type.dtype)));
        set(t, "shape", shape(&p->buffer->shape));
        set(t, "layout", json_string("row-major"));
        set(t, "elements", json_integer(p->buffer->elems));
        if (p->buffer->count >= 0)
            set(t, "counted", counted(params, p->buffer));
        if (json_array_append_new(list, t))
            die("no JSON for a tensor");
    }
    return list;
}

static json_t *weights(const Module *m, const EmitInfo *info) {
    json_t *w = json_object();
    set(w, "bytes", json_integer(m->weights_bytes));
    set(w, "alignment", json_integer(BLOCK_ALIGN));
    if (m->weights && m->weights_bytes)
        set(w, "checksum", json_sprintf("%016llx", (unsigned long long)sealed_checksum(m)));
    if (info->weights != WEIGHTS_FILE && m->weights_bytes)
        set(w, "symbol", json_sprintf("%s_weights", info->name));
    return w;
}

static json_t *arena(const Module *m) {
    json_t *a = json_object();
    set(a, "bytes", json_integer(m->arena_bytes));
    set(a, "alignment", json_integer(BLOCK_ALIGN));
    return a;
}

static json_t *names(const EmitFile *files, size_t n) {
    json_t *f = json_object();
    for (size_t i = 0; i < n; i++)
        set(f, files[i].kind, json_string(files[i].name));
    return f;
}

static json_t *channels(const float v[3]) {
    json_t *list = json_array();
    for (int c = 0; c < 3; c++) {
        char digits[32]; /* as many as a float has: 123.675, not 123.67500305 */
        snprintf(digits, sizeof digits, "%.7g", (double)v[c]);
        if (json_array_append_new(list, json_real(strtod(digits, NULL))))
            die("no JSON for channels");
    }
    return list;
}

/* As `effnetc run` reads it beside a model; "inside": what the code does itself. */
static json_t *preprocessing(const EmitPictures *p) {
    json_t *o = json_object();
    if (p->fit)
        set(o, "fit", json_string(p->fit));
    if (p->crop != 0)
        set(o, "crop", json_real(p->crop));
    if (p->resize)
        set(o, "resize", json_integer(p->resize));
    set(o, "filter", json_string(p->filter));
    set(o, "channels", json_string(p->channels));
    set(o, "mean", channels(p->mean));
    set(o, "std", channels(p->std));
    json_t *inside = json_pack("[sss]", "channels", "mean", "std");
    if (p->any) {
        const char *geometry = p->fit ? "fit" : p->crop != 0 ? "crop" : "resize";
        json_array_append_new(inside, json_string(geometry));
        json_array_append_new(inside, json_string("filter"));
    }
    set(o, "inside", inside);
    return o;
}

/* NAME_run_picture. */
static json_t *pictures(const Module *m, const CParams *params, const EmitInfo *info) {
    json_t *o = json_object();
    set(o, "function", json_sprintf("%s_run_picture", info->name));
    set(o, "max_side", json_integer(info->pictures->any->max_side));
    set(o, "arena",
        json_pack("{s:I, s:i}", "bytes", (json_int_t)c_picture_bytes(m, params, info), "alignment",
                  BLOCK_ALIGN));
    return o;
}

void emit_json(Buf *out, const Module *m, const EmitInfo *info, const EmitFile *files,
               size_t nfiles) {
    Arena a = {0};
    CScopes scopes = {0};
    CParams params = c_params(&a, &scopes, m, info);
    json_t *root = json_object();
    set(root, "name", json_string(info->name));
    set(root, "model", text(info->model));
    set(root, "version", json_string(info->version));
    set(root, "target", json_string(m->target->name));
    set(root, "inputs", tensors(&params, BUF_INPUT));
    set(root, "outputs", tensors(&params, BUF_OUTPUT));
    if (info->pictures)
        set(root, "preprocessing", preprocessing(info->pictures));
    if (info->pictures && info->pictures->any)
        set(root, "pictures", pictures(m, &params, info));
    set(root, "arena", arena(m));
    set(root, "weights", weights(m, info));
    if (info->selftest)
        set(root, "selftest",
            json_pack("{s:I}", "bytes", (json_int_t)c_selftest_bytes(m, &params)));
    set(root, "macs", json_integer(info->macs));
    set(root, "parameters", json_integer(info->parameters));
    set(root, "files", names(files, nfiles));
    char *s = json_dumps(root, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII);
    if (!s)
        die("no JSON for %s", info->name);
    buf_puts(out, s);
    buf_putc(out, '\n');
    free(s);
    json_decref(root);
    arena_free(&a);
}
