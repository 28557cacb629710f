/* replay.c: runs a fuzz target over every file of a folder, without libFuzzer: the corpus as a test
 * that any compiler can build.
 *
 *   replay_TARGET FOLDER */
#include "tests/fuzz/fuzz.h"

#include "support/support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A buffer of the file's size and no more, so that AddressSanitizer sees a read behind its end. */
static bool replay(const char *path, Diag *d) {
    MappedFile f;
    if (!file_map(&f, path, d))
        return false;
    uint8_t *copy = malloc(f.size ? f.size : 1);
    ensure(copy);
    if (f.size)
        memcpy(copy, f.data, f.size);
    printf("%s\n", path);
    fflush(stdout); /* the last line names the file that crashed */
    LLVMFuzzerTestOneInput(copy, f.size);
    free(copy);
    file_unmap(&f);
    return true;
}

static int replay_folder(const char *folder, Diag *d) {
    int n = 0;
    DIR *dir = opendir(folder);
    Arena a = {0};
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            n += replay(arena_printf(&a, "%s/%s", folder, e->d_name), d);
    if (dir)
        closedir(dir);
    arena_free(&a);
    if (n == 0)
        diag_error(d, EXIT_IO, folder, "no file was replayed");
    return n;
}

int main(int argc, char **argv) {
    Diag d = {0};
    if (argc == 2)
        printf("%d files\n", replay_folder(argv[1], &d));
    else
        diag_error(&d, EXIT_USAGE, argv[0], "usage: %s FOLDER", argv[0]);
    diag_print(&d, stderr, false);
    int code = diag_exit_code(&d);
    diag_free(&d);
    return code;
}
