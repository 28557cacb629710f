/* inspect_memory.c: what less memory costs: the table of effnetc inspect --memory. */
#include "driver/describe.h"
#include "driver/driver.h"

#include <jansson.h>

/* One row: the least arena so far, and the time and the steps that it takes. */
typedef struct MemoryRow {
    int64_t arena_bytes;
    double cycles;
    VEC(const char *) steps; /* since the row before */
} MemoryRow;

typedef VEC(MemoryRow) MemoryRows;

static const char *step_text(Arena *a, const ArenaStep *s) {
    const char *origin = *s->node->origin ? s->node->origin : node_out(s->node)->name;
    return arena_printf(a, "%s: %s", short_origin(origin, a), s->what);
}

/* Shrinks the arena step by step; a row wherever it got smaller. */
static MemoryRows memory_rows(effnetc_model *m) {
    Graph *g = m->program.graph;
    PassContext cx = pass_context(m);
    MemoryRows list = {0};
    MemoryRow row = {.arena_bytes = plan_arena(g), .cycles = graph_cycles(g, &cx)};
    ArenaStep step;
    vec_push(&m->arena, &list, row);
    while (arena_shrink(g, &cx, &m->arena, &step)) {
        vec_push(&m->arena, &row.steps, step_text(&m->arena, &step));
        row.cycles += step.cycles;
        if (step.arena_bytes >= row.arena_bytes)
            continue;
        row.arena_bytes = step.arena_bytes;
        vec_push(&m->arena, &list, row);
        row = (MemoryRow){.arena_bytes = row.arena_bytes, .cycles = row.cycles};
    }
    return list;
}

static void print_text(effnetc_model *m) {
    MemoryRows list = memory_rows(m);
    const MemoryRow *first = list.data;
    printf("%12s %12s %7s  %s\n", "arena bytes", "kilocycles", "time", "changed");
    for (size_t i = 0; i < list.len; i++) {
        const MemoryRow *r = &list.data[i];
        printf("%12lld %12.0f %7.3f  %s\n", (long long)r->arena_bytes, r->cycles / 1000,
               first->cycles > 0 ? r->cycles / first->cycles : 1,
               r->steps.len ? printable(&m->arena, r->steps.data[0]) : "nothing");
        for (size_t k = 1; k < r->steps.len; k++)
            printf("%35s%s\n", "", printable(&m->arena, r->steps.data[k]));
    }
}

static void print_json(effnetc_model *m) {
    MemoryRows list = memory_rows(m);
    json_t *arenas = json_array();
    for (size_t i = 0; i < list.len; i++) {
        const MemoryRow *r = &list.data[i];
        json_t *steps = json_array();
        for (size_t k = 0; k < r->steps.len; k++)
            json_array_append_new(steps, json_text(r->steps.data[k]));
        json_array_append_new(arenas, json_pack("{s:I, s:I, s:o}", "arena_bytes",
                                                (json_int_t)r->arena_bytes, "predicted_cycles",
                                                (json_int_t)r->cycles, "changed", steps));
    }
    json_t *root = json_pack("{s:o, s:s, s:o}", "model", json_text(base_name(m->path)), "target",
                             m->target->name, "arenas", arenas);
    ensure(root);
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

void print_memory(effnetc_model *m, bool json) {
    if (json)
        print_json(m);
    else
        print_text(m);
}
