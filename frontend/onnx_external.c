/* onnx_external.c: tensor data in a file beside the model
 * (https://onnx.ai/onnx/repo-docs/ExternalData.html).
 *
 * The location comes from the model, so it must not reach anything that the model's author could
 * not have put into its folder: it is relative, has no "..", names a regular file, and with all
 * symbolic links followed the file is still inside the folder. */
#define _XOPEN_SOURCE 700 /* realpath */

#include "frontend/import.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *entry(const Onnx__TensorProto *t, const char *key) {
    for (size_t i = 0; i < t->n_external_data; i++) {
        const Onnx__StringStringEntryProto *e = t->external_data[i];
        if (e->key && e->value && strcmp(e->key, key) == 0)
            return e->value;
    }
    return NULL;
}

/* A non-negative number; dflt where the key is absent. */
static bool number(Importer *im, const Onnx__TensorProto *t, const char *key, int64_t dflt,
                   int64_t *out, Problem *p) {
    const char *s = entry(t, key);
    *out = dflt;
    if (!s || (parse_i64(s, out) && *out >= 0))
        return true;
    return problem(im, p, EXIT_BAD_MODEL, "%s of its external data is %s", key, quoted(im, s));
}

static bool has_dot_dot(const char *path) {
    for (const char *s = path; s; s = strchr(s, '/')) {
        s += *s == '/';
        if (strncmp(s, "..", 2) == 0 && (s[2] == '/' || s[2] == 0))
            return true;
    }
    return false;
}

/* The model's folder, absolute and without links. */
static const char *model_folder(Importer *im) {
    char *real = realpath(im->folder, NULL);
    const char *result = real ? arena_strdup(&im->arena, real) : NULL;
    free(real);
    return result;
}

static bool inside(const char *path, const char *folder) {
    size_t n = strlen(folder);
    n -= n && folder[n - 1] == '/';
    return strncmp(path, folder, n) == 0 && path[n] == '/';
}

/* The real path that a location stands for. */
static bool resolve(Importer *im, const char *location, const char **out, Problem *p) {
    if (*location == 0 || *location == '/' || has_dot_dot(location))
        return problem(im, p, EXIT_BAD_MODEL,
                       "its external data are at %s, and must be inside the model's folder",
                       quoted(im, location));
    const char *folder = model_folder(im);
    char *real =
        folder ? realpath(arena_printf(&im->arena, "%s/%s", folder, location), NULL) : NULL;
    if (!real)
        return problem(im, p, EXIT_BAD_MODEL,
                       "the file of its external data, %s, is missing beside the model",
                       quoted(im, location));
    *out = arena_strdup(&im->arena, real);
    free(real);
    struct stat st;
    if (!inside(*out, folder))
        return problem(im, p, EXIT_BAD_MODEL,
                       "its external data, %s, are a link out of the model's folder",
                       quoted(im, location));
    if (stat(*out, &st) != 0 || !S_ISREG(st.st_mode))
        return problem(im, p, EXIT_BAD_MODEL, "its external data, %s, are not a regular file",
                       quoted(im, location));
    return true;
}

/* Each file is mapped once. */
static const MappedFile *map_once(Importer *im, const char *path, Problem *p) {
    MappedFile *f = map_get(&im->external, path);
    if (f)
        return f;
    f = ARENA_NEW(&im->g->arena, MappedFile);
    if (!file_map(f, path, im->d)) {
        problem(im, p, EXIT_IO, "the file of its external data can't be read");
        return NULL;
    }
    im->external_mapped += f->size;
    vec_push(&im->g->arena, &im->g->mappings, f);
    map_put(&im->arena, &im->external, path, f);
    return f;
}

/* A file may go by several names, which need not stay the same file. */
static void note_location(Importer *im, const char *location) {
    if (map_get(&im->locations, location))
        return;
    char *copy = arena_strdup(&im->g->arena, location);
    vec_push(&im->g->arena, &im->g->external, copy);
    map_put(&im->arena, &im->locations, copy, copy);
}

bool external_data(Importer *im, const Onnx__TensorProto *t, size_t size, const uint8_t **data,
                   Problem *p) {
    const char *location = entry(t, "location"), *path = NULL;
    int64_t offset, length;
    if (!location)
        return problem(im, p, EXIT_BAD_MODEL, "its external data have no location");
    if (!im->folder)
        return problem(im, p, EXIT_UNSUPPORTED,
                       "its data are in another file, and the model was given without a folder");
    if (!number(im, t, "offset", 0, &offset, p) ||
        !number(im, t, "length", (int64_t)size, &length, p) || !resolve(im, location, &path, p))
        return false;
    if ((uint64_t)length != size)
        return problem(im, p, EXIT_BAD_MODEL,
                       "its dimensions need %zu bytes of data, and %lld are external", size,
                       (long long)length);
    const MappedFile *f = map_once(im, path, p);
    if (!f)
        return false;
    if ((uint64_t)offset > f->size || size > f->size - (size_t)offset)
        return problem(im, p, EXIT_BAD_MODEL,
                       "its external data are %zu bytes at offset %lld of %s, which has %zu", size,
                       (long long)offset, quoted(im, location), f->size);
    note_location(im, location);
    im->external_used += size;
    if (im->external_used > 2 * im->external_mapped)
        return problem(im, p, EXIT_UNSUPPORTED,
                       "the external tensors overlap: together they have more than twice the bytes "
                       "of their files");
    *data = size ? f->data + offset : NULL;
    return true;
}
