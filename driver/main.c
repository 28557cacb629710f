/* main.c: finds the command, reads its options, runs it, prints the diagnostics once. */
#include "driver/driver.h"

#include "codegen/emit_llvm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One row a command: the variable is in cmd_NAME.c (the printers of tables share one file). */
#define COMMANDS(ROW)                                                                              \
    ROW(compile)                                                                                   \
    ROW(run)                                                                                       \
    ROW(verify)                                                                                    \
    ROW(bench) ROW(inspect) ROW(diff) ROW(new) ROW(scale) ROW(opt) ROW(ops) ROW(passes) ROW(targets)

#define ROW(id) extern const Command command_##id;
COMMANDS(ROW)
#undef ROW

#define ROW(id) &command_##id,
static const Command *const commands[] = {COMMANDS(ROW)};
#undef ROW

enum { NCOMMANDS = sizeof commands / sizeof *commands };

static const Command *find_command(const char *name) {
    for (size_t i = 0; i < NCOMMANDS; i++)
        if (!strcmp(commands[i]->name, name))
            return commands[i];
    return NULL;
}

static void print_usage(FILE *f) {
    fputs("usage: effnetc COMMAND [options] ...\n"
          "       effnetc MODEL -o DIR\n"
          "Compiles EfficientNet models from ONNX to standalone C.\n\ncommands:\n",
          f);
    for (size_t i = 0; i < NCOMMANDS; i++)
        fprintf(f, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fputs(
        "\n`effnetc COMMAND --help` says more. MODEL is an ONNX file, or graph IR text (.ir, or -\n"
        "for standard input). Exit codes: 0 ok, 1 usage, 2 bad model, 3 unsupported, 4 budget\n"
        "exceeded, 5 verification failed, 70 internal error, 74 input/output error.\n",
        f);
}

/* Whether a first argument is rather a file than a mistyped command. */
static bool looks_like_model(const char *arg) {
    return arg[0] == '-' || strpbrk(arg, "./") || access(arg, F_OK) == 0;
}

static void unknown_command(Context *cx, const char *name) {
    const char *names[NCOMMANDS];
    for (size_t i = 0; i < NCOMMANDS; i++)
        names[i] = commands[i]->name;
    diag_error(&cx->diag, EXIT_USAGE, "effnetc", "there is no command \"%s\"", name);
    note_nearest(&cx->diag, name, names, NCOMMANDS, "`effnetc --help` lists all");
}

/* Runs c with its arguments; returns the --color that was asked for. */
static const char *run_command(Context *cx, const Command *c, int argc, char **argv) {
    CommonOptions *options = arena_alloc(&cx->arena, c->size);
    if (c->defaults)
        c->defaults(options);
    bool ok = options_parse(c, options, argc, argv, &cx->arena, &cx->diag);
    if (options->help)
        options_help(stdout, c);
    else if (ok)
        c->run(cx, options);
    return options->color;
}

static void print_version(void) {
    if (emit_llvm_available())
        printf("effnetc %s (LLVM %s)\n", effnetc_version(), emit_llvm_version());
    else
        printf("effnetc %s (without LLVM)\n", effnetc_version());
}

static const char *dispatch(Context *cx, int argc, char **argv) {
    const char *first = argc > 1 ? argv[1] : NULL;
    if (!first || !strcmp(first, "--help") || !strcmp(first, "-h")) {
        print_usage(first ? stdout : stderr);
        if (!first)
            diag_error(&cx->diag, EXIT_USAGE, "effnetc", "no command was given");
    } else if (!strcmp(first, "--version")) {
        print_version();
    } else if (find_command(first)) {
        return run_command(cx, find_command(first), argc - 2, argv + 2);
    } else if (looks_like_model(first)) {
        return run_command(cx, &command_compile, argc - 1, argv + 1);
    } else {
        unknown_command(cx, first);
    }
    return NULL;
}

static bool use_color(const char *choice) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if (choice && strcmp(choice, "auto") != 0)
        return !strcmp(choice, "always");
    return isatty(STDERR_FILENO) && !(no_color && *no_color) && !(term && !strcmp(term, "dumb"));
}

/* Where standard input, output or error is closed, the next file would take its place, and get what
 * is meant for it. What they are opened for instead fails as a closed one does. */
static void keep_streams_apart(void) {
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", modes[fd]) != fd)
            return; /* there is no such device: as it was */
}

int main(int argc, char **argv) {
    Context cx = {0};
    keep_streams_apart();
    signal(SIGXFSZ, SIG_IGN); /* a file past a limit of its size is an error of its write */
    const char *color = dispatch(&cx, argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout))
        diag_error(&cx.diag, EXIT_IO, "effnetc", "standard output can't be written");
    diag_print(&cx.diag, stderr, use_color(color));
    int code = diag_exit_code(&cx.diag);
    diag_free(&cx.diag);
    arena_free(&cx.arena);
    return code;
}
