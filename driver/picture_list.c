/* picture_list.c: the pictures of a command line, folders too, and their pixels. */
#include "driver/pictures.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

typedef struct Walk {
    PictureList *out;
    Arena *arena;
    Diag *diag;
    size_t named; /* length of the folder that was named, with a slash */
    Map seen;     /* devices and numbers of the folders in it: links may lead to one again */
} Walk;

static void add(Walk *w, const char *path) {
    const char *name = path + w->named, *dot = strrchr(base_name(name), '.');
    size_t n = dot && dot != base_name(name) ? (size_t)(dot - name) : strlen(name);
    vec_push(w->arena, w->out, ((Picture){path, arena_strndup(w->arena, name, n)}));
}

/* Whether the first bytes of a file are a picture's. */
static bool looks_like_picture(const char *path) {
    uint8_t first[16];
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(first, 1, sizeof first, f) : 0;
    if (f)
        fclose(f);
    return rt_image_is_known(first, n);
}

/* One that is called so and isn't one is an error, not passed over. */
static bool is_called_picture(const char *path) {
    static const char *const ends[] = {".png", ".jpg", ".jpeg", ".ppm", ".pgm"};
    const char *dot = strrchr(base_name(path), '.');
    for (size_t i = 0; dot && i < sizeof ends / sizeof *ends; i++)
        if (!strcasecmp(dot, ends[i]))
            return true;
    return false;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_new(Walk *w, const struct stat *s) {
    const char *key = arena_printf(w->arena, "%llu:%llu", (unsigned long long)s->st_dev,
                                   (unsigned long long)s->st_ino);
    return map_put(w->arena, &w->seen, key, w);
}

static bool walk(Walk *w, const char *folder);

static void visit(Walk *w, const char *path) {
    struct stat s;
    if (stat(path, &s) != 0)
        return;
    if (S_ISDIR(s.st_mode)) {
        if (is_new(w, &s))
            walk(w, path);
    } else if (S_ISREG(s.st_mode) && (is_called_picture(path) || looks_like_picture(path))) {
        add(w, path);
    }
}

/* Everything in a folder but what begins with a dot, by name; false where it can't be read. */
static bool walk(Walk *w, const char *folder) {
    DIR *dir = opendir(folder);
    effnetc_strings names = {0};
    if (!dir)
        return false;
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.')
            strings_push(w->arena, &names, arena_strdup(w->arena, e->d_name));
    closedir(dir);
    const char **sorted = arena_copy(w->arena, names.items, names.count * sizeof *sorted);
    if (names.count)
        qsort(sorted, names.count, sizeof *sorted, by_text);
    for (size_t i = 0; i < names.count; i++)
        visit(w, arena_printf(w->arena, "%s/%s", folder, sorted[i]));
    return true;
}

static void list_folder(Walk *w, const char *path, const struct stat *s) {
    size_t before = w->out->len, n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    path = arena_strndup(w->arena, path, n);
    w->named = n + 1;
    w->seen = (Map){0};
    is_new(w, s);
    if (!walk(w, path)) {
        diag_error(w->diag, EXIT_IO, path, "the folder can't be read: %s", strerror(errno));
        return;
    }
    if (w->out->len > before)
        return;
    diag_error(w->diag, EXIT_USAGE, path, "there is no picture in this folder");
    diag_note(w->diag, "wanted", "PNG, JPEG, binary PPM or PGM files");
}

/* Two pictures never share the name of what is made of them. */
static void make_names_unique(PictureList *list, Arena *a) {
    Map seen = {0};
    for (size_t i = 0; i < list->len; i++) {
        Picture *p = &list->data[i];
        const char *base = p->name;
        for (int k = 2; map_get(&seen, p->name); k++)
            p->name = arena_printf(a, "%s-%d", base, k);
        map_put(a, &seen, p->name, p);
    }
}

bool pictures_list(effnetc_strings paths, PictureList *out, Arena *a, Diag *d) {
    Walk w = {.out = out, .arena = a, .diag = d};
    size_t errors = d->errors;
    for (size_t i = 0; i < paths.count; i++) {
        const char *path = paths.items[i];
        struct stat s;
        if (stat(path, &s) != 0) {
            diag_error(d, EXIT_IO, path, "it can't be read: %s", strerror(errno));
        } else if (S_ISDIR(s.st_mode)) {
            list_folder(&w, path, &s);
        } else {
            w.named = (size_t)(base_name(path) - path);
            add(&w, path);
        }
    }
    make_names_unique(out, a);
    return d->errors == errors;
}

/* ---- pixels ---- */

typedef struct Load {
    Loaded *out;
    const Picture *pictures;
    const PictureInput *in;
    char *images;
    size_t bytes; /* of an image */
} Load;

static void load_one(void *context, size_t i) {
    const Load *l = context;
    Loaded *p = &l->out[i];
    *p = (Loaded){.picture = &l->pictures[i]};
    p->code = rt_image_read(&p->image, p->picture->path, &p->err);
    if (p->code == RT_OK)
        p->code = picture_fill(l->in, &p->image, l->images + i * l->bytes, &p->err);
    if (p->code != RT_OK)
        memset(l->images + i * l->bytes, 0, l->bytes);
}

void pictures_load(Loaded *out, const Picture *pictures, size_t n, const PictureInput *in,
                   Tensor *batch, rt_pool *pool) {
    size_t images = (size_t)batch->shape.dim[0];
    size_t bytes = (size_t)(shape_elems(&batch->shape) * dtype_bytes(batch->dtype)) / images;
    Load l = {out, pictures, in, tensor_mutable(batch), bytes};
    ensure(n <= images);
    memset(l.images, 0, images * bytes);
    if (pool)
        rt_pool_for(pool, n, load_one, &l);
    else
        for (size_t i = 0; i < n; i++)
            load_one(&l, i);
}
