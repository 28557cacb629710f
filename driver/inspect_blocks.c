/* inspect_blocks.c: what effnetc inspect says about a network's structure. */
#include "driver/describe.h"
#include "driver/driver.h"

#include <string.h>

/* Which block each of the ONNX nodes is in. */
static void note_origins(Structure *s) {
    Arena *a = &s->m->arena;
    FOR_EACH_NODE(s->graph, n) {
        for (const char *p = n->origin; n->mark >= 0 && *p;) {
            size_t len = strcspn(p, "+");
            map_put(a, &s->block_of, arena_strndup(a, p, len), &s->net.blocks.data[n->mark]);
            p += len + (p[len] == '+');
        }
    }
}

int node_block(const Structure *s, const Node *n) {
    Arena arena = {0};
    const NetBlock *b = NULL;
    for (const char *p = n->origin; *p && !b;) {
        size_t len = strcspn(p, "+");
        b = map_get(&s->block_of, arena_strndup(&arena, p, len));
        p += len + (p[len] == '+');
    }
    arena_free(&arena);
    return b ? (int)(b - s->net.blocks.data) : -1;
}

bool structure_open(Structure *s, effnetc_model *m) {
    s->m = m;
    s->graph = model_structure(m);
    if (!s->graph)
        return false;
    network_recognise(s->graph, &m->arena, &s->net);
    note_origins(s);
    return true;
}

void structure_close(Structure *s) {
    if (s->graph)
        graph_free(s->graph);
}

/* ---- text ---- */

void print_member(const Structure *s) {
    const Network *net = &s->net;
    const Member *m = net->member;
    if (!m) {
        printf("%-11s no member of the family that is known\n", "network");
        return;
    }
    printf("%-11s %s%s, %lldx%lld, width %.1f, depth %.1f, %.1f M parameters", "network", m->name,
           net->narrower ? " pruned" : "", (long long)net->height, (long long)net->width,
           m->scaling.width, m->scaling.depth, (double)s->m->parameters / 1e6);
    if (net->narrower)
        printf(" (%d blocks have fewer channels)", net->narrower);
    if (net->decoder)
        printf(" (+ %s decoder)", net->decoder);
    putchar('\n');
}

static const char *plain_shape(const Value *v, Arena *a) {
    Type t = type_plain(v->type.dtype, v->type.shape);
    return type_str(a, &t);
}

static void print_block(const NetBlock *b, Arena *a) {
    const char *shapes = "";
    if (b->x)
        shapes = arena_printf(a, "%s -> %s", plain_shape(b->x, a), plain_shape(b->y, a));
    printf("%-24s %-42s %10lld %12lld %5d  %s\n", block_name(b, a), shapes,
           (long long)b->parameters, (long long)b->macs, b->nodes,
           short_origin(b->first->origin, a));
}

void print_blocks(const Structure *s) {
    const Network *net = &s->net;
    if (!net->member)
        return;
    printf("\n%-24s %-42s %10s %12s %5s  %s\n", "block", "shapes", "parameters", "MACs", "nodes",
           "from");
    for (size_t i = 0; i < net->blocks.len; i++)
        print_block(&net->blocks.data[i], &s->m->arena);
}

/* ---- JSON ---- */

json_t *json_network(const Structure *s) {
    const Network *net = &s->net;
    const Member *m = net->member;
    if (!m)
        return json_null();
    json_t *blocks = json_array();
    for (size_t i = 0; i < net->blocks.len; i++) {
        const NetBlock *b = &net->blocks.data[i];
        json_array_append_new(
            blocks,
            json_pack("{s:s, s:I, s:I, s:i, s:b, s:o}", "kind", block_name(b, &s->m->arena),
                      "parameters", (json_int_t)b->parameters, "macs", (json_int_t)b->macs, "nodes",
                      b->nodes, "residual", (int)b->residual, "from", json_text(b->first->origin)));
    }
    return json_pack("{s:s, s:s, s:i, s:s?, s:f, s:f, s:I, s:I, s:o}", "family", m->family->name,
                     "name", m->name, "narrower_blocks", net->narrower, "decoder", net->decoder,
                     "width", m->scaling.width, "depth", m->scaling.depth, "input_height",
                     (json_int_t)net->height, "input_width", (json_int_t)net->width, "blocks",
                     blocks);
}
