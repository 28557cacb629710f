/* dedupe-constants: constants of one type and with the same bytes become one, the first of them.
 *
 * Needs: nothing. Leaves alone: a constant whose elements were elided from an IR text, next to one
 * whose elements are known. */
#include "passes/passes.h"

#include <string.h>

/* A type and a hash: what equal constants have in common. */
static const char *key_of(Arena *a, const Value *v) {
    Buf b = {0};
    type_print(&b, &v->type);
    buf_printf(&b, " %016llx", (unsigned long long)tensor_hash(v->constant));
    const char *key = arena_strdup(a, buf_str(&b));
    buf_free(&b);
    return key;
}

/* Of two with one key. Elided elements are known by their hash alone. */
static bool same_bytes(const Tensor *a, const Tensor *b) {
    if (!a->data || !b->data)
        return !a->data && !b->data;
    return memcmp(a->data, b->data, (size_t)tensor_bytes(a)) == 0;
}

bool pass_dedupe_constants(Graph *g, PassContext *cx) {
    (void)cx;
    Arena arena = {0};
    Map first = {0};
    for (size_t i = 0; i < g->constants.len; i++) {
        Value *v = g->constants.data[i];
        const char *key = key_of(&arena, v);
        Value *seen = map_get(&first, key);
        if (!seen)
            map_put(&arena, &first, key, v);
        else if (same_bytes(seen->constant, v->constant))
            value_replace(v, seen);
    }
    arena_free(&arena);
    graph_dce(g);
    return true;
}
