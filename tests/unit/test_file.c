/* Unit tests of support/file.c: mapping files, and sets of files that appear together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/support.h"

/* Each test runs in a fresh folder, which is its working folder. */
static char start[512], folder[600];

static int enter_folder(void **state) {
    (void)state;
    if (!getcwd(start, sizeof start))
        return -1;
    snprintf(folder, sizeof folder, "%s/test_file-XXXXXX", start);
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static void remove_tree(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) {
        unlink(path);
        return;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char inner[1024];
        snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            remove_tree(inner);
    }
    closedir(dir);
    rmdir(path);
}

static int leave_folder(void **state) {
    (void)state;
    int failed = chdir(start);
    remove_tree(folder);
    return failed;
}

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void assert_holds(const char *path, const char *text) {
    char got[256] = {0};
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s does not exist", path);
    size_t n = fread(got, 1, sizeof got - 1, f);
    fclose(f);
    got[n] = '\0';
    assert_string_equal(got, text);
}

/* The number of entries of a folder, hidden ones too: leftovers would show. */
static int entries(const char *path) {
    DIR *dir = opendir(path);
    assert_non_null(dir);
    int n = -2;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static const char *message(const Diag *d, size_t i) {
    assert_true(i < d->items.len);
    return d->items.data[i]->message;
}

/* ---- in -------------------------------------------------------------------------------------- */

static void a_file_is_mapped(void **state) {
    (void)state;
    Diag d = {0};
    MappedFile f;
    put("x", "contents");
    assert_true(file_map(&f, "x", &d));
    assert_int_equal(f.size, 8);
    assert_memory_equal(f.data, "contents", 8);
    file_unmap(&f);
    assert_null(f.data);
    assert_int_equal(d.items.len, 0);
    diag_free(&d);
}

static void an_empty_file_has_no_data(void **state) {
    (void)state;
    Diag d = {0};
    MappedFile f;
    put("x", "");
    assert_true(file_map(&f, "x", &d));
    assert_int_equal(f.size, 0);
    assert_null(f.data);
    file_unmap(&f);
    diag_free(&d);
}

static void assert_not_mapped(const char *path, const char *why) {
    Diag d = {0};
    MappedFile f;
    assert_false(file_map(&f, path, &d));
    assert_null(f.data);
    assert_int_equal(diag_exit_code(&d), EXIT_IO);
    assert_string_equal(d.items.data[0]->where, *path ? path : "effnetc");
    assert_non_null(strstr(message(&d, 0), why));
    assert_true(d.items.data[0]->notes.len > 0);
    diag_free(&d);
}

static void what_is_no_file_is_refused(void **state) {
    (void)state;
    assert_not_mapped("missing.onnx", "can't be opened");
    assert_not_mapped("", "can't be opened");
    assert_not_mapped("/", "is a folder");
    assert_not_mapped("/dev/null", "not a regular file");
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_not_mapped("fifo", "not a regular file"); /* and does not wait for a writer */
    put("x", "");
    assert_not_mapped("x/y", "can't be opened");
}

/* ---- out ------------------------------------------------------------------------------------- */

static void files_appear_with_their_folders(void **state) {
    (void)state;
    Diag d = {0};
    Outputs o = {0};
    outputs_add(&o, "a", "1", 1);
    outputs_add(&o, "p/q/r/b", "22", 2);
    outputs_add(&o, "p//c", "", 0);
    char absolute[700];
    snprintf(absolute, sizeof absolute, "%s/s/d", folder);
    outputs_add(&o, absolute, "4444", 4);
    assert_true(outputs_commit(&o, &d));
    assert_holds("a", "1");
    assert_holds("p/q/r/b", "22");
    assert_holds("p/c", "");
    assert_holds("s/d", "4444");
    assert_int_equal(entries("."), 3);
    assert_int_equal(entries("p"), 2);
    assert_int_equal(d.items.len, 0);
    outputs_free(&o);
    diag_free(&d);
}

static void the_umask_is_obeyed(void **state) {
    (void)state;
    Diag d = {0};
    Outputs o = {0};
    mode_t old = umask(027);
    outputs_add(&o, "a", "1", 1);
    assert_true(outputs_commit(&o, &d));
    umask(old);
    struct stat st;
    assert_int_equal(stat("a", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    outputs_free(&o);
    diag_free(&d);
}

static void old_files_are_replaced(void **state) {
    (void)state;
    Diag d = {0};
    Outputs o = {0};
    put("a", "a long old text");
    outputs_add(&o, "a", "new", 3);
    outputs_add(&o, "b", "b1", 2);
    outputs_add(&o, "b", "b2", 2); /* named twice: the last one counts */
    assert_true(outputs_commit(&o, &d));
    assert_holds("a", "new");
    assert_holds("b", "b2");
    assert_int_equal(entries("."), 2);
    outputs_free(&o);
    diag_free(&d);
}

/* A name as long as names can be leaves no room for a suffix. */
static void long_names_are_written(void **state) {
    (void)state;
    Diag d = {0};
    Outputs o = {0};
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    outputs_add(&o, name, "1", 1);
    assert_true(outputs_commit(&o, &d));
    assert_holds(name, "1");
    outputs_free(&o);
    diag_free(&d);
}

static void leftovers_of_others_are_left_alone(void **state) {
    (void)state;
    Diag d = {0};
    Outputs o = {0};
    char name[64];
    snprintf(name, sizeof name, ".effnetc-%ld-0.tmp", (long)getpid());
    put(name, "other");
    put("a", "old");
    outputs_add(&o, "a", "1", 1);
    assert_true(outputs_commit(&o, &d));
    assert_holds(name, "other");
    assert_holds("a", "1");
    assert_int_equal(entries("."), 2);
    outputs_free(&o);
    diag_free(&d);
}

/* Commits a set of "a" and `bad`, which fails: "a" keeps its contents, and nothing is left. */
static void assert_changes_nothing(const char *bad, const char *why) {
    Diag d = {0};
    Outputs o = {0};
    int before = entries(".");
    outputs_add(&o, "a", "new", 3);
    outputs_add(&o, bad, "x", 1);
    outputs_add(&o, "z", "z", 1);
    assert_false(outputs_commit(&o, &d));
    assert_int_equal(diag_exit_code(&d), EXIT_IO);
    assert_string_equal(d.items.data[0]->where, *bad ? bad : "effnetc");
    assert_non_null(strstr(message(&d, 0), why));
    assert_holds("a", "old");
    assert_int_equal(entries("."), before);
    outputs_free(&o);
    diag_free(&d);
}

static void a_failure_changes_nothing(void **state) {
    (void)state;
    put("a", "old");
    put("file", "");
    assert_int_equal(mkdir("folder", 0777), 0);
    assert_changes_nothing("folder", "a folder has this name");
    assert_changes_nothing("folder/", "a folder has this name");
    assert_changes_nothing("file/x", "can't be");
    assert_changes_nothing("file/x/y", "folder can't be made");
    assert_changes_nothing("", "can't be replaced"); /* after "a" was replaced already */
    assert_changes_nothing("/dev/full", "can't be written");
}

static void new_files_go_again(void **state) {
    (void)state;
    Diag d = {0};
    Outputs o = {0};
    outputs_add(&o, "a", "new", 3);
    outputs_add(&o, "", "x", 1);
    assert_false(outputs_commit(&o, &d));
    assert_int_equal(entries("."), 0);
    outputs_free(&o);
    diag_free(&d);
}

/* A file size limit stands for the full disk: write() falls short and then fails. */
static void commit_under_limit(void) {
    static char large[100000];
    Diag d = {0};
    Outputs o = {0};
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = {50000, 50000};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(2);
    outputs_add(&o, "a", large, 1000);
    outputs_add(&o, "b", large, sizeof large);
    bool failed = !outputs_commit(&o, &d) && diag_exit_code(&d) == EXIT_IO &&
                  strcmp(d.items.data[0]->where, "b") == 0;
    outputs_free(&o);
    diag_free(&d);
    _exit(failed ? 0 : 1);
}

/* In a process of its own, which it ends. */
static void assert_succeeds_apart(void (*test)(void)) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        test();
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_full_disk_is_an_error(void **state) {
    (void)state;
    put("a", "old");
    assert_succeeds_apart(commit_under_limit);
    assert_holds("a", "old");
    assert_int_equal(entries("."), 1);
}

/* ---- files without a name -------------------------------------------------------------------- */

static void spilled_bytes_are_in_no_folder(void **state) {
    (void)state;
    static uint8_t bytes[100001];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7919 >> 8);
    assert_int_equal(setenv("TMPDIR", ".", 1), 0);
    MappedFile f;
    bool ok = file_spill(&f, bytes, sizeof bytes);
    assert_int_equal(unsetenv("TMPDIR"), 0);
    assert_true(ok);
    assert_int_equal(entries("."), 0);
    assert_int_equal(f.size, sizeof bytes);
    file_release(&f);
    assert_memory_equal(f.data, bytes, sizeof bytes);
    file_unmap(&f);
}

static void spill_without_room(void) {
    static char large[100000];
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = {50000, 50000};
    MappedFile f;
    if (setenv("TMPDIR", ".", 1) != 0 || setrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(2);
    bool failed = !file_spill(&f, large, sizeof large) && !f.data;
    if (setenv("TMPDIR", "missing", 1) != 0)
        _exit(2);
    failed = failed && !file_spill(&f, large, 1) && !f.data;
    _exit(failed ? 0 : 1);
}

static void what_cant_be_spilled_stays(void **state) {
    (void)state;
    assert_succeeds_apart(spill_without_room);
    assert_int_equal(entries("."), 0);
}

static void devices_are_written_in_place(void **state) {
    (void)state;
    Diag d = {0};
    Outputs o = {0};
    outputs_add(&o, "/dev/null", "x", 1);
    assert_true(outputs_commit(&o, &d));
    struct stat st;
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    outputs_free(&o);
    diag_free(&d);
}

static void a_dash_is_standard_output(void **state) {
    (void)state;
    Diag d = {0};
    Outputs o = {0};
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    int fd = open("out", O_WRONLY | O_CREAT, 0600);
    dup2(fd, STDOUT_FILENO);
    printf("before ");
    outputs_add(&o, "-", "text", 4);
    bool ok = outputs_commit(&o, &d);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(fd);
    assert_true(ok);
    assert_holds("out", "before text");
    assert_int_equal(entries("."), 1);
    outputs_free(&o);
    diag_free(&d);
}

/* Writes the same set of files again and again, until a signal ends it. */
_Noreturn static void commit_for_ever(void) {
    enum { FILES = 8, SIZE = 1 << 16 };
    static char data[SIZE], names[FILES] = "abcdefgh";
    for (;;) {
        Diag d = {0};
        Outputs o = {0};
        for (int i = 0; i < FILES; i++)
            outputs_add(&o, (char[]){names[i], 0}, data, SIZE);
        outputs_commit(&o, &d);
        outputs_free(&o);
        diag_free(&d);
    }
}

static void what_interrupts_leaves_no_temporary_file(void **state) {
    enum { TIMES = 8, FILES = 8 };
    (void)state;
    for (int i = 0; i < TIMES; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            commit_for_ever();
        while (entries(".") == 0) /* until it is at work */
            nanosleep(&(struct timespec){0, 100000}, NULL);
        nanosleep(&(struct timespec){0, 1000000 + 531000 * i}, NULL);
        kill(pid, SIGINT);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGINT);
        assert_int_equal(entries("."), FILES);
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_file_is_mapped),
        IN_FOLDER(what_interrupts_leaves_no_temporary_file),
        IN_FOLDER(an_empty_file_has_no_data),
        IN_FOLDER(what_is_no_file_is_refused),
        IN_FOLDER(files_appear_with_their_folders),
        IN_FOLDER(the_umask_is_obeyed),
        IN_FOLDER(old_files_are_replaced),
        IN_FOLDER(long_names_are_written),
        IN_FOLDER(leftovers_of_others_are_left_alone),
        IN_FOLDER(a_failure_changes_nothing),
        IN_FOLDER(new_files_go_again),
        IN_FOLDER(a_full_disk_is_an_error),
        IN_FOLDER(spilled_bytes_are_in_no_folder),
        IN_FOLDER(what_cant_be_spilled_stays),
        IN_FOLDER(devices_are_written_in_place),
        IN_FOLDER(a_dash_is_standard_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
