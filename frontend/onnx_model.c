/* onnx_model.c: from a file to an unpacked ModelProto, and the checks that concern all of it. */
#include "frontend/import.h"

#include <string.h>

/* ---- an allocator for protobuf-c that ends --------------------------------------------------- */

typedef struct Unpacker {
    Arena *arena;
    size_t limit; /* of arena->total */
} Unpacker;

static void *unpack_alloc(void *data, size_t size) {
    Unpacker *u = data;
    size_t left = u->limit - u->arena->total;
    return size > left ? NULL : arena_alloc(u->arena, size);
}

/* The arena goes with the import. */
static void unpack_free(void *data, void *pointer) {
    (void)data;
    (void)pointer;
}

const char *onnx_domain(const char *s) {
    return !s || strcmp(s, "ai.onnx") == 0 ? "" : s;
}

const char *shortened(Importer *im, const char *s) {
    enum { SHOWN = 120 };
    if (im->d->errors >= DIAG_MAX)
        return ""; /* it would not be kept */
    return strlen(s) <= SHOWN ? s : arena_printf(&im->arena, "%.*s...", SHOWN, s);
}

const char *quoted(Importer *im, const char *s) {
    return im->d->errors >= DIAG_MAX ? "" : arena_printf(&im->arena, "\"%s\"", shortened(im, s));
}

/* ---- reading --------------------------------------------------------------------------------- */

bool model_map(Importer *im) {
    MappedFile *f = ARENA_NEW(&im->g->arena, MappedFile);
    if (!file_map(f, im->path, im->d))
        return false;
    vec_push(&im->g->arena, &im->g->mappings, f);
    im->data = f->data;
    im->size = f->size;
    return true;
}

static bool scan(Importer *im) {
    if (im->size > 0)
        return wire_scan(&onnx__model_proto__descriptor, im->data, im->size, im->path, &im->arena,
                         &im->wire, im->d);
    diag_error(im->d, EXIT_BAD_MODEL, im->path, "the file is empty");
    return false;
}

static bool unpack(Importer *im) {
    Unpacker u = {&im->arena, im->arena.total + im->wire.unpacked_bytes};
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, &u};
    im->model = onnx__model_proto__unpack(&allocator, im->wire.copy.len,
                                          (const uint8_t *)buf_str(&im->wire.copy));
    if (im->model)
        return true;
    diag_error(im->d, EXIT_BAD_MODEL, im->path, "this is not a sound ONNX file");
    diag_note(im->d, "reason", "protobuf-c can't unpack it");
    return false;
}

/* ---- checks ---------------------------------------------------------------------------------- */

static bool check_ir_version(Importer *im) {
    const Onnx__ModelProto *m = im->model;
    if (!m->has_ir_version) {
        diag_error(im->d, EXIT_BAD_MODEL, im->path,
                   "this is not an ONNX model: it has no ir_version");
        return false;
    }
    if (m->ir_version >= IR_OLDEST && m->ir_version <= IR_NEWEST)
        return true;
    diag_error(im->d, EXIT_UNSUPPORTED, im->path, "ONNX IR version %lld is not supported",
               (long long)m->ir_version);
    diag_note(im->d, "help", "versions %d to %d are; onnx.version_converter may help", IR_OLDEST,
              IR_NEWEST);
    return false;
}

static bool check_opset(Importer *im, const char *who, const char *domain, int64_t version,
                        const int64_t *known) {
    if (known && *known != version) {
        diag_error(im->d, EXIT_BAD_MODEL, im->path,
                   "%s imports two opsets of domain %s: %lld and %lld", who, quoted(im, domain),
                   (long long)*known, (long long)version);
        return false;
    }
    if (*domain || (version >= OPSET_OLDEST && version <= OPSET_NEWEST))
        return true;
    diag_error(im->d, EXIT_UNSUPPORTED, im->path, "opset %lld of ai.onnx is not supported",
               (long long)version);
    diag_note(im->d, "help", "opsets %d to %d are; onnx.version_converter may help", OPSET_OLDEST,
              OPSET_NEWEST);
    return false;
}

bool opsets_read(Importer *im, const char *who, Onnx__OperatorSetIdProto *const *list, size_t n,
                 Map *out) {
    for (size_t i = 0; i < n; i++) {
        const Onnx__OperatorSetIdProto *o = list[i];
        const char *domain = onnx_domain(o->domain);
        if (!check_opset(im, who, domain, o->version, map_get(out, domain)))
            return false;
        map_put(&im->arena, out, domain, arena_copy(&im->arena, &o->version, sizeof o->version));
    }
    return true;
}

static bool check_opsets(Importer *im) {
    const Onnx__ModelProto *m = im->model;
    if (m->n_opset_import)
        return opsets_read(im, "the model", m->opset_import, m->n_opset_import, &im->opsets);
    diag_error(im->d, EXIT_BAD_MODEL, im->path, "the model has no opset_import");
    return false;
}

static bool check_graph(Importer *im) {
    const Onnx__ModelProto *m = im->model;
    if (!m->graph) {
        diag_error(im->d, EXIT_BAD_MODEL, im->path, "this is not an ONNX model: it has no graph");
        return false;
    }
    if (m->n_training_info) {
        diag_error(im->d, EXIT_UNSUPPORTED, im->path, "the model has training information");
        diag_note(im->d, "help", "export it for inference");
    }
    return !m->n_training_info;
}

bool model_load(Importer *im) {
    return scan(im) && unpack(im) && check_ir_version(im) && check_graph(im) && check_opsets(im);
}
