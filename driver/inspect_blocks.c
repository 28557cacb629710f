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

static int count_kind(const Network *net, BlockKind kind) {
    int n = 0;
    for (size_t i = 0; i < net->blocks.len; i++)
        n += net->blocks.data[i].kind == kind;
    return n;
}

/* Of a network that has no name: what there is of the family's. */
static void print_stranger(const Network *net) {
    int mbconv = count_kind(net, BLOCK_MBCONV), fused = count_kind(net, BLOCK_FUSED);
    printf("%-11s no member of the family that is known", "network");
    if (mbconv + fused > 0)
        printf(": %d MBConv and %d FusedMBConv blocks", mbconv, fused);
    if (net->variant)
        printf(", %s", net->variant);
    putchar('\n');
}

/* "1.0", "0.54" */
static const char *factor(double x, Arena *a) {
    double tenths = 10 * x;
    return arena_printf(a, tenths == (double)(int64_t)tenths ? "%.1f" : "%.4g", x);
}

void print_member(const Structure *s) {
    const Network *net = &s->net;
    if (!net->name) {
        print_stranger(net);
        return;
    }
    printf("%-11s %s%s", "network", net->name, net->narrower ? " pruned" : "");
    if (net->variant)
        printf(" (%s)", net->variant);
    printf(", %lldx%lld, width %s, depth %s, %.1f M parameters", (long long)net->height,
           (long long)net->width, factor(net->width_factor, &s->m->arena),
           factor(net->depth_factor, &s->m->arena), (double)s->m->parameters / 1e6);
    if (net->narrower)
        printf(" (%d blocks have fewer channels)", net->narrower);
    if (net->relative)
        printf(" (MBConv blocks, but no EfficientNet)");
    if (net->decoder)
        printf(" (+ %s decoder%s%s)", net->decoder, net->detector ? ": " : "",
               net->detector ? net->detector : "");
    putchar('\n');
}

static const char *plain_shape(const Value *v, Arena *a) {
    Type t = type_plain(v->type.dtype, v->type.shape);
    return type_str(a, &t);
}

static const char *block_shapes(const NetBlock *b, Arena *a) {
    return b->x ? arena_printf(a, "%s -> %s", plain_shape(b->x, a), plain_shape(b->y, a)) : "";
}

static int longer(int width, const char *text) {
    return (int)strlen(text) > width ? (int)strlen(text) : width;
}

void print_blocks(const Structure *s) {
    const Network *net = &s->net;
    Arena *a = &s->m->arena;
    int kind = 24, shapes = 42;
    if (!network_has_blocks(net))
        return;
    for (size_t i = 0; i < net->blocks.len; i++) {
        kind = longer(kind, block_name(&net->blocks.data[i], a));
        shapes = longer(shapes, block_shapes(&net->blocks.data[i], a));
    }
    printf("\n%-*s %-*s %10s %12s %5s  %s\n", kind, "block", shapes, "shapes", "parameters", "MACs",
           "nodes", "from");
    for (size_t i = 0; i < net->blocks.len; i++) {
        const NetBlock *b = &net->blocks.data[i];
        printf("%-*s %-*s %10lld %12lld %5d  %s\n", kind, block_name(b, a), shapes,
               block_shapes(b, a), (long long)b->parameters, (long long)b->macs, b->nodes,
               printed_origin(b->first->origin, a));
    }
}

/* ---- JSON ---- */

json_t *json_network(const Structure *s) {
    const Network *net = &s->net;
    const Member *m = net->member;
    if (!network_has_blocks(net))
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
    const char *family = m ? m->family->name : net->name;
    return json_pack("{s:s?, s:s?, s:s?, s:b, s:i, s:s?, s:s?, s:f, s:f, s:I, s:I, s:o}", "family",
                     family, "name", net->name, "variant", net->variant, "relative",
                     (int)net->relative, "narrower_blocks", net->narrower, "decoder", net->decoder,
                     "detector", net->detector, "width", net->width_factor, "depth",
                     net->depth_factor, "input_height", (json_int_t)net->height, "input_width",
                     (json_int_t)net->width, "blocks", blocks);
}
