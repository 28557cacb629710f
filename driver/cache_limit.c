/* cache_limit.c: holds a folder of --cache to a size: what was used longest ago goes first.
 *
 * Several processes may do so at the same time, and others use entries meanwhile: whoever has
 * opened one keeps it, and one that is gone when it is to be removed was another's. Only entries
 * are removed, and what an interrupted process left of one, of this user's and by their names. */
#include "driver/driver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LEFT_BEHIND = 3600 }; /* seconds after which nobody writes to a temporary file any more */

typedef struct Entry {
    const char *name;
    int64_t bytes;
    struct timespec used;
} Entry;

typedef struct Entries {
    Arena arena;
    int folder;
    VEC(Entry) list;
    int64_t bytes;
} Entries;

/* "0123456789abcdef.effnetc" */
static bool is_entry(const char *name) {
    size_t digits = strspn(name, "0123456789abcdef");
    return digits == 16 && !strcmp(name + digits, CACHE_SUFFIX);
}

static bool is_temporary(const char *name) {
    return !strncmp(name, CACHE_TEMPORARY, strlen(CACHE_TEMPORARY));
}

static bool is_earlier(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static void note_file(Entries *e, const char *name) {
    struct stat st;
    if (fstatat(e->folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode) ||
        st.st_uid != geteuid())
        return;
    if (is_temporary(name) && time(NULL) - st.st_mtime > LEFT_BEHIND)
        unlinkat(e->folder, name, 0);
    if (!is_entry(name))
        return;
    Entry new = {arena_strdup(&e->arena, name), st.st_size,
                 is_earlier(&st.st_atim, &st.st_mtim) ? st.st_mtim : st.st_atim};
    vec_push(&e->arena, &e->list, new);
    e->bytes += new.bytes;
}

static void note_files(Entries *e, DIR *d) {
    const struct dirent *f;
    while ((f = readdir(d)))
        note_file(e, f->d_name);
}

static int compare_entries(const void *a, const void *b) {
    const Entry *x = a, *y = b;
    int later = is_earlier(&y->used, &x->used) - is_earlier(&x->used, &y->used);
    return later ? later : strcmp(x->name, y->name);
}

static void remove_oldest(Entries *e, int64_t limit, const char *keep) {
    if (e->list.len)
        qsort(e->list.data, e->list.len, sizeof *e->list.data, compare_entries);
    for (size_t i = 0; i < e->list.len && e->bytes > limit; i++) {
        const Entry *x = &e->list.data[i];
        if (strcmp(x->name, keep) != 0 && (unlinkat(e->folder, x->name, 0) == 0 || errno == ENOENT))
            e->bytes -= x->bytes;
    }
}

void cache_limit(const char *folder, int64_t limit, const char *keep) {
    DIR *d = opendir(folder);
    if (!d)
        return;
    Entries e = {.folder = dirfd(d)};
    note_files(&e, d);
    remove_oldest(&e, limit, keep);
    closedir(d);
    arena_free(&e.arena);
}
