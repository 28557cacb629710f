/* map.c: string -> pointer, open addressing with linear probing; the table is at most 3/4 full. */
#include "support/support.h"

#include <string.h>
#include <xxhash.h>

uint64_t hash_bytes(const void *data, size_t size) {
    return XXH3_64bits(size ? data : "", size);
}

static uint64_t hash_key(const char *key) {
    return hash_bytes(key, strlen(key));
}

/* The slot of `key`, or the free one where it belongs. m has free slots. */
static MapEntry *find_slot(const Map *m, const char *key, uint64_t hash) {
    size_t i = (size_t)hash & (m->cap - 1);
    while (m->slots[i].key && (m->slots[i].hash != hash || strcmp(m->slots[i].key, key) != 0))
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

static void grow(Arena *a, Map *m) {
    Map bigger = {.len = m->len, .cap = m->cap ? m->cap * 2 : 16};
    bigger.slots = ARENA_ARRAY(a, bigger.cap, MapEntry);
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].key)
            *find_slot(&bigger, m->slots[i].key, m->slots[i].hash) = m->slots[i];
    *m = bigger;
}

void *map_get(const Map *m, const char *key) {
    return m->len ? find_slot(m, key, hash_key(key))->value : NULL;
}

bool map_put(Arena *a, Map *m, const char *key, void *value) {
    if ((m->len + 1) * 4 > m->cap * 3)
        grow(a, m);
    uint64_t hash = hash_key(key);
    MapEntry *e = find_slot(m, key, hash);
    if (e->key) {
        e->value = value;
        return false;
    }
    *e = (MapEntry){key, value, hash};
    m->len++;
    return true;
}
