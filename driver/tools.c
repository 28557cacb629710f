/* tools.c: other programs, run in a temporary folder without a shell. */
#include "driver/driver.h"
#include "support/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child: standard input is empty, all output goes to the log. */
_Noreturn static void child(const char *const *argv, const char *log) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL); /* what interrupts it ends it, and so the wait for it */
    int in = open("/dev/null", O_RDONLY);
    int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (in >= 0 && out >= 0 && dup2(in, 0) >= 0 && dup2(out, 1) >= 0 && dup2(out, 2) >= 0)
        execvp(argv[0], (char *const *)argv);
    _exit(127);
}

int run_program(const char *const *argv, const char *log) {
    int status;
    pid_t pid = fork();
    if (pid < 0)
        return 127;
    if (pid == 0)
        child(argv, log);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 127;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void push_words(Arena *a, effnetc_strings *argv, const char *words) {
    while (*(words += strspn(words, " \t"))) {
        size_t n = strcspn(words, " \t");
        strings_push(a, argv, arena_strndup(a, words, n));
        words += n;
    }
}

void quote_log(const char *log, const char *label, Diag *d) {
    enum { MAX_LINES = 8 };
    char line[240];
    FILE *f = fopen(log, "r");
    for (int i = 0; f && i < MAX_LINES && fgets(line, sizeof line, f); i++) {
        line[strcspn(line, "\n")] = 0;
        diag_note(d, label, "%s", line);
    }
    if (f)
        fclose(f);
}

/* Signals that end the process wait until the folder is gone; the terminal sends them to the
 * program that runs in it, too. */
bool workshop_open(Workshop *w, Arena *a, Diag *d) {
    const char *tmp = getenv("TMPDIR"); /* POSIX has the folder below on every system */
    char *dir = arena_printf(a, "%s/effnetc-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    *w = (Workshop){.arena = a, .dir = dir};
    w->before = signals_hold();
    if (mkdtemp(dir)) {
        w->log = workshop_file(w, "effnetc-log", "");
        return true;
    }
    int code = errno;
    signals_release(&w->before);
    diag_error(d, EXIT_IO, dir, "no temporary folder can be made: %s", strerror(code));
    diag_note(d, "help", "TMPDIR says where they go");
    return false;
}

const char *workshop_file(Workshop *w, const char *name, const char *suffix) {
    const char *path = arena_printf(w->arena, "%s/%s%s", w->dir, name, suffix);
    strings_push(w->arena, &w->files, path);
    return path;
}

void workshop_close(const Workshop *w) {
    for (size_t i = 0; i < w->files.count; i++)
        unlink(w->files.items[i]);
    rmdir(w->dir);
    signals_release(&w->before);
}
