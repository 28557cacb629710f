/* file.c: files in, and sets of files out that appear together or not at all. */
#define _DEFAULT_SOURCE /* madvise */
#include "support/signals.h"
#include "support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reports what failed with errno's reason. False, so that callers can return it. */
static bool io_error(Diag *d, const char *path, const char *what, const char *help) {
    int code = errno;
    diag_error(d, EXIT_IO, path, "%s", what);
    diag_note(d, "reason", "%s", strerror(code));
    if (help)
        diag_note(d, "help", "%s", help);
    return false;
}

/* ---- in ------------------------------------------------------------------------------------- */

static bool check_regular(const struct stat *st, const char *path, Diag *d) {
    if (S_ISREG(st->st_mode))
        return true;
    bool folder = S_ISDIR(st->st_mode);
    diag_error(d, EXIT_IO, path, folder ? "is a folder, not a file" : "is not a regular file");
    diag_note(d, "help", "%s",
              folder ? "name a file inside it" : "copy its contents to a file and name that");
    return false;
}

static bool map_open_file(MappedFile *f, int fd, const char *path, Diag *d) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return io_error(d, path, "can't be read", NULL);
    if (!check_regular(&st, path, d))
        return false;
    if (st.st_size == 0)
        return true;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return io_error(d, path, "can't be mapped into memory", NULL);
    *f = (MappedFile){p, (size_t)st.st_size};
    return true;
}

bool file_map(MappedFile *f, const char *path, Diag *d) {
    *f = (MappedFile){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo would wait for its writer */
    if (fd < 0)
        return io_error(d, path, "can't be opened",
                        errno == ENOENT   ? "check the spelling; paths start at the current folder"
                        : errno == EACCES ? "make it readable for this user"
                                          : NULL);
    bool ok = map_open_file(f, fd, path, d);
    close(fd);
    return ok;
}

void memory_release(const void *memory, size_t bytes) {
#ifdef MADV_DONTNEED
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)memory + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)memory + bytes) / page * page;
    if (first < end) /* a wish */
        (void)madvise((void *)first, end - first, MADV_DONTNEED);
#else
    (void)memory, (void)bytes;
#endif
}

void file_release(const MappedFile *f) {
    memory_release(f->data, f->size);
}

void file_unmap(MappedFile *f) {
    if (f->data)
        munmap((void *)(uintptr_t)f->data, f->size);
    *f = (MappedFile){0};
}

/* ---- out: one file --------------------------------------------------------------------------- */

/* A file of a set while it is committed. */
typedef struct Pending {
    const OutputFile *out;
    char *temp;   /* holds the new contents; NULL before it is made and after it was renamed */
    char *backup; /* a second link to the old contents; NULL where there are none */
    bool created; /* the name did not exist before */
} Pending;

static bool write_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENOSPC;
        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

/* Writes and closes; errno says why it failed. Some systems report a full disk on close alone. */
static bool write_and_close(int fd, const OutputFile *f) {
    bool ok = write_all(fd, f->data, f->size);
    int code = errno;
    if (close(fd) != 0 && ok)
        return false;
    errno = code;
    return ok;
}

/* Makes the folders that `path` lies in. */
static bool make_folders(Arena *a, const char *path, Diag *d) {
    char *folder = arena_strdup(a, path);
    for (char *p = folder; *p; p++) {
        if (*p != '/' || p == folder)
            continue;
        *p = '\0';
        if (mkdir(folder, 0777) != 0 && errno != EEXIST)
            return io_error(d, path, "its folder can't be made", NULL);
        *p = '/';
    }
    return true;
}

/* The n-th hidden name beside `path`: no longer for a long path, so that it is always valid. */
static char *sibling(Arena *a, const char *path, const char *kind, int n) {
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash + 1 - path) : 0;
    return arena_printf(a, "%.*s.effnetc-%ld-%d.%s", folder, path, (long)getpid(), n, kind);
}

enum { NAME_TRIES = 1000 }; /* other writers, or leftovers of a killed one with this process id */

static int open_temp(Arena *a, Pending *p) {
    for (int n = 0; n < NAME_TRIES; n++) {
        char *name = sibling(a, p->out->path, "tmp", n);
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0)
            p->temp = name;
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

static bool write_temp(Arena *a, Pending *p, Diag *d) {
    if (!make_folders(a, p->out->path, d))
        return false;
    int fd = open_temp(a, p);
    if (fd < 0)
        return io_error(d, p->out->path, "can't be created", NULL);
    return write_and_close(fd, p->out) || io_error(d, p->out->path, "can't be written", NULL);
}

/* What rename would refuse most often, found before the first one. */
static bool check_replaceable(const Pending *p, Diag *d) {
    struct stat st;
    if (stat(p->out->path, &st) != 0 || !S_ISDIR(st.st_mode))
        return true;
    diag_error(d, EXIT_IO, p->out->path, "can't be written: a folder has this name");
    diag_note(d, "help", "choose another output folder or name, or remove that folder");
    return false;
}

/* On a file system without links there is no backup, and nothing to undo a replacement with. */
static void keep_backup(Arena *a, Pending *p) {
    for (int n = 0; n < NAME_TRIES; n++) {
        char *name = sibling(a, p->out->path, "old", n);
        if (link(p->out->path, name) == 0) {
            p->backup = name;
            return;
        }
        if (errno != EEXIST)
            return;
    }
}

static bool replace(Arena *a, Pending *p, Diag *d) {
    struct stat st;
    bool existed = lstat(p->out->path, &st) == 0;
    if (existed)
        keep_backup(a, p);
    if (rename(p->temp, p->out->path) != 0)
        return io_error(d, p->out->path, "can't be replaced", NULL);
    p->temp = NULL;
    p->created = !existed;
    return true;
}

/* ---- out and in again ------------------------------------------------------------------------ */

/* /var/tmp, where nothing says another place: what is large goes there, since /tmp may be memory.
 */
static int open_nameless(void) {
    const char *tmp = getenv("TMPDIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/effnetc-XXXXXX", tmp && *tmp ? tmp : "/var/tmp");
    int fd = mkstemp(path);
    if (fd >= 0)
        unlink(path);
    return fd;
}

bool file_spill(MappedFile *f, const void *data, size_t size) {
    sigset_t before = signals_hold(); /* none ends the process while the file has a name */
    int fd = open_nameless();
    signals_release(&before);
    if (fd < 0)
        return false;
    void *p = MAP_FAILED;
    if (write_all(fd, data, size))
        p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    *f = p == MAP_FAILED ? (MappedFile){0} : (MappedFile){p, size};
    return p != MAP_FAILED;
}

/* ---- out: the set ---------------------------------------------------------------------------- */

void outputs_add(Outputs *o, const char *path, const void *data, size_t size) {
    OutputFile f = {.path = arena_strdup(&o->arena, path), .data = data, .size = size};
    vec_push(&o->arena, &o->files, f);
}

/* Standard output, a device or a pipe: written in place, since renaming would replace it. */
static bool is_stream(const char *path) {
    struct stat st;
    return strcmp(path, "-") == 0 ||
           (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
}

static bool write_stream(const OutputFile *f, Diag *d) {
    bool ok;
    if (strcmp(f->path, "-") == 0) {
        ok = fflush(stdout) == 0 && write_all(STDOUT_FILENO, f->data, f->size);
    } else {
        int fd = open(f->path, O_WRONLY | O_CLOEXEC);
        ok = fd >= 0 && write_and_close(fd, f);
    }
    const char *name = strcmp(f->path, "-") == 0 ? "standard output" : f->path;
    return ok || io_error(d, name, "can't be written", NULL);
}

static void undo(Pending *list, size_t n) {
    while (n-- > 0) {
        Pending *p = &list[n];
        if (p->backup && !p->temp && rename(p->backup, p->out->path) == 0)
            p->backup = NULL;
        if (p->created)
            unlink(p->out->path);
    }
}

static void remove_leftovers(const Pending *list, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (list[i].temp)
            unlink(list[i].temp);
        if (list[i].backup)
            unlink(list[i].backup);
    }
}

/* Streams come first: a reader that goes away ends the process before there is a file to remove. */
bool outputs_commit(Outputs *o, Diag *d) {
    Pending *list = ARENA_ARRAY(&o->arena, o->files.len, Pending);
    size_t n = 0;
    bool ok = true;
    for (size_t i = 0; i < o->files.len && ok; i++) {
        if (is_stream(o->files.data[i].path))
            ok = write_stream(&o->files.data[i], d);
        else
            list[n++].out = &o->files.data[i];
    }
    sigset_t before = signals_hold();
    for (size_t i = 0; i < n && ok; i++)
        ok = write_temp(&o->arena, &list[i], d) && check_replaceable(&list[i], d);
    for (size_t i = 0; i < n && ok; i++)
        ok = replace(&o->arena, &list[i], d);
    if (!ok)
        undo(list, n);
    remove_leftovers(list, n);
    signals_release(&before);
    return ok;
}

void outputs_free(Outputs *o) {
    arena_free(&o->arena);
    *o = (Outputs){0};
}
