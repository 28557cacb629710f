/* cache.c: compiled code of the LLVM backend, kept in a folder.
 *
 * A file there is all that a run needs: the object, the packed weights, and what loading the model
 * would say. Its name is a hash of everything that it was made from, which it also holds in full.
 * One that is damaged, of another user, open to others or of another effnetc counts as absent, and
 * is replaced by one that is written beside it first.
 *
 *     CacheHead       sizes and hashes of the parts
 *     description     the key, then what put_description writes
 *     object          at a multiple of 64 bytes
 *     weights         at a multiple of 64 bytes
 */
#include "driver/driver.h"

#include "codegen/emit_llvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CACHE_VERSION = 3, CACHE_ALIGN = 64, MAX_TENSORS = 1 << 16 };

typedef struct CachePart {
    uint64_t bytes, hash;
} CachePart;

typedef struct CacheHead {
    char magic[8];
    uint64_t version;
    CachePart description, object, weights;
    uint64_t arena_bytes;
    uint64_t hash; /* of all before it */
} CacheHead;

static const char magic[8] = {'E', 'F', 'F', 'N', 'E', 'T', 'C', 'J'};

static uint64_t hash_head(const CacheHead *h) {
    return hash_bytes(h, offsetof(CacheHead, hash));
}

static size_t padded(size_t bytes) {
    return (size_t)round_up((int64_t)bytes, CACHE_ALIGN);
}

/* ---- the key --------------------------------------------------------------------------------- */

/* A piece at a time, so that a large model isn't in memory twice. */
static uint64_t hash_pieces(const MappedFile *f) {
    enum { PIECE = 1 << 22 };
    uint64_t hashes[2] = {0}; /* of what is before, of the piece */
    for (size_t at = 0; at < f->size; at += PIECE) {
        size_t rest = f->size - at;
        MappedFile piece = {f->data + at, rest < PIECE ? rest : PIECE};
        hashes[1] = hash_bytes(piece.data, piece.size);
        hashes[0] = hash_bytes(hashes, sizeof hashes);
        file_release(&piece);
    }
    return hashes[0];
}

/* Of a file's bytes; false where it can't be read. */
static bool hash_file(const char *path, uint64_t *hash, uint64_t *size) {
    MappedFile f;
    Diag unsaid = {0};
    bool ok = file_map(&f, path, &unsaid);
    if (ok) {
        *hash = hash_pieces(&f);
        *size = f.size;
        file_unmap(&f);
    }
    diag_free(&unsaid);
    return ok;
}

static bool hash_loaded_file(const void *within, uint64_t *hash) {
    uint64_t size;
    const char *path = loaded_path(within);
    return path && hash_file(path, hash, &size);
}

static void put_dims(Buf *b, const effnetc_model *m) {
    for (size_t i = 0; i < m->dims.len; i++)
        buf_printf(b, "dim %s=%lld\n", m->dims.data[i].name, (long long)m->dims.data[i].value);
}

static bool put_schedule(Buf *b, const effnetc_model *m) {
    uint64_t hash, size;
    if (!m->options.schedule)
        return true;
    if (!hash_file(m->options.schedule, &hash, &size))
        return false;
    buf_printf(b, "schedule %016llx\n", (unsigned long long)hash);
    return true;
}

/* Everything that the code and the description depend on; NULL where it can't be known: how bytes
 * of pictures are normalised may be said in other files. */
static const char *cache_key(effnetc_model *m) {
    const effnetc_options *o = &m->options;
    uint64_t own, backend, hash, size;
    Buf b = {0};
    /* Two builds of one version may make different code. */
    if ((o->input && strcmp(o->input, "model") != 0) || !hash_loaded_file(magic, &own) ||
        !hash_loaded_file(emit_llvm_address(), &backend) || !hash_file(m->path, &hash, &size))
        return NULL;
    buf_printf(&b, "effnetc %s %016llx\nllvm %s %016llx\ntarget %s\n", EFFNETC_VERSION,
               (unsigned long long)own, emit_llvm_version(), (unsigned long long)backend,
               m->target->name);
    buf_printf(&b, "level %d\narena %lld\nwinograd %d\ndebug %d\nname %s\n", o->opt_level,
               (long long)o->max_arena, !o->no_winograd, o->debug,
               o->name ? o->name : base_name(m->path));
    for (size_t i = 0; i < o->disabled.count; i++)
        buf_printf(&b, "disabled %s\n", o->disabled.items[i]);
    buf_printf(&b, "layouts %s %s\n", o->input_layout ? o->input_layout : "model",
               o->output_layout ? o->output_layout : "model");
    put_dims(&b, m);
    bool ok = put_schedule(&b, m);
    buf_printf(&b, "model %016llx %llu\n", (unsigned long long)hash, (unsigned long long)size);
    const char *key = ok ? arena_strdup(&m->arena, b.data) : NULL;
    buf_free(&b);
    return key;
}

static const char *entry_path(effnetc_model *m, const char *key) {
    return arena_printf(&m->arena, "%s/%016llx" CACHE_SUFFIX, m->options.cache,
                        (unsigned long long)hash_bytes(key, strlen(key)));
}

/* ---- the description ------------------------------------------------------------------------- */

static void put_number(Buf *b, int64_t x) {
    buf_write(b, &x, sizeof x);
}

static void put_text(Buf *b, const char *s) {
    put_number(b, (int64_t)strlen(s));
    buf_write(b, s, strlen(s) + 1);
}

static void put_tensor(Buf *b, const effnetc_tensor *t) {
    put_text(b, t->name);
    put_text(b, t->dtype);
    put_number(b, t->rank);
    for (int i = 0; i < t->rank; i++)
        put_number(b, t->dims[i]);
    put_number(b, t->count);
    put_number(b, t->axis);
    put_number(b, t->unread);
}

static const char *beside_model(effnetc_model *m, const char *location) {
    return arena_printf(&m->arena, "%.*s%s", (int)(base_name(m->path) - m->path), m->path,
                        location);
}

/* Files beside the model, with what is in them. */
static bool put_external(Buf *b, effnetc_model *m) {
    put_number(b, (int64_t)m->external.len);
    for (size_t i = 0; i < m->external.len; i++) {
        uint64_t hash, size;
        const char *location = m->external.data[i];
        if (!hash_file(beside_model(m, location), &hash, &size))
            return false;
        put_text(b, location);
        put_number(b, (int64_t)hash);
        put_number(b, (int64_t)size);
    }
    return true;
}

/* A text that may be missing. */
static void put_optional(Buf *b, const char *s) {
    put_number(b, s != NULL);
    put_text(b, s ? s : "");
}

/* As far as it is known: for inputs that are no pictures nobody asks for it. */
static void put_kind(Buf *b, const ModelKind *k) {
    put_number(b, k != NULL);
    if (!k)
        return;
    put_optional(b, k->member);
    put_optional(b, k->decoder);
    put_number(b, k->published);
    put_number(b, k->pads_ends);
    put_number(b, k->prepares_itself);
}

static bool put_description(Buf *b, effnetc_model *m) {
    put_text(b, m->cache_key);
    put_text(b, m->name);
    put_number(b, m->macs);
    put_number(b, m->parameters);
    put_kind(b, m->kind);
    put_number(b, (int64_t)m->inputs.len);
    put_number(b, (int64_t)m->outputs.len);
    for (size_t i = 0; i < m->inputs.len; i++)
        put_tensor(b, &m->inputs.data[i]);
    for (size_t i = 0; i < m->outputs.len; i++) {
        put_tensor(b, &m->outputs.data[i]);
        put_text(b, m->output_values.data[i]);
    }
    return put_external(b, m);
}

/* Reads what those write; `ok` is false from the first thing on that isn't there. */
typedef struct CacheReader {
    const uint8_t *at;
    size_t left;
    bool ok;
    effnetc_model *m;
} CacheReader;

static const void *get_bytes(CacheReader *r, size_t n) {
    const void *p = r->at;
    r->ok = r->ok && n <= r->left;
    if (!r->ok)
        return NULL;
    r->at += n;
    r->left -= n;
    return p;
}

/* Within low..high, or it is not ok, and low. */
static int64_t get_number(CacheReader *r, int64_t low, int64_t high) {
    int64_t x = low;
    const void *p = get_bytes(r, sizeof x);
    if (p)
        memcpy(&x, p, sizeof x);
    r->ok = r->ok && x >= low && x <= high;
    return r->ok ? x : low;
}

static uint64_t get_hash(CacheReader *r) {
    return (uint64_t)get_number(r, INT64_MIN, INT64_MAX);
}

static const char *get_text(CacheReader *r) {
    int64_t n = get_number(r, 0, (int64_t)r->left);
    const char *s = get_bytes(r, (size_t)n + 1);
    r->ok = r->ok && strnlen(s, (size_t)n + 1) == (size_t)n;
    return r->ok ? arena_strdup(&r->m->arena, s) : "";
}

static bool get_flag(CacheReader *r) {
    return get_number(r, 0, 1) != 0;
}

static const char *get_optional(CacheReader *r) {
    bool there = get_flag(r);
    const char *s = get_text(r);
    return there ? s : NULL;
}

static const ModelKind *get_kind(CacheReader *r) {
    if (!get_flag(r))
        return NULL;
    ModelKind *k = ARENA_NEW(&r->m->arena, ModelKind);
    k->member = get_optional(r);
    k->decoder = get_optional(r);
    k->published = get_flag(r);
    k->pads_ends = get_flag(r);
    k->prepares_itself = get_flag(r);
    r->ok = r->ok && (k->member || (!k->decoder && !k->published));
    return k;
}

static effnetc_tensor get_tensor(CacheReader *r) {
    effnetc_tensor t = {.name = get_text(r)};
    const char *dtype = get_text(r);
    DType dt = DT_f32;
    r->ok = r->ok && dtype_parse(dtype, strlen(dtype), &dt);
    t.dtype = dtype_name(dt);
    t.rank = (int)get_number(r, 0, EFFNETC_MAX_RANK);
    for (int i = 0; i < t.rank; i++)
        t.dims[i] = get_number(r, 0, INT64_MAX);
    t.count = (int)get_number(r, -1, MAX_TENSORS);
    t.axis = (int)get_number(r, 0, EFFNETC_MAX_RANK);
    t.unread = get_flag(r);
    Shape shape = shape_of(t.rank, t.dims);
    r->ok = r->ok && shape_valid(&shape, dt);
    if (r->ok)
        t.bytes = (size_t)(shape_elems(&shape) * dtype_bytes(dt));
    return t;
}

/* Whether the next file beside the model is what it was. */
static bool same_external(CacheReader *r) {
    effnetc_model *m = r->m;
    const char *location = get_text(r);
    uint64_t hash = get_hash(r), size = get_hash(r), now, now_size;
    return r->ok && hash_file(beside_model(m, location), &now, &now_size) && now == hash &&
           now_size == size;
}

static void take_tensors(CacheReader *r) {
    effnetc_model *m = r->m;
    int64_t inputs = get_number(r, 0, MAX_TENSORS), outputs = get_number(r, 0, MAX_TENSORS);
    for (int64_t i = 0; r->ok && i < inputs; i++)
        vec_push(&m->arena, &m->inputs, get_tensor(r));
    for (int64_t i = 0; r->ok && i < outputs; i++) {
        vec_push(&m->arena, &m->outputs, get_tensor(r));
        vec_push(&m->arena, &m->output_values, get_text(r));
    }
}

/* Fills in what loading would find out, as far as it is as it should be: false where it is not. */
static bool take_description(effnetc_model *m, const uint8_t *data, size_t size) {
    CacheReader r = {data, size, true, m};
    if (strcmp(get_text(&r), m->cache_key) != 0)
        return false;
    m->name = get_text(&r);
    m->macs = get_number(&r, 0, INT64_MAX);
    m->parameters = get_number(&r, 0, INT64_MAX);
    m->kind = get_kind(&r);
    take_tensors(&r);
    int64_t external = get_number(&r, 0, INT64_MAX);
    for (int64_t i = 0; r.ok && i < external; i++)
        r.ok = same_external(&r);
    return r.ok && r.left == 0;
}

/* ---- files, in ------------------------------------------------------------------------------- */

/* A regular file of this user's that nobody else can write to: the code in it will be run. */
static bool is_own(int fd, size_t *size) {
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & (S_IWGRP | S_IWOTH)))
        return false;
    *size = (size_t)st.st_size;
    return true;
}

static bool read_all(int fd, char *data, size_t size) {
    while (size > 0) {
        ssize_t n = read(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

/* That it was used now: cache_limit goes by it. Set by hand: reading alone does so at times. */
static void note_use(int fd) {
    const struct timespec times[] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
    if (futimens(fd, times) != 0)
        return; /* of a file system that can't */
}

/* The whole file, aligned as weights are; NULL where it isn't there or is not to be trusted. */
static void *read_entry(const char *path, size_t *size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    void *memory = NULL;
    if (fd < 0)
        return NULL;
    if (is_own(fd, size))
        memory = rt_memory_new(*size);
    if (memory && !read_all(fd, memory, *size)) {
        rt_memory_free(memory);
        memory = NULL;
    }
    if (memory)
        note_use(fd);
    close(fd);
    return memory;
}

/* Takes the next part; false where it is not what the head says. */
static bool take_part(const CachePart *part, const uint8_t **at, size_t *left,
                      const uint8_t **data) {
    if (part->bytes > *left || padded((size_t)part->bytes) > *left)
        return false;
    *data = *at;
    *at += padded((size_t)part->bytes);
    *left -= padded((size_t)part->bytes);
    return hash_bytes(*data, (size_t)part->bytes) == part->hash;
}

static bool take_entry(effnetc_model *m, const uint8_t *at, size_t size) {
    CacheHead head;
    CachedCode c = {.memory = NULL};
    const uint8_t *description;
    if (size < padded(sizeof head))
        return false;
    memcpy(&head, at, sizeof head);
    if (memcmp(head.magic, magic, sizeof magic) != 0 || head.version != CACHE_VERSION ||
        head.hash != hash_head(&head))
        return false;
    at += padded(sizeof head);
    size -= padded(sizeof head);
    if (!take_part(&head.description, &at, &size, &description) ||
        !take_part(&head.object, &at, &size, &c.object) ||
        !take_part(&head.weights, &at, &size, &c.weights) || size != 0 ||
        !take_description(m, description, (size_t)head.description.bytes))
        return false;
    c.object_bytes = (size_t)head.object.bytes;
    c.weights_bytes = (size_t)head.weights.bytes;
    c.arena_bytes = (size_t)head.arena_bytes;
    m->cached = c;
    return true;
}

/* Whoever looks at the passes wants them to run; a text that is piped in is not there again. */
static bool is_wanted(const effnetc_model *m) {
    const effnetc_options *o = &m->options;
    return o->cache && emit_llvm_available() && !is_ir_path(m->path) && !o->tune &&
           !o->print_after && !o->dump_dir && !o->time_passes && !o->verify_passes && !o->remarks;
}

bool cache_find(effnetc_model *m) {
    size_t size;
    if (!is_wanted(m) || !m->target)
        return false;
    m->cache_key = cache_key(m);
    void *memory = m->cache_key ? read_entry(entry_path(m, m->cache_key), &size) : NULL;
    if (memory && take_entry(m, memory, size)) {
        m->cached.memory = memory;
        return true;
    }
    rt_memory_free(memory);
    m->inputs.len = m->outputs.len = m->output_values.len = 0;
    m->kind = NULL;
    return false;
}

/* ---- files, out ------------------------------------------------------------------------------ */

static bool write_part(FILE *f, const void *data, size_t size) {
    static const char zeros[CACHE_ALIGN];
    size_t rest = padded(size) - size;
    return fwrite(data, 1, size, f) == size && fwrite(zeros, 1, rest, f) == rest;
}

static bool write_entry(FILE *f, const Module *m, const Buf *description, const Buf *object) {
    const void *weights = m->weights ? m->weights->data : "";
    size_t weights_bytes = (size_t)m->weights_bytes;
    CacheHead head = {
        .version = CACHE_VERSION,
        .description = {description->len, hash_bytes(description->data, description->len)},
        .object = {object->len, hash_bytes(object->data, object->len)},
        .weights = {weights_bytes, hash_bytes(weights, weights_bytes)},
        .arena_bytes = (uint64_t)m->arena_bytes};
    memcpy(head.magic, magic, sizeof magic);
    head.hash = hash_head(&head);
    return write_part(f, &head, sizeof head) &&
           write_part(f, description->data, description->len) &&
           write_part(f, object->data, object->len) && write_part(f, weights, weights_bytes);
}

static int64_t entry_bytes(const Module *m, const Buf *description, const Buf *object) {
    return (int64_t)(padded(sizeof(CacheHead)) + padded(description->len) + padded(object->len) +
                     padded((size_t)m->weights_bytes));
}

/* Writes a new file beside the old one and puts it in its place; errno where that fails. It and its
 * folder are the user's alone. */
static bool replace_entry(effnetc_model *m, const Buf *description, const Buf *object) {
    char *temporary = arena_printf(&m->arena, "%s/" CACHE_TEMPORARY "XXXXXX", m->options.cache);
    if (mkdir(m->options.cache, 0700) != 0 && errno != EEXIST)
        return false;
    int fd = mkstemp(temporary);
    if (fd < 0)
        return false;
    FILE *f = fdopen(fd, "wb");
    bool ok = f && write_entry(f, m->program.module, description, object);
    int code = errno;
    if (f ? fclose(f) != 0 : close(fd) != 0)
        ok = false;
    if (ok && rename(temporary, entry_path(m, m->cache_key)) == 0)
        return true;
    errno = ok ? errno : code;
    code = errno;
    unlink(temporary);
    errno = code;
    return false;
}

/* A file that changed while it was compiled must not count as what it was before. */
static bool is_unchanged(effnetc_model *m) {
    const char *key = cache_key(m);
    return key && !strcmp(key, m->cache_key);
}

static void keep(effnetc_model *m, const Buf *description, const Buf *object) {
    int64_t bytes = entry_bytes(m->program.module, description, object);
    int64_t limit = m->options.cache_limit;
    bool fits = limit == 0 || bytes <= limit;
    if (!fits || !replace_entry(m, description, object)) {
        diag_warning(m->diag, m->options.cache, "the code can't be kept here");
        if (fits)
            diag_note(m->diag, "reason", "%s", strerror(errno));
        else
            diag_note(m->diag, "reason", "it has %lld bytes, and --cache-limit is %lld",
                      (long long)bytes, (long long)limit);
        return;
    }
    if (limit)
        cache_limit(m->options.cache, limit, base_name(entry_path(m, m->cache_key)));
}

void cache_keep(effnetc_model *m, const Buf *object) {
    Buf description = {0};
    if (m->cache_key && !m->cached.memory && is_unchanged(m) && put_description(&description, m))
        keep(m, &description, object);
    buf_free(&description);
}
