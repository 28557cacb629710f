/* describe.c: parts of a model as text and as JSON. */
#include "driver/describe.h"

#include <math.h>
#include <string.h>

const char *short_origin(const char *origin, Arena *a) {
    int more = 0;
    for (const char *p = origin; *p; p++)
        more += *p == '+';
    if (!more)
        return origin;
    return arena_printf(a, "%.*s (+%d)", (int)strcspn(origin, "+"), origin, more);
}

const char *printed_origin(const char *origin, Arena *a) {
    return printable(a, short_origin(origin, a));
}

json_t *json_dims(int rank, const int64_t *dims) {
    json_t *a = json_array();
    for (int i = 0; i < rank; i++)
        json_array_append_new(a, json_integer(dims[i]));
    return a;
}

json_t *json_text(const char *s) {
    json_t *t = json_string(s);
    if (t)
        return t;
    Buf b = {0};
    buf_put_escaped(&b, s);
    t = json_string(buf_str(&b));
    buf_free(&b);
    return t;
}

json_t *json_number(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

int64_t node_parameters(const Node *n) {
    int64_t count = 0;
    for (int i = 0; i < n->noperands; i++) {
        const Value *v = node_in(n, i);
        if (v && v->constant)
            count += shape_elems(&v->type.shape);
    }
    return count;
}

int64_t node_bytes(const Node *n) {
    int64_t bytes = 0;
    const Value *scratch = node_result(n, "scratch");
    for (int i = 0; i < n->noperands; i++)
        bytes += node_in(n, i) ? type_storage_bytes(&node_in(n, i)->type) : 0;
    for (int i = 0; i < n->nresults; i++)
        bytes += n->results[i] != scratch ? type_storage_bytes(&n->results[i]->type) : 0;
    return bytes;
}

/* Adds the kernels that a block calls to the list. */
static void add_callees(Arena *a, Map *seen, const Block *b) {
    for (const Inst *i = b->first; i; i = i->next) {
        switch (inst_info(i->op)->form) {
        case FORM_CALL:
            map_put(a, seen, i->u.call.callee->name, i->u.call.callee);
            break;
        case FORM_FOR:
            add_callees(a, seen, &i->u.loop.body);
            break;
        case FORM_WHILE:
            add_callees(a, seen, &i->u.body);
            break;
        case FORM_IF:
            add_callees(a, seen, &i->u.branch.then);
            add_callees(a, seen, &i->u.branch.orelse);
            break;
        default:
            break;
        }
    }
}

int step_kernels(const Kernel *step) {
    Arena arena = {0};
    Map seen = {0};
    add_callees(&arena, &seen, &step->body);
    int n = (int)seen.len;
    arena_free(&arena);
    return n;
}
